//! How fanwire grows: what a delivery costs, how long it takes, and how much memory there is, from few subscribers,
//! channels and workers to many.
//!
//! Server and load as in the comparison, but fanwire alone. Bad news: a line for the CPU of a delivery that rises, for
//! the work of one stays the same; and memory that rises faster than the number of connections. Latency rises with the
//! subscribers of a channel: they are written one after the other. Channels beyond the number of connections are
//! measured in memory, by the bench `channels` of this package.

mod outcome;
mod plot;
mod study;

use crate::Setup;
use crate::generator::Generator;
use crate::load::Load;
use crate::machine;
use crate::record::{self, Record, Session, Trial};
use crate::rig::Rig;
use crate::server::{Program, Server};
use crate::table;
use crate::workshop::Workshop;
use clap::Args;
use clap::builder::PossibleValuesParser;
use outcome::Outcome;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use study::{STUDIES, Study, studies};

/// What `--quick` leaves out: more than so many.
const QUICK_MAX: u32 = 1_000;

/// What `versus scale` can be told.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What is to grow [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(STUDIES))]
    studies: Vec<String>,
    /// Kinds of load: those whose name has one of these words, as fixed or closed [default: all]
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    series: Vec<String>,
    /// Up to 1,000 of everything, one short run: for a look
    #[arg(long)]
    quick: bool,
    /// Runs of each point
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: u32,
    /// Length of the measured window
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Load before the window
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    warmup: f64,
    #[command(flatten)]
    setup: Setup,
    /// File that results are appended to [default: versus/scale-TIME.jsonl in cargo's target directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Directory for the plots, which are written if it is given
    #[arg(long, value_name = "DIRECTORY")]
    plots: Option<PathBuf>,
}

/// Measures what is asked for, or reads what was kept. Returns the tables.
///
/// # Errors
///
/// A sentence, if that cannot be done.
pub(crate) fn report(arguments: &Arguments) -> Result<String, String> {
    let (sessions, trials) = if arguments.setup.render.is_empty() {
        measure(arguments)?
    } else {
        record::kept(&arguments.setup.render)?
    };
    let studies = studies();
    let outcomes: Vec<_> = studies.iter().filter_map(|study| Outcome::new(study, &trials)).collect();
    // Runs of one day in several sessions have the same machine and versions.
    let mut text = sessions.first().map(table::preface).unwrap_or_default();
    for outcome in &outcomes {
        let (name, tables) = (outcome.study.name, outcome.markdown());
        writeln!(text, "### From few {name} to many\n\n{tables}").expect("a String takes all");
    }
    if let Some(directory) = &arguments.plots {
        write_plots(directory, &outcomes).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    Ok(text)
}

fn write_plots(directory: &Path, outcomes: &[Outcome<'_>]) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for outcome in outcomes {
        let file = directory.join(outcome.study.name).with_extension("svg");
        fs::write(file, outcome.plot().svg())?;
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<(Vec<Session>, Vec<Trial>), String> {
    // The server inherits the limit.
    rlimit::increase_nofile_limit(u64::MAX).map_err(|error| format!("open files: {error}"))?;
    let workshop = Workshop::new(arguments.setup.fanwire.clone())?;
    let program = workshop.program(Server::Fanwire)?;
    let generator = Generator::Fanwire(program.executable.clone());
    let (runs, seconds) = if arguments.quick {
        (1, (0.3, 1.0))
    } else {
        (arguments.runs, (arguments.warmup, arguments.seconds))
    };

    let begun = machine::now();
    let name = format!("scale-{}", begun.replace([' ', ':'], "-"));
    let file = arguments.out.clone().unwrap_or_else(|| workshop.directory.join(name).with_extension("jsonl"));
    let session = Session {
        begun,
        machine: machine::description(),
        kernel: machine::kernel(),
        versions: vec![
            ("server".to_owned(), program.version.clone()),
            ("generator".to_owned(), "fanwire bench".to_owned()),
        ],
        left_out: Vec::new(),
        warmup_s: seconds.0,
        window_s: seconds.1,
    };
    crate::keep(&file, &Record::Session(session.clone()))?;
    eprintln!("results go to {}", file.display());

    let cpus = (arguments.setup.server_cpu, arguments.setup.generator_cpu);
    let mut rig = Rig::new(generator, cpus, seconds, workshop.directory.join("server.log"));
    let steps = steps(&studies(), arguments);
    let steps = (1..=runs).flat_map(|run| steps.iter().map(move |step| (run, step)));
    let steps = steps.map(|(run, (case, workers, load))| {
        (run, case.as_str(), *load, Program { workers: *workers, ..program.clone() })
    });
    let trials = crate::take_steps(&mut rig, &file, steps.collect())?;
    Ok((vec![session], trials))
}

/// What is measured in each run: its name, the workers and the load.
fn steps(studies: &[Study], arguments: &Arguments) -> Vec<(String, u32, Load)> {
    let is_among =
        |names: &[String], name: &str| names.is_empty() || names.iter().any(|word| name.contains(word));
    let mut steps = Vec::new();
    for study in studies.iter().filter(|study| is_among(&arguments.studies, study.name)) {
        for series in study.series.iter().filter(|series| is_among(&arguments.series, series.name)) {
            let points = series.points.iter().filter(|point| !arguments.quick || point.number <= QUICK_MAX);
            steps.extend(points.map(|point| (study.case(series, point), point.workers, point.load)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Other;
    use clap::Parser;

    fn asked(line: &str) -> Vec<String> {
        let arguments = crate::Arguments::parse_from(line.split(' '));
        let Some(Other::Scale(arguments)) = arguments.other else { panic!("{line}") };
        steps(&studies(), &arguments).into_iter().map(|(case, ..)| case).collect()
    }

    #[test]
    fn studies_and_series_can_be_asked_for() {
        let all = asked("versus scale");
        assert!(all.contains(&"channels/closed/19000".to_owned()), "{all:?}");
        let some = asked("versus scale --studies workers --series fixed");
        assert_eq!(some.len(), 8, "{some:?}");
        assert!(some.iter().all(|case| case.starts_with("workers/") && case.contains("-fixed/")), "{some:?}");
    }

    #[test]
    fn a_quick_look_is_at_no_more_than_a_thousand() {
        let cases = asked("versus scale --quick --studies subscribers --series fixed");
        assert_eq!(cases, ["subscribers/fixed/10", "subscribers/fixed/100", "subscribers/fixed/1000"]);
    }
}
