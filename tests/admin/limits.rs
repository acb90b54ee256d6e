//! What the admin API bears: heads, bodies, connections.

use crate::stage::{Answer, Stage, TOKEN};
use fanwire::limits;
use std::io::{Read as _, Write};
use std::net::TcpStream;

#[test]
fn a_head_that_is_too_large_or_has_too_many_fields_is_refused() {
    let stage = Stage::start(1);
    let long = "x".repeat(limits::REQUEST_HEAD_BYTES_MAX);
    assert_eq!(stage.request("GET", "/healthz", &[("X-Long", &long)], "").status, 431);
    let many: Vec<(String, String)> =
        (0..limits::REQUEST_HEADERS_MAX).map(|n| (format!("x-{n}"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(stage.request("GET", "/healthz", &many, "").status, 431);
    assert_eq!(stage.get("/healthz").status, 200);
}

/// A connection whose request is under way: its body is awaited.
fn asking(stage: &Stage) -> TcpStream {
    let mut stream = stage.connect();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut answer).expect("it is awaited");
    assert!(answer.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Ends the request of one that is [`asking`].
fn finish(mut stream: TcpStream) {
    stream.write_all(b"{\"messages\":[]}").expect("it is taken");
    assert_eq!(Answer::read(&mut stream).ok()["results"].as_array().map(Vec::len), Some(0));
}

#[test]
fn when_all_places_are_taken_who_has_waited_longest_without_the_token_gives_its_own_up() {
    let stage = Stage::guarded();
    let request = format!("GET /v1/clients HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    let mut known = stage.connect();
    known.write_all(format!("{request}\r\n").as_bytes()).expect("it is taken");
    let mut begun = [0; 15];
    known.read_exact(&mut begun).expect("it is answered");
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    let asking = asking(&stage);
    let mut silent: Vec<_> = (2..limits::ADMIN_CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = stage.connect();
            stream.write_all(b"GET /readyz HTTP/1.1\r\n").expect("it is taken");
            stream
        })
        .collect();
    for _ in 0..2 * limits::ADMIN_CONNECTIONS_MAX {
        assert_eq!(stage.get("/readyz").status, 200);
    }
    assert_eq!(silent[0].read(&mut [0]).ok().filter(|bytes| *bytes > 0), None, "it has gone");
    let mut last = silent.pop().expect("there are many");
    last.write_all(b"Host: localhost\r\nConnection: close\r\n\r\n").expect("it is taken");
    assert_eq!(Answer::read(&mut last).status, 200, "it was not needed");
    known.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).expect("it is taken");
    let mut rest = String::new();
    known.read_to_string(&mut rest).expect("UTF-8");
    assert!(rest.contains("HTTP/1.1 200 OK"), "it has its place: {rest}");
    finish(asking);
}

#[test]
fn one_connection_more_than_there_may_be_gets_503_until_another_leaves() {
    let stage = Stage::start(1);
    let mut held: Vec<_> = (0..limits::ADMIN_CONNECTIONS_MAX).map(|_| asking(&stage)).collect();
    let mut one_more = stage.connect();
    let answer = Answer::read(&mut one_more);
    assert!(answer.refused(503).contains("connections"), "{answer:?}");
    assert_eq!(answer.header("Content-Length").and_then(|len| len.parse().ok()), Some(answer.body.len()));
    finish(held.swap_remove(0));
    while stage.get("/healthz").status != 200 {}
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let stage = Stage::start(1);
    let mut stream = stage.connect();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    stream
        .write_all(format!("{request}\r\n{request}Connection: close\r\n\r\n").as_bytes())
        .expect("it is taken");
    let both = Answer::read(&mut stream);
    assert_eq!((both.status, String::from_utf8_lossy(&both.body).matches("200 OK").count()), (200, 1));
}

#[test]
fn bytes_that_are_no_request_get_400_and_others_are_served() {
    let stage = Stage::start(1);
    for bytes in
        [&b"\x16\x03\x01\x02\0\x01\0"[..], b"\r\n\r\n\0\0\0\0", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n"]
    {
        let mut stream = stage.connect();
        stream.write_all(bytes).expect("it is taken");
        stream.shutdown(std::net::Shutdown::Write).expect("connected");
        let mut answer = Vec::new();
        drop(std::io::Read::read_to_end(&mut stream, &mut answer));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{bytes:?}: {answer:?}");
    }
    assert_eq!(stage.get("/healthz").status, 200);
}

#[test]
fn beyond_those_who_are_being_told_that_all_places_are_taken_nobody_holds_a_descriptor() {
    let stage = Stage::start(1);
    let _held: Vec<_> = (0..limits::ADMIN_CONNECTIONS_MAX).map(|_| asking(&stage)).collect();
    // Each lingers, for none of them closes its side.
    let mut told = Vec::new();
    let was_closed_unheard = (0..20 * limits::ADMIN_REFUSALS_MAX).any(|_| {
        let mut stream = stage.connect();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        told.push(stream);
        answer.is_empty()
    });
    assert!(was_closed_unheard, "{} hold a descriptor", told.len());
    assert!(told.len() > limits::ADMIN_REFUSALS_MAX / 2, "only {} were told", told.len());
}

#[test]
fn a_message_may_be_as_long_as_a_clients_after_that_has_changed() {
    let stage = Stage::with(1, |config| config.limits.message_bytes_max = 1_000);
    let client = stage.client("/ws/a");
    let post = |bytes| stage.post("/v1/channels/a/messages", "text/plain", "x".repeat(bytes));
    assert_eq!(post(1_000).status, 200);
    assert!(post(1_001).refused(413).contains("1000"));
    stage.reconfigure(|config| config.limits.message_bytes_max = 5_000);
    assert_eq!(post(5_000).status, 200);
    assert!(post(5_001).refused(413).contains("5000"));
    stage.reconfigure(|config| config.limits.message_bytes_max = 10);
    assert!(post(11).refused(413).contains("10"));
    client.close();
}
