//! Pools as the admin API shows them.

use std::net::SocketAddr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::link::{EvacuationSnapshot, LinkSnapshot};
use crate::labels::labels;
use crate::metrics::RecentTimes;
use crate::routing::health::OperatorState;

/// Whether an endpoint can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendHealth {
    /// Not tried since the last rules, or the last attempt is too long ago.
    Unknown,
    /// At least one link is ready.
    Up,
    /// It is linked, but a PONG is overdue and nothing else comes; new sessions avoid it.
    Suspect,
    /// It cannot be reached.
    Down,
    /// It has said that it takes no new sessions.
    Leaving,
}

/// Whether an endpoint fails again and again, so that new sessions avoid it although it can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// It does not.
    Closed,
    /// It did, and the next failure keeps them away for longer.
    HalfOpen,
    /// They go elsewhere, where they can.
    Open,
}

labels!(BackendHealth {
    Unknown => "unknown",
    Up => "up",
    Suspect => "suspect",
    Down => "down",
    Leaving => "leaving",
});

labels!(OperatorState {
    Ready => "ready",
    Drain => "drain",
    Maintenance => "maintenance",
});

labels!(Breaker {
    Closed => "closed",
    HalfOpen => "half_open",
    Open => "open",
});

/// One worker's links to one endpoint of one service: a pool's account of itself.
#[derive(Debug, Clone, Serialize)]
pub struct PoolSnapshot {
    /// The service_type.
    pub service: String,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Whether it can be reached.
    pub health: BackendHealth,
    /// Whether new sessions are sent to it.
    pub breaker: Breaker,
    /// Why its newest link that has ended in disorder did; none once one is ready.
    pub last_error: Option<String>,
    /// No rule names it any more; it goes when its last session has left.
    pub retired: bool,
    /// Sessions that wait for a link.
    pub waiting_sessions: u64,
    /// Final CLOSEs that wait for a link of any worker.
    pub owed_closes: u64,
    /// How far its sessions have been moved to others, over all workers.
    pub evacuation: Option<EvacuationSnapshot>,
    /// What connecting has taken lately.
    #[serde(skip)]
    pub connect: RecentTimes,
    /// What first answers have taken lately.
    #[serde(skip)]
    pub first_answer: RecentTimes,
    /// What answers to sampled frames of players have taken lately.
    #[serde(skip)]
    pub answer: RecentTimes,
    /// The same over a longer time.
    #[serde(skip)]
    pub usual_answer: RecentTimes,
    /// Its links.
    pub links: Vec<LinkSnapshot>,
}
