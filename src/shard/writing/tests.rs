//! Who is written when, and what a write counts for.

use super::*;
use crate::config::Config;
use crate::limits::{
    LOG_AHEAD_BYTES_MARK, VISITS_PER_JUMP, VISITS_PER_WRITE, WRITE_BYTES_PER_WRITE, WRITES_PER_LAP_TURN_MAX,
};
use crate::protocol::Opcode;
use crate::shard::trial::{self, NOW, client, flush, shard};

/// `key` says two bytes.
fn say_hi(shard: &mut Shard, key: ClientKey) {
    let mut frame = trial::frame(true, Opcode::Binary, b"hi");
    shard.receive(key, &mut frame, false, usize::MAX, NOW);
}

/// With something for each of them in every turn, so that their laps never end.
#[test]
fn who_reads_is_written_when_each_channel_has_had_a_go_however_many_of_them_do_not_read() {
    let visits = limits::VISITS_PER_TURN_MAX;
    let crowds_of: [&[usize]; 3] = [&[visits], &[visits + 1], &[visits / 4 + 100; 5]];
    for crowds_of in crowds_of {
        let mut shard = shard(Config::default());
        let crowds: Vec<Vec<ClientKey>> = (crowds_of.iter().enumerate())
            .map(|(crowd, of)| (0..*of).map(|_| client(&mut shard, &format!("/ws/{crowd}"))).collect())
            .collect();
        let [speaker, listener] = [(); 2].map(|()| client(&mut shard, "/ws/room"));
        let room = |key| if key == speaker || key == listener { usize::MAX } else { 0 };
        let publish = |shard: &mut Shard| {
            for crowd in &crowds {
                say_hi(shard, crowd[0]);
            }
        };
        publish(&mut shard);
        flush(&mut shard, room);
        while shard.has_work(false) {
            flush(&mut shard, room);
        }
        assert_eq!(shard.blocked, crowds_of.iter().sum::<usize>());
        let mut turns = 0;
        loop {
            publish(&mut shard);
            if turns == 0 {
                say_hi(&mut shard, speaker);
            }
            turns += 1;
            assert!(turns <= (crowds.len() + 1).div_ceil(4), "a go is a quarter of a turn");
            if flush(&mut shard, room).contains(&listener) {
                break;
            }
        }
        shard.check_invariants();
    }
}

#[test]
fn who_takes_so_many_of_its_answers_that_few_are_left_is_read_again_and_its_ping_is_answered() {
    let mut shard = shard(Config { echo: true, ..Config::default() });
    let key = client(&mut shard, "/echo");
    let message = trial::frame(true, Opcode::Binary, &vec![0; limits::OWN_BYTES_MARK + 1_000]);
    let mut input = [message, trial::frame(true, Opcode::Ping, b"")].concat();
    shard.receive(key, &mut input, true, usize::MAX, NOW);
    flush(&mut shard, |_| 500);
    assert_eq!(shard.next_to_read(), None, "too many are left");
    shard.unblock(key);
    flush(&mut shard, |_| 1_000);
    assert_eq!(shard.next_to_read(), Some(key));
    let mut slices = Slices::new();
    shard.unwritten(key, &mut slices);
    assert!(slices.last().is_some_and(|last| last.ends_with(b"\0\0\x8a\0")));
}

#[test]
fn half_of_a_turns_writes_are_for_laps_while_one_goes_on() {
    let mut laps = Laps::new(1 << 20, 1);
    assert_eq!((laps.is_going_on(), laps.reserved()), (false, 0));
    laps.queue.push_back(0);
    assert_eq!((laps.is_going_on(), laps.reserved()), (true, WRITES_PER_LAP_TURN_MAX / 2));
}

#[test]
fn a_long_write_counts_as_several_and_leaves_laps_their_share_unless_it_is_a_laps() {
    let mut laps = Laps::new(1 << 20, 1);
    laps.queue.push_back(0);
    laps.writes_left = WRITES_PER_LAP_TURN_MAX;
    laps.weigh(WRITE_BYTES_PER_WRITE - 1);
    assert_eq!(laps.writes_left, WRITES_PER_LAP_TURN_MAX);
    laps.weigh(3 * WRITE_BYTES_PER_WRITE);
    assert_eq!((laps.writes_left, laps.quantum), (WRITES_PER_LAP_TURN_MAX - 3, 0));
    laps.weigh(WRITES_PER_LAP_TURN_MAX * WRITE_BYTES_PER_WRITE);
    assert_eq!((laps.writes_left, laps.quantum), (WRITES_PER_LAP_TURN_MAX / 2, 0));
    laps.is_lap_write = true;
    laps.weigh(3 * WRITE_BYTES_PER_WRITE);
    assert_eq!((laps.writes_left, laps.quantum), (WRITES_PER_LAP_TURN_MAX / 2 - 3, 3 * VISITS_PER_WRITE));
    laps.weigh(WRITES_PER_LAP_TURN_MAX * WRITE_BYTES_PER_WRITE);
    let quantum = (3 + WRITES_PER_LAP_TURN_MAX) * VISITS_PER_WRITE;
    assert_eq!((laps.writes_left, laps.quantum), (0, quantum));
}

#[test]
fn a_jump_is_worth_its_visits_in_a_turn_and_in_a_channels_quantum() {
    let mut laps = Laps::new(1 << 20, 1);
    laps.visits_left = 100;
    laps.weigh_jump();
    let beyond_the_first = VISITS_PER_JUMP - 1;
    assert_eq!((laps.visits_left, laps.quantum), (100 - beyond_the_first, beyond_the_first));
}

#[test]
fn writes_in_a_row_that_waited_equally_long_are_counted_together() {
    let mut delivered = Delivered::default();
    for since_us in [5, 5, 7, 5] {
        delivered.note(since_us);
    }
    assert_eq!(delivered.0, [(5, 2), (7, 1), (5, 1)]);
}

#[test]
fn a_log_is_ahead_by_half_an_outbox_and_at_most_by_its_mark() {
    assert_eq!(ahead_bytes_mark(1_000), 500);
    assert_eq!(ahead_bytes_mark(usize::MAX), LOG_AHEAD_BYTES_MARK as u64);
}

#[test]
fn who_is_to_be_shut_down_or_forgotten_is_work_and_who_is_unread_if_it_may_be_read() {
    let mut shard = shard(Config::default());
    let key = client(&mut shard, "/ws");
    assert!(!shard.has_work(true));
    shard.finished.push_back(key);
    assert!(shard.has_work(false));
    shard.finished.clear();
    shard.dying.push(key);
    assert!(shard.has_work(false));
    shard.dying.clear();
    shard.readable.push_back(key);
    assert!(shard.has_work(true) && !shard.has_work(false));
}
