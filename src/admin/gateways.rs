//! The gateways of the deployment, side by side.

use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Desk;
use super::access::Caller;
use super::answering::is_success;
use super::deployment::{Ask, Reply};
use super::errors::{ApiError, ErrorBody};
use super::params::{Nothing, Query};
use super::probes::info_of;

/// The path of this.
pub(super) const GATEWAYS: &str = "/api/v1/gateways";
/// What each gateway is asked for.
pub(super) const INFO: &str = "/api/v1/info";

/// The gateways of the deployment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gateways {
    /// Whether `peer.gateways` says where others are; if not, this one is the only entry.
    configured: bool,
    /// This gateway, then the others.
    gateways: Vec<GatewayRow>,
    /// Names of `peer.gateways` that cannot be looked up, and why; what they led to before is asked.
    unresolved: Vec<String>,
    /// Addresses that were not asked because there are too many.
    left_out: usize,
}

/// One gateway.
#[derive(Debug, Serialize, ToSchema)]
struct GatewayRow {
    /// Its id; where it has not answered, that of the last answer from its address, or `null`.
    gateway_id: Option<String>,
    /// Where it was asked; `null`: this gateway.
    #[schema(example = "10.0.0.7:7001")]
    address: Option<String>,
    /// Whether it has answered.
    answered: bool,
    /// Why it has not.
    #[schema(example = "it has not answered in time")]
    why_not: Option<String>,
    /// What it has answered.
    info: Option<GatewayInfo>,
}

/// A gateway's own word about itself, which may be of another version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct GatewayInfo {
    version: String,
    /// Phase of its life.
    #[schema(example = "serving")]
    state: String,
    /// Seconds since 1970.
    start_time_seconds: u64,
    uptime_seconds: u64,
    /// Threads that carry traffic.
    workers: usize,
    /// Sessions now.
    sessions: u64,
    /// Connections now.
    connections: u64,
    /// The drain that is under way, or over and not undone.
    #[schema(value_type = Option<crate::actors::gateway::DrainSnapshot>)]
    drain: Option<serde_json::Value>,
}

/// All gateways of the deployment: state, version, age, sessions, drain, or why there is no answer.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateway", responses(
    (status = 200, description = "The gateways, also where some have not answered.", body = Gateways),
    (status = 503, description = "This gateway itself does not answer in time.", body = ErrorBody),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    caller: Caller,
    _: Query<Nothing>,
) -> Result<web::Json<Gateways>, ApiError> {
    let info = info_of(&desk).await?;
    let info = serde_json::to_value(info).and_then(serde_json::from_value);
    let info = info.map_err(|_| ApiError::internal("cannot write the answer"))?;
    let own = GatewayRow {
        gateway_id: Some(desk.config.gateway.id.clone()),
        address: None,
        answered: true,
        why_not: None,
        info: Some(info),
    };
    let mut answer = Gateways {
        configured: desk.deployment.is_on(),
        gateways: vec![own],
        unresolved: Vec::new(),
        left_out: 0,
    };
    if answer.configured && !caller.is_through_a_gateway() {
        let round = desk.deployment.ask_others(Ask::get(&caller, INFO)).await;
        answer.gateways.extend(round.replies.iter().map(row));
        (answer.unresolved, answer.left_out) = (round.unresolved.clone(), round.left_out);
    }
    Ok(web::Json(answer))
}

fn row(reply: &Reply) -> GatewayRow {
    let (info, why_not) = match &reply.outcome {
        Err(why) => (None, Some(why.to_string())),
        Ok(answered) if is_success(answered.answer.status) => {
            match serde_json::from_slice(&answered.answer.body) {
                Ok(info) => (Some(info), None),
                Err(_) => (None, Some("its answer is not understood".to_owned())),
            }
        }
        Ok(answered) => {
            let status = answered.answer.status;
            (None, Some(format!("it has answered with status {status}")))
        }
    };
    GatewayRow {
        gateway_id: reply.gateway.clone(),
        address: Some(reply.address.to_string()),
        answered: info.is_some(),
        why_not,
        info,
    }
}
