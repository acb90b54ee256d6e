//! A memory budget: what all clients together may make the server hold.

use crate::certificate::{Certificate, Secure};
use crate::client::{Client, PATIENCE, Received, assert_closed, connect, header};
use crate::process::Process;
use crate::running::Running;
use fanwire::config::Config;
use fanwire::protocol::{CloseCode, Closure};
use rustls::version::TLS13;
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const MESSAGE_BYTES: usize = 256 << 10;
const OUTBOX_BYTES: usize = 512 << 10;
/// What four to eight clients take whose messages are nearly whole: a buffer may be twice what is in it.
const BUDGET_BYTES: usize = 2 << 20;

fn configure(config: &mut Config) {
    config.limits.message_bytes_max = MESSAGE_BYTES;
    config.limits.outbox_bytes_max = OUTBOX_BYTES;
    config.send_buffer_bytes = Some(16 << 10);
    config.memory_bytes_max = BUDGET_BYTES as u64;
}

/// A binary message's first fragment, of `bytes` zeros, masked with a key of zeros.
fn first_fragment(bytes: usize) -> Vec<u8> {
    [header(0x02, bytes as u64), vec![0; 4 + bytes]].concat()
}

/// The last, which is empty.
const LAST_FRAGMENT: [u8; 6] = [0x80, 0x80, 0, 0, 0, 0];

/// A client of a channel of its own that has begun a message of `bytes` bytes and does not end it.
fn beginner(server: &Running, name: usize, bytes: usize) -> Client {
    let mut client = server.client(&format!("/ws/{name}"));
    client.send_raw(&first_fragment(bytes));
    client
}

#[test]
fn near_the_budget_who_is_new_gets_503_and_who_is_in_stays() {
    for workers in [1, 3] {
        let server = Running::start(workers, configure);
        let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
        let mut beginners = Vec::new();
        while server.totals().memory_held <= 4 * BUDGET_BYTES as u64 / 5 {
            let before = server.totals().memory_held;
            beginners.push(beginner(&server, beginners.len(), 25 << 10));
            server.until("it is held", |totals| totals.memory_held > before + (25 << 10));
        }
        let full = server.http("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
        assert!(full.body.contains("short of memory"), "{}", full.body);
        ann.send("still here");
        assert_eq!((&*ann.text(), &*bob.text()), ("still here", "still here"));
        assert_eq!(server.totals().clients_shed, 0);
        drop(beginners);
        server.until("they are gone", |totals| totals.memory_held < BUDGET_BYTES as u64 / 2);
        server.client("/ws");
        assert_eq!(server.totals().connections_turned_away, 0, "there were places");
    }
}

#[test]
fn beyond_the_budget_who_holds_most_gets_1013_and_the_others_hear_everything() {
    for workers in [1, 3] {
        let server = Running::start(workers, configure);
        let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
        let mut clients: Vec<Client> = (0..20).map(|name| server.client(&format!("/ws/{name}"))).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            // Each begins a little more than the one before.
            client.send_raw(&first_fragment((225 << 10) + (number << 10)));
            ann.send(&number.to_string());
            assert!(ann.text() == number.to_string() && bob.text() == number.to_string());
        }
        let mut told = 0;
        for client in &mut clients {
            // Who was let go may not hear of it any more.
            drop(client.second_hand().write_all(&LAST_FRAGMENT));
            match client.receive() {
                Received::Binary(message) => assert!(message.len() >= 225 << 10),
                Received::Closed(closure) => {
                    assert_closed(&closure, CloseCode::TRY_AGAIN_LATER, "short of memory");
                    told += 1;
                }
                other @ Received::Text(_) => panic!("{other:?}"),
            }
        }
        let totals = server.totals();
        assert_eq!(told, totals.clients_shed, "who was let go was told, and the others end their messages");
        assert!((1..20).contains(&told), "no more than need be: {told}");
        assert!(totals.memory_held <= BUDGET_BYTES as u64);
    }
}

#[test]
fn beyond_the_budget_whoever_does_not_read_its_channel_is_cut_off() {
    for workers in [1, 3] {
        let server = Running::start(workers, configure);
        let mut rooms: Vec<(Client, Client)> = (0..12)
            .map(|room| {
                let target = format!("/ws/{room}");
                (server.client(&target), Client::with_receive_buffer(server.address, &target, 8 << 10))
            })
            .collect();
        // Each lazy client may lag by all of it, but not all of them at once. No message is as large as what any lags by.
        let message = "x".repeat(20 << 10);
        for _ in 0..24 {
            for (publisher, _) in &mut rooms {
                publisher.send(&message);
                assert!(publisher.text() == message, "who reads hears everything");
            }
        }
        let totals = server.until("some are let go", |totals| {
            totals.clients_shed > 0 && totals.memory_held <= BUDGET_BYTES as u64
        });
        assert_eq!(totals.slow_consumers_closed, 0, "nobody was over its own limit");
        let shed = totals.clients_shed;
        assert!(shed < 12, "no more than need be");
        server.until("they are gone at once", |totals| totals.connections_open == 24 - shed);
        // Whoever was cut off has a part of it, and the others hear all that waits for them.
        let is_cut_off =
            |mut lazy: Client| (0..24).any(|_| lazy.receive() == Received::Closed(Closure::Lost));
        let cut_off = rooms.into_iter().filter_map(|(_, lazy)| is_cut_off(lazy).then_some(()));
        assert_eq!(cut_off.count() as u64, shed);
    }
}

#[test]
fn what_is_resident_stays_within_the_budget_and_goes_back_to_the_system_after_a_peak() {
    const BUDGET_BYTES: usize = 24 << 20;
    let budget = BUDGET_BYTES.to_string();
    let (process, address) = Process::serve(&["--workers", "2", "--memory-budget", &budget]);
    let first = process.resident_bytes();
    // The system counts to some pages for each core.
    let grown = || process.resident_bytes().saturating_sub(first);
    let mut clients: Vec<Client> =
        (0..100).map(|name| Client::connect(address, &format!("/ws/{name}"))).collect();
    let mut peak = 0;
    for client in &mut clients {
        client.send_raw(&first_fragment(1_000_000));
        peak = peak.max(grown());
    }
    // What was sent is with the kernel; the server may be yet to read it.
    let sent = Instant::now();
    while peak <= BUDGET_BYTES / 4 {
        assert!(sent.elapsed() < PATIENCE, "100 MB were sent: {peak}");
        thread::sleep(Duration::from_millis(1));
        peak = peak.max(grown());
    }
    // The program itself and what it takes for each worker are not part of it.
    assert!(peak < BUDGET_BYTES + (4 << 20), "{peak} bytes at the peak");
    drop(clients);
    let started = Instant::now();
    while grown() > BUDGET_BYTES / 2 {
        assert!(started.elapsed() < PATIENCE, "{} bytes stay", grown());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn ciphertext_that_nobody_reads_is_let_go_before_what_others_have_just_begun() {
    const LAZY: usize = 120;
    let certificate = Certificate::new();
    let server = Running::start(1, |config| {
        configure(config);
        certificate.configure(config);
        config.echo = true;
    });
    let trusted = Arc::new(certificate.trusted(&[&TLS13]));
    let mut ann = server.client("/ws");
    ann.send_raw(&first_fragment(100));
    let mut lazy: Vec<Client> = (0..LAZY)
        .map(|_| {
            let stream = connect(server.tls_address(), Some(4 << 10));
            Client::on(Secure::on(stream, &trusted).expect("a handshake"), "/echo", None)
        })
        .collect();
    // Of what comes back to each, more than 30 KB wait as ciphertext and nothing else.
    let message = vec![0; 60 << 10];
    for client in &mut lazy {
        client.send_binary(&message);
    }
    let totals = server.until("some are let go", |totals| {
        totals.clients_shed > 0 && totals.memory_held <= BUDGET_BYTES as u64
    });
    assert!((totals.clients_shed as usize) < LAZY, "no more than need be");
    ann.send_raw(&LAST_FRAGMENT);
    assert_eq!(ann.receive(), Received::Binary(vec![0; 100]));
}
