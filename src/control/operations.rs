//! The server as a whole: its health, its end, its configuration.

use super::plane::{Phase, Plane};
use super::refusal::{Problem, Refusal};
use crate::config::{Reconfigured, Setting};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
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
    /// Each option, and what sections for channels say.
    settings: Vec<Described>,
}

/// An option as it is in use.
#[derive(Debug, Serialize, ToSchema)]
struct Described {
    /// The pattern whose channels it is for; absent if it is for the whole server.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// Its name, as it stands in a file.
    #[schema(example = "max-connections")]
    option: String,
    /// Its value; null if there is none. No secret is among them.
    value: serde_json::Value,
    /// Where it comes from: a flag, a variable of the environment, a line of a file, or the default.
    #[schema(example = "default")]
    source: String,
}

impl From<Setting> for Described {
    fn from(Setting { channel, option, value, source }: Setting) -> Self {
        let value = value.map_or(serde_json::Value::Null, |value| {
            serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value))
        });
        Described { channel, option, value, source: source.to_string() }
    }
}

/// The configuration in use, and where each value comes from
#[utoipa::path(
    get, path = "/v1/config", tag = "operations",
    responses((status = 200, description = "Each option", body = Configuration))
)]
pub(super) async fn configuration(State(plane): State<Arc<Plane>>) -> Json<Configuration> {
    let settings = (plane.served.handles.settings)();
    Json(Configuration { settings: settings.into_iter().map(Described::from).collect() })
}

/// What came of reading the configuration again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Options that are other than they were.
    #[schema(example = json!(["--max-connections"]))]
    changed: Vec<&'static str>,
    /// Options that are to be other, and will be after a restart.
    #[schema(example = json!(["--workers"]))]
    needs_restart: Vec<&'static str>,
}

/// Read the configuration again, as SIGHUP does
///
/// All of it changes at once, or nothing does.
#[utoipa::path(
    post, path = "/v1/reload", tag = "operations",
    responses(
        (status = 200, description = "What has changed, and what needs a restart", body = Reloaded),
        (status = 422, description = "What was read cannot be used; nothing has changed", body = Problem),
    )
)]
pub(super) async fn reload(State(plane): State<Arc<Plane>>) -> Result<Json<Reloaded>, Refusal> {
    match task::spawn_blocking(move || (plane.served.handles.reload)()).await {
        Ok(Ok(Reconfigured { changed, needs_restart })) => Ok(Json(Reloaded { changed, needs_restart })),
        Ok(Err(error)) => Err(Refusal::unprocessable(error.to_string())),
        Err(_) => {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "reading it again failed; the log says why"))
        }
    }
}
