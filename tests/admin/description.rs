//! `/openapi.json`: it describes what is served, and all of it.

use crate::stage::Stage;
use std::collections::BTreeSet;

/// All that is served.
const ROUTES: [(&str, &str); 17] = [
    ("get", "/"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/v1/channels"),
    ("get", "/v1/channels/{channel}"),
    ("post", "/v1/channels/{channel}/messages"),
    ("post", "/v1/messages"),
    ("get", "/v1/clients"),
    ("get", "/v1/clients/{id}"),
    ("delete", "/v1/clients/{id}"),
    ("get", "/v1/config"),
    ("post", "/v1/drain"),
    ("post", "/v1/reload"),
    ("get", "/v1/live"),
    ("get", "/v1/stats"),
];

#[test]
fn the_description_names_exactly_the_routes_that_are_served() {
    let stage = Stage::start(1);
    let description = stage.get("/openapi.json").ok();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let paths = description["paths"].as_object().expect("paths");
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, operations)| {
            let operations = operations.as_object().expect("operations");
            operations.keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let served = ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(described, served.into_iter().collect());
    for (method, path) in ROUTES {
        let operation = &description["paths"][path][method];
        assert!(
            operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
            "{path}: {operation}"
        );
        if path != "/v1/drain" {
            let target = path.replace("{channel}", "a").replace("{id}", "0.0.0");
            let answer = stage.request(&method.to_uppercase(), &target, &[], "");
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(answer.status != 404 || !answer.text().contains("nothing here"), "{method} {path}");
        }
    }
    stage.get("/v1/nothing").refused(404);
    stage.get("/v1/channels/").refused(404);
}

#[test]
fn what_the_description_refers_to_is_in_it() {
    let stage = Stage::start(1);
    let answer = stage.get("/openapi.json");
    let description = answer.ok();
    let references: Vec<&str> =
        answer.text().split("\"$ref\":\"#/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        let found = reference.split('/').try_fold(&description, |at, name| at.get(name));
        assert!(found.is_some(), "{reference}");
    }
    assert_eq!(description["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(description["paths"]["/healthz"]["get"]["security"], serde_json::json!([{}]));
}

#[test]
fn what_any_route_may_be_refused_with_is_described() {
    let stage = Stage::start(1);
    let description = stage.get("/openapi.json").ok();
    for (method, path) in ROUTES {
        let responses = &description["paths"][path][method]["responses"];
        let asks_token = !["/", "/healthz", "/readyz", "/openapi.json"].contains(&path);
        for (status, is_described) in
            [("400", true), ("401", asks_token), ("403", true), ("408", true), ("503", true)]
        {
            assert_eq!(responses.get(status).is_some(), is_described, "{method} {path}: {status}");
        }
        let is_of_workers =
            ["/v1/channels", "/v1/messages", "/v1/clients"].iter().any(|begin| path.starts_with(begin));
        let said = responses["503"]["description"].as_str().expect("it says why");
        assert_eq!(said.contains("worker"), is_of_workers || path == "/v1/stats", "{method} {path}: {said}");
    }
}

#[test]
fn a_method_that_is_not_served_gets_405_and_those_that_are() {
    let stage = Stage::start(1);
    for (method, target, allowed) in [
        ("POST", "/v1/channels", "GET,HEAD"),
        ("GET", "/v1/messages", "POST"),
        ("PATCH", "/v1/clients/0.0.0", "GET,HEAD,DELETE"),
        ("DELETE", "/metrics", "GET,HEAD"),
    ] {
        let answer = stage.request(method, target, &[], "");
        answer.refused(405);
        assert_eq!(answer.header("Allow"), Some(allowed), "{method} {target}");
    }
    let head = stage.request("HEAD", "/healthz", &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
}
