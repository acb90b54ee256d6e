//! Who may share what: a port among workers, and among servers that say so; the one queue of a socket that was passed.

use super::*;
use crate::config::AdminConfig;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::{env, process};

impl ListeningSocket {
    /// Of TCP.
    fn tcp(&self) -> &TcpListener {
        match self {
            ListeningSocket::Tcp(socket) => socket,
            ListeningSocket::Unix(..) => panic!("it is a Unix socket"),
        }
    }
}

fn config(workers: usize, port: u16) -> Config {
    Config { workers, listen: vec![([127, 0, 0, 1], port).into()], ..Config::default() }
}

#[test]
fn workers_share_one_port() {
    let workers = listen(&config(3, 0)).expect("a free port");
    let ports: Vec<u16> =
        workers.iter().map(|sockets| sockets[0].socket.tcp().local_addr().expect("bound").port()).collect();
    assert_eq!(ports.len(), 3);
    assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
}

#[test]
fn a_port_that_is_taken_is_an_error_although_both_servers_share_theirs_among_workers() {
    for (first, second) in [(2, 2), (1, 2), (2, 1), (1, 1)] {
        let workers = listen(&config(first, 0)).expect("a free port");
        let port = workers[0][0].socket.tcp().local_addr().expect("bound").port();
        let error = listen(&config(second, port)).expect_err("the port is taken");
        assert_eq!(error.option, "--listen");
        assert!(error.to_string().contains("is taken"), "{error}");
    }
}

#[test]
fn two_addresses_of_ours_of_which_one_is_within_the_other_are_an_error_that_says_so() {
    let free = TcpListener::bind("0.0.0.0:0").expect("a free port").local_addr().expect("bound").port();
    for addresses in [["0.0.0.0", "[::]"], ["[::]", "127.0.0.1"], ["127.0.0.1", "0.0.0.0"]] {
        let [first, second] = addresses.map(|address| format!("{address}:{free}"));
        let both = [&first, &second].map(|address| address.parse().expect("an address"));
        let error = listen(&Config { listen: both.to_vec(), ..config(1, 0) }).expect_err("they are one");
        assert_eq!(error.problem, format!("{second} is taken by {first}, where this server listens too"));
        assert!(error.fix.contains("leave one of them out"), "{error}");
    }
}

#[test]
fn a_file_that_is_named_twice_is_an_error_and_not_taken_over_from_ourselves() {
    let path = path("twice");
    for reuse_port in [false, true] {
        let address = || vec![path.clone().into()];
        let twice = Config { listen: address(), listen_tls: address(), reuse_port, ..config(1, 0) };
        let error = listen(&twice).expect_err("they are one");
        assert_eq!(error.option, "--listen-tls");
        assert!(error.problem.contains("where this server listens too"), "{error}");
        assert!(!path.exists());
    }
}

#[test]
fn an_address_that_the_admin_api_has_taken_is_no_other_servers() {
    let admin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = admin.local_addr().expect("bound");
    for ip in ["127.0.0.1", "0.0.0.0"] {
        let listen_on = format!("{ip}:{}", address.port()).parse().expect("an address");
        let admin = Some(AdminConfig { address, token: None });
        let error = listen(&Config { listen: vec![listen_on], admin, ..config(1, 0) }).expect_err("taken");
        assert!(error.fix.contains("--admin") && !error.fix.contains("another fanwire"), "{error}");
    }
}

#[test]
fn an_address_of_another_machine_is_an_error_that_says_so() {
    let elsewhere = Config { listen: vec!["192.0.2.1:0".parse().expect("an address")], ..config(1, 0) };
    let error = listen(&elsewhere).expect_err("TEST-NET-1 is nobody's");
    assert!(error.to_string().contains("not an address of this machine"), "{error}");
}

#[test]
fn connections_inherit_nodelay_from_their_listener() {
    let workers = listen(&config(1, 0)).expect("a free port");
    let listener = workers[0][0].socket.tcp();
    listener.set_nonblocking(false).expect("a socket");
    let _peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (accepted, _) = listener.accept().expect("it was connected to");
    assert!(accepted.nodelay().expect("a socket"));
}

fn port(sets: &[Vec<Listening>]) -> u16 {
    sets[0][0].socket.tcp().local_addr().expect("bound").port()
}

#[test]
fn two_servers_share_a_port_if_both_say_so() {
    let sharing = |workers, port| Config { reuse_port: true, ..config(workers, port) };
    for (first, second) in [(1, 1), (2, 3)] {
        let workers = listen(&sharing(first, 0)).expect("a free port");
        let others = listen(&sharing(second, port(&workers))).expect("it may be shared");
        assert_eq!(port(&others), port(&workers));
        let error = listen(&config(second, port(&workers))).expect_err("this one does not say so");
        assert!(error.to_string().contains("--reuse-port"), "{error}");
    }
    let workers = listen(&config(1, 0)).expect("a free port");
    listen(&sharing(1, port(&workers))).expect_err("that one did not say so");
}

fn passing(socket: TcpListener, workers: usize) -> Config {
    let passed = vec![PassedListener { socket: socket.into(), tls: false }];
    Config { passed, ..config(workers, 0) }
}

#[test]
fn a_socket_that_was_passed_is_every_workers_and_no_address_is_listened_on() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    let workers = listen(&passing(socket, 3)).expect("it listens");
    assert_eq!(workers.len(), 3);
    for sockets in &workers {
        let [only] = &sockets[..] else { panic!("{sockets:?}") };
        assert_eq!(only.socket.tcp().local_addr().expect("bound"), address);
        assert!(only.is_shared && !only.tls);
    }
    let _peer = TcpStream::connect(address).expect("it listens");
    let accept = |worker: usize| workers[worker].first().expect("one").socket.tcp().accept();
    let (accepted, _) = accept(1).expect("any worker takes it");
    assert!(accepted.nodelay().expect("a socket"));
    assert_eq!(accept(0).expect_err("it is taken").kind(), ErrorKind::WouldBlock);
}

/// A path of this test's own.
fn path(name: &str) -> PathBuf {
    env::temp_dir().join(format!("fanwire-listener-{name}-{}.sock", process::id()))
}

#[test]
fn workers_take_from_the_one_queue_of_a_unix_socket_whose_file_goes_with_the_last() {
    let path = path("queue");
    let config = Config { listen: vec![path.clone().into()], ..config(3, 0) };
    let mut workers = listen(&config).expect("a directory");
    assert!(workers.iter().all(|sockets| !sockets[0].is_shared), "it is ours alone");
    let accept = |sockets: &[Listening]| match &sockets[0].socket {
        ListeningSocket::Unix(socket, _) => socket.accept().map(drop),
        ListeningSocket::Tcp(_) => panic!("it is of TCP"),
    };
    let _peer = UnixStream::connect(&path).expect("it listens");
    accept(&workers[1]).expect("any worker takes it");
    assert_eq!(accept(&workers[0]).expect_err("it is taken").kind(), ErrorKind::WouldBlock);
    workers.truncate(1);
    assert!(path.exists());
    drop(workers);
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_cannot_be_is_an_error_that_names_the_fix() {
    let path = path("taken");
    let on = |path: &Path, reuse_port| {
        let listen_tls = vec![path.to_owned().into()];
        listen(&Config { listen: Vec::new(), listen_tls, reuse_port, ..config(1, 0) })
    };
    let _first = on(&path, false).expect("a directory");
    let error = on(&path, false).expect_err("it is taken");
    assert_eq!(error.option, "--listen-tls");
    assert!(error.problem.contains("is taken") && error.fix.contains("--reuse-port"), "{error}");
    on(&path, true).expect("it takes over");
    let nowhere = path.with_file_name("no-such-directory").join("a.sock");
    assert!(on(&nowhere, false).expect_err("no directory").fix.contains("directory"));
    let long = path.with_file_name("x".repeat(200));
    assert!(on(&long, false).expect_err("too long a name").fix.contains("107 bytes"));
}

#[test]
fn a_unix_socket_that_was_passed_is_every_workers_and_its_file_stays() {
    let path = path("passed");
    drop(std::fs::remove_file(&path));
    let socket = UnixListener::bind(&path).expect("a directory");
    let passed = vec![PassedListener { socket: socket.into(), tls: false }];
    let workers = listen(&Config { passed, ..config(2, 0) }).expect("it listens");
    assert!(workers.iter().all(|sockets| sockets.len() == 1 && sockets[0].is_shared));
    UnixStream::connect(&path).expect("it listens");
    drop(workers);
    assert!(path.exists(), "who has made it removes it");
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn a_socket_that_does_not_listen_is_an_error_that_names_the_fix() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let error = listen(&passing(bound.into(), 1)).expect_err("nobody called listen");
    assert_eq!(error.option, "LISTEN_FDS");
    assert!(error.to_string().contains("does not listen") && error.fix.contains("ListenStream="), "{error}");
}
