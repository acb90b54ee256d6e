//! `/v1/channels`.

use crate::stage::Stage;

#[test]
fn a_channel_is_shown_with_who_listens_and_where_it_stands_over_all_workers() {
    let stage = Stage::start(3);
    let mut listeners: Vec<_> = (0..12).map(|_| stage.client("/ws/a/b")).collect();
    listeners[0].send("hi");
    assert!(listeners.iter_mut().all(|listener| listener.text() == "hi"));
    for target in ["/v1/channels/a/b", "/v1/channels/a%2Fb"] {
        let channel = stage.get(target).ok();
        assert_eq!((&channel["channel"], &channel["subscribers"]), (&"a/b".into(), &12.into()), "{channel}");
        assert_eq!(channel["position"]["offset"], 1, "{channel}");
        assert!(channel["messages_per_second"].is_number() && channel["behind"] == 0, "{channel}");
    }
    assert!(stage.get("/v1/channels/nobody").refused(404).contains("nobody listens"));
    assert!(stage.get("/v1/channels/caf%C3%A9").refused(400).contains("channel's name"));
    assert!(stage.get("/v1/channels/%FF").refused(400).contains("UTF-8"));
}

#[test]
fn pages_come_to_an_end_and_have_every_channel_once_by_name() {
    let stage = Stage::start(2);
    let mut names: Vec<String> = (0..57).map(|number| format!("room-{number}")).collect();
    let _listeners: Vec<_> = names.iter().map(|name| stage.client(&format!("/ws/{name}"))).collect();
    let _twice: Vec<_> = names.iter().take(9).map(|name| stage.client(&format!("/ws/{name}"))).collect();
    let _other = stage.client("/ws/other");
    names.sort();
    for limit in [1, 7, 19, 57, 58, 1000] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = stage.get(&format!("/v1/channels?prefix=room-&limit={limit}{cursor}")).ok();
            assert_eq!(page["total"], 57, "{page}");
            let channels = page["channels"].as_array().expect("channels");
            assert!(!channels.is_empty() && channels.len() <= limit, "{page}");
            seen.extend(
                channels.iter().map(|channel| channel["channel"].as_str().expect("a name").to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, names, "{limit} a page");
    }
    assert_eq!(stage.get("/v1/channels").ok()["total"], 58);
    assert_eq!(stage.get("/v1/channels?prefix=nothing").ok()["channels"], serde_json::json!([]));
}

#[test]
fn by_traffic_the_busiest_come_first_with_all_who_listen() {
    let stage = Stage::start(2);
    let mut quiet = stage.client("/ws/quiet");
    let _others: Vec<_> = (0..5).map(|_| stage.client("/ws/busy")).collect();
    let mut busy = stage.client("/ws/busy");
    quiet.send("x");
    busy.send_all((0..50).map(|number| format!("a longer message, {number}")));
    busy.texts(50);
    assert_eq!(quiet.text(), "x");
    let page = stage.get("/v1/channels?sort=traffic&limit=1").ok();
    assert_eq!(page["channels"][0]["channel"], "busy", "{page}");
    assert_eq!((&page["channels"][0]["subscribers"], &page["total"]), (&6.into(), &2.into()), "{page}");
    assert!(page["next"].is_null());
}

#[test]
fn a_parameter_that_makes_no_sense_gets_400() {
    let stage = Stage::start(1);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "sort=size",
        "unknown=1",
        "cursor=caf%C3%A9",
        "sort=traffic&cursor=a",
    ] {
        stage.get(&format!("/v1/channels?{query}")).refused(400);
    }
}
