//! `/v1/live`: a WebSocket of the server's own.

use crate::client::{Client, PATIENCE, assert_closed};
use crate::stage::{Answer, Stage, TOKEN};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanwire::protocol::CloseCode;
use serde_json::Value;
use std::io::{Read, Write};
use std::time::Instant;

#[test]
fn who_asks_once_is_told_of_the_second_that_follows() {
    let stage = Stage::with(2, |_| {});
    let mut client = stage.client("/ws/a");
    let sample = stage.request("GET", "/v1/stats", &[], "").ok();
    assert_eq!((&sample["state"], &sample["connections"]), (&"serving".into(), &1.into()), "{sample}");
    client.send_all(["hi".to_owned()]);
    client.texts(1);
    assert_eq!(stage.request("GET", "/v1/stats", &[], "").ok()["totals"]["publications"], 1);
}

#[test]
fn who_watches_is_told_each_second_how_the_server_is() {
    let stage = Stage::with(2, |config| config.memory_bytes_max = 1 << 30);
    let mut talkers: Vec<_> = (0..4).map(|_| stage.client("/ws/a")).collect();
    let mut watchers: Vec<Client> = (0..2).map(|_| Client::connect(stage.admin, "/v1/live")).collect();
    let started = Instant::now();
    let (mut deliveries, mut latencies) = (0.0, 0);
    while deliveries < 40.0 || latencies == 0 {
        assert!(started.elapsed() < PATIENCE, "{deliveries} deliveries, {latencies} latencies");
        talkers[0].send_all((0..10).map(|number| number.to_string()));
        for talker in &mut talkers {
            talker.texts(10);
        }
        let sample: Value = serde_json::from_str(&watchers[0].text()).expect("JSON");
        assert_eq!((&sample["state"], &sample["connections"]), (&"serving".into(), &4.into()), "{sample}");
        assert_eq!(
            (&sample["channels"], &sample["memory"]["budget"]),
            (&1.into(), &(1 << 30).into()),
            "{sample}"
        );
        assert_eq!(sample["version"], env!("CARGO_PKG_VERSION"));
        assert!(sample["at"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{sample}");
        for rate in ["messages_in", "deliveries", "bytes_in", "bytes_out", "connects", "drops", "closes"] {
            assert!(sample["rates"][rate].as_f64().is_some_and(|rate| rate >= 0.0), "{rate}: {sample}");
        }
        deliveries += sample["rates"]["deliveries"].as_f64().expect("a rate");
        if let Some(median) = sample["latency"]["p50"].as_f64() {
            let max = sample["latency"]["max"].as_f64().expect("a latency");
            assert!((0.0..=max).contains(&median) && max < 10.0, "{sample}");
            latencies += 1;
        }
        assert!(
            sample["totals"]["connections_accepted"].as_u64().is_some_and(|count| count >= 4),
            "{sample}"
        );
        let workers = sample["workers"].as_array().expect("workers");
        assert_eq!(workers.len(), 2);
        let held: u64 = workers.iter().filter_map(|worker| worker["connections"].as_u64()).sum();
        assert_eq!(held, 4, "{sample}");
        assert!(
            workers
                .iter()
                .all(|worker| worker["busy"].as_f64().is_some_and(|busy| (0.0..=1.0).contains(&busy)))
        );
        assert_eq!(sample["slowest"].as_array().map(Vec::len), Some(4), "{sample}");
        assert_eq!(sample["busiest"][0]["channel"], "a", "{sample}");
        let same: Value = serde_json::from_str(&watchers[1].text()).expect("JSON");
        assert!(same["at"].is_u64());
    }
    watchers.pop().expect("there are two").close();
    watchers[0].text();
}

#[test]
fn who_watches_is_told_goodbye_at_the_servers_end() {
    let stage = Stage::start(1);
    let mut watcher = Client::connect(stage.admin, "/v1/live");
    watcher.text();
    assert_eq!(stage.request("POST", "/v1/drain", &[], "").status, 202);
    let ended = std::thread::spawn(move || watcher.rest().1);
    stage.wait();
    assert_closed(&ended.join().expect("it ended"), CloseCode::GOING_AWAY, "the server ends");
}

#[test]
fn a_page_shows_the_token_in_the_query_or_among_the_subprotocols() {
    let stage = Stage::guarded();
    let encoded = format!("fanwire.token.{}", URL_SAFE_NO_PAD.encode(TOKEN));
    let both = format!("fanwire, {encoded}");
    let bearer = format!("Bearer {TOKEN}");
    let upgrade = |target: &str, header: Option<(&str, &str)>| {
        let header = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let mut stream = stage.connect();
        let request = crate::client::upgrade_with(target, &header);
        stream.write_all(request.as_bytes()).expect("it is taken");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("UTF-8");
        Answer { status: head[9..12].parse().expect("a status"), head, body: Vec::new() }
    };
    let open = upgrade(&format!("/v1/live?token={TOKEN}"), None);
    assert_eq!(
        (open.status, open.header("Sec-WebSocket-Accept")),
        (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    );
    assert_eq!(open.header("Sec-WebSocket-Protocol"), None);
    assert_eq!(upgrade("/v1/live", Some(("Authorization", &bearer))).status, 101);
    let agreed = upgrade("/v1/live", Some(("Sec-WebSocket-Protocol", &both)));
    assert_eq!((agreed.status, agreed.header("Sec-WebSocket-Protocol")), (101, Some("fanwire")));
    let agreed = upgrade("/v1/live", Some(("Sec-WebSocket-Protocol", &encoded)));
    assert_eq!((agreed.status, agreed.header("Sec-WebSocket-Protocol")), (101, Some(&*encoded)));
    assert_eq!(upgrade("/v1/live", Some(("Sec-WebSocket-Protocol", "fanwire"))).status, 401);
    assert_eq!(upgrade("/v1/live?token=wrong", Some(("Authorization", &bearer))).status, 401);
}

#[test]
fn a_request_that_opens_no_websocket_is_told_what_to_do() {
    let stage = Stage::start(1);
    let answer = stage.get("/v1/live");
    assert!(answer.refused(426).contains("WebSocket"));
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
    let headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Key", "x"), ("Sec-WebSocket-Version", "13")];
    stage.request("GET", "/v1/live", &headers, "").refused(426);
}
