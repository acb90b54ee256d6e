//! What a connection holds between two inputs: what has come and is not finished, and nothing else.

use crate::peer::{Peer, REQUEST, Seen, masked};
use fanwire::limits::Limits;
use fanwire::protocol::Opcode;

/// Bytes that come on top of what has come, at most, while anything is unfinished.
const BOOKKEEPING: usize = 144;

#[test]
fn an_idle_connection_holds_nothing() {
    let mut server = Peer::server();
    assert_eq!(server.connection.held_bytes(), 0);
    server.receive(&masked(true, Opcode::Binary, &[1; 1000]));
    server.receive(&masked(true, Opcode::Ping, &[1; 100]));
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn a_head_is_held_until_it_is_whole() {
    let mut server = Peer::connecting_server(Limits::default());
    assert_eq!(server.connection.held_bytes(), 0);
    server.receive(&REQUEST[..100]);
    assert!((100..=256).contains(&server.connection.held_bytes()), "{}", server.connection.held_bytes());
    server.receive(&REQUEST[100..]);
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn what_follows_a_request_that_is_not_decided_is_held_if_it_is_handed_back() {
    let mut server = Peer::connecting_server(Limits::default());
    assert!(matches!(server.receive(REQUEST)[..], [Seen::Requested(_)]));
    server.connection.hold(&[1; 50]);
    assert!((50..=128).contains(&server.connection.held_bytes()), "{}", server.connection.held_bytes());
}

#[test]
fn of_a_message_what_has_come_is_held_and_of_a_control_frame_too() {
    let mut server = Peer::server();
    let message = masked(true, Opcode::Binary, &[1; 1000]);
    server.receive(&message[..508]);
    let begun = server.connection.held_bytes();
    assert!((500..=1000 + BOOKKEEPING).contains(&begun), "{begun}");
    server.receive(&message[508..]);
    assert_eq!(server.connection.held_bytes(), 0);

    let ping = masked(true, Opcode::Ping, &[1; 100]);
    server.receive(&ping[..56]);
    let in_a_ping = server.connection.held_bytes();
    assert!((50..=125 + BOOKKEEPING).contains(&in_a_ping), "{in_a_ping}");
    server.receive(&ping[56..]);
    assert_eq!(server.connection.held_bytes(), 0);

    // Between two fragments: both.
    server.receive(&masked(false, Opcode::Binary, &[1; 500]));
    let message = server.connection.held_bytes();
    server.receive(&ping[..56]);
    let both = server.connection.held_bytes();
    assert!((message + 50..=message + 125).contains(&both), "{both}");
}

#[test]
fn a_message_that_lacks_little_has_room_for_that_and_no_more() {
    let mut server = Peer::server();
    let message = masked(true, Opcode::Binary, &vec![1; 1 << 16]);
    let (most, rest) = message.split_at(message.len() - 14);
    server.receive(most);
    let begun = server.connection.held_bytes();
    assert!((1 << 16..=(1 << 16) + BOOKKEEPING).contains(&begun), "{begun}");
    server.receive(&rest[..13]);
    assert_eq!(server.connection.held_bytes(), begun, "the buffer has not moved");
    server.receive(&rest[13..]);
    assert_eq!(server.connection.held_bytes(), 0);
}

#[test]
fn a_pong_that_is_owed_is_held_until_it_may_go() {
    let mut server = Peer::server();
    server.connection.set_congested(true, &mut server.out);
    server.receive(&masked(true, Opcode::Ping, &[1; 100]));
    let owed = server.connection.held_bytes();
    assert!((100..=125 + BOOKKEEPING).contains(&owed), "{owed}");
    server.receive(&masked(false, Opcode::Binary, &[1; 500]));
    let both = server.connection.held_bytes();
    assert!((owed + 500..=owed + 1000).contains(&both), "{both}");
    server.connection.set_congested(false, &mut server.out);
    assert_eq!(server.connection.held_bytes(), both - 100);
}

#[test]
fn what_was_a_peer_s_trouble_is_not_held_when_it_is_over() {
    let mut server = Peer::server();
    server.connection.set_congested(true, &mut server.out);
    server.connection.set_congested(true, &mut server.out);
    let pong = masked(true, Opcode::Pong, b"still congested");
    server.receive(&pong[..10]);
    server.receive(&pong[10..]);
    server.receive(&masked(true, Opcode::Ping, b"is owed"));
    assert_eq!(server.out, b"", "it is known to be congested");
    server.connection.set_congested(false, &mut server.out);
    assert_eq!((server.connection.held_bytes(), &*server.out), (0, &b"\x8a\x07is owed"[..]));
}
