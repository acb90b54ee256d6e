//! What deadlines demand of the server, as a wire's end sees it: nothing comes early, late, twice or never.
//!
//! Nothing here knows how the server keeps its deadlines. A [`Tap`] reads what the server says, with a reader of frames
//! of its own; a [`Watch`] knows when it said it and when it last read something, and judges that by the limits.

use crate::operator;
use fanwire::limits::{self, Limits};
use std::collections::BTreeMap;

/// How often something happened.
pub type Deeds = BTreeMap<&'static str, u64>;

/// Something that the server said to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// 101.
    Opened,
    /// Another response.
    Responded(u16),
    Ping,
    /// With its reason.
    Close(String),
}

/// Reads what the server says to one client.
#[derive(Debug)]
pub struct Tap(Place);

/// Where in the stream it is.
#[derive(Debug)]
enum Place {
    /// In the response's head, of which this has come.
    Head(Vec<u8>),
    /// In a frame of which this has come, not yet its header or not all of its payload.
    Frame(Vec<u8>),
    /// So many bytes before the end of a data frame.
    Payload(u64),
    /// In a response's body.
    Body,
    /// Behind a Close frame.
    Over,
}

impl Tap {
    fn new() -> Tap {
        Tap(Place::Head(Vec::new()))
    }

    pub fn is_within_response(&self) -> bool {
        matches!(&self.0, Place::Head(begun) if !begun.is_empty())
    }

    pub fn is_within_frame(&self) -> bool {
        matches!(&self.0, Place::Frame(begun) if !begun.is_empty()) || matches!(self.0, Place::Payload(_))
    }

    fn listen(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match &mut self.0 {
                Place::Body => return said,
                Place::Over => panic!("nothing follows a Close frame: {rest:?}"),
                Place::Payload(left) => {
                    let passed = (*left).min(rest.len() as u64);
                    rest = &rest[passed as usize..];
                    *left -= passed;
                    if *left == 0 {
                        self.0 = Place::Frame(Vec::new());
                    }
                }
                Place::Head(head) => {
                    rest = behind;
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        let status =
                            std::str::from_utf8(&head[9..12]).ok().and_then(|code| code.parse().ok());
                        let status = status.expect("a response has a status");
                        let is_open = status == 101;
                        said.push(if is_open { Said::Opened } else { Said::Responded(status) });
                        self.0 = if is_open { Place::Frame(Vec::new()) } else { Place::Body };
                    }
                }
                Place::Frame(frame) => {
                    rest = behind;
                    frame.push(byte);
                    if let Some(place) = after(frame, &mut said) {
                        self.0 = place;
                    }
                }
            }
        }
        said
    }
}

/// Where the stream goes on behind what has come of a frame, unless it goes on within its header or, if it is a control
/// frame, within its payload.
fn after(frame: &[u8], said: &mut Vec<Said>) -> Option<Place> {
    let &[first, second, ref rest @ ..] = frame else { return None };
    assert!(second < 0x80, "a server masks nothing (RFC 6455 section 5.1)");
    assert!(first >= 0x80, "this server sends no fragments");
    let digits = match second {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let len = match digits {
        0 => u64::from(second),
        _ => rest.get(..digits)?.iter().fold(0, |len, digit| len << 8 | u64::from(*digit)),
    };
    let payload = &rest[digits..];
    if first & 0x0f < 8 {
        return Some(if len == 0 { Place::Frame(Vec::new()) } else { Place::Payload(len) });
    }
    if (payload.len() as u64) < len {
        return None;
    }
    match first & 0x0f {
        8 => {
            said.push(Said::Close(String::from_utf8_lossy(payload.get(2..).unwrap_or(&[])).into_owned()));
            return Some(Place::Over);
        }
        9 => said.push(Said::Ping),
        _ => {}
    }
    Some(Place::Frame(Vec::new()))
}

/// What is known of one wire, from accept on, that deadlines depend on.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each said where it stands")]
pub struct Watch {
    pub tap: Tap,
    accepted_ms: u64,
    opened_ms: Option<u64>,
    /// When a Close frame or a response other than 101 went out.
    ended_ms: Option<u64>,
    /// What went out was an operator's Close frame: the answer to it is awaited.
    awaits_answer: bool,
    /// When bytes were last read.
    heard_ms: u64,
    /// When bytes that had been left for another turn were last looked at.
    looked_ms: u64,
    /// When bytes were last taken by the socket.
    moved_ms: u64,
    pinged_ms: u64,
    /// The 101 or a Ping was written in a turn that may not be the one that made it: when that was, we cannot know.
    was_late: bool,
    /// The first turn in which it must have been given up, if nothing moves in either direction.
    given_up_ms: Option<u64>,
    /// When the server was last kept from reading it, which is nobody's silence.
    excused_ms: u64,
    /// The server has bytes of its that it left for another turn.
    is_held: bool,
    /// The server was told that there is something to be read, and has not come upon its end yet.
    is_unread: bool,
    /// The server has read the peer's end, or was told of the reset.
    knows_end: bool,
    /// When the server was told that the peer's end has come, be it behind much that is to be read.
    told_of_end_ms: Option<u64>,
}

impl Watch {
    pub fn new() -> Watch {
        Watch {
            tap: Tap::new(),
            accepted_ms: 0,
            opened_ms: None,
            ended_ms: None,
            awaits_answer: false,
            heard_ms: 0,
            looked_ms: 0,
            moved_ms: 0,
            pinged_ms: 0,
            was_late: false,
            given_up_ms: None,
            excused_ms: 0,
            is_held: false,
            is_unread: false,
            knows_end: false,
            told_of_end_ms: None,
        }
    }

    pub fn accepted(&mut self, now_ms: u64) {
        self.accepted_ms = now_ms;
    }

    /// The server was told of something to be read.
    pub fn told_of_bytes(&mut self) {
        self.is_unread = true;
    }

    /// A read took bytes; `is_all`: it came back short, and the server knows of nothing that follows.
    pub fn read(&mut self, is_all: bool, now_ms: u64) {
        self.heard_ms = now_ms;
        self.given_up_ms = None;
        self.is_unread &= !is_all;
    }

    pub fn found_nothing(&mut self) {
        self.is_unread = false;
    }

    pub fn found_end(&mut self) {
        self.knows_end = true;
    }

    pub fn told_of_end(&mut self, now_ms: u64) {
        self.told_of_end_ms.get_or_insert(now_ms);
    }

    /// The server may know that it stood still up to now: it may forgive silence.
    pub fn excused(&mut self, now_ms: u64) {
        self.excused_ms = now_ms;
        self.given_up_ms = None;
    }

    /// A turn is over; `may_read`: it was one in which sockets were read; `may_leave_unread`: it has left some for another
    /// turn; `is_held`: bytes that were read are left for another turn. They are as good as unread: until the turn that comes
    /// to the last of them, the peer may have said something that the server has not looked at.
    ///
    /// Who is unread when no turn is to come takes too little of what it is sent, and that excuses nothing.
    pub fn turned(
        &mut self,
        may_read: bool,
        may_leave_unread: bool,
        is_held: bool,
        now_ms: u64,
        limits: &Limits,
    ) {
        let was_held = std::mem::replace(&mut self.is_held, is_held);
        if was_held {
            self.looked_ms = now_ms;
        }
        // Behind the last of them the server looks for more.
        self.is_unread |= was_held && !is_held;
        if (self.is_unread && may_leave_unread) || was_held || is_held || !may_read {
            self.excused_ms = now_ms;
            self.given_up_ms = None;
        } else if self.stalls_until_ms(limits).is_some_and(|until_ms| until_ms <= now_ms) {
            self.given_up_ms.get_or_insert(now_ms);
        }
    }

    /// Whether the server has said its last.
    pub fn has_ended(&self) -> bool {
        self.ended_ms.is_some()
    }

    /// Whether it wants to hear something all the same.
    pub fn awaits_answer(&self) -> bool {
        self.awaits_answer
    }

    /// How long it may be that nothing moves in either direction.
    fn stalls_until_ms(&self, limits: &Limits) -> Option<u64> {
        let Limits { handshake_timeout_ms, idle_timeout_ms, .. } = *limits;
        let moved_ms = self.heard_ms.max(self.excused_ms).max(self.moved_ms).max(self.accepted_ms);
        let is_bounded = handshake_timeout_ms > 0 && idle_timeout_ms > 0;
        is_bounded.then(|| moved_ms + u64::from(handshake_timeout_ms.max(idle_timeout_ms)))
    }

    /// The socket took bytes, of which these arrive. `is_prompt`: they are written in the turn that made them.
    pub fn wrote(&mut self, bytes: &[u8], is_prompt: bool, now_ms: u64, limits: &Limits, deeds: &mut Deeds) {
        self.moved_ms = now_ms;
        self.given_up_ms = None;
        let opened_ms = self.opened_ms.unwrap_or(0);
        let was_prompt = is_prompt;
        let is_prompt = is_prompt && !self.was_late;
        for said in self.tap.listen(bytes) {
            match said {
                Said::Opened => {
                    self.opened_ms = Some(now_ms);
                    self.was_late |= !was_prompt;
                }
                Said::Responded(status) => {
                    if status == 408 {
                        count(deeds, "handshake_timeouts_seen");
                        self.is_due(self.accepted_ms, limits.handshake_timeout_ms, is_prompt, now_ms, "408");
                    }
                    self.ended_ms = Some(now_ms);
                }
                Said::Ping => {
                    count(deeds, "pings_seen");
                    let quiet_ms = opened_ms.max(self.heard_ms).max(self.pinged_ms);
                    self.is_due(quiet_ms, limits.ping_interval_ms, is_prompt, now_ms, "a Ping");
                    self.pinged_ms = now_ms;
                    self.was_late |= !was_prompt;
                }
                Said::Close(reason) => {
                    if reason.starts_with("idle") {
                        count(deeds, "idle_timeouts_seen");
                        let heard_ms = opened_ms.max(self.heard_ms);
                        self.is_due(
                            heard_ms,
                            limits.idle_timeout_ms,
                            is_prompt,
                            now_ms,
                            "an end of patience",
                        );
                    }
                    if let Some(lag) = reason.strip_prefix("slow consumer: ") {
                        count(deeds, "slow_consumers_seen");
                        let lag = lag.split(' ').next().and_then(|lag| lag.parse().ok());
                        let is_slow = lag.is_some_and(|lag: usize| lag > limits.outbox_bytes_max);
                        assert!(is_slow, "nobody is slow who is within the limit: {reason}");
                    }
                    self.awaits_answer = reason == operator::REASON;
                    self.ended_ms = Some(now_ms);
                }
            }
        }
    }

    /// Something came that is due so long after a moment.
    fn is_due(&self, since_ms: u64, timeout_ms: u32, is_prompt: bool, now_ms: u64, what: &str) {
        assert!(timeout_ms > 0, "{what} comes only if it was asked for");
        let waited_ms = now_ms - since_ms;
        assert!(
            !is_prompt || waited_ms >= u64::from(timeout_ms),
            "{what} comes once in its time, not after {waited_ms} of {timeout_ms} ms: {self:?}"
        );
    }

    /// The server closes the socket, and no end or reset of the wire is why.
    pub fn dropped(&self, is_prompt: bool, now_ms: u64, limits: &Limits, deeds: &mut Deeds) {
        if self.knows_end || !is_prompt {
            return;
        }
        if let Some(told_ms) = self.told_of_end_ms
            && self.ended_ms.is_none()
        {
            count(deeds, "ends_behind_too_much");
            let waited_ms = now_ms - told_ms;
            let close_timeout_ms = u64::from(limits.close_timeout_ms);
            assert!(waited_ms >= close_timeout_ms, "what came is read for so long: {waited_ms} ms: {self:?}");
            return;
        }
        let Some(ended_ms) = self.ended_ms else { panic!("nobody is dropped without a word: {self:?}") };
        count(deeds, "close_timeouts_seen");
        let linger_ms = limits.close_timeout_ms.min(limits::REFUSAL_LINGER_MS);
        let waited_ms = now_ms - ended_ms;
        assert!(
            waited_ms >= u64::from(linger_ms),
            "who is told goodbye has time to hear it, not {waited_ms} of {linger_ms} ms: {self:?}"
        );
    }

    /// When the server has to do something about this client if nothing happens, at the latest. `was_full`: we cannot
    /// know when what was written late was made.
    pub fn due_ms(&self, was_full: bool, limits: &Limits) -> Option<u64> {
        let Limits { handshake_timeout_ms, ping_interval_ms, idle_timeout_ms, close_timeout_ms, .. } =
            *limits;
        let after = |since_ms: u64, ms: u32| (ms > 0).then(|| since_ms + u64::from(ms));
        let linger_ms = u64::from(close_timeout_ms.max(limits::REFUSAL_LINGER_MS));
        let heard_ms = self.heard_ms.max(self.excused_ms);
        if self.knows_end {
            Some(self.accepted_ms)
        } else if was_full {
            self.given_up_ms.or(self.stalls_until_ms(limits)).map(|given_up_ms| given_up_ms + linger_ms)
        } else if let Some(ended_ms) = self.ended_ms {
            let answered_ms = if self.awaits_answer { self.heard_ms.max(self.looked_ms) } else { ended_ms };
            Some(ended_ms.max(answered_ms) + linger_ms)
        } else if let Some(opened_ms) = self.opened_ms {
            let heard_ms = heard_ms.max(opened_ms);
            let ping_ms = after(heard_ms.max(self.pinged_ms), ping_interval_ms);
            [ping_ms, after(heard_ms, idle_timeout_ms)].into_iter().flatten().min()
        } else {
            after(self.accepted_ms, handshake_timeout_ms)
        }
    }
}

pub fn count(deeds: &mut Deeds, deed: &'static str) {
    *deeds.entry(deed).or_default() += 1;
}
