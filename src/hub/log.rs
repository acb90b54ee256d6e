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
//! but for [`Log::slice_of_frame`], [`Log::rest_of_frame`] and what jumps need, which walk along the frames of a chunk or
//! two.
//!
//! A cursor moves by what was written, and by *jumps*: who is too slow passes over frames without being written them.
//! Where it may land ([`Log::oldest_within`], [`Log::newest_without`]) is always the start of a frame, and how many it
//! loses by that is known ([`Log::loss`]), because chunks count their frames.
//!
//! The log does not know its subscribers: they keep their cursors themselves and must hand in the true ones.

mod chunk;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::ops::{AddAssign, Range};
use std::sync::Arc;

use super::{ClientKey, Segment, ShardId};
use crate::limits::{CHUNK_BYTES_MAX, SEGMENT_COPY_BYTES_MAX};
use chunk::{Chunk, ChunkBytes, grow};

/// A byte position in one log. It means nothing in any other, so it never travels between shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogPosition(pub u64);

/// One channel's frames on one shard in one rendering, from the hindmost cursor's chunk to the end.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Contiguous, none empty. Invariant: cursors stand in the first; none are here when all are caught up.
    chunks: VecDeque<Chunk>,
    /// Where the last chunk ends, and where the next frame will begin.
    end: u64,
    /// Cursors at the end. Invariant: Σ chunks.cursors + `caught_up` == subscribers.
    caught_up: u32,
    subscribers: u32,
    /// Subscribers that pass over their own frames, for whom chunks index origins.
    watchers: u32,
    /// Bytes of the newest frame. Invariant: it ends at `end`, while there are chunks.
    newest_bytes: u32,
    /// Bytes of the index of origins. Invariant: the sum of what the chunks have.
    index_bytes: u64,
}

/// Frames that a cursor passes over by a jump, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// How many.
    pub(crate) messages: u64,
    /// Headers included.
    pub(crate) bytes: u64,
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Loss) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// What of a frame is still to be written, kept independently of the log.
#[derive(Clone, Debug)]
pub(crate) enum FrameRest {
    /// A large part of the last frame of a segment, all of which it keeps alive: that frame, and less than
    /// [`SEGMENT_BYTES_MAX`](crate::limits::SEGMENT_BYTES_MAX) before it.
    Shared(Arc<Vec<u8>>, Range<usize>),
    /// A copy, less than [`SEGMENT_BYTES_MAX`](crate::limits::SEGMENT_BYTES_MAX).
    Copied(Vec<u8>),
}

impl FrameRest {
    /// The bytes. Empty if the cursor stood between two frames.
    #[must_use]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            FrameRest::Shared(frames, range) => &frames[range.clone()],
            FrameRest::Copied(bytes) => bytes,
        }
    }

    /// Bytes of memory that it keeps: a shared segment's are all of them, for each who keeps it.
    #[must_use]
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            FrameRest::Shared(frames, _) => frames.len(),
            FrameRest::Copied(bytes) => bytes.len(),
        }
    }
}

impl Log {
    /// A log without subscribers.
    #[must_use]
    pub(crate) fn new() -> Log {
        Log::default()
    }

    /// Adds a subscriber, whose cursor is the log's end: it is written what is appended from here on.
    pub(crate) fn join(&mut self) -> LogPosition {
        self.subscribers += 1;
        self.caught_up += 1;
        LogPosition(self.end)
    }

    /// Takes a subscriber away, whose cursor is `at`. What only it had still to be written goes with it.
    pub(crate) fn leave(&mut self, at: LogPosition) {
        *self.cursors_at(at.0) -= 1;
        self.subscribers -= 1;
        self.free();
    }

    /// Adds a segment at the end; `here` is the shard whose log this is. With nobody subscribed nothing is kept.
    ///
    /// Below [`SEGMENT_COPY_BYTES_MAX`] it is copied behind its predecessor, so that what has come since the last
    /// write is mostly one slice; a larger one is taken over as it is.
    pub(crate) fn append(&mut self, segment: &Segment, here: ShardId) {
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
            self.chunks.push_back(Chunk {
                start: self.end,
                bytes,
                cursors: 0,
                frames: 0,
                origins: Vec::new(),
            });
        }
        let watched = self.watchers > 0;
        if let Some(tail) = self.chunks.back_mut() {
            // Who was caught up is no more: the end moves on, and they stand where it was.
            tail.cursors += mem::take(&mut self.caught_up);
            tail.frames += segment.marks.len() as u32;
            if watched {
                self.index_bytes += tail.index_origins(segment, (self.end - tail.start) as u32, here);
            }
        }
        self.end += len as u64;
        let newest_start = segment.marks.iter().nth_back(1).map_or(0, |before| before.end as usize);
        self.newest_bytes = (len - newest_start) as u32;
    }

    /// Moves a subscriber's cursor forward, and returns it as it is to be kept. Chunks that nobody needs any more
    /// are freed.
    #[must_use]
    pub(crate) fn advance(&mut self, from: LogPosition, to: LogPosition) -> LogPosition {
        debug_assert!(from <= to && to.0 <= self.end, "a cursor moves forward, and not past the end");
        *self.cursors_at(from.0) -= 1;
        *self.cursors_at(to.0) += 1;
        self.free();
        to
    }

    /// Hands out what follows `from`, at most `slices_max` slices of it, in order, and returns how many bytes that
    /// is. All of it was handed out if that is [`Log::lag`].
    pub(crate) fn slices<'l>(
        &'l self,
        from: LogPosition,
        slices_max: usize,
        out: &mut impl Extend<IoSlice<'l>>,
    ) -> usize {
        let chunks = self.chunks.range(self.chunk_index(from.0)..);
        offer(chunks.map(|chunk| &chunk.as_slice()[chunk.offset(from.0)..]), slices_max, out)
    }

    /// The bytes from `at` to the end of the frame in whose middle it stands; none between two frames.
    #[must_use]
    pub(crate) fn slice_of_frame(&self, at: LogPosition) -> &[u8] {
        let Some(chunk) = self.chunks.get(self.chunk_index(at.0)) else { return &[] };
        let from = chunk.offset(at.0);
        &chunk.as_slice()[from..chunk.frame_end(from)]
    }

    /// The rest of the frame in whose middle `at` stands, for a subscriber that leaves but must not tear it.
    #[must_use]
    pub(crate) fn rest_of_frame(&self, at: LogPosition) -> FrameRest {
        let Some(chunk) = self.chunks.get(self.chunk_index(at.0)) else {
            return FrameRest::Copied(Vec::new());
        };
        let from = chunk.offset(at.0);
        let rest = from..chunk.frame_end(from);
        match &chunk.bytes {
            // What is small is copied: it may wait for long, and would keep all of its segment alive. So is what others
            // follow: it ends within the first part of its segment, and they may be large.
            ChunkBytes::Shared(frames)
                if rest.len() >= SEGMENT_COPY_BYTES_MAX && rest.end == frames.len() =>
            {
                FrameRest::Shared(Arc::clone(frames), rest)
            }
            bytes => FrameRest::Copied(bytes.as_slice()[rest].to_vec()),
        }
    }

    /// Counts one more subscriber that passes over its own frames. To be called when it joins: frames appended while
    /// nobody watched are nobody's own.
    pub(crate) fn watch_origins(&mut self) {
        self.watchers += 1;
    }

    /// Counts one watcher less; with the last one the index of origins goes.
    pub(crate) fn unwatch_origins(&mut self) {
        self.watchers -= 1;
        if self.watchers == 0 {
            for chunk in &mut self.chunks {
                chunk.origins = Vec::new();
            }
            self.index_bytes = 0;
        }
    }

    /// Like [`Log::slices`], without the frames that `own` published.
    ///
    /// No frame is torn, if `from` is a position that [`Log::position_after`] gave: it is never inside an own frame.
    pub(crate) fn slices_without<'l>(
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
    pub(crate) fn position_after(&self, from: LogPosition, own: ClientKey, taken: usize) -> LogPosition {
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

    /// The start of the oldest frame with at most `bytes_max` bytes from there to the end; of the newest, if that alone
    /// is longer. The end, if there is no frame.
    #[must_use]
    pub(crate) fn oldest_within(&self, bytes_max: u64) -> LogPosition {
        let newest = self.newest_start();
        let at = self.end.saturating_sub(bytes_max);
        if at >= newest {
            return LogPosition(newest);
        }
        let Some(chunk) = self.chunks.get(self.chunk_index(at)) else { return LogPosition(newest) };
        // All of it is kept that is less than was asked for.
        LogPosition(chunk.start + chunk.walk(chunk.offset(at)).0 as u64)
    }

    /// The start of the newest frame that is not of `own`; the end, if they all are. `from` is a cursor: nothing is
    /// looked for in chunks before it.
    #[must_use]
    pub(crate) fn newest_without(&self, from: LogPosition, own: Option<ClientKey>) -> LogPosition {
        for chunk in self.chunks.range(self.chunk_index(from.0)..).rev() {
            let len = chunk.as_slice().len();
            let end = match chunk.origins.last() {
                Some(last) if last.end as usize == len && Some(last.client) == own => last.start as usize,
                _ => len,
            };
            if end > 0 {
                let is_newest = chunk.start + end as u64 == self.end;
                return LogPosition(if is_newest {
                    self.newest_start()
                } else {
                    chunk.start + chunk.last_before(end) as u64
                });
            }
        }
        LogPosition(self.end)
    }

    /// What a cursor at `from` that jumps to `to`, which is the start of a frame, is not written: the frames between
    /// them, without the rest of one that has been begun, and without those of `own`.
    #[must_use]
    pub(crate) fn loss(&self, from: LogPosition, to: LogPosition, own: Option<ClientKey>) -> Loss {
        let mut loss = Loss::default();
        for chunk in self.chunks.range(self.chunk_index(from.0)..) {
            if chunk.start >= to.0 {
                break;
            }
            loss += chunk.loss(chunk.offset(from.0), chunk.offset(to.0).min(chunk.as_slice().len()), own);
        }
        loss
    }

    /// The log's end: what is appended next begins here.
    #[must_use]
    pub(crate) fn end(&self) -> LogPosition {
        LogPosition(self.end)
    }

    /// Bytes between a cursor and the end.
    #[must_use]
    pub(crate) fn lag(&self, at: LogPosition) -> u64 {
        self.end.saturating_sub(at.0)
    }

    /// Bytes of frames that are kept: from the start of the hindmost cursor's chunk to the end, never less than that
    /// cursor's lag.
    #[must_use]
    pub(crate) fn retained(&self) -> u64 {
        self.chunks.front().map_or(0, |front| self.end - front.start)
    }

    /// Bytes of memory that it takes: frames that are [kept](Log::retained), and the index of whose they are.
    #[must_use]
    pub(crate) fn held_bytes(&self) -> u64 {
        self.retained() + self.index_bytes
    }

    /// How many cursors stand in chunks that end more than `bytes` before the end, and so are further behind than that.
    #[must_use]
    pub(crate) fn behind(&self, bytes: u64) -> u64 {
        let far = self.chunks.iter().take_while(|chunk| chunk.end() + bytes < self.end);
        far.map(|chunk| u64::from(chunk.cursors)).sum()
    }

    /// How many cursors there are.
    #[must_use]
    pub(crate) fn subscribers(&self) -> u32 {
        self.subscribers
    }

    /// Asserts what holds between any two calls. It looks at every chunk and every frame: for tests.
    ///
    /// # Panics
    /// If something does not hold, which is a mistake in here, or in how a caller kept its cursor.
    pub(crate) fn check_invariants(&self) {
        let standing: u32 = self.chunks.iter().map(|chunk| chunk.cursors).sum();
        assert_eq!(standing + self.caught_up, self.subscribers, "every cursor is counted once");
        assert_eq!(
            self.chunks.is_empty(),
            self.caught_up == self.subscribers,
            "chunks are kept for those who lag"
        );
        assert!(
            self.chunks.front().is_none_or(|front| front.cursors > 0),
            "somebody stands in the first chunk"
        );
        assert!(!self.chunks.is_empty() || self.chunks.capacity() == 0, "an empty log owns no heap");
        let mut at = self.chunks.front().map_or(self.end, |front| front.start);
        for chunk in &self.chunks {
            assert_eq!(chunk.start, at, "chunks are contiguous");
            at = chunk.end();
            assert!(at > chunk.start, "no chunk is empty");
            let len = chunk.as_slice().len();
            assert_eq!(chunk.frame_end(len), len, "a chunk holds whole frames");
            if let ChunkBytes::Growing(bytes) = &chunk.bytes {
                assert!(bytes.capacity() <= CHUNK_BYTES_MAX, "a growing chunk is bounded");
            }
            assert!(self.watchers > 0 || chunk.origins.is_empty(), "origins are indexed for those who watch");
            assert_eq!(chunk.walk(len).1, chunk.frames, "a chunk counts its frames");
            let mut indexed = 0;
            for range in &chunk.origins {
                assert!(indexed <= range.start && range.start <= range.end, "origins are in order");
                let frames = chunk.walk(range.end as usize).1 - chunk.walk(range.start as usize).1;
                assert_eq!(range.frames, frames, "and count their frames");
                indexed = range.end;
            }
            assert!(indexed as usize <= len, "origins are of frames in this chunk");
        }
        assert_eq!(at, self.end, "the last chunk ends at the end");
        let index_bytes: u64 = self.chunks.iter().map(Chunk::index_bytes).sum();
        assert_eq!(self.index_bytes, index_bytes, "the index of origins is counted");
        if let Some(last) = self.chunks.back() {
            let newest = last.start + last.last_before(last.as_slice().len()) as u64;
            assert_eq!(self.newest_start(), newest, "the newest frame is the last one");
        }
    }

    /// Where the newest frame begins; the end, if there are no chunks.
    fn newest_start(&self) -> u64 {
        if self.chunks.is_empty() { self.end } else { self.end - u64::from(self.newest_bytes) }
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
            self.index_bytes = 0;
        }
        while self.chunks.front().is_some_and(|front| front.cursors == 0) {
            self.index_bytes -= self.chunks.pop_front().map_or(0, |front| front.index_bytes());
        }
    }

    /// What follows `from`, in slices with their positions, without the frames of `own`.
    fn runs_without(&self, from: u64, own: ClientKey) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks
            .range(self.chunk_index(from)..)
            .flat_map(move |chunk| chunk.runs_without(chunk.offset(from), own))
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
