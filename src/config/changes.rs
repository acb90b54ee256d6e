//! What of a configuration can change while a server runs, and what cannot.

use super::{AuthConfig, Config};

/// What came of a new configuration for a server that runs. Options are called as on the command line; what is said of
/// channels in sections is `[channel]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconfigured {
    /// What has changed.
    pub changed: Vec<&'static str>,
    /// What was to change and stays as it is until the server starts again.
    pub needs_restart: Vec<&'static str>,
}

impl Reconfigured {
    /// Notes that an option has changed, unless that is noted.
    pub(crate) fn note_changed(&mut self, option: &'static str) {
        if !self.changed.contains(&option) {
            self.changed.push(option);
        }
    }

    /// Whether all is as it was, and as it was to be.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.changed.is_empty() && self.needs_restart.is_empty()
    }

    fn note<T: PartialEq>(&mut self, option: &'static str, running: &T, wanted: &T) {
        if running != wanted {
            self.changed.push(option);
        }
    }

    /// Where there are no keys it does not matter what else is said of tokens.
    fn note_auth(&mut self, running: Option<&AuthConfig>, wanted: Option<&AuthConfig>) {
        let none = AuthConfig::default();
        let (running, wanted) = (running.unwrap_or(&none), wanted.unwrap_or(&none));
        self.note("--jwt-secret-file", &running.secret, &wanted.secret);
        self.note("--jwt-public-key", &running.public_keys, &wanted.public_keys);
        self.note("--jwt-jwks", &running.jwks, &wanted.jwks);
        self.note("--jwt-audience", &running.audiences, &wanted.audiences);
        self.note("--jwt-issuer", &running.issuers, &wanted.issuers);
        self.note("--jwt-leeway", &running.leeway_seconds, &wanted.leeway_seconds);
    }

    /// The running value stays.
    fn keep<T: PartialEq + Clone>(&mut self, option: &'static str, running: &T, wanted: &mut T) {
        if running != wanted {
            self.needs_restart.push(option);
            wanted.clone_from(running);
        }
    }
}

impl Config {
    /// What a server that runs with this configuration runs with when it is told `wanted`, and what that changes.
    #[must_use]
    pub fn reconfigured(&self, mut wanted: Config) -> (Config, Reconfigured) {
        let mut come_of = Reconfigured::default();
        // All fields are named, so that a new one finds its place here.
        let Config {
            listen,
            listen_tls,
            passed,
            reuse_port,
            unix_mode,
            proxy_protocol,
            trusted_proxies,
            tls,
            workers,
            limits,
            rates,
            connections_max,
            memory_bytes_max,
            connections_per_address_max,
            payload,
            origins,
            echo,
            send_buffer_bytes,
            deflate,
            channels,
            drain,
            auth,
            admin,
        } = self;
        come_of.keep("--listen", listen, &mut wanted.listen);
        come_of.keep("--listen-tls", listen_tls, &mut wanted.listen_tls);
        wanted.passed.clone_from(passed);
        come_of.keep("--reuse-port", reuse_port, &mut wanted.reuse_port);
        come_of.keep("--unix-mode", unix_mode, &mut wanted.unix_mode);
        come_of.keep("--proxy-protocol", proxy_protocol, &mut wanted.proxy_protocol);
        come_of.keep("--tls-cert", tls, &mut wanted.tls);
        come_of.keep("--admin", admin, &mut wanted.admin);
        come_of.keep("--workers", workers, &mut wanted.workers);
        come_of.keep("--send-buffer", send_buffer_bytes, &mut wanted.send_buffer_bytes);

        let new = &wanted;
        come_of.note("--trust-proxy", trusted_proxies, &new.trusted_proxies);
        come_of.note("--max-message-size", &limits.message_bytes_max, &new.limits.message_bytes_max);
        come_of.note("--outbox-limit", &limits.outbox_bytes_max, &new.limits.outbox_bytes_max);
        come_of.note("--handshake-timeout", &limits.handshake_timeout_ms, &new.limits.handshake_timeout_ms);
        come_of.note("--ping-interval", &limits.ping_interval_ms, &new.limits.ping_interval_ms);
        come_of.note("--idle-timeout", &limits.idle_timeout_ms, &new.limits.idle_timeout_ms);
        come_of.note("--close-timeout", &limits.close_timeout_ms, &new.limits.close_timeout_ms);
        for (options, running, wanted) in [
            (["--max-messages-per-second", "--message-burst"], rates.messages, new.rates.messages),
            (["--max-bytes-per-second", "--byte-burst"], rates.bytes, new.rates.bytes),
        ] {
            let [rate, burst] = options;
            let [(running, old_burst), (wanted, new_burst)] =
                [running, wanted].map(|rate| rate.map(|rate| (rate.per_second, rate.burst)).unzip());
            come_of.note(rate, &running, &wanted);
            // By default it follows its rate: that is one change.
            if running == wanted {
                come_of.note(burst, &old_burst, &new_burst);
            }
        }
        come_of.note("--max-connections", connections_max, &new.connections_max);
        come_of.note("--memory-budget", memory_bytes_max, &new.memory_bytes_max);
        come_of.note(
            "--max-connections-per-ip",
            connections_per_address_max,
            &new.connections_per_address_max,
        );
        come_of.note("--payload", payload, &new.payload);
        come_of.note("--allow-origin", origins, &new.origins);
        come_of.note_auth(auth.as_ref(), new.auth.as_ref());
        come_of.note("--echo", echo, &new.echo);
        come_of.note("--deflate", &deflate.enabled, &new.deflate.enabled);
        come_of.note("--deflate-min-size", &deflate.bytes_min, &new.deflate.bytes_min);
        come_of.note("--deflate-level", &deflate.level, &new.deflate.level);
        let takeover = |config: &Config| config.deflate.client_context_takeover;
        come_of.note("--deflate-context-takeover", &takeover(self), &takeover(new));
        come_of.note("[channel]", channels, &new.channels);
        come_of.note("--drain-delay", &drain.delay_ms, &new.drain.delay_ms);
        come_of.note("--drain-seconds", &drain.spread_ms_max, &new.drain.spread_ms_max);
        come_of.note("--drain-code", &drain.goodbye, &new.drain.goodbye);
        (wanted, come_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PassedListener, PayloadPolicy, Rate, Rates};

    #[test]
    fn the_same_again_changes_nothing() {
        let (config, come_of) = Config::default().reconfigured(Config::default());
        assert!(come_of.is_nothing() && config.workers == 1, "{come_of:?}");
    }

    #[test]
    fn what_cannot_change_stays_and_is_named_and_the_rest_is_taken() {
        let mut wanted = Config { workers: 3, payload: PayloadPolicy::Json, ..Config::default() };
        wanted.listen.clear();
        wanted.limits.idle_timeout_ms = 1;
        wanted.channels.parse_slow_consumer("*=latest").unwrap();
        let (config, come_of) = Config::default().reconfigured(wanted);
        assert_eq!((config.workers, config.listen.len()), (1, 1));
        assert_eq!((config.payload, config.limits.idle_timeout_ms), (PayloadPolicy::Json, 1));
        assert_eq!(come_of.changed, ["--idle-timeout", "--payload", "[channel]"]);
        assert_eq!(come_of.needs_restart, ["--listen", "--workers"]);
    }

    #[test]
    fn a_burst_changes_without_its_rate() {
        let config = |per_second, burst| {
            let messages = Some(Rate { per_second, burst });
            Config { rates: Rates { messages, bytes: None }, ..Config::default() }
        };
        let changes = |wanted: Config| config(10, 10).reconfigured(wanted).1.changed;
        assert_eq!(changes(config(10, 20)), ["--message-burst"]);
        assert_eq!(changes(config(20, 20)), ["--max-messages-per-second"]);
        assert_eq!(changes(Config::default()), ["--max-messages-per-second"]);
    }

    #[test]
    fn other_tokens_are_asked_for_without_a_restart() {
        let auth = AuthConfig { secret: Some("secret".into()), leeway_seconds: 0, ..AuthConfig::default() };
        let asking = || Config { auth: Some(auth.clone()), ..Config::default() };
        let changes = |(config, come_of): (Config, Reconfigured)| (config.auth, come_of.changed);
        let expected = vec!["--jwt-secret-file", "--jwt-leeway"];
        assert_eq!(changes(Config::default().reconfigured(asking())), (Some(auth.clone()), expected.clone()));
        assert_eq!(changes(asking().reconfigured(Config::default())), (None, expected));
        let mut other = asking();
        other.auth.as_mut().expect("there").issuers.push("login".into());
        assert_eq!(changes(asking().reconfigured(other)).1, ["--jwt-issuer"]);
    }

    #[test]
    fn sockets_that_were_passed_are_nobodys_business_any_more() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").into();
        let wanted = Config { passed: vec![PassedListener { socket, tls: false }], ..Config::default() };
        let (config, come_of) = Config::default().reconfigured(wanted);
        assert!(come_of.is_nothing() && config.passed.is_empty());
    }
}
