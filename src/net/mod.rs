//! The operating system's sockets, as we want them, and TLS on them.

pub(crate) mod certificates;
mod expiry;
pub(crate) mod listener;
mod proxy;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod transport;
mod unix_file;

use std::net::SocketAddr;

/// What a read has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The peer's end: nothing will come any more.
    End,
    /// Plaintext, or none but what was worth the work.
    Bytes {
        /// How much there is of it.
        bytes: usize,
        /// What that was worth of the budget of bytes to be read in a turn.
        cost_bytes: usize,
        /// There may be more, of which no event will tell.
        more: bool,
    },
    /// The PROXY header, and what came with it. There may be more.
    Announced {
        /// For whom the connection is made; none if it is the peer itself.
        source: Option<SocketAddr>,
        /// Plaintext behind the header.
        bytes: usize,
        /// What that was worth, with the header.
        cost_bytes: usize,
    },
}
