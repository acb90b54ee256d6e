//! §8.1: text is UTF-8, and what is not fails at once.

use crate::peer::{Peer, Seen, masked, text};
use fanwire::protocol::{Opcode, ProtocolError};

const INVALID: &[&[u8]] = &[
    b"\x80",             // a continuation byte first
    b"\xc0\xaf",         // overlong
    b"\xe0\x80\x80",     // overlong
    b"\xed\xa0\x80",     // a surrogate
    b"\xf4\x90\x80\x80", // above U+10FFFF
    b"\xff",
    b"a\xc3a",
];

#[test]
fn s8_1_text_that_is_not_utf8_fails_the_connection_with_1007() {
    for payload in INVALID {
        assert_eq!(Peer::server().fail_by(&masked(true, Opcode::Text, payload)), ProtocolError::TextNotUtf8);
    }
}

#[test]
fn s8_1_binary_may_be_anything() {
    for payload in INVALID {
        assert_eq!(
            Peer::server().receive(&masked(true, Opcode::Binary, payload)),
            [Seen::Binary(payload.to_vec())]
        );
    }
}

#[test]
fn s8_1_a_character_may_be_cut_by_fragments() {
    for character in ["é", "€", "😀"] {
        let bytes = character.as_bytes();
        for cut in 1..bytes.len() {
            let frames = [
                masked(false, Opcode::Text, &bytes[..cut]),
                masked(true, Opcode::Continuation, &bytes[cut..]),
            ];
            assert_eq!(Peer::server().receive(&frames.concat()), [text(character)]);
        }
    }
}

#[test]
fn s8_1_text_that_ends_within_a_character_fails_with_1007() {
    assert_eq!(Peer::server().fail_by(&masked(true, Opcode::Text, b"\xe2\x82")), ProtocolError::TextNotUtf8);
    let frames = [masked(false, Opcode::Text, b"\xe2"), masked(true, Opcode::Continuation, b"\x82")].concat();
    assert_eq!(Peer::server().fail_by(&frames), ProtocolError::TextNotUtf8);
}

#[test]
fn s8_1_an_impossible_byte_in_a_frame_that_is_not_whole_fails_at_once() {
    let frame = masked(true, Opcode::Text, b"ok\xf4\x90 and much more");
    let mut server = Peer::server();
    assert_eq!(server.receive(&frame[..6 + 3]), [], "F4 may go on");
    assert_eq!(server.fail_by(&frame[6 + 3..6 + 4]), ProtocolError::TextNotUtf8, "but not with 90");
}

#[test]
fn s8_1_an_impossible_byte_in_a_fragment_fails_before_the_message_ends() {
    assert_eq!(Peer::server().fail_by(&masked(false, Opcode::Text, b"a\xff")), ProtocolError::TextNotUtf8);
}

#[test]
fn s8_1_the_validator_starts_afresh_with_each_message() {
    let message =
        [masked(false, Opcode::Text, b"\xc3"), masked(true, Opcode::Continuation, b"\xa9")].concat();
    assert_eq!(Peer::server().receive(&message.repeat(2)), [text("é"), text("é")]);
}
