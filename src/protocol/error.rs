//! What peers do wrong, a row each: the section that forbids it, its name, what it is answered with, a sentence.
//!
//! [`ProtocolError`] is a violation after the opening handshake; it fails the connection (RFC 6455 §7.1.7) with a
//! Close frame. [`HandshakeError`] is one before it; a server answers it with an HTTP response. "Not enough bytes
//! yet" and "closed as agreed" are no errors and do not occur here.

use super::close::CloseCode;
use super::response::{Response, Status};
use std::fmt;

macro_rules! protocol_errors {
    ($($section:literal $name:ident => $code:ident $sentence:literal;)*) => {
        /// How a peer broke RFC 6455, or exceeded a limit, after the opening handshake.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[non_exhaustive]
        pub enum ProtocolError {
            $(#[doc = concat!($sentence, " (", $section, ").")] $name,)*
        }

        impl ProtocolError {
            /// Every error there is.
            pub const ALL: &'static [ProtocolError] = &[$(ProtocolError::$name),*];

            /// Where the rule stands.
            #[must_use]
            pub fn section(self) -> &'static str {
                match self { $(ProtocolError::$name => $section,)* }
            }

            /// The code of the Close frame that answers it.
            #[must_use]
            pub fn code(self) -> CloseCode {
                match self { $(ProtocolError::$name => CloseCode::$code,)* }
            }

            /// What is wrong, in a sentence that fits a Close frame's reason.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(ProtocolError::$name => $sentence,)* }
            }
        }
    };
}

protocol_errors! {
    "RFC 6455 §5.1" Unmasked => PROTOCOL_ERROR "a client must mask its frames";
    "RFC 6455 §5.1" Masked => PROTOCOL_ERROR "a server must not mask its frames";
    "RFC 6455 §5.2" ReservedBits => PROTOCOL_ERROR "a reserved bit is set that no extension uses";
    "RFC 7692 §6.1" CompressedBitMisplaced => PROTOCOL_ERROR "RSV1 belongs on a message's first frame and nowhere else";
    "RFC 6455 §5.2" ReservedOpcode => PROTOCOL_ERROR "the opcode is reserved";
    "RFC 6455 §5.2" LengthNotMinimal => PROTOCOL_ERROR "the length is not written in the fewest bytes";
    "RFC 6455 §5.2" LengthOver63Bits => PROTOCOL_ERROR "the most significant bit of the length is set";
    "RFC 6455 §5.4" UnexpectedContinuation => PROTOCOL_ERROR "a continuation frame without a message to continue";
    "RFC 6455 §5.4" ContinuationExpected => PROTOCOL_ERROR "a new message before the last fragment of the one before";
    "RFC 6455 §5.5" FragmentedControlFrame => PROTOCOL_ERROR "a control frame must not be fragmented";
    "RFC 6455 §5.5" ControlFrameTooLong => PROTOCOL_ERROR "a control frame carries at most 125 bytes";
    "RFC 6455 §5.5.1" ClosePayloadOfOneByte => PROTOCOL_ERROR "a Close frame's payload is empty or begins with a code of two bytes";
    "RFC 6455 §7.4" InvalidCloseCode => PROTOCOL_ERROR "the Close frame's code may not be sent";
    "RFC 6455 §8.1" CloseReasonNotUtf8 => INVALID_PAYLOAD "the Close frame's reason is not UTF-8";
    "RFC 6455 §8.1" TextNotUtf8 => INVALID_PAYLOAD "a text message is not UTF-8";
    "RFC 7692 §7.2.2" DeflateInvalid => INVALID_PAYLOAD "the message's compressed data is corrupt";
    "RFC 6455 §7.4.1" MessageTooBig => MESSAGE_TOO_BIG "the message is larger than this endpoint accepts";
    // Not 1009: that asks for smaller messages, and this one may be small. It is how it is cut that the policy forbids.
    "RFC 6455 §10.4" TooManyFragments => POLICY_VIOLATION "the message has more fragments than this endpoint accepts";
}

macro_rules! handshake_errors {
    ($($section:literal $name:ident => $status:ident $sentence:literal;)*) => {
        /// Why an opening handshake came to nothing.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[non_exhaustive]
        pub enum HandshakeError {
            $(#[doc = concat!($sentence, " (", $section, ").")] $name,)*
        }

        impl HandshakeError {
            /// Every error there is.
            pub const ALL: &'static [HandshakeError] = &[$(HandshakeError::$name),*];

            /// Where the rule stands.
            #[must_use]
            pub fn section(self) -> &'static str {
                match self { $(HandshakeError::$name => $section,)* }
            }

            /// The status of the HTTP response that answers it. What a server did wrong towards a client has 502, as
            /// a gateway would report it; nothing is sent then.
            #[must_use]
            pub fn status(self) -> Status {
                match self { $(HandshakeError::$name => Status::$status,)* }
            }

            /// What is wrong, in a sentence.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(HandshakeError::$name => $sentence,)* }
            }
        }
    };
}

handshake_errors! {
    // The request is not HTTP, or not HTTP that a server should answer with anything but a refusal.
    "RFC 9112 §3" RequestLineInvalid => BAD_REQUEST "the request line is not HTTP";
    "RFC 9112 §2.2" BareLineBreak => BAD_REQUEST "a line ends with CR or LF alone, or contains NUL";
    "RFC 9112 §5.1" HeaderInvalid => BAD_REQUEST "a header field is malformed";
    "RFC 9112 §3" HeadTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE "the HTTP head is too large";
    "RFC 6585 §5" TooManyHeaders => REQUEST_HEADER_FIELDS_TOO_LARGE "the HTTP head has too many header fields";
    "RFC 9112 §2.3" HttpVersion => HTTP_VERSION_NOT_SUPPORTED "the request must be HTTP/1.1";
    "RFC 9112 §3.2" TargetInvalid => BAD_REQUEST "the request target is not a path or an absolute http URL";
    "RFC 9112 §3.2" HostMissing => BAD_REQUEST "the Host header is missing";
    "RFC 9112 §3.2" HostRepeated => BAD_REQUEST "the Host header must come once";
    "RFC 9112 §3.2" HostInvalid => BAD_REQUEST "the Host header is not a host with an optional port";
    "RFC 6454 §7" OriginInvalid => BAD_REQUEST "the Origin header has bytes that no origin has";
    "RFC 9112 §6.3" ContentLengthInvalid => BAD_REQUEST "the Content-Length header is not one number";
    "RFC 9112 §6.1" BodyOnUpgrade => BAD_REQUEST "a WebSocket handshake has no body";
    // The request is HTTP, but asks for no WebSocket, or wrongly.
    "RFC 6455 §4.2.1" MethodNotGet => METHOD_NOT_ALLOWED "the method of a WebSocket handshake is GET";
    "RFC 6455 §4.2.1" UpgradeMissing => UPGRADE_REQUIRED "this is a WebSocket endpoint: the header \"Upgrade: websocket\" is missing";
    "RFC 6455 §4.2.1" ConnectionMissing => UPGRADE_REQUIRED "the header \"Connection: Upgrade\" is missing; a proxy in between may have dropped it";
    "RFC 6455 §4.2.2" VersionMissing => UPGRADE_REQUIRED "the Sec-WebSocket-Version header is missing; it must be 13";
    "RFC 6455 §4.2.2" VersionUnsupported => UPGRADE_REQUIRED "the Sec-WebSocket-Version must be 13";
    "RFC 6455 §11.3.5" VersionRepeated => BAD_REQUEST "the Sec-WebSocket-Version header must come once";
    "RFC 6455 §4.2.1" KeyMissing => BAD_REQUEST "the Sec-WebSocket-Key header is missing";
    "RFC 6455 §11.3.1" KeyRepeated => BAD_REQUEST "the Sec-WebSocket-Key header must come once";
    "RFC 6455 §4.2.1" KeyInvalid => BAD_REQUEST "the Sec-WebSocket-Key is not 16 bytes in base64";
    "RFC 6455 §4.2.1" SubprotocolsInvalid => BAD_REQUEST "the Sec-WebSocket-Protocol header is not a list of tokens";
    "RFC 6455 §9.1" ExtensionsInvalid => BAD_REQUEST "the Sec-WebSocket-Extensions header is malformed";
    // A server's response to a client.
    "RFC 9112 §4" ResponseInvalid => BAD_GATEWAY "the server's response is not HTTP/1.1";
    "RFC 6455 §4.1" ResponseUpgradeInvalid => BAD_GATEWAY "the server's 101 lacks \"Upgrade: websocket\"";
    "RFC 6455 §4.1" ResponseConnectionInvalid => BAD_GATEWAY "the server's 101 lacks \"Connection: Upgrade\"";
    "RFC 6455 §4.1" AcceptInvalid => BAD_GATEWAY "the server's Sec-WebSocket-Accept does not belong to our key";
    "RFC 6455 §4.1" ExtensionNotOffered => BAD_GATEWAY "the server uses an extension that was not offered";
    "RFC 6455 §9.1" AnsweredExtensionsInvalid => BAD_GATEWAY "the server's Sec-WebSocket-Extensions header is malformed or comes twice";
    "RFC 7692 §7.1" DeflateAnswerInvalid => BAD_GATEWAY "the server's permessage-deflate is no answer to what was offered";
    "RFC 6455 §4.1" SubprotocolNotOffered => BAD_GATEWAY "the server chose a subprotocol that was not offered";
}

impl HandshakeError {
    /// The whole refusal: the status, the sentence as text, and the headers that the status demands.
    #[must_use]
    pub fn response(self) -> Response {
        let response = Response::text(self.status(), format!("{self}\n"));
        match self {
            // RFC 9110 §15.5.6: a 405 says which methods there are.
            HandshakeError::MethodNotGet => response.with_header("Allow", "GET"),
            // RFC 6455 §4.2.2: a wrong version is answered with the right one; RFC 9110 §15.5.22: a 426 says what to
            // upgrade to.
            _ if self.status() == Status::UPGRADE_REQUIRED => {
                response.with_header("Upgrade", "websocket").with_header("Sec-WebSocket-Version", "13")
            }
            _ => response,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for ProtocolError {}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for HandshakeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloseReason;

    #[test]
    fn s5_5_1_every_sentence_fits_a_close_frame_and_every_code_may_be_sent() {
        for error in ProtocolError::ALL {
            assert!(error.sentence().len() <= CloseReason::BYTES_MAX, "{error}");
            assert!(error.code().may_be_sent(), "{error}");
            assert_eq!(error.to_string(), error.sentence());
        }
    }

    #[test]
    fn s4_2_2_every_refusal_says_what_is_wrong_and_what_its_status_demands() {
        for error in HandshakeError::ALL {
            let response = error.response();
            assert_eq!(response.body.as_ref(), format!("{}\n", error.sentence()).as_bytes());
            let has = |name| response.headers.iter().any(|(header, _)| *header == name);
            assert_eq!(has("Upgrade"), error.status() == Status::UPGRADE_REQUIRED);
            assert_eq!(has("Sec-WebSocket-Version"), error.status() == Status::UPGRADE_REQUIRED);
            assert_eq!(has("Allow"), error.status() == Status::METHOD_NOT_ALLOWED);
        }
    }
}
