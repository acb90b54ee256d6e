//! [`Caller`]: makes connections to one server, and waits for what happens to them, to the input and to the user.
//!
//! One thread does all that a client does and waits in one place; the input, the signals and the making of a connection,
//! which can only be waited for, are threads that wake it.

use super::departure::Departure;
use super::link::Link;
use super::transport::{Security, Transport};
use crate::cli::address::Address;
use fanwire::protocol::Time;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the establishment of a TCP connection may take, for each of a host's addresses.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

const WAKER: Token = Token(0);
const LINK: Token = Token(1);

/// Makes connections to one server.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Where the server is, and what is asked of it.
    pub(crate) address: Address,
    /// Whether the user wants to leave.
    pub(crate) departure: Arc<Departure>,
    /// `None`: without TLS.
    security: Option<Security>,
    poll: Poll,
    events: Events,
    started: Instant,
}

/// A thread makes a TCP connection.
#[derive(Debug)]
pub(crate) struct Dialing(Receiver<io::Result<TcpStream>>);

impl Caller {
    /// A caller that has not called yet. Signals are the user's wish to leave from here on.
    ///
    /// # Errors
    /// If the system refuses what polling needs.
    pub(crate) fn new(address: Address, security: Option<Security>) -> io::Result<Caller> {
        let poll = Poll::new()?;
        let departure = Departure::watch(Waker::new(poll.registry(), WAKER)?)?;
        let events = Events::with_capacity(8);
        Ok(Caller { address, departure, security, poll, events, started: Instant::now() })
    }

    /// Begins to connect; what comes of it ends a [`wait`](Self::wait).
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(crate) fn dial(&self) -> io::Result<Dialing> {
        let (sender, answer) = channel();
        let (host, port) = (self.address.host.clone(), self.address.port);
        let departure = self.departure.clone();
        thread::Builder::new().name("dial".into()).spawn(move || {
            // If nobody listens, the user has left.
            let _ = sender.send(connect(&host, port));
            departure.wake();
        })?;
        Ok(Dialing(answer))
    }

    /// What has come of dialing, if it is over: a connection, or why there is none, in a sentence.
    ///
    /// # Errors
    /// If the thread has died.
    pub(crate) fn answer(&self, dialing: &Dialing) -> io::Result<Option<Result<TcpStream, String>>> {
        match dialing.0.try_recv() {
            Ok(Ok(stream)) => Ok(Some(Ok(stream))),
            Ok(Err(error)) => Ok(Some(Err(format!("cannot connect to {}: {error}", self.address)))),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the thread that connects has died")),
        }
    }

    /// Starts the opening handshake on a connection. What comes from it ends a [`wait`](Self::wait).
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn link(&self, stream: TcpStream) -> io::Result<Link> {
        stream.set_nonblocking(true)?;
        // A line is one write, and is wanted at once.
        stream.set_nodelay(true)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let stream = mio::net::TcpStream::from_std(stream);
        let transport = Transport::new(stream, self.security.as_ref())?;
        let mut link = Link::new(transport, self.address.request.clone(), seed, self.now());
        // The first event, that it is writable, comes at once.
        self.poll.registry().register(link.socket(), LINK, Interest::READABLE | Interest::WRITABLE)?;
        Ok(link)
    }

    /// Waits until something happens, or so long.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// How long until a link has something to do although nothing happens.
    pub(crate) fn until_due(&self, link: &Link) -> Option<Duration> {
        let now = self.now();
        let due = link.deadline()?;
        Some(Duration::from_millis(if now.reached(due) { 0 } else { due.since(now).into() }))
    }

    /// The time, as a link reads it.
    pub(crate) fn now(&self) -> Time {
        Time(self.started.elapsed().as_millis() as u32)
    }
}

/// Connects to the first of a host's addresses that answers.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut problem = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}
