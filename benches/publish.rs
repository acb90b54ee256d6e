//! What does a publication cost, and what a delivery, without the kernel?
//!
//! A shard is driven in memory, a turn at a time: a client's frames are read, sequenced, sealed into a segment, appended
//! to the log, and every subscriber is written from its cursor to the end; the sockets take all they are offered. In
//! "publish" an element is a publication, in "deliver" the same work counted by the delivery: "time" is per element.
//!
//! Bad news: a publication to one subscriber above 1 µs; a delivery to one of 1,000 above 100 ns when messages come
//! singly, for the kernel takes 5 to 10 µs for the write and we should not be seen next to it; and 16 messages a turn
//! that cost a subscriber anything like 16 times what one does.

mod per_unit;
mod room;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::config::DeflateConfig;
use fanwire::protocol::unmasked_frame_len;
use per_unit::{group, measure};
use room::Room;

const PAYLOAD_LEN: usize = 64;
const SUBSCRIBERS: [usize; 3] = [1, 100, 1_000];
const MESSAGES_PER_TURN: [usize; 2] = [1, 16];

fn publications(criterion: &mut Criterion) {
    let mut group = group(criterion, "publish");
    for subscribers in SUBSCRIBERS {
        for messages in MESSAGES_PER_TURN {
            let mut room = plain_room(subscribers, messages);
            let name = format!("to {subscribers}, {messages} a turn");
            measure(&mut group, &name, messages as u64, PAYLOAD_LEN as u64, || _ = room.turn());
        }
    }
}

fn deliveries(criterion: &mut Criterion) {
    let mut group = group(criterion, "deliver");
    for subscribers in SUBSCRIBERS {
        for messages in MESSAGES_PER_TURN {
            let mut room = plain_room(subscribers, messages);
            let name = format!("to each of {subscribers}, {messages} a turn");
            let deliveries = (messages * subscribers) as u64;
            measure(&mut group, &name, deliveries, PAYLOAD_LEN as u64, || _ = room.turn());
        }
    }
}

fn plain_room(subscribers: usize, messages: usize) -> Room {
    let mut room = Room::new(DeflateConfig::default(), "", subscribers, &[7; PAYLOAD_LEN], messages);
    assert_eq!(
        room.turn(),
        unmasked_frame_len(PAYLOAD_LEN) * messages * subscribers,
        "everyone gets everything"
    );
    room
}

criterion_group!(benches, publications, deliveries);
criterion_main!(benches);
