//! [`Copies`]: what we have published and not yet heard ourselves.

use crate::cli::client::payload::{self, Heard};
use fanwire::protocol::Kind;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// What we have published and the server has not yet sent back, in order. The server that sends it back has given it its
/// place in the channel.
///
/// A server with `--payload chat` sends back the normal form of what it accepts, and one that knows users by their tokens
/// puts their name into it: so each is expected in either form. Only hashes are kept.
#[derive(Debug)]
pub(super) struct Copies {
    /// The server knows who we are and may say so in our place.
    is_renamed: bool,
    awaited: VecDeque<Awaited>,
    /// Bytes of all that is awaited.
    bytes: usize,
    /// How many came to nothing because a later one has come back.
    passed_over: usize,
    /// How many the server has said it does not accept.
    rejected: usize,
    hasher: RandomState,
}

#[derive(Debug)]
struct Awaited {
    verbatim: u64,
    normal: u64,
    bytes: usize,
}

/// What a message from the server says of what we have published.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is a copy of ours.
    Confirmed,
    /// One of ours is not accepted, for this reason.
    Rejected(String),
    /// It is not about us.
    Nothing,
}

impl Copies {
    /// Nothing published yet. `is_renamed`: the server knows by a token who we are.
    pub(super) fn new(is_renamed: bool) -> Copies {
        Copies {
            is_renamed,
            awaited: VecDeque::new(),
            bytes: 0,
            passed_over: 0,
            rejected: 0,
            hasher: RandomState::new(),
        }
    }

    /// We have published this.
    pub(super) fn publish(&mut self, kind: Kind, payload: &[u8]) {
        let verbatim = self.hasher.hash_one((kind == Kind::Text, payload));
        let normal = self.normal_form(kind, payload).map_or(verbatim, |form| self.hasher.hash_one(form));
        self.awaited.push_back(Awaited { verbatim, normal, bytes: payload.len() });
        self.bytes += payload.len();
    }

    /// This came from the server.
    pub(super) fn hear(&mut self, kind: Kind, payload: &[u8]) -> Said {
        let verbatim = self.hasher.hash_one((kind == Kind::Text, payload));
        let normal = self.normal_form(kind, payload).map(|form| self.hasher.hash_one(form));
        let is_it = |awaited: &Awaited| awaited.verbatim == verbatim || Some(awaited.normal) == normal;
        if let Some(position) = self.awaited.iter().position(is_it) {
            // What one client publishes comes back in its order: what stands before it does not come any more.
            self.passed_over += position;
            self.bytes -= self.awaited.drain(..=position).map(|awaited| awaited.bytes).sum::<usize>();
            return Said::Confirmed;
        }
        match payload::read(kind, payload) {
            Heard::Error(reason) if !self.is_answered() => {
                self.rejected += 1;
                Said::Rejected(reason)
            }
            _ => Said::Nothing,
        }
    }

    /// How many have been neither confirmed nor rejected.
    pub(super) fn unanswered(&self) -> usize {
        (self.awaited.len() + self.passed_over).saturating_sub(self.rejected)
    }

    /// Whether all that we have published has come back, or was not accepted.
    pub(super) fn is_answered(&self) -> bool {
        self.unanswered() == 0
    }

    /// How many copies may still come, and how many bytes they are.
    pub(super) fn awaited(&self) -> (usize, usize) {
        (self.awaited.len(), self.bytes)
    }

    /// How the server would write this under `--payload chat`, if it would: names match without regard to case, `null`
    /// leaves a field empty, others are dropped.
    fn normal_form(&self, kind: Kind, payload: &[u8]) -> Option<String> {
        if kind == Kind::Binary {
            return None;
        }
        let fields: Map<String, Value> = serde_json::from_slice(payload).ok()?;
        let (mut username, mut text) = (String::new(), String::new());
        for (name, value) in fields {
            let field = match &*name.to_ascii_lowercase() {
                "username" => &mut username,
                "text" => &mut text,
                _ => continue,
            };
            match value {
                Value::String(value) => *field = value,
                Value::Null => {}
                _ => return None,
            }
        }
        if self.is_renamed {
            username.clear();
        }
        Some(payload::chat(&username, &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(payloads: &[&str]) -> Copies {
        let mut copies = Copies::new(false);
        for payload in payloads {
            copies.publish(Kind::Text, payload.as_bytes());
        }
        copies
    }

    fn hear(copies: &mut Copies, payload: &str) -> Said {
        copies.hear(Kind::Text, payload.as_bytes())
    }

    #[test]
    fn each_copy_confirms_one_message_and_somebody_elses_none() {
        let mut copies = published(&["a", "b", "a"]);
        assert_eq!(hear(&mut copies, "c"), Said::Nothing);
        assert_eq!((copies.unanswered(), copies.awaited()), (3, (3, 3)));
        for copy in ["a", "b", "a"] {
            assert_eq!(hear(&mut copies, copy), Said::Confirmed);
        }
        assert!(copies.is_answered());
        assert_eq!((hear(&mut copies, "a"), copies.awaited()), (Said::Nothing, (0, 0)));
    }

    #[test]
    fn text_and_binary_of_the_same_bytes_are_not_the_same_message() {
        let mut copies = published(&["a"]);
        assert_eq!(copies.hear(Kind::Binary, b"a"), Said::Nothing);
    }

    #[test]
    fn an_error_is_about_us_only_while_something_is_unanswered() {
        let mut copies = published(&["a", "b"]);
        assert_eq!(hear(&mut copies, r#"{"error":"no"}"#), Said::Rejected("no".into()));
        assert_eq!(hear(&mut copies, "b"), Said::Confirmed);
        assert!(copies.is_answered(), "the first was rejected, the second came back");
        assert_eq!(hear(&mut copies, r#"{"error":"no"}"#), Said::Nothing);
        assert_eq!(published(&[r#"{"error":"x"}"#]).hear(Kind::Text, br#"{"error":"x"}"#), Said::Confirmed);
    }

    #[test]
    fn one_that_is_passed_over_without_an_error_stays_unanswered() {
        let mut copies = published(&["a", "b"]);
        assert_eq!((hear(&mut copies, "b"), copies.unanswered()), (Said::Confirmed, 1));
    }

    #[test]
    fn the_normal_form_of_a_chat_payload_is_a_copy() {
        let mut copies = published(&[r#" {"TEXT": "hi\u0021", "more": 1, "Username": null} "#]);
        assert_eq!(hear(&mut copies, r#"{"username":"ann","text":"hi!"}"#), Said::Nothing, "another's");
        assert_eq!(hear(&mut copies, r#"{"username":"","text":"hi!"}"#), Said::Confirmed);
    }

    #[test]
    fn with_a_token_the_server_says_who_we_are() {
        let mut copies = Copies::new(true);
        copies.publish(Kind::Text, br#"{"username":"me","text":"hi"}"#);
        assert_eq!(hear(&mut copies, r#"{"username":"ann","text":"ho"}"#), Said::Nothing);
        assert_eq!(hear(&mut copies, r#"{"username":"ann","text":"hi"}"#), Said::Confirmed);
    }
}
