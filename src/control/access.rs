//! [`Access`]: who may use the admin API.
//!
//! With a token, who shows it; wherever it listens. Without one it listens on this machine alone, and then a page in
//! somebody's browser is what must be kept out: one that has its name point here (DNS rebinding) says so in `Host`, and
//! one of another origin that posts or opens a WebSocket says so in `Origin`. One that has an image loaded, say, gives no
//! `Origin`, and could not read the answer; its browser says so in `Sec-Fetch-Site`, so that no answer need be made.

use super::refusal::Refusal;
use crate::config::Secret;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;

/// Behind it a subprotocol is a token in base64url: a page cannot give a WebSocket any header but this.
pub(super) const TOKEN_SUBPROTOCOL: &str = "fanwire.token.";

/// Whose page has a browser ask: one of this `origin`, or another's (W3C Fetch Metadata §2.3).
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What for (§2.1): a `document` is what somebody goes to look at.
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Where a token may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenPlace {
    /// In `Authorization: Bearer`.
    Header,
    /// There, in `?token=`, or among the subprotocols.
    Anywhere,
}

/// What is asked of who comes.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<Secret>,
}

impl Access {
    /// Lets in who shows `token`; without one, whoever is on this machine and no page of somebody else's.
    pub(super) fn new(token: Option<Secret>) -> Access {
        Access { token }
    }

    /// Whether a request comes from where requests may come from. It need not show a token yet.
    ///
    /// # Errors
    /// 403 if it may not, 400 if that cannot be told.
    pub(super) fn check_source(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = single(headers, &HOST)?;
        if self.token.is_some() {
            return Ok(());
        }
        let named = uri.authority().map(Authority::as_str).or(host);
        if ![named, host].into_iter().all(|host| host.is_some_and(is_loopback)) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "the Host header names another machine than this one",
            )
            .fix("call it localhost or 127.0.0.1, or start the server with --admin-token-file"));
        }
        let is_own = |origin: &str| {
            origin.strip_prefix("http://").is_some_and(|origin| Some(origin) == named && Some(origin) == host)
        };
        let is_foreign = matches!(single(headers, &SEC_FETCH_SITE)?, Some("cross-site" | "same-site"));
        let is_followed = single(headers, &SEC_FETCH_DEST)? == Some("document");
        if single(headers, &ORIGIN)?.is_some_and(|origin| !is_own(origin)) || (is_foreign && !is_followed) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "pages of other origins may not use this")
                .fix("open the dashboard itself, or ask by a server of the page's origin"));
        }
        Ok(())
    }

    /// Whether a request shows the token; false if there is none.
    ///
    /// # Errors
    /// 401 if it does not show the one that there is.
    pub(super) fn check_token(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        place: TokenPlace,
    ) -> Result<bool, Refusal> {
        let Some(token) = &self.token else { return Ok(false) };
        let mut shown = shown(uri, headers, place).peekable();
        if shown.peek().is_none() {
            return Err(Refusal::unauthorized(
                "this needs the token of the admin API",
                "Bearer realm=\"fanwire\"",
            )
            .fix("send it as Authorization: Bearer TOKEN"));
        }
        // All of them: which one is wrong must not matter to who guesses.
        let is_right = |shown: Vec<u8>| bool::from(shown.ct_eq(token.expose().as_bytes()));
        if shown.map(is_right).fold(true, |all, one| all & one) {
            return Ok(true);
        }
        Err(Refusal::unauthorized(
            "the token is not that of the admin API",
            "Bearer realm=\"fanwire\", error=\"invalid_token\"",
        )
        .fix("send what the server was given by --admin-token-file or FANWIRE_ADMIN_TOKEN"))
    }
}

/// The tokens that a request shows.
fn shown(uri: &Uri, headers: &HeaderMap, place: TokenPlace) -> impl Iterator<Item = Vec<u8>> {
    let bearers = headers.get_all(AUTHORIZATION).into_iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii().to_vec())
    });
    let (query, subprotocols) = match place {
        TokenPlace::Header => (None, None),
        TokenPlace::Anywhere => (uri.query(), Some(headers.get_all(SEC_WEBSOCKET_PROTOCOL))),
    };
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let in_query = pairs.filter_map(|pair| pair.strip_prefix("token=")).map(percent_decoded);
    let values = subprotocols.into_iter().flatten().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let encoded = names.filter_map(|name| name.strip_prefix(TOKEN_SUBPROTOCOL));
    // What is no base64url is no token, and shown all the same.
    let among_subprotocols =
        encoded.map(|token| URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).unwrap_or_default());
    bearers.chain(in_query).chain(among_subprotocols)
}

/// A value of a query as it was meant. What is no escape stays.
fn percent_decoded(value: &str) -> Vec<u8> {
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| value.get(at + 1..at + 3)).flatten();
        // A sign is no digit, though it may begin a number.
        let escaped = escaped.filter(|digits| !digits.starts_with('+'));
        let read = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(read.unwrap_or(byte));
        at += if read.is_some() { 3 } else { 1 };
    }
    decoded
}

/// A header that comes once or not at all, as text.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => text(value).map(Some),
        (Some(_), Some(_)) => Err(Refusal::bad_request(format!("there is more than one {name} header"))),
    }
}

fn text(value: &HeaderValue) -> Result<&str, Refusal> {
    value.to_str().map_err(|_| Refusal::bad_request("a header has characters that are not ASCII"))
}

/// Whether a host, perhaps with a port, is this machine whatever a name server says.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .collect()
    }

    fn status(result: Result<(), Refusal>) -> u16 {
        result.map_or_else(|refusal| refusal.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn without_a_token_the_host_is_this_machine_and_the_origin_its_own() {
        let access = Access::new(None);
        let source = |pairs: &[(&'static str, &'static str)]| {
            status(access.check_source(&Uri::from_static("/v1/drain"), &headers(pairs)))
        };
        for host in ["localhost", "LocalHost:8081", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "[::1]"] {
            assert_eq!(source(&[("host", host)]), 200, "{host}");
        }
        for host in
            ["evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "", "[::1"]
        {
            assert_eq!(source(&[("host", host)]), 403, "{host}");
        }
        assert_eq!(source(&[]), 403, "nobody names the host");
        assert_eq!(source(&[("host", "localhost"), ("host", "localhost")]), 400);
        assert_eq!(source(&[("host", "localhost:1"), ("origin", "http://localhost:1")]), 200);
        for origin in ["http://localhost:2", "https://localhost:1", "http://evil.example", "null", ""] {
            assert_eq!(source(&[("host", "localhost:1"), ("origin", origin)]), 403, "{origin}");
        }
        for (site, dest, expected) in [
            ("cross-site", "image", 403),
            ("same-site", "empty", 403),
            ("cross-site", "document", 200),
            ("same-origin", "empty", 200),
            ("none", "document", 200),
        ] {
            let fetched = [("host", "localhost:1"), ("sec-fetch-site", site), ("sec-fetch-dest", dest)];
            assert_eq!(source(&fetched), expected, "{site} {dest}");
        }
        assert_eq!(
            source(&[("host", "localhost:1"), ("sec-fetch-site", "cross-site")]),
            403,
            "for what it does not say"
        );
        let absolute = Uri::from_static("http://evil.example/v1/drain");
        assert_eq!(status(access.check_source(&absolute, &headers(&[("host", "localhost")]))), 403);
    }

    #[test]
    fn with_a_token_any_host_may_be_named_and_the_token_is_shown_once_or_more_and_always_right() {
        let access = Access::new(Some(Secret::new("0123456789abcdef")));
        assert_eq!(
            status(access.check_source(&Uri::from_static("/"), &headers(&[("host", "a.example")]))),
            200
        );
        let token = |uri: &'static str, pairs: &[(&'static str, &'static str)], place| {
            status(
                access
                    .check_token(&Uri::from_static(uri), &headers(pairs), place)
                    .map(|is_shown| assert!(is_shown)),
            )
        };
        let (right, wrong) =
            (("authorization", "bearer 0123456789abcdef"), ("authorization", "Bearer 0123456789abcdeX"));
        assert_eq!(token("/", &[right], TokenPlace::Header), 200);
        for pairs in [&[][..], &[wrong], &[right, wrong], &[("authorization", "Basic 0123456789abcdef")]] {
            assert_eq!(token("/", pairs, TokenPlace::Header), 401, "{pairs:?}");
        }
        assert_eq!(
            token("/?token=0123456789abcdef", &[], TokenPlace::Header),
            401,
            "logs of proxies keep queries"
        );
        assert_eq!(token("/?a=b&token=0123456789%61bcdef", &[], TokenPlace::Anywhere), 200);
        assert_eq!(percent_decoded("%41%4a%4A%+5%4%"), b"AJJ%+5%4%");
        let encoded = "fanwire, fanwire.token.MDEyMzQ1Njc4OWFiY2RlZg";
        assert_eq!(token("/", &[("sec-websocket-protocol", encoded)], TokenPlace::Anywhere), 200);
        for wrong in ["fanwire.token.", "fanwire.token.MDEyMzQ1Njc4OWFiY2RlZx", "fanwire.token.!", "fanwire"]
        {
            assert_eq!(
                token("/", &[("sec-websocket-protocol", wrong)], TokenPlace::Anywhere),
                401,
                "{wrong}"
            );
        }
    }
}
