//! The backends and their state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::errors::{ApiError, ErrorBody};
use super::params::{Nothing, Query};
use super::{Desk, in_time};
use crate::inspection::{BackendSnapshot, Inspector};

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

/// Rows for `/metrics`, which everybody may ask for as often as they like: workers are asked once for all who ask
/// within [`FRESH`].
#[derive(Default)]
pub(super) struct RecentRows(Mutex<Option<(Instant, Arc<[BackendSnapshot]>)>>);

/// Age up to which rows are shown again.
const FRESH: Duration = Duration::from_secs(1);

impl RecentRows {
    /// Returns rows that are at most [`FRESH`] old; none where the workers do not answer.
    pub(super) async fn get(&self, inspector: &Inspector) -> Arc<[BackendSnapshot]> {
        // Whoever comes while they are asked waits for the same answer.
        let mut kept = self.0.lock().await;
        if let Some((at, rows)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return Arc::clone(rows);
        }
        let rows = in_time(inspector.backends()).await.unwrap_or_default();
        let rows: Arc<[BackendSnapshot]> = rows.into();
        *kept = Some((Instant::now(), Arc::clone(&rows)));
        rows
    }
}
