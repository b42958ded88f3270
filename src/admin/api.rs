//! The requests of the admin API and who may make them.

use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::{Desk, metrics};
use crate::actors::gateway::{AskStatus, CheckHealth, HEALTH_TIMEOUT, StatusSnapshot};

/// How long an actor may take to answer; beyond it the request is answered without it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// What is open to everyone who can reach the address: probes and scrapes.
const OPEN: [&str; 3] = ["/health", "/ready", "/metrics"];

/// All routes.
pub(super) fn configure(app: &mut web::ServiceConfig) {
    let get = |path: &str| web::resource(path).default_service(web::to(wrong_method));
    app.service(
        web::scope("")
            .wrap(from_fn(authorise))
            .service(get("/health").get(health).head(health))
            .service(get("/ready").get(ready).head(ready))
            .service(get("/metrics").get(scrape).head(scrape))
            .service(get("/api/v1/info").get(info).head(info))
            .default_service(web::to(not_found)),
    );
}

/// The form of every error.
fn error(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": {"code": code, "message": message}}))
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = format!("there is no {}", request.path());
    error(StatusCode::NOT_FOUND, "not_found", &message)
}

async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let message = format!("{} does not take {}", request.path(), request.method());
    let mut answer = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &message,
    );
    let allow = header::HeaderValue::from_static("GET, HEAD");
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}

/// With a token: whoever has it. Without one: loopback addresses only.
async fn authorise(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let refused = if OPEN.contains(&request.path()) {
        None
    } else {
        refusal(&request)
    };
    match refused {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(answer) => Ok(request.into_response(answer).map_into_right_body()),
    }
}

fn refusal(request: &ServiceRequest) -> Option<HttpResponse> {
    let desk = request.app_data::<web::Data<Desk>>()?;
    let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    let Some(token) = &desk.config.admin.token else {
        let local = request.peer_addr().is_some_and(|peer| loopback(peer.ip()));
        let message = "without admin.token only loopback addresses are answered";
        return (!local).then(|| error(StatusCode::FORBIDDEN, "forbidden", message));
    };
    let sent = request.headers().get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let right = sent.is_some_and(|sent| sent.as_bytes().ct_eq(token.expose().as_bytes()).into());
    let mut answer = error(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "a bearer token is needed",
    );
    let challenge = header::HeaderValue::from_static("Bearer");
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    (!right).then_some(answer)
}

async fn status(desk: &Desk) -> Option<StatusSnapshot> {
    let answer = desk.gateway.send(AskStatus);
    actix_web::rt::time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .ok()?
        .ok()
}

/// 200 while every worker answers within a second. Draining is healthy.
async fn health(desk: web::Data<Desk>) -> HttpResponse {
    // A little longer than the gateway itself waits, so that its answer still comes.
    let patience = HEALTH_TIMEOUT + Duration::from_millis(500);
    let answer = actix_web::rt::time::timeout(patience, desk.gateway.send(CheckHealth)).await;
    if matches!(answer, Ok(Ok(true))) {
        HttpResponse::Ok().json(json!({"status": "ok"}))
    } else {
        let message = "a worker or its supervisor has not answered within a second";
        error(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", message)
    }
}

/// 200 when new sessions are welcome; 503 with the reasons why not.
async fn ready(desk: web::Data<Desk>) -> HttpResponse {
    let (reasons, routes_error) = match status(&desk).await {
        Some(status) => (
            status.reasons_not_ready(),
            status.routes.and_then(|r| r.error),
        ),
        None => (vec!["the gateway does not answer"], None),
    };
    let body = json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "routes_error": routes_error.as_deref(),
    });
    if reasons.is_empty() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

async fn scrape(desk: web::Data<Desk>) -> HttpResponse {
    let text = metrics::encode(&desk.config, &desk.metrics, status(&desk).await.as_ref());
    match text {
        Ok(text) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Err(_) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "cannot write the metrics",
        ),
    }
}

#[derive(Serialize)]
struct Info<'a> {
    version: &'static str,
    gateway_id: &'a str,
    /// Seconds since 1970.
    start_time_seconds: u64,
    uptime_seconds: u64,
    workers: usize,
    state: &'static str,
}

async fn info(desk: web::Data<Desk>) -> HttpResponse {
    let Some(status) = status(&desk).await else {
        let message = "the gateway has not answered in time";
        return error(StatusCode::SERVICE_UNAVAILABLE, "timeout", message);
    };
    let since_1970 = desk
        .started_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    HttpResponse::Ok().json(Info {
        version: env!("CARGO_PKG_VERSION"),
        gateway_id: &desk.config.gateway.id,
        start_time_seconds: since_1970.as_secs(),
        uptime_seconds: desk.started.elapsed().as_secs(),
        workers: desk.metrics.len(),
        state: status.state.name(),
    })
}
