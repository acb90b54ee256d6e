//! [`AuthConfig`]: where the keys are with which clients' tokens are checked, and whose tokens are accepted.

use super::ConfigError;
use crate::limits;
use std::path::PathBuf;

/// With what clients' tokens (JWT, RFC 7519) are checked. The files are read at the start and at each reload;
/// who is in by a token stays in until that expires, even if its key is trusted no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// The secret that HS256 tokens are signed with: at least [`limits::HMAC_SECRET_BYTES_MIN`] bytes.
    pub secret: Option<PathBuf>,
    /// Public keys in PEM: RSA for RS256, P-256 for ES256, Ed25519 for `EdDSA`.
    pub public_keys: Vec<PathBuf>,
    /// A JWK set (RFC 7517).
    pub jwks: Option<PathBuf>,
    /// A token must be for one of these (`aud`); without any it must not be for anyone in particular.
    pub audiences: Vec<String>,
    /// A token must be of one of these (`iss`), if there are any.
    pub issuers: Vec<String>,
    /// Seconds by which the issuer's clock may differ from ours: a token is accepted for so long before its `nbf` and after
    /// its `exp`. At most [`limits::TOKEN_LEEWAY_SECONDS_MAX`].
    pub leeway_seconds: u64,
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            secret: None,
            public_keys: Vec::new(),
            jwks: None,
            audiences: Vec::new(),
            issuers: Vec::new(),
            leeway_seconds: limits::TOKEN_LEEWAY_SECONDS_DEFAULT,
        }
    }
}

impl AuthConfig {
    /// Whether a key is named at all.
    #[must_use]
    pub fn names_a_key(&self) -> bool {
        self.secret.is_some() || !self.public_keys.is_empty() || self.jwks.is_some()
    }

    /// Checks what the types leave open. What is in the files is not looked at.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the option and the fix.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.names_a_key() {
            let option = if self.issuers.is_empty() { "--jwt-audience" } else { "--jwt-issuer" };
            let fix = "name one with --jwt-secret-file, --jwt-public-key or --jwt-jwks";
            return Err(ConfigError::new(option, "is given without a key", fix));
        }
        for (option, names) in [("--jwt-audience", &self.audiences), ("--jwt-issuer", &self.issuers)] {
            if names.iter().any(String::is_empty) {
                return Err(ConfigError::new(option, "is empty", "give a name, or leave it out"));
            }
        }
        if self.leeway_seconds > limits::TOKEN_LEEWAY_SECONDS_MAX {
            let fix = format!("give 0 to {} seconds", limits::TOKEN_LEEWAY_SECONDS_MAX);
            return Err(ConfigError::new("--jwt-leeway", format!("is {}", self.leeway_seconds), fix));
        }
        Ok(())
    }
}
