//! What a typed line is on the wire, and what a received payload is for people.

use crate::cli::escape::append_escaped;
use crate::cli::plural::count;
use fanwire::protocol::Kind;
use serde_json::Value;
use std::fmt::Write;

/// The chat payload in which `username` says `text`.
pub(crate) fn chat(username: &str, text: &str) -> String {
    format!("{{\"username\":{},\"text\":{}}}", Value::from(username), Value::from(text))
}

/// What a payload is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Somebody says something.
    Chat {
        /// Empty if it is missing.
        username: String,
        /// What is said.
        text: String,
    },
    /// `{"error": …}`: the server did not accept what we said.
    Error(String),
    /// Anything else.
    Other,
}

/// Reads a payload. Whatever it is, it is something.
pub(crate) fn read(kind: Kind, payload: &[u8]) -> Heard {
    let value = match kind {
        Kind::Text => serde_json::from_slice(payload).unwrap_or_default(),
        Kind::Binary => Value::Null,
    };
    match (&value["username"], &value["text"], &value["error"]) {
        (Value::String(username), Value::String(text), _) => {
            Heard::Chat { username: username.clone(), text: text.clone() }
        }
        (Value::Null, Value::String(text), _) => Heard::Chat { username: String::new(), text: text.clone() },
        (_, _, Value::String(error)) => Heard::Error(error.clone()),
        _ => Heard::Other,
    }
}

/// Bytes of a binary payload that are shown.
const HEX_BYTES_MAX: usize = 16;

/// Appends a payload that is not chat: text as it is, binary as its size and how it begins.
pub(crate) fn append_other(kind: Kind, payload: &[u8], out: &mut String) {
    if let (Kind::Text, Ok(text)) = (kind, str::from_utf8(payload)) {
        return append_escaped(text, out);
    }
    out.push_str(&count(payload.len(), "byte"));
    out.push_str(if payload.is_empty() { "" } else { ":" });
    for byte in payload.iter().take(HEX_BYTES_MAX) {
        // Writing to a String does not fail.
        let _ = write!(out, " {byte:02x}");
    }
    out.push_str(if payload.len() > HEX_BYTES_MAX { " …" } else { "" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(payload: &str) -> Heard {
        read(Kind::Text, payload.as_bytes())
    }

    fn said(username: &str, text: &str) -> Heard {
        Heard::Chat { username: username.to_owned(), text: text.to_owned() }
    }

    fn other(kind: Kind, payload: &[u8]) -> String {
        let mut out = String::new();
        append_other(kind, payload, &mut out);
        out
    }

    #[test]
    fn a_line_is_json_whatever_is_in_it() {
        assert_eq!(chat("ann", "hi"), r#"{"username":"ann","text":"hi"}"#);
        assert_eq!(chat("a\"b", "\\ \u{1b} é"), "{\"username\":\"a\\\"b\",\"text\":\"\\\\ \\u001b é\"}");
        assert_eq!(heard(&chat("a\"\n", "\\\u{1b}\u{2028}")), said("a\"\n", "\\\u{1b}\u{2028}"));
    }

    #[test]
    fn a_chat_payload_is_a_name_and_a_text() {
        assert_eq!(heard(r#" {"text":"hi","username":"ann","more":1} "#), said("ann", "hi"));
        assert_eq!(heard(r#"{"text":"hi"}"#), said("", "hi"));
        assert_eq!(heard(r#"{"text":"hi","username":null}"#), said("", "hi"));
    }

    #[test]
    fn an_error_is_an_error_unless_somebody_says_something() {
        assert_eq!(heard(r#"{"error":"no"}"#), Heard::Error("no".into()));
        assert_eq!(heard(r#"{"error":"no","text":"yes"}"#), said("", "yes"));
    }

    #[test]
    fn anything_else_is_shown_as_it_is() {
        for payload in
            ["", "hello", "1", "[\"text\"]", r#"{"text":1}"#, r#"{"username":1,"text":"a"}"#, "{\"text\":"]
        {
            assert_eq!(heard(payload), Heard::Other, "{payload}");
            assert_eq!(other(Kind::Text, payload.as_bytes()), payload);
        }
        assert_eq!(heard(&"[".repeat(100_000)), Heard::Other, "however deep it nests");
        assert_eq!(read(Kind::Binary, br#"{"text":"hi"}"#), Heard::Other);
    }

    #[test]
    fn binary_is_its_size_and_how_it_begins() {
        assert_eq!(other(Kind::Binary, b""), "0 bytes");
        assert_eq!(other(Kind::Binary, b"\0"), "1 byte: 00");
        assert_eq!(other(Kind::Binary, &[0xab; 16]), format!("16 bytes:{}", " ab".repeat(16)));
        assert_eq!(other(Kind::Binary, &[0xab; 17]), format!("17 bytes:{} …", " ab".repeat(16)));
    }
}
