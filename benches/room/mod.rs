//! A shard in memory with one channel, in which the first subscriber publishes, and sockets that take all they are
//! offered. Benches drive it a turn at a time.

use fanwire::config::{Config, DeflateConfig};
use fanwire::hub::{ClientKey, HashSeed, ShardId};
use fanwire::metrics::Counters;
use fanwire::protocol::{MaskingKey, Opcode, Time, append_frame};
use fanwire::shard::{Place, Shard, Slices};
use std::sync::Arc;

/// A shard with one channel.
pub(crate) struct Room {
    shard: Shard,
    publisher: ClientKey,
    /// What the publisher sends each turn: so many copies of a message.
    frames: Vec<u8>,
}

impl Room {
    /// A channel in which each turn brings `messages` copies of `payload`. `extensions` are what everyone offers, if
    /// anything.
    pub(crate) fn new(
        deflate: DeflateConfig,
        extensions: &str,
        subscribers: usize,
        payload: &[u8],
        messages: usize,
    ) -> Room {
        let config = Config { connections_max: subscribers, deflate, ..Config::default() };
        let place = Place { id: ShardId(0), shards: 1, seed: HashSeed(1, 2), config: Arc::new(config) };
        let mut shard = Shard::new(place, Arc::new(Counters::default()), Time(0));
        let mut request = format!(
            "GET /ws/room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n"
        )
        .into_bytes();
        let mut publisher = None;
        for _ in 0..subscribers {
            let key = shard.connect(Time(0));
            shard.receive(key, &mut request, false, usize::MAX, Time(0));
            publisher.get_or_insert(key);
        }
        // A key of zeros: the frames may be unmasked over and over without being copied.
        let mut frame = Vec::new();
        append_frame(true, Opcode::Binary, Some(MaskingKey([0; 4])), payload, &mut frame);
        let publisher = publisher.expect("somebody publishes");
        let mut room = Room { shard, publisher, frames: frame.repeat(messages) };
        room.flush();
        room
    }

    /// A turn in which the publisher speaks and everyone is written. Returns the bytes that were written.
    pub(crate) fn turn(&mut self) -> usize {
        self.shard.receive(self.publisher, &mut self.frames, false, usize::MAX, Time(0));
        self.shard.seal();
        self.flush()
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
            self.shard.note_deliveries(0);
        }
        bytes
    }
}
