//! A channel's ready-made frames on one shard in one rendering, shared by all who are to be written them. (The file
//! is long because its second half are the tests: they and the code explain each other.)
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

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::ops::{AddAssign, Range};
use std::sync::Arc;

use super::{ClientKey, Segment, ShardId};
use crate::limits::{CHUNK_BYTES_MAX, SEGMENT_COPY_BYTES_MAX};

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
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: ChunkBytes,
    /// Cursors at `start` or behind it, and before the chunk's end.
    cursors: u32,
    /// How many frames it has.
    frames: u32,
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
    /// How many they are.
    frames: u32,
    client: ClientKey,
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
    /// A large part of a large segment, which it keeps alive.
    Shared(Arc<Vec<u8>>, Range<usize>),
    /// A copy, less than [`SEGMENT_COPY_BYTES_MAX`].
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
                tail.index_origins(segment, (self.end - tail.start) as u32, here);
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
            // What is small is copied: it may wait for long, and would keep all of its segment alive.
            ChunkBytes::Shared(frames) if rest.len() >= SEGMENT_COPY_BYTES_MAX => {
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
        self.walk(at).0
    }

    /// The end of the frame in whose middle `at` stands, or `at`; and how many frames are before that.
    fn walk(&self, at: usize) -> (usize, u32) {
        let bytes = self.as_slice();
        let (mut end, mut frames) = (0, 0);
        while end < at {
            end += frame_len(&bytes[end..]);
            frames += 1;
        }
        (end, frames)
    }

    /// The start of the frame that ends at `end`, which is not 0.
    fn last_before(&self, end: usize) -> usize {
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
    fn loss(&self, from: usize, to: usize, own: Option<ClientKey>) -> Loss {
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

    /// Notes which frames of a segment, appended at `base`, are of clients of this shard.
    fn index_origins(&mut self, segment: &Segment, base: u32, here: ShardId) {
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
    }

    /// What follows `from`, without the frames of `own`; no run is empty.
    fn runs_without(&self, from: usize, own: ClientKey) -> impl Iterator<Item = (u64, &[u8])> {
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

#[cfg(test)]
mod tests {
    use super::super::properties::{concatenated, frame, segment};
    use super::super::{Origin, ShardId};
    use super::*;

    const HERE: ShardId = ShardId(0);
    const ELSEWHERE: ShardId = ShardId(1);
    const ALICE: ClientKey = ClientKey { index: 1, generation: 0 };
    const BOB: ClientKey = ClientKey { index: 2, generation: 0 };

    #[test]
    fn a_chunk_doubles_as_it_grows_and_never_past_what_it_may_have() {
        let grown = |len: usize, more: usize| {
            let mut tail = vec![0; len];
            grow(&mut tail, more);
            tail.capacity()
        };
        assert_eq!(grown(100, 0), 100, "there is room");
        assert_eq!(grown(100, 1), 200);
        assert_eq!(grown(100, 150), 250);
        assert_eq!(grown(CHUNK_BYTES_MAX / 2 + 1, 1), CHUNK_BYTES_MAX);
        let mut roomy = Vec::with_capacity(100);
        grow(&mut roomy, 100);
        assert_eq!(roomy.capacity(), 100, "what fits exactly makes nothing grow");
    }

    #[test]
    fn a_subscriber_is_written_what_is_appended_after_it_joined() {
        let mut log = Log::new();
        let early = log.join();
        append(&mut log, &[b"one"]);
        let late = log.join();
        append(&mut log, &[b"two", b"three"]);
        assert_eq!(read(&log, early), b"\x82\x03one\x82\x03two\x82\x05three");
        assert_eq!(read(&log, late), b"\x82\x03two\x82\x05three");
        assert_eq!((log.lag(early), log.lag(late)), (17, 12));
    }

    #[test]
    fn a_new_log_owns_no_heap() {
        let log = Log::new();
        assert_eq!(log.chunks.capacity(), 0);
        assert!(size_of::<Log>() <= 64, "100,000 quiet channels are cheap: {} bytes each", size_of::<Log>());
    }

    #[test]
    fn a_log_whose_subscribers_are_all_caught_up_owns_no_heap() {
        let mut log = Log::new();
        let (alice, bob) = (log.join(), log.join());
        append(&mut log, &[b"hello"]);
        let end = log.end();
        assert_eq!(log.advance(alice, end), end);
        assert_eq!(log.retained(), 7);
        assert_eq!(log.advance(bob, end), end);
        assert_eq!(log.retained(), 0);
        assert_eq!(log.chunks.capacity(), 0);
        log.check_invariants();
    }

    #[test]
    fn what_only_a_leaver_had_not_been_written_goes_with_it() {
        let mut log = Log::new();
        let (alice, bob) = (log.join(), log.join());
        append(&mut log, &[b"hello"]);
        let _ = log.advance(bob, log.end());
        log.leave(alice);
        assert_eq!((log.retained(), log.subscribers()), (0, 1));
        log.check_invariants();
    }

    #[test]
    fn with_nobody_subscribed_nothing_is_kept() {
        let mut log = Log::new();
        append(&mut log, &[b"hello"]);
        assert_eq!(log.retained(), 0);
        let alice = log.join();
        assert_eq!(read(&log, alice), b"");
        log.leave(alice);
        append(&mut log, &[b"hello"]);
        assert_eq!((log.retained(), log.subscribers()), (0, 0));
        log.check_invariants();
    }

    #[test]
    fn small_segments_are_one_slice_until_the_chunk_is_full() {
        for (last_bytes, chunks) in [(16, 1), (17, 2)] {
            let mut log = Log::new();
            let alice = log.join();
            for _ in 0..4 {
                append(&mut log, &[&vec![b'x'; CHUNK_BYTES_MAX / 4 - 4 - 4]]);
            }
            assert_eq!(slices(&log, alice).len(), 1, "and 16 bytes are left in it");
            append(&mut log, &[&vec![b'x'; last_bytes - 2]]);
            assert_eq!(slices(&log, alice).len(), chunks);
            log.check_invariants();
        }
    }

    #[test]
    fn a_segment_below_the_limit_is_copied_and_one_at_the_limit_is_shared() {
        let mut log = Log::new();
        let alice = log.join();
        let below = segment(&[(elsewhere(ALICE), &vec![0; SEGMENT_COPY_BYTES_MAX - 5])]);
        let at_limit = segment(&[(elsewhere(ALICE), &vec![0; SEGMENT_COPY_BYTES_MAX - 4])]);
        log.append(&below, HERE);
        log.append(&at_limit, HERE);
        assert_eq!(at_limit.frames.len(), SEGMENT_COPY_BYTES_MAX);
        assert_eq!((Arc::strong_count(&below.frames), Arc::strong_count(&at_limit.frames)), (1, 2));
        let _ = log.advance(alice, log.end());
        assert_eq!(Arc::strong_count(&at_limit.frames), 1, "and given back when everybody was written it");
    }

    #[test]
    fn a_chunk_goes_when_its_last_cursor_moves_on_and_not_before() {
        let mut log = Log::new();
        let (mut alice, mut bob) = (log.join(), log.join());
        let large = vec![b'x'; 20_000];
        append(&mut log, &[&large]);
        append(&mut log, &[&large]);
        append(&mut log, &[&large]);
        assert_eq!(log.retained(), 3 * 20_004);
        alice = log.advance(alice, LogPosition(40_008));
        assert_eq!(log.retained(), 3 * 20_004, "Bob stands in the first");
        bob = log.advance(bob, LogPosition(20_003));
        assert_eq!(log.retained(), 3 * 20_004, "still, at its last byte");
        bob = log.advance(bob, LogPosition(20_004));
        assert_eq!(log.retained(), 2 * 20_004);
        log.leave(bob);
        assert_eq!(log.retained(), 20_004, "nobody stands in the second");
        assert_eq!(log.lag(alice), 20_004);
        log.check_invariants();
    }

    #[test]
    fn who_is_far_behind_is_counted_by_chunks() {
        let mut log = Log::new();
        let (_alice, bob) = (log.join(), log.join());
        let large = vec![b'x'; 20_000];
        append(&mut log, &[&large]);
        append(&mut log, &[&large]);
        assert_eq!((log.behind(20_003), log.behind(20_004), log.behind(40_008)), (2, 0, 0));
        let bob = log.advance(bob, LogPosition(20_004));
        assert_eq!((log.behind(0), log.behind(20_003)), (1, 1), "Bob stands in the last one");
        log.leave(bob);
        assert_eq!(log.behind(0), 1);
    }

    #[test]
    fn slices_are_as_many_as_asked_for() {
        let mut log = Log::new();
        let alice = log.join();
        for _ in 0..3 {
            append(&mut log, &[&vec![b'x'; 20_000]]);
        }
        let mut out = Vec::new();
        assert_eq!(log.slices(LogPosition(alice.0 + 4), 2, &mut out), 40_004);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn s5_2_a_frame_ends_where_its_7_16_or_64_bit_length_says() {
        let mut log = Log::new();
        let _alice = log.join();
        append(&mut log, &[b"", &[0; 125], &[0; 126], &vec![0; 65_535], &vec![0; 65_536], b"x"]);
        let mut end = 0;
        for framed in [2, 2 + 125, 4 + 126, 4 + 65_535, 10 + 65_536, 2 + 1] {
            let start = end;
            end += framed;
            assert_eq!(log.slice_of_frame(LogPosition(start)), b"", "between two frames");
            assert_eq!(log.slice_of_frame(LogPosition(start + 1)).len() as u64, framed - 1);
            assert_eq!(log.slice_of_frame(LogPosition(end - 1)).len(), 1);
        }
        assert_eq!(log.slice_of_frame(log.end()), b"");
    }

    #[test]
    fn the_rest_of_a_torn_frame_outlives_the_log() {
        let mut log = Log::new();
        let alice = log.join();
        append(&mut log, &[b"one", b"two"]);
        let torn = log.advance(alice, LogPosition(alice.0 + 8));
        let rest = log.rest_of_frame(torn);
        log.leave(torn);
        assert_eq!(log.retained(), 0);
        assert_eq!(rest.as_slice(), b"wo");
    }

    #[test]
    fn the_rest_of_a_large_frame_is_shared() {
        let mut log = Log::new();
        let alice = log.join();
        append(&mut log, &[&vec![b'x'; 20_000]]);
        let rest = log.rest_of_frame(LogPosition(alice.0 + 5));
        assert!(matches!(&rest, FrameRest::Shared(..)));
        assert_eq!(rest.as_slice().len(), 19_999);
    }

    #[test]
    fn between_two_frames_nothing_is_torn() {
        let mut log = Log::new();
        let alice = log.join();
        append(&mut log, &[&vec![b'x'; 20_000]]);
        assert!(matches!(log.rest_of_frame(alice), FrameRest::Copied(bytes) if bytes.is_empty()));
        assert!(matches!(log.rest_of_frame(log.end()), FrameRest::Copied(bytes) if bytes.is_empty()));
    }

    #[test]
    fn a_small_rest_of_a_large_segment_is_copied_and_does_not_keep_it_alive() {
        let mut log = Log::new();
        let _alice = log.join();
        append(&mut log, &[&vec![b'x'; 20_000]]);
        let at = |left: usize| LogPosition((20_004 - left) as u64);
        let smallest_shared = log.rest_of_frame(at(SEGMENT_COPY_BYTES_MAX));
        assert!(matches!(smallest_shared, FrameRest::Shared(..)));
        let largest_copied = log.rest_of_frame(at(SEGMENT_COPY_BYTES_MAX - 1));
        assert!(
            matches!(largest_copied, FrameRest::Copied(bytes) if bytes.len() == SEGMENT_COPY_BYTES_MAX - 1)
        );
    }

    #[test]
    fn the_oldest_frame_within_so_many_bytes_is_the_newest_one_at_least() {
        let mut log = Log::new();
        let _alice = log.join();
        append(&mut log, &[b"one", b"three"]);
        append(&mut log, &[&vec![b'x'; 20_000], b"after"]);
        let ends = [5, 12, 20_016, 20_023];
        let oldest = |bytes_max: u64| log.oldest_within(bytes_max).0;
        assert_eq!(oldest(20_023), 0, "all of it");
        assert_eq!(oldest(20_022), ends[0]);
        assert_eq!(oldest(20_018), ends[0]);
        assert_eq!(oldest(20_017), ends[1]);
        assert_eq!(oldest(20_011), ends[1]);
        assert_eq!(oldest(20_010), ends[2]);
        assert_eq!((oldest(7), oldest(6), oldest(0)), (ends[2], ends[2], ends[2]), "the newest in any case");
    }

    #[test]
    fn the_newest_frame_is_found_behind_ones_own() {
        let (mut log, alice) = log_with_a_watcher();
        assert_eq!(log.newest_without(alice, None), log.end(), "there is none");
        log.append(&segment(&[(here(BOB), b"b1"), (here(BOB), b"b2"), (here(ALICE), b"a1")]), HERE);
        let large = vec![b'x'; 20_000];
        log.append(&segment(&[(here(ALICE), &large)]), HERE);
        assert_eq!(log.newest_without(alice, None), LogPosition(12));
        assert_eq!(log.newest_without(alice, Some(BOB)), LogPosition(12));
        assert_eq!(log.newest_without(alice, Some(ALICE)), LogPosition(4), "in the chunk before");
        assert_eq!(log.newest_without(LogPosition(12), Some(ALICE)), log.end(), "there is none of others");
    }

    #[test]
    fn a_jump_loses_the_frames_that_it_passes_over_without_the_rest_of_a_torn_one() {
        let mut log = Log::new();
        let _alice = log.join();
        append(&mut log, &[b"one", b"two"]);
        append(&mut log, &[&vec![b'x'; 20_000], b"four"]);
        let loss = |from: u64, to: u64| {
            let Loss { messages, bytes } = log.loss(LogPosition(from), LogPosition(to), None);
            (messages, bytes)
        };
        assert_eq!(loss(0, 20_020), (4, 20_020));
        assert_eq!(loss(1, 20_020), (3, 20_015));
        assert_eq!(loss(5, 20_014), (2, 20_009));
        assert_eq!(loss(6, 10), (0, 0));
        assert_eq!(loss(10, 10), (0, 0));
        assert_eq!(loss(11, 20_014), (0, 0), "the large one is torn");
        assert_eq!(loss(11, 20_020), (1, 6));
    }

    #[test]
    fn ones_own_frames_are_not_lost_without_echo() {
        let (mut log, alice) = log_with_a_watcher();
        log.append(&segment(&[(here(ALICE), b"a1"), (here(ALICE), b"a2"), (here(BOB), b"b1")]), HERE);
        let loss = |from: u64, to: u64, own| log.loss(LogPosition(from), LogPosition(to), own).messages;
        assert_eq!((loss(alice.0, 12, None), loss(alice.0, 12, Some(ALICE))), (3, 1));
        assert_eq!((loss(0, 4, Some(ALICE)), loss(4, 12, Some(ALICE)), loss(0, 12, Some(BOB))), (0, 1, 2));
    }

    #[test]
    fn without_echo_ones_own_frames_are_left_out() {
        let (mut log, alice) = log_with_a_watcher();
        log.append(&segment(&[(here(BOB), b"b1"), (here(ALICE), b"a1"), (here(BOB), b"b2")]), HERE);
        assert_eq!(read_without(&log, alice, ALICE), b"\x82\x02b1\x82\x02b2");
        assert_eq!(read(&log, alice), b"\x82\x02b1\x82\x02a1\x82\x02b2", "those who want echo get all");
    }

    #[test]
    fn a_client_of_the_same_key_on_another_shard_is_somebody_else() {
        let (mut log, alice) = log_with_a_watcher();
        log.append(&segment(&[(elsewhere(ALICE), b"hi")]), HERE);
        assert_eq!(read_without(&log, alice, ALICE), b"\x82\x02hi");
    }

    #[test]
    fn without_echo_the_cursor_passes_ones_own_frames_although_nothing_is_written() {
        let (mut log, alice) = log_with_a_watcher();
        log.append(&segment(&[(here(ALICE), b"a1")]), HERE);
        log.append(&segment(&[(here(ALICE), b"a2")]), HERE);
        let alice = log.advance(alice, log.position_after(alice, ALICE, 0));
        assert_eq!((alice, log.retained()), (log.end(), 0));
    }

    #[test]
    fn without_echo_the_cursor_stops_inside_a_torn_frame_and_passes_own_frames_behind_a_whole_one() {
        let (mut log, alice) = log_with_a_watcher();
        log.append(&segment(&[(here(BOB), b"b1"), (here(ALICE), b"a1"), (here(BOB), b"b2")]), HERE);
        assert_eq!(log.position_after(alice, ALICE, 3), LogPosition(3));
        assert_eq!(log.position_after(alice, ALICE, 4), LogPosition(8));
        assert_eq!(log.position_after(alice, ALICE, 6), LogPosition(10));
        assert_eq!(log.position_after(LogPosition(10), ALICE, 2), log.end());
    }

    #[test]
    fn origins_are_indexed_only_while_somebody_watches() {
        let mut log = Log::new();
        let _bob = log.join();
        log.append(&segment(&[(here(ALICE), b"a1")]), HERE);
        assert!(log.chunks[0].origins.is_empty());
        log.watch_origins();
        log.append(&segment(&[(here(ALICE), b"a2"), (here(ALICE), b"a3")]), HERE);
        assert_eq!(log.chunks[0].origins.len(), 1, "neighbours are one entry");
        log.unwatch_origins();
        assert!(log.chunks[0].origins.is_empty());
        log.check_invariants();
    }

    fn here(client: ClientKey) -> Origin {
        Origin { shard: HERE, client }
    }

    fn elsewhere(client: ClientKey) -> Origin {
        Origin { shard: ELSEWHERE, client }
    }

    fn log_with_a_watcher() -> (Log, LogPosition) {
        let mut log = Log::new();
        log.watch_origins();
        let cursor = log.join();
        (log, cursor)
    }

    /// One segment with a publication from elsewhere for each payload.
    fn append(log: &mut Log, payloads: &[&[u8]]) {
        let publications: Vec<_> = payloads.iter().map(|payload| (elsewhere(BOB), *payload)).collect();
        let segment = segment(&publications);
        assert!(segment.frames.starts_with(&frame(payloads[0])));
        log.append(&segment, HERE);
    }

    fn slices(log: &Log, from: LogPosition) -> Vec<IoSlice<'_>> {
        let mut out = Vec::new();
        assert_eq!(log.slices(from, usize::MAX, &mut out) as u64, log.lag(from));
        out
    }

    fn read(log: &Log, from: LogPosition) -> Vec<u8> {
        concatenated(&slices(log, from))
    }

    fn read_without(log: &Log, from: LogPosition, own: ClientKey) -> Vec<u8> {
        let mut out = Vec::new();
        let bytes = log.slices_without(from, own, usize::MAX, &mut out);
        let read = concatenated(&out);
        assert_eq!(read.len(), bytes);
        read
    }
}
