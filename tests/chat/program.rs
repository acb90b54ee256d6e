//! The program itself: with pipes, or in a terminal.

use crate::PATIENCE;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The chat.
pub(crate) fn command(arguments: &[&str]) -> Command {
    fanwire(&[&["chat"], arguments].concat())
}

/// The program, with pipes, in an environment that says nothing of it.
pub(crate) fn fanwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    command.args(arguments);
    let variables = env::vars_os().map(|(name, _)| name);
    for variable in variables.filter(|name| name.as_encoded_bytes().starts_with(b"FANWIRE_")) {
        command.env_remove(variable);
    }
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end with this input.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Output {
    feed(command(arguments), input)
}

pub(crate) fn feed(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    // Who ends before the input does closes it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Waits for the end. There is no event for it that has a deadline, so it is asked for.
pub(crate) fn exit_code(child: &mut Child) -> i32 {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().expect("it ends by itself");
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not end");
}

/// A running chat with pipes at all ends.
pub(crate) struct Chat {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<String>,
    statuses: Receiver<String>,
}

impl Chat {
    pub(crate) fn start(arguments: &[&str]) -> Chat {
        Chat::spawn(command(arguments))
    }

    pub(crate) fn spawn(mut command: Command) -> Chat {
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let messages = lines(child.stdout.take().unwrap());
        let statuses = lines(child.stderr.take().unwrap());
        Chat { child, stdin, messages, statuses }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        self.type_raw(format!("{line}\n").as_bytes());
    }

    pub(crate) fn type_raw(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn heard(&mut self) -> String {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// The next status line that contains `part`.
    pub(crate) fn expect_status(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let status =
                self.statuses.recv_timeout(left).unwrap_or_else(|_| panic!("no status with {part:?}"));
            if status.contains(part) {
                return status;
            }
        }
    }

    pub(crate) fn exit_code(&mut self) -> i32 {
        exit_code(&mut self.child)
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // It has ended already, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    lines
}

/// A running chat in a terminal of its own.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    /// What has been shown and not been expected yet.
    unread: String,
    before: Termios,
}

impl Terminal {
    pub(crate) fn start(arguments: &[&str]) -> Terminal {
        Terminal::spawn(command(arguments), None)
    }

    /// The program in a terminal of this size.
    pub(crate) fn spawn(mut command: Command, size: Option<&Winsize>) -> Terminal {
        let OpenptyResult { master, slave } = openpty(size, None).unwrap();
        let before = tcgetattr(&master).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keyboard = File::from(master);
        let shown = pieces(keyboard.try_clone().unwrap(), slave);
        Terminal { child, keyboard, shown, unread: String::new(), before }
    }

    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits until `part` has been shown; what was shown up to it, since the last that was expected.
    pub(crate) fn expect(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(position) = self.unread.find(part) {
                let behind = self.unread.split_off(position + part.len());
                return mem::replace(&mut self.unread, behind);
            }
            let piece = self.shown.recv_timeout(end.saturating_duration_since(Instant::now()));
            let piece = piece.unwrap_or_else(|_| panic!("{part:?} is not shown, but {:?}", self.unread));
            self.unread.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    pub(crate) fn expect_restored(&self) {
        assert_eq!(tcgetattr(&self.keyboard).unwrap(), self.before);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is written to a terminal. Its other end is kept, for without it there is nothing to read.
fn pieces(mut screen: File, other_end: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, pieces) = channel();
    thread::spawn(move || {
        let _other_end = other_end;
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    pieces
}
