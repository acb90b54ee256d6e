//! How many deliveries a second arrive over loopback, and how long does one message take to reach everyone?
//!
//! A whole server with one worker, and 100 subscribers on a thread of clients next to it, all in this process. One of
//! them publishes a window of messages of 64 bytes, and when all have come to all the next window goes out. An element
//! is a delivery: "time" is per delivery, "thrpt" deliveries a second, as a client sees them. With one message at a time,
//! 100 × "time" is how long the last of 100 waits for it.
//!
//! Clients and worker share the machine, so this is no record, but it moves with what users see. Bad news: fewer than
//! 100,000 deliveries a second one at a time, where a delivery is a system call on each side; and 64 at a time not ten
//! times that, for then writes do not carry what has come since the last one.

mod per_unit;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::config::Config;
use fanwire::protocol::{MaskingKey, Opcode, append_frame, unmasked_frame_len};
use fanwire::server::Server;
use per_unit::{group, measure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const SUBSCRIBERS: usize = 100;
const PAYLOAD_LEN: usize = 64;

fn windows(criterion: &mut Criterion) {
    let config = Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()], ..Config::default() };
    let server = Server::start(config).expect("a server starts on a free port");
    let mut clients: Vec<_> = (0..SUBSCRIBERS).map(|_| subscribe(server.addresses()[0])).collect();

    let mut group = group(criterion, "broadcast to 100");
    for window in [1, 16, 64] {
        let mut frame = Vec::new();
        append_frame(true, Opcode::Binary, Some(MaskingKey(*b"key!")), &[7; PAYLOAD_LEN], &mut frame);
        let frames = frame.repeat(window);
        let mut received = vec![0; unmasked_frame_len(PAYLOAD_LEN) * window];
        let name = format!("{window} at a time");
        measure(&mut group, &name, (window * SUBSCRIBERS) as u64, PAYLOAD_LEN as u64, || {
            clients[0].write_all(&frames).expect("the server reads");
            for client in &mut clients {
                client.read_exact(&mut received).expect("what is published arrives");
            }
        });
        assert_eq!(received[received.len() - PAYLOAD_LEN..], [7; PAYLOAD_LEN]);
    }
    group.finish();

    drop(clients);
    server.drain();
    server.wait().expect("the server ends in order");
}

fn subscribe(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("the server listens");
    client.set_nodelay(true).expect("a socket option");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    client
        .write_all(
            b"GET /ws/bench HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .expect("the server reads");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a response comes");
        response.extend(byte);
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "));
    client
}

criterion_group!(benches, windows);
criterion_main!(benches);
