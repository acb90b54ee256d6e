//! The drain: how a shard comes to its end, so that nothing is lost that was accepted.
//!
//! What was accepted on one shard may have its home on a second and its subscribers on a third. To know that it has
//! arrived takes two barriers: each shard tells all others when it has posted its publications
//! ([`Barrier::Publications`]); a home that has heard that from all has sequenced them, posts their segments, and says so
//! ([`Barrier::Segments`]); who has heard that from all has what its clients are to get.
//!
//! A drain that says goodbye to everyone at once does this one time: nobody who is open is read any more, so that what is
//! accepted comes to an end ([`Round::Last`]), and then each client is told as it catches up.
//!
//! A drain that spreads its goodbyes does it twice. First for what was accepted before ([`Round::Accepted`]), while
//! everything goes on. Then clients are told one after the other ([`Goodbyes`]), each when it has been written all there
//! was for it in its moment, and the others are served meanwhile: they hear and publish. When the time is over, or nobody
//! is left to be told, comes the last round, for whoever is left.

use super::Shard;
use super::client::Client;
use super::deadlines::Instant;
use super::goodbyes::Goodbyes;
use super::mail::{Barrier, Mail, Round};
use super::route;
use crate::config::Goodbye;
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::{CloseCode, CloseReason, Time};

/// How far a shard is on its way to the end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    stage: Stage,
    /// Milliseconds over which goodbyes are spread.
    spread_ms: u32,
    /// Who is to be told while they are.
    goodbyes: Goodbyes,
    /// Which barriers the shards have come past, of the round of what was accepted and of the last.
    passed: [Passed; 2],
}

/// How many shards have come past the barriers of a round.
#[derive(Debug, Default)]
struct Passed {
    publications: usize,
    segments: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Not draining.
    #[default]
    Serving,
    /// The same, but `/healthz` says that the end is near.
    Announced,
    /// Until all shards are past this barrier, what belongs to the round may still come.
    Settling(Round, Barrier),
    /// Clients are told goodbye one after the other.
    Pacing {
        /// Until then.
        until: Time,
    },
    /// Whoever is left is told as it catches up. At the deadline who is still there is cut off.
    Leaving {
        /// When.
        deadline: Time,
    },
}

/// How near a shard is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none in sight.
    Serving,
    /// It is announced, to whom `/healthz` tells it. All else goes on.
    Announced,
    /// Nobody comes in any more.
    Draining,
}

impl Drain {
    /// What requests are told of it.
    pub(super) fn phase(&self) -> Phase {
        match self.stage {
            Stage::Serving => Phase::Serving,
            Stage::Announced => Phase::Announced,
            _ => Phase::Draining,
        }
    }

    /// Whether clients that are open are read, and so may publish: not in the last round, and not after it.
    pub(super) fn lets_publish(&self) -> bool {
        !matches!(self.stage, Stage::Settling(Round::Last, _) | Stage::Leaving { .. })
    }

    /// Whether what is given its place by this shard reaches everyone still: its segments are not past the last barrier.
    pub(super) fn lets_sequence(&self) -> bool {
        !matches!(self.stage, Stage::Settling(Round::Last, Barrier::Segments) | Stage::Leaving { .. })
    }

    /// Whether whoever is left is being told goodbye.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. })
    }

    /// Whether clients are being told one after the other.
    fn is_pacing(&self) -> bool {
        matches!(self.stage, Stage::Pacing { .. })
    }

    /// `key` is gone: nobody need wait for it.
    pub(super) fn forget(&mut self, key: ClientKey) {
        self.goodbyes.forget(key);
    }

    /// A shard has come past a barrier.
    pub(super) fn pass(&mut self, round: Round, barrier: Barrier) {
        *self.passed(round, barrier) += 1;
    }

    fn passed(&mut self, round: Round, barrier: Barrier) -> &mut usize {
        let passed = &mut self.passed[usize::from(round == Round::Last)];
        match barrier {
            Barrier::Publications => &mut passed.publications,
            Barrier::Segments => &mut passed.segments,
        }
    }
}

impl Shard {
    /// The end is near: `/healthz` says so, and all else goes on.
    pub fn announce_drain(&mut self) {
        if self.drain.stage == Stage::Serving {
            self.drain.stage = Stage::Announced;
        }
    }

    /// Starts the drain: what was accepted for broadcast is delivered, then everyone is told goodbye, over `spread_ms`
    /// milliseconds. The listeners are closed already.
    pub fn drain(&mut self, spread_ms: u32, now: Time) {
        if self.drain.phase() != Phase::Draining {
            self.drain.spread_ms = spread_ms;
            self.settle_round(if spread_ms > 0 { Round::Accepted } else { Round::Last });
            self.go_on_draining(now);
        }
    }

    /// Whether the drain is over and no client is left.
    pub fn is_drained(&self) -> bool {
        self.drain.is_leaving() && self.clients.is_empty()
    }

    /// Whether it has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.phase() == Phase::Draining
    }

    /// Whether clients are being told goodbye one after the other.
    pub fn is_pacing(&self) -> bool {
        self.drain.is_pacing()
    }

    /// When the drain next has something to do that time brings.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        match self.drain.stage {
            Stage::Leaving { deadline } => Some(self.deadlines.instant(deadline)),
            Stage::Pacing { .. } if self.is_pacing_done() => Some(self.deadlines.now()),
            Stage::Pacing { until } => {
                let until = self.deadlines.instant(until);
                Some(self.drain.goodbyes.next().map_or(until, |next| next.min(until)))
            }
            Stage::Serving | Stage::Announced | Stage::Settling(..) => None,
        }
    }

    fn settle_round(&mut self, round: Round) {
        self.drain.stage = Stage::Settling(round, Barrier::Publications);
        self.post_barrier(round, Barrier::Publications);
    }

    fn post_barrier(&mut self, round: Round, barrier: Barrier) {
        self.drain.pass(round, barrier);
        let own = usize::from(self.place.id.0);
        let others = self.outgoing.iter_mut().enumerate().filter(|(to, _)| *to != own);
        others.for_each(|(_, batch)| batch.mail.push(Mail::Barrier(round, barrier)));
    }

    /// Goes as far as what has come and the time allow.
    pub(super) fn go_on_draining(&mut self, now: Time) {
        if let Stage::Pacing { until } = self.drain.stage {
            if !now.reached(until) && !self.is_pacing_done() {
                self.say_due_goodbyes(now);
                return;
            }
            self.settle_round(Round::Last);
        }
        while let Stage::Settling(round, barrier) = self.drain.stage
            && *self.drain.passed(round, barrier) == self.place.shards
        {
            match (round, barrier) {
                (_, Barrier::Publications) => {
                    self.drain.stage = Stage::Settling(round, Barrier::Segments);
                    self.seal();
                    self.post_barrier(round, Barrier::Segments);
                }
                (Round::Accepted, Barrier::Segments) => return self.begin_pacing(now),
                (Round::Last, Barrier::Segments) => return self.begin_leaving(now),
            }
        }
        if let Stage::Leaving { deadline } = self.drain.stage
            && now.reached(deadline)
        {
            self.cut_off_the_late();
        }
    }

    /// What was accepted before the drain has arrived: everyone who is open gets its moment. Who is not is told at once.
    fn begin_pacing(&mut self, now: Time) {
        let spread_ms = self.drain.spread_ms;
        self.drain.stage = Stage::Pacing { until: now.plus(spread_ms) };
        let is_open = |client: &Client| client.connection.is_open();
        let (open, others): (Vec<_>, Vec<_>) = self.clients.iter().partition(|(_, client)| is_open(client));
        let [open, others] = [open, others].map(|clients| clients.into_iter().map(|(key, _)| key));
        let (start, place) = (self.deadlines.instant(now), (self.place.id, self.place.seed));
        self.drain.goodbyes = Goodbyes::plan(open, start, spread_ms, place);
        let others: Vec<ClientKey> = others.collect();
        for key in others {
            self.say_goodbye(key, now);
        }
    }

    /// Whether nobody is left to be told while goodbyes are spread.
    fn is_pacing_done(&self) -> bool {
        self.clients.is_empty() || self.drain.goodbyes.are_said()
    }

    /// Tells those whose moment has come, but no more of them than a turn may, and takes note of those who lag.
    fn say_due_goodbyes(&mut self, now: Time) {
        for _ in 0..limits::EXPIRIES_PER_TURN_MAX {
            let Some(key) = self.drain.goodbyes.pop_due(self.deadlines.now()) else { break };
            let Some(client) = self.clients.get(key).filter(|client| client.connection.is_open()) else {
                continue;
            };
            let end = self.end_of_log(key, client);
            self.drain.goodbyes.wait_for(key, end);
            self.say_due_goodbye(key, now);
        }
    }

    /// Tells a client whose moment has come, if it has been written all there was for it then.
    pub(super) fn say_due_goodbye(&mut self, key: ClientKey, now: Time) {
        if !self.drain.is_pacing() {
            return;
        }
        let Some(end) = self.drain.goodbyes.end_for(key) else { return };
        let Some(client) = self.clients.get(key) else { return };
        if client.is_written_to(end) {
            self.drain.goodbyes.forget(key);
            self.close_at_the_end(key, now);
        }
    }

    /// Nothing is accepted any more, and all that was has arrived: everyone is told who has caught up.
    fn begin_leaving(&mut self, now: Time) {
        let deadline = now.plus(self.limits.close_timeout_ms);
        self.drain.stage = Stage::Leaving { deadline };
        let everyone: Vec<ClientKey> = self.clients.iter().map(|(key, _)| key).collect();
        for key in everyone {
            self.say_goodbye(key, now);
        }
    }

    /// The time is over for those who have not taken what there was for them, or not answered their goodbye.
    fn cut_off_the_late(&mut self) {
        // Who has not been told yet and could be waits for us, and not we for it.
        let is_writing = !self.writable.is_empty() || self.laps.is_going_on();
        let is_late = |client: &Client| {
            !client.dying && (client.connection.is_over() || client.outbox.blocked || !is_writing)
        };
        let late: Vec<ClientKey> =
            self.clients.iter().filter(|(_, client)| is_late(client)).map(|(key, _)| key).collect();
        if !late.is_empty() {
            tracing::warn!(clients = late.len(), "cut off: they did not take their goodbye in time");
            self.counters.goodbyes_cut.add(late.len() as u64);
        }
        for key in late {
            self.let_die(key);
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
            self.respond(key, &route::shutting_down(), now);
        } else if client.outbox.own_bytes() == 0 && self.view(key, client).is_none_or(|view| view.lag() == 0)
        {
            self.close_at_the_end(key, now);
        }
    }

    /// Closes a client because the server goes away.
    fn close_at_the_end(&mut self, key: ClientKey, now: Time) {
        let (code, reason) = match self.place.config.drain.goodbye {
            Goodbye::GoingAway => (CloseCode::GOING_AWAY, "the server is shutting down"),
            Goodbye::ServiceRestart => (CloseCode::SERVICE_RESTART, "the server is restarting"),
        };
        if self.close(key, code, &CloseReason::new(reason), now) {
            self.counters.goodbyes_said.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::shard::trial::{self, NOW};

    #[test]
    fn a_drain_that_is_announced_has_not_begun_and_one_that_has_begun_goes_on_when_it_is_announced() {
        let mut shard = trial::shard(Config::default());
        shard.announce_drain();
        assert!(!shard.is_draining());
        shard.drain(0, NOW);
        assert!(shard.is_draining());
        shard.announce_drain();
        assert!(shard.is_draining());
    }
}
