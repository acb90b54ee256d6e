//! [`Certificate`]: made at run time, as files for a server and as trust for a client; and [`Secure`], that client's end.

use crate::client::{PATIENCE, Stream, connect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanwire::config::{Config, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Both that the server speaks.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate for `localhost` with its key, as files that go when it goes out of scope.
pub(crate) struct Certificate {
    directory: PathBuf,
    /// What a client trusts.
    root: CertificateDer<'static>,
    /// What stands in the one file, in PEM.
    pub(crate) chain: String,
    /// What stands in the other.
    pub(crate) key: String,
}

impl Certificate {
    /// One that vouches for itself, of a fresh key.
    pub(crate) fn new() -> Certificate {
        Certificate::of(&KeyPair::generate().expect("a key"), |_| {})
    }

    /// One that vouches for itself, of this key, with other properties than usual.
    pub(crate) fn of(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        change(&mut params);
        let certificate = params.self_signed(key).expect("a certificate");
        Certificate::keep(certificate.der().clone(), certificate.pem(), key.serialize_pem())
    }

    /// One that an intermediate authority vouches for, whose own certificate stands behind it in the file.
    pub(crate) fn with_chain() -> Certificate {
        let authority = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().expect("a key"))
        };
        let ((root, root_key), (intermediate, intermediate_key)) = (authority(), authority());
        let root_certificate = root.self_signed(&root_key).expect("a certificate");
        let root = Issuer::new(root, root_key);
        let between = intermediate.signed_by(&intermediate_key, &root).expect("a certificate");
        let intermediate = Issuer::new(intermediate, intermediate_key);
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &intermediate).expect("a certificate");
        let chain = leaf.pem() + &between.pem();
        Certificate::keep(root_certificate.der().clone(), chain, key.serialize_pem())
    }

    fn keep(root: CertificateDer<'static>, chain: String, key: String) -> Certificate {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("fanwire-{}-{number}", std::process::id()));
        fs::create_dir(&directory).expect("a directory of its own");
        let certificate = Certificate { directory, root, chain, key };
        certificate.write(&certificate.chain, &certificate.key);
        certificate
    }

    /// Puts something into the files.
    pub(crate) fn write(&self, chain: &str, key: &str) {
        let TlsFiles { certificate: certificate_path, key: key_path } = self.files();
        fs::write(certificate_path, chain).expect("a file");
        fs::write(key_path, key).expect("a file");
    }

    pub(crate) fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.directory.join("cert.pem"), key: self.directory.join("key.pem") }
    }

    /// The options that name the files, and an address for TLS.
    pub(crate) fn options(&self) -> Vec<String> {
        let TlsFiles { certificate, key } = self.files();
        let path = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let listen = ["--listen-tls".to_owned(), "127.0.0.1:0".to_owned()];
        [&listen[..], &["--tls-cert".to_owned(), path(certificate), "--tls-key".to_owned(), path(key)]]
            .concat()
    }

    /// Has a server speak TLS, on a port of its own.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.listen_tls = vec![([127, 0, 0, 1], 0).into()];
        config.tls = Some(self.files());
    }

    /// A client's configuration that trusts it, and nothing else.
    pub(crate) fn trusted(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_protocol_versions(versions).expect("versions");
        config.with_root_certificates(roots).with_no_client_auth()
    }

    /// A connection over TLS 1.3 to a server that has it.
    pub(crate) fn connect(&self, address: SocketAddr) -> Secure {
        Secure::connect(address, &Arc::new(self.trusted(&[&TLS13]))).expect("a TLS handshake")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// DER in PEM.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> =
        STANDARD.encode(der).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A client's end of TLS.
pub(crate) struct Secure(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// Connects and does the handshake.
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Secure> {
        Secure::on(connect(address, None), config)
    }

    /// The same on a connection that is there.
    pub(crate) fn on(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Secure> {
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(config.clone(), name).expect("a configuration");
        let mut secure = Secure(StreamOwned::new(session, stream));
        while secure.0.conn.is_handshaking() {
            secure.0.conn.complete_io(&mut secure.0.sock)?;
        }
        Ok(secure)
    }

    /// Asks for a page and reads to the end, which a `close_notify` announces.
    pub(crate) fn http(mut self, request: &str) -> Vec<u8> {
        self.write_all(request.as_bytes()).expect("the server takes it");
        self.rest()
    }

    /// Reads to the end, which a `close_notify` announces.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("after {bytes:02x?}: {error}"));
        bytes
    }
}

impl Read for Secure {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Secure {
    fn tcp(&self) -> &TcpStream {
        self.0.sock.set_read_timeout(Some(PATIENCE)).expect("a socket");
        &self.0.sock
    }
}
