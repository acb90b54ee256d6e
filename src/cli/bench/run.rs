//! One run of a [`Plan`]: threads, phases, and what they found put together as an [`Outcome`].

use super::board::Board;
use super::generator::{Findings, Generator};
use super::ledger::Judgement;
use super::outcome::{Faults, Mode, Outcome, Usage};
use super::pace::Pace;
use super::plan::Plan;
use super::progress::Progress;
use super::tally::{Tally, Window};
use super::traffic::Account;
use super::usage::Meter;
use mio::Waker;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often whoever leads looks at the clock and the board.
const TICK: Duration = Duration::from_millis(5);

/// How often the progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);

/// How long after the last connection was opened publishing begins: some servers let a client in before they have listed
/// it as a subscriber. Greetings that come in this time do not count.
const SETTLING_NS: u64 = 200_000_000;

/// How long after the last message that was expected others may come that were not.
const AFTERMATH: Duration = Duration::from_millis(50);

/// How often at most a thread is woken to send what is due.
const BEAT_MIN: Duration = Duration::from_micros(100);
const BEAT_MAX: Duration = Duration::from_millis(10);

/// Ctrl-C or SIGTERM: the first ends the measurement, the second the process.
#[derive(Debug)]
pub(super) struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// Watches for signals from here on.
    ///
    /// # Errors
    /// If the system refuses a signal handler.
    pub(super) fn watch() -> io::Result<Interruption> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // This one is asked first, when the flag says whether there was a signal before.
            flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
            flag::register(signal, flag.clone())?;
        }
        Ok(Interruption(flag))
    }

    fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Does what is planned. The second result is what went wrong first, if anything did.
///
/// # Errors
/// If nothing could be measured, and why.
pub(super) fn run(plan: &Plan, interruption: &Interruption) -> Result<(Outcome, Option<String>), String> {
    let meter = if plan.pids.is_empty() { None } else { Some(Meter::new(&plan.pids)?) };
    let meters = Meters { server: meter, own: Meter::own() };
    let board = Board::new(plan.publishers, plan.threads);
    let refused = |error: io::Error| format!("the system refused what the generator needs: {error}");
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..plan.threads {
            let generator = Generator::new(plan, &board, number);
            let spawned = generator.and_then(|generator| {
                if let Pace::Rate(rate) = plan.pace {
                    let waker = generator.waker()?;
                    let board = &board;
                    let period = beat(rate, plan.threads);
                    thread::Builder::new()
                        .name(format!("beat {number}"))
                        .spawn_scoped(scope, move || keep_time(board, &waker, period))?;
                }
                thread::Builder::new().name(format!("load {number}")).spawn_scoped(scope, || generator.run())
            });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    board.finish();
                    return Err(refused(error));
                }
            }
        }
        let led = lead(plan, &board, meters, interruption);
        board.finish();
        let mut findings = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(found) => findings.push(found.map_err(refused)?),
                Err(_) => return Err("a thread of the generator failed".to_owned()),
            }
        }
        let problem = board.problem().map(str::to_owned);
        Ok((put_together(plan, &led?, findings), problem))
    })
}

/// The period of the beats by which a thread sends its share of a rate.
fn beat(rate: f64, threads: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "there are no 2^52 threads")]
    let period = Duration::try_from_secs_f64(threads as f64 / rate).unwrap_or(BEAT_MAX);
    period.clamp(BEAT_MIN, BEAT_MAX)
}

/// Wakes a thread in time: a poll has a resolution of milliseconds only.
fn keep_time(board: &Board, waker: &Waker, period: Duration) {
    let mut next = Instant::now();
    while !board.is_over() && board.now_ns() < board.window_end_ns() {
        next += period;
        match next.checked_duration_since(Instant::now()) {
            Some(wait) => thread::sleep(wait),
            // Late already, on a busy machine: the beats in between are left out.
            None => next = Instant::now(),
        }
        // If it fails, the thread wakes up by itself a little later.
        let _ = waker.wake();
    }
}

struct Meters {
    server: Option<Meter>,
    own: Meter,
}

/// What whoever leads has seen.
struct Led {
    window: Duration,
    connections: usize,
    /// Connections that are open at the end of the window.
    open: usize,
    /// Connections that could not be opened.
    failed: usize,
    server: Option<Usage>,
    generator: Usage,
}

/// Leads through the phases.
fn lead(plan: &Plan, board: &Board, mut meters: Meters, interruption: &Interruption) -> Result<Led, String> {
    let progress = Progress::new(plan.mode);
    let nothing = |what: &str| Err(format!("{what}: nothing was measured"));

    progress.phase("opening", Some(plan.connections as u64));
    let mut shown = Instant::now();
    while board.threads_opened.load(Ordering::SeqCst) < plan.threads {
        thread::sleep(TICK);
        if shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            progress.update_count(board.opened.load(Ordering::SeqCst) as u64);
        }
        if interruption.has_come() {
            return nothing("interrupted before all connections were open");
        }
    }
    let connections = board.open.load(Ordering::SeqCst);
    if connections == 0 && plan.mode != Mode::Connect {
        return Err(board.problem().unwrap_or("no connection could be opened").to_owned());
    }

    let settling_ns = if plan.publishers > 0 { SETTLING_NS } else { 0 };
    let begin_ns = board.now_ns() + settling_ns + 2 * TICK.as_nanos() as u64;
    let window_begin_ns = begin_ns + plan.warmup.as_nanos() as u64;
    let window_end_ns = window_begin_ns + plan.duration.as_nanos() as u64;
    board.begin(begin_ns, Window { begin_ns: window_begin_ns, end_ns: window_end_ns });
    let is_vain = || {
        interruption.has_come()
            || (board.now_ns() > begin_ns + 100_000_000 && board.open.load(Ordering::SeqCst) == 0)
    };

    progress.phase("warming up", Some(plan.warmup.as_millis() as u64));
    while board.now_ns() < window_begin_ns {
        let left = Duration::from_nanos(window_begin_ns.saturating_sub(board.now_ns()));
        thread::sleep(TICK.min(left));
        progress.update_time(Duration::from_nanos(board.now_ns().saturating_sub(begin_ns)));
        if is_vain() {
            board.end_early(board.now_ns());
            return match board.problem() {
                Some(problem) if !interruption.has_come() => Err(problem.to_owned()),
                _ => nothing("interrupted in the warm-up"),
            };
        }
    }

    if let Some(meter) = &mut meters.server {
        meter.begin();
    }
    meters.own.begin();
    let connections = board.open.load(Ordering::SeqCst);
    progress.phase("measuring", Some(plan.duration.as_millis() as u64));
    let units = || board.units.iter().map(|units| units.load(Ordering::Relaxed)).sum::<u64>();
    let mut last = (Instant::now(), 0);
    while board.now_ns() < board.window_end_ns() {
        let left = Duration::from_nanos(board.window_end_ns().saturating_sub(board.now_ns()));
        thread::sleep(TICK.min(left));
        if last.0.elapsed() >= PROGRESS {
            let gone = Duration::from_nanos(board.now_ns().saturating_sub(window_begin_ns));
            let now = units();
            #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
            let pace = (now - last.1) as f64 / last.0.elapsed().as_secs_f64();
            progress.update_pace(gone, pace, None);
            last = (Instant::now(), now);
        }
        if is_vain() {
            board.end_early(board.now_ns());
        }
    }
    if board.opened.load(Ordering::SeqCst) == 0 {
        return match board.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => nothing("no connection was opened in time"),
        };
    }
    let open = board.open.load(Ordering::SeqCst);
    let generator = meters.own.end();
    let server = meters.server.map(|meter| meter.end());
    let window = Duration::from_nanos(board.window_end_ns() - window_begin_ns);

    progress.phase("draining", None);
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    while count(&board.threads_stopped) < plan.threads {
        thread::sleep(TICK);
    }
    let end = Instant::now() + plan.drain;
    while count(&board.threads_drained) < plan.threads && Instant::now() < end {
        thread::sleep(TICK);
    }
    if plan.publishers > 0 {
        thread::sleep(AFTERMATH);
    }
    progress.finish();
    let failed = board.failed.load(Ordering::SeqCst);
    Ok(Led { window, connections, open, failed, server, generator })
}

fn put_together(plan: &Plan, led: &Led, findings: Vec<Findings>) -> Outcome {
    let &Led { window, connections, open, failed, server, generator } = led;
    let mut tally = Tally::new();
    let mut judgement = Judgement::default();
    let mut accounts = Vec::new();
    let (mut stalls, mut lost) = (0, 0);
    for (index, found) in findings.into_iter().enumerate() {
        if index == 0 {
            tally = found.tally;
        } else {
            tally.add(&found.tally);
        }
        judgement.add(found.judgement);
        accounts.extend(found.accounts);
        stalls += found.stalls;
        lost += found.lost;
    }
    let (units, course) = match plan.mode {
        Mode::Idle => (open as u64, Vec::new()),
        _ => (tally.units, tally.course()),
    };
    let Judgement { missing, unexpected, out_of_order } = judgement;
    Outcome {
        mode: plan.mode,
        settings: plan.settings(),
        window,
        connections,
        units,
        publications: tally.publications,
        payload_bytes: tally.payload_bytes,
        latency_ns: tally.latency_ns,
        course,
        faults: Faults {
            missing,
            unexpected,
            out_of_order,
            other_orders: other_orders(&accounts),
            connections_lost: lost + failed as u64,
            stalls,
        },
        server,
        generator,
        generator_cores: thread::available_parallelism().map_or(1, NonZero::get).min(plan.threads),
    }
}

/// Connections that saw another order than the first of their channel to which equally many messages came.
fn other_orders(accounts: &[Account]) -> u64 {
    let mut orders = HashMap::new();
    let others = accounts.iter().filter(|account| {
        *orders.entry((account.channel, account.count)).or_insert(account.order) != account.order
    });
    others.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_compared_within_a_channel_and_between_equal_counts() {
        let account = |channel, count, order| Account { channel, count, order };
        assert_eq!(other_orders(&[]), 0);
        assert_eq!(
            other_orders(&[account(0, 5, 1), account(0, 5, 1), account(1, 5, 2), account(0, 4, 3)]),
            0
        );
        assert_eq!(
            other_orders(&[account(0, 5, 1), account(0, 5, 2), account(0, 5, 2), account(0, 5, 1)]),
            2
        );
    }

    #[test]
    fn a_thread_is_woken_for_each_of_its_messages_unless_they_are_too_many() {
        assert_eq!(beat(1000.0, 2), Duration::from_millis(2));
        assert_eq!(beat(1.0, 1), BEAT_MAX);
        assert_eq!(beat(1e9, 1), BEAT_MIN);
        assert_eq!(beat(1e-30, 1), BEAT_MAX);
    }
}
