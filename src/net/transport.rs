//! [`Transport`]: what carries one client's bytes.

use super::Received;
use super::tls::{Buffers, Tls};
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

/// What carries one client's bytes. In plaintext it is no more than a descriptor.
pub(crate) enum Transport {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<Tls<TcpStream>>),
}

impl Transport {
    /// A fresh connection, accepted at `now_ms`, on which TLS is spoken if there is a configuration for it.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub(crate) fn new(
        stream: TcpStream,
        tls: Option<&Arc<ServerConfig>>,
        now_ms: u32,
    ) -> io::Result<Transport> {
        match tls {
            None => Ok(Transport::Plain(stream)),
            Some(config) => Ok(Transport::Tls(Box::new(Tls::new(stream, config.clone(), now_ms)?))),
        }
    }

    /// TLS, if that is spoken on it.
    pub(crate) fn tls(&mut self) -> Option<&mut Tls<TcpStream>> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => Some(tls),
        }
    }

    /// Where the peer is.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn peer(&mut self) -> io::Result<SocketAddr> {
        match self {
            Transport::Plain(stream) => stream.peer_addr(),
            Transport::Tls(tls) => tls.stream().peer_addr(),
        }
    }

    /// Has events of both directions sent to `registry` under `token`, edge-triggered, once and for all.
    ///
    /// # Errors
    /// If the system has no room for another registration.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let stream = match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(tls) => tls.stream(),
        };
        stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Reads what has come, as much as fits.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has come, else what the connection died of.
    pub(crate) fn read(&mut self, into: &mut [u8], buffers: &mut Buffers) -> io::Result<Received> {
        match self {
            // A short read has emptied the socket, except for an end, which has an event of its own.
            Transport::Plain(stream) => stream.read(into).map(|bytes| match bytes {
                0 => Received::End,
                _ => Received::Bytes { bytes, cost_bytes: bytes, more: bytes == into.len() },
            }),
            Transport::Tls(tls) => tls.read(into, buffers),
        }
    }

    /// Writes as much as there is room for. A single slice takes the shorter way through the kernel.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, else what the connection died of.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>], buffers: &mut Buffers) -> io::Result<usize> {
        match (self, slices) {
            (Transport::Plain(stream), [slice]) => stream.write(slice),
            (Transport::Plain(stream), slices) => stream.write_vectored(slices),
            (Transport::Tls(tls), slices) => tls.write(slices, buffers),
        }
    }

    /// There is room again, or will be told of: writes what was taken and waits. Whether more can be written.
    ///
    /// # Errors
    /// What the connection died of.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Transport::Plain(_) => Ok(true),
            Transport::Tls(tls) => Ok(tls.flush()? && tls.is_open()),
        }
    }

    /// Tells the peer that nothing more will come. A connection that is gone already needs no telling.
    pub(crate) fn shutdown_write(&mut self, buffers: &mut Buffers) {
        match self {
            Transport::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
            Transport::Tls(tls) => tls.shut_down(buffers),
        }
    }
}
