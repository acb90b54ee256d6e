//! fanwire: a WebSocket broadcast server, and the library inside it.
#![forbid(unsafe_code)]

pub mod hub;
pub mod limits;
pub mod protocol;
