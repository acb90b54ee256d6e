//! [`Lines`]: the lines of a pipe. Reading blocks, so a thread does it.

use super::departure::Departure;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes of a line. A longer one would not be accepted by any server that cares for itself.
pub(crate) const LINE_BYTES_MAX: u64 = 16 << 20;

/// Lines of a pipe that nobody has taken yet; the pipe waits then.
const PIPED_LINES_MAX: usize = 256;

/// The lines that the user gives.
#[derive(Debug)]
pub(crate) struct Lines(Receiver<Given>);

/// A line without its end, or why there are no more: for a sentence.
pub(crate) type Given = Result<Vec<u8>, String>;

/// What the input has for now.
pub(crate) enum Next {
    /// A line, or what went wrong.
    Given(Given),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

impl Lines {
    /// Lines that come from elsewhere.
    pub(crate) fn of(lines: Receiver<Given>) -> Lines {
        Lines(lines)
    }

    /// Starts to read those of stdin. Each wakes the departure's session, and so does the end.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(crate) fn of_stdin(departure: Arc<Departure>) -> io::Result<Lines> {
        let (sender, lines) = sync_channel(PIPED_LINES_MAX);
        thread::Builder::new().name("input".into()).spawn(move || {
            read_lines(io::stdin().lock(), |given| {
                let is_taken = sender.send(given).is_ok();
                departure.wake();
                is_taken
            });
            // The end is to be seen when it is looked for.
            drop(sender);
            departure.wake();
        })?;
        Ok(Lines(lines))
    }

    /// The next line, if there is one.
    pub(crate) fn next(&self) -> Next {
        match self.0.try_recv() {
            Ok(given) => Next::Given(given),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Waits for the next line, or for the end.
    ///
    /// # Errors
    /// What it was that did not come.
    pub(crate) fn wait(&self, patience: Duration) -> Result<Given, RecvTimeoutError> {
        self.0.recv_timeout(patience)
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
