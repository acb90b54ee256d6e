//! [`Addresses`]: IP addresses as the user writes them, a range at a time.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// One address, or a range of the last number of an IPv4 address: `127.0.0.1-8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses(pub(super) Vec<IpAddr>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(written: &str) -> Result<Addresses, String> {
        let wrong = || "give an IP address, or a range as 127.0.0.1-8".to_owned();
        let Some((first, last)) = written.split_once('-') else {
            return Ok(Addresses(vec![written.parse().map_err(|_| wrong())?]));
        };
        let first: Ipv4Addr = first.parse().map_err(|_| wrong())?;
        let last: u8 = last.parse().map_err(|_| wrong())?;
        let [a, b, c, first] = first.octets();
        if first > last {
            return Err(format!("the range {first}-{last} ends before it begins"));
        }
        Ok(Addresses((first..=last).map(|d| Ipv4Addr::new(a, b, c, d).into()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(written: &str) -> Result<Vec<String>, String> {
        let addresses: Addresses = written.parse()?;
        Ok(addresses.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_address_is_itself_and_a_range_all_of_its_own() {
        assert_eq!(parse("10.0.0.1"), Ok(vec!["10.0.0.1".into()]));
        assert_eq!(parse("::1"), Ok(vec!["::1".into()]));
        assert_eq!(parse("127.0.0.7-9"), Ok(["127.0.0.7", "127.0.0.8", "127.0.0.9"].map(Into::into).into()));
        assert_eq!(parse("127.0.0.0-255").map(|all| all.len()), Ok(256));
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for wrong in ["", "localhost", "127.0.0.1-", "127.0.0.1-256", "127.0.0.1-127.0.0.8", "::1-8", "-"] {
            assert!(parse(wrong).is_err_and(|error| error.contains("127.0.0.1-8")), "{wrong}");
        }
        assert!(parse("127.0.0.9-8").is_err_and(|error| error.contains("ends before it begins")));
    }
}
