//! Actors as the registry sees them: plain values, as the admin API shows them.

use serde::Serialize;
use utoipa::ToSchema;

use super::Kind;

/// Why an actor died last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    /// What the panic said, and where.
    pub message: String,
    /// Seconds since 1970.
    pub at_seconds: u64,
}

/// All actors of one kind, those that are gone included.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KindSnapshot {
    /// Which kind.
    pub kind: Kind,
    /// How many there are now.
    pub live: u64,
    /// How many were ever started, restarts included.
    pub started: u64,
    /// How many took the place of one that had panicked.
    pub restarts: u64,
    /// How many panicked.
    pub panics: u64,
    /// Messages that they have handled.
    pub handled: u64,
    /// Messages that were sent to them and are not handled yet.
    pub waiting: u64,
    /// The most that waited for a single one at a time.
    pub waiting_highest: u64,
    /// The newest panic.
    pub last_error: Option<LastError>,
}

impl KindSnapshot {
    /// Before any was started.
    pub fn none(kind: Kind) -> KindSnapshot {
        KindSnapshot {
            kind,
            live: 0,
            started: 0,
            restarts: 0,
            panics: 0,
            handled: 0,
            waiting: 0,
            waiting_highest: 0,
            last_error: None,
        }
    }
}

/// Where one actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// It takes messages.
    Running,
    /// It has panicked and will be rebuilt shortly.
    Restarting,
}

/// One actor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorSnapshot {
    /// Unique in the process and stable over restarts, for example `router-0` or `link-17`.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// What it works for, for example `game 10.0.0.7:9300`; empty where the id says all.
    pub name: String,
    /// On which worker's thread it lives; `null`: the gateway's own.
    pub worker: Option<usize>,
    /// The id of the actor that supervises it; `null` for the root.
    pub parent: Option<String>,
    /// Where it is in its life.
    pub state: ActorState,
    /// Seconds since it was started the last time.
    pub uptime_seconds: u64,
    /// How often it was started again after a panic.
    pub restarts: u64,
    /// How often it panicked.
    pub panics: u64,
    /// Messages that it has handled, before restarts included.
    pub handled: u64,
    /// Messages that were sent to it and are not handled yet.
    pub waiting: u64,
    /// The most that waited at a time.
    pub waiting_highest: u64,
    /// The newest panic.
    pub last_error: Option<LastError>,
    /// Its own account of itself; `null` where it was not asked or did not answer in time.
    pub detail: Option<serde_json::Value>,
    /// `false`: it was asked for its account and did not answer in time.
    pub responding: bool,
}
