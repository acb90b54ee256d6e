//! Who may use the admin API.

use crate::stage::{Stage, TOKEN};

const READS: [&str; 7] = [
    "/v1/channels",
    "/v1/channels/a",
    "/v1/clients",
    "/v1/clients/0.0.0",
    "/v1/config",
    "/v1/stats",
    "/metrics",
];
const WRITES: [(&str, &str); 5] = [
    ("POST", "/v1/channels/a/messages"),
    ("POST", "/v1/messages"),
    ("DELETE", "/v1/clients/0.0.0"),
    ("POST", "/v1/drain"),
    ("POST", "/v1/reload"),
];

#[test]
fn with_a_token_everything_but_health_page_and_description_asks_for_it() {
    let stage = Stage::guarded();
    let all = READS.map(|target| ("GET", target)).into_iter().chain(WRITES).chain([("GET", "/v1/live")]);
    for (method, target) in all {
        for headers in [&[][..], &[("Authorization", "Bearer 0123456789abcdeX")]] {
            let answer = stage.request(method, target, headers, "");
            let error = answer.refused(401);
            assert!(error.contains("token") && !answer.text().contains("abcdeX"), "{target}: {error}");
            assert!(
                answer.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Bearer ")),
                "{target}"
            );
        }
    }
    for target in ["/", "/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(stage.get(target).status, 200, "{target}");
    }
    // Nothing there is nothing for those who are in, too.
    assert_eq!(stage.get("/v1/nothing").status, 401);
    let bearer = format!("Bearer {TOKEN}");
    for target in ["/v1/channels", "/v1/clients", "/v1/config", "/v1/stats", "/metrics"] {
        let headers = [("Authorization", &*bearer), ("Host", "admin.example")];
        assert_eq!(stage.request("GET", target, &headers, "").status, 200, "{target}");
    }
    assert_eq!(stage.get(&format!("/v1/config?token={TOKEN}")).status, 401, "queries are logged by others");
}

#[test]
fn without_a_token_a_name_that_was_pointed_here_and_another_origin_get_403() {
    let stage = Stage::start(1);
    for (method, target) in
        READS.map(|target| ("GET", target)).into_iter().chain(WRITES).chain([("GET", "/")])
    {
        let rebound = stage.request(method, target, &[("Host", "evil.example:8081")], "");
        assert!(rebound.refused(403).contains("Host"), "{target}");
        let foreign = stage.request(method, target, &[("Origin", "http://evil.example")], "");
        assert!(foreign.refused(403).contains("origin"), "{target}");
    }
    let own = format!("http://{}", stage.admin);
    assert_eq!(stage.request("GET", "/v1/channels", &[("Origin", &own)], "").status, 200);
    let port = stage.admin.port();
    assert_eq!(
        stage.request("GET", "/v1/channels", &[("Host", &format!("localhost:{port}"))], "").status,
        200
    );
    assert_eq!(stage.get("/readyz").status, 200, "nothing of that has drained it");
}

#[test]
fn every_answer_says_that_it_is_not_to_be_kept_or_guessed_at() {
    let stage = Stage::start(1);
    for target in ["/", "/v1/channels", "/nothing", "/metrics"] {
        let answer = stage.get(target);
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{target}");
    }
    let page = stage.get("/");
    assert!(
        page.header("Content-Security-Policy").is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    assert!(page.text().starts_with("<!doctype html>"));
}
