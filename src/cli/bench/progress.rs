//! [`Progress`]: how far the run is, live on stderr. It shows nothing if stderr is no terminal.

use super::outcome::Mode;
use super::quantity;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use std::time::Duration;

/// Shows how far the run is. The caller says so a few times a second; nothing here has a thread or a clock of its own.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    units: &'static str,
}

/// Redraws a second at most.
const REDRAWS_PER_S: u8 = 10;

const KNOWN_END: &str = "{prefix:>11} [{bar:14}] {wide_msg}";
const NO_END: &str = "{prefix:>11} {wide_msg}";

impl Progress {
    /// Nothing is shown before the first phase.
    pub(super) fn new(mode: Mode) -> Progress {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S);
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style(NO_END));
        let bar = bar.with_finish(ProgressFinish::AndClear);
        Progress { bar, units: mode.units() }
    }

    /// Begins a phase that ends when `total` things are done (connections opened, milliseconds gone), or nobody knows
    /// when.
    pub(super) fn phase(&self, name: &str, total: Option<u64>) {
        // Each may draw the line: the bar of the last phase is emptied before it has the new name.
        self.bar.set_message("");
        self.bar.set_position(0);
        self.bar.set_length(total.unwrap_or_default());
        self.bar.set_style(style(if total.is_some() { KNOWN_END } else { NO_END }));
        self.bar.set_prefix(name.to_owned());
    }

    /// So many of the phase's things are done.
    pub(super) fn update_count(&self, done: u64) {
        let total = self.bar.length().unwrap_or_default();
        self.bar.set_position(done.min(total));
        self.bar.set_message(if total > 0 {
            format!("{} of {}", quantity::whole(done), quantity::whole(total))
        } else {
            quantity::whole(done)
        });
    }

    /// So much of a phase in milliseconds is gone.
    pub(super) fn update_time(&self, gone: Duration) {
        let left = self.pass(gone);
        self.bar.set_message(left.unwrap_or_default());
    }

    /// The same, and this is how it went in the last moment: what the mode counts, a second, and in what time 99 % of it
    /// arrived, if anything did.
    pub(super) fn update_pace(&self, gone: Duration, units_per_s: f64, p99_ns: Option<u64>) {
        let left = self.pass(gone);
        let pace = format!("{} {}/s", quantity::decimal(units_per_s), self.units);
        let p99 = p99_ns.map(|nanoseconds| format!("p99 {}", quantity::time(nanoseconds).together()));
        let parts = [left, Some(pace), p99];
        self.bar.set_message(parts.into_iter().flatten().collect::<Vec<_>>().join("  "));
    }

    /// Moves the bar on; what is left, in words, if anything is.
    fn pass(&self, gone: Duration) -> Option<String> {
        let total = self.bar.length().unwrap_or_default();
        let gone = u64::try_from(gone.as_millis()).unwrap_or(u64::MAX).min(total);
        self.bar.set_position(gone);
        (gone < total).then(|| format!("{} s left", quantity::whole((total - gone).div_ceil(1000))))
    }

    /// Leaves the line to what comes next. Dropping it does the same.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_up_to_their_number() {
        let progress = Progress::new(Mode::Idle);
        progress.phase("opening", Some(19_000));
        progress.update_count(1200);
        assert_eq!(
            (progress.bar.prefix().as_str(), progress.bar.message().as_str()),
            ("opening", "1,200 of 19,000")
        );
        assert_eq!((progress.bar.position(), progress.bar.length()), (1200, Some(19_000)));
    }

    #[test]
    fn a_measurement_says_how_long_it_takes_and_how_it_goes() {
        let progress = Progress::new(Mode::Broadcast);
        progress.phase("measuring", Some(10_000));
        progress.update_pace(Duration::from_millis(6801), 8_512_345.6, Some(20_100_000));
        assert_eq!(progress.bar.message(), "4 s left  8,512,346 deliveries/s  p99 20.1 ms");
        assert_eq!(progress.bar.position(), 6801);
        progress.update_pace(Duration::from_secs(11), 0.0, None);
        assert_eq!(progress.bar.message(), "0 deliveries/s");
        assert_eq!(progress.bar.position(), 10_000);
    }

    #[test]
    fn a_phase_without_a_known_end_says_how_it_goes() {
        let progress = Progress::new(Mode::Echo);
        progress.phase("draining", None);
        progress.update_count(12);
        assert_eq!(progress.bar.message(), "12");
        progress.update_pace(Duration::from_secs(1), 3.4, None);
        assert_eq!(progress.bar.message(), "3.40 messages/s");
    }

    #[test]
    fn a_phase_begins_without_what_the_last_one_said() {
        let progress = Progress::new(Mode::Echo);
        progress.phase("opening", Some(3));
        progress.update_count(3);
        progress.phase("warming up", Some(1000));
        assert_eq!((progress.bar.message().as_str(), progress.bar.position()), ("", 0));
    }
}
