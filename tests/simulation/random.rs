//! The source of choices: a seed (`SplitMix64`), or a fuzzer's bytes for as long as there are any.
//!
//! The same seed, or the same bytes, make the same run on every machine. A choice among few takes one byte, so that a
//! byte more or less changes one choice and leaves the others. What nobody has to choose (keys, what a fork gives) is
//! *noise* and takes no bytes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Where every choice of a run comes from.
#[derive(Clone, Debug)]
pub struct Random {
    noise: u64,
    /// What is left of a fuzzer's bytes. None is a run by a seed alone.
    script: Option<VecDeque<u8>>,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { noise: seed, script: None }
    }

    /// Choices are made by the bytes of a script, and by a seed once they are used up.
    pub fn scripted(script: &[u8]) -> Random {
        let mut script: VecDeque<u8> = script.iter().copied().collect();
        let noise = script.pop_front().map_or(0, u64::from);
        Random { noise, script: Some(script) }
    }

    /// Whether a script has come to its end.
    pub fn is_used_up(&self) -> bool {
        self.script.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// Noise.
    pub fn next(&mut self) -> u64 {
        self.noise = self.noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.noise;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Another source, independent of what this one goes on to give. It is one of noise.
    pub fn fork(&mut self) -> Random {
        Random::new(self.next())
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let choice = match &mut self.script {
            Some(script) if end > 1 && !script.is_empty() => {
                let bytes = if end > 1 << 16 { 4 } else { 1 + usize::from(end > 1 << 8) };
                let digits = script.drain(..bytes.min(script.len()));
                digits.fold(0, |choice, digit| choice << 8 | u64::from(digit))
            }
            _ => self.next(),
        };
        (choice % end as u64) as usize
    }

    pub fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        percent > 0 && self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Bytes of which each is a choice.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(1 << 8) as u8).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
