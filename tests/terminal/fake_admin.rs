//! A listener that plays an admin API.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// An admin API that answers until the test is over.
pub(crate) struct FakeAdmin {
    pub(crate) url: String,
    /// Connections that it says there are.
    pub(crate) connections: Arc<AtomicU64>,
}

impl FakeAdmin {
    /// One that asks for this token, if for any.
    pub(crate) fn start(token: Option<&'static str>) -> FakeAdmin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicU64::new(12_345));
        let shared = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&mut stream.unwrap(), token, &shared);
            }
        });
        FakeAdmin { url, connections }
    }
}

/// Answers one request.
fn answer(stream: &mut TcpStream, token: Option<&str>, connections: &AtomicU64) {
    let head = BufReader::new(&*stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<String> = head.collect();
    let Some(path) = head.first().and_then(|request| request.split(' ').nth(1)) else { return };
    let is_allowed = token.is_none_or(|token| {
        head.iter().any(|line| line.eq_ignore_ascii_case(&format!("Authorization: Bearer {token}")))
    });
    let (status, body) = match path {
        _ if !is_allowed => ("401 Unauthorized", json!({"error": "a token is wanted"})),
        "/v1/stats" => ("200 OK", stats(connections.load(Ordering::Relaxed))),
        "/v1/channels?sort=traffic&limit=200" => ("200 OK", json!({"channels": channels(), "total": 2})),
        "/v1/clients?sort=slowest&limit=200" => ("200 OK", json!({"clients": clients(), "total": 1})),
        _ => ("404 Not Found", json!({"error": "nothing here"})),
    };
    let body = body.to_string();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // Who has gone does not want it.
    let _ = stream.write_all(response.as_bytes());
}

fn stats(connections: u64) -> Value {
    json!({
        "at": 1_700_000_000_000_u64,
        "version": "0.1.0",
        "uptime_seconds": 3725.5,
        "state": "serving",
        "connections": connections,
        "channels": 2,
        "memory": {"held": 20 << 20, "budget": 1 << 30},
        "rates": {
            "messages_in": 100.4, "deliveries": 1_234_567.0, "bytes_in": 20_480.0, "bytes_out": 30_720.0,
            "connects": 1.5, "drops": 0.0, "closes": 2.0,
        },
        "totals": {},
        "latency": {"p50": 0.0004, "p90": 0.001, "p99": 0.012, "max": 0.1},
        "turns": {"p50": 0.0001, "p99": 0.001},
        "workers": [
            {"worker": 0, "connections": 6000, "deliveries_per_second": 600_000.0, "busy": 0.5, "mailbox_bytes": 0},
            {"worker": 1, "connections": 6345, "deliveries_per_second": 634_567.0, "busy": 0.25, "mailbox_bytes": 9},
        ],
        "slowest": clients(),
        "busiest": channels(),
    })
}

fn channels() -> Value {
    let channel = |name: &str, subscribers: u64, bytes: f64| {
        json!({
            "channel": name, "subscribers": subscribers, "position": null, "messages_per_second": 50.2,
            "bytes_per_second": bytes, "retained_bytes": 40_960, "behind": 3,
        })
    };
    json!([channel("lobby", 10, 100.0), channel("news", 12_000, 20_480.0)])
}

fn clients() -> Value {
    json!([{
        "id": "1.17.3", "address": "192.0.2.1:4711", "channel": "news", "state": "open", "age_seconds": 61.5,
        "queued_bytes": 65_536, "rtt_ms": 12, "may_publish": true, "user": "ann\u{1b}[2J",
    }])
}
