//! The law that our `Connection` agrees with `tungstenite`, which nobody here wrote, on what bytes mean once the
//! opening handshake is over (RFC 6455 §5 to §8), in both roles. (The file is long because a law stands in one, with all
//! that it needs: a fuzz target and a test include it.)
//!
//! Both get the same pieces of the same stream. After each piece both must have given the same messages, the same
//! Pongs, the same Close frame's code and reason, the same answer to it, and the same failure by its close code, in the
//! same order; at the stream's end, both miss a Close frame or neither does. Where they differ on purpose, an
//! [`Exception`] says how, and what is compared instead.
//!
//! The law is driven by the fuzz target of this name, and by proptest and the kept corpus in `tests/differential.rs`.

use fanwire::limits::{FRAGMENTS_MAX, Limits, OWN_BYTES_MARK};
use fanwire::protocol::{Agreement, ClientRequest, Closure, Connection, Event, Kind, ProtocolError, Time};
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::sync::Arc;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

/// Where the two differ, and what the law asks for instead.
///
/// Two more differences lie outside of what is compared. What follows a Close frame is discarded by us (§1.4) and is
/// not given to tungstenite, which as a client fails by it. And a failing endpoint sends a Close frame (§7.1.7):
/// tungstenite leaves that to its caller, so the code that ours carries is held against the error that it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exception {
    /// §7.1.7, §8.1: we fail at the first byte that shows that a frame is wrong, tungstenite when the frame is whole.
    ///
    /// Instead: given the rest of that very frame, and nothing behind it, tungstenite fails with the same code.
    FailsEarlier,
    /// §5.2: "the minimal number of bytes MUST be used to encode the length". tungstenite is wrong: it takes any.
    ///
    /// Instead: the frame has such a length, and both agree on all that comes before it.
    LengthNotMinimal,
    /// §5.2: "the most significant bit MUST be 0", else 1002. To tungstenite the message is merely too big: 1009.
    ///
    /// Instead: the frame has such a length, and tungstenite fails by it with 1009.
    LengthOver63Bits,
    /// §7.1.7: which code a frame gets that is wrong in two ways is not said. We look for 1002 first, tungstenite for
    /// 1009 in a header and for 1007 in a Close frame's reason.
    ///
    /// Instead: tungstenite fails by the same frame with 1009, or if it is a Close frame with 1007, and by the same
    /// frame mended in that way with our code.
    WrongTwice,
    /// §7.4.1: a code that may not be sent. tungstenite answers it with 1002 as we do, but tells its caller that the
    /// peer had closed with 1002, "Protocol violation".
    ///
    /// Instead: it says so, of a Close frame with another code.
    CloseCodeRefused,
    /// §7.4.2: 1014 stands in IANA's registry. tungstenite is wrong, or old: it refuses 1014 as above.
    ///
    /// Instead: it does so, and we echo the code.
    CloseCode1014,
    /// §10.4: we bound the fragments of a message, tungstenite does not.
    ///
    /// Instead: the frame is a continuation behind as many frames as we allow at least, and both agree on what comes
    /// before it.
    TooManyFragments,
}

/// The limits that a script can choose, in bytes of a message: one that a few fragments reach, and one that a length of
/// 64 bits fits.
pub(crate) const LIMITS: [usize; 2] = [300, 70_000];

/// Pieces of a stream; the last one is all that is left.
const PIECES_MAX: usize = 512;

/// Bytes of a stream to which a frame is still added.
const STREAM_BYTES_MARK: usize = 150_000;

// ==== The law ========================================================================================================

/// The law, of bytes that begin with a script as in the other laws: switches, how many cuts, and the lengths between
/// them. The switches choose the client's role (1), that what follows describes frames (2) instead of being them, and
/// the larger limit (4).
pub(crate) fn we_agree_with_tungstenite(bytes: &[u8]) -> Option<Exception> {
    let (&[switches, count], rest) = bytes.split_first_chunk()?;
    let (lengths, rest) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let role = if switches & 1 == 0 { Role::Server } else { Role::Client };
    let mut stream = Vec::new();
    if switches & 2 == 0 {
        // In one piece with more Pings than this, only the last is answered (§5.5.3).
        stream.extend_from_slice(&rest[..rest.len().min(OWN_BYTES_MARK)]);
    } else {
        let mut rest = rest;
        while let Some(frame) = WireFrame::read(&mut rest, role) {
            frame.append(&mut stream);
            if stream.len() > STREAM_BYTES_MARK {
                break;
            }
        }
    }
    agree(role, LIMITS[usize::from(switches >> 2 & 1)], &cut(&stream, lengths))
}

/// The law, of a stream in pieces that comes to an end with `role`, where a message may have `limit` bytes.
pub(crate) fn agree(role: Role, limit: usize, pieces: &[&[u8]]) -> Option<Exception> {
    let mut ours = Ours::open(role, limit);
    let mut theirs = Theirs::open(role, limit);
    let mut agreed = 0;
    for piece in pieces {
        ours.receive(piece);
        theirs.receive(piece);
        if ours.seen[agreed..] != theirs.seen[agreed..] {
            return Some(excuse(role, limit, &pieces.concat(), &ours, &theirs));
        }
        agreed = ours.seen.len();
    }
    ours.receive_eof();
    theirs.receive_eof();
    assert_eq!(ours.seen[agreed..], theirs.seen[agreed..], "at the end of the stream");
    None
}

/// `stream` in pieces of these lengths, over and over.
fn cut<'b>(stream: &'b [u8], lengths: &[u8]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let mut rest = stream;
    for len in lengths.iter().cycle().take(PIECES_MAX) {
        let (piece, behind) = rest.split_at(usize::from(*len).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

/// The exception that allows for what was seen to differ.
///
/// # Panics
/// If there is none: the law does not hold.
fn excuse(role: Role, limit: usize, stream: &[u8], ours: &Ours, theirs: &Theirs) -> Exception {
    let Some(error) = ours.error else {
        let same = ours.seen.iter().zip(&theirs.seen).take_while(|(ours, theirs)| ours == theirs).count();
        match (&ours.seen[same..], &theirs.seen[same..]) {
            ([Seen::Answered(Some(1014)), Seen::Closed(Some(1014), _)], theirs)
                if *theirs == Seen::refused_close() =>
            {
                return Exception::CloseCode1014;
            }
            (ours, theirs) => panic!("{role:?} of {limit} bytes saw {ours:?}, tungstenite {theirs:?}"),
        }
    };

    // The frame that we fail by is put to tungstenite alone, and whole, behind what comes before it.
    let frame = Framed::holding(stream, bytes_until_failure(role, limit, stream, error));
    let mut judge = Theirs::open(role, limit);
    judge.receive(&stream[..frame.start]);
    let (said, verdict) = ours.seen.split_at(ours.seen.len() - 1);
    assert_eq!(said, judge.seen, "before {error:?}");
    let judged = |bytes: &[u8]| {
        let mut judge = Theirs::open(role, limit);
        judge.receive(&stream[..frame.start]);
        judge.receive(bytes);
        judge.seen.split_off(said.len())
    };
    let judgement = judged(&frame.bytes(stream, limit));

    let is_too_big = frame.payload_len > limit as u64;
    match (error, &judgement[..]) {
        (ProtocolError::LengthNotMinimal, _) if frame.is_longer_than_need_be() => Exception::LengthNotMinimal,
        (ProtocolError::LengthOver63Bits, [Seen::Failed(1009)]) if frame.payload_len >> 63 == 1 => {
            Exception::LengthOver63Bits
        }
        (ProtocolError::TooManyFragments, _) if frame.is_behind_fragments(FRAGMENTS_MAX) => {
            Exception::TooManyFragments
        }
        (ProtocolError::InvalidCloseCode, judgement)
            if *judgement == Seen::refused_close() && frame.close_code(stream) != 1002_u16.to_be_bytes() =>
        {
            Exception::CloseCodeRefused
        }
        (ProtocolError::InvalidCloseCode, [Seen::Failed(1007)])
            if judged(&frame.without_reason(stream)) == Seen::refused_close() =>
        {
            Exception::WrongTwice
        }
        (_, [Seen::Failed(1009)]) if is_too_big && judged(&frame.of_126_bytes()) == verdict => {
            Exception::WrongTwice
        }
        (_, judgement) if judgement == verdict => Exception::FailsEarlier,
        (_, judgement) => {
            panic!(
                "{role:?} of {limit} bytes fails by {error:?}, tungstenite says {judgement:?} of {frame:?}"
            )
        }
    }
}

/// How much of a stream we take before we fail: the least that comes to the error.
fn bytes_until_failure(role: Role, limit: usize, stream: &[u8], error: ProtocolError) -> usize {
    let fails_by = |taken| {
        let mut ours = Ours::open(role, limit);
        ours.receive(&stream[..taken]);
        ours.error.inspect(|found| assert_eq!(*found, error, "however the stream is cut")).is_some()
    };
    let (mut before, mut after) = (0, stream.len());
    assert!(fails_by(after), "however the stream is cut");
    while after - before > 1 {
        let middle = before.midpoint(after);
        if fails_by(middle) {
            after = middle;
        } else {
            before = middle;
        }
    }
    after
}

// ==== The two ends ===================================================================================================

/// What can be seen of either.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Pong(Vec<u8>),
    /// A Close frame came and was answered with this code. The answer's reason is each one's own.
    Answered(Option<u16>),
    /// A Close frame came.
    Closed(Option<u16>, String),
    /// The connection failed, and this is the close code that says why.
    Failed(u16),
    /// The stream ended without a Close frame.
    Lost,
}

impl Seen {
    /// What is seen of tungstenite when a Close frame has a code that it does not allow.
    fn refused_close() -> [Seen; 2] {
        [Seen::Answered(Some(1002)), Seen::Closed(Some(1002), "Protocol violation".to_owned())]
    }

    /// The frames that an end has written, as tungstenite's parser reads them; `out` is empty then.
    fn take_answers(role: Role, out: &mut Vec<u8>, seen: &mut Vec<Seen>) {
        let bytes = std::mem::take(out);
        let mut input = Cursor::new(bytes.as_slice());
        while (input.position() as usize) < bytes.len() {
            let (header, len) = FrameHeader::parse(&mut input).unwrap().expect("frames are written whole");
            assert_eq!(header.mask.is_some(), role == Role::Client, "clients mask (§5.1)");
            let mut payload = vec![0; usize::try_from(len).unwrap()];
            input.read_exact(&mut payload).expect("frames are written whole");
            apply_mask(header.mask, &mut payload);
            seen.push(match header.opcode {
                OpCode::Control(Control::Pong) => Seen::Pong(payload),
                OpCode::Control(Control::Close) => {
                    Seen::Answered(payload.first_chunk().map(|code| u16::from_be_bytes(*code)))
                }
                opcode => panic!("an answer with opcode {opcode}"),
            });
        }
    }
}

/// A request that opens a WebSocket; the key is §1.3's.
const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct Ours {
    role: Role,
    connection: Connection,
    out: Vec<u8>,
    seen: Vec<Seen>,
    error: Option<ProtocolError>,
}

impl Ours {
    /// A connection whose opening handshake is over.
    fn open(role: Role, limit: usize) -> Ours {
        let limits = Arc::new(Limits { message_bytes_max: limit, ..Limits::default() });
        let mut out = Vec::new();
        let mut server = Connection::server(Arc::clone(&limits), Time(0));
        let mut request = REQUEST.to_vec();
        let requested = server.next_event(&mut request.as_mut_slice(), Time(0), &mut out);
        assert!(matches!(requested, Some(Event::Requested(_))));
        let connection = if role == Role::Server {
            server.accept(Agreement::default(), Time(0), &mut out);
            server
        } else {
            let request = ClientRequest::new("server.example.com", "/chat").expect("it is a request");
            let mut client = Connection::client(Arc::clone(&limits), request, [7; 32], Time(0), &mut out);
            let mut server = Connection::server(limits, Time(0));
            let mut response = Vec::new();
            server.next_event(&mut out.as_mut_slice(), Time(0), &mut response);
            server.accept(Agreement::default(), Time(0), &mut response);
            let accepted = client.next_event(&mut response.as_mut_slice(), Time(0), &mut out);
            assert!(matches!(accepted, Some(Event::Accepted(_))));
            client
        };
        out.clear();
        Ours { role, connection, out, seen: Vec::new(), error: None }
    }

    fn receive(&mut self, piece: &[u8]) {
        let mut bytes = piece.to_vec();
        let mut input = bytes.as_mut_slice();
        while let Some(event) = self.connection.next_event(&mut input, Time(0), &mut self.out) {
            Seen::take_answers(self.role, &mut self.out, &mut self.seen);
            let seen = match event {
                Event::Message(message) => Seen::Message(message.kind, message.payload.into_vec()),
                Event::Closed(Closure::Agreed(code, reason)) => {
                    Seen::Closed(code.map(fanwire::protocol::CloseCode::number), reason.as_str().to_owned())
                }
                Event::Closed(Closure::Failed(error)) => {
                    self.error = Some(error);
                    let code = error.code().number();
                    assert_eq!(
                        self.seen.pop(),
                        Some(Seen::Answered(Some(code))),
                        "the peer is told (§7.1.7)"
                    );
                    Seen::Failed(code)
                }
                event => panic!("{event:?} after the opening handshake"),
            };
            self.seen.push(seen);
        }
        Seen::take_answers(self.role, &mut self.out, &mut self.seen);
        assert!(input.is_empty(), "all of an input is consumed");
    }

    fn receive_eof(&mut self) {
        match self.connection.receive_eof(Time(0)) {
            None => {}
            Some(Event::Closed(Closure::Lost)) => self.seen.push(Seen::Lost),
            Some(event) => panic!("{event:?} at the end of the stream"),
        }
    }
}

struct Theirs {
    role: Role,
    socket: WebSocket<Wire>,
    seen: Vec<Seen>,
    /// A Close frame came, or an error: nothing more is read.
    is_over: bool,
}

impl Theirs {
    fn open(role: Role, limit: usize) -> Theirs {
        let config = WebSocketConfig::default()
            // It is filled with zeros before each read.
            .read_buffer_size(1 << 10)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let socket = WebSocket::from_raw_socket(Wire::default(), role, Some(config));
        Theirs { role, socket, seen: Vec::new(), is_over: false }
    }

    fn receive(&mut self, piece: &[u8]) {
        let wire = self.socket.get_mut();
        wire.incoming.drain(..wire.read_bytes);
        wire.read_bytes = 0;
        wire.incoming.extend_from_slice(piece);
        self.read();
    }

    fn receive_eof(&mut self) {
        self.socket.get_mut().is_at_end = true;
        self.read();
    }

    fn read(&mut self) {
        while !self.is_over {
            let read = self.socket.read();
            Seen::take_answers(self.role, &mut self.socket.get_mut().written, &mut self.seen);
            let seen = match read {
                Ok(Message::Text(text)) => Seen::Message(Kind::Text, text.as_bytes().to_vec()),
                Ok(Message::Binary(bytes)) => Seen::Message(Kind::Binary, bytes.to_vec()),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(Message::Close(frame)) => {
                    self.is_over = true;
                    match self.socket.flush() {
                        // A server's says so when the answer is written.
                        Ok(()) | Err(Error::ConnectionClosed) => {}
                        Err(error) => panic!("the answer to a Close frame: {error}"),
                    }
                    Seen::take_answers(self.role, &mut self.socket.get_mut().written, &mut self.seen);
                    let (code, reason) =
                        frame.map(|frame| (u16::from(frame.code), frame.reason.to_string())).unzip();
                    Seen::Closed(code, reason.unwrap_or_default())
                }
                Ok(Message::Frame(frame)) => panic!("{frame} is never read"),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.is_over = true;
                    match error {
                        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                            Seen::Lost
                        }
                        Error::Protocol(_) => Seen::Failed(1002),
                        Error::Utf8(_) => Seen::Failed(1007),
                        Error::Capacity(_) => Seen::Failed(1009),
                        error => panic!("{error} is no fault of the peer's"),
                    }
                }
            };
            self.seen.push(seen);
        }
    }
}

/// A transport in memory: what has come, how much of it is read, and what was written.
#[derive(Default)]
struct Wire {
    incoming: Vec<u8>,
    read_bytes: usize,
    is_at_end: bool,
    written: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut unread = &self.incoming[self.read_bytes..];
        if unread.is_empty() && !self.is_at_end {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = unread.read(buffer)?;
        self.read_bytes += len;
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Masks or unmasks a payload in place (§5.3), word by word: byte by byte, this would be most of what a fuzzer does.
fn apply_mask(key: Option<[u8; 4]>, payload: &mut [u8]) {
    let Some(key) = key else { return };
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

// ==== Frames =========================================================================================================

/// Bytes of the longest header (§5.2).
const HEADER_BYTES_MAX: usize = 14;

/// In the 7-bit length: the length follows in 16 bits.
const LEN_IN_16_BITS: u8 = 126;

/// In the 7-bit length: the length follows in 64 bits.
const LEN_IN_64_BITS: u8 = 127;

/// Where a frame stands in a stream, found by tungstenite's parser.
#[derive(Debug)]
struct Framed {
    start: usize,
    header_len: usize,
    header: FrameHeader,
    payload_len: u64,
    /// How many frames of the stream come before it since the last that was not a continuation.
    continues: u32,
}

impl Framed {
    /// The frame that the last of the stream's first `taken` bytes belongs to. One whose header is not whole, or has an
    /// opcode that is reserved, has no payload.
    fn holding(stream: &[u8], taken: usize) -> Framed {
        let stream = padded(stream, stream.len() + HEADER_BYTES_MAX);
        let mut start = 0;
        let mut continues = 0;
        loop {
            let mut input = Cursor::new(&stream[start..]);
            let (header, payload_len) =
                FrameHeader::parse(&mut input).ok().flatten().unwrap_or((FrameHeader::default(), 0));
            let header_len = input.position() as usize;
            let payload_bytes = usize::try_from(payload_len).unwrap_or(usize::MAX);
            let end = start.saturating_add(header_len).saturating_add(payload_bytes);
            if taken <= end {
                return Framed { start, header_len, header, payload_len, continues };
            }
            match header.opcode {
                OpCode::Data(Data::Continue) => continues += 1,
                OpCode::Data(_) => continues = 1,
                OpCode::Control(_) => {}
            }
            start = end;
        }
    }

    /// The frame, and zeros in the place of what is missing of it, or its header alone if that says too much.
    fn bytes(&self, stream: &[u8], limit: usize) -> Vec<u8> {
        let payload_bytes = if self.payload_len > limit as u64 { 0 } else { self.payload_len as usize };
        let len = self.header_len + payload_bytes;
        let mut bytes = padded(&stream[self.start..], len);
        bytes.truncate(len);
        bytes
    }

    fn is_longer_than_need_be(&self) -> bool {
        self.header_len > self.header.len(self.payload_len)
    }

    fn is_behind_fragments(&self, fragments: u32) -> bool {
        self.header.opcode == OpCode::Data(Data::Continue) && self.continues >= fragments
    }

    /// The frame with another length that both accept, if nothing else is wrong, and that no control frame may have.
    fn of_126_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.header.format(126, &mut bytes).unwrap();
        bytes.resize(bytes.len() + 126, 0);
        bytes
    }

    fn close_code(&self, stream: &[u8]) -> [u8; 2] {
        let payload = self.start + self.header_len;
        let mut code = [stream[payload], stream[payload + 1]];
        apply_mask(self.header.mask, &mut code);
        code
    }

    /// A Close frame with the code alone.
    fn without_reason(&self, stream: &[u8]) -> Vec<u8> {
        let payload = self.start + self.header_len;
        let mut bytes = Vec::new();
        self.header.format(2, &mut bytes).unwrap();
        bytes.extend_from_slice(&stream[payload..payload + 2]);
        bytes
    }
}

fn padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(len), 0);
    bytes
}

/// A frame as it stands on the wire, right or wrong.
#[derive(Clone, Debug)]
pub(crate) struct WireFrame {
    /// FIN, the reserved bits and the opcode.
    pub(crate) first: u8,
    pub(crate) masking_key: Option<[u8; 4]>,
    pub(crate) length: LengthForm,
    /// Bytes of payload that the header promises and that do not come.
    pub(crate) missing: u64,
    pub(crate) payload: Vec<u8>,
}

/// How a payload's length is written (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthForm {
    /// In as few bits as it fits.
    Minimal,
    In16Bits,
    In64Bits,
}

impl WireFrame {
    /// Takes a description off the front of `bytes`, which is that of a frame that may come unless it says otherwise:
    /// opcode (the three lowest bits) and a fragment that is not the last (8); what is odd about it; what its masking
    /// key is made of; how long the payload is; and the payload, or a pattern for one that is long.
    fn read(bytes: &mut &[u8], role: Role) -> Option<WireFrame> {
        const OPCODES: [u8; 7] = [0x1, 0x2, 0x0, 0x9, 0x8, 0xa, 0x1];
        const LONG: [usize; 5] = [126, 127, 299, 300, 301];
        const VERY_LONG: [usize; 5] = [65_535, 65_536, 69_999, 70_000, 70_001];
        let (&[shape, odd, key, len], rest) = bytes.split_first_chunk()?;
        let fin = if shape & 8 == 0 { 0x80 } else { 0 };
        let opcode = OPCODES.get(usize::from(shape & 7)).copied().unwrap_or(shape >> 4);
        let masked = role == Role::Server;
        let mut frame = WireFrame {
            first: fin | opcode,
            masking_key: masked.then_some([key, key ^ 0x55, key.rotate_left(3), !key]),
            length: LengthForm::Minimal,
            missing: 0,
            payload: Vec::new(),
        };
        let taken = if len <= 125 { usize::from(len) } else { 4 };
        let (payload, rest) = rest.split_at(taken.min(rest.len()));
        let len = match usize::from(len) {
            0..=125 => payload.len(),
            len @ 126..=247 => LONG[len % 5],
            len => VERY_LONG[len % 5],
        };
        frame.payload = payload.repeat(len.div_ceil(payload.len().max(1)));
        frame.payload.truncate(len);
        match odd {
            0xf8 => frame.first |= 0x40,
            0xf9 => frame.first |= 0x20,
            0xfa => frame.first |= 0x10,
            0xfb => frame.masking_key = if masked { None } else { Some([key; 4]) },
            0xfc => frame.length = LengthForm::In16Bits,
            0xfd => frame.length = LengthForm::In64Bits,
            0xfe => frame.missing = u64::from(key) << 8,
            0xff => frame.missing = u64::from(key) << 56 | 1,
            _ => {}
        }
        *bytes = rest;
        Some(frame)
    }

    /// Appends the frame's bytes.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        let len = self.missing.saturating_add(self.payload.len() as u64);
        let mask = if self.masking_key.is_some() { 0x80 } else { 0 };
        out.push(self.first);
        match (self.length, len) {
            (LengthForm::Minimal, 0..=125) => out.push(mask | len as u8),
            (LengthForm::Minimal, 126..=0xffff) | (LengthForm::In16Bits, _) => {
                out.push(mask | LEN_IN_16_BITS);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            (LengthForm::Minimal | LengthForm::In64Bits, _) => {
                out.push(mask | LEN_IN_64_BITS);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        out.extend(self.masking_key.iter().flatten());
        let start = out.len();
        out.extend_from_slice(&self.payload);
        apply_mask(self.masking_key, &mut out[start..]);
    }
}
