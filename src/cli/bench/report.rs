//! What came of a run, for people in a terminal ([`text`]), for programs ([`json`]) and as a page with plots ([`page`]).
//!
//! All of them say the same, from one [`Outcome`]. Nothing here reads a clock or writes anywhere.

mod json;
mod page;
mod plot;
mod summary;
mod text;

pub(super) use json::json;
pub(super) use page::page;
pub(super) use text::text;

use super::outcome::{Mode, Outcome, Usage};
use std::time::Duration;

/// What a report shows of the latencies.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// From which part of what it had on, the generator's CPU is what the run has measured.
const GENERATOR_BUSY: f64 = 0.9;

impl Mode {
    /// The mode as it is written on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Echo => "echo",
            Mode::Broadcast => "broadcast",
            Mode::Connect => "connect",
            Mode::Idle => "idle",
        }
    }

    /// One of what the mode counts.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Mode::Echo => "message",
            Mode::Broadcast => "delivery",
            Mode::Connect => "handshake",
            Mode::Idle => "connection",
        }
    }

    /// Several of what the mode counts.
    pub(super) fn units(self) -> &'static str {
        match self {
            Mode::Echo => "messages",
            Mode::Broadcast => "deliveries",
            Mode::Connect => "handshakes",
            Mode::Idle => "connections",
        }
    }
}

impl Outcome {
    fn units_per_s(&self) -> f64 {
        per_second(self.units, self.window)
    }

    fn publications_per_s(&self) -> f64 {
        per_second(self.publications, self.window)
    }

    fn payload_mb_per_s(&self) -> f64 {
        per_second(self.payload_bytes, self.window) / 1e6
    }

    /// How many cores were busy on average.
    fn cores(&self, usage: &Usage) -> f64 {
        ratio(usage.cpu.as_secs_f64(), self.window.as_secs_f64()).unwrap_or_default()
    }

    /// Microseconds of CPU for one of what the mode counts, which are also seconds for a million.
    fn cpu_us_per_unit(&self, usage: &Usage) -> Option<f64> {
        ratio(usage.cpu.as_secs_f64() * 1e6, as_f64(self.units))
    }

    /// By how much the memory has grown for each connection, if they do nothing but exist: else it is buffers as well.
    fn bytes_per_connection(&self, usage: &Usage) -> Option<f64> {
        let grown = as_f64(usage.resident_bytes) - as_f64(usage.resident_before_bytes);
        let is_idle = self.mode == Mode::Idle;
        ratio(grown, as_f64(self.connections as u64)).filter(|_| is_idle)
    }

    /// The part of the cores that the generator could use and did.
    fn generator_share(&self) -> Option<f64> {
        ratio(self.cores(&self.generator), as_f64(self.generator_cores as u64))
    }

    /// Whether the generator was the limit, rather than what it measured.
    fn is_generator_bound(&self) -> bool {
        self.generator_share().is_some_and(|share| share > GENERATOR_BUSY)
    }
}

fn per_second(count: u64, window: Duration) -> f64 {
    ratio(as_f64(count), window.as_secs_f64()).unwrap_or_default()
}

/// None if there is nothing to divide by.
fn ratio(whole: f64, parts: f64) -> Option<f64> {
    (parts > 0.0).then(|| whole / parts)
}

#[expect(clippy::cast_precision_loss, reason = "it has 15 digits")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Hand-made outcomes, for the tests of all reports.
#[cfg(test)]
mod samples {
    use super::super::outcome::{Faults, Mode, Moment, Outcome, Usage};
    use hdrhistogram::Histogram;
    use std::time::Duration;

    /// Latencies of 1 to 1,000 ms, each once.
    pub(super) fn latencies() -> Histogram<u64> {
        let mut latency_ns = Histogram::new(3).expect("three digits");
        for milliseconds in 1..=1000 {
            latency_ns.record(milliseconds * 1_000_000).expect("it resizes itself");
        }
        latency_ns
    }

    /// A broadcast of 2 s with 8,000,000 deliveries, in which nothing went wrong.
    pub(super) fn broadcast() -> Outcome {
        let moment = |end, units, p50_ns, p99_ns, max_ns| Moment {
            end: Duration::from_secs(end),
            units,
            p50_ns,
            p99_ns,
            max_ns,
        };
        Outcome {
            mode: Mode::Broadcast,
            settings: vec![
                ("url", "ws://127.0.0.1:8080/ws".to_owned()),
                ("connections", "1000".to_owned()),
                ("window", "8".to_owned()),
            ],
            window: Duration::from_secs(2),
            connections: 1000,
            units: 8_000_000,
            publications: 8000,
            payload_bytes: 4_096_000_000,
            latency_ns: latencies(),
            course: vec![
                moment(1, 3_500_000, 500_000_000, 990_000_000, 1_000_000_000),
                moment(2, 4_500_000, 400_000_000, 900_000_000, 950_000_000),
            ],
            faults: Faults::default(),
            server: Some(Usage {
                cpu: Duration::from_millis(1600),
                resident_before_bytes: 3_000_000,
                resident_bytes: 24_000_000,
            }),
            generator: Usage {
                cpu: Duration::from_millis(1500),
                resident_before_bytes: 4_000_000,
                resident_bytes: 10_000_000,
            },
            generator_cores: 1,
        }
    }

    /// 20,000 connections that do nothing for 5 s. One is lost.
    pub(super) fn idle() -> Outcome {
        Outcome {
            mode: Mode::Idle,
            window: Duration::from_secs(5),
            connections: 20_000,
            units: 19_999,
            publications: 0,
            payload_bytes: 0,
            latency_ns: Histogram::new(3).expect("three digits"),
            course: Vec::new(),
            faults: Faults { connections_lost: 1, ..Faults::default() },
            server: Some(Usage {
                cpu: Duration::from_millis(10),
                resident_before_bytes: 4_000_000,
                resident_bytes: 10_000_000,
            }),
            ..broadcast()
        }
    }
}
