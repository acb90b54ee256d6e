//! [`ListenAddress`]: where a server listens, of TCP or in the file system.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens.
///
/// ```
/// use fanwire::config::ListenAddress;
///
/// let tcp: ListenAddress = "[::1]:8080".parse()?;
/// let unix: ListenAddress = "unix:/run/fanwire.sock".parse()?;
/// assert_eq!(tcp, ([0, 0, 0, 0, 0, 0, 0, 1], 8080).into());
/// assert_eq!(unix.to_string(), "unix:/run/fanwire.sock");
/// # Ok::<(), fanwire::config::ListenAddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and a port of TCP. Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket, by its file.
    Unix(PathBuf),
}

/// What a Unix socket begins with.
const UNIX: &str = "unix:";

impl<I: Into<IpAddr>> From<(I, u16)> for ListenAddress {
    fn from(address: (I, u16)) -> Self {
        ListenAddress::Tcp(address.into())
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        ListenAddress::Tcp(address)
    }
}

impl From<PathBuf> for ListenAddress {
    fn from(path: PathBuf) -> Self {
        ListenAddress::Unix(path)
    }
}

/// A text that is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddressError;

impl fmt::Display for ListenAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "give an IP address and a port, as 127.0.0.1:8080 or [::1]:8080, or a Unix socket, as \
             unix:/run/fanwire.sock",
        )
    }
}

impl std::error::Error for ListenAddressError {}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        match text.strip_prefix(UNIX) {
            Some("") => Err(ListenAddressError),
            Some(path) if path.contains('\0') => Err(ListenAddressError),
            Some(path) => Ok(ListenAddress::Unix(path.into())),
            None => text.parse().map(ListenAddress::Tcp).map_err(|_| ListenAddressError),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:8080", "[::1]:0", "unix:/run/fanwire.sock", "unix:relative.sock"] {
            assert_eq!(text.parse().map(|address: ListenAddress| address.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_names_no_port_and_no_file_is_none() {
        for text in ["", "unix:", "unix:a\0b", "127.0.0.1", "localhost:8080", "/run/fanwire.sock", "UNIX:/a"]
        {
            assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError), "{text:?}");
        }
    }
}
