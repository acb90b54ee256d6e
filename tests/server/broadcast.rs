//! What one client says, everyone in its channel hears, in one order.

use crate::client::{Client, Received};
use crate::running::Running;
use fanwire::protocol::Kind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[test]
fn text_and_binary_go_verbatim_to_everyone_and_the_sender() {
    let server = Running::start(2, |_| {});
    let mut clients = [server.client("/ws/a"), server.client("/ws/a"), server.client("/ws/a")];
    let every_byte: Vec<u8> = (0..=255).collect();
    clients[0].send("{\"grüße\": \"\u{0}\u{1f980}\"}");
    clients[0].send_binary(&every_byte);
    clients[0].send("");
    clients[0].send_binary(b"");
    for client in &mut clients {
        assert_eq!(client.receive(), Received::Text("{\"grüße\": \"\u{0}\u{1f980}\"}".to_owned()));
        assert_eq!(client.receive(), Received::Binary(every_byte.clone()));
        assert_eq!(client.receive(), Received::Text(String::new()));
        assert_eq!(client.receive(), Received::Binary(Vec::new()));
    }
}

#[test]
fn messages_of_every_size_arrive_whole() {
    let server = Running::start(2, |_| {});
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
    for size in [1, 125, 126, 127, 65_535, 65_536, 65_537, 300_000, 1 << 20] {
        let payload: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
        ann.send_binary(&payload);
        for client in [&mut ann, &mut bob] {
            assert!(client.receive() == Received::Binary(payload.clone()), "{size} bytes");
        }
    }
}

#[test]
fn s5_4_fragments_arrive_as_one_message() {
    let server = Running::start(2, |_| {});
    let (mut ann, mut bob) = (server.client("/ws"), server.client("/ws"));
    // The euro sign is cut in two.
    ann.send_fragments(Kind::Text, &[b"3 \xe2", b"", b"\x82\xac", b"!"]);
    assert_eq!(bob.text(), "3 €!");
}

#[test]
fn echo_off_leaves_out_the_sender_and_only_it() {
    let server = Running::start(2, |_| {});
    let (mut ann, mut bob) = (server.client("/ws/a?echo=off"), server.client("/ws/a?x=y&echo=off"));
    let mut cid = server.client("/ws/a?echo=on");
    ann.send("from ann");
    assert_eq!((bob.text(), cid.text()), ("from ann".to_owned(), "from ann".to_owned()));
    bob.send("from bob");
    assert_eq!((ann.text(), cid.text()), ("from bob".to_owned(), "from bob".to_owned()));
    cid.send("from cid");
    assert_eq!([ann.text(), bob.text(), cid.text()], ["from cid"; 3]);
}

#[test]
fn who_asked_for_echo_off_hears_all_the_others_in_the_channels_order() {
    let server = Running::start(3, |_| {});
    let mut all = server.client("/ws/a");
    let others: Vec<Client> = (0..3).map(|_| server.client("/ws/a?echo=off")).collect();
    let count = 300;
    let heard: Vec<Vec<String>> = thread::scope(|scope| {
        let threads: Vec<_> = others
            .into_iter()
            .enumerate()
            .map(|(name, mut client)| {
                scope.spawn(move || {
                    for burst in 0..count / 10 {
                        client.send_all((0..10).map(|at| format!("{name} {}", 10 * burst + at)));
                    }
                    client.texts(2 * count)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it hears all")).collect()
    });
    let everything = all.texts(3 * count);
    for (name, heard) in heard.iter().enumerate() {
        let own = format!("{name} ");
        let expected: Vec<&String> = everything.iter().filter(|text| !text.starts_with(&own)).collect();
        assert!(heard.iter().eq(expected), "all but its own, in the one order");
    }
}

#[test]
fn channels_do_not_hear_each_other() {
    let server = Running::start(2, |_| {});
    let names = ["/ws", "/ws/a", "/ws/b", "/ws/a/b", "/ws/A"];
    let mut clients = names.map(|name| server.client(name));
    for (client, name) in clients.iter_mut().zip(names) {
        client.send(name);
    }
    for (client, name) in clients.iter_mut().zip(names) {
        client.send("end");
        assert_eq!(client.texts(2), [name, "end"]);
    }
}

#[test]
fn two_subscribers_hear_two_publishers_in_the_same_order() {
    let server = Running::start(1, |_| {});
    let mut subscribers = [server.client("/ws"), server.client("/ws")];
    let publishers = ["ann", "bob"].map(|name| (name, server.client("/ws?echo=off")));
    thread::scope(|scope| {
        for (name, mut publisher) in publishers {
            scope.spawn(move || {
                for number in 0..200 {
                    publisher.send(&format!("{name} {number}"));
                }
                publisher.texts(200);
            });
        }
    });
    let heard = subscribers.each_mut().map(|subscriber| subscriber.texts(400));
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn who_has_its_101_misses_nothing_that_is_published_after_it() {
    let server = Running::start(4, |_| {});
    let (begun, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let address = server.address;
    // Somebody stays in the channel, so that it lives as long as the test.
    let mut publisher = server.client("/ws/busy");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::SeqCst) {
                for _ in 0..8 {
                    number += 1;
                    // Whoever reads a smaller number had its 101 before this one was published.
                    begun.store(number, Ordering::SeqCst);
                    publisher.send(&number.to_string());
                }
                publisher.texts(8);
            }
        });
        let joiners: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..60 {
                        let mut joiner = Client::connect(address, "/ws/busy");
                        let before = begun.load(Ordering::SeqCst);
                        let first: usize = joiner.text().parse().expect("a number");
                        assert!(first <= before + 1, "{first} is the first although {before} came before it");
                        for expected in first + 1..first + 20 {
                            assert_eq!(joiner.text(), expected.to_string(), "no gap behind {first}");
                        }
                    }
                })
            })
            .collect();
        let all_heard_all = joiners.into_iter().all(|joiner| joiner.join().is_ok());
        is_over.store(true, Ordering::SeqCst);
        assert!(all_heard_all, "see above");
    });
}

#[test]
fn who_has_its_101_in_a_channel_that_opens_or_closes_just_now_misses_nothing_either() {
    let server = Running::start(4, |_| {});
    let address = server.address;
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..60 {
                    // Two rounds in each channel: the second finds an interest without a subscriber.
                    let target = format!("/ws/{thread}-{}", round / 2);
                    let (mut ann, mut bob) =
                        (Client::connect(address, &target), Client::connect(address, &target));
                    ann.send("one");
                    bob.send("two");
                    let mut heard = ann.texts(2);
                    assert_eq!(bob.texts(2), heard);
                    heard.sort();
                    assert_eq!(heard, ["one", "two"]);
                }
            });
        }
    });
}

#[test]
fn who_leaves_or_is_lost_in_the_middle_of_a_stream_disturbs_nobody() {
    let server = Running::start(2, |_| {});
    let address = server.address;
    let mut listener = server.client("/ws");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let passing = scope.spawn(|| {
            let mut churn = 0;
            while !is_over.load(Ordering::SeqCst) {
                let mut passer_by = Client::connect(address, "/ws");
                passer_by.text();
                churn += 1;
                if churn % 2 == 0 {
                    // Unread bytes make this a reset.
                    drop(passer_by);
                } else {
                    passer_by.send_raw(&crate::client::masked(0x88, b"\x03\xe8"));
                    passer_by.rest();
                }
            }
        });
        let mut publisher = server.client("/ws?echo=off");
        for number in 0..2_000 {
            publisher.send(&number.to_string());
            assert_eq!(listener.text(), number.to_string());
        }
        is_over.store(true, Ordering::SeqCst);
        // The last one that came waits for a message, however late it came.
        while !passing.is_finished() {
            publisher.send("end");
            assert_eq!(listener.text(), "end");
        }
    });
}
