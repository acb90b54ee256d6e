//! [`Link`]: one connection to the server, from the TCP connection on: `protocol::Connection` over a [`Transport`].
//!
//! It does not wait: [`read`](Link::read) and [`write`](Link::write) do what can be done, and whoever polls the socket
//! calls them again. It does not reconnect either; it says how it ended.

use fanwire::limits::{Limits, OWN_BYTES_MARK};
use fanwire::protocol::{
    ClientRequest, CloseCode, CloseReason, Closure, Connection, Event, Kind, Status, Time, Wants,
};
use mio::net::TcpStream;
use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;

use super::transport::{self, Transport};
use crate::cli::closure::describe;

/// What the client bears from a server. A Ping goes well before a home router forgets the connection, and a server
/// that answers nothing for 45 s is gone.
const LIMITS: Limits = Limits {
    message_bytes_max: 64 << 20,
    outbox_bytes_max: 64 << 20,
    handshake_timeout_ms: 10_000,
    ping_interval_ms: 20_000,
    idle_timeout_ms: 45_000,
    close_timeout_ms: 5_000,
};

/// Bytes of a refusal's body that are kept.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Link {
    transport: Transport,
    connection: Connection,
    out: Vec<u8>,
    /// Bytes of `out` already written. Invariant: less than its length, or 0.
    written: usize,
    /// The transport took no more.
    is_blocked: bool,
    /// Whether the server has ever said 101.
    was_accepted: bool,
    /// How it ended, as far as WebSocket goes; the TCP connection may still be closing.
    closure: Option<Closure>,
    /// The body of the response that refuses us.
    refusal: Vec<u8>,
    /// The first byte that came.
    first_byte: Option<u8>,
    /// What TLS died of.
    tls_error: Option<rustls::Error>,
}

/// With this begins the alert by which a TLS server answers what is no TLS (RFC 8446 §5.1).
const TLS_ALERT: u8 = 21;

impl Link {
    /// Starts the opening handshake on a connection that has been made.
    pub(crate) fn new(transport: Transport, request: ClientRequest, seed: [u8; 32], now: Time) -> Link {
        let mut out = Vec::new();
        let connection = Connection::client(Arc::new(LIMITS), request, seed, now, &mut out);
        Link {
            transport,
            connection,
            out,
            written: 0,
            is_blocked: false,
            was_accepted: false,
            closure: None,
            refusal: Vec::new(),
            first_byte: None,
            tls_error: None,
        }
    }

    /// Reads once and hands what came to `receive`. Returns whether there may be more to read.
    pub(crate) fn read(&mut self, buffer: &mut [u8], now: Time, receive: impl FnMut(Kind, &[u8])) -> bool {
        match self.transport.read(buffer) {
            Ok(count @ 1..) => {
                self.first_byte.get_or_insert(buffer[0]);
                self.take(&mut buffer[..count], now, receive);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            result @ (Ok(0) | Err(_)) => {
                self.tls_error = result.err().and_then(|error| error.downcast().ok());
                let event = self.connection.receive_eof(now);
                self.end(event);
                false
            }
        }
    }

    fn take(&mut self, mut input: &mut [u8], now: Time, mut receive: impl FnMut(Kind, &[u8])) {
        self.keep_refusal(input);
        while let Some(event) = self.connection.next_event(&mut input, now, &mut self.out) {
            match event {
                Event::Message(message) => receive(message.kind, &message.payload),
                Event::Accepted(_) => self.was_accepted = true,
                event => self.end(Some(event)),
            }
            self.keep_refusal(input);
        }
    }

    /// Behind the head of a response that is no 101 stands its body.
    fn keep_refusal(&mut self, bytes: &[u8]) {
        if matches!(self.closure, Some(Closure::Responded(_))) {
            let room = REFUSAL_BYTES_MAX.saturating_sub(self.refusal.len());
            self.refusal.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end(&mut self, event: Option<Event<'_>>) {
        if let Some(Event::Closed(closure)) = event {
            self.closure = Some(closure);
        }
    }

    /// Does what is due at this time.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        let event = self.connection.handle_timeout(now, &mut self.out);
        self.end(event);
    }

    /// Sends a message, once [`write`](Self::write) gets to it. Does nothing unless the link is open.
    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8]) {
        self.connection.send(kind, payload, &mut self.out);
    }

    /// Starts the closing handshake with 1000. Does nothing unless the link is open.
    pub(crate) fn close(&mut self, now: Time) {
        self.connection.close(CloseCode::NORMAL, &CloseReason::none(), now, &mut self.out);
    }

    /// Writes as much as the transport takes, and its end behind the last of it.
    pub(crate) fn write(&mut self, now: Time) {
        while self.written < self.out.len() {
            match self.transport.write(&self.out[self.written..]) {
                Ok(count @ 1..) => {
                    self.written += count;
                    if mem::take(&mut self.is_blocked) {
                        // There is room again because the server has taken something. A Ping behind a long message is
                        // no measure of whether it lives.
                        self.connection.heard(now);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nobody hears us any more. What the server said before that is still to be read, its end included.
                Ok(0) | Err(_) => self.written = self.out.len(),
            }
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
            }
            // A Pong that had to wait comes behind the rest.
            self.connection.set_congested(self.unwritten() > OWN_BYTES_MARK, &mut self.out);
        }
        // TLS has something to say even if we have not. Why it cannot, reading tells.
        let _ = self.transport.flush();
        // §7.1.1: a socket that is closed at once could lose our Close frame to a reset. A refusal's body is read to its
        // end first: there are servers that cut it short when we turn away.
        let is_refused = matches!(self.closure, Some(Closure::Responded(_)));
        if self.out.is_empty() && self.connection.wants() == Wants::FlushThenShutdown && !is_refused {
            // It fails if the server is gone already, and then there is nothing to do, or if it is to be done again.
            let _ = self.transport.shutdown_write();
        }
    }

    /// Bytes that the transport has not taken yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    /// Whether messages can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Whether the server has let us in, even if it has closed since.
    pub(crate) fn was_accepted(&self) -> bool {
        self.was_accepted
    }

    /// How the link ended, once its TCP connection has too.
    pub(crate) fn ended(&self) -> Option<Ending> {
        let closure = self.closure.as_ref().filter(|_| self.connection.wants() == Wants::Nothing)?;
        let (sequel, problem) = match (&self.transport, closure, &self.tls_error) {
            (_, Closure::Lost, Some(error)) => (Sequel::Fail, transport::describe(error)),
            (Transport::Plain(_), ..) if self.first_byte == Some(TLS_ALERT) => {
                (Sequel::Fail, "the server speaks TLS there: use wss://".to_owned())
            }
            _ => (Sequel::of(closure), describe(closure, &self.refusal) + self.advice(closure)),
        };
        let is_agreed = matches!(closure, Closure::Agreed(..));
        Some(Ending { is_agreed, sequel, problem })
    }

    /// What to do if the reason is that one end speaks TLS and the other does not, and nothing if that cannot be it.
    fn advice(&self, closure: &Closure) -> &'static str {
        match (&self.transport, closure) {
            (Transport::Tls(_), Closure::Lost | Closure::TimedOut(_)) if self.transport.is_handshaking() => {
                " (if the server speaks no TLS there, use ws://)"
            }
            (Transport::Plain(_), Closure::Lost) if self.first_byte.is_none() => {
                " (if the server speaks TLS there, use wss://)"
            }
            (Transport::Plain(_), Closure::Responded(Status::BAD_REQUEST))
                if speaks_of_tls(&self.refusal) =>
            {
                " (use wss://)"
            }
            _ => "",
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.connection.deadline()
    }

    /// The socket, to be polled.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        self.transport.socket()
    }
}

/// How a link ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Both sides have said goodbye.
    pub(crate) is_agreed: bool,
    /// What to do now.
    pub(crate) sequel: Sequel,
    /// What happened, in a sentence that a terminal can show.
    pub(crate) problem: String,
}

/// What to do after a link has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequel {
    /// The server is wanted and may come back.
    Reconnect,
    /// The server is done with us.
    Finished,
    /// It would end in the same way again.
    Fail,
}

impl Sequel {
    /// What to do after a link that ended so.
    fn of(closure: &Closure) -> Sequel {
        match closure {
            Closure::Agreed(code, _) => match code.map_or(1005, CloseCode::number) {
                1000 | 1005 => Sequel::Finished,
                // Going away, an unexpected condition, a restart, overload, a gateway's trouble: they pass. So does
                // 1008, which is what a fanwire says to who was asleep or too slow.
                1001 | 1008 | 1011..=1014 => Sequel::Reconnect,
                _ => Sequel::Fail,
            },
            Closure::Responded(status) if matches!(status.number(), 429 | 500..=599) => Sequel::Reconnect,
            Closure::Lost | Closure::TimedOut(_) => Sequel::Reconnect,
            Closure::Responded(_) | Closure::Failed(_) | Closure::Dropped(_) | Closure::Refused(_) => {
                Sequel::Fail
            }
        }
    }
}

/// Whether a refusal's body is about TLS, as in "The plain HTTP request was sent to HTTPS port" or "You're speaking plain
/// HTTP to an SSL-enabled server port".
fn speaks_of_tls(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    ["HTTPS", "SSL", "TLS"].iter().any(|word| body.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanwire::protocol::{HandshakeError, ProtocolError, Timeout};

    fn agreed(code: u16, reason: &str) -> Closure {
        Closure::Agreed(Some(CloseCode::new(code)), CloseReason::new(reason))
    }

    #[test]
    fn s7_4_codes_of_passing_trouble_reconnect_and_those_that_blame_us_do_not() {
        for code in [1001, 1008, 1011, 1012, 1013, 1014] {
            assert_eq!(Sequel::of(&agreed(code, "")), Sequel::Reconnect, "{code}");
        }
        for code in [1002, 1003, 1007, 1009, 1010, 3000, 4999] {
            assert_eq!(Sequel::of(&agreed(code, "")), Sequel::Fail, "{code}");
        }
        assert_eq!(Sequel::of(&agreed(1000, "")), Sequel::Finished);
        assert_eq!(Sequel::of(&Closure::Agreed(None, CloseReason::none())), Sequel::Finished);
    }

    #[test]
    fn a_refusal_is_final_unless_it_is_the_server_s_own_trouble() {
        let sequel = |status| Sequel::of(&Closure::Responded(Status::new(status)));
        assert_eq!([sequel(200), sequel(302), sequel(403), sequel(404)], [Sequel::Fail; 4]);
        assert_eq!([sequel(429), sequel(500), sequel(502), sequel(503)], [Sequel::Reconnect; 4]);
    }

    #[test]
    fn a_lost_or_silent_server_may_come_back_and_one_that_is_none_may_not() {
        assert_eq!(Sequel::of(&Closure::Lost), Sequel::Reconnect);
        assert_eq!(Sequel::of(&Closure::TimedOut(Timeout::Idle)), Sequel::Reconnect);
        assert_eq!(Sequel::of(&Closure::Failed(ProtocolError::Masked)), Sequel::Fail);
        assert_eq!(Sequel::of(&Closure::Refused(HandshakeError::ResponseInvalid)), Sequel::Fail);
    }
}
