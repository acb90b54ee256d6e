//! Compares servers over loopback: fanwire, and what people use instead of it.
//!
//! Every server gets the same loads, on a core of its own, from a generator on another core. The runs are interleaved: a
//! first run of every case and server, then a second one, and so on, so that a machine that changes its mood treats all
//! alike. Each measurement begins with a fresh server.
//!
//! It prints markdown, and keeps what it measured as lines of JSON from which the tables can be written again. The codec
//! alone, without sockets, is compared by the benches of this package.

#![cfg_attr(test, expect(clippy::float_cmp, reason = "what the tests compare is exact"))]

mod bar;
mod case;
mod generator;
mod load;
mod machine;
mod measurement;
mod record;
mod results;
mod rig;
mod scale;
mod server;
mod table;
mod workshop;

use case::{CASES, Case};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use generator::Generator;
use load::Load;
use record::{Record, Session, Trial};
use results::{OTHER_CORES_MAX, Results};
use rig::Rig;
use server::{Program, Server};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use workshop::Workshop;

/// How often a measurement that other processes disturbed is made again.
const REPEATS_MAX: u32 = 2;

/// What a measurement takes besides its window, roughly: a server starts, connections open and close. For the estimate.
const OVERHEAD_S: f64 = 1.2;
const IDLE_S: f64 = 10.0;

/// Compares fanwire with other WebSocket servers, side by side over loopback
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Cases to run [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(CASES.iter().map(|case| case.name)))]
    cases: Vec<String>,
    /// Servers to compare fanwire with
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_enum, default_values_t = Server::PEERS)]
    peers: Vec<Server>,
    /// Runs of each case and server
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: u32,
    /// Length of the measured window
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    seconds: f64,
    /// Load before the window
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warmup: f64,
    /// Load generator: fanwire, which is `fanwire bench`, or wsload=FILE
    #[arg(long, value_name = "PROGRAM", default_value = "fanwire")]
    generator: String,
    #[command(flatten)]
    setup: Setup,
    /// File that results are appended to [default: versus/TIME.jsonl in cargo's target directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What every measurement can be told.
#[derive(Debug, Args)]
struct Setup {
    /// The program fanwire, if it is not to be built
    #[arg(long, value_name = "FILE")]
    fanwire: Option<PathBuf>,
    /// Core of the servers
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: u32,
    /// Core of the load generator
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    generator_cpu: u32,
    /// Measure nothing: write the tables of kept results again
    #[arg(long, value_name = "FILE", num_args = 1..)]
    render: Vec<PathBuf>,
}

/// What is not a comparison.
#[derive(Debug, Subcommand)]
enum Other {
    /// Measures fanwire alone, from few to many: subscribers, channels, workers
    Scale(scale::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = match &arguments.other {
        Some(Other::Scale(arguments)) => scale::report(arguments),
        None if arguments.setup.render.is_empty() => compare(&arguments),
        None => render(&arguments.setup.render),
    };
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The tables of kept results.
fn render(files: &[PathBuf]) -> Result<String, String> {
    let (sessions, trials) = record::kept(files)?;
    Ok(table::report(&sessions, &Results::new(&trials)))
}

/// Measures, keeps what was measured, and returns the tables.
fn compare(arguments: &Arguments) -> Result<String, String> {
    // The servers inherit the limit.
    rlimit::increase_nofile_limit(u64::MAX).map_err(|error| format!("open files: {error}"))?;
    let workshop = Workshop::new(arguments.setup.fanwire.clone())?;
    let generator = generator(&arguments.generator, &workshop)?;
    let cases: Vec<&Case> = CASES.iter().filter(|case| is_asked_for(case, &arguments.cases)).collect();
    let (programs, left_out) = programs(&workshop, &cases, &arguments.peers)?;

    let begun = machine::now();
    let file = arguments
        .out
        .clone()
        .unwrap_or_else(|| workshop.directory.join(begun.replace([' ', ':'], "-")).with_extension("jsonl"));
    let generator_name = match &generator {
        Generator::Fanwire(_) => "fanwire bench".to_owned(),
        Generator::Wsload(path) => path.display().to_string(),
    };
    let versions = programs.iter().filter(|program| program.server != Server::FanwireTwo);
    let versions = versions.map(|program| (program.server.name().to_owned(), program.version.clone()));
    let session = Session {
        begun,
        machine: machine::description(),
        kernel: machine::kernel(),
        versions: [("generator".to_owned(), generator_name)].into_iter().chain(versions).collect(),
        left_out,
        warmup_s: arguments.warmup,
        window_s: arguments.seconds,
    };
    keep(&file, &Record::Session(session.clone()))?;
    eprintln!("results go to {}", file.display());

    let cpus = (arguments.setup.server_cpu, arguments.setup.generator_cpu);
    let seconds = (arguments.warmup, arguments.seconds);
    let mut rig = Rig::new(generator, cpus, seconds, workshop.directory.join("server.log"));
    let schedule = schedule(arguments.runs, &cases, &programs);
    eprintln!("{} measurements, about {} minutes", schedule.len(), minutes(&schedule, arguments));
    let steps = schedule.iter().map(|(run, case, program)| (*run, case.name, case.load, (*program).clone()));
    let trials = take_steps(&mut rig, &file, steps.collect())?;
    Ok(table::report(&[session], &Results::new(&trials)))
}

/// A run, the name of what is measured, its load, and the server.
type Measuring<'c> = (u32, &'c str, Load, Program);

/// Measures one after the other, and keeps each result at once.
fn take_steps(rig: &mut Rig, file: &Path, steps: Vec<Measuring<'_>>) -> Result<Vec<Trial>, String> {
    let begun = Instant::now();
    let count = steps.len();
    let mut trials = Vec::new();
    for (run, case, load, program) in steps {
        let trial = undisturbed(rig, run, case, load, &program);
        tell(&trial, trials.len() + 1, count, begun.elapsed());
        keep(file, &Record::Trial(trial.clone()))?;
        trials.push(trial);
    }
    Ok(trials)
}

fn is_asked_for(case: &Case, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == case.name)
}

fn generator(name: &str, workshop: &Workshop) -> Result<Generator, String> {
    match name.split_once('=') {
        None if name == "fanwire" => Ok(Generator::Fanwire(workshop.fanwire()?)),
        Some(("wsload", path)) => {
            let path = fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))?;
            Ok(Generator::Wsload(path))
        }
        _ => Err(format!("there is no generator {name}: it is fanwire or wsload=FILE")),
    }
}

/// Builds and finds who takes part. Returns also who cannot, and why: without fanwire there is nothing to compare.
#[expect(clippy::type_complexity, reason = "two lists")]
fn programs(
    workshop: &Workshop,
    cases: &[&Case],
    peers: &[Server],
) -> Result<(Vec<Program>, Vec<(String, String)>), String> {
    let (mut programs, mut left_out) = (Vec::new(), Vec::new());
    let everyone = [Server::Fanwire, Server::FanwireTwo].into_iter().chain(Server::PEERS);
    for server in everyone.filter(|server| server.is_fanwire() || peers.contains(server)) {
        if !cases.iter().any(|case| case.servers.contains(&server)) {
            continue;
        }
        match workshop.program(server) {
            Ok(program) => programs.push(program),
            Err(reason) if server.is_fanwire() => return Err(reason),
            Err(reason) => {
                eprintln!("without {}: {reason}", server.name());
                left_out.push((server.name().to_owned(), reason));
            }
        }
    }
    Ok((programs, left_out))
}

type Step<'a> = (u32, &'a Case, &'a Program);

/// What is measured after what.
fn schedule<'a>(runs: u32, cases: &[&'a Case], programs: &'a [Program]) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for run in 1..=runs {
        for case in cases.iter().filter(|case| run == 1 || !case.is_steady) {
            for server in case.servers {
                let program = programs.iter().find(|program| program.server == *server);
                steps.extend(program.map(|program| (run, *case, program)));
            }
        }
    }
    steps
}

fn minutes(schedule: &[Step<'_>], arguments: &Arguments) -> u64 {
    let each = arguments.warmup + arguments.seconds + OVERHEAD_S;
    let idle = |case: &Case| if matches!(case.load, Load::Idle { .. }) { IDLE_S } else { 0.0 };
    let seconds: f64 = schedule.iter().map(|(_, case, _)| each + idle(case)).sum();
    Duration::from_secs_f64(seconds).as_secs().div_ceil(60)
}

/// Measures once, and again if other processes used too much of the machine.
fn undisturbed(rig: &mut Rig, run: u32, case: &str, load: Load, program: &Program) -> Trial {
    let mut repeats = 0;
    loop {
        let measured = rig.measure(program, load);
        let other_cores = measured.as_ref().map_or(0.0, |(_, other_cores)| *other_cores);
        if other_cores <= OTHER_CORES_MAX || repeats == REPEATS_MAX {
            let result = measured.map(|(measurement, _)| measurement);
            return Trial { run, case: case.to_owned(), server: program.server, other_cores, result };
        }
        eprintln!("other processes used {other_cores:.2} cores: {case} {} again", program.server.name());
        repeats += 1;
    }
}

/// Says on stderr how far it has come.
fn tell(trial: &Trial, index: usize, total: usize, elapsed: Duration) {
    let Trial { run, case, server, other_cores, result } = trial;
    let found = match result {
        Ok(measurement) => {
            let faults: Vec<_> =
                measurement.faults.named().map(|(name, count)| format!(", {count} {name}")).collect();
            format!(
                "{}/s, server {:.2}, generator {:.2}, others {other_cores:.2}{}",
                table::grouped(measurement.units_per_s),
                measurement.server.cores,
                measurement.generator.cores,
                faults.concat()
            )
        }
        Err(error) => error.clone(),
    };
    eprintln!("[{index}/{total} {} s] run {run} {case} {}: {found}", elapsed.as_secs(), server.name());
}

/// Appends a record to a file.
fn keep(file: &Path, record: &Record) -> Result<(), String> {
    let open = OpenOptions::new().create(true).append(true).open(file);
    open.and_then(|mut file| file.write_all(record::line(record).as_bytes()))
        .map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::find;

    fn program(server: Server) -> Program {
        let (executable, workers) = (PathBuf::new(), server.workers());
        Program { server, executable, script: None, workers, version: String::new() }
    }

    #[test]
    fn runs_are_interleaved_and_a_steady_case_runs_once() {
        let cases = ["echo-32", "idle"].map(|name| find(name).unwrap());
        let programs = [program(Server::Bun), program(Server::Fanwire)];
        let steps = schedule(2, &cases, &programs);
        let steps: Vec<_> =
            steps.iter().map(|(run, case, program)| (*run, case.name, program.server.name())).collect();
        let expected = [
            (1, "echo-32", "fanwire"),
            (1, "echo-32", "bun"),
            (1, "idle", "fanwire"),
            (1, "idle", "bun"),
            (2, "echo-32", "fanwire"),
            (2, "echo-32", "bun"),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn all_cases_five_times_take_less_than_forty_minutes() {
        let programs = [Server::Fanwire, Server::FanwireTwo].into_iter().chain(Server::PEERS).map(program);
        let programs: Vec<_> = programs.collect();
        let cases: Vec<_> = CASES.iter().collect();
        let arguments = Arguments::parse_from(["versus"]);
        let minutes = minutes(&schedule(arguments.runs, &cases, &programs), &arguments);
        assert!(minutes < 40, "{minutes} minutes");
    }

    #[test]
    fn a_generator_is_fanwire_or_a_file() {
        let workshop = Workshop { directory: PathBuf::new(), fanwire: Some("Cargo.toml".into()) };
        assert!(matches!(generator("fanwire", &workshop), Ok(Generator::Fanwire(_))));
        assert!(matches!(generator("wsload=Cargo.toml", &workshop), Ok(Generator::Wsload(_))));
        assert!(generator("wsload=missing", &workshop).is_err());
        assert!(generator("wrk", &workshop).is_err());
    }
}
