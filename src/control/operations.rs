//! The server as a whole: its health, its end, its configuration.

use super::plane::{Phase, Plane};
use super::refusal::{Problem, Refusal};
use crate::config;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::task;
use utoipa::ToSchema;

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "It does", body = Health))
)]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether new clients may come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether they may.
    ready: bool,
    /// Why not, if not: `draining`, `memory` or `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

/// Whether new clients may come
#[utoipa::path(
    get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "They may", body = Readiness),
        (status = 503, description = "They may not, and why", body = Readiness),
    )
)]
pub(super) async fn readiness(State(plane): State<Arc<Plane>>) -> (StatusCode, Json<Readiness>) {
    let mesh = &plane.served.mesh;
    let why = if plane.phase() != Phase::Serving {
        Some("draining")
    } else if !mesh.has_memory() {
        Some("memory")
    } else if !mesh.has_room() {
        Some("full")
    } else {
        None
    };
    let status = if why.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: why.is_none(), why }))
}

/// A drain that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Draining {
    /// Always true.
    draining: bool,
    /// Clients that are still there.
    connections: usize,
}

/// Begin the end, as SIGTERM does
///
/// Everybody is told goodbye, and the process ends. Asked again, it says how far it is.
#[utoipa::path(
    post, path = "/v1/drain", tag = "operations",
    responses((status = 202, description = "It has begun", body = Draining))
)]
pub(super) async fn drain(State(plane): State<Arc<Plane>>) -> (StatusCode, Json<Draining>) {
    (plane.served.handles.drain)();
    let connections = plane.served.mesh.connections();
    (StatusCode::ACCEPTED, Json(Draining { draining: true, connections }))
}

/// The configuration in use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Configuration {
    /// Each option.
    settings: Vec<Setting>,
}

/// An option as it is in use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Setting {
    /// The pattern whose channels it is for; none if it is for the whole server.
    channel: Option<String>,
    /// Its name, as it stands in a file.
    #[schema(example = "max-message-size")]
    option: String,
    /// Its value; none if there is none. Of a secret it is the file that it stands in.
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Box<RawValue>>,
    /// Who said so: `flag`, an environment variable, a file with its line, or `default`.
    #[schema(example = "fanwire.toml:3")]
    source: String,
}

impl From<config::Setting> for Setting {
    fn from(setting: config::Setting) -> Self {
        let config::Setting { channel, option, value, source } = setting;
        // A value is JSON already; what is not is shown as a text.
        let json = |value: String| match RawValue::from_string(value.clone()) {
            Ok(value) => Ok(value),
            Err(_) => serde_json::value::to_raw_value(&value),
        };
        let value = value.and_then(|value| json(value).ok());
        Setting { channel, option, value, source: source.to_string() }
    }
}

/// The configuration in use, and where each value comes from
#[utoipa::path(
    get, path = "/v1/config", tag = "operations",
    responses((status = 200, description = "Each option", body = Configuration))
)]
pub(super) async fn configuration(State(plane): State<Arc<Plane>>) -> Json<Configuration> {
    let settings = (plane.served.handles.described)();
    Json(Configuration { settings: settings.into_iter().map(Setting::from).collect() })
}

/// What came of reading the configuration again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Options that are other than they were.
    changed: Vec<&'static str>,
    /// Options that were to change, and stay as they are until the server starts again.
    needs_restart: Vec<&'static str>,
}

/// Read the configuration again, as SIGHUP does
///
/// All of it changes at once, or nothing does.
#[utoipa::path(
    post, path = "/v1/reload", tag = "operations",
    responses(
        (status = 200, description = "What has changed, and what needs a restart", body = Reloaded),
        (status = 409, description = "There is nothing to be read again", body = Problem),
        (status = 422, description = "What was read cannot be used; nothing has changed", body = Problem),
    )
)]
pub(super) async fn reload(State(plane): State<Arc<Plane>>) -> Result<Json<Reloaded>, Refusal> {
    let reload = task::spawn_blocking(move || plane.served.handles.reload.as_ref().map(|reload| reload()));
    match reload.await {
        Ok(Some(Ok(config::Reconfigured { changed, needs_restart }))) => {
            Ok(Json(Reloaded { changed, needs_restart }))
        }
        Ok(Some(Err(error))) => {
            Err(Refusal::unprocessable(format!("{} {}", error.option, error.problem)).fix(error.fix))
        }
        Ok(None) => Err(Refusal::new(StatusCode::CONFLICT, "there is nothing to be read again")
            .fix("start the server with --config FILE")),
        Err(_) => {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "reading it again failed; the log says why"))
        }
    }
}
