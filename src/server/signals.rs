//! What signals have a running server do: SIGTERM and SIGINT end it, at once if they come again, and SIGHUP has it read
//! again what can be read again.

use super::Server;
use super::ending::Ending;
use super::notifier::Notifier;
use super::reloading::Reloading;
use super::renewal::Renewal;
use crate::shard::mail::Notice;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Signals that come within it are one: `timeout` and shells send theirs to a process and to the group it is in.
const ONE_SIGNAL: Duration = Duration::from_millis(200);

/// Has `server` obey them from now on.
///
/// # Errors
/// If the system has no room for a thread.
pub(super) fn obey(mut signals: Signals, server: &Server, notifier: Notifier) -> io::Result<()> {
    let (reloads, wishes) = mpsc::channel();
    let reloader = Reloader {
        reloading: server.reloading.clone(),
        renewal: server.renewal.clone(),
        notifier: notifier.clone(),
        ending: server.ending.clone(),
    };
    thread::Builder::new().name("reload".into()).spawn(move || reloader.run(&wishes))?;
    let (ending, impatience) = (server.ending.clone(), server.impatience.clone());
    let mut ear = Ear { ending, impatience, notifier, reloads, asked: None };
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => ear.read_again(),
                signal => ear.end(signal),
            }
        }
    })?;
    Ok(())
}

/// Who hears signals. It waits for no disk: whoever wants the end is heard.
struct Ear {
    ending: Ending,
    /// Says that nobody is to wait any longer.
    impatience: Sender<Notice>,
    notifier: Notifier,
    reloads: Sender<()>,
    /// When the first signal came that asks for the end, which may have begun without one.
    asked: Option<Instant>,
}

impl Ear {
    fn read_again(&self) {
        if self.ending.seconds().is_none() {
            self.notifier.tell_of_reload();
        }
        // It fails only if the thread has panicked, and then nobody reads.
        let _ = self.reloads.send(());
    }

    fn end(&mut self, signal: i32) {
        let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
        if let Some(asked) = self.asked {
            if asked.elapsed() >= ONE_SIGNAL {
                tracing::warn!("{name} again: ending at once");
                // Nobody listens any more if the drain is over in this moment.
                drop(self.impatience.send(Notice::Interrupted(signal)));
            }
            return;
        }
        self.asked = Some(Instant::now());
        if !self.ending.begin(name) {
            tracing::info!("{name}: the end has begun already, and goes on; a second signal ends it at once");
        }
        let longest_usec = u32::try_from(self.ending.longest().as_micros()).unwrap_or(u32::MAX);
        let status = NotifyState::Status("delivering what was accepted, and closing connections");
        self.notifier.tell(&[NotifyState::Stopping, status, NotifyState::ExtendTimeoutUsec(longest_usec)]);
    }
}

/// Tells the service manager that we serve; not while we end, or it would think that we go on.
pub(super) fn say_ready(notifier: &Notifier, ending: &Ending) {
    if ending.seconds().is_none() {
        notifier.tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    }
}

/// Reads again what can be read again when SIGHUP says so, which may take as long as a disk does.
struct Reloader {
    reloading: Reloading,
    /// Absent if there is no certificate.
    renewal: Option<Renewal>,
    notifier: Notifier,
    ending: Ending,
}

impl Reloader {
    /// Reads once for each wish, and says afterwards that we are ready.
    fn run(&self, wishes: &Receiver<()>) {
        while wishes.recv().is_ok() {
            // What comes of it is in the log.
            let _ = self.reloading.reload("SIGHUP");
            let (notifier, ending) = (self.notifier.clone(), self.ending.clone());
            let ready = move || say_ready(&notifier, &ending);
            if let Some(renewal) = &self.renewal {
                renewal.reload(ready);
            } else {
                tracing::info!("SIGHUP: there is no certificate to be read again");
                ready();
            }
        }
    }
}
