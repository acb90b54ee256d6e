//! What of a configuration can change while a server runs, and what cannot.

use super::Config;

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
        come_of.keep("--jwt-secret-file", auth, &mut wanted.auth);
        come_of.keep("--send-buffer", send_buffer_bytes, &mut wanted.send_buffer_bytes);

        let new = &wanted;
        come_of.note("--trust-proxy", trusted_proxies, &new.trusted_proxies);
        come_of.note("--max-message-size", &limits.message_bytes_max, &new.limits.message_bytes_max);
        come_of.note("--outbox-limit", &limits.outbox_bytes_max, &new.limits.outbox_bytes_max);
        come_of.note("--handshake-timeout", &limits.handshake_timeout_ms, &new.limits.handshake_timeout_ms);
        come_of.note("--ping-interval", &limits.ping_interval_ms, &new.limits.ping_interval_ms);
        come_of.note("--idle-timeout", &limits.idle_timeout_ms, &new.limits.idle_timeout_ms);
        come_of.note("--close-timeout", &limits.close_timeout_ms, &new.limits.close_timeout_ms);
        come_of.note("--max-messages-per-second", &rates.messages, &new.rates.messages);
        come_of.note("--max-bytes-per-second", &rates.bytes, &new.rates.bytes);
        come_of.note("--max-connections", connections_max, &new.connections_max);
        come_of.note("--memory-budget", memory_bytes_max, &new.memory_bytes_max);
        come_of.note(
            "--max-connections-per-ip",
            connections_per_address_max,
            &new.connections_per_address_max,
        );
        come_of.note("--payload", payload, &new.payload);
        come_of.note("--allow-origin", origins, &new.origins);
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
    use crate::config::{PassedListener, PayloadPolicy};

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
    fn sockets_that_were_passed_are_nobodys_business_any_more() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").into();
        let wanted = Config { passed: vec![PassedListener { socket, tls: false }], ..Config::default() };
        let (config, come_of) = Config::default().reconfigured(wanted);
        assert!(come_of.is_nothing() && config.passed.is_empty());
    }
}
