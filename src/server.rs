//! Puts it together: listeners, a thread for each worker, and an orderly end. (The file is long because all that a server
//! can be told from its start to its end stands in one place, with what it says of itself.)
//!
//! ```
//! use fanwire::config::Config;
//! use fanwire::server::Server;
//!
//! let config = Config { listen: vec!["127.0.0.1:0".parse()?], workers: 2, ..Config::default() };
//! let server = Server::start(config)?;
//! println!("ws://{}/ws", server.addresses()[0]);
//!
//! server.drain();
//! let totals = server.wait()?;
//! assert_eq!(totals.connections_open, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ending;
mod notifier;
mod reloading;
mod renewal;
mod watchdog;
mod watching;

use crate::auth::Keys;
use crate::config::{
    ChannelRules, Config, ConfigError, ConfigSource, Described, ListenAddress, Rate, Rates, Reconfigured,
    Setting,
};
#[cfg(feature = "control")]
use crate::control::{Control, Handles, Opening, Reload, Served};
use crate::hub::{HashSeed, ShardId};
use crate::mesh::Mesh;
use crate::metrics::{Counters, Totals};
use crate::net::certificates::Certificates;
use crate::net::listener::{Listening, listen};
use crate::protocol::Time;
use crate::shard::mail::Notice;
use crate::shard::{Place, Shard};
use crate::worker::{Common, Listener, Worker};
use ending::Ending;
use mio::Waker;
use notifier::Notifier;
use reloading::{Reloading, say_tokens};
use renewal::Renewal;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use watchdog::Watchdog;

/// Signals that come within it are one: `timeout` and shells send theirs to a process and to the group it is in.
const ONE_SIGNAL: Duration = Duration::from_millis(200);

/// A running server. Dropping it does not end it: [`drain`](Server::drain) it and [`wait`](Server::wait).
#[derive(Debug)]
pub struct Server {
    plain: Listens,
    tls: Listens,
    /// What is renewed while it runs, if TLS is spoken.
    renewal: Option<Renewal>,
    reloading: Reloading,
    ending: Ending,
    mesh: Arc<Mesh<Waker>>,
    counters: Arc<[Arc<Counters>]>,
    /// The admin API, if it is asked for.
    #[cfg(feature = "control")]
    control: Option<Control>,
    threads: Arc<[JoinHandle<()>]>,
    /// Says that nobody is to wait any longer.
    impatience: Sender<Notice>,
    notices: Receiver<Notice>,
}

/// Where a server listens, in plaintext or for TLS.
#[derive(Debug, Default)]
struct Listens {
    addresses: Vec<SocketAddr>,
    unix_paths: Vec<PathBuf>,
}

impl Listens {
    fn of(sockets: &[Listening], tls: bool) -> io::Result<Listens> {
        let mut listens = Listens::default();
        for one in sockets.iter().filter(|one| one.tls == tls) {
            match one.socket.address()? {
                Some(ListenAddress::Tcp(address)) => listens.addresses.push(address),
                Some(ListenAddress::Unix(path)) => listens.unix_paths.push(path),
                None => {}
            }
        }
        Ok(listens)
    }
}

/// Why a server did not start, or ended otherwise than by a drain.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// An option cannot be used.
    Config(ConfigError),
    /// The system refused something that the server cannot be without.
    System(io::Error),
    /// A worker failed; its clients are gone with it.
    Worker(ShardId, String),
    /// This signal came a second time, and the drain was not waited for.
    Interrupted(i32),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Config(error) => error.fmt(f),
            ServerError::System(error) => write!(f, "the system refused what a server needs: {error}"),
            ServerError::Worker(shard, reason) => write!(f, "worker {} failed: {reason}", shard.0),
            ServerError::Interrupted(signal) => {
                write!(f, "ended by signal {signal} before the drain was over")
            }
        }
    }
}

impl std::error::Error for ServerError {}

impl From<ConfigError> for ServerError {
    fn from(error: ConfigError) -> Self {
        ServerError::Config(error)
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        ServerError::System(error)
    }
}

impl Server {
    /// Listens, and starts the workers. When this returns, clients can connect.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the system refuses sockets or threads.
    pub fn start(config: Config) -> Result<Server, ServerError> {
        Server::start_described(config.into(), None)
    }

    /// The same with a configuration that can be read again: it is when [`reload`](Self::reload) says so, and when one of
    /// its files changes.
    ///
    /// # Errors
    /// As for [`start`](Self::start), and if there is no configuration at its source.
    pub fn start_from(source: ConfigSource) -> Result<Server, ServerError> {
        Server::start_described(source()?, Some(source))
    }

    /// Checks a configuration as a start would, and reads the files that it names, without listening.
    ///
    /// # Errors
    /// If a server could not start with it, as far as that can be known.
    pub fn check(config: &Config) -> Result<(), ServerError> {
        config.check()?;
        if let Some(files) = config.tls.clone() {
            Arc::new(Certificates::read(files)?).server_config().map_err(io::Error::other)?;
        }
        config.auth.as_ref().map(Keys::read).transpose()?;
        Ok(())
    }

    fn start_described(
        mut described: Described,
        source: Option<ConfigSource>,
    ) -> Result<Server, ServerError> {
        let config = &mut described.config;
        config.check()?;
        let certificates = config.tls.clone().map(Certificates::read).transpose()?.map(Arc::new);
        let tls = match &certificates {
            Some(certificates) => Some(certificates.server_config().map_err(io::Error::other)?),
            None => None,
        };
        let keys = config.auth.as_ref().map(Keys::read).transpose()?.map(Arc::new);
        let listeners = listen(config)?;
        // Nobody holds a socket open for longer than the workers listen.
        let is_passed = !mem::take(&mut config.passed).is_empty();
        let (plain, tls_listens) = (Listens::of(&listeners[0], false)?, Listens::of(&listeners[0], true)?);
        let common = Common {
            started: Instant::now(),
            handshake_timeout_ms: config.limits.handshake_timeout_ms,
            is_among_many: config.workers > 1,
            proxy_protocol: config.proxy_protocol,
            trusted_proxies: Arc::new(config.trusted_proxies.clone()),
            unix_send_buffer_bytes: config.send_buffer_bytes,
        };
        let counters: Arc<[_]> = listeners.iter().map(|_| Arc::new(Counters::default())).collect();
        #[cfg(feature = "control")]
        let opening = config.admin.clone().map(Opening::listen).transpose()?;
        let sockets = listeners
            .into_iter()
            .enumerate()
            .map(|(number, sockets)| {
                let listener = |Listening { socket, tls: is_for_tls, is_shared }| {
                    let tls = if is_for_tls { tls.clone() } else { None };
                    Listener { socket, tls, is_shared }
                };
                let listeners = sockets.into_iter().map(listener).collect();
                Worker::new(ShardId(number as u16), listeners, counters[number].clone(), common.clone())
            })
            .collect::<io::Result<Vec<_>>>()?;
        let (workers, wakers): (Vec<Worker>, Vec<Waker>) = sockets.into_iter().unzip();
        let mesh = Mesh::new(wakers, config.connections_max, config.memory_bytes_max)
            .with_connections_per_address_max(config.connections_per_address_max);
        #[cfg(feature = "control")]
        let mesh = match &opening {
            Some(opening) => mesh.with_answers(opening.answers()),
            None => mesh,
        };
        let mesh = Arc::new(mesh);
        let ending = Ending::new(mesh.clone(), config);
        let (sender, notices) = mpsc::channel();
        let (shards, seed) = (workers.len(), seed()?);
        let reloading =
            Reloading::start(mesh.clone(), ending.clone(), described, keys.clone(), is_passed, source)?;
        let config = reloading.config();
        let mut threads = Vec::new();
        for (number, worker) in workers.into_iter().enumerate() {
            let id = ShardId(number as u16);
            let place = Place { id, shards, seed, config: config.clone() };
            let shard = Shard::new(place, counters[number].clone(), Time(0)).with_keys(keys.clone());
            let (mesh, end) = (mesh.clone(), End { id, notices: sender.clone(), notice: None });
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || end.report(worker.run(shard, mesh)))?);
        }
        let threads = threads.into();
        let renewal = certificates.map(Renewal::start).transpose()?;
        #[cfg(feature = "control")]
        let control = match opening {
            None => None,
            Some(opening) => Some(opening.start(Served {
                mesh: mesh.clone(),
                counters: counters.clone(),
                seed,
                started: common.started,
                handles: Arc::new(handles(&ending, &reloading)),
            })?),
        };
        Ok(Server {
            plain,
            tls: tls_listens,
            renewal,
            reloading,
            ending,
            mesh,
            counters,
            #[cfg(feature = "control")]
            control,
            threads,
            impatience: sender,
            notices,
        })
    }

    /// The address of the admin API, with its real port; none unless it [is asked for](Config::admin).
    #[cfg(feature = "control")]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(Control::address)
    }

    /// The addresses of TCP that the server listens on in plaintext, in the order of the configuration, with their real
    /// ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.plain.addresses
    }

    /// The addresses of TCP that the server listens on for TLS, in the order of the configuration, with their real ports.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls.addresses
    }

    /// The files of the Unix sockets that the server listens on in plaintext, in the order of the configuration.
    pub fn unix_paths(&self) -> &[PathBuf] {
        &self.plain.unix_paths
    }

    /// The files of the Unix sockets that the server listens on for TLS, in the order of the configuration.
    pub fn tls_unix_paths(&self) -> &[PathBuf] {
        &self.tls.unix_paths
    }

    /// The second from which on the certificate in use is no longer valid, in Unix time; none if no TLS is spoken.
    pub fn certificate_expires(&self) -> Option<u64> {
        self.renewal.as_ref().map(|renewal| renewal.certificates().expires())
    }

    /// Has certificate and key read again, as if their files had changed. It does not wait for that; what comes of it
    /// is logged.
    pub fn reload_certificate(&self) {
        if let Some(renewal) = &self.renewal {
            renewal.reload(|| ());
        }
    }

    /// Has the server run with another configuration, as far as that can change while it runs: all of it at once or, if it
    /// cannot be used, nothing. The answer says what has changed and what would need a restart. It does not wait until the
    /// workers have taken note, which they do in their next turn.
    ///
    /// Connections that are open keep the limits that they came with ([`Limits`](crate::limits::Limits)), their rates and
    /// their compression, and nobody is closed for it: neither who would not be let in any more, nor who is one too many.
    /// All else holds for them too: what may be published in their channels and by whom, what becomes of them if they are
    /// slow, and how the server ends. The files with keys for tokens are read again too, whether or not the configuration is
    /// another: who is in by a token stays in until that expires, and keeps the rights that it gives, even if its key is
    /// trusted no more.
    ///
    /// # Errors
    /// If the configuration cannot be used, or a file with keys.
    pub fn reconfigure(&self, config: Config) -> Result<Reconfigured, ConfigError> {
        self.reloading.reconfigure(config)
    }

    /// Reads the configuration again where it came from ([`start_from`](Self::start_from)), and has the server run with it
    /// as [`reconfigure`](Self::reconfigure) does. A server that was started without a source stays as it is.
    ///
    /// # Errors
    /// If the new configuration cannot be used.
    pub fn reload(&self) -> Result<Reconfigured, ConfigError> {
        self.reloading.reload("told to read the configuration again")
    }

    /// What the server runs with.
    pub fn config(&self) -> Arc<Config> {
        self.reloading.config()
    }

    /// The same option by option, with the place where each value came from, as far as its source has told.
    pub fn settings(&self) -> Vec<Setting> {
        self.reloading.settings()
    }

    /// What has been counted so far, over all workers.
    pub fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(Arc::as_ref))
    }

    /// Starts an orderly end: `/healthz` says so, after a while nobody comes in any more, what was accepted for broadcast
    /// is delivered, and everyone is told goodbye, as [`Config::drain`] says. [`wait`](Server::wait) for it.
    pub fn drain(&self) {
        self.ending.begin("told to drain");
    }

    /// Waits until every worker has ended.
    ///
    /// # Errors
    /// As soon as a worker fails: a part of the clients is gone, and the process had better end.
    pub fn wait(self) -> Result<Totals, ServerError> {
        let ended = await_workers(&self.notices, self.mesh.shards());
        let totals = self.totals();
        #[cfg(feature = "control")]
        if let Some(control) = self.control {
            control.stop();
        }
        ended.map(|()| totals)
    }

    /// Begins to tell the service manager that we are alive, if it wants to know.
    fn watch(&self, notifier: &Notifier) -> io::Result<()> {
        let variable = |name| env::var(name).ok();
        let (usec, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        let Some(patience) = watchdog::patience(usec.as_deref(), pid.as_deref()) else { return Ok(()) };
        let (mesh, counters) = (self.mesh.clone(), self.counters.to_vec());
        let (threads, notifier) = (self.threads.clone(), notifier.clone());
        Watchdog { mesh, counters, threads, notifier }.start(patience)
    }

    /// Serves until SIGTERM or SIGINT, which start a drain; a second one ends the wait for it. SIGHUP has certificate
    /// and key read again.
    ///
    /// A service manager that asks for it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) is told that the server is ready, reloads,
    /// stops, and as long as every worker goes round its loop that it is alive.
    ///
    /// # Errors
    /// As for [`start`](Server::start) and [`wait`](Server::wait).
    pub fn run(config: Config) -> Result<Totals, ServerError> {
        Server::run_described(config.into(), None)
    }

    /// The same with a configuration that can be read again: on SIGHUP it is, before the certificate, and also when one of
    /// its files changes. What comes of it is logged.
    ///
    /// # Errors
    /// As for [`start_from`](Self::start_from) and [`wait`](Self::wait).
    pub fn run_from(source: ConfigSource) -> Result<Totals, ServerError> {
        Server::run_described(source()?, Some(source))
    }

    fn run_described(described: Described, source: Option<ConfigSource>) -> Result<Totals, ServerError> {
        // Before the first thread: a signal that comes during the start is not lost.
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let greeting = Greeting::of(&described.config);
        let server = Server::start_described(described, source)?;
        greeting.log(&server);
        let notifier = Notifier::new(env::var_os("NOTIFY_SOCKET"));
        server.watch(&notifier)?;
        // Not while we end: the service manager would think that we go on.
        let ready = move |notifier: &Notifier, ending: &Ending| {
            if ending.seconds().is_none() {
                notifier.tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
            }
        };
        ready(&notifier, &server.ending);
        let (ending, renewal) = (server.ending.clone(), server.renewal.clone());
        let reloading = server.reloading.clone();
        let impatience = server.impatience.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            // When the first signal came that asks for the end, which may have begun without one.
            let mut asked: Option<Instant> = None;
            for signal in signals.forever() {
                if signal == SIGHUP {
                    if ending.seconds().is_none() {
                        notifier.tell_of_reload();
                    }
                    // What comes of it is in the log.
                    let _ = reloading.reload("SIGHUP");
                    if let Some(renewal) = &renewal {
                        let (notifier, ending) = (notifier.clone(), ending.clone());
                        renewal.reload(move || ready(&notifier, &ending));
                    } else {
                        tracing::info!("SIGHUP: there is no certificate to be read again");
                        ready(&notifier, &ending);
                    }
                    continue;
                }
                let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
                if let Some(asked) = asked {
                    if asked.elapsed() >= ONE_SIGNAL {
                        tracing::warn!("{name} again: ending at once");
                        // Nobody listens any more if the drain is over in this moment.
                        drop(impatience.send(Notice::Interrupted(signal)));
                    }
                    continue;
                }
                asked = Some(Instant::now());
                if !ending.begin(name) {
                    tracing::info!(
                        "{name}: the end has begun already, and goes on; a second signal ends it at once"
                    );
                }
                let longest_usec = u32::try_from(ending.longest().as_micros()).unwrap_or(u32::MAX);
                let status = NotifyState::Status("delivering what was accepted, and closing connections");
                notifier.tell(&[NotifyState::Stopping, status, NotifyState::ExtendTimeoutUsec(longest_usec)]);
            }
        })?;
        let ending = server.ending.clone();
        let totals = server.wait()?;
        tracing::info!(
            drain_seconds = ending.seconds(),
            told = totals.goodbyes_said,
            cut = totals.goodbyes_cut,
            connections = totals.connections_accepted,
            messages = totals.messages_received,
            deliveries = totals.deliveries_queued,
            slow_consumers = totals.slow_consumers_closed,
            "ended"
        );
        Ok(totals)
    }
}

/// What the control plane may have the server do.
#[cfg(feature = "control")]
fn handles(ending: &Ending, reloading: &Reloading) -> Handles {
    let (draining, ending) = (ending.clone(), ending.clone());
    let (running, describing, reading) = (reloading.clone(), reloading.clone(), reloading.clone());
    let reload: Reload = Box::new(move || reading.reload("told to reload by the admin API"));
    Handles {
        drain: Box::new(move || _ = draining.begin("told to drain by the admin API")),
        phase: Box::new(move || ending.phase()),
        config: Box::new(move || running.config()),
        described: Box::new(move || describing.settings()),
        reload: reloading.has_source().then_some(reload),
    }
}

/// The secret with which channel names are hashed.
fn seed() -> io::Result<HashSeed> {
    let first = getrandom::u64().map_err(io::Error::other)?;
    let second = getrandom::u64().map_err(io::Error::other)?;
    Ok(HashSeed(first, second))
}

/// Waits until so many workers have drained, or one of them has failed, or nobody is to wait any longer.
fn await_workers(notices: &Receiver<Notice>, workers: usize) -> Result<(), ServerError> {
    for _ in 0..workers {
        match notices.recv() {
            Ok(Notice::Drained(_)) => {}
            Ok(Notice::Failed(id, reason)) => return Err(ServerError::Worker(id, reason)),
            Ok(Notice::Interrupted(signal)) => return Err(ServerError::Interrupted(signal)),
            Err(_) => break,
        }
    }
    Ok(())
}

/// Reports how a worker ended, even if it panicked.
struct End {
    id: ShardId,
    notices: Sender<Notice>,
    /// How it ended, if it came to saying so.
    notice: Option<Notice>,
}

impl End {
    fn report(mut self, result: io::Result<()>) {
        self.notice = Some(match result {
            Ok(()) => Notice::Drained(self.id),
            Err(error) => Notice::Failed(self.id, error.to_string()),
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let panicked = || Notice::Failed(self.id, "it panicked".to_owned());
        // Nobody listens any more if another worker failed first.
        drop(self.notices.send(self.notice.take().unwrap_or_else(panicked)));
    }
}

/// What a server says of itself at its start.
struct Greeting {
    workers: usize,
    /// Who is trusted to say where clients come from, if anybody is by the options.
    proxies: Option<String>,
    limits: String,
    /// What is limited only if that is asked for; empty if nothing is.
    floods: Vec<String>,
    /// Empty if all are disconnected.
    slow_consumers: Vec<String>,
    deflate: String,
}

impl Greeting {
    fn of(config: &Config) -> Greeting {
        let limits = &config.limits;
        let seconds = |ms: u32| match ms {
            0 => "off".to_owned(),
            ms => format!("{} s", f64::from(ms) / 1000.0),
        };
        let deflate = &config.deflate;
        let takeover =
            if deflate.client_context_takeover { ", with context takeover for clients" } else { "" };
        Greeting {
            workers: config.workers,
            proxies: proxies(config),
            deflate: if deflate.enabled {
                format!("messages from {} on, level {}{takeover}", bytes(deflate.bytes_min), deflate.level)
            } else {
                "off".to_owned()
            },
            limits: format!(
                "{} connections, {}, messages of {}, outbox of {}, handshake timeout {}, ping interval {}, idle timeout \
                 {}, close timeout {}, goodbyes {}",
                config.connections_max,
                match config.memory_bytes_max {
                    0 => "any amount of memory".to_owned(),
                    max => format!("{} of memory", bytes(usize::try_from(max).unwrap_or(usize::MAX))),
                },
                bytes(limits.message_bytes_max),
                bytes(limits.outbox_bytes_max),
                seconds(limits.handshake_timeout_ms),
                seconds(limits.ping_interval_ms),
                seconds(limits.idle_timeout_ms),
                seconds(limits.close_timeout_ms),
                match config.drain.spread_ms_max {
                    0 => "at once".to_owned(),
                    ms => format!("over up to {}", seconds(ms)),
                },
            ),
            floods: floods(config),
            slow_consumers: slow_consumers(&config.channels),
        }
    }

    fn log(&self, server: &Server) {
        let (plain, more) = in_lines(server.addresses());
        for address in plain {
            tracing::info!("listening on {address}: ws://{address}/ws, chat page at http://{address}/");
        }
        if let Some(more) = more {
            tracing::info!("listening on {more}");
        }
        let (tls, more) = in_lines(server.tls_addresses());
        for address in tls {
            tracing::info!("listening on {address}: wss://{address}/ws, chat page at https://{address}/");
        }
        if let Some(more) = more {
            tracing::info!("listening on {more} for TLS");
        }
        for (paths, suffix) in [(server.unix_paths(), ""), (server.tls_unix_paths(), " for TLS")] {
            let paths: Vec<String> = paths.iter().map(|path| format!("unix:{}", path.display())).collect();
            let (files, more) = in_lines(&paths);
            for file in files.iter().chain(&more) {
                tracing::info!("listening on {file}{suffix}");
            }
        }
        if let Some(proxies) = &self.proxies {
            tracing::info!("{proxies}");
        }
        #[cfg(feature = "control")]
        if let Some(address) = server.admin_address() {
            tracing::info!("admin API and dashboard at http://{address}/");
        }
        let workers =
            if self.workers == 1 { "1 worker".to_owned() } else { format!("{} workers", self.workers) };
        tracing::info!("{workers}");
        tracing::info!("limits: {}", self.limits);
        if !self.floods.is_empty() {
            tracing::info!("limits against floods: {}", self.floods.join(", "));
        }
        if !self.slow_consumers.is_empty() {
            tracing::info!("slow consumers: {}, all others disconnect", self.slow_consumers.join(", "));
        }
        tracing::info!("permessage-deflate: {}", self.deflate);
        say_tokens(server.reloading.keys().as_deref());
    }
}

/// The addresses that have a line of the log each, and all others in one: a log that leaves out what repeats itself would
/// leave out the last of them.
fn in_lines<A: fmt::Display>(addresses: &[A]) -> (&[A], Option<String>) {
    const LINES_MAX: usize = 4;
    if addresses.len() <= LINES_MAX {
        return (addresses, None);
    }
    let (first, others) = addresses.split_at(LINES_MAX);
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    (first, Some(others.join(", ")))
}

/// Who is trusted to say where clients come from, and how it does.
fn proxies(config: &Config) -> Option<String> {
    let trusted = &config.trusted_proxies;
    let who = if trusted.is_empty() { "unix".to_owned() } else { trusted.to_string() };
    match (config.proxy_protocol, trusted.is_empty()) {
        (true, _) => Some(format!("behind proxies: {who}; every connection must begin with a PROXY header")),
        (false, false) => {
            Some(format!("behind proxies: {who}; X-Forwarded-For and Forwarded are believed from there"))
        }
        (false, true) => None,
    }
}

/// How fast a client may send, and how many there may be of one address, as far as that is limited.
fn floods(config: &Config) -> Vec<String> {
    let Rates { messages, bytes } = config.rates;
    let rate = |what: &str, rate: Option<Rate>| {
        rate.map(|Rate { per_second, burst }| format!("{per_second} {what}/s (burst {burst})"))
    };
    let max = config.connections_per_address_max;
    let connections = (max > 0).then(|| format!("{max} connections of an address"));
    [rate("messages", messages), rate("bytes", bytes), connections].into_iter().flatten().collect()
}

/// What becomes of clients that read too slowly, as options say it, the most exact pattern first.
fn slow_consumers(rules: &ChannelRules) -> Vec<String> {
    let policies = rules.iter().filter_map(|(pattern, settings)| Some((pattern, settings.slow_consumers?)));
    policies.map(|(pattern, policy)| format!("{pattern}={}", policy.name())).collect()
}

/// A number of bytes as people write it, if it is a round one.
fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a server whose workers are these threads.
    fn outcome(workers: &[fn(End)]) -> Result<(), String> {
        let (sender, notices) = mpsc::channel();
        for (number, &worker) in workers.iter().enumerate() {
            let end = End { id: ShardId(number as u16), notices: sender.clone(), notice: None };
            thread::spawn(move || worker(end));
        }
        await_workers(&notices, workers.len()).map_err(|error| error.to_string())
    }

    fn drains(end: End) {
        end.report(Ok(()));
    }

    /// Its end is neither reported nor dropped.
    fn goes_on(end: End) {
        std::mem::forget(end);
    }

    #[test]
    fn a_worker_that_panics_ends_the_wait_at_once_although_others_go_on() {
        let panics: fn(End) = |_end| std::panic::resume_unwind(Box::new("on purpose, and in silence"));
        assert_eq!(outcome(&[goes_on, panics, goes_on]), Err("worker 1 failed: it panicked".to_owned()));
        assert_eq!(outcome(&[drains, panics]), Err("worker 1 failed: it panicked".to_owned()));
    }

    #[test]
    fn a_worker_that_cannot_go_on_ends_the_wait_and_says_why() {
        let fails: fn(End) = |end| end.report(Err(io::Error::other("no more events")));
        assert_eq!(outcome(&[fails, goes_on]), Err("worker 0 failed: no more events".to_owned()));
    }

    #[test]
    fn the_wait_is_over_when_every_worker_has_drained() {
        assert_eq!(outcome(&[drains, drains, drains]), Ok(()));
    }
}
