//! `/metrics`, read as a scraper reads it.

use crate::stage::Stage;
use fanwire::metrics::Totals;
use std::collections::{BTreeMap, BTreeSet};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What an exposition has: each metric's kind, and the value of each sample.
#[derive(Debug, Default)]
struct Exposition {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads an exposition and checks it: help and type before samples, once; each sample of the metric above it, once.
    fn read(text: &str, is_openmetrics: bool) -> Exposition {
        let mut exposition = Exposition::default();
        let mut lines = text.lines().peekable();
        let (mut name, mut is_ended) = (String::new(), false);
        while let Some(line) = lines.next() {
            assert!(!is_ended, "behind the end: {line}");
            if line == "# EOF" {
                is_ended = true;
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                let (named, help) = help.split_once(' ').expect("a name");
                assert!(help.len() > 10 && help.starts_with(|first: char| first.is_uppercase()), "{line}");
                assert!(!help.contains(['`', '[', '\\']), "{line}");
                let kind = lines
                    .next()
                    .and_then(|line| line.strip_prefix("# TYPE "))
                    .expect("a type behind its help");
                let (same, kind) = kind.split_once(' ').expect("a kind");
                assert_eq!(same, named);
                assert!(named.strip_prefix("fanwire_").is_some_and(is_name), "{named}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(
                    exposition.kinds.insert(named.to_owned(), kind.to_owned()),
                    None,
                    "{named} comes twice"
                );
                named.clone_into(&mut name);
            } else {
                let (sample, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                let suffix = sample
                    .split('{')
                    .next()
                    .and_then(|sample| sample.strip_prefix(&name))
                    .expect("its metric");
                let suffixes: &[&str] = match (&*exposition.kinds[&name], is_openmetrics) {
                    ("counter", true) => &["_total"],
                    ("histogram", _) => &["_sum", "_count", "_bucket"],
                    _ => &[""],
                };
                assert!(suffixes.contains(&suffix), "{line}");
                assert!(value >= 0.0, "{line}");
                assert_eq!(exposition.samples.insert(sample.to_owned(), value), None, "{sample} comes twice");
            }
        }
        assert_eq!(is_ended, is_openmetrics, "an end is OpenMetrics' own");
        exposition
    }

    /// The sum of all samples that begin so.
    fn sum(&self, beginning: &str) -> f64 {
        let samples = self.samples.iter().filter(|(sample, _)| sample.starts_with(beginning));
        samples.map(|(_, value)| value).sum()
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[test]
fn both_formats_have_every_counter_of_every_worker() {
    let stage = Stage::start(2);
    let mut clients: Vec<_> = (0..4).map(|_| stage.client("/ws/a")).collect();
    clients[0].send("hi");
    assert!(clients.iter_mut().all(|client| client.text() == "hi"));
    clients.pop().expect("there are four").close();
    stage.until("/v1/clients", |page| page["total"] == 3);
    let older = stage.get("/metrics");
    assert_eq!(older.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
    let newer = stage.request("GET", "/metrics", &accept, "");
    assert_eq!(newer.header("Content-Type"), Some(OPENMETRICS));
    let (older, newer) = (Exposition::read(older.text(), false), Exposition::read(newer.text(), true));
    let renamed = |name: &str| name.strip_suffix("_total").unwrap_or(name).to_owned();
    let kinds: BTreeSet<String> = older.kinds.keys().map(|name| renamed(name)).collect();
    assert!(kinds.iter().eq(newer.kinds.keys()), "{kinds:?}");

    assert!((newer.sum("fanwire_connections_open{") - 3.0).abs() < 0.5);
    assert!((newer.sum("fanwire_deliveries_queued_total{") - 4.0).abs() < 0.5);
    assert!((newer.sum("fanwire_closes_total{") - 1.0).abs() < 0.5, "{newer:?}");
    assert!((newer.sum("fanwire_handshakes_total{") - 4.0).abs() < 0.5, "{newer:?}");
    assert!(newer.sum("fanwire_turn_duration_seconds_count{") >= 1.0, "{newer:?}");
    assert!(newer.sum("fanwire_delivery_latency_seconds_count{") >= 1.0, "{newer:?}");
    for worker in ["0", "1"] {
        let bucket = format!("fanwire_turn_duration_seconds_bucket{{le=\"+Inf\",worker=\"{worker}\"}}");
        let count = newer.samples[&format!("fanwire_turn_duration_seconds_count{{worker=\"{worker}\"}}")];
        assert!(
            newer.samples.get(&bucket).is_some_and(|all| (all - count).abs() < 0.5),
            "{bucket}: {newer:?}"
        );
    }

    // Bounds are seconds: from a microsecond to a minute. Two workers have not been busy for longer than the server runs.
    let bounds = newer.samples.keys().filter_map(|sample| {
        let (_, rest) = sample.split_once("fanwire_turn_duration_seconds_bucket{le=\"")?;
        rest.split('"').next()?.parse().ok().filter(|bound: &f64| bound.is_finite())
    });
    let (least, most) =
        bounds.fold((f64::MAX, 0.0), |(least, most), bound| (bound.min(least), bound.max(most)));
    assert!((least - 1e-6).abs() < 1e-9 && (most - 67.108_864).abs() < 1e-6, "{least} to {most}");
    let busy = newer.sum("fanwire_turn_duration_seconds_sum{");
    assert!(busy > 0.0 && busy < 2.0 * (1.0 + newer.sum("fanwire_uptime_seconds")), "{busy} s");

    // A family stands for its members.
    let families = [
        ("handshakes_", 3),
        ("pages_served", 1),
        ("tls_handshakes_", 2),
        ("tls_plaintext_requests", 1),
        ("connections_turned_away", 3),
        ("slow_consumer_messages_dropped_", 3),
    ];
    let mut in_families = 0;
    for (name, _) in Totals::default().iter() {
        let sample = |name: &str| {
            (0..2).all(|worker| newer.samples.contains_key(&format!("{name}{{worker=\"{worker}\"}}")))
        };
        if sample(&format!("fanwire_{name}")) || sample(&format!("fanwire_{name}_total")) {
            continue;
        }
        assert!(families.iter().any(|(family, _)| name.starts_with(family)), "{name} is not there");
        in_families += 1;
    }
    assert_eq!(in_families, families.iter().map(|(_, count)| count).sum::<usize>());
}

#[test]
fn readme_has_a_row_for_every_metric_and_for_nothing_else() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it is there");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `fanwire_")?.split('`').next());
    let rows: BTreeSet<String> = rows.map(|name| format!("fanwire_{name}")).collect();
    let exposition = Exposition::read(Stage::start(1).get("/metrics").text(), false);
    assert_eq!(rows, exposition.kinds.keys().cloned().collect());
}
