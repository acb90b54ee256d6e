//! The law of logs, with its model: one big vector in which every cursor is a number.

use super::{HERE, Script, client, concatenated, frame, here, segment};
use crate::hub::log::{FrameRest, Log, LogPosition, Loss};
use crate::hub::{ClientId, ClientKey, ShardId};
use crate::limits::{CHUNK_BYTES_MAX, SEGMENT_COPY_BYTES_MAX};

/// A log agrees with one big vector in which every cursor is a number, whatever is joined, left, appended, advanced
/// and passed over by jumps, with echo and without.
///
/// # Panics
/// If it does not.
pub fn a_log_agrees_with_one_big_vector(script: &[u8]) {
    let mut script = Script(script);
    let mut pair = LogAndModel::default();
    while let Some(operation) = script.next() {
        match operation % 10 {
            0 => pair.join(None),
            1 => pair.join(Some(client(script.byte() % 3))),
            2 => pair.leave(script.byte()),
            3 | 4 => pair.append(&mut script),
            5 => pair.advance(script.byte(), 1, usize::from(script.byte())),
            6 => pair.advance(script.byte(), 64, script.size() * 16),
            7 => pair.jump_within(script.byte(), script.size() * 16),
            8 => pair.jump_to_newest(script.byte()),
            _ => pair.advance(script.byte(), usize::MAX, usize::MAX),
        }
        pair.check();
    }
}

#[derive(Default)]
struct LogAndModel {
    log: Log,
    /// All that was ever appended while anyone was subscribed: a log position is an index into it.
    bytes: Vec<u8>,
    /// Start, end and origin of every frame in `bytes`.
    frames: Vec<(usize, usize, ClientId)>,
    cursors: Vec<Cursor>,
    largest_segment: usize,
    filler: u8,
}

struct Cursor {
    at: usize,
    /// Whose frames it passes over.
    own: Option<ClientKey>,
}

impl LogAndModel {
    fn join(&mut self, own: Option<ClientKey>) {
        if self.cursors.len() == 6 {
            return;
        }
        if own.is_some() {
            self.log.watch_origins();
        }
        assert_eq!(self.log.join(), self.log.end());
        self.cursors.push(Cursor { at: self.bytes.len(), own });
    }

    fn leave(&mut self, which: u8) {
        if self.cursors.is_empty() {
            return;
        }
        let cursor = self.cursors.swap_remove(usize::from(which) % self.cursors.len());
        self.log.leave(position(cursor.at));
        if cursor.own.is_some() {
            self.log.unwatch_origins();
        }
    }

    fn append(&mut self, script: &mut Script<'_>) {
        let publications: Vec<(ClientId, Vec<u8>)> = (0..=script.byte() % 4)
            .map(|_| {
                let choice = script.byte();
                let origin =
                    ClientId { shard: ShardId(u16::from(choice / 3 % 2)), client: client(choice % 3) };
                self.filler = self.filler.wrapping_add(1);
                (origin, vec![self.filler; script.size()])
            })
            .collect();
        let lent: Vec<_> =
            publications.iter().map(|(origin, payload)| (*origin, payload.as_slice())).collect();
        let segment = segment(&lent);
        self.log.append(&segment, HERE);
        if self.cursors.is_empty() {
            return;
        }
        let mut start = self.bytes.len();
        for (origin, payload) in &publications {
            let end = start + frame(payload).len();
            self.frames.push((start, end, *origin));
            start = end;
        }
        self.bytes.extend(&**segment.frames);
        self.largest_segment = self.largest_segment.max(segment.frames.len());
    }

    /// A write of which the kernel takes at most `taken_max` bytes.
    fn advance(&mut self, which: u8, slices_max: usize, taken_max: usize) {
        if self.cursors.is_empty() {
            return;
        }
        let which = usize::from(which) % self.cursors.len();
        let Cursor { at, own } = self.cursors[which];
        let mut offered = Vec::new();
        let (expected, to, taken) = match own {
            None => {
                let bytes = self.log.slices(position(at), slices_max, &mut offered);
                let taken = bytes.min(taken_max);
                (self.bytes[at..at + bytes].to_vec(), at + taken, taken)
            }
            Some(own) => {
                let bytes = self.log.slices_without(position(at), own, slices_max, &mut offered);
                let taken = bytes.min(taken_max);
                let mut expected = self.bytes_without(at, own);
                expected.truncate(bytes);
                (expected, self.model_position_after(at, own, taken), taken)
            }
        };
        assert!(offered.len() <= slices_max && offered.iter().all(|slice| !slice.is_empty()));
        assert_eq!(concatenated(&offered), expected);
        if let Some(own) = own {
            assert_eq!(self.log.position_after(position(at), own, taken), position(to));
        }
        self.cursors[which].at = to;
        assert_eq!(self.log.advance(position(at), position(to)), position(to));
    }

    /// A jump that leaves at most so many bytes, if the newest frame has not more.
    fn jump_within(&mut self, which: u8, bytes_max: usize) {
        let within = |(start, ..): &&(usize, usize, ClientId)| self.bytes.len() - start <= bytes_max;
        let retained = self.retained_frames();
        let oldest = retained.iter().find(within).or(retained.last());
        let to = oldest.map_or(self.bytes.len(), |(start, ..)| *start);
        assert_eq!(self.log.oldest_within(bytes_max as u64), position(to));
        self.jump(which, |_| to);
    }

    fn jump_to_newest(&mut self, which: u8) {
        self.jump(which, |pair| {
            let Cursor { at, own } = pair.cursors[usize::from(which) % pair.cursors.len()];
            let is_foreign = |(_, end, origin): &&(usize, usize, ClientId)| {
                *end > at && own.is_none_or(|own| *origin != here(own))
            };
            let newest = pair.log.newest_without(position(at), own);
            match pair.frames.iter().rev().find(is_foreign) {
                Some((start, ..)) => assert_eq!(newest, position(*start)),
                None => assert!(newest <= position(at) || newest == pair.log.end(), "nothing is ahead"),
            }
            newest.0 as usize
        });
    }

    /// A jump to where a frame starts, if that is ahead.
    fn jump(&mut self, which: u8, to: impl FnOnce(&LogAndModel) -> usize) {
        if self.cursors.is_empty() {
            return;
        }
        let to = to(self);
        let which = usize::from(which) % self.cursors.len();
        let Cursor { at, own } = self.cursors[which];
        let is_lost = |(start, end, origin): &&(usize, usize, ClientId)| {
            at <= *start && *end <= to && own.is_none_or(|own| *origin != here(own))
        };
        let lost = self.frames.iter().filter(is_lost).fold(Loss::default(), |mut lost, (start, end, _)| {
            lost += Loss { messages: 1, bytes: (end - start) as u64 };
            lost
        });
        assert_eq!(self.log.loss(position(at), position(to), own), lost);
        if to > at {
            self.cursors[which].at = to;
            assert_eq!(self.log.advance(position(at), position(to)), position(to));
        }
    }

    /// The frames from the hindmost cursor's chunk to the end.
    fn retained_frames(&self) -> &[(usize, usize, ClientId)] {
        let first = self.bytes.len() - self.log.retained() as usize;
        &self.frames[self.frames.partition_point(|(start, ..)| *start < first)..]
    }

    fn check(&self) {
        self.log.check_invariants();
        assert_eq!(self.log.end(), position(self.bytes.len()));
        assert_eq!(self.log.subscribers() as usize, self.cursors.len());
        for cursor in &self.cursors {
            self.check_cursor(cursor);
        }
        // A lagging cursor pins its own chunk and no other before it.
        let lag = self.cursors.iter().map(|cursor| self.bytes.len() - cursor.at).max().unwrap_or(0) as u64;
        let chunk = CHUNK_BYTES_MAX.max(self.largest_segment) as u64;
        assert!(lag <= self.log.retained() && self.log.retained() < lag + chunk);
    }

    fn check_cursor(&self, cursor: &Cursor) {
        let at = position(cursor.at);
        assert_eq!(self.log.lag(at), (self.bytes.len() - cursor.at) as u64);

        let mut slices = Vec::new();
        assert_eq!(self.log.slices(at, usize::MAX, &mut slices), self.bytes.len() - cursor.at);
        let mut compared = cursor.at;
        for slice in &slices {
            assert!(**slice == self.bytes[compared..compared + slice.len()]);
            compared += slice.len();
        }

        let torn = self.frames.iter().find(|(start, end, _)| *start < cursor.at && cursor.at < *end);
        let frame_end = torn.map_or(cursor.at, |(_, end, _)| *end);
        assert!(self.log.slice_of_frame(at) == &self.bytes[cursor.at..frame_end]);
        let rest = self.log.rest_of_frame(at);
        assert!(rest.as_slice() == &self.bytes[cursor.at..frame_end]);
        if let FrameRest::Shared(frames, range) = &rest {
            assert!(range.len() >= SEGMENT_COPY_BYTES_MAX, "what is small is copied");
            assert_eq!(range.end, frames.len(), "so is what others follow");
        }

        if let Some(own) = cursor.own {
            assert!(torn.is_none_or(|(_, _, origin)| *origin != here(own)), "never inside an own frame");
            let mut slices = Vec::new();
            self.log.slices_without(at, own, usize::MAX, &mut slices);
            assert_eq!(concatenated(&slices), self.bytes_without(cursor.at, own));
        }
    }

    fn bytes_without(&self, at: usize, own: ClientKey) -> Vec<u8> {
        let others = self.frames.iter().filter(|(_, end, origin)| *end > at && *origin != here(own));
        let others: Vec<_> = others.map(|(start, end, _)| &self.bytes[at.max(*start)..*end]).collect();
        others.concat()
    }

    fn model_position_after(&self, at: usize, own: ClientKey, mut taken: usize) -> usize {
        let ahead = self.frames.iter().filter(|(_, end, _)| *end > at);
        let mut at = at;
        for (_, end, origin) in ahead {
            if *origin == here(own) {
                at = *end;
            } else if taken >= end - at {
                taken -= end - at;
                at = *end;
            } else {
                return at + taken;
            }
        }
        at
    }
}

fn position(at: usize) -> LogPosition {
    LogPosition(at as u64)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_log_agrees_with_one_big_vector(script in vec(any::<u8>(), 0..600)) {
            super::a_log_agrees_with_one_big_vector(&script);
        }
    }
}
