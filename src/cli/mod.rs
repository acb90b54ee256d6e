//! Arguments, and what each subcommand does with them.

mod address;
mod allocator;
mod bench;
mod chat;
mod check;
mod client;
mod closure;
mod completions;
mod descriptors;
mod doctor;
mod escape;
mod figures;
mod file;
mod log;
mod memory;
mod output;
mod passed;
mod plural;
mod publish;
mod seconds;
mod secret;
mod serve;
mod sources;
mod subscribe;
mod token;
mod top;
mod variables;

use bench::BenchArguments;
use chat::ChatArguments;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use completions::{CompletionsArguments, ManArguments};
use doctor::DoctorArguments;
use publish::PublishArguments;
use serve::ServeArguments;
use sources::Sources;
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use subscribe::SubscribeArguments;
use token::TokenArguments;
use top::TopArguments;

/// A WebSocket broadcast server: what one client says, everyone in its channel hears, in one order.
#[derive(Debug, Parser)]
#[command(name = "fanwire", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = NOTES)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (also what `fanwire` alone does)
    #[command(after_help = SERVE_NOTES)]
    Serve(ServeArguments),
    /// Check the options of `serve`, and print what comes of flags, environment and file, as a file
    #[command(after_help = CHECK_NOTES)]
    Check(ServeArguments),
    /// Talk in a channel from the terminal
    Chat(ChatArguments),
    /// Publish messages in a channel
    #[command(name = "pub")]
    Publish(PublishArguments),
    /// Show what is said in a channel, one message a line
    #[command(name = "sub")]
    Subscribe(SubscribeArguments),
    /// Measure how much a server carries
    Bench(BenchArguments),
    /// Watch a server's channels, slowest clients and workers
    Top(TopArguments),
    /// Look whether this machine carries so many connections, and say what to set
    Doctor(DoctorArguments),
    /// Write what a shell needs to complete arguments
    Completions(CompletionsArguments),
    /// Write the manual
    Man(ManArguments),
    /// Make a token for trying, to be given to a server with --jwt-secret-file
    Token(TokenArguments),
}

/// A line a paragraph: clap wraps them.
const NOTES: &str = "\
`fanwire COMMAND --help` says more of each command, and `fanwire man --dir DIR` writes the pages of all of them.

Exit codes of all commands: 0 done; 1 failed, for a reason that stderr gives; 2 an argument or option cannot be used as \
given; 128 and the number of a signal for a second one, which ends it at once.";

/// The same.
const SERVE_NOTES: &str = "\
SIGTERM or SIGINT ends it: clients are told goodbye first. SIGHUP reads the certificate and the configuration file again.

Exit codes: 0 ended as it was told; 1 failed while it ran; 2 an option cannot be used as given; 130 or 143 a second SIGINT \
or SIGTERM ended it at once.";

/// The same.
const CHECK_NOTES: &str = "Exit codes: 0 the server would start with them; 1 the output cannot be written; 2 an option, a file or the environment cannot be used as given.";

/// An option cannot be used as given.
const EXIT_USAGE: u8 = 2;

/// The whole program's arguments.
pub(crate) fn command() -> clap::Command {
    sources::with_switches(Program::command())
}

/// Runs the program. Exit codes: 0 done, 1 failed, 2 an option cannot be used as given.
pub(crate) fn run() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    let matches = variables::matches(&words);
    let sources = Sources::new(words);
    let Program { command, serve } =
        Program::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut self::command()).exit());
    match command {
        None => serve::run(sources, &serve),
        Some(Command::Serve(arguments)) => serve::run(sources, &arguments),
        Some(Command::Check(_)) => check::run(&sources),
        Some(Command::Chat(arguments)) => chat::run(arguments),
        Some(Command::Publish(arguments)) => publish::run(arguments),
        Some(Command::Subscribe(arguments)) => subscribe::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Top(arguments)) => top::run(arguments),
        Some(Command::Doctor(arguments)) => doctor::run(arguments),
        Some(Command::Completions(arguments)) => completions::run(arguments),
        Some(Command::Man(arguments)) => completions::run_man(arguments),
        Some(Command::Token(arguments)) => token::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn fanwire_alone_serves_with_the_same_options_as_fanwire_serve() {
        let alone = Program::try_parse_from(["fanwire", "--workers", "3"]).expect("valid");
        assert!(alone.command.is_none());
        let serve = Program::try_parse_from(["fanwire", "serve", "--workers", "3"]).expect("valid");
        assert!(matches!(serve.command, Some(Command::Serve(_))));
    }

    /// The options that the first column of README's table of options names, in its order.
    fn options_in_readme() -> Vec<String> {
        let readme = include_str!("../../README.md");
        let (_, behind) = readme.split_once("\n## Options\n").expect("a section of options");
        let section = behind.split("\n## ").next().expect("a section");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `--"));
        let cells = rows.map(|row| row.split(" | ").next().expect("a first column"));
        let options = cells.flat_map(|cell| cell.split("`--").map(|option| option.split([' ', '`']).next()));
        options.map(|option| option.expect("a name").to_owned()).collect()
    }

    #[test]
    fn readme_has_a_row_for_every_option_of_the_server_and_for_nothing_else() {
        let mut in_readme = options_in_readme();
        let program = command();
        let serve = program.find_subcommand("serve").expect("it is there");
        let mut options: Vec<String> =
            serve.get_arguments().filter_map(|argument| argument.get_long()).map(str::to_owned).collect();
        // They stand below the table, or in every program.
        options.retain(|option| !["help", "verbose", "version"].contains(&option.as_str()));
        in_readme.sort();
        options.sort();
        assert_eq!(in_readme, options);
    }
}
