//! *expire* and *reap*: how connections end, and with them clients.

use super::Shard;
use super::admission::Credentials;
use super::allowance::Allowance;
use super::client::Client;
use super::deadlines::Instant;
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::{CloseCode, CloseReason, Closure, Event, Response, Status, Time, Timeout};
use std::mem;

impl Shard {
    /// When `expire` next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let abandoned = self.abandoned.front().map(|(until, ..)| *until);
        let next = [self.deadlines.next(), abandoned, self.farewells.next(), self.drain_deadline()];
        next.into_iter().flatten().min()
    }

    /// Milliseconds from the latest `expire` to the next deadline; 0 if it has passed.
    pub fn ms_to_next_deadline(&self) -> Option<u64> {
        self.next_deadline().map(|deadline| deadline.0.saturating_sub(self.deadlines.now().0))
    }

    /// Time goes on: does what is due.
    pub fn expire(&mut self, now: Time) {
        self.deadlines.advance(now);
        for _ in 0..limits::EXPIRIES_PER_TURN_MAX {
            let Some((at, key)) = self.deadlines.pop_due() else { break };
            let Some(client) = self.clients.get_mut(key).filter(|client| client.scheduled == at) else {
                continue;
            };
            client.scheduled = Instant::NEVER;
            if client.is_kept_waiting() {
                client.connection.heard(now);
            } else if client.connection.deadline().is_some_and(|due| now.reached(due.plus(limits::STALL_MS)))
            {
                // We stood still, or the clock has jumped: it was not asked for a sign of life in time.
                client.connection.excuse(now);
            }
            self.go_on_if_paused(key);
            self.expire_credentials(key, now);
            self.time_out(key, now);
        }
        let clients = &self.clients;
        self.deadlines.clean(clients.len(), |key| clients.get(key).map(|client| client.scheduled));
        self.withdraw_abandoned();
        self.say_late_farewells(now);
        self.go_on_draining(now);
    }

    /// Lets a client's connection do what its deadline demands, if that has been reached.
    fn time_out(&mut self, key: ClientKey, now: Time) {
        let is_due = |client: &Client| client.connection.deadline().is_some_and(|due| now.reached(due));
        if self.clients.get(key).is_some_and(is_due) {
            self.replying(key, |shard, replies| {
                let Some(client) = shard.clients.get_mut(key) else { return };
                if let Some(Event::Closed(closure)) = client.connection.handle_timeout(now, replies) {
                    shard.note_closure(key, &closure);
                }
            });
        }
        self.settle(key, now);
    }

    /// Sees to it that a client is looked at when its connection's deadline comes, or the end of its pause or its token.
    pub(super) fn reschedule(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if let Some(deadline) = client.connection.deadline() {
            self.deadlines.schedule(key, deadline, &mut client.scheduled);
        }
        if let Some(until) = client.allowance().and_then(Allowance::paused_until) {
            self.deadlines.schedule_at(key, until, &mut client.scheduled);
        }
        if let Some(look_at) = client.credentials().map(Credentials::look_at) {
            self.deadlines.schedule_at(key, look_at, &mut client.scheduled);
        }
    }

    /// Nothing is left to be done for a client: it is freed in *reap*.
    pub(super) fn let_die(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && !mem::replace(&mut client.dying, true)
        {
            self.dying.push(key);
        }
    }

    /// The next client to be freed. Its socket is to be closed, then it is forgotten with [`forget`](Self::forget).
    ///
    /// Whose last bytes can be written without waiting is spared for another turn: that they have not been is our
    /// doing. After a sealing nothing is added to them, so that comes to an end.
    pub fn next_dead(&mut self) -> Option<ClientKey> {
        while let Some(key) = self.dying.pop() {
            let outbox = self.clients.get(key).map(|client| &client.outbox);
            if outbox.is_some_and(|outbox| outbox.is_sealed() && outbox.listed && !outbox.blocked) {
                self.spared.push(key);
            } else {
                return Some(key);
            }
        }
        mem::swap(&mut self.dying, &mut self.spared);
        None
    }

    /// Frees a client.
    pub fn forget(&mut self, key: ClientKey) {
        self.leave(key);
        self.drain.forget(key);
        self.farewells.forget(key);
        if let Some(client) = self.clients.remove(key) {
            if client.connection.is_established() {
                // It was cut off.
                self.counters.closes.add(CloseCode::ABNORMAL.number());
            }
            self.blocked -= usize::from(client.outbox.blocked);
            self.turned_away -= usize::from(client.turned_away);
            self.allowances -= usize::from(client.allowance().is_some());
            self.retained.clients -= u64::from(client.held);
        }
    }

    /// Closes a client, if it is open: its Close frame is what it is written last. Whether it was open.
    pub(super) fn close(&mut self, key: ClientKey, code: CloseCode, reason: &CloseReason, now: Time) -> bool {
        if !self.clients.get(key).is_some_and(|client| client.connection.is_open()) {
            return false;
        }
        self.replying(key, |shard, last| {
            if let Some(client) = shard.clients.get_mut(key) {
                client.connection.close(code, reason, now, last);
            }
        });
        self.settle(key, now);
        self.list_if_unread(key);
        true
    }

    /// Answers a client, whatever it has asked so far, with an HTTP response.
    pub(super) fn respond(&mut self, key: ClientKey, response: &Response, now: Time) {
        self.replying(key, |shard, replies| {
            let Some(client) = shard.clients.get_mut(key) else { return };
            if let Some(closure) = client.connection.respond(response, now, replies) {
                shard.note_closure(key, &closure);
            }
        });
        self.settle(key, now);
    }

    /// Counts why a connection ended, and says it to whoever debugs.
    pub(super) fn note_closure(&self, key: ClientKey, closure: &Closure) {
        let counters = &self.counters;
        tracing::debug!(client = %self.id_of(key), ?closure, "ended");
        if let Some(code) = code_of(closure) {
            counters.closes.add(code.number());
        }
        match closure {
            Closure::Agreed(..) => counters.closed_cleanly.add(1),
            Closure::Responded(Status::OK) => counters.pages_served.add(1),
            Closure::Responded(_) | Closure::Refused(_) => counters.handshakes_refused.add(1),
            Closure::Failed(_) => counters.protocol_failures.add(1),
            Closure::TimedOut(Timeout::Handshake) => counters.handshakes_timed_out.add(1),
            Closure::TimedOut(Timeout::Idle) => counters.idle_timeouts.add(1),
            Closure::Dropped(_) | Closure::TimedOut(Timeout::Close) | Closure::Lost => {
                counters.closed_abnormally.add(1);
            }
        }
    }

    /// The connection of `key` fails by our decision (RFC 6455 §7.1.7).
    pub(super) fn fail(&mut self, key: ClientKey, code: CloseCode, reason: &str, now: Time) {
        tracing::info!(client = %self.id_of(key), code = code.number(), reason, "dropped");
        self.replying(key, |shard, last| {
            let Some(client) = shard.clients.get_mut(key) else { return };
            if let Some(closure) = client.connection.fail(code, &CloseReason::new(reason), now, last) {
                shard.note_closure(key, &closure);
            }
        });
        self.recount(key);
        self.reschedule(key);
    }
}

/// The code with which a WebSocket has ended. None for what was none; and for one that was lost, which may have been none.
fn code_of(closure: &Closure) -> Option<CloseCode> {
    match closure {
        Closure::Agreed(code, _) => Some(code.unwrap_or(CloseCode::NO_STATUS)),
        Closure::Failed(error) => Some(error.code()),
        Closure::Dropped(code) => Some(*code),
        Closure::TimedOut(Timeout::Idle) => Some(CloseCode::POLICY_VIOLATION),
        Closure::TimedOut(Timeout::Close) => Some(CloseCode::ABNORMAL),
        Closure::TimedOut(Timeout::Handshake)
        | Closure::Responded(_)
        | Closure::Refused(_)
        | Closure::Lost => None,
    }
}
