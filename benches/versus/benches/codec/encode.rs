//! Messages on their way out, in the server role: header and payload, and then a write to a socket, which copies.
//!
//! - **fanwire**: [`Connection::send`] appends to a buffer, which is written when it has 64 KiB.
//! - **tungstenite**: `write` does the same, by itself, at 128 KiB. A message is handed over as [`Bytes`] that own nothing, so
//!   that a clone is free.
//! - **fastwebsockets**: `write_frame` writes each frame: up to 1 KiB copied behind its header, more as two slices.
//! - **sockudo-ws**: `Protocol::encode_message` appends to a buffer, which is written when it has 64 KiB.

use super::case::Case;
use super::decode::{Role, fanwire_pair, fastwebsocket, sockudo_protocol};
use super::memory::{Memory, poll_once};
use bytes::{Bytes, BytesMut};
use fanwire::protocol::{Connection, Kind, append_message};
use fastwebsockets::{Frame, Payload};
use sockudo_ws::protocol::{Message as SockudoMessage, Protocol};
use std::hint::black_box;
use tungstenite::Message as TungsteniteMessage;

/// Bytes that are written at once by those who leave it to their caller.
const WRITE_BYTES: usize = 64 << 10;

/// Bytes of payload that a batch encodes.
const BATCH_BYTES: usize = 256 << 10;

/// A library that sends messages.
trait Encoder {
    fn new(socket: Memory, payload: &'static [u8]) -> Self;

    /// Sends the payload so often, and writes out what is buffered.
    fn send(&mut self, times: usize);

    fn into_socket(self) -> Memory;
}

pub(crate) fn add_cases(cases: &mut Vec<Case>) {
    for (size, payload_len) in [("16 B", 16), ("128 B", 128), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        let payload = (0..payload_len).map(|at| at as u8).collect::<Vec<_>>().leak();
        let times = BATCH_BYTES / payload_len;
        let case = Case::new("encode, server", format!("binary of {size}"), times as u64, payload_len as u64)
            .with("fanwire", batch::<Fanwire>(payload, times))
            .with("tungstenite", batch::<Tungstenite>(payload, times))
            .with("fastwebsockets", batch::<Fastwebsockets>(payload, times))
            .with("sockudo-ws", batch::<Sockudo>(payload, times));
        cases.push(case);
    }
}

/// What is to be measured, after it was seen to write the right frames.
fn batch<E: Encoder + 'static>(payload: &'static [u8], times: usize) -> impl FnMut() + 'static {
    let socket = || Memory::new(b" ", 1);
    let mut frame = Vec::new();
    append_message(Kind::Binary, payload, &mut frame);
    let mut encoder = E::new(socket(), payload);
    encoder.send(3);
    assert_eq!(encoder.into_socket().sent(), frame.repeat(3));

    let mut encoder = E::new(socket(), payload);
    move || encoder.send(times)
}

struct Fanwire {
    connection: Connection,
    socket: Memory,
    payload: &'static [u8],
    out: Vec<u8>,
}

impl Encoder for Fanwire {
    fn new(socket: Memory, payload: &'static [u8]) -> Fanwire {
        Fanwire { connection: fanwire_pair().0, socket, payload, out: Vec::new() }
    }

    fn send(&mut self, times: usize) {
        for _ in 0..times {
            self.connection.send(Kind::Binary, black_box(self.payload), &mut self.out);
            if self.out.len() >= WRITE_BYTES {
                self.socket.send(&self.out);
                self.out.clear();
            }
        }
        self.socket.send(&self.out);
        self.out.clear();
    }

    fn into_socket(self) -> Memory {
        self.socket
    }
}

struct Tungstenite {
    socket: tungstenite::WebSocket<Memory>,
    payload: Bytes,
}

impl Encoder for Tungstenite {
    fn new(socket: Memory, payload: &'static [u8]) -> Tungstenite {
        let role = tungstenite::protocol::Role::Server;
        let socket = tungstenite::WebSocket::from_raw_socket(socket, role, None);
        Tungstenite { socket, payload: Bytes::from_static(payload) }
    }

    fn send(&mut self, times: usize) {
        for _ in 0..times {
            let message = TungsteniteMessage::Binary(black_box(&self.payload).clone());
            self.socket.write(message).expect("memory takes all");
        }
        self.socket.flush().expect("memory takes all");
    }

    fn into_socket(self) -> Memory {
        self.socket.into_inner()
    }
}

struct Fastwebsockets {
    socket: fastwebsockets::WebSocket<Memory>,
    payload: &'static [u8],
}

impl Encoder for Fastwebsockets {
    fn new(socket: Memory, payload: &'static [u8]) -> Fastwebsockets {
        Fastwebsockets { socket: fastwebsocket(Role::Server, socket), payload }
    }

    fn send(&mut self, times: usize) {
        poll_once(async {
            for _ in 0..times {
                let frame = Frame::binary(Payload::Borrowed(black_box(self.payload)));
                self.socket.write_frame(frame).await.expect("memory takes all");
            }
        });
    }

    fn into_socket(self) -> Memory {
        self.socket.into_inner()
    }
}

struct Sockudo {
    protocol: Protocol,
    socket: Memory,
    message: SockudoMessage,
    out: BytesMut,
}

impl Encoder for Sockudo {
    fn new(socket: Memory, payload: &'static [u8]) -> Sockudo {
        let message = SockudoMessage::Binary(Bytes::from_static(payload));
        Sockudo { protocol: sockudo_protocol(Role::Server), socket, message, out: BytesMut::new() }
    }

    fn send(&mut self, times: usize) {
        for _ in 0..times {
            let encoded = self.protocol.encode_message(black_box(&self.message), &mut self.out);
            encoded.expect("the protocol is open");
            if self.out.len() >= WRITE_BYTES {
                self.socket.send(&self.out);
                self.out.clear();
            }
        }
        self.socket.send(&self.out);
        self.out.clear();
    }

    fn into_socket(self) -> Memory {
        self.socket
    }
}
