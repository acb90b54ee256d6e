//! [`Outcome`]: what the trials of a study say, as tables and as a plot.

use super::plot::{Line, Panel, Plot};
use super::study::{Point, Series, Study};
use crate::load::Load;
use crate::measurement::Measurement;
use crate::record::Trial;
use crate::results::{Finding, Spread};
use crate::server::Server;
use crate::table::{self, Table};
use std::fmt::Write;

/// Memory is counted by the page: with fewer connections than these it says nothing about one.
const CONNECTIONS_COUNTED_MIN: u32 = 1_000;

/// A study of which at least one point was measured.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) study: &'a Study,
    /// Those that were measured.
    series: Vec<(&'a Series, Vec<(&'a Point, Finding)>)>,
}

impl<'a> Outcome<'a> {
    /// None if no trial is about it.
    pub(crate) fn new(study: &'a Study, trials: &[Trial]) -> Option<Self> {
        let mut series = Vec::new();
        for one in &study.series {
            let mut points = Vec::new();
            for point in &one.points {
                let case = study.case(one, point);
                let own: Vec<_> = trials.iter().filter(|trial| trial.case == case).collect();
                if !own.is_empty() {
                    points.push((point, Finding::of(Server::Fanwire, &own)));
                }
            }
            if !points.is_empty() {
                series.push((one, points));
            }
        }
        (!series.is_empty()).then_some(Self { study, series })
    }

    /// A table a series.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for (series, points) in &self.series {
            let columns = [
                self.study.name,
                "deliveries/s",
                "server, cores",
                "CPU µs a delivery",
                "CPU µs a message in or out",
                "p50, ms",
                "p99, ms",
                "memory grown by, MB",
                "bytes a connection",
                "wrong",
                "notes",
            ];
            let mut table = Table::new(columns.map(str::to_owned), 0..columns.len() - 2);
            for (point, finding) in points {
                table.row(row(point, finding));
            }
            let Series { title, .. } = series;
            writeln!(text, "#### {title}\n\n{}", table.text).expect("a String takes all");
        }
        text
    }

    pub(crate) fn plot(&self) -> Plot {
        let panel = |title, figures: &[fn(&Finding) -> Option<f64>]| {
            let mut lines = Vec::new();
            for (color, (_, points)) in self.series.iter().enumerate() {
                for (index, figure) in figures.iter().enumerate() {
                    let points = points
                        .iter()
                        .filter_map(|(point, finding)| Some((f64::from(point.number), figure(finding)?)));
                    lines.push(Line { color, is_dashed: index > 0, points: points.collect() });
                }
            }
            Panel { title, lines }
        };
        let panels = vec![
            panel("CPU of a delivery, µs", &[|finding| Some(finding.cpu()?.median)]),
            panel(
                "latency, ms: p50, and p99 dashed",
                &[|finding| Some(finding.p50_ms()?.median), |finding| Some(finding.p99_ms()?.median)],
            ),
            panel("memory grown by, MB", &[|finding| Some(finding.spread(|it| Some(grown_mb(it)))?.median)]),
        ];
        let legend = self.series.iter().map(|(series, _)| series.title.to_owned()).collect();
        Plot { x: self.study.name, panels, legend }
    }
}

fn row(point: &Point, finding: &Finding) -> [String; 11] {
    let said = |spread: Option<Spread>, say: &dyn Fn(f64) -> String| {
        spread.map_or("–".to_owned(), |spread| say(spread.median))
    };
    let connections = connections(point.load);
    let bytes = finding.spread(|it| Some(grown_mb(it) * 1e6 / f64::from(connections)));
    let bytes = bytes.filter(|_| connections >= CONNECTIONS_COUNTED_MIN);
    let digits = |digits: usize| move |value: f64| format!("{value:.digits$}");
    [
        table::grouped(point.number.into()),
        said(finding.speed(), &table::grouped),
        said(finding.spread(|it| Some(it.server.cores)), &digits(2)),
        said(finding.cpu(), &digits(3)),
        said(finding.spread(cpu_us_per_message), &digits(3)),
        said(finding.p50_ms(), &table::milliseconds),
        said(finding.p99_ms(), &table::milliseconds),
        said(finding.spread(|it| Some(grown_mb(it))), &digits(2)),
        said(bytes, &table::grouped),
        table::faults(finding),
        finding.notes.join("; "),
    ]
}

fn connections(load: Load) -> u32 {
    match load {
        Load::Broadcast { subscribers, .. } => subscribers,
        Load::Echo { connections, .. } | Load::Connect { connections } | Load::Idle { connections } => {
            connections
        }
    }
}

/// What the server has grown by from before the first connection to the window's end.
fn grown_mb(measurement: &Measurement) -> f64 {
    (measurement.server.resident_bytes - measurement.server.resident_before_bytes).max(0.0) / 1e6
}

/// CPU for each message that was read or written: with two subscribers a publication is a third of the work.
fn cpu_us_per_message(measurement: &Measurement) -> Option<f64> {
    let messages = measurement.units_per_s + measurement.publications_per_s;
    (messages > 0.0).then(|| measurement.server.cores * 1e6 / messages)
}

#[cfg(test)]
mod tests {
    use super::super::study::studies;
    use super::*;
    use crate::results::tests::trial;

    fn trials() -> Vec<Trial> {
        let cases = [("subscribers/fixed/10", 1, 40_000.0), ("subscribers/fixed/1000", 1, 40_000.0)];
        let mut trials = cases.map(|(case, run, speed)| trial(case, Server::Fanwire, run, speed));
        let measurement = trials[1].result.as_mut().unwrap();
        measurement.publications_per_s = 10_000.0;
        measurement.server.cores = 0.25;
        measurement.server.resident_before_bytes = 2e6;
        measurement.server.resident_bytes = 2.5e6;
        trials.to_vec()
    }

    #[test]
    fn a_table_has_a_row_for_each_point_that_was_measured() {
        let studies = studies();
        let text = Outcome::new(&studies[0], &trials()).unwrap().markdown();
        let row = "| 1,000 | 40,000 | 0.25 | 1.000 | 5.000 | 1.5 | 4.0 | 0.50 | 500 | 0 |  |";
        assert!(text.lines().any(|line| line == row), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("| 1")).count(), 2, "{text}");
        assert_eq!(text.matches("####").count(), 1, "the other series was not measured: {text}");
    }

    #[test]
    fn memory_of_few_connections_is_not_shared_out() {
        let studies = studies();
        let text = Outcome::new(&studies[0], &trials()).unwrap().markdown();
        assert!(
            text.lines().any(|line| line.starts_with("| 10 |") && line.contains("| 0.00 | – |")),
            "{text}"
        );
    }

    #[test]
    fn a_study_of_which_nothing_was_measured_has_no_outcome() {
        assert!(Outcome::new(&studies()[1], &trials()).is_none());
    }

    #[test]
    fn a_plot_has_a_point_for_each_figure() {
        let studies = studies();
        let svg = Outcome::new(&studies[0], &trials()).unwrap().plot().svg();
        // CPU, p50 and p99 of two points, and the one that grew.
        assert_eq!(svg.matches("<circle").count(), 7, "{svg}");
    }
}
