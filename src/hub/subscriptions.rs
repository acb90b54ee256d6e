//! Who on this shard listens to what: a [`Channel`] for each name and rendering with a subscriber here.
//!
//! A channel knows its subscribers by slot, and each subscriber keeps its own membership (channel, slot and cursor)
//! with itself: two mirrored maps, so that joining, leaving and delivering are O(1). The channel also knows how far
//! the present lap over its subscribers has come; who is written when is the shard's business.

use super::{ChannelName, ClientKey, HashSeed, HomeKey, Log, LogPosition, Rendering, Segment, ShardId};
use crate::config::{ChannelRules, ChannelSettings};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// Where a subscriber stands: its channel on this shard, its slot there, and its cursor into the channel's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The channel's number on this shard.
    pub(crate) channel: u32,
    /// Its place in [`Channel::subscribers`]. Invariant: the client's key stands there.
    pub(crate) slot: SubscriberSlot,
    /// How far the subscriber has been written. Invariant: never past the log's end.
    pub(crate) cursor: LogPosition,
}

/// An index into [`Channel::subscribers`]. It is kept as one more, so that the membership of somebody who has none takes no
/// memory besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriberSlot(NonZeroU32);

const _: () = assert!(size_of::<Option<Membership>>() == 16, "of 100,000 idle clients each has one");

impl SubscriberSlot {
    fn new(index: usize) -> SubscriberSlot {
        SubscriberSlot(NonZeroU32::MIN.saturating_add(index as u32))
    }

    /// The index.
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Whether the channel's home knows that this shard listens.
#[derive(Debug)]
pub(crate) enum Interest {
    /// Asked for. These clients wait for the home's word before they are told that they are in.
    Awaited(Vec<ClientKey>),
    /// The home sends us every segment.
    Standing(HomeKey),
}

/// A channel's subscribers and log on this shard, in one rendering.
#[derive(Debug)]
pub(crate) struct Channel {
    /// The name all shards know it by.
    pub(crate) name: ChannelName,
    /// The wire form of the frames in its log.
    pub(crate) rendering: Rendering,
    /// The shard that orders it.
    pub(crate) home_shard: ShardId,
    /// Whether that shard knows of us.
    pub(crate) interest: Interest,
    /// Its ready-made frames.
    pub(crate) log: Log,
    /// What the operator says of it, looked up by its name once.
    pub(crate) settings: ChannelSettings,
    /// It stands in the shard's queue of channels with a lap going on.
    pub(crate) listed: bool,
    /// It is counted among the channels whose log is ahead of their lap.
    pub(crate) counted_ahead: bool,
    /// When its interest ends if nobody comes, since it was left empty the last time, in milliseconds that do not wrap.
    pub(crate) lingers_until_ms: u64,
    /// Proves that mail about this channel is not about a former one with the same number.
    nonce: u32,
    subscribers: Vec<ClientKey>,
    lap: Lap,
}

/// A round over the subscribers, in the order of their slots and round again.
///
/// A *revolution* visits each subscriber once. When one ends, everyone who is not blocked has been written up to
/// where the log ended as the revolution began.
#[derive(Debug, Default)]
struct Lap {
    /// The slot to be visited next. Invariant: below the number of subscribers, or 0.
    next: u32,
    /// Visits until everyone has been visited since the latest append. 0: nothing to do.
    to_visit: u32,
    /// Visits until this revolution ends. Invariant: 0 exactly when `to_visit` is 0.
    revolution: u32,
    /// The log's end when this revolution began.
    mark: LogPosition,
    /// Everyone who is not blocked has been written at least to here.
    began: LogPosition,
    /// When the oldest publication behind `began` got its place, in microseconds.
    began_us: u32,
    /// The same of `mark`, if there is anything behind it.
    mark_us: u32,
    /// What `began_us` was for whoever was visited last.
    visited_us: u32,
}

impl Lap {
    /// The subscriber in `slot` has left, and the last one has taken its place. There are `count` now, and the log's end is at
    /// `end`. Who was still to be visited is.
    fn close_up(&mut self, slot: u32, count: u32, end: LogPosition) {
        let next = self.next;
        // Visits go round from `next` on. If they were to reach the last one, and its new place is where they have been, they
        // go on up to there; else they pass it.
        let close = |visits: u32| match (next + visits).checked_sub(count + 1) {
            None => visits,
            Some(round) if slot >= next || slot < round => count - next + round,
            Some(_) => count - next + slot + 1,
        };
        (self.to_visit, self.revolution) = (close(self.to_visit), close(self.revolution));
        if next >= count {
            self.next = 0;
        }
        self.go_round(count, end);
    }

    /// Begins the next revolution among `count` if this one has ended and the lap has not.
    fn go_round(&mut self, count: u32, end: LogPosition) {
        if self.to_visit == 0 {
            self.revolution = 0;
        } else if self.revolution == 0 {
            (self.began, self.began_us) = (self.mark, self.mark_us);
            (self.mark, self.revolution) = (end, count);
        }
    }
}

impl Channel {
    fn new(
        name: ChannelName,
        rendering: Rendering,
        home_shard: ShardId,
        settings: ChannelSettings,
        nonce: u32,
    ) -> Channel {
        Channel {
            name,
            rendering,
            home_shard,
            interest: Interest::Awaited(Vec::new()),
            log: Log::new(),
            settings,
            listed: false,
            counted_ahead: false,
            lingers_until_ms: 0,
            nonce,
            subscribers: Vec::new(),
            lap: Lap::default(),
        }
    }

    /// The nonce that mail about this channel carries.
    pub(crate) fn nonce(&self) -> u32 {
        self.nonce
    }

    /// The subscribers by slot.
    pub(crate) fn subscribers(&self) -> &[ClientKey] {
        &self.subscribers
    }

    /// `client` subscribes: its slot and its cursor, which is the log's end.
    pub(crate) fn join(&mut self, client: ClientKey) -> (SubscriberSlot, LogPosition) {
        let slot = SubscriberSlot::new(self.subscribers.len());
        self.subscribers.push(client);
        if self.lap.to_visit > 0 {
            // The newcomer needs no visit, but it lengthens the way to those that wait for theirs.
            self.lap.to_visit += 1;
            self.lap.revolution += 1;
        }
        (slot, self.log.join())
    }

    /// The subscriber in `slot`, whose cursor stands at `cursor`, leaves. The last subscriber takes its slot; the
    /// answer names it, if there is one to be told.
    pub(crate) fn leave(&mut self, slot: SubscriberSlot, cursor: LogPosition) -> Option<ClientKey> {
        self.log.leave(cursor);
        self.subscribers.swap_remove(slot.index());
        let count = self.subscribers.len() as u32;
        self.lap.close_up(slot.index() as u32, count, self.log.end());
        self.subscribers.get(slot.index()).copied()
    }

    /// Appends a segment to the log and starts the lap anew. Returns whether there is anyone to visit. Its publications got
    /// their places in a turn that began at `sequenced_us`, microseconds since a start that all shards share.
    pub(crate) fn append(&mut self, segment: &Segment, here: ShardId, sequenced_us: u32) -> bool {
        let count = self.subscribers.len() as u32;
        if count == 0 {
            return false;
        }
        let end = self.log.end();
        self.log.append(segment, here);
        if self.lap.to_visit == 0 {
            let mark = self.log.end();
            self.lap = Lap { revolution: count, mark, began: end, began_us: sequenced_us, ..self.lap };
        } else if self.lap.mark == end {
            self.lap.mark_us = sequenced_us;
        }
        self.lap.to_visit = count;
        true
    }

    /// The next subscriber of the lap, or none if everyone has been visited since the latest append.
    pub(crate) fn visit(&mut self) -> Option<ClientKey> {
        let lap = &mut self.lap;
        if lap.to_visit == 0 {
            return None;
        }
        let client = self.subscribers[lap.next as usize];
        let count = self.subscribers.len() as u32;
        lap.next = if lap.next + 1 == count { 0 } else { lap.next + 1 };
        lap.visited_us = lap.began_us;
        lap.to_visit -= 1;
        lap.revolution -= 1;
        lap.go_round(count, self.log.end());
        Some(client)
    }

    /// Whether a lap is going on.
    pub(crate) fn is_dirty(&self) -> bool {
        self.lap.to_visit > 0
    }

    /// When the oldest publication got its place that a subscriber at `cursor` has still to be written, in microseconds.
    /// `is_visited`: it is the one that the lap has come to last. None if it has been written everything, or is behind by its
    /// own doing.
    pub(crate) fn waits_since_us(&self, cursor: LogPosition, is_visited: bool) -> Option<u32> {
        if cursor >= self.log.end() {
            None
        } else if is_visited {
            Some(self.lap.visited_us)
        } else {
            (self.is_dirty() && cursor >= self.lap.began).then_some(self.lap.began_us)
        }
    }

    /// Bytes by which the log is ahead of the subscribers that nothing but the lap keeps waiting.
    pub(crate) fn ahead(&self) -> u64 {
        if self.is_dirty() { self.log.end().0 - self.lap.began.0 } else { 0 }
    }

    /// Checks what the fields promise; for tests.
    ///
    /// # Panics
    /// If an invariant does not hold.
    pub(crate) fn check_invariants(&self) {
        self.log.check_invariants();
        let count = self.subscribers.len() as u32;
        assert_eq!(self.log.subscribers(), count, "the log counts the subscribers");
        assert!(self.lap.next < count.max(1), "the lap stands on a subscriber");
        assert!(self.lap.to_visit <= count, "nobody is visited twice for one append");
        assert_eq!(self.lap.to_visit == 0, self.lap.revolution == 0, "a revolution is part of a lap");
    }
}

/// All channels with a subscriber on this shard, or that had one a moment ago.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    channels: Vec<Option<Channel>>,
    vacant: Vec<u32>,
    by_name: HashMap<(ChannelName, Rendering), u32, HashSeed>,
    next_nonce: u32,
}

impl Subscriptions {
    /// No channels yet; names will be hashed with `seed`.
    pub(crate) fn new(seed: HashSeed) -> Subscriptions {
        Subscriptions {
            channels: Vec::new(),
            vacant: Vec::new(),
            by_name: HashMap::with_hasher(seed),
            next_nonce: 1,
        }
    }

    /// The number of a channel that is open here.
    pub(crate) fn find(&self, name: &ChannelName, rendering: Rendering) -> Option<u32> {
        self.by_name.get(&(name.clone(), rendering)).copied()
    }

    /// Opens a channel that is not open here, its interest awaited, and returns its number.
    pub(crate) fn open(
        &mut self,
        name: &ChannelName,
        rendering: Rendering,
        home_shard: ShardId,
        settings: ChannelSettings,
    ) -> u32 {
        let channel = Channel::new(name.clone(), rendering, home_shard, settings, self.next_nonce);
        self.next_nonce = self.next_nonce.wrapping_add(1);
        let local = if let Some(local) = self.vacant.pop() {
            self.channels[local as usize] = Some(channel);
            local
        } else {
            self.channels.push(Some(channel));
            self.channels.len() as u32 - 1
        };
        let former = self.by_name.insert((name.clone(), rendering), local);
        debug_assert!(former.is_none(), "a channel is opened once");
        local
    }

    /// Closes a channel without subscribers and gives it back; its number may name another one from now on.
    pub(crate) fn close(&mut self, local: u32) -> Option<Channel> {
        let channel = self.channels.get_mut(local as usize)?.take()?;
        debug_assert!(channel.subscribers.is_empty(), "a channel is closed when nobody is in it");
        self.by_name.remove(&(channel.name.clone(), channel.rendering));
        self.vacant.push(local);
        Some(channel)
    }

    /// The channel with this number.
    pub(crate) fn get(&self, local: u32) -> Option<&Channel> {
        self.channels.get(local as usize)?.as_ref()
    }

    /// The channel with this number.
    pub(crate) fn get_mut(&mut self, local: u32) -> Option<&mut Channel> {
        self.channels.get_mut(local as usize)?.as_mut()
    }

    /// The channel with this number, if mail that carries `nonce` is about it and not about a former one.
    pub(crate) fn addressed(&mut self, local: u32, nonce: u32) -> Option<&mut Channel> {
        self.get_mut(local).filter(|channel| channel.nonce == nonce)
    }

    /// How many channels are open.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The open channels with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Channel)> {
        self.channels
            .iter()
            .enumerate()
            .filter_map(|(local, channel)| Some((local as u32, channel.as_ref()?)))
    }

    /// Looks up anew what the operator says of every open channel.
    pub(crate) fn resettle(&mut self, rules: &ChannelRules) {
        for channel in self.channels.iter_mut().flatten() {
            channel.settings = rules.settings_for(channel.name.as_str());
        }
    }

    /// Checks what the fields promise; for tests.
    ///
    /// # Panics
    /// If an invariant does not hold.
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.by_name.len() + self.vacant.len(), self.channels.len());
        for (local, channel) in self.iter() {
            assert_eq!(self.by_name.get(&(channel.name.clone(), channel.rendering)), Some(&local));
            channel.check_invariants();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientId, Mark};
    use super::*;
    use std::sync::Arc;

    const HERE: ShardId = ShardId(0);

    /// Appends one frame of so many bytes.
    fn append(channel: &mut Channel, bytes: usize) {
        let client = ClientKey { index: 9, generation: 0 };
        let marks = vec![Mark { end: bytes as u32, origin: ClientId { shard: HERE, client } }];
        let mut frames = vec![0; bytes];
        frames[..2].copy_from_slice(&[0x82, bytes as u8 - 2]);
        channel.append(&Segment { frames: Arc::new(frames), marks: Arc::new(marks) }, HERE, bytes as u32);
    }

    #[test]
    fn a_log_is_ahead_by_what_came_since_the_revolution_before_the_one_that_goes_on() {
        let name = ChannelName::new("room").unwrap();
        let mut channel = Channel::new(name, Rendering::Relay, HERE, ChannelSettings::default(), 0);
        for index in 0..3 {
            channel.join(ClientKey { index, generation: 0 });
        }
        append(&mut channel, 100);
        assert_eq!(channel.ahead(), 100, "nobody has been visited");
        channel.visit();
        append(&mut channel, 20);
        assert_eq!(channel.ahead(), 120);
        channel.visit();
        channel.visit();
        assert_eq!(channel.ahead(), 20, "everyone has been written the first frame at least");
        channel.visit();
        assert_eq!((channel.ahead(), channel.is_dirty()), (0, false), "and the second one");
        assert_eq!(channel.visit(), None);
        append(&mut channel, 10);
        assert_eq!(channel.ahead(), 10, "what was before does not count");
    }

    #[test]
    fn who_leaves_does_not_keep_a_lap_from_getting_on() {
        let name = ChannelName::new("room").unwrap();
        let mut channel = Channel::new(name, Rendering::Relay, HERE, ChannelSettings::default(), 0);
        let key = |index| ClientKey { index, generation: 0 };
        let mut cursors: Vec<LogPosition> = (0..10).map(|index| channel.join(key(index)).1).collect();
        for round in 0..100 {
            append(&mut channel, 100);
            (0..8).for_each(|_| _ = channel.visit());
            let slot = round % 10;
            channel.leave(SubscriberSlot::new(slot), cursors.swap_remove(slot));
            cursors.push(channel.join(key(10 + round as u32)).1);
            channel.check_invariants();
            assert!(channel.ahead() <= 500, "{} bytes", channel.ahead());
        }
    }

    #[test]
    fn who_waits_for_the_lap_waits_since_the_oldest_publication_that_it_lacks() {
        let name = ChannelName::new("room").unwrap();
        let mut channel = Channel::new(name, Rendering::Relay, HERE, ChannelSettings::default(), 0);
        for index in 0..2 {
            channel.join(ClientKey { index, generation: 0 });
        }
        let at = |channel: &Channel, byte| channel.waits_since_us(LogPosition(byte), false);
        let visited = |channel: &mut Channel, byte| {
            channel.visit().and_then(|_| channel.waits_since_us(LogPosition(byte), true))
        };
        assert_eq!(at(&channel, 0), None, "there is nothing");
        append(&mut channel, 100);
        assert_eq!((at(&channel, 0), at(&channel, 100)), (Some(100), None));
        assert_eq!(visited(&mut channel, 0), Some(100));
        append(&mut channel, 20);
        append(&mut channel, 30);
        assert_eq!(at(&channel, 0), Some(100), "the second one lacks all of it");
        assert_eq!(visited(&mut channel, 0), Some(100), "though with it a revolution ends");
        assert_eq!(at(&channel, 100), Some(20), "the first one lacks what came since");
        assert_eq!(at(&channel, 0), None, "who lacks more does not read");
        assert_eq!(visited(&mut channel, 100), Some(20));
        assert_eq!(visited(&mut channel, 150), None, "it was written everything the time before");
        assert_eq!((at(&channel, 100), visited(&mut channel, 100)), (None, None), "the lap is over");
    }
}
