//! What a compressed message may cost (§8 of RFC 7692 and §10.4 of RFC 6455), and what is no compressed message at all.

use crate::agreed::{FORGETFUL, MINDFUL, ROLES, Role, Sender, deflated, noise};
use crate::peer::{Seen, text};
use fanwire::protocol::{CloseCode, ProtocolError};

/// "Hello", compressed (§7.2.3.1).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// Bytes that come on top of what has come, at most, while anything is unfinished.
const BOOKKEEPING: usize = 160;

const MIB: usize = 1 << 20;

// ---- Too big ----------------------------------------------------------------------------------------------------------

#[test]
fn s10_4_a_bomb_fails_the_connection_with_1009_and_a_message_of_exactly_the_limit_passes() {
    let bomb = deflated(&vec![0; MIB + 1]);
    let largest = deflated(&vec![0; MIB]);
    assert!(bomb.len() < 1_100, "{}", bomb.len());
    for role in ROLES {
        let error = role.open_with_limit(MIB, FORGETFUL).fail_by_frame(0xc2, &bomb);
        assert_eq!((error, error.code()), (ProtocolError::MessageTooBig, CloseCode::MESSAGE_TOO_BIG));
        let mut end = role.open_with_limit(MIB, FORGETFUL);
        assert!(end.receive_frame(0xc2, &largest) == [Seen::Binary(vec![0; MIB])]);
    }
}

#[test]
fn s10_4_so_it_is_whatever_the_limit_and_however_far_beyond_it_the_message_is() {
    for message_bytes_max in [1, 2, 63, 4_095, 4_096, 4_097, 20_000] {
        for role in ROLES {
            for deflate in [FORGETFUL, MINDFUL] {
                let open = || role.open_with_limit(message_bytes_max, deflate);
                for (first, excess) in [(0xc1, 1), (0xc2, 1), (0xc2, 2), (0xc2, 5_000)] {
                    let bomb = deflated(&vec![b'x'; message_bytes_max + excess]);
                    let error = open().fail_by_frame(first, &bomb);
                    assert_eq!(error, ProtocolError::MessageTooBig, "{message_bytes_max} + {excess}");
                }
                let largest = "x".repeat(message_bytes_max);
                assert!(open().receive_frame(0xc1, &deflated(largest.as_bytes())) == [text(&largest)]);
            }
        }
    }
    let error = Role::Server.open_with_limit(100, FORGETFUL).fail_by_frame(0x82, &[b'x'; 101]);
    assert_eq!(error, ProtocolError::MessageTooBig, "what is not compressed has no more room");
}

#[test]
fn s10_4_a_bomb_in_fragments_is_one_too() {
    let bomb = deflated(&vec![0; MIB + 1]);
    for role in ROLES {
        let mut end = role.open_with_limit(MIB, FORGETFUL);
        assert_eq!(end.receive_frame(0x41, &bomb[..500]), []);
        assert_eq!(end.receive_frame(0x00, &bomb[500..600]), []);
        assert_eq!(end.fail_by_frame(0x80, &bomb[600..]), ProtocolError::MessageTooBig);
    }
}

#[test]
fn s10_4_a_bomb_that_refers_to_earlier_messages_is_one_too() {
    for role in ROLES {
        let mut end = role.open_with_limit(1_000, MINDFUL);
        let mut sender = Sender::new(15);
        assert_eq!(end.receive_frame(0xc2, &sender.deflated(&noise(1_000))), [Seen::Binary(noise(1_000))]);
        let again = sender.deflated(&[&noise(1_000)[..], b"x"].concat());
        assert!(again.len() < 50);
        assert_eq!(end.fail_by_frame(0xc2, &again), ProtocolError::MessageTooBig);
    }
}

#[test]
fn s10_4_the_compressed_form_may_be_an_eighth_and_64_bytes_longer_than_a_message_and_the_header_says_whether_it_is()
 {
    // 1,000 + 125 + 64.
    for role in ROLES {
        let open = || role.open_with_limit(1_000, FORGETFUL);
        let error = open().fail_by(&role.frame_begun(0xc2, 1_190, b""));
        assert_eq!((error, error.code()), (ProtocolError::MessageTooBig, CloseCode::MESSAGE_TOO_BIG));
        assert_eq!(open().receive(&role.frame_begun(0xc2, 1_189, b"")), []);
        // Over fragments too.
        let begun = || {
            let mut end = open();
            assert_eq!(end.receive_frame(0x42, &[0; 1_000]), []);
            end
        };
        assert_eq!(begun().fail_by(&role.frame_begun(0x80, 190, b"")), ProtocolError::MessageTooBig);
        assert_eq!(begun().receive(&role.frame_begun(0x80, 189, b"")), []);
        let over_64_bits = role.frame_begun(0xc2, (1 << 63) - 1, b"");
        assert_eq!(open().fail_by(&over_64_bits), ProtocolError::MessageTooBig);
        // A message that is not compressed has the limit, and no more.
        assert_eq!(open().fail_by(&role.frame_begun(0x82, 1_001, b"")), ProtocolError::MessageTooBig);
        assert_eq!(open().receive(&role.frame_begun(0x82, 1_000, b"")), []);
    }
}

#[test]
fn s10_4_the_largest_message_passes_even_if_compressing_makes_it_longer() {
    let limit = 100_000;
    let message = noise(limit);
    // In blocks that a sender makes by itself, and in as many as it has pieces of 128 bytes.
    let by_itself = deflated(&message);
    let mut sender = Sender::new(15);
    let mut in_pieces = message.chunks(128).flat_map(|piece| sender.flushed(piece)).collect::<Vec<_>>();
    in_pieces.truncate(in_pieces.len() - 4);
    assert!(by_itself.len() > limit && in_pieces.len() > limit + limit / 16, "{}", in_pieces.len());
    for role in ROLES {
        for compressed in [&by_itself, &in_pieces] {
            let mut end = role.open_with_limit(limit, FORGETFUL);
            assert!(end.receive_frame(0xc2, compressed) == [Seen::Binary(message.clone())]);
        }
    }
}

// ---- Corrupt ----------------------------------------------------------------------------------------------------------

#[track_caller]
fn assert_corrupt(payload: &[u8]) {
    for role in ROLES {
        for deflate in [FORGETFUL, MINDFUL] {
            for first in [0xc1, 0xc2] {
                let error = role.open(deflate).fail_by_frame(first, payload);
                assert_eq!(error, ProtocolError::DeflateInvalid, "{payload:02x?}");
                assert_eq!(error.code(), CloseCode::INVALID_PAYLOAD);
            }
        }
    }
}

#[test]
fn s7_2_2_a_message_that_is_cut_off_fails_the_connection_with_1007() {
    let long = deflated("a longer message, with words and words and words again".repeat(3).as_bytes());
    for whole in [HELLO, &long, b"\xf3\x48\xcd\xc9\xc9\x07\x00"] {
        for len in 1..whole.len() {
            assert_corrupt(&whole[..len]);
        }
    }
    // Within the length of a block with no compression, whose first octet alone is an empty message.
    for cut_off in [&b"\x00\x05"[..], b"\x00\x05\x00", b"\x00\x05\x00\xfa"] {
        assert_corrupt(cut_off);
    }
}

#[test]
fn s7_2_2_a_block_that_is_none_fails_the_connection_with_1007() {
    assert_corrupt(b"\x06");
    assert_corrupt(b"\x07\x00");
    assert_corrupt(b"\xff");
    // A length that its complement does not confirm.
    assert_corrupt(b"\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00");
    // A code that is not complete.
    assert_corrupt(b"\x04\x00\x00\x00\x00\x00\x00");
}

#[test]
fn s7_2_2_a_reference_to_before_the_first_byte_fails_the_connection_with_1007() {
    assert_corrupt(b"\xf2\x00\x11\x00\x00");
}

#[test]
fn s7_2_2_bytes_behind_the_end_fail_the_connection_with_1007() {
    assert_corrupt(&[HELLO, b"\x00"].concat());
    assert_corrupt(&[HELLO, b"garbage"].concat());
    // The end of a flush that was not left out.
    assert_corrupt(&[HELLO, b"\x00\x00\xff\xff"].concat());
    // Behind a block with BFINAL another may begin, but not anything.
    assert_corrupt(b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff");
    assert_corrupt(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00");
}

#[test]
fn s7_2_2_who_does_not_compress_but_says_so_fails_the_connection_with_1007() {
    assert_corrupt(b"Hello");
    assert_corrupt(b"{\"username\":\"Ada\",\"text\":\"hello\"}");
}

#[test]
fn s7_2_3_4_a_message_may_have_64_blocks_with_bfinal_before_its_end() {
    let last = &b"\xf3\x48\xcd\xc9\xc9\x07\x00"[..];
    assert_eq!(
        Role::Server.open(FORGETFUL).receive_frame(0xc1, &[&last.repeat(64), HELLO].concat()),
        [text(&"Hello".repeat(65))]
    );
    assert_corrupt(&[&last.repeat(65), HELLO].concat());
}

#[test]
fn s7_2_2_nothing_comes_out_of_the_connection_behind_a_corrupt_message() {
    for role in ROLES {
        let frames =
            [role.frame(0xc1, b"\x06"), role.frame(0xc1, HELLO), role.frame(0x81, b"plain")].concat();
        assert_eq!(role.open(FORGETFUL).fail_by(&frames), ProtocolError::DeflateInvalid);
    }
}

// ---- Text -------------------------------------------------------------------------------------------------------------

#[test]
fn s8_1_a_text_that_is_not_utf_8_once_inflated_fails_the_connection_with_1007() {
    let far_behind = [&"é".repeat(10_000).into_bytes()[..], b"\xff", "é".repeat(10_000).as_bytes()].concat();
    for role in ROLES {
        for wrong in [&b"\xff"[..], b"abc\xed\xa0\x80", b"\xc0\xaf", &far_behind] {
            let compressed = deflated(wrong);
            for deflate in [FORGETFUL, MINDFUL] {
                let error = role.open(deflate).fail_by_frame(0xc1, &compressed);
                assert_eq!((error, error.code()), (ProtocolError::TextNotUtf8, CloseCode::INVALID_PAYLOAD));
            }
            // As a binary message it is data.
            assert!(role.open(FORGETFUL).receive_frame(0xc2, &compressed) == [Seen::Binary(wrong.to_vec())]);
        }
    }
}

#[test]
fn s8_1_a_character_that_the_message_s_end_cuts_fails_the_connection_with_1007() {
    for role in ROLES {
        for cut in 1..4 {
            let wrong = deflated(&"🎉".as_bytes()[..cut]);
            assert_eq!(role.open(FORGETFUL).fail_by_frame(0xc1, &wrong), ProtocolError::TextNotUtf8);
        }
        assert_eq!(role.open(FORGETFUL).receive_frame(0xc1, &deflated("🎉".as_bytes())), [text("🎉")]);
    }
}

#[test]
fn s8_1_characters_may_be_cut_anywhere_else() {
    for role in ROLES {
        // By every step in which a message is inflated.
        for shift in 0..4 {
            let message = "x".repeat(shift) + &"🎉".repeat(4_000);
            let mut end = role.open(FORGETFUL);
            assert!(end.receive_frame(0xc1, &deflated(message.as_bytes())) == [text(&message)]);
        }
        // By blocks and fragments.
        let mut sender = Sender::new(15);
        let parts = "né🎉".bytes().map(|byte| sender.flushed(&[byte])).collect::<Vec<_>>();
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.receive_frame(0x41, b""), []);
        for part in parts {
            assert_eq!(end.receive_frame(0x00, &part), []);
        }
        assert_eq!(end.receive_frame(0x80, b"\x00"), [text("né🎉")]);
    }
}

#[test]
fn s8_1_the_compressed_form_need_not_be_utf_8() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert!(std::str::from_utf8(&HELLO[..3]).is_err());
        assert_eq!(end.receive_frame(0x41, &HELLO[..3]), []);
        assert_eq!(end.receive_frame(0x80, &HELLO[3..]), [text("Hello")]);
    }
}

// ---- Memory -----------------------------------------------------------------------------------------------------------

#[test]
fn of_a_compressed_message_that_is_not_whole_what_was_sent_is_held() {
    let bomb = deflated(&vec![0; MIB]);
    for role in ROLES {
        // In one frame that has not come whole, and in fragments.
        let frame = role.frame(0xc2, &bomb);
        let fragments = [role.frame(0x42, &bomb[..600]), role.frame(0x00, &bomb[600..])].concat();
        for bytes in [&frame[..frame.len() - 1], &fragments] {
            let mut end = role.open(FORGETFUL);
            for piece in bytes.chunks(100) {
                assert_eq!(end.receive(piece), []);
                assert!(end.held_bytes() <= 2 * bomb.len() + BOOKKEEPING, "{}", end.held_bytes());
            }
            assert!(end.held_bytes() >= bomb.len() - 1, "{}", end.held_bytes());
        }
        let mut end = role.open(FORGETFUL);
        end.receive(&frame[..frame.len() - 1]);
        assert!(end.receive(&frame[frame.len() - 1..]) == [Seen::Binary(vec![0; MIB])]);
        assert_eq!(end.held_bytes(), 0, "nothing is kept of a message that is over");
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.receive(&role.frame_begun(0xc2, MIB as u64, b"abc")), []);
        assert!(end.held_bytes() <= 256, "{}", end.held_bytes());
    }
}

#[test]
fn a_connection_that_has_agreed_to_compression_holds_nothing_while_it_is_idle() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.held_bytes(), 0);
        assert!(end.receive_frame(0xc2, &deflated(&noise(50_000))) == [Seen::Binary(noise(50_000))]);
        assert_eq!(end.held_bytes(), 0);
    }
}
