//! [`AdminConfig`]: where the admin API is, and who may use it.

use super::ConfigError;
use crate::limits;
use std::fmt;
use std::net::SocketAddr;

/// The admin API: a listener of its own for those who run the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// What its users show. Without one the address must be this machine's own (loopback).
    pub token: Option<Secret>,
}

impl AdminConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let AdminConfig { address, token } = self;
        if !cfg!(feature = "control") {
            return Err(ConfigError::new(
                "--admin",
                "is given, but this program was built without the admin API",
                "build it with the feature control",
            ));
        }
        let is_loopback = address.ip().to_canonical().is_loopback();
        match token {
            None if !is_loopback => Err(ConfigError::new(
                "--admin",
                format!("{address} can be reached from other machines, and there is no token"),
                "give one with --admin-token-file FILE or FANWIRE_ADMIN_TOKEN, or listen on 127.0.0.1",
            )),
            Some(token) if token.expose().len() < limits::ADMIN_TOKEN_BYTES_MIN => Err(ConfigError::new(
                "--admin-token-file",
                format!("has a token of fewer than {} characters", limits::ADMIN_TOKEN_BYTES_MIN),
                "make one that nobody guesses, as with: openssl rand -hex 32",
            )),
            Some(token) if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(ConfigError::new(
                    "--admin-token-file",
                    "has a token with a character that no header may have",
                    "use letters, digits and signs of ASCII, as of: openssl rand -hex 32",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// A text that must not be seen: shown as `***`, by `Debug` too.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from sight.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for those who compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(all(test, feature = "control"))]
mod tests {
    use super::*;
    use crate::config::Config;

    fn check(address: &str, token: Option<&str>) -> Result<(), String> {
        let token = token.map(Secret::new);
        let admin = Some(AdminConfig { address: address.parse().expect("an address"), token });
        Config { admin, ..Config::default() }.check().map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_token_only_this_machine_may_reach_it() {
        for loopback in ["127.0.0.1:8081", "127.8.9.1:0", "[::1]:8081", "[::ffff:127.0.0.1]:8081"] {
            assert_eq!(check(loopback, None), Ok(()), "{loopback}");
        }
        for reachable in ["0.0.0.0:8081", "[::]:8081", "192.0.2.1:8081", "[2001:db8::1]:8081"] {
            let error = check(reachable, None).expect_err("anybody could");
            assert!(error.starts_with("--admin ") && error.contains("--admin-token-file"), "{error}");
            assert_eq!(check(reachable, Some("0123456789abcdef")), Ok(()), "{reachable}");
        }
    }

    #[test]
    fn a_token_has_sixteen_characters_that_a_header_may_have() {
        assert_eq!(check("127.0.0.1:0", Some("0123456789abcdef")), Ok(()));
        for wrong in
            ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", "0123456789abcd\u{e9}f"]
        {
            let error = check("127.0.0.1:0", Some(wrong)).expect_err("it cannot be used");
            assert!(error.starts_with("--admin-token-file ") && error.contains("openssl"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error} tells it");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let admin = AdminConfig {
            address: ([127, 0, 0, 1], 0).into(),
            token: Some(Secret::new("correct horse battery")),
        };
        let shown = format!("{admin:?} {}", admin.token.as_ref().expect("given"));
        assert!(shown.contains("***") && !shown.contains("horse"), "{shown}");
    }
}
