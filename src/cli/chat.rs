//! `fanwire chat`.
use clap::Args;
use std::process::ExitCode;

/// .
#[derive(Debug, Args)]
pub(crate) struct ChatArguments {}

/// .
pub(crate) fn run(_arguments: ChatArguments) -> ExitCode {
    ExitCode::SUCCESS
}
