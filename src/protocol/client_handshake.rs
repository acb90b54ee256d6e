//! The opening handshake as a client makes it (RFC 6455 §4.1): [`ClientRequest`], and the check of its answer.

use super::deflate::{self, DeflateOffer};
use super::error::HandshakeError;
use super::handshake::{AcceptKey, Agreement, Single};
use super::head;
use super::response::Status;
use crate::limits::REQUEST_HEADERS_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;

/// What a client asks a server for. Its `Debug` leaves out all in which a secret may stand: the query, subprotocols, and
/// what is in further headers.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientRequest {
    host: String,
    target: String,
    origin: Option<String>,
    subprotocols: Vec<String>,
    deflate: Option<DeflateOffer>,
    headers: Vec<(String, String)>,
}

/// A part of a [`ClientRequest`] that may not stand in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The host is not a host with an optional port.
    Host,
    /// The target does not begin with `/`, or has characters that a target has not.
    Target,
    /// The origin has characters that no origin has.
    Origin,
    /// A subprotocol is not a token, or comes twice.
    Subprotocol,
    /// A header's name is not a token or one that the handshake writes itself, or its value has control characters.
    Header,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidRequest::Host => "the host is not a host with an optional port",
            InvalidRequest::Target => "the target is not a path",
            InvalidRequest::Origin => "the origin has characters that no origin has",
            InvalidRequest::Subprotocol => "a subprotocol is not a token, or comes twice",
            InvalidRequest::Header => "a header may not be sent",
        })
    }
}

impl std::error::Error for InvalidRequest {}

/// Headers that the handshake writes itself.
const OWN_HEADERS: [&str; 10] = [
    "Host",
    "Upgrade",
    "Connection",
    "Origin",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Content-Length",
    "Transfer-Encoding",
];

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next();
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ClientRequest")
            .field("host", &self.host)
            .field("path", &path)
            .field("origin", &self.origin)
            .field("deflate", &self.deflate)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

impl ClientRequest {
    /// A request for `target` (a path, with a query if need be) from `host` (with a port unless it is the scheme's own).
    ///
    /// # Errors
    /// If either may not stand in a request.
    pub fn new(host: impl Into<String>, target: impl Into<String>) -> Result<ClientRequest, InvalidRequest> {
        let (host, target) = (host.into(), target.into());
        if !head::is_host(host.as_bytes()) {
            return Err(InvalidRequest::Host);
        }
        if !target.starts_with('/') || !head::is_target(target.as_bytes()) {
            return Err(InvalidRequest::Target);
        }
        Ok(ClientRequest {
            host,
            target,
            origin: None,
            subprotocols: Vec::new(),
            deflate: None,
            headers: Vec::new(),
        })
    }

    /// The same request for what stands below its path: `name` comes behind the path and before the query.
    ///
    /// # Errors
    /// If `name` has what may not stand in a request's target.
    pub fn below(self, name: &str) -> Result<ClientRequest, InvalidRequest> {
        let (path, query) = self.target.split_at(self.target.find('?').unwrap_or(self.target.len()));
        let target = format!("{}/{name}{query}", path.trim_end_matches('/'));
        if !head::is_target(target.as_bytes()) {
            return Err(InvalidRequest::Target);
        }
        Ok(ClientRequest { target, ..self })
    }

    /// The request with an Origin header.
    ///
    /// # Errors
    /// If the origin is not visible ASCII.
    pub fn with_origin(mut self, origin: impl Into<String>) -> Result<ClientRequest, InvalidRequest> {
        let origin = origin.into();
        if origin.is_empty() || !origin.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidRequest::Origin);
        }
        self.origin = Some(origin);
        Ok(self)
    }

    /// The request with one more subprotocol offered, behind those before it.
    ///
    /// # Errors
    /// If it is not a token, or offered already (§4.1).
    pub fn with_subprotocol(
        mut self,
        subprotocol: impl Into<String>,
    ) -> Result<ClientRequest, InvalidRequest> {
        let subprotocol = subprotocol.into();
        if !head::is_token(subprotocol.as_bytes()) || self.subprotocols.contains(&subprotocol) {
            return Err(InvalidRequest::Subprotocol);
        }
        self.subprotocols.push(subprotocol);
        Ok(self)
    }

    /// The request with an offer of permessage-deflate (RFC 7692 §5.1), in place of one before it.
    #[must_use]
    pub fn with_deflate(mut self, offer: DeflateOffer) -> ClientRequest {
        self.deflate = Some(offer);
        self
    }

    /// The request with one more header, such as `Authorization`.
    ///
    /// # Errors
    /// If the name is not a token or one of the handshake's own, or the value has control characters.
    pub fn with_header(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<ClientRequest, InvalidRequest> {
        let (name, value) = (name.into(), value.into());
        let is_own = OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(&name));
        if is_own || !head::is_token(name.as_bytes()) || value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(InvalidRequest::Header);
        }
        self.headers.push((name, value));
        Ok(self)
    }

    /// Appends the request (§4.1) with this nonce; returns what the answer must match.
    pub(super) fn append(self, nonce: [u8; 16], out: &mut Vec<u8>) -> Expectation {
        let ClientRequest { host, target, origin, subprotocols, deflate, headers } = self;
        let key = BASE64.encode(nonce);
        let mut head = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
        );
        let mut append_header = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        };
        if let Some(origin) = &origin {
            append_header("Origin", origin);
        }
        if !subprotocols.is_empty() {
            append_header("Sec-WebSocket-Protocol", &subprotocols.join(", "));
        }
        if let Some(offer) = deflate {
            append_header("Sec-WebSocket-Extensions", &offer.to_string());
        }
        for (name, value) in &headers {
            append_header(name, value);
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        Expectation { accept_key: AcceptKey::answering(key.as_bytes()), subprotocols, deflate }
    }
}

/// What a server's 101 must match.
#[derive(Debug)]
pub(super) struct Expectation {
    accept_key: AcceptKey,
    /// Those offered.
    subprotocols: Vec<String>,
    /// What was offered of permessage-deflate.
    deflate: Option<DeflateOffer>,
}

/// A server's answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// A 101 that is right in all.
    Agreed(Agreement),
    /// Another status that is final.
    Other(Status),
    /// An interim response (RFC 9110 §15.2): another follows.
    Interim,
}

impl Expectation {
    /// Reads a whole response head.
    ///
    /// # Errors
    /// If it is not HTTP/1.1, has too many header fields, or is a 101 that does not answer the request (§4.1).
    pub(super) fn check(&self, bytes: &[u8]) -> Result<Answer, HandshakeError> {
        let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HandshakeError::TooManyHeaders),
            Ok(httparse::Status::Partial) | Err(_) => return Err(HandshakeError::ResponseInvalid),
        }
        match (parsed.code, parsed.version) {
            (Some(101), Some(1)) => {}
            (Some(100 | 102..=199), Some(1)) => return Ok(Answer::Interim),
            (Some(number @ 200..=999), _) => return Ok(Answer::Other(Status::new(number))),
            _ => return Err(HandshakeError::ResponseInvalid),
        }
        let mut upgrade = Single::Absent;
        let mut connection = false;
        let mut accept = Single::Absent;
        let mut subprotocol = Single::Absent;
        let mut extensions = Single::Absent;
        for header in parsed.headers.iter() {
            let value = head::trimmed(header.value);
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Upgrade") {
                upgrade.add(value);
            } else if is("Connection") {
                connection |= head::has_token(value, "Upgrade");
            } else if is("Sec-WebSocket-Accept") {
                accept.add(value);
            } else if is("Sec-WebSocket-Protocol") {
                subprotocol.add(value);
            } else if is("Sec-WebSocket-Extensions") {
                extensions.add(value);
            }
        }
        if !matches!(upgrade, Single::Once(value) if value.eq_ignore_ascii_case(b"websocket")) {
            return Err(HandshakeError::ResponseUpgradeInvalid);
        }
        if !connection {
            return Err(HandshakeError::ResponseConnectionInvalid);
        }
        if accept != Single::Once(self.accept_key.as_bytes()) {
            return Err(HandshakeError::AcceptInvalid);
        }
        let subprotocol = match subprotocol {
            Single::Absent => None,
            Single::Repeated => return Err(HandshakeError::SubprotocolNotOffered),
            Single::Once(value) => {
                let offered = self.subprotocols.iter().find(|offered| offered.as_bytes() == value);
                Some(offered.ok_or(HandshakeError::SubprotocolNotOffered)?.as_str().into())
            }
        };
        let deflate = match extensions {
            Single::Absent => None,
            // RFC 6455 §11.3.2: it "MUST NOT appear more than once in an HTTP response".
            Single::Repeated => return Err(HandshakeError::AnsweredExtensionsInvalid),
            Single::Once(value) => deflate::check_answer(value, self.deflate)?,
        };
        Ok(Answer::Agreed(Agreement { subprotocol, deflate }))
    }
}
