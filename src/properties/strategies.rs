//! What proptest makes up for the laws of more than one file.

use crate::protocol::{self, MaskingKey, Opcode};
use proptest::collection::vec;
use proptest::prelude::*;

/// The beginning of a law's bytes.
pub(super) fn script() -> impl Strategy<Value = Vec<u8>> {
    let lengths = vec(prop_oneof![Just(1_u8), 0..20_u8, any::<u8>()], 0..16);
    (any::<u8>(), lengths).prop_map(|(switches, lengths)| {
        let mut bytes = vec![switches, lengths.len() as u8];
        bytes.extend(lengths);
        bytes
    })
}

pub(super) fn opcode() -> impl Strategy<Value = Opcode> {
    prop_oneof![
        Just(Opcode::Continuation),
        Just(Opcode::Text),
        Just(Opcode::Binary),
        Just(Opcode::Close),
        Just(Opcode::Ping),
        Just(Opcode::Pong),
    ]
}

pub(super) fn text() -> impl Strategy<Value = Vec<u8>> {
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
pub(super) fn stream(masked: bool) -> impl Strategy<Value = Vec<u8>> {
    vec(frame(masked), 0..12).prop_map(|frames| frames.concat())
}
