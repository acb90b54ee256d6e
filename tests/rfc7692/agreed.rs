//! [`End`]: one end of a connection on which compression was agreed to, in either role. It is there twice, and is told
//! everything twice: by `next_event`, and by `next_event_inflating` with one inflater. Both must say the same.

use crate::peer::{REQUEST, Seen};
use fanwire::limits::Limits;
use fanwire::protocol::{
    Agreement, ClientRequest, ClientWindow, CloseCode, CloseReason, Closure, Compressing, Connection,
    Deflate, DeflateOffer, Deflater, Event, FrameHeader, Inflater, Kind, Parse, ProtocolError, Time,
    WindowBits, mask,
};
use flate2::{Compress, Compression, FlushCompress};
use std::sync::Arc;

/// Nobody takes a context over, and all windows are as large as they may be.
pub(crate) const FORGETFUL: Deflate = Deflate {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

/// Both may refer to their earlier messages.
pub(crate) const MINDFUL: Deflate =
    Deflate { server_no_context_takeover: false, client_no_context_takeover: false, ..FORGETFUL };

/// Whoever it is whose end is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

impl Role {
    /// An end with the default limits whose opening handshake is over.
    pub(crate) fn open(self, deflate: Deflate) -> End {
        self.open_within(Limits::default(), Some(deflate))
    }

    /// The same without compression.
    pub(crate) fn open_plain(self) -> End {
        self.open_within(Limits::default(), None)
    }

    /// The same where a message may have this many bytes.
    pub(crate) fn open_with_limit(self, message_bytes_max: usize, deflate: Deflate) -> End {
        self.open_within(Limits { message_bytes_max, ..Limits::default() }, Some(deflate))
    }

    fn open_within(self, limits: Limits, deflate: Option<Deflate>) -> End {
        let limits = Arc::new(limits);
        let connection = self.connection(&limits, deflate);
        let twin = self.connection(&limits, deflate);
        End { role: self, connection, twin, inflater: Inflater::new(), out: Vec::new() }
    }

    fn connection(self, limits: &Arc<Limits>, deflate: Option<Deflate>) -> Connection {
        let agreement = Agreement { deflate, ..Agreement::default() };
        let (mut request, mut response) = (Vec::new(), Vec::new());
        let offer = DeflateOffer { client_max_window_bits: ClientWindow::Supported, ..DeflateOffer::PLAIN };
        let asking = ClientRequest::new("a", "/").unwrap().with_deflate(offer);
        let mut client = Connection::client(limits.clone(), asking, [7; 32], Time(0), &mut request);
        if self == Role::Server {
            request = REQUEST.to_vec();
        }
        let mut server = Connection::server(limits.clone(), Time(0));
        let requested = server.next_event(&mut request.as_mut_slice(), Time(0), &mut Vec::new());
        assert!(matches!(requested, Some(Event::Requested(_))), "{requested:?}");
        server.accept(agreement, Time(0), &mut response);
        if self == Role::Server {
            return server;
        }
        let accepted = client.next_event(&mut response.as_mut_slice(), Time(0), &mut Vec::new());
        let Some(Event::Accepted(answered)) = accepted else { panic!("{accepted:?}") };
        assert_eq!(answered.deflate, deflate);
        client
    }

    /// A frame as the other end sends it, that begins with `first`: FIN, RSV1 to RSV3, and the opcode.
    pub(crate) fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        self.frame_begun(first, payload.len() as u64, payload)
    }

    /// The same with what has come so far of a payload of `len` bytes.
    pub(crate) fn frame_begun(self, first: u8, len: u64, payload: &[u8]) -> Vec<u8> {
        let mask = if self == Role::Server { 0x80 } else { 0 };
        let mut frame = match len {
            0..=125 => vec![first, mask | len as u8],
            126..=0xffff => [&[first, mask + 126][..], &(len as u16).to_be_bytes()].concat(),
            _ => [&[first, mask + 127][..], &len.to_be_bytes()].concat(),
        };
        match self {
            Role::Server => {
                let key = [0x37, 0xfa, 0x21, 0x3d];
                frame.extend(key);
                frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            }
            Role::Client => frame.extend(payload),
        }
        frame
    }

    /// What stands in one frame that this end has sent: its first byte, and the payload. It is masked exactly if a client
    /// sent it.
    #[track_caller]
    pub(crate) fn read_own_frame(self, frame: &[u8]) -> (u8, Vec<u8>) {
        let (header, len) = FrameHeader::parse(frame).map(expect_complete).expect("a frame");
        assert_eq!(header.masking_key.is_some(), self == Role::Client);
        let mut payload = frame[len..].to_vec();
        assert_eq!(payload.len() as u64, header.payload_len, "one frame and nothing else");
        if let Some(key) = header.masking_key {
            mask::apply(key, &mut payload, 0);
        }
        (frame[0], payload)
    }

    /// An agreement in which the other end compresses with a window of `2^bits` bytes.
    pub(crate) fn window_of_peer(self, bits: u8, deflate: Deflate) -> Deflate {
        match self {
            Role::Server => Deflate { client_max_window_bits: WindowBits::new(bits), ..deflate },
            Role::Client => Deflate { server_max_window_bits: WindowBits::new(bits), ..deflate },
        }
    }

    /// An agreement in which this end compresses with a window of `2^bits` bytes.
    pub(crate) fn own_window(self, bits: u8, deflate: Deflate) -> Deflate {
        match self {
            Role::Server => Role::Client.window_of_peer(bits, deflate),
            Role::Client => Role::Server.window_of_peer(bits, deflate),
        }
    }

    /// An agreement in which only the other end keeps its context, or only this one.
    pub(crate) fn only_peer_keeps_its_context(self, peer: bool) -> Deflate {
        let client_no_context_takeover = (self == Role::Server) != peer;
        Deflate {
            client_no_context_takeover,
            server_no_context_takeover: !client_no_context_takeover,
            ..FORGETFUL
        }
    }
}

fn expect_complete<T>(parsed: Parse<T>) -> T {
    match parsed {
        Parse::Complete(complete) => complete,
        Parse::Incomplete => panic!("a whole header was expected"),
    }
}

/// One end, with what it has to send.
pub(crate) struct End {
    pub(crate) role: Role,
    connection: Connection,
    twin: Connection,
    inflater: Inflater,
    pub(crate) out: Vec<u8>,
}

impl End {
    /// What comes out of these bytes; all of them are consumed.
    #[track_caller]
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut out = self.out.clone();
        let mut seen = Vec::new();
        let mut copy = bytes.to_vec();
        let mut input = copy.as_mut_slice();
        while let Some(event) = self.connection.next_event(&mut input, Time(0), &mut self.out) {
            seen.push(Seen::from(event));
        }
        assert!(input.is_empty());
        let mut seen_inflating = Vec::new();
        let mut copy = bytes.to_vec();
        let mut input = copy.as_mut_slice();
        while let Some(event) =
            self.twin.next_event_inflating(&mut input, Time(0), &mut self.inflater, &mut out)
        {
            seen_inflating.push(Seen::from(event));
        }
        assert!(input.is_empty());
        assert!(seen == seen_inflating, "both ways of inflating say the same");
        assert_eq!((&self.out, self.connection.wants()), (&out, self.twin.wants()));
        assert_eq!(self.connection.held_bytes(), self.twin.held_bytes());
        seen
    }

    /// What comes out of one frame of the other end.
    #[track_caller]
    pub(crate) fn receive_frame(&mut self, first: u8, payload: &[u8]) -> Vec<Seen> {
        self.receive(&self.role.frame(first, payload))
    }

    /// Receives bytes that fail the connection; returns the error, and checks the Close frame that says so.
    #[track_caller]
    pub(crate) fn fail_by(mut self, bytes: &[u8]) -> ProtocolError {
        self.out.clear();
        let seen = self.receive(bytes);
        let [.., Seen::Closed(Closure::Failed(error))] = seen[..] else { panic!("{seen:?}") };
        assert_eq!(seen.len(), 1, "nothing of it comes out: {seen:?}");
        let [high, low] = error.code().number().to_be_bytes();
        let close = [&[high, low], error.sentence().as_bytes()].concat();
        let (first, payload) = self.role.read_own_frame(&self.out);
        assert_eq!(first, 0x88, "a Close frame and nothing else");
        assert_eq!(payload, close);
        error
    }

    /// The same by one frame.
    #[track_caller]
    pub(crate) fn fail_by_frame(self, first: u8, payload: &[u8]) -> ProtocolError {
        let frame = self.role.frame(first, payload);
        self.fail_by(&frame)
    }

    /// Sends our Close frame.
    pub(crate) fn close(&mut self) {
        for connection in [&mut self.connection, &mut self.twin] {
            let mut out = Vec::new();
            connection.close(CloseCode::NORMAL, &CloseReason::none(), Time(0), &mut out);
            self.out = out;
        }
    }

    /// Sends a message: the first byte and the payload of the frame.
    pub(crate) fn sent(&mut self, kind: Kind, payload: &[u8], deflater: &mut Deflater) -> (u8, Vec<u8>) {
        self.role.read_own_frame(&self.sent_frame(kind, payload, deflater))
    }

    /// The same with all of the frame's bytes.
    pub(crate) fn sent_frame(&mut self, kind: Kind, payload: &[u8], deflater: &mut Deflater) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(self.connection.send_deflated(kind, payload, deflater, &mut out), "it is open");
        out
    }

    /// Bytes held for what is not finished, and of what was said before.
    pub(crate) fn held_bytes(&self) -> usize {
        self.connection.held_bytes()
    }
}

/// A deflater that compresses everything from `bytes_min` bytes on.
pub(crate) fn deflater(level: u8, bytes_min: usize) -> Deflater {
    Deflater::new(Compressing { level, bytes_min })
}

/// The sender of messages that may refer to one another, made without the code under test.
pub(crate) struct Sender(Compress);

impl Sender {
    /// One with a window of `2^bits` bytes, 9 to 15.
    pub(crate) fn new(bits: u8) -> Sender {
        Sender(Compress::new_with_window_bits(Compression::best(), false, bits))
    }

    /// The next message's compressed payload.
    pub(crate) fn deflated(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut compressed = self.flushed(payload);
        assert!(compressed.ends_with(&[0x00, 0x00, 0xff, 0xff]));
        compressed.truncate(compressed.len() - 4);
        compressed
    }

    /// The same with the end of the flush, as a part of a message.
    pub(crate) fn flushed(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::with_capacity(2 * payload.len() + 1000);
        self.0.compress_vec(payload, &mut compressed, FlushCompress::Sync).expect("it takes any bytes");
        assert!(compressed.len() < compressed.capacity());
        compressed
    }
}

/// A message's compressed payload, by itself.
pub(crate) fn deflated(payload: &[u8]) -> Vec<u8> {
    Sender::new(15).deflated(payload)
}

/// A message's compressed payload that says again three bytes, from `distance` bytes ago on, 193 to 32,768: RFC 1951
/// §3.2.5 and §3.2.6. zlib itself refers to nothing at the far end of a window.
pub(crate) fn three_bytes_from(distance: usize) -> Vec<u8> {
    // Distances of a code begin behind 2^n or 3 * 2^(n - 1), and have n - 1 extra bits.
    let n = (distance - 1).ilog2() as usize;
    let second_half = ((distance - 1) >> (n - 1)) & 1;
    let code = 2 * n + second_half;
    let extra = (distance - 1) & ((1 << (n - 1)) - 1);
    // Numbers with their lowest bit first, codes with their highest.
    let number = |value: usize, bits: usize| (0..bits).map(move |bit| (value >> bit) & 1);
    let code_of = |value: usize, bits: usize| (0..bits).rev().map(move |bit| (value >> bit) & 1);
    let bits = number(0, 1) // BFINAL
        .chain(number(1, 2)) // BTYPE: fixed codes
        .chain(code_of(1, 7)) // 257: a length of 3
        .chain(code_of(code, 5))
        .chain(number(extra, n - 1))
        .chain(code_of(0, 7)) // 256: the end of the block
        .chain(number(0, 3)); // the flush that is left out begins
    let bits = bits.collect::<Vec<_>>();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| (value << 1) | *bit as u8)).collect()
}

/// Bytes that cannot be compressed and do not repeat: a linear congruential generator's.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}
