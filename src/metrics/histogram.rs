//! [`Histogram`]: how long something took, over and over, in buckets that one thread counts and any thread reads.
//!
//! Four buckets for each doubling, from a microsecond to a minute: a quantile is right to an eighth. What is added up, taken apart and
//! asked is a [`HistogramSnapshot`].

use super::Cell;

/// Buckets for each doubling.
const STEPS: u64 = 4;

/// The first microsecond that is too long for any other bucket than the last: 67 seconds.
const CEILING_US: u64 = 1 << 26;

/// Buckets, the last of them for all that is longer.
const BUCKETS: usize = bucket(CEILING_US) + 1;

/// Durations in microseconds, counted by one thread.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Cell; BUCKETS],
    sum_us: Cell,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: [const { Cell::new() }; BUCKETS], sum_us: Cell::new() }
    }
}

impl Histogram {
    /// Something took so many microseconds, so many times. Only the owning shard calls this.
    pub fn record(&self, us: u64, times: u64) {
        self.buckets[bucket(us)].add(times);
        self.sum_us.add(us * times);
    }

    /// What has been counted so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut counts = [0; BUCKETS];
        for (count, cell) in counts.iter_mut().zip(&self.buckets) {
            *count = cell.get();
        }
        HistogramSnapshot { counts, sum_us: self.sum_us.get() }
    }
}

/// What a [`Histogram`] had counted at a moment, or several together, or what came in between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    counts: [u64; BUCKETS],
    sum_us: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        HistogramSnapshot { counts: [0; BUCKETS], sum_us: 0 }
    }
}

impl HistogramSnapshot {
    /// Adds up what several have counted.
    pub fn of<'h>(histograms: impl IntoIterator<Item = &'h Histogram>) -> HistogramSnapshot {
        histograms.into_iter().fold(HistogramSnapshot::default(), |sum, one| sum.plus(&one.snapshot()))
    }

    /// This and `other` together.
    #[must_use]
    pub fn plus(&self, other: &HistogramSnapshot) -> HistogramSnapshot {
        self.with(other, u64::wrapping_add)
    }

    /// What has come since `earlier`, an earlier snapshot of the same.
    #[must_use]
    pub fn since(&self, earlier: &HistogramSnapshot) -> HistogramSnapshot {
        // A writer that is in the midst of it may show a sum without its count, but nothing goes back.
        self.with(earlier, u64::saturating_sub)
    }

    fn with(&self, other: &HistogramSnapshot, both: impl Fn(u64, u64) -> u64) -> HistogramSnapshot {
        let mut counts = self.counts;
        for (count, other) in counts.iter_mut().zip(&other.counts) {
            *count = both(*count, *other);
        }
        HistogramSnapshot { counts, sum_us: both(self.sum_us, other.sum_us) }
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The microseconds below which this part of them is, 0 to 1; within its bucket they count as spread evenly. None if
    /// there is nothing. What is longer than 67 seconds counts as that.
    #[expect(clippy::cast_precision_loss, reason = "a bucket is less exact than that")]
    pub fn quantile_us(&self, part: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = part.clamp(0.0, 1.0) * count as f64;
        let mut below = 0.0;
        let mut quantile = 0.0;
        for (bucket, &in_it) in self.counts.iter().enumerate().filter(|(_, in_it)| **in_it > 0) {
            let (from, to) = (lower_us(bucket) as f64, upper_us(bucket) as f64);
            let in_it = in_it as f64;
            quantile = from + (to - from) * ((rank - below) / in_it).clamp(0.0, 1.0);
            below += in_it;
            if below >= rank {
                break;
            }
        }
        Some(quantile)
    }

    /// The end of the bucket of the longest, in microseconds. None if there is nothing.
    pub fn max_us(&self) -> Option<u64> {
        self.counts.iter().rposition(|count| *count > 0).map(upper_us)
    }

    /// How many were shorter than each power of two of microseconds, from 1 to 2²⁶: what an exposition wants, which counts
    /// what is longer by [`count`](Self::count). Durations are cut to whole microseconds, so that "shorter than" the whole
    /// is "at most" for the true ones.
    pub fn below(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..=CEILING_US.trailing_zeros()).map(|power| {
            let us = 1 << power;
            (us, self.counts[..bucket(us)].iter().sum())
        })
    }
}

/// The bucket of a duration.
const fn bucket(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let us = if us < CEILING_US { us } else { CEILING_US };
    let doublings = us.ilog2() as u64 - 1;
    (doublings * STEPS + ((us >> (doublings - 1)) & (STEPS - 1))) as usize
}

/// The first microsecond of a bucket.
fn lower_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS { bucket } else { (STEPS + bucket % STEPS) << (bucket / STEPS - 1) }
}

/// The first microsecond behind a bucket; of the last one, its own.
fn upper_us(bucket: usize) -> u64 {
    lower_us((bucket + 1).min(BUCKETS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(durations_us: &[u64]) -> HistogramSnapshot {
        let histogram = Histogram::default();
        for us in durations_us {
            histogram.record(*us, 1);
        }
        histogram.snapshot()
    }

    #[test]
    fn a_bucket_has_all_from_its_first_microsecond_to_the_next_ones() {
        assert_eq!((lower_us(0), upper_us(BUCKETS - 1)), (0, CEILING_US));
        for number in 0..BUCKETS - 1 {
            let (from, to) = (lower_us(number), upper_us(number));
            assert_eq!((bucket(from), bucket(to - 1), bucket(to)), (number, number, number + 1));
            assert!(to - from <= 1.max(from / STEPS), "{from} to {to}");
        }
        assert_eq!((bucket(CEILING_US), bucket(u64::MAX)), (BUCKETS - 1, BUCKETS - 1));
    }

    #[test]
    fn a_quantile_is_right_to_a_bucket() {
        let all: Vec<u64> = (0..10_000).collect();
        for (part, is) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0)] {
            let quantile = snapshot(&all).quantile_us(part).unwrap();
            assert!((quantile - is).abs() < is / 8.0, "{part}: {quantile}");
        }
        assert_eq!(snapshot(&[]).quantile_us(0.5), None);
        assert_eq!(snapshot(&[7]).quantile_us(0.0), Some(7.0));
        assert_eq!(snapshot(&[7]).quantile_us(1.0), Some(8.0));
        assert_eq!(snapshot(&[1, u64::MAX >> 8]).quantile_us(1.0), Some(67_108_864.0));
        assert_eq!((snapshot(&[]).max_us(), snapshot(&[3, 900]).max_us()), (None, Some(1024)));
    }

    #[test]
    fn snapshots_are_added_and_taken_apart() {
        let histogram = Histogram::default();
        histogram.record(10, 3);
        let before = histogram.snapshot();
        histogram.record(100, 2);
        let since = histogram.snapshot().since(&before);
        assert_eq!((since.count(), since.sum_us()), (2, 200));
        assert_eq!(since, snapshot(&[100, 100]));
        assert_eq!(since.plus(&before), histogram.snapshot());
        assert_eq!(HistogramSnapshot::of([&histogram, &histogram]).count(), 10);
    }

    #[test]
    fn an_exposition_counts_what_is_shorter_than_each_power_of_two() {
        let below: Vec<(u64, u64)> = snapshot(&[0, 1, 3, 4, 1023, 1024, CEILING_US]).below().collect();
        assert_eq!(below[..4], [(1, 1), (2, 2), (4, 3), (8, 4)]);
        assert_eq!((below[10], below[11]), ((1024, 5), (2048, 6)));
        assert_eq!(below.last(), Some(&(CEILING_US, 6)), "the longest is in none of them");
    }
}
