//! Rules for channels, by `--slow-consumer` and by the sections of a file.

use crate::cli::file::File;
use crate::cli::sources::locate;
use fanwire::config::{ChannelRules, ConfigError, Setting, Source};
use fanwire::hub::ChannelName;

/// What is said of channels, by `--slow-consumer` and by the file's sections. Of two that say the same of one pattern, a
/// flag or the environment wins over the file, whose setting is taken out of `settings` then.
pub(super) fn channel_rules(
    slow_consumers: &[String],
    file: Option<&File>,
    settings: &mut Vec<Setting>,
) -> Result<ChannelRules, ConfigError> {
    let mut rules = ChannelRules::default();
    let mut given = slow_consumers.iter().flat_map(|rules| rules.split_whitespace());
    given.try_for_each(|rule| rules.parse_slow_consumer(rule)).map_err(|error| locate(settings, error))?;
    for text in rules.iter().map(|(pattern, _)| pattern.text()).filter(|text| !text.is_empty()) {
        if let Err(error) = ChannelName::new(text) {
            let problem = format!("{text:?} matches no channel ({error})");
            let fix = "give the name of a channel, or its beginning and *";
            return Err(locate(settings, ConfigError::new("--slow-consumer", problem, fix)));
        }
    }
    let Some(file) = file else { return Ok(rules) };
    let are_both_in_file = settings.iter().any(|setting| {
        setting.option == "slow-consumer"
            && setting.channel.is_none()
            && matches!(setting.source, Source::File(..))
    });
    for section in &file.sections {
        let mut said = section.settings;
        let is_overridden =
            rules.iter().any(|(pattern, rule)| *pattern == section.pattern && rule.slow_consumers.is_some());
        if is_overridden && said.slow_consumers.is_some() && !are_both_in_file {
            said.slow_consumers = None;
            let pattern = section.pattern.to_string();
            settings.retain(|setting| {
                setting.channel.as_ref() != Some(&pattern) || setting.option != "slow-consumer"
            });
        }
        rules.add("--config", section.pattern.clone(), said).map_err(|error| file.blame(section, error))?;
    }
    Ok(rules)
}
