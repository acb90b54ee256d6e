//! [`Response`]: what a server answers to a request that does not become a WebSocket (RFC 9112 §4).
//!
//! One response ends the connection: there is no keep-alive, so that nothing behind a refused upgrade is ever taken
//! for a second request.

use std::borrow::Cow;
use std::fmt;

/// An HTTP status code (RFC 9110 §15).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

impl Status {
    /// 101, the answer that opens a WebSocket.
    pub const SWITCHING_PROTOCOLS: Status = Status(101);
    /// 200.
    pub const OK: Status = Status(200);
    /// 400.
    pub const BAD_REQUEST: Status = Status(400);
    /// 401.
    pub const UNAUTHORIZED: Status = Status(401);
    /// 403.
    pub const FORBIDDEN: Status = Status(403);
    /// 404.
    pub const NOT_FOUND: Status = Status(404);
    /// 405; the response names the methods there are in `Allow`.
    pub const METHOD_NOT_ALLOWED: Status = Status(405);
    /// 408.
    pub const REQUEST_TIMEOUT: Status = Status(408);
    /// 426; the response names the protocol in `Upgrade`.
    pub const UPGRADE_REQUIRED: Status = Status(426);
    /// 429.
    pub const TOO_MANY_REQUESTS: Status = Status(429);
    /// 431 (RFC 6585 §5).
    pub const REQUEST_HEADER_FIELDS_TOO_LARGE: Status = Status(431);
    /// 500.
    pub const INTERNAL_SERVER_ERROR: Status = Status(500);
    /// 502; stands for a server's misbehaviour in the client role.
    pub const BAD_GATEWAY: Status = Status(502);
    /// 503.
    pub const SERVICE_UNAVAILABLE: Status = Status(503);
    /// 505.
    pub const HTTP_VERSION_NOT_SUPPORTED: Status = Status(505);

    /// The status with this number.
    #[must_use]
    pub const fn new(number: u16) -> Status {
        Status(number)
    }

    /// The status's number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The phrase that stands behind the number in a response; empty for statuses that have no constant here.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self.0 {
            101 => "Switching Protocols",
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phrase() {
            "" => self.0.fmt(f),
            phrase => write!(f, "{} {phrase}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({})", self.0)
    }
}

/// A whole HTTP response with a body.
///
/// Header values are the program's own words, never a request's bytes: nothing is escaped here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers, in order. `Content-Length`, `Connection`, `X-Content-Type-Options` and `Cache-Control` are
    /// written anyhow and do not belong here.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// A response of plain text.
    #[must_use]
    pub fn text(status: Status, body: impl Into<Cow<'static, str>>) -> Response {
        let body = match body.into() {
            Cow::Borrowed(body) => Cow::Borrowed(body.as_bytes()),
            Cow::Owned(body) => Cow::Owned(body.into_bytes()),
        };
        Response { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body }
    }

    /// The response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// Appends the response as it goes over the wire. To a HEAD request the body is left out and its length is not
    /// (RFC 9110 §9.3.2).
    pub fn append(&self, with_body: bool, out: &mut Vec<u8>) {
        let Response { status, content_type, headers, body } = self;
        // RFC 9110 §7.8: who sends Upgrade lists it in Connection.
        let upgrades = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Upgrade"));
        let connection = if upgrades { "close, Upgrade" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n",
            status.number(),
            status.phrase(),
            body.len(),
        );
        for (name, value) in headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if with_body {
            out.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9110_15_a_status_is_called_by_its_number_and_its_phrase() {
        let named = [
            (Status::SWITCHING_PROTOCOLS, "101 Switching Protocols"),
            (Status::OK, "200 OK"),
            (Status::BAD_REQUEST, "400 Bad Request"),
            (Status::UNAUTHORIZED, "401 Unauthorized"),
            (Status::FORBIDDEN, "403 Forbidden"),
            (Status::NOT_FOUND, "404 Not Found"),
            (Status::METHOD_NOT_ALLOWED, "405 Method Not Allowed"),
            (Status::REQUEST_TIMEOUT, "408 Request Timeout"),
            (Status::UPGRADE_REQUIRED, "426 Upgrade Required"),
            (Status::TOO_MANY_REQUESTS, "429 Too Many Requests"),
            (Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "431 Request Header Fields Too Large"),
            (Status::INTERNAL_SERVER_ERROR, "500 Internal Server Error"),
            (Status::BAD_GATEWAY, "502 Bad Gateway"),
            (Status::SERVICE_UNAVAILABLE, "503 Service Unavailable"),
            (Status::HTTP_VERSION_NOT_SUPPORTED, "505 HTTP Version Not Supported"),
            (Status::new(418), "418"),
        ];
        for (status, name) in named {
            assert_eq!(status.to_string(), name);
        }
        assert_eq!(format!("{:?}", Status::OK), "Status(200)");
    }

    #[test]
    fn a_response_closes_the_connection_and_states_its_length() {
        let mut out = Vec::new();
        Response::text(Status::NOT_FOUND, "nothing here\n").append(true, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\
             Connection: close\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\nnothing here\n"
        );
    }

    #[test]
    fn a_head_request_gets_the_length_without_the_body() {
        let mut out = Vec::new();
        Response::text(Status::OK, "ok\n").append(false, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("Content-Length: 3\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
    }
}
