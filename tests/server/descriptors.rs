//! Out of file descriptors: those who are in go on, nothing spins, and it recovers.

use crate::client::{Client, Raw, SAMPLE_101, upgrade};
use crate::process::{Process, apart, fanwire, is_apart, run};
use crate::running::lone_address;
use fanwire::config::{AdminConfig, Config};
use fanwire::server::Server;
use rlimit::Resource;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn who_is_in_goes_on_without_a_spin_and_who_waits_gets_in_when_descriptors_are_free() {
    let binary = fanwire().get_program().to_owned();
    let mut process = Process::spawn(
        Command::new("sh").args(["-c", "ulimit -n 40; exec \"$@\"", "sh"]).arg(binary).args([
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "2",
            "--max-connections",
            "1000",
        ]),
    );
    let warning = process.line("--max-connections 1000 is more than");
    assert!(warning.contains("ulimit -n"), "{warning}");
    let address = process.address();
    let mut members: Vec<Client> = (0..4).map(|_| Client::connect(address, "/ws")).collect();
    // The kernel connects all of them; the server can take only some.
    let mut waiting: Vec<Raw> = (0..60).map(|_| Raw::connect(address)).collect();
    for raw in &mut waiting {
        raw.send(upgrade("/ws/waiting"));
    }
    process.line("cannot accept connections");
    let before = process.cpu_ticks();
    thread::sleep(Duration::from_secs(1));
    let spent = process.cpu_ticks() - before;
    assert!(spent < 15, "{spent} ticks of 10 ms for a second without a descriptor");
    members[0].send("those who are in go on");
    for member in &mut members {
        assert_eq!(member.text(), "those who are in go on");
    }
    // They come in as others go, in whatever order.
    thread::scope(|scope| {
        for mut raw in waiting {
            scope.spawn(move || assert_eq!(raw.read_text(SAMPLE_101.len()), SAMPLE_101));
        }
    });
    let mut late = Client::connect(address, "/ws");
    late.send("and new ones come");
    assert_eq!(members[0].text(), "and new ones come");
    process.signal("TERM");
    for client in members.into_iter().skip(1) {
        let (texts, _) = client.rest();
        assert_eq!(texts, ["and new ones come"]);
    }
    drop(late);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn it_may_have_as_many_files_as_its_hard_limit_says() {
    let mut process = Process::spawn(
        Command::new("sh")
            .args(["-c", "ulimit -S -n 200; exec \"$@\"", "sh"])
            .arg(fanwire().get_program())
            .args(["--listen", "127.0.0.1:0"]),
    );
    let (_, hard) = Resource::NOFILE.get().expect("a limit");
    let line = process.line("open files: ");
    assert!(line.contains(&format!("open files: {hard} (was 200)")), "{line}");
}

#[test]
fn a_start_that_fails_of_any_descriptor_leaves_nobody_who_listens() {
    if !is_apart() {
        const NAME: &str = "descriptors::a_start_that_fails_of_any_descriptor_leaves_nobody_who_listens";
        let (code, log) = run(&mut apart(NAME));
        assert_eq!(code, Some(0), "{log}");
        return;
    }
    let [address, admin] = [(); 2].map(|()| lone_address());
    let config = || Config {
        listen: vec![address.into()],
        workers: 2,
        admin: Some(AdminConfig { address: admin, token: None }),
        ..Config::default()
    };
    let (soft, hard) = Resource::NOFILE.get().expect("a limit");
    let start_with = |descriptors| {
        Resource::NOFILE.set(descriptors, hard).expect("it is lower");
        let started = Server::start(config());
        Resource::NOFILE.set(soft, hard).expect("it was so before");
        started
    };
    let mut descriptors = 0;
    let server = loop {
        match start_with(descriptors) {
            Ok(server) => break server,
            Err(error) => {
                assert!(descriptors < 200, "{error}");
                for address in [address, admin] {
                    TcpListener::bind(address)
                        .unwrap_or_else(|left| panic!("{error}, and then {address}: {left}"));
                }
            }
        }
        descriptors += 1;
    };
    assert!(descriptors > 5, "two workers listen, and wait for events");
    server.drain();
    server.wait().expect("an orderly end");
}
