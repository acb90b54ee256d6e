//! What an operator asks of a shard, and what it answers.

use super::Shard;
use super::mail::{Answer, Answered, Question, Ticket};
use crate::protocol::Time;

impl Shard {
    /// An operator asks. The answer is taken with [`take_answer`](Self::take_answer), once this turn's mail is on its way.
    pub fn ask(&mut self, ticket: Ticket, question: Question, _now: Time) {
        let answer = match question {
            Question::Publish { .. } => Answer::Published(None),
            Question::Channels { .. } | Question::These { .. } => {
                Answer::Channels { channels: Vec::new(), total: 0 }
            }
            Question::Channel { .. } => Answer::Channel(None),
            Question::Clients { .. } => Answer::Clients { clients: Vec::new(), total: 0 },
            Question::Client { .. } => Answer::Client(None),
            Question::Close { .. } => Answer::Closed(false),
        };
        self.answers.push_back(Answered { ticket, shard: self.place.id, answer });
    }

    /// The next answer of this turn. Nobody but the sockets knows where a client comes from: that is for the caller to fill in.
    pub fn take_answer(&mut self) -> Option<Answered> {
        self.answers.pop_front()
    }
}
