//! Where the server's options come from: flags before environment before file before defaults, as clap weighs them, to
//! which a file's values are handed as other defaults.

use super::file::{Entry, File};
use super::serve::ServeArguments;
use super::{secret, variables};
use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use fanwire::config::{ConfigError, Setting, Source};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The subcommands that have the server's options; the program alone has them too.
pub(crate) const SUBCOMMANDS: [&str; 2] = ["serve", "check"];

/// The words of a command line that has the server's options. It can be read again, when files have changed.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// All of them, the program's name among them.
    words: Vec<OsString>,
}

/// What the server is told, and by whom.
#[derive(Debug)]
pub(crate) struct Given {
    /// Every option.
    pub(crate) arguments: ServeArguments,
    /// The same as an operator says it, and where it was said. What is computed from the machine is absent.
    pub(crate) settings: Vec<Setting>,
    /// What the file says, if there is one.
    pub(crate) file: Option<File>,
    /// Files that options name, except for certificate and key, which are looked after by themselves.
    pub(crate) files: Vec<PathBuf>,
}

/// The program's command, in which switches may be told what they are: `--echo=false`.
pub(crate) fn with_switches(command: Command) -> Command {
    let command = SUBCOMMANDS.into_iter().fold(command, |command, subcommand| {
        command.mut_subcommand(subcommand, |serve| serve.mut_args(switch))
    });
    command.mut_args(switch)
}

fn switch(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("true|false")
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .hide_possible_values(true)
}

impl Sources {
    /// Those of this command line.
    pub(crate) fn new(words: Vec<OsString>) -> Sources {
        Sources { words }
    }

    /// Reads all of them. The words themselves have been found valid.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(crate) fn read(&self) -> Result<Given, ConfigError> {
        let program = super::command();
        let schema = ServeArguments::augment_args(Command::new("fanwire")).mut_args(switch);
        let file = match self.file(&program)? {
            Some(path) => Some(File::read(&path, &schema)?),
            None => None,
        };
        let entries = file.as_ref().map_or(&[][..], |file| &file.entries);
        let with_file = |arg: Arg| with_default(arg, entries);
        let program = SUBCOMMANDS.into_iter().fold(program, |program, subcommand| {
            program.mut_subcommand(subcommand, |serve| serve.mut_args(with_file))
        });
        let matches = self.matches(&program.mut_args(with_file))?;
        let matches = active(&matches);
        let arguments = ServeArguments::from_arg_matches(matches).map_err(|error| unusable(&error))?;
        let mut settings: Vec<Setting> = schema
            .get_arguments()
            .filter(|arg| arg.get_long().is_some_and(|long| long != "config"))
            .map(|arg| setting(arg, matches, file.as_ref()))
            .collect();
        settings.extend(file.iter().flat_map(channel_settings));
        let files = schema.get_arguments().flat_map(|arg| files(arg, matches)).collect();
        Ok(Given { arguments, settings, file, files })
    }

    /// The file that is named.
    fn file(&self, program: &Command) -> Result<Option<PathBuf>, ConfigError> {
        let matches = self.matches(program)?;
        Ok(active(&matches).get_one::<PathBuf>("config").cloned())
    }

    fn matches(&self, program: &Command) -> Result<ArgMatches, ConfigError> {
        variables::try_matches(program, &self.words).map_err(|error| unusable(&error))
    }
}

/// An error of clap's where there should be none: words and file were tried one by one.
fn unusable(error: &clap::Error) -> ConfigError {
    let problem =
        error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    ConfigError::new("the command line", format!("cannot be used with the file ({problem})"), "see --help")
}

/// The matches of the subcommand that has the server's options, or of the program alone.
fn active(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().filter(|(name, _)| SUBCOMMANDS.contains(name)).map_or(matches, |(_, serve)| serve)
}

fn with_default(arg: Arg, entries: &[Entry]) -> Arg {
    let entry = arg.get_long().and_then(|long| entries.iter().find(|entry| entry.key == long));
    match entry {
        Some(entry) if entry.values.is_empty() => arg.default_value(Resettable::Reset),
        Some(entry) => {
            let values = entry.values.clone();
            arg.default_values(values)
        }
        None => arg,
    }
}

fn setting(arg: &Arg, matches: &ArgMatches, file: Option<&File>) -> Setting {
    let (id, option) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default().to_owned());
    let source = match (matches.value_source(id), arg.get_env()) {
        (Some(ValueSource::CommandLine), _) => Source::Flag,
        (Some(ValueSource::EnvVariable), Some(variable)) => {
            Source::Environment(variable.to_string_lossy().into_owned())
        }
        _ => match file.and_then(|file| Some((file, file.entry(&option)?))) {
            Some((file, entry)) => Source::File(file.path.clone(), entry.line),
            None => Source::Default,
        },
    };
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let value = if matches!(arg.get_action(), ArgAction::Count) {
        Some(matches.get_count(id).to_string())
    } else if let Some(values) = matches.get_raw(id) {
        let values: Vec<String> = values.map(|value| literal(arg, &value.to_string_lossy())).collect();
        if is_list { Some(format!("[{}]", values.join(", "))) } else { values.into_iter().next() }
    } else {
        matches!(source, Source::File(..)).then(|| "[]".to_owned())
    };
    Setting { channel: None, option, value, source }
}

/// A value as JSON, which is TOML too.
fn literal(arg: &Arg, word: &str) -> String {
    let text = || serde_json::Value::from(word).to_string();
    match super::file::Kind::of(arg) {
        super::file::Kind::Switch => is_true(word).to_string(),
        super::file::Kind::Number => match (word.parse::<i128>(), word.parse::<f64>()) {
            (Ok(number), _) => number.to_string(),
            (_, Ok(number)) if number.is_finite() => number.to_string(),
            _ => text(),
        },
        _ => text(),
    }
}

/// As clap's `BoolishValueParser` reads it, which has taken it already.
fn is_true(word: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].contains(&word.to_lowercase().as_str())
}

/// What the file says of channels.
fn channel_settings(file: &File) -> impl Iterator<Item = Setting> {
    file.sections.iter().flat_map(|section| {
        section.entries.iter().map(|entry| {
            let word = entry.values.first().map_or("", String::as_str);
            let is_number = entry.key == "max-message-size";
            Setting {
                channel: Some(section.pattern.to_string()),
                option: entry.key.clone(),
                value: Some(if is_number {
                    word.to_owned()
                } else {
                    serde_json::Value::from(word).to_string()
                }),
                source: Source::File(file.path.clone(), entry.line),
            }
        })
    })
}

/// The files that an option names.
fn files<'m>(arg: &Arg, matches: &'m ArgMatches) -> impl Iterator<Item = PathBuf> + use<'m> {
    let is_renewed = arg.get_long().is_some_and(|long| long.starts_with("tls-"));
    let names_files = arg.get_value_names().is_some_and(|names| names.iter().any(|name| *name == "FILE"));
    let values = (names_files && !is_renewed).then(|| matches.get_raw(arg.get_id().as_str())).flatten();
    values.into_iter().flatten().map(|value| Path::new(value).to_owned())
}

/// The same error, with the place where the option that it blames was said, or with the variable that it is really about.
pub(crate) fn locate(settings: &[Setting], error: ConfigError) -> ConfigError {
    let is_no_file = |setting: &Setting| {
        let is_blamed = error.option.strip_prefix("--") == Some(setting.option.as_str());
        is_blamed && setting.value.is_none()
    };
    // The token is that of the variable, which is no setting.
    if error.option == secret::ADMIN_OPTION && settings.iter().any(is_no_file) {
        return ConfigError { option: secret::ADMIN_VARIABLE, ..error };
    }
    error.located(settings)
}
