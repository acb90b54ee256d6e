//! [`SocketStream`]: a connection as the system gives it, of TCP or of a Unix socket.

use super::tls;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

/// A connection as the system gives it.
#[derive(Debug)]
pub(crate) enum SocketStream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket, which has no address.
    Unix(UnixStream),
}

impl SocketStream {
    /// Where its peer is, if it has an address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            SocketStream::Tcp(stream) => stream.peer_addr().ok(),
            SocketStream::Unix(_) => None,
        }
    }

    /// Sets the size of the kernel's send buffer.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn set_send_buffer_bytes(&self, bytes: usize) -> io::Result<()> {
        match self {
            SocketStream::Tcp(stream) => SockRef::from(stream).set_send_buffer_size(bytes),
            SocketStream::Unix(stream) => SockRef::from(stream).set_send_buffer_size(bytes),
        }
    }

    /// Has events of both directions sent to `registry` under `token`, edge-triggered, once and for all.
    ///
    /// # Errors
    /// If the system has no room for another registration.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            SocketStream::Tcp(stream) => stream.register(registry, token, both),
            SocketStream::Unix(stream) => stream.register(registry, token, both),
        }
    }
}

impl Read for SocketStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            SocketStream::Tcp(stream) => stream.read(into),
            SocketStream::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for SocketStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            SocketStream::Tcp(stream) => stream.write(bytes),
            SocketStream::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            SocketStream::Tcp(stream) => stream.write_vectored(slices),
            SocketStream::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tls::Stream for SocketStream {
    fn shutdown_write(&mut self) {
        // A connection that is gone already needs no telling.
        drop(match self {
            SocketStream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            SocketStream::Unix(stream) => stream.shutdown(Shutdown::Write),
        });
    }
}
