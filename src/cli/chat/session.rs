//! [`Session`]: the loop that connects, says what is typed, shows what comes, and connects again.
//!
//! One thread does all of it and waits in one place; the input, the signals and the making of a connection, which can
//! only be waited for, are threads that wake it.

use super::input::Input;
use super::talk::Talk;
use crate::cli::client::{Backoff, Caller, Dialing, Ending, Link, Next, Screen, Sequel, Unconfirmed};
use crate::cli::escape::escape;
use crate::cli::plural::count;
use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes read from the socket at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes on their way to the socket from which on no more lines are turned into frames.
const UNWRITTEN_BYTES_MARK: usize = 256 << 10;

/// Bytes of lines that are kept while they cannot be sent.
const KEPT_BYTES_MARK: usize = 1 << 20;

/// How long the end of a pipe's input waits for its last lines to come back, counted from the last that did.
const CONFIRMATION_PATIENCE: Duration = Duration::from_secs(2);

/// Attempts to connect again that a pipe makes in a row. A user in front of a terminal knows better when to give up.
const PIPE_ATTEMPTS_MAX: u32 = 5;

/// The user's end of the chat, from the first connection to the last.
pub(super) struct Session {
    caller: Caller,
    /// Somebody sits in front of it: stdin is a terminal.
    is_interactive: bool,
    /// `None` until the first connection, or the first wait for one: nothing is read from a pipe in vain.
    input: Option<Input>,
    has_input_ended: bool,
    /// Lines that could not be sent yet.
    kept: VecDeque<Vec<u8>>,
    kept_bytes: usize,
    talk: Talk,
    backoff: Backoff,
    has_been_connected: bool,
    /// The exit code unless something worse happens. A pipe is told by it what a user has seen.
    exit_code: u8,
    buffer: Vec<u8>,
}

enum Stage {
    /// A thread makes the TCP connection.
    Dialing(Dialing),
    Linked(Box<Linked>),
    /// The last connection failed; the next attempt is at this time.
    Waiting(Instant),
    /// The process ends with this code.
    Over(u8),
}

struct Linked {
    link: Link,
    /// When the opening handshake was over.
    opened: Option<Instant>,
    /// All that there was to say has been said, and our Close frame follows it.
    is_closing: bool,
    /// There is more to do without waiting.
    is_busy: bool,
}

impl Session {
    /// A session that has not begun.
    pub(super) fn new(
        caller: Caller,
        username: String,
        is_renamed: bool,
        is_raw: bool,
        is_interactive: bool,
    ) -> Session {
        let talk = Talk {
            username,
            is_renamed,
            is_raw,
            screen: Screen::new(is_raw),
            unconfirmed: Unconfirmed::default(),
            last_progress: Instant::now(),
            errors: 0,
        };
        Session {
            caller,
            is_interactive,
            input: None,
            has_input_ended: false,
            kept: VecDeque::new(),
            kept_bytes: 0,
            talk,
            backoff: Backoff::default(),
            has_been_connected: false,
            exit_code: 0,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Runs to the end. Returns the exit code.
    ///
    /// # Errors
    /// If the system refuses what a client cannot be without.
    pub(super) fn run(mut self) -> io::Result<u8> {
        let result = self.run_to_the_end();
        if let Some(input) = &self.input {
            input.end(&self.caller.departure);
        }
        result
    }

    fn run_to_the_end(&mut self) -> io::Result<u8> {
        let mut stage = self.dial()?;
        loop {
            stage = self.advance(stage)?;
            self.talk.screen.flush();
            if let Stage::Over(code) = stage {
                return Ok(code);
            }
            let timeout = self.timeout(&stage);
            self.caller.wait(timeout)?;
        }
    }

    fn advance(&mut self, stage: Stage) -> io::Result<Stage> {
        if let Stage::Dialing(_) | Stage::Waiting(_) = stage {
            self.take_input(false);
            if self.is_leaving() || (self.is_interactive && self.has_input_ended) {
                return Ok(self.over(0));
            }
        }
        match stage {
            Stage::Dialing(dialing) => match self.caller.answer(&dialing)? {
                Some(Ok(stream)) => self.link(stream),
                Some(Err(problem)) => self.reconnect(&problem, Duration::ZERO),
                None => Ok(Stage::Dialing(dialing)),
            },
            Stage::Waiting(until) if Instant::now() < until => Ok(Stage::Waiting(until)),
            Stage::Waiting(_) => self.dial(),
            Stage::Linked(mut linked) => {
                self.step(&mut linked)?;
                let lived = linked.opened.map_or(Duration::ZERO, |opened| opened.elapsed());
                match linked.link.ended() {
                    Some(ending) => self.after(&ending, linked.is_closing, lived),
                    // Before the connection is open there is nobody to say goodbye to.
                    None if linked.opened.is_none() && self.is_leaving() => Ok(self.over(0)),
                    None => Ok(Stage::Linked(linked)),
                }
            }
            Stage::Over(code) => Ok(Stage::Over(code)),
        }
    }

    /// Until when nothing is to be done unless something happens.
    fn timeout(&self, stage: &Stage) -> Option<Duration> {
        match stage {
            Stage::Dialing(_) => None,
            Stage::Waiting(until) => Some(until.saturating_duration_since(Instant::now())),
            Stage::Linked(linked) if linked.is_busy => Some(Duration::ZERO),
            Stage::Linked(linked) => {
                let due = self.caller.until_due(&linked.link);
                let awaits_confirmation =
                    self.has_input_ended && self.kept.is_empty() && linked.link.is_open();
                let patience = awaits_confirmation
                    .then(|| CONFIRMATION_PATIENCE.saturating_sub(self.talk.last_progress.elapsed()));
                due.into_iter().chain(patience).min()
            }
            Stage::Over(_) => Some(Duration::ZERO),
        }
    }

    /// The user wants to leave, or nobody reads what we show.
    fn is_leaving(&self) -> bool {
        self.caller.departure.is_wished() || self.talk.screen.failure().is_some()
    }
}

// ---- The stages -----------------------------------------------------------------------------------------------------

impl Session {
    fn dial(&self) -> io::Result<Stage> {
        self.caller.dial().map(Stage::Dialing)
    }

    fn link(&self, stream: TcpStream) -> io::Result<Stage> {
        let link = self.caller.link(stream)?;
        Ok(Stage::Linked(Box::new(Linked { link, opened: None, is_closing: false, is_busy: false })))
    }

    /// Does with a link all that can be done without waiting.
    fn step(&mut self, linked: &mut Linked) -> io::Result<()> {
        let now = self.caller.now();
        // What has come is read before anything is found to be late: it may be we who were.
        let has_more = linked.link.read(&mut self.buffer, now, |kind, payload| self.talk.hear(kind, payload));
        linked.link.handle_timeout(now);
        if linked.link.was_accepted() && linked.opened.is_none() {
            linked.opened = Some(Instant::now());
            self.greet()?;
        }
        let mut has_said = false;
        if !linked.link.is_open() {
            self.take_input(false);
        } else if self.is_leaving() {
            linked.link.close(now);
        } else {
            has_said = self.speak(&mut linked.link);
            linked.link.write(now);
            if linked.link.unwritten() > 0 {
                self.talk.last_progress = Instant::now();
            } else if self.has_said_all() {
                linked.is_closing = true;
                linked.link.close(now);
            }
        }
        linked.link.write(now);
        // The socket tells us when it can be written again only if it was full.
        linked.is_busy = has_more || (has_said && linked.link.unwritten() == 0);
        Ok(())
    }

    fn greet(&mut self) -> io::Result<()> {
        let how = match (self.is_interactive, self.has_been_connected) {
            (true, false) => "; Ctrl-D leaves",
            _ => "",
        };
        self.talk.screen.status(&format!("connected to {}{how}", self.caller.address));
        self.has_been_connected = true;
        self.start_input()
    }

    fn start_input(&mut self) -> io::Result<()> {
        if self.input.is_none() {
            let prompt =
                if self.talk.is_raw { "> ".to_owned() } else { format!("{}: ", escape(&self.talk.username)) };
            let (input, printer) = Input::start(prompt, self.caller.departure.clone())?;
            self.input = Some(input);
            self.talk.screen.share_with_editor(printer);
        }
        Ok(())
    }

    /// Takes the lines that there are, as far as there is room to keep them. A pipe can wait for room, and so can a user
    /// whose lines are just being sent; who types while there is no connection is told.
    fn take_input(&mut self, is_open: bool) {
        let can_wait = is_open || !self.is_interactive;
        while !self.has_input_ended && (self.kept_bytes < KEPT_BYTES_MARK || !can_wait) {
            let Some(input) = &self.input else { return };
            match input.next() {
                Next::Given(Ok(_)) if self.kept_bytes >= KEPT_BYTES_MARK => {
                    self.talk.screen.status("not sent: too many lines are waiting already");
                }
                Next::Given(Ok(line)) => {
                    self.kept_bytes += line.len() + size_of::<Vec<u8>>();
                    self.kept.push_back(line);
                    if self.is_interactive && !is_open {
                        let waiting = count(self.kept.len(), "line");
                        self.talk.screen.status(&format!("not connected: {waiting} will be sent later"));
                    }
                }
                Next::Given(Err(problem)) => {
                    self.talk.screen.status(&problem);
                    self.fail();
                    self.has_input_ended = true;
                }
                Next::Nothing => break,
                Next::End => self.has_input_ended = true,
            }
        }
    }

    /// Sends lines until there are none or enough are on their way. Whether there were any.
    fn speak(&mut self, link: &mut Link) -> bool {
        self.take_input(true);
        let mut has_said = false;
        while link.unwritten() < UNWRITTEN_BYTES_MARK {
            let Some(words) = self.kept.pop_front() else { break };
            self.kept_bytes -= words.len() + size_of::<Vec<u8>>();
            self.talk.say(&words, link);
            has_said = true;
        }
        has_said
    }

    /// Whether there is nothing more to say, and no reason to wait for what the server says to it.
    fn has_said_all(&self) -> bool {
        let awaits_confirmation = !self.is_interactive
            && self.caller.address.has_echo
            && !self.talk.is_answered()
            && self.talk.last_progress.elapsed() < CONFIRMATION_PATIENCE;
        self.has_input_ended && self.kept.is_empty() && !awaits_confirmation
    }

    /// What comes after a link that has ended.
    fn after(&mut self, ending: &Ending, is_closing: bool, lived: Duration) -> io::Result<Stage> {
        let Ending { is_agreed, sequel, problem } = ending;
        if self.is_leaving() || (is_closing && *is_agreed) {
            if !is_agreed {
                self.talk.screen.status(problem);
            }
            return Ok(self.over(0));
        }
        if self.caller.address.has_echo {
            let doubtful = self.talk.unconfirmed.give_up();
            if doubtful > 0 {
                self.fail();
                let doubtful = count(doubtful, "line");
                self.talk.screen.status(&format!("not confirmed by the server, perhaps lost: {doubtful}"));
            }
        }
        match sequel {
            Sequel::Reconnect => self.reconnect(problem, lived),
            Sequel::Finished | Sequel::Fail => {
                self.talk.screen.status(problem);
                Ok(self.over(u8::from(*sequel == Sequel::Fail)))
            }
        }
    }

    /// Waits for the next attempt, or gives up.
    fn reconnect(&mut self, problem: &str, lived: Duration) -> io::Result<Stage> {
        let random = getrandom::u32().map_err(io::Error::other)?;
        let wait = self.backoff.next(lived, random);
        let is_pointless = if self.is_interactive {
            self.has_input_ended
        } else {
            let has_nothing_to_say = self.has_input_ended && self.kept.is_empty();
            !self.has_been_connected || has_nothing_to_say || self.backoff.attempts > PIPE_ATTEMPTS_MAX
        };
        if is_pointless {
            self.talk.screen.status(problem);
            return Ok(self.over(1));
        }
        self.talk.screen.status(&format!("{problem}; reconnecting in {:.1} s", wait.as_secs_f64()));
        self.start_input()?;
        Ok(Stage::Waiting(Instant::now() + wait))
    }

    /// The end, with this exit code if nothing else went wrong.
    fn over(&mut self, code: u8) -> Stage {
        if !self.kept.is_empty() {
            let unsent = count(self.kept.len(), "line");
            self.talk.screen.status(&format!("not sent: {unsent}"));
            if !self.caller.departure.is_wished() {
                self.fail();
            }
        }
        match self.talk.screen.failure() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let problem = format!("cannot write the output: {error}");
                self.talk.screen.status(&problem);
                self.fail();
            }
            _ => {}
        }
        if self.talk.errors > 0 && self.talk.unconfirmed.len() > 0 {
            self.fail();
        }
        Stage::Over(code.max(self.exit_code))
    }

    /// Something went wrong that is not mended by connecting again.
    fn fail(&mut self) {
        self.exit_code = u8::from(!self.is_interactive);
    }
}
