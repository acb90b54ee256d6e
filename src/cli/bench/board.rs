//! [`Board`]: what the threads of a run, and whoever leads it, tell each other.

use super::tally::Window;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// What the threads of a run tell each other. Whoever leads sets the times once all connections are open; from then on
/// each thread goes by the clock.
#[derive(Debug)]
pub(super) struct Board {
    started: Instant,
    /// When publishing begins, in nanoseconds; `u64::MAX` as long as nobody knows.
    begin_ns: AtomicU64,
    window_begin_ns: AtomicU64,
    window_end_ns: AtomicU64,
    is_over: AtomicBool,
    /// Connections that have opened, that are open, and that could not be opened.
    pub(super) opened: AtomicUsize,
    pub(super) open: AtomicUsize,
    pub(super) failed: AtomicUsize,
    /// Threads that have tried to open all their connections; that have stopped to publish; to which all has come.
    pub(super) threads_opened: AtomicUsize,
    pub(super) threads_stopped: AtomicUsize,
    pub(super) threads_drained: AtomicUsize,
    /// What each publisher has sent.
    published: Vec<Published>,
    /// Units so far, for each thread.
    pub(super) units: Vec<AtomicU64>,
    /// What went wrong first, in a sentence.
    problem: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Published {
    messages: AtomicU64,
    is_lost: AtomicBool,
}

impl Board {
    pub(super) fn new(publishers: usize, threads: usize) -> Board {
        let unknown = || AtomicU64::new(u64::MAX);
        Board {
            started: Instant::now(),
            begin_ns: unknown(),
            window_begin_ns: unknown(),
            window_end_ns: unknown(),
            is_over: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            threads_opened: AtomicUsize::new(0),
            threads_stopped: AtomicUsize::new(0),
            threads_drained: AtomicUsize::new(0),
            published: (0..publishers).map(|_| Published::default()).collect(),
            units: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            problem: OnceLock::new(),
        }
    }

    /// Nanoseconds since the run was started, by the one clock of all threads.
    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Publishing begins then, and this is the window.
    pub(super) fn begin(&self, begin_ns: u64, window: Window) {
        self.window_begin_ns.store(window.begin_ns, Ordering::SeqCst);
        self.window_end_ns.store(window.end_ns, Ordering::SeqCst);
        self.begin_ns.store(begin_ns, Ordering::SeqCst);
    }

    /// When publishing begins, and the window, once that is known.
    pub(super) fn times(&self) -> Option<(u64, Window)> {
        let begin_ns = self.begin_ns.load(Ordering::SeqCst);
        let window = Window {
            begin_ns: self.window_begin_ns.load(Ordering::SeqCst),
            end_ns: self.window_end_ns.load(Ordering::SeqCst),
        };
        (begin_ns != u64::MAX).then_some((begin_ns, window))
    }

    /// The window ends at this time already.
    pub(super) fn end_early(&self, end_ns: u64) {
        self.window_end_ns.fetch_min(end_ns, Ordering::SeqCst);
    }

    /// When the window ends; `u64::MAX` as long as nobody knows.
    #[inline]
    pub(super) fn window_end_ns(&self) -> u64 {
        self.window_end_ns.load(Ordering::Relaxed)
    }

    /// The run is over: threads give up their connections and end.
    pub(super) fn finish(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A publisher has sent so many messages, or is about to.
    #[inline]
    pub(super) fn set_published(&self, publisher: usize, messages: u64) {
        self.published[publisher].messages.store(messages, Ordering::Release);
    }

    /// Messages that a publisher has sent.
    #[inline]
    pub(super) fn published(&self, publisher: usize) -> u64 {
        self.published[publisher].messages.load(Ordering::Acquire)
    }

    /// A publisher's connection was lost, and with it nobody knows how many of its last messages.
    pub(super) fn lose_publisher(&self, publisher: usize) {
        if let Some(published) = self.published.get(publisher) {
            published.is_lost.store(true, Ordering::SeqCst);
        }
    }

    /// Messages of a publisher that the server must have got. `None` if nobody knows.
    pub(super) fn received_of(&self, publisher: usize) -> Option<u64> {
        let is_lost = self.published[publisher].is_lost.load(Ordering::SeqCst);
        (!is_lost).then(|| self.published(publisher))
    }

    /// Something went wrong. The first to say so is heard.
    pub(super) fn report(&self, problem: impl FnOnce() -> String) {
        self.problem.get_or_init(problem);
    }

    /// What went wrong first, if anything did.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.get().map(String::as_str)
    }
}
