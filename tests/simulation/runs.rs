//! Whole runs of chance: by a seed, or by a fuzzer's bytes.

use crate::plan::Plan;
use crate::random::Random;
use crate::timers::Deeds;
use crate::world::World;

/// One in so many runs has a crowd.
const CROWD_EVERY: u64 = 50;

/// The run that a seed makes; what happened in it.
pub fn of_seed(seed: u64) -> Deeds {
    let mut random = Random::new(seed);
    let is_crowd = (seed + 1).is_multiple_of(CROWD_EVERY);
    let plan = if is_crowd { Plan::crowd(&mut random) } else { Plan::of(&mut random) };
    run(plan, random)
}

/// The run that a script makes, choice by choice; what happened in it.
pub fn of_script(script: &[u8]) -> Deeds {
    let mut random = Random::scripted(script);
    let plan = Plan::scripted(&mut random);
    run(plan, random)
}

fn run(plan: Plan, random: Random) -> Deeds {
    let mut world = World::new(plan, random);
    world.run();
    world.deeds()
}
