//! What happens when nothing does. The RFC leaves it to implementations; §5.5.2 names Pings as a keepalive.

use crate::peer::{Peer, REQUEST, Seen, masked};
use fanwire::limits::Limits;
use fanwire::protocol::{
    Agreement, ClientRequest, CloseCode, CloseReason, Closure, Opcode, Time, Timeout, Wants,
};

const LIMITS: Limits = Limits {
    message_bytes_max: 1 << 20,
    outbox_bytes_max: 1 << 21,
    handshake_timeout_ms: 100,
    ping_interval_ms: 30,
    idle_timeout_ms: 75,
    close_timeout_ms: 50,
};

fn expire(peer: &mut Peer, at: u32) -> Option<Seen> {
    peer.connection.handle_timeout(Time(at), &mut peer.out).map(Seen::from)
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be nothing")]
fn timed_out(timeout: Timeout) -> Option<Seen> {
    Some(Seen::Closed(Closure::TimedOut(timeout)))
}

#[test]
fn a_handshake_has_one_deadline_that_drips_do_not_move() {
    let mut server = Peer::connecting_server(LIMITS);
    for (ms, byte) in (0..100).zip(REQUEST) {
        server.now = Time(ms);
        server.receive(&[*byte]);
        assert_eq!((server.connection.deadline(), expire(&mut server, ms)), (Some(Time(100)), None));
    }
    assert_eq!(expire(&mut server, 100), timed_out(Timeout::Handshake));
    assert!(server.out.starts_with(b"HTTP/1.1 408 Request Timeout\r\n"));
    assert_eq!(
        (server.connection.wants(), server.connection.deadline()),
        (Wants::FlushThenShutdown, Some(Time(150)))
    );
}

#[test]
fn a_handshake_that_waits_for_us_ends_in_503() {
    let mut server = Peer::connecting_server(LIMITS);
    server.receive(REQUEST);
    assert_eq!(expire(&mut server, 99), None);
    assert_eq!(expire(&mut server, 100), timed_out(Timeout::Handshake));
    assert!(server.out.starts_with(b"HTTP/1.1 503 Service Unavailable\r\n"));
}

#[test]
fn the_503_has_a_body_unless_only_its_head_was_asked_for() {
    let ended_by = |method: &str| {
        let mut server = Peer::connecting_server(LIMITS);
        let request = str::from_utf8(REQUEST).unwrap().replacen("GET", method, 1);
        server.receive(request.as_bytes());
        expire(&mut server, 100);
        String::from_utf8(server.take_out()).unwrap()
    };
    assert!(ended_by("GET").ends_with("\r\n\r\nthe server did not get ready in time\n"));
    assert!(ended_by("HEAD").ends_with("\r\n\r\n"));
}

#[test]
fn without_an_idle_timeout_a_quiet_peer_is_pinged_for_ever() {
    let mut server = Peer::server_with(Limits { idle_timeout_ms: 0, ..LIMITS });
    for ping in 1..=100 {
        assert_eq!(expire(&mut server, 30 * ping), None);
        assert_eq!(server.take_out(), b"\x89\x00");
    }
}

#[test]
fn a_client_gives_up_a_handshake_in_silence() {
    let mut client = Peer::connecting_client(ClientRequest::new("a", "/").unwrap());
    client.take_out();
    let deadline = Limits::default().handshake_timeout_ms;
    assert_eq!(expire(&mut client, deadline), timed_out(Timeout::Handshake));
    assert_eq!((client.connection.wants(), client.out.len()), (Wants::Nothing, 0));
}

#[test]
fn a_quiet_peer_gets_a_ping_each_interval_and_is_closed_at_the_idle_timeout() {
    let mut server = Peer::server_with(LIMITS);
    assert_eq!((server.connection.deadline(), expire(&mut server, 29)), (Some(Time(30)), None));
    assert_eq!(server.out, b"");
    assert_eq!(expire(&mut server, 30), None);
    assert_eq!(server.take_out(), b"\x89\x00");
    assert_eq!((server.connection.deadline(), expire(&mut server, 60)), (Some(Time(60)), None));
    assert_eq!(server.take_out(), b"\x89\x00");
    assert_eq!(server.connection.deadline(), Some(Time(75)));
    assert_eq!(expire(&mut server, 75), timed_out(Timeout::Idle));
    assert_eq!(server.out, b"\x88\x20\x03\xf0idle: no byte came for 0.075 s");
    assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
}

#[test]
fn any_byte_is_a_sign_of_life_a_stalled_frame_is_none() {
    let mut server = Peer::server_with(LIMITS);
    server.now = Time(20);
    server.receive(&masked(true, Opcode::Pong, b""));
    assert_eq!(server.connection.deadline(), Some(Time(50)));
    server.now = Time(40);
    server.receive(b"\x81");
    assert_eq!(server.connection.deadline(), Some(Time(70)), "one byte of a header counts");
    server.receive(b"");
    assert_eq!(expire(&mut server, 115), timed_out(Timeout::Idle), "and then nothing came");
}

#[test]
fn a_peer_that_was_not_read_counts_as_alive_if_the_caller_says_so() {
    let mut server = Peer::server_with(LIMITS);
    server.connection.heard(Time(70));
    assert_eq!(expire(&mut server, 75), None);
    assert_eq!((server.connection.deadline(), server.out.len()), (Some(Time(100)), 0));
}

#[test]
fn a_peer_that_is_excused_gets_the_ping_that_is_due_and_the_whole_idle_timeout() {
    let mut server = Peer::server_with(LIMITS);
    server.connection.excuse(Time(500));
    assert_eq!((expire(&mut server, 500), server.take_out()), (None, b"\x89\x00".to_vec()));
    assert_eq!((expire(&mut server, 574), server.take_out()), (None, b"\x89\x00".to_vec()));
    assert_eq!(expire(&mut server, 575), timed_out(Timeout::Idle));
}

#[test]
fn the_idle_timeout_may_be_shorter_than_the_ping_interval() {
    let mut server = Peer::server_with(Limits { ping_interval_ms: 100, ..LIMITS });
    assert_eq!(server.connection.deadline(), Some(Time(75)));
    assert_eq!(expire(&mut server, 75), timed_out(Timeout::Idle));
}

#[test]
fn zero_turns_handshake_ping_and_idle_off() {
    let off = Limits { handshake_timeout_ms: 0, ping_interval_ms: 0, idle_timeout_ms: 0, ..LIMITS };
    let mut server = Peer::connecting_server(off);
    assert_eq!((server.connection.deadline(), expire(&mut server, 1 << 30)), (None, None));
    server.receive(REQUEST);
    assert_eq!(server.connection.deadline(), None);
    server.connection.accept(Agreement::default(), server.now, &mut server.out);
    assert_eq!((server.connection.deadline(), expire(&mut server, 1 << 30)), (None, None));
}

#[test]
fn a_peer_that_does_not_answer_our_close_is_waited_for_no_longer() {
    let mut server = Peer::server_with(LIMITS);
    server.connection.close(CloseCode::NORMAL, &CloseReason::none(), Time(10), &mut server.out);
    assert_eq!((server.connection.deadline(), expire(&mut server, 59)), (Some(Time(60)), None));
    server.now = Time(59);
    server.receive(&masked(true, Opcode::Text, b"still here"));
    assert_eq!(
        expire(&mut server, 60),
        timed_out(Timeout::Close),
        "what is not a Close frame extends nothing"
    );
    assert_eq!((server.connection.wants(), server.connection.deadline()), (Wants::Nothing, None));
}

#[test]
fn a_peer_that_does_not_close_tcp_is_waited_for_no_longer_and_told_once() {
    let mut server = Peer::server_with(LIMITS);
    server.now = Time(10);
    assert_eq!(server.receive(&masked(true, Opcode::Close, b"")).len(), 1);
    assert_eq!((server.connection.deadline(), expire(&mut server, 60)), (Some(Time(60)), None));
    assert_eq!(server.connection.wants(), Wants::Nothing);
}

#[test]
fn a_close_timeout_of_zero_waits_for_nobody() {
    let mut server = Peer::server_with(Limits { close_timeout_ms: 0, ..LIMITS });
    server.connection.close(CloseCode::NORMAL, &CloseReason::none(), Time(10), &mut server.out);
    assert_eq!(server.connection.deadline(), Some(Time(10)));
    assert_eq!(expire(&mut server, 10), timed_out(Timeout::Close));
}

#[test]
fn deadlines_hold_across_the_wrap_of_time() {
    let mut server = Peer::server_with(LIMITS);
    server.now = Time(u32::MAX - 9);
    server.receive(&masked(true, Opcode::Pong, b""));
    assert_eq!((server.connection.deadline(), expire(&mut server, u32::MAX)), (Some(Time(20)), None));
    assert_eq!(expire(&mut server, 20), None);
    assert_eq!(server.out, b"\x89\x00");
}

#[test]
fn s5_5_3_a_pong_says_how_long_a_ping_took_if_nothing_came_in_between() {
    let mut server = Peer::server_with(LIMITS);
    let answer_at = |server: &mut Peer, ms: u32, frame: &[u8]| {
        server.now = Time(ms);
        server.receive(frame);
        server.connection.rtt_ms()
    };
    let (pong, message) = (masked(true, Opcode::Pong, b""), masked(true, Opcode::Binary, b"hi"));
    assert_eq!(answer_at(&mut server, 5, &pong), None, "it answers nothing");
    assert_eq!(expire(&mut server, 35), None);
    assert_eq!(server.take_out(), b"\x89\x00");
    assert_eq!(answer_at(&mut server, 52, &pong), Some(17));
    assert_eq!(expire(&mut server, 82), None);
    assert_eq!(answer_at(&mut server, 90, &message), Some(17));
    assert_eq!(answer_at(&mut server, 95, &pong), Some(17), "nobody knows when it was sent");
    assert_eq!(expire(&mut server, 125), None);
    assert_eq!(answer_at(&mut server, 125, &pong), Some(0));
}
