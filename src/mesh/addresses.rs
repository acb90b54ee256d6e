//! [`Addresses`]: how many connections each address has, over all shards.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What counts as one address: of IPv4 all of it, of IPv6 the first 64 bits, which is what one customer of a provider
/// gets at the least (RFC 6177 §2). IPv4 within IPv6, as a socket on `[::]` tells it, is IPv4 (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// The whole address.
    V4(Ipv4Addr),
    /// The network's part; the rest is 0.
    V6(Ipv6Addr),
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Address::V4(address),
            IpAddr::V6(address) => Address::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::V4(address) => address.fmt(f),
            Address::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// How many connections each address has. Its keys are hashed with a secret: peers choose them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Connections that an address may have; 0 is any number, of which no count is kept.
    max: AtomicUsize,
    /// Invariant: at least 1 each. Who has none has no entry.
    counts: Mutex<HashMap<Address, usize>>,
}

impl Addresses {
    /// Nobody yet.
    pub(super) fn new(max: usize) -> Addresses {
        Addresses { max: AtomicUsize::new(max), counts: Mutex::default() }
    }

    /// Connections that an address may have; 0 is any number.
    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// So many from now on. Who has more keeps them.
    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// One more connection of `address`, if it may have one.
    pub(super) fn admit(&self, address: Address) -> bool {
        let mut counts = self.lock();
        let count = counts.get(&address).copied().unwrap_or(0);
        let may = count < self.max();
        if may {
            counts.insert(address, count + 1);
        }
        may
    }

    /// One less.
    pub(super) fn release(&self, address: Address) {
        if let Entry::Occupied(mut count) = self.lock().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// How many addresses have a connection.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The table. A shard that panicked with the lock held left it whole: no step between can panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn an_ipv4_address_is_one_wherever_it_was_heard() {
        assert_eq!(address("192.0.2.1"), address("::ffff:192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_ne!(address("::ffff:192.0.2.1"), address("::ffff:192.0.2.2"), "not all of IPv4 is one /64");
    }

    #[test]
    fn an_ipv6_address_is_its_first_64_bits() {
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_ne!(address("::1"), address("127.0.0.1"));
    }

    #[test]
    fn it_is_called_by_what_counts() {
        assert_eq!(address("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(address("2001:db8:1:2::7").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn each_address_has_so_many_places_and_no_entry_when_it_has_none_taken() {
        let addresses = Addresses::new(2);
        let (ann, bob) = (address("192.0.2.1"), address("192.0.2.2"));
        assert!(addresses.admit(ann) && addresses.admit(ann) && !addresses.admit(ann));
        assert!(addresses.admit(bob), "another address has its own");
        addresses.release(ann);
        assert!(addresses.admit(ann) && !addresses.admit(ann));
        assert_eq!(addresses.len(), 2);
        addresses.release(ann);
        addresses.release(ann);
        assert_eq!(addresses.len(), 1);
        addresses.release(bob);
        assert_eq!(addresses.len(), 0);
    }
}
