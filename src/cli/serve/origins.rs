//! `--allow-origin`: whose pages may connect.

use fanwire::config::{ConfigError, OriginPolicy};

/// The policy that comes of the origins that are given.
pub(super) fn origins(allowed: Vec<String>) -> Result<OriginPolicy, ConfigError> {
    if allowed.iter().any(|origin| origin == "*") {
        return Ok(OriginPolicy::Any);
    }
    if let Some(wrong) = allowed.iter().find(|origin| !is_serialised_origin(origin)) {
        let fix =
            "give scheme, host and port as a browser sends them: https://example.org, http://localhost:3000";
        return Err(ConfigError::new("--allow-origin", format!("{wrong:?} is not an origin"), fix));
    }
    Ok(if allowed.is_empty() { OriginPolicy::SameOrigin } else { OriginPolicy::These(allowed) })
}

/// Whether a browser could send this as its Origin (RFC 6454 §6.2): a scheme, a host, perhaps a port, no path.
fn is_serialised_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(scheme, authority)| {
        !scheme.is_empty()
            && !authority.is_empty()
            && !authority.contains(['/', '?', '#', '@', ' '])
            && !origin.contains(|c: char| c.is_ascii_uppercase() || !c.is_ascii_graphic())
    })
}
