//! The actors and their state.

use std::time::Instant;

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::ids::Token;
use super::params::{Nothing, Query, cursor, is_token, limit, path_part};
use super::{Desk, in_time};
use crate::inspection::{ActorNode, ActorPage, BusiestBy};
use crate::supervision::{ActorSnapshot, BusyActor, Kind, KindSnapshot, NotRestarted, WorkerLoad};

/// The rows of an answer to whoever does not say how many busy actors.
const DEFAULT_ROWS: u16 = 10;

/// Selection of actors.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Lists the single actors of this kind. Without it every kind is summed up.
    kind: Option<Kind>,
    /// The most actors; without `kind` it has no effect.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Start of the page: the `next_cursor` of the page before.
    #[param(value_type = Option<Token>)]
    cursor: Option<String>,
}

/// Every kind of actor, what each worker does, and who supervises whom.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// Each kind with its sums.
    kinds: Vec<KindSnapshot>,
    /// Each worker's thread.
    workers: Vec<WorkerLoad>,
    /// The root, with everything below it but the clients, which are counted; `null` where it
    /// could not be had.
    tree: Option<Box<ActorNode>>,
}

/// The overview, or a page of single actors.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Listing {
    Overview(Overview),
    Page(ActorPage),
}

/// Every kind of actor and the tree in which they are supervised; with `kind` the single ones.
#[utoipa::path(get, path = "/api/v1/actors", tag = "actors", params(Which), responses(
    (status = 200, description = "The overview, or with `kind` a page of actors.", body = Listing),
    (status = 503, description = "They do not answer in time.", body = ErrorBody),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    Query(which): Query<Which>,
) -> Result<web::Json<Listing>, ApiError> {
    let limit = limit(which.limit)?;
    let cursor = cursor(which.cursor.as_deref())?;
    let Some(kind) = which.kind else {
        return Ok(web::Json(Listing::Overview(overview(&desk))));
    };
    let page = in_time(desk.inspector.actors(kind, cursor, limit)).await??;
    Ok(web::Json(Listing::Page(page)))
}

/// Returns the kinds, the workers and the tree.
pub(super) fn overview(desk: &Desk) -> Overview {
    let mut workers = desk.inspector.actors.workers();
    for (row, metrics) in workers.iter_mut().zip(&desk.metrics) {
        row.loop_lag = metrics.recent_lag.snapshot(Instant::now()).percentiles();
    }
    Overview {
        kinds: desk.inspector.kinds(),
        workers,
        tree: desk.inspector.tree().map(Box::new),
    }
}

/// Selection of busy actors.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichBusy {
    /// What makes an actor the first.
    #[param(inline)]
    by: Option<BusiestBy>,
    /// The most rows.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    limit: Option<u16>,
}

/// The actors that do the most.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Busiest {
    /// What makes an actor the first.
    by: BusiestBy,
    /// The first one first; whoever does nothing is left out.
    busiest: Vec<BusyActor>,
}

/// The actors that have done the most in the last seconds. The clients of a worker are one row: who of them is
/// the busiest is what `/api/v1/top-talkers` says.
#[utoipa::path(get, path = "/api/v1/actors/busiest", tag = "actors", params(WhichBusy), responses(
    (status = 200, description = "The busiest.", body = Busiest),
))]
pub(super) async fn busiest(
    desk: web::Data<Desk>,
    Query(which): Query<WhichBusy>,
) -> Result<web::Json<Busiest>, ApiError> {
    let limit = limit(Some(which.limit.unwrap_or(DEFAULT_ROWS)))?;
    let by = which.by.unwrap_or_default();
    let busiest = desk.inspector.busiest(by, limit);
    Ok(web::Json(Busiest { by, busiest }))
}

/// One actor with its own account of itself.
#[utoipa::path(get, path = "/api/v1/actors/{id}", tag = "actors",
    params(("id" = Token, Path, description = "As `/api/v1/actors` has it.")),
    responses(
        (status = 200, description = "The actor.", body = ActorSnapshot),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 503, description = "It does not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn one(
    desk: web::Data<Desk>,
    request: HttpRequest,
    _: Query<Nothing>,
) -> Result<web::Json<ActorSnapshot>, ApiError> {
    let id = actor_id(&request)?;
    let actor = in_time(desk.inspector.actor(&id)).await?;
    actor.map(web::Json).ok_or_else(|| none(&id))
}

/// Restarts an actor by hand, where nothing is lost by it: the watchers, routers and backend pools.
///
/// It first handles what was sent to it; then its supervisor starts the next one, with the state that outlives a panic.
/// It counts as a restart by hand. The answer is how the next one is.
#[utoipa::path(post, path = "/api/v1/actors/{id}/restart", tag = "actors",
    params(("id" = Token, Path, description = "As `/api/v1/actors` has it.")),
    responses(
        (status = 200, description = "Another one has its seat.", body = ActorSnapshot),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 409, description = "Something would be lost, or it is being restarted already.", body = ErrorBody),
        (status = 503, description = "It does not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn restart(
    desk: web::Data<Desk>,
    caller: Caller,
    request: HttpRequest,
    _: Query<Nothing>,
) -> Result<web::Json<ActorSnapshot>, ApiError> {
    let id = actor_id(&request)?;
    let restarted = in_time(desk.inspector.restart(&id)).await?;
    let restarted = restarted.ok_or_else(|| none(&id))?;
    let outcome = restarted.as_ref().err().map(ToString::to_string);
    let outcome = outcome.as_deref().unwrap_or("restarted");
    tracing::info!(target: AUDIT, by = %caller, actor = id, outcome, "a restart of an actor is asked for");
    let refused = |error: NotRestarted| {
        let message = format!("{id} is not restarted: {error}");
        match error {
            NotRestarted::Silent => ApiError::timeout(&message),
            NotRestarted::Refused(_) | NotRestarted::UnderWay => ApiError::conflict(message),
        }
    };
    restarted.map(web::Json).map_err(refused)
}

fn actor_id(request: &HttpRequest) -> Result<String, ApiError> {
    let id = path_part(request, "id")?;
    if is_token(&id) {
        return Ok(id);
    }
    let message = format!("`{id}` is no actor's id; one is for example `router-0`");
    Err(ApiError::bad_request(message))
}

fn none(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no actor {id}"))
}
