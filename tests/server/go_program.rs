//! The Go program's clients work unchanged: `ws://…/ws` under `--payload chat` takes and gives what it did.

use crate::client::Client;
use crate::process::Process;
use crate::running::Running;
use fanwire::config::PayloadPolicy;
use serde_json::Value;

#[test]
fn its_json_comes_back_to_everyone_with_exactly_its_two_fields() {
    let server = Running::start(2, |config| config.payload = PayloadPolicy::Chat);
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
    for (sent, heard) in [
        ("{\"username\":\"ann\",\"text\":\"hi\"}", "{\"username\":\"ann\",\"text\":\"hi\"}"),
        ("{\"text\":\"hi\"}", "{\"username\":\"\",\"text\":\"hi\"}"),
        ("{\"username\":\"ann\"}", "{\"username\":\"ann\",\"text\":\"\"}"),
        ("{}", "{\"username\":\"\",\"text\":\"\"}"),
        ("{\"text\":\"b\",\"id\":7,\"username\":\"a\"}", "{\"username\":\"a\",\"text\":\"b\"}"),
        ("{\"username\":null,\"text\":\"x\"}", "{\"username\":\"\",\"text\":\"x\"}"),
        (" {\"username\" : \"\\u00e9\", \"text\":\"<b>\\n\"}", "{\"username\":\"é\",\"text\":\"<b>\\n\"}"),
    ] {
        ann.send(sent);
        assert_eq!((&*ann.text(), &*bob.text()), (heard, heard), "{sent}");
    }
}

#[test]
fn what_it_could_not_read_is_answered_to_its_sender_alone_and_the_connection_stays_open() {
    let server = Running::start(2, |config| config.payload = PayloadPolicy::Chat);
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
    for sent in ["hello", "", "[]", "\"hi\"", "{\"username\":1}", "{\"text\":{}}", "{\"text\":\"hi\"", "null"]
    {
        ann.send(sent);
        let answer: Value = serde_json::from_str(&ann.text()).expect("JSON");
        assert!(answer["error"].is_string(), "{sent}: {answer}");
    }
    ann.send_binary(b"{\"text\":\"hi\"}");
    let answer: Value = serde_json::from_str(&ann.text()).expect("JSON");
    assert!(answer["error"].is_string(), "{answer}");
    ann.send("{\"text\":\"still here\"}");
    assert_eq!(bob.text(), "{\"username\":\"\",\"text\":\"still here\"}", "bob heard nothing before");
}

#[test]
fn the_option_on_the_command_line_does_the_same() {
    let (_process, address) = Process::serve(&["--payload", "chat"]);
    let (mut ann, mut bob) = (Client::connect(address, "/ws"), Client::connect(address, "/ws"));
    ann.send("{\"username\":\"ann\",\"text\":\"hi\",\"room\":1}");
    assert_eq!(bob.text(), "{\"username\":\"ann\",\"text\":\"hi\"}");
    assert_eq!(ann.text(), "{\"username\":\"ann\",\"text\":\"hi\"}");
}
