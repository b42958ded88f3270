//! Start of a worker and the actors that it cannot do without, leaves first.

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::accepting::Failures;
use super::{State, Worker, WorkerScope};
use crate::actors::assignment_reader::Assignments;
use crate::actors::backend_pool::{self, LinkLimits};
use crate::actors::peers::Peering;
use crate::actors::router::Router;
use crate::actors::session_registry::{SessionRegistry, Shards};
use crate::memory;
use crate::scope::Scope;
use crate::supervision::{self, Kind, Registration, RescueSlot, Rescued, Seat};

/// Parameters of a new worker.
#[expect(missing_docs, reason = "the names suffice")]
pub struct WorkerParams {
    pub scope: Arc<Scope>,
    pub listener: StdListener,
    pub seat: Seat<Worker>,
    /// This worker's.
    pub router: Seat<Router>,
    pub shards: Shards,
    pub limits: Arc<LinkLimits>,
    pub peers: Peering,
    pub assignments: Assignments,
}

/// Starts a worker, its session registry and its router on this thread, leaves first. It accepts
/// connections from then on.
///
/// # Errors
/// The listener cannot be used on this thread.
pub fn launch(params: WorkerParams) -> std::io::Result<()> {
    let WorkerParams {
        scope,
        listener,
        seat,
        router,
        shards,
        limits,
        peers,
        assignments,
    } = params;
    memory::count_on_this_thread(&scope.meter);
    let listener = TcpListener::from_std(listener)?;
    let own = |kind, parent| {
        let id = scope.id(kind);
        scope
            .actors
            .register(id, String::new(), Some(scope.worker), Some(parent))
    };
    let worker = own(Kind::Worker, supervision::ROOT);
    let registry = own(Kind::SessionRegistry, worker.id());
    let routing = own(Kind::Router, worker.id());
    let budget = || Arc::clone(&scope.budget);

    let slot = RescueSlot::default();
    let own_shard = shards.seats()[scope.worker].clone();
    supervision::supervise(own_shard, registry, budget(), move |registration| {
        SessionRegistry::new(registration, slot.take())
    });

    let (slot, routes) = (RescueSlot::default(), Arc::clone(&scope));
    let pools = backend_pool::Shared {
        shards: shards.clone(),
        limits: Arc::clone(&limits),
        router: router.recipient(),
    };
    supervision::supervise(router.clone(), routing, budget(), move |registration| {
        let (scope, pools) = (Arc::clone(&routes), pools.clone());
        Router::new(registration, scope, pools, slot.take())
    });

    let slot = RescueSlot::with(State {
        listener: Some(listener),
        ..State::default()
    });
    let budget = budget();
    let shared = Rc::new(WorkerScope::new(
        scope,
        shards,
        router,
        peers,
        limits,
        assignments,
        seat.recipient(),
    ));
    supervision::supervise(seat, worker, budget, move |registration| {
        Worker::new(registration, Rc::clone(&shared), slot.take())
    });
    Ok(())
}

impl Worker {
    fn new(registration: Registration, shared: Rc<WorkerScope>, state: Rescued<State>) -> Worker {
        Worker {
            registration,
            shared,
            state,
            paused_until: None,
            failures: Failures::default(),
            asking: None,
        }
    }
}
