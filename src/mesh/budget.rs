//! [`Budget`]: how much memory all peers together may make the server hold, and how much they do.
//!
//! Each shard says once a turn what it holds. Above the *soft* mark nobody new is let in, so that those who are in have
//! what is left. Above the budget itself the shard that holds most [lets go](crate::shard::Shard::shed) of its largest
//! queues, until what is held is at the *relieved* mark: some way below, so that it is not looked at every client for
//! every message.

use crate::hub::ShardId;
use crate::limits;
use crate::shard::Held;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory of all shards.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes that may be held; 0 is any number.
    bytes_max: AtomicU64,
    shards: Vec<Share>,
}

/// What a shard has said last, in a line of the cache of its own: each says it in every turn.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Share {
    bytes: AtomicU64,
    queued_bytes: AtomicU64,
}

impl Budget {
    pub(super) fn new(bytes_max: u64, shards: usize) -> Budget {
        Budget {
            bytes_max: AtomicU64::new(bytes_max),
            shards: (0..shards).map(|_| Share::default()).collect(),
        }
    }

    /// So many bytes from now on.
    pub(super) fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// Bytes that may be held, if there is a bound.
    fn bytes_max(&self) -> Option<u64> {
        Some(self.bytes_max.load(Ordering::Relaxed)).filter(|max| *max > 0)
    }

    pub(super) fn note(&self, shard: ShardId, held: Held) {
        let Share { bytes, queued_bytes } = &self.shards[usize::from(shard.0)];
        bytes.store(held.bytes, Ordering::Relaxed);
        queued_bytes.store(held.queued_bytes, Ordering::Relaxed);
    }

    /// Whether there is memory for somebody new. `on_the_way` says what mailboxes hold.
    pub(super) fn has_room(&self, on_the_way: impl FnOnce() -> u64) -> bool {
        self.bytes_max()
            .is_none_or(|max| self.held(on_the_way()) <= max - max / limits::MEMORY_FOR_THOSE_IN_SHARE)
    }

    /// Bytes that have to go, if more is held than may be.
    pub(super) fn excess(&self, on_the_way: impl FnOnce() -> u64) -> Option<u64> {
        let max = self.bytes_max()?;
        let held = self.held(on_the_way());
        let relieved = max - max / limits::MEMORY_RELIEF_SHARE;
        (held > max).then(|| held - relieved)
    }

    /// The shard with the most that can be let go.
    pub(super) fn largest(&self) -> ShardId {
        let queued = |shard: &usize| self.shards[*shard].queued_bytes.load(Ordering::Relaxed);
        ShardId((0..self.shards.len()).max_by_key(queued).unwrap_or(0) as u16)
    }

    fn held(&self, on_the_way: u64) -> u64 {
        let shares = self.shards.iter().map(|share| share.bytes.load(Ordering::Relaxed));
        shares.fold(on_the_way, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes_max: u64, held: [u64; 2]) -> Budget {
        let budget = Budget::new(bytes_max, 2);
        for (shard, bytes) in held.into_iter().enumerate() {
            budget.note(ShardId(shard as u16), Held { bytes, queued_bytes: bytes / 2 });
        }
        budget
    }

    #[test]
    fn nobody_new_is_let_in_above_four_fifths() {
        assert!(budget(1000, [400, 400]).has_room(|| 0));
        assert!(!budget(1000, [400, 400]).has_room(|| 1), "what is in mailboxes counts");
        assert!(!budget(1000, [401, 400]).has_room(|| 0));
    }

    #[test]
    fn above_the_budget_what_is_held_goes_down_to_seven_eighths() {
        assert_eq!(budget(800, [400, 400]).excess(|| 0), None);
        assert_eq!(budget(800, [401, 400]).excess(|| 0), Some(101));
        assert_eq!(budget(800, [0, 0]).excess(|| 801), Some(101));
    }

    #[test]
    fn the_shard_with_the_largest_queues_lets_go() {
        assert_eq!(budget(800, [302, 300]).largest(), ShardId(0));
        assert_eq!(budget(800, [300, 302]).largest(), ShardId(1));
    }
}
