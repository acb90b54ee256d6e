//! `fanwire chat`, the real program, against a real server; or against a listener that plays one, where the test is about
//! what goes over the wire or about a server that misbehaves. Over TLS: `tls.rs`.

mod fake_server;
mod program;
mod tls;

use fake_server::FakeServer;
use fanwire::config::{Config, PayloadPolicy};
use fanwire::protocol::{CloseCode, CloseReason, Closure, Kind, Response, Status};
use fanwire::server::Server;
use program::{Chat, Terminal, command, exit_code, feed, run};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What happens at all happens by then, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(20);

// ---- Pipes ----------------------------------------------------------------------------------------------------------

#[test]
fn a_pipe_sends_every_line_as_chat_and_then_closes_with_1000() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws?echo=off"), "--username", "a\"nn"]);
    chat.type_line("one");
    chat.type_line("");
    chat.type_raw(b"two \\ \xc3\xa9");
    chat.end_input();
    let mut peer = listener.accept();
    assert_eq!(peer.receive_text(), r#"{"username":"a\"nn","text":"one"}"#);
    assert_eq!(peer.receive_text(), r#"{"username":"a\"nn","text":""}"#);
    assert_eq!(peer.receive_text(), "{\"username\":\"a\\\"nn\",\"text\":\"two \\\\ é\"}");
    assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
    assert_eq!(chat.exit_code(), 0);
}

#[test]
fn s7_1_2_the_program_ends_only_after_the_server_has_answered_its_close_frame() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws?echo=off")]);
    chat.end_input();
    let mut peer = listener.accept();
    let mut close = [0; 8];
    peer.stream.read_exact(&mut close).unwrap();
    assert_eq!(close[..2], [0x88, 0x82], "a masked Close frame with a code");
    assert!(chat.child.try_wait().unwrap().is_none(), "it waits");
    peer.stream.write_all(b"\x88\x02\x03\xe8").unwrap();
    drop(peer);
    assert_eq!(chat.exit_code(), 0);
}

#[test]
fn a_server_that_does_not_answer_the_close_frame_leaves_a_pipe_in_doubt() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws?echo=off")]);
    chat.end_input();
    let _peer = listener.accept();
    chat.expect_status("did not answer our Close frame");
    assert_eq!(chat.exit_code(), 1);
}

#[test]
fn a_pipe_waits_until_its_lines_have_come_back() {
    let server = start(Config::default());
    let lines: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    let output = run(&[&url(&server, "/ws"), "--username", "ann"], lines.join("\n").as_bytes());
    let shown = String::from_utf8(output.stdout).unwrap();
    let heard: Vec<&str> = shown.lines().map(|line| line.strip_prefix("ann: ").unwrap()).collect();
    assert_eq!(heard, lines);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_empty_pipe_connects_and_closes_at_once() {
    let server = start(Config::default());
    let output = run(&[&url(&server, "/ws")], b"");
    assert_eq!((output.status.code(), output.stdout), (Some(0), Vec::new()));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("connected to ws://127.0.0.1:"));
}

#[test]
fn two_chats_hear_each_other_and_themselves_in_one_order() {
    let server = start(Config::default());
    let url = url(&server, "/ws/room");
    let mut ann = Chat::start(&[&url, "--username", "ann"]);
    let mut bob = Chat::start(&[&url, "--username", "bob"]);
    ann.expect_status("connected to");
    bob.expect_status("connected to");
    ann.type_line("hello");
    for chat in [&mut ann, &mut bob] {
        assert_eq!(chat.heard(), "ann: hello");
    }
    bob.type_line("hi ann");
    for chat in [&mut ann, &mut bob] {
        assert_eq!(chat.heard(), "bob: hi ann");
    }
    for chat in [&mut ann, &mut bob] {
        chat.end_input();
        assert_eq!(chat.exit_code(), 0);
    }
}

#[test]
fn the_name_comes_from_the_option_the_variable_or_the_user() {
    let server = start(Config::default());
    let spoken = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = command(&[&[&*url(&server, "/ws")], arguments].concat());
        command.env_remove("USER").envs(variables.iter().copied());
        String::from_utf8(feed(command, b"hi").stdout).unwrap()
    };
    let both = [("FANWIRE_USERNAME", "variable"), ("USER", "user")];
    assert_eq!(spoken(&["--username", "option"], &both), "option: hi\n");
    assert_eq!(spoken(&[], &both), "variable: hi\n");
    assert_eq!(spoken(&[], &both[1..]), "user: hi\n");
    assert_eq!(spoken(&[], &[]), "anonymous: hi\n");
}

#[test]
fn with_a_token_the_server_is_told_who_speaks_and_may_say_it_in_our_place() {
    let listener = FakeServer::bind();
    let mut command = command(&[&listener.url("/ws"), "--username", "me"]);
    command.env("FANWIRE_TOKEN", "a.b-c");
    let mut chat = Chat::spawn(command);
    let mut peer = listener.accept();
    chat.type_line("hi");
    chat.end_input();
    assert_eq!(peer.receive_text(), r#"{"username":"me","text":"hi"}"#);
    peer.send(Kind::Text, br#"{"username":"ann","text":"hi"}"#);
    assert_eq!(chat.heard(), "ann: hi");
    assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
    assert_eq!(chat.exit_code(), 0, "our line has come back");
}

// ---- What is shown --------------------------------------------------------------------------------------------------

#[test]
fn payloads_that_are_not_chat_are_shown_as_they_are_and_control_characters_are_not_obeyed() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    let mut peer = listener.accept();
    for (payload, shown) in [
        ("plain text", "plain text"),
        ("[1, 2]", "[1, 2]"),
        ("{\"error\":\"from somebody\"}", "{\"error\":\"from somebody\"}"),
        ("a\x1b[2Jb\tc", "a\\u{1b}[2Jb\tc"),
        (r#"{"username":"\u001bann\n","text":"\u0007"}"#, r"\u{1b}ann: \u{7}"),
        (r#"{"text":"nobody"}"#, "anonymous: nobody"),
    ] {
        peer.send(Kind::Text, payload.as_bytes());
        assert_eq!(chat.heard(), shown);
    }
    peer.send(Kind::Binary, b"\0\x1b[2J");
    assert_eq!(chat.heard(), "5 bytes: 00 1b 5b 32 4a");
    peer.send(Kind::Text, br#"{"username":"ann","text":"one\nbob: forged"}"#);
    assert_eq!((chat.heard(), chat.heard()), ("ann: one".into(), "    bob: forged".into()));
}

#[test]
fn raw_sends_lines_and_shows_payloads_verbatim_to_a_pipe() {
    let server = start(Config { echo: true, ..Config::default() });
    let lines = b"hello\n\n{\"text\": 1}\r\n\x1b[2J\n\xff\x00";
    let output = run(&[&url(&server, "/echo"), "--raw"], lines);
    assert_eq!(output.stdout, [&lines[..], b"\n"].concat());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_the_server_does_not_accept_is_an_error_and_fails_a_pipe() {
    let server = start(Config { payload: PayloadPolicy::Chat, ..Config::default() });
    let output = run(&[&url(&server, "/ws"), "--raw"], b"not chat\n");
    assert!(output.stdout.starts_with(b"{\"error\":"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    let mut peer = listener.accept();
    chat.type_line("something");
    peer.receive_text();
    peer.send(Kind::Text, b"{\"error\":\"no \\u001b\"}");
    assert_eq!(chat.heard(), r"error from the server: no \u{1b}");
    chat.end_input();
    peer.receive_closure();
    assert_eq!(chat.exit_code(), 1);
}

#[test]
fn what_is_said_under_payload_chat_is_what_comes_back() {
    let server = start(Config { payload: PayloadPolicy::Chat, ..Config::default() });
    let output = run(&[&url(&server, "/ws"), "--username", "<ann>"], "é \\ \" </script>".as_bytes());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "<ann>: é \\ \" </script>\n");
    assert_eq!(output.status.code(), Some(0));
}

// ---- Endings --------------------------------------------------------------------------------------------------------

#[test]
fn a_lost_connection_is_made_again_and_lines_typed_meanwhile_are_sent_then() {
    let listener = FakeServer::alone();
    let address = listener.address();
    let mut chat = Chat::start(&[&listener.url("/ws"), "--username", "ann"]);
    let peer = listener.accept();
    chat.expect_status("connected to");
    drop((peer, listener));
    let status = chat.expect_status("reconnecting in");
    assert!(status.starts_with("the connection was lost"), "{status}");
    chat.type_line("kept");
    let status = chat.expect_status("reconnecting in");
    assert!(status.starts_with(&format!("cannot connect to ws://{address}")), "{status}");
    let listener = FakeServer(TcpListener::bind(address).unwrap());
    let mut peer = listener.accept();
    chat.expect_status("connected to");
    assert_eq!(peer.receive_text(), r#"{"username":"ann","text":"kept"}"#);
    peer.send(Kind::Text, br#"{"username":"ann","text":"kept"}"#);
    chat.end_input();
    assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
    assert_eq!(chat.exit_code(), 0);
}

#[test]
fn lines_that_were_on_their_way_when_the_connection_broke_are_reported_and_fail_a_pipe() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    let mut peer = listener.accept();
    chat.type_line("lost");
    peer.receive_text();
    drop(peer);
    chat.expect_status("not confirmed by the server, perhaps lost: 1 line");
    let mut peer = listener.accept();
    chat.end_input();
    peer.receive_closure();
    assert_eq!(chat.exit_code(), 1);
}

#[test]
fn a_server_that_goes_away_with_1001_is_come_back_to() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    listener.accept().close(CloseCode::GOING_AWAY, "back soon");
    let status = chat.expect_status("reconnecting in");
    assert!(status.starts_with("the server closed the connection: 1001 back soon; "), "{status}");
    listener.accept();
    chat.expect_status("connected to");
}

#[test]
fn s7_4_1_a_code_that_blames_us_is_shown_and_final() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    listener.accept().close(CloseCode::MESSAGE_TOO_BIG, "too \x1b slow");
    chat.expect_status(r"the server closed the connection: 1009 too \u{1b} slow");
    assert_eq!(chat.exit_code(), 1);
}

#[test]
fn a_server_that_closes_with_1000_is_done() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    listener.accept().close(CloseCode::NORMAL, "");
    chat.expect_status("the server closed the connection: 1000");
    assert_eq!(chat.exit_code(), 0);
}

#[test]
fn a_refusal_is_shown_with_its_body() {
    let server = start(Config::default());
    let output = run(&[&url(&server, "/nowhere")], b"hi");
    let status = String::from_utf8(output.stderr).unwrap();
    assert!(status.starts_with("the server refused: 404 Not Found: nothing here: the chat page"), "{status}");
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
}

#[test]
fn a_refusal_whose_body_comes_late_is_shown_whole_and_obeyed_nowhere() {
    let listener = FakeServer::bind();
    let mut chat = Chat::start(&[&listener.url("/ws")]);
    let mut stream = listener.accept_stream();
    let mut response = Vec::new();
    Response::text(Status::SERVICE_UNAVAILABLE, "full,\x1b come back\n").append(true, &mut response);
    let (head, body) = response.split_at(response.len() - 12);
    stream.write_all(head).unwrap();
    stream.flush().unwrap();
    stream.write_all(body).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    chat.expect_status(r"the server refused: 503 Service Unavailable: full,\u{1b} come back");
    assert_eq!(chat.exit_code(), 1, "a pipe without a first connection does not try again");
}

#[test]
fn a_pipe_that_finds_no_server_fails_at_once() {
    let listener = FakeServer::alone();
    let url = listener.url("/ws");
    drop(listener);
    let output = run(&[&url], b"hi");
    let status = String::from_utf8(output.stderr).unwrap();
    assert!(
        status.starts_with(&format!("cannot connect to {url}: ")) && status.lines().count() == 1,
        "{status}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_address_that_cannot_be_used_is_named_with_the_fix() {
    for (written, fix) in
        [("ftp://a/", "use ws://"), ("localhost", "write localhost:8080"), ("a:99999", "1 to 65535")]
    {
        let output = run(&[written], b"");
        let status = String::from_utf8(output.stderr).unwrap();
        assert!(status.contains("[URL]") && status.contains(fix), "{status}");
        assert_eq!(output.status.code(), Some(2), "{written}");
    }
}

#[test]
fn a_signal_closes_with_1000_although_the_input_goes_on() {
    for signal in ["INT", "TERM"] {
        let listener = FakeServer::bind();
        let mut chat = Chat::start(&[&listener.url("/ws")]);
        let mut peer = listener.accept();
        chat.expect_status("connected to");
        let killed =
            Command::new("kill").args(["-s", signal, &chat.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
        assert_eq!(chat.exit_code(), 0, "SIG{signal}");
    }
}

#[test]
fn who_reads_no_more_ends_it() {
    let server = start(Config::default());
    let mut child = command(&[&url(&server, "/ws")]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hi\n").unwrap();
    assert_eq!(exit_code(&mut child), 0, "although its input is still open");
}

// ---- A terminal -----------------------------------------------------------------------------------------------------

#[test]
fn in_a_terminal_what_comes_stands_above_the_line_being_typed() {
    let server = start(Config::default());
    let url = url(&server, "/ws");
    let mut terminal = Terminal::start(&[&url, "--username", "ann"]);
    terminal.expect("connected to");
    terminal.expect("ann: ");
    terminal.press(b"half");
    terminal.expect("half");
    run(&[&url, "--username", "bob"], b"hello\x1b[2J");
    terminal.expect("hello\\u{1b}[2J\r\n");
    // The prompt and what has been typed are drawn again.
    terminal.expect("ann: half");
    terminal.press(b" a line\r\x04");
    terminal.expect(" a line");
    assert_eq!(exit_code(&mut terminal.child), 0);
}

#[test]
fn in_a_terminal_one_s_own_line_is_not_shown_twice() {
    let listener = FakeServer::bind();
    let mut terminal = Terminal::start(&[&listener.url("/ws"), "--username", "ann"]);
    let mut peer = listener.accept();
    terminal.expect("ann: ");
    terminal.press(b"once\r");
    let said = peer.receive_text();
    assert_eq!(said, r#"{"username":"ann","text":"once"}"#);
    terminal.expect("once");
    terminal.expect("ann: ");
    peer.send(Kind::Text, said.as_bytes());
    peer.send(Kind::Text, br#"{"username":"bob","text":"marker"}"#);
    let until_marker = terminal.expect("marker");
    assert!(!until_marker.contains("once"), "{until_marker:?}");
    peer.send(Kind::Text, said.as_bytes());
    terminal.expect("once");
}

#[test]
fn in_a_terminal_ctrl_c_and_ctrl_d_close_with_1000_and_leave_the_terminal_as_it_was() {
    for key in [b"\x03", b"\x04"] {
        let listener = FakeServer::bind();
        let mut terminal = Terminal::start(&[&listener.url("/ws"), "--username", "ann"]);
        let mut peer = listener.accept();
        terminal.expect("ann: ");
        terminal.press(key);
        assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
        assert_eq!(exit_code(&mut terminal.child), 0);
        terminal.expect_restored();
    }
}

#[test]
fn in_a_terminal_what_was_typed_before_ctrl_d_is_sent_however_much_comes() {
    let listener = FakeServer::bind();
    let mut terminal = Terminal::start(&[&listener.url("/ws"), "--username", "ann"]);
    let mut peer = listener.accept();
    terminal.expect("ann: ");
    let is_enough = Arc::new(AtomicBool::new(false));
    let (mut stream, enough) = (peer.stream.try_clone().unwrap(), is_enough.clone());
    let frame = [&b"\x81\x7e\x04\x00"[..], &[b'x'; 1024]].concat();
    let flood =
        thread::spawn(move || while !enough.load(Ordering::Relaxed) && stream.write_all(&frame).is_ok() {});
    terminal.expect("xxxx");
    terminal.press(b"bye\r\x04");
    assert_eq!(peer.receive_text(), r#"{"username":"ann","text":"bye"}"#);
    is_enough.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    assert_eq!(peer.receive_closure(), Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none()));
    assert_eq!(exit_code(&mut terminal.child), 0);
}

#[test]
fn a_terminal_is_as_it_was_after_the_server_has_ended_it_in_the_middle_of_a_line() {
    let listener = FakeServer::bind();
    let mut terminal = Terminal::start(&[&listener.url("/ws"), "--username", "ann"]);
    let peer = listener.accept();
    terminal.expect("ann: ");
    terminal.press(b"half");
    terminal.expect("half");
    peer.close(CloseCode::MESSAGE_TOO_BIG, "enough");
    terminal.expect("1009 enough");
    assert_eq!(exit_code(&mut terminal.child), 1);
    terminal.expect_restored();
}

#[test]
fn in_a_terminal_every_pasted_line_is_sent() {
    let listener = FakeServer::bind();
    let mut terminal = Terminal::start(&[&listener.url("/ws?echo=off"), "--raw"]);
    let mut peer = listener.accept();
    terminal.expect("> ");
    terminal.press(b"one\rtwo\rthree\r");
    assert_eq!([peer.receive_text(), peer.receive_text(), peer.receive_text()], ["one", "two", "three"]);
}

// ---- The server -----------------------------------------------------------------------------------------------------

fn start(config: Config) -> Server {
    Server::start(Config { listen: vec![([127, 0, 0, 1], 0).into()], workers: 2, ..config }).unwrap()
}

fn url(server: &Server, path: &str) -> String {
    format!("ws://{}{path}", server.addresses()[0])
}
