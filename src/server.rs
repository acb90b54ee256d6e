//! Puts it together: listeners, a thread for each worker, and an orderly end.
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
mod error;
mod greeting;
mod notifier;
mod prepared;
mod reloading;
mod renewal;
mod signals;
mod watchdog;
mod watching;
mod workers;

pub use error::ServerError;

use crate::config::{Config, ConfigError, ConfigSource, Described, ListenAddress, Reconfigured, Setting};
#[cfg(feature = "control")]
use crate::control::{Control, Handles, Opening, Reload, Served};
use crate::hub::{HashSeed, ShardId};
use crate::mesh::Mesh;
use crate::metrics::{Counters, Totals};
use crate::net::listener::{Listening, Places, listen};
use crate::protocol::Time;
use crate::shard::mail::Notice;
use crate::shard::{Place, Shard};
use crate::worker::{Common, Listener, Worker};
use ending::Ending;
use greeting::Greeting;
use mio::Waker;
use notifier::Notifier;
use prepared::Prepared;
use reloading::Reloading;
use renewal::Renewal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::env;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;
use watchdog::Watchdog;
use workers::{await_worker, await_workers};

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

/// Starts the end of a server that somebody else [waits](Server::wait) for. Cheap to clone, and for any thread.
#[derive(Clone, Debug)]
pub struct Drainer(Ending);

impl Drainer {
    /// As [`Server::drain`].
    pub fn drain(&self) {
        self.0.begin("told to drain");
    }
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

impl Server {
    /// Listens, and starts the workers. When this returns, clients can connect.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the system refuses sockets or threads.
    pub fn start(config: Config) -> Result<Server, ServerError> {
        Server::start_prepared(Prepared::read(config.into())?, None)
    }

    /// The same with a configuration that can be read again: it is when [`reload`](Self::reload) says so, and when one of
    /// its files changes.
    ///
    /// # Errors
    /// As for [`start`](Self::start), and if there is no configuration at its source.
    pub fn start_from(source: ConfigSource) -> Result<Server, ServerError> {
        Server::start_prepared(Prepared::read(source()?)?, Some(source))
    }

    /// Checks a configuration as a start would, and reads the files that it names, without listening.
    ///
    /// # Errors
    /// If a server could not start with it, as far as that can be known.
    pub fn check(described: Described) -> Result<(), ServerError> {
        Prepared::read(described).map(drop)
    }

    fn start_prepared(prepared: Prepared, source: Option<ConfigSource>) -> Result<Server, ServerError> {
        let Prepared { mut described, watched, keys, certificates, tls } = prepared;
        let Described { config, settings, .. } = &mut described;
        let locate = |error: ConfigError| error.located(settings);
        #[cfg(feature = "control")]
        let opening = config.admin.clone().map(Opening::listen).transpose().map_err(locate)?;
        let listeners = listen(config).map_err(locate)?;
        let places = Places::of(&listeners[0]);
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
        let reloading = Reloading::start(
            mesh.clone(),
            ending.clone(),
            described,
            watched,
            keys.clone(),
            is_passed,
            source,
        )?;
        let config = reloading.config();
        // No worker begins before all that can fail is done: until then they are here, and go with an error.
        let (mut threads, mut waiting) = (Vec::new(), Vec::new());
        for (number, worker) in workers.into_iter().enumerate() {
            let id = ShardId(number as u16);
            let place = Place { id, shards, seed, config: config.clone() };
            let shard = Shard::new(place, counters[number].clone(), Time(0)).with_keys(keys.clone());
            let (begin, work) = mpsc::channel();
            threads.push(await_worker(id, work, mesh.clone(), sender.clone())?);
            waiting.push((begin, (worker, shard)));
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
                handles: Arc::new(handles(&ending, &reloading, renewal.clone())),
            })?),
        };
        if let Err(error) = places.take() {
            #[cfg(feature = "control")]
            if let Some(control) = control {
                control.stop();
            }
            return Err(error.into());
        }
        for (begin, worker) in waiting {
            // Its thread waits for it.
            let _ = begin.send(worker);
        }
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
        self.drainer().drain();
    }

    /// What starts that end while [`wait`](Server::wait) has the server.
    pub fn drainer(&self) -> Drainer {
        Drainer(self.ending.clone())
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
        Server::run_prepared(|| Prepared::read(config.into()), None)
    }

    /// The same with a configuration that can be read again: on SIGHUP it is, before the certificate, and also when one of
    /// its files changes. What comes of it is logged.
    ///
    /// # Errors
    /// As for [`start_from`](Self::start_from) and [`wait`](Self::wait).
    pub fn run_from(source: ConfigSource) -> Result<Totals, ServerError> {
        let asked = source.clone();
        Server::run_prepared(move || Prepared::read(asked()?), Some(source))
    }

    fn run_prepared(
        prepare: impl FnOnce() -> Result<Prepared, ServerError>,
        source: Option<ConfigSource>,
    ) -> Result<Totals, ServerError> {
        let signals = Signals::new([SIGHUP])?;
        // A disk may keep it waiting: who does not want to wait ends it as any program is ended, which the first process of a
        // container is not by itself.
        let is_waiting = Arc::new(AtomicBool::new(true));
        if process::id() == 1 {
            for signal in [SIGTERM, SIGINT] {
                flag::register_conditional_shutdown(signal, 128 + signal, is_waiting.clone())?;
            }
        }
        let prepared = prepare()?;
        let greeting = Greeting::of(&prepared.described.config);
        // Before the first thread: a signal that comes while the server starts is not lost.
        for signal in [SIGTERM, SIGINT] {
            signals.add_signal(signal)?;
        }
        is_waiting.store(false, Ordering::Relaxed);
        let server = Server::start_prepared(prepared, source)?;
        greeting.log(&server);
        let notifier = Notifier::new(env::var_os("NOTIFY_SOCKET"));
        server.watch(&notifier)?;
        signals::say_ready(&notifier, &server.ending);
        signals::obey(signals, &server, notifier)?;
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
fn handles(ending: &Ending, reloading: &Reloading, renewal: Option<Renewal>) -> Handles {
    let (draining, ending) = (ending.clone(), ending.clone());
    let (running, describing, reading) = (reloading.clone(), reloading.clone(), reloading.clone());
    let reload: Reload = Box::new(move || reading.reload("told to reload by the admin API"));
    Handles {
        drain: Box::new(move || _ = draining.begin("told to drain by the admin API")),
        phase: Box::new(move || ending.phase()),
        config: Box::new(move || running.config()),
        described: Box::new(move || describing.settings()),
        certificate_expires: Box::new(move || {
            renewal.as_ref().map(|renewal| renewal.certificates().expires())
        }),
        reload: reloading.has_source().then_some(reload),
    }
}

/// The secret with which channel names are hashed.
fn seed() -> io::Result<HashSeed> {
    let first = getrandom::u64().map_err(io::Error::other)?;
    let second = getrandom::u64().map_err(io::Error::other)?;
    Ok(HashSeed(first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_servers_hash_names_with_the_same_secret() {
        let [one, other] = [(); 2].map(|()| seed().expect("random numbers"));
        assert_ne!((one.0, one.1), (other.0, other.1));
    }
}
