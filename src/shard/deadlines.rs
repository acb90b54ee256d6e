//! When each client next has to be looked at: a heap with, as a rule, one entry for each client.
//!
//! Entries are lazy. Moving a client's deadline to later costs nothing: the entry stands where it was, and when it
//! comes up the client is simply asked again. Moving it to earlier adds an entry, and the one left behind is
//! recognised when it comes up, because the client remembers only the earliest.

use crate::hub::ClientKey;
use crate::protocol::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Milliseconds since the start that do not wrap. The order of a heap must hold for longer than [`Time`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than every deadline: the client has no entry.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// This many milliseconds later.
    #[must_use]
    pub fn plus(self, ms: u32) -> Instant {
        Instant(self.0.saturating_add(u64::from(ms)))
    }
}

/// The deadlines of one shard's clients.
#[derive(Debug)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, ClientKey)>>,
    now: Instant,
}

/// Entries below which the heap is not cleaned: 16 bytes each.
const HEAP_LEN_FREE: usize = 1024;

impl Deadlines {
    /// No deadlines yet, and no time has passed.
    pub(super) fn new(now: Time) -> Deadlines {
        Deadlines { heap: BinaryHeap::new(), now: Instant(u64::from(now.0)) }
    }

    /// Time goes on. `now` may have wrapped since the last call, but not twice.
    pub(super) fn advance(&mut self, now: Time) {
        self.now = Instant(self.now.0 + u64::from(now.0.wrapping_sub(self.now.0 as u32)));
    }

    /// The time of the latest `advance`.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// What `time`, at most 24 days before or after now, is on the scale that does not wrap.
    pub(super) fn instant(&self, time: Time) -> Instant {
        let from_now = time.0.wrapping_sub(self.now.0 as u32).cast_signed();
        Instant(self.now.0.saturating_add_signed(i64::from(from_now)))
    }

    /// `client` is to be looked at when `deadline` comes, or earlier. `scheduled` is the client's memory of its
    /// earliest entry.
    pub(super) fn schedule(&mut self, client: ClientKey, deadline: Time, scheduled: &mut Instant) {
        self.schedule_at(client, self.instant(deadline), scheduled);
    }

    /// The same on the scale that does not wrap.
    pub(super) fn schedule_at(&mut self, client: ClientKey, deadline: Instant, scheduled: &mut Instant) {
        if deadline < *scheduled {
            *scheduled = deadline;
            self.heap.push(Reverse((deadline, client)));
        }
    }

    /// An entry that is due, if there is one. It counts only if it is the one that the client remembers.
    pub(super) fn pop_due(&mut self) -> Option<(Instant, ClientKey)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > self.now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the next entry is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Drops entries that nobody remembers once they outnumber the clients, so that connections that come and go
    /// leave nothing behind. `remembered` says what a client's earliest entry is, if the client is still there.
    pub(super) fn clean(&mut self, clients: usize, remembered: impl Fn(ClientKey) -> Option<Instant>) {
        if self.heap.len() > HEAP_LEN_FREE + 2 * clients {
            self.heap.retain(|Reverse((at, client))| remembered(*client) == Some(*at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::shard::trial;

    const ANN: ClientKey = ClientKey { index: 1, generation: 1 };

    #[test]
    fn moving_a_deadline_to_later_adds_no_entry() {
        let (mut deadlines, mut scheduled) = (Deadlines::new(Time(0)), Instant::NEVER);
        deadlines.schedule(ANN, Time(100), &mut scheduled);
        deadlines.schedule(ANN, Time(200), &mut scheduled);
        deadlines.schedule(ANN, Time(100), &mut scheduled);
        assert_eq!((deadlines.heap.len(), scheduled), (1, Instant(100)));
    }

    #[test]
    fn moving_a_deadline_to_earlier_adds_an_entry_and_the_client_remembers_only_that() {
        let (mut deadlines, mut scheduled) = (Deadlines::new(Time(0)), Instant::NEVER);
        deadlines.schedule(ANN, Time(100), &mut scheduled);
        deadlines.schedule(ANN, Time(50), &mut scheduled);
        assert_eq!((deadlines.heap.len(), scheduled), (2, Instant(50)));
        deadlines.advance(Time(49));
        assert_eq!(deadlines.pop_due(), None);
        deadlines.advance(Time(100));
        assert_eq!(deadlines.pop_due(), Some((Instant(50), ANN)));
        assert_eq!(deadlines.pop_due(), Some((Instant(100), ANN)), "stale: the client remembers 50");
    }

    #[test]
    fn a_deadline_survives_the_wrapping_of_time() {
        let (mut deadlines, mut scheduled) = (Deadlines::new(Time(u32::MAX - 10)), Instant::NEVER);
        deadlines.schedule(ANN, Time(u32::MAX - 10).plus(20), &mut scheduled);
        deadlines.advance(Time(u32::MAX));
        assert_eq!(deadlines.pop_due(), None, "11 ms have passed");
        deadlines.advance(Time(9));
        assert_eq!(deadlines.pop_due(), Some((scheduled, ANN)), "20 ms have passed");
    }

    #[test]
    fn a_thousand_entries_and_two_for_each_client_are_left_alone() {
        let cleaned = |entries: u32| {
            let mut deadlines = Deadlines::new(Time(0));
            for index in 0..entries {
                deadlines.schedule(ClientKey { index, generation: 0 }, Time(1), &mut { Instant::NEVER });
            }
            deadlines.clean(10, |_| None);
            deadlines.heap.is_empty()
        };
        assert!(!cleaned(1024 + 2 * 10) && cleaned(1024 + 2 * 10 + 1));
    }

    #[test]
    fn entries_of_clients_that_are_gone_are_cleaned_away() {
        let mut deadlines = Deadlines::new(Time(0));
        for index in 0..2_000 {
            let mut scheduled = Instant::NEVER;
            deadlines.schedule(ClientKey { index, generation: 0 }, Time(10_000), &mut scheduled);
        }
        deadlines.clean(3, |client| (client.index < 3).then_some(Instant(10_000)));
        assert_eq!(deadlines.heap.len(), 3);
    }

    #[test]
    fn a_turn_that_begins_brings_them_its_whole_milliseconds() {
        let mut shard = trial::shard(Config::default());
        shard.begin_turn(61_000_999);
        assert_eq!(shard.deadlines.now(), shard.deadlines.instant(Time(61_000)));
    }
}
