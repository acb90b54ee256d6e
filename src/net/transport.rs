//! [`Transport`]: what carries one client's bytes.

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

/// What carries one client's bytes.
#[derive(Debug)]
pub(crate) enum Transport {
    /// TCP as it is.
    Plain(TcpStream),
}

impl Transport {
    /// Has events of both directions sent to `registry` under `token`, edge-triggered, once and for all.
    ///
    /// # Errors
    /// If the system has no room for another registration.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => {
                stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)
            }
        }
    }

    /// Reads what has come, as much as fits; 0 at the peer's end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has come, else what the connection died of.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.read(into),
        }
    }

    /// Writes as much as there is room for. A single slice takes the shorter way through the kernel.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, else what the connection died of.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Transport::Plain(stream), [slice]) => stream.write(slice),
            (Transport::Plain(stream), slices) => stream.write_vectored(slices),
        }
    }

    /// Tells the peer that nothing more will come. A connection that is gone already needs no telling.
    pub(crate) fn shutdown_write(&mut self) {
        match self {
            Transport::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
        }
    }
}
