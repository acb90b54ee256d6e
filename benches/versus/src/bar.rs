//! [`Bar`]: what fanwire must reach in a case, and whether it does.

use crate::load::Load;
use crate::results::{self, Finding, Spread};
use crate::server::Server;
use crate::table;

/// A test that a server must stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub(crate) of: Server,
    pub(crate) test: Test,
}

/// What is asked. All figures are medians of one run of the comparison, unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    /// At least so many times as much comes through as with another server.
    Speed {
        times: f64,
        than: Server,
    },
    /// At least as much as with the fastest of the others.
    SpeedOfTheBest,
    /// At least so many times as much as uWebSockets let through when it was measured, on another day.
    SpeedOfUWebSockets {
        times: f64,
        per_s: f64,
    },
    /// All that is offered at a fixed rate.
    CarriesAll,
    P50NoWorse {
        than: Server,
    },
    P99NoWorse {
        than: Server,
    },
    P99Ms {
        at_most: f64,
    },
    /// At most so many times the CPU time of another server for each unit.
    Cpu {
        times: f64,
        than: Server,
    },
    BytesPerConnection {
        at_most: f64,
    },
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) found: String,
    /// From 1 on the bar is met: how many times as good as was asked.
    pub(crate) margin: f64,
    /// Whether the single runs of both sides overlap, so that another day may say otherwise.
    pub(crate) is_within_noise: bool,
}

/// How much of a fixed rate is all of it: the window cuts off a little at both ends.
const ALL_SHARE: f64 = 0.995;

impl Test {
    /// What is asked, in words.
    pub(crate) fn asked(self, load: Load) -> String {
        match self {
            Self::Speed { times, than } => format!("≥ {times}× {}", than.name()),
            Self::SpeedOfTheBest => "≥ the best peer".to_owned(),
            Self::SpeedOfUWebSockets { times, per_s } => {
                format!("≥ {times}× {} {}/s (uWebSockets, another day)", table::grouped(per_s), load.unit())
            }
            Self::CarriesAll => "all that is offered".to_owned(),
            Self::P50NoWorse { than } => format!("p50 no worse than {}", than.name()),
            Self::P99NoWorse { than } => format!("p99 no worse than {}", than.name()),
            Self::P99Ms { at_most } => format!("p99 ≤ {at_most} ms"),
            Self::Cpu { times, than } => format!("CPU ≤ {times}× {}'s", than.name()),
            Self::BytesPerConnection { at_most } => format!("≤ {} B each", table::grouped(at_most)),
        }
    }

    /// The other server, if one is named.
    #[cfg(test)]
    pub(crate) fn than(self) -> Option<Server> {
        match self {
            Self::Speed { than, .. }
            | Self::P50NoWorse { than }
            | Self::P99NoWorse { than }
            | Self::Cpu { than, .. } => Some(than),
            _ => None,
        }
    }
}

/// Judges a bar. `None` if one of the figures is not there.
pub(crate) fn judge(bar: &Bar, load: Load, findings: &[Finding]) -> Option<Verdict> {
    let ours = results::of(findings, bar.of)?;
    let of = |server| results::of(findings, server);
    match bar.test {
        Test::Speed { times, than } => Some(at_least(times, ours.speed()?, of(than)?.speed()?)),
        Test::SpeedOfTheBest => {
            let peers = findings.iter().filter(|finding| !finding.server.is_fanwire());
            let speeds = peers.filter_map(|finding| Some((finding.speed()?, finding.server)));
            let (best, server) = speeds.max_by(|(one, _), (other, _)| one.median.total_cmp(&other.median))?;
            let verdict = at_least(1.0, ours.speed()?, best);
            Some(Verdict { found: format!("{} {}", verdict.found, server.name()), ..verdict })
        }
        Test::SpeedOfUWebSockets { times, per_s } => Some(at_least(times, ours.speed()?, exactly(per_s))),
        Test::CarriesAll => {
            let (speed, offered) = (ours.speed()?, exactly(load.offered_per_s()?));
            let found = format!("{:.1} %", speed.median / offered.median * 100.0);
            Some(Verdict { found, ..at_least(ALL_SHARE, speed, offered) })
        }
        Test::P50NoWorse { than } => Some(no_later(ours.p50_ms()?, of(than)?.p50_ms()?)),
        Test::P99NoWorse { than } => Some(no_later(ours.p99_ms()?, of(than)?.p99_ms()?)),
        Test::P99Ms { at_most: limit } => {
            let ours = ours.p99_ms()?;
            let found = format!("{} ms", table::milliseconds(ours.median));
            Some(Verdict { found, ..at_most(1.0, ours, exactly(limit)) })
        }
        Test::Cpu { times, than } => Some(at_most(times, ours.cpu()?, of(than)?.cpu()?)),
        Test::BytesPerConnection { at_most: limit } => {
            let ours = ours.bytes_per_connection()?;
            let found = format!("{} B", table::grouped(ours.median));
            Some(Verdict { found, ..at_most(1.0, ours, exactly(limit)) })
        }
    }
}

/// More is better.
fn at_least(times: f64, ours: Spread, theirs: Spread) -> Verdict {
    let ratio = ours.median / theirs.median;
    let is_within_noise = overlap(ours, theirs, times);
    Verdict { found: format!("{ratio:.2}×"), margin: ratio / times, is_within_noise }
}

/// Less is better.
fn at_most(times: f64, ours: Spread, theirs: Spread) -> Verdict {
    let ratio = ours.median / theirs.median;
    let is_within_noise = overlap(ours, theirs, times);
    Verdict { found: format!("{ratio:.2}×"), margin: times / ratio, is_within_noise }
}

fn no_later(ours: Spread, theirs: Spread) -> Verdict {
    let [our_ms, their_ms] = [ours, theirs].map(|spread| table::milliseconds(spread.median));
    Verdict { found: format!("{our_ms} against {their_ms} ms"), ..at_most(1.0, ours, theirs) }
}

fn exactly(value: f64) -> Spread {
    Spread { median: value, min: value, max: value }
}

/// Whether the range of ours has something in common with so many times the range of theirs.
fn overlap(ours: Spread, theirs: Spread, times: f64) -> bool {
    ours.min <= theirs.max * times && theirs.min * times <= ours.max
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::find;
    use crate::results::Results;
    use crate::results::tests::trial;

    /// Judges a test of fanwire, whose runs let through the first three figures, against Bun with the other three.
    fn verdict(test: Test, ours: [f64; 3], theirs: [f64; 3]) -> Verdict {
        let name = "broadcast-1000";
        let trials = |server, speeds: [f64; 3]| {
            speeds.into_iter().zip(1..).map(move |(speed, run)| trial(name, server, run, speed))
        };
        let trials: Vec<_> = trials(Server::Fanwire, ours).chain(trials(Server::Bun, theirs)).collect();
        let results = Results::new(&trials);
        judge(&Bar { of: Server::Fanwire, test }, find(name).unwrap().load, &results.cases[0].1).unwrap()
    }

    const THRICE_BUN: Test = Test::Speed { times: 3.0, than: Server::Bun };

    #[test]
    fn a_bar_is_met_from_the_asked_ratio_on() {
        let met = verdict(THRICE_BUN, [600.0, 660.0, 690.0], [90.0, 100.0, 110.0]);
        assert_eq!(met.found, "6.60×");
        assert!((met.margin - 2.2).abs() < 1e-9);
        assert!(!met.is_within_noise);
        assert!(verdict(THRICE_BUN, [300.0; 3], [100.0; 3]).margin >= 1.0);
        assert!(verdict(THRICE_BUN, [299.0; 3], [100.0; 3]).margin < 1.0);
    }

    #[test]
    fn runs_that_overlap_at_the_bar_are_said_to_be_within_noise() {
        assert!(verdict(THRICE_BUN, [290.0, 310.0, 320.0], [100.0; 3]).is_within_noise);
        assert!(verdict(THRICE_BUN, [310.0; 3], [90.0, 100.0, 104.0]).is_within_noise);
        assert!(!verdict(THRICE_BUN, [310.0; 3], [90.0, 100.0, 103.0]).is_within_noise);
    }

    #[test]
    fn the_best_of_the_peers_is_named() {
        let best = verdict(Test::SpeedOfTheBest, [95.0; 3], [100.0; 3]);
        assert_eq!(best.found, "0.95× bun");
        assert!(best.margin < 1.0);
    }

    #[test]
    fn less_is_better_of_time_and_cpu() {
        // All trials have the same latencies and the same CPU time.
        let same = [100.0; 3];
        assert_eq!(verdict(Test::P50NoWorse { than: Server::Bun }, same, same).found, "1.5 against 1.5 ms");
        assert_eq!(verdict(Test::P99NoWorse { than: Server::Bun }, same, same).margin, 1.0);
        assert_eq!(verdict(Test::P99Ms { at_most: 8.0 }, same, same).margin, 2.0);
        assert_eq!(verdict(Test::P99Ms { at_most: 2.0 }, same, same).margin, 0.5);
        assert_eq!(verdict(Test::Cpu { times: 1.15, than: Server::Bun }, same, same).margin, 1.15);
    }

    #[test]
    fn all_of_a_rate_may_lack_what_the_ends_of_the_window_cut_off() {
        let load = find("rate-4000").unwrap().load;
        let margin = |per_s| {
            let results = Results::new(&[trial("rate-4000", Server::Fanwire, 1, per_s)]);
            let bar = Bar { of: Server::Fanwire, test: Test::CarriesAll };
            judge(&bar, load, &results.cases[0].1).unwrap().margin
        };
        assert!(margin(3_990_000.0) >= 1.0);
        assert!(margin(3_970_000.0) < 1.0);
    }

    #[test]
    fn without_the_other_server_there_is_no_verdict() {
        let results = Results::new(&[trial("broadcast-1000", Server::Fanwire, 1, 100.0)]);
        let (case, findings) = &results.cases[0];
        assert_eq!(judge(&Bar { of: Server::Fanwire, test: THRICE_BUN }, case.load, findings), None);
    }
}
