//! Deterministic simulation: N shards that run the server's own code, on a network and a clock of our making.
//!
//! One seed is one run: it decides how many shards and clients there are, how they behave, who acts when, which bytes
//! arrive, which faults happen. A run that breaks a law prints its seed and can be replayed alone:
//!
//! ```text
//! FANWIRE_SEED=123 cargo test --test simulation replay
//! FANWIRE_SEEDS=1000000 cargo test --release --test simulation
//! ```
//!
//! | file | what |
//! |---|---|
//! | `world.rs` | shards, clients and a clock; the scheduler; laws about how things end |
//! | `clients.rs` | good, slow, dead, hostile and leaving clients |
//! | `laws.rs` | who said and heard what: order, gaps, what nobody may miss |
//! | `network.rs` | sockets in memory: partial reads and writes, edges, faults |
//! | `scenarios.rs` | runs of which not everything is left to chance |
//! | `random.rs` | the source of choices |

#![allow(unreachable_pub, reason = "a test exports nothing: `pub` says what a file offers to the others")]

mod clients;
mod laws;
mod network;
mod random;
mod scenarios;
mod world;

use fanwire::metrics::Totals;
use random::Random;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::{Plan, World};

/// Runs of chance in one `cargo test`, unless `FANWIRE_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;

/// One in so many runs has a crowd.
const CROWD_EVERY: u64 = 100;

/// What these runs do not come to, and gauges, which are 0 at the end.
const NEVER_COUNTED: [&str; 6] = [
    "pages_served",
    "messages_rejected",
    "publications_homeless",
    "connections_open",
    "bytes_retained",
    "channels_open",
];

#[test]
fn the_laws_hold_whatever_happens() {
    let seeds = variable("FANWIRE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let counted = Mutex::new(BTreeMap::<&str, u64>::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let totals = run(seed);
                    let mut counted = counted.lock().expect("nobody failed with it");
                    totals.iter().for_each(|(name, count)| *counted.entry(name).or_default() += count);
                }
            });
        }
    });
    let counted = counted.into_inner().expect("nobody failed with it");
    for (name, count) in counted.iter().filter(|(name, _)| !NEVER_COUNTED.contains(*name)) {
        assert!(*count > 0, "chance comes upon every deed that is counted: {name}");
    }
}

#[test]
fn replay() {
    run(variable("FANWIRE_SEED").unwrap_or(0));
}

fn run(seed: u64) -> Totals {
    let announced = Announced(seed);
    let mut random = Random::new(seed);
    let plan =
        if (seed + 1).is_multiple_of(CROWD_EVERY) { Plan::crowd(&mut random) } else { Plan::of(&mut random) };
    let mut world = World::new(plan, random);
    world.run();
    drop(announced);
    world.totals()
}

/// Says which seed it was if the run panics.
struct Announced(u64);

impl Drop for Announced {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("replay it: FANWIRE_SEED={} cargo test --test simulation replay", self.0);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
