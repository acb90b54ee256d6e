//! *accept* and *read*: how clients come in, and what their bytes do. (The file is long because what a client may be
//! told at the door stands beside what it is told inside.)

use super::Shard;
use super::admission::SUBPROTOCOL;
use super::allowance::Allowance;
use super::client::{Account, Client};
use super::mail::Mail;
use super::rendering::{agree, rendering_for};
use super::route::{Route, route};
use super::shedding::short_of_memory;
use crate::dialect::{Command, Dialect};
use crate::hub::{ClientKey, Interest, Origin};
use crate::limits;
use crate::protocol::{
    Agreement, CloseCode, CloseReason, Closure, Connection, Event, Kind, Message, Request, Response, Status,
    Time, Timeout, Wants,
};
use std::mem;

/// Why nobody new is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All places are taken (`--max-connections`).
    Connections,
    /// What peers make the server hold is near what it may (`--memory-budget`).
    Memory,
    /// The places of its address are taken (`--max-connections-per-ip`).
    Address,
}

impl Shard {
    /// The key that the next client will have.
    pub fn next_key(&self) -> ClientKey {
        self.clients.next_key()
    }

    /// A connection was accepted: its client, whose opening handshake begins.
    pub fn connect(&mut self, now: Time) -> ClientKey {
        self.counters.connections_accepted.add(1);
        let allowance = Allowance::new(&self.place.config.rates, self.deadlines.instant(now));
        let account =
            allowance.map(|allowance| Box::new(Account { allowance: Some(allowance), credentials: None }));
        let connection = Connection::server(self.limits.clone(), now);
        let key = self.clients.insert(Client { account, ..Client::new(connection, now) });
        self.reschedule(key);
        key
    }

    /// The same of a peer that is trusted to say for whom it speaks: what it asks for waits for [who that
    /// is](Self::next_to_identify).
    pub fn connect_proxy(&mut self, now: Time) -> ClientKey {
        let key = self.connect(now);
        if let Some(client) = self.clients.get_mut(key) {
            client.connection.keep_forwarding();
        }
        key
    }

    /// A connection was accepted that is one too many: it is told why and lingers until that has arrived.
    /// Only while [`may_turn_away`](Self::may_turn_away).
    pub fn turn_away(&mut self, why: Full, now: Time) -> ClientKey {
        self.counters.connections_accepted.add(1);
        self.turned_away += 1;
        let connection = Connection::server(self.limits_at_the_door.clone(), now);
        let key = self.clients.insert(Client { turned_away: true, ..Client::new(connection, now) });
        self.refuse(key, why, now);
        key
    }

    /// A client is told why there is no place for it, whatever it has asked so far.
    pub fn refuse(&mut self, key: ClientKey, why: Full, now: Time) {
        let response = match why {
            Full::Connections => {
                self.counters.connections_turned_away.add(1);
                Response::text(Status::SERVICE_UNAVAILABLE, "the server is full: try again later\n")
                    .with_header("Retry-After", "5")
            }
            Full::Address => {
                let max = self.place.config.connections_per_address_max;
                let body = format!("too many connections from your address: {max} are allowed at a time\n");
                Response::text(Status::TOO_MANY_REQUESTS, body).with_header("Retry-After", "5")
            }
            Full::Memory => {
                self.counters.connections_turned_away_for_memory.add(1);
                short_of_memory()
            }
        };
        self.respond(key, &response, now);
    }

    /// A client whose request says, or does not say, for whom it speaks, with that request.
    /// [`identified`](Self::identified) is to be told.
    pub fn next_to_identify(&mut self) -> Option<(ClientKey, Box<Request>)> {
        self.unidentified.pop()
    }

    /// It is known for whom a client speaks, and whether there is a place for that one: it gets what it asks for. Returns
    /// what that came to, to be taken off the turn's budget of bytes read.
    pub fn identified(
        &mut self,
        key: ClientKey,
        request: &Request,
        place: Result<(), Full>,
        now: Time,
    ) -> usize {
        let still_waits = |client: &Client| client.connection.wants() == Wants::Decision && !client.dying;
        if !self.clients.get(key).is_some_and(still_waits) {
            return 0;
        }
        if let Err(why) = place {
            self.refuse(key, why, now);
            return 0;
        }
        let mut replies = mem::take(&mut self.replies);
        let (mut held, cost) = self.answer(key, request, now, &mut replies);
        self.reply(key, &mut replies);
        self.replies = replies;
        self.process(key, &mut held, self.read_budget_bytes(), now);
        self.list_if_unread(key);
        cost
    }

    /// Whether there is a place for one more who is told why it cannot come in.
    pub fn may_turn_away(&self) -> bool {
        self.turned_away < limits::REFUSALS_MAX
    }

    /// Whether `key` is one that was turned away: it took no place among the connections.
    pub fn is_turned_away(&self, key: ClientKey) -> bool {
        self.clients.get(key).is_some_and(|client| client.turned_away)
    }

    /// A socket has something to be read. `ending`: the peer's end, or an error, is part of it.
    pub fn list_readable(&mut self, key: ClientKey, ending: bool) {
        if let Some(client) = self.clients.get_mut(key) {
            client.inbox.unread = true;
            client.inbox.ending |= ending;
            if !mem::replace(&mut client.inbox.listed, true) {
                self.readable.push_back(key);
            }
        }
    }

    /// Bytes to be read in one turn, over all clients: at most half of what a client may lag behind, so that nobody
    /// who takes what a turn brings becomes slow by that turn.
    pub fn read_budget_bytes(&self) -> usize {
        limits::READ_BYTES_PER_TURN_MAX.min(self.place.config.limits.outbox_bytes_max / 2).max(1)
    }

    /// How many sockets are listed to be read.
    pub fn listed_to_read(&self) -> usize {
        self.readable.len()
    }

    /// The next socket to be read once. A client that is paused is passed over: it is listed again when it goes on. So is
    /// one that is open when nothing is accepted any more: what it says comes too late.
    pub fn next_to_read(&mut self) -> Option<ClientKey> {
        while let Some(key) = self.readable.pop_front() {
            if let Some(client) = self.clients.get_mut(key) {
                client.inbox.listed = false;
                let is_to_leave = client.connection.is_open() && !self.drain.lets_publish();
                if !client.dying && !client.is_paused() && !is_to_leave {
                    return Some(key);
                }
            }
        }
        None
    }

    /// The socket had nothing more to read. It says so itself when that changes.
    pub fn drained(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.inbox.unread = false;
        }
    }

    /// Bytes came from a client. `more`: the socket may have more of them. Returns what they came to, as
    /// [`receive_held`](Self::receive_held) does.
    pub fn receive(
        &mut self,
        key: ClientKey,
        bytes: &mut [u8],
        more: bool,
        budget_bytes: usize,
        now: Time,
    ) -> usize {
        self.counters.bytes_read.add(bytes.len() as u64);
        if let Some(client) = self.clients.get_mut(key) {
            client.inbox.unread = more || client.inbox.ending;
            if let Some(allowance) = client.allowance_mut() {
                allowance.spend_bytes(bytes.len() as u64);
            }
        }
        let came_to = self.process(key, bytes, budget_bytes, now);
        self.list_if_unread(key);
        came_to
    }

    /// Goes on with what is left of bytes that came from a client and were too much for a turn once inflated, or more
    /// messages than it might send. Returns what they came to, to be taken off the turn's budget: bytes of messages, or
    /// of input if that is more. `None` if nothing is left: its socket is to be read.
    pub fn receive_held(&mut self, key: ClientKey, budget_bytes: usize, now: Time) -> Option<usize> {
        let mut held = self.clients.get_mut(key)?.connection.take_held();
        if held.is_empty() {
            return None;
        }
        let came_to = self.process(key, &mut held, budget_bytes, now);
        self.list_readable(key, false);
        Some(came_to)
    }

    /// The peer's end of the TCP connection came.
    pub fn receive_eof(&mut self, key: ClientKey, now: Time) {
        self.drained(key);
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_websocket = client.connection.is_established();
        if let Some(Event::Closed(closure)) = client.connection.receive_eof(now) {
            if is_websocket {
                self.counters.closes.add(CloseCode::ABNORMAL.number());
            }
            self.note_closure(key, &closure);
        }
        self.settle(key, now);
    }

    /// The socket failed: there is nobody to talk to.
    pub fn lose(&mut self, key: ClientKey, now: Time) {
        self.receive_eof(key, now);
        self.let_die(key);
    }

    /// Feeds bytes to a client's connection and does what comes out, until messages that may have been compressed have
    /// more bytes than `budget_bytes`, or the client has sent as many messages as it may; the connection holds what is
    /// left then, which counts as unread. Returns what the bytes came to.
    pub(super) fn process(
        &mut self,
        key: ClientKey,
        mut input: &mut [u8],
        budget_bytes: usize,
        now: Time,
    ) -> usize {
        let read = input.len();
        let messages_max = self.messages_allowed(key, now);
        let (mut messages, mut said, mut left, mut cost) = (0, 0, None, 0);
        let mut replies = mem::take(&mut self.replies);
        let mut inflater = mem::take(&mut self.inflater);
        let mut scratch = mem::take(&mut self.scratch);
        let mut terms = self.terms(key);
        while let Some(client) = self.clients.get_mut(key) {
            if messages >= messages_max && !input.is_empty() {
                client.connection.hold(input);
                client.inbox.unread = true;
                left = Some(input.len());
                break;
            }
            if said > budget_bytes && !input.is_empty() && client.connection.deflate().is_some() {
                client.connection.hold(input);
                client.inbox.unread = true;
                break;
            }
            match client.connection.next_event_inflating(&mut input, now, &mut inflater, &mut replies) {
                Some(Event::Message(message)) => {
                    messages += 1;
                    said += message.payload.len();
                    let Message { kind, payload } = &message;
                    match client.dialect.read(terms, client.user(), *kind, payload, &mut scratch) {
                        Command::Reply { kind, payload } => {
                            client.connection.send_deflated(kind, payload, &mut self.deflater, &mut replies);
                        }
                        Command::Reject { error } => {
                            self.counters.messages_rejected.add(1);
                            client.connection.send(Kind::Text, error, &mut replies);
                        }
                        Command::Publish { kind, payload } => self.publish_from(key, kind, payload),
                    }
                }
                Some(Event::Requested(request)) if request.forwarding.is_some() => {
                    self.unidentified.push((key, request));
                }
                Some(Event::Requested(request)) => {
                    let held;
                    (held, cost) = self.answer(key, &request, now, &mut replies);
                    debug_assert!(held.is_empty(), "nothing is held before we say so");
                    terms = self.terms(key);
                }
                Some(Event::Closed(closure)) => self.note_closure(key, &closure),
                // Only in the client role.
                Some(Event::Accepted(_)) => {}
                None => {
                    if client.connection.wants() == Wants::Decision {
                        client.connection.hold(input);
                    }
                    break;
                }
            }
        }
        self.inflater = inflater;
        self.scratch = scratch;
        self.counters.messages_received.add(messages as u64);
        self.counters.message_bytes_received.add(said as u64);
        self.reply(key, &mut replies);
        self.replies = replies;
        if messages_max < usize::MAX
            && let Some(allowance) = self.clients.get_mut(key).and_then(Client::allowance_mut)
        {
            allowance.spend_messages(messages as u64);
        }
        if left.is_some() {
            self.pause(key, now);
        }
        self.settle(key, now);
        said.max(read - left.unwrap_or(0)) + cost
    }

    /// A client publishes in its channel.
    fn publish_from(&mut self, key: ClientKey, kind: Kind, payload: &[u8]) {
        let membership = self.clients.get(key).and_then(|client| client.membership);
        let channel = membership.and_then(|membership| self.subscriptions.get(membership.channel));
        let Some((Interest::Standing(home), home_shard)) =
            channel.map(|channel| (&channel.interest, channel.home_shard))
        else {
            self.counters.publications_homeless.add(1);
            return;
        };
        if home_shard == self.place.id {
            let (home, origin) = (*home, Origin { shard: self.place.id, client: key });
            self.publish(home, origin, kind, payload);
        } else {
            let batch = &mut self.outgoing[usize::from(home_shard.0)];
            let payload_len = payload.len() as u32;
            batch.mail.push(Mail::Publish { home: *home, client: key, kind, payload_len });
            batch.payloads.extend_from_slice(payload);
        }
    }

    /// A request wants an answer. A channel that is not open here yet keeps it waiting for the home's word. Returns what
    /// came behind the request, if it opens a WebSocket at once and that was held; and what it counts for among the bytes
    /// that a turn reads, on top of its own.
    fn answer(
        &mut self,
        key: ClientKey,
        request: &Request,
        now: Time,
        replies: &mut Vec<u8>,
    ) -> (Vec<u8>, usize) {
        let route = route(request, self.drain.phase(), self.door());
        let cost = if self.keys.is_some() { limits::TOKEN_COST_BYTES } else { 0 };
        let Some(client) = self.clients.get_mut(key) else { return (Vec::new(), cost) };
        client.deflate = agree(&request.deflate_offers, &self.place.config.deflate);
        client.has_subprotocol = request.subprotocols.iter().any(|offered| &**offered == SUBPROTOCOL);
        let held = match route {
            Route::Respond(response) => {
                let challenge = response.headers.iter().any(|(name, _)| *name == "WWW-Authenticate");
                self.counters.tokens_refused.add(u64::from(challenge));
                if let Some(closure) = client.connection.respond(&response, now, replies) {
                    self.note_closure(key, &closure);
                }
                Vec::new()
            }
            Route::Echo { claims } => {
                client.dialect = Dialect::Echo;
                self.note_claims(key, claims, None, now);
                self.accept(key, now, replies)
            }
            Route::Relay { channel, without_own, wants_gaps, claims } => {
                client.dialect = Dialect::Relay;
                client.outbox.without_own = without_own;
                client.outbox.wants_gaps = wants_gaps;
                let rendering = rendering_for(client.deflate);
                self.note_claims(key, claims, Some(channel.as_str()), now);
                match self.find_or_await(&channel, rendering, key) {
                    Some(local) => self.admit(key, local, now, replies),
                    None => Vec::new(),
                }
            }
        };
        (held, cost)
    }

    /// `key` gets its 101. Returns what came behind its request.
    pub(super) fn accept(&mut self, key: ClientKey, now: Time, replies: &mut Vec<u8>) -> Vec<u8> {
        let Some(client) = self.clients.get_mut(key) else { return Vec::new() };
        self.counters.handshakes_accepted.add(1);
        self.counters.handshakes_deflated.add(u64::from(client.deflate.is_some()));
        let subprotocol = client.has_subprotocol.then(|| SUBPROTOCOL.into());
        let agreement = Agreement { subprotocol, deflate: client.deflate };
        client.connection.accept(agreement, now, replies)
    }

    /// Answers a client, whatever it has asked so far, with an HTTP response.
    pub(super) fn respond(&mut self, key: ClientKey, response: &Response, now: Time) {
        let mut replies = mem::take(&mut self.replies);
        if let Some(client) = self.clients.get_mut(key) {
            if let Some(closure) = client.connection.respond(response, now, &mut replies) {
                self.note_closure(key, &closure);
            }
            self.reply(key, &mut replies);
        }
        self.replies = replies;
        self.settle(key, now);
    }

    /// Puts `replies` behind what a client has still to be sent, and seals the outbox if its connection has come to
    /// an end.
    pub(super) fn reply(&mut self, key: ClientKey, replies: &mut Vec<u8>) {
        let Some(client) = self.clients.get_mut(key) else {
            replies.clear();
            return;
        };
        if client.outbox.is_sealed() {
            debug_assert!(replies.is_empty(), "nothing follows a Close frame");
            replies.clear();
        } else if client.connection.is_over() {
            self.seal_client(key, replies);
        } else if !replies.is_empty() {
            let spares = &mut self.spares;
            client.outbox.push(replies, || spares.take());
            self.list_writable(key);
        }
    }

    /// Draws the conclusions from what a client's connection has become: when to look at it next, whether it has
    /// too much to be sent, and whether nothing is left to be done.
    pub(super) fn settle(&mut self, key: ClientKey, now: Time) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.connection.wants() {
            Wants::Nothing => self.let_die(key),
            Wants::FlushThenShutdown => self.finish_if_written(key),
            Wants::Input | Wants::Decision => {}
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        let answer_bytes = client.outbox.answer_bytes();
        if answer_bytes > limits::OWN_BYTES_MARK && !client.outbox.is_sealed() {
            // Nothing goes out while the mark is passed, so there is nothing to append.
            client.connection.set_congested(true, &mut Vec::new());
            if answer_bytes > self.place.config.limits.outbox_bytes_max + limits::OWN_BYTES_BEYOND_OUTBOX {
                self.counters.slow_consumers_closed.add(1);
                self.fail(key, CloseCode::POLICY_VIOLATION, "too many answers not read", now);
            }
        }
        self.recount(key);
        self.reschedule(key);
    }

    /// Counts why a connection ended, and says it to whoever debugs.
    pub(super) fn note_closure(&self, key: ClientKey, closure: &Closure) {
        let counters = &self.counters;
        tracing::debug!(client = %self.name(key), ?closure, "ended");
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
        let mut last = mem::take(&mut self.replies);
        tracing::info!(client = %self.name(key), code = code.number(), reason, "dropped");
        if let Some(client) = self.clients.get_mut(key) {
            if let Some(closure) = client.connection.fail(code, &CloseReason::new(reason), now, &mut last) {
                self.note_closure(key, &closure);
            }
            self.reply(key, &mut last);
        }
        self.replies = last;
        self.recount(key);
        self.reschedule(key);
    }

    /// What logs call a client.
    pub(super) fn name(&self, key: ClientKey) -> Origin {
        Origin { shard: self.place.id, client: key }
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

impl Client {
    /// Not to be read for the time being: it has to wait, or is over its rate.
    fn is_paused(&self) -> bool {
        self.has_to_wait() || self.is_over_rate()
    }

    /// A decision is pending, or it takes its own bytes too slowly.
    fn has_to_wait(&self) -> bool {
        self.connection.wants() == Wants::Decision
            || (self.outbox.answer_bytes() > limits::OWN_BYTES_MARK && !self.outbox.is_sealed())
    }

    /// Not read although it may have sent something, by our choice: it does not count as silent.
    pub(super) fn is_kept_waiting(&self) -> bool {
        self.inbox.unread && self.connection.is_open() && !self.has_to_wait()
    }
}
