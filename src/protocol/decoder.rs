//! [`FrameDecoder`]: bytes as they come in, into headers and unmasked payload (RFC 6455 §5.2, §5.3).
//!
//! It keeps a header that is cut, at most 14 bytes, and never payload: that is unmasked where it lies and lent on,
//! in as many pieces as it comes in. Whether a frame may come at all is not decided here but with
//! [`FrameHeader::check`], before its payload is asked for.

use super::error::ProtocolError;
use super::frame::{FrameHeader, Opcode, Parse};
use super::mask::{self, MaskingKey};
use std::mem;

/// What comes out of a [`FrameDecoder`]: for each frame its header, then one or more pieces.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'i> {
    /// A frame begins.
    Header(FrameHeader),
    /// The next piece of its payload. A frame without payload has one empty piece.
    Payload(Piece<'i>),
}

/// A piece of a frame's payload, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'i> {
    /// The frame's opcode.
    pub opcode: Opcode,
    /// The frame's FIN bit.
    pub fin: bool,
    /// The payload begins with this piece.
    pub first: bool,
    /// The payload ends with this piece; a header follows.
    pub last: bool,
    /// The bytes.
    pub bytes: &'i mut [u8],
}

/// Where in a frame the input stands.
#[derive(Debug)]
enum Progress {
    /// In a header, of which these bytes have come. Invariant: they are not a whole header.
    Header { begun: [u8; FrameHeader::LEN_MAX], begun_len: u8 },
    /// In a payload, of which this much is still to come, masked with the key as it applies there.
    Payload { remaining: u64, masking_key: Option<MaskingKey>, opcode: Opcode, fin: bool, first: bool },
}

impl Progress {
    const BETWEEN_FRAMES: Progress = Progress::Header { begun: [0; FrameHeader::LEN_MAX], begun_len: 0 };
}

/// Reads frames from bytes that may be cut anywhere.
#[derive(Debug)]
pub struct FrameDecoder {
    progress: Progress,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        FrameDecoder { progress: Progress::BETWEEN_FRAMES }
    }
}

impl FrameDecoder {
    /// Stands before the first frame.
    #[must_use]
    pub fn new() -> FrameDecoder {
        FrameDecoder::default()
    }

    /// Consumes the next header or piece of payload from the front of `input`; `None` when all of it is consumed and
    /// more is needed. Every call consumes something, errs, returns `None`, or ends a frame without payload.
    ///
    /// # Errors
    /// Those of [`FrameHeader::parse`]. After one, nothing that follows can be understood.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "its result goes through memory otherwise, which takes half of the time"
    )]
    pub fn next<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Decoded<'i>>, ProtocolError> {
        match &mut self.progress {
            Progress::Header { begun_len: 0, .. } => match FrameHeader::parse(input)? {
                Parse::Complete((header, header_len)) => {
                    split_front(input, header_len);
                    Ok(Some(self.begin(header)))
                }
                Parse::Incomplete => {
                    let rest = mem::take(input);
                    let mut begun = [0; FrameHeader::LEN_MAX];
                    begun[..rest.len()].copy_from_slice(rest);
                    self.progress = Progress::Header { begun, begun_len: rest.len() as u8 };
                    Ok(None)
                }
            },
            Progress::Header { begun, begun_len } => {
                let had = usize::from(*begun_len);
                let added = input.len().min(FrameHeader::LEN_MAX - had);
                begun[had..had + added].copy_from_slice(&input[..added]);
                match FrameHeader::parse(&begun[..had + added])? {
                    Parse::Complete((header, header_len)) => {
                        split_front(input, header_len - had);
                        Ok(Some(self.begin(header)))
                    }
                    Parse::Incomplete => {
                        *begun_len = (had + added) as u8;
                        split_front(input, added);
                        Ok(None)
                    }
                }
            }
            Progress::Payload { remaining, masking_key, opcode, fin, first } => {
                // What does not fit `usize` is more than any input has.
                let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
                if len == 0 && *remaining > 0 {
                    return Ok(None);
                }
                let bytes = split_front(input, len);
                if let Some(key) = masking_key {
                    mask::apply(*key, bytes, 0);
                    *key = key.rotated(len);
                }
                *remaining -= len as u64;
                let last = *remaining == 0;
                let piece =
                    Piece { opcode: *opcode, fin: *fin, first: mem::replace(first, false), last, bytes };
                if last {
                    self.progress = Progress::BETWEEN_FRAMES;
                }
                Ok(Some(Decoded::Payload(piece)))
            }
        }
    }

    /// Whether the next byte begins a frame.
    #[inline]
    pub(super) fn is_between_frames(&self) -> bool {
        matches!(self.progress, Progress::Header { begun_len: 0, .. })
    }

    /// Bytes of the current frame's payload that are still to come.
    #[inline]
    pub(super) fn remaining(&self) -> u64 {
        match self.progress {
            Progress::Header { .. } => 0,
            Progress::Payload { remaining, .. } => remaining,
        }
    }

    #[inline]
    fn begin<'i>(&mut self, header: FrameHeader) -> Decoded<'i> {
        let FrameHeader { fin, opcode, masking_key, payload_len, .. } = header;
        self.progress = Progress::Payload { remaining: payload_len, masking_key, opcode, fin, first: true };
        Decoded::Header(header)
    }
}

/// Takes `len` bytes from the front of `input`.
#[inline]
pub(super) fn split_front<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    front
}
