//! The orderly end: what was accepted is delivered, everyone is told goodbye, all at once or one after the other, the
//! process exits 0. (The file is long because both ways have to keep the same promises.)

use crate::client::{Client, PATIENCE, Raw, Received, Response, assert_closed, http, masked};
use crate::metronome::Metronome;
use crate::process::{Process, fanwire};
use crate::running::Running;
use fanwire::config::{Config, Goodbye};
use fanwire::limits;
use fanwire::protocol::{CloseCode, Closure};
use fanwire::server::Server;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

fn assert_told_1001(closure: &Closure) {
    assert_closed(closure, CloseCode::GOING_AWAY, "shutting down");
}

/// Nobody listens at an address of this process any more. What another test starts has copies of all descriptors, and so
/// listens too, for the moment until it runs its program.
fn assert_nobody_listens(address: SocketAddr) {
    let started = Instant::now();
    while !TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        assert!(started.elapsed() < PATIENCE, "somebody listens");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn everyone_is_told_1001_and_the_port_is_free() {
    let server = Running::start(3, |config| config.echo = true);
    let targets = ["/ws", "/ws/a", "/ws/b", "/echo"];
    let clients: Vec<Client> = (0..20).map(|number| server.client(targets[number % 4])).collect();
    let address = server.address;
    server.drain();
    for client in clients {
        assert_told_1001(&client.closure());
    }
    let totals = server.wait();
    assert_eq!(totals.closed_cleanly, 20);
    assert_nobody_listens(address);
}

#[test]
fn who_waits_for_a_servers_end_is_woken_by_whoever_can_start_it() {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let server = Server::start(Config { listen, ..Config::default() }).expect("a free port");
    let drainer = server.drainer();
    let waiting = thread::spawn(move || server.wait());
    drainer.drain();
    waiting.join().expect("no panic").expect("an orderly end");
}

#[test]
fn a_server_without_clients_ends_at_once() {
    let server = Running::start(4, |config| config.limits.close_timeout_ms = 60_000);
    server.drain();
    server.wait();
}

#[test]
fn a_second_drain_changes_nothing() {
    let server = Running::start(2, |_| {});
    let client = server.client("/ws");
    server.drain();
    server.drain();
    assert_told_1001(&client.closure());
    server.wait();
}

#[test]
fn a_request_that_has_not_come_whole_is_answered_with_503() {
    let server = Running::start(1, |_| {});
    let mut raw = server.raw();
    raw.send("GET /ws HTTP/1.1\r\nHost:");
    server.until("it is accepted", |totals| totals.bytes_read > 0);
    server.drain();
    let response = Response::read(&mut raw);
    response.assert_complete();
    assert_eq!(response.status, 503);
    assert!(response.body.contains("shutting down"), "{}", response.body);
}

#[test]
fn what_waits_in_the_accept_queue_gets_an_answer_and_no_reset() {
    let server = Running::start(2, |_| {});
    let mut waiting: Vec<Raw> = (0..40).map(|_| server.raw()).collect();
    server.drain();
    for raw in &mut waiting {
        assert_eq!(Response::read(raw).status, 503);
    }
}

#[test]
fn s7_1_1_a_peer_that_does_not_answer_is_waited_for_until_the_close_timeout_and_no_longer() {
    let server = Running::start(2, |config| config.limits.close_timeout_ms = 300);
    let mut silent = server.upgraded("/ws");
    let polite = server.client("/ws");
    let started = Instant::now();
    server.drain();
    assert_told_1001(&polite.closure());
    server.wait();
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(300) && elapsed < Duration::from_secs(3), "{elapsed:?}");
    let (code, _) = silent.close_frame();
    assert_eq!(code, 1001);
}

#[test]
fn a_peer_that_answers_late_is_waited_for() {
    let server = Running::start(1, |config| config.limits.close_timeout_ms = 60_000);
    let mut late = server.upgraded("/ws");
    server.drain();
    let mut close = b"\x88\x1d\x03\xe9".to_vec();
    close.extend(b"the server is shutting down");
    assert_eq!(late.read(close.len()), close);
    // Messages that were under way before its Close are discarded.
    late.send(masked(0x81, b"under way"));
    late.send(masked(0x88, b"\x03\xe9"));
    assert_eq!(late.read_to_end(), b"");
    drop(late);
    assert_eq!(server.wait().closed_cleanly, 1);
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn health_is_503_for_the_delay_in_which_clients_still_come_and_talk() {
    // It takes longer than any machine.
    let (process, address) = Process::serve(&["--workers", "2", "--drain-delay", "600"]);
    assert_eq!(http(address, HEALTH).status, 200);
    let mut ann = Client::connect(address, "/ws");
    process.signal("TERM");
    let started = Instant::now();
    let health = loop {
        let health = http(address, HEALTH);
        if health.status == 503 || started.elapsed() > PATIENCE {
            break health;
        }
    };
    assert_eq!((health.status, health.body.as_str()), (503, "draining\n"));
    let mut bob = Client::connect(address, "/ws");
    bob.send("am I late?");
    assert_eq!([ann.text(), bob.text()], ["am I late?", "am I late?"]);
    assert_eq!(http(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
}

#[test]
fn behind_the_delay_clients_are_told_goodbye_and_nobody_listens() {
    let server = Running::start(2, |config| {
        config.drain.delay_ms = 300;
        config.drain.goodbye = Goodbye::ServiceRestart;
    });
    let ann = server.client("/ws");
    let started = Instant::now();
    server.drain();
    assert_closed(&ann.closure(), CloseCode::SERVICE_RESTART, "the server is restarting");
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    let address = server.address;
    server.wait();
    assert_nobody_listens(address);
}

/// As many clients as make a spread of so many milliseconds.
fn clients_for(spread_ms: u32) -> usize {
    let clients = spread_ms as usize * limits::GOODBYES_PER_SECOND as usize / 1000;
    assert_eq!(limits::drain_spread_ms(clients, spread_ms), spread_ms);
    clients
}

/// Tells clients goodbye over so many milliseconds: when each of them has heard it, in order, and what it had heard before.
fn part_over(spread_ms: u32) -> Vec<(Duration, Vec<String>)> {
    const BEFORE: usize = 50;
    let server = Running::start(2, |config| {
        config.drain.spread_ms_max = spread_ms;
        config.drain.goodbye = Goodbye::ServiceRestart;
        // Nobody is cut off because this machine is busy.
        config.limits.close_timeout_ms = 30_000;
    });
    let mut clients: Vec<Client> = (0..clients_for(spread_ms)).map(|_| server.client("/ws")).collect();
    clients[0].send_all((0..BEFORE).map(|number| format!("before {number}")));
    server.until("they are accepted", |totals| totals.messages_received == BEFORE as u64);
    let started = Instant::now();
    server.drain();
    let mut ends: Vec<(Duration, Vec<String>)> = thread::scope(|scope| {
        let end = |(number, mut client): (usize, Client)| {
            scope.spawn(move || {
                let mut texts = Vec::new();
                let closure = loop {
                    match client.receive() {
                        Received::Text(text) => texts.push(text),
                        Received::Closed(closure) => break closure,
                        other @ Received::Binary(_) => panic!("{other:?}"),
                    }
                    // A few go on with the conversation for as long as they may.
                    if number < 8 && texts.len() >= BEFORE {
                        client.try_send(&format!("{number} after {}", texts.len()));
                        thread::sleep(Duration::from_millis(10));
                    }
                };
                assert_closed(&closure, CloseCode::SERVICE_RESTART, "the server is restarting");
                (started.elapsed(), texts)
            })
        };
        let threads: Vec<_> = clients.into_iter().enumerate().map(end).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ended well")).collect()
    });
    let totals = server.wait();
    assert_eq!((totals.goodbyes_said, totals.goodbyes_cut), (ends.len() as u64, 0));
    ends.sort();
    // Nothing that was accepted before is missed by anyone, and nobody has heard anything but the one order.
    let longest = ends.iter().map(|(_, texts)| texts).max_by_key(|texts| texts.len()).expect("many").clone();
    for (_, texts) in &ends {
        assert!(texts.iter().take(BEFORE).cloned().eq((0..BEFORE).map(|number| format!("before {number}"))));
        assert!(texts.len() >= BEFORE && longest.starts_with(texts), "{} texts", texts.len());
    }
    ends
}

#[test]
fn goodbyes_are_spread_and_who_is_left_hears_and_publishes_meanwhile() {
    const SPREAD_MS: u32 = 1_600;
    // What was due while the machine stood still comes all at once: that proves nothing, and is tried again.
    let ends = (0..5).find_map(|_| {
        let metronome = Metronome::start();
        let ends = part_over(SPREAD_MS);
        (metronome.longest_pause() < Duration::from_millis(300)).then_some(ends)
    });
    let ends = ends.expect("the machine stood still each time");
    let [first, last] = [&ends[0], &ends[ends.len() - 1]];
    assert!(last.1.len() > first.1.len() + 10, "who stayed has heard more: {} texts", last.1.len());
    assert!(
        last.0 > first.0 + Duration::from_millis(u64::from(SPREAD_MS) / 2),
        "{:?} to {:?}",
        first.0,
        last.0
    );
    for (from, _) in &ends {
        let window = *from..*from + Duration::from_millis(100);
        let within = ends.iter().filter(|(at, _)| window.contains(at)).count();
        assert!(within * 3 <= ends.len(), "{within} of {} from {from:?} on", ends.len());
    }
}

#[test]
fn who_is_in_its_handshake_gets_503_at_once_however_long_goodbyes_take() {
    let server = Running::start(2, |config| config.drain.spread_ms_max = 60_000);
    let clients: Vec<Client> = (0..50).map(|_| server.client("/ws")).collect();
    let mut half = server.raw();
    half.send("GET /ws HTTP/1.1\r\nHost:");
    server.until("it is accepted", |totals| totals.connections_open == 51);
    server.drain();
    let response = Response::read(&mut half);
    assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")));
    // A drain ends with the last client, and not when its time is over.
    let started = Instant::now();
    for client in clients {
        assert_told_1001(&client.closure());
    }
    server.wait();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn who_leaves_by_itself_is_not_waited_for() {
    let server = Running::start(2, |config| config.drain.spread_ms_max = 600_000);
    // For 20 s of goodbyes.
    let clients: Vec<Client> = (0..clients_for(20_000)).map(|_| server.client("/ws")).collect();
    let started = Instant::now();
    server.drain();
    drop(clients);
    server.wait();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn who_never_reads_is_cut_off_after_the_last_goodbye_and_counted() {
    let server = Running::start(2, |config| {
        config.drain.spread_ms_max = 400;
        config.limits.close_timeout_ms = 300;
        config.limits.outbox_bytes_max = 64 << 20;
    });
    let lazy = Client::with_receive_buffer(server.address, "/ws", 8 << 10);
    let mut publisher = server.client("/ws");
    let others: Vec<Client> = (0..clients_for(400) - 2).map(|_| server.client("/ws/quiet")).collect();
    // More than the kernels hold.
    for _ in 0..12 {
        publisher.send(&"x".repeat(1 << 20));
        publisher.text();
    }
    let started = Instant::now();
    server.drain();
    for client in others.into_iter().chain([publisher]) {
        assert_told_1001(&client.closure());
    }
    let totals = server.wait();
    // The server's milliseconds are whole ones.
    assert!(started.elapsed() >= Duration::from_millis(698), "{:?}", started.elapsed());
    assert_eq!((totals.goodbyes_said, totals.goodbyes_cut), (clients_for(400) as u64 - 1, 1));
    drop(lazy);
}

/// Clients of one worker, more than are written in one turn, and messages that are still to be delivered to them.
fn drain_with_messages_under_way(close_timeout_ms: u32) {
    let server = Running::start(1, |config| config.limits.close_timeout_ms = close_timeout_ms);
    let clients: Vec<Client> = (0..600).map(|_| server.client("/ws")).collect();
    let mut publisher = server.client("/ws");
    publisher.send_all((0..100).map(|number| number.to_string()));
    server.until("they are accepted", |totals| totals.messages_received == 100);
    server.drain();
    for client in clients.into_iter().chain([publisher]) {
        let (texts, closure) = client.rest();
        assert!(texts.iter().map(|text| text.parse::<usize>().expect("a number")).eq(0..100), "{texts:?}");
        assert_told_1001(&closure);
    }
    server.wait();
}

#[test]
fn what_was_accepted_is_delivered_to_all_before_the_1001() {
    drain_with_messages_under_way(5_000);
}

#[test]
fn with_a_close_timeout_of_0_nobody_waits_and_yet_all_is_written_that_needs_no_waiting() {
    drain_with_messages_under_way(0);
}

#[test]
fn with_a_close_timeout_of_0_who_does_not_read_is_not_waited_for() {
    let server = Running::start(2, |config| {
        config.limits.close_timeout_ms = 0;
        config.limits.outbox_bytes_max = 64 << 20;
    });
    let lazy = Client::with_receive_buffer(server.address, "/ws", 8 << 10);
    let mut publisher = server.client("/ws");
    // More than the kernels hold.
    for _ in 0..12 {
        publisher.send(&"x".repeat(1 << 20));
        publisher.text();
    }
    assert!(server.totals().bytes_retained > 0, "it lags");
    server.drain();
    assert_told_1001(&publisher.closure());
    server.wait();
    drop(lazy);
}

#[test]
fn who_lags_gets_what_was_accepted_and_its_1001_if_it_reads_in_time() {
    let server = Running::start(2, |config| {
        config.limits.close_timeout_ms = 60_000;
        config.send_buffer_bytes = Some(16 << 10);
    });
    let lazy = Client::with_receive_buffer(server.address, "/ws", 8 << 10);
    let mut publisher = server.client("/ws");
    for number in 0..10 {
        publisher.send(&format!("{number:060000}"));
        publisher.text();
    }
    server.drain();
    assert_told_1001(&publisher.closure());
    let (texts, closure) = lazy.rest();
    assert!(texts.iter().map(|text| text.parse::<usize>().expect("a number")).eq(0..10));
    assert_told_1001(&closure);
    server.wait();
}

#[test]
fn what_a_laggard_says_after_the_drain_began_is_heard_by_nobody() {
    let server = Running::start(2, |config| {
        config.limits.close_timeout_ms = 60_000;
        config.send_buffer_bytes = Some(16 << 10);
    });
    let mut lazy = Client::with_receive_buffer(server.address, "/ws", 8 << 10);
    let mut other = Client::with_receive_buffer(server.address, "/ws", 8 << 10);
    let mut publisher = server.client("/ws");
    for number in 0..10 {
        publisher.send(&format!("{number:060000}"));
        publisher.text();
    }
    server.drain();
    assert_told_1001(&publisher.closure());
    // The others were told already, or will be: what is published now cannot reach everyone.
    lazy.send("too late");
    other.send("too late as well");
    for client in [lazy, other] {
        let (texts, closure) = client.rest();
        assert_eq!(texts.len(), 10, "{:?}", texts.last());
        assert_told_1001(&closure);
    }
    assert_eq!(server.wait().publications, 10);
}

/// What one of a loaded server's clients has got, its own messages first.
struct Heard {
    own: Vec<String>,
    all: Vec<String>,
    closure: Closure,
}

/// Publishes until the server ends, and listens. It waits at `loaded` once it has heard a part.
fn converse(mut client: Client, name: usize, loaded: &Barrier) -> Heard {
    let mut all = Vec::new();
    let own_prefix = format!("{name} ");
    let (mut sent, mut own_heard) = (0, 0);
    let closure = loop {
        while sent < own_heard + 32 && client.try_send(&format!("{own_prefix}{sent}")) {
            sent += 1;
        }
        match client.receive() {
            Received::Text(text) => {
                own_heard += usize::from(text.starts_with(&own_prefix));
                all.push(text);
                if all.len() == 500 {
                    loaded.wait();
                }
            }
            Received::Closed(closure) => break closure,
            other @ Received::Binary(_) => panic!("{other:?}"),
        }
    };
    let own = all.iter().filter(|text| text.starts_with(&own_prefix)).cloned().collect();
    Heard { own, all, closure }
}

#[test]
fn sigterm_under_load_delivers_what_was_accepted_to_all_and_exits_0() {
    let (mut process, address) = Process::serve(&["--workers", "3", "--close-timeout", "5"]);
    let publishers: Vec<Client> = (0..6).map(|_| Client::connect(address, "/ws/load")).collect();
    let listeners: Vec<Client> = (0..6).map(|_| Client::connect(address, "/ws/load")).collect();
    let bystanders: Vec<Client> = (0..6).map(|n| Client::connect(address, &format!("/ws/{n}"))).collect();
    let loaded = Barrier::new(publishers.len() + 1);
    let (heard, listened): (Vec<Heard>, Vec<(Vec<String>, Closure)>) = thread::scope(|scope| {
        let publishers: Vec<_> = publishers
            .into_iter()
            .enumerate()
            .map(|(name, client)| {
                let loaded = &loaded;
                scope.spawn(move || converse(client, name, loaded))
            })
            .collect();
        let listeners: Vec<_> =
            listeners.into_iter().map(|client| scope.spawn(move || client.rest())).collect();
        loaded.wait();
        process.signal("TERM");
        (
            publishers.into_iter().map(|thread| thread.join().expect("it ended well")).collect(),
            listeners.into_iter().map(|thread| thread.join().expect("it ended well")).collect(),
        )
    });
    let accepted: BTreeSet<&String> = heard.iter().flat_map(|heard| &heard.own).collect();
    assert!(accepted.len() >= 500);
    let order = &heard[0].all;
    for (all, closure) in listened
        .iter()
        .map(|(all, closure)| (all, closure))
        .chain(heard.iter().map(|heard| (&heard.all, &heard.closure)))
    {
        assert_told_1001(closure);
        assert!(accepted.is_subset(&all.iter().collect()), "what someone has heard, all have heard");
        assert!(all == order, "in the one order, up to the same end");
    }
    for bystander in bystanders {
        assert_told_1001(&bystander.closure());
    }
    process.line("SIGTERM: delivering what was accepted");
    process.line("ended");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn few_clients_do_not_wait_for_their_goodbye_and_the_log_says_how_it_went() {
    for (signal, code) in [("INT", CloseCode::GOING_AWAY), ("TERM", CloseCode::SERVICE_RESTART)] {
        let number = code.number().to_string();
        // Who waits for any of it waits for ever.
        let endless = ["--drain-seconds", "600", "--close-timeout", "600"];
        let (mut process, address) =
            Process::serve(&[&["--workers", "2", "--drain-code", &number], &endless[..]].concat());
        let clients = [0, 1].map(|_| Client::connect(address, "/ws"));
        let started = Instant::now();
        process.signal(signal);
        for client in clients {
            assert_closed(&client.closure(), code, "the server is");
        }
        let begun = process.line(&format!("SIG{signal}: delivering what was accepted"));
        assert!(begun.contains(&format!("closing 2 connections with {number}, at once")), "{begun}");
        let ended = process.line("ended");
        assert!(ended.contains("told=2") && ended.contains("cut=0"), "{ended}");
        let seconds = ended.split_once("drain_seconds=").and_then(|(_, rest)| rest.split(' ').next());
        let seconds = seconds.and_then(|seconds| seconds.parse::<f64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds < 5.0), "{ended}");
        assert_eq!(process.end().0, Some(0));
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    }
}

#[test]
fn a_peer_that_does_not_answer_does_not_keep_the_process() {
    let (process, address) = Process::serve(&["--workers", "2", "--close-timeout", "0.3"]);
    let _silent = Raw::upgraded(address, "/ws");
    let started = Instant::now();
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut process, address) = Process::serve(&["--workers", "2", "--close-timeout", "600"]);
    let _silent = Raw::upgraded(address, "/ws");
    process.signal("TERM");
    process.line("SIGTERM: delivering");
    // A moment later, or it is the same one: `timeout` and shells send it to a process and to its group.
    thread::sleep(Duration::from_millis(300));
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(128 + 15), "as if it had died of it");
    assert!(log.contains("SIGTERM again: ending at once"), "{log}");
}

#[cfg(feature = "control")]
#[test]
fn the_first_signal_waits_for_the_end_that_the_admin_api_has_begun_and_the_second_does_not() {
    use std::io::Write as _;

    let (mut process, address) =
        Process::serve(&["--workers", "2", "--close-timeout", "600", "--admin", "127.0.0.1:0"]);
    let line = process.line("admin API and dashboard at http://");
    let (_, admin) = line.rsplit_once("http://").expect("it was waited for");
    let _silent = Raw::upgraded(address, "/ws");
    let mut operator = TcpStream::connect(admin.trim_end_matches('/')).expect("it listens");
    operator.write_all(b"POST /v1/drain HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
    process.line("told to drain by the admin API: delivering");
    // An orchestrator has the end begun before it sends its signal, and that moments later.
    thread::sleep(Duration::from_millis(300));
    process.signal("TERM");
    process.line("SIGTERM: the end has begun already");
    thread::sleep(Duration::from_millis(300));
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(128 + 15), "as if it had died of it");
    assert!(log.contains("SIGTERM again: ending at once"), "{log}");
}

#[test]
fn a_signal_that_comes_twice_in_a_moment_is_one() {
    let (process, address) = Process::serve(&["--workers", "2"]);
    let client = Client::connect(address, "/ws");
    // It stands still until both have come. Two of a kind would be one already.
    process.stop();
    process.signal("TERM");
    process.signal("INT");
    process.signal("CONT");
    assert_closed(&client.closure(), CloseCode::GOING_AWAY, "");
    assert_eq!(process.code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_neither_the_server_nor_its_drain() {
    let (process, stderr) =
        Process::spawn_unheard(fanwire().args(["--listen", "127.0.0.1:0", "-vv", "--workers", "2"]));
    let mut lines = BufReader::new(stderr).lines();
    let address = loop {
        let line = lines.next().expect("it starts").expect("a pipe");
        if let Some((_, rest)) = line.split_once("listening on ") {
            break rest.split_once(": ").expect("what is there").0.parse().expect("an address");
        }
    };
    drop(lines);
    // Each of these is logged, at this level.
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(address, "/ws")).collect();
    clients.pop().expect("five").close();
    clients[0].send("the log is gone");
    for client in &mut clients {
        assert_eq!(client.text(), "the log is gone");
    }
    process.signal("TERM");
    for client in clients {
        assert_told_1001(&client.closure());
    }
    assert_eq!(process.code(), Some(0));
}
