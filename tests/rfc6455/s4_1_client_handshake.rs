//! §4.1: the client's side of the opening handshake.

use crate::peer::{Peer, Seen, text};
use fanwire::limits::{self, Limits};
use fanwire::protocol::{
    Agreement, ClientRequest, Closure, HandshakeError, InvalidRequest, Response, Status, Wants,
};

fn request() -> ClientRequest {
    ClientRequest::new("example.com:81", "/chat?x=1")
        .unwrap()
        .with_subprotocol("a")
        .unwrap()
        .with_subprotocol("b")
        .unwrap()
}

/// The accept key that belongs to the key which every client here sends.
fn accept_key() -> String {
    let client = Peer::connecting_client(request());
    let mut server = Peer::connecting_server(Limits::default());
    server.receive(&client.out);
    server.connection.accept(Agreement::default(), server.now, &mut server.out);
    let response = String::from_utf8(server.out).unwrap();
    let line = response.lines().find(|line| line.starts_with("Sec-WebSocket-Accept: ")).unwrap();
    line["Sec-WebSocket-Accept: ".len()..].to_owned()
}

fn answered(response: &str) -> Seen {
    let mut client = Peer::connecting_client(request());
    client.take_out();
    let mut seen = client.receive(response.replace("{accept}", &accept_key()).as_bytes());
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(client.out, b"", "a client says nothing to a wrong answer");
    seen.remove(0)
}

#[track_caller]
fn refused(response: &str) -> HandshakeError {
    match answered(response) {
        Seen::Closed(Closure::Refused(error)) => error,
        other => panic!("{other:?}"),
    }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

#[test]
fn s4_1_the_request_has_all_that_it_must_have() {
    let request =
        request().with_origin("http://a").unwrap().with_header("Authorization", "Bearer x").unwrap();
    let client = Peer::connecting_client(request);
    let head = String::from_utf8(client.out).unwrap();
    let lines = head.split("\r\n").collect::<Vec<_>>();
    assert_eq!(
        lines[..4],
        ["GET /chat?x=1 HTTP/1.1", "Host: example.com:81", "Upgrade: websocket", "Connection: Upgrade"]
    );
    assert!(
        lines[4].starts_with("Sec-WebSocket-Key: ") && lines[4].ends_with("==") && lines[4].len() == 19 + 24
    );
    assert_eq!(
        lines[5..],
        [
            "Sec-WebSocket-Version: 13",
            "Origin: http://a",
            "Sec-WebSocket-Protocol: a, b",
            "Authorization: Bearer x",
            "",
            ""
        ]
    );
}

#[test]
fn s4_1_a_name_stands_below_the_path_and_before_the_query() {
    for (target, below) in [
        ("/chat?x=1", "GET /chat/b1?x=1 HTTP/1.1"),
        ("/chat/", "GET /chat/b1 HTTP/1.1"),
        ("/", "GET /b1 HTTP/1.1"),
    ] {
        let request = ClientRequest::new("a", target).and_then(|request| request.below("b1")).unwrap();
        let head = String::from_utf8(Peer::connecting_client(request).out).unwrap();
        assert_eq!(head.lines().next(), Some(below));
    }
    assert_eq!(request().below("b 1"), Err(InvalidRequest::Target));
}

#[test]
fn s4_1_what_may_not_stand_in_a_request_is_refused() {
    assert_eq!(ClientRequest::new("a b", "/"), Err(InvalidRequest::Host));
    assert_eq!(ClientRequest::new("", "/"), Err(InvalidRequest::Host));
    assert_eq!(ClientRequest::new("a", "chat"), Err(InvalidRequest::Target));
    assert_eq!(ClientRequest::new("a", "/ HTTP/1.1\r\nX: y"), Err(InvalidRequest::Target));
    assert_eq!(request().with_origin("a\r\nb"), Err(InvalidRequest::Origin));
    assert_eq!(request().with_subprotocol("a"), Err(InvalidRequest::Subprotocol), "§4.1: unique");
    assert_eq!(request().with_subprotocol("x y"), Err(InvalidRequest::Subprotocol));
    assert_eq!(request().with_header("host", "b"), Err(InvalidRequest::Header));
    assert_eq!(request().with_header("X", "a\r\nY: b"), Err(InvalidRequest::Header));
    assert_eq!(request().with_header("X ", "a"), Err(InvalidRequest::Header));
}

#[test]
fn s4_1_an_invalid_request_says_which_part_of_it_is() {
    let sentence = |part: &str, error: InvalidRequest| assert!(error.to_string().contains(part), "{error}");
    sentence("host", InvalidRequest::Host);
    sentence("target", InvalidRequest::Target);
    sentence("origin", InvalidRequest::Origin);
    sentence("subprotocol", InvalidRequest::Subprotocol);
    sentence("header", InvalidRequest::Header);
}

#[test]
fn s4_1_a_right_101_opens_the_connection_and_frames_may_follow_in_the_same_bytes() {
    let mut client = Peer::connecting_client(request());
    let head = format!("HTTP/1.1 101 Sure\r\n{UPGRADE}Sec-WebSocket-Accept: {}\r\n\r\n", accept_key());
    let seen = client.receive(&[head.as_bytes(), b"\x81\x02hi"].concat());
    assert_eq!(seen, [Seen::Accepted(Agreement::default()), text("hi")]);
}

#[test]
fn s4_1_a_right_101_may_come_byte_by_byte() {
    let mut client = Peer::connecting_client(request());
    let head = format!("HTTP/1.1 101 Sure\r\n{UPGRADE}Sec-WebSocket-Accept: {}\r\n\r\n", accept_key());
    let seen = head.bytes().flat_map(|byte| client.receive(&[byte])).collect::<Vec<_>>();
    assert_eq!(seen, [Seen::Accepted(Agreement::default())]);
}

#[test]
fn s4_1_headers_that_decide_nothing_are_passed_over() {
    let headers = "Server: x\r\nX-Upgrade: h2c\r\nSec-WebSocket-Extensions:\r\n";
    let seen =
        answered(&format!("HTTP/1.1 101 x\r\n{UPGRADE}{headers}Sec-WebSocket-Accept: {{accept}}\r\n\r\n"));
    assert_eq!(seen, Seen::Accepted(Agreement::default()));
}

#[test]
fn s4_1_the_subprotocol_is_one_that_was_offered() {
    let with = |line: &str| {
        answered(&format!("HTTP/1.1 101 x\r\n{UPGRADE}Sec-WebSocket-Accept: {{accept}}\r\n{line}\r\n\r\n"))
    };
    assert_eq!(
        with("Sec-WebSocket-Protocol: b"),
        Seen::Accepted(Agreement { subprotocol: Some("b".into()), ..Agreement::default() })
    );
    for line in ["c", "B", "a, b", "", "a\r\nSec-WebSocket-Protocol: a"] {
        let seen = with(&format!("Sec-WebSocket-Protocol: {line}"));
        assert_eq!(seen, Seen::Closed(Closure::Refused(HandshakeError::SubprotocolNotOffered)), "{line}");
    }
}

#[test]
fn s4_1_a_101_that_does_not_answer_the_request_fails() {
    let accept = "Sec-WebSocket-Accept: {accept}\r\n\r\n";
    let with = |headers: &str| refused(&format!("HTTP/1.1 101 x\r\n{headers}"));
    assert_eq!(with(&format!("Connection: Upgrade\r\n{accept}")), HandshakeError::ResponseUpgradeInvalid);
    assert_eq!(
        with(&format!("Upgrade: h2c\r\nConnection: Upgrade\r\n{accept}")),
        HandshakeError::ResponseUpgradeInvalid
    );
    assert_eq!(with(&format!("Upgrade: websocket\r\n{accept}")), HandshakeError::ResponseConnectionInvalid);
    assert_eq!(with(&format!("{UPGRADE}\r\n")), HandshakeError::AcceptInvalid);
    assert_eq!(
        with(&format!("{UPGRADE}Sec-WebSocket-Accept: {}\r\n\r\n", accept_key().to_lowercase())),
        HandshakeError::AcceptInvalid
    );
    assert_eq!(
        with(&format!("{UPGRADE}Sec-WebSocket-Accept: {{accept}}\r\n{accept}")),
        HandshakeError::AcceptInvalid
    );
    let extension = format!("{UPGRADE}Sec-WebSocket-Extensions: permessage-deflate\r\n{accept}");
    assert_eq!(with(&extension), HandshakeError::ExtensionNotOffered);
}

#[test]
fn s4_1_another_status_is_the_server_s_answer() {
    for (line, number) in [
        ("HTTP/1.1 403 Forbidden", 403),
        ("HTTP/1.1 302 Found", 302),
        ("HTTP/1.0 503 x", 503),
        ("HTTP/1.1 200 OK", 200),
    ] {
        let seen = answered(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(seen, Seen::Closed(Closure::Responded(Status::new(number))));
    }
}

#[test]
fn s4_1_interim_responses_are_passed_over() {
    let seen = answered(&format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 101 x\r\n{UPGRADE}Sec-WebSocket-Accept: {{accept}}\r\n\r\n"
    ));
    assert_eq!(seen, Seen::Accepted(Agreement::default()));
}

#[test]
fn s4_1_what_is_not_http_fails_at_its_first_impossible_byte() {
    assert_eq!(refused("SSH-2.0"), HandshakeError::ResponseInvalid);
    assert_eq!(refused("HTTP/2"), HandshakeError::ResponseInvalid);
    assert_eq!(refused("HTTP/1.0 101 x\r\n\r\n"), HandshakeError::ResponseInvalid);
    assert_eq!(refused("HTTP/1.1 x\r\n\r\n"), HandshakeError::ResponseInvalid);
    assert_eq!(refused("HTTP/1.1 101 x\n"), HandshakeError::BareLineBreak);
}

#[test]
fn s4_1_a_response_that_is_too_large_is_not_said_to_be_a_request() {
    let long = format!("HTTP/1.1 101 x\r\nX: {}", "x".repeat(limits::REQUEST_HEAD_BYTES_MAX));
    let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "X: x\r\n".repeat(limits::REQUEST_HEADERS_MAX + 1));
    for (response, error) in [(long, HandshakeError::HeadTooLarge), (many, HandshakeError::TooManyHeaders)] {
        assert_eq!(refused(&response), error);
        assert!(!error.sentence().contains("request"), "{error}");
    }
}

#[test]
fn s4_1_an_end_before_the_answer_is_a_lost_connection() {
    let mut client = Peer::connecting_client(request());
    assert_eq!(client.connection.receive_eof(client.now).map(Seen::from), Some(Seen::Closed(Closure::Lost)));
    assert_eq!(client.connection.wants(), Wants::Nothing);
}

#[test]
fn s4_1_a_client_has_nothing_to_answer() {
    let mut client = Peer::connecting_client(request());
    client.take_out();
    let closure = client.connection.respond(&Response::text(Status::OK, "x"), client.now, &mut client.out);
    assert_eq!((closure, &*client.out), (None, &b""[..]));
}
