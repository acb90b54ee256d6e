//! Attacks on the PROXY protocol, by who is trusted, or by who reaches the port: headers that are none, that lie about
//! their length, that drip or never come. Nobody is answered a word, for nobody is known.

use crate::case::{Case, script, send, silenced, until_ended};
use crate::client::{PATIENCE, assert_eof, connect, upgrade};
use crate::stage::{Over, Stage};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// The server's options. Who attacks is trusted.
pub(crate) const OPTIONS: [&str; 3] = ["--proxy-protocol", "--trust-proxy", "127.0.0.0/8"];

/// The same with a timeout that can be waited for.
pub(crate) const HASTY: [&str; 5] = [OPTIONS[0], OPTIONS[1], OPTIONS[2], "--handshake-timeout", "2"];

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: version and command, family and protocol, the length that it claims, and what follows.
fn v2(command: u8, family: u8, len: u16, rest: &[u8]) -> Vec<u8> {
    [V2, &[command, family], &len.to_be_bytes(), rest].concat()
}

pub(crate) fn cases() -> Vec<Case> {
    let ones = vec![255; 70_000];
    vec![
        silenced("a request without a PROXY header", upgrade("/ws")),
        silenced("a hello of TLS without a PROXY header", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        silenced("zeros for a PROXY header", [0; 4_096]),
        silenced("a PROXY line without an end", "PROXY ".repeat(10_000)),
        silenced("a PROXY line of 108 bytes", format!("PROXY UNKNOWN {}\r\n", "x".repeat(92))),
        silenced(
            "a PROXY line that ends in LF",
            format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n{}", upgrade("/ws")),
        ),
        silenced("a PROXY line with CR within", "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n"),
        silenced("a PROXY line with NUL within", "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"),
        silenced("a PROXY line that is not UTF-8", b"PROXY UNKNOWN \xff\xfe\r\n"),
        silenced("a PROXY line with an address of letters", "PROXY TCP4 Evil.example 192.0.2.2 1 2\r\n"),
        silenced("a PROXY line with ports beyond 16 bits", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 99999\r\n"),
        silenced(
            "a PROXY line with a port of a thousand digits",
            format!("PROXY TCP4 1.1.1.1 1.1.1.1 {}", "9".repeat(1_000)),
        ),
        silenced("a PROXY line of IPv6 for IPv4", "PROXY TCP4 ::1 ::1 1 2\r\n"),
        silenced("a PROXY header as long as 16 bits can say", v2(0x21, 0x11, u16::MAX, &ones)),
        silenced("a PROXY header of a length beyond the bound", v2(0x21, 0x11, 1_009, &ones)),
        silenced("a PROXY header too short for its addresses", v2(0x21, 0x11, 11, &ones)),
        silenced("a PROXY header of IPv6 with addresses of IPv4", v2(0x21, 0x21, 12, &ones)),
        silenced("a PROXY header of an unknown version", v2(0x31, 0x11, 12, &ones)),
        silenced("a PROXY header with an unknown command", v2(0x2f, 0x11, 12, &ones)),
        silenced("a PROXY header of an unknown family", v2(0x21, 0xf1, 12, &ones)),
        silenced("a PROXY header of an unknown protocol", v2(0x21, 0x1f, 12, &ones)),
        silenced("a PROXY header with a signature that is nearly right", b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\0"),
        script("a thousand connections that end within their PROXY header", |stage| {
            for over in [Over::Tcp, Over::Tls] {
                for len in 0..500 {
                    let header = v2(0x21, 0x11, 1_000, &[0; 600]);
                    send(&mut raw(stage, over), &header[..len]);
                }
            }
        }),
    ]
}

/// Those that wait for a timeout.
pub(crate) fn slow_cases() -> Vec<Case> {
    vec![
        script("nothing at all where a PROXY header is due", |stage| {
            for over in [Over::Tcp, Over::Tls] {
                assert_eof(&mut raw(stage, over));
            }
        }),
        script("a PROXY header that drips", |stage| {
            for over in [Over::Tcp, Over::Tls] {
                let mut stream = raw(stage, over);
                let started = Instant::now();
                for byte in v2(0x21, 0x11, 1_000, &[0; 1_000]) {
                    send(&mut stream, &[byte]);
                    thread::sleep(Duration::from_millis(20));
                    if stage.attackers() == 0 {
                        break;
                    }
                    assert!(started.elapsed() < PATIENCE, "nobody stops it");
                }
                until_ended(&mut stream, "a header that drips");
            }
        }),
        script("a hundred PROXY headers that stall a byte before their end", |stage| {
            let header = v2(0x21, 0x11, 1_000, &[0; 999]);
            let mut streams: Vec<TcpStream> = (0..100).map(|_| raw(stage, Over::Tcp)).collect();
            for stream in &mut streams {
                send(stream, &header);
            }
            stage.until_attackers_are(0, "headers that stall");
            drop(streams);
        }),
    ]
}

/// A connection of which nothing has been said.
fn raw(stage: &Stage, over: Over) -> TcpStream {
    connect(stage.port(over), None)
}
