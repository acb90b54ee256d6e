//! [`PayloadPolicy`]: what a client may publish.

/// What a client of a relay channel may publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadPolicy {
    /// Any text and binary message, verbatim.
    #[default]
    Any,
    /// Text that is JSON, verbatim.
    Json,
    /// `{"username": string, "text": string}`, broadcast in that normal form.
    Chat,
}

impl PayloadPolicy {
    /// Every policy there is.
    pub const ALL: [PayloadPolicy; 3] = [PayloadPolicy::Any, PayloadPolicy::Json, PayloadPolicy::Chat];

    /// What the policy is called in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PayloadPolicy::Any => "any",
            PayloadPolicy::Json => "json",
            PayloadPolicy::Chat => "chat",
        }
    }

    /// What is called so in options.
    #[must_use]
    pub fn named(name: &str) -> Option<PayloadPolicy> {
        PayloadPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}
