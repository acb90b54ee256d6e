//! [`Plane`]: what the admin API's routes have in common, and what the server hands in ([`Handles`]).

use super::access::Access;
use super::desk::Desk;
use super::live::Feed;
use super::refusal::Refusal;
use crate::config::{Config, ConfigError, Reconfigured, Setting};
use crate::hub::HashSeed;
use crate::limits;
use crate::mesh::Mesh;
use crate::metrics::{Counters, Totals};
use mio::Waker;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// All that routes look at.
#[derive(Debug)]
pub(super) struct Plane {
    pub(super) access: Access,
    pub(super) desk: Arc<Desk>,
    pub(super) feed: Feed,
    pub(super) served: Served,
    pub(super) patience: Patience,
}

/// How long others are waited for. Tests have less of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a request's head, and between two requests.
    pub(super) head: Duration,
    /// For a request's body and the answer to it.
    pub(super) request: Duration,
    /// For who does not take what is written.
    pub(super) write: Duration,
    /// For workers that are asked.
    pub(super) answer: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            head: Duration::from_millis(limits::ADMIN_HEAD_TIMEOUT_MS),
            request: Duration::from_millis(limits::ADMIN_REQUEST_TIMEOUT_MS),
            write: Duration::from_millis(limits::ADMIN_WRITE_TIMEOUT_MS),
            answer: Duration::from_millis(limits::ADMIN_ANSWER_TIMEOUT_MS),
        }
    }
}

/// The server as the control plane sees it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Its shards.
    pub(crate) mesh: Arc<Mesh<Waker>>,
    /// What they count, by worker.
    pub(crate) counters: Arc<[Arc<Counters>]>,
    /// Where channels are at home.
    pub(crate) seed: HashSeed,
    /// Its time counts from here.
    pub(crate) started: Instant,
    /// What it does when it is told.
    pub(crate) handles: Arc<Handles>,
}

/// What the server says and does when the control plane asks.
pub(crate) struct Handles {
    /// Begins the end, if it has not begun.
    pub(crate) drain: Box<dyn Fn() + Send + Sync>,
    /// Where the server is between its start and its end.
    pub(crate) phase: Box<dyn Fn() -> Phase + Send + Sync>,
    /// What it runs with.
    pub(crate) config: Box<dyn Fn() -> Arc<Config> + Send + Sync>,
    /// The same, option by option.
    pub(crate) described: Box<dyn Fn() -> Vec<Setting> + Send + Sync>,
    /// When the certificate in use is no longer valid, in Unix time; none without TLS.
    pub(crate) certificate_expires: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Reads the configuration again, if it came from somewhere. It may take its time: it is called on a thread where that
    /// holds up nobody.
    pub(crate) reload: Option<Reload>,
}

/// Reads the configuration again, or says why it cannot be used.
pub(crate) type Reload = Box<dyn Fn() -> Result<Reconfigured, ConfigError> + Send + Sync>;

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handles")
    }
}

/// Where a server is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Everybody may come.
    Serving,
    /// The end is near: health checks say so, and all else goes on.
    Announced,
    /// Nobody comes any more, and everybody is told goodbye.
    Draining,
}

impl Served {
    /// What the server runs with.
    pub(super) fn config(&self) -> Arc<Config> {
        (self.handles.config)()
    }
}

impl Plane {
    /// Where the server is between its start and its end.
    pub(super) fn phase(&self) -> Phase {
        (self.served.handles.phase)()
    }

    /// What has been counted, over all workers.
    pub(super) fn totals(&self) -> Totals {
        Totals::of(self.served.counters.iter().map(Arc::as_ref))
    }

    /// Bytes that a message may have at the moment.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.served.config().limits.message_bytes_max
    }

    /// Whether a message may be so long.
    ///
    /// # Errors
    /// 413 if not.
    pub(super) fn check_message_bytes(&self, bytes: usize) -> Result<(), Refusal> {
        let max = self.message_bytes_max();
        if bytes <= max {
            return Ok(());
        }
        Err(Refusal::too_large(format!("a message has at most {max} bytes (--max-message-size)")))
    }

    /// Whether there is memory for more.
    ///
    /// # Errors
    /// 503 if not.
    pub(super) fn check_memory(&self) -> Result<(), Refusal> {
        if self.served.mesh.has_memory() {
            return Ok(());
        }
        Err(Refusal::unavailable("the server is short of memory")
            .fix("try again later, or raise --memory-budget"))
    }
}

#[cfg(test)]
impl Plane {
    /// A plane without a token, in front of a worker that never answers.
    pub(super) fn deaf(patience: Patience) -> Arc<Plane> {
        let poll = mio::Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        let mesh = Arc::new(Mesh::new([waker], 1, 0));
        let handles = Handles {
            drain: Box::new(|| ()),
            phase: Box::new(|| Phase::Serving),
            config: Box::new(Arc::default),
            described: Box::new(Vec::new),
            certificate_expires: Box::new(|| None),
            reload: None,
        };
        let served = Served {
            mesh: mesh.clone(),
            counters: Arc::new([Arc::default()]),
            seed: HashSeed(1, 2),
            started: Instant::now(),
            handles: Arc::new(handles),
        };
        let desk = Arc::new(Desk::new(mesh, patience.answer));
        Arc::new(Plane { access: Access::new(None), desk, feed: Feed::new(), served, patience })
    }
}
