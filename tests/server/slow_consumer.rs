//! A client that does not read: only it suffers.

use crate::client::{Client, Raw, SAMPLE_101, assert_closed, connect, masked, upgrade};
use crate::crowd::Crowd;
use crate::running::Running;
use fanwire::config::Config;
use fanwire::protocol::{CloseCode, DeflateOffer};
use std::ops::Range;

const MESSAGE_BYTES: usize = 8 << 10;
const OUTBOX_BYTES: usize = 128 << 10;

fn configure(config: &mut Config) {
    config.limits.message_bytes_max = 2 * MESSAGE_BYTES;
    config.limits.outbox_bytes_max = OUTBOX_BYTES;
    config.send_buffer_bytes = Some(16 << 10);
    // However late a busy machine lets a client read, its Close frame is still there.
    config.limits.close_timeout_ms = 60_000;
}

fn message(number: usize) -> String {
    format!("{number:0MESSAGE_BYTES$}")
}

fn lazy(server: &Running) -> Client {
    Client::with_receive_buffer(server.address, "/ws", 8 << 10)
}

#[test]
fn who_lags_over_the_outbox_limit_is_closed_with_1008_and_the_others_hear_everything() {
    for workers in [1, 3] {
        let server = Running::start(workers, configure);
        let (mut publisher, mut listener, lazy) = (server.client("/ws"), server.client("/ws"), lazy(&server));
        let mut count = 0;
        while server.totals().slow_consumers_closed == 0 {
            publisher.send(&message(count));
            // Each in time: nobody waits for who does not read.
            assert!(publisher.text() == message(count) && listener.text() == message(count));
            count += 1;
            assert!(count < 1_000, "8 MB are over any limit");
        }
        assert!(count * MESSAGE_BYTES > OUTBOX_BYTES, "not before the limit: {count} messages");
        let (heard, closure) = lazy.rest();
        assert_closed(&closure, CloseCode::POLICY_VIOLATION, "slow consumer");
        assert!(heard.len() < count, "it was told of a gap by being closed");
        assert!(heard.iter().enumerate().all(|(number, text)| *text == message(number)), "whole, in order");
        let totals = server.until("nothing is held for who is gone", |totals| totals.bytes_retained == 0);
        assert_eq!(totals.slow_consumers_closed, 1);
        assert!(totals.slow_consumer_bytes_dropped > OUTBOX_BYTES as u64);
        publisher.send("after");
        assert_eq!((&*publisher.text(), &*listener.text()), ("after", "after"));
    }
}

#[test]
fn who_never_reads_even_its_close_frame_is_gone_after_the_close_timeout() {
    let server = Running::start(1, |config| {
        configure(config);
        config.limits.close_timeout_ms = 200;
    });
    let (mut publisher, lazy) = (server.client("/ws"), lazy(&server));
    let mut count = 0;
    while server.totals().slow_consumers_closed == 0 {
        publisher.send(&message(count));
        publisher.text();
        count += 1;
        assert!(count < 1_000, "8 MB are over any limit");
    }
    server.until("only the publisher is left, and nothing is held", |totals| {
        totals.connections_open == 1 && totals.bytes_retained == 0
    });
    drop(lazy);
}

#[test]
fn who_lags_less_than_the_outbox_limit_gets_everything_when_it_reads() {
    let server = Running::start(2, configure);
    let (mut publisher, mut lazy) = (server.client("/ws"), lazy(&server));
    // Far more than the kernels hold, but not more than the limit behind what they hold.
    let count = OUTBOX_BYTES / MESSAGE_BYTES;
    for round in 0..5 {
        for number in 0..count {
            publisher.send(&message(round * count + number));
            publisher.text();
        }
        assert!(server.totals().bytes_retained > 0, "it lags");
        for number in 0..count {
            assert!(lazy.text() == message(round * count + number));
        }
    }
    let totals = server.until("all is delivered", |totals| totals.bytes_retained == 0);
    assert_eq!(totals.slow_consumers_closed, 0);
}

#[test]
fn many_that_do_not_read_are_all_closed_while_the_others_hear_everything() {
    let server = Running::start(2, configure);
    let lazy: Vec<Client> = (0..50).map(|_| lazy(&server)).collect();
    let mut listeners: Vec<Client> = (0..4).map(|_| server.client("/ws")).collect();
    let mut publisher = server.client("/ws");
    for number in 0..200 {
        publisher.send(&message(number));
        publisher.text();
        for listener in &mut listeners {
            assert!(listener.text() == message(number), "message {number}");
        }
    }
    server.until("all are closed", |totals| {
        totals.slow_consumers_closed == 50 && totals.bytes_retained <= 50 * 2 * MESSAGE_BYTES as u64
    });
    for lazy in lazy {
        assert_closed(&lazy.rest().1, CloseCode::POLICY_VIOLATION, "slow consumer");
    }
}

#[test]
fn a_publisher_that_never_reads_is_slow_like_anyone_else() {
    let server = Running::start(1, configure);
    let mut listener = server.client("/ws");
    let mut lazy = lazy(&server);
    let (mut sent, mut heard) = (0, 0);
    while server.totals().slow_consumers_closed == 0 && lazy.try_send(&message(sent)) {
        sent += 1;
        let totals = server.until("it is published or too late", |totals| {
            totals.publications == sent as u64 || totals.slow_consumers_closed == 1
        });
        while heard < totals.publications as usize {
            assert!(listener.text() == message(heard));
            heard += 1;
        }
    }
    assert_closed(&lazy.rest().1, CloseCode::POLICY_VIOLATION, "slow consumer");
}

#[test]
fn who_waits_for_us_and_not_we_for_it_is_not_slow_however_far_behind() {
    // What the kernels hold is more than all that is said here, so nobody's socket is ever full. The outbox limit is
    // a fraction of it: the log runs ahead of its laps, and nobody may be blamed for that.
    let (clients, publishers, each) = (200, 10, 10);
    let server = Running::start(2, |config| {
        config.limits.message_bytes_max = 4 << 10;
        config.limits.outbox_bytes_max = 8 << 10;
    });
    let mut crowd = Crowd::connect(server.address, "/ws", clients);
    for number in 0..each {
        for publisher in 0..publishers {
            crowd.say(publisher, &format!("{publisher} {number:01000}"));
        }
    }
    let bytes = each * publishers * (4 + 2 + 1_000);
    crowd.listen_to_all(bytes);
    let totals = server.totals();
    assert_eq!(totals.deliveries_queued, (each * publishers * clients) as u64);
    assert_eq!(totals.slow_consumers_closed, 0);
}

/// A server with these rules for slow consumers.
fn with_rules(workers: usize, rules: &[&str]) -> Running {
    Running::start(workers, |config| {
        configure(config);
        for rule in rules {
            config.channels.parse_slow_consumer(rule).expect("a good rule");
        }
    })
}

/// What a client has heard, a gap for each notice: its messages and bytes.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Message(usize),
    Gap(usize, usize),
}

impl Heard {
    fn of(text: &str) -> Heard {
        if let Some(gap) = text.strip_prefix(r#"{"gap":{"messages":"#) {
            let gap = gap.strip_suffix("}}").and_then(|gap| gap.split_once(r#","bytes":"#));
            let (messages, bytes) = gap.expect("a notice has two numbers");
            return Heard::Gap(messages.parse().expect("a number"), bytes.parse().expect("a number"));
        }
        let number = text.trim_start_matches('0');
        let number = if number.is_empty() { 0 } else { number.parse().expect("a message is a number") };
        assert!(text == message(number), "a message comes whole");
        Heard::Message(number)
    }
}

/// Says so many messages, of which `listener` must hear every one before the next.
fn say(publisher: &mut Client, listener: &mut Client, numbers: Range<usize>) {
    for number in numbers {
        publisher.send(&message(number));
        assert!(publisher.text() == message(number) && listener.text() == message(number), "{number}");
    }
}

/// Hears all up to a message, and checks that what is missing is announced, and where; how many are missing, in how
/// many gaps.
fn hear_up_to(client: &mut Client, numbers: Range<usize>, announces: bool) -> (usize, usize) {
    let (mut next, mut missing, mut gaps) = (numbers.start, 0, 0);
    while next < numbers.end {
        match Heard::of(&client.text()) {
            Heard::Message(number) => {
                assert!(number >= next, "in order, once: {number} after {next}");
                assert!(!announces || number == next, "{number} after {next} without a notice");
                missing += number - next;
                next = number + 1;
            }
            Heard::Gap(messages, bytes) => {
                assert!(announces && messages > 0, "only who asks is told");
                assert_eq!(bytes, messages * (MESSAGE_BYTES + 4), "with the frames' headers");
                (next, missing, gaps) = (next + messages, missing + messages, gaps + 1);
                assert!(next < numbers.end, "a notice goes before a message");
            }
        }
    }
    (missing, gaps)
}

#[test]
fn who_does_not_read_where_messages_are_dropped_stays_and_is_told_what_it_lost_while_others_hear_all() {
    for (policy, workers) in [("drop-oldest", 1), ("latest", 1), ("drop-oldest", 3), ("latest", 3)] {
        let server = with_rules(workers, &[&format!("feed*={policy}")]);
        let (mut publisher, mut listener) = (server.client("/ws/feed"), server.client("/ws/feed"));
        let lazy = |target| Client::with_receive_buffer(server.address, target, 8 << 10);
        let (mut told, mut untold) = (lazy("/ws/feed?gaps=on"), lazy("/ws/feed"));
        for round in 0..3 {
            let numbers = round * 100..(round + 1) * 100;
            say(&mut publisher, &mut listener, numbers.clone());
            assert!(server.totals().bytes_retained > 0, "they lag");
            let (missing, gaps) = hear_up_to(&mut told, numbers.clone(), true);
            assert!(missing > 20, "{policy}: {missing} of 100 messages");
            // Kernels hand on some of what they hold as late as they like, and then there is room again.
            assert!((1..=8).contains(&gaps), "{gaps} notices, of one for all jumps since it took something");
            let (missing, _) = hear_up_to(&mut untold, numbers, false);
            assert!(missing > 20, "{policy}: {missing} of 100 messages");
        }
        let totals = server.until("all is delivered", |totals| totals.bytes_retained == 0);
        assert_eq!(totals.slow_consumers_closed, 0);
        let dropped =
            [totals.slow_consumer_messages_dropped_oldest, totals.slow_consumer_messages_dropped_for_latest];
        let (dropped, other) =
            if policy == "latest" { (dropped[1], dropped[0]) } else { (dropped[0], dropped[1]) };
        assert_eq!(other, 0);
        assert_eq!(totals.slow_consumer_bytes_dropped, dropped * (MESSAGE_BYTES as u64 + 4));
        say(&mut publisher, &mut listener, 300..301);
        assert_eq!(
            (told.text(), untold.text()),
            (message(300), message(300)),
            "nothing is lost by who reads"
        );
        told.close();
    }
}

#[test]
fn drop_oldest_keeps_most_of_what_the_limit_holds_and_latest_the_newest_only() {
    // What the kernels hold comes first; what is behind the gap was in the log. Of a limit of 16 messages with their
    // headers, seven eighths are 13; and one more may have come before the jump was seen.
    for (policy, behind) in [("drop-oldest", 13..=14), ("latest", 1..=2)] {
        let server = with_rules(1, &[&format!("*={policy}")]);
        let (mut publisher, mut listener) = (server.client("/ws"), server.client("/ws"));
        let mut lazy = Client::with_receive_buffer(server.address, "/ws?gaps=on", 8 << 10);
        let (mut count, mut jumps) = (0, 0);
        // To just behind a jump, so that it shows where it ended.
        while jumps < 3 {
            say(&mut publisher, &mut listener, count..count + 1);
            count += 1;
            jumps = server.totals().slow_consumer_jumps;
            assert!(count < 1_000, "8 MB are over any limit");
        }
        let mut since_gap = 0;
        let mut heard = Heard::of(&lazy.text());
        while heard != Heard::Message(count - 1) {
            since_gap = if matches!(heard, Heard::Gap(..)) { 0 } else { since_gap + 1 };
            heard = Heard::of(&lazy.text());
        }
        assert!(behind.contains(&(since_gap + 1)), "{policy}: {} messages behind the gap", since_gap + 1);
    }
}

#[test]
fn policies_are_by_channel_and_without_a_rule_who_lags_is_disconnected() {
    let server = with_rules(1, &["feed=latest", "feed-*=drop-oldest"]);
    let stalls = |target: &str| {
        let (mut publisher, mut listener) = (server.client(target), server.client(target));
        let lazy = Client::with_receive_buffer(server.address, target, 8 << 10);
        say(&mut publisher, &mut listener, 0..150);
        lazy
    };
    let lazy = [stalls("/ws/feed"), stalls("/ws/feed-eur"), stalls("/ws/feeds")];
    let totals = server.totals();
    assert_eq!(totals.slow_consumers_closed, 1);
    assert!(totals.slow_consumer_messages_dropped_for_latest > 0);
    assert!(totals.slow_consumer_messages_dropped_oldest > 0);
    assert!(totals.slow_consumer_messages_dropped_by_closing > 0);
    let [latest, oldest, disconnected] = lazy;
    assert_closed(&disconnected.rest().1, CloseCode::POLICY_VIOLATION, "slow consumer");
    for mut stays in [latest, oldest] {
        hear_up_to(&mut stays, 0..150, false);
    }
}

#[test]
fn s5_5_2_pings_are_answered_and_frames_are_whole_while_messages_are_dropped() {
    let server = with_rules(1, &["*=latest"]);
    let (mut publisher, mut listener) = (server.client("/ws"), server.client("/ws"));
    let raw = connect(server.address, Some(8 << 10));
    let mut lazy = Raw(raw);
    lazy.send(upgrade("/ws?gaps=on"));
    assert_eq!(lazy.read_text(SAMPLE_101.len()), SAMPLE_101);
    let mut said = 0;
    for ping in 0..5_u8 {
        say(&mut publisher, &mut listener, said..said + 60);
        said += 60;
        lazy.send(masked(0x89, &[ping]));
    }
    server.until("the Pings are read", |totals| totals.bytes_read > 0 && totals.slow_consumer_jumps > 2);
    let mut pongs = Vec::new();
    let (mut next, mut is_newest) = (0, false);
    while !(is_newest && pongs.len() == 5) {
        let [first, len] = *lazy.read(2).first_chunk().expect("two bytes");
        let len = match len {
            126 => usize::from(u16::from_be_bytes(*lazy.read(2).first_chunk().expect("two bytes"))),
            len => usize::from(len),
        };
        let payload = lazy.read(len);
        match first {
            0x8a => pongs.extend(payload),
            0x81 => match Heard::of(std::str::from_utf8(&payload).expect("text")) {
                Heard::Gap(messages, _) => next += messages,
                Heard::Message(number) => {
                    assert_eq!(number, next);
                    next += 1;
                    is_newest = next == said;
                }
            },
            other => panic!("no frame begins with {other:#x}"),
        }
    }
    assert_eq!(pongs, [0, 1, 2, 3, 4], "none is dropped");
}

#[test]
fn who_hears_compressed_messages_loses_some_too_and_is_told_uncompressed() {
    let server = Running::start(1, |config| {
        configure(config);
        config.deflate.bytes_min = 0;
        config.channels.parse_slow_consumer("*=drop-oldest").expect("a good rule");
    });
    let (mut publisher, mut listener) = (server.client("/ws"), server.client("/ws"));
    let stream = connect(server.address, Some(8 << 10));
    let mut lazy = Client::on(stream, "/ws?gaps=on", Some(DeflateOffer::PLAIN));
    assert!(lazy.deflate().is_some());
    // Letters without a pattern, so that compression saves little.
    let mut mixed = 1_u32;
    let mut noise = |number: usize| {
        let mut letter = || {
            mixed = mixed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (mixed >> 24) as u8 % 26)
        };
        format!("{number} {}", (0..MESSAGE_BYTES).map(|_| letter()).collect::<String>())
    };
    let said: Vec<String> = (0..150).map(&mut noise).collect();
    for text in &said {
        publisher.send(text);
        assert!(publisher.text() == *text && listener.text() == *text);
    }
    let (mut next, mut missing) = (0, 0);
    while next < said.len() {
        let text = lazy.text();
        if text.starts_with("{\"gap\":") {
            let Heard::Gap(messages, bytes) = Heard::of(&text) else { unreachable!("it begins as one") };
            assert!(
                (messages * MESSAGE_BYTES / 2..messages * MESSAGE_BYTES).contains(&bytes),
                "{bytes} compressed"
            );
            (next, missing) = (next + messages, missing + messages);
        } else {
            assert!(text == said[next], "message {next}");
            next += 1;
        }
    }
    assert!(missing > 20, "{missing} of 150 messages");
}
