//! Attacks by number: of frames, of handshakes, of connections, of ends.

use crate::case::{Case, assert_closed, assert_goes_on, head, open, rest, script, send, until_ended};
use crate::client::{Response, connect, header, masked, upgrade};
use crate::stage::{HEALTH, MESSAGE_BYTES_MAX, Over, Stage};
use fanwire::limits::{FRAGMENTS_MAX, REFUSALS_MAX};
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

const TARGET: &str = "/ws/flooded";

#[expect(clippy::too_many_lines, reason = "a row each")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        script("Pings of who reads", pings_of_who_reads),
        script("Pings of who does not read", |stage| {
            flood_unread(stage, &masked(0x89, &[b'p'; 125]), 20_000);
        }),
        script("empty Pings of who does not read", |stage| flood_unread(stage, &masked(0x89, b""), 60_000)),
        script("Pongs that nobody asked for", |stage| flood_read(stage, &masked(0x8a, &[b'p'; 125]), 20_000)),
        script("empty Pongs", |stage| flood_read(stage, &masked(0x8a, b""), 60_000)),
        script("empty messages of who does not read", |stage| {
            flood_unread(stage, &masked(0x81, b""), 20_000);
        }),
        script("messages of a byte of who does not read", |stage| {
            flood_unread(stage, &masked(0x82, b"x"), 20_000);
        }),
        script("messages as long as may be of who does not read", |stage| {
            flood_unread(stage, &masked(0x82, &vec![0; MESSAGE_BYTES_MAX]), 60);
        }),
        script("Pings and messages by turns of who does not read", |stage| {
            flood_unread(stage, &[masked(0x89, &[b'p'; 125]), masked(0x81, &[b'm'; 1_000])].concat(), 3_000);
        }),
        script("empty fragments, more than a message may have", too_many_fragments),
        script("empty fragments that end in time", many_fragments),
        script("fragments of a byte, up to the limit", fragments_of_a_byte),
        script("Closes without end", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            send(&mut *stream, &masked(0x88, b"\x03\xe8").repeat(10_000));
            assert_closed(&mut *stream, 1000, "Closes");
        }),
        script("unmasked bytes without end", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            send(&mut *stream, &vec![b'G'; 4 << 20]);
            assert_closed(&mut *stream, 1002, "unmasked bytes");
        }),
        script("a thousand pages asked for on one connection", |stage| {
            let mut stream = stage.connect(Over::Tcp);
            send(&mut *stream, HEALTH.repeat(1_000).as_bytes());
            assert_eq!(Response::of(rest(&mut *stream, "pages")).body, "ok\n", "one is answered");
        }),
        script("pages at the same time", |stage| at_once(stage, 200, HEALTH, "HTTP/1.1 200")),
        script("refused requests at the same time", |stage| {
            at_once(stage, 200, "\r\n\r\n\0", "HTTP/1.1 400");
        }),
        script("handshakes at the same time", |stage| at_once(stage, 200, &upgrade(TARGET), "HTTP/1.1 101")),
        script("handshakes that are never ended", |stage| {
            abandon(stage, 300, upgrade(TARGET).as_bytes().split_last().expect("bytes").1);
        }),
        script("connections that say nothing", |stage| abandon(stage, 300, b"")),
        script("one byte and gone", |stage| abandon(stage, 300, b"G")),
        script("resets instead of a request", |stage| reset(stage, 300, b"")),
        script("resets in the midst of a request", |stage| reset(stage, 300, b"GET /ws HT")),
        script("resets behind a request", |stage| reset(stage, 300, upgrade(TARGET).as_bytes())),
        script("resets in the midst of a frame", |stage| {
            reset(stage, 300, &[upgrade(TARGET).as_bytes(), &header(0x82, 60_000), &[0; 30_000]].concat());
        }),
        script("resets behind a Close", |stage| {
            reset(stage, 300, &[upgrade(TARGET).as_bytes(), &masked(0x88, b"\x03\xe8")].concat());
        }),
        script("an end without a request", |stage| finish(stage, 300, b"")),
        script("an end in the midst of a request", |stage| finish(stage, 100, b"GET /ws HT")),
        script("an end behind a request", |stage| finish(stage, 100, upgrade(TARGET).as_bytes())),
        script("an end in the midst of a frame", |stage| {
            finish(stage, 100, &[upgrade(TARGET).as_bytes(), &header(0x82, 60_000), &[0; 100]].concat());
        }),
        script("five thousand connections that come and go", |stage| {
            for _ in 0..5_000 {
                drop(TcpStream::connect(stage.address).expect("the server listens"));
            }
        }),
        script("five hundred WebSockets that come and go", |stage| {
            for _ in 0..500 {
                drop(open(stage, Over::Tcp, TARGET, ""));
            }
        }),
        script("TLS handshakes that come and go", |stage| {
            for _ in 0..30 {
                drop(open(stage, Over::Tls, TARGET, ""));
            }
        }),
        script("hellos of TLS that are never ended", |stage| {
            let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 300]].concat();
            let mut streams: Vec<TcpStream> = (0..200).map(|_| connect(stage.tls_address, None)).collect();
            for stream in &mut streams {
                stream.write_all(&hello).expect("the server takes it");
            }
            stage.assert_within_budget("hellos");
        }),
        script("garbage on the port for TLS", |stage| {
            for byte in 0..=255_u8 {
                let mut stream = connect(stage.tls_address, None);
                send(&mut stream, &[byte; 300]);
                drop(stream.shutdown(Shutdown::Write));
                until_ended(&mut stream, "garbage");
            }
        }),
        script("plain HTTP on the port for TLS", |stage| {
            let mut stream = connect(stage.tls_address, None);
            send(&mut stream, upgrade(TARGET).as_bytes());
            assert_eq!(Response::of(rest(&mut stream, "plain HTTP")).status, 400);
        }),
        script("records of TLS that are empty", |stage| {
            let mut stream = connect(stage.tls_address, None);
            send(&mut stream, &b"\x16\x03\x03\x00\x00".repeat(20_000));
            until_ended(&mut stream, "empty records");
        }),
        script("more than there are places, again and again", |stage| {
            // Those who are refused are many; those who were in before stay in.
            for _ in 0..3 {
                let mut streams: Vec<TcpStream> =
                    (0..2 * REFUSALS_MAX).map(|_| connect(stage.address, None)).collect();
                for stream in &mut streams {
                    send(stream, b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
                }
                for mut stream in streams {
                    assert!([404, 503].contains(&Response::of(rest(&mut stream, "crowd")).status));
                }
            }
        }),
        script("a request in segments of a byte", |stage| {
            let mut streams: Vec<TcpStream> = (0..20).map(|_| connect(stage.address, None)).collect();
            for byte in upgrade(TARGET).bytes() {
                for stream in &mut streams {
                    send(stream, &[byte]);
                }
            }
            for stream in &mut streams {
                assert!(head(stream, "bytes").starts_with("HTTP/1.1 101 "));
            }
        }),
        script("frames in segments of a byte", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            for byte in masked(0x81, b"in segments").repeat(20) {
                send(&mut *stream, &[byte]);
            }
            assert_goes_on(&mut *stream, &b"\x81\x0bin segments".repeat(20), "bytes");
        }),
    ]
}

fn pings_of_who_reads(stage: &Stage) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    for _ in 0..20 {
        send(&mut *stream, &masked(0x89, b"p").repeat(500));
        // Of many that come at once the latest is answered (RFC 6455 §5.5.3).
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"\x8a\x01p");
    }
    send(&mut *stream, &masked(0x88, b"\x03\xe8"));
    assert_closed(&mut *stream, 1000, "Pings");
}

/// Sends a frame again and again without reading, until the server has had enough of it; then leaves.
fn flood_unread(stage: &Stage, frame: &[u8], times: usize) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    stream.tcp().set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let some = frame.repeat((16_384 / frame.len()).max(1));
    for _ in 0..(times * frame.len()).div_ceil(some.len()) {
        if stream.write_all(&some).is_err() {
            break;
        }
    }
    stage.assert_within_budget("a flood");
}

/// Sends a frame again and again; nothing comes of it, and the connection goes on.
fn flood_read(stage: &Stage, frame: &[u8], times: usize) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    send(&mut *stream, &frame.repeat(times));
    assert_goes_on(&mut *stream, b"", "a flood");
}

fn too_many_fragments(stage: &Stage) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    send(&mut *stream, &masked(0x01, b""));
    send(&mut *stream, &masked(0x00, b"").repeat(FRAGMENTS_MAX as usize + 10));
    assert_closed(&mut *stream, 1008, "fragments");
}

fn many_fragments(stage: &Stage) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    send(&mut *stream, &masked(0x01, b""));
    send(&mut *stream, &masked(0x00, b"").repeat(60_000));
    send(&mut *stream, &masked(0x80, b"end"));
    assert_goes_on(&mut *stream, b"\x81\x03end", "fragments");
}

fn fragments_of_a_byte(stage: &Stage) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    send(&mut *stream, &masked(0x02, b"x"));
    send(&mut *stream, &masked(0x00, b"x").repeat(60_000));
    stage.assert_within_budget("fragments");
    send(&mut *stream, &masked(0x80, b""));
    let message = [&[0x82, 126][..], &60_001_u16.to_be_bytes(), &vec![b'x'; 60_001]].concat();
    assert_goes_on(&mut *stream, &message, "fragments");
}

/// So many at the same time, who all get their answer.
fn at_once(stage: &Stage, count: usize, request: &str, answer: &str) {
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(stage.address, None)).collect();
    for stream in &mut streams {
        send(stream, request.as_bytes());
    }
    for stream in &mut streams {
        assert!(head(stream, request).starts_with(answer), "{request}");
    }
}

/// Leaves after these bytes, in good order.
fn abandon(stage: &Stage, count: usize, bytes: &[u8]) {
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(stage.address, None)).collect();
    for stream in &mut streams {
        send(stream, bytes);
    }
    stage.assert_within_budget("many at the same time");
}

/// Resets each connection after these bytes.
fn reset(stage: &Stage, count: usize, bytes: &[u8]) {
    let address = stage.address;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..count / 3 {
                    let mut stream = connect(address, None);
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
                    send(&mut stream, bytes);
                }
            });
        }
    });
}

/// Says its last with these bytes, and waits for the server's end.
fn finish(stage: &Stage, count: usize, bytes: &[u8]) {
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(stage.address, None)).collect();
    for stream in &mut streams {
        send(stream, bytes);
        drop(stream.shutdown(Shutdown::Write));
    }
    for stream in &mut streams {
        until_ended(stream, "an end");
    }
}
