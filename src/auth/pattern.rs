//! [`Patterns`]: the channels that a claim names, as rules in the configuration name theirs.

use crate::config::ChannelPattern;
use serde_json::Value;

/// Channels by name, or by the beginning of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<ChannelPattern>);

impl Patterns {
    /// Reads a claim: a pattern, or a list of them; none if it is absent or `null`. `None` if it is anything else.
    pub(super) fn read(claim: Option<&Value>) -> Option<Patterns> {
        let read = |pattern: &Value| ChannelPattern::parse("token", pattern.as_str()?).ok();
        let patterns = match claim {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.iter().map(read).collect::<Option<_>>()?,
            Some(one) => vec![read(one)?],
        };
        Some(Patterns(patterns))
    }

    /// Whether one of them names this channel.
    #[must_use]
    pub fn cover(&self, channel: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(channel))
    }
}
