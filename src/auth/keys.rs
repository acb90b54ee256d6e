//! [`Keys`]: what the operator trusts, from a secret, public keys in PEM, and a JWK set (RFC 7517).
//!
//! What cannot be used is found when it is read, and not at the first token.

use crate::config::{AuthConfig, ConfigError, read_again, read_bounded};
use crate::limits;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use serde_json::Value;
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever can check a token can make one.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// What it is called in a token's `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keys that tokens are checked with, and whose tokens, and for whom, are accepted. Their `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Invariant: at most [`limits::TOKEN_KEYS_MAX`].
    trusted: Vec<Key>,
    /// Entries of JWK sets that are of no use here: for encryption, or of other algorithms.
    ignored: usize,
    pub(super) audiences: Vec<String>,
    pub(super) issuers: Vec<String>,
    pub(super) leeway_seconds: u64,
    /// What the files said, each with its option: only to see whether they say something else when they are read again.
    files: Vec<(&'static str, Fingerprint)>,
}

/// The SHA-1 of a file.
type Fingerprint = [u8; 20];

/// A key, and the one algorithm that it is for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    algorithm: Algorithm,
    /// Its name in a JWK set.
    kid: Option<String>,
    pub(super) verifying: DecodingKey,
    /// That algorithm alone; no look at the clock.
    pub(super) validation: Validation,
}

impl Key {
    fn new(algorithm: Algorithm, kid: Option<String>, verifying: DecodingKey) -> Key {
        let mut validation = Validation::new(algorithm.of_library());
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Key { algorithm, kid, verifying, validation }
    }
}

/// Bits of an RSA key's modulus that are accepted (RFC 7518 §3.3, and what the library verifies with).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bytes of an uncompressed point of P-256 (SEC 1 §2.3.3): 4, x, y.
const P256_POINT_BYTES: usize = 65;

/// Bytes before the algorithm's name in a public key of P-256 (RFC 5480 §2): the heads of two sequences.
const SPKI_HEADER_BYTES: usize = 4;

/// Bytes of a public key of Ed25519 (RFC 8032 §5.1.5).
const ED25519_BYTES: usize = 32;

/// The options that name files with keys.
const FILE_OPTIONS: [&str; 3] = ["--jwt-secret-file", "--jwt-public-key", "--jwt-jwks"];

impl Keys {
    /// Reads the files that the operator named.
    ///
    /// # Errors
    /// If a file cannot be read or has no key that can be used, or none is named, naming the option and the fix.
    pub fn read(config: &AuthConfig) -> Result<Keys, ConfigError> {
        let mut keys = Keys {
            audiences: config.audiences.clone(),
            issuers: config.issuers.clone(),
            leeway_seconds: config.leeway_seconds,
            ..Keys::default()
        };
        let [secret_file, public_key, jwks] = FILE_OPTIONS;
        if let Some(path) = &config.secret {
            keys.read_file(secret_file, path, Keys::add_secret)?;
        }
        for path in &config.public_keys {
            keys.read_file(public_key, path, Keys::add_pem)?;
        }
        if let Some(path) = &config.jwks {
            keys.read_file(jwks, path, Keys::add_jwks)?;
        }
        config.check()?;
        Ok(keys)
    }

    fn read_file(
        &mut self,
        option: &'static str,
        path: &Path,
        add: impl FnOnce(&mut Keys, &[u8]) -> Result<(), KeyProblem>,
    ) -> Result<(), ConfigError> {
        let bytes = read_again(option, path, limits::KEY_FILE_BYTES_MAX)?;
        self.files.push((option, Sha1::digest(&bytes).into()));
        add(self, &bytes).map_err(|problem| problem.of_file(option, path))?;
        if self.trusted.len() > limits::TOKEN_KEYS_MAX {
            let fix = format!("give at most {} keys altogether", limits::TOKEN_KEYS_MAX);
            return Err(ConfigError::new(option, format!("{} brings too many keys", path.display()), fix));
        }
        // One more of these would never be tried.
        let max = limits::VERIFICATIONS_PER_TOKEN_MAX;
        let is_full = |algorithm: &Algorithm| {
            self.trusted.iter().filter(|key| key.algorithm == *algorithm && key.kid.is_none()).count() > max
        };
        if let Some(algorithm) = self.algorithms().into_iter().find(is_full) {
            let problem =
                format!("{} brings more than {max} keys for {algorithm} without a kid", path.display());
            let fix = "give fewer, or a JWK set in which each has a kid";
            return Err(ConfigError::new(option, problem, fix));
        }
        Ok(())
    }

    /// Adds a secret for HS256. Line ends behind a secret that is text are not part of it.
    ///
    /// # Errors
    /// If it is shorter than the hash (RFC 7518 §3.2: "MUST be used"), or is a key in PEM, which is no secret.
    pub fn add_secret(&mut self, secret: &[u8]) -> Result<(), KeyProblem> {
        let secret = secret_of(secret)?;
        self.trusted.push(Key::new(Algorithm::Hs256, None, DecodingKey::from_secret(secret)));
        Ok(())
    }

    /// Adds the public keys of a PEM text, one or more: RSA for RS256, P-256 for ES256, Ed25519 for `EdDSA`.
    ///
    /// # Errors
    /// If one of them is private, a certificate, or of another kind; or there is none.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), KeyProblem> {
        let text = str::from_utf8(pem).map_err(|_| NO_PEM)?;
        let before = self.trusted.len();
        let mut rest = text;
        while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
            let (label, body) = begun.split_once("-----").ok_or(NO_PEM)?;
            match label {
                "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
                label if label.ends_with("PRIVATE KEY") => {
                    let fix = "give the public key alone (openssl pkey -in FILE -pubout), and keep the private one away";
                    return Err(KeyProblem::new("is a private key", fix));
                }
                _ => {
                    return Err(KeyProblem::new(
                        "is a PEM file of something else than a public key",
                        PEM_FIX,
                    ));
                }
            }
            let end = format!("-----END {label}-----");
            let (body, behind) = body.split_once(&end).ok_or(NO_PEM)?;
            self.trusted.push(public_key(format!("-----BEGIN {label}-----{body}{end}\n").as_bytes())?);
            rest = behind;
        }
        if self.trusted.len() == before { Err(NO_PEM) } else { Ok(()) }
    }

    /// Adds the keys of a JWK set (RFC 7517 §5). Keys for other purposes and of other algorithms, of which an issuer's set
    /// may have some, are passed over.
    ///
    /// # Errors
    /// If it is none, none of its keys is of use, or two of one algorithm have the same `kid`.
    pub fn add_jwks(&mut self, json: &[u8]) -> Result<(), KeyProblem> {
        let no_set = KeyProblem::new("is no JWK set", "give JSON of the form {\"keys\": [...]}");
        let set: Value = serde_json::from_slice(json).map_err(|_| no_set.clone())?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(no_set)?;
        let before = self.trusted.len();
        for entry in list {
            // An entry that cannot be read is one that is of no use.
            match serde_json::from_value(entry.clone()).ok().and_then(|jwk| usable(&jwk)) {
                None => self.ignored += 1,
                Some(Err(problem)) => return Err(problem),
                Some(Ok(key)) => {
                    let is_same = |other: &Key| other.algorithm == key.algorithm && other.kid == key.kid;
                    if key.kid.is_some() && self.trusted[before..].iter().any(is_same) {
                        return Err(KeyProblem::new(
                            "has two keys of the same kid",
                            "give each a kid of its own",
                        ));
                    }
                    self.trusted.push(key);
                }
            }
        }
        if self.trusted.len() == before {
            let fix = "give one of kty RSA (RS256), EC with crv P-256 (ES256), OKP with crv Ed25519 (EdDSA) or oct (HS256)";
            return Err(KeyProblem::new("has no key that can be used", fix));
        }
        Ok(())
    }

    /// The same keys for tokens that are for one of these only; without any, for those that have no `aud`.
    #[must_use]
    pub fn with_audiences(mut self, audiences: &[&str]) -> Keys {
        self.audiences = audiences.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The same keys for tokens of one of these issuers only; without any, of all.
    #[must_use]
    pub fn with_issuers(mut self, issuers: &[&str]) -> Keys {
        self.issuers = issuers.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The same keys with so many seconds between the issuer's clock and ours.
    #[must_use]
    pub fn with_leeway(mut self, seconds: u64) -> Keys {
        self.leeway_seconds = seconds;
        self
    }

    /// The algorithms that there are keys for.
    pub fn algorithms(&self) -> BTreeSet<Algorithm> {
        self.trusted.iter().map(|key| key.algorithm).collect()
    }

    /// The options whose files say something else than those of `others` said, or are there in one of them only.
    pub fn changed_since<'k>(&'k self, others: &'k Keys) -> impl Iterator<Item = &'static str> + 'k {
        fn of<'k>(keys: &'k Keys, option: &str) -> impl Iterator<Item = &'k Fingerprint> {
            keys.files.iter().filter(move |(name, _)| *name == option).map(|(_, fingerprint)| fingerprint)
        }
        FILE_OPTIONS.into_iter().filter(|option| of(self, option).ne(of(others, option)))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trusted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trusted.is_empty()
    }

    /// How many entries of JWK sets were passed over.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The keys that a token with this header may be signed by, those of its algorithm. If it names a key: those of that
    /// name, then those that have none; else those that have none, then all others. At most
    /// [`limits::VERIFICATIONS_PER_TOKEN_MAX`].
    pub(super) fn candidates<'k>(
        &'k self,
        algorithm: jsonwebtoken::Algorithm,
        kid: Option<&'k str>,
    ) -> impl Iterator<Item = &'k Key> {
        let of_algorithm =
            move || self.trusted.iter().filter(move |key| key.algorithm.of_library() == algorithm);
        let meant = of_algorithm().filter(move |key| key.kid.as_deref() == kid);
        let others = of_algorithm().filter(move |key| key.kid.is_some() == kid.is_none());
        meant.chain(others).take(limits::VERIFICATIONS_PER_TOKEN_MAX)
    }
}

/// What is wrong with a key, to be read after the name of its file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    problem: &'static str,
    fix: &'static str,
}

impl KeyProblem {
    const fn new(problem: &'static str, fix: &'static str) -> KeyProblem {
        KeyProblem { problem, fix }
    }

    fn of_file(self, option: &'static str, path: &Path) -> ConfigError {
        ConfigError::new(option, format!("{} {}", path.display(), self.problem), self.fix)
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.fix)
    }
}

impl std::error::Error for KeyProblem {}

const PEM_FIX: &str = "give a public key that begins with -----BEGIN PUBLIC KEY-----: RSA, P-256 or Ed25519";

const NO_PEM: KeyProblem = KeyProblem::new("has no public key in PEM", PEM_FIX);

/// The bytes of a secret in a file: without line ends behind it, if it is text.
///
/// # Errors
/// If it is too short, or a key in PEM.
fn secret_of(file: &[u8]) -> Result<&[u8], KeyProblem> {
    let secret = match str::from_utf8(file) {
        Ok(text) => text.trim_end_matches(['\r', '\n']).as_bytes(),
        Err(_) => file,
    };
    // RFC 8725 §2.1: a public key as a secret lets anyone sign.
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        let fix = "give a public key with --jwt-public-key; a secret is 32 random bytes, as openssl rand -hex 32 makes them";
        return Err(KeyProblem::new("is a key in PEM, and no secret", fix));
    }
    if secret.len() < limits::HMAC_SECRET_BYTES_MIN {
        let fix = "give at least 32 bytes, as openssl rand -hex 32 makes them";
        return Err(KeyProblem::new("is shorter than 32 bytes", fix));
    }
    Ok(secret)
}

const _: () = assert!(limits::HMAC_SECRET_BYTES_MIN == 32, "two sentences say so");

/// The secret for HS256 in a file that `option` names. Line ends behind a secret that is text are not part of it.
///
/// # Errors
/// If the file cannot be read, or what is in it is no secret.
pub fn secret_in(option: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let bytes = read_bounded(option, path, limits::KEY_FILE_BYTES_MAX)?;
    let secret = secret_of(&bytes).map_err(|problem| problem.of_file(option, path))?;
    Ok(secret.to_vec())
}

/// The key of one PEM block with a public key.
fn public_key(pem: &[u8]) -> Result<Key, KeyProblem> {
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return match Jwk::from_decoding_key(&key, None).map(|jwk| jwk.algorithm) {
            Ok(AlgorithmParameters::RSA(rsa)) if has_good_length(&rsa.n) => {
                Ok(Key::new(Algorithm::Rs256, None, key))
            }
            Ok(_) => Err(RSA_LENGTH),
            Err(_) => Err(NO_PEM),
        };
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        let is_ed25519 = key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == ED25519_BYTES);
        return if is_ed25519 { Ok(Key::new(Algorithm::EdDsa, None, key)) } else { Err(NO_PEM) };
    }
    match DecodingKey::from_ec_pem(pem) {
        Ok(key) if is_on_p256(pem) && is_p256_point(&key) => Ok(Key::new(Algorithm::Es256, None, key)),
        Ok(_) => Err(KeyProblem::new("is a key on another curve than P-256", PEM_FIX)),
        Err(_) => Err(NO_PEM),
    }
}

const RSA_LENGTH: KeyProblem = KeyProblem::new(
    "has an RSA key of less than 2048 or more than 8192 bits",
    "give a key of 2048 bits or more (RFC 7518 §3.3)",
);

/// Whether a modulus in base64url has as many bits as it must.
fn has_good_length(modulus: &str) -> bool {
    BASE64URL.decode(modulus).is_ok_and(|bytes| {
        let significant = bytes.iter().skip_while(|byte| **byte == 0).count();
        let first = bytes.iter().find(|byte| **byte != 0).map_or(0, |byte| byte.leading_zeros() as usize);
        RSA_BITS.contains(&(8 * significant - first))
    })
}

/// Whether a public key of elliptic curves says that it is on P-256 (RFC 5480 §2.1.1.1): points of other curves may be as
/// long.
fn is_on_p256(pem: &[u8]) -> bool {
    SubjectPublicKeyInfoDer::from_pem_slice(pem).is_ok_and(|info| {
        let algorithm = info.get(SPKI_HEADER_BYTES..);
        algorithm.is_some_and(|algorithm| algorithm.starts_with(&alg_id::ECDSA_P256))
    })
}

/// Whether an exponent in base64url is one (RFC 8017 §3.1): odd, at least 3, and not longer than the library takes.
fn is_exponent(exponent: &str) -> bool {
    BASE64URL.decode(exponent).is_ok_and(|bytes| {
        let exponent =
            bytes.iter().try_fold(0_u32, |sum, byte| Some(sum.checked_mul(256)? + u32::from(*byte)));
        exponent.is_some_and(|exponent| exponent >= 3 && exponent % 2 == 1)
    })
}

fn is_p256_point(key: &DecodingKey) -> bool {
    key.try_get_as_bytes().is_ok_and(|point| point.len() == P256_POINT_BYTES && point[0] == 4)
}

/// The key of an entry of a JWK set; `None` if it is not for us: its `use`, `key_ops`, `alg` or kind says so.
fn usable(jwk: &Jwk) -> Option<Result<Key, KeyProblem>> {
    let common = &jwk.common;
    let is_for_signatures =
        common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|deeds| deeds.contains(&KeyOperations::Verify));
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => (Algorithm::Hs256, KeyAlgorithm::HS256),
        AlgorithmParameters::RSA(_) => (Algorithm::Rs256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if !is_for_signatures || common.key_algorithm.is_some_and(|alg| alg != named) {
        return None;
    }
    let unreadable = KeyProblem::new(
        "has a key that cannot be read",
        "check its n, e, x, y or k: base64url without padding",
    );
    let Ok(key) = DecodingKey::from_jwk(jwk) else { return Some(Err(unreadable)) };
    let problem = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if !is_exponent(&rsa.e) => Some(unreadable),
        AlgorithmParameters::RSA(rsa) if !has_good_length(&rsa.n) => Some(RSA_LENGTH),
        AlgorithmParameters::EllipticCurve(_) if !is_p256_point(&key) => Some(unreadable),
        AlgorithmParameters::OctetKeyPair(_) | AlgorithmParameters::OctetKey(_) => {
            let len = key.try_get_as_bytes().map_or(0, <[u8]>::len);
            match algorithm {
                Algorithm::EdDsa if len != ED25519_BYTES => Some(unreadable),
                Algorithm::Hs256 if len < limits::HMAC_SECRET_BYTES_MIN => Some(KeyProblem::new(
                    "has a key of kty oct that is shorter than 32 bytes",
                    "give at least 32 (RFC 7518 §3.2)",
                )),
                _ => None,
            }
        }
        _ => None,
    };
    Some(problem.map_or_else(|| Ok(Key::new(algorithm, common.key_id.clone(), key)), Err))
}
