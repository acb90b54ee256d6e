//! Faults of the system, one at a time: what `accept`, a read or a write may fail with, and bytes that come one by one. Runs
//! of chance come upon the same ones, among everything else.

use crate::clients::Habits;
use crate::network::{REFUSALS, SHORTAGES};
use crate::plan::Plan;
use crate::random::Random;
use crate::world::World;
use fanwire::limits;

#[test]
fn a_shortage_in_accept_keeps_those_out_who_come_and_nobody_else_and_only_as_long_as_it_lasts() {
    for error in SHORTAGES {
        let mut world = World::new(Plan::calm(1), Random::new(1));
        let first = world.join(Habits::quiet());
        world.settle();
        world.sockets(0).accept_error = Some(error);
        let next = world.join(Habits::quiet());
        world.say(first, 100);
        for _ in 0..3 {
            // A loop that went on trying would be found out as a spin.
            world.settle();
            world.pass_time(u64::from(limits::ACCEPT_RETRY_MS));
        }
        assert!(world.clients[first].is_open() && !world.clients[next].is_in, "error {error}");
        assert!(world.totals().accept_pauses >= 3, "it tries again, error {error}");
        world.sockets(0).accept_error = None;
        world.pass_time(u64::from(limits::ACCEPT_RETRY_MS));
        world.settle();
        assert!(world.clients[next].is_open(), "error {error}");
        world.check_rest();
    }
}

#[test]
fn an_error_that_should_be_about_one_connection_and_never_ends_does_not_turn_the_loop() {
    // A security module that forbids accepting leaves every connection in the queue.
    for error in REFUSALS {
        let mut world = World::new(Plan::calm(1), Random::new(1));
        let first = world.join(Habits::quiet());
        world.settle();
        world.sockets(0).accept_error = Some(error);
        let next = world.join(Habits::quiet());
        world.settle();
        world.say(first, 100);
        world.settle();
        assert!(world.clients[first].is_open() && !world.clients[next].is_in, "error {error}");
        world.sockets(0).accept_error = None;
        world.pass_time(u64::from(limits::ACCEPT_RETRY_MS));
        world.settle();
        assert!(world.clients[next].is_open(), "error {error}");
    }
}

#[test]
fn one_byte_a_call_is_enough() {
    for shards in [1, 2] {
        let mut world = World::new(Plan::calm(shards), Random::new(1));
        for shard in 0..shards {
            world.sockets(shard).bytes_per_call_max = 1;
        }
        let clients: Vec<usize> =
            (0..4).map(|client| world.join_at(client % shards, Habits::quiet())).collect();
        world.settle();
        assert!(clients.iter().all(|&client| world.clients[client].is_open()));
        for &client in &clients {
            (0..3).for_each(|_| world.say(client, 200));
        }
        world.settle();
        world.check_rest();
        world.everyone_leaves();
    }
}

#[test]
fn a_clock_that_jumps_by_minutes_costs_nobody_its_connection_who_is_there() {
    for ping_interval_ms in [0, 800] {
        let mut plan = Plan::calm(2);
        plan.config.limits.ping_interval_ms = ping_interval_ms;
        let mut world = World::new(plan, Random::new(1));
        let alive: Vec<usize> = (0..6).map(|_| world.join(Habits::quiet())).collect();
        let dead = world.join(Habits::quiet());
        world.settle();
        world.clients[dead].habits.dies_after = Some(0);
        for _ in 0..3 {
            world.advance_clock(600_000);
            world.settle();
            assert!(alive.iter().all(|&client| world.clients[client].is_open()));
            assert_eq!(world.totals().idle_timeouts, 0, "who was not asked is not silent");
        }
        for &client in &alive {
            world.say(client, 100);
        }
        world.settle();
        // From here on time passes as ever, and who is dead is found out.
        for _ in 0..8 {
            (0..500).for_each(|_| world.pass_time(1));
            if ping_interval_ms == 0 {
                for &client in &alive {
                    world.say(client, 10);
                }
            }
        }
        assert_eq!(world.totals().idle_timeouts, 1);
        assert!(alive.iter().all(|&client| world.clients[client].is_open()));
    }
}

#[test]
fn a_whole_conversation_fits_a_clock_that_stands_still() {
    let mut world = World::new(Plan::calm(2), Random::new(1));
    let clients: Vec<usize> = (0..6).map(|_| world.join(Habits::quiet())).collect();
    for _ in 0..20 {
        for &client in &clients {
            world.say(client, 300);
        }
        world.settle();
    }
    world.check_rest();
    world.order_drain();
    world.finish_drain();
}
