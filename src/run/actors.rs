//! The actors of a gateway, started in the order in which they depend on each other.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::{Notify, oneshot};
use tokio::time::MissedTickBehavior;

use super::reload::{Live, keep_fresh};
use crate::actors::assignment_reader::{self, Assignments};
use crate::actors::backend_pool::{LinkLimits, OperatorBook};
use crate::actors::certificate_watcher;
use crate::actors::config_watcher::{self, Audience};
use crate::actors::gateway::{Gateway, Surroundings, Watchers};
use crate::actors::peers::{self, Peering};
use crate::actors::router::Router;
use crate::actors::session_registry::Shards;
use crate::actors::worker::{self, Worker, WorkerParams};
use crate::admission::AccessLog;
use crate::admission::{Changed, Doors, Gate, LiveConfig};
use crate::config::Config;
use crate::history::RefusalLog;
use crate::inspection::Inspector;
use crate::memory::{self, MemoryBudget};
use crate::metrics::{ServiceBook, WorkerMetrics};
use crate::net::listen::SpareFiles;
use crate::net::tls::Tls;
use crate::scope::{RoutesInForce, Scope};
use crate::session::token::Keyring;
use crate::store::pod::{Pod, PodCounts, keep_cost};
use crate::store::token_keys;
use crate::supervision::{ActorRegistry, Budget, CountedAddr, LOOK_INTERVAL, ROOT, Seat};
use crate::telemetry::Exporter;
use crate::traces::Traces;

/// Interval at which bans, orders, traces and changes of limits that are over are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// State that the threads of a gateway share before its actors exist.
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) tls: Arc<Tls>,
    pub(super) gate: Arc<Gate>,
    pub(super) doors: Arc<Doors>,
    pub(super) metrics: Vec<Arc<WorkerMetrics>>,
    pub(super) services: Arc<ServiceBook>,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) actors: Arc<ActorRegistry>,
    pub(super) shards: Shards,
    pub(super) routers: Vec<Seat<Router>>,
    pub(super) workers: Vec<Seat<Worker>>,
    pub(super) routes: Arc<RoutesInForce>,
    pub(super) tokens: Arc<ArcSwap<Keyring>>,
    pub(super) peers: Option<peers::Listening>,
    pub(super) pod: Option<Pod>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) links: Arc<LinkLimits>,
    pub(super) assignments: Assignments,
    pub(super) traces: Arc<Traces>,
    pub(super) exporter: Option<Arc<Exporter>>,
}

impl Parts {
    /// Returns the way to ask the actors.
    pub(super) fn inspector(&self) -> Inspector {
        Inspector {
            actors: Arc::clone(&self.actors),
            workers: self.workers.clone(),
            shards: self.shards.clone(),
            routes: Arc::clone(&self.routes),
            traces: Arc::clone(&self.traces),
            operator: Arc::clone(&self.links.operator),
            assignments: self.assignments.clone(),
        }
    }
}

impl Parts {
    /// Returns the way to change the configuration in force.
    pub(super) fn live(&self) -> LiveConfig {
        let live = Live {
            doors: Arc::clone(&self.doors),
            gate: Arc::clone(&self.gate),
            tls: Arc::clone(&self.tls),
            memory: Arc::clone(&self.memory),
            workers: self.workers.clone(),
        };
        let configured = Config::clone(&self.config);
        LiveConfig::new(configured, move |config| live.apply(config))
    }
}

/// Starts the actors, leaves first: what others depend on is there before them.
pub(super) async fn start_actors(
    mut parts: Parts,
    live: Arc<LiveConfig>,
    first_load: mpsc::Sender<()>,
) -> io::Result<CountedAddr<Gateway>> {
    memory::count_on_this_thread(parts.memory.gateway());
    let budget = Arc::<Budget>::default();
    let peering = parts.peers.as_ref().map(|peers| peers.peering().clone());
    let peering = peering.unwrap_or_default();
    let listeners = std::mem::take(&mut parts.listeners);
    start_workers(&parts, listeners, &budget, &peering).await?;
    let watchers = Watchers::default();
    let entry = parts.actors.register(ROOT, String::new(), None, None);
    let operator = keep_orders(&parts.links);
    let config = parts.config;
    let (own, gate, workers) = (Arc::clone(&config), parts.gate, parts.workers);
    let (own_watchers, token_keys) = (watchers.clone(), Arc::default());
    let around = Surroundings {
        tls: Arc::clone(&parts.tls),
        peering,
        pod: report_cost(parts.pod, parts.metrics),
        token_keys: Arc::clone(&token_keys),
        memory: Arc::clone(&parts.memory),
        links: parts.links,
        exporter: send_spans(parts.exporter),
    };
    let (gateway, panicked) = entry.start_watched(move |entry| {
        Gateway::new(entry, own, gate, workers, own_watchers, around, first_load)
    });
    actix::spawn(end_with(panicked));
    budget.report_to(gateway.recipient());
    actix::spawn(token_keys::keep_fresh(
        Arc::clone(&config),
        Arc::clone(&parts.tokens),
        token_keys,
    ));
    keep_current(
        live,
        parts.doors,
        watchers.config,
        &parts.actors,
        parts.traces,
    );
    let audience = Audience {
        routers: parts.routers,
        in_force: Arc::clone(&parts.routes),
        assignments: parts.assignments.seat().cloned(),
        operator,
        gateway: gateway.recipient(),
    };
    if let Some(listening) = &parts.peers {
        let (tokens, shards) = (&parts.tokens, &parts.shards);
        let budget = Arc::clone(&budget);
        peers::launch(listening, &config, tokens, shards, &parts.actors, budget);
    }
    if !parts.tls.paths().is_empty() {
        let (budget, seat) = (Arc::clone(&budget), watchers.certificates);
        certificate_watcher::launch(&parts.tls, &parts.actors, budget, seat);
    }
    let actors = Arc::clone(&parts.actors);
    // What comes from Redis is decoded on a thread that nobody else waits for.
    let (assignments, routes, memory) = (parts.assignments, parts.routes, parts.memory);
    Arbiter::new().spawn_fn(move || {
        memory::count_on_this_thread(memory.readers());
        assignment_reader::launch(&config, &assignments, &routes, &actors, Arc::clone(&budget));
        config_watcher::launch(&config, &actors, budget, watchers.routes, audience);
    });
    Ok(gateway)
}

/// Ends the process when the gateway's own actor has panicked: nothing is above it that could start it again.
async fn end_with(panicked: impl Future<Output = bool>) {
    if panicked.await {
        System::current().stop_with_code(1);
    }
}

/// Starts the workers, each on a thread of its own.
async fn start_workers(
    parts: &Parts,
    listeners: Vec<TcpListener>,
    budget: &Arc<Budget>,
    peering: &Peering,
) -> io::Result<()> {
    let spare = Arc::new(SpareFiles::new());
    let exporter = parts.exporter.as_ref();
    let spans = exporter.map_or_else(Arc::default, |exporter| Arc::clone(exporter.spans()));
    let refusals = Arc::<RefusalLog>::default();
    let access = Arc::new(AccessLog::new(parts.config.log.access_per_second));
    for (worker, listener) in listeners.into_iter().enumerate() {
        let scope = Arc::new(Scope {
            worker,
            config: Arc::clone(&parts.config),
            tls: Arc::clone(&parts.tls),
            metrics: Arc::clone(&parts.metrics[worker]),
            services: Arc::clone(&parts.services),
            gate: Arc::clone(&parts.gate),
            doors: Arc::clone(&parts.doors),
            spare: Arc::clone(&spare),
            access: Arc::clone(&access),
            refusals: Arc::clone(&refusals),
            traces: Arc::clone(&parts.traces),
            spans: Arc::clone(&spans),
            meter: Arc::clone(parts.memory.worker(worker)),
            actors: Arc::clone(&parts.actors),
            budget: Arc::clone(budget),
            routes: Arc::clone(&parts.routes),
            tokens: Arc::clone(&parts.tokens),
        });
        let params = WorkerParams {
            scope,
            listener,
            seat: parts.workers[worker].clone(),
            router: parts.routers[worker].clone(),
            shards: parts.shards.clone(),
            limits: Arc::clone(&parts.links),
            peers: peering.clone(),
            assignments: parts.assignments.clone(),
        };
        let (launched, answer) = oneshot::channel();
        Arbiter::new().spawn_fn(move || {
            // The receiver waits for exactly this.
            let _ = launched.send(worker::launch(params));
        });
        answer.await.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Keeps limits as the configuration and operators have them, bans and traces as long as they last, and what is known of
/// actors' loads.
fn keep_current(
    live: Arc<LiveConfig>,
    doors: Arc<Doors>,
    asked: Arc<Notify>,
    actors: &Arc<ActorRegistry>,
    traces: Arc<Traces>,
) {
    actix::spawn(sweep_traces(traces));
    actix::spawn(look_at(Arc::clone(actors)));
    actix::spawn(sweep_limits(Arc::clone(&live), doors));
    actix::spawn(keep_fresh(live, asked));
}

/// Looks at the counters of all actors again and again, so that what they do now is known.
async fn look_at(actors: Arc<ActorRegistry>) {
    let mut turns = tokio::time::interval(LOOK_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        actors.look();
    }
}

/// Forgets bans that are over, and says so, although when one is over does not depend on this; and ends changes of
/// limits whose time is over.
async fn sweep_limits(live: Arc<LiveConfig>, doors: Arc<Doors>) {
    let mut turns = tokio::time::interval(SWEEP);
    loop {
        turns.tick().await;
        doors.bans().sweep(doors.now());
        for Changed { key, before, after } in live.sweep(Instant::now()) {
            tracing::info!(
                key,
                before,
                after,
                "the limit is as configured again, for its time is over"
            );
        }
    }
}

/// Keeps operators' orders as long as they last. Returns them.
fn keep_orders(links: &Arc<LinkLimits>) -> Arc<OperatorBook> {
    actix::spawn(sweep_orders(Arc::clone(links)));
    Arc::clone(&links.operator)
}

/// Takes back operators' orders that are over, and says when what was withdrawn is not used any more.
async fn sweep_orders(links: Arc<LinkLimits>) {
    let mut turns = tokio::time::interval(SWEEP);
    loop {
        turns.tick().await;
        for (backend, order) in links.operator.sweep(Instant::now()) {
            let (before, by) = (order.state.name(), &order.by);
            tracing::info!(%backend, before, by, "the backend is ready again, for its time is over");
        }
        let has_sessions = |endpoint| links.occupancies.has_sessions(endpoint);
        for (backend, order) in links.operator.emptied(has_sessions) {
            let state = order.state.name();
            tracing::info!(%backend, state, "the backend has no session any more");
        }
    }
}

/// Ends traces whose time is over, and says so. That they record no more does not depend on this.
async fn sweep_traces(traces: Arc<Traces>) {
    let mut turns = tokio::time::interval(SWEEP);
    loop {
        turns.tick().await;
        for trace in traces.sweep() {
            let (events, lost) = trace.counts();
            let (id, by) = (trace.key(), trace.by());
            tracing::info!(trace = %id, by, events, lost = lost.all(), "a trace is over");
        }
    }
}

/// Starts to send spans to the collector, where there is one.
fn send_spans(exporter: Option<Arc<Exporter>>) -> Option<Arc<Exporter>> {
    if let Some(exporter) = &exporter {
        actix::spawn(Arc::clone(exporter).keep_sending());
    }
    exporter
}

/// Starts to report the pod's cost to Kubernetes.
fn report_cost(pod: Option<Pod>, metrics: Vec<Arc<WorkerMetrics>>) -> Arc<PodCounts> {
    let counts = Arc::default();
    if let Some(pod) = pod {
        let sessions = move || metrics.iter().map(|m| m.sessions_now()).sum();
        actix::spawn(keep_cost(pod, sessions, Arc::clone(&counts)));
    }
    counts
}
