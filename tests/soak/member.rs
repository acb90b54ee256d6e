//! [`Member`]: a good client: it keeps to the protocol, and the laws hold for it. [`Character`] is what kind of good client.

use crate::laws::{Listener, Publication, Publisher};
use crate::random::Random;
use crate::wire::{Route, Wire};
use fanwire::limits::Limits;
use fanwire::protocol::{
    ClientRequest, ClientWindow, CloseCode, CloseReason, Closure, Compressing, Connection, DeflateOffer,
    Deflater, Event, Inflater, Time, WindowBits,
};
use mio::{Registry, Token};
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// How a good client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Stays from the beginning to the end, and so knows the order.
    Clerk,
    /// Stays for minutes.
    Steady,
    /// Comes and goes.
    Restless,
    /// Does not read for seconds, now and then.
    Stalling,
    /// Reads a little at a time.
    Sipping,
}

impl Temper {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Temper::Clerk => "clerk",
            Temper::Steady => "steady",
            Temper::Restless => "restless",
            Temper::Stalling => "stalling for seconds",
            Temper::Sipping => "reading in sips",
        }
    }

    /// Whether the server may close it as a slow consumer.
    pub(crate) fn may_be_slow(self) -> bool {
        matches!(self, Temper::Stalling | Temper::Sipping)
    }

    /// For how long it stays, in milliseconds.
    pub(crate) fn stay_ms(self, random: &mut Random) -> u64 {
        match self {
            Temper::Clerk => u64::MAX,
            Temper::Steady => random.within(20_000..=240_000) as u64,
            Temper::Restless => random.within(0..=15_000) as u64,
            Temper::Stalling | Temper::Sipping => random.within(10_000..=60_000) as u64,
        }
    }
}

/// What stays the same of a client however often it comes.
#[derive(Clone, Debug)]
pub(crate) struct Character {
    pub(crate) temper: Temper,
    pub(crate) room: usize,
    /// TLS, with which of the configurations.
    pub(crate) tls: Option<usize>,
    pub(crate) deflate: Option<DeflateOffer>,
}

impl Character {
    /// That of the client in the place with this number. The first in each room are its two clerks.
    pub(crate) fn new(place: usize, rooms: usize, random: &mut Random) -> Character {
        let (temper, tls) = match place / rooms {
            0 => (Temper::Clerk, None),
            1 => (Temper::Clerk, Some(0)),
            _ => {
                let temper = match random.below(100) {
                    0..50 => Temper::Steady,
                    50..80 => Temper::Restless,
                    80..92 => Temper::Stalling,
                    _ => Temper::Sipping,
                };
                (temper, random.chance(25).then(|| random.below(2)))
            }
        };
        let deflate = random.chance(50).then(|| {
            let small = WindowBits::new(9);
            random.pick(&[
                DeflateOffer { client_max_window_bits: ClientWindow::Supported, ..DeflateOffer::PLAIN },
                DeflateOffer { client_no_context_takeover: true, ..DeflateOffer::PLAIN },
                DeflateOffer { server_max_window_bits: small, ..DeflateOffer::PLAIN },
            ])
        });
        Character { temper, room: place % rooms, tls, deflate }
    }
}

/// The address of a room.
pub(crate) fn target(room: usize) -> String {
    format!("/ws/room-{room}")
}

/// What members of one thread share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) inflater: Inflater,
    pub(crate) deflater: Deflater,
    pub(crate) buffer: Box<[u8]>,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            limits: Arc::new(Limits {
                message_bytes_max: 1 << 20,
                outbox_bytes_max: 4 << 20,
                handshake_timeout_ms: 30_000,
                ping_interval_ms: 0,
                idle_timeout_ms: 0,
                close_timeout_ms: 30_000,
            }),
            inflater: Inflater::new(),
            deflater: Deflater::new(Compressing { level: 1, bytes_min: 64 }),
            buffer: vec![0; 64 << 10].into(),
        }
    }
}

/// A good client's connection.
#[derive(Debug)]
pub(crate) struct Member {
    wire: Wire,
    connection: Connection,
    pub(crate) publisher: Publisher,
    /// Its place in the room's order, since its 101.
    pub(crate) listener: Option<Listener>,
    /// When it leaves.
    pub(crate) leaves_ms: u64,
    /// When it reads again.
    pub(crate) resumes_ms: u64,
    /// It has begun the closing handshake.
    pub(crate) is_leaving: bool,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is nothing more for now.
    Drained,
    /// There may be more.
    More,
    Ended(Ending),
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As its client wished.
    Left,
    /// By the server, with this code and reason.
    Closed(u16, String),
    /// By an answer other than 101.
    Refused(u16),
    /// In another way.
    Lost(String),
}

/// What a member hears.
pub(crate) enum Heard<'m> {
    Admitted,
    Message(&'m fanwire::protocol::Message<'m>),
}

impl Member {
    /// Begins to connect.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(
        character: &Character,
        route: &Route,
        publisher: Publisher,
        shared: &Shared,
        random: &mut Random,
        now: Time,
        (registry, token): (&Registry, Token),
    ) -> io::Result<Member> {
        let mut wire = Wire::open(route, registry, token)?;
        let request = ClientRequest::new("localhost", target(character.room)).expect("a request");
        let request = match character.deflate {
            Some(offer) => request.with_deflate(offer),
            None => request,
        };
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next().to_le_bytes()));
        let mut out = Vec::new();
        let connection = Connection::client(shared.limits.clone(), request, seed, now, &mut out);
        wire.write(&out)?;
        Ok(Member {
            wire,
            connection,
            publisher,
            listener: None,
            leaves_ms: u64::MAX,
            resumes_ms: 0,
            is_leaving: false,
        })
    }

    /// Whether it may publish.
    pub(crate) fn can_speak(&self) -> bool {
        self.connection.is_open() && !self.is_leaving && !self.wire.is_blocked()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Publishes. If the connection is broken, reading tells.
    pub(crate) fn say(
        &mut self,
        publication: Publication,
        payload: &[u8],
        shared: &mut Shared,
        random: &mut Random,
    ) {
        let mut out = Vec::new();
        if random.chance(10) {
            let cut = random.below(payload.len() + 1);
            let (head, tail) = payload.split_at(cut);
            self.connection.send_fragments(publication.kind(), [head, b"", tail], &mut out);
        } else {
            self.connection.send_deflated(publication.kind(), payload, &mut shared.deflater, &mut out);
        }
        self.write(&out);
    }

    /// Begins the closing handshake.
    pub(crate) fn leave(&mut self, now: Time) {
        self.is_leaving = true;
        self.resumes_ms = 0;
        let mut out = Vec::new();
        self.connection.close(CloseCode::NORMAL, &CloseReason::none(), now, &mut out);
        self.write(&out);
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        self.wire.reset();
    }

    fn write(&mut self, bytes: &[u8]) {
        // Reading tells that a connection is broken, after all that came before.
        let _ = self.wire.write(bytes);
    }

    /// The socket may take more.
    pub(crate) fn flush(&mut self) {
        // As above.
        let _ = self.wire.flush();
    }

    /// Reads once, at most `bytes_max`, and tells what it hears.
    ///
    /// # Errors
    /// The law that `hear` finds broken.
    pub(crate) fn read<E>(
        &mut self,
        bytes_max: usize,
        now: Time,
        shared: &mut Shared,
        mut hear: impl FnMut(&mut Option<Listener>, Heard<'_>) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let bytes_max = bytes_max.min(shared.buffer.len());
        let count = match self.wire.read(&mut shared.buffer[..bytes_max]) {
            Ok(0) => return Ok(Progress::Ended(self.end(now, None))),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Drained),
            Err(error) => return Ok(Progress::Ended(self.end(now, Some(&error)))),
        };
        let mut input = &mut shared.buffer[..count];
        let mut out = Vec::new();
        let mut ending = None;
        while let Some(event) =
            self.connection.next_event_inflating(&mut input, now, &mut shared.inflater, &mut out)
        {
            match event {
                Event::Accepted(_) => hear(&mut self.listener, Heard::Admitted)?,
                Event::Message(message) => hear(&mut self.listener, Heard::Message(&message))?,
                Event::Closed(closure) => ending = Some(self.ending(closure)),
                Event::Requested(_) => unreachable!("a client is not asked"),
            }
        }
        if !out.is_empty() {
            self.write(&out);
        }
        Ok(ending.map_or(Progress::More, |ending| {
            self.wire.shutdown_write();
            Progress::Ended(ending)
        }))
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<Ending> {
        let mut out = Vec::new();
        match self.connection.handle_timeout(now, &mut out) {
            Some(Event::Closed(closure)) => Some(self.ending(closure)),
            _ => None,
        }
    }

    fn end(&mut self, now: Time, error: Option<&io::Error>) -> Ending {
        match (error, self.connection.receive_eof(now)) {
            (Some(error), _) => Ending::Lost(error.to_string()),
            (None, Some(Event::Closed(closure))) => self.ending(closure),
            (None, _) => Ending::Lost("it ended".to_owned()),
        }
    }

    fn ending(&self, closure: Closure) -> Ending {
        match closure {
            Closure::Agreed(code, _) if self.is_leaving && code == Some(CloseCode::NORMAL) => Ending::Left,
            Closure::Agreed(code, reason) => {
                let code = code.unwrap_or(CloseCode::NO_STATUS);
                Ending::Closed(code.number(), reason.as_str().escape_debug().to_string())
            }
            Closure::Responded(status) => Ending::Refused(status.number()),
            closure => Ending::Lost(format!("{closure:?}")),
        }
    }
}
