//! [`Results`]: what all runs together say about each server in each case.

use crate::case::{CASES, Case};
use crate::load::Merit;
use crate::measurement::Measurement;
use crate::record::Trial;
use crate::server::Server;

/// Cores that others may keep busy during a trial that counts.
pub(crate) const OTHER_CORES_MAX: f64 = 0.15;

/// Cores of the generator from which on it is what limits the result.
const GENERATOR_BOUND_CORES: f64 = 0.95;

/// The middle of several values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without a value. Of an even number of values the median is the mean of the two in the middle.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

/// What all runs of a case say about a server.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) server: Server,
    /// Of the trials that count.
    measurements: Vec<Measurement>,
    /// For the table: what a reader must know to read the figures.
    pub(crate) notes: Vec<String>,
    /// For the table: all that was lost or in a wrong order, in any trial, and trials that failed altogether.
    pub(crate) faults: Vec<(&'static str, u64)>,
}

impl Finding {
    /// What trials say, all of one server under one load.
    pub(crate) fn of(server: Server, trials: &[&Trial]) -> Self {
        let good =
            || trials.iter().filter_map(|trial| Some((trial.other_cores, trial.result.as_ref().ok()?)));
        let is_quiet = |other_cores: f64| other_cores <= OTHER_CORES_MAX;
        let all = good().count();
        let quiet = good().filter(|(other_cores, _)| is_quiet(*other_cores)).count();
        // A few disturbed trials are left out. If they are most of them, the median would be one of too few.
        let are_left_out = quiet > all / 2;
        let counting = good().filter(|(other_cores, _)| !are_left_out || is_quiet(*other_cores));
        let measurements: Vec<_> = counting.map(|(_, measurement)| measurement.clone()).collect();

        let mut notes = Vec::new();
        let failures: Vec<_> = trials.iter().filter_map(|trial| trial.result.as_ref().err()).collect();
        if let Some(first) = failures.first() {
            notes.push(format!("{} of {} runs failed: {first}", failures.len(), trials.len()));
        }
        if quiet < all && are_left_out {
            notes.push(format!("{} of {all} runs left out: other load", all - quiet));
        } else if quiet < all {
            let most = good().map(|(other_cores, _)| other_cores).fold(0.0, f64::max);
            notes.push(format!("other load of up to {most:.2} cores"));
        }
        let generator = Spread::of(measurements.iter().map(|measurement| measurement.generator.cores));
        if generator.is_some_and(|cores| cores.median >= GENERATOR_BOUND_CORES) {
            notes.push("the generator is the limit".to_owned());
        }

        let mut faults: Vec<(&'static str, u64)> = Vec::new();
        if !failures.is_empty() {
            faults.push(("failed", failures.len() as u64));
        }
        for (name, count) in good().flat_map(|(_, measurement)| measurement.faults.named()) {
            match faults.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += count,
                None => faults.push((name, count)),
            }
        }
        Self { server, measurements, notes, faults }
    }

    /// A figure over the trials that count; `None` if none has it.
    pub(crate) fn spread(&self, figure: impl Fn(&Measurement) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.measurements.iter().filter_map(figure))
    }

    pub(crate) fn merit(&self, merit: Merit) -> Option<Spread> {
        match merit {
            Merit::Speed => self.speed(),
            Merit::Cpu => self.cpu(),
            Merit::Memory => self.bytes_per_connection(),
        }
    }

    pub(crate) fn speed(&self) -> Option<Spread> {
        self.spread(|measurement| Some(measurement.units_per_s))
    }

    /// Seconds for a million units.
    pub(crate) fn cpu(&self) -> Option<Spread> {
        self.spread(|measurement| measurement.server.cpu_us_per_unit)
    }

    pub(crate) fn bytes_per_connection(&self) -> Option<Spread> {
        self.spread(|measurement| measurement.server.bytes_per_connection)
    }

    pub(crate) fn p50_ms(&self) -> Option<Spread> {
        self.spread(|measurement| Some(measurement.latency_us.as_ref()?.p50 / 1e3))
    }

    pub(crate) fn p99_ms(&self) -> Option<Spread> {
        self.spread(|measurement| Some(measurement.latency_us.as_ref()?.p99 / 1e3))
    }
}

/// How many times as good `ours` is as `theirs`.
pub(crate) fn ratio(merit: Merit, ours: f64, theirs: f64) -> f64 {
    match merit {
        Merit::Speed => ours / theirs,
        Merit::Cpu | Merit::Memory => theirs / ours,
    }
}

/// All findings.
#[derive(Debug)]
pub(crate) struct Results {
    /// Cases in their order, each with its servers in theirs.
    pub(crate) cases: Vec<(&'static Case, Vec<Finding>)>,
}

impl Results {
    pub(crate) fn new(trials: &[Trial]) -> Self {
        let mut cases = Vec::new();
        for case in CASES {
            let mut findings = Vec::new();
            for server in case.servers.iter().copied() {
                let own = |trial: &&Trial| trial.case == case.name && trial.server == server;
                let own: Vec<_> = trials.iter().filter(own).collect();
                if !own.is_empty() {
                    findings.push(Finding::of(server, &own));
                }
            }
            if !findings.is_empty() {
                cases.push((case, findings));
            }
        }
        Self { cases }
    }
}

/// The finding of one server.
pub(crate) fn of(findings: &[Finding], server: Server) -> Option<&Finding> {
    findings.iter().find(|finding| finding.server == server)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measurement::{Faults, Latency, ServerUsage};

    /// A trial in which so much came through, at one microsecond of CPU each.
    pub(crate) fn trial(case: &str, server: Server, run: u32, units_per_s: f64) -> Trial {
        let measurement = Measurement {
            units_per_s,
            latency_us: Some(Latency { p50: 1500.0, p99: 4000.0, max: 9000.0 }),
            server: ServerUsage { cores: 0.99, cpu_us_per_unit: Some(1.0), ..ServerUsage::default() },
            ..Measurement::default()
        };
        Trial { run, case: case.to_owned(), server, other_cores: 0.0, result: Ok(measurement) }
    }

    fn finding(trials: &[Trial]) -> Finding {
        Finding::of(Server::Fanwire, &trials.iter().collect::<Vec<_>>())
    }

    fn with_other_cores(other_cores: [f64; 3]) -> Finding {
        let trials = [1, 2, 3].map(|run| trial("echo-32", Server::Fanwire, run, f64::from(run) * 100.0));
        let disturb = |(trial, other_cores)| Trial { other_cores, ..trial };
        finding(&trials.into_iter().zip(other_cores).map(disturb).collect::<Vec<_>>())
    }

    #[test]
    fn a_median_is_the_middle_and_of_two_in_the_middle_the_mean() {
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([5.0]), Some(Spread { median: 5.0, min: 5.0, max: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_says_how_many_times_better() {
        assert_eq!(ratio(Merit::Speed, 300.0, 100.0), 3.0);
        assert_eq!(ratio(Merit::Cpu, 0.5, 2.0), 4.0);
        assert_eq!(ratio(Merit::Memory, 300.0, 150.0), 0.5);
    }

    #[test]
    fn a_few_disturbed_trials_are_left_out() {
        let finding = with_other_cores([0.0, 0.15, 0.16]);
        assert_eq!(finding.speed(), Some(Spread { median: 150.0, min: 100.0, max: 200.0 }));
        assert_eq!(finding.notes, ["1 of 3 runs left out: other load"]);
    }

    #[test]
    fn if_most_trials_are_disturbed_all_count_and_the_table_says_so() {
        let finding = with_other_cores([0.0, 0.4, 0.2]);
        assert_eq!(finding.speed().map(|speed| speed.median), Some(200.0));
        assert_eq!(finding.notes, ["other load of up to 0.40 cores"]);
    }

    #[test]
    fn faults_of_all_trials_are_summed_up_by_kind() {
        let faulty = |run, missing, stalls| {
            let mut trial = trial("broadcast-100", Server::Fanwire, run, 1.0);
            trial.other_cores = 1.0;
            trial.result.as_mut().unwrap().faults = Faults { missing, stalls, ..Faults::default() };
            trial
        };
        assert_eq!(finding(&[faulty(1, 2, 0), faulty(2, 3, 1)]).faults, [("missing", 5), ("stalls", 1)]);
    }

    #[test]
    fn a_trial_that_failed_is_noted_and_does_not_count() {
        let mut failed = trial("echo-32", Server::Fanwire, 2, 1.0);
        failed.result = Err("it did not start".to_owned());
        let finding = finding(&[trial("echo-32", Server::Fanwire, 1, 100.0), failed]);
        assert_eq!(finding.speed().map(|speed| speed.min), Some(100.0));
        assert_eq!(finding.notes, ["1 of 2 runs failed: it did not start"]);
        assert_eq!(finding.faults, [("failed", 1)]);
    }
}
