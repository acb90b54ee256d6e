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
//! The same runs are driven by a fuzzer, whose bytes are the choices: `fuzz/fuzz_targets/shard.rs` has these very files.
//! What it kept is run here too.
//!
//! | file | what |
//! |---|---|
//! | `runs.rs` | a whole run, by a seed or by a script |
//! | `plan.rs` | what kind of world it is, and what kind of clients come |
//! | `world.rs` | shards, clients and a clock; the scheduler; laws about how things end |
//! | `clients.rs` | good, slow, dead, hostile and leaving clients |
//! | `deflate.rs`, `codes.rs` | how clients compress, and what they hold the server to |
//! | `operator.rs` | who publishes, looks and closes from outside |
//! | `laws.rs` | who said and heard what: order, gaps, what nobody may miss |
//! | `gaps.rs` | what slow consumers may lose, and what they are told of it |
//! | `timers.rs` | what deadlines demand: nothing early, late, twice or never |
//! | `rates.rs` | how much may be taken from a client whose rate is limited |
//! | `bounds.rs` | how much memory may be held, computed from the limits |
//! | `network.rs`, `wire.rs` | sockets in memory: partial reads and writes, edges, faults, connections that are lost |
//! | `faults.rs` | what the system refuses, one error at a time |
//! | `scenarios.rs` | runs of which not everything is left to chance |
//! | `random.rs` | the source of choices |

#![allow(unreachable_pub, reason = "a test exports nothing: `pub` says what a file offers to the others")]

mod bounds;
mod clients;
mod codes;
mod deflate;
mod faults;
mod gaps;
#[path = "../kept/mod.rs"]
mod kept;
mod laws;
mod network;
mod operator;
mod plan;
mod random;
mod rates;
mod runs;
mod scenarios;
mod timers;
mod wire;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use timers::Deeds;

/// Runs of chance in one `cargo test`, unless `FANWIRE_SEEDS` says otherwise.
const SEEDS: u64 = 3_000;

/// What runs of chance come upon, besides what the server counts.
const SEEN: [&str; 18] = [
    "pings_seen",
    "idle_timeouts_seen",
    "handshake_timeouts_seen",
    "close_timeouts_seen",
    "slow_consumers_seen",
    "cut_within_a_request",
    "cut_within_a_response",
    "cut_within_a_clients_frame",
    "cut_within_a_servers_frame",
    "turns_with_a_full_mailbox",
    "turns_that_hold_input",
    "drains_that_find_input_held",
    "goodbyes_before_the_last",
    "fan_outs_behind",
    "logs_of_several_chunks",
    "long_stalls",
    "clocks_wrapped",
    "gaps_announced",
];

/// What these runs do not come to, and gauges, which are 0 at the end.
const NEVER_COUNTED: [&str; 21] = [
    "pages_served",
    "messages_rejected",
    "publications_homeless",
    "checks_answered",
    "proxy_headers_refused",
    "tls_bytes_held",
    "tls_connections_open",
    "tls_handshakes_completed",
    "tls_handshakes_failed",
    "tls_plaintext_requests",
    "tls_sessions_resumed",
    "tokens_refused",
    "tokens_expired",
    "connections_open",
    "bytes_retained",
    "log_bytes",
    "client_bytes",
    "clients_blocked",
    "mailbox_bytes",
    "memory_held",
    "channels_open",
];

#[test]
fn the_laws_hold_whatever_happens() {
    let seeds = variable("FANWIRE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let deeds = Mutex::new(Deeds::from(SEEN.map(|deed| (deed, 0))));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !has_failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let announced = Announced { seed, has_failed: &has_failed };
                    let done = runs::of_seed(seed);
                    drop(announced);
                    let mut deeds = deeds.lock().expect("nobody failed with it");
                    for (deed, times) in done {
                        *deeds.entry(deed).or_default() += times;
                    }
                }
            });
        }
    });
    let deeds = deeds.into_inner().expect("nobody failed with it");
    println!("{seeds} seeds: {deeds:#?}");
    let mut never_done = deeds.iter().filter(|(deed, times)| **times == 0 && !NEVER_COUNTED.contains(*deed));
    // Fewer runs may miss something.
    if seeds >= SEEDS {
        assert_eq!(never_done.next(), None, "chance comes upon every deed that is counted");
    }
}

#[test]
fn replay() {
    let seed = variable("FANWIRE_SEED").unwrap_or(0);
    let deeds = runs::of_seed(seed);
    println!("seed {seed}: {deeds:#?}");
}

#[test]
fn what_the_fuzzer_kept_holds() {
    kept::replay("shard", |script| _ = runs::of_script(script));
}

/// Says which seed it was if the run panics, and that nobody need go on.
struct Announced<'f> {
    seed: u64,
    has_failed: &'f AtomicBool,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.has_failed.store(true, Ordering::Relaxed);
            eprintln!("replay it: FANWIRE_SEED={} cargo test --test simulation replay", self.seed);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
