//! What an outbox offers, and what comes of what is taken of it, with the bytes of each case in sight.

use super::*;
use crate::hub::{ClientId, Mark, Segment, ShardId};
use std::sync::Arc;

const HERE: ShardId = ShardId(0);
const ANN: ClientKey = ClientKey { index: 0, generation: 0 };
const BOB: ClientKey = ClientKey { index: 1, generation: 0 };

/// A log with one subscriber, and that subscriber's outbox.
struct Desk {
    log: Log,
    cursor: LogPosition,
    outbox: Outbox,
    without: Option<ClientKey>,
}

impl Desk {
    fn new() -> Desk {
        let mut log = Log::new();
        let cursor = log.join();
        let outbox = Outbox { wants_gaps: true, ..Outbox::default() };
        Desk { log, cursor, outbox, without: None }
    }

    /// Appends an unmasked text frame for each word.
    fn publish(&mut self, words: &[(&str, ClientKey)]) {
        let (mut frames, mut marks) = (Vec::new(), Vec::new());
        for &(word, client) in words {
            frames.extend([0x81, word.len() as u8]);
            frames.extend(word.as_bytes());
            marks.push(Mark { end: frames.len() as u32, origin: ClientId { shard: HERE, client } });
        }
        self.log.append(&Segment { frames: Arc::new(frames), marks: Arc::new(marks) }, HERE);
    }

    fn view(&self) -> View<'_> {
        View { log: &self.log, cursor: self.cursor, without: self.without }
    }

    /// Jumps to the start of the newest frame.
    fn jump_to_newest(&mut self) -> Loss {
        let to = self.log.newest_without(self.cursor, self.without);
        self.jump(to)
    }

    fn jump(&mut self, to: LogPosition) -> Loss {
        self.outbox.jump((&mut self.log, &mut self.cursor), self.without, to)
    }

    fn push(&mut self, bytes: &str) {
        self.outbox.push(&mut Vec::from(bytes), Box::default);
    }

    fn seal(&mut self, last: &str) {
        let view = View { log: &self.log, cursor: self.cursor, without: None };
        self.outbox.seal(Some(view), &mut Vec::from(last), Box::default);
    }

    /// All that follows, as long as something does.
    fn write_rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let is_member = !self.outbox.is_sealed();
            let mut slices = Slices::new();
            let plan = self.outbox.unwritten(is_member.then(|| self.view()), &mut slices);
            slices.iter().for_each(|slice| all.extend_from_slice(slice));
            drop(slices);
            if plan.bytes() == 0 {
                return all;
            }
            let log = is_member.then_some((&mut self.log, &mut self.cursor));
            let _ = self.outbox.written(log, self.without, plan, plan.bytes());
        }
    }

    /// Has a socket take `count` bytes of what is offered.
    fn take(&mut self, count: usize) {
        let is_member = !self.outbox.is_sealed();
        let plan = self.outbox.unwritten(is_member.then(|| self.view()), &mut Slices::new());
        let log = is_member.then_some((&mut self.log, &mut self.cursor));
        let (written, _) = self.outbox.written(log, self.without, plan, count);
        assert_eq!(written, if count == plan.bytes() { Written::All } else { Written::Short });
    }
}

#[test]
fn own_bytes_go_before_the_log_between_two_frames() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB)]);
    desk.push("pong");
    assert_eq!(desk.write_rest(), b"pong\x81\x05hello");
}

#[test]
fn own_bytes_wait_for_the_rest_of_a_torn_frame_but_not_for_the_next_frame() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("world", BOB)]);
    desk.take(3);
    desk.push("pong");
    assert_eq!(desk.write_rest(), b"ellopong\x81\x05world");
}

#[test]
fn a_short_write_within_the_torn_frame_or_the_own_bytes_goes_on_where_it_stopped() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("world", BOB)]);
    desk.take(3);
    desk.push("pong");
    desk.take(2);
    desk.take(4);
    desk.push("!");
    assert_eq!(desk.write_rest(), b"ng!\x81\x05world");
}

#[test]
fn own_bytes_that_never_run_out_keep_no_more_than_twice_what_is_unwritten() {
    let mut desk = Desk::new();
    desk.push(&"x".repeat(1000));
    for _ in 0..1000 {
        desk.push(&"x".repeat(1000));
        desk.take(1000);
        let own = desk.outbox.own.as_ref().expect("a thousand bytes are always left");
        assert_eq!(own.unwritten(), 1000);
        assert!(own.bytes.len() <= 3000, "{} bytes kept for 1000", own.bytes.len());
    }
    desk.push("pong");
    assert_eq!(desk.write_rest(), ["x".repeat(1000).as_bytes(), b"pong"].concat());
}

#[test]
fn own_bytes_are_moved_only_when_that_frees_the_larger_part() {
    let mut desk = Desk::new();
    desk.push(&"x".repeat(1000));
    desk.take(499);
    desk.push("a");
    assert_eq!(desk.outbox.own.as_ref().map(|own| (own.written, own.bytes.len())), Some((499, 1001)));
    desk.take(1);
    desk.push("b");
    assert_eq!(desk.outbox.own.as_ref().map(|own| (own.written, own.bytes.len())), Some((0, 502)));
    assert_eq!(desk.write_rest(), [&[b'x'; 500][..], b"ab"].concat());
}

#[test]
fn an_empty_box_comes_back_with_the_memory_it_has() {
    let mut outbox = Outbox::default();
    outbox.push(&mut Vec::from("pong"), Box::default);
    let plan = outbox.unwritten(None, &mut Slices::new());
    let (written, spare) = outbox.written(None, None, plan, 4);
    let capacity = spare.expect("all of it was taken").capacity();
    assert!(written == Written::All && (4..64).contains(&capacity), "{capacity}");
}

#[test]
fn a_write_that_ends_between_two_frames_leaves_nothing_torn() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("world", BOB)]);
    desk.take(7);
    desk.push("pong");
    assert_eq!(desk.write_rest(), b"pong\x81\x05world");
}

#[test]
fn a_sealed_outbox_is_the_rest_of_the_torn_frame_its_own_bytes_and_the_close_and_no_more() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("world", BOB)]);
    desk.take(3);
    desk.push("pong");
    desk.seal("close");
    desk.log.leave(desk.cursor);
    assert_eq!(desk.log.retained(), 0, "a closing client pins no log");
    desk.take(2);
    assert_eq!(desk.write_rest(), b"lopongclose");
}

#[test]
fn a_seal_between_two_frames_takes_nothing_of_the_log() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB)]);
    desk.seal("close");
    assert_eq!(desk.write_rest(), b"close");
}

#[test]
fn a_second_seal_changes_nothing() {
    let mut desk = Desk::new();
    desk.seal("close");
    desk.seal("");
    assert_eq!(desk.write_rest(), b"close");
}

#[test]
fn a_large_torn_frame_is_kept_by_reference_until_it_is_written() {
    let mut desk = Desk::new();
    let frames = Arc::new([&[0x82, 126, 0xff, 0xff][..], &vec![7; 0xffff]].concat());
    let marks =
        Arc::new(vec![Mark { end: frames.len() as u32, origin: ClientId { shard: HERE, client: BOB } }]);
    desk.log.append(&Segment { frames: frames.clone(), marks }, HERE);
    desk.take(10_000);
    desk.seal("close");
    desk.log.leave(desk.cursor);
    assert_eq!(Arc::strong_count(&frames), 2, "the outbox refers to the frame, the log no longer does");
    let rest = desk.write_rest();
    assert_eq!(rest, [&frames[10_000..], b"close"].concat());
    assert_eq!(Arc::strong_count(&frames), 1);
}

/// A notice as it goes over the wire (RFC 6455 section 5.2), in text of less than 126 bytes.
fn notice(messages: u64, bytes: u64) -> Vec<u8> {
    let text = format!("{{\"gap\":{{\"messages\":{messages},\"bytes\":{bytes}}}}}");
    [&[0x81, text.len() as u8], text.as_bytes()].concat()
}

#[test]
fn a_jump_between_two_frames_is_announced_before_the_frame_where_it_ends() {
    let mut desk = Desk::new();
    desk.publish(&[("one", BOB), ("two", BOB), ("three", BOB)]);
    desk.take(5);
    assert_eq!(desk.jump_to_newest(), Loss { messages: 1, bytes: 5 });
    assert!(desk.outbox.announce_gap());
    assert_eq!(desk.write_rest(), b"\x81\x20{\"gap\":{\"messages\":1,\"bytes\":5}}\x81\x05three");
}

#[test]
fn a_jump_from_within_a_frame_writes_its_rest_then_own_bytes_then_the_notice_then_the_log() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("lost", BOB), ("newest", BOB)]);
    desk.take(3);
    desk.push("pong");
    assert_eq!(desk.jump_to_newest(), Loss { messages: 1, bytes: 6 });
    desk.push("pang");
    assert!(!desk.outbox.announce_gap(), "others go first");
    assert_eq!(
        desk.write_rest(),
        b"ellopongpang\x81\x20{\"gap\":{\"messages\":1,\"bytes\":6}}\x81\x06newest"
    );
}

#[test]
fn a_second_jump_keeps_the_rest_of_the_torn_frame_and_takes_nothing_of_those_between() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("lost", BOB), ("newest", BOB)]);
    desk.take(3);
    desk.jump_to_newest();
    desk.take(2);
    desk.publish(&[("a", BOB), ("b", BOB)]);
    assert_eq!(desk.jump_to_newest(), Loss { messages: 2, bytes: 8 + 3 });
    assert!(!desk.outbox.announce_gap());
    desk.take(1);
    desk.publish(&[("c", BOB)]);
    assert_eq!(desk.jump_to_newest(), Loss { messages: 1, bytes: 3 });
    assert_eq!(desk.write_rest(), [b"o", &*notice(4, 20), b"\x81\x01c"].concat());
}

#[test]
fn jumps_add_up_to_one_notice_until_the_client_takes_something() {
    let mut desk = Desk::new();
    for _ in 0..1000 {
        desk.publish(&[("old", BOB), ("new", BOB)]);
        desk.jump_to_newest();
        assert_eq!(desk.outbox.own_bytes(), 0, "nothing piles up");
    }
    assert!(desk.outbox.announce_gap());
    assert_eq!(desk.write_rest(), [&*notice(1999, 9995), b"\x81\x03new"].concat());
}

#[test]
fn a_jump_while_a_notice_is_being_written_is_announced_behind_it() {
    let mut desk = Desk::new();
    desk.publish(&[("a", BOB), ("b", BOB)]);
    desk.jump_to_newest();
    desk.outbox.announce_gap();
    desk.take(10);
    desk.publish(&[("c", BOB), ("d", BOB)]);
    desk.jump_to_newest();
    desk.publish(&[("e", BOB)]);
    desk.jump_to_newest();
    assert!(!desk.outbox.announce_gap());
    let rest = [&notice(1, 3)[10..], &*notice(3, 9), b"\x81\x01e"].concat();
    assert_eq!(desk.write_rest(), rest);
}

#[test]
fn a_jump_within_a_large_torn_frame_leads_to_its_end_at_least_and_refers_to_it() {
    let mut desk = Desk::new();
    let frames = Arc::new([&[0x82, 126, 0xff, 0xff][..], &vec![7; 0xffff]].concat());
    let marks =
        Arc::new(vec![Mark { end: frames.len() as u32, origin: ClientId { shard: HERE, client: BOB } }]);
    desk.log.append(&Segment { frames: frames.clone(), marks }, HERE);
    desk.publish(&[("next", BOB)]);
    desk.take(10_000);
    assert_eq!(desk.jump(LogPosition(20_000)), Loss::default(), "nothing is lost");
    assert_eq!((desk.cursor.0, desk.log.retained()), (frames.len() as u64, 6));
    assert_eq!(Arc::strong_count(&frames), 2, "the outbox refers to it, the log no longer does");
    desk.take(55_539);
    assert_eq!(Arc::strong_count(&frames), 1, "until it has been written");
    assert_eq!(desk.write_rest(), b"\x81\x04next");
}

#[test]
fn the_rest_of_a_torn_frame_is_no_answer_and_goes_when_it_was_written() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB), ("newest", BOB)]);
    desk.take(3);
    desk.jump_to_newest();
    desk.push("pong");
    assert_eq!((desk.outbox.own_bytes(), desk.outbox.answer_bytes()), (8, 4));
    desk.take(5);
    assert_eq!((desk.outbox.own_bytes(), desk.outbox.answer_bytes()), (3, 3));
    assert!(desk.outbox.own.as_ref().is_some_and(|own| own.rest.is_none() && own.written == 1));
    assert_eq!(desk.write_rest(), b"ong\x81\x06newest");
}

#[test]
fn who_does_not_ask_for_gaps_gets_no_notice() {
    let mut desk = Desk::new();
    desk.outbox.wants_gaps = false;
    desk.publish(&[("a", BOB), ("b", BOB)]);
    let to = desk.log.newest_without(desk.cursor, None);
    let loss = desk.jump(to);
    assert_eq!(loss, Loss { messages: 1, bytes: 3 });
    assert!(!desk.outbox.announce_gap() && desk.outbox.own.is_none());
    assert_eq!(desk.write_rest(), b"\x81\x01b");
}

#[test]
fn a_jump_to_where_the_cursor_stands_or_back_changes_nothing() {
    let mut desk = Desk::new();
    desk.publish(&[("hello", BOB)]);
    assert_eq!(desk.jump_to_newest(), Loss::default());
    desk.take(3);
    assert_eq!(desk.jump_to_newest(), Loss::default());
    assert!(desk.outbox.own.is_none() && desk.outbox.torn);
    assert_eq!(desk.write_rest(), b"ello");
}

#[test]
fn a_sealed_outbox_announces_its_gap_before_the_close() {
    for (taken, rest) in [(0, &b""[..]), (3, b"llo")] {
        let mut desk = Desk::new();
        desk.publish(&[("hello", BOB), ("lost", BOB), ("newest", BOB)]);
        if taken > 0 {
            desk.take(1 + taken);
        }
        let loss = desk.jump_to_newest();
        desk.seal("close");
        let announced = notice(loss.messages, loss.bytes);
        assert_eq!(desk.write_rest(), [rest, &announced, b"close"].concat());
    }
}

#[test]
fn ones_own_publications_are_not_lost_by_a_jump() {
    let mut desk = Desk::new();
    desk.log.watch_origins();
    desk.without = Some(ANN);
    desk.publish(&[("a", BOB), ("mine", ANN), ("b", BOB), ("c", BOB), ("mine", ANN)]);
    desk.take(1);
    assert_eq!(desk.jump_to_newest(), Loss { messages: 1, bytes: 3 });
    assert_eq!(desk.write_rest(), [b"\x01a", &*notice(1, 3), b"\x81\x01c"].concat());
    assert_eq!(desk.view().lag(), 0);
}

#[test]
fn ones_own_publications_are_passed_over_even_if_nothing_is_written() {
    let mut desk = Desk::new();
    desk.log.watch_origins();
    desk.without = Some(ANN);
    desk.publish(&[("mine", ANN)]);
    assert_eq!(desk.write_rest(), b"");
    desk.take(0);
    assert_eq!(desk.view().lag(), 0);
    desk.publish(&[("a", BOB), ("mine", ANN), ("b", BOB)]);
    assert_eq!(desk.write_rest(), b"\x81\x01a\x81\x01b");
    assert_eq!(desk.view().lag(), 0);
}
