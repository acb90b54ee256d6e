//! Who a client is and what it may: JSON Web Tokens (RFC 7519), signed (RFC 7515), checked by `jsonwebtoken`.
//!
//! [`Keys`] are what the operator trusts; [`Keys::verify`] makes [`Claims`] of a token, or a [`Refusal`] that says why not.
//! It is pure but for [`Keys::read`], which reads the operator's files: the time is an argument, so the library's own
//! looks at the clock are off and done here. What a token lets its bearer do is decided elsewhere (`shard`).
//!
//! Each key is for one algorithm, which it is told when it is read and never by a token: a public key is no HMAC secret, and
//! `none` is no algorithm (RFC 8725 §2.1, §3.1). Nothing here keeps, quotes or logs a token.

mod claims;
mod keys;
mod pattern;
#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use keys::{Algorithm, KeyProblem, Keys, secret_in};
pub use pattern::Patterns;

use crate::limits;
use claims::ClaimsSet;
use jsonwebtoken::errors::ErrorKind;
use std::fmt;

impl Keys {
    /// Checks a token as of a second of Unix time, and says who bears it and what that may.
    ///
    /// It costs at most [`limits::VERIFICATIONS_PER_TOKEN_MAX`] verifications of a signature over at most
    /// [`limits::TOKEN_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with it. What its claims say matters only once its signature is right.
    pub fn verify(&self, token: &str, unix_seconds: u64) -> Result<Claims, Refusal> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        // RFC 7515 §7.1: the compact serialisation has three parts.
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(Refusal::NotThreeParts);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Header)?;
        // RFC 7515 §4.1.11: what is critical and not understood makes the token invalid. We understand no extension.
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        let mut refusal = Refusal::NoKey;
        for key in self.candidates(header.alg, header.kid.as_deref()) {
            match jsonwebtoken::decode::<ClaimsSet>(token, &key.verifying, &key.validation) {
                Ok(data) => return self.claims(&data.claims.0, unix_seconds),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => refusal = Refusal::Signature,
                    ErrorKind::Base64(_) => return Err(Refusal::Base64),
                    _ => return Err(Refusal::ClaimsForm),
                },
            }
        }
        Err(refusal)
    }
}

macro_rules! refusals {
    ($($section:literal $name:ident => $sentence:expr;)+) => {
        /// Why a token is not accepted, in the words that its bearer is told. None of them is the token's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal { $(#[doc = concat!($section, ": ", $sentence, ".")] $name,)+ }

        impl Refusal {
            /// All there are.
            pub const ALL: &[Refusal] = &[$(Refusal::$name,)+];

            /// The rule that it breaks.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Refusal::$name => $section,)+ }
            }

            /// What is wrong, without a full stop.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Refusal::$name => $sentence,)+ }
            }
        }
    };
}

refusals! {
    "limits" TooLong => "the token is longer than 8192 bytes";
    "RFC 7515 §7.1" NotThreeParts => "the token has not the three parts of a signed JWT";
    "RFC 7515 §4" Header => "the token's header cannot be read, or its alg is not known here";
    "RFC 7515 §4.1.11" Critical => "the token's header has crit, and no extension is understood here";
    "RFC 7515 §4.1.4" NoKey => "no key here is for the alg and the kid of the token";
    "RFC 7515 §5.2" Signature => "the token's signature is wrong";
    "RFC 7515 §2" Base64 => "the token is not base64url without padding";
    "RFC 7519 §7.2" ClaimsForm => "the token's claims are not a JSON object as RFC 7519 demands it, with each name once";
    "RFC 7519 §4.1.4" ExpiryMissing => "the token has no exp, the second at which it expires, as a number";
    "RFC 7519 §4.1.4" Expired => "the token has expired";
    "RFC 7519 §4.1.5" NotBefore => "the token's nbf is not a number";
    "RFC 7519 §4.1.5" NotYet => "the token is not valid yet";
    "RFC 7519 §4.1.1" Issuer => "the token's iss is none that is accepted here";
    "RFC 7519 §4.1.3" Audience => "the token's aud is none that is accepted here";
    "RFC 7519 §4.1.2" Subject => "the token has no sub of 1 to 200 bytes without control characters";
    "fanwire" Subscribe => "the token's subscribe is not a channel pattern, or a list of them";
    "fanwire" Publish => "the token's publish is not a channel pattern, or a list of them";
}

const _: () = assert!(limits::TOKEN_BYTES_MAX == 8192 && limits::USER_BYTES_MAX == 200, "a sentence says so");

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Refusal {}
