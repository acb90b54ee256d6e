//! What an operator is answered, by shards in lockstep. (The file is long because each promise of a question is a test.)

use super::*;
use crate::config::Config;
use crate::hub::{ShardId, home_of};
use crate::metrics::Cell;
use crate::protocol::{CloseCode, CloseReason, Opcode};
use crate::shard::Slices;
use crate::shard::trial::{self, SEED};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Shards in lockstep: each has its turn, and the mail is there in the next round.
struct Rounds {
    shards: Vec<Shard>,
    now: Time,
    /// Clients that take nothing.
    stuck: Vec<ClientId>,
    /// What each client was written.
    written: BTreeMap<(ShardId, ClientKey), Vec<u8>>,
}

impl Rounds {
    fn new(shards: usize) -> Rounds {
        Rounds::with(shards, Config { echo: true, ..Config::default() })
    }

    fn with(shards: usize, config: Config) -> Rounds {
        let config = Arc::new(config);
        let shard = |id| trial::one_of(ShardId(id as u16), shards, config.clone());
        let shards = (0..shards).map(shard).collect();
        Rounds { shards, now: Time(0), stuck: Vec::new(), written: BTreeMap::new() }
    }

    /// A client whose request is for `path`.
    fn join(&mut self, shard: usize, path: &str) -> ClientId {
        let client = trial::asking(&mut self.shards[shard], path, self.now);
        self.go_round();
        self.written.clear();
        ClientId { shard: ShardId(shard as u16), client }
    }

    /// Everything that is under way arrives.
    fn go_round(&mut self) {
        for _ in 0..4 {
            for shard in 0..self.shards.len() {
                self.turn(shard);
            }
        }
        self.shards.iter().for_each(Shard::check_invariants);
    }

    fn turn(&mut self, number: usize) {
        let (now, id) = (self.now, ShardId(number as u16));
        let shard = &mut self.shards[number];
        shard.begin_turn(u64::from(now.0) * 1000);
        shard.expire(now);
        shard.seal();
        let mut mail = Vec::new();
        while let Some(posted) = shard.take_mail() {
            mail.push(posted);
        }
        shard.begin_flush();
        while let Some(key) = shard.next_to_write(now) {
            let mut slices = Slices::new();
            let plan = shard.unwritten(key, &mut slices);
            let is_stuck = self.stuck.contains(&ClientId { shard: id, client: key });
            let taken = if is_stuck { 0 } else { plan.bytes() };
            let written = self.written.entry((id, key)).or_default();
            slices.iter().filter(|_| !is_stuck).for_each(|slice| written.extend_from_slice(slice));
            drop(slices);
            shard.written(key, plan, taken, now);
        }
        shard.note_deliveries(u64::from(now.0) * 1000);
        for (to, batch) in mail {
            self.shards[usize::from(to.0)].collect(batch, now);
        }
    }

    /// Asks a shard, and lets the answer's mail arrive.
    fn ask(&mut self, shard: usize, question: Question) -> Answer {
        self.shards[shard].ask(Ticket(7), question, self.now);
        let answered = self.shards[shard].take_answer().expect("it answers");
        assert_eq!((answered.ticket, answered.shard), (Ticket(7), ShardId(shard as u16)));
        assert_eq!(self.shards[shard].take_answer(), None, "once");
        self.go_round();
        answered.answer
    }

    fn publish(&mut self, channel: &str, text: &str) -> Option<Position> {
        let channel = name(channel);
        let home = home_of(&channel, self.shards.len(), SEED);
        let question = Question::Publish { channel, kind: Kind::Text, payload: text.into() };
        let Answer::Published(position) = self.ask(home, question) else { panic!("it is published or not") };
        position
    }

    fn channels(
        &mut self,
        shard: usize,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, usize) {
        self.channels_in(ChannelOrder::Name, shard, prefix, after, limit)
    }

    fn channels_in(
        &mut self,
        order: ChannelOrder,
        shard: usize,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, usize) {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let Answer::Channels { channels, total } =
            self.ask(shard, Question::Channels { prefix, after, limit, order })
        else {
            panic!("channels are what was asked for")
        };
        (channels.into_iter().map(|facts| facts.channel.to_string()).collect(), total)
    }

    fn channel(&mut self, shard: usize, channel: &str) -> Option<ChannelFacts> {
        let Answer::Channel(facts) = self.ask(shard, Question::Channel { channel: name(channel) }) else {
            panic!("a channel is what was asked for")
        };
        facts
    }

    fn clients(
        &mut self,
        channel: Option<&str>,
        after: Option<ClientId>,
        limit: usize,
        order: ClientOrder,
    ) -> (Vec<ClientId>, usize) {
        let (channel, after) = (channel.map(name), after.map(|after| after.client));
        let Answer::Clients { clients, total } =
            self.ask(0, Question::Clients { channel, after, limit, order })
        else {
            panic!("clients are what was asked for")
        };
        (clients.into_iter().map(|facts| facts.id).collect(), total)
    }

    fn client(&mut self, id: ClientId) -> Option<ClientFacts> {
        let question = Question::Client { client: id.client };
        let Answer::Client(facts) = self.ask(usize::from(id.shard.0), question) else {
            panic!("a client is what was asked for")
        };
        facts
    }

    fn close(&mut self, id: ClientId) -> bool {
        let (code, reason) = (CloseCode::POLICY_VIOLATION, CloseReason::new("enough"));
        let question = Question::Close { client: id.client, code, reason };
        let Answer::Closed(is_closed) = self.ask(usize::from(id.shard.0), question) else {
            panic!("closing is what was asked for")
        };
        is_closed
    }

    /// `id` says so many zeros.
    fn say(&mut self, id: ClientId, bytes: usize) {
        let mut frame = trial::frame(true, Opcode::Binary, &vec![0; bytes]);
        let shard = &mut self.shards[usize::from(id.shard.0)];
        shard.receive(id.client, &mut frame, false, usize::MAX, self.now);
        self.go_round();
    }

    fn written(&self, id: ClientId) -> &[u8] {
        self.written.get(&(id.shard, id.client)).map_or(&[], Vec::as_slice)
    }

    fn pass_ms(&mut self, ms: u32) {
        self.now = self.now.plus(ms);
        self.go_round();
    }
}

fn name(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a good name")
}

const CLOSE: &[u8] = b"\x88\x08\x03\xf0enough";

// ---- Publish ----------------------------------------------------------------------------------------------------

#[test]
fn what_an_operator_publishes_gets_its_place_among_the_others_and_is_heard_everywhere() {
    let mut rounds = Rounds::new(3);
    let listeners: Vec<ClientId> = (0..3).map(|shard| rounds.join(shard, "/ws/a")).collect();
    let first = rounds.publish("a", "one").expect("somebody listens");
    rounds.say(listeners[0], 200);
    let second = rounds.publish("a", "two").expect("somebody listens");
    assert_eq!((first.offset, second.offset, second.epoch), (1, 3, first.epoch));
    let heard = [b"\x81\x03one\x82\x7e\x00\xc8".as_slice(), &[0; 200], b"\x81\x03two"].concat();
    assert!(listeners.iter().all(|listener| rounds.written(*listener) == heard));
}

#[test]
fn who_does_not_want_its_own_back_hears_an_operator_all_the_same() {
    let mut rounds = Rounds::new(1);
    let listener = rounds.join(0, "/ws/a?echo=off");
    rounds.publish("a", "hi");
    assert_eq!(rounds.written(listener), b"\x81\x02hi");
}

#[test]
fn where_nobody_listens_there_is_no_channel_and_none_is_made() {
    let mut rounds = Rounds::new(2);
    assert_eq!(rounds.publish("a", "hi"), None);
    rounds.join(0, "/ws/b");
    assert_eq!(rounds.publish("a", "hi"), None);
    assert!((0..2).all(|shard| rounds.channel(shard, "a").is_none()));
}

#[test]
fn who_is_asked_about_a_channel_after_a_publication_counts_exactly_those_who_got_it() {
    let mut rounds = Rounds::new(2);
    let home = home_of(&name("a"), 2, SEED);
    let listeners =
        [rounds.join(1 - home, "/ws/a"), rounds.join(1 - home, "/ws/a"), rounds.join(home, "/ws/a")];
    rounds.publish("a", "hi");
    let counts = [1 - home, home].map(|shard| rounds.channel(shard, "a").expect("it is there").subscribers);
    assert_eq!(counts, [2, 1]);
    assert!(listeners.iter().all(|listener| rounds.written(*listener) == b"\x81\x02hi"));
}

#[test]
fn at_the_end_nothing_is_published_that_would_not_reach_everyone() {
    let mut rounds = Rounds::new(1);
    let listener = rounds.join(0, "/ws/a");
    rounds.stuck.push(listener);
    rounds.publish("a", "hi").expect("it is early enough");
    rounds.shards[0].drain(0, rounds.now);
    assert_eq!(rounds.publish("a", "late"), None);
}

#[test]
fn while_goodbyes_are_spread_a_home_that_has_said_its_own_takes_what_operators_publish() {
    let mut rounds = Rounds::new(2);
    let home = home_of(&name("a"), 2, SEED);
    let listener = rounds.join(1 - home, "/ws/a");
    for shard in &mut rounds.shards {
        shard.drain(10_000, rounds.now);
    }
    rounds.go_round();
    assert_eq!([home, 1 - home].map(|shard| rounds.shards[shard].is_pacing()), [false, true]);
    rounds.publish("a", "hi").expect("somebody listens");
    assert_eq!(rounds.written(listener), b"\x81\x02hi");
}

// ---- Channels ---------------------------------------------------------------------------------------------------

#[test]
fn channels_are_listed_by_name_from_behind_one_and_counted_in_all() {
    let mut rounds = Rounds::new(1);
    for channel in ["c", "a1", "b", "a2", "a3"] {
        rounds.join(0, &format!("/ws/{channel}"));
    }
    let all =
        |names: &[&str], total| (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), total);
    assert_eq!(rounds.channels(0, "", None, 9), all(&["a1", "a2", "a3", "b", "c"], 5));
    assert_eq!(rounds.channels(0, "a", None, 2), all(&["a1", "a2"], 3));
    assert_eq!(rounds.channels(0, "a", Some("a2"), 2), all(&["a3"], 3));
    assert_eq!(rounds.channels(0, "a", Some("a3"), 2), all(&[], 3));
    assert_eq!(rounds.channels(0, "x", None, 2), all(&[], 0));
    assert_eq!(rounds.channels(0, "", None, 0), all(&[], 5));
}

#[test]
fn the_first_of_all_shards_answers_are_the_first_of_the_server_and_totals_count_each_channel_once() {
    let mut rounds = Rounds::new(3);
    let names: Vec<String> = (10..40).map(|number| format!("room-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        rounds.join(number % 3, &format!("/ws/{name}"));
        rounds.join((number + 1) % 3, &format!("/ws/{name}"));
    }
    let answers: Vec<_> = (0..3).map(|shard| rounds.channels(shard, "room-", Some("room-11"), 7)).collect();
    assert_eq!(answers.iter().map(|(_, total)| total).sum::<usize>(), 30);
    let mut all: Vec<String> = answers.into_iter().flat_map(|(names, _)| names).collect();
    all.sort();
    all.dedup();
    assert_eq!(all[..7], names[2..9]);
}

#[test]
fn a_channel_of_several_wire_forms_is_one() {
    let mut rounds = Rounds::new(2);
    let shard = 1 - home_of(&name("a"), 2, SEED);
    rounds.join(shard, "/ws/a");
    let deflating =
        rounds.join(shard, "/ws/a HTTP/1.1\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX: ");
    rounds.join(shard, "/ws/b");
    assert_eq!(rounds.client(deflating).expect("it is there").channel, Some(name("a")));
    assert_eq!(rounds.channels(shard, "", None, 2).0, ["a", "b"]);
    assert_eq!(rounds.channel(shard, "a").expect("it is there").subscribers, 2);
    assert_eq!(rounds.clients_of(shard, "a"), 2);
}

impl Rounds {
    fn clients_of(&mut self, shard: usize, channel: &str) -> usize {
        let (channel, order) = (Some(name(channel)), ClientOrder::Slowest);
        match self.ask(shard, Question::Clients { channel, after: None, limit: 9, order }) {
            Answer::Clients { clients, total } if clients.len() == total => total,
            other => panic!("all of them: {other:?}"),
        }
    }
}

#[test]
fn a_home_knows_where_a_channel_stands_and_how_fast_it_goes() {
    let mut rounds = Rounds::new(2);
    let home = home_of(&name("a"), 2, SEED);
    rounds.join(1 - home, "/ws/a");
    for _ in 0..10 {
        rounds.publish("a", "0123456789");
    }
    rounds.pass_ms(5_000);
    assert_eq!(rounds.channel(1 - home, "a").expect("one listens").home, None);
    let facts = rounds.channel(home, "a").expect("it is at home here");
    let HomeFacts { position, messages_per_second, bytes_per_second } =
        facts.home.expect("it is at home here");
    assert_eq!((facts.subscribers, position.offset), (0, 10));
    assert_eq!((messages_per_second, bytes_per_second), (2.0, 20.0));
}

#[test]
fn channels_with_most_traffic_are_told_by_their_homes_and_those_who_listen_elsewhere_when_asked_for_these() {
    let mut rounds = Rounds::new(2);
    let names: Vec<String> = (0..)
        .map(|number| format!("r{number}"))
        .filter(|one| home_of(&name(one), 2, SEED) == 0)
        .take(4)
        .collect();
    for (number, name) in names.iter().enumerate() {
        rounds.join(1, &format!("/ws/{name}"));
        for _ in 0..number {
            rounds.publish(name, "hi");
        }
    }
    let busiest = rounds.channels_in(ChannelOrder::Traffic, 0, "r", None, 2);
    assert_eq!(busiest, (vec![names[3].clone(), names[2].clone()], 4));
    assert_eq!(rounds.channels_in(ChannelOrder::Traffic, 1, "r", None, 2), (Vec::new(), 0));
    let channels = busiest.0.iter().map(|one| name(one)).chain([name("nowhere")]).collect();
    let Answer::Channels { channels, total } = rounds.ask(1, Question::These { channels }) else {
        panic!("channels are what was asked for")
    };
    assert_eq!((channels.iter().map(|facts| facts.subscribers).collect::<Vec<_>>(), total), (vec![1, 1], 0));
}

#[test]
fn who_is_far_behind_is_counted_with_what_is_kept_for_it() {
    let mut config = Config::default();
    config.limits.outbox_bytes_max = 100_000;
    config.limits.message_bytes_max = 45_000;
    let mut rounds = Rounds::with(1, config);
    let [reader, stuck] = [(); 2].map(|()| rounds.join(0, "/ws/a"));
    rounds.stuck.push(stuck);
    rounds.say(reader, 40_000);
    let facts = |rounds: &mut Rounds| {
        let ChannelFacts { behind, retained_bytes, .. } = rounds.channel(0, "a").expect("it is there");
        (behind, retained_bytes)
    };
    assert_eq!(facts(&mut rounds), (0, 40_004));
    rounds.say(reader, 40_000);
    assert_eq!(facts(&mut rounds), (0, 80_008), "the first message may have been written in part");
    rounds.say(reader, 15_000);
    assert_eq!(facts(&mut rounds), (1, 95_012));
    assert_eq!(rounds.client(stuck).expect("it is there").queued_bytes, 95_012);
    assert_eq!(rounds.shards[0].gauge().queued_bytes, 95_012);
    let counters = rounds.shards[0].counters();
    assert_eq!([&counters.log_bytes, &counters.clients_blocked].map(Cell::get), [95_012, 1]);
}

// ---- Clients ----------------------------------------------------------------------------------------------------

#[test]
fn clients_are_listed_by_id_from_behind_one_in_all_or_in_a_channel() {
    let mut rounds = Rounds::new(1);
    let ids: Vec<ClientId> = (0..6).map(|number| rounds.join(0, ["/ws/a", "/ws/b"][number % 2])).collect();
    let by_id = ClientOrder::Id;
    assert_eq!(rounds.clients(None, None, 4, by_id), (ids[..4].to_vec(), 6));
    assert_eq!(rounds.clients(None, Some(ids[3]), 4, by_id), (ids[4..].to_vec(), 6));
    assert_eq!(rounds.clients(Some("a"), None, 2, by_id), (vec![ids[0], ids[2]], 3));
    assert_eq!(rounds.clients(Some("a"), Some(ids[2]), 2, by_id), (vec![ids[4]], 3));
    assert_eq!(rounds.clients(Some("c"), None, 2, by_id), (vec![], 0));
}

#[test]
fn the_slowest_are_those_with_most_bytes_queued() {
    let mut rounds = Rounds::new(1);
    let ids: Vec<ClientId> = (0..4).map(|_| rounds.join(0, "/ws/a")).collect();
    rounds.stuck.push(ids[2]);
    rounds.say(ids[0], 1_000);
    rounds.stuck.push(ids[1]);
    rounds.say(ids[0], 1_000);
    let slowest = ClientOrder::Slowest;
    assert_eq!(rounds.clients(None, None, 3, slowest), (vec![ids[2], ids[1], ids[0]], 4));
    assert_eq!(rounds.clients(Some("a"), None, 1, slowest), (vec![ids[2]], 4));
}

#[test]
fn a_client_is_known_from_its_first_moment_to_its_last() {
    let mut rounds = Rounds::new(1);
    rounds.now = Time(u32::MAX);
    let id = ClientId { shard: ShardId(0), client: rounds.shards[0].connect(Time(u32::MAX)) };
    let begun = rounds.client(id).expect("it is there");
    assert_eq!((begun.state, begun.may_publish, begun.channel), (ClientState::Handshake, false, None));
    let id = rounds.join(0, "/ws/a");
    rounds.pass_ms(1_001);
    let facts = rounds.client(id).expect("it is there");
    let ClientFacts { age_ms, queued_bytes, rtt_ms, may_publish, .. } = facts;
    assert_eq!((facts.id, facts.state, facts.channel), (id, ClientState::Open, Some(name("a"))));
    assert_eq!((age_ms, queued_bytes, rtt_ms, may_publish), (1_001, 0, None, true));
    let echo = rounds.join(0, "/echo");
    let facts = rounds.client(echo).expect("it is there");
    assert_eq!((facts.state, facts.may_publish, facts.channel), (ClientState::Open, false, None));
    assert!(rounds.close(id));
    assert_eq!(rounds.client(id).expect("it has not answered").state, ClientState::Closing);
    assert_eq!(rounds.client(ClientId { client: ClientKey::NOBODY, ..id }), None);
}

#[test]
fn s5_5_3_a_client_that_has_answered_a_ping_is_known_by_how_long_that_took() {
    let mut rounds = Rounds::new(1);
    let id = rounds.join(0, "/ws/a");
    let ping_interval_ms = rounds.shards[0].limits.ping_interval_ms;
    rounds.pass_ms(ping_interval_ms);
    assert_eq!(rounds.written(id), b"\x89\x00");
    rounds.pass_ms(42);
    let pong = &mut [0x8a, 0x80, 0, 0, 0, 0];
    rounds.shards[0].receive(id.client, pong, false, usize::MAX, rounds.now);
    assert_eq!(rounds.client(id).expect("it is there").rtt_ms, Some(42));
}

#[test]
fn an_answer_has_no_more_than_a_page() {
    let mut rounds = Rounds::new(1);
    let count = limits::ADMIN_PAGE_MAX + 1;
    for _ in 0..count {
        rounds.shards[0].connect(Time(0));
    }
    for order in [ClientOrder::Id, ClientOrder::Slowest] {
        let (clients, total) = rounds.clients(None, None, usize::MAX, order);
        assert_eq!((clients.len(), total), (limits::ADMIN_PAGE_MAX, count));
    }
}

// ---- Close ------------------------------------------------------------------------------------------------------

#[test]
fn who_has_caught_up_is_closed_at_once_and_counted_by_its_code() {
    let mut rounds = Rounds::new(1);
    let id = rounds.join(0, "/ws/a");
    assert!(rounds.close(id));
    assert_eq!(rounds.written(id), CLOSE);
    assert!(!rounds.close(id), "it is not open any more");
    rounds.shards[0].receive(id.client, &mut CLOSING_ANSWER.to_vec(), false, usize::MAX, rounds.now);
    let closes = &rounds.shards[0].counters().closes;
    assert_eq!(closes.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [("1008", 1)]);
}

/// The client's Close frame in answer to ours.
const CLOSING_ANSWER: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0];

#[test]
fn who_lags_is_written_what_lay_in_its_log_and_then_its_close() {
    let mut rounds = Rounds::new(1);
    let [reader, slow] = [(); 2].map(|()| rounds.join(0, "/ws/a"));
    rounds.stuck.push(slow);
    rounds.publish("a", "one");
    rounds.say(reader, 200);
    assert!(rounds.close(slow));
    assert!(rounds.close(slow), "it is open still, and the first word counts");
    assert_eq!(rounds.client(slow).expect("it is there").state, ClientState::Open);
    assert_eq!(rounds.written(slow), b"");
    rounds.stuck.clear();
    rounds.shards[0].unblock(slow.client);
    rounds.go_round();
    assert_eq!(rounds.written(slow), [b"\x81\x03one\x82\x7e\x00\xc8".as_slice(), &[0; 200], CLOSE].concat());
    assert_eq!(rounds.shards[0].counters().operator_closes.get(), 1);
}

#[test]
fn who_takes_nothing_is_given_its_close_after_the_close_timeout_and_cut_off_after_another() {
    let mut rounds = Rounds::new(1);
    let slow = rounds.join(0, "/ws/a");
    rounds.stuck.push(slow);
    rounds.publish("a", "one");
    rounds.close(slow);
    let close_timeout_ms = rounds.shards[0].limits.close_timeout_ms;
    assert_eq!(rounds.shards[0].ms_to_next_deadline(), Some(u64::from(close_timeout_ms)));
    rounds.pass_ms(close_timeout_ms - 1);
    assert_eq!(rounds.client(slow).expect("it has time").state, ClientState::Open);
    rounds.pass_ms(1);
    let facts = rounds.client(slow).expect("it is there");
    assert_eq!((facts.state, facts.queued_bytes), (ClientState::Closing, CLOSE.len() as u64));
    rounds.pass_ms(close_timeout_ms);
    assert_eq!(rounds.shards[0].next_dead(), Some(slow.client));
}

#[test]
fn whose_close_timeout_is_shorter_does_not_wait_for_those_who_were_to_be_closed_before() {
    let mut rounds = Rounds::new(1);
    let [patient, hasty] = [(); 2].map(|()| rounds.join(0, "/ws/a"));
    rounds.stuck.extend([patient, hasty]);
    rounds.publish("a", "one");
    rounds.close(patient);
    let mut config = (*rounds.shards[0].place.config).clone();
    config.limits.close_timeout_ms = 1_000;
    rounds.shards[0].reconfigure(Arc::new(config));
    rounds.close(hasty);
    rounds.pass_ms(1_000);
    let states = [patient, hasty].map(|one| rounds.client(one).expect("it is there").state);
    assert_eq!(states, [ClientState::Open, ClientState::Closing]);
}

#[test]
fn who_is_gone_before_its_close_is_forgotten() {
    let mut rounds = Rounds::new(1);
    let slow = rounds.join(0, "/ws/a");
    rounds.stuck.push(slow);
    rounds.publish("a", "one");
    rounds.close(slow);
    rounds.shards[0].lose(slow.client, rounds.now);
    assert_eq!(rounds.shards[0].next_dead(), Some(slow.client));
    rounds.shards[0].forget(slow.client);
    assert!(rounds.shards[0].farewells.are_said());
    assert!(!rounds.close(slow), "there is nobody");
    let closes = &rounds.shards[0].counters().closes;
    assert_eq!(closes.iter().find(|(_, count)| *count > 0), Some(("1006", 1)));
}

#[test]
fn in_its_handshake_nobody_can_be_closed() {
    let mut rounds = Rounds::new(1);
    let id = ClientId { shard: ShardId(0), client: rounds.shards[0].connect(Time(0)) };
    assert!(!rounds.close(id));
}

// ---- Delivery latency -------------------------------------------------------------------------------------------

#[test]
fn each_write_to_a_subscriber_is_counted_with_the_age_of_the_oldest_publication_in_it() {
    let mut rounds = Rounds::new(2);
    let home = home_of(&name("a"), 2, SEED);
    let listeners =
        [rounds.join(home, "/ws/a"), rounds.join(1 - home, "/ws/a"), rounds.join(1 - home, "/ws/a")];
    rounds.stuck.push(listeners[2]);
    let question = Question::Publish { channel: name("a"), kind: Kind::Text, payload: b"hi".to_vec() };
    rounds.shards[home].ask(Ticket(0), question, rounds.now);
    rounds.shards[home].take_answer();
    rounds.turn(home);
    rounds.now = rounds.now.plus(3);
    rounds.turn(1 - home);
    let delivery = |rounds: &Rounds, shard: usize| {
        let snapshot = rounds.shards[shard].counters().delivery.snapshot();
        (snapshot.count(), snapshot.sum_us())
    };
    assert_eq!((delivery(&rounds, home), delivery(&rounds, 1 - home)), ((1, 0), (1, 3_000)));
    rounds.stuck.clear();
    rounds.pass_ms(1_000);
    rounds.shards[1 - home].unblock(listeners[2].client);
    rounds.go_round();
    assert_eq!(rounds.written(listeners[2]), b"\x81\x02hi");
    assert_eq!(delivery(&rounds, 1 - home), (1, 3_000), "who did not read has waited for itself");
}
