//! The admin API's routes, and what holds for all of them: who may ask, what each answer says, how long it may take.

use super::access::TokenPlace;
use super::plane::Plane;
use super::refusal::Refusal;
use super::seats::Seat;
use super::{channels, clients, exposition, live, operations, page, publish, sample};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::sync::Arc;
use tokio::time::timeout;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi, openapi};

/// What can be asked without a token: the page asks for it, load balancers have none, and the description is no secret.
const OPEN_PATHS: [&str; 4] = ["/", "/healthz", "/readyz", "/openapi.json"];

/// The description of all routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "fanwire admin API", description = "For those who run a fanwire server."),
    paths(
        channels::list,
        channels::one,
        publish::one,
        publish::batch,
        clients::list,
        clients::one,
        clients::close,
        operations::drain,
        operations::configuration,
        operations::reload,
        operations::health,
        operations::readiness,
        exposition::metrics,
        live::live,
        live::once,
        page::dashboard,
        description,
    ),
    components(schemas(sample::Sample)),
    security(("token" = [])),
    modifiers(&Token, &InPlace)
)]
struct Description;

/// The token, where the server has one.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// What is answered in place of any route, unless that says the same of itself: by [`guard`], and by the door.
const IN_PLACE: [(&str, &str); 5] = [
    ("400", "It cannot be read, or there is more than one Host"),
    ("401", "The token is missing or wrong"),
    ("403", "There is no token, and Host is not this machine, or a page of another origin asks"),
    ("408", "It took too long"),
    ("503", "There are as many connections as there may be"),
];

/// Describes [`IN_PLACE`].
struct InPlace;

impl Modify for InPlace {
    fn modify(&self, openapi: &mut openapi::OpenApi) {
        for (path, item) in &mut openapi.paths.paths {
            let is_open = OPEN_PATHS.contains(&path.as_str());
            for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
                for (status, meaning) in
                    IN_PLACE.into_iter().filter(|(status, _)| !is_open || *status != "401")
                {
                    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
                    let response =
                        ResponseBuilder::new().description(meaning).content("application/json", problem);
                    let responses = &mut operation.responses.responses;
                    responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
                }
            }
        }
    }
}

/// All routes of `plane`.
pub(super) fn routes(plane: Arc<Plane>) -> Router {
    Router::new()
        .route("/v1/channels", get(channels::list))
        .route("/v1/channels/{*rest}", get(channels::one).post(publish::one))
        .route("/v1/messages", post(publish::batch))
        .route("/v1/clients", get(clients::list))
        .route("/v1/clients/{id}", get(clients::one).delete(clients::close))
        .route("/v1/drain", post(operations::drain))
        .route("/v1/config", get(operations::configuration))
        .route("/v1/reload", post(operations::reload))
        .route("/v1/live", get(live::live))
        .route("/v1/stats", get(live::once))
        .route("/healthz", get(operations::health))
        .route("/readyz", get(operations::readiness))
        .route("/metrics", get(exposition::metrics))
        .route("/openapi.json", get(description))
        .route("/", get(page::dashboard))
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(plane.clone(), guard))
        .with_state(plane)
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
async fn description() -> Json<openapi::OpenApi> {
    Json(Description::openapi())
}

async fn nothing() -> Refusal {
    Refusal::not_found("there is nothing here").fix("what there is, /openapi.json says")
}

async fn no_such_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this has no such method")
}

/// Lets in who may come, and says what every answer says.
async fn guard(State(plane): State<Arc<Plane>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut answer = match admit(&plane, &request) {
        Ok(()) => {
            let answer = timeout(plane.patience.request, next.run(request)).await;
            answer.unwrap_or_else(|_| too_slow().into_response())
        }
        Err(refusal) => {
            tracing::debug!(error = refusal.error(), "the admin API refuses");
            refusal.into_response()
        }
    };
    // Of the target only the path: a token may stand behind it.
    tracing::debug!(%method, path, status = answer.status().as_u16(), "admin API");
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn admit(plane: &Plane, request: &Request) -> Result<(), Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    plane.access.check_source(uri, headers)?;
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read && OPEN_PATHS.contains(&uri.path()) {
        return Ok(());
    }
    let accepted = if uri.path() == "/v1/live" { TokenPlace::Anywhere } else { TokenPlace::Header };
    if plane.access.check_token(uri, headers, accepted)?
        && let Some(seat) = request.extensions().get::<Seat>()
    {
        seat.has_shown_token();
    }
    Ok(())
}

fn too_slow() -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request took too long")
        .header(axum::http::header::CONNECTION, "close")
}
