//! [`Sockets`]: what a turn needs of the world. The server's worker is one, and the simulation's network.

use crate::config::Config;
use crate::hub::ClientKey;
use crate::shard::Carried;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

/// What a turn needs of the world.
pub trait Sockets {
    /// Sleeps until something happens, but no longer than `timeout_ms`; without one, as long as it takes. What has
    /// happened is appended to `ready`.
    ///
    /// # Errors
    /// If events can no longer be had: the shard cannot go on.
    fn wait(&mut self, timeout_ms: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// The time, in microseconds since a start that all shards share.
    fn micros(&mut self) -> u64;

    /// The time on the wall, in milliseconds since 1970 (Unix time). It is asked for once a turn, if tokens are used.
    fn unix_ms(&mut self) -> u64;

    /// How many listeners there are.
    fn listeners(&self) -> usize;

    /// Takes a connection from a listener's queue; from now on `key` means it. The peer's address; none if the peer is a
    /// proxy that is trusted, and so says itself for whom it speaks.
    ///
    /// # Errors
    /// `WouldBlock` if the queue is empty; else what the system says of one connection or of its resources.
    fn accept(&mut self, listener: usize, key: ClientKey) -> io::Result<Option<IpAddr>>;

    /// Where a client's socket is connected to, if that has an address.
    fn address(&mut self, client: ClientKey) -> Option<SocketAddr>;

    /// Whether the word of who is at this address is taken for where a client comes from.
    fn is_trusted(&self, proxy: IpAddr) -> bool;

    /// Whether a listener's queue is another process's too, which takes what we leave in it.
    fn is_shared(&self, listener: usize) -> bool;

    /// Has nobody new find the listeners whose queues are nobody else's, as far as that is possible before they are closed.
    fn hide_listeners(&mut self);

    /// Stops listening.
    fn close_listeners(&mut self);

    /// Reads what has come, as much as fits.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has come.
    fn read(&mut self, client: ClientKey, into: &mut [u8]) -> io::Result<Read>;

    /// Writes as much as there is room for; how much was taken. Less than all of it means that [`Ready`] will say when
    /// there is room again.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room.
    fn write(&mut self, client: ClientKey, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Tells the peer that nothing more will come.
    fn shutdown_write(&mut self, client: ClientKey);

    /// What is held for a client between the shard and its socket.
    fn carried(&mut self, client: ClientKey) -> Carried;

    /// Closes a client's socket; its key means nothing from now on.
    fn close(&mut self, client: ClientKey);

    /// Other limits hold from now on, if they are any of its business.
    fn reconfigure(&mut self, _config: &Config) {}
}

/// What a read has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The peer's end: nothing will come any more.
    End,
    /// Something came.
    Bytes {
        /// How much of it is for the client's connection; 0 if the transport has kept all of it to itself.
        bytes: usize,
        /// What it counts for among the bytes that a turn reads, over all clients.
        cost_bytes: usize,
        /// There may be more, of which no event will tell. If not, nothing is left but perhaps an end, of which the
        /// latest event has told.
        more: bool,
    },
    /// The peer, which is trusted, says for whom it speaks; more may come.
    Announced {
        /// For whom; none if for itself.
        source: Option<SocketAddr>,
        /// How much came with that for the client's connection.
        bytes: usize,
        /// What it counts for among the bytes that a turn reads, over all clients.
        cost_bytes: usize,
    },
}

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A listener's queue has got a connection.
    Listener(usize),
    /// A client's socket has changed.
    Client {
        /// Whose.
        key: ClientKey,
        /// There is something to be read.
        readable: bool,
        /// There is room again.
        writable: bool,
        /// Its end, or an error, is among what is to be read.
        ending: bool,
    },
}
