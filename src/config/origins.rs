//! [`OriginPolicy`]: whose browsers may connect.

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
