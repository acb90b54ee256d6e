//! [`Input`]: the lines that the user gives, from a terminal with a line editor or from a pipe.
//!
//! Reading blocks, so a thread does it. In a terminal the lines are edited by rustyline, whose printer puts what
//! arrives meanwhile above the line being typed.

use crate::cli::client::{Departure, Lines, Next, Printer};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Lines that the arrow keys bring back.
const HISTORY_LINES_MAX: usize = 1000;

/// How long the line editor may take to end, between one try to interrupt it and the next.
const EDITOR_PATIENCE: Duration = Duration::from_millis(20);

/// The lines that the user gives.
#[derive(Debug)]
pub(super) struct Input {
    lines: Lines,
    has_editor: bool,
}

impl Input {
    /// Starts to read: with a line editor and `prompt` if both ends are a terminal that can do that, else plainly.
    /// With an editor comes its printer.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(super) fn start(prompt: String, departure: Arc<Departure>) -> io::Result<(Input, Option<Printer>)> {
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if let Some((editor, printer)) = if is_terminal { editor() } else { None } {
            // No bound, for a line editor that waits for the session could make the session wait for it to print
            // something. It is the user's own hand that fills this, and the session takes all there is.
            let (sender, lines) = channel();
            thread::Builder::new().name("input".into()).spawn(move || {
                edit_lines(editor, &prompt, &sender, &departure);
                // The end is to be seen when it is looked for.
                drop(sender);
                departure.wake();
            })?;
            return Ok((Input { lines: Lines::of(lines), has_editor: true }, Some(printer)));
        }
        Ok((Input { lines: Lines::of_stdin(departure)?, has_editor: false }, None))
    }

    /// The next line, if there is one.
    pub(super) fn next(&self) -> Next {
        self.lines.next()
    }

    /// Ends the line editor, so that the terminal is as it was. A pipe's reader just ends with the process.
    pub(super) fn end(&self, departure: &Departure) {
        if !self.has_editor {
            return;
        }
        // If it was Ctrl-C or Ctrl-D that brought us here, it is about to end by itself. An interrupt that comes
        // between two lines is lost, so there may have to be another.
        for _ in 0..50 {
            match self.lines.wait(EDITOR_PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => departure.interrupt_editor(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }
}

type LineEditor = Editor<(), MemHistory>;

/// A line editor and its printer, unless the terminal is too simple for one.
fn editor() -> Option<(LineEditor, Printer)> {
    let config = Config::builder().max_history_size(HISTORY_LINES_MAX).ok()?.auto_add_history(true).build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history).ok()?;
    let printer = editor.create_external_printer().ok()?;
    Some((editor, Box::new(printer)))
}

/// Reads lines until Ctrl-D or Ctrl-C. When this returns, the terminal is as it was.
fn edit_lines(
    mut editor: LineEditor,
    prompt: &str,
    sender: &Sender<Result<Vec<u8>, String>>,
    departure: &Departure,
) {
    loop {
        let given = match editor.readline(prompt) {
            // Nobody means to say nothing.
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => Ok(line.into_bytes()),
            Err(ReadlineError::Eof) => return,
            Err(ReadlineError::Interrupted) => return departure.wish_in_editor(),
            Err(error) => Err(format!("cannot read from the terminal: {error}")),
        };
        let is_over = given.is_err();
        if sender.send(given).is_err() {
            return;
        }
        departure.wake();
        if is_over {
            return;
        }
    }
}
