//! The opening handshake and plain HTTP, on the wire (RFC 6455 §4.2, RFC 9112).

use crate::client::{Client, Raw, Response, SAMPLE_101, http, masked, upgrade, upgrade_with};
use crate::running::Running;
use fanwire::config::OriginPolicy;
use fanwire::limits;
use fanwire::protocol::{CloseCode, CloseReason, Closure};

const FORBIDDEN: u16 = 403;

const CHAT_PAGE: &str = include_str!("../../src/pages/chat.html");

#[test]
fn s1_3_the_sample_key_gets_the_samples_101_and_not_a_byte_more() {
    let server = Running::start(1, |_| {});
    let mut raw = server.raw();
    raw.send(upgrade("/ws"));
    assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
    // The next byte is the answer to the next frame.
    raw.send(masked(0x89, b"Hello"));
    assert_eq!(raw.read(7), b"\x8a\x05Hello");
}

#[test]
fn s4_2_a_request_that_comes_byte_by_byte_is_accepted() {
    let server = Running::start(1, |_| {});
    let mut raw = server.raw();
    for byte in upgrade("/ws").as_bytes() {
        raw.send([*byte]);
    }
    assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
}

#[test]
fn s4_2_frames_in_the_segment_of_the_request_are_not_lost() {
    // With four workers most channels are at home elsewhere, and the frames wait for the home's word.
    let server = Running::start(4, |_| {});
    for number in 0..40 {
        let mut raw = server.raw();
        let mut bytes = upgrade(&format!("/ws/{number}")).into_bytes();
        bytes.extend(masked(0x81, b"one"));
        bytes.extend(masked(0x82, b"two"));
        bytes.extend(&masked(0x81, b"three")[..4]);
        raw.send(bytes);
        assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
        assert_eq!(raw.read(10), b"\x81\x03one\x82\x03two");
        raw.send(&masked(0x81, b"three")[4..]);
        assert_eq!(raw.read(7), b"\x81\x05three");
    }
}

#[test]
fn s4_2_a_close_frame_in_the_segment_of_the_request_is_answered_behind_the_101() {
    let server = Running::start(4, |_| {});
    for number in 0..20 {
        let mut raw = server.raw();
        let mut bytes = upgrade(&format!("/ws/{number}")).into_bytes();
        bytes.extend(masked(0x88, b"\x03\xe8"));
        raw.send(bytes);
        let answer = raw.read_to_end();
        assert_eq!(answer, [SAMPLE_101.as_bytes(), b"\x88\x02\x03\xe8"].concat());
    }
}

#[test]
fn ws_is_the_lobby() {
    let server = Running::start(2, |_| {});
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws/lobby"));
    ann.send("hello");
    assert_eq!(bob.text(), "hello");
}

#[test]
fn a_channel_may_have_any_name_of_200_bytes_out_of_its_alphabet() {
    let server = Running::start(2, |_| {});
    for name in ["a", "A-Za-z0-9_=@,.;:", "a/b//c/", &"x".repeat(200)] {
        let mut client = server.client(&format!("/ws/{name}?echo=on"));
        client.send(name);
        assert_eq!(client.text(), name);
    }
}

#[test]
fn a_channel_of_another_name_is_a_404_that_says_why() {
    let server = Running::start(1, |_| {});
    for (name, reason) in [("", "empty"), ("a%20b", "%"), ("a+b", "+"), (&*"x".repeat(201), "200")] {
        let response = server.http(upgrade(&format!("/ws/{name}")));
        response.assert_complete();
        assert_eq!(response.status, 404, "{name}");
        assert!(response.body.contains(reason), "{name:?}: {}", response.body);
    }
}

#[test]
fn healthz_says_ok() {
    let server = Running::start(1, |_| {});
    let response = server.http("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    response.assert_complete();
    assert_eq!((response.status, &*response.body), (200, "ok\n"));
}

#[test]
fn healthz_answers_head_without_a_body() {
    let server = Running::start(1, |_| {});
    let response = server.http("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, &*response.body), (200, ""));
    assert_eq!(response.header("Content-Length"), Some("3"));
}

#[test]
fn the_root_is_the_chat_page_under_its_security_policy() {
    let server = Running::start(1, |_| {});
    let response = server.http("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    response.assert_complete();
    assert_eq!((response.status, &*response.body), (200, CHAT_PAGE));
    assert_eq!(response.header("Content-Type"), Some("text/html; charset=utf-8"));
    // Which hashes stand in it is checked where it is written.
    let policy = response.header("Content-Security-Policy").expect("it has one");
    assert!(
        policy.starts_with("default-src 'none'; ") && policy.contains("; script-src 'sha256-"),
        "{policy}"
    );
}

#[test]
fn other_paths_are_404_with_a_word_about_what_there_is() {
    let server = Running::start(1, |_| {});
    for path in ["/nope", "/wsx", "/healthz/", "/echo", "/%2F", "/../ws"] {
        for request in [format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), upgrade(path)] {
            let response = server.http(request);
            response.assert_complete();
            assert_eq!(response.status, 404, "{path}");
            assert!(response.body.contains("/ws"), "{path}: {}", response.body);
        }
    }
}

#[test]
fn other_methods_are_405_and_learn_which_there_are() {
    let server = Running::start(1, |_| {});
    for (path, allowed) in [("/", "GET, HEAD"), ("/healthz", "GET, HEAD"), ("/ws", "GET"), ("/ws/a", "GET")] {
        let response = server.http(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
        response.assert_complete();
        assert_eq!((response.status, response.header("Allow")), (405, Some(allowed)), "{path}");
    }
}

#[test]
fn s4_2_2_a_version_other_than_13_is_a_426_that_names_13() {
    let server = Running::start(1, |_| {});
    for version in ["8", "13.0", "013", "14", ""] {
        let request = upgrade("/ws").replace("Version: 13", &format!("Version: {version}"));
        let response = server.http(request);
        response.assert_complete();
        assert_eq!((response.status, response.header("Sec-WebSocket-Version")), (426, Some("13")));
        assert_eq!(response.header("Upgrade"), Some("websocket"), "{version}");
    }
}

#[test]
fn s4_2_1_a_plain_get_of_a_websocket_is_a_426() {
    let server = Running::start(1, |_| {});
    let response = server.http("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
    response.assert_complete();
    assert_eq!((response.status, response.header("Upgrade")), (426, Some("websocket")));
}

#[test]
fn what_is_no_acceptable_request_is_refused_with_its_status_and_a_reason() {
    let server = Running::start(1, |_| {});
    let many_headers = "X: 1\r\n".repeat(limits::REQUEST_HEADERS_MAX);
    let long_header = format!("X: {}\r\n", "x".repeat(limits::REQUEST_HEAD_BYTES_MAX));
    for (status, request, reason) in [
        (400, upgrade_with("/ws", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "Sec-WebSocket-Key"),
        (400, upgrade("/ws").replace("bm9uY2U", "bm9uY2").replace("b25jZQ==", "b25jZ==="), "16 bytes"),
        (400, upgrade("/ws").replace("Host: server.example.com\r\n", ""), "Host"),
        (400, upgrade_with("/ws", "Content-Length: 5\r\n"), "body"),
        (400, upgrade_with("/ws", "Transfer-Encoding: chunked\r\n"), "body"),
        (400, upgrade_with("/ws", "X : 1\r\n"), "header"),
        (400, upgrade_with("/ws", "X: 1\r\n folded\r\n"), "header"),
        (400, "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}".to_owned(), "HTTP"),
        (431, upgrade_with("/ws", &many_headers), "header fields"),
        (431, upgrade_with("/ws", &long_header), "too large"),
        (505, "GET /ws HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(), "HTTP/1.1"),
    ] {
        let response = server.http(&request);
        response.assert_complete();
        assert_eq!(response.status, status, "{request:?}: {}", response.body);
        assert!(response.body.contains(reason), "{request:?}: {}", response.body);
    }
}

#[test]
fn nothing_behind_a_refused_request_is_served() {
    let server = Running::start(1, |_| {});
    let mut listener = server.client("/ws");
    let health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    // A second request, and frames that a proxy would tunnel.
    let refused = upgrade("/ws").replace("Version: 13", "Version: 12");
    for behind in [health.as_bytes().to_vec(), upgrade("/ws").into_bytes(), masked(0x81, b"smuggled")] {
        let response = server.http([refused.as_bytes(), &behind].concat());
        response.assert_complete();
        assert_eq!(response.status, 426);
    }
    let response = server.http([health, health].concat());
    response.assert_complete();
    assert_eq!((response.status, &*response.body), (200, "ok\n"), "no keep-alive");
    let mut publisher = server.client("/ws");
    publisher.send("the only message");
    assert_eq!(listener.text(), "the only message");
}

#[test]
fn a_refusal_is_not_lost_to_a_reset_however_much_comes_behind_the_request() {
    // For so long what comes is taken.
    let server = Running::start(1, |config| config.limits.close_timeout_ms = 60_000);
    let mut raw = server.raw();
    raw.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
    for _ in 0..40 {
        raw.send(vec![b'x'; 100_000]);
    }
    let response = Response::read(&mut raw);
    response.assert_complete();
    assert_eq!(response.status, 404);
}

#[test]
fn a_peer_that_has_said_its_last_with_its_request_still_gets_the_answer() {
    let server = Running::start(2, |_| {});
    let mut raw = server.raw();
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw.shut_down();
    assert_eq!(Response::read(&mut raw).body, CHAT_PAGE);
}

#[test]
fn s7_1_a_connection_that_ends_in_its_handshake_leaves_nothing_behind() {
    let server = Running::start(1, |_| {});
    for cut in [0, 1, 20, upgrade("/ws").len() - 1] {
        let mut raw = server.raw();
        raw.send(&upgrade("/ws").as_bytes()[..cut]);
        drop(raw);
    }
    server.until("all are gone", |totals| totals.connections_accepted == 4 && totals.connections_open == 0);
}

fn status_from(server: &Running, origin_lines: &str) -> u16 {
    let mut raw = server.raw();
    raw.send(upgrade_with("/ws", origin_lines));
    let status = raw.read_text(12);
    if status == "HTTP/1.1 101" {
        return 101;
    }
    let mut rest = raw.read_to_end();
    rest.splice(..0, status.bytes());
    assert!(String::from_utf8_lossy(&rest).contains("Connection: close\r\n"));
    status[9..].parse().expect("a status")
}

#[test]
fn s10_2_a_page_of_the_same_origin_may_connect_and_others_get_403() {
    let server = Running::start(1, |_| {});
    for allowed in ["", "Origin: http://server.example.com\r\n", "Origin: https://server.example.com\r\n"] {
        assert_eq!(status_from(&server, allowed), 101, "{allowed}");
    }
    for forbidden in [
        "Origin: http://evil.example\r\n",
        "Origin: http://server.example.com.evil.example\r\n",
        "Origin: http://server.example.com:8080\r\n",
        "Origin: null\r\n",
        "Origin: http://server.example.com\r\nOrigin: http://server.example.com\r\n",
    ] {
        assert_eq!(status_from(&server, forbidden), FORBIDDEN, "{forbidden}");
    }
}

#[test]
fn s10_2_listed_origins_may_connect_and_no_others() {
    let origins = OriginPolicy::These(vec!["https://app.example".into(), "http://localhost:3000".into()]);
    let server = Running::start(1, |config| config.origins = origins);
    for allowed in ["", "Origin: https://app.example\r\n", "Origin: http://localhost:3000\r\n"] {
        assert_eq!(status_from(&server, allowed), 101, "{allowed}");
    }
    for forbidden in [
        "Origin: http://app.example\r\n",
        "Origin: https://app.example:443\r\n",
        "Origin: http://localhost:30000\r\n",
        "Origin: http://server.example.com\r\n",
    ] {
        assert_eq!(status_from(&server, forbidden), FORBIDDEN, "{forbidden}");
    }
}

#[test]
fn s10_2_a_star_lets_every_origin_connect() {
    let server = Running::start(1, |config| config.origins = OriginPolicy::Any);
    assert_eq!(status_from(&server, "Origin: https://anyone.example\r\n"), 101);
    assert_eq!(status_from(&server, "Origin: null\r\n"), 101);
}

#[test]
fn an_ipv6_listener_serves_next_to_an_ipv4_one() {
    let server = Running::start(2, |config| {
        config.listen = vec![([127, 0, 0, 1], 0).into(), "[::1]:0".parse().unwrap()];
    });
    let addresses = server.addresses();
    assert!(addresses[1].is_ipv6());
    let mut ann = Client::connect(addresses[0], "/ws");
    let mut bob = Client::connect(addresses[1], "/ws");
    bob.send("over IPv6");
    assert_eq!(ann.text(), "over IPv6");
    assert_eq!(http(addresses[1], "GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n").status, 200);
}

#[test]
fn s5_5_1_a_close_is_echoed_and_the_server_ends_tcp_first() {
    let server = Running::start(1, |_| {});
    server.client("/ws").close();
    let mut raw: Raw = server.upgraded("/ws");
    raw.send(masked(0x88, b"\x03\xe9bye"));
    assert_eq!(raw.close_frame(), (1001, String::new()));
    let mut client = server.client("/ws");
    client.send_raw(&masked(0x88, b""));
    assert_eq!(client.closure(), Closure::Agreed(None, CloseReason::none()));
    server.until("closed by agreement", |totals| totals.closed_cleanly == 3 && totals.connections_open == 0);
}

#[test]
fn s5_1_an_unmasked_frame_fails_the_connection_with_1002_and_nothing_of_it_is_heard() {
    let server = Running::start(1, |_| {});
    let mut listener = server.client("/ws");
    let mut raw = server.upgraded("/ws");
    raw.send(b"\x81\x02hi");
    let (code, reason) = raw.close_frame();
    assert_eq!(code, CloseCode::PROTOCOL_ERROR.number());
    assert!(reason.contains("mask"), "{reason}");
    listener.send("still here");
    assert_eq!(listener.text(), "still here");
}
