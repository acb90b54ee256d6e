//! [`Goodbyes`]: when each client is told that the server goes away, in a drain that spreads that.
//!
//! Even over the whole time, so that as many come back in one second as in the next, and in no order that anybody could
//! know: those who came together do not come back together. Chance is a keyed hash, for there is none of its own here.

use super::deadlines::Instant;
use crate::hub::{ClientKey, HashSeed, LogPosition, ShardId};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// Who of one shard's clients is still to be told.
#[derive(Debug, Default)]
pub(super) struct Goodbyes {
    /// Those whose moment is to come, the earliest last.
    planned: Vec<(Instant, ClientKey)>,
    /// Those whose moment has come, and where their channel's log ended in it: they are told once they have been written
    /// so far.
    due: BTreeMap<ClientKey, LogPosition>,
}

impl Goodbyes {
    /// A moment for each of `clients`, from `now` on and within `spread_ms`: the time has as many equal parts as there
    /// are clients, and each is told at some moment of a part of its own.
    pub(super) fn plan(
        clients: impl Iterator<Item = ClientKey>,
        now: Instant,
        spread_ms: u32,
        (shard, seed): (ShardId, HashSeed),
    ) -> Goodbyes {
        let chance = |key: ClientKey| seed.hash_one((shard.0, key.index, key.generation));
        let mut order: Vec<(u64, ClientKey)> = clients.map(|key| (chance(key), key)).collect();
        order.sort_unstable();
        let parts = order.len() as u64;
        let moment = |(part, (chance, key)): (usize, (u64, ClientKey))| {
            // In parts of 1 / 65,536: an hour and all clients that a shard can have are far from 64 bits.
            let at = ((part as u64) << 16) + (chance & 0xffff);
            (Instant(now.0 + ((at * u64::from(spread_ms) / parts) >> 16)), key)
        };
        let planned = order.into_iter().enumerate().rev().map(moment).collect();
        Goodbyes { planned, due: BTreeMap::new() }
    }

    /// When the next moment comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.planned.last().map(|(at, _)| *at)
    }

    /// A client whose moment has come by `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ClientKey> {
        self.planned.pop_if(|(at, _)| *at <= now).map(|(_, key)| key)
    }

    /// `key` is to be told once it has been written up to `end`.
    pub(super) fn wait_for(&mut self, key: ClientKey, end: LogPosition) {
        self.due.insert(key, end);
    }

    /// How far `key` is to be written before it is told, if its moment has come.
    pub(super) fn end_for(&self, key: ClientKey) -> Option<LogPosition> {
        self.due.get(&key).copied()
    }

    /// Nobody need wait for `key` any more.
    pub(super) fn forget(&mut self, key: ClientKey) {
        self.due.remove(&key);
    }

    /// Whether everyone has been told, or is gone.
    pub(super) fn are_said(&self) -> bool {
        self.planned.is_empty() && self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(5_000);
    const PLACE: (ShardId, HashSeed) = (ShardId(0), HashSeed(1, 2));

    fn plan(clients: u32, spread_ms: u32, place: (ShardId, HashSeed)) -> Vec<(u64, u32)> {
        let keys = (0..clients).map(|index| ClientKey { index, generation: 0 });
        let mut goodbyes = Goodbyes::plan(keys, START, spread_ms, place);
        let mut told = Vec::new();
        while let Some(at) = goodbyes.next() {
            assert_eq!(goodbyes.pop_due(Instant(at.0 - 1)), None, "nobody is told early");
            told.push((at.0 - START.0, goodbyes.pop_due(at).expect("its moment has come").index));
        }
        assert!(goodbyes.are_said());
        told
    }

    #[test]
    fn every_client_has_one_moment_and_no_part_of_the_time_has_more_of_them_than_another() {
        let told = plan(1_000, 10_000, PLACE);
        let mut clients: Vec<u32> = told.iter().map(|(_, client)| *client).collect();
        clients.sort_unstable();
        assert!(clients.into_iter().eq(0..1_000));
        for second in 0..10 {
            let of_it = told.iter().filter(|(ms, _)| ms / 1_000 == second).count();
            assert_eq!(of_it, 100, "in second {second}");
        }
    }

    #[test]
    fn a_moment_is_anywhere_in_its_part_but_within_the_time() {
        for clients in [1, 2, 7, 300, 5_000] {
            for spread_ms in [1, 100, 999, 3_600_000] {
                assert!(plan(clients, spread_ms, PLACE).iter().all(|(ms, _)| *ms < u64::from(spread_ms)));
            }
        }
        let offsets: Vec<u64> = plan(1_000, 10_000, PLACE).iter().map(|(ms, _)| ms % 10).collect();
        assert!((0..10).all(|offset| offsets.iter().filter(|ms| **ms == offset).count() > 50), "{offsets:?}");
    }

    #[test]
    fn who_came_first_is_not_told_first_and_no_two_shards_or_servers_have_one_order() {
        let order = |place| plan(1_000, 10_000, place).iter().map(|(_, client)| *client).collect::<Vec<_>>();
        let one = order(PLACE);
        let early = one[..500].iter().filter(|client| **client < 500).count();
        assert!((200..300).contains(&early), "{early} of those who came first are among those told first");
        assert_ne!(one, order((ShardId(1), PLACE.1)));
        assert_ne!(one, order((ShardId(0), HashSeed(3, 4))));
    }

    #[test]
    fn who_lags_when_its_moment_comes_is_waited_for_until_it_is_told_or_gone() {
        let ann = ClientKey { index: 0, generation: 0 };
        let mut goodbyes = Goodbyes::plan([ann].into_iter(), START, 1, PLACE);
        assert_eq!(goodbyes.end_for(ann), None, "its moment has not come");
        assert_eq!(goodbyes.pop_due(START), Some(ann));
        goodbyes.wait_for(ann, LogPosition(7));
        assert_eq!(goodbyes.end_for(ann), Some(LogPosition(7)));
        assert!(!goodbyes.are_said());
        goodbyes.forget(ann);
        assert!(goodbyes.are_said());
    }
}
