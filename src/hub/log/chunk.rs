//! [`Chunk`]: a piece of a log, with what is counted of it.
//!
//! Its frames were encoded here and are whole, so their headers say where each ends. Walking along them is bounded by
//! [`CHUNK_BYTES_MAX`], or by one large segment.

use super::Loss;
use crate::hub::{ClientKey, Segment, ShardId};
use crate::limits::CHUNK_BYTES_MAX;
use std::sync::Arc;

/// Frames that stand one behind the other, and how many cursors stand in them.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) bytes: ChunkBytes,
    /// Cursors at `start` or behind it, and before the chunk's end.
    pub(super) cursors: u32,
    /// How many frames it has.
    pub(super) frames: u32,
    /// The frames whose origin is a client of this shard, in order; only those appended while somebody watched.
    pub(super) origins: Vec<OriginRange>,
}

/// Whole frames, always: a segment is never cut.
#[derive(Debug)]
pub(super) enum ChunkBytes {
    /// Small segments, copied one behind the other, at most `CHUNK_BYTES_MAX`.
    Growing(Vec<u8>),
    /// One large segment, shared with other shards.
    Shared(Arc<Vec<u8>>),
}

/// Neighbouring frames of one client, by their offsets in the chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct OriginRange {
    pub(super) start: u32,
    pub(super) end: u32,
    /// How many they are.
    pub(super) frames: u32,
    pub(super) client: ClientKey,
}

/// Makes room for `more` bytes, doubling as a vector does, but never past what a chunk may have.
pub(super) fn grow(tail: &mut Vec<u8>, more: usize) {
    let needed = tail.len() + more;
    if needed > tail.capacity() {
        let capacity = needed.max(2 * tail.capacity()).min(CHUNK_BYTES_MAX);
        tail.reserve_exact(capacity - tail.len());
    }
}

impl Chunk {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    pub(super) fn end(&self) -> u64 {
        self.start + self.as_slice().len() as u64
    }

    /// Where in this chunk to go on from a cursor that stands in it or before it.
    pub(super) fn offset(&self, cursor: u64) -> usize {
        cursor.saturating_sub(self.start) as usize
    }

    /// The end of the frame in whose middle `at` stands, or `at`.
    pub(super) fn frame_end(&self, at: usize) -> usize {
        self.walk(at).0
    }

    /// The end of the frame in whose middle `at` stands, or `at`; and how many frames are before that.
    pub(super) fn walk(&self, at: usize) -> (usize, u32) {
        let bytes = self.as_slice();
        let (mut end, mut frames) = (0, 0);
        while end < at {
            end += frame_len(&bytes[end..]);
            frames += 1;
        }
        (end, frames)
    }

    /// The start of the frame that ends at `end`, which is not 0.
    pub(super) fn last_before(&self, end: usize) -> usize {
        let bytes = self.as_slice();
        let mut start = 0;
        loop {
            let next = start + frame_len(&bytes[start..]);
            if next >= end {
                return start;
            }
            start = next;
        }
    }

    /// The frames that begin at `from` or behind it, and before `to`, without those of `own`. `to` is not inside a frame,
    /// and neither is one of `own` torn by `from`.
    pub(super) fn loss(&self, from: usize, to: usize, own: Option<ClientKey>) -> Loss {
        let (from, before) = self.walk(from);
        let is_to_the_end = to == self.as_slice().len();
        let up_to = if is_to_the_end { self.frames } else { self.walk(to).1 };
        if from >= to {
            return Loss::default();
        }
        let mut loss = Loss { messages: u64::from(up_to - before), bytes: (to - from) as u64 };
        let ahead = self.origins.partition_point(|range| range.end as usize <= from);
        let own_ranges = self.origins[ahead..].iter().filter(|range| Some(range.client) == own);
        for range in own_ranges.take_while(|range| (range.start as usize) < to) {
            let (start, end) = (from.max(range.start as usize), to.min(range.end as usize));
            let frames = if end - start == (range.end - range.start) as usize {
                range.frames
            } else {
                self.walk(end).1 - self.walk(start).1
            };
            loss.messages -= u64::from(frames);
            loss.bytes -= (end - start) as u64;
        }
        loss
    }

    /// Bytes of memory that its index of origins takes.
    pub(super) fn index_bytes(&self) -> u64 {
        (self.origins.capacity() * size_of::<OriginRange>()) as u64
    }

    /// Notes which frames of a segment, appended at `base`, are of clients of this shard. Returns by how many bytes the index
    /// grows.
    pub(super) fn index_origins(&mut self, segment: &Segment, base: u32, here: ShardId) -> u64 {
        let before = self.index_bytes();
        let mut start = base;
        for mark in segment.marks.iter() {
            let end = base + mark.end;
            let client = mark.origin.client;
            if mark.origin.shard == here {
                match self.origins.last_mut() {
                    Some(last) if last.end == start && last.client == client => {
                        last.end = end;
                        last.frames += 1;
                    }
                    _ => self.origins.push(OriginRange { start, end, frames: 1, client }),
                }
            }
            start = end;
        }
        self.index_bytes() - before
    }

    /// What follows `from`, without the frames of `own`; no run is empty.
    pub(super) fn runs_without(&self, from: usize, own: ClientKey) -> impl Iterator<Item = (u64, &[u8])> {
        let bytes = self.as_slice();
        let ahead = self.origins.partition_point(|range| range.end as usize <= from);
        let own_ranges = self.origins[ahead..].iter().filter(move |range| range.client == own);
        let cuts = own_ranges.map(|range| (range.start as usize, range.end as usize));
        let mut run_start = from;
        cuts.chain([(bytes.len(), bytes.len())]).filter_map(move |(cut_start, cut_end)| {
            // Empty if the cursor stands inside the cut.
            let run = run_start..cut_start;
            run_start = cut_end;
            (!run.is_empty()).then(|| (self.start + run.start as u64, &bytes[run]))
        })
    }
}

impl ChunkBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            ChunkBytes::Growing(bytes) => bytes,
            ChunkBytes::Shared(frames) => frames,
        }
    }
}

/// The length of the frame with which `bytes` begin, header included (RFC 6455 §5.2). Frames from a server are not
/// masked, and these were encoded here, so they are whole.
fn frame_len(bytes: &[u8]) -> usize {
    match bytes {
        [_, 127, rest @ ..] => {
            rest.first_chunk().map_or(bytes.len(), |len| 10 + u64::from_be_bytes(*len) as usize)
        }
        [_, 126, rest @ ..] => {
            rest.first_chunk().map_or(bytes.len(), |len| 4 + usize::from(u16::from_be_bytes(*len)))
        }
        [_, len, ..] => 2 + usize::from(*len),
        _ => bytes.len(),
    }
}
