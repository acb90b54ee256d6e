//! [`Assembler`]: the pieces of a message that does not come whole, back into one (RFC 6455 §5.4).
//!
//! All pieces go into one buffer, so that a byte costs a byte however small the fragments are, and the buffer grows
//! with what has come and never by what a header declares. A compressed message stays so until it is whole: see
//! [`Inflater`](super::deflate::Inflater).

use super::error::ProtocolError;
use super::message::Kind;
use super::utf8::Utf8Validator;
use crate::limits::{BYTES_PER_FRAGMENT, DEFLATED_GROWTH_MIN, DEFLATED_GROWTH_SHARE, FRAGMENTS_MAX};

/// A message that is still coming in.
#[derive(Debug)]
pub(crate) struct Assembler {
    kind: Kind,
    /// The bytes are its compressed form.
    compressed: bool,
    bytes: Vec<u8>,
    /// Fragments begun, this message's first among them.
    fragments: u32,
    /// What of a text that is not compressed has been checked: `bytes`, all of it.
    text: Utf8Validator,
}

impl Assembler {
    /// A message of this kind whose first fragment has begun.
    #[must_use]
    pub(crate) fn new(kind: Kind, compressed: bool) -> Assembler {
        Assembler { kind, compressed, bytes: Vec::new(), fragments: 1, text: Utf8Validator::new() }
    }

    /// One more fragment begins, with a payload of `payload_len` bytes, of a message that may have
    /// `message_bytes_max`.
    ///
    /// # Errors
    /// If the message has too many fragments, or would have too many bytes.
    pub(crate) fn begin_fragment(
        &mut self,
        payload_len: u64,
        message_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        let fragments_max = FRAGMENTS_MAX.max((message_bytes_max / BYTES_PER_FRAGMENT) as u32);
        if self.fragments >= fragments_max {
            return Err(ProtocolError::TooManyFragments);
        }
        self.fragments += 1;
        check_len(payload_len, self.bytes.len(), message_bytes_max, self.compressed)
    }

    /// Appends a piece of payload, unmasked. `remaining` bytes of its frame's payload are still to come.
    ///
    /// # Errors
    /// If a text can no longer become UTF-8 (§8.1).
    pub(crate) fn push(&mut self, piece: &[u8], remaining: u64) -> Result<(), ProtocolError> {
        if self.kind == Kind::Text && !self.compressed {
            self.text.push(piece).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        if piece.len() > self.bytes.capacity() - self.bytes.len() {
            // Room for the frame's end, too, but for no more of it than has come: a buffer that is filled to the brim
            // moves with the next piece.
            let come = self.bytes.len() + piece.len();
            let ahead = usize::try_from(remaining).unwrap_or(usize::MAX).min(come);
            self.bytes.reserve(piece.len() + ahead);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The message's kind and bytes, whose last fragment has ended.
    ///
    /// # Errors
    /// If a text ends within a character (§8.1).
    pub(crate) fn finish(self) -> Result<(Kind, Vec<u8>), ProtocolError> {
        self.text.finish().map_err(|_| ProtocolError::TextNotUtf8)?;
        Ok((self.kind, self.bytes))
    }

    /// Bytes of memory that the message takes so far.
    #[must_use]
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Whether a payload of `payload_len` bytes fits a message that has `have` bytes already; its compressed form may be a
/// little longer than the message may. The sum is never formed, so it cannot overflow.
#[inline]
pub(super) fn check_len(
    payload_len: u64,
    have: usize,
    message_bytes_max: usize,
    compressed: bool,
) -> Result<(), ProtocolError> {
    let growth = if compressed { message_bytes_max / DEFLATED_GROWTH_SHARE + DEFLATED_GROWTH_MIN } else { 0 };
    let room = (message_bytes_max + growth).saturating_sub(have);
    if payload_len > room as u64 { Err(ProtocolError::MessageTooBig) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_4_a_message_may_have_a_fragment_for_each_16_bytes_of_the_limit_if_that_is_more() {
        let message_bytes_max = 32 * FRAGMENTS_MAX as usize;
        let mut message = Assembler::new(Kind::Binary, false);
        for _ in 1..2 * FRAGMENTS_MAX {
            assert_eq!(message.begin_fragment(16, message_bytes_max), Ok(()));
        }
        assert_eq!(message.begin_fragment(16, message_bytes_max), Err(ProtocolError::TooManyFragments));
    }
}
