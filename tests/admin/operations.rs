//! Health, the end, the configuration.

use crate::stage::Stage;
use fanwire::protocol::{CloseCode, Closure};

#[test]
fn a_drain_is_answered_told_to_load_balancers_and_ends_the_server() {
    let stage = Stage::with(2, |config| config.drain.delay_ms = 300);
    assert_eq!(stage.get("/readyz").ok()["ready"], true);
    assert_eq!(stage.request("GET", "/v1/drain", &[], "").status, 405, "looking at it does nothing");
    let client = stage.client("/ws/a");
    let drain = stage.request("POST", "/v1/drain", &[], "");
    assert_eq!(drain.status, 202);
    assert_eq!(drain.json(), serde_json::json!({"draining": true, "connections": 1}));
    let ready = stage.get("/readyz");
    assert_eq!((ready.status, ready.json()["why"].as_str()), (503, Some("draining")));
    assert_eq!(stage.get("/healthz").ok()["status"], "ok", "it lives");
    assert_eq!(stage.get("/v1/clients").ok()["total"], 1, "the API answers to the end");
    assert_eq!(stage.request("POST", "/v1/drain", &[], "").status, 202, "once more is no harm");
    assert!(matches!(client.closure(), Closure::Agreed(Some(CloseCode::GOING_AWAY), _)));
    stage.wait();
}

#[test]
fn a_server_that_is_full_is_not_ready_and_lives() {
    let stage = Stage::with(1, |config| config.connections_max = 1);
    let client = stage.client("/ws/a");
    let ready = stage.get("/readyz");
    assert_eq!((ready.status, ready.json()["why"].as_str()), (503, Some("full")));
    assert_eq!(stage.get("/healthz").status, 200);
    client.close();
    stage.until("/readyz", |ready| ready["ready"] == true);
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let stage = Stage::guarded();
    let headers = [("Authorization", "Bearer 0123456789abcdef")];
    let answer = stage.request("GET", "/v1/config", &headers, "");
    let settings = answer.ok()["settings"].clone();
    let value = |option: &str| {
        let settings = settings.as_array().expect("settings");
        let setting = settings.iter().find(|setting| setting["option"] == option);
        setting.unwrap_or_else(|| panic!("{option} in {settings:?}"))["value"].clone()
    };
    assert_eq!(value("--workers"), "1");
    assert_eq!(value("--admin-token-file"), "***");
    assert!(!answer.text().contains("0123456789abcdef"));
}

#[test]
fn where_nothing_can_be_read_again_a_reload_says_so() {
    let stage = Stage::start(1);
    assert!(stage.request("POST", "/v1/reload", &[], "").refused(409).contains("nothing to be read"));
    assert_eq!(stage.get("/v1/reload").status, 405);
}
