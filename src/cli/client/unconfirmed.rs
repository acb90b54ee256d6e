//! [`Unconfirmed`]: what we have said and not yet heard ourselves.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// Words that are remembered; when there are more, the first are forgotten.
const WORDS_MAX: usize = 1024;

/// What we have said and the server has not yet sent back, in order. A server that sends everything to everyone confirms
/// by that what it has accepted.
///
/// Only hashes are kept, so that a thousand long lines cost no more than short ones.
#[derive(Debug, Default)]
pub(crate) struct Unconfirmed {
    hashes: VecDeque<u64>,
    hasher: RandomState,
}

impl Unconfirmed {
    /// We have said `words`.
    pub(crate) fn say(&mut self, words: &[u8]) {
        if self.hashes.len() == WORDS_MAX {
            self.hashes.pop_front();
        }
        self.hashes.push_back(self.hasher.hash_one(words));
    }

    /// `words` came in our name. Whether they are ours, and have not come before.
    pub(crate) fn confirm(&mut self, words: &[u8]) -> bool {
        let hash = self.hasher.hash_one(words);
        match self.hashes.iter().position(|said| *said == hash) {
            Some(position) => self.hashes.remove(position).is_some(),
            None => false,
        }
    }

    /// How many have not come back.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// They will not come back any more. How many they were.
    pub(crate) fn give_up(&mut self) -> usize {
        let count = self.hashes.len();
        self.hashes.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_our_words_is_confirmed_once() {
        let mut unconfirmed = Unconfirmed::default();
        unconfirmed.say(b"a");
        unconfirmed.say(b"b");
        unconfirmed.say(b"a");
        assert!(!unconfirmed.confirm(b"c"), "somebody else's");
        assert!(unconfirmed.confirm(b"b") && !unconfirmed.confirm(b"b"), "said once, heard once");
        assert!(unconfirmed.confirm(b"a") && unconfirmed.confirm(b"a") && !unconfirmed.confirm(b"a"));
        assert_eq!(unconfirmed.len(), 0);
    }

    #[test]
    fn the_first_words_are_forgotten_when_there_are_too_many() {
        let mut unconfirmed = Unconfirmed::default();
        for number in 0..=WORDS_MAX {
            unconfirmed.say(&number.to_be_bytes());
        }
        assert!(!unconfirmed.confirm(&0_usize.to_be_bytes()));
        assert!(unconfirmed.confirm(&1_usize.to_be_bytes()) && unconfirmed.confirm(&WORDS_MAX.to_be_bytes()));
        assert_eq!(unconfirmed.give_up(), WORDS_MAX - 2);
        assert_eq!(unconfirmed.len(), 0);
    }
}
