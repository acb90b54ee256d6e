//! `fanwire token`: makes a token for trying, signed with a secret (HS256). An issuer of your own makes the real ones.

use super::{EXIT_USAGE, output};
use clap::Args;
use fanwire::auth::secret_in;
use fanwire::config::ChannelPattern;
use fanwire::limits;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// What `fanwire token` can be told.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct TokenArguments {
    /// The secret, as the server has it with --jwt-secret-file
    #[arg(long, value_name = "FILE", env = "FANWIRE_JWT_SECRET_FILE")]
    secret_file: PathBuf,
    /// Who bears the token
    #[arg(long, value_name = "USER")]
    sub: String,
    /// Where its bearer may listen: a channel's name, or the beginning of names and *; repeatable
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    subscribe: Vec<String>,
    /// Where its bearer may publish: likewise; repeatable
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    publish: Vec<String>,
    /// Seconds from now until it expires
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    expires: u64,
    /// Whom it is for, as the server has it with --jwt-audience
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Who issues it, as the server has it with --jwt-issuer
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

/// A line a paragraph: clap wraps them.
const NOTES: &str = "\
It is signed by HS256, and goes to stdout alone. Whoever has the secret can make any token.

Exit codes: 0 made; 1 the output cannot be written; 2 an argument or the secret cannot be used as given.";

/// Writes a token to stdout.
pub(crate) fn run(arguments: &TokenArguments) -> ExitCode {
    match mint(arguments, SystemTime::now()) {
        Ok(token) => output::print(token + "\n", ExitCode::SUCCESS),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn mint(arguments: &TokenArguments, now: SystemTime) -> Result<String, String> {
    let TokenArguments { secret_file, sub, subscribe, publish, expires, audience, issuer } = arguments;
    if !(1..=limits::USER_BYTES_MAX).contains(&sub.len()) || sub.contains(char::is_control) {
        return Err(format!("--sub: give 1 to {} bytes without control characters", limits::USER_BYTES_MAX));
    }
    let secret = secret_in("--secret-file", secret_file).map_err(|error| error.to_string())?;
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut claims = Map::new();
    claims.insert("sub".into(), sub.as_str().into());
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), now.saturating_add(*expires).into());
    for (name, patterns) in [("subscribe", subscribe), ("publish", publish)] {
        if !patterns.is_empty() {
            claims
                .insert(name.into(), patterns.iter().map(|pattern| Value::from(pattern.as_str())).collect());
        }
    }
    for (name, party) in [("aud", audience), ("iss", issuer)] {
        if let Some(party) = party {
            claims.insert(name.into(), party.as_str().into());
        }
    }
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&secret))
        .map_err(|error| error.to_string())
}

fn pattern(text: &str) -> Result<String, String> {
    ChannelPattern::parse("pattern", text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
