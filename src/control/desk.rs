//! [`Desk`]: where questions to the shards are asked, and their answers waited for.
//!
//! A question goes into its shard's mailbox as an order, with a ticket; the worker hands the answer to a channel without
//! waiting for anybody. Here it is looked up who holds the ticket. A worker that does not answer in time costs that one
//! request a 503. One whose drain is over has nothing left, and that is its answer.

use super::refusal::Refusal;
use crate::hub::ShardId;
use crate::limits;
use crate::mesh::Mesh;
use crate::shard::mail::{Answer, Answered, Order, Question, Ticket};
use mio::Waker;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

/// Asks the shards of a mesh.
#[derive(Debug)]
pub(super) struct Desk {
    mesh: Arc<Mesh<Waker>>,
    next_ticket: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Held while something is published: one portion after the other, whoever asks.
    publishing: tokio::sync::Mutex<()>,
}

/// By ticket: the number of the question among those asked together, and who wants to know.
type Waiting = HashMap<Ticket, (usize, UnboundedSender<(usize, Answered)>)>;

/// Takes its tickets back when it goes, whether they were answered or nobody waits any more.
struct Asking<'d> {
    desk: &'d Desk,
    tickets: Vec<Ticket>,
}

impl Desk {
    /// A desk in front of these shards.
    pub(super) fn new(mesh: Arc<Mesh<Waker>>) -> Desk {
        Desk {
            mesh,
            next_ticket: AtomicU64::new(0),
            waiting: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
        }
    }

    /// Every shard.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.mesh.shards()).map(|shard| ShardId(shard as u16))
    }

    /// Hands every answer to who waits for it, until nobody answers any more.
    pub(super) async fn hand_out(self: Arc<Desk>, mut answers: UnboundedReceiver<Answered>) {
        while let Some(answered) = answers.recv().await {
            let waiting = self.lock().remove(&answered.ticket);
            if let Some((number, asker)) = waiting {
                // Who has gone meanwhile needs no answer.
                drop(asker.send((number, answered)));
            }
        }
    }

    /// Asks every shard the same.
    ///
    /// # Errors
    /// 503 if one does not answer in time.
    pub(super) async fn ask_all(&self, question: &Question) -> Result<Vec<Answer>, Refusal> {
        self.ask(self.shards().map(|shard| (shard, question.clone()))).await
    }

    /// Asks, and waits for all answers, which come in the order of the questions.
    ///
    /// # Errors
    /// 503 if one does not come in time.
    pub(super) async fn ask(
        &self,
        questions: impl IntoIterator<Item = (ShardId, Question)>,
    ) -> Result<Vec<Answer>, Refusal> {
        let (asker, mut answered) = unbounded_channel();
        let mut asking = Asking { desk: self, tickets: Vec::new() };
        for (number, (shard, question)) in questions.into_iter().enumerate() {
            let ticket = Ticket(self.next_ticket.fetch_add(1, Ordering::Relaxed));
            asking.tickets.push(ticket);
            self.lock().insert(ticket, (number, asker.clone()));
            let answer = question.answer_of_nobody();
            if !self.mesh.order(shard, Order::Ask(ticket, question)) {
                self.lock().remove(&ticket);
                drop(asker.send((number, Answered { ticket, shard, answer })));
            }
        }
        drop(asker);
        let mut answers: Vec<Option<Answer>> = asking.tickets.iter().map(|_| None).collect();
        let all = async {
            while let Some((number, Answered { answer, .. })) = answered.recv().await {
                answers[number] = Some(answer);
            }
        };
        // What is late is told apart from what is there below.
        drop(timeout(Duration::from_millis(limits::ADMIN_ANSWER_TIMEOUT_MS), all).await);
        answers.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| {
            Refusal::unavailable("a worker did not answer in time")
                .fix("try again; if it stays so, a worker hangs")
        })
    }

    /// The same for what brings work: it waits, as clients that publish do, until subscribers have been written what was
    /// published before, and for who else publishes here.
    ///
    /// # Errors
    /// 503 if that takes too long.
    pub(super) async fn ask_when_caught_up(
        &self,
        questions: impl IntoIterator<Item = (ShardId, Question)>,
    ) -> Result<Vec<Answer>, Refusal> {
        let _turn = self.publishing.lock().await;
        let caught_up = async {
            while !self.mesh.may_read() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(Duration::from_millis(limits::ADMIN_ANSWER_TIMEOUT_MS), caught_up).await.is_err() {
            return Err(Refusal::unavailable(
                "the workers have not caught up in time with what was published before",
            )
            .fix("publish less at a time"));
        }
        self.ask(questions).await
    }

    /// What waits. It is touched by the control plane's thread alone, and every change to it is one call.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut waiting = self.desk.lock();
        for ticket in &self.tickets {
            waiting.remove(ticket);
        }
    }
}
