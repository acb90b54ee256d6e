//! [`Server`]: the real binary under its load: its log, its memory, its descriptors, and its end.

use crate::certificate::Certificate;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of memory that all clients together may make it hold.
pub(crate) const BUDGET_BYTES: u64 = 96 << 20;

/// What it may take beyond the budget: its code, the buffers of two workers, what they keep for later (16 MiB each), and what
/// the allocator rounds up.
pub(crate) const ALLOWANCE_BYTES: u64 = 64 << 20;

/// Bytes that a message may have.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// How it is started. Silent clients get a Ping early, so that deadlines are part of the run; whose end is not noticed otherwise stays
/// for longer than a quiet; the buffers of the kernel are small, so that whoever does not read is soon noticed; rates hold up floods, and nobody else.
const OPTIONS: [&str; 28] = [
    "serve",
    "--workers",
    "2",
    "--listen",
    "127.0.0.1:0",
    "--listen-tls",
    "127.0.0.1:0",
    "--echo",
    "--deflate",
    "on",
    "--outbox-limit",
    "1048576",
    "--send-buffer",
    "32768",
    "--ping-interval",
    "5",
    "--idle-timeout",
    "150",
    "--handshake-timeout",
    "8",
    "--close-timeout",
    "5",
    "--drain-seconds",
    "3",
    "--max-messages-per-second",
    "1000",
    "--max-bytes-per-second",
    "4194304",
];

/// Lines of its log that are kept to be shown.
const LOG_LINES: usize = 60;

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

/// What its log has said.
#[derive(Debug, Default)]
struct Log {
    last: VecDeque<String>,
    plain: Option<SocketAddr>,
    tls: Option<SocketAddr>,
    /// How often it said that it let go of clients because of its budget.
    sheds: u64,
    has_ended: bool,
}

/// A running `fanwire`. When it goes out of scope it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<Log>>,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// If it cannot be started, or does not listen.
    pub(crate) fn start(binary: &Path, certificate: &Certificate) -> io::Result<Server> {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FANWIRE_") {
                command.env_remove(name);
            }
        }
        command.args(OPTIONS).args(["--memory-budget", &BUDGET_BYTES.to_string()]);
        command.args(["--max-message-size", &MESSAGE_BYTES_MAX.to_string()]);
        command.arg("--tls-cert").arg(certificate.path("cert.pem"));
        command.arg("--tls-key").arg(certificate.path("key.pem"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Mutex::new(Log::default()));
        let written = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lock(&written).add(line);
            }
            lock(&written).has_ended = true;
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, log, plain: nowhere, tls: nowhere };
        let begun = Instant::now();
        loop {
            let addresses = lock(&server.log).addresses();
            if let Some((plain, tls)) = addresses {
                (server.plain, server.tls) = (plain, tls);
                return Ok(server);
            }
            if begun.elapsed() > START || lock(&server.log).has_ended {
                return Err(io::Error::other(format!("fanwire does not listen:\n{}", server.last_lines())));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last lines of its log.
    pub(crate) fn last_lines(&self) -> String {
        lock(&self.log).last.iter().fold(String::new(), |lines, line| lines + "    " + line + "\n")
    }

    /// How often it has let go of clients because of its budget.
    pub(crate) fn sheds(&self) -> u64 {
        lock(&self.log).sheds
    }

    /// Bytes of its memory that are resident (proc(5)), if it runs.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kibibytes << 10)
    }

    /// Its open descriptors, if it runs.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count())
    }

    /// Seconds of CPU that it has taken, user and system.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // Its state, the first behind the name in parentheses, is field 3; utime is 14, stime 15, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: Option<u32> = fields.get(11..13)?.iter().map(|ticks| ticks.parse::<u32>().ok()).sum();
        Some(f64::from(ticks?) / 100.0)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) -> bool {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|status| status.success())
    }

    /// How it has ended, if it has.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok()?
    }
}

impl Log {
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.plain?, self.tls?))
    }

    fn add(&mut self, line: String) {
        if let Some((_, rest)) = line.split_once("listening on ")
            && let Some(address) = rest.split_once(": ").and_then(|(address, _)| address.parse().ok())
        {
            *if line.contains("wss://") { &mut self.tls } else { &mut self.plain } = Some(address);
        }
        if line.contains("let go: ") {
            self.sheds += 1;
        }
        self.last.push_back(line);
        if self.last.len() > LOG_LINES {
            self.last.pop_front();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// For how long each thread of a process has waited for a core since it began (proc(5)). Empty where the system does not say.
pub(crate) fn waits_for_core(process: impl Display) -> BTreeMap<OsString, Duration> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return BTreeMap::new() };
    let wait = |thread: fs::DirEntry| {
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanoseconds = times.split(' ').nth(1)?.parse().ok()?;
        Some((thread.file_name(), Duration::from_nanos(nanoseconds)))
    };
    threads.flatten().filter_map(wait).collect()
}

/// Asks for `/healthz` on a connection of its own: the answer's status, and how long it took.
///
/// # Errors
/// What the system says, or the answer if it is none.
pub(crate) fn healthz(address: SocketAddr, patience: Duration) -> io::Result<(u16, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(status) => Ok((status, begun.elapsed())),
        None => Err(io::Error::other(format!("it was answered by {answer:?}"))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
