//! What an operator asks of a shard, and what it answers: see [`Question`]. Who asks all shards puts the answers together.
//!
//! A question is answered from what there is anyway: nothing is kept for it but the [`Farewells`] of those who are to be
//! closed and have not yet been written what there was for them. One about many looks at each of them once, which is a few
//! milliseconds of one turn for 100,000; the answer is bounded by [`limits::ADMIN_PAGE_MAX`].

use super::Shard;
use super::client::Client;
use super::deadlines::Instant;
use super::mail::{
    Answer, Answered, ChannelFacts, ChannelOrder, ClientFacts, ClientOrder, ClientState, HomeFacts, Question,
    Ticket,
};
use super::outbox::View;
use crate::dialect::Dialect;
use crate::hub::{
    Channel, ChannelName, ClientKey, LogPosition, Membership, Origin, Position, Rendering, Standing,
};
use crate::limits;
use crate::protocol::{CloseCode, CloseReason, Kind, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Those who are to be closed by an operator's word.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// What each is told once it has been written so far.
    due: BTreeMap<ClientKey, Farewell>,
    /// When they are told in any case, the earliest first. Who is not due any more is passed over.
    until: VecDeque<(Instant, ClientKey)>,
}

#[derive(Debug)]
struct Farewell {
    /// Where its channel's log ended when it was to be closed.
    end: LogPosition,
    code: CloseCode,
    reason: CloseReason,
}

impl Farewells {
    /// When the next one is told in any case.
    pub(super) fn next(&self) -> Option<Instant> {
        self.until.front().map(|(until, _)| *until)
    }

    /// `key` is gone.
    pub(super) fn forget(&mut self, key: ClientKey) {
        self.due.remove(&key);
        if self.due.is_empty() {
            self.until.clear();
        }
    }
}

impl Shard {
    /// An operator asks. The answer is to be taken with [`take_answer`](Self::take_answer) once this turn's mail is on its
    /// way.
    pub fn ask(&mut self, ticket: Ticket, question: Question, now: Time) {
        let answer = match question {
            Question::Publish { channel, kind, payload } => {
                Answer::Published(self.publish_for_operator(&channel, kind, &payload))
            }
            Question::Channels { prefix, after, limit, order } => {
                let (names, total) = match order {
                    ChannelOrder::Name => self.channels_by_name(&prefix, after.as_deref(), page(limit)),
                    ChannelOrder::Traffic => self.channels_by_traffic(&prefix, page(limit)),
                };
                Answer::Channels { channels: self.facts_of(&names), total }
            }
            Question::These { channels } => {
                let channels = &channels[..page(channels.len())];
                let of_here = |name: &&ChannelName| self.homes.find(name).is_some();
                Answer::Channels {
                    total: channels.iter().filter(of_here).count(),
                    channels: self.facts_of(channels),
                }
            }
            Question::Channel { channel } => Answer::Channel(self.channel_facts(&channel)),
            Question::Clients { channel, after, limit, order } => {
                let (keys, total) = match order {
                    ClientOrder::Id => self.clients_by_id(channel.as_ref(), after, page(limit)),
                    ClientOrder::Slowest => self.clients_by_slowness(channel.as_ref(), page(limit)),
                };
                let clients = keys.into_iter().filter_map(|key| self.client_facts(key, now)).collect();
                Answer::Clients { clients, total }
            }
            Question::Client { client } => Answer::Client(self.client_facts(client, now)),
            Question::Close { client, code, reason } => {
                Answer::Closed(self.close_for_operator(client, code, reason, now))
            }
        };
        self.answers.push_back(Answered { ticket, shard: self.place.id, answer });
    }

    /// The next answer of this turn. Where clients come from only their sockets know: that is left for the caller to fill
    /// in.
    pub fn take_answer(&mut self) -> Option<Answered> {
        self.answers.pop_front()
    }

    /// A message of nobody's gets its place. Not when what is sequenced would not reach everyone any more.
    fn publish_for_operator(
        &mut self,
        channel: &ChannelName,
        kind: Kind,
        payload: &[u8],
    ) -> Option<Position> {
        if !self.drain.lets_publish() {
            return None;
        }
        let home = self.homes.find(channel)?;
        let origin = Origin { shard: self.place.id, client: ClientKey::NOBODY };
        let position = self.publish(home, origin, kind, payload);
        self.counters.operator_publications.add(u64::from(position.is_some()));
        position
    }
}

// ---- Channels -------------------------------------------------------------------------------------------------------

impl Shard {
    /// The first names with this beginning and behind `after`, and how many with this beginning are at home here.
    fn channels_by_name(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<ChannelName>, usize) {
        let is_asked_for = |name: &ChannelName| name.as_str().starts_with(prefix);
        let is_behind = |name: &ChannelName| after.is_none_or(|after| name.as_str() > after);
        // A channel stands here once for each wire form.
        let mut first = Foremost::new(Rendering::COUNT * limit);
        let mut total = 0;
        for (name, _) in self.homes.iter().filter(|(name, _)| is_asked_for(name)) {
            total += 1;
            if is_behind(name) {
                first.offer(name);
            }
        }
        let here = self.place.id;
        let from_elsewhere =
            |channel: &&Channel| channel.home_shard != here && !channel.subscribers().is_empty();
        for channel in self.subscriptions.iter().map(|(_, channel)| channel).filter(from_elsewhere) {
            if is_asked_for(&channel.name) && is_behind(&channel.name) {
                first.offer(&channel.name);
            }
        }
        let mut names: Vec<ChannelName> = first.into_sorted().into_iter().cloned().collect();
        names.dedup();
        names.truncate(limit);
        (names, total)
    }

    /// Those at home here that publish most bytes in a second, and how many with this beginning are.
    fn channels_by_traffic(&self, prefix: &str, limit: usize) -> (Vec<ChannelName>, usize) {
        let mut first = Foremost::new(limit);
        let mut total = 0;
        for (name, standing) in self.homes.iter().filter(|(name, _)| name.as_str().starts_with(prefix)) {
            total += 1;
            // To the thousandth: floating-point numbers have no order of their own.
            let thousandths = |rate: f64| (rate * 1000.0) as u64;
            let Standing { bytes_per_second, messages_per_second, .. } = standing;
            let traffic = (thousandths(bytes_per_second), thousandths(messages_per_second));
            first.offer((Reverse(traffic), name));
        }
        (first.into_sorted().into_iter().map(|(_, name)| name.clone()).collect(), total)
    }

    fn facts_of(&self, names: &[ChannelName]) -> Vec<ChannelFacts> {
        names.iter().filter_map(|name| self.channel_facts(name)).collect()
    }

    /// What is known of a channel, if anyone here listens to it or it is at home here.
    fn channel_facts(&self, name: &ChannelName) -> Option<ChannelFacts> {
        let far_bytes = self.place.config.limits.outbox_bytes_max as u64 / 2;
        let (mut subscribers, mut behind, mut retained_bytes) = (0, 0, 0);
        for channel in self.renderings_of(name) {
            subscribers += channel.subscribers().len() as u64;
            behind += channel.log.behind(far_bytes);
            retained_bytes += channel.log.retained();
        }
        let home = self.homes.standing(name).map(|standing| {
            let Standing { position, messages_per_second, bytes_per_second } = standing;
            HomeFacts { position, messages_per_second, bytes_per_second }
        });
        let channel = name.clone();
        (subscribers > 0 || home.is_some()).then_some(ChannelFacts {
            channel,
            subscribers,
            behind,
            retained_bytes,
            home,
        })
    }

    /// A channel here, in each wire form that it is open in.
    fn renderings_of(&self, name: &ChannelName) -> impl Iterator<Item = &Channel> {
        Rendering::ALL
            .into_iter()
            .filter_map(|rendering| self.subscriptions.get(self.subscriptions.find(name, rendering)?))
    }
}

// ---- Clients --------------------------------------------------------------------------------------------------------

impl Shard {
    /// The first clients behind `after`, in the order of their keys, and how many there are in all.
    fn clients_by_id(
        &self,
        channel: Option<&ChannelName>,
        after: Option<ClientKey>,
        limit: usize,
    ) -> (Vec<ClientKey>, usize) {
        let is_behind = |key: &ClientKey| after.is_none_or(|after| *key > after);
        let Some(name) = channel else {
            let keys = self.clients.iter().map(|(key, _)| key).filter(is_behind).take(limit);
            return (keys.collect(), self.clients.len());
        };
        let mut first = Foremost::new(limit);
        let mut total = 0;
        for channel in self.renderings_of(name) {
            total += channel.subscribers().len();
            channel.subscribers().iter().copied().filter(is_behind).for_each(|key| first.offer(key));
        }
        (first.into_sorted(), total)
    }

    /// Those with most bytes queued, and how many there are in all.
    fn clients_by_slowness(&self, channel: Option<&ChannelName>, limit: usize) -> (Vec<ClientKey>, usize) {
        let mut first = Foremost::new(limit);
        let mut total = 0;
        let mut offer = |key: ClientKey, client: &Client| {
            total += 1;
            first.offer((Reverse(self.queued_bytes(key, client)), key));
        };
        match channel {
            None => self.clients.iter().for_each(|(key, client)| offer(key, client)),
            Some(name) => {
                let subscribers = self.renderings_of(name).flat_map(Channel::subscribers);
                subscribers
                    .filter_map(|key| Some((*key, self.clients.get(*key)?)))
                    .for_each(|(key, client)| offer(key, client));
            }
        }
        (first.into_sorted().into_iter().map(|(_, key)| key).collect(), total)
    }

    /// What is known of a client, if it is there.
    fn client_facts(&self, key: ClientKey, now: Time) -> Option<ClientFacts> {
        let client = self.clients.get(key)?;
        let channel =
            client.membership.and_then(|Membership { channel, .. }| self.subscriptions.get(channel));
        let (is_open, is_over) = (client.connection.is_open(), client.connection.is_over());
        Some(ClientFacts {
            id: self.name(key),
            address: None,
            channel: channel.map(|channel| channel.name.clone()),
            state: match (is_open, is_over) {
                (true, _) => ClientState::Open,
                (false, true) => ClientState::Closing,
                (false, false) => ClientState::Handshake,
            },
            age_ms: u64::from(now.since(client.accepted)),
            queued_bytes: self.queued_bytes(key, client),
            rtt_ms: client.connection.rtt_ms(),
            may_publish: is_open && client.dialect == Dialect::Relay,
            user: None,
        })
    }

    /// Bytes that a client has still to be written.
    fn queued_bytes(&self, key: ClientKey, client: &Client) -> u64 {
        client.outbox.own_bytes() as u64 + self.view(key, client).map_or(0, View::lag)
    }

    /// Sees to it that a client is closed once it has been written what there is for it. Whether it is there and open. The
    /// first word counts.
    fn close_for_operator(
        &mut self,
        key: ClientKey,
        code: CloseCode,
        reason: CloseReason,
        now: Time,
    ) -> bool {
        let Some(client) =
            self.clients.get(key).filter(|client| client.connection.is_open() && !client.dying)
        else {
            return false;
        };
        let end = self.view(key, client).map_or(LogPosition::default(), |view| view.log.end());
        if self.farewells.due.contains_key(&key) {
            return true;
        }
        tracing::info!(client = %self.name(key), code = code.number(), reason = reason.as_str(), "closed by an operator");
        self.counters.operator_closes.add(1);
        self.farewells.due.insert(key, Farewell { end, code, reason });
        let until = self.deadlines.instant(now).plus(self.limits.close_timeout_ms);
        self.farewells.until.push_back((until, key));
        self.say_due_farewell(key, now);
        true
    }

    /// Closes a client that an operator wants closed, if it has been written all there was for it then.
    pub(super) fn say_due_farewell(&mut self, key: ClientKey, now: Time) {
        let Some(Farewell { end, .. }) = self.farewells.due.get(&key) else { return };
        let Some(client) = self.clients.get(key) else { return };
        let is_written = client.membership.is_none_or(|membership| membership.cursor >= *end);
        if client.connection.is_over() || (is_written && client.outbox.own_bytes() == 0) {
            self.say_farewell(key, now);
        }
    }

    fn say_farewell(&mut self, key: ClientKey, now: Time) {
        if let Some(Farewell { code, reason, .. }) = self.farewells.due.remove(&key) {
            self.close(key, code, &reason, now);
        }
        self.farewells.forget(key);
    }

    /// Closes those who have not taken in time what there was for them.
    pub(super) fn say_late_farewells(&mut self, now: Time) {
        for _ in 0..limits::EXPIRIES_PER_TURN_MAX {
            match self.farewells.until.front() {
                Some(&(until, key)) if until <= self.deadlines.now() => {
                    self.farewells.until.pop_front();
                    self.say_farewell(key, now);
                }
                _ => break,
            }
        }
    }
}

/// How many an answer may have.
fn page(limit: usize) -> usize {
    limit.min(limits::ADMIN_PAGE_MAX)
}

/// The first of those that are offered, in their order; no more of them are kept.
#[derive(Debug)]
struct Foremost<T> {
    limit: usize,
    kept: BinaryHeap<T>,
}

impl<T: Ord> Foremost<T> {
    fn new(limit: usize) -> Foremost<T> {
        Foremost { limit, kept: BinaryHeap::new() }
    }

    fn offer(&mut self, one: T) {
        if self.kept.len() < self.limit {
            self.kept.push(one);
        } else if let Some(mut last) = self.kept.peek_mut()
            && one < *last
        {
            *last = one;
        }
    }

    fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::hub::{HashSeed, ShardId, home_of};
    use crate::metrics::Counters;
    use crate::shard::{Place, Slices};
    use std::sync::Arc;

    /// Shards in lockstep: each has its turn, and the mail is there in the next round.
    struct Rounds {
        shards: Vec<Shard>,
        now: Time,
        /// Clients that take nothing.
        stuck: Vec<Origin>,
        /// What each client was written.
        written: BTreeMap<(ShardId, ClientKey), Vec<u8>>,
    }

    const SEED: HashSeed = HashSeed(1, 2);

    impl Rounds {
        fn new(shards: usize) -> Rounds {
            Rounds::with(shards, Config { echo: true, ..Config::default() })
        }

        fn with(shards: usize, config: Config) -> Rounds {
            let config = Arc::new(config);
            let shard = |id| {
                let place = Place { id: ShardId(id as u16), shards, seed: SEED, config: config.clone() };
                Shard::new(place, Arc::new(Counters::default()), Time(0))
            };
            let shards = (0..shards).map(shard).collect();
            Rounds { shards, now: Time(0), stuck: Vec::new(), written: BTreeMap::new() }
        }

        /// A client whose request is for `path`.
        fn join(&mut self, shard: usize, path: &str) -> Origin {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            );
            let client = self.shards[shard].connect(self.now);
            self.shards[shard].receive(client, &mut request.into_bytes(), false, usize::MAX, self.now);
            self.go_round();
            self.written.clear();
            Origin { shard: ShardId(shard as u16), client }
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
                let is_stuck = self.stuck.contains(&Origin { shard: id, client: key });
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
            let Answer::Published(position) = self.ask(home, question) else {
                panic!("it is published or not")
            };
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
            after: Option<Origin>,
            limit: usize,
            order: ClientOrder,
        ) -> (Vec<Origin>, usize) {
            let (channel, after) = (channel.map(name), after.map(|after| after.client));
            let Answer::Clients { clients, total } =
                self.ask(0, Question::Clients { channel, after, limit, order })
            else {
                panic!("clients are what was asked for")
            };
            (clients.into_iter().map(|facts| facts.id).collect(), total)
        }

        fn client(&mut self, id: Origin) -> Option<ClientFacts> {
            let question = Question::Client { client: id.client };
            let Answer::Client(facts) = self.ask(usize::from(id.shard.0), question) else {
                panic!("a client is what was asked for")
            };
            facts
        }

        fn close(&mut self, id: Origin) -> bool {
            let (code, reason) = (CloseCode::POLICY_VIOLATION, CloseReason::new("enough"));
            let question = Question::Close { client: id.client, code, reason };
            let Answer::Closed(is_closed) = self.ask(usize::from(id.shard.0), question) else {
                panic!("closing is what was asked for")
            };
            is_closed
        }

        /// `id` says a frame with this first byte and so many zeros.
        fn say(&mut self, id: Origin, first: u8, bytes: usize) {
            let mut frame =
                [&[first, 0x80 | 126][..], &(bytes as u16).to_be_bytes(), &vec![0; 4 + bytes]].concat();
            let shard = &mut self.shards[usize::from(id.shard.0)];
            shard.receive(id.client, &mut frame, false, usize::MAX, self.now);
            self.go_round();
        }

        fn written(&self, id: Origin) -> &[u8] {
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
        let listeners: Vec<Origin> = (0..3).map(|shard| rounds.join(shard, "/ws/a")).collect();
        let first = rounds.publish("a", "one").expect("somebody listens");
        rounds.say(listeners[0], 0x82, 200);
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
        let counts =
            [1 - home, home].map(|shard| rounds.channel(shard, "a").expect("it is there").subscribers);
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
        let answers: Vec<_> =
            (0..3).map(|shard| rounds.channels(shard, "room-", Some("room-11"), 7)).collect();
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
        (0..10).for_each(|_| drop(rounds.publish("a", "0123456789")));
        rounds.pass_ms(5_000);
        assert_eq!(rounds.channel(1 - home, "a").expect("one listens").home, None);
        let facts = rounds.channel(home, "a").expect("it is at home here");
        let HomeFacts { position, messages_per_second, bytes_per_second } =
            facts.home.expect("it is at home here");
        assert_eq!((facts.subscribers, position.offset), (0, 10));
        assert_eq!((messages_per_second, bytes_per_second), (2.0, 20.0));
    }

    #[test]
    fn channels_with_most_traffic_are_told_by_their_homes_and_those_who_listen_elsewhere_when_asked_for_these()
     {
        let mut rounds = Rounds::new(2);
        let names: Vec<String> = (0..)
            .map(|number| format!("r{number}"))
            .filter(|one| home_of(&name(one), 2, SEED) == 0)
            .take(4)
            .collect();
        for (number, name) in names.iter().enumerate() {
            rounds.join(1, &format!("/ws/{name}"));
            (0..number).for_each(|_| drop(rounds.publish(name, "hi")));
        }
        let busiest = rounds.channels_in(ChannelOrder::Traffic, 0, "r", None, 2);
        assert_eq!(busiest, (vec![names[3].clone(), names[2].clone()], 4));
        assert_eq!(rounds.channels_in(ChannelOrder::Traffic, 1, "r", None, 2), (Vec::new(), 0));
        let channels = busiest.0.iter().map(|one| name(one)).chain([name("nowhere")]).collect();
        let Answer::Channels { channels, total } = rounds.ask(1, Question::These { channels }) else {
            panic!("channels are what was asked for")
        };
        assert_eq!(
            (channels.iter().map(|facts| facts.subscribers).collect::<Vec<_>>(), total),
            (vec![1, 1], 0)
        );
    }

    #[test]
    fn who_is_far_behind_is_counted_with_what_is_kept_for_it() {
        let mut config = Config::default();
        config.limits.outbox_bytes_max = 100_000;
        config.limits.message_bytes_max = 45_000;
        let mut rounds = Rounds::with(1, config);
        let [reader, stuck] = [(); 2].map(|()| rounds.join(0, "/ws/a"));
        rounds.stuck.push(stuck);
        rounds.say(reader, 0x82, 40_000);
        let facts = |rounds: &mut Rounds| {
            let ChannelFacts { behind, retained_bytes, .. } = rounds.channel(0, "a").expect("it is there");
            (behind, retained_bytes)
        };
        assert_eq!(facts(&mut rounds), (0, 40_004));
        rounds.say(reader, 0x82, 40_000);
        assert_eq!(facts(&mut rounds), (0, 80_008), "the first message may have been written in part");
        rounds.say(reader, 0x82, 15_000);
        assert_eq!(facts(&mut rounds), (1, 95_012));
        assert_eq!(rounds.client(stuck).expect("it is there").queued_bytes, 95_012);
        assert_eq!(rounds.shards[0].gauge().queued_bytes, 95_012);
        let counters = rounds.shards[0].counters();
        assert_eq!([&counters.log_bytes, &counters.clients_blocked].map(|cell| cell.get()), [95_012, 1]);
    }

    // ---- Clients ----------------------------------------------------------------------------------------------------

    #[test]
    fn clients_are_listed_by_id_from_behind_one_in_all_or_in_a_channel() {
        let mut rounds = Rounds::new(1);
        let ids: Vec<Origin> = (0..6).map(|number| rounds.join(0, ["/ws/a", "/ws/b"][number % 2])).collect();
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
        let ids: Vec<Origin> = (0..4).map(|_| rounds.join(0, "/ws/a")).collect();
        rounds.stuck.push(ids[2]);
        rounds.say(ids[0], 0x82, 1_000);
        rounds.stuck.push(ids[1]);
        rounds.say(ids[0], 0x82, 1_000);
        let slowest = ClientOrder::Slowest;
        assert_eq!(rounds.clients(None, None, 3, slowest), (vec![ids[2], ids[1], ids[0]], 4));
        assert_eq!(rounds.clients(Some("a"), None, 1, slowest), (vec![ids[2]], 4));
    }

    #[test]
    fn a_client_is_known_from_its_first_moment_to_its_last() {
        let mut rounds = Rounds::new(1);
        rounds.now = Time(u32::MAX);
        let id = Origin { shard: ShardId(0), client: rounds.shards[0].connect(Time(u32::MAX)) };
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
        assert_eq!(rounds.client(Origin { client: ClientKey::NOBODY, ..id }), None);
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
        rounds.say(reader, 0x82, 200);
        assert!(rounds.close(slow));
        assert!(rounds.close(slow), "it is open still, and the first word counts");
        assert_eq!(rounds.client(slow).expect("it is there").state, ClientState::Open);
        assert_eq!(rounds.written(slow), b"");
        rounds.stuck.clear();
        rounds.shards[0].unblock(slow.client);
        rounds.go_round();
        assert_eq!(
            rounds.written(slow),
            [b"\x81\x03one\x82\x7e\x00\xc8".as_slice(), &[0; 200], CLOSE].concat()
        );
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
    fn who_is_gone_before_its_close_is_forgotten() {
        let mut rounds = Rounds::new(1);
        let slow = rounds.join(0, "/ws/a");
        rounds.stuck.push(slow);
        rounds.publish("a", "one");
        rounds.close(slow);
        rounds.shards[0].lose(slow.client, rounds.now);
        assert_eq!(rounds.shards[0].next_dead(), Some(slow.client));
        rounds.shards[0].forget(slow.client);
        assert!(rounds.shards[0].farewells.due.is_empty() && rounds.shards[0].farewells.until.is_empty());
        assert!(!rounds.close(slow), "there is nobody");
        let closes = &rounds.shards[0].counters().closes;
        assert_eq!(closes.iter().find(|(_, count)| *count > 0), Some(("1006", 1)));
    }

    #[test]
    fn in_its_handshake_nobody_can_be_closed() {
        let mut rounds = Rounds::new(1);
        let id = Origin { shard: ShardId(0), client: rounds.shards[0].connect(Time(0)) };
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
}
