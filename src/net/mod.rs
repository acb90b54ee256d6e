//! The operating system's sockets, as we want them.

pub(crate) mod listener;
pub(crate) mod transport;
