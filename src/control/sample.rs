//! [`Sample`]: how the server is in one second, for those who watch.

#![expect(
    clippy::cast_precision_loss,
    reason = "what is counted is less than 2^52, or not worth its last digit"
)]

use super::channels::{self, Channel};
use super::clients::{self, Client};
use super::plane::{Phase, Plane};
use crate::limits;
use crate::metrics::{HistogramSnapshot, Totals};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;
use utoipa::ToSchema;

/// Clients in a sample.
const SLOWEST: usize = 10;

/// Channels in a sample.
const BUSIEST: usize = 20;

/// How the server is. What is a rate is of the second before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sample {
    /// Unix time, in milliseconds.
    at: u64,
    /// Of the server.
    version: &'static str,
    /// Since its start.
    uptime_seconds: f64,
    /// Where it is between its start and its end.
    state: Phase,
    /// Clients.
    connections: usize,
    /// Channels that anyone listens to, or did a moment ago. None if a worker did not say in time.
    channels: Option<usize>,
    /// What peers make it hold.
    memory: Memory,
    /// What came and went.
    rates: Rates,
    /// Everything that is counted, since the start.
    totals: BTreeMap<&'static str, u64>,
    /// How old publications were when they were written, in seconds; none if none were.
    latency: Option<Latency>,
    /// How long turns of the workers' loops took, in seconds; none if there were none.
    turns: Option<Turns>,
    /// What each worker does.
    workers: Vec<Worker>,
    /// The clients with most bytes queued.
    slowest: Vec<Client>,
    /// The channels with most bytes in a second.
    busiest: Vec<Channel>,
}

/// What peers make the server hold, in bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Memory {
    /// What counts towards the budget.
    held: u64,
    /// The budget, if there is one.
    budget: Option<u64>,
}

/// How much a second.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Rates {
    /// Messages from clients.
    messages_in: f64,
    /// Frames appended for subscribers.
    deliveries: f64,
    /// Bytes read from sockets.
    bytes_in: f64,
    /// Bytes taken by sockets.
    bytes_out: f64,
    /// Connections accepted.
    connects: f64,
    /// Messages that slow consumers were not sent.
    drops: f64,
    /// Connections that ended.
    closes: f64,
}

/// How old publications were when they were written, in seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Latency {
    /// Half of them were younger.
    p50: f64,
    /// Nine of ten.
    p90: f64,
    /// All but one of a hundred.
    p99: f64,
    /// The oldest.
    max: f64,
}

/// How long turns took, in seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Turns {
    /// Half of them were shorter.
    p50: f64,
    /// All but one of a hundred.
    p99: f64,
}

/// One worker.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "it is called so in metrics too")]
pub(super) struct Worker {
    /// Its number.
    worker: usize,
    /// Its clients.
    connections: u64,
    /// Frames appended for its subscribers.
    deliveries_per_second: f64,
    /// The part of the time in which it did not sleep, 0 to 1.
    busy: f64,
    /// Bytes of mail that it has not read.
    mailbox_bytes: usize,
}

/// Remembers the second before.
pub(super) struct Sampler {
    at: Instant,
    workers: Vec<Counted>,
}

/// What a worker has counted so far.
struct Counted {
    totals: Totals,
    closes: u64,
    turn: HistogramSnapshot,
    delivery: HistogramSnapshot,
}

impl Sampler {
    /// Begins with what has been counted so far.
    pub(super) fn new(plane: &Plane) -> Sampler {
        Sampler { at: Instant::now(), workers: counted(plane) }
    }

    /// The sample of the time since the last one, in JSON.
    pub(super) async fn sample(&mut self, plane: &Plane) -> String {
        let served = &plane.served;
        // A worker that hangs, or has ended before the others, is no reason to say nothing, or to say it late.
        let patience = Duration::from_millis(limits::ADMIN_SAMPLE_MS / 2);
        let (slowest, busiest) = tokio::join!(
            timeout(patience, clients::slowest(plane, SLOWEST)),
            timeout(patience, channels::busiest(plane, String::new(), BUSIEST)),
        );
        let slowest = slowest.ok().and_then(Result::ok).unwrap_or_default();
        let (busiest, channels) = busiest.ok().and_then(Result::ok).unzip();
        let (at, latter) = (Instant::now(), counted(plane));
        let seconds = at.duration_since(self.at).as_secs_f64().max(f64::EPSILON);
        let former = std::mem::replace(&mut self.workers, latter);
        self.at = at;
        let latter = &self.workers;
        let rate = |former: u64, latter: u64| latter.saturating_sub(former) as f64 / seconds;
        let sum = |of: fn(&Counted) -> u64| rate(former.iter().map(of).sum(), latter.iter().map(of).sum());
        let since = |of: fn(&Counted) -> &HistogramSnapshot| {
            let pairs = former.iter().zip(latter);
            pairs.fold(HistogramSnapshot::default(), |all, (former, latter)| {
                all.plus(&of(latter).since(of(former)))
            })
        };
        let rates = Rates {
            messages_in: sum(|counted| counted.totals.messages_received),
            deliveries: sum(|counted| counted.totals.deliveries_queued),
            bytes_in: sum(|counted| counted.totals.bytes_read),
            bytes_out: sum(|counted| counted.totals.bytes_written),
            connects: sum(|counted| counted.totals.connections_accepted),
            drops: sum(|Counted { totals, .. }| {
                totals.slow_consumer_messages_dropped_by_closing
                    + totals.slow_consumer_messages_dropped_oldest
                    + totals.slow_consumer_messages_dropped_for_latest
            }),
            closes: sum(|counted| counted.closes),
        };
        let pairs = former.iter().zip(latter).zip(plane.desk.shards());
        let workers = pairs.map(|((former, latter), shard)| Worker {
            worker: usize::from(shard.0),
            connections: latter.totals.connections_open,
            deliveries_per_second: rate(former.totals.deliveries_queued, latter.totals.deliveries_queued),
            busy: (latter.turn.since(&former.turn).sum_us() as f64 / 1e6 / seconds).min(1.0),
            mailbox_bytes: served.mesh.mailbox_bytes(shard),
        });
        let totals = plane.totals();
        let sample = Sample {
            at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: served.started.elapsed().as_millis() as f64 / 1000.0,
            state: plane.phase(),
            connections: served.mesh.connections(),
            channels,
            memory: Memory {
                held: totals.memory_held,
                budget: Some(served.config().memory_bytes_max).filter(|bytes| *bytes > 0),
            },
            rates,
            totals: totals.iter().collect(),
            latency: latency(&since(|counted| &counted.delivery)),
            turns: turns(&since(|counted| &counted.turn)),
            workers: workers.collect(),
            slowest,
            busiest: busiest.unwrap_or_default(),
        };
        // Its keys are texts.
        serde_json::to_string(&sample).unwrap_or_default()
    }
}

fn latency(delivery: &HistogramSnapshot) -> Option<Latency> {
    let seconds = |part| delivery.quantile_us(part).map(|us| us / 1e6);
    let max = delivery.max_us()? as f64 / 1e6;
    Some(Latency { p50: seconds(0.5)?, p90: seconds(0.9)?, p99: seconds(0.99)?, max })
}

fn turns(turn: &HistogramSnapshot) -> Option<Turns> {
    let seconds = |part| turn.quantile_us(part).map(|us| us / 1e6);
    Some(Turns { p50: seconds(0.5)?, p99: seconds(0.99)? })
}

/// What each worker has counted so far.
fn counted(plane: &Plane) -> Vec<Counted> {
    let counted = plane.served.counters.iter().map(|counters| Counted {
        totals: Totals::of([&**counters]),
        closes: counters.closes.total(),
        turn: counters.turn.snapshot(),
        delivery: counters.delivery.snapshot(),
    });
    counted.collect()
}
