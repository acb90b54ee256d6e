//! What an operator asks of a shard, and what it answers: see [`Question`]. Who asks all shards puts the answers together.
//!
//! A question is answered from what there is anyway: nothing is kept for it but the
//! [`Farewells`](super::farewells::Farewells) of those who are to be closed. One about many looks at each of them once,
//! which is a few milliseconds of one turn for 100,000; the answer is bounded by [`limits::ADMIN_PAGE_MAX`].

#[cfg(test)]
mod tests;

use super::Shard;
use super::client::Client;
use super::mail::{
    Answer, Answered, ChannelFacts, ChannelOrder, ClientFacts, ClientOrder, ClientState, HomeFacts, Question,
    Ticket,
};
use super::outbox::View;
use crate::dialect::{Dialect, Terms};
use crate::hub::{Channel, ChannelName, ClientId, ClientKey, Membership, Position, Rendering, Standing};
use crate::limits;
use crate::protocol::{Kind, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

impl Shard {
    /// An operator asks. The answer is to be taken with [`take_answer`](Self::take_answer) once this turn's mail is on its
    /// way.
    pub fn ask(&mut self, ticket: Ticket, question: Question, now: Time) {
        let answer = match question {
            Question::Publish { channel, kind, payload } => {
                Answer::Published(self.publish_for_operator(&channel, kind, &payload))
            }
            Question::Channels { prefix, after, limit, order } => {
                let (names, total) = match order {
                    ChannelOrder::Name => self.channels_by_name(&prefix, after.as_deref(), page(limit)),
                    ChannelOrder::Traffic => self.channels_by_traffic(&prefix, page(limit)),
                };
                Answer::Channels { channels: self.facts_of(&names), total }
            }
            Question::These { channels } => {
                let channels = &channels[..page(channels.len())];
                let of_here = |name: &&ChannelName| self.homes.find(name).is_some();
                Answer::Channels {
                    total: channels.iter().filter(of_here).count(),
                    channels: self.facts_of(channels),
                }
            }
            Question::Channel { channel } => Answer::Channel(self.channel_facts(&channel)),
            Question::Clients { channel, after, limit, order } => {
                let (keys, total) = match order {
                    ClientOrder::Id => self.clients_by_id(channel.as_ref(), after, page(limit)),
                    ClientOrder::Slowest => self.clients_by_slowness(channel.as_ref(), page(limit)),
                };
                let clients = keys.into_iter().filter_map(|key| self.client_facts(key, now)).collect();
                Answer::Clients { clients, total }
            }
            Question::Client { client } => Answer::Client(self.client_facts(client, now)),
            Question::Close { client, code, reason } => {
                Answer::Closed(self.close_for_operator(client, code, reason, now))
            }
        };
        self.answers.push_back(Answered { ticket, shard: self.place.id, answer });
    }

    /// The next answer of this turn. Where clients come from only their sockets know: that is left for the caller to fill
    /// in.
    pub fn take_answer(&mut self) -> Option<Answered> {
        self.answers.pop_front()
    }

    /// A message of nobody's gets its place. Not when what is sequenced would not reach everyone any more.
    fn publish_for_operator(
        &mut self,
        channel: &ChannelName,
        kind: Kind,
        payload: &[u8],
    ) -> Option<Position> {
        if !self.drain.lets_sequence() {
            return None;
        }
        let home = self.homes.find(channel)?;
        let origin = ClientId { shard: self.place.id, client: ClientKey::NOBODY };
        let position = self.publish(home, origin, kind, payload);
        self.counters.operator_publications.add(u64::from(position.is_some()));
        position
    }
}

// ---- Channels -------------------------------------------------------------------------------------------------------

impl Shard {
    /// The first names with this beginning and behind `after`, and how many with this beginning are at home here.
    fn channels_by_name(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<ChannelName>, usize) {
        let is_asked_for = |name: &ChannelName| name.as_str().starts_with(prefix);
        let is_behind = |name: &ChannelName| after.is_none_or(|after| name.as_str() > after);
        // A channel stands here once for each wire form.
        let mut first = Foremost::new(Rendering::COUNT * limit);
        let mut total = 0;
        for (name, _) in self.homes.iter().filter(|(name, _)| is_asked_for(name)) {
            total += 1;
            if is_behind(name) {
                first.offer(name);
            }
        }
        let here = self.place.id;
        let from_elsewhere =
            |channel: &&Channel| channel.home_shard != here && !channel.subscribers().is_empty();
        for channel in self.subscriptions.iter().map(|(_, channel)| channel).filter(from_elsewhere) {
            if is_asked_for(&channel.name) && is_behind(&channel.name) {
                first.offer(&channel.name);
            }
        }
        let mut names: Vec<ChannelName> = first.into_sorted().into_iter().cloned().collect();
        names.dedup();
        names.truncate(limit);
        (names, total)
    }

    /// Those at home here that publish most bytes in a second, and how many with this beginning are.
    fn channels_by_traffic(&self, prefix: &str, limit: usize) -> (Vec<ChannelName>, usize) {
        let mut first = Foremost::new(limit);
        let mut total = 0;
        for (name, standing) in self.homes.iter().filter(|(name, _)| name.as_str().starts_with(prefix)) {
            total += 1;
            let Standing { bytes_per_second, messages_per_second, .. } = standing;
            // Rates are not negative, and of such numbers the bits have their order.
            let traffic = (bytes_per_second.to_bits(), messages_per_second.to_bits());
            first.offer((Reverse(traffic), name));
        }
        (first.into_sorted().into_iter().map(|(_, name)| name.clone()).collect(), total)
    }

    fn facts_of(&self, names: &[ChannelName]) -> Vec<ChannelFacts> {
        names.iter().filter_map(|name| self.channel_facts(name)).collect()
    }

    /// What is known of a channel, if anyone here listens to it or it is at home here.
    fn channel_facts(&self, name: &ChannelName) -> Option<ChannelFacts> {
        let far_bytes = self.place.config.limits.outbox_bytes_max as u64 / 2;
        let (mut subscribers, mut behind, mut retained_bytes) = (0, 0, 0);
        for channel in self.renderings_of(name) {
            subscribers += channel.subscribers().len() as u64;
            behind += channel.log.behind(far_bytes);
            retained_bytes += channel.log.retained();
        }
        let home = self.homes.standing(name).map(|standing| {
            let Standing { position, messages_per_second, bytes_per_second } = standing;
            HomeFacts { position, messages_per_second, bytes_per_second }
        });
        let channel = name.clone();
        (subscribers > 0 || home.is_some()).then_some(ChannelFacts {
            channel,
            subscribers,
            behind,
            retained_bytes,
            home,
        })
    }

    /// A channel here, in each wire form that it is open in.
    fn renderings_of(&self, name: &ChannelName) -> impl Iterator<Item = &Channel> {
        Rendering::ALL
            .into_iter()
            .filter_map(|rendering| self.subscriptions.get(self.subscriptions.find(name, rendering)?))
    }
}

// ---- Clients --------------------------------------------------------------------------------------------------------

impl Shard {
    /// The first clients behind `after`, in the order of their keys, and how many there are in all.
    fn clients_by_id(
        &self,
        channel: Option<&ChannelName>,
        after: Option<ClientKey>,
        limit: usize,
    ) -> (Vec<ClientKey>, usize) {
        let is_behind = |key: &ClientKey| after.is_none_or(|after| *key > after);
        let Some(name) = channel else {
            let keys = self.clients.iter().map(|(key, _)| key).filter(is_behind).take(limit);
            return (keys.collect(), self.clients.len());
        };
        let mut first = Foremost::new(limit);
        let mut total = 0;
        for channel in self.renderings_of(name) {
            total += channel.subscribers().len();
            channel.subscribers().iter().copied().filter(is_behind).for_each(|key| first.offer(key));
        }
        (first.into_sorted(), total)
    }

    /// Those with most bytes queued, and how many there are in all.
    fn clients_by_slowness(&self, channel: Option<&ChannelName>, limit: usize) -> (Vec<ClientKey>, usize) {
        let mut first = Foremost::new(limit);
        let mut total = 0;
        let mut offer = |key: ClientKey, client: &Client| {
            total += 1;
            first.offer((Reverse(self.queued_bytes(key, client)), key));
        };
        match channel {
            None => self.clients.iter().for_each(|(key, client)| offer(key, client)),
            Some(name) => {
                let subscribers = self.renderings_of(name).flat_map(Channel::subscribers);
                subscribers
                    .filter_map(|key| Some((*key, self.clients.get(*key)?)))
                    .for_each(|(key, client)| offer(key, client));
            }
        }
        (first.into_sorted().into_iter().map(|(_, key)| key).collect(), total)
    }

    /// What is known of a client, if it is there.
    fn client_facts(&self, key: ClientKey, now: Time) -> Option<ClientFacts> {
        let client = self.clients.get(key)?;
        let channel =
            client.membership.and_then(|Membership { channel, .. }| self.subscriptions.get(channel));
        let (is_open, is_over) = (client.connection.is_open(), client.connection.is_over());
        Some(ClientFacts {
            id: self.id_of(key),
            address: None,
            channel: channel.map(|channel| channel.name.clone()),
            state: match (is_open, is_over) {
                (true, _) => ClientState::Open,
                (false, true) => ClientState::Closing,
                (false, false) => ClientState::Handshake,
            },
            age_ms: u64::from(now.since(client.accepted)),
            queued_bytes: self.queued_bytes(key, client),
            rtt_ms: client.connection.rtt_ms(),
            may_publish: is_open
                && matches!(self.terms(key), Terms::Publish(_))
                && client.dialect == Dialect::Relay,
            user: client.credentials().map(|credentials| credentials.user.clone()),
        })
    }

    /// Bytes that a client has still to be written.
    fn queued_bytes(&self, key: ClientKey, client: &Client) -> u64 {
        client.outbox.own_bytes() as u64 + self.view(key, client).map_or(0, View::lag)
    }
}

/// How many an answer may have.
fn page(limit: usize) -> usize {
    limit.min(limits::ADMIN_PAGE_MAX)
}

/// The first of those that are offered, in their order; no more of them are kept.
#[derive(Debug)]
struct Foremost<T> {
    limit: usize,
    kept: BinaryHeap<T>,
}

impl<T: Ord> Foremost<T> {
    fn new(limit: usize) -> Foremost<T> {
        Foremost { limit, kept: BinaryHeap::new() }
    }

    fn offer(&mut self, one: T) {
        if self.kept.len() < self.limit {
            self.kept.push(one);
        } else if let Some(mut last) = self.kept.peek_mut()
            && one < *last
        {
            *last = one;
        }
    }

    fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}
