//! Writes results as markdown: all cases in one table, then the bars, then a table a case.

use crate::bar::{self, Verdict};
use crate::case::Case;
use crate::load::Merit;
use crate::record::Session;
use crate::results::{self, Finding, Results, Spread};
use crate::server::Server;
use std::fmt::Write;
use std::ops::Range;

/// All that there is to say about the results of some sessions.
pub(crate) fn report(sessions: &[Session], results: &Results) -> String {
    let mut text = String::new();
    for session in sessions {
        text += &preface(session);
    }
    text += &overview(results);
    text += &bars(results);
    for (case, findings) in &results.cases {
        text += &details(case, findings);
    }
    text
}

/// Where and how a session was held.
pub(crate) fn preface(session: &Session) -> String {
    let Session { begun, machine, kernel, versions, left_out, warmup_s, window_s } = session;
    let versions: Vec<_> = versions.iter().map(|(name, version)| format!("{name}: {version}")).collect();
    let mut text = format!(
        "Measured {begun} UTC on {machine}, Linux {kernel}; server and generator on a core each, over 127.0.0.1; \
         a fresh server for each run, interleaved, {window_s} s each after {warmup_s} s of warm-up.\n\n{}.\n\n",
        versions.join("; ")
    );
    for (name, reason) in left_out {
        writeln!(text, "Left out: {name} ({reason}).\n").expect("a String takes all");
    }
    text
}

// ---- All cases --------------------------------------------------------------------------------------------------

fn overview(results: &Results) -> String {
    let servers: Vec<_> = Server::PEERS.into_iter().filter(|server| is_anywhere(*server, results)).collect();
    let names = servers.iter().map(|server| server.name().to_owned());
    let mut table =
        Table::new(["case".to_owned(), "fanwire".to_owned()].into_iter().chain(names), 1..2 + servers.len());
    for (case, findings) in &results.cases {
        let merit = case.load.merit();
        let ours = results::of(findings, Server::Fanwire).and_then(|finding| finding.merit(merit));
        let cells = servers.iter().map(|server| {
            let theirs = results::of(findings, *server).and_then(|finding| finding.merit(merit));
            match (ours, theirs) {
                (_, None) => "–".to_owned(),
                (None, Some(theirs)) => amount(merit, theirs.median),
                (Some(ours), Some(theirs)) => {
                    let ratio = results::ratio(merit, ours.median, theirs.median);
                    format!("{} ({})", amount(merit, theirs.median), times(ratio))
                }
            }
        });
        let ours = ours.map_or("–".to_owned(), |ours| amount(merit, ours.median));
        let title = format!("{}: {}", case.title, heading(case));
        table.row([title, ours].into_iter().chain(cells));
    }
    format!(
        "### All cases\n\nMedians; in parentheses how many times as good fanwire is (as fast, or with as little CPU or \
         memory).\n\n{}\n",
        table.text
    )
}

fn is_anywhere(server: Server, results: &Results) -> bool {
    results.cases.iter().any(|(_, findings)| results::of(findings, server).is_some())
}

/// What the figures of a case are.
fn heading(case: &Case) -> String {
    match case.load.merit() {
        Merit::Speed => format!("{}/s", case.load.unit()),
        Merit::Cpu => format!("µs of CPU for each of the {}", case.load.unit()),
        Merit::Memory => "bytes each".to_owned(),
    }
}

fn amount(merit: Merit, value: f64) -> String {
    match merit {
        Merit::Speed | Merit::Memory => grouped(value),
        Merit::Cpu => format!("{value:.2}"),
    }
}

// ---- The bars ---------------------------------------------------------------------------------------------------

fn bars(results: &Results) -> String {
    let mut table = Table::new(["case", "asked of fanwire", "found", "verdict"].map(str::to_owned), 2..3);
    for (case, findings) in &results.cases {
        for bar in case.bars.iter().filter(|bar| results::of(findings, bar.of).is_some()) {
            let mut title = case.title.to_owned();
            if bar.of == Server::FanwireTwo {
                title += "; two workers";
            }
            let (found, verdict) = match bar::judge(bar, case.load, findings) {
                Some(verdict) => (verdict.found.clone(), said(&verdict)),
                None => ("–".to_owned(), "not measured".to_owned()),
            };
            table.row([title, bar.test.asked(case.load), found, verdict]);
        }
    }
    let faulty = results.cases.iter().filter_map(|(case, findings)| {
        let ours = findings.iter().filter(|finding| finding.server.is_fanwire());
        let faults: Vec<_> = ours.map(faults).filter(|faults| faults != "0").collect();
        (!faults.is_empty()).then(|| format!("{}: {}", case.name, faults.join(", ")))
    });
    let faulty: Vec<_> = faulty.collect();
    let (found, verdict) =
        if faulty.is_empty() { ("nothing".to_owned(), "**met**") } else { (faulty.join("; "), "missed") };
    table.row(["all".to_owned(), "nothing lost or out of order".to_owned(), found, verdict.to_owned()]);
    format!("### Bars\n\n{}\n", table.text)
}

/// A verdict in words: by how much the bar is met or missed.
fn said(verdict: &Verdict) -> String {
    let Verdict { margin, is_within_noise, .. } = verdict;
    let noise = if *is_within_noise { ", within noise" } else { "" };
    if *margin >= 1.0 {
        format!("**met**, {margin:.2}× of what is asked{noise}")
    } else {
        format!("missed, {margin:.2}× of what is asked{noise}")
    }
}

// ---- One case ---------------------------------------------------------------------------------------------------

fn details(case: &Case, findings: &[Finding]) -> String {
    let merit = case.load.merit();
    let mut findings: Vec<_> = findings.iter().collect();
    findings.sort_by(|one, other| {
        let key = |finding: &Finding| finding.merit(merit).map(|merit| merit.median);
        match (key(one), key(other)) {
            // The better one first.
            (Some(one), Some(other)) if merit == Merit::Speed => other.total_cmp(&one),
            (Some(one), Some(other)) => one.total_cmp(&other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        }
    });
    let ours = findings.iter().find(|finding| finding.server == Server::Fanwire);
    let ours = ours.and_then(|finding| finding.merit(merit));

    let unit = case.load.unit();
    let mut columns = vec!["server".to_owned()];
    if merit == Merit::Memory {
        columns.extend(["bytes each (min–max)", "fanwire's", "resident before, MB"].map(str::to_owned));
    } else {
        columns.push(format!("{unit}/s (min–max)"));
        columns.push(if merit == Merit::Cpu { "CPU, fanwire's" } else { "fanwire's" }.to_owned());
        let rest = [
            "CPU s per million",
            "server, cores",
            "generator, cores",
            "p50, ms (min–max)",
            "p99, ms (min–max)",
        ];
        columns.extend(rest.map(str::to_owned));
    }
    columns.extend(["wrong", "notes"].map(str::to_owned));

    // The last two columns are words.
    let numbers = 1..columns.len() - 2;
    let mut table = Table::new(columns, numbers);
    for finding in findings {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let theirs = finding.merit(merit);
        let ratio =
            ours.zip(theirs).map(|(ours, theirs)| times(results::ratio(merit, ours.median, theirs.median)));
        let median =
            |spread: Option<Spread>, digits| or_dash(spread.map(|it| format!("{:.digits$}", it.median)));
        let mut row = vec![finding.server.name().to_owned()];
        if merit == Merit::Memory {
            let before = finding.spread(|it| Some(it.server.resident_before_bytes / 1e6));
            row.extend([or_dash(theirs.map(|it| range(it, grouped))), or_dash(ratio), median(before, 1)]);
        } else {
            row.extend([
                or_dash(finding.speed().map(|it| range(it, grouped))),
                or_dash(ratio),
                median(finding.cpu(), 3),
                median(finding.spread(|it| Some(it.server.cores)), 2),
                median(finding.spread(|it| Some(it.generator.cores)), 2),
                or_dash(finding.p50_ms().map(|it| range(it, milliseconds))),
                or_dash(finding.p99_ms().map(|it| range(it, milliseconds))),
            ]);
        }
        row.extend([faults(finding), finding.notes.join("; ")]);
        table.row(row);
    }
    format!("### {}: {}\n\n{}\n", case.name, case.title, table.text)
}

/// What was lost or out of order.
pub(crate) fn faults(finding: &Finding) -> String {
    let faults: Vec<_> = finding.faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if faults.is_empty() { "0".to_owned() } else { faults.join(", ") }
}

// ---- Cells ------------------------------------------------------------------------------------------------------

/// A markdown table that grows row by row.
pub(crate) struct Table {
    pub(crate) text: String,
}

impl Table {
    /// The cells of these columns are numbers and stand at the right.
    pub(crate) fn new(columns: impl IntoIterator<Item = String>, numbers: Range<usize>) -> Self {
        let columns: Vec<_> = columns.into_iter().collect();
        let rules =
            (0..columns.len()).map(|index| if numbers.contains(&index) { "---:" } else { "---" }.to_owned());
        let rules: Vec<_> = rules.collect();
        let mut table = Self { text: String::new() };
        table.row(columns);
        table.row(rules);
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| cell.replace('|', "/").replace('\n', " "));
        let cells: Vec<_> = cells.collect();
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("a String takes all");
    }
}

fn range(spread: Spread, number: impl Fn(f64) -> String) -> String {
    format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}×") } else { format!("{ratio:.2}×") }
}

/// A whole number with commas between thousands.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Milliseconds with about two digits.
pub(crate) fn milliseconds(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Trial;
    use crate::results::tests::trial;

    fn results() -> Results {
        let speeds = [(Server::Bun, 100_000.0), (Server::Fanwire, 350_000.0), (Server::Gorilla, 12_000.0)];
        let trials = speeds.map(|(server, speed)| trial("broadcast-1000", server, 1, speed));
        Results::new(&trials)
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0.0, 999.4, 1000.0, 12_345.6, 1_234_567.0, -1500.0].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,346", "1,234,567", "-1,500"]);
    }

    #[test]
    fn milliseconds_and_ratios_have_the_digits_that_matter() {
        assert_eq!([0.617, 4.72, 31.4].map(milliseconds), ["0.62", "4.7", "31"]);
        assert_eq!([0.987, 3.5, 20.4].map(times), ["0.99×", "3.50×", "20×"]);
    }

    #[test]
    fn the_overview_shows_ratios_beside_the_peers() {
        let text = overview(&results());
        let row = "| 1,000 subscribers, 1 publisher, window 16, 128 B: deliveries/s | 350,000 | 100,000 (3.50×) | 12,000 (29×) |";
        assert!(
            text.contains("| case | fanwire | bun | gorilla |\n| --- | ---: | ---: | ---: |\n"),
            "{text}"
        );
        assert!(text.lines().any(|line| line == row), "{text}");
    }

    #[test]
    fn a_case_shows_the_best_first() {
        let text = report(&[], &results());
        let at = |name: &str| text.find(&format!("\n| {name} |")).unwrap();
        assert!(at("fanwire") < at("bun") && at("bun") < at("gorilla"), "{text}");
        let row = "| bun | 100,000 (100,000–100,000) | 3.50× | 1.000 | 0.99 | 0.00 | 1.5 (1.5–1.5) | 4.0 (4.0–4.0) | 0 |  |";
        assert!(text.lines().any(|line| line == row), "{text}");
    }

    #[test]
    fn the_bars_say_by_how_much() {
        let text = bars(&results());
        assert!(text.contains("| ≥ 3× bun | 3.50× | **met**, 1.17× of what is asked |"), "{text}");
        assert!(text.contains("| all | nothing lost or out of order | nothing | **met** |"), "{text}");
    }

    #[test]
    fn what_fanwire_lost_misses_a_bar() {
        let mut lost = trial("echo-32", Server::Fanwire, 1, 1.0);
        lost.result.as_mut().unwrap().faults.missing = 2;
        let text = bars(&Results::new(&[lost]));
        assert!(
            text.contains("| all | nothing lost or out of order | echo-32: 2 missing | missed |"),
            "{text}"
        );
    }

    #[test]
    fn a_server_that_never_ran_is_shown_with_the_reason() {
        let failed =
            Trial { result: Err("exit | code\n1".to_owned()), ..trial("echo-32", Server::Bun, 1, 1.0) };
        let text = report(&[], &Results::new(&[failed]));
        assert!(
            text.contains(
                "| bun | – | – | – | – | – | – | – | 1 failed | 1 of 1 runs failed: exit / code 1 |"
            ),
            "{text}"
        );
    }
}
