//! §7.2: what a compressed message's payload is. The examples of §7.2.3 with their bytes, and what we send.

use crate::agreed::{FORGETFUL, MINDFUL, ROLES, Role, Sender, deflated, deflater, noise};
use crate::peer::{Seen, text};
use fanwire::protocol::{Kind, Window};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

// ---- §7.2.3: the RFC's examples ---------------------------------------------------------------------------------------

#[test]
fn s7_2_3_1_a_message_in_one_block() {
    let payload = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        assert_eq!(end.receive_frame(0xc1, payload), [text("Hello")]);
        assert_eq!(end.receive_frame(0x41, b"\xf2\x48\xcd"), []);
        assert_eq!(end.receive_frame(0x80, b"\xc9\xc9\x07\x00"), [text("Hello")]);
        assert_eq!(end.sent(Kind::Text, b"Hello", &mut deflater(6, 0)), (0xc1, payload.to_vec()));
    }
    assert_eq!(
        Role::Client.frame(0xc1, payload),
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
        "as the RFC has it"
    );
}

#[test]
fn s7_2_3_2_sharing_the_window() {
    for role in ROLES {
        let mut end = role.open(MINDFUL);
        assert_eq!(end.receive_frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), [text("Hello")]);
        assert_eq!(end.receive_frame(0xc1, b"\xf2\x00\x11\x00\x00"), [text("Hello")]);
    }
}

#[test]
fn s7_2_3_3_a_block_with_no_compression() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let payload = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
        assert_eq!(end.receive_frame(0xc1, payload), [text("Hello")]);
    }
}

#[test]
fn s7_2_3_4_a_block_with_bfinal() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let payload = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
        assert_eq!(end.receive_frame(0xc1, payload), [text("Hello")]);
        // Its last octet "is necessary"; who forgets it is understood all the same.
        assert_eq!(end.receive_frame(0xc1, &payload[..7]), [text("Hello")]);
        // Others may follow it, with BFINAL and without.
        let more = [&payload[..7], &payload[..7], b"\xf2\x48\xcd\xc9\xc9\x07\x00"].concat();
        assert_eq!(end.receive_frame(0xc1, &more), [text("HelloHelloHello")]);
    }
}

#[test]
fn s7_2_3_5_two_blocks_in_one_message() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let payload = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        assert_eq!(end.receive_frame(0xc1, payload), [text("Hello")]);
    }
}

#[test]
fn s7_2_3_6_an_empty_fragment() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        // The sender learns that there is no more when it has flushed all.
        assert_eq!(end.receive_frame(0x41, b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"), []);
        assert_eq!(end.receive_frame(0x80, b"\x00"), [text("Hello")]);
        assert_eq!(end.receive_frame(0xc1, b"\x00"), [text("")], "an empty message");
        assert_eq!(end.receive_frame(0xc2, b"\x00"), [Seen::Binary(vec![])]);
    }
}

#[test]
fn s7_2_2_of_an_empty_message_some_senders_leave_nothing() {
    for role in ROLES {
        for deflate in [FORGETFUL, MINDFUL] {
            let mut end = role.open(deflate);
            assert_eq!(end.receive_frame(0xc1, b""), [text("")]);
            assert_eq!(end.receive_frame(0x42, b""), []);
            assert_eq!(end.receive_frame(0x80, b""), [Seen::Binary(vec![])]);
        }
    }
}

// ---- §7.2.2: what comes ----------------------------------------------------------------------------------------------

#[test]
fn s7_2_2_any_blocks_of_any_level_are_understood() {
    let message = [&noise(5_000)[..], &b"repeated ".repeat(5_000), &noise(40_000)].concat();
    for role in ROLES {
        for level in 0..=9 {
            let mut stream = Compress::new_with_window_bits(Compression::new(level), false, 15);
            let mut compressed = Vec::with_capacity(2 * message.len());
            stream.compress_vec(&message, &mut compressed, FlushCompress::Sync).unwrap();
            compressed.truncate(compressed.len() - 4);
            let seen = role.open(FORGETFUL).receive_frame(0xc2, &compressed);
            assert!(seen == [Seen::Binary(message.clone())], "level {level}");
        }
    }
}

#[test]
fn s7_2_2_a_message_of_many_flushes_is_understood() {
    let mut sender = Sender::new(15);
    let parts =
        (0..500).map(|number| sender.flushed(format!("part {number}, ").as_bytes())).collect::<Vec<_>>();
    let message = (0..500).fold(String::new(), |said, number| said + &format!("part {number}, "));
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let mut first = 0x41;
        for part in &parts {
            assert_eq!(end.receive_frame(first, part), []);
            first = 0x00;
        }
        assert_eq!(end.receive_frame(0x80, b"\x00"), [text(&message)]);
    }
}

// ---- §7.2.1: what we send --------------------------------------------------------------------------------------------

/// What a stranger's inflater makes of our payload, one byte at a time, when it has a window of `2^bits` bytes.
fn inflated_by_another(bits: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let mut stream = Decompress::new_with_window_bits(false, bits);
    let input = [payload, b"\x00\x00\xff\xff"].concat();
    let mut message = Vec::new();
    loop {
        let mut byte = [0];
        let (consumed, made) = (stream.total_in() as usize, stream.total_out());
        stream.decompress(&input[consumed..], &mut byte, FlushDecompress::Sync).ok()?;
        if stream.total_out() > made {
            message.push(byte[0]);
        } else if stream.total_in() as usize == consumed {
            assert_eq!(consumed, input.len(), "all of it was needed");
            return Some(message);
        }
    }
}

/// All kinds of messages.
fn messages() -> Vec<Vec<u8>> {
    let mut messages = vec![
        b"H".to_vec(),
        b"Hello".to_vec(),
        b"the same words ".repeat(7),
        noise(200).repeat(20),
        noise(2_000).repeat(3),
        // That it ends as a flush does is its own business.
        [&noise(100)[..], b"\x00\x00\xff\xff"].concat(),
        b"\x00\x00\xff\xff".to_vec(),
        noise(20_000),
        vec![0; 40_000],
    ];
    messages.extend((0..150).map(noise));
    messages
}

#[test]
fn s7_2_1_what_we_send_ends_without_the_end_of_the_flush_and_anyone_can_inflate_it() {
    for role in ROLES {
        for (bits, deflate) in [(15, FORGETFUL), (9, role.own_window(9, FORGETFUL))] {
            let mut end = role.open(deflate);
            let mut deflater = deflater(3, 0);
            for message in messages() {
                let (first, payload) = end.sent(Kind::Binary, &message, &mut deflater);
                assert_eq!(first, 0xc2);
                assert!(
                    inflated_by_another(bits, &payload).as_ref() == Some(&message),
                    "{:02x?}",
                    &payload[..9]
                );
            }
        }
    }
}

#[test]
fn s7_2_1_what_one_end_sends_the_other_understands() {
    for (role, other) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        for deflate in [FORGETFUL, MINDFUL, role.own_window(9, FORGETFUL), role.own_window(12, MINDFUL)] {
            let (mut sender, mut receiver) = (role.open(deflate), other.open(deflate));
            let mut deflater = deflater(6, 0);
            for message in messages() {
                let (first, payload) = sender.sent(Kind::Binary, &message, &mut deflater);
                assert!(receiver.receive_frame(first, &payload) == [Seen::Binary(message)]);
            }
        }
    }
}

#[test]
fn s7_2_1_the_level_is_the_one_that_was_chosen() {
    let message =
        (0..500).fold(String::new(), |said, number| said + &format!("{{\"number\":{}}},", number * 7919));
    let mut lens = Vec::new();
    for level in 1..=9 {
        let mut stream = Compress::new_with_window_bits(Compression::new(level), false, 15);
        let mut expected = Vec::with_capacity(message.len());
        stream.compress_vec(message.as_bytes(), &mut expected, FlushCompress::Sync).unwrap();
        expected.truncate(expected.len() - 4);
        let mut deflater = deflater(level as u8, 0);
        let (_, payload) = Role::Server.open(FORGETFUL).sent(Kind::Text, message.as_bytes(), &mut deflater);
        assert!(payload == expected, "level {level}");
        lens.push(payload.len());
    }
    assert!(lens[8] < lens[0], "it makes a difference: {lens:?}");
}

#[test]
fn s7_2_1_a_message_is_compressed_from_the_least_size_on() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let mut deflater = deflater(3, 100);
        let (short, long) = (vec![b'x'; 99], vec![b'x'; 100]);
        assert_eq!(end.sent(Kind::Text, &short, &mut deflater), (0x81, short));
        let (first, payload) = end.sent(Kind::Text, &long, &mut deflater);
        assert_eq!((first, inflated_by_another(15, &payload)), (0xc1, Some(long)));
    }
}

#[test]
fn s7_2_1_what_does_not_get_smaller_goes_as_it_is() {
    let repetitive = b"abcabcabcabcabcabcabcabc";
    let mut as_long = 0;
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let mut deflater = deflater(6, 1);
        for len in 0..repetitive.len() {
            let message = &repetitive[..len];
            let compressed = deflated(message);
            as_long += usize::from(compressed.len() == len);
            let expected = if compressed.len() < len { (0xc2, compressed) } else { (0x82, message.to_vec()) };
            assert_eq!(end.sent(Kind::Binary, message, &mut deflater), expected);
        }
        assert_eq!(end.sent(Kind::Binary, &noise(5_000), &mut deflater), (0x82, noise(5_000)));
    }
    assert!(as_long > 0, "as long is not smaller: it was tried");
}

#[test]
fn s7_2_1_with_a_least_size_of_0_everything_is_compressed_even_if_it_grows() {
    for role in ROLES {
        let mut end = role.open(FORGETFUL);
        let mut deflater = deflater(6, 0);
        for message in [noise(5_000), b"H".to_vec()] {
            let (first, payload) = end.sent(Kind::Binary, &message, &mut deflater);
            assert!(first == 0xc2 && payload.len() > message.len());
        }
        assert_eq!(end.sent(Kind::Text, b"", &mut deflater), (0xc1, vec![0x00]), "§7.2.3.6");
    }
}

#[test]
fn s7_2_1_an_empty_message_goes_as_it_is_otherwise() {
    for role in ROLES {
        for bytes_min in [1, 100] {
            let mut deflater = deflater(6, bytes_min);
            assert_eq!(role.open(FORGETFUL).sent(Kind::Text, b"", &mut deflater), (0x81, vec![]));
        }
    }
}

#[test]
fn s7_2_1_the_same_message_gives_the_same_bytes_whatever_came_before() {
    for window in [Window::Large, Window::Small] {
        let mut used = deflater(3, 0);
        let mut append = |message: &[u8]| {
            let mut frame = Vec::new();
            assert!(used.append_message(window, Kind::Binary, message, &mut frame));
            frame
        };
        append(&vec![b'x'; 100_000]);
        for message in messages() {
            let mut expected = Vec::new();
            deflater(3, 0).append_message(window, Kind::Binary, &message, &mut expected);
            assert!(append(&message) == expected, "{} bytes", message.len());
            assert!(append(&message) == expected, "{} bytes, again", message.len());
        }
    }
}

#[test]
fn s7_2_1_without_an_agreement_nothing_is_compressed() {
    for role in ROLES {
        let message = vec![b'x'; 1_000];
        let sent = role.open_plain().sent(Kind::Text, &message, &mut deflater(9, 0));
        assert_eq!(sent, (0x81, message));
    }
}

#[test]
fn rfc6455_s5_3_a_client_masks_what_it_has_compressed_with_a_key_of_its_own() {
    let mut client = Role::Client.open(FORGETFUL);
    let mut deflater = deflater(6, 0);
    let sent = client.sent(Kind::Text, b"Hello", &mut deflater);
    assert_eq!(sent, (0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00".to_vec()), "behind the mask");
    let first = client.sent_frame(Kind::Text, b"Hello", &mut deflater);
    let second = client.sent_frame(Kind::Text, b"Hello", &mut deflater);
    assert_eq!(first[..2], [0xc1, 0x87]);
    assert_ne!(first[2..6], second[2..6], "a key for each frame");
    assert_eq!(first.len(), 2 + 4 + 7);
}

// ---- §7.1.2: the window with which we compress -------------------------------------------------------------------------

#[test]
fn s7_1_2_with_a_small_window_we_refer_to_nothing_further_back_than_it_reaches() {
    for role in ROLES {
        let mut deflater = deflater(9, 1);
        for bits in [9, 10, 14, 15] {
            let mut end = role.open(role.own_window(bits, FORGETFUL));
            // Half of it repeats the other half, and nothing else repeats.
            let near = noise(200).repeat(2);
            let (first, payload) = end.sent(Kind::Binary, &near, &mut deflater);
            assert_eq!((first, inflated_by_another(bits, &payload)), (0xc2, Some(near)));
            for distance in [513, 600, 1_025, 16_385] {
                let far = noise(distance).repeat(2);
                let (first, payload) = end.sent(Kind::Binary, &far, &mut deflater);
                if bits == 15 {
                    assert!(first == 0xc2 && payload.len() < distance + distance / 2, "only now it is seen");
                } else {
                    assert!((first, &payload) == (0x82, &far), "{bits} bits: it does not get smaller");
                }
            }
        }
    }
}

#[test]
fn s7_1_2_2_a_client_whose_window_can_be_had_from_nobody_compresses_nothing() {
    let mut client = Role::Client.open(Role::Client.own_window(8, FORGETFUL));
    let message = vec![b'x'; 1_000];
    assert_eq!(client.sent(Kind::Text, &message, &mut deflater(9, 0)), (0x81, message));
    // What comes is another matter.
    assert_eq!(client.receive_frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), [text("Hello")]);
}
