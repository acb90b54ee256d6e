//! [`Measurement`]: what a generator has found. It is shaped as `fanwire bench --json` prints it, of which only what the
//! tables show is kept.

use serde::{Deserialize, Serialize};

/// One measured window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// Connections that were open when the window began.
    pub(crate) connections: u64,
    /// What the load counts, a second.
    pub(crate) units_per_s: f64,
    /// What publishers sent, a second; 0 where nobody publishes.
    #[serde(default)]
    pub(crate) publications_per_s: f64,
    pub(crate) payload_mb_per_s: f64,
    /// Nothing where nothing was timed.
    pub(crate) latency_us: Option<Latency>,
    /// What the server used within the window.
    pub(crate) server: ServerUsage,
    pub(crate) generator: GeneratorUsage,
    /// Over the whole run.
    pub(crate) faults: Faults,
}

/// From when a message was to be sent to its arrival, or of a whole handshake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerUsage {
    /// 1 is one core all the time.
    pub(crate) cores: f64,
    /// Microseconds for each unit, which is seconds for a million of them.
    pub(crate) cpu_us_per_unit: Option<f64>,
    /// Before the first connection.
    pub(crate) resident_before_bytes: f64,
    /// At the end of the window.
    #[serde(default)]
    pub(crate) resident_bytes: f64,
    /// What the process has grown by, for each connection.
    pub(crate) bytes_per_connection: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GeneratorUsage {
    pub(crate) cores: f64,
}

/// All are 0 in a good run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Faults {
    pub(crate) missing: u64,
    pub(crate) unexpected: u64,
    pub(crate) out_of_order: u64,
    pub(crate) other_orders: u64,
    pub(crate) connections_lost: u64,
    pub(crate) stalls: u64,
}

impl Faults {
    /// Each kind that there was, with its name in the tables.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("out of order", self.out_of_order),
            ("in other orders", self.other_orders),
            ("connections lost", self.connections_lost),
            ("stalls", self.stalls),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}
