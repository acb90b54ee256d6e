//! [`Mob`]: the bad clients, on one thread with an event loop. Each plays its [`Script`]; now and then many come at once who hold
//! as much memory as they can.

use crate::attacks::Arsenal;
use crate::course::{Course, Stage};
use crate::ear::Ear;
use crate::random::Random;
use crate::script::{Script, Step, Tls};
use crate::wire::{Destination, Wire};
use mio::{Events, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Milliseconds between looks at who has something to do.
const LOOK_MS: u64 = 10;

/// Milliseconds from one surge to the next, within which those of one come, and after which each begins to hoard.
const SURGE_EVERY_MS: u64 = 45_000;
const SURGE_MS: usize = 2_000;
const SURGE_WAIT_MS: u64 = 2_500;

/// When the first surge comes: within the warm-up, which is to be like all that follows.
const SURGE_FIRST_MS: u64 = 1_000;

/// Bad clients that come in a surge: with half a message each they would hold more than budget and
/// allowance together.
pub(crate) const SURGE: usize = 720;

/// Writes of one flood before the others have their turn.
const WRITES_PER_TURN: u32 = 16;

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 8;

/// The bad clients.
pub(crate) struct Mob<'c> {
    course: &'c Course,
    destination: Destination,
    arsenal: Arsenal,
    random: Random,
    poll: Poll,
    places: Vec<Option<Villain>>,
    /// Bad clients there shall be, outside of surges.
    count: usize,
    /// Thousandths of clients that may come, by the rate.
    allowance: usize,
    looked_ms: u64,
    surge_ms: u64,
    surge_left: usize,
    buffer: Box<[u8]>,
}

/// A bad client.
struct Villain {
    name: &'static str,
    wire: Wire,
    script: Script,
    ear: Ear,
    /// The server has said something.
    has_heard: bool,
    reads: bool,
    /// When its next step is due.
    next_ms: u64,
    ends_ms: u64,
}

impl<'c> Mob<'c> {
    /// So many bad clients at a time.
    ///
    /// # Errors
    /// If the system refuses what polling needs.
    pub(crate) fn new(
        course: &'c Course,
        destination: Destination,
        count: usize,
        rooms: usize,
        random: Random,
    ) -> io::Result<Mob<'c>> {
        Ok(Mob {
            course,
            arsenal: Arsenal::new(destination.configs.clone(), rooms),
            destination,
            random,
            poll: Poll::new()?,
            places: (0..count + SURGE).map(|_| None).collect(),
            count,
            allowance: 0,
            looked_ms: 0,
            surge_ms: SURGE_FIRST_MS,
            surge_left: 0,
            buffer: vec![0; 64 << 10].into(),
        })
    }

    /// Runs until the course is over.
    ///
    /// # Errors
    /// If the system refuses to poll.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while self.course.stage() != Stage::Over {
            match self.poll.poll(&mut events, Some(Duration::from_millis(LOOK_MS))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                self.play(event.token().0);
            }
            let now_ms = self.course.now_ms();
            if now_ms >= self.looked_ms + LOOK_MS {
                let passed_ms = now_ms - self.looked_ms;
                self.looked_ms = now_ms;
                if self.course.stage() == Stage::Chaos {
                    self.come(now_ms, passed_ms);
                } else {
                    self.scatter();
                }
                for index in 0..self.places.len() {
                    self.play(index);
                }
                let bad = self.places.iter().flatten().count();
                self.course.bad.store(bad, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// All go, half of them by a reset.
    fn scatter(&mut self) {
        for villain in self.places.iter_mut().filter_map(Option::take) {
            if self.random.chance(50) {
                villain.wire.reset();
            }
        }
    }

    /// Lets some come: an eighth of them in a second, at most.
    fn come(&mut self, now_ms: u64, passed_ms: u64) {
        let passed_ms = passed_ms.min(200) as usize;
        self.allowance = (self.allowance + self.count * passed_ms / 8).min(50_000);
        let bad = self.places.iter().flatten().count();
        if now_ms >= self.surge_ms {
            self.surge_left = SURGE;
            self.surge_ms = now_ms + SURGE_EVERY_MS;
            self.course.count("rests: surges of clients that hoard");
        }
        let surge_now = (SURGE * passed_ms).div_ceil(SURGE_MS);
        for _ in 0..surge_now.min(self.surge_left) {
            self.surge_left -= 1;
            let script = Arsenal::draw_hoard(SURGE_WAIT_MS, &mut self.random);
            self.open("half a message, held, in a surge", script, now_ms);
        }
        for _ in bad..self.count {
            if self.allowance < 1000 {
                return;
            }
            self.allowance -= 1000;
            let (name, script) = self.arsenal.draw(&mut self.random);
            self.open(name, script, now_ms);
        }
    }

    fn open(&mut self, name: &'static str, script: Script, now_ms: u64) {
        let Some(index) = self.places.iter().position(Option::is_none) else { return };
        let tls = match script.tls {
            Tls::Either => self.random.chance(20).then(|| self.random.below(self.destination.configs.len())),
            Tls::None | Tls::Ignored => None,
            Tls::Spoken => Some(0),
        };
        let mut route = self.destination.route(tls, &mut self.random);
        if script.tls == Tls::Ignored {
            route.address = self.destination.tls;
        }
        route.receive_buffer = script.has_small_buffer.then_some(2048);
        match Wire::open(&route, self.poll.registry(), Token(index)) {
            Ok(wire) => {
                self.course.count(format!("bad: {name}"));
                let ends_ms = now_ms + script.life_ms;
                let ear = Ear::default();
                self.places[index] = Some(Villain {
                    name,
                    wire,
                    script,
                    ear,
                    has_heard: false,
                    reads: true,
                    next_ms: now_ms,
                    ends_ms,
                });
            }
            Err(error) => self.course.count(format!("bad: could not connect: {error}")),
        }
    }

    /// Reads what there is, and does what is due.
    fn play(&mut self, index: usize) {
        let Some(villain) = &mut self.places[index] else { return };
        let now_ms = self.course.now_ms();
        let end = match villain.listen(&mut self.buffer) {
            Err(broken) => {
                self.course
                    .break_off("the server keeps to the protocol", format!("{}: {broken}", villain.name));
                return;
            }
            Ok(end) => end.or_else(|| villain.act(now_ms)),
        };
        let end = match end {
            None if now_ms >= villain.ends_ms => "left by the client",
            None => return,
            Some(end) => end,
        };
        let Some(villain) = self.places[index].take() else { return };
        let said = match (villain.ear.status, villain.ear.close) {
            (_, Some(code)) => format!("close code {code}"),
            (Some(status), None) if status != 101 => format!("HTTP {status}"),
            _ => end.to_owned(),
        };
        self.course.count(format!("ends of bad clients: {said}"));
        if end == "reset by the client" || self.random.chance(30) {
            villain.wire.reset();
        }
    }
}

impl Villain {
    /// Reads what the server says: how the connection ended, if it has.
    ///
    /// # Errors
    /// If the server may not say so.
    fn listen(&mut self, buffer: &mut [u8]) -> Result<Option<&'static str>, String> {
        for _ in 0..if self.reads { READS_PER_TURN } else { 0 } {
            match self.wire.read(buffer) {
                Ok(0) => return Ok(Some("ended by the server without a word")),
                Ok(_) if self.script.is_deaf => self.has_heard = true,
                Ok(count) => self.ear.hear(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Ok(Some("reset by the server, or TLS failed")),
            }
        }
        Ok(None)
    }

    /// Does the steps that are due: how the connection ended, if it has.
    fn act(&mut self, now_ms: u64) -> Option<&'static str> {
        const BROKEN: Option<&str> = Some("reset by the server, or TLS failed");
        if self.wire.flush().is_err() {
            return BROKEN;
        }
        while now_ms >= self.next_ms && !self.wire.is_blocked() {
            let steps = &mut self.script.steps;
            let is_done = match steps.front_mut()? {
                Step::Say(bytes) => {
                    let bytes = std::mem::take(bytes);
                    if self.wire.write(&bytes).is_err() {
                        return BROKEN;
                    }
                    true
                }
                Step::SayRaw(bytes) => {
                    self.wire.write_raw(bytes);
                    true
                }
                Step::Drip(bytes, every_ms) => {
                    self.next_ms = now_ms + *every_ms;
                    let byte = bytes.pop_front();
                    if let Some(byte) = byte
                        && self.wire.write(&[byte]).is_err()
                    {
                        return BROKEN;
                    }
                    byte.is_none()
                }
                Step::Flood(bytes, times) => {
                    for _ in 0..WRITES_PER_TURN.min(*times) {
                        if self.wire.is_blocked() {
                            break;
                        }
                        *times -= 1;
                        if self.wire.write(bytes).is_err() {
                            return BROKEN;
                        }
                    }
                    self.next_ms = now_ms + 1;
                    *times == 0
                }
                Step::AwaitAnswer => {
                    let has_come = self.ear.status.is_some() || self.has_heard;
                    if !has_come {
                        return None;
                    }
                    true
                }
                Step::Wait(ms) => {
                    self.next_ms = now_ms + *ms;
                    true
                }
                Step::StopReading => {
                    self.reads = false;
                    true
                }
                Step::EndOwn => {
                    self.wire.shutdown_write();
                    true
                }
                Step::Reset => return Some("reset by the client"),
            };
            if is_done {
                self.script.steps.pop_front();
            }
        }
        None
    }
}
