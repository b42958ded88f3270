//! Links as the admin API shows them.

use serde::Serialize;
use utoipa::ToSchema;

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Its first PONG has not come.
    Connecting,
    /// It takes sessions.
    Ready,
    /// It takes sessions, but its backend's PONG is overdue and nothing else comes.
    Suspect,
    /// Its backend takes no new sessions.
    Leaving,
    /// It writes what it holds and ends.
    Quitting,
}

/// One link.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LinkSnapshot {
    /// The id of its actor.
    pub id: String,
    /// Which worker it lives on.
    pub worker: usize,
    /// Where it is in its life.
    pub state: LinkState,
    /// Sessions that it carries.
    pub sessions: u64,
    /// The time from a PING to its PONG, the newest that came, in microseconds; the age of the oldest
    /// unanswered PING where that is longer.
    pub rtt_us: Option<u64>,
    /// The age of the oldest unanswered PING, in microseconds; `null`: all are answered.
    pub ping_age_us: Option<u64>,
    /// How long DATA for a player has been awaited behind a sampled frame of theirs, in microseconds; `null`: it is not.
    pub awaited_us: Option<u64>,
    /// The same, where meanwhile nothing at all has come but PONGs, for eight frames of players at least.
    pub silent_us: Option<u64>,
    /// Bytes on their way to the backend that its socket has not taken.
    pub queued_bytes: u64,
    /// Frames from the backend.
    pub frames_in: u64,
    /// Frames to the backend.
    pub frames_out: u64,
    /// Bytes from the backend.
    pub bytes_in: u64,
    /// Bytes to the backend.
    pub bytes_out: u64,
}
