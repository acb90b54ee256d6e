//! `/v1/clients`.

use crate::client::assert_closed;
use crate::stage::Stage;
use fanwire::protocol::CloseCode;
use std::collections::BTreeSet;

#[test]
fn clients_are_listed_page_by_page_over_all_workers_and_each_once() {
    let stage = Stage::start(3);
    let _clients: Vec<_> = (0..23).map(|number| stage.client(&format!("/ws/{}", number % 2))).collect();
    for limit in [1, 5, 23, 100] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = stage.get(&format!("/v1/clients?limit={limit}{cursor}")).ok();
            assert_eq!(page["total"], 23, "{page}");
            let clients = page["clients"].as_array().expect("clients");
            assert!(!clients.is_empty() && clients.len() <= limit, "{page}");
            seen.extend(clients.iter().map(|client| client["id"].as_str().expect("an id").to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (23, 23), "{limit} a page");
    }
    assert_eq!(stage.get("/v1/clients?channel=1").ok()["total"], 11);
    assert_eq!(
        stage.get("/v1/clients?channel=1&sort=slowest&limit=3").ok()["clients"].as_array().map(Vec::len),
        Some(3)
    );
    for query in ["cursor=x", "cursor=0.0", "sort=slowest&cursor=0.0.0", "channel=a%20b", "limit=0"] {
        stage.get(&format!("/v1/clients?{query}")).refused(400);
    }
}

#[test]
fn a_client_is_shown_with_its_address_its_channel_and_how_it_is() {
    let stage = Stage::start(1);
    let client = stage.client("/ws/a");
    let page = stage.get("/v1/clients").ok();
    let listed = &page["clients"][0];
    let id = listed["id"].as_str().expect("an id");
    let shown = stage.get(&format!("/v1/clients/{id}")).ok();
    let address = client.second_hand().local_addr().expect("connected").to_string();
    assert_eq!((&shown["id"], &shown["address"]), (&id.into(), &address.into()), "{shown}");
    assert_eq!((&shown["channel"], &shown["state"]), (&"a".into(), &"open".into()), "{shown}");
    assert_eq!((&shown["queued_bytes"], &shown["may_publish"]), (&0.into(), &true.into()), "{shown}");
    assert!(shown["age_seconds"].as_f64().is_some_and(|age| (0.0..60.0).contains(&age)), "{shown}");
    assert!(stage.get("/v1/clients/0.77.0").refused(404).contains("gone"));
    assert!(stage.get("/v1/clients/9.0.0").refused(404).contains("gone"));
    assert!(stage.get("/v1/clients/me").refused(400).contains("0.17.3"));
}

#[test]
fn a_client_that_is_closed_hears_the_code_and_the_reason_behind_all_messages() {
    let stage = Stage::start(2);
    for (query, code, reason) in [
        ("", CloseCode::POLICY_VIOLATION, "closed by an operator"),
        ("?code=4001&reason=off%20you%20go", CloseCode::new(4001), "off you go"),
        ("?code=1012&reason=", CloseCode::SERVICE_RESTART, ""),
    ] {
        let client = stage.client("/ws/a");
        let page = stage.until("/v1/clients", |page| page["total"] == 1);
        let id = page["clients"][0]["id"].as_str().expect("an id").to_owned();
        assert_eq!(stage.post("/v1/channels/a/messages", "text/plain", "last").status, 200);
        let closed = stage.request("DELETE", &format!("/v1/clients/{id}{query}"), &[], "").ok();
        assert_eq!(closed, serde_json::json!({"closed": true}));
        let (texts, closure) = client.rest();
        assert_eq!(texts, ["last"]);
        assert_closed(&closure, code, reason);
        stage.until("/v1/clients", |page| page["total"] == 0);
        stage.request("DELETE", &format!("/v1/clients/{id}"), &[], "").refused(404);
    }
}

#[test]
fn a_code_that_must_not_be_sent_and_a_reason_too_long_get_400() {
    let stage = Stage::start(1);
    let long = "x".repeat(124);
    for query in
        ["code=1002", "code=1005", "code=1006", "code=999", "code=5000", "code=x", &format!("reason={long}")]
    {
        stage.request("DELETE", &format!("/v1/clients/0.0.0?{query}"), &[], "").refused(400);
    }
    stage.request("DELETE", "/v1/clients/me", &[], "").refused(400);
    assert_eq!(stage.request("POST", "/v1/clients/0.0.0", &[], "").status, 405);
}
