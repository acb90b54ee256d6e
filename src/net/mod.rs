//! The operating system's sockets, as we want them.

pub mod listener;
pub mod transport;
