//! The opening handshake of a server: a browser's request comes in, the 101 goes out.
//!
//! - **fanwire**: a new [`Connection`] for each, from the request's bytes to the response's.
//! - **tungstenite**: `accept` on a stream. Extensions and subprotocols are left to a callback.
//! - **fastwebsockets**: `upgrade` in a service of hyper, which parses and writes; there is no other way.
//! - **sockudo-ws**: `parse_request`, `generate_accept_key` and `build_response`, which are below its streams. Who accepts
//!   has to look at Origin, extensions and subprotocols.

use super::case::Case;
use super::memory::{Memory, poll_once};
use fanwire::limits::Limits;
use fanwire::protocol::{Agreement, Connection, Event, Time};
use fastwebsockets::upgrade::upgrade;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use std::cell::Cell;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

const REQUEST: &[u8] = b"GET /ws/lobby HTTP/1.1\r\n\
    Host: chat.example.org:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\n\
    Accept-Language: en-GB,en;q=0.8,de;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Origin: http://chat.example.org:8080\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: websocket\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    Upgrade: websocket\r\n\r\n";

/// RFC 6455 §1.3: what the key above is to be answered with.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) fn add_cases(cases: &mut Vec<Case>) {
    let case = Case::new("handshake", "of a browser".to_owned(), 1, REQUEST.len() as u64)
        .with("fanwire", batch(fanwire()))
        .with("tungstenite", batch(tungstenite()))
        .with("fastwebsockets", batch(fastwebsockets()))
        .with("sockudo-ws", batch(sockudo()));
    cases.push(case);
}

/// Where a response goes.
type Sink = fn(&[u8]);

/// What is to be measured, after two in which a 101 with the right key went out.
fn batch(mut accept: impl FnMut(Sink)) -> impl FnMut() {
    for _ in 0..2 {
        accept(|response| {
            let response = std::str::from_utf8(response).expect("a response is text");
            assert!(response.starts_with("HTTP/1.1 101 ") && response.contains(ACCEPT), "{response}");
        });
    }
    move || accept(|response| assert!(black_box(response).len() > ACCEPT.len()))
}

fn fanwire() -> impl FnMut(Sink) {
    let limits = Arc::new(Limits::default());
    let mut request = REQUEST.to_vec();
    let mut out = Vec::new();
    move |sink| {
        let mut connection = Connection::server(limits.clone(), Time(0));
        let event = connection.next_event(&mut black_box(request.as_mut_slice()), Time(0), &mut out);
        assert!(matches!(black_box(event), Some(Event::Requested(_))));
        connection.accept(Agreement::default(), Time(0), &mut out);
        sink(&out);
        out.clear();
    }
}

fn tungstenite() -> impl FnMut(Sink) {
    let mut spare = Some(Memory::new(REQUEST, REQUEST.len()));
    move |sink| {
        let socket = spare.take().expect("it came back");
        let accepted = tungstenite::accept(socket).expect("it is a handshake");
        let mut socket = accepted.into_inner();
        sink(socket.sent());
        socket.forget_sent();
        spare = Some(socket);
    }
}

fn fastwebsockets() -> impl FnMut(Sink) {
    let mut spare = Some(Memory::new(REQUEST, REQUEST.len()));
    move |sink| {
        let upgraded = Cell::new(None);
        let service = service_fn(|mut request| {
            let (response, websocket) = upgrade(&mut request).expect("it is a handshake");
            upgraded.set(Some(websocket));
            async { Ok::<_, Infallible>(response) }
        });
        let socket = TokioIo::new(spare.take().expect("it came back"));
        let connection = http1::Builder::new().serve_connection(socket, service).with_upgrades();
        let accepted = poll_once(async {
            connection.await.expect("it is answered");
            upgraded.take().expect("it was asked for").await.expect("it is upgraded")
        });
        let parts = accepted.into_inner().into_inner().downcast::<TokioIo<Memory>>().expect("it is ours");
        let mut socket = parts.io.into_inner();
        sink(socket.sent());
        socket.forget_sent();
        spare = Some(socket);
    }
}

fn sockudo() -> impl FnMut(Sink) {
    move |sink| {
        let (request, _) =
            parse_request(black_box(REQUEST)).expect("it is a handshake").expect("it is whole");
        sink(&build_response(&generate_accept_key(request.key), None, None));
    }
}
