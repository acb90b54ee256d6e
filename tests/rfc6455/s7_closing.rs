//! §7 and §5.5.1: how a connection ends.

use crate::peer::{Peer, Seen, masked, text};
use fanwire::protocol::{CloseCode, CloseReason, Closure, Kind, Opcode, ProtocolError, Time, Wants};

fn agreed(code: u16, reason: &str) -> Seen {
    Seen::Closed(Closure::Agreed(Some(CloseCode::new(code)), CloseReason::new(reason)))
}

fn close(peer: &mut Peer, code: CloseCode, reason: &str) {
    peer.connection.close(code, &CloseReason::new(reason), peer.now, &mut peer.out);
}

#[test]
fn s5_5_1_a_close_frame_is_answered_with_its_code() {
    let mut server = Peer::server();
    assert!(!server.connection.is_over());
    assert_eq!(server.receive(&masked(true, Opcode::Close, b"\x03\xe8bye")), [agreed(1000, "bye")]);
    assert_eq!(server.out, b"\x88\x02\x03\xe8");
    assert!(server.connection.is_over());
    assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
    assert!(!server.connection.is_open());
}

#[test]
fn s5_5_1_a_close_frame_without_a_code_is_answered_without_one() {
    let mut server = Peer::server();
    let seen = server.receive(&masked(true, Opcode::Close, b""));
    assert_eq!(seen, [Seen::Closed(Closure::Agreed(None, CloseReason::none()))]);
    assert_eq!(server.out, b"\x88\x00");
}

#[test]
fn s5_5_1_a_client_answers_too_and_masks() {
    let mut client = Peer::client();
    assert_eq!(client.receive(b"\x88\x02\x03\xe9"), [agreed(1001, "")]);
    assert_eq!(Peer::server().receive(&client.out), [agreed(1001, "")]);
}

#[test]
fn s5_5_1_a_close_payload_of_one_byte_fails_the_connection_with_1002() {
    assert_eq!(
        Peer::server().fail_by(&masked(true, Opcode::Close, b"\x03")),
        ProtocolError::ClosePayloadOfOneByte
    );
}

#[test]
fn s5_5_1_a_reason_of_123_bytes_is_read() {
    let payload = [b"\x03\xe8".as_slice(), &[b'x'; 123]].concat();
    assert_eq!(
        Peer::server().receive(&masked(true, Opcode::Close, &payload)),
        [agreed(1000, &"x".repeat(123))]
    );
}

#[test]
fn s7_1_2_what_is_held_when_we_close_is_read_before_the_peers_close_frame() {
    let mut server = Peer::server();
    let frames = [masked(true, Opcode::Text, b"too late"), masked(true, Opcode::Close, b"\x03\xe8")].concat();
    let (held, rest) = frames.split_at(10);
    server.connection.hold(held);
    close(&mut server, CloseCode::GOING_AWAY, "bye");
    assert_eq!(server.connection.held_input_bytes(), 10);
    let held = server.connection.take_held();
    assert_eq!(server.receive(&held), []);
    assert_eq!(server.receive(rest), [agreed(1000, "")]);
    assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
}

#[test]
fn s7_4_codes_that_may_be_sent_are_received_and_others_fail_with_1002() {
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999_u16]
    {
        let mut server = Peer::server();
        assert_eq!(server.receive(&masked(true, Opcode::Close, &code.to_be_bytes())), [agreed(code, "")]);
        assert_eq!(server.out, [b"\x88\x02".as_slice(), &code.to_be_bytes()].concat());
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16] {
        let frame = masked(true, Opcode::Close, &code.to_be_bytes());
        assert_eq!(Peer::server().fail_by(&frame), ProtocolError::InvalidCloseCode, "{code}");
    }
}

#[test]
fn s7_1_6_a_reason_that_is_not_utf8_fails_the_connection_with_1007() {
    let frame = masked(true, Opcode::Close, b"\x03\xe8\xff");
    assert_eq!(Peer::server().fail_by(&frame), ProtocolError::CloseReasonNotUtf8);
}

#[test]
fn s7_1_2_a_close_of_ours_awaits_the_peer_s() {
    let mut server = Peer::server();
    close(&mut server, CloseCode::GOING_AWAY, "bye");
    assert_eq!(server.out, b"\x88\x05\x03\xe9bye");
    assert_eq!(server.connection.wants(), Wants::Input);
    assert_eq!(server.receive(&masked(true, Opcode::Close, b"\x03\xe9")), [agreed(1001, "")]);
    assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
    assert_eq!(server.out, b"\x88\x05\x03\xe9bye", "one Close frame is enough");
}

#[test]
fn s7_1_2_the_first_close_wins() {
    let mut server = Peer::server();
    close(&mut server, CloseCode::NORMAL, "");
    close(&mut server, CloseCode::GOING_AWAY, "later");
    assert_eq!(server.out, b"\x88\x02\x03\xe8");
}

#[test]
fn s5_5_1_nothing_is_sent_after_a_close_frame() {
    let mut server = Peer::server();
    close(&mut server, CloseCode::NORMAL, "");
    let written = server.out.clone();
    let bytes = [
        masked(true, Opcode::Ping, b"x"),
        masked(true, Opcode::Text, b"late"),
        masked(false, Opcode::Text, b""),
    ];
    assert_eq!(server.receive(&bytes.concat()), [], "messages are discarded, Pings are not answered");
    assert!(!server.connection.send(Kind::Text, b"x", &mut server.out));
    assert!(!server.connection.send_fragments(Kind::Text, [b"x".as_slice()], &mut server.out));
    assert!(!server.connection.send_ping(b"x", &mut server.out));
    server.connection.set_congested(true, &mut server.out);
    server.connection.set_congested(false, &mut server.out);
    assert_eq!(server.receive(b"\xff"), [Seen::Closed(Closure::Failed(ProtocolError::ReservedOpcode))]);
    assert_eq!(server.out, written);
}

#[test]
fn s7_1_2_half_a_frame_before_our_close_and_half_after_it_are_one_frame() {
    for (begun, opcode) in
        [(masked(true, Opcode::Text, b"hello"), "text"), (masked(true, Opcode::Ping, b"hello"), "ping")]
    {
        for cut in 1..begun.len() {
            let mut server = Peer::server();
            server.receive(&begun[..cut]);
            close(&mut server, CloseCode::NORMAL, "");
            let bytes = [&begun[cut..], &masked(true, Opcode::Close, b"\x03\xe8")].concat();
            assert_eq!(server.receive(&bytes), [agreed(1000, "")], "{opcode} cut at {cut}");
        }
    }
    let begun = masked(true, Opcode::Close, b"\x03\xe8bye");
    for cut in 1..begun.len() {
        let mut server = Peer::server();
        server.receive(&begun[..cut]);
        close(&mut server, CloseCode::NORMAL, "");
        assert_eq!(server.receive(&begun[cut..]), [agreed(1000, "bye")], "Close cut at {cut}");
    }
}

#[test]
fn s7_1_2_a_message_in_fragments_may_end_after_our_close() {
    let mut server = Peer::server();
    server.receive(&masked(false, Opcode::Text, b"a"));
    close(&mut server, CloseCode::NORMAL, "");
    assert_eq!(server.connection.held_bytes(), 0, "no half message survives");
    let bytes = [
        masked(true, Opcode::Continuation, b"b"),
        masked(true, Opcode::Text, b"c"),
        masked(true, Opcode::Close, b""),
    ];
    assert!(matches!(server.receive(&bytes.concat())[..], [Seen::Closed(Closure::Agreed(None, _))]));
}

#[test]
fn s7_1_7_the_rules_hold_after_our_close_too() {
    let mut server = Peer::server();
    close(&mut server, CloseCode::NORMAL, "");
    let seen = server.receive(&masked(true, Opcode::Continuation, b""));
    assert_eq!(seen, [Seen::Closed(Closure::Failed(ProtocolError::UnexpectedContinuation))]);
    assert_eq!(server.out, b"\x88\x02\x03\xe8");
}

#[test]
fn s7_1_7_what_follows_a_violation_or_a_close_is_discarded() {
    let mut server = Peer::server();
    let bytes =
        [masked(true, Opcode::Text, b"a"), b"\xff".to_vec(), masked(true, Opcode::Text, b"b")].concat();
    assert_eq!(
        server.receive(&bytes),
        [text("a"), Seen::Closed(Closure::Failed(ProtocolError::ReservedOpcode))]
    );
    let written = server.take_out();
    assert_eq!(server.receive(&masked(true, Opcode::Close, b"")), []);
    assert_eq!((written.is_empty(), server.out.is_empty()), (false, true));
    let mut server = Peer::server();
    let bytes = [masked(true, Opcode::Close, b""), masked(true, Opcode::Ping, b"")].concat();
    assert_eq!(server.receive(&bytes).len(), 1);
    assert_eq!(server.out, b"\x88\x00");
}

#[test]
fn s7_1_7_a_caller_fails_a_connection_without_waiting() {
    let mut server = Peer::server();
    let closure = server.connection.fail(
        CloseCode::POLICY_VIOLATION,
        &CloseReason::new("slow"),
        server.now,
        &mut server.out,
    );
    assert_eq!(closure, Some(Closure::Dropped(CloseCode::POLICY_VIOLATION)));
    assert_eq!(server.out, b"\x88\x06\x03\xf0slow");
    assert_eq!(server.connection.wants(), Wants::FlushThenShutdown);
    let again = server.connection.fail(CloseCode::NORMAL, &CloseReason::none(), server.now, &mut server.out);
    assert_eq!((again, server.out.len()), (None, 8));
    assert_eq!(server.receive(&masked(true, Opcode::Close, b"\x03\xf0")), [], "the end was told already");
}

#[test]
fn s7_1_7_a_caller_may_fail_a_closing_handshake() {
    let mut server = Peer::server();
    close(&mut server, CloseCode::NORMAL, "");
    let closure = server.connection.fail(
        CloseCode::POLICY_VIOLATION,
        &CloseReason::none(),
        server.now,
        &mut server.out,
    );
    assert_eq!(closure, Some(Closure::Dropped(CloseCode::POLICY_VIOLATION)));
    assert_eq!(server.out, b"\x88\x02\x03\xe8", "our Close frame is out already");
}

#[test]
fn s7_4_1_codes_that_are_only_reported_are_not_sent() {
    for (code, frame) in [
        (CloseCode::NO_STATUS, b"\x88\x00".as_slice()),
        (CloseCode::ABNORMAL, b"\x88\x02\x03\xf3"),
        (CloseCode::TLS_HANDSHAKE, b"\x88\x02\x03\xf3"),
        (CloseCode::new(5000), b"\x88\x02\x03\xf3"),
    ] {
        let mut server = Peer::server();
        close(&mut server, code, "");
        assert_eq!(server.out, frame, "{code}");
    }
}

#[test]
fn s7_1_5_an_end_without_a_close_frame_is_a_lost_connection() {
    let mut server = Peer::server();
    server.receive(&masked(false, Opcode::Text, b"half"));
    assert_eq!(server.connection.receive_eof(server.now).map(Seen::from), Some(Seen::Closed(Closure::Lost)));
    assert_eq!(server.connection.wants(), Wants::Nothing);
    assert_eq!(server.connection.receive_eof(server.now), None);
    let mut server = Peer::server();
    close(&mut server, CloseCode::NORMAL, "");
    assert_eq!(server.connection.receive_eof(server.now).map(Seen::from), Some(Seen::Closed(Closure::Lost)));
}

#[test]
fn s7_1_1_after_the_closing_handshake_the_peer_s_end_is_awaited() {
    let mut server = Peer::server();
    server.receive(&masked(true, Opcode::Close, b""));
    assert_eq!(server.connection.deadline(), Some(Time(5_000)));
    assert_eq!(server.connection.receive_eof(Time(1)), None, "the end was told already");
    assert_eq!((server.connection.wants(), server.connection.deadline()), (Wants::Nothing, None));
}
