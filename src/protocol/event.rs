//! [`Event`]: what comes out of a connection, and [`Closure`]: why it has ended.

use super::close::{CloseCode, CloseReason};
use super::error::{HandshakeError, ProtocolError};
use super::handshake::{Agreement, Request};
use super::message::Message;
use super::response::Status;

/// What comes out of a connection. Pings are answered and Pongs taken note of without an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// Server role: a whole request head came. Answer it with [`accept`](super::Connection::accept) or [`respond`](super::Connection::respond). Boxed,
    /// because it comes once, and an event is as large as its largest kind.
    Requested(Box<Request>),
    /// Client role: the server's 101 was right, and the connection is open.
    Accepted(Agreement),
    /// A message came.
    Message(Message<'i>),
    /// The connection has ended. This comes once; only bytes to flush may follow it.
    Closed(Closure),
}

/// Why a connection ended, for logs and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closure {
    /// The peer's Close frame came, with its code and reason. `None` stands for a frame without a code, reported as
    /// [`CloseCode::NO_STATUS`].
    Agreed(Option<CloseCode>, CloseReason),
    /// Server role: the request was answered by a response instead of a 101. Client role: the server answered so.
    Responded(Status),
    /// The peer broke RFC 6455 or a limit, and the connection failed (§7.1.7).
    Failed(ProtocolError),
    /// The caller failed the connection with this code ([`fail`](super::Connection::fail)).
    Dropped(CloseCode),
    /// The opening handshake was not HTTP, or not acceptable.
    Refused(HandshakeError),
    /// The peer took too long.
    TimedOut(Timeout),
    /// The peer's end of the TCP connection came without a Close frame; reported as [`CloseCode::ABNORMAL`].
    Lost,
}

/// What a peer took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// The opening handshake, as a whole.
    Handshake,
    /// Any byte at all.
    Idle,
    /// The answer to our Close frame.
    Close,
}
