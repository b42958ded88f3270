//! How a worker and the actors that it cannot do without start, and who follows whom.

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;
use tokio::net::TcpListener;

use super::{Estate, Worker, WorkerScope};
use crate::actors::life::{self, Legacy, Seat, Vitals};
use crate::actors::router::Router;
use crate::actors::scope::Scope;
use crate::actors::session_registry::SessionRegistry;
use crate::actors::snapshots::Kind;

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
            .roster
            .enter(id, String::new(), Some(scope.worker), Some(parent))
    };
    let worker = own(Kind::Worker, life::ROOT);
    let registry = own(Kind::SessionRegistry, worker.id());
    let router = own(Kind::Router, worker.id());
    let budget = || Arc::clone(&scope.budget);

    let legacy = Legacy::default();
    let place = scope.registries[scope.worker].clone();
    life::supervise(place, registry, budget(), move |vitals| {
        SessionRegistry::new(vitals, legacy.clone())
    });

    let (legacy, routing) = (Legacy::default(), Arc::clone(&scope));
    life::supervise(scope.router.clone(), router, budget(), move |vitals| {
        Router::new(vitals, Arc::clone(&routing), legacy.clone())
    });

    let legacy = Legacy::default();
    legacy.begin_with(Estate {
        listener: Some(listener),
        clients: Slab::new(),
        cutting_off: false,
    });
    let budget = budget();
    let shared = Rc::new(WorkerScope::new(scope, seat.clone()));
    life::supervise(seat, worker, budget, move |vitals| {
        Worker::new(vitals, Rc::clone(&shared), legacy.clone())
    });
    Ok(())
}

impl Worker {
    fn new(vitals: Vitals, shared: Rc<WorkerScope>, legacy: Legacy<Estate>) -> Worker {
        let estate = legacy.take().unwrap_or(Estate {
            listener: None,
            clients: Slab::new(),
            cutting_off: false,
        });
        Worker {
            vitals,
            shared,
            listener: estate.listener,
            paused_until: None,
            clients: estate.clients,
            cutting_off: estate.cutting_off,
            asking: None,
            legacy,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.legacy.leave(|| Estate {
            listener: self.listener.take(),
            clients: std::mem::take(&mut self.clients),
            cutting_off: self.cutting_off,
        });
    }
}
