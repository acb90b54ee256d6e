//! Why a connection ends, as its Close frame says it (RFC 6455 §7.4): [`CloseCode`] and [`CloseReason`].

use super::error::ProtocolError;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use std::fmt;

/// A status code of a Close frame (§7.4). Any number can be held; which ones may stand on the wire,
/// [`may_be_sent`](CloseCode::may_be_sent) and [`may_be_received`](CloseCode::may_be_received) say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: a server goes down, or a browser has left the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: data of a kind that the endpoint does not accept.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// 1005: a Close frame without a code. Only reported, never sent.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: the connection was lost without a Close frame. Only reported, never sent.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: data that does not fit its message's kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: the endpoint's policy is violated, and no other code fits better.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the server did not agree to an extension that the client must have. Clients send it.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: the server met a condition that it did not expect.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the server restarts (IANA registry).
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded, come back later (IANA registry).
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// 1014: a gateway got an invalid response from upstream (IANA registry).
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);
    /// 1015: the TLS handshake failed. Only reported, never sent.
    pub const TLS_HANDSHAKE: CloseCode = CloseCode(1015);
    /// 3000: who the peer is, or was, does not let it stay (IANA registry).
    pub const UNAUTHORIZED: CloseCode = CloseCode(3000);

    /// The code with this number.
    #[must_use]
    pub const fn new(number: u16) -> CloseCode {
        CloseCode(number)
    }

    /// The code's number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether an endpoint may put this code into a Close frame: all that are defined in §7.4.1 or registered with
    /// IANA but for those that are only reported, and 3000 to 4999 for libraries and applications (§7.4.2).
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Whether a peer may put this code into a Close frame. What may not be sent may not be received either:
    /// 0 to 999 are not used, 1004, 1005, 1006 and 1015 are reserved, 1016 to 2999 are undefined, and there is
    /// nothing from 5000 on (§7.4).
    #[must_use]
    pub const fn may_be_received(self) -> bool {
        self.may_be_sent()
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// The text behind a Close frame's code (§7.1.6): for logs, not for people.
///
/// Invariant: at most [`CloseReason::BYTES_MAX`] bytes, so that it fits a control frame next to the code.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct CloseReason(Box<str>);

impl CloseReason {
    /// Bytes of UTF-8 that fit next to the code into a control frame.
    pub const BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

    /// No reason given. Allocates nothing.
    #[must_use]
    pub fn none() -> CloseReason {
        CloseReason::default()
    }

    /// This reason, cut to [`CloseReason::BYTES_MAX`] bytes before a character that does not fit whole.
    #[must_use]
    pub fn new(reason: &str) -> CloseReason {
        CloseReason(truncated(reason).into())
    }

    /// The reason's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The longest beginning of `reason` that fits a Close frame.
pub(super) fn truncated(reason: &str) -> &str {
    let mut end = reason.len().min(CloseReason::BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// Reads a Close frame's payload (§5.5.1): nothing, or a code in network byte order and a reason in UTF-8.
///
/// # Errors
/// A payload of one byte and a code that [may not be received](CloseCode::may_be_received) are protocol errors (1002);
/// a reason that is not UTF-8 is invalid data (1007, §8.1).
pub fn parse_close(payload: &[u8]) -> Result<(Option<CloseCode>, CloseReason), ProtocolError> {
    let (code, reason) = match payload {
        [] => return Ok((None, CloseReason::none())),
        [_] => return Err(ProtocolError::ClosePayloadOfOneByte),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
    };
    if !code.may_be_received() {
        return Err(ProtocolError::InvalidCloseCode);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok((Some(code), CloseReason::new(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_4_codes_that_are_only_reported_or_undefined_stay_off_the_wire() {
        let valid = |number: &u16| CloseCode::new(*number).may_be_received();
        assert!([1000, 1001, 1002, 1003, 1007, 1008, 1011, 1014, 3000, 3999, 4000, 4999].iter().all(valid));
        assert!(![0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].iter().any(valid));
    }

    #[test]
    fn s7_1_6_a_long_reason_is_cut_before_the_character_that_does_not_fit() {
        let reason = "é".repeat(62); // 124 bytes
        assert_eq!(CloseReason::new(&reason).as_str(), "é".repeat(61));
        assert_eq!(CloseReason::new(&"a".repeat(124)).as_str().len(), 123);
        assert_eq!(CloseReason::new(&"a".repeat(123)).as_str().len(), 123);
    }

    #[test]
    fn s7_1_5_a_code_and_a_reason_show_as_what_they_are() {
        let (code, reason) = (CloseCode::GOING_AWAY, CloseReason::new("bye"));
        assert_eq!(format!("{code} {reason}"), "1001 bye");
        assert_eq!(format!("{code:?}"), "CloseCode(1001)");
    }

    #[test]
    fn s5_5_1_a_close_payload_is_nothing_or_a_code_and_utf8() {
        assert_eq!(parse_close(b""), Ok((None, CloseReason::none())));
        assert_eq!(parse_close(b"\x03\xe8bye"), Ok((Some(CloseCode::NORMAL), CloseReason::new("bye"))));
        assert_eq!(parse_close(b"\x03"), Err(ProtocolError::ClosePayloadOfOneByte));
        assert_eq!(parse_close(b"\x03\xed"), Err(ProtocolError::InvalidCloseCode));
        assert_eq!(parse_close(b"\x03\xe8\xff"), Err(ProtocolError::CloseReasonNotUtf8));
    }
}
