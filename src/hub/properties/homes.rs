//! The law of homes, with its model: a map of lists.

use super::{Script, client, frame};
use crate::hub::channel::{ChannelName, HashSeed};
use crate::hub::home::{HomeKey, Homes, Listener};
use crate::hub::{ClientId, Position, Rendering, Segment, ShardId};
use crate::limits::SEGMENT_BYTES_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// Listeners on several shards are handed exactly what was sequenced while their interest stood: in order, once, in the
/// rendering they asked for, whatever is registered, withdrawn, sequenced and sealed, and however long they take to read it.
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

/// A publication, told from all others by its number.
type Number = u64;

struct HomesAndModel {
    homes: Homes,
    /// What was posted and not yet read.
    mail: Vec<(Listener, Rendering, Segment)>,
    /// Who was handed what, by nonce.
    received: BTreeMap<u32, Vec<(Number, ClientId)>>,
    /// The channels that there ought to be.
    channels: BTreeMap<u8, ModelChannel>,
    /// Who ought to be handed what, by nonce.
    expected: BTreeMap<u32, Vec<(Number, ClientId)>>,
    /// Interests that ended.
    stale: Vec<(HomeKey, Rendering, Listener)>,
    last_epoch: Option<u32>,
    next_nonce: u32,
    next_number: Number,
}

struct ModelChannel {
    home: HomeKey,
    position: Position,
    /// By the shard and the rendering's index.
    listeners: BTreeMap<(u16, usize), ModelListener>,
}

struct ModelListener {
    listener: Listener,
    home: HomeKey,
    /// Sequenced for it since the last seal.
    unsealed: Vec<(Number, ClientId)>,
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

    /// The last byte says which shard listens, and in which rendering.
    fn register(&mut self, channel: u8, listener: u8) {
        let (channel, shard) = (channel % 3, u16::from(listener % 4));
        let rendering = Rendering::ALL[usize::from(listener / 4) % Rendering::COUNT];
        self.next_nonce += 1;
        let listener = Listener { shard: ShardId(shard), local: u32::from(channel), nonce: self.next_nonce };
        let name = ChannelName::new(&format!("channel-{channel}")).unwrap();
        let mail = &mut self.mail;
        let (home, position) = self.homes.register(&name, rendering, listener, |to, form, segment| {
            assert_eq!(form, rendering, "others are sealed at the end of the turn");
            mail.push((to, form, segment));
        });

        let model = self.channels.entry(channel).or_insert_with(|| {
            assert_eq!(position.offset, 0, "a channel that is created starts at 0");
            assert_ne!(self.last_epoch, Some(position.epoch), "and in another epoch");
            self.last_epoch = Some(position.epoch);
            ModelChannel { home, position, listeners: BTreeMap::new() }
        });
        assert_eq!((model.home, model.position), (home, position));
        model.seal(Some(rendering), &mut self.expected);
        let standing = ModelListener { listener, home, unsealed: Vec::new(), unsealed_bytes: 0 };
        if let Some(replaced) = model.listeners.insert((shard, rendering.index()), standing) {
            self.stale.push((home, rendering, replaced.listener));
        }
    }

    fn withdraw(&mut self, channel: u8, which: u8) {
        let channel = channel % 3;
        let Some(model) = self.channels.get_mut(&channel) else { return };
        let which = usize::from(which) % model.listeners.len();
        let Some(&(shard, rendering)) = model.listeners.keys().nth(which) else { return };
        let Some(ModelListener { listener, home, .. }) = model.listeners.remove(&(shard, rendering)) else {
            return;
        };
        let rendering = Rendering::ALL[rendering];
        self.homes.withdraw(home, rendering, listener);
        self.stale.push((home, rendering, listener));
        if model.listeners.is_empty() {
            self.channels.remove(&channel);
        }
    }

    fn withdraw_a_stale_one(&mut self, which: u8) {
        if !self.stale.is_empty() {
            let (home, rendering, listener) = self.stale[usize::from(which) % self.stale.len()];
            self.homes.withdraw(home, rendering, listener);
        }
    }

    fn sequence(&mut self, channel: u8, script: &mut Script<'_>) {
        self.next_number += 1;
        let number = self.next_number;
        let shard = ShardId(u16::from(script.byte() % 4));
        let origin = ClientId { shard, client: client(script.byte()) };
        let payload_bytes = 8 + script.size();
        let encode = |rendering: Rendering| {
            let mut payload =
                (number * Rendering::COUNT as u64 + rendering.index() as u64).to_be_bytes().to_vec();
            payload.resize(payload_bytes, number as u8);
            frame(&payload)
        };

        let Some(model) = self.channels.get_mut(&(channel % 3)) else {
            // Nobody listens: no key that ever named the channel finds anything.
            for (home, ..) in &self.stale {
                if self.channels.values().all(|standing| standing.home != *home) {
                    assert_eq!(self.homes.sequence(*home, origin, 0, |_, _| panic!("nobody listens")), None);
                }
            }
            return;
        };
        model.position.offset += 1;
        let mut encoded = Vec::new();
        let position = self.homes.sequence(model.home, origin, payload_bytes, |rendering, out| {
            encoded.push(rendering.index());
            out.extend(encode(rendering));
        });
        assert_eq!(position, Some(model.position));
        let wanted: BTreeSet<usize> = model.listeners.keys().map(|(_, rendering)| *rendering).collect();
        assert!(wanted.into_iter().eq(encoded), "once in each rendering that anyone listens to");
        for ((_, rendering), listener) in &mut model.listeners {
            listener.unsealed.push((number, origin));
            listener.unsealed_bytes += encode(Rendering::ALL[*rendering]).len() as u64;
        }
    }

    fn seal(&mut self) {
        let mail = &mut self.mail;
        self.homes.seal(|to, rendering, segment| mail.push((to, rendering, segment)));
        for model in self.channels.values_mut() {
            model.seal(None, &mut self.expected);
        }
    }

    fn read_mail(&mut self) {
        for (to, rendering, segment) in self.mail.drain(..) {
            assert!(!segment.marks.is_empty(), "no segment is empty");
            let received = self.received.entry(to.nonce).or_default();
            let mut start = 0;
            for mark in segment.marks.iter() {
                assert!(start < SEGMENT_BYTES_MAX, "a full segment is not added to");
                let encoded = &segment.frames[start..mark.end as usize];
                let payload = &encoded[encoded.len() - payload_len(encoded)..];
                assert!(frame(payload) == encoded, "a mark stands at the end of a frame");
                let number = u64::from_be_bytes(*payload.first_chunk().unwrap());
                let (number, form) = (number / Rendering::COUNT as u64, number % Rendering::COUNT as u64);
                assert_eq!(form as usize, rendering.index(), "a segment has frames of one rendering");
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
        // All who listen to a channel in a rendering wait for the same publications at most: the longest list is all of
        // them.
        let mut open = BTreeMap::new();
        for (channel, model) in &self.channels {
            for ((_, rendering), listener) in &model.listeners {
                let most = open.entry((channel, rendering)).or_insert(0);
                *most = listener.unsealed_bytes.max(*most);
            }
        }
        assert_eq!(self.homes.open_bytes(), open.into_values().sum::<u64>());
    }
}

impl ModelChannel {
    /// What is open in one rendering, or in all, has been posted.
    fn seal(&mut self, only: Option<Rendering>, expected: &mut BTreeMap<u32, Vec<(Number, ClientId)>>) {
        let sealed = |rendering: usize| only.is_none_or(|only| only.index() == rendering);
        for (_, listener) in self.listeners.iter_mut().filter(|((_, rendering), _)| sealed(*rendering)) {
            listener.unsealed_bytes = 0;
            if !listener.unsealed.is_empty() {
                expected.entry(listener.listener.nonce).or_default().append(&mut listener.unsealed);
            }
        }
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

    proptest! {
        #[test]
        fn homes_hand_out_what_a_map_of_lists_would(script in vec(any::<u8>(), 0..400)) {
            super::homes_hand_out_what_a_map_of_lists_would(&script);
        }
    }
}
