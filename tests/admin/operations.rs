//! Health, the end, the configuration.

use crate::client::{PATIENCE, Raw};
use crate::stage::{Answer, Stage};
use fanwire::config::{AdminConfig, Config, ConfigError, Described, PayloadPolicy, Secret, Setting, Source};
use fanwire::protocol::{CloseCode, Closure};
use fanwire::server::Server;
use serde_json::json;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

#[test]
fn a_drain_is_answered_told_to_load_balancers_and_ends_the_server() {
    let stage = Stage::with(2, |config| {
        config.drain.delay_ms = 300;
        // The client is there until it has answered.
        config.limits.close_timeout_ms = 60_000;
    });
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
fn the_configuration_is_shown_with_its_sources_and_read_again() {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let times = AtomicUsize::new(0);
    let source = move || {
        let times = times.fetch_add(1, Ordering::Relaxed);
        if times == 2 {
            return Err(ConfigError::new("--payload", "is nonsense", "give any, json or chat"));
        }
        let token = Some(Secret::new(if times == 0 { "0123456789abcdef" } else { "another0123456789" }));
        let mut config = Config { listen: vec![loopback.into()], workers: 1 + times, ..Config::default() };
        config.admin = Some(AdminConfig { address: loopback, token });
        config.payload = if times == 0 { PayloadPolicy::Any } else { PayloadPolicy::Json };
        let setting = |option: &str, value: &str, source| Setting {
            channel: None,
            option: option.to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let file = Source::File("fanwire.toml".into(), 3);
        let token_file = setting("admin-token-file", &format!("\"{times}\""), Source::Flag);
        let settings =
            vec![setting("workers", "1", Source::Flag), setting("payload", "\"any\"", file), token_file];
        Ok(Described { config, settings, files: Vec::new() })
    };
    let stage = Stage::of(Server::start_from(Arc::new(source)).expect("free ports"));
    let headers = [("Authorization", "Bearer 0123456789abcdef")];
    let answer = stage.request("GET", "/v1/config", &headers, "");
    let settings = answer.ok()["settings"].clone();
    let workers = json!({"channel": null, "option": "workers", "value": 1, "source": "flag"});
    let payload = json!({"channel": null, "option": "payload", "value": "any", "source": "fanwire.toml:3"});
    let token = json!({"channel": null, "option": "admin-token-file", "value": "0", "source": "flag"});
    assert_eq!(settings, json!([workers, payload, token]));
    assert!(!answer.text().contains("0123456789abcdef"));
    let reload = || stage.request("POST", "/v1/reload", &headers, "");
    assert_eq!(reload().ok(), json!({"changed": ["--payload"], "needs_restart": ["--admin", "--workers"]}));
    let answer = stage.request("GET", "/v1/config", &headers, "");
    assert_eq!(
        answer.ok()["settings"][2],
        token,
        "the token that is asked for is still that of the first file"
    );
    let wrong = reload();
    assert_eq!(wrong.refused(422), "--payload is nonsense");
    assert_eq!(wrong.json()["fix"], "give any, json or chat");
}

#[test]
fn where_nothing_can_be_read_again_a_reload_says_so() {
    let stage = Stage::start(1);
    assert!(stage.request("POST", "/v1/reload", &[], "").refused(409).contains("nothing to be read"));
    assert_eq!(stage.get("/v1/reload").status, 405);
}

#[test]
fn while_the_configuration_is_being_read_all_else_is_answered() {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (is_read, reading) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (times, gates) = (AtomicUsize::new(0), [reading.clone(), is_read.clone()]);
    let source = move || {
        if times.fetch_add(1, Ordering::Relaxed) > 0 {
            // A disk that does not answer, say.
            for gate in &gates {
                gate.wait();
            }
        }
        let mut config = Config { listen: vec![loopback.into()], workers: 1, ..Config::default() };
        config.admin = Some(AdminConfig { address: loopback, token: None });
        Ok(config.into())
    };
    let stage = Stage::of(Server::start_from(Arc::new(source)).expect("free ports"));
    let ask = |method: &str, target: &str| {
        let mut stream = stage.connect();
        let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is taken");
        stream
    };
    let mut reload = ask("POST", "/v1/reload");
    reading.wait();
    for target in ["/metrics", "/v1/config", "/v1/channels"] {
        assert_eq!(Answer::read(&mut ask("GET", target)).status, 200, "{target}");
    }
    is_read.wait();
    assert_eq!(Answer::read(&mut reload).status, 200);
}

#[test]
fn a_worker_whose_last_client_has_gone_is_not_missed_during_a_drain() {
    let stage = Stage::with(4, |config| config.limits.close_timeout_ms = 60_000);
    let silent = Raw::upgraded(stage.address, "/ws/a");
    assert_eq!(stage.request("POST", "/v1/drain", &[], "").status, 202);
    // The three others have nobody to wait for. Of who misses them each question takes 2 s.
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(stage.get("/v1/clients").ok()["total"], 1);
        let channels = stage.get("/v1/channels").ok();
        assert!(channels["total"].as_u64().is_some_and(|total| total <= 1), "{channels}");
    }
    let published = stage.post("/v1/channels/a/messages", "text/plain", "late").ok();
    assert_eq!(published["position"], json!(null), "nothing is accepted any more");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    drop(silent);
    stage.wait();
}
