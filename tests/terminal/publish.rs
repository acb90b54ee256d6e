//! `fanwire pub`.

use crate::fake_server::FakeServer;
use crate::program::{Chat, fanwire, feed};
use crate::{agreed, file, run, said, shown, signal, start, url};
use fanwire::config::{Config, PayloadPolicy};
use fanwire::limits::Limits;
use fanwire::protocol::{Kind, Response, Status};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// A `sub` that is subscribed.
fn subscriber(server: &str, arguments: &[&str]) -> Chat {
    let mut subscriber = Chat::spawn(fanwire(&[&["sub", "news", "--server", server], arguments].concat()));
    subscriber.expect_status("connected to");
    subscriber
}

#[test]
fn a_message_goes_out_as_it_is_and_is_published_when_its_copy_has_come_back() {
    let listener = FakeServer::bind();
    let mut program = Chat::spawn(fanwire(&["pub", "news/a", " hé\tllo ", "--server", &listener.url("")]));
    let mut peer = listener.accept();
    assert_eq!(peer.receive_text(), " hé\tllo ");
    peer.send(Kind::Text, b"somebody else's");
    assert!(program.child.try_wait().unwrap().is_none(), "it waits");
    peer.send(Kind::Text, " hé\tllo ".as_bytes());
    assert_eq!(peer.receive_closure(), agreed());
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn the_channel_is_in_the_request_and_so_is_the_token() {
    let token = file("token", "a.b-c\n");
    let token = token.to_str().unwrap();
    for (arguments, variable) in [(&["--token-file", token][..], "x.y"), (&[][..], "a.b-c")] {
        let listener = FakeServer::bind();
        let address = listener.address().to_string();
        let mut command = fanwire(&[&["pub", "news/a", "hi", "--server", &address], arguments].concat());
        let mut child = command.env("FANWIRE_TOKEN", variable).spawn().unwrap();
        let request = head(&mut listener.accept_stream());
        assert!(request.starts_with("GET /ws/news/a HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer a.b-c\r\n"), "{request}");
        let _ = child.kill();
        child.wait().unwrap();
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn each_line_is_a_message_and_all_are_heard_in_order() {
    let server = start(Config::default());
    let lines: Vec<String> = (0..3000).map(|number| format!("line {number}")).collect();
    let mut subscriber = subscriber(&url(&server), &["-n", "3000"]);
    let output = run(&["pub", "news", "--server", &url(&server)], lines.join("\n").as_bytes());
    assert_eq!(
        (output.status.code(), said(&output), shown(&output)),
        (Some(0), String::new(), String::new())
    );
    assert!(lines.iter().all(|line| subscriber.heard() == *line));
    assert_eq!(subscriber.exit_code(), 0);
}

#[test]
fn empty_lines_are_messages_and_an_empty_input_is_none() {
    let server = start(Config::default());
    let mut subscriber = subscriber(&url(&server), &["-n", "3"]);
    assert_eq!(run(&["pub", "news", "--server", &url(&server)], b"").status.code(), Some(0));
    assert_eq!(run(&["pub", "news", "-", "--server", &url(&server)], b"\nb\r\n").status.code(), Some(0));
    assert_eq!(run(&["pub", "news", "", "--server", &url(&server)], b"not read").status.code(), Some(0));
    assert_eq!([subscriber.heard(), subscriber.heard(), subscriber.heard()], ["", "b\r", ""].map(crlf));
    assert_eq!(subscriber.exit_code(), 0);
}

/// As a reader of lines has it: without the CR before an LF.
fn crlf(line: &str) -> String {
    line.trim_end_matches('\r').to_owned()
}

#[test]
fn all_of_stdin_is_one_binary_message() {
    let server = start(Config::default());
    let mut subscriber = subscriber(&url(&server), &["--json", "-n", "1"]);
    let output = run(&["pub", "news", "--binary", "--server", &url(&server)], b"\0\n\xff");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let heard = subscriber.heard();
    assert!(heard.ends_with(r#""kind":"binary","base64":"AAr/"}"#), "{heard}");
}

#[test]
fn what_is_not_json_is_not_sent() {
    let listener = FakeServer::bind();
    let output = run(&["pub", "news", "{\"a\":", "--json", "--server", &listener.url("")], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).starts_with("error: the message is not JSON: EOF"), "{}", said(&output));
    let server = start(Config::default());
    let output = run(&["pub", "news", "--json", "--server", &url(&server)], b"[1]\n\"a\nnull\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("line 2 is not JSON: "), "{}", said(&output));
    let output = run(&["pub", "news", "--server", &url(&server)], b"\xff\n");
    assert_eq!((output.status.code(), said(&output).contains("use --binary")), (Some(1), true));
}

#[test]
fn what_the_server_does_not_accept_fails_with_its_reason_and_the_others_are_published() {
    let server = start(Config { payload: PayloadPolicy::Json, ..Config::default() });
    let output = run(&["pub", "news", "hello", "--server", &url(&server)], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("the server rejected a message: not JSON: "), "{}", said(&output));
    let mut subscriber = subscriber(&url(&server), &["-n", "2"]);
    let output = run(&["pub", "news", "--server", &url(&server)], b"1\nx\n2\n");
    assert_eq!((output.status.code(), said(&output).lines().count()), (Some(1), 1), "{output:?}");
    assert_eq!([subscriber.heard(), subscriber.heard()], ["1", "2"]);
}

#[test]
fn under_payload_chat_the_normal_form_is_the_copy() {
    let server = start(Config { payload: PayloadPolicy::Chat, ..Config::default() });
    let message = r#" {"TEXT": "hi", "more": 1} "#;
    let output = run(&["pub", "news", message, "--server", &url(&server)], b"");
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
}

#[test]
fn a_copy_that_does_not_come_is_waited_for_no_longer_than_is_said() {
    let listener = FakeServer::bind();
    let mut program =
        Chat::spawn(fanwire(&["pub", "news", "hi", "--timeout", "0.2", "--server", &listener.url("")]));
    let mut peer = listener.accept();
    assert_eq!(peer.receive_text(), "hi");
    program.expect_status("no copy came back in 0.2 s; not confirmed: 1 of 1 message");
    assert_eq!(program.exit_code(), 1);
}

#[test]
fn a_server_that_never_answers_is_waited_for_no_longer_than_is_said() {
    let listener = FakeServer::bind();
    let output = run(&["pub", "news", "hi", "--timeout", "0.2", "--server", &listener.url("")], b"");
    assert_eq!((output.status.code(), &*said(&output)), (Some(1), "the server did not answer in 0.2 s\n"));
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let listener = FakeServer::bind();
    let mut program = Chat::spawn(fanwire(&["pub", "news", "hi", "--server", &listener.url("")]));
    let mut stream = listener.accept_stream();
    let mut response = Vec::new();
    Response::text(Status::new(401), "who are you?\n").append(true, &mut response);
    stream.write_all(&response).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let status = program.expect_status("the server refused: 401");
    assert!(status.ends_with(": who are you?"), "{status}");
    assert_eq!(program.exit_code(), 1);
}

#[test]
fn s7_4_1_a_message_that_is_too_big_fails_with_the_servers_close_code() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let server = start(Config { limits, ..Config::default() });
    let output = run(&["pub", "news", "--server", &url(&server)], &[b'a'; 1001]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains("closed the connection: 1009") && said.ends_with("; not confirmed: 1 of 1 message\n"),
        "{said}"
    );
}

#[test]
fn nobody_there_fails_at_once() {
    let listener = FakeServer::alone();
    let url = listener.url("");
    drop(listener);
    let output = run(&["pub", "news", "hi", "--server", &url], b"");
    assert!(said(&output).starts_with(&format!("cannot connect to {url}/ws/news: ")), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn ctrl_c_ends_an_input_that_goes_on_when_what_was_sent_has_come_back() {
    let listener = FakeServer::bind();
    let mut program = Chat::spawn(fanwire(&["pub", "news", "--server", &listener.url("")]));
    let mut peer = listener.accept();
    program.type_line("one");
    assert_eq!(peer.receive_text(), "one");
    signal(&program.child, "INT");
    peer.send(Kind::Text, b"one");
    assert_eq!(peer.receive_closure(), agreed());
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn arguments_that_cannot_be_used_are_named_with_the_fix() {
    for (arguments, fix) in [
        (&["pub", "a b", "hi"][..], "<CHANNEL>"),
        (&["pub", "a", "hi", "--server", "ftp://a"], "use ws://"),
        (&["pub", "a", "hi", "--server", "ws://a:1?x"], "no query"),
        (&["pub", "a", "hi", "--insecure"], "use wss://"),
        (&["pub", "a", "hi", "--json", "--binary"], "cannot be used with"),
        (&["pub", "a", "hi", "--token-file", "/nonexistent"], "give a file that this user can read"),
    ] {
        let output = feed(fanwire(arguments), b"");
        assert!(said(&output).contains(fix), "{arguments:?}: {}", said(&output));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_token_in_the_variable_with_the_servers_address_is_not_shown() {
    for arguments in [&["pub", "a", "hi"][..], &["sub", "a"], &["pub", "--help"], &["sub", "--help"]] {
        let mut command = fanwire(arguments);
        command.env("FANWIRE_SERVER", "ws://127.0.0.1:1?token=s3cret");
        let output = feed(command, b"");
        let all = said(&output) + &shown(&output);
        assert!(all.contains("FANWIRE_SERVER"), "{all}");
        assert!(!all.contains("s3cret"), "{arguments:?}: {all}");
    }
}
