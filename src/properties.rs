//! The laws: what holds for every input, each written once. All of them stand in this one file, however long, so that
//! proptest and every fuzz target find them in the same place.
//!
//! A law is a plain function that takes bytes or values and asserts. It is driven three ways: by proptest, in the module
//! `tests` at the end; by the targets under `fuzz/`, five lines each; and by their kept corpus. To add one, write the
//! function in the section of the module it is about and drive it in that section's tests.
//!
//! A law over one slice takes it to begin with a [`Script`], so that a fuzzer decides how input is cut as well.
//! "It did not crash" is no law.
#![allow(clippy::missing_panics_doc, reason = "that is what a law does when it does not hold")]

// ==== protocol =======================================================================================================

use crate::limits::{DEFLATE_LAST_BLOCKS_MAX, DEFLATE_OFFERS_MAX, Limits};
use crate::protocol::{
    self, Agreement, ClientRequest, ClientWindow, CloseCode, CloseReason, Closure, Compressing, Connection,
    Decoded, Deflate, DeflateOffer, DeflatePolicy, Deflater, Event, FrameDecoder, FrameHeader,
    HandshakeError, Inflater, Kind, MaskingKey, Opcode, Parse, Payload, ProtocolError, Request, Rsv, Time,
    Utf8Validator, Wants, WindowBits, mask,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status as InflateStatus};
use std::sync::Arc;

#[cfg(test)]
#[path = "../tests/kept/mod.rs"]
mod kept;

/// How a law is to treat the bytes that follow: a byte of switches, how many cuts there are, and the lengths between
/// them, which are used over and over. A length of 0 is an empty input.
#[derive(Clone, Copy, Debug)]
pub struct Script<'b> {
    switches: u8,
    lengths: &'b [u8],
    /// What is left of the bytes.
    pub rest: &'b [u8],
}

impl<'b> Script<'b> {
    /// Takes the script off the front of `bytes`; what is missing counts as 0.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Script<'b> {
        let (switches, rest) = bytes.split_first().map_or((0, bytes), |(switches, rest)| (*switches, rest));
        let (count, rest) =
            rest.split_first().map_or((0, rest), |(count, rest)| (usize::from(count % 16), rest));
        let (lengths, rest) = rest.split_at(count.min(rest.len()));
        Script { switches, lengths, rest }
    }

    fn switch(&self, bit: u8) -> bool {
        self.switches >> bit & 1 == 1
    }

    /// `bytes` in pieces.
    fn cut<'c>(&self, bytes: &'c [u8]) -> Vec<&'c [u8]> {
        // Cuts that are all empty would never end.
        if self.lengths.iter().all(|len| *len == 0) {
            return vec![bytes];
        }
        let mut pieces = Vec::new();
        let mut rest = bytes;
        for len in self.lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(usize::from(*len).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}

/// Masking (RFC 6455 §5.3) does what the RFC's own loop over bytes does, wherever the payload lies in memory and wherever
/// in the frame it begins; doing it twice, in two parts, restores the payload.
pub fn masking_agrees_with_the_naive_loop(key: [u8; 4], payload: &[u8], offset: usize, alignment: usize) {
    let naive = payload.iter().zip(offset..).map(|(byte, index)| byte ^ key[index % 4]).collect::<Vec<_>>();
    let mut memory = vec![0; alignment];
    memory.extend_from_slice(payload);
    let masked = &mut memory[alignment..];
    mask::apply(MaskingKey(key), masked, offset);
    assert_eq!(masked, naive);
    let middle = masked.len() / 3;
    let (front, back) = masked.split_at_mut(middle);
    mask::apply(MaskingKey(key), front, offset);
    mask::apply(MaskingKey(key).rotated(middle), back, offset);
    assert_eq!(masked, payload);
}

/// The same, of bytes that say where the payload lies: two for alignment and offset, four for the key, the payload.
pub fn masking_a_script_agrees_with_the_naive_loop(bytes: &[u8]) {
    let [alignment, offset, a, b, c, d, ref payload @ ..] = *bytes else { return };
    masking_agrees_with_the_naive_loop([a, b, c, d], payload, usize::from(offset), usize::from(alignment));
}

/// A header is the same after it was encoded and parsed (§5.2), and no beginning of it is a header.
pub fn parsing_a_header_undoes_encoding(header: FrameHeader) {
    let mut bytes = [0; FrameHeader::LEN_MAX];
    let len = header.encode(&mut bytes);
    assert_eq!(FrameHeader::parse(&bytes[..len]), Ok(Parse::Complete((header, len))));
    assert_eq!(FrameHeader::parse(&bytes), Ok(Parse::Complete((header, len))));
    for begun in 0..len {
        assert_eq!(FrameHeader::parse(&bytes[..begun]), Ok(Parse::Incomplete));
    }
}

/// Bytes that parse as a header are the only ones that do: encoding it gives them again (§5.2: lengths are minimal).
/// What parsing says of bytes, it says of all that begin with them.
pub fn a_header_has_one_encoding(bytes: &[u8]) {
    let whole = FrameHeader::parse(bytes);
    if let Ok(Parse::Complete((header, len))) = whole {
        let mut encoded = [0; FrameHeader::LEN_MAX];
        assert_eq!(header.encode(&mut encoded), len);
        assert_eq!(encoded[..len], bytes[..len]);
    }
    for len in 0..bytes.len() {
        let begun = FrameHeader::parse(&bytes[..len]);
        assert!(begun == Ok(Parse::Incomplete) || begun == whole, "{begun:?}, then {whole:?}");
    }
}

/// What a decoder made of its input.
#[derive(Debug, PartialEq, Eq)]
struct DecodedFrames {
    /// Each header, and as much of its payload as came.
    frames: Vec<(FrameHeader, Vec<u8>, bool)>,
    error: Option<ProtocolError>,
}

/// Decodes pieces of input, asserting that each step gets on.
fn decode(pieces: &[&[u8]]) -> DecodedFrames {
    let mut decoder = FrameDecoder::new();
    let mut found = DecodedFrames { frames: Vec::new(), error: None };
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = bytes.as_mut_slice();
        loop {
            let before = input.len();
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Decoded::Header(header))) => {
                    assert!(input.len() < before, "a header consumes something");
                    found.frames.push((header, Vec::new(), false));
                }
                Ok(Some(Decoded::Payload(piece))) => {
                    let (header, payload, ended) = found.frames.last_mut().expect("payload follows a header");
                    assert_eq!((piece.opcode, piece.fin), (header.opcode, header.fin));
                    assert!(!*ended && piece.first == payload.is_empty());
                    assert_eq!(before - input.len(), piece.bytes.len());
                    assert!(
                        !piece.bytes.is_empty() || header.payload_len == 0,
                        "a piece of nothing ends an empty frame"
                    );
                    payload.extend_from_slice(piece.bytes);
                    *ended = piece.last;
                    assert_eq!(*ended, payload.len() as u64 == header.payload_len);
                }
                Err(error) => {
                    found.error = Some(error);
                    return found;
                }
            }
        }
        assert!(input.is_empty(), "all of an input is consumed");
    }
    found
}

/// However a stream is cut, the decoder finds the same frames and the same error in it, and every step consumes something
/// or ends an empty frame. The bytes begin with a [`Script`].
pub fn decoding_ignores_how_bytes_are_cut(bytes: &[u8]) {
    let script = Script::new(bytes);
    let whole = decode(&[script.rest]);
    assert_eq!(decode(&script.cut(script.rest)), whole);
    let single = script.rest.chunks(1).collect::<Vec<_>>();
    assert_eq!(decode(&single), whole);
}

/// FIN, opcode, masking key and payload of a frame.
pub type Frame = (bool, Opcode, Option<[u8; 4]>, Vec<u8>);

/// Decoding undoes encoding, for frames in a row, masked or not, however they are cut (§5.2, §5.3).
pub fn decoding_undoes_encoding(frames: &[Frame], script: &Script<'_>) {
    let mut bytes = Vec::new();
    for (fin, opcode, key, payload) in frames {
        protocol::append_frame(*fin, *opcode, key.map(MaskingKey), payload, &mut bytes);
    }
    let decoded = decode(&script.cut(&bytes));
    assert_eq!(decoded.error, None);
    assert_eq!(decoded.frames.len(), frames.len());
    for ((header, decoded, ended), (fin, opcode, key, payload)) in decoded.frames.iter().zip(frames) {
        let masking_key = key.map(MaskingKey);
        assert_eq!((header.fin, header.opcode, header.masking_key), (*fin, *opcode, masking_key));
        assert_eq!((decoded, *ended), (payload, true));
    }
}

/// The same, of frames that the bytes behind a [`Script`] describe, four for each: FIN (1), masking (2) and opcode (the
/// rest), how long the payload is, its first byte, and a byte of the key.
pub fn decoding_undoes_encoding_of_scripted_frames(bytes: &[u8]) {
    const OPCODES: [Opcode; 6] =
        [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
    let script = Script::new(bytes);
    let (descriptions, _) = script.rest.as_chunks();
    let frames = descriptions.iter().take(8).map(|&[kind, len, first, key]| {
        // Lengths of 7, 16 and 64 bits (§5.2), the last ones of each and the first of the next among them.
        let payload_len = match usize::from(len) {
            len @ 0..=200 => len,
            len @ 201..=240 => len * 16,
            len => 65_536 - 248 + len,
        };
        let payload = (0..payload_len).map(|index| first.wrapping_add(index as u8)).collect();
        let masking_key = (kind & 2 != 0).then_some([key, first, len, kind]);
        (kind & 1 != 0, OPCODES[usize::from(kind >> 2) % OPCODES.len()], masking_key, payload)
    });
    decoding_undoes_encoding(&frames.collect::<Vec<_>>(), &script);
}

/// The validator accepts what `std` accepts, however it is cut, and fails in the piece that has the first byte with which
/// no text can go on (§8.1). The bytes begin with a [`Script`].
pub fn utf8_validation_agrees_with_std(bytes: &[u8]) {
    let script = Script::new(bytes);
    let text = script.rest;
    let first_impossible = first_impossible_byte(text);
    for pieces in [vec![text], script.cut(text), text.chunks(1).collect()] {
        let mut validator = Utf8Validator::new();
        let mut end = 0;
        let mut failed = false;
        for piece in pieces {
            end += piece.len();
            failed = validator.push(piece).is_err();
            assert_eq!(failed, first_impossible.is_some_and(|index| index < end));
            if failed {
                break;
            }
        }
        assert_eq!(!failed && validator.finish().is_ok(), std::str::from_utf8(text).is_ok());
    }
}

/// The index of the first byte after which no text can go on.
fn first_impossible_byte(text: &[u8]) -> Option<usize> {
    let mut start = 0;
    for end in 1..=text.len() {
        match std::str::from_utf8(&text[start..end]) {
            Ok(_) => start = end,
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return Some(end - 1),
        }
    }
    None
}

/// If a server makes a request of some bytes, it makes nothing of fewer (§4.2.1), and the same of them byte by byte.
pub fn a_strict_prefix_of_a_handshake_is_incomplete(bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    let mut input = whole.as_mut_slice();
    let mut out = Vec::new();
    let event = Connection::server(law_limits(), Time(0)).next_event(&mut input, Time(0), &mut out);
    let Some(Event::Requested(requested)) = event else { return };
    assert!(requested.path.starts_with('/'));
    // A request of HTTP/1.0 need not name its host; it opens no WebSocket.
    assert!(!requested.host.is_empty() || requested.upgrade == Err(HandshakeError::HttpVersion));
    let head_len = bytes.len() - input.len();
    assert!(bytes[..head_len].ends_with(b"\r\n\r\n"));
    let mut drips = Connection::server(law_limits(), Time(0));
    for len in 0..head_len {
        let mut prefix = bytes[..len].to_vec();
        let mut connection = Connection::server(law_limits(), Time(0));
        assert_eq!(connection.next_event(&mut prefix.as_mut_slice(), Time(0), &mut out), None);
        assert_eq!(connection.wants(), Wants::Input);
        let mut byte = [bytes[len]];
        let event = drips.next_event(&mut byte.as_mut_slice(), Time(0), &mut out);
        assert_eq!(event, (len + 1 == head_len).then(|| Event::Requested(requested.clone())));
    }
    assert!(out.is_empty(), "nothing is said to half a request");
}

/// Small enough that a fuzzer reaches them.
fn law_limits() -> Arc<Limits> {
    Arc::new(Limits { message_bytes_max: 4096, ..Limits::default() })
}

/// A request that opens a WebSocket; the key is §1.3's.
const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// An event that has left its input.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Requested(Request),
    Accepted(Agreement),
    Message(Kind, Vec<u8>),
    Closed(Closure),
}

/// All that can be seen of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Transcript {
    seen: Vec<Seen>,
    out: Vec<u8>,
    wants: Wants,
    is_open: bool,
    deadline: Option<Time>,
}

/// However its input is cut, a connection does the same: the same events, the same bytes out, the same state, in both
/// roles, from the handshake to the close, with or without a close of ours in between.
///
/// Byte by byte, no message takes the short way that it takes when it is whole.
///
/// On the way: nothing follows a Close frame into `out`, `Closed` comes at most once, all input is consumed, and the
/// memory held stays within twice what has come in, and a window if the peer may refer to earlier messages. The bytes
/// begin with a [`Script`]; its switches choose the role (1), whether a handshake that succeeds comes first (2), whether
/// we close after half of the input (4), how what is behind the request head gets to the connection (8), whether messages
/// may be compressed (16), and that with references to earlier ones (32), and whether messages that are whole in a piece
/// are taken in a row and not as events (64).
pub fn a_connection_ignores_how_its_input_is_cut(bytes: &[u8]) {
    let script = Script::new(bytes);
    let (_, handshake) = law_connection(&script, &mut Vec::new());
    let mut input = if script.switch(1) { handshake } else { Vec::new() };
    let middle =
        if script.switch(2) { input.len() + script.rest.len() / 2 } else { input.len() + script.rest.len() };
    input.extend_from_slice(script.rest);
    let (before, after) = input.split_at(middle);
    let whole = converse(&script, &[before], &[after], false);
    assert_eq!(converse(&script, &script.cut(before), &script.cut(after), script.switch(6)), whole);
    let drips = |bytes| <[u8]>::chunks(bytes, 1).collect::<Vec<_>>();
    assert_eq!(converse(&script, &drips(before), &drips(after), false), whole);
}

/// Hands a connection two rows of input, with a close of ours in between if the script says so. Messages that are whole in
/// a piece are taken in a row, or come as events.
fn converse(script: &Script<'_>, before: &[&[u8]], after: &[&[u8]], in_rows: bool) -> Transcript {
    let mut out = Vec::new();
    let (mut connection, _) = law_connection(script, &mut out);
    let mut conversation = Conversation {
        received: 0,
        opened_at: None,
        holds: script.switch(3),
        in_rows,
        agreement: law_agreement(script),
        seen: Vec::new(),
    };
    for piece in before {
        conversation.receive(&mut connection, piece, &mut out);
    }
    if script.switch(2) {
        connection.close(CloseCode::NORMAL, &CloseReason::new("enough"), Time(0), &mut out);
    }
    for piece in after {
        conversation.receive(&mut connection, piece, &mut out);
    }
    let Conversation { opened_at, seen, .. } = conversation;
    if let Some(opened_at) = opened_at {
        let decoded = decode(&[&out[opened_at..]]);
        assert_eq!(decoded.error, None);
        let close = decoded.frames.iter().position(|(header, _, _)| header.opcode == Opcode::Close);
        assert!(close.is_none_or(|index| index + 1 == decoded.frames.len()), "a Close frame is the last");
        assert!(
            decoded
                .frames
                .iter()
                .all(|(header, _, ended)| *ended && header.masking_key.is_some() == script.switch(0))
        );
    }
    assert!(seen.iter().filter(|seen| matches!(seen, Seen::Closed(_))).count() <= 1);
    let (wants, is_open, deadline) = (connection.wants(), connection.is_open(), connection.deadline());
    Transcript { seen, out, wants, is_open, deadline }
}

/// A connection in the role that the script chooses, and the handshake that it waits for.
fn law_connection(script: &Script<'_>, out: &mut Vec<u8>) -> (Connection, Vec<u8>) {
    let mut server = Connection::server(law_limits(), Time(0));
    if !script.switch(0) {
        return (server, REQUEST.to_vec());
    }
    let mut request = ClientRequest::new("server.example.com", "/chat").expect("it is a request");
    if script.switch(4) {
        request = request.with_deflate(DeflateOffer::PLAIN);
    }
    let client = Connection::client(law_limits(), request, [7; 32], Time(0), out);
    let mut request = out.clone();
    let mut response = Vec::new();
    let event = server.next_event(&mut request.as_mut_slice(), Time(0), &mut response);
    assert!(matches!(event, Some(Event::Requested(_))));
    server.accept(law_agreement(script), Time(0), &mut response);
    (client, response)
}

/// What the script has both ends agree on.
fn law_agreement(script: &Script<'_>) -> Agreement {
    let no_context_takeover = !script.switch(5);
    let deflate = script.switch(4).then_some(Deflate {
        server_no_context_takeover: no_context_takeover,
        client_no_context_takeover: no_context_takeover,
        server_max_window_bits: None,
        client_max_window_bits: None,
    });
    Agreement { deflate, ..Agreement::default() }
}

struct Conversation {
    /// Bytes of input so far.
    received: usize,
    /// Where in `out` frames begin, if the handshake succeeded.
    opened_at: Option<usize>,
    /// Bytes behind a request head are held by the connection rather than by us.
    holds: bool,
    /// Messages that are whole in an input are taken in a row.
    in_rows: bool,
    /// What a request is answered with.
    agreement: Agreement,
    seen: Vec<Seen>,
}

impl Conversation {
    /// Hands over one input and answers what comes out: requests are accepted if they can be, messages echoed.
    fn receive(&mut self, connection: &mut Connection, piece: &[u8], out: &mut Vec<u8>) {
        self.received += piece.len();
        let mut bytes = piece.to_vec();
        let mut input = bytes.as_mut_slice();
        let mut held = None;
        loop {
            if self.in_rows {
                input = self.take_row(connection, input, out);
            }
            let Some(event) = connection.next_event(&mut input, Time(0), out) else { break };
            let seen = match event {
                Event::Requested(request) => {
                    if let Err(error) = request.upgrade {
                        connection.respond(&error.response(), Time(0), out);
                    } else {
                        assert_eq!(connection.wants(), Wants::Decision);
                        if self.holds {
                            let rest = std::mem::take(&mut input);
                            connection.hold(rest);
                        }
                        held = Some(connection.accept(self.agreement.clone(), Time(0), out));
                        self.opened_at = Some(out.len());
                    }
                    Seen::Requested(*request)
                }
                Event::Accepted(agreement) => {
                    self.opened_at = Some(out.len());
                    Seen::Accepted(agreement)
                }
                Event::Message(message) => {
                    assert!(
                        connection.send(message.kind, &message.payload, out),
                        "a message comes while it is open"
                    );
                    Seen::Message(message.kind, message.payload.into_vec())
                }
                Event::Closed(closure) => Seen::Closed(closure),
            };
            self.seen.push(seen);
        }
        assert!(input.is_empty(), "all of an input is consumed");
        let keeps_context = self.agreement.deflate.is_some_and(|deflate| !deflate.client_no_context_takeover);
        let context = if keeps_context { 1 << WindowBits::MAX } else { 0 };
        let held_bytes = connection.held_bytes();
        assert!(held_bytes <= 2 * self.received + 64 + context, "memory follows what has come: {held_bytes}");
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            self.received -= held.len();
            self.receive(connection, &held, out);
        }
    }

    /// Takes the whole messages at the front of an input, and echoes them. Returns what is left.
    fn take_row<'i>(
        &mut self,
        connection: &mut Connection,
        input: &'i mut [u8],
        out: &mut Vec<u8>,
    ) -> &'i mut [u8] {
        let mut row = Vec::new();
        let mut rest = input;
        connection.take_whole_messages(&mut rest, Time(0), |message| {
            assert!(matches!(message.payload, Payload::Lent(_)), "it is whole in the input");
            row.push((message.kind, message.payload.into_vec()));
        });
        for (kind, payload) in row {
            assert!(connection.send(kind, &payload, out), "a message comes while it is open");
            self.seen.push(Seen::Message(kind, payload));
        }
        rest
    }
}

/// What extensions are offered or answered does not depend on how they are written (RFC 6455 §9.1, RFC 7692 §7.1). The
/// first byte chooses what the others are:
///
/// - 0: a request's header as it stands, see [`offers_survive_being_written_again`];
/// - 1: an offer, and the header of a response to it, see [`an_answer_agrees_within_the_offer`];
/// - else: extensions to offer, and how to write them, see [`offers_are_what_a_naive_reader_finds`].
pub fn extensions_mean_one_thing_however_written(bytes: &[u8]) {
    match bytes {
        [] => {}
        [0, rest @ ..] => offers_survive_being_written_again(rest),
        [1, rest @ ..] => an_answer_agrees_within_the_offer(rest),
        [_, rest @ ..] => offers_are_what_a_naive_reader_finds(rest),
    }
}

/// An extension as one would note it down.
type Noted = (&'static str, Vec<(&'static str, Option<&'static str>)>);

/// A server finds the offers of permessage-deflate that a reader would who has maps and strings and is in no hurry:
/// whatever blanks are around, whatever is quoted or escaped, in whatever order the parameters come, and in however many
/// headers.
///
/// The bytes choose the extensions, each a name and parameters, and then, over and over, how to write the next thing.
pub fn offers_are_what_a_naive_reader_finds(bytes: &[u8]) {
    const NAMES: [&str; 4] =
        ["permessage-deflate", "permessage-deflate", "x-webkit-deflate-frame", "Permessage-Deflate"];
    const PARAMETERS: [&str; 6] = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        "unknown",
        "Server_no_context_takeover",
    ];
    const VALUES: [Option<&str>; 16] = [
        None,
        Some("8"),
        Some("9"),
        Some("10"),
        Some("11"),
        Some("12"),
        Some("13"),
        Some("14"),
        Some("15"),
        None,
        Some("7"),
        Some("16"),
        Some("08"),
        Some("1"),
        Some("150"),
        Some("x"),
    ];
    let mut bytes = bytes.iter().copied();
    let mut choose = |count: usize| usize::from(bytes.next().unwrap_or(0)) % count;
    let extensions: Vec<Noted> = (0..choose(DEFLATE_OFFERS_MAX + 3))
        .map(|_| {
            let (name, count) = (NAMES[choose(NAMES.len())], choose(6));
            let parameters =
                (0..count).map(|_| (PARAMETERS[choose(PARAMETERS.len())], VALUES[choose(VALUES.len())]));
            (name, parameters.collect())
        })
        .collect();
    let styles = bytes.collect::<Vec<_>>();
    let request = requested_with(&write_extensions(&extensions, &styles)).expect("it is a request");
    assert_eq!(request.upgrade, Ok(()));
    let expected = extensions.iter().filter_map(naive_offer).take(DEFLATE_OFFERS_MAX).collect::<Vec<_>>();
    assert_eq!(request.deflate_offers, expected);
}

/// The offer that an extension is, if it is a valid one.
fn naive_offer((name, parameters): &Noted) -> Option<DeflateOffer> {
    let window = |value: &str| -> Option<WindowBits> {
        let bits = value.parse::<u8>().ok().filter(|bits| bits.to_string() == value)?;
        WindowBits::new(bits)
    };
    let given = |name: &str| parameters.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
    let known = [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    ];
    let each_once =
        known.iter().all(|known| parameters.iter().filter(|(name, _)| name == known).count() <= 1);
    let all_known = parameters.iter().all(|(name, _)| known.contains(name));
    let flags_are_bare = known[..2].iter().all(|flag| matches!(given(flag), None | Some(None)));
    if *name != "permessage-deflate" || !each_once || !all_known || !flags_are_bare {
        return None;
    }
    Some(DeflateOffer {
        server_no_context_takeover: given(known[0]).is_some(),
        client_no_context_takeover: given(known[1]).is_some(),
        server_max_window_bits: match given(known[2]) {
            None => None,
            Some(value) => Some(window(value?)?),
        },
        client_max_window_bits: match given(known[3]) {
            None => ClientWindow::Absent,
            Some(None) => ClientWindow::Supported,
            Some(Some(value)) => ClientWindow::AtMost(window(value)?),
        },
    })
}

/// Headers with these extensions. Each of `styles` says how the next thing is written; without any, all is plain.
fn write_extensions(extensions: &[Noted], styles: &[u8]) -> Vec<u8> {
    const BLANKS: [&str; 4] = ["", " ", "\t", " \t  "];
    const HEADERS: [&str; 3] =
        ["Sec-WebSocket-Extensions:", "sec-websocket-extensions:", "SEC-WEBSOCKET-EXTENSIONS: "];
    let mut styles = styles.iter().copied().chain([0]).cycle();
    let mut choose = |count: usize| usize::from(styles.next().unwrap_or(0)) % count;
    let mut headers = HEADERS[choose(HEADERS.len())].to_owned();
    for (index, (name, parameters)) in extensions.iter().enumerate() {
        if index > 0 {
            match choose(4) {
                0 | 1 => headers.push(','),
                2 => headers.push_str(", ,,"),
                _ => {
                    headers.push_str("\r\n");
                    headers.push_str(HEADERS[choose(HEADERS.len())]);
                }
            }
        }
        headers.push_str(BLANKS[choose(BLANKS.len())]);
        headers.push_str(name);
        let mut parameters = parameters.clone();
        let first = choose(parameters.len().max(1));
        parameters.rotate_left(first);
        if choose(2) == 1 {
            parameters.reverse();
        }
        for (name, value) in parameters {
            for part in [BLANKS[choose(BLANKS.len())], ";", BLANKS[choose(BLANKS.len())], name] {
                headers.push_str(part);
            }
            let Some(value) = value else { continue };
            for part in [BLANKS[choose(BLANKS.len())], "=", BLANKS[choose(BLANKS.len())]] {
                headers.push_str(part);
            }
            let is_quoted = choose(2) == 1;
            let quote = if is_quoted { "\"" } else { "" };
            headers.push_str(quote);
            for character in value.chars() {
                if is_quoted && choose(2) == 1 {
                    headers.push('\\');
                }
                headers.push(character);
            }
            headers.push_str(quote);
        }
        headers.push_str(BLANKS[choose(BLANKS.len())]);
    }
    headers.push_str("\r\n");
    headers.into_bytes()
}

/// What a server makes of a request with these headers; `None` if it refuses it at once.
fn requested_with(headers: &[u8]) -> Option<Request> {
    let mut head = [&REQUEST[..REQUEST.len() - 2], headers, b"\r\n"].concat();
    let mut server = Connection::server(law_limits(), Time(0));
    match server.next_event(&mut head.as_mut_slice(), Time(0), &mut Vec::new()) {
        Some(Event::Requested(request)) => Some(*request),
        Some(Event::Closed(Closure::Refused(_))) => None,
        other => panic!("{other:?}"),
    }
}

/// A header's value that ends neither its line nor the head.
fn header(value: &[u8]) -> Vec<u8> {
    let mut header = b"Sec-WebSocket-Extensions: ".to_vec();
    header.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    header.extend_from_slice(b"\r\n");
    header
}

/// Offers that a server finds in a header, written by us, are found again, and each of them can be answered.
pub fn offers_survive_being_written_again(value: &[u8]) {
    let Some(Request { deflate_offers, .. }) = requested_with(&header(value)) else { return };
    assert!(deflate_offers.len() <= DEFLATE_OFFERS_MAX);
    let written = deflate_offers.iter().map(DeflateOffer::to_string).collect::<Vec<_>>().join(", ");
    let again = requested_with(&header(written.as_bytes())).map(|request| request.deflate_offers);
    assert_eq!(again, Some(deflate_offers.clone()));
    for offer in deflate_offers {
        our_client_takes_our_server_s_answer(offer);
    }
}

/// Whatever a client offers, it takes our server's answer, and both have agreed on the same.
pub fn our_client_takes_our_server_s_answer(offer: DeflateOffer) {
    for client_context_takeover in [false, true] {
        let agreed = protocol::first_acceptable(&[offer], &DeflatePolicy { client_context_takeover });
        let agreement = Agreement { deflate: agreed, ..Agreement::default() };
        assert_eq!(answered_with(offer, agreement, b""), Ok(agreed), "{offer}");
        // What is compressed once is right for everybody, or for everybody with the small window.
        let window = offer.server_max_window_bits.map_or(WindowBits::MAX, WindowBits::get);
        assert_eq!(agreed.is_some(), window > WindowBits::MIN);
        if let Some(agreed) = agreed {
            assert!(agreed.server_no_context_takeover);
            assert!(agreed.client_no_context_takeover || client_context_takeover);
            assert!([9, 15].contains(&agreed.server_window_bits()) && agreed.server_window_bits() <= window);
        }
    }
}

/// What a client agrees on with a server that answers an offer by this agreement, and by `headers` besides.
fn answered_with(
    offer: DeflateOffer,
    agreement: Agreement,
    headers: &[u8],
) -> Result<Option<Deflate>, HandshakeError> {
    let (mut request, mut response) = (Vec::new(), Vec::new());
    let client_request = ClientRequest::new("server.example.com", "/chat").expect("it is a request");
    let client_request = client_request.with_deflate(offer);
    let mut client = Connection::client(law_limits(), client_request, [7; 32], Time(0), &mut request);
    let mut server = Connection::server(law_limits(), Time(0));
    let requested = server.next_event(&mut request.as_mut_slice(), Time(0), &mut response);
    assert!(
        matches!(&requested, Some(Event::Requested(request)) if request.deflate_offers == [offer]),
        "{requested:?}"
    );
    server.accept(agreement, Time(0), &mut response);
    response.truncate(response.len() - 2);
    response.extend_from_slice(headers);
    response.extend_from_slice(b"\r\n");
    match client.next_event(&mut response.as_mut_slice(), Time(0), &mut Vec::new()) {
        Some(Event::Accepted(agreement)) => Ok(agreement.deflate),
        Some(Event::Closed(Closure::Refused(error))) => Err(error),
        other => panic!("{other:?}"),
    }
}

/// Whatever a server answers, a client agrees on nothing that it did not offer (RFC 7692 §7.1). The first bytes are the
/// offer, the others the header's value.
pub fn an_answer_agrees_within_the_offer(bytes: &[u8]) {
    let [switches, server_bits, client_bits, ref value @ ..] = *bytes else { return };
    let offer = DeflateOffer {
        server_no_context_takeover: switches & 1 != 0,
        client_no_context_takeover: switches & 2 != 0,
        server_max_window_bits: WindowBits::new(server_bits),
        client_max_window_bits: match WindowBits::new(client_bits) {
            Some(bits) => ClientWindow::AtMost(bits),
            None if switches & 4 != 0 => ClientWindow::Supported,
            None => ClientWindow::Absent,
        },
    };
    let Ok(Some(agreed)) = answered_with(offer, Agreement::default(), &header(value)) else { return };
    assert!(agreed.server_no_context_takeover >= offer.server_no_context_takeover);
    assert!(agreed.client_no_context_takeover >= offer.client_no_context_takeover);
    if let Some(offered) = offer.server_max_window_bits {
        assert!(agreed.server_max_window_bits.is_some_and(|agreed| agreed <= offered));
    }
    match offer.client_max_window_bits {
        ClientWindow::Absent => assert_eq!(agreed.client_max_window_bits, None),
        ClientWindow::Supported => {}
        ClientWindow::AtMost(offered) => {
            assert!(agreed.client_max_window_bits.is_some_and(|agreed| agreed <= offered));
        }
    }
    // Written by us, the answer means the same.
    let agreement = Agreement { deflate: Some(agreed), ..Agreement::default() };
    assert_eq!(answered_with(offer, agreement, b""), Ok(Some(agreed)));
}

/// Two ends in memory, a client's and a server's, that have agreed on compression.
fn deflating_pair(limits: &Arc<Limits>, deflate: Deflate) -> (Connection, Connection) {
    let (mut request, mut response) = (Vec::new(), Vec::new());
    let offer = DeflateOffer { client_max_window_bits: ClientWindow::Supported, ..DeflateOffer::PLAIN };
    let client_request = ClientRequest::new("server.example.com", "/chat").expect("it is a request");
    let client_request = client_request.with_deflate(offer);
    let mut client = Connection::client(limits.clone(), client_request, [7; 32], Time(0), &mut request);
    let mut server = Connection::server(limits.clone(), Time(0));
    let event = server.next_event(&mut request.as_mut_slice(), Time(0), &mut response);
    assert!(matches!(event, Some(Event::Requested(_))));
    let agreement = Agreement { deflate: Some(deflate), ..Agreement::default() };
    server.accept(agreement.clone(), Time(0), &mut response);
    let event = client.next_event(&mut response.as_mut_slice(), Time(0), &mut Vec::new());
    assert_eq!(event, Some(Event::Accepted(agreement)));
    (client, server)
}

/// Compresses as RFC 7692 §7.2.1 says it, with flate2 and nothing of ours.
struct NaiveDeflater {
    stream: Compress,
    keeps_context: bool,
}

impl NaiveDeflater {
    fn new(level: u8, window_bits: u8, keeps_context: bool) -> NaiveDeflater {
        let stream = Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits);
        NaiveDeflater { stream, keeps_context }
    }

    /// `ends`: with a last block, as a sender does that cannot flush otherwise (§7.2.3.4).
    fn compress(&mut self, payload: &[u8], ends: bool) -> Vec<u8> {
        if !self.keeps_context {
            self.stream.reset();
        }
        let mut compressed = Vec::with_capacity(2 * payload.len() + 64);
        let consumed = self.stream.total_in();
        let flush = if ends { FlushCompress::Finish } else { FlushCompress::Sync };
        self.stream.compress_vec(payload, &mut compressed, flush).expect("it takes any bytes");
        assert_eq!(self.stream.total_in() - consumed, payload.len() as u64, "there is room for all");
        if ends {
            self.stream.reset();
            compressed.push(0x00);
        } else if compressed.ends_with(&[0x00, 0x00, 0xff, 0xff]) {
            compressed.truncate(compressed.len() - 4);
        }
        compressed
    }
}

/// Appends a compressed message in fragments (§6), with a Ping behind each but the last if they are wanted.
fn append_compressed<'f>(
    kind: Kind,
    masking_key: Option<MaskingKey>,
    fragments: impl IntoIterator<Item = &'f [u8]>,
    pings: bool,
    out: &mut Vec<u8>,
) {
    let mut fragments = fragments.into_iter().peekable();
    let (mut opcode, mut rsv) = (kind.into(), Rsv::RSV1);
    while let Some(fragment) = fragments.next() {
        let fin = fragments.peek().is_none();
        let header = FrameHeader { fin, rsv, opcode, masking_key, payload_len: fragment.len() as u64 };
        let mut encoded = [0; FrameHeader::LEN_MAX];
        let header_len = header.encode(&mut encoded);
        out.extend_from_slice(&encoded[..header_len]);
        let start = out.len();
        out.extend_from_slice(fragment);
        if let Some(key) = masking_key {
            mask::apply(key, &mut out[start..], 0);
        }
        if pings && !fin {
            protocol::append_control(Opcode::Ping, masking_key, b"still there?", out);
        }
        (opcode, rsv) = (Opcode::Continuation, Rsv::NONE);
    }
}

/// `bytes` in at most this many pieces; at least one, and it may be empty.
fn pieces_of(bytes: &[u8], count: usize) -> Vec<&[u8]> {
    if bytes.is_empty() { vec![bytes] } else { bytes.chunks(bytes.len().div_ceil(count)).collect() }
}

/// A message of this length and sort: a run of one byte, a short period, noise, letters of several bytes each, or one
/// that was there before.
fn deflatable(kind: Kind, sort: u8, len: usize, first: u8, before: &[(Kind, Vec<u8>)]) -> Vec<u8> {
    const LETTERS: [&str; 5] = ["a", "\u{e9}", "\u{20ac}", "\u{1f600}", " "];
    let noise = |index: usize| {
        let mixed = (index as u32 + 1).wrapping_mul(0x9e37_79b9).rotate_left(u32::from(first % 32));
        (mixed.wrapping_mul(0x85eb_ca6b) >> 24) as u8
    };
    let bytes: Vec<u8> = match sort % 5 {
        0 => vec![first; len],
        1 => (0..len).map(|index| first.wrapping_add((index % 7) as u8)).collect(),
        2 => (0..len).map(noise).collect(),
        3 => {
            let letters = (0..len).map(|index| LETTERS[usize::from(noise(index)) % LETTERS.len()]);
            return letters.collect::<String>().into_bytes();
        }
        _ => match before.get(usize::from(first) % before.len().max(1)) {
            Some((_, earlier)) => earlier.clone(),
            None => Vec::new(),
        },
    };
    match kind {
        Kind::Text if std::str::from_utf8(&bytes).is_err() => bytes.iter().map(|byte| byte & 0x7f).collect(),
        _ => bytes,
    }
}

/// What one end sends compressed, the other hears as it was said, however it is cut: by our own deflater or by one who
/// has flate2 and keeps his context, whole or in fragments with control frames between, among messages that are not
/// compressed. Who may be referred to costs a window of memory, and who may not costs none.
///
/// The bytes begin with a [`Script`], whose switches choose who sends (1), whether by flate2 (2), keeping its context (4),
/// whether the receiver puts its input by after each message (8) and whether the window is small (16). Behind it stand
/// the level, the least length that is compressed, and four bytes for each message.
pub fn compressed_messages_arrive_as_they_were_said(bytes: &[u8]) {
    let script = Script::new(bytes);
    let [level, shortest, ref descriptions @ ..] = *script.rest else { return };
    let (from_client, naive) = (script.switch(0), script.switch(1));
    let (level, keeps_context) = (1 + level % 9, naive && script.switch(2));
    let bits = match (script.switch(4), naive) {
        (false, _) => WindowBits::MAX,
        (true, false) => 9,
        (true, true) => 9 + shortest % 7,
    };
    let deflate = Deflate {
        server_no_context_takeover: from_client || !keeps_context,
        client_no_context_takeover: !from_client || !keeps_context,
        server_max_window_bits: WindowBits::new(bits),
        client_max_window_bits: WindowBits::new(bits),
    };
    let limits = Arc::new(Limits { message_bytes_max: 1 << 16, ..Limits::default() });
    let (client, server) = deflating_pair(&limits, deflate);
    let mut sender = if from_client { client } else { server };
    let masking_key = from_client.then_some(MaskingKey([1, level, shortest, 4]));
    let bytes_min = usize::from(shortest) % 200;
    let mut deflater = Deflater::new(Compressing { level, bytes_min });
    let mut naive_deflater = NaiveDeflater::new(level, bits, keeps_context);

    let mut said: Vec<(Kind, Vec<u8>)> = Vec::new();
    let mut wire = Vec::new();
    let (descriptions, _) = descriptions.as_chunks();
    for &[sort, len, first, how] in descriptions.iter().take(24) {
        let kind = if sort & 1 == 0 { Kind::Text } else { Kind::Binary };
        let len = match usize::from(len) {
            len @ 0..=200 => len,
            len => (len - 200) * 150,
        };
        let payload = deflatable(kind, sort >> 1, len, first, &said);
        let start = wire.len();
        if how & 16 != 0 {
            sender.send_fragments(kind, pieces_of(&payload, 1 + usize::from(how % 4)), &mut wire);
        } else if naive {
            let compressed = naive_deflater.compress(&payload, how & 8 != 0);
            let fragments = pieces_of(&compressed, 1 + usize::from(how % 4));
            append_compressed(kind, masking_key, fragments, how & 4 != 0, &mut wire);
        } else {
            sender.send_deflated(kind, &payload, &mut deflater, &mut wire);
            let sent = &decode(&[&wire[start..]]).frames[0].0;
            let is_smaller = sent.payload_len < payload.len() as u64;
            if sent.rsv == Rsv::RSV1 {
                assert!(payload.len() >= bytes_min && (is_smaller || bytes_min == 0), "it is worth it");
            } else {
                assert!(!is_smaller && (payload.len() < bytes_min || bytes_min > 0), "it would not be");
            }
        }
        said.push((kind, payload));
    }

    let drips = wire.chunks(1).collect::<Vec<_>>();
    for (pieces, reuses) in [(vec![&wire[..]], true), (script.cut(&wire), true), (drips, false)] {
        let (client, server) = deflating_pair(&limits, deflate);
        let mut receiver = if from_client { server } else { client };
        let mut inflater = reuses.then(Inflater::new);
        let heard = hear_messages(&mut receiver, &pieces, inflater.as_mut(), script.switch(3));
        assert!(heard == said, "it hears what was said: {heard:?}, {said:?}");
        let window = if keeps_context { (1 << bits) + IDLE_BYTES_MAX } else { 0 };
        assert!(receiver.held_bytes() <= window, "{} of {window} bytes", receiver.held_bytes());
    }
}

/// Bytes that an idle connection may hold besides a context.
const IDLE_BYTES_MAX: usize = 256;

/// The messages in these pieces, all of which are right. `holds`: what is left behind each message is put by first.
fn hear_messages(
    receiver: &mut Connection,
    pieces: &[&[u8]],
    mut inflater: Option<&mut Inflater>,
    holds: bool,
) -> Vec<(Kind, Vec<u8>)> {
    let mut heard = Vec::new();
    let mut pongs = Vec::new();
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = bytes.as_mut_slice();
        loop {
            let event = match &mut inflater {
                Some(inflater) => {
                    receiver.next_event_inflating(&mut input, Time(0), inflater, &mut pongs).map(seen)
                }
                None => receiver.next_event(&mut input, Time(0), &mut pongs).map(seen),
            };
            match event {
                Some(Seen::Message(kind, payload)) => heard.push((kind, payload)),
                None => break,
                other => panic!("{other:?}"),
            }
            if holds {
                receiver.hold(input);
                assert!(receiver.held_bytes() >= input.len());
                assert_eq!(receiver.take_held(), input, "it gives back what it holds");
            }
        }
        assert!(input.is_empty(), "all of an input is consumed");
    }
    heard
}

/// An event that has left its input.
fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Requested(request) => Seen::Requested(*request),
        Event::Accepted(agreement) => Seen::Accepted(agreement),
        Event::Message(message) => Seen::Message(message.kind, message.payload.into_vec()),
        Event::Closed(closure) => Seen::Closed(closure),
    }
}

/// What somebody makes of a compressed message who has flate2 and room for all of it.
struct NaivelyInflated {
    /// As far as it goes.
    bytes: Vec<u8>,
    /// Nothing is wrong with it as compressed data.
    is_right: bool,
}

/// Reads as RFC 7692 §7.2.2 says it: the flush's end is put back, and an empty last block behind it shows whether the
/// message ended where a block did.
///
/// Where we are more lenient than that, by intent: a payload without a byte is an empty message, and one whose last byte
/// ends a block with BFINAL ends there, without the empty block that §7.2.3.4 wants. Where we are stricter: one message
/// has at most [`DEFLATE_LAST_BLOCKS_MAX`] such blocks besides.
fn inflate_naively(compressed: &[u8], context: &[u8]) -> NaivelyInflated {
    const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
    if compressed.is_empty() {
        return NaivelyInflated { bytes: Vec::new(), is_right: true };
    }
    let input = [compressed, &TAIL].concat();
    let mut rest = input.as_slice();
    // DEFLATE makes at most 1,032 of one.
    let mut bytes = vec![0; 1_040 * input.len()];
    let mut have = 0;
    let mut last_blocks = 0;
    let is_right = loop {
        let mut stream = Decompress::new(false);
        let before = [context, &bytes[..have]].concat();
        let window = &before[before.len().saturating_sub(1 << WindowBits::MAX)..];
        if !window.is_empty() {
            stream.set_dictionary(window).expect("raw data takes any");
        }
        let status = stream.decompress(rest, &mut bytes[have..], FlushDecompress::Sync);
        have += stream.total_out() as usize;
        rest = &rest[stream.total_in() as usize..];
        match status {
            Ok(InflateStatus::StreamEnd) if rest.is_empty() || rest.len() == TAIL.len() => break true,
            Ok(InflateStatus::StreamEnd) if last_blocks < DEFLATE_LAST_BLOCKS_MAX => last_blocks += 1,
            _ => break false,
        }
    };
    bytes.truncate(have);
    NaivelyInflated { bytes, is_right }
}

/// Of any bytes for a compressed payload we make what flate2 makes of them when it is used directly, whatever the limit
/// and whatever came before: the same message, or a Close frame for something that is wrong with it. If several things
/// are wrong, any of them will do. No message is longer than the limit.
///
/// The bytes begin with switches (1: a text; 2: it may refer to a message before; 4: within a window of 512 bytes; 8 and
/// 16: in so many fragments), two for the limit, one for the length of the message before. The rest is the payload.
pub fn inflating_agrees_with_flate2(bytes: &[u8]) {
    let [switches, low, high, before_len, ref compressed @ ..] = *bytes else { return };
    let kind = if switches & 1 != 0 { Kind::Text } else { Kind::Binary };
    let keeps_context = switches & 2 != 0;
    let bits = if switches & 4 != 0 { 9 } else { WindowBits::MAX };
    let fragments = pieces_of(compressed, 1 + usize::from(switches >> 3 & 3));
    let message_bytes_max = usize::from(u16::from_le_bytes([low, high])).max(1);
    let before = deflatable(Kind::Binary, 2, 256 * usize::from(before_len), before_len, &[]);
    let before = &before[..before.len().min(message_bytes_max)];
    let deflate = Deflate {
        server_no_context_takeover: true,
        client_no_context_takeover: !keeps_context,
        server_max_window_bits: None,
        client_max_window_bits: WindowBits::new(bits),
    };
    let key = Some(MaskingKey([1, 2, 3, 4]));
    let mut wire = Vec::new();
    let first = NaiveDeflater::new(1, bits, false).compress(before, false);
    append_compressed(Kind::Binary, key, [&first[..]], false, &mut wire);
    append_compressed(kind, key, fragments, false, &mut wire);

    let context = if keeps_context { &before[before.len().saturating_sub(1 << bits)..] } else { &[] };
    let NaivelyInflated { bytes: naive, is_right } = inflate_naively(compressed, context);
    // What is longer than any sender need make it is not looked at.
    let is_long = compressed.len() > message_bytes_max + message_bytes_max / 8 + 64;
    let is_too_big = is_long || naive.len() > message_bytes_max;
    let text_error = std::str::from_utf8(&naive).err().filter(|_| kind == Kind::Text);
    let is_no_text = text_error.is_some_and(|error| is_right || error.error_len().is_some());

    let limits = Arc::new(Limits { message_bytes_max, ..Limits::default() });
    for mut inflater in [Some(Inflater::new()), None] {
        let (_, mut server) = deflating_pair(&limits, deflate);
        let mut bytes = wire.clone();
        let mut input = bytes.as_mut_slice();
        let mut out = Vec::new();
        let mut seen = || match &mut inflater {
            Some(inflater) => server.next_event_inflating(&mut input, Time(0), inflater, &mut out).map(seen),
            None => server.next_event(&mut input, Time(0), &mut out).map(seen),
        };
        assert_eq!(seen(), Some(Seen::Message(Kind::Binary, before.to_vec())));
        match seen() {
            Some(Seen::Message(as_kind, message)) => {
                assert!(is_right && !is_too_big && !is_no_text);
                assert_eq!((as_kind, message), (kind, naive.clone()));
            }
            Some(Seen::Closed(Closure::Failed(error))) => {
                let is_wrong = match error {
                    ProtocolError::MessageTooBig => is_too_big,
                    ProtocolError::DeflateInvalid => !is_right && !is_long,
                    ProtocolError::TextNotUtf8 => is_no_text && !is_long,
                    _ => false,
                };
                assert!(is_wrong, "{error:?}, {is_right} {is_too_big} {is_no_text} {is_long}");
                let code = if error == ProtocolError::MessageTooBig { 1009_u16 } else { 1007 };
                assert!(out[0] == 0x88 && out[2..4] == code.to_be_bytes(), "{out:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    mod protocol_laws {
        use super::super::*;
        use proptest::collection::vec;
        use proptest::prelude::*;

        fn opcode() -> impl Strategy<Value = Opcode> {
            prop_oneof![
                Just(Opcode::Continuation),
                Just(Opcode::Text),
                Just(Opcode::Binary),
                Just(Opcode::Close),
                Just(Opcode::Ping),
                Just(Opcode::Pong),
            ]
        }

        fn header() -> impl Strategy<Value = FrameHeader> {
            let rsv = prop_oneof![
                Just(Rsv::NONE),
                Just(Rsv::RSV1),
                Just(Rsv::RSV2),
                Just(Rsv::RSV3),
                Just(Rsv::RSV1.union(Rsv::RSV3))
            ];
            let payload_len = prop_oneof![
                0..130_u64,
                65_530..65_540_u64,
                any::<u64>().prop_map(|len| len >> 1),
                Just((1 << 63) - 1)
            ];
            let key = proptest::option::of(any::<[u8; 4]>().prop_map(MaskingKey));
            (any::<bool>(), rsv, opcode(), key, payload_len).prop_map(
                |(fin, rsv, opcode, masking_key, payload_len)| FrameHeader {
                    fin,
                    rsv,
                    opcode,
                    masking_key,
                    payload_len,
                },
            )
        }

        /// The beginning of a law's bytes.
        fn script() -> impl Strategy<Value = Vec<u8>> {
            let lengths = vec(prop_oneof![Just(1_u8), 0..20_u8, any::<u8>()], 0..16);
            (any::<u8>(), lengths).prop_map(|(switches, lengths)| {
                let mut bytes = vec![switches, lengths.len() as u8];
                bytes.extend(lengths);
                bytes
            })
        }

        fn text() -> impl Strategy<Value = Vec<u8>> {
            prop_oneof![
                6 => ".{0,60}".prop_map(String::into_bytes),
                2 => vec(prop_oneof![any::<u8>(), Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), Just(0x9f)], 0..60),
                1 => ".{0,200}".prop_map(String::into_bytes),
            ]
        }

        /// A frame that is mostly right, as bytes.
        fn frame(masked: bool) -> impl Strategy<Value = Vec<u8>> {
            let sane = (any::<bool>(), opcode(), any::<[u8; 4]>(), text(), 0..12_u8).prop_map(
                move |(fin, opcode, key, mut payload, odd)| {
                    let key = Some(MaskingKey(key)).filter(|_| masked != (odd == 0));
                    let fin = fin || opcode.is_control();
                    if opcode.is_control() {
                        payload.truncate(125);
                    }
                    if opcode == Opcode::Close && odd < 11 {
                        payload.splice(..0, [0x03, 0xe8]);
                        payload.truncate(125);
                    }
                    let mut bytes = Vec::new();
                    protocol::append_frame(fin, opcode, key, &payload, &mut bytes);
                    bytes
                },
            );
            prop_oneof![30 => sane, 1 => vec(any::<u8>(), 0..20)]
        }

        /// What a peer may send, mostly right for a while.
        fn stream(masked: bool) -> impl Strategy<Value = Vec<u8>> {
            vec(frame(masked), 0..12).prop_map(|frames| frames.concat())
        }

        /// Messages in fragments with control frames between them, all right.
        fn right_stream() -> impl Strategy<Value = Vec<u8>> {
            let message = (any::<bool>(), vec(".{0,20}", 1..5), any::<[u8; 4]>(), any::<bool>()).prop_map(
                |(is_text, fragments, key, ping)| {
                    let mut bytes = Vec::new();
                    let last = fragments.len() - 1;
                    for (index, fragment) in fragments.iter().enumerate() {
                        let opcode = match (index, is_text) {
                            (0, true) => Opcode::Text,
                            (0, false) => Opcode::Binary,
                            _ => Opcode::Continuation,
                        };
                        let key = Some(MaskingKey(key));
                        protocol::append_frame(index == last, opcode, key, fragment.as_bytes(), &mut bytes);
                        if ping {
                            protocol::append_control(Opcode::Ping, key, b"still there?", &mut bytes);
                        }
                    }
                    bytes
                },
            );
            vec(message, 0..6).prop_map(|messages| messages.concat())
        }

        /// The same, compressed, each message by itself, or so that it may refer to those before.
        fn compressed_stream(keeps_context: bool, masked: bool) -> impl Strategy<Value = Vec<u8>> {
            let message = (any::<bool>(), ".{0,200}", 1..5_usize, any::<[u8; 4]>(), any::<bool>());
            vec(message, 0..6).prop_map(move |messages| {
                let mut deflater = NaiveDeflater::new(6, 15, keeps_context);
                let mut bytes = Vec::new();
                for (is_text, payload, count, key, pings) in messages {
                    let kind = if is_text { Kind::Text } else { Kind::Binary };
                    let compressed = deflater.compress(payload.as_bytes(), false);
                    let key = masked.then_some(MaskingKey(key));
                    append_compressed(kind, key, pieces_of(&compressed, count), pings, &mut bytes);
                }
                bytes
            })
        }

        fn request() -> impl Strategy<Value = Vec<u8>> {
            let extra = vec(("[A-Za-z-]{1,12}", "[ -~]{0,20}"), 0..6);
            ("/[a-z0-9/?=&%.]{0,20}", extra, any::<[bool; 6]>()).prop_map(|(target, extra, cases)| {
                let mut lines = vec![format!("GET {target} HTTP/1.1")];
                let own = [
                    ("Host", "a.example:8080"),
                    ("Upgrade", "websocket"),
                    ("Connection", "keep-alive, Upgrade"),
                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                    ("Sec-WebSocket-Version", "13"),
                    ("Sec-WebSocket-Protocol", "a, b"),
                ];
                for ((name, value), upper) in own.iter().zip(cases) {
                    let name = if upper { name.to_uppercase() } else { name.to_lowercase() };
                    lines.push(format!("{name}: {value}"));
                }
                for (name, value) in extra {
                    lines.push(format!("x-{name}:{value}"));
                }
                (lines.join("\r\n") + "\r\n\r\n").into_bytes()
            })
        }

        /// The beginning of a law's bytes: extensions, mostly permessage-deflate with parameters that it may have.
        fn noted_extensions() -> impl Strategy<Value = Vec<u8>> {
            let parameters = vec((0..6_u8, 0..16_u8, 0..12_u8), 0..5).prop_map(|mut parameters| {
                let careless = parameters.first().is_some_and(|(_, _, odd)| *odd == 0);
                if !careless {
                    // Each once, and flags without a value.
                    parameters.retain(|(name, _, _)| *name < 4);
                    parameters.sort_unstable();
                    parameters.dedup_by_key(|(name, _, _)| *name);
                }
                let value = |name, value| match name {
                    0 | 1 if !careless => 0,
                    2 if !careless => 1 + value % 8,
                    _ => value,
                };
                let count = parameters.len() as u8;
                let pairs = parameters.into_iter().flat_map(|(name, bits, _)| [name, value(name, bits)]);
                [count].into_iter().chain(pairs).collect::<Vec<_>>()
            });
            let extension =
                (0..6_u8, parameters).prop_map(|(name, parameters)| [vec![name], parameters].concat());
            vec(extension, 0..DEFLATE_OFFERS_MAX + 3)
                .prop_map(|extensions| [vec![extensions.len() as u8], extensions.concat()].concat())
        }

        /// The value of a Sec-WebSocket-Extensions header, mostly right.
        fn extensions() -> impl Strategy<Value = String> {
            let flags = "(; ?(server|client)_no_context_takeover)?";
            let windows = "(; ?(server|client)_max_window_bits( ?=(\"?[89]\"?|1[0-6]|[a-z ]))?)?";
            let element = format!("permessage-deflate{flags}{flags}{windows}{windows}(; x)?|[ -~]{{0,12}}");
            let element = proptest::string::string_regex(&element).expect("it is a regular expression");
            vec(element, 1..3).prop_map(|elements| elements.join(", "))
        }

        /// The rest of a law's bytes: messages to be compressed.
        fn compressed_conversation() -> impl Strategy<Value = Vec<u8>> {
            let len = prop_oneof![4 => 0..=200_u8, 1 => any::<u8>()];
            let message = (any::<u8>(), len, any::<u8>(), any::<u8>());
            let message = message.prop_map(|(sort, len, first, how)| vec![sort, len, first, how]);
            let messages = vec(message, 0..12).prop_map(|messages| messages.concat());
            (any::<[u8; 2]>(), messages).prop_map(|(head, messages)| [&head[..], &messages].concat())
        }

        /// A message's compressed payload, often right, and otherwise nearly.
        fn compressed_payload() -> impl Strategy<Value = Vec<u8>> {
            let stretch = prop_oneof![
                (any::<u8>(), 0..4000_usize).prop_map(|(byte, len)| vec![byte; len]),
                vec(any::<u8>(), 0..40),
                text(),
            ];
            let block = (vec(stretch, 0..4), any::<bool>()).prop_map(|(stretches, ends)| {
                let mut compressed = NaiveDeflater::new(6, 15, false).compress(&stretches.concat(), ends);
                if ends {
                    compressed.pop();
                } else {
                    compressed.extend([0x00, 0x00, 0xff, 0xff]);
                }
                compressed
            });
            let message = vec(block, 1..4).prop_map(|blocks| blocks.concat());
            let cut = (message, any::<bool>(), any::<Option<(u16, u8)>>()).prop_map(
                |(mut bytes, is_cut, damage)| {
                    bytes.truncate(bytes.len() - if is_cut { 4.min(bytes.len()) } else { 0 });
                    if let (Some((index, byte)), false) = (damage, bytes.is_empty()) {
                        let index = usize::from(index) % bytes.len();
                        bytes[index] = byte;
                    }
                    bytes
                },
            );
            let many_last_blocks = (55..75_usize).prop_map(|count| [0x03, 0x00].repeat(count));
            prop_oneof![12 => cut, 3 => vec(any::<u8>(), 0..60), 1 => many_last_blocks]
        }

        proptest! {
            #[test]
            fn s5_3_masking(key: [u8; 4], payload in vec(any::<u8>(), 0..3_000), offset in 0..9_usize, alignment in 0..70_usize) {
                masking_agrees_with_the_naive_loop(key, &payload, offset, alignment);
            }

            #[test]
            fn s5_3_scripted_masking(bytes in vec(any::<u8>(), 0..300)) {
                masking_a_script_agrees_with_the_naive_loop(&bytes);
            }

            #[test]
            fn s5_2_headers(header in header()) {
                parsing_a_header_undoes_encoding(header);
            }

            #[test]
            fn s5_2_headers_from_bytes(mut bytes in vec(any::<u8>(), 0..16), long in 0..4_u8) {
                if let (Some(second), true) = (bytes.get_mut(1), long > 1) {
                    *second |= 0x7e | (long & 1);
                }
                a_header_has_one_encoding(&bytes);
            }

            #[test]
            fn s5_2_frames(
                frames in vec((any::<bool>(), opcode(), any::<Option<[u8; 4]>>(), vec(any::<u8>(), 0..300)), 0..6),
                script in script(),
            ) {
                decoding_undoes_encoding(&frames, &Script::new(&script));
            }

            #[test]
            fn s5_2_scripted_frames(bytes in vec(any::<u8>(), 0..60)) {
                decoding_undoes_encoding_of_scripted_frames(&bytes);
            }

            #[test]
            fn s5_2_cut_frames(script in script(), stream in stream(true)) {
                decoding_ignores_how_bytes_are_cut(&[script, stream].concat());
            }

            #[test]
            fn s8_1_utf8(script in script(), text in text()) {
                utf8_validation_agrees_with_std(&[script, text].concat());
            }

            #[test]
            fn s4_2_1_handshakes(request in request()) {
                let event = Connection::server(law_limits(), Time(0)).next_event(
                    &mut request.clone().as_mut_slice(), Time(0), &mut Vec::new(),
                ).map(|event| format!("{event:?}"));
                prop_assert!(event.as_ref().is_some_and(|event| event.starts_with("Requested")), "{event:?}");
                a_strict_prefix_of_a_handshake_is_incomplete(&request);
            }

            #[test]
            fn rfc7692_s7_1_offers(noted in noted_extensions(), styles in vec(any::<u8>(), 0..100)) {
                offers_are_what_a_naive_reader_finds(&[noted, styles].concat());
            }

            #[test]
            fn rfc7692_s7_1_offers_from_bytes(value in extensions()) {
                offers_survive_being_written_again(value.as_bytes());
            }

            #[test]
            fn rfc7692_s7_1_answers(switches: u8, server_bits in 7..17_u8, client_bits in 7..17_u8, value in extensions()) {
                let bytes = [&[switches, server_bits, client_bits], value.as_bytes()].concat();
                an_answer_agrees_within_the_offer(&bytes);
            }

            #[test]
            fn rfc7692_s7_2_compressed_messages(script in script(), rest in compressed_conversation()) {
                compressed_messages_arrive_as_they_were_said(&[script, rest].concat());
            }

            #[test]
            fn rfc7692_s7_2_2_inflating(beginning: [u8; 4], payload in compressed_payload()) {
                inflating_agrees_with_flate2(&[&beginning[..], &payload].concat());
            }

            #[test]
            fn connections_with_streams_that_go_wrong(mut script in script(), right in right_stream(), streams in (stream(true), stream(false))) {
                script[0] = script[0] & !16 | 2;
                let bytes = if script[0] & 1 == 0 { [script, right, streams.0].concat() } else { [script, streams.1].concat() };
                a_connection_ignores_how_its_input_is_cut(&bytes);
            }

            #[test]
            fn connections_with_compressed_streams(
                mut script in script(),
                own_contexts in (compressed_stream(false, true), compressed_stream(false, false)),
                contexts in (compressed_stream(true, true), compressed_stream(true, false)),
                behind in stream(true),
                damage in any::<Option<(u16, u8)>>(),
            ) {
                script[0] |= 2 | 16;
                let ours = if script[0] & 32 == 0 { own_contexts } else { contexts };
                let mut stream = [if script[0] & 1 == 0 { ours.0 } else { ours.1 }, behind].concat();
                if let (Some((index, byte)), false) = (damage, stream.is_empty()) {
                    let index = usize::from(index) % stream.len();
                    stream[index] = byte;
                }
                a_connection_ignores_how_its_input_is_cut(&[script, stream].concat());
            }

            #[test]
            fn connections_that_come_with_their_request(mut script in script(), request in request(), right in right_stream(), damage in any::<Option<(u16, u8)>>()) {
                script[0] &= !(7 | 16);
                let mut stream = [request, right].concat();
                if let Some((index, byte)) = damage {
                    let index = usize::from(index) % stream.len();
                    stream[index] = byte;
                }
                a_connection_ignores_how_its_input_is_cut(&[script, stream].concat());
            }
        }
    }

    mod all_offers {
        use super::super::*;

        #[test]
        fn rfc7692_s7_1_every_offer_that_there_is_can_be_answered() {
            let windows = || (WindowBits::MIN..=WindowBits::MAX).map(WindowBits::new);
            let client_windows = || {
                windows()
                    .flatten()
                    .map(ClientWindow::AtMost)
                    .chain([ClientWindow::Absent, ClientWindow::Supported])
            };
            for (server_no_context_takeover, client_no_context_takeover) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                for server_max_window_bits in windows().chain([None]) {
                    for client_max_window_bits in client_windows() {
                        our_client_takes_our_server_s_answer(DeflateOffer {
                            server_no_context_takeover,
                            client_no_context_takeover,
                            server_max_window_bits,
                            client_max_window_bits,
                        });
                    }
                }
            }
        }
    }

    /// The corpus under `fuzz/`, without a fuzzer.
    mod kept_corpus {
        use super::super::*;
        use crate::hub::properties as hub;
        use std::fs;
        use std::path::Path;

        type Law = fn(&[u8]);

        /// Each fuzz target with its law.
        const TARGETS: [(&str, Law); 13] = [
            ("connection", a_connection_ignores_how_its_input_is_cut),
            ("deflate_round_trip", compressed_messages_arrive_as_they_were_said),
            ("extensions", extensions_mean_one_thing_however_written),
            ("frame_decoder", decoding_ignores_how_bytes_are_cut),
            ("frame_header", a_header_has_one_encoding),
            ("frame_round_trip", decoding_undoes_encoding_of_scripted_frames),
            ("handshake", a_strict_prefix_of_a_handshake_is_incomplete),
            ("homes", hub::homes_hand_out_what_a_map_of_lists_would),
            ("inflate", inflating_agrees_with_flate2),
            ("log", hub::a_log_agrees_with_one_big_vector),
            ("masking", masking_a_script_agrees_with_the_naive_loop),
            ("subscriptions", hub::a_lap_misses_nobody),
            ("utf8", utf8_validation_agrees_with_std),
        ];

        /// Targets whose laws are not the crate's: they need a world, which `tests/simulation` has.
        const DRIVEN_BY_THE_SIMULATION: [&str; 1] = ["shard.rs"];

        #[test]
        fn every_kept_input_obeys_its_targets_law() {
            for (target, law) in TARGETS {
                kept::replay(target, law);
            }
        }

        #[test]
        fn every_target_drives_the_law_that_its_corpus_is_kept_for() {
            let targets: Vec<_> = TARGETS.iter().map(|(target, _)| format!("{target}.rs")).collect();
            let mut others = kept::files("fuzz/fuzz_targets");
            // A law that needs a crate which the library does not stands there, and has its own test.
            others.retain(|target| !kept::files("fuzz/laws").contains(target));
            others.retain(|target| !DRIVEN_BY_THE_SIMULATION.contains(&&**target));
            assert_eq!(others, targets);
            let this_file = include_str!("properties.rs");
            let targets_directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            for target in targets {
                let source = fs::read_to_string(targets_directory.join(&target)).unwrap();
                let (_, call) = source.split_once("properties::").expect("a target calls a law");
                let law = call.rsplit("::").next().and_then(|call| call.split('(').next()).unwrap();
                let (name, _) = target.split_once('.').unwrap();
                let row = this_file.lines().find(|line| line.trim().starts_with(&format!("(\"{name}\", ")));
                assert!(row.is_some_and(|row| row.ends_with(&format!("{law}),"))), "{name} drives {law}");
            }
        }
    }
}
