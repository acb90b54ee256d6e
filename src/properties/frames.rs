//! The laws of frames (RFC 6455 §5) and of text (§8.1): masking, headers, decoding, UTF-8.

use super::Script;
use crate::protocol::{
    self, Decoded, FrameDecoder, FrameHeader, MaskingKey, Opcode, Parse, ProtocolError, Utf8Validator, mask,
};

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
pub(super) struct DecodedFrames {
    /// Each header, and as much of its payload as came.
    pub(super) frames: Vec<(FrameHeader, Vec<u8>, bool)>,
    pub(super) error: Option<ProtocolError>,
}

/// Decodes pieces of input, asserting that each step gets on.
pub(super) fn decode(pieces: &[&[u8]]) -> DecodedFrames {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::strategies::{opcode, script, stream, text};
    use crate::protocol::Rsv;
    use proptest::collection::vec;
    use proptest::prelude::*;

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
    }
}
