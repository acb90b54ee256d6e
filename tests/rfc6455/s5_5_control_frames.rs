//! §5.5: Ping, Pong, and what all control frames have in common.

use crate::peer::{Peer, Seen, masked, text};
use fanwire::limits::OWN_BYTES_MARK;
use fanwire::protocol::{Closure, Opcode, ProtocolError};

#[test]
fn s5_5_a_ping_of_125_bytes_is_answered() {
    let mut server = Peer::server();
    assert_eq!(server.receive(&masked(true, Opcode::Ping, &[b'x'; 125])), []);
    assert_eq!(server.out, [b"\x8a\x7d".as_slice(), &[b'x'; 125]].concat());
}

#[test]
fn s5_5_a_control_frame_of_126_bytes_fails_the_connection_with_1002() {
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        assert_eq!(
            Peer::server().fail_by(&masked(true, opcode, &[b'x'; 126])),
            ProtocolError::ControlFrameTooLong
        );
    }
}

#[test]
fn s5_5_a_fragmented_control_frame_fails_the_connection_with_1002() {
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        assert_eq!(
            Peer::server().fail_by(&masked(false, opcode, b"")),
            ProtocolError::FragmentedControlFrame
        );
    }
}

#[test]
fn s5_5_2_every_ping_is_answered_with_its_payload_in_order() {
    let mut server = Peer::server();
    let bytes = [
        masked(true, Opcode::Ping, b""),
        masked(true, Opcode::Ping, b"\xff\0"),
        masked(true, Opcode::Ping, b"c"),
    ];
    assert_eq!(server.receive(&bytes.concat()), []);
    assert_eq!(server.out, b"\x8a\x00\x8a\x02\xff\0\x8a\x01c");
}

#[test]
fn s5_5_2_a_ping_may_come_byte_by_byte() {
    let mut server = Peer::server();
    for byte in masked(true, Opcode::Ping, b"abc") {
        assert_eq!(server.receive(&[byte]), []);
    }
    assert_eq!(server.out, b"\x8a\x03abc");
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn s5_5_2_a_client_answers_too_and_masks() {
    let mut client = Peer::client();
    assert_eq!(client.receive(b"\x89\x02ab"), []);
    assert_eq!(client.out[..2], [0x8a, 0x82]);
    assert_eq!(client.out[6..], [b'a' ^ client.out[2], b'b' ^ client.out[3]]);
}

#[test]
fn s5_5_3_an_unsolicited_pong_is_ignored_and_free() {
    let mut server = Peer::server();
    assert_eq!(server.receive(&masked(true, Opcode::Pong, b"whatever").repeat(1000)), []);
    assert_eq!((server.out.len(), server.connection.held_bytes()), (0, 0));
}

#[test]
fn s5_5_3_a_congested_peer_gets_the_pong_of_its_latest_ping_only() {
    let mut server = Peer::server();
    server.connection.set_congested(true, &mut server.out);
    server.receive(&[masked(true, Opcode::Ping, b"a"), masked(true, Opcode::Ping, b"b")].concat());
    assert_eq!(
        server.receive(&masked(true, Opcode::Text, b"hi")),
        [text("hi")],
        "messages are read all the same"
    );
    assert_eq!(server.out, b"");
    server.connection.set_congested(false, &mut server.out);
    assert_eq!(server.out, b"\x8a\x01b");
    assert_eq!(server.connection.held_bytes(), 0);
    server.connection.set_congested(false, &mut server.out);
    assert_eq!(server.out, b"\x8a\x01b", "once");
    server.receive(&masked(true, Opcode::Ping, b"c"));
    assert_eq!(server.out, b"\x8a\x01b\x8a\x01c");
}

#[test]
fn s5_5_3_pongs_within_one_call_stop_at_the_mark() {
    let mut server = Peer::server();
    let pings = masked(true, Opcode::Ping, &[0; 125]).repeat(10_000);
    assert_eq!(server.receive(&pings), []);
    assert!(
        server.out.len() > OWN_BYTES_MARK && server.out.len() <= OWN_BYTES_MARK + 127,
        "{}",
        server.out.len()
    );
    server.out.clear();
    server.connection.set_congested(false, &mut server.out);
    assert_eq!(server.out.len(), 127);
}

#[test]
fn s5_5_3_a_pong_that_waits_is_given_up_when_a_later_ping_is_answered() {
    let mut server = Peer::server();
    server.out.resize(OWN_BYTES_MARK + 1, 0);
    server.receive(&masked(true, Opcode::Ping, b"a"));
    server.out.clear();
    server.receive(&masked(true, Opcode::Ping, b"b"));
    server.connection.set_congested(false, &mut server.out);
    assert_eq!(server.out, b"\x8a\x01b");
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn s5_5_3_as_much_as_the_mark_may_wait_unwritten_before_a_ping_does() {
    for (waiting, pong) in [(OWN_BYTES_MARK, &b"\x8a\x01x"[..]), (OWN_BYTES_MARK + 1, b"")] {
        let mut server = Peer::server();
        server.out.resize(waiting, 0);
        server.receive(&masked(true, Opcode::Ping, b"x"));
        assert_eq!(&server.out[waiting..], pong);
    }
}

#[test]
fn s5_5_1_a_close_frame_ends_the_connection_between_fragments_too() {
    let mut server = Peer::server();
    let bytes = [masked(false, Opcode::Text, b"a"), masked(true, Opcode::Close, b"")].concat();
    assert!(matches!(server.receive(&bytes)[..], [Seen::Closed(Closure::Agreed(None, _))]));
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn s5_5_2_a_caller_sends_pings_of_at_most_125_bytes() {
    let mut server = Peer::server();
    assert!(server.connection.send_ping(b"x", &mut server.out));
    assert!(!server.connection.send_ping(&[0; 126], &mut server.out));
    assert_eq!(server.out, b"\x89\x01x");
}
