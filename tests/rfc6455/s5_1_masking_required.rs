//! §5.1: a client masks all its frames, a server none.

use crate::peer::Seen;
use crate::peer::{Peer, masked, text, unmasked};
use fanwire::protocol::{CloseCode, CloseReason, Closure, Kind, Opcode, ProtocolError, Time, Wants};

#[test]
fn s5_1_a_masked_frame_of_a_client_is_read() {
    assert_eq!(Peer::server().receive(b"\x81\x82\0\0\0\0hi"), [text("hi")]);
}

#[test]
fn s5_1_an_unmasked_frame_of_a_client_fails_the_connection_with_1002() {
    assert_eq!(Peer::server().fail_by(b"\x81\x02hi"), ProtocolError::Unmasked);
    assert_eq!(Peer::server().fail_by(b"\x89\x00"), ProtocolError::Unmasked);
    assert_eq!(Peer::server().fail_by(b"\x88\x02\x03\xe8"), ProtocolError::Unmasked, "a Close frame too");
}

#[test]
fn s5_1_an_unmasked_frame_of_a_server_is_read() {
    assert_eq!(Peer::client().receive(b"\x81\x02hi"), [text("hi")]);
}

#[test]
fn s5_1_a_masked_frame_of_a_server_fails_the_connection_with_1002() {
    let mut client = Peer::client();
    let seen = client.receive(b"\x81\x82\0\0\0\0hi");
    assert_eq!(seen, [Seen::Closed(Closure::Failed(ProtocolError::Masked))]);
    assert_eq!(client.connection.wants(), Wants::FlushThenShutdown);
    assert_eq!(client.out[0], 0x88);
    assert_eq!(client.out[1] & 0x80, 0x80, "the client's own Close frame is masked");
}

#[test]
fn s5_1_a_server_sends_unmasked_and_a_client_masked() {
    let mut server = Peer::server();
    assert!(server.connection.send(Kind::Binary, b"\x01\x02", &mut server.out));
    assert_eq!(server.out, b"\x82\x02\x01\x02");
    let mut client = Peer::client();
    assert!(client.connection.send(Kind::Binary, b"\x01\x02", &mut client.out));
    assert_eq!(client.out[..2], [0x82, 0x82]);
    assert_eq!(client.out[6..], [1 ^ client.out[2], 2 ^ client.out[3]]);
    assert_eq!(Peer::server().receive(&client.out), [Seen::Binary(vec![1, 2])]);
}

#[test]
fn s5_1_a_client_masks_its_control_frames_whatever_they_are_for() {
    type Deed = fn(&mut Peer);
    let deeds: [(&str, Deed); 5] = [
        ("a Ping into silence", |client| {
            client.connection.handle_timeout(Time(30_000), &mut client.out);
        }),
        ("a Close frame after silence", |client| {
            client.connection.handle_timeout(Time(75_000), &mut client.out);
        }),
        ("a Ping of the caller's", |client| {
            client.connection.send_ping(b"x", &mut client.out);
        }),
        ("a Close frame of the caller's that awaits no answer", |client| {
            let Peer { connection, out, now } = client;
            connection.fail(CloseCode::INTERNAL_ERROR, &CloseReason::none(), *now, out);
        }),
        ("a Pong that had to wait", |client| {
            client.connection.set_congested(true, &mut client.out);
            client.receive(b"\x89\x01x");
            client.connection.set_congested(false, &mut client.out);
        }),
    ];
    for (deed, does) in deeds {
        let mut client = Peer::client();
        does(&mut client);
        let [first, second, ..] = client.out[..] else { panic!("{deed} is sent") };
        assert_eq!((first & 0x88, second & 0x80), (0x88, 0x80), "{deed}");
    }
}

#[test]
fn s5_1_every_kind_of_frame_must_be_masked() {
    for opcode in
        [Opcode::Text, Opcode::Binary, Opcode::Continuation, Opcode::Ping, Opcode::Pong, Opcode::Close]
    {
        assert_eq!(
            Peer::server().fail_by(&unmasked(true, opcode, b"")),
            ProtocolError::Unmasked,
            "{opcode:?}"
        );
    }
    assert_eq!(Peer::server().receive(&masked(true, Opcode::Pong, b"")), []);
}
