//! `fanwire doctor`: whether this machine carries so many connections, and what to set if not. It looks only, and changes
//! nothing.

mod checks;
mod system;
#[cfg(test)]
mod tests;

use super::{figures, output};
use clap::Args;
use fanwire::limits::WORKERS_MAX;
use std::fmt;
use std::process::ExitCode;
use std::thread;
use system::System;

/// What `fanwire doctor` can be told.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct DoctorArguments {
    /// Connections at a time that the machine is to carry
    #[arg(short, long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// The port that is to be listened on: whether it is free
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    listen: Option<u16>,
    /// They speak TLS to fanwire itself, which costs about 4 KB each
    #[arg(long)]
    tls: bool,
}

/// A line a paragraph: clap wraps them.
const NOTES: &str = "\
A line for each thing looked at: ok; warn, if it works but worse or not always; fail, if so many connections cannot be. \
Below a warn or fail stands what to set. Nothing is changed. The limits are those of this shell: a service has its own, \
so run it as one to know them: systemd-run --pipe -p LimitNOFILE=1048576 fanwire doctor.

Exit codes: 0 nothing fails; 1 something does, or this is no Linux; 2 an argument cannot be used.";

/// What the machine is to carry.
#[derive(Clone, Copy, Debug)]
struct Plan {
    connections: u64,
    tls: bool,
    port: Option<u16>,
    /// As many as there are cores.
    workers: u64,
}

/// What has been found out about one thing.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    name: &'static str,
    /// What it is, and what it should be.
    text: String,
    /// What to do, unless all is well.
    fix: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// It works, but worse than it could, or not always.
    Warn,
    /// So many connections cannot be.
    Fail,
}

impl Finding {
    fn new(verdict: Verdict, name: &'static str, text: String, fix: String) -> Finding {
        Finding { verdict, name, text, fix }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(f, "{verdict}  {}: {}", self.name, self.text)?;
        if self.verdict != Verdict::Ok {
            write!(f, "\n      set: {}", self.fix)?;
        }
        Ok(())
    }
}

/// Looks at this machine and says what is found.
pub(crate) fn run(DoctorArguments { connections, listen, tls }: DoctorArguments) -> ExitCode {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKERS_MAX));
    let plan = Plan { connections, tls, port: listen, workers: cores as u64 };
    let system = System::below("/");
    if system.open_files().is_none() {
        eprintln!("there is no /proc/self/limits here: doctor knows Linux alone");
        return ExitCode::FAILURE;
    }
    let (report, worst) = report(&system, &plan);
    output::print(&report, if worst == Verdict::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All that is found, for people, and the worst of it.
fn report(system: &System, plan: &Plan) -> (String, Verdict) {
    let findings = checks::all(system, plan);
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let conclusion = match worst {
        Verdict::Ok => "all is well",
        Verdict::Warn => "possible; see what is warned about",
        Verdict::Fail => "not with what fails above",
    };
    let conclusion = format!("{} connections: {conclusion}", figures::digits(plan.connections));
    let lines = findings.iter().map(ToString::to_string).chain([conclusion, String::new()]);
    (lines.collect::<Vec<_>>().join("\n"), worst)
}
