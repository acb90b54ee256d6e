//! [`Departure`]: the user's wish to leave, by Ctrl-C or a signal.

use mio::Waker;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The user's wish to leave. The first wakes the session, which then closes the connection; the second ends the process
/// at once, whatever it is doing.
#[derive(Debug)]
pub(crate) struct Departure {
    waker: Waker,
    is_wished: AtomicBool,
    /// SIGINT is raised by ourselves, to get the line editor to end.
    is_editor_ending: AtomicBool,
}

impl Departure {
    /// Watches for signals from here on.
    ///
    /// # Errors
    /// If the system refuses a signal handler or a thread.
    pub(crate) fn watch(waker: Waker) -> io::Result<Arc<Departure>> {
        let departure = Arc::new(Departure {
            waker,
            is_wished: AtomicBool::new(false),
            is_editor_ending: AtomicBool::new(false),
        });
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let watched = departure.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if signal != SIGINT || !watched.is_editor_ending.load(Ordering::SeqCst) {
                    watched.wish(signal);
                }
            }
        })?;
        Ok(departure)
    }

    /// The user wants to leave, as `signal` says it.
    fn wish(&self, signal: i32) {
        if self.is_wished.swap(true, Ordering::SeqCst) {
            process::exit(128 + signal);
        }
        self.wake();
    }

    /// Ctrl-C came to the line editor, from the user or by [`interrupt_editor`](Self::interrupt_editor).
    pub(crate) fn wish_in_editor(&self) {
        if !self.is_editor_ending.load(Ordering::SeqCst) {
            self.wish(SIGINT);
        }
    }

    /// Whether the user wants to leave.
    pub(crate) fn is_wished(&self) -> bool {
        self.is_wished.load(Ordering::SeqCst)
    }

    /// Gets a line editor to return as if Ctrl-C had been pressed in it. If it happens not to be reading just now,
    /// nothing comes of it.
    pub(crate) fn interrupt_editor(&self) {
        self.is_editor_ending.store(true, Ordering::SeqCst);
        // It fails for signals that do not exist.
        let _ = signal_hook::low_level::raise(SIGINT);
    }

    /// Lets the session look at what has happened.
    pub(crate) fn wake(&self) {
        // It fails if the session's poll is gone, and the session with it.
        let _ = self.waker.wake();
    }
}
