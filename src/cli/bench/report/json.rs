//! The report for programs: one JSON object. Names say the unit, and stay what they are.
//!
//! | name | what it is |
//! |---|---|
//! | `mode` | `echo`, `broadcast`, `connect` or `idle` |
//! | `settings` | what was asked for, as strings; `url` first |
//! | `window_s` | the length of the measured window |
//! | `connections` | open when it began |
//! | `unit` | what is counted: `messages`, `deliveries`, `handshakes`, or `connections` still open |
//! | `units`, `units_per_s` | how many |
//! | `publications`, `publications_per_s` | messages that publishers sent; 0 where there are none |
//! | `payload_bytes`, `payload_mb_per_s` | payload received; MB are 1,000,000 bytes |
//! | `latency_us` | `p50`, `p90`, `p99`, `p999`, `max`, `mean`, and the number of `samples`; null if there are none |
//! | `server` | of the processes of `--pid`, as below; null without |
//! | `generator` | of `fanwire bench` itself; also `cores_available`, and whether it `was_the_limit` |
//! | `is_good` | whether all `faults` are 0 |
//! | `faults` | over the whole run: `missing`, `unexpected`, `out_of_order`, `other_orders`, `connections_lost`, `stalls` |
//! | `course` | the window in pieces: `end_s`, `units`, `units_per_s`, `p50_us`, `p99_us`, `max_us`; the last three null if nothing arrived |
//!
//! Of a process: `cpu_s`, `cores` (busy on average), `cpu_us_per_unit` (also seconds per million; null if there are no
//! units), `resident_bytes`, `resident_before_bytes` (before the first connection), `bytes_per_connection` (of idle
//! connections, else null).

use super::super::outcome::{Faults, Moment, Outcome, Usage};
use super::per_second;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::time::Duration;

/// The outcome as one JSON object, over several lines, without a line end behind it.
pub(crate) fn json(outcome: &Outcome) -> String {
    // It fails only for maps with keys that are no strings, and for writers that fail.
    serde_json::to_string_pretty(&report(outcome)).unwrap_or_default()
}

/// A JSON value whose names stay in the order in which people read them.
enum Json {
    Value(Value),
    Array(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl<T: Into<Value>> From<T> for Json {
    fn from(value: T) -> Json {
        Json::Value(value.into())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Value(value) => value.serialize(serializer),
            Json::Array(values) => serializer.collect_seq(values),
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

fn report(outcome: &Outcome) -> Json {
    let settings = outcome.settings.iter().map(|(name, value)| (*name, Json::from(value.as_str())));
    let faults = outcome.faults;
    Json::Object(vec![
        ("mode", outcome.mode.name().into()),
        ("settings", Json::Object(settings.collect())),
        ("window_s", number(outcome.window.as_secs_f64())),
        ("connections", outcome.connections.into()),
        ("unit", outcome.mode.units().into()),
        ("units", outcome.units.into()),
        ("units_per_s", number(outcome.units_per_s())),
        ("publications", outcome.publications.into()),
        ("publications_per_s", number(outcome.publications_per_s())),
        ("payload_bytes", outcome.payload_bytes.into()),
        ("payload_mb_per_s", number(outcome.payload_mb_per_s())),
        ("latency_us", latency(outcome)),
        (
            "server",
            outcome
                .server
                .as_ref()
                .map_or(Json::Value(Value::Null), |usage| Json::Object(process(outcome, usage))),
        ),
        ("generator", generator(outcome)),
        ("is_good", (faults == Faults::default()).into()),
        (
            "faults",
            Json::Object(vec![
                ("missing", faults.missing.into()),
                ("unexpected", faults.unexpected.into()),
                ("out_of_order", faults.out_of_order.into()),
                ("other_orders", faults.other_orders.into()),
                ("connections_lost", faults.connections_lost.into()),
                ("stalls", faults.stalls.into()),
            ]),
        ),
        ("course", course(&outcome.course)),
    ])
}

fn latency(outcome: &Outcome) -> Json {
    let latency = &outcome.latency_ns;
    if latency.is_empty() {
        return Json::Value(Value::Null);
    }
    let quantile = |quantile| microseconds(latency.value_at_quantile(quantile));
    Json::Object(vec![
        ("p50", quantile(0.5)),
        ("p90", quantile(0.9)),
        ("p99", quantile(0.99)),
        ("p999", quantile(0.999)),
        ("max", microseconds(latency.max())),
        ("mean", number(latency.mean() / 1000.0)),
        ("samples", latency.len().into()),
    ])
}

fn process(outcome: &Outcome, usage: &Usage) -> Vec<(&'static str, Json)> {
    let optional = |value: Option<f64>| value.map_or(Json::Value(Value::Null), number);
    vec![
        ("cpu_s", number(usage.cpu.as_secs_f64())),
        ("cores", number(outcome.cores(usage))),
        ("cpu_us_per_unit", optional(outcome.cpu_us_per_unit(usage))),
        ("resident_bytes", usage.resident_bytes.into()),
        ("resident_before_bytes", usage.resident_before_bytes.into()),
        ("bytes_per_connection", optional(outcome.bytes_per_connection(usage))),
    ]
}

fn generator(outcome: &Outcome) -> Json {
    let mut members = process(outcome, &outcome.generator);
    members.push(("cores_available", outcome.generator_cores.into()));
    members.push(("was_the_limit", outcome.is_generator_bound().into()));
    Json::Object(members)
}

fn course(moments: &[Moment]) -> Json {
    let mut begin = Duration::ZERO;
    let moments = moments.iter().map(|moment| {
        let length = moment.end.saturating_sub(begin);
        begin = moment.end;
        let latency = |nanoseconds| {
            if moment.max_ns == 0 { Json::Value(Value::Null) } else { microseconds(nanoseconds) }
        };
        Json::Object(vec![
            ("end_s", number(moment.end.as_secs_f64())),
            ("units", moment.units.into()),
            ("units_per_s", number(per_second(moment.units, length))),
            ("p50_us", latency(moment.p50_ns)),
            ("p99_us", latency(moment.p99_ns)),
            ("max_us", latency(moment.max_ns)),
        ])
    });
    Json::Array(moments.collect())
}

fn microseconds(nanoseconds: u64) -> Json {
    number(super::as_f64(nanoseconds) / 1000.0)
}

/// With six digits behind the point at most.
fn number(value: f64) -> Json {
    ((value * 1e6).round() / 1e6).into()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_broadcast_is_one_object() {
        assert_eq!(
            json(&samples::broadcast()),
            r#"{
  "mode": "broadcast",
  "settings": {
    "url": "ws://127.0.0.1:8080/ws",
    "connections": "1000",
    "window": "8"
  },
  "window_s": 2.0,
  "connections": 1000,
  "unit": "deliveries",
  "units": 8000000,
  "units_per_s": 4000000.0,
  "publications": 8000,
  "publications_per_s": 4000.0,
  "payload_bytes": 4096000000,
  "payload_mb_per_s": 2048.0,
  "latency_us": {
    "p50": 500170.751,
    "p90": 900202.495,
    "p99": 990380.031,
    "p999": 999292.927,
    "max": 1000341.503,
    "mean": 500500.310272,
    "samples": 1000
  },
  "server": {
    "cpu_s": 1.6,
    "cores": 0.8,
    "cpu_us_per_unit": 0.2,
    "resident_bytes": 24000000,
    "resident_before_bytes": 3000000,
    "bytes_per_connection": null
  },
  "generator": {
    "cpu_s": 1.5,
    "cores": 0.75,
    "cpu_us_per_unit": 0.1875,
    "resident_bytes": 10000000,
    "resident_before_bytes": 4000000,
    "bytes_per_connection": null,
    "cores_available": 1,
    "was_the_limit": false
  },
  "is_good": true,
  "faults": {
    "missing": 0,
    "unexpected": 0,
    "out_of_order": 0,
    "other_orders": 0,
    "connections_lost": 0,
    "stalls": 0
  },
  "course": [
    {
      "end_s": 1.0,
      "units": 3500000,
      "units_per_s": 3500000.0,
      "p50_us": 500000.0,
      "p99_us": 990000.0,
      "max_us": 1000000.0
    },
    {
      "end_s": 2.0,
      "units": 4500000,
      "units_per_s": 4500000.0,
      "p50_us": 400000.0,
      "p99_us": 900000.0,
      "max_us": 950000.0
    }
  ]
}"#
        );
    }

    #[test]
    fn what_there_is_nothing_to_say_about_is_null() {
        let mut outcome = samples::idle();
        outcome.server = None;
        outcome.units = 0;
        outcome.course =
            vec![Moment { end: Duration::from_secs(1), units: 0, p50_ns: 0, p99_ns: 0, max_ns: 0 }];
        let parsed: Value = serde_json::from_str(&json(&outcome)).expect("it is JSON");
        for pointer in
            ["/latency_us", "/server", "/generator/cpu_us_per_unit", "/course/0/p50_us", "/course/0/max_us"]
        {
            assert_eq!(parsed.pointer(pointer), Some(&Value::Null), "{pointer}");
        }
    }

    #[test]
    fn idle_connections_have_a_size() {
        let parsed: Value = serde_json::from_str(&json(&samples::idle())).expect("it is JSON");
        assert_eq!(parsed["server"]["bytes_per_connection"], 300.0);
    }

    #[test]
    fn any_fault_is_no_good_run() {
        let mut outcome = samples::broadcast();
        outcome.faults = Faults { other_orders: 7, ..Faults::default() };
        let parsed: Value = serde_json::from_str(&json(&outcome)).expect("it is JSON");
        assert_eq!((&parsed["is_good"], &parsed["faults"]["other_orders"]), (&false.into(), &7.into()));
    }

    #[test]
    fn what_the_user_wrote_is_escaped() {
        let mut outcome = samples::broadcast();
        outcome.settings[0].1 = "ws://\"h\\\n".to_owned();
        let parsed: Value = serde_json::from_str(&json(&outcome)).expect("it is JSON");
        assert_eq!(parsed["settings"]["url"], "ws://\"h\\\n");
    }
}
