//! Whom a client counts for: its own address, or that of the one for whom it speaks, as soon as that is known.

use super::forwarded::client_of;
use super::{EventLoop, Sockets};
use crate::hub::{ClientId, ClientKey};
use crate::mesh::{Address, Wake};
use crate::shard::Full;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

impl<S: Sockets, W: Wake> EventLoop<S, W> {
    /// Takes a place among those of an address. Only if they are limited.
    pub(super) fn admit_address(&mut self, address: Address) -> Result<(), Full> {
        if self.mesh.admit_address(address) {
            return Ok(());
        }
        self.peers.turned_away(address, self.mesh.connections_per_address_max(), self.now);
        self.shard.counters().connections_turned_away_by_address.add(1);
        Err(Full::Address)
    }

    /// A client turns out to speak for who is at `address`, for whom it takes a place there, once.
    fn place(&mut self, key: ClientKey, address: SocketAddr) -> Result<(), Full> {
        self.note_behind(key, address);
        if self.mesh.connections_per_address_max() == 0 || self.peers.has_place(key) {
            return Ok(());
        }
        let place = Address::from(address.ip());
        self.admit_address(place)?;
        self.peers.note(key, place);
        Ok(())
    }

    /// A client's PROXY header says for whom it speaks. If that is nobody who could speak for others, there is a place for
    /// it or there is none. One that was turned away at the door needs none.
    pub(super) fn announced(&mut self, key: ClientKey, source: SocketAddr) {
        if self.sockets.is_trusted(source.ip()) {
            self.note_behind(key, source);
        } else if !self.shard.is_turned_away(key)
            && let Err(why) = self.place(key, source)
        {
            self.shard.refuse(key, why, self.now);
        }
    }

    /// Takes down where the one is for whom a client speaks, if that is news.
    fn note_behind(&mut self, key: ClientKey, address: SocketAddr) {
        if self.peers.behind(key).or_else(|| self.sockets.address(key)) != Some(address) {
            self.peers.note_behind(key, address);
            let name = ClientId { shard: self.shard.id(), client: key };
            tracing::debug!(client = %name, address = %ForPeople(address), "speaks for");
        }
    }

    /// Finds out for whom those speak who have just asked for something. Returns what that came to, to be taken off the
    /// turn's budget of bytes read.
    pub(super) fn identify(&mut self) -> usize {
        let mut came_to = 0;
        while let Some((key, request)) = self.shard.next_to_identify() {
            let own = self.peers.behind(key).or_else(|| self.sockets.address(key));
            let said = request.forwarding.as_deref().cloned().unwrap_or_default();
            let client = client_of(own, &said, |proxy| self.sockets.is_trusted(proxy));
            let place = client.map_or(Ok(()), |client| self.place(key, client));
            came_to += self.shard.identified(key, &request, place, self.now);
        }
        came_to
    }

    /// Where a client comes from, as text for people: the one for whom it speaks, if it does. None if it is a Unix socket of
    /// which no more is known.
    pub fn address(&mut self, key: ClientKey) -> Option<String> {
        let address = self.peers.behind(key).or_else(|| self.sockets.address(key));
        address.map(|address| ForPeople(address).to_string())
    }
}

/// An address as people read it: without a port that is not known, and IPv4 as what it is.
pub(crate) struct ForPeople(pub(crate) SocketAddr);

impl fmt::Display for ForPeople {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.ip().to_canonical(), self.0.port()) {
            (ip, 0) => ip.fmt(f),
            (ip @ IpAddr::V4(_), port) => SocketAddr::new(ip, port).fmt(f),
            (IpAddr::V6(_), _) => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_written_as_one_wherever_it_was_heard_and_a_port_only_if_it_is_known() {
        for (address, text) in [
            ("[::ffff:192.0.2.1]:4711", "192.0.2.1:4711"),
            ("[::ffff:192.0.2.1]:0", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1:4711"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[2001:db8::1]:0", "2001:db8::1"),
        ] {
            assert_eq!(ForPeople(address.parse().expect("an address")).to_string(), text);
        }
    }
}
