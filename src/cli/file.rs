//! `fanwire.toml`: the same options as on the command line, by their long names, and sections for channels.
//!
//! What options there are and what values they take is not said here: that is known to the command's own arguments, and
//! each value of a file is tried on them. What options come to together is the business of
//! [`Config::check`](fanwire::config::Config::check).

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use fanwire::config::{
    Access, ChannelPattern, ChannelSettings, ConfigError, PayloadPolicy, SlowConsumerPolicy, read_again,
};
use fanwire::hub::ChannelName;
use std::any::TypeId;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use toml::de::{DeInteger, DeTable, DeValue};

/// The option that names the file, which all errors here are about.
const OPTION: &str = "--config";

/// What cannot stand in a file.
const NOT_IN_A_FILE: [&str; 3] = ["config", "help", "version"];

/// Bytes that a file may have: what is longer is something else, given by mistake.
const BYTES_MAX: u64 = 1 << 20;

/// The name of the table whose tables are for channels.
const CHANNEL: &str = "channel";

/// How alike two names are from which on one is taken for the other misspelt (0 to 1).
const LIKENESS_MIN: f64 = 0.8;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Options, in the order of their lines.
    pub(crate) entries: Vec<Entry>,
    /// Sections for channels, in the order of their lines.
    pub(crate) sections: Vec<Section>,
}

/// An option with its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The option's long name.
    pub(crate) key: String,
    /// What would stand on the command line: one for each time that the option would be repeated.
    pub(crate) values: Vec<String>,
    /// The line on which it begins, counted from 1.
    pub(crate) line: usize,
}

/// `[channel."PATTERN"]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Which channels it is for.
    pub(crate) pattern: ChannelPattern,
    /// What it says of them.
    pub(crate) settings: ChannelSettings,
    /// Its settings as they are written, with their lines.
    pub(crate) entries: Vec<Entry>,
}

impl File {
    /// Reads a file whose options are those of `schema`.
    ///
    /// # Errors
    /// If it cannot be read, is not TOML, or says what none of the options takes: the first such line.
    pub(crate) fn read(path: &Path, schema: &Command) -> Result<File, ConfigError> {
        let text = String::from_utf8(read_again(OPTION, path, BYTES_MAX)?).map_err(|_| {
            ConfigError::new(OPTION, format!("{} is not UTF-8", path.display()), "give a TOML file")
        })?;
        File::parse(path, &text, schema)
    }

    fn parse(path: &Path, text: &str, schema: &Command) -> Result<File, ConfigError> {
        let reader = Reader { path, text, schema };
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let problem = error.message().lines().collect::<Vec<_>>().join(", ");
            reader.error(start, format!("not TOML: {problem}"), "write it as https://toml.io says")
        })?;
        let mut file = File { path: path.to_owned(), ..File::default() };
        for (start, key, value) in in_order(table.get_ref()) {
            if key == CHANNEL {
                file.sections = reader.sections(start, value)?;
            } else {
                file.entries.push(reader.entry(start, key, value)?);
            }
        }
        Ok(file)
    }

    /// What it says of an option.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The same error, with the place where the section says what is said already. That can only be its slow consumers, of
    /// which an option speaks too.
    pub(crate) fn blame(&self, section: &Section, error: ConfigError) -> ConfigError {
        let said = section.entries.iter().find(|entry| entry.key == "slow-consumer");
        let line = said.map_or(0, |entry| entry.line);
        ConfigError { problem: format!("{}:{line}: {}", self.path.display(), error.problem), ..error }
    }
}

/// What a table holds, in the order in which it was written: where each key begins, the key, and its value.
fn in_order<'t>(table: &'t DeTable<'_>) -> Vec<(usize, &'t str, &'t DeValue<'t>)> {
    let entry = |(key, value): (&'t toml::Spanned<_>, &'t toml::Spanned<DeValue<'t>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.span().start, name.as_ref(), value.get_ref())
    };
    let mut entries: Vec<_> = table.iter().map(entry).collect();
    entries.sort_by_key(|(start, ..)| *start);
    entries
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is there or not.
    Switch,
    /// A number, perhaps with a fraction.
    Number,
    /// One of some words.
    Choice,
    /// Whatever its parser makes of it.
    Text,
}

impl Kind {
    pub(crate) fn of(arg: &Arg) -> Kind {
        if matches!(arg.get_action(), ArgAction::Count) {
            return Kind::Number;
        }
        if arg.get_value_names().is_some_and(|names| names.iter().any(|name| *name == "OCTAL")) {
            // A number of TOML's would be read as a decimal one.
            return Kind::Text;
        }
        let takes = arg.get_value_parser().type_id();
        let is_one_of = |types: &[TypeId]| types.iter().any(|one| takes == *one);
        if is_one_of(&[TypeId::of::<bool>()]) {
            Kind::Switch
        } else if is_one_of(&[
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<i64>(),
            TypeId::of::<f64>(),
        ]) {
            Kind::Number
        } else if arg.get_possible_values().is_empty() {
            Kind::Text
        } else {
            Kind::Choice
        }
    }

    /// What to write for it.
    fn wanted(self, arg: &Arg) -> String {
        match self {
            Kind::Switch => "true or false".to_owned(),
            Kind::Number => "a number, without quotes".to_owned(),
            Kind::Choice => {
                let names = arg.get_possible_values();
                alternatives(names.iter().map(|name| format!("{:?}", name.get_name())))
            }
            Kind::Text if is_list(arg) => "a string in quotes, or [\"several\", \"of them\"]".to_owned(),
            Kind::Text => "a string in quotes".to_owned(),
        }
    }

    /// What would stand on the command line for a value, if it is of this kind.
    fn word(self, value: &DeValue<'_>) -> Option<String> {
        match (self, value) {
            (Kind::Switch, DeValue::Boolean(value)) => Some(value.to_string()),
            (Kind::Number, DeValue::Float(value)) => Some(value.as_str().to_owned()),
            (Kind::Number | Kind::Choice, DeValue::Integer(value)) => decimal(value),
            (Kind::Choice | Kind::Text, DeValue::String(value)) => Some(value.to_string()),
            _ => None,
        }
    }
}

fn decimal(value: &DeInteger<'_>) -> Option<String> {
    i128::from_str_radix(value.as_str(), value.radix()).ok().map(|number| number.to_string())
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// A value as people would say what it is.
fn said(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(value) => format!("{value:?}"),
        DeValue::Integer(value) => value.to_string(),
        DeValue::Float(value) => value.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// What is known while a file is read.
struct Reader<'r> {
    path: &'r Path,
    text: &'r str,
    schema: &'r Command,
}

impl Reader<'_> {
    /// The line of a byte, counted from 1.
    fn line(&self, start: usize) -> usize {
        self.text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
    }

    fn error(&self, start: usize, problem: impl AsRef<str>, fix: impl Into<String>) -> ConfigError {
        let place = format!("{}:{}", self.path.display(), self.line(start));
        ConfigError::new(OPTION, format!("{place}: {}", problem.as_ref()), fix)
    }

    fn entry(&self, start: usize, key: &str, value: &DeValue<'_>) -> Result<Entry, ConfigError> {
        let options = || self.schema.get_arguments().filter(|arg| may_stand_in_a_file(arg));
        let Some(arg) = options().find(|arg| arg.get_long() == Some(key)) else {
            return Err(self.unknown(start, key, value, options().filter_map(Arg::get_long)));
        };
        let kind = Kind::of(arg);
        let wrong_type = || {
            let problem = format!("{key} is {}", said(value));
            self.error(start, problem, format!("give {}", kind.wanted(arg)))
        };
        let values = match value {
            DeValue::Array(values) if is_list(arg) => {
                let words = values.iter().map(|value| kind.word(value.get_ref()));
                words.collect::<Option<Vec<_>>>().ok_or_else(wrong_type)?
            }
            value => vec![kind.word(value).ok_or_else(wrong_type)?],
        };
        for word in &values {
            if let Some(fix) = refusal(self.schema, arg, word) {
                return Err(self.error(start, format!("{key} is {}", shown(kind, word)), fix));
            }
        }
        Ok(Entry { key: key.to_owned(), values, line: self.line(start) })
    }

    fn unknown<'n>(
        &self,
        start: usize,
        key: &str,
        value: &DeValue<'_>,
        names: impl Iterator<Item = &'n str>,
    ) -> ConfigError {
        if NOT_IN_A_FILE.contains(&key) {
            let problem = format!("{key} cannot be said in a file");
            return self.error(start, problem, "say it on the command line");
        }
        let fix = match nearest(key, names) {
            _ if value.is_table() => {
                "options stand above all sections, and what is for some channels in [channel.\"PATTERN\"]"
                    .to_owned()
            }
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "fanwire serve --help names all options".to_owned(),
        };
        self.error(start, format!("there is no option {key}"), fix)
    }

    fn sections(&self, start: usize, value: &DeValue<'_>) -> Result<Vec<Section>, ConfigError> {
        let fix = "write sections, as [channel.\"ticker-*\"]";
        let Some(patterns) = value.as_table() else {
            return Err(self.error(start, format!("{CHANNEL} is {}", said(value)), fix));
        };
        let mut sections = Vec::new();
        for (start, pattern, settings) in in_order(patterns) {
            let Some(settings) = settings.as_table() else {
                return Err(self.error(start, format!("{CHANNEL}.{pattern} is {}", said(settings)), fix));
            };
            sections.push(self.section(start, pattern, settings)?);
        }
        Ok(sections)
    }

    fn section(&self, start: usize, pattern: &str, table: &DeTable<'_>) -> Result<Section, ConfigError> {
        let parsed = ChannelPattern::parse(OPTION, pattern)
            .map_err(|ConfigError { problem, fix, .. }| self.error(start, problem, fix))?;
        if let (false, Err(error)) = (parsed.text().is_empty(), ChannelName::new(parsed.text())) {
            let problem = format!("{pattern:?} matches no channel ({error})");
            return Err(self.error(start, problem, "give the name of a channel, or its beginning and *"));
        }
        let mut section =
            Section { pattern: parsed, settings: ChannelSettings::default(), entries: Vec::new() };
        for (start, key, value) in in_order(table) {
            let word = self.channel_setting(start, key, value, &mut section.settings)?;
            section.entries.push(Entry { key: key.to_owned(), values: vec![word], line: self.line(start) });
        }
        Ok(section)
    }

    /// Takes down one setting of a section. What it is called and takes is as with the option of that name.
    fn channel_setting(
        &self,
        start: usize,
        key: &str,
        value: &DeValue<'_>,
        settings: &mut ChannelSettings,
    ) -> Result<String, ConfigError> {
        let number = value.as_integer().and_then(decimal);
        let word = value.as_str().map(str::to_owned).or(number).unwrap_or_default();
        let wrong =
            |wanted: String| self.error(start, format!("{key} is {}", said(value)), format!("give {wanted}"));
        let names = |names: &[&str]| alternatives(names.iter().map(|name| format!("{name:?}")));
        let access = || {
            let access = value.as_str().and_then(Access::named);
            access.ok_or_else(|| wrong(names(&Access::ALL.map(Access::name)))).map(Some)
        };
        match key {
            "payload" => {
                let policy = value.as_str().and_then(PayloadPolicy::named);
                let known = names(&PayloadPolicy::ALL.map(PayloadPolicy::name));
                settings.payload = Some(policy.ok_or_else(|| wrong(known))?);
            }
            "max-message-size" => {
                let bytes = value.is_integer().then(|| word.parse().ok()).flatten();
                settings.message_bytes_max =
                    Some(bytes.ok_or_else(|| wrong("a number of bytes, without quotes".to_owned()))?);
            }
            "slow-consumer" => {
                let policy = value.as_str().and_then(SlowConsumerPolicy::named);
                let known = names(&SlowConsumerPolicy::ALL.map(SlowConsumerPolicy::name));
                settings.slow_consumers = Some(policy.ok_or_else(|| wrong(known))?);
            }
            "publish" => settings.publish = access()?,
            "subscribe" => settings.subscribe = access()?,
            _ => {
                let known = ["payload", "max-message-size", "slow-consumer", "publish", "subscribe"];
                let mut fix = String::new();
                if let Some(nearest) = nearest(key, known.into_iter()) {
                    let _ = write!(fix, "did you mean {nearest}? ");
                }
                let _ = write!(fix, "a channel has {}", alternatives(known.map(str::to_owned).into_iter()));
                return Err(self.error(start, format!("there is no setting {key} of a channel"), fix));
            }
        }
        Ok(word)
    }
}

fn may_stand_in_a_file(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| !NOT_IN_A_FILE.contains(&long))
}

fn shown(kind: Kind, word: &str) -> String {
    if kind == Kind::Text || kind == Kind::Choice { format!("{word:?}") } else { word.to_owned() }
}

/// The name that is most like `key`, if any is like it.
fn nearest<'n>(key: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let key = key.to_lowercase().replace('_', "-");
    let likeness = names.map(|name| (strsim::jaro_winkler(&key, name), name));
    let nearest = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, name)| name)
}

/// What to do about a value that the option does not take; `None` if it does.
fn refusal(schema: &Command, arg: &Arg, word: &str) -> Option<String> {
    let long = arg.get_long()?;
    // Flags that count take no value there, and variables are none of a file's business.
    let command = schema.clone().no_binary_name(true).mut_args(|arg| {
        let counts = matches!(arg.get_action(), ArgAction::Count);
        let arg = arg.env(Resettable::Reset);
        if !counts {
            return arg;
        }
        arg.action(ArgAction::Set).num_args(1).value_parser(clap::value_parser!(u8))
    });
    let error = command.try_get_matches_from([format!("--{long}={word}")]).err()?;
    match error.kind() {
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(names)) if !names.is_empty() => {
                Some(format!("give {}", alternatives(names.iter().map(|name| format!("{name:?}")))))
            }
            _ => Some(format!("fanwire serve --help says what --{long} takes")),
        },
        ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => Some(match error.source() {
            Some(reason) if reason.to_string().starts_with("give ") => reason.to_string(),
            Some(reason) => format!("{reason}; fanwire serve --help says what --{long} takes"),
            None => format!("fanwire serve --help says what --{long} takes"),
        }),
        // What it needs besides may stand elsewhere.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Command {
        let arg = |long: &'static str| Arg::new(long).long(long);
        let number = |arg: Arg| arg.value_parser(clap::value_parser!(usize));
        let switch = arg("echo").action(ArgAction::Set).value_parser(clap::value_parser!(bool));
        Command::new("fanwire").args([
            number(arg("max-message-size")).env("FANWIRE_NOT_ASKED"),
            arg("idle-timeout").value_parser(crate::cli::seconds::parse),
            arg("listen").action(ArgAction::Append).value_delimiter(','),
            arg("payload").value_parser(["any", "json"]),
            arg("drain-code").value_parser(["1001", "1012"]),
            arg("verbose").action(ArgAction::Count),
            switch,
            arg("config"),
            arg("unix-mode").value_name("OCTAL").value_parser(clap::value_parser!(u32)),
        ])
    }

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("f.toml"), text, &schema()).map_err(|error| error.to_string())
    }

    fn entries(text: &str) -> Vec<(String, Vec<String>, usize)> {
        let file = parse(text).expect("a good file");
        file.entries.into_iter().map(|Entry { key, values, line }| (key, values, line)).collect()
    }

    #[test]
    fn each_option_is_what_would_stand_on_the_command_line_with_its_line() {
        let text = "# first\nmax-message-size = 0x1_000\n\necho = true\nlisten = [\n  'a',\n  'b'\n]\npayload = 'json'\n\
                    idle-timeout = 0.5\nverbose = 2\ndrain-code = 1012\n";
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            entries(text),
            [
                ("max-message-size".to_owned(), words(&["4096"]), 2),
                ("echo".to_owned(), words(&["true"]), 4),
                ("listen".to_owned(), words(&["a", "b"]), 5),
                ("payload".to_owned(), words(&["json"]), 9),
                ("idle-timeout".to_owned(), words(&["0.5"]), 10),
                ("verbose".to_owned(), words(&["2"]), 11),
                ("drain-code".to_owned(), words(&["1012"]), 12),
            ]
        );
    }

    #[test]
    fn what_can_be_repeated_may_be_one_string_and_what_is_a_word_may_look_like_a_number() {
        assert_eq!(entries("listen = 'a'")[0].1, ["a"]);
        assert_eq!(entries("listen = []")[0].1, [""; 0]);
        assert_eq!(entries("drain-code = '1012'")[0].1, ["1012"]);
        assert!(parse("").expect("an empty file").entries.is_empty());
    }

    #[test]
    fn a_section_says_what_is_different_in_channels() {
        let file = parse(
            "echo = true\n[channel.\"a*\"]\npayload = 'json'\nmax-message-size = 100\n[channel.b]\n\
             slow-consumer = 'latest'\npublish = 'nobody'\nsubscribe = 'token'\n",
        );
        let file = file.expect("a good file");
        let [first, second] = &file.sections[..] else { panic!("two sections: {file:?}") };
        assert_eq!((first.pattern.to_string(), first.entries[1].line), ("a*".to_owned(), 4));
        assert_eq!(
            first.settings,
            ChannelSettings {
                payload: Some(PayloadPolicy::Json),
                message_bytes_max: Some(100),
                ..ChannelSettings::default()
            }
        );
        assert_eq!(
            second.settings,
            ChannelSettings {
                slow_consumers: Some(SlowConsumerPolicy::Latest),
                publish: Some(Access::Nobody),
                subscribe: Some(Access::Token),
                ..ChannelSettings::default()
            }
        );
    }

    #[test]
    fn what_cannot_be_used_is_an_error_that_names_file_line_key_problem_and_fix() {
        for (text, problem, fix) in [
            (
                "\nmax-message-sise = 1",
                "2: there is no option max-message-sise",
                "did you mean max-message-size?",
            ),
            (
                "max_message_size = 1",
                "1: there is no option max_message_size",
                "did you mean max-message-size?",
            ),
            ("colour = 'red'", "1: there is no option colour", "fanwire serve --help names all options"),
            ("config = 'other.toml'", "1: config cannot be said in a file", "on the command line"),
            ("[server]\necho = true", "1: there is no option server", "options stand above all sections"),
            ("max-message-size = '1'", "1: max-message-size is \"1\"", "a number, without quotes"),
            ("max-message-size = -1", "1: max-message-size is -1", "invalid digit"),
            ("max-message-size = [1]", "1: max-message-size is a list", "a number"),
            ("idle-timeout = inf", "1: idle-timeout is inf", "give 0 to 1000000 seconds"),
            ("echo = 'yes'", "1: echo is \"yes\"", "give true or false"),
            ("echo = 1", "1: echo is 1", "give true or false"),
            ("payload = 'jsn'", "1: payload is \"jsn\"", "give \"any\" or \"json\""),
            ("payload = true", "1: payload is true", "give \"any\" or \"json\""),
            ("listen = [1]", "1: listen is a list", "[\"several\", \"of them\"]"),
            ("unix-mode = 0o660", "1: unix-mode is 0o660", "give a string in quotes"),
            ("verbose = 300", "1: verbose is 300", "300 is not in 0..=255"),
            ("echo = true\necho = false", "2: not TOML: duplicate key", "https://toml.io"),
            ("echo = ", "1: not TOML", "https://toml.io"),
            ("channel = 1", "1: channel is 1", "[channel.\"ticker-*\"]"),
            ("channel.a = 1", "1: channel.a is 1", "[channel.\"ticker-*\"]"),
            ("[channel.\"a b\"]", "1: \"a b\" matches no channel", "its beginning and *"),
            ("[channel.\"a*b\"]", "1: \"a*b\" has a * that is not at its end", "one *"),
            ("[channel.a]\npayloda = 'any'", "2: there is no setting payloda", "did you mean payload?"),
            ("[channel.a]\nworkers = 1", "2: there is no setting workers", "a channel has payload, max-"),
            ("[channel.a]\npublish = 'all'", "2: publish is \"all\"", "\"anyone\", \"token\" or \"nobody\""),
            ("[channel.a]\nmax-message-size = '9'", "2: max-message-size is \"9\"", "without quotes"),
            (
                "[channel.a]\nslow-consumer = 1",
                "2: slow-consumer is 1",
                "\"disconnect\", \"drop-oldest\" or \"latest\"",
            ),
        ] {
            let error = parse(text).expect_err(text);
            let says = error.starts_with(&format!("--config f.toml:{problem}")) && error.contains(fix);
            assert!(says, "{text:?}: {error}");
        }
    }

    #[test]
    fn the_first_wrong_line_is_told() {
        let error = parse("payload = 'any'\nlisten = 1\necho = 1\n").expect_err("two are wrong");
        assert!(error.starts_with("--config f.toml:2: listen is 1"), "{error}");
    }
}
