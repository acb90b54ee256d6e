//! A shard that is tried by itself: clients come, speak and are written. For the tests of its parts.

use super::{Place, Shard, Slices};
use crate::config::Config;
use crate::hub::{ClientKey, HashSeed, ShardId};
use crate::metrics::Counters;
use crate::protocol::{MaskingKey, Opcode, Time, append_frame};
use std::sync::Arc;

/// When it begins, and when all happens of which a test says no time.
pub(super) const NOW: Time = Time(0);

/// With what channels' names are hashed.
pub(super) const SEED: HashSeed = HashSeed(1, 2);

/// A shard that is the only one.
pub(super) fn shard(config: Config) -> Shard {
    one_of(ShardId(0), 1, Arc::new(config))
}

/// One of so many shards.
pub(super) fn one_of(id: ShardId, shards: usize, config: Arc<Config>) -> Shard {
    let place = Place { id, shards, seed: SEED, config };
    Shard::new(place, Arc::new(Counters::default()), NOW)
}

/// A request that opens a WebSocket, with further lines, each with its CRLF.
pub(super) fn request(target: &str, lines: &str) -> Vec<u8> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    );
    request.into_bytes()
}

/// A client that asks for a WebSocket. What it is answered is still to be written.
pub(super) fn asking(shard: &mut Shard, target: &str, now: Time) -> ClientKey {
    let key = shard.connect(now);
    shard.receive(key, &mut request(target, ""), false, usize::MAX, now);
    key
}

/// A client that has got its 101.
pub(super) fn client(shard: &mut Shard, target: &str) -> ClientKey {
    let key = asking(shard, target, NOW);
    flush(shard, |_| usize::MAX);
    key
}

/// A frame of a client's, with zeros for a masking key, which change nothing (RFC 6455 §5.3).
pub(super) fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_frame(fin, opcode, Some(MaskingKey([0; 4])), payload, &mut frame);
    frame
}

/// One turn's writes; of each client's `room` bytes are taken. To whom anything was written.
pub(super) fn flush(shard: &mut Shard, room: impl Fn(ClientKey) -> usize) -> Vec<ClientKey> {
    shard.seal();
    shard.begin_flush();
    let mut written = Vec::new();
    while let Some(key) = shard.next_to_write(NOW) {
        let plan = shard.unwritten(key, &mut Slices::new());
        let taken = plan.bytes().min(room(key));
        shard.written(key, plan, taken, NOW);
        written.extend((taken > 0).then_some(key));
    }
    written
}
