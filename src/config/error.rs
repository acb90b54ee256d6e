//! [`ConfigError`]: what is wrong with an option, and what to do about it.

use super::ChannelPattern;
use std::fmt;

/// An option that cannot be used as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The option as it is written on the command line.
    pub option: &'static str,
    /// The pattern of the section that it stands in; absent if it is for the whole server.
    pub channel: Option<String>,
    /// What is wrong with it, to be read after its name.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

impl ConfigError {
    /// An error in `option`; `problem` is read after the option's name, `fix` after a colon.
    pub fn new(option: &'static str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        ConfigError { option, channel: None, problem: problem.into(), fix: fix.into() }
    }

    /// The same error in the section of `pattern`.
    #[must_use]
    pub fn in_section(self, pattern: &ChannelPattern) -> Self {
        ConfigError { channel: Some(pattern.to_string()), ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.option, self.problem, self.fix)
    }
}

impl std::error::Error for ConfigError {}
