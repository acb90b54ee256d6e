//! [`Deflater`]: messages on their way out, compressed (RFC 7692 §7.2.1).
//!
//! Each message is compressed by itself, whatever was agreed: a sender may always do without its context. So one deflater
//! serves any number of connections, and what it makes of a message is the same for all that have the same window: a
//! server makes it once and sends it to everyone.

use super::super::encoder;
use super::super::frame::Rsv;
use super::super::mask::MaskingKey;
use super::super::message::Kind;
use crate::limits::DEFLATER_SPARE_BYTES_MAX;
use flate2::{Compress, Compression, FlushCompress};
use std::fmt;
use std::mem;

/// What a flush ends with; the extension leaves it out (§7.2.1).
const FLUSH_END: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How far back what is compressed may refer. There are two and not eight: each that somebody asks for costs a
/// compression of every message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Window {
    /// 32 KiB, what a peer can hold unless it says otherwise.
    Large,
    /// 512 bytes, for every peer that asks for less than the large one.
    Small,
}

impl Window {
    /// The largest window that a peer can follow which holds `2^bits` bytes. With 8 bits there is none: zlib makes
    /// nothing smaller than 9.
    #[must_use]
    pub const fn within(bits: u8) -> Option<Window> {
        match bits {
            0..=8 => None,
            9..=14 => Some(Window::Small),
            15.. => Some(Window::Large),
        }
    }

    /// The base-2 logarithm of its bytes, as `max_window_bits` says it (§7.1.2).
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Window::Large => 15,
            Window::Small => 9,
        }
    }
}

/// How messages are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compressing {
    /// 1, fast, to 9, small.
    pub level: u8,
    /// Bytes from which on a message is compressed. What does not get smaller goes out as it is even then, unless this is
    /// 0: that compresses everything, to try what the other end makes of it.
    pub bytes_min: usize,
}

/// Compresses messages, one after the other, for any connection. It takes some 250 KiB for each window from the first
/// message on, and nothing before.
pub struct Deflater {
    how: Compressing,
    large: Option<Box<Compress>>,
    small: Option<Box<Compress>>,
    compressed: Vec<u8>,
    /// Messages compressed since it was asked, whatever became of them.
    compressions: usize,
}

impl Deflater {
    /// A deflater that has no memory yet.
    #[must_use]
    pub fn new(how: Compressing) -> Deflater {
        Deflater { how, large: None, small: None, compressed: Vec::new(), compressions: 0 }
    }

    /// How many messages it has compressed since it was asked last, whatever became of them.
    pub(crate) fn take_compressions(&mut self) -> usize {
        mem::take(&mut self.compressions)
    }

    /// Appends a message in one unmasked frame, as a server sends it to everyone with this window. Returns whether it
    /// is compressed: only if that is worth it.
    pub fn append_message(&mut self, window: Window, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        self.append(window, None, kind, payload, out)
    }

    /// The same with a masking key for a client.
    pub(in super::super) fn append(
        &mut self,
        window: Window,
        masking_key: Option<MaskingKey>,
        kind: Kind,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Compressing { bytes_min, .. } = self.how;
        let (rsv, payload) = if payload.len() < bytes_min {
            (Rsv::NONE, payload)
        } else {
            match self.compress(window, payload) {
                compressed if compressed.len() < payload.len() || bytes_min == 0 => (Rsv::RSV1, compressed),
                _ => (Rsv::NONE, payload),
            }
        };
        encoder::append_extended(true, rsv, kind.into(), masking_key, payload, out);
        rsv == Rsv::RSV1
    }

    /// The payload as §7.2.1 has it.
    fn compress(&mut self, window: Window, payload: &[u8]) -> &[u8] {
        self.compressions += 1;
        let (level, bits) = (Compression::new(self.how.level.into()), window.bits());
        let stream = match window {
            Window::Large => &mut self.large,
            Window::Small => &mut self.small,
        };
        let stream =
            stream.get_or_insert_with(|| Box::new(Compress::new_with_window_bits(level, false, bits)));
        stream.reset();
        let compressed = &mut self.compressed;
        compressed.clear();
        compressed.shrink_to(DEFLATER_SPARE_BYTES_MAX);
        // All of it fits at the worst (zlib's own bound). A flush that just fills the room has to be made again and leaves
        // an empty block more: what becomes of a message would depend on the room that those before it have left.
        compressed.reserve(payload.len() + payload.len() / 8 + payload.len() / 64 + 64);
        let mut rest = payload;
        loop {
            let consumed = stream.total_in();
            let result = stream.compress_vec(rest, compressed, FlushCompress::Sync);
            debug_assert!(result.is_ok(), "a stream that was reset takes any bytes: {result:?}");
            rest = &rest[(stream.total_in() - consumed) as usize..];
            // A flush is over when it leaves room.
            if rest.is_empty() && compressed.len() < compressed.capacity() {
                break;
            }
            compressed.reserve(rest.len() / 2 + 64);
        }
        compressed.strip_suffix(&FLUSH_END).unwrap_or(compressed)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("how", &self.how).finish_non_exhaustive()
    }
}
