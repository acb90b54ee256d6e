//! [`Described`]: a configuration with what is to be known about it: where each value came from, and which files it was
//! read from.

use super::{Config, ConfigError};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a server's configuration comes from: it is asked at the start, and again whenever the server is to reload.
pub type ConfigSource = Arc<dyn Fn() -> Result<Described, ConfigError> + Send + Sync>;

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Described {
    /// What the server is told.
    pub config: Config,
    /// The same as an operator says it, option by option. Whoever makes up a configuration need not describe it.
    pub settings: Vec<Setting>,
    /// Files that were read for it: when one changes, the configuration is to be read again.
    pub files: Vec<PathBuf>,
}

impl From<Config> for Described {
    fn from(config: Config) -> Self {
        Described { config, settings: Vec::new(), files: Vec::new() }
    }
}

impl ConfigError {
    /// The same error, with the place where the option that it blames was said, if that is a file or a variable.
    #[must_use]
    pub fn located(self, settings: &[Setting]) -> ConfigError {
        let option = self.option.strip_prefix("--").or_else(|| self.option.strip_prefix("[channel] "));
        let is_blamed =
            |setting: &&Setting| setting.channel == self.channel && option == Some(setting.option.as_str());
        match settings.iter().find(is_blamed).map(|setting| &setting.source) {
            Some(source @ (Source::File(..) | Source::Environment(_))) => {
                ConfigError { problem: format!("({source}) {}", self.problem), ..self }
            }
            _ => self,
        }
    }
}

/// One option with its value. No secret stands in one: those are given as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The pattern whose channels it is for; absent if it is for the whole server.
    pub channel: Option<String>,
    /// The option's name as it stands in a file: `max-message-size`.
    pub option: String,
    /// Its value, in a form that is JSON and TOML alike; absent if there is none.
    pub value: Option<String>,
    /// Who said so.
    pub source: Source,
}

/// Where a value came from. Displayed, it is what an operator looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag,
    /// This environment variable.
    Environment(String),
    /// This line of a file, counted from 1.
    File(PathBuf, usize),
    /// Nobody said anything.
    Default,
    /// Nobody said anything, and the default depends on other options or on the machine.
    Computed,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Environment(variable) => write!(f, "environment {variable}"),
            Source::File(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Default => f.write_str("default"),
            Source::Computed => f.write_str("default, computed"),
        }
    }
}
