//! [`Process`]: the real binary, with its log and its exit code.

use crate::client::PATIENCE;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// A running `fanwire`. When it goes out of scope it is killed.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// What it has logged so far, as far as it was waited for.
    pub(crate) log: Vec<String>,
}

impl Process {
    /// Starts `fanwire` on a port of its own and waits until it listens.
    pub(crate) fn serve(arguments: &[&str]) -> (Process, SocketAddr) {
        let mut process = Process::spawn(fanwire().args(["--listen", "127.0.0.1:0"]).args(arguments));
        let address = process.address();
        (process, address)
    }

    pub(crate) fn spawn(command: &mut Command) -> Process {
        let (mut process, stderr) = Process::spawn_unheard(command);
        let (sender, lines) = mpsc::channel();
        process.lines = lines;
        // The log's end is the process's end: that ends the channel.
        thread::spawn(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        process
    }

    /// Starts it without reading what it logs.
    pub(crate) fn spawn_unheard(command: &mut Command) -> (Process, ChildStderr) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let (_, lines) = mpsc::channel();
        (Process { child, lines, log: Vec::new() }, stderr)
    }

    /// Waits for a line of the log that contains `words`.
    pub(crate) fn line(&mut self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {words:?} ({error}): {:#?}", self.log),
            }
        }
    }

    /// Waits for the next line that tells an address, and gives that.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line("listening on ");
        let (_, rest) = line.split_once("listening on ").expect("it was waited for");
        let (address, _) = rest.split_once(": ").expect("what is there follows");
        address.parse().expect("an address")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Stops all of it, by SIGSTOP, and waits until it stands still (proc(5)).
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let started = Instant::now();
        let stands_still = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
            // Its state is the first behind its name, which is in parentheses.
            stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
        };
        while !stands_still() {
            assert!(started.elapsed() < PATIENCE, "it goes on");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What it was started with in its environment (proc(5)).
    pub(crate) fn environment(&self) -> String {
        let variables = fs::read(format!("/proc/{}/environ", self.child.id())).expect("it runs");
        String::from_utf8_lossy(&variables).into_owned()
    }

    /// Bytes of memory of its own that are resident (proc(5)). Pages of the program's file do not count: more of them are
    /// there the more of the program has run, and the system takes them back when it likes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("proc(5)");
        let kibibytes: usize = line.trim_end_matches("kB").trim().parse().expect("proc(5)");
        kibibytes << 10
    }

    /// How many files it has open (proc(5)).
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// What it has spent, user and system, in ticks of 10 ms (proc(5)).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("its name is in parentheses");
        let fields: Vec<&str> = fields.split(' ').collect();
        // Its state, the first behind the name, is field 3; utime is 14, stime 15.
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Waits for its end: the exit code and the whole log.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.log),
            }
        }
        let status = self.child.wait().expect("a child");
        (status.code(), self.log.join("\n"))
    }
}

impl Process {
    /// Waits for its end: the exit code. For one whose log is not read.
    pub(crate) fn code(mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The binary under test, without any variable that would configure it.
pub(crate) fn fanwire() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("FANWIRE_") {
            command.env_remove(name);
        }
    }
    command
}

/// In the environment of a process that [`apart`] has started.
const IS_APART: &str = "IS_FOR_A_SINGLE_TEST";

/// The test of this name once more, in a process of its own: signals and the system's limits are for whole processes.
pub(crate) fn apart(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("it is running"));
    command.args(["--exact", name, "--nocapture"]).env(IS_APART, "1");
    command
}

/// Whether this is that process.
pub(crate) fn is_apart() -> bool {
    env::var_os(IS_APART).is_some()
}

/// Runs it to its end, which must come by itself.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
    Process::spawn(command).end()
}
