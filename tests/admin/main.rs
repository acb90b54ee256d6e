//! The admin API on real sockets: every endpoint, and both sides of each rule.
#![cfg(feature = "control")]

#[path = "../server/client.rs"]
#[allow(dead_code, reason = "the server's tests need more of it")]
mod client;
mod stage;

mod access;
mod channels;
mod clients;
mod description;
mod limits;
mod live;
mod metrics;
mod operations;
mod publish;
