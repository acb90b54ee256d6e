//! [`Generator`]: the program that makes the load and measures what comes of it.
//!
//! `fanwire bench` is the one that the tables are made with. Another, `wsload`, written in C by somebody else, can take
//! its place for a second opinion; it does not check the order of what it gets.

use crate::load::{Load, Pace};
use crate::measurement::{Faults, GeneratorUsage, Latency, Measurement, ServerUsage};
use serde_json::Value;
use std::path::PathBuf;

/// Addresses that connections come from where they are many in a short time, so that no pair of ports is needed again
/// before the kernel lets go of it.
const SOURCES: &str = "127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.7,127.0.0.8";

/// Seconds after the window in which late messages are waited for. It takes only as long as some are missing.
const DRAIN_S: &str = "10";

/// A load generator and where it is.
#[derive(Clone, Debug)]
pub(crate) enum Generator {
    Fanwire(PathBuf),
    Wsload(PathBuf),
}

/// Against whom, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) load: Load,
    /// Of 127.0.0.1.
    pub(crate) port: u16,
    /// Whose CPU time and memory count.
    pub(crate) pid: u32,
    pub(crate) warmup_s: f64,
    pub(crate) window_s: f64,
}

impl Generator {
    pub(crate) fn executable(&self) -> &PathBuf {
        match self {
            Self::Fanwire(path) | Self::Wsload(path) => path,
        }
    }

    pub(crate) fn arguments(&self, order: Order) -> Vec<String> {
        match self {
            Self::Fanwire(_) => fanwire_arguments(order),
            Self::Wsload(_) => wsload_arguments(order),
        }
    }

    /// Reads what it printed.
    ///
    /// # Errors
    ///
    /// A sentence, if that is not what it should print.
    pub(crate) fn measurement(&self, printed: &str) -> Result<Measurement, String> {
        let read = match self {
            Self::Fanwire(_) => serde_json::from_str(printed),
            Self::Wsload(_) => serde_json::from_str(printed).map(|value| wsload_measurement(&value)),
        };
        read.map_err(|error| format!("the generator printed something else than a result: {error}"))
    }
}

/// What a generator calls its options, where they differ.
struct Words {
    connections: &'static str,
    slots: &'static str,
    publishers: &'static str,
    payload: &'static str,
    /// Messages that an echo's connection has under way.
    echo_window: &'static str,
    source: &'static str,
}

const FANWIRE: Words = Words {
    connections: "--connections",
    slots: "--connections",
    publishers: "--publishers",
    payload: "--payload",
    echo_window: "--window",
    source: "--source",
};

const WSLOAD: Words = Words {
    connections: "--conns",
    slots: "--slots",
    publishers: "--pubs",
    payload: "--size",
    echo_window: "--depth",
    source: "--src",
};

/// An option and its value.
fn option(name: &str, value: &impl ToString) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

/// The mode, and what it is to do.
fn load_arguments(load: Load, words: &Words) -> Vec<String> {
    let mode = match load {
        Load::Echo { .. } => "echo",
        Load::Broadcast { .. } => "broadcast",
        Load::Connect { .. } => "connect",
        Load::Idle { .. } => "idle",
    };
    let mut line = vec![mode.to_owned()];
    match load {
        Load::Echo { connections, window, payload_bytes, is_binary } => {
            line.extend(option(words.connections, &connections));
            line.extend(option(words.echo_window, &window));
            line.extend(option(words.payload, &payload_bytes));
            line.extend(is_binary.then(|| "--binary".to_owned()));
        }
        Load::Broadcast { subscribers, publishers, channels, pace, payload_bytes } => {
            line.extend(option(words.connections, &subscribers));
            line.extend(option(words.publishers, &publishers));
            line.extend(match pace {
                Pace::Window(window) => option("--window", &window),
                Pace::Rate(rate) => option("--rate", &rate),
            });
            line.extend(option(words.payload, &payload_bytes));
            // One channel is the address itself; several stand behind it.
            if channels > 1 {
                line.extend(option("--channels", &channels));
            }
        }
        Load::Connect { connections } => {
            line.extend(option(words.slots, &connections));
            line.extend(option(words.source, &SOURCES));
        }
        Load::Idle { connections } => line.extend(option(words.connections, &connections)),
    }
    line
}

fn fanwire_arguments(order: Order) -> Vec<String> {
    let Order { load, port, pid, warmup_s, window_s } = order;
    let mut line = load_arguments(load, &FANWIRE);
    let path = if matches!(load, Load::Echo { .. }) { "echo" } else { "ws" };
    line.insert(1, format!("ws://127.0.0.1:{port}/{path}"));
    line.insert(0, "bench".to_owned());
    if matches!(load, Load::Echo { .. } | Load::Broadcast { .. }) {
        line.extend(option("--drain", &DRAIN_S));
    }
    line.extend(option("--warmup", &warmup_s));
    line.extend(option("--duration", &window_s));
    line.extend(option("--threads", &1));
    line.extend(option("--pid", &pid));
    line.push("--json".to_owned());
    line
}

fn wsload_arguments(order: Order) -> Vec<String> {
    let Order { load, port, pid, warmup_s, window_s } = order;
    let mut line = load_arguments(load, &WSLOAD);
    match load {
        Load::Broadcast { .. } => line.extend(option("--drain", &DRAIN_S)),
        Load::Idle { .. } => {
            line.extend(option("--hold", &2));
            line.push("--no-ready".to_owned());
        }
        Load::Echo { .. } | Load::Connect { .. } => {}
    }
    line.extend(option("--port", &port));
    line.extend(option("--warmup", &warmup_s));
    line.extend(option("--seconds", &window_s));
    line.extend(option("--pid", &pid));
    line
}

fn wsload_measurement(printed: &Value) -> Measurement {
    let number = |name: &str| printed[name].as_f64();
    let count = |name: &str| printed[name].as_u64().unwrap_or(0);
    let latency = ["lat_us", "cycle_us"].into_iter().find_map(|name| {
        let quantile = |quantile: &str| printed[name][quantile].as_f64();
        Some(Latency { p50: quantile("p50")?, p99: quantile("p99")?, max: quantile("max")? })
    });
    let speeds = ["msgs_s", "deliveries_s", "handshakes_s", "still_open"];
    Measurement {
        connections: count("conns").max(count("slots")),
        units_per_s: speeds.into_iter().find_map(number).unwrap_or(0.0),
        publications_per_s: 0.0,
        payload_mb_per_s: number("mb_s").unwrap_or(0.0),
        latency_us: latency,
        server: ServerUsage {
            cores: number("srv_util").unwrap_or(0.0),
            cpu_us_per_unit: number("srv_cpu_s_per_million"),
            resident_before_bytes: number("rss_before").unwrap_or(0.0),
            resident_bytes: number("srv_rss_kb").map_or(0.0, |kib| kib * 1024.0),
            bytes_per_connection: number("bytes_per_conn"),
        },
        generator: GeneratorUsage { cores: number("gen_util").unwrap_or(0.0) },
        faults: Faults {
            missing: count("missing"),
            unexpected: count("extra"),
            out_of_order: 0,
            other_orders: 0,
            connections_lost: count("closed_by_server") + count("errors") + count("protocol_errors"),
            stalls: count("window_timeouts"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    fn order(load: Load) -> Order {
        Order { load, port: 7000, pid: 42, warmup_s: 1.0, window_s: 4.0 }
    }

    const BROADCAST: Load = Load::Broadcast {
        subscribers: 1000,
        publishers: 10,
        channels: 1,
        pace: Pace::Window(8),
        payload_bytes: 512,
    };

    #[test]
    fn fanwire_bench_gets_the_address_behind_the_mode() {
        let line = Generator::Fanwire(PathBuf::new()).arguments(order(BROADCAST)).join(" ");
        assert_eq!(
            line,
            "bench broadcast ws://127.0.0.1:7000/ws --connections 1000 --publishers 10 --window 8 --payload 512 \
             --drain 10 --warmup 1 --duration 4 --threads 1 --pid 42 --json"
        );
        let echo = Load::Echo { connections: 16, window: 1, payload_bytes: 65536, is_binary: true };
        let line = Generator::Fanwire(PathBuf::new()).arguments(order(echo)).join(" ");
        assert!(line.starts_with("bench echo ws://127.0.0.1:7000/echo --connections 16 "), "{line}");
        assert!(line.contains(" --binary "), "{line}");
    }

    #[test]
    fn wsload_gets_the_port_behind_the_rest() {
        let line = Generator::Wsload(PathBuf::new()).arguments(order(BROADCAST)).join(" ");
        assert_eq!(
            line,
            "broadcast --conns 1000 --pubs 10 --window 8 --size 512 --drain 10 --port 7000 --warmup 1 --seconds 4 \
             --pid 42"
        );
    }

    #[test]
    fn many_channels_are_asked_for_and_one_is_not() {
        let many = CASES.iter().find(|case| case.name == "channels-100").unwrap().load;
        for generator in [Generator::Fanwire(PathBuf::new()), Generator::Wsload(PathBuf::new())] {
            assert!(generator.arguments(order(many)).join(" ").contains("--channels 100"));
            assert!(!generator.arguments(order(BROADCAST)).join(" ").contains("--channels"));
        }
    }

    #[test]
    fn what_fanwire_bench_prints_is_read_and_what_is_not_shown_is_passed_over() {
        let printed = r#"{
            "mode": "broadcast", "settings": {"window": "8"}, "window_s": 2.0, "connections": 1000,
            "unit": "deliveries", "units": 8000000, "units_per_s": 4000000.0, "payload_mb_per_s": 2048.0,
            "latency_us": {"p50": 500.5, "p90": 900.0, "p99": 990.0, "max": 1000.0, "samples": 9},
            "server": {"cpu_s": 1.6, "cores": 0.8, "cpu_us_per_unit": 0.2, "resident_bytes": 24000000,
                       "resident_before_bytes": 3000000, "bytes_per_connection": null},
            "generator": {"cpu_s": 1.5, "cores": 0.75, "cpu_us_per_unit": 0.1875},
            "faults": {"missing": 1, "unexpected": 0, "out_of_order": 2, "other_orders": 0,
                       "connections_lost": 0, "stalls": 3}
        }"#;
        let measurement = Generator::Fanwire(PathBuf::new()).measurement(printed).unwrap();
        assert_eq!(measurement.latency_us, Some(Latency { p50: 500.5, p99: 990.0, max: 1000.0 }));
        assert_eq!(measurement.server.cpu_us_per_unit, Some(0.2));
        assert_eq!(measurement.server.bytes_per_connection, None);
        let faults: Vec<_> = measurement.faults.named().collect();
        assert_eq!(faults, [("missing", 1), ("out of order", 2), ("stalls", 3)]);
    }

    #[test]
    fn what_wsload_prints_is_read() {
        let printed = r#"{"mode":"broadcast","conns":100,"deliveries_s":153858,"mb_s":19.7,"missing":7,"extra":0,
            "window_timeouts":0,"lat_us":{"p50":600,"p99":1400,"max":8200},"gen_util":0.92,"srv_util":0.96,
            "srv_cpu_s_per_million":6.264,"errors":0,"protocol_errors":0,"closed_by_server":1}"#;
        let measurement = Generator::Wsload(PathBuf::new()).measurement(printed).unwrap();
        assert_eq!((measurement.connections, measurement.units_per_s), (100, 153_858.0));
        assert_eq!(measurement.latency_us.map(|latency| latency.p99), Some(1400.0));
        assert_eq!((measurement.faults.missing, measurement.faults.connections_lost), (7, 1));
    }

    #[test]
    fn half_a_result_is_an_error() {
        let error = Generator::Fanwire(PathBuf::new()).measurement("{\"mode\": \"echo\"").unwrap_err();
        assert!(error.starts_with("the generator printed something else"), "{error}");
    }
}
