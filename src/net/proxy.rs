//! [`ProxyHeader`]: what a proxy says of a connection before its first byte, by the PROXY protocol, version 1 or 2
//! (`HAProxy`'s `doc/proxy-protocol.txt`).
//!
//! A header is read as its bytes come, however they are cut, and no byte behind it is looked at. What cannot be one is
//! known at its first wrong byte, or at its end. What it says is [`ppp`]'s to understand; whether the peer may be believed
//! is not decided here.

use crate::limits;
use ppp::{v1, v2};
use std::net::SocketAddr;

/// How a header of version 2 begins (§2.2).
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a header of version 2 up to its length's end (§2.2).
const V2_FIXED_BYTES: usize = 16;

/// How one of version 1 begins (§2.1).
const V1_PREFIX: &[u8] = b"PROXY ";

/// Bytes of the longest one of version 1, with its line's end (§2.1).
const V1_BYTES_MAX: usize = 107;

const _: () = assert!(V1_BYTES_MAX <= limits::PROXY_HEADER_BYTES_MAX, "version 1 fits");

/// A header of which no end has come yet.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeader {
    /// Invariant: the beginning of what may become a header, shorter than [`limits::PROXY_HEADER_BYTES_MAX`].
    begun: Vec<u8>,
}

/// What has come of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// All of them belong to the header, and there are more to come.
    Incomplete,
    /// The header is whole.
    Complete {
        /// How many of the latest bytes belong to it.
        consumed: usize,
        /// For whom the connection is made. None if the proxy makes it for itself (LOCAL), does not say (UNKNOWN), or
        /// names no address of TCP: then it is the peer's own.
        source: Option<SocketAddr>,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeaderError {
    /// They begin otherwise.
    Missing,
    /// It is longer than any may be.
    TooLong,
    /// It says nothing that can be understood.
    Invalid,
}

impl ProxyHeaderError {
    /// What a log says.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            ProxyHeaderError::Missing => "it does not begin with one",
            ProxyHeaderError::TooLong => "it is too long",
            ProxyHeaderError::Invalid => "it is malformed",
        }
    }
}

impl ProxyHeader {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// If they cannot belong to a header.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Announcement, ProxyHeaderError> {
        for (index, byte) in bytes.iter().enumerate() {
            self.begun.push(*byte);
            let announcement = self.judge(index + 1)?;
            if announcement != Announcement::Incomplete {
                return Ok(announcement);
            }
        }
        Ok(Announcement::Incomplete)
    }

    /// What has come of the bytes so far, of which the latest `consumed` are new.
    fn judge(&self, consumed: usize) -> Result<Announcement, ProxyHeaderError> {
        let bytes = &self.begun[..];
        if begins_like(bytes, V2_SIGNATURE) {
            return self.judge_v2(consumed);
        }
        if !begins_like(bytes, V1_PREFIX) {
            return Err(ProxyHeaderError::Missing);
        }
        match bytes {
            [.., b'\r', b'\n'] => Ok(Announcement::Complete { consumed, source: understand_v1(bytes)? }),
            // CR and LF end the line (§2.1), and stand nowhere else.
            [.., b'\n'] | [.., b'\r', _] => Err(ProxyHeaderError::Invalid),
            _ if bytes.len() >= V1_BYTES_MAX => Err(ProxyHeaderError::TooLong),
            _ => Ok(Announcement::Incomplete),
        }
    }

    fn judge_v2(&self, consumed: usize) -> Result<Announcement, ProxyHeaderError> {
        let fixed = self.begun.get(..V2_FIXED_BYTES).unwrap_or_default();
        let &[.., high, low] = fixed else { return Ok(Announcement::Incomplete) };
        let len = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if len > limits::PROXY_HEADER_BYTES_MAX {
            return Err(ProxyHeaderError::TooLong);
        }
        if self.begun.len() < len {
            return Ok(Announcement::Incomplete);
        }
        Ok(Announcement::Complete { consumed, source: understand_v2(&self.begun)? })
    }
}

/// Whether `bytes` and `prefix` agree as far as both go.
fn begins_like(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(a, b)| a == b)
}

fn understand_v1(line: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let header = v1::Header::try_from(line).map_err(|_| ProxyHeaderError::Invalid)?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
        v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
    })
}

fn understand_v2(bytes: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let header = v2::Header::try_from(bytes).map_err(|_| ProxyHeaderError::Invalid)?;
    // §2.2: a connection by LOCAL is the proxy's own, and what is not supported is as if it were.
    if header.command == v2::Command::Local || header.protocol != v2::Protocol::Stream {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::IPv6(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of `bytes`, cut at these places: how many belong to the header, and whom it names.
    fn verdict(
        bytes: &[u8],
        cuts: &[usize],
    ) -> Result<Option<(usize, Option<SocketAddr>)>, ProxyHeaderError> {
        let mut header = ProxyHeader::default();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut at = 0;
        for cut in cuts {
            match header.read(&bytes[at..cut])? {
                Announcement::Incomplete => at = cut,
                Announcement::Complete { consumed, source } => return Ok(Some((at + consumed, source))),
            }
        }
        Ok(None)
    }

    /// The verdict on bytes that come at once.
    fn of(bytes: impl AsRef<[u8]>) -> Result<Option<(usize, Option<SocketAddr>)>, ProxyHeaderError> {
        verdict(bytes.as_ref(), &[])
    }

    #[expect(clippy::unnecessary_wraps, reason = "what is announced is optional")]
    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().expect("an address"))
    }

    /// A header of version 2: version and command, family and protocol, and what follows.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [V2_SIGNATURE, &[command, family], &len, rest].concat()
    }

    /// From 192.0.2.1:258 to 192.0.2.2:443.
    const TCP4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 1, 187];

    #[test]
    fn s2_1_version_1_names_the_source_and_ends_with_its_line() {
        let tcp4 = "PROXY TCP4 192.0.2.1 192.0.2.2 258 443\r\n";
        assert_eq!(of(tcp4), Ok(Some((tcp4.len(), address("192.0.2.1:258")))));
        assert_eq!(of(format!("{tcp4}GET / HTTP/1.1\r\n")), of(tcp4), "what follows is not looked at");
        let tcp6 = "PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n";
        assert_eq!(of(tcp6), Ok(Some((tcp6.len(), address("[2001:db8::1]:65535")))));
    }

    #[test]
    fn s2_1_unknown_names_nobody_whatever_follows_it() {
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"] {
            assert_eq!(of(line), Ok(Some((line.len(), None))), "{line}");
        }
    }

    #[test]
    fn s2_1_a_line_of_107_bytes_is_read_and_one_of_108_is_too_long() {
        let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16));
        assert_eq!(of(line(107)), Ok(Some((107, None))));
        assert_eq!(of(line(108)), Err(ProxyHeaderError::TooLong));
        assert_eq!(of("PROXY ".repeat(18)), Err(ProxyHeaderError::TooLong), "although no end has come");
    }

    #[test]
    fn s2_1_a_line_that_says_something_else_is_refused() {
        for line in [
            "PROXY\r\n",
            "PROXY \r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 258 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 258 443\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 258 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 258 443 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 258 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 258\r\n",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN\rx",
            "PROXY UNKNOWN \u{fffd}\r\r",
        ] {
            assert!(of(line).is_err(), "{line:?}");
        }
        assert_eq!(of(b"PROXY UNKNOWN \xff\r\n"), Err(ProxyHeaderError::Invalid));
    }

    #[test]
    fn what_begins_otherwise_is_no_header_from_its_first_wrong_byte_on() {
        for bytes in
            ["G", "GET /ws HTTP/1.1\r\n", "proxy UNKNOWN\r\n", "PROXx", "\r\n\r\nGET", "\x16\x03\x01"]
        {
            assert_eq!(of(bytes), Err(ProxyHeaderError::Missing), "{bytes:?}");
        }
        for bytes in ["", "P", "PROXY ", "\r", "\r\n\r\n\0\r\nQUIT"] {
            assert_eq!(of(bytes), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn s2_2_version_2_names_the_source_and_skips_what_else_it_says() {
        let header = v2(0x21, 0x11, &TCP4);
        assert_eq!(of(&header), Ok(Some((28, address("192.0.2.1:258")))));
        let with_alpn = v2(0x21, 0x11, &[&TCP4[..], &[1, 0, 2, b'h', b'2']].concat());
        assert_eq!(of([&with_alpn[..], b"GET"].concat()), Ok(Some((33, address("192.0.2.1:258")))));
        let mut tcp6 = [0; 36];
        (tcp6[15], tcp6[31], tcp6[33], tcp6[35]) = (1, 2, 80, 81);
        assert_eq!(of(v2(0x21, 0x21, &tcp6)), Ok(Some((52, address("[::1]:80")))));
    }

    #[test]
    fn s2_2_local_and_what_names_no_address_of_tcp_is_the_peer_itself() {
        for (command, family, rest) in [
            (0x20, 0x00, &[][..]),      // LOCAL, as health checks say it
            (0x20, 0x11, &TCP4),        // whatever it names
            (0x21, 0x00, &[]),          // AF_UNSPEC
            (0x21, 0x12, &TCP4),        // UDP
            (0x21, 0x31, &[b'/'; 216]), // a Unix socket
        ] {
            let header = v2(command, family, rest);
            assert_eq!(of(&header), Ok(Some((header.len(), None))), "{command:x} {family:x}");
        }
    }

    #[test]
    fn s2_2_another_version_command_or_family_or_too_little_is_refused() {
        for (command, family, rest) in [
            (0x11, 0x11, &TCP4[..]),
            (0x31, 0x11, &TCP4),
            (0x22, 0x11, &TCP4),
            (0x21, 0x41, &TCP4),
            (0x21, 0x13, &TCP4),
            (0x21, 0x11, &TCP4[..11]),
            (0x21, 0x21, &TCP4),
        ] {
            assert_eq!(
                of(v2(command, family, rest)),
                Err(ProxyHeaderError::Invalid),
                "{command:x} {family:x}"
            );
        }
    }

    #[test]
    fn s2_2_a_header_may_be_as_long_as_the_bound_and_no_longer() {
        let rest = |len: usize| [&TCP4[..], &vec![0; len - 28]].concat();
        let max = limits::PROXY_HEADER_BYTES_MAX;
        assert_eq!(of(v2(0x21, 0x11, &rest(max))), Ok(Some((max, address("192.0.2.1:258")))));
        let longer = v2(0x21, 0x11, &rest(max + 1));
        assert_eq!(of(&longer[..16]), Err(ProxyHeaderError::TooLong), "its length says so");
    }

    /// Bytes like those of headers, whole, changed or cut short, and bytes like any.
    fn nearly_headers() -> impl Strategy<Value = Vec<u8>> {
        let tail = proptest::collection::vec(any::<u8>(), 0..300);
        let words = "(PROXY|PROXY |)(TCP4|TCP6|UNKNOWN|)[ 0-9a-f:.]{0,60}(\r\n|\n|\r|)";
        prop_oneof![
            tail.clone(),
            (words, tail.clone()).prop_map(|(line, tail)| [line.into_bytes(), tail].concat()),
            (any::<u8>(), any::<u8>(), 0..300u16, tail.clone()).prop_map(|(command, family, len, tail)| {
                let (command, family) = (0x20 | (command & 0x13), family & 0x33);
                [V2_SIGNATURE, &[command, family], &len.to_be_bytes(), &tail].concat()
            }),
            (0..28usize, any::<u8>(), tail).prop_map(|(at, byte, tail)| {
                let mut header = v2(0x21, 0x11, &TCP4);
                header[at] = byte;
                [header, tail].concat()
            }),
        ]
    }

    proptest! {
        #[test]
        fn bytes_are_judged_alike_however_they_are_cut(
            bytes in nearly_headers(),
            cuts in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            let at_once = of(&bytes);
            prop_assert_eq!(verdict(&bytes, &cuts), at_once);
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(verdict(&bytes, &every), at_once);
        }
    }
}
