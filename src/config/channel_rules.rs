//! [`ChannelRules`]: what is different in some channels than elsewhere, by patterns of their names.
//!
//! What a channel may be called is not checked here: that is known further up.

use super::{ConfigError, PayloadPolicy, SlowConsumerPolicy};
use std::fmt;

/// A channel's name, or the beginning of names and `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelPattern {
    text: String,
    /// It ended in `*`.
    is_prefix: bool,
}

impl ChannelPattern {
    /// Reads a pattern. `option` is who is to blame if it is none.
    ///
    /// # Errors
    /// If it is empty, or has `*` elsewhere than at its end.
    pub fn parse(option: &'static str, pattern: &str) -> Result<ChannelPattern, ConfigError> {
        let (text, is_prefix) =
            pattern.strip_suffix('*').map_or((pattern, false), |beginning| (beginning, true));
        let wrong =
            |problem: &str, fix: &str| ConfigError::new(option, format!("{pattern:?} {problem}"), fix);
        if pattern.is_empty() {
            return Err(wrong("names no channel", "give a channel's name, or * for all"));
        }
        if text.contains('*') {
            return Err(wrong("has a * that is not at its end", "give a name, or its beginning and one *"));
        }
        Ok(ChannelPattern { text: text.to_owned(), is_prefix })
    }

    /// The name, or the beginning of names: whoever knows what a channel may be called can check it. Empty for `*`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a channel with this name is meant.
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        if self.is_prefix { channel.starts_with(&self.text) } else { channel == self.text }
    }

    /// A name before all beginnings, a longer beginning before a shorter one.
    fn exactness(&self) -> (bool, usize) {
        (!self.is_prefix, self.text.len())
    }
}

/// As it was given.
impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{star}", self.text)
    }
}

/// Who may do something in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everybody who can reach the server.
    Anyone,
    /// Whoever has a token that says so.
    Token,
    /// No client. The operator still may.
    Nobody,
}

impl Access {
    /// All there are.
    pub const ALL: [Access; 3] = [Access::Anyone, Access::Token, Access::Nobody];

    /// What it is called in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Access::Anyone => "anyone",
            Access::Token => "token",
            Access::Nobody => "nobody",
        }
    }

    /// What is called so in options.
    #[must_use]
    pub fn named(name: &str) -> Option<Access> {
        Access::ALL.into_iter().find(|access| access.name() == name)
    }
}

/// What can be different from channel to channel. What is absent is as a less exact pattern says, or as it is everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelSettings {
    /// What may be published.
    pub payload: Option<PayloadPolicy>,
    /// Bytes a message may have; not more than everywhere.
    pub message_bytes_max: Option<usize>,
    /// What becomes of clients that read too slowly.
    pub slow_consumers: Option<SlowConsumerPolicy>,
    /// Who may publish.
    pub publish: Option<Access>,
    /// Who may subscribe.
    pub subscribe: Option<Access>,
}

impl ChannelSettings {
    /// These, and where they say nothing, `others`.
    #[must_use]
    pub fn or(self, others: ChannelSettings) -> ChannelSettings {
        ChannelSettings {
            payload: self.payload.or(others.payload),
            message_bytes_max: self.message_bytes_max.or(others.message_bytes_max),
            slow_consumers: self.slow_consumers.or(others.slow_consumers),
            publish: self.publish.or(others.publish),
            subscribe: self.subscribe.or(others.subscribe),
        }
    }

    /// Whether some setting is in both.
    fn meets(&self, others: &ChannelSettings) -> bool {
        (self.payload.is_some() && others.payload.is_some())
            || (self.message_bytes_max.is_some() && others.message_bytes_max.is_some())
            || (self.slow_consumers.is_some() && others.slow_consumers.is_some())
            || (self.publish.is_some() && others.publish.is_some())
            || (self.subscribe.is_some() && others.subscribe.is_some())
    }
}

/// Settings by pattern. For each setting the most exact pattern that has it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRules {
    /// Invariant: the most exact comes first, and no pattern is there twice.
    rules: Vec<(ChannelPattern, ChannelSettings)>,
}

impl ChannelRules {
    /// Reads one `PATTERN=POLICY` of `--slow-consumer`. The last `=` divides them: channels' names may have some.
    ///
    /// # Errors
    /// If it is not of that form, or the pattern has a policy already.
    pub fn parse_slow_consumer(&mut self, rule: &str) -> Result<(), ConfigError> {
        const OPTION: &str = "--slow-consumer";
        let Some((pattern, policy)) = rule.rsplit_once('=') else {
            let fix = "give PATTERN=POLICY, as ticker-*=latest";
            return Err(ConfigError::new(OPTION, format!("{rule:?} has no policy"), fix));
        };
        let Some(policy) = SlowConsumerPolicy::named(policy) else {
            let fix = "give disconnect, drop-oldest or latest behind the last =";
            return Err(ConfigError::new(OPTION, format!("{rule:?} has an unknown policy"), fix));
        };
        let pattern = ChannelPattern::parse(OPTION, pattern)?;
        let settings = ChannelSettings { slow_consumers: Some(policy), ..ChannelSettings::default() };
        self.add(OPTION, pattern, settings)
    }

    /// Adds settings for the channels that `pattern` means, next to those that it has. `option` is who is to blame if it
    /// cannot be.
    ///
    /// # Errors
    /// If the pattern has one of these settings already.
    pub fn add(
        &mut self,
        option: &'static str,
        pattern: ChannelPattern,
        settings: ChannelSettings,
    ) -> Result<(), ConfigError> {
        if let Some((_, former)) = self.rules.iter_mut().find(|(former, _)| *former == pattern) {
            if former.meets(&settings) {
                let problem = format!("{:?} is given twice", pattern.to_string());
                return Err(ConfigError::new(option, problem, "give each pattern one policy"));
            }
            *former = former.or(settings);
            return Ok(());
        }
        let rank = pattern.exactness();
        let behind = self.rules.partition_point(|(other, _)| other.exactness() > rank);
        self.rules.insert(behind, (pattern, settings));
        Ok(())
    }

    /// All of them, the most exact first.
    pub fn iter(&self) -> impl Iterator<Item = (&ChannelPattern, &ChannelSettings)> {
        self.rules.iter().map(|(pattern, settings)| (pattern, settings))
    }

    /// What is said of a channel, setting by setting.
    #[must_use]
    pub fn settings_for(&self, channel: &str) -> ChannelSettings {
        let matching = self.rules.iter().filter(|(pattern, _)| pattern.matches(channel));
        matching.fold(ChannelSettings::default(), |exact, (_, settings)| exact.or(*settings))
    }

    /// What becomes of clients that read too slowly in a channel.
    #[must_use]
    pub fn slow_consumers_for(&self, channel: &str) -> SlowConsumerPolicy {
        self.settings_for(channel).slow_consumers.unwrap_or_default()
    }

    /// Who may publish in a channel, if that is said.
    #[must_use]
    pub fn publish_for(&self, channel: &str) -> Option<Access> {
        self.settings_for(channel).publish
    }

    /// Who may subscribe to a channel, if that is said.
    #[must_use]
    pub fn subscribe_for(&self, channel: &str) -> Option<Access> {
        self.settings_for(channel).subscribe
    }
}

#[cfg(test)]
mod tests {
    use super::SlowConsumerPolicy::{Disconnect, DropOldest, Latest};
    use super::*;

    fn rules(rules: &[&str]) -> Result<ChannelRules, String> {
        let mut read = ChannelRules::default();
        rules
            .iter()
            .try_for_each(|rule| read.parse_slow_consumer(rule))
            .map_err(|error| error.to_string())?;
        Ok(read)
    }

    fn add(rules: &mut ChannelRules, pattern: &str, settings: ChannelSettings) -> Result<(), ConfigError> {
        rules.add("[channel]", ChannelPattern::parse("[channel]", pattern)?, settings)
    }

    #[test]
    fn without_a_rule_slow_consumers_are_disconnected() {
        assert_eq!(ChannelRules::default().slow_consumers_for("lobby"), Disconnect);
        assert_eq!(rules(&["ticker=latest"]).unwrap().slow_consumers_for("lobby"), Disconnect);
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
                assert_eq!(rules.slow_consumers_for(channel), policy, "{channel}");
            }
            given.reverse();
        }
    }

    #[test]
    fn each_setting_is_that_of_the_most_exact_pattern_that_has_it() {
        let nobody = ChannelSettings { publish: Some(Access::Nobody), ..ChannelSettings::default() };
        let json = ChannelSettings { payload: Some(PayloadPolicy::Json), ..ChannelSettings::default() };
        let small = ChannelSettings { message_bytes_max: Some(100), publish: Some(Access::Anyone), ..json };
        for order in [[0, 1, 2], [2, 1, 0]] {
            let mut rules = ChannelRules::default();
            let given = [("*", nobody), ("ticker-*", json), ("ticker-eur", small)];
            for (pattern, settings) in order.map(|index| given[index]) {
                add(&mut rules, pattern, settings).expect("each pattern once");
            }
            assert_eq!(rules.settings_for("lobby"), nobody);
            assert_eq!(rules.settings_for("ticker-usd"), ChannelSettings { publish: nobody.publish, ..json });
            assert_eq!(rules.settings_for("ticker-eur"), small);
            assert_eq!(rules.publish_for("ticker-eur"), Some(Access::Anyone));
            assert_eq!(rules.subscribe_for("ticker-eur"), None);
            let patterns: Vec<String> = rules.iter().map(|(pattern, _)| pattern.to_string()).collect();
            assert_eq!(patterns, ["ticker-eur", "ticker-*", "*"], "the most exact first");
        }
    }

    #[test]
    fn a_pattern_may_be_given_again_for_other_settings_only() {
        let mut rules = rules(&["a*=latest"]).unwrap();
        let json = ChannelSettings { payload: Some(PayloadPolicy::Json), ..ChannelSettings::default() };
        add(&mut rules, "a*", json).expect("another setting");
        let both = ChannelSettings { slow_consumers: Some(Latest), ..json };
        assert_eq!((rules.settings_for("ab"), rules.iter().count()), (both, 1));
        let error = add(&mut rules, "a*", json).expect_err("the same setting").to_string();
        assert!(error.starts_with("[channel] \"a*\" is given twice: "), "{error}");
    }

    #[test]
    fn a_name_without_a_star_matches_that_channel_only() {
        let rules = rules(&["ticker=latest"]).unwrap();
        assert_eq!(
            (rules.slow_consumers_for("ticker"), rules.slow_consumers_for("ticker-eur")),
            (Latest, Disconnect)
        );
    }

    #[test]
    fn the_last_equals_sign_divides_pattern_and_policy() {
        let rules = rules(&["a=b,c=latest"]).unwrap();
        assert_eq!((rules.slow_consumers_for("a=b,c"), rules.slow_consumers_for("a")), (Latest, Disconnect));
    }

    #[test]
    fn access_is_called_by_its_names_and_no_others() {
        for access in Access::ALL {
            assert_eq!(Access::named(access.name()), Some(access));
        }
        assert_eq!((Access::named("Nobody"), Access::named("")), (None, None));
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
