//! [`Refusal`]: what the admin API answers when it does not do what is asked, as `{"error", "fix"}`.

use axum::Json;
use axum::http::header::{ALLOW, CONNECTION, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What is wrong, in a sentence.
    error: Cow<'static, str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Cow<'static, str>>,
}

/// A status with its reason. What a request said is in it only in quotes and escaped, or not at all.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    problem: Box<Problem>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Refusal {
    /// A refusal with nothing but its reason.
    pub(super) fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, problem: Box::new(Problem { error: error.into(), fix: None }), header: None }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, error)
    }

    /// 413: more than is taken.
    pub(super) fn too_large(error: impl Into<Cow<'static, str>>) -> Refusal {
        // What is left of the body is not read.
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error).header(CONNECTION, "close")
    }

    /// 422: understood, and yet it cannot be done.
    pub(super) fn unprocessable(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error)
    }

    /// 503: not at the moment.
    pub(super) fn unavailable(error: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// 405 (RFC 9110 §15.5.6: it says which methods there are).
    pub(super) fn method(allowed: &'static str) -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this has no such method").header(ALLOW, allowed)
    }

    /// 401 (RFC 6750 §3).
    pub(super) fn unauthorized(error: &'static str, challenge: &'static str) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, error).header(WWW_AUTHENTICATE, challenge)
    }

    /// The same with what to do about it.
    pub(super) fn fix(mut self, fix: impl Into<Cow<'static, str>>) -> Refusal {
        self.problem.fix = Some(fix.into());
        self
    }

    /// The same with more to be said of what is wrong.
    pub(super) fn also(mut self, more: &str) -> Refusal {
        self.problem.error.to_mut().push_str(more);
        self
    }

    /// The same with a header.
    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Refusal {
        self.header = Some(Box::new((name, HeaderValue::from_static(value))));
        self
    }

    /// What is wrong.
    pub(super) fn error(&self) -> &str {
        &self.problem.error
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        response.headers_mut().extend(self.header.map(|header| *header));
        response
    }
}
