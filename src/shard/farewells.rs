//! [`Farewells`]: clients that an operator wants closed, each when it has been written all that there was for it then.

use super::Shard;
use super::deadlines::Instant;
use crate::hub::{ClientKey, LogPosition};
use crate::limits;
use crate::protocol::{CloseCode, CloseReason, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Those who are to be closed by an operator's word.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// What each is told once it has been written so far.
    due: BTreeMap<ClientKey, Farewell>,
    /// When they are told in any case. Who is not due any more is passed over. The close timeout need not be the same for
    /// all of them: it can be changed.
    until: BTreeSet<(Instant, ClientKey)>,
}

#[derive(Debug)]
struct Farewell {
    /// Where its channel's log ended when it was to be closed.
    end: LogPosition,
    code: CloseCode,
    reason: CloseReason,
}

impl Farewells {
    /// When the next one is told in any case.
    pub(super) fn next(&self) -> Option<Instant> {
        self.until.first().map(|(until, _)| *until)
    }

    /// Whether everyone has been told, or is gone.
    #[cfg(test)]
    pub(super) fn are_said(&self) -> bool {
        self.due.is_empty() && self.until.is_empty()
    }

    /// `key` is gone.
    pub(super) fn forget(&mut self, key: ClientKey) {
        self.due.remove(&key);
        if self.due.is_empty() {
            self.until.clear();
        }
    }
}

impl Shard {
    /// Sees to it that a client is closed once it has been written what there is for it. Whether it is there and open. The
    /// first word counts.
    pub(super) fn close_for_operator(
        &mut self,
        key: ClientKey,
        code: CloseCode,
        reason: CloseReason,
        now: Time,
    ) -> bool {
        let Some(client) =
            self.clients.get(key).filter(|client| client.connection.is_open() && !client.dying)
        else {
            return false;
        };
        let end = self.end_of_log(key, client);
        if self.farewells.due.contains_key(&key) {
            return true;
        }
        tracing::info!(client = %self.id_of(key), code = code.number(), reason = reason.as_str(), "closed by an operator");
        self.counters.operator_closes.add(1);
        self.farewells.due.insert(key, Farewell { end, code, reason });
        let until = self.deadlines.instant(now).plus(self.limits.close_timeout_ms);
        self.farewells.until.insert((until, key));
        self.say_due_farewell(key, now);
        true
    }

    /// Closes a client that an operator wants closed, if it has been written all there was for it then.
    pub(super) fn say_due_farewell(&mut self, key: ClientKey, now: Time) {
        let Some(Farewell { end, .. }) = self.farewells.due.get(&key) else { return };
        let Some(client) = self.clients.get(key) else { return };
        if client.is_written_to(*end) {
            self.say_farewell(key, now);
        }
    }

    fn say_farewell(&mut self, key: ClientKey, now: Time) {
        if let Some(Farewell { code, reason, .. }) = self.farewells.due.remove(&key) {
            self.close(key, code, &reason, now);
        }
        self.farewells.forget(key);
    }

    /// Closes those who have not taken in time what there was for them.
    pub(super) fn say_late_farewells(&mut self, now: Time) {
        for _ in 0..limits::EXPIRIES_PER_TURN_MAX {
            match self.farewells.until.first() {
                Some(&(until, key)) if until <= self.deadlines.now() => {
                    self.farewells.until.pop_first();
                    self.say_farewell(key, now);
                }
                _ => break,
            }
        }
    }
}
