//! How the program starts, and how it says that it cannot.

use crate::client::{Client, http, upgrade_with};
use crate::process::{Process, fanwire, run};
use crate::running::lone_address;
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;

const USAGE: Option<i32> = Some(2);

#[test]
fn it_says_where_it_listens_with_how_many_workers_and_within_which_limits() {
    let (mut process, address) = Process::serve(&["--workers", "3", "--max-connections", "500"]);
    let workers = process.line("workers");
    assert!(workers.contains("3 workers"), "{workers}");
    let limits = process.line("limits:");
    for part in [
        "500 connections",
        "messages of 1 MiB",
        "outbox of 2 MiB",
        "handshake timeout 10 s",
        "ping interval 30 s",
        "goodbyes over up to 10 s",
    ] {
        assert!(limits.contains(part), "{part}: {limits}");
    }
    let log = process.log.join("\n");
    assert!(log.contains("open files: "), "what it got of descriptors: {log}");
    assert!(log.contains(&format!("ws://{address}/ws")), "{log}");
    assert_eq!(http(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
}

#[test]
fn it_says_what_it_was_told_about_slow_consumers_and_floods_and_only_then() {
    let rules = ["--slow-consumer", "ticker-*=latest", "--max-messages-per-second", "10"];
    let (mut process, _) = Process::serve(&rules);
    assert!(process.line("floods").contains("10 messages/s (burst 10)"));
    assert!(process.line("slow consumers").contains("ticker-*=latest, all others disconnect"));
    let (mut process, _) = Process::serve(&[]);
    process.line("permessage-deflate");
    let log = process.log.join("\n");
    assert!(!log.contains("slow consumers") && !log.contains("floods"), "{log}");
}

#[test]
fn serve_is_what_it_does_without_a_subcommand() {
    let mut process = Process::spawn(fanwire().args(["serve", "--listen", "127.0.0.1:0"]));
    let address = process.address();
    assert_eq!(http(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
}

/// A dynamic linker that takes the allocator's variable away, as it does for programs with capabilities of their own, must
/// not have it start again for ever.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn it_starts_again_to_give_memory_back_but_no_more_than_once() {
    for (before, starts_again) in
        [("", true), ("FANWIRE_STARTED_AGAIN=1 ", true), ("FANWIRE_STARTED_AGAIN=$$ ", false)]
    {
        let fanwire = fanwire();
        let script = format!(r#"unset MALLOC_MMAP_THRESHOLD_; {before}exec "$0" --listen 127.0.0.1:0"#);
        let mut process = Process::spawn(Command::new("sh").arg("-c").arg(script).arg(fanwire.get_program()));
        process.address();
        assert_eq!(process.environment().contains("MALLOC_MMAP_THRESHOLD_="), starts_again, "{before}");
    }
}

#[test]
fn it_listens_on_several_addresses_ipv6_among_them() {
    let listen = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
    let mut process = Process::spawn(fanwire().args(listen).args(["--workers", "2"]));
    let (first, second) = (process.address(), process.address());
    assert!(first.is_ipv4() && second.is_ipv6());
    let (mut ann, mut bob) = (Client::connect(first, "/ws"), Client::connect(second, "/ws"));
    ann.send("hello");
    assert_eq!(bob.text(), "hello");
}

#[test]
fn the_port_of_another_fanwire_is_an_error_that_names_the_option_and_the_fix() {
    for (first, second) in [("1", "1"), ("2", "2"), ("1", "3"), ("3", "1")] {
        let (_process, address) = Process::serve(&["--workers", first]);
        let arguments = ["--listen", &address.to_string(), "--workers", second];
        let (code, log) = run(fanwire().args(arguments));
        assert_eq!(code, USAGE, "{log}");
        for part in ["--listen", "is taken", &address.to_string(), "choose another port"] {
            assert!(log.contains(part), "{part}: {log}");
        }
        // The first is not disturbed.
        for _ in 0..8 {
            assert_eq!(http(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
        }
    }
}

#[test]
fn the_port_of_another_program_is_the_same_error() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("bound").to_string();
    let (code, log) = run(fanwire().args(["--listen", &address, "--workers", "2"]));
    assert_eq!(code, USAGE, "{log}");
    assert!(log.contains("--listen") && log.contains("is taken"), "{log}");
}

#[test]
fn its_own_port_is_free_again_at_once_after_its_end() {
    let address = lone_address();
    let start = || {
        let mut process =
            Process::spawn(fanwire().args(["--listen", &address.to_string(), "--workers", "2"]));
        assert_eq!(process.address(), address);
        process
    };
    let process = start();
    Client::connect(address, "/ws").close();
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    start();
}

#[test]
fn an_option_that_cannot_be_used_is_exit_code_2_and_a_message_that_names_it() {
    for (arguments, parts) in [
        (&["--workers", "0"][..], &["--workers", "1 to 256"][..]),
        (&["--workers", "many"], &["--workers", "many"]),
        (&["--wrkers", "1"], &["--wrkers", "--workers"]),
        (&["--listen", "localhost"], &["--listen", "localhost"]),
        (&["--listen", "192.0.2.1:0"], &["--listen", "not an address of this machine", "127.0.0.1"]),
        (&["--max-message-size", "0"], &["--max-message-size", "give 1 to"]),
        (&["--outbox-limit", "1000"], &["--outbox-limit", "at least 1048586", "--max-message-size"]),
        (&["--max-connections", "0"], &["--max-connections", "at least 1"]),
        (&["--max-messages-per-second", "fast"], &["--max-messages-per-second", "fast"]),
        (
            &["--max-messages-per-second", "1000", "--message-burst", "10"],
            &["--message-burst is 10", "give 50 to"],
        ),
        (&["--message-burst", "10"], &["--message-burst", "without --max-messages-per-second"]),
        (
            &["--max-bytes-per-second", "1000", "--byte-burst", "1000"],
            &["--byte-burst is 1000", "give 16384 to"],
        ),
        (&["--byte-burst", "100000"], &["--byte-burst", "without --max-bytes-per-second"]),
        (&["--max-connections-per-ip=-1"], &["--max-connections-per-ip"]),
        (&["--idle-timeout=-1"], &["--idle-timeout"]),
        (&["--idle-timeout", "5s"], &["--idle-timeout", "seconds"]),
        (&["--payload", "xml"], &["--payload", "chat"]),
        (&["--allow-origin", "example.org"], &["--allow-origin", "https://example.org"]),
        (&["--log-format", "xml"], &["--log-format", "json"]),
        (&["--drain-seconds", "3601"], &["--drain-seconds", "0 to 3600 seconds"]),
        (&["--drain-delay", "soon"], &["--drain-delay", "seconds"]),
        (&["--drain-code", "1000"], &["--drain-code", "1001", "1012"]),
        (&["--send-buffer", "lots"], &["--send-buffer"]),
        (&["--deflate", "maybe"], &["--deflate", "on", "off"]),
        (&["--deflate-level", "0"], &["--deflate-level is 0", "give 1 to 9"]),
        (&["--deflate-level", "10"], &["--deflate-level is 10", "give 1 to 9"]),
        (&["--deflate-level", "best"], &["--deflate-level", "best"]),
        (&["--deflate-min-size=-1"], &["--deflate-min-size"]),
        (&["--slow-consumer", "ticker"], &["--slow-consumer", "ticker", "give PATTERN=POLICY"]),
        (&["--slow-consumer", "a=b=newest"], &["--slow-consumer", "drop-oldest or latest"]),
    ] {
        let (code, log) = run(fanwire().args(["--listen", "127.0.0.1:0"]).args(arguments));
        assert_eq!(code, USAGE, "{arguments:?}: {log}");
        for part in parts {
            assert!(log.contains(part), "{part}: {log}");
        }
    }
}

#[test]
fn an_outbox_of_exactly_one_message_and_its_header_is_enough() {
    let (_process, address) = Process::serve(&["--max-message-size", "1000", "--outbox-limit", "1010"]);
    let mut client = Client::connect(address, "/ws");
    client.send(&"x".repeat(1_000));
    assert_eq!(client.text().len(), 1_000);
}

#[test]
fn every_option_is_a_variable_too() {
    let variables = [
        ("FANWIRE_LISTEN", "127.0.0.1:0,[::1]:0"),
        ("FANWIRE_WORKERS", "2"),
        ("FANWIRE_MAX_MESSAGE_SIZE", "2048"),
        ("FANWIRE_HANDSHAKE_TIMEOUT", "1.5"),
        ("FANWIRE_PING_INTERVAL", "2.5"),
        ("FANWIRE_IDLE_TIMEOUT", "0"),
        ("FANWIRE_CLOSE_TIMEOUT", "3.5"),
        ("FANWIRE_DRAIN_DELAY", "0.1"),
        ("FANWIRE_DRAIN_SECONDS", "4.5"),
        ("FANWIRE_DRAIN_CODE", "1012"),
        ("FANWIRE_REUSE_PORT", "true"),
        ("FANWIRE_MAX_CONNECTIONS", "77"),
        ("FANWIRE_MAX_CONNECTIONS_PER_IP", "70"),
        ("FANWIRE_MAX_MESSAGES_PER_SECOND", "100"),
        ("FANWIRE_MESSAGE_BURST", "20"),
        ("FANWIRE_MAX_BYTES_PER_SECOND", "100000"),
        ("FANWIRE_BYTE_BURST", "30000"),
        ("FANWIRE_OUTBOX_LIMIT", "4096"),
        ("FANWIRE_SLOW_CONSUMER", "ticker-*=latest\nlog=drop-oldest"),
        ("FANWIRE_SEND_BUFFER", "16384"),
        ("FANWIRE_PAYLOAD", "json"),
        ("FANWIRE_ALLOW_ORIGIN", "https://a.example,https://b.example"),
        ("FANWIRE_ECHO", "true"),
        ("FANWIRE_LOG_FORMAT", "json"),
        ("FANWIRE_VERBOSE", "1"),
    ];
    // Both as `fanwire` and as `fanwire serve`.
    for subcommand in [&[][..], &["serve"]] {
        let mut process = Process::spawn(fanwire().args(subcommand).envs(variables));
        let line: Value = serde_json::from_str(&process.line("listening on")).expect("JSON");
        let message = line["message"].as_str().expect("a message");
        let address =
            message["listening on ".len()..].split_once(": ").expect("more").0.parse().expect("an address");
        process.line("[::1]");
        process.line("2 workers");
        let limits = process.line("limits: ");
        for part in [
            "77 connections",
            "messages of 2 KiB",
            "outbox of 4 KiB",
            "handshake timeout 1.5 s",
            "ping interval 2.5 s",
            "idle timeout off",
            "close timeout 3.5 s",
            "goodbyes over up to 4.5 s",
        ] {
            assert!(limits.contains(part), "{part}: {limits}");
        }
        let limits = process.line("limits against floods: ");
        for part in
            ["100 messages/s (burst 20)", "100000 bytes/s (burst 30000)", "70 connections of an address"]
        {
            assert!(limits.contains(part), "{part}: {limits}");
        }
        let mut echo = Client::connect(address, "/echo");
        echo.send("hello");
        assert_eq!(echo.text(), "hello");
        let mut client = Client::connect(address, "/ws");
        client.send("not JSON");
        assert!(client.text().starts_with("{\"error\":"));
        let forbidden = http(address, upgrade_with("/ws", "Origin: https://c.example\r\n"));
        assert_eq!(forbidden.status, 403);
        process.line("\"DEBUG\"");
        // Another may listen there as well, and this one says at its end what it was told to.
        let mut again =
            Process::spawn(fanwire().args(["--listen", &address.to_string()]).env("FANWIRE_REUSE_PORT", "1"));
        assert_eq!(again.address(), address);
        process.signal("TERM");
        process.line("503 for 0.1 s");
        process.line("with 1012");
    }
}

#[test]
fn rules_in_a_variable_are_separated_by_white_space_and_each_is_read() {
    let (code, log) =
        run(fanwire().env("FANWIRE_SLOW_CONSUMER", "ticker-*=latest\n\tlog=drop-oldest  a,b=c=never"));
    assert_eq!(code, USAGE, "{log}");
    assert!(log.contains("--slow-consumer") && log.contains("a,b=c=never"), "the last one: {log}");
}

#[test]
fn an_option_on_the_command_line_wins_over_its_variable() {
    let mut process = Process::spawn(
        fanwire().args(["--listen", "127.0.0.1:0", "--workers", "3"]).env("FANWIRE_WORKERS", "2"),
    );
    process.line("3 workers");
}

#[test]
fn a_flag_in_a_variable_may_be_1_or_0() {
    for (value, status) in [("1", "101"), ("0", "404"), ("true", "101"), ("false", "404")] {
        let mut process =
            Process::spawn(fanwire().args(["--listen", "127.0.0.1:0"]).env("FANWIRE_ECHO", value));
        let address = process.address();
        let mut raw = crate::client::Raw::connect(address);
        raw.send(crate::client::upgrade("/echo"));
        assert_eq!(raw.read_text(12), format!("HTTP/1.1 {status}"), "{value}");
    }
}

#[test]
fn a_log_in_json_is_json_on_every_line_to_the_end() {
    let (process, address) = Process::serve(&["--log-format", "json", "-v"]);
    Client::connect(address, "/ws").close();
    process.signal("TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0));
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["level"].is_string() && line["message"].is_string() && line["timestamp"].is_string(),
            "{line}"
        );
    }
    assert!(log.lines().count() >= 6, "{log}");
}

#[test]
fn it_says_that_it_is_open_to_all() {
    let (mut process, _) = Process::serve(&[]);
    process.line("no tokens are asked for: anyone who can reach it may listen and publish");
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "-h", "--version"] {
        assert_eq!(run(fanwire().arg(argument)).0, Some(0), "{argument}");
    }
}

#[test]
fn all_addresses_are_told_however_many_there_are() {
    let files: Vec<String> = (0..12)
        .map(|n| {
            std::env::temp_dir().join(format!("fw-{}-{n}.sock", std::process::id())).display().to_string()
        })
        .collect();
    let mut command = fanwire();
    command.args(["--workers", "1"]);
    for file in &files {
        command.args(["--listen", "127.0.0.1:0", "--listen", &format!("unix:{file}")]);
    }
    let mut process = Process::spawn(&mut command);
    process.line("permessage-deflate");
    let log = process.log.join("\n");
    assert_eq!(log.matches("127.0.0.1:").count(), 4 * 3 + 8, "{log}");
    for file in files {
        assert!(log.contains(&format!("unix:{file}")), "{file}: {log}");
    }
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}
