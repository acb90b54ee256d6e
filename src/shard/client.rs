//! [`Client`]: a peer as the shard knows it.

use super::admission::Credentials;
use super::allowance::Allowance;
use super::deadlines::Instant;
use super::outbox::Outbox;
use crate::dialect::Dialect;
use crate::hub::{LogPosition, Membership};
use crate::protocol::{Connection, Deflate, Time};

/// One peer: its WebSocket state, what it has still to be sent, and where it listens.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each said where it stands")]
pub(super) struct Client {
    /// The state of its wire.
    pub connection: Connection,
    /// What it has still to be sent.
    pub outbox: Outbox,
    /// Where it listens, if it does.
    pub membership: Option<Membership>,
    /// When it was accepted.
    pub accepted: Time,
    /// Its earliest entry among the deadlines.
    pub scheduled: Instant,
    /// Bytes that it holds, as the shard last counted them.
    pub held: u32,
    /// What its messages mean.
    pub dialect: Dialect,
    /// What its handshake agrees to about compression.
    pub deflate: Option<Deflate>,
    /// Its handshake agrees to the subprotocol that stands for what the path names.
    pub has_subprotocol: bool,
    /// What is known about bytes it sent that were not read.
    pub inbox: Inbox,
    /// What most clients do not have.
    pub account: Option<Box<Account>>,
    /// It was turned away at the door: its place among the bounded number of those comes back when it goes.
    pub turned_away: bool,
    /// Its last byte has been taken: it stands, or stood, among those whose write sides are to be shut down.
    pub finished: bool,
    /// Nothing more is to be done for it; it stands among the dying and is freed in *reap*.
    pub dying: bool,
}

/// How fast a client may send and who it is, where the operator asks. In one box, because most clients have neither.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// What it may send for the time being; absent if no rate is limited.
    pub allowance: Option<Allowance>,
    /// Who it is; absent if it came without a token.
    pub credentials: Option<Credentials>,
}

const _: () = assert!(size_of::<usize>() != 8 || size_of::<Account>() <= 152, "README says so");

/// What is known about bytes that a client sent and that were not read.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// There may be some: no read has come back short since the latest event, or its connection holds input.
    pub unread: bool,
    /// The socket is among those to be read. Implies `unread`.
    pub listed: bool,
    /// The peer's end is over: a short read does not mean that the socket is drained, only its end does.
    pub ending: bool,
}

/// One slab entry is what an idle client costs, next to a deadline (16 bytes) and its socket.
const _: () = assert!(size_of::<Client>() <= 128, "an idle client stays within two cache lines");

impl Client {
    /// A client whose opening handshake begins.
    pub(super) fn new(connection: Connection, now: Time) -> Client {
        Client {
            connection,
            outbox: Outbox::default(),
            membership: None,
            accepted: now,
            scheduled: Instant::NEVER,
            held: 0,
            dialect: Dialect::Relay,
            deflate: None,
            has_subprotocol: false,
            inbox: Inbox::default(),
            account: None,
            turned_away: false,
            finished: false,
            dying: false,
        }
    }

    /// What it may send for the time being, if a rate is limited.
    pub(super) fn allowance(&self) -> Option<&Allowance> {
        self.account.as_ref()?.allowance.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn allowance_mut(&mut self) -> Option<&mut Allowance> {
        self.account.as_mut()?.allowance.as_mut()
    }

    /// Who it is, if it came with a token.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.account.as_ref()?.credentials.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn credentials_mut(&mut self) -> Option<&mut Credentials> {
        self.account.as_mut()?.credentials.as_mut()
    }

    /// Whether it has been written its channel's log up to `end` and all that is its own, so that it can be closed; it is, if
    /// its connection is over.
    pub(super) fn is_written_to(&self, end: LogPosition) -> bool {
        let is_written = self.membership.is_none_or(|membership| membership.cursor >= end);
        self.connection.is_over() || (is_written && self.outbox.own_bytes() == 0)
    }

    /// Bytes of memory that it holds, in its outbox and its connection, and as who it is.
    pub(super) fn held_bytes(&self) -> usize {
        let credentials = self.credentials().map_or(0, Credentials::held_bytes);
        self.outbox.held_bytes() + self.connection.held_bytes() + credentials
    }
}
