//! [`Spares`]: memory for clients' own bytes that nobody needs just then, kept to be used again.

use super::outbox::Own;
use crate::limits::{SPARE_BYTES_MAX, SPARES_BYTES_MAX, SPARES_MAX};

/// Empty boxes for clients' own bytes. The one that was in use last, and is in the processor's cache, goes first.
#[derive(Debug, Default)]
pub(super) struct Spares {
    /// Invariant: at most [`SPARES_MAX`], each with a capacity of at most [`SPARE_BYTES_MAX`].
    #[expect(clippy::vec_box, reason = "they move between here and an Option<Box> in each client")]
    boxes: Vec<Box<Own>>,
    /// Bytes of memory that they keep. Invariant: the sum of their capacities, at most [`SPARES_BYTES_MAX`].
    bytes: usize,
}

impl Spares {
    /// A box, with memory if there is any.
    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    pub(super) fn take(&mut self) -> Box<Own> {
        let own = self.boxes.pop().unwrap_or_default();
        self.bytes -= own.capacity();
        own
    }

    /// Keeps an empty box, or drops it if there is no room for it.
    pub(super) fn keep(&mut self, own: Box<Own>) {
        let bytes = own.capacity();
        if self.boxes.len() < SPARES_MAX && bytes <= SPARE_BYTES_MAX && self.bytes + bytes <= SPARES_BYTES_MAX
        {
            self.bytes += bytes;
            self.boxes.push(own);
        }
    }

    /// Bytes of memory that they keep.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives their memory back.
    pub(super) fn clear(&mut self) {
        self.boxes.clear();
        self.bytes = 0;
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.boxes.len() <= SPARES_MAX && self.bytes <= SPARES_BYTES_MAX);
        assert!(self.boxes.iter().all(|own| own.capacity() <= SPARE_BYTES_MAX));
        assert_eq!(self.bytes, self.boxes.iter().map(|own| own.capacity()).sum::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: usize, bytes: usize) -> Spares {
        let mut spares = Spares::default();
        for _ in 0..count {
            spares.keep(Box::new(Own::with_capacity(bytes)));
            spares.check_invariants();
        }
        spares
    }

    #[test]
    fn a_box_comes_back_with_its_memory() {
        let mut spares = kept(1, 100);
        assert_eq!(spares.take().capacity(), 100);
        assert_eq!((spares.take().capacity(), spares.bytes), (0, 0));
    }

    #[test]
    fn no_more_are_kept_than_may_be_by_their_number_by_their_size_and_by_their_sum() {
        assert_eq!(kept(SPARES_MAX, 1).boxes.len(), SPARES_MAX);
        assert_eq!(kept(SPARES_MAX + 1, 1).boxes.len(), SPARES_MAX);
        assert_eq!(kept(1, SPARE_BYTES_MAX).boxes.len(), 1);
        assert_eq!(kept(1, SPARE_BYTES_MAX + 1).boxes.len(), 0);
        let whole = SPARES_BYTES_MAX / SPARE_BYTES_MAX;
        assert_eq!(kept(whole, SPARE_BYTES_MAX).boxes.len(), whole);
        assert_eq!(kept(whole + 1, SPARE_BYTES_MAX).boxes.len(), whole);
    }
}
