//! [`Snapshot`]: how a server is, as its admin API says it. What it does not say is not known, and no reason to fail.

use crate::cli::escape::escape;
use serde_json::Value;

/// How a server is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    pub(super) version: String,
    pub(super) state: String,
    pub(super) uptime_seconds: u64,
    pub(super) connections: u64,
    /// `None`: a worker did not say in time.
    pub(super) channels_in_all: Option<u64>,
    pub(super) memory_held: u64,
    /// `None`: there is none.
    pub(super) memory_budget: Option<u64>,
    pub(super) rates: Rates,
    /// Median and 99th percentile of deliveries, in seconds.
    pub(super) latency: Option<(f64, f64)>,
    pub(super) workers: Vec<Worker>,
    pub(super) channels: Vec<Channel>,
    pub(super) clients: Vec<Client>,
}

/// How many a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) messages_in: f64,
    pub(super) deliveries: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
    pub(super) connects: f64,
    pub(super) drops: f64,
    pub(super) closes: f64,
}

/// A worker thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Worker {
    pub(super) number: u64,
    pub(super) connections: u64,
    pub(super) deliveries_per_second: f64,
    /// 0 to 1.
    pub(super) busy: f64,
    pub(super) mailbox_bytes: u64,
}

/// A channel that somebody listens to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) subscribers: u64,
    pub(super) messages_per_second: f64,
    pub(super) bytes_per_second: f64,
    pub(super) retained_bytes: u64,
    /// Subscribers that lag too far.
    pub(super) behind: u64,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) channel: String,
    pub(super) user: String,
    pub(super) queued_bytes: u64,
    pub(super) rtt_ms: Option<u64>,
    pub(super) age_seconds: u64,
}

impl Snapshot {
    /// Whether this is what an admin API says of a server.
    pub(super) fn is_one(stats: &Value) -> bool {
        stats["version"].is_string() && stats["connections"].is_number()
    }

    /// Reads what it says, and the lists of channels and clients beside it.
    pub(super) fn read(stats: &Value, channels: &Value, clients: &Value) -> Snapshot {
        let rate = |name: &str| number(&stats["rates"][name]);
        let quantiles = &stats["latency"];
        Snapshot {
            version: text(&stats["version"]),
            state: text(&stats["state"]),
            uptime_seconds: count(&stats["uptime_seconds"]),
            connections: count(&stats["connections"]),
            channels_in_all: stats["channels"].as_u64(),
            memory_held: count(&stats["memory"]["held"]),
            memory_budget: Some(count(&stats["memory"]["budget"])).filter(|bytes| *bytes > 0),
            rates: Rates {
                messages_in: rate("messages_in"),
                deliveries: rate("deliveries"),
                bytes_in: rate("bytes_in"),
                bytes_out: rate("bytes_out"),
                connects: rate("connects"),
                drops: rate("drops"),
                closes: rate("closes"),
            },
            latency: quantiles["p50"].as_f64().zip(quantiles["p99"].as_f64()),
            workers: rows(&stats["workers"], |worker| Worker {
                number: count(&worker["worker"]),
                connections: count(&worker["connections"]),
                deliveries_per_second: number(&worker["deliveries_per_second"]),
                busy: number(&worker["busy"]).clamp(0.0, 1.0),
                mailbox_bytes: count(&worker["mailbox_bytes"]),
            }),
            channels: rows(channels, |channel| Channel {
                name: text(&channel["channel"]),
                subscribers: count(&channel["subscribers"]),
                messages_per_second: number(&channel["messages_per_second"]),
                bytes_per_second: number(&channel["bytes_per_second"]),
                retained_bytes: count(&channel["retained_bytes"]),
                behind: count(&channel["behind"]),
            }),
            clients: rows(clients, |client| Client {
                id: text(&client["id"]),
                address: text(&client["address"]),
                channel: text(&client["channel"]),
                user: text(&client["user"]),
                queued_bytes: count(&client["queued_bytes"]),
                rtt_ms: client["rtt_ms"].as_u64(),
                age_seconds: count(&client["age_seconds"]),
            }),
        }
    }
}

fn rows<T>(list: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    list.as_array().into_iter().flatten().map(read).collect()
}

/// A text that a terminal can show; empty if there is none.
fn text(value: &Value) -> String {
    value.as_str().map(escape).unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

#[expect(clippy::cast_sign_loss, reason = "what is negative becomes 0")]
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| number(value) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_said_is_not_known_and_no_reason_to_fail() {
        assert_eq!(Snapshot::read(&Value::Null, &Value::Null, &Value::Null), Snapshot::default());
        let odd =
            json!({"version": 1, "connections": -3, "memory": [], "workers": {}, "latency": {"p50": null}});
        assert_eq!(Snapshot::read(&odd, &json!("x"), &json!({})), Snapshot::default());
    }

    #[test]
    fn a_name_that_a_client_chose_moves_no_cursor() {
        let clients = json!([{"id": "0.1.2", "user": "\u{1b}[2J", "age_seconds": 61.9, "rtt_ms": null}]);
        let snapshot = Snapshot::read(&Value::Null, &Value::Null, &clients);
        let client = &snapshot.clients[0];
        assert_eq!((&*client.user, client.age_seconds, client.rtt_ms), (r"\u{1b}[2J", 61, None));
    }

    #[test]
    fn an_admin_api_is_known_by_version_and_connections() {
        assert!(Snapshot::is_one(&json!({"version": "0.1.0", "connections": 0})));
        assert!(!Snapshot::is_one(&json!({"version": "0.1.0"})) && !Snapshot::is_one(&json!([])));
    }
}
