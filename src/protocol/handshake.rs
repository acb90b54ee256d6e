//! The opening handshake (RFC 6455 §4).

use super::error::HandshakeError;

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

/// A whole request head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target before its `?`, as it came: nothing is percent-decoded.
    pub path: Box<str>,
    /// The target behind its `?`, as it came.
    pub query: Option<Box<str>>,
    /// Host, and port if one is given: of the target if that is absolute, else of the Host header.
    pub host: Box<str>,
    /// The Origin header.
    pub origin: Origin,
    /// The subprotocols that the client offers, the preferred one first; at most
    /// [`SUBPROTOCOLS_MAX`](crate::limits::SUBPROTOCOLS_MAX).
    pub subprotocols: Vec<Box<str>>,
    /// Whether the request opens a WebSocket as §4.2.1 demands, and if not, what is wrong with it.
    pub upgrade: Result<(), HandshakeError>,
}

impl Request {
    /// The value of the first `name=value` in the query, as it came: nothing is decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What both sides have agreed upon in the opening handshake.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Agreement {
    /// The subprotocol, one of those that the client offered.
    pub subprotocol: Option<Box<str>>,
}

/// What a client asks a server for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientRequest {
    host: String,
    target: String,
    origin: Option<String>,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
}

/// A part of a [`ClientRequest`] that may not stand in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
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

impl std::fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

impl ClientRequest {
    /// A request for `target` (a path, with a query if need be) from `host` (with a port unless it is the scheme's own).
    ///
    /// # Errors
    /// If either may not stand in a request.
    pub fn new(host: impl Into<String>, target: impl Into<String>) -> Result<ClientRequest, InvalidRequest> {
        Ok(ClientRequest {
            host: host.into(),
            target: target.into(),
            origin: None,
            subprotocols: Vec::new(),
            headers: Vec::new(),
        })
    }

    /// The request with an Origin header.
    ///
    /// # Errors
    /// If the origin is not visible ASCII.
    pub fn with_origin(mut self, origin: impl Into<String>) -> Result<ClientRequest, InvalidRequest> {
        self.origin = Some(origin.into());
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
        self.subprotocols.push(subprotocol.into());
        Ok(self)
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
        self.headers.push((name.into(), value.into()));
        Ok(self)
    }
}
