//! While nothing happens the loop does not turn, whatever state its clients are in.

use crate::client::{Client, Raw, masked, upgrade};
use crate::process::Process;
use std::io::Write;
use std::thread;
use std::time::Duration;

#[test]
fn idle_half_closed_blocked_and_paused_peers_turn_no_loop() {
    let (process, address) = Process::serve(&["--workers", "2", "--echo", "--send-buffer", "16384"]);
    let _idle: Vec<Client> = (0..10).map(|_| Client::connect(address, "/ws")).collect();
    let mut in_its_handshake = Raw::connect(address);
    in_its_handshake.send(&upgrade("/ws").as_bytes()[..40]);
    let mut in_a_frame = Raw::upgraded(address, "/ws");
    in_a_frame.send(&masked(0x81, b"hello")[..3]);
    // It has got the server's end and keeps its own open.
    let mut closed = Raw::upgraded(address, "/ws");
    closed.send(masked(0x88, b"\x03\xe8"));
    assert_eq!(closed.close_frame().0, 1000);
    let mut half_closed = Raw::upgraded(address, "/ws");
    half_closed.shut_down();
    // A subscriber that is blocked, within its limit.
    let blocked = Client::with_receive_buffer(address, "/ws/busy", 8 << 10);
    let mut publisher = Client::connect(address, "/ws/busy");
    for _ in 0..10 {
        publisher.send(&"x".repeat(100_000));
        publisher.text();
    }
    // A peer that is paused, with bytes in its socket that are not read.
    let paused = Client::with_receive_buffer(address, "/echo", 8 << 10);
    let mut hand = paused.second_hand();
    hand.set_nonblocking(true).expect("a socket");
    let echo = masked(0x82, &[7; 1_000]).repeat(100);
    while hand.write(&echo).is_ok() {}
    publisher.send("the last thing that happens");
    publisher.text();

    let before = process.cpu_ticks();
    thread::sleep(Duration::from_secs(1));
    let spent = process.cpu_ticks() - before;
    assert!(spent < 10, "{spent} ticks of 10 ms for a second in which nothing happened");
    drop((in_its_handshake, in_a_frame, closed, half_closed, blocked, paused));
}
