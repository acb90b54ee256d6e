//! A worker: one thread with one shard, its sockets on mio, the only clock and the only system calls of the data
//! plane.

use crate::config::{Config, TrustedProxies};
use crate::hub::{ClientId, ClientKey, ShardId};
use crate::limits;
use crate::mesh::{Mesh, Wake};
use crate::metrics::Counters;
use crate::net::Received;
use crate::net::listener::{Door, ListeningSocket};
use crate::net::stream::SocketStream;
use crate::net::tls::{Buffers, Handshake, Tls};
use crate::net::transport::Transport;
use crate::protocol::Time;
use crate::shard::{Carried, Shard};
use crate::turn::{EventLoop, ForPeople, Progress, Read, Ready, Sockets};
use mio::{Events, Poll, Token, Waker};
use rustls::ServerConfig;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    pub(crate) socket: ListeningSocket,
    /// How TLS is spoken on its connections, if it is.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Its queue is another process's too.
    pub(crate) is_shared: bool,
}

/// The same, registered.
struct Entrance {
    door: Door,
    tls: Option<Arc<ServerConfig>>,
    is_shared: bool,
}

/// What all workers of a server have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// Time counts from here.
    pub(crate) started: Instant,
    /// Milliseconds from accept within which the handshakes must be complete; 0 is off.
    pub(crate) handshake_timeout_ms: u32,
    /// There is more than one worker.
    pub(crate) is_among_many: bool,
    /// Every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Whose word is taken for where a client comes from.
    pub(crate) trusted_proxies: Arc<TrustedProxies>,
    /// Bytes of the kernel's send buffer of a Unix socket, which does not inherit it from its listener; the system's own
    /// choice if absent.
    pub(crate) unix_send_buffer_bytes: Option<usize>,
}

/// The sockets of one worker.
pub(crate) struct Worker {
    id: ShardId,
    common: Common,
    counters: Arc<Counters>,
    poll: Poll,
    events: Events,
    entrances: Vec<Entrance>,
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
        let entrance = |Listener { socket, tls, is_shared }| Entrance { door: socket.into(), tls, is_shared };
        let mut entrances: Vec<Entrance> = listeners.into_iter().map(entrance).collect();
        for (number, entrance) in entrances.iter_mut().enumerate() {
            entrance.door.register(poll.registry(), listener_token(number))?;
        }
        let worker = Worker {
            id,
            common,
            counters,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            entrances,
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
        let name = ClientId { shard: self.id, client };
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
    fn tls(&mut self, client: ClientKey) -> Option<&mut Tls<SocketStream>> {
        self.transports.get_mut(client.index as usize)?.as_mut()?.tls()
    }

    /// Whether a client whose PROXY header is awaited, or that is still in its TLS handshake, has had its time.
    fn is_too_late(&mut self, client: ClientKey) -> bool {
        let (now, timeout_ms) = (self.now, self.common.handshake_timeout_ms);
        let transport = self.transports.get(client.index as usize).and_then(Option::as_ref);
        let since_ms = transport.and_then(Transport::awaited_since_ms);
        since_ms.is_some_and(|since_ms| timeout_ms > 0 && now.reached(Time(since_ms).plus(timeout_ms)))
    }

    /// Counts a connection more that TLS is spoken on.
    fn note_tls_begun(&mut self, client: ClientKey) {
        if self.tls(client).is_some() {
            self.counters.tls_connections_open.set(self.counters.tls_connections_open.get() + 1);
        }
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
        let listeners = self.entrances.len();
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

    fn unix_ms(&mut self) -> u64 {
        // Before 1970 nothing has expired yet.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn listeners(&self) -> usize {
        self.entrances.len()
    }

    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<Option<IpAddr>> {
        let Some(Entrance { door, tls, .. }) = self.entrances.get(listener) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let (stream, peer) = door.accept()?;
        if let (SocketStream::Unix(_), Some(bytes)) = (&stream, self.common.unix_send_buffer_bytes) {
            stream.set_send_buffer_bytes(bytes)?;
        }
        let is_trusted = peer.is_none_or(|peer| self.is_trusted(peer.ip()));
        let mut transport = if self.common.proxy_protocol {
            Transport::announced(stream, tls.as_ref(), is_trusted, self.now.0)
        } else {
            Transport::new(stream, tls.as_ref(), self.now.0)?
        };
        transport.register(self.poll.registry(), client_token(key))?;
        let name = ClientId { shard: self.id, client: key };
        if let Some(peer) = peer {
            tracing::debug!(client = %name, peer = %ForPeople(peer), "accepted");
        } else {
            tracing::debug!(client = %name, peer = "unix", "accepted");
        }
        let index = key.index as usize;
        if index >= self.transports.len() {
            self.transports.resize_with(index + 1, || None);
        }
        self.transports[index] = Some(transport);
        self.note_tls_begun(key);
        Ok(peer.map(|peer| peer.ip()).filter(|_| !is_trusted))
    }

    fn address(&mut self, client: ClientKey) -> Option<SocketAddr> {
        self.transports.get_mut(client.index as usize)?.as_mut()?.address()
    }

    fn is_trusted(&self, proxy: IpAddr) -> bool {
        self.common.trusted_proxies.contains(proxy)
    }

    fn is_shared(&self, listener: usize) -> bool {
        self.entrances.get(listener).is_some_and(|entrance| entrance.is_shared)
    }

    fn hide_listeners(&mut self) {
        self.entrances.iter().for_each(|entrance| entrance.door.remove_file());
    }

    fn close_listeners(&mut self) {
        for entrance in &mut self.entrances {
            // A socket that was passed to us stays open with others: closing ours would not end its events. If it cannot be
            // taken out they are in vain, and harm nobody.
            drop(entrance.door.deregister(self.poll.registry()));
        }
        self.entrances.clear();
    }

    fn read(&mut self, client: ClientKey, into: &mut [u8]) -> io::Result<Read> {
        let received = self.with_transport(client, |transport, buffers| transport.read(into, buffers))?;
        Ok(match received {
            Received::End => Read::End,
            Received::Bytes { bytes, cost_bytes, more } => Read::Bytes { bytes, cost_bytes, more },
            Received::Announced { source, bytes, cost_bytes } => {
                self.note_tls_begun(client);
                // What was to be written before has waited for this.
                self.writable.push(client);
                Read::Announced { source, bytes, cost_bytes }
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
        let Some(slot) = self.transports.get_mut(client.index as usize) else { return };
        if let Some(reason) = slot.take().and_then(|transport| transport.missing_header()) {
            self.counters.proxy_headers_refused.add(1);
            let name = ClientId { shard: self.id, client };
            tracing::debug!(client = %name, reason, "no PROXY header that is believed");
        }
    }

    fn reconfigure(&mut self, config: &Config) {
        self.common.handshake_timeout_ms = config.limits.handshake_timeout_ms;
        self.common.trusted_proxies = Arc::new(config.trusted_proxies.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listener::{Listening, listen};
    use std::os::unix::net::UnixStream;

    #[test]
    fn nobody_new_finds_a_listener_that_is_hidden_and_who_was_there_before_is_accepted() {
        let path = std::env::temp_dir().join(format!("fanwire-hidden-{}.sock", std::process::id()));
        let config = Config { listen: vec![path.clone().into()], workers: 1, ..Config::default() };
        let sockets = listen(&config).expect("a directory").remove(0);
        let listener = |Listening { socket, is_shared, .. }| Listener { socket, tls: None, is_shared };
        let common = Common {
            started: Instant::now(),
            handshake_timeout_ms: 0,
            is_among_many: false,
            proxy_protocol: false,
            trusted_proxies: Arc::default(),
            unix_send_buffer_bytes: None,
        };
        let listeners = sockets.into_iter().map(listener).collect();
        let (mut worker, _waker) =
            Worker::new(ShardId(0), listeners, Arc::default(), common).expect("another poll");
        let _early = UnixStream::connect(&path).expect("it listens");
        worker.hide_listeners();
        assert!(!path.exists());
        worker.accept(0, ClientKey { index: 0, generation: 0 }).expect("it has waited");
    }
}
