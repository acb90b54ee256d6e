//! §5.2: the frame's header.

use crate::peer::{Peer, Seen, masked};
use fanwire::limits::Limits;
use fanwire::protocol::{Kind, Opcode, ProtocolError};

#[test]
fn s5_2_each_length_takes_the_fewest_bytes() {
    for (len, header) in [
        (0, vec![0x82, 0]),
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (0xffff, vec![0x82, 126, 0xff, 0xff]),
        (0x10000, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = vec![7; len];
        let mut server = Peer::server();
        server.connection.send(Kind::Binary, &payload, &mut server.out);
        assert_eq!(server.out[..header.len()], header);
        assert_eq!(server.out.len(), header.len() + len);
        assert_eq!(Peer::client().receive(&server.out), [Seen::Binary(payload.clone())]);
        assert_eq!(Peer::server().receive(&masked(true, Opcode::Binary, &payload)), [Seen::Binary(payload)]);
    }
}

#[test]
fn s5_2_a_length_that_is_not_minimal_fails_the_connection_with_1002() {
    assert_eq!(
        Peer::server().fail_by(b"\x82\xfe\x00\x7d"),
        ProtocolError::LengthNotMinimal,
        "125 in 16 bits"
    );
    assert_eq!(
        Peer::server().fail_by(b"\x82\xff\0\0\0\0\0\0\xff\xff"),
        ProtocolError::LengthNotMinimal,
        "65535 in 64 bits"
    );
    assert_eq!(Peer::server().fail_by(b"\x82\xff\0\0\0\0\0\0\0\0"), ProtocolError::LengthNotMinimal);
}

#[test]
fn s5_2_a_length_of_64_bits_fails_the_connection_with_1002_and_one_of_63_is_too_big() {
    assert_eq!(Peer::server().fail_by(b"\x82\xff\x80\0\0\0\0\0\0\0"), ProtocolError::LengthOver63Bits);
    assert_eq!(
        Peer::server().fail_by(b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ProtocolError::LengthOver63Bits
    );
    let largest = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(Peer::server().fail_by(largest), ProtocolError::MessageTooBig);
}

#[test]
fn s5_2_reserved_bits_fail_the_connection_with_1002() {
    for bit in [0x40, 0x20, 0x10, 0x70] {
        assert_eq!(Peer::server().fail_by(&[0x81 | bit, 0x80, 0, 0, 0, 0]), ProtocolError::ReservedBits);
        assert_eq!(Peer::server().fail_by(&[0x89 | bit, 0x80, 0, 0, 0, 0]), ProtocolError::ReservedBits);
    }
    assert_eq!(Peer::server().receive(&[0x81, 0x80, 0, 0, 0, 0]), [Seen::Text(String::new())]);
}

#[test]
fn s5_2_reserved_opcodes_fail_the_connection_at_their_first_byte_with_1002() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_eq!(Peer::server().fail_by(&[0x80 | opcode]), ProtocolError::ReservedOpcode);
        assert_eq!(Peer::server().fail_by(&[opcode, 0x80, 0, 0, 0, 0]), ProtocolError::ReservedOpcode);
    }
}

#[test]
fn s5_2_many_frames_in_one_input_come_out_one_by_one() {
    let bytes = [
        masked(true, Opcode::Text, b"a"),
        masked(true, Opcode::Binary, b""),
        masked(true, Opcode::Text, b"c"),
    ];
    let seen = [Seen::Text("a".into()), Seen::Binary(vec![]), Seen::Text("c".into())];
    assert_eq!(Peer::server().receive(&bytes.concat()), seen);
}

#[test]
fn s5_2_a_frame_may_come_byte_by_byte() {
    for len in [0, 1, 125, 126, 0x10000] {
        let payload = vec![b'x'; len];
        let mut server = Peer::server();
        let frame = masked(true, Opcode::Text, &payload);
        let seen = frame.iter().flat_map(|byte| server.receive(&[*byte])).collect::<Vec<_>>();
        assert_eq!(seen, [Seen::Text("x".repeat(len))]);
        assert_eq!(server.connection.held_bytes(), 0, "nothing is kept of a message that is over");
    }
}

#[test]
fn s5_2_a_declared_length_allocates_nothing() {
    let limits = Limits { message_bytes_max: 1 << 30, ..Limits::default() };
    let mut server = Peer::server_with(limits);
    assert_eq!(server.receive(b"\x82\xff\0\0\0\0\x3f\xff\xff\xff\0\0\0\0abc"), []);
    assert!(server.connection.held_bytes() <= 256, "{}", server.connection.held_bytes());
}
