//! [`Reloading`]: what the server runs with, and how it comes to run with something else: by a new configuration that
//! somebody hands in, or by reading again where the first one came from, when somebody says so or a file has changed.

use super::ending::Ending;
use super::watching::Watched;
use crate::auth::{Algorithm, Keys};
use crate::config::{Config, ConfigError, ConfigSource, Described, Reconfigured, Setting};
use crate::hub::ShardId;
use crate::limits;
use crate::mesh::Mesh;
use crate::shard::mail::Order;
use mio::Waker;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// Options of the program around the server: it reads them when it starts, and they stand in no [`Config`].
const OPTIONS_OF_THE_PROGRAM: [&str; 2] = ["--log-format", "--verbose"];

/// What is said of the first of two options holds for both: they make up one thing.
const OPTIONS_OF_ONE_THING: [(&str, &str); 2] =
    [("--tls-cert", "--tls-key"), ("--admin", "--admin-token-file")];

/// A hold on what the server runs with.
#[derive(Clone, Debug)]
pub(super) struct Reloading(Arc<Shared>);

struct Shared {
    mesh: Arc<Mesh<Waker>>,
    ending: Ending,
    /// Where the configuration came from, if it can come from there again.
    source: Option<ConfigSource>,
    /// The addresses are those of sockets that were passed, whatever a configuration says of them.
    is_passed: bool,
    /// Locked while a configuration is read and handed out: one after the other. Reading may take as long as a disk does.
    turn: Mutex<()>,
    /// Locked for a moment only: whoever asks what the server runs with does not wait for a disk.
    running: Mutex<Running>,
    /// The files that it came from. Locked while they are looked at, which may take as long as a disk does, too.
    watched: Mutex<Watched>,
    /// Its end is the end of the thread that looks at files.
    _watching: Option<Sender<()>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").finish_non_exhaustive()
    }
}

/// What the server runs with.
struct Running {
    config: Arc<Config>,
    /// With what tokens are checked, if they are.
    keys: Option<Arc<Keys>>,
    settings: Vec<Setting>,
}

impl Reloading {
    /// Of the shards of `mesh`, which run with `described` and the `keys` that it names; its files are looked at from now on,
    /// and have changed if they look different from what was `watched`.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(super) fn start(
        mesh: Arc<Mesh<Waker>>,
        ending: Ending,
        described: Described,
        watched: Watched,
        keys: Option<Arc<Keys>>,
        is_passed: bool,
        source: Option<ConfigSource>,
    ) -> io::Result<Reloading> {
        let Described { config, settings, files } = described;
        let is_watching = source.is_some() && !files.is_empty();
        let running = Running { config: Arc::new(config), keys, settings };
        let (watching, end) = mpsc::channel();
        let shared = Arc::new(Shared {
            mesh,
            ending,
            source,
            is_passed,
            turn: Mutex::default(),
            running: Mutex::new(running),
            watched: Mutex::new(watched),
            _watching: is_watching.then_some(watching),
        });
        if is_watching {
            let watched = Arc::downgrade(&shared);
            thread::Builder::new().name("configuration".into()).spawn(move || {
                let look = Duration::from_millis(limits::FILES_LOOK_MS);
                while end.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
                    look_at_files(&watched);
                }
            })?;
        }
        Ok(Reloading(shared))
    }

    /// What the server runs with.
    pub(super) fn config(&self) -> Arc<Config> {
        self.running().config.clone()
    }

    /// With what tokens are checked, if they are.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.running().keys.clone()
    }

    /// The same, option by option, as far as whoever made it up has described it.
    pub(super) fn settings(&self) -> Vec<Setting> {
        self.running().settings.clone()
    }

    /// Whether it can be read again.
    #[cfg(feature = "control")]
    pub(super) fn has_source(&self) -> bool {
        self.0.source.is_some()
    }

    /// Has the server run with `config`, as far as that can change: all of it or, if it cannot be used, nothing.
    pub(super) fn reconfigure(&self, config: Config) -> Result<Reconfigured, ConfigError> {
        let _turn = self.turn();
        self.apply(config)
    }

    /// Reads the configuration again where it came from, and has the server run with it. Without a source, nothing
    /// changes. What comes of it is logged too.
    pub(super) fn reload(&self, why: &str) -> Result<Reconfigured, ConfigError> {
        let Some(source) = &self.0.source else { return Ok(Reconfigured::default()) };
        let _turn = self.turn();
        self.watched().reading();
        let reloaded = source().and_then(|described| self.take(described));
        match &reloaded {
            Ok(reconfigured) => log(why, reconfigured),
            Err(error) => tracing::error!("{why}: the configuration in use stays: {error}"),
        }
        reloaded
    }

    /// Runs with what was read. To be called in one's turn.
    fn take(&self, described: Described) -> Result<Reconfigured, ConfigError> {
        let Described { config, mut settings, files } = described;
        // Before they are read: who writes meanwhile is noticed, even if what is there now cannot be used.
        self.watched().replace(files);
        let former = self.settings();
        let mut reconfigured = self.apply(config).map_err(|error| error.located(&settings))?;
        for option in OPTIONS_OF_THE_PROGRAM {
            if value_of(&settings, option) != value_of(&former, option) {
                reconfigured.needs_restart.push(option);
            }
        }
        for setting in &mut settings {
            let is_meant = |option: &&str| {
                let mut others = OPTIONS_OF_ONE_THING.iter().filter(|(first, _)| first == option);
                is_of(setting, option) || others.any(|(_, second)| is_of(setting, second))
            };
            let is_kept = reconfigured.needs_restart.iter().any(is_meant);
            if is_kept && let Some(former) = former.iter().find(|former| is_same(former, setting)) {
                setting.clone_from(former);
            }
        }
        self.running().settings = settings;
        Ok(reconfigured)
    }

    /// Runs with `wanted`, and with the keys that it names. To be called in one's turn.
    fn apply(&self, wanted: Config) -> Result<Reconfigured, ConfigError> {
        if self.0.is_passed {
            wanted.check_all_but_addresses()?;
        } else {
            wanted.check()?;
        }
        let keys = wanted.auth.as_ref().map(Keys::read).transpose()?.map(Arc::new);
        let (config, mut reconfigured) = self.config().reconfigured(wanted);
        if let (Some(keys), Some(former)) = (&keys, self.keys()) {
            keys.changed_since(&former).for_each(|option| reconfigured.note_changed(option));
        }
        if !reconfigured.changed.is_empty() {
            let config = Arc::new(config);
            self.0.mesh.reconfigure(
                config.connections_max,
                config.memory_bytes_max,
                config.connections_per_address_max,
            );
            self.0.ending.reconfigure(&config);
            for shard in 0..self.0.mesh.shards() {
                self.0.mesh.order(ShardId(shard as u16), Order::Reconfigure(config.clone(), keys.clone()));
            }
            let mut running = self.running();
            running.config = config;
            running.keys.clone_from(&keys);
            drop(running);
            if reconfigured.changed.iter().any(|option| option.starts_with("--jwt-")) {
                say_tokens(keys.as_deref());
            }
        }
        Ok(reconfigured)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Whoever panicked left it whole: what it runs with is put in when all else is done.
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        // Whoever panicked has taken down nothing that it had not seen.
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_at_files(watched: &Weak<Shared>) {
    let Some(shared) = watched.upgrade() else { return };
    let reloading = Reloading(shared);
    if reloading.watched().have_changed() {
        // What comes of it is in the log.
        let _ = reloading.reload("a file of the configuration has changed");
    }
}

fn log(why: &str, Reconfigured { changed, needs_restart }: &Reconfigured) {
    match changed.as_slice() {
        [] => tracing::info!("{why}: nothing has changed"),
        changed => tracing::info!("{why}: changed {}", changed.join(", ")),
    }
    if !needs_restart.is_empty() {
        tracing::warn!("{why}: not changed, because that needs a restart: {}", needs_restart.join(", "));
    }
}

/// Says which tokens are asked for.
pub(super) fn say_tokens(keys: Option<&Keys>) {
    let Some(keys) = keys else {
        tracing::info!("no tokens are asked for: anyone who can reach it may listen and publish");
        return;
    };
    let algorithms: Vec<_> = keys.algorithms().into_iter().map(Algorithm::name).collect();
    let count = if keys.len() == 1 { "1 key".to_owned() } else { format!("{} keys", keys.len()) };
    tracing::info!("tokens are asked for: {} ({count})", algorithms.join(", "));
    if keys.ignored() > 0 {
        tracing::info!("the JWK set has {} entries that are of no use here", keys.ignored());
    }
}

/// Whether a setting is that of an option of the command line.
fn is_of(setting: &Setting, option: &str) -> bool {
    setting.channel.is_none() && option.strip_prefix("--") == Some(setting.option.as_str())
}

fn is_same(one: &Setting, other: &Setting) -> bool {
    (&one.channel, &one.option) == (&other.channel, &other.option)
}

fn value_of<'s>(settings: &'s [Setting], option: &str) -> Option<&'s str> {
    settings.iter().find(|setting| is_of(setting, option)).and_then(|setting| setting.value.as_deref())
}
