//! Publishing by the admin API.

use crate::client::Received;
use crate::stage::Stage;
use serde_json::json;
use std::thread;

#[test]
fn text_json_and_binary_arrive_byte_for_byte_and_the_answer_says_where_and_to_whom() {
    let stage = Stage::start(2);
    let mut listeners: Vec<_> = (0..4).map(|_| stage.client("/ws/a/b")).collect();
    let target = "/v1/channels/a/b/messages";
    let published = stage.post(target, "text/plain; charset=utf-8", "gr\u{fc}\u{df}e").ok();
    assert_eq!((&published["channel"], &published["position"]["offset"]), (&"a/b".into(), &1.into()));
    assert_eq!(
        (&published["subscribers"], &published["enqueued"], &published["dropped"]),
        (&4.into(), &4.into(), &0.into())
    );
    let second = stage.post(target, "application/json", r#"{ "b": 1.0, "a": 2 }"#).ok();
    assert_eq!(second["position"]["offset"], 2);
    stage.post(target, "application/octet-stream", [0, 255, 1]).ok();
    for listener in &mut listeners {
        assert_eq!(listener.text(), "gr\u{fc}\u{df}e");
        assert_eq!(listener.text(), r#"{ "b": 1.0, "a": 2 }"#);
        assert_eq!(listener.receive(), Received::Binary(vec![0, 255, 1]));
    }
}

#[test]
fn what_nobody_listens_to_has_no_position_and_makes_no_channel() {
    let stage = Stage::start(2);
    let published = stage.post("/v1/channels/void/messages", "text/plain", "hello?").ok();
    let nobody = json!({"channel": "void", "position": null, "subscribers": 0, "enqueued": 0, "dropped": 0});
    assert_eq!(published, nobody);
    assert_eq!(stage.get("/v1/channels").ok()["total"], 0);
}

#[test]
fn operators_and_clients_publish_in_one_order_for_all_workers() {
    let stage = Stage::start(3);
    let mut listeners: Vec<_> = (0..9).map(|_| stage.client("/ws/a")).collect();
    let (mut client, count) = (stage.client("/ws/a?echo=off"), 60);
    let from_client = thread::spawn(move || {
        for number in 0..count {
            client.send(&format!("client {number}"));
        }
        client
    });
    for number in 0..count {
        let body = format!("operator {number}");
        assert_eq!(stage.post("/v1/channels/a/messages", "text/plain", body).status, 200);
    }
    drop(from_client.join().expect("it was sent"));
    let heard: Vec<Vec<String>> = listeners.iter_mut().map(|listener| listener.texts(2 * count)).collect();
    assert!(heard.iter().all(|one| *one == heard[0]), "one order");
    for who in ["client", "operator"] {
        let own: Vec<&String> = heard[0].iter().filter(|text| text.starts_with(who)).collect();
        assert!(own.iter().enumerate().all(|(number, text)| **text == format!("{who} {number}")), "{own:?}");
    }
}

#[test]
fn a_batch_is_published_in_order_or_not_at_all() {
    let stage = Stage::start(2);
    let (mut a, mut b) = (stage.client("/ws/a"), stage.client("/ws/b"));
    let batch = |messages: &str| {
        stage.post("/v1/messages", "application/json", format!("{{\"messages\":[{messages}]}}"))
    };
    let good = r#"{"channels":["a","b","void"],"text":"1"},{"channel":"a","json":[1, 2]},{"channel":"b","base64":"/wA="}"#;
    let results = batch(good).ok()["results"].clone();
    let offsets: Vec<_> = (0..5).map(|number| results[number]["position"]["offset"].as_u64()).collect();
    assert_eq!(offsets, [Some(1), Some(1), None, Some(2), Some(2)], "{results}");
    assert_eq!(a.texts(2), ["1", "[1, 2]"]);
    assert_eq!((b.text(), b.receive()), ("1".to_owned(), Received::Binary(vec![255, 0])));
    for (messages, status) in [
        (r#"{"channel":"a","text":"2"},{"channel":"a b","text":"2"}"#, 422),
        (r#"{"channel":"a","text":"2"},{"channel":"a"}"#, 422),
        (r#"{"channel":"a","text":"2"},{"channel":"a","base64":"?"}"#, 422),
        (r#"{"channel":"a","text":"2"},"#, 400),
    ] {
        batch(messages).refused(status);
    }
    assert_eq!(batch("").ok()["results"], json!([]));
    batch(r#"{"channel":"a","text":"3"}"#).ok();
    assert_eq!(a.text(), "3", "nothing of the others came");
}

#[test]
fn a_body_of_another_kind_or_wrong_in_itself_is_refused() {
    let stage = Stage::start(1);
    let target = "/v1/channels/a/messages";
    assert!(stage.request("POST", target, &[], "x").refused(415).contains("Content-Type"));
    stage.post(target, "application/x-www-form-urlencoded", "x").refused(415);
    stage.post(target, "text/plain; charset=latin1", "x").refused(415);
    stage.post(target, "text/plain", [0xff]).refused(400);
    stage.post(target, "application/json", "{").refused(400);
    stage.post("/v1/channels/a%20b/messages", "text/plain", "x").refused(400);
    stage.post("/v1/messages", "text/plain", "{}").refused(415);
    stage.post("/v1/messages", "application/json", "{}").refused(422);
    let answer = stage.post("/v1/channels/a", "text/plain", "x");
    answer.refused(405);
    assert_eq!(answer.header("Allow"), Some("GET, HEAD"));
    assert_eq!(stage.request("PUT", target, &[], "x").status, 405);
}

#[test]
fn a_message_may_be_as_long_as_a_clients_and_no_longer() {
    let stage = Stage::with(1, |config| config.limits.message_bytes_max = 1000);
    let target = "/v1/channels/a/messages";
    assert_eq!(stage.post(target, "text/plain", "x".repeat(1000)).status, 200);
    stage.post(target, "text/plain", "x".repeat(1001)).refused(413);
    stage.post(target, "text/plain", "x".repeat(100_000)).refused(413);
    let batch = |bytes: usize| {
        let batch = json!({"messages": [{"channel": "a", "text": "x".repeat(bytes)}]});
        stage.post("/v1/messages", "application/json", batch.to_string())
    };
    assert_eq!(batch(1000).status, 200);
    batch(1001).refused(413);
}
