//! [`Wire`]: a client's socket on an event loop, in plaintext or with TLS over it, and what it did not take yet; and where it
//! leads.

use crate::random::Random;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Where a connection leads, and what it is like.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) address: SocketAddr,
    /// From which of this machine's addresses: one has no more than 28,000 ports.
    pub(crate) source: IpAddr,
    /// TLS, with this configuration.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Bytes of the kernel's receive buffer, if it shall be small.
    pub(crate) receive_buffer: Option<usize>,
}

/// Where the server is, and how TLS with it is spoken.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) configs: Vec<Arc<ClientConfig>>,
}

impl Destination {
    /// A way there: with TLS if a configuration is named.
    pub(crate) fn route(&self, tls: Option<usize>, random: &mut Random) -> Route {
        Route {
            address: if tls.is_some() { self.tls } else { self.plain },
            source: IpAddr::V4(Ipv4Addr::new(127, 0, 0, random.within(1..=16) as u8)),
            tls: tls.map(|config| self.configs[config].clone()),
            receive_buffer: None,
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// In plaintext: what the socket did not take yet. TLS keeps its own.
    unwritten: Vec<u8>,
}

impl Wire {
    /// Begins to connect.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(route: &Route, registry: &Registry, token: Token) -> io::Result<Wire> {
        let socket =
            Socket::new(Domain::for_address(route.address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = route.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(&SocketAddr::new(route.source, 0).into())?;
        match socket.connect(&route.address.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        let mut socket = TcpStream::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let tls = match &route.tls {
            None => None,
            Some(config) => {
                let name = "localhost".try_into().expect("a name");
                let mut session = ClientConnection::new(config.clone(), name).expect("a configuration");
                session.set_buffer_limit(None);
                Some(Box::new(session))
            }
        };
        Ok(Wire { socket, tls, unwritten: Vec::new() })
    }

    /// Reads once; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing for now; else the connection is broken.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return unless_connecting(self.socket.read(into)) };
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end without a close_notify is an end like another.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            let count = unless_connecting(tls.read_tls(&mut self.socket))?;
            let state = tls.process_new_packets().map_err(io::Error::other);
            // Its answers, or the alert that says what is wrong.
            while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
            let state = state?;
            if count == 0 && state.plaintext_bytes_to_read() == 0 {
                return Ok(0);
            }
        }
    }

    /// Writes as much as the socket takes, and keeps the rest.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.unwritten.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Writes what was kept.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut result = Ok(0);
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && result.is_ok() {
                result = tls.write_tls(&mut self.socket);
            }
        } else {
            let mut taken = 0;
            while taken < self.unwritten.len() && result.is_ok() {
                result = self.socket.write(&self.unwritten[taken..]);
                taken += result.as_ref().map_or(0, |count| *count);
            }
            self.unwritten.drain(..taken);
            if self.unwritten.is_empty() {
                self.unwritten = Vec::new();
            }
        }
        match unless_connecting(result) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes past TLS, as much as the socket takes.
    pub(crate) fn write_raw(&mut self, bytes: &[u8]) {
        // Whoever spoils a connection does not mind whether it is spoilt already.
        let _ = self.socket.write(bytes);
    }

    /// Whether the socket takes no more for now.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.unwritten.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Ends our direction.
    pub(crate) fn shutdown_write(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
        }
        // A connection that is gone has no direction to end.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the connection at once, by a reset.
    pub(crate) fn reset(self) {
        // If it fails, closing ends it with a FIN.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

/// A socket that is still being connected has nothing, and takes nothing, for now.
fn unless_connecting(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::Interrupted) => {
            Err(ErrorKind::WouldBlock.into())
        }
        result => result,
    }
}

/// EINPROGRESS, which has no stable [`ErrorKind`].
fn is_in_progress(error: &io::Error) -> bool {
    const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(EINPROGRESS)
}
