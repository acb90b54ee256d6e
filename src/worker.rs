//! A worker: one thread with one shard, its sockets on mio, the only clock and the only system calls of the data
//! plane.

use crate::hub::{ClientKey, Origin, ShardId};
use crate::limits;
use crate::mesh::{Mesh, Wake};
use crate::metrics::Counters;
use crate::net::Received;
use crate::net::tls::{Buffers, Handshake};
use crate::net::transport::Transport;
use crate::protocol::Time;
use crate::shard::Shard;
use crate::turn::{EventLoop, Progress, Read, Ready, Sockets};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConfig;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
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
}

/// What all workers of a server have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    /// Time counts from here.
    pub(crate) started: Instant,
    /// Milliseconds from accept within which the handshakes must be complete; 0 is off.
    pub(crate) handshake_timeout_ms: u32,
}

/// The sockets of one worker.
pub(crate) struct Worker {
    id: ShardId,
    common: Common,
    counters: Arc<Counters>,
    poll: Poll,
    events: Events,
    listeners: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
    /// By the index of their clients' keys.
    clients: Vec<Option<Socket>>,
    /// Clients whose writes were short without their sockets being full: the next wait says that they have room, and
    /// does not sleep.
    writable: Vec<ClientKey>,
    /// What TLS works in.
    buffers: Buffers,
    /// What `now` has answered last.
    now: Time,
}

/// One client's socket.
struct Socket {
    transport: Transport,
    accepted: Time,
    /// Bytes that it holds, as they were last counted.
    held_bytes: usize,
}

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
        let listeners =
            listeners.into_iter().map(|Listener { socket, tls }| (TcpListener::from_std(socket), tls));
        let mut listeners: Vec<_> = listeners.collect();
        for (number, (listener, _)) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, listener_token(number), Interest::READABLE)?;
        }
        let worker = Worker {
            id,
            common,
            counters,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            listeners,
            clients: Vec::new(),
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
        let Some(socket) = self.clients.get_mut(client.index as usize).and_then(Option::as_mut) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let before = socket.transport.handshake();
        let result = act(&mut socket.transport, &mut self.buffers);
        if before.is_some() {
            self.note_tls(client, before);
        }
        result
    }

    /// Counts what TLS has come to.
    fn note_tls(&mut self, client: ClientKey, before: Option<Handshake>) {
        let Some(socket) = self.clients.get_mut(client.index as usize).and_then(Option::as_mut) else {
            return;
        };
        let counters = &self.counters;
        let held_bytes = socket.transport.held_bytes();
        let others = counters.tls_bytes_held.get() - socket.held_bytes as u64;
        counters.tls_bytes_held.set(others + held_bytes as u64);
        socket.held_bytes = held_bytes;
        let name = Origin { shard: self.id, client };
        if let Some(error) = socket.transport.take_failure() {
            tracing::debug!(client = %name, %error, "TLS failed");
        }
        let handshake = socket.transport.handshake();
        if handshake == before {
            return;
        }
        match handshake {
            Some(Handshake::Completed { resumed }) => {
                counters.tls_handshakes_completed.add(1);
                counters.tls_sessions_resumed.add(u64::from(resumed));
                // What was to be written before has waited for this.
                self.writable.push(client);
            }
            Some(Handshake::Failed) => counters.tls_handshakes_failed.add(1),
            Some(Handshake::Plaintext) => {
                tracing::debug!(client = %name, "plain HTTP on a port that speaks TLS");
                counters.tls_plaintext_requests.add(1);
            }
            Some(Handshake::Pending) | None => {}
        }
    }

    /// Whether a client that is still in its TLS handshake has had its time.
    fn is_too_late(&self, client: ClientKey) -> bool {
        let timeout_ms = self.common.handshake_timeout_ms;
        let socket = self.clients.get(client.index as usize).and_then(Option::as_ref);
        socket.is_some_and(|Socket { transport, accepted, .. }| {
            transport.handshake() == Some(Handshake::Pending)
                && timeout_ms > 0
                && self.now.reached(accepted.plus(timeout_ms))
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
                *writable = flushed.as_ref().is_ok_and(|has_room| *has_room);
                // What it died of is for the reader to find.
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

    fn now(&mut self) -> Time {
        self.now = Time(self.common.started.elapsed().as_millis() as u32);
        self.now
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<()> {
        let Some((listener, tls)) = self.listeners.get(listener) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let (stream, peer) = listener.accept()?;
        let mut transport = Transport::new(stream, tls.as_ref())?;
        transport.register(self.poll.registry(), client_token(key))?;
        tracing::debug!(client = %Origin { shard: self.id, client: key }, %peer, "accepted");
        let index = key.index as usize;
        if index >= self.clients.len() {
            self.clients.resize_with(index + 1, || None);
        }
        self.clients[index] = Some(Socket { transport, accepted: self.now, held_bytes: 0 });
        Ok(())
    }

    fn close_listeners(&mut self) {
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
            Ok((taken, transport.handshake().is_some() && taken >= limits::TLS_WRITE_BYTES_MAX))
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

    fn close(&mut self, client: ClientKey) {
        drop(self.with_transport(client, |transport, buffers| {
            transport.say_last(buffers);
            Ok(())
        }));
        let Some(socket) = self.clients.get_mut(client.index as usize).and_then(Option::take) else { return };
        let counters = &self.counters;
        counters.tls_bytes_held.set(counters.tls_bytes_held.get() - socket.held_bytes as u64);
        if socket.transport.handshake() == Some(Handshake::Pending) {
            counters.tls_handshakes_failed.add(1);
        }
    }
}
