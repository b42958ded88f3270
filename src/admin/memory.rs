//! The budget of memory and its parts.

use std::collections::BTreeMap;

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use super::errors::ApiError;
use super::family::{
    Family,
    Source::{Counter, Memory as Budget, MemoryParts},
    family,
};
use super::params::{Nothing, Query};
use crate::labels::Label;
use crate::memory::MemorySnapshot;

/// Metrics of the budget.
pub(super) const FAMILIES: [Family; 8] = [
    family(
        "memory_limit_bytes",
        "Bytes that all queues and buffers may have together",
        Budget(|m| m.limit),
    ),
    family(
        "memory_held_bytes",
        "Bytes of queues and buffers, by part",
        MemoryParts,
    ),
    family(
        "memory_held_peak_bytes",
        "The most bytes of queues and buffers at a time since the start",
        Budget(|m| m.most),
    ),
    family(
        "memory_pressure",
        "What is done about the memory that is held; 0: nothing, 1: rings, 2: reading, 3: sessions, 4: queues",
        Budget(|m| m.pressure as u64),
    ),
    family(
        "memory_squeezed_rings",
        "Replay rings that were cut down because memory was short",
        Counter(|m| m.rings_squeezed.get()),
    ),
    family(
        "memory_paused_clients",
        "Times that a client was not read because memory was short",
        Counter(|m| m.held_back.get()),
    ),
    family(
        "memory_ended_queues",
        "Queues that were ended because memory was short: connections of clients, HTTP requests, links",
        Counter(|m| m.evicted.get()),
    ),
    family(
        "memory_ended_sessions",
        "Suspended sessions that were ended because memory was short",
        Counter(|m| m.given_up.get()),
    ),
];

/// What is held of `limits.memory`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Memory {
    /// `limits.memory`, or what takes its place, in bytes.
    limit_bytes: u64,
    /// Bytes held by all parts.
    held_bytes: u64,
    /// The most bytes that were held at a time since the start, with up to 64 KiB a thread that were set aside for it.
    peak_bytes: u64,
    /// What the gateway does about it: `none`, `rings` (replay rings shrink), `reading` (the players who hold the
    /// most are not read, too), `sessions` (new sessions are refused, too), `queues` (the largest queues end, too).
    #[schema(example = "none")]
    pressure: &'static str,
    /// Bytes held by each part.
    parts: BTreeMap<&'static str, u64>,
}

impl From<MemorySnapshot> for Memory {
    fn from(snapshot: MemorySnapshot) -> Memory {
        Memory {
            limit_bytes: snapshot.limit,
            held_bytes: snapshot.held,
            peak_bytes: snapshot.most,
            pressure: snapshot.pressure.label(),
            parts: snapshot.parts.into_iter().collect(),
        }
    }
}

/// The budget of memory and its parts.
#[utoipa::path(get, path = "/api/v1/memory", tag = "gateway", responses(
    (status = 200, description = "As of now, exact to 64 KiB a thread.", body = Memory),
))]
pub(super) async fn budget(
    desk: web::Data<Desk>,
    _: Query<Nothing>,
) -> Result<web::Json<Memory>, ApiError> {
    Ok(web::Json(desk.memory.snapshot().into()))
}
