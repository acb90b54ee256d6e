//! [`Certificate`]: made for one run, as files for the server and as trust for its clients.

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A certificate for `localhost` with its key. Its files go when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Certificate {
    directory: PathBuf,
    root: CertificateDer<'static>,
}

impl Certificate {
    /// One that vouches for itself.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub(crate) fn new() -> io::Result<Certificate> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = std::env::temp_dir().join(format!("fanwire-soak-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let made = Certificate { directory, root: certificate.der().clone() };
        fs::write(made.path("cert.pem"), certificate.pem())?;
        fs::write(made.path("key.pem"), key.serialize_pem())?;
        Ok(made)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// What its clients are configured with, one for each version: sessions are resumed where there is one.
    pub(crate) fn trusted(&self) -> Vec<Arc<ClientConfig>> {
        let config = |version| {
            let mut roots = RootCertStore::empty();
            roots.add(self.root.clone()).expect("a root");
            let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
            let config = config.with_protocol_versions(&[version]).expect("a version");
            Arc::new(config.with_root_certificates(roots).with_no_client_auth())
        };
        vec![config(&TLS13), config(&TLS12)]
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}
