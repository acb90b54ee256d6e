//! [`Tls`]: TLS over a stream, with as little memory for each client as rustls allows.
//!
//! It uses rustls' unbuffered interface: records are decrypted where the worker has read them, and encrypted into a
//! buffer of the worker's, so that an idle client owns no buffer at all. A busy one owns what is left over: the
//! beginning of a record whose end has not come ([`Tls::undigested`](Tls)), ciphertext that the stream has not taken
//! (`unsent`), and plaintext for which a reader had no room (`unread`), each bounded and freed once it is empty.
//!
//! It knows no socket but a [`Stream`], so that tests run it on one of their own. The stream is non-blocking, and its
//! readiness edge-triggered: everything here reads and writes until the stream says `WouldBlock`, or says itself that
//! there is more.
//!
//! The end of the stream without a `close_notify` is an end like any other: WebSocket has a closing handshake of its own,
//! and a connection that is cut off before that counts as cut off, whatever TLS says (RFC 8446 §6.1 leaves this to the
//! protocol above).

mod buffers;
#[cfg(test)]
mod tests;

pub(crate) use buffers::Buffers;

use super::Received;
use crate::limits;
use buffers::{Outgoing, Rest};
use rustls::server::{ServerConfig, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

/// What somebody gets who speaks plain HTTP to a port that speaks TLS.
const PLAINTEXT_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 45\r\nConnection: close\r\n\r\nthis port speaks TLS: use https:// or wss://\n";

/// What TLS runs over: non-blocking, both ways.
pub(crate) trait Stream: Read + Write {
    /// Tells the peer that nothing more will come.
    fn shutdown_write(&mut self);
}

/// What a connection's TLS handshake has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// It goes on.
    Pending,
    /// It is complete.
    Completed {
        /// A former session was resumed.
        resumed: bool,
    },
    /// It failed.
    Failed,
    /// The peer spoke plain HTTP, and was told so.
    Plaintext,
}

/// What may still be said and understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The handshake goes on.
    Handshaking,
    /// Both sides may speak.
    Open,
    /// Our last record is made: a `close_notify`, the alert of a failed handshake, or an answer in plaintext. What still
    /// comes is discarded until the end.
    Over,
    /// It failed after the handshake: nothing is waited for.
    Failed,
}

/// One client's TLS.
pub(crate) struct Tls<S> {
    stream: S,
    session: UnbufferedServerConnection,
    stage: Stage,
    handshake: Handshake,
    /// The peer has said its last, by a `close_notify` or the stream's end.
    peer_ended: bool,
    /// The write side is to be shut down once `unsent` is empty.
    is_finishing: bool,
    /// It is.
    is_shut_down: bool,
    /// Received, and no whole record or handshake message yet. At most [`limits::TLS_UNDIGESTED_BYTES_MAX`].
    undigested: Vec<u8>,
    /// Decrypted, not read yet. At most what one record holds.
    unread: Rest,
    /// Encrypted, not taken by the stream yet. At most a run of records, and the few that the handshake, alerts and
    /// new keys ask for; no run is made before it is empty.
    unsent: Rest,
    /// What it failed of, until somebody asks.
    failure: Option<Box<rustls::Error>>,
    /// Bytes held, as somebody last asked for them.
    counted_bytes: usize,
    /// When the connection was accepted, in its owner's milliseconds.
    accepted_ms: u32,
    /// What was read of the stream before, and comes first. At most [`limits::PROXY_HEADER_BYTES_MAX`].
    first: Rest,
}

impl<S: Stream> Tls<S> {
    /// TLS over a fresh connection, whose handshake begins. `accepted_ms` is for its owner to remember; `first` was read of
    /// the stream already.
    ///
    /// # Errors
    /// If `config` cannot be used.
    pub(crate) fn new(
        stream: S,
        config: Arc<ServerConfig>,
        accepted_ms: u32,
        first: Vec<u8>,
    ) -> io::Result<Tls<S>> {
        Ok(Tls {
            first: Rest::from(first),
            stream,
            session: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            stage: Stage::Handshaking,
            handshake: Handshake::Pending,
            peer_ended: false,
            is_finishing: false,
            is_shut_down: false,
            undigested: Vec::new(),
            unread: Rest::default(),
            unsent: Rest::default(),
            failure: None,
            counted_bytes: 0,
            accepted_ms,
        })
    }

    /// What carries it.
    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What its handshake has come to.
    pub(crate) fn handshake(&self) -> Handshake {
        self.handshake
    }

    /// What it failed of, once.
    pub(crate) fn take_failure(&mut self) -> Option<Box<rustls::Error>> {
        self.failure.take()
    }

    /// When the connection was accepted, in its owner's milliseconds.
    pub(crate) fn accepted_ms(&self) -> u32 {
        self.accepted_ms
    }

    /// Bytes of memory that it holds for this client alone.
    pub(crate) fn held_bytes(&self) -> usize {
        let rests = [&self.unread, &self.unsent, &self.first].map(Rest::held_bytes);
        self.undigested.capacity() + rests.iter().sum::<usize>()
    }

    /// Whether ciphertext waits for room in the stream.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Bytes that it held when this was last called, and those that it holds now.
    pub(crate) fn recount(&mut self) -> (usize, usize) {
        let held_bytes = self.held_bytes();
        (std::mem::replace(&mut self.counted_bytes, held_bytes), held_bytes)
    }

    /// Whether plaintext can be written as far as TLS is concerned. [`flush`](Self::flush) says more.
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Reads and decrypts what has come, as much as fits.
    ///
    /// From the stream it takes at most as many bytes as the reader has room for, whatever they turn out to be: records
    /// without plaintext, a flood of new keys say, do not keep the worker here.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has come, else what the connection died of.
    pub(crate) fn read(&mut self, into: &mut [u8], buffers: &mut Buffers) -> io::Result<Received> {
        let mut bytes = self.unread.move_to(into);
        let (mut taken, mut cost_bytes) = (0, bytes);
        while bytes < into.len() && taken < into.len() && !self.peer_ended && self.stage != Stage::Failed {
            let room = (into.len() - bytes).min(into.len() - taken);
            match self.fill(room, buffers) {
                Ok(0) => self.peer_ended = true,
                Ok(read) => {
                    taken += read;
                    cost_bytes += read;
                    let (plaintext, has_answered) = self.digest(read, &mut into[bytes..], buffers);
                    bytes += plaintext;
                    if has_answered {
                        cost_bytes += limits::TLS_FLIGHT_COST_BYTES;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return if cost_bytes == 0 {
                        Err(error)
                    } else {
                        Ok(Received::Bytes { bytes, cost_bytes, more: false })
                    };
                }
                Err(error) if bytes == 0 => return Err(error),
                // The stream has ended with it; what came before goes first.
                Err(_) => self.peer_ended = true,
            }
        }
        match bytes {
            0 if self.stage == Stage::Failed => Err(ErrorKind::InvalidData.into()),
            0 if self.peer_ended => Ok(Received::End),
            _ => Ok(Received::Bytes { bytes, cost_bytes, more: true }),
        }
    }

    /// Encrypts and writes as much as there is room for; how much plaintext that was. Less than all of it, or none by
    /// `WouldBlock`, means that a writable edge will come, or that [`flush`](Self::flush) is to be called without one
    /// if the answer is [`limits::TLS_WRITE_BYTES_MAX`] or the handshake goes on.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, else what the connection died of.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>], buffers: &mut Buffers) -> io::Result<usize> {
        match self.stage {
            Stage::Handshaking => return Err(ErrorKind::WouldBlock.into()),
            Stage::Over | Stage::Failed => return Err(ErrorKind::BrokenPipe.into()),
            Stage::Open => {}
        }
        if !self.flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        let mut slices = slices.iter().map(|slice| &**slice).filter(|slice| !slice.is_empty());
        let mut slice = slices.next().unwrap_or_default();
        let mut plaintext = std::mem::take(&mut buffers.plaintext);
        while !slice.is_empty() && taken < limits::TLS_WRITE_BYTES_MAX && self.unsent.is_empty() {
            // A run is as full as the slices allow: one that is long enough is encrypted where it is.
            if slice.len() >= limits::TLS_RUN_BYTES {
                let (run, rest) = slice.split_at(limits::TLS_RUN_BYTES);
                self.encrypt(run, &mut buffers.outgoing)?;
                taken += run.len();
                slice = rest;
            } else {
                plaintext.clear();
                while !slice.is_empty() && plaintext.len() < limits::TLS_RUN_BYTES {
                    let (piece, rest) =
                        slice.split_at(slice.len().min(limits::TLS_RUN_BYTES - plaintext.len()));
                    plaintext.extend_from_slice(piece);
                    slice = if rest.is_empty() { slices.next().unwrap_or_default() } else { rest };
                }
                self.encrypt(&plaintext, &mut buffers.outgoing)?;
                taken += plaintext.len();
            }
            if slice.is_empty() {
                slice = slices.next().unwrap_or_default();
            }
            self.send(&mut buffers.outgoing)?;
        }
        buffers.plaintext = plaintext;
        Ok(taken)
    }

    /// Writes ciphertext that waits; whether all of it is out. Then the write side is shut down if that was asked for.
    ///
    /// # Errors
    /// What the connection died of.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(self.unsent.bytes()) {
                Ok(written) => self.unsent.forget(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    // Nobody is there to take the rest.
                    self.unsent = Rest::default();
                    return Err(error);
                }
            }
        }
        if self.is_finishing && !self.is_shut_down {
            self.is_shut_down = true;
            self.stream.shutdown_write();
        }
        Ok(true)
    }

    /// Tells the peer that nothing more will come: a `close_notify` behind all that was written, and the stream's end
    /// behind that, as soon as there is room.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method fits one lifetime, and not all"
    )]
    pub(crate) fn shut_down(&mut self, buffers: &mut Buffers) {
        let out = &mut buffers.outgoing;
        if self.stage == Stage::Open
            && self.with_traffic(out, |traffic, space| traffic.queue_close_notify(space)).is_ok()
        {
            self.unsent.push(out.bytes());
        }
        out.clear();
        self.finish(Stage::Over);
    }

    /// Nothing is said and nothing understood any more; the stream is shut down behind what is unsent.
    fn finish(&mut self, stage: Stage) {
        self.stage = stage;
        self.is_finishing = true;
        self.undigested = Vec::new();
        // If it fails the stream is gone, and its reader comes to know.
        drop(self.flush());
    }

    /// Reads up to `room` bytes behind what is undigested; 0 at the stream's end.
    fn fill(&mut self, room: usize, buffers: &mut Buffers) -> io::Result<usize> {
        if buffers.incoming.is_empty() {
            buffers.incoming.resize(limits::TLS_UNDIGESTED_BYTES_MAX + limits::TLS_READ_BYTES, 0);
        }
        let kept = self.undigested.len();
        buffers.incoming[..kept].copy_from_slice(&self.undigested);
        let room = room.min(limits::TLS_READ_BYTES);
        if !self.first.is_empty() {
            return Ok(self.first.move_to(&mut buffers.incoming[kept..kept + room]));
        }
        self.stream.read(&mut buffers.incoming[kept..kept + room])
    }

    /// Makes of what is undigested, and of the `read` bytes behind it, what can be made: plaintext, as much as fits
    /// into `into` there and the rest in `unread`; answers, which are sent. How much went into `into`, and whether
    /// there was an answer.
    fn digest(&mut self, read: usize, into: &mut [u8], buffers: &mut Buffers) -> (usize, bool) {
        if self.stage == Stage::Over {
            // The peer is waited for, and not listened to.
            return (0, false);
        }
        let Buffers { incoming, outgoing, .. } = buffers;
        let received = &mut incoming[..self.undigested.len() + read];
        if self.stage == Stage::Handshaking && self.speaks_plaintext(received) {
            self.handshake = Handshake::Plaintext;
            self.unsent.push(PLAINTEXT_ANSWER.as_bytes());
            self.finish(Stage::Over);
            return (0, false);
        }
        let (mut digested, mut bytes) = (0, 0);
        let result = loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut received[digested..]);
            let mut is_starved = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        let fitting = record.payload.len().min(into.len() - bytes);
                        let (now, later) = record.payload.split_at(fitting);
                        into[bytes..bytes + fitting].copy_from_slice(now);
                        bytes += fitting;
                        self.unread.push(later);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    if let Err(error) = outgoing.append(|space| record.encode(space)) {
                        break Err(error);
                    }
                }
                Ok(ConnectionState::TransmitTlsData(records)) => records.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_ended = true,
                // Early data is not offered, so there are no other states.
                Ok(_) => is_starved = true,
                Err(error) => break Err(error),
            }
            digested += discard;
            if is_starved {
                break Ok(());
            }
        };
        // What follows a close_notify is nothing.
        let rest = if self.peer_ended { &mut [] } else { &mut received[digested..] };
        let result = match result {
            Ok(()) if rest.len() > limits::TLS_UNDIGESTED_BYTES_MAX => {
                Err(rustls::InvalidMessage::HandshakePayloadTooLarge.into())
            }
            result => result,
        };
        let has_answered = !outgoing.is_empty();
        match result {
            Ok(()) => {
                // In memory of its own: a few bytes of the next record do not keep that of the last.
                self.undigested = rest.to_vec();
                if self.stage == Stage::Handshaking && !self.session.is_handshaking() {
                    self.stage = Stage::Open;
                    let resumed = self.session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                    self.handshake = Handshake::Completed { resumed };
                }
                // If it fails the stream is gone, and its next reader comes to know.
                drop(self.send(outgoing));
            }
            Err(error) => self.fail(error, rest, outgoing),
        }
        (bytes, has_answered)
    }

    /// Whether the very first bytes are those of a request in plaintext: a capital letter begins no record of TLS.
    fn speaks_plaintext(&self, received: &[u8]) -> bool {
        self.session.protocol_version().is_none() && received.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// The peer breaks the rules of TLS: it is told by an alert which, and that is the end. `received` is what was not
    /// digested.
    fn fail(&mut self, error: rustls::Error, received: &mut [u8], outgoing: &mut Outgoing) {
        // What rustls has to say of it lies ready; nothing more is understood after a failure.
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut record)) =
                self.session.process_tls_records(received).state
            && outgoing.append(|space| record.encode(space)).is_ok()
        {}
        self.unsent.push(outgoing.bytes());
        outgoing.clear();
        self.failure = Some(Box::new(error));
        if self.stage == Stage::Handshaking {
            self.handshake = Handshake::Failed;
            self.finish(Stage::Over);
        } else {
            self.finish(Stage::Failed);
        }
    }

    /// Appends `plaintext` to `out` as records.
    fn encrypt(&mut self, plaintext: &[u8], out: &mut Outgoing) -> io::Result<()> {
        self.with_traffic(out, |traffic, space| traffic.encrypt(plaintext, space))
    }

    /// Lets `make` append records to `out`, behind those that rustls wants to send itself.
    fn with_traffic(
        &mut self,
        out: &mut Outgoing,
        mut make: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        loop {
            // What is undigested must be handed in: rustls remembers where in it a handshake message begins.
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(&mut self.undigested);
            let mut is_made = false;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    out.append(|space| record.encode(space)).map_err(io::Error::other)?;
                }
                Ok(ConnectionState::TransmitTlsData(records)) => records.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    is_made = true;
                    out.append(|space| make(&mut traffic, space)).map_err(io::Error::other)?;
                }
                Ok(ConnectionState::PeerClosed) => self.peer_ended = true,
                _ => return Err(ErrorKind::BrokenPipe.into()),
            }
            self.undigested.drain(..discard.min(self.undigested.len()));
            if is_made {
                return Ok(());
            }
        }
    }

    /// Writes `out`, behind what is unsent, and keeps what the stream does not take.
    fn send(&mut self, out: &mut Outgoing) -> io::Result<()> {
        let mut rest = out.bytes();
        if self.unsent.is_empty() {
            while !rest.is_empty() {
                match self.stream.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => {
                        out.clear();
                        return Err(error);
                    }
                }
            }
        }
        self.unsent.push(rest);
        out.clear();
        Ok(())
    }
}
