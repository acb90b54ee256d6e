//! What does an opening handshake cost?
//!
//! A browser's request of a dozen headers goes in, the 101 comes out: parsing, checking, the SHA-1 of the key, the
//! response. An element is a handshake: "time" is per handshake, "thrpt" handshakes and request bytes a second. Accepting
//! the TCP connection, which costs the kernel tens of microseconds, is not in it.
//!
//! Bad news: above 20 µs when whole, for then ten thousand clients that come back at once take a core for longer than
//! the kernel does; and byte by byte more than 100 times the whole, for then a slow client buys our time with its own.

mod per_unit;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::limits::Limits;
use fanwire::protocol::{Agreement, Connection, Event, Time};
use per_unit::{group, measure};
use std::hint::black_box;
use std::sync::Arc;

const REQUEST: &[u8] = b"GET /ws/lobby HTTP/1.1\r\n\
    Host: chat.example.org:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\n\
    Accept-Language: en-GB,en;q=0.8,de;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Origin: http://chat.example.org:8080\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: websocket\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    Upgrade: websocket\r\n\r\n";

fn handshakes(criterion: &mut Criterion) {
    let mut group = group(criterion, "accept a handshake");
    let limits = Arc::new(Limits::default());
    let mut out = Vec::new();
    for (name, piece_len) in
        [("whole", REQUEST.len()), ("in two", REQUEST.len() / 2 + 1), ("byte by byte", 1)]
    {
        let mut request = REQUEST.to_vec();
        measure(&mut group, name, 1, REQUEST.len() as u64, || {
            let mut connection = Connection::server(limits.clone(), Time(0));
            for mut piece in request.chunks_mut(piece_len) {
                if let Some(event) = connection.next_event(&mut piece, Time(0), &mut out) {
                    assert!(matches!(black_box(event), Event::Requested(_)));
                    connection.accept(Agreement::default(), Time(0), &mut out);
                }
            }
            assert!(connection.is_open() && out.starts_with(b"HTTP/1.1 101 "));
            out.clear();
        });
    }
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
