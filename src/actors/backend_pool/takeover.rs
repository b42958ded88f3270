//! How a pool starts, how the next one takes over when it has panicked, and what it says of itself.
//! Its links live on meanwhile, with their sessions and traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{BackendPool, Bind, EndpointHealth, Health, LinkLimits, MAILBOX, Slot, SlotState};
use crate::actors::backend_pool::{BackendHealth, Breaker, LeavingMark, PoolSnapshot};
use crate::actors::link::{Lease, LinkSnapshot, LinkState, OwedClose, Report};
use crate::actors::session_registry::Shards;
use crate::routing::ServiceRoute;
use crate::scope::Scope;
use crate::supervision::{
    self, ActorId, Inspectable, Kind, Registration, Rescued, Seat, SeatRecipient, mailbox,
};

/// What a pool leaves to the next one.
pub(super) struct Estate {
    links: Vec<Slot>,
    waiting: Vec<(Bind, oneshot::Sender<Lease>)>,
    owed_closes: Vec<OwedClose>,
    health: Health,
    last_error: Option<Box<str>>,
    leaving: Option<LeavingMark>,
    retired: bool,
}

impl Default for Estate {
    fn default() -> Estate {
        Estate {
            links: Vec::new(),
            waiting: Vec::new(),
            owed_closes: Vec::new(),
            health: Health::Unknown,
            last_error: None,
            leaving: None,
            retired: false,
        }
    }
}

/// What all pools of a worker share.
#[derive(Clone)]
pub struct Shared {
    /// For their links.
    pub shards: Shards,
    /// Shared with the pools of other workers.
    pub limits: Arc<LinkLimits>,
    /// Their router.
    pub router: SeatRecipient<EndpointHealth>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Starts a supervised pool on this thread. It has no links; the first session brings them.
pub fn start(
    scope: &Arc<Scope>,
    shared: &Shared,
    service: &Arc<ServiceRoute>,
    endpoint: SocketAddr,
) -> Seat<BackendPool> {
    let id = ActorId {
        kind: Kind::BackendPool,
        number: NEXT_ID.fetch_add(1, Ordering::Relaxed),
    };
    let name = format!("{} {endpoint}", service.name);
    let parent = scope.id(Kind::Router);
    let entry = scope
        .actors
        .register(id, name, Some(scope.worker), Some(parent));
    let (seat, rescued) = (Seat::default(), Rescued::default());
    let (scope, shared, service) = (Arc::clone(scope), shared.clone(), Arc::clone(service));
    let budget = Arc::clone(&scope.budget);
    let own = seat.clone();
    supervision::supervise(seat.clone(), entry, budget, move |registration| {
        BackendPool::new(
            registration,
            own.clone(),
            rescued.clone(),
            Arc::clone(&scope),
            shared.clone(),
            Arc::clone(&service),
            endpoint,
        )
    });
    seat
}

impl BackendPool {
    fn new(
        registration: Registration,
        seat: Seat<BackendPool>,
        rescued: Rescued<Estate>,
        scope: Arc<Scope>,
        shared: Shared,
        service: Arc<ServiceRoute>,
        endpoint: SocketAddr,
    ) -> BackendPool {
        let estate = rescued.take().unwrap_or_default();
        BackendPool {
            registration,
            seat,
            rescued,
            scope,
            shared,
            service,
            endpoint,
            links: estate.links,
            waiting: estate.waiting,
            owed_closes: estate.owed_closes,
            health: estate.health,
            last_error: estate.last_error,
            leaving: estate.leaving,
            retired: estate.retired,
        }
    }

    /// Catches up with what was said while nobody sat here. Nothing to do for a first pool.
    fn take_over(&mut self, ctx: &mut Context<Self>) {
        self.links.retain(|slot| slot.link.connected());
        for slot in &self.links {
            slot.link.do_send(Report);
        }
        let now = Instant::now();
        let linked = self.best().is_some() || self.connecting();
        match self.health {
            Health::Unknown if self.waiting.is_empty() => {}
            Health::Up | Health::Unknown if linked => {}
            Health::Up | Health::Unknown => {
                self.set_health(Health::Down {
                    failures: 0,
                    retry_at: now,
                });
                self.retry();
            }
            // The timer went with the one who set it.
            Health::Down { retry_at, .. } => {
                ctx.run_later(retry_at.saturating_duration_since(now), |pool, _| {
                    pool.retry();
                });
            }
            Health::Leaving => {}
        }
        self.announce();
        if self.retired {
            self.quit_unused(ctx);
        }
    }

    fn breaker(&self) -> Breaker {
        match self.health {
            Health::Unknown | Health::Up => Breaker::Closed,
            Health::Down { .. } if self.connecting() => Breaker::HalfOpen,
            Health::Down { .. } | Health::Leaving => Breaker::Open,
        }
    }

    fn backend_health(&self) -> BackendHealth {
        match self.health {
            Health::Unknown => BackendHealth::Unknown,
            Health::Up => BackendHealth::Up,
            Health::Down { .. } => BackendHealth::Down,
            Health::Leaving => BackendHealth::Leaving,
        }
    }

    fn link_snapshot(&self, slot: &Slot) -> LinkSnapshot {
        let state = match slot.state {
            SlotState::Connecting => LinkState::Connecting,
            SlotState::Ready => LinkState::Ready,
            SlotState::Leaving => LinkState::Leaving,
        };
        slot.gauge.snapshot(slot.id, self.scope.worker, state)
    }
}

impl Drop for BackendPool {
    fn drop(&mut self) {
        self.rescued.leave(|| Estate {
            links: std::mem::take(&mut self.links),
            waiting: std::mem::take(&mut self.waiting),
            owed_closes: std::mem::take(&mut self.owed_closes),
            health: self.health,
            last_error: self.last_error.take(),
            leaving: self.leaving.take(),
            retired: self.retired,
        });
    }
}

impl Actor for BackendPool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(self.scope.config.backend.ping_interval, Self::quit_unused);
        self.take_over(ctx);
    }
}

impl Inspectable for BackendPool {
    type Detail = PoolSnapshot;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> PoolSnapshot {
        PoolSnapshot {
            service: self.service.name.to_string(),
            endpoint: self.endpoint,
            health: self.backend_health(),
            breaker: self.breaker(),
            last_error: self.last_error.as_deref().map(str::to_owned),
            retired: self.retired,
            waiting_sessions: self.waiting.len() as u64,
            owed_closes: self.owed_closes.len() as u64,
            links: self.links.iter().map(|s| self.link_snapshot(s)).collect(),
        }
    }
}

mailbox!(BackendPool);
