//! Whom a proxy speaks for, as it says in `X-Forwarded-For` or in `Forwarded` (RFC 7239): [`client_of`].
//!
//! Each proxy adds, at the end of the list, the address that it was connected to from. So the list is as trustworthy as who
//! wrote it, from its end on: it is walked from there, past the proxies that are trusted, up to the first address that is
//! not. What stands before that is the client's own claim, and is not looked at.
//!
//! Where both headers are there, `X-Forwarded-For` decides, which nearly all proxies set: of the other one nobody could say
//! whether a proxy or the client has written it.

use crate::protocol::Forwarding;
use std::net::{IpAddr, SocketAddr};

/// Where the client behind `own` is, the address of whoever is connected: none if that is a Unix socket, which is trusted.
/// The port is 0 if it is not known. An entry that cannot be understood ends the walk: then it is the proxy before it.
pub(super) fn client_of(
    own: Option<SocketAddr>,
    said: &Forwarding,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<SocketAddr> {
    let mut client = own;
    let mut walk = |entries: &mut dyn Iterator<Item = Option<SocketAddr>>| {
        while client.is_none_or(|address| is_trusted(address.ip()))
            && let Some(Some(address)) = entries.next()
        {
            client = Some(address);
        }
    };
    match (&said.x_forwarded_for, &said.forwarded) {
        (Some(list), _) => walk(&mut from_the_end(list, Quotes::AreNone).map(node)),
        (None, Some(list)) => walk(&mut from_the_end(list, Quotes::Hide).map(forwarded_for)),
        (None, None) => {}
    }
    client
}

/// Whether commas between quotes divide a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// There are no quotes: they do.
    AreNone,
    /// They do not.
    Hide,
}

/// The elements of a list, the last one first. Quotes are counted from the end too: one that a client leaves open hides
/// nothing that a proxy has added.
fn from_the_end(list: &[u8], quotes: Quotes) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    let elements = std::iter::from_fn(move || {
        let list = rest?;
        let mut is_quoted = false;
        let comma = list.iter().rposition(|byte| {
            is_quoted ^= *byte == b'"' && quotes == Quotes::Hide;
            *byte == b',' && !is_quoted
        });
        let (before, element) = comma.map_or((None, list), |at| (Some(&list[..at]), &list[at + 1..]));
        rest = before;
        Some(element.trim_ascii())
    });
    elements.filter(|element| !element.is_empty())
}

/// The `for` of an element of `Forwarded` (RFC 7239 §4): there is one at most.
fn forwarded_for(element: &[u8]) -> Option<SocketAddr> {
    // An address needs no escapes, and quotes around what may hold a semicolon are not worth a parser.
    let mut pairs = element.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        pair[..at].trim_ascii().eq_ignore_ascii_case(b"for").then(|| pair[at + 1..].trim_ascii())
    });
    let (value, None) = (pairs.next()?, pairs.next()) else { return None };
    match value {
        [b'"', quoted @ .., b'"'] => node(quoted),
        token => node(token),
    }
}

/// An address, of IPv6 in brackets or not, and perhaps a port. What stands for an address (`unknown`, `_hidden`) is none.
fn node(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let alone = || bracketed.unwrap_or(text).parse().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    let address: SocketAddr = text.parse().or_else(|_| alone()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Who is trusted here: 10.0.0.0/8, and `::1`.
    fn is_trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.is_loopback(),
        }
    }

    /// The client behind `own`, which is a Unix socket if it is empty.
    fn behind(own: &str, x_forwarded_for: Option<&str>, forwarded: Option<&str>) -> String {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let said = Forwarding { x_forwarded_for: bytes(x_forwarded_for), forwarded: bytes(forwarded) };
        let own = (!own.is_empty()).then(|| own.parse().expect("an address"));
        client_of(own, &said, is_trusted).map_or_else(|| "nobody".into(), |address| address.to_string())
    }

    fn x_forwarded_for(list: &str) -> String {
        behind("10.0.0.1:99", Some(list), None)
    }

    fn forwarded(list: &str) -> String {
        behind("10.0.0.1:99", None, Some(list))
    }

    #[test]
    fn who_is_not_trusted_is_the_client_whatever_it_says() {
        assert_eq!(behind("192.0.2.9:99", Some("192.0.2.1"), Some("for=192.0.2.1")), "192.0.2.9:99");
    }

    #[test]
    fn without_a_header_the_proxy_speaks_for_itself_and_a_unix_socket_for_nobody() {
        assert_eq!(behind("10.0.0.1:99", None, None), "10.0.0.1:99");
        assert_eq!(behind("", None, None), "nobody");
        assert_eq!(behind("", Some(""), None), "nobody");
        assert_eq!(behind("", Some("192.0.2.1"), None), "192.0.2.1:0", "a Unix socket is trusted");
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        assert_eq!(x_forwarded_for("192.0.2.1"), "192.0.2.1:0");
        assert_eq!(x_forwarded_for("198.51.100.7, 192.0.2.1"), "192.0.2.1:0", "the first is its own claim");
        assert_eq!(x_forwarded_for("192.0.2.1, 10.0.0.3, 10.0.0.2"), "192.0.2.1:0");
        assert_eq!(x_forwarded_for("10.0.0.3,10.0.0.2"), "10.0.0.3:0", "all of them are trusted");
        assert_eq!(x_forwarded_for(" , 192.0.2.1 ,, "), "192.0.2.1:0", "empty elements are legal");
    }

    #[test]
    fn an_address_may_have_a_port_and_brackets() {
        for (text, address) in [
            ("192.0.2.1:4711", "192.0.2.1:4711"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:4711", "[2001:db8::1]:4711"),
            ("::ffff:192.0.2.1", "192.0.2.1:0"),
            ("192.0.2.1, ::ffff:10.0.0.7", "192.0.2.1:0"),
        ] {
            assert_eq!(x_forwarded_for(text), address);
        }
    }

    #[test]
    fn what_cannot_be_understood_ends_the_walk_at_the_proxy_before_it() {
        for text in
            ["unknown", "192.0.2", "192.0.2.1:", "192.0.2.1:70000", "\"192.0.2.1\"", "[::1", "::1]", "é"]
        {
            assert_eq!(x_forwarded_for(text), "10.0.0.1:99", "{text}");
            assert_eq!(x_forwarded_for(&format!("192.0.2.1, {text}, 10.0.0.2")), "10.0.0.2:0", "{text}");
        }
    }

    #[test]
    fn rfc_7239_s4_forwarded_names_the_client_by_for() {
        for (list, address) in [
            ("for=192.0.2.1", "192.0.2.1:0"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60:0"),
            ("proto=https ; FOR = \"192.0.2.1:80\"", "192.0.2.1:80"),
            ("for=198.51.100.7, for=192.0.2.1;by=10.0.0.2, for=10.0.0.2", "192.0.2.1:0"),
            ("for=192.0.2.1;ext=\"a,b\", for=10.0.0.2", "192.0.2.1:0"),
        ] {
            assert_eq!(forwarded(list), address, "{list}");
        }
    }

    #[test]
    fn rfc_7239_s6_what_hides_the_client_or_does_not_name_it_ends_the_walk() {
        for list in [
            "for=unknown",
            "for=_hidden",
            "for=\"_gazonk\"",
            "proto=https",
            "for=",
            "192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1",
            "for=\"192.0.\\2.1\"",
        ] {
            assert_eq!(forwarded(list), "10.0.0.1:99", "{list}");
        }
    }

    #[test]
    fn a_quote_that_a_client_leaves_open_hides_nothing_that_a_proxy_adds() {
        assert_eq!(forwarded("for=\"198.51.100.7, for=192.0.2.1"), "192.0.2.1:0");
        assert_eq!(forwarded("for=\"198.51.100.7, for=\"192.0.2.1:7\""), "192.0.2.1:7");
    }

    #[test]
    fn where_both_headers_are_there_x_forwarded_for_decides() {
        let both = |x_forwarded_for| behind("10.0.0.1:99", Some(x_forwarded_for), Some("for=198.51.100.7"));
        assert_eq!(both("192.0.2.1"), "192.0.2.1:0");
        assert_eq!(both("unknown"), "10.0.0.1:99");
        assert_eq!(both(""), "10.0.0.1:99");
    }

    proptest! {
        /// What a client writes before what a trusted proxy adds never changes whom the proxy names.
        #[test]
        fn what_a_client_claims_changes_nothing(claim in "[ -~]{0,80}") {
            prop_assert_eq!(x_forwarded_for(&format!("{claim}, 192.0.2.1")), "192.0.2.1:0");
            prop_assert_eq!(x_forwarded_for(&format!("{claim},192.0.2.1, 10.0.0.2")), "192.0.2.1:0");
            prop_assert_eq!(forwarded(&format!("{claim}, for=192.0.2.1")), "192.0.2.1:0");
            prop_assert_eq!(forwarded(&format!("{claim}, for=\"[2001:db8::1]:7\"")), "[2001:db8::1]:7");
        }
    }
}
