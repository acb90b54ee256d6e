//! `fanwire chat` over TLS, against a listener that plays a server with a certificate of our own making.

use crate::fake_server::{FakeServer, Peer, Stream};
use crate::program::{Chat, command, feed, run};
use fanwire::protocol::{CloseCode, CloseReason, Closure, Kind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use rustls::{ProtocolVersion, SupportedProtocolVersion};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

// ---- Talking --------------------------------------------------------------------------------------------------------

#[test]
fn words_go_out_and_come_back_over_tls_1_3_and_1_2() {
    let authority = Authority::new("round_trip");
    for (version, number) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let server = authority.server_with(&certificate(), &[version]);
        let mut chat = Chat::start(&[&server.url(), "--username", "ann", "--tls-ca", authority.file()]);
        let mut peer = server.accept();
        assert_eq!(peer.stream.conn.protocol_version(), Some(number));
        assert_eq!(peer.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let status = chat.expect_status("connected to");
        assert_eq!(status, format!("connected to {}", server.url()));
        chat.type_line("hello");
        let said = peer.receive_text();
        assert_eq!(said, r#"{"username":"ann","text":"hello"}"#);
        peer.send(Kind::Text, said.as_bytes());
        assert_eq!(chat.heard(), "ann: hello");
        chat.end_input();
        assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
        assert_eq!(peer.stream.read(&mut [0]).unwrap(), 0, "a close_notify comes before the end of TCP");
        assert_eq!(chat.exit_code(), 0);
    }
}

#[test]
fn messages_longer_than_any_record_and_buffer_go_through_whole_in_both_directions() {
    let authority = Authority::new("long");
    let server = authority.server(&certificate());
    let mut chat = Chat::start(&[&server.url(), "--raw", "--tls-ca", authority.file()]);
    let mut peer = server.accept();
    let lines: Vec<String> = (0..40).map(|number| format!("{number} ").repeat(100_000)).collect();
    let said = lines.clone();
    let speaker = thread::spawn(move || {
        for line in &said {
            chat.type_line(line);
        }
        chat.end_input();
        chat
    });
    let heard: Vec<String> = lines.iter().map(|_| peer.receive_text()).collect();
    assert!(heard == lines, "what is said arrives");
    let mut chat = speaker.join().unwrap();
    for line in &lines {
        peer.send(Kind::Text, line.as_bytes());
    }
    assert!(lines.iter().all(|line| chat.heard() == *line), "what comes back is shown");
    assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
    assert_eq!(chat.exit_code(), 0);
}

#[test]
fn an_end_without_a_close_notify_is_an_end_like_one_with_it() {
    let authority = Authority::new("ends");
    let server = authority.server(&certificate());
    let mut chat = Chat::start(&[&server.url(), "--tls-ca", authority.file()]);
    let mut peer = server.accept();
    assert_eq!(peer.stream.conn.handshake_kind(), Some(HandshakeKind::Full));
    chat.expect_status("connected to");
    peer.stream.shutdown_write();
    chat.expect_status("the connection was lost; reconnecting in");
    let peer = server.accept();
    assert_eq!(peer.stream.conn.handshake_kind(), Some(HandshakeKind::Resumed), "coming back is cheap");
    chat.expect_status("connected to");
    peer.stream.sock.shutdown(Shutdown::Write).unwrap();
    chat.expect_status("the connection was lost; reconnecting in");
    let mut peer = server.accept();
    chat.expect_status("connected to");
    chat.end_input();
    let mut close = [0; 8];
    peer.stream.read_exact(&mut close).unwrap();
    peer.stream.write_all(b"\x88\x02\x03\xe8").unwrap();
    peer.stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(chat.exit_code(), 0, "the Close frame came, and that is what counts");
}

// ---- Trust ----------------------------------------------------------------------------------------------------------

#[test]
fn a_certificate_nobody_trusted_has_signed_is_refused_for_good_with_the_fix() {
    let (authority, other) = (Authority::new("signer"), Authority::new("stranger"));
    let server = authority.server(&certificate());
    for (arguments, variables) in [
        (vec!["--tls-ca", other.file()], vec![]),
        (vec![], vec![("FANWIRE_TLS_CA", other.file())]),
        (vec![], vec![("SSL_CERT_FILE", other.file())]),
        (vec!["--tls-ca", other.file()], vec![("SSL_CERT_FILE", authority.file())]),
    ] {
        let output = server.refused_by(&arguments, &variables);
        assert_status(&output, "signed it; if you know who has, give their certificate with --tls-ca FILE\n");
    }
}

#[test]
fn a_certificate_is_trusted_by_option_by_variable_or_by_the_system() {
    let (authority, other) = (Authority::new("trusted"), Authority::new("not_trusted"));
    let own = Authority::own_certificate("own", certificate());
    let both = file("both", &format!("two of them\n{}{}", other.issuer.pem(), authority.issuer.pem()));
    let both = both.to_str().unwrap();
    for (authority, arguments, variables) in [
        (&authority, vec!["--tls-ca", authority.file()], vec![("FANWIRE_TLS_CA", other.file())]),
        (&authority, vec![], vec![("FANWIRE_TLS_CA", authority.file()), ("SSL_CERT_FILE", other.file())]),
        (&authority, vec![], vec![("FANWIRE_TLS_CA", ""), ("SSL_CERT_FILE", authority.file())]),
        (&authority, vec!["--tls-ca", both], vec![]),
        (&own, vec!["--tls-ca", own.file()], vec![]),
    ] {
        let server = authority.server(&certificate());
        let mut command = command(&[&[&*server.url()], &*arguments].concat());
        command.envs(variables);
        let mut chat = Chat::spawn(command);
        let _peer = server.accept();
        chat.expect_status("connected to");
    }
}

#[test]
fn insecure_takes_any_certificate_and_warns() {
    let authority = Authority::new("insecure");
    let mut expired = certificate_for("elsewhere.example");
    expired.not_after = date_time_ymd(2001, 1, 1);
    for version in ALL_VERSIONS {
        let server = authority.server_with(&expired, &[version]);
        let mut command = command(&[&server.url(), "--insecure"]);
        command.env("FANWIRE_TLS_CA", authority.file());
        let mut chat = Chat::spawn(command);
        let _peer = server.accept();
        chat.expect_status("warning: --insecure: whoever answers is taken for the server");
        chat.expect_status("connected to");
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_and_final() {
    let authority = Authority::new("doubts");
    let mut expired = certificate();
    expired.not_after = date_time_ymd(2001, 1, 1);
    let mut early = certificate();
    early.not_before = date_time_ymd(4000, 1, 1);
    let mut authority_s = certificate();
    authority_s.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (certificate, problem) in [
        (
            certificate_for("a.example"),
            "it is for a.example, not for 127.0.0.1: connect by a name that it has\n",
        ),
        (CertificateParams::default(), "it is for nobody, not for 127.0.0.1"),
        (expired, "days ago: the server needs a new one, or this machine the right time\n"),
        (early, "days: is this machine's time right?\n"),
        (authority_s, "it is an authority's (CA:TRUE), not a server's"),
    ] {
        let server = authority.server(&certificate);
        let output = server.refused_by(&["--tls-ca", authority.file()], &[]);
        assert_status(&output, problem);
    }
}

#[test]
fn a_host_by_name_needs_a_certificate_for_that_name() {
    let authority = Authority::new("names");
    let server = authority.server(&certificate_for("localhost"));
    let url = server.url().replace("127.0.0.1", "localhost");
    let mut chat = Chat::start(&[&url, "--tls-ca", authority.file()]);
    let peer = server.accept();
    assert_eq!(peer.stream.conn.server_name(), Some("localhost"));
    chat.expect_status("connected to wss://localhost:");
}

// ---- Misunderstandings ----------------------------------------------------------------------------------------------

#[test]
fn ws_to_a_server_that_speaks_tls_is_told_to_use_wss() {
    let authority = Authority::new("ws_to_tls");
    let server = authority.server(&certificate());
    let chat = Chat::start(&[&server.url().replace("wss:", "ws:")]);
    let mut stream = server.accept_stream();
    let error = stream.read(&mut [0]).expect_err("no TLS came");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    drop(stream);
    assert_final(chat, "the server speaks TLS there: use wss://");
    for body in ["The plain HTTP request was sent to HTTPS port", "this port speaks TLS"] {
        let plain = FakeServer::bind();
        let chat = Chat::start(&[&plain.url("/ws")]);
        let mut stream = plain.accept_stream();
        write!(stream, "HTTP/1.1 400 Bad Request\r\n\r\n{body}").unwrap();
        stream.shutdown_write();
        assert_final(chat, &format!("the server refused: 400 Bad Request: {body} (use wss://)"));
    }
}

#[test]
fn wss_to_a_server_that_speaks_no_tls_is_told_to_use_ws() {
    let server = FakeServer::bind();
    let chat = Chat::start(&[&server.url("/ws").replace("ws:", "wss:"), "--insecure"]);
    let mut stream = server.accept_stream();
    write!(stream, "HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    assert_final(chat, "the server does not speak TLS there: use ws://");
}

#[test]
fn a_connection_that_is_lost_before_the_server_has_answered_may_be_a_misunderstanding() {
    let server = FakeServer::bind();
    let url = server.url("/ws");
    let chat = Chat::start(&[&url.replace("ws:", "wss:"), "--insecure"]);
    server.accept_stream().shutdown_write();
    assert_final(chat, "the connection was lost (if the server speaks no TLS there, use ws://)");
    let chat = Chat::start(&[&url]);
    server.accept_stream().shutdown_write();
    assert_final(chat, "the connection was lost (if the server speaks TLS there, use wss://)");
}

// ---- Arguments ------------------------------------------------------------------------------------------------------

#[test]
fn options_that_make_no_sense_are_refused_with_the_fix() {
    let empty = file("empty", "not PEM");
    let empty = empty.to_str().unwrap();
    for (arguments, fix) in [
        (vec!["ws://127.0.0.1:1/ws", "--tls-ca", "x.pem"], "--tls-ca is about TLS"),
        (vec!["127.0.0.1:1", "--insecure"], "use wss://, or leave it out"),
        (vec!["wss://127.0.0.1:1", "--insecure", "--tls-ca", "x.pem"], "cannot be used with"),
        (vec!["wss://127.0.0.1:1", "--tls-ca", "/no/such/file"], "--tls-ca /no/such/file: "),
        (vec!["wss://127.0.0.1:1", "--tls-ca", empty], "no certificate in it: give certificates in PEM"),
    ] {
        let output = run(&arguments, b"");
        let status = String::from_utf8(output.stderr).unwrap();
        assert!(status.starts_with("error: ") && status.contains(fix), "{status}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_variable_for_tls_does_not_hinder_those_who_need_none() {
    let server = FakeServer::bind();
    let mut command = command(&[&server.url("/ws")]);
    command.env("FANWIRE_TLS_CA", "/no/such/file");
    let mut chat = Chat::spawn(command);
    let _peer = server.accept();
    chat.expect_status("connected to");
}

#[test]
fn a_system_without_authorities_is_told_where_to_get_some() {
    let mut command = command(&["wss://127.0.0.1:1"]);
    command.env("SSL_CERT_FILE", file("no_authorities", ""));
    let output = feed(command, b"");
    let status = String::from_utf8(output.stderr).unwrap();
    assert!(status.contains("ca-certificates") && status.contains("--tls-ca"), "{status}");
    assert_eq!(output.status.code(), Some(2));
}

// ---- Certificates, and a server that has one ------------------------------------------------------------------------

/// The certificate of a server at 127.0.0.1.
fn certificate() -> CertificateParams {
    certificate_for("127.0.0.1")
}

fn certificate_for(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a server");
    params
}

/// Who signs certificates. Its own stands in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
    is_server: bool,
}

impl Authority {
    /// The name tells the files of tests apart, which run at the same time.
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("authority {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { is_server: false, ..Authority::own_certificate(name, params) }
    }

    /// A server that has signed its certificate itself.
    fn own_certificate(name: &str, params: CertificateParams) -> Authority {
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = file(name, &issuer.pem());
        Authority { issuer, file, is_server: true }
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    fn server(&self, certificate: &CertificateParams) -> TlsServer {
        self.server_with(certificate, ALL_VERSIONS)
    }

    fn server_with(
        &self,
        certificate: &CertificateParams,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsServer {
        let (chain, key) = if self.is_server {
            (vec![self.issuer.der().clone()], self.issuer.key().serialize_der())
        } else {
            let key = KeyPair::generate().unwrap();
            (vec![certificate.signed_by(&key, &self.issuer).unwrap().der().clone()], key.serialize_der())
        };
        let mut config = ServerConfig::builder_with_protocol_versions(versions)
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key).unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsServer { listener: FakeServer::bind(), config: Arc::new(config) }
    }
}

/// A file with this text, of this test.
fn file(name: &str, text: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chat_{name}.pem"));
    fs::write(&file, text).unwrap();
    file
}

/// A [`FakeServer`] that speaks TLS.
struct TlsServer {
    listener: FakeServer,
    config: Arc<ServerConfig>,
}

type TlsStream = StreamOwned<ServerConnection, TcpStream>;

impl TlsServer {
    fn url(&self) -> String {
        format!("wss://{}/ws", self.listener.address())
    }

    fn accept_stream(&self) -> TlsStream {
        StreamOwned::new(ServerConnection::new(self.config.clone()).unwrap(), self.listener.accept_stream())
    }

    fn accept(&self) -> Peer<TlsStream> {
        Peer::open(self.accept_stream())
    }

    /// Runs a chat that does not trust this server.
    fn refused_by(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command: Command = command(&[&[&*self.url()], arguments].concat());
        command.envs(variables.iter().copied());
        let chat = thread::spawn(|| feed(command, b"secret"));
        let error = self.accept_stream().read(&mut [0]).expect_err("nothing is said to who is not trusted");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "the server is told: {error}");
        chat.join().unwrap()
    }
}

impl Stream for TlsStream {
    fn shutdown_write(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
        self.sock.shutdown(Shutdown::Write).unwrap();
    }
}

/// The chat said nothing but that the certificate is not trusted, and why.
fn assert_status(output: &Output, problem: &str) {
    let status = String::from_utf8_lossy(&output.stderr);
    let is_said = status.starts_with("the server's certificate is not trusted: ") && status.contains(problem);
    assert!(is_said && status.lines().count() == 1, "{status}");
    assert_eq!(output.status.code(), Some(1));
}

fn assert_final(mut chat: Chat, problem: &str) {
    assert_eq!(chat.expect_status(problem), problem);
    assert_eq!(chat.exit_code(), 1);
}
