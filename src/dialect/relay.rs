//! The relay dialect: the path names the channel, and every message is a publication in it.
//!
//! What may be published is the operator's [`PayloadPolicy`]. `chat` is the contract of the Go program that fanwire
//! replaces, read as Go's `encoding/json` reads it: names match without regard to case, `null` leaves a field
//! empty, the last of several wins, unknown fields are dropped. What goes out has exactly two fields. The name is that of
//! the speaker's token, if it has one: nobody speaks as somebody else.

use super::Command;
use crate::config::PayloadPolicy;
use crate::protocol::Kind;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Reads one message of `user`, if a token says who that is, under `policy`. `scratch` is where an answer is written that is
/// not the message itself; what was in it is gone.
pub(crate) fn read<'m>(
    policy: PayloadPolicy,
    user: Option<&str>,
    kind: Kind,
    payload: &'m [u8],
    scratch: &'m mut Vec<u8>,
) -> Command<'m> {
    match (policy, kind) {
        (PayloadPolicy::Any, _) => Command::Publish { kind, payload },
        (PayloadPolicy::Json | PayloadPolicy::Chat, Kind::Binary) => {
            reject("a binary message: only JSON text is accepted here", scratch)
        }
        (PayloadPolicy::Json, Kind::Text) => match serde_json::from_slice::<IgnoredAny>(payload) {
            Ok(_) => Command::Publish { kind, payload },
            Err(error) => reject(&format!("not JSON: {error}"), scratch),
        },
        (PayloadPolicy::Chat, Kind::Text) => match serde_json::from_slice::<Chat<'_>>(payload) {
            Ok(mut chat) => {
                if let Some(user) = user {
                    chat.username = Cow::Borrowed(user);
                }
                chat.write(scratch);
                Command::Publish { kind, payload: scratch }
            }
            Err(error) => {
                reject(&format!("not {{\"username\": string, \"text\": string}}: {error}"), scratch)
            }
        },
    }
}

/// The message is not accepted, whatever it says.
pub(super) fn reject<'m>(reason: &str, scratch: &'m mut Vec<u8>) -> Command<'m> {
    scratch.clear();
    scratch.extend_from_slice(b"{\"error\":");
    write_string(reason, scratch);
    scratch.push(b'}');
    Command::Reject { error: scratch }
}

/// Appends `text` as a JSON string, quoted and escaped.
fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing a str into a Vec fails neither as JSON nor as I/O.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok());
}

/// The chat payload: one line that somebody says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chat<'m> {
    username: Cow<'m, str>,
    text: Cow<'m, str>,
}

impl Chat<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"{\"username\":");
        write_string(&self.username, out);
        out.extend_from_slice(b",\"text\":");
        write_string(&self.text, out);
        out.push(b'}');
    }
}

impl<'de> Deserialize<'de> for Chat<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_map`: its error quotes a string that stands in the object's place, however long that is.
        deserializer.deserialize_any(ChatVisitor)
    }
}

struct ChatVisitor;

impl<'de> Visitor<'de> for ChatVisitor {
    type Value = Chat<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_str<E: Error>(self, _text: &str) -> Result<Chat<'de>, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Chat<'de>, A::Error> {
        let mut chat = Chat::default();
        while let Some(Name(name)) = fields.next_key()? {
            let field = match () {
                () if name.eq_ignore_ascii_case("username") => &mut chat.username,
                () if name.eq_ignore_ascii_case("text") => &mut chat.text,
                () => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if let Some(Name(value)) = fields.next_value()? {
                *field = value;
            }
        }
        Ok(chat)
    }
}

/// A JSON string: borrowed from the message if nothing in it is escaped.
struct Name<'m>(Cow<'m, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Verdict {
        Published(Kind, String),
        Rejected(String),
    }

    fn verdict(policy: PayloadPolicy, kind: Kind, payload: &str) -> Verdict {
        verdict_of(None, policy, kind, payload)
    }

    fn verdict_of(user: Option<&str>, policy: PayloadPolicy, kind: Kind, payload: &str) -> Verdict {
        verdict_on(&read(policy, user, kind, payload.as_bytes(), &mut Vec::from("left over")))
    }

    fn verdict_on(command: &Command<'_>) -> Verdict {
        match command {
            Command::Publish { kind, payload } => {
                Verdict::Published(*kind, String::from_utf8_lossy(payload).into())
            }
            Command::Reject { error } => {
                let error: serde_json::Value = serde_json::from_slice(error).expect("an error is JSON");
                Verdict::Rejected(error["error"].as_str().expect("with a sentence").to_owned())
            }
            Command::Reply { .. } => unreachable!("the relay dialect does not reply"),
        }
    }

    fn published(payload: &str) -> Verdict {
        Verdict::Published(Kind::Text, payload.to_owned())
    }

    fn chat(payload: &str) -> Verdict {
        verdict(PayloadPolicy::Chat, Kind::Text, payload)
    }

    fn is_rejected(verdict: &Verdict, because: &str) -> bool {
        matches!(verdict, Verdict::Rejected(error) if error.contains(because))
    }

    #[test]
    fn any_publishes_text_and_binary_verbatim() {
        assert_eq!(verdict(PayloadPolicy::Any, Kind::Text, "not json"), published("not json"));
        assert_eq!(
            verdict(PayloadPolicy::Any, Kind::Binary, "\0"),
            Verdict::Published(Kind::Binary, "\0".into())
        );
    }

    #[test]
    fn json_publishes_json_text_verbatim_with_its_white_space() {
        let payload = " {\"a\": [1, 2.5e3, null]} ";
        assert_eq!(verdict(PayloadPolicy::Json, Kind::Text, payload), published(payload));
    }

    #[test]
    fn json_rejects_what_is_not_json_text() {
        assert!(is_rejected(&verdict(PayloadPolicy::Json, Kind::Text, "{\"a\":"), "not JSON"));
        assert!(is_rejected(&verdict(PayloadPolicy::Json, Kind::Text, "1 2"), "not JSON"));
        assert!(is_rejected(&verdict(PayloadPolicy::Json, Kind::Text, ""), "not JSON"));
        assert!(is_rejected(&verdict(PayloadPolicy::Json, Kind::Binary, "1"), "binary"));
    }

    #[test]
    fn nesting_however_deep_overflows_no_stack() {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        let payload = format!("{open}{close}");
        assert_eq!(verdict(PayloadPolicy::Json, Kind::Text, &payload), published(&payload));
        assert!(is_rejected(&verdict(PayloadPolicy::Json, Kind::Text, &open), "EOF"));
        assert_eq!(chat(&format!("{{\"x\":{payload}}}")), published("{\"username\":\"\",\"text\":\"\"}"));
        assert!(is_rejected(&chat(&format!("{{\"text\":{payload}}}")), "expected a string"));
    }

    #[test]
    fn chat_publishes_the_two_fields_in_normal_form() {
        assert_eq!(
            chat(" {\"text\":\"hi \\u00e9\\n\", \"username\":\"ann\"} "),
            published("{\"username\":\"ann\",\"text\":\"hi é\\n\"}")
        );
    }

    #[test]
    fn chat_reads_fields_as_go_does() {
        assert_eq!(chat("{}"), published("{\"username\":\"\",\"text\":\"\"}"), "missing fields are empty");
        assert_eq!(
            chat("{\"username\":null,\"text\":\"a\"}"),
            published("{\"username\":\"\",\"text\":\"a\"}"),
            "null leaves a field as it is"
        );
        assert_eq!(
            chat("{\"Username\":\"a\",\"TEXT\":\"b\",\"id\":[{}]}"),
            published("{\"username\":\"a\",\"text\":\"b\"}"),
            "names match without regard to case, unknown ones are dropped"
        );
        assert_eq!(
            chat("{\"text\":\"a\",\"text\":\"b\"}"),
            published("{\"username\":\"\",\"text\":\"b\"}"),
            "the last of several wins"
        );
    }

    #[test]
    fn chat_rejects_other_types_other_json_and_binary() {
        assert!(is_rejected(&chat("{\"username\":1,\"text\":\"a\"}"), "expected a string"));
        assert!(is_rejected(&chat("[\"ann\",\"hi\"]"), "expected an object"));
        assert!(is_rejected(&chat("{\"text\":\"\\ud800\"}"), "username"));
        assert!(is_rejected(&chat("hello"), "username"));
        assert!(is_rejected(&verdict(PayloadPolicy::Chat, Kind::Binary, "{}"), "binary"));
    }

    #[test]
    fn an_error_is_short_however_long_the_message_is() {
        let long = "\u{ad}".repeat(100_000); // quoted with its escapes it would be three times as long
        for payload in
            [format!("\"{long}\""), format!("[\"{long}\"]"), format!("{{\"text\":[\"{long}\"]}}"), long]
        {
            let Verdict::Rejected(error) = chat(&payload) else { panic!("{payload:.20} is no chat line") };
            assert!(error.len() < 200, "{} bytes for {} bytes", error.len(), payload.len());
        }
        assert!(is_rejected(&chat("\"hello\""), "expected an object"));
    }

    #[test]
    fn chat_names_whom_the_token_names_whatever_the_message_says() {
        let said = |policy, payload| verdict_of(Some("ann \"x\""), policy, Kind::Text, payload);
        let chat = |payload| said(PayloadPolicy::Chat, payload);
        let expected = published("{\"username\":\"ann \\\"x\\\"\",\"text\":\"hi\"}");
        assert_eq!(chat("{\"username\":\"bob\",\"text\":\"hi\"}"), expected);
        assert_eq!(chat("{\"text\":\"hi\"}"), expected);
        let any = said(PayloadPolicy::Any, "{\"username\":\"bob\"}");
        assert_eq!(any, published("{\"username\":\"bob\"}"), "elsewhere payloads are nobody's business");
    }

    #[test]
    fn an_error_quotes_nothing_that_breaks_its_json() {
        assert!(is_rejected(&chat("{\"text\":\"\\q\"}"), "escape"));
    }
}
