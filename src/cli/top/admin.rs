//! [`Admin`]: a server's admin API, asked over HTTP how the server is.

use super::snapshot::Snapshot;
use crate::cli::escape::escape;
use serde_json::Value;
use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;
use ureq::Agent;

/// Seconds that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Rows that are asked for: more than a screen has.
const ROWS_MAX: usize = 200;

/// Where an admin API is: `http://host:port`, perhaps with a path before its own.
#[derive(Clone, Debug)]
pub(crate) struct AdminUrl(String);

impl FromStr for AdminUrl {
    type Err = String;

    fn from_str(written: &str) -> Result<AdminUrl, String> {
        let rest = match written.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(
                    "TLS is not spoken to an admin API: run this next to the server, or over `ssh -L \
                            8081:127.0.0.1:8081 HOST`"
                        .into(),
                );
            }
            Some((scheme, _)) => return Err(format!("{scheme}:// is no admin API's scheme: use http://")),
            None => written,
        };
        let rest = rest.trim_end_matches('/');
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if rest.is_empty() || rest.contains(['?', '#', '@']) || !is_plain {
            return Err("write it as http://127.0.0.1:8081".into());
        }
        Ok(AdminUrl(format!("http://{rest}")))
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A server's admin API.
#[derive(Debug)]
pub(super) struct Admin {
    agent: Agent,
    url: AdminUrl,
    /// As the header `Authorization` has it.
    authorization: Option<String>,
}

/// A status and a body.
struct Answer {
    status: u16,
    body: String,
}

impl Admin {
    /// The admin API at this address, for who has this token.
    pub(super) fn new(url: AdminUrl, token: Option<String>) -> Admin {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // It is on this machine or near it: a variable that names a proxy for the web does not mean it.
            .proxy(None)
            .max_redirects(0)
            .build();
        Admin { agent: config.into(), url, authorization: token.map(|token| format!("Bearer {token}")) }
    }

    /// How the server is.
    ///
    /// # Errors
    /// Why that is not known, and what to do, in a sentence that a terminal can show.
    pub(super) fn snapshot(&self) -> Result<Snapshot, String> {
        let answer = self.get("/v1/stats")?;
        let stats = match serde_json::from_str::<Value>(&answer.body) {
            Ok(value) if answer.status == 200 && Snapshot::is_one(&value) => value,
            _ => return Err(self.refusal(&answer)),
        };
        let list = |path: &str, name: &str, instead: &str| {
            let rows = self.get(path)?;
            // A server without lists still has the first rows in its statistics.
            let value = serde_json::from_str::<Value>(&rows.body).ok().filter(|_| rows.status == 200);
            Ok::<Value, String>(value.map_or_else(|| stats[instead].clone(), |mut value| value[name].take()))
        };
        let channels = list(&format!("/v1/channels?sort=traffic&limit={ROWS_MAX}"), "channels", "busiest")?;
        let clients = list(&format!("/v1/clients?sort=slowest&limit={ROWS_MAX}"), "clients", "slowest")?;
        Ok(Snapshot::read(&stats, &channels, &clients))
    }

    fn get(&self, path: &str) -> Result<Answer, String> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = request.call().map_err(|error| self.trouble(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        Ok(Answer { status, body: body.map_err(|error| self.trouble(&error))? })
    }

    /// Why there is no answer.
    fn trouble(&self, error: &ureq::Error) -> String {
        let url = &self.url;
        let fix =
            "start the server with --admin 127.0.0.1:8081, or say where its admin API is with --admin URL";
        match error {
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                format!("nobody listens at {url}: {fix}")
            }
            ureq::Error::HostNotFound => format!("the host of {url} is not known: {fix}"),
            ureq::Error::Timeout(_) => {
                format!("{url} has not answered within {} s: is it an admin API?", PATIENCE.as_secs())
            }
            ureq::Error::Protocol(_) => format!("what answers at {url} speaks no HTTP: {fix}"),
            error => format!("{url} cannot be asked: {}: {fix}", escape(&error.to_string())),
        }
    }

    /// What an answer means that is not the one asked for.
    fn refusal(&self, Answer { status, body }: &Answer) -> String {
        let url = &self.url;
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        let said = |name: &str| value[name].as_str().map(escape);
        match (status, said("error")) {
            (401, _) if self.authorization.is_some() => {
                format!(
                    "the admin API at {url} does not accept the token: give the one that it was started with"
                )
            }
            (401, _) => format!(
                "the admin API at {url} asks for a token: give it with --token-file FILE or FANWIRE_ADMIN_TOKEN"
            ),
            (404 | 405 | 200, _) | (_, None) => format!(
                "what answers at {url} is not fanwire's admin API (its status is {status}): give the address that the \
                 server was started with, as --admin http://127.0.0.1:8081"
            ),
            (_, Some(error)) => {
                let fix = said("fix").map_or(String::new(), |fix| format!(": {fix}"));
                format!("the admin API at {url} refused ({status}): {error}{fix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_api_is_named_by_its_url_or_by_host_and_port() {
        let url = |written: &str| written.parse::<AdminUrl>().map(|url| url.to_string());
        assert_eq!(url("http://127.0.0.1:8081/"), Ok("http://127.0.0.1:8081".into()));
        assert_eq!(url("localhost:8081"), Ok("http://localhost:8081".into()));
        assert!(url("https://a").unwrap_err().contains("ssh -L"));
        assert!(url("ws://a").unwrap_err().contains("use http://"));
        for wrong in ["", "http://", "a b", "http://me:secret@a", "a?x"] {
            assert!(url(wrong).unwrap_err().contains("write it as"), "{wrong}");
        }
    }
}
