//! What comes of arguments, file and machine: the configuration, and what is to be known about it.

use super::admin::admin;
use super::arguments::{DrainCode, OnOff, Payload, ServeArguments};
use super::channel_rules::channel_rules;
use super::origins::origins;
use crate::cli::sources::{Given, locate};
use crate::cli::{memory, secret};
use fanwire::config::{
    AuthConfig, ChannelRules, Config, ConfigError, DeflateConfig, Described, DrainConfig, Goodbye,
    PassedListener, PayloadPolicy, Rate, Rates, Setting, Source, TlsFiles, TrustedProxies,
};
use fanwire::limits::{self, Limits};
use std::env;
use std::path::PathBuf;
use std::thread;

/// What the process has, of which some defaults are computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Files that may be open.
    pub(super) descriptors: usize,
    /// Worker threads, if they run already: another number of them is for the next start.
    pub(super) workers: Option<usize>,
}

/// The configuration that was given, and what is to be known about it.
pub(super) fn described(
    given: Given,
    passed: Vec<PassedListener>,
    machine: Machine,
) -> Result<Described, ConfigError> {
    let Given { arguments, mut settings, file, files } = given;
    let rules = channel_rules(&arguments.slow_consumer, file.as_ref(), &mut settings)?;
    let mut config = config(arguments, rules, passed, machine).map_err(|error| locate(&settings, error))?;
    // Who says that it listens nowhere does not mean the default.
    if settings.iter().any(|setting| setting.option == "listen" && setting.value.as_deref() == Some("[]")) {
        config.listen.clear();
    }
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
        admin: admin(arguments.admin, arguments.admin_token_file, env::var_os(secret::ADMIN_VARIABLE))?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use fanwire::config::{ListenAddress, OriginPolicy};

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
    fn an_admin_api_that_others_can_reach_needs_a_token() {
        let error = parse(&["--admin", "0.0.0.0:8081"]).expect_err("anybody could use it");
        assert!(error.starts_with("--admin ") && error.contains("--admin-token-file"), "{error}");
    }

    #[test]
    fn some_descriptors_are_not_for_clients() {
        let own = limits::DESCRIPTORS_RESERVED + 2 * (limits::REFUSALS_MAX + limits::DESCRIPTORS_PER_WORKER);
        assert_eq!(connections_possible(20_000, 2), 20_000 - own);
        assert_eq!(connections_possible(2 * own - 2, 2), own - 1);
        assert_eq!(connections_possible(4096, 64), 2048, "many cores do not leave a small limit to refusals");
    }
}
