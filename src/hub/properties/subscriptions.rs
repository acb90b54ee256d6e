//! The law of subscriptions, with its model: who is where, and who waits for the lap.

use super::{HERE, Script, client, here, segment};
use crate::config::ChannelSettings;
use crate::hub::channel::{ChannelName, HashSeed};
use crate::hub::log::LogPosition;
use crate::hub::subscriptions::{Channel, Membership, Subscriptions};
use crate::hub::{ClientKey, Rendering};
use std::collections::{BTreeMap, BTreeSet};

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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_lap_misses_nobody(script in vec(any::<u8>(), 0..400)) {
            super::a_lap_misses_nobody(&script);
        }
    }
}
