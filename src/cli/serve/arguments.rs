//! [`ServeArguments`]: what `fanwire serve` can be told, each option with what it says of itself.

use crate::cli::log::LogFormat;
use crate::cli::seconds;
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use fanwire::config::ListenAddress;
use fanwire::limits;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `fanwire serve` can be told. Durations are in seconds, fractions allowed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches, each of its own")]
pub(crate) struct ServeArguments {
    /// TOML file with options, by their long names, and sections for channels; flags and variables win over it. It is read
    /// again on SIGHUP and when it changes
    #[arg(long, value_name = "FILE", env = "FANWIRE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Address and port to listen on; repeatable; IPv6 in brackets, of which [::] takes IPv4 too; or a Unix socket, as
    /// unix:PATH
    /// [default: 127.0.0.1:8080, or none if --listen-tls is given]
    #[arg(long, value_name = "ADDR", env = "FANWIRE_LISTEN", value_delimiter = ',')]
    pub(super) listen: Vec<ListenAddress>,
    /// Address and port, or Unix socket, to listen on for TLS, that is for wss:// and https://; repeatable; with --listen,
    /// both are served side by side
    #[arg(long, value_name = "ADDR", env = "FANWIRE_LISTEN_TLS", value_delimiter = ',')]
    pub(super) listen_tls: Vec<ListenAddress>,
    /// Permissions of Unix sockets' files, as chmod takes them: who may write may connect
    #[arg(long, value_name = "OCTAL", env = "FANWIRE_UNIX_MODE", value_parser = mode, default_value = "0660")]
    pub(super) unix_mode: u32,
    /// Every connection begins with a header of the PROXY protocol, version 1 or 2, that says where it comes from; before
    /// TLS. Who sends none, or is not named by --trust-proxy, is closed
    #[arg(long, env = "FANWIRE_PROXY_PROTOCOL", value_parser = BoolishValueParser::new())]
    pub(super) proxy_protocol: bool,
    /// Address or network of proxies whose word is taken for where a client comes from: X-Forwarded-For, Forwarded, and with
    /// --proxy-protocol its headers; repeatable. Unix sockets are trusted always
    #[arg(long, value_name = "CIDR", env = "FANWIRE_TRUST_PROXY", value_delimiter = ',')]
    pub(super) trust_proxy: Vec<String>,
    /// Let another fanwire of the same user listen on the same addresses, if that is given this too: the one that takes
    /// over. Of a Unix socket, take over from the one that answers there
    #[arg(long, env = "FANWIRE_REUSE_PORT", value_parser = BoolishValueParser::new())]
    pub(super) reuse_port: bool,
    /// Certificate for --listen-tls, PEM, with the chain behind it; read again on SIGHUP and when the file changes
    #[arg(long, value_name = "FILE", env = "FANWIRE_TLS_CERT")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM: PKCS#8, SEC1 or RSA, not encrypted; read again with it
    #[arg(long, value_name = "FILE", env = "FANWIRE_TLS_KEY")]
    pub(super) tls_key: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", env = "FANWIRE_WORKERS")]
    pub(super) workers: Option<usize>,
    /// Bytes a message may have, summed over its fragments; a longer one is answered with close code 1009
    #[arg(long, value_name = "BYTES", env = "FANWIRE_MAX_MESSAGE_SIZE", default_value_t = limits::MESSAGE_BYTES_DEFAULT)]
    pub(super) max_message_size: usize,
    /// Seconds from accepting a connection to the end of its opening handshake, however slowly it drips; 0: no limit
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_HANDSHAKE_TIMEOUT", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "10")]
    pub(super) handshake_timeout: u32,
    /// Seconds without a byte from a client after which it gets a Ping; 0: never
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_PING_INTERVAL", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "30")]
    pub(super) ping_interval: u32,
    /// Seconds without a byte from a client, pongs included, after which it is closed; 0: never
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_IDLE_TIMEOUT", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "75")]
    pub(super) idle_timeout: u32,
    /// Seconds that a closing handshake may take, and all of them at shutdown; 0: nobody waits
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_CLOSE_TIMEOUT", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "5")]
    pub(super) close_timeout: u32,
    /// Seconds from SIGTERM until the listeners close, in which /healthz says 503 and all else goes on
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_DRAIN_DELAY", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "0")]
    pub(super) drain_delay: u32,
    /// The most seconds over which clients are told goodbye at shutdown, so that they do not all come back at once; few
    /// take less; 0: all at once
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_DRAIN_SECONDS", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "10")]
    pub(super) drain_seconds: u32,
    /// What clients are told at shutdown: 1001, the server goes away; 1012, it restarts
    #[arg(long, value_enum, value_name = "CODE", env = "FANWIRE_DRAIN_CODE", default_value = "1001")]
    pub(super) drain_code: DrainCode,
    /// Connections at a time; one more gets 503 [default: what the limit of open files allows]
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_CONNECTIONS")]
    pub(super) max_connections: Option<usize>,
    /// Connections of one IP address at a time, of IPv6 by its first 64 bits; one more gets 429; 0: any number. Mind
    /// that many people may share an address, and all of them share it behind a proxy that --trust-proxy does not name
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_CONNECTIONS_PER_IP", default_value_t = 0)]
    pub(super) max_connections_per_ip: usize,
    /// Messages that a client may send a second; over it, it is not read for a while, so that TCP slows it; 0: any number
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_MESSAGES_PER_SECOND", default_value_t = 0)]
    pub(super) max_messages_per_second: u64,
    /// Messages that it may send at once after a silence [default: those of a second]
    #[arg(long, value_name = "N", env = "FANWIRE_MESSAGE_BURST")]
    pub(super) message_burst: Option<u64>,
    /// Bytes that a client may send a second, frame headers and control frames included; over it, it is not read for a
    /// while; 0: any number
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_BYTES_PER_SECOND", default_value_t = 0)]
    pub(super) max_bytes_per_second: u64,
    /// Bytes that it may send at once after a silence [default: those of a second, or 16 KiB if that is more]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_BYTE_BURST")]
    pub(super) byte_burst: Option<u64>,
    /// Bytes that one client may lag behind before it counts as a slow consumer: see --slow-consumer. The kernel's socket
    /// buffer, up to some MiB, comes on top: see --send-buffer
    /// [default: 1 MiB or twice --max-message-size, whichever is more]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_OUTBOX_LIMIT")]
    pub(super) outbox_limit: Option<usize>,
    /// Bytes of memory that all clients together may make the server hold; from four fifths of it on a new connection gets
    /// 503, beyond it the largest queues go; 0: no bound
    /// [default: half of what the machine, or this process's control group, has]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_MEMORY_BUDGET")]
    pub(super) memory_budget: Option<u64>,
    /// What becomes of who is over the outbox limit in a channel: disconnect (the default), drop-oldest, or latest, which
    /// leaves only the newest message. PATTERN is a channel's name, or the beginning of names and *; the longest that
    /// matches decides; repeatable, in the variable separated by white space
    #[arg(long, value_name = "PATTERN=POLICY", env = "FANWIRE_SLOW_CONSUMER")]
    pub(super) slow_consumer: Vec<String>,
    /// Bytes of the kernel's send buffer for each client [default: the system sizes it as needed]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_SEND_BUFFER")]
    pub(super) send_buffer: Option<usize>,
    /// permessage-deflate with clients that offer it: each message is compressed once for all of them
    #[arg(long, value_enum, value_name = "WHETHER", env = "FANWIRE_DEFLATE", default_value = "on")]
    pub(super) deflate: OnOff,
    /// Bytes from which on a message is compressed; 0 compresses all, even those that grow by it
    #[arg(long, value_name = "BYTES", env = "FANWIRE_DEFLATE_MIN_SIZE", default_value_t = limits::DEFLATE_BYTES_MIN_DEFAULT)]
    pub(super) deflate_min_size: usize,
    /// How hard to compress: 1, fast, to 9, small
    #[arg(long, value_name = "LEVEL", env = "FANWIRE_DEFLATE_LEVEL", default_value_t = limits::DEFLATE_LEVEL_DEFAULT)]
    pub(super) deflate_level: u8,
    /// Let clients compress with what they said before: fewer bytes from them, and up to 32 KiB of memory for each
    #[arg(long, env = "FANWIRE_DEFLATE_CONTEXT_TAKEOVER", value_parser = BoolishValueParser::new())]
    pub(super) deflate_context_takeover: bool,
    /// What may be published: anything, JSON text, or {"username": string, "text": string}
    #[arg(long, value_enum, value_name = "POLICY", env = "FANWIRE_PAYLOAD", default_value = "any")]
    pub(super) payload: Payload,
    /// Origin whose pages may connect: scheme, host and port exactly as browsers send them; repeatable; * for all
    /// [default: the same origin as the Host header's; who sends no Origin is not a browser and may always]
    #[arg(long, value_name = "ORIGIN", env = "FANWIRE_ALLOW_ORIGIN", value_delimiter = ',')]
    pub(super) allow_origin: Vec<String>,
    /// Ask clients for tokens (JWT), signed with the secret in this file by HS256: at least 32 bytes, line ends behind it
    /// left out; read again on reload
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_SECRET_FILE")]
    pub(super) jwt_secret_file: Option<PathBuf>,
    /// Ask clients for tokens (JWT) that this public key verifies, PEM: RSA, P-256 or Ed25519; repeatable, and
    /// a file may have several; read again on reload
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_PUBLIC_KEY", value_delimiter = ',')]
    pub(super) jwt_public_key: Vec<PathBuf>,
    /// Ask clients for tokens (JWT) that a key of this JWK set verifies, chosen by kid and alg; read again on reload
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_JWKS")]
    pub(super) jwt_jwks: Option<PathBuf>,
    /// Whom tokens must be for (aud): one of these; repeatable [default: tokens must have no aud]
    #[arg(long, value_name = "NAME", env = "FANWIRE_JWT_AUDIENCE", value_delimiter = ',')]
    pub(super) jwt_audience: Vec<String>,
    /// Who must have issued tokens (iss): one of these; repeatable [default: anyone who has the key]
    #[arg(long, value_name = "NAME", env = "FANWIRE_JWT_ISSUER", value_delimiter = ',')]
    pub(super) jwt_issuer: Vec<String>,
    /// Whole seconds by which the issuer's clock may differ: a token is good for so long before its nbf and after its exp
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_JWT_LEEWAY", default_value_t = limits::TOKEN_LEEWAY_SECONDS_DEFAULT)]
    pub(super) jwt_leeway: u64,
    /// Serve /echo, where messages go back to their sender only
    #[arg(long, env = "FANWIRE_ECHO", value_parser = BoolishValueParser::new())]
    pub(super) echo: bool,
    /// Address and port of the admin API, with metrics and a dashboard; only this machine's own unless there is a token
    /// [default: none]
    #[arg(long, value_name = "ADDR", env = "FANWIRE_ADMIN", value_parser = address)]
    pub(super) admin: Option<SocketAddr>,
    /// File with the token that the admin API asks for, at least 16 characters: openssl rand -hex 32 >FILE. The variable
    /// `FANWIRE_ADMIN_TOKEN` may hold the token itself instead; no option does, for those can be seen by everyone
    #[arg(long, value_name = "FILE", env = "FANWIRE_ADMIN_TOKEN_FILE")]
    pub(super) admin_token_file: Option<PathBuf>,
    /// How log lines are written, to stderr
    #[arg(long, value_enum, value_name = "FORMAT", env = "FANWIRE_LOG_FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Log more: -v says why each connection ended, -vv all there is
    #[arg(short, long, env = "FANWIRE_VERBOSE", action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Payload {
    /// Any text and binary message, verbatim
    Any,
    /// JSON text, verbatim
    Json,
    /// Chat lines, in their normal form
    Chat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum DrainCode {
    /// Going Away
    #[value(name = "1001")]
    GoingAway,
    /// Service Restart
    #[value(name = "1012")]
    ServiceRestart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnOff {
    On,
    Off,
}

/// An address of TCP.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, as 127.0.0.1:8081 or [::1]:8081".to_owned())
}

/// Permissions in octal digits.
fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|_| "give three octal digits, as 0660".to_owned())
}
