//! `fanwire pub`, `sub`, `top`, `doctor`, `completions` and `man`, the real program, against a real server; or against a
//! listener that plays one, where the test is about what goes over the wire or about a server that misbehaves.

mod doctor;
mod fake_admin;
mod manual;
mod publish;
mod subscribe;
mod top;

#[allow(dead_code, reason = "written for tests/chat, which uses all of it")]
#[path = "../chat/fake_server.rs"]
mod fake_server;
#[allow(dead_code, reason = "written for tests/chat, which uses all of it")]
#[path = "../chat/program.rs"]
mod program;

use fanwire::config::Config;
use fanwire::protocol::{CloseCode, CloseReason, Closure};
use fanwire::server::Server;
use program::{fanwire, feed};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::Duration;

/// What happens at all happens by then, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(config: Config) -> Server {
    Server::start(Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()], workers: 2, ..config })
        .unwrap()
}

fn url(server: &Server) -> String {
    format!("ws://{}", server.addresses()[0])
}

/// Runs the program to its end with this input.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    feed(fanwire(arguments), input)
}

/// What it wrote to stderr.
fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it wrote to stdout.
fn shown(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// How a connection ends in order.
fn agreed() -> Closure {
    Closure::Agreed(Some(CloseCode::NORMAL), CloseReason::none())
}

/// Sends a signal, as the user does.
fn signal(child: &Child, name: &str) {
    let killed = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

/// A file of this name with these contents.
fn file(name: &str, contents: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("terminal-{name}"));
    fs::write(&path, contents).unwrap();
    path
}
