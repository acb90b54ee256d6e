//! [`Laws`]: what good clients must hear, whatever happens around them: in each room one order of all publications,
//! without a gap from the `101` of whoever hears it to its leaving.
//!
//! They know nothing of the server, and remember only what somebody may still have to hear, so that a run can last for
//! days. Each room has *clerks*, listeners that are there from the beginning to the end. What a clerk hears, or anybody
//! else whose place in the order is known, is the order. Who has come later has no place until it hears something that
//! the order has; what it has heard before that waits, and is compared then.

use std::collections::{HashMap, VecDeque};

/// Publications that a room's order keeps although everybody has heard them: whoever is let in just now may begin with one
/// of them.
const KEPT: usize = 8192;

/// Publications that somebody may hear before the order knows them.
const PENDING_MAX: usize = 1 << 16;

/// Who publishes: a number that no other connection of the run has.
pub(crate) type Publisher = u32;

/// A publication: who said it, and its number among what that connection said, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) publisher: Publisher,
    pub(crate) number: u32,
}

/// How a law was broken.
pub(crate) type Broken = String;

/// All rooms of a run.
#[derive(Debug)]
pub(crate) struct Laws {
    rooms: Vec<Room>,
    /// A clock that ticks with each thing that is said or heard; it orders sendings and admissions.
    moment: u64,
}

/// One room's order, as far as it is known and may still matter.
#[derive(Debug, Default)]
struct Room {
    /// How many are forgotten: the position before that of the first of `order`.
    forgotten: u64,
    order: VecDeque<Entry>,
    publishers: HashMap<Publisher, Voice>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    publication: Publication,
    /// When it was handed to its publisher's socket.
    said: u64,
}

/// What one connection has published.
#[derive(Debug)]
struct Voice {
    /// When each of its publications was said that the order does not know yet. Invariant: the first of them has the number
    /// `heard + 1`.
    unheard: VecDeque<u64>,
    heard: u32,
    departure: Departure,
}

/// How a publisher left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Departure {
    Here,
    /// By a closing handshake: what it said before must be heard.
    Proper {
        since_ms: u64,
    },
    /// By a reset, or closed for its slowness: what it said last may be lost.
    Abrupt {
        since_ms: u64,
    },
}

/// Milliseconds after which nothing of somebody who left can still be under way.
const AFTERMATH_MS: u64 = 60_000;

/// Where one connection stands in its room's order.
#[derive(Debug)]
pub(crate) struct Listener {
    room: usize,
    /// The position of what it heard last; none before it has a place.
    at: Option<u64>,
    /// What it heard beyond what the order knows.
    pending: VecDeque<Publication>,
    /// When it was admitted.
    admitted: u64,
    /// The order's end at that time.
    known: u64,
}

impl Laws {
    pub(crate) fn new(rooms: usize) -> Laws {
        Laws { rooms: (0..rooms).map(|_| Room::default()).collect(), moment: 0 }
    }

    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// A connection has its 101 from a room where nothing was said yet: it has its place.
    pub(crate) fn admit_clerk(&mut self, room: usize) -> Listener {
        let listener = self.admit(room);
        Listener { at: Some(listener.known), ..listener }
    }

    /// A connection has its 101. Of what is said from here on it misses nothing.
    pub(crate) fn admit(&mut self, room: usize) -> Listener {
        let (admitted, known) = (self.tick(), self.rooms[room].end());
        Listener { room, at: None, pending: VecDeque::new(), admitted, known }
    }

    /// A connection hands its next publication to its socket.
    pub(crate) fn say(&mut self, room: usize, publisher: Publisher) -> Publication {
        let moment = self.tick();
        let new = || Voice { unheard: VecDeque::new(), heard: 0, departure: Departure::Here };
        let voice = self.rooms[room].publishers.entry(publisher).or_insert_with(new);
        voice.unheard.push_back(moment);
        Publication { publisher, number: voice.heard + voice.unheard.len() as u32 }
    }

    /// A connection has left.
    pub(crate) fn depart(&mut self, room: usize, publisher: Publisher, properly: bool, now_ms: u64) {
        if let Some(voice) = self.rooms[room].publishers.get_mut(&publisher) {
            let since_ms = now_ms;
            voice.departure =
                if properly { Departure::Proper { since_ms } } else { Departure::Abrupt { since_ms } };
        }
    }

    /// A connection hears a publication.
    pub(crate) fn hear(&mut self, listener: &mut Listener, heard: Publication) -> Result<(), Broken> {
        self.tick();
        listener.pending.push_back(heard);
        self.compare(listener)?;
        if listener.pending.len() > PENDING_MAX {
            return Err(format!("{listener} heard {} messages that no clerk hears", listener.pending.len()));
        }
        Ok(())
    }

    /// Compares what a connection has heard with the order, as far as that is known.
    fn compare(&mut self, listener: &mut Listener) -> Result<(), Broken> {
        let room = &mut self.rooms[listener.room];
        while let Some(&heard) = listener.pending.front() {
            let position = match listener.at {
                None => {
                    let Some(position) = room.position(heard) else { return Ok(()) };
                    room.misses_nothing(listener, position)?;
                    position
                }
                Some(at) => {
                    let position = at + 1;
                    match room.get(position) {
                        None => room.append(heard).map_err(|broken| format!("{listener}: {broken}"))?,
                        Some(entry) if entry.publication == heard => {}
                        Some(entry) => {
                            let due = entry.publication;
                            return Err(format!("{listener} hears {heard} where others heard {due}"));
                        }
                    }
                    position
                }
            };
            listener.at = Some(position);
            listener.pending.pop_front();
        }
        Ok(())
    }

    /// Nothing is under way any more: a connection that is there must have heard everything.
    pub(crate) fn at_rest(&mut self, listener: &mut Listener) -> Result<(), Broken> {
        self.compare(listener)?;
        let room = &self.rooms[listener.room];
        match listener.at {
            _ if !listener.pending.is_empty() => {
                Err(format!("{listener} heard {} that no clerk heard", listener.pending[0]))
            }
            None => room.misses_nothing(listener, room.end() + 1),
            Some(at) if at == room.end() => Ok(()),
            Some(at) => {
                let due = room.get(at + 1).map_or_else(String::new, |entry| entry.publication.to_string());
                Err(format!("{listener} has not heard {due}, and {} more", room.end() - at - 1))
            }
        }
    }

    /// Nothing is under way any more: whatever was said must have been heard.
    pub(crate) fn all_heard(&self) -> Result<(), Broken> {
        for (number, room) in self.rooms.iter().enumerate() {
            for (publisher, voice) in &room.publishers {
                let is_abrupt = matches!(voice.departure, Departure::Abrupt { .. });
                if !is_abrupt && !voice.unheard.is_empty() {
                    let (lost, number_lost) = (voice.unheard.len(), voice.heard + 1);
                    return Err(format!(
                        "room {number}: nobody heard {publisher}/{number_lost} and what follows it, {lost} in all"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Forgets what everybody in a room has heard, and who left long ago. `listeners` are all that are there.
    pub(crate) fn forget<'l>(
        &mut self,
        number: usize,
        listeners: impl Iterator<Item = &'l Listener>,
        now_ms: u64,
    ) -> Result<(), Broken> {
        let room = &mut self.rooms[number];
        let needed = listeners.map(|listener| listener.at.unwrap_or(listener.known)).min();
        let needed = needed.unwrap_or_else(|| room.end());
        while room.order.len() > KEPT && room.forgotten < needed {
            room.order.pop_front();
            room.forgotten += 1;
        }
        let mut broken = None;
        room.publishers.retain(|publisher, voice| match voice.departure {
            Departure::Here => true,
            Departure::Proper { since_ms } | Departure::Abrupt { since_ms }
                if now_ms.saturating_sub(since_ms) < AFTERMATH_MS =>
            {
                true
            }
            Departure::Proper { .. } if !voice.unheard.is_empty() => {
                let last = Publication { publisher: *publisher, number: voice.heard + 1 };
                broken = Some(format!("room {number}: {last} was said before a proper leave, and not heard"));
                true
            }
            Departure::Proper { .. } | Departure::Abrupt { .. } => false,
        });
        broken.map_or(Ok(()), Err)
    }

    /// Publications that are remembered: they may not become more and more.
    pub(crate) fn remembered(&self) -> usize {
        self.rooms.iter().map(|room| room.order.len()).sum()
    }
}

impl Room {
    /// The position of the last publication; 0 before there is one.
    fn end(&self) -> u64 {
        self.forgotten + self.order.len() as u64
    }

    /// What stands at a position. Positions begin with 1.
    fn get(&self, position: u64) -> Option<&Entry> {
        let index = position.checked_sub(self.forgotten + 1)?;
        self.order.get(index as usize)
    }

    fn position(&self, publication: Publication) -> Option<u64> {
        let index = self.order.iter().rposition(|entry| entry.publication == publication)?;
        Some(self.forgotten + 1 + index as u64)
    }

    /// The order goes on with what somebody heard who has a place in it.
    fn append(&mut self, publication: Publication) -> Result<(), Broken> {
        let Some(voice) = self.publishers.get_mut(&publication.publisher) else {
            return Err(format!("{publication} comes long after its publisher left, or was never said"));
        };
        let next = voice.heard + 1;
        if publication.number != next {
            return Err(format!("{publication} comes, but next of that publisher is number {next}"));
        }
        let Some(said) = voice.unheard.pop_front() else {
            return Err(format!("{publication} comes, but was never said"));
        };
        voice.heard = next;
        self.order.push_back(Entry { publication, said });
        Ok(())
    }

    /// Of what stands before `position` everything was said before a connection was admitted.
    fn misses_nothing(&self, listener: &Listener, position: u64) -> Result<(), Broken> {
        let from = listener.known.max(self.forgotten);
        for missed in from + 1..position {
            if let Some(entry) = self.get(missed)
                && entry.said > listener.admitted
            {
                let missed = entry.publication;
                return Err(format!("{listener} does not hear {missed}, which was said after its 101"));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some(at) => write!(f, "room {}: a listener at position {at}", self.room),
            None => write!(f, "room {}: a listener that has just come", self.room),
        }
    }
}

impl std::fmt::Display for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.publisher, self.number)
    }
}

// ---- The laws can fail ----------------------------------------------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Publisher = 1;
    const BOB: Publisher = 2;

    /// A room with a clerk, who has heard three publications of Ann's.
    fn room() -> (Laws, Listener, Vec<Publication>) {
        let mut laws = Laws::new(1);
        let mut clerk = laws.admit_clerk(0);
        let said: Vec<Publication> = (0..3).map(|_| laws.say(0, ANN)).collect();
        for publication in &said {
            laws.hear(&mut clerk, *publication).expect("in order");
        }
        (laws, clerk, said)
    }

    #[test]
    fn all_in_one_order_is_well() {
        let (mut laws, mut clerk, _) = room();
        let mut late = laws.admit(0);
        let next = [laws.say(0, BOB), laws.say(0, ANN)];
        // Whoever has no place yet may be ahead of the clerk.
        for listener in [&mut late, &mut clerk] {
            for publication in next {
                assert_eq!(laws.hear(listener, publication), Ok(()));
            }
        }
        assert_eq!(laws.at_rest(&mut late), Ok(()));
        assert_eq!(laws.at_rest(&mut clerk), Ok(()));
        assert_eq!(laws.all_heard(), Ok(()));
    }

    #[test]
    fn a_gap_is_noticed() {
        let (mut laws, mut clerk, _) = room();
        let [_, second] = [laws.say(0, ANN), laws.say(0, ANN)];
        assert!(laws.hear(&mut clerk, second).is_err_and(|broken| broken.contains("next")));
    }

    #[test]
    fn a_message_that_comes_twice_is_noticed() {
        let (mut laws, mut clerk, said) = room();
        assert!(laws.hear(&mut clerk, said[2]).is_err());
    }

    #[test]
    fn another_order_is_noticed() {
        let (mut laws, mut clerk, _) = room();
        let mut other = laws.admit_clerk(0);
        let [ann, bob] = [laws.say(0, ANN), laws.say(0, BOB)];
        assert_eq!(laws.hear(&mut clerk, ann), Ok(()));
        assert!(laws.hear(&mut other, bob).is_err_and(|broken| broken.contains("where others heard")));
    }

    #[test]
    fn missing_what_was_said_after_the_101_is_noticed_then_and_at_rest() {
        let (mut laws, mut clerk, _) = room();
        let [mut late, mut silent] = [laws.admit(0), laws.admit(0)];
        let [missed, heard] = [laws.say(0, BOB), laws.say(0, BOB)];
        for publication in [missed, heard] {
            assert_eq!(laws.hear(&mut clerk, publication), Ok(()));
        }
        assert!(laws.hear(&mut late, heard).is_err_and(|broken| broken.contains("after its 101")));
        assert!(laws.at_rest(&mut silent).is_err());
    }

    #[test]
    fn missing_what_was_said_before_the_101_is_well() {
        let (mut laws, mut clerk, _) = room();
        let early = laws.say(0, BOB);
        let mut late = laws.admit(0);
        assert_eq!(laws.hear(&mut clerk, early), Ok(()));
        assert_eq!(laws.at_rest(&mut late), Ok(()));
    }

    #[test]
    fn what_nobody_said_is_noticed() {
        let (mut laws, mut clerk, _) = room();
        assert!(laws.hear(&mut clerk, Publication { publisher: ANN, number: 4 }).is_err());
        assert!(laws.hear(&mut clerk, Publication { publisher: 9, number: 1 }).is_err());
    }

    #[test]
    fn what_nobody_heard_is_noticed_unless_its_publisher_left_by_a_reset() {
        for properly in [true, false] {
            let (mut laws, mut clerk, _) = room();
            laws.say(0, BOB);
            assert!(laws.all_heard().is_err());
            laws.depart(0, BOB, properly, 0);
            assert_eq!(laws.all_heard().is_err(), properly);
            let later = laws.forget(0, [&clerk].into_iter(), AFTERMATH_MS);
            assert_eq!(later.is_err(), properly);
            assert_eq!(laws.at_rest(&mut clerk), Ok(()), "the clerk heard what there is");
        }
    }

    #[test]
    fn what_everybody_heard_is_forgotten() {
        let (mut laws, mut clerk, _) = room();
        let slow = laws.admit_clerk(0);
        for _ in 0..2 * KEPT {
            let publication = laws.say(0, ANN);
            laws.hear(&mut clerk, publication).expect("in order");
        }
        laws.forget(0, [&clerk, &slow].into_iter(), 0).expect("nothing broken");
        assert_eq!(laws.remembered(), 2 * KEPT, "somebody has still to hear them");
        laws.forget(0, [&clerk].into_iter(), 0).expect("nothing broken");
        assert_eq!(laws.remembered(), KEPT);
        assert_eq!(laws.at_rest(&mut clerk), Ok(()));
    }
}
