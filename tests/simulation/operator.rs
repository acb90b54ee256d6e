//! The operator of the simulation: [`Operator`] asks shards at moments of chance, and holds the answers to what follows from
//! the questions. What it publishes is heard under the same laws as what clients do.

use crate::laws::Laws;
use crate::network::Flag;
use crate::random::Random;
use fanwire::hub::{ChannelName, ClientKey, ShardId};
use fanwire::mesh::Mesh;
use fanwire::protocol::{CloseCode, CloseReason};
use fanwire::shard::mail::{
    Answer, Answered, ChannelFacts, ChannelOrder, ClientOrder, Order, Question, Ticket,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The code with which the operator closes clients.
pub const CODE: CloseCode = CloseCode::new(4001);

/// And the reason that it gives.
pub const REASON: &str = "closed by the operator";

/// Publications that may be on their way to their homes at one time.
pub const PENDING_MAX: usize = 4;

/// Whoever asks shards.
#[derive(Debug, Default)]
pub struct Operator {
    answers: Arc<Mutex<Vec<Answered>>>,
    asked: BTreeMap<Ticket, (ShardId, Asked)>,
    next_ticket: u64,
}

/// What is known of a question that has not been answered.
#[derive(Debug)]
enum Asked {
    /// The number of what was published in this channel.
    Publish(usize, u32),
    Close,
    Other(Question),
}

impl Operator {
    /// Where answers are to go.
    pub fn answers(&self) -> Box<dyn Fn(Answered) + Send + Sync> {
        let answers = self.answers.clone();
        Box::new(move |answered| answers.lock().expect("nobody fails with it").push(answered))
    }

    /// Publishes in a channel, unless that has been done often and not been answered.
    pub fn publish(
        &mut self,
        (channel, name, home): (usize, ChannelName, ShardId),
        payload_bytes: usize,
        mesh: &Mesh<Flag>,
        laws: &mut Laws,
    ) {
        let pending = self.asked.values().filter(|(_, asked)| matches!(asked, Asked::Publish(..))).count();
        if pending < PENDING_MAX {
            let publication = laws.next_of_operator(channel);
            let (kind, payload) = (publication.kind(), publication.payload(payload_bytes));
            let asked = Asked::Publish(channel, publication.number);
            self.ask(home, Question::Publish { channel: name, kind, payload }, asked, mesh);
        }
    }

    /// Closes a client.
    pub fn close(&mut self, shard: ShardId, client: ClientKey, mesh: &Mesh<Flag>) {
        let reason = CloseReason::new(REASON);
        self.ask(shard, Question::Close { client, code: CODE, reason }, Asked::Close, mesh);
    }

    /// Asks anything that changes nothing.
    pub fn look(
        &mut self,
        shard: ShardId,
        channel: ChannelName,
        client: Option<ClientKey>,
        mesh: &Mesh<Flag>,
        random: &mut Random,
    ) {
        let limit = random.below(4);
        let question = match (random.below(6), client) {
            (0, _) => Question::Channel { channel },
            (1, Some(client)) => Question::Client { client },
            (2, after) => {
                let order = random.pick(&[ClientOrder::Id, ClientOrder::Slowest]);
                let channel = random.chance(50).then_some(channel);
                Question::Clients { channel, after, limit, order }
            }
            (3, _) => Question::These { channels: vec![channel] },
            _ => {
                let order = random.pick(&[ChannelOrder::Name, ChannelOrder::Traffic]);
                let after = random.chance(50).then(|| channel.as_str().to_owned());
                Question::Channels { prefix: "room-".to_owned(), after, limit, order }
            }
        };
        self.ask(shard, question.clone(), Asked::Other(question), mesh);
    }

    fn ask(&mut self, shard: ShardId, question: Question, asked: Asked, mesh: &Mesh<Flag>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.asked.insert(ticket, (shard, asked));
        mesh.order(shard, Order::Ask(ticket, question));
    }

    /// Hears what has been answered in a turn. Returns the channels in which nothing was published.
    pub fn hear(&mut self, laws: &mut Laws) -> Vec<usize> {
        let mut unheard = Vec::new();
        let answers: Vec<Answered> = self.answers.lock().expect("nobody fails with it").drain(..).collect();
        for Answered { ticket, shard, answer } in answers {
            let (asked_of, asked) = self.asked.remove(&ticket).expect("a question is answered once");
            assert_eq!(shard, asked_of, "it is answered by who was asked");
            match (asked, answer) {
                (Asked::Publish(channel, number), Answer::Published(Some(position))) => {
                    laws.operator_published(channel, number, position);
                }
                (Asked::Publish(channel, _), Answer::Published(None)) => unheard.push(channel),
                (Asked::Close, Answer::Closed(_)) => {}
                (Asked::Other(question), answer) => check(shard, &question, &answer),
                (asked, answer) => panic!("{answer:?} is no answer to {asked:?}"),
            }
        }
        unheard
    }

    /// Everything has come to rest.
    pub fn check_rest(&self) {
        assert!(self.asked.is_empty(), "every question is answered: {:?}", self.asked);
    }
}

/// Checks that an answer is one to this question.
fn check(shard: ShardId, question: &Question, answer: &Answer) {
    let is_there = |facts: &ChannelFacts| facts.subscribers > 0 || facts.home.is_some();
    match (question, answer) {
        (Question::Channel { channel }, Answer::Channel(facts)) => {
            assert!(facts.as_ref().is_none_or(|facts| facts.channel == *channel && is_there(facts)));
        }
        (Question::Client { client }, Answer::Client(facts)) => {
            assert!(facts.as_ref().is_none_or(|facts| facts.id.client == *client && facts.address.is_some()));
        }
        (Question::These { channels: asked }, Answer::Channels { channels, total }) => {
            assert!(*total <= 1 && channels.iter().all(|facts| asked.contains(&facts.channel)));
        }
        (Question::Clients { channel, after, limit, order }, Answer::Clients { clients, total }) => {
            assert!(clients.len() <= *limit && clients.len() <= *total);
            assert!(clients.iter().all(|facts| facts.id.shard == shard && facts.address.is_some()));
            assert!(channel.is_none() || clients.iter().all(|facts| facts.channel == *channel));
            let ids: Vec<ClientKey> = clients.iter().map(|facts| facts.id.client).collect();
            match order {
                ClientOrder::Id => {
                    assert!(ids.is_sorted() && ids.first().is_none_or(|first| Some(*first) > *after));
                }
                ClientOrder::Slowest => {
                    assert!(clients.is_sorted_by(|one, next| one.queued_bytes >= next.queued_bytes));
                }
            }
        }
        (Question::Channels { prefix, after, limit, order }, Answer::Channels { channels, total }) => {
            assert!(channels.len() <= *limit && channels.iter().all(is_there));
            let names: Vec<&str> = channels.iter().map(|facts| facts.channel.as_str()).collect();
            assert!(names.iter().all(|name| name.starts_with(prefix)));
            match order {
                ChannelOrder::Name => {
                    assert!(names.is_sorted_by(|one, next| one < next));
                    assert!(names.first().is_none_or(|first| Some(*first) > after.as_deref()));
                }
                ChannelOrder::Traffic => {
                    assert!(names.len() == *limit.min(total));
                    assert!(channels.iter().all(|facts| facts.home.is_some()));
                }
            }
        }
        (question, answer) => panic!("{answer:?} is no answer to {question:?}"),
    }
}
