//! `--max-connections-per-ip`: how many connections an address may have. All of 127.0.0.0/8 is this machine.

use crate::certificate::Certificate;
use crate::client::{Client, Raw, Response, SAMPLE_101, assert_eof, connect_from, http, upgrade};
use crate::process::Process;
use crate::running::Running;
use fanwire::limits::REFUSALS_MAX;
use std::net::{Ipv6Addr, SocketAddr};

const ANN: [u8; 4] = [127, 0, 0, 1];
const BOB: [u8; 4] = [127, 0, 0, 2];

fn with_places(workers: usize, places: usize) -> Running {
    Running::start(workers, |config| config.connections_per_address_max = places)
}

fn client(from: [u8; 4], server: &Running) -> Client {
    Client::on(connect_from(from, server.address), "/ws", None)
}

/// What a request from there is answered.
fn answer(from: [u8; 4], server: &Running) -> Response {
    let mut raw = Raw(connect_from(from, server.address));
    raw.send(upgrade("/ws"));
    Response::read(&mut raw)
}

fn assert_too_many(response: &Response, places: usize) {
    response.assert_complete();
    assert_eq!(response.status, 429);
    assert!(response.body.contains("your address"), "{}", response.body);
    assert!(response.body.contains(&places.to_string()), "{}", response.body);
    assert!(response.header("Retry-After").is_some());
}

#[test]
fn one_connection_too_many_of_an_address_gets_429_and_another_address_gets_in() {
    for workers in [1, 4] {
        let server = with_places(workers, 3);
        let mut anns: Vec<Client> = (0..3).map(|_| client(ANN, &server)).collect();
        assert_too_many(&answer(ANN, &server), 3);
        let mut bobs: Vec<Client> = (0..3).map(|_| client(BOB, &server)).collect();
        assert_too_many(&answer(BOB, &server), 3);
        anns[0].send("those who are in are not disturbed");
        for client in anns.iter_mut().chain(&mut bobs) {
            assert_eq!(client.text(), "those who are in are not disturbed");
        }
        let totals = server.totals();
        assert_eq!((totals.connections_turned_away_by_address, totals.connections_turned_away), (2, 0));
    }
}

#[test]
fn who_leaves_gives_its_place_to_the_next_of_its_address() {
    for workers in [1, 3] {
        let server = with_places(workers, 1);
        for round in 0..10 {
            let ann = client(ANN, &server);
            assert_too_many(&answer(ANN, &server), 1);
            server.until("who was turned away has gone", |totals| totals.connections_open == 1);
            // One says goodbye, the next is just gone.
            if round % 2 == 0 {
                ann.close();
            } else {
                drop(ann);
            }
            server.until("ann has left", |totals| totals.connections_open == 0);
        }
        assert_eq!(server.totals().connections_turned_away_by_address, 10);
    }
}

#[test]
fn pages_and_refusals_take_a_place_only_for_as_long_as_they_last() {
    let server = with_places(2, 1);
    server.assert_pages_leave();
    assert_eq!(server.totals().connections_turned_away_by_address, 0);
}

#[test]
fn a_place_that_a_full_server_did_not_give_is_not_kept_for_the_address() {
    let server = Running::start(1, |config| {
        config.connections_max = 1;
        config.connections_per_address_max = 2;
    });
    let bob = client(BOB, &server);
    for _ in 0..5 {
        assert_eq!(answer(ANN, &server).status, 503);
    }
    bob.close();
    server.until("bob has left", |totals| totals.connections_open == 0);
    client(ANN, &server).close();
    assert_eq!(server.totals().connections_turned_away_by_address, 0);
}

#[test]
fn when_nobody_more_can_be_told_why_one_too_many_is_closed_at_once_and_others_get_in() {
    let server = with_places(1, 1);
    let _ann = client(ANN, &server);
    // They do not go although they were asked to.
    let mut lingering: Vec<Raw> = (0..REFUSALS_MAX).map(|_| Raw(connect_from(ANN, server.address))).collect();
    for raw in &mut lingering {
        assert_too_many(&Response::read(raw), 1);
    }
    for _ in 0..2 * REFUSALS_MAX {
        assert_eof(&mut connect_from(ANN, server.address));
    }
    let mut bob = client(BOB, &server);
    bob.send("hello");
    assert_eq!(bob.text(), "hello");
    let turned_away = server.totals().connections_turned_away_by_address;
    assert_eq!(turned_away, 3 * REFUSALS_MAX as u64);
    drop(lingering);
}

#[test]
fn an_address_has_its_places_over_tls_and_without_together() {
    let certificate = Certificate::new();
    let server = Running::start(2, |config| {
        certificate.configure(config);
        config.connections_per_address_max = 2;
    });
    let _plain = server.client("/ws");
    let _secure = Client::on(certificate.connect(server.tls_address()), "/ws", None);
    assert_too_many(&server.http(upgrade("/ws")), 2);
    assert_too_many(&Response::of(certificate.connect(server.tls_address()).rest()), 2);
}

#[test]
fn an_ipv4_address_is_the_same_on_a_socket_for_ipv6() {
    let server = Running::start(1, |config| {
        config.listen =
            vec!["[::]:0".parse().expect("an address"), "127.0.0.1:0".parse().expect("an address")];
        config.connections_per_address_max = 1;
    });
    let ports: Vec<u16> = server.addresses().iter().map(SocketAddr::port).collect();
    let ann = Client::connect((ANN, ports[0]).into(), "/ws");
    assert_too_many(&http((ANN, ports[1]).into(), upgrade("/ws")), 1);
    let of_ipv6 = Client::connect((Ipv6Addr::LOCALHOST, ports[0]).into(), "/ws");
    let answer = http((Ipv6Addr::LOCALHOST, ports[0]).into(), upgrade("/ws"));
    assert_too_many(&answer, 1);
    ann.close();
    server.until("ann has left", |totals| totals.connections_open == 1);
    Client::connect((ANN, ports[1]).into(), "/ws").close();
    of_ipv6.close();
}

#[test]
fn by_default_an_address_may_have_any_number() {
    let server = Running::start(1, |_| {});
    let _clients: Vec<Client> = (0..200).map(|_| server.client("/ws")).collect();
    assert_eq!(server.totals().connections_turned_away_by_address, 0);
}

#[test]
fn a_flood_from_one_address_is_one_line_of_the_log_that_names_it() {
    let arguments = ["--workers", "1", "--max-connections-per-ip", "1"];
    let (mut process, address) = Process::serve(&arguments);
    process.line("1 connections of an address");
    let mut ann = Raw(connect_from(BOB, address));
    ann.send(upgrade("/ws"));
    assert_eq!(ann.read_text(SAMPLE_101.len()), SAMPLE_101);
    for _ in 0..50 {
        assert_too_many(&Response::read(&mut Raw(connect_from(BOB, address))), 1);
    }
    assert_eq!(http(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    process.signal("TERM");
    drop(ann);
    let (code, log) = process.end();
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("turned away")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("127.0.0.2") && lines[0].contains("--max-connections-per-ip"), "{}", lines[0]);
}
