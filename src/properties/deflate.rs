//! The laws of compressed messages (RFC 7692 §6, §7.2), against flate2 used directly.

use super::Script;
use super::connection::{Seen, seen};
use super::frames::decode;
use crate::limits::{DEFLATE_LAST_BLOCKS_MAX, Limits};
use crate::protocol::{
    self, Agreement, ClientRequest, ClientWindow, Closure, Compressing, Connection, Deflate, DeflateOffer,
    Deflater, Event, FrameHeader, Inflater, Kind, MaskingKey, Opcode, ProtocolError, Rsv, Time, WindowBits,
    mask,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status as InflateStatus};
use std::sync::Arc;

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
pub(super) struct NaiveDeflater {
    stream: Compress,
    keeps_context: bool,
}

impl NaiveDeflater {
    pub(super) fn new(level: u8, window_bits: u8, keeps_context: bool) -> NaiveDeflater {
        let stream = Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits);
        NaiveDeflater { stream, keeps_context }
    }

    /// `ends`: with a last block, as a sender does that cannot flush otherwise (§7.2.3.4).
    pub(super) fn compress(&mut self, payload: &[u8], ends: bool) -> Vec<u8> {
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
pub(super) fn append_compressed<'f>(
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
pub(super) fn pieces_of(bytes: &[u8], count: usize) -> Vec<&[u8]> {
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
    use super::*;
    use crate::properties::strategies::{script, text};
    use proptest::collection::vec;
    use proptest::prelude::*;

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
        let cut =
            (message, any::<bool>(), any::<Option<(u16, u8)>>()).prop_map(|(mut bytes, is_cut, damage)| {
                bytes.truncate(bytes.len() - if is_cut { 4.min(bytes.len()) } else { 0 });
                if let (Some((index, byte)), false) = (damage, bytes.is_empty()) {
                    let index = usize::from(index) % bytes.len();
                    bytes[index] = byte;
                }
                bytes
            });
        let many_last_blocks = (55..75_usize).prop_map(|count| [0x03, 0x00].repeat(count));
        prop_oneof![12 => cut, 3 => vec(any::<u8>(), 0..60), 1 => many_last_blocks]
    }

    proptest! {
        #[test]
        fn rfc7692_s7_2_compressed_messages(script in script(), rest in compressed_conversation()) {
            compressed_messages_arrive_as_they_were_said(&[script, rest].concat());
        }

        #[test]
        fn rfc7692_s7_2_2_inflating(beginning: [u8; 4], payload in compressed_payload()) {
            inflating_agrees_with_flate2(&[&beginning[..], &payload].concat());
        }
    }
}
