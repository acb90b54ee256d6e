//! [`Transport`]: what carries a link's bytes, TCP alone or TLS over it.
//!
//! It does not wait: who polls the socket calls again. TLS errors come out of [`read`](Transport::read) as
//! [`rustls::Error`]s, for [`describe`] to put into a sentence.

use crate::cli::escape::escape;
use crate::cli::plural::count;
use mio::net::TcpStream;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

/// What carries a link's bytes.
#[derive(Debug)]
pub(crate) enum Transport {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

/// How a server proves who it is.
#[derive(Debug)]
pub(crate) struct Security {
    /// Whom to trust, among other things.
    pub(crate) config: Arc<ClientConfig>,
    /// What the server's certificate must name.
    pub(crate) server_name: ServerName<'static>,
}

/// The client's end of TLS, and the socket below.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: TcpStream,
    connection: ClientConnection,
}

impl Transport {
    /// A transport over a TCP connection that has been made: TLS if there is to be security.
    ///
    /// # Errors
    /// If there is no TLS to be had from the configuration.
    pub(crate) fn new(socket: TcpStream, security: Option<&Security>) -> io::Result<Transport> {
        let Some(Security { config, server_name }) = security else { return Ok(Transport::Plain(socket)) };
        let connection =
            ClientConnection::new(config.clone(), server_name.clone()).map_err(io::Error::other)?;
        Ok(Transport::Tls(Box::new(TlsStream { socket, connection })))
    }

    /// Reads what has come, as much as fits; 0 at the server's end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has come, `Interrupted` if that was nothing for the reader; else what the connection died
    /// of, which may be a [`rustls::Error`].
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(into),
            Transport::Tls(tls) => tls.read(into),
        }
    }

    /// Takes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, else what the connection died of.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(bytes),
            Transport::Tls(tls) => tls.write(bytes),
        }
    }

    /// Gives the socket what TLS has to say for itself, and what it has taken.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(_) => Ok(()),
            Transport::Tls(tls) => tls.flush(),
        }
    }

    /// Tells the server that nothing more will come.
    ///
    /// # Errors
    /// `WouldBlock` if that does not fit in yet: to be called again. Else what the connection died of.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.shutdown(Shutdown::Write),
            Transport::Tls(tls) => {
                // Only the first call queues it.
                tls.connection.send_close_notify();
                tls.flush()?;
                tls.socket.shutdown(Shutdown::Write)
            }
        }
    }

    /// Whether there is TLS to be, and not yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(tls) if tls.connection.is_handshaking())
    }

    /// The socket, to be polled.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(tls) => &mut tls.socket,
        }
    }
}

impl TlsStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // TCP ended without a close_notify. WebSocket has an end of its own, the Close frame: nobody can cut a
            // conversation short unnoticed.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
            result => return result,
        }
        self.connection.read_tls(&mut self.socket)?;
        if let Err(error) = self.connection.process_new_packets() {
            // An alert tells the server why. It is told as far as that can be done now.
            let _ = self.flush();
            return Err(io::Error::other(error));
        }
        // One read of the socket a call: a server that sends much TLS and no payload keeps nobody from the clock.
        Err(ErrorKind::Interrupted.into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What was taken before goes first, so that no more than one write is ever kept here.
        self.flush()?;
        if self.connection.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.connection.writer().write(bytes)?;
        // The bytes are taken whatever comes of this; an error comes again with the next flush.
        let _ = self.flush();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// What went wrong with TLS, and what to do, in a sentence that a terminal can show.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => {
            format!("the server's certificate is not trusted: {}", escape(&doubt(error)))
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS there: use ws://".to_owned()
        }
        error => format!("TLS failed: {}", escape(&error.to_string())),
    }
}

/// What is wrong with a certificate.
fn doubt(error: &CertificateError) -> String {
    match error {
        // The latter two: an authority in use has the name of the one that has signed it, and another key.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "none of the authorities in use has signed it; if you know who has, give their certificate with --tls-ca FILE"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!("it is for {names}, not for {}: connect by a name that it has", expected.to_str())
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = days(*not_after, *time);
            format!("it expired {ago} ago: the server needs a new one, or this machine the right time")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let to_come = days(*time, *not_before);
            format!("it will be valid in {to_come}: is this machine's time right?")
        }
        // rustls has no name of its own for this one, and it is what `openssl req -x509` makes.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is an authority's (CA:TRUE), not a server's: the server needs one with basicConstraints=CA:FALSE"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// A name without the word for its kind, which rustls puts before it: `DnsName("example.org")`.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, name)| name.trim_end_matches(')').trim_matches('"'))
}

/// The time from one to another, roughly.
fn days(from: UnixTime, to: UnixTime) -> String {
    match to.as_secs().saturating_sub(from.as_secs()) / 86_400 {
        0 => "less than a day".to_owned(),
        days => count(usize::try_from(days).unwrap_or(usize::MAX), "day"),
    }
}
