//! §7.1.1: whether a message may refer to the ones before it, and what that costs the one who reads it.

use crate::agreed::{
    End, FORGETFUL, MINDFUL, ROLES, Role, Sender, deflated, deflater, noise, three_bytes_from,
};
use crate::peer::{Seen, text};
use fanwire::protocol::{Deflate, Kind, ProtocolError, Window};

/// §7.2.3.2: "Hello" for the first time, and what says it again.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

/// Bytes that are held on top of a context while there is one.
const BOOKKEEPING: usize = 160;

const WINDOW: usize = 32 << 10;

/// An end that has heard "Hello".
fn greeted(role: Role, deflate: Deflate) -> End {
    let mut end = role.open(deflate);
    assert_eq!(end.receive_frame(0xc1, HELLO), [text("Hello")]);
    end
}

#[test]
fn s7_1_1_a_message_may_refer_to_the_one_before_if_that_was_agreed() {
    for role in ROLES {
        for deflate in [MINDFUL, role.only_peer_keeps_its_context(true)] {
            let mut end = greeted(role, deflate);
            for _ in 0..3 {
                assert_eq!(end.receive_frame(0xc1, HELLO_AGAIN), [text("Hello")]);
            }
        }
    }
}

#[test]
fn s7_1_1_if_it_was_not_agreed_such_a_message_is_corrupt() {
    for role in ROLES {
        for deflate in [FORGETFUL, role.only_peer_keeps_its_context(false)] {
            let end = greeted(role, deflate);
            assert_eq!(end.fail_by_frame(0xc1, HELLO_AGAIN), ProtocolError::DeflateInvalid);
            // Who begins anew each time is welcome.
            assert_eq!(greeted(role, deflate).receive_frame(0xc1, HELLO), [text("Hello")]);
        }
    }
}

#[test]
fn s7_1_1_the_first_message_has_nothing_to_refer_to() {
    for role in ROLES {
        assert_eq!(role.open(MINDFUL).fail_by_frame(0xc1, HELLO_AGAIN), ProtocolError::DeflateInvalid);
    }
}

#[test]
fn s7_1_1_who_may_refer_to_earlier_messages_need_not() {
    for role in ROLES {
        let mut end = greeted(role, MINDFUL);
        assert_eq!(end.receive_frame(0xc1, HELLO), [text("Hello")]);
        assert_eq!(end.receive_frame(0xc1, HELLO_AGAIN), [text("Hello")]);
    }
}

#[test]
fn s7_1_1_messages_that_are_not_compressed_are_no_part_of_the_context() {
    for role in ROLES {
        let mut end = greeted(role, MINDFUL);
        assert_eq!(end.receive_frame(0x81, b"Adieu"), [text("Adieu")]);
        assert_eq!(end.receive_frame(0xc1, HELLO_AGAIN), [text("Hello")], "and not Adieu");
    }
}

#[test]
fn s7_1_1_the_context_reaches_over_fragments_on_either_side() {
    for role in ROLES {
        let mut end = role.open(MINDFUL);
        assert_eq!(end.receive_frame(0x41, &HELLO[..4]), []);
        assert_eq!(end.receive_frame(0x80, &HELLO[4..]), [text("Hello")]);
        assert_eq!(end.receive_frame(0x41, &HELLO_AGAIN[..1]), []);
        assert_eq!(end.receive_frame(0x89, b""), []);
        assert_eq!(end.receive_frame(0x00, &HELLO_AGAIN[1..2]), []);
        assert_eq!(end.receive_frame(0x80, &HELLO_AGAIN[2..]), [text("Hello")]);
    }
}

#[test]
fn s7_1_1_the_context_reaches_over_blocks_with_bfinal() {
    // §7.2.3.4: "Hello" in a block with BFINAL.
    let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    for role in ROLES {
        let mut end = role.open(MINDFUL);
        assert_eq!(end.receive_frame(0xc1, last), [text("Hello")]);
        assert_eq!(end.receive_frame(0xc1, HELLO_AGAIN), [text("Hello")]);
        // Within one message, with an earlier message and without; also if nobody takes over a context.
        let both = [&last[..7], HELLO_AGAIN].concat();
        assert_eq!(end.receive_frame(0xc1, &both), [text("HelloHello")]);
        assert_eq!(role.open(MINDFUL).receive_frame(0xc1, &both), [text("HelloHello")]);
        assert_eq!(role.open(FORGETFUL).receive_frame(0xc1, &both), [text("HelloHello")]);
        // The second block's reference reaches into the first, the first's into the earlier message.
        let behind_the_earlier_one = [b"\xf3\x00\x11\x00", HELLO_AGAIN].concat();
        assert_eq!(end.receive_frame(0xc1, &behind_the_earlier_one), [text("HelloHello")]);
    }
}

#[test]
fn s7_1_1_a_block_with_bfinal_may_be_as_long_as_the_window_and_longer() {
    for role in ROLES {
        for len in [WINDOW - 5, WINDOW - 4, WINDOW, WINDOW + 1, 40_000] {
            let said = noise(len);
            let (begins, len) = ([&b"Hello"[..], &said].concat(), len as u16);
            let mut end = greeted(role, MINDFUL);
            // §3.2.4 of RFC 1951: a block with no compression, its length and the complement of that.
            let block = [&[0x01], &len.to_le_bytes()[..], &(!len).to_le_bytes(), &said].concat();
            let message = [&block[..], &three_bytes_from(WINDOW)].concat();
            let first_in_the_window = &begins[begins.len() - WINDOW..][..3];
            let both = [&said[..], first_in_the_window].concat();
            assert!(end.receive_frame(0xc2, &message) == [Seen::Binary(both)], "{len} bytes");
        }
    }
}

#[test]
fn s7_1_1_an_empty_message_changes_no_context() {
    for role in ROLES {
        let mut end = greeted(role, MINDFUL);
        for empty in [&b"\x00"[..], b"", b"\x02\x00"] {
            assert_eq!(end.receive_frame(0xc1, empty), [text("")]);
            assert_eq!(end.receive_frame(0xc1, HELLO_AGAIN), [text("Hello")], "behind {empty:02x?}");
        }
    }
}

#[test]
fn s7_1_1_texts_and_binary_messages_share_one_context() {
    for role in ROLES {
        let mut end = greeted(role, MINDFUL);
        assert_eq!(end.receive_frame(0xc2, HELLO_AGAIN), [Seen::Binary(b"Hello".to_vec())]);
        assert_eq!(end.receive_frame(0xc1, HELLO_AGAIN), [text("Hello")]);
    }
}

#[test]
fn s7_1_1_a_long_conversation_of_a_sender_that_remembers_is_understood() {
    for role in ROLES {
        for bits in [9, 10, 14, 15] {
            let mut end = role.open(role.window_of_peer(bits, MINDFUL));
            let mut sender = Sender::new(bits);
            // In all sizes around the window's, so that references cross one boundary and several.
            for (number, size) in
                [3, 700, 0, 40_000, 1, 511, 512, 513, 20_000, 20_000, 100_000, 5].into_iter().enumerate()
            {
                let message =
                    [&noise(300)[..], &noise(size), format!("message {number}").as_bytes()].concat();
                let compressed = sender.deflated(&message);
                assert!(
                    end.receive_frame(0xc2, &compressed) == [Seen::Binary(message)],
                    "{bits} bits, {number}"
                );
            }
        }
    }
}

#[test]
fn s7_1_1_a_message_may_refer_to_the_first_byte_in_the_window_and_to_none_before() {
    for role in ROLES {
        for bits in [8, 9, 12, 15] {
            let window = 1 << bits;
            let said = noise(window + 10);
            let open = || {
                let mut end = role.open(role.window_of_peer(bits, MINDFUL));
                assert!(end.receive_frame(0xc2, &deflated(&said)) == [Seen::Binary(said.clone())]);
                end
            };
            let first = Seen::Binary(said[10..13].to_vec());
            assert_eq!(open().receive_frame(0xc2, &three_bytes_from(window)), [first], "{bits} bits");
            if bits < 15 {
                let error = open().fail_by_frame(0xc2, &three_bytes_from(window + 1));
                assert_eq!(error, ProtocolError::DeflateInvalid, "{bits} bits");
            }
            // Behind a block with BFINAL the window has moved on by what that says.
            let hello = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
            let behind = [hello, &*three_bytes_from(window)].concat();
            let both = [b"Hello", &said[15..18]].concat();
            assert_eq!(open().receive_frame(0xc2, &behind), [Seen::Binary(both)], "{bits} bits");
        }
    }
}

// ---- What it costs --------------------------------------------------------------------------------------------------

#[test]
fn s7_1_1_of_what_was_said_a_window_is_kept_and_no_more() {
    for role in ROLES {
        for bits in [8, 9, 12, 15] {
            let window = 1 << bits;
            let mut end = role.open(role.window_of_peer(bits, MINDFUL));
            let mut said = 0;
            for size in [window / 8 * 5, window / 8 * 5, 1, window - 1, 7, window, 3 * window, 1, 1, 100] {
                // In messages that stand for themselves.
                let message = noise(size);
                let compressed = Sender::new(15).deflated(&message);
                assert!(end.receive_frame(0xc2, &compressed) == [Seen::Binary(message)]);
                said += size;
                let held = end.held_bytes();
                let least = said.min(window);
                assert!((least..=window + BOOKKEEPING).contains(&held), "{bits} bits: {held} after {said}");
            }
        }
    }
}

#[test]
fn s7_1_1_many_small_messages_keep_no_more_than_a_window_either() {
    let mut end = Role::Server.open(MINDFUL);
    let mut sender = Sender::new(15);
    for number in 0..1_000 {
        let message = format!("message {number} of a very long conversation");
        assert_eq!(end.receive_frame(0xc1, &sender.deflated(message.as_bytes())), [text(&message)]);
        assert!(end.held_bytes() <= WINDOW + BOOKKEEPING, "{} after {number}", end.held_bytes());
    }
}

#[test]
fn s7_1_1_without_takeover_nothing_is_kept() {
    for role in ROLES {
        for deflate in [FORGETFUL, role.only_peer_keeps_its_context(false)] {
            let mut end = greeted(role, deflate);
            assert_eq!(end.held_bytes(), 0);
            end.receive_frame(0x41, &HELLO[..3]);
            end.receive_frame(0x80, &HELLO[3..]);
            assert_eq!(end.held_bytes(), 0);
        }
    }
}

#[test]
fn s7_1_1_a_context_is_kept_only_from_the_first_compressed_message_on() {
    for role in ROLES {
        let mut end = role.open(MINDFUL);
        assert_eq!(end.held_bytes(), 0);
        end.receive_frame(0x81, b"plain");
        assert_eq!(end.held_bytes(), 0);
        end.receive_frame(0xc1, HELLO);
        assert!((5..=BOOKKEEPING + 16).contains(&end.held_bytes()), "{}", end.held_bytes());
    }
}

#[test]
fn s7_1_1_an_empty_message_leaves_no_context() {
    for role in ROLES {
        for empty in [&b"\x00"[..], b"", b"\x02\x00"] {
            let mut end = role.open(MINDFUL);
            assert_eq!(end.receive_frame(0xc1, empty), [text("")]);
            assert_eq!(end.held_bytes(), 0, "behind {empty:02x?}");
        }
    }
}

#[test]
fn s7_1_1_the_context_goes_with_our_close_frame() {
    for role in ROLES {
        let mut end = greeted(role, MINDFUL);
        end.close();
        assert_eq!(end.held_bytes(), 0);
    }
}

// ---- What we send ---------------------------------------------------------------------------------------------------

#[test]
fn s7_1_1_what_we_send_refers_to_no_earlier_message_even_where_it_might() {
    for role in ROLES {
        let mut end = role.open(MINDFUL);
        let message = "the same words ".repeat(20);
        let mut deflater = deflater(6, 0);
        let first = end.sent(Kind::Text, message.as_bytes(), &mut deflater);
        assert_eq!(first.0, 0xc1);
        for _ in 0..3 {
            assert_eq!(end.sent(Kind::Text, message.as_bytes(), &mut deflater), first);
        }
    }
    // Whatever was made in between, for whatever window.
    let mut deflater = deflater(6, 0);
    let mut append = |window, payload: &[u8]| {
        let mut frame = Vec::new();
        deflater.append_message(window, Kind::Binary, payload, &mut frame);
        frame
    };
    let first = append(Window::Large, b"Hello, Hello, Hello");
    append(Window::Small, &noise(5_000));
    append(Window::Large, b"Hello, Hello");
    assert_eq!(append(Window::Large, b"Hello, Hello, Hello"), first);
}
