//! [`Allowance`]: what a client may send for the time being, where the operator limits how fast clients send. And the
//! pause of whoever has used it up: its socket is not read, so that TCP slows it; nothing is dropped.
//!
//! Messages and bytes have a bucket each, which begins full, is emptied by what comes and filled by time. It is exact:
//! a bucket counts in thousandths, so that each millisecond adds a whole number of them at any rate. Bytes are those
//! that a connection is handed: with frame headers and control frames, before inflating, after decrypting. A message
//! counts when it is whole.
//!
//! Who is over is not read before it has the allowance of [`limits::RATE_PAUSE_MS`], or for one message or byte if
//! that takes longer, so that a flood costs a few reads a second however it is cut.

use super::Shard;
use super::client::Client;
use super::deadlines::Instant;
use crate::config::{Rate, Rates};
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::Time;

/// What one client may send.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Absent if that rate is not limited.
    messages: Option<Bucket>,
    /// Absent if that rate is not limited.
    bytes: Option<Bucket>,
    /// It has used up its allowance, and is read again then. Invariant: there may be something to be read.
    paused_until: Option<Instant>,
    /// Its peer's end has come while it was over its rate: what its allowance does not come to by then is given up.
    given_up_at: Option<Instant>,
}

impl Allowance {
    /// All that may come at once; none if no rate is limited.
    pub(super) fn new(rates: &Rates, now: Instant) -> Option<Allowance> {
        let full = |rate: Rate| Bucket::full(rate, now);
        rates.are_limited().then(|| {
            let (messages, bytes) = (rates.messages.map(full), rates.bytes.map(full));
            Allowance { messages, bytes, paused_until: None, given_up_at: None }
        })
    }

    /// Time has passed.
    fn refill(&mut self, now: Instant) {
        self.buckets_mut().for_each(|bucket| bucket.refill(now));
    }

    /// How many messages may come.
    fn messages(&self) -> usize {
        self.messages.as_ref().map_or(usize::MAX, Bucket::count)
    }

    /// How many bytes may come.
    fn bytes(&self) -> usize {
        self.bytes.as_ref().map_or(usize::MAX, Bucket::count)
    }

    /// So many messages have come.
    pub(super) fn spend_messages(&mut self, messages: u64) {
        if let Some(bucket) = &mut self.messages {
            bucket.spend(messages);
        }
    }

    /// So many bytes have come.
    pub(super) fn spend_bytes(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bytes {
            bucket.spend(bytes);
        }
    }

    /// Milliseconds until what is used up is there again, as much of it as a pause is for; 0 if nothing is used up.
    fn ms_to_go_on(&self) -> u32 {
        let used_up =
            [&self.messages, &self.bytes].into_iter().flatten().filter(|bucket| bucket.count() == 0);
        used_up.map(Bucket::ms_to_go_on).max().unwrap_or(0)
    }

    /// When it is read again, if it is not read for the time being.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    fn buckets_mut(&mut self) -> impl Iterator<Item = &mut Bucket> {
        [&mut self.messages, &mut self.bytes].into_iter().flatten()
    }
}

/// An allowance that time renews.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// In thousandths of what is counted. Invariant: at most the burst.
    thousandths: u64,
    /// When it was filled last.
    filled: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, thousandths: rate.burst.saturating_mul(1000), filled: now }
    }

    /// Each millisecond adds a thousandth of what a second allows.
    fn refill(&mut self, now: Instant) {
        let passed_ms = now.0.saturating_sub(self.filled.0);
        let added = passed_ms.saturating_mul(self.rate.per_second);
        self.thousandths = self.thousandths.saturating_add(added).min(self.rate.burst.saturating_mul(1000));
        self.filled = self.filled.max(now);
    }

    /// What it is enough for, in whole numbers.
    fn count(&self) -> usize {
        usize::try_from(self.thousandths / 1000).unwrap_or(usize::MAX)
    }

    fn spend(&mut self, count: u64) {
        self.thousandths = self.thousandths.saturating_sub(count.saturating_mul(1000));
    }

    /// Milliseconds until it has what a pause is for.
    fn ms_to_go_on(&self) -> u32 {
        let wanted = self.rate.per_pause().saturating_mul(1000);
        let missing = wanted.saturating_sub(self.thousandths);
        u32::try_from(missing.div_ceil(self.rate.per_second.max(1))).unwrap_or(u32::MAX)
    }
}

impl Shard {
    /// Bytes that may be read from a client for which there is `room`, at least 1; none if it has used up those that it
    /// may send, and then it is paused. Who has used up its messages only may have nothing more to say, and is read: if
    /// there is more, it is held, and then the client is paused.
    pub fn room_to_read(&mut self, key: ClientKey, room: usize, now: Time) -> usize {
        let instant = self.deadlines.instant(now);
        let Some(allowance) = self.clients.get_mut(key).and_then(Client::rated) else { return room };
        allowance.refill(instant);
        if allowance.bytes() == 0 {
            self.pause(key, now);
            return 0;
        }
        room.min(limits::RATED_READ_BYTES_MAX).min(allowance.bytes())
    }

    /// How many messages a client may send now.
    pub(super) fn messages_allowed(&mut self, key: ClientKey, now: Time) -> usize {
        let now = self.deadlines.instant(now);
        let Some(allowance) = self.clients.get_mut(key).and_then(Client::rated) else { return usize::MAX };
        allowance.refill(now);
        allowance.messages()
    }

    /// A client has used up its allowance, and there may be more to be read from it: that waits.
    ///
    /// If its peer has ended its side, it waits no longer than for a closing handshake. Who says goodbye properly ends
    /// its side only when its Close frame has been answered.
    pub(super) fn pause(&mut self, key: ClientKey, now: Time) {
        let instant = self.deadlines.instant(now);
        let name = self.id_of(key);
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_ending = client.inbox.ending;
        let Some(allowance) = client.rated() else { return };
        if is_ending {
            let close_timeout_ms = self.limits.close_timeout_ms;
            let until = *allowance.given_up_at.get_or_insert_with(|| instant.plus(close_timeout_ms));
            if until <= instant {
                return self.lose(key, now);
            }
        }
        let ms = allowance.ms_to_go_on();
        allowance.paused_until = Some(instant.plus(ms));
        self.counters.reads_paused_by_rate.add(1);
        tracing::debug!(client = %name, ms, "over its rate: it is not read for a while");
        self.reschedule(key);
    }

    /// Ends a client's pause if it is over.
    pub(super) fn go_on_if_paused(&mut self, key: ClientKey) {
        let now = self.deadlines.now();
        if let Some(allowance) = self.clients.get_mut(key).and_then(Client::allowance_mut)
            && allowance.paused_until.take_if(|until| *until <= now).is_some()
        {
            self.list_if_unread(key);
        }
    }

    /// How many clients are not read because they are over their rates. It looks at every client: for tests.
    pub fn paused_by_rate(&self) -> usize {
        self.clients.iter().filter(|(_, client)| client.is_over_rate()).count()
    }
}

impl Client {
    /// Its allowance, while what it sends has one: what comes when all is said is discarded, and not waited for.
    fn rated(&mut self) -> Option<&mut Allowance> {
        if self.connection.is_over() { None } else { self.allowance_mut() }
    }

    /// Whether it has used up its allowance, and there may be more to be read from it.
    pub(super) fn is_over_rate(&self) -> bool {
        self.allowance().is_some_and(|allowance| allowance.paused_until.is_some())
            && !self.connection.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::shard::trial;
    use proptest::prelude::*;
    use std::sync::Arc;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn bucket(per_second: u64, burst: u64) -> Bucket {
        Bucket::full(Rate { per_second, burst }, Instant(0))
    }

    /// Takes all that it has at that time.
    fn take_all(bucket: &mut Bucket, at_ms: u64) -> u64 {
        bucket.refill(Instant(at_ms));
        let count = bucket.count() as u64;
        bucket.spend(count);
        count
    }

    #[test]
    fn a_full_bucket_allows_the_burst_and_then_what_time_brings() {
        let mut bucket = bucket(3, 5);
        assert_eq!(take_all(&mut bucket, 0), 5);
        assert_eq!([333, 334, 666, 667, 999, 1000].map(|ms| take_all(&mut bucket, ms)), [0, 1, 0, 1, 0, 1]);
        assert_eq!(take_all(&mut bucket, DAY_MS), 5, "it never holds more than the burst");
    }

    #[test]
    fn a_day_allows_what_its_seconds_do_at_any_rate_however_often_it_is_asked() {
        for per_second in [1, 3, 7, 999, 1_000, 1_001, 86_413, 1_000_003, limits::RATE_MAX] {
            // So large that nothing is lost between two looks.
            let mut bucket = bucket(per_second, 2 * per_second);
            bucket.spend(2 * per_second);
            let mut taken = 0;
            for at_ms in (0..=DAY_MS).step_by(997).chain([DAY_MS]) {
                taken += take_all(&mut bucket, at_ms);
            }
            assert_eq!(taken, per_second * 24 * 60 * 60);
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (per_second, burst) in [(u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 1)] {
            let mut bucket = bucket(per_second, burst);
            take_all(&mut bucket, 0);
            assert!(bucket.ms_to_go_on() >= 1);
            take_all(&mut bucket, u64::MAX);
            bucket.spend(u64::MAX);
            assert_eq!(take_all(&mut bucket, 1), 0, "time does not go back");
        }
    }

    #[test]
    fn a_pause_is_for_50_ms_or_for_one_if_that_takes_longer() {
        let pause = |per_second| {
            let mut bucket = bucket(per_second, per_second);
            bucket.spend(per_second);
            bucket.ms_to_go_on()
        };
        assert_eq!([1, 3, 10, 20, 21, 1_000, 1_000_000].map(pause), [1_000, 334, 100, 50, 48, 50, 50]);
    }

    #[test]
    fn who_came_with_a_rate_keeps_it_when_a_reload_takes_it_from_those_who_come_later() {
        let rate = Some(Rate { per_second: 1, burst: limits::BYTE_BURST_MIN });
        for rates in [Rates { messages: rate, bytes: None }, Rates { messages: None, bytes: rate }] {
            let mut shard = trial::shard(Config { rates, ..Config::default() });
            let early = shard.connect(Time(0));
            let held = shard.held().bytes;
            shard.reconfigure(Arc::new(Config::default()));
            assert_eq!(shard.held().bytes, held, "and it is counted");
            let late = shard.connect(Time(0));
            let is_limited = [early, late].map(|key| {
                let room = shard.room_to_read(key, usize::MAX, Time(0)) < usize::MAX;
                let messages = shard.messages_allowed(key, Time(0)) < usize::MAX;
                (room, messages)
            });
            assert_eq!(is_limited, [(true, rates.messages.is_some()), (false, false)]);
        }
    }

    proptest! {
        /// Over any run of T ms, at most the burst and what the rate makes of T; and who asks for no more than that is
        /// never refused: a bucket agrees with the one rule of all windows, which is computed here without any bucket.
        #[test]
        fn what_passes_is_what_every_window_of_time_allows(
            per_second in prop_oneof![1..10_u64, 1..2_000_000_u64],
            burst in prop_oneof![1..10_u64, 1..100_000_u64],
            asks in prop::collection::vec((0..3_000_u64, prop_oneof![0..5_u64, 0..200_000_u64]), 1..60),
        ) {
            let mut bucket = bucket(per_second, burst);
            let (mut now_ms, mut passed): (u64, Vec<(u64, u64)>) = (0, Vec::new());
            for (pause_ms, asked) in asks {
                now_ms += pause_ms;
                // In every window that ends now: burst + rate * length - what has passed in it.
                let allowed = (0..=passed.len()).map(|first| {
                    let window = &passed[first..];
                    let since_ms = window.first().map_or(now_ms, |(at_ms, _)| *at_ms);
                    let taken: u64 = window.iter().map(|(_, count)| count).sum();
                    (burst * 1000 + per_second * (now_ms - since_ms) - taken * 1000) / 1000
                });
                let allowed = allowed.min().expect("the empty window");
                bucket.refill(Instant(now_ms));
                prop_assert_eq!(bucket.count() as u64, allowed);
                let count = asked.min(allowed);
                bucket.spend(count);
                passed.push((now_ms, count));
            }
        }

        /// After a pause there is what it was for, and a millisecond earlier there was not.
        #[test]
        fn a_pause_ends_at_its_very_millisecond(
            per_second in prop_oneof![1..50_u64, 1..10_000_000_u64],
            spent_at in prop::collection::vec(0..2_000_u64, 1..5),
        ) {
            let mut bucket = bucket(per_second, per_second);
            let mut now_ms = 0;
            for pause_ms in spent_at {
                now_ms += pause_ms;
                take_all(&mut bucket, now_ms);
            }
            let ms = u64::from(bucket.ms_to_go_on());
            let wanted = bucket.rate.per_pause();
            bucket.refill(Instant(now_ms + ms - 1));
            prop_assert!((bucket.count() as u64) < wanted);
            bucket.refill(Instant(now_ms + ms));
            prop_assert!(bucket.count() as u64 >= wanted);
        }
    }
}
