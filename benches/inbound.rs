//! How many messages a second does one core read?
//!
//! A stream of masked frames, as a client sends it, goes through `protocol::Connection` in reads of up to 256 KiB, as a
//! worker does them. An element is a message: "time" is nanoseconds per message, "thrpt" messages and payload bytes a
//! second. The kernel's part, a read of 256 KiB at a time, is not in it.
//!
//! Bad news: a message of 16 bytes above 100 ns, or messages of 64 KiB below 5 GiB/s; then reading would cost as much
//! as the kernel does. Text is checked as UTF-8 on top: less than half the binary figure would be bad news.

mod per_unit;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::limits::{Limits, SCRATCH_BYTES};
use fanwire::protocol::{
    Agreement, Connection, Event, MaskingKey, Opcode, Time, Utf8Validator, append_frame, mask,
};
use per_unit::{group, measure};
use std::hint::black_box;
use std::sync::Arc;

/// Below 0x80 in each byte: ASCII stays ASCII under it. A stream that was unmasked in place is therefore as good as
/// before the next time it is read, and need not be copied.
const KEY: MaskingKey = MaskingKey([0x37, 0x7a, 0x21, 0x3d]);

fn messages(criterion: &mut Criterion) {
    let mut group = group(criterion, "read a message");
    for (name, payload_len) in [("16 B", 16), ("128 B", 128), ("1 KiB", 1 << 10), ("64 KiB", (64 << 10) - 14)]
    {
        for (kind, opcode) in [("binary", Opcode::Binary), ("text", Opcode::Text)] {
            let (mut stream, messages) = stream(opcode, payload_len);
            let mut connection = open_connection();
            let mut out = Vec::new();
            measure(&mut group, &format!("{kind} of {name}"), messages, payload_len as u64, || {
                let mut input = stream.as_mut_slice();
                let mut read = 0;
                while let Some(event) = connection.next_event(&mut input, Time(0), &mut out) {
                    assert!(matches!(black_box(event), Event::Message(_)));
                    read += 1;
                }
                assert_eq!((read, out.len()), (messages, 0));
            });
        }
    }
}

fn parts(criterion: &mut Criterion) {
    let mut group = group(criterion, "of which");
    for (name, len) in [("16 B", 16), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        let mut payload = vec![b'x'; len];
        measure(&mut group, &format!("unmask {name}"), 1, len as u64, || {
            mask::apply(KEY, black_box(&mut payload), 1);
        });
    }
    let ascii = "fanwire ".repeat(8 << 10);
    let mixed = "κόσμε €1 😀 ".repeat(3 << 10);
    for (name, text) in [("ASCII", &ascii), ("mixed text", &mixed)] {
        measure(&mut group, &format!("check UTF-8, 64 KiB of {name}"), 1, text.len() as u64, || {
            let mut validator = Utf8Validator::new();
            validator.push(black_box(text.as_bytes())).expect("it is text");
            validator.finish().expect("it is whole");
        });
    }
    measure(
        &mut group,
        "check UTF-8, 64 KiB of mixed text in pieces of 100 B",
        1,
        mixed.len() as u64,
        || {
            let mut validator = Utf8Validator::new();
            for piece in black_box(mixed.as_bytes()).chunks(100) {
                validator.push(piece).expect("it is text");
            }
            validator.finish().expect("it is whole");
        },
    );
}

/// As many frames as one read brings, and how many they are.
fn stream(opcode: Opcode, payload_len: usize) -> (Vec<u8>, u64) {
    let mut frame = Vec::new();
    append_frame(true, opcode, Some(KEY), &vec![b'x'; payload_len], &mut frame);
    let messages = SCRATCH_BYTES / frame.len();
    (frame.repeat(messages), messages as u64)
}

fn open_connection() -> Connection {
    let mut request = *b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut connection = Connection::server(Arc::new(Limits::default()), Time(0));
    let mut out = Vec::new();
    let event = connection.next_event(&mut request.as_mut_slice(), Time(0), &mut out);
    assert!(matches!(event, Some(Event::Requested(_))));
    connection.accept(Agreement::default(), Time(0), &mut out);
    connection
}

criterion_group!(benches, messages, parts);
criterion_main!(benches);
