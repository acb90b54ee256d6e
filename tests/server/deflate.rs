//! permessage-deflate on real sockets: compressed once for everyone with the same window, and whoever inflates a lot
//! troubles nobody else.

use crate::client::{Client, Raw, Received, SAMPLE_101, assert_closed, masked, upgrade_with};
use crate::crowd::Crowd;
use crate::process::{Process, fanwire};
use crate::running::Running;
use fanwire::limits::{DEFLATE_BYTES_MIN_DEFAULT, DEFLATE_LEVEL_DEFAULT};
use fanwire::metrics::Totals;
use fanwire::protocol::{
    CloseCode, Compressing, DeflateOffer, Deflater, Kind, Window, WindowBits, append_message,
};
use std::net::SocketAddr;
use std::thread;

const LARGE: DeflateOffer = DeflateOffer::PLAIN;

const SMALL: DeflateOffer =
    DeflateOffer { server_max_window_bits: WindowBits::new(10), ..DeflateOffer::PLAIN };

/// "Hello", compressed (RFC 7692 §7.2.3.1), and what says it again to who remembers it (§7.2.3.2).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

/// How a server compresses unless told otherwise.
const DEFAULT: Compressing =
    Compressing { level: DEFLATE_LEVEL_DEFAULT, bytes_min: DEFLATE_BYTES_MIN_DEFAULT };

/// A client without compression, one with a large window, one with a small one.
fn one_of_each(server: &Running, target: &str) -> Vec<Client> {
    let clients = vec![server.client(target), server.offering(target, LARGE), server.offering(target, SMALL)];
    let windows = clients.iter().map(|client| client.deflate().map(|deflate| deflate.server_window_bits()));
    assert_eq!(windows.collect::<Vec<_>>(), [None, Some(15), Some(9)]);
    clients
}

/// Bytes that cannot be compressed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// A text of `len` bytes, numbers that do not repeat.
fn numbers(len: usize) -> String {
    let numbers = (0..len).map(|number| format!("{},", number * 7919)).collect::<Vec<_>>();
    numbers.concat()[..len].to_owned()
}

/// Opens a WebSocket that offers this; returns what the server answers.
fn offer(address: SocketAddr, target: &str, offer: &str) -> (Raw, Option<String>) {
    let mut raw = Raw::connect(address);
    raw.send(upgrade_with(target, &format!("Sec-WebSocket-Extensions: {offer}\r\n")));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head += &raw.read_text(1);
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut answers = head.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let answer = answers.next().map(str::to_owned);
    assert_eq!(answers.next(), None, "{head}");
    (raw, answer)
}

/// The frame that a server with these options makes of a text for everyone with this window.
fn deflated(how: Compressing, window: Window, text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    assert!(Deflater::new(how).append_message(window, Kind::Text, text.as_bytes(), &mut frame));
    frame
}

// ---- One channel --------------------------------------------------------------------------------------------------------

#[test]
fn who_compresses_and_who_does_not_hear_the_same_messages_in_the_same_order() {
    for workers in [1, 2] {
        let server = Running::start(workers, |_| {});
        let mut clients = one_of_each(&server, "/ws");
        clients.extend(one_of_each(&server, "/ws"));
        let count = 40;
        let message = |name: usize, number: usize| match number % 4 {
            0 => format!("{name} {number} short").into_bytes(),
            1 => format!("{name} {number} said again and again, ").repeat(20).into_bytes(),
            2 => [format!("{name} {number} ").as_bytes(), &noise(1_000)].concat(),
            _ => format!("{name} {number} long, ").repeat(5_000).into_bytes(),
        };
        let heard: Vec<Vec<Received>> = thread::scope(|scope| {
            let threads = clients.iter_mut().enumerate().map(|(name, client)| {
                scope.spawn(move || {
                    // One of each kind speaks, all listen.
                    for number in 0..if name < 3 { count } else { 0 } {
                        client.send_messages(Kind::Binary, [message(name, number)]);
                    }
                    (0..3 * count).map(|_| client.receive()).collect()
                })
            });
            threads
                .collect::<Vec<_>>()
                .into_iter()
                .map(|thread| thread.join().expect("it hears all"))
                .collect()
        });
        for other in &heard[1..] {
            assert!(*other == heard[0], "one order for all");
        }
        for name in 0..3 {
            let mine = heard[0].iter().filter(|received| {
                matches!(received, Received::Binary(bytes) if bytes.starts_with(format!("{name} ").as_bytes()))
            });
            assert!(mine.eq(
                (0..count).map(|number| Received::Binary(message(name, number))).collect::<Vec<_>>().iter()
            ));
        }
        let totals = server.totals();
        assert_eq!((totals.handshakes_deflated, totals.slow_consumers_closed), (4, 0));
    }
}

#[test]
fn a_publication_is_compressed_once_for_each_window_however_many_listen() {
    for workers in [1, 2] {
        let server = Running::start(workers, |_| {});
        let message = "said again and again, ".repeat(20);
        let mut clients = vec![server.client("/ws"), server.client("/ws")];
        let hear = |clients: &mut Vec<Client>, message: &str| {
            clients[0].send(message);
            for client in clients.iter_mut() {
                assert_eq!(client.text(), message);
            }
            server.totals().publications_deflated
        };
        assert_eq!(hear(&mut clients, &message), 0, "nobody wants it");
        clients.extend((0..10).map(|_| server.offering("/ws", LARGE)));
        assert_eq!(hear(&mut clients, &message), 1);
        clients.extend((0..10).map(|_| server.offering("/ws", SMALL)));
        assert_eq!(hear(&mut clients, &message), 3);
        assert_eq!(hear(&mut clients, &message), 5);
        // What is short, or does not get smaller, is sent to all as it is.
        assert_eq!(hear(&mut clients, "short"), 5);
        clients[0].send_binary(&noise(1_000));
        for client in &mut clients {
            assert_eq!(client.receive(), Received::Binary(noise(1_000)));
        }
        assert_eq!(server.totals().publications_deflated, 5);
    }
}

#[test]
fn what_is_compressed_takes_few_bytes_on_the_wire_in_both_directions() {
    let server = Running::start(1, |_| {});
    let mut client = server.offering("/ws", LARGE);
    let before = server.totals();
    let message = "x".repeat(100_000);
    client.send(&message);
    assert_eq!(client.text(), message);
    let after = server.until("it is counted", |totals| totals.bytes_written > before.bytes_written);
    assert_eq!(after.message_bytes_received, 100_000, "as it was said");
    assert!(
        after.bytes_read - before.bytes_read < 2_000 && after.bytes_written - before.bytes_written < 2_000
    );
}

#[test]
fn the_least_size_is_128_bytes_and_the_level_3_unless_chosen_otherwise() {
    assert_eq!((DEFLATE_BYTES_MIN_DEFAULT, DEFLATE_LEVEL_DEFAULT), (128, 3));
    let server = Running::start(1, |_| {});
    let (mut raw, answer) = offer(server.address, "/ws", "permessage-deflate; client_max_window_bits");
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    let (short, long) = ("x".repeat(127), "x".repeat(128));
    raw.send(masked(0x81, short.as_bytes()));
    assert_eq!(raw.read(4 + 127), [b"\x81\x7e\x00\x7f", short.as_bytes()].concat());
    raw.send(masked(0x81, long.as_bytes()));
    let frame = deflated(DEFAULT, Window::Large, &long);
    assert_eq!(frame[0], 0xc1);
    assert_eq!(raw.read(frame.len()), frame);
}

#[test]
fn s7_1_2_1_who_asked_for_a_small_window_gets_what_was_compressed_with_one() {
    let server = Running::start(1, |_| {});
    // Half of it says again what stands 5,000 bytes before.
    let message = numbers(5_000).repeat(2);
    let mut sender = server.client("/ws?echo=off");
    let (mut large, _) = offer(server.address, "/ws", "permessage-deflate; server_max_window_bits=15");
    let (mut small, answer) = offer(server.address, "/ws", "permessage-deflate; server_max_window_bits=14");
    assert!(answer.is_some_and(|answer| answer.ends_with("server_max_window_bits=9")));
    sender.send(&message);
    let [by_large, by_small] =
        [Window::Large, Window::Small].map(|window| deflated(DEFAULT, window, &message));
    assert!(by_large.len() < by_small.len());
    assert_eq!(large.read(by_large.len()), by_large);
    assert_eq!(small.read(by_small.len()), by_small);
}

// ---- Agreements -------------------------------------------------------------------------------------------------------

#[test]
fn deflate_off_declines() {
    let server = Running::start(1, |config| config.deflate.enabled = false);
    let mut raw = server.raw();
    raw.send(upgrade_with("/ws", "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
    raw.send(masked(0xc1, HELLO));
    assert_eq!(raw.close_frame().0, 1002);
    assert_eq!(server.offering("/ws", LARGE).deflate(), None);
    assert_eq!(server.totals().handshakes_deflated, 0);
}

#[test]
fn options_and_variables_choose_level_least_size_and_whether_clients_keep_their_context() {
    let message = numbers(3_000);
    let options = ["--deflate-level", "9", "--deflate-min-size", "0", "--deflate-context-takeover", "--echo"];
    let variables = [
        ("FANWIRE_DEFLATE_LEVEL", "9"),
        ("FANWIRE_DEFLATE_MIN_SIZE", "0"),
        ("FANWIRE_DEFLATE_CONTEXT_TAKEOVER", "1"),
        ("FANWIRE_ECHO", "1"),
    ];
    let listen = ["--listen", "127.0.0.1:0"];
    for command in [fanwire().args(listen).args(options), fanwire().args(listen).envs(variables)] {
        let mut process = Process::spawn(command);
        let address = process.address();
        let (mut raw, answer) = offer(address, "/echo", "permessage-deflate");
        assert_eq!(answer.as_deref(), Some("permessage-deflate; server_no_context_takeover"));
        let how = Compressing { level: 9, bytes_min: 0 };
        for message in ["", "H", &message] {
            raw.send(masked(0x81, message.as_bytes()));
            let frame = deflated(how, Window::Large, message);
            assert_eq!(raw.read(frame.len()), frame);
        }
        let [level_9, level_3] =
            [9, 3].map(|level| deflated(Compressing { level, ..how }, Window::Large, &message));
        assert_ne!(level_9, level_3, "the level can be told");
        // A client that refers to what it said.
        raw.send(masked(0xc1, HELLO));
        raw.send(masked(0xc1, HELLO_AGAIN));
        let hello = deflated(how, Window::Large, "Hello");
        assert_eq!(raw.read(2 * hello.len()), hello.repeat(2));
    }
    let mut process = Process::spawn(fanwire().args(listen).env("FANWIRE_DEFLATE", "off"));
    assert_eq!(offer(process.address(), "/ws", "permessage-deflate").1, None);
    let mut process = Process::spawn(fanwire().args(listen).args(["--deflate", "off"]));
    assert_eq!(offer(process.address(), "/ws", "permessage-deflate").1, None);
}

#[test]
fn s7_1_1_2_a_client_that_keeps_its_context_although_it_may_not_is_closed_with_1007() {
    let server = Running::start(1, |_| {});
    let (mut raw, _) = offer(server.address, "/ws", "permessage-deflate");
    raw.send(masked(0xc1, HELLO));
    assert_eq!(raw.read(7), b"\x81\x05Hello");
    raw.send(masked(0xc1, HELLO_AGAIN));
    assert_eq!(raw.close_frame().0, 1007);
}

#[test]
fn an_idle_client_costs_nothing_more_and_one_that_keeps_its_context_what_it_said() {
    let server = Running::start(1, |config| config.deflate.client_context_takeover = true);
    let mut clients: Vec<Client> = (0..5).map(|_| server.offering("/ws", LARGE)).collect();
    clients[0].send_binary(&[7; 10_000]);
    for client in &mut clients {
        assert_eq!(client.receive(), Received::Binary(vec![7; 10_000]));
    }
    let held = |totals: &Totals| (10_000..11_000).contains(&totals.bytes_retained);
    server.until("the one that spoke is remembered", held);
    clients.remove(0).close();
    server.until("nothing is held for who is gone", |totals| totals.bytes_retained == 0);
}

#[test]
fn an_echo_comes_back_compressed_to_who_agreed_and_as_it_is_to_others() {
    let server = Running::start(2, |config| config.echo = true);
    let mut clients = one_of_each(&server, "/echo");
    for message in ["short".to_owned(), "said again and again, ".repeat(100)] {
        for client in &mut clients {
            client.send(&message);
            assert_eq!(client.text(), message);
            client.send_binary(message.as_bytes());
            assert_eq!(client.receive(), Received::Binary(message.clone().into_bytes()));
        }
    }
    let (mut raw, _) = offer(server.address, "/echo", "permessage-deflate");
    let message = "x".repeat(1_000);
    raw.send(masked(0x81, message.as_bytes()));
    let frame = deflated(DEFAULT, Window::Large, &message);
    assert!(frame.len() < 30);
    assert_eq!(raw.read(frame.len()), frame);
    assert_eq!(server.totals().publications_deflated, 0, "an echo is no publication");
}

// ---- Who inflates a lot ---------------------------------------------------------------------------------------------------

#[test]
fn a_bomb_closes_its_sender_with_1009_and_nobody_else() {
    let server = Running::start(1, |_| {});
    let mut clients = one_of_each(&server, "/ws");
    for (count, offer) in (1..).zip([LARGE, SMALL]) {
        let mut bomber = server.offering("/ws", offer);
        bomber.send_binary(&vec![0; (1 << 20) + 1]);
        assert_closed(&bomber.closure(), CloseCode::MESSAGE_TOO_BIG, "larger than");
        assert_eq!(server.totals().protocol_failures, count);
    }
    let (mut corrupt, _) = offer(server.address, "/ws", "permessage-deflate");
    corrupt.send(masked(0xc1, b"\x06"));
    assert_eq!(corrupt.close_frame(), (1007, "the message's compressed data is corrupt".to_owned()));
    // Exactly the limit is no bomb.
    clients[1].send_binary(&vec![0; 1 << 20]);
    clients[0].send("others go on");
    for client in &mut clients {
        assert!(client.receive() == Received::Binary(vec![0; 1 << 20]));
        assert_eq!(client.text(), "others go on");
    }
    assert_eq!((server.totals().messages_received, server.totals().protocol_failures), (2, 3));
}

/// 64 KiB that compress to next to nothing, and can be told from one another.
fn inflating(number: usize) -> Vec<u8> {
    let mut message = vec![0; 64 << 10];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

#[test]
fn many_small_frames_that_inflate_a_lot_reach_everyone_and_make_nobody_slow() {
    // Of more, a busy machine that lets the listeners read late may well make them slow.
    let count = 100;
    let mut stream = Vec::new();
    for number in 0..count {
        append_message(Kind::Binary, &inflating(number), &mut stream);
    }
    for (workers, offer) in [(1, LARGE), (2, SMALL)] {
        let server = Running::start(workers, |_| {});
        // Who gets every byte, and might be slow.
        let mut plain = Crowd::connect(server.address, "/ws", 2);
        let mut inflaters = [server.offering("/ws", LARGE), server.offering("/ws", SMALL)];
        let mut sender = server.offering("/ws?echo=off", offer);
        let mut other = server.client("/ws/other");
        thread::scope(|scope| {
            scope.spawn(|| plain.listen_to_all(stream.len()));
            for inflater in &mut inflaters {
                scope.spawn(move || {
                    for number in 0..count {
                        assert!(
                            inflater.receive() == Received::Binary(inflating(number)),
                            "message {number}"
                        );
                    }
                });
            }
            // Some 33 KB in one write are 6.5 MB inflated, more than three times the outbox limit.
            sender.send_messages(Kind::Binary, (0..count).map(inflating));
            other.send("meanwhile");
            assert_eq!(other.text(), "meanwhile");
        });
        assert!(plain.stream == stream, "every byte, and not one more");
        sender.send("still here");
        for inflater in &mut inflaters {
            assert_eq!(inflater.text(), "still here");
        }
        let totals = server.until("all is delivered", |totals| totals.bytes_retained == 0);
        assert_eq!((totals.slow_consumers_closed, totals.protocol_failures), (0, 0));
        assert_eq!(totals.messages_received, count as u64 + 2);
    }
}

// ---- The orderly end ----------------------------------------------------------------------------------------------------

#[test]
fn what_was_accepted_is_delivered_compressed_too_before_the_1001() {
    for workers in [1, 2] {
        let server = Running::start(workers, |config| config.limits.close_timeout_ms = 10_000);
        let mut clients: Vec<Client> = (0..10).flat_map(|_| one_of_each(&server, "/ws")).collect();
        let message = |number: usize| format!("{number} {}", "again and again ".repeat(20));
        clients[1].send_all((0..100).map(message));
        server.until("they are accepted", |totals| totals.messages_received == 100);
        server.drain();
        for client in clients {
            let (texts, closure) = client.rest();
            assert!(texts.into_iter().eq((0..100).map(message)));
            assert_closed(&closure, CloseCode::GOING_AWAY, "shutting down");
        }
        server.wait();
    }
}

#[test]
fn a_drain_in_the_midst_of_what_inflates_a_lot_ends_and_all_hear_the_same_of_it() {
    let server = Running::start(2, |config| config.limits.close_timeout_ms = 10_000);
    let mut clients = one_of_each(&server, "/ws");
    clients[1].send_all((0..300).map(|number| format!("{number:050000}")));
    server.until("some of it is accepted", |totals| totals.messages_received > 0);
    server.drain();
    let heard: Vec<Vec<String>> = thread::scope(|scope| {
        let threads = clients.into_iter().map(|client| scope.spawn(move || client.rest()));
        let ends = threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("it ends"));
        ends.map(|(texts, closure)| {
            assert_closed(&closure, CloseCode::GOING_AWAY, "shutting down");
            texts
        })
        .collect()
    });
    let totals = server.wait();
    assert_eq!(heard[0].len() as u64, totals.messages_received, "what was accepted, and no more");
    for texts in &heard {
        assert!(texts.iter().enumerate().all(|(number, text)| *text == format!("{number:050000}")));
        assert_eq!(texts.len(), heard[0].len());
    }
}
