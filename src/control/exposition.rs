//! `GET /metrics`: everything in [`metrics`](crate::metrics), for Prometheus and whoever reads its formats.
//!
//! Names and help are those of the counters, so that none can be forgotten; counters that are kinds of the same thing
//! are one family with a label ([`FAMILIES`]). `OpenMetrics` is written by `prometheus_client`, the older text format made
//! from that.

#![expect(clippy::cast_precision_loss, reason = "microseconds are less than 2^52 for 142 years")]

use super::plane::{Phase, Plane};
use crate::metrics::{Counters, Histogram, Totals};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters that are kinds of the same thing.
struct Family {
    name: &'static str,
    help: &'static str,
    /// What tells them apart.
    label: &'static str,
    /// Value of the label, and the counter.
    members: &'static [(&'static str, &'static str)],
}

const FAMILIES: [Family; 4] = [
    Family {
        name: "handshakes",
        help: "Requests answered on the clients' ports, by what came of them",
        label: "result",
        members: &[
            ("accepted", "handshakes_accepted"),
            ("refused", "handshakes_refused"),
            ("timed_out", "handshakes_timed_out"),
            ("page", "pages_served"),
        ],
    },
    Family {
        name: "tls_handshakes",
        help: "TLS handshakes, by what came of them",
        label: "result",
        members: &[
            ("completed", "tls_handshakes_completed"),
            ("failed", "tls_handshakes_failed"),
            ("plaintext", "tls_plaintext_requests"),
        ],
    },
    Family {
        name: "connections_turned_away",
        help: "Connections turned away because there was no room, by what was full",
        label: "reason",
        members: &[
            ("connections", "connections_turned_away"),
            ("memory", "connections_turned_away_for_memory"),
            ("address", "connections_turned_away_by_address"),
        ],
    },
    Family {
        name: "slow_consumer_messages_dropped",
        help: "Messages that slow consumers were not sent, by the policy that acted",
        label: "reason",
        members: &[
            ("disconnect", "slow_consumer_messages_dropped_by_closing"),
            ("drop_oldest", "slow_consumer_messages_dropped_oldest"),
            ("latest", "slow_consumer_messages_dropped_for_latest"),
        ],
    },
];

/// Metrics in `OpenMetrics` or Prometheus' text format
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Every metric, by worker", content(
        (String = "text/plain; version=0.0.4"),
        (String = "application/openmetrics-text; version=1.0.0"),
    )))
)]
pub(super) async fn metrics(State(plane): State<Arc<Plane>>, headers: HeaderMap) -> Response {
    let mut registry = Registry::with_prefix("fanwire");
    registry.register_collector(Box::new(Exposed(plane)));
    let mut exposition = String::new();
    if text::encode(&mut exposition, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(asks_for_openmetrics) {
        ([(CONTENT_TYPE, OPENMETRICS)], exposition).into_response()
    } else {
        ([(CONTENT_TYPE, PROMETHEUS)], older(&exposition)).into_response()
    }
}

/// Whether a media range names `OpenMetrics`, and does not say that it is not wanted. Scrapers that know it prefer it.
fn asks_for_openmetrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
    let quality = parts.find_map(|parameter| parameter.strip_prefix("q="));
    is_named && quality.and_then(|quality| quality.parse().ok()).is_none_or(|quality: f64| quality > 0.0)
}

/// The same in Prometheus' text format 0.0.4: a counter's lines of help and type have the name of its samples, and nothing
/// marks the end.
fn older(openmetrics: &str) -> String {
    let named = |line: &str| -> Option<(String, String)> {
        let mut words = line.splitn(4, ' ');
        let (mark, keyword, name) = (words.next()?, words.next()?, words.next()?);
        let rest = words.next().unwrap_or_default();
        let is_named = mark == "#" && (keyword == "HELP" || keyword == "TYPE");
        is_named.then(|| (name.to_owned(), format!("# {keyword} {name}_total {rest}")))
    };
    let kinds = openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: BTreeSet<&str> = kinds.collect();
    let mut older = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|line| *line != "# EOF") {
        match named(line) {
            Some((name, renamed)) if counters.contains(&*name) => older.push_str(&renamed),
            _ => older.push_str(line),
        }
        older.push('\n');
    }
    older
}

/// All metrics, as of the moment in which they are written.
#[derive(Debug)]
struct Exposed(Arc<Plane>);

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Exposed(plane) = self;
        let (served, config) = (&plane.served, plane.served.config());
        let workers: Vec<Totals> = served.counters.iter().map(|counters| Totals::of([&**counters])).collect();
        let mut gauge = |name, help, value: u64| -> fmt::Result {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        };
        gauge("uptime_seconds", "Seconds since the start", served.started.elapsed().as_secs())?;
        gauge("connections_max", "Connections that there may be", config.connections_max as u64)?;
        gauge(
            "memory_budget_bytes",
            "Bytes that peers may make the server hold; 0 is no bound",
            config.memory_bytes_max,
        )?;
        let is_serving = plane.phase() == Phase::Serving;
        gauge("ready", "Whether new clients may come", u64::from(is_serving && served.mesh.has_room()))?;
        let mut expiration = encoder.encode_descriptor(
            "tls_certificate_expiration_timestamp_seconds",
            "Unix time from which on the certificate in use is no longer valid; nothing without TLS",
            None,
            MetricType::Gauge,
        )?;
        if let Some(expires) = (served.handles.certificate_expires)() {
            expiration.encode_gauge(&expires)?;
        }
        encoder
            .encode_descriptor("build_info", "The version that runs", None, MetricType::Gauge)?
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u64)?;
        for family in &FAMILIES {
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, MetricType::Counter)?;
            for (worker, totals) in workers.iter().enumerate() {
                for (value, counter) in family.members {
                    let count = totals.iter().find(|(name, _)| name == counter).map_or(0, |(_, count)| count);
                    let labels = [("worker", worker.to_string()), (family.label, (*value).to_owned())];
                    count_of(metric.encode_family(&labels)?, count)?;
                }
            }
        }
        let is_in_a_family = |name: &str| {
            FAMILIES.iter().any(|family| family.members.iter().any(|(_, counter)| *counter == name))
        };
        for (number, (name, meaning)) in Totals::meanings().enumerate() {
            if is_in_a_family(name) {
                continue;
            }
            let (kind, help) = kind_and_help(meaning);
            let mut metric = encoder.encode_descriptor(name, &help, None, kind)?;
            for (worker, totals) in workers.iter().enumerate() {
                let count = totals.iter().nth(number).map_or(0, |(_, count)| count);
                let labels = [("worker", worker.to_string())];
                let mut metric = metric.encode_family(&labels)?;
                match kind {
                    MetricType::Gauge => metric.encode_gauge(&count)?,
                    _ => count_of(metric, count)?,
                }
            }
        }
        let help =
            "WebSocket connections that have ended, by the code of the Close frame; 1006 if there was none";
        let mut metric = encoder.encode_descriptor("closes", help, None, MetricType::Counter)?;
        for (worker, counters) in served.counters.iter().enumerate() {
            for (code, count) in counters.closes.iter() {
                let labels = [("worker", worker.to_string()), ("code", code.to_owned())];
                count_of(metric.encode_family(&labels)?, count)?;
            }
        }
        for Durations { name, help, histogram } in &DURATIONS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (worker, counters) in served.counters.iter().enumerate() {
                let labels = [("worker", worker.to_string())];
                durations(metric.encode_family(&labels)?, histogram(counters))?;
            }
        }
        Ok(())
    }
}

/// How long something takes.
struct Durations {
    name: &'static str,
    help: &'static str,
    histogram: fn(&Counters) -> &Histogram,
}

const DURATIONS: [Durations; 2] = [
    Durations {
        name: "turn_duration_seconds",
        help: "How long turns of a worker's loop took, without the wait before each; the sum is the time it was busy",
        histogram: |counters| &counters.turn,
    },
    Durations {
        name: "delivery_latency_seconds",
        help: "How old the oldest publication was in each write that carried any to a subscriber that reads",
        histogram: |counters| &counters.delivery,
    },
];

/// Writes a histogram, in seconds. Its buckets here are those in between two bounds, and add up to the whole.
fn durations(mut metric: MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let snapshot = histogram.snapshot();
    let mut so_far = 0;
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for (us, below) in snapshot.below() {
        buckets.push((us as f64 / 1e6, below - so_far));
        so_far = below;
    }
    buckets.push((f64::INFINITY, snapshot.count() - so_far));
    metric.encode_histogram(
        snapshot.sum_us() as f64 / 1e6,
        snapshot.count(),
        &buckets,
        None::<&HashMap<usize, Exemplar<NoLabelSet, f64>>>,
    )
}

/// What kind of metric a counter is, and what is said of it, without the marks of documentation.
fn kind_and_help(meaning: &str) -> (MetricType, String) {
    let (kind, help) = match meaning.strip_prefix("Gauge: ") {
        Some(help) => (MetricType::Gauge, help),
        None => (MetricType::Counter, meaning),
    };
    let (first, rest) = help.split_at(help.chars().next().map_or(0, char::len_utf8));
    let mut plain = first.to_uppercase();
    // A link is a name in brackets, and behind it where it leads.
    for (number, part) in rest.split("](").enumerate() {
        let part = if number == 0 { part } else { part.split_once(')').map_or(part, |(_, behind)| behind) };
        plain.extend(part.chars().filter(|character| !matches!(character, '[' | ']' | '`')));
    }
    (kind, plain)
}

fn count_of(mut metric: MetricEncoder<'_>, count: u64) -> fmt::Result {
    metric.encode_counter(&count, None::<&Exemplar<NoLabelSet, u64>>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_as_their_samples_are_and_has_no_end() {
        let openmetrics = "# HELP a_b All.\n# TYPE a_b counter\na_b_total{worker=\"0\"} 1\n\
                           # HELP a_bc Some a_b.\n# TYPE a_bc gauge\na_bc 2\n# EOF\n";
        assert_eq!(
            older(openmetrics),
            "# HELP a_b_total All.\n# TYPE a_b_total counter\na_b_total{worker=\"0\"} 1\n\
             # HELP a_bc Some a_b.\n# TYPE a_bc gauge\na_bc 2\n"
        );
    }

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        let asks = |accept: &str| accept.split(',').any(asks_for_openmetrics);
        assert!(asks("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
        assert!(asks("text/plain, Application/OpenMetrics-Text; q=0.3"));
        for other in
            ["*/*", "text/plain", "", "application/openmetrics-text;q=0", "application/openmetrics-textual"]
        {
            assert!(!asks(other), "{other}");
        }
    }

    #[test]
    fn help_is_what_the_documentation_says_without_its_marks() {
        let said = |meaning| {
            let (kind, help) = kind_and_help(meaning);
            (kind.as_str().to_owned(), help)
        };
        assert_eq!(said("Bytes read."), ("counter".to_owned(), "Bytes read.".to_owned()));
        assert_eq!(
            said("Gauge: bytes on top of `a`."),
            ("gauge".to_owned(), "Bytes on top of a.".to_owned())
        );
        let linked = "Those of operators, among [`publications`](Self::publications).";
        assert_eq!(said(linked).1, "Those of operators, among publications.");
    }

    #[test]
    fn what_families_are_made_of_is_counted() {
        let names: Vec<&str> = Totals::meanings().map(|(name, _)| name).collect();
        for (_, counter) in FAMILIES.iter().flat_map(|family| family.members) {
            assert!(names.contains(counter), "{counter}");
        }
    }
}
