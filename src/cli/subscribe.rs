//! `fanwire sub`: shows what is said in a channel, one message a line.

use super::client::{
    Backoff, Called, Caller, ChannelArguments, Ending, Screen, Sequel, TLS_NOTES, TOKEN_NOTES, payload,
    refused,
};
use super::escape::escape_json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use fanwire::hub::ChannelName;
use fanwire::protocol::Kind;
use payload::Heard;
use serde_json::Value;
use std::io;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What `fanwire sub` can be told.
#[derive(Debug, Args)]
#[command(after_help = notes())]
pub(crate) struct SubscribeArguments {
    #[command(flatten)]
    channel: ChannelArguments,
    /// Show each message as an object: {"at", "channel", "kind", "data" or "base64"}
    #[arg(long)]
    json: bool,
    /// Leave after so many messages
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// A line a paragraph: clap wraps them.
fn notes() -> String {
    format!(
        "\
Messages go to stdout as they come, each with a line end behind it; what happens to the connection goes to stderr. To a \
pipe or a file the bytes go as they are, so a message that has line ends itself is several lines; with --json it is \
always one. In a terminal control characters are shown, not obeyed, and of a binary message how it begins.

With --json, `at` is when it came, in seconds since 1970 with milliseconds, `kind` is \"text\" or \"binary\", and the \
message is in `data` if it is text, else in `base64`.

A connection that is lost is made again, after a wait that grows to half a minute; what is said meanwhile is missed. If \
there was no connection in the first place, that is final, and so is a refusal by the server (4xx).

Ctrl-C leaves; so does a reader that goes away, as in `fanwire sub lobby | head -1`.

{TOKEN_NOTES}

{TLS_NOTES}

Exit codes: 0 left, or all that COUNT asks for has come; 1 refused, no connection, or the output cannot be written; 2 an \
argument cannot be used."
    )
}

/// Bytes read from the socket at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Shows messages until there have been enough, the user leaves, or the server is done with us.
pub(crate) fn run(arguments: SubscribeArguments) -> ExitCode {
    let SubscribeArguments { channel, json, count } = arguments;
    let Called { channel, caller, .. } = match channel.call() {
        Ok(called) => called,
        Err(code) => return code,
    };
    let subscriber = Subscriber {
        view: View { channel, is_json: json, left: count, screen: Screen::new(true) },
        caller,
        backoff: Backoff::default(),
        has_been_connected: false,
    };
    subscriber.run().map_or_else(|error| refused(&error), ExitCode::from)
}

/// Listens to a channel, over however many connections.
struct Subscriber {
    caller: Caller,
    view: View,
    backoff: Backoff,
    has_been_connected: bool,
}

/// What the user sees.
struct View {
    channel: ChannelName,
    is_json: bool,
    /// Messages that are still to be shown; `None`: all there are.
    left: Option<u64>,
    screen: Screen,
}

/// How it ended with a connection.
struct Parting {
    sequel: Sequel,
    problem: String,
    /// We wanted it to end, and the server knows.
    is_over: bool,
    /// How long it was open.
    lived: Duration,
}

impl Subscriber {
    /// Runs to the end. Returns the exit code.
    fn run(mut self) -> io::Result<u8> {
        loop {
            let Some(stream) = self.connect()? else { return Ok(0) };
            let parting = match stream {
                Ok(stream) => self.listen(stream)?,
                Err(problem) => {
                    Parting { sequel: Sequel::Reconnect, problem, is_over: false, lived: Duration::ZERO }
                }
            };
            if let Some(code) = self.after(parting)? {
                return Ok(code);
            }
        }
    }

    /// A connection or why there is none; nothing if the user leaves.
    fn connect(&mut self) -> io::Result<Option<Result<TcpStream, String>>> {
        let dialing = self.caller.dial()?;
        loop {
            if self.caller.departure.is_wished() {
                return Ok(None);
            }
            if let Some(stream) = self.caller.answer(&dialing)? {
                return Ok(Some(stream));
            }
            self.caller.wait(None)?;
        }
    }

    /// Shows what comes, to the connection's end.
    fn listen(&mut self, stream: TcpStream) -> io::Result<Parting> {
        let mut link = self.caller.link(stream)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut opened: Option<Instant> = None;
        loop {
            let now = self.caller.now();
            let has_more = link.read(&mut buffer, now, |kind, payload| self.view.show(kind, payload));
            if link.was_accepted() && opened.is_none() {
                opened = Some(Instant::now());
                self.has_been_connected = true;
                self.view.screen.status(&format!("connected to {}", self.caller.address));
            }
            self.view.screen.flush();
            link.handle_timeout(now);
            let is_leaving = self.is_leaving();
            if is_leaving {
                // Does nothing the second time.
                link.close(now);
            }
            link.write(now);
            let lived = opened.map_or(Duration::ZERO, |opened| opened.elapsed());
            if let Some(Ending { sequel, problem, .. }) = link.ended() {
                return Ok(Parting { sequel, problem, is_over: is_leaving, lived });
            }
            if is_leaving && opened.is_none() {
                // Before the connection is open there is nobody to say goodbye to.
                return Ok(Parting {
                    sequel: Sequel::Finished,
                    problem: String::new(),
                    is_over: true,
                    lived,
                });
            }
            let timeout = if has_more { Some(Duration::ZERO) } else { self.caller.until_due(&link) };
            self.caller.wait(timeout)?;
        }
    }

    /// There is nobody to show anything to, or nothing more to show.
    fn is_leaving(&self) -> bool {
        self.caller.departure.is_wished() || self.view.left == Some(0) || self.view.screen.failure().is_some()
    }

    /// What comes after a connection: the exit code if nothing does.
    fn after(&mut self, parting: Parting) -> io::Result<Option<u8>> {
        let Parting { sequel, problem, is_over, lived } = parting;
        let screen = &mut self.view.screen;
        match screen.failure() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let problem = format!("cannot write the output: {error}");
                screen.status(&problem);
                return Ok(Some(1));
            }
            Some(_) => return Ok(Some(0)),
            None if is_over => return Ok(Some(0)),
            None => {}
        }
        if sequel != Sequel::Reconnect || !self.has_been_connected {
            screen.status(&problem);
            let is_well = sequel == Sequel::Finished && self.view.left.is_none();
            return Ok(Some(u8::from(!is_well)));
        }
        let random = getrandom::u32().map_err(io::Error::other)?;
        let wait = self.backoff.next(lived, random);
        screen.status(&format!("{problem}; reconnecting in {:.1} s", wait.as_secs_f64()));
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if self.caller.departure.is_wished() {
                return Ok(Some(0));
            }
            self.caller.wait(Some(until.saturating_duration_since(Instant::now())))?;
        }
        Ok(None)
    }
}

impl View {
    fn show(&mut self, kind: Kind, payload: &[u8]) {
        match &mut self.left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        if self.is_json {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.screen.show_line(&line(at, &self.channel, kind, payload));
        } else {
            self.screen.show(kind, payload, &Heard::Other);
        }
    }
}

/// A message as an object, in one line that a terminal only shows.
fn line(at: Duration, channel: &ChannelName, kind: Kind, payload: &[u8]) -> String {
    let (kind, field, value) = match (kind, str::from_utf8(payload)) {
        (Kind::Text, Ok(text)) => ("text", "data", Value::from(text)),
        _ => ("binary", "base64", Value::from(STANDARD.encode(payload))),
    };
    format!(
        "{{\"at\":{}.{:03},\"channel\":\"{channel}\",\"kind\":\"{kind}\",\"{field}\":{}}}",
        at.as_secs(),
        at.subsec_millis(),
        escape_json(&value.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: Kind, payload: &[u8]) -> String {
        line(Duration::from_millis(1_700_000_000_007), &ChannelName::new("a/b").unwrap(), kind, payload)
    }

    #[test]
    fn a_text_is_an_object_in_one_line() {
        assert_eq!(
            shown(Kind::Text, "\"é\"\n\x1b[2J\u{9b}\u{202e}".as_bytes()),
            "{\"at\":1700000000.007,\"channel\":\"a/b\",\"kind\":\"text\",\
             \"data\":\"\\\"é\\\"\\n\\u001b[2J\\u009b\\u202e\"}"
        );
    }

    #[test]
    fn what_is_binary_is_in_base64() {
        assert_eq!(
            shown(Kind::Binary, b"\0\xff"),
            r#"{"at":1700000000.007,"channel":"a/b","kind":"binary","base64":"AP8="}"#
        );
    }
}
