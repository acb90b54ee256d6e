//! What slow consumers may lose where messages are dropped, and what they are told of it: [`Losses`].
//!
//! What was said there is known from a witness, who is never slow. Whoever else was, heard a part of that in the same
//! order, and who asked for it was told of each gap, where it was and how large.

use crate::laws::Publication;
use fanwire::protocol::{FrameHeader, Kind};

/// What the server says about messages that it did not send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    messages: usize,
    bytes: usize,
}

impl Gap {
    /// A message, if it is the notice of a gap.
    pub fn read(kind: Kind, payload: &[u8]) -> Option<Gap> {
        let text = std::str::from_utf8(payload).ok()?;
        let digits = text.strip_prefix(r#"{"gap":{"messages":"#)?.strip_suffix("}}")?;
        let (messages, bytes) = digits.split_once(r#","bytes":"#)?;
        let gap = Gap { messages: messages.parse().ok()?, bytes: bytes.parse().ok()? };
        assert!(kind == Kind::Text && gap.messages > 0, "a notice is text, and about something");
        Some(gap)
    }
}

/// A message as the witness heard it.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub publication: Publication,
    pub payload_bytes: usize,
}

impl Said {
    /// Bytes of its frame, uncompressed (RFC 6455 section 5.2).
    fn frame_bytes(self) -> usize {
        let header = match self.payload_bytes {
            0..=125 => 2,
            126..=65_535 => 4,
            _ => FrameHeader::LEN_MAX - 4,
        };
        header + self.payload_bytes
    }
}

/// What one client may have lost, and what it was told.
#[derive(Debug)]
pub struct Losses {
    /// It may have lost something: its socket was full.
    pub is_possible: bool,
    is_plain: bool,
    /// What it was told, and how many messages it had heard by then.
    told: Vec<(usize, Gap)>,
}

/// How a client heard what was for it.
#[derive(Clone, Copy, Debug)]
pub struct Hearing<'h> {
    pub client: usize,
    /// All that would have been for it, but for what was said before it came.
    pub for_it: &'h [Said],
    pub heard: &'h [Publication],
    /// Nothing that was said is still on its way.
    pub has_caught_up: bool,
    pub wants_gaps: bool,
    pub without_own: bool,
}

impl Losses {
    pub fn new(is_plain: bool) -> Losses {
        Losses { is_possible: false, is_plain, told: Vec::new() }
    }

    /// It is told of a gap, having heard so many messages.
    pub fn announced(&mut self, heard: usize, gap: Gap) {
        self.told.push((heard, gap));
    }

    /// How many messages it had heard when it was last told of a gap.
    pub fn heard_before_gap(&self) -> usize {
        self.told.last().map_or(0, |(heard, _)| *heard)
    }

    /// `is_due`: whether a message was said after the client had come.
    pub fn check(&self, hearing: &Hearing<'_>, is_due: impl Fn(Publication) -> bool) {
        let Hearing { client, for_it, heard, has_caught_up, wants_gaps, without_own } = *hearing;
        // Up to where what was for it has been accounted for; not known before the first that it hears or loses.
        let mut next = None;
        for (index, publication) in heard.iter().enumerate() {
            let at = for_it.iter().position(|said| said.publication == *publication);
            let at = at.unwrap_or_else(|| panic!("{client} hears {publication:?}, the witness does not"));
            assert!(
                next.is_none_or(|next| next <= at),
                "{client} hears {publication:?} in the order of all, once"
            );
            if wants_gaps {
                self.check_gap(hearing, index, next, at, &is_due);
            }
            next = Some(at + 1);
        }
        if !has_caught_up {
            return;
        }
        if wants_gaps {
            self.check_gap(hearing, heard.len(), next, for_it.len(), &is_due);
        }
        // One's own messages may be all that is left of what was said last.
        if let Some(newest) = for_it.last().filter(|newest| is_due(newest.publication) && !without_own) {
            assert_eq!(heard.last(), Some(&newest.publication), "{client} has heard the newest");
        }
    }

    /// Before the message that it heard as number `index` it was told of all that was said from `next` to `at`.
    fn check_gap(
        &self,
        hearing: &Hearing<'_>,
        index: usize,
        next: Option<usize>,
        at: usize,
        is_due: impl Fn(Publication) -> bool,
    ) {
        let told = self.told.iter().filter(|(heard, _)| *heard == index);
        let told = told.fold(Gap::default(), |sum, (_, gap)| Gap {
            messages: sum.messages + gap.messages,
            bytes: sum.bytes + gap.bytes,
        });
        let Hearing { client, for_it, .. } = *hearing;
        let next = next.unwrap_or_else(|| {
            assert!(told.messages <= at, "{client} loses what was said: {told:?} of {at}");
            let first = at - told.messages;
            let is_missed = for_it[..first].iter().find(|said| is_due(said.publication));
            assert!(is_missed.is_none(), "{client} misses {is_missed:?} and is not told");
            first
        });
        assert_eq!(told.messages, at - next, "{client} is told how many it lost before number {index}");
        let lost_bytes: usize = for_it[next..at].iter().map(|said| said.frame_bytes()).sum();
        assert!(!self.is_plain || told.bytes == lost_bytes, "{client} lost {lost_bytes} bytes: {told:?}");
    }
}
