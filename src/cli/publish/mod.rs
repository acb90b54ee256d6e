//! `fanwire pub`: publishes messages in a channel, and ends well only when they have their place in it.

mod copies;

use super::client::{
    Called, Caller, ChannelArguments, LINE_BYTES_MAX, Lines, Link, Next, Screen, TLS_NOTES, TOKEN_NOTES,
    refused,
};
use super::escape::escape;
use super::plural::count;
use super::{EXIT_USAGE, seconds};
use clap::Args;
use copies::{Copies, Said};
use fanwire::protocol::Kind;
use serde::de::IgnoredAny;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What `fanwire pub` can be told.
#[derive(Debug, Args)]
#[command(after_help = notes())]
pub(crate) struct PublishArguments {
    #[command(flatten)]
    channel: ChannelArguments,
    /// What to publish; without it, or with -, each line of stdin is a message
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
    /// Check first that each message is JSON, and publish none that is not
    #[arg(long, conflicts_with = "binary")]
    json: bool,
    /// Publish one binary message: MESSAGE, or all of stdin
    #[arg(long)]
    binary: bool,
    /// Seconds to wait for the connection, and then for the next copy; 0: for ever
    #[arg(long, value_name = "SECONDS", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "10")]
    timeout: u32,
}

/// A line a paragraph: clap wraps them.
fn notes() -> String {
    format!(
        "\
A message is published when its own copy has come back: then it has its place in the channel, and everyone in it hears \
it. Who listens to the channel is not needed for that.

Lines are sent as they come, so that a pipe may stay open: `tail -f log | fanwire pub log`. Ctrl-C ends that, once what \
was sent has come back. If the connection is lost, it is not made again: the exit code says that something is missing, \
and stderr how much.

A MESSAGE that begins with a dash stands behind --, as in `fanwire pub lobby -- --hello`.

{TOKEN_NOTES}

{TLS_NOTES}

Exit codes: 0 all messages have their place in the channel; 1 refused, rejected, no connection, or not confirmed in \
time; 2 an argument cannot be used."
    )
}

/// Bytes read from the socket at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes on their way to the socket from which on no more messages are turned into frames.
const UNWRITTEN_BYTES_MARK: usize = 256 << 10;

/// Messages and bytes whose copies are awaited, from which on nothing more is sent: less than what a server lets a client
/// lag by default.
const AWAITED_MESSAGES_MARK: usize = 512;
const AWAITED_BYTES_MARK: usize = 512 << 10;

/// Publishes what there is to publish.
pub(crate) fn run(arguments: PublishArguments) -> ExitCode {
    let PublishArguments { channel, message, json, binary, timeout } = arguments;
    let message = message.filter(|message| message != "-").map(String::into_bytes);
    let given = match (message, binary) {
        (None, true) => match whole_stdin() {
            Ok(bytes) => Some(bytes),
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        },
        (message, _) => message,
    };
    let kind = if binary { Kind::Binary } else { Kind::Text };
    if let Some(Err(problem)) = given.as_deref().filter(|_| json).map(check_json) {
        eprintln!("error: the message {problem}");
        return ExitCode::from(EXIT_USAGE);
    }
    let Called { caller, has_token, .. } = match channel.call() {
        Ok(called) => called,
        Err(code) => return code,
    };
    let publisher = Publisher {
        source: given.map_or(Source::Stdin { is_json: json }, |message| Source::Given(Some((kind, message)))),
        lines: None,
        lines_read: 0,
        has_ended: false,
        copies: Copies::new(has_token),
        published: 0,
        last_progress: Instant::now(),
        patience: (timeout > 0).then(|| Duration::from_millis(timeout.into())),
        screen: Screen::new(false),
        has_failed: false,
        caller,
    };
    publisher.run().unwrap_or_else(|error| refused(&error))
}

/// All of stdin, for one message.
fn whole_stdin() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match io::stdin().lock().take(LINE_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > LINE_BYTES_MAX => {
            Err(format!("the input is longer than {} MiB", LINE_BYTES_MAX >> 20))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot read the input: {error}")),
    }
}

fn check_json(message: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<IgnoredAny>(message).map(|_| ()).map_err(|error| format!("is not JSON: {error}"))
}

/// Publishes over one connection.
struct Publisher {
    caller: Caller,
    source: Source,
    /// Those of stdin, from the moment that there is a connection: nothing is read in vain.
    lines: Option<Lines>,
    lines_read: usize,
    /// There is nothing more to publish.
    has_ended: bool,
    copies: Copies,
    published: usize,
    /// When the last message was sent or confirmed, or the connection made.
    last_progress: Instant,
    /// How long to wait for the next progress.
    patience: Option<Duration>,
    screen: Screen,
    /// Something was not published.
    has_failed: bool,
}

/// What is published.
enum Source {
    Given(Option<(Kind, Vec<u8>)>),
    Stdin { is_json: bool },
}

impl Publisher {
    fn run(mut self) -> io::Result<ExitCode> {
        match self.publish()? {
            Ok(()) => {}
            Err(problem) => {
                let unanswered = self.copies.unanswered();
                let doubt = if unanswered > 0 {
                    format!("; not confirmed: {} of {}", unanswered, count(self.published, "message"))
                } else {
                    String::new()
                };
                self.fail(&format!("{problem}{doubt}"));
            }
        }
        Ok(ExitCode::from(u8::from(self.has_failed)))
    }

    /// Publishes all there is. Inside: why it did not come to that, in a sentence.
    fn publish(&mut self) -> io::Result<Result<(), String>> {
        let mut link = match self.connect()? {
            Ok(link) => link,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut is_closing = false;
        loop {
            let now = self.caller.now();
            let has_more = link.read(&mut buffer, now, |kind, payload| self.hear(kind, payload));
            link.handle_timeout(now);
            let mut has_said = false;
            if link.is_open() {
                has_said = self.speak(&mut link)?;
                if self.has_ended && self.copies.is_answered() {
                    is_closing = true;
                    link.close(now);
                } else if self.is_late() {
                    link.close(now);
                    link.write(now);
                    return Ok(Err(self.late("no copy came back")));
                }
            } else if !is_closing {
                if self.caller.departure.is_wished() {
                    return Ok(Err("interrupted".into()));
                }
                if self.is_late() {
                    return Ok(Err(self.late("the server did not answer")));
                }
            }
            link.write(now);
            if let Some(ending) = link.ended() {
                return Ok(if is_closing { Ok(()) } else { Err(ending.problem) });
            }
            let is_busy = has_more || (has_said && link.unwritten() == 0);
            let patience = (!is_closing).then(|| self.patience_left()).flatten();
            let timeout = patience.into_iter().chain(self.caller.until_due(&link)).min();
            self.caller.wait(if is_busy { Some(Duration::ZERO) } else { timeout })?;
        }
    }

    fn connect(&mut self) -> io::Result<Result<Link, String>> {
        let dialing = self.caller.dial()?;
        loop {
            match self.caller.answer(&dialing)? {
                Some(Ok(stream)) => return self.caller.link(stream).map(Ok),
                Some(Err(problem)) => return Ok(Err(problem)),
                None if self.caller.departure.is_wished() => return Ok(Err("interrupted".into())),
                None if self.is_late() => {
                    let problem = format!("cannot connect to {}: no answer", self.caller.address);
                    return Ok(Err(self.late(&problem)));
                }
                None => {
                    let patience = self.patience_left();
                    self.caller.wait(patience)?;
                }
            }
        }
    }

    fn hear(&mut self, kind: Kind, payload: &[u8]) {
        match self.copies.hear(kind, payload) {
            Said::Confirmed => self.last_progress = Instant::now(),
            Said::Rejected(reason) => {
                self.fail(&format!("the server rejected a message: {}", escape(&reason)));
            }
            Said::Nothing => {}
        }
    }

    /// Sends messages until there are none or enough are on their way. Whether there were any.
    fn speak(&mut self, link: &mut Link) -> io::Result<bool> {
        let mut has_said = false;
        while !self.has_ended && link.unwritten() < UNWRITTEN_BYTES_MARK && self.has_room() {
            let Some((kind, message)) = self.next_message()? else { break };
            self.copies.publish(kind, &message);
            link.send(kind, &message);
            self.published += 1;
            self.last_progress = Instant::now();
            has_said = true;
        }
        Ok(has_said)
    }

    fn has_room(&self) -> bool {
        let (messages, bytes) = self.copies.awaited();
        messages < AWAITED_MESSAGES_MARK && bytes < AWAITED_BYTES_MARK
    }

    /// The next message, if it is there.
    fn next_message(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        if self.caller.departure.is_wished() {
            self.has_ended = true;
            return Ok(None);
        }
        let is_json = match &mut self.source {
            Source::Given(message) => {
                self.has_ended = true;
                return Ok(message.take());
            }
            Source::Stdin { is_json } => *is_json,
        };
        let lines = match &self.lines {
            Some(lines) => lines,
            None => self.lines.insert(start_lines(&self.caller, &mut self.screen)?),
        };
        let problem = match lines.next() {
            Next::Nothing => return Ok(None),
            Next::End => {
                self.has_ended = true;
                return Ok(None);
            }
            Next::Given(Err(problem)) => problem,
            Next::Given(Ok(line)) => {
                self.lines_read += 1;
                let checked = if str::from_utf8(&line).is_err() {
                    Err("is not UTF-8: use --binary, which takes all of stdin as one message".to_owned())
                } else if is_json {
                    check_json(&line)
                } else {
                    Ok(())
                };
                match checked {
                    Ok(()) => return Ok(Some((Kind::Text, line))),
                    Err(problem) => format!("line {} {problem}", self.lines_read),
                }
            }
        };
        self.fail(&problem);
        self.has_ended = true;
        Ok(None)
    }

    fn fail(&mut self, problem: &str) {
        self.has_failed = true;
        self.screen.status(problem);
    }

    /// How long until we are not patient any more. We are as long as nothing is awaited.
    fn patience_left(&self) -> Option<Duration> {
        let is_waiting = self.published == 0 || !self.copies.is_answered();
        let is_idle = self.lines.is_some() && self.copies.is_answered();
        self.patience
            .filter(|_| is_waiting && !is_idle)
            .map(|patience| patience.saturating_sub(self.last_progress.elapsed()))
    }

    fn is_late(&self) -> bool {
        self.patience_left().is_some_and(|left| left.is_zero())
    }

    fn late(&self, what: &str) -> String {
        format!("{what} in {} s", self.patience.unwrap_or_default().as_secs_f64())
    }
}

fn start_lines(caller: &Caller, screen: &mut Screen) -> io::Result<Lines> {
    if io::stdin().is_terminal() {
        screen.status(&format!("connected to {}; each line is a message, Ctrl-D ends", caller.address));
    }
    Lines::of_stdin(caller.departure.clone())
}
