//! Sessions: listed, read and ended.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, Ref, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::access::{AUDIT, Caller};
use super::ban_wish::read_network;
use super::busy_sessions;
use super::deployment_sessions::{self, DeploymentSessions, Wanted};
use super::errors::{ApiError, ErrorBody};
use super::found::Anywhere;
use super::ids::{Address, DecimalId, NetworkText, ServiceName, SessionId, Token};
use super::params::{Nothing, Query, cursor, limit, path_part};
use super::{Desk, in_time};
use crate::actors::client::{SessionFilter, SessionState, SessionStory, TransportName};
use crate::inspection::{SessionPage, SortBy};
use crate::session::trace_id::TraceId;

/// Selection of sessions; every filter must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The most sessions.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Start of the page: the `next_cursor` of the page before.
    #[param(value_type = Option<Token>)]
    cursor: Option<String>,
    /// Sessions that use this service.
    service: Option<ServiceName>,
    /// Sessions of this realm; 0: of none.
    #[param(minimum = 0, maximum = 4_294_967_295_u32)]
    realm_id: Option<u32>,
    /// Sessions of this user; "0": of nobody that is known.
    user_id: Option<DecimalId>,
    /// Sessions whose user a backend has bound (`true`), or has not.
    bound: Option<bool>,
    /// Sessions of players from this address or network.
    #[param(value_type = Option<NetworkText>)]
    address: Option<String>,
    /// Sessions that are bound to this endpoint.
    backend: Option<Address>,
    /// Sessions over this transport.
    transport: Option<TransportName>,
    /// Sessions in this state. Those that have ended are listed only if asked for, on one page, the newest first.
    state: Option<SessionState>,
    /// Sessions of every gateway of the deployment.
    deployment: Option<bool>,
    /// The busiest first, by their rates over the last seconds, on one page: of the thousand that are the busiest. The first
    /// answer takes two seconds.
    #[param(inline)]
    sort: Option<SortBy>,
}

/// Sessions of this gateway, or with `deployment=true` of all.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Sessions {
    Here(SessionPage),
    Everywhere(DeploymentSessions),
}

impl PartialSchema for Sessions {
    /// Not one alone of both: whatever answers for all gateways is also a page.
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new()
            .item(Ref::from_schema_name(SessionPage::name()))
            .item(Ref::from_schema_name(DeploymentSessions::name()))
            .description(Some(
                "Sessions of this gateway, or with `deployment=true` of all.",
            ))
            .into()
    }
}

impl ToSchema for Sessions {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SessionPage::name().into(), SessionPage::schema()));
        schemas.push((
            DeploymentSessions::name().into(),
            DeploymentSessions::schema(),
        ));
        SessionPage::schemas(schemas);
        DeploymentSessions::schemas(schemas);
    }
}

/// The sessions, in pages.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(Which), responses(
    (status = 200, description = "A page.", body = Sessions),
    (status = 409, description = "With `deployment=true`: `peer.gateways` does not say where the others are.", body = ErrorBody),
    (status = 503, description = "The workers do not answer in time.", body = ErrorBody),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<web::Json<Sessions>, ApiError> {
    let limit = limit(which.limit)?;
    let cursor = cursor(which.cursor.as_deref())?;
    let filter = SessionFilter {
        service: which.service.map(|service| service.0),
        realm_id: which.realm_id,
        user_id: which.user_id.map(|id| id.0),
        bound: which.bound,
        address: which.address.as_deref().map(read_network).transpose()?,
        backend: which.backend.map(|address| address.0),
        transport: which.transport,
        state: which.state,
    };
    if let Some(sort) = which.sort {
        if cursor.is_some() || which.deployment == Some(true) {
            let why = "sort: one page of this gateway's sessions, without a cursor";
            return Err(ApiError::bad_request(why));
        }
        let page = busy_sessions::list(&desk, &filter, sort, limit).await?;
        return Ok(web::Json(Sessions::Here(page)));
    }
    if which.deployment == Some(true) {
        let wanted = Wanted {
            caller: &caller,
            filter: &filter,
            filters: &filters(request.query_string()),
            limit,
            cursor,
        };
        let page = deployment_sessions::list(&desk, &wanted).await?;
        return Ok(web::Json(Sessions::Everywhere(page)));
    }
    if filter.state == Some(SessionState::Ended) {
        if cursor.is_some() {
            return Err(crate::inspection::InspectError::BadCursor.into());
        }
        let page = in_time(desk.inspector.ended_sessions(&filter, limit)).await?;
        return Ok(web::Json(Sessions::Here(page)));
    }
    let page = in_time(desk.inspector.sessions(&filter, cursor, limit)).await??;
    Ok(web::Json(Sessions::Here(page)))
}

/// Returns the filters of a query, as they were written.
fn filters(query: &str) -> String {
    let others = ["limit", "cursor", "deployment"];
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let filters = query.split('&').filter(|pair| !pair.is_empty());
    let filters: Vec<&str> = filters
        .filter(|pair| !others.contains(&&*name(pair)))
        .collect();
    filters.join("&")
}

/// One session with its counters and its story, also for an hour after its end.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session.")),
    responses(
        (status = 200, description = "The session.", body = SessionStory),
        (status = 404, description = "There is none here.", body = ErrorBody),
        (status = 503, description = "Its worker does not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn one(
    desk: web::Data<Desk>,
    request: HttpRequest,
    _: Query<Nothing>,
) -> Result<web::Json<SessionStory>, ApiError> {
    let id = session_here(&desk, &request)?;
    let session = in_time(desk.inspector.session(id)).await??;
    session.map(web::Json).ok_or_else(|| no_session(id))
}

/// Kicks a session: its player gets CLOSE 440.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session.")),
    responses(
        (status = 204, description = "It is kicked."),
        (status = 404, description = "There is none here.", body = ErrorBody),
        (status = 503, description = "Its worker does not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn kick(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    _: Query<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let id = session_here(&desk, &request)?;
    if in_time(desk.inspector.kick(id)).await?? {
        let trace_id = TraceId::of(id).map(tracing::field::display);
        tracing::info!(target: AUDIT, session_id = id, trace_id, by = %caller, "kicked over the admin API");
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(no_session(id))
    }
}

pub(super) fn no_session(id: u64) -> ApiError {
    ApiError::not_found(format!("there is no session {id}"))
}

/// Returns the session id of the path, if it is one of this gateway.
pub(super) fn session_here(desk: &Desk, request: &HttpRequest) -> Result<u64, ApiError> {
    let text = path_part(request, "id")?;
    let Some(SessionId { gateway, id }) = SessionId::parse(&text) else {
        let message = format!(
            "`{text}` is no session's id; one is a whole number up to 18446744073709551615, alone \
             or behind its gateway's id and a colon"
        );
        return Err(ApiError::bad_request(message));
    };
    let here = &desk.config.gateway.id;
    let is_anywhere = request.extensions().contains::<Anywhere>();
    match gateway {
        Some(other) if other != *here && !is_anywhere => {
            let message = format!("session {id} is on gateway {other}; this one is {here}");
            Err(ApiError::not_found(message))
        }
        Some(_) | None => Ok(id),
    }
}
