//! The channels at home on one shard: their order, who listens, and this turn's open segments.
//!
//! A home gives each publication its place and encodes it once per rendering that anyone listens to, onto the
//! channel's open segment. At the end of the turn the segment is sealed and handed to each listener. A home keeps no
//! publication beyond its turn and knows no client but as the origin of what it published.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;

use super::channel::{ChannelName, HashSeed};
use super::{ClientId, Mark, Position, Rendering, Segment, ShardId};
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
        origin: ClientId,
        payload_bytes: usize,
        mut encode: impl FnMut(Rendering, &mut Vec<u8>),
    ) -> Option<Position> {
        let channel = find(&mut self.slots, home)?;
        channel.position.offset += 1;
        channel.meter.count(payload_bytes, self.now_ms);
        for rendering in Rendering::ALL {
            let Some(audience) = &mut channel.audiences[rendering.index()] else { continue };
            audience.open_for_more(&mut self.spares);
            let open = &mut audience.open;
            let before = open.frames.len();
            encode(rendering, &mut open.frames);
            let end = u32::try_from(open.frames.len()).expect("limits.rs keeps segments below 4 GiB");
            open.marks.push(Mark { end, origin });
            self.open_bytes += (open.frames.len() - before) as u64;
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
