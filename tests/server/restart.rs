//! One process takes over from another, and a service manager looks on: passed sockets, shared ports, notifications.

use crate::certificate::Certificate;
use crate::client::{Client, PATIENCE, Raw, Response, assert_closed, http, upgrade};
use crate::metronome::Metronome;
use crate::process::{Process, apart, fanwire, is_apart, run};
use command_fds::{CommandFdExt, FdMapping};
use fanwire::config::Config;
use fanwire::protocol::CloseCode;
use fanwire::server::Server;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// `fanwire` as systemd starts it with these sockets, by these names.
pub(crate) fn passing(sockets: Vec<OwnedFd>, names: &str, arguments: &[&str]) -> Command {
    let program = fanwire();
    let mut command = Command::new("sh");
    // The shell becomes the program, so that the number of its process is the program's.
    command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]).arg(program.get_program()).args(arguments);
    for (name, _) in program.get_envs() {
        command.env_remove(name);
    }
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    let mappings = (3..).zip(sockets).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).expect("different descriptors");
    command
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn copy(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().expect("a descriptor").into()
}

#[test]
fn what_is_wrong_is_said_with_its_place_when_sockets_are_passed_too() {
    let (socket, _) = listener();
    let mut command = passing(vec![copy(&socket)], "", &[]);
    let (code, log) = run(command.env("FANWIRE_WORKERS", "0"));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("--workers (environment FANWIRE_WORKERS) is 0"), "{log}");
}

#[test]
fn a_socket_that_is_passed_is_served_by_all_workers_and_replaces_listen() {
    let (socket, address) = listener();
    let (_other, taken) = listener();
    let arguments = ["--workers", "3", "--listen", &taken.to_string()];
    let mut process = Process::spawn(&mut passing(vec![copy(&socket)], "", &arguments));
    process.line("--listen and --listen-tls are not used");
    assert_eq!(process.address(), address);
    let mut clients: Vec<Client> = (0..30).map(|_| Client::connect(address, "/ws")).collect();
    clients[0].send("hello");
    assert!(clients.iter_mut().all(|client| client.text() == "hello"));
    process.signal("TERM");
    for client in clients {
        assert_closed(&client.closure(), CloseCode::GOING_AWAY, "shutting down");
    }
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn who_comes_between_two_processes_waits_in_the_queue_of_the_socket_and_is_served_by_the_second() {
    let (socket, address) = listener();
    let mut first = Process::spawn(&mut passing(vec![copy(&socket)], "", &["--workers", "2"]));
    assert_eq!(first.address(), address);
    assert_eq!(http(address, HEALTH).status, 200);
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    let mut between = Raw::connect(address);
    between.send(upgrade("/ws"));
    let mut second = Process::spawn(&mut passing(vec![copy(&socket)], "", &["--workers", "2"]));
    assert_eq!(second.address(), address);
    assert_eq!(between.read_text(12), "HTTP/1.1 101");
}

#[test]
fn a_socket_by_the_name_of_tls_speaks_tls() {
    let (plain, tls) = (listener(), listener());
    let certificate = Certificate::new();
    let files = certificate.files();
    let [cert, key] = [&files.certificate, &files.key].map(|path| path.to_str().expect("UTF-8"));
    let sockets = || vec![copy(&plain.0), copy(&tls.0)];
    let arguments = ["--tls-cert", cert, "--tls-key", key];
    let mut process = Process::spawn(&mut passing(sockets(), "web:tls", &arguments));
    assert_eq!([process.address(), process.address()], [plain.1, tls.1]);
    let mut ann = Client::connect(plain.1, "/ws");
    let mut bob = Client::on(certificate.connect(tls.1), "/ws", None);
    ann.send("hello");
    assert_eq!(bob.text(), "hello");

    let (code, log) = run(&mut passing(sockets(), "web:tls", &[]));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("LISTEN_FDNAMES=tls has no certificate") && log.contains("--tls-cert"), "{log}");
    let (code, log) = run(&mut passing(sockets(), "a:b", &arguments));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("--tls-cert") && log.contains("FileDescriptorName=tls"), "{log}");
}

#[test]
fn a_descriptor_that_is_no_listening_socket_is_exit_code_2_and_a_message_with_the_fix() {
    let (socket, address) = listener();
    let connected = TcpStream::connect(address).expect("it listens");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let unix = std::os::unix::net::UnixStream::pair().expect("a pair").0;
    let file = fs::File::open("Cargo.toml").expect("the manifest");
    for (what, descriptor) in [
        ("a connection", OwnedFd::from(connected)),
        ("UDP", udp.into()),
        ("a connection of a Unix socket", unix.into()),
        ("a file", file.into()),
    ] {
        let (code, log) = run(&mut passing(vec![copy(&socket), descriptor], "", &[]));
        assert_eq!(code, Some(2), "{what}: {log}");
        for part in ["LISTEN_FDS", "ListenStream="] {
            assert!(log.contains(part), "{what}: {part}: {log}");
        }
    }
}

#[test]
fn sockets_that_were_passed_to_another_process_are_not_ours() {
    let mut command = fanwire();
    let listen = ["--listen", "127.0.0.1:0"];
    let command = command.args(listen).env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let mut process = Process::spawn(command);
    assert_eq!(http(process.address(), HEALTH).status, 200);
}

#[test]
fn with_reuse_port_a_second_process_takes_over_while_the_first_says_goodbye() {
    let first_arguments = ["--reuse-port", "--workers", "2", "--drain-delay", "0.3"];
    let (mut first, address) = Process::serve(&first_arguments);
    let early = Client::connect(address, "/ws");
    let listen = ["--listen", &address.to_string(), "--workers", "3"];
    let mut second = Process::spawn(fanwire().args(listen).arg("--reuse-port"));
    assert_eq!(second.address(), address);
    first.signal("TERM");
    assert_closed(&early.closure(), CloseCode::GOING_AWAY, "shutting down");
    first.line("ended");
    let late: Vec<Client> = (0..10).map(|_| Client::connect(address, "/ws")).collect();
    second.signal("TERM");
    for client in late {
        assert_closed(&client.closure(), CloseCode::GOING_AWAY, "shutting down");
    }
}

/// What a service manager hears.
struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Manager {
        static MANAGERS: AtomicUsize = AtomicUsize::new(0);
        let number = MANAGERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fanwire-notify-{}-{number}", std::process::id()));
        drop(fs::remove_file(&path));
        let socket = UnixDatagram::bind(&path).expect("a free name");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Manager { path, socket }
    }

    /// Starts `fanwire` under it.
    fn start(&self, arguments: &[&str], patience: Option<Duration>) -> (Process, SocketAddr) {
        let mut command = fanwire();
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).env("NOTIFY_SOCKET", &self.path);
        if let Some(patience) = patience {
            command.env("WATCHDOG_USEC", patience.as_micros().to_string());
        }
        let mut process = Process::spawn(&mut command);
        let address = process.address();
        (process, address)
    }

    /// The next message, as lines.
    fn message(&self) -> Vec<String> {
        let mut message = [0; 1_000];
        let len = self.socket.recv(&mut message).expect("it is told in time");
        String::from_utf8_lossy(&message[..len]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

#[test]
fn the_service_manager_is_told_of_the_start_of_a_reload_and_of_the_end() {
    for is_tls in [false, true] {
        let manager = Manager::new();
        let certificate = Certificate::new();
        let options = certificate.options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (process, address) = manager.start(if is_tls { &options } else { &[] }, None);
        assert_eq!(manager.message(), ["READY=1", "STATUS=serving"]);
        TcpStream::connect(address).expect("who is ready listens");
        process.signal("HUP");
        let reloading = manager.message();
        assert_eq!(reloading[0], "RELOADING=1");
        let since = reloading[1].strip_prefix("MONOTONIC_USEC=").map(str::parse::<u64>);
        assert!(matches!(since, Some(Ok(1..))), "{reloading:?}");
        assert_eq!(manager.message(), ["READY=1", "STATUS=serving"]);
        process.signal("TERM");
        let stopping = manager.message();
        assert_eq!(stopping[0], "STOPPING=1");
        assert!(stopping[1].starts_with("STATUS=delivering"), "{stopping:?}");
        // 10 s for goodbyes, and twice the 5 s that a closing handshake may take.
        assert_eq!(stopping[2], "EXTEND_TIMEOUT_USEC=20000000");
        assert_eq!(process.end().0, Some(0));
    }
}

#[test]
fn a_reload_whose_disk_does_not_answer_keeps_nobody_from_ending_the_server() {
    const NAME: &str = "restart::a_reload_whose_disk_does_not_answer_keeps_nobody_from_ending_the_server";
    if is_apart() {
        let times = AtomicUsize::new(0);
        let source = move || {
            while times.load(Ordering::Relaxed) > 0 {
                // A disk that never answers.
                thread::park();
            }
            times.store(1, Ordering::Relaxed);
            let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
            Ok(Config { listen, workers: 1, ..Config::default() }.into())
        };
        Server::run_from(Arc::new(source)).expect("an orderly end");
        return;
    }
    let manager = Manager::new();
    let process = Process::spawn(apart(NAME).env("NOTIFY_SOCKET", &manager.path));
    assert_eq!(manager.message()[0], "READY=1");
    process.signal("HUP");
    assert_eq!(manager.message()[0], "RELOADING=1");
    process.signal("TERM");
    assert_eq!(manager.message()[0], "STOPPING=1");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_start_whose_disk_does_not_answer_is_ended_by_sigterm() {
    const NAME: &str = "restart::a_start_whose_disk_does_not_answer_is_ended_by_sigterm";
    if is_apart() {
        let source = || loop {
            eprintln!("asked");
            thread::park();
        };
        let _ = Server::run_from(Arc::new(source));
        return;
    }
    let mut process = Process::spawn(&mut apart(NAME));
    process.line("asked");
    process.signal("TERM");
    assert_eq!(process.end().0, None, "it dies of the signal");
}

#[test]
fn the_watchdog_hears_of_workers_that_sleep_and_of_a_drain_that_takes_long_more_often_than_it_has_patience() {
    let patience = Duration::from_secs(2);
    let metronome = Metronome::start();
    let manager = Manager::new();
    let (process, address) = manager.start(&["--workers", "3", "--drain-delay", "3"], Some(patience));
    let client = Client::connect(address, "/ws");
    let mut heard = Instant::now();
    let mut alive = |count: usize| {
        let mut messages = Vec::new();
        while messages.iter().filter(|message: &&Vec<String>| **message == ["WATCHDOG=1"]).count() < count {
            messages.push(manager.message());
            let silence = heard.elapsed();
            // While the machine stands still nobody is heard, nor hears.
            let stood_still = metronome.longest_pause();
            let excused = if stood_still > Duration::from_millis(100) { stood_still } else { Duration::ZERO };
            assert!(silence < patience + excused, "{silence:?} of silence, {stood_still:?} of standstill");
            heard = Instant::now();
        }
        messages
    };
    let messages = alive(4);
    assert!(messages.iter().any(|message| message[0] == "READY=1"), "{messages:?}");
    process.signal("TERM");
    let messages = alive(4);
    assert!(messages.iter().any(|message| message[0] == "STOPPING=1"), "{messages:?}");
    assert_closed(&client.closure(), CloseCode::GOING_AWAY, "shutting down");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn health_says_that_it_drains_to_whoever_is_still_let_in() {
    let (process, address) = Process::serve(&["--drain-delay", "600"]);
    process.signal("TERM");
    let started = Instant::now();
    let response: Response = loop {
        let response = http(address, HEALTH);
        if response.status == 503 || started.elapsed() > PATIENCE {
            break response;
        }
    };
    assert_eq!((response.status, response.body.as_str()), (503, "draining\n"));
    // A moment later, or it is the same one.
    thread::sleep(Duration::from_millis(300));
    process.signal("TERM");
    assert_eq!(process.end().0, Some(128 + 15));
}
