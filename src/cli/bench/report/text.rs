//! The summary for a terminal.

use super::super::outcome::Outcome;
use super::summary;

/// Where a line of settings is broken.
const LINE_CHARS: usize = 80;

/// What was asked, what came of it, and whether all was well, as lines for a terminal.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut lines = vec![format!("fanwire bench {} {}", outcome.mode.name(), summary::address(outcome))];
    lines.extend(folded(&summary::settings(outcome)).iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(table(&summary::rows(outcome)));
    lines.push(String::new());
    lines.extend(summary::warning(outcome).map(|warning| format!("WARNING: {warning}.")));
    match summary::verdict(outcome) {
        Ok(good) => lines.push(format!("ok: {good}")),
        Err(faults) => lines.extend(faults.iter().map(|fault| format!("WRONG: {fault}"))),
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The settings in lines, broken behind commas.
fn folded(settings: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for setting in settings.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if line.chars().count() + setting.trim_end().chars().count() <= LINE_CHARS => {
                line.push_str(setting);
            }
            _ => lines.push(setting.to_owned()),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Numbers stand below each other, the name of a section at its first row.
fn table(rows: &[summary::Row]) -> Vec<String> {
    let width = |cell: fn(&summary::Row) -> &str| {
        rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or_default()
    };
    let [section_width, name_width, number_width, unit_width] =
        [width(|row| row.section), width(|row| row.name), width(|row| &row.number), width(|row| &row.unit)];
    let mut last_section = "";
    let lines = rows.iter().map(|row| {
        let section = if row.section == last_section { "" } else { row.section };
        last_section = row.section;
        let line = format!(
            "{section:section_width$}  {:name_width$}  {:>number_width$} {:unit_width$}  {}",
            row.name, row.number, row.unit, row.note
        );
        line.trim_end().to_owned()
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::Faults;
    use super::super::samples;
    use super::*;

    #[test]
    fn a_broadcast_is_summed_up_at_a_glance() {
        assert_eq!(
            text(&samples::broadcast()),
            "\
fanwire bench broadcast ws://127.0.0.1:8080/ws
  connections 1000, window 8

throughput  deliveries  4,000,000 /s           8,000,000 in 2.00 s
            published       4,000 /s           8,000 messages
            payload         2,048 MB/s         received
latency     p50               500 ms           from when a message was to be sent to its arrival
            p90               900 ms
            p99               990 ms
            p99.9             999 ms
            max              1.00 s
            mean              501 ms           of 1,000 samples
server      CPU             0.800 cores
            CPU             0.200 µs/delivery  0.200 s per million
            memory           24.0 MB           3.00 MB before the first connection
generator   CPU             0.750 cores        of 1 that it had

ok: nothing lost, one order
"
        );
    }

    #[test]
    fn idle_connections_have_a_size_and_no_throughput() {
        assert_eq!(
            text(&samples::idle()),
            "\
fanwire bench idle ws://127.0.0.1:8080/ws
  connections 1000, window 8

connections  open     19,999               of 20,000 after 5.00 s
server       CPU     0.00200 cores
             memory     10.0 MB            4.00 MB before the first connection
             memory      300 B/connection
generator    CPU       0.300 cores         of 1 that it had

WRONG: 1 connection was lost or refused
"
        );
    }

    #[test]
    fn what_was_wrong_is_said_line_by_line_after_the_warning() {
        let mut outcome = samples::broadcast();
        outcome.generator.cpu = outcome.window;
        outcome.faults = Faults { missing: 3, stalls: 2, ..Faults::default() };
        let text = text(&outcome);
        let end = text.split_once("that it had\n\n").expect("a table").1;
        assert_eq!(
            end,
            "\
WARNING: the generator was the limit: it used over 90 % of its 1 core. Give it more threads or CPUs.
WRONG: 3 messages did not reach somebody who was there
WRONG: 2 times a publisher waited in vain for its own messages and began anew
"
        );
    }

    #[test]
    fn many_settings_are_broken_into_lines() {
        let setting = ("connections", "1000".to_owned());
        let mut outcome = samples::broadcast();
        outcome.settings.extend(vec![setting; 5]);
        let text = text(&outcome);
        let lines: Vec<_> = text.lines().skip(1).take_while(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= LINE_CHARS + 2), "{lines:?}");
        assert!(lines[0].ends_with("connections 1000,"), "{lines:?}");
    }

    #[test]
    fn nothing_asked_and_nothing_measured_still_has_a_summary() {
        let mut outcome = samples::idle();
        outcome.settings.clear();
        outcome.connections = 0;
        assert!(text(&outcome).starts_with("fanwire bench idle \n\nconnections"));
    }
}
