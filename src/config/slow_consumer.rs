//! What becomes of a client that reads too slowly: a [`SlowConsumerPolicy`], chosen for each channel by
//! [`SlowConsumerRules`].
//!
//! When a client counts as slow is not said here: that is when its socket is full and it lags over the outbox limit.

use super::ConfigError;
use std::fmt;

/// The option that all errors here are about.
const OPTION: &str = "--slow-consumer";

/// What is done about a client whose socket is full and who lags over the outbox limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowConsumerPolicy {
    /// It is closed with 1008. Who stays has every message.
    #[default]
    Disconnect,
    /// It loses the oldest messages that it has not been sent, as many as it takes to be within the limit again.
    DropOldest,
    /// It loses all messages that it has not been sent but the newest.
    Latest,
}

impl SlowConsumerPolicy {
    /// Every policy there is.
    pub const ALL: [SlowConsumerPolicy; 3] =
        [SlowConsumerPolicy::Disconnect, SlowConsumerPolicy::DropOldest, SlowConsumerPolicy::Latest];

    /// What the policy is called in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SlowConsumerPolicy::Disconnect => "disconnect",
            SlowConsumerPolicy::DropOldest => "drop-oldest",
            SlowConsumerPolicy::Latest => "latest",
        }
    }

    fn named(name: &str) -> Option<SlowConsumerPolicy> {
        SlowConsumerPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// Which policy is for which channels. Without a rule that matches it is [`SlowConsumerPolicy::Disconnect`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowConsumerRules {
    /// Invariant: the most exact comes first, and no pattern is there twice.
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// A channel's name, or what it begins with.
    text: String,
    /// It ended in `*`.
    is_prefix: bool,
    policy: SlowConsumerPolicy,
}

impl Rule {
    fn matches(&self, channel: &str) -> bool {
        if self.is_prefix { channel.starts_with(&self.text) } else { channel == self.text }
    }
}

/// As options say it, the most exact first.
impl fmt::Display for SlowConsumerRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Rule { text, is_prefix, policy }) in self.rules.iter().enumerate() {
            let (comma, star) = (if index > 0 { ", " } else { "" }, if *is_prefix { "*" } else { "" });
            write!(f, "{comma}{text}{star}={}", policy.name())?;
        }
        Ok(())
    }
}

impl SlowConsumerRules {
    /// Reads one `PATTERN=POLICY`. The last `=` divides them: channels' names may have some. What a pattern may be says
    /// [`add`](Self::add).
    ///
    /// # Errors
    /// If it is not of that form, or cannot be added.
    pub fn parse(&mut self, rule: &str) -> Result<(), ConfigError> {
        let Some((pattern, policy)) = rule.rsplit_once('=') else {
            let fix = "give PATTERN=POLICY, as ticker-*=latest";
            return Err(ConfigError::new(OPTION, format!("{rule:?} has no policy"), fix));
        };
        let Some(policy) = SlowConsumerPolicy::named(policy) else {
            let fix = "give disconnect, drop-oldest or latest behind the last =";
            return Err(ConfigError::new(OPTION, format!("{rule:?} has an unknown policy"), fix));
        };
        self.add(pattern, policy)
    }

    /// Adds a policy for the channels that `pattern` matches: a channel's name, or the beginning of names and `*`. The
    /// longest pattern that matches a channel decides, and its very name before all.
    ///
    /// # Errors
    /// If the pattern is empty, has `*` elsewhere than at its end, or is there already.
    pub fn add(&mut self, pattern: &str, policy: SlowConsumerPolicy) -> Result<(), ConfigError> {
        let (text, is_prefix) =
            pattern.strip_suffix('*').map_or((pattern, false), |beginning| (beginning, true));
        let wrong =
            |problem: &str, fix: &str| ConfigError::new(OPTION, format!("{pattern:?} {problem}"), fix);
        if pattern.is_empty() {
            return Err(wrong("names no channel", "give a channel's name, or * for all"));
        }
        if text.contains('*') {
            return Err(wrong("has a * that is not at its end", "give a name, or its beginning and one *"));
        }
        let exactness = |text: &str, is_prefix: bool| (!is_prefix, text.len());
        let rank = exactness(text, is_prefix);
        if self.rules.iter().any(|rule| rule.text == text && rule.is_prefix == is_prefix) {
            return Err(wrong("is given twice", "give each pattern one policy"));
        }
        let behind = self.rules.partition_point(|rule| exactness(&rule.text, rule.is_prefix) > rank);
        self.rules.insert(behind, Rule { text: text.to_owned(), is_prefix, policy });
        Ok(())
    }

    /// What the names, or beginnings of names, are: whoever knows what a channel may be called can check them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.text.as_str())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The policy for a channel.
    #[must_use]
    pub fn policy_for(&self, channel: &str) -> SlowConsumerPolicy {
        self.rules.iter().find(|rule| rule.matches(channel)).map_or_else(Default::default, |rule| rule.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::SlowConsumerPolicy::{Disconnect, DropOldest, Latest};
    use super::*;

    fn rules(rules: &[&str]) -> Result<SlowConsumerRules, String> {
        let mut read = SlowConsumerRules::default();
        rules.iter().try_for_each(|rule| read.parse(rule)).map_err(|error| error.to_string())?;
        Ok(read)
    }

    #[test]
    fn without_a_rule_slow_consumers_are_disconnected() {
        assert_eq!(SlowConsumerRules::default().policy_for("lobby"), Disconnect);
        assert_eq!(rules(&["ticker=latest"]).unwrap().policy_for("lobby"), Disconnect);
    }

    #[test]
    fn rules_are_said_as_options_say_them() {
        let given = rules(&["log-*=drop-oldest", "a=b=latest", "*=disconnect"]).unwrap();
        assert_eq!(given.to_string(), "a=b=latest, log-*=drop-oldest, *=disconnect");
    }

    #[test]
    fn the_longest_pattern_that_matches_wins_in_whatever_order_they_are_given() {
        let mut given = ["*=drop-oldest", "ticker-*=latest", "ticker-eur*=disconnect", "ticker-eur=latest"];
        for _ in 0..2 {
            let rules = rules(&given).unwrap();
            for (channel, policy) in [
                ("lobby", DropOldest),
                ("ticker", DropOldest),
                ("ticker-", Latest),
                ("ticker-usd", Latest),
                ("ticker-euro", Disconnect),
                ("ticker-eur", Latest),
            ] {
                assert_eq!(rules.policy_for(channel), policy, "{channel}");
            }
            given.reverse();
        }
    }

    #[test]
    fn a_name_without_a_star_matches_that_channel_only() {
        let rules = rules(&["ticker=latest"]).unwrap();
        assert_eq!((rules.policy_for("ticker"), rules.policy_for("ticker-eur")), (Latest, Disconnect));
    }

    #[test]
    fn the_last_equals_sign_divides_pattern_and_policy() {
        let rules = rules(&["a=b,c=latest"]).unwrap();
        assert_eq!((rules.policy_for("a=b,c"), rules.policy_for("a")), (Latest, Disconnect));
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_an_error_that_names_the_option_and_the_fix() {
        for (wrong, problem, fix) in [
            (&["ticker"][..], "has no policy", "PATTERN=POLICY"),
            (&["ticker=newest"], "unknown policy", "disconnect, drop-oldest or latest"),
            (&["ticker=Latest"], "unknown policy", "disconnect, drop-oldest or latest"),
            (&["=latest"], "names no channel", "* for all"),
            (&["a*b=latest"], "not at its end", "one *"),
            (&["**=latest"], "not at its end", "one *"),
            (&["a*=latest", "a*=drop-oldest"], "given twice", "one policy"),
        ] {
            let error = rules(wrong).expect_err("it cannot be used");
            let says =
                error.starts_with("--slow-consumer ") && error.contains(problem) && error.contains(fix);
            assert!(says, "{error}");
        }
        assert!(rules(&["a=latest", "a*=drop-oldest"]).is_ok(), "a name and a beginning are two patterns");
    }
}
