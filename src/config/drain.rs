//! [`DrainConfig`]: how a server ends.

use crate::limits;

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
