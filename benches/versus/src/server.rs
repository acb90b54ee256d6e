//! [`Server`]: who is compared, and how each of them is started.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;

/// A server in the comparison. All of them have `/ws`, where everybody hears everything, and `/echo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// What this is about, with one worker.
    Fanwire,
    /// The same with two workers on the one core that every server gets.
    #[value(name = "fanwire-2")]
    #[serde(rename = "fanwire-2")]
    FanwireTwo,
    /// Bun: uWebSockets inside.
    Bun,
    /// tokio-tungstenite, flushed once for all that is pending.
    Tungstenite,
    Fastwebsockets,
    Sockudo,
    /// The npm package `ws` on Node.js.
    Ws,
    /// The program in Go that fanwire replaces.
    Gorilla,
}

impl Server {
    /// The others.
    pub(crate) const PEERS: [Self; 6] =
        [Self::Bun, Self::Tungstenite, Self::Fastwebsockets, Self::Sockudo, Self::Ws, Self::Gorilla];

    /// How it is called in tables and arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanwire => "fanwire",
            Self::FanwireTwo => "fanwire-2",
            Self::Bun => "bun",
            Self::Tungstenite => "tungstenite",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Sockudo => "sockudo",
            Self::Ws => "ws",
            Self::Gorilla => "gorilla",
        }
    }

    /// Threads that it works with, where that can be chosen.
    pub(crate) fn workers(self) -> u32 {
        if self == Self::FanwireTwo { 2 } else { 1 }
    }

    pub(crate) fn is_fanwire(self) -> bool {
        matches!(self, Self::Fanwire | Self::FanwireTwo)
    }
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) server: Server,
    /// What is executed: a binary, or the runtime of a script.
    pub(crate) executable: PathBuf,
    /// What the runtime runs.
    pub(crate) script: Option<PathBuf>,
    /// Threads that it works with; only fanwire has a choice.
    pub(crate) workers: u32,
    /// Of the library and of what it runs on.
    pub(crate) version: String,
}

impl Program {
    /// The command line that makes it listen on a port of 127.0.0.1.
    pub(crate) fn command_line(&self, port: u16) -> Vec<OsString> {
        let mut line = vec![self.executable.clone().into_os_string()];
        line.extend(self.script.clone().map(PathBuf::into_os_string));
        let (address, workers) = (format!("127.0.0.1:{port}"), self.workers.to_string());
        let arguments = match self.server {
            Server::Fanwire | Server::FanwireTwo => {
                vec!["serve", "--echo", "--workers", &workers, "--listen", &address]
            }
            Server::Tungstenite | Server::Fastwebsockets | Server::Sockudo | Server::Gorilla => {
                vec![&*address]
            }
            Server::Bun | Server::Ws => address.split(':').collect(),
        };
        line.extend(arguments.into_iter().map(OsString::from));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(server: Server, script: Option<&str>) -> String {
        let program = Program {
            server,
            executable: "/bin/program".into(),
            script: script.map(PathBuf::from),
            workers: server.workers(),
            version: String::new(),
        };
        program.command_line(7000).join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn fanwire_gets_one_worker_or_two() {
        assert_eq!(
            line(Server::Fanwire, None),
            "/bin/program serve --echo --workers 1 --listen 127.0.0.1:7000"
        );
        assert!(line(Server::FanwireTwo, None).contains("--workers 2"));
    }

    #[test]
    fn a_binary_gets_the_address_and_a_script_its_two_halves() {
        assert_eq!(line(Server::Gorilla, None), "/bin/program 127.0.0.1:7000");
        assert_eq!(line(Server::Bun, Some("bun.mjs")), "/bin/program bun.mjs 127.0.0.1 7000");
    }

    #[test]
    fn names_are_the_same_in_tables_arguments_and_results() {
        for server in Server::value_variants() {
            assert_eq!(server.to_possible_value().unwrap().get_name(), server.name());
            assert_eq!(serde_json::to_string(server).unwrap(), format!("\"{}\"", server.name()));
        }
    }
}
