//! What the actors of one worker share: configuration, counters, and the addresses that every one
//! of them may need. Immutable but for its atomics.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::actors::backend_pool::LinkLimits;
use crate::actors::peers::Peering;
use crate::actors::router::Router;
use crate::actors::session_registry::SessionRegistry;
use crate::admission::Gate;
use crate::config::Config;
use crate::metrics::WorkerMetrics;
use crate::net::tls::Tls;
use crate::routing::RouteTable;
use crate::session::id::Homes;
use crate::session::token::Keyring;
use crate::supervision::{ActorId, ActorRegistry, Budget, Kind, Seat};

/// The view that one worker's actors have of the process.
#[derive(Debug)]
pub struct Scope {
    /// This worker's index, from 0.
    pub worker: usize,
    /// The effective configuration.
    pub config: Arc<Config>,
    /// This worker's counters.
    pub metrics: Arc<WorkerMetrics>,
    /// Whether newcomers are let in.
    pub gate: Arc<Gate>,
    /// What TLS goes by, for players and to backends.
    pub tls: Arc<Tls>,
    /// Which worker is at home with a session id.
    pub homes: Homes,
    /// Every worker's registry shard, by worker index.
    pub registries: Vec<Seat<SessionRegistry>>,
    /// This worker's router.
    pub router: Seat<Router>,
    /// Who holds the links of services whose number of links is limited.
    pub book: Arc<LinkLimits>,
    /// Every actor but the clients.
    pub actors: Arc<ActorRegistry>,
    /// How many deaths of supervised actors the process bears.
    pub budget: Arc<Budget>,
    /// The other gateways of the deployment.
    pub peers: Peering,
    /// The keys of resume tokens.
    pub tokens: Arc<ArcSwap<Keyring>>,
    /// The table in force, for a router that takes the seat of one that has died.
    pub routes: Arc<RoutesInForce>,
}

/// The route table in force; none before the first good one.
pub type RoutesInForce = ArcSwapOption<RouteTable>;

impl Scope {
    /// The registry shard that is the authority for this id.
    pub fn home(&self, session_id: u64) -> &Seat<SessionRegistry> {
        &self.registries[self.homes.home(session_id)]
    }

    /// The id of an actor of which each worker has one.
    pub fn id(&self, kind: Kind) -> ActorId {
        ActorId {
            kind,
            number: self.worker as u64,
        }
    }
}
