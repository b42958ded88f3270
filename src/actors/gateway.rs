//! The root: starts the other actors, leaves first, knows how they are, and drains the process.
//!
//! ```text
//!   Serving ── Drain ──▶ Draining ── accept grace over ──▶ Refusing
//!                                                            │ nobody left, or window over
//!   gone ◀── links flushed ── Closing ◀── clients cut off ───┘
//! ```

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;

use super::config_watcher::{ConfigWatcher, Reload, RoutesLoaded};
use super::router::{Router, RoutesChanged};
use super::scope::Gate;
use super::worker::{CheckHealth as CheckWorker, CloseLinks, CutOffClients, Worker};
use crate::config::Config;

/// How often a draining gateway looks whether its clients have left.
const DRAIN_TICK: Duration = Duration::from_millis(50);
/// How long clients that are cut off may take to be gone, beyond which the process does not wait.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(7);
/// How long all links may take to write what they hold.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Within this every worker answers, or the process is not healthy.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// Begins to drain; the process ends when it is done. Again: no effect.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

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
}

impl StatusSnapshot {
    /// Why no new session should come here; empty when it should.
    pub fn reasons_not_ready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        match self.state {
            State::Serving => {}
            State::Draining | State::Refusing | State::Closing => reasons.push("draining"),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Sessions come and go.
    Serving,
    /// Not ready any more, but newcomers are still served: load balancers take time to notice.
    Draining,
    /// No session starts; the others go on.
    Refusing,
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
            State::Closing => "closing",
        }
    }
}

/// The actor.
pub struct Gateway {
    config: Arc<Config>,
    gate: Arc<Gate>,
    routers: Vec<Addr<Router>>,
    workers: Vec<Addr<Worker>>,
    watcher: Option<Addr<ConfigWatcher>>,
    state: State,
    routes: Option<RoutesLoaded>,
    /// Told once, when the first attempt to load routes has ended one way or the other.
    first_load: Option<mpsc::Sender<()>>,
    drain_began: Option<Instant>,
    cut_off: usize,
}

impl Gateway {
    /// A gateway whose workers run already.
    pub fn new(
        config: Arc<Config>,
        gate: Arc<Gate>,
        routers: Vec<Addr<Router>>,
        workers: Vec<Addr<Worker>>,
        first_load: mpsc::Sender<()>,
    ) -> Gateway {
        Gateway {
            config,
            gate,
            routers,
            workers,
            watcher: None,
            state: State::Serving,
            routes: None,
            first_load: Some(first_load),
            drain_began: None,
            cut_off: 0,
        }
    }

    /// One look at a drain that is under way.
    fn drain_tick(&mut self, ctx: &mut Context<Self>) {
        let Some(began) = self.drain_began else {
            return;
        };
        let window = self.config.drain.window;
        let grace = self.config.drain.accept_grace.min(window);
        let elapsed = began.elapsed();
        if self.state == State::Draining && elapsed >= grace {
            self.state = State::Refusing;
            self.gate.refuse_sessions();
            tracing::info!(
                connections = self.gate.connections(),
                "no session starts any more"
            );
        }
        let empty = self.gate.connections() == 0;
        if self.state == State::Refusing && (empty || elapsed >= window) {
            self.state = State::Closing;
            self.cut_off = self.gate.connections();
            self.workers
                .iter()
                .for_each(|worker| worker.do_send(CutOffClients));
            // From here the clock runs for those that are cut off.
            self.drain_began = Some(Instant::now());
            return;
        }
        if self.state == State::Closing && (empty || elapsed >= CUT_OFF_TIMEOUT) {
            self.drain_began = None;
            self.close_links(ctx);
        }
    }

    fn close_links(&mut self, ctx: &mut Context<Self>) {
        let closing = join_all(self.workers.iter().map(|worker| worker.send(CloseLinks)));
        let closing = actix::clock::timeout(CLOSE_TIMEOUT, closing);
        ctx.spawn(closing.into_actor(self).map(|result, gateway, _| {
            if result.is_err() {
                tracing::warn!("some links did not take their last frames in time");
            }
            tracing::info!(cut_off = gateway.cut_off, "drained");
            System::current().stop();
        }));
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let routers: Vec<Recipient<RoutesChanged>> =
            self.routers.iter().map(|r| r.clone().recipient()).collect();
        let gateway = ctx.address().recipient();
        self.watcher = Some(ConfigWatcher::new(&self.config, routers, gateway).start());
    }
}

impl Handler<RoutesLoaded> for Gateway {
    type Result = ();

    fn handle(&mut self, msg: RoutesLoaded, _: &mut Context<Self>) {
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
        tracing::info!("reading the routes again");
        if let Some(watcher) = &self.watcher {
            watcher.do_send(msg);
        }
    }
}

impl Handler<Drain> for Gateway {
    type Result = ();

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        if self.state != State::Serving {
            return;
        }
        self.state = State::Draining;
        self.drain_began = Some(Instant::now());
        tracing::info!(window = ?self.config.drain.window, connections = self.gate.connections(), "draining");
        ctx.run_interval(DRAIN_TICK, Self::drain_tick);
    }
}

impl Handler<CheckHealth> for Gateway {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: CheckHealth, _: &mut Context<Self>) -> ResponseFuture<bool> {
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
        StatusSnapshot {
            state: self.state,
            routes: self.routes.clone(),
            connections: self.gate.connections(),
            peak: self.gate.peak(),
            limit: self.gate.limit(),
        }
    }
}
