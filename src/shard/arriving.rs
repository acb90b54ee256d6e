//! *accept*: how clients come in, what their requests are answered, and what those are told for whom there is no place.

use super::Shard;
use super::admission::SUBPROTOCOL;
use super::allowance::Allowance;
use super::client::{Account, Client};
use super::rendering::{agree, rendering_for};
use super::route::{Route, route};
use super::shedding::short_of_memory;
use crate::dialect::Dialect;
use crate::hub::ClientKey;
use crate::limits;
use crate::protocol::{Agreement, Connection, Request, Response, Status, Time, Wants};

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
        self.allowances += usize::from(allowance.is_some());
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
        let (held, cost) = self.replying(key, |shard, replies| shard.answer(key, request, now, replies));
        self.put_by(key, &held, now);
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

    /// A request wants an answer. A channel that is not open here yet keeps it waiting for the home's word. Returns what
    /// came behind the request, if it opens a WebSocket at once and that was held; and what it counts for among the bytes
    /// that a turn reads, on top of its own.
    pub(super) fn answer(
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

    /// Leaves what came behind a client's request to *read*, where it counts in a turn's budget however much it comes to,
    /// and however many are let in at once.
    pub(super) fn put_by(&mut self, key: ClientKey, held: &[u8], now: Time) {
        if let Some(client) = self.clients.get_mut(key)
            && !held.is_empty()
        {
            client.connection.hold(held);
            client.inbox.unread = true;
        }
        self.settle(key, now);
        self.list_if_unread(key);
    }
}
