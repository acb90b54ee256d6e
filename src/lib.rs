//! fanwire: a WebSocket broadcast server, and the library inside it.
#![forbid(unsafe_code)]

pub mod config;
pub mod dialect;
pub mod hub;
pub mod limits;
pub mod mesh;
pub mod metrics;
pub mod net;
pub mod pages;
pub mod protocol;
pub mod server;
pub mod shard;
pub mod turn;
pub mod worker;
