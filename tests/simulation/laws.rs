//! What must hold, whatever happens: who said what and who heard what, and what follows from the one for the other.
//!
//! Nothing here knows how the server works. A client's publications are numbered from 1; whoever hears one checks it
//! at once against everything heard before, and [`Laws::at_rest`] and [`Laws::after_drain`] look at the whole.

use crate::gaps::{Gap, Hearing, Losses, Said};
use fanwire::hub::Position;
use fanwire::protocol::Kind;
use std::collections::BTreeMap;

/// A publication: who said it, and its number among what that client said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Publication {
    pub publisher: usize,
    pub number: u32,
}

/// The operator is a publisher of its own in each channel: these and the following numbers, which no client has.
const OPERATOR: usize = 1 << 20;

/// Where a client is; clients of different rooms hear nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// A channel, by its number.
    Channel(usize),
    /// `/echo`, alone with oneself.
    Echo(usize),
    /// A channel in which anything may be said.
    Strangers,
}

/// Letters without a pattern, which a small window cannot follow when they come again.
const NOISE: [u8; 600] = {
    let (mut noise, mut mixed, mut index) = ([0; 600], 1_u32, 0);
    while index < noise.len() {
        mixed = mixed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise[index] = b'a' + (mixed >> 24) as u8 % 26;
        index += 1;
    }
    noise
};

impl Publication {
    /// Every second one is text.
    pub fn kind(self) -> Kind {
        if self.number.is_multiple_of(2) { Kind::Text } else { Kind::Binary }
    }

    /// A payload of about `len` bytes that says what it is, so that a tear shows.
    pub fn payload(self, len: usize) -> Vec<u8> {
        let mut payload = format!("{} {} {len} ", self.publisher, self.number).into_bytes();
        let sort = self.publisher + self.number as usize;
        let pattern =
            if sort.is_multiple_of(5) { &NOISE } else { &b"abcdefghijklmnopqrstuvwxyz"[..7 + sort % 19] };
        while payload.len() < len {
            let part = &pattern[payload.len() % pattern.len()..];
            payload.extend_from_slice(&part[..part.len().min(len - payload.len())]);
        }
        payload
    }

    /// What a message that was heard says it is.
    fn read(kind: Kind, payload: &[u8]) -> Publication {
        let mut words =
            payload.split(|byte| *byte == b' ').map(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let mut word = || words.next().flatten().expect("a publication begins with three numbers");
        let (publisher, number, len) = (word(), word() as u32, word());
        let publication = Publication { publisher, number };
        assert_eq!(payload, publication.payload(len), "{publication:?} arrives as it was sent");
        assert_eq!(kind, publication.kind(), "{publication:?} arrives as it was sent");
        publication
    }
}

/// All that was said and heard.
#[derive(Debug, Default)]
pub struct Laws {
    clients: Vec<Record>,
    /// What an operator has published, by its number as a publisher.
    operators: BTreeMap<usize, Published>,
    rooms: BTreeMap<Room, Order>,
    /// The rooms in which messages are dropped, and who hears all of them.
    witnesses: BTreeMap<Room, usize>,
    pub gaps_announced: u64,
}

/// What an operator has published in one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Published {
    /// How often it has said something.
    said: u32,
    /// The last that got its place, and where that is.
    placed: u32,
    position: Option<Position>,
}

/// How a client wants to hear.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listening {
    pub without_own: bool,
    pub wants_gaps: bool,
    /// What it is sent is not compressed.
    pub is_plain: bool,
}

/// What one client said and heard.
#[derive(Debug)]
struct Record {
    room: Room,
    without_own: bool,
    wants_gaps: bool,
    /// What is heard in a room where messages are dropped, by one who may have lost some.
    loss: Losses,
    /// Where each of its publications ends, in the bytes that it sends.
    ends: Vec<u64>,
    /// Where each begins.
    starts: Vec<u64>,
    /// Bytes that it has handed to its socket.
    bytes_sent: u64,
    /// For each client that was there when it had got its 101: the first publication that it must not miss.
    due: Option<BTreeMap<usize, u32>>,
    /// The last it heard of each.
    last: BTreeMap<usize, u32>,
    heard: Vec<Publication>,
    /// The length of the payload of each of them.
    heard_bytes: Vec<usize>,
}

/// A room's one order, as far as it is known: of two publications that somebody heard one after the other, nobody
/// may hear another one after the first, or before the second.
#[derive(Debug, Default)]
struct Order {
    next: BTreeMap<Publication, Publication>,
    previous: BTreeMap<Publication, Publication>,
}

/// A client as it is when everything has come to rest.
#[derive(Clone, Copy, Debug)]
pub struct AtRest {
    pub client: usize,
    /// It is open and has read all there was.
    pub listens: bool,
    /// The same, of one who read slowly for a time as well.
    pub has_caught_up: bool,
    /// All it ever said was accepted.
    pub was_heard: bool,
}

impl Laws {
    /// A client comes; its number.
    pub fn add(&mut self, room: impl FnOnce(usize) -> Room, listening: Listening) -> usize {
        let Listening { without_own, wants_gaps, is_plain } = listening;
        let number = self.clients.len();
        self.clients.push(Record {
            room: room(number),
            without_own,
            wants_gaps,
            loss: Losses::new(is_plain),
            ends: Vec::new(),
            starts: Vec::new(),
            bytes_sent: 0,
            due: None,
            last: BTreeMap::new(),
            heard: Vec::new(),
            heard_bytes: Vec::new(),
        });
        number
    }

    /// A client's next publication.
    pub fn next_publication(&self, client: usize) -> Publication {
        Publication { publisher: client, number: self.clients[client].ends.len() as u32 + 1 }
    }

    /// An operator's next publication in a channel, which it says now.
    pub fn next_of_operator(&mut self, channel: usize) -> Publication {
        let publisher = OPERATOR + channel;
        let record = self.operators.entry(publisher).or_default();
        record.said += 1;
        Publication { publisher, number: record.said }
    }

    /// An operator's publication has got its place.
    pub fn operator_published(&mut self, channel: usize, number: u32, position: Position) {
        let record = self.operators.entry(OPERATOR + channel).or_default();
        assert!(record.placed < number, "what is published in order gets its place in order");
        let before = record.position.filter(|before| before.epoch == position.epoch);
        assert!(before.is_none_or(|before| before.offset < position.offset), "and each a later one");
        (record.placed, record.position) = (number, Some(position));
    }

    /// What of an operator's publications has got its place, by its number as a publisher.
    pub fn placed_for_operators(&self) -> impl Iterator<Item = (usize, u32)> {
        self.operators.iter().map(|(publisher, published)| (*publisher, published.placed))
    }

    fn room_of(&self, publisher: usize) -> Room {
        match publisher.checked_sub(OPERATOR) {
            Some(channel) => Room::Channel(channel),
            None => self.clients[publisher].room,
        }
    }

    /// A client's next publication stands at these bytes of what it sends.
    pub fn said(&mut self, client: usize, start: u64, end: u64) {
        self.clients[client].starts.push(start);
        self.clients[client].ends.push(end);
    }

    /// A client handed bytes to its socket.
    pub fn sent(&mut self, client: usize, bytes: usize) {
        self.clients[client].bytes_sent += bytes as u64;
    }

    /// How much a client has handed to its socket.
    pub fn bytes_sent(&self, client: usize) -> u64 {
        self.clients[client].bytes_sent
    }

    /// How many messages a client has heard.
    pub fn heard(&self, client: usize) -> usize {
        self.clients[client].heard.len()
    }

    /// How many messages a client has heard since it was last told of a gap.
    pub fn heard_since_gap(&self, client: usize) -> usize {
        let Record { heard, loss, .. } = &self.clients[client];
        heard.len() - loss.heard_before_gap()
    }

    /// How many of a client's publications are within the first `bytes` bytes that it sent.
    pub fn said_within(&self, client: usize, bytes: u64) -> u32 {
        self.clients[client].ends.partition_point(|end| *end <= bytes) as u32
    }

    /// Whether so many bytes of a client end in the middle of a publication.
    pub fn is_within_publication(&self, client: usize, bytes: u64) -> bool {
        let Record { starts, ends, .. } = &self.clients[client];
        starts.iter().zip(ends).any(|(start, end)| *start < bytes && bytes < *end)
    }

    /// A client has got its 101: of what others begin to send from here on it misses nothing.
    pub fn admitted(&mut self, client: usize) {
        let first_unsent =
            |record: &Record| record.starts.partition_point(|start| *start < record.bytes_sent) as u32 + 1;
        let mut due: BTreeMap<usize, u32> = self.clients.iter().map(first_unsent).enumerate().collect();
        due.extend(self.operators.iter().map(|(publisher, published)| (*publisher, published.said + 1)));
        // It is in the channel before it says a word there.
        due.insert(client, 1);
        self.clients[client].due = Some(due);
    }

    /// A room is one in which messages are dropped, and this client hears all of them.
    pub fn testify(&mut self, room: Room, witness: usize) {
        self.witnesses.insert(room, witness);
    }

    /// Whether a client is one that hears all of them.
    pub fn is_witness(&self, client: usize) -> bool {
        self.witnesses.values().any(|witness| *witness == client)
    }

    /// Who hears all of them in a room in which messages are dropped.
    pub fn witness(&self, room: Room) -> Option<usize> {
        self.witnesses.get(&room).copied()
    }

    /// Whether it is a room in which messages are dropped.
    pub fn is_dropping(&self, room: Room) -> bool {
        self.witnesses.contains_key(&room)
    }

    /// A client has heard a message; `was_full`: its socket has been at some time. Returns whether it was no message, but
    /// the notice of a gap.
    pub fn hear(&mut self, client: usize, kind: Kind, payload: &[u8], was_full: bool) -> bool {
        let room = self.clients[client].room;
        if room == Room::Strangers {
            return false;
        }
        let may_lose = was_full && self.is_dropping(room);
        self.clients[client].loss.is_possible |= may_lose;
        if let Some(gap) = Gap::read(kind, payload) {
            let record = &mut self.clients[client];
            assert!(may_lose && record.wants_gaps, "{client} is told of {gap:?}, which it could not have");
            record.loss.announced(record.heard.len(), gap);
            self.gaps_announced += 1;
            return true;
        }
        let publication = Publication::read(kind, payload);
        let Publication { publisher, number } = publication;
        assert_eq!(self.room_of(publisher), room, "{client} hears {publication:?} of its own room");
        let record = &mut self.clients[client];
        assert!(
            !(record.without_own && publisher == client),
            "{client} asked not to hear its own {publication:?}"
        );
        record.heard_bytes.push(payload.len());
        if record.loss.is_possible {
            let last = record.last.insert(publisher, number);
            assert!(last.is_none_or(|last| last < number), "{client} hears {publisher} in order, once");
            record.heard.push(publication);
            return false;
        }
        let first_due = record.due_from(publisher);
        match record.last.insert(publisher, number) {
            Some(last) => {
                assert_eq!(number, last + 1, "{client} hears {publisher} in order, without gap, once");
            }
            None => assert!(
                number <= first_due,
                "{client} misses nothing after its 101: {publication:?} is the first it hears, {first_due} is due"
            ),
        }
        let previous = record.heard.last().copied();
        record.heard.push(publication);
        if !record.without_own
            && let Some(previous) = previous
        {
            let order = self.rooms.entry(room).or_default();
            let next = *order.next.entry(previous).or_insert(publication);
            assert_eq!(publication, next, "{client} hears what others heard after {previous:?}");
            let before = *order.previous.entry(publication).or_insert(previous);
            assert_eq!(previous, before, "{client} hears what others heard before {publication:?}");
        }
        false
    }

    /// Nothing is under way any more: who listened has heard everything.
    pub fn at_rest(&self, clients: &[AtRest]) {
        self.own_gaps();
        let caught_up: Vec<usize> =
            clients.iter().filter(|client| client.has_caught_up).map(|client| client.client).collect();
        self.losses(&caught_up);
        for publisher in clients {
            let record = &self.clients[publisher.client];
            let last = self.last_heard_of(publisher.client);
            if publisher.was_heard {
                let listeners = clients.iter().filter(|listener| {
                    let listener = &self.clients[listener.client];
                    listener.room == record.room
                        && listener.due_from(publisher.client) <= record.ends.len() as u32
                });
                for listener in listeners.filter(|listener| listener.listens) {
                    self.heard_up_to(listener.client, publisher.client, record.ends.len() as u32);
                }
            }
            for listener in clients.iter().filter(|listener| listener.listens) {
                let listening = &self.clients[listener.client];
                let has_begun = listening.last.contains_key(&publisher.client);
                if listening.room == record.room
                    && (has_begun || listening.due_from(publisher.client) <= last)
                {
                    self.heard_up_to(listener.client, publisher.client, last);
                }
            }
        }
    }

    /// The same of an operator's publications: who listens has heard all that got their places.
    pub fn operators_at_rest(&self, clients: &[AtRest]) {
        for (&publisher, published) in &self.operators {
            let last = published.placed.max(self.last_heard_of(publisher));
            assert_eq!(last, published.placed, "what was heard had got its place");
            for listener in clients.iter().filter(|listener| listener.listens) {
                let record = &self.clients[listener.client];
                if record.room == self.room_of(publisher) && record.due_from(publisher) <= last {
                    self.heard_up_to(listener.client, publisher, last);
                }
            }
        }
    }

    /// After a drain: whoever was told goodbye has heard what was `accepted` of each client before it began, and who was
    /// told last has heard what anybody heard.
    pub fn after_drain(&self, told: &[usize], last_told: &[usize], accepted: &BTreeMap<usize, u32>) {
        self.own_gaps();
        self.losses(last_told);
        let clients = self.clients.iter().enumerate().filter(|(_, said)| !said.ends.is_empty());
        let publishers = clients.map(|(publisher, _)| publisher).chain(self.operators.keys().copied());
        for publisher in publishers {
            let last = self.last_heard_of(publisher);
            for &listener in last_told {
                let record = &self.clients[listener];
                let has_begun = record.last.contains_key(&publisher);
                if self.room_of(publisher) == record.room && (has_begun || record.due_from(publisher) <= last)
                {
                    self.heard_up_to(listener, publisher, last);
                }
            }
        }
        for &listener in told {
            for (&publisher, &accepted) in accepted {
                let record = &self.clients[listener];
                if self.room_of(publisher) == record.room && record.due_from(publisher) <= accepted {
                    let heard = record.last.get(&publisher).copied().unwrap_or(0);
                    let may_miss = (record.without_own && listener == publisher) || record.loss.is_possible;
                    assert!(
                        heard >= accepted || may_miss,
                        "{listener} hears all of {publisher} that was accepted before the drain: {heard} of {accepted}"
                    );
                }
            }
        }
    }

    /// Those who did not want their own publications back miss exactly these.
    fn own_gaps(&self) {
        let is_whole = |record: &Record| record.without_own && !record.loss.is_possible;
        for (client, record) in self.clients.iter().enumerate().filter(|(_, record)| is_whole(record)) {
            let Some(order) = self.rooms.get(&record.room) else { continue };
            for pair in record.heard.windows(2) {
                let mut at = pair[0];
                while let Some(&next) = order.next.get(&at)
                    && at != pair[1]
                {
                    assert!(
                        next == pair[1] || next.publisher == client,
                        "{client} misses only its own between {:?} and {:?}, not {next:?}",
                        pair[0],
                        pair[1]
                    );
                    at = next;
                }
            }
        }
    }

    /// Who may have lost messages heard the others in the order of all, and was told of exactly the lost ones, each time
    /// where they are missing. Who is among those that have `caught_up` has heard the newest.
    fn losses(&self, caught_up: &[usize]) {
        // A witness that has left does not know what was said since.
        for (room, &witness) in self.witnesses.iter().filter(|(_, witness)| caught_up.contains(witness)) {
            let witness = &self.clients[witness];
            assert!(!witness.loss.is_possible, "a witness never waits");
            let all: Vec<Said> = witness
                .heard
                .iter()
                .zip(&witness.heard_bytes)
                .map(|(publication, bytes)| Said { publication: *publication, payload_bytes: *bytes })
                .collect();
            for (client, record) in self.clients.iter().enumerate() {
                if record.room != *room || !record.loss.is_possible || record.due.is_none() {
                    continue;
                }
                let is_for_it = |said: &Said| !(record.without_own && said.publication.publisher == client);
                let mut for_it: Vec<Said> = all.clone();
                for_it.retain(is_for_it);
                let hearing = Hearing {
                    client,
                    for_it: &for_it,
                    heard: &record.heard,
                    has_caught_up: caught_up.contains(&client),
                    wants_gaps: record.wants_gaps,
                    without_own: record.without_own,
                };
                record.loss.check(&hearing, |publication| {
                    record.due_from(publication.publisher) <= publication.number
                });
            }
        }
    }

    fn heard_up_to(&self, listener: usize, publisher: usize, number: u32) {
        let record = &self.clients[listener];
        if number > 0 && !(record.without_own && listener == publisher) && !record.loss.is_possible {
            let heard = record.last.get(&publisher).copied().unwrap_or(0);
            assert_eq!(heard, number, "{listener} has heard {publisher} to the end");
        }
    }

    /// The last publication of a client that anybody heard.
    fn last_heard_of(&self, publisher: usize) -> u32 {
        self.clients.iter().filter_map(|record| record.last.get(&publisher)).copied().max().unwrap_or(0)
    }
}

impl Record {
    /// The first publication of `publisher` that this client must not miss.
    fn due_from(&self, publisher: usize) -> u32 {
        match &self.due {
            None => u32::MAX,
            Some(due) => due.get(&publisher).copied().unwrap_or(1),
        }
    }
}
