//! What does a channel without traffic cost in memory, and does a publication cost more the more channels there are?
//!
//! A shard is driven in memory, a turn at a time: no kernel, no sockets, so that there can be more channels than a machine
//! has ports. Each row is measured in a process of its own, which begins with fresh memory.
//!
//! ```text
//! cargo bench --bench channels               a table in markdown, up to 100,000 channels
//! cargo bench --bench channels -- --quick    up to 10,000
//! cargo test --bench channels                up to 1,000, and few publications, to see that it runs
//! ```
//!
//! Bad news: a quiet channel with one subscriber above 1,000 bytes; memory that does not serve again when channels come and
//! go; a publication among 100,000 channels that takes more than what the memory's caches no longer hold, a few hundred
//! nanoseconds; and joining or leaving that costs more the more channels there are.

mod crowd;
mod memory;
mod row;

use row::{Row, Setting};
use std::env;
use std::process::{Command, ExitCode, Stdio};

/// Channels, each with one subscriber or two.
const CHANNELS: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// Beside them, clients that share one channel, and channels that everyone has left. A debug build measures nothing: it is
/// run to see that all is delivered and forgotten, over more channels than one turn closes.
const MANY: usize = if cfg!(debug_assertions) { 2_000 } else { 100_000 };

const QUICK_MAX: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--row", setting] => row::measure(setting).map(|row| println!("{}", row.line())),
        [] => table(MANY),
        ["--quick"] => table(QUICK_MAX),
        _ => Err("give nothing, or --quick".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("channels: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all rows and prints them.
fn table(channels_max: usize) -> Result<(), String> {
    println!("{}", row::HEAD);
    for channels in CHANNELS.into_iter().filter(|channels| *channels <= channels_max) {
        for subscribers in [1, 2] {
            println!("{}", in_fresh_memory(Setting::Quiet { channels, subscribers })?.markdown());
        }
    }
    println!("{}", in_fresh_memory(Setting::Shared { clients: channels_max })?.markdown());
    println!("{}", in_fresh_memory(Setting::Left { channels: channels_max })?.markdown());
    Ok(())
}

/// Measures a row in a process of its own.
fn in_fresh_memory(setting: Setting) -> Result<Row, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", setting.name());
    let program = env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(program);
    command.args(["--row", &setting.argument()]).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| failed(&error))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    Row::parse(setting, printed.trim()).ok_or_else(|| failed(&output.status))
}
