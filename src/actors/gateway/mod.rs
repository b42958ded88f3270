//! The root: starts the other actors, leaves first, knows how they are, and drains the process.
//!
//! ```text
//!   Serving ── Drain ──▶ Draining ── accept grace over ──▶ Refusing ──┐
//!                                                                     │ nobody left, or window over
//!   gone ◀── links flushed ── Closing ◀── clients cut off, signal ────┤
//!                             Drained ◀── clients cut off, admin API ─┘
//! ```
//! `CancelDrain` leads back to Serving unless a signal has begun the drain, or has taken it over.

mod draining;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::config_watcher::{ConfigWatcher, Reload, RoutesLoaded};
use super::drain::{Drain, UnderWay};
use super::life::{Account, Exhausted, Seat, Vitals, inspectable};
use super::scope::Gate;
use super::worker::{CheckHealth as CheckWorker, Worker};
use crate::config::Config;

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

/// How the gateway is.
#[derive(Debug, Clone, MessageResponse)]
pub struct StatusSnapshot {
    /// Where it is in its life.
    pub state: State,
    /// The newest news of the routes; `None` before there are any.
    pub routes: Option<RoutesLoaded>,
    /// Connections now.
    pub connections: usize,
    /// The most at a time.
    pub peak: usize,
    /// How many are served at a time.
    pub limit: usize,
    /// Sessions that wait for their player.
    pub suspended: usize,
    /// Sessions that other gateways have taken over.
    pub handed_over: u64,
}

impl StatusSnapshot {
    /// Why no new session should come here; empty when it should.
    pub fn reasons_not_ready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        match self.state {
            State::Serving => {}
            State::Draining | State::Refusing | State::Drained | State::Closing => {
                reasons.push("draining");
            }
        }
        match &self.routes {
            None => reasons.push("starting"),
            Some(routes) if routes.version == 0 => reasons.push("no routes yet"),
            Some(_) => {}
        }
        if self.connections >= self.limit {
            reasons.push("full");
        }
        reasons
    }
}

/// Where the gateway is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Sessions come and go.
    Serving,
    /// Not ready any more, but newcomers are still served: load balancers take time to notice.
    Draining,
    /// No session starts; the others go on.
    Refusing,
    /// No session starts, and nobody is left but newcomers that are told so. The process stays.
    Drained,
    /// The clients that were left are being cut off, and the links flushed.
    Closing,
}

impl State {
    /// The name, as the admin API and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            State::Serving => "serving",
            State::Draining => "draining",
            State::Refusing => "refusing",
            State::Drained => "drained",
            State::Closing => "closing",
        }
    }
}

/// The actor.
pub struct Gateway {
    vitals: Vitals,
    config: Arc<Config>,
    gate: Arc<Gate>,
    workers: Vec<Seat<Worker>>,
    watcher: Seat<ConfigWatcher>,
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
    /// A gateway whose workers run already. Its watcher follows.
    pub fn new(
        vitals: Vitals,
        config: Arc<Config>,
        gate: Arc<Gate>,
        workers: Vec<Seat<Worker>>,
        watcher: Seat<ConfigWatcher>,
        first_load: mpsc::Sender<()>,
    ) -> Gateway {
        Gateway {
            vitals,
            config,
            gate,
            workers,
            watcher,
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

impl Actor for Gateway {
    type Context = Context<Self>;
}

impl Account for Gateway {
    fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    fn account(&self) -> serde_json::Value {
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

inspectable!(Gateway);

impl Handler<Exhausted> for Gateway {
    type Result = ();

    fn handle(&mut self, _: Exhausted, ctx: &mut Context<Self>) {
        self.vitals.handled();
        self.failed = true;
        // One that is under way goes on.
        let _ = self.begin_drain(Drain::by_signal(), ctx);
    }
}

impl Handler<RoutesLoaded> for Gateway {
    type Result = ();

    fn handle(&mut self, msg: RoutesLoaded, _: &mut Context<Self>) {
        self.vitals.handled();
        self.routes = Some(msg);
        if let Some(first_load) = self.first_load.take() {
            // Nobody waits any more where it has taken too long.
            let _ = first_load.send(());
        }
    }
}

impl Handler<Reload> for Gateway {
    type Result = ();

    fn handle(&mut self, msg: Reload, _: &mut Context<Self>) {
        self.vitals.handled();
        tracing::info!("reading the routes again");
        // One that is just being rebuilt reads everything anyway.
        self.watcher.do_send(msg);
    }
}

impl Handler<CheckHealth> for Gateway {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: CheckHealth, _: &mut Context<Self>) -> ResponseFuture<bool> {
        self.vitals.handled();
        let answers = join_all(self.workers.iter().map(|worker| worker.send(CheckWorker)));
        Box::pin(async move {
            match actix::clock::timeout(HEALTH_TIMEOUT, answers).await {
                Ok(answers) => answers.iter().all(|answer| matches!(answer, Ok(true))),
                Err(_) => false,
            }
        })
    }
}

impl Handler<AskStatus> for Gateway {
    type Result = StatusSnapshot;

    fn handle(&mut self, _: AskStatus, _: &mut Context<Self>) -> StatusSnapshot {
        self.vitals.handled();
        StatusSnapshot {
            state: self.state,
            routes: self.routes.clone(),
            connections: self.gate.connections(),
            peak: self.gate.peak(),
            limit: self.gate.limit(),
            suspended: self.gate.suspended(),
            handed_over: self.gate.handed_over_count(),
        }
    }
}
