//! What becomes of a client that reads too slowly: a [`SlowConsumerPolicy`], chosen for each channel by
//! [`ChannelRules`](super::ChannelRules).
//!
//! When a client counts as slow is not said here: that is when its socket is full and it lags over the outbox limit.

/// What is done about a client whose socket is full and who lags over the outbox limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowConsumerPolicy {
    /// It is closed with 1008. Who stays has every message.
    #[default]
    Disconnect,
    /// It loses the oldest messages that it has not been sent, as many as it takes to be within the limit again.
    DropOldest,
    /// It loses all messages that it has not been sent but the newest.
    Latest,
}

impl SlowConsumerPolicy {
    /// Every policy there is.
    pub const ALL: [SlowConsumerPolicy; 3] =
        [SlowConsumerPolicy::Disconnect, SlowConsumerPolicy::DropOldest, SlowConsumerPolicy::Latest];

    /// What the policy is called in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SlowConsumerPolicy::Disconnect => "disconnect",
            SlowConsumerPolicy::DropOldest => "drop-oldest",
            SlowConsumerPolicy::Latest => "latest",
        }
    }

    /// What is called so in options.
    #[must_use]
    pub fn named(name: &str) -> Option<SlowConsumerPolicy> {
        SlowConsumerPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}
