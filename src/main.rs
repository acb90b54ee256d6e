//! The `fanwire` program: arguments, then the server or a client.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
