//! `fanwire check`: reads all that `fanwire serve` would read, and says what comes of it, as a file that can be used.

use super::sources::Sources;
use super::{EXIT_USAGE, output, serve, variables};
use fanwire::config::{Setting, Source};
use fanwire::server::Server;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

/// The column in which the places begin where values come from.
const COLUMN: usize = 44;

/// Prints the effective configuration, or what is wrong with it.
pub(crate) fn run(sources: &Sources) -> ExitCode {
    // Warnings and errors are those of `serve`, without what only a log needs.
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(LevelFilter::WARN);
    log.with_target(false).without_time().with_ansi(false).init();
    variables::warn_of_misspelt();
    let described = serve::describe(sources).and_then(|described| {
        Server::check(described.clone())?;
        Ok(described)
    });
    match described {
        Ok(described) => output::print(toml(&described.settings), ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// A file that says the same. What depends on the machine or on other options stands in it as a comment, so that it goes
/// on doing so.
fn toml(settings: &[Setting]) -> String {
    let mut text = String::from("# What `fanwire serve` is told, and where it comes from.\n");
    let mut section: Option<&str> = None;
    for Setting { channel, option, value, source } in settings {
        if let Some(channel) = channel.as_deref()
            && section.replace(channel) != Some(channel)
        {
            let _ = write!(text, "\n[channel.{}]\n", serde_json::Value::from(channel));
        }
        let hash = if *source == Source::Computed { "# " } else { "" };
        let line = match value {
            Some(value) => format!("{hash}{option} = {value}"),
            None => format!("# {option} is not set"),
        };
        let _ = writeln!(text, "{line:COLUMN$} # {source}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_stands_with_its_place_and_what_is_computed_only_as_a_comment() {
        let setting = |channel: Option<&str>, option: &str, value: Option<&str>, source| Setting {
            channel: channel.map(str::to_owned),
            option: option.to_owned(),
            value: value.map(str::to_owned),
            source,
        };
        let text = toml(&[
            setting(None, "workers", Some("2"), Source::Computed),
            setting(None, "payload", Some("\"json\""), Source::Flag),
            setting(None, "tls-cert", None, Source::Default),
            setting(Some("a*"), "publish", Some("\"nobody\""), Source::File("f.toml".into(), 7)),
            setting(Some("a*"), "payload", Some("\"any\""), Source::File("f.toml".into(), 8)),
        ]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "# workers = 2                                # default, computed",
                "payload = \"json\"                             # flag",
                "# tls-cert is not set                        # default",
                "",
                "[channel.\"a*\"]",
                "publish = \"nobody\"                           # f.toml:7",
                "payload = \"any\"                              # f.toml:8",
            ]
        );
    }
}
