//! The server's logic: a [`Shard`] is everything one worker thread owns that is not a file descriptor.
//!
//! It is pure: bytes, mail and time go in, and what is to be written, mail and deadlines come out. A turn of the loop
//! (`turn.rs`) calls it in a fixed order, a stage at a time; the files here follow those stages:
//!
//! | stage | here | inputs | outputs |
//! |---|---|---|---|
//! | *accept* | `arriving.rs`, `route.rs`, `admission.rs`, `subscribing.rs` | `connect`, `connect_proxy`, `turn_away`, `refuse`, `identified` | `next_to_identify` |
//! | *read* | `reading.rs`, `allowance.rs` | `list_readable`, `receive`, `receive_held`, `receive_eof`, `drained`, `lose` | `next_to_read`, `room_to_read` |
//! | *collect mail*, *seal*, *post* | `mailing.rs` | `collect`, `seal` | `take_mail` |
//! | *expire*, *reap* | `closing.rs` | `expire` | `next_deadline`, `next_dead` |
//! | *expire*, the drain | `drain.rs`, `goodbyes.rs` | `announce_drain`, `drain` | `is_drained` |
//! | *collect mail*, *post* | `answering.rs`, `farewells.rs` | `ask` | `take_answer` |
//! | *relieve* | `shedding.rs` | `shed` | `held` |
//! | *flush* | `writing.rs` | `begin_flush`, `written`, `list_writable` | `next_to_write`, `unwritten`, `next_to_shut_down` |
//!
//! Inputs never fail, and what a peer sends never panics. Inputs only *list* what is to be done with a client; it is
//! written in *flush* and freed in *reap*, at one place each.

mod admission;
mod allowance;
mod answering;
mod arriving;
mod client;
mod clients;
mod closing;
mod deadlines;
mod drain;
mod farewells;
mod goodbyes;
pub mod mail;
mod mailing;
mod outbox;
mod reading;
mod rendering;
mod route;
mod shedding;
mod spares;
mod subscribing;
#[cfg(test)]
mod trial;
mod writing;

pub use arriving::Full;
pub use deadlines::Instant;
pub use outbox::{Plan, Slices};
pub use shedding::{Carried, Held};

use crate::auth::Keys;
use crate::config::Config;
use crate::hub::{ClientKey, HashSeed, Homes, ShardId, Subscriptions};
use crate::limits::{self, Limits};
use crate::metrics::Counters;
use crate::protocol::{Deflater, Inflater, Request, Time};
use allowance::Allowance;
use client::Client;
use clients::Clients;
use deadlines::Deadlines;
use drain::Drain;
use farewells::Farewells;
use mail::{Answered, Batch};
use outbox::View;
use spares::Spares;
use std::collections::VecDeque;
use std::sync::Arc;
use writing::{Delivered, Laps};

/// Who a shard is among the others, and what all of them have in common.
#[derive(Clone, Debug)]
pub struct Place {
    /// The shard's number.
    pub id: ShardId,
    /// How many shards there are.
    pub shards: usize,
    /// The key with which channel names are hashed; the same on every shard.
    pub seed: HashSeed,
    /// What the operator chose.
    pub config: Arc<Config>,
}

/// Bytes held, as counted where they change.
#[derive(Debug, Default)]
struct Retained {
    /// In the logs. Invariant: the sum of what each holds.
    logs: u64,
    /// For single clients. Invariant: the sum of `Client::held`.
    clients: u64,
}

/// Everything one worker thread owns that is not a file descriptor.
#[derive(Debug)]
pub struct Shard {
    place: Place,
    /// What a client's connection is bound by.
    limits: Arc<Limits>,
    /// The same for one that is being turned away: it lingers only briefly.
    limits_at_the_door: Arc<Limits>,
    /// The same for those in channels of smaller messages: one for each size. Invariant: no more than there are rules.
    limits_by_size: Vec<Arc<Limits>>,
    counters: Arc<Counters>,
    /// With what clients' tokens are checked, if they are.
    keys: Option<Arc<Keys>>,
    /// The time on the wall, in milliseconds since 1970, of this turn; 0 as long as nobody wants to know.
    unix_ms: u64,

    clients: Clients,
    /// Those being told 503 at the door. Invariant: at most [`limits::REFUSALS_MAX`].
    turned_away: usize,
    /// Those that have an allowance.
    allowances: usize,
    subscriptions: Subscriptions,
    homes: Homes,
    deadlines: Deadlines,
    drain: Drain,

    /// Clients whose sockets are to be read. Each is there at most once (`Inbox::listed`).
    readable: VecDeque<ClientKey>,
    /// Clients to be written whatever the laps say: they have bytes of their own, have room again, or wait for what
    /// they published themselves. Each is there at most once (`Outbox::listed`).
    writable: VecDeque<ClientKey>,
    laps: Laps,
    delivered: Delivered,
    /// Clients whose sockets have no room.
    blocked: usize,
    /// Requests of clients that speak for others, until it is known for whom. Empty between turns.
    unidentified: Vec<(ClientKey, Box<Request>)>,
    /// Clients whose last byte has been written: their sockets' write sides are to be shut down.
    finished: VecDeque<ClientKey>,
    /// Clients to be freed in *reap*. Each is there once (`Client::dying`).
    dying: Vec<ClientKey>,
    /// Those among them that *reap* has passed over. Empty between calls of `next_dead` that return none.
    spared: Vec<ClientKey>,
    /// Channels that somebody left empty, by when their interest ends, with their numbers and nonces. Of a channel's only the
    /// latest counts (`Channel::lingers_until_ms`).
    abandoned: VecDeque<(Instant, u32, u32)>,
    retained: Retained,
    /// This turn's mail, by shard; a shard's mail to itself never leaves it.
    outgoing: Vec<Batch>,
    farewells: Farewells,
    /// This turn's answers to an operator's questions.
    answers: VecDeque<Answered>,
    /// When this turn began, in microseconds: so old is what gets its place in it.
    turn_us: u32,

    /// Inflates what any client has compressed.
    inflater: Inflater,
    /// Compresses for all clients.
    deflater: Deflater,
    /// Empty between calls: replies are gathered here, so that sixteen echoes cost no allocation.
    replies: Vec<u8>,
    /// What a dialect answers when that is not the message itself.
    scratch: Vec<u8>,
    /// Boxes for clients' own bytes, to be used again.
    spares: Spares,
}

fn limits_at_the_door(config: &Config) -> Arc<Limits> {
    Arc::new(Limits { close_timeout_ms: limits::REFUSAL_LINGER_MS, ..config.limits.clone() })
}

impl Shard {
    /// A shard without clients.
    pub fn new(place: Place, counters: Arc<Counters>, now: Time) -> Shard {
        Shard {
            limits_at_the_door: limits_at_the_door(&place.config),
            limits: Arc::new(place.config.limits.clone()),
            limits_by_size: Vec::new(),
            counters,
            keys: None,
            unix_ms: 0,
            clients: Clients::default(),
            turned_away: 0,
            allowances: 0,
            subscriptions: Subscriptions::new(place.seed),
            homes: Homes::new(place.seed),
            deadlines: Deadlines::new(now),
            drain: Drain::default(),
            readable: VecDeque::new(),
            writable: VecDeque::new(),
            laps: Laps::new(place.config.limits.outbox_bytes_max, place.shards),
            delivered: Delivered::default(),
            blocked: 0,
            unidentified: Vec::new(),
            finished: VecDeque::new(),
            dying: Vec::new(),
            spared: Vec::new(),
            abandoned: VecDeque::new(),
            retained: Retained::default(),
            outgoing: (0..place.shards).map(|_| Batch::new(place.id)).collect(),
            farewells: Farewells::default(),
            answers: VecDeque::new(),
            turn_us: 0,
            inflater: Inflater::new(),
            deflater: rendering::deflater(&place.config.deflate),
            replies: Vec::new(),
            scratch: Vec::new(),
            spares: Spares::default(),
            place,
        }
    }

    /// A turn begins, so many microseconds after the start that all shards share.
    pub fn begin_turn(&mut self, now_us: u64) {
        self.turn_us = now_us as u32;
        self.deadlines.advance(Time((now_us / 1000) as u32));
        self.homes.advance(now_us / 1000);
    }

    /// Runs with another configuration from now on. Clients that are there keep their connections' limits, their rates and
    /// what they agreed to about compression; all else holds for them too, and nobody is closed for it.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.limits_at_the_door = limits_at_the_door(&config);
        self.limits = Arc::new(config.limits.clone());
        self.limits_by_size.clear();
        self.laps.reconfigure(config.limits.outbox_bytes_max);
        self.deflater = rendering::deflater(&config.deflate);
        if config.channels != self.place.config.channels {
            self.subscriptions.resettle(&config.channels);
        }
        self.place.config = config;
    }

    /// What binds the connection of a client in a channel whose messages have at most `bytes_max`.
    fn limits_for(&mut self, bytes_max: usize) -> Arc<Limits> {
        let same = self.limits_by_size.iter().find(|limits| limits.message_bytes_max == bytes_max);
        if let Some(limits) = same {
            return limits.clone();
        }
        let limits = Arc::new(Limits { message_bytes_max: bytes_max, ..(*self.limits).clone() });
        self.limits_by_size.push(limits.clone());
        limits
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.place.id
    }

    /// How many clients there are, those at the door included.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// What has been counted here.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether something can be done without waiting for an event. Unread sockets count if `may_read`.
    pub fn has_work(&self, may_read: bool) -> bool {
        !self.writable.is_empty()
            || self.laps.is_going_on()
            || !self.finished.is_empty()
            || !self.dying.is_empty()
            || (may_read && !self.readable.is_empty())
    }

    /// Copies what the registry knows into the gauges; once a turn. Returns what is held, which is among it.
    pub fn gauge(&self) -> Held {
        let held = self.held();
        self.counters.connections_open.set(self.clients.len() as u64);
        self.counters.channels_open.set(self.subscriptions.len() as u64);
        self.counters.bytes_retained.set(self.bytes_retained());
        self.counters.log_bytes.set(self.retained.logs);
        self.counters.client_bytes.set(self.retained.clients);
        self.counters.clients_blocked.set(self.blocked as u64);
        self.counters.memory_held.set(held.bytes);
        held
    }

    /// Bytes that peers make us hold: logs, clients' own bytes, messages and requests that are not whole yet.
    pub fn bytes_retained(&self) -> u64 {
        self.retained.logs + self.retained.clients + self.homes.open_bytes()
    }

    /// Bytes of frames in logs. It looks at every log: for tests.
    pub fn log_bytes(&self) -> u64 {
        self.subscriptions.iter().map(|(_, channel)| channel.log.retained()).sum()
    }

    /// The most bytes of its own that any client has still to be sent, and the most that any has sent of something
    /// that is not whole yet. It looks at every client: for tests.
    pub fn most_of_a_client(&self) -> (usize, usize) {
        let own_bytes = self.clients.iter().map(|(_, client)| client.outbox.own_bytes());
        let held_bytes = self.clients.iter().map(|(_, client)| client.connection.held_bytes());
        (own_bytes.max().unwrap_or(0), held_bytes.max().unwrap_or(0))
    }

    /// Clients of which input is held for a later turn, or for a decision, and how many bytes. It looks at every client:
    /// for tests.
    pub fn held_input(&self) -> impl Iterator<Item = (ClientKey, usize)> {
        let held = self.clients.iter().map(|(key, client)| (key, client.connection.held_input_bytes()));
        held.filter(|(_, bytes)| *bytes > 0)
    }

    /// Clients that have something to be written and room for it: they wait for us. It looks at every client: for tests.
    pub fn waiting(&self) -> impl Iterator<Item = ClientKey> {
        let is_waiting = |key: ClientKey, client: &Client| {
            let lag = self.view(key, client).map_or(0, View::lag);
            !client.outbox.blocked && (lag > 0 || client.outbox.own_bytes() > 0)
        };
        self.clients.iter().filter(move |(key, client)| is_waiting(*key, client)).map(|(key, _)| key)
    }

    /// Clients that are in a channel. It looks at every client: for tests.
    pub fn subscribed(&self) -> impl Iterator<Item = ClientKey> {
        self.clients.iter().filter(|(_, client)| client.membership.is_some()).map(|(key, _)| key)
    }

    /// Counts anew what a client holds, after anything that may have changed it.
    fn recount(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            let held = client.held_bytes() as u32;
            self.retained.clients = self.retained.clients + u64::from(held) - u64::from(client.held);
            client.held = held;
        }
    }

    /// Checks what the fields promise between two turns, of every client and channel; for tests.
    ///
    /// # Panics
    /// If an invariant does not hold.
    pub fn check_invariants(&self) {
        self.subscriptions.check_invariants();
        self.homes.check_invariants();
        let (mut members, mut blocked, mut established, mut allowances) = (0, 0, 0, 0);
        for (key, client) in self.clients.iter() {
            if let Some(membership) = &client.membership {
                let channel = self.subscriptions.get(membership.channel).expect("a member's channel is open");
                assert_eq!(channel.subscribers().get(membership.slot.index()), Some(&key), "mirrored maps");
                assert!(membership.cursor <= channel.log.end(), "a cursor stays within its log");
                assert!(!client.outbox.is_sealed(), "a sealed client has left its log");
                members += 1;
            }
            client.outbox.check_invariants();
            blocked += usize::from(client.outbox.blocked);
            allowances += usize::from(client.allowance().is_some());
            established += u64::from(client.connection.is_established());
            assert_eq!(client.held as usize, client.held_bytes(), "what it holds was counted anew");
            assert_eq!(self.readable.contains(&key), client.inbox.listed, "listed to be read");
            assert_eq!(self.writable.contains(&key), client.outbox.listed, "listed to be written");
            assert_eq!(self.dying.contains(&key), client.dying, "listed to be freed");
            assert!(
                client.inbox.unread || !client.inbox.listed,
                "who is listed may have something to be read"
            );
            let is_to_be_read = client.inbox.unread && !client.dying && !client.connection.is_over();
            assert!(
                !is_to_be_read || client.inbox.listed || client.is_paused() || !self.drain.lets_publish(),
                "who may have something to be read is listed, or waits for something that lists it"
            );
            if let Some(until) = client.allowance().and_then(Allowance::paused_until) {
                assert!(
                    client.inbox.unread || client.connection.is_over(),
                    "who is paused has more to be read"
                );
                assert!(client.dying || client.scheduled <= until, "the end of a pause has its entry");
            }
            if let Some(credentials) = client.credentials() {
                assert!(
                    client.dying || client.scheduled <= credentials.look_at(),
                    "the end of a token has its entry"
                );
            }
            if let (Some(deadline), false) = (client.connection.deadline(), client.dying) {
                assert!(client.scheduled <= self.deadlines.instant(deadline), "a deadline has its entry");
            }
        }
        let subscribers: usize =
            self.subscriptions.iter().map(|(_, channel)| channel.subscribers().len()).sum();
        assert_eq!(members, subscribers, "nobody is subscribed twice, and nobody who is gone");
        let held: u64 = self.clients.iter().map(|(_, client)| u64::from(client.held)).sum();
        assert_eq!(self.retained.clients, held, "what clients hold is counted");
        let logs: u64 = self.subscriptions.iter().map(|(_, channel)| channel.log.held_bytes()).sum();
        assert_eq!(self.retained.logs, logs, "what logs hold is counted");
        assert_eq!(self.bytes_retained(), logs + held, "between turns nothing is open");
        assert_eq!(self.allowances, allowances, "who has an allowance is counted");
        assert_eq!(self.blocked, blocked, "whose socket has no room is counted");
        let (accepted, ended) = (self.counters.handshakes_accepted.get(), self.counters.closes.total());
        assert_eq!(accepted, ended + established, "a WebSocket ends once, with one code");
        assert!(self.answers.is_empty(), "a question is answered in its turn");
        let turned_away = self.clients.iter().filter(|(_, client)| client.turned_away).count();
        assert_eq!(self.turned_away, turned_away, "who is turned away is counted");
        assert!(turned_away <= limits::REFUSALS_MAX);
        assert!(self.replies.is_empty() && self.unidentified.is_empty());
        self.spares.check_invariants();
        self.laps.check_invariants(&self.subscriptions);
    }
}
