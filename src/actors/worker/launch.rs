//! How a worker and the actors that it cannot do without start, and who follows whom.

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;
use tokio::net::TcpListener;

use super::{Estate, Worker, WorkerScope};
use crate::actors::router::Router;
use crate::actors::session_registry::SessionRegistry;
use crate::scope::Scope;
use crate::supervision::{self, Kind, Registration, Rescued, Seat};

/// Starts the worker of `scope`, its registry and its router on this thread, leaves first. It
/// accepts on `listener` from then on.
///
/// # Errors
/// The listener cannot be used on this thread.
pub fn launch(scope: Arc<Scope>, seat: Seat<Worker>, listener: StdListener) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let own = |kind, parent| {
        let id = scope.id(kind);
        scope
            .actors
            .register(id, String::new(), Some(scope.worker), Some(parent))
    };
    let worker = own(Kind::Worker, supervision::ROOT);
    let registry = own(Kind::SessionRegistry, worker.id());
    let router = own(Kind::Router, worker.id());
    let budget = || Arc::clone(&scope.budget);

    let rescued = Rescued::default();
    let place = scope.registries[scope.worker].clone();
    supervision::supervise(place, registry, budget(), move |registration| {
        SessionRegistry::new(registration, rescued.clone())
    });

    let (rescued, routing) = (Rescued::default(), Arc::clone(&scope));
    supervision::supervise(
        scope.router.clone(),
        router,
        budget(),
        move |registration| Router::new(registration, Arc::clone(&routing), rescued.clone()),
    );

    let rescued = Rescued::default();
    rescued.begin_with(Estate {
        listener: Some(listener),
        clients: Slab::new(),
        cutting_off: false,
    });
    let budget = budget();
    let shared = Rc::new(WorkerScope::new(scope, seat.clone()));
    supervision::supervise(seat, worker, budget, move |registration| {
        Worker::new(registration, Rc::clone(&shared), rescued.clone())
    });
    Ok(())
}

impl Worker {
    fn new(
        registration: Registration,
        shared: Rc<WorkerScope>,
        rescued: Rescued<Estate>,
    ) -> Worker {
        let estate = rescued.take().unwrap_or(Estate {
            listener: None,
            clients: Slab::new(),
            cutting_off: false,
        });
        Worker {
            registration,
            shared,
            listener: estate.listener,
            paused_until: None,
            clients: estate.clients,
            cutting_off: estate.cutting_off,
            asking: None,
            rescued,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.rescued.leave(|| Estate {
            listener: self.listener.take(),
            clients: std::mem::take(&mut self.clients),
            cutting_off: self.cutting_off,
        });
    }
}
