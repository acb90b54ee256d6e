//! The channels at home on one shard: their order, who listens, and this turn's open segments.
//!
//! A home gives each publication its place and encodes it once per rendering that anyone listens to, onto the
//! channel's open segment. At the end of the turn the segment is sealed and handed to each listener. A home keeps no
//! publication beyond its turn and knows no client but as the origin of what it published.

use std::collections::{HashMap, VecDeque};
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
pub struct Homes {
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
    /// Whether the channel is in `Homes::dirty`. Invariant: true if any audience has something open.
    listed: bool,
    /// Invariant: at least one has a listener.
    audiences: [Audience; Rendering::COUNT],
}

/// Who listens to a channel in one rendering, and what was sequenced for them since the last seal.
#[derive(Debug, Default)]
struct Audience {
    /// Invariant: at most one of each shard.
    listeners: Vec<Listener>,
    /// Segments of this turn to which no more is added, before `open`.
    full: Vec<Segment>,
    /// Invariant: empty if there are no listeners.
    open: OpenSegment,
}

#[derive(Debug, Default)]
struct OpenSegment {
    frames: Vec<u8>,
    marks: Vec<Mark>,
}

impl Homes {
    /// No channels yet. The seed also decides where epochs begin, so that two runs of a server hardly share one.
    #[must_use]
    pub fn new(seed: HashSeed) -> Homes {
        Homes {
            names: HashMap::with_hasher(seed),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            spares: Spares::default(),
            open_bytes: 0,
            next_epoch: seed.hash_one("epoch") as u32,
        }
    }

    /// Lets `listener` hear the channel in one rendering, from the next publication on; creates the channel if need
    /// be. An older interest of the same shard in the same rendering is replaced.
    ///
    /// What was sequenced this turn before the interest is sealed on the spot and goes through `post` to those who
    /// listened until here, as in [`Homes::seal`]. The listener gets nothing of it: if its Confirm is posted after
    /// this call, its log starts exactly behind the position returned, that of the last publication it will not get.
    pub fn register(
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
        let audience = &mut channel.audiences[rendering.index()];
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
    pub fn withdraw(&mut self, home: HomeKey, rendering: Rendering, listener: Listener) {
        let Some(channel) = find(&mut self.slots, home) else { return };
        let audience = &mut channel.audiences[rendering.index()];
        let Some(place) = audience.listeners.iter().position(|standing| *standing == listener) else {
            return;
        };
        audience.listeners.swap_remove(place);
        if audience.listeners.is_empty() {
            self.open_bytes -= audience.open_bytes();
            *audience = Audience::default();
            if channel.audiences.iter().all(|audience| audience.listeners.is_empty()) {
                self.forget(home);
            }
        }
    }

    /// Gives a publication its place, the next in its channel. `encode` is called once for each rendering that
    /// anyone listens to and appends the publication's one frame in it to what it is given, at most twice
    /// [`MESSAGE_BYTES_CEILING`](crate::limits::MESSAGE_BYTES_CEILING) bytes.
    ///
    /// `None`, and nothing is encoded, if the key is stale: nobody listens.
    ///
    /// # Panics
    /// If `encode` appends so much that a segment passes 4 GiB.
    pub fn sequence(
        &mut self,
        home: HomeKey,
        origin: Origin,
        mut encode: impl FnMut(Rendering, &mut Vec<u8>),
    ) -> Option<Position> {
        let channel = find(&mut self.slots, home)?;
        channel.position.offset += 1;
        for rendering in Rendering::ALL {
            let audience = &mut channel.audiences[rendering.index()];
            if audience.listeners.is_empty() {
                continue;
            }
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
    pub fn seal(&mut self, mut post: impl FnMut(Listener, Rendering, Segment)) {
        for home in self.dirty.drain(..) {
            let Some(channel) = find(&mut self.slots, home) else { continue };
            channel.listed = false;
            for rendering in Rendering::ALL {
                channel.audiences[rendering.index()].seal(rendering, &mut self.spares, &mut post);
            }
        }
        self.open_bytes = 0;
    }

    /// Bytes of frames that wait for the next seal.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// How many channels are at home here.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.names.len()
    }

    fn create(&mut self, name: &ChannelName) -> HomeKey {
        let channel = Box::new(Channel {
            name: name.clone(),
            position: Position { epoch: self.next_epoch, offset: 0 },
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
