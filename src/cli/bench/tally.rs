//! [`Tally`]: how much arrived in the window and how long it took, counted by one thread.

use super::outcome::Moment;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Significant digits of the latencies that are reported, and of those of a moment.
const DIGITS: u8 = 3;
const DIGITS_OF_MOMENT: u8 = 2;

/// A moment, unless the window has more than [`MOMENTS_MAX`] of them.
const MOMENT_NS: u64 = 100_000_000;
const MOMENTS_MAX: u64 = 200;

/// The measured window, in nanoseconds of the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
}

impl Window {
    #[inline]
    fn contains(self, ns: u64) -> bool {
        (self.begin_ns..self.end_ns).contains(&ns)
    }

    fn moment_ns(self) -> u64 {
        MOMENT_NS.max((self.end_ns - self.begin_ns).div_ceil(MOMENTS_MAX))
    }
}

/// Counts what arrives. Latencies are of all that arrives once the window has begun, what comes after its end included:
/// messages that a slow server still owes then are not left out.
#[derive(Debug)]
pub(super) struct Tally {
    window: Window,
    moment_ns: u64,
    pub(super) units: u64,
    pub(super) payload_bytes: u64,
    pub(super) publications: u64,
    pub(super) latency_ns: Histogram<u64>,
    moments: Vec<Part>,
    /// When the bytes that are being looked at came.
    now_ns: u64,
    /// The moment that is, by number. `None` outside of the window.
    moment: Option<usize>,
    /// When the next moment begins.
    next_moment_ns: u64,
    /// Arrivals in a row with the same intended time, not yet counted: messages often come as they were sent, several
    /// at a time.
    run: Run,
}

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    intended_ns: u64,
    units: u64,
    payload_bytes: u64,
}

/// One thread's part of a moment.
#[derive(Clone, Debug)]
struct Part {
    units: u64,
    latency_ns: Histogram<u64>,
}

impl Part {
    fn new() -> Part {
        Part { units: 0, latency_ns: histogram(DIGITS_OF_MOMENT) }
    }
}

/// A histogram that grows as needed.
fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new(digits).expect("a histogram may have up to five digits")
}

impl Tally {
    /// Nothing is counted before the window's beginning.
    pub(super) fn new() -> Tally {
        Tally {
            window: Window { begin_ns: u64::MAX, end_ns: u64::MAX },
            moment_ns: MOMENT_NS,
            units: 0,
            payload_bytes: 0,
            publications: 0,
            latency_ns: histogram(DIGITS),
            moments: Vec::new(),
            now_ns: 0,
            moment: None,
            next_moment_ns: u64::MAX,
            run: Run::default(),
        }
    }

    /// The window will be this.
    pub(super) fn measure(&mut self, window: Window) {
        self.window = window;
        self.moment_ns = window.moment_ns();
        self.next_moment_ns = window.begin_ns;
    }

    /// The window ends earlier than it was to.
    pub(super) fn end_early(&mut self, end_ns: u64) {
        self.window.end_ns = end_ns;
        self.moment = None;
        self.next_moment_ns = u64::MAX;
    }

    /// What follows came at this time, which is never before the last.
    #[inline]
    pub(super) fn look(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if now_ns >= self.next_moment_ns {
            self.enter_moment();
        }
    }

    #[cold]
    fn enter_moment(&mut self) {
        let Window { begin_ns, end_ns } = self.window;
        self.moment =
            self.window.contains(self.now_ns).then(|| ((self.now_ns - begin_ns) / self.moment_ns) as usize);
        self.next_moment_ns = match self.moment {
            Some(moment) => end_ns.min(begin_ns + (moment as u64 + 1) * self.moment_ns),
            None => u64::MAX,
        };
    }

    /// A unit arrived that was to be sent at that time.
    #[inline]
    pub(super) fn arrive(&mut self, intended_ns: u64, payload_bytes: usize) {
        if intended_ns != self.run.intended_ns {
            self.settle();
            self.run.intended_ns = intended_ns;
        }
        self.run.units += 1;
        self.run.payload_bytes += payload_bytes as u64;
    }

    /// Messages were sent that were due at this time. What was due before the window's end may be sent after something came
    /// that counts no more.
    #[inline]
    pub(super) fn publish(&mut self, due_ns: u64, messages: u64) {
        if self.window.contains(due_ns) {
            self.publications += messages;
        }
    }

    /// Counts what has arrived since [`look`](Self::look). To be called before the next.
    #[inline]
    pub(super) fn settle(&mut self) {
        let Run { intended_ns, units, payload_bytes } = std::mem::take(&mut self.run);
        if units == 0 || self.now_ns < self.window.begin_ns {
            return;
        }
        let latency_ns = self.now_ns.saturating_sub(intended_ns);
        record(&mut self.latency_ns, latency_ns, units);
        if let Some(moment) = self.moment {
            self.units += units;
            self.payload_bytes += payload_bytes;
            if moment >= self.moments.len() {
                self.moments.resize_with(moment + 1, Part::new);
            }
            let part = &mut self.moments[moment];
            part.units += units;
            record(&mut part.latency_ns, latency_ns, units);
        }
    }

    /// Adds what another thread has counted in the same window.
    pub(super) fn add(&mut self, other: &Tally) {
        self.units += other.units;
        self.payload_bytes += other.payload_bytes;
        self.publications += other.publications;
        add(&mut self.latency_ns, &other.latency_ns);
        if self.moments.len() < other.moments.len() {
            self.moments.resize_with(other.moments.len(), Part::new);
        }
        for (part, other) in self.moments.iter_mut().zip(&other.moments) {
            part.units += other.units;
            add(&mut part.latency_ns, &other.latency_ns);
        }
    }

    /// The window, piece by piece.
    pub(super) fn course(&self) -> Vec<Moment> {
        let length_ns = self.window.end_ns.saturating_sub(self.window.begin_ns);
        let count = length_ns.div_ceil(self.moment_ns) as usize;
        let nothing = Part::new();
        let moments = (0..count).map(|index| {
            let Part { units, latency_ns } = self.moments.get(index).unwrap_or(&nothing);
            Moment {
                end: Duration::from_nanos(length_ns.min((index as u64 + 1) * self.moment_ns)),
                units: *units,
                p50_ns: latency_ns.value_at_quantile(0.5),
                p99_ns: latency_ns.value_at_quantile(0.99),
                max_ns: latency_ns.max(),
            }
        });
        moments.collect()
    }
}

/// Records in a histogram that grows as needed, which cannot fail.
#[inline]
fn record(histogram: &mut Histogram<u64>, value: u64, count: u64) {
    let result = histogram.record_n(value, count);
    debug_assert_eq!(result, Ok(()));
}

/// Adds a histogram to one that grows as needed, which cannot fail.
fn add(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    let result = histogram.add(other);
    debug_assert_eq!(result, Ok(()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tally of the second from 1 s to 2 s.
    fn tally() -> Tally {
        let mut tally = Tally::new();
        tally.measure(Window { begin_ns: 1_000_000_000, end_ns: 2_000_000_000 });
        tally
    }

    /// At this time arrives what was to be sent at those.
    fn arrive(tally: &mut Tally, now_ns: u64, intended_ns: &[u64]) {
        tally.look(now_ns);
        for intended_ns in intended_ns {
            tally.arrive(*intended_ns, 10);
        }
        tally.settle();
    }

    #[test]
    fn units_count_from_the_window_s_beginning_to_its_end() {
        let mut tally = tally();
        for now_ns in [999_999_999, 1_000_000_000, 1_999_999_999, 2_000_000_000] {
            arrive(&mut tally, now_ns, &[now_ns - 5, now_ns - 5, now_ns - 4]);
            tally.publish(now_ns, 1);
        }
        assert_eq!((tally.units, tally.payload_bytes, tally.publications), (6, 60, 2));
    }

    #[test]
    fn what_was_due_before_the_end_counts_as_sent_even_after_something_came_later() {
        let mut tally = tally();
        arrive(&mut tally, 2_000_000_007, &[1_999_999_000]);
        tally.publish(1_999_999_999, 3);
        tally.publish(2_000_000_008, 1);
        assert_eq!((tally.units, tally.publications), (0, 3));
    }

    #[test]
    fn latencies_are_of_what_comes_after_the_end_too_and_not_of_the_warm_up() {
        let mut tally = tally();
        arrive(&mut tally, 900_000_000, &[0]);
        arrive(&mut tally, 1_500_000_000, &[1_400_000_000, 1_400_000_000, 500_000_000]);
        arrive(&mut tally, 4_000_000_000, &[1_000_000_000]);
        assert_eq!(tally.latency_ns.len(), 4);
        assert!(tally.latency_ns.equivalent(tally.latency_ns.min(), 100_000_000));
        assert!(tally.latency_ns.equivalent(tally.latency_ns.max(), 3_000_000_000));
    }

    #[test]
    fn the_course_has_all_moments_even_those_in_which_nothing_came() {
        let mut tally = tally();
        arrive(&mut tally, 1_050_000_000, &[1_040_000_000]);
        arrive(&mut tally, 1_999_999_999, &[1_990_000_000; 3]);
        let course = tally.course();
        assert_eq!(course.len(), 10);
        assert_eq!(
            course.iter().map(|moment| moment.units).collect::<Vec<_>>(),
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
        );
        assert_eq!(course[9].end, Duration::from_secs(1));
        assert_eq!((course[1].p50_ns, course[1].max_ns), (0, 0));
        assert!((9_900_000..=10_100_000).contains(&course[9].p50_ns), "{:?}", course[9]);
    }

    #[test]
    fn a_long_window_has_longer_moments_and_a_cut_one_fewer() {
        let window = Window { begin_ns: 0, end_ns: 600_000_000_000 };
        let mut tally = Tally::new();
        tally.measure(window);
        assert_eq!(tally.course().len(), 200);
        tally.end_early(4_000_000_000);
        let ends: Vec<_> = tally.course().iter().map(|moment| moment.end).collect();
        assert_eq!(ends, [3, 4].map(Duration::from_secs));
    }

    #[test]
    fn what_threads_counted_is_added_moment_by_moment() {
        let (mut one, mut other) = (tally(), tally());
        arrive(&mut one, 1_050_000_000, &[1_040_000_000]);
        arrive(&mut other, 1_050_000_000, &[1_000_000_000]);
        arrive(&mut other, 1_250_000_000, &[1_200_000_000]);
        one.add(&other);
        assert_eq!((one.units, one.latency_ns.len()), (3, 3));
        let units: Vec<_> = one.course().iter().map(|moment| moment.units).take(4).collect();
        assert_eq!(units, [2, 0, 1, 0]);
    }
}
