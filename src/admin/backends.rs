//! The backends and their state.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::errors::{ApiError, ErrorBody};
use super::params::{Nothing, Query};
use super::{Desk, in_time};
use crate::inspection::BackendSnapshot;

/// The backends.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Backends {
    /// Every endpoint of every service that rules name or that has links, and names that do not resolve.
    backends: Vec<BackendSnapshot>,
}

/// Every endpoint with its links, sessions, health, round trip and traffic.
#[utoipa::path(get, path = "/api/v1/backends", tag = "backends", responses(
    (status = 200, description = "The endpoints.", body = Backends),
    (status = 503, description = "The workers do not answer in time.", body = ErrorBody),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<Backends>, ApiError> {
    let backends = in_time(desk.inspector.backends()).await?;
    Ok(web::Json(Backends { backends }))
}
