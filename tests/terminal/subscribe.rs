//! `fanwire sub`.

use crate::fake_server::FakeServer;
use crate::program::{Chat, Terminal, exit_code, fanwire};
use crate::{PATIENCE, agreed, run, said, signal};
use fanwire::protocol::{CloseCode, Kind};
use serde_json::Value;
use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn subscribe(listener: &FakeServer, arguments: &[&str]) -> Chat {
    Chat::spawn(fanwire(&[&["sub", "news", "--server", &listener.url("")], arguments].concat()))
}

#[test]
fn to_a_pipe_messages_go_as_they_are_with_a_line_end_behind_each() {
    let listener = FakeServer::bind();
    let mut child = fanwire(&["sub", "news", "-n", "3", "--server", &listener.url("")]).spawn().unwrap();
    let mut peer = listener.accept();
    peer.send(Kind::Text, "é \x1b[2J".as_bytes());
    peer.send(Kind::Text, b"two\nlines");
    peer.send(Kind::Binary, b"\0\xff");
    assert_eq!(peer.receive_closure(), agreed());
    let mut shown = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut shown).unwrap();
    assert_eq!(shown, b"\xc3\xa9 \x1b[2J\ntwo\nlines\n\0\xff\n");
    assert_eq!(exit_code(&mut child), 0);
}

#[test]
fn in_a_terminal_control_characters_are_shown_and_not_obeyed() {
    let listener = FakeServer::bind();
    let mut terminal = Terminal::spawn(fanwire(&["sub", "news", "--server", &listener.url("")]), None);
    let mut peer = listener.accept();
    terminal.expect("connected to");
    peer.send(Kind::Text, b"a\x1b[2Jb\nc");
    terminal.expect("a\\u{1b}[2Jb\r\n    c\r\n");
    peer.send(Kind::Binary, b"\0\x1b");
    terminal.expect("2 bytes: 00 1b\r\n");
    signal(&terminal.child, "INT");
    assert_eq!(peer.receive_closure(), agreed());
    assert_eq!(exit_code(&mut terminal.child), 0);
}

#[test]
fn as_json_each_message_is_an_object_in_one_line() {
    let listener = FakeServer::bind();
    let mut program = subscribe(&listener, &["--json"]);
    let mut peer = listener.accept();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64().floor();
    peer.send(Kind::Text, b"two\nlines \x1b \x7f");
    let line = program.heard();
    let behind = line.split_once(",\"channel\"").unwrap().1;
    assert_eq!(behind, r#":"news","kind":"text","data":"two\nlines \u001b \u007f"}"#);
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["data"], "two\nlines \x1b \x7f");
    let at = value["at"].as_f64().unwrap();
    assert!((before..before + 60.0).contains(&at), "{at}");
    peer.send(Kind::Binary, b"\0\xff");
    assert!(program.heard().ends_with(r#","channel":"news","kind":"binary","base64":"AP8="}"#));
}

#[test]
fn a_message_is_shown_when_it_comes_and_not_when_more_has_come() {
    let listener = FakeServer::bind();
    let mut program = subscribe(&listener, &[]);
    let mut peer = listener.accept();
    for number in 0..3 {
        peer.send(Kind::Text, number.to_string().as_bytes());
        assert_eq!(program.heard(), number.to_string());
    }
}

#[test]
fn it_leaves_after_so_many_messages_and_shows_no_more() {
    let listener = FakeServer::bind();
    let mut child = fanwire(&["sub", "news", "-n", "2", "--server", &listener.url("")]).spawn().unwrap();
    let mut peer = listener.accept();
    for payload in ["a", "b", "c"] {
        peer.send(Kind::Text, payload.as_bytes());
    }
    assert_eq!(peer.receive_closure(), agreed());
    assert_eq!(exit_code(&mut child), 0);
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "a\nb\n");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let listener = FakeServer::bind();
    let mut child = fanwire(&["sub", "news", "--server", &listener.url("")]).spawn().unwrap();
    let mut peer = listener.accept();
    drop(child.stdout.take());
    // What another test starts has a copy of the other end, for the moment until it runs its program.
    let started = Instant::now();
    peer.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    while peer.stream.peek(&mut [0]).is_err() {
        assert!(started.elapsed() < PATIENCE, "it goes on");
        peer.send(Kind::Text, b"nobody reads this");
    }
    peer.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.receive_closure(), agreed());
    assert_eq!(exit_code(&mut child), 0);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, format!("connected to {}\n", listener.url("/ws/news")));
}

#[test]
fn a_connection_that_is_lost_is_made_again_and_that_is_said() {
    let listener = FakeServer::alone();
    let address = listener.address();
    let mut program = subscribe(&listener, &[]);
    let mut peer = listener.accept();
    program.expect_status("connected to");
    peer.send(Kind::Text, b"before");
    assert_eq!(program.heard(), "before");
    drop((peer, listener));
    let status = program.expect_status("reconnecting in");
    assert!(status.starts_with("the connection was lost"), "{status}");
    let status = program.expect_status("reconnecting in");
    assert!(status.starts_with(&format!("cannot connect to ws://{address}")), "{status}");
    let listener = FakeServer(TcpListener::bind(address).unwrap());
    let mut peer = listener.accept();
    program.expect_status("connected to");
    peer.send(Kind::Text, b"after");
    assert_eq!(program.heard(), "after");
    peer.close(CloseCode::GOING_AWAY, "back soon");
    let status = program.expect_status("reconnecting in");
    assert!(status.starts_with("the server closed the connection: 1001 back soon; "), "{status}");
}

#[test]
fn a_signal_closes_with_1000() {
    for name in ["INT", "TERM"] {
        let listener = FakeServer::bind();
        let mut program = subscribe(&listener, &[]);
        let mut peer = listener.accept();
        program.expect_status("connected to");
        signal(&program.child, name);
        assert_eq!(peer.receive_closure(), agreed());
        assert_eq!(program.exit_code(), 0, "SIG{name}");
    }
}

#[test]
fn an_end_that_is_final_fails_unless_all_that_was_wanted_has_come() {
    for (arguments, code, exit) in [
        (&[][..], CloseCode::NORMAL, 0),
        (&["-n", "1"], CloseCode::NORMAL, 1),
        (&[], CloseCode::MESSAGE_TOO_BIG, 1),
    ] {
        let listener = FakeServer::bind();
        let mut program = subscribe(&listener, arguments);
        listener.accept().close(code, "enough");
        program.expect_status(&format!("{} enough", code.number()));
        assert_eq!(program.exit_code(), exit, "{code}");
    }
}

#[test]
fn nobody_there_in_the_first_place_is_final() {
    let listener = FakeServer::alone();
    let url = listener.url("");
    drop(listener);
    let output = run(&["sub", "news", "--server", &url], b"");
    assert!(said(&output).starts_with(&format!("cannot connect to {url}/ws/news: ")), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
}
