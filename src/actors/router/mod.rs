//! Answers where a session goes. One a worker, over one immutable table that all share.
//!
//! It is the parent of the worker's pools: it starts them when they are first needed and retires
//! them when no rule names their endpoint any more. When it panics, the next one inherits the pools,
//! takes the table in force from [`Scope::routes`], and asks each pool for its health.

mod inspecting;
mod probing;
mod resolving;
mod retries;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;

use super::backend_pool::{self, Announce, BackendPool, Close, EndpointHealth, Retire, Shared};
use crate::codec::code::Code;
use crate::routing::{RouteTable, ServiceRoute, Why};
use crate::scope::Scope;
use crate::supervision::{Receive, Registration, Rescued, Seat};

/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 4096;

/// Asks where a session's service is.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Resolved, Unresolved>")]
pub struct Resolve {
    /// As the client named it.
    pub service: Arc<str>,
    /// 0: none.
    pub realm_id: u32,
    /// 0: none.
    pub user_id: u64,
    /// The session.
    pub session_id: u64,
    /// A backend has identified the session with BIND.
    pub is_bound: bool,
    /// Endpoints that this session has just tried without success.
    pub tried: Vec<SocketAddr>,
    /// The last of them could not be reached: this is a retry, of which there is a budget.
    pub is_retry: bool,
}

/// Asks for the links to one endpoint, wherever the rules would send a session now: a binding lasts
/// while its endpoint lives (protocol 3.1).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Seat<BackendPool>, NoPool>")]
pub struct PoolAt {
    /// The service.
    pub service: Arc<str>,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Who names it.
    pub by: By,
}

/// Who names an endpoint that a session goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A token, which may be a day old: where no rule names the endpoint it must not be shown the backends' secret.
    Token,
    /// The gateway that has the session.
    Gateway,
    /// A backend or an operator, within what the rule allows.
    Assignment,
}

/// Why there are no links to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPool {
    /// There is no such service and no gateway has the session, or only a token names the endpoint.
    Unknown,
    /// As many endpoints that no rule names are used as may be.
    TooMany,
}

/// Where a session goes.
#[derive(Debug)]
pub struct Resolved {
    /// Where.
    pub endpoint: SocketAddr,
    /// The pool of this worker's links to it.
    pub pool: Seat<BackendPool>,
    /// The rule's limit of sessions there.
    pub max_sessions: Option<u32>,
    /// Why there.
    pub why: Why,
}

/// Why a session goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unresolved {
    /// The code of the client's ERROR.
    pub code: Code,
    /// Its text.
    pub text: &'static str,
    /// Milliseconds; 0: no advice.
    pub retry_after_ms: u32,
}

impl Unresolved {
    /// The service's rule has `require_bind`, and no backend has identified the session.
    pub const NOT_BOUND: Unresolved = Unresolved {
        code: Code::NOT_BOUND,
        text: "the service needs a bound session",
        retry_after_ms: 0,
    };
}

/// A new table is in force for all that is routed from now on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RoutesChanged(pub Arc<RouteTable>);

/// All pools write what their links hold and end. The answer comes when they are gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseLinks;

/// Asks whether the actor answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// The actor.
pub struct Router {
    registration: Registration,
    scope: Arc<Scope>,
    /// With its pools.
    shared: Shared,
    state: Rescued<State>,
    /// Endpoints that cannot be reached or take no new sessions, by service.
    dead: HashMap<Arc<str>, BTreeSet<SocketAddr>>,
    /// The gateway ends.
    closing: bool,
}

/// The pools of a worker, by service and endpoint.
pub type Pools = HashMap<Arc<str>, HashMap<SocketAddr, Seat<BackendPool>>>;

/// State of a router that outlives its panic.
#[derive(Default)]
pub struct State {
    /// The table that sessions are routed by.
    table: Option<Arc<RouteTable>>,
    pools: Pools,
    /// Pools for sessions of peer gateways, or that were assigned, to endpoints that no rule names here. They end by
    /// themselves.
    visited: HashMap<(Arc<str>, SocketAddr), Seat<BackendPool>>,
}

impl Router {
    /// A router with the pools of the one before it, if there was one.
    pub fn new(
        registration: Registration,
        scope: Arc<Scope>,
        shared: Shared,
        state: Rescued<State>,
    ) -> Router {
        Router {
            registration,
            scope,
            shared,
            state,
            dead: HashMap::new(),
            closing: false,
        }
    }

    /// The table that sessions are routed by. The first one may be in force, and the gateway ready,
    /// before the word of it is here.
    fn table(&mut self) -> Option<Arc<RouteTable>> {
        if self.state.table.is_none() {
            self.state.table = self.scope.routes.load_full();
        }
        self.state.table.clone()
    }

    fn pool(&mut self, service: &Arc<ServiceRoute>, endpoint: SocketAddr) -> Seat<BackendPool> {
        let pools = self
            .state
            .pools
            .entry(Arc::clone(&service.name))
            .or_default();
        let start = || backend_pool::start(&self.scope, &self.shared, service, endpoint, true);
        pools.entry(endpoint).or_insert_with(start).clone()
    }

    /// Returns the pool to an endpoint that no rule names.
    fn visit(
        &mut self,
        service: &Arc<ServiceRoute>,
        endpoint: SocketAddr,
        by: By,
    ) -> Result<Seat<BackendPool>, NoPool> {
        self.state.visited.retain(|_, pool| !pool.is_over());
        let place = (Arc::clone(&service.name), endpoint);
        let most = self.scope.config.backend.max_assigned_endpoints;
        let is_full = self.state.visited.len() >= most;
        // Sessions of other gateways have one there already, and would be lost.
        if is_full && by == By::Assignment && !self.state.visited.contains_key(&place) {
            return Err(NoPool::TooMany);
        }
        let start = || backend_pool::start(&self.scope, &self.shared, service, endpoint, false);
        let pools = &mut self.state.visited;
        Ok(pools.entry(place).or_insert_with(start).clone())
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        if let Some(table) = self.scope.routes.load_full() {
            // Whatever changed while nobody sat here.
            self.adopt(table);
        }
        for pool in self.state.pools.values().flat_map(HashMap::values) {
            // One that is just being rebuilt announces itself.
            pool.do_send(Announce);
        }
        self.probe_regularly(ctx);
    }
}

impl Receive<Resolve> for Router {
    type Result = Result<Resolved, Unresolved>;

    fn receive(&mut self, msg: Resolve, _: &mut Context<Self>) -> Self::Result {
        let result = self.resolve(&msg);
        match &result {
            Ok(_) => self.scope.metrics.resolved.one(),
            Err(unresolved) => self.scope.metrics.unresolved.add(unresolved.code, 1),
        }
        result
    }
}

impl Receive<PoolAt> for Router {
    type Result = Result<Seat<BackendPool>, NoPool>;

    fn receive(&mut self, msg: PoolAt, _: &mut Context<Self>) -> Self::Result {
        let table = self.table().ok_or(NoPool::Unknown)?;
        let service = match table.service(&msg.service) {
            Some(service) => Arc::clone(service),
            // A session keeps its backend, whatever has become of the rule (protocol 3.1).
            None if msg.by == By::Gateway => Arc::new(ServiceRoute::without_rule(&msg.service)),
            None => return Err(NoPool::Unknown),
        };
        if table.names_for(&msg.service, msg.endpoint) {
            return Ok(self.pool(&service, msg.endpoint));
        }
        let by = match msg.by {
            // A server that a matchmaker may name, whose word the token holds.
            By::Token if table.assigns(&msg.service, msg.endpoint) => By::Assignment,
            by => by,
        };
        if by == By::Token {
            tracing::debug!(service = %msg.service, endpoint = %msg.endpoint,
                "a token names an endpoint that no rule names; it is not dialled");
            return Err(NoPool::Unknown);
        }
        self.visit(&service, msg.endpoint, by)
    }
}

impl Receive<RoutesChanged> for Router {
    type Result = ();

    fn receive(&mut self, msg: RoutesChanged, _: &mut Context<Self>) {
        self.adopt(msg.0);
    }
}

impl Router {
    fn adopt(&mut self, table: Arc<RouteTable>) {
        let State {
            table: previous,
            pools,
            visited: _,
        } = &mut *self.state;
        for (service, pools) in &mut *pools {
            let limit = |t: &RouteTable| t.service(service).map(|s| s.max_connections);
            // A pool keeps the limit that it was started with, so a changed one needs new pools.
            let same_limit = previous.as_deref().and_then(limit) == limit(&table);
            pools.retain(|endpoint, pool| {
                let named = same_limit && table.names_for(service, *endpoint);
                if !named {
                    // One that is just being rebuilt announces itself, and is told then.
                    pool.do_send(Retire);
                    // Only the pool that found it dead would say that it is back.
                    if let Some(dead) = self.dead.get_mut(service) {
                        dead.remove(endpoint);
                    }
                }
                named
            });
        }
        pools.retain(|_, pools| !pools.is_empty());
        self.dead.retain(|_, dead| !dead.is_empty());
        *previous = Some(table);
        self.probe();
    }
}

impl Receive<EndpointHealth> for Router {
    type Result = ();

    fn receive(&mut self, msg: EndpointHealth, _: &mut Context<Self>) {
        let pools = self.state.pools.get(&msg.service);
        if pools.and_then(|pools| pools.get(&msg.endpoint)) != Some(&msg.pool) {
            if self.state.visited.values().any(|pool| *pool == msg.pool) {
                return; // The rules send nobody there.
            }
            // Retired, and perhaps it has not heard so.
            msg.pool.do_send(Retire);
            return;
        }
        if msg.usable {
            if let Some(dead) = self.dead.get_mut(&msg.service) {
                dead.remove(&msg.endpoint);
            }
        } else {
            self.dead
                .entry(msg.service)
                .or_default()
                .insert(msg.endpoint);
        }
    }
}

impl Receive<CloseLinks> for Router {
    type Result = ResponseFuture<()>;

    fn receive(&mut self, _: CloseLinks, _: &mut Context<Self>) -> ResponseFuture<()> {
        self.closing = true;
        let pools: Vec<_> = self
            .state
            .pools
            .values()
            .flat_map(HashMap::values)
            .chain(self.state.visited.values())
            .cloned()
            .collect();
        Box::pin(async move {
            futures_util::future::join_all(pools.iter().map(|pool| pool.send(Close))).await;
        })
    }
}

impl Receive<Ping> for Router {
    type Result = ();

    fn receive(&mut self, _: Ping, _: &mut Context<Self>) {}
}
