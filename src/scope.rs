//! Environment of the actors of one worker: configuration, counters and process-wide state. It knows
//! no actor; what actors need of each other they are given when they are started.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::admission::{AccessLog, Doors, Gate};
use crate::config::Config;
use crate::history::RefusalLog;
use crate::memory::Meter;
use crate::metrics::{ServiceBook, WorkerMetrics};
use crate::net::listen::SpareFiles;
use crate::net::tls::Tls;
use crate::routing::RouteTable;
use crate::session::token::Keyring;
use crate::supervision::{ActorId, ActorRegistry, Budget, Kind};
use crate::telemetry::Spans;
use crate::traces::Traces;

/// Environment of one worker's actors.
#[derive(Debug)]
pub struct Scope {
    /// This worker's index, from 0.
    pub worker: usize,
    /// The effective configuration.
    pub config: Arc<Config>,
    /// This worker's counters.
    pub metrics: Arc<WorkerMetrics>,
    /// What links count by service.
    pub services: Arc<ServiceBook>,
    /// Counts the memory that this thread holds.
    pub meter: Arc<Meter>,
    /// Admits or refuses new connections.
    pub gate: Arc<Gate>,
    /// The limits that a connection meets first.
    pub doors: Arc<Doors>,
    /// Bounds the lines about ends of sessions.
    pub access: Arc<AccessLog>,
    /// Sums refusals up for the log.
    pub refusals: Arc<RefusalLog>,
    /// What operators have recorded of some sessions.
    pub traces: Arc<Traces>,
    /// Spans of sampled sessions, on their way to a collector.
    pub spans: Arc<Spans>,
    /// Lets connections be turned away when no file is left.
    pub spare: Arc<SpareFiles>,
    /// The TLS configuration in force, for players and to backends.
    pub tls: Arc<Tls>,
    /// Every actor but the clients.
    pub actors: Arc<ActorRegistry>,
    /// Counts panics of supervised actors; too many end the process.
    pub budget: Arc<Budget>,
    /// The keys of resume tokens.
    pub tokens: Arc<ArcSwap<Keyring>>,
    /// The table in force, for a router that takes the seat of one that has died.
    pub routes: Arc<RoutesInForce>,
}

/// The route table in force; none before the first good one.
pub type RoutesInForce = ArcSwapOption<RouteTable>;

impl Scope {
    /// The id of an actor of which each worker has one.
    pub fn id(&self, kind: Kind) -> ActorId {
        ActorId {
            kind,
            number: self.worker as u64,
        }
    }
}
