//! [`Transport`]: what carries one client's bytes.

use super::Received;
use super::proxy::{Announcement, ProxyHeader};
use super::stream::SocketStream;
use super::tls::{Buffers, Handshake, Stream, Tls};
use crate::limits;
use mio::{Registry, Token};
use rustls::ServerConfig;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

/// What carries one client's bytes. In plaintext it is no more than a descriptor.
pub(crate) enum Transport {
    /// A socket as it is.
    Plain(SocketStream),
    /// TLS over it.
    Tls(Box<Tls<SocketStream>>),
    /// A header of the PROXY protocol is awaited, and then either of them.
    Announced(Box<Announced>),
}

/// A connection of which the PROXY header has not come, or not all of it.
pub(crate) struct Announced {
    /// Taken when the header is whole.
    stream: Option<SocketStream>,
    header: ProxyHeader,
    /// How TLS is spoken behind the header, if it is.
    tls: Option<Arc<ServerConfig>>,
    /// When the connection was accepted, in its owner's milliseconds.
    accepted_ms: u32,
    /// Why there will be no header that is believed.
    refusal: Option<&'static str>,
}

/// Why a header is not even read.
const UNTRUSTED: &str = "--trust-proxy does not name its address";

impl Transport {
    /// A fresh connection, accepted at `now_ms`, on which TLS is spoken if there is a configuration for it.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub(crate) fn new(
        stream: SocketStream,
        tls: Option<&Arc<ServerConfig>>,
        now_ms: u32,
    ) -> io::Result<Transport> {
        match tls {
            None => Ok(Transport::Plain(stream)),
            Some(config) => {
                Ok(Transport::Tls(Box::new(Tls::new(stream, config.clone(), now_ms, Vec::new())?)))
            }
        }
    }

    /// The same behind a PROXY header, which is believed if the peer `is_trusted`; else the connection fails.
    pub(crate) fn announced(
        stream: SocketStream,
        tls: Option<&Arc<ServerConfig>>,
        is_trusted: bool,
        now_ms: u32,
    ) -> Transport {
        Transport::Announced(Box::new(Announced {
            stream: Some(stream),
            header: ProxyHeader::default(),
            tls: tls.cloned(),
            accepted_ms: now_ms,
            refusal: (!is_trusted).then_some(UNTRUSTED),
        }))
    }

    /// TLS, if that is spoken on it.
    pub(crate) fn tls(&mut self) -> Option<&mut Tls<SocketStream>> {
        match self {
            Transport::Tls(tls) => Some(tls),
            Transport::Plain(_) | Transport::Announced(_) => None,
        }
    }

    /// When the connection was accepted, in its owner's milliseconds, if nothing can be said yet to its peer: a PROXY header
    /// is awaited, or the handshake of TLS goes on.
    pub(crate) fn awaited_since_ms(&self) -> Option<u32> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => (tls.handshake() == Handshake::Pending).then(|| tls.accepted_ms()),
            Transport::Announced(announced) => Some(announced.accepted_ms),
        }
    }

    /// If a PROXY header was to come and has not, or none that is believed: why not.
    pub(crate) fn missing_header(&self) -> Option<&'static str> {
        match self {
            Transport::Plain(_) | Transport::Tls(_) => None,
            Transport::Announced(announced) => Some(announced.refusal.unwrap_or("it has not come whole")),
        }
    }

    /// Where the peer is, if it has an address.
    pub(crate) fn address(&mut self) -> Option<SocketAddr> {
        self.stream()?.address()
    }

    /// Has events of both directions sent to `registry` under `token`, edge-triggered, once and for all.
    ///
    /// # Errors
    /// If the system has no room for another registration.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.stream().map_or(Ok(()), |stream| stream.register(registry, token))
    }

    /// The socket, unless it is just being taken over.
    fn stream(&mut self) -> Option<&mut SocketStream> {
        match self {
            Transport::Plain(stream) => Some(stream),
            Transport::Tls(tls) => Some(tls.stream()),
            Transport::Announced(announced) => announced.stream.as_mut(),
        }
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
            Transport::Announced(announced) => {
                let (received, transport) = announced.read(into)?;
                if let Some(transport) = transport {
                    *self = transport;
                }
                Ok(received)
            }
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
            (Transport::Announced(announced), _) => Err(match announced.refusal {
                None => ErrorKind::WouldBlock.into(),
                Some(_) => ErrorKind::BrokenPipe.into(),
            }),
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
            Transport::Announced(_) => Ok(false),
        }
    }

    /// Tells the peer that nothing more will come. A connection that is gone already needs no telling.
    pub(crate) fn shutdown_write(&mut self, buffers: &mut Buffers) {
        match self {
            Transport::Plain(stream) => stream.shutdown_write(),
            Transport::Tls(tls) => tls.shut_down(buffers),
            Transport::Announced(announced) => {
                if let Some(stream) = &mut announced.stream {
                    stream.shutdown_write();
                }
            }
        }
    }
}

impl Announced {
    /// Reads the header, or a part of it. When it is whole, what it says, and what carries the connection from now on: bytes
    /// behind the header that came with it are handed out, or wait there for TLS to be read.
    fn read(&mut self, into: &mut [u8]) -> io::Result<(Received, Option<Transport>)> {
        if self.refusal.is_some() {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        let room = into.len().min(limits::PROXY_HEADER_BYTES_MAX);
        let read = stream.read(&mut into[..room])?;
        if read == 0 {
            return Ok((Received::End, None));
        }
        match self.header.read(&into[..read]) {
            Ok(Announcement::Incomplete) => {
                Ok((Received::Bytes { bytes: 0, cost_bytes: read, more: read == room }, None))
            }
            Ok(Announcement::Complete { consumed, source }) => {
                let Some(stream) = self.stream.take() else { return Err(ErrorKind::NotConnected.into()) };
                let (transport, bytes) = match &self.tls {
                    None => {
                        into.copy_within(consumed..read, 0);
                        (Transport::Plain(stream), read - consumed)
                    }
                    Some(config) => {
                        let first = into[consumed..read].to_vec();
                        let tls = Tls::new(stream, config.clone(), self.accepted_ms, first)?;
                        (Transport::Tls(Box::new(tls)), 0)
                    }
                };
                Ok((Received::Announced { source, bytes, cost_bytes: read }, Some(transport)))
            }
            Err(error) => {
                self.refusal = Some(error.reason());
                Err(ErrorKind::InvalidData.into())
            }
        }
    }
}
