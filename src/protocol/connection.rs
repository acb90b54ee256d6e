//! [`Connection`].

use super::close::{CloseCode, CloseReason};
use super::error::{HandshakeError, ProtocolError};
use super::handshake::{Agreement, ClientRequest, Request};
use super::message::{Kind, Message};
use super::response::{Response, Status};
use super::time::Time;
use crate::limits::Limits;
use std::sync::Arc;

/// What comes out of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// Server role: a whole request head came. Answer it with [`Connection::accept`] or [`Connection::respond`].
    Requested(Request),
    /// Client role: the server's 101 was right, and the connection is open.
    Accepted(Agreement),
    /// A message came.
    Message(Message<'i>),
    /// The connection has ended. This comes once; only bytes to flush may follow it.
    Closed(Closure),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closure {
    /// The peer's Close frame came, with its code (without one, that is reported as 1005) and reason.
    Agreed(Option<CloseCode>, CloseReason),
    /// Server role: the request was answered by a response other than 101. Client role: the server answered so.
    Responded(Status),
    /// The peer broke RFC 6455, and the connection failed (§7.1.7).
    Failed(ProtocolError),
    /// The caller failed the connection with this code ([`Connection::fail`]).
    Dropped(CloseCode, CloseReason),
    /// The opening handshake was not HTTP, or not acceptable.
    Refused(HandshakeError),
    /// The peer took too long.
    TimedOut(Timeout),
    /// The peer's end of the TCP connection came without a Close frame.
    Lost,
}

/// What a peer took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// The opening handshake.
    Handshake,
    /// Any byte at all.
    Idle,
    /// The answer to our Close frame.
    Close,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wants {
    /// Bytes from the peer.
    Input,
    /// Server role: [`Connection::accept`] or [`Connection::respond`].
    Decision,
    /// Write what is left, shut down the write side, then read until the peer's end.
    FlushThenShutdown,
    /// Nothing more: the transport can be dropped.
    Nothing,
}

/// One WebSocket connection, without its transport.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
}

impl Connection {
    /// Server role.
    #[must_use]
    pub fn server(limits: Arc<Limits>, now: Time) -> Connection {
        unimplemented!("{limits:?} {now:?}")
    }

    /// Client role: appends the request to `out`. The masking keys are drawn from `seed`.
    #[must_use]
    pub fn client(
        limits: Arc<Limits>,
        request: ClientRequest,
        seed: [u8; 32],
        now: Time,
        out: &mut Vec<u8>,
    ) -> Connection {
        unimplemented!("{limits:?} {request:?} {seed:?} {now:?} {out:?}")
    }

    /// Consumes bytes from the front of `input` until there is an event or the input is used up.
    pub fn next_event<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        now: Time,
        out: &mut Vec<u8>,
    ) -> Option<Event<'i>> {
        unimplemented!("{input:?} {now:?} {out:?}")
    }

    /// The peer's end of the TCP connection came.
    pub fn receive_eof(&mut self, now: Time) -> Option<Event<'static>> {
        unimplemented!("{now:?}")
    }

    /// Call at or after [`deadline`](Self::deadline).
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Event<'static>> {
        unimplemented!("{now:?} {out:?}")
    }

    /// The peer counts as alive although nothing was read.
    pub fn heard(&mut self, now: Time) {
        unimplemented!("{now:?}")
    }

    /// Whether the peer's own unwritten bytes are over [`OWN_BYTES_MARK`](crate::limits::OWN_BYTES_MARK).
    pub fn set_congested(&mut self, congested: bool, out: &mut Vec<u8>) {
        unimplemented!("{congested:?} {out:?}")
    }

    /// Keeps bytes behind the request head while a decision is pending.
    pub fn hold(&mut self, rest: &[u8]) {
        unimplemented!("{rest:?}")
    }

    /// Appends the 101; returns what was held.
    pub fn accept(&mut self, agreement: Agreement, now: Time, out: &mut Vec<u8>) -> Vec<u8> {
        unimplemented!("{agreement:?} {now:?} {out:?}")
    }

    /// Answers with an HTTP response instead of a 101.
    pub fn respond(&mut self, response: &Response, now: Time, out: &mut Vec<u8>) -> Option<Closure> {
        unimplemented!("{response:?} {now:?} {out:?}")
    }

    /// Appends a message in one frame; false unless open.
    pub fn send(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        unimplemented!("{kind:?} {payload:?} {out:?}")
    }

    /// Appends a message in as many frames as there are fragments; false unless open.
    pub fn send_fragments<'f>(
        &mut self,
        kind: Kind,
        fragments: impl IntoIterator<Item = &'f [u8]>,
        out: &mut Vec<u8>,
    ) -> bool {
        let _ = fragments;
        unimplemented!("{kind:?} {out:?}")
    }

    /// Appends a Ping; false unless open.
    pub fn send_ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        unimplemented!("{payload:?} {out:?}")
    }

    /// Starts the closing handshake (§7.1.2).
    pub fn close(&mut self, code: CloseCode, reason: &CloseReason, now: Time, out: &mut Vec<u8>) {
        unimplemented!("{code:?} {reason:?} {now:?} {out:?}")
    }

    /// Fails the connection (§7.1.7): a Close frame goes out, and no answer is awaited.
    pub fn fail(
        &mut self,
        code: CloseCode,
        reason: &CloseReason,
        now: Time,
        out: &mut Vec<u8>,
    ) -> Option<Closure> {
        unimplemented!("{code:?} {reason:?} {now:?} {out:?}")
    }

    /// What the connection waits for.
    #[must_use]
    pub fn wants(&self) -> Wants {
        unimplemented!()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        unimplemented!()
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        unimplemented!()
    }

    /// Bytes of heap that the connection holds for what has come in and is not finished.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        unimplemented!()
    }
}
