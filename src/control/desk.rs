//! [`Desk`]: where questions to the shards are asked, and their answers waited for.
//!
//! A question goes into its shard's mailbox as an order, with a ticket; the worker hands the answer to a channel without
//! waiting for anybody. Here it is looked up who holds the ticket. A worker that does not answer in time costs that one
//! request a 503. One whose drain is over has nothing left, and that is its answer.

use super::refusal::Refusal;
use crate::hub::ShardId;
use crate::mesh::Mesh;
use crate::shard::mail::{Answer, Answered, Order, Question, Ticket};
use mio::Waker;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::MutexGuard as Turn;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Asks the shards of a mesh.
#[derive(Debug)]
pub(super) struct Desk {
    mesh: Arc<Mesh<Waker>>,
    /// How long the shards are waited for.
    patience: Duration,
    next_ticket: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Held while something is published: one portion after the other, whoever asks.
    publishing: tokio::sync::Mutex<()>,
    /// Held while every client or channel is looked at.
    surveying: Arc<tokio::sync::Mutex<()>>,
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
    pub(super) fn new(mesh: Arc<Mesh<Waker>>, patience: Duration) -> Desk {
        Desk {
            mesh,
            patience,
            next_ticket: AtomicU64::new(0),
            waiting: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            surveying: Arc::default(),
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

    /// Asks every shard what has it look at every client or channel. That is asked one after the other, whoever asks, so that no
    /// turn has two of it; and waited for, even if who asked has gone.
    ///
    /// # Errors
    /// 503 if its turn does not come in time, or an answer does not.
    pub(super) async fn survey(
        self: &Arc<Desk>,
        question: impl Fn(ShardId) -> Question,
    ) -> Result<Vec<Answer>, Refusal> {
        let Ok(turn) = timeout(self.patience, self.surveying.clone().lock_owned()).await else {
            return Err(Refusal::unavailable("the lists that others have asked for take too long")
                .fix("try again; if it stays so, a worker hangs"));
        };
        let questions: Vec<_> = self.shards().map(|shard| (shard, question(shard))).collect();
        let desk = self.clone();
        let asked = tokio::spawn(async move {
            let _turn = turn;
            desk.ask(questions).await
        });
        asked.await.unwrap_or_else(|_| Err(Refusal::unavailable("the server ends")))
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
        drop(timeout(self.patience, all).await);
        answers.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| {
            Refusal::unavailable("a worker did not answer in time")
                .fix("try again; if it stays so, a worker hangs")
        })
    }

    /// Waits for the turn to publish, of which there is one at a time, and then, as clients that publish do, until subscribers
    /// have been written what was published before. The turn does not begin later than `until`.
    ///
    /// # Errors
    /// 503 if that takes too long.
    pub(super) async fn turn_to_publish(&self, until: Instant) -> Result<Turn<'_, ()>, Refusal> {
        let turn = timeout_at(until, self.publishing.lock()).await;
        let Some(turn) = turn.ok().filter(|_| Instant::now() < until) else {
            return Err(Refusal::unavailable("publishing takes too long").fix("publish less at a time"));
        };
        let caught_up = async {
            while !self.mesh.may_read() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        match timeout(self.patience, caught_up).await {
            Ok(()) => Ok(turn),
            Err(_) => Err(Refusal::unavailable(
                "the workers have not caught up in time with what was published before",
            )
            .fix("publish less at a time")),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::plane::{Patience, Plane};
    use crate::hub::ClientKey;
    use crate::shard::mail::ClientOrder;
    use tokio::task::yield_now;

    /// A desk in front of a worker that never answers, and is soon given up.
    fn deaf() -> Arc<Desk> {
        let patience = Patience { answer: Duration::from_millis(200), ..Patience::default() };
        Plane::deaf(patience).desk.clone()
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn whose_turn_to_publish_does_not_come_in_time_has_none() {
        let desk = deaf();
        run(async {
            let within = |ms| desk.turn_to_publish(Instant::now() + Duration::from_millis(ms));
            let other = within(10_000).await.expect("nobody else publishes");
            let behind_another = within(10).await.expect_err("the other goes on");
            drop(other);
            let late = within(0).await.expect_err("that is now");
            for refusal in [behind_another, late] {
                assert_eq!(refusal.error(), "publishing takes too long");
            }
            drop(within(10_000).await.expect("nobody else publishes"));
        });
    }

    #[test]
    fn who_asks_a_worker_that_does_not_answer_is_told_so_and_nothing_waits_for_that_any_more() {
        let desk = deaf();
        let asked = run(desk.ask([(ShardId(0), Question::Client { client: ClientKey::NOBODY })]));
        assert_eq!(asked.expect_err("nobody answers").error(), "a worker did not answer in time");
        assert!(desk.lock().is_empty());
    }

    #[test]
    fn workers_have_one_list_to_make_at_a_time_even_if_who_asked_for_it_has_gone() {
        let desk = deaf();
        let survey = async || {
            let order = ClientOrder::Slowest;
            desk.survey(|_| Question::Clients { channel: None, after: None, limit: 1, order }).await
        };
        run(async {
            for _ in 0..3 {
                tokio::select! {
                    biased;
                    answer = survey() => panic!("nobody answers: {answer:?}"),
                    () = yield_now() => {}
                }
            }
            assert_eq!(desk.mesh.close(ShardId(0)).len(), 1);
            // The first is given up in time.
            drop(desk.surveying.lock().await);
            let answers = survey().await.expect("nobody is left to be asked");
            assert_eq!(answers, [Answer::Clients { clients: Vec::new(), total: 0 }]);
        });
    }
}
