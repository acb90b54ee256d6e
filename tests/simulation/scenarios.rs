//! Runs of which not everything is left to chance: what it takes many clients, many bytes or one moment to come upon.
//! (The file is long because each is a story of its own.)

use crate::clients::{Attack, Habits, Pace, Reads};
use crate::deflate::Deflates;
use crate::laws::Room;
use crate::plan::Plan;
use crate::random::Random;
use crate::world::World;
use fanwire::config::{Rate, SlowConsumerPolicy};
use fanwire::limits::{self, Limits};
use fanwire::metrics::Totals;
use fanwire::protocol::{CloseCode, Closure, DeflateOffer, Status};

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
fn a_silent_client_is_pinged_once_an_interval_and_closed_once_and_let_go_once_to_the_millisecond() {
    for clock_ms in [0, u64::from(u32::MAX) - 1_700] {
        let mut world = World::new(Plan { clock_ms, ..Plan::calm(1) }, Random::new(1));
        let silent = world.join(Habits::quiet());
        world.settle();
        world.clients[silent].habits.dies_after = Some(0);
        let mut written_ms = Vec::new();
        let mut gone_ms = Vec::new();
        for now_ms in 1..=8_000 {
            let before = world.totals();
            world.advance_clock(1);
            while world.turn(0) {}
            let after = world.totals();
            written_ms.extend((after.bytes_written > before.bytes_written).then_some(now_ms));
            gone_ms.extend((after.connections_open < before.connections_open).then_some(now_ms));
        }
        // The calm plan's limits: a Ping every 800 ms, idle after 3,000, 600 ms to close.
        assert_eq!(written_ms, [800, 1_600, 2_400, 3_000]);
        assert_eq!(gone_ms, [3_600]);
        let deeds = world.deeds();
        assert_eq!(
            (deeds["pings_seen"], deeds["idle_timeouts_seen"], deeds["close_timeouts_seen"]),
            (3, 1, 1)
        );
    }
}

#[test]
fn what_was_held_when_a_drain_begins_is_either_delivered_or_refused() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut world = World::new(Plan::calm(3), random.fork());
        let home = world.home_of(0);
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
fn who_stands_in_the_queue_when_a_drain_begins_is_answered() {
    let mut world = World::new(Plan::calm(1), Random::new(1));
    let queue = 3 * limits::ACCEPTS_PER_TURN_MAX;
    let queue: Vec<usize> = (0..queue).map(|_| world.join(Habits::quiet())).collect();
    world.order_drain();
    world.finish_drain();
    let unavailable = |client: usize| {
        world.clients[client].closure == Some(Closure::Responded(Status::SERVICE_UNAVAILABLE))
    };
    assert!(queue.iter().all(|&client| unavailable(client)));
}

#[test]
fn who_stands_in_the_queue_of_a_socket_that_another_process_has_too_is_left_to_that() {
    let mut world = World::new(Plan::calm(1), Random::new(1));
    world.has_successor();
    let served = world.join(Habits::quiet());
    world.settle();
    (0..3 * limits::ACCEPTS_PER_TURN_MAX).for_each(|_| _ = world.join(Habits::quiet()));
    world.order_drain();
    world.finish_drain();
    // One turn's worth was taken before the order was seen.
    assert_eq!(world.totals().connections_accepted, 1 + limits::ACCEPTS_PER_TURN_MAX as u64);
    assert_eq!(world.clients[served].was_told().map(|(code, _)| code), Some(CloseCode::GOING_AWAY));
    assert_eq!(
        world.clients.iter().filter(|client| client.closure.is_none()).count(),
        2 * limits::ACCEPTS_PER_TURN_MAX
    );
}

#[test]
fn goodbyes_are_spread_over_shards_and_time_and_who_is_left_talks_on() {
    let plan = Plan { spread_ms: 1_000, ..Plan::calm(2) };
    let mut world = World::new(plan, Random::new(1));
    let crowd: Vec<usize> = (0..100).map(|number| world.join_at(number % 2, Habits::quiet())).collect();
    world.settle();
    world.order_drain();
    let mut told = vec![0];
    let mut heard = 0;
    for _ in 0..10 {
        world.settle();
        let open = crowd.iter().copied().find(|&client| world.clients[client].is_open());
        if let Some(speaker) = open {
            world.say(speaker, 20);
            world.settle();
            heard = heard.max(world.laws.heard(speaker));
        }
        for _ in 0..100 {
            world.pass_time(1);
            world.settle();
        }
        told.push(crowd.iter().filter(|&&client| world.clients[client].was_told().is_some()).count());
    }
    let tenths: Vec<usize> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(tenths.iter().all(|&tenth| (8..=12).contains(&tenth)), "{tenths:?}");
    assert_eq!(heard, 10, "until the end somebody speaks, and hears it");
    world.finish_drain();
    assert_eq!(world.totals().goodbyes_said, 100);
}

#[test]
fn a_drain_without_patience_still_tells_everyone_who_only_waits_for_us() {
    let mut plan = Plan::calm(2);
    plan.config.limits.close_timeout_ms = 0;
    let mut world = World::new(plan, Random::new(1));
    let home = world.home_of(0);
    let publisher = world.join_at(home, Habits::quiet());
    let audience = 3 * limits::WRITES_PER_TURN_MAX;
    let audience: Vec<usize> = (0..audience).map(|_| world.join_at(home, Habits::quiet())).collect();
    world.settle();
    (0..8).for_each(|_| world.say(publisher, 1_000));
    world.act_fully(publisher);
    world.turn(home);
    world.order_drain();
    world.finish_drain();
    let told = |client: usize| world.clients[client].was_told().map(|(code, _)| code);
    assert!(audience.iter().all(|&client| told(client) == Some(CloseCode::GOING_AWAY)));
}

#[test]
fn who_takes_the_slot_of_a_publisher_that_is_gone_hears_what_that_one_said() {
    let mut world = World::new(Plan::calm(2), Random::new(1));
    let (home, away) = (world.home_of(0), 1 - world.home_of(0));
    let listener = world.join_at(home, Habits::quiet());
    let other = world.join_at(away, Habits::quiet());
    let gone = world.join_at(away, Habits::quiet());
    world.settle();
    let speak = |world: &mut World, client: usize| {
        world.say(client, 100);
        world.act_fully(client);
        while world.turn(away) {}
    };
    // The home is stalled: all this is on its way when the next one comes.
    speak(&mut world, other);
    speak(&mut world, gone);
    world.break_off(gone);
    while world.turn(away) {}
    let next = world.join_at(away, Habits { without_own: true, ..Habits::quiet() });
    while world.turn(away) {}
    world.act_fully(next);
    while world.turn(away) {}
    world.act_fully(next);
    assert!(world.clients[next].is_in, "the channel is open on its shard");
    speak(&mut world, other);
    world.settle();
    world.check_rest();
    assert!(world.clients[listener].is_open());
}

#[test]
fn who_reads_its_answers_late_is_read_and_answered_to_the_end() {
    // Where a socket holds more than the mark, all that is left to be written may go at once, and then no later edge
    // tells of what is left to be read.
    let sockets: [(&[usize], usize); 2] = [(&[64 << 10], 175), (&[128 << 10], 290)];
    for (capacities, publications) in sockets {
        let plan = Plan { capacities, ..Plan::calm(1) };
        let mut world = World::new(plan, Random::new(1));
        let room = Room::Echo(0);
        let late = world.join(Habits { room, ..Habits::quiet() });
        world.settle();
        world.clients[late].habits.reads = Reads::LittleUntil(0);
        // As much as fits both directions of its socket and the mark.
        (0..publications).for_each(|_| world.say(late, 1_000));
        world.settle();
        assert!(world.clients[late].has_said_all());
        assert!(
            world.totals().bytes_read < world.laws.bytes_sent(late),
            "it is not read while it does not read"
        );
        world.clients[late].habits.reads = Reads::All;
        world.settle();
        world.check_rest();
    }
}

#[test]
fn who_takes_some_of_its_answers_and_then_nothing_is_called_idle() {
    let mut world = World::new(Plan { capacities: &[64 << 10], ..Plan::calm(1) }, Random::new(1));
    let silent = world.join(Habits { room: Room::Echo(0), ..Habits::quiet() });
    world.settle();
    world.clients[silent].habits.reads = Reads::LittleUntil(0);
    (0..175).for_each(|_| world.say(silent, 1_000));
    world.settle();
    assert!(world.totals().bytes_read < world.laws.bytes_sent(silent), "more than the mark waits for it");
    // So much that the rest is less than the mark, and that is the last of it.
    let wire = world.clients[silent].wire;
    world.sockets(0).wire(wire).receive(40 << 10);
    world.clients[silent].habits.dies_after = Some(0);
    world.settle();
    world.everyone_leaves();
    assert_eq!(world.totals().idle_timeouts, 1);
}

#[test]
fn one_turn_takes_in_so_little_that_nobody_becomes_slow_by_it_however_many_publish() {
    let mut plan = Plan::calm(1);
    plan.capacities = &[64 << 10];
    plan.config.limits.outbox_bytes_max = 64 << 10;
    let mut world = World::new(plan, Random::new(1));
    let publishers: Vec<usize> = (0..20).map(|_| world.join(Habits::quiet())).collect();
    world.settle();
    for &publisher in &publishers {
        (0..60).for_each(|_| world.say(publisher, 1_000));
        world.act_fully(publisher);
    }
    let bytes_max = (32 << 10) + 20 * 1024 + limits::CHUNK_BYTES_MAX as u64;
    while world.turn(0) {
        assert!(world.bytes_retained() <= bytes_max, "{} of {bytes_max} bytes", world.bytes_retained());
        for &publisher in &publishers {
            world.act_fully(publisher);
        }
    }
    assert_eq!(world.totals().slow_consumers_closed, 0, "everyone takes what one turn brings");
    world.settle();
    world.check_rest();
}

#[test]
fn a_turn_writes_a_large_message_to_fewer_than_a_small_one() {
    let mut plan = Plan::calm(1);
    plan.capacities = &[1 << 20];
    plan.config.limits =
        Limits { message_bytes_max: 256 << 10, outbox_bytes_max: 1 << 20, ..plan.config.limits.clone() };
    let mut world = World::new(plan, Random::new(1));
    let publisher = world.join(Habits::quiet());
    (1..limits::WRITES_PER_TURN_MAX).for_each(|_| _ = world.join(Habits::quiet()));
    world.settle();
    world.say(publisher, 200_000);
    world.act_fully(publisher);
    let bytes_max = (limits::WRITES_PER_LAP_TURN_MAX * limits::WRITE_BYTES_PER_WRITE + 200_010) as u64;
    let mut before = world.totals().bytes_written;
    while world.turn(0) {
        let after = world.totals().bytes_written;
        assert!(after - before <= bytes_max, "a turn wrote {} of {bytes_max} bytes", after - before);
        before = after;
    }
    world.settle();
    world.check_rest();
    assert_eq!(world.totals().deliveries_queued, limits::WRITES_PER_TURN_MAX as u64);
}

#[test]
fn a_stalled_home_stops_all_reading_at_the_mark_and_nothing_is_lost() {
    let mut plan = Plan::calm(3);
    plan.capacities = &[2 << 20];
    plan.config.limits =
        Limits { message_bytes_max: 1 << 20, outbox_bytes_max: 16 << 20, ..plan.config.limits.clone() };
    let mut world = World::new(plan, Random::new(1));
    let home = world.home_of(0);
    let (away, aside) = ((home + 1) % 3, (home + 2) % 3);
    let listener = world.join_at(home, Habits::quiet());
    let publisher = world.join_at(away, Habits::quiet());
    let room = Room::Channel(world.channel_of(aside));
    let bystander = world.join_at(aside, Habits { room, ..Habits::quiet() });
    world.settle();
    for _ in 0..12 {
        world.say(publisher, 1_000_000);
        world.act_fully(publisher);
        while world.turn(away) {}
    }
    assert!(!world.may_read(), "the home's mailbox is too full");
    let bytes_read = world.totals().bytes_read;
    assert!(bytes_read < (limits::MAILBOX_BYTES_MARK + limits::READ_BYTES_PER_TURN_MAX + (1 << 20)) as u64);
    // Somebody who has nothing to do with it is not read either, and is not forgotten.
    world.say(bystander, 100);
    world.act_fully(bystander);
    while world.turn(aside) {}
    world.say(listener, 100);
    world.act_fully(listener);
    // However long it takes: that they are not read is not their silence.
    for _ in 0..8 {
        world.advance_clock(500);
        while world.turn(aside) {}
    }
    assert_eq!(world.totals().bytes_read, bytes_read, "nobody is read");
    world.settle();
    world.check_rest();
    assert!(world.clients[bystander].is_open(), "it has spoken");
    assert!(world.clients[listener].is_open() && world.totals().publications == 14);
}

#[test]
fn a_stalled_listener_stops_all_reading_at_the_mark_and_nothing_is_lost() {
    let mut plan = Plan::calm(2);
    plan.mailbox_bytes_mark = 20_000;
    let mut world = World::new(plan, Random::new(1));
    let home = world.home_of(0);
    let publisher = world.join_at(home, Habits::quiet());
    let listener = world.join_at(1 - home, Habits::quiet());
    world.settle();
    for _ in 0..40 {
        world.say(publisher, 1_000);
        world.act_fully(publisher);
        while world.turn(home) {}
    }
    assert!(!world.may_read(), "the listener's mailbox is too full");
    assert!((15_000..22_000).contains(&world.totals().bytes_read), "segments are what fills it");
    world.settle();
    world.check_rest();
    assert!(world.clients[listener].is_open() && world.totals().publications == 40);
}

#[test]
fn a_fan_out_that_is_behind_stops_all_reading_and_nobody_is_slow_who_only_waits_for_us() {
    let mut plan = Plan::calm(2);
    plan.capacities = &[8 << 10];
    plan.config.limits.outbox_bytes_max = 2 << 10;
    let mut world = World::new(plan, Random::new(1));
    let home = world.home_of(0);
    let publisher = world.join_at(home, Habits::quiet());
    let blocked = world.join_at(home, Habits { reads: Reads::LittleUntil(0), ..Habits::quiet() });
    let audience = 3 * limits::WRITES_PER_TURN_MAX;
    let audience: Vec<usize> = (0..audience).map(|_| world.join_at(home, Habits::quiet())).collect();
    let room = Room::Channel(world.channel_of(1 - home));
    let bystander = world.join_at(1 - home, Habits { room, ..Habits::quiet() });
    world.settle();
    let mut was_behind = false;
    for _ in 0..16 {
        // As much as its socket holds: several turns' worth for the audience.
        (0..3).for_each(|_| world.say(publisher, 1_000));
        world.act_fully(publisher);
        world.turn(home);
        if !world.may_read() && !was_behind {
            was_behind = true;
            world.say(bystander, 100);
            world.act_fully(bystander);
            while world.turn(1 - home) {}
        }
        for &client in &audience {
            world.act_fully(client);
        }
    }
    assert!(was_behind, "the fan-out takes several turns");
    world.settle();
    world.check_rest();
    assert!(audience.iter().all(|&client| world.clients[client].is_open()), "they had only to wait for us");
    assert_eq!(world.totals().slow_consumers_closed, 1);
    assert!(!world.clients[blocked].is_gone, "it has not read its Close frame");
}

#[test]
fn channels_share_a_turns_writes_whoever_was_first() {
    let mut world = World::new(Plan { channels: 2, ..Plan::calm(1) }, Random::new(1));
    let rooms = [Room::Channel(0), Room::Channel(1)];
    let join = |world: &mut World, room| world.join(Habits { room, ..Habits::quiet() });
    let publishers = rooms.map(|room| join(&mut world, room));
    let audiences = rooms
        .map(|room| (0..limits::WRITES_PER_TURN_MAX).map(|_| join(&mut world, room)).collect::<Vec<_>>());
    world.settle();
    for publisher in publishers {
        world.say(publisher, 100);
        world.act_fully(publisher);
    }
    world.turn(0);
    let heard = audiences.map(|audience| {
        let heard = audience.iter().map(|&client| {
            world.act_fully(client);
            world.laws.heard(client)
        });
        heard.sum::<usize>()
    });
    assert!(heard.iter().all(|heard| *heard >= limits::WRITES_PER_QUANTUM), "{heard:?}");
    assert!(heard.iter().sum::<usize>() <= limits::WRITES_PER_LAP_TURN_MAX, "{heard:?}");
    world.settle();
    world.check_rest();
}

/// Compresses with a large window and refers to nothing.
fn deflating(plan: &Plan) -> Habits {
    let server_bytes_min = plan.config.deflate.bytes_min;
    let offer = DeflateOffer { client_no_context_takeover: true, ..DeflateOffer::PLAIN };
    let deflates = Deflates { offer, level: 6, trusts: true, server_bytes_min };
    Habits { deflates: Some(deflates), ..Habits::quiet() }
}

#[test]
fn what_is_small_and_comes_to_much_is_taken_in_over_as_many_turns_as_it_takes() {
    let mut plan = Plan::calm(1);
    plan.config.limits.outbox_bytes_max = 8 << 10;
    let mut world = World::new(plan.clone(), Random::new(1));
    let listener = world.join(Habits::quiet());
    let publishers: Vec<usize> = (0..3).map(|_| world.join(deflating(&plan))).collect();
    world.settle();
    for &publisher in &publishers {
        (0..20).for_each(|_| world.say(publisher, 1_000));
        world.act_fully(publisher);
    }
    let (mut before, mut turns) = (world.totals().publications, 0);
    while world.turn(0) {
        let after = world.totals().publications;
        // Half of the outbox limit, and one message that begins within it.
        assert!((after - before) * 1_000 <= (4 << 10) + 1_000, "a turn took in {} messages", after - before);
        turns += u64::from(world.held_input_bytes(0) > 0);
        before = after;
        for &client in publishers.iter().chain([&listener]) {
            world.act_fully(client);
        }
    }
    assert!(turns >= 5, "input was held after {turns} turns");
    world.settle();
    world.check_rest();
    assert_eq!((world.totals().publications, world.totals().slow_consumers_closed), (60, 0));
}

#[test]
fn what_comes_to_much_behind_a_request_is_heard_though_nothing_follows_it() {
    let mut plan = Plan::calm(2);
    plan.config.limits.outbox_bytes_max = 16 << 10;
    let mut world = World::new(plan.clone(), Random::new(1));
    let away = 1 - world.home_of(0);
    let hasty = world.join_at(away, deflating(&plan));
    (0..20).for_each(|_| world.say(hasty, 1_000));
    assert!(world.turn(away), "it is accepted");
    world.act_fully(hasty);
    assert!(world.laws.bytes_sent(hasty) < 8 << 10, "one read has all of it");
    world.settle();
    world.check_rest();
    assert_eq!(world.totals().publications, 20);
}

#[test]
fn what_stands_behind_requests_that_are_accepted_together_is_taken_in_over_as_many_turns_as_it_takes() {
    let mut plan = Plan::calm(2);
    plan.config.limits.outbox_bytes_max = 16 << 10;
    for habits in [deflating(&plan), Habits::quiet()] {
        let mut world = World::new(plan.clone(), Random::new(1));
        let away = 1 - world.home_of(0);
        let hasty: Vec<usize> = (0..4).map(|_| world.join_at(away, habits.clone())).collect();
        assert!(world.turn(away), "they are accepted");
        for &client in &hasty {
            (0..5).for_each(|_| world.say(client, 1_000));
            world.act_fully(client);
        }
        // All requests are read, and wait for the word of one home: what a turn may look at is checked after each.
        while world.turn(away) {}
        world.settle();
        world.check_rest();
        assert_eq!((world.totals().publications, world.totals().slow_consumers_closed), (20, 0));
    }
}

#[test]
fn what_stands_behind_the_requests_that_a_proxy_passes_on_is_taken_in_over_as_many_turns_as_it_takes() {
    let mut plan = Plan { sites: 3, ..Plan::calm(1) };
    assert!(plan.are_proxies());
    plan.config.limits.outbox_bytes_max = 16 << 10;
    let mut world = World::new(plan.clone(), Random::new(1));
    let hasty: Vec<usize> = (0..4).map(|_| world.join(deflating(&plan))).collect();
    assert!(world.turn(0), "they are accepted");
    for &client in &hasty {
        (0..5).for_each(|_| world.say(client, 1_000));
        world.act_fully(client);
    }
    // For whom they speak is known in the turn that reads their requests.
    world.settle();
    world.check_rest();
    assert_eq!((world.totals().publications, world.totals().slow_consumers_closed), (20, 0));
}

#[test]
fn whose_input_is_held_when_a_drain_begins_says_goodbye_in_good_order() {
    let mut plan = Plan::calm(1);
    plan.config.limits.outbox_bytes_max = 8 << 10;
    let mut world = World::new(plan.clone(), Random::new(1));
    let publisher = world.join(deflating(&plan));
    world.settle();
    // One read has so many of them that two turns are not enough, and ends in the middle of a frame.
    (0..40).for_each(|_| world.say(publisher, 1_000));
    world.act_fully(publisher);
    world.turn(0);
    let said = world.totals().publications;
    assert!((1..10).contains(&said) && world.held_input_bytes(0) > 0, "{said} of 40 were taken in");
    world.order_drain();
    world.finish_drain();
    let told = world.clients[publisher].was_told().map(|(code, _)| code);
    assert_eq!(told, Some(CloseCode::GOING_AWAY));
    assert!(world.totals().publications < 20, "what is held when a drain begins is not taken in");
    assert_eq!(world.totals().closed_cleanly, 1, "its Close frame is read where it stands");
}

/// A calm world in which each client may send so many messages a second, so many at once.
fn with_message_rate(per_second: u64, burst: u64) -> Plan {
    let mut plan = Plan::calm(1);
    plan.config.rates.messages = Some(Rate { per_second, burst });
    plan
}

/// The milliseconds in which something was published, from now on and up to `until_ms`.
fn published_ms(world: &mut World, until_ms: u64) -> Vec<u64> {
    let mut published_ms = Vec::new();
    for now_ms in 0..=until_ms {
        let before = world.totals().publications;
        world.settle();
        let count = world.totals().publications - before;
        published_ms.extend((0..count).map(|_| now_ms));
        world.advance_clock(1);
    }
    published_ms
}

#[test]
fn who_is_over_its_rate_is_heard_when_its_allowance_comes_to_it_to_the_millisecond() {
    for clock_ms in [0, u64::from(u32::MAX) - 300] {
        let mut world =
            World::new(Plan { clock_ms, channels: 2, ..with_message_rate(20, 3) }, Random::new(1));
        let flood = world.join(Habits::quiet());
        let other = world.join(Habits { room: Room::Channel(1), ..Habits::quiet() });
        world.settle();
        (0..12).for_each(|_| world.say(flood, 100));
        assert_eq!(published_ms(&mut world, 1_000), [0, 0, 0, 50, 100, 150, 200, 250, 300, 350, 400, 450]);
        assert!(world.totals().reads_paused_by_rate == 9, "a pause for each but the first three");
        world.say(other, 100);
        assert_eq!(published_ms(&mut world, 100), [0], "another client has its own allowance");
        world.check_rest();
    }
}

#[test]
fn many_a_second_come_as_many_at_a_time_as_a_pause_allows() {
    let mut world = World::new(with_message_rate(1_000, 50), Random::new(1));
    let flood = world.join(Habits::quiet());
    world.settle();
    (0..200).for_each(|_| world.say(flood, 20));
    let expected: Vec<u64> = (0..200).map(|number| number / 50 * 50).collect();
    assert_eq!(published_ms(&mut world, 300), expected);
    world.check_rest();
}

#[test]
fn who_stays_within_its_rate_never_waits() {
    // Just as much as it may: three at once, and then one as soon as it may.
    let mut world = World::new(with_message_rate(20, 3), Random::new(1));
    let client = world.join(Habits::quiet());
    world.settle();
    (0..3).for_each(|_| world.say(client, 100));
    assert_eq!(published_ms(&mut world, 49), [0, 0, 0]);
    for _ in 0..100 {
        world.say(client, 100);
        assert_eq!(published_ms(&mut world, 49), [0]);
    }
    assert_eq!(world.totals().reads_paused_by_rate, 0);
}

#[test]
fn of_who_is_over_its_rate_one_short_read_is_held_and_the_rest_is_for_tcp() {
    let mut plan = with_message_rate(1, 1);
    plan.config.limits.outbox_bytes_max = 1 << 20;
    let mut world = World::new(plan, Random::new(1));
    let flood = world.join(Habits::quiet());
    world.settle();
    let before = world.totals().bytes_read;
    (0..60).for_each(|_| world.say(flood, 1_000));
    world.settle();
    assert_eq!(world.totals().bytes_read - before, limits::RATED_READ_BYTES_MAX as u64);
    let held = limits::RATED_READ_BYTES_MAX - 1_008;
    assert_eq!((world.totals().publications, world.held_input_bytes(0)), (1, held));
}

#[test]
fn who_is_over_its_rate_is_neither_pinged_nor_called_idle_and_loses_nothing() {
    // The calm plan's limits: a Ping after 800 ms without a byte, idle after 3,000.
    let mut world = World::new(with_message_rate(1, 1), Random::new(1));
    let flood = world.join(Habits::quiet());
    world.settle();
    (0..10).for_each(|_| world.say(flood, 100));
    let expected: Vec<u64> = (0..10).map(|number| number * 1_000).collect();
    assert_eq!(published_ms(&mut world, 9_100), expected);
    assert!(world.clients[flood].is_open());
    assert_eq!(world.deeds().get("pings_seen"), None);
    world.check_rest();
}

#[test]
fn who_breaks_off_while_it_is_over_its_rate_is_gone_in_time_and_its_rest_with_it() {
    let break_off: [fn(&mut World, usize); 2] = [World::break_off, World::hang_up];
    for break_off in break_off {
        let mut world = World::new(with_message_rate(4, 1), Random::new(1));
        // Nothing is written to it, which would find a reset at once.
        let flood = world.join(Habits { without_own: true, ..Habits::quiet() });
        world.settle();
        (0..100).for_each(|_| world.say(flood, 100));
        world.act_fully(flood);
        world.settle();
        break_off(&mut world, flood);
        let heard_ms = published_ms(&mut world, 2_000);
        assert_eq!(world.totals().connections_open, 0);
        // 600 ms for a closing handshake: from the pause that finds its end, at 250, to the first that begins later.
        assert_eq!(heard_ms, [250, 500, 750, 1_000], "nothing that comes in that time is lost");
        assert_eq!(world.totals().publications, 5);
        assert_eq!(world.bytes_retained(), 0);
    }
}

#[test]
fn a_drain_does_not_wait_for_allowances() {
    let mut world = World::new(with_message_rate(1, 1), Random::new(1));
    let flood = world.join(Habits::quiet());
    world.settle();
    (0..100).for_each(|_| world.say(flood, 100));
    world.settle();
    assert!(world.held_input_bytes(0) > 0, "it waits");
    let began_ms = world.clock_ms();
    world.order_drain();
    world.finish_drain();
    assert_eq!(world.clients[flood].was_told().map(|(code, _)| code), Some(CloseCode::GOING_AWAY));
    assert_eq!(world.clock_ms(), began_ms, "no time has to pass");
}

#[test]
fn a_flood_of_pings_counts_by_its_bytes() {
    let mut plan = Plan::calm(1);
    plan.config.rates.bytes = Some(Rate { per_second: 1_000, burst: limits::BYTE_BURST_MIN });
    let mut world = World::new(plan, Random::new(1));
    let flood = world.join(Habits { attack: Some(Attack::PingFlood), ..Habits::quiet() });
    world.settle();
    let began_ms = world.clock_ms();
    for _ in 0..20_000 {
        world.act(flood, Pace::Chance);
        while world.turn(0) {}
        world.advance_clock(1);
        let passed_ms = world.clock_ms() - began_ms;
        assert!(world.totals().bytes_read <= limits::BYTE_BURST_MIN + passed_ms);
    }
    assert!(world.totals().bytes_read >= limits::BYTE_BURST_MIN + 20_000 - 100, "and no less than it may");
    assert!(world.clients[flood].is_open(), "nobody is closed for it");
}

/// A world with one channel of this policy for slow consumers, its witness, and sockets of so many bytes.
fn dropping(policy: SlowConsumerPolicy, capacities: &'static [usize]) -> World {
    let plan = Plan { capacities, ..Plan::calm(1) }.with_policies(vec![policy]);
    let mut world = World::new(plan, Random::new(1));
    world.send_witness(0);
    world
}

#[test]
fn who_never_reads_in_a_dropping_channel_holds_no_more_than_the_outbox_limit_however_much_is_said() {
    for policy in [SlowConsumerPolicy::DropOldest, SlowConsumerPolicy::Latest] {
        let mut world = dropping(policy, &[4 << 10]);
        let publisher = world.join(Habits::quiet());
        let stalled: Vec<usize> = (0..20)
            .map(|number| world.join(Habits { wants_gaps: number % 2 == 0, ..Habits::quiet() }))
            .collect();
        world.settle();
        for &client in &stalled {
            world.clients[client].habits.reads = Reads::LittleUntil(0);
        }
        // The limit is 16 KiB; one turn adds half of that, a chunk is kept whole, and each may be torn in a frame.
        let bytes_max = (16 + 8 + 64 + 20) << 10;
        for _ in 0..2_000 {
            world.say(publisher, 1_000);
            world.settle();
            assert!(world.bytes_retained() <= bytes_max, "{} of {bytes_max} bytes", world.bytes_retained());
        }
        let totals = world.totals();
        assert_eq!((totals.slow_consumers_closed, totals.connections_open), (0, 22));
        let dropped =
            totals.slow_consumer_messages_dropped_oldest + totals.slow_consumer_messages_dropped_for_latest;
        assert!((20 * 1_950..20 * 2_000).contains(&dropped), "all but what the limit holds: {dropped}");
        assert!(totals.slow_consumer_bytes_dropped > 1_000 * dropped);
    }
}

#[test]
fn who_reads_again_after_a_pause_hears_the_newest_and_of_exactly_what_it_lost_time_and_again() {
    for policy in [SlowConsumerPolicy::DropOldest, SlowConsumerPolicy::Latest] {
        let mut world = dropping(policy, &[3_000, 4_096]);
        let publisher = world.join(Habits::quiet());
        let pausing: Vec<usize> = (0..4)
            .map(|number| {
                let (without_own, wants_gaps) = (number % 2 == 1, number < 3);
                world.join(Habits { without_own, wants_gaps, ..Habits::quiet() })
            })
            .collect();
        world.settle();
        for round in 0..30 {
            let read = |world: &mut World, reads| {
                for &client in &pausing {
                    world.clients[client].habits.reads = reads;
                }
            };
            read(&mut world, Reads::LittleUntil(0));
            for number in 0..40 {
                world.say(publisher, 100 + 22 * number);
                if number % 7 == round % 7 {
                    world.say(pausing[1], 300);
                }
                world.settle();
            }
            read(&mut world, Reads::All);
            world.settle();
            world.check_rest();
        }
        assert!(world.laws.gaps_announced >= 3 * 30, "{}", world.laws.gaps_announced);
        assert!(pausing.iter().all(|&client| world.clients[client].is_open()));
        assert!(pausing.iter().all(|&client| world.laws.heard(client) < 30 * 40));
        world.everyone_leaves();
    }
}

/// So many stop reading at the same time, while somebody says something forty times: the most that `count` grew by in one turn.
fn most_in_a_turn(world: &mut World, stalled: usize, count: fn(&Totals) -> u64) -> u64 {
    let publisher = world.join(Habits::quiet());
    let stalled: Vec<usize> = (0..stalled).map(|_| world.join(Habits::quiet())).collect();
    world.settle();
    for client in stalled {
        world.clients[client].habits.reads = Reads::LittleUntil(0);
    }
    let mut most = 0;
    for _ in 0..40 {
        world.say(publisher, 1_000);
        world.act_fully(publisher);
        let mut before = count(&world.totals());
        while world.turn(0) {
            let after = count(&world.totals());
            most = most.max(after - before);
            before = after;
        }
        world.act_fully(publisher);
    }
    most
}

#[test]
fn many_who_stopped_reading_at_the_same_time_jump_over_several_turns() {
    let mut world = dropping(SlowConsumerPolicy::DropOldest, &[4 << 10]);
    let jumps_per_turn = limits::VISITS_PER_TURN_MAX / limits::VISITS_PER_JUMP;
    let stalled = jumps_per_turn + 100;
    let most = most_in_a_turn(&mut world, stalled, |totals| totals.slow_consumer_jumps);
    let jumps_per_turn = jumps_per_turn as u64;
    assert!(most <= jumps_per_turn && most > jumps_per_turn / 2, "{most} jumps in a turn");
    world.settle();
    let jumps = world.totals().slow_consumer_jumps;
    assert!(jumps >= 2 * stalled as u64, "everyone has jumped, and more than once: {jumps}");
}

#[test]
fn many_who_stopped_reading_at_the_same_time_are_closed_over_several_turns() {
    let mut world = World::new(Plan { capacities: &[4 << 10], ..Plan::calm(1) }, Random::new(1));
    let closed_per_turn = limits::VISITS_PER_TURN_MAX / limits::VISITS_PER_JUMP;
    let stalled = closed_per_turn + 100;
    let most = most_in_a_turn(&mut world, stalled, |totals| totals.slow_consumers_closed);
    assert!(most <= closed_per_turn as u64, "{most} were closed in a turn");
    assert_eq!(world.totals().slow_consumers_closed, stalled as u64);
}

#[test]
fn behind_the_gap_latest_has_the_newest_alone_and_drop_oldest_seven_eighths_of_the_limit() {
    // Frames of 1,004 bytes, of which seven eighths of 16 KiB hold 14.
    for (policy, behind) in [(SlowConsumerPolicy::Latest, 1), (SlowConsumerPolicy::DropOldest, 14)] {
        let mut world = dropping(policy, &[5_000]);
        let publisher = world.join(Habits::quiet());
        let pausing = world.join(Habits { wants_gaps: true, ..Habits::quiet() });
        world.settle();
        for _ in 0..10 {
            world.clients[pausing].habits.reads = Reads::LittleUntil(0);
            let jumps = world.totals().slow_consumer_jumps;
            while world.totals().slow_consumer_jumps == jumps {
                world.say(publisher, 1_000);
                world.settle();
            }
            world.clients[pausing].habits.reads = Reads::All;
            world.settle();
            world.check_rest();
            assert_eq!(world.laws.heard_since_gap(pausing), behind, "{policy:?}");
        }
        assert_eq!(world.laws.gaps_announced, 10);
    }
}
