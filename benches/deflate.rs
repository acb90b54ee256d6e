//! What does permessage-deflate cost, and what does it save?
//!
//! Three questions. "compress": what one message costs by level, and what becomes of its bytes. "deliver": what a
//! delivery to each of 1,000 subscribers costs if messages go out as they are, if a message is compressed once and shared
//! by all (what fanwire does), and if it is compressed for each client in a context of its own (what a server must do
//! that lets the server's context be taken over, and does by its library's default). The first lines print bytes: of a
//! message as it is, compressed by itself, and compressed behind others like it in one context, on average.
//!
//! The messages are chat lines, as the terminal client sends them, and lists of them for the longer ones. "time" is per
//! message in "compress" and per delivery in "deliver".
//!
//! Bad news: a delivery that costs more compressed once than as it is by more than 50 ns, for a compression is shared by
//! all 1,000; and a compression for each client that does not cost a hundred times that.

mod per_unit;
mod room;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::config::DeflateConfig;
use fanwire::protocol::{Compressing, Deflater, Kind, Window};
use flate2::{Compress, Compression, FlushCompress};
use per_unit::{group, measure};
use room::Room;

const SUBSCRIBERS: usize = 1_000;
const LEVELS: [u8; 4] = [1, 3, 6, 9];

/// What people say.
const LINES: [(&str, &str); 12] = [
    ("ann", "good morning everyone"),
    ("bob", "morning! did the deploy go out last night?"),
    ("ann", "yes, a little after eleven, no alerts so far \u{1f389}"),
    ("carla", "I still see the old banner on staging, can somebody purge the cache?"),
    ("bob", "on it"),
    ("bob", "done, try again with a hard reload"),
    ("dmitri", "the nightly job took 47 minutes instead of 12, looks like the index on orders is gone"),
    ("carla", "works now, thank you"),
    ("ann", "dmitri: see https://wiki.example.com/runbooks/orders-index, second paragraph"),
    ("dmitri", "found it, rebuilding. Should be back to normal in half an hour or so."),
    ("emi", "lunch at the usual place? They have the noodle soup on Mondays, and the terrace is open again"),
    ("bob", "+1"),
];

fn line(number: usize) -> String {
    let (username, text) = LINES[number % LINES.len()];
    format!("{{\"username\":\"{username}\",\"text\":\"{text}\"}}")
}

/// A chat line of about this length, or a list of lines.
fn payload(len: usize) -> Vec<u8> {
    if len < 200 {
        let nearest = (0..LINES.len()).map(line).min_by_key(|line| line.len().abs_diff(len));
        return nearest.unwrap_or_default().into_bytes();
    }
    let mut list = String::new();
    for number in 0.. {
        list.push(if list.is_empty() { '[' } else { ',' });
        list.push_str(&line(number).replace('}', &format!(",\"id\":{}}}", number * 7919 % 100_003)));
        if list.len() >= len {
            break;
        }
    }
    list.push(']');
    list.into_bytes()
}

const LENGTHS: [usize; 5] = [64, 128, 512, 4 << 10, 64 << 10];

fn deflater(level: u8) -> Deflater {
    Deflater::new(Compressing { level, bytes_min: 0 })
}

/// Compresses in a context that is kept, as a connection of its own would.
fn compress_in(context: &mut Compress, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(payload.len() + 64);
    let status = context.compress_vec(payload, out, FlushCompress::Sync);
    assert!(status.is_ok() && out.len() < out.capacity(), "there is room for all of it");
}

fn print_bytes() {
    println!("bytes of a message: as it is, by itself at levels {LEVELS:?}, in a context at level 6");
    for len in LENGTHS {
        let payload = payload(len);
        let compressed = LEVELS.map(|level| {
            let mut frame = Vec::new();
            deflater(level).append_message(Window::Large, Kind::Text, &payload, &mut frame);
            frame.len()
        });
        println!("{:>6} {compressed:?}", payload.len());
    }
    let mut context = Compress::new(Compression::new(6), false);
    let (mut plain, mut alone, mut shared, mut frame) = (0, 0, 0, Vec::new());
    let mut deflater = deflater(DeflateConfig::default().level);
    let lines = 1_000;
    for number in 0..lines {
        let line = line(number * 5 + number / 12);
        plain += line.len();
        frame.clear();
        deflater.append_message(Window::Large, Kind::Text, line.as_bytes(), &mut frame);
        alone += frame.len();
        compress_in(&mut context, line.as_bytes(), &mut frame);
        shared += frame.len();
    }
    println!(
        "chat lines: {} as they are, {} by itself, {} in a context",
        plain / lines,
        alone / lines,
        shared / lines
    );
}

fn compress(criterion: &mut Criterion) {
    print_bytes();
    let mut group = group(criterion, "compress");
    for len in LENGTHS {
        let payload = payload(len);
        for level in LEVELS {
            let (mut deflater, mut frame) = (deflater(level), Vec::new());
            measure(
                &mut group,
                &format!("{} B, level {level}", payload.len()),
                1,
                payload.len() as u64,
                || {
                    frame.clear();
                    deflater.append_message(Window::Large, Kind::Text, &payload, &mut frame);
                },
            );
        }
    }
}

fn deliver(criterion: &mut Criterion) {
    let mut group = group(criterion, "deliver");
    let deliveries = SUBSCRIBERS as u64;
    for len in [128, 512, 4 << 10] {
        let payload = payload(len);
        let name = |how: &str| format!("{} B, {how}", payload.len());
        let config = DeflateConfig { bytes_min: 0, ..DeflateConfig::default() };
        for (how, extensions) in [("as it is", ""), ("compressed once", "permessage-deflate")] {
            let mut room = Room::new(config, extensions, SUBSCRIBERS, &payload, 1);
            measure(&mut group, &name(how), deliveries, payload.len() as u64, || _ = room.turn());
        }
        let level = Compression::new(config.level.into());
        let mut contexts: Vec<_> = (0..SUBSCRIBERS).map(|_| Compress::new(level, false)).collect();
        let mut frame = Vec::new();
        measure(&mut group, &name("compressed per client"), deliveries, payload.len() as u64, || {
            for context in &mut contexts {
                compress_in(context, &payload, &mut frame);
            }
        });
    }
}

criterion_group!(benches, compress, deliver);
criterion_main!(benches);
