//! The network of the simulation: [`Net`] is one shard's sockets, each the server's end of a [`Wire`]. (The file is long because
//! every call of a socket stands here with all that it may fail with.)
//!
//! Readiness is edge-triggered as with epoll: a change of a wire is one edge, edges that nobody has fetched are one
//! event, and the event says what is true when it is fetched. A read that does not say that there may be more has taken
//! all there is, unless an end is among what has come. A short write is followed by an edge once the peer has taken
//! enough.

use crate::random::Random;
use crate::timers::Deeds;
use crate::wire::{Cut, Side, Wire};
use fanwire::hub::ClientKey;
use fanwire::limits::{self, Limits};
use fanwire::mesh::Wake;
use fanwire::shard::Carried;
use fanwire::turn::{Read, Ready, Sockets};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind, IoSlice, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

// Linux's numbers of errors.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EPIPE: i32 = 32;
const ENETDOWN: i32 = 100;
const ECONNABORTED: i32 = 103;
const ECONNRESET: i32 = 104;
const ENOBUFS: i32 = 105;
const ETIMEDOUT: i32 = 110;
const EHOSTUNREACH: i32 = 113;

/// What `accept` says when the process or the system has nothing left for another connection (accept(2)).
pub const SHORTAGES: [i32; 4] = [EMFILE, ENFILE, ENOBUFS, ENOMEM];

/// What it says of one connection that it takes out of the queue and does not give.
pub const REFUSALS: [i32; 5] = [ECONNABORTED, EPERM, ENETDOWN, ETIMEDOUT, EHOSTUNREACH];

/// What a read and a write say of a connection that is lost, or that the system has no memory for.
pub const READ_LOSSES: [i32; 5] = [ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM];
pub const WRITE_LOSSES: [i32; 6] = [EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM];

/// A flag instead of an eventfd: the scheduler looks at it.
#[derive(Clone, Debug, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

/// How a loop's latest wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    /// It has not waited since its latest turn.
    Awake,
    /// It sleeps until then, or for as long as it takes.
    Asleep { until_ms: Option<u64> },
}

/// One shard's sockets.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each said where it stands")]
pub struct Net {
    random: Random,
    /// Milliseconds since the start of the world; what the shard's clock shows is this, wrapped.
    pub clock_ms: u64,
    wires: Vec<Wire>,
    keys: BTreeMap<ClientKey, usize>,
    /// Keys that mean nothing any more.
    stale: Vec<ClientKey>,
    listeners: Vec<Listener>,
    flag: Flag,
    poll: Poll,
    /// Whether faults are injected: short writes, interruptions, late and spurious events.
    pub is_rough: bool,
    /// What every `accept` fails with, if it does, and leaves the connection in the queue.
    pub accept_error: Option<i32>,
    /// Bytes that one read or write takes at the most.
    pub bytes_per_call_max: usize,
    /// The most clients of whom none waits for a turn after the one that made what it is sent.
    pub prompt_clients_max: usize,
    /// Calls that got something done.
    pub deeds: u64,
    /// Turns in a row that did not wait, and then had nothing to do.
    pub idle_turns: u32,
    /// `deeds` when the latest turn began, if it began without having been woken.
    unprompted_at: Option<u64>,
    /// What clients may take their time for.
    limits: Limits,
    /// The time of the latest turn.
    turned_ms: u64,
    /// It came so late that the server may know that it stood still.
    was_stalled: bool,
    /// Bytes read and writes made in it.
    pub bytes_read_in_turn: usize,
    pub writes_in_turn: usize,
    /// The server was told to drain: clients are let go for another reason.
    pub is_draining: bool,
    /// Another process listens with the same sockets.
    pub has_successor: bool,
    /// Whether all who connect are trusted to say for whom they speak. They say nothing.
    pub are_proxies: bool,
    /// What the wires have come to.
    pub seen: Deeds,
}

#[derive(Debug, Default)]
struct Listener {
    queue: VecDeque<usize>,
    edge: bool,
}

impl Net {
    pub fn new(listeners: usize, flag: Flag, random: Random, clock_ms: u64, limits: Limits) -> Net {
        Net {
            random,
            clock_ms,
            wires: Vec::new(),
            keys: BTreeMap::new(),
            stale: Vec::new(),
            listeners: (0..listeners).map(|_| Listener::default()).collect(),
            flag,
            poll: Poll::Awake,
            is_rough: true,
            accept_error: None,
            bytes_per_call_max: usize::MAX,
            prompt_clients_max: 0,
            deeds: 0,
            idle_turns: 0,
            unprompted_at: None,
            limits,
            turned_ms: clock_ms,
            was_stalled: false,
            bytes_read_in_turn: 0,
            writes_in_turn: 0,
            is_draining: false,
            has_successor: false,
            are_proxies: false,
            seen: Deeds::new(),
        }
    }

    /// A client connects; the number of its wire.
    pub fn connect(&mut self, capacity: usize, cut: Option<Cut>, site: usize) -> usize {
        let address = self.address(site);
        self.wires.push(Wire { address, site, cut, ..Wire::new(capacity) });
        let wire = self.wires.len() - 1;
        match self.listeners.len() {
            0 => self.wires[wire].is_broken = true,
            listeners => {
                let listener = &mut self.listeners[self.random.below(listeners)];
                listener.queue.push_back(wire);
                listener.edge = true;
            }
        }
        wire
    }

    /// An address of a site: each has one of IPv4, which may come in the clothes of IPv6, or a network of IPv6.
    fn address(&mut self, site: usize) -> IpAddr {
        let address = Ipv4Addr::from(0x7f00_0001 + site as u32);
        match (site % 2, self.random.chance(50)) {
            (0, true) => address.into(),
            (0, false) => address.to_ipv6_mapped().into(),
            _ => {
                Ipv6Addr::from((0x2001_0db8_u128 << 32 | site as u128) << 64 | u128::from(self.random.next()))
                    .into()
            }
        }
    }

    pub fn wire(&mut self, number: usize) -> &mut Wire {
        &mut self.wires[number]
    }

    /// Whether a loop that called `wait` would come back from it.
    pub fn is_roused(&self) -> bool {
        match self.poll {
            Poll::Awake => true,
            Poll::Asleep { until_ms } => {
                self.is_called() || until_ms.is_some_and(|until| until <= self.clock_ms)
            }
        }
    }

    /// When a sleeping loop wakes by itself.
    pub fn sleeps_until(&self) -> Option<u64> {
        match self.poll {
            Poll::Awake => Some(self.clock_ms),
            Poll::Asleep { until_ms } => until_ms,
        }
    }

    /// Whether there is no connection, accepted or waiting for it.
    pub fn is_unused(&self) -> bool {
        self.keys.is_empty() && self.listeners.iter().all(|listener| listener.queue.is_empty())
    }

    /// The keys of the connections from one site.
    pub fn of_site(&self, site: usize) -> impl Iterator<Item = ClientKey> {
        self.keys.iter().filter(move |(_, wire)| self.wires[**wire].site == site).map(|(key, _)| *key)
    }

    /// The wires of those among `clients` that are connected.
    pub fn wires_of(&self, clients: &[ClientKey]) -> Vec<usize> {
        clients.iter().filter_map(|key| self.keys.get(key).copied()).collect()
    }

    /// Takes note of what a turn has come to. `may_read`: sockets were read in it; `may_leave_unread`: not all of those who
    /// would have been; `holding`: of whom something that was read is left for another turn; `waiting`: for whom there is
    /// something, and room in its socket.
    pub fn turned(
        &mut self,
        may_read: bool,
        may_leave_unread: bool,
        holding: &BTreeSet<ClientKey>,
        waiting: &BTreeSet<ClientKey>,
    ) {
        let was_idle = self.unprompted_at == Some(self.deeds) && holding.is_empty();
        self.idle_turns = if was_idle { self.idle_turns + 1 } else { 0 };
        // Whoever has come so far may have been written before it, and once more.
        let turns_max = 2 * self.wires.len() + 2;
        for (key, &wire) in &self.keys {
            let is_held = holding.contains(key);
            let wire = &mut self.wires[wire];
            if self.was_stalled {
                wire.watch.excused(self.turned_ms);
            }
            wire.watch.turned(may_read, may_leave_unread, is_held, self.turned_ms, &self.limits);
            wire.turns_waiting = if waiting.contains(key) { wire.turns_waiting + 1 } else { 0 };
            assert!(wire.turns_waiting <= turns_max, "who waits for us is written in time: {wire:?}");
        }
    }

    /// What a loop that goes to sleep must have done, and must wake for.
    pub fn check_sleep(&self) {
        let Poll::Asleep { until_ms } = self.poll else { return };
        if self.is_draining {
            return;
        }
        for wire in self.keys.values().map(|&wire| &self.wires[wire]).filter(|wire| !wire.is_broken) {
            let has_said_its_last = wire.watch.has_ended() && !wire.watch.awaits_answer();
            let is_shut = !has_said_its_last || wire.was_full || wire.down_ended;
            assert!(is_shut, "who has said its last shuts down its side: {wire:?}");
            let Some(due_ms) = wire.watch.due_ms(wire.was_full, &self.limits) else { continue };
            assert!(due_ms > self.turned_ms, "a deadline is acted on when it comes: {due_ms}, {wire:?}");
            let wakes = until_ms.is_some_and(|until_ms| until_ms <= due_ms);
            assert!(wakes, "a loop wakes for every deadline: {until_ms:?} for {due_ms}, {wire:?}");
        }
    }

    /// Whether what a turn makes is written in that turn: nobody is many, or has to wait for a fault.
    fn is_prompt(&self) -> bool {
        self.keys.len() <= self.prompt_clients_max
    }

    /// Wakes the loop for no reason.
    pub fn rouse(&self) {
        self.flag.wake();
    }

    fn is_called(&self) -> bool {
        self.flag.is_set()
            || self.listeners.iter().any(|listener| listener.edge)
            || self.keys.values().any(|&wire| self.wires[wire].edge)
    }

    fn roughly(&mut self, percent: usize) -> bool {
        self.is_rough && self.random.chance(percent)
    }

    fn wire_of(&mut self, client: ClientKey) -> io::Result<&mut Wire> {
        match self.keys.get(&client) {
            Some(&wire) => Ok(&mut self.wires[wire]),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn fetch_events(&mut self, ready: &mut Vec<Ready>) {
        for number in 0..self.listeners.len() {
            if self.listeners[number].edge && !self.roughly(10) {
                self.listeners[number].edge = false;
                ready.push(Ready::Listener(number));
            }
        }
        let keys: Vec<(ClientKey, usize)> = self.keys.iter().map(|(key, wire)| (*key, *wire)).collect();
        for (key, wire) in keys {
            // Once: what comes late again and again is a peer that is silent, as far as deadlines can tell.
            let is_late = !self.wires[wire].is_late && self.roughly(10);
            let is_due = self.wires[wire].edge && !is_late;
            self.wires[wire].is_late = is_late;
            if is_due || self.roughly(1) {
                self.wires[wire].edge &= !is_due;
                self.wires[wire].watch.told_of_bytes();
                let event = self.wires[wire].ready(key);
                if matches!(event, Ready::Client { ending: true, .. }) {
                    self.wires[wire].watch.told_of_end(self.clock_ms);
                }
                ready.push(event);
            }
            if self.roughly(1) {
                self.wires[wire].watch.told_of_bytes();
                ready.push(Ready::Client { key, readable: true, writable: true, ending: false });
            }
        }
        if !self.stale.is_empty() && self.roughly(5) {
            let key = self.random.pick(&self.stale);
            ready.push(Ready::Client { key, readable: true, writable: true, ending: true });
        }
        self.random.shuffle(ready);
    }
}

impl Sockets for Net {
    /// Where a real loop would sleep, this one fails with `WouldBlock`: the turn ends before it has begun, and is
    /// tried again when the loop [is roused](Net::is_roused).
    fn wait(&mut self, timeout_ms: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let is_called = self.is_called();
        let slept = self.poll != Poll::Awake;
        if !slept && !is_called && timeout_ms != Some(0) {
            // A loop waits as soon as its turn is over, whenever it is that we come to hear of it.
            self.poll = Poll::Asleep { until_ms: timeout_ms.map(|timeout| self.turned_ms + timeout) };
            return Err(ErrorKind::WouldBlock.into());
        }
        let due_ms = match self.poll {
            Poll::Awake => Some(self.turned_ms),
            Poll::Asleep { until_ms } => until_ms,
        };
        let stall_ms = u64::from(limits::STALL_MS);
        self.was_stalled = due_ms.is_some_and(|due_ms| due_ms + stall_ms <= self.clock_ms);
        self.poll = Poll::Awake;
        self.unprompted_at = (!slept && !is_called).then_some(self.deeds);
        self.flag.take();
        (self.turned_ms, self.bytes_read_in_turn, self.writes_in_turn) = (self.clock_ms, 0, 0);
        self.fetch_events(ready);
        Ok(())
    }

    fn micros(&mut self) -> u64 {
        self.clock_ms * 1000
    }

    fn unix_ms(&mut self) -> u64 {
        self.clock_ms
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<Option<IpAddr>> {
        assert!(!self.keys.contains_key(&key), "a key means one client");
        if self.roughly(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let refusal = self.roughly(2).then(|| self.random.pick(&REFUSALS));
        let Some(listener) = self.listeners.get_mut(listener) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let Some(&wire) = listener.queue.front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if let Some(error) = self.accept_error {
            return Err(io::Error::from_raw_os_error(error));
        }
        listener.queue.pop_front();
        self.deeds += 1;
        if let Some(error) = refusal
            && !self.wires[wire].is_smooth
        {
            self.wires[wire].lose(Side::Up);
            return Err(io::Error::from_raw_os_error(error));
        }
        if self.wires[wire].is_broken {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.wires[wire].key = Some(key);
        self.wires[wire].watch.accepted(self.clock_ms);
        // Registering finds what is there already.
        self.wires[wire].edge = true;
        self.keys.insert(key, wire);
        Ok((!self.are_proxies).then_some(self.wires[wire].address))
    }

    fn address(&mut self, client: ClientKey) -> Option<SocketAddr> {
        let wire = self.keys.get(&client)?;
        Some(SocketAddr::new(self.wires[*wire].address, 0))
    }

    fn is_trusted(&self, _proxy: IpAddr) -> bool {
        self.are_proxies
    }

    fn is_shared(&self, _listener: usize) -> bool {
        self.has_successor
    }

    fn hide_listeners(&mut self) {}

    fn close_listeners(&mut self) {
        for listener in self.listeners.drain(..) {
            for wire in listener.queue {
                self.wires[wire].is_broken = !self.has_successor;
            }
        }
    }

    fn read(&mut self, client: ClientKey, into: &mut [u8]) -> io::Result<Read> {
        if self.roughly(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.roughly(2) {
            // As TLS does with records that carry nothing.
            return Ok(Read::Bytes { bytes: 0, cost_bytes: 1, more: true });
        }
        // As TLS does with records that are not whole yet, or with more than fits.
        let (is_short, part) = (self.roughly(5), self.random.below(100));
        let (now_ms, bytes_max) = (self.clock_ms, self.bytes_per_call_max);
        let error = io::Error::from_raw_os_error(self.random.pick(&READ_LOSSES));
        let wire = self.wire_of(client)?;
        if wire.up.is_empty() && wire.is_broken {
            wire.watch.found_end();
            self.deeds += 1;
            return Err(error);
        }
        if wire.up.is_empty() && !wire.up_ended {
            wire.watch.found_nothing();
            return Err(ErrorKind::WouldBlock.into());
        }
        // A kernel gives all there is; a deque read once gives its first half.
        let mut read = into.len().min(wire.up.len());
        let is_short = is_short && read > 1 || read > bytes_max;
        if is_short {
            read = (read * part / 100).clamp(1, bytes_max);
        }
        wire.up.read_exact(&mut into[..read])?;
        wire.bytes_read += read as u64;
        if read == 0 {
            wire.watch.found_end();
        } else {
            let is_all = read < into.len() && !is_short && !wire.up_ended && !wire.is_broken;
            wire.watch.read(is_all, now_ms);
        }
        self.bytes_read_in_turn += read;
        self.deeds += 1;
        Ok(match read {
            0 => Read::End,
            bytes => Read::Bytes { bytes, cost_bytes: bytes, more: is_short || bytes == into.len() },
        })
    }

    fn write(&mut self, client: ClientKey, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.roughly(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        self.writes_in_turn += 1;
        let (is_short, part) = (self.roughly(5), self.random.below(100));
        let (is_prompt, now_ms, bytes_max) = (self.is_prompt(), self.clock_ms, self.bytes_per_call_max);
        let error = io::Error::from_raw_os_error(self.random.pick(&WRITE_LOSSES));
        let Some(&wire) = self.keys.get(&client) else { return Err(ErrorKind::NotConnected.into()) };
        let wire = &mut self.wires[wire];
        wire.turns_waiting = 0;
        let is_short = is_short && !wire.is_smooth;
        assert!(!wire.down_ended, "nothing is written after the write side was shut down");
        if wire.is_broken {
            wire.watch.found_end();
            self.deeds += 1;
            return Err(error);
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0 && slices.iter().all(|slice| !slice.is_empty()), "a write offers something");
        let mut room = wire.capacity - wire.down.len();
        if is_short && (room > 1 || !wire.down.is_empty()) {
            // Never so short that the client has nothing to take: there would be no reason for an edge.
            room = (room * part / 100).max(usize::from(wire.down.is_empty()));
        }
        let taken = offered.min(room).min(bytes_max);
        if taken < offered {
            wire.no_space = true;
            wire.was_full = true;
        }
        let mut left = taken;
        for slice in slices {
            let part = slice.len().min(left);
            let carried = wire.carry(&slice[..part]);
            let is_prompt = is_prompt && !wire.was_full;
            wire.watch.wrote(&slice[..carried], is_prompt, now_ms, &self.limits, &mut self.seen);
            left -= part;
        }
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.deeds += 1;
        Ok(taken)
    }

    fn shutdown_write(&mut self, client: ClientKey) {
        self.deeds += 1;
        if let Ok(wire) = self.wire_of(client) {
            assert!(!wire.down_ended, "a write side is shut down once");
            wire.down_ended = true;
        }
    }

    fn carried(&mut self, _client: ClientKey) -> Carried {
        Carried::default()
    }

    fn close(&mut self, client: ClientKey) {
        self.deeds += 1;
        let is_prompt = self.is_prompt() && !self.is_draining;
        let Some(number) = self.keys.remove(&client) else { panic!("{client:?} is closed once") };
        let wire = &mut self.wires[number];
        if !wire.is_broken {
            wire.watch.dropped(is_prompt && !wire.was_full, self.turned_ms, &self.limits, &mut self.seen);
        }
        wire.key = None;
        wire.is_closed = true;
        wire.down_ended = true;
        if !wire.up.is_empty() {
            // What was not read is answered by a reset, which may overtake what was written.
            wire.is_broken = true;
            let kept = self.random.below(wire.down.len() + 1);
            wire.down.truncate(kept);
        }
        self.stale.push(client);
    }
}
