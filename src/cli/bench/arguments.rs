//! What `fanwire bench` can be told.

use super::addresses::Addresses;
use crate::cli::address::Address;
use crate::cli::client::TokenArguments;
use crate::cli::seconds;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What `fanwire bench` can be told.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(super) mode: ModeArguments,
}

/// A line a paragraph: clap wraps them.
const NOTES: &str = "\
The server may be any WebSocket server. Give it and the generator cores of their own (taskset -c), and look at the \
generator's CPU time in the report: near 100 % of its threads it is the generator that was measured.

With --window the load is as high as the server carries it; with --rate it is fixed, and a message's latency counts from \
when it was to be sent, so that a server that lags is not spared.

Ctrl-C ends the measurement early and reports what there is.

Exit codes: 0 done; 1 messages or connections were lost, or there was no connection; 2 an option cannot be used, or the host is not found.";

#[derive(Debug, Subcommand)]
pub(super) enum ModeArguments {
    /// Every connection sends messages and waits for them to come back
    Echo {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        connections: Connections,
        #[command(flatten)]
        traffic: Traffic,
        /// Send binary messages instead of text
        #[arg(long)]
        binary: bool,
    },
    /// Some connections publish chat messages, and all of them receive what is published in their channel
    Broadcast {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        connections: Connections,
        #[command(flatten)]
        traffic: Traffic,
        /// Connections that publish
        #[arg(long, value_name = "K", default_value_t = 1)]
        publishers: usize,
        /// Spread connections and publishers over so many channels, at /b0, /b1 … behind the URL's path; 0: all are in the
        /// channel that the URL names
        #[arg(long, value_name = "G", default_value_t = 0)]
        channels: usize,
    },
    /// Connections are opened, closed and opened again
    Connect {
        #[command(flatten)]
        common: Common,
        /// Connections at a time
        #[arg(long, value_name = "N", default_value_t = 64, visible_alias = "connections", short = 'c')]
        slots: usize,
    },
    /// Connections are opened and do nothing
    Idle {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        connections: Connections,
    },
}

/// What every mode can be told. Durations are in milliseconds, written in seconds, fractions allowed.
#[derive(Debug, Args)]
pub(super) struct Common {
    // Written as an attribute: rustdoc would take the brackets for links.
    #[arg(
        value_name = "URL",
        help = "Where the server is: ws://host[:port][/path][?query], or host:port for /ws"
    )]
    pub(super) url: Address,
    /// Seconds to measure
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds::parse, default_value = "10")]
    pub(super) duration: u32,
    /// Seconds of the same load before that
    #[arg(long, value_name = "SECONDS", value_parser = seconds::parse, default_value = "1")]
    pub(super) warmup: u32,
    /// Threads of the generator
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(super) threads: usize,
    /// Addresses of this machine to connect from, in turn, with ranges as 127.0.0.1-8: each has some 28,000 ports
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub(super) source: Vec<Addresses>,
    /// Addresses of the server to connect to instead of the URL's host, in turn, with ranges as 127.0.0.1-8
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub(super) destinations: Vec<Addresses>,
    /// Connections that are being opened at a time
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(super) opening: usize,
    /// A header for the opening handshake, as 'Cookie: name=value'; repeatable
    #[arg(long, value_name = "NAME: VALUE")]
    pub(super) header: Vec<String>,
    #[command(flatten)]
    token: TokenArguments,
    /// Processes of the server, whose CPU time and memory are reported
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(super) pid: Vec<u32>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Write a report with plots to this file, too
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

/// How many connections there are.
#[derive(Debug, Args)]
pub(super) struct Connections {
    /// Connections
    #[arg(short, long, value_name = "N", default_value_t = 100)]
    pub(super) connections: usize,
}

/// What is sent.
#[derive(Debug, Args)]
pub(super) struct Traffic {
    /// Messages that each sender has under way: the next goes when one has come back
    #[arg(long, value_name = "W", default_value_t = 1)]
    pub(super) window: usize,
    /// Messages a second that are sent over all, at fixed times, whatever comes back
    #[arg(long, value_name = "R", conflicts_with = "window")]
    pub(super) rate: Option<f64>,
    /// Bytes of a message; a published one has at least 64
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 128)]
    pub(super) payload: usize,
    /// Seconds to wait at the end for what has not arrived yet
    #[arg(long, value_name = "SECONDS", value_parser = seconds::parse, default_value = "3")]
    pub(super) drain: u32,
}

impl ModeArguments {
    /// What every mode can be told.
    pub(super) fn common(&self) -> &Common {
        match self {
            ModeArguments::Echo { common, .. }
            | ModeArguments::Broadcast { common, .. }
            | ModeArguments::Connect { common, .. }
            | ModeArguments::Idle { common, .. } => common,
        }
    }

    /// Gives the requests to the server the token, if there is one. A header that says who we are is for this run, and wins
    /// over the variable.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do.
    pub(super) fn authorize(&mut self) -> Result<(), String> {
        let (ModeArguments::Echo { common, .. }
        | ModeArguments::Broadcast { common, .. }
        | ModeArguments::Connect { common, .. }
        | ModeArguments::Idle { common, .. }) = self;
        let is_authorization = |header: &String| {
            header.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("Authorization"))
        };
        if common.header.iter().any(is_authorization) {
            let problem =
                "--token-file and --header 'Authorization: …' are both given: leave one of them out";
            return if common.token.has_file() { Err(problem.to_owned()) } else { Ok(()) };
        }
        common.token.authorize(&mut common.url).map(|_| ())
    }
}
