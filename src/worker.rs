//! A worker: one thread with one shard, its sockets on mio, the only clock and the only system calls of the data
//! plane.

use crate::hub::{ClientKey, Origin, ShardId};
use crate::mesh::{Mesh, Wake};
use crate::net::transport::Transport;
use crate::protocol::Time;
use crate::shard::Shard;
use crate::turn::{EventLoop, Progress, Ready, Sockets};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
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

/// The sockets of one worker.
pub(crate) struct Worker {
    id: ShardId,
    poll: Poll,
    events: Events,
    listeners: Vec<TcpListener>,
    /// By the index of their clients' keys.
    transports: Vec<Option<Transport>>,
    started: Instant,
}

impl Worker {
    /// The worker of shard `id`, with these listeners; time counts from `started`. The waker ends its sleep.
    ///
    /// # Errors
    /// If the system has no room for another poll.
    pub(crate) fn new(
        id: ShardId,
        listeners: Vec<std::net::TcpListener>,
        started: Instant,
    ) -> io::Result<(Worker, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut listeners: Vec<TcpListener> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (number, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, listener_token(number), Interest::READABLE)?;
        }
        let events = Events::with_capacity(EVENTS_MAX);
        Ok((Worker { id, poll, events, listeners, transports: Vec::new(), started }, waker))
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

    fn transport(&mut self, client: ClientKey) -> io::Result<&mut Transport> {
        let transport = self.transports.get_mut(client.index as usize).and_then(Option::as_mut);
        transport.ok_or_else(|| ErrorKind::NotConnected.into())
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
        Ok(())
    }

    fn now(&mut self) -> Time {
        Time(self.started.elapsed().as_millis() as u32)
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<()> {
        let Some(listener) = self.listeners.get(listener) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let (stream, peer) = listener.accept()?;
        let mut transport = Transport::Plain(stream);
        transport.register(self.poll.registry(), client_token(key))?;
        tracing::debug!(client = %Origin { shard: self.id, client: key }, %peer, "accepted");
        let index = key.index as usize;
        if index >= self.transports.len() {
            self.transports.resize_with(index + 1, || None);
        }
        self.transports[index] = Some(transport);
        Ok(())
    }

    fn close_listeners(&mut self) {
        self.listeners.clear();
    }

    fn read(&mut self, client: ClientKey, into: &mut [u8]) -> io::Result<usize> {
        self.transport(client)?.read(into)
    }

    fn write(&mut self, client: ClientKey, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.transport(client)?.write(slices)
    }

    fn shutdown_write(&mut self, client: ClientKey) {
        if let Ok(transport) = self.transport(client) {
            transport.shutdown_write();
        }
    }

    fn close(&mut self, client: ClientKey) {
        if let Some(transport) = self.transports.get_mut(client.index as usize) {
            *transport = None;
        }
    }
}
