//! A machine that fails: a log that cannot be written, and a process that is kept from running.

use crate::client::{Client, PATIENCE, Raw, SAMPLE_101, http, upgrade};
use crate::process::{Process, fanwire};
use crate::running::lone_address;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server that logs all there is to a place that `redirection` names in the shell's way.
fn logging_to(redirection: &str) -> (Process, SocketAddr) {
    // It cannot say where it listens.
    let address = lone_address();
    let script = format!("exec \"$@\" {redirection}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(fanwire().get_program());
    command.args(["--listen", &address.to_string(), "--workers", "2", "-vv"]);
    let (process, _) = Process::spawn_unheard(&mut command);
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < PATIENCE, "it does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    (process, address)
}

#[test]
fn a_log_that_cannot_be_written_costs_lines_and_nothing_else() {
    // A full disk, a closed stderr, and a file that may not be written any more (its descriptor is for reading).
    for redirection in ["2>/dev/full", "2>&-", "2</dev/null"] {
        let (process, address) = logging_to(redirection);
        let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(address, "/ws")).collect();
        assert_eq!(http(address, HEALTH).status, 200, "{redirection}");
        assert_eq!(http(address, "\0").status, 400, "{redirection}");
        clients.pop().expect("five").close();
        clients[0].send("nobody will read of it");
        for client in &mut clients {
            assert_eq!(client.text(), "nobody will read of it", "{redirection}");
        }
        process.signal("TERM");
        for client in clients {
            client.rest();
        }
        assert_eq!(process.code(), Some(0), "{redirection}");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let (process, stderr) =
        Process::spawn_unheard(fanwire().args(["--listen", "127.0.0.1:0", "-vv", "--workers", "2"]));
    let mut lines = BufReader::new(stderr).lines();
    let listening =
        lines.find_map(|line| line.ok()?.split_once("listening on ").map(|(_, rest)| rest.to_owned()));
    let (address, _) = listening.as_deref().and_then(|line| line.split_once(": ")).expect("it listens");
    let address = address.parse().expect("an address");
    // A pipe holds 64 KiB, and each of these is some lines.
    for _ in 0..1_000 {
        assert_eq!(http(address, HEALTH).status, 200);
    }
    process.signal("TERM");
    assert_eq!(process.code(), Some(0));
    drop(lines);
}

#[test]
fn a_process_that_was_stopped_for_longer_than_the_idle_timeout_asks_before_it_calls_anybody_idle() {
    let timeouts = ["--ping-interval", "0.4", "--idle-timeout", "4"];
    let (process, address) = Process::serve(&[&["--workers", "2"], &timeouts[..]].concat());
    let clients: Vec<Client> = (0..5).map(|_| Client::connect(address, "/ws")).collect();
    process.signal("STOP");
    thread::sleep(Duration::from_secs(6));
    process.signal("CONT");
    let mut late = Client::connect(address, "/ws?echo=off");
    thread::scope(|scope| {
        for mut client in clients {
            // They answer Pings while they wait for it.
            scope.spawn(move || assert_eq!(client.text(), "still there"));
        }
        thread::sleep(Duration::from_secs(1));
        late.send("still there");
    });
}

#[test]
fn a_process_that_was_stopped_for_seconds_loses_nobody_and_nothing() {
    let (process, address) = Process::serve(&["--workers", "2", "--handshake-timeout", "10"]);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(address, "/ws?echo=off")).collect();
    let descriptors = process.descriptors();
    process.signal("STOP");
    let mut said: Vec<String> =
        (0..100).map(|number| format!("said while it stood still: {number}")).collect();
    let mut speaker = clients.pop().expect("six");
    speaker.send_all(said.iter().cloned());
    // Whoever comes meanwhile waits in the kernel's queue.
    let mut waiting: Vec<Raw> = (0..10).map(|_| Raw::connect(address)).collect();
    for raw in &mut waiting {
        raw.send(upgrade("/ws/waiting"));
    }
    thread::sleep(Duration::from_secs(2));
    process.signal("CONT");
    for raw in &mut waiting {
        assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101);
    }
    said.push("and afterwards".to_owned());
    speaker.send("and afterwards");
    for client in &mut clients {
        assert_eq!(client.texts(said.len()), said);
    }
    drop(waiting);
    let started = Instant::now();
    while process.descriptors() > descriptors {
        assert!(started.elapsed() < PATIENCE, "those who are gone are let go");
        thread::sleep(Duration::from_millis(5));
    }
    speaker.close();
    for client in clients {
        client.close();
    }
}
