//! What bad clients do: [`Arsenal`] draws one [`Script`] after the other. Each kind of attack is a function, and [`KINDS`] says
//! how often it comes.

use crate::crowd::LOUD_ROOMS;
use crate::member;
use crate::random::Random;
use crate::script::{Script, Step, Tls, frame, header, upgrade};
use crate::server::MESSAGE_BYTES_MAX;
use fanwire::protocol::{Compressing, Deflater, FrameHeader, Kind, MaskingKey, Parse, Window, WindowBits};
use rustls::{ClientConfig, ClientConnection};
use std::sync::Arc;

const FIN_TEXT: u8 = 0x81;
const TEXT: u8 = 0x01;
const CONTINUATION: u8 = 0x00;
const FIN_BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const RSV1: u8 = 0x40;

/// A key with which masking changes nothing.
const NO_KEY: MaskingKey = MaskingKey([0; 4]);

/// Writes one kind of attack.
type Attack = fn(&Arsenal, &mut Script, &mut Random);

/// Name, how often it comes, and what it does.
const KINDS: [(&str, usize, Attack); 29] = [
    ("random bytes instead of a request", 4, random_bytes),
    ("a part of a request", 3, part_of_a_request),
    ("a request byte by byte", 4, slow_request),
    ("header lines without end", 2, endless_head),
    ("requests that open no WebSocket", 6, wrong_request),
    ("many requests at once, unread", 2, pipelined_pages),
    ("random bytes instead of frames", 5, random_frames),
    ("frames that break a rule", 10, broken_frame),
    ("a huge declared length", 4, huge_length),
    ("half a message, held", 4, hoard),
    ("a flood of Pings, unread", 2, unread_pings),
    ("a flood of Pings", 2, pings),
    ("a flood of fragments", 2, fragments),
    ("a deflate bomb", 3, deflate_bomb),
    ("corrupt deflate", 3, corrupt_deflate),
    ("never reads what a room says", 5, never_reads),
    ("never reads its own echoes", 3, unread_echoes),
    ("a reset within a frame", 4, reset_within_frame),
    ("a reset after connecting", 4, reset_at_once),
    ("joins and is gone by a reset", 6, join_and_reset),
    ("half a TLS handshake", 3, half_tls),
    ("random bytes to the TLS port", 2, random_to_tls),
    ("plain HTTP to the TLS port", 2, plain_to_tls),
    ("TLS to the plain port", 2, tls_to_plain),
    ("random bytes within TLS", 3, random_within_tls),
    ("half-closed", 3, half_closed),
    ("talks on behind its Close", 3, talks_after_close),
    ("never ends a connection that failed", 3, never_ends),
    ("valid messages byte by byte", 6, valid_drips),
];

/// What bad clients share.
pub(crate) struct Arsenal {
    configs: Vec<Arc<ClientConfig>>,
    rooms: usize,
    /// A compressed message of a few KiB that inflates to more than may be.
    bomb: Vec<u8>,
    /// Some that just fit.
    dense: Vec<u8>,
}

impl Arsenal {
    pub(crate) fn new(configs: Vec<Arc<ClientConfig>>, rooms: usize) -> Arsenal {
        let compressed = |len: usize| {
            let mut deflater = Deflater::new(Compressing { level: 9, bytes_min: 0 });
            let window = Window::within(WindowBits::MAX).expect("all can inflate it");
            let mut message = Vec::new();
            deflater.append_message(window, Kind::Binary, &vec![b'a'; len], &mut message);
            // The same from a client: masked.
            let Ok(Parse::Complete((_, header_len))) = FrameHeader::parse(&message) else {
                unreachable!("a frame is made")
            };
            let payload = &message[header_len..];
            [&header(FIN_BINARY | RSV1, payload.len() as u64, NO_KEY)[..], payload].concat()
        };
        Arsenal { configs, rooms, bomb: compressed(8 << 20), dense: compressed(MESSAGE_BYTES_MAX - 10) }
    }

    /// The next attack: its name and what it does.
    pub(crate) fn draw(&self, random: &mut Random) -> (&'static str, Script) {
        let weights: usize = KINDS.iter().map(|(_, weight, _)| weight).sum();
        let mut draw = random.below(weights);
        let kind = KINDS.iter().find(|(_, weight, _)| match draw.checked_sub(*weight) {
            Some(left) => {
                draw = left;
                false
            }
            None => true,
        });
        let (name, _, attack) = kind.expect("the draw is below the sum of all weights");
        let mut script = Script { life_ms: random.within(200..=15_000) as u64, ..Script::default() };
        attack(self, &mut script, random);
        (name, script)
    }

    /// Half a message, held, by one who comes while there is memory and says it so many milliseconds later: many of them
    /// together fill the budget.
    pub(crate) fn draw_hoard(wait_ms: u64, random: &mut Random) -> Script {
        let life_ms = wait_ms + random.within(4_000..=8_000) as u64;
        let mut script = Script { life_ms, tls: Tls::None, ..Script::default() };
        script.enter(&noise(random)).then(Step::Wait(wait_ms));
        half_a_message(&mut script, random);
        script
    }

    /// A room where good clients are.
    fn room(&self, random: &mut Random) -> String {
        member::target(random.below(self.rooms))
    }
}

/// A channel where no good client is: what is said there is judged by nobody.
fn noise(random: &mut Random) -> String {
    format!("/ws/noise-{}", random.below(6))
}

// ---- Before the handshake is over -------------------------------------------------------------------------------------

fn random_bytes(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let len = random.within(1..=5_000);
    script.say(random.bytes(len));
}

fn part_of_a_request(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let request = upgrade(&noise(random), "");
    script.say(&request[..random.below(request.len())]);
    script.life_ms = random.within(1_000..=20_000) as u64;
}

fn slow_request(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let request = upgrade(&noise(random), "");
    script.then(Step::Drip(request.into(), random.within(5..=300) as u64));
    script.life_ms = 20_000;
}

fn endless_head(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let line = format!("X-{}: {}\r\n", random.below(100), "b".repeat(random.below(200)));
    script.say("GET /ws HTTP/1.1\r\nHost: localhost\r\n").then(Step::Flood(line.into_bytes(), 5_000));
}

fn wrong_request(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let request = upgrade(&noise(random), "");
    let request = String::from_utf8(request).expect("ASCII");
    let wrong = match random.below(14) {
        0 => request.replace("GET", "POST"),
        1 => request.replace("HTTP/1.1", "HTTP/1.0"),
        2 => request.replace("Version: 13", "Version: 8"),
        3 => request.replace("Host: localhost\r\n", ""),
        4 => request.replace("Host: localhost", "Host: a\r\nHost: b"),
        5 => request.replace("Upgrade: websocket", "Upgrade : websocket"),
        6 => request.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n\u{1}\u{2}\u{3}\u{4}\u{5}"),
        7 => request.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        8 => request.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        9 => request.replace("\r\n\r\n", "\r\nOrigin: https://elsewhere.example\r\n\r\n"),
        10 => request.replace("/ws/noise", "/nowhere"),
        11 => request.replace("/ws/noise", "/ws/%00"),
        12 => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        _ => request.replace("\r\n", "\n").replace("localhost", "\u{1}\u{2}"),
    };
    script.say(wrong);
}

fn pipelined_pages(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let target = random.pick(&["/", "/healthz", "/nowhere"]);
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    script.then(Step::StopReading).then(Step::Flood(request.into_bytes(), 200));
}

fn reset_at_once(_: &Arsenal, script: &mut Script, random: &mut Random) {
    script.then(Step::Wait(random.below(30) as u64)).then(Step::Reset);
}

// ---- TLS --------------------------------------------------------------------------------------------------------------

fn client_hello(arsenal: &Arsenal, random: &mut Random) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    let config = arsenal.configs[random.below(arsenal.configs.len())].clone();
    let mut hello = Vec::new();
    let mut session = ClientConnection::new(config, name).expect("a configuration");
    session.write_tls(&mut hello).expect("a vector takes all");
    hello
}

fn half_tls(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    let mut hello = client_hello(arsenal, random);
    match random.below(3) {
        // All of it, and then nothing.
        0 => {}
        1 => hello.truncate(random.below(hello.len())),
        _ => {
            let at = random.below(hello.len());
            hello[at] ^= 1 << random.below(8);
        }
    }
    (script.tls, script.is_deaf) = (Tls::Ignored, true);
    if random.chance(30) {
        script.then(Step::Drip(hello.into(), random.within(1..=50) as u64));
    } else {
        script.say(hello);
    }
    script.life_ms = random.within(1_000..=12_000) as u64;
}

fn random_to_tls(_: &Arsenal, script: &mut Script, random: &mut Random) {
    (script.tls, script.is_deaf) = (Tls::Ignored, true);
    let len = random.within(1..=3_000);
    script.say(random.bytes(len));
}

fn plain_to_tls(_: &Arsenal, script: &mut Script, random: &mut Random) {
    script.tls = Tls::Ignored;
    script.say(upgrade(&noise(random), ""));
}

fn tls_to_plain(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    script.tls = Tls::None;
    script.say(client_hello(arsenal, random));
}

fn random_within_tls(_: &Arsenal, script: &mut Script, random: &mut Random) {
    (script.tls, script.is_deaf) = (Tls::Spoken, true);
    script.enter(&noise(random));
    let mut garbage = random.bytes(200);
    if random.chance(50) {
        // A record of application data, which nobody can decrypt.
        garbage.splice(..5, [23, 3, 3, 0, 195]);
    }
    script.then(Step::SayRaw(garbage));
}

// ---- Frames -----------------------------------------------------------------------------------------------------------

fn random_frames(_: &Arsenal, script: &mut Script, random: &mut Random) {
    script.enter(&noise(random));
    for _ in 0..random.within(1..=4) {
        let len = random.within(1..=2_000);
        script.say(random.bytes(len));
    }
}

fn broken_frame(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let valid = frame(FIN_TEXT, b"so far, so good", random);
    let broken = match random.below(16) {
        // Not masked.
        0 => b"\x81\x02hi".to_vec(),
        1 => frame(FIN_TEXT | 0x20, b"reserved bits", random),
        2 => frame(FIN_TEXT | RSV1, b"not agreed to", random),
        3 => frame(0x83, b"reserved opcode", random),
        4 => frame(0x8b, b"reserved control opcode", random),
        5 => frame(0x09, b"a Ping in fragments", random),
        6 => frame(PING, &[b'x'; 126], random),
        7 => frame(FIN_TEXT, b"\xff\xfe not UTF-8", random),
        8 => frame(0x80, b"continues nothing", random),
        9 => [frame(TEXT, b"one", random), frame(TEXT, b"and another", random)].concat(),
        10 => frame(CLOSE, b"\x03", random),
        11 => frame(CLOSE, b"\x03\xed1005 may not be sent", random),
        12 => frame(CLOSE, b"\x03\xe8\xff", random),
        // Lengths that are not minimal, or have 64 bits.
        13 => [&[FIN_TEXT, 0xfe, 0, 5, 0, 0, 0, 0][..], b"hello"].concat(),
        14 => [&[FIN_TEXT, 0xff][..], &5_u64.to_be_bytes(), &[0; 4], b"hello"].concat(),
        _ => [&[FIN_TEXT, 0xff][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat(),
    };
    let target = noise(random);
    if random.chance(30) {
        // It does not wait for its 101.
        script.say([upgrade(&target, ""), valid, broken].concat());
    } else {
        script.enter(&target).say([valid, broken].concat());
    }
}

fn huge_length(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let len = random.pick(&[MESSAGE_BYTES_MAX as u64 + 1, 1 << 30, 1 << 32, 1 << 40, (1 << 62) + 7]);
    script.enter(&noise(random)).say(header(FIN_BINARY, len, NO_KEY)).then(Step::Flood(vec![0; 1_000], 50));
}

fn hoard(_: &Arsenal, script: &mut Script, random: &mut Random) {
    script.enter(&noise(random));
    half_a_message(script, random);
}

/// A message as long as it may be, but for its end, which comes a byte at a time.
fn half_a_message(script: &mut Script, random: &mut Random) {
    const CHUNK: usize = 8 << 10;
    let len = MESSAGE_BYTES_MAX - random.below(3 * CHUNK);
    let chunks = (len / CHUNK - 1) as u32;
    script.say(header(FIN_BINARY, len as u64, NO_KEY));
    script.then(Step::Flood(vec![0; CHUNK], chunks)).then(Step::Drip(vec![0; 20].into(), 2_000));
}

fn unread_pings(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let ping = frame(PING, &[b'p'; 125], random);
    script.enter(&noise(random)).then(Step::StopReading).then(Step::Flood(ping, 15_000));
    script.has_small_buffer = true;
}

fn pings(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let payload = random.below(126);
    let ping = frame(PING, &vec![b'p'; payload], random);
    script.enter(&noise(random)).then(Step::Flood(ping, 3_000));
}

fn fragments(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let fragment = random.below(2);
    let first = frame(TEXT, b"", random);
    let fragment = frame(CONTINUATION, &vec![b'f'; fragment], random);
    // Many in one piece, as one writes them who means it.
    script.enter(&noise(random)).say(first).then(Step::Flood(fragment.repeat(100), 700));
}

fn deflate_bomb(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    script.enter_deflated(&noise(random));
    if random.chance(50) {
        script.then(Step::Flood(arsenal.dense.clone(), 4));
    }
    script.say(arsenal.bomb.clone());
}

fn corrupt_deflate(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    let payload = random.bytes(300);
    let mut corrupt = frame(FIN_BINARY | RSV1, &payload, random);
    if random.chance(50) {
        corrupt.clone_from(&arsenal.dense);
        let at = random.within(8..=corrupt.len() - 1);
        corrupt[at] ^= 0x55;
    }
    script.enter_deflated(&noise(random)).say(corrupt);
}

/// It says now and then that it lives.
fn never_reads(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    let target =
        if random.chance(70) { member::target(random.below(LOUD_ROOMS)) } else { arsenal.room(random) };
    script.enter(&target).then(Step::StopReading);
    for _ in 0..12 {
        let pong = frame(PONG, b"", random);
        script.then(Step::Wait(5_000)).say(pong);
    }
    (script.has_small_buffer, script.life_ms) = (true, 60_000);
}

fn unread_echoes(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let len = random.within(10..=30_000);
    let message = frame(FIN_BINARY, &vec![b'e'; len], random);
    let times = (4 << 20) / message.len() as u32;
    script.enter("/echo").then(Step::StopReading).then(Step::Flood(message, times));
    script.has_small_buffer = true;
}

fn reset_within_frame(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    let message = frame(FIN_TEXT, &[b'r'; 400], random);
    script.enter(&arsenal.room(random)).say(&message[..random.below(message.len())]).then(Step::Reset);
}

fn join_and_reset(arsenal: &Arsenal, script: &mut Script, random: &mut Random) {
    let target = arsenal.room(random);
    if random.chance(50) {
        script.enter(&target);
    } else {
        script.say(upgrade(&target, "")).then(Step::Wait(random.below(10) as u64));
    }
    script.then(Step::Reset);
}

fn half_closed(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let message = frame(FIN_TEXT, b"the last words", random);
    script.enter(&noise(random)).say(message).then(Step::EndOwn);
}

fn talks_after_close(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let close = frame(CLOSE, b"\x03\xe8", random);
    let more = frame(FIN_BINARY, &[b'm'; 5_000], random);
    script.enter(&noise(random)).say(close).then(Step::Flood(more, 100));
}

fn never_ends(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let broken = frame(0x8f, b"", random);
    script.enter(&noise(random)).say(broken);
    for _ in 0..20 {
        script.then(Step::Wait(500)).say("still here");
    }
    script.life_ms = 12_000;
}

/// It breaks no rule.
fn valid_drips(_: &Arsenal, script: &mut Script, random: &mut Random) {
    let target = random.pick(&["/echo", "/ws/noise-0", "/ws/noise-1?echo=off"]);
    script.enter(target);
    let mut bytes = [frame(FIN_TEXT, "grüße".as_bytes(), random), frame(TEXT, b"in ", random)].concat();
    bytes.extend(frame(PING, b"between", random));
    bytes.extend(frame(0x80, b"pieces", random));
    bytes.extend(frame(CLOSE, b"\x03\xe8", random));
    script.then(Step::Drip(bytes.into(), random.within(1..=100) as u64));
    script.life_ms = 15_000;
}
