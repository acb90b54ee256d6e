//! [`Outcome`]: what a run has found. The generator fills it in, the report is written from it.

use hdrhistogram::Histogram;
use std::time::Duration;

/// What a run did, and what came of it. Counts are of the measured window alone, warm-up and drain left out, unless they
/// say otherwise.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What is counted.
    pub(super) mode: Mode,
    /// What was asked for, as the user would say it: names and values, the address first.
    pub(super) settings: Vec<(&'static str, String)>,
    /// How long the measured window was.
    pub(super) window: Duration,
    /// Connections that were open when it began.
    pub(super) connections: usize,
    /// What the mode counts.
    pub(super) units: u64,
    /// Messages that the publishers sent. 0 where there are none.
    pub(super) publications: u64,
    /// Bytes of payload received.
    pub(super) payload_bytes: u64,
    /// Nanoseconds from when a message was to be sent to its arrival, or of a whole handshake; empty for idle
    /// connections.
    pub(super) latency_ns: Histogram<u64>,
    /// The window, piece by piece.
    pub(super) course: Vec<Moment>,
    /// What was wrong with what arrived, over the whole run.
    pub(super) faults: Faults,
    /// What the processes of `--pid` used, one after the other summed up.
    pub(super) server: Option<Usage>,
    /// What this process used.
    pub(super) generator: Usage,
    /// How many cores it could use: its threads, or the CPUs that it may run on if those are fewer.
    pub(super) generator_cores: usize,
}

/// What a run counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Messages that came back.
    Echo,
    /// Messages that reached a subscriber.
    Broadcast,
    /// Opening and closing handshakes, one after the other.
    Connect,
    /// Connections that stayed open.
    Idle,
}

/// A piece of the measured window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When it ended, from the beginning of the window.
    pub(super) end: Duration,
    /// What the mode counts.
    pub(super) units: u64,
    /// Latencies in nanoseconds; 0 if nothing arrived.
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) max_ns: u64,
}

/// What was wrong with what arrived. All are 0 in a good run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Messages that were sent and did not reach somebody who was there.
    pub(super) missing: u64,
    /// Messages that reached somebody twice, or that nobody sent.
    pub(super) unexpected: u64,
    /// Messages of one publisher that reached somebody after a later one of the same publisher.
    pub(super) out_of_order: u64,
    /// Connections that saw the publishers' messages in another order than the first of their channel.
    pub(super) other_orders: u64,
    /// Connections that ended, or did not open, though nobody here wanted that.
    pub(super) connections_lost: u64,
    /// Times that a publisher saw nothing of its own for so long that it began anew.
    pub(super) stalls: u64,
}

/// What a process used within the window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub(super) cpu: Duration,
    /// Resident bytes before the first connection, and at the end of the window.
    pub(super) resident_before_bytes: u64,
    pub(super) resident_bytes: u64,
}
