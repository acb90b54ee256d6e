//! [`Traffic`]: the messages of one thread's connections: which are to be sent, and what comes back.

use super::board::Board;
use super::ledger::{Judgement, Ledger};
use super::pace::{Pace, Sender, Timetable};
use super::payload::{Line, Template};
use super::peer::{Ending, Peer};
use super::plan::Plan;
use super::tally::Tally;
use fanwire::protocol::Time;

/// Bytes that are put together for one write, unless a frame has more.
const BATCH_BYTES: usize = 128 << 10;

/// What one thread's connections send and get. An echo is a broadcast in which everybody is the publisher of a channel of
/// its own.
#[derive(Debug)]
pub(super) struct Traffic<'r> {
    board: &'r Board,
    template: Template,
    pace: Pace,
    timetable: Timetable,
    /// Payloads say who sent them and when.
    has_lines: bool,
    publishers: usize,
    groups: usize,
    /// The thread's connections are every so many of the run's, beginning with this one.
    first: usize,
    step: usize,
    /// One for each connection.
    ledgers: Vec<Ledger>,
    /// One for each connection that sends; they come first.
    senders: Vec<Sender>,
    /// At a rate: whose message is due next, of those that send, and in which round.
    next_sender: usize,
    next_round: u64,
    /// Times that a sender began anew.
    stalls: u64,
}

/// Looks that a sender under a window waits for one of its own: 5 s. Looks are counted and not time, so that a generator
/// that was stopped for a while does not blame the server.
const STALL_LOOKS: u32 = 25;

/// Nanoseconds between two looks for stalls.
pub(super) const LOOK_NS: u64 = 200_000_000;

/// What came to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) channel: usize,
    /// Messages, each counted once, and what stands for their order.
    pub(super) count: u64,
    pub(super) order: u64,
}

impl<'r> Traffic<'r> {
    /// The traffic of a thread's `connections`, the first of which has this number in the run.
    pub(super) fn new(
        plan: &Plan,
        board: &'r Board,
        template: Template,
        first: usize,
        connections: usize,
    ) -> Traffic<'r> {
        let step = plan.threads;
        let ordinals = || (0..connections).map(|index| first + index * step);
        let window = match plan.pace {
            Pace::Window(window) if !plan.has_lines() => window,
            _ => 0,
        };
        let sender = || Sender { sent_ns: vec![0; window].into(), ..Sender::default() };
        let rate = match plan.pace {
            Pace::Rate(rate) => rate,
            Pace::Window(_) => 0.0,
        };
        Traffic {
            board,
            template,
            pace: plan.pace,
            timetable: Timetable { rate, senders: plan.publishers as u64, begin_ns: 0 },
            has_lines: plan.has_lines(),
            publishers: plan.publishers,
            groups: plan.groups(),
            first,
            step,
            ledgers: ordinals()
                .map(|ordinal| Ledger::new(plan.publishers_of(ordinal % plan.groups())))
                .collect(),
            senders: ordinals().take_while(|ordinal| *ordinal < plan.publishers).map(|_| sender()).collect(),
            next_sender: 0,
            next_round: 0,
            stalls: 0,
        }
    }

    fn ordinal(&self, index: usize) -> usize {
        self.first + index * self.step
    }

    /// Connections that send: those with an index below this.
    pub(super) fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Sending begins at this time.
    pub(super) fn begin(&mut self, begin_ns: u64) {
        self.timetable.begin_ns = begin_ns;
    }

    /// Takes bytes that came to a connection; see [`Peer::take`].
    #[inline]
    pub(super) fn take(
        &mut self,
        index: usize,
        peer: &mut Peer,
        input: &mut [u8],
        now: Time,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Option<Ending> {
        let ordinal = self.ordinal(index);
        let Traffic { board, publishers, groups, .. } = *self;
        let ledger = &mut self.ledgers[index];
        if self.has_lines {
            // Dividing takes longer than all the rest.
            let place = |publisher: usize| match groups {
                1 => (0, publisher),
                _ => (publisher % groups, publisher / groups),
            };
            let (channel, _) = place(ordinal);
            return peer.take(input, now, out, |payload| {
                let line = Line::read(payload).filter(|line| line.publisher < publishers);
                let Some(Line { publisher, number, intended_ns }) = line else {
                    return ledger.take_foreign();
                };
                match place(publisher) {
                    (there, publisher_there) if there == channel => {
                        if ledger.take(publisher_there, number, || board.published(publisher)) {
                            tally.arrive(intended_ns, payload.len());
                        }
                    }
                    _ => ledger.take_foreign(),
                }
            });
        }
        let (template, timetable, sender) = (&self.template, self.timetable, &self.senders[index]);
        let is_at_rate = matches!(self.pace, Pace::Rate(_));
        peer.take(input, now, out, |payload| {
            let Some(number) = template.number(payload, ledger.next(0)) else {
                return ledger.take_foreign();
            };
            if ledger.take(0, number, || sender.sent) {
                let intended_ns = if is_at_rate {
                    timetable.intended_ns(ordinal as u64, number)
                } else {
                    let window = sender.sent_ns.len() as u64;
                    sender.sent_ns[(number % window) as usize]
                };
                tally.arrive(intended_ns, payload.len());
            }
        })
    }

    /// Sends what a connection may send by now, behind what is in `out`, which is empty afterwards.
    #[inline]
    pub(super) fn send(
        &mut self,
        index: usize,
        peer: &mut Peer,
        now_ns: u64,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) {
        let ordinal = self.ordinal(index);
        let own = ordinal / self.groups;
        let sender = &mut self.senders[index];
        let due = match self.pace {
            Pace::Window(window) => sender.room(window, self.ledgers[index].next(own)),
            Pace::Rate(_) => self.timetable.due_of(ordinal as u64, now_ns).saturating_sub(sender.sent),
        };
        if due > 0 {
            sender.looks = 0;
        }
        if !out.is_empty() {
            peer.write(out);
            out.clear();
        }
        let batch_max = (BATCH_BYTES / self.template.frame_bytes()).max(1) as u64;
        let mut left = due;
        while left > 0 && !peer.is_blocked() {
            let count = left.min(batch_max) as usize;
            for place in 0..count {
                let number = sender.sent;
                let intended_ns = match self.pace {
                    Pace::Window(_) => now_ns,
                    Pace::Rate(_) => self.timetable.intended_ns(ordinal as u64, number),
                };
                let window = sender.sent_ns.len() as u64;
                if window > 0 {
                    sender.sent_ns[(number % window) as usize] = intended_ns;
                }
                sender.sent += 1;
                self.template.fill(place, ordinal, number, intended_ns);
            }
            left -= count as u64;
            // Whoever gets it on another thread sees that it has been sent.
            self.board.set_published(ordinal, sender.sent);
            peer.write(self.template.frames(count));
        }
        tally.publish(now_ns, due - left);
    }

    /// At a rate: the next connection of which a message is due by then, and is to be sent.
    pub(super) fn next_due(&mut self, now_ns: u64) -> Option<usize> {
        if self.senders.is_empty() {
            return None;
        }
        let number = self.next_round * self.publishers as u64 + self.ordinal(self.next_sender) as u64;
        if number >= self.timetable.due(now_ns) {
            return None;
        }
        let index = self.next_sender;
        self.next_sender += 1;
        if self.next_sender == self.senders.len() {
            self.next_sender = 0;
            self.next_round += 1;
        }
        Some(index)
    }

    /// Under a window, to be called every [`LOOK_NS`]: lets those begin anew who have waited too long for one of their
    /// own, if they can send. They are to send now.
    pub(super) fn end_stalls(&mut self, can_send: impl Fn(usize) -> bool) -> Vec<usize> {
        if matches!(self.pace, Pace::Rate(_)) {
            return Vec::new();
        }
        let mut stalled = Vec::new();
        for (index, sender) in self.senders.iter_mut().enumerate() {
            sender.looks += 1;
            if sender.looks > STALL_LOOKS && can_send(index) {
                sender.forgiven = sender.sent;
                stalled.push(index);
            }
        }
        self.stalls += stalled.len() as u64;
        stalled
    }

    /// Messages of each publisher of a connection's channel that the server must have got.
    fn received_of(&self, index: usize) -> impl Iterator<Item = Option<u64>> {
        let channel = self.ordinal(index) % self.groups;
        (channel..self.publishers).step_by(self.groups).map(|publisher| self.board.received_of(publisher))
    }

    /// Whether a connection has got all that was sent. To be asked when nobody sends any more.
    pub(super) fn is_complete(&self, index: usize) -> bool {
        self.ledgers[index].is_complete(self.received_of(index))
    }

    /// What is wrong with what came to a connection. One that was lost misses nothing that came after.
    pub(super) fn judge(&self, index: usize, is_lost: bool) -> Judgement {
        let sent = self.received_of(index).map(|sent| sent.filter(|_| !is_lost));
        self.ledgers[index].judge(sent)
    }

    /// What came to a connection.
    pub(super) fn account(&self, index: usize) -> Account {
        let ledger = &self.ledgers[index];
        let channel = self.ordinal(index) % self.groups;
        Account { channel, count: ledger.count(), order: ledger.order() }
    }

    /// Times that a sender began anew.
    pub(super) fn stalls(&self) -> u64 {
        self.stalls
    }
}
