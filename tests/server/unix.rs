//! Unix sockets: beside TCP, with TLS, their files, and who takes over from whom.

use crate::certificate::Certificate;
use crate::client::{PATIENCE, SAMPLE_101, masked, upgrade, upgrade_with};
use crate::process::{Process, fanwire, run};
use crate::restart::passing;
use crate::running::Running;
use fanwire::config::ListenAddress;
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A path of its own, at which there is nothing.
fn path() -> PathBuf {
    static PATHS: AtomicUsize = AtomicUsize::new(0);
    let number = PATHS.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("fanwire-unix-{}-{number}.sock", std::process::id()));
    drop(fs::remove_file(&path));
    path
}

/// How options say it.
fn address(path: &Path) -> String {
    ListenAddress::Unix(path.to_owned()).to_string()
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

fn read(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{count} bytes did not come: {error}"));
    bytes
}

/// A WebSocket, with these lines in its request.
#[track_caller]
fn opened_with(path: &Path, lines: &str) -> UnixStream {
    let mut stream = connect(path);
    stream.write_all(upgrade_with("/ws", lines).as_bytes()).expect("the server takes it");
    assert_eq!(read(&mut stream, SAMPLE_101.len()), SAMPLE_101.as_bytes());
    stream
}

#[track_caller]
fn opened(path: &Path) -> UnixStream {
    opened_with(path, "")
}

/// All that comes up to the end.
fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the end");
    bytes
}

#[test]
fn a_unix_socket_is_served_beside_tcp_by_all_workers_and_its_file_goes_with_the_server() {
    for workers in [1, 3] {
        let path = path();
        let server = Running::start(workers, |config| {
            config.listen.push(path.clone().into());
            config.unix_mode = 0o600;
        });
        assert_eq!(server.server().unix_paths(), slice::from_ref(&path));
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        let mut anns: Vec<UnixStream> = (0..20).map(|_| opened(&path)).collect();
        let mut bob = server.client("/ws");
        bob.send("hello");
        for ann in &mut anns {
            assert_eq!(read(ann, 7), b"\x81\x05hello");
        }
        anns[0].write_all(&masked(0x81, b"good day")).expect("the server takes it");
        assert_eq!([bob.text(), bob.text()], ["hello", "good day"]);
        server.drain();
        for ann in &mut anns {
            assert_eq!(read(ann, 10), b"\x81\x08good day");
            assert_eq!(read(ann, 4)[0], 0x88, "a goodbye");
            ann.write_all(&masked(0x88, &[0x03, 0xe9])).expect("the server takes it");
            rest(ann);
        }
        bob.closure();
        server.wait();
        assert!(!path.exists());
    }
}

#[test]
fn a_slow_reader_on_a_unix_socket_gets_all_in_order_when_it_reads_again() {
    let path = path();
    let server = Running::start(1, |config| {
        config.listen.push(path.clone().into());
        config.send_buffer_bytes = Some(16 << 10);
    });
    let (mut ann, mut bob) = (opened(&path), server.client("/ws?echo=off"));
    for number in 0..100u8 {
        bob.send_binary(&[number; 10_000]);
    }
    server.until("all is published", |totals| totals.deliveries_queued >= 100);
    for number in 0..100 {
        let frame = read(&mut ann, 10_004);
        assert_eq!((frame[0], frame[4], frame[10_003]), (0x82, number, number));
    }
}

#[test]
fn tls_is_spoken_on_a_unix_socket_too() {
    let (path, certificate) = (path(), Certificate::new());
    let server = Running::start(1, |config| {
        certificate.configure(config);
        config.listen_tls.push(path.clone().into());
    });
    assert_eq!(server.server().tls_unix_paths(), slice::from_ref(&path));
    let name = "localhost".try_into().expect("a name");
    let session = ClientConnection::new(Arc::new(certificate.trusted(&[&TLS13])), name);
    let mut ann = StreamOwned::new(session.expect("a configuration"), connect(&path));
    ann.write_all(upgrade("/ws").as_bytes()).expect("the server takes it");
    assert_eq!(read(&mut ann, SAMPLE_101.len()), SAMPLE_101.as_bytes());
}

#[test]
fn who_comes_by_a_unix_socket_is_trusted_to_say_for_whom_and_else_counts_for_nobody() {
    let path = path();
    let server = Running::start(1, |config| {
        config.listen.push(path.clone().into());
        config.connections_per_address_max = 1;
    });
    let named = "X-Forwarded-For: 192.0.2.1\r\n";
    let _ann = opened_with(&path, named);
    let _nobodies = [opened(&path), opened(&path)];
    let mut again = connect(&path);
    again.write_all(upgrade_with("/ws", named).as_bytes()).expect("the server takes it");
    assert!(rest(&mut again).starts_with(b"HTTP/1.1 429 "));
    assert_eq!(server.totals().connections_turned_away_by_address, 1);
}

#[test]
fn by_unix_sockets_alone_the_proxy_protocol_needs_no_trust() {
    let path = path();
    let arguments = ["--listen", &address(&path), "--proxy-protocol", "--workers", "1"];
    let mut process = Process::spawn(fanwire().args(arguments));
    process.line("listening on unix:");
    let mut ann = connect(&path);
    let request = ["PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", &upgrade("/ws")].concat();
    ann.write_all(request.as_bytes()).expect("the server takes it");
    assert_eq!(read(&mut ann, SAMPLE_101.len()), SAMPLE_101.as_bytes());
}

#[test]
fn what_a_server_left_that_was_killed_is_replaced_and_what_answers_is_an_error_that_names_the_fix() {
    let path = path();
    let arguments = ["--listen", &address(&path), "--workers", "2"];
    let mut killed = Process::spawn(fanwire().args(arguments));
    killed.line("listening on unix:");
    killed.signal("KILL");
    killed.end();
    assert!(path.exists());
    let mut first = Process::spawn(fanwire().args(arguments));
    first.line("listening on unix:");
    let (code, log) = run(fanwire().args(arguments));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("somebody answers") && log.contains("--reuse-port"), "{log}");
    opened(&path);
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn with_reuse_port_a_second_process_takes_over_the_file_and_the_first_leaves_it() {
    let path = path();
    let arguments = ["--listen", &address(&path), "--workers", "2", "--reuse-port", "--drain-seconds", "0"];
    let start = || {
        let mut process = Process::spawn(fanwire().args(arguments));
        process.line("limits: ");
        process
    };
    let first = start();
    let mut early = opened(&path);
    let second = start();
    let mut late = opened(&path);
    first.signal("TERM");
    assert_eq!(read(&mut early, 4)[0], 0x88, "a goodbye");
    drop(early);
    assert_eq!(first.end().0, Some(0));
    late.write_all(&masked(0x81, b"hello")).expect("the second takes it");
    assert_eq!(read(&mut late, 7), b"\x81\x05hello");
    drop((late, opened(&path)));
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_second_process_that_cannot_start_leaves_the_file_to_who_serves() {
    let path = path();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("a socket").to_string();
    let arguments = ["--listen", &address(&path), "--workers", "2", "--reuse-port"];
    let mut first = Process::spawn(fanwire().args(arguments));
    first.line("limits: ");
    for option in ["--admin", "--listen"] {
        let (code, log) = run(fanwire().args(arguments).args([option, &port]));
        assert_eq!(code, Some(2), "{option}: {log}");
        drop(opened(&path));
    }
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_is_passed_is_served_and_its_file_stays() {
    let path = path();
    let socket = UnixListener::bind(&path).expect("a directory");
    let mut process = Process::spawn(&mut passing(vec![socket.into()], "", &["--workers", "2"]));
    assert!(process.line("listening on unix:").contains(path.to_str().expect("UTF-8")));
    drop(opened(&path));
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    fs::remove_file(&path).expect("who has made it removes it");
}
