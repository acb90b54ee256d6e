//! Runs of which not everything is left to chance: what it takes many clients, many bytes or one moment to come upon.

use crate::clients::{Habits, Reads};
use crate::random::Random;
use crate::world::{Plan, World};
use fanwire::config::Config;
use fanwire::limits::{self, Limits};

#[test]
fn a_place_that_falls_free_while_the_door_is_crowded_is_taken_without_a_spin() {
    let mut plan = Plan::calm(1);
    plan.config.connections_max = 1;
    let mut world = World::new(plan, Random::new(1));
    let first = world.join(Habits::quiet());
    world.settle();
    for _ in 0..limits::REFUSALS_MAX {
        world.join(Habits { dies_after: Some(0), ..Habits::quiet() });
    }
    let waiting = world.join(Habits::quiet());
    world.settle();
    assert!(world.clients[first].is_open() && !world.clients[waiting].is_in);
    world.clients[first].leave(0);
    world.settle();
    assert!(world.clients[waiting].is_open(), "there is room for it");
}

#[test]
fn what_was_held_when_a_drain_begins_is_either_delivered_or_refused() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut world = World::new(Plan::calm(3), random.fork());
        let home = world.home();
        world.join_at(home, Habits::quiet());
        world.settle();
        let away = (home + random.within(1..=2)) % 3;
        let hasty = world.join_at(away, Habits { is_hasty: true, ..Habits::quiet() });
        world.say(hasty, 100);
        world.act_fully(hasty);
        // The request is read, and its channel's home is asked.
        while world.turn(away) {}
        for _ in 0..random.below(4) {
            world.turn(random.below(3));
        }
        world.order_drain();
        for _ in 0..random.below(20) {
            world.turn(random.below(3));
        }
        world.finish_drain();
    }
}

#[test]
fn a_shard_that_ends_lets_the_others_read() {
    // So many subscribers that one turn does not write them all, none of which says goodbye.
    let mut world = World::new(Plan::calm(2), Random::new(1));
    let home = world.home();
    let publisher = world.join_at(home, Habits::quiet());
    let audience = 3 * limits::WRITES_PER_TURN_MAX;
    let dying = Habits { dies_after: Some(1_000), ..Habits::quiet() };
    (0..audience).for_each(|_| _ = world.join_at(home, dying.clone()));
    world.settle();
    (0..30).for_each(|_| world.say(publisher, 1_000));
    world.act_fully(publisher);
    world.order_drain();
    world.finish_drain();
}

#[test]
fn what_one_turn_takes_in_is_bounded_however_many_publishers_there_are() {
    let mut plan = Plan::calm(1);
    plan.capacities = &[1 << 18];
    let outbox_bytes_max = plan.config.limits.outbox_bytes_max;
    let mut world = World::new(plan, Random::new(1));
    let listener = world.join(Habits::quiet());
    let publishers: Vec<usize> = (0..20).map(|_| world.join(Habits::quiet())).collect();
    world.settle();
    for &publisher in &publishers {
        (0..200).for_each(|_| world.say(publisher, 1_000));
        world.act_fully(publisher);
    }
    // What is open in one turn, and what one socket can add to it in a single read.
    let bytes_max = (outbox_bytes_max + limits::SCRATCH_BYTES + limits::CHUNK_BYTES_MAX) as u64;
    while world.turn(0) {
        assert!(world.bytes_retained() <= bytes_max, "{} of {bytes_max} bytes", world.bytes_retained());
        world.act_fully(listener);
        for &publisher in &publishers {
            world.act_fully(publisher);
        }
    }
    world.settle();
    world.check_rest();
}

#[test]
fn a_stalled_home_stops_all_reading_at_the_mark_and_nothing_is_lost() {
    let mut plan = Plan::calm(3);
    plan.capacities = &[4 << 20];
    plan.config = Config {
        limits: Limits {
            message_bytes_max: 1 << 20,
            outbox_bytes_max: 16 << 20,
            idle_timeout_ms: 0,
            ..plan.config.limits.clone()
        },
        ..plan.config
    };
    let mut world = World::new(plan, Random::new(1));
    let home = world.home();
    let publishers: Vec<usize> = (0..3).map(|shard| world.join_at(shard, Habits::quiet())).collect();
    world.settle();
    let others: Vec<usize> = (0..3).filter(|shard| *shard != home).collect();
    for round in 0..20 {
        for &shard in &others {
            world.say(publishers[shard], 1_000_000);
            world.act_fully(publishers[shard]);
            while world.turn(shard) {}
        }
        assert!(round < 19 || !world.may_read(), "the home's mailbox is too full");
    }
    let bytes_read = world.totals().bytes_read;
    assert!(bytes_read < (limits::MAILBOX_BYTES_MARK + 2 * limits::SCRATCH_BYTES) as u64 * 2);
    world.settle();
    world.check_rest();
    assert!(world.totals().bytes_read > bytes_read, "who stopped reading went on by itself");
}

#[test]
fn only_who_is_blocked_can_be_slow() {
    let mut world = World::new(Plan::calm(1), Random::new(1));
    let publisher = world.join(Habits::quiet());
    let blocked = world.join(Habits { reads: Reads::LittleUntil(0), dies_after: None, ..Habits::quiet() });
    let audience = 2 * limits::WRITES_PER_TURN_MAX;
    let audience: Vec<usize> = (0..audience).map(|_| world.join(Habits::quiet())).collect();
    world.settle();
    for _ in 0..200 {
        world.say(publisher, 1_000);
        world.act_fully(publisher);
        world.turn(0);
        for &client in &audience {
            world.act_fully(client);
        }
    }
    world.settle();
    assert!(audience.iter().all(|&client| world.clients[client].is_open()), "they had only to wait for us");
    assert_eq!(world.totals().slow_consumers_closed, 1);
    assert!(!world.clients[blocked].is_gone, "it has not read its Close frame");
    world.check_rest();
}
