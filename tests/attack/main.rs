//! The attacker: hostile bytes, floods, slow peers and bombs against the real program, a named case each.
//!
//! After every case the server serves: `/healthz` says so, two honest clients have heard each other all the while, what is
//! resident is within the budget, and the attack's connections are gone ([`stage::Stage::assert_unharmed`]). What a case
//! sends and what is right to answer stand in one line of a table where a table can say it. Those of the tables run over
//! TCP and over TLS; those that wait for a timeout have a server each, all at the same time.

mod announcements;
mod case;
mod compression;
mod floods;
mod framing;
mod heads;
mod memory;
mod slow;
mod stage;

#[allow(dead_code, reason = "written for tests/server, which uses all of it")]
#[path = "../server/certificate.rs"]
mod certificate;
#[allow(dead_code, reason = "written for tests/server, which uses all of it")]
#[path = "../server/client.rs"]
mod client;
#[allow(dead_code, reason = "written for tests/server, which uses all of it")]
#[path = "../server/process.rs"]
mod process;

use case::{Case, open, run_apart, run_in_turn, send};
use client::masked;
use serde_json::Value;
use stage::{Over, Stage};
use std::collections::BTreeSet;

/// What the issue asks for.
const CASES_MIN: usize = 100;

#[test]
fn heads() {
    run_in_turn(&[], heads::cases());
}

#[test]
fn framing() {
    run_in_turn(&[], framing::cases());
}

#[test]
fn compression() {
    run_in_turn(&[], compression::cases());
}

#[test]
fn floods() {
    run_in_turn(&[], floods::cases());
}

#[test]
fn memory() {
    run_in_turn(&[], memory::cases());
}

#[test]
fn payloads_that_are_refused() {
    for policy in ["json", "chat"] {
        run_in_turn(&["--payload", policy], memory::rejected(policy));
    }
}

#[test]
fn announcements() {
    run_in_turn(&announcements::OPTIONS, announcements::cases());
}

#[test]
fn slow_announcements() {
    run_apart(&announcements::HASTY, announcements::slow_cases());
}

#[test]
fn slow_ones() {
    run_apart(&slow::TIMEOUTS, slow::cases());
}

#[test]
fn there_are_more_than_a_hundred_and_no_two_have_one_name() {
    let groups: [(&str, Vec<Case>); 10] = [
        ("heads", heads::cases()),
        ("framing", framing::cases()),
        ("compression", compression::cases()),
        ("floods", floods::cases()),
        ("memory", memory::cases()),
        ("json", memory::rejected("json")),
        ("chat", memory::rejected("chat")),
        ("slow ones", slow::cases()),
        ("announcements", announcements::cases()),
        ("slow announcements", announcements::slow_cases()),
    ];
    for (name, cases) in &groups {
        println!("{name}: {}", cases.len());
    }
    let names: Vec<&str> = groups.iter().flat_map(|(_, cases)| cases).map(|case| &*case.name).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    println!("all: {}", names.len());
    assert_eq!(names.len(), distinct.len(), "a name means one case");
    assert!(names.len() >= CASES_MIN, "{}", names.len());
}

/// A reason of a Close that would like to be a line of its own in the log, and to write on the operator's terminal.
const FORGED: &[u8] = b"\x03\xe8\x1b[2J\x07\r\n2026-01-01T00:00:00Z ERROR Forged\n\xe2\x80\xae\xc2\x9b";

#[test]
fn what_a_peer_says_is_escaped_in_the_log() {
    for format in ["text", "json"] {
        let mut stage = Stage::set(&["--log-format", format]);
        let mut stream = open(&stage, Over::Tcp, "/ws/forged", "");
        send(&mut *stream, &masked(0x88, FORGED));
        let line = stage.line("Forged");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line:?}");
        assert!(!line.contains(['\u{202e}', '\u{9b}']), "{line:?}");
        if format == "json" {
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(line["message"], "ended");
        }
        drop(stream);
        stage.assert_unharmed("a forged line");
    }
}
