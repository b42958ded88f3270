//! Start of a pool, takeover by its successor when it has panicked, and its snapshot.
//! Its links live on meanwhile, with their sessions and traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::{BackendPool, EndpointHealth, Health, LinkLimits, MAILBOX, Slot, SlotState, State};
use crate::actors::backend_pool::PoolSnapshot;
use crate::actors::link::{LinkSnapshot, LinkState, Report};
use crate::actors::session_registry::Shards;
use crate::routing::ServiceRoute;
use crate::scope::Scope;
use crate::supervision::{
    self, ActorId, Inspectable, Kind, Registration, RescueSlot, Rescued, Seat, SeatRecipient,
    Supervised, mailbox,
};

/// Data that all pools of a worker share.
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

/// Starts a supervised pool on this thread. It has no links; the first session brings them. One whose endpoint no
/// rule names is retired from the beginning: it tries again only for those who wait for it, and ends when nobody uses it.
pub fn start(
    scope: &Arc<Scope>,
    shared: &Shared,
    service: &Arc<ServiceRoute>,
    endpoint: SocketAddr,
    is_named: bool,
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
    let (seat, slot) = (Seat::default(), RescueSlot::default());
    let (scope, shared, service) = (Arc::clone(scope), shared.clone(), Arc::clone(service));
    let budget = Arc::clone(&scope.budget);
    let own = seat.clone();
    supervision::supervise(seat.clone(), entry, budget, move |registration| {
        let mut state: Rescued<State> = slot.take();
        if !is_named && !state.retired {
            (state.retired, state.is_fresh) = (true, true);
        }
        BackendPool::new(
            registration,
            own.clone(),
            state,
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
        state: Rescued<State>,
        scope: Arc<Scope>,
        shared: Shared,
        service: Arc<ServiceRoute>,
        endpoint: SocketAddr,
    ) -> BackendPool {
        let occupancy = shared.limits.occupancies.of(&service.name, endpoint);
        BackendPool {
            occupancy,
            registration,
            seat,
            state,
            scope,
            shared,
            service,
            endpoint,
            ending: None,
        }
    }

    /// Catches up with what was reported while the seat was empty. Does nothing for a first pool.
    fn take_over(&mut self, ctx: &mut Context<Self>) {
        self.state.links.retain(|slot| slot.link.connected());
        for slot in &self.state.links {
            slot.link.do_send(Report);
        }
        let now = Instant::now();
        let linked = self.best().is_some() || self.connecting();
        match self.state.health {
            Health::Unknown if self.state.waiting.is_empty() => {}
            Health::Up | Health::Suspect | Health::Unknown if linked => {}
            Health::Up | Health::Suspect | Health::Unknown => {
                self.set_down(0, Duration::ZERO, ctx);
                self.retry();
            }
            // The timer was lost with the actor that set it.
            Health::Down { retry_at, .. } => {
                ctx.run_later(retry_at.saturating_duration_since(now), |pool, _| {
                    pool.retry();
                });
            }
            Health::Leaving(_) => {}
        }
        self.announce();
        self.say_owed();
        if self.state.retired {
            self.quit_unused(ctx);
        }
    }

    fn link_snapshot(&self, slot: &Slot) -> LinkSnapshot {
        let state = match slot.state {
            SlotState::Connecting => LinkState::Connecting,
            SlotState::Ready => LinkState::Ready,
            SlotState::Suspect => LinkState::Suspect,
            SlotState::Leaving => LinkState::Leaving,
        };
        slot.gauge.snapshot(slot.id, self.scope.worker, state)
    }
}

impl Actor for BackendPool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(self.scope.config.backend.ping_interval, |pool, ctx| {
            pool.take_back_goaway();
            pool.look();
            pool.say_owed();
            pool.quit_kept();
            pool.quit_unused(ctx);
        });
        self.take_over(ctx);
        self.follow_operator(ctx);
    }
}

impl Inspectable for BackendPool {
    type Detail = PoolSnapshot;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> PoolSnapshot {
        let (times, now) = (&self.state.times, Instant::now());
        PoolSnapshot {
            service: self.service.name.to_string(),
            endpoint: self.endpoint,
            health: self.backend_health(),
            breaker: self.breaker(),
            last_error: self.state.last_error.as_deref().map(str::to_owned),
            retired: self.state.retired,
            evacuation: self.occupancy.evacuation(),
            waiting_sessions: self.state.waiting.len() as u64,
            owed_closes: self.occupancy.owed_closes.count() as u64,
            connect: times.connect.snapshot(now),
            first_answer: times.first_answer.snapshot(now),
            answer: times.answer.snapshot(now),
            usual_answer: times.usual_answer.snapshot(now),
            links: self
                .state
                .links
                .iter()
                .map(|s| self.link_snapshot(s))
                .collect(),
        }
    }
}

mailbox!(BackendPool);

impl Supervised for BackendPool {
    fn leave_state(&mut self) {
        self.state.pass_on();
    }
}
