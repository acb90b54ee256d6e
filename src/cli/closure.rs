//! How a connection of ours ended, for people.

use super::escape::escape;
use fanwire::protocol::{Closure, Timeout};

/// How it ended, in a sentence that a terminal can show. `refusal` is the body of the response that refused it, if it was
/// read.
pub(crate) fn describe(closure: &Closure, refusal: &[u8]) -> String {
    match closure {
        Closure::Agreed(code, reason) => {
            let code = code.map_or_else(|| "without a code".to_owned(), |code| code.to_string());
            let reason = if reason.as_str().is_empty() {
                String::new()
            } else {
                format!(" {}", escape(reason.as_str()))
            };
            format!("the server closed the connection: {code}{reason}")
        }
        Closure::Responded(status) => {
            let body = String::from_utf8_lossy(refusal);
            format!("the server refused: {status}: {}", escape(body.trim())).trim_end_matches(": ").to_owned()
        }
        Closure::Failed(error) => format!("the server broke the protocol: {error} ({})", error.section()),
        Closure::Refused(error) => format!("this is no WebSocket server: {error} ({})", error.section()),
        Closure::Dropped(code) => format!("closed with {code}"),
        Closure::TimedOut(Timeout::Handshake) => "the server did not answer in time".to_owned(),
        Closure::TimedOut(Timeout::Idle) => "the server is silent: the connection is dead".to_owned(),
        Closure::TimedOut(Timeout::Close) => "the server did not answer our Close frame in time".to_owned(),
        Closure::Lost => "the connection was lost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanwire::protocol::{CloseCode, CloseReason, Status};

    fn agreed(code: u16, reason: &str) -> Closure {
        Closure::Agreed(Some(CloseCode::new(code)), CloseReason::new(reason))
    }

    #[test]
    fn the_end_is_told_with_code_and_reason_and_obeys_nothing_in_them() {
        assert_eq!(
            describe(&agreed(1008, "too slow\x1b[2J"), b""),
            r"the server closed the connection: 1008 too slow\u{1b}[2J"
        );
        assert_eq!(describe(&agreed(1001, ""), b""), "the server closed the connection: 1001");
        assert_eq!(
            describe(&Closure::Responded(Status::NOT_FOUND), b"no such channel\n"),
            "the server refused: 404 Not Found: no such channel"
        );
        assert_eq!(
            describe(&Closure::Responded(Status::NOT_FOUND), b""),
            "the server refused: 404 Not Found"
        );
    }
}
