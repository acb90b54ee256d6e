//! `--payload json`: only JSON text is published. (`chat` stands in [`crate::go_program`].)

use crate::client::{Client, Received};
use crate::running::Running;
use fanwire::config::PayloadPolicy;
use serde_json::Value;

/// The sentence of the error message that comes next.
fn error(client: &mut Client) -> String {
    let error: Value = serde_json::from_str(&client.text()).expect("an error is JSON");
    assert_eq!(error.as_object().map(serde_json::Map::len), Some(1), "{error}");
    error["error"].as_str().expect("a sentence").to_owned()
}

#[test]
fn json_text_is_published_verbatim() {
    let server = Running::start(2, |config| config.payload = PayloadPolicy::Json);
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
    for text in [" {\"a\": [1, 2.50e3, null]}\n", "\"x\"", "1", "[]", "true"] {
        ann.send(text);
        assert_eq!((ann.text(), bob.text()), (text.to_owned(), text.to_owned()));
    }
}

#[test]
fn what_is_not_json_text_is_answered_to_its_sender_alone_and_the_connection_stays_open() {
    let server = Running::start(2, |config| config.payload = PayloadPolicy::Json);
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws?echo=off"));
    for text in ["", "hello", "{\"a\":", "1 2", "{'a': 1}"] {
        ann.send(text);
        assert!(error(&mut ann).contains("not JSON"), "{text:?}");
    }
    ann.send_binary(b"1");
    assert!(error(&mut ann).contains("binary"));
    ann.send("1");
    assert_eq!(ann.text(), "1");
    assert_eq!(bob.text(), "1", "bob heard nothing before");
    assert_eq!(server.totals().messages_rejected, 6);
}

#[test]
fn an_answer_stands_in_the_order_of_its_senders_own_messages() {
    let server = Running::start(1, |config| config.payload = PayloadPolicy::Json);
    let mut ann = server.client("/ws");
    ann.send_all(["oops", "oops", "oops"].map(str::to_owned));
    for _ in 0..3 {
        assert!(matches!(ann.receive(), Received::Text(text) if text.starts_with("{\"error\":")));
    }
}
