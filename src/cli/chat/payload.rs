//! What a typed line is on the wire, and what a received payload is for people.
//!
//! Payloads come from strangers. What [`escape`] lets through moves no cursor, rings no bell and changes no colour.

use fanwire::protocol::Kind;
use serde_json::Value;
use std::fmt::Write;

/// The chat payload in which `username` says `text`.
pub(super) fn chat(username: &str, text: &str) -> String {
    format!("{{\"username\":{},\"text\":{}}}", Value::from(username), Value::from(text))
}

/// What a payload is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
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
pub(super) fn read(kind: Kind, payload: &[u8]) -> Heard {
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
pub(super) fn append_other(kind: Kind, payload: &[u8], out: &mut String) {
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

/// `1 byte`, `2 bytes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// What stands before the second and later lines of a text, so that they do not look like messages of their own.
const INDENT: &str = "    ";

/// Appends a text of which a terminal shows every character and obeys none, but for tabs and line ends.
pub(super) fn append_escaped(text: &str, out: &mut String) {
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\t' => out.push('\t'),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' => {
                out.push('\n');
                out.push_str(INDENT);
            }
            char if is_active(char) => out.extend(char.escape_default()),
            char => out.push(char),
        }
    }
}

/// A text in one line of which a terminal shows every character and obeys none.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, char| {
        if is_active(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
        escaped
    })
}

/// Whether a terminal would do something at this character instead of showing it: the control characters of ASCII and
/// Latin-1, what changes the direction of writing (a name could then show as another), and Unicode's own line ends.
fn is_active(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

    fn shown(text: &str) -> String {
        let mut out = String::new();
        append_escaped(text, &mut out);
        out
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

    #[test]
    fn control_characters_are_seen_and_not_obeyed() {
        assert_eq!(shown("\x1b[2J\x07\x7f\u{9b}31m"), r"\u{1b}[2J\u{7}\u{7f}\u{9b}31m");
        assert_eq!(shown("a\rb"), r"a\rb", "nothing overwrites the name before it");
        assert_eq!(shown("\u{202e}evil\u{2069}\u{2028}"), r"\u{202e}evil\u{2069}\u{2028}");
        for code in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            assert!(!escape(&code.to_string()).contains(char::is_control), "{code:?}");
        }
    }

    #[test]
    fn tabs_and_all_that_can_be_seen_stay() {
        let text = "\ta \\ é 👩‍👩‍👧 ا ✓";
        assert_eq!(shown(text), text);
    }

    #[test]
    fn a_further_line_is_indented_so_that_it_forges_no_message() {
        assert_eq!(shown("one\nann: two\r\nthree"), "one\n    ann: two\n    three");
        assert_eq!(escape("one\nann: two"), r"one\nann: two");
    }
}
