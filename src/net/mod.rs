//! The operating system's sockets, as we want them, and TLS on them.

pub(crate) mod certificates;
mod expiry;
pub(crate) mod listener;
pub(crate) mod tls;
pub(crate) mod transport;

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
}
