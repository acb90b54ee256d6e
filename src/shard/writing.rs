//! *flush*: who is written, in what order, and what a write has come to.
//!
//! Two queues. In the one stand clients that are to be written for a reason of their own (bytes of their own, room
//! again, or they published and wait to see it). In the other stand channels with a lap going on, each of which has
//! a quantum of writes, and of visits to those who cannot be written, before the next has its go. While there are laps,
//! the first queue has at most half of a turn's writes, so that laps always move. After [`limits::WRITES_PER_TURN_MAX`]
//! writes the turn goes round, while a lap goes on after [fewer](limits::writes_per_lap_turn): who is written later then
//! gets more messages in the same call. A long write counts as several.

#[cfg(test)]
mod tests;

use super::Shard;
use super::client::Client;
use super::outbox::{Plan, Slices, View, Written};
use crate::config::SlowConsumerPolicy;
use crate::hub::{Channel, ClientKey, LogPosition, Membership, Subscriptions};
use crate::limits;
use crate::protocol::{CloseCode, Time, Wants};
use std::collections::VecDeque;
use std::mem;

/// Channels with a lap going on, and what this turn may still do for them.
#[derive(Debug)]
pub(super) struct Laps {
    /// Channels with subscribers to visit, each once (`Channel::listed`).
    queue: VecDeque<u32>,
    /// Visits that the channel in front has had; at [`limits::VISITS_PER_QUANTUM`] it goes to the back. One with a write
    /// counts for [several](limits::VISITS_PER_WRITE).
    quantum: usize,
    /// The latest client to be written came from a lap.
    is_lap_write: bool,
    writes_left: usize,
    /// What that is in the beginning of a turn in which a lap goes on.
    writes_per_turn: usize,
    visits_left: usize,
    /// Bytes by which a log may be ahead of its lap.
    ahead_bytes_mark: u64,
    /// How many channels' logs are ahead of their laps by more than that.
    ahead: usize,
}

impl Laps {
    /// Of one of `shards` shards.
    pub(super) fn new(outbox_bytes_max: usize, shards: usize) -> Laps {
        Laps {
            queue: VecDeque::new(),
            quantum: 0,
            is_lap_write: false,
            writes_left: 0,
            writes_per_turn: limits::writes_per_lap_turn(shards),
            visits_left: 0,
            ahead_bytes_mark: ahead_bytes_mark(outbox_bytes_max),
            ahead: 0,
        }
    }

    /// Clients may lag so far from now on. Channels are counted as ahead by the new mark when they are next taken note of,
    /// which is at each visit of a lap that goes on.
    pub(super) fn reconfigure(&mut self, outbox_bytes_max: usize) {
        self.ahead_bytes_mark = ahead_bytes_mark(outbox_bytes_max);
    }

    /// A channel has something for its subscribers.
    pub(super) fn list(&mut self, local: u32, channel: &mut Channel) {
        if !mem::replace(&mut channel.listed, true) {
            self.queue.push_back(local);
        }
        self.note(channel);
    }

    /// Takes note of whether a channel's log is ahead of its lap, after anything that may have changed it.
    pub(super) fn note(&mut self, channel: &mut Channel) {
        let is_ahead = channel.ahead() > self.ahead_bytes_mark;
        if mem::replace(&mut channel.counted_ahead, is_ahead) != is_ahead {
            self.ahead = if is_ahead { self.ahead + 1 } else { self.ahead - 1 };
        }
    }

    /// Counts a write that took so many bytes for as many writes as it was worth beyond the first.
    fn weigh(&mut self, taken: usize) {
        let more = taken / limits::WRITE_BYTES_PER_WRITE;
        let kept = if self.is_lap_write { 0 } else { self.writes_left.min(self.reserved()) };
        self.writes_left = self.writes_left.saturating_sub(more).max(kept);
        if self.is_lap_write {
            self.quantum += more * limits::VISITS_PER_WRITE;
        }
    }

    /// Counts a jump, or a closing, for as many visits as it was worth beyond the first.
    fn weigh_jump(&mut self) {
        self.visits_left = self.visits_left.saturating_sub(limits::VISITS_PER_JUMP - 1);
        self.quantum += limits::VISITS_PER_JUMP - 1;
    }

    /// The channel that has its go: the one in front, unless it has had its quantum and goes to the back.
    fn front(&mut self) -> Option<u32> {
        if self.quantum >= limits::VISITS_PER_QUANTUM && self.is_going_on() {
            self.quantum = 0;
            self.queue.rotate_left(1);
        }
        self.queue.front().copied()
    }

    /// Writes of a turn that only laps may have.
    fn reserved(&self) -> usize {
        if self.is_going_on() { self.writes_per_turn / 2 } else { 0 }
    }

    pub(super) fn is_going_on(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn check_invariants(&self, subscriptions: &Subscriptions) {
        for (local, channel) in subscriptions.iter() {
            assert_eq!(self.queue.contains(&local), channel.listed, "listed for a lap");
            assert!(!channel.is_dirty() || channel.listed, "a lap that goes on is listed");
        }
        let ahead = subscriptions.iter().filter(|(_, channel)| channel.counted_ahead).count();
        assert_eq!(self.ahead, ahead, "channels that are ahead");
    }
}

/// Writes whose time has not been taken yet: since when the oldest publication in them waited, and how many in a row.
#[derive(Debug, Default)]
pub(super) struct Delivered(Vec<(u32, u64)>);

impl Delivered {
    fn note(&mut self, since_us: u32) {
        match self.0.last_mut() {
            Some((since, writes)) if *since == since_us => *writes += 1,
            _ => self.0.push((since_us, 1)),
        }
    }
}

fn ahead_bytes_mark(outbox_bytes_max: usize) -> u64 {
    limits::LOG_AHEAD_BYTES_MARK.min(outbox_bytes_max / 2) as u64
}

impl Shard {
    /// Whether fan-out is so far behind that nobody is to read sockets for publications until it has caught up.
    pub fn is_ahead(&self) -> bool {
        self.laps.ahead > 0
    }

    /// So late was it when the latest writes had been made, in microseconds: those that carried publications are counted with
    /// how old these were.
    pub fn note_deliveries(&mut self, now_us: u64) {
        for (since_us, writes) in self.delivered.0.drain(..) {
            let us = (now_us as u32).wrapping_sub(since_us);
            self.counters.delivery.record(u64::from(us), writes);
        }
    }

    /// The budget of a turn's writes is renewed.
    pub fn begin_flush(&mut self) {
        self.laps.writes_left =
            if self.laps.is_going_on() { self.laps.writes_per_turn } else { limits::WRITES_PER_TURN_MAX };
        self.laps.visits_left = limits::VISITS_PER_TURN_MAX;
    }

    /// The next client to be written, until the turn's budget is used up or nobody is left.
    pub fn next_to_write(&mut self, now: Time) -> Option<ClientKey> {
        loop {
            if self.laps.writes_left > self.laps.reserved()
                && let Some(key) = self.next_writable()
            {
                self.laps.writes_left -= 1;
                self.laps.is_lap_write = false;
                return Some(key);
            }
            if self.laps.writes_left == 0 || !self.laps.is_going_on() {
                return None;
            }
            match self.next_of_lap(now) {
                Some(key) => {
                    self.laps.writes_left -= 1;
                    self.laps.is_lap_write = true;
                    return Some(key);
                }
                None if self.laps.is_going_on() => return None,
                None => {}
            }
        }
    }

    fn next_writable(&mut self) -> Option<ClientKey> {
        while let Some(key) = self.writable.pop_front() {
            if let Some(client) = self.clients.get_mut(key) {
                client.outbox.listed = false;
                if !client.outbox.blocked {
                    return Some(key);
                }
            }
        }
        None
    }

    /// The next subscriber, of the channel whose turn it is, that wants a write. None if no lap is going on or no
    /// visits are left.
    fn next_of_lap(&mut self, now: Time) -> Option<ClientKey> {
        while let Some(local) = self.laps.front() {
            if self.laps.visits_left == 0 {
                return None;
            }
            let Some(key) = self.visit(local) else {
                self.laps.queue.pop_front();
                self.laps.quantum = 0;
                continue;
            };
            self.laps.visits_left -= 1;
            let Some(client) = self.clients.get(key) else { continue };
            let (lag, is_blocked) = (self.view(key, client).map_or(0, View::lag), client.outbox.blocked);
            if !is_blocked && (lag > 0 || client.outbox.own_bytes() > 0) {
                self.laps.quantum += limits::VISITS_PER_WRITE;
                return Some(key);
            }
            self.laps.quantum += 1;
            // Only a blocked client can be slow: who was not visited yet waits for us.
            if is_blocked && lag > self.place.config.limits.outbox_bytes_max as u64 {
                self.deal_with_slow_consumer(key, local, now);
            }
        }
        None
    }

    /// The next subscriber on the lap of a channel; none if the lap is over, and then the channel is not listed.
    fn visit(&mut self, local: u32) -> Option<ClientKey> {
        let channel = self.subscriptions.get_mut(local)?;
        let key = channel.visit();
        channel.listed = key.is_some();
        self.laps.note(channel);
        key
    }

    /// Does to a client that is too slow for the channel `local` what its policy says.
    fn deal_with_slow_consumer(&mut self, key: ClientKey, local: u32, now: Time) {
        self.laps.weigh_jump();
        let Some(client) = self.clients.get_mut(key) else { return };
        let (Some(membership), Some(channel)) = (&mut client.membership, self.subscriptions.get_mut(local))
        else {
            return;
        };
        let (log, cursor) = (&mut channel.log, &mut membership.cursor);
        let without = client.outbox.without_own.then_some(key);
        let limit = self.place.config.limits.outbox_bytes_max;
        let kept_bytes = limits::drop_oldest_kept_bytes(limit);
        let (to, dropped) = match channel.settings.slow_consumers.unwrap_or_default() {
            SlowConsumerPolicy::Disconnect => {
                let (lag, loss) = (log.lag(*cursor), log.loss(*cursor, log.end(), without));
                self.counters.slow_consumers_closed.add(1);
                self.counters.slow_consumer_bytes_dropped.add(lag);
                self.counters.slow_consumer_messages_dropped_by_closing.add(loss.messages);
                let reason = format!("slow consumer: {lag} bytes behind, {limit} allowed");
                return self.fail(key, CloseCode::POLICY_VIOLATION, &reason, now);
            }
            SlowConsumerPolicy::DropOldest => {
                (log.oldest_within(kept_bytes), &self.counters.slow_consumer_messages_dropped_oldest)
            }
            SlowConsumerPolicy::Latest => {
                let newest = log.newest_without(*cursor, without);
                // Behind it may be any number of the client's own, which count as well.
                let is_within = log.lag(newest) <= kept_bytes;
                let to = if is_within { newest } else { newest.max(log.oldest_within(kept_bytes)) };
                (to, &self.counters.slow_consumer_messages_dropped_for_latest)
            }
        };
        let held = log.held_bytes();
        let loss = client.outbox.jump((log, cursor), without, to);
        self.retained.logs -= held - channel.log.held_bytes();
        dropped.add(loss.messages);
        self.counters.slow_consumer_bytes_dropped.add(loss.bytes);
        self.counters.slow_consumer_jumps.add(u64::from(loss.messages > 0));
        self.recount(key);
    }

    /// What a client is to be written next.
    pub fn unwritten<'s>(&'s self, key: ClientKey, out: &mut Slices<'s>) -> Plan {
        match self.clients.get(key) {
            Some(client) => client.outbox.unwritten(self.view(key, client), out),
            None => Plan::Log(0),
        }
    }

    /// A client's view of its channel's log, if it is in one.
    pub(super) fn view(&self, key: ClientKey, client: &Client) -> Option<View<'_>> {
        let Membership { channel, cursor, .. } = client.membership?;
        let log = &self.subscriptions.get(channel)?.log;
        Some(View { log, cursor, without: client.outbox.without_own.then_some(key) })
    }

    /// Where a client's channel's log ends; its start, if the client is in none.
    pub(super) fn end_of_log(&self, key: ClientKey, client: &Client) -> LogPosition {
        self.view(key, client).map_or(LogPosition::default(), |view| view.log.end())
    }

    /// A write of `plan` was taken up to `taken` bytes. Less than all of it means that the socket is full.
    pub fn written(&mut self, key: ClientKey, plan: Plan, taken: usize, now: Time) {
        self.counters.bytes_written.add(taken as u64);
        self.laps.weigh(taken);
        let Some(client) = self.clients.get_mut(key) else { return };
        let without = client.outbox.without_own.then_some(key);
        let (is_visited, mut waits_since_us) = (self.laps.is_lap_write, None);
        let log = client.membership.as_mut().and_then(|Membership { channel, cursor, .. }| {
            let channel = self.subscriptions.get_mut(*channel)?;
            waits_since_us = channel.waits_since_us(*cursor, is_visited);
            Some((&mut channel.log, cursor))
        });
        let held = log.as_ref().map_or(0, |(log, _)| log.held_bytes());
        let (written, spare) = client.outbox.written(log, without, plan, taken);
        if let Some(Membership { channel, .. }) = client.membership
            && let Some(channel) = self.subscriptions.get(channel)
        {
            self.retained.logs -= held - channel.log.held_bytes();
        }
        if taken > 0 && client.inbox.unread {
            // It is not read because it takes its answers slowly; taking some shows that it is alive.
            client.connection.heard(now);
        }
        let is_blocked = written == Written::Short;
        let was_blocked = mem::replace(&mut client.outbox.blocked, is_blocked);
        self.blocked = self.blocked + usize::from(is_blocked) - usize::from(was_blocked);
        if let (Some(since_us), Plan::Log(_), false) = (waits_since_us, plan, is_blocked) {
            self.delivered.note(since_us);
        }
        if let Some(spare) = spare {
            self.spares.keep(spare);
        }
        if matches!(plan, Plan::Own { .. }) {
            self.go_on_if_uncongested(key);
        }
        self.recount(key);
        self.say_due_goodbye(key, now);
        self.say_due_farewell(key, now);
        let Some(client) = self.clients.get(key) else { return };
        if client.outbox.blocked {
            return;
        }
        if client.outbox.is_sealed() {
            if client.outbox.own_bytes() == 0 {
                self.finish_if_written(key);
            } else {
                self.list_writable(key);
            }
        } else if client.outbox.own_bytes() > 0 || self.view(key, client).is_some_and(|view| view.lag() > 0) {
            self.list_writable(key);
        } else {
            self.caught_up(key, now);
        }
    }

    /// A client has taken some of its own bytes. If few enough are left, it is read again and its Pings are answered,
    /// whether or not it ever takes the rest.
    fn go_on_if_uncongested(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key).filter(|client| !client.has_to_wait()) else { return };
        if !client.outbox.is_sealed() {
            let mut late_pong = mem::take(&mut self.replies);
            client.connection.set_congested(false, &mut late_pong);
            self.reply(key, &mut late_pong);
            self.replies = late_pong;
        }
        self.list_if_unread(key);
    }

    /// Lists a client to be written, unless its socket has no room.
    pub fn list_writable(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && !client.outbox.blocked
            && !mem::replace(&mut client.outbox.listed, true)
        {
            self.writable.push_back(key);
        }
    }

    /// The socket has room again.
    pub fn unblock(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && mem::replace(&mut client.outbox.blocked, false)
        {
            self.blocked -= 1;
            if client.outbox.announce_gap() {
                self.recount(key);
            }
            self.list_writable(key);
        }
    }

    /// The next client whose last byte has been taken by its socket.
    pub fn next_to_shut_down(&mut self) -> Option<ClientKey> {
        self.finished.pop_front()
    }

    /// Lists a client to have its write side shut down, if its connection wants that and its last byte was taken.
    pub(super) fn finish_if_written(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && client.connection.wants() == Wants::FlushThenShutdown
            && client.outbox.own_bytes() == 0
            && !mem::replace(&mut client.finished, true)
        {
            self.finished.push_back(key);
        }
    }

    /// Seals a client's outbox with `last`, its Close frame or response and what goes before it; it leaves its
    /// channel.
    pub(super) fn seal_client(&mut self, key: ClientKey, last: &mut Vec<u8>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let view = client.membership.and_then(|Membership { channel, cursor, .. }| {
            Some(View { log: &self.subscriptions.get(channel)?.log, cursor, without: None })
        });
        let spares = &mut self.spares;
        client.outbox.seal(view, last, || spares.take());
        self.leave(key);
        self.list_writable(key);
    }
}
