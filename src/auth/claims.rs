//! [`Claims`]: what a token says of its bearer (RFC 7519 §4), once its signature is right.

use super::pattern::Patterns;
use super::{Keys, Refusal};
use crate::limits;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// Who bears a token, until when, and what that may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Its `sub`: 1 to [`limits::USER_BYTES_MAX`] bytes without control characters.
    pub user: Arc<str>,
    /// The second of Unix time at which it is no longer accepted: its `exp`, and the leeway.
    pub expires: u64,
    /// Its `subscribe`: the channels in which its bearer may listen.
    pub subscribe: Patterns,
    /// Its `publish`: the channels in which its bearer may publish.
    pub publish: Patterns,
}

impl Keys {
    /// Reads the claims of a token whose signature is right, as of a second of Unix time.
    pub(super) fn claims(&self, claims: &Map<String, Value>, unix_seconds: u64) -> Result<Claims, Refusal> {
        let exp = claims.get("exp").and_then(numeric_date).ok_or(Refusal::ExpiryMissing)?;
        // RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted", but for a small leeway.
        let expires = exp.saturating_add(self.leeway_seconds);
        if unix_seconds >= expires {
            return Err(Refusal::Expired);
        }
        // §4.1.5: "before which the JWT MUST NOT be accepted", with the same leeway.
        if let Some(nbf) = claims.get("nbf") {
            let nbf = numeric_date(nbf).ok_or(Refusal::NotBefore)?;
            if unix_seconds.saturating_add(self.leeway_seconds) < nbf {
                return Err(Refusal::NotYet);
            }
        }
        self.check_parties(claims)?;
        let user = claims.get("sub").and_then(Value::as_str).filter(|user| {
            (1..=limits::USER_BYTES_MAX).contains(&user.len()) && !user.contains(char::is_control)
        });
        Ok(Claims {
            user: user.ok_or(Refusal::Subject)?.into(),
            expires,
            subscribe: Patterns::read(claims.get("subscribe")).ok_or(Refusal::Subscribe)?,
            publish: Patterns::read(claims.get("publish")).ok_or(Refusal::Publish)?,
        })
    }

    /// Whether the token is of somebody we accept, and for us.
    fn check_parties(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let is_ours = |name: &str, ours: &[String]| {
            claims.get(name).and_then(Value::as_str).is_some_and(|name| ours.iter().any(|our| our == name))
        };
        if !self.issuers.is_empty() && !is_ours("iss", &self.issuers) {
            return Err(Refusal::Issuer);
        }
        // §4.1.3: who does not identify itself with a value of an aud that is there MUST reject the token. So one that has
        // an aud is for somebody else as long as nobody has told us our name.
        let is_for_us = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).any(|name| self.audiences.iter().any(|our| our == name))
            }
            Some(_) => is_ours("aud", &self.audiences),
        };
        if is_for_us { Ok(()) } else { Err(Refusal::Audience) }
    }
}

/// A token's claims, of which none stands twice (§4: "Claim Names within a JWT Claims Set MUST be unique"). A second one may be
/// what a user put into a name of his, which an issuer wrote into its JSON as it was.
pub(super) struct ClaimsSet(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for ClaimsSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = ClaimsSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<ClaimsSet, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(ClaimsSet(claims))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// A number of seconds since 1970 (§2), rounded up if it has a fraction: both `now >= exp` and `now < nbf` are then right
/// for whole seconds of `now`. What lies before 1970 is 0.
fn numeric_date(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite())?;
        #[expect(clippy::cast_sign_loss, reason = "the cast saturates, which is what is wanted")]
        let seconds = seconds.ceil() as u64;
        Some(seconds)
    })
}
