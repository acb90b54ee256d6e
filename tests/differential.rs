//! Our `Connection` against tungstenite on the same bytes: the law in `fuzz/laws/against_tungstenite.rs`, driven by
//! proptest and by the kept corpus of its fuzz target, and each exception that it knows on an input that needs it.

#[path = "../fuzz/laws/against_tungstenite.rs"]
mod against_tungstenite;
mod kept;

use against_tungstenite::{Exception, LIMITS, LengthForm, WireFrame, agree, we_agree_with_tungstenite};
use tungstenite::protocol::Role;

// ==== The exceptions =================================================================================================

/// Agrees on a stream that comes whole, to the smaller limit.
fn agree_on(role: Role, stream: &[u8]) -> Option<Exception> {
    agree(role, LIMITS[0], &[stream])
}

#[test]
fn messages_pongs_closes_and_plain_failures_need_no_exception() {
    for stream in [
        b"\x81\x05hello\x82\x02\xff\x00".as_slice(),
        b"\x01\x01\xc3\x89\x04ping\x00\x00\x8a\x00\x80\x01\xa9",
        b"\x88\x00",
        b"\x88\x05\x03\xe8bye",
        b"\x88\x02\x0f\xa0\x81\x05after",
        b"\x83\x00",
        b"\xc1\x00",
        b"\x81\x80\x00\x00\x00\x00",
        b"\x09\x00",
        b"\x80\x00",
        b"\x01\x00\x81\x00",
        b"\x88\x01\x03",
        b"\x88\x03\x03\xe8\xff",
        b"\x81\x01\xff",
        b"\x82\x7e\x01\x2d",
        b"\x81\x05hel",
        b"",
    ] {
        assert_eq!(agree_on(Role::Client, stream), None, "{stream:02x?}");
    }
    assert_eq!(agree_on(Role::Server, b"\x81\x85\x01\x02\x03\x04ignhn"), None);
    assert_eq!(agree_on(Role::Server, b"\x81\x00"), None, "not masked");
}

#[test]
fn s8_1_we_fail_before_the_frame_is_whole() {
    assert_eq!(agree_on(Role::Client, b"\x81\x05ab\xff"), Some(Exception::FailsEarlier));
    assert_eq!(agree_on(Role::Client, b"\x83"), Some(Exception::FailsEarlier));
    assert_eq!(agree_on(Role::Client, b"\xc2\x05"), Some(Exception::FailsEarlier));
    assert_eq!(agree_on(Role::Client, b"\x89\x7e\x00\x7e"), Some(Exception::FailsEarlier));
}

#[test]
fn s5_2_tungstenite_takes_lengths_that_are_not_minimal() {
    assert_eq!(agree_on(Role::Client, b"\x81\x7e\x00\x05hello"), Some(Exception::LengthNotMinimal));
    let in_64_bits = [b"\x82\x7f\0\0\0\0\0\0\x01\x00".as_slice(), &[0; 256]].concat();
    assert_eq!(agree_on(Role::Client, &in_64_bits), Some(Exception::LengthNotMinimal));
}

#[test]
fn s5_2_a_length_of_64_bits_is_too_big_to_tungstenite() {
    let stream = b"\x82\x7f\x80\0\0\0\0\0\0\0";
    assert_eq!(agree_on(Role::Client, stream), Some(Exception::LengthOver63Bits));
}

#[test]
fn s7_1_7_a_frame_that_is_wrong_in_two_ways_has_either_code() {
    for header in [b"\xc2\x7e\x01\x2d", b"\x89\x7e\x01\x2d", b"\x80\x7e\x01\x2d", b"\x02\x7e\x01\x2d"] {
        let stream = [b"\x01\x00".as_slice(), header].concat();
        let stream = if header[0] == 0x80 { header } else { &stream[..] };
        assert_eq!(agree_on(Role::Client, stream), Some(Exception::WrongTwice), "{stream:02x?}");
    }
    assert_eq!(agree_on(Role::Server, b"\x82\x7e\x01\x2d"), Some(Exception::WrongTwice));
    assert_eq!(agree_on(Role::Client, b"\x88\x03\x03\xed\xff"), Some(Exception::WrongTwice), "1005");
}

#[test]
fn s7_4_1_tungstenite_reports_a_code_that_it_refuses_as_1002() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535_u16] {
        let stream = [b"\x88\x02".as_slice(), &code.to_be_bytes()].concat();
        assert_eq!(agree_on(Role::Client, &stream), Some(Exception::CloseCodeRefused), "{code}");
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999_u16] {
        let stream = [b"\x88\x02".as_slice(), &code.to_be_bytes()].concat();
        assert_eq!(agree_on(Role::Client, &stream), None, "{code}");
    }
}

#[test]
fn s7_4_2_tungstenite_refuses_1014() {
    assert_eq!(agree_on(Role::Client, b"\x88\x05\x03\xf6why"), Some(Exception::CloseCode1014));
}

#[test]
fn s10_4_tungstenite_does_not_count_fragments() {
    let begun = |fragments: usize| [b"\x01\x00".as_slice(), &b"\x00\x00".repeat(fragments - 1)].concat();
    assert_eq!(agree_on(Role::Client, &begun(65_536)), None);
    assert_eq!(agree_on(Role::Client, &begun(65_537)), Some(Exception::TooManyFragments));
}

// ==== Proptest =======================================================================================================

mod generated {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn role() -> impl Strategy<Value = Role> {
        prop_oneof![Just(Role::Server), Just(Role::Client)]
    }

    /// Lengths of pieces, used over and over; no length at all means that the stream is not cut.
    fn cuts() -> impl Strategy<Value = Vec<usize>> {
        prop_oneof![Just(vec![]), Just(vec![1]), vec(1..20_usize, 1..6), vec(1..400_usize, 1..4)]
    }

    fn cut<'b>(stream: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        let mut rest = stream;
        for len in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*len).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        pieces
    }

    /// Text that is UTF-8, or nearly, or begins in the middle of a character.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let pieces_of_characters =
            prop_oneof![Just(b'a'), Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), Just(0x9f), any::<u8>()];
        prop_oneof![
            8 => ".{0,40}".prop_map(String::into_bytes),
            2 => vec(pieces_of_characters, 0..12),
            1 => (".{0,40}", any::<u8>(), any::<prop::sample::Index>()).prop_map(|(text, byte, index)| {
                let mut text = text.into_bytes();
                text.insert(index.index(text.len() + 1), byte);
                text
            }),
            1 => prop_oneof![Just(125), Just(126), Just(299), Just(300), Just(301), Just(65_535), Just(65_536), Just(70_000), Just(70_001)]
                .prop_map(|len| vec![b'x'; len]),
        ]
    }

    /// What a Close frame carries.
    fn close() -> impl Strategy<Value = Vec<u8>> {
        let code = prop_oneof![
            4 => Just(1000_u16), 2 => 998..1018_u16, 1 => 2998..3002_u16, 1 => 4998..5002_u16, 1 => any::<u16>()
        ];
        let reason = prop_oneof![6 => ".{0,30}".prop_map(String::into_bytes), 2 => vec(any::<u8>(), 0..8), 1 => Just(vec![b'x'; 124])];
        prop_oneof![
            8 => (code, reason).prop_map(|(code, reason)| [code.to_be_bytes().as_slice(), &reason].concat()),
            1 => vec(any::<u8>(), 0..2),
        ]
    }

    fn frame(first: u8, payload: Vec<u8>, role: Role, key: [u8; 4]) -> WireFrame {
        let masking_key = (role == Role::Server).then_some(key);
        WireFrame { first, masking_key, length: LengthForm::Minimal, missing: 0, payload }
    }

    /// A control frame that may stand between fragments.
    fn heartbeat(role: Role) -> impl Strategy<Value = WireFrame> {
        let payload = prop_oneof![4 => vec(any::<u8>(), 0..10), 1 => Just(vec![7; 125])];
        (prop_oneof![Just(0x89), Just(0x8a)], payload, any::<[u8; 4]>())
            .prop_map(move |(first, payload, key)| frame(first, payload, role, key))
    }

    /// A message in fragments, cut anywhere, with Pings and Pongs between them. All is right but, now and then, the text
    /// and the size.
    fn message(role: Role) -> impl Strategy<Value = Vec<WireFrame>> {
        let fragments = vec((0..40_usize, proptest::option::weighted(0.3, heartbeat(role))), 0..5);
        (prop_oneof![3 => Just(1_u8), 1 => Just(2)], text(), fragments, any::<[u8; 4]>()).prop_map(
            move |(mut opcode, text, fragments, key)| {
                let mut frames = Vec::new();
                let mut rest = text.as_slice();
                for (len, heartbeat) in fragments {
                    let (fragment, behind) = rest.split_at(len.min(rest.len()));
                    frames.push(frame(opcode, fragment.to_vec(), role, key));
                    frames.extend(heartbeat);
                    rest = behind;
                    opcode = 0;
                }
                frames.push(frame(0x80 | opcode, rest.to_vec(), role, key));
                frames
            },
        )
    }

    /// A frame of any kind at any place, with anything about it that may be wrong.
    fn stray(role: Role) -> impl Strategy<Value = WireFrame> {
        let first = prop_oneof![
            6 => prop_oneof![Just(0x80), Just(0x81), Just(0x82), Just(0x89), Just(0x8a), Just(0x00), Just(0x01), Just(0x02)],
            1 => any::<u8>(),
        ];
        let length = prop_oneof![
            8 => Just(LengthForm::Minimal), 1 => Just(LengthForm::In16Bits), 1 => Just(LengthForm::In64Bits)
        ];
        let missing = prop_oneof![20 => Just(0), 1 => 0..400_u64, 1 => 60_000..80_000_u64, 1 => any::<u64>()];
        let data = (first, text());
        let data = prop_oneof![6 => data, 1 => close().prop_map(|payload| (0x88, payload))];
        (data, any::<[u8; 4]>(), proptest::bool::weighted(0.03), length, missing).prop_map(
            move |((first, payload), key, wrong_mask, length, missing)| {
                let mut frame = frame(first, payload, role, key);
                if wrong_mask {
                    frame.masking_key = if role == Role::Server { None } else { Some(key) };
                }
                WireFrame { length, missing, ..frame }
            },
        )
    }

    /// What a peer sends: messages, then what may be wrong, then any bytes.
    fn stream(role: Role) -> impl Strategy<Value = Vec<u8>> {
        (vec(message(role), 0..4), vec(stray(role), 0..4), vec(any::<u8>(), 0..8)).prop_map(
            |(messages, strays, junk)| {
                let mut bytes = Vec::new();
                for frame in messages.iter().flatten().chain(&strays) {
                    frame.append(&mut bytes);
                }
                [bytes, junk].concat()
            },
        )
    }

    /// The byte at a place becomes another.
    fn damage() -> impl Strategy<Value = Option<(prop::sample::Index, u8)>> {
        proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn messages_that_are_nearly_right_and_then_anything(
            (role, mut stream) in role().prop_flat_map(|role| (Just(role), stream(role))),
            limit in prop_oneof![Just(LIMITS[0]), Just(LIMITS[1])],
            cuts in cuts(),
            damage in damage(),
        ) {
            if let (Some((place, byte)), false) = (damage, stream.is_empty()) {
                let place = place.index(stream.len());
                stream[place] = byte;
            }
            agree(role, limit, &cut(&stream, &cuts));
        }

        #[test]
        fn a_close_frame_behind_a_message(
            (role, message) in role().prop_flat_map(|role| (Just(role), message(role))),
            close in close(),
            key: [u8; 4],
            cuts in cuts(),
        ) {
            let mut stream = Vec::new();
            for frame in message.iter().chain([&frame(0x88, close, role, key)]) {
                frame.append(&mut stream);
            }
            agree(role, LIMITS[0], &cut(&stream, &cuts));
        }

        #[test]
        fn what_a_fuzzer_makes_frames_of(bytes in vec(any::<u8>(), 0..200)) {
            we_agree_with_tungstenite(&bytes);
        }
    }
}

// ==== The kept corpus ================================================================================================

#[test]
fn every_kept_input_obeys_the_law() {
    assert_eq!(kept::files("fuzz/laws"), ["against_tungstenite.rs"], "every law there is replayed here");
    kept::replay("against_tungstenite", |bytes| _ = we_agree_with_tungstenite(bytes));
}
