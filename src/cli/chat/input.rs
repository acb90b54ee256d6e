//! [`Input`]: the lines that the user gives, from a terminal with a line editor or from a pipe.
//!
//! Reading blocks, so a thread does it. In a terminal the lines are edited by rustyline, whose printer puts what
//! arrives meanwhile above the line being typed.

use super::departure::Departure;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes of a line. A longer one would not be accepted by any server that cares for itself.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Lines of a pipe that the session has not taken yet; the pipe waits then.
const PIPED_LINES_MAX: usize = 256;

/// Lines that the arrow keys bring back.
const HISTORY_LINES_MAX: usize = 1000;

/// How long the line editor may take to end, between one try to interrupt it and the next.
const EDITOR_PATIENCE: Duration = Duration::from_millis(20);

/// The lines that the user gives.
#[derive(Debug)]
pub(super) struct Input {
    lines: Receiver<Given>,
    has_editor: bool,
}

/// A line without its end, or why there are no more: for a sentence.
pub(super) type Given = Result<Vec<u8>, String>;

/// What the input has for now.
pub(super) enum Next {
    /// A line, or what went wrong.
    Given(Given),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// Puts text above the line being typed.
pub(super) type Printer = Box<dyn ExternalPrinter + Send>;

impl Input {
    /// Starts to read: with a line editor and `prompt` if both ends are a terminal that can do that, else plainly.
    /// With an editor comes its printer.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(super) fn start(prompt: String, departure: Arc<Departure>) -> io::Result<(Input, Option<Printer>)> {
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let thread = thread::Builder::new().name("input".into());
        if let Some((editor, printer)) = if is_terminal { editor() } else { None } {
            // No bound, for a line editor that waits for the session could make the session wait for it to print
            // something. It is the user's own hand that fills this, and the session takes all there is.
            let (sender, lines) = channel();
            thread.spawn(move || {
                edit_lines(editor, &prompt, &sender, &departure);
                // The end is to be seen when it is looked for.
                drop(sender);
                departure.wake();
            })?;
            return Ok((Input { lines, has_editor: true }, Some(printer)));
        }
        let (sender, lines) = sync_channel(PIPED_LINES_MAX);
        thread.spawn(move || {
            read_lines(io::stdin().lock(), |given| {
                let is_taken = sender.send(given).is_ok();
                departure.wake();
                is_taken
            });
            drop(sender);
            departure.wake();
        })?;
        Ok((Input { lines, has_editor: false }, None))
    }

    /// The next line, if there is one.
    pub(super) fn next(&self) -> Next {
        match self.lines.try_recv() {
            Ok(given) => Next::Given(given),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Ends the line editor, so that the terminal is as it was. A pipe's reader just ends with the process.
    pub(super) fn end(&self, departure: &Departure) {
        if !self.has_editor {
            return;
        }
        // If it was Ctrl-C or Ctrl-D that brought us here, it is about to end by itself. An interrupt that comes
        // between two lines is lost, so there may have to be another.
        for _ in 0..50 {
            match self.lines.recv_timeout(EDITOR_PATIENCE) {
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
fn edit_lines(mut editor: LineEditor, prompt: &str, sender: &Sender<Given>, departure: &Departure) {
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

/// Hands every line of `input` to `give`, until it returns false.
fn read_lines(mut input: impl BufRead, mut give: impl FnMut(Given) -> bool) {
    loop {
        let mut line = Vec::new();
        let given = match input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Ok(line)
            }
            Ok(count) if count as u64 > LINE_BYTES_MAX => {
                Err(format!("a line is longer than {} MiB", LINE_BYTES_MAX >> 20))
            }
            Ok(_) => Ok(line),
            Err(error) => Err(format!("cannot read the input: {error}")),
        };
        let is_over = given.is_err();
        if !give(given) || is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Given> {
        let mut lines = Vec::new();
        read_lines(input, |given| {
            lines.push(given);
            true
        });
        lines
    }

    fn given<const N: usize>(lines: [&str; N]) -> [Given; N] {
        lines.map(|line| Ok(line.into()))
    }

    #[test]
    fn a_line_ends_with_lf_or_with_the_input() {
        assert_eq!(lines(b"one\n\ntwo\n"), given(["one", "", "two"]));
        assert_eq!(lines(b"one\ntwo"), given(["one", "two"]));
        assert_eq!(lines(b""), given([]));
    }

    #[test]
    fn a_line_of_sixteen_mebibytes_is_taken() {
        let mut input = vec![b'a'; LINE_BYTES_MAX as usize];
        assert!(lines(&input)[0].as_ref().is_ok_and(|line| line.len() == input.len()));
        input.extend(b"\nb\n");
        assert_eq!(lines(&input).len(), 2);
    }

    #[test]
    fn a_longer_line_ends_the_input_with_an_error() {
        let mut input = vec![b'a'; LINE_BYTES_MAX as usize + 1];
        input.extend(b"\nb\n");
        assert!(matches!(&lines(&input)[..], [Err(error)] if error.contains("16 MiB")));
    }
}
