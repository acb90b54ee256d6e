//! The figures of a run in the order in which people read them, and the verdict: what the terminal and the page show.

use super::super::outcome::{Faults, Mode, Outcome, Usage};
use super::super::quantity::{self, Quantity};
use super::{GENERATOR_BUSY, QUANTILES};

/// A figure.
#[derive(Debug)]
pub(super) struct Row {
    /// What it belongs to.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) number: String,
    pub(super) unit: String,
    /// What else there is to know about it. May be empty.
    pub(super) note: String,
    /// Whether it is one of the few that one looks for first.
    pub(super) is_headline: bool,
}

/// All figures, those of a section together.
pub(super) fn rows(outcome: &Outcome) -> Vec<Row> {
    let mut rows = throughput(outcome);
    rows.extend(latency(outcome));
    if let Some(usage) = &outcome.server {
        rows.extend(server(outcome, usage));
    }
    rows.extend(generator(outcome));
    rows
}

/// The settings, but for the address, in one line.
pub(super) fn settings(outcome: &Outcome) -> String {
    let settings = outcome.settings.iter().skip(1).map(|(name, value)| format!("{name} {value}"));
    settings.collect::<Vec<_>>().join(", ")
}

/// Where the run went.
pub(super) fn address(outcome: &Outcome) -> &str {
    outcome.settings.first().map_or("", |(_, address)| address)
}

/// That all is well, or what was wrong with what arrived.
///
/// # Errors
/// What was wrong, a line each.
pub(super) fn verdict(outcome: &Outcome) -> Result<&'static str, Vec<String>> {
    let Faults { missing, unexpected, out_of_order, other_orders, connections_lost, stalls } = outcome.faults;
    let faults = [
        (
            missing,
            "message did not reach somebody who was there",
            "messages did not reach somebody who was there",
        ),
        (
            unexpected,
            "message arrived twice, or nobody sent it",
            "messages arrived twice, or nobody sent them",
        ),
        (
            out_of_order,
            "message arrived after a later one of the same publisher",
            "messages arrived after a later one of the same publisher",
        ),
        (
            other_orders,
            "connection saw another order than the first of its channel",
            "connections saw another order than the first of their channel",
        ),
        (connections_lost, "connection was lost or refused", "connections were lost or refused"),
        (
            stalls,
            "time a publisher waited in vain for its own messages and began anew",
            "times a publisher waited in vain for its own messages and began anew",
        ),
    ];
    let wrong = faults.iter().filter(|(count, ..)| *count > 0);
    let wrong: Vec<_> = wrong.map(|(count, one, several)| quantity::count(*count, one, several)).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(match outcome.mode {
        Mode::Echo => "nothing lost, all in order",
        Mode::Broadcast => "nothing lost, one order",
        Mode::Connect => "no handshake failed",
        Mode::Idle => "no connection lost",
    })
}

/// Why the figures may be the generator's rather than the server's.
pub(super) fn warning(outcome: &Outcome) -> Option<String> {
    outcome.is_generator_bound().then(|| {
        let cores = quantity::count(outcome.generator_cores as u64, "core", "cores");
        let percent = GENERATOR_BUSY * 100.0;
        format!("the generator was the limit: it used over {percent:.0} % of its {cores}. Give it more threads or CPUs")
    })
}

fn throughput(outcome: &Outcome) -> Vec<Row> {
    let section = "throughput";
    let window = format!("{:.2} s", outcome.window.as_secs_f64());
    let units = outcome.mode.units();
    if outcome.mode == Mode::Idle {
        return vec![Row {
            section: "connections",
            name: "open",
            number: quantity::whole(outcome.units),
            unit: String::new(),
            note: format!("of {} after {window}", quantity::whole(outcome.connections as u64)),
            is_headline: true,
        }];
    }
    let mut rows = vec![Row {
        section,
        name: units,
        number: quantity::decimal(outcome.units_per_s()),
        unit: "/s".to_owned(),
        note: format!("{} in {window}", quantity::whole(outcome.units)),
        is_headline: true,
    }];
    if outcome.publications > 0 {
        rows.push(Row {
            section,
            name: "published",
            number: quantity::decimal(outcome.publications_per_s()),
            unit: "/s".to_owned(),
            note: quantity::count(outcome.publications, "message", "messages"),
            is_headline: false,
        });
    }
    if outcome.payload_bytes > 0 {
        rows.push(Row {
            section,
            name: "payload",
            number: quantity::decimal(outcome.payload_mb_per_s()),
            unit: "MB/s".to_owned(),
            note: "received".to_owned(),
            is_headline: false,
        });
    }
    rows
}

fn latency(outcome: &Outcome) -> Vec<Row> {
    let latency = &outcome.latency_ns;
    if latency.is_empty() {
        return Vec::new();
    }
    let row = |name, nanoseconds, note, is_headline| {
        let Quantity { number, unit } = quantity::time(nanoseconds);
        Row { section: "latency", name, number, unit: unit.to_owned(), note, is_headline }
    };
    let mut rows: Vec<_> = QUANTILES
        .iter()
        .map(|&(name, quantile)| {
            let note = match (name, outcome.mode) {
                ("p50", Mode::Echo | Mode::Broadcast) => "from when a message was to be sent to its arrival",
                ("p50", Mode::Connect) => "of a handshake, from its beginning to its end",
                _ => "",
            };
            row(name, latency.value_at_quantile(quantile), note.to_owned(), matches!(name, "p50" | "p99"))
        })
        .collect();
    rows.push(row("max", latency.max(), String::new(), false));
    #[expect(clippy::cast_sign_loss, reason = "no latency is negative")]
    let mean = latency.mean().round() as u64;
    rows.push(row(
        "mean",
        mean,
        format!("of {}", quantity::count(latency.len(), "sample", "samples")),
        false,
    ));
    rows
}

fn server(outcome: &Outcome, usage: &Usage) -> Vec<Row> {
    let section = "server";
    let mut rows = vec![cpu(outcome, usage, section, String::new())];
    if let (Some(microseconds), true) = (outcome.cpu_us_per_unit(usage), outcome.mode != Mode::Idle) {
        rows.push(Row {
            section,
            name: "CPU",
            number: quantity::decimal(microseconds),
            unit: format!("µs/{}", outcome.mode.unit()),
            note: format!("{} s per million", quantity::decimal(microseconds)),
            is_headline: true,
        });
    }
    let resident = quantity::bytes(usage.resident_bytes);
    let before = quantity::bytes(usage.resident_before_bytes);
    rows.push(Row {
        section,
        name: "memory",
        number: resident.number,
        unit: resident.unit.to_owned(),
        note: format!("{} before the first connection", before.together()),
        is_headline: false,
    });
    if let Some(bytes) = outcome.bytes_per_connection(usage) {
        rows.push(Row {
            section,
            name: "memory",
            number: quantity::decimal(bytes),
            unit: "B/connection".to_owned(),
            note: String::new(),
            is_headline: true,
        });
    }
    rows
}

fn generator(outcome: &Outcome) -> Option<Row> {
    let usage = &outcome.generator;
    // Where the system does not tell, there is nothing to say.
    (!usage.cpu.is_zero()).then(|| {
        let note = format!("of {} that it had", outcome.generator_cores);
        cpu(outcome, usage, "generator", note)
    })
}

fn cpu(outcome: &Outcome, usage: &Usage, section: &'static str, note: String) -> Row {
    Row {
        section,
        name: "CPU",
        number: quantity::decimal(outcome.cores(usage)),
        unit: "cores".to_owned(),
        note,
        is_headline: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_histogram() {
        let outcome = samples::broadcast();
        let latency = rows(&outcome).into_iter().filter(|row| row.section == "latency");
        let said: Vec<_> = latency.map(|row| format!("{} {} {}", row.name, row.number, row.unit)).collect();
        assert_eq!(
            said,
            ["p50 500 ms", "p90 900 ms", "p99 990 ms", "p99.9 999 ms", "max 1.00 s", "mean 501 ms"]
        );
    }

    #[test]
    fn a_good_run_has_a_verdict_in_the_words_of_its_mode() {
        for (mode, said) in [
            (Mode::Echo, "nothing lost, all in order"),
            (Mode::Broadcast, "nothing lost, one order"),
            (Mode::Connect, "no handshake failed"),
            (Mode::Idle, "no connection lost"),
        ] {
            assert_eq!(verdict(&Outcome { mode, ..samples::broadcast() }), Ok(said));
        }
    }

    #[test]
    fn each_fault_is_said() {
        let faults = Faults {
            missing: 1,
            unexpected: 2,
            out_of_order: 3,
            other_orders: 1,
            connections_lost: 1200,
            stalls: 1,
        };
        let outcome = Outcome { faults, ..samples::broadcast() };
        let wrong = [
            "1 message did not reach somebody who was there",
            "2 messages arrived twice, or nobody sent them",
            "3 messages arrived after a later one of the same publisher",
            "1 connection saw another order than the first of its channel",
            "1,200 connections were lost or refused",
            "1 time a publisher waited in vain for its own messages and began anew",
        ];
        assert_eq!(verdict(&outcome), Err(wrong.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_generator_that_used_over_90_percent_of_its_cores_was_the_limit() {
        let mut outcome = samples::broadcast();
        outcome.generator_cores = 2;
        outcome.generator.cpu = outcome.window.mul_f64(1.79);
        assert_eq!(warning(&outcome), None);
        outcome.generator.cpu = outcome.window.mul_f64(1.81);
        assert_eq!(
            warning(&outcome).as_deref(),
            Some(
                "the generator was the limit: it used over 90 % of its 2 cores. Give it more threads or CPUs"
            )
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let mut outcome = samples::broadcast();
        outcome.server = None;
        outcome.generator.cpu = std::time::Duration::ZERO;
        outcome.latency_ns.reset();
        let sections: Vec<_> = rows(&outcome).iter().map(|row| row.section).collect();
        assert_eq!(sections, ["throughput"; 3]);
    }

    #[test]
    fn a_window_of_no_length_divides_by_nothing() {
        let mut outcome = samples::broadcast();
        outcome.window = std::time::Duration::ZERO;
        assert!(rows(&outcome).iter().all(|row| !row.number.contains("NaN") && !row.number.contains("inf")));
    }
}
