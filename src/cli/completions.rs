//! `fanwire completions` and `fanwire man`: what a shell and `man` want to know of this program, from the arguments
//! themselves.

use super::output;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `fanwire completions` can be told.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_NOTES)]
pub(crate) struct CompletionsArguments {
    /// The shell that reads them
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// A line a paragraph: clap wraps them.
const COMPLETIONS_NOTES: &str = "\
bash: fanwire completions bash > ~/.local/share/bash-completion/completions/fanwire

zsh: fanwire completions zsh > DIR/_fanwire, where DIR is in $fpath

fish: fanwire completions fish > ~/.config/fish/completions/fanwire.fish

elvish: fanwire completions elvish > ~/.config/elvish/lib/fanwire.elv, and `use fanwire` in rc.elv

powershell: fanwire completions powershell >> $PROFILE

Exit codes: 0 written; 1 the output cannot be written; 2 an argument cannot be used.";

/// What `fanwire man` can be told.
#[derive(Debug, Args)]
#[command(after_help = MAN_NOTES)]
pub(crate) struct ManArguments {
    /// Write the pages of all subcommands into this directory, made if need be, instead of the main page to stdout
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A line a paragraph: clap wraps them.
const MAN_NOTES: &str = "\
To read it: fanwire man | man -l -

To install all pages: fanwire man --dir /usr/local/share/man/man1

Exit codes: 0 written; 1 the output cannot be written; 2 an argument cannot be used.";

/// Writes the completions.
pub(crate) fn run(CompletionsArguments { shell }: CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), NAME, &mut script);
    output::print(&script, ExitCode::SUCCESS)
}

/// Writes the manual.
pub(crate) fn run_man(ManArguments { dir }: ManArguments) -> ExitCode {
    match dir {
        None => {
            let mut page = Vec::new();
            match Man::new(super::command()).render(&mut page) {
                Ok(()) => output::print(&page, ExitCode::SUCCESS),
                Err(error) => fail(&error.to_string()),
            }
        }
        Some(dir) => match write_pages(&dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("cannot write {}: {error}", dir.display())),
        },
    }
}

const NAME: &str = "fanwire";

/// A page for the program and one for each subcommand of it, however deep: `fanwire-bench-echo.1`.
fn write_pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut program = super::command().disable_help_subcommand(true);
    program.build();
    write_page(&program, dir)
}

fn write_page(command: &Command, dir: &Path) -> io::Result<()> {
    command.get_subcommands().try_for_each(|subcommand| write_page(subcommand, dir))?;
    Man::new(command.clone()).generate_to(dir).map(|_| ())
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}
