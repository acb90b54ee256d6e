//! [`Metronome`]: for how long the machine has kept this process from running.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Between two beats, where there is time for them.
const BEAT: Duration = Duration::from_millis(5);

/// A thread that does nothing but notice how late it is. It ends with this.
pub(crate) struct Metronome(Arc<Mutex<Beats>>);

struct Beats {
    latest: Instant,
    longest_pause: Duration,
}

impl Metronome {
    pub(crate) fn start() -> Metronome {
        let beats = Beats { latest: Instant::now(), longest_pause: Duration::ZERO };
        let beats = Arc::new(Mutex::new(beats));
        let watched = Arc::downgrade(&beats);
        thread::spawn(move || {
            while let Some(beats) = watched.upgrade() {
                beat(&beats);
                drop(beats);
                thread::sleep(BEAT);
            }
        });
        Metronome(beats)
    }

    /// The longest time between two beats so far.
    pub(crate) fn longest_pause(&self) -> Duration {
        beat(&self.0)
    }
}

fn beat(beats: &Mutex<Beats>) -> Duration {
    let mut beats = beats.lock().expect("nobody panics with it");
    let now = Instant::now();
    beats.longest_pause = beats.longest_pause.max(now - beats.latest);
    beats.latest = now;
    beats.longest_pause
}
