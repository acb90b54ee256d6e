//! Frames that came in: from bytes in memory to whole messages, one after the other.
//!
//! All read through a copy, as from a socket: a read hands over 64 KiB, or less to a library that asks for less. All check
//! what RFC 6455 demands of frames, unmask, answer control frames, check the size of messages, check that text is UTF-8
//! and put fragments together, except for what is said here:
//!
//! - **fanwire**: [`Connection::next_event`] on a worker's buffer. A message that came whole in one frame and one read
//!   is lent from there, without a copy; others are assembled in a buffer that is allocated for each.
//! - **tungstenite**: [`WebSocket::read`](tungstenite::WebSocket::read), which looks for more in its stream by itself. It
//!   zeroes its buffer before each read. A message shares that buffer, without a copy.
//! - **fastwebsockets**: `WebSocket::read_frame`, as its documentation recommends, a future. It hands out frames: that
//!   a continuation is due, or is not, is not checked. Its buffer of 8 KiB grows with the frames. Fragments are put together
//!   by its `FragmentCollector`.
//! - **sockudo-ws**: `Protocol::process_into`, which is below its streams and without their deadlines. It takes all messages
//!   of a read at once, in a vector; they share the buffer. Control frames are left to the caller.

use super::case::Case;
use super::memory::{Memory, poll_once};
use bytes::BytesMut;
use fanwire::limits::{Limits, SCRATCH_BYTES};
use fanwire::protocol::{
    Agreement, ClientRequest, Connection, Event, Kind, MaskingKey, Opcode, Time, append_frame,
};
use fastwebsockets::{FragmentCollector, OpCode};
use sockudo_ws::protocol::{Message as SockudoMessage, Protocol};
use std::hint::black_box;
use std::io::Read;
use std::sync::Arc;
use tungstenite::Message as TungsteniteMessage;
use tungstenite::protocol::WebSocketConfig;

/// Bytes that one read hands over.
const READ_BYTES: usize = 64 << 10;

/// Who reads.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What is read.
struct Stream {
    /// The frames.
    bytes: Vec<u8>,
    kind: Kind,
    payloads: Vec<Vec<u8>>,
    read_bytes_max: usize,
}

/// A library that reads messages.
trait Decoder {
    /// Reads all of the stream, once, and hands each message to `sink`.
    fn lap(&mut self, messages: usize, sink: impl FnMut(Kind, &[u8]));
}

pub(crate) fn add_cases(cases: &mut Vec<Case>) {
    let question = "decode, masked";
    for (size, payload_len) in [("16 B", 16), ("128 B", 128), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        for kind in [Kind::Binary, Kind::Text] {
            let stream = Stream::new(kind, payload_len, 1, Role::Server);
            cases.push(whole(question, format!("{} of {size}", name(kind)), Role::Server, &stream));
        }
    }
    let stream = Stream::new(Kind::Binary, 64 << 10, 1, Role::Server).in_reads_of(SCRATCH_BYTES);
    cases.push(whole(question, "binary of 64 KiB, reads of 256 KiB".to_owned(), Role::Server, &stream));

    for (size, payload_len, fragments) in [("1 KiB in 8", 1 << 10, 8), ("64 KiB in 16", 64 << 10, 16)] {
        for kind in [Kind::Binary, Kind::Text] {
            let stream = Stream::new(kind, payload_len, fragments, Role::Server);
            cases.push(fragmented("decode, fragmented", format!("{} of {size}", name(kind)), &stream));
        }
    }
    for (size, payload_len) in [("16 B", 16), ("128 B", 128), ("1 KiB", 1 << 10)] {
        let stream = Stream::new(Kind::Binary, payload_len, 1, Role::Client);
        let name = format!("binary of {size}");
        cases.push(whole("decode in the client role, not masked", name, Role::Client, &stream));
    }
}

fn whole(question: &'static str, name: String, role: Role, stream: &Stream) -> Case {
    stream
        .case(question, name)
        .with("fanwire", stream.batch(Fanwire::new(role, stream)))
        .with("tungstenite", stream.batch(Tungstenite::new(role, stream)))
        .with("fastwebsockets", stream.batch(Fastwebsockets(fastwebsocket(role, stream.memory()))))
        .with("sockudo-ws", stream.batch(Sockudo::new(role, stream)))
}

fn fragmented(question: &'static str, name: String, stream: &Stream) -> Case {
    let role = Role::Server;
    let collector = Collector(FragmentCollector::new(fastwebsocket(role, stream.memory())));
    stream
        .case(question, name)
        .with("fanwire", stream.batch(Fanwire::new(role, stream)))
        .with("tungstenite", stream.batch(Tungstenite::new(role, stream)))
        .with("fastwebsockets", stream.batch(collector))
        .with("sockudo-ws", stream.batch(Sockudo::new(role, stream)))
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    }
}

// ---- The stream -----------------------------------------------------------------------------------------------------

impl Stream {
    /// Some hundred kilobytes of messages, each different and each under a key of its own.
    fn new(kind: Kind, payload_len: usize, fragments: usize, reader: Role) -> Stream {
        let messages = (16 * payload_len).max(256 << 10) / payload_len;
        let mut random = Random(1);
        let mut bytes = Vec::new();
        let payloads: Vec<Vec<u8>> = (0..messages)
            .map(|_| (0..payload_len).map(|_| b' ' + random.next() as u8 % 95).collect())
            .collect();
        for payload in &payloads {
            let mut opcode = kind.into();
            let mut pieces = payload.chunks(payload_len / fragments).peekable();
            while let Some(piece) = pieces.next() {
                let key = (reader == Role::Server).then(|| MaskingKey(random.next().to_ne_bytes()));
                append_frame(pieces.peek().is_none(), opcode, key, piece, &mut bytes);
                opcode = Opcode::Continuation;
            }
        }
        Stream { bytes, kind, payloads, read_bytes_max: READ_BYTES }
    }

    fn in_reads_of(self, read_bytes_max: usize) -> Stream {
        Stream { read_bytes_max, ..self }
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.bytes, self.read_bytes_max)
    }

    fn case(&self, question: &'static str, name: String) -> Case {
        Case::new(question, name, self.payloads.len() as u64, self.payloads[0].len() as u64)
    }

    /// A lap to be measured, after two in which all messages were as they should be.
    fn batch(&self, mut decoder: impl Decoder + 'static) -> impl FnMut() + 'static {
        let messages = self.payloads.len();
        for _ in 0..2 {
            let mut expected = self.payloads.iter();
            decoder.lap(messages, |kind, payload| {
                assert_eq!((kind, Some(payload)), (self.kind, expected.next().map(Vec::as_slice)));
            });
            assert_eq!(expected.next(), None);
        }
        move || {
            let mut count = 0;
            decoder.lap(messages, |kind, payload| {
                black_box((kind, payload));
                count += 1;
            });
            assert_eq!(count, messages);
        }
    }
}

/// Marsaglia's xorshift: the same numbers in each run.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        for shift in [13, -17, 5_i32] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0
    }
}

// ---- The libraries --------------------------------------------------------------------------------------------------

struct Fanwire {
    connection: Connection,
    memory: Memory,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

impl Fanwire {
    fn new(role: Role, stream: &Stream) -> Fanwire {
        let (server, client) = fanwire_pair();
        let connection = if role == Role::Server { server } else { client };
        Fanwire { connection, memory: stream.memory(), scratch: vec![0; SCRATCH_BYTES], out: Vec::new() }
    }
}

impl Decoder for Fanwire {
    fn lap(&mut self, _: usize, mut sink: impl FnMut(Kind, &[u8])) {
        loop {
            let len = self.memory.read(&mut self.scratch).expect("memory can be read");
            let mut input = &mut self.scratch[..len];
            while let Some(event) = self.connection.next_event(&mut input, Time(0), &mut self.out) {
                match event {
                    Event::Message(message) => sink(message.kind, &message.payload),
                    other => panic!("{other:?}"),
                }
            }
            if self.memory.is_at_start() {
                return;
            }
        }
    }
}

/// Both ends of an open connection.
pub(crate) fn fanwire_pair() -> (Connection, Connection) {
    let limits = Arc::new(Limits::default());
    let request = ClientRequest::new("localhost", "/").expect("a host and a path");
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut client = Connection::client(limits.clone(), request, [7; 32], Time(0), &mut to_server);
    let mut server = Connection::server(limits, Time(0));
    server.next_event(&mut to_server.as_mut_slice(), Time(0), &mut to_client);
    server.accept(Agreement::default(), Time(0), &mut to_client);
    client.next_event(&mut to_client.as_mut_slice(), Time(0), &mut to_server);
    assert!(server.is_open() && client.is_open());
    (server, client)
}

struct Tungstenite(tungstenite::WebSocket<Memory>);

impl Tungstenite {
    fn new(role: Role, stream: &Stream) -> Tungstenite {
        let role = match role {
            Role::Server => tungstenite::protocol::Role::Server,
            Role::Client => tungstenite::protocol::Role::Client,
        };
        let config = WebSocketConfig::default().read_buffer_size(stream.read_bytes_max);
        Tungstenite(tungstenite::WebSocket::from_raw_socket(stream.memory(), role, Some(config)))
    }
}

impl Decoder for Tungstenite {
    fn lap(&mut self, messages: usize, mut sink: impl FnMut(Kind, &[u8])) {
        for _ in 0..messages {
            match self.0.read().expect("the stream is well formed") {
                TungsteniteMessage::Text(text) => sink(Kind::Text, text.as_bytes()),
                TungsteniteMessage::Binary(bytes) => sink(Kind::Binary, &bytes),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) fn fastwebsocket(role: Role, memory: Memory) -> fastwebsockets::WebSocket<Memory> {
    let role = match role {
        Role::Server => fastwebsockets::Role::Server,
        Role::Client => fastwebsockets::Role::Client,
    };
    fastwebsockets::WebSocket::after_handshake(memory, role)
}

struct Fastwebsockets(fastwebsockets::WebSocket<Memory>);

impl Decoder for Fastwebsockets {
    fn lap(&mut self, messages: usize, mut sink: impl FnMut(Kind, &[u8])) {
        poll_once(async {
            for _ in 0..messages {
                let frame = self.0.read_frame().await.expect("the stream is well formed");
                sink(kind(frame.opcode), &frame.payload);
            }
        });
    }
}

struct Collector(FragmentCollector<Memory>);

impl Decoder for Collector {
    fn lap(&mut self, messages: usize, mut sink: impl FnMut(Kind, &[u8])) {
        poll_once(async {
            for _ in 0..messages {
                let frame = self.0.read_frame().await.expect("the stream is well formed");
                sink(kind(frame.opcode), &frame.payload);
            }
        });
    }
}

fn kind(opcode: OpCode) -> Kind {
    match opcode {
        OpCode::Text => Kind::Text,
        OpCode::Binary => Kind::Binary,
        other => panic!("{other:?}"),
    }
}

struct Sockudo {
    protocol: Protocol,
    memory: Memory,
    read_bytes_max: usize,
    buffer: BytesMut,
    messages: Vec<SockudoMessage>,
}

impl Sockudo {
    fn new(role: Role, stream: &Stream) -> Sockudo {
        Sockudo {
            protocol: sockudo_protocol(role),
            memory: stream.memory(),
            read_bytes_max: stream.read_bytes_max,
            buffer: BytesMut::new(),
            messages: Vec::new(),
        }
    }
}

impl Decoder for Sockudo {
    fn lap(&mut self, _: usize, mut sink: impl FnMut(Kind, &[u8])) {
        loop {
            // No message is left, so that the buffer is reused.
            self.messages.clear();
            self.buffer.reserve(self.read_bytes_max);
            self.memory.read_into(self.read_bytes_max, |piece| self.buffer.extend_from_slice(piece));
            let processed = self.protocol.process_into(&mut self.buffer, &mut self.messages);
            processed.expect("the stream is well formed");
            for message in &self.messages {
                match message {
                    SockudoMessage::Text(bytes) => sink(Kind::Text, bytes),
                    SockudoMessage::Binary(bytes) => sink(Kind::Binary, bytes),
                    other => panic!("{other:?}"),
                }
            }
            if self.memory.is_at_start() {
                return;
            }
        }
    }
}

pub(crate) fn sockudo_protocol(role: Role) -> Protocol {
    let role = match role {
        Role::Server => sockudo_ws::Role::Server,
        Role::Client => sockudo_ws::Role::Client,
    };
    let message_bytes_max = Limits::default().message_bytes_max;
    Protocol::new(role, message_bytes_max, message_bytes_max)
}
