//! *expire*, *reap* and the drain: how clients end.
//!
//! The drain has two barriers, because what was accepted on one shard may have its home on a second and its
//! subscribers on a third. First no shard reads any more and each says so ([`Barrier::Publications`]); a home that has
//! heard it from all has sequenced everything there will be, posts its last segments, and says so
//! ([`Barrier::Segments`]); who has heard that from all has everything its clients are to get, and says goodbye to
//! each as it catches up.

use super::Shard;
use super::client::Client;
use super::mail::{Barrier, Mail};
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::{CloseCode, CloseReason, Event, Response, Status, Time};
use std::mem;

/// How far a shard is on its way to the end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    stage: Stage,
    /// How many shards will send no more publications.
    publications_ended: usize,
    /// How many shards will send no more segments.
    segments_ended: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Not draining.
    #[default]
    Serving,
    /// Publications of other shards may still come.
    Sequencing,
    /// Segments of other shards may still come.
    Delivering,
    /// Clients are told 1001 as they catch up. At the deadline whoever is left is cut off.
    Leaving {
        /// When.
        deadline: Time,
    },
}

impl Drain {
    /// Whether sockets are read: not while it is being settled what was accepted for broadcast.
    pub(super) fn lets_read(&self) -> bool {
        matches!(self.stage, Stage::Serving | Stage::Leaving { .. })
    }

    /// Whether the drain has not begun.
    pub(super) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether clients are being told goodbye. Who has not been yet is not read: what it says comes too late.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. })
    }

    /// Another shard has come past a barrier.
    pub(super) fn pass(&mut self, barrier: Barrier) {
        match barrier {
            Barrier::Publications => self.publications_ended += 1,
            Barrier::Segments => self.segments_ended += 1,
        }
    }
}

impl Shard {
    /// When `expire` next has something to do.
    pub fn next_deadline(&self) -> Option<super::Instant> {
        let abandoned = self.abandoned.front().map(|(until, ..)| *until);
        let drain = match self.drain.stage {
            Stage::Leaving { deadline } => Some(self.deadlines.instant(deadline)),
            _ => None,
        };
        [self.deadlines.next(), abandoned, drain].into_iter().flatten().min()
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
            client.scheduled = super::Instant::NEVER;
            if client.is_kept_waiting() {
                client.connection.heard(now);
            }
            self.go_on_if_paused(key);
            self.time_out(key, now);
        }
        let clients = &self.clients;
        self.deadlines.clean(clients.len(), |key| clients.get(key).map(|client| client.scheduled));
        self.withdraw_abandoned();
        self.go_on_draining(now);
    }

    /// Lets a client's connection do what its deadline demands, if that has been reached.
    fn time_out(&mut self, key: ClientKey, now: Time) {
        let mut replies = mem::take(&mut self.replies);
        if let Some(client) = self.clients.get_mut(key)
            && client.connection.deadline().is_some_and(|deadline| now.reached(deadline))
        {
            if let Some(Event::Closed(closure)) = client.connection.handle_timeout(now, &mut replies) {
                self.note_closure(key, &closure);
            }
            self.reply(key, &mut replies);
        }
        self.replies = replies;
        self.settle(key, now);
    }

    /// Sees to it that a client is looked at when its connection's deadline comes, or the end of its pause.
    pub(super) fn reschedule(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if let Some(deadline) = client.connection.deadline() {
            self.deadlines.schedule(key, deadline, &mut client.scheduled);
        }
        if let Some(until) = client.allowance.as_ref().and_then(|allowance| allowance.paused_until()) {
            self.deadlines.schedule_at(key, until, &mut client.scheduled);
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
        if let Some(client) = self.clients.remove(key) {
            self.turned_away -= usize::from(client.turned_away);
            self.retained.clients -= u64::from(client.held);
        }
    }

    /// Starts the drain: what was accepted for broadcast is delivered, then everyone is told 1001. The listeners are
    /// closed already.
    pub fn drain(&mut self, now: Time) {
        if self.drain.stage == Stage::Serving {
            self.drain.stage = Stage::Sequencing;
            self.post_barrier(Barrier::Publications);
            self.go_on_draining(now);
        }
    }

    /// Whether the drain is over and no client is left.
    pub fn is_drained(&self) -> bool {
        self.drain.is_leaving() && self.clients.is_empty()
    }

    fn post_barrier(&mut self, barrier: Barrier) {
        self.drain.pass(barrier);
        let own = usize::from(self.place.id.0);
        let others = self.outgoing.iter_mut().enumerate().filter(|(to, _)| *to != own);
        others.for_each(|(_, batch)| batch.mail.push(Mail::Barrier(barrier)));
    }

    fn go_on_draining(&mut self, now: Time) {
        let shards = self.place.shards;
        if self.drain.stage == Stage::Sequencing && self.drain.publications_ended == shards {
            self.drain.stage = Stage::Delivering;
            self.seal();
            self.post_barrier(Barrier::Segments);
        }
        if self.drain.stage == Stage::Delivering && self.drain.segments_ended == shards {
            let deadline = now.plus(self.limits.close_timeout_ms);
            self.drain.stage = Stage::Leaving { deadline };
            let everyone: Vec<ClientKey> = self.clients.iter().map(|(key, _)| key).collect();
            for key in everyone {
                self.say_goodbye(key, now);
            }
            return;
        }
        if let Stage::Leaving { deadline } = self.drain.stage
            && now.reached(deadline)
        {
            // Who has not been told yet and could be waits for us, and not we for it.
            let is_writing = !self.writable.is_empty() || self.laps.is_going_on();
            let is_late = |client: &Client| {
                !client.dying && (client.connection.is_over() || client.outbox.blocked || !is_writing)
            };
            let late: Vec<ClientKey> =
                self.clients.iter().filter(|(_, client)| is_late(client)).map(|(key, _)| key).collect();
            if !late.is_empty() {
                tracing::warn!(clients = late.len(), "cut off: they did not take their goodbye in time");
            }
            for key in late {
                self.let_die(key);
            }
        }
    }

    /// A client has been written all there is for it.
    pub(super) fn caught_up(&mut self, key: ClientKey, now: Time) {
        if self.drain.is_leaving() {
            self.say_goodbye(key, now);
        }
    }

    /// Tells a client that the server goes away, if it has been written all there is for it.
    fn say_goodbye(&mut self, key: ClientKey, now: Time) {
        let Some(client) = self.clients.get(key) else { return };
        if client.connection.is_over() {
            return;
        }
        if !client.connection.is_open() {
            let response = Response::text(Status::SERVICE_UNAVAILABLE, "the server is shutting down\n")
                .with_header("Retry-After", "1");
            self.respond(key, &response, now);
        } else if client.outbox.own_bytes() == 0 && self.view(key, client).is_none_or(|view| view.lag() == 0)
        {
            let mut last = mem::take(&mut self.replies);
            if let Some(client) = self.clients.get_mut(key) {
                let reason = CloseReason::new("the server is shutting down");
                client.connection.close(CloseCode::GOING_AWAY, &reason, now, &mut last);
                self.reply(key, &mut last);
            }
            self.replies = last;
            self.settle(key, now);
            self.list_if_unread(key);
        }
    }
}
