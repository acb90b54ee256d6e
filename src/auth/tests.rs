//! What is accepted and what is not, by the rules of RFC 7515, 7517, 7518 and 7519. (The file is long because each rule
//! stands here with both its sides.)

use super::*;
use crate::config::AuthConfig;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Alg, DecodingKey, EncodingKey, Header};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::fs;
use std::slice;
use std::sync::LazyLock;

/// The second at which tokens are checked here.
const NOW: u64 = 1_800_000_000;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A key pair of each kind that has one.
struct Pair {
    pair: KeyPair,
    alg: Alg,
}

impl Pair {
    fn signing(&self) -> EncodingKey {
        let pem = self.pair.serialize_pem();
        let key = match self.alg {
            Alg::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Alg::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        key.expect("a key of its own kind")
    }

    fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// It as an entry of a JWK set.
    fn jwk(&self, kid: &str) -> Value {
        let pem = self.public_pem();
        let key = match self.alg {
            Alg::RS256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
            Alg::EdDSA => DecodingKey::from_ed_pem(pem.as_bytes()),
            _ => DecodingKey::from_ec_pem(pem.as_bytes()),
        };
        let key = key.expect("a key of its own kind");
        let mut jwk = Jwk::from_decoding_key(&key, Some(self.alg)).expect("public parts");
        jwk.common.key_id = Some(kid.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }
}

fn pair(algorithm: &'static rcgen::SignatureAlgorithm, alg: Alg) -> Pair {
    Pair { pair: KeyPair::generate_for(algorithm).expect("a key"), alg }
}

static RSA: LazyLock<Pair> = LazyLock::new(|| pair(&PKCS_RSA_SHA256, Alg::RS256));
static P256: LazyLock<Pair> = LazyLock::new(|| pair(&PKCS_ECDSA_P256_SHA256, Alg::ES256));
static P384: LazyLock<Pair> = LazyLock::new(|| pair(&PKCS_ECDSA_P384_SHA384, Alg::ES384));
static ED25519: LazyLock<Pair> = LazyLock::new(|| pair(&PKCS_ED25519, Alg::EdDSA));

fn all() -> [&'static Pair; 3] {
    [&*RSA, &*P256, &*ED25519]
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("it can be signed")
}

fn good_claims() -> Value {
    json!({"sub": "ann", "exp": NOW + 60, "subscribe": ["room-*", "lobby"], "publish": "room-1"})
}

/// Signed with the secret.
fn with_secret(claims: &Value) -> String {
    sign(&Header::new(Alg::HS256), claims, &EncodingKey::from_secret(SECRET))
}

/// A token with these very bytes, whose signature is right.
fn raw(header: &str, claims: &[u8]) -> String {
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, Alg::HS256).expect("it can be signed");
    format!("{message}.{signature}")
}

fn secret() -> Keys {
    let mut keys = Keys::default();
    keys.add_secret(SECRET).expect("long enough");
    keys
}

fn public(pairs: &[&Pair]) -> Keys {
    let mut keys = Keys::default();
    for pair in pairs {
        keys.add_pem(pair.public_pem().as_bytes()).expect("a public key");
    }
    keys
}

fn set(entries: &[Value]) -> Result<Keys, String> {
    let mut keys = Keys::default();
    let set = json!({"keys": entries}).to_string();
    keys.add_jwks(set.as_bytes()).map(|()| keys).map_err(|problem| problem.to_string())
}

/// What becomes of a token with these claims, all else being right.
fn verdict(keys: &Keys, claims: &Value) -> Result<Claims, Refusal> {
    keys.verify(&with_secret(claims), NOW)
}

/// The good claims with another value of one, or without it.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = good_claims();
    if value.is_null() {
        claims.as_object_mut().expect("an object").remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

// ---- Signatures -------------------------------------------------------------------------------------------------

#[test]
fn rfc7518_3_1_each_algorithm_is_accepted_with_its_key() {
    let claims = verdict(&secret(), &good_claims()).expect("HS256");
    assert_eq!((&*claims.user, claims.expires), ("ann", NOW + 60));
    for pair in all() {
        let token = sign(&Header::new(pair.alg), &good_claims(), &pair.signing());
        assert_eq!(public(&[pair]).verify(&token, NOW).as_ref(), Ok(&claims), "{:?}", pair.alg);
        let keys = set(&[pair.jwk("one")]).expect("a set of one");
        assert_eq!(keys.verify(&token, NOW).as_ref(), Ok(&claims), "{:?}, of a JWK set", pair.alg);
    }
    let jwk = json!({"kty": "oct", "alg": "HS256", "k": BASE64URL.encode(SECRET)});
    assert_eq!(set(&[jwk]).expect("a set").verify(&with_secret(&good_claims()), NOW), Ok(claims));
}

#[test]
fn rfc7515_5_2_a_token_of_another_key_of_its_kind_is_refused() {
    let other = EncodingKey::from_secret(b"another secret of more than 32 bytes");
    let token = sign(&Header::new(Alg::HS256), &good_claims(), &other);
    assert_eq!(secret().verify(&token, NOW), Err(Refusal::Signature));
    let other = pair(&PKCS_ED25519, Alg::EdDSA);
    let token = sign(&Header::new(Alg::EdDSA), &good_claims(), &other.signing());
    assert_eq!(public(&[&ED25519]).verify(&token, NOW), Err(Refusal::Signature));
}

#[test]
fn rfc8725_2_1_a_public_key_is_no_secret() {
    for pair in all() {
        let pem = pair.public_pem();
        for secret_of_forger in [pem.as_bytes(), pem.trim_end().as_bytes(), pair.pair.public_key_raw()] {
            let forged =
                sign(&Header::new(Alg::HS256), &good_claims(), &EncodingKey::from_secret(secret_of_forger));
            assert_eq!(public(&[pair]).verify(&forged, NOW), Err(Refusal::NoKey), "{:?}", pair.alg);
            let keys = set(&[pair.jwk("one")]).expect("a set of one");
            assert_eq!(keys.verify(&forged, NOW), Err(Refusal::NoKey), "{:?}, of a JWK set", pair.alg);
            let mut keys = public(&[pair]);
            keys.add_secret(SECRET).expect("long enough");
            assert_eq!(keys.verify(&forged, NOW), Err(Refusal::Signature), "{:?}, beside a secret", pair.alg);
        }
    }
}

#[test]
fn rfc8725_3_1_a_key_takes_no_other_algorithm_though_it_could() {
    let rsa = RSA.signing();
    for alg in [Alg::RS384, Alg::RS512, Alg::PS256] {
        let token = sign(&Header::new(alg), &good_claims(), &rsa);
        assert_eq!(public(&[&RSA]).verify(&token, NOW), Err(Refusal::NoKey), "{alg:?}");
    }
    for alg in [Alg::HS384, Alg::HS512] {
        let token = sign(&Header::new(alg), &good_claims(), &EncodingKey::from_secret(SECRET));
        assert_eq!(secret().verify(&token, NOW), Err(Refusal::NoKey), "{alg:?}");
    }
    // A token cannot rename its algorithm either: the signature covers the header.
    let token = sign(&Header::new(Alg::HS256), &good_claims(), &EncodingKey::from_secret(SECRET));
    let (_, rest) = token.split_once('.').expect("three parts");
    let renamed = format!("{}.{rest}", BASE64URL.encode(r#"{"alg":"HS512"}"#));
    assert_eq!(secret().verify(&renamed, NOW), Err(Refusal::NoKey));
}

#[test]
fn rfc7519_6_an_unsecured_token_is_never_accepted() {
    let claims = BASE64URL.encode(good_claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = BASE64URL.encode(json!({ "alg": alg }).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{claims}.{signature}");
            assert_eq!(secret().verify(&token, NOW), Err(Refusal::Header), "{alg:?}");
        }
    }
    let header = BASE64URL.encode(r#"{"alg":"HS256"}"#);
    assert_eq!(secret().verify(&format!("{header}.{claims}."), NOW), Err(Refusal::Signature));
}

#[test]
fn rfc7515_4_1_4_the_kid_chooses_the_key() {
    let (old, new) = (pair(&PKCS_ED25519, Alg::EdDSA), pair(&PKCS_ED25519, Alg::EdDSA));
    let keys = set(&[old.jwk("old"), new.jwk("new")]).expect("two keys");
    let token = |kid: Option<&str>, pair: &Pair| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Alg::EdDSA) };
        keys.verify(&sign(&header, &good_claims(), &pair.signing()), NOW).map(|_| ())
    };
    assert_eq!(token(Some("old"), &old), Ok(()));
    assert_eq!(token(Some("new"), &new), Ok(()));
    assert_eq!(token(Some("new"), &old), Err(Refusal::Signature));
    assert_eq!(token(Some("other"), &new), Err(Refusal::NoKey));
    assert_eq!((token(None, &old), token(None, &new)), (Ok(()), Ok(())), "without a kid all are tried");
}

#[test]
fn a_kid_does_not_matter_to_a_key_that_has_none() {
    let header = Header { kid: Some("whatever".into()), ..Header::new(Alg::HS256) };
    let token = sign(&header, &good_claims(), &EncodingKey::from_secret(SECRET));
    assert!(secret().verify(&token, NOW).is_ok());
}

#[test]
fn a_token_is_checked_against_four_keys_at_most() {
    let pairs: Vec<_> = (0..5).map(|_| pair(&PKCS_ED25519, Alg::EdDSA)).collect();
    let keys = public(&pairs.iter().collect::<Vec<_>>());
    let verdict =
        |pair: &Pair| keys.verify(&sign(&Header::new(Alg::EdDSA), &good_claims(), &pair.signing()), NOW);
    assert!(verdict(&pairs[3]).is_ok());
    assert_eq!(verdict(&pairs[4]), Err(Refusal::Signature));
}

#[test]
fn a_key_that_is_named_is_tried_before_those_without_a_name() {
    let unnamed: Vec<_> = (0..4).map(|_| pair(&PKCS_ED25519, Alg::EdDSA)).collect();
    let mut keys = public(&unnamed.iter().collect::<Vec<_>>());
    keys.add_jwks(json!({"keys": [ED25519.jwk("new")]}).to_string().as_bytes()).expect("a set of one");
    let header = Header { kid: Some("new".into()), ..Header::new(Alg::EdDSA) };
    let verdict = |pair: &Pair| keys.verify(&sign(&header, &good_claims(), &pair.signing()), NOW);
    assert!(verdict(&ED25519).is_ok());
    assert!(verdict(&unnamed[2]).is_ok(), "and those after it, as many as four are in all");
}

#[test]
fn a_key_without_a_name_is_tried_before_those_with_one_if_the_token_names_none() {
    let named: Vec<_> = (0..4).map(|_| pair(&PKCS_ED25519, Alg::EdDSA)).collect();
    let mut set: Vec<_> = named.iter().zip(["a", "b", "c", "d"]).map(|(pair, kid)| pair.jwk(kid)).collect();
    set.push(ED25519.jwk("e"));
    set[4].as_object_mut().expect("a key").remove("kid");
    let mut keys = Keys::default();
    keys.add_jwks(json!({"keys": set}).to_string().as_bytes()).expect("a set of five");
    let verdict =
        |pair: &Pair| keys.verify(&sign(&Header::new(Alg::EdDSA), &good_claims(), &pair.signing()), NOW);
    assert!(verdict(&ED25519).is_ok());
    assert!(verdict(&named[2]).is_ok(), "and those after it, as many as four are in all");
}

#[test]
fn rfc7515_4_1_11_what_is_critical_is_not_understood() {
    let token = raw(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, good_claims().to_string().as_bytes());
    assert_eq!(secret().verify(&token, NOW), Err(Refusal::Critical));
    let token = raw(r#"{"alg":"HS256","b64":true,"typ":"at+jwt"}"#, good_claims().to_string().as_bytes());
    assert!(secret().verify(&token, NOW).is_ok(), "what is not, may be ignored");
}

// ---- Claims -----------------------------------------------------------------------------------------------------

#[test]
fn rfc7519_4_1_4_a_token_is_good_until_the_second_before_its_exp() {
    let token = with_secret(&good_claims());
    for (leeway, last) in [(0, NOW + 59), (30, NOW + 89)] {
        let keys = secret().with_leeway(leeway);
        assert!(keys.verify(&token, last).is_ok_and(|claims| claims.expires == last + 1));
        assert_eq!(keys.verify(&token, last + 1), Err(Refusal::Expired));
        assert_eq!(keys.verify(&token, u64::MAX), Err(Refusal::Expired));
    }
}

#[test]
fn rfc7519_4_1_4_exp_must_be_there_and_a_number() {
    for value in [Value::Null, json!("1900000000"), json!(true), json!([NOW]), json!({})] {
        let verdict = verdict(&secret(), &claims_with("exp", value));
        // The library looks at the form of some of them first.
        assert!(matches!(verdict, Err(Refusal::ExpiryMissing | Refusal::ClaimsForm)), "{verdict:?}");
    }
    for value in [json!(0), json!(-1), json!(-1.5e300), json!(NOW)] {
        assert_eq!(verdict(&secret(), &claims_with("exp", value)), Err(Refusal::Expired));
    }
}

#[test]
fn rfc7519_2_dates_may_have_fractions_and_any_size() {
    let expires = |exp: Value| verdict(&secret(), &claims_with("exp", exp)).map(|claims| claims.expires);
    assert_eq!(expires(json!(1_800_000_000.5)), Ok(NOW + 1), "NOW is before that");
    assert_eq!(expires(json!(1.9e9)), Ok(1_900_000_000));
    assert_eq!(expires(json!(u64::MAX)), Ok(u64::MAX));
    assert_eq!(expires(json!(1e300)), Ok(u64::MAX));
    let far = secret().with_leeway(30).verify(&with_secret(&claims_with("exp", json!(u64::MAX))), NOW);
    assert_eq!(far.map(|claims| claims.expires), Ok(u64::MAX));
}

#[test]
fn rfc7519_4_1_5_a_token_is_good_from_its_nbf_on() {
    let nbf = |keys: Keys, nbf: Value| verdict(&keys, &claims_with("nbf", nbf)).map(|_| ());
    assert_eq!(nbf(secret(), json!(NOW)), Ok(()));
    assert_eq!(nbf(secret(), json!(NOW + 1)), Err(Refusal::NotYet));
    assert_eq!(nbf(secret(), json!(1_800_000_000.5)), Err(Refusal::NotYet));
    assert_eq!(nbf(secret().with_leeway(30), json!(NOW + 30)), Ok(()));
    assert_eq!(nbf(secret().with_leeway(30), json!(NOW + 31)), Err(Refusal::NotYet));
    assert_eq!(nbf(secret(), json!("1800000000")), Err(Refusal::NotBefore));
}

#[test]
fn rfc7519_4_1_3_a_token_must_be_for_us() {
    let us = || secret().with_audiences(&["chat", "news"]);
    let aud = |keys: Keys, aud: Value| verdict(&keys, &claims_with("aud", aud)).map(|_| ());
    for good in [json!("chat"), json!("news"), json!(["mail", "chat"]), json!([1, "news"])] {
        assert_eq!(aud(us(), good), Ok(()));
    }
    for bad in
        [json!("mail"), json!([]), json!(["mail"]), json!("Chat"), json!("chat "), json!({}), Value::Null]
    {
        assert_eq!(aud(us(), bad.clone()), Err(Refusal::Audience), "{bad}");
    }
    assert_eq!(aud(secret(), json!("chat")), Err(Refusal::Audience), "who has no name is nobody's audience");
    assert_eq!(aud(secret(), Value::Null), Ok(()));
}

#[test]
fn rfc7519_4_1_1_a_token_must_be_of_an_issuer_that_is_accepted() {
    let ours = || secret().with_issuers(&["https://id.example"]);
    let iss = |keys: Keys, iss: Value| verdict(&keys, &claims_with("iss", iss)).map(|_| ());
    assert_eq!(iss(ours(), json!("https://id.example")), Ok(()));
    for bad in [json!("https://id.example/"), json!(["https://id.example"]), json!(1), Value::Null] {
        assert_eq!(iss(ours(), bad.clone()), Err(Refusal::Issuer), "{bad}");
    }
    assert_eq!(iss(secret(), json!("anybody")), Ok(()));
}

#[test]
fn rfc7519_4_1_2_the_sub_is_the_user() {
    let sub = |sub: Value| verdict(&secret(), &claims_with("sub", sub)).map(|claims| claims.user.to_string());
    assert_eq!(sub(json!("Zoë \"the\" 1st")), Ok("Zoë \"the\" 1st".to_owned()));
    assert_eq!(sub(json!("x".repeat(200))), Ok("x".repeat(200)));
    for bad in [json!("x".repeat(201)), json!(""), json!(1), json!("a\nb"), json!("a\u{1b}[2J"), Value::Null]
    {
        assert_eq!(sub(bad.clone()), Err(Refusal::Subject), "{bad}");
    }
}

#[test]
fn subscribe_and_publish_are_a_pattern_or_a_list_of_them() {
    let claims = verdict(&secret(), &good_claims()).expect("good");
    let covers =
        |patterns: &Patterns| ["lobby", "room-1", "room-", "room", "lobby2"].map(|name| patterns.cover(name));
    assert_eq!(covers(&claims.subscribe), [true, true, true, false, false]);
    assert_eq!(covers(&claims.publish), [false, true, false, false, false]);
    for (none, star) in [(Value::Null, json!("*")), (json!([]), json!(["*"]))] {
        let nothing = verdict(&secret(), &claims_with("publish", none)).expect("none");
        assert_eq!(covers(&nothing.publish), [false; 5]);
        let all = verdict(&secret(), &claims_with("publish", star)).expect("all");
        assert_eq!(covers(&all.publish), [true; 5]);
    }
    for bad in
        [json!(1), json!(""), json!("a*b"), json!("**"), json!(["a", 1]), json!([["a"]]), json!({"a": 1})]
    {
        for (name, refusal) in [("subscribe", Refusal::Subscribe), ("publish", Refusal::Publish)] {
            assert_eq!(verdict(&secret(), &claims_with(name, bad.clone())), Err(refusal), "{bad}");
        }
    }
}

#[test]
fn rfc7519_4_a_claim_that_stands_twice_is_refused() {
    let exp = format!(r#""exp":{}"#, NOW + 60);
    let all = [r#""sub":"ann""#, &exp, r#""subscribe":"a""#, r#""publish":"a""#, r#""anything":1"#];
    let verdict = |claims: &[&str]| {
        let claims = format!("{{{}}}", claims.join(","));
        secret().verify(&raw(r#"{"alg":"HS256"}"#, claims.as_bytes()), NOW).map(|_| ())
    };
    assert_eq!(verdict(&all), Ok(()));
    for twice in all {
        assert_eq!(verdict(&[&all[..], &[twice]].concat()), Err(Refusal::ClaimsForm), "{twice}");
    }
    // One name, in two spellings.
    assert_eq!(verdict(&[&all[..], &[r#""p\u0075blish":"*""#]].concat()), Err(Refusal::ClaimsForm));
}

// ---- Form -------------------------------------------------------------------------------------------------------

#[test]
fn a_token_has_8192_bytes_at_the_most() {
    let len = |padding: usize| {
        let token = with_secret(&claims_with("padding", json!("x".repeat(padding))));
        (token.len(), secret().verify(&token, NOW).map(|_| ()))
    };
    let base = (0..4000).map(|more| 4000 + more).find(|padding| len(*padding).0 >= 8192).expect("one does");
    assert_eq!((len(base - 1).1, len(base + 1).1), (Ok(()), Err(Refusal::TooLong)));
    assert_eq!(secret().verify(&"a".repeat(8193), NOW), Err(Refusal::TooLong));
}

#[test]
fn rfc7515_7_1_what_is_malformed_is_refused_for_what_it_is() {
    let good = with_secret(&good_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    for (token, refusal) in [
        (String::new(), Refusal::NotThreeParts),
        ("a.b".into(), Refusal::NotThreeParts),
        (format!("{good}."), Refusal::NotThreeParts),
        (format!("{header}.{claims}"), Refusal::NotThreeParts),
        ("..".into(), Refusal::Header),
        (format!(".{claims}.{signature}"), Refusal::Header),
        (format!("{header}=.{claims}.{signature}"), Refusal::Header),
        (format!("{}.{claims}.{signature}", BASE64URL.encode("[]")), Refusal::Header),
        (format!("{}.{claims}.{signature}", BASE64URL.encode(r#"{"typ":"JWT"}"#)), Refusal::Header),
        (format!("{header}.{claims}.{signature}="), Refusal::Base64),
        (format!("{header}.{claims}.{signature} "), Refusal::Base64),
        (format!("{header}.{claims}.\u{e9}"), Refusal::Base64),
        (format!("{header}.{claims}A.{signature}"), Refusal::Signature),
        (format!("{header}..{signature}"), Refusal::Signature),
        (raw(r#"{"alg":"HS256"}"#, b"[1]"), Refusal::ClaimsForm),
        (raw(r#"{"alg":"HS256"}"#, b"\"exp\""), Refusal::ClaimsForm),
        (raw(r#"{"alg":"HS256"}"#, b"\xff"), Refusal::ClaimsForm),
        (raw(r#"{"alg":"HS256"}"#, b""), Refusal::ClaimsForm),
        (raw(r#"{"alg":"HS256"}"#, "[".repeat(5000).as_bytes()), Refusal::ClaimsForm),
        (raw(&"[".repeat(5000), b"{}"), Refusal::Header),
    ] {
        assert_eq!(secret().verify(&token, NOW), Err(refusal), "{token:.80}");
    }
}

#[test]
fn what_a_bearer_is_told_fits_a_header_and_quotes_nothing() {
    for refusal in Refusal::ALL {
        let sentence = refusal.sentence();
        assert!(
            sentence.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'),
            "{sentence}"
        );
        assert!(!refusal.section().is_empty() && !sentence.ends_with('.'));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_none_are_accepted(token in "\\PC{0,200}", dots in prop::collection::vec(0..200_usize, 0..4)) {
        let mut token: Vec<char> = token.chars().collect();
        for dot in dots {
            token.insert(dot.min(token.len()), '.');
        }
        let token: String = token.into_iter().collect();
        prop_assert!(everything().verify(&token, NOW).is_err());
    }

    #[test]
    fn no_headers_and_claims_panic_though_the_signature_is_right(header in "\\PC{0,60}", claims in any::<Vec<u8>>()) {
        prop_assert!(secret().verify(&raw(&header, &claims), NOW).is_err());
        let token = raw(r#"{"alg":"HS256"}"#, &claims);
        prop_assert!(secret().verify(&token, NOW).is_err());
    }

    /// There is one form of each token: whoever changes a byte of it has none.
    #[test]
    fn a_token_with_another_byte_is_refused(at in any::<prop::sample::Index>(), to in 0_u8..128, which in 0..4_usize) {
        let tokens = everyones_tokens();
        let mut token = tokens[which].clone().into_bytes();
        prop_assert!(everything().verify(&tokens[which], NOW).is_ok());
        let at = at.index(token.len());
        prop_assume!(token[at] != to);
        token[at] = to;
        let token = String::from_utf8(token).expect("ASCII");
        prop_assert!(everything().verify(&token, NOW).is_err());
    }

    #[test]
    fn no_key_file_panics(bytes in any::<Vec<u8>>(), json in "\\PC{0,80}", label in "[A-Z ]{0,12}PUBLIC KEY") {
        let mut keys = Keys::default();
        let _ = (keys.add_pem(&bytes), keys.add_jwks(&bytes), keys.add_secret(&bytes));
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64::engine::general_purpose::STANDARD.encode(&bytes));
        prop_assert!(keys.add_pem(pem.as_bytes()).is_err());
        let _ = (keys.add_pem(json.as_bytes()), keys.add_jwks(json.as_bytes()));
        let _ = keys.add_jwks(format!("{{\"keys\":[{{\"kty\":\"RSA\",\"n\":\"{}\",\"e\":\"AQAB\"}}]}}", json.escape_default()).as_bytes());
    }
}

/// Keys of all kinds.
fn everything() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let mut keys = public(&all());
        keys.add_secret(SECRET).expect("long enough");
        keys
    });
    &KEYS
}

/// A token of each kind.
fn everyones_tokens() -> &'static [String; 4] {
    static TOKENS: LazyLock<[String; 4]> = LazyLock::new(|| {
        let [rsa, p256, ed25519] =
            all().map(|pair| sign(&Header::new(pair.alg), &good_claims(), &pair.signing()));
        [with_secret(&good_claims()), rsa, p256, ed25519]
    });
    &TOKENS
}

// ---- Keys -------------------------------------------------------------------------------------------------------

fn secret_problem(secret: &[u8]) -> Option<String> {
    Keys::default().add_secret(secret).err().map(|problem| problem.to_string())
}

fn pem_problem(pem: &str) -> Option<String> {
    Keys::default().add_pem(pem.as_bytes()).err().map(|problem| problem.to_string())
}

#[track_caller]
fn assert_says(problem: Option<String>, words: &str) {
    let problem = problem.expect("it cannot be used");
    assert!(problem.contains(words) && problem.contains(": give"), "{problem}");
}

#[test]
fn rfc7518_3_2_a_secret_has_32_bytes_and_line_ends_are_not_of_it() {
    assert_eq!(secret_problem(&[b'x'; 32]), None);
    assert_says(secret_problem(&[b'x'; 31]), "shorter than 32");
    assert_says(secret_problem(&[&[b'x'; 31][..], b"\r\n\n"].concat()), "shorter than 32");
    let mut keys = Keys::default();
    keys.add_secret(&[SECRET, b"\r\n"].concat()).expect("long enough");
    assert!(verdict(&keys, &good_claims()).is_ok());
    // What is no text is taken as it is.
    let binary = [&[0xff; 31][..], b"\n"].concat();
    let mut keys = Keys::default();
    keys.add_secret(&binary).expect("long enough");
    let token = sign(&Header::new(Alg::HS256), &good_claims(), &EncodingKey::from_secret(&binary));
    assert!(keys.verify(&token, NOW).is_ok());
}

#[test]
fn a_key_in_pem_is_refused_as_a_secret() {
    assert_says(secret_problem(RSA.public_pem().as_bytes()), "no secret");
    assert_says(secret_problem(format!("\n {}", RSA.public_pem()).as_bytes()), "no secret");
}

#[test]
fn a_file_may_have_several_public_keys_with_text_between_them() {
    let text = format!(
        "The old one:\n{}and the new one:\r\n{}",
        RSA.public_pem(),
        P256.public_pem().replace('\n', "\r\n")
    );
    let mut keys = Keys::default();
    keys.add_pem(text.as_bytes()).expect("two keys");
    assert_eq!(keys.len(), 2);
    assert_eq!(keys.algorithms().into_iter().map(Algorithm::name).collect::<Vec<_>>(), ["RS256", "ES256"]);
}

#[test]
fn what_is_no_public_key_of_a_kind_in_use_is_refused_with_the_fix() {
    for pair in all() {
        assert_says(pem_problem(&pair.pair.serialize_pem()), "private key");
        let pkcs1 = pair.pair.serialize_pem().replace("PRIVATE KEY", "RSA PRIVATE KEY");
        assert_says(pem_problem(&pkcs1), "private key");
    }
    assert_says(pem_problem(&P384.public_pem()), "another curve");
    // openssl ecparam -name secp256k1 -genkey -noout | openssl ec -pubout
    let secp256k1 = "-----BEGIN PUBLIC KEY-----\n\
        MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEqBKxewK8VsZmNwFHsmGVuCVRJkzEJLNU\n\
        DLxK3tvrbAiYTXAbjT4k8GvjNF/emHmw819XuLO2uhXFLqC3ESfIQQ==\n\
        -----END PUBLIC KEY-----\n";
    assert_says(pem_problem(secp256k1), "another curve");
    assert_says(pem_problem(&RSA.public_pem().replace("PUBLIC KEY", "CERTIFICATE")), "something else");
    for nothing in ["", "secret", "-----BEGIN ", "-----BEGIN PUBLIC KEY", "-----BEGIN PUBLIC KEY-----\nAAAA"]
    {
        assert_says(pem_problem(nothing), "no public key");
    }
    assert_says(pem_problem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "no public key");
}

#[test]
fn rfc7518_3_3_an_rsa_key_has_2048_bits_or_more() {
    let rsa = |bytes: usize| {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = 0x80;
        set(&[json!({"kty": "RSA", "n": BASE64URL.encode(modulus), "e": "AQAB"})]).map(|keys| keys.len())
    };
    assert_eq!((rsa(256), rsa(1024)), (Ok(1), Ok(1)));
    assert!(rsa(255).is_err_and(|error| error.contains("2048")) && rsa(1025).is_err());
}

#[test]
fn rfc8017_3_1_an_exponent_is_odd_and_three_or_more() {
    // 65,537 stands last in the file, and here is one less.
    let pem = RSA.public_pem();
    assert_eq!(pem_problem(&pem), None);
    let (head, tail) = pem.rsplit_once("AQAB").expect("the exponent that all keys have");
    assert_says(pem_problem(&format!("{head}AQAA{tail}")), "no public key");
    let rsa = |exponent: &[u8]| {
        let mut jwk = RSA.jwk("a");
        jwk["e"] = json!(BASE64URL.encode(exponent));
        set(&[jwk]).map(|keys| keys.len())
    };
    for good in [&[3][..], &[1, 0, 1], &[0, 1, 0, 1]] {
        assert_eq!(rsa(good), Ok(1), "{good:?}");
    }
    for wrong in [&[][..], &[0], &[1], &[2], &[1, 0, 0]] {
        assert!(rsa(wrong).is_err_and(|error| error.contains("cannot be read")), "{wrong:?}");
    }
}

#[test]
fn rfc7517_5_keys_of_a_set_that_are_of_no_use_are_passed_over() {
    let good = RSA.jwk("good");
    let but = |name: &str, value: Value| {
        let mut jwk = RSA.jwk("other");
        jwk[name] = value;
        jwk
    };
    let keys = set(&[
        good,
        but("use", json!("enc")),
        but("key_ops", json!(["sign"])),
        but("alg", json!("RS512")),
        but("alg", json!("RSA-OAEP")),
        but("alg", json!("HS256")),
        but("alg", json!("a new one")),
        but("kty", json!("AKP")),
        P384.jwk("p384"),
        json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
        json!({"kty": "RSA"}),
        json!(1),
    ])
    .expect("one is good");
    assert_eq!((keys.len(), keys.ignored()), (1, 11));
    let unnamed = json!({"kty": "RSA", "n": RSA.jwk("")["n"], "e": RSA.jwk("")["e"]});
    let verifying = but("key_ops", json!(["verify"]));
    let signing = but("use", json!("sig"));
    for entry in [unnamed, verifying, signing] {
        assert!(set(slice::from_ref(&entry)).is_ok(), "{entry}");
    }
}

#[test]
fn rfc7517_5_a_set_without_a_key_of_use_is_refused_with_the_fix() {
    let read = |json: &str| {
        let mut keys = Keys::default();
        keys.add_jwks(json.as_bytes()).err().map(|problem| problem.to_string())
    };
    for nothing in ["", "{}", "[]", "{\"keys\":{}}", "null"] {
        assert_says(read(nothing), "no JWK set");
    }
    assert_says(read("{\"keys\":[]}"), "no key that can be used");
    assert_says(set(&[P384.jwk("a")]).err(), "no key that can be used");
    let short = json!({"kty": "oct", "k": BASE64URL.encode(&SECRET[1..])});
    assert_says(set(&[short]).err(), "shorter than 32");
    assert_says(set(&[RSA.jwk("a"), RSA.jwk("a")]).err(), "same kid");
    assert!(set(&[RSA.jwk("a"), P256.jwk("a")]).is_ok(), "they are of two algorithms");
    let mut broken = P256.jwk("a");
    broken["x"] = json!("AAAA");
    assert!(set(&[broken]).is_err_and(|error| error.contains("cannot be read")));
}

#[test]
fn files_are_read_and_what_is_wrong_names_the_option_and_the_file() {
    let directory = std::env::temp_dir().join(format!("fanwire-auth-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let jwks = json!({"keys": [P256.jwk("a")]}).to_string();
    let config = AuthConfig {
        secret: Some(file("secret", &format!("{}\n", "x".repeat(64)))),
        public_keys: vec![file("rsa.pem", &RSA.public_pem()), file("ed.pem", &ED25519.public_pem())],
        jwks: Some(file("jwks.json", &jwks)),
        ..AuthConfig::default()
    };
    let keys = Keys::read(&config).expect("all are good");
    let names: Vec<_> = keys.algorithms().into_iter().map(Algorithm::name).collect();
    assert_eq!(names, ["HS256", "RS256", "ES256", "EdDSA"]);
    let said = format!("{keys:?}");
    assert!(!said.contains("xxxx") && !said.contains("120, 120"), "{said}");

    let missing = Some(directory.join("missing"));
    let too_many: String = (0..5).map(|_| pair(&PKCS_ED25519, Alg::EdDSA).public_pem()).collect();
    let empty = file("empty", "");
    for (config, option, words) in [
        (AuthConfig { secret: missing.clone(), ..config.clone() }, "--jwt-secret-file", "cannot be read"),
        (
            AuthConfig { secret: Some(empty.clone()), ..config.clone() },
            "--jwt-secret-file",
            "empty is shorter",
        ),
        (
            AuthConfig { public_keys: vec![empty.clone()], ..config.clone() },
            "--jwt-public-key",
            "empty has no",
        ),
        (AuthConfig { jwks: Some(empty), ..config.clone() }, "--jwt-jwks", "empty is no JWK set"),
        (
            AuthConfig { public_keys: vec![file("five", &too_many)], ..config.clone() },
            "--jwt-public-key",
            "five brings more than 4 keys for EdDSA without a kid",
        ),
    ] {
        let error = Keys::read(&config).expect_err("it cannot be used");
        assert!(error.option == option && error.to_string().contains(words), "{error}");
    }
    fs::remove_dir_all(&directory).expect("it was there");
}

#[test]
fn a_configuration_without_a_key_or_with_too_much_leeway_is_refused() {
    let none = AuthConfig { audiences: vec!["chat".into()], ..AuthConfig::default() };
    assert_eq!(Keys::read(&none).expect_err("no key").option, "--jwt-audience");
    let leeway =
        |leeway_seconds| AuthConfig { secret: Some("s".into()), leeway_seconds, ..AuthConfig::default() };
    assert_eq!(leeway(600).check(), Ok(()));
    assert_eq!(leeway(601).check().expect_err("too much").option, "--jwt-leeway");
    let unnamed = AuthConfig { issuers: vec![String::new()], ..leeway(0) };
    assert_eq!(unnamed.check().expect_err("no name").option, "--jwt-issuer");
}
