//! The root: starts the other actors, leaves first, knows how they are, and drains the process.
//!
//! ```text
//!   Serving ── Drain ──▶ Draining ── accept grace over ──▶ Refusing ──┐
//!                                                                     │ nobody left, or window over
//!   gone ◀── links flushed ── Closing ◀── clients cut off, signal ────┤
//!                             Drained ◀── clients cut off, admin API ─┘
//! ```
//! `CancelDrain` leads back to Serving unless a signal has begun the drain, or has taken it over.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use serde_json::json;

use super::certificate_watcher::{self, CertificateWatcher};
use super::config_watcher::{ConfigWatcher, Reload, RoutesLoaded};
use super::drain::{
    AskDrain, Begun, BySignal, CancelDrain, Drain, DrainSnapshot, Initiator, UnderWay, progress,
};
use super::life::{Account, Exhausted, Seat, Vitals, inspectable};
use super::scope::Gate;
use super::worker::{CheckHealth as CheckWorker, CloseLinks, CutOffClients, Worker};
use crate::config::Config;
use crate::net::tls::Tls;

pub use super::status::{State, StatusSnapshot};

/// How often a draining gateway looks whether its clients have left.
const DRAIN_TICK: Duration = Duration::from_millis(50);
/// How long clients that are cut off may take to be gone, beyond which the process does not wait.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(7);
/// How long all links may take to write what they hold.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
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

/// Who watches files, and what for.
#[derive(Debug, Clone, Default)]
pub struct Watchers {
    /// For the routing data.
    pub routes: Seat<ConfigWatcher>,
    /// For TLS; nobody sits there where it is not configured.
    pub certificates: Seat<CertificateWatcher>,
}

/// The actor.
pub struct Gateway {
    vitals: Vitals,
    config: Arc<Config>,
    gate: Arc<Gate>,
    workers: Vec<Seat<Worker>>,
    watchers: Watchers,
    tls: Arc<Tls>,
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
        vitals: Vitals,
        config: Arc<Config>,
        gate: Arc<Gate>,
        workers: Vec<Seat<Worker>>,
        watchers: Watchers,
        tls: Arc<Tls>,
        first_load: mpsc::Sender<()>,
    ) -> Gateway {
        Gateway {
            vitals,
            config,
            gate,
            workers,
            watchers,
            tls,
            failed: false,
            state: State::Serving,
            routes: None,
            first_load: Some(first_load),
            drain: None,
            drain_ticks: None,
            close_by: None,
        }
    }

    /// One look at a drain that is under way.
    fn drain_tick(&mut self, ctx: &mut Context<Self>) {
        let Some(drain) = &mut self.drain else { return };
        let connections = self.gate.connections();
        if self.state == State::Draining && drain.grace_is_over() {
            self.state = State::Refusing;
            self.gate.refuse_sessions();
            tracing::info!(connections, "no session starts any more");
        }
        if self.state == State::Refusing && (connections == 0 || drain.window_is_over()) {
            drain.cut_off(&self.gate);
            let go_on_accepting = drain.by == Initiator::Admin;
            for worker in &self.workers {
                worker.do_send(CutOffClients { go_on_accepting });
            }
            if go_on_accepting {
                self.state = State::Drained;
                self.stop_ticks(ctx);
                tracing::info!(
                    cut_off = connections,
                    "drained; waiting to be undone or ended"
                );
                return;
            }
            self.state = State::Closing;
            self.close_by = Some(Instant::now() + CUT_OFF_TIMEOUT);
            return;
        }
        let late = self.close_by.is_some_and(|by| Instant::now() >= by);
        if self.state == State::Closing && (connections == 0 || late) {
            self.stop_ticks(ctx);
            self.close_links(ctx);
        }
    }

    fn start_ticks(&mut self, ctx: &mut Context<Self>) {
        if self.drain_ticks.is_none() {
            self.drain_ticks = Some(ctx.run_interval(DRAIN_TICK, Self::drain_tick));
        }
    }

    fn stop_ticks(&mut self, ctx: &mut Context<Self>) {
        if let Some(ticks) = self.drain_ticks.take() {
            ctx.cancel_future(ticks);
        }
    }

    fn close_links(&mut self, ctx: &mut Context<Self>) {
        let closing = join_all(self.workers.iter().map(|worker| worker.send(CloseLinks)));
        let closing = actix::clock::timeout(CLOSE_TIMEOUT, closing);
        ctx.spawn(closing.into_actor(self).map(|result, gateway, _| {
            if result.is_err() {
                tracing::warn!("some links did not take their last frames in time");
            }
            let cut_off = gateway.drain.as_ref().map_or(0, UnderWay::cut_off_count);
            tracing::info!(cut_off, "drained");
            System::current().stop_with_code(i32::from(gateway.failed));
        }));
    }

    fn progress(&self) -> DrainSnapshot {
        progress(self.state, self.drain.as_ref(), &self.gate)
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
        tracing::info!("reading the routes and the files of TLS again");
        // One that is just being rebuilt reads everything anyway.
        self.watchers.routes.do_send(msg);
        self.watchers
            .certificates
            .do_send(certificate_watcher::Reload);
    }
}

impl Handler<Drain> for Gateway {
    type Result = Result<Begun, BySignal>;

    fn handle(&mut self, msg: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.vitals.handled();
        self.begin_drain(msg, ctx)
    }
}

impl Gateway {
    fn begin_drain(&mut self, msg: Drain, ctx: &mut Context<Self>) -> Result<Begun, BySignal> {
        let window = msg.window.unwrap_or(self.config.drain.window);
        let now = self.drain.is_none();
        match &mut self.drain {
            None => {
                let grace = self.config.drain.accept_grace;
                self.state = State::Draining;
                self.drain = Some(UnderWay::begin(msg.by, window, grace, &self.gate));
                tracing::info!(by = ?msg.by, ?window, connections = self.gate.connections(), "draining");
                self.start_ticks(ctx);
            }
            Some(drain) => match (drain.by, msg.by) {
                (Initiator::Signal, Initiator::Admin) if msg.window.is_some() => {
                    return Err(BySignal);
                }
                (Initiator::Signal, _) => {}
                (Initiator::Admin, Initiator::Admin) => {
                    // Once everybody is gone a window means nothing any more.
                    if msg.window.is_some() && self.state != State::Drained {
                        drain.set_window(window);
                    }
                }
                (Initiator::Admin, Initiator::Signal) => {
                    drain.take_over(window);
                    if self.state == State::Drained {
                        self.state = State::Refusing;
                    }
                    tracing::info!(
                        ?window,
                        connections = self.gate.connections(),
                        "a signal takes over the drain"
                    );
                    self.start_ticks(ctx);
                }
            },
        }
        let progress = self.progress();
        Ok(Begun { now, progress })
    }
}

impl Handler<AskDrain> for Gateway {
    type Result = DrainSnapshot;

    fn handle(&mut self, _: AskDrain, _: &mut Context<Self>) -> DrainSnapshot {
        self.vitals.handled();
        self.progress()
    }
}

impl Handler<CancelDrain> for Gateway {
    type Result = Result<DrainSnapshot, BySignal>;

    fn handle(&mut self, _: CancelDrain, ctx: &mut Context<Self>) -> Self::Result {
        self.vitals.handled();
        if self
            .drain
            .as_ref()
            .is_some_and(|drain| drain.by == Initiator::Signal)
        {
            return Err(BySignal);
        }
        if self.drain.take().is_some() {
            self.stop_ticks(ctx);
            self.state = State::Serving;
            self.gate.allow_sessions();
            tracing::info!("the drain is undone");
        }
        Ok(self.progress())
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
            tls: self.tls.snapshot(),
        }
    }
}
