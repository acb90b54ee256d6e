//! [`ChannelArguments`]: which channel of which server, as the user says it.

use super::caller::Caller;
use super::security::SecurityArguments;
use super::token::TokenArguments;
use crate::cli::EXIT_USAGE;
use crate::cli::address::Address;
use clap::Args;
use fanwire::hub::ChannelName;
use std::process::ExitCode;
use std::str::FromStr;

/// Which channel of which server, and how they prove to each other who they are.
#[derive(Debug, Args)]
pub(crate) struct ChannelArguments {
    /// The channel: 1 to 200 of A-Za-z0-9-_=@,.;:/
    #[arg(value_name = "CHANNEL", value_parser = channel)]
    channel: ChannelName,
    // Written as an attribute: rustdoc would take the brackets for links. It is not clap that reads it: who puts a token there
    // would see it in the error, which repeats what cannot be used.
    #[arg(long, value_name = "URL", help = SERVER_HELP, env = "FANWIRE_SERVER", hide_env_values = true, default_value = "ws://127.0.0.1:8080")]
    server: String,
    #[command(flatten)]
    security: SecurityArguments,
    #[command(flatten)]
    token: TokenArguments,
}

const SERVER_HELP: &str =
    "The server: ws://host[:port], wss:// with TLS, or host:port. A path is what a proxy has put before /ws";

/// A channel that can be called.
pub(crate) struct Called {
    /// Its name.
    pub(crate) channel: ChannelName,
    /// Who calls it.
    pub(crate) caller: Caller,
    /// Whether the server is told by a token who we are.
    pub(crate) has_token: bool,
}

impl ChannelArguments {
    /// A caller for the channel. Signals are the user's wish to leave from here on.
    ///
    /// # Errors
    /// The exit code, when the user has been told why it cannot be.
    pub(crate) fn call(self) -> Result<Called, ExitCode> {
        let ChannelArguments { channel, server, security, token } = self;
        let base = server.parse::<Base>().map_err(|problem| format!("--server or FANWIRE_SERVER: {problem}"));
        let usable = base.and_then(|base| {
            let mut address = base.address(&channel)?;
            let has_token = token.authorize(&mut address)?;
            let security = security.security(&address)?;
            Ok((address, security, has_token))
        });
        let (address, security, has_token) = usable.map_err(|problem| {
            eprintln!("error: {problem}");
            ExitCode::from(EXIT_USAGE)
        })?;
        let caller = Caller::new(address, security).map_err(|error| refused(&error))?;
        Ok(Called { channel, caller, has_token })
    }
}

/// The exit code when the system refuses what no client can be without, and the user has been told.
pub(crate) fn refused(error: &std::io::Error) -> ExitCode {
    eprintln!("the system refused what a client needs: {error}");
    ExitCode::FAILURE
}

fn channel(name: &str) -> Result<ChannelName, String> {
    ChannelName::new(name).map_err(|error| error.to_string())
}

/// A server's address up to the `/ws` of all its channels.
#[derive(Clone, Debug)]
struct Base(String);

impl FromStr for Base {
    type Err = String;

    fn from_str(written: &str) -> Result<Base, String> {
        if written.contains(['?', '#']) {
            return Err("a server has no query and no fragment: the channel is an argument of its own".into());
        }
        let base = written.trim_end_matches('/');
        let authority = base.find("://").map_or(0, |scheme| scheme + 3);
        // Who copies a channel's address from elsewhere may leave its path, of the lobby, where it is.
        let base = match base.strip_suffix("/ws") {
            Some(base) if base.len() > authority => base,
            _ => base,
        };
        format!("{base}/ws").parse::<Address>()?;
        Ok(Base(base.to_owned()))
    }
}

impl Base {
    fn address(&self, channel: &ChannelName) -> Result<Address, String> {
        format!("{}/ws/{channel}", self.0).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(server: &str, name: &str) -> String {
        let address = server.parse().and_then(|base: Base| base.address(&ChannelName::new(name).unwrap()));
        address.map_or_else(|error| format!("error: {error}"), |address| address.to_string())
    }

    #[test]
    fn a_channel_s_address_is_the_server_s_and_its_name() {
        assert_eq!(url("ws://127.0.0.1:8080", "news/a"), "ws://127.0.0.1:8080/ws/news/a");
        assert_eq!(url("wss://example.com/", "lobby"), "wss://example.com/ws/lobby");
        assert_eq!(url("localhost:8080", "a"), "ws://localhost:8080/ws/a");
        assert_eq!(url("https://example.com", "a"), "wss://example.com/ws/a", "a page's address");
    }

    #[test]
    fn a_path_is_a_proxys_and_that_of_the_lobby_is_no_part_of_it() {
        assert_eq!(url("wss://example.com/chat/", "a"), "wss://example.com/chat/ws/a");
        assert_eq!(url("ws://a:8080/ws", "b"), "ws://a:8080/ws/b");
        assert_eq!(url("ws://ws", "b"), "ws://ws/ws/b", "a host of that name");
    }

    #[test]
    fn what_is_no_server_says_what_to_write() {
        assert!(url("ws://a:1?echo=off", "b").contains("no query"), "{}", url("ws://a:1?echo=off", "b"));
        assert!(url("ftp://a", "b").contains("use ws://"));
        assert!(url("localhost", "b").contains("port is missing"), "{}", url("localhost", "b"));
    }
}
