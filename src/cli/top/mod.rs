//! `fanwire top`: a server's channels, slowest clients and workers, live in the terminal, from its admin API.

mod admin;
mod snapshot;
mod table;
mod view;

use super::{EXIT_USAGE, output, seconds, secret};
use admin::{Admin, AdminUrl};
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use snapshot::Snapshot;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use view::{View, Wish};

/// What `fanwire top` can be told.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct TopArguments {
    /// Where the server's admin API is
    // Parsed later, and not shown: with a password by mistake, it is nobody's business.
    #[arg(
        long,
        value_name = "URL",
        env = "FANWIRE_ADMIN_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8081"
    )]
    admin: String,
    // clap does not read the variable: it holds no file's name.
    #[arg(long, value_name = "FILE", help = TOKEN_FILE_HELP)]
    token_file: Option<PathBuf>,
    /// Seconds between looks
    #[arg(long, value_name = "SECONDS", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "1")]
    interval: u32,
    /// Print it once, as text, and leave
    #[arg(long)]
    once: bool,
}

const TOKEN_FILE_HELP: &str = "File with the admin API's token [env: FANWIRE_ADMIN_TOKEN=, the token itself]";

/// A line a paragraph: clap wraps them.
const NOTES: &str = "\
The server must have an admin API: fanwire serve --admin 127.0.0.1:8081.

Keys: q or Ctrl-C quits, Tab switches between channels and clients, s sorts by the next column, p pauses, the arrows and \
Page Up and Down scroll.

Exit codes: 0 left, or printed; 1 no server, no admin API, or not allowed; 2 an argument cannot be used.";

/// The shortest interval, in milliseconds.
const INTERVAL_MS_MIN: u32 = 100;

/// How long a key may wait until it is seen, at the most; and a signal.
const GLANCE: Duration = Duration::from_millis(100);

/// Rows of each table that --once prints.
const ROWS_ONCE: usize = 20;

/// Rows that a page has.
const PAGE: usize = 10;

/// Shows how the server is until the user leaves.
pub(crate) fn run(arguments: TopArguments) -> ExitCode {
    let TopArguments { admin, token_file, interval, once } = arguments;
    let token =
        secret::read(token_file.as_deref(), secret::ADMIN_VARIABLE).map_err(|error| error.to_string());
    let admin =
        admin.parse::<AdminUrl>().map_err(|problem| format!("--admin or FANWIRE_ADMIN_URL: {problem}"));
    let (admin, token) = match admin.and_then(|admin| Ok((admin, token?))) {
        Ok(both) => both,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if !once && !io::stdout().is_terminal() {
        eprintln!("error: stdout is no terminal: use --once to print it as text");
        return ExitCode::from(EXIT_USAGE);
    }
    let admin = Admin::new(admin, token);
    let snapshot = match admin.snapshot() {
        Ok(snapshot) => snapshot,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    if once {
        return output::print(text(&snapshot), ExitCode::SUCCESS);
    }
    let interval = Duration::from_millis(interval.max(INTERVAL_MS_MIN).into());
    match watch(admin, snapshot, interval) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the terminal cannot be used: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All of it as text.
fn text(snapshot: &Snapshot) -> String {
    let mut lines = Vec::from(view::head(snapshot));
    let tables = [table::workers(snapshot), table::channels(snapshot, 0), table::clients(snapshot, 0)];
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        lines.push(String::new());
        lines.extend(table.lines(ROWS_ONCE));
    }
    lines.join("\n") + "\n"
}

/// Shows it until the user leaves.
fn watch(admin: Admin, snapshot: Snapshot, interval: Duration) -> io::Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, is_over.clone())?;
    }
    let snapshots = ask(admin, interval)?;
    let mut terminal = ratatui::try_init()?;
    let result = show(&mut terminal, View::new(snapshot), &snapshots, &is_over);
    ratatui::restore();
    result
}

/// Asks again and again, in a thread, for an answer may be long in coming. It ends when nobody listens.
fn ask(admin: Admin, interval: Duration) -> io::Result<Receiver<Result<Snapshot, String>>> {
    let (sender, snapshots) = sync_channel(1);
    thread::Builder::new().name("admin".into()).spawn(move || {
        let mut due = Instant::now() + interval;
        loop {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // After a long answer the next question waits for its whole interval.
            due = due.max(Instant::now()) + interval;
            if sender.send(admin.snapshot()).is_err() {
                return;
            }
        }
    })?;
    Ok(snapshots)
}

fn show(
    terminal: &mut DefaultTerminal,
    mut view: View,
    snapshots: &Receiver<Result<Snapshot, String>>,
    is_over: &AtomicBool,
) -> io::Result<()> {
    terminal.draw(|frame| view.draw(frame))?;
    while !is_over.load(Ordering::Relaxed) {
        let mut has_changed = false;
        if event::poll(GLANCE)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match meaning(key) {
                    Meaning::Quit => return Ok(()),
                    Meaning::Wish(wish) => view.grant(wish),
                    Meaning::Nothing => {}
                },
                _ => {}
            }
            has_changed = true;
        }
        while let Ok(said) = snapshots.try_recv() {
            view.take(said);
            has_changed = true;
        }
        if has_changed {
            terminal.draw(|frame| view.draw(frame))?;
        }
    }
    Ok(())
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Quit,
    Wish(Wish),
    Nothing,
}

fn meaning(key: KeyEvent) -> Meaning {
    match key.code {
        KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Meaning::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Meaning::Quit,
        KeyCode::Tab | KeyCode::BackTab => Meaning::Wish(Wish::Switch),
        KeyCode::Char('s') => Meaning::Wish(Wish::Sort),
        KeyCode::Char('p' | ' ') => Meaning::Wish(Wish::Pause),
        KeyCode::Up | KeyCode::Char('k') => Meaning::Wish(Wish::Up(1)),
        KeyCode::Down | KeyCode::Char('j') => Meaning::Wish(Wish::Down(1)),
        KeyCode::PageUp => Meaning::Wish(Wish::Up(PAGE)),
        KeyCode::PageDown => Meaning::Wish(Wish::Down(PAGE)),
        KeyCode::Home => Meaning::Wish(Wish::Up(usize::MAX)),
        KeyCode::End => Meaning::Wish(Wish::Down(usize::MAX)),
        _ => Meaning::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_ctrl_c_quit_and_a_c_alone_does_not() {
        let key = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Meaning::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Meaning::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Meaning::Nothing);
        assert_eq!(key(KeyCode::Tab, KeyModifiers::NONE), Meaning::Wish(Wish::Switch));
    }
}
