//! [`TrustedProxies`]: whose word is taken for where a client comes from.

use super::ConfigError;
use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::IpAddr;

/// The networks whose machines are trusted to say for whom they speak. Who connects by a Unix socket always is: its file's
/// mode says who may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Adds a network, as `10.0.0.0/8`, or a single address. IPv4 within IPv6 is IPv4.
    ///
    /// # Errors
    /// If it is neither.
    pub fn add(&mut self, network: &str) -> Result<(), ConfigError> {
        let address = || network.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
        let parsed = network.parse().map(canonical).or_else(|_| address()).map_err(|_| {
            let problem = format!("{network:?} is no network");
            ConfigError::new("--trust-proxy", problem, "give an address or a network, as 10.0.0.0/8 or ::1")
        })?;
        self.networks.push(parsed);
        Ok(())
    }

    /// Whether the machine at `address` is trusted.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether nobody is trusted but who connects by a Unix socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

/// The same network, of IPv4 if all of it is IPv4 within IPv6 (RFC 4291 §2.5.5.2).
fn canonical(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix_len)) => {
            Ipv4Net::new(address, prefix_len).map_or(network, IpNet::from)
        }
        _ => network,
    }
}

/// As options say it, one behind the other.
impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.networks.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusting(networks: &[&str]) -> TrustedProxies {
        let mut trusted = TrustedProxies::default();
        networks.iter().try_for_each(|network| trusted.add(network)).expect("networks");
        trusted
    }

    fn contains(trusted: &TrustedProxies, address: &str) -> bool {
        trusted.contains(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_is_its_addresses_and_an_address_itself_alone() {
        let trusted = trusting(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "::1"]);
        for address in
            ["10.0.0.0", "10.255.255.255", "2001:db8:ffff::1", "192.0.2.7", "::1", "::ffff:10.1.2.3"]
        {
            assert!(contains(&trusted, address), "{address}");
        }
        for address in
            ["11.0.0.0", "9.255.255.255", "2001:db9::", "192.0.2.8", "::2", "::ffff:11.0.0.1", "127.0.0.1"]
        {
            assert!(!contains(&trusted, address), "{address}");
        }
        assert_eq!(trusted.to_string(), "10.0.0.0/8, 2001:db8::/32, 192.0.2.7/32, ::1/128");
    }

    #[test]
    fn an_ipv4_address_that_is_given_within_ipv6_is_trusted_as_what_it_is() {
        assert!(contains(&trusting(&["::ffff:192.0.2.1"]), "192.0.2.1"));
    }

    #[test]
    fn rfc4291_2_5_5_2_an_ipv4_network_that_is_given_within_ipv6_is_trusted_as_what_it_is() {
        let trusted = trusting(&["::ffff:10.0.0.0/104", "::ffff:0:0/96"]);
        assert_eq!(trusted.to_string(), "10.0.0.0/8, 0.0.0.0/0");
        let trusted = trusting(&["::ffff:10.0.0.0/104"]);
        assert!(contains(&trusted, "10.1.2.3") && contains(&trusted, "::ffff:10.1.2.3"));
        assert!(!contains(&trusted, "11.0.0.0"));
        assert!(contains(&trusting(&["::fffe:0:0/95"]), "::fffe:0:1"), "a wider one is of IPv6");
    }

    #[test]
    fn nobody_is_trusted_by_default_and_no_whole_family_stands_for_the_other() {
        assert!(TrustedProxies::default().is_empty() && !contains(&TrustedProxies::default(), "127.0.0.1"));
        assert!(!contains(&trusting(&["::/0"]), "127.0.0.1") && !contains(&trusting(&["0.0.0.0/0"]), "::1"));
    }

    #[test]
    fn what_is_no_network_is_an_error_that_names_option_and_fix() {
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "proxy.example", "10.0.0.1:80", "unix"] {
            let error = TrustedProxies::default().add(wrong).expect_err(wrong);
            assert_eq!(error.option, "--trust-proxy");
            assert!(error.fix.contains("10.0.0.0/8"), "{error}");
        }
    }
}
