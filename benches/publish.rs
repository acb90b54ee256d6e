//! What does a publication cost, and what a delivery, without the kernel?
//!
//! A shard is driven in memory, a turn at a time: a client's frames are read, sequenced, sealed into a segment, appended
//! to the log, and every subscriber is written from its cursor to the end; the sockets take all they are offered. In
//! "publish" an element is a publication, in "deliver" the same work counted by the delivery: "time" is per element.
//!
//! Bad news: a publication to one subscriber above 1 µs; a delivery to one of 1,000 above 100 ns when messages come
//! singly, for the kernel takes 5 to 10 µs for the write and we should not be seen next to it; and 16 messages a turn
//! that cost a subscriber anything like 16 times what one does.

mod per_unit;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::config::Config;
use fanwire::hub::{ClientKey, HashSeed, ShardId};
use fanwire::metrics::Counters;
use fanwire::protocol::{MaskingKey, Opcode, Time, append_frame, unmasked_frame_len};
use fanwire::shard::{Place, Shard, Slices};
use per_unit::{group, measure};
use std::sync::Arc;

const PAYLOAD_LEN: usize = 64;
const SUBSCRIBERS: [usize; 3] = [1, 100, 1_000];
const MESSAGES_PER_TURN: [usize; 2] = [1, 16];

fn publications(criterion: &mut Criterion) {
    let mut group = group(criterion, "publish");
    for subscribers in SUBSCRIBERS {
        for messages in MESSAGES_PER_TURN {
            let mut room = Room::new(subscribers, messages);
            let name = format!("to {subscribers}, {messages} a turn");
            measure(&mut group, &name, messages as u64, PAYLOAD_LEN as u64, || room.turn());
        }
    }
}

fn deliveries(criterion: &mut Criterion) {
    let mut group = group(criterion, "deliver");
    for subscribers in SUBSCRIBERS {
        for messages in MESSAGES_PER_TURN {
            let mut room = Room::new(subscribers, messages);
            let name = format!("to each of {subscribers}, {messages} a turn");
            let deliveries = (messages * subscribers) as u64;
            measure(&mut group, &name, deliveries, PAYLOAD_LEN as u64, || room.turn());
        }
    }
}

/// A shard with one channel, in which the first subscriber publishes.
struct Room {
    shard: Shard,
    publisher: ClientKey,
    /// What it sends each turn. Binary: it may be unmasked over and over without being copied.
    frames: Vec<u8>,
    /// What is to be written each turn.
    bytes_out: usize,
}

impl Room {
    fn new(subscribers: usize, messages: usize) -> Room {
        let place = Place {
            id: ShardId(0),
            shards: 1,
            seed: HashSeed(1, 2),
            config: Arc::new(Config { connections_max: subscribers, ..Config::default() }),
        };
        let mut shard = Shard::new(place, Arc::new(Counters::default()), Time(0));
        let mut request =
            b"GET /ws/room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                .to_vec();
        let mut publisher = None;
        for _ in 0..subscribers {
            let key = shard.connect(Time(0));
            shard.receive(key, &mut request, false, usize::MAX, Time(0));
            publisher.get_or_insert(key);
        }
        let mut frame = Vec::new();
        append_frame(true, Opcode::Binary, Some(MaskingKey(*b"key!")), &[7; PAYLOAD_LEN], &mut frame);
        let bytes_out = unmasked_frame_len(PAYLOAD_LEN) * messages * subscribers;
        let publisher = publisher.expect("somebody publishes");
        let mut room = Room { shard, publisher, frames: frame.repeat(messages), bytes_out };
        room.flush();
        room
    }

    fn turn(&mut self) {
        self.shard.receive(self.publisher, &mut self.frames, false, usize::MAX, Time(0));
        self.shard.seal();
        assert_eq!(self.flush(), self.bytes_out, "everyone is written everything");
    }

    fn flush(&mut self) -> usize {
        let mut bytes = 0;
        while self.shard.has_work(false) {
            self.shard.begin_flush();
            while let Some(key) = self.shard.next_to_write(Time(0)) {
                let mut slices = Slices::new();
                let plan = self.shard.unwritten(key, &mut slices);
                let taken = slices.iter().map(|slice| slice.len()).sum();
                drop(slices);
                self.shard.written(key, plan, taken, Time(0));
                bytes += taken;
            }
        }
        bytes
    }
}

criterion_group!(benches, publications, deliveries);
criterion_main!(benches);
