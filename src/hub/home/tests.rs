//! What the order promises: a place for each publication, and the same segments for everybody who listens.

use super::*;
use crate::hub::ClientKey;
use crate::hub::properties::frame;

const ALICE: ClientId = ClientId { shard: ShardId(0), client: ClientKey { index: 1, generation: 0 } };
const BOB: ClientId = ClientId { shard: ShardId(1), client: ClientKey { index: 1, generation: 0 } };

type Posted = Vec<(Listener, Segment)>;

#[test]
fn buffers_serve_again_unless_their_frames_or_their_marks_take_much_memory() {
    let is_kept = |frames: usize, marks: usize| {
        let mut spares = Spares::default();
        let (frames, marks) = (Vec::with_capacity(frames), Vec::with_capacity(marks));
        spares.keep(OpenSegment { frames, marks }.close());
        !spares.0.is_empty()
    };
    let marks_max = SEGMENT_COPY_BYTES_MAX / size_of::<Mark>();
    assert!(is_kept(SEGMENT_COPY_BYTES_MAX, 0) && !is_kept(SEGMENT_COPY_BYTES_MAX + 1, 0));
    assert!(is_kept(0, marks_max) && !is_kept(0, marks_max + 1));
}

#[test]
fn every_listener_is_handed_the_same_segment_with_whose_frames_it_holds() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    register(&mut homes, "room", listener(1));
    publish(&mut homes, home, ALICE, b"one");
    publish(&mut homes, home, BOB, b"two");
    let posted = seal(&mut homes);
    assert_eq!(posted.iter().map(|(listener, _)| *listener).collect::<Vec<_>>(), [listener(0), listener(1)]);
    let segment = &posted[0].1;
    assert_eq!(**segment.frames, *b"\x82\x03one\x82\x03two");
    assert_eq!(**segment.marks, [Mark { end: 5, origin: ALICE }, Mark { end: 10, origin: BOB }]);
    assert!(Arc::ptr_eq(&segment.frames, &posted[1].1.frames), "shared, not copied");
}

#[test]
fn a_publication_is_encoded_once_however_many_listen() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    register(&mut homes, "room", listener(1));
    let mut encoded = Vec::new();
    homes.sequence(home, ALICE, 1, |rendering, _| encoded.push(rendering));
    assert_eq!(encoded, [Rendering::Relay]);
}

#[test]
fn offsets_start_at_1_and_have_no_gaps() {
    let mut homes = homes();
    let (home, before) = register(&mut homes, "room", listener(0));
    assert_eq!(before.offset, 0);
    let offsets: Vec<_> = (0..3).map(|_| publish(&mut homes, home, ALICE, b"x").unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3]);
    assert_eq!(register(&mut homes, "room", listener(1)).1, Position { offset: 3, ..before });
}

#[test]
fn a_rate_is_of_the_period_before_and_of_this_one_so_far() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    let mut rates_at = |ms: u64, publications: usize| {
        homes.advance(ms);
        for _ in 0..publications {
            publish(&mut homes, home, ALICE, b"0123456789");
        }
        let standing = homes.standing(&ChannelName::new("room").unwrap()).unwrap();
        (standing.messages_per_second, standing.bytes_per_second)
    };
    let first = u64::from(u32::MAX) * METER_MS;
    assert_eq!(rates_at(first, 0), (0.0, 0.0));
    assert_eq!(rates_at(first + 2_500, 75), (10.0, 100.0));
    assert_eq!(rates_at(first + 5_000, 0), (15.0, 150.0));
    assert_eq!(rates_at(first + 7_500, 0), (10.0, 100.0), "the number of periods may wrap");
    assert_eq!(rates_at(first + 9_000, 15), (10.0, 100.0));
    assert_eq!(rates_at(first + 10_000, 0), (3.0, 30.0), "the first ones are forgotten");
    assert_eq!(rates_at(first + 15_000, 0), (0.0, 0.0));
}

#[test]
fn who_joins_in_mid_turn_gets_nothing_of_what_was_sequenced_before() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    publish(&mut homes, home, ALICE, b"before");
    let mut posted = Posted::new();
    let name = ChannelName::new("room").unwrap();
    homes.register(&name, Rendering::Relay, listener(1), |to, _, segment| posted.push((to, segment)));
    assert_eq!(frames_for(&posted, listener(0)), b"\x82\x06before", "handed out before the interest stands");
    publish(&mut homes, home, ALICE, b"after");
    posted.extend(seal(&mut homes));
    assert_eq!(frames_for(&posted, listener(0)), b"\x82\x06before\x82\x05after");
    assert_eq!(frames_for(&posted, listener(1)), b"\x82\x05after");
    homes.check_invariants();
}

#[test]
fn a_shards_later_interest_replaces_its_earlier_one() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    let later = Listener { nonce: 8, ..listener(0) };
    register(&mut homes, "room", later);
    homes.withdraw(home, Rendering::Relay, listener(0));
    publish(&mut homes, home, ALICE, b"x").expect("the earlier interest's withdrawal is stale");
    let posted = seal(&mut homes);
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].0, later);
}

#[test]
fn who_withdrew_is_handed_nothing_more() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    register(&mut homes, "room", listener(1));
    publish(&mut homes, home, ALICE, b"x");
    homes.withdraw(home, Rendering::Relay, listener(0));
    let posted = seal(&mut homes);
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].0, listener(1));
}

#[test]
fn a_channel_goes_with_its_last_listener_and_its_key_finds_nothing() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    publish(&mut homes, home, ALICE, b"x");
    homes.withdraw(home, Rendering::Relay, listener(0));
    assert_eq!((homes.channels(), homes.open_bytes()), (0, 0));
    assert_eq!(publish(&mut homes, home, ALICE, b"y"), None);
    assert!(seal(&mut homes).is_empty());
    homes.check_invariants();
}

#[test]
fn a_channel_created_again_counts_from_the_start_in_another_epoch() {
    let mut homes = homes();
    let (old, before) = register(&mut homes, "room", listener(0));
    publish(&mut homes, old, ALICE, b"x");
    homes.withdraw(old, Rendering::Relay, listener(0));
    let (new, after) = register(&mut homes, "room", listener(0));
    assert_ne!(before.epoch, after.epoch);
    assert_eq!(after.offset, 0);
    assert_eq!(publish(&mut homes, old, ALICE, b"x"), None, "the old key is stale");
    assert_eq!(publish(&mut homes, new, ALICE, b"x"), Some(1));
    homes.check_invariants();
}

#[test]
fn a_seal_without_publications_hands_out_nothing() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    assert!(seal(&mut homes).is_empty());
    publish(&mut homes, home, ALICE, b"x");
    assert_eq!(seal(&mut homes).len(), 1);
    assert!(seal(&mut homes).is_empty());
}

#[test]
fn open_bytes_are_what_the_next_seal_hands_out() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    publish(&mut homes, home, ALICE, b"one");
    assert_eq!(homes.open_bytes(), 5);
    publish(&mut homes, home, ALICE, b"two");
    assert_eq!(homes.open_bytes(), 10);
    seal(&mut homes);
    assert_eq!(homes.open_bytes(), 0);
}

#[test]
fn a_segment_that_is_full_is_followed_by_another() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    publish(&mut homes, home, ALICE, &vec![b'x'; SEGMENT_BYTES_MAX - 5]);
    publish(&mut homes, home, ALICE, b"still fits");
    publish(&mut homes, home, ALICE, b"opens another");
    let posted = seal(&mut homes);
    assert_eq!(posted.len(), 2);
    assert_eq!((posted[0].1.marks.len(), posted[1].1.marks.len()), (2, 1));
    assert_eq!(**posted[1].1.frames, *b"\x82\x0dopens another");
}

#[test]
fn a_buffer_serves_again_when_nobody_reads_it_any_more() {
    let mut homes = homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    let mut turn = || {
        publish(&mut homes, home, ALICE, b"hello");
        seal(&mut homes).pop().unwrap().1
    };
    let first = turn();
    let second = turn();
    assert_ne!(first.frames.as_ptr(), second.frames.as_ptr(), "the first is still read");
    let first_at = first.frames.as_ptr();
    drop(first);
    assert_eq!(turn().frames.as_ptr(), first_at);
    assert_eq!(**second.frames, *b"\x82\x05hello");
}

#[test]
fn few_buffers_are_kept_and_no_large_ones() {
    let mut homes = homes();
    for number in 0..=SPARE_SEGMENTS_MAX {
        let (home, _) = register(&mut homes, &format!("room-{number}"), listener(0));
        publish(&mut homes, home, ALICE, b"x");
    }
    seal(&mut homes);
    assert_eq!(homes.spares.0.len(), SPARE_SEGMENTS_MAX);

    let mut homes = self::homes();
    let (home, _) = register(&mut homes, "room", listener(0));
    publish(&mut homes, home, ALICE, &vec![b'x'; SEGMENT_COPY_BYTES_MAX]);
    seal(&mut homes);
    assert_eq!(homes.spares.0.len(), 0);
}

fn homes() -> Homes {
    Homes::new(HashSeed(1, 2))
}

fn listener(shard: u16) -> Listener {
    Listener { shard: ShardId(shard), local: 5, nonce: 7 }
}

/// Registers between turns, when nothing is open.
fn register(homes: &mut Homes, name: &str, listener: Listener) -> (HomeKey, Position) {
    let name = ChannelName::new(name).unwrap();
    homes.register(&name, Rendering::Relay, listener, |_, _, _| {})
}

fn publish(homes: &mut Homes, home: HomeKey, origin: ClientId, payload: &[u8]) -> Option<u64> {
    let position =
        homes.sequence(home, origin, payload.len(), |_, out| out.extend_from_slice(&frame(payload)));
    position.map(|position| position.offset)
}

fn seal(homes: &mut Homes) -> Posted {
    let mut posted = Posted::new();
    homes.seal(|listener, _, segment| posted.push((listener, segment)));
    posted
}

fn frames_for(posted: &Posted, listener: Listener) -> Vec<u8> {
    let segments = posted.iter().filter(|(to, _)| *to == listener);
    segments.flat_map(|(_, segment)| segment.frames.to_vec()).collect()
}
