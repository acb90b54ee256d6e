//! The clients of the simulation: how they behave, well or badly. Whatever they do, what they see of the server is
//! the client role of the same protocol core, and the [`Laws`].
//! (The file is long because what a client does next depends on all that it has done.)

use crate::deflate::{Compressor, Deflates, Scrutiny, append_compressed};
use crate::laws::{Laws, Listening, Publication, Room};
use crate::random::Random;
use crate::wire::{Side, Wire};
use fanwire::limits::Limits;
use fanwire::protocol::{
    ClientRequest, CloseCode, CloseReason, Closure, Connection, Event, Inflater, Kind, MaskingKey, Opcode,
    Time, append_frame,
};
use std::sync::Arc;

/// What a client does with its side of the protocol.
#[derive(Clone, Debug)]
pub struct Habits {
    pub room: Room,
    pub without_own: bool,
    /// It asks to be told of what it loses.
    pub wants_gaps: bool,
    pub reads: Reads,
    /// How likely it is to say something when it acts.
    pub talks_percent: usize,
    pub publications_max: u32,
    pub payload_bytes_max: usize,
    /// It says its first words before it knows whether it is let in.
    pub is_hasty: bool,
    /// After so many acts it closes properly.
    pub leaves_after: Option<u32>,
    /// After so many acts its connection is lost.
    pub breaks_after: Option<u32>,
    /// After so many acts it does nothing any more.
    pub dies_after: Option<u32>,
    /// How it compresses, if it offers to.
    pub deflates: Option<Deflates>,
    /// What it does to the server once it has been let in, or instead of asking.
    pub attack: Option<Attack>,
}

impl Habits {
    /// Reads everything in the first channel, and says nothing by itself.
    pub fn quiet() -> Habits {
        Habits {
            room: Room::Channel(0),
            without_own: false,
            wants_gaps: false,
            reads: Reads::All,
            talks_percent: 0,
            publications_max: u32::MAX,
            payload_bytes_max: 1024,
            is_hasty: false,
            leaves_after: None,
            breaks_after: None,
            dies_after: None,
            deflates: None,
            attack: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// What there is.
    All,
    /// A few bytes at a time.
    Little,
    /// A few bytes at a time, and after so many acts nothing more.
    LittleUntil(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A request head that is none.
    GarbageRequest,
    /// A request head that does not end.
    StalledRequest,
    /// The end of its side in the middle of the request.
    HalfRequest,
    /// A frame with a reserved opcode, then garbage.
    ReservedOpcode,
    /// A frame without a mask, then garbage.
    Unmasked,
    /// A frame that is announced larger than any may be.
    TooBig,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A compressed message that comes to more than any may.
    Bomb,
    /// What is no compressed message.
    NotDeflate,
    /// A frame that does not end.
    StalledFrame,
    /// The end of its side in the middle of a frame.
    HalfFrame,
    /// Pings, as many as there is room for, and no answer is read.
    PingFlood,
    /// No answer to a Close frame, and no end.
    NoGoodbye,
    /// Bytes of chance, or of a fuzzer's choice, for frames.
    AnyFrames,
    /// Such bytes instead of the request, and behind it.
    AnyRequest,
}

impl Attack {
    /// Those that may happen in a channel: what they say is never a message.
    pub const IN_CHANNELS: [Attack; 13] = [
        Attack::GarbageRequest,
        Attack::StalledRequest,
        Attack::HalfRequest,
        Attack::ReservedOpcode,
        Attack::Unmasked,
        Attack::TooBig,
        Attack::NotUtf8,
        Attack::Bomb,
        Attack::NotDeflate,
        Attack::StalledFrame,
        Attack::HalfFrame,
        Attack::PingFlood,
        Attack::NoGoodbye,
    ];

    fn comes_before_the_request(self) -> bool {
        matches!(
            self,
            Attack::GarbageRequest | Attack::StalledRequest | Attack::HalfRequest | Attack::AnyRequest
        )
    }
}

/// How much a client does in one act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Something, as chance has it.
    Chance,
    /// All that is there to be read, answered and written, but nothing new.
    Catching,
}

/// One client.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what has happened to it and what it has done are independent"
)]
pub struct Client {
    pub number: usize,
    /// Where its wire leads, and its number there.
    pub shard: usize,
    pub wire: usize,
    pub habits: Habits,
    connection: Connection,
    compressor: Option<Box<Compressor>>,
    inflater: Inflater,
    /// Of what the server has sent, if compression was agreed to.
    scrutiny: Option<Box<Scrutiny>>,
    /// Not yet handed to the socket.
    out: Vec<u8>,
    acts: u32,
    /// It has got its 101.
    pub is_in: bool,
    /// How its connection ended, as it saw it.
    pub closure: Option<Closure>,
    /// When it began to close, if it was the first.
    pub left_ms: Option<u64>,
    /// When it connected.
    pub came_ms: u64,
    has_attacked: bool,
    /// It read only a little for a time.
    was_slow: bool,
    /// Its connection was lost, by chance and not by the server's doing.
    pub has_broken: bool,
    /// In the middle of what the network lost it, if it was the network and in the middle of something.
    pub cut_within: Option<&'static str>,
    /// Bytes of its request.
    request_bytes: u64,
    /// When an operator has wanted it closed.
    pub sent_away_ms: Option<u64>,
    /// It does nothing any more.
    pub is_gone: bool,
}

impl Client {
    pub fn new(
        habits: Habits,
        target: String,
        place: (usize, usize),
        now_ms: u64,
        laws: &mut Laws,
        random: &mut Random,
    ) -> Client {
        let (habits_room, habits_deflates) = (habits.room, habits.deflates);
        let listening = Listening {
            without_own: habits.without_own,
            wants_gaps: habits.wants_gaps,
            is_plain: habits.deflates.is_none(),
        };
        let number = laws.add(
            |number| if let Room::Echo(_) = habits_room { Room::Echo(number) } else { habits_room },
            listening,
        );
        let mut out = Vec::new();
        let mut seed = [0; 32];
        seed.fill_with_random(random);
        let limits = Limits { message_bytes_max: 1 << 24, ..Limits::default() };
        let mut request = ClientRequest::new("simulation", target).expect("a good request");
        if let Some(Deflates { offer, .. }) = habits.deflates {
            request = request.with_deflate(offer);
        }
        let connection = Connection::client(Arc::new(limits), request, seed, Time(now_ms as u32), &mut out);
        Client {
            number,
            shard: place.0,
            wire: place.1,
            habits,
            connection,
            compressor: habits_deflates.map(|deflates| Box::new(Compressor::new(deflates.level))),
            inflater: Inflater::new(),
            scrutiny: None,
            request_bytes: out.len() as u64,
            out,
            acts: 0,
            is_in: false,
            closure: None,
            left_ms: None,
            came_ms: now_ms,
            has_attacked: false,
            was_slow: false,
            has_broken: false,
            cut_within: None,
            sent_away_ms: None,
            is_gone: false,
        }
    }

    /// The path and query that lead to a room. Strangers cannot guess the `secret` in the names of the others' channels.
    pub fn target(habits: &Habits, secret: u64) -> String {
        let query = match (habits.without_own, habits.wants_gaps) {
            (false, false) => "",
            (true, false) => "?echo=off",
            (false, true) => "?gaps=on",
            (true, true) => "?echo=off&gaps=on",
        };
        match habits.room {
            Room::Echo(_) => "/echo".to_owned(),
            Room::Strangers => "/ws/strangers".to_owned(),
            Room::Channel(channel) => format!("/ws/room-{channel}-{secret}{query}"),
        }
    }

    /// It keeps to the protocol, reads what there is, and answers: the server has no reason to be rid of it.
    pub fn is_good(&self) -> bool {
        let Habits { reads, attack, .. } = self.habits;
        reads == Reads::All && !self.was_slow && attack.is_none() && !self.has_broken && !self.is_dead()
    }

    /// It is in and has read what there is, if everything has come to rest.
    pub fn has_caught_up(&self) -> bool {
        let Habits { reads, attack, .. } = self.habits;
        self.is_open() && reads == Reads::All && attack.is_none() && !self.has_broken && !self.is_dead()
    }

    /// It is in, and nobody has said goodbye.
    pub fn is_open(&self) -> bool {
        self.is_in && self.closure.is_none() && self.left_ms.is_none() && !self.is_gone
    }

    /// Whether the server keeps what it said last, for the next message to refer to.
    pub fn is_remembered(&self) -> bool {
        self.connection.deflate().is_some_and(|agreed| !agreed.client_no_context_takeover)
    }

    /// Everything it wants to say has been handed to its socket.
    pub fn has_said_all(&self) -> bool {
        self.out.is_empty()
    }

    fn is_dead(&self) -> bool {
        self.habits.dies_after.is_some_and(|after| self.acts >= after)
    }

    /// Who still reads a little reads all from here on: there is no end to how long a little can take.
    pub fn hurry(&mut self) {
        if matches!(self.habits.reads, Reads::LittleUntil(acts) if self.acts < acts)
            || self.habits.reads == Reads::Little
        {
            self.habits.reads = Reads::All;
            self.was_slow = true;
        }
    }

    /// Starts the closing handshake.
    pub fn leave(&mut self, now_ms: u64) {
        if self.is_open() {
            self.left_ms = Some(now_ms);
            let now = Time(now_ms as u32);
            self.connection.close(CloseCode::NORMAL, &CloseReason::new("had enough"), now, &mut self.out);
        }
    }

    /// Does something. Returns whether anything came of it.
    pub fn act(
        &mut self,
        pace: Pace,
        wire: &mut Wire,
        now_ms: u64,
        laws: &mut Laws,
        random: &mut Random,
    ) -> bool {
        self.note_cut(wire, laws);
        if self.is_gone || self.is_dead() {
            return false;
        }
        if pace == Pace::Chance {
            self.acts += 1;
            if self.habits.breaks_after.is_some_and(|after| self.acts >= after) {
                wire.reset();
                self.has_broken = true;
                self.is_gone = true;
                return true;
            }
            if self.habits.leaves_after.is_some_and(|after| self.acts >= after) {
                self.leave(now_ms);
            }
        }
        let attacked = self.attack(pace, wire, random);
        let read = self.read(pace, wire, now_ms, laws, random);
        if pace == Pace::Chance && random.chance(self.habits.talks_percent) {
            for _ in 0..random.within(1..=3) {
                self.talk(laws, random);
            }
        }
        let written = self.write(pace, wire, laws, random);
        self.note_cut(wire, laws);
        self.end(wire, now_ms) || attacked || read || written
    }

    /// Takes note that the network has lost the connection.
    fn note_cut(&mut self, wire: &Wire, laws: &Laws) {
        if self.has_broken {
            return;
        }
        let Some(side) = wire.was_cut else { return };
        self.has_broken = true;
        let sent = laws.bytes_sent(self.number);
        let tap = &wire.watch.tap;
        self.cut_within = match side {
            Side::Up if sent < self.request_bytes => Some("cut_within_a_request"),
            Side::Up if laws.is_within_publication(self.number, sent) => Some("cut_within_a_clients_frame"),
            Side::Down if tap.is_within_response() => Some("cut_within_a_response"),
            Side::Down if tap.is_within_frame() => Some("cut_within_a_servers_frame"),
            _ => None,
        };
    }

    fn read(
        &mut self,
        pace: Pace,
        wire: &mut Wire,
        now_ms: u64,
        laws: &mut Laws,
        random: &mut Random,
    ) -> bool {
        let max = match (self.habits.reads, pace) {
            (Reads::LittleUntil(acts), _) if self.acts >= acts => 0,
            (Reads::All, Pace::Catching) => usize::MAX,
            (Reads::All, Pace::Chance) if random.chance(70) => usize::MAX,
            (Reads::All, Pace::Chance) => random.within(1..=300),
            (Reads::Little | Reads::LittleUntil(_), _) => random.within(0..=30),
        };
        let mut bytes = wire.receive(max);
        let now = Time(now_ms as u32);
        assert!(
            bytes.is_empty() || !matches!(self.closure, Some(Closure::Agreed(..))),
            "nothing follows a Close frame"
        );
        let mut input = &mut bytes[..];
        if let Some(scrutiny) = &mut self.scrutiny {
            scrutiny.look_at(input);
        }
        while let Some(event) =
            self.connection.next_event_inflating(&mut input, now, &mut self.inflater, &mut self.out)
        {
            match event {
                Event::Accepted(agreement) => {
                    self.is_in = true;
                    laws.admitted(self.number);
                    if let (Some(deflates), Some(agreed)) = (self.habits.deflates, agreement.deflate) {
                        let mut scrutiny = Scrutiny::new(agreed, deflates.server_bytes_min);
                        scrutiny.look_at(input);
                        self.scrutiny = Some(Box::new(scrutiny));
                    }
                }
                Event::Message(message) => {
                    let is_notice = laws.hear(self.number, message.kind, &message.payload, wire.was_full);
                    if let Some(scrutiny) = &mut self.scrutiny {
                        scrutiny.heard(&message, is_notice);
                    }
                }
                Event::Closed(closure) => {
                    let is_agreed = matches!(closure, Closure::Agreed(..));
                    assert!(!is_agreed || input.is_empty(), "nothing follows a Close frame");
                    self.closure = Some(closure);
                }
                Event::Requested(_) => unreachable!("only in the server role"),
            }
        }
        !bytes.is_empty()
    }

    fn talk(&mut self, laws: &mut Laws, random: &mut Random) {
        let publication = laws.next_publication(self.number);
        let may_talk =
            self.connection.is_open() || (self.habits.is_hasty && self.closure.is_none() && !self.is_in);
        // A hasty word must not get between an attack's bytes.
        if !may_talk || self.has_attacked || publication.number > self.habits.publications_max {
            return;
        }
        let payload_bytes = random.below(self.habits.payload_bytes_max);
        self.say(publication, payload_bytes, laws, random);
    }

    /// Says something of about this many bytes, now.
    pub fn say_next(&mut self, payload_bytes: usize, laws: &mut Laws, random: &mut Random) {
        self.say(laws.next_publication(self.number), payload_bytes, laws, random);
    }

    fn say(&mut self, publication: Publication, payload_bytes: usize, laws: &mut Laws, random: &mut Random) {
        let start = laws.bytes_sent(self.number) + self.out.len() as u64;
        let (kind, payload) = (publication.kind(), publication.payload(payload_bytes));
        let key = MaskingKey(random.next().to_ne_bytes()[..4].try_into().expect("four bytes"));
        let trusts = self.habits.deflates.is_some_and(|deflates| deflates.trusts);
        match (&mut self.compressor, self.connection.deflate()) {
            (Some(compressor), None) if trusts && !self.connection.is_open() => {
                let compressed = compressor.compress_alone(&payload);
                append_compressed(kind, &compressed, compressed.len(), key, &mut self.out);
            }
            _ if !self.connection.is_open() => {
                append_frame(true, kind.into(), Some(key), &payload, &mut self.out);
            }
            _ if random.chance(20) => {
                let fragments = payload.chunks(random.within(1..=200).max(payload.len() / 5));
                self.connection.send_fragments(kind, fragments, &mut self.out);
            }
            (Some(compressor), Some(agreed)) if agreed.client_no_context_takeover && random.chance(70) => {
                compressor.send(&mut self.connection, kind, &payload, &mut self.out);
            }
            (Some(compressor), Some(agreed)) => {
                let compressed = compressor.compress(agreed, &payload);
                let is_whole = random.chance(70);
                let fragment_bytes = if is_whole { compressed.len() } else { random.within(1..=40) };
                append_compressed(kind, &compressed, fragment_bytes, key, &mut self.out);
            }
            _ => _ = self.connection.send(kind, &payload, &mut self.out),
        }
        laws.said(self.number, start, laws.bytes_sent(self.number) + self.out.len() as u64);
    }

    fn write(&mut self, pace: Pace, wire: &mut Wire, laws: &mut Laws, random: &mut Random) -> bool {
        let offered = match pace {
            Pace::Chance if random.chance(40) => random.below(self.out.len() + 1),
            _ => self.out.len(),
        };
        let sent = wire.send(&self.out[..offered]);
        self.out.drain(..sent);
        laws.sent(self.number, sent);
        sent > 0
    }

    /// Draws the conclusions from how the connection stands. Returns whether there were any.
    fn end(&mut self, wire: &mut Wire, now_ms: u64) -> bool {
        if self.habits.attack == Some(Attack::NoGoodbye) && self.closure.is_some() {
            self.out.clear();
            return false;
        }
        if wire.is_at_end() || wire.is_broken {
            if self.closure.is_none() {
                self.connection.receive_eof(Time(now_ms as u32));
                self.closure = Some(Closure::Lost);
            }
            wire.finish();
            self.is_gone = true;
            return true;
        }
        if self.closure.is_some() && self.out.is_empty() {
            wire.finish();
        }
        false
    }

    /// Commits the attack once its hour has come.
    fn attack(&mut self, pace: Pace, wire: &mut Wire, random: &mut Random) -> bool {
        let Some(attack) = self.habits.attack else { return false };
        if self.closure.is_some() || !(self.is_in || attack.comes_before_the_request()) {
            return false;
        }
        if attack == Attack::PingFlood {
            while pace == Pace::Chance && self.out.len() < 1 << 10 {
                let key = Some(MaskingKey([1, 2, 3, 4]));
                append_frame(true, Opcode::Ping, key, &[b'p'; 120], &mut self.out);
            }
            self.has_attacked = true;
            return false;
        }
        if matches!(attack, Attack::AnyFrames | Attack::AnyRequest) {
            if attack == Attack::AnyRequest && !self.has_attacked {
                self.out.clear();
            }
            if pace == Pace::Chance && self.out.len() < 1 << 10 {
                let len = random.below(30);
                self.out.append(&mut random.bytes(len));
            }
            self.has_attacked = true;
            return false;
        }
        if self.has_attacked {
            return false;
        }
        self.has_attacked = true;
        let mut garbage: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        match attack {
            Attack::GarbageRequest => {
                self.out.clear();
                self.out.extend(b"GET /ws HTTP/1.1\r\n\0: ");
                self.out.append(&mut garbage);
                self.out.extend(b"\r\n\r\n");
            }
            Attack::StalledRequest => self.out.truncate(random.below(60)),
            Attack::HalfRequest => {
                let half = random.below(60);
                wire.send(&self.out[..half]);
                self.out.clear();
                wire.finish();
            }
            Attack::ReservedOpcode => self.out.extend([0x83, 0x80, 1, 2, 3, 4]),
            Attack::Unmasked => self.out.extend([0x81, 0x01, b'x']),
            Attack::TooBig => self.out.extend([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]),
            Attack::NotUtf8 => self.out.extend([0x81, 0x82, 0, 0, 0, 0, 0xc0, 0xaf]),
            Attack::Bomb => {
                let bomb = Compressor::new(1).compress_alone(&vec![0; 100_000]);
                append_compressed(Kind::Binary, &bomb, bomb.len(), MaskingKey([1, 2, 3, 4]), &mut self.out);
            }
            Attack::NotDeflate => self.out.extend([0xc2, 0x81, 0, 0, 0, 0, 0x07]),
            Attack::StalledFrame => self.out.extend([0x82, 0xfe, 0x03, 0xff, 1, 2, 3, 4, b'h', b'a']),
            Attack::HalfFrame => {
                if !self.out.is_empty() {
                    self.has_attacked = false;
                    return false;
                }
                wire.send(&[0x82, 0x85, 1, 2]);
                wire.finish();
            }
            Attack::PingFlood | Attack::NoGoodbye | Attack::AnyFrames | Attack::AnyRequest => {}
        }
        let is_told_at_once = [
            Attack::ReservedOpcode,
            Attack::Unmasked,
            Attack::TooBig,
            Attack::NotUtf8,
            Attack::Bomb,
            Attack::NotDeflate,
        ];
        if is_told_at_once.contains(&attack) {
            self.out.append(&mut garbage);
        }
        true
    }

    /// What the server said when it ended the connection.
    pub fn was_told(&self) -> Option<(CloseCode, &str)> {
        match &self.closure {
            Some(Closure::Agreed(code, reason)) => {
                Some((code.unwrap_or(CloseCode::NO_STATUS), reason.as_str()))
            }
            _ => None,
        }
    }
}

/// Filling a seed from a source of choices.
trait FillWithRandom {
    fn fill_with_random(&mut self, random: &mut Random);
}

impl FillWithRandom for [u8; 32] {
    fn fill_with_random(&mut self, random: &mut Random) {
        for eight in self.chunks_mut(8) {
            eight.copy_from_slice(&random.next().to_ne_bytes());
        }
    }
}
