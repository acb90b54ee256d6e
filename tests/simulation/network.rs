//! The network of the simulation: a [`Wire`] is one TCP connection in memory, [`Net`] is one shard's sockets.
//!
//! Readiness is edge-triggered as with epoll: a change of a wire is one edge, edges that nobody has fetched are one
//! event, and the event says what is true when it is fetched. A read takes all there is, so that a short one means
//! "drained" unless an end is among what has come; that is what a kernel promises. A short write is followed by an
//! edge once the peer has taken enough.

use crate::random::Random;
use fanwire::hub::ClientKey;
use fanwire::mesh::Wake;
use fanwire::protocol::Time;
use fanwire::turn::{Ready, Sockets};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Linux's number of "too many open files".
const EMFILE: i32 = 24;

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

/// One TCP connection, from its client's connect on.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a kernel knows as many independent facts of a socket")]
pub struct Wire {
    /// Bytes that a direction holds.
    capacity: usize,
    /// From the client, not yet read.
    up: VecDeque<u8>,
    /// Nothing will follow in `up`.
    up_ended: bool,
    /// From the server, not yet read.
    down: VecDeque<u8>,
    /// Nothing will follow in `down`.
    down_ended: bool,
    /// A reset came.
    pub is_broken: bool,
    /// The server has closed its socket.
    pub is_closed: bool,
    /// The server's name for it, from accept to close.
    pub key: Option<ClientKey>,
    /// Something has changed since the latest event.
    edge: bool,
    /// The latest write was short.
    no_space: bool,
    /// A write was short at some time.
    pub was_full: bool,
    /// Bytes that the server has read.
    pub bytes_read: u64,
}

impl Wire {
    fn new(capacity: usize) -> Wire {
        Wire {
            capacity,
            up: VecDeque::new(),
            up_ended: false,
            down: VecDeque::new(),
            down_ended: false,
            is_broken: false,
            is_closed: false,
            key: None,
            edge: false,
            no_space: false,
            was_full: false,
            bytes_read: 0,
        }
    }

    // ---- The client's end -------------------------------------------------------------------------------------------

    /// Takes at most `max` bytes that the server wrote.
    pub fn receive(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; max.min(self.down.len())];
        self.down.read_exact(&mut bytes).expect("it holds that many");
        if self.no_space && !bytes.is_empty() && self.has_room() {
            self.no_space = false;
            self.edge = true;
        }
        bytes
    }

    /// Sends as much as there is room for; how much that was.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if self.is_closed && !bytes.is_empty() {
            self.is_broken = true;
        }
        if self.is_broken || self.up_ended {
            return 0;
        }
        let sent = bytes.len().min(self.capacity - self.up.len());
        self.up.extend(&bytes[..sent]);
        self.edge |= sent > 0;
        sent
    }

    /// Whether nothing more can be received.
    pub fn is_at_end(&self) -> bool {
        self.down.is_empty() && (self.down_ended || self.is_broken)
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self) {
        if !self.up_ended {
            self.up_ended = true;
            self.edge = true;
        }
    }

    /// The connection is lost.
    pub fn reset(&mut self) {
        self.is_broken = true;
        self.edge = true;
    }

    /// The server has not noticed that the client's end came, though it could have.
    pub fn hides_its_end(&self) -> bool {
        self.key.is_some() && (self.up_ended || self.is_broken) && !self.was_full
    }

    /// Whether the server is told that it can write: not for every byte of room.
    fn has_room(&self) -> bool {
        3 * (self.capacity - self.down.len()) >= self.capacity
    }

    /// What an event would say of it.
    fn ready(&self, key: ClientKey) -> Ready {
        let ending = self.up_ended || self.is_broken;
        Ready::Client {
            key,
            readable: ending || !self.up.is_empty(),
            writable: self.is_broken || (!self.no_space && self.has_room()),
            ending,
        }
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
    /// Whether the process has descriptors left.
    pub has_descriptors: bool,
    /// Calls that got something done.
    pub deeds: u64,
    /// Turns in a row that did not wait, and then had nothing to do.
    pub idle_turns: u32,
    /// `deeds` when the latest turn began, if it began without having been woken.
    unprompted_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Listener {
    queue: VecDeque<usize>,
    edge: bool,
}

impl Net {
    pub fn new(listeners: usize, flag: Flag, random: Random, clock_ms: u64) -> Net {
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
            has_descriptors: true,
            deeds: 0,
            idle_turns: 0,
            unprompted_at: None,
        }
    }

    /// A client connects; the number of its wire.
    pub fn connect(&mut self, capacity: usize) -> usize {
        self.wires.push(Wire::new(capacity));
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

    /// Takes note of what a turn has come to.
    pub fn turned(&mut self) {
        let was_idle = self.unprompted_at == Some(self.deeds);
        self.idle_turns = if was_idle { self.idle_turns + 1 } else { 0 };
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
            let is_due = self.wires[wire].edge && !self.roughly(10);
            if is_due || self.roughly(1) {
                self.wires[wire].edge &= !is_due;
                ready.push(self.wires[wire].ready(key));
            }
            if self.roughly(1) {
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
            self.poll = Poll::Asleep { until_ms: timeout_ms.map(|timeout| self.clock_ms + timeout) };
            return Err(ErrorKind::WouldBlock.into());
        }
        self.poll = Poll::Awake;
        self.unprompted_at = (!slept && !is_called).then_some(self.deeds);
        self.flag.take();
        self.fetch_events(ready);
        Ok(())
    }

    fn now(&mut self) -> Time {
        Time(self.clock_ms as u32)
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<()> {
        assert!(!self.keys.contains_key(&key), "a key means one client");
        let Some(listener) = self.listeners.get_mut(listener) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let Some(&wire) = listener.queue.front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if !self.has_descriptors {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        listener.queue.pop_front();
        self.deeds += 1;
        if self.wires[wire].is_broken {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.wires[wire].key = Some(key);
        // Registering finds what is there already.
        self.wires[wire].edge = true;
        self.keys.insert(key, wire);
        Ok(())
    }

    fn close_listeners(&mut self) {
        for listener in self.listeners.drain(..) {
            for wire in listener.queue {
                self.wires[wire].is_broken = true;
            }
        }
    }

    fn read(&mut self, client: ClientKey, into: &mut [u8]) -> io::Result<usize> {
        if self.roughly(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let wire = self.wire_of(client)?;
        if wire.up.is_empty() && wire.is_broken {
            self.deeds += 1;
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.up.is_empty() && !wire.up_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        // A kernel gives all there is; a deque read once gives its first half.
        let read = into.len().min(wire.up.len());
        wire.up.read_exact(&mut into[..read])?;
        wire.bytes_read += read as u64;
        self.deeds += 1;
        Ok(read)
    }

    fn write(&mut self, client: ClientKey, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.roughly(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let (is_short, part) = (self.roughly(5), self.random.below(100));
        let wire = self.wire_of(client)?;
        assert!(!wire.down_ended, "nothing is written after the write side was shut down");
        if wire.is_broken {
            self.deeds += 1;
            return Err(ErrorKind::ConnectionReset.into());
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0 && slices.iter().all(|slice| !slice.is_empty()), "a write offers something");
        let mut room = wire.capacity - wire.down.len();
        if is_short && (room > 1 || !wire.down.is_empty()) {
            // Never so short that the client has nothing to take: there would be no reason for an edge.
            room = (room * part / 100).max(usize::from(wire.down.is_empty()));
        }
        let taken = offered.min(room);
        let mut left = taken;
        for slice in slices {
            let part = slice.len().min(left);
            wire.down.extend(&slice[..part]);
            left -= part;
        }
        if taken < offered {
            wire.no_space = true;
            wire.was_full = true;
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

    fn close(&mut self, client: ClientKey) {
        self.deeds += 1;
        let Some(number) = self.keys.remove(&client) else { panic!("{client:?} is closed once") };
        let wire = &mut self.wires[number];
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
