//! [`Trust`]: whose certificates a server may show.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose certificates a server may show.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Those that an authority of this system has signed.
    System,
    /// Those that a certificate in this PEM file has signed, and no others. The file may hold the server's own.
    These(PathBuf),
    /// Anybody's: what is said is encrypted, but perhaps for somebody in the middle.
    Anybody,
}

impl Trust {
    /// What a TLS connection needs to know. It also keeps what makes connecting again cheap, so it is made once.
    ///
    /// # Errors
    /// Why there is nobody to trust, and what to do.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder();
        let builder = match self {
            Trust::System => builder.with_root_certificates(of_the_system()?),
            Trust::These(file) => builder.with_root_certificates(in_file(file)?),
            Trust::Anybody => {
                let schemes = builder.crypto_provider().signature_verification_algorithms.supported_schemes();
                builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerifier { schemes }))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn of_the_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(format!(
            "this system has no certificate authorities to check the server with{reason}: install them (Debian's \
             package is ca-certificates), name their file in SSL_CERT_FILE, or give the server's with --tls-ca"
        ));
    }
    Ok(roots)
}

fn in_file(file: &Path) -> Result<RootCertStore, String> {
    let problem = |what: String| {
        format!("--tls-ca {}: {what}: give certificates in PEM (-----BEGIN CERTIFICATE-----)", file.display())
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| problem(error.to_string()))? {
        let certificate = certificate.map_err(|error| problem(error.to_string()))?;
        roots.add(certificate).map_err(|error| problem(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(problem("there is no certificate in it".into()));
    }
    Ok(roots)
}

/// Takes every certificate for the server's, and every signature for right.
#[derive(Debug)]
struct NoVerifier {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
