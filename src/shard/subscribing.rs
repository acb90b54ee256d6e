//! How clients come into channels and leave them, and how long a channel's home is asked for its segments.
//!
//! A subscription is confirmed by the channel's home before the client gets its 101: who has it misses nothing that
//! is published afterwards.

use super::Shard;
use super::client::Client;
use super::drain::Phase;
use super::mail::Mail;
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
            let held = self.replying(key, |shard, replies| shard.admit(key, local, now, replies));
            self.put_by(key, &held, now);
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

    /// `key` leaves its channel, if it is in one.
    pub(super) fn leave(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(Membership { channel: local, slot, cursor }) = client.membership.take() else { return };
        let without_own = client.outbox.without_own;
        let Some(channel) = self.subscriptions.get_mut(local) else { return };
        let held = channel.log.held_bytes();
        if without_own {
            channel.log.unwatch_origins();
        }
        let moved = channel.leave(slot, cursor);
        self.retained.logs -= held - channel.log.held_bytes();
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
        let Some(channel) = self.subscriptions.get_mut(local) else { return };
        if channel.subscribers().is_empty() {
            let until = self.deadlines.now().plus(limits::INTEREST_LINGER_MS);
            channel.lingers_until_ms = until.0;
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
            if !channel.subscribers().is_empty() || channel.lingers_until_ms != until.0 {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::protocol::Opcode;
    use crate::shard::trial;

    /// A shard with so many channels that their only subscribers have left just now.
    fn left_at_once(channels: usize) -> Shard {
        let mut shard = trial::shard(Config { connections_max: channels, ..Config::default() });
        for channel in 0..channels {
            come_and_go(&mut shard, channel, Time(0));
        }
        assert_eq!(shard.subscriptions.len(), channels);
        shard
    }

    /// Somebody subscribes to a channel and is gone.
    fn come_and_go(shard: &mut Shard, channel: usize, now: Time) {
        let key = trial::asking(shard, &format!("/ws/{channel}"), now);
        shard.lose(key, now);
        while let Some(key) = shard.next_dead() {
            shard.forget(key);
        }
    }

    #[test]
    fn a_channel_outlives_for_as_long_a_subscriber_that_says_goodbye_after_a_sleep() {
        let mut shard = trial::shard(Config::default());
        let key = trial::client(&mut shard, "/ws");
        let closed = Time(2 * limits::INTEREST_LINGER_MS);
        shard.begin_turn(u64::from(closed.0) * 1000);
        shard.receive(key, &mut trial::frame(true, Opcode::Close, b""), false, usize::MAX, closed);
        assert!(shard.subscribed().next().is_none(), "it has left");
        for (time, channels) in [(0, 1), (limits::INTEREST_LINGER_MS - 1, 1), (limits::INTEREST_LINGER_MS, 0)]
        {
            shard.expire(closed.plus(time));
            assert_eq!(shard.subscriptions.len(), channels, "{time} ms later");
        }
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
    fn a_channel_outlives_its_last_subscriber_for_as_long_however_soon_before_it_was_left_empty() {
        let mut shard = left_at_once(1);
        let again_ms = limits::INTEREST_LINGER_MS - 100;
        shard.expire(Time(again_ms));
        come_and_go(&mut shard, 0, Time(again_ms));
        shard.expire(Time(again_ms + limits::INTEREST_LINGER_MS - 1));
        assert_eq!(shard.subscriptions.len(), 1);
        shard.expire(Time(again_ms + limits::INTEREST_LINGER_MS));
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
