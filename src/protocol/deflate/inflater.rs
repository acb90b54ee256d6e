//! [`Inflater`]: a message's compressed payload back into what was said (RFC 7692 §7.2.2).
//!
//! A message is inflated when all of it is there, and not as it comes: so one inflater serves any number of connections,
//! and what a peer that stalls makes us hold is what it has sent, never a thousand times that. What it remembers of
//! earlier messages, if it may, is the connection's: their last bytes, handed in as a [`Context`].

use super::super::error::ProtocolError;
use super::super::message::Kind;
use super::super::utf8::Utf8Validator;
use super::WindowBits;
use crate::limits::{DEFLATE_LAST_BLOCKS_MAX, INFLATE_STEP_BYTES, INFLATER_SPARE_BYTES_MAX};
use flate2::{Decompress, FlushDecompress, Status};
use std::fmt;
use std::mem;

/// What the sender's flush ended with and the extension leaves out (§7.2.1), and behind it an empty last block: with it
/// the stream ends if, and only if, the message ended where one may.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// The last bytes of the messages before, which the next may refer to (§7.1.1): at most a window.
#[derive(Debug, Default)]
pub(in super::super) struct Context(Vec<u8>);

impl Context {
    /// Bytes of memory that it takes.
    pub(in super::super) fn held_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Whether no message came yet.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A message was inflated; `window` bytes of it and of those before it are kept.
    fn push(&mut self, message: &[u8], window: usize) {
        let message = &message[message.len().saturating_sub(window)..];
        let excess = (self.0.len() + message.len()).saturating_sub(window);
        self.0.drain(..excess);
        let len = self.0.len() + message.len();
        if len > self.0.capacity() {
            // By itself it would double beyond the window.
            let capacity = len.max(2 * self.0.capacity()).min(window);
            self.0.reserve_exact(capacity - self.0.len());
        }
        self.0.extend_from_slice(message);
    }
}

/// Inflates messages, one after the other, of any connection. It takes some ten KiB and a window of 32 KiB from the first
/// message on, and nothing before.
#[derive(Default)]
pub struct Inflater {
    stream: Option<Box<Decompress>>,
    /// The message inflated last.
    message: Vec<u8>,
    /// Bytes of windows copied since they were last asked for.
    window_bytes: usize,
}

impl Inflater {
    /// An inflater that has no memory yet.
    #[must_use]
    pub fn new() -> Inflater {
        Inflater::default()
    }

    /// Bytes of what was said before that were copied since the last call, so that messages could refer to them.
    pub(crate) fn take_window_bytes(&mut self) -> usize {
        mem::take(&mut self.window_bytes)
    }

    /// Inflates a whole message of at most `message_bytes_max` bytes. `context` is what the sender may refer to and the
    /// bytes of its window, if it may.
    ///
    /// # Errors
    /// If the data is no compressed message, if the message is too big, or if a text is not UTF-8. No more is inflated
    /// then.
    pub(in super::super) fn inflate(
        &mut self,
        kind: Kind,
        compressed: &[u8],
        message_bytes_max: usize,
        mut context: Option<(&mut Context, usize)>,
    ) -> Result<&mut [u8], ProtocolError> {
        let stream = self
            .stream
            .get_or_insert_with(|| Box::new(Decompress::new_with_window_bits(false, WindowBits::MAX)));
        self.message.clear();
        self.message.shrink_to(INFLATER_SPARE_BYTES_MAX);
        // What flushing twice leaves of an empty message, with zlib and a context; §7.2.3.6 has one byte for it.
        if compressed.is_empty() {
            return Ok(&mut self.message);
        }
        stream.reset(false);
        if let Some((context, _)) = &context {
            self.window_bytes = self.window_bytes.saturating_add(context.0.len());
            remember(stream, &context.0)?;
        }

        let mut text = (kind == Kind::Text).then(Utf8Validator::new);
        let mut last_blocks = 0;
        let mut input = Input { compressed, tail: &TAIL };
        loop {
            let step = INFLATE_STEP_BYTES.max(self.message.len());
            // One byte more than may be shows that it is too much.
            self.message.reserve(step.min(message_bytes_max + 1 - self.message.len()));
            let had = self.message.len();
            let status = input.inflate(stream, &mut self.message)?;
            if self.message.len() > message_bytes_max {
                return Err(ProtocolError::MessageTooBig);
            }
            if let Some(text) = &mut text {
                text.push(&self.message[had..]).map_err(|_| ProtocolError::TextNotUtf8)?;
            }
            match status {
                Progress::Ended if input.is_at_end() => break,
                // §7.2.3.4: a block with BFINAL is not the end of a message.
                Progress::Ended => {
                    last_blocks += 1;
                    if last_blocks > DEFLATE_LAST_BLOCKS_MAX {
                        return Err(ProtocolError::DeflateInvalid);
                    }
                    stream.reset(false);
                    let before = context.as_ref().map_or(&[][..], |(context, _)| &context.0);
                    let window_bytes = (before.len() + self.message.len()).min(1 << WindowBits::MAX);
                    self.window_bytes = self.window_bytes.saturating_add(window_bytes);
                    remember_both(stream, before, &self.message)?;
                }
                Progress::Going => {}
                Progress::Starved => return Err(ProtocolError::DeflateInvalid),
            }
        }
        if let Some(text) = text {
            text.finish().map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        if let Some((context, window)) = &mut context {
            context.push(&self.message, *window);
        }
        Ok(&mut self.message)
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// What is still to be inflated: the message, then the tail.
struct Input<'c> {
    compressed: &'c [u8],
    tail: &'c [u8],
}

/// How a step of inflating ended.
enum Progress {
    /// With the last byte of a block with BFINAL.
    Ended,
    /// There is more to be had.
    Going,
    /// Of all that is there nothing more can be made: a block is unfinished.
    Starved,
}

impl Input<'_> {
    /// Whether a message may end here: behind the tail, or behind a last block that the message ends with.
    fn is_at_end(&self) -> bool {
        self.compressed.is_empty() && (self.tail.is_empty() || self.tail.len() == TAIL.len())
    }

    /// Inflates into what room `out` has.
    fn inflate(&mut self, stream: &mut Decompress, out: &mut Vec<u8>) -> Result<Progress, ProtocolError> {
        let had = out.len();
        let part = if self.compressed.is_empty() { &mut self.tail } else { &mut self.compressed };
        let consumed = stream.total_in();
        let status = stream
            .decompress_vec(part, out, FlushDecompress::Sync)
            .map_err(|_| ProtocolError::DeflateInvalid)?;
        let consumed = (stream.total_in() - consumed) as usize;
        *part = &part[consumed..];
        Ok(match status {
            Status::StreamEnd => Progress::Ended,
            _ if consumed > 0 || out.len() > had => Progress::Going,
            _ => Progress::Starved,
        })
    }
}

/// Has the stream know what came before.
fn remember(stream: &mut Decompress, before: &[u8]) -> Result<(), ProtocolError> {
    if !before.is_empty() {
        stream.set_dictionary(before).map_err(|_| ProtocolError::DeflateInvalid)?;
    }
    Ok(())
}

/// The same of two parts, the later of which may be a window long.
fn remember_both(stream: &mut Decompress, before: &[u8], message: &[u8]) -> Result<(), ProtocolError> {
    let window = 1 << WindowBits::MAX;
    if message.is_empty() {
        return remember(stream, before);
    }
    if before.is_empty() || message.len() >= window {
        return remember(stream, &message[message.len().saturating_sub(window)..]);
    }
    let before = &before[before.len().saturating_sub(window - message.len())..];
    remember(stream, &[before, message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7692_s7_1_1_a_context_is_the_last_window_of_bytes_and_takes_no_more_memory() {
        let (mut context, window) = (Context::default(), 512);
        let mut said = Vec::new();
        for message in [&[1; 200][..], &[2; 200], &[3; 200], &[4; 1], &[5; 600], &[6; 512]] {
            said.extend_from_slice(message);
            context.push(message, window);
            assert_eq!(context.0, said[said.len().saturating_sub(window)..]);
            assert!(context.held_bytes() <= window, "{} of {window} bytes", context.held_bytes());
        }
    }
}
