//! Whatever clients do, and whatever happens to them, the shards keep the laws of the simulation: the bytes are its
//! choices, one after the other. Not five lines as the others are, because the simulation is no part of the crate: its
//! files are those of `tests/simulation`.
#![no_main]
#![allow(unreachable_pub, reason = "a program exports nothing")]
#![allow(dead_code, reason = "scenarios and seeds have no part in this")]

#[path = "../../tests/simulation/bounds.rs"]
mod bounds;
#[path = "../../tests/simulation/clients.rs"]
mod clients;
#[path = "../../tests/simulation/codes.rs"]
mod codes;
#[path = "../../tests/simulation/deflate.rs"]
mod deflate;
#[path = "../../tests/simulation/gaps.rs"]
mod gaps;
#[path = "../../tests/simulation/laws.rs"]
mod laws;
#[path = "../../tests/simulation/network.rs"]
mod network;
#[path = "../../tests/simulation/operator.rs"]
mod operator;
#[path = "../../tests/simulation/plan.rs"]
mod plan;
#[path = "../../tests/simulation/random.rs"]
mod random;
#[path = "../../tests/simulation/rates.rs"]
mod rates;
#[path = "../../tests/simulation/runs.rs"]
mod runs;
#[path = "../../tests/simulation/timers.rs"]
mod timers;
#[path = "../../tests/simulation/wire.rs"]
mod wire;
#[path = "../../tests/simulation/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    runs::of_script(bytes);
});
