//! The opening handshake as a server sees it (RFC 6455 §4.2): [`Request`], and what becomes of it.
//!
//! What is no acceptable HTTP has no `Request` and is refused. What is, but does not open a WebSocket, is one whose
//! [`upgrade`](Request::upgrade) says why: whether that matters, or the answer is a page, depends on the path.

use super::deflate::{self, Deflate, DeflateOffer};
use super::error::HandshakeError;
use super::head;
use crate::limits::{REQUEST_HEADERS_MAX, SUBPROTOCOLS_MAX};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use sha1::{Digest, Sha1};
use std::fmt;
use std::str;

/// A request's method.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Method {
    /// GET, the only one that opens a WebSocket.
    Get,
    /// HEAD: what a GET would be answered, without the body.
    Head,
    /// Any other.
    Other,
}

/// Where a browser says that a request comes from (RFC 6454 §7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// No Origin header: not a browser, or not across origins.
    Absent,
    /// One Origin header, with this value: a serialised origin, or `null`.
    One(Box<str>),
    /// More than one Origin header, which no browser sends.
    Several,
}

/// Who a client says that it is (RFC 9110 §11.6.2). `Debug` says which kind it is, and never what stands in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// No Authorization header.
    Absent,
    /// A token (RFC 6750 §2.1), as it came.
    Bearer(Box<str>),
    /// Another scheme, which may be for a proxy on the way.
    Other,
    /// More than one Authorization header.
    Several,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Authorization::Absent => "Absent",
            Authorization::Bearer(_) => "Bearer(..)",
            Authorization::Other => "Other",
            Authorization::Several => "Several",
        })
    }
}

impl Authorization {
    /// What the header says. The scheme's case does not matter (§11.1).
    fn of(header: Single<'_>) -> Authorization {
        let value = match header {
            Single::Absent => return Authorization::Absent,
            Single::Repeated => return Authorization::Several,
            Single::Once(value) => value,
        };
        let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
        let (scheme, token) = value.split_at(end);
        if scheme.eq_ignore_ascii_case(b"Bearer") {
            Authorization::Bearer(ascii(head::trimmed(token)))
        } else {
            Authorization::Other
        }
    }
}

/// A whole request head. Its `Debug` leaves out all in which a secret may stand: what is in the query behind its names, the
/// Authorization header, and subprotocols.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target before its `?`, as it came: nothing is percent-decoded.
    pub path: Box<str>,
    /// The target behind its `?`, as it came.
    pub query: Option<Box<str>>,
    /// Host, and port if one is given: of the target if that is absolute, else of the Host header. Empty if a request of
    /// HTTP/1.0 names none.
    pub host: Box<str>,
    /// The Origin header.
    pub origin: Origin,
    /// The Authorization header.
    pub authorization: Authorization,
    /// The subprotocols that the client offers, the preferred one first; at most [`SUBPROTOCOLS_MAX`].
    pub subprotocols: Vec<Box<str>>,
    /// The valid offers of permessage-deflate (RFC 7692 §5.1), the preferred one first; at most
    /// [`DEFLATE_OFFERS_MAX`](crate::limits::DEFLATE_OFFERS_MAX). None of a Safari that is known to break its word.
    pub deflate_offers: Vec<DeflateOffer>,
    /// Whether the request opens a WebSocket as §4.2.1 demands, and if not, what is wrong with it.
    pub upgrade: Result<(), HandshakeError>,
    /// What proxies have added about where it comes from, if [that was asked for](super::Connection::keep_forwarding).
    pub forwarding: Option<Box<Forwarding>>,
}

/// What proxies add to a request about where it comes from, as it came: who may be believed is not known here. Of several
/// headers the values are one, with commas between them (RFC 9110 §5.3); a header that is absent is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forwarding {
    /// `X-Forwarded-For`.
    pub x_forwarded_for: Option<Vec<u8>>,
    /// `Forwarded` (RFC 7239).
    pub forwarded: Option<Vec<u8>>,
}

impl Forwarding {
    fn of(headers: &[httparse::Header<'_>]) -> Forwarding {
        let joined = |name: &str| {
            let named = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            let values: Vec<&[u8]> = named.map(|header| header.value).collect();
            (!values.is_empty()).then(|| values.join(&b','))
        };
        Forwarding { x_forwarded_for: joined("X-Forwarded-For"), forwarded: joined("Forwarded") }
    }
}

impl Request {
    /// The value of the first `name=value` in the query, as it came: nothing is decoded.
    #[must_use]
    pub fn query_value<'r>(&'r self, name: &'r str) -> Option<&'r str> {
        self.query_values(name).next()
    }

    /// The values of all `name=value` in the query, as they came: nothing is decoded.
    pub fn query_values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, path, query, host, origin, authorization, .. } = self;
        let query: Option<Vec<&str>> = query.as_deref().map(|query| {
            query.split('&').map(|pair| pair.split_once('=').map_or("..", |(name, _)| name)).collect()
        });
        f.debug_struct("Request")
            .field("method", method)
            .field("path", path)
            .field("query", &query)
            .field("host", host)
            .field("origin", origin)
            .field("authorization", authorization)
            .field("subprotocols", &self.subprotocols.len())
            .field("deflate_offers", &self.deflate_offers)
            .field("upgrade", &self.upgrade)
            .field("forwarding", &self.forwarding)
            .finish()
    }
}

/// What both sides have agreed upon in the opening handshake.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Agreement {
    /// The subprotocol, one of those that the client offered.
    pub subprotocol: Option<Box<str>>,
    /// permessage-deflate (RFC 7692), if it is used.
    pub deflate: Option<Deflate>,
}

/// The value of `Sec-WebSocket-Accept` (§4.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AcceptKey([u8; AcceptKey::LEN]);

impl AcceptKey {
    /// Bytes of a SHA-1 hash in base64.
    const LEN: usize = 28;

    /// The answer to a `Sec-WebSocket-Key`, as it stands in the header: its hash with the GUID of §1.3.
    pub(super) fn answering(key: &[u8]) -> AcceptKey {
        let hash =
            Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        let mut encoded = [0; AcceptKey::LEN];
        let len = BASE64.encode_slice(hash, &mut encoded).unwrap_or(0);
        debug_assert_eq!(len, AcceptKey::LEN, "20 bytes are 28 in base64");
        AcceptKey(encoded)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A header that may come once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Single<'h> {
    Absent,
    Once(&'h [u8]),
    Repeated,
}

impl<'h> Single<'h> {
    pub(super) fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Single::Absent => Single::Once(value),
            Single::Once(_) | Single::Repeated => Single::Repeated,
        };
    }
}

/// What of a request's headers decides whether it opens a WebSocket.
struct UpgradeHeaders<'h> {
    upgrade: bool,
    connection: bool,
    version: Single<'h>,
    key: Single<'h>,
    /// What is wrong with a list of subprotocols or extensions, if anything.
    malformed: Option<HandshakeError>,
}

/// Reads a whole request head, and the accept key if it opens a WebSocket.
///
/// # Errors
/// If it is not HTTP/1.1, or 1.0, as RFC 9112 demands it, or has a body although it asks for a WebSocket.
pub(super) fn parse_request(
    bytes: &[u8],
    keeps_forwarding: bool,
) -> Result<(Request, Option<AcceptKey>), HandshakeError> {
    let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let (method, target, version) = parse_request_line(&mut parsed, bytes)?;
    let (authority, path_and_query) = split_target(target)?;

    let mut host = Single::Absent;
    let mut origin = Single::Absent;
    let mut authorization = Single::Absent;
    let mut has_body = false;
    let mut content_length = None;
    let mut subprotocols: Vec<Box<str>> = Vec::new();
    let mut deflate_offers = Vec::new();
    let mut keeps_context = false;
    let mut found = UpgradeHeaders {
        upgrade: false,
        connection: false,
        version: Single::Absent,
        key: Single::Absent,
        malformed: None,
    };
    for header in parsed.headers.iter() {
        let value = head::trimmed(header.value);
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("Host") {
            host.add(value);
        } else if is("Origin") {
            origin.add(value);
        } else if is("Authorization") {
            authorization.add(value);
        } else if is("Upgrade") {
            found.upgrade |= head::has_token(value, "websocket");
        } else if is("Connection") {
            found.connection |= head::has_token(value, "Upgrade");
        } else if is("Sec-WebSocket-Version") {
            found.version.add(value);
        } else if is("Sec-WebSocket-Key") {
            found.key.add(value);
        } else if is("Sec-WebSocket-Protocol") {
            for element in head::elements(value) {
                match str::from_utf8(element) {
                    Ok(token) if head::is_token(element) => {
                        if subprotocols.len() < SUBPROTOCOLS_MAX {
                            subprotocols.push(token.into());
                        }
                    }
                    _ => found.malformed = Some(HandshakeError::SubprotocolsInvalid),
                }
            }
        } else if is("Sec-WebSocket-Extensions") {
            if let Err(error) = deflate::read_offers(value, &mut deflate_offers) {
                found.malformed = Some(error);
            }
        } else if is("User-Agent") {
            keeps_context |= deflate::keeps_context(value);
        } else if is("Content-Length") {
            let length = parse_content_length(value)?;
            // RFC 9112 §6.3: lengths that differ are a request within a request.
            if content_length.is_some_and(|before| before != length) {
                return Err(HandshakeError::ContentLengthInvalid);
            }
            content_length = Some(length);
            has_body |= length > 0;
        } else if is("Transfer-Encoding") {
            has_body = true;
        }
    }

    let host = host_of(host, authority, version)?;
    let origin = match origin {
        Single::Absent => Origin::Absent,
        Single::Repeated => Origin::Several,
        Single::Once(origin) if !origin.is_ascii() => return Err(HandshakeError::OriginInvalid),
        Single::Once(origin) => Origin::One(ascii(origin)),
    };
    // A body would be taken for frames.
    if found.upgrade && has_body {
        return Err(HandshakeError::BodyOnUpgrade);
    }
    if keeps_context {
        deflate_offers.clear();
    }
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let (upgrade, accept_key) = match check_upgrade(method, version, &found) {
        Ok(accept_key) => (Ok(()), Some(accept_key)),
        Err(error) => (Err(error), None),
    };
    let request = Request {
        method,
        // An absolute target may leave the path out (RFC 9112 §3.2.1).
        path: if path.is_empty() { "/" } else { path }.into(),
        query: query.map(Into::into),
        host: ascii(host),
        origin,
        authorization: Authorization::of(authorization),
        subprotocols,
        deflate_offers,
        upgrade,
        forwarding: keeps_forwarding.then(|| Box::new(Forwarding::of(parsed.headers))),
    };
    Ok((request, accept_key))
}

/// The host that is asked. RFC 9112 §3.2: a server MUST answer 400 to an HTTP/1.1 request without a Host, and to any with
/// several or with an invalid one, and §3.2.2: MUST ignore it if the target is absolute.
fn host_of<'h>(
    host: Single<'h>,
    authority: Option<&'h str>,
    version: Version,
) -> Result<&'h [u8], HandshakeError> {
    match host {
        Single::Absent if version == Version::Http10 => Ok(authority.unwrap_or_default().as_bytes()),
        Single::Absent => Err(HandshakeError::HostMissing),
        Single::Repeated => Err(HandshakeError::HostRepeated),
        Single::Once(host) if !head::is_host(host) => Err(HandshakeError::HostInvalid),
        Single::Once(host) => Ok(authority.map_or(host, str::as_bytes)),
    }
}

/// The versions of HTTP that are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    /// What load balancers ask for a server's health with. It opens no WebSocket.
    Http10,
    Http11,
}

/// Has httparse parse the head, and gives the three parts of its first line.
fn parse_request_line<'b>(
    parsed: &mut httparse::Request<'_, 'b>,
    bytes: &'b [u8],
) -> Result<(Method, &'b str, Version), HandshakeError> {
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => {
            return Err(HandshakeError::HeaderInvalid);
        }
        Err(httparse::Error::TooManyHeaders) => return Err(HandshakeError::TooManyHeaders),
        Err(httparse::Error::Version) if names_http_version(bytes) => {
            return Err(HandshakeError::HttpVersion);
        }
        Ok(httparse::Status::Partial) | Err(_) => return Err(HandshakeError::RequestLineInvalid),
    }
    let (Some(method), Some(target), Some(minor_version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(HandshakeError::RequestLineInvalid);
    };
    let version = if minor_version == 0 { Version::Http10 } else { Version::Http11 };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    Ok((method, target, version))
}

/// Reads keys. The bits behind the 16th byte may be set: they are in §4.1's own example, `AQIDBAUGBwgJCgsMDQ4PEC==`.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// All that §4.2.1 demands of a request beyond HTTP.
fn check_upgrade(
    method: Method,
    version: Version,
    found: &UpgradeHeaders<'_>,
) -> Result<AcceptKey, HandshakeError> {
    // "an HTTP/1.1 or higher GET request".
    if version != Version::Http11 {
        return Err(HandshakeError::HttpVersion);
    }
    if method != Method::Get {
        return Err(HandshakeError::MethodNotGet);
    }
    if !found.upgrade {
        return Err(HandshakeError::UpgradeMissing);
    }
    if !found.connection {
        return Err(HandshakeError::ConnectionMissing);
    }
    // The version comes before what depends on it.
    match found.version {
        Single::Absent => return Err(HandshakeError::VersionMissing),
        Single::Repeated => return Err(HandshakeError::VersionRepeated),
        Single::Once(b"13") => {}
        Single::Once(_) => return Err(HandshakeError::VersionUnsupported),
    }
    let key = match found.key {
        Single::Absent => return Err(HandshakeError::KeyMissing),
        Single::Repeated => return Err(HandshakeError::KeyRepeated),
        Single::Once(key) => key,
    };
    // "a base64-encoded value that, when decoded, is 16 bytes in length".
    let mut nonce = [0; 18];
    if key.len() != 24 || KEY_BASE64.decode_slice(key, &mut nonce) != Ok(16) {
        return Err(HandshakeError::KeyInvalid);
    }
    found.malformed.map_or_else(|| Ok(AcceptKey::answering(key)), Err)
}

/// The authority of an absolute target, and the rest of it or all of another (RFC 9112 §3.2.1, §3.2.2).
fn split_target(target: &str) -> Result<(Option<&str>, &str), HandshakeError> {
    if !head::is_target(target.as_bytes()) {
        return Err(HandshakeError::TargetInvalid);
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let (scheme, rest) = target.split_once("://").ok_or(HandshakeError::TargetInvalid)?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(HandshakeError::TargetInvalid);
    }
    let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !head::is_host(authority.as_bytes()) {
        return Err(HandshakeError::TargetInvalid);
    }
    Ok((Some(authority), path_and_query))
}

/// A length: digits and nothing else, no sign and no list (RFC 9110 §8.6).
fn parse_content_length(value: &[u8]) -> Result<u64, HandshakeError> {
    let digits =
        value.iter().all(u8::is_ascii_digit).then_some(value).and_then(|value| str::from_utf8(value).ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or(HandshakeError::ContentLengthInvalid)
}

/// Whether the request line is one, but of another version: httparse reports as a wrong version whatever stands there.
fn names_http_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').map(<[u8]>::trim_ascii_start).find(|line| !line.is_empty());
    let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
    let (_method, _target, version, behind) = (words.next(), words.next(), words.next(), words.next());
    behind.is_none()
        && matches!(version, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Bytes that have been checked to be ASCII, or of which it matters no more what they are if they are not.
fn ascii(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// Appends the 101 (§4.2.2).
pub(super) fn append_accepted(accept_key: AcceptKey, agreement: Agreement, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept_key.as_bytes());
    if let Some(subprotocol) = agreement.subprotocol {
        // It is one of those offered, and those are tokens: no request can write a header of its own.
        debug_assert!(head::is_token(subprotocol.as_bytes()), "an agreed subprotocol is a token");
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend(subprotocol.bytes().filter(|byte| head::is_tchar(*byte)));
    }
    if let Some(deflate) = agreement.deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        out.extend_from_slice(deflate.to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}
