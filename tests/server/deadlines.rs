//! Deadlines, in real time but short. Where a test must let time pass it watches another connection run into its own
//! deadline, instead of sleeping.

use crate::client::{Response, masked, upgrade};
use crate::running::Running;
use fanwire::config::Config;
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(200);
const SHORT_MS: u32 = 200;

/// What "soon after its deadline" means on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

fn assert_about(elapsed: Duration, expected: Duration) {
    // The server counts whole milliseconds, and cuts off what is left of them twice.
    assert!(elapsed + Duration::from_millis(2) > expected, "too early: {elapsed:?} of {expected:?}");
    assert!(elapsed < expected + SLACK, "too late: {elapsed:?} of {expected:?}");
}

/// Waits for as long as an opening handshake may take.
fn let_a_handshake_time_out(server: &Running) -> Duration {
    let started = Instant::now();
    let response = Response::read(&mut server.raw());
    assert_eq!(response.status, 408);
    response.assert_complete();
    started.elapsed()
}

#[test]
fn a_handshake_that_does_not_come_gets_408_after_its_timeout() {
    let server = Running::start(1, |config| config.limits.handshake_timeout_ms = SHORT_MS);
    assert_about(let_a_handshake_time_out(&server), SHORT);
    assert_eq!(server.totals().handshakes_timed_out, 1);
}

#[test]
fn drips_do_not_extend_a_handshakes_timeout() {
    let server = Running::start(1, |config| config.limits.handshake_timeout_ms = SHORT_MS);
    let started = Instant::now();
    let mut raw = server.raw();
    let mut hand = raw.0.try_clone().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(move || {
            // Twenty times the timeout, if nobody stops it.
            for byte in upgrade("/ws").bytes().take(100) {
                if hand.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(SHORT / 5);
            }
        });
        let response = Response::read(&mut raw);
        assert_about(started.elapsed(), SHORT);
        assert_eq!(response.status, 408);
        raw.shut_down();
    });
}

#[test]
fn a_handshake_in_time_ends_its_timeout() {
    let server = Running::start(2, |config| config.limits.handshake_timeout_ms = 5 * SHORT_MS);
    let mut client = server.client("/ws/a");
    let_a_handshake_time_out(&server);
    let_a_handshake_time_out(&server);
    client.send("still here");
    assert_eq!(client.text(), "still here");
}

#[test]
fn a_handshake_timeout_of_0_is_off() {
    let server = Running::start(1, |config| {
        config.limits.handshake_timeout_ms = 0;
        config.limits.idle_timeout_ms = SHORT_MS;
    });
    let mut silent = server.raw();
    let mut clock = server.upgraded("/ws");
    assert_eq!(clock.close_frame().0, 1008);
    silent.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(Response::read(&mut silent).status, 200);
}

fn watchful(ping_ms: u32, idle_ms: u32) -> impl Fn(&mut Config) {
    move |config| {
        config.limits.ping_interval_ms = ping_ms;
        config.limits.idle_timeout_ms = idle_ms;
    }
}

#[test]
fn s5_5_2_a_silent_client_gets_a_ping_after_each_interval() {
    let server = Running::start(1, watchful(SHORT_MS, 0));
    let started = Instant::now();
    let mut raw = server.upgraded("/ws");
    for number in 1..=3 {
        assert_eq!(raw.read(2), b"\x89\x00");
        assert_about(started.elapsed(), SHORT * number);
    }
}

#[test]
fn s5_5_2_a_client_that_is_heard_gets_no_ping() {
    let server = Running::start(1, watchful(5 * SHORT_MS, 0));
    let mut silent = server.upgraded("/ws/silent");
    let mut heard = server.upgraded("/ws/heard");
    for _ in 0..15 {
        // A tenth of the interval each, and more than a whole one for who stays silent.
        heard.send(masked(0x8a, b""));
        thread::sleep(SHORT / 2);
    }
    assert_eq!(silent.read(2), b"\x89\x00");
    heard.send(masked(0x81, b"x"));
    assert_eq!(heard.read(3), b"\x81\x01x", "no Ping came before");
}

#[test]
fn pongs_keep_a_client_alive_and_silence_ends_it() {
    let server = Running::start(1, watchful(SHORT_MS, 8 * SHORT_MS));
    let mut alive = server.client("/ws/alive");
    thread::scope(|scope| {
        let alive = scope.spawn(move || {
            // Waiting for a message answers Pings meanwhile.
            assert_eq!(alive.text(), "at last");
        });
        for _ in 0..3 {
            let started = Instant::now();
            let mut silent = server.upgraded("/ws/silent");
            let said = silent.read_to_end();
            let pings = said.chunks(2).take_while(|frame| *frame == b"\x89\x00").count();
            // One after each interval at the most; a late one makes the next one late too.
            let intervals = (started.elapsed().as_millis() / SHORT.as_millis()) as usize;
            assert!((1..=intervals).contains(&pings), "it is asked {pings} times in {intervals} intervals");
            let [0x88, _, 0x03, 0xf0, ref reason @ ..] = said[2 * pings..] else { panic!("{said:02x?}") };
            let reason = String::from_utf8_lossy(reason);
            assert!(reason.contains("idle"), "{reason}");
            assert_about(started.elapsed(), 8 * SHORT);
        }
        assert!(!alive.is_finished());
        server.client("/ws/alive?echo=off").send("at last");
        alive.join().expect("it is alive");
    });
    assert_eq!(server.totals().idle_timeouts, 3);
}

#[test]
fn the_idle_timeout_may_be_shorter_than_the_ping_interval() {
    let server = Running::start(1, watchful(60_000, SHORT_MS));
    let started = Instant::now();
    let mut raw = server.upgraded("/ws");
    assert_eq!(raw.close_frame().0, 1008);
    assert_about(started.elapsed(), SHORT);
}

#[test]
fn a_frame_that_stalls_midway_is_idle_too() {
    let server = Running::start(1, watchful(0, SHORT_MS));
    let frame = masked(0x81, b"hello");
    for cut in [1, 2, 4, 8] {
        let mut raw = server.upgraded("/ws");
        let started = Instant::now();
        raw.send(&frame[..cut]);
        assert_eq!(raw.close_frame().0, 1008, "after {cut} bytes");
        assert_about(started.elapsed(), SHORT);
    }
    server.until("nothing is held", |totals| totals.bytes_retained == 0);
}

#[test]
fn a_frame_that_drips_is_alive() {
    let server = Running::start(1, watchful(0, 8 * SHORT_MS));
    let mut raw = server.upgraded("/ws");
    let started = Instant::now();
    for byte in masked(0x81, b"hello") {
        raw.send([byte]);
        thread::sleep(SHORT);
    }
    assert_eq!(raw.read(7), b"\x81\x05hello");
    assert!(started.elapsed() > 8 * SHORT, "or it proves nothing");
}

#[test]
fn who_only_listens_is_idle_although_it_takes_messages() {
    // The issue: "after so long without a byte from a client". Taking messages does not count; Pongs do.
    let server = Running::start(1, watchful(0, SHORT_MS));
    let mut deaf = server.upgraded("/ws");
    let mut publisher = server.client("/ws?echo=off");
    let mut heard = Vec::new();
    while server.totals().idle_timeouts == 0 {
        publisher.send("x");
        thread::sleep(SHORT / 10);
    }
    deaf.0.read_to_end(&mut heard).expect("its end");
    let at = heard.len() - heard.iter().rev().position(|byte| *byte == 0x88).expect("a Close frame") - 1;
    assert!(heard[..at].chunks(3).all(|frame| frame == b"\x81\x01x"), "{heard:02x?}");
    assert_eq!(heard[at + 2..at + 4], [0x03, 0xf0]);
}

#[test]
fn s7_1_1_a_peer_that_does_not_end_tcp_after_the_close_is_dropped_after_the_close_timeout() {
    let server = Running::start(1, |config| config.limits.close_timeout_ms = SHORT_MS);
    let mut raw = server.upgraded("/ws");
    let started = Instant::now();
    raw.send(masked(0x88, b"\x03\xe8"));
    assert_eq!(raw.close_frame().0, 1000);
    // It has the server's end and keeps its own open.
    server.until("it is dropped", |totals| totals.connections_open == 0);
    assert_about(started.elapsed(), SHORT);
}

#[test]
fn s7_1_1_a_peer_that_never_stops_sending_after_a_failure_is_dropped_after_the_close_timeout() {
    let server = Running::start(1, |config| config.limits.close_timeout_ms = SHORT_MS);
    let mut raw = server.upgraded("/ws");
    let started = Instant::now();
    raw.send(masked(0xf1, b"reserved bits"));
    assert_eq!(raw.close_frame().0, 1002);
    let error = loop {
        if let Err(error) = raw.0.write_all(&[0; 10_000]) {
            break error;
        }
        assert!(started.elapsed() < SHORT + SLACK, "nobody stops it");
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_about(started.elapsed(), SHORT);
}
