//! [`Record`]: a line of the file that results are kept in, one JSON object each.

use crate::measurement::Measurement;
use crate::server::Server;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Record {
    Session(Session),
    Trial(Trial),
}

/// Where and how the trials behind it were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Day and time, UTC.
    pub(crate) begun: String,
    /// Processor, cores and memory.
    pub(crate) machine: String,
    pub(crate) kernel: String,
    /// The generator, and what each server is and runs on.
    pub(crate) versions: Vec<(String, String)>,
    /// Who could not take part, and why.
    pub(crate) left_out: Vec<(String, String)>,
    pub(crate) warmup_s: f64,
    pub(crate) window_s: f64,
}

/// One server under one load, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// From 1.
    pub(crate) run: u32,
    pub(crate) case: String,
    pub(crate) server: Server,
    /// Cores that processes other than the server and the generator kept busy meanwhile.
    pub(crate) other_cores: f64,
    /// What was found, or why nothing was.
    pub(crate) result: Result<Measurement, String>,
}

/// Reads a file of records.
///
/// # Errors
///
/// A sentence that says which line is wrong, and how.
fn read(text: &str) -> Result<Vec<Record>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let records = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
    });
    records.collect()
}

/// Reads files of records: the sessions and the trials in them.
///
/// # Errors
///
/// A sentence that says which file cannot be read, and why.
pub(crate) fn kept(files: &[PathBuf]) -> Result<(Vec<Session>, Vec<Trial>), String> {
    let (mut sessions, mut trials) = (Vec::new(), Vec::new());
    for file in files {
        let said = |error: String| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
        for record in read(&text).map_err(said)? {
            match record {
                Record::Session(session) => sessions.push(session),
                Record::Trial(trial) => trials.push(trial),
            }
        }
    }
    Ok((sessions, trials))
}

/// A record as a line, with its end.
pub(crate) fn line(record: &Record) -> String {
    // It has no map whose keys are not strings, which is what could fail.
    serde_json::to_string(record).expect("a record is JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let trial = |result| Trial {
            run: 1,
            case: "echo-32".to_owned(),
            server: Server::FanwireTwo,
            other_cores: 0.02,
            result,
        };
        let records = vec![
            Record::Session(Session { begun: "2026-11-23 05:00".to_owned(), ..Session::default() }),
            Record::Trial(trial(Ok(Measurement { units_per_s: 1.5, ..Measurement::default() }))),
            Record::Trial(trial(Err("it did not start".to_owned()))),
        ];
        let text: String = records.iter().map(line).collect();
        assert_eq!(text.lines().count(), 3);
        assert_eq!(read(&text), Ok(records));
    }

    #[test]
    fn an_error_says_in_which_line_it_is() {
        let text = line(&Record::Session(Session::default())) + "{}\n";
        assert!(read(&text).unwrap_err().starts_with("line 2: "));
    }
}
