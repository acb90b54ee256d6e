//! [`Certificates`]: what the server shows of itself, read from files and replaced while it runs.
//!
//! Handshakes take the certificate that is there when they begin, without a lock; connections that are open do not
//! notice that it is replaced. Tickets for resumption are rustls' own: encrypted, kept by the clients alone, and their
//! keys, which change every six hours, outlive a reload. So a session can be resumed after its certificate was renewed.
//! (rustls guards those keys by a lock that handshakes only read, except for the one that changes them.)

use super::expiry::expires;
use crate::config::{ConfigError, TlsFiles, read_again};
use crate::limits;
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;

/// Where the program finds them.
const CERTIFICATE_OPTION: &str = "--tls-cert";
const KEY_OPTION: &str = "--tls-key";

/// What is spoken inside, as it is called in the handshake (RFC 7301 §6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// The certificate, with its chain and its key, that handshakes are made with.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    certified_key: Arc<CertifiedKey>,
    expires: u64,
}

impl Certificates {
    /// Reads them from files.
    ///
    /// # Errors
    /// If a file cannot be read or used, or the two do not belong together: which, and what to do about it.
    pub(crate) fn read(files: TlsFiles) -> Result<Certificates, ConfigError> {
        let current = ArcSwap::from_pointee(read(&files)?);
        Ok(Certificates { files, current })
    }

    /// Reads them again; handshakes that begin from now on are made with what is there.
    ///
    /// # Errors
    /// As for [`read`](Self::read); then everything stays as it was.
    pub(crate) fn reload(&self) -> Result<(), ConfigError> {
        self.current.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// Where they are read from.
    pub(crate) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// The second from which on the server's certificate is no longer valid, in Unix time.
    pub(crate) fn expires(&self) -> u64 {
        self.current.load().expires
    }

    /// How TLS is spoken with them: TLS 1.3 and 1.2, with sessions that can be resumed on every worker.
    ///
    /// # Errors
    /// If the system has no randomness for the tickets' keys.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(self.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        // Clients keep their sessions themselves: nothing of those who are gone stays here.
        config.ticketer = Ticketer::new()?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified_key.clone())
    }
}

fn read(files: &TlsFiles) -> Result<Current, ConfigError> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let wrong_certificate = |problem: &str, fix: &str| {
        ConfigError::new(CERTIFICATE_OPTION, format!("{certificate} {problem}"), fix)
    };
    let chain = read_chain(&files.certificate)?;
    let expires = chain.first().and_then(|leaf| expires(leaf)).ok_or_else(|| {
        wrong_certificate("holds something that is no X.509 certificate", "give the server's own one first")
    })?;
    let private_key = read_key(&files.key)?;
    let certified_key = CertifiedKey::from_der(chain, private_key, &default_provider());
    let certified_key = certified_key.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => ConfigError::new(
            KEY_OPTION,
            format!("{key} does not belong to the first certificate in {certificate}"),
            "give the key that this certificate was issued for, and put the server's own certificate before those that \
             vouch for it",
        ),
        rustls::Error::InvalidCertificate(error) => wrong_certificate(
            &format!("holds a certificate that cannot be used ({error:?})"),
            "give an X.509 certificate of version 3",
        ),
        error => ConfigError::new(
            KEY_OPTION,
            format!("{key} holds a key that cannot be used ({error})"),
            "give an ECDSA (P-256, P-384, P-521), Ed25519 or RSA key of 2048 to 8192 bits",
        ),
    })?;
    Ok(Current { certified_key: Arc::new(certified_key), expires })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let text = read_file(CERTIFICATE_OPTION, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let fix = "give the certificate as -----BEGIN CERTIFICATE----- and so on, and its chain behind it";
    match chain {
        Ok(chain) if chain.is_empty() => {
            let problem = format!("{} holds no certificate in PEM form", path.display());
            Err(ConfigError::new(CERTIFICATE_OPTION, problem, fix))
        }
        Ok(chain) => Ok(chain),
        Err(error) => {
            let problem = format!("{} is not PEM as it should be ({error})", path.display());
            Err(ConfigError::new(CERTIFICATE_OPTION, problem, fix))
        }
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let text = read_file(KEY_OPTION, path)?;
    let path = path.display();
    let is_encrypted = text.windows(ENCRYPTED.len()).any(|words| words == ENCRYPTED);
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        _ if is_encrypted => ConfigError::new(
            KEY_OPTION,
            format!("{path} holds a key that is encrypted"),
            "decrypt it: openssl pkey -in encrypted.pem -out key.pem",
        ),
        pem::Error::NoItemsFound => ConfigError::new(
            KEY_OPTION,
            format!("{path} holds no private key in PEM form"),
            "give it as -----BEGIN PRIVATE KEY-----, EC PRIVATE KEY or RSA PRIVATE KEY",
        ),
        error => ConfigError::new(
            KEY_OPTION,
            format!("{path} is not PEM as it should be ({error})"),
            "give a private key as openssl writes it",
        ),
    })
}

/// In the first line of an encrypted key, or in its second (RFC 1421).
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn read_file(option: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    read_again(option, path, limits::KEY_FILE_BYTES_MAX)
}
