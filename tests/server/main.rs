//! The server on real sockets: what the wire, the clock, the kernel and the process do to it.
//!
//! The protocol's own rules stand in `tests/rfc6455`, the shards' in `tests/simulation.rs`. Here is what only a socket
//! can show: whole conversations, deadlines, limits, workers that share a port, signals, exit codes. Every wait has an
//! end ([`client::PATIENCE`]), and every server in here is checked for leaks when it ends ([`running::Running`]).

mod certificate;
mod client;
mod crowd;
mod metronome;
mod process;
mod running;

mod addresses;
mod at_rest;
mod broadcast;
mod configuration;
mod deadlines;
mod deflate;
mod descriptors;
mod drain;
mod echo;
mod faults;
mod go_program;
mod handshake;
mod limits;
mod many_workers;
mod memory;
mod payload;
mod proxies;
mod rates;
mod restart;
mod slow_consumer;
mod startup;
mod tls;
mod tokens;
mod tungstenite;
mod unix;
