//! The rules in force, and the route that a session would get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::assignments::AssignmentsSnapshot;
use super::errors::{ApiError, ErrorBody};
use super::ids::{DecimalId, ServiceName};
use super::params::{Nothing, Query};
use super::{Desk, in_time};
use crate::actors::assignment_reader::{Assigned, Unassigned};
use crate::actors::backend_pool::{BackendHealth, Breaker, ejectable};
use crate::actors::config_watcher::RoutesLoaded;
use crate::codec::code::Code;
use crate::inspection::BackendSnapshot;
use crate::routing::health::{OperatorState, Withdrawn};
use crate::routing::{
    Avoid, Explained, Explanation, NoRoute, Query as Question, RouteTable, Rule, StrategyKind,
};
use crate::store::RefusedKind;
use crate::store::redis::Version;

/// Realms that one answer shows; `resolve` tells of any.
const MAX_REALMS: usize = 10_000;

/// The rules in force and where they come from.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Routes {
    /// Source of the routing data; `null` before the first look.
    #[schema(example = "file config/routes.json")]
    source: Option<String>,
    /// Rises with each change; 0: there are no rules yet.
    version: u64,
    /// When the rules in force were loaded, in seconds since 1970.
    loaded_at_seconds: Option<u64>,
    /// Number of services.
    services: usize,
    /// The reason that newer data is not in force.
    error: Option<String>,
    /// `unreadable`: the source failed; `mistaken`: the data has mistakes.
    #[schema(example = "mistaken")]
    error_kind: Option<&'static str>,
    /// Time of that, in seconds since 1970.
    error_at_seconds: Option<u64>,
    /// What the writer of the data that is refused says of itself.
    error_by: Option<String>,
    /// What the source has is in force: `false` where `error` says why not, `null` where it cannot be read.
    is_current: Option<bool>,
    /// The version in the history of Redis that is in force; `null`: it was written in another way, or is a file.
    recorded: Option<Version>,
    /// Changes are noticed at once, because the file's directory is watched or Redis subscribed.
    watching: bool,
    /// Users' assignments in Redis; `null` where the routes are in a file.
    assignments: Option<AssignmentsSnapshot>,
    /// By service_type, in the form of the routes file.
    rules: BTreeMap<String, Rule>,
    /// Number of realms.
    realms_total: usize,
    /// By realm_id: where `realm_based` services send it; the lowest 10,000 of them.
    #[schema(value_type = BTreeMap<String, String>)]
    realms: BTreeMap<u32, String>,
}

/// The rules in force, in the form in which they are written.
#[utoipa::path(get, path = "/api/v1/routes", tag = "routes", responses(
    (status = 200, description = "The rules.", body = Routes),
    (status = 503, description = "The gateway does not answer in time.", body = ErrorBody),
))]
pub(super) async fn in_force(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let loaded = desk.status().await?.routes;
    let assignments = desk.assignments().await?;
    // Thousands of rules are megabytes of text, and this thread answers `/health`.
    let written = web::block(move || {
        let routes = loaded.map(routes).unwrap_or_default();
        serde_json::to_vec(&Routes {
            assignments,
            ..routes
        })
    });
    match written.await {
        Ok(Ok(json)) => Ok(HttpResponse::Ok()
            .content_type(ContentType::json())
            .body(json)),
        _ => Err(ApiError::internal("cannot write the routes")),
    }
}

fn routes(loaded: RoutesLoaded) -> Routes {
    let data = loaded.table.as_ref().map(|table| table.data());
    let since_1970 = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let realms = data.map(|data| &data.realms);
    let shown = realms
        .into_iter()
        .flat_map(|realms| realms.iter().take(MAX_REALMS));
    Routes {
        source: Some(loaded.source.to_string()),
        version: loaded.version,
        loaded_at_seconds: loaded.loaded_at.map(|at| since_1970(at).as_secs()),
        services: loaded.services,
        error: loaded.error.as_ref().map(ToString::to_string),
        error_kind: loaded.error_kind.map(RefusedKind::name),
        error_at_seconds: loaded.error_at.map(|at| since_1970(at).as_secs()),
        error_by: loaded.error_by.as_ref().map(ToString::to_string),
        is_current: match loaded.error_kind {
            Some(RefusedKind::Unreadable) => None,
            Some(RefusedKind::Mistaken) => Some(false),
            None => data.map(|_| true),
        },
        recorded: loaded.recorded.as_deref().cloned(),
        watching: loaded.watching,
        assignments: None,
        rules: data.map(|data| data.rules.clone()).unwrap_or_default(),
        realms_total: realms.map_or(0, |realms| realms.len()),
        realms: shown.map(|(id, name)| (id, name.to_string())).collect(),
    }
}

/// The session in question.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Its service.
    service: ServiceName,
    /// Its realm; 0, the default: none.
    #[param(minimum = 0, maximum = 4_294_967_295_u32)]
    realm_id: Option<u32>,
    /// Its user; "0", the default: not known.
    user_id: Option<DecimalId>,
    /// Its session id; "0", the default: not drawn yet.
    session_id: Option<DecimalId>,
}

/// The route that a session would take.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Resolution {
    service: String,
    strategy: StrategyKind,
    /// The endpoint; `null` if it is not decided yet or the session would be refused.
    #[schema(example = "10.0.0.7:9300")]
    endpoint: Option<String>,
    /// The endpoint's health; `null` if there is no endpoint, or it was never used.
    health: Option<BackendHealth>,
    /// The reason, in words.
    #[schema(example = "consistent_hash on user_id 42")]
    why: String,
    /// The protocol's error code, where the session would be refused.
    error_code: Option<u16>,
    /// A backend must have bound the session to a user first.
    require_bind: bool,
    /// Endpoints that the strategy chooses among.
    candidates: Vec<Candidate>,
}

/// An endpoint that a session might go to.
#[derive(Debug, Serialize, ToSchema)]
struct Candidate {
    #[schema(example = "10.0.0.7:9300")]
    endpoint: String,
    /// Its share, 1 to 100.
    weight: u8,
    /// It may be the answer now: no operator has withdrawn it, and it is up, or nothing is.
    eligible: bool,
    /// Its health; `null` if it was never used.
    health: Option<BackendHealth>,
    /// Its state by the word of an operator.
    operator_state: OperatorState,
}

/// The route that a session would take, and the reason. Asking takes no turn of `round_robin`.
#[utoipa::path(get, path = "/api/v1/routes/resolve", tag = "routes", params(Which), responses(
    (status = 200, description = "Where.", body = Resolution),
    (status = 404, description = "No rule for the service, or no mapping for the realm.",
        body = ErrorBody),
    (status = 503, description = "There are no routes yet, or no answer in time.",
        body = ErrorBody),
))]
pub(super) async fn resolve(
    desk: web::Data<Desk>,
    Query(which): Query<Which>,
) -> Result<web::Json<Resolution>, ApiError> {
    let table = desk.status().await?.routes.and_then(|routes| routes.table);
    let no_routes = || ApiError::unavailable("no_routes", "there are no routes yet");
    let table = table.ok_or_else(no_routes)?;
    let backends = in_time(desk.inspector.backends()).await?;
    let percent = desk.config.backend.max_ejected_percent;
    let withdrawn = desk.inspector.operator.withdrawn();
    let service = table.service(&which.service.0);
    if service.is_some_and(|service| service.reads_assignments) {
        let user_id = which.user_id.map_or(0, |id| id.0);
        let (found, why) = desk.assigned(&which.service.0, user_id).await?;
        return assigned(&which, &table, &backends, &withdrawn, found, why).map(web::Json);
    }
    answer(&which, &table, &backends, &withdrawn, percent).map(web::Json)
}

fn answer(
    which: &Which,
    table: &Arc<RouteTable>,
    backends: &[BackendSnapshot],
    withdrawn: &Withdrawn,
    max_ejected_percent: u8,
) -> Result<Resolution, ApiError> {
    let service = which.service.0.as_str();
    let rows = backends.iter().filter(|backend| backend.service == service);
    let its: BTreeMap<SocketAddr, BackendHealth> = rows
        .clone()
        .filter_map(|backend| Some((backend.address?, backend.health)))
        .collect();
    let route = table.service(service);
    let endpoints = route.map_or(0, |route| route.endpoints().len());
    let dead = avoided(rows.clone(), ejectable(endpoints, max_ejected_percent));
    let most = route.and_then(|route| route.max_sessions);
    let is_full = |row: &&BackendSnapshot| most.is_some_and(|most| row.sessions >= most.into());
    let full = rows.filter(is_full).filter_map(|row| row.address).collect();
    let question = Question {
        service,
        realm_id: which.realm_id.unwrap_or(0),
        user_id: which.user_id.map_or(0, |id| id.0),
        session_id: which.session_id.map_or(0, |id| id.0),
    };
    let avoid = Avoid {
        full: &full,
        withdrawn,
        dead: &dead,
        ..Avoid::NOTHING
    };
    let explained = table.explain(&question, &avoid).map_err(refused)?;
    let (mut endpoint, mut why, mut error_code) = match explained.outcome.clone() {
        Ok(Explained::To(endpoint, why)) => (Some(endpoint), why.to_string(), None),
        Ok(any) => {
            let mut eligible = explained.candidates.iter().filter(|c| c.eligible);
            // A choice of one is decided already.
            let only = eligible.next().filter(|_| eligible.next().is_none());
            (only.map(|only| only.endpoint), any.to_string(), None)
        }
        Err(NoRoute::Unresolved | NoRoute::AllTried) => {
            let why = NoRoute::Unresolved.to_string();
            (None, why, Some(Code::BAD_GATEWAY.0))
        }
        Err(busy @ (NoRoute::AllFull | NoRoute::AllWithdrawn)) => {
            (None, busy.to_string(), Some(Code::UNAVAILABLE.0))
        }
        Err(no_route @ (NoRoute::NoRule | NoRoute::NoRealm(_) | NoRoute::NotAssigned)) => {
            return Err(refused(no_route));
        }
    };
    let mut health = endpoint.and_then(|endpoint| its.get(&endpoint).copied());
    // Where nothing else is left, what is dead is tried all the same.
    match health {
        Some(BackendHealth::Down) => why.push_str("; it is down, and nothing else is left"),
        Some(BackendHealth::Suspect) => {
            why.push_str("; it is suspect, and nothing else is left");
        }
        Some(BackendHealth::Leaving) => {
            why.push_str("; it takes no new sessions, and nothing else is left");
            (endpoint, health, error_code) = (None, None, Some(Code::BAD_GATEWAY.0));
        }
        Some(BackendHealth::Up | BackendHealth::Unknown) | None => {}
    }
    Ok(Resolution {
        service: service.to_owned(),
        strategy: explained.service.strategy(),
        endpoint: endpoint.map(|endpoint| endpoint.to_string()),
        health,
        why,
        error_code,
        require_bind: explained.service.require_bind,
        candidates: candidates(&explained, &its, withdrawn),
    })
}

/// Answers where Redis says that a user's sessions go.
fn assigned(
    which: &Which,
    table: &RouteTable,
    backends: &[BackendSnapshot],
    withdrawn: &Withdrawn,
    found: Result<Assigned, Unassigned>,
    mut why: String,
) -> Result<Resolution, ApiError> {
    let service = which.service.0.as_str();
    let question = Question {
        service,
        realm_id: 0,
        user_id: 0,
        session_id: 0,
    };
    let explained = (table.explain(&question, &Avoid::NOTHING)).map_err(refused)?;
    let rows = backends.iter().filter(|backend| backend.service == service);
    let its: BTreeMap<SocketAddr, BackendHealth> = rows
        .filter_map(|backend| Some((backend.address?, backend.health)))
        .collect();
    let (endpoint, mut error_code) = match found {
        Ok(assigned) => (Some(assigned.endpoint), None),
        Err(Unassigned::Nowhere { .. }) => {
            let code = Code::NO_ROUTE.0;
            let message = format!("{why}; a player would get ERROR {code}");
            return Err(ApiError::no_route(message));
        }
        Err(Unassigned::Unknown) => (None, Some(Code::UNAVAILABLE.0)),
    };
    if endpoint.is_some_and(|to| withdrawn.state(to) != OperatorState::Ready) {
        why.push_str("; it is withdrawn by an operator");
        error_code = Some(Code::BAD_GATEWAY.0);
    }
    Ok(Resolution {
        service: service.to_owned(),
        strategy: explained.service.strategy(),
        endpoint: endpoint.map(|endpoint| endpoint.to_string()),
        health: endpoint.and_then(|endpoint| its.get(&endpoint).copied()),
        why,
        error_code,
        require_bind: explained.service.require_bind,
        candidates: candidates(&explained, &its, withdrawn),
    })
}

/// Returns the endpoints that new sessions avoid: those that cannot be reached, are suspect, leave or are withdrawn, and of the others
/// those whose breakers are open, until they are `most` together.
fn avoided<'a>(
    rows: impl Iterator<Item = &'a BackendSnapshot> + Clone,
    most: usize,
) -> BTreeSet<SocketAddr> {
    let gone = |row: &&BackendSnapshot| match row.health {
        BackendHealth::Suspect | BackendHealth::Down | BackendHealth::Leaving => true,
        BackendHealth::Up | BackendHealth::Unknown => row.operator_state != OperatorState::Ready,
    };
    let gone_rows = rows.clone().filter(gone);
    let mut avoided: BTreeSet<_> = gone_rows.filter_map(|row| row.address).collect();
    let ejected = rows.filter(|row| !gone(row) && row.breaker == Breaker::Open);
    let room = most.saturating_sub(avoided.len());
    avoided.extend(ejected.filter_map(|row| row.address).take(room));
    avoided
}

/// Lists the endpoints that the strategy chooses among, and names that do not resolve.
fn candidates(
    explained: &Explanation,
    its: &BTreeMap<SocketAddr, BackendHealth>,
    withdrawn: &Withdrawn,
) -> Vec<Candidate> {
    let unresolved = explained.unresolved.iter();
    let unresolved = unresolved.map(|(name, weight)| Candidate {
        endpoint: name.to_string(),
        weight: *weight,
        eligible: false,
        health: Some(BackendHealth::Down),
        operator_state: OperatorState::Ready,
    });
    let resolved = explained.candidates.iter().map(|candidate| Candidate {
        endpoint: candidate.endpoint.to_string(),
        weight: candidate.weight,
        eligible: candidate.eligible,
        health: its.get(&candidate.endpoint).copied(),
        operator_state: withdrawn.state(candidate.endpoint),
    });
    resolved.chain(unresolved).collect()
}

/// Returns the error with the code that a player would get.
fn refused(no_route: NoRoute) -> ApiError {
    let code = Code::NO_ROUTE.0;
    ApiError::no_route(format!("{no_route}; a player would get ERROR {code}"))
}
