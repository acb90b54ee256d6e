//! [`Backoff`]: how long to wait before connecting again.

use std::time::Duration;

/// Before the first attempt; each further one waits about twice as long.
const FIRST: Duration = Duration::from_millis(500);

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// A connection that lived this long ends the series: what comes after it starts from [`FIRST`].
const STABLE: Duration = Duration::from_secs(5);

/// Waits that double from attempt to attempt, each cut by chance to between its half and its whole, so that a thousand
/// clients of a server that restarts do not come back in the same instant.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Attempts since the last connection that was stable.
    pub(crate) attempts: u32,
}

impl Backoff {
    /// How long to wait, given a random number and how long the connection lived that has ended (zero if none came
    /// about).
    pub(crate) fn next(&mut self, lived: Duration, random: u32) -> Duration {
        if lived >= STABLE {
            self.attempts = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let share = 0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0;
        whole.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn waits_ms(random: u32) -> Vec<u128> {
        let mut backoff = Backoff::default();
        (0..9).map(|_| backoff.next(NONE, random).as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_half_a_minute() {
        assert_eq!(waits_ms(u32::MAX), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn chance_cuts_a_wait_to_no_less_than_its_half() {
        assert_eq!(waits_ms(0), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
    }

    #[test]
    fn a_stable_connection_ends_the_series_and_a_short_one_does_not() {
        let mut backoff = Backoff::default();
        backoff.next(NONE, 0);
        assert_eq!(backoff.next(STABLE.saturating_sub(Duration::from_millis(1)), 0).as_millis(), 500);
        assert_eq!(backoff.next(STABLE, 0).as_millis(), 250);
    }

    #[test]
    fn the_longest_series_overflows_nothing() {
        let mut backoff = Backoff { attempts: u32::MAX };
        assert_eq!(backoff.next(NONE, u32::MAX), LONGEST);
    }
}
