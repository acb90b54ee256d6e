//! [`Course`]: what the threads of a run share: where in its course it is, what has become of it, and what is counted.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everybody does what they are there for.
    Chaos,
    /// The bad are gone; the good are all there, and say nothing.
    Quiet,
    /// The server is told to end, and tells everybody.
    Farewell,
    /// Everybody stops.
    Over,
}

const STAGES: [Stage; 4] = [Stage::Chaos, Stage::Quiet, Stage::Farewell, Stage::Over];

/// Milliseconds after a peak in which what it led to is heard of.
const SHORTNESS_MS: u64 = 8_000;

/// Milliseconds for which no thread is kept waiting on a machine that is only busy.
const STANDSTILL_MS: u64 = 5_000;

/// Milliseconds after a standstill in which deadlines may be missed.
const STANDSTILL_AFTERMATH_MS: u64 = 60_000;

/// What the threads of a run share.
#[derive(Debug)]
pub(crate) struct Course {
    begun: Instant,
    stage: AtomicU8,
    /// In quiet: all good clients are there and have heard everything. After the farewell: all were told.
    pub(crate) crowd_is_settled: AtomicBool,
    /// Connections of good and of bad clients.
    pub(crate) good: AtomicUsize,
    pub(crate) bad: AtomicUsize,
    /// Probes that have not ended yet.
    pub(crate) probes: AtomicUsize,
    /// How often the server's log and its memory were looked at.
    pub(crate) looks: AtomicU64,
    /// When memory was last seen to be near the server's budget, and when the server last said that it let go of clients
    /// because of that, in milliseconds.
    short_ms: AtomicU64,
    shed_ms: AtomicU64,
    /// When the machine stood still last, in milliseconds; 0 if it never did.
    stood_still_ms: AtomicU64,
    broken: Mutex<Option<String>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Course {
    pub(crate) fn new() -> Course {
        Course {
            begun: Instant::now(),
            stage: AtomicU8::new(Stage::Chaos as u8),
            crowd_is_settled: AtomicBool::new(false),
            good: AtomicUsize::new(0),
            bad: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            looks: AtomicU64::new(0),
            short_ms: AtomicU64::new(0),
            shed_ms: AtomicU64::new(0),
            stood_still_ms: AtomicU64::new(0),
            broken: Mutex::new(None),
            counts: Mutex::new(BTreeMap::new()),
        }
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(Ordering::SeqCst))]
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.crowd_is_settled.store(false, Ordering::SeqCst);
        // A run that is over stays so.
        let over = Stage::Over as u8;
        let enter = |now: u8| (now != over).then_some(stage as u8);
        // It fails if the run is over.
        let _ = self.stage.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter);
    }

    /// Memory is near the budget.
    pub(crate) fn note_shortness(&self) {
        self.short_ms.store(self.now_ms(), Ordering::SeqCst);
    }

    /// The server has let go of clients.
    pub(crate) fn note_shedding(&self) {
        self.note_shortness();
        self.shed_ms.store(self.now_ms(), Ordering::SeqCst);
    }

    /// Whether the server may have turned away, a short time ago, who came.
    pub(crate) fn was_short_of_memory(&self) -> bool {
        self.is_recent(&self.short_ms)
    }

    /// Whether it may have let go of who was there.
    pub(crate) fn was_shed(&self) -> bool {
        self.is_recent(&self.shed_ms)
    }

    fn is_recent(&self, ms: &AtomicU64) -> bool {
        match ms.load(Ordering::SeqCst) {
            0 => false,
            ms => self.now_ms() < ms + SHORTNESS_MS,
        }
    }

    /// A thread that does something many times a second says what time went by since it did so last. If that is long, the
    /// machine stood still, a virtual one that was paused say: then the server's deadlines come before the Pings that would
    /// have moved them.
    pub(crate) fn note_pause(&self, pause_ms: u64) {
        if pause_ms > STANDSTILL_MS {
            self.stood_still_ms.store(self.now_ms(), Ordering::SeqCst);
            self.add(
                "rests: seconds that the machine stood still, as several threads saw it",
                pause_ms / 1000,
            );
        }
    }

    /// Whether the machine stood still a short time ago.
    pub(crate) fn stood_still(&self) -> bool {
        match self.stood_still_ms.load(Ordering::SeqCst) {
            0 => false,
            stood_still_ms => self.now_ms() < stood_still_ms + STANDSTILL_AFTERMATH_MS,
        }
    }

    /// A law was broken: that ends the run. The first one counts.
    pub(crate) fn break_off(&self, law: &str, how: impl Display) {
        let mut broken = lock(&self.broken);
        if broken.is_none() {
            *broken = Some(format!("{law}: {how} (after {:.1} s)", self.elapsed().as_secs_f64()));
        }
        self.stage.store(Stage::Over as u8, Ordering::SeqCst);
    }

    pub(crate) fn broken(&self) -> Option<String> {
        lock(&self.broken).clone()
    }

    /// Counts something that does not happen for every message.
    pub(crate) fn count(&self, what: impl Into<String>) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: impl Into<String>, count: u64) {
        *lock(&self.counts).entry(what.into()).or_default() += count;
    }

    /// All counts whose name begins with `kind` and a colon, without it.
    pub(crate) fn counts(&self, kind: &str) -> Vec<(String, u64)> {
        let counts = lock(&self.counts);
        let of_kind = counts.iter().filter_map(|(name, count)| {
            let rest = name.strip_prefix(kind)?.strip_prefix(": ")?;
            Some((rest.to_owned(), *count))
        });
        of_kind.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
