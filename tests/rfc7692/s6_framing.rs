//! §6: the "Per-Message Compressed" bit, which is RSV1, and compressed messages in fragments.

use crate::agreed::{FORGETFUL, ROLES, Role, deflated};
use crate::peer::{Seen, text};
use fanwire::protocol::{CloseCode, CloseReason, Closure, ProtocolError};

/// "Hello", compressed (§7.2.3.1).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

#[test]
fn s6_1_rsv1_says_that_a_message_is_compressed_and_without_it_the_same_bytes_are_the_message() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.receive_frame(0xc1, HELLO), [text("Hello")]);
        assert_eq!(end.receive_frame(0xc2, HELLO), [Seen::Binary(b"Hello".to_vec())]);
        assert_eq!(end.receive_frame(0x82, HELLO), [Seen::Binary(HELLO.to_vec())]);
        assert_eq!(end.receive_frame(0x81, b"Hello"), [text("Hello")]);
    }
}

#[test]
fn s6_1_rsv1_without_the_extension_fails_the_connection_with_1002() {
    for role in ROLES {
        for first in [0xc1, 0xc2, 0x41, 0xc9] {
            let error = role.open_plain().fail_by_frame(first, HELLO);
            assert_eq!((error, error.code()), (ProtocolError::ReservedBits, CloseCode::PROTOCOL_ERROR));
        }
        assert_eq!(role.open_plain().receive_frame(0x81, b"Hello"), [text("Hello")]);
    }
}

#[test]
fn s6_1_rsv2_and_rsv3_fail_the_connection_with_1002_with_the_extension_too() {
    for role in ROLES {
        for bits in [0x20, 0x10, 0x30, 0x60, 0x50, 0x70] {
            for opcode in [0x81, 0x82, 0x89] {
                let error = role.open(FORGETFUL).fail_by_frame(bits | opcode, b"");
                assert_eq!((error, error.code()), (ProtocolError::ReservedBits, CloseCode::PROTOCOL_ERROR));
            }
        }
    }
}

#[test]
fn s6_1_rsv1_on_a_continuation_fails_the_connection_with_1002_whether_the_message_is_compressed_or_not() {
    for role in ROLES {
        for (first, begun) in [(0x41, &HELLO[..3]), (0x01, b"abc")] {
            for continuation in [0xc0, 0x40] {
                let mut end = role.open(FORGETFUL);
                assert_eq!(end.receive_frame(first, begun), []);
                let error = end.fail_by_frame(continuation, &HELLO[3..]);
                assert_eq!(error, ProtocolError::CompressedBitMisplaced);
                assert_eq!(error.code(), CloseCode::PROTOCOL_ERROR);
            }
        }
    }
}

#[test]
fn s6_1_rsv1_on_a_control_frame_fails_the_connection_with_1002() {
    for role in ROLES {
        for first in [0xc8, 0xc9, 0xca] {
            let error = role.open(FORGETFUL).fail_by_frame(first, b"");
            assert_eq!(error, ProtocolError::CompressedBitMisplaced);
            assert_eq!(error.code(), CloseCode::PROTOCOL_ERROR);
        }
        // Between the fragments of a compressed message too.
        let mut end = role.open(FORGETFUL);
        end.receive_frame(0x41, &HELLO[..3]);
        assert_eq!(end.fail_by_frame(0xc9, b""), ProtocolError::CompressedBitMisplaced);
    }
}

#[test]
fn s6_1_a_control_frame_is_never_compressed() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.receive_frame(0x89, HELLO), []);
        match role {
            Role::Server => assert_eq!(end.out, [b"\x8a\x07", HELLO].concat()),
            Role::Client => assert_eq!(end.out[..2], *b"\x8a\x87"),
        }
    }
}

#[test]
fn s6_1_a_compressed_message_may_come_in_any_fragments() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        for cut in 0..=HELLO.len() {
            assert_eq!(end.receive_frame(0x41, &HELLO[..cut]), []);
            assert_eq!(end.receive_frame(0x80, &HELLO[cut..]), [text("Hello")], "cut at {cut}");
        }
        // One fragment a byte, and empty ones between them.
        assert_eq!(end.receive_frame(0x42, b""), []);
        for byte in HELLO {
            assert_eq!(end.receive_frame(0x00, &[*byte]), []);
            assert_eq!(end.receive_frame(0x00, b""), []);
        }
        assert_eq!(end.receive_frame(0x80, b""), [Seen::Binary(b"Hello".to_vec())]);
        assert_eq!(end.held_bytes(), 0);
    }
}

#[test]
fn s6_1_a_compressed_message_may_come_byte_by_byte() {
    for role in ROLES {
        let message = "Hello, ".repeat(100);
        let compressed = deflated(message.as_bytes());
        let (head, tail) = compressed.split_at(compressed.len() / 2);
        let frames = [role.frame(0x41, head), role.frame(0x80, tail)].concat();
        let mut end = role.open(FORGETFUL);
        let seen = frames.iter().flat_map(|byte| end.receive(&[*byte])).collect::<Vec<_>>();
        assert_eq!(seen, [text(&message)]);
    }
}

#[test]
fn s6_1_control_frames_may_come_between_the_fragments() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.receive_frame(0x41, &HELLO[..3]), []);
        assert_eq!(end.receive_frame(0x89, b""), []);
        assert_eq!(end.out[0], 0x8a, "it is answered at once");
        assert_eq!(end.receive_frame(0x8a, b"unasked"), []);
        assert_eq!(end.receive_frame(0x00, &HELLO[3..5]), []);
        assert_eq!(end.receive_frame(0x89, b"ping"), []);
        assert_eq!(end.receive_frame(0x80, &HELLO[5..]), [text("Hello")]);
        // A Close frame ends it.
        end.receive_frame(0x41, &HELLO[..3]);
        let agreed = Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none());
        assert_eq!(end.receive_frame(0x88, b"\x03\xe8"), [Seen::Closed(agreed)]);
    }
}

#[test]
fn s6_1_messages_that_are_compressed_and_messages_that_are_not_may_be_mixed() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let frames = [
            role.frame(0xc1, HELLO),
            role.frame(0x81, b"plain"),
            role.frame(0x41, &HELLO[..3]),
            role.frame(0x80, &HELLO[3..]),
            role.frame(0x01, b"in "),
            role.frame(0x80, b"parts"),
            role.frame(0xc2, HELLO),
            role.frame(0x82, HELLO),
        ];
        let seen = [
            text("Hello"),
            text("plain"),
            text("Hello"),
            text("in parts"),
            Seen::Binary(b"Hello".to_vec()),
            Seen::Binary(HELLO.to_vec()),
        ];
        assert_eq!(end.receive(&frames.concat()), seen, "in one input");
        assert_eq!(
            frames.iter().flat_map(|frame| end.receive(frame)).collect::<Vec<_>>(),
            seen,
            "one by one"
        );
    }
}

#[test]
fn s6_1_another_message_within_a_compressed_one_fails_the_connection_with_1002() {
    for role in ROLES {
        for first in [0xc1, 0x81] {
            let mut end = role.open(FORGETFUL);
            end.receive_frame(0x41, &HELLO[..3]);
            assert_eq!(end.fail_by_frame(first, HELLO), ProtocolError::ContinuationExpected);
        }
    }
}

// ---- In the closing handshake: our Close frame is out, the other end's is awaited -----------------------------------

/// What ends the connection when it comes behind these frames.
fn closure_behind(role: Role, frames: &[(u8, &[u8])]) -> Closure {
    let mut end = role.open(FORGETFUL);
    // A compressed message of which a part has come.
    assert_eq!(end.receive_frame(0x41, &HELLO[..3]), []);
    end.close();
    let out = end.out.clone();
    let mut bytes =
        frames.iter().flat_map(|(first, payload)| role.frame(*first, payload)).collect::<Vec<_>>();
    bytes.extend(role.frame(0x88, b"\x03\xe8"));
    let seen = end.receive(&bytes);
    assert_eq!(end.out, out, "nothing follows a Close frame");
    let [Seen::Closed(closure)] = &seen[..] else { panic!("{seen:?}") };
    closure.clone()
}

#[test]
fn s6_1_compressed_messages_under_way_are_discarded_in_the_closing_handshake() {
    let agreed = Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none());
    for role in ROLES {
        assert_eq!(closure_behind(role, &[]), agreed);
        let whole: &[(u8, &[u8])] = &[(0x80, &HELLO[3..]), (0xc1, HELLO), (0x81, b"plain"), (0x42, b"")];
        assert_eq!(closure_behind(role, whole), agreed);
        // Nobody looks into them.
        assert_eq!(closure_behind(role, &[(0x80, b"\xff"), (0xc1, b"\xff\xff\xff")]), agreed);
    }
}

#[test]
fn s6_1_in_the_closing_handshake_the_rules_of_rsv1_hold() {
    for role in ROLES {
        let misplaced = Closure::Failed(ProtocolError::CompressedBitMisplaced);
        assert_eq!(closure_behind(role, &[(0xc0, &HELLO[3..])]), misplaced);
        assert_eq!(closure_behind(role, &[(0xc9, b"")]), misplaced);
        assert_eq!(closure_behind(role, &[(0xc8, b"")]), misplaced);
        let reserved = Closure::Failed(ProtocolError::ReservedBits);
        assert_eq!(closure_behind(role, &[(0xa0, b"")]), reserved);
        assert_eq!(closure_behind(role, &[(0xd0, b"")]), reserved);
        assert_eq!(
            closure_behind(role, &[(0xc1, b"")]),
            Closure::Failed(ProtocolError::ContinuationExpected)
        );
        // Without the extension there is no RSV1.
        let mut plain = role.open_plain();
        plain.close();
        assert_eq!(plain.receive_frame(0xc1, HELLO), [Seen::Closed(reserved)]);
    }
}
