//! Recent refusals.

use actix_web::web;
use serde::Deserialize;
use utoipa::IntoParams;

use super::errors::{ApiError, ErrorBody};
use super::ids::ServiceName;
use super::params::{Query, limit};
use super::{Desk, in_time};
use crate::inspection::{RefusalFilter, RefusalPage};

/// Selection of refusals; every filter must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The most groups.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Refusals with this code or HTTP status.
    #[param(minimum = 0, maximum = 65535)]
    code: Option<u16>,
    /// Refusals of this service.
    service: Option<ServiceName>,
    /// Refusals in this realm; 0: in none.
    #[param(minimum = 0, maximum = 4_294_967_295_u32)]
    realm_id: Option<u32>,
}

/// What players were refused of late, grouped, the newest first.
#[utoipa::path(get, path = "/api/v1/refusals", tag = "sessions", params(Which), responses(
    (status = 200, description = "The groups.", body = RefusalPage),
    (status = 503, description = "The workers do not answer in time.", body = ErrorBody),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    Query(which): Query<Which>,
) -> Result<web::Json<RefusalPage>, ApiError> {
    let limit = limit(which.limit)?;
    let filter = RefusalFilter {
        code: which.code,
        service: which.service.map(|service| service.0),
        realm_id: which.realm_id,
    };
    let page = in_time(desk.inspector.refusals(&filter, limit)).await?;
    Ok(web::Json(page))
}
