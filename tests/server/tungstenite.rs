//! The crate `tungstenite` as a client that nobody here wrote.

use crate::client::PATIENCE;
use crate::running::Running;
use std::net::{SocketAddr, TcpStream};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Error, Message, WebSocket, client};

type Client = WebSocket<TcpStream>;

fn connect(address: SocketAddr, target: &str) -> Client {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (client, response) = client(format!("ws://{address}{target}"), stream).expect("a 101");
    assert_eq!(response.status(), 101);
    client
}

fn read(client: &mut Client) -> Message {
    client.read().expect("a message")
}

#[test]
fn it_talks_text_and_binary_to_itself_and_others() {
    let server = Running::start(2, |_| {});
    let (mut ann, mut bob) = (connect(server.address, "/ws"), connect(server.address, "/ws"));
    for message in [
        Message::text("grüße 🦀"),
        Message::binary(vec![0, 1, 255]),
        Message::text(""),
        Message::binary(vec![7; 200_000]),
        Message::text("x".repeat(70_000)),
    ] {
        ann.send(message.clone()).expect("sent");
        assert_eq!((read(&mut ann), read(&mut bob)), (message.clone(), message));
    }
}

#[test]
fn s5_4_its_fragments_arrive_as_one_message_with_a_ping_between_them() {
    let server = Running::start(2, |_| {});
    let (mut ann, mut bob) = (connect(server.address, "/ws"), connect(server.address, "/ws"));
    let frame = |data: &'static str, opcode, fin| Message::Frame(Frame::message(data, opcode, fin));
    ann.send(frame("one ", OpCode::Data(Data::Text), false)).expect("sent");
    ann.send(Message::Ping("between".into())).expect("sent");
    ann.send(frame("two ", OpCode::Data(Data::Continue), false)).expect("sent");
    ann.send(frame("three", OpCode::Data(Data::Continue), true)).expect("sent");
    assert_eq!(read(&mut bob), Message::text("one two three"));
    assert_eq!(read(&mut ann), Message::Pong("between".into()));
    assert_eq!(read(&mut ann), Message::text("one two three"));
}

#[test]
fn s5_5_2_its_pings_are_answered_with_their_payload() {
    let server = Running::start(1, |_| {});
    let mut client = connect(server.address, "/ws");
    for payload in ["", "hello"] {
        client.send(Message::Ping(payload.into())).expect("sent");
        assert_eq!(read(&mut client), Message::Pong(payload.into()));
    }
}

#[test]
fn s5_5_2_it_answers_our_pings_and_stays_alive() {
    let server = Running::start(1, |config| {
        config.limits.ping_interval_ms = 50;
        config.limits.idle_timeout_ms = 1_500;
    });
    let mut client = connect(server.address, "/ws");
    // Sixty pings take twice the idle timeout.
    for _ in 0..60 {
        assert_eq!(read(&mut client), Message::Ping("".into()));
    }
    client.send(Message::text("alive")).expect("sent");
    assert_eq!(read(&mut client), Message::text("alive"));
}

#[test]
fn s7_1_2_it_closes_and_gets_its_code_back() {
    let server = Running::start(1, |_| {});
    for (sent, answered) in [
        (None, None),
        (
            Some(CloseFrame { code: CloseCode::Normal, reason: "bye".into() }),
            Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }),
        ),
        (
            Some(CloseFrame { code: CloseCode::Library(4321), reason: "".into() }),
            Some(CloseFrame { code: CloseCode::Library(4321), reason: "".into() }),
        ),
    ] {
        let mut client = connect(server.address, "/ws");
        client.close(sent).expect("sent");
        assert_eq!(read(&mut client), Message::Close(answered));
        assert!(matches!(client.read(), Err(Error::ConnectionClosed)), "the server ends TCP first");
    }
}

#[test]
fn s7_1_2_the_server_closes_and_it_agrees() {
    let server = Running::start(2, |_| {});
    let mut client = connect(server.address, "/ws");
    server.drain();
    match read(&mut client) {
        Message::Close(Some(close)) => {
            assert_eq!(close.code, CloseCode::Away);
            assert!(close.reason.contains("shutting down"), "{}", close.reason);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.read(), Err(Error::ConnectionClosed)), "its Close was taken");
    assert_eq!(server.wait().closed_cleanly, 1);
}

#[test]
fn s7_1_7_it_hears_why_its_connection_failed() {
    let server = Running::start(1, |config| config.limits.message_bytes_max = 10);
    let mut client = connect(server.address, "/ws");
    client.send(Message::text("eleven char")).expect("sent");
    assert!(matches!(read(&mut client), Message::Close(Some(close)) if close.code == CloseCode::Size));
    let mut client = connect(server.address, "/ws");
    let not_utf8 = Frame::message(vec![0xff], OpCode::Data(Data::Text), true);
    client.send(Message::Frame(not_utf8)).expect("sent");
    assert!(matches!(read(&mut client), Message::Close(Some(close)) if close.code == CloseCode::Invalid));
    let mut client = connect(server.address, "/ws");
    let continues_nothing = Frame::message("x", OpCode::Data(Data::Continue), true);
    client.send(Message::Frame(continues_nothing)).expect("sent");
    assert!(matches!(read(&mut client), Message::Close(Some(close)) if close.code == CloseCode::Protocol));
}

#[test]
fn a_refusal_is_an_http_error_to_it() {
    let server = Running::start(1, |_| {});
    let stream = TcpStream::connect(server.address).expect("the server listens");
    let url = format!("ws://{}/ws/a%20b", server.address);
    match client(url, stream) {
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            assert_eq!(response.status(), 404);
            let body = response.body().as_deref().unwrap_or_default();
            assert!(String::from_utf8_lossy(body).contains("no such channel"), "{response:?}");
        }
        other => panic!("a 404 was expected, and not {other:?}"),
    }
}
