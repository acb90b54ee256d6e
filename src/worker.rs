//! A worker: one thread with one shard, its sockets on mio, the only clock and the only system calls of the data
//! plane.

use crate::hub::{ClientKey, Origin, ShardId};
use crate::limits;
use crate::mesh::{Mesh, Wake};
use crate::metrics::Counters;
use crate::net::Received;
use crate::net::tls::{Buffers, Handshake, Tls};
use crate::net::transport::Transport;
use crate::protocol::Time;
use crate::shard::{Carried, Shard};
use crate::turn::{EventLoop, Progress, Read, Ready, Sockets};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConfig;
use std::io::{self, ErrorKind, IoSlice};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// The waker's token; listeners count down from the one before it, clients up from 0.
const WAKER: Token = Token(usize::MAX);

const _: () = assert!(usize::BITS >= 64, "a client's key must fit a token");

impl Wake for Waker {
    fn wake(&self) {
        // It fails only if the worker's poll is gone, and then nobody is left to be woken.
        drop(Waker::wake(self));
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The socket.
    pub(crate) socket: std::net::TcpListener,
    /// How TLS is spoken on its connections, if it is.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Its queue is another process's too.
    pub(crate) is_shared: bool,
}

/// The same, registered.
struct Door {
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    is_shared: bool,
}

/// What all workers of a server have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    /// Time counts from here.
    pub(crate) started: Instant,
    /// Milliseconds from accept within which the handshakes must be complete; 0 is off.
    pub(crate) handshake_timeout_ms: u32,
    /// There is more than one worker.
    pub(crate) is_among_many: bool,
}

/// The sockets of one worker.
pub(crate) struct Worker {
    id: ShardId,
    common: Common,
    counters: Arc<Counters>,
    poll: Poll,
    events: Events,
    listeners: Vec<Door>,
    /// By the index of their clients' keys.
    transports: Vec<Option<Transport>>,
    /// Clients whose writes were short without their sockets being full: the next wait says that they have room, and
    /// does not sleep.
    writable: Vec<ClientKey>,
    /// What TLS works in.
    buffers: Buffers,
    /// What `micros` has answered last.
    now: Time,
}

/// Where there are many clients, each costs so much here. (With debug assertions mio remembers more.)
const _: () = assert!(
    cfg!(debug_assertions) || size_of::<Option<Transport>>() <= 16,
    "a client in plaintext owns nothing but its descriptor"
);

impl Worker {
    /// The worker of shard `id`, with these listeners. The waker ends its sleep.
    ///
    /// # Errors
    /// If the system has no room for another poll.
    pub(crate) fn new(
        id: ShardId,
        listeners: Vec<Listener>,
        counters: Arc<Counters>,
        common: Common,
    ) -> io::Result<(Worker, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let door = |Listener { socket, tls, is_shared }| {
            let socket = TcpListener::from_std(socket);
            Door { socket, tls, is_shared }
        };
        let mut listeners: Vec<Door> = listeners.into_iter().map(door).collect();
        for (number, door) in listeners.iter_mut().enumerate() {
            poll.registry().register(&mut door.socket, listener_token(number), Interest::READABLE)?;
        }
        let worker = Worker {
            id,
            common,
            counters,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            listeners,
            transports: Vec::new(),
            writable: Vec::new(),
            buffers: Buffers::default(),
            now: Time(0),
        };
        Ok((worker, waker))
    }

    /// Serves until the drain is over.
    ///
    /// # Errors
    /// If events can no longer be had.
    pub(crate) fn run(self, shard: Shard, mesh: Arc<Mesh<Waker>>) -> io::Result<()> {
        let mut event_loop = EventLoop::new(shard, self, mesh);
        while event_loop.turn()? == Progress::Serving {}
        Ok(())
    }

    /// Does something with a client's transport, and counts what TLS has come to by it.
    fn with_transport<T>(
        &mut self,
        client: ClientKey,
        act: impl FnOnce(&mut Transport, &mut Buffers) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(transport) = self.transports.get_mut(client.index as usize).and_then(Option::as_mut) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let before = transport.tls().map(|tls| tls.handshake());
        let result = act(transport, &mut self.buffers);
        if let Some(before) = before {
            self.note_tls(client, before);
        }
        result
    }

    /// Counts what TLS has come to.
    fn note_tls(&mut self, client: ClientKey, before: Handshake) {
        let Some(tls) = self.tls(client) else { return };
        let (held_before, held_bytes) = tls.recount();
        let (failure, handshake) = (tls.take_failure(), tls.handshake());
        let counters = &self.counters;
        let others = counters.tls_bytes_held.get() - held_before as u64;
        counters.tls_bytes_held.set(others + held_bytes as u64);
        let name = Origin { shard: self.id, client };
        if let Some(error) = failure {
            tracing::debug!(client = %name, %error, "TLS failed");
        }
        if handshake == before {
            return;
        }
        match handshake {
            Handshake::Completed { resumed } => {
                counters.tls_handshakes_completed.add(1);
                counters.tls_sessions_resumed.add(u64::from(resumed));
                // What was to be written before has waited for this.
                self.writable.push(client);
            }
            Handshake::Failed => counters.tls_handshakes_failed.add(1),
            Handshake::Plaintext => {
                tracing::debug!(client = %name, "plain HTTP on a port that speaks TLS");
                counters.tls_plaintext_requests.add(1);
            }
            Handshake::Pending => {}
        }
    }

    /// A client's TLS, if it is spoken.
    fn tls(&mut self, client: ClientKey) -> Option<&mut Tls<TcpStream>> {
        self.transports.get_mut(client.index as usize)?.as_mut()?.tls()
    }

    /// Whether a client that is still in its TLS handshake has had its time.
    fn is_too_late(&mut self, client: ClientKey) -> bool {
        let (now, timeout_ms) = (self.now, self.common.handshake_timeout_ms);
        self.tls(client).is_some_and(|tls| {
            tls.handshake() == Handshake::Pending
                && timeout_ms > 0
                && now.reached(Time(tls.accepted_ms()).plus(timeout_ms))
        })
    }
}

fn listener_token(number: usize) -> Token {
    Token(WAKER.0 - 1 - number)
}

fn client_token(client: ClientKey) -> Token {
    Token((client.generation as usize) << 32 | client.index as usize)
}

impl Sockets for Worker {
    fn wait(&mut self, timeout_ms: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout_ms = if self.writable.is_empty() { timeout_ms } else { Some(0) };
        if timeout_ms == Some(0) && self.common.is_among_many {
            // Where workers share a core, another may have mail from us, whose answer is worth more than our next turn.
            // It has that core now, and not when the scheduler takes it from us, milliseconds later.
            thread::yield_now();
        }
        match self.poll.poll(&mut self.events, timeout_ms.map(Duration::from_millis)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let listeners = self.listeners.len();
        ready.extend(self.events.iter().filter_map(|event| match event.token() {
            WAKER => None,
            token if WAKER.0 - token.0 <= listeners => Some(Ready::Listener(WAKER.0 - 1 - token.0)),
            Token(token) => Some(Ready::Client {
                key: ClientKey { index: token as u32, generation: (token >> 32) as u32 },
                readable: event.is_readable(),
                writable: event.is_writable(),
                ending: event.is_read_closed() || event.is_error(),
            }),
        }));
        // What waits as ciphertext goes first: the shard hears of room only when that is out.
        for ready in ready.iter_mut() {
            if let Ready::Client { key, writable: writable @ true, ending, .. } = ready {
                let flushed = self.with_transport(*key, |transport, _| transport.flush());
                // What it died of is for the reader to find; or for the writer, if it is not read because its answers wait.
                *writable = !matches!(flushed, Ok(false));
                *ending |= flushed.is_err();
            }
        }
        ready.extend(self.writable.drain(..).map(|key| Ready::Client {
            key,
            readable: false,
            writable: true,
            ending: false,
        }));
        Ok(())
    }

    fn micros(&mut self) -> u64 {
        let micros = self.common.started.elapsed().as_micros() as u64;
        self.now = Time((micros / 1000) as u32);
        micros
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<IpAddr> {
        let Some(Door { socket, tls, .. }) = self.listeners.get(listener) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let (stream, peer) = socket.accept()?;
        let mut transport = Transport::new(stream, tls.as_ref(), self.now.0)?;
        transport.register(self.poll.registry(), client_token(key))?;
        tracing::debug!(client = %Origin { shard: self.id, client: key }, %peer, "accepted");
        let index = key.index as usize;
        if index >= self.transports.len() {
            self.transports.resize_with(index + 1, || None);
        }
        self.transports[index] = Some(transport);
        if tls.is_some() {
            self.counters.tls_connections_open.set(self.counters.tls_connections_open.get() + 1);
        }
        Ok(peer.ip())
    }

    fn peer(&mut self, client: ClientKey) -> Option<String> {
        let transport = self.transports.get_mut(client.index as usize)?.as_mut()?;
        transport.peer().ok().map(|peer| peer.to_string())
    }

    fn is_shared(&self, listener: usize) -> bool {
        self.listeners.get(listener).is_some_and(|door| door.is_shared)
    }

    fn close_listeners(&mut self) {
        for door in &mut self.listeners {
            // A socket that was passed to us stays open with others: closing ours would not end its events. If it cannot be
            // taken out they are in vain, and harm nobody.
            drop(self.poll.registry().deregister(&mut door.socket));
        }
        self.listeners.clear();
    }

    fn read(&mut self, client: ClientKey, into: &mut [u8]) -> io::Result<Read> {
        self.with_transport(client, |transport, buffers| transport.read(into, buffers)).map(|received| {
            match received {
                Received::End => Read::End,
                Received::Bytes { bytes, cost_bytes, more } => Read::Bytes { bytes, cost_bytes, more },
            }
        })
    }

    fn write(&mut self, client: ClientKey, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_too_late(client) {
            // It is told so as soon as TLS is spoken, and that has not come in time.
            return Err(ErrorKind::TimedOut.into());
        }
        let (taken, is_owed) = self.with_transport(client, |transport, buffers| {
            let taken = transport.write(slices, buffers)?;
            Ok((taken, transport.tls().is_some() && taken >= limits::TLS_WRITE_BYTES_MAX))
        })?;
        if is_owed {
            // It ended at that bound, and not for want of room.
            self.writable.push(client);
        }
        Ok(taken)
    }

    fn shutdown_write(&mut self, client: ClientKey) {
        // Who is gone needs no telling.
        drop(self.with_transport(client, |transport, buffers| {
            transport.shutdown_write(buffers);
            Ok(())
        }));
    }

    fn carried(&mut self, client: ClientKey) -> Carried {
        self.tls(client).map_or_else(Carried::default, |tls| Carried {
            bytes: tls.held_bytes() as u64,
            is_stuck: tls.has_unsent(),
        })
    }

    fn close(&mut self, client: ClientKey) {
        if self.tls(client).is_some() {
            // Its last words, as far as they can be said at once.
            self.shutdown_write(client);
        }
        if let Some(tls) = self.tls(client) {
            let (is_pending, held_bytes) = (tls.handshake() == Handshake::Pending, tls.held_bytes() as u64);
            let counters = &self.counters;
            counters.tls_handshakes_failed.add(u64::from(is_pending));
            counters.tls_connections_open.set(counters.tls_connections_open.get() - 1);
            counters.tls_bytes_held.set(counters.tls_bytes_held.get() - held_bytes);
        }
        if let Some(transport) = self.transports.get_mut(client.index as usize) {
            *transport = None;
        }
    }
}
