//! [`Greeting`]: what a server says of itself at its start.

use super::Server;
use super::reloading::say_tokens;
use crate::config::{ChannelRules, Config, Rate, Rates};
use std::fmt;

/// What a server says of itself at its start.
pub(super) struct Greeting {
    workers: usize,
    /// Who is trusted to say where clients come from, if anybody is by the options.
    proxies: Option<String>,
    limits: String,
    /// What is limited only if that is asked for; empty if nothing is.
    floods: Vec<String>,
    /// Empty if all are disconnected.
    slow_consumers: Vec<String>,
    deflate: String,
}

impl Greeting {
    pub(super) fn of(config: &Config) -> Greeting {
        let limits = &config.limits;
        let seconds = |ms: u32| match ms {
            0 => "off".to_owned(),
            ms => format!("{} s", f64::from(ms) / 1000.0),
        };
        let deflate = &config.deflate;
        let takeover =
            if deflate.client_context_takeover { ", with context takeover for clients" } else { "" };
        Greeting {
            workers: config.workers,
            proxies: proxies(config),
            deflate: if deflate.enabled {
                format!("messages from {} on, level {}{takeover}", bytes(deflate.bytes_min), deflate.level)
            } else {
                "off".to_owned()
            },
            limits: format!(
                "{} connections, {}, messages of {}, outbox of {}, handshake timeout {}, ping interval {}, idle timeout \
                 {}, close timeout {}, goodbyes {}",
                config.connections_max,
                match config.memory_bytes_max {
                    0 => "any amount of memory".to_owned(),
                    max => format!("{} of memory", bytes(usize::try_from(max).unwrap_or(usize::MAX))),
                },
                bytes(limits.message_bytes_max),
                bytes(limits.outbox_bytes_max),
                seconds(limits.handshake_timeout_ms),
                seconds(limits.ping_interval_ms),
                seconds(limits.idle_timeout_ms),
                seconds(limits.close_timeout_ms),
                match config.drain.spread_ms_max {
                    0 => "at once".to_owned(),
                    ms => format!("over up to {}", seconds(ms)),
                },
            ),
            floods: floods(config),
            slow_consumers: slow_consumers(&config.channels),
        }
    }

    pub(super) fn log(&self, server: &Server) {
        let (plain, more) = in_lines(server.addresses());
        for address in plain {
            tracing::info!("listening on {address}: ws://{address}/ws, chat page at http://{address}/");
        }
        if let Some(more) = more {
            tracing::info!("listening on {more}");
        }
        let (tls, more) = in_lines(server.tls_addresses());
        for address in tls {
            tracing::info!("listening on {address}: wss://{address}/ws, chat page at https://{address}/");
        }
        if let Some(more) = more {
            tracing::info!("listening on {more} for TLS");
        }
        for (paths, suffix) in [(server.unix_paths(), ""), (server.tls_unix_paths(), " for TLS")] {
            let paths: Vec<String> = paths.iter().map(|path| format!("unix:{}", path.display())).collect();
            let (files, more) = in_lines(&paths);
            for file in files.iter().chain(&more) {
                tracing::info!("listening on {file}{suffix}");
            }
        }
        if let Some(proxies) = &self.proxies {
            tracing::info!("{proxies}");
        }
        #[cfg(feature = "control")]
        if let Some(address) = server.admin_address() {
            tracing::info!("admin API and dashboard at http://{address}/");
        }
        let workers =
            if self.workers == 1 { "1 worker".to_owned() } else { format!("{} workers", self.workers) };
        tracing::info!("{workers}");
        tracing::info!("limits: {}", self.limits);
        if !self.floods.is_empty() {
            tracing::info!("limits against floods: {}", self.floods.join(", "));
        }
        if !self.slow_consumers.is_empty() {
            tracing::info!("slow consumers: {}, all others disconnect", self.slow_consumers.join(", "));
        }
        tracing::info!("permessage-deflate: {}", self.deflate);
        say_tokens(server.reloading.keys().as_deref());
    }
}

/// The addresses that have a line of the log each, and all others in one: a log that leaves out what repeats itself would
/// leave out the last of them.
fn in_lines<A: fmt::Display>(addresses: &[A]) -> (&[A], Option<String>) {
    const LINES_MAX: usize = 4;
    if addresses.len() <= LINES_MAX {
        return (addresses, None);
    }
    let (first, others) = addresses.split_at(LINES_MAX);
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    (first, Some(others.join(", ")))
}

/// Who is trusted to say where clients come from, and how it does.
fn proxies(config: &Config) -> Option<String> {
    let trusted = &config.trusted_proxies;
    let who = if trusted.is_empty() { "unix".to_owned() } else { trusted.to_string() };
    match (config.proxy_protocol, trusted.is_empty()) {
        (true, _) => Some(format!("behind proxies: {who}; every connection must begin with a PROXY header")),
        (false, false) => {
            Some(format!("behind proxies: {who}; X-Forwarded-For and Forwarded are believed from there"))
        }
        (false, true) => None,
    }
}

/// How fast a client may send, and how many there may be of one address, as far as that is limited.
fn floods(config: &Config) -> Vec<String> {
    let Rates { messages, bytes } = config.rates;
    let rate = |what: &str, rate: Option<Rate>| {
        rate.map(|Rate { per_second, burst }| format!("{per_second} {what}/s (burst {burst})"))
    };
    let max = config.connections_per_address_max;
    let connections = (max > 0).then(|| format!("{max} connections of an address"));
    [rate("messages", messages), rate("bytes", bytes), connections].into_iter().flatten().collect()
}

/// What becomes of clients that read too slowly, as options say it, the most exact pattern first.
fn slow_consumers(rules: &ChannelRules) -> Vec<String> {
    let policies = rules.iter().filter_map(|(pattern, settings)| Some((pattern, settings.slow_consumers?)));
    policies.map(|(pattern, policy)| format!("{pattern}={}", policy.name())).collect()
}

/// A number of bytes as people write it, if it is a round one.
fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} bytes"),
    }
}
