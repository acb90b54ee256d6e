//! The channels at home on one shard: their order, who listens, and this turn's open segments. (The file is long
//! because a third of it are the tests, which say what the order promises.)
//!
//! A home gives each publication its place and encodes it once per rendering that anyone listens to, onto the
//! channel's open segment. At the end of the turn the segment is sealed and handed to each listener. A home keeps no
//! publication beyond its turn and knows no client but as the origin of what it published.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;

use super::channel::{ChannelName, HashSeed};
use super::{Mark, Origin, Position, Rendering, Segment, ShardId};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_COPY_BYTES_MAX, SPARE_SEGMENTS_MAX};

/// Names a channel at its home. A key that outlived its channel finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HomeKey {
    index: u32,
    generation: u32,
}

/// Whose interest stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener {
    /// The shard that listens.
    pub shard: ShardId,
    /// That shard's own number for the channel.
    pub local: u32,
    /// That shard's number for this very interest: it tells mail for it from mail for an earlier one.
    pub nonce: u32,
}

/// All channels at home on one shard. A channel is here as long as anyone listens to it.
#[derive(Debug)]
pub(crate) struct Homes {
    names: HashMap<ChannelName, HomeKey, HashSeed>,
    slots: Vec<Slot>,
    /// Slots without a channel.
    free: Vec<u32>,
    /// Channels that may have open segments, so that a seal touches no others. A channel is here once, if it is
    /// `listed`; keys of channels that are gone are passed over.
    dirty: Vec<HomeKey>,
    spares: Spares,
    /// Bytes of frames in open segments.
    open_bytes: u64,
    next_epoch: u32,
    /// The time, in milliseconds that do not wrap.
    now_ms: u64,
}

#[derive(Debug)]
struct Slot {
    /// Moves on when a channel goes.
    generation: u32,
    channel: Option<Box<Channel>>,
}

#[derive(Debug)]
struct Channel {
    name: ChannelName,
    /// Of the last publication.
    position: Position,
    meter: Meter,
    /// Whether the channel is in `Homes::dirty`. Invariant: true if any audience has something open.
    listed: bool,
    /// By [`Rendering::index`]. Invariant: each that is there has a listener, and at least one is there.
    audiences: [Option<Box<Audience>>; Rendering::COUNT],
}

/// Who listens to a channel in one rendering, and what was sequenced for them since the last seal.
#[derive(Debug, Default)]
struct Audience {
    /// Invariant: at most one of each shard.
    listeners: Vec<Listener>,
    /// Segments of this turn to which no more is added, before `open`.
    full: Vec<Segment>,
    open: OpenSegment,
}

#[derive(Debug, Default)]
struct OpenSegment {
    frames: Vec<u8>,
    marks: Vec<Mark>,
}

/// Where a channel stands, and how fast it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Of its last publication.
    pub(crate) position: Position,
    /// Publications in a second.
    pub(crate) messages_per_second: f64,
    /// Bytes of their payloads in a second.
    pub(crate) bytes_per_second: f64,
}

/// What was published in this period of [`METER_MS`] and in the one before, which is there so that a rate is of one whole
/// period at least.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    /// The period's number.
    period: u32,
    messages: [u32; 2],
    bytes: [u64; 2],
}

/// Milliseconds of a period.
const METER_MS: u64 = 5_000;

impl Meter {
    fn count(&mut self, payload_bytes: usize, now_ms: u64) {
        *self = self.at(now_ms);
        self.messages[0] = self.messages[0].saturating_add(1);
        self.bytes[0] += payload_bytes as u64;
    }

    /// The same in the period of `now_ms`.
    fn at(self, now_ms: u64) -> Meter {
        let period = (now_ms / METER_MS) as u32;
        match period.wrapping_sub(self.period) {
            0 => self,
            1 => Meter { period, messages: [0, self.messages[0]], bytes: [0, self.bytes[0]] },
            _ => Meter { period, ..Meter::default() },
        }
    }

    /// Messages and bytes in a second.
    #[expect(clippy::cast_precision_loss, reason = "nobody publishes 2^52 bytes in ten seconds")]
    fn rates(self, now_ms: u64) -> (f64, f64) {
        let Meter { messages, bytes, .. } = self.at(now_ms);
        let seconds = (METER_MS + now_ms % METER_MS) as f64 / 1000.0;
        let messages = f64::from(messages[0]) + f64::from(messages[1]);
        (messages / seconds, (bytes[0] + bytes[1]) as f64 / seconds)
    }
}

impl Homes {
    /// No channels yet. The seed also decides where epochs begin, so that two runs of a server hardly share one.
    #[must_use]
    pub(crate) fn new(seed: HashSeed) -> Homes {
        Homes {
            names: HashMap::with_hasher(seed),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            spares: Spares::default(),
            open_bytes: 0,
            next_epoch: seed.hash_one("epoch") as u32,
            now_ms: 0,
        }
    }

    /// Lets `listener` hear the channel in one rendering, from the next publication on; creates the channel if need
    /// be. An older interest of the same shard in the same rendering is replaced.
    ///
    /// What was sequenced this turn before the interest is sealed on the spot and goes through `post` to those who
    /// listened until here, as in [`Homes::seal`]. The listener gets nothing of it: if its Confirm is posted after
    /// this call, its log starts exactly behind the position returned, that of the last publication it will not get.
    pub(crate) fn register(
        &mut self,
        name: &ChannelName,
        rendering: Rendering,
        listener: Listener,
        mut post: impl FnMut(Listener, Rendering, Segment),
    ) -> (HomeKey, Position) {
        let home = match self.names.get(name) {
            Some(&home) => home,
            None => self.create(name),
        };
        let Some(channel) = find(&mut self.slots, home) else {
            unreachable!("names lead to channels that are here")
        };
        let audience = channel.audiences[rendering.index()].get_or_insert_default();
        self.open_bytes -= audience.open_bytes();
        audience.seal(rendering, &mut self.spares, &mut post);
        match audience.listeners.iter_mut().find(|older| older.shard == listener.shard) {
            Some(older) => *older = listener,
            None => audience.listeners.push(listener),
        }
        (home, channel.position)
    }

    /// Ends an interest; a stale key or listener is ignored. The listener is handed nothing more, not even what was
    /// sequenced since the last seal. The channel goes with its last listener.
    pub(crate) fn withdraw(&mut self, home: HomeKey, rendering: Rendering, listener: Listener) {
        let Some(channel) = find(&mut self.slots, home) else { return };
        let slot = &mut channel.audiences[rendering.index()];
        let Some(audience) = slot else { return };
        let Some(place) = audience.listeners.iter().position(|standing| *standing == listener) else {
            return;
        };
        audience.listeners.swap_remove(place);
        if audience.listeners.is_empty() {
            self.open_bytes -= audience.open_bytes();
            *slot = None;
            if channel.audiences.iter().all(Option::is_none) {
                self.forget(home);
            }
        }
    }

    /// Gives a publication its place, the next in its channel. `encode` is called once for each rendering that
    /// anyone listens to and appends the publication's one frame in it to what it is given, at most twice
    /// [`MESSAGE_BYTES_CEILING`](crate::limits::MESSAGE_BYTES_CEILING) bytes.
    ///
    /// `None`, and nothing is encoded, if the key is stale: nobody listens. `payload_bytes` are for the channel's rates.
    ///
    /// # Panics
    /// If `encode` appends so much that a segment passes 4 GiB.
    pub(crate) fn sequence(
        &mut self,
        home: HomeKey,
        origin: Origin,
        payload_bytes: usize,
        mut encode: impl FnMut(Rendering, &mut Vec<u8>),
    ) -> Option<Position> {
        let channel = find(&mut self.slots, home)?;
        channel.position.offset += 1;
        channel.meter.count(payload_bytes, self.now_ms);
        for rendering in Rendering::ALL {
            let Some(audience) = &mut channel.audiences[rendering.index()] else { continue };
            let before = audience.open_bytes();
            audience.open_for_more(&mut self.spares);
            let open = &mut audience.open;
            encode(rendering, &mut open.frames);
            let end = u32::try_from(open.frames.len()).expect("limits.rs keeps segments below 4 GiB");
            open.marks.push(Mark { end, origin });
            self.open_bytes += audience.open_bytes() - before;
        }
        if !channel.listed {
            channel.listed = true;
            self.dirty.push(home);
        }
        Some(channel.position)
    }

    /// Closes all open segments and hands each listener its own, in order: `post(listener, rendering, segment)`.
    /// Channels without publications since the last seal are not touched.
    pub(crate) fn seal(&mut self, mut post: impl FnMut(Listener, Rendering, Segment)) {
        for home in self.dirty.drain(..) {
            let Some(channel) = find(&mut self.slots, home) else { continue };
            channel.listed = false;
            for rendering in Rendering::ALL {
                if let Some(audience) = &mut channel.audiences[rendering.index()] {
                    audience.seal(rendering, &mut self.spares, &mut post);
                }
            }
        }
        self.open_bytes = 0;
    }

    /// Time goes on, in milliseconds that do not wrap: rates are of the time up to here.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The key of a channel that is at home here.
    #[must_use]
    pub(crate) fn find(&self, name: &ChannelName) -> Option<HomeKey> {
        self.names.get(name).copied()
    }

    /// What is known of the channels at home here, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ChannelName, Standing)> {
        let channels = self.slots.iter().filter_map(|slot| slot.channel.as_deref());
        channels.map(|channel| (&channel.name, self.standing_of(channel)))
    }

    /// What is known of one.
    #[must_use]
    pub(crate) fn standing(&self, name: &ChannelName) -> Option<Standing> {
        let home = self.find(name)?;
        Some(self.standing_of(self.slots[home.index as usize].channel.as_deref()?))
    }

    fn standing_of(&self, channel: &Channel) -> Standing {
        let (messages_per_second, bytes_per_second) = channel.meter.rates(self.now_ms);
        Standing { position: channel.position, messages_per_second, bytes_per_second }
    }

    /// Bytes of frames that wait for the next seal.
    #[must_use]
    pub(crate) fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// How many channels are at home here.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn channels(&self) -> usize {
        self.names.len()
    }

    /// Asserts what holds between any two calls. It looks at every channel: for tests.
    ///
    /// # Panics
    /// If something does not hold, which is a mistake in here.
    pub(crate) fn check_invariants(&self) {
        let mut open_bytes = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let home = HomeKey { index: index as u32, generation: slot.generation };
            let listings = self.dirty.iter().filter(|dirty| **dirty == home).count();
            let Some(channel) = &slot.channel else {
                assert!(self.free.contains(&home.index), "a slot without a channel is free");
                assert_eq!(listings, 0, "only a key that is gone names it");
                continue;
            };
            assert_eq!(self.names.get(&channel.name), Some(&home), "a channel is found by its name");
            assert_eq!(listings, usize::from(channel.listed), "a channel is listed once or not at all");
            assert!(channel.audiences.iter().any(Option::is_some), "somebody listens");
            for audience in channel.audiences.iter().flatten() {
                assert!(!audience.listeners.is_empty(), "an audience has listeners");
                let bytes = audience.open_bytes();
                assert!(bytes == 0 || channel.listed, "what is open is listed");
                assert!(
                    audience.full.is_empty() || !audience.open.marks.is_empty(),
                    "what is full is followed"
                );
                let shards: HashSet<_> = audience.listeners.iter().map(|listener| listener.shard).collect();
                assert_eq!(shards.len(), audience.listeners.len(), "a shard listens once");
                open_bytes += bytes;
            }
        }
        assert_eq!(self.names.len() + self.free.len(), self.slots.len(), "a slot is a channel's or free");
        assert_eq!(open_bytes, self.open_bytes, "open bytes are counted");
        assert!(self.spares.0.len() <= SPARE_SEGMENTS_MAX);
    }

    fn create(&mut self, name: &ChannelName) -> HomeKey {
        let channel = Box::new(Channel {
            name: name.clone(),
            position: Position { epoch: self.next_epoch, offset: 0 },
            meter: Meter::default(),
            listed: false,
            audiences: Default::default(),
        });
        self.next_epoch = self.next_epoch.wrapping_add(1);
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, channel: None });
            u32::try_from(self.slots.len() - 1).expect("fewer channels than memory has room for")
        });
        let slot = &mut self.slots[index as usize];
        slot.channel = Some(channel);
        let home = HomeKey { index, generation: slot.generation };
        self.names.insert(name.clone(), home);
        home
    }

    fn forget(&mut self, home: HomeKey) {
        let slot = &mut self.slots[home.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        if let Some(channel) = slot.channel.take() {
            self.names.remove(&channel.name);
        }
        self.free.push(home.index);
    }
}

fn find(slots: &mut [Slot], home: HomeKey) -> Option<&mut Channel> {
    let slot = slots.get_mut(home.index as usize)?;
    if slot.generation == home.generation { slot.channel.as_deref_mut() } else { None }
}

impl Audience {
    /// Makes `open` take one more publication: a full segment is put aside, an empty one gets a buffer.
    fn open_for_more(&mut self, spares: &mut Spares) {
        if self.open.frames.len() >= SEGMENT_BYTES_MAX {
            self.full.push(mem::take(&mut self.open).close());
        }
        if self.open.marks.is_empty() {
            self.open = spares.take();
        }
    }

    fn seal(
        &mut self,
        rendering: Rendering,
        spares: &mut Spares,
        post: &mut impl FnMut(Listener, Rendering, Segment),
    ) {
        if self.open.marks.is_empty() {
            return;
        }
        for segment in mem::take(&mut self.full).into_iter().chain([mem::take(&mut self.open).close()]) {
            for &listener in &self.listeners {
                post(listener, rendering, segment.clone());
            }
            spares.keep(segment);
        }
    }

    fn open_bytes(&self) -> u64 {
        let full: usize = self.full.iter().map(|segment| segment.frames.len()).sum();
        (full + self.open.frames.len()) as u64
    }
}

impl OpenSegment {
    fn close(self) -> Segment {
        Segment { frames: Arc::new(self.frames), marks: Arc::new(self.marks) }
    }
}

/// Segments that were posted, oldest first. Their buffers serve again when all shards have copied them, which is
/// usually a turn later. Large ones are not kept: logs take them over and may hold them for long.
#[derive(Debug, Default)]
struct Spares(VecDeque<Segment>);

impl Spares {
    fn keep(&mut self, segment: Segment) {
        let bytes = segment.frames.capacity().max(segment.marks.capacity() * size_of::<Mark>());
        if bytes > SEGMENT_COPY_BYTES_MAX {
            return;
        }
        if self.0.len() == SPARE_SEGMENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(segment);
    }

    /// An empty segment, in the oldest buffers if nobody reads them any more.
    fn take(&mut self) -> OpenSegment {
        let Some(oldest) = self.0.front_mut() else { return OpenSegment::default() };
        let (Some(frames), Some(marks)) = (Arc::get_mut(&mut oldest.frames), Arc::get_mut(&mut oldest.marks))
        else {
            return OpenSegment::default();
        };
        let (mut frames, mut marks) = (mem::take(frames), mem::take(marks));
        self.0.pop_front();
        frames.clear();
        marks.clear();
        OpenSegment { frames, marks }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ClientKey;
    use super::super::properties::frame;
    use super::*;

    const ALICE: Origin = Origin { shard: ShardId(0), client: ClientKey { index: 1, generation: 0 } };
    const BOB: Origin = Origin { shard: ShardId(1), client: ClientKey { index: 1, generation: 0 } };

    type Posted = Vec<(Listener, Segment)>;

    #[test]
    fn buffers_serve_again_unless_their_frames_or_their_marks_take_much_memory() {
        let is_kept = |frames: usize, marks: usize| {
            let mut spares = Spares::default();
            let (frames, marks) = (Vec::with_capacity(frames), Vec::with_capacity(marks));
            spares.keep(OpenSegment { frames, marks }.close());
            !spares.0.is_empty()
        };
        let marks_max = SEGMENT_COPY_BYTES_MAX / size_of::<Mark>();
        assert!(is_kept(SEGMENT_COPY_BYTES_MAX, 0) && !is_kept(SEGMENT_COPY_BYTES_MAX + 1, 0));
        assert!(is_kept(0, marks_max) && !is_kept(0, marks_max + 1));
    }

    #[test]
    fn every_listener_is_handed_the_same_segment_with_whose_frames_it_holds() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        register(&mut homes, "room", listener(1));
        publish(&mut homes, home, ALICE, b"one");
        publish(&mut homes, home, BOB, b"two");
        let posted = seal(&mut homes);
        assert_eq!(
            posted.iter().map(|(listener, _)| *listener).collect::<Vec<_>>(),
            [listener(0), listener(1)]
        );
        let segment = &posted[0].1;
        assert_eq!(**segment.frames, *b"\x82\x03one\x82\x03two");
        assert_eq!(**segment.marks, [Mark { end: 5, origin: ALICE }, Mark { end: 10, origin: BOB }]);
        assert!(Arc::ptr_eq(&segment.frames, &posted[1].1.frames), "shared, not copied");
    }

    #[test]
    fn a_publication_is_encoded_once_however_many_listen() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        register(&mut homes, "room", listener(1));
        let mut encoded = Vec::new();
        homes.sequence(home, ALICE, 1, |rendering, _| encoded.push(rendering));
        assert_eq!(encoded, [Rendering::Relay]);
    }

    #[test]
    fn offsets_start_at_1_and_have_no_gaps() {
        let mut homes = homes();
        let (home, before) = register(&mut homes, "room", listener(0));
        assert_eq!(before.offset, 0);
        let offsets: Vec<_> = (0..3).map(|_| publish(&mut homes, home, ALICE, b"x").unwrap()).collect();
        assert_eq!(offsets, [1, 2, 3]);
        assert_eq!(register(&mut homes, "room", listener(1)).1, Position { offset: 3, ..before });
    }

    #[test]
    fn a_rate_is_of_the_period_before_and_of_this_one_so_far() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        let mut rates_at = |ms: u64, publications: usize| {
            homes.advance(ms);
            for _ in 0..publications {
                publish(&mut homes, home, ALICE, b"0123456789");
            }
            let standing = homes.standing(&ChannelName::new("room").unwrap()).unwrap();
            (standing.messages_per_second, standing.bytes_per_second)
        };
        let first = u64::from(u32::MAX) * METER_MS;
        assert_eq!(rates_at(first, 0), (0.0, 0.0));
        assert_eq!(rates_at(first + 2_500, 75), (10.0, 100.0));
        assert_eq!(rates_at(first + 5_000, 0), (15.0, 150.0));
        assert_eq!(rates_at(first + 7_500, 0), (10.0, 100.0), "the number of periods may wrap");
        assert_eq!(rates_at(first + 9_000, 15), (10.0, 100.0));
        assert_eq!(rates_at(first + 10_000, 0), (3.0, 30.0), "the first ones are forgotten");
        assert_eq!(rates_at(first + 15_000, 0), (0.0, 0.0));
    }

    #[test]
    fn who_joins_in_mid_turn_gets_nothing_of_what_was_sequenced_before() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        publish(&mut homes, home, ALICE, b"before");
        let mut posted = Posted::new();
        let name = ChannelName::new("room").unwrap();
        homes.register(&name, Rendering::Relay, listener(1), |to, _, segment| posted.push((to, segment)));
        assert_eq!(
            frames_for(&posted, listener(0)),
            b"\x82\x06before",
            "handed out before the interest stands"
        );
        publish(&mut homes, home, ALICE, b"after");
        posted.extend(seal(&mut homes));
        assert_eq!(frames_for(&posted, listener(0)), b"\x82\x06before\x82\x05after");
        assert_eq!(frames_for(&posted, listener(1)), b"\x82\x05after");
        homes.check_invariants();
    }

    #[test]
    fn a_shards_later_interest_replaces_its_earlier_one() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        let later = Listener { nonce: 8, ..listener(0) };
        register(&mut homes, "room", later);
        homes.withdraw(home, Rendering::Relay, listener(0));
        publish(&mut homes, home, ALICE, b"x").expect("the earlier interest's withdrawal is stale");
        let posted = seal(&mut homes);
        assert_eq!(posted.len(), 1);
        assert_eq!(posted[0].0, later);
    }

    #[test]
    fn who_withdrew_is_handed_nothing_more() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        register(&mut homes, "room", listener(1));
        publish(&mut homes, home, ALICE, b"x");
        homes.withdraw(home, Rendering::Relay, listener(0));
        let posted = seal(&mut homes);
        assert_eq!(posted.len(), 1);
        assert_eq!(posted[0].0, listener(1));
    }

    #[test]
    fn a_channel_goes_with_its_last_listener_and_its_key_finds_nothing() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        publish(&mut homes, home, ALICE, b"x");
        homes.withdraw(home, Rendering::Relay, listener(0));
        assert_eq!((homes.channels(), homes.open_bytes()), (0, 0));
        assert_eq!(publish(&mut homes, home, ALICE, b"y"), None);
        assert!(seal(&mut homes).is_empty());
        homes.check_invariants();
    }

    #[test]
    fn a_channel_created_again_counts_from_the_start_in_another_epoch() {
        let mut homes = homes();
        let (old, before) = register(&mut homes, "room", listener(0));
        publish(&mut homes, old, ALICE, b"x");
        homes.withdraw(old, Rendering::Relay, listener(0));
        let (new, after) = register(&mut homes, "room", listener(0));
        assert_ne!(before.epoch, after.epoch);
        assert_eq!(after.offset, 0);
        assert_eq!(publish(&mut homes, old, ALICE, b"x"), None, "the old key is stale");
        assert_eq!(publish(&mut homes, new, ALICE, b"x"), Some(1));
        homes.check_invariants();
    }

    #[test]
    fn a_seal_without_publications_hands_out_nothing() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        assert!(seal(&mut homes).is_empty());
        publish(&mut homes, home, ALICE, b"x");
        assert_eq!(seal(&mut homes).len(), 1);
        assert!(seal(&mut homes).is_empty());
    }

    #[test]
    fn open_bytes_are_what_the_next_seal_hands_out() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        publish(&mut homes, home, ALICE, b"one");
        assert_eq!(homes.open_bytes(), 5);
        publish(&mut homes, home, ALICE, b"two");
        assert_eq!(homes.open_bytes(), 10);
        seal(&mut homes);
        assert_eq!(homes.open_bytes(), 0);
    }

    #[test]
    fn a_segment_that_is_full_is_followed_by_another() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        publish(&mut homes, home, ALICE, &vec![b'x'; SEGMENT_BYTES_MAX - 5]);
        publish(&mut homes, home, ALICE, b"still fits");
        publish(&mut homes, home, ALICE, b"opens another");
        let posted = seal(&mut homes);
        assert_eq!(posted.len(), 2);
        assert_eq!((posted[0].1.marks.len(), posted[1].1.marks.len()), (2, 1));
        assert_eq!(**posted[1].1.frames, *b"\x82\x0dopens another");
    }

    #[test]
    fn a_buffer_serves_again_when_nobody_reads_it_any_more() {
        let mut homes = homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        let mut turn = || {
            publish(&mut homes, home, ALICE, b"hello");
            seal(&mut homes).pop().unwrap().1
        };
        let first = turn();
        let second = turn();
        assert_ne!(first.frames.as_ptr(), second.frames.as_ptr(), "the first is still read");
        let first_at = first.frames.as_ptr();
        drop(first);
        assert_eq!(turn().frames.as_ptr(), first_at);
        assert_eq!(**second.frames, *b"\x82\x05hello");
    }

    #[test]
    fn few_buffers_are_kept_and_no_large_ones() {
        let mut homes = homes();
        for number in 0..=SPARE_SEGMENTS_MAX {
            let (home, _) = register(&mut homes, &format!("room-{number}"), listener(0));
            publish(&mut homes, home, ALICE, b"x");
        }
        seal(&mut homes);
        assert_eq!(homes.spares.0.len(), SPARE_SEGMENTS_MAX);

        let mut homes = self::homes();
        let (home, _) = register(&mut homes, "room", listener(0));
        publish(&mut homes, home, ALICE, &vec![b'x'; SEGMENT_COPY_BYTES_MAX]);
        seal(&mut homes);
        assert_eq!(homes.spares.0.len(), 0);
    }

    fn homes() -> Homes {
        Homes::new(HashSeed(1, 2))
    }

    fn listener(shard: u16) -> Listener {
        Listener { shard: ShardId(shard), local: 5, nonce: 7 }
    }

    /// Registers between turns, when nothing is open.
    fn register(homes: &mut Homes, name: &str, listener: Listener) -> (HomeKey, Position) {
        let name = ChannelName::new(name).unwrap();
        homes.register(&name, Rendering::Relay, listener, |_, _, _| {})
    }

    fn publish(homes: &mut Homes, home: HomeKey, origin: Origin, payload: &[u8]) -> Option<u64> {
        let position =
            homes.sequence(home, origin, payload.len(), |_, out| out.extend_from_slice(&frame(payload)));
        position.map(|position| position.offset)
    }

    fn seal(homes: &mut Homes) -> Posted {
        let mut posted = Posted::new();
        homes.seal(|listener, _, segment| posted.push((listener, segment)));
        posted
    }

    fn frames_for(posted: &Posted, listener: Listener) -> Vec<u8> {
        let segments = posted.iter().filter(|(to, _)| *to == listener);
        segments.flat_map(|(_, segment)| segment.frames.to_vec()).collect()
    }
}
