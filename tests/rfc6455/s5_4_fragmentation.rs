//! §5.4: messages in fragments.

use crate::peer::{Peer, Seen, masked, text};
use fanwire::limits::FRAGMENTS_MAX;
use fanwire::protocol::{Kind, Opcode, ProtocolError};

#[test]
fn s5_4_fragments_are_put_together() {
    let bytes = [
        masked(false, Opcode::Text, b"He"),
        masked(false, Opcode::Continuation, b"l"),
        masked(true, Opcode::Continuation, b"lo"),
    ];
    assert_eq!(Peer::server().receive(&bytes.concat()), [text("Hello")]);
}

#[test]
fn s5_4_fragments_may_be_empty() {
    let bytes = [
        masked(false, Opcode::Binary, b""),
        masked(false, Opcode::Continuation, b""),
        masked(true, Opcode::Continuation, b""),
        masked(true, Opcode::Text, b"next"),
    ];
    assert_eq!(Peer::server().receive(&bytes.concat()), [Seen::Binary(vec![]), text("next")]);
}

#[test]
fn s5_4_control_frames_may_stand_between_fragments() {
    let bytes = [
        masked(false, Opcode::Text, b"a"),
        masked(true, Opcode::Ping, b"now"),
        masked(true, Opcode::Pong, b""),
        masked(true, Opcode::Continuation, b"b"),
    ];
    let mut server = Peer::server();
    assert_eq!(server.receive(&bytes.concat()), [text("ab")]);
    assert_eq!(server.out, b"\x8a\x03now");
}

#[test]
fn s5_4_a_continuation_of_nothing_fails_the_connection_with_1002() {
    assert_eq!(
        Peer::server().fail_by(&masked(true, Opcode::Continuation, b"x")),
        ProtocolError::UnexpectedContinuation
    );
    assert_eq!(
        Peer::server().fail_by(&masked(false, Opcode::Continuation, b"")),
        ProtocolError::UnexpectedContinuation
    );
    let mut server = Peer::server();
    server.receive(&[masked(false, Opcode::Text, b"a"), masked(true, Opcode::Continuation, b"b")].concat());
    assert_eq!(
        server.fail_by(&masked(true, Opcode::Continuation, b"c")),
        ProtocolError::UnexpectedContinuation
    );
}

#[test]
fn s5_4_a_message_inside_another_fails_the_connection_with_1002() {
    for fin in [false, true] {
        for opcode in [Opcode::Text, Opcode::Binary] {
            let bytes = [masked(false, Opcode::Text, b""), masked(fin, opcode, b"")].concat();
            assert_eq!(Peer::server().fail_by(&bytes), ProtocolError::ContinuationExpected);
        }
    }
}

#[test]
fn s5_4_as_many_fragments_as_allowed_are_a_message_and_one_more_fails_with_1008() {
    let mut bytes = masked(false, Opcode::Binary, b"");
    let fragment = masked(false, Opcode::Continuation, b"");
    for _ in 0..FRAGMENTS_MAX - 2 {
        bytes.extend_from_slice(&fragment);
    }
    let whole = [bytes.clone(), masked(true, Opcode::Continuation, b"x")].concat();
    assert_eq!(Peer::server().receive(&whole), [Seen::Binary(b"x".to_vec())]);
    let one_more = [bytes, fragment, masked(true, Opcode::Continuation, b"x")].concat();
    assert_eq!(Peer::server().fail_by(&one_more), ProtocolError::TooManyFragments);
}

#[test]
fn s5_4_fragments_of_one_byte_cost_a_byte_each() {
    let mut server = Peer::server();
    server.receive(&masked(false, Opcode::Binary, b"x"));
    let fragment = masked(false, Opcode::Continuation, b"x");
    for _ in 0..10_000 {
        assert_eq!(server.receive(&fragment), []);
    }
    assert!(server.connection.held_bytes() <= 2 * 10_001, "{}", server.connection.held_bytes());
}

#[test]
fn s5_4_a_message_can_be_sent_in_fragments() {
    let mut server = Peer::server();
    assert!(server.connection.send_fragments(Kind::Text, [b"He".as_slice(), b"", b"llo"], &mut server.out));
    assert_eq!(server.out, b"\x01\x02He\x00\x00\x80\x03llo");
    assert_eq!(Peer::client().receive(&server.take_out()), [text("Hello")]);
    assert!(server.connection.send_fragments(Kind::Binary, [], &mut server.out));
    assert_eq!(server.out, b"\x82\x00");
}
