//! A client that does not read: only it suffers.

use crate::client::{Client, assert_closed};
use crate::crowd::Crowd;
use crate::running::Running;
use fanwire::config::Config;
use fanwire::protocol::CloseCode;

const MESSAGE_BYTES: usize = 8 << 10;
const OUTBOX_BYTES: usize = 128 << 10;

fn configure(config: &mut Config) {
    config.limits.message_bytes_max = 2 * MESSAGE_BYTES;
    config.limits.outbox_bytes_max = OUTBOX_BYTES;
    config.send_buffer_bytes = Some(16 << 10);
    // However late a busy machine lets a client read, its Close frame is still there.
    config.limits.close_timeout_ms = 60_000;
}

fn message(number: usize) -> String {
    format!("{number:0MESSAGE_BYTES$}")
}

fn lazy(server: &Running) -> Client {
    Client::with_receive_buffer(server.address, "/ws", 8 << 10)
}

#[test]
fn who_lags_over_the_outbox_limit_is_closed_with_1008_and_the_others_hear_everything() {
    for workers in [1, 3] {
        let server = Running::start(workers, configure);
        let (mut publisher, mut listener, lazy) = (server.client("/ws"), server.client("/ws"), lazy(&server));
        let mut count = 0;
        while server.totals().slow_consumers_closed == 0 {
            publisher.send(&message(count));
            // Each in time: nobody waits for who does not read.
            assert!(publisher.text() == message(count) && listener.text() == message(count));
            count += 1;
            assert!(count < 1_000, "8 MB are over any limit");
        }
        assert!(count * MESSAGE_BYTES > OUTBOX_BYTES, "not before the limit: {count} messages");
        let (heard, closure) = lazy.rest();
        assert_closed(&closure, CloseCode::POLICY_VIOLATION, "slow consumer");
        assert!(heard.len() < count, "it was told of a gap by being closed");
        assert!(heard.iter().enumerate().all(|(number, text)| *text == message(number)), "whole, in order");
        let totals = server.until("nothing is held for who is gone", |totals| totals.bytes_retained == 0);
        assert_eq!(totals.slow_consumers_closed, 1);
        assert!(totals.slow_consumer_bytes_dropped > OUTBOX_BYTES as u64);
        publisher.send("after");
        assert_eq!((&*publisher.text(), &*listener.text()), ("after", "after"));
    }
}

#[test]
fn who_never_reads_even_its_close_frame_is_gone_after_the_close_timeout() {
    let server = Running::start(1, |config| {
        configure(config);
        config.limits.close_timeout_ms = 200;
    });
    let (mut publisher, lazy) = (server.client("/ws"), lazy(&server));
    let mut count = 0;
    while server.totals().slow_consumers_closed == 0 {
        publisher.send(&message(count));
        publisher.text();
        count += 1;
        assert!(count < 1_000, "8 MB are over any limit");
    }
    server.until("only the publisher is left, and nothing is held", |totals| {
        totals.connections_open == 1 && totals.bytes_retained == 0
    });
    drop(lazy);
}

#[test]
fn who_lags_less_than_the_outbox_limit_gets_everything_when_it_reads() {
    let server = Running::start(2, configure);
    let (mut publisher, mut lazy) = (server.client("/ws"), lazy(&server));
    // Far more than the kernels hold, but not more than the limit behind what they hold.
    let count = OUTBOX_BYTES / MESSAGE_BYTES;
    for round in 0..5 {
        for number in 0..count {
            publisher.send(&message(round * count + number));
            publisher.text();
        }
        assert!(server.totals().bytes_retained > 0, "it lags");
        for number in 0..count {
            assert!(lazy.text() == message(round * count + number));
        }
    }
    let totals = server.until("all is delivered", |totals| totals.bytes_retained == 0);
    assert_eq!(totals.slow_consumers_closed, 0);
}

#[test]
fn many_that_do_not_read_are_all_closed_while_the_others_hear_everything() {
    let server = Running::start(2, configure);
    let lazy: Vec<Client> = (0..50).map(|_| lazy(&server)).collect();
    let mut listeners: Vec<Client> = (0..4).map(|_| server.client("/ws")).collect();
    let mut publisher = server.client("/ws");
    for number in 0..200 {
        publisher.send(&message(number));
        publisher.text();
        for listener in &mut listeners {
            assert!(listener.text() == message(number), "message {number}");
        }
    }
    server.until("all are closed", |totals| {
        totals.slow_consumers_closed == 50 && totals.bytes_retained <= 50 * 2 * MESSAGE_BYTES as u64
    });
    for lazy in lazy {
        assert_closed(&lazy.rest().1, CloseCode::POLICY_VIOLATION, "slow consumer");
    }
}

#[test]
fn a_publisher_that_never_reads_is_slow_like_anyone_else() {
    let server = Running::start(1, configure);
    let mut listener = server.client("/ws");
    let mut lazy = lazy(&server);
    let (mut sent, mut heard) = (0, 0);
    while server.totals().slow_consumers_closed == 0 && lazy.try_send(&message(sent)) {
        sent += 1;
        let totals = server.until("it is published or too late", |totals| {
            totals.publications == sent as u64 || totals.slow_consumers_closed == 1
        });
        while heard < totals.publications as usize {
            assert!(listener.text() == message(heard));
            heard += 1;
        }
    }
    assert_closed(&lazy.rest().1, CloseCode::POLICY_VIOLATION, "slow consumer");
}

#[test]
fn who_waits_for_us_and_not_we_for_it_is_not_slow_however_far_behind() {
    // What the kernels hold is more than all that is said here, so nobody's socket is ever full. The outbox limit is
    // a fraction of it: the log runs ahead of its laps, and nobody may be blamed for that.
    let (clients, publishers, each) = (200, 10, 10);
    let server = Running::start(2, |config| {
        config.limits.message_bytes_max = 4 << 10;
        config.limits.outbox_bytes_max = 8 << 10;
    });
    let mut crowd = Crowd::connect(server.address, "/ws", clients);
    for number in 0..each {
        for publisher in 0..publishers {
            crowd.say(publisher, &format!("{publisher} {number:01000}"));
        }
    }
    let bytes = each * publishers * (4 + 2 + 1_000);
    crowd.listen_to_all(bytes);
    let totals = server.totals();
    assert_eq!(totals.deliveries_queued, (each * publishers * clients) as u64);
    assert_eq!(totals.slow_consumers_closed, 0);
}
