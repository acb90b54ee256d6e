//! [`Sample`]: how the server is in one second, for those who watch.

use super::channels::{self, Channel};
use super::clients::{self, Client};
use super::plane::{Phase, Plane};
use crate::metrics::{Counters, Totals};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
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
    /// Channels that anyone listens to.
    channels: usize,
    /// What peers make it hold.
    memory: Memory,
    /// What came and went.
    rates: Rates,
    /// Everything that is counted, since the start.
    totals: BTreeMap<&'static str, u64>,
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

/// One worker.
#[derive(Debug, Serialize, ToSchema)]
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
    workers: Vec<Totals>,
}

impl Sampler {
    /// Begins with what has been counted so far.
    pub(super) fn new(plane: &Plane) -> Sampler {
        Sampler { at: Instant::now(), workers: counted(plane) }
    }

    /// The sample of the time since the last one, in JSON.
    pub(super) async fn sample(&mut self, plane: &Plane) -> String {
        let served = &plane.served;
        // A worker that hangs is no reason to say nothing.
        let slowest = clients::slowest(plane, SLOWEST).await.unwrap_or_default();
        let (busiest, channels) = channels::busiest(plane, String::new(), BUSIEST).await.unwrap_or_default();
        let (at, workers) = (Instant::now(), counted(plane));
        let seconds = at.duration_since(self.at).as_secs_f64().max(f64::EPSILON);
        let rate = |former: u64, latter: u64| latter.saturating_sub(former) as f64 / seconds;
        let sum =
            |of: fn(&Totals) -> u64| rate(self.workers.iter().map(of).sum(), workers.iter().map(of).sum());
        let rates = Rates {
            messages_in: sum(|totals| totals.messages_received),
            deliveries: sum(|totals| totals.deliveries_queued),
            bytes_in: sum(|totals| totals.bytes_read),
            bytes_out: sum(|totals| totals.bytes_written),
            connects: sum(|totals| totals.connections_accepted),
            drops: sum(|totals| {
                totals.slow_consumer_messages_dropped_by_closing
                    + totals.slow_consumer_messages_dropped_oldest
                    + totals.slow_consumer_messages_dropped_for_latest
            }),
            closes: sum(|totals| totals.closed_cleanly + totals.closed_abnormally),
        };
        let pairs = self.workers.iter().zip(&workers).zip(plane.desk.shards());
        let balance = pairs.map(|((former, latter), shard)| Worker {
            worker: usize::from(shard.0),
            connections: latter.connections_open,
            deliveries_per_second: rate(former.deliveries_queued, latter.deliveries_queued),
            busy: 0.0,
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
            workers: balance.collect(),
            slowest,
            busiest,
        };
        (self.at, self.workers) = (at, workers);
        // Its keys are texts and its numbers finite.
        serde_json::to_string(&sample).unwrap_or_default()
    }
}

/// What each worker has counted so far.
fn counted(plane: &Plane) -> Vec<Totals> {
    plane.served.counters.iter().map(|counters| Totals::of([&**counters as &Counters])).collect()
}
