//! fanwire: a WebSocket broadcast server, and the library inside it. What one client says, everyone in its channel
//! hears, in one order.
//!
//! # Bird's eye
//!
//! A [`shard`] is everything one worker thread owns that is not a file descriptor: its clients, their subscriptions,
//! the channels at home there, their deadlines. It is pure: bytes, mail and time go in; bytes, mail and deadlines come
//! out. A worker is a thread with one shard, one poll, its sockets, and a listener per address that shares its port
//! with the other workers'. Shards share nothing but immutable frames and the mailboxes of the [`mesh`].
//!
//! ```text
//!  socket ─▶ Connection ─▶ dialect ─▶ home of the channel ─▶ open segment ─▶ log ─▶ cursors ─▶ sockets
//!            (protocol)    (what it    (one shard, by its     (one frame a    (one a  (one a
//!                           means)      name: the order)       publication)   shard)  subscriber)
//! ```
//!
//! A message is read in place, given its position by its channel's home, and encoded once. Every shard with
//! subscribers keeps the frames in one log; a subscriber owns no copy and no queue but a cursor, and is written from
//! there to the log's end. So publishing is O(1) however many listen, and a delivery is one system call for all that
//! has come since the last one.
//!
//! # Where to begin
//!
//! - To run a server: [`server::Server`], with a [`config::Config`].
//! - To speak WebSocket over a transport of your own, as client or server: [`protocol`] alone.
//! - To understand the server: [`turn`] is one round of the loop, [`shard`] what it calls, [`hub`] what a channel is.
//!
//! # Modules, in the order of their dependencies
//!
//! [`limits`] ← [`config`], [`metrics`], `pages` ← [`auth`] ← [`protocol`] ← [`hub`] ← `dialect` ← [`shard`] ←
//! [`mesh`] ← [`turn`] ← `worker` ← `control` ← [`server`]. `net` needs only `limits` and `config`, and serves `worker` and
//! `server`.
//!
//! # Features
//!
//! - `cli` (on by default): the program, with `control`.
//! - `control`: the admin API with its metrics and dashboard, for [`config::Config::admin`].
//!
//! Without either there are [`protocol`] and the server alone.
//!
//! # What is public, and how long
//!
//! [`server`], [`config`], [`limits`] and [`metrics`] are for those who run the server inside a program of their own;
//! [`protocol`] for those who bring their own transport. They change only with a version that says so. [`auth`],
//! [`hub`], [`shard`], [`mesh`] and [`turn`] are the engine, public for those who drive it with sockets of their own, as the
//! simulation does: they may change with every minor version. The rest is private.
//!
//! # Architecture invariants
//!
//! 1. `protocol`, `hub`, `dialect` and `shard` touch no socket, clock, thread or randomness; seeds come in at
//!    construction.
//! 2. What is done in a turn is done at one time, that of the wait's end. The clock is read besides only to know how long
//!    things took.
//! 3. Bytes leave only in *flush*; clients die only in *reap*.
//! 4. No lock in the data plane outside `mesh`.
//! 5. Only a channel's home decides its order; every subscriber on every shard sees that one order, without gaps, until
//!    it leaves or is told that it lost something.
//! 6. Nothing follows a Close frame into an outbox; nothing tears a frame.
//! 7. Every queue, buffer and deadline has its bound in `limits`.
//! 8. The data plane never waits for the threads that start, watch and stop it.
//! 9. A subscription is confirmed by the channel's home before the client gets its 101: who has it misses nothing that
//!    is published afterwards.
//! 10. `#![forbid(unsafe_code)]`.
#![forbid(unsafe_code)]

pub mod auth;
pub mod config;
#[cfg(feature = "control")]
mod control;
mod dialect;
pub mod hub;
pub mod limits;
pub mod mesh;
pub mod metrics;
mod net;
mod pages;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod protocol;
pub mod server;
pub mod shard;
pub mod turn;
mod worker;
