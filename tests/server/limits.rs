//! Limits: how large, how many.

use crate::client::{Client, Raw, Response, header, masked, upgrade};
use crate::process::Process;
use crate::running::Running;
use fanwire::limits::REFUSALS_MAX;
use fanwire::protocol::Kind;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

const LIMIT: usize = 1_000;

fn small(workers: usize) -> Running {
    Running::start(workers, |config| config.limits.message_bytes_max = LIMIT)
}

#[test]
fn s7_4_1_a_message_over_the_limit_is_1009_by_its_declared_length_alone() {
    let server = small(1);
    for len in [LIMIT as u64 + 1, 1 << 16, 1 << 32, u64::MAX >> 1] {
        let mut raw = server.upgraded("/ws");
        raw.send(header(0x82, len));
        raw.send([1, 2, 3, 4]);
        let (code, reason) = raw.close_frame();
        assert_eq!(code, 1009, "{len}");
        assert!(reason.contains("larger"), "{reason}");
    }
}

#[test]
fn s7_4_1_a_message_of_exactly_the_limit_passes() {
    let server = small(2);
    let mut client = server.client("/ws");
    client.send(&"x".repeat(LIMIT));
    assert_eq!(client.text(), "x".repeat(LIMIT));
}

#[test]
fn s5_4_the_limit_holds_for_the_sum_of_fragments() {
    let server = small(1);
    let mut client = server.client("/ws");
    client.send_fragments(Kind::Text, &[&[b'x'; 600], &[b'y'; LIMIT - 600]]);
    assert_eq!(client.text(), ["x".repeat(600), "y".repeat(LIMIT - 600)].concat());

    let mut raw = server.upgraded("/ws");
    raw.send(masked(0x01, &[b'x'; 600]));
    raw.send(header(0x80, LIMIT as u64 - 600 + 1));
    raw.send([1, 2, 3, 4]);
    assert_eq!(raw.close_frame().0, 1009);
    client.send("the same channel heard nothing of it");
    assert_eq!(client.text(), "the same channel heard nothing of it");
}

fn with_places(workers: usize, places: usize) -> Running {
    Running::start(workers, |config| config.connections_max = places)
}

fn assert_full(response: &Response) {
    response.assert_complete();
    assert_eq!(response.status, 503);
    assert!(response.body.contains("full"), "{}", response.body);
    assert!(response.header("Retry-After").is_some());
}

#[test]
fn one_connection_too_many_gets_503_although_it_sends_before_it_reads() {
    let server = with_places(1, 2);
    let _ann = server.client("/ws");
    let _bob = server.client("/ws");
    let mut cid = server.raw();
    // More than a request, so that a server that closes without reading would reset the connection.
    cid.send(upgrade("/ws"));
    cid.send(vec![b'x'; 100_000]);
    assert_full(&Response::read(&mut cid));
    // One that says nothing gets it too.
    assert_full(&Response::read(&mut server.raw()));
    assert_eq!(server.totals().connections_turned_away, 2);
}

#[test]
fn a_full_server_says_so_to_health_checks_too() {
    let server = with_places(1, 1);
    let _ann = server.client("/ws");
    assert_full(&server.http("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"));
}

#[test]
fn a_place_that_becomes_free_is_given_to_the_next() {
    let server = with_places(2, 2);
    let ann = server.client("/ws");
    let mut bob = server.client("/ws");
    assert_full(&server.http(upgrade("/ws")));
    ann.close();
    server.until("ann has left", |totals| totals.connections_open == 1);
    let mut cid = server.client("/ws");
    cid.send("hello");
    assert_eq!(bob.text(), "hello");
    assert_full(&server.http(upgrade("/ws")));
}

#[test]
fn a_place_taken_by_a_page_or_a_refusal_is_given_back() {
    let server = with_places(2, 1);
    server.assert_pages_leave();
}

#[test]
fn many_more_than_fit_and_than_can_be_refused_at_once_all_get_their_answer() {
    let server = with_places(1, 3);
    let members: Vec<Client> = (0..3).map(|_| server.client("/ws")).collect();
    let mut crowd: Vec<Raw> = (0..3 * REFUSALS_MAX).map(|_| server.raw()).collect();
    for raw in &mut crowd {
        raw.send(upgrade("/ws"));
    }
    for mut raw in crowd {
        assert_full(&Response::read(&mut raw));
    }
    drop(members);
}

#[test]
fn refusals_that_linger_neither_turn_the_loop_nor_keep_others_from_a_free_place() {
    let (process, address) = Process::serve(&["--workers", "1", "--max-connections", "1"]);
    let member = Client::connect(address, "/ws");
    // As many as can be refused at once, who do not go although they were asked to.
    let mut lingering: Vec<Raw> = (0..REFUSALS_MAX).map(|_| Raw::connect(address)).collect();
    for raw in &mut lingering {
        assert_full(&Response::read(raw));
    }
    let mut next = Raw::connect(address);
    next.send(upgrade("/ws"));
    let descriptors = process.descriptors();
    member.close();
    let before = process.cpu_ticks();
    assert_eq!(next.read_text(12), "HTTP/1.1 101", "the free place is given at once");
    assert!(process.descriptors() >= descriptors, "and not when those who linger have gone");
    thread::sleep(Duration::from_millis(500));
    let spent = process.cpu_ticks() - before;
    assert!(spent < 20, "{spent} ticks of 10 ms for half a second in which nothing happened");
}

#[test]
fn who_is_gone_without_a_word_gives_its_place_back() {
    let server = with_places(1, 1);
    for number in 0..10 {
        let client = server.client("/ws");
        let hand = client.second_hand();
        if number % 2 == 0 {
            hand.shutdown(Shutdown::Both).expect("connected");
        }
        drop((client, hand));
        server.until("it has left", |totals| totals.connections_open == 0);
    }
    assert_eq!(server.totals().closed_abnormally, 10);
}
