//! The actors and their state.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::errors::{ApiError, ErrorBody};
use super::ids::Token;
use super::params::{Nothing, Query, cursor, is_token, limit, path_part};
use super::{Desk, in_time};
use crate::inspection::{ActorNode, ActorPage};
use crate::supervision::{ActorSnapshot, Kind, KindSnapshot};

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

/// Every kind of actor, and who supervises whom.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// Each kind with its sums.
    kinds: Vec<KindSnapshot>,
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
        let (kinds, tree) = (desk.inspector.kinds(), desk.inspector.tree().map(Box::new));
        return Ok(web::Json(Listing::Overview(Overview { kinds, tree })));
    };
    let page = in_time(desk.inspector.actors(kind, cursor, limit)).await??;
    Ok(web::Json(Listing::Page(page)))
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
    let id = path_part(&request, "id")?;
    if !is_token(&id) {
        let message = format!("`{id}` is no actor's id; one is for example `router-0`");
        return Err(ApiError::bad_request(message));
    }
    let actor = in_time(desk.inspector.actor(&id)).await?;
    let none = || ApiError::not_found(format!("there is no actor {id}"));
    actor.map(web::Json).ok_or_else(none)
}
