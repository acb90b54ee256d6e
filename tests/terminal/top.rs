//! `fanwire top`, against an admin API that says what it should.

use crate::fake_admin::FakeAdmin;
use crate::fake_server::FakeServer;
use crate::program::{Terminal, exit_code, fanwire, feed};
use crate::{file, run, said, shown, start};
use fanwire::config::Config;
use nix::pty::Winsize;
use std::sync::atomic::Ordering;

#[test]
fn once_it_prints_all_of_it_as_text() {
    let admin = FakeAdmin::start(None);
    let output = run(&["top", "--once", "--admin", &admin.url], b"");
    assert_eq!((said(&output), output.status.code()), (String::new(), Some(0)));
    assert_eq!(
        shown(&output),
        "\
fanwire 0.1.0  serving  up 1h 02m
connections 12,345  messages/s 100  deliveries/s 1,234,567  latency p50 400 µs p99 12 ms
in 20 KiB/s  out 30 KiB/s  connects/s 1.5  closes/s 2.0  drops/s 0  memory 20 MiB of 1024 MiB (2 %)

worker  connections  deliveries/s  mailbox  busy
     0        6,000       600,000      0 B  50 %  ██████████
     1        6,345       634,567      9 B  25 %  █████

channel  subscribers  messages/s  bytes/s  retained  behind
news          12,000          50   20 KiB    40 KiB       3
lobby             10          50    100 B    40 KiB       3

client  address         channel  user          queued    rtt     age
1.17.3  192.0.2.1:4711  news     ann\\u{1b}[2J  64 KiB  12 ms  1m 01s
"
    );
}

#[test]
fn the_token_comes_from_a_file_or_the_variable() {
    let admin = FakeAdmin::start(Some("s3cret"));
    let token = file("admin-token", "s3cret\n");
    let output = run(&["top", "--once", "--admin", &admin.url, "--token-file", token.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut command = fanwire(&["top", "--once"]);
    command.env("FANWIRE_ADMIN_URL", &admin.url).env("FANWIRE_ADMIN_TOKEN", "s3cret");
    assert_eq!(feed(command, b"").status.code(), Some(0));
}

#[test]
fn what_is_wrong_is_one_sentence_with_the_fix() {
    let failed = |url: &str, token: &str| {
        let mut command = fanwire(&["top", "--once", "--admin", url]);
        command.env("FANWIRE_ADMIN_TOKEN", token);
        let output = feed(command, b"");
        assert_eq!((output.status.code(), said(&output).lines().count()), (Some(1), 1), "{output:?}");
        said(&output)
    };
    let admin = FakeAdmin::start(Some("s3cret"));
    assert!(failed(&admin.url, "").contains("asks for a token: give it with --token-file FILE"));
    let wrong = failed(&admin.url, "s3cre7");
    assert!(wrong.contains("does not accept the token") && !wrong.contains("s3cre7"), "{wrong}");
    let listener = FakeServer::alone();
    let nobody = format!("http://{}", listener.address());
    drop(listener);
    let refused = failed(&nobody, "");
    assert!(refused.contains("start the server with --admin 127.0.0.1:8081"), "{refused}");
    let server = start(Config::default());
    let other = failed(&format!("http://{}", server.addresses()[0]), "");
    assert!(other.contains("is not fanwire's admin API (its status is 404)"), "{other}");
}

#[test]
fn without_a_terminal_it_says_to_use_once() {
    let admin = FakeAdmin::start(None);
    let output = run(&["top", "--admin", &admin.url], b"");
    assert_eq!((output.status.code(), said(&output).contains("use --once")), (Some(2), true));
}

#[test]
fn in_a_terminal_it_is_live_and_leaves_the_terminal_as_it_was() {
    const SIZE: Winsize = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    for keys in [&b"q"[..], b"\x03"] {
        let admin = FakeAdmin::start(None);
        let command = fanwire(&["top", "--interval", "0.1", "--admin", &admin.url]);
        let mut terminal = Terminal::spawn(command, Some(&SIZE));
        terminal.expect("12,345");
        terminal.expect("bytes/s▾");
        admin.connections.store(54_321, Ordering::Relaxed);
        // Only what has changed is drawn again.
        terminal.expect("54");
        terminal.press(b"s");
        terminal.expect("▾");
        terminal.press(b"p");
        terminal.expect("PAUSED");
        terminal.press(keys);
        assert_eq!(exit_code(&mut terminal.child), 0);
        terminal.expect_restored();
    }
}
