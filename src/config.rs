//! [`Config`]: a parsed and checked value. Nothing downstream checks it again. (The file is long because each bound is
//! checked and tested where its field stands.)

mod admin;
mod auth;
mod changes;
mod channel_rules;
mod described;
mod listen_address;
mod payload;
mod slow_consumer;
mod trusted_proxies;

pub use admin::{AdminConfig, Secret};
pub use auth::AuthConfig;
pub use changes::Reconfigured;
pub use channel_rules::{Access, ChannelPattern, ChannelRules, ChannelSettings};
pub use described::{ConfigSource, Described, Setting, Source};
pub use listen_address::{ListenAddress, ListenAddressError};
pub use payload::PayloadPolicy;
pub use slow_consumer::SlowConsumerPolicy;
pub use trusted_proxies::TrustedProxies;

use crate::limits::{self, Limits};
use std::fmt;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

/// All that a server is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on in plaintext. There is one at least, here or in [`listen_tls`](Self::listen_tls), unless
    /// sockets are [passed](Self::passed).
    pub listen: Vec<ListenAddress>,
    /// Addresses to listen on for TLS.
    pub listen_tls: Vec<ListenAddress>,
    /// The permissions of Unix sockets' files, as `chmod` takes them: who may write may connect. At most 0o777.
    pub unix_mode: u32,
    /// Sockets that listen already. If there are any, no address is listened on but theirs.
    pub passed: Vec<PassedListener>,
    /// Whether another server may listen on the same addresses at the same time, if it says so too and is the same
    /// user's: the one that is to take over. Of a Unix socket, it takes the place of the one that answers there.
    pub reuse_port: bool,
    /// Whether every connection begins with a PROXY header, version 1 or 2, before TLS. Those that do not, and those of who
    /// is not trusted, are closed.
    pub proxy_protocol: bool,
    /// Whose word is taken for where a client comes from: in a PROXY header, `X-Forwarded-For` or `Forwarded`.
    pub trusted_proxies: TrustedProxies,
    /// With what TLS is spoken; there if, and only if, some address is for TLS.
    pub tls: Option<TlsFiles>,
    /// Worker threads, 1 to [`limits::WORKERS_MAX`].
    pub workers: usize,
    /// What every connection is bound by.
    pub limits: Limits,
    /// How fast each client may send.
    pub rates: Rates,
    /// Connections beyond which a new one gets 503.
    pub connections_max: usize,
    /// Bytes of memory that all peers together may make the server hold; 0 is no bound. From four fifths of it on a new
    /// connection gets 503; beyond it the largest queues go.
    pub memory_bytes_max: u64,
    /// Connections of one address beyond which a new one gets 429; 0 is off. An IPv6 address counts by its first 64
    /// bits.
    pub connections_per_address_max: usize,
    /// What may be published.
    pub payload: PayloadPolicy,
    /// Whose browsers may connect.
    pub origins: OriginPolicy,
    /// Whether `/echo` exists.
    pub echo: bool,
    /// Bytes of the kernel's send buffer for each connection; the system's own choice if absent.
    pub send_buffer_bytes: Option<usize>,
    /// Whether and how messages are compressed.
    pub deflate: DeflateConfig,
    /// What is different in some channels than elsewhere.
    pub channels: ChannelRules,
    /// How the server ends.
    pub drain: DrainConfig,
    /// With what clients' tokens are checked. If absent nobody is asked for one.
    pub auth: Option<AuthConfig>,
    /// Where the admin API is, if there is to be one. It needs the feature `control`.
    pub admin: Option<AdminConfig>,
}

impl Default for Config {
    /// One worker on `127.0.0.1:8080` with the limits' defaults and room for 10,000 connections, whatever memory they take.
    fn default() -> Self {
        Config {
            listen: vec![([127, 0, 0, 1], 8080).into()],
            listen_tls: Vec::new(),
            unix_mode: UNIX_MODE_DEFAULT,
            passed: Vec::new(),
            reuse_port: false,
            proxy_protocol: false,
            trusted_proxies: TrustedProxies::default(),
            tls: None,
            workers: 1,
            limits: Limits::default(),
            rates: Rates::default(),
            connections_max: 10_000,
            memory_bytes_max: 0,
            connections_per_address_max: 0,
            payload: PayloadPolicy::Any,
            origins: OriginPolicy::SameOrigin,
            echo: false,
            send_buffer_bytes: None,
            deflate: DeflateConfig::default(),
            channels: ChannelRules::default(),
            drain: DrainConfig::default(),
            auth: None,
            admin: None,
        }
    }
}

impl Config {
    /// The least memory budget with such limits: two clients may hold a message and lag as far as they may.
    pub fn memory_bytes_min(limits: &Limits) -> u64 {
        2 * (limits.message_bytes_max as u64).saturating_add(limits.outbox_bytes_max as u64).min(u64::MAX / 2)
    }

    /// Checks what the types leave open. Every constructor of a server calls it.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the option and the fix.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_addresses()?;
        self.check_all_but_addresses()
    }

    /// Whether there is an address, and TLS where it is to be spoken.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let is_passed = !self.passed.is_empty();
        let is_for_tls =
            if is_passed { self.passed.iter().any(|passed| passed.tls) } else { !self.listen_tls.is_empty() };
        if self.listen.is_empty() && self.listen_tls.is_empty() && !is_passed {
            return Err(ConfigError::new(
                "--listen",
                "names no address",
                "give at least one, as 127.0.0.1:8080",
            ));
        }
        if is_for_tls && self.tls.is_none() {
            let option = if is_passed { "LISTEN_FDNAMES=tls" } else { "--listen-tls" };
            let fix = "give the certificate with --tls-cert FILE and its key with --tls-key FILE, both PEM";
            return Err(ConfigError::new(option, "has no certificate", fix));
        }
        if !is_for_tls && self.tls.is_some() {
            let fix = if is_passed {
                "give the socket on which TLS is to be spoken its name: FileDescriptorName=tls"
            } else {
                "say where TLS is to be spoken, as --listen-tls 0.0.0.0:8443"
            };
            return Err(ConfigError::new("--tls-cert", "is given, but no address is for TLS", fix));
        }
        if self.unix_mode > 0o777 {
            let fix = "give the permissions of owner, group and others, as 0660";
            return Err(ConfigError::new("--unix-mode", format!("is {:o}", self.unix_mode), fix));
        }
        if self.proxy_protocol && self.trusted_proxies.is_empty() && self.listens_on_tcp() {
            let fix = "name the proxies with --trust-proxy, as --trust-proxy 10.0.0.0/8; nobody else can connect then";
            return Err(ConfigError::new("--proxy-protocol", "has nobody whose headers are believed", fix));
        }
        Ok(())
    }

    /// The same for all that a server can be told that listens already.
    pub(crate) fn check_all_but_addresses(&self) -> Result<(), ConfigError> {
        let Limits { message_bytes_max, outbox_bytes_max, .. } = self.limits;
        let outbox_bytes_min = message_bytes_max.saturating_add(FRAME_HEADER_BYTES_MAX);
        if self.workers == 0 || self.workers > limits::WORKERS_MAX {
            let fix = format!("give 1 to {}", limits::WORKERS_MAX);
            return Err(ConfigError::new("--workers", format!("is {}", self.workers), fix));
        }
        if message_bytes_max == 0 || message_bytes_max > limits::MESSAGE_BYTES_CEILING {
            let fix = format!("give 1 to {} bytes", limits::MESSAGE_BYTES_CEILING);
            return Err(ConfigError::new("--max-message-size", format!("is {message_bytes_max}"), fix));
        }
        if outbox_bytes_max < outbox_bytes_min {
            return Err(ConfigError::new(
                "--outbox-limit",
                format!(
                    "is {outbox_bytes_max} bytes, less than one message of {message_bytes_max} bytes with its header"
                ),
                format!("give at least {outbox_bytes_min}, or lower --max-message-size"),
            ));
        }
        for (pattern, settings) in self.channels.iter() {
            let Some(bytes_max) = settings.message_bytes_max else { continue };
            if bytes_max == 0 || bytes_max > message_bytes_max {
                return Err(ConfigError::new(
                    "[channel] max-message-size",
                    format!("is {bytes_max} bytes for {:?}", pattern.to_string()),
                    format!(
                        "give 1 to {message_bytes_max}, or raise --max-message-size, which bounds all channels"
                    ),
                ));
            }
        }
        let memory_bytes_min = Config::memory_bytes_min(&self.limits);
        if self.memory_bytes_max > 0 && self.memory_bytes_max < memory_bytes_min {
            return Err(ConfigError::new(
                "--memory-budget",
                format!("is {} bytes, less than two clients may hold", self.memory_bytes_max),
                format!("give at least {memory_bytes_min}, 0 for no budget, or lower --outbox-limit"),
            ));
        }
        if !(1..=9).contains(&self.deflate.level) {
            return Err(ConfigError::new(
                "--deflate-level",
                format!("is {}", self.deflate.level),
                "give 1 to 9",
            ));
        }
        let DrainConfig { delay_ms, spread_ms_max, .. } = self.drain;
        for (option, ms) in [("--drain-delay", delay_ms), ("--drain-seconds", spread_ms_max)] {
            if ms > limits::DRAIN_MS_CEILING {
                let fix = format!("give 0 to {} seconds", limits::DRAIN_MS_CEILING / 1000);
                return Err(ConfigError::new(option, format!("is {} seconds", f64::from(ms) / 1000.0), fix));
            }
        }
        if self.connections_max == 0 {
            return Err(ConfigError::new("--max-connections", "is 0", "give at least 1"));
        }
        if let Some(rate) = &self.rates.messages {
            rate.check("--max-messages-per-second", "--message-burst", 1)?;
        }
        if let Some(rate) = &self.rates.bytes {
            rate.check("--max-bytes-per-second", "--byte-burst", limits::BYTE_BURST_MIN)?;
        }
        if let Some(admin) = &self.admin {
            admin.check()?;
        }
        self.check_auth()
    }

    /// Checks who may do what, and by which tokens.
    fn check_auth(&self) -> Result<(), ConfigError> {
        if let Some(auth) = &self.auth {
            auth.check()?;
        }
        for (pattern, settings) in self.channels.iter() {
            let asks_for = [("publish", settings.publish), ("subscribe", settings.subscribe)];
            if let Some((setting, _)) =
                asks_for.into_iter().find(|(_, access)| *access == Some(Access::Token))
                && self.auth.is_none()
            {
                let problem =
                    format!("\"{pattern}\" has {setting} = \"token\", but there is no key to check one with");
                let fix = "name one with --jwt-secret-file, --jwt-public-key or --jwt-jwks";
                return Err(ConfigError::new("[channel]", problem, fix));
            }
        }
        Ok(())
    }

    /// Whether there is any address that is no Unix socket's.
    fn listens_on_tcp(&self) -> bool {
        if self.passed.is_empty() {
            let mut addresses = self.listen.iter().chain(&self.listen_tls);
            addresses.any(|address| matches!(address, ListenAddress::Tcp(_)))
        } else {
            self.passed.iter().any(|passed| matches!(passed.socket, PassedSocket::Tcp(_)))
        }
    }
}

/// The default of `--unix-mode`: the server's user and group.
const UNIX_MODE_DEFAULT: u32 = 0o660;

/// How fast each client may send. Over it, a client is not read for a while, so that TCP slows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages, which count when they are whole; not limited if absent.
    pub messages: Option<Rate>,
    /// Bytes, with those of frame headers and control frames, as they come: before inflating, after decrypting; not
    /// limited if absent. The burst is at least [`limits::BYTE_BURST_MIN`].
    pub bytes: Option<Rate>,
}

impl Rates {
    /// Whether there is any.
    #[must_use]
    pub fn are_limited(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }
}

/// A rate with a burst: in any T seconds at most `burst + per_second * T` may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 1 to [`limits::RATE_MAX`].
    pub per_second: u64,
    /// What may come at once after a silence: at least what [`limits::RATE_PAUSE_MS`] allow, at least 1.
    pub burst: u64,
}

impl Rate {
    /// What a client waits for that is over the rate: what [`limits::RATE_PAUSE_MS`] allow, at least 1.
    #[must_use]
    pub fn per_pause(&self) -> u64 {
        (self.per_second / (1000 / limits::RATE_PAUSE_MS)).max(1)
    }

    fn check(
        &self,
        rate_option: &'static str,
        burst_option: &'static str,
        burst_min: u64,
    ) -> Result<(), ConfigError> {
        let Rate { per_second, burst } = *self;
        if per_second == 0 || per_second > limits::RATE_MAX {
            let fix = format!("give 1 to {}, or leave it out", limits::RATE_MAX);
            return Err(ConfigError::new(rate_option, format!("is {per_second}"), fix));
        }
        let burst_min = burst_min.max(self.per_pause());
        if burst < burst_min || burst > limits::RATE_MAX {
            let problem = format!("is {burst}, at {rate_option} {per_second}");
            let fix = format!("give {burst_min} to {}", limits::RATE_MAX);
            return Err(ConfigError::new(burst_option, problem, fix));
        }
        Ok(())
    }
}

/// A socket that listens already: the service manager's, or one that the program has made itself.
///
/// Its queue is whoever's has the socket too. At the end of the server what is in it is left to them.
#[derive(Clone, Debug)]
pub struct PassedListener {
    /// The socket.
    pub socket: PassedSocket,
    /// Whether TLS is spoken on it.
    pub tls: bool,
}

/// A socket that listens already, by its kind.
#[derive(Clone, Debug)]
pub enum PassedSocket {
    /// Of TCP.
    Tcp(Arc<TcpListener>),
    /// A Unix socket. Whoever made its file removes it.
    Unix(Arc<UnixListener>),
}

impl From<TcpListener> for PassedSocket {
    fn from(socket: TcpListener) -> Self {
        PassedSocket::Tcp(Arc::new(socket))
    }
}

impl From<UnixListener> for PassedSocket {
    fn from(socket: UnixListener) -> Self {
        PassedSocket::Unix(Arc::new(socket))
    }
}

/// The files with which a server speaks TLS, in PEM. They are read at the start, and again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and behind it those that vouch for it, without the root.
    pub certificate: PathBuf,
    /// The private key of the first of them: PKCS#8, SEC1 or RSA, not encrypted.
    pub key: PathBuf,
}

/// Bytes of the longest header of a frame that a server sends (RFC 6455 §5.2, unmasked).
const FRAME_HEADER_BYTES_MAX: usize = 10;

/// permessage-deflate (RFC 7692).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateConfig {
    /// Whether it is agreed to with clients that offer it.
    pub enabled: bool,
    /// Bytes from which on a message is compressed; 0 compresses even what grows by it.
    pub bytes_min: usize,
    /// 1, fast, to 9, small.
    pub level: u8,
    /// Whether clients may refer to their earlier messages, which are smaller then and cost up to 32 KiB for each client
    /// here. What goes to clients never does.
    pub client_context_takeover: bool,
}

impl Default for DeflateConfig {
    fn default() -> Self {
        DeflateConfig {
            enabled: true,
            bytes_min: limits::DEFLATE_BYTES_MIN_DEFAULT,
            level: limits::DEFLATE_LEVEL_DEFAULT,
            client_context_takeover: false,
        }
    }
}

/// The orderly end of a server: how long it takes, and what clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// Milliseconds for which the server still listens and serves, while `/healthz` says 503, so that load balancers
    /// notice before the door closes. At most [`limits::DRAIN_MS_CEILING`].
    pub delay_ms: u32,
    /// The most milliseconds over which clients are told goodbye, so that they do not all come back in the same second;
    /// 0 tells everyone at once. [Few clients](limits::drain_spread_ms) take less. At most
    /// [`limits::DRAIN_MS_CEILING`].
    pub spread_ms_max: u32,
    /// What they are told.
    pub goodbye: Goodbye,
}

impl Default for DrainConfig {
    fn default() -> Self {
        DrainConfig {
            delay_ms: 0,
            spread_ms_max: limits::DRAIN_SPREAD_MS_DEFAULT,
            goodbye: Goodbye::default(),
        }
    }
}

/// What clients are told when the server ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goodbye {
    /// 1001: the server goes away (RFC 6455 §7.4.1).
    #[default]
    GoingAway,
    /// 1012: the service restarts (IANA's registry of close codes): worth coming back at once.
    ServiceRestart,
}

/// Which browsers may connect: what an `Origin` header may say (RFC 6455 §10.2). A client that sends none is not
/// a browser and always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginPolicy {
    /// The origin's host and port are those of the request's Host header.
    #[default]
    SameOrigin,
    /// Exactly these serialised origins (`https://example.org`, no path), and no other, not even the same one.
    These(Vec<String>),
    /// Every origin.
    Any,
}

/// An option that cannot be used as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The option as it is written on the command line.
    pub option: &'static str,
    /// What is wrong with it, to be read after its name.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

impl ConfigError {
    /// An error in `option`; `problem` is read after the option's name, `fix` after a colon.
    pub fn new(option: &'static str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        ConfigError { option, problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.option, self.problem, self.fix)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_that_holds_one_message_and_its_header_is_enough() {
        let mut config = Config::default();
        config.limits.message_bytes_max = 1000;
        config.limits.outbox_bytes_max = 1010;
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn an_hour_is_the_longest_that_a_drain_may_wait_or_spread() {
        let drain = |delay_ms, spread_ms_max| Config {
            drain: DrainConfig { delay_ms, spread_ms_max, ..DrainConfig::default() },
            ..Config::default()
        };
        assert_eq!(drain(3_600_000, 3_600_000).check(), Ok(()));
        for (config, option) in
            [(drain(3_600_001, 0), "--drain-delay"), (drain(0, 3_600_001), "--drain-seconds")]
        {
            let error = config.check().expect_err("too long");
            assert_eq!(error.option, option);
            assert!(error.to_string().contains("0 to 3600 seconds"), "{error}");
        }
    }

    #[test]
    fn tls_needs_both_an_address_and_a_certificate() {
        let files = || Some(TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() });
        let config = |listen: &[ListenAddress], listen_tls: &[ListenAddress], tls: Option<TlsFiles>| Config {
            listen: listen.to_vec(),
            listen_tls: listen_tls.to_vec(),
            tls,
            ..Config::default()
        };
        let address = [([127, 0, 0, 1], 0).into()];
        for config in [config(&[], &address, files()), config(&address, &address, files())] {
            assert_eq!(config.check(), Ok(()));
        }
        for (config, option) in [
            (config(&address, &address, None), "--listen-tls"),
            (config(&address, &[], files()), "--tls-cert"),
            (config(&[], &[], None), "--listen"),
        ] {
            assert_eq!(config.check().expect_err("it cannot be used").option, option);
        }
    }

    #[test]
    fn headers_of_the_proxy_protocol_are_believed_of_somebody_or_come_by_unix_sockets() {
        let config = |listen: &[ListenAddress], trusted: &[&str]| {
            let mut trusted_proxies = TrustedProxies::default();
            trusted.iter().try_for_each(|network| trusted_proxies.add(network)).expect("networks");
            Config { listen: listen.to_vec(), proxy_protocol: true, trusted_proxies, ..Config::default() }
        };
        let (tcp, unix) = (ListenAddress::from(([127, 0, 0, 1], 0)), ListenAddress::Unix("a.sock".into()));
        assert_eq!(config(&[tcp.clone(), unix.clone()], &["10.0.0.0/8"]).check(), Ok(()));
        assert_eq!(config(std::slice::from_ref(&unix), &[]).check(), Ok(()));
        let error = config(&[tcp, unix], &[]).check().expect_err("nobody could connect by TCP");
        assert_eq!(error.option, "--proxy-protocol");
        assert!(error.fix.contains("--trust-proxy"), "{error}");
    }

    #[test]
    fn a_mode_is_of_owner_group_and_others() {
        let mode = |unix_mode| Config { unix_mode, ..Config::default() }.check();
        assert_eq!((mode(0), mode(0o777)), (Ok(()), Ok(())));
        assert_eq!(mode(0o1000).expect_err("a sticky socket").option, "--unix-mode");
    }

    #[test]
    fn a_burst_is_at_least_what_a_pause_is_for_and_of_bytes_a_request_head() {
        let check = |messages: Option<(u64, u64)>, bytes: Option<(u64, u64)>| {
            let rate = |(per_second, burst)| Rate { per_second, burst };
            let rates = Rates { messages: messages.map(rate), bytes: bytes.map(rate) };
            Config { rates, ..Config::default() }.check().map_err(|error| error.option)
        };
        let max = limits::RATE_MAX;
        for good in [(1, 1), (20, 1), (39, 1), (40, 2), (1_000, 50), (1, max), (max, max)] {
            assert_eq!(check(Some(good), None), Ok(()), "{good:?}");
        }
        for (wrong, option) in [
            ((0, 1), "--max-messages-per-second"),
            ((max + 1, max), "--max-messages-per-second"),
            ((1, 0), "--message-burst"),
            ((40, 1), "--message-burst"),
            ((1_000, 49), "--message-burst"),
            ((1, max + 1), "--message-burst"),
        ] {
            assert_eq!(check(Some(wrong), None), Err(option), "{wrong:?}");
        }
        for good in [(1, 16_384), (327_680, 16_384), (1_000_000, 50_000)] {
            assert_eq!(check(None, Some(good)), Ok(()), "{good:?}");
        }
        for (wrong, option) in [
            ((0, 16_384), "--max-bytes-per-second"),
            ((1, 16_383), "--byte-burst"),
            ((1_000_000, 49_999), "--byte-burst"),
        ] {
            assert_eq!(check(None, Some(wrong)), Err(option), "{wrong:?}");
        }
    }

    #[test]
    fn an_outbox_of_less_than_one_message_is_an_error_that_names_the_option_and_the_fix() {
        let mut config = Config::default();
        config.limits.message_bytes_max = 1000;
        config.limits.outbox_bytes_max = 1009;
        let error = config.check().expect_err("one byte short");
        assert_eq!(error.option, "--outbox-limit");
        assert!(error.to_string().contains("at least 1010"), "{error}");
    }
}
