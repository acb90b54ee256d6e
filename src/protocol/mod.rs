//! One WebSocket connection, without its transport: RFC 6455 for both roles, with permessage-deflate (RFC 7692).
//!
//! *Sans-IO* means that nothing here reads a socket, looks at a clock or rolls dice. Bytes, the time and a seed are
//! arguments; bytes to write, events and a deadline are results. So the same code runs under any runtime, in a
//! simulation and in a fuzzer, and a test sees every byte. What is not here: TCP, TLS, timers, threads, reconnecting,
//! and other extensions (§9).
//!
//! A [`Connection`] has four kinds of method, and whoever drives it does the same four things in a loop:
//!
//! - **inputs** tell it what has happened: [`next_event`](Connection::next_event) that bytes came (and
//!   [`take_whole_messages`](Connection::take_whole_messages), for many messages at a time),
//!   [`receive_eof`](Connection::receive_eof) that no more will, [`handle_timeout`](Connection::handle_timeout) that time
//!   has passed, [`set_congested`](Connection::set_congested) that the peer does not take what is written,
//!   [`heard`](Connection::heard) that it is alive. They never fail: what a peer does wrong closes its connection and comes
//!   out as an event.
//! - **commands** say what shall happen: [`accept`](Connection::accept) or [`respond`](Connection::respond) to a request,
//!   [`send`](Connection::send), [`close`](Connection::close), [`fail`](Connection::fail). One that makes no sense in the
//!   present state does nothing.
//! - **outputs** are the [`Event`]s that inputs return, and the bytes that inputs and commands append to `out`. They are
//!   whole frames, to be written in that order.
//! - **getters** say what to do next: [`wants`](Connection::wants) and [`deadline`](Connection::deadline).
//!
//! An event borrows from the input and never from the connection, so that one can answer while one holds a message. A
//! message that came in one frame, whole in one input, is lent from there: it is not copied, and nothing is allocated.
//!
//! # Two ends in memory
//!
//! ```
//! use fanwire::limits::Limits;
//! use fanwire::protocol::{
//!     Agreement, ClientRequest, CloseCode, CloseReason, Closure, Connection, Event, Kind, Time, Wants,
//! };
//! use std::sync::Arc;
//!
//! let limits = Arc::new(Limits::default());
//! let now = Time(0);
//! let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
//!
//! // §4: the opening handshake.
//! let request = ClientRequest::new("example.com", "/chat?room=1")?;
//! let seed = [7; 32]; // a real client takes this from the system's random numbers
//! let mut client = Connection::client(limits.clone(), request, seed, now, &mut to_server);
//! let mut server = Connection::server(limits, now);
//!
//! let Some(Event::Requested(request)) = server.next_event(&mut to_server.as_mut_slice(), now, &mut to_client) else {
//!     panic!("the request is whole");
//! };
//! assert_eq!((&*request.path, request.query_value("room")), ("/chat", Some("1")));
//! assert_eq!(request.upgrade, Ok(()));
//! server.accept(Agreement::default(), now, &mut to_client);
//! let event = client.next_event(&mut to_client.as_mut_slice(), now, &mut Vec::new());
//! assert_eq!(event, Some(Event::Accepted(Agreement::default())));
//!
//! // §5: a message, masked by the client, lent to the server from the input.
//! to_server.clear();
//! client.send(Kind::Text, b"hello", &mut to_server);
//! to_client.clear();
//! match server.next_event(&mut to_server.as_mut_slice(), now, &mut to_client) {
//!     Some(Event::Message(message)) => assert_eq!(message.as_text(), Some("hello")),
//!     other => panic!("{other:?}"),
//! }
//!
//! // §7: the closing handshake.
//! server.close(CloseCode::GOING_AWAY, &CloseReason::new("back soon"), now, &mut to_client);
//! to_server.clear();
//! let event = client.next_event(&mut to_client.as_mut_slice(), now, &mut to_server);
//! let agreed = Closure::Agreed(Some(CloseCode::GOING_AWAY), CloseReason::new("back soon"));
//! assert_eq!(event, Some(Event::Closed(agreed)));
//! server.next_event(&mut to_server.as_mut_slice(), now, &mut Vec::new());
//! assert_eq!(server.wants(), Wants::FlushThenShutdown);
//! # Ok::<(), fanwire::protocol::InvalidRequest>(())
//! ```
//!
//! A client over a socket, with its deadlines, is `tests/autobahn/client.rs`.
//!
//! # Compression
//!
//! A client offers it ([`ClientRequest::with_deflate`]), and a server agrees to an offer that it can keep
//! ([`first_acceptable`]). Messages are compressed and inflated by a [`Deflater`] and an [`Inflater`] that the caller keeps:
//! neither remembers a connection, so that one of each serves all connections of a thread, and an idle connection owns
//! nothing of the kind.
//!
//! ```
//! # use fanwire::limits::Limits;
//! # use fanwire::protocol::{
//! #     Agreement, ClientRequest, Compressing, Connection, DeflateOffer, DeflatePolicy, Deflater, Event, Inflater, Kind, Time,
//! #     first_acceptable,
//! # };
//! # let limits = std::sync::Arc::new(Limits::default());
//! # let now = Time(0);
//! # let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
//! let (mut inflater, mut deflater) = (Inflater::new(), Deflater::new(Compressing { level: 3, bytes_min: 64 }));
//! let request = ClientRequest::new("example.com", "/")?.with_deflate(DeflateOffer::PLAIN);
//! let mut client = Connection::client(limits.clone(), request, [7; 32], now, &mut to_server);
//! let mut server = Connection::server(limits, now);
//!
//! let Some(Event::Requested(request)) = server.next_event(&mut to_server.as_mut_slice(), now, &mut to_client) else {
//!     panic!("the request is whole");
//! };
//! let deflate = first_acceptable(&request.deflate_offers, &DeflatePolicy::default());
//! server.accept(Agreement { deflate, ..Agreement::default() }, now, &mut to_client);
//! client.next_event(&mut to_client.as_mut_slice(), now, &mut to_server);
//! assert_eq!(client.deflate(), deflate);
//!
//! let text = "row, row, row your boat, ".repeat(40);
//! to_client.clear();
//! server.send_deflated(Kind::Text, text.as_bytes(), &mut deflater, &mut to_client);
//! assert!(to_client.len() < 50);
//! match client.next_event_inflating(&mut to_client.as_mut_slice(), now, &mut inflater, &mut to_server) {
//!     Some(Event::Message(message)) => assert_eq!(message.as_text(), Some(&*text)),
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), fanwire::protocol::InvalidRequest>(())
//! ```
//!
//! # A server's loop over any `Read + Write`
//!
//! It blocks and serves one client, to show the order of things: read, handle every event, write, look at what is wanted.
//! A deadline needs a transport that can time out; where that is a socket, [`deadline`](Connection::deadline) gives the
//! read timeout.
//!
//! ```
//! use fanwire::protocol::{Agreement, Connection, Event, Time, Wants};
//! use std::io::{self, Read, Write};
//!
//! /// Echoes messages until the connection ends.
//! fn serve(mut transport: impl Read + Write, mut connection: Connection, clock: impl Fn() -> Time) -> io::Result<()> {
//!     let mut buffer = vec![0; 64 << 10];
//!     let mut out = Vec::new();
//!     while connection.wants() != Wants::Nothing {
//!         let count = transport.read(&mut buffer)?;
//!         if count == 0 {
//!             connection.receive_eof(clock());
//!         }
//!         let mut input = &mut buffer[..count];
//!         while let Some(event) = connection.next_event(&mut input, clock(), &mut out) {
//!             match event {
//!                 Event::Requested(request) => match request.upgrade {
//!                     // Nothing is held: what is left of the input follows in this very loop.
//!                     Ok(()) => _ = connection.accept(Agreement::default(), clock(), &mut out),
//!                     Err(error) => _ = connection.respond(&error.response(), clock(), &mut out),
//!                 },
//!                 Event::Message(message) => _ = connection.send(message.kind, &message.payload, &mut out),
//!                 Event::Accepted(_) => unreachable!("a server is not accepted"),
//!                 Event::Closed(closure) => eprintln!("closed: {closure:?}"),
//!             }
//!         }
//!         while !out.is_empty() {
//!             transport.write_all(&out)?;
//!             out.clear();
//!             // A Pong that had to wait while much was unwritten goes now.
//!             connection.set_congested(false, &mut out);
//!         }
//!         // When it wants `FlushThenShutdown`, a socket's write side would be shut down here.
//!     }
//!     Ok(())
//! }
//! # struct Script(io::Cursor<Vec<u8>>, Vec<u8>);
//! # impl Read for Script { fn read(&mut self, into: &mut [u8]) -> io::Result<usize> { self.0.read(into) } }
//! # impl Write for Script {
//! #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.1.write(bytes) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//! #     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".to_vec();
//! # bytes.extend(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0");
//! # let mut script = Script(io::Cursor::new(bytes), Vec::new());
//! # let limits = std::sync::Arc::new(fanwire::limits::Limits::default());
//! # serve(&mut script, Connection::server(limits, Time(0)), || Time(0)).unwrap();
//! # let written = String::from_utf8_lossy(&script.1).into_owned();
//! # assert!(written.starts_with("HTTP/1.1 101 ") && written.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{written}");
//! # assert!(script.1.ends_with(b"\x81\x02hi\x88\x00"), "{written}");
//! ```
#![allow(clippy::mut_mut, reason = "an input is a cursor into bytes that are unmasked in place")]

mod assembler;
mod client_handshake;
mod close;
mod connection;
mod decoder;
mod deflate;
mod encoder;
mod error;
mod event;
mod frame;
mod handshake;
mod head;
pub mod mask;
mod message;
mod response;
mod time;
mod utf8;

pub use client_handshake::{ClientRequest, InvalidRequest};
pub use close::{CloseCode, CloseReason, parse_close};
pub use connection::{Connection, Wants};
pub use decoder::{Decoded, FrameDecoder, Piece};
pub use deflate::{
    ClientWindow, Compressing, Deflate, DeflateOffer, DeflatePolicy, Deflater, Inflater, Window, WindowBits,
    first_acceptable,
};
pub use encoder::{append_close, append_control, append_frame, append_message, unmasked_frame_len};
pub use error::{HandshakeError, ProtocolError};
pub use event::{Closure, Event, Timeout};
pub use frame::{Expected, FrameHeader, Opcode, Parse, Rsv};
pub use handshake::{Agreement, Authorization, Forwarding, Method, Origin, Request};
pub use mask::MaskingKey;
pub use message::{Kind, Message, Payload};
pub use response::{Response, Status};
pub use time::Time;
pub use utf8::{InvalidUtf8, Utf8Validator};
