//! The root: starts the other actors, leaves first, knows how they are, and drains the process.
//!
//! ```text
//!   Serving ── Drain ──▶ Draining ── accept grace over ──▶ Refusing ──┐
//!                                                                     │ nobody left, or window over
//!   gone ◀── links flushed ── Closing ◀── clients cut off, signal ────┤
//!                             Drained ◀── clients cut off, admin API ─┘
//! ```
//! `CancelDrain` leads back to Serving unless a signal has begun the drain, or has taken it over.

mod drain;
mod draining;
mod status;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;

use super::backend_pool::{EndpointCounts, LinkLimits};
use super::certificate_watcher::{self, CertificateWatcher};
use super::config_watcher::{ConfigWatcher, Reload, RoutesLoaded};
use super::peers::Peering;
use super::worker::{CheckHealth as CheckWorker, Worker};
use crate::admission::Gate;
use crate::config::Config;
use crate::memory::MemoryBudget;
use crate::net::tls::Tls;
use crate::routing::health::OperatorState;
use crate::store::pod::PodCounts;
use crate::supervision::{Exhausted, Inspectable, Receive, Registration, Seat, mailbox};
use crate::telemetry::Exporter;
use drain::UnderWay;

pub use drain::{AskDrain, Asked, Begun, BySignal, CancelDrain, Drain, DrainSnapshot, Initiator};
pub use status::{State, StatusSnapshot};

/// Within this every worker answers, or the process is not healthy.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks whether every worker and its actors answer within [`HEALTH_TIMEOUT`].
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct CheckHealth;

/// Asks how the gateway is.
#[derive(Debug, Message)]
#[rtype(result = "StatusSnapshot")]
pub struct AskStatus;

/// Those who watch files.
#[derive(Debug, Clone, Default)]
pub struct Watchers {
    /// For the routing data.
    pub routes: Seat<ConfigWatcher>,
    /// For TLS; nobody sits there where it is not configured.
    pub certificates: Seat<CertificateWatcher>,
    /// Has the configuration read again.
    pub config: Arc<Notify>,
}

/// Environment of a gateway beside players and backends.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The TLS configuration in force.
    pub tls: Arc<Tls>,
    /// The way to the other gateways.
    pub peering: Peering,
    /// Counts of the updates of this pod's deletion cost.
    pub pod: Arc<PodCounts>,
    /// Asks for another look at the file of token keys.
    pub token_keys: Arc<Notify>,
    /// The budget of memory.
    pub memory: Arc<MemoryBudget>,
    /// How the backends' endpoints are.
    pub links: Arc<LinkLimits>,
    /// The way to the collector of spans, where there is one.
    pub exporter: Option<Arc<Exporter>>,
}

/// The actor.
pub struct Gateway {
    registration: Registration,
    config: Arc<Config>,
    gate: Arc<Gate>,
    workers: Vec<Seat<Worker>>,
    watchers: Watchers,
    around: Surroundings,
    /// Too many actors have died: the process says so when it has drained.
    failed: bool,
    state: State,
    routes: Option<RoutesLoaded>,
    /// Told once, when the first attempt to load routes has ended one way or the other.
    first_load: Option<mpsc::Sender<()>>,
    drain: Option<UnderWay>,
    /// Looks at the drain now and then.
    drain_ticks: Option<SpawnHandle>,
    /// When links are closed although clients that were cut off are not gone yet.
    close_by: Option<Instant>,
}

impl Gateway {
    /// A gateway whose workers run already. Its watchers follow.
    pub fn new(
        registration: Registration,
        config: Arc<Config>,
        gate: Arc<Gate>,
        workers: Vec<Seat<Worker>>,
        watchers: Watchers,
        around: Surroundings,
        first_load: mpsc::Sender<()>,
    ) -> Gateway {
        Gateway {
            registration,
            config,
            gate,
            workers,
            watchers,
            around,
            failed: false,
            state: State::Serving,
            routes: None,
            first_load: Some(first_load),
            drain: None,
            drain_ticks: None,
            close_by: None,
        }
    }
}

impl Gateway {
    /// How the endpoints are. A name that does not resolve is one that cannot be reached.
    fn endpoints(&self) -> EndpointCounts {
        let links = &self.around.links;
        let withdrawn = links.operator.withdrawn();
        let wanted = |address| withdrawn.state(address) == OperatorState::Ready;
        let mut counts = links.health.counts(Instant::now(), wanted);
        let table = self
            .routes
            .as_ref()
            .and_then(|routes| routes.table.as_ref());
        let names = table.map_or(0, |table| table.unresolved().count());
        counts.down += names as u64;
        counts
    }

    /// Keeps files free for the links that these routes may need.
    fn keep_files_for(&self, routes: &RoutesLoaded) {
        let endpoints = routes.table.as_ref().map_or(0, |t| t.endpoint_count());
        let for_each = self.config.backend.links_per_endpoint * self.workers.len();
        let most_probed = self.gate.most_probed();
        let table = routes.table.as_ref();
        let probed = table.map_or(0, |table| table.probed().take(most_probed).count());
        let links = endpoints.saturating_mul(for_each).max(probed);
        if let Some(limit) = self.gate.keep_for_links(links) {
            tracing::info!(
                endpoints,
                links,
                limit,
                "connections served at a time have changed: files are kept free for links"
            );
        }
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;
}

impl Inspectable for Gateway {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        json!({
            "state": self.state.name(),
            "connections": self.gate.connections(),
            "connections_peak": self.gate.peak(),
            "connections_limit": self.gate.limit(),
            "routes_version": self.routes.as_ref().map_or(0, |routes| routes.version),
            "failed": self.failed,
        })
    }
}

mailbox!(Gateway);

impl Receive<Exhausted> for Gateway {
    type Result = ();

    fn receive(&mut self, _: Exhausted, ctx: &mut Context<Self>) {
        self.failed = true;
        // One that is under way goes on.
        let _ = self.begin_drain(Drain::by_signal(), ctx);
    }
}

impl Receive<RoutesLoaded> for Gateway {
    type Result = ();

    fn receive(&mut self, msg: RoutesLoaded, _: &mut Context<Self>) {
        self.keep_files_for(&msg);
        self.routes = Some(msg);
        if let Some(first_load) = self.first_load.take() {
            // Nobody waits any more where it has taken too long.
            let _ = first_load.send(());
        }
    }
}

impl Receive<Reload> for Gateway {
    type Result = ();

    fn receive(&mut self, msg: Reload, _: &mut Context<Self>) {
        tracing::info!(
            "reading the configuration, the routes, the token keys and the files of TLS again"
        );
        self.watchers.config.notify_one();
        // One that is just being rebuilt reads everything anyway.
        self.watchers.routes.do_send(msg);
        self.watchers
            .certificates
            .do_send(certificate_watcher::Reload);
        self.around.token_keys.notify_one();
    }
}

impl Receive<CheckHealth> for Gateway {
    type Result = ResponseFuture<bool>;

    fn receive(&mut self, _: CheckHealth, _: &mut Context<Self>) -> ResponseFuture<bool> {
        let answers = join_all(self.workers.iter().map(|worker| worker.send(CheckWorker)));
        Box::pin(async move {
            match actix::clock::timeout(HEALTH_TIMEOUT, answers).await {
                Ok(answers) => answers.iter().all(|answer| matches!(answer, Ok(true))),
                Err(_) => false,
            }
        })
    }
}

impl Receive<AskStatus> for Gateway {
    type Result = StatusSnapshot;

    fn receive(&mut self, _: AskStatus, _: &mut Context<Self>) -> StatusSnapshot {
        StatusSnapshot {
            state: self.state,
            routes: self.routes.clone(),
            connections: self.gate.connections(),
            refusals: self.gate.refusals(),
            peak: self.gate.peak(),
            limit: self.gate.limit(),
            suspended: self.gate.suspended(),
            handed_over: self.gate.handed_over_count(),
            tls: self.around.tls.snapshot(),
            peers: Arc::clone(self.around.peering.counts()),
            memory: self.around.memory.pressure(),
            endpoints: self.endpoints(),
            pod: Arc::clone(&self.around.pod),
            spans: self
                .around
                .exporter
                .as_ref()
                .map(|exporter| exporter.spans().counts())
                .unwrap_or_default(),
        }
    }
}
