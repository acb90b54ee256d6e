//! [`Lines`]: the lines of a pipe. Reading blocks, so a thread does it.

use super::departure::Departure;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// Bytes of a line. A longer one would not be accepted by any server that cares for itself.
pub(crate) const LINE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a pipe's lines that nobody has taken yet, from which on the pipe waits.
const PIPED_BYTES_MARK: usize = 256 << 10;

/// The lines that the user gives.
#[derive(Debug)]
pub(crate) struct Lines {
    given: Receiver<Given>,
    /// How a pipe's reader hears of the bytes that have been taken.
    taken: Option<Sender<usize>>,
}

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
        Lines { given: lines, taken: None }
    }

    /// Starts to read those of stdin. Each wakes the departure's session, and so does the end.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(crate) fn of_stdin(departure: Arc<Departure>) -> io::Result<Lines> {
        let (sender, given) = channel();
        let (taken, room) = channel();
        thread::Builder::new().name("input".into()).spawn(move || {
            feed(io::stdin().lock(), &sender, &room, || departure.wake());
            // The end is to be seen when it is looked for.
            drop(sender);
            departure.wake();
        })?;
        Ok(Lines { given, taken: Some(taken) })
    }

    /// The next line, if there is one.
    pub(crate) fn next(&self) -> Next {
        match self.given.try_recv() {
            Ok(given) => Next::Given(self.take(given)),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Waits for the next line, or for the end.
    ///
    /// # Errors
    /// What it was that did not come.
    pub(crate) fn wait(&self, patience: Duration) -> Result<Given, RecvTimeoutError> {
        self.given.recv_timeout(patience).map(|given| self.take(given))
    }

    fn take(&self, given: Given) -> Given {
        if let Some(taken) = &self.taken {
            // Who has read all there was need not hear of it.
            let _ = taken.send(bytes(&given));
        }
        given
    }
}

/// What it takes while it waits.
fn bytes(given: &Given) -> usize {
    size_of::<Given>() + given.as_ref().map_or(0, Vec::len)
}

/// Hands on the lines of `input`, as long as there is `room`: so many bytes have been taken.
fn feed(input: impl BufRead, sender: &Sender<Given>, room: &Receiver<usize>, wake: impl Fn()) {
    let mut waiting_bytes = 0;
    read_lines(input, |given| {
        waiting_bytes += bytes(&given);
        let is_wanted = sender.send(given).is_ok();
        wake();
        waiting_bytes -= room.try_iter().sum::<usize>();
        while waiting_bytes >= PIPED_BYTES_MARK {
            let Ok(taken) = room.recv() else { return false };
            waiting_bytes -= taken;
        }
        is_wanted
    });
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
    fn a_pipe_waits_when_there_are_too_many_bytes_and_goes_on_when_they_have_been_taken() {
        let line = vec![b'a'; 99_999];
        let input = [&*line, b"\n"].concat().repeat(10);
        let (sender, given) = channel();
        let (taken, room) = channel();
        drop(taken);
        feed(&*input, &sender, &room, || {});
        assert_eq!(given.try_iter().count(), 3, "nobody takes them, so it does not wait for that either");
        let (sender, given) = channel();
        let (taken, room) = channel();
        let lines = Lines { given, taken: Some(taken) };
        thread::scope(|scope| {
            scope.spawn(move || feed(&*input, &sender, &room, || {}));
            for _ in 0..10 {
                assert_eq!(lines.wait(Duration::from_secs(20)), Ok(Ok(line.clone())));
            }
        });
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
