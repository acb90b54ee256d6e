//! [`Summary`]: what a run has come to, as a table.

use crate::course::Course;
use crate::probe::Latencies;
use crate::server::{ALLOWANCE_BYTES, BUDGET_BYTES};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a line says how it goes.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);

/// What the server takes while it is quiet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
}

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) elapsed: Duration,
    pub(crate) after_warm_up: Option<Rest>,
    pub(crate) end: Option<Rest>,
    pub(crate) peak_bytes: u64,
    /// How often the server let go of clients because of its budget.
    pub(crate) sheds: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) health: Latencies,
    pub(crate) witness: Latencies,
    /// From SIGTERM until all were told and the process had ended.
    pub(crate) farewell: Duration,
    pub(crate) exit_code: Option<i32>,
    said: Duration,
}

impl Summary {
    pub(crate) fn new() -> Summary {
        Summary {
            elapsed: Duration::ZERO,
            after_warm_up: None,
            end: None,
            peak_bytes: 0,
            sheds: 0,
            cpu_seconds: 0.0,
            health: Latencies::default(),
            witness: Latencies::default(),
            farewell: Duration::ZERO,
            exit_code: None,
            said: Duration::ZERO,
        }
    }

    /// Says now and then how it goes.
    pub(crate) fn progress(&mut self, course: &Course, resident_bytes: u64) {
        let elapsed = course.elapsed();
        if elapsed < self.said + PROGRESS_EVERY {
            return;
        }
        self.said = elapsed;
        println!(
            "{:5.0} s: {:?}, {} good and {} bad clients, {:.1} MiB, {:.1} s of CPU",
            elapsed.as_secs_f64(),
            course.stage(),
            course.good.load(Ordering::Relaxed),
            course.bad.load(Ordering::Relaxed),
            mebibytes(resident_bytes),
            self.cpu_seconds
        );
        // Nobody need look.
        let _ = std::io::stdout().flush();
    }

    pub(crate) fn print(&mut self, course: &Course) {
        println!();
        row("seconds", format!("{:.0}", self.elapsed.as_secs_f64()));
        for (title, kind) in [
            ("good clients that came", "good"),
            ("bad clients that came", "bad"),
            ("how good clients ended", "closes of good clients"),
            ("how bad clients ended", "ends of bad clients"),
            ("published", "published"),
            ("/healthz answers", "/healthz"),
            ("rests", "rests"),
        ] {
            let counts = course.counts(kind);
            let sum: u64 = counts.iter().map(|(_, count)| count).sum();
            row(title, if ["published", "rests"].contains(&kind) { String::new() } else { sum.to_string() });
            for (name, count) in counts {
                row(&format!("    {name}"), count);
            }
        }
        row("times it let go because of its budget", self.sheds);
        let at_rest = |rest: Option<Rest>| match rest {
            None => "not reached".to_owned(),
            Some(Rest { resident_bytes, descriptors }) => {
                format!("{:.2} MiB, {descriptors} descriptors", mebibytes(resident_bytes))
            }
        };
        row("resident after the warm-up", at_rest(self.after_warm_up));
        let most = mebibytes(BUDGET_BYTES + ALLOWANCE_BYTES);
        row("resident at the peak", format!("{:.2} MiB of at most {most:.0}", mebibytes(self.peak_bytes)));
        row("resident at the end", at_rest(self.end));
        row("CPU of the server", format!("{:.1} s", self.cpu_seconds));
        for (name, latencies) in
            [("/healthz", &mut self.health), ("from witness to witness", &mut self.witness)]
        {
            let [half, most, worst] = [50, 99, 100].map(|percent| latencies.percentile(percent));
            let count = latencies.count();
            row(name, format!("p50 {half:.2} ms, p99 {most:.2} ms, worst {worst:.1} ms of {count}"));
        }
        let exit = self.exit_code.map_or("none".to_owned(), |code| code.to_string());
        row("SIGTERM to the end", format!("{:.2} s, exit code {exit}", self.farewell.as_secs_f64()));
    }
}

fn row(name: &str, value: impl std::fmt::Display) {
    println!("{name:44} {value}");
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from((bytes >> 10) as u32) / 1024.0
}
