//! [`Outbox`]: what a client has still to be sent, and how far that has come.
//!
//! Two things wait to be written: the client's *own* bytes (responses, pongs, replies, its Close frame), always whole
//! frames, and the stretch of its channel's log between its cursor and the end. A short write may leave the cursor
//! inside a frame: the log is *torn* there, and the rest of that frame goes before anything else.
//!
//! ```text
//!   log   ───frame───┬───fra│me───┬───frame───┤ end          written in this order:
//!                    cursor ┘                                1. the rest of the torn frame
//!   own   ───pong────┬───close────┤                          2. own bytes
//!                                                            3. the log from the next frame on
//! ```
//!
//! An outbox that is *sealed* has left the log; it holds the rest of a torn frame, what was its own, and a Close
//! frame, and takes nothing more.
//!
//! A slow consumer's cursor may *jump* forward to the start of a later frame. The rest of a torn frame becomes its own
//! then, by reference or, if it is small, as a copy. Own bytes are never dropped. Who wants to know what it lost is told in
//! a text message of its own, the *notice*, which goes before the first frame behind the gap:
//!
//! ```text
//!   log   ───frame───┬───fra│me───┬───frame───┬───frame───┬───frame───┤ end
//!                    cursor ┘                             └ cursor, after the jump
//!   own   rest of the torn frame │ ───pong────┤ notice │        and then the log from there on
//! ```
//!
//! As long as the client takes nothing, jump upon jump only adds to the *gap*: the notice is made once there is room for
//! it and nothing of the client's own goes before it any more. So there is one for all jumps since the client took
//! something, and one who never takes anything costs none. A second jump that comes before the rest of the torn frame has
//! been written keeps that rest, and takes nothing of the frames between.

#[cfg(test)]
mod tests;

use crate::hub::{ClientKey, FrameRest, Log, LogPosition, Loss};
use crate::protocol::{Kind, append_message};
use arrayvec::ArrayVec;
use std::io::IoSlice;

/// What one write offers to a socket.
pub type Slices<'s> = ArrayVec<IoSlice<'s>, { crate::limits::SLICES_PER_WRITE_MAX }>;

/// What a client has still to be sent.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each said where it stands")]
pub(super) struct Outbox {
    /// The client's own bytes; absent when there are none. Invariant: never empty of unwritten bytes, unless the client is
    /// blocked and has a gap to be told of.
    own: Option<Box<Own>>,
    /// The cursor may stand inside a frame. Invariant: false while part of `own` has been written.
    torn: bool,
    /// The latest write was short; the socket will say when there is room again.
    pub blocked: bool,
    /// Nothing may be appended any more.
    sealed: bool,
    /// The client stands among those to be written.
    pub listed: bool,
    /// The client asked to be told what it loses by being slow.
    pub wants_gaps: bool,
    /// The client asked not to get its own publications back.
    pub without_own: bool,
}

/// A client's own bytes. Boxed, because most clients have none most of the time, and reused by the shard.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The rest of the frame in which the outbox left its log, or its cursor jumped.
    rest: Option<FrameRest>,
    bytes: Vec<u8>,
    /// How much of `rest` and `bytes`, taken as one, has been written.
    written: usize,
    /// What the client has lost and wants to be told behind that. Nothing, if it has no messages.
    gap: Loss,
}

impl Own {
    fn rest(&self) -> &[u8] {
        self.rest.as_ref().map_or(&[], FrameRest::as_slice)
    }

    /// Nothing, with memory for this many bytes.
    #[cfg(test)]
    pub(super) fn with_capacity(capacity: usize) -> Own {
        Own { bytes: Vec::with_capacity(capacity), ..Own::default() }
    }

    /// Bytes of memory that it keeps when it is empty.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn unwritten(&self) -> usize {
        self.rest().len() + self.bytes.len() - self.written
    }

    /// Gives up the rest of a torn frame once it has been written: it may keep a large segment alive.
    fn drop_written_rest(&mut self) {
        if self.rest.is_some() && self.written >= self.rest().len() {
            self.written -= self.rest().len();
            self.rest = None;
        }
    }

    /// Makes the notice of the gap, if there is one, behind all else.
    fn append_notice(&mut self) {
        let Loss { messages, bytes } = std::mem::take(&mut self.gap);
        if messages > 0 {
            let notice = format!(r#"{{"gap":{{"messages":{messages},"bytes":{bytes}}}}}"#);
            append_message(Kind::Text, notice.as_bytes(), &mut self.bytes);
        }
    }

    /// All of it has been written: it is empty again, but for the notice of a gap.
    fn clear(&mut self) {
        self.rest = None;
        self.bytes.clear();
        self.written = 0;
        self.append_notice();
    }

    /// Gives up what has been written once it is the larger part, so that a client that takes its answers but never
    /// quite all of them does not gather them here. Each byte is moved once at most for each that was written.
    fn drop_written(&mut self) {
        if self.rest.is_none() && self.written >= self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

/// A subscriber's view of its log.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'l> {
    /// The log of its channel.
    pub log: &'l Log,
    /// How far it has been written.
    pub cursor: LogPosition,
    /// The client itself, if its own publications are to be passed over.
    pub without: Option<ClientKey>,
}

/// What a write was made of, in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// So many bytes of the torn frame in the log, then so many of the client's own.
    Own {
        /// Bytes from the cursor to the end of the torn frame.
        torn: usize,
        /// The client's own bytes.
        own: usize,
    },
    /// So many bytes of the log; 0 if the client has been sent everything, or is in no channel.
    Log(usize),
}

impl Plan {
    /// Bytes offered.
    pub fn bytes(self) -> usize {
        match self {
            Plan::Own { torn, own } => torn + own,
            Plan::Log(bytes) => bytes,
        }
    }
}

/// What a write has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All that was offered was taken.
    All,
    /// The socket is full.
    Short,
}

impl Outbox {
    /// The client's own bytes that have not been written.
    pub(super) fn own_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.unwritten())
    }

    /// Bytes of memory that they take, with those that have been written and room for more.
    pub(super) fn held_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |own| {
            let rest = own.rest.as_ref().map_or(0, FrameRest::held_bytes);
            size_of::<Own>() + rest + own.capacity()
        })
    }

    /// Those of them that are not the rest of a frame of its channel's: answers to what it says, and notices.
    pub(super) fn answer_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.bytes.len() - own.written.saturating_sub(own.rest().len()))
    }

    /// Whether a Close frame, or an HTTP response, has ended it.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Checks what the fields promise between two turns; for tests.
    ///
    /// # Panics
    /// If an invariant does not hold.
    pub(super) fn check_invariants(&self) {
        let Some(own) = &self.own else { return };
        let has_gap = own.gap.messages > 0;
        assert!(own.unwritten() > 0 || (has_gap && self.blocked), "own bytes are kept while there are any");
        assert!(!has_gap || !self.sealed, "who is closed was told of its gap");
        assert!(!self.torn || (own.rest.is_none() && own.written == 0), "a torn frame goes before own bytes");
    }

    /// Appends whole frames of the client's own, emptying `bytes`. `spare` gives a box if one is needed.
    pub(super) fn push(&mut self, bytes: &mut Vec<u8>, spare: impl FnOnce() -> Box<Own>) {
        debug_assert!(!self.sealed, "nothing follows a Close frame");
        if bytes.is_empty() {
            return;
        }
        let own = self.own.get_or_insert_with(spare);
        if own.bytes.is_empty() {
            std::mem::swap(&mut own.bytes, bytes);
        } else {
            own.drop_written();
            own.bytes.append(bytes);
        }
    }

    /// The cursor of a slow consumer, in its `log`, jumps forward to `to`, the start of a frame. The rest of a torn frame
    /// becomes the client's own. Returns what is lost, which is to be announced if the client wants gaps. With `to` at the
    /// cursor or before it nothing happens.
    pub(super) fn jump(
        &mut self,
        (log, cursor): (&mut Log, &mut LogPosition),
        without: Option<ClientKey>,
        to: LogPosition,
    ) -> Loss {
        if to <= *cursor {
            return Loss::default();
        }
        let mut to = to;
        if std::mem::take(&mut self.torn) {
            let rest = log.rest_of_frame(*cursor);
            if !rest.as_slice().is_empty() {
                // The torn frame may be a large one and end behind where the jump was to lead.
                to = to.max(LogPosition(cursor.0 + rest.as_slice().len() as u64));
                // A new box: one with memory to spare would keep it for as long as the client does not read.
                let own = self.own.get_or_insert_default();
                debug_assert!(
                    own.rest.is_none() && own.written == 0,
                    "own bytes are not begun inside a torn frame"
                );
                own.rest = Some(rest);
            }
        }
        let loss = log.loss(*cursor, to, without);
        *cursor = log.advance(*cursor, to);
        if self.wants_gaps && loss.messages > 0 {
            self.own.get_or_insert_default().gap += loss;
        }
        loss
    }

    /// There is room again for something to be written: the notice of a gap, if nothing of the client's own goes before
    /// it. Else it is made when that has been written. Returns whether it was made.
    pub(super) fn announce_gap(&mut self) -> bool {
        match &mut self.own {
            Some(own) if own.unwritten() == 0 => {
                own.clear();
                true
            }
            _ => false,
        }
    }

    /// Ends the outbox: takes its own reference to the rest of a torn frame, so that the log can be left, then
    /// appends the notice of a gap and `last`, the Close frame and what had to go before it. A second call changes nothing.
    pub(super) fn seal(
        &mut self,
        view: Option<View<'_>>,
        last: &mut Vec<u8>,
        spare: impl FnOnce() -> Box<Own>,
    ) {
        if self.sealed {
            debug_assert!(last.is_empty(), "nothing follows a Close frame");
            return;
        }
        let rest = match view {
            Some(view) if self.torn => Some(view.log.rest_of_frame(view.cursor)),
            _ => None,
        };
        self.torn = false;
        if let Some(own) = &mut self.own {
            own.append_notice();
        }
        match rest {
            Some(rest) if !rest.as_slice().is_empty() => {
                let own = self.own.get_or_insert_with(spare);
                debug_assert_eq!(own.written, 0, "own bytes are not begun inside a torn frame");
                own.rest = Some(rest);
                own.bytes.append(last);
            }
            _ => self.push(last, spare),
        }
        self.sealed = true;
    }

    /// Offers what is to be written next. `view` is the client's view of its log, if it is in a channel.
    pub(super) fn unwritten<'s>(&'s self, view: Option<View<'s>>, out: &mut Slices<'s>) -> Plan {
        let Some(own) = &self.own else {
            return Plan::Log(view.map_or(0, |view| view.slices(out)));
        };
        debug_assert!(own.unwritten() > 0, "a gap is announced before anything is written");
        let torn = match view {
            Some(View { log, cursor, .. }) if self.torn => log.slice_of_frame(cursor),
            _ => &[],
        };
        let rest = own.rest();
        for slice in [
            torn,
            &rest[own.written.min(rest.len())..],
            &own.bytes[own.written.saturating_sub(rest.len()).min(own.bytes.len())..],
        ] {
            if !slice.is_empty() {
                out.push(IoSlice::new(slice));
            }
        }
        Plan::Own { torn: torn.len(), own: own.unwritten() }
    }

    /// Accounts for a write of `plan` of which `taken` bytes were taken. `log` is the client's log and cursor, if it
    /// is in a channel. Gives back a box that is empty now.
    pub(super) fn written(
        &mut self,
        log: Option<(&mut Log, &mut LogPosition)>,
        without: Option<ClientKey>,
        plan: Plan,
        taken: usize,
    ) -> (Written, Option<Box<Own>>) {
        let mut spare = None;
        match plan {
            Plan::Log(bytes) => {
                if let Some((log, cursor)) = log {
                    let to = match without {
                        Some(own) => log.position_after(*cursor, own, taken),
                        None => LogPosition(cursor.0 + taken as u64),
                    };
                    *cursor = log.advance(*cursor, to);
                    self.torn = taken < bytes && (self.torn || taken > 0);
                }
            }
            Plan::Own { torn, own } => {
                if let (Some((log, cursor)), true) = (log, torn > 0) {
                    *cursor = log.advance(*cursor, LogPosition(cursor.0 + taken.min(torn) as u64));
                }
                self.torn &= taken < torn;
                if let Some(unwritten) = &mut self.own {
                    if taken == torn + own {
                        unwritten.clear();
                    } else {
                        unwritten.written += taken.saturating_sub(torn);
                        unwritten.drop_written_rest();
                    }
                }
                spare = self.own.take_if(|own| own.unwritten() == 0);
            }
        }
        (if taken == plan.bytes() { Written::All } else { Written::Short }, spare)
    }
}

impl<'l> View<'l> {
    /// The log from the cursor on, as slices; how many bytes that is.
    fn slices(self, out: &mut Slices<'l>) -> usize {
        let room = out.remaining_capacity();
        match self.without {
            Some(own) => self.log.slices_without(self.cursor, own, room, out),
            None => self.log.slices(self.cursor, room, out),
        }
    }

    /// Bytes that the client has not been sent.
    pub(super) fn lag(self) -> u64 {
        self.log.lag(self.cursor)
    }
}
