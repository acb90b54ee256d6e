//! What a log keeps, for whom and for how long, and what those are written who join, lag, jump and leave.

use super::chunk::OriginRange;
use super::*;
use crate::hub::properties::{concatenated, frame, segment};
use crate::hub::{ClientId, ShardId};

const HERE: ShardId = ShardId(0);
const ELSEWHERE: ShardId = ShardId(1);
const ALICE: ClientKey = ClientKey { index: 1, generation: 0 };
const BOB: ClientKey = ClientKey { index: 2, generation: 0 };

#[test]
fn a_chunk_doubles_as_it_grows_and_never_past_what_it_may_have() {
    let grown = |len: usize, more: usize| {
        let mut tail = vec![0; len];
        grow(&mut tail, more);
        tail.capacity()
    };
    assert_eq!(grown(100, 0), 100, "there is room");
    assert_eq!(grown(100, 1), 200);
    assert_eq!(grown(100, 150), 250);
    assert_eq!(grown(CHUNK_BYTES_MAX / 2 + 1, 1), CHUNK_BYTES_MAX);
    let mut roomy = Vec::with_capacity(100);
    grow(&mut roomy, 100);
    assert_eq!(roomy.capacity(), 100, "what fits exactly makes nothing grow");
}

#[test]
fn a_subscriber_is_written_what_is_appended_after_it_joined() {
    let mut log = Log::new();
    let early = log.join();
    append(&mut log, &[b"one"]);
    let late = log.join();
    append(&mut log, &[b"two", b"three"]);
    assert_eq!(read(&log, early), b"\x82\x03one\x82\x03two\x82\x05three");
    assert_eq!(read(&log, late), b"\x82\x03two\x82\x05three");
    assert_eq!((log.lag(early), log.lag(late)), (17, 12));
}

#[test]
fn a_new_log_owns_no_heap() {
    let log = Log::new();
    assert_eq!(log.chunks.capacity(), 0);
    assert!(size_of::<Log>() <= 64, "100,000 quiet channels are cheap: {} bytes each", size_of::<Log>());
}

#[test]
fn a_log_whose_subscribers_are_all_caught_up_owns_no_heap() {
    let mut log = Log::new();
    let (alice, bob) = (log.join(), log.join());
    append(&mut log, &[b"hello"]);
    let end = log.end();
    assert_eq!(log.advance(alice, end), end);
    assert_eq!(log.retained(), 7);
    assert_eq!(log.advance(bob, end), end);
    assert_eq!(log.retained(), 0);
    assert_eq!(log.chunks.capacity(), 0);
    log.check_invariants();
}

#[test]
fn what_only_a_leaver_had_not_been_written_goes_with_it() {
    let mut log = Log::new();
    let (alice, bob) = (log.join(), log.join());
    append(&mut log, &[b"hello"]);
    let _ = log.advance(bob, log.end());
    log.leave(alice);
    assert_eq!((log.retained(), log.subscribers()), (0, 1));
    log.check_invariants();
}

#[test]
fn with_nobody_subscribed_nothing_is_kept() {
    let mut log = Log::new();
    append(&mut log, &[b"hello"]);
    assert_eq!(log.retained(), 0);
    let alice = log.join();
    assert_eq!(read(&log, alice), b"");
    log.leave(alice);
    append(&mut log, &[b"hello"]);
    assert_eq!((log.retained(), log.subscribers()), (0, 0));
    log.check_invariants();
}

#[test]
fn small_segments_are_one_slice_until_the_chunk_is_full() {
    for (last_bytes, chunks) in [(16, 1), (17, 2)] {
        let mut log = Log::new();
        let alice = log.join();
        for _ in 0..4 {
            append(&mut log, &[&vec![b'x'; CHUNK_BYTES_MAX / 4 - 4 - 4]]);
        }
        assert_eq!(slices(&log, alice).len(), 1, "and 16 bytes are left in it");
        append(&mut log, &[&vec![b'x'; last_bytes - 2]]);
        assert_eq!(slices(&log, alice).len(), chunks);
        log.check_invariants();
    }
}

#[test]
fn a_segment_below_the_limit_is_copied_and_one_at_the_limit_is_shared() {
    let mut log = Log::new();
    let alice = log.join();
    let below = segment(&[(elsewhere(ALICE), &vec![0; SEGMENT_COPY_BYTES_MAX - 5])]);
    let at_limit = segment(&[(elsewhere(ALICE), &vec![0; SEGMENT_COPY_BYTES_MAX - 4])]);
    log.append(&below, HERE);
    log.append(&at_limit, HERE);
    assert_eq!(at_limit.frames.len(), SEGMENT_COPY_BYTES_MAX);
    assert_eq!((Arc::strong_count(&below.frames), Arc::strong_count(&at_limit.frames)), (1, 2));
    let _ = log.advance(alice, log.end());
    assert_eq!(Arc::strong_count(&at_limit.frames), 1, "and given back when everybody was written it");
}

#[test]
fn a_chunk_goes_when_its_last_cursor_moves_on_and_not_before() {
    let mut log = Log::new();
    let (mut alice, mut bob) = (log.join(), log.join());
    let large = vec![b'x'; 20_000];
    append(&mut log, &[&large]);
    append(&mut log, &[&large]);
    append(&mut log, &[&large]);
    assert_eq!(log.retained(), 3 * 20_004);
    alice = log.advance(alice, LogPosition(40_008));
    assert_eq!(log.retained(), 3 * 20_004, "Bob stands in the first");
    bob = log.advance(bob, LogPosition(20_003));
    assert_eq!(log.retained(), 3 * 20_004, "still, at its last byte");
    bob = log.advance(bob, LogPosition(20_004));
    assert_eq!(log.retained(), 2 * 20_004);
    log.leave(bob);
    assert_eq!(log.retained(), 20_004, "nobody stands in the second");
    assert_eq!(log.lag(alice), 20_004);
    log.check_invariants();
}

#[test]
fn who_is_far_behind_is_counted_by_chunks() {
    let mut log = Log::new();
    let (_alice, bob) = (log.join(), log.join());
    let large = vec![b'x'; 20_000];
    append(&mut log, &[&large]);
    append(&mut log, &[&large]);
    assert_eq!((log.behind(20_003), log.behind(20_004), log.behind(40_008)), (2, 0, 0));
    let bob = log.advance(bob, LogPosition(20_004));
    assert_eq!((log.behind(0), log.behind(20_003)), (1, 1), "Bob stands in the last one");
    log.leave(bob);
    assert_eq!(log.behind(0), 1);
}

#[test]
fn slices_are_as_many_as_asked_for() {
    let mut log = Log::new();
    let alice = log.join();
    for _ in 0..3 {
        append(&mut log, &[&vec![b'x'; 20_000]]);
    }
    let mut out = Vec::new();
    assert_eq!(log.slices(LogPosition(alice.0 + 4), 2, &mut out), 40_004);
    assert_eq!(out.len(), 2);
}

#[test]
fn s5_2_a_frame_ends_where_its_7_16_or_64_bit_length_says() {
    let mut log = Log::new();
    let _alice = log.join();
    append(&mut log, &[b"", &[0; 125], &[0; 126], &vec![0; 65_535], &vec![0; 65_536], b"x"]);
    let mut end = 0;
    for framed in [2, 2 + 125, 4 + 126, 4 + 65_535, 10 + 65_536, 2 + 1] {
        let start = end;
        end += framed;
        assert_eq!(log.slice_of_frame(LogPosition(start)), b"", "between two frames");
        assert_eq!(log.slice_of_frame(LogPosition(start + 1)).len() as u64, framed - 1);
        assert_eq!(log.slice_of_frame(LogPosition(end - 1)).len(), 1);
    }
    assert_eq!(log.slice_of_frame(log.end()), b"");
}

#[test]
fn the_rest_of_a_torn_frame_outlives_the_log() {
    let mut log = Log::new();
    let alice = log.join();
    append(&mut log, &[b"one", b"two"]);
    let torn = log.advance(alice, LogPosition(alice.0 + 8));
    let rest = log.rest_of_frame(torn);
    log.leave(torn);
    assert_eq!(log.retained(), 0);
    assert_eq!(rest.as_slice(), b"wo");
}

#[test]
fn the_rest_of_a_large_frame_is_shared() {
    let mut log = Log::new();
    let alice = log.join();
    append(&mut log, &[&vec![b'x'; 20_000]]);
    let rest = log.rest_of_frame(LogPosition(alice.0 + 5));
    assert!(matches!(&rest, FrameRest::Shared(..)));
    assert_eq!(rest.as_slice().len(), 19_999);
}

#[test]
fn the_rest_of_a_frame_keeps_no_larger_one_behind_it_alive() {
    let mut log = Log::new();
    let _alice = log.join();
    append(&mut log, &[&vec![b'x'; 20_000], &vec![b'x'; 1 << 20]]);
    let rest = log.rest_of_frame(LogPosition(1));
    assert!(matches!(&rest, FrameRest::Copied(_)));
    assert_eq!((rest.as_slice().len(), rest.held_bytes()), (20_003, 20_003));
}

#[test]
fn the_rest_of_a_large_frame_counts_with_all_of_the_segment_that_it_keeps_alive() {
    let mut log = Log::new();
    let _alice = log.join();
    append(&mut log, &[&vec![b'x'; 1 << 20]]);
    let all = log.end().0;
    let rest = log.rest_of_frame(LogPosition(all - SEGMENT_COPY_BYTES_MAX as u64));
    assert!(matches!(&rest, FrameRest::Shared(..)));
    assert_eq!((rest.as_slice().len(), rest.held_bytes() as u64), (SEGMENT_COPY_BYTES_MAX, all));
}

#[test]
fn between_two_frames_nothing_is_torn() {
    let mut log = Log::new();
    let alice = log.join();
    append(&mut log, &[&vec![b'x'; 20_000]]);
    assert!(matches!(log.rest_of_frame(alice), FrameRest::Copied(bytes) if bytes.is_empty()));
    assert!(matches!(log.rest_of_frame(log.end()), FrameRest::Copied(bytes) if bytes.is_empty()));
}

#[test]
fn a_small_rest_of_a_large_segment_is_copied_and_does_not_keep_it_alive() {
    let mut log = Log::new();
    let _alice = log.join();
    append(&mut log, &[&vec![b'x'; 20_000]]);
    let at = |left: usize| LogPosition((20_004 - left) as u64);
    let smallest_shared = log.rest_of_frame(at(SEGMENT_COPY_BYTES_MAX));
    assert!(matches!(smallest_shared, FrameRest::Shared(..)));
    let largest_copied = log.rest_of_frame(at(SEGMENT_COPY_BYTES_MAX - 1));
    assert!(matches!(largest_copied, FrameRest::Copied(bytes) if bytes.len() == SEGMENT_COPY_BYTES_MAX - 1));
}

#[test]
fn the_oldest_frame_within_so_many_bytes_is_the_newest_one_at_least() {
    let mut log = Log::new();
    let _alice = log.join();
    append(&mut log, &[b"one", b"three"]);
    append(&mut log, &[&vec![b'x'; 20_000], b"after"]);
    let ends = [5, 12, 20_016, 20_023];
    let oldest = |bytes_max: u64| log.oldest_within(bytes_max).0;
    assert_eq!(oldest(20_023), 0, "all of it");
    assert_eq!(oldest(20_022), ends[0]);
    assert_eq!(oldest(20_018), ends[0]);
    assert_eq!(oldest(20_017), ends[1]);
    assert_eq!(oldest(20_011), ends[1]);
    assert_eq!(oldest(20_010), ends[2]);
    assert_eq!((oldest(7), oldest(6), oldest(0)), (ends[2], ends[2], ends[2]), "the newest in any case");
}

#[test]
fn the_newest_frame_is_found_behind_ones_own() {
    let (mut log, alice) = log_with_a_watcher();
    assert_eq!(log.newest_without(alice, None), log.end(), "there is none");
    log.append(&segment(&[(here(BOB), b"b1"), (here(BOB), b"b2"), (here(ALICE), b"a1")]), HERE);
    let large = vec![b'x'; 20_000];
    log.append(&segment(&[(here(ALICE), &large)]), HERE);
    assert_eq!(log.newest_without(alice, None), LogPosition(12));
    assert_eq!(log.newest_without(alice, Some(BOB)), LogPosition(12));
    assert_eq!(log.newest_without(alice, Some(ALICE)), LogPosition(4), "in the chunk before");
    assert_eq!(log.newest_without(LogPosition(12), Some(ALICE)), log.end(), "there is none of others");
}

#[test]
fn a_jump_loses_the_frames_that_it_passes_over_without_the_rest_of_a_torn_one() {
    let mut log = Log::new();
    let _alice = log.join();
    append(&mut log, &[b"one", b"two"]);
    append(&mut log, &[&vec![b'x'; 20_000], b"four"]);
    let loss = |from: u64, to: u64| {
        let Loss { messages, bytes } = log.loss(LogPosition(from), LogPosition(to), None);
        (messages, bytes)
    };
    assert_eq!(loss(0, 20_020), (4, 20_020));
    assert_eq!(loss(1, 20_020), (3, 20_015));
    assert_eq!(loss(5, 20_014), (2, 20_009));
    assert_eq!(loss(6, 10), (0, 0));
    assert_eq!(loss(10, 10), (0, 0));
    assert_eq!(loss(11, 20_014), (0, 0), "the large one is torn");
    assert_eq!(loss(11, 20_020), (1, 6));
}

#[test]
fn ones_own_frames_are_not_lost_without_echo() {
    let (mut log, alice) = log_with_a_watcher();
    log.append(&segment(&[(here(ALICE), b"a1"), (here(ALICE), b"a2"), (here(BOB), b"b1")]), HERE);
    let loss = |from: u64, to: u64, own| log.loss(LogPosition(from), LogPosition(to), own).messages;
    assert_eq!((loss(alice.0, 12, None), loss(alice.0, 12, Some(ALICE))), (3, 1));
    assert_eq!((loss(0, 4, Some(ALICE)), loss(4, 12, Some(ALICE)), loss(0, 12, Some(BOB))), (0, 1, 2));
}

#[test]
fn without_echo_ones_own_frames_are_left_out() {
    let (mut log, alice) = log_with_a_watcher();
    log.append(&segment(&[(here(BOB), b"b1"), (here(ALICE), b"a1"), (here(BOB), b"b2")]), HERE);
    assert_eq!(read_without(&log, alice, ALICE), b"\x82\x02b1\x82\x02b2");
    assert_eq!(read(&log, alice), b"\x82\x02b1\x82\x02a1\x82\x02b2", "those who want echo get all");
}

#[test]
fn a_client_of_the_same_key_on_another_shard_is_somebody_else() {
    let (mut log, alice) = log_with_a_watcher();
    log.append(&segment(&[(elsewhere(ALICE), b"hi")]), HERE);
    assert_eq!(read_without(&log, alice, ALICE), b"\x82\x02hi");
}

#[test]
fn without_echo_the_cursor_passes_ones_own_frames_although_nothing_is_written() {
    let (mut log, alice) = log_with_a_watcher();
    log.append(&segment(&[(here(ALICE), b"a1")]), HERE);
    log.append(&segment(&[(here(ALICE), b"a2")]), HERE);
    let alice = log.advance(alice, log.position_after(alice, ALICE, 0));
    assert_eq!((alice, log.retained()), (log.end(), 0));
}

#[test]
fn without_echo_the_cursor_stops_inside_a_torn_frame_and_passes_own_frames_behind_a_whole_one() {
    let (mut log, alice) = log_with_a_watcher();
    log.append(&segment(&[(here(BOB), b"b1"), (here(ALICE), b"a1"), (here(BOB), b"b2")]), HERE);
    assert_eq!(log.position_after(alice, ALICE, 3), LogPosition(3));
    assert_eq!(log.position_after(alice, ALICE, 4), LogPosition(8));
    assert_eq!(log.position_after(alice, ALICE, 6), LogPosition(10));
    assert_eq!(log.position_after(LogPosition(10), ALICE, 2), log.end());
}

#[test]
fn origins_are_indexed_only_while_somebody_watches() {
    let mut log = Log::new();
    let _bob = log.join();
    log.append(&segment(&[(here(ALICE), b"a1")]), HERE);
    assert!(log.chunks[0].origins.is_empty());
    log.watch_origins();
    log.append(&segment(&[(here(ALICE), b"a2"), (here(ALICE), b"a3")]), HERE);
    assert_eq!(log.chunks[0].origins.len(), 1, "neighbours are one entry");
    log.unwatch_origins();
    assert!(log.chunks[0].origins.is_empty());
    log.check_invariants();
}

#[test]
fn the_index_of_origins_counts_as_memory_for_as_long_as_it_is_there() {
    let (mut log, alice) = log_with_a_watcher();
    let said = segment(&[(here(BOB), b"b1"), (here(ALICE), b"a1"), (here(BOB), b"b2")]);
    log.append(&said, HERE);
    assert_eq!(log.retained(), 12);
    assert!(log.held_bytes() >= 12 + 3 * size_of::<OriginRange>() as u64);
    log.unwatch_origins();
    assert_eq!(log.held_bytes(), 12);
    log.watch_origins();
    log.append(&said, HERE);
    assert!(log.held_bytes() > log.retained());
    let _ = log.advance(alice, log.end());
    assert_eq!(log.held_bytes(), 0);
    log.check_invariants();
}

fn here(client: ClientKey) -> ClientId {
    ClientId { shard: HERE, client }
}

fn elsewhere(client: ClientKey) -> ClientId {
    ClientId { shard: ELSEWHERE, client }
}

fn log_with_a_watcher() -> (Log, LogPosition) {
    let mut log = Log::new();
    log.watch_origins();
    let cursor = log.join();
    (log, cursor)
}

/// One segment with a publication from elsewhere for each payload.
fn append(log: &mut Log, payloads: &[&[u8]]) {
    let publications: Vec<_> = payloads.iter().map(|payload| (elsewhere(BOB), *payload)).collect();
    let segment = segment(&publications);
    assert!(segment.frames.starts_with(&frame(payloads[0])));
    log.append(&segment, HERE);
}

fn slices(log: &Log, from: LogPosition) -> Vec<IoSlice<'_>> {
    let mut out = Vec::new();
    assert_eq!(log.slices(from, usize::MAX, &mut out) as u64, log.lag(from));
    out
}

fn read(log: &Log, from: LogPosition) -> Vec<u8> {
    concatenated(&slices(log, from))
}

fn read_without(log: &Log, from: LogPosition, own: ClientKey) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = log.slices_without(from, own, usize::MAX, &mut out);
    let read = concatenated(&out);
    assert_eq!(read.len(), bytes);
    read
}
