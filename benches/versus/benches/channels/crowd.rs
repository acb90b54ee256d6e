//! [`Crowd`]: a shard in memory, its clients, and sockets that take all they are offered.

use fanwire::config::Config;
use fanwire::hub::{ClientKey, HashSeed, ShardId};
use fanwire::metrics::Counters;
use fanwire::protocol::{MaskingKey, Opcode, Time, append_frame, unmasked_frame_len};
use fanwire::shard::{Place, Shard, Slices};
use std::sync::Arc;

const PAYLOAD: [u8; 64] = [7; 64];

/// Bytes that each subscriber is written for a publication.
pub(crate) const DELIVERY_BYTES: usize = unmasked_frame_len(PAYLOAD.len());

/// A shard with clients.
pub(crate) struct Crowd {
    shard: Shard,
    /// What a publisher sends: one message.
    frame: Vec<u8>,
    /// A request for a channel, written anew for each client.
    request: Vec<u8>,
    now: Time,
}

impl Crowd {
    /// A shard for so many clients, without any.
    pub(crate) fn new(clients_max: usize) -> Self {
        let config = Config { connections_max: clients_max, ..Config::default() };
        let place = Place { id: ShardId(0), shards: 1, seed: HashSeed(1, 2), config: Arc::new(config) };
        // A key of zeros: the frame may be unmasked over and over without being copied.
        let mut frame = Vec::new();
        append_frame(true, Opcode::Binary, Some(MaskingKey([0; 4])), &PAYLOAD, &mut frame);
        let shard = Shard::new(place, Arc::new(Counters::default()), Time(0));
        Self { shard, frame, request: Vec::new(), now: Time(0) }
    }

    /// A client comes into a channel, and a turn passes.
    pub(crate) fn join(&mut self, channel: usize) -> ClientKey {
        let key = self.shard.connect(self.now);
        self.request.clear();
        self.request.extend_from_slice(b"GET /ws/channel-");
        self.request.extend_from_slice(channel.to_string().as_bytes());
        self.request.extend_from_slice(
            b" HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        self.shard.receive(key, &mut self.request, false, usize::MAX, self.now);
        self.turn();
        key
    }

    /// A client's connection ends, and a turn passes, in which it is forgotten.
    pub(crate) fn leave(&mut self, key: ClientKey) {
        self.shard.lose(key, self.now);
        self.turn();
    }

    /// A client publishes a message, and a turn passes. Returns the bytes that were written.
    pub(crate) fn publish(&mut self, key: ClientKey) -> usize {
        self.shard.receive(key, &mut self.frame, false, usize::MAX, self.now);
        self.turn()
    }

    /// Time goes on by so much, in one turn.
    pub(crate) fn pass(&mut self, ms: u32) {
        self.now = Time(self.now.0.wrapping_add(ms));
        self.turn();
    }

    /// All that a worker's turn does but reading. Returns the bytes that were written.
    fn turn(&mut self) -> usize {
        self.shard.expire(self.now);
        self.shard.seal();
        let mut bytes = 0;
        while self.shard.has_work(false) {
            self.shard.begin_flush();
            while let Some(key) = self.shard.next_to_write(self.now) {
                let mut slices = Slices::new();
                let plan = self.shard.unwritten(key, &mut slices);
                let taken = slices.iter().map(|slice| slice.len()).sum();
                drop(slices);
                self.shard.written(key, plan, taken, self.now);
                bytes += taken;
            }
            while let Some(key) = self.shard.next_dead() {
                self.shard.forget(key);
            }
        }
        self.shard.gauge();
        bytes
    }

    /// Channels with subscribers, and those that linger.
    pub(crate) fn channels(&self) -> u64 {
        self.shard.counters().channels_open.get()
    }
}
