//! A channel's ready-made frames on one shard in one rendering, shared by all who are to be written them.
//!
//! A subscriber owns no copy and no queue, only a cursor: the [`LogPosition`] up to which it was written. Publishing
//! is an append, however many listen; writing is "from the cursor to the end". The frames stand in chunks, and each
//! chunk counts the cursors that stand in it:
//!
//! ```text
//!            chunk, cursors: 1     chunk, cursors: 0     chunk, cursors: 2      caught_up: 5
//!          ┌─────────────────────┬─────────────────────┬─────────────────────┐
//!          │ frame frame frame   │ frame (large, Arc)  │ frame frame …       │◀ end
//!          └────▲────────────────┴─────────────────────┴────▲────────▲───────┘
//! ```
//!
//! A chunk goes when nobody stands in it or before it; when all cursors have reached the end there are no chunks, and
//! the log owns no heap. No operation looks at other subscribers, and none at more than a binary search over chunks,
//! but for [`Log::frame_end`], which walks along the frames of one chunk.
//!
//! The log does not know its subscribers: they keep their cursors themselves and must hand in the true ones.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::{ClientKey, Segment, ShardId};
use crate::limits::{CHUNK_BYTES_MAX, SEGMENT_COPY_BYTES_MAX};

/// A byte position in one log. It means nothing in any other, so it never travels between shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(pub u64);

/// One channel's frames on one shard in one rendering, from the hindmost cursor's chunk to the end.
#[derive(Debug, Default)]
pub struct Log {
    /// Contiguous, none empty. Invariant: cursors stand in the first; none are here when all are caught up.
    chunks: VecDeque<Chunk>,
    /// Where the last chunk ends, and where the next frame will begin.
    end: u64,
    /// Cursors at the end. Invariant: Σ chunks.cursors + `caught_up` == subscribers.
    caught_up: u32,
    subscribers: u32,
    /// Subscribers that pass over their own frames, for whom chunks index origins.
    watchers: u32,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: ChunkBytes,
    /// Cursors at `start` or behind it, and before the chunk's end.
    cursors: u32,
    /// The frames whose origin is a client of this shard, in order; only those appended while somebody watched.
    origins: Vec<OriginRange>,
}

/// Whole frames, always: a segment is never cut.
#[derive(Debug)]
enum ChunkBytes {
    /// Small segments, copied one behind the other, at most `CHUNK_BYTES_MAX`.
    Growing(Vec<u8>),
    /// One large segment, shared with other shards.
    Shared(Arc<Vec<u8>>),
}

/// Neighbouring frames of one client, by their offsets in the chunk.
#[derive(Clone, Copy, Debug)]
struct OriginRange {
    start: u32,
    end: u32,
    client: ClientKey,
}

/// What of a frame is still to be written, kept independently of the log.
#[derive(Clone, Debug)]
pub enum FrameRest {
    /// A part of a large segment, which it keeps alive.
    Shared(Arc<Vec<u8>>, Range<usize>),
    /// A copy, at most [`CHUNK_BYTES_MAX`].
    Copied(Vec<u8>),
}

impl FrameRest {
    /// The bytes. Empty if the cursor stood between two frames.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            FrameRest::Shared(frames, range) => &frames[range.clone()],
            FrameRest::Copied(bytes) => bytes,
        }
    }
}

impl Log {
    /// A log without subscribers.
    #[must_use]
    pub fn new() -> Log {
        Log::default()
    }

    /// Adds a subscriber, whose cursor is the log's end: it is written what is appended from here on.
    pub fn join(&mut self) -> LogPosition {
        self.subscribers += 1;
        self.caught_up += 1;
        LogPosition(self.end)
    }

    /// Takes a subscriber away, whose cursor is `at`. What only it had still to be written goes with it.
    pub fn leave(&mut self, at: LogPosition) {
        *self.cursors_at(at.0) -= 1;
        self.subscribers -= 1;
        self.free();
    }

    /// Adds a segment at the end; `here` is the shard whose log this is. With nobody subscribed nothing is kept.
    ///
    /// Below [`SEGMENT_COPY_BYTES_MAX`] it is copied behind its predecessor, so that what has come since the last
    /// write is mostly one slice; a larger one is taken over as it is.
    pub fn append(&mut self, segment: &Segment, here: ShardId) {
        let len = segment.frames.len();
        if len == 0 || self.subscribers == 0 {
            return;
        }
        let bytes = if len >= SEGMENT_COPY_BYTES_MAX {
            Some(ChunkBytes::Shared(Arc::clone(&segment.frames)))
        } else {
            match self.chunks.back_mut().map(|chunk| &mut chunk.bytes) {
                Some(ChunkBytes::Growing(tail)) if tail.len() + len <= CHUNK_BYTES_MAX => {
                    grow(tail, len);
                    tail.extend_from_slice(&segment.frames);
                    None
                }
                // Exactly as long as it is: mostly it goes before anything is added.
                _ => Some(ChunkBytes::Growing(segment.frames.to_vec())),
            }
        };
        if let Some(bytes) = bytes {
            self.chunks.push_back(Chunk { start: self.end, bytes, cursors: 0, origins: Vec::new() });
        }
        let watched = self.watchers > 0;
        if let Some(tail) = self.chunks.back_mut() {
            // Who was caught up is no more: the end moves on, and they stand where it was.
            tail.cursors += mem::take(&mut self.caught_up);
            if watched {
                tail.index_origins(segment, (self.end - tail.start) as u32, here);
            }
        }
        self.end += len as u64;
    }

    /// Moves a subscriber's cursor forward, and returns it as it is to be kept. Chunks that nobody needs any more
    /// are freed.
    #[must_use]
    pub fn advance(&mut self, from: LogPosition, to: LogPosition) -> LogPosition {
        debug_assert!(from <= to && to.0 <= self.end, "a cursor moves forward, and not past the end");
        *self.cursors_at(from.0) -= 1;
        *self.cursors_at(to.0) += 1;
        self.free();
        to
    }

    /// Hands out what follows `from`, at most `slices_max` slices of it, in order, and returns how many bytes that
    /// is. All of it was handed out if that is [`Log::lag`].
    pub fn slices<'l>(
        &'l self,
        from: LogPosition,
        slices_max: usize,
        out: &mut impl Extend<IoSlice<'l>>,
    ) -> usize {
        let chunks = self.chunks.range(self.chunk_index(from.0)..);
        offer(chunks.map(|chunk| &chunk.as_slice()[chunk.offset(from.0)..]), slices_max, out)
    }

    /// Where the frame ends in whose middle `at` stands; `at` itself between two frames. Walks along the chunk's
    /// frames, at most [`CHUNK_BYTES_MAX`] of them.
    #[must_use]
    pub fn frame_end(&self, at: LogPosition) -> LogPosition {
        let Some(chunk) = self.chunks.get(self.chunk_index(at.0)) else { return at };
        LogPosition(chunk.start + chunk.frame_end(chunk.offset(at.0)) as u64)
    }

    /// The rest of the frame in whose middle `at` stands, for a subscriber that leaves but must not tear it.
    #[must_use]
    pub fn rest_of_frame(&self, at: LogPosition) -> FrameRest {
        let Some(chunk) = self.chunks.get(self.chunk_index(at.0)) else {
            return FrameRest::Copied(Vec::new());
        };
        let from = chunk.offset(at.0);
        let rest = from..chunk.frame_end(from);
        match &chunk.bytes {
            ChunkBytes::Shared(frames) if !rest.is_empty() => FrameRest::Shared(Arc::clone(frames), rest),
            bytes => FrameRest::Copied(bytes.as_slice()[rest].to_vec()),
        }
    }

    /// Counts one more subscriber that passes over its own frames. To be called when it joins: frames appended while
    /// nobody watched are nobody's own.
    pub fn watch_origins(&mut self) {
        self.watchers += 1;
    }

    /// Counts one watcher less; with the last one the index of origins goes.
    pub fn unwatch_origins(&mut self) {
        self.watchers -= 1;
        if self.watchers == 0 {
            for chunk in &mut self.chunks {
                chunk.origins = Vec::new();
            }
        }
    }

    /// Like [`Log::slices`], without the frames that `own` published.
    ///
    /// No frame is torn, if `from` is a position that [`Log::position_after`] gave: it is never inside an own frame.
    pub fn slices_without<'l>(
        &'l self,
        from: LogPosition,
        own: ClientKey,
        slices_max: usize,
        out: &mut impl Extend<IoSlice<'l>>,
    ) -> usize {
        offer(self.runs_without(from.0, own).map(|(_, run)| run), slices_max, out)
    }

    /// Where a cursor stands after `taken` bytes of [`Log::slices_without`] were written: own frames that follow
    /// directly are passed over too. With nothing taken it passes over own frames in front of it.
    #[must_use]
    pub fn position_after(&self, from: LogPosition, own: ClientKey, taken: usize) -> LogPosition {
        let mut taken = taken;
        for (start, run) in self.runs_without(from.0, own) {
            if taken < run.len() {
                return LogPosition(start + taken as u64);
            }
            taken -= run.len();
        }
        debug_assert_eq!(taken, 0, "no more was taken than there was");
        LogPosition(self.end)
    }

    /// The log's end: what is appended next begins here.
    #[must_use]
    pub fn end(&self) -> LogPosition {
        LogPosition(self.end)
    }

    /// Bytes between a cursor and the end.
    #[must_use]
    pub fn lag(&self, at: LogPosition) -> u64 {
        self.end.saturating_sub(at.0)
    }

    /// Bytes of frames that are kept: from the start of the hindmost cursor's chunk to the end, never less than that
    /// cursor's lag.
    #[must_use]
    pub fn retained(&self) -> u64 {
        self.chunks.front().map_or(0, |front| self.end - front.start)
    }

    /// How many cursors there are.
    #[must_use]
    pub fn subscribers(&self) -> u32 {
        self.subscribers
    }

    /// The index of the chunk in which `at` stands; the number of chunks if that is the end.
    fn chunk_index(&self, at: u64) -> usize {
        debug_assert!(at <= self.end, "no cursor stands past the end");
        // Most cursors stand in the last chunk or are caught up, and most others in the first.
        match (self.chunks.front(), self.chunks.back()) {
            (Some(_), Some(_)) if at >= self.end => self.chunks.len(),
            (_, Some(back)) if at >= back.start => self.chunks.len() - 1,
            (Some(front), _) if at < front.end() => 0,
            _ => self.chunks.partition_point(|chunk| chunk.end() <= at),
        }
    }

    /// The count in which a cursor at `at` is counted.
    fn cursors_at(&mut self, at: u64) -> &mut u32 {
        let index = self.chunk_index(at);
        match self.chunks.get_mut(index) {
            Some(chunk) => &mut chunk.cursors,
            None => &mut self.caught_up,
        }
    }

    /// Frees what lies before the hindmost cursor's chunk.
    fn free(&mut self) {
        if self.caught_up == self.subscribers {
            self.chunks = VecDeque::new();
        }
        while self.chunks.front().is_some_and(|front| front.cursors == 0) {
            self.chunks.pop_front();
        }
    }

    /// What follows `from`, in slices with their positions, without the frames of `own`.
    fn runs_without(&self, from: u64, own: ClientKey) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks
            .range(self.chunk_index(from)..)
            .flat_map(move |chunk| chunk.runs_without(chunk.offset(from), own))
    }
}

/// Makes room for `more` bytes, doubling as a vector does, but never past what a chunk may have.
fn grow(tail: &mut Vec<u8>, more: usize) {
    let needed = tail.len() + more;
    if needed > tail.capacity() {
        let capacity = needed.max(2 * tail.capacity()).min(CHUNK_BYTES_MAX);
        tail.reserve_exact(capacity - tail.len());
    }
}

fn offer<'l>(
    slices: impl Iterator<Item = &'l [u8]>,
    slices_max: usize,
    out: &mut impl Extend<IoSlice<'l>>,
) -> usize {
    let mut bytes = 0;
    out.extend(slices.take(slices_max).inspect(|slice| bytes += slice.len()).map(IoSlice::new));
    bytes
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    fn end(&self) -> u64 {
        self.start + self.as_slice().len() as u64
    }

    /// Where in this chunk to go on from a cursor that stands in it or before it.
    fn offset(&self, cursor: u64) -> usize {
        cursor.saturating_sub(self.start) as usize
    }

    /// The end of the frame in whose middle `at` stands, or `at`.
    fn frame_end(&self, at: usize) -> usize {
        let bytes = self.as_slice();
        let mut end = 0;
        while end < at {
            end += frame_len(&bytes[end..]);
        }
        end
    }

    /// Notes which frames of a segment, appended at `base`, are of clients of this shard.
    fn index_origins(&mut self, segment: &Segment, base: u32, here: ShardId) {
        let mut start = base;
        for mark in segment.marks.iter() {
            let end = base + mark.end;
            let client = mark.origin.client;
            if mark.origin.shard == here {
                match self.origins.last_mut() {
                    Some(last) if last.end == start && last.client == client => last.end = end,
                    _ => self.origins.push(OriginRange { start, end, client }),
                }
            }
            start = end;
        }
    }

    /// What follows `from`, without the frames of `own`; no run is empty.
    fn runs_without(&self, from: usize, own: ClientKey) -> impl Iterator<Item = (u64, &[u8])> {
        let bytes = self.as_slice();
        let ahead = self.origins.partition_point(|range| range.end as usize <= from);
        let own_ranges = self.origins[ahead..].iter().filter(move |range| range.client == own);
        let cuts = own_ranges.map(|range| (range.start as usize, range.end as usize));
        let mut run_start = from;
        cuts.chain([(bytes.len(), bytes.len())]).filter_map(move |(cut_start, cut_end)| {
            let run = run_start..cut_start.max(run_start);
            run_start = cut_end;
            (!run.is_empty()).then(|| (self.start + run.start as u64, &bytes[run]))
        })
    }
}

impl ChunkBytes {
    fn as_slice(&self) -> &[u8] {
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
