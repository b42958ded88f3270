//! Health, readiness, metrics, and the version of the gateway.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join;
use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use super::accept::Form;
use super::errors::{ApiError, ErrorBody};
use super::metrics::{self as exposition, Figures};
use super::params::{Nothing, Query};
use super::service_families::ServiceFigures;
use crate::actors::gateway::{AskDrain, CheckHealth, DrainSnapshot, HEALTH_TIMEOUT, State};

/// A little longer than the gateway itself waits, so that its answer still comes.
const HEALTH_PATIENCE: Duration = HEALTH_TIMEOUT.saturating_add(Duration::from_millis(500));

/// It can do its work.
#[derive(Serialize, ToSchema)]
pub(super) struct Healthy {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Healthy if every worker answers within a second, during a drain too.
#[utoipa::path(get, path = "/health", tag = "probes", responses(
    (status = 200, description = "It can.", body = Healthy),
    (status = 503, description = "A worker or supervisor has not answered.", body = ErrorBody),
))]
pub(super) async fn health(desk: web::Data<Desk>) -> Result<web::Json<Healthy>, ApiError> {
    let asked = desk.gateway.send(CheckHealth);
    let answer = actix_web::rt::time::timeout(HEALTH_PATIENCE, asked).await;
    if matches!(answer, Ok(Ok(true))) {
        return Ok(web::Json(Healthy { status: "ok" }));
    }
    let message = "a worker or its supervisor has not answered within a second";
    Err(ApiError::unavailable("unhealthy", message))
}

/// Readiness for new sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// The reason if not: `starting`, `no routes yet`, `draining`, `full`, `memory`.
    reasons: Vec<&'static str>,
    /// The reason that the newest routing data is not in force.
    routes_error: Option<String>,
}

/// Ready if new sessions may start.
#[utoipa::path(get, path = "/ready", tag = "probes", responses(
    (status = 200, description = "It does.", body = Readiness),
    (status = 503, description = "It does not, for these reasons.", body = Readiness),
))]
pub(super) async fn ready(desk: web::Data<Desk>) -> HttpResponse {
    let (reasons, error) = match desk.status().await {
        Ok(status) => (
            status.reasons_not_ready(),
            status.routes.and_then(|r| r.error),
        ),
        Err(_) => (vec!["the gateway does not answer"], None),
    };
    let readiness = Readiness {
        ready: reasons.is_empty(),
        reasons,
        routes_error: error.map(|error| error.to_string()),
    };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

/// Metrics for Prometheus, in the form that `Accept` asks for.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses(
    (status = 200, description = "Prometheus' text, or OpenMetrics text where that is preferred.", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text"),
    )),
))]
pub(super) async fn metrics(
    desk: web::Data<Desk>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let form = Form::asked(request.headers());
    let rows = desk.recent_rows.get(&desk.inspector);
    let (status, rows) = join(desk.status(), rows).await;
    let figures = Figures {
        gateway_id: desk.config.gateway.id.clone(),
        workers: desk.metrics.clone(),
        status: status.ok(),
        kinds: desk.inspector.kinds(),
        process: desk.process(),
        memory: desk.memory.snapshot(),
        services: ServiceFigures::new(desk.services.sums(), &rows),
        questions: desk.deployment.times(),
    };
    let text = exposition::encode(form, figures);
    let text = text.map_err(|_| ApiError::internal("cannot write the metrics"))?;
    Ok(HttpResponse::Ok()
        .content_type(form.content_type())
        .insert_header((header::VARY, "Accept"))
        .body(text))
}

/// The gateway's version and state.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    version: &'static str,
    gateway_id: String,
    /// Whether it knows others of its deployment: `peer.gateways` is configured.
    deployment: bool,
    /// Seconds since 1970.
    start_time_seconds: u64,
    uptime_seconds: u64,
    /// Threads that carry traffic.
    workers: usize,
    /// Phase of its life.
    state: State,
    /// Sessions now.
    sessions: u64,
    /// Connections now.
    connections: u64,
    /// The drain that is under way, or over and not undone; `null`: there is none.
    drain: Option<DrainSnapshot>,
}

/// Version, id, age, workers and state.
#[utoipa::path(get, path = "/api/v1/info", tag = "gateway", responses(
    (status = 200, description = "These.", body = Info),
    (status = 503, description = "The gateway does not answer in time.", body = ErrorBody),
))]
pub(super) async fn info(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<Info>, ApiError> {
    Ok(web::Json(info_of(&desk).await?))
}

/// Returns what the gateway says of itself.
///
/// # Errors
/// It does not answer in time.
pub(super) async fn info_of(desk: &Desk) -> Result<Info, ApiError> {
    let (status, drain) = join(desk.status(), desk.ask(AskDrain)).await;
    let (status, drain) = (status?, drain?);
    let since_1970 = desk
        .started_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Info {
        version: env!("CARGO_PKG_VERSION"),
        gateway_id: desk.config.gateway.id.clone(),
        deployment: desk.deployment.is_on(),
        start_time_seconds: since_1970.as_secs(),
        uptime_seconds: desk.started.elapsed().as_secs(),
        workers: desk.metrics.len(),
        state: status.state,
        sessions: desk.metrics.iter().map(|m| m.sessions_now()).sum(),
        connections: status.connections as u64,
        drain: (drain.state != State::Serving).then_some(drain),
    })
}
