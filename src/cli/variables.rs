//! `FANWIRE_*` variables, beyond what clap makes of them: whom they concern, which is to blame, and which nobody reads.

use super::secret;
use clap::builder::Resettable;
use clap::error::ContextKind;
use clap::{Arg, ArgMatches, Command};
use std::env;
use std::ffi::{OsStr, OsString};
use std::iter;

/// What all of ours begin with.
const PREFIX: &str = "FANWIRE_";

/// Those that stand for no option.
const BESIDES_OPTIONS: [&str; 4] =
    [secret::ADMIN_VARIABLE, "FANWIRE_STARTED_AGAIN", "FANWIRE_TLS_CA", "FANWIRE_TOKEN"];

/// How alike two variables are from which on one is taken for the other misspelt (0 to 1), by what stands behind the prefix.
const LIKENESS_MIN: f64 = 0.9;

/// What the words of the command line say, and the variables that concern them. If they cannot be used, the program ends with
/// the reason.
pub(crate) fn matches(words: &[OsString]) -> ArgMatches {
    let program = super::command();
    try_matches(&program, words).unwrap_or_else(|error| {
        if error.use_stderr()
            && let Some(variable) = blamed(&program, words, &error)
        {
            eprintln!("in the variable {variable}:");
        }
        error.exit()
    })
}

/// What the words say to `program`, and the variables that concern them. The program's own options are the server's: what a
/// variable says of them is none of a subcommand's business, which has those that concern it itself.
///
/// # Errors
/// If the words, or a variable that concerns them, cannot be used.
pub(crate) fn try_matches(program: &Command, words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    program.clone().try_get_matches_from(words).or_else(|error| {
        let alone = program.clone().mut_args(|arg| arg.env(Resettable::Reset));
        alone.try_get_matches_from(words).ok().filter(|matches| matches.subcommand().is_some()).ok_or(error)
    })
}

/// The variable without which there would not be this error, in which clap names the option alone; `None` if it is the
/// words that are wrong.
fn blamed(program: &Command, words: &[OsString], error: &clap::Error) -> Option<String> {
    let about = |error: &clap::Error| {
        let [argument, value] =
            [ContextKind::InvalidArg, ContextKind::InvalidValue].map(|kind| error.get(kind).cloned());
        (error.kind(), argument, value)
    };
    let is_blamed = |variable: &&str| {
        let without = |arg: Arg| {
            if arg.get_env() == Some(OsStr::new(variable)) { arg.env(Resettable::Reset) } else { arg }
        };
        let program = program.clone().mut_args(without);
        let program = program.mut_subcommands(|command| command.mut_args(without));
        program.try_get_matches_from(words).err().as_ref().map(about) != Some(about(error))
    };
    let commands = iter::once(program).chain(program.get_subcommands());
    let mut set = commands.flat_map(of_options).filter(|variable| env::var_os(variable).is_some());
    set.find(is_blamed).map(str::to_owned)
}

/// Warns of variables that nobody reads, if they are much like one of the server's. It cannot be an error: what others call
/// `FANWIRE_` something is their business.
pub(crate) fn warn_of_misspelt() {
    let ours = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours: Vec<String> = ours.filter(|name| name.starts_with(PREFIX)).collect();
    for (name, nearest) in misspelt(&super::command(), &ours) {
        tracing::warn!("nobody reads the variable {}: did you mean {nearest}?", name.escape_debug());
    }
}

/// Variables that nobody reads, each with the one of the server's that it is like.
fn misspelt<'v>(program: &'v Command, ours: &'v [String]) -> Vec<(&'v str, &'v str)> {
    let of_server: Vec<&str> = of_options(program).chain([secret::ADMIN_VARIABLE]).collect();
    let mut misspelt = Vec::new();
    for name in ours {
        let of_commands = program.get_subcommands().flat_map(of_options);
        let is_read =
            of_server.iter().copied().chain(of_commands).chain(BESIDES_OPTIONS).any(|read| read == name);
        if is_read || is_of_kubernetes(name, ours) {
            continue;
        }
        let likeness = |other: &str| strsim::jaro_winkler(&name[PREFIX.len()..], &other[PREFIX.len()..]);
        let nearest = of_server.iter().map(|other| (likeness(other), *other));
        if let Some((likeness, nearest)) = nearest.max_by(|(one, _), (other, _)| one.total_cmp(other))
            && likeness >= LIKENESS_MIN
        {
            misspelt.push((name.as_str(), nearest));
        }
    }
    misspelt
}

fn of_options(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(|arg| arg.get_env()?.to_str())
}

/// Whether Kubernetes sets it for a service that is called fanwire, or fanwire-admin: next to `FANWIRE_ADMIN_SERVICE_HOST`
/// there are `FANWIRE_ADMIN_SERVICE_PORT`, `FANWIRE_ADMIN_PORT`, `FANWIRE_ADMIN_PORT_80_TCP` and more.
fn is_of_kubernetes(name: &str, ours: &[String]) -> bool {
    let services = ours.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let mut behind = services.filter_map(|service| name.strip_prefix(service));
    behind.any(|behind| behind.starts_with("_SERVICE_") || behind.starts_with("_PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_is_read_begins_alike() {
        let program = crate::cli::command();
        let of_commands = iter::once(&program).chain(program.get_subcommands()).flat_map(of_options);
        let mut read = of_commands.chain(BESIDES_OPTIONS);
        assert!(read.all(|name| name.starts_with(PREFIX)));
    }

    #[test]
    fn what_is_like_a_variable_of_the_servers_is_taken_for_it_and_nothing_else() {
        let nearest = |names: &[&str]| -> Vec<String> {
            let names: Vec<String> = names.iter().map(|name| format!("FANWIRE_{name}")).collect();
            let program = crate::cli::command();
            misspelt(&program, &names).into_iter().map(|(_, nearest)| nearest.to_owned()).collect()
        };
        for (name, meant) in [
            ("JWT_SECRETFILE", "FANWIRE_JWT_SECRET_FILE"),
            ("JWT_SECRET", "FANWIRE_JWT_SECRET_FILE"),
            ("ALLOW_ORIGINS", "FANWIRE_ALLOW_ORIGIN"),
            ("MAX_MESAGE_SIZE", "FANWIRE_MAX_MESSAGE_SIZE"),
            ("ADMIN_TOKN", "FANWIRE_ADMIN_TOKEN"),
            ("WORKER", "FANWIRE_WORKERS"),
        ] {
            assert_eq!(nearest(&[name]), [meant], "{name}");
        }
        for other in
            ["WORKERS", "TOKEN", "SERVER", "TLS_CA", "VERSION", "IMAGE", "HOME", "PORT", "SERVICE_HOST", ""]
        {
            assert_eq!(nearest(&[other]), [""; 0], "{other}");
        }
        assert_eq!(
            nearest(&["ADMIN_SERVICE_HOST", "ADMIN_SERVICE_PORT", "ADMIN_PORT", "ADMIN_PORT_81_TCP"]),
            [""; 0]
        );
    }
}
