//! [`Address`]: where to connect to, read from what the user wrote.

use fanwire::protocol::ClientRequest;
use rustls::pki_types::ServerName;
use std::fmt;
use std::str::FromStr;

/// A server's WebSocket, as `ws[s]://host[:port][/path][?query]` or one of its shorthands.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    /// The TCP port.
    pub(super) port: u16,
    /// What the server's certificate must name; `None` for a server without TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    /// What is asked of the server there. It has been checked: every part may stand in a request.
    pub(super) request: ClientRequest,
    /// Whether the server sends back what we say: it does unless the query says `echo=off`.
    pub(super) has_echo: bool,
    /// What it is called where people see it.
    url: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The ports of `ws://` and `wss://` (RFC 6455 §3).
const PORT_DEFAULT: u16 = 80;
const TLS_PORT_DEFAULT: u16 = 443;

/// Where fanwire's lobby is.
const PATH_DEFAULT: &str = "/ws";

impl FromStr for Address {
    type Err = String;

    /// Reads a URL. `host:port` stands for `ws://host:port`, and no path for `/ws`. An `http://` or `https://`
    /// URL is the same server's WebSocket, and that of the chat page (`http://host:port/#channel`) the page's channel.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    fn from_str(written: &str) -> Result<Address, String> {
        let (scheme, rest) = match written.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => (String::new(), written),
        };
        let (canonical_scheme, port_default) = match &*scheme {
            "" | "ws" | "http" => ("ws", PORT_DEFAULT),
            "wss" | "https" => ("wss", TLS_PORT_DEFAULT),
            _ => return Err(format!("{scheme}:// is no WebSocket's scheme: use ws:// or wss://")),
        };
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (rest, None),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a name and password are not supported: leave out what stands before the @".into());
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => port,
            None if scheme.is_empty() => {
                return Err(format!("the port is missing: write {authority}:8080, or ws://{authority}"));
            }
            None => port_default,
        };
        let is_page = scheme.starts_with("http") && matches!(target, "" | "/");
        let target = match (target, fragment) {
            (_, Some(channel)) if is_page && !channel.is_empty() => format!("{PATH_DEFAULT}/{channel}"),
            // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs".
            (_, Some(fragment)) => return Err(format!("a WebSocket has no fragment: leave out #{fragment}")),
            ("", None) => PATH_DEFAULT.to_owned(),
            ("/", None) if is_page => PATH_DEFAULT.to_owned(),
            (query, None) if query.starts_with('?') => format!("{PATH_DEFAULT}{query}"),
            (target, None) => target.to_owned(),
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let host_header = if port == port_default { bracketed } else { format!("{bracketed}:{port}") };
        let url = format!("{canonical_scheme}://{host_header}{}", without_token(&target));
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let has_echo = query.split('&').all(|parameter| parameter != "echo=off");
        let request = ClientRequest::new(host_header, target)
            .map_err(|error| format!("{error}: write it as {EXAMPLE}, %-encoded where need be"))?;
        let server_name = match canonical_scheme {
            "wss" => Some(ServerName::try_from(host.to_owned()).map_err(|_| {
                format!("no certificate can name the host {host:?}: write a DNS name or an IP address")
            })?),
            _ => None,
        };
        Ok(Address { host: host.to_owned(), port, server_name, request, has_echo, url })
    }
}

/// The target with dots for a token in its query, to be shown.
fn without_token(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let hidden = query.split('&').map(|pair| if pair.starts_with("token=") { "token=..." } else { pair });
    format!("{path}?{}", hidden.collect::<Vec<_>>().join("&"))
}

const EXAMPLE: &str = "ws://127.0.0.1:8080/ws/channel";

/// The host without brackets, and the port if there is one.
fn split_authority(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, behind) = rest
            .split_once(']')
            .ok_or("the bracket around the IPv6 address is not closed: write [::1]:8080")?;
        match behind.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if behind.is_empty() => (host, None),
            None => return Err(format!("{behind:?} stands behind the bracket: write [::1]:8080")),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(format!("an IPv6 address stands in brackets: write [{authority}]:8080"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err(format!("the host is missing: write it as {EXAMPLE}, or host:port"));
    }
    let port = match port {
        None => None,
        Some(digits) => match digits.parse() {
            Ok(port @ 1..) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(port),
            _ => return Err(format!("the port {digits:?} is not a number from 1 to 65535")),
        },
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(written: &str) -> String {
        written
            .parse::<Address>()
            .map_or_else(|error| format!("error: {error}"), |address| address.to_string())
    }

    fn error(written: &str) -> String {
        written.parse::<Address>().expect_err(written)
    }

    #[test]
    fn a_whole_url_is_taken_as_it_is() {
        let address: Address = "ws://example.com:9000/ws/room?echo=on&x".parse().unwrap();
        assert_eq!((&*address.host, address.port), ("example.com", 9000));
        assert_eq!(address.request, ClientRequest::new("example.com:9000", "/ws/room?echo=on&x").unwrap());
        assert_eq!(url("WS://a:1/"), "ws://a:1/", "the root is a path like any other");
    }

    #[test]
    fn s3_the_default_port_is_80_and_stays_out_of_the_host_header() {
        let address: Address = "ws://example.com".parse().unwrap();
        assert_eq!(address.port, 80);
        assert_eq!(address.request, ClientRequest::new("example.com", "/ws").unwrap());
        assert_eq!(url("ws://example.com:80/x"), "ws://example.com/x");
    }

    #[test]
    fn host_and_port_are_short_for_the_lobby() {
        assert_eq!(url("localhost:8080"), "ws://localhost:8080/ws");
        assert_eq!(url("localhost:8080?echo=off"), "ws://localhost:8080/ws?echo=off");
        assert_eq!(url("localhost:8080/ws/room"), "ws://localhost:8080/ws/room");
        assert!(error("localhost").contains("write localhost:8080"), "{}", error("localhost"));
    }

    #[test]
    fn the_chat_page_s_url_is_its_channel() {
        assert_eq!(url("http://a:8080"), "ws://a:8080/ws");
        assert_eq!(url("http://a:8080/"), "ws://a:8080/ws");
        assert_eq!(url("http://a:8080/#room"), "ws://a:8080/ws/room");
        assert_eq!(url("http://a:8080/ws/x"), "ws://a:8080/ws/x");
        assert!(error("ws://a:8080/#room").contains("no fragment"));
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let address: Address = "[::1]:8080".parse().unwrap();
        assert_eq!((&*address.host, address.port), ("::1", 8080));
        assert_eq!(address.request, ClientRequest::new("[::1]:8080", "/ws").unwrap());
        assert_eq!(url("ws://[fe80::1]/ws"), "ws://[fe80::1]/ws");
        assert!(error("ws://::1:8080").contains("brackets"));
        assert!(error("ws://[::1:8080").contains("not closed"));
        assert!(error("ws://[::1]8080").contains("behind the bracket"));
    }

    #[test]
    fn s3_with_tls_the_default_port_is_443_and_stays_out_of_the_host_header() {
        let address: Address = "wss://example.com".parse().unwrap();
        assert_eq!((address.port, address.to_string()), (443, "wss://example.com/ws".into()));
        assert_eq!(address.request, ClientRequest::new("example.com", "/ws").unwrap());
        assert_eq!(url("WSS://example.com:443/x"), "wss://example.com/x");
        assert_eq!(url("wss://example.com:80"), "wss://example.com:80/ws");
        assert_eq!(url("ws://example.com:443"), "ws://example.com:443/ws");
    }

    #[test]
    fn https_is_the_chat_page_over_tls() {
        assert_eq!(url("https://a/#room"), "wss://a/ws/room");
        assert_eq!(url("https://a:8443"), "wss://a:8443/ws");
        assert!(error("wss://a/#room").contains("no fragment"));
    }

    #[test]
    fn with_tls_the_certificate_must_name_the_host() {
        let name = |written: &str| written.parse::<Address>().unwrap().server_name;
        assert_eq!(name("wss://example.com/x"), Some("example.com".try_into().unwrap()));
        assert_eq!(name("wss://[::1]:8443"), Some("::1".try_into().unwrap()));
        assert_eq!(name("https://127.0.0.1/"), Some("127.0.0.1".try_into().unwrap()));
        assert_eq!([name("ws://a"), name("http://a"), name("a:443")], [None, None, None]);
        assert!(error("wss://a..b/").contains("DNS name or an IP address"));
    }

    #[test]
    fn other_schemes_are_refused() {
        assert!(error("ftp://a").contains("use ws:// or wss://"));
    }

    #[test]
    fn what_cannot_be_an_address_says_what_to_write() {
        assert!(error("").contains("host is missing"));
        assert!(error("ws:///ws").contains("host is missing"));
        assert!(error("ws://me:secret@a/").contains("before the @"));
        for port in ["0", "65536", "-1", "+1", "x", ""] {
            assert!(error(&format!("a:{port}/ws")).contains("1 to 65535"), "{port}");
        }
        for wrong in ["ws://a b/", "ws://a/ö", "ws://ö/", "ws://a/\r\nX: y"] {
            assert!(error(wrong).contains(EXAMPLE), "{wrong}: {}", error(wrong));
        }
    }

    #[test]
    fn echo_is_expected_unless_the_query_turns_it_off() {
        let has_echo = |written: &str| written.parse::<Address>().unwrap().has_echo;
        assert!(has_echo("a:1") && has_echo("a:1/echo=off") && has_echo("a:1?echo=on"));
        assert!(!has_echo("a:1?echo=off") && !has_echo("a:1/ws/x?a=b&echo=off"));
    }
}
