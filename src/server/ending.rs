//! [`Ending`]: the orderly end of a server, which begins once, however often somebody asks for it.

use crate::config::{Config, DrainConfig, Goodbye};
#[cfg(feature = "control")]
use crate::control::Phase;
use crate::hub::ShardId;
use crate::limits;
use crate::mesh::Mesh;
use crate::shard::mail::Order;
use mio::Waker;
#[cfg(feature = "control")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A hold on the end to come.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    mesh: Arc<Mesh<Waker>>,
    told: Arc<Mutex<Told>>,
    begun: Arc<OnceLock<Instant>>,
    /// The listeners are being closed.
    #[cfg(feature = "control")]
    is_draining: Arc<AtomicBool>,
}

/// What the operator wants of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    drain: DrainConfig,
    close_timeout_ms: u32,
}

impl Told {
    fn of(config: &Config) -> Told {
        Told { drain: config.drain, close_timeout_ms: config.limits.close_timeout_ms }
    }
}

impl Ending {
    /// The end of the shards of `mesh`.
    pub(super) fn new(mesh: Arc<Mesh<Waker>>, config: &Config) -> Ending {
        Ending {
            mesh,
            told: Arc::new(Mutex::new(Told::of(config))),
            begun: Arc::default(),
            #[cfg(feature = "control")]
            is_draining: Arc::default(),
        }
    }

    /// It is to go as `config` says, as far as it has not begun.
    pub(super) fn reconfigure(&self, config: &Config) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Told::of(config);
    }

    fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins it, because of `why`, and does not wait for it; whether it had not begun before.
    pub(super) fn begin(&self, why: &str) -> bool {
        if self.begun.set(Instant::now()).is_err() {
            return false;
        }
        self.order(&Order::Announce);
        let delay_ms = self.told().drain.delay_ms;
        if delay_ms == 0 {
            self.drain(why);
            return true;
        }
        tracing::info!("{why}: /healthz says 503 for {} s before the listeners close", seconds(delay_ms));
        let (ending, told) = (self.clone(), why.to_owned());
        let waiting = thread::Builder::new().name("drain-delay".into()).spawn(move || {
            thread::sleep(Duration::from_millis(delay_ms.into()));
            ending.drain(&told);
        });
        if let Err(error) = waiting {
            tracing::warn!(%error, "nobody can wait for --drain-delay");
            self.drain(why);
        }
        true
    }

    /// How far it is.
    #[cfg(feature = "control")]
    pub(super) fn phase(&self) -> Phase {
        match (self.begun.get(), self.is_draining.load(Ordering::Relaxed)) {
            (None, _) => Phase::Serving,
            (Some(_), false) => Phase::Announced,
            (Some(_), true) => Phase::Draining,
        }
    }

    /// Seconds since it began, to the millisecond; none if it has not.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.begun.get().map(|begun| begun.elapsed().as_millis() as u32).map(seconds)
    }

    /// The longest that it takes from its beginning, if every client is as slow as it may be, with some time to spare.
    pub(super) fn longest(&self) -> Duration {
        let Told { drain: DrainConfig { delay_ms, spread_ms_max, .. }, close_timeout_ms } = self.told();
        let in_turn_ms = [delay_ms, spread_ms_max, close_timeout_ms, close_timeout_ms];
        Duration::from_millis(in_turn_ms.into_iter().map(u64::from).sum())
    }

    /// Has the workers close their listeners, deliver, and say goodbye.
    fn drain(&self, why: &str) {
        #[cfg(feature = "control")]
        self.is_draining.store(true, Ordering::Relaxed);
        let connections = self.mesh.connections();
        let DrainConfig { spread_ms_max, goodbye, .. } = self.told().drain;
        let spread_ms = limits::drain_spread_ms(connections, spread_ms_max);
        let code = match goodbye {
            Goodbye::GoingAway => 1001,
            Goodbye::ServiceRestart => 1012,
        };
        let pace =
            if spread_ms == 0 { "at once".to_owned() } else { format!("over {} s", seconds(spread_ms)) };
        tracing::info!(
            "{why}: delivering what was accepted, then closing {connections} connections with {code}, {pace}"
        );
        self.order(&Order::Drain { spread_ms });
    }

    fn order(&self, order: &Order) {
        for shard in 0..self.mesh.shards() {
            self.mesh.order(ShardId(shard as u16), order.clone());
        }
    }
}

fn seconds(ms: u32) -> f64 {
    f64::from(ms) / 1000.0
}
