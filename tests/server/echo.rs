//! `--echo`: back to the sender only, at its own pace.

use crate::client::{Client, Received, masked, upgrade};
use crate::running::Running;
use fanwire::limits;
use fanwire::protocol::Kind;
use std::io::Write;
use std::thread;

#[test]
fn messages_go_back_to_their_sender_only() {
    let server = Running::start(2, |config| config.echo = true);
    let (mut ann, mut bob) = (server.client("/echo"), server.client("/echo"));
    ann.send("hello");
    ann.send_binary(b"\0\xff");
    ann.send_fragments(Kind::Text, &[b"a", b"b"]);
    assert_eq!(ann.receive(), Received::Text("hello".to_owned()));
    assert_eq!(ann.receive(), Received::Binary(b"\0\xff".to_vec()));
    assert_eq!(ann.receive(), Received::Text("ab".to_owned()));
    bob.send("mine");
    assert_eq!(bob.text(), "mine");
}

#[test]
fn echo_is_not_there_unless_it_was_asked_for() {
    let server = Running::start(1, |_| {});
    assert_eq!(server.http(upgrade("/echo")).status, 404);
}

#[test]
fn who_does_not_read_its_echoes_is_paused_and_gets_everything_when_it_reads() {
    let server = Running::start(1, |config| {
        config.echo = true;
        config.send_buffer_bytes = Some(16 << 10);
    });
    let mut lazy = Client::with_receive_buffer(server.address, "/echo", 16 << 10);
    let mut hand = lazy.second_hand();
    let (count, size) = (2_000_usize, 8 << 10);
    let message = move |number: usize| vec![number as u8; size];
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..count {
                hand.write_all(&masked(0x82, &message(number))).expect("it is paused and not closed");
            }
        });
        // Of its 16 MB the server holds a little, and does not read the rest.
        let held = limits::OWN_BYTES_MARK as u64;
        server.until("it is paused", |totals| totals.bytes_retained > held);
        let mut other = server.client("/echo");
        for number in 0..100 {
            other.send(&number.to_string());
            assert_eq!(other.text(), number.to_string());
            let retained = server.totals().bytes_retained;
            assert!(retained <= held + 2 * limits::SCRATCH_BYTES as u64, "{retained} bytes are held");
        }
        for number in 0..count {
            assert!(lazy.receive() == Received::Binary(message(number)), "message {number}");
        }
    });
    assert_eq!(server.totals().slow_consumers_closed, 0);
}

#[test]
fn s5_5_2_pings_of_who_does_not_read_cost_no_memory() {
    let server = Running::start(1, |config| config.send_buffer_bytes = Some(16 << 10));
    let mut flood = server.upgraded("/ws");
    let pings: Vec<u8> = masked(0x89, &[b'x'; 125]).repeat(1_000);
    flood.0.set_write_timeout(Some(std::time::Duration::from_millis(200))).expect("a socket");
    let mut sent = 0;
    while sent < 20 << 20 && flood.0.write_all(&pings).is_ok() {
        sent += pings.len();
        let retained = server.totals().bytes_retained;
        let bound = limits::OWN_BYTES_MARK + 2 * limits::SCRATCH_BYTES;
        assert!(retained <= bound as u64, "{retained} bytes are held after {sent}");
    }
    let mut other = server.client("/ws");
    other.send("others go on");
    assert_eq!(other.text(), "others go on");
}
