//! The state that operators put a backend in: ready, drain or maintenance.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::{AUDIT, Caller};
use super::errors::{ApiError, ErrorBody};
use super::ids::{EndpointText, TimeText};
use super::params::{Body, Nothing, Query, path_part};
use super::wishes::{self, given, text};
use super::{Desk, in_time};
use crate::actors::backend_pool::OrderRefused;
use crate::actors::link::EvacuationSnapshot;
use crate::admission::unix_seconds;
use crate::config::units::show_duration;
use crate::inspection::{BackendSnapshot, OrderSnapshot};
use crate::routing::EndpointName;
use crate::routing::health::{OperatorState, Order};

/// The state to put a backend in. Read as any values, so that what is wrong can be said by name.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StateWish {
    /// `drain`: it takes no new sessions. `maintenance`: those that it has end too. `ready`: it takes sessions again.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = OperatorState, required = true)]
    state: Option<Value>,
    /// With `drain` or `maintenance`: the sessions that it has are moved to other backends, with their state, some at a
    /// time.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    r#move: Option<Value>,
    /// The time after which it is ready again; without it, when it is told so.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = TimeText)]
    r#for: Option<Value>,
    /// For operators, in lists and the log.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", example = "upgrade")]
    reason: Option<Value>,
}

/// A wish without mistakes.
#[derive(Debug)]
pub(super) struct Wanted {
    state: OperatorState,
    moves: bool,
    time: Option<Duration>,
    reason: String,
}

/// A backend as operators have it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BackendState {
    /// Its address or name, as rules have it.
    #[schema(example = "10.0.0.7:9300")]
    address: String,
    /// Its state.
    state: OperatorState,
    /// The order for that; `null`: there is none, it is ready.
    order: Option<OrderSnapshot>,
    /// The state before.
    before: OperatorState,
    /// Its addresses, several where a name has them.
    #[schema(value_type = Vec<String>)]
    addresses: Vec<SocketAddr>,
    /// Sessions that are bound to it now, of all services.
    sessions: u64,
    /// Sessions that wait for a link to it.
    waiting_sessions: u64,
    /// How far they have been moved to other backends, of all services; `null`: nobody has wanted that so far.
    evacuation: Option<EvacuationSnapshot>,
}

impl StateWish {
    /// Returns what is wanted.
    ///
    /// # Errors
    /// The first mistake.
    fn read(&self) -> Result<Wanted, ApiError> {
        let state = match text("state", &self.state, "drain")? {
            Some("ready") => OperatorState::Ready,
            Some("drain") => OperatorState::Drain,
            Some("maintenance") => OperatorState::Maintenance,
            Some(other) => {
                let message = format!("state: `{other}` is none of ready, drain, maintenance");
                return Err(ApiError::bad_request(message));
            }
            None => {
                let message = "state: missing, expected ready, drain or maintenance";
                return Err(ApiError::bad_request(message));
            }
        };
        let moves = match &self.r#move {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(other) => {
                let message = format!("move: `{other}` is not true or false");
                return Err(ApiError::bad_request(message));
            }
        };
        if moves && state == OperatorState::Ready {
            let message =
                "move: only with drain or maintenance, a backend that is ready keeps its sessions";
            return Err(ApiError::bad_request(message));
        }
        Ok(Wanted {
            state,
            moves,
            time: self.time(state)?,
            reason: wishes::reason(&self.reason, "upgrade")?,
        })
    }

    fn time(&self, state: OperatorState) -> Result<Option<Duration>, ApiError> {
        let time = wishes::time(&self.r#for, "a state that lasts until it is changed")?;
        if time.is_some() && state == OperatorState::Ready {
            let message = "for: only with drain or maintenance, which are followed by ready";
            return Err(ApiError::bad_request(message));
        }
        Ok(time)
    }
}

/// Puts a backend in a state, on all workers before this is answered, on this gateway alone, for all services.
///
/// It is remembered when rules change, when the backend leaves them and returns, and forgotten with the process. An
/// order for a name holds for each address that the name has at the time. In `maintenance` the backend's sessions end
/// some at a time: it gets its final CLOSE, the player ERROR 502 for that service, and the player's next DATA goes to
/// another backend.
///
/// With `move` its sessions go on at other backends, with their state, where the rules lead without this one: some at a
/// time, as `evacuation` of `GET /api/v1/backends` shows. Those that cannot be moved stay, and are counted there by the
/// reason; in `maintenance` they end.
#[utoipa::path(put, path = "/api/v1/backends/{address}/state", tag = "backends", request_body = StateWish,
    params(("address" = EndpointText, Path, description = "The backend, as rules name it, or one of its addresses.")),
    responses(
        (status = 200, description = "It is in force.", body = BackendState),
        (status = 404, description = "No rule, realm or link has this backend.", body = ErrorBody),
        (status = 409, description = "As many backends as possible have a state, or the name of this address has one.",
            body = ErrorBody),
        (status = 503, description = "The workers do not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn change(
    desk: web::Data<Desk>,
    request: HttpRequest,
    caller: Caller,
    _: Query<Nothing>,
    Body(wish): Body<StateWish>,
) -> Result<web::Json<BackendState>, ApiError> {
    let name = read_address(&path_part(&request, "address")?)?;
    let missing =
        || ApiError::bad_request("the body is missing, for example {\"state\": \"drain\"}");
    let wanted = wish.ok_or_else(missing)?.read()?;
    set(&desk, &name, wanted, caller.to_string())
        .await
        .map(web::Json)
}

/// The state that operators have put a backend in, and how many sessions are left there.
#[utoipa::path(get, path = "/api/v1/backends/{address}/state", tag = "backends",
    params(("address" = EndpointText, Path, description = "The backend, as rules name it, or one of its addresses.")),
    responses(
        (status = 200, description = "As it is.", body = BackendState),
        (status = 404, description = "No rule, realm or link has this backend.", body = ErrorBody),
        (status = 503, description = "The workers do not answer in time.", body = ErrorBody),
    )
)]
pub(super) async fn current(
    desk: web::Data<Desk>,
    request: HttpRequest,
    _: Query<Nothing>,
) -> Result<web::Json<BackendState>, ApiError> {
    let name = read_address(&path_part(&request, "address")?)?;
    let (rows, addresses) = known(&desk, &name).await?;
    let state = shown(&desk, &name, addresses, &rows, None);
    Ok(web::Json(state))
}

/// Reads the address or name of a backend.
///
/// # Errors
/// It is none.
fn read_address(text: &str) -> Result<EndpointName, ApiError> {
    text.parse().map_err(|why| {
        let message = format!("address: `{text}` is not a backend's: {why}");
        ApiError::bad_request(message)
    })
}

/// Puts a backend in a state.
///
/// # Errors
/// There is no such backend, or the state cannot be remembered.
pub(super) async fn set(
    desk: &Desk,
    name: &EndpointName,
    wanted: Wanted,
    by: String,
) -> Result<BackendState, ApiError> {
    let (rows, before) = known(desk, name).await?;
    let before = shown(desk, name, before, &rows, None).state;
    let Wanted {
        state,
        moves,
        time,
        reason,
    } = wanted;
    let order = Order {
        state,
        moves,
        since: unix_seconds(),
        ends: time.map(|time| Instant::now() + time),
        by: by.clone(),
        reason: reason.clone(),
    };
    let given = desk.inspector.operator.give(name, order);
    let given = given.map_err(|refused: OrderRefused| ApiError::conflict(refused.to_string()))?;
    let answer = shown(desk, name, given.addresses, &rows, Some(before));
    let r#for = time.map_or_else(String::new, show_duration);
    let (was, now, sessions) = (before.name(), state.name(), answer.sessions);
    tracing::info!(
        target: AUDIT, backend = %name, before = was, state = now, moves, r#for, by, reason, sessions,
        "the state of a backend is changed over the admin API"
    );
    Ok(answer)
}

/// Returns the rows of a backend, and its addresses.
///
/// # Errors
/// There is none, or the workers do not answer.
async fn known(
    desk: &Desk,
    name: &EndpointName,
) -> Result<(Vec<BackendSnapshot>, Vec<SocketAddr>), ApiError> {
    let operator = &desk.inspector.operator;
    let literal = name.literal();
    let addresses: Vec<SocketAddr> = match literal {
        Some(address) => vec![address],
        None => {
            let table = desk.inspector.routes.load_full();
            table.map_or_else(Vec::new, |table| table.addresses_of(name).to_vec())
        }
    };
    let mut rows = in_time(desk.inspector.backends()).await?;
    rows.retain(|row| {
        row.address
            .is_some_and(|address| addresses.contains(&address))
    });
    if rows.is_empty() && !operator.knows(name) {
        let message = format!("there is no backend {name}");
        return Err(ApiError::not_found(message));
    }
    Ok((rows, addresses))
}

fn shown(
    desk: &Desk,
    name: &EndpointName,
    addresses: Vec<SocketAddr>,
    rows: &[BackendSnapshot],
    before: Option<OperatorState>,
) -> BackendState {
    let operator = &desk.inspector.operator;
    let own = operator.order(name).map(|order| (name.clone(), order));
    let withdrawn = operator.withdrawn();
    // An address may be withdrawn by its name.
    let by_name = || match name.literal() {
        Some(address) => withdrawn.order(address).cloned(),
        None => None,
    };
    let order = own.or_else(by_name);
    let state = order
        .as_ref()
        .map_or(OperatorState::Ready, |(_, order)| order.state);
    BackendState {
        address: name.to_string(),
        state,
        order: order.map(|(name, order)| OrderSnapshot::new(&name, &order)),
        before: before.unwrap_or(state),
        addresses,
        sessions: rows.iter().map(|row| row.sessions).sum(),
        waiting_sessions: rows.iter().map(|row| row.waiting_sessions).sum(),
        evacuation: evacuation(rows),
    }
}

/// Returns how far the sessions of all its services have been moved.
fn evacuation(rows: &[BackendSnapshot]) -> Option<EvacuationSnapshot> {
    let all = rows.iter().filter_map(|row| row.evacuation);
    all.reduce(|mut sum, row| {
        sum.add(&row);
        sum
    })
}
