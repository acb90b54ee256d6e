//! The hub's laws, each written once: what holds for every script of operations. (The file is long because each
//! model stands here with its law.)
//!
//! A law takes bytes, reads them as a script, and asserts that the real structure agrees with a model too simple to
//! be wrong. proptest drives the laws at the end of this file; a fuzzer can hand in its input as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::sync::Arc;

use super::channel::{ChannelName, HashSeed, home_of};
use super::home::{HomeKey, Homes, Listener};
use super::log::{FrameRest, Log, LogPosition, Loss};
use super::subscriptions::{Channel, Membership, Subscriptions};
use super::{ClientKey, Mark, Origin, Position, Rendering, Segment, ShardId};
use crate::config::ChannelSettings;
use crate::limits::{CHUNK_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_COPY_BYTES_MAX};

/// A log agrees with one big vector in which every cursor is a number, whatever is joined, left, appended, advanced
/// and passed over by jumps, with echo and without.
///
/// # Panics
/// If it does not.
pub fn a_log_agrees_with_one_big_vector(script: &[u8]) {
    let mut script = Script(script);
    let mut pair = LogAndModel::default();
    while let Some(operation) = script.next() {
        match operation % 10 {
            0 => pair.join(None),
            1 => pair.join(Some(client(script.byte() % 3))),
            2 => pair.leave(script.byte()),
            3 | 4 => pair.append(&mut script),
            5 => pair.advance(script.byte(), 1, usize::from(script.byte())),
            6 => pair.advance(script.byte(), 64, script.size() * 16),
            7 => pair.jump_within(script.byte(), script.size() * 16),
            8 => pair.jump_to_newest(script.byte()),
            _ => pair.advance(script.byte(), usize::MAX, usize::MAX),
        }
        pair.check();
    }
}

/// Listeners on several shards are handed exactly what was sequenced while their interest stood: in order, once,
/// whatever is registered, withdrawn, sequenced and sealed, and however long they take to read it.
///
/// # Panics
/// If they are not.
pub fn homes_hand_out_what_a_map_of_lists_would(script: &[u8]) {
    let mut script = Script(script);
    let mut pair = HomesAndModel::new();
    while let Some(operation) = script.next() {
        match operation % 10 {
            0 | 1 => pair.register(script.byte(), script.byte()),
            2 => pair.withdraw(script.byte(), script.byte()),
            3 => pair.withdraw_a_stale_one(script.byte()),
            4..=7 => pair.sequence(script.byte(), &mut script),
            8 => pair.seal(),
            _ => pair.read_mail(),
        }
        pair.check();
    }
    pair.seal();
    pair.read_mail();
}

/// Slots mirror memberships, a lap visits everyone who was there when something was appended before it ends, and a
/// log is never further ahead of those that wait for nothing but the lap than [`Channel::ahead`] says: whatever is
/// opened and closed, and whoever joins, leaves, is visited and takes how much, in between.
///
/// # Panics
/// If it is not so.
pub fn a_lap_misses_nobody(script: &[u8]) {
    let mut script = Script(script);
    let mut pair = SubscriptionsAndModel::new();
    while let Some(operation) = script.next() {
        match operation % 12 {
            0..=2 => pair.join(script.byte()),
            3 | 4 => pair.leave(script.byte()),
            5 | 6 => pair.append(script.byte(), &mut script),
            7 | 8 => pair.visit(script.byte(), &mut script),
            9 => pair.finish_the_lap(script.byte()),
            10 => pair.write_whatever_the_lap(script.byte()),
            _ => pair.close(script.byte()),
        }
        pair.check();
    }
}

/// A name's home is below the number of shards, and the same for everybody who asks with the same seed.
///
/// # Panics
/// If it is not.
pub fn a_home_is_one_shard_for_everybody(name: &str, shards: usize, seed: HashSeed) {
    let (Ok(name), Ok(same_name)) = (ChannelName::new(name), ChannelName::new(name)) else { return };
    let home = home_of(&name, shards, seed);
    assert!(home < shards);
    assert_eq!(home, home_of(&same_name, shards, seed));
    assert_eq!(home_of(&name, 1, seed), 0, "with one shard every home is local");
}

/// A binary frame as a server sends it (RFC 6455 §5.2), spelled out once more so that tests need no encoder.
#[must_use]
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match payload.len() {
        len @ ..=125 => bytes.push(len as u8),
        len @ ..=65_535 => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// One segment of these publications, a [`frame`] each.
#[must_use]
pub fn segment(publications: &[(Origin, &[u8])]) -> Segment {
    let (mut frames, mut marks) = (Vec::new(), Vec::new());
    for (origin, payload) in publications {
        frames.extend(frame(payload));
        marks.push(Mark { end: frames.len() as u32, origin: *origin });
    }
    Segment { frames: Arc::new(frames), marks: Arc::new(marks) }
}

/// The bytes that a vectored write of `slices` would send.
#[must_use]
pub fn concatenated(slices: &[IoSlice<'_>]) -> Vec<u8> {
    let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
    slices.concat()
}

/// Bytes read as the choices of a test; where they end, every choice is 0.
struct Script<'s>(&'s [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// Mostly small; the lengths at which frames, segments and chunks change their ways are well among them.
    fn size(&mut self) -> usize {
        let choice = self.byte();
        match choice {
            0..=199 => usize::from(choice),
            200..=229 => usize::from(choice) * 20 + usize::from(self.byte()),
            230..=239 => SEGMENT_COPY_BYTES_MAX - 8 + usize::from(self.byte() % 16),
            240..=247 => CHUNK_BYTES_MAX - 16 + usize::from(self.byte() % 32),
            248..=250 => 65_534 + usize::from(self.byte() % 4),
            _ => 20_000 + usize::from(choice),
        }
    }
}

const HERE: ShardId = ShardId(0);

fn client(number: u8) -> ClientKey {
    ClientKey { index: u32::from(number), generation: 0 }
}

#[derive(Default)]
struct LogAndModel {
    log: Log,
    /// All that was ever appended while anyone was subscribed: a log position is an index into it.
    bytes: Vec<u8>,
    /// Start, end and origin of every frame in `bytes`.
    frames: Vec<(usize, usize, Origin)>,
    cursors: Vec<Cursor>,
    largest_segment: usize,
    filler: u8,
}

struct Cursor {
    at: usize,
    /// Whose frames it passes over.
    own: Option<ClientKey>,
}

impl LogAndModel {
    fn join(&mut self, own: Option<ClientKey>) {
        if self.cursors.len() == 6 {
            return;
        }
        if own.is_some() {
            self.log.watch_origins();
        }
        assert_eq!(self.log.join(), self.log.end());
        self.cursors.push(Cursor { at: self.bytes.len(), own });
    }

    fn leave(&mut self, which: u8) {
        if self.cursors.is_empty() {
            return;
        }
        let cursor = self.cursors.swap_remove(usize::from(which) % self.cursors.len());
        self.log.leave(position(cursor.at));
        if cursor.own.is_some() {
            self.log.unwatch_origins();
        }
    }

    fn append(&mut self, script: &mut Script<'_>) {
        let publications: Vec<(Origin, Vec<u8>)> = (0..=script.byte() % 4)
            .map(|_| {
                let choice = script.byte();
                let origin = Origin { shard: ShardId(u16::from(choice / 3 % 2)), client: client(choice % 3) };
                self.filler = self.filler.wrapping_add(1);
                (origin, vec![self.filler; script.size()])
            })
            .collect();
        let lent: Vec<_> =
            publications.iter().map(|(origin, payload)| (*origin, payload.as_slice())).collect();
        let segment = segment(&lent);
        self.log.append(&segment, HERE);
        if self.cursors.is_empty() {
            return;
        }
        let mut start = self.bytes.len();
        for (origin, payload) in &publications {
            let end = start + frame(payload).len();
            self.frames.push((start, end, *origin));
            start = end;
        }
        self.bytes.extend(&**segment.frames);
        self.largest_segment = self.largest_segment.max(segment.frames.len());
    }

    /// A write of which the kernel takes at most `taken_max` bytes.
    fn advance(&mut self, which: u8, slices_max: usize, taken_max: usize) {
        if self.cursors.is_empty() {
            return;
        }
        let which = usize::from(which) % self.cursors.len();
        let Cursor { at, own } = self.cursors[which];
        let mut offered = Vec::new();
        let (expected, to, taken) = match own {
            None => {
                let bytes = self.log.slices(position(at), slices_max, &mut offered);
                let taken = bytes.min(taken_max);
                (self.bytes[at..at + bytes].to_vec(), at + taken, taken)
            }
            Some(own) => {
                let bytes = self.log.slices_without(position(at), own, slices_max, &mut offered);
                let taken = bytes.min(taken_max);
                let mut expected = self.bytes_without(at, own);
                expected.truncate(bytes);
                (expected, self.model_position_after(at, own, taken), taken)
            }
        };
        assert!(offered.len() <= slices_max && offered.iter().all(|slice| !slice.is_empty()));
        assert_eq!(concatenated(&offered), expected);
        if let Some(own) = own {
            assert_eq!(self.log.position_after(position(at), own, taken), position(to));
        }
        self.cursors[which].at = to;
        assert_eq!(self.log.advance(position(at), position(to)), position(to));
    }

    /// A jump that leaves at most so many bytes, if the newest frame has not more.
    fn jump_within(&mut self, which: u8, bytes_max: usize) {
        let within = |(start, ..): &&(usize, usize, Origin)| self.bytes.len() - start <= bytes_max;
        let retained = self.retained_frames();
        let oldest = retained.iter().find(within).or(retained.last());
        let to = oldest.map_or(self.bytes.len(), |(start, ..)| *start);
        assert_eq!(self.log.oldest_within(bytes_max as u64), position(to));
        self.jump(which, |_| to);
    }

    fn jump_to_newest(&mut self, which: u8) {
        self.jump(which, |pair| {
            let Cursor { at, own } = pair.cursors[usize::from(which) % pair.cursors.len()];
            let is_foreign = |(_, end, origin): &&(usize, usize, Origin)| {
                *end > at && own.is_none_or(|own| *origin != here(own))
            };
            let newest = pair.log.newest_without(position(at), own);
            match pair.frames.iter().rev().find(is_foreign) {
                Some((start, ..)) => assert_eq!(newest, position(*start)),
                None => assert!(newest <= position(at) || newest == pair.log.end(), "nothing is ahead"),
            }
            newest.0 as usize
        });
    }

    /// A jump to where a frame starts, if that is ahead.
    fn jump(&mut self, which: u8, to: impl FnOnce(&LogAndModel) -> usize) {
        if self.cursors.is_empty() {
            return;
        }
        let to = to(self);
        let which = usize::from(which) % self.cursors.len();
        let Cursor { at, own } = self.cursors[which];
        let is_lost = |(start, end, origin): &&(usize, usize, Origin)| {
            at <= *start && *end <= to && own.is_none_or(|own| *origin != here(own))
        };
        let lost = self.frames.iter().filter(is_lost).fold(Loss::default(), |mut lost, (start, end, _)| {
            lost += Loss { messages: 1, bytes: (end - start) as u64 };
            lost
        });
        assert_eq!(self.log.loss(position(at), position(to), own), lost);
        if to > at {
            self.cursors[which].at = to;
            assert_eq!(self.log.advance(position(at), position(to)), position(to));
        }
    }

    /// The frames from the hindmost cursor's chunk to the end.
    fn retained_frames(&self) -> &[(usize, usize, Origin)] {
        let first = self.bytes.len() - self.log.retained() as usize;
        &self.frames[self.frames.partition_point(|(start, ..)| *start < first)..]
    }

    fn check(&self) {
        self.log.check_invariants();
        assert_eq!(self.log.end(), position(self.bytes.len()));
        assert_eq!(self.log.subscribers() as usize, self.cursors.len());
        for cursor in &self.cursors {
            self.check_cursor(cursor);
        }
        // A lagging cursor pins its own chunk and no other before it.
        let lag = self.cursors.iter().map(|cursor| self.bytes.len() - cursor.at).max().unwrap_or(0) as u64;
        let chunk = CHUNK_BYTES_MAX.max(self.largest_segment) as u64;
        assert!(lag <= self.log.retained() && self.log.retained() < lag + chunk);
    }

    fn check_cursor(&self, cursor: &Cursor) {
        let at = position(cursor.at);
        assert_eq!(self.log.lag(at), (self.bytes.len() - cursor.at) as u64);

        let mut slices = Vec::new();
        assert_eq!(self.log.slices(at, usize::MAX, &mut slices), self.bytes.len() - cursor.at);
        let mut compared = cursor.at;
        for slice in &slices {
            assert!(**slice == self.bytes[compared..compared + slice.len()]);
            compared += slice.len();
        }

        let torn = self.frames.iter().find(|(start, end, _)| *start < cursor.at && cursor.at < *end);
        let frame_end = torn.map_or(cursor.at, |(_, end, _)| *end);
        assert!(self.log.slice_of_frame(at) == &self.bytes[cursor.at..frame_end]);
        let rest = self.log.rest_of_frame(at);
        assert!(rest.as_slice() == &self.bytes[cursor.at..frame_end]);
        assert!(matches!(&rest, FrameRest::Shared(..)) || rest.as_slice().len() < SEGMENT_COPY_BYTES_MAX);

        if let Some(own) = cursor.own {
            assert!(torn.is_none_or(|(_, _, origin)| *origin != here(own)), "never inside an own frame");
            let mut slices = Vec::new();
            self.log.slices_without(at, own, usize::MAX, &mut slices);
            assert_eq!(concatenated(&slices), self.bytes_without(cursor.at, own));
        }
    }

    fn bytes_without(&self, at: usize, own: ClientKey) -> Vec<u8> {
        let others = self.frames.iter().filter(|(_, end, origin)| *end > at && *origin != here(own));
        let others: Vec<_> = others.map(|(start, end, _)| &self.bytes[at.max(*start)..*end]).collect();
        others.concat()
    }

    fn model_position_after(&self, at: usize, own: ClientKey, mut taken: usize) -> usize {
        let ahead = self.frames.iter().filter(|(_, end, _)| *end > at);
        let mut at = at;
        for (_, end, origin) in ahead {
            if *origin == here(own) {
                at = *end;
            } else if taken >= end - at {
                taken -= end - at;
                at = *end;
            } else {
                return at + taken;
            }
        }
        at
    }
}

fn here(client: ClientKey) -> Origin {
    Origin { shard: HERE, client }
}

fn position(at: usize) -> LogPosition {
    LogPosition(at as u64)
}

/// A publication, told from all others by its number.
type Number = u64;

struct HomesAndModel {
    homes: Homes,
    /// What was posted and not yet read.
    mail: Vec<(Listener, Segment)>,
    /// Who was handed what, by nonce.
    received: BTreeMap<u32, Vec<(Number, Origin)>>,
    /// The channels that there ought to be.
    channels: BTreeMap<u8, ModelChannel>,
    /// Who ought to be handed what, by nonce.
    expected: BTreeMap<u32, Vec<(Number, Origin)>>,
    /// Interests that ended, and the epochs that ended with them.
    stale: Vec<(HomeKey, Listener)>,
    last_epoch: Option<u32>,
    next_nonce: u32,
    next_number: Number,
}

struct ModelChannel {
    home: HomeKey,
    position: Position,
    listeners: BTreeMap<u16, ModelListener>,
}

struct ModelListener {
    listener: Listener,
    home: HomeKey,
    /// Sequenced for it since the last seal.
    unsealed: Vec<(Number, Origin)>,
    unsealed_bytes: u64,
}

impl HomesAndModel {
    fn new() -> HomesAndModel {
        HomesAndModel {
            homes: Homes::new(HashSeed(3, 4)),
            mail: Vec::new(),
            received: BTreeMap::new(),
            channels: BTreeMap::new(),
            expected: BTreeMap::new(),
            stale: Vec::new(),
            last_epoch: None,
            next_nonce: 0,
            next_number: 0,
        }
    }

    fn register(&mut self, channel: u8, shard: u8) {
        let (channel, shard) = (channel % 3, u16::from(shard % 4));
        self.next_nonce += 1;
        let listener = Listener { shard: ShardId(shard), local: u32::from(channel), nonce: self.next_nonce };
        let name = ChannelName::new(&format!("channel-{channel}")).unwrap();
        let mail = &mut self.mail;
        let (home, position) =
            self.homes.register(&name, Rendering::Relay, listener, |to, _, segment| mail.push((to, segment)));

        let model = self.channels.entry(channel).or_insert_with(|| {
            assert_eq!(position.offset, 0, "a channel that is created starts at 0");
            assert_ne!(self.last_epoch, Some(position.epoch), "and in another epoch");
            self.last_epoch = Some(position.epoch);
            ModelChannel { home, position, listeners: BTreeMap::new() }
        });
        assert_eq!((model.home, model.position), (home, position));
        model.seal(&mut self.expected);
        let standing = ModelListener { listener, home, unsealed: Vec::new(), unsealed_bytes: 0 };
        if let Some(replaced) = model.listeners.insert(shard, standing) {
            self.stale.push((home, replaced.listener));
        }
    }

    fn withdraw(&mut self, channel: u8, shard: u8) {
        let (channel, shard) = (channel % 3, u16::from(shard % 4));
        let Some(model) = self.channels.get_mut(&channel) else { return };
        let Some(ModelListener { listener, home, .. }) = model.listeners.remove(&shard) else { return };
        self.homes.withdraw(home, Rendering::Relay, listener);
        self.stale.push((home, listener));
        if model.listeners.is_empty() {
            self.channels.remove(&channel);
        }
    }

    fn withdraw_a_stale_one(&mut self, which: u8) {
        if !self.stale.is_empty() {
            let (home, listener) = self.stale[usize::from(which) % self.stale.len()];
            self.homes.withdraw(home, Rendering::Relay, listener);
        }
    }

    fn sequence(&mut self, channel: u8, script: &mut Script<'_>) {
        self.next_number += 1;
        let number = self.next_number;
        let shard = ShardId(u16::from(script.byte() % 4));
        let origin = Origin { shard, client: client(script.byte()) };
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + script.size(), number as u8);
        let encoded = frame(&payload);

        let Some(model) = self.channels.get_mut(&(channel % 3)) else {
            // Nobody listens: no key that ever named the channel finds anything.
            for (home, _) in &self.stale {
                if self.channels.values().all(|standing| standing.home != *home) {
                    assert_eq!(self.homes.sequence(*home, origin, 0, |_, _| panic!("nobody listens")), None);
                }
            }
            return;
        };
        model.position.offset += 1;
        let position =
            self.homes.sequence(model.home, origin, payload.len(), |_, out| out.extend_from_slice(&encoded));
        assert_eq!(position, Some(model.position));
        for listener in model.listeners.values_mut() {
            listener.unsealed.push((number, origin));
            listener.unsealed_bytes += encoded.len() as u64;
        }
    }

    fn seal(&mut self) {
        let mail = &mut self.mail;
        self.homes.seal(|to, _, segment| mail.push((to, segment)));
        for model in self.channels.values_mut() {
            model.seal(&mut self.expected);
        }
    }

    fn read_mail(&mut self) {
        for (to, segment) in self.mail.drain(..) {
            assert!(!segment.marks.is_empty(), "no segment is empty");
            let received = self.received.entry(to.nonce).or_default();
            let mut start = 0;
            for mark in segment.marks.iter() {
                assert!(start < SEGMENT_BYTES_MAX, "a full segment is not added to");
                let encoded = &segment.frames[start..mark.end as usize];
                let payload = &encoded[encoded.len() - payload_len(encoded)..];
                assert!(frame(payload) == encoded, "a mark stands at the end of a frame");
                let number = Number::from_be_bytes(*payload.first_chunk().unwrap());
                assert!(payload[8..].iter().all(|filler| *filler == number as u8));
                received.push((number, mark.origin));
                start = mark.end as usize;
            }
            assert_eq!(start, segment.frames.len(), "nothing stands behind the last mark");
        }
        assert_eq!(self.received, self.expected);
    }

    fn check(&self) {
        self.homes.check_invariants();
        assert_eq!(self.homes.channels(), self.channels.len());
        // All who listen to a channel wait for the same publications at most: the longest list is all of them.
        let open = self
            .channels
            .values()
            .map(|model| model.listeners.values().map(|listener| listener.unsealed_bytes).max().unwrap_or(0));
        assert!(self.homes.open_bytes() >= open.sum());
    }
}

impl ModelChannel {
    fn seal(&mut self, expected: &mut BTreeMap<u32, Vec<(Number, Origin)>>) {
        for listener in self.listeners.values_mut() {
            listener.unsealed_bytes = 0;
            if !listener.unsealed.is_empty() {
                expected.entry(listener.listener.nonce).or_default().append(&mut listener.unsealed);
            }
        }
    }
}

struct SubscriptionsAndModel {
    subscriptions: Subscriptions,
    /// The channels that there ought to be, by the number in their names.
    channels: BTreeMap<u8, ModelLap>,
    /// Who is where, as each client would know it.
    members: BTreeMap<ClientKey, ModelMember>,
    /// Numbers and nonces of channels that were closed.
    former: Vec<(u32, u32)>,
    next_client: u32,
}

struct ModelLap {
    local: u32,
    nonce: u32,
    /// Who was there at the latest append and has not been visited since.
    waiting: BTreeSet<ClientKey>,
}

struct ModelMember {
    channel: u8,
    membership: Membership,
    /// Its latest write was short: it waits for its socket, and laps pass it by.
    blocked: bool,
}

impl SubscriptionsAndModel {
    fn new() -> SubscriptionsAndModel {
        SubscriptionsAndModel {
            subscriptions: Subscriptions::new(HashSeed(5, 6)),
            channels: BTreeMap::new(),
            members: BTreeMap::new(),
            former: Vec::new(),
            next_client: 0,
        }
    }

    fn join(&mut self, channel: u8) {
        let channel = channel % 3;
        let name = ChannelName::new(&format!("channel-{channel}")).unwrap();
        let found = self.subscriptions.find(&name, Rendering::Relay);
        assert_eq!(found, self.channels.get(&channel).map(|model| model.local), "found if it is open");
        let local = found.unwrap_or_else(|| {
            let local = self.subscriptions.open(&name, Rendering::Relay, HERE, ChannelSettings::default());
            let nonce = self.subscriptions.get(local).unwrap().nonce();
            self.channels.insert(channel, ModelLap { local, nonce, waiting: BTreeSet::new() });
            local
        });

        let client = ClientKey { index: self.next_client, generation: 7 };
        self.next_client += 1;
        let opened = self.subscriptions.get_mut(local).unwrap();
        let (slot, cursor) = opened.join(client);
        assert_eq!(cursor, opened.log.end(), "what was said before it came is not for it");
        let membership = Membership { channel: local, slot, cursor };
        self.members.insert(client, ModelMember { channel, membership, blocked: false });
    }

    fn leave(&mut self, which: u8) {
        let Some(client) = self.member(which) else { return };
        let ModelMember { channel, membership: Membership { channel: local, slot, cursor }, .. } =
            self.members.remove(&client).unwrap();
        let left = self.subscriptions.get_mut(local).unwrap();
        let last = left.subscribers().last().copied();
        let moved = left.leave(slot, cursor);
        assert_eq!(
            moved,
            last.filter(|last| *last != client),
            "the last one takes the slot, unless it is it"
        );
        if let Some(moved) = moved {
            self.members.get_mut(&moved).unwrap().membership.slot = slot;
        }
        self.channels.get_mut(&channel).unwrap().waiting.remove(&client);
    }

    fn append(&mut self, channel: u8, script: &mut Script<'_>) {
        let payload = vec![channel; script.size()];
        let segment = segment(&[(here(client(0)), &payload)]);
        let Some(model) = self.channels.get_mut(&(channel % 3)) else { return };
        let appended = self.subscriptions.get_mut(model.local).unwrap();
        model.waiting = appended.subscribers().iter().copied().collect();
        assert_eq!(appended.append(&segment, HERE, 0), !model.waiting.is_empty());
    }

    /// The lap goes on by one visit. Who is not blocked is written to the log's end, or as far as there is room.
    fn visit(&mut self, channel: u8, script: &mut Script<'_>) {
        let taken_max = if script.byte().is_multiple_of(4) { u64::from(script.byte()) } else { u64::MAX };
        let Some(model) = self.channels.get_mut(&(channel % 3)) else { return };
        let visited = self.subscriptions.get_mut(model.local).unwrap();
        let is_dirty = visited.is_dirty();
        let Some(client) = visited.visit() else {
            assert!(!is_dirty && model.waiting.is_empty(), "the lap is over when everyone has been visited");
            return;
        };
        model.waiting.remove(&client);
        let member = self.members.get_mut(&client).expect("who has left is not visited");
        if !member.blocked {
            member.write(visited, taken_max);
        }
    }

    /// Without anything in between, a lap takes one visit for each subscriber at the most.
    fn finish_the_lap(&mut self, channel: u8) {
        let Some(model) = self.channels.get(&(channel % 3)) else { return };
        let subscribers = self.subscriptions.get(model.local).unwrap().subscribers().len();
        for _ in 0..subscribers {
            self.visit(channel, &mut Script(&[1]));
        }
        let Some(model) = self.channels.get(&(channel % 3)) else { return };
        assert!(!self.subscriptions.get(model.local).unwrap().is_dirty());
        assert!(model.waiting.is_empty());
    }

    /// A socket has room again, or the client has just published.
    fn write_whatever_the_lap(&mut self, which: u8) {
        let Some(client) = self.member(which) else { return };
        let member = self.members.get_mut(&client).unwrap();
        member.write(self.subscriptions.get_mut(member.membership.channel).unwrap(), u64::MAX);
    }

    fn close(&mut self, channel: u8) {
        let channel = channel % 3;
        let Some(ModelLap { local, nonce, .. }) = self.channels.get(&channel) else { return };
        let (local, nonce) = (*local, *nonce);
        if self.subscriptions.get(local).unwrap().subscribers().is_empty() {
            assert_eq!(self.subscriptions.close(local).map(|closed| closed.nonce()), Some(nonce));
            self.channels.remove(&channel);
            self.former.push((local, nonce));
        }
    }

    fn member(&self, which: u8) -> Option<ClientKey> {
        self.members.keys().nth(usize::from(which) % self.members.len().max(1)).copied()
    }

    fn check(&mut self) {
        self.subscriptions.check_invariants();
        assert_eq!(self.subscriptions.len(), self.channels.len());
        for (local, nonce) in &self.former {
            assert!(
                self.subscriptions.addressed(*local, *nonce).is_none(),
                "mail for a former channel is lost"
            );
        }
        let mut subscribers = 0;
        for model in self.channels.values() {
            let channel = self.subscriptions.addressed(model.local, model.nonce).expect("an open channel");
            subscribers += channel.subscribers().len();
            assert!(
                channel.is_dirty() || model.waiting.is_empty(),
                "a lap goes on while somebody waits for it"
            );
        }
        assert_eq!(subscribers, self.members.len(), "nobody else is subscribed");
        for (client, ModelMember { membership, blocked, .. }) in &self.members {
            let channel = self.subscriptions.get(membership.channel).unwrap();
            assert_eq!(channel.subscribers().get(membership.slot.index()), Some(client), "mirrored maps");
            assert!(*blocked || channel.log.lag(membership.cursor) <= channel.ahead(), "ahead of who waits");
        }
    }
}

impl ModelMember {
    fn write(&mut self, channel: &mut Channel, taken_max: u64) {
        let from = self.membership.cursor;
        let lag = channel.log.lag(from);
        self.blocked = taken_max < lag;
        self.membership.cursor = channel.log.advance(from, LogPosition(from.0 + lag.min(taken_max)));
    }
}

fn payload_len(frame: &[u8]) -> usize {
    match frame[1] {
        127 => frame.len() - 10,
        126 => frame.len() - 4,
        _ => frame.len() - 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_log_agrees_with_one_big_vector(script in vec(any::<u8>(), 0..600)) {
            super::a_log_agrees_with_one_big_vector(&script);
        }

        #[test]
        fn homes_hand_out_what_a_map_of_lists_would(script in vec(any::<u8>(), 0..400)) {
            super::homes_hand_out_what_a_map_of_lists_would(&script);
        }

        #[test]
        fn a_lap_misses_nobody(script in vec(any::<u8>(), 0..400)) {
            super::a_lap_misses_nobody(&script);
        }

        #[test]
        fn a_home_is_one_shard_for_everybody(
            name in "[A-Za-z0-9_=@,.;:/-]{1,200}",
            shards in 1..=256_usize,
            seed in any::<(u64, u64)>(),
        ) {
            super::a_home_is_one_shard_for_everybody(&name, shards, HashSeed(seed.0, seed.1));
        }
    }
}
