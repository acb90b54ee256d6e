//! [`Generator`]: one thread of a run, with its share of the connections and an event loop.

use super::board::Board;
use super::ledger::Judgement;
use super::outcome::Mode;
use super::payload::Template;
use super::peer::{self, Ending, Peer, Received};
use super::plan::Plan;
use super::seeds::Seeds;
use super::tally::Tally;
use super::traffic::{Account, LOOK_NS, Traffic};
use fanwire::limits::Limits;
use fanwire::protocol::{Closure, Time};
use mio::event::Event;
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes read at once: a read that does not fill it has emptied the socket.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 4;

const EVENTS_PER_TURN: usize = 1024;

/// How long a thread sleeps at most: it looks at the board after it.
const SLEEP_MAX: Duration = Duration::from_millis(10);

/// Handshakes that may fail in connect mode, for each thread, before it gives up.
const FAILURES_MAX: u64 = 1000;

const WAKER: Token = Token(usize::MAX);

/// One thread of a run.
pub(super) struct Generator<'r> {
    plan: &'r Plan,
    board: &'r Board,
    number: usize,
    poll: Poll,
    limits: Arc<Limits>,
    seeds: Seeds,
    slots: Vec<Slot>,
    stage: Stage,
    /// Connections that are being opened, and the index of the next.
    opening: usize,
    next_to_open: usize,
    /// Those that have not been read to the end.
    unread: Vec<usize>,
    traffic: Option<Traffic<'r>>,
    tally: Tally,
    buffer: Box<[u8]>,
    out: Vec<u8>,
    looked_ns: u64,
    /// Connections that ended though nobody here wanted that; in connect mode, handshakes.
    lost: u64,
}

/// The place of a connection.
#[derive(Debug, Default)]
struct Slot {
    peer: Option<Peer>,
    /// When it was begun to be opened, in connect mode.
    started_ns: u64,
    /// It opened once and was lost.
    is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    /// All that could be opened is open; whoever leads says when to begin.
    Waiting,
    /// Messages are sent, or handshakes made.
    Running,
    /// No more is sent; what was sent may still come.
    Draining,
    /// All has come.
    Done,
}

/// What a thread has found.
pub(super) struct Findings {
    pub(super) tally: Tally,
    pub(super) judgement: Judgement,
    /// What came to each connection that was there all the time.
    pub(super) accounts: Vec<Account>,
    pub(super) stalls: u64,
    pub(super) lost: u64,
}

impl<'r> Generator<'r> {
    /// The thread with this number of those of the plan.
    ///
    /// # Errors
    /// If the system refuses what polling needs.
    pub(super) fn new(plan: &'r Plan, board: &'r Board, number: usize) -> io::Result<Generator<'r>> {
        let seeds = Seeds::new()?;
        let count = (plan.connections + plan.threads - 1 - number) / plan.threads;
        let key = seeds.masking_key();
        let template = match plan.mode {
            Mode::Echo => Some(Template::numbered(plan.kind, plan.payload_bytes, key)),
            Mode::Broadcast => Some(Template::lines(plan.payload_bytes, key)),
            Mode::Connect | Mode::Idle => None,
        };
        let is_opening = plan.mode != Mode::Connect;
        if !is_opening {
            board.threads_opened.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Generator {
            plan,
            board,
            number,
            poll: Poll::new()?,
            limits: peer::limits(),
            seeds,
            slots: (0..count).map(|_| Slot::default()).collect(),
            stage: if is_opening { Stage::Opening } else { Stage::Waiting },
            opening: 0,
            next_to_open: 0,
            unread: Vec::new(),
            traffic: template.map(|template| Traffic::new(plan, board, template, number, count)),
            tally: Tally::new(),
            buffer: vec![0; BUFFER_BYTES].into(),
            out: Vec::new(),
            looked_ns: 0,
            lost: 0,
        })
    }

    /// Wakes the thread before its sleep is over.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(super) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Runs until the board says that it is over.
    ///
    /// # Errors
    /// If the system refuses to poll.
    pub(super) fn run(mut self) -> io::Result<Findings> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.board.is_over() {
            self.advance();
            let sleep = if self.unread.is_empty() { SLEEP_MAX } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(sleep)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            let unread = std::mem::take(&mut self.unread);
            for event in &events {
                self.obey(event);
            }
            for index in unread {
                self.read(index, true);
            }
            self.board.units[self.number].store(self.tally.units, Ordering::Relaxed);
        }
        Ok(self.finish())
    }

    fn obey(&mut self, event: &Event) {
        if event.token() == WAKER {
            return;
        }
        let index = event.token().0;
        if event.is_writable()
            && let Some(peer) = &mut self.slots[index].peer
            && peer.is_blocked()
        {
            peer.flush();
            self.send(index, self.board.now_ns());
        }
        let is_ending = event.is_read_closed() || event.is_error();
        if event.is_readable() || is_ending {
            self.read(index, is_ending);
        }
    }

    // ---- Stages -----------------------------------------------------------------------------------------------------

    /// Does what is due at this time.
    fn advance(&mut self) {
        let now_ns = self.board.now_ns();
        match self.stage {
            Stage::Opening => self.open_more(now_ns),
            Stage::Waiting => {
                if let Some((begin_ns, window)) = self.board.times()
                    && now_ns >= begin_ns
                {
                    self.tally.measure(window);
                    self.stage = Stage::Running;
                    self.begin(begin_ns, now_ns);
                }
            }
            Stage::Running => {
                let end_ns = self.board.window_end_ns();
                // What was due before the end is sent even if the thread wakes up after it.
                self.send_due(now_ns.min(end_ns.saturating_sub(1)));
                if now_ns >= end_ns {
                    self.tally.end_early(end_ns);
                    self.board.threads_stopped.fetch_add(1, Ordering::SeqCst);
                    self.stage = Stage::Draining;
                }
            }
            Stage::Draining => {
                let have_all_stopped = self.board.threads_stopped.load(Ordering::SeqCst) == self.plan.threads;
                if have_all_stopped && self.is_complete() {
                    self.board.threads_drained.fetch_add(1, Ordering::SeqCst);
                    self.stage = Stage::Done;
                }
            }
            Stage::Done => {}
        }
        if now_ns - self.looked_ns >= LOOK_NS {
            self.looked_ns = now_ns;
            self.expire(now_ns);
            self.end_stalls(now_ns);
        }
    }

    fn begin(&mut self, begin_ns: u64, now_ns: u64) {
        if self.plan.mode == Mode::Connect {
            self.board.open.fetch_add(self.slots.len(), Ordering::SeqCst);
            for index in 0..self.slots.len() {
                self.open(index, now_ns);
            }
        }
        if let Some(traffic) = &mut self.traffic {
            traffic.begin(begin_ns);
            for index in 0..traffic.senders() {
                self.send(index, now_ns);
            }
        }
    }

    /// At a rate, sends what is due.
    fn send_due(&mut self, now_ns: u64) {
        if !self.plan.is_at_rate() {
            return;
        }
        while let Some(index) = self.traffic.as_mut().and_then(|traffic| traffic.next_due(now_ns)) {
            self.send(index, now_ns);
        }
    }

    fn is_complete(&self) -> bool {
        let Some(traffic) = &self.traffic else { return true };
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.peer.is_some()).all(|(index, _)| traffic.is_complete(index))
    }

    /// Ends handshakes that take too long. Open connections have no deadlines.
    fn expire(&mut self, now_ns: u64) {
        if self.stage != Stage::Opening && self.plan.mode != Mode::Connect {
            return;
        }
        for index in 0..self.slots.len() {
            let peer = self.slots[index].peer.as_mut();
            if let Some(ending) = peer.and_then(|peer| peer.handle_timeout(time(now_ns))) {
                self.end(index, &ending, now_ns);
            }
        }
    }

    fn end_stalls(&mut self, now_ns: u64) {
        if self.stage != Stage::Running {
            return;
        }
        let Some(traffic) = &mut self.traffic else { return };
        let slots = &self.slots;
        let can_send = |index: usize| {
            slots[index].peer.as_ref().is_some_and(|peer| peer.is_open() && !peer.is_blocked())
        };
        for index in traffic.end_stalls(can_send) {
            self.send(index, now_ns);
        }
    }

    /// Gives up the connections, and says what was found.
    fn finish(mut self) -> Findings {
        let mut judgement = Judgement::default();
        let mut accounts = Vec::new();
        if let Some(traffic) = &self.traffic {
            for (index, slot) in self.slots.iter().enumerate() {
                if slot.peer.is_none() && !slot.is_lost {
                    continue;
                }
                judgement.add(traffic.judge(index, slot.is_lost));
                if !slot.is_lost {
                    accounts.push(traffic.account(index));
                }
            }
        }
        for slot in &mut self.slots {
            if let Some(peer) = slot.peer.take() {
                peer.reset();
            }
        }
        let stalls = self.traffic.as_ref().map_or(0, Traffic::stalls);
        Findings { tally: self.tally, judgement, accounts, stalls, lost: self.lost }
    }

    // ---- Connections ------------------------------------------------------------------------------------------------

    fn open_more(&mut self, now_ns: u64) {
        let opening_max = self.plan.opening.div_ceil(self.plan.threads);
        while self.next_to_open < self.slots.len() && self.opening < opening_max {
            let has_failed = self.board.failed.load(Ordering::SeqCst);
            let is_hopeless = has_failed > 0 && self.board.opened.load(Ordering::SeqCst) == 0;
            if is_hopeless || has_failed > self.plan.opening {
                // What is left would only fail as well.
                self.board.failed.fetch_add(self.slots.len() - self.next_to_open, Ordering::SeqCst);
                self.next_to_open = self.slots.len();
                break;
            }
            self.opening += 1;
            self.next_to_open += 1;
            self.open(self.next_to_open - 1, now_ns);
        }
        if self.next_to_open == self.slots.len() && self.opening == 0 {
            self.board.threads_opened.fetch_add(1, Ordering::SeqCst);
            self.stage = Stage::Waiting;
        }
    }

    fn open(&mut self, index: usize, now_ns: u64) {
        let ordinal = self.number + index * self.plan.threads;
        self.slots[index].started_ns = now_ns;
        let opened = Peer::open(
            self.plan.route(self.seeds.drawn() * self.plan.threads + self.number),
            self.plan.request(ordinal).clone(),
            self.limits.clone(),
            self.seeds.next(),
            time(now_ns),
            self.poll.registry(),
            Token(index),
        );
        match opened {
            Ok(peer) => self.slots[index].peer = Some(peer),
            Err(error) => self.end(index, &Ending::Broken(error), now_ns),
        }
    }

    /// The server's 101 came.
    fn accepted(&mut self, index: usize, now_ns: u64) {
        self.board.opened.fetch_add(1, Ordering::SeqCst);
        if self.plan.mode == Mode::Connect {
            if let Some(peer) = &mut self.slots[index].peer {
                peer.close(time(now_ns), &mut self.out);
            }
        } else {
            self.opening -= 1;
            self.board.open.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A connection has ended, or could not be opened.
    fn end(&mut self, index: usize, ending: &Ending, now_ns: u64) {
        let ordinal = self.number + index * self.plan.threads;
        let peer = self.slots[index].peer.take();
        let was_accepted = peer.as_ref().is_some_and(Peer::was_accepted);
        if let Some(peer) = peer {
            peer.reset();
        }
        let board = self.board;
        if self.plan.mode == Mode::Connect {
            return self.end_handshake(index, ending, was_accepted, now_ns);
        }
        if was_accepted {
            board.report(|| {
                format!("connection {} of {}: {}", ordinal + 1, self.plan.connections, ending.describe())
            });
            board.open.fetch_sub(1, Ordering::SeqCst);
            board.lose_publisher(ordinal);
            self.slots[index].is_lost = true;
            self.lost += 1;
        } else {
            board.report(|| {
                let count = self.plan.connections;
                format!("connection {} of {count} cannot be opened: {}", ordinal + 1, ending.describe())
            });
            board.failed.fetch_add(1, Ordering::SeqCst);
            board.lose_publisher(ordinal);
            self.opening -= 1;
        }
    }

    /// In connect mode: a connection has come to its end, good or bad, and the next one begins.
    fn end_handshake(&mut self, index: usize, ending: &Ending, was_accepted: bool, now_ns: u64) {
        if was_accepted && matches!(ending, Ending::Closed(Closure::Agreed(..))) {
            self.tally.look(now_ns);
            self.tally.arrive(self.slots[index].started_ns, 0);
            self.tally.settle();
        } else {
            self.board.report(|| format!("a handshake failed: {}", ending.describe()));
            self.lost += 1;
            let is_hopeless = self.board.opened.load(Ordering::SeqCst) == 0;
            if is_hopeless || self.lost > FAILURES_MAX {
                self.board.open.fetch_sub(1, Ordering::SeqCst);
                return;
            }
        }
        if now_ns < self.board.window_end_ns() {
            self.open(index, now_ns);
        }
    }

    // ---- Bytes ------------------------------------------------------------------------------------------------------

    /// Reads a connection, and sends what there is to say to it in one write. If it is ending, it is read to the end.
    #[inline]
    fn read(&mut self, index: usize, is_ending: bool) {
        for _ in 0..READS_PER_TURN {
            let Some(peer) = &mut self.slots[index].peer else { return };
            let received = peer.receive(&mut self.buffer);
            let now_ns = self.board.now_ns();
            let count = match received {
                Received::Bytes(count) => count,
                Received::Again => continue,
                Received::Nothing => return,
                Received::End(ending) => return self.end(index, &ending, now_ns),
            };
            if self.stage == Stage::Waiting {
                // Another thread may have begun to send, and this be the first of it.
                self.advance();
            }
            let Some(peer) = &mut self.slots[index].peer else { return };
            let had_been_accepted = peer.was_accepted();
            self.tally.look(now_ns);
            let input = &mut self.buffer[..count];
            let ending = match &mut self.traffic {
                // What comes before anybody has sent anything is a greeting.
                Some(traffic) if !matches!(self.stage, Stage::Opening | Stage::Waiting) => {
                    traffic.take(index, peer, input, time(now_ns), &mut self.out, &mut self.tally)
                }
                _ => peer.take(input, time(now_ns), &mut self.out, |_| {}),
            };
            self.tally.settle();
            if !had_been_accepted && peer.was_accepted() {
                self.accepted(index, now_ns);
            }
            self.send(index, now_ns);
            if let Some(ending) = ending {
                return self.end(index, &ending, now_ns);
            }
            if count < self.buffer.len() && !is_ending {
                return;
            }
        }
        self.unread.push(index);
    }

    /// Sends what a connection may send, behind what is in `out`.
    #[inline]
    fn send(&mut self, index: usize, now_ns: u64) {
        let Some(peer) = &mut self.slots[index].peer else { return };
        self.tally.look(now_ns);
        match &mut self.traffic {
            Some(traffic)
                if self.stage == Stage::Running
                    && now_ns < self.board.window_end_ns()
                    && index < traffic.senders()
                    && peer.is_open() =>
            {
                traffic.send(index, peer, now_ns, &mut self.out, &mut self.tally);
            }
            _ if !self.out.is_empty() => {
                peer.write(&self.out);
                self.out.clear();
            }
            _ => {}
        }
    }
}

/// The protocol core's time.
#[inline]
fn time(now_ns: u64) -> Time {
    Time((now_ns / 1_000_000) as u32)
}
