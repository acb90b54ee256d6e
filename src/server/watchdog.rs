//! [`Watchdog`]: tells the service manager that we are alive, as long as every worker goes round its loop.
//!
//! A worker that hangs keeps its clients without a word, and no other thread would notice. So each is asked again and
//! again, and where one does not answer the service manager hears nothing, and starts us anew (`WatchdogSec=`).

use super::notifier::Notifier;
use crate::hub::ShardId;
use crate::mesh::Mesh;
use crate::metrics::Counters;
use crate::shard::mail::Order;
use mio::Waker;
use sd_notify::NotifyState;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often each worker is asked in the time after which the service manager loses patience: a worker that is busy for
/// half of that is still alive.
const QUESTIONS: u32 = 4;

/// What it looks at.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Wakes the workers.
    pub(super) mesh: Arc<Mesh<Waker>>,
    /// By worker: where it counts its answers.
    pub(super) counters: Vec<Arc<Counters>>,
    /// By worker: its thread, which ends in a drain.
    pub(super) threads: Arc<[JoinHandle<()>]>,
    /// Whom it tells.
    pub(super) notifier: Notifier,
}

impl Watchdog {
    /// Begins to watch, so that the service manager hears of us at least every `patience`.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(super) fn start(self, patience: Duration) -> io::Result<()> {
        thread::Builder::new().name("watchdog".into()).spawn(move || self.run(patience))?;
        Ok(())
    }

    fn run(self, patience: Duration) {
        let mut questions = Questions { asked: vec![0; self.counters.len()] };
        loop {
            let answered = |worker: usize| {
                // Who has ended owes nothing.
                let owes = !self.threads.get(worker).is_none_or(JoinHandle::is_finished);
                if owes { self.counters[worker].checks_answered.get() } else { u64::MAX }
            };
            if questions.are_answered(answered) {
                self.notifier.tell(&[NotifyState::Watchdog]);
            }
            for worker in questions.ask(answered) {
                self.mesh.order(ShardId(worker as u16), Order::Check);
            }
            thread::sleep(patience / QUESTIONS);
        }
    }
}

/// The time that the service manager gives us in `WATCHDOG_USEC`, if that is meant for us.
pub(super) fn patience(usec: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let usec = usec?.parse().ok().filter(|usec| *usec > 0 && is_ours)?;
    Some(Duration::from_micros(usec))
}

/// How often each worker has been asked. Nobody is asked again before it has answered.
struct Questions {
    asked: Vec<u64>,
}

impl Questions {
    /// Whether nobody owes an answer. `answered` says how often a worker has answered.
    fn are_answered(&self, answered: impl Fn(usize) -> u64) -> bool {
        self.asked.iter().enumerate().all(|(worker, asked)| answered(worker) >= *asked)
    }

    /// Whom to ask next.
    fn ask(&mut self, answered: impl Fn(usize) -> u64) -> Vec<usize> {
        let workers = self.asked.iter_mut().enumerate();
        let free = workers.filter(|(worker, asked)| (**asked..u64::MAX).contains(&answered(*worker)));
        free.map(|(worker, asked)| {
            *asked += 1;
            worker
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_does_not_answer_is_enough_for_silence_and_it_is_asked_once() {
        let mut questions = Questions { asked: vec![0; 2] };
        assert!(questions.are_answered(|_| 0), "nobody was asked");
        assert_eq!(questions.ask(|_| 0), [0, 1]);
        let hanging = |worker: usize| u64::from(worker == 0);
        assert!(!questions.are_answered(hanging));
        assert_eq!(questions.ask(hanging), [0], "the other has its question");
        assert!(!questions.are_answered(|worker| if worker == 0 { 2 } else { 0 }));
        assert!(questions.are_answered(|worker| if worker == 0 { 2 } else { 1 }), "it goes round again");
    }

    #[test]
    fn a_worker_that_has_ended_owes_nothing_and_is_not_asked() {
        let mut questions = Questions { asked: vec![1, 1] };
        let ended = |worker: usize| if worker == 0 { u64::MAX } else { 1 };
        assert!(questions.are_answered(ended));
        assert_eq!(questions.ask(ended), [1]);
    }

    #[test]
    fn the_time_is_ours_only_if_it_is_meant_for_this_process() {
        let own = std::process::id().to_string();
        assert_eq!(patience(Some("1500000"), Some(&own)), Some(Duration::from_millis(1500)));
        assert_eq!(patience(Some("1500000"), None), Some(Duration::from_millis(1500)));
        for (usec, pid) in
            [(Some("1500000"), Some("1")), (Some("0"), None), (Some("soon"), None), (None, None)]
        {
            assert_eq!(patience(usec, pid), None);
        }
    }
}
