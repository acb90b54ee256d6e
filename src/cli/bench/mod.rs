//! `fanwire bench`: the load generator, for this server and any other that speaks WebSocket.
//!
//! Its connections are `fanwire::protocol::Connection`s in the client role, on as many threads as are asked for, each with
//! an event loop of its own ([`generator`]). What arrives is counted exactly: [`ledger`] knows what was lost, doubled or
//! out of order, [`tally`] how much there was and how long it took.

mod addresses;
mod arguments;
mod board;
mod generator;
mod ledger;
mod outcome;
mod pace;
mod payload;
mod peer;
mod plan;
mod progress;
mod quantity;
mod report;
mod run;
mod seeds;
mod tally;
mod traffic;
mod usage;

use super::{EXIT_USAGE, output};
pub(crate) use arguments::BenchArguments;
use arguments::ModeArguments;
use fanwire::protocol::Kind;
use outcome::{Faults, Mode};
use plan::Plan;
use run::Interruption;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

/// Puts load on a server, and reports how it was carried.
pub(crate) fn run(arguments: BenchArguments) -> ExitCode {
    let usage_error = |problem: String| {
        eprintln!("error: {problem}");
        ExitCode::from(EXIT_USAGE)
    };
    let BenchArguments { mut mode } = arguments;
    let plan = match mode.authorize().and_then(|()| plan(&mode)) {
        Ok(plan) => plan,
        Err(problem) => return usage_error(problem),
    };
    let common = mode.common();
    // A file that cannot be written is known before the measurement and not after it.
    let page = match &common.html {
        None => None,
        Some(path) => match File::create(path) {
            Ok(file) => Some((path, file)),
            Err(error) => {
                return usage_error(format!("--html {}: {error}: give a file to write", path.display()));
            }
        },
    };
    let measured = Interruption::watch()
        .map_err(|error| format!("the system refused a signal handler: {error}"))
        .and_then(|interruption| run::run(&plan, &interruption));
    let (outcome, problem) = match measured {
        Ok(measured) => measured,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let report = if common.json { report::json(&outcome) + "\n" } else { report::text(&outcome) };
    let mut has_failed = problem.is_some() || outcome.faults != Faults::default();
    if let Some((path, mut file)) = page
        && let Err(error) = file.write_all(report::page(&outcome).as_bytes())
    {
        eprintln!("the report cannot be written: {}: {error}", path.display());
        has_failed = true;
    }
    if let Some(problem) = problem {
        eprintln!("{problem}");
    }
    output::print(report, ExitCode::from(u8::from(has_failed)))
}

fn plan(mode: &ModeArguments) -> Result<Plan, String> {
    match mode {
        ModeArguments::Echo { common, connections, traffic, binary } => {
            let connections = connections.connections;
            let mut plan = Plan::new(Mode::Echo, common, connections)?;
            plan.kind = if *binary { Kind::Binary } else { Kind::Text };
            plan.with_traffic(traffic, connections, 0, common)
        }
        ModeArguments::Broadcast { common, connections, traffic, publishers, channels } => {
            let plan = Plan::new(Mode::Broadcast, common, connections.connections)?;
            plan.with_traffic(traffic, *publishers, *channels, common)
        }
        ModeArguments::Connect { common, slots } => Plan::new(Mode::Connect, common, *slots),
        ModeArguments::Idle { common, connections } => Plan::new(Mode::Idle, common, connections.connections),
    }
}
