//! Traces of a user, an address or a session: begun, listed, read and ended.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::Desk;
use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::family::{
    Family, ProcessFigures,
    Source::{Process, ProcessGauge},
    family,
};
use super::ids::{Positions, TraceId};
use super::params::{Body, Nothing, Query, limit, path_part};
use super::trace_event::{TraceEvent, TracePage};
use super::trace_wish::TraceWish;
use crate::admission::unix_seconds;
use crate::config::units::show_duration;
use crate::traces::{Trace, TraceKey};

/// Where traces begin.
pub(super) const PATH: &str = "/api/v1/traces";
/// Interval at which a stream looks for events.
const LOOK: Duration = Duration::from_millis(200);
/// The most events of one piece of a stream.
const PIECE: usize = 64;
/// Header in which a browser that connects again says what it has.
const LAST_EVENT: &str = "last-event-id";

/// Metrics of traces.
pub(super) const FAMILIES: [Family; 3] = [
    family("traces", "Traces under way", ProcessGauge(|p| p.traces)),
    family(
        "trace_events",
        "Events that traces have recorded",
        Process(|p| p.trace_events),
    ),
    family(
        "trace_lost_events",
        "Events of traces that were only counted: too many in a second, or memory was short",
        Process(|p| p.trace_lost_events),
    ),
];

impl ProcessFigures {
    /// Takes over the figures of traces.
    pub(super) fn of_traces(self, desk: &Desk) -> ProcessFigures {
        let traces = &desk.inspector.traces;
        let (events, lost) = traces.events();
        ProcessFigures {
            traces: traces.count() as u64,
            trace_events: events,
            trace_lost_events: lost,
            ..self
        }
    }
}

/// A trace.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TraceSnapshot {
    /// Its id.
    #[schema(value_type = TraceId)]
    id: String,
    /// The address or network that is traced.
    #[schema(example = "192.0.2.0/24")]
    address: Option<String>,
    /// The user that is traced, decimal.
    user_id: Option<String>,
    /// The session that is traced, decimal.
    session_id: Option<String>,
    /// `running`, or `over`: it records no more, and is kept for ten minutes.
    #[schema(example = "running")]
    state: &'static str,
    /// When it began, in seconds since 1970.
    since_seconds: u64,
    /// The time for which it was asked.
    for_seconds: u64,
    /// Time until its end.
    remaining_seconds: u64,
    /// Who asked for it, and from where.
    by: String,
    /// Number of its newest event.
    events: u64,
    /// Events among them that were not recorded: over a thousand in a second, or memory was short.
    lost_events: u64,
}

/// A trace that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeTrace {
    #[serde(flatten)]
    trace: TraceSnapshot,
    /// Connections and sessions that it concerns now. It also concerns those that come.
    clients: u64,
    /// Workers that have not answered in time: those who are there already may not be traced.
    silent_workers: Vec<usize>,
}

/// The traces, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TraceList {
    traces: Vec<TraceSnapshot>,
}

/// Selection of events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Answers with JSON, and with events behind this number, as `next` gave it; 0: from the first one that is kept.
    /// For several gateways `gateway_id:number` of each, separated by commas; those that are missing begin with 0.
    after: Option<Positions>,
    /// The most events of such an answer.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
}

/// Returns a wish with the id of the trace that has begun by it here, for others.
pub(super) fn with_id_of(begun: &[u8], wish: &[u8]) -> Option<Bytes> {
    let begun: serde_json::Value = serde_json::from_slice(begun).ok()?;
    let mut wish: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(wish).ok()?;
    wish.insert("id".to_owned(), begun.get("id")?.clone());
    serde_json::to_vec(&wish).ok().map(Bytes::from)
}

impl TraceSnapshot {
    fn of(trace: &Trace, desk: &Desk) -> TraceSnapshot {
        let (now, target) = (desk.inspector.traces.now(), trace.target());
        let (events, lost) = trace.counts();
        TraceSnapshot {
            id: trace.key().to_string(),
            address: target.address(),
            user_id: target.user().map(|user| user.to_string()),
            session_id: target.session().map(|session| session.to_string()),
            state: if trace.is_over(now) {
                "over"
            } else {
                "running"
            },
            since_seconds: trace.since(),
            for_seconds: trace.length().as_secs(),
            remaining_seconds: trace.left(now).as_secs(),
            by: trace.by().to_owned(),
            events,
            lost_events: lost.all(),
        }
    }
}

/// Traces a user, an address or network, or a session for a time, 10 minutes where it is not said.
///
/// It records headers of frames, their sizes, and what is decided about sessions, never payloads, tokens or secrets.
/// It concerns those who are there and those who come, on this gateway, or, with `deployment=true`, on all of its
/// deployment, by one id. 32 may be under way.
#[utoipa::path(post, path = "/api/v1/traces", tag = "traces", request_body = TraceWish, responses(
    (status = 201, description = "It has begun.", body = MadeTrace),
    (status = 409, description = "32 are under way, or one with this `id`.", body = ErrorBody),
))]
pub(super) async fn begin(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<TraceWish>,
) -> Result<HttpResponse, ApiError> {
    let missing =
        || ApiError::bad_request("the body is missing, for example {\"user_id\": \"4711\"}");
    let wish = wish.ok_or_else(missing)?;
    let (target, time) = (wish.target()?, wish.time()?);
    let (key, by) = (wish.key()?, caller.to_string());
    let begins = (desk.inspector.traces.now(), unix_seconds());
    let trace = Trace::new(key, target, begins, time, by.clone());
    let begun = desk.inspector.begin_trace(trace).await;
    let begun = begun.map_err(|error| ApiError::conflict(error.to_string()))?;
    tracing::info!(
        target: AUDIT, trace = %key, by, of = %target, r#for = show_duration(time),
        clients = begun.clients, "traced over the admin API"
    );
    Ok(HttpResponse::build(StatusCode::CREATED).json(MadeTrace {
        trace: TraceSnapshot::of(&begun.trace, &desk),
        clients: begun.clients,
        silent_workers: begun.silent_workers,
    }))
}

/// The traces under way, and those that have ended within ten minutes.
#[utoipa::path(get, path = "/api/v1/traces", tag = "traces", responses(
    (status = 200, description = "All of them, 32 at most.", body = TraceList),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<TraceList>, ApiError> {
    let traces = desk.inspector.traces.list();
    let traces = traces.iter().map(|trace| TraceSnapshot::of(trace, &desk));
    Ok(web::Json(TraceList {
        traces: traces.collect(),
    }))
}

/// One trace.
#[utoipa::path(get, path = "/api/v1/traces/{id}", tag = "traces",
    params(("id" = TraceId, Path, description = "The trace.")),
    responses(
        (status = 200, description = "The trace.", body = TraceSnapshot),
        (status = 404, description = "There is none.", body = ErrorBody),
    )
)]
pub(super) async fn one(
    desk: web::Data<Desk>,
    request: HttpRequest,
    _: Query<Nothing>,
) -> Result<web::Json<TraceSnapshot>, ApiError> {
    let trace = trace_of(&desk, &request)?;
    Ok(web::Json(TraceSnapshot::of(&trace, &desk)))
}

/// Ends a trace and forgets its events.
#[utoipa::path(delete, path = "/api/v1/traces/{id}", tag = "traces",
    params(("id" = TraceId, Path, description = "The trace.")),
    responses(
        (status = 204, description = "It is gone; streams of its events end."),
        (status = 404, description = "There is none.", body = ErrorBody),
    )
)]
pub(super) async fn end(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    _: Query<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let key = key_of(&request)?;
    let trace = desk.inspector.traces.remove(key);
    let trace = trace.ok_or_else(|| no_trace(key))?;
    let (events, lost) = trace.counts();
    tracing::info!(
        target: AUDIT, trace = %key, by = %caller, events, lost = lost.all(),
        "a trace is deleted over the admin API"
    );
    Ok(HttpResponse::NoContent().finish())
}

/// The events of a trace: a stream of server-sent events up to its end; with `after`, those that are there, as JSON.
///
/// The stream begins with the first event that is kept, or behind the number in `Last-Event-ID`. An event `lost` says
/// how many are missing, and `end` that the trace is over.
#[utoipa::path(get, path = "/api/v1/traces/{id}/events", tag = "traces",
    params(("id" = TraceId, Path, description = "The trace."), Which),
    responses(
        (status = 200, description = "The events.", content(
            (TracePage = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 503, description = "Too many streams are open.", body = ErrorBody),
    )
)]
pub(super) async fn events(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit(which.limit)?;
    let trace = trace_of(&desk, &request)?;
    if let Some(after) = which.after {
        let after = after.of(&desk.config.gateway.id);
        let page = trace.read(after, limit, desk.inspector.traces.now());
        return Ok(HttpResponse::Ok().json(TracePage::of(&page, &desk.config.gateway.id)));
    }
    let seen = request.headers().get(LAST_EVENT);
    let seen = seen.and_then(|number| number.to_str().ok()?.parse().ok());
    desk.event_streams
        .respond(&caller, pieces(desk.clone(), trace, seen.unwrap_or(0)))
}

/// Returns the events of a trace behind one, up to its end. It runs ahead of its reader by nothing: who is late finds
/// that events have given way.
fn pieces(desk: web::Data<Desk>, trace: Arc<Trace>, after: u64) -> impl Stream<Item = Bytes> {
    stream::unfold(Some(after), move |after| {
        let (desk, trace) = (desk.clone(), Arc::clone(&trace));
        async move {
            let mut after = after?;
            loop {
                let page = trace.read(after, PIECE, desk.inspector.traces.now());
                after = page.next;
                let mut piece = String::new();
                if page.lost > 0 {
                    piece.push_str(&written("lost", None, &json!({"events": page.lost})));
                }
                for (number, event) in &page.events {
                    let event = TraceEvent::of(*number, event, &desk.config.gateway.id);
                    let name = event.event();
                    piece.push_str(&written(name, Some(*number), &event));
                }
                if page.is_end {
                    piece.push_str(&written("end", None, &json!({"reason": "over"})));
                }
                if !piece.is_empty() {
                    return Some((piece.into(), (!page.is_end).then_some(after)));
                }
                actix_web::rt::time::sleep(LOOK).await;
            }
        }
    })
}

/// Writes one server-sent event.
fn written(name: &str, number: Option<u64>, data: &impl Serialize) -> String {
    let id = number.map_or_else(String::new, |number| format!("id: {number}\n"));
    // It has no maps whose keys are not strings, the one thing that JSON cannot have.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {name}\ndata: {data}\n\n")
}

/// Returns the trace's id in the path.
fn key_of(request: &HttpRequest) -> Result<TraceKey, ApiError> {
    let text = path_part(request, "id")?;
    let wrong = || {
        let message = format!("`{text}` is no trace's id; one has 16 lowercase hexadecimal digits");
        ApiError::bad_request(message)
    };
    TraceKey::parse(&text).ok_or_else(wrong)
}

fn trace_of(desk: &Desk, request: &HttpRequest) -> Result<Arc<Trace>, ApiError> {
    let key = key_of(request)?;
    let trace = desk.inspector.traces.find(key);
    trace.ok_or_else(|| no_trace(key))
}

fn no_trace(key: TraceKey) -> ApiError {
    ApiError::not_found(format!("there is no trace {key}"))
}
