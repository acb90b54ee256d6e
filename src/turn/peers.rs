//! [`Peers`]: which addresses the clients of one loop come from, where connections of one address are limited, or where
//! proxies speak for them.

use crate::hub::ClientKey;
use crate::limits;
use crate::mesh::Address;
use crate::protocol::Time;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The addresses of one loop's clients, and what its log has said of those that had too many.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// By the index of their clients' keys; empty if nobody counts.
    addresses: Vec<Option<Address>>,
    /// Where those are for whom clients speak, by the index of their keys, if it is not where the socket says. The port is 0
    /// if it is not known.
    behind: HashMap<u32, SocketAddr>,
    /// When the latest line was written.
    said: Option<Time>,
    /// Connections turned away since then.
    unsaid: u64,
}

impl Peers {
    /// A client that takes a place among those of its address.
    pub(super) fn note(&mut self, client: ClientKey, address: Address) {
        let index = client.index as usize;
        if index >= self.addresses.len() {
            self.addresses.resize(index + 1, None);
        }
        self.addresses[index] = Some(address);
    }

    /// Whether a client has taken its place among those of its address.
    pub(super) fn has_place(&self, client: ClientKey) -> bool {
        self.addresses.get(client.index as usize).is_some_and(Option::is_some)
    }

    /// A client speaks for who is at `address`.
    pub(super) fn note_behind(&mut self, client: ClientKey, address: SocketAddr) {
        self.behind.insert(client.index, address);
    }

    /// Where the one is for whom a client speaks, if it does.
    pub(super) fn behind(&self, client: ClientKey) -> Option<SocketAddr> {
        self.behind.get(&client.index).copied()
    }

    /// A client goes; the address whose place it gives back, if it took one.
    pub(super) fn forget(&mut self, client: ClientKey) -> Option<Address> {
        if !self.behind.is_empty() {
            self.behind.remove(&client.index);
            if self.behind.is_empty() {
                self.behind = HashMap::new();
            }
        }
        self.addresses.get_mut(client.index as usize)?.take()
    }

    /// A connection is turned away, because `address` has `max` already. The log hears of it now and then only.
    pub(super) fn turned_away(&mut self, address: Address, max: usize, now: Time) {
        tracing::debug!(%address, "turned away: too many connections of its address");
        self.unsaid += 1;
        if let Some(turned_away) = self.due_line(now) {
            tracing::info!(
                %address, turned_away,
                "turned away: --max-connections-per-ip allows {max} connections of an address at a time"
            );
        }
    }

    /// How many were turned away since the latest line of the log, if it is time for another one.
    fn due_line(&mut self, now: Time) -> Option<u64> {
        if self.said.is_some_and(|said| now.since(said) < limits::ADDRESSES_LOG_MS) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_flood_is_a_line_in_ten_seconds_that_counts_it() {
        let mut peers = Peers::default();
        let mut said = |ms: u32| {
            peers.unsaid += 1;
            peers.due_line(Time(u32::MAX - 5_000).plus(ms))
        };
        assert_eq!(
            [0, 1, 9_999, 10_000, 10_001, 20_000].map(&mut said),
            [Some(1), None, None, Some(3), None, Some(2)]
        );
    }

    #[test]
    fn for_whom_a_client_speaks_is_forgotten_with_it() {
        let (mut peers, address) = (Peers::default(), SocketAddr::from(([192, 0, 2, 1], 0)));
        let client = ClientKey { index: 3, generation: 7 };
        peers.note_behind(client, address);
        assert_eq!((peers.behind(client), peers.has_place(client)), (Some(address), false));
        assert_eq!((peers.forget(client), peers.behind(client)), (None, None));
    }

    #[test]
    fn an_address_is_forgotten_once() {
        let (mut peers, address) = (Peers::default(), Address::V4(Ipv4Addr::LOCALHOST));
        let client = ClientKey { index: 3, generation: 7 };
        assert_eq!(peers.forget(client), None);
        peers.note(client, address);
        assert_eq!(peers.forget(ClientKey { index: 2, ..client }), None);
        assert_eq!((peers.forget(client), peers.forget(client)), (Some(address), None));
    }
}
