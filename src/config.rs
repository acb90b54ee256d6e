//! [`Config`]: a parsed and checked value. Nothing downstream checks it again.

mod admin;
mod auth;
mod changes;
mod channel_rules;
mod deflate;
mod described;
mod drain;
mod error;
mod files;
mod listen_address;
mod origins;
mod passed;
mod payload;
mod rates;
mod slow_consumer;
mod trusted_proxies;

pub use admin::{AdminConfig, Secret};
pub use auth::AuthConfig;
pub use changes::Reconfigured;
pub use channel_rules::{Access, ChannelPattern, ChannelRules, ChannelSettings};
pub use deflate::DeflateConfig;
pub use described::{ConfigSource, Described, Setting, Source};
pub use drain::{DrainConfig, Goodbye};
pub use error::ConfigError;
pub use files::{read_again, read_bounded};
pub use listen_address::{ListenAddress, ListenAddressError};
pub use origins::OriginPolicy;
pub use passed::{PassedListener, PassedSocket};
pub use payload::PayloadPolicy;
pub use rates::{Rate, Rates};
pub use slow_consumer::SlowConsumerPolicy;
pub use trusted_proxies::TrustedProxies;

use crate::limits::{self, Limits};
use std::path::PathBuf;

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
    /// Bytes of the kernel's send buffer for each connection, within [`limits::SEND_BUFFER_BYTES`]; the system's own choice if
    /// absent.
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

    /// The same for all that a server can be told that listens already, or on sockets that were passed.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn check_all_but_addresses(&self) -> Result<(), ConfigError> {
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
                let problem = format!("is {bytes_max} bytes for {:?}", pattern.to_string());
                let fix = format!(
                    "give 1 to {message_bytes_max}, or raise --max-message-size, which bounds all channels"
                );
                let error = ConfigError::new("[channel] max-message-size", problem, fix);
                return Err(error.in_section(pattern));
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
        let send_buffer = limits::SEND_BUFFER_BYTES;
        if let Some(bytes) = self.send_buffer_bytes.filter(|bytes| !send_buffer.contains(bytes)) {
            let (min, max) = (send_buffer.start(), send_buffer.end());
            let fix = format!("give {min} to {max}, or leave it out: then the system sizes it as needed");
            return Err(ConfigError::new("--send-buffer", format!("is {bytes} bytes"), fix));
        }
        if !(1..=9).contains(&self.deflate.level) {
            return Err(ConfigError::new(
                "--deflate-level",
                format!("is {}", self.deflate.level),
                "give 1 to 9",
            ));
        }
        let DrainConfig { delay_ms, spread_ms_max, .. } = self.drain;
        let Limits { handshake_timeout_ms, ping_interval_ms, idle_timeout_ms, close_timeout_ms, .. } =
            self.limits;
        for (option, ms, ms_max) in [
            ("--drain-delay", delay_ms, limits::DRAIN_MS_CEILING),
            ("--drain-seconds", spread_ms_max, limits::DRAIN_MS_CEILING),
            ("--handshake-timeout", handshake_timeout_ms, limits::TIMEOUT_MS_CEILING),
            ("--ping-interval", ping_interval_ms, limits::TIMEOUT_MS_CEILING),
            ("--idle-timeout", idle_timeout_ms, limits::TIMEOUT_MS_CEILING),
            ("--close-timeout", close_timeout_ms, limits::TIMEOUT_MS_CEILING),
        ] {
            if ms > ms_max {
                let fix = format!("give 0 to {} seconds", ms_max / 1000);
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
            let asks_for =
                [("[channel] publish", settings.publish), ("[channel] subscribe", settings.subscribe)];
            if let Some((option, _)) = asks_for.into_iter().find(|(_, access)| *access == Some(Access::Token))
                && self.auth.is_none()
            {
                let problem =
                    format!("is \"token\" for \"{pattern}\", but there is no key to check one with");
                let fix = "name one with --jwt-secret-file, --jwt-public-key or --jwt-jwks";
                return Err(ConfigError::new(option, problem, fix).in_section(pattern));
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
    fn eleven_days_are_the_longest_timeout() {
        type Set = fn(&mut Limits, u32);
        let with = |set: Set, ms| {
            let mut config = Config::default();
            set(&mut config.limits, ms);
            config.check()
        };
        let timeouts: [(&str, Set); 4] = [
            ("--handshake-timeout", |limits, ms| limits.handshake_timeout_ms = ms),
            ("--ping-interval", |limits, ms| limits.ping_interval_ms = ms),
            ("--idle-timeout", |limits, ms| limits.idle_timeout_ms = ms),
            ("--close-timeout", |limits, ms| limits.close_timeout_ms = ms),
        ];
        for (option, set) in timeouts {
            assert_eq!(with(set, 1_000_000_000), Ok(()), "{option}");
            for ms in [1_000_000_001, u32::MAX] {
                let error = with(set, ms).expect_err("it would be over at once");
                assert_eq!(error.option, option);
                assert!(error.to_string().contains("0 to 1000000 seconds"), "{error}");
            }
        }
    }

    #[test]
    fn a_send_buffer_has_room_for_something_and_no_more_than_the_system_can_be_asked_for() {
        let check = |bytes| Config { send_buffer_bytes: Some(bytes), ..Config::default() }.check();
        assert_eq!((check(4096), check(1 << 30)), (Ok(()), Ok(())));
        for wrong in [0, 4095, (1 << 30) + 1, 1 << 32] {
            assert_eq!(check(wrong).expect_err("it cannot be used").option, "--send-buffer");
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
    fn an_outbox_of_less_than_one_message_is_an_error_that_names_the_option_and_the_fix() {
        let mut config = Config::default();
        config.limits.message_bytes_max = 1000;
        config.limits.outbox_bytes_max = 1009;
        let error = config.check().expect_err("one byte short");
        assert_eq!(error.option, "--outbox-limit");
        assert!(error.to_string().contains("at least 1010"), "{error}");
    }
}
