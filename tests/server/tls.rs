//! TLS on real sockets: what is the same as without, and what only TLS can do wrong. (The file is long because each
//! behaviour has a test of its own.) How records are made of bytes stands with the transport, in `src/net/tls/tests.rs`.

use crate::certificate::{Certificate, Secure, VERSIONS, pem};
use crate::client::{
    Client, PATIENCE, Received, Response, SAMPLE_101, assert_closed, connect, masked, upgrade,
};
use crate::process::{Process, fanwire, run};
use crate::running::Running;
use fanwire::protocol::CloseCode;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn start(certificate: &Certificate, workers: usize) -> Running {
    Running::start(workers, |config| {
        certificate.configure(config);
        config.echo = true;
    })
}

fn client(server: &Running, certificate: &Certificate, target: &str) -> Client {
    Client::on(certificate.connect(server.tls_address()), target, None)
}

/// The certificate that the server shows now, if `config` trusts it.
fn shown(address: SocketAddr, config: &Arc<ClientConfig>) -> Option<Vec<u8>> {
    let secure = Secure::connect(address, config).ok()?;
    secure.0.conn.peer_certificates().map(|chain| chain[0].to_vec())
}

#[test]
fn clients_with_and_without_tls_talk_to_each_other_in_one_channel() {
    let certificate = Certificate::new();
    for workers in [1, 3] {
        let server = start(&certificate, workers);
        let mut ann = client(&server, &certificate, "/ws");
        let mut bob = server.client("/ws");
        ann.send("by TLS");
        bob.send("without");
        let mut heard = [ann.texts(2), bob.texts(2)];
        assert_eq!(heard[0], heard[1], "one order for both");
        heard[0].sort();
        assert_eq!(heard[0], ["by TLS", "without"]);
        ann.close();
        assert_eq!(server.totals().tls_handshakes_completed, 1);
    }
}

#[test]
fn pages_are_served_over_https_and_end_with_a_close_notify() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    for (target, word) in [("/", "<!doctype html>"), ("/healthz", "ok"), ("/nowhere", "")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let response = Response::of(certificate.connect(server.tls_address()).http(&request));
        response.assert_complete();
        assert!(response.body.to_lowercase().contains(word), "{target}");
        assert_eq!(response.status, if word.is_empty() { 404 } else { 200 });
    }
}

#[test]
fn tls_1_3_and_1_2_are_spoken_with_http_1_1_inside() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    for (version, number) in VERSIONS.into_iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3]) {
        let mut config = certificate.trusted(&[version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let secure = Secure::connect(server.tls_address(), &Arc::new(config)).expect("a handshake");
        assert_eq!(secure.0.conn.protocol_version(), Some(number));
        assert_eq!(secure.0.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut echo = Client::on(secure, "/echo", None);
        echo.send("hello");
        assert_eq!(echo.text(), "hello");
        echo.close();
    }
}

#[test]
fn who_speaks_only_http_2_is_refused_in_the_handshake() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    let mut config = certificate.trusted(&[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let error = Secure::connect(server.tls_address(), &Arc::new(config)).err().expect("it is refused");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    server.until("it is counted", |totals| totals.tls_handshakes_failed == 1);
}

#[test]
fn a_second_connection_resumes_the_session_whichever_worker_has_it() {
    let certificate = Certificate::new();
    let server = start(&certificate, 3);
    for version in VERSIONS {
        let config = Arc::new(certificate.trusted(&[version]));
        let mut kinds = Vec::new();
        for _ in 0..6 {
            let mut echo = Secure::connect(server.tls_address(), &config).expect("a handshake");
            echo.write_all(HEALTH.as_bytes()).expect("the server takes it");
            // The tickets come with what is read.
            echo.read_to_end(&mut Vec::new()).expect("a clean end");
            kinds.push(echo.0.conn.handshake_kind().expect("a handshake"));
        }
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    }
    server.until("they are counted", |totals| totals.tls_sessions_resumed == 10);
}

#[test]
fn a_client_that_is_gone_while_its_answers_wait_for_room_is_noticed_without_a_timeout() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.echo = true;
        config.send_buffer_bytes = Some(8 << 10);
        (config.limits.ping_interval_ms, config.limits.idle_timeout_ms) = (0, 0);
    });
    let mut echo = certificate.connect(server.tls_address());
    echo.write_all(upgrade("/echo").as_bytes()).expect("the server takes it");
    let mut response = vec![0; SAMPLE_101.len()];
    echo.read_exact(&mut response).expect("a 101");
    // It reads none of its answers, until the server reads no more of what it says.
    echo.0.sock.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let message = masked(0x82, &[7; 10_000]);
    while echo.write_all(&message).is_ok() {}
    // What it has not read makes that a reset.
    drop(echo);
    server.until("its connection is freed", |totals| totals.connections_open == 0);
}

#[test]
fn messages_as_long_as_they_may_be_go_both_ways() {
    let certificate = Certificate::new();
    let server = start(&certificate, 2);
    let message: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    for version in VERSIONS {
        let config = Arc::new(certificate.trusted(&[version]));
        let secure = Secure::connect(server.tls_address(), &config).expect("a handshake");
        let mut echo = Client::on(secure, "/echo", None);
        for _ in 0..3 {
            echo.send_binary(&message);
            assert!(echo.receive() == Received::Binary(message.clone()));
        }
        echo.close();
    }
    server.until("nothing is kept of it", |totals| totals.tls_bytes_held == 0);
}

#[test]
fn a_message_longer_than_one_write_takes_arrives_whole() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.limits.message_bytes_max = 10 << 20;
        config.limits.outbox_bytes_max = 20 << 20;
    });
    let (mut ann, mut bob) = (server.client("/ws"), client(&server, &certificate, "/ws"));
    let message: Vec<u8> = (0..10_u32 << 20).map(|at| (at % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| ann.send_binary(&message));
        assert!(bob.receive() == Received::Binary(message.clone()));
    });
    bob.close();
}

#[test]
fn a_slow_reader_is_closed_with_1008_and_the_others_hear_everything() {
    let certificate = Certificate::new();
    let server = Running::start(2, |config| {
        certificate.configure(config);
        config.limits.message_bytes_max = 16 << 10;
        config.limits.outbox_bytes_max = 128 << 10;
        config.send_buffer_bytes = Some(16 << 10);
        config.limits.close_timeout_ms = 60_000;
    });
    let config = Arc::new(certificate.trusted(&[&TLS13]));
    let lazy = Secure::on(connect(server.tls_address(), Some(8 << 10)), &config).expect("a handshake");
    let lazy = Client::on(lazy, "/ws", None);
    let (mut publisher, mut listener) = (server.client("/ws"), client(&server, &certificate, "/ws"));
    let message = |number: usize| format!("{number:08192}");
    let mut count = 0;
    while server.totals().slow_consumers_closed == 0 {
        publisher.send(&message(count));
        assert!(publisher.text() == message(count) && listener.text() == message(count));
        count += 1;
        assert!(count < 1_000, "8 MB are over any limit");
    }
    let (heard, closure) = lazy.rest();
    assert_closed(&closure, CloseCode::POLICY_VIOLATION, "slow consumer");
    assert!(heard.len() < count);
    assert!(heard.iter().enumerate().all(|(number, text)| *text == message(number)), "whole, in order");
    server.until("nothing is held for who is gone", |totals| {
        totals.bytes_retained == 0 && totals.tls_bytes_held == 0
    });
}

#[test]
fn a_tls_handshake_that_stalls_ends_with_the_handshake_timeout_and_is_counted() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.limits.handshake_timeout_ms = 200;
        config.limits.close_timeout_ms = 60_000;
    });
    for sent in [&b""[..], &[22, 3, 1, 2, 0, 1], &[22]] {
        let before = server.totals();
        let started = Instant::now();
        let mut stream = connect(server.tls_address(), None);
        stream.write_all(sent).expect("the server takes it");
        assert_eq!(stream.read(&mut [0; 100]).expect("an end"), 0);
        assert!(started.elapsed() > Duration::from_millis(198), "{:?}", started.elapsed());
        server.until("it is gone and counted", |totals| {
            totals.connections_open == 0
                && totals.handshakes_timed_out == before.handshakes_timed_out + 1
                && totals.tls_handshakes_failed == before.tls_handshakes_failed + 1
        });
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[test]
fn a_request_that_does_not_come_after_the_tls_handshake_gets_408_at_the_same_time() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        // In which TLS itself, in a debug build, is done on any machine.
        config.limits.handshake_timeout_ms = 3_000;
    });
    let response = Response::of(certificate.connect(server.tls_address()).rest());
    assert_eq!(response.status, 408);
}

#[test]
fn a_full_server_says_so_over_tls_as_soon_as_tls_is_spoken() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.connections_max = 1;
    });
    let _one = client(&server, &certificate, "/ws");
    let is_soon = || {
        let started = Instant::now();
        let response = Response::of(certificate.connect(server.tls_address()).rest());
        assert_eq!(response.status, 503);
        started.elapsed() < Duration::from_secs(2)
    };
    // A machine stands still for once.
    assert!((0..3).any(|_| is_soon()), "it takes too long each time");
}

#[test]
fn a_handshake_that_is_cut_off_is_counted_and_leaves_nothing() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    for (number, len) in [0, 1, 5, 100].into_iter().enumerate() {
        let mut stream = connect(server.tls_address(), None);
        stream.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252].repeat(12)[..len]).expect("the server takes it");
        stream.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(stream.read(&mut [0; 100]).expect("an end"), 0);
        server.until("it is counted", |totals| totals.tls_handshakes_failed == number as u64 + 1);
    }
    server.until("they are gone", |totals| totals.connections_open == 0 && totals.tls_bytes_held == 0);
}

#[test]
fn garbage_is_answered_by_an_alert_and_the_end() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    let mut stream = connect(server.tls_address(), None);
    stream.write_all(&[22, 3, 1, 0, 4, 99, 0, 0, 0]).expect("the server takes it");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end");
    assert_eq!((answer[0], answer[5]), (21, 2), "a fatal alert: {answer:?}");
    server.until("it is counted", |totals| totals.tls_handshakes_failed == 1);
}

#[test]
fn a_changed_record_ends_an_open_connection_and_nobody_elses() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    let mut other = client(&server, &certificate, "/echo");
    let victim = client(&server, &certificate, "/echo");
    victim.second_hand().write_all(&[23, 3, 3, 0, 20].repeat(5)).expect("the server takes it");
    server.until("it is gone", |totals| totals.connections_open == 1);
    other.send("still here");
    assert_eq!(other.text(), "still here");
    other.close();
}

#[test]
fn plain_http_on_the_port_for_tls_is_told_so_at_once() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.limits.close_timeout_ms = 60_000;
    });
    for (number, request) in
        [HEALTH.to_owned(), upgrade("/ws"), "POST / HTTP/1.1\r\n".to_owned()].iter().enumerate()
    {
        let mut stream = connect(server.tls_address(), None);
        stream.write_all(request.as_bytes()).expect("the server takes it");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an end");
        let response = Response::of(answer);
        response.assert_complete();
        assert_eq!(response.status, 400);
        assert!(response.body.contains("https://") && response.body.contains("wss://"), "{response:?}");
        // What comes later does not reset the answer away.
        stream.write_all(&[b'x'; 1000]).expect("it is still read");
        drop(stream);
        let totals =
            server.until("it is counted", |totals| totals.tls_plaintext_requests == number as u64 + 1);
        assert_eq!(totals.tls_handshakes_failed, 0);
    }
}

#[cfg(feature = "control")]
#[test]
fn its_metrics_say_when_its_certificate_is_no_longer_valid() {
    let key = KeyPair::generate().expect("a key");
    let certificate = Certificate::of(&key, |params| params.not_after = date_time_ymd(2038, 1, 19));
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.admin =
            Some(fanwire::config::AdminConfig { address: ([127, 0, 0, 1], 0).into(), token: None });
    });
    let admin = server.server().admin_address().expect("it was asked for");
    let metrics =
        crate::client::http(admin, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .body;
    let gauge = "\nfanwire_tls_certificate_expiration_timestamp_seconds 2147472000\n";
    assert!(metrics.contains(gauge), "{metrics}");
}

#[test]
fn tls_on_the_port_for_plain_http_is_refused() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    assert!(Secure::connect(server.address, &Arc::new(certificate.trusted(&[&TLS13]))).is_err());
}

#[test]
fn the_close_frame_arrives_and_behind_it_a_close_notify() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    for version in VERSIONS {
        let config = Arc::new(certificate.trusted(&[version]));
        let mut secure = Secure::connect(server.tls_address(), &config).expect("a handshake");
        secure.write_all(upgrade("/echo").as_bytes()).expect("the server takes it");
        let mut response = vec![0; SAMPLE_101.len()];
        secure.read_exact(&mut response).expect("the 101");
        // Close 1000, and nothing of the TCP connection's end yet.
        secure.write_all(&masked(0x88, &[3, 0xe8])).expect("the server takes it");
        assert_eq!(secure.rest(), [0x88, 2, 3, 0xe8], "read to a close_notify");
    }
    server.until("both ended as they should", |totals| totals.closed_cleanly == 2);
}

#[test]
fn who_sends_a_close_notify_is_gone_although_the_tcp_connection_goes_on() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    let mut secure = certificate.connect(server.tls_address());
    secure.write_all(upgrade("/ws").as_bytes()).expect("the server takes it");
    secure.read_exact(&mut vec![0; SAMPLE_101.len()]).expect("the 101");
    secure.0.conn.send_close_notify();
    secure.flush().expect("the server takes it");
    server.until("it is gone", |totals| totals.connections_open == 0 && totals.closed_abnormally == 1);
    assert_eq!(secure.rest(), b"", "the server says goodbye too");
}

#[test]
fn who_ends_tcp_without_a_close_notify_is_gone_as_well() {
    let certificate = Certificate::new();
    let server = start(&certificate, 1);
    let client = client(&server, &certificate, "/ws");
    client.second_hand().shutdown(Shutdown::Write).expect("connected");
    server.until("it is gone", |totals| totals.connections_open == 0 && totals.closed_abnormally == 1);
}

#[test]
fn a_drain_delivers_everything_over_tls_and_then_says_1001() {
    let certificate = Certificate::new();
    let server = start(&certificate, 2);
    let listeners: Vec<Client> = (0..4).map(|_| client(&server, &certificate, "/ws")).collect();
    let mut publisher = client(&server, &certificate, "/ws");
    let text = |number: usize| format!("{number:020000}");
    publisher.send_all((0..50).map(text));
    server.until("it is accepted", |totals| totals.messages_received == 50);
    // Together they are read by nobody yet: the drain has to wait for them.
    server.drain();
    let heard: Vec<_> = thread::scope(|scope| {
        let hearings: Vec<_> =
            listeners.into_iter().map(|listener| scope.spawn(move || listener.rest())).collect();
        hearings.into_iter().map(|hearing| hearing.join().expect("it is told")).collect()
    });
    for (texts, closure) in heard {
        assert!(texts.iter().enumerate().all(|(number, heard)| *heard == text(number)) && texts.len() == 50);
        assert_closed(&closure, CloseCode::GOING_AWAY, "shutting down");
    }
    drop(publisher.rest());
    let totals = server.wait();
    assert_eq!((totals.closed_cleanly, totals.tls_bytes_held, totals.tls_connections_open), (5, 0, 0));
}

#[test]
fn a_server_can_speak_tls_alone() {
    let certificate = Certificate::new();
    let server = Running::start(2, |config| {
        certificate.configure(config);
        config.listen.clear();
    });
    assert_eq!(server.addresses(), []);
    client(&server, &certificate, "/ws").close();
}

#[test]
fn a_chain_is_sent_whole() {
    let certificate = Certificate::with_chain();
    let server = start(&certificate, 1);
    let secure = certificate.connect(server.tls_address());
    assert_eq!(secure.0.conn.peer_certificates().map(<[_]>::len), Some(2));
}

#[test]
fn keys_in_pkcs_8_sec_1_and_rsa_are_all_taken() {
    let elliptic = KeyPair::generate().expect("a key");
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    // PKCS#8 (RFC 5208 §5) ends with the key as it was before, in an octet string of 0x04, a length and it.
    let inside = |key: &KeyPair, start: &[u8]| {
        let der = key.serialize_der();
        let at = der.windows(start.len()).rposition(|window| window == start).expect("a key in it");
        der[at..].to_vec()
    };
    let sec_1 = pem("EC PRIVATE KEY", &inside(&elliptic, &[0x30, 0x6b, 2, 1, 1]));
    // Its version is 0, and a modulus of 257 bytes follows.
    let der = rsa.serialize_der();
    let at = der.windows(5).position(|window| window == [2, 1, 0, 2, 0x82]).expect("a key in it");
    let pkcs_1 = pem("RSA PRIVATE KEY", &der[at - 4..]);
    for (key, text) in [
        (&elliptic, elliptic.serialize_pem()),
        (&elliptic, sec_1),
        (&rsa, rsa.serialize_pem()),
        (&rsa, pkcs_1),
    ] {
        let certificate = Certificate::of(key, |_| {});
        certificate.write(&certificate.chain, &text);
        for version in VERSIONS {
            let server = start(&certificate, 1);
            let config = Arc::new(certificate.trusted(&[version]));
            let secure = Secure::connect(server.tls_address(), &config).expect("a handshake");
            assert_eq!(Response::of(secure.http(HEALTH)).status, 200, "{text}");
        }
    }
}

#[test]
fn it_knows_when_its_certificate_expires() {
    let key = KeyPair::generate().expect("a key");
    let certificate = Certificate::of(&key, |params| params.not_after = date_time_ymd(2038, 1, 19));
    assert_eq!(start(&certificate, 1).server().certificate_expires(), Some(2_147_472_000));
    assert_eq!(Running::start(1, |_| {}).server().certificate_expires(), None);
}

#[test]
fn a_certificate_that_expires_soon_or_has_expired_is_warned_about() {
    let key = KeyPair::generate().expect("a key");
    for (year, words) in [(2001, "has expired"), (4000, "expires in ")] {
        let certificate = Certificate::of(&key, |params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(year, 1, 1);
        });
        let mut process = Process::spawn(fanwire().args(certificate.options()));
        let line = process.line(words);
        assert_eq!(line.contains("WARN"), year < 2026, "{line}");
    }
}

/// Waits until new handshakes are made with a certificate that `config` trusts.
fn until_shown(address: SocketAddr, config: &Arc<ClientConfig>) {
    let started = Instant::now();
    while shown(address, config).is_none() {
        assert!(started.elapsed() < PATIENCE, "it is not taken");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process that speaks TLS, and where.
fn serve(certificate: &Certificate) -> (Process, SocketAddr) {
    let mut process =
        Process::spawn(fanwire().args(certificate.options()).args(["--workers", "2", "--echo"]));
    let address = process.address();
    (process, address)
}

#[test]
fn sighup_has_new_handshakes_use_the_new_certificate_and_leaves_open_connections_alone() {
    let (former, latter) = (Certificate::new(), Certificate::new());
    let (mut process, address) = serve(&former);
    let mut echo = Client::on(former.connect(address), "/echo", None);
    former.write(&latter.chain, &latter.key);
    process.signal("HUP");
    process.line("new TLS handshakes use it");
    let trusts = |certificate: &Certificate| Arc::new(certificate.trusted(&[&TLS13]));
    assert!(shown(address, &trusts(&latter)).is_some() && shown(address, &trusts(&former)).is_none());
    echo.send("still here");
    assert_eq!(echo.text(), "still here");
    echo.close();
}

#[test]
fn a_change_of_the_files_is_noticed_without_a_signal() {
    let (former, latter) = (Certificate::new(), Certificate::new());
    let (mut process, address) = serve(&former);
    former.write(&latter.chain, &latter.key);
    process.line("has changed");
    until_shown(address, &Arc::new(latter.trusted(&[&TLS13])));
}

#[test]
fn a_server_in_a_program_of_ones_own_reloads_when_it_is_told_to() {
    let (former, latter) = (Certificate::new(), Certificate::new());
    let server = start(&former, 1);
    former.write(&latter.chain, &latter.key);
    server.server().reload_certificate();
    until_shown(server.tls_address(), &Arc::new(latter.trusted(&[&TLS13])));
}

#[test]
fn a_session_is_resumed_after_the_certificate_was_replaced() {
    let (former, latter) = (Certificate::new(), Certificate::new());
    let server = start(&former, 1);
    let config = Arc::new(former.trusted(&[&TLS12]));
    drop(Secure::connect(server.tls_address(), &config).expect("a handshake").http(HEALTH));
    former.write(&latter.chain, &latter.key);
    server.server().reload_certificate();
    until_shown(server.tls_address(), &Arc::new(latter.trusted(&[&TLS13])));
    let again = Secure::connect(server.tls_address(), &config).expect("a handshake");
    assert_eq!(again.0.conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_bad_new_file_keeps_the_old_certificate_and_says_why() {
    let (good, other) = (Certificate::new(), Certificate::new());
    let (mut process, address) = serve(&good);
    let trusted = Arc::new(good.trusted(&[&TLS13]));
    for (certificate, key, words) in [
        (&*good.chain, &*other.key, "does not belong"),
        ("", &*good.key, "no certificate"),
        (&*good.chain, "nothing", "no private key"),
    ] {
        good.write(certificate, key);
        process.signal("HUP");
        let line = process.line("the certificate in use stays");
        assert!(line.contains(words) && line.contains("give"), "{line}");
        assert!(shown(address, &trusted).is_some(), "{words}");
    }
    good.write(&good.chain, &good.key);
    process.signal("HUP");
    process.line("new TLS handshakes use it");
}

#[test]
fn sighup_without_tls_changes_nothing() {
    let (mut process, address) = Process::serve(&[]);
    process.signal("HUP");
    process.line("SIGHUP: there is no certificate");
    Client::connect(address, "/ws").close();
}

#[test]
fn the_log_says_where_tls_is_spoken() {
    let certificate = Certificate::new();
    let (process, address) = serve(&certificate);
    let log = process.log.join("\n");
    assert!(
        log.contains(&format!("wss://{address}/ws")) && log.contains(&format!("https://{address}/")),
        "{log}"
    );
    assert!(!log.contains("ws://127.0.0.1:8080"), "no other address is listened on: {log}");
}

#[test]
fn the_files_may_be_named_by_variables() {
    let certificate = Certificate::new();
    let files = certificate.files();
    let mut command = fanwire();
    command.env("FANWIRE_LISTEN_TLS", "127.0.0.1:0").env("FANWIRE_TLS_CERT", files.certificate);
    let mut process = Process::spawn(command.env("FANWIRE_TLS_KEY", files.key));
    assert!(certificate.connect(process.address()).http(HEALTH).starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_certificate_that_cannot_be_used_is_exit_code_2_and_a_message_with_the_fix() {
    let (good, other) = (Certificate::new(), Certificate::new());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let torn = &*good.chain.replace("-----END", "-----and");
    let no_certificate = pem("CERTIFICATE", &[0x30, 3, 2, 1, 0]);
    for (certificate, key, parts) in [
        ("", &*good.key, &["--tls-cert", "holds no certificate", "-----BEGIN CERTIFICATE-----"][..]),
        (&*good.key, &*good.key, &["--tls-cert", "holds no certificate"]),
        (torn, &*good.key, &["--tls-cert", "not PEM"]),
        (&*no_certificate, &*good.key, &["--tls-cert", "no X.509 certificate"]),
        (&*good.chain, "", &["--tls-key", "no private key", "-----BEGIN PRIVATE KEY-----"]),
        (&*good.chain, &*good.chain, &["--tls-key", "no private key"]),
        (&*good.chain, encrypted, &["--tls-key", "encrypted", "openssl pkey"]),
        (&*good.chain, &*other.key, &["--tls-key", "does not belong", "issued for"]),
    ] {
        good.write(certificate, key);
        let (code, log) = run(fanwire().args(good.options()));
        assert_eq!(code, Some(2), "{log}");
        for part in parts {
            assert!(log.contains(part), "{part}: {log}");
        }
    }
}

#[test]
fn options_of_tls_that_do_not_fit_together_are_exit_code_2_and_a_message_with_the_fix() {
    let certificate = Certificate::new();
    let options = certificate.options();
    let [listen, address, cert, cert_file, key, key_file] = &options[..] else { panic!("{options:?}") };
    for (arguments, parts) in [
        (vec![listen, address], &["--listen-tls", "--tls-cert FILE"][..]),
        (vec![listen, address, cert, cert_file], &["--tls-cert", "without --tls-key"]),
        (vec![listen, address, key, key_file], &["--tls-key", "without --tls-cert"]),
        (vec![cert, cert_file, key, key_file], &["--tls-cert", "--listen-tls"]),
        (
            vec![listen, address, cert, &"/nowhere.pem".to_owned(), key, key_file],
            &["--tls-cert", "cannot be read"],
        ),
        (
            vec![listen, address, cert, cert_file, key, &"/nowhere.pem".to_owned()],
            &["--tls-key", "cannot be read"],
        ),
        (
            vec![listen, &"192.0.2.1:0".to_owned(), cert, cert_file, key, key_file],
            &["--listen-tls", "not an address"],
        ),
    ] {
        let (code, log) = run(fanwire().args(arguments));
        assert_eq!(code, Some(2), "{log}");
        for part in parts {
            assert!(log.contains(part), "{part}: {log}");
        }
    }
}

#[test]
fn a_server_at_rest_with_tls_connections_uses_no_processor() {
    let certificate = Certificate::new();
    let (process, address) = serve(&certificate);
    let mut stalled = connect(address, None);
    stalled.write_all(&[22, 3, 1, 2]).expect("the server takes it");
    let mut blocked = Client::on(certificate.connect(address), "/echo", None);
    blocked.send("hello");
    assert_eq!(blocked.text(), "hello");
    let before = process.cpu_ticks();
    // Nothing happens that could be waited for.
    stalled.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket");
    let waited = stalled.read(&mut [0]).expect_err("nothing comes");
    assert_eq!(waited.kind(), ErrorKind::WouldBlock);
    assert!(process.cpu_ticks() - before <= 5, "{} ticks in 2 s", process.cpu_ticks() - before);
}
