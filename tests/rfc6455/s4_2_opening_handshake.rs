//! §4.2: the server's side of the opening handshake.

use crate::peer::{Peer, REQUEST, Seen, text};
use fanwire::limits::{Limits, REQUEST_HEAD_BYTES_MAX, REQUEST_HEADERS_MAX, SUBPROTOCOLS_MAX};
use fanwire::protocol::{
    Agreement, Authorization, Closure, HandshakeError, Method, Origin, Request, Response, Status, Time, Wants,
};

/// What a server makes of a whole head.
fn received(head: &[u8]) -> Seen {
    let mut server = Peer::connecting_server(Limits::default());
    let mut seen = server.receive(head);
    assert_eq!(seen.len(), 1, "{}: {seen:?}", head.escape_ascii());
    seen.remove(0)
}

#[track_caller]
fn requested(head: &[u8]) -> Request {
    match received(head) {
        Seen::Requested(request) => request,
        other => panic!("{}: {other:?}", head.escape_ascii()),
    }
}

#[track_caller]
fn refused(head: &[u8]) -> HandshakeError {
    let mut server = Peer::connecting_server(Limits::default());
    match &server.receive(head)[..] {
        [Seen::Closed(Closure::Refused(error))] => {
            let status_line = format!("HTTP/1.1 {}\r\n", error.status());
            assert!(server.out.starts_with(status_line.as_bytes()), "{}", server.out.escape_ascii());
            assert!(server.out.ends_with(format!("\r\n\r\n{error}\n").as_bytes()));
            assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
            *error
        }
        other => panic!("{}: {other:?}", head.escape_ascii()),
    }
}

/// `REQUEST` with these lines in place of the one that begins with `name`, or in addition if there is none.
fn with(name: &str, lines: &str) -> Vec<u8> {
    let head = String::from_utf8(REQUEST.to_vec()).unwrap();
    let kept = head.lines().filter(|line| !line.is_empty() && !line.starts_with(name)).collect::<Vec<_>>();
    format!("{}\r\n{lines}\r\n", kept.join("\r\n")).into_bytes()
}

#[track_caller]
fn upgrade_of(name: &str, lines: &str) -> Result<(), HandshakeError> {
    requested(&with(name, lines)).upgrade
}

fn with_line(line: &[u8]) -> Vec<u8> {
    let mut head = REQUEST[..REQUEST.len() - 2].to_vec();
    head.extend_from_slice(line);
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[test]
fn s4_2_2_the_rfc_s_own_key_gets_the_rfc_s_own_answer() {
    let mut server = Peer::connecting_server(Limits::default());
    let seen = server.receive(REQUEST);
    let request = Request {
        method: Method::Get,
        path: "/chat".into(),
        query: None,
        host: "server.example.com".into(),
        origin: Origin::Absent,
        authorization: Authorization::Absent,
        subprotocols: vec![],
        deflate_offers: Vec::new(),
        upgrade: Ok(()),
        forwarding: None,
    };
    assert_eq!(seen, [Seen::Requested(request)]);
    assert_eq!(server.connection.wants(), Wants::Decision);
    assert!(!server.connection.is_open());
    assert!(server.connection.accept(Agreement::default(), server.now, &mut server.out).is_empty());
    assert_eq!(
        server.out.escape_ascii().to_string(),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            .escape_ascii()
            .to_string()
    );
    assert!(server.connection.is_open());
}

#[test]
fn s4_2_1_a_request_that_comes_byte_by_byte_is_the_same_request() {
    let mut server = Peer::connecting_server(Limits::default());
    for byte in &REQUEST[..REQUEST.len() - 1] {
        assert_eq!(server.receive(&[*byte]), []);
        assert_eq!(server.connection.wants(), Wants::Input);
    }
    assert_eq!(server.receive(&REQUEST[REQUEST.len() - 1..]), [received(REQUEST)]);
}

#[test]
fn s4_2_1_bytes_behind_the_head_are_frames() {
    let mut server = Peer::connecting_server(Limits::default());
    let mut bytes = [REQUEST, b"\x81\x82\0\0\0\0hi"].concat();
    let mut input = bytes.as_mut_slice();
    assert!(server.connection.next_event(&mut input, Time(0), &mut server.out).is_some());
    assert_eq!(input, b"\x81\x82\0\0\0\0hi");
    assert_eq!(server.connection.next_event(&mut input, Time(0), &mut server.out), None);
    assert_eq!(input, b"\x81\x82\0\0\0\0hi", "nothing is consumed while a decision is awaited");
    server.connection.hold(&input[..3]);
    server.connection.hold(&input[3..]);
    let held = server.connection.accept(Agreement::default(), Time(0), &mut server.out);
    assert_eq!(held, b"\x81\x82\0\0\0\0hi");
    assert_eq!(server.receive(&held), [text("hi")]);
}

#[test]
fn s4_2_1_names_and_tokens_come_in_any_case_in_lists_and_in_several_lines() {
    assert_eq!(upgrade_of("Upgrade", "uPGRADE: WebSocket\r\n"), Ok(()));
    assert_eq!(upgrade_of("Upgrade", "Upgrade: h2c,,  WEBSOCKET\t ,\r\n"), Ok(()));
    assert_eq!(upgrade_of("Connection", "Connection: keep-alive, upgrade\r\n"), Ok(()));
    assert_eq!(upgrade_of("Connection", "Connection: keep-alive\r\nCONNECTION:Upgrade\r\n"), Ok(()));
    assert_eq!(upgrade_of("Upgrade", "Upgrade: websockets\r\n"), Err(HandshakeError::UpgradeMissing));
    assert_eq!(upgrade_of("Upgrade", "Upgrade: \"websocket\"\r\n"), Err(HandshakeError::UpgradeMissing));
    assert_eq!(
        upgrade_of("Connection", "Connection: keep-alive\r\n"),
        Err(HandshakeError::ConnectionMissing)
    );
}

#[test]
fn s4_2_1_the_method_is_get() {
    let head = [b"POST".as_slice(), &REQUEST[3..]].concat();
    let request = requested(&head);
    assert_eq!((request.method, request.upgrade), (Method::Other, Err(HandshakeError::MethodNotGet)));
    assert_eq!(requested(&[b"get".as_slice(), &REQUEST[3..]].concat()).method, Method::Other);
    assert_eq!(requested(&[b"HEAD".as_slice(), &REQUEST[3..]].concat()).method, Method::Head);
}

#[test]
fn s4_2_1_a_plain_get_is_a_request_that_wants_a_page() {
    let request = requested(b"GET /?a=1&b=2&a=3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(request.upgrade, Err(HandshakeError::UpgradeMissing));
    assert_eq!((&*request.path, request.query.as_deref()), ("/", Some("a=1&b=2&a=3")));
    assert_eq!(
        (request.query_value("a"), request.query_value("b"), request.query_value("c")),
        (Some("1"), Some("2"), None)
    );
}

#[test]
fn s4_2_2_the_version_is_13_written_so() {
    assert_eq!(upgrade_of("Sec-WebSocket-Version", "Sec-WebSocket-Version:13 \r\n"), Ok(()));
    for version in ["8", "12", "14", "013", "13.0", "0xD", "+13", "13, 8", ""] {
        let line = format!("Sec-WebSocket-Version: {version}\r\n");
        assert_eq!(
            upgrade_of("Sec-WebSocket-Version", &line),
            Err(HandshakeError::VersionUnsupported),
            "{version}"
        );
    }
    assert_eq!(upgrade_of("Sec-WebSocket-Version", ""), Err(HandshakeError::VersionMissing));
    let twice = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(upgrade_of("Sec-WebSocket-Version", twice), Err(HandshakeError::VersionRepeated));
}

#[test]
fn s4_2_1_the_key_is_16_bytes_in_base64() {
    let upgrade_with = |key: &str| upgrade_of("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {key}\r\n"));
    assert_eq!(upgrade_with("AAAAAAAAAAAAAAAAAAAAAA=="), Ok(()));
    assert_eq!(
        upgrade_with("AQIDBAUGBwgJCgsMDQ4PEC=="),
        Ok(()),
        "§4.1's example has bits behind the 16th byte"
    );
    for key in [
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAAAA",   // no padding
        "AAAAAAAAAAAAAAAAAAAAAAA=", // 17 bytes
        "AAAAAAAAAAAAAAAAAAAA",     // 15 bytes
        "AAAAAAAAAAAAAAAAAAAAAAAA", // 18 bytes
        "AAAAAAAAAAAAAAAAAAAA-_==", // another alphabet
        "AAAAAAAAAAA AAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAAAAAA==, AAAAAAAAAAAAAAAAAAAAAA==",
        "\u{e9}AAAAAAAAAAAAAAAAAAAA==",
    ] {
        assert_eq!(upgrade_with(key), Err(HandshakeError::KeyInvalid), "{key}");
    }
    assert_eq!(upgrade_of("Sec-WebSocket-Key", ""), Err(HandshakeError::KeyMissing));
    let twice = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n".repeat(2);
    assert_eq!(upgrade_of("Sec-WebSocket-Key", &twice), Err(HandshakeError::KeyRepeated));
}

#[test]
fn s4_2_2_refusals_say_what_their_status_demands() {
    let refusal = |error: HandshakeError| {
        let mut server = Peer::connecting_server(Limits::default());
        server.receive(REQUEST);
        let closure = server.connection.respond(&error.response(), server.now, &mut server.out);
        assert_eq!(closure, Some(Closure::Responded(error.status())));
        assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
        String::from_utf8(server.out).unwrap()
    };
    let version = refusal(HandshakeError::VersionUnsupported);
    assert!(version.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{version}");
    assert!(
        version.contains("\r\nSec-WebSocket-Version: 13\r\n")
            && version.contains("\r\nUpgrade: websocket\r\n")
    );
    assert!(version.contains("\r\nConnection: close, Upgrade\r\n"));
    let method = refusal(HandshakeError::MethodNotGet);
    assert!(
        method.starts_with("HTTP/1.1 405 Method Not Allowed\r\n") && method.contains("\r\nAllow: GET\r\n")
    );
    let key = refusal(HandshakeError::KeyMissing);
    assert!(key.starts_with("HTTP/1.1 400 Bad Request\r\n") && key.contains("\r\nConnection: close\r\n"));
}

#[test]
fn s4_2_2_a_server_at_the_door_may_refuse_before_a_byte_came() {
    let mut server = Peer::connecting_server(Limits::default());
    let full = Response::text(Status::SERVICE_UNAVAILABLE, "full\n");
    let closure = server.connection.respond(&full, server.now, &mut server.out);
    assert_eq!(closure, Some(Closure::Responded(Status::SERVICE_UNAVAILABLE)));
    assert!(server.out.starts_with(b"HTTP/1.1 503 ") && server.out.ends_with(b"\r\n\r\nfull\n"));
    assert_eq!(server.receive(REQUEST), [], "a request that comes after all is discarded");
    assert_eq!(server.connection.respond(&full, server.now, &mut server.out), None, "one answer is enough");
}

#[test]
fn s4_2_2_a_head_request_is_answered_without_a_body() {
    let mut server = Peer::connecting_server(Limits::default());
    server.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.connection.respond(&Response::text(Status::OK, "page"), server.now, &mut server.out);
    let out = String::from_utf8(server.out).unwrap();
    assert!(out.contains("\r\nContent-Length: 4\r\n") && out.ends_with("\r\n\r\n"), "{out}");
}

#[test]
fn s4_2_2_a_head_request_is_refused_without_a_body_too() {
    for head in [&b"HEAD / HTTP/1.1\r\n\r\n"[..], b"\r\nHEAD / HTTP/1.1\r\n\r\n"] {
        let mut server = Peer::connecting_server(Limits::default());
        let seen = server.receive(head);
        assert_eq!(seen, [Seen::Closed(Closure::Refused(HandshakeError::HostMissing))]);
        let out = String::from_utf8(server.out).unwrap();
        assert!(out.starts_with("HTTP/1.1 400 ") && out.ends_with("\r\n\r\n"), "{out}");
        assert!(out.contains("\r\nContent-Length: 27\r\n"), "{out}");
    }
}

#[test]
fn s4_2_2_the_agreed_subprotocol_is_one_of_those_offered() {
    let head = with("-", "Sec-WebSocket-Protocol: chat , superchat\r\nsec-websocket-protocol:,v2.x\r\n");
    let mut server = Peer::connecting_server(Limits::default());
    let seen = server.receive(&head);
    let [Seen::Requested(request)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(request.subprotocols, ["chat".into(), "superchat".into(), "v2.x".into()]);
    let agreement = Agreement { subprotocol: Some("superchat".into()), ..Agreement::default() };
    server.connection.accept(agreement, server.now, &mut server.out);
    assert!(server.out.ends_with(b"\r\nSec-WebSocket-Protocol: superchat\r\n\r\n"));
}

#[test]
fn s4_2_1_subprotocols_are_tokens_and_extensions_have_their_grammar() {
    for value in ["a b", "caf\u{e9}", "\"chat\"", "a;b"] {
        let line = format!("Sec-WebSocket-Protocol: {value}\r\n");
        assert_eq!(upgrade_of("-", &line), Err(HandshakeError::SubprotocolsInvalid), "{value}");
    }
    let many = format!("Sec-WebSocket-Protocol: {}\r\n", "x,".repeat(SUBPROTOCOLS_MAX + 1));
    assert_eq!(requested(&with("-", &many)).subprotocols.len(), SUBPROTOCOLS_MAX);
    for value in
        ["permessage-deflate; client_max_window_bits", "a, b; c=1; d=\"2\" ; e = f , , g", "a; b=\"\\c\"", ""]
    {
        assert_eq!(upgrade_of("-", &format!("Sec-WebSocket-Extensions: {value}\r\n")), Ok(()), "{value}");
    }
    for value in
        ["a;", "a b", "a; b=", "a; b=\"\"", "a; b=\"c d\"", "a; b=\"c", "a; b=\"\\", "=", "a; =c", "\u{e9}"]
    {
        let line = format!("Sec-WebSocket-Extensions: {value}\r\n");
        assert_eq!(upgrade_of("-", &line), Err(HandshakeError::ExtensionsInvalid), "{value}");
    }
}

#[test]
fn s4_2_1_the_host_comes_once_and_is_one() {
    for host in ["a", "a.b:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a:", "x_y", "%41"] {
        assert_eq!(&*requested(&with("Host", &format!("Host: {host}\r\n"))).host, host);
    }
    for host in [
        "",
        "a b",
        "a:b",
        "a:80:80",
        "a:65536",
        "[::1",
        "[]",
        "[::1]x",
        "a/b",
        "u@a",
        "a%4",
        "a%4z",
        "a%z4",
        "caf\u{e9}",
        ":80",
    ] {
        assert_eq!(
            refused(&with("Host", &format!("Host: {host}\r\n"))),
            HandshakeError::HostInvalid,
            "{host}"
        );
    }
    assert_eq!(refused(&with("Host", "")), HandshakeError::HostMissing);
    assert_eq!(refused(&with("Host", "Host: a\r\nHost: a\r\n")), HandshakeError::HostRepeated);
}

#[test]
fn s4_2_1_an_absolute_target_names_the_host() {
    let request = requested(&[b"GET http://b.example:81?x=1".as_slice(), &REQUEST[9..]].concat());
    assert_eq!((&*request.host, &*request.path, request.query_value("x")), ("b.example:81", "/", Some("1")));
    assert_eq!(&*requested(&[b"GET WSS://b/c".as_slice(), &REQUEST[9..]].concat()).path, "/c");
    for target in ["*", "chat", "ftp://a/", "http://", "http://u@a/", "a:443", "/#x", "http:/a", "/\u{e9}"] {
        let head = [format!("GET {target}").as_bytes(), &REQUEST[9..]].concat();
        assert_eq!(refused(&head), HandshakeError::TargetInvalid, "{target}");
    }
}

#[test]
fn s4_2_1_the_target_is_taken_as_it_is() {
    let request = requested(&[b"GET /a%20b//../c?d=%26&&=x&e".as_slice(), &REQUEST[9..]].concat());
    assert_eq!((&*request.path, request.query_value("d")), ("/a%20b//../c", Some("%26")));
    assert_eq!(request.query_value("e"), None);
}

#[test]
fn s4_2_1_the_http_version_is_1_1() {
    let old = String::from_utf8(REQUEST.to_vec()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(requested(old.as_bytes()).upgrade, Err(HandshakeError::HttpVersion));
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2"] {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refused(head.as_bytes()), HandshakeError::HttpVersion, "{version}");
    }
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1.1 ",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(refused(head.as_bytes()), HandshakeError::RequestLineInvalid, "{line}");
    }
}

#[test]
fn s4_2_1_a_page_may_be_asked_for_with_http_1_0_and_without_a_host() {
    let request = requested(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!((&*request.path, &*request.host, request.method), ("/healthz", "", Method::Get));
    assert_eq!(refused(b"GET /healthz HTTP/1.1\r\n\r\n"), HandshakeError::HostMissing);
    assert_eq!(refused(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), HandshakeError::HostRepeated);
}

#[test]
fn s4_2_1_what_cannot_be_a_method_is_refused_at_its_first_byte() {
    let mut server = Peer::connecting_server(Limits::default());
    let seen = server.receive(b"\x16"); // a TLS ClientHello
    assert_eq!(seen, [Seen::Closed(Closure::Refused(HandshakeError::RequestLineInvalid))]);
    assert!(server.out.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
    assert_eq!(refused(b" GET"), HandshakeError::RequestLineInvalid);
    assert_eq!(refused(b"GET\t"), HandshakeError::RequestLineInvalid);
}

#[test]
fn s4_2_1_line_breaks_are_cr_lf_and_nothing_folds() {
    assert_eq!(
        requested(&[b"\r\n\r\n", REQUEST].concat()).upgrade,
        Ok(()),
        "RFC 9112 §2.2: empty lines before"
    );
    assert_eq!(refused(b"GET / HTTP/1.1\n"), HandshakeError::BareLineBreak);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\rb"), HandshakeError::BareLineBreak);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\0"), HandshakeError::BareLineBreak);
    assert_eq!(refused(&with_line(b"X: a\r\n b")), HandshakeError::HeaderInvalid, "RFC 9112 §5.2: obs-fold");
    assert_eq!(
        refused(&with_line(b"X : a")),
        HandshakeError::HeaderInvalid,
        "RFC 9112 §5.1: no space before the colon"
    );
    for line in [b": a".as_slice(), b"X", b"X\xe9: a", b" X: a", b"X: a\x01", b"X: \x7f"] {
        assert_eq!(refused(&with_line(line)), HandshakeError::HeaderInvalid, "{}", line.escape_ascii());
    }
}

#[test]
fn s4_2_1_header_values_are_bytes() {
    assert_eq!(requested(&with_line(b"X: \xff\xfe\x80")).upgrade, Ok(()));
    assert_eq!(requested(&with_line(b"Cookie: caf\xc3\xa9")).upgrade, Ok(()));
    assert_eq!(refused(&with_line(b"Origin: \xff")), HandshakeError::OriginInvalid);
    assert_eq!(requested(&with_line(b"Connection: \xff")).upgrade, Ok(()), "the other line has the token");
}

#[test]
fn s4_2_1_a_handshake_has_no_body() {
    assert_eq!(upgrade_of("-", "Content-Length: 0\r\n"), Ok(()));
    assert_eq!(upgrade_of("-", "Content-Length: 0\r\nContent-Length: 00\r\n"), Ok(()));
    assert_eq!(refused(&with_line(b"Content-Length: 5")), HandshakeError::BodyOnUpgrade);
    assert_eq!(refused(&with_line(b"Transfer-Encoding: chunked")), HandshakeError::BodyOnUpgrade);
    assert_eq!(refused(&with_line(b"Transfer-Encoding: \xff")), HandshakeError::BodyOnUpgrade);
    for length in ["+0", "-1", "0x0", "0, 0", "", " ", "18446744073709551616", "\u{660}"] {
        let line = format!("Content-Length: {length}");
        assert_eq!(refused(&with_line(line.as_bytes())), HandshakeError::ContentLengthInvalid, "{length}");
    }
    assert_eq!(
        refused(&with_line(b"Content-Length: 0\r\nContent-Length: 1")),
        HandshakeError::ContentLengthInvalid
    );
    let post = requested(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(post.method, Method::Other, "without an upgrade it is the caller's to refuse");
}

#[test]
fn s10_2_origins_are_reported_as_they_are() {
    assert_eq!(requested(REQUEST).origin, Origin::Absent);
    assert_eq!(
        requested(&with_line(b"Origin: https://a.example")).origin,
        Origin::One("https://a.example".into())
    );
    assert_eq!(requested(&with_line(b"origin: null")).origin, Origin::One("null".into()));
    assert_eq!(requested(&with_line(b"Origin: http://a\r\nOrigin: http://a")).origin, Origin::Several);
}

#[test]
fn s4_2_1_a_head_of_the_largest_size_is_read_and_one_byte_more_is_431() {
    let filled = |len: usize| {
        let fill = len - with_line(b"X: ").len();
        with_line(format!("X: {}", "x".repeat(fill)).as_bytes())
    };
    assert_eq!(requested(&filled(REQUEST_HEAD_BYTES_MAX)).upgrade, Ok(()));
    let too_large = filled(REQUEST_HEAD_BYTES_MAX + 1);
    assert_eq!(refused(&too_large), HandshakeError::HeadTooLarge);
    let mut server = Peer::connecting_server(Limits::default());
    assert_eq!(server.receive(&too_large[..REQUEST_HEAD_BYTES_MAX - 1]), []);
    assert!(server.connection.held_bytes() <= 2 * REQUEST_HEAD_BYTES_MAX);
    let seen = server.receive(&too_large[REQUEST_HEAD_BYTES_MAX - 1..REQUEST_HEAD_BYTES_MAX]);
    assert_eq!(seen, [Seen::Closed(Closure::Refused(HandshakeError::HeadTooLarge))]);
    assert!(server.out.starts_with(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"));
}

#[test]
fn s4_2_1_as_many_headers_as_allowed_are_read_and_one_more_is_431() {
    let own = 5;
    let more = |count: usize| with("-", &"X: y\r\n".repeat(count));
    assert_eq!(requested(&more(REQUEST_HEADERS_MAX - own)).upgrade, Ok(()));
    assert_eq!(refused(&more(REQUEST_HEADERS_MAX - own + 1)), HandshakeError::TooManyHeaders);
}

#[test]
fn s4_2_2_nothing_behind_a_refused_request_is_answered() {
    let mut server = Peer::connecting_server(Limits::default());
    let seen = server.receive(&[b"GET /\r\n\r\n", REQUEST].concat());
    assert_eq!(seen, [Seen::Closed(Closure::Refused(HandshakeError::RequestLineInvalid))]);
    let written = server.out.len();
    assert_eq!(server.receive(REQUEST), []);
    assert_eq!(server.out.len(), written);
}

#[test]
fn rfc9110_11_6_2_a_bearer_s_token_is_read_whatever_the_case_of_its_scheme() {
    let authorization = |lines: &[u8]| match received(&with_line(lines)) {
        Seen::Requested(request) => request.authorization,
        other => panic!("{other:?}"),
    };
    for (line, token) in [
        (&b"Authorization: Bearer a.b.c"[..], "a.b.c"),
        (b"authorization: BEARER \t a.b.c \t", "a.b.c"),
        (b"Authorization: bearer", ""),
        (b"Authorization: Bearer a b", "a b"),
        (b"Authorization: Bearer \xff", "\u{fffd}"),
    ] {
        assert_eq!(authorization(line), Authorization::Bearer(token.into()), "{}", line.escape_ascii());
    }
    for other in [&b"Authorization: Basic YTpi"[..], b"Authorization:", b"Authorization: Bearerx"] {
        assert_eq!(authorization(other), Authorization::Other, "{}", other.escape_ascii());
    }
    assert_eq!(authorization(b"Authorization: Bearer a\r\nauthorization: Bearer a"), Authorization::Several);
    assert_eq!(authorization(b"Proxy-Authorization: Bearer a"), Authorization::Absent);
}

#[test]
fn a_request_s_debug_shows_nothing_in_which_a_secret_may_stand() {
    let head =
        b"GET /ws/room?token=secret1&secret2&echo=secret5 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Authorization: Bearer secret3\r\nSec-WebSocket-Protocol: fanwire.token.secret4\r\n\r\n";
    let Seen::Requested(request) = received(head) else { panic!("a request") };
    let said = format!("{request:?} {request:#?}");
    assert!(said.contains("/ws/room") && said.contains("\"token\"") && said.contains("\"echo\""), "{said}");
    assert!(!said.contains("secret"), "{said}");
    assert!(said.contains("Bearer(..)"), "{said}");
    assert_eq!(request.query_values("token").collect::<Vec<_>>(), ["secret1"]);
}
