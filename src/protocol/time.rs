//! [`Time`]: the hour as the protocol knows it, handed in by whoever owns the clock.

/// A point in time: milliseconds since a start that the caller chose.
///
/// It has 32 bits, so that a hundred thousand connections with their deadlines stay small, and wraps after 49 days.
/// Comparisons are made by wrapping subtraction and hold as long as two times are less than 24 days apart; a `Time`
/// has therefore no order of its own (`<` would be wrong once in 49 days).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time(pub u32);

impl Time {
    /// This time and `ms` milliseconds more.
    #[must_use]
    pub fn plus(self, ms: u32) -> Time {
        Time(self.0.wrapping_add(ms))
    }

    /// Milliseconds from `earlier` to this time.
    #[must_use]
    pub fn since(self, earlier: Time) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this time is at or after `deadline`.
    #[must_use]
    pub fn reached(self, deadline: Time) -> bool {
        self.since(deadline) < 1 << 31
    }

    /// The earlier of two times.
    #[must_use]
    pub fn earlier(self, other: Time) -> Time {
        if other.reached(self) { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_its_very_millisecond() {
        assert!(!Time(99).reached(Time(100)));
        assert!(Time(100).reached(Time(100)));
        assert!(Time(101).reached(Time(100)));
        // Half a turn of the clock later it is before the next one.
        assert!(Time((1 << 31) + 99).reached(Time(100)) && !Time((1 << 31) + 100).reached(Time(100)));
    }

    #[test]
    fn comparisons_hold_across_the_wrap() {
        let before = Time(u32::MAX - 4);
        let after = before.plus(10);
        assert_eq!(after, Time(5));
        assert_eq!(after.since(before), 10);
        assert!(after.reached(before));
        assert!(!before.reached(after));
        assert_eq!(before.earlier(after), before);
        assert_eq!(after.earlier(before), before);
    }
}
