//! `fanwire chat`: the terminal client. A line typed is said to everyone in the channel; what they say is shown.
//!
//! It speaks WebSocket by `fanwire::protocol::Connection` in the client role. What comes from the server is untrusted:
//! no control character in it reaches a terminal.

mod input;
mod session;
mod talk;

use super::EXIT_USAGE;
use super::address::Address;
use super::client::{Caller, SecurityArguments, TokenArguments};
use clap::Args;
use session::Session;
use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// What `fanwire chat` can be told.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct ChatArguments {
    // Written as an attribute: rustdoc would take the brackets for links.
    #[arg(value_name = "URL", help = URL_HELP, default_value = "ws://127.0.0.1:8080/ws")]
    url: Address,
    /// The name under which you speak [default: $USER, or anonymous]
    #[arg(long, value_name = "NAME", env = "FANWIRE_USERNAME")]
    username: Option<String>,
    /// Send lines as they are, instead of as {"username", "text"}, and show every payload as it is
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    security: SecurityArguments,
    #[command(flatten)]
    token: TokenArguments,
}

const URL_HELP: &str = "Where the channel is: ws://host[:port][/path][?query], wss:// with TLS, host:port for its lobby, or the chat page's address";

/// A line a paragraph: clap wraps them.
const NOTES: &str = "\
Messages go to stdout, as `name: text`; what happens to the connection goes to stderr. In a terminal, your own lines \
stand where you typed them and are not shown again when they come back (with --raw, all that comes is shown). Control \
characters in messages are shown, not obeyed; only --raw writes bytes as they are, and only if stdout is no terminal.

Ctrl-D sends what was typed and leaves; Ctrl-C leaves at once, a second Ctrl-C without a goodbye.

From a pipe, as in `echo hi | fanwire chat`, all lines are sent; when they have come back, or after 2 s in which none \
did (at once with ?echo=off), the connection is closed.

A connection that is lost is made again, after a wait that grows to half a minute, and lines kept meanwhile are sent \
then: in a terminal without end; from a pipe up to five times in a row, and not at all if there was no connection in \
the first place. A refusal by the server (4xx) is final, and so are a close code that blames us, such as 1009, and a \
certificate that is not trusted.

Without --tls-ca, SSL_CERT_FILE and SSL_CERT_DIR say where this system's authorities are, if not in the usual place.

Exit codes: 0 left or done; 1 refused, no connection, or from a pipe: lines not sent, not accepted or perhaps lost; 2 \
an argument cannot be used.";

/// Who has no name.
const ANONYMOUS: &str = "anonymous";

/// Chats until the user leaves, or the server is done with us.
pub(crate) fn run(arguments: ChatArguments) -> ExitCode {
    let ChatArguments { mut url, username, raw, security, token } = arguments;
    let has_token = token.authorize(&mut url);
    let usable =
        has_token.and_then(|has_token| security.security(&url).map(|security| (security, has_token)));
    let (security, has_token) = match usable {
        Ok(usable) => usable,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let username = username
        .or_else(|| env::var("USER").ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| ANONYMOUS.to_owned());
    let is_interactive = io::stdin().is_terminal();
    let session = Caller::new(url, security)
        .map(|caller| Session::new(caller, username, has_token, raw, is_interactive));
    match session.and_then(Session::run) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("the system refused what a client needs: {error}");
            ExitCode::FAILURE
        }
    }
}
