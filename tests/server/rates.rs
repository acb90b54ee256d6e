//! Floods: what each client may send a second where that is limited, and what bounds a flood where it is not.
//!
//! Who is over its rate is slowed down, by TCP in the end, and loses nothing. To the millisecond that is checked by the
//! simulation, whose clock is its own; here by how long it takes at the least.

use crate::certificate::Certificate;
use crate::client::{Client, Raw, Received, assert_closed, masked};
use crate::running::Running;
use fanwire::config::{Config, Rate};
use fanwire::limits::{OWN_BYTES_MARK, RATED_READ_BYTES_MAX, SCRATCH_BYTES};
use fanwire::protocol::{CloseCode, DeflateOffer};
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// 50 messages a second, 10 at once.
fn few_messages(config: &mut Config) {
    config.rates.messages = Some(Rate { per_second: 50, burst: 10 });
    config.echo = true;
}

/// 100 KB a second, 20,000 bytes at once.
fn few_bytes(config: &mut Config) {
    config.rates.bytes = Some(Rate { per_second: 100_000, burst: 20_000 });
    config.echo = true;
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Says so many words at once and hears all of them, in order, but not sooner than 50 a second behind the first 10 allow.
fn assert_slowed(client: &mut Client, count: usize) {
    let started = Instant::now();
    client.send_all(numbers(count));
    assert_eq!(client.texts(count), numbers(count), "nothing is lost");
    // The server's milliseconds are whole ones.
    let at_least = Duration::from_millis(20 * (count as u64 - 10) - 2);
    assert!(started.elapsed() >= at_least, "{:?}", started.elapsed());
}

#[test]
fn who_sends_too_many_messages_is_slowed_and_loses_nothing_and_nobody_else_waits() {
    for workers in [1, 3] {
        let server = Running::start(workers, few_messages);
        thread::scope(|scope| {
            for target in ["/ws/flood", "/echo"] {
                let mut client = server.client(target);
                scope.spawn(move || assert_slowed(&mut client, 60));
            }
            let mut deflating = server.offering("/ws/deflated", DeflateOffer::PLAIN);
            assert!(deflating.deflate().is_some());
            scope.spawn(move || assert_slowed(&mut deflating, 60));
            let mut quiet = server.client("/ws/quiet");
            let round_trip = |number: usize| {
                let started = Instant::now();
                quiet.send(&number.to_string());
                assert_eq!(quiet.text(), number.to_string());
                started.elapsed()
            };
            let mut took: Vec<Duration> = (0..10).map(round_trip).collect();
            // Whoever waits for the others does so each time. A machine stands still for once.
            took.sort_unstable();
            assert!(took[5] < Duration::from_millis(500), "{took:?}");
        });
        let totals = server.totals();
        // Of the fifty behind the first ten two come after each pause; or ten at the most, however late it ends. To the
        // millisecond the simulation has it.
        assert!((3 * 5..=3 * 26).contains(&totals.reads_paused_by_rate), "{totals:?}");
        assert_eq!(totals.slow_consumers_closed, 0);
    }
}

#[test]
fn over_tls_it_is_the_same() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        few_messages(config);
    });
    let mut client = Client::on(certificate.connect(server.tls_address()), "/echo", None);
    assert_slowed(&mut client, 60);
    client.close();
}

#[test]
fn over_tls_the_bytes_within_it_count() {
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        certificate.configure(config);
        few_bytes(config);
    });
    let mut client = Client::on(certificate.connect(server.tls_address()), "/echo", None);
    let started = Instant::now();
    for number in 0..12 {
        client.send_binary(&[number; 5_000]);
    }
    for number in 0..12 {
        assert_eq!(client.receive(), Received::Binary(vec![number; 5_000]));
    }
    // 60,000 bytes, that is 40,000 beyond the burst.
    assert!(started.elapsed() >= Duration::from_millis(398), "{:?}", started.elapsed());
    assert!(server.totals().reads_paused_by_rate > 0);
    client.close();
}

#[test]
fn who_sends_too_many_bytes_is_slowed_by_tcp_and_loses_nothing() {
    let server = Running::start(1, few_bytes);
    let mut client = server.client("/echo");
    let started = Instant::now();
    // One message that is more than the burst.
    client.send_binary(&vec![7; 120_000]);
    drop(client.receive());
    let at_least = Duration::from_millis(998);
    assert!(started.elapsed() >= at_least, "100,000 bytes beyond the burst take {:?}", started.elapsed());
    client.close();

    // However much is sent, it stays with the kernels: the server takes what may come, and holds no more than one read.
    let flood = server.client("/ws?echo=off");
    let mut hand = flood.second_hand();
    hand.set_nonblocking(true).expect("a socket");
    let (started, before) = (Instant::now(), server.totals().bytes_read);
    let mut sent = 0;
    while started.elapsed() < Duration::from_millis(700) {
        match hand.write(&masked(0x82, &[7; 100]).repeat(100)) {
            Ok(bytes) => sent += bytes,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let (totals, passed_ms) = (server.totals(), started.elapsed().as_millis() as u64 + 1);
        assert!(totals.bytes_read - before <= 20_000 + 100 * passed_ms, "after {passed_ms} ms: {totals:?}");
        assert!(totals.bytes_retained <= (3 * RATED_READ_BYTES_MAX) as u64, "{totals:?}");
    }
    assert!(sent > 20_000 + 100_000, "more was offered than may come: {sent}");
    assert!(server.totals().reads_paused_by_rate >= 10);
}

#[test]
fn a_flood_of_pings_or_of_empty_fragments_counts_by_its_bytes() {
    for frame in [masked(0x89, b""), masked(0x00, b"")] {
        let server = Running::start(1, few_bytes);
        let mut raw = server.upgraded("/echo");
        let (started, before) = (Instant::now(), server.totals().bytes_read);
        raw.send(masked(0x01, b""));
        // 60,000 bytes, that is 40,000 beyond the burst.
        raw.send(frame.repeat(10_000));
        raw.send(masked(0x80, b"the end"));
        let mut heard = Vec::new();
        while !heard.ends_with(b"\x81\x07the end") {
            let mut some = [0; 4096];
            let read = raw.0.read(&mut some).expect("it goes on");
            heard.extend(&some[..read]);
        }
        assert!(started.elapsed() >= Duration::from_millis(398), "{:?}", started.elapsed());
        let totals = server.totals();
        assert_eq!(totals.bytes_read - before, 60_019);
        assert!(totals.reads_paused_by_rate > 0);
    }
}

#[test]
fn what_compressed_messages_come_to_does_not_count() {
    let server = Running::start(1, few_bytes);
    let mut client = server.offering("/echo", DeflateOffer::PLAIN);
    let payload = "x".repeat(100_000);
    for _ in 0..20 {
        client.send(&payload);
        assert_eq!(client.text().len(), payload.len());
    }
    assert_eq!(server.totals().reads_paused_by_rate, 0);
}

#[test]
fn who_stays_within_its_rates_is_never_paused() {
    let server = Running::start(1, |config| {
        few_bytes(config);
        config.rates.messages = Some(Rate { per_second: 1_000, burst: 100 });
    });
    let mut client = server.client("/echo");
    for round in 0..5 {
        client.send_all(numbers(100));
        assert_eq!(client.texts(100), numbers(100), "{round}");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.totals().reads_paused_by_rate, 0);
}

#[test]
fn a_goodbye_behind_too_much_is_answered_when_its_time_comes() {
    let server = Running::start(1, few_messages);
    let mut listener = server.client("/ws");
    let mut raw = server.upgraded("/ws?echo=off");
    for word in numbers(30) {
        raw.send(masked(0x81, word.as_bytes()));
    }
    raw.send(masked(0x88, b"\x03\xe8"));
    assert_eq!(listener.texts(30), numbers(30));
    assert_eq!(raw.close_frame().0, 1000);
}

#[test]
fn who_is_gone_does_not_stay_until_its_allowance_is_through() {
    let server = Running::start(1, |config| {
        config.rates.messages = Some(Rate { per_second: 2, burst: 1 });
        config.limits.close_timeout_ms = 100;
    });
    let mut raw = server.upgraded("/ws");
    raw.send(masked(0x81, b"x").repeat(1_000));
    server.until("it is over its rate", |totals| totals.reads_paused_by_rate > 0);
    let started = Instant::now();
    drop(raw);
    server.until("it is gone", |totals| totals.connections_open == 0);
    // The allowance for the rest would take 500 s.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(server.totals().publications <= 1 + 2 * 5);
}

#[test]
fn a_drain_does_not_wait_for_an_allowance() {
    let server = Running::start(2, |config| {
        config.rates.messages = Some(Rate { per_second: 1, burst: 1 });
    });
    let mut client = server.client("/ws");
    client.send_all(numbers(100));
    assert_eq!(client.text(), "0");
    server.until("it is over its rate", |totals| totals.reads_paused_by_rate > 0);
    let started = Instant::now();
    server.drain();
    let (_, closure) = client.rest();
    assert_closed(&closure, CloseCode::GOING_AWAY, "shutting down");
    server.wait();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

// ---- Where nothing is limited ---------------------------------------------------------------------------------------

/// What a client of another channel of the same worker says while a flood goes on is heard, in order.
fn others_go_on(server: &Running, until: impl Fn() -> bool) {
    let (mut ann, mut bob) = (server.client("/ws/calm"), server.client("/ws/calm"));
    let mut number = 0_u32;
    while !until() || number < 20 {
        ann.send(&number.to_string());
        assert_eq!((ann.text(), bob.text()), (number.to_string(), number.to_string()));
        number += 1;
    }
}

#[test]
fn s5_5_2_a_hundred_thousand_pings_whose_pongs_nobody_reads_cost_others_nothing_and_little_memory() {
    let server = Running::start(1, |config| config.send_buffer_bytes = Some(16 << 10));
    let raw = Client::with_receive_buffer(server.address, "/ws", 8 << 10);
    let mut hand = raw.second_hand();
    let flood = thread::spawn(move || {
        let pings: Vec<u8> =
            (0..100_000_u32).flat_map(|number| masked(0x89, &number.to_be_bytes())).collect();
        let mut sent = 0;
        hand.set_nonblocking(true).expect("a socket");
        let started = Instant::now();
        // It sends for as long as the server takes it.
        while sent < pings.len() && started.elapsed() < Duration::from_millis(1_500) {
            match hand.write(&pings[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
        sent
    });
    others_go_on(&server, || flood.is_finished());
    let held = server.totals().bytes_retained;
    assert!(held <= (OWN_BYTES_MARK + SCRATCH_BYTES) as u64, "{held} bytes");
    assert!(flood.join().expect("it ends") > OWN_BYTES_MARK, "it was a flood");
    assert_eq!(server.totals().slow_consumers_closed, 0);
    drop(raw);
}

#[test]
fn s5_5_3_only_the_surplus_of_pongs_is_dropped_and_messages_between_them_are_not() {
    let server = Running::start(1, |config| config.echo = true);
    let mut raw = server.upgraded("/echo");
    let mut flood = Vec::new();
    for number in 0..100_000_u32 {
        flood.extend(masked(0x89, &number.to_be_bytes()));
        if number % 10_000 == 0 {
            flood.extend(masked(0x82, &number.to_be_bytes()));
        }
    }
    let mut hand = raw.0.try_clone().expect("a descriptor");
    let writer = thread::spawn(move || hand.write_all(&flood).expect("the server takes it"));
    let (mut pongs, mut messages) = (Vec::new(), Vec::new());
    while pongs.last() != Some(&99_999) || messages.len() < 10 {
        let frame = raw.read(6);
        let number = u32::from_be_bytes(frame[2..].try_into().expect("four bytes"));
        match frame[..2] {
            [0x8a, 4] => pongs.push(number),
            [0x82, 4] => messages.push(number),
            _ => panic!("a Pong or a message was expected, and not {frame:02x?}"),
        }
    }
    writer.join().expect("all of it was taken");
    assert!(pongs.is_sorted() && pongs.len() <= 100_000, "each Ping is answered once, or not at all");
    let said: Vec<u32> = (0..10).map(|round| round * 10_000).collect();
    assert_eq!(messages, said, "messages are not dropped");
}

#[test]
fn s5_4_a_flood_of_empty_fragments_ends_with_1008_and_costs_others_nothing() {
    let server = Running::start(1, |_| {});
    let mut raw = server.upgraded("/ws");
    let flood = thread::spawn(move || {
        raw.send(masked(0x01, b""));
        raw.send(masked(0x00, b"").repeat(65_535));
        // One more than there may be.
        raw.send(masked(0x00, b""));
        raw.close_frame()
    });
    others_go_on(&server, || flood.is_finished());
    let (code, reason) = flood.join().expect("it ends");
    assert_eq!(code, 1008, "{reason}");
    server.until("nothing is held for it", |totals| totals.bytes_retained == 0);
}

#[test]
fn s5_4_a_flood_of_fragments_of_one_byte_costs_a_byte_for_each_and_others_nothing() {
    const FRAGMENTS: usize = 60_000;
    let server = Running::start(1, |_| {});
    let mut listener = server.client("/ws");
    let mut raw = server.upgraded("/ws?echo=off");
    let flood = thread::spawn(move || {
        raw.send(masked(0x01, b"x"));
        raw.send(masked(0x00, b"x").repeat(FRAGMENTS - 2));
        raw
    });
    others_go_on(&server, || flood.is_finished());
    let mut raw = flood.join().expect("it is taken");
    let held = server.totals().bytes_retained;
    assert!(held <= 2 * FRAGMENTS as u64 + 1_024, "{held} bytes");
    raw.send(masked(0x80, b"x"));
    assert_eq!(listener.text(), "x".repeat(FRAGMENTS));
    drop(raw);
}

#[test]
fn s5_5_2_pings_nobody_is_limited_to_are_all_answered_while_they_are_read() {
    let server = Running::start(1, |_| {});
    let mut raw: Raw = server.upgraded("/ws");
    for number in 0..1_000_u32 {
        raw.send(masked(0x89, &number.to_be_bytes()));
        assert_eq!(raw.read(6), [&[0x8a, 4], &number.to_be_bytes()[..]].concat());
    }
}
