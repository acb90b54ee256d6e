//! Behind proxies: whom a connection counts for, by `X-Forwarded-For`, `Forwarded` and the PROXY protocol. All of
//! 127.0.0.0/8 is this machine: one of its addresses is a proxy that is trusted, another anybody.

use crate::certificate::Certificate;
use crate::client::{
    Client, Raw, Response, SAMPLE_101, assert_eof, connect_from, masked, upgrade, upgrade_with,
};
use crate::process::Process;
use crate::running::Running;
use fanwire::config::{Config, TrustedProxies};
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const ANYBODY: [u8; 4] = [127, 0, 0, 1];
const PROXY: [u8; 4] = [127, 0, 0, 2];

/// What a proxy says first of 192.0.2.1, in both versions.
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 127.0.0.1 258 8080\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x01\x02\x1f\x90";

/// What it says for itself, as health checks do.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn trust_the_proxy(config: &mut Config) {
    config.trusted_proxies = TrustedProxies::default();
    config.trusted_proxies.add("127.0.0.2").expect("an address");
}

/// A server behind the proxy, with so many places for an address; 0 is any number.
fn behind(places: usize, proxy_protocol: bool) -> Running {
    Running::start(2, |config| {
        trust_the_proxy(config);
        config.connections_per_address_max = places;
        config.proxy_protocol = proxy_protocol;
    })
}

/// A connection from there that begins with these bytes.
fn begun(from: [u8; 4], server: &Running, bytes: impl AsRef<[u8]>) -> Raw {
    let mut raw = Raw(connect_from(from, server.address));
    raw.send(bytes);
    raw
}

#[track_caller]
fn assert_opened(mut raw: Raw) -> Raw {
    assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
    raw
}

#[track_caller]
fn assert_too_many(mut raw: Raw) {
    let response = Response::read(&mut raw);
    response.assert_complete();
    assert_eq!(response.status, 429, "{response:?}");
}

#[test]
fn a_client_counts_for_the_address_that_a_trusted_proxy_names() {
    for header in ["X-Forwarded-For: 198.51.100.7, 192.0.2.", "Forwarded: for=198.51.100.7, for=192.0.2."] {
        let server = behind(1, false);
        let ask = |number: u8| begun(PROXY, &server, upgrade_with("/ws", &format!("{header}{number}\r\n")));
        let mut ann = assert_opened(ask(1));
        assert_too_many(ask(1));
        let mut bob = assert_opened(ask(2));
        ann.send(masked(0x81, b"hello"));
        assert_eq!(bob.read(7), b"\x81\x05hello");
        assert_eq!(server.totals().connections_turned_away_by_address, 1);
        drop(ann);
        server.until("ann and who was turned away have left", |totals| totals.connections_open == 1);
        assert_opened(ask(1));
    }
}

#[test]
fn what_anybody_else_says_of_where_it_comes_from_is_ignored() {
    let server = behind(1, false);
    let ask = |from, number: u8| {
        let lines = format!("X-Forwarded-For: 192.0.2.{number}\r\nForwarded: for=192.0.2.{number}\r\n");
        begun(from, &server, upgrade_with("/ws", &lines))
    };
    let _ann = assert_opened(ask(ANYBODY, 1));
    assert_too_many(begun(ANYBODY, &server, ""));
    let _through_the_proxy = assert_opened(ask(PROXY, 127));
}

#[test]
fn several_headers_are_one_list_and_what_a_client_claims_comes_before_what_proxies_add() {
    let server = behind(1, false);
    let lines = "X-Forwarded-For: 192.0.2.2\r\nX-Other: 1\r\nx-forwarded-for: 192.0.2.1,127.0.0.2\r\n";
    let _ann = assert_opened(begun(PROXY, &server, upgrade_with("/ws", lines)));
    assert_too_many(begun(PROXY, &server, upgrade_with("/ws", "X-Forwarded-For: 192.0.2.1\r\n")));
    let _bob = assert_opened(begun(PROXY, &server, upgrade_with("/ws", "X-Forwarded-For: 192.0.2.2\r\n")));
}

#[test]
fn a_proxy_that_says_nothing_counts_for_itself() {
    let server = behind(1, false);
    let _ann = assert_opened(begun(PROXY, &server, upgrade("/ws")));
    assert_too_many(begun(PROXY, &server, upgrade("/ws")));
    assert_too_many(begun(PROXY, &server, upgrade_with("/ws", "X-Forwarded-For: unknown\r\n")));
}

#[test]
fn frames_that_come_with_a_request_are_heard_once_it_is_known_whose_it_is() {
    let server = behind(1, false);
    for target in ["/ws", "/ws/room"] {
        let mut listener =
            assert_opened(begun(PROXY, &server, upgrade_with(target, "X-Forwarded-For: 192.0.2.9\r\n")));
        let lines = "X-Forwarded-For: 192.0.2.8\r\n";
        let request = [upgrade_with(target, lines).into_bytes(), masked(0x81, b"hello")].concat();
        let speaker = assert_opened(begun(PROXY, &server, request));
        assert_eq!(listener.read(7), b"\x81\x05hello");
        drop((listener, speaker));
        server.until("they have left", |totals| totals.connections_open == 0);
    }
}

#[test]
fn both_versions_of_the_proxy_protocol_name_whom_a_connection_counts_for() {
    for header in [V1, V2] {
        let server = behind(1, true);
        let mut ann = assert_opened(begun(PROXY, &server, [header, upgrade("/ws").as_bytes()].concat()));
        // Without a request: its address is known already.
        assert_too_many(begun(PROXY, &server, header));
        ann.send(masked(0x81, b"hello"));
        assert_eq!(ann.read(7), b"\x81\x05hello");
        drop(ann);
        server.until("they have left", |totals| totals.connections_open == 0);
        let mut raw = begun(PROXY, &server, "");
        for byte in [header, upgrade("/ws").as_bytes()].concat() {
            raw.send([byte]);
        }
        assert_opened(raw);
        assert_eq!(server.totals().proxy_headers_refused, 0);
    }
}

#[test]
fn who_is_turned_away_takes_no_place_of_the_address_that_a_proxy_names() {
    let server = Running::start(1, |config| {
        trust_the_proxy(config);
        (config.connections_max, config.connections_per_address_max) = (1, 1);
        config.proxy_protocol = true;
    });
    let other = b"PROXY TCP4 192.0.2.2 127.0.0.1 258 8080\r\n";
    let ask = |header: &[u8]| begun(PROXY, &server, [header, upgrade("/ws").as_bytes()].concat());
    let ann = assert_opened(ask(V1));
    let mut bob = ask(other);
    assert_eq!(Response::read(&mut bob).status, 503);
    drop(ann);
    server.until("ann has left, and bob lingers", |totals| totals.connections_open == 1);
    assert_opened(ask(other));
    assert_eq!(server.totals().connections_turned_away_by_address, 0);
    drop(bob);
}

#[test]
fn what_a_proxy_says_for_itself_counts_for_it_and_may_name_another_in_the_request() {
    let server = behind(1, true);
    let health = [LOCAL, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    assert_eq!(Response::read(&mut begun(PROXY, &server, &health)).status, 200);
    server.until("it has left", |totals| totals.connections_open == 0);
    let _proxy = assert_opened(begun(PROXY, &server, [LOCAL, upgrade("/ws").as_bytes()].concat()));
    assert_too_many(begun(PROXY, &server, [b"PROXY UNKNOWN\r\n", upgrade("/ws").as_bytes()].concat()));
    let named = upgrade_with("/ws", "X-Forwarded-For: 192.0.2.1\r\n");
    let _ann = assert_opened(begun(PROXY, &server, [LOCAL, named.as_bytes()].concat()));
    // Who is named by the PROXY header is not trusted to name anybody else.
    let other = upgrade_with("/ws", "X-Forwarded-For: 192.0.2.2\r\n");
    assert_too_many(begun(PROXY, &server, [V1, other.as_bytes()].concat()));
}

#[test]
fn without_a_header_that_is_believed_a_connection_is_closed_without_a_word_and_counted() {
    let server = behind(0, true);
    for (count, (from, bytes)) in (1..).zip([
        (PROXY, upgrade("/ws").into_bytes()),
        (PROXY, b"PROXY TCP4 192.0.2.256 127.0.0.1 258 8080\r\n".to_vec()),
        (PROXY, [&V2[..14], b"\xff\xff"].concat()),
        (PROXY, b"\x16\x03\x01".to_vec()),
        (ANYBODY, V2.to_vec()),
        (ANYBODY, upgrade("/ws").into_bytes()),
    ]) {
        assert_eof(&mut begun(from, &server, bytes).0);
        server.until("it is counted", |totals| totals.proxy_headers_refused == count);
    }
    let mut cut = begun(PROXY, &server, &V2[..20]);
    cut.shut_down();
    assert_eof(&mut cut.0);
    server.until("it is counted", |totals| totals.proxy_headers_refused == 7);
    server.until("nobody is left", |totals| totals.connections_open == 0);
}

#[test]
fn a_header_that_does_not_come_in_time_is_one_that_does_not_come() {
    let server = Running::start(1, |config| {
        trust_the_proxy(config);
        config.proxy_protocol = true;
        config.limits.handshake_timeout_ms = 200;
    });
    assert_eof(&mut begun(PROXY, &server, &V1[..20]).0);
    let totals = server.until("it is counted", |totals| totals.proxy_headers_refused == 1);
    assert_eq!(totals.handshakes_timed_out, 1);
    let mut late = begun(PROXY, &server, V1);
    assert_eq!(Response::read(&mut late).status, 408, "with its header it is told");
}

#[test]
fn who_is_turned_away_is_told_behind_its_header() {
    let server = Running::start(1, |config| {
        trust_the_proxy(config);
        config.proxy_protocol = true;
        config.connections_max = 1;
    });
    let _ann = assert_opened(begun(PROXY, &server, [V1, upgrade("/ws").as_bytes()].concat()));
    let mut bob = begun(PROXY, &server, "");
    server.until("it is turned away", |totals| totals.connections_turned_away == 1);
    bob.send(V1);
    assert_eq!(Response::read(&mut bob).status, 503);
}

#[test]
fn the_header_comes_before_tls_and_may_come_with_its_hello() {
    let certificate = Certificate::new();
    let server = Running::start(2, |config| {
        certificate.configure(config);
        trust_the_proxy(config);
        config.proxy_protocol = true;
        config.connections_per_address_max = 1;
        // Who was refused is there until it leaves.
        config.limits.close_timeout_ms = 60_000;
    });
    let trusted = Arc::new(certificate.trusted(&[&TLS13]));
    let secure = |header: &[u8]| {
        let name = "localhost".try_into().expect("a name");
        let mut session = ClientConnection::new(trusted.clone(), name).expect("a configuration");
        let mut first = header.to_vec();
        session.write_tls(&mut first).expect("memory");
        let mut stream = connect_from(PROXY, server.tls_address());
        stream.write_all(&first).expect("the server takes it");
        StreamOwned::new(session, stream)
    };
    let mut ann = secure(V2);
    ann.write_all(upgrade("/ws").as_bytes()).expect("the server takes it");
    let mut answer = vec![0; SAMPLE_101.len()];
    ann.read_exact(&mut answer).expect("it opens");
    assert_eq!(answer, SAMPLE_101.as_bytes());
    let mut again = secure(V1);
    let mut answer = String::new();
    again.read_to_string(&mut answer).expect("an answer and the end");
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert_eq!(server.totals().tls_connections_open, 2);
    drop((ann, again));
    server.until("they have left", |totals| totals.tls_connections_open == 0);
    assert_eof(&mut connect_from(ANYBODY, server.tls_address()).tap(b"\x16\x03\x01"));
}

trait Tap {
    /// The same when it has sent these bytes.
    fn tap(self, bytes: &[u8]) -> Self;
}

impl Tap for TcpStream {
    fn tap(mut self, bytes: &[u8]) -> Self {
        self.write_all(bytes).expect("the server takes it");
        self
    }
}

#[test]
fn without_trust_no_header_is_looked_at_and_direct_clients_are_served_beside_proxies() {
    let server = behind(0, false);
    let mut ann = Client::on(connect_from(ANYBODY, server.address), "/ws", None);
    let mut bob = Client::on(connect_from(PROXY, server.address), "/ws", None);
    ann.send("hello");
    assert_eq!(bob.text(), "hello");
}

#[test]
fn the_log_names_the_client_and_not_the_proxy() {
    let arguments = ["--workers", "1", "--trust-proxy", "127.0.0.2", "--max-connections-per-ip", "1", "-v"];
    let (mut process, address) = Process::serve(&arguments);
    process.line("behind proxies: 127.0.0.2/32");
    let ask = || {
        let mut raw = Raw(connect_from(PROXY, address));
        raw.send(upgrade_with("/ws", "X-Forwarded-For: 192.0.2.1:4711\r\n"));
        raw
    };
    let _ann = assert_opened(ask());
    assert!(process.line("speaks for").contains("192.0.2.1:4711"));
    assert_too_many(ask());
    assert!(process.line("--max-connections-per-ip allows").contains("192.0.2.1"));
}
