//! The log: what it looks like, who writes it, and how many lines of a kind it has.
//!
//! A thread of its own writes it: whoever reads it slowly, or not at all, costs lines and holds up nobody. Lines that come
//! from the same place in the code are of a kind; of those that tell an operator something, level info and above, only
//! [`LINES_OF_A_KIND_MAX`] are written in [`KIND_SECONDS`], and then how many were left out. Who asks for details with
//! `-v` gets all of them.

use clap::ValueEnum;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

/// Lines that wait to be written; what comes when there are so many is lost.
const LINES_WAITING_MAX: usize = 4096;

/// Lines of a kind in [`KIND_SECONDS`].
const LINES_OF_A_KIND_MAX: u32 = 10;

/// Seconds over which lines of a kind are counted, from the first of them.
const KIND_SECONDS: u64 = 10;

/// Characters of a line by which the one that stands for those left out says what they are like.
const LIKE_CHARS_MAX: usize = 80;

/// Starts the log. What waits is written when the answer is dropped, as far as it is taken within a second.
pub(crate) fn start(format: LogFormat, verbose: u8) -> WorkerGuard {
    let level = [LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE][usize::from(verbose.min(2))];
    let is_terminal = io::stderr().is_terminal();
    let writer = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING_MAX);
    let (writer, guard) = writer.thread_name("log").finish(io::stderr());
    // A full disk or a closed stderr costs lines, not the server.
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer).with_target(false).log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_ansi(is_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(Repetition::start(level))).init();
    guard
}

/// Lets lines of some levels through, and so many of a kind.
struct Repetition {
    levels: LevelFilter,
    kinds: Kinds,
    /// Where it is said that a kind has begun to be left out.
    begun: Mutex<Sender<LeftOut>>,
}

type Kinds = Arc<Mutex<HashMap<Identifier, Kind>>>;

/// The lines from one place in the code, since the first of them that is not too long ago.
struct Kind {
    since: Instant,
    lines: u32,
}

/// Lines of a kind are left out until its time is over.
struct LeftOut {
    kind: Identifier,
    until: Instant,
    level: Level,
    /// What one of them says.
    like: String,
}

impl Repetition {
    fn start(levels: LevelFilter) -> Repetition {
        let (sender, left_out) = mpsc::channel();
        let kinds = Kinds::default();
        let counts = kinds.clone();
        // Without that thread a kind would stay left out, and nobody would say so: no reason to end, in a process that can
        // start hardly anything.
        drop(thread::Builder::new().name("log-repetition".into()).spawn(move || report(&left_out, &counts)));
        Repetition { levels, kinds, begun: Mutex::new(sender) }
    }

    /// Whether one more line of `kind` is written at `now`; and when its time is over, if it is the first that is not.
    fn admit(&self, kind: Identifier, now: Instant) -> Result<(), Option<Instant>> {
        let span = Duration::from_secs(KIND_SECONDS);
        let mut kinds = lock(&self.kinds);
        let seen = kinds.entry(kind).or_insert(Kind { since: now, lines: 0 });
        if now.duration_since(seen.since) >= span && seen.lines <= LINES_OF_A_KIND_MAX {
            *seen = Kind { since: now, lines: 0 };
        }
        seen.lines = seen.lines.saturating_add(1);
        match seen.lines {
            lines if lines <= LINES_OF_A_KIND_MAX => Ok(()),
            lines if lines == LINES_OF_A_KIND_MAX + 1 => Err(Some(seen.since + span)),
            _ => Err(None),
        }
    }
}

impl<S> Filter<S> for Repetition {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        *metadata.level() <= self.levels
    }

    // Asked once for each place in the code: what is not shown costs nothing where it is said. Never `always`: then
    // `enabled` is not asked, which is where the registry forgets that the event before was left out.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.levels { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels)
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        match self.admit(metadata.callsite(), Instant::now()) {
            Ok(()) => true,
            Err(None) => false,
            Err(Some(until)) => {
                let mut like = Like(String::new());
                event.record(&mut like);
                let (kind, level) = (metadata.callsite(), *metadata.level());
                let left_out = LeftOut { kind, until, level, like: like.0 };
                // It fails only if the thread could not be started.
                drop(lock(&self.begun).send(left_out));
                false
            }
        }
    }
}

/// Says of each kind, when its time is over, how many lines were left out.
fn report(left_out: &Receiver<LeftOut>, kinds: &Kinds) {
    for LeftOut { kind, until, level, like } in left_out {
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let lines =
            lock(kinds).remove(&kind).map_or(0, |kind| kind.lines.saturating_sub(LINES_OF_A_KIND_MAX));
        if level <= Level::WARN {
            tracing::warn!(
                lines,
                like,
                "left out: {LINES_OF_A_KIND_MAX} such lines in {KIND_SECONDS} s are shown"
            );
        } else {
            tracing::info!(
                lines,
                like,
                "left out: {LINES_OF_A_KIND_MAX} such lines in {KIND_SECONDS} s are shown"
            );
        }
    }
}

/// The beginning of what a line says.
struct Like(String);

impl Visit for Like {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}").chars().take(LIKE_CHARS_MAX).collect();
        }
    }
}

/// What is behind a lock. Every change to it is one call, so whoever panicked with it left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Subscriber;
    use tracing::subscriber::with_default;

    /// The messages of the lines that come through.
    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Shown {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut like = Like(String::new());
            event.record(&mut like);
            lock(&self.0).push(like.0);
        }
    }

    /// What is shown of what `act` logs, without the lines that stand for others.
    fn shown(act: impl FnOnce()) -> Vec<String> {
        let shown = Shown::default();
        let log = tracing_subscriber::registry()
            .with(shown.clone().with_filter(Repetition::start(LevelFilter::DEBUG)));
        with_default(log, act);
        lock(&shown.0).clone()
    }

    #[test]
    fn ten_lines_of_a_kind_are_shown_whatever_else_they_say_and_other_kinds_go_on() {
        let shown = shown(|| {
            for client in 0..1000 {
                tracing::info!(client, "dropped {client}");
            }
            tracing::warn!("another");
        });
        let dropped: Vec<String> = (0..10).map(|client| format!("dropped {client}")).collect();
        assert_eq!(shown, [&dropped[..], &["another".to_owned()]].concat());
    }

    #[test]
    fn details_that_were_asked_for_are_all_shown() {
        let shown = shown(|| {
            (0..100).for_each(|_| tracing::debug!("detail"));
            tracing::trace!("not asked for");
        });
        assert_eq!(shown, ["detail"; 100]);
    }

    #[test]
    fn a_kind_is_shown_again_when_its_time_is_over_and_how_many_were_left_out_is_known() {
        let (sender, left_out) = mpsc::channel();
        let repetition =
            Repetition { levels: LevelFilter::INFO, kinds: Kinds::default(), begun: Mutex::new(sender) };
        let kind = {
            struct Place;
            impl tracing::Callsite for Place {
                fn set_interest(&self, _interest: Interest) {}
                fn metadata(&self) -> &Metadata<'_> {
                    unreachable!("nobody asks a place of its own")
                }
            }
            static PLACE: Place = Place;
            Identifier(&PLACE)
        };
        let start = Instant::now();
        let admitted = |ms: u64| repetition.admit(kind.clone(), start + Duration::from_millis(ms));
        for line in 0..10 {
            assert_eq!(admitted(line), Ok(()));
        }
        let end = start + Duration::from_secs(KIND_SECONDS);
        assert_eq!(admitted(10), Err(Some(end)), "the first that is left out says until when");
        assert_eq!(admitted(20_000), Err(None), "until that was reported, even if it is late");
        drop(repetition.begun.into_inner().map(|sender| {
            sender.send(LeftOut {
                kind: kind.clone(),
                until: start,
                level: Level::INFO,
                like: "a line".into(),
            })
        }));
        let shown = Shown::default();
        with_default(tracing_subscriber::registry().with(shown.clone()), || {
            report(&left_out, &repetition.kinds);
        });
        assert_eq!(lock(&shown.0).len(), 1);
        assert!(lock(&repetition.kinds).is_empty(), "it begins anew");
    }

    #[test]
    fn a_line_that_stands_for_others_quotes_no_more_than_their_beginning() {
        let shown = shown(|| tracing::info!("{}", "\u{e9}".repeat(1000)));
        assert_eq!(shown[0].chars().count(), LIKE_CHARS_MAX);
    }
}
