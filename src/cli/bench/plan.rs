//! [`Plan`]: what a run is to do, checked: nothing downstream checks again.

use super::arguments::{Common, Traffic};
use super::outcome::Mode;
use super::pace::Pace;
use super::payload::{LINE_BYTES_MIN, PUBLISHERS_MAX};
use super::peer::Route;
use crate::cli::address::Address;
use crate::cli::descriptors;
use fanwire::protocol::{ClientRequest, Kind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Bytes that a message may have: more than any server takes by default.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Messages under way that one sender may have.
const WINDOW_MAX: usize = 1 << 20;

const THREADS_MAX: usize = 256;

/// Descriptors that are no connections: standard streams, polls, wakers, files.
const DESCRIPTORS_RESERVED: usize = 32;

/// How long each of a host's addresses may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a run is to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) url: String,
    /// Where connections lead, in turn. Not empty.
    destinations: Vec<SocketAddr>,
    /// Where they come from, in turn; empty if the system may choose.
    sources: Vec<IpAddr>,
    /// What is asked for: one for each channel. Not empty.
    requests: Vec<ClientRequest>,
    pub(super) connections: usize,
    /// Connections that send, which are the first.
    pub(super) publishers: usize,
    pub(super) pace: Pace,
    pub(super) payload_bytes: usize,
    pub(super) kind: Kind,
    pub(super) duration: Duration,
    pub(super) warmup: Duration,
    pub(super) drain: Duration,
    pub(super) threads: usize,
    /// Connections that are being opened at a time.
    pub(super) opening: usize,
    pub(super) pids: Vec<u32>,
}

impl Plan {
    /// What is common to all modes. It needs names to be resolved.
    ///
    /// # Errors
    /// What option cannot be used as given, and what to do.
    pub(super) fn new(mode: Mode, common: &Common, connections: usize) -> Result<Plan, String> {
        let name = if mode == Mode::Connect { "--slots" } else { "--connections" };
        at_least_one(name, connections)?;
        at_least_one("--threads", common.threads)?;
        at_least_one("--opening", common.opening)?;
        if common.duration == 0 {
            return Err("--duration 0: give the seconds to measure, as 10 or 0.5".to_owned());
        }
        if common.threads > THREADS_MAX {
            return Err(format!("--threads {}: give at most {THREADS_MAX}", common.threads));
        }
        let url = &common.url;
        if url.server_name.is_some() {
            return Err(format!(
                "{url}: the load generator speaks no TLS yet: use ws:// and a port without TLS"
            ));
        }
        check_descriptors(name, connections)?;
        let mut request = url.request.clone();
        for header in &common.header {
            request = with_header(request, header)?;
        }
        let destinations = if common.destinations.is_empty() {
            vec![resolve(url)?]
        } else {
            let addresses = common.destinations.iter().flat_map(|range| range.0.iter());
            addresses.map(|address| SocketAddr::new(*address, url.port)).collect()
        };
        let sources: Vec<_> = common.source.iter().flat_map(|range| range.0.iter().copied()).collect();
        if let Some(source) = sources.iter().find(|source| source.is_ipv4() != destinations[0].is_ipv4()) {
            return Err(format!(
                "--source {source}: the server's address is of the other kind, IPv4 or IPv6"
            ));
        }
        Ok(Plan {
            mode,
            url: url.to_string(),
            destinations,
            sources,
            requests: vec![request],
            connections,
            publishers: 0,
            pace: Pace::Window(1),
            payload_bytes: 0,
            kind: Kind::Text,
            duration: milliseconds(common.duration),
            warmup: milliseconds(common.warmup),
            drain: Duration::ZERO,
            threads: common.threads.min(connections),
            opening: common.opening,
            pids: common.pid.clone(),
        })
    }

    /// The plan with messages to be sent by `publishers` of the connections, and in so many channels (0: where the URL
    /// leads).
    ///
    /// # Errors
    /// What option cannot be used as given, and what to do.
    pub(super) fn with_traffic(
        mut self,
        traffic: &Traffic,
        publishers: usize,
        channels: usize,
        common: &Common,
    ) -> Result<Plan, String> {
        at_least_one("--publishers", publishers)?;
        if publishers > self.connections {
            let connections = self.connections;
            return Err(format!(
                "--publishers {publishers}: publishers are connections too: give --connections {publishers} or more, not \
                 {connections}"
            ));
        }
        self.pace = match (traffic.rate, traffic.window) {
            (Some(rate), _) if rate > 0.0 && rate <= 1e9 => Pace::Rate(rate),
            (Some(rate), _) => {
                return Err(format!("--rate {rate}: give messages a second, more than 0, at most 1e9"));
            }
            (None, window) if (1..=WINDOW_MAX).contains(&window) => Pace::Window(window),
            (None, window) => return Err(format!("--window {window}: give 1 to {WINDOW_MAX} messages")),
        };
        if matches!(self.pace, Pace::Window(_)) && !common.url.has_echo {
            return Err(format!(
                "--window: a publisher waits for its own messages, which {} keeps from it: leave out echo=off, or give \
                 --rate",
                common.url
            ));
        }
        let bytes = traffic.payload;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(format!("--payload {bytes}: give at most {PAYLOAD_BYTES_MAX} bytes"));
        }
        if self.mode == Mode::Broadcast {
            if bytes < LINE_BYTES_MIN {
                return Err(format!(
                    "--payload {bytes}: a message carries its publisher, number and time: give {LINE_BYTES_MIN} bytes or \
                     more"
                ));
            }
            if publishers > PUBLISHERS_MAX {
                return Err(format!("--publishers {publishers}: give at most {PUBLISHERS_MAX}"));
            }
        }
        if channels > self.connections {
            return Err(format!(
                "--channels {channels}: some would have no connection: give --connections {channels} or more, not {}",
                self.connections
            ));
        }
        if channels > 0 {
            let request = &self.requests[0];
            let in_channel = |channel| {
                let request = request.clone().below(&format!("b{channel}"));
                request.map_err(|error| format!("--channels: {error}"))
            };
            self.requests = (0..channels).map(in_channel).collect::<Result<_, _>>()?;
        }
        self.publishers = publishers;
        self.payload_bytes = bytes;
        self.drain = milliseconds(traffic.drain);
        Ok(self)
    }

    /// Channels. In an echo everybody is alone.
    pub(super) fn groups(&self) -> usize {
        if self.mode == Mode::Echo { self.connections } else { self.requests.len() }
    }

    /// Publishers in a channel: connection `i` is in channel `i` modulo their number.
    pub(super) fn publishers_of(&self, channel: usize) -> usize {
        (channel..self.publishers).step_by(self.groups()).len()
    }

    /// Whether messages are chat lines, which say who sent them and when.
    pub(super) fn has_lines(&self) -> bool {
        self.mode == Mode::Broadcast
    }

    pub(super) fn is_at_rate(&self) -> bool {
        matches!(self.pace, Pace::Rate(_))
    }

    /// What this connection asks for.
    pub(super) fn request(&self, connection: usize) -> &ClientRequest {
        &self.requests[connection % self.requests.len()]
    }

    /// Where the attempt with this number leads.
    pub(super) fn route(&self, attempt: usize) -> Route {
        let address = self.destinations[attempt % self.destinations.len()];
        // All pairs are used: a pair has 28,000 ports.
        let source = match self.sources.len() {
            0 => None,
            count => Some(self.sources[attempt / self.destinations.len() % count]),
        };
        Route { address, source }
    }

    /// What was asked for, as the user would say it.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let seconds = |duration: Duration| format!("{} s", duration.as_secs_f64());
        let connections = if self.mode == Mode::Connect { "slots" } else { "connections" };
        let mut settings = vec![("url", self.url.clone()), (connections, self.connections.to_string())];
        if self.publishers > 0 {
            if self.mode == Mode::Broadcast {
                settings.push(("publishers", self.publishers.to_string()));
                if self.requests.len() > 1 {
                    settings.push(("channels", self.requests.len().to_string()));
                }
            }
            settings.push(match self.pace {
                Pace::Window(window) => ("window", window.to_string()),
                Pace::Rate(rate) => ("rate", format!("{rate}/s")),
            });
            settings.push(("payload", format!("{} B", self.payload_bytes)));
            if self.mode == Mode::Echo {
                let kind = if self.kind == Kind::Text { "text" } else { "binary" };
                settings.push(("kind", kind.to_owned()));
            }
        }
        settings.push(("duration", seconds(self.duration)));
        settings.push(("warm-up", seconds(self.warmup)));
        settings.push(("threads", self.threads.to_string()));
        settings
    }
}

fn at_least_one(option: &str, number: usize) -> Result<(), String> {
    if number == 0 { Err(format!("{option} 0: give 1 or more")) } else { Ok(()) }
}

fn milliseconds(milliseconds: u32) -> Duration {
    Duration::from_millis(milliseconds.into())
}

/// Lets the process have as many open files as its hard limit allows, and checks that they suffice.
fn check_descriptors(option: &str, connections: usize) -> Result<(), String> {
    let limit = descriptors::raise_limit().now;
    let needed = connections.saturating_add(DESCRIPTORS_RESERVED);
    if needed as u64 > limit {
        return Err(format!(
            "{option} {connections}: this process may have {limit} open files: raise the limit (ulimit -n {needed}), or \
             give fewer"
        ));
    }
    Ok(())
}

/// The address of a URL's host. A name may have several, of which the server has perhaps one: the first that answers.
fn resolve(url: &Address) -> Result<SocketAddr, String> {
    let addresses = (&*url.host, url.port).to_socket_addrs();
    let addresses: Vec<_> =
        addresses.map_err(|error| format!("{url}: the host is not found: {error}"))?.collect();
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, PROBE_TIMEOUT).is_ok();
    let address = match &*addresses {
        [only] => Some(only),
        several => several.iter().find(answers).or(several.first()),
    };
    address.copied().ok_or_else(|| format!("{url}: the host has no address"))
}

/// The request with a header as the user wrote it.
fn with_header(request: ClientRequest, header: &str) -> Result<ClientRequest, String> {
    let (name, value) =
        header.split_once(':').ok_or_else(|| format!("--header {header:?}: write 'Name: value'"))?;
    let (name, value) = (name.trim(), value.trim());
    let result = if name.eq_ignore_ascii_case("Origin") {
        request.with_origin(value)
    } else if name.eq_ignore_ascii_case("Sec-WebSocket-Protocol") {
        value.split(',').map(str::trim).try_fold(request, ClientRequest::with_subprotocol)
    } else {
        request.with_header(name, value)
    };
    result.map_err(|error| format!("--header {header:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::arguments::{BenchArguments, ModeArguments};
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: BenchArguments,
    }

    fn plan(arguments: &str) -> Result<Plan, String> {
        let words = ["bench"].into_iter().chain(arguments.split(' '));
        let program = Program::try_parse_from(words).map_err(|error| error.to_string())?;
        super::super::plan(&program.arguments.mode)
    }

    #[test]
    fn without_options_a_hundred_connections_echo_one_message_each() {
        let plan = plan("echo ws://127.0.0.1:9/x").unwrap();
        assert_eq!((plan.connections, plan.publishers, plan.groups()), (100, 100, 100));
        assert_eq!((plan.pace, plan.payload_bytes, plan.kind), (Pace::Window(1), 128, Kind::Text));
        assert_eq!((plan.duration, plan.warmup), (Duration::from_secs(10), Duration::from_secs(1)));
        assert_eq!(plan.settings()[0], ("url", "ws://127.0.0.1:9/x".to_owned()));
    }

    #[test]
    fn channels_stand_below_the_path_and_before_the_query() {
        let plan = plan("broadcast ws://127.0.0.1:9/x/?a=b -c 7 --channels 3 --publishers 5").unwrap();
        let request = |channel| ClientRequest::new("127.0.0.1:9", format!("/x/b{channel}?a=b")).unwrap();
        assert_eq!(
            [0, 1, 2, 6].map(|connection| plan.request(connection).clone()),
            [0, 1, 2, 0].map(request)
        );
        assert_eq!([0, 1, 2].map(|channel| plan.publishers_of(channel)), [2, 2, 1]);
    }

    #[test]
    fn a_token_in_the_query_goes_to_every_channel_and_is_shown_nowhere() {
        let plan = plan("broadcast ws://127.0.0.1:9/x?token=a.b.c -c 2 --channels 2").unwrap();
        let request =
            |channel| ClientRequest::new("127.0.0.1:9", format!("/x/b{channel}?token=a.b.c")).unwrap();
        assert_eq!([0, 1].map(|connection| plan.request(connection).clone()), [0, 1].map(request));
        assert_eq!(plan.settings()[0], ("url", "ws://127.0.0.1:9/x?token=...".to_owned()));
    }

    #[test]
    fn without_channels_all_are_where_the_url_leads() {
        let plan = plan("broadcast ws://127.0.0.1:9/x -c 7 --publishers 5").unwrap();
        assert_eq!((plan.groups(), plan.publishers_of(0)), (1, 5));
        assert_eq!(plan.request(6), &ClientRequest::new("127.0.0.1:9", "/x").unwrap());
    }

    #[test]
    fn attempts_take_every_pair_of_addresses_in_turn() {
        let plan = plan("idle 127.0.0.1:9 --destinations 127.0.0.1-2 --source 127.0.1.1,127.0.1.2").unwrap();
        let pairs: Vec<_> = (0..5)
            .map(|attempt| {
                let Route { address, source } = plan.route(attempt);
                format!("{} {}", source.unwrap(), address)
            })
            .collect();
        assert_eq!(
            pairs,
            [
                "127.0.1.1 127.0.0.1:9",
                "127.0.1.1 127.0.0.2:9",
                "127.0.1.2 127.0.0.1:9",
                "127.0.1.2 127.0.0.2:9",
                "127.0.1.1 127.0.0.1:9",
            ]
        );
    }

    #[test]
    fn headers_are_sent_those_of_the_handshake_among_them() {
        let header = |header: &str| with_header(ClientRequest::new("a", "/").unwrap(), header);
        let request = || ClientRequest::new("a", "/").unwrap();
        assert_eq!(
            header("Authorization: Bearer x"),
            Ok(request().with_header("Authorization", "Bearer x").unwrap())
        );
        assert_eq!(header("origin: http://a"), Ok(request().with_origin("http://a").unwrap()));
        assert_eq!(header("Sec-WebSocket-Protocol: chat"), Ok(request().with_subprotocol("chat").unwrap()));
        assert!(header("Upgrade: x").is_err() && header("no colon").is_err());
    }

    #[test]
    fn who_we_are_is_said_once() {
        let authorized = |words: &str| {
            let words = ["bench"].into_iter().chain(words.split(' '));
            Program::try_parse_from(words).unwrap().arguments.mode.authorize()
        };
        assert_eq!(authorized("idle 127.0.0.1:9 --header authorization:x"), Ok(()));
        let both = authorized("idle 127.0.0.1:9 --token-file t --header Authorization:x");
        assert!(both.is_err_and(|error| error.ends_with("leave one of them out")));
    }

    #[test]
    fn threads_are_no_more_than_connections() {
        assert_eq!(plan("connect 127.0.0.1:9 --slots 3 --threads 8").map(|plan| plan.threads), Ok(3));
        assert!(
            plan("connect 127.0.0.1:9 --threads 257").is_err_and(|error| error.starts_with("--threads 257"))
        );
    }

    #[test]
    fn every_mode_is_a_subcommand_with_its_own_options() {
        for (arguments, mode) in [
            ("echo a:1 --binary", Mode::Echo),
            ("connect a:1 --slots 3", Mode::Connect),
            ("idle a:1 -c 3", Mode::Idle),
        ] {
            let words = ["bench"].into_iter().chain(arguments.split(' '));
            let parsed = Program::try_parse_from(words).unwrap().arguments.mode;
            assert!(matches!(
                (&parsed, mode),
                (ModeArguments::Echo { .. }, Mode::Echo)
                    | (ModeArguments::Connect { .. }, Mode::Connect)
                    | (ModeArguments::Idle { .. }, Mode::Idle)
            ));
        }
        assert!(plan("idle 127.0.0.1:9 --payload 3").is_err());
    }
}
