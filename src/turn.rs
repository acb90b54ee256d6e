//! One turn of the loop: `wait, accept, read, collect_mail, expire, relieve, seal, post, flush, reap`.
//!
//! Generic over [`Sockets`], so that the simulation runs the very code that the server runs. What is done in a turn is
//! done at one time, that of the wait's end; the clock is read besides only to know how long things took. Bytes leave
//! only in *flush*; clients die only in *reap*.
//!
//! Sockets are edge-triggered: an event only lists what is to be done, and what is listed stays so until the socket
//! has said that it is drained or full.

mod forwarded;
mod identity;
mod peers;
mod sockets;

pub(crate) use identity::ForPeople;
pub use sockets::{Read, Ready, Sockets};

use crate::hub::ClientKey;
use crate::limits;
use crate::mesh::{Address, Mesh, Post, Wake};
use crate::protocol::Time;
use crate::shard::mail::{Answer, Order};
use crate::shard::{Full, Shard, Slices};
use peers::Peers;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There will be another turn.
    Serving,
    /// The drain is over, and nobody is left.
    Drained,
}

/// Writes after which the clock is read, so that it is known how long deliveries took.
const WRITES_PER_LOOK: u32 = 32;

/// A shard with its sockets and its place in the mesh.
pub struct EventLoop<S, W> {
    shard: Shard,
    sockets: S,
    mesh: Arc<Mesh<W>>,
    /// Listeners whose queues may hold connections.
    pending: Vec<usize>,
    /// Accepting is tried again then: the process had no descriptors or buffers left.
    accept_retry: Option<Time>,
    /// The latest accept failed for want of them, and that was said.
    is_accepting_short: bool,
    peers: Peers,
    /// What the mesh knows of our fan-out.
    is_ahead: bool,
    /// When this turn began, in microseconds.
    turn_us: u64,
    /// The same in milliseconds.
    now: Time,
    scratch: Vec<u8>,
    ready: Vec<Ready>,
    post: Post,
}

impl<S: Sockets, W: Wake> EventLoop<S, W> {
    /// A loop whose first turn is to come. Listeners may have connections already.
    pub fn new(shard: Shard, sockets: S, mesh: Arc<Mesh<W>>) -> EventLoop<S, W> {
        let mut event_loop = EventLoop {
            pending: (0..sockets.listeners()).collect(),
            accept_retry: None,
            is_accepting_short: false,
            peers: Peers::default(),
            is_ahead: false,
            turn_us: 0,
            now: Time(0),
            scratch: vec![0; limits::SCRATCH_BYTES],
            ready: Vec::new(),
            post: Post::default(),
            shard,
            sockets,
            mesh,
        };
        event_loop.look_at_the_clock();
        event_loop
    }

    /// The shard, for those who check it from outside.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The sockets, for those who made them up.
    pub fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// One turn.
    ///
    /// # Errors
    /// If events can no longer be had.
    pub fn turn(&mut self) -> io::Result<Progress> {
        self.wait()?;
        self.accept();
        self.read();
        self.collect_mail();
        self.shard.expire(self.now);
        self.relieve();
        self.shard.seal();
        self.note_ahead();
        self.post();
        self.flush();
        self.reap();
        self.note_ahead();
        let end_us = self.sockets.micros();
        self.shard.note_deliveries(end_us);
        self.shard.counters().turn.record(end_us.saturating_sub(self.turn_us), 1);
        let held = self.shard.gauge();
        self.mesh.note_held(self.shard.id(), held);
        if !self.shard.is_drained() {
            return Ok(Progress::Serving);
        }
        self.retire();
        Ok(Progress::Drained)
    }

    /// Answers what was asked in the last moment. Who asks later is told that nobody is here.
    fn retire(&mut self) {
        for order in self.mesh.close(self.shard.id()) {
            if let Order::Ask(ticket, question) = order {
                self.shard.ask(ticket, question, self.now);
            }
        }
        self.post();
    }

    fn look_at_the_clock(&mut self) {
        self.turn_us = self.sockets.micros();
        self.now = Time((self.turn_us / 1000) as u32);
        if self.shard.uses_tokens() {
            self.shard.tell_unix_ms(self.sockets.unix_ms());
        }
        self.shard.begin_turn(self.turn_us);
    }

    fn wait(&mut self) -> io::Result<()> {
        let timeout_ms = if self.shard.has_work(self.mesh.may_read()) || self.can_accept() {
            Some(0)
        } else {
            let retry_ms = self
                .accept_retry
                .map(|retry| if self.now.reached(retry) { 0 } else { u64::from(retry.since(self.now)) });
            [self.shard.ms_to_next_deadline(), retry_ms].into_iter().flatten().min()
        };
        self.ready.clear();
        self.sockets.wait(timeout_ms, &mut self.ready)?;
        self.look_at_the_clock();
        for &ready in &self.ready {
            match ready {
                Ready::Listener(listener) if self.pending.contains(&listener) => {}
                Ready::Listener(listener) => self.pending.push(listener),
                Ready::Client { key, readable, writable, ending } => {
                    if writable {
                        self.shard.unblock(key);
                    }
                    if readable || ending {
                        self.shard.list_readable(key, ending);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether accepting could get anywhere at once.
    fn can_accept(&self) -> bool {
        !self.pending.is_empty()
            && self.accept_retry.is_none()
            && (self.mesh.has_room() || self.shard.may_turn_away())
    }

    fn accept(&mut self) {
        if self.accept_retry.is_some_and(|retry| self.now.reached(retry)) {
            self.accept_retry = None;
        }
        for _ in 0..self.pending.len() {
            if !self.can_accept() {
                return;
            }
            let listener = self.pending.remove(0);
            if self.accept_some(listener) {
                self.pending.push(listener);
            }
        }
    }

    /// Accepts from one listener; whether its queue may hold more.
    fn accept_some(&mut self, listener: usize) -> bool {
        let mut failures = 0;
        for _ in 0..limits::ACCEPTS_PER_TURN_MAX {
            if !self.mesh.has_room() && !self.shard.may_turn_away() {
                return true;
            }
            let key = self.shard.next_key();
            match self.sockets.accept(listener, key) {
                Ok(peer) => self.let_in(key, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if concerns_one_connection(&error) => {
                    failures += 1;
                    if failures == limits::ACCEPTS_PER_TURN_MAX {
                        // It is about all of them: a security module, say, leaves in the queue what it forbids to take.
                        self.pause_accepting(&error);
                    }
                }
                Err(error) => {
                    self.pause_accepting(&error);
                    return true;
                }
            }
        }
        true
    }

    /// A connection is there, and takes its places; or it is told why there is none; or it is closed at once, if nobody
    /// more can be told: it must not stand in the kernel's queue before those who could come in.
    ///
    /// Who speaks for somebody else takes the place of that one's address when it is known.
    fn let_in(&mut self, key: ClientKey, peer: Option<IpAddr>) {
        let is_limited = self.mesh.connections_per_address_max() > 0;
        let address = peer.filter(|_| is_limited).map(Address::from);
        let admitted = match address {
            Some(address) => self.admit_address(address).and_then(|()| self.mesh.admit()),
            None => self.mesh.admit(),
        };
        match (admitted, address) {
            (Ok(()), address) => {
                self.is_accepting_short = false;
                if let Some(address) = address {
                    self.peers.note(key, address);
                }
                match peer {
                    Some(_) => self.shard.connect(self.now),
                    None => self.shard.connect_proxy(self.now),
                };
                return;
            }
            (Err(Full::Connections | Full::Memory), Some(address)) => self.mesh.release_address(address),
            (Err(_), _) => {}
        }
        if let Err(why) = admitted
            && self.shard.may_turn_away()
        {
            self.shard.turn_away(why, self.now);
        } else {
            self.sockets.close(key);
        }
    }

    /// The process has no descriptors or buffers left, or may not accept. Those who are in go on; accepting waits.
    fn pause_accepting(&mut self, error: &io::Error) {
        self.shard.counters().accept_pauses.add(1);
        if !std::mem::replace(&mut self.is_accepting_short, true) {
            tracing::warn!(%error, retry_ms = limits::ACCEPT_RETRY_MS, "cannot accept connections; if it is for \
                want of descriptors, raise the limit of open files (ulimit -n) or lower --max-connections");
        }
        self.accept_retry = Some(self.now.plus(limits::ACCEPT_RETRY_MS));
    }

    fn read(&mut self) {
        let mut budget_bytes = self.shard.read_budget_bytes();
        // Those who are listed again while we read wait for the next turn.
        for _ in 0..self.shard.listed_to_read() {
            if budget_bytes == 0 || !self.mesh.may_read() {
                return;
            }
            let Some(key) = self.shard.next_to_read() else { return };
            if let Some(came_to) = self.shard.receive_held(key, budget_bytes, self.now) {
                budget_bytes = budget_bytes.saturating_sub(came_to);
                budget_bytes = budget_bytes.saturating_sub(self.identify());
                continue;
            }
            let room = self.shard.room_to_read(key, self.scratch.len().min(budget_bytes), self.now);
            if room == 0 {
                continue;
            }
            let (bytes, cost_bytes, more) = match self.sockets.read(key, &mut self.scratch[..room]) {
                Ok(Read::Bytes { bytes, cost_bytes, more }) => (bytes, cost_bytes, more),
                Ok(Read::Announced { source, bytes, cost_bytes }) => {
                    if let Some(source) = source {
                        self.announced(key, source);
                    }
                    (bytes, cost_bytes, true)
                }
                Ok(Read::End) => {
                    self.shard.receive_eof(key, self.now);
                    continue;
                }
                Err(error) => {
                    match error.kind() {
                        ErrorKind::WouldBlock => self.shard.drained(key),
                        ErrorKind::Interrupted => self.shard.list_readable(key, false),
                        _ => self.shard.lose(key, self.now),
                    }
                    continue;
                }
            };
            let bytes = &mut self.scratch[..bytes];
            let came_to = self.shard.receive(key, bytes, more, budget_bytes, self.now);
            budget_bytes = budget_bytes.saturating_sub(cost_bytes.max(came_to));
            budget_bytes = budget_bytes.saturating_sub(self.identify());
        }
    }

    fn collect_mail(&mut self) {
        let bytes = self.mesh.collect(self.shard.id(), &mut self.post);
        self.shard.counters().mailbox_bytes.set(bytes as u64);
        for batch in self.post.batches.drain(..) {
            self.shard.collect(batch, self.now);
        }
        let mut ordered_spread_ms = None;
        for order in self.post.orders.drain(..) {
            match order {
                Order::Announce => self.shard.announce_drain(),
                Order::Drain { spread_ms } => ordered_spread_ms = Some(spread_ms),
                Order::Check => self.shard.counters().checks_answered.add(1),
                Order::Ask(ticket, question) => self.shard.ask(ticket, question, self.now),
                Order::Reconfigure(config, keys) => {
                    self.sockets.reconfigure(&config);
                    self.shard.reconfigure(config);
                    self.shard.change_keys(keys);
                }
            }
        }
        if let Some(spread_ms) = ordered_spread_ms {
            self.stop_listening();
            self.shard.drain(spread_ms, self.now);
        }
    }

    /// Takes what the listeners' queues hold, unless others do, and closes them.
    fn stop_listening(&mut self) {
        self.sockets.hide_listeners();
        for listener in 0..self.sockets.listeners() {
            if self.sockets.is_shared(listener) {
                continue;
            }
            while self.accept_some(listener) && self.accept_retry.is_none() && self.shard.may_turn_away() {}
        }
        self.pending.clear();
        self.accept_retry = None;
        self.sockets.close_listeners();
    }

    /// Lets go of what is too much, if this shard holds most of it.
    fn relieve(&mut self) {
        self.mesh.note_held(self.shard.id(), self.shard.held());
        if !self.mesh.has_memory() {
            self.shard.spare_nothing();
            self.mesh.note_held(self.shard.id(), self.shard.held());
        }
        if let Some(excess_bytes) = self.mesh.excess(self.shard.id()) {
            let sockets = &mut self.sockets;
            self.shard.shed(excess_bytes, |key| sockets.carried(key), self.now);
        }
    }

    fn post(&mut self) {
        while let Some((to, batch)) = self.shard.take_mail() {
            self.mesh.post(to, batch);
        }
        // Behind the mail: who hears that something was published finds it with every shard.
        while let Some(mut answered) = self.shard.take_answer() {
            match &mut answered.answer {
                Answer::Client(Some(client)) => client.address = self.address(client.id.client),
                Answer::Clients { clients, .. } => {
                    for client in clients {
                        client.address = self.address(client.id.client);
                    }
                }
                _ => {}
            }
            self.mesh.answer(answered);
        }
    }

    /// Tells the mesh if our fan-out has fallen behind or has caught up.
    fn note_ahead(&mut self) {
        if self.is_ahead != self.shard.is_ahead() {
            self.is_ahead = !self.is_ahead;
            self.mesh.note_ahead(self.is_ahead);
        }
    }

    fn flush(&mut self) {
        self.shard.begin_flush();
        let mut writes = 0;
        while let Some(key) = self.shard.next_to_write(self.now) {
            let mut slices = Slices::new();
            let plan = self.shard.unwritten(key, &mut slices);
            let taken = if slices.is_empty() { Ok(0) } else { self.sockets.write(key, &slices) };
            drop(slices);
            writes += 1;
            if writes % WRITES_PER_LOOK == 0 {
                self.shard.note_deliveries(self.sockets.micros());
            }
            match taken {
                Ok(taken) => self.shard.written(key, plan, taken, self.now),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => self.shard.written(key, plan, 0, self.now),
                    ErrorKind::Interrupted => self.shard.list_writable(key),
                    // ENOBUFS and ENOMEM too. Linux's TCP does not say them, it waits for memory as for room (send(2));
                    // where a system does, no edge tells when to try again, and a client that is lost can come back.
                    _ => self.shard.lose(key, self.now),
                },
            }
        }
        while let Some(key) = self.shard.next_to_shut_down() {
            self.sockets.shutdown_write(key);
        }
    }

    fn reap(&mut self) {
        while let Some(key) = self.shard.next_dead() {
            self.sockets.close(key);
            if !self.shard.is_turned_away(key) {
                self.mesh.release();
            }
            if let Some(address) = self.peers.forget(key) {
                self.mesh.release_address(address);
            }
            self.shard.forget(key);
            // A descriptor is free again.
            self.accept_retry = None;
        }
    }
}

/// Whether an error of `accept` is about the one connection that was taken, and the next may be well (accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
    )
}
