//! §5.6: text and binary, and where a message's bytes are.

use crate::peer::{Peer, Seen, masked, text};
use fanwire::protocol::{Event, Kind, Message, Opcode, Payload};

#[test]
fn s5_6_text_and_binary_are_told_apart() {
    assert_eq!(Peer::server().receive(&masked(true, Opcode::Text, "é".as_bytes())), [text("é")]);
    assert_eq!(Peer::server().receive(&masked(true, Opcode::Binary, b"\xff")), [Seen::Binary(vec![0xff])]);
}

#[test]
fn s5_6_a_message_in_one_frame_and_one_input_is_lent_from_there() {
    let mut server = Peer::server();
    let mut bytes = [masked(true, Opcode::Binary, b"one"), masked(true, Opcode::Text, b"two")].concat();
    let range = bytes.as_ptr_range();
    let mut input = bytes.as_mut_slice();
    for expected in [b"one", b"two"] {
        match server.connection.next_event(&mut input, server.now, &mut server.out) {
            Some(Event::Message(Message { payload: Payload::Lent(payload), .. })) => {
                assert_eq!(payload, expected);
                assert!(range.contains(&payload.as_ptr()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn s5_6_whole_messages_are_taken_in_a_row_up_to_anything_else() {
    let (one, two) = (masked(true, Opcode::Binary, b"one"), masked(true, Opcode::Text, b"two"));
    let row = [one.clone(), two.clone()].concat();
    let not_utf8 = masked(true, Opcode::Text, b"\xff");
    let begun = masked(false, Opcode::Text, b"beg");
    let unmasked = [0x81, 1, b'a'];
    for behind in [&[][..], &masked(true, Opcode::Ping, b"")[..], &not_utf8, &begun, &unmasked, &one[..8]] {
        let mut server = Peer::server();
        let mut bytes = [&row, behind].concat();
        let mut input = bytes.as_mut_slice();
        let mut taken = Vec::new();
        server.connection.take_whole_messages(&mut input, server.now, |message| {
            taken.push(Seen::from(Event::Message(message)));
        });
        assert_eq!(taken, [Seen::Binary(b"one".to_vec()), text("two")]);
        assert_eq!(input, behind, "what is left is as it came");
    }
}

#[test]
fn s5_6_no_message_is_taken_in_a_row_within_another_or_after_a_close() {
    let message = masked(true, Opcode::Binary, b"one");
    let begun = masked(false, Opcode::Text, b"beg");
    let close = masked(true, Opcode::Close, b"");
    for before in [&begun[..], &message[..1], &message[..8], &close] {
        let mut server = Peer::server();
        server.receive(before);
        let mut bytes = message.clone();
        let mut input = bytes.as_mut_slice();
        server.connection.take_whole_messages(&mut input, server.now, |message| panic!("{message:?}"));
        assert_eq!(input, message);
    }
}

#[test]
fn s5_6_a_message_whose_header_was_cut_off_is_lent_all_the_same() {
    let mut server = Peer::server();
    let mut bytes = masked(true, Opcode::Text, b"hello");
    assert_eq!(server.receive(&bytes[..6]), []);
    let mut input = &mut bytes[6..];
    let event = server.connection.next_event(&mut input, server.now, &mut server.out);
    assert!(matches!(event, Some(Event::Message(Message { payload: Payload::Lent(_), .. }))), "{event:?}");
}

#[test]
fn s5_6_a_message_that_comes_in_pieces_is_assembled() {
    let mut server = Peer::server();
    let mut bytes = masked(true, Opcode::Text, b"hello");
    assert_eq!(server.receive(&bytes[..8]), []);
    let mut input = &mut bytes[8..];
    let event = server.connection.next_event(&mut input, server.now, &mut server.out);
    let message = Message { kind: Kind::Text, payload: Payload::Assembled(b"hello".to_vec()) };
    assert!(matches!(event, Some(Event::Message(ref seen)) if *seen == message), "{event:?}");
}
