//! [`Open`]: frames into messages, while they go both ways (RFC 6455 §5, §6).

use super::closing::Closing;
use super::role::Role;
use crate::limits::{Limits, OWN_BYTES_MARK};
use crate::protocol::assembler::{self, Assembler};
use crate::protocol::close::{self, CloseCode, CloseReason};
use crate::protocol::decoder::{self, Decoded, FrameDecoder, Piece};
use crate::protocol::deflate::{Context, Deflate};
use crate::protocol::encoder;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{FrameHeader, Opcode, Parse, Rsv};
use crate::protocol::mask;
use crate::protocol::message::{Kind, Message, Payload};
use crate::protocol::time::Time;
use crate::protocol::utf8;
use std::mem;

/// What a connection knows of its peer's frames while messages go both ways.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) decoder: FrameDecoder,
    /// What was agreed about compression, if messages may be compressed.
    pub(super) deflate: Option<Deflate>,
    /// The message that came last, or is coming, is compressed.
    pub(super) compressed: bool,
    /// Milliseconds that the latest answered Ping took, or [`RTT_UNKNOWN`].
    pub(super) rtt_ms: u16,
    /// All that an idle connection does not have. Invariant: `None` unless something of it is in use.
    pub(super) unfinished: Option<Box<Unfinished>>,
}

#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// The message of which a part has come (§5.4).
    pub(super) message: Option<Assembler>,
    /// The payload of a control frame of which a part has come.
    pub(super) control: Vec<u8>,
    /// The peer does not take what we write: Pongs wait.
    pub(super) congested: bool,
    /// The latest Ping that came meanwhile.
    pub(super) owed_pong: Option<Box<[u8]>>,
    /// Input that is to be consumed before any other.
    pub(super) held: Vec<u8>,
    /// What the peer's next compressed message may refer to. Only of a peer that takes its context over (RFC 7692
    /// §7.1.1).
    pub(super) context: Context,
}

/// There was no answer to a Ping yet.
pub(super) const RTT_UNKNOWN: u16 = u16::MAX;

/// What messages that come whole must be like. It holds for all of them up to the first that is anything else.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeMessages {
    are_masked: bool,
    message_bytes_max: usize,
}

/// What the frames in an input come to.
pub(super) enum Outcome<'i> {
    /// All of the input is consumed.
    Starved,
    Message(Message<'i>),
    /// A message that is still to be inflated.
    Compressed(Message<'i>),
    /// The peer's Close frame.
    Close(Option<CloseCode>, CloseReason),
}

impl WholeMessages {
    /// Reads a message that came in one frame, whole in this input, and not compressed.
    ///
    /// `None`, and nothing is consumed, if it is anything else that comes next, or if anything is wrong with it: what to do
    /// then is decided by [`Open::read_frames`], which would make the same of this message, too.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its result goes through memory otherwise")]
    pub(super) fn lend<'i>(self, input: &mut &'i mut [u8]) -> Option<Message<'i>> {
        let kind = FrameHeader::whole_message(*input.first()?)?;
        let Ok(Parse::Complete((header, header_len))) = FrameHeader::parse(input) else { return None };
        let payload_len = usize::try_from(header.payload_len).ok()?;
        let fits = payload_len <= self.message_bytes_max && payload_len <= input.len() - header_len;
        if !fits || header.masking_key.is_some() != self.are_masked {
            return None;
        }
        let bytes = &mut input[header_len..header_len + payload_len];
        if let Some(key) = header.masking_key {
            mask::apply(key, bytes, 0);
        }
        if kind == Kind::Text && !utf8::is_utf8(bytes) {
            // As it was, for whom it is left to.
            if let Some(key) = header.masking_key {
                mask::apply(key, bytes, 0);
            }
            return None;
        }
        decoder::split_front(input, header_len);
        Some(Message { kind, payload: Payload::Lent(decoder::split_front(input, payload_len)) })
    }
}

impl Open {
    /// What messages that come whole must be like; `None` within a frame or a fragmented message.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its result goes through memory otherwise")]
    pub(super) fn whole_messages(&self, limits: &Limits, role: &Role) -> Option<WholeMessages> {
        let is_in_message = self.unfinished.as_ref().is_some_and(|unfinished| unfinished.message.is_some());
        if is_in_message || !self.decoder.is_between_frames() {
            return None;
        }
        let are_masked = role.expected(false, false).masked;
        Some(WholeMessages { are_masked, message_bytes_max: limits.message_bytes_max })
    }

    /// Reads frames until a message is whole or the peer's Close frame came.
    /// `quiet_ms`: since our latest Ping, if nothing has come since.
    pub(super) fn read_frames<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        quiet_ms: Option<u32>,
        limits: &Limits,
        role: &mut Role,
        out: &mut Vec<u8>,
    ) -> Result<Outcome<'i>, ProtocolError> {
        while let Some(decoded) = self.decoder.next(input)? {
            match decoded {
                Decoded::Header(header) => self.begin_frame(&header, limits, role)?,
                Decoded::Payload(piece) if piece.opcode.is_control() => {
                    if let Some((code, reason)) = self.take_control(&piece, quiet_ms, role, out)? {
                        return Ok(Outcome::Close(code, reason));
                    }
                }
                Decoded::Payload(piece) => {
                    if let Some(message) = self.take_data(piece)? {
                        return Ok(if self.compressed {
                            Outcome::Compressed(message)
                        } else {
                            Outcome::Message(message)
                        });
                    }
                }
            }
        }
        Ok(Outcome::Starved)
    }

    /// Decides by its header whether a frame may come, before any of its payload is kept.
    #[inline]
    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        limits: &Limits,
        role: &Role,
    ) -> Result<(), ProtocolError> {
        let message = self.unfinished.as_mut().and_then(|unfinished| unfinished.message.as_mut());
        header.check(role.expected(message.is_some(), self.deflate.is_some()))?;
        if header.opcode.is_control() {
            return Ok(());
        }
        if let Some(message) = message {
            return message.begin_fragment(header.payload_len, limits.message_bytes_max);
        }
        self.compressed = header.rsv.contains(Rsv::RSV1);
        assembler::check_len(header.payload_len, 0, limits.message_bytes_max, self.compressed)
    }

    /// Takes a piece of a data frame; returns the message that it ends, compressed if it came so. What comes whole is
    /// lent, the rest assembled.
    #[inline]
    fn take_data<'i>(&mut self, piece: Piece<'i>) -> Result<Option<Message<'i>>, ProtocolError> {
        let Piece { opcode, fin, first, last, bytes } = piece;
        let kind = match opcode {
            Opcode::Text => Kind::Text,
            _ => Kind::Binary,
        };
        if first && last && fin && opcode != Opcode::Continuation {
            if kind == Kind::Text && !self.compressed && !utf8::is_utf8(bytes) {
                return Err(ProtocolError::TextNotUtf8);
            }
            return Ok(Some(Message { kind, payload: Payload::Lent(bytes) }));
        }
        let unfinished = self.unfinished.get_or_insert_default();
        // A continuation's message is there already, by the check of its header.
        let message = unfinished.message.get_or_insert_with(|| Assembler::new(kind, self.compressed));
        message.push(bytes, self.decoder.remaining())?;
        if !(last && fin) {
            return Ok(None);
        }
        let whole = unfinished.message.take().map(Assembler::finish).transpose()?;
        self.forget_unused();
        Ok(whole.map(|(kind, bytes)| Message { kind, payload: Payload::Assembled(bytes) }))
    }

    /// Takes a piece of a control frame and obeys it when it is whole (§5.5); returns a Close frame's code and reason.
    fn take_control(
        &mut self,
        piece: &Piece<'_>,
        quiet_ms: Option<u32>,
        role: &mut Role,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Option<CloseCode>, CloseReason)>, ProtocolError> {
        let collected;
        let payload = if piece.first && piece.last {
            &*piece.bytes
        } else {
            let control = &mut self.unfinished.get_or_insert_default().control;
            control.extend_from_slice(piece.bytes);
            if !piece.last {
                return Ok(None);
            }
            collected = mem::take(control);
            self.forget_unused();
            &collected
        };
        match piece.opcode {
            Opcode::Close => return close::parse_close(payload).map(Some),
            Opcode::Ping => self.answer_ping(payload, role, out),
            // §5.5.3: a Pong that answers nothing is a heartbeat, and "a response is not expected".
            _ => {
                if let Some(ms) = quiet_ms {
                    self.rtt_ms = u16::try_from(ms).unwrap_or(RTT_UNKNOWN).min(RTT_UNKNOWN - 1);
                }
            }
        }
        Ok(None)
    }

    /// §5.5.2: "an endpoint MUST send a Pong frame in response"; §5.5.3: "MAY elect to send a Pong frame for only the
    /// most recently processed Ping frame", which is what a peer gets that does not read what we write.
    fn answer_ping(&mut self, payload: &[u8], role: &mut Role, out: &mut Vec<u8>) {
        let congested = self.unfinished.as_ref().is_some_and(|unfinished| unfinished.congested);
        if congested || out.len() > OWN_BYTES_MARK {
            self.unfinished.get_or_insert_default().owed_pong = Some(payload.into());
            return;
        }
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.owed_pong = None;
            self.forget_unused();
        }
        encoder::append_control(Opcode::Pong, role.next_masking_key(), payload, out);
    }

    /// Restores the invariant of `unfinished`.
    pub(super) fn forget_unused(&mut self) {
        let in_use = self.unfinished.as_ref().is_some_and(|unfinished| {
            let Unfinished { message, control, congested, owed_pong, held, context } = &**unfinished;
            message.is_some()
                || !control.is_empty()
                || *congested
                || owed_pong.is_some()
                || !held.is_empty()
                || !context.is_empty()
        });
        if !in_use {
            self.unfinished = None;
        }
    }

    /// Our Close frame is out. No half message survives, but where the decoder stands in a frame does, and what it is to
    /// read next.
    pub(super) fn start_closing_handshake(self, now: Time) -> Closing {
        let unfinished = self.unfinished.map(|unfinished| *unfinished).unwrap_or_default();
        let continuation = unfinished.message.is_some();
        let deflate = self.deflate.is_some();
        let Unfinished { control, held, .. } = unfinished;
        Closing { since: now, decoder: self.decoder, deflate, continuation, control, held }
    }
}
