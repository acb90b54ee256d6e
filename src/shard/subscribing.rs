//! How clients come into channels and leave them, and how long a channel's home is asked for its segments.
//!
//! A subscription is confirmed by the channel's home before the client gets its 101: who has it misses nothing that
//! is published afterwards.

use super::Shard;
use super::client::Client;
use super::mail::Mail;
use super::route::Phase;
use crate::config::{Access, ChannelSettings};
use crate::dialect::Terms;
use crate::hub::{
    Channel, ChannelName, ClientKey, HomeKey, Interest, Listener, Membership, Rendering, ShardId, home_of,
};
use crate::limits;
use crate::protocol::{Time, Wants};
use std::mem;

impl Shard {
    /// The number of the channel in this rendering, if `client` can be admitted to it at once. Else the client is among
    /// those that wait for its home's word.
    pub(super) fn find_or_await(
        &mut self,
        name: &ChannelName,
        rendering: Rendering,
        client: ClientKey,
    ) -> Option<u32> {
        let local = self.subscriptions.find(name, rendering).unwrap_or_else(|| self.open(name, rendering));
        match &mut self.subscriptions.get_mut(local)?.interest {
            Interest::Standing(_) => Some(local),
            Interest::Awaited(waiting) => {
                waiting.push(client);
                None
            }
        }
    }

    /// Opens a channel and tells its home that we listen.
    fn open(&mut self, name: &ChannelName, rendering: Rendering) -> u32 {
        let home_shard = ShardId(home_of(name, self.place.shards, self.place.seed) as u16);
        let settings = self.place.config.channels.settings_for(name.as_str());
        let local = self.subscriptions.open(name, rendering, home_shard, settings);
        let nonce = self.subscriptions.get(local).map_or(0, Channel::nonce);
        let listener = Listener { shard: self.place.id, local, nonce };
        if home_shard == self.place.id {
            let home = self.register(name, rendering, listener);
            if let Some(channel) = self.subscriptions.get_mut(local) {
                channel.interest = Interest::Standing(home);
            }
        } else {
            let mail = Mail::Interest { name: name.clone(), rendering, listener };
            self.outgoing[usize::from(home_shard.0)].mail.push(mail);
        }
        local
    }

    /// Takes down a listener's interest in a channel that is at home here.
    pub(super) fn register(
        &mut self,
        name: &ChannelName,
        rendering: Rendering,
        listener: Listener,
    ) -> HomeKey {
        let outgoing = &mut self.outgoing;
        let (home, _position) = self.homes.register(name, rendering, listener, |listener, _, segment| {
            super::mailing::post_segment(outgoing, listener, segment);
        });
        home
    }

    /// The home's word: interest stands. Whoever waited for it is in.
    ///
    /// Not in a drain: what such a client said behind its request would come after our barrier. It is told 503.
    pub(super) fn confirm(&mut self, local: u32, nonce: u32, home: HomeKey, now: Time) {
        if self.drain.phase() == Phase::Draining {
            return;
        }
        let Some(channel) = self.subscriptions.addressed(local, nonce) else { return };
        let Interest::Awaited(waiting) = mem::replace(&mut channel.interest, Interest::Standing(home)) else {
            return;
        };
        for &key in &waiting {
            let still_waits = |client: &Client| client.connection.wants() == Wants::Decision;
            if !self.clients.get(key).is_some_and(still_waits) {
                continue;
            }
            let mut replies = mem::take(&mut self.replies);
            let mut held = self.admit(key, local, now, &mut replies);
            self.reply(key, &mut replies);
            self.replies = replies;
            self.process(key, &mut held, self.read_budget_bytes(), now);
            self.list_if_unread(key);
        }
        self.abandon_if_empty(local);
    }

    /// `key` subscribes to an open channel and gets its 101. Returns what came behind its request.
    pub(super) fn admit(&mut self, key: ClientKey, local: u32, now: Time, replies: &mut Vec<u8>) -> Vec<u8> {
        let bytes_max = self.subscriptions.get(local).and_then(|channel| channel.settings.message_bytes_max);
        let limits = bytes_max.map(|bytes_max| self.limits_for(bytes_max));
        let (Some(client), Some(channel)) = (self.clients.get_mut(key), self.subscriptions.get_mut(local))
        else {
            return Vec::new();
        };
        if let Some(limits) = limits {
            client.connection.limit(limits);
        }
        let (slot, cursor) = channel.join(key);
        if client.outbox.without_own {
            channel.log.watch_origins();
        }
        client.membership = Some(Membership { channel: local, slot, cursor });
        self.accept(key, now, replies)
    }

    /// What is taken of a client's publications in its channel.
    pub(super) fn terms(&self, key: ClientKey) -> Terms {
        let membership = self.clients.get(key).and_then(|client| client.membership);
        let channel = membership.and_then(|membership| self.subscriptions.get(membership.channel));
        let settings = channel.map_or_else(ChannelSettings::default, |channel| channel.settings);
        let payload = settings.payload.unwrap_or(self.place.config.payload);
        match settings.publish.unwrap_or(self.door().access_default()) {
            Access::Anyone => Terms::Publish(payload),
            Access::Token => match self.clients.get(key).and_then(Client::credentials) {
                Some(credentials) if credentials.may_publish => Terms::Publish(payload),
                Some(_) => {
                    Terms::Refuse("you may not publish in this channel: the token's publish does not name it")
                }
                None => Terms::Refuse("you may not publish in this channel without a token"),
            },
            Access::Nobody => Terms::Refuse("nobody may publish in this channel"),
        }
    }

    /// `key` leaves its channel, if it is in one.
    pub(super) fn leave(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(Membership { channel: local, slot, cursor }) = client.membership.take() else { return };
        let without_own = client.outbox.without_own;
        let Some(channel) = self.subscriptions.get_mut(local) else { return };
        if without_own {
            channel.log.unwatch_origins();
        }
        let retained = channel.log.retained();
        let moved = channel.leave(slot, cursor);
        self.retained.logs -= retained - channel.log.retained();
        if let Some(moved) = moved
            && let Some(Membership { slot: moved_to, .. }) =
                self.clients.get_mut(moved).and_then(|moved| moved.membership.as_mut())
        {
            *moved_to = slot;
        }
        self.laps.note(channel);
        self.abandon_if_empty(local);
    }

    /// A channel without subscribers keeps its interest for a while, so that churn sends no mail.
    fn abandon_if_empty(&mut self, local: u32) {
        let Some(channel) = self.subscriptions.get(local) else { return };
        if channel.subscribers().is_empty() {
            let until = self.deadlines.now().plus(limits::INTEREST_LINGER_MS);
            self.abandoned.push_back((until, local, channel.nonce()));
        }
    }

    /// Withdraws our interest in channels that nobody here has listened to for a while; in no more of them than a turn
    /// may, for they may all have been left at once.
    pub(super) fn withdraw_abandoned(&mut self) {
        let now = self.deadlines.now();
        for _ in 0..limits::EXPIRIES_PER_TURN_MAX {
            let Some(&(until, local, nonce)) = self.abandoned.front() else { break };
            if until > now {
                break;
            }
            self.abandoned.pop_front();
            let Some(channel) = self.subscriptions.addressed(local, nonce) else { continue };
            let Interest::Standing(home) = channel.interest else { continue };
            if !channel.subscribers().is_empty() {
                continue;
            }
            if channel.listed {
                // Its number is still in the queue of laps, which will find nobody there.
                self.abandon_if_empty(local);
                continue;
            }
            let (rendering, home_shard) = (channel.rendering, channel.home_shard);
            let listener = Listener { shard: self.place.id, local, nonce };
            if home_shard == self.place.id {
                self.homes.withdraw(home, rendering, listener);
            } else {
                let mail = Mail::Withdraw { home, rendering, listener };
                self.outgoing[usize::from(home_shard.0)].mail.push(mail);
            }
            self.subscriptions.close(local);
        }
    }

    /// Lists a client to be read that went on after a pause.
    pub(super) fn list_if_unread(&mut self, key: ClientKey) {
        if self.clients.get(key).is_some_and(|client| client.inbox.unread) {
            self.list_readable(key, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::hub::HashSeed;
    use crate::metrics::Counters;
    use crate::shard::Place;
    use std::sync::Arc;

    /// A shard with so many channels that their only subscribers have left just now.
    fn left_at_once(channels: usize) -> Shard {
        let config = Config { connections_max: channels, ..Config::default() };
        let place = Place { id: ShardId(0), shards: 1, seed: HashSeed(1, 2), config: Arc::new(config) };
        let mut shard = Shard::new(place, Arc::new(Counters::default()), Time(0));
        for channel in 0..channels {
            let request = format!(
                "GET /ws/{channel} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            );
            let key = shard.connect(Time(0));
            shard.receive(key, &mut request.into_bytes(), false, usize::MAX, Time(0));
            shard.lose(key, Time(0));
        }
        while let Some(key) = shard.next_dead() {
            shard.forget(key);
        }
        assert_eq!(shard.subscriptions.len(), channels);
        shard
    }

    #[test]
    fn a_channel_outlives_its_last_subscriber_for_a_while() {
        let mut shard = left_at_once(1);
        shard.expire(Time(limits::INTEREST_LINGER_MS - 1));
        assert_eq!((shard.subscriptions.len(), shard.ms_to_next_deadline()), (1, Some(1)));
        shard.expire(Time(limits::INTEREST_LINGER_MS));
        assert_eq!(shard.subscriptions.len(), 0);
    }

    #[test]
    fn channels_left_all_at_once_are_closed_over_several_turns_that_do_not_sleep() {
        let mut shard = left_at_once(limits::EXPIRIES_PER_TURN_MAX + 1);
        shard.expire(Time(limits::INTEREST_LINGER_MS));
        assert_eq!((shard.subscriptions.len(), shard.ms_to_next_deadline()), (1, Some(0)));
        shard.expire(Time(limits::INTEREST_LINGER_MS));
        assert_eq!(shard.subscriptions.len(), 0);
        assert_ne!(shard.ms_to_next_deadline(), Some(0), "nothing is left that would keep it awake");
    }
}
