//! [`Connection`]: the state machine of RFC 6455 §4 and §7. All transitions stand here, in one file longer than others,
//! because they are understood together or not at all.
//!
//! ```text
//!                     accept                   close
//! Connecting → Awaiting ─────→ Open ──────────────────────→ Closing
//!   │ │            │            │ peer's Close, violation,     │ peer's Close,
//!   │ └────────────┼──────────→ │ fail, idle                   │ violation, fail
//!   │  Accepted    │ respond    ↓                              ↓
//!   └──────────────┴─────────→ Closed ←─────────────────────────
//!     refused, 408              │ EOF, linger over
//!                               ↓
//!                             Ended ← EOF before a Close frame, and the close timeout, from any state
//! ```
//!
//! A state owns what only it needs: an assembler ends with `Open`, the request's key with `Awaiting`. In `Closing` our
//! Close frame is out and the peer's is awaited; in `Closed` both are out, or no more are to come. Nothing is
//! ever appended to `out` after a Close frame.

mod closing;
mod connecting;
mod open;
mod role;

use super::assembler::Assembler;
use super::client_handshake::{Answer, ClientRequest};
use super::close::{CloseCode, CloseReason};
use super::decoder::FrameDecoder;
use super::deflate::{Deflate, Deflater, Inflater};
use super::encoder;
use super::error::ProtocolError;
use super::event::{Closure, Event, Timeout};
use super::frame::Opcode;
use super::handshake::{self, Agreement, Method};
use super::head::{HeadKind, HeadReader};
use super::message::{Kind, Message, Payload};
use super::response::{Response, Status};
use super::time::Time;
use crate::limits::{CONTROL_PAYLOAD_BYTES_MAX, Limits};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use closing::Closing;
use connecting::{Awaiting, Connecting};
use open::{Open, Outcome, RTT_UNKNOWN, Unfinished};
use role::{KeySource, Role};
use std::mem;
use std::sync::Arc;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wants {
    /// Bytes from the peer.
    Input,
    /// Server role: [`Connection::accept`] or [`Connection::respond`]. Input is not consumed meanwhile.
    Decision,
    /// Write what is left, shut down the write side, then read (and hand in, or discard) until the peer's end, so that
    /// no reset overtakes the last bytes. A client does well to wait for the server's end first (§7.1.1).
    FlushThenShutdown,
    /// Nothing from the peer. What is left can be written if that does not take waiting; then drop the transport.
    Nothing,
}

/// One WebSocket connection, without its transport. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    role: Role,
    /// When the last byte came from the peer.
    heard: Time,
    /// When the last byte came or our last Ping went.
    quiet_since: Time,
    state: State,
}

const _: () =
    assert!(size_of::<usize>() != 8 || size_of::<Connection>() <= 56, "100,000 idle connections are cheap");

#[derive(Debug)]
enum State {
    /// The peer's request, or its response, is coming in.
    Connecting(Box<Connecting>),
    /// The request is whole, and the caller decides about it.
    Awaiting(Box<Awaiting>),
    /// Messages go both ways.
    Open(Open),
    /// Our Close frame is out, the peer's is awaited.
    Closing(Box<Closing>),
    /// Nothing more is said, by either side. The peer's end of the transport is awaited.
    Closed { since: Time },
    /// Nothing is awaited. Also what stands in for a state that is being consumed.
    Ended,
}

/// What an input comes to.
enum Step<'i> {
    Event(Option<Event<'i>>),
    /// The payload of this message, which has come whole, is its compressed form.
    Inflate(Message<'i>),
}

// ---- Constructors ---------------------------------------------------------------------------------------------------

impl Connection {
    /// A server's end of a connection that has just been accepted.
    #[must_use]
    pub fn server(limits: Arc<Limits>, now: Time) -> Connection {
        let head = HeadReader::new(HeadKind::Request);
        let connecting = Connecting { since: now, head, expectation: None, keeps_forwarding: false };
        Connection::connecting(limits, Role::Server, connecting)
    }

    /// A client's end of a connection that has just been established; appends the request to `out`.
    ///
    /// The handshake's nonce and the masking keys are drawn from `seed`, by a cipher (§5.3, §10.3). It must be
    /// unpredictable, and of this connection alone.
    #[must_use]
    pub fn client(
        limits: Arc<Limits>,
        request: ClientRequest,
        seed: [u8; 32],
        now: Time,
        out: &mut Vec<u8>,
    ) -> Connection {
        let mut keys = KeySource(ChaCha20Rng::from_seed(seed));
        let mut nonce = [0; 16];
        keys.0.fill_bytes(&mut nonce);
        let expectation = Some(request.append(nonce, out));
        let head = HeadReader::new(HeadKind::Response);
        let connecting = Connecting { since: now, head, expectation, keeps_forwarding: false };
        Connection::connecting(limits, Role::Client(Box::new(keys)), connecting)
    }

    fn connecting(limits: Arc<Limits>, role: Role, connecting: Connecting) -> Connection {
        let now = connecting.since;
        Connection {
            limits,
            role,
            heard: now,
            quiet_since: now,
            state: State::Connecting(Box::new(connecting)),
        }
    }
}

impl Connection {
    /// Other limits from now on. While a message is coming in, it is bound by what they say of what is still to come.
    pub(crate) fn limit(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
    }
}

// ---- Inputs ---------------------------------------------------------------------------------------------------------

impl Connection {
    /// Has the request keep [what proxies have added](super::Request::forwarding) about where it comes from. Only before
    /// the request.
    pub fn keep_forwarding(&mut self) {
        if let State::Connecting(connecting) = &mut self.state {
            connecting.keeps_forwarding = true;
        }
    }

    /// Consumes bytes from the front of `input` until there is an event (handle it and call again) or the input is used
    /// up (`None`). Replies are appended to `out`.
    ///
    /// While a decision is awaited nothing is consumed: hand what is left to [`hold`](Self::hold), or keep it. Once the
    /// connection is closed, input is discarded.
    ///
    /// An input never fails: a violation fails the connection (§7.1.7) and comes out as a Close frame and
    /// [`Event::Closed`].
    ///
    /// Each compressed message is inflated by an inflater of its own and assembled; if compression was agreed to,
    /// [`next_event_inflating`](Self::next_event_inflating) does better.
    pub fn next_event<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        now: Time,
        out: &mut Vec<u8>,
    ) -> Option<Event<'i>> {
        if let Some(message) = self.lent_message(input, now) {
            return Some(Event::Message(message));
        }
        match self.step(input, now, out) {
            Step::Event(event) => event,
            Step::Inflate(Message { kind, payload }) => {
                let mut inflater = Inflater::new();
                Some(match self.inflate(kind, &payload, &mut inflater) {
                    Ok(bytes) => {
                        Event::Message(Message { kind, payload: Payload::Assembled(bytes.to_vec()) })
                    }
                    Err(error) => self.fail_by(error, now, out),
                })
            }
        }
    }

    /// The same with an inflater to be used again, of whatever connections: a message that came compressed is lent from
    /// there.
    #[inline]
    pub fn next_event_inflating<'e, 'i: 'e>(
        &mut self,
        input: &mut &'i mut [u8],
        now: Time,
        inflater: &'e mut Inflater,
        out: &mut Vec<u8>,
    ) -> Option<Event<'e>> {
        match self.lent_message(input, now) {
            Some(message) => Some(Event::Message(message)),
            None => self.step_inflating(input, now, inflater, out),
        }
    }

    /// Consumes the messages at the front of `input` that have come whole, each in one frame and not compressed, and hands
    /// them to `take` one after another. It stops before anything else, which is left to
    /// [`next_event`](Self::next_event); that returns the same messages, one a call, and neither needs the other.
    ///
    /// This is for whoever gets many messages in one input and need not answer in between: what holds for all of them is
    /// looked at once, and no event is made.
    #[inline]
    pub fn take_whole_messages<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        now: Time,
        mut take: impl FnMut(Message<'i>),
    ) {
        let State::Open(open) = &mut self.state else { return };
        let Some(whole) = open.whole_messages(&self.limits, &self.role) else { return };
        let len = input.len();
        // A cursor of its own, which stays in registers.
        let mut rest = mem::take(input);
        while let Some(message) = whole.lend(&mut rest) {
            take(message);
        }
        *input = rest;
        if input.len() < len {
            open.compressed = false;
            self.heard = now;
            self.quiet_since = now;
        }
    }

    /// It is not inlined, as [`step`](Self::step) is not.
    #[inline(never)]
    fn step_inflating<'e, 'i: 'e>(
        &mut self,
        input: &mut &'i mut [u8],
        now: Time,
        inflater: &'e mut Inflater,
        out: &mut Vec<u8>,
    ) -> Option<Event<'e>> {
        match self.step(input, now, out) {
            Step::Event(event) => event,
            Step::Inflate(Message { kind, payload }) => Some(match self.inflate(kind, &payload, inflater) {
                Ok(bytes) => Event::Message(Message { kind, payload: Payload::Lent(bytes) }),
                Err(error) => self.fail_by(error, now, out),
            }),
        }
    }

    /// Inflates a message that has come whole.
    fn inflate<'e>(
        &mut self,
        kind: Kind,
        compressed: &[u8],
        inflater: &'e mut Inflater,
    ) -> Result<&'e mut [u8], ProtocolError> {
        let message_bytes_max = self.limits.message_bytes_max;
        let State::Open(open) = &mut self.state else { return Err(ProtocolError::DeflateInvalid) };
        match open.deflate.and_then(|deflate| self.role.window_of_peer(deflate)) {
            None => inflater.inflate(kind, compressed, message_bytes_max, None),
            Some(window) => {
                let context = &mut open.unfinished.get_or_insert_default().context;
                let message = inflater.inflate(kind, compressed, message_bytes_max, Some((context, window)));
                // Behind empty messages there is nothing to refer to.
                open.forget_unused();
                message
            }
        }
    }

    /// §7.1.7: "SHOULD send a Close frame with an appropriate status code before proceeding".
    fn fail_by(&mut self, error: ProtocolError, now: Time, out: &mut Vec<u8>) -> Event<'static> {
        let key = self.role.next_masking_key();
        encoder::append_close(Some(error.code()), error.sentence(), key, out);
        self.state = State::Closed { since: now };
        Event::Closed(Closure::Failed(error))
    }

    /// The way that almost all messages take, short for speed: see [`WholeMessages`](open::WholeMessages).
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its result goes through memory otherwise")]
    fn lent_message<'i>(&mut self, input: &mut &'i mut [u8], now: Time) -> Option<Message<'i>> {
        let State::Open(open) = &mut self.state else { return None };
        let message = open.whole_messages(&self.limits, &self.role)?.lend(input)?;
        open.compressed = false;
        self.heard = now;
        self.quiet_since = now;
        Some(message)
    }

    /// Consumes input up to the next event, or to a message that is still to be inflated.
    ///
    /// It is not inlined, so that its many large results do not make the way of a lent message one through memory.
    #[inline(never)]
    fn step<'i>(&mut self, input: &mut &'i mut [u8], now: Time, out: &mut Vec<u8>) -> Step<'i> {
        Step::Event(match &mut self.state {
            State::Open(open) => {
                if input.is_empty() {
                    return Step::Event(None);
                }
                // Our Ping was the latest on the way: what comes first now, if it is a Pong, answers it.
                let pinged = self.quiet_since != self.heard && self.quiet_since.reached(self.heard);
                let quiet_ms = pinged.then(|| now.since(self.quiet_since));
                self.heard = now;
                self.quiet_since = now;
                match open.read_frames(input, quiet_ms, &self.limits, &mut self.role, out) {
                    Ok(Outcome::Starved) => None,
                    Ok(Outcome::Message(message)) => Some(Event::Message(message)),
                    Ok(Outcome::Compressed(message)) => return Step::Inflate(message),
                    Ok(Outcome::Close(code, reason)) => {
                        // §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the
                        // endpoint MUST send a Close frame in response", and "typically echos the status code".
                        encoder::append_close(code, "", self.role.next_masking_key(), out);
                        self.state = State::Closed { since: now };
                        Some(Event::Closed(Closure::Agreed(code, reason)))
                    }
                    Err(error) => Some(self.fail_by(error, now, out)),
                }
            }
            State::Closing(closing) => {
                let closure = match closing.read_frames(input, &self.role) {
                    Ok(None) => return Step::Event(None),
                    Ok(Some((code, reason))) => Closure::Agreed(code, reason),
                    // Our Close frame is out already; nothing may follow it.
                    Err(error) => Closure::Failed(error),
                };
                self.state = State::Closed { since: now };
                Some(Event::Closed(closure))
            }
            State::Connecting(connecting) if connecting.expectation.is_none() => {
                let (request, awaiting) = match connecting.read_request(input) {
                    Ok(None) => return Step::Event(None),
                    Ok(Some(decided)) => decided,
                    Err((error, with_body)) => {
                        error.response().append(with_body, out);
                        self.state = State::Closed { since: now };
                        return Step::Event(Some(Event::Closed(Closure::Refused(error))));
                    }
                };
                self.state = State::Awaiting(Box::new(awaiting));
                Some(Event::Requested(Box::new(request)))
            }
            State::Connecting(connecting) => match connecting.read_response(input) {
                Ok(None | Some(Answer::Interim)) => None,
                Ok(Some(Answer::Agreed(agreement))) => {
                    self.open(agreement.deflate, now);
                    Some(Event::Accepted(agreement))
                }
                Ok(Some(Answer::Other(status))) => {
                    self.state = State::Closed { since: now };
                    Some(Event::Closed(Closure::Responded(status)))
                }
                Err(error) => {
                    self.state = State::Closed { since: now };
                    Some(Event::Closed(Closure::Refused(error)))
                }
            },
            State::Awaiting(_) => None,
            State::Closed { .. } | State::Ended => {
                // §7.1.7: "MUST NOT continue to attempt to process data" after failing; §1.4: after a Close frame "the
                // peer discards any further data received".
                mem::take(input);
                None
            }
        })
    }

    /// The peer's end of the TCP connection came. Without a Close frame before it, the connection is
    /// [`Lost`](Closure::Lost).
    pub fn receive_eof(&mut self, _now: Time) -> Option<Event<'static>> {
        match mem::replace(&mut self.state, State::Ended) {
            State::Connecting(_) | State::Awaiting(_) | State::Open(_) | State::Closing(_) => {
                Some(Event::Closed(Closure::Lost))
            }
            State::Closed { .. } | State::Ended => None,
        }
    }

    /// Time has passed. Call it at or after [`deadline`](Self::deadline); earlier calls do nothing.
    ///
    /// - A handshake that took too long is answered with 408, or with 503 if it is our decision that did.
    /// - After each ping interval in which no byte came and no Ping went, a Ping goes out.
    /// - A peer of which no byte came for the idle timeout is failed with 1008, which an operator can tell from the
    ///   1001 of a server that goes down; nobody waits for its answer.
    /// - A peer that does not answer our Close frame is waited for no longer, nor is one that does not close TCP.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Event<'static>> {
        let deadline = self.deadline()?;
        if !now.reached(deadline) {
            return None;
        }
        match &mut self.state {
            State::Connecting(connecting) => {
                self.state = if connecting.expectation.is_none() {
                    let body = "the request did not arrive in time\n";
                    Response::text(Status::REQUEST_TIMEOUT, body).append(true, out);
                    State::Closed { since: now }
                } else {
                    State::Ended
                };
                Some(Event::Closed(Closure::TimedOut(Timeout::Handshake)))
            }
            State::Awaiting(awaiting) => {
                let body = "the server did not get ready in time\n";
                let response = Response::text(Status::SERVICE_UNAVAILABLE, body);
                response.append(awaiting.method != Method::Head, out);
                self.state = State::Closed { since: now };
                Some(Event::Closed(Closure::TimedOut(Timeout::Handshake)))
            }
            State::Open(_) => {
                let idle_timeout_ms = self.limits.idle_timeout_ms;
                if idle_timeout_ms > 0 && now.reached(self.heard.plus(idle_timeout_ms)) {
                    let seconds = f64::from(now.since(self.heard)) / 1000.0;
                    let reason = format!("idle: no byte came for {seconds} s");
                    let key = self.role.next_masking_key();
                    encoder::append_close(Some(CloseCode::POLICY_VIOLATION), &reason, key, out);
                    self.state = State::Closed { since: now };
                    return Some(Event::Closed(Closure::TimedOut(Timeout::Idle)));
                }
                encoder::append_control(Opcode::Ping, self.role.next_masking_key(), b"", out);
                self.quiet_since = now;
                None
            }
            State::Closing(_) => {
                self.state = State::Ended;
                Some(Event::Closed(Closure::TimedOut(Timeout::Close)))
            }
            State::Closed { .. } | State::Ended => {
                self.state = State::Ended;
                None
            }
        }
    }

    /// The peer counts as alive although nothing was read from it: because we chose not to read, or because it took
    /// bytes from us.
    pub fn heard(&mut self, now: Time) {
        self.heard = now;
        self.quiet_since = now;
    }

    /// Forgives the peer its silence up to now: nobody listened, or asked it for a Pong. A Ping that is due is so still.
    pub fn excuse(&mut self, now: Time) {
        self.heard = now;
    }

    /// Says whether bytes of the peer's own wait unwritten, more than
    /// [`OWN_BYTES_MARK`](crate::limits::OWN_BYTES_MARK) of them. Say it again whenever that may have changed: it is cheap.
    ///
    /// Meanwhile Pings are not answered, but for the latest, whose Pong is appended to `out` when the congestion ends
    /// (§5.5.3 allows it). The same holds within [`next_event`](Self::next_event) once `out` is longer than the mark.
    pub fn set_congested(&mut self, congested: bool, out: &mut Vec<u8>) {
        let State::Open(open) = &mut self.state else { return };
        if congested {
            open.unfinished.get_or_insert_default().congested = true;
        } else if let Some(unfinished) = &mut open.unfinished {
            unfinished.congested = false;
            if let Some(payload) = unfinished.owed_pong.take() {
                encoder::append_control(Opcode::Pong, self.role.next_masking_key(), &payload, out);
            }
            open.forget_unused();
        }
    }

    /// Keeps input that [`next_event`](Self::next_event) has not consumed: in the server role what came behind the
    /// request head while a decision is awaited, and in an open connection what shall wait for another time, until
    /// [`take_held`](Self::take_held).
    pub fn hold(&mut self, rest: &[u8]) {
        match &mut self.state {
            State::Awaiting(awaiting) => awaiting.held.extend_from_slice(rest),
            State::Open(open) if !rest.is_empty() => {
                open.unfinished.get_or_insert_default().held.extend_from_slice(rest);
            }
            _ => {}
        }
    }

    /// Gives back what a connection [holds](Self::hold) since it is open: hand it to [`next_event`](Self::next_event)
    /// before any other input. Empty if there is nothing.
    pub fn take_held(&mut self) -> Vec<u8> {
        let open = match &mut self.state {
            State::Open(open) => open,
            State::Closing(closing) => return mem::take(&mut closing.held),
            _ => return Vec::new(),
        };
        let held = open.unfinished.as_mut().map(|unfinished| mem::take(&mut unfinished.held));
        if held.as_ref().is_some_and(|held| !held.is_empty()) {
            open.forget_unused();
        }
        held.unwrap_or_default()
    }
}

// ---- Commands -------------------------------------------------------------------------------------------------------

impl Connection {
    /// Server role: opens the connection by a 101 (§4.2.2). Returns what was [held](Self::hold): hand it to
    /// [`next_event`](Self::next_event) before any other input.
    ///
    /// A request whose [`upgrade`](super::Request::upgrade) is an error must not be accepted; it is refused with that error
    /// here, without an event. Does nothing unless a decision is awaited.
    pub fn accept(&mut self, agreement: Agreement, now: Time, out: &mut Vec<u8>) -> Vec<u8> {
        match mem::replace(&mut self.state, State::Ended) {
            State::Awaiting(awaiting) => {
                let Awaiting { upgrade, method, held, .. } = *awaiting;
                match upgrade {
                    Ok(accept_key) => {
                        self.open(agreement.deflate, now);
                        handshake::append_accepted(accept_key, agreement, out);
                        held
                    }
                    Err(error) => {
                        debug_assert!(false, "a request that opens no WebSocket is not accepted: {error}");
                        error.response().append(method != Method::Head, out);
                        self.state = State::Closed { since: now };
                        Vec::new()
                    }
                }
            }
            state => {
                self.state = state;
                Vec::new()
            }
        }
    }

    /// Server role: answers the request by a page or a refusal instead of a 101, and ends the connection. Before the
    /// request is whole this is legal too, for a server that is full or going down.
    ///
    /// Returns why the connection ended, instead of an event; `None`, and nothing is done, once there was an answer.
    pub fn respond(&mut self, response: &Response, now: Time, out: &mut Vec<u8>) -> Option<Closure> {
        let with_body = match &self.state {
            State::Connecting(connecting) if connecting.expectation.is_none() => true,
            State::Awaiting(awaiting) => awaiting.method != Method::Head,
            _ => return None,
        };
        response.append(with_body, out);
        self.state = State::Closed { since: now };
        Some(Closure::Responded(response.status))
    }

    /// Sends a message in one frame, as it is. Returns false, and does nothing, unless the connection is open.
    ///
    /// A text's payload must be UTF-8; that is not checked here.
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let open = self.is_open();
        if open {
            encoder::append_frame(true, kind.into(), self.role.next_masking_key(), payload, out);
        }
        open
    }

    /// The same, compressed if that was agreed to and is worth it ([`Compressing`](super::Compressing)).
    #[inline]
    pub fn send_deflated(
        &mut self,
        kind: Kind,
        payload: &[u8],
        deflater: &mut Deflater,
        out: &mut Vec<u8>,
    ) -> bool {
        match self.deflate().and_then(|deflate| self.role.own_window(deflate)) {
            None => self.send(kind, payload, out),
            Some(window) => {
                deflater.append(window, self.role.next_masking_key(), kind, payload, out);
                true
            }
        }
    }

    /// Sends a message in as many frames as it has fragments (§5.4); one empty frame if there are none. Returns false,
    /// and does nothing, unless the connection is open.
    pub fn send_fragments<'f>(
        &mut self,
        kind: Kind,
        fragments: impl IntoIterator<Item = &'f [u8]>,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.is_open() {
            return false;
        }
        let mut fragments = fragments.into_iter().peekable();
        let mut fragment = fragments.next().unwrap_or_default();
        let mut opcode = kind.into();
        loop {
            let fin = fragments.peek().is_none();
            encoder::append_frame(fin, opcode, self.role.next_masking_key(), fragment, out);
            match fragments.next() {
                Some(next) => fragment = next,
                None => return true,
            }
            opcode = Opcode::Continuation;
        }
    }

    /// Sends a Ping (§5.5.2). Returns false, and does nothing, if the connection is not open or the payload has more than
    /// [`CONTROL_PAYLOAD_BYTES_MAX`] bytes.
    pub fn send_ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let sends = self.is_open() && payload.len() <= CONTROL_PAYLOAD_BYTES_MAX;
        if sends {
            encoder::append_control(Opcode::Ping, self.role.next_masking_key(), payload, out);
        }
        sends
    }

    /// Starts the closing handshake (§7.1.2): a Close frame goes out, and the peer's is awaited. Does nothing unless the
    /// connection is open, so the first call wins.
    ///
    /// Messages that still come are discarded. A code that may not be sent is treated as [`append_close`] says.
    ///
    /// [`append_close`]: super::append_close
    pub fn close(&mut self, code: CloseCode, reason: &CloseReason, now: Time, out: &mut Vec<u8>) {
        self.state = match mem::replace(&mut self.state, State::Ended) {
            State::Open(open) => {
                encoder::append_close(Some(code), reason.as_str(), self.role.next_masking_key(), out);
                State::Closing(Box::new(open.start_closing_handshake(now)))
            }
            state => state,
        };
    }

    /// Fails the connection by the caller's decision (§7.1.7), as for a slow consumer or an internal error: a Close frame
    /// goes out, unless one is out already, and no answer is awaited.
    ///
    /// Returns why the connection ended, instead of an event; `None`, and nothing is done, unless it is open or in its
    /// closing handshake. Before that, [`respond`](Self::respond) is the way to end it.
    pub fn fail(
        &mut self,
        code: CloseCode,
        reason: &CloseReason,
        now: Time,
        out: &mut Vec<u8>,
    ) -> Option<Closure> {
        match &self.state {
            State::Open(_) => {
                encoder::append_close(Some(code), reason.as_str(), self.role.next_masking_key(), out);
            }
            State::Closing(_) => {}
            State::Connecting(_) | State::Awaiting(_) | State::Closed { .. } | State::Ended => return None,
        }
        self.state = State::Closed { since: now };
        Some(Closure::Dropped(code))
    }

    fn open(&mut self, deflate: Option<Deflate>, now: Time) {
        self.heard(now);
        self.state = State::Open(Open {
            decoder: FrameDecoder::new(),
            deflate,
            compressed: false,
            rtt_ms: RTT_UNKNOWN,
            unfinished: None,
        });
    }
}

// ---- Getters --------------------------------------------------------------------------------------------------------

impl Connection {
    /// What the connection waits for.
    #[must_use]
    pub fn wants(&self) -> Wants {
        match self.state {
            State::Connecting(_) | State::Open(_) | State::Closing(_) => Wants::Input,
            State::Awaiting(_) => Wants::Decision,
            State::Closed { .. } => Wants::FlushThenShutdown,
            State::Ended => Wants::Nothing,
        }
    }

    /// Milliseconds between the latest of our Pings that was answered and its Pong, at most 65,534. It is measured where the
    /// Pong is the first that comes after a Ping, which [`handle_timeout`](Self::handle_timeout) sends into silence; a peer
    /// that is never silent is not asked. None before the first, and unless the connection is open.
    #[must_use]
    pub fn rtt_ms(&self) -> Option<u32> {
        match &self.state {
            State::Open(open) if open.rtt_ms != RTT_UNKNOWN => Some(u32::from(open.rtt_ms)),
            _ => None,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, if ever. It moves later by itself as bytes
    /// come in.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let Limits { handshake_timeout_ms, ping_interval_ms, idle_timeout_ms, close_timeout_ms, .. } =
            *self.limits;
        let after = |since: Time, ms| if ms == 0 { None } else { Some(since.plus(ms)) };
        match &self.state {
            State::Connecting(connecting) => after(connecting.since, handshake_timeout_ms),
            State::Awaiting(awaiting) => after(awaiting.since, handshake_timeout_ms),
            State::Open(_) => {
                let ping = after(self.quiet_since, ping_interval_ms);
                let idle = after(self.heard, idle_timeout_ms);
                match (ping, idle) {
                    (Some(ping), Some(idle)) => Some(ping.earlier(idle)),
                    (ping, idle) => ping.or(idle),
                }
            }
            // Here 0 means that nobody waits, and not that the wait has no end.
            State::Closing(closing) => Some(closing.since.plus(close_timeout_ms)),
            State::Closed { since } => Some(since.plus(close_timeout_ms)),
            State::Ended => None,
        }
    }

    /// Whether our side has said its last: a Close frame, or a response other than 101, is in what was appended, and
    /// nothing will be appended any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Closing(_) | State::Closed { .. } | State::Ended)
    }

    /// What was agreed about compression, if the connection is open and messages may be compressed.
    #[must_use]
    pub fn deflate(&self) -> Option<Deflate> {
        match &self.state {
            State::Open(open) => open.deflate,
            _ => None,
        }
    }

    /// Whether the opening handshake is over, and the closing handshake is not: its end, when it comes, is that of a
    /// WebSocket.
    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Closing(_))
    }

    /// Whether messages can be sent.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Bytes of input that the connection [holds](Self::hold).
    #[must_use]
    pub fn held_input_bytes(&self) -> usize {
        match &self.state {
            State::Awaiting(awaiting) => awaiting.held.len(),
            State::Open(open) => open.unfinished.as_ref().map_or(0, |unfinished| unfinished.held.len()),
            State::Closing(closing) => closing.held.len(),
            State::Connecting(_) | State::Closed { .. } | State::Ended => 0,
        }
    }

    /// Bytes of memory held for what has come in and is not finished: a head, a message, what is held. An idle connection
    /// holds none.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Connecting(connecting) => connecting.head.held_bytes(),
            State::Awaiting(awaiting) => awaiting.held.capacity(),
            State::Open(open) => open.unfinished.as_ref().map_or(0, |unfinished| {
                let message = unfinished.message.as_ref().map_or(0, Assembler::held_bytes);
                let owed_pong = unfinished.owed_pong.as_ref().map_or(0, |payload| payload.len());
                let context = unfinished.context.held_bytes();
                let held = unfinished.held.capacity();
                size_of::<Unfinished>() + message + unfinished.control.capacity() + owed_pong + held + context
            }),
            State::Closing(closing) => closing.control.capacity() + closing.held.capacity(),
            State::Closed { .. } | State::Ended => 0,
        }
    }
}
