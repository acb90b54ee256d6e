//! Several workers: clients are spread over them, and every channel has one order all the same.

use crate::client::{Client, Received};
use crate::crowd::{Crowd, texts};
use crate::running::Running;
use std::thread;

#[test]
fn every_subscriber_of_a_channel_on_every_worker_hears_the_same_sequence() {
    let (channels, publishers, listeners, count) = (3, 4, 8, 150);
    let server = Running::start(4, |_| {});
    thread::scope(|scope| {
        for channel in 0..channels {
            let target = format!("/ws/channel-{channel}");
            let listeners: Vec<Client> = (0..listeners).map(|_| server.client(&target)).collect();
            let publishers: Vec<Client> = (0..publishers).map(|_| server.client(&target)).collect();
            scope.spawn(move || {
                let expected = publishers.len() * count;
                let heard: Vec<Vec<String>> = thread::scope(|scope| {
                    let publishers = publishers.into_iter().enumerate().map(|(name, mut client)| {
                        scope.spawn(move || {
                            for number in 0..count {
                                client.send(&format!("{channel} {name} {number}"));
                            }
                            client.texts(expected)
                        })
                    });
                    let publishers: Vec<_> = publishers.collect();
                    let listeners =
                        listeners.into_iter().map(|mut client| scope.spawn(move || client.texts(expected)));
                    let threads: Vec<_> = publishers.into_iter().chain(listeners).collect();
                    threads.into_iter().map(|thread| thread.join().expect("it hears all")).collect()
                });
                for other in &heard[1..] {
                    assert!(*other == heard[0], "one order for all");
                }
                assert_each_publishers_order(&heard[0], count);
            });
        }
    });
}

/// Each publisher's messages, whose last word counts them, stand in the order in which it sent them, without a gap.
fn assert_each_publishers_order(heard: &[String], count: usize) {
    let mut publishers: Vec<(&str, usize)> = Vec::new();
    for text in heard {
        let (name, number) = text.rsplit_once(' ').expect("a name and a number");
        let at = publishers.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            publishers.push((name, 0));
            publishers.len() - 1
        });
        assert_eq!(number.parse(), Ok(publishers[at].1), "the next of {name}");
        publishers[at].1 += 1;
    }
    assert!(publishers.iter().all(|(_, heard)| *heard == count), "{publishers:?}");
}

#[test]
fn large_messages_cross_between_workers_whole() {
    let server = Running::start(4, |_| {});
    let mut listeners: Vec<Client> = (0..8).map(|_| server.client("/ws")).collect();
    let publishers: Vec<Client> = (0..3).map(|_| server.client("/ws?echo=off")).collect();
    thread::scope(|scope| {
        for (name, mut publisher) in (0_u8..).zip(publishers) {
            scope.spawn(move || {
                for size in [100_000, 3, 1_000_000, 70_000, 65_536] {
                    publisher.send_binary(&vec![name; size]);
                }
                for _ in 0..10 {
                    publisher.receive();
                }
            });
        }
        for listener in &mut listeners {
            scope.spawn(move || {
                let mut sizes: [Vec<usize>; 3] = Default::default();
                for _ in 0..15 {
                    let Received::Binary(payload) = listener.receive() else { panic!("binary") };
                    let name = payload[0];
                    assert!(payload.iter().all(|byte| *byte == name), "one publisher's bytes");
                    sizes[usize::from(name)].push(payload.len());
                }
                assert_eq!(sizes, [(); 3].map(|()| vec![100_000, 3, 1_000_000, 70_000, 65_536]));
            });
        }
    });
}

#[test]
fn a_thousand_clients_on_two_workers_all_hear_a_thousand_messages_of_ten_publishers_in_the_same_order() {
    let (clients, publishers, each) = (1_000, 10, 100);
    let server = Running::start(2, |_| {});
    let mut crowd = Crowd::connect(server.address, "/ws/crowd", clients);
    for number in 0..each {
        for publisher in 0..publishers {
            crowd.say(publisher, &format!("{publisher} {number}"));
        }
        if number % 10 == 9 {
            crowd.listen();
        }
    }
    let bytes: usize = (0..each).map(|number| publishers * (2 + format!("0 {number}").len())).sum();
    crowd.listen_to_all(bytes);
    assert_eq!(crowd.stream.len(), bytes, "not one byte more");
    let heard = texts(&crowd.stream);
    assert_eq!(heard.len(), publishers * each);
    assert_each_publishers_order(&heard, each);
    let totals = server.totals();
    assert_eq!(totals.publications, 1_000);
    assert_eq!(totals.deliveries_queued, 1_000_000);
    assert_eq!(totals.slow_consumers_closed, 0);
}
