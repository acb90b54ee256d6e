//! [`Peer`]: one of the run's connections to the server: a socket, the protocol core, and what the socket did not take yet.

use crate::cli::closure::describe;
use fanwire::limits::{Limits, OWN_BYTES_MARK};
use fanwire::protocol::{ClientRequest, CloseCode, CloseReason, Closure, Connection, Event, Time};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What a generator bears from a server. It sends no Pings: they would be load that nobody asked for.
pub(super) fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        message_bytes_max: 64 << 20,
        outbox_bytes_max: 128 << 20,
        handshake_timeout_ms: 10_000,
        ping_interval_ms: 0,
        idle_timeout_ms: 0,
        close_timeout_ms: 5_000,
    })
}

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Peer {
    socket: TcpStream,
    connection: Connection,
    /// What is still to be written. Empty, and without memory, most of the time.
    unwritten: Vec<u8>,
    /// Whether the server has ever said 101.
    was_accepted: bool,
    /// What writing failed with.
    error: Option<Box<io::Error>>,
}

/// Where a connection leads, and from which of this machine's addresses if that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) address: SocketAddr,
    pub(super) source: Option<IpAddr>,
}

/// What came from the socket.
#[derive(Debug)]
pub(super) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing more for now.
    Nothing,
    /// Nothing, but that says nothing.
    Again,
    /// The connection has ended.
    End(Ending),
}

/// Why a connection has ended.
#[derive(Debug)]
pub(super) enum Ending {
    Closed(Closure),
    Broken(io::Error),
}

impl Peer {
    /// Begins to connect, and registers the socket.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(
        route: Route,
        request: ClientRequest,
        limits: Arc<Limits>,
        seed: [u8; 32],
        now: Time,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Peer> {
        let mut socket = connect(route)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut unwritten = Vec::new();
        let connection = Connection::client(limits, request, seed, now, &mut unwritten);
        let mut peer = Peer { socket, connection, unwritten, was_accepted: false, error: None };
        // Over loopback the connection is there already; else the socket tells when it is.
        peer.flush();
        Ok(peer)
    }

    /// Reads once.
    #[inline]
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Received {
        match self.socket.read(buffer) {
            Ok(count @ 1..) => Received::Bytes(count),
            Ok(0) => Received::End(self.end()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Received::Nothing,
            // A socket that is still being connected.
            Err(error) if error.kind() == ErrorKind::NotConnected => Received::Nothing,
            Err(error) if error.kind() == ErrorKind::Interrupted => Received::Again,
            Err(error) => Received::End(Ending::Broken(error)),
        }
    }

    /// The server's end of the TCP connection came. The system tells only once why: it may have told the writer.
    #[cold]
    fn end(&mut self) -> Ending {
        match (self.error.take(), self.connection.receive_eof(Time(0))) {
            (Some(error), _) => Ending::Broken(*error),
            (None, Some(Event::Closed(closure))) => Ending::Closed(closure),
            (None, _) => Ending::Closed(Closure::Lost),
        }
    }

    /// Takes bytes that came, and hands the messages in them to `hear`. What is to be answered is appended to `out`.
    /// Returns how the connection has ended, if it has.
    #[inline]
    pub(super) fn take(
        &mut self,
        mut input: &mut [u8],
        now: Time,
        out: &mut Vec<u8>,
        mut hear: impl FnMut(&[u8]),
    ) -> Option<Ending> {
        loop {
            self.connection.take_whole_messages(&mut input, now, |message| hear(&message.payload));
            if input.is_empty() {
                return None;
            }
            match self.connection.next_event(&mut input, now, out)? {
                Event::Message(message) => hear(&message.payload),
                Event::Accepted(_) => self.was_accepted = true,
                Event::Closed(closure) => return Some(Ending::Closed(closure)),
                // Only a server is asked.
                Event::Requested(_) => {}
            }
        }
    }

    /// Writes as much as the socket takes, and keeps the rest. What a lost connection does not take is dropped: reading
    /// tells of its end.
    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let taken = if self.unwritten.is_empty() { self.write_now(bytes) } else { 0 };
        if taken < bytes.len() {
            self.unwritten.extend_from_slice(&bytes[taken..]);
            if self.unwritten.len() > OWN_BYTES_MARK {
                // Pings of a server that does not read are not all answered.
                self.connection.set_congested(true, &mut self.unwritten);
            }
        }
    }

    /// Writes what was kept.
    pub(super) fn flush(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let unwritten = std::mem::take(&mut self.unwritten);
        let taken = self.write_now(&unwritten);
        if taken < unwritten.len() {
            self.unwritten = unwritten;
            self.unwritten.drain(..taken);
            return;
        }
        let mut owed = Vec::new();
        self.connection.set_congested(false, &mut owed);
        self.write(&owed);
    }

    /// How many bytes the socket takes, or a lost connection swallows.
    #[inline]
    fn write_now(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.socket.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) => {
                    self.error = Some(Box::new(error));
                    return bytes.len();
                }
            }
        }
        taken
    }

    /// Whether the socket takes no more for now.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Whether messages can be sent.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Whether the server has let us in, even if it has closed since.
    #[inline]
    pub(super) fn was_accepted(&self) -> bool {
        self.was_accepted
    }

    /// Starts the closing handshake with 1000.
    pub(super) fn close(&mut self, now: Time, out: &mut Vec<u8>) {
        self.connection.close(CloseCode::NORMAL, &CloseReason::none(), now, out);
    }

    /// Does what is due at this time: an opening or closing handshake that takes too long ends.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Option<Ending> {
        match self.connection.handle_timeout(now, &mut Vec::new()) {
            Some(Event::Closed(closure)) => Some(Ending::Closed(closure)),
            _ => None,
        }
    }

    /// Ends the TCP connection at once. Closed in order, it would keep its port in `TIME_WAIT` for a minute, and after
    /// 28,000 handshakes there would be no port for the next.
    pub(super) fn reset(self) {
        // If it fails, the port waits for a minute. Closing the socket takes it out of the poll.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

/// A socket that is being connected.
fn connect(Route { address, source }: Route) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Err(error) if !is_in_progress(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// EINPROGRESS, which has no stable [`ErrorKind`].
fn is_in_progress(error: &io::Error) -> bool {
    const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(EINPROGRESS)
}

impl Ending {
    /// What happened, in a sentence that a terminal can show: what the server says is escaped.
    pub(super) fn describe(&self) -> String {
        match self {
            Ending::Broken(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                format!("{error}: no ports are left; give more addresses with --destinations or --source")
            }
            Ending::Broken(error) => error.to_string(),
            Ending::Closed(closure) => describe(closure, b""),
        }
    }
}
