//! [`Crowd`]: the good clients, on one thread with an event loop, and the judge of what they hear.

use crate::course::{Course, Stage};
use crate::laws::{Broken, Laws, Publication, Publisher};
use crate::member::{Character, Ending, Heard, Member, Progress, Shared, Temper};
use crate::random::Random;
use crate::verdict::Verdict;
use crate::wire::Destination;
use fanwire::protocol::Time;
use mio::{Events, Poll, Token};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Good clients for each room.
const MEMBERS_PER_ROOM: usize = 25;

/// Rooms in which messages are as large as they may be. Bad clients stall in them.
pub(crate) const LOUD_ROOMS: usize = 2;

/// Milliseconds between looks at what is due.
const LOOK_MS: u64 = 20;

/// Opening handshakes at a time.
const OPENING_MAX: usize = 32;

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 16;

/// Bytes that a client takes at a time which reads in sips.
const SIP_BYTES: usize = 4 << 10;

/// Looks at the server's log, of which there are ten a second, within which it says why it let go of somebody. In the
/// farewell nobody looks, and milliseconds count.
const SUSPENSE_LOOKS: u64 = 20;
const SUSPENSE_MS: u64 = 2_000;

/// Milliseconds within which all that is under way arrives, however busy the machine is.
const REST_MS: u64 = 40_000;

/// The good clients.
pub(crate) struct Crowd<'c> {
    course: &'c Course,
    destination: Destination,
    random: Random,
    poll: Poll,
    shared: Shared,
    laws: Laws,
    rooms: usize,
    places: Vec<Place>,
    /// Places whose connection has not been read to the end.
    unread: Vec<usize>,
    next_publisher: Publisher,
    /// Messages to publish a second, over all.
    rate: u32,
    /// Endings that want of memory may excuse: the server's log says so a little later perhaps.
    suspects: Vec<Suspect>,
    said: u64,
    heard: u64,
    heard_bytes: u64,
    /// Thousandths of messages that the rate allows.
    allowance: i64,
    looked_ms: u64,
    forgot_ms: u64,
    loud_ms: u64,
    heard_ms: u64,
    stage: Stage,
    stage_since_ms: u64,
}

/// An ending that want of memory may excuse.
struct Suspect {
    ended_ms: u64,
    ended_at_look: u64,
    verdict: Verdict,
    how: String,
}

/// The place of a good client.
struct Place {
    character: Character,
    member: Option<Member>,
    /// When it comes, if it is not there.
    comes_ms: u64,
    has_been_here: bool,
}

impl<'c> Crowd<'c> {
    /// So many good clients, who publish so many messages a second.
    ///
    /// # Errors
    /// If the system refuses what polling needs.
    pub(crate) fn new(
        course: &'c Course,
        destination: Destination,
        count: usize,
        rate: u32,
        mut random: Random,
    ) -> io::Result<Crowd<'c>> {
        let rooms = (count / MEMBERS_PER_ROOM).max(LOUD_ROOMS);
        let places = (0..count.max(3 * rooms)).map(|place| Place {
            character: Character::new(place, rooms, &mut random),
            member: None,
            comes_ms: 0,
            has_been_here: false,
        });
        Ok(Crowd {
            course,
            destination,
            poll: Poll::new()?,
            shared: Shared::new(),
            laws: Laws::new(rooms),
            rooms,
            places: places.collect(),
            random,
            unread: Vec::new(),
            next_publisher: 1,
            rate,
            suspects: Vec::new(),
            said: 0,
            heard: 0,
            heard_bytes: 0,
            allowance: 0,
            looked_ms: 0,
            forgot_ms: 0,
            loud_ms: 0,
            heard_ms: 0,
            stage: Stage::Chaos,
            stage_since_ms: 0,
        })
    }

    pub(crate) fn rooms(&self) -> usize {
        self.rooms
    }

    /// Runs until the course is over.
    ///
    /// # Errors
    /// If the system refuses to poll.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut turned_ms = self.course.now_ms();
        loop {
            let now_ms = self.course.now_ms();
            self.course.note_pause(now_ms - turned_ms);
            turned_ms = now_ms;
            let stage = self.course.stage();
            if stage == Stage::Over {
                break;
            }
            if stage != self.stage {
                (self.stage, self.stage_since_ms) = (stage, self.course.now_ms());
            }
            let sleep = if self.unread.is_empty() { Duration::from_millis(10) } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(sleep)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.course.note_pause(self.course.now_ms() - turned_ms);
            let result = self.turn(&events);
            if let Err(broken) = result {
                self.course.break_off("order and completeness", broken);
            }
        }
        self.course.add("published: messages", self.said);
        self.course.add("published: deliveries checked", self.heard);
        self.course.add("published: bytes delivered", self.heard_bytes);
        self.course.add("published: still remembered by the laws", self.laws.remembered() as u64);
        Ok(())
    }

    fn turn(&mut self, events: &Events) -> Result<(), Broken> {
        let unread = std::mem::take(&mut self.unread);
        for event in events {
            let index = event.token().0;
            if event.is_writable()
                && let Some(member) = &mut self.places[index].member
            {
                member.flush();
            }
            self.read(index)?;
        }
        for index in unread {
            self.read(index)?;
        }
        let now_ms = self.course.now_ms();
        if now_ms >= self.looked_ms + LOOK_MS {
            self.look(now_ms, now_ms - self.looked_ms)?;
            self.looked_ms = now_ms;
        }
        Ok(())
    }

    // ---- Reading ----------------------------------------------------------------------------------------------------

    fn read(&mut self, index: usize) -> Result<(), Broken> {
        let now_ms = self.course.now_ms();
        let Crowd { places, laws, shared, course, heard, heard_bytes, heard_ms, stage, .. } = self;
        let place = &mut places[index];
        let Character { temper, room, .. } = place.character;
        let Some(member) = &mut place.member else { return Ok(()) };
        if member.resumes_ms > now_ms && *stage == Stage::Chaos {
            return Ok(());
        }
        let is_sipping = temper == Temper::Sipping && *stage == Stage::Chaos;
        let (bytes_max, reads) = if is_sipping { (SIP_BYTES, 1) } else { (usize::MAX, READS_PER_TURN) };
        let is_first_clerk = temper == Temper::Clerk && !place.has_been_here;
        for _ in 0..reads {
            let progress = member.read(bytes_max, Time(now_ms as u32), shared, |listener, event| {
                match event {
                    Heard::Admitted => {
                        *listener =
                            Some(if is_first_clerk { laws.admit_clerk(room) } else { laws.admit(room) });
                        course.count(format!("good: {}", temper.name()));
                    }
                    Heard::Message(message) => {
                        *heard += 1;
                        *heard_ms = now_ms;
                        *heard_bytes += message.payload.len() as u64;
                        let publication = Publication::read(message.kind, &message.payload)?;
                        let listener = listener.as_mut().expect("messages follow the 101");
                        laws.hear(listener, publication)?;
                    }
                }
                Ok::<(), Broken>(())
            })?;
            match progress {
                Progress::Drained => return Ok(()),
                Progress::More => {}
                Progress::Ended(ending) => {
                    self.end(index, ending);
                    return Ok(());
                }
            }
        }
        // A sip is taken at the next look, all else at once.
        if !is_sipping {
            self.unread.push(index);
        }
        Ok(())
    }

    /// A connection has ended: whether it may have.
    fn end(&mut self, index: usize, ending: Ending) {
        let now_ms = self.course.now_ms();
        let place = &mut self.places[index];
        let Some(member) = place.member.take() else { return };
        let Character { temper, room, .. } = place.character;
        let is_proper = matches!(ending, Ending::Left);
        self.laws.depart(room, member.publisher, is_proper, now_ms);
        place.comes_ms = now_ms + self.random.within(0..=2_000) as u64;
        let what = match &ending {
            Ending::Left => "left, and 1000 was answered".to_owned(),
            Ending::Closed(code, _) => code.to_string(),
            Ending::Refused(status) => format!("HTTP {status}"),
            Ending::Lost(_) => "cut off".to_owned(),
        };
        self.course.count(format!("closes of good clients: {what}"));
        let verdict = Verdict::after_standstill(&ending)
            .filter(|_| self.course.stood_still())
            .unwrap_or_else(|| Verdict::of(&ending, temper, member.listener.is_some(), self.stage));
        if verdict == Verdict::Right {
            return;
        }
        let how = match ending {
            Ending::Closed(code, reason) => format!("{code} {reason}"),
            Ending::Lost(how) => how,
            _ => what,
        };
        let Character { tls, deflate, .. } = &place.character;
        let how = format!(
            "one of room {room} that is {} got {how} (stage {:?}, tls {tls:?}, deflate {}, leaving {})",
            temper.name(),
            self.stage,
            deflate.is_some(),
            member.is_leaving
        );
        if verdict == Verdict::Wrong {
            self.course.break_off("good clients are not closed", how);
        } else {
            let ended_at_look = self.course.looks.load(Ordering::SeqCst);
            self.suspects.push(Suspect { ended_ms: now_ms, ended_at_look, verdict, how });
        }
    }

    // ---- What is due ------------------------------------------------------------------------------------------------

    fn look(&mut self, now_ms: u64, passed_ms: u64) -> Result<(), Broken> {
        self.expire(now_ms)?;
        self.judge_suspects(now_ms);
        match self.stage {
            Stage::Chaos => {
                self.come(now_ms);
                self.go(now_ms);
                self.speak(now_ms, passed_ms);
            }
            Stage::Quiet => {
                self.come(now_ms);
                self.settle(now_ms)?;
            }
            Stage::Farewell => {
                let are_all_told = self.places.iter().all(|place| place.member.is_none());
                self.course.crowd_is_settled.store(are_all_told, Ordering::SeqCst);
            }
            Stage::Over => {}
        }
        if now_ms >= self.forgot_ms + 1_000 {
            self.forgot_ms = now_ms;
            for room in 0..self.rooms {
                let places = self.places.iter().filter(|place| place.character.room == room);
                let listeners = places.filter_map(|place| place.member.as_ref()?.listener.as_ref());
                self.laws.forget(room, listeners, now_ms)?;
            }
        }
        let good = self.places.iter().filter(|place| place.member.is_some()).count();
        self.course.good.store(good, Ordering::Relaxed);
        Ok(())
    }

    /// Only want of memory excuses the server.
    fn judge_suspects(&mut self, now_ms: u64) {
        let (course, stage) = (self.course, self.stage);
        let looks = course.looks.load(Ordering::SeqCst);
        self.suspects.retain(|Suspect { ended_ms, ended_at_look, verdict, how }| {
            let is_due = match stage {
                Stage::Farewell => now_ms > ended_ms + SUSPENSE_MS,
                _ => looks > ended_at_look + SUSPENSE_LOOKS,
            };
            let excuse = match verdict {
                Verdict::RightIfShed => course.was_shed(),
                _ => course.was_short_of_memory(),
            };
            if is_due && !excuse {
                course.break_off("good clients are not closed while there is memory", how);
            }
            !is_due
        });
    }

    /// Ends handshakes that take too long, and reads those that wait to be read again.
    fn expire(&mut self, now_ms: u64) -> Result<(), Broken> {
        for index in 0..self.places.len() {
            let Place { character, member: Some(member), .. } = &mut self.places[index] else { continue };
            if let Some(ending) = member.handle_timeout(Time(now_ms as u32)) {
                self.end(index, ending);
            } else if character.temper.may_be_slow() {
                self.read(index)?;
            }
        }
        Ok(())
    }

    /// Lets those come whose time it is. All clerks come before anybody speaks.
    fn come(&mut self, now_ms: u64) {
        let mut opening = self.places.iter().filter(|place| is_opening(place)).count();
        for index in 0..self.places.len() {
            let Place { character, member, comes_ms, .. } = &self.places[index];
            if opening >= OPENING_MAX {
                return;
            }
            if member.is_some() || *comes_ms > now_ms {
                continue;
            }
            let route = self.destination.route(character.tls, &mut self.random);
            let character = character.clone();
            let opened = Member::open(
                &character,
                &route,
                self.next_publisher,
                &self.shared,
                &mut self.random,
                Time(now_ms as u32),
                (self.poll.registry(), Token(index)),
            );
            match opened {
                Ok(mut member) => {
                    opening += 1;
                    self.next_publisher += 1;
                    member.leaves_ms = now_ms.saturating_add(character.temper.stay_ms(&mut self.random));
                    self.places[index].member = Some(member);
                }
                Err(error) => {
                    self.course.break_off("good clients get in", error);
                    return;
                }
            }
        }
    }

    /// Lets those go whose time it is, properly or by a reset; some stop reading for a while.
    fn go(&mut self, now_ms: u64) {
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            let Some(member) = &mut place.member else { continue };
            if !member.is_open() || member.is_leaving {
                continue;
            }
            place.has_been_here = true;
            let stalls = place.character.temper == Temper::Stalling && member.resumes_ms < now_ms;
            if member.leaves_ms <= now_ms {
                if self.random.chance(75) {
                    member.leave(Time(now_ms as u32));
                } else if let Some(member) = place.member.take() {
                    place.comes_ms = now_ms + self.random.within(0..=2_000) as u64;
                    self.laws.depart(place.character.room, member.publisher, false, now_ms);
                    self.course.count("closes of good clients: reset by the client");
                    member.reset();
                }
            } else if stalls && self.random.below(500) == 0 {
                member.resumes_ms = now_ms + self.random.within(500..=6_000) as u64;
            }
        }
    }

    /// Publishes what the rate allows.
    fn speak(&mut self, now_ms: u64, passed_ms: u64) {
        let are_clerks_here = self.places[..2 * self.rooms].iter().all(|place| place.has_been_here);
        if !are_clerks_here {
            return;
        }
        // What a starved thread could not say it need not make up for.
        self.allowance += i64::from(self.rate) * i64::from(passed_ms.min(500) as u32);
        while self.allowance >= 1000 {
            let index = self.random.below(self.places.len());
            let burst = if self.random.chance(2) { 20 } else { 1 };
            self.allowance -= 1000 * burst;
            for _ in 0..burst {
                let len = match self.random.below(1000) {
                    0..2 => self.random.within(20_000..=70_000),
                    2..50 => self.random.within(1_000..=8_000),
                    _ => self.random.within(0..=400),
                };
                self.say(index, len);
            }
        }
        if now_ms >= self.loud_ms + 1_000 {
            self.loud_ms = now_ms;
            let room = self.random.below(LOUD_ROOMS);
            let layer = self.random.below(self.places.len() / self.rooms);
            let len = self.random.within(40_000..=100_000);
            self.say(room + layer * self.rooms, len);
        }
    }

    fn say(&mut self, index: usize, len: usize) {
        let place = &mut self.places[index];
        if let Some(member) = &mut place.member
            && member.can_speak()
            && member.listener.is_some()
        {
            let publication = self.laws.say(place.character.room, member.publisher);
            member.say(publication, &publication.payload(len), &mut self.shared, &mut self.random);
            self.said += 1;
        }
    }

    /// In quiet: looks whether everybody is there and has heard everything.
    fn settle(&mut self, now_ms: u64) -> Result<(), Broken> {
        if self.course.crowd_is_settled.load(Ordering::SeqCst) || self.course.stage() != self.stage {
            return Ok(());
        }
        let is_late = now_ms > self.stage_since_ms + REST_MS;
        let is_there = |place: &Place| place.member.as_ref().is_some_and(Member::is_open);
        let is_complete = self.places.iter().all(is_there);
        let is_silent = now_ms > self.heard_ms.max(self.stage_since_ms) + 1_500;
        let may_judge = is_late || (is_complete && is_silent);
        if !may_judge {
            return Ok(());
        }
        let Crowd { places, laws, .. } = self;
        let mut listeners = places.iter_mut().filter_map(|place| place.member.as_mut()?.listener.as_mut());
        let at_rest =
            listeners.try_for_each(|listener| laws.at_rest(listener)).and_then(|()| laws.all_heard());
        match at_rest {
            Ok(()) if is_complete => {
                self.course.count("rests: everybody was there and had heard everything");
                self.course.crowd_is_settled.store(true, Ordering::SeqCst);
                Ok(())
            }
            Ok(()) if is_late => Err("good clients do not get in".to_owned()),
            Err(broken) if is_late => Err(broken),
            // A busy machine may take longer.
            _ => Ok(()),
        }
    }
}

/// Whether a client is on its way in.
fn is_opening(place: &Place) -> bool {
    place.member.as_ref().is_some_and(|member| member.listener.is_none())
}
