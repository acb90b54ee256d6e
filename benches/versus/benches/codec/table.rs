//! The cases as a table in markdown: medians of rounds in which the libraries take turns.
//!
//! What is measured is the CPU time of this thread, so that others on the machine steal from no library's account.

#![allow(clippy::cast_precision_loss, reason = "numbers of bytes and of nanoseconds are far below 2⁵²")]

use super::case::{Case, Contender};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Rounds of a case; the table shows the medians.
const ROUNDS: usize = 101;

/// A library's turn in a round lasts at least so long: many short turns meet the same moods of the machine.
const TURN: Duration = Duration::from_millis(1);

/// The columns, in their order.
const PEERS: [&str; 3] = ["tungstenite", "fastwebsockets", "sockudo-ws"];

/// Measures those cases whose question or name contains `word`, and prints a table for each question.
pub(crate) fn print(cases: &mut [Case], word: &str) {
    let mut question = "";
    for case in cases {
        if !format!("{} {}", case.question, case.name).contains(word) {
            continue;
        }
        if question != case.question {
            question = case.question;
            println!("\n| {question} | fanwire | {} | fanwire : best |", PEERS.join(" | "));
            println!("|---|{}", "---:|".repeat(PEERS.len() + 2));
        }
        println!("{}", row(case));
    }
}

fn row(case: &mut Case) -> String {
    let times = medians(case);
    let time_of = |name| {
        let at = case.contenders.iter().position(|contender| contender.name == name)?;
        Some(times[at])
    };
    let ours = time_of("fanwire").expect("fanwire is in each case");
    let cell = |name| time_of(name).map_or("–".to_owned(), |time| amount(time, case.bytes));
    let best = PEERS.into_iter().filter_map(time_of).fold(f64::INFINITY, f64::min);
    let copies = ["memcpy", "memcpy of 1 KiB"].into_iter().filter_map(time_of);
    let copies =
        copies.map(|copy| format!(", {} × a copy of {}", ratio(copy / ours), amount(copy, case.bytes)));
    let name = case.name.clone() + &copies.collect::<String>();
    let cells = PEERS.map(cell).join(" | ");
    format!("| {name} | {} | {cells} | {} |", cell("fanwire"), ratio(best / ours))
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// Nanoseconds, and with them what bytes came or went.
fn amount(time: f64, bytes: u64) -> String {
    let gigabytes = bytes as f64 / time;
    let digits = usize::from(time < 99.95);
    format!("{time:.digits$} ns, {gigabytes:.2} GB/s")
}

/// Nanoseconds that each contender takes for a unit.
fn medians(case: &mut Case) -> Vec<f64> {
    let units = case.units as f64;
    let counts: Vec<u32> = case.contenders.iter_mut().map(batches_in_a_turn).collect();
    let mut times = vec![Vec::new(); counts.len()];
    for round in 0..ROUNDS {
        for turn in 0..counts.len() {
            // Nobody always comes behind the same other.
            let at = (turn + round) % counts.len();
            let time = time(&mut case.contenders[at], counts[at]);
            times[at].push(time.as_nanos() as f64 / f64::from(counts[at]) / units);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    times.iter_mut().map(median).collect()
}

fn batches_in_a_turn(contender: &mut Contender) -> u32 {
    let mut count = 1;
    while time(contender, count) < TURN {
        count *= 2;
    }
    count
}

fn time(contender: &mut Contender, batches: u32) -> Duration {
    let start = cpu_time();
    for _ in 0..batches {
        (contender.batch)();
    }
    cpu_time().saturating_sub(start)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("threads have clocks").into()
}
