//! Attacks by time: who drips, who stalls, who does not read, who does not go. Each has a server of its own, and what it is
//! rid of, it is rid of by itself: the attacker holds on to its end.

use crate::case::{Case, assert_closed, assert_goes_on, head, open, rest, script, send, until_ended};
use crate::client::{Client, PATIENCE, Raw, Response, Stream, connect, header, masked, upgrade};
use crate::stage::{MESSAGE_BYTES_MAX, Over, Stage};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The timeouts of these servers.
pub(crate) const TIMEOUTS: [&str; 8] =
    ["--handshake-timeout", "2", "--ping-interval", "1", "--idle-timeout", "3", "--close-timeout", "1"];
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two drips.
const DRIP: Duration = Duration::from_millis(20);

const TARGET: &str = "/ws/slow";

#[expect(clippy::too_many_lines, reason = "a row each")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        script("a head that drips for ever", |stage| {
            let drips = [upgrade("/ws").trim_end().as_bytes(), &b"\r\nX: 1".repeat(1_000)].concat();
            let answer = drip_until_ended(connect(stage.address, None), &drips, HANDSHAKE_TIMEOUT);
            assert_eq!(Response::of(answer).status, 408);
            stage.until_attackers_are(0, "a head that drips");
        }),
        script("a hundred heads that drip", |stage| {
            let mut streams: Vec<TcpStream> = (0..100).map(|_| connect(stage.address, None)).collect();
            let started = Instant::now();
            while started.elapsed() < 2 * HANDSHAKE_TIMEOUT {
                for stream in &mut streams {
                    send(stream, b"G");
                }
                thread::sleep(DRIP);
            }
            stage.until_attackers_are(0, "heads that drip");
            drop(streams);
        }),
        script("nothing at all", |stage| {
            let mut stream = connect(stage.address, None);
            assert_eq!(Response::of(rest(&mut stream, "nothing")).status, 408);
            stage.until_attackers_are(0, "nothing");
        }),
        script("nothing at all on the port for TLS", |stage| {
            let mut stream = connect(stage.tls_address, None);
            assert_eq!(rest(&mut stream, "nothing"), b"", "no TLS, no words");
            stage.until_attackers_are(0, "nothing");
        }),
        script("a hello of TLS that drips", |stage| {
            let hello = [&b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03"[..], &[7; 8_000]].concat();
            drip_until_ended(connect(stage.tls_address, None), &hello, HANDSHAKE_TIMEOUT);
            stage.until_attackers_are(0, "a hello that drips");
        }),
        script("a hello of TLS in records of a byte", |stage| {
            let hello: Vec<u8> = [1, 0, 31, 252, 3, 3]
                .into_iter()
                .chain([7; 2_000])
                .flat_map(|byte| [22, 3, 1, 0, 1, byte])
                .collect();
            drip_until_ended(connect(stage.tls_address, None), &hello, HANDSHAKE_TIMEOUT);
            stage.until_attackers_are(0, "records of a byte");
        }),
        script("a head that drips within TLS", |stage| {
            let mut stream = stage.connect(Over::Tls);
            let started = Instant::now();
            while stage.attackers() > 0 {
                assert!(started.elapsed() < HANDSHAKE_TIMEOUT + PATIENCE, "nobody stops it");
                send(&mut *stream, b"G");
                thread::sleep(DRIP);
            }
        }),
        script("a frame's header that stalls", |stage| stall(stage, &header(0x82, 60_000)[..3])),
        script("a frame's mask that stalls", |stage| stall(stage, b"\x81\x85\x01\x02")),
        script("a payload that stalls", |stage| {
            stall(stage, &[&header(0x82, 60_000)[..], &[0; 30_000]].concat());
        }),
        script("a message that stalls between fragments", |stage| {
            stall(stage, &masked(0x01, &vec![b'x'; 30_000]));
        }),
        script("a compressed message that stalls", |stage| {
            let mut stream =
                open(stage, Over::Tcp, TARGET, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
            send(&mut *stream, &masked(0x41, &[0; 30_000]));
            assert_idle(stage, &mut *stream);
        }),
        script("a frame that drips is alive, and held once", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            let (started, frame) = (Instant::now(), masked(0x81, &[b'x'; 120]));
            let (last, drips) = frame.split_last().expect("bytes");
            for byte in drips {
                send(&mut *stream, &[*byte]);
                thread::sleep(IDLE_TIMEOUT / 100);
            }
            assert!(started.elapsed() > IDLE_TIMEOUT, "or it proves nothing");
            send(&mut *stream, &[*last]);
            assert_goes_on(&mut *stream, &[&b"\x81\x78"[..], &[b'x'; 120]].concat(), "a frame that drips");
        }),
        script("a fragmented message that drips is alive until it has too many bytes", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            let (started, mut sent) = (Instant::now(), 1_000);
            send(&mut *stream, &masked(0x02, &[0; 1_000]));
            while sent + 500 <= MESSAGE_BYTES_MAX {
                send(&mut *stream, &masked(0x00, &[0; 500]));
                sent += 500;
                thread::sleep(IDLE_TIMEOUT / 80);
            }
            assert!(started.elapsed() > IDLE_TIMEOUT, "or it proves nothing");
            send(&mut *stream, &masked(0x00, &[0; 500]));
            assert_closed(&mut *stream, 1009, "a message that drips");
        }),
        script("who answers no Ping", |stage| stall(stage, b"")),
        script("who answers no Ping within TLS", |stage| {
            let mut stream = open(stage, Over::Tls, TARGET, "");
            assert_idle(stage, &mut *stream);
        }),
        script("who listens and does not answer a Ping", |stage| {
            let mut speaker = Client::connect(stage.address, "/ws/slow?echo=off");
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            let started = Instant::now();
            while stage.attackers() > 1 {
                assert!(started.elapsed() < IDLE_TIMEOUT + PATIENCE, "nobody stops it");
                speaker.send("x");
                thread::sleep(DRIP);
            }
            until_ended(&mut *stream, "who listens");
        }),
        script("who never ends TCP after a Close", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            send(&mut *stream, &masked(0x88, b"\x03\xe8"));
            assert_closed(&mut *stream, 1000, "a Close");
            stage.until_attackers_are(0, "who never ends TCP");
        }),
        script("who never ends TCP after a refusal", |stage| {
            let mut stream = connect(stage.address, None);
            send(&mut stream, b"\0");
            assert_eq!(Response::of(rest(&mut stream, "a refusal")).status, 400);
            stage.until_attackers_are(0, "who never ends TCP");
        }),
        script("who never ends TCP after a page", |stage| {
            let mut stream = connect(stage.address, None);
            send(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(Response::of(rest(&mut stream, "a page")).status, 200);
            stage.until_attackers_are(0, "who never ends TCP");
        }),
        script("who answers no Close", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            send(&mut *stream, &masked(0x83, b""));
            assert_closed(&mut *stream, 1002, "a violation");
            stage.until_attackers_are(0, "who answers no Close");
        }),
        script("who sends for ever after a Close", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            send(&mut *stream, &masked(0x88, b"\x03\xe8"));
            send_for_ever(stage, &mut *stream, &masked(0x82, &[0; 10_000]));
        }),
        script("who sends for ever after a violation", |stage| {
            let mut stream = open(stage, Over::Tcp, TARGET, "");
            send_for_ever(stage, &mut *stream, &[0xff; 10_000]);
        }),
        script("who sends for ever after a refusal", |stage| {
            let mut stream = connect(stage.address, None);
            send_for_ever(stage, &mut stream, &[0; 10_000]);
        }),
        script("who sends for ever after a Close within TLS", |stage| {
            let mut stream = open(stage, Over::Tls, TARGET, "");
            send(&mut *stream, &masked(0x88, b"\x03\xe8"));
            send_for_ever(stage, &mut *stream, &masked(0x82, &[0; 10_000]));
        }),
        script("who does not read its channel", |stage| {
            let lazy = Raw(connect(stage.address, Some(4 << 10)));
            unread_channel(stage, lazy);
        }),
        script("fifty who do not read their channel", |stage| {
            let lazy: Vec<Raw> = (0..50).map(|_| lazy(stage)).collect();
            let mut speaker = Client::connect(stage.address, "/ws/slow?echo=off");
            for number in 0..100 {
                speaker.send(&format!("{number} {}", "x".repeat(10_000)));
            }
            stage.until_attackers_are(1, "fifty who do not read");
            drop(lazy);
        }),
        script("a publisher that does not read its own messages", |stage| {
            let mut stream = lazy(stage);
            stream.0.set_write_timeout(Some(Duration::from_millis(500))).expect("a socket");
            // It is slow like anyone else, or it is not read any more.
            for _ in 0..200 {
                if stream.0.write_all(&masked(0x82, &[0; 10_000])).is_err() {
                    break;
                }
            }
            stage.assert_within_budget("a publisher that does not read");
        }),
        script("who does not read the Pongs it asks for, and goes on asking", |stage| {
            let mut stream = lazy(stage);
            stream.0.set_write_timeout(Some(Duration::from_millis(100))).expect("a socket");
            let started = Instant::now();
            while started.elapsed() < IDLE_TIMEOUT && stage.attackers() > 0 {
                drop(stream.0.write(&masked(0x89, &[b'p'; 125]).repeat(100)));
            }
            stage.assert_within_budget("Pongs");
        }),
        script("who does not read the chat page", |stage| {
            let mut streams: Vec<TcpStream> =
                (0..50).map(|_| connect(stage.address, Some(2 << 10))).collect();
            for stream in &mut streams {
                send(stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            stage.until_attackers_are(0, "who does not read the page");
            drop(streams);
        }),
        script("half a connection, closed before the request is whole", |stage| {
            let mut stream = connect(stage.address, None);
            send(&mut stream, b"GET /ws HTTP/1.1\r\n");
            stream.shutdown(Shutdown::Write).expect("connected");
            until_ended(&mut stream, "half a connection");
            stage.until_attackers_are(0, "half a connection");
        }),
        script("half a connection, closed behind the request", |stage| {
            let mut stream = connect(stage.address, None);
            send(&mut stream, upgrade(TARGET).as_bytes());
            stream.shutdown(Shutdown::Write).expect("connected");
            assert!(head(&mut stream, "half a connection").starts_with("HTTP/1.1 101 "));
            until_ended(&mut stream, "half a connection");
            stage.until_attackers_are(0, "half a connection");
        }),
        script("half a connection, closed in the midst of a message", |stage| {
            let mut stream = connect(stage.address, None);
            send(&mut stream, &[upgrade(TARGET).as_bytes(), &masked(0x01, b"half")].concat());
            stream.shutdown(Shutdown::Write).expect("connected");
            until_ended(&mut stream, "half a connection");
            stage.until_attackers_are(0, "half a connection");
        }),
    ]
}

/// Drips the bytes while it listens; what came up to the end, which comes about `after` the beginning.
fn drip_until_ended(mut stream: TcpStream, bytes: &[u8], after: Duration) -> Vec<u8> {
    let started = Instant::now();
    let mut hand = stream.try_clone().expect("a descriptor");
    let mut came = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            for byte in bytes {
                if hand.write_all(&[*byte]).is_err() || started.elapsed() > after + PATIENCE {
                    break;
                }
                thread::sleep(DRIP);
            }
        });
        drop(stream.read_to_end(&mut came));
        let elapsed = started.elapsed();
        assert!(elapsed + Duration::from_millis(10) > after && elapsed < after + PATIENCE, "{elapsed:?}");
        // The server does not see this: its side is to end it.
        drop(stream.shutdown(Shutdown::Read));
    });
    came
}

/// Sends these bytes on an open WebSocket and then nothing, not even a Pong.
fn stall(stage: &Stage, bytes: &[u8]) {
    let mut stream = open(stage, Over::Tcp, TARGET, "");
    send(&mut *stream, bytes);
    assert_idle(stage, &mut *stream);
}

/// It is asked, told that it was silent for too long, and let go.
fn assert_idle(stage: &Stage, stream: &mut dyn Stream) {
    let started = Instant::now();
    let bytes = rest(stream, "who is silent");
    // One a second.
    let pings_max = started.elapsed().as_secs() as usize + 1;
    let pings = bytes.chunks(2).take_while(|frame| *frame == b"\x89\0").count();
    // Two, unless the machine stands still: then one is left out, or the silence is excused and goes on. When they come to
    // the millisecond the simulation has.
    assert!((1..=pings_max).contains(&pings), "Pings come first: {bytes:02x?}");
    let close = &bytes[2 * pings..];
    assert_eq!((close[0], &close[2..4]), (0x88, &1008_u16.to_be_bytes()[..]), "{close:02x?}");
    stage.until_attackers_are(0, "who is silent");
}

/// Sends until the server cuts it off, which it does although something comes all the time.
fn send_for_ever(stage: &Stage, stream: &mut dyn Stream, bytes: &[u8]) {
    let started = Instant::now();
    while stage.attackers() > 0 {
        assert!(started.elapsed() < PATIENCE, "nobody stops it");
        send(stream, bytes);
    }
}

/// A client of the channel that does not read, and whose kernel takes little.
fn lazy(stage: &Stage) -> Raw {
    let mut raw = Raw(connect(stage.address, Some(4 << 10)));
    raw.send(upgrade(TARGET));
    assert!(head(&mut raw.0, TARGET).starts_with("HTTP/1.1 101 "));
    raw
}

/// One hears everything in order; the other is let go.
fn unread_channel(stage: &Stage, mut raw: Raw) {
    raw.send(upgrade(TARGET));
    assert!(head(&mut raw.0, TARGET).starts_with("HTTP/1.1 101 "));
    let mut speaker = Client::connect(stage.address, TARGET);
    for number in 0..200 {
        let message = format!("{number} {}", "x".repeat(10_000));
        speaker.send(&message);
        assert!(speaker.text() == message, "who reads hears everything");
    }
    stage.until_attackers_are(1, "who does not read");
    drop(raw);
}
