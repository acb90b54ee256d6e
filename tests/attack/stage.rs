//! [`Stage`]: the real program under attack, with two honest clients who talk all the while.

use crate::certificate::{Certificate, Secure};
use crate::client::{Client, PATIENCE, Raw, Response, Stream, connect};
use crate::process::{Process, fanwire};
use rustls::ClientConfig;
use rustls::version::TLS13;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The longest message that every server here takes: `--max-message-size`.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What every server here has for its clients: `--memory-budget`.
pub(crate) const BUDGET_BYTES: usize = 16 << 20;

/// What may be resident beyond the budget and what the program had at first: buffers that two workers keep to use again,
/// and what the allocator has not given back.
const ALLOWANCE_BYTES: usize = 12 << 20;

/// How long a message of one witness may take to the other: a second, on a machine that does other things as well.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// How long the server may take to be rid of an attack's connections. Refused ones linger for two seconds.
const RID_WITHIN: Duration = Duration::from_secs(8);

/// What an honest proxy says for itself, where connections begin with a header of the PROXY protocol.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

pub(crate) const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server, and what it was like before the first attack.
pub(crate) struct Stage {
    /// Invariant: they go before the server does, or they would say that they lost it.
    witnesses: Witnesses,
    process: Process,
    /// Where it speaks plain TCP.
    pub(crate) address: SocketAddr,
    /// Where it speaks TLS.
    pub(crate) tls_address: SocketAddr,
    /// What honest connections begin with.
    greeting: &'static [u8],
    trusted: Arc<ClientConfig>,
    resident_bytes: usize,
    descriptors: usize,
    /// Its files are read again whenever they change.
    _certificate: Certificate,
}

impl Stage {
    /// A server of two workers with small limits, and these options.
    pub(crate) fn set(arguments: &[&str]) -> Stage {
        let certificate = Certificate::new();
        let (budget, message) = (BUDGET_BYTES.to_string(), MESSAGE_BYTES_MAX.to_string());
        let usual = ["--listen", "127.0.0.1:0", "--workers", "2", "--memory-budget", &budget, "-v"];
        let limits = ["--max-message-size", &message, "--outbox-limit", "262144", "--send-buffer", "16384"];
        let mut process =
            Process::spawn(fanwire().args(usual).args(limits).args(certificate.options()).args(arguments));
        let (address, tls_address) = (process.address(), process.address());
        let trusted = Arc::new(certificate.trusted(&[&TLS13]));
        let greeting = if arguments.contains(&"--proxy-protocol") { LOCAL } else { b"" };
        let witnesses = Witnesses::start(address, greeting);
        witnesses.assert_heard();
        let (resident_bytes, descriptors) = (process.resident_bytes(), process.descriptors());
        Stage {
            process,
            address,
            tls_address,
            greeting,
            trusted,
            witnesses,
            resident_bytes,
            descriptors,
            _certificate: certificate,
        }
    }

    /// A connection, ready for the request.
    pub(crate) fn connect(&self, over: Over) -> Box<dyn Stream> {
        match over {
            Over::Tcp => Box::new(connect(self.address, None)),
            Over::Tls => Box::new(Secure::connect(self.tls_address, &self.trusted).expect("a TLS handshake")),
        }
    }

    /// Asserts what must hold after every attack, `name`, and while others go on.
    pub(crate) fn assert_unharmed(&self, name: &str) {
        self.witnesses.assert_heard();
        self.assert_within_budget(name);
        let started = Instant::now();
        while self.process.descriptors() > self.descriptors {
            let more = self.process.descriptors().saturating_sub(self.descriptors);
            assert!(started.elapsed() < RID_WITHIN, "{name}: it is not rid of {more} connections");
            thread::sleep(Duration::from_millis(1));
        }
        // Before that it may have been right to answer 503, for want of memory.
        let health = self.http(HEALTH);
        assert_eq!((health.status, &*health.body), (200, "ok\n"), "{name}");
        health.assert_complete();
    }

    /// Asserts that the server holds no more than it may, however many clients there are just then.
    pub(crate) fn assert_within_budget(&self, name: &str) {
        let grown_bytes = self.process.resident_bytes().saturating_sub(self.resident_bytes);
        assert!(grown_bytes < BUDGET_BYTES + ALLOWANCE_BYTES, "{name}: it has grown by {grown_bytes} bytes");
    }

    /// Connections that are open, besides those of the witnesses.
    pub(crate) fn attackers(&self) -> usize {
        self.process.descriptors().saturating_sub(self.descriptors)
    }

    /// Waits until the server has let go of all connections but `count`, of its own accord.
    pub(crate) fn until_attackers_are(&self, count: usize, name: &str) {
        let started = Instant::now();
        while self.attackers() > count {
            assert!(started.elapsed() < PATIENCE, "{name}: {} are still there", self.attackers());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next line of the log with these words.
    pub(crate) fn line(&mut self, words: &str) -> String {
        self.process.line(words)
    }

    /// What the server says to a whole request.
    pub(crate) fn http(&self, request: &str) -> Response {
        let mut raw = Raw(honest(self.address, self.greeting));
        raw.send(request);
        Response::read(&mut raw)
    }

    /// Where connections over it are accepted.
    pub(crate) fn port(&self, over: Over) -> SocketAddr {
        match over {
            Over::Tcp => self.address,
            Over::Tls => self.tls_address,
        }
    }
}

/// A connection that begins as the server expects it.
fn honest(address: SocketAddr, greeting: &[u8]) -> TcpStream {
    let mut stream = connect(address, None);
    stream.write_all(greeting).expect("the server takes it");
    stream
}

/// What an attack comes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    Tcp,
    Tls,
}

/// Two clients of a channel of their own, in a thread of theirs: what the one says the other hears, in order.
struct Witnesses {
    /// Messages said and heard.
    heard: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witnesses {
    fn start(address: SocketAddr, greeting: &[u8]) -> Witnesses {
        let heard = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let witness = || Client::on(honest(address, greeting), "/ws/witnesses?echo=off", None);
        let (mut speaker, mut listener) = (witness(), witness());
        let (heard_by, is_over_for) = (heard.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            while !is_over_for.load(Ordering::Relaxed) {
                // It passes whatever --payload says.
                let number = heard_by.load(Ordering::Relaxed);
                let message = format!("{{\"username\":\"witness\",\"text\":\"{number}\"}}");
                speaker.send(&message);
                assert_eq!(listener.text(), message);
                heard_by.fetch_add(1, Ordering::Relaxed);
                // Soon, or at once if somebody waits for it.
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        Witnesses { heard, is_over, thread: Some(thread) }
    }

    /// Waits until they have said and heard something from now on.
    fn assert_heard(&self) {
        let (before, started) = (self.heard.load(Ordering::Relaxed), Instant::now());
        // The first of them may have been under way.
        while self.heard.load(Ordering::Relaxed) < before + 2 {
            let thread = self.thread.as_ref().expect("it is over only when this is dropped");
            assert!(!thread.is_finished(), "an honest client lost its connection, or a message");
            thread.thread().unpark();
            assert!(started.elapsed() < HEARD_WITHIN, "an honest client is not heard");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "an honest client failed");
    }
}
