//! `fanwire serve`: arguments and `FANWIRE_*` variables → [`Config`] → [`Server::run`]. (The file is long because each option
//! stands with what it says of itself.)

use super::descriptors::{self, Descriptors};
use super::file::File;
use super::log::{self, LogFormat};
use super::sources::{Given, Sources, locate};
use super::{EXIT_USAGE, allocator, memory, passed, seconds};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use fanwire::config::{
    AdminConfig, AuthConfig, ChannelRules, Config, ConfigError, ConfigSource, DeflateConfig, Described,
    DrainConfig, Goodbye, ListenAddress, OriginPolicy, PassedListener, PayloadPolicy, Rate, Rates, Secret,
    Setting, Source, TlsFiles, TrustedProxies,
};
use fanwire::hub::ChannelName;
use fanwire::limits::{self, Limits};
use fanwire::server::{Server, ServerError};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{mem, panic, thread};

/// What `fanwire serve` can be told. Durations are in seconds, fractions allowed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches, each of its own")]
pub(crate) struct ServeArguments {
    /// TOML file with options, by their long names, and sections for channels; flags and variables win over it. It is read
    /// again on SIGHUP and when it changes
    #[arg(long, value_name = "FILE", env = "FANWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// Address and port to listen on; repeatable; IPv6 in brackets, of which [::] takes IPv4 too; or a Unix socket, as
    /// unix:PATH
    /// [default: 127.0.0.1:8080, or none if --listen-tls is given]
    #[arg(long, value_name = "ADDR", env = "FANWIRE_LISTEN", value_delimiter = ',')]
    listen: Vec<ListenAddress>,
    /// Address and port, or Unix socket, to listen on for TLS, that is for wss:// and https://; repeatable; with --listen,
    /// both are served side by side
    #[arg(long, value_name = "ADDR", env = "FANWIRE_LISTEN_TLS", value_delimiter = ',')]
    listen_tls: Vec<ListenAddress>,
    /// Permissions of Unix sockets' files, as chmod takes them: who may write may connect
    #[arg(long, value_name = "OCTAL", env = "FANWIRE_UNIX_MODE", value_parser = mode, default_value = "0660")]
    unix_mode: u32,
    /// Every connection begins with a header of the PROXY protocol, version 1 or 2, that says where it comes from; before
    /// TLS. Who sends none, or is not named by --trust-proxy, is closed
    #[arg(long, env = "FANWIRE_PROXY_PROTOCOL", value_parser = BoolishValueParser::new())]
    proxy_protocol: bool,
    /// Address or network of proxies whose word is taken for where a client comes from: X-Forwarded-For, Forwarded, and with
    /// --proxy-protocol its headers; repeatable. Unix sockets are trusted always
    #[arg(long, value_name = "CIDR", env = "FANWIRE_TRUST_PROXY", value_delimiter = ',')]
    trust_proxy: Vec<String>,
    /// Let another fanwire of the same user listen on the same addresses, if that is given this too: the one that takes
    /// over. Of a Unix socket, take over from the one that answers there
    #[arg(long, env = "FANWIRE_REUSE_PORT", value_parser = BoolishValueParser::new())]
    reuse_port: bool,
    /// Certificate for --listen-tls, PEM, with the chain behind it; read again on SIGHUP and when the file changes
    #[arg(long, value_name = "FILE", env = "FANWIRE_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM: PKCS#8, SEC1 or RSA, not encrypted; read again with it
    #[arg(long, value_name = "FILE", env = "FANWIRE_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", env = "FANWIRE_WORKERS")]
    workers: Option<usize>,
    /// Bytes a message may have, summed over its fragments; a longer one is answered with close code 1009
    #[arg(long, value_name = "BYTES", env = "FANWIRE_MAX_MESSAGE_SIZE", default_value_t = limits::MESSAGE_BYTES_DEFAULT)]
    max_message_size: usize,
    /// Seconds from accepting a connection to the end of its opening handshake, however slowly it drips; 0: no limit
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_HANDSHAKE_TIMEOUT", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "10")]
    handshake_timeout: u32,
    /// Seconds without a byte from a client after which it gets a Ping; 0: never
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_PING_INTERVAL", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "30")]
    ping_interval: u32,
    /// Seconds without a byte from a client, pongs included, after which it is closed; 0: never
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_IDLE_TIMEOUT", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "75")]
    idle_timeout: u32,
    /// Seconds that a closing handshake may take, and all of them at shutdown; 0: nobody waits
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_CLOSE_TIMEOUT", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "5")]
    close_timeout: u32,
    /// Seconds from SIGTERM until the listeners close, in which /healthz says 503 and all else goes on
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_DRAIN_DELAY", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "0")]
    drain_delay: u32,
    /// The most seconds over which clients are told goodbye at shutdown, so that they do not all come back at once; few
    /// take less; 0: all at once
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_DRAIN_SECONDS", value_parser = seconds::parse, allow_negative_numbers = true, default_value = "10")]
    drain_seconds: u32,
    /// What clients are told at shutdown: 1001, the server goes away; 1012, it restarts
    #[arg(long, value_enum, value_name = "CODE", env = "FANWIRE_DRAIN_CODE", default_value = "1001")]
    drain_code: DrainCode,
    /// Connections at a time; one more gets 503 [default: what the limit of open files allows]
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_CONNECTIONS")]
    max_connections: Option<usize>,
    /// Connections of one IP address at a time, of IPv6 by its first 64 bits; one more gets 429; 0: any number. Mind
    /// that many people may share an address, and all of them share it behind a proxy that --trust-proxy does not name
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_CONNECTIONS_PER_IP", default_value_t = 0)]
    max_connections_per_ip: usize,
    /// Messages that a client may send a second; over it, it is not read for a while, so that TCP slows it; 0: any number
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_MESSAGES_PER_SECOND", default_value_t = 0)]
    max_messages_per_second: u64,
    /// Messages that it may send at once after a silence [default: those of a second]
    #[arg(long, value_name = "N", env = "FANWIRE_MESSAGE_BURST")]
    message_burst: Option<u64>,
    /// Bytes that a client may send a second, frame headers and control frames included; over it, it is not read for a
    /// while; 0: any number
    #[arg(long, value_name = "N", env = "FANWIRE_MAX_BYTES_PER_SECOND", default_value_t = 0)]
    max_bytes_per_second: u64,
    /// Bytes that it may send at once after a silence [default: those of a second, or 16 KiB if that is more]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_BYTE_BURST")]
    byte_burst: Option<u64>,
    /// Bytes that one client may lag behind before it counts as a slow consumer: see --slow-consumer. The kernel's socket
    /// buffer, up to some MiB, comes on top: see --send-buffer
    /// [default: 1 MiB or twice --max-message-size, whichever is more]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_OUTBOX_LIMIT")]
    outbox_limit: Option<usize>,
    /// Bytes of memory that all clients together may make the server hold; from four fifths of it on a new connection gets
    /// 503, beyond it the largest queues go; 0: no bound
    /// [default: half of what the machine, or this process's control group, has]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_MEMORY_BUDGET")]
    memory_budget: Option<u64>,
    /// What becomes of who is over the outbox limit in a channel: disconnect (the default), drop-oldest, or latest, which
    /// leaves only the newest message. PATTERN is a channel's name, or the beginning of names and *; the longest that
    /// matches decides; repeatable, in the variable separated by white space
    #[arg(long, value_name = "PATTERN=POLICY", env = "FANWIRE_SLOW_CONSUMER")]
    slow_consumer: Vec<String>,
    /// Bytes of the kernel's send buffer for each client [default: the system sizes it as needed]
    #[arg(long, value_name = "BYTES", env = "FANWIRE_SEND_BUFFER")]
    send_buffer: Option<usize>,
    /// permessage-deflate with clients that offer it: each message is compressed once for all of them
    #[arg(long, value_enum, value_name = "WHETHER", env = "FANWIRE_DEFLATE", default_value = "on")]
    deflate: OnOff,
    /// Bytes from which on a message is compressed; 0 compresses all, even those that grow by it
    #[arg(long, value_name = "BYTES", env = "FANWIRE_DEFLATE_MIN_SIZE", default_value_t = limits::DEFLATE_BYTES_MIN_DEFAULT)]
    deflate_min_size: usize,
    /// How hard to compress: 1, fast, to 9, small
    #[arg(long, value_name = "LEVEL", env = "FANWIRE_DEFLATE_LEVEL", default_value_t = limits::DEFLATE_LEVEL_DEFAULT)]
    deflate_level: u8,
    /// Let clients compress with what they said before: fewer bytes from them, and up to 32 KiB of memory for each
    #[arg(long, env = "FANWIRE_DEFLATE_CONTEXT_TAKEOVER", value_parser = BoolishValueParser::new())]
    deflate_context_takeover: bool,
    /// What may be published: anything, JSON text, or {"username": string, "text": string}
    #[arg(long, value_enum, value_name = "POLICY", env = "FANWIRE_PAYLOAD", default_value = "any")]
    payload: Payload,
    /// Origin whose pages may connect: scheme, host and port exactly as browsers send them; repeatable; * for all
    /// [default: the same origin as the Host header's; who sends no Origin is not a browser and may always]
    #[arg(long, value_name = "ORIGIN", env = "FANWIRE_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,
    /// Ask clients for tokens (JWT), signed with the secret in this file by HS256: at least 32 bytes, line ends behind it
    /// left out; read again on reload
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_SECRET_FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// Ask clients for tokens (JWT) that this public key verifies, PEM: RSA, P-256 or Ed25519; repeatable, and
    /// a file may have several; read again on reload
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_PUBLIC_KEY", value_delimiter = ',')]
    jwt_public_key: Vec<PathBuf>,
    /// Ask clients for tokens (JWT) that a key of this JWK set verifies, chosen by kid and alg; read again on reload
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_JWKS")]
    jwt_jwks: Option<PathBuf>,
    /// Whom tokens must be for (aud): one of these; repeatable [default: tokens must have no aud]
    #[arg(long, value_name = "NAME", env = "FANWIRE_JWT_AUDIENCE", value_delimiter = ',')]
    jwt_audience: Vec<String>,
    /// Who must have issued tokens (iss): one of these; repeatable [default: anyone who has the key]
    #[arg(long, value_name = "NAME", env = "FANWIRE_JWT_ISSUER", value_delimiter = ',')]
    jwt_issuer: Vec<String>,
    /// Seconds by which the issuer's clock may differ: a token is good for so long before its nbf and after its exp
    #[arg(long, value_name = "SECONDS", env = "FANWIRE_JWT_LEEWAY", default_value_t = limits::TOKEN_LEEWAY_SECONDS_DEFAULT)]
    jwt_leeway: u64,
    /// Serve /echo, where messages go back to their sender only
    #[arg(long, env = "FANWIRE_ECHO", value_parser = BoolishValueParser::new())]
    echo: bool,
    /// Address and port of the admin API, with metrics and a dashboard; only this machine's own unless there is a token
    /// [default: none]
    #[arg(long, value_name = "ADDR", env = "FANWIRE_ADMIN", value_parser = address)]
    admin: Option<SocketAddr>,
    /// File with the token that the admin API asks for, at least 16 characters: openssl rand -hex 32 >FILE. The variable
    /// `FANWIRE_ADMIN_TOKEN` may hold the token itself instead; no option does, for those can be seen by everyone
    #[arg(long, value_name = "FILE", env = "FANWIRE_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
    /// How log lines are written, to stderr
    #[arg(long, value_enum, value_name = "FORMAT", env = "FANWIRE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Log more: -v says why each connection ended, -vv all there is
    #[arg(short, long, env = "FANWIRE_VERBOSE", action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Payload {
    /// Any text and binary message, verbatim
    Any,
    /// JSON text, verbatim
    Json,
    /// Chat lines, in their normal form
    Chat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DrainCode {
    /// Going Away
    #[value(name = "1001")]
    GoingAway,
    /// Service Restart
    #[value(name = "1012")]
    ServiceRestart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnOff {
    On,
    Off,
}

/// Serves until it is told to end. `arguments` are those of the command line and the environment.
pub(crate) fn run(sources: Sources, arguments: &ServeArguments) -> ExitCode {
    allocator::give_memory_back();
    let given = sources.read();
    let told = given.as_ref().map_or(arguments, |given| &given.arguments);
    let _log = log::start(told.log_format, told.verbose);
    // A panic is told as all else is: in the log's format, and without waiting for whoever reads it.
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let source = given.and_then(|_| Ok(source(sources, passed::take()?)));
    let result = source.map_err(ServerError::Config).and_then(Server::run_from);
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &ServerError) -> u8 {
    match error {
        ServerError::Config(_) => EXIT_USAGE,
        // As of a process that died of it.
        ServerError::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(1),
        _ => 1,
    }
}

/// What the process has, of which some defaults are computed.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Files that may be open.
    descriptors: usize,
    /// Worker threads, if they run already: another number of them is for the next start.
    workers: Option<usize>,
}

/// Where the configuration comes from, now and when it is to be read again. Only the first one has the sockets that were
/// `passed`: nobody holds them for longer than it takes to listen.
fn source(sources: Sources, passed: Vec<PassedListener>) -> ConfigSource {
    let Descriptors { before, now } = descriptors::raise_limit();
    tracing::info!("open files: {now} (was {before})");
    let descriptors = usize::try_from(now).unwrap_or(usize::MAX);
    let (workers, is_passed) = (OnceLock::new(), !passed.is_empty());
    let passed = Mutex::new(passed);
    Arc::new(move || {
        let passed = mem::take(&mut *passed.lock().unwrap_or_else(PoisonError::into_inner));
        let machine = Machine { descriptors, workers: workers.get().copied() };
        let described = described(sources.read()?, passed, machine)?;
        workers.get_or_init(|| described.config.workers);
        if !is_passed {
            described.config.check().map_err(|error| locate(&described.settings, error))?;
        }
        Ok(described)
    })
}

/// What a server would be told that no sockets are passed to.
///
/// # Errors
/// If it could not be used.
pub(crate) fn describe(sources: &Sources) -> Result<Described, ServerError> {
    let descriptors = usize::try_from(descriptors::raise_limit().now).unwrap_or(usize::MAX);
    let described = described(sources.read()?, Vec::new(), Machine { descriptors, workers: None })?;
    described.config.check().map_err(|error| locate(&described.settings, error))?;
    Ok(described)
}

/// The configuration that was given, and what is to be known about it.
fn described(given: Given, passed: Vec<PassedListener>, machine: Machine) -> Result<Described, ConfigError> {
    let Given { arguments, mut settings, file, files } = given;
    let rules = channel_rules(&arguments.slow_consumer, file.as_ref(), &mut settings)?;
    let config = config(arguments, rules, passed, machine).map_err(|error| locate(&settings, error))?;
    for (option, value) in computed(&config) {
        let unsaid = |setting: &&mut Setting| {
            setting.channel.is_none() && setting.option == option && setting.value.is_none()
        };
        if let Some(setting) = settings.iter_mut().find(unsaid) {
            (setting.value, setting.source) = (Some(value), Source::Computed);
        }
    }
    Ok(Described { config, settings, files })
}

/// Values of options whose defaults are not fixed.
fn computed(config: &Config) -> Vec<(&'static str, String)> {
    let addresses = config.listen.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>();
    let bursts = [("message-burst", config.rates.messages), ("byte-burst", config.rates.bytes)];
    let bursts = bursts.into_iter().filter_map(|(option, rate)| Some((option, rate?.burst.to_string())));
    let listen = (!addresses.is_empty()).then(|| ("listen", format!("[{}]", addresses.join(", "))));
    [
        ("workers", config.workers.to_string()),
        ("max-connections", config.connections_max.to_string()),
        ("outbox-limit", config.limits.outbox_bytes_max.to_string()),
        ("memory-budget", config.memory_bytes_max.to_string()),
    ]
    .into_iter()
    .chain(listen)
    .chain(bursts)
    .collect()
}
/// The options as a server takes them.
fn config(
    arguments: ServeArguments,
    channels: ChannelRules,
    passed: Vec<PassedListener>,
    machine: Machine,
) -> Result<Config, ConfigError> {
    let workers = match arguments.workers {
        Some(workers) => workers,
        None => thread::available_parallelism().map_or(1, |cores| cores.get().min(limits::WORKERS_MAX)),
    };
    let descriptors = machine.descriptors;
    let connections_possible = connections_possible(descriptors, machine.workers.unwrap_or(workers));
    let connections_max = arguments.max_connections.unwrap_or(connections_possible.max(1));
    if connections_max > connections_possible {
        tracing::warn!(
            "--max-connections {connections_max} is more than {descriptors} open files allow, which is about \
             {connections_possible}: raise the limit (ulimit -n)"
        );
    }
    let limits = Limits {
        message_bytes_max: arguments.max_message_size,
        outbox_bytes_max: arguments.outbox_limit.unwrap_or_else(|| {
            limits::OUTBOX_BYTES_DEFAULT_MIN.max(arguments.max_message_size.saturating_mul(2))
        }),
        handshake_timeout_ms: arguments.handshake_timeout,
        ping_interval_ms: arguments.ping_interval,
        idle_timeout_ms: arguments.idle_timeout,
        close_timeout_ms: arguments.close_timeout,
    };
    let is_told_where = !arguments.listen.is_empty() || !arguments.listen_tls.is_empty();
    if is_told_where && !passed.is_empty() {
        tracing::warn!("sockets were passed (LISTEN_FDS): --listen and --listen-tls are not used");
    }
    let listen = if is_told_where { arguments.listen } else { Config::default().listen };
    let auth = auth(AuthConfig {
        secret: arguments.jwt_secret_file,
        public_keys: arguments.jwt_public_key,
        jwks: arguments.jwt_jwks,
        audiences: arguments.jwt_audience,
        issuers: arguments.jwt_issuer,
        leeway_seconds: arguments.jwt_leeway,
    });
    Ok(Config {
        auth,
        listen,
        listen_tls: arguments.listen_tls,
        unix_mode: arguments.unix_mode,
        passed,
        reuse_port: arguments.reuse_port,
        proxy_protocol: arguments.proxy_protocol,
        trusted_proxies: trusted_proxies(&arguments.trust_proxy)?,
        tls: tls_files(arguments.tls_cert, arguments.tls_key)?,
        workers,
        memory_bytes_max: arguments.memory_budget.unwrap_or_else(|| default_memory_budget(&limits)),
        limits,
        rates: Rates {
            messages: rate(
                ["--max-messages-per-second", "--message-burst"],
                arguments.max_messages_per_second,
                arguments.message_burst,
                1,
            )?,
            bytes: rate(
                ["--max-bytes-per-second", "--byte-burst"],
                arguments.max_bytes_per_second,
                arguments.byte_burst,
                limits::BYTE_BURST_MIN,
            )?,
        },
        connections_max,
        connections_per_address_max: arguments.max_connections_per_ip,
        payload: match arguments.payload {
            Payload::Any => PayloadPolicy::Any,
            Payload::Json => PayloadPolicy::Json,
            Payload::Chat => PayloadPolicy::Chat,
        },
        origins: origins(arguments.allow_origin)?,
        echo: arguments.echo,
        send_buffer_bytes: arguments.send_buffer,
        deflate: DeflateConfig {
            enabled: arguments.deflate == OnOff::On,
            bytes_min: arguments.deflate_min_size,
            level: arguments.deflate_level,
            client_context_takeover: arguments.deflate_context_takeover,
        },
        channels,
        drain: DrainConfig {
            delay_ms: arguments.drain_delay,
            spread_ms_max: arguments.drain_seconds,
            goodbye: match arguments.drain_code {
                DrainCode::GoingAway => Goodbye::GoingAway,
                DrainCode::ServiceRestart => Goodbye::ServiceRestart,
            },
        },
        admin: admin(arguments.admin, arguments.admin_token_file, env::var_os("FANWIRE_ADMIN_TOKEN"))?,
    })
}

/// The admin API and its token, which is of no use without it.
fn admin(
    address: Option<SocketAddr>,
    token_file: Option<PathBuf>,
    token: Option<OsString>,
) -> Result<Option<AdminConfig>, ConfigError> {
    let Some(address) = address else {
        let option = if token_file.is_some() { "--admin-token-file" } else { "FANWIRE_ADMIN_TOKEN" };
        return match (token_file, token) {
            (None, None) => Ok(None),
            _ => Err(ConfigError::new(
                option,
                "is given without --admin",
                "say where the admin API is to be, as --admin 127.0.0.1:8081",
            )),
        };
    };
    let token = match (token_file, token) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            let problem = "and FANWIRE_ADMIN_TOKEN are both given";
            return Err(ConfigError::new("--admin-token-file", problem, "leave one of them out"));
        }
        (None, Some(token)) => Some(token.into_string().map_err(|_| {
            ConfigError::new("FANWIRE_ADMIN_TOKEN", "is not UTF-8", "make one with: openssl rand -hex 32")
        })?),
        (Some(file), None) => Some(fs::read_to_string(&file).map_err(|error| {
            let problem = format!("{} cannot be read: {error}", file.display());
            ConfigError::new("--admin-token-file", problem, "make it with: openssl rand -hex 32 >FILE")
        })?),
    };
    Ok(Some(AdminConfig { address, token: token.map(|token| Secret::new(token.trim())) }))
}

/// An address of TCP.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, as 127.0.0.1:8081 or [::1]:8081".to_owned())
}

/// The memory budget of who gives none: what the system says, but never so little that it would be refused;
/// none if it says nothing.
fn default_memory_budget(limits: &Limits) -> u64 {
    memory::default_budget().map_or(0, |budget| budget.max(Config::memory_bytes_min(limits)))
}

/// With what tokens are checked, if anything is said about that.
fn auth(auth: AuthConfig) -> Option<AuthConfig> {
    let is_named = auth.names_a_key() || !auth.audiences.is_empty() || !auth.issuers.is_empty();
    is_named.then_some(auth)
}

/// The certificate and its key, of which none is of use without the other.
fn tls_files(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            let fix = "give the private key of the certificate with --tls-key FILE";
            Err(ConfigError::new("--tls-cert", "is given without --tls-key", fix))
        }
        (None, Some(_)) => {
            let fix = "give the certificate that belongs to the key with --tls-cert FILE";
            Err(ConfigError::new("--tls-key", "is given without --tls-cert", fix))
        }
    }
}

/// A rate and its burst, which is of no use alone. By default it is what a second allows, or `burst_min` if that is more.
fn rate(
    [rate_option, burst_option]: [&'static str; 2],
    per_second: u64,
    burst: Option<u64>,
    burst_min: u64,
) -> Result<Option<Rate>, ConfigError> {
    match (per_second, burst) {
        (0, None) => Ok(None),
        (0, Some(_)) => {
            let problem = format!("is given without {rate_option}");
            Err(ConfigError::new(burst_option, problem, format!("give a rate with {rate_option}")))
        }
        (_, burst) => Ok(Some(Rate { per_second, burst: burst.unwrap_or(per_second.max(burst_min)) })),
    }
}

/// What is said of channels, by `--slow-consumer` and by the file's sections. Of two that say the same of one pattern, a
/// flag or the environment wins over the file, whose setting is taken out of `settings` then.
fn channel_rules(
    slow_consumers: &[String],
    file: Option<&File>,
    settings: &mut Vec<Setting>,
) -> Result<ChannelRules, ConfigError> {
    let mut rules = ChannelRules::default();
    let mut given = slow_consumers.iter().flat_map(|rules| rules.split_whitespace());
    given.try_for_each(|rule| rules.parse_slow_consumer(rule)).map_err(|error| locate(settings, error))?;
    for text in rules.iter().map(|(pattern, _)| pattern.text()).filter(|text| !text.is_empty()) {
        if let Err(error) = ChannelName::new(text) {
            let problem = format!("{text:?} matches no channel ({error})");
            let fix = "give the name of a channel, or its beginning and *";
            return Err(locate(settings, ConfigError::new("--slow-consumer", problem, fix)));
        }
    }
    let Some(file) = file else { return Ok(rules) };
    let are_both_in_file = settings.iter().any(|setting| {
        setting.option == "slow-consumer"
            && setting.channel.is_none()
            && matches!(setting.source, Source::File(..))
    });
    for section in &file.sections {
        let mut said = section.settings;
        let is_overridden =
            rules.iter().any(|(pattern, rule)| *pattern == section.pattern && rule.slow_consumers.is_some());
        if is_overridden && said.slow_consumers.is_some() && !are_both_in_file {
            said.slow_consumers = None;
            let pattern = section.pattern.to_string();
            settings.retain(|setting| {
                setting.channel.as_ref() != Some(&pattern) || setting.option != "slow-consumer"
            });
        }
        rules.add("--config", section.pattern.clone(), said).map_err(|error| file.blame(section, error))?;
    }
    Ok(rules)
}

/// Permissions in octal digits.
fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|_| "give three octal digits, as 0660".to_owned())
}

/// Whose word is taken for where a client comes from.
fn trusted_proxies(networks: &[String]) -> Result<TrustedProxies, ConfigError> {
    let mut trusted = TrustedProxies::default();
    networks.iter().try_for_each(|network| trusted.add(network.trim()))?;
    Ok(trusted)
}

/// How many clients `descriptors` are enough for, next to what the server needs for itself. Half of them at least:
/// with many workers and a low limit, those who are turned away must do with fewer than [`limits::REFUSALS_MAX`] each.
fn connections_possible(descriptors: usize, workers: usize) -> usize {
    let for_workers = workers.saturating_mul(limits::REFUSALS_MAX + limits::DESCRIPTORS_PER_WORKER);
    let own = limits::DESCRIPTORS_RESERVED.saturating_add(for_workers);
    descriptors - own.min(descriptors / 2)
}

fn origins(allowed: Vec<String>) -> Result<OriginPolicy, ConfigError> {
    if allowed.iter().any(|origin| origin == "*") {
        return Ok(OriginPolicy::Any);
    }
    if let Some(wrong) = allowed.iter().find(|origin| !is_serialised_origin(origin)) {
        let fix =
            "give scheme, host and port as a browser sends them: https://example.org, http://localhost:3000";
        return Err(ConfigError::new("--allow-origin", format!("{wrong:?} is not an origin"), fix));
    }
    Ok(if allowed.is_empty() { OriginPolicy::SameOrigin } else { OriginPolicy::These(allowed) })
}

/// Whether a browser could send this as its Origin (RFC 6454 §6.2): a scheme, a host, perhaps a port, no path.
fn is_serialised_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(scheme, authority)| {
        !scheme.is_empty()
            && !authority.is_empty()
            && !authority.contains(['/', '?', '#', '@', ' '])
            && !origin.contains(|c: char| c.is_ascii_uppercase() || !c.is_ascii_graphic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: ServeArguments,
    }

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let arguments = ["fanwire"].iter().chain(arguments);
        let program = Program::try_parse_from(arguments).map_err(|error| error.to_string())?;
        let given =
            Given { arguments: program.arguments, settings: Vec::new(), file: None, files: Vec::new() };
        let described = described(given, Vec::new(), Machine { descriptors: 1024, workers: None })
            .map_err(|error| error.to_string())?;
        described.config.check().map_err(|error| error.to_string())?;
        Ok(described.config)
    }

    #[test]
    fn the_default_outbox_is_two_messages_or_one_mebibyte_whichever_is_more() {
        let outbox =
            |message: &str| parse(&["--max-message-size", message]).map(|c| c.limits.outbox_bytes_max);
        assert_eq!(outbox("1000"), Ok(1 << 20));
        assert_eq!(outbox("1048576"), Ok(2 << 20));
    }

    #[test]
    fn an_outbox_below_one_message_is_refused_with_option_and_fix() {
        let error = parse(&["--max-message-size", "1000", "--outbox-limit", "1000"]).unwrap_err();
        assert!(error.starts_with("--outbox-limit") && error.contains("at least 1010"), "{error}");
    }

    #[test]
    fn a_burst_is_what_a_second_allows_unless_it_is_said_and_nothing_is_limited_by_default() {
        let rates = |arguments: &[&str]| parse(arguments).map(|config| config.rates);
        let rate = |per_second, burst| Some(Rate { per_second, burst });
        assert_eq!(rates(&[]), Ok(Rates::default()));
        assert_eq!(
            rates(&["--max-messages-per-second", "0", "--max-bytes-per-second", "0"]),
            Ok(Rates::default())
        );
        assert_eq!(
            rates(&["--max-messages-per-second", "10", "--max-bytes-per-second", "1000000"]),
            Ok(Rates { messages: rate(10, 10), bytes: rate(1_000_000, 1_000_000) })
        );
        assert_eq!(
            rates(&["--max-bytes-per-second", "1000"]),
            Ok(Rates { messages: None, bytes: rate(1_000, 16_384) })
        );
        assert_eq!(
            rates(&["--max-messages-per-second", "10", "--message-burst", "3"]),
            Ok(Rates { messages: rate(10, 3), bytes: None })
        );
        for option in ["--message-burst", "--byte-burst"] {
            let error = rates(&[option, "20000"]).unwrap_err();
            assert!(error.starts_with(option) && error.contains("per-second"), "{error}");
        }
    }

    #[test]
    fn origins_are_checked_and_a_star_is_all() {
        let origins = |origin: &str| parse(&["--allow-origin", origin]).map(|config| config.origins);
        assert_eq!(origins("*"), Ok(OriginPolicy::Any));
        assert_eq!(
            origins("https://a.example,http://localhost:3000"),
            Ok(OriginPolicy::These(vec!["https://a.example".into(), "http://localhost:3000".into()]))
        );
        for wrong in ["a.example", "https://a.example/", "https://A.example", "https://", "null"] {
            assert!(origins(wrong).is_err_and(|error| error.starts_with("--allow-origin")), "{wrong}");
        }
        assert_eq!(parse(&[]).map(|config| config.origins), Ok(OriginPolicy::SameOrigin));
    }

    #[test]
    fn slow_consumers_rules_are_repeated_or_separated_by_white_space_and_checked() {
        let policy = |arguments: &[&str], channel: &str| {
            parse(arguments).map(|config| config.channels.slow_consumers_for(channel).name())
        };
        for arguments in [
            &["--slow-consumer", "a,b=c=latest", "--slow-consumer", "log-*=drop-oldest"][..],
            &["--slow-consumer", " a,b=c=latest\t log-*=drop-oldest\n"],
        ] {
            assert_eq!(policy(arguments, "a,b=c"), Ok("latest"));
            assert_eq!(policy(arguments, "log-1"), Ok("drop-oldest"));
            assert_eq!(policy(arguments, "lobby"), Ok("disconnect"));
        }
        assert_eq!(policy(&["--slow-consumer", "*=latest"], "lobby"), Ok("latest"));
        for wrong in ["lobby", "lobby=never", "caf\u{e9}=latest", "a%20b*=latest", "=latest"] {
            let error = policy(&["--slow-consumer", wrong], "lobby").unwrap_err();
            assert!(error.starts_with("--slow-consumer ") && error.contains(": give"), "{error}");
        }
    }

    #[test]
    fn timeouts_are_seconds_with_fractions_and_listen_can_be_repeated() {
        let config = parse(&["--idle-timeout", "0.5", "--listen", "[::1]:9000", "--listen", "127.0.0.1:0"]);
        let config = config.expect("valid");
        assert_eq!(config.limits.idle_timeout_ms, 500);
        assert_eq!(config.listen, ["[::1]:9000".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]);
    }

    #[test]
    fn what_concerns_proxies_and_unix_sockets_is_checked() {
        let arguments =
            ["--listen", "unix:/run/a.sock", "--unix-mode", "600", "--trust-proxy", "10.0.0.0/8, ::1"];
        let config = parse(&arguments).expect("valid");
        assert_eq!(config.listen, [ListenAddress::Unix("/run/a.sock".into())]);
        assert_eq!((config.unix_mode, config.proxy_protocol), (0o600, false));
        assert_eq!(config.trusted_proxies.to_string(), "10.0.0.0/8, ::1/128");
        for (arguments, option) in [
            (&["--unix-mode", "rw"][..], "--unix-mode"),
            (&["--unix-mode", "1777"], "--unix-mode"),
            (&["--trust-proxy", "everyone"], "--trust-proxy"),
            (&["--proxy-protocol"], "--proxy-protocol"),
            (&["--listen", "unix:"], "--listen"),
        ] {
            assert!(parse(arguments).is_err_and(|error| error.contains(option)), "{arguments:?}");
        }
    }

    #[test]
    fn the_default_address_is_listened_on_only_if_no_other_is_given() {
        let addresses = |arguments: &[&str]| {
            let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
            let arguments =
                [arguments, if arguments.contains(&"--listen-tls") { &tls } else { &[] }].concat();
            parse(&arguments).map(|config| (config.listen, config.listen_tls))
        };
        let ports = |ports: &[u16]| -> Vec<ListenAddress> {
            ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect()
        };
        let (plain, tls) = (["--listen", "127.0.0.1:1"], ["--listen-tls", "127.0.0.1:2"]);
        assert_eq!(addresses(&[]), Ok((ports(&[8080]), ports(&[]))));
        assert_eq!(addresses(&plain), Ok((ports(&[1]), ports(&[]))));
        assert_eq!(addresses(&tls), Ok((ports(&[]), ports(&[2]))));
        assert_eq!(addresses(&[plain, tls].concat()), Ok((ports(&[1]), ports(&[2]))));
    }

    #[test]
    fn the_admin_token_comes_from_a_file_or_the_environment_and_never_without_an_address() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 8081)));
        let file = std::env::temp_dir().join(format!("fanwire-admin-token-{}", std::process::id()));
        fs::write(&file, "0123456789abcdef\n").expect("a temporary file");
        let token = |result: Result<Option<AdminConfig>, ConfigError>| {
            result.map(|admin| admin.and_then(|admin| admin.token)).map_err(|error| error.option)
        };
        let secret = || Some(Secret::new("0123456789abcdef"));
        assert_eq!(
            token(admin(address, Some(file.clone()), None)),
            Ok(secret()),
            "its line end is not part of it"
        );
        assert_eq!(token(admin(address, None, Some("0123456789abcdef".into()))), Ok(secret()));
        assert_eq!(token(admin(address, None, None)), Ok(None));
        assert_eq!(admin(None, None, None), Ok(None));
        assert_eq!(token(admin(address, Some(file.clone()), Some("x".into()))), Err("--admin-token-file"));
        assert_eq!(token(admin(None, Some(file.clone()), None)), Err("--admin-token-file"));
        assert_eq!(token(admin(None, None, Some("x".into()))), Err("FANWIRE_ADMIN_TOKEN"));
        fs::remove_file(&file).expect("it was written");
        assert_eq!(token(admin(address, Some(file), None)), Err("--admin-token-file"));
        let error = parse(&["--admin", "0.0.0.0:8081"]).expect_err("anybody could use it");
        assert!(error.starts_with("--admin ") && error.contains("--admin-token-file"), "{error}");
    }

    #[test]
    fn a_worker_that_failed_is_another_exit_code_than_an_option() {
        assert_eq!(exit_code(&ServerError::Worker(fanwire::hub::ShardId(0), "it panicked".to_owned())), 1);
        assert_eq!(exit_code(&ServerError::Config(ConfigError::new("--workers", "is 0", "give 1"))), 2);
    }

    #[test]
    fn some_descriptors_are_not_for_clients() {
        let own = limits::DESCRIPTORS_RESERVED + 2 * (limits::REFUSALS_MAX + limits::DESCRIPTORS_PER_WORKER);
        assert_eq!(connections_possible(20_000, 2), 20_000 - own);
        assert_eq!(connections_possible(2 * own - 2, 2), own - 1);
        assert_eq!(connections_possible(4096, 64), 2048, "many cores do not leave a small limit to refusals");
    }
}
