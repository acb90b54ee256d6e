//! `fanwire serve`: arguments and `FANWIRE_*` variables → [`Config`](fanwire::config::Config) → [`Server::run`].

mod admin;
mod arguments;
mod channel_rules;
mod description;
mod origins;

pub(crate) use arguments::ServeArguments;

use super::descriptors::{self, Descriptors};
use super::sources::{Sources, locate};
use super::{EXIT_USAGE, allocator, log, passed, variables};
use description::{Machine, described};
use fanwire::config::{ConfigSource, Described, PassedListener};
use fanwire::server::{Server, ServerError};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{mem, panic};

/// Serves until it is told to end. `arguments` are those of the command line and the environment.
pub(crate) fn run(sources: Sources, arguments: &ServeArguments) -> ExitCode {
    allocator::give_memory_back();
    let given = sources.read();
    let told = given.as_ref().map_or(arguments, |given| &given.arguments);
    let _log = log::start(told.log_format, told.verbose);
    // A panic is told as all else is: in the log's format, and without waiting for whoever reads it.
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    variables::warn_of_misspelt();
    let source = given.and_then(|_| Ok(source(sources, passed::take()?)));
    let result = source.map_err(ServerError::Config).and_then(Server::run_from);
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &ServerError) -> u8 {
    match error {
        ServerError::Config(_) => EXIT_USAGE,
        // As of a process that died of it.
        ServerError::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(1),
        _ => 1,
    }
}

/// Where the configuration comes from, now and when it is to be read again. Only the first one has the sockets that were
/// `passed`: nobody holds them for longer than it takes to listen.
fn source(sources: Sources, passed: Vec<PassedListener>) -> ConfigSource {
    let Descriptors { before, now } = descriptors::raise_limit();
    tracing::info!("open files: {now} (was {before})");
    let descriptors = usize::try_from(now).unwrap_or(usize::MAX);
    let (workers, is_passed) = (OnceLock::new(), !passed.is_empty());
    let passed = Mutex::new(passed);
    Arc::new(move || {
        let passed = mem::take(&mut *passed.lock().unwrap_or_else(PoisonError::into_inner));
        let machine = Machine { descriptors, workers: workers.get().copied() };
        let described = described(sources.read()?, passed, machine)?;
        workers.get_or_init(|| described.config.workers);
        let Described { config, settings, .. } = &described;
        let checked = if is_passed { config.check_all_but_addresses() } else { config.check() };
        checked.map_err(|error| locate(settings, error))?;
        Ok(described)
    })
}

/// What a server would be told that no sockets are passed to.
///
/// # Errors
/// If it could not be used.
pub(crate) fn describe(sources: &Sources) -> Result<Described, ServerError> {
    let descriptors = usize::try_from(descriptors::raise_limit().now).unwrap_or(usize::MAX);
    let described = described(sources.read()?, Vec::new(), Machine { descriptors, workers: None })?;
    described.config.check().map_err(|error| locate(&described.settings, error))?;
    Ok(described)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanwire::config::ConfigError;

    #[test]
    fn a_worker_that_failed_is_another_exit_code_than_an_option() {
        assert_eq!(exit_code(&ServerError::Worker(fanwire::hub::ShardId(0), "it panicked".to_owned())), 1);
        assert_eq!(exit_code(&ServerError::Config(ConfigError::new("--workers", "is 0", "give 1"))), 2);
    }
}
