//! The workers' threads: each begins when all else is ready, and whoever waits hears how it ends.

use super::ServerError;
use crate::hub::ShardId;
use crate::mesh::Mesh;
use crate::shard::Shard;
use crate::shard::mail::Notice;
use crate::worker::Worker;
use mio::Waker;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

/// A thread that serves as the worker that it is sent. It ends if none is.
pub(super) fn await_worker(
    id: ShardId,
    work: Receiver<(Worker, Shard)>,
    mesh: Arc<Mesh<Waker>>,
    notices: Sender<Notice>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{}", id.0)).spawn(move || {
        if let Ok((worker, shard)) = work.recv() {
            let end = End { id, notices, notice: None };
            end.report(worker.run(shard, mesh));
        }
    })
}

/// Waits until so many workers have drained, or one of them has failed, or nobody is to wait any longer.
pub(super) fn await_workers(notices: &Receiver<Notice>, workers: usize) -> Result<(), ServerError> {
    for _ in 0..workers {
        match notices.recv() {
            Ok(Notice::Drained(_)) => {}
            Ok(Notice::Failed(id, reason)) => return Err(ServerError::Worker(id, reason)),
            Ok(Notice::Interrupted(signal)) => return Err(ServerError::Interrupted(signal)),
            Err(_) => break,
        }
    }
    Ok(())
}

/// Reports how a worker ended, even if it panicked.
struct End {
    id: ShardId,
    notices: Sender<Notice>,
    /// How it ended, if it came to saying so.
    notice: Option<Notice>,
}

impl End {
    fn report(mut self, result: io::Result<()>) {
        self.notice = Some(match result {
            Ok(()) => Notice::Drained(self.id),
            Err(error) => Notice::Failed(self.id, error.to_string()),
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let panicked = || Notice::Failed(self.id, "it panicked".to_owned());
        // Nobody listens any more if another worker failed first.
        drop(self.notices.send(self.notice.take().unwrap_or_else(panicked)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// What comes of a server whose workers are these threads.
    fn outcome(workers: &[fn(End)]) -> Result<(), String> {
        let (sender, notices) = mpsc::channel();
        for (number, &worker) in workers.iter().enumerate() {
            let end = End { id: ShardId(number as u16), notices: sender.clone(), notice: None };
            thread::spawn(move || worker(end));
        }
        await_workers(&notices, workers.len()).map_err(|error| error.to_string())
    }

    fn drains(end: End) {
        end.report(Ok(()));
    }

    /// Its end is neither reported nor dropped.
    fn goes_on(end: End) {
        std::mem::forget(end);
    }

    #[test]
    fn a_worker_that_panics_ends_the_wait_at_once_although_others_go_on() {
        let panics: fn(End) = |_end| std::panic::resume_unwind(Box::new("on purpose, and in silence"));
        assert_eq!(outcome(&[goes_on, panics, goes_on]), Err("worker 1 failed: it panicked".to_owned()));
        assert_eq!(outcome(&[drains, panics]), Err("worker 1 failed: it panicked".to_owned()));
    }

    #[test]
    fn a_worker_that_cannot_go_on_ends_the_wait_and_says_why() {
        let fails: fn(End) = |end| end.report(Err(io::Error::other("no more events")));
        assert_eq!(outcome(&[fails, goes_on]), Err("worker 0 failed: no more events".to_owned()));
    }

    #[test]
    fn the_wait_is_over_when_every_worker_has_drained() {
        assert_eq!(outcome(&[drains, drains, drains]), Ok(()));
    }
}
