//! What requests have in common: channel names in paths, parameters, bodies.

use super::refusal::Refusal;
use crate::hub::ChannelName;
use crate::limits;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// What of the path is behind the route's own part, percent-decoded.
pub(super) struct Rest(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Rest {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Rest, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(rest)) => Ok(Rest(rest)),
            Err(_) => Err(Refusal::bad_request("the path is not UTF-8 when its escapes are read")),
        }
    }
}

/// The body of a request, whole, of at most so many bytes.
pub(super) async fn body(mut request: Request, bytes_max: usize) -> Result<Bytes, Refusal> {
    DefaultBodyLimit::max(bytes_max).apply(&mut request);
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Refusal::too_large(format!("the body has more bytes than this takes: {bytes_max}"))
        } else {
            Refusal::bad_request("the body ended before its time")
        }
    })
}

/// The media type of the body, in lower case, and its `charset` if it has one.
///
/// # Errors
/// 415 if there is none, or none that is text.
pub(super) fn media_type(headers: &HeaderMap) -> Result<(String, Option<String>), Refusal> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(value) = value else {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has no Content-Type")
            .fix("send Content-Type: text/plain, application/json or application/octet-stream"));
    };
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charset = parts.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"').to_ascii_lowercase())
    });
    Ok((media_type, charset))
}

/// A body of JSON.
///
/// # Errors
/// 415 if it does not say that it is, 400 if it is none, 422 if it is not what is asked for.
pub(super) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    let (media_type, _) = media_type(headers)?;
    if media_type != "application/json" {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not application/json")
            .fix("send Content-Type: application/json"));
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Refusal::unprocessable(format!("the JSON is not what this takes: {error}")),
        _ => Refusal::bad_request(format!("the body is not JSON: {error}")),
    })
}

/// The parameters of a request.
///
/// # Errors
/// 400 if there is one that is not known, or whose value makes no sense.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    match Query::try_from_uri(uri) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(Refusal::bad_request(rejection.body_text())),
    }
}

/// How many a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// At most so many.
    pub(super) limit: usize,
}

impl Page {
    /// The page that a query asks for.
    ///
    /// # Errors
    /// 400 if it is to have none or too many.
    pub(super) fn of(limit: Option<usize>) -> Result<Page, Refusal> {
        let max = limits::ADMIN_PAGE_MAX;
        match limit.unwrap_or(limits::ADMIN_PAGE_DEFAULT) {
            limit if (1..=max).contains(&limit) => Ok(Page { limit }),
            _ => Err(Refusal::bad_request(format!("limit is not one of 1 to {max}"))),
        }
    }

    /// How many each shard is asked for: one more, which shows whether anything follows, as far as they say so many.
    pub(super) fn asked(self) -> usize {
        (self.limit + 1).min(limits::ADMIN_PAGE_MAX)
    }

    /// Leaves of what was found what the page has. If anything follows, the cursor of its last.
    pub(super) fn cut<T>(self, found: &mut Vec<T>, cursor: impl FnOnce(&T) -> String) -> Option<String> {
        let is_cut = found.len() > self.limit || (found.len() == self.limit && self.asked() == self.limit);
        found.truncate(self.limit);
        found.last().filter(|_| is_cut).map(cursor)
    }
}

/// The answer to a cursor that nobody has been given.
pub(super) fn wrong_cursor() -> Refusal {
    Refusal::bad_request("the cursor is none that was given").fix("give what the page before had as next")
}

/// The name of a channel.
///
/// # Errors
/// 400 if no channel can have it.
pub(super) fn channel(name: &str) -> Result<ChannelName, Refusal> {
    ChannelName::new(name).map_err(|error| Refusal::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_full_has_another_behind_it_unless_one_more_was_asked_for_in_vain() {
        let cut = |limit: usize, found: usize| {
            let (page, mut found) =
                (Page::of(Some(limit)).expect("a limit"), (1..=found).collect::<Vec<_>>());
            let next = page.cut(&mut found, usize::to_string);
            (found.len(), next)
        };
        let last = |last: usize| Some(last.to_string());
        assert_eq!([cut(10, 11), cut(10, 10), cut(10, 9)], [(10, last(10)), (10, None), (9, None)]);
        assert_eq!([cut(1000, 1000), cut(1000, 999)], [(1000, last(1000)), (999, None)]);
    }
}
