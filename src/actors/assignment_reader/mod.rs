//! Answers where Redis says that a user's sessions of a service go (`assignments` of a rule).
//!
//! ```text
//!   LookUp ─▶ known? ─ yes ─▶ answer           rules ─▶ services ─▶ subscription ─▶ changed: known no more
//!                └─ no ─ HGET ─▶ known ─▶ answer
//! ```
//!
//! It is asked once a session and service, while the session's frames wait, and never for a frame. It has a connection to
//! Redis and a subscription of its own, and none as long as no rule asks for them. When it panics, the next one
//! inherits what is known, and reads it again where it is asked for.

mod follow;
mod handle;
mod launch;
mod memory;
mod reading;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::watch;

use super::router::RoutesChanged;
use crate::memory::Held;
use crate::scope::RoutesInForce;
use crate::store::assignments::{Assignments as Cache, Look};
use crate::store::redis::{Keys, Server};
use crate::supervision::{Receive, Registration, Rescued};

use follow::{Connection, ServiceNews};
pub use handle::{AssignmentCounts, Assignments};
pub use launch::launch;
use reading::{Complaints, Troubles};

/// Questions to Redis under way; beyond them sessions that need one get ERROR 503.
const MAX_QUESTIONS: usize = 65_536;

/// Asks where a user's sessions of a service go. The service's rule reads assignments.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Assigned, Unassigned>")]
pub struct LookUp {
    /// The service.
    pub service: Arc<str>,
    /// The user; not 0.
    pub user_id: u64,
    /// What is known will not do: Redis is asked, if it can be.
    pub anew: bool,
}

/// Where Redis says that a user's sessions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// An endpoint that the rule allows.
    pub endpoint: SocketAddr,
    /// How that is known.
    pub how: How,
}

/// How an assignment is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was read before, and has not changed as far as is known.
    Known,
    /// Redis has just said so.
    Read,
    /// It was read before, and Redis cannot be asked now.
    LastGood,
}

/// Why a user's sessions go nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unassigned {
    /// Redis names no endpoint, or none that the rule allows. `known`: it was not asked just now.
    Nowhere {
        /// It was read before.
        known: bool,
    },
    /// Redis cannot be asked, and has not said so before.
    Unknown,
}

/// Asks how it is.
#[derive(Debug, Message)]
#[rtype(result = "Account")]
pub struct AskAccount;

/// How it is, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq, MessageResponse)]
pub struct Account {
    /// Services whose rules read assignments.
    pub services: usize,
    /// Redis is connected and subscribed.
    pub connected: bool,
    /// Users and services of which it is known where they go, or that they go nowhere.
    pub known: usize,
    /// The newest trouble with Redis, until it is over.
    pub error: Option<Arc<str>>,
}

/// The actor.
pub struct AssignmentReader {
    registration: Registration,
    state: Rescued<State>,
    server: Arc<Server>,
    keys: Arc<Keys>,
    routes: Arc<RoutesInForce>,
    counts: Arc<AssignmentCounts>,
    services: BTreeSet<Arc<str>>,
    connection: watch::Sender<Connection>,
    /// Ends the subscription that is there, when the services change.
    following: Option<SpawnHandle>,
    /// Questions under way.
    asking: usize,
    troubles: Troubles,
    complaints: Complaints,
    held: Held,
}

/// State that outlives a panic.
#[derive(Default)]
struct State {
    cache: Cache,
}

impl AssignmentReader {
    /// Follows the services whose rules read assignments.
    fn adopt(&mut self, ctx: &mut Context<Self>) {
        let table = self.routes.load();
        let rules = table.iter().flat_map(|table| table.services());
        let reading = rules.filter(|(_, rule)| rule.reads_assignments);
        let services: BTreeSet<Arc<str>> =
            reading.map(|(_, rule)| Arc::clone(&rule.name)).collect();
        if services != self.services {
            self.state.cache.keep(&services);
            self.services = services;
            self.follow(ctx);
        }
    }
}

impl Actor for AssignmentReader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Those who ask wait anyway, and are bounded themselves.
        ctx.set_mailbox_capacity(MAX_QUESTIONS);
        self.adopt(ctx);
        self.look_at_memory_regularly(ctx);
    }
}

impl Receive<RoutesChanged> for AssignmentReader {
    type Result = ();

    fn receive(&mut self, _: RoutesChanged, ctx: &mut Context<Self>) {
        self.adopt(ctx);
    }
}

impl Receive<LookUp> for AssignmentReader {
    type Result = ResponseActFuture<Self, Result<Assigned, Unassigned>>;

    fn receive(&mut self, msg: LookUp, _: &mut Context<Self>) -> Self::Result {
        let LookUp {
            service,
            user_id,
            anew,
        } = msg;
        let look = (self.state.cache).look(&service, user_id, anew, Instant::now());
        let question = match look {
            Look::Known(endpoint) => {
                let answer = self.answer(&service, endpoint.as_deref(), How::Known);
                return Box::pin(actix::fut::ready(answer));
            }
            Look::Ask(question) => question,
        };
        let read = self.read(&question).into_actor(self);
        let (has_room, held) = self.room_for_question(&read);
        if self.asking >= MAX_QUESTIONS || !has_room {
            let answer = self.last_good(&question);
            return Box::pin(actix::fut::ready(answer));
        }
        self.asking += 1;
        Box::pin(read.map(move |value, reader, _| {
            drop(held);
            reader.asking -= 1;
            reader.take(question, value)
        }))
    }
}

impl Receive<ServiceNews> for AssignmentReader {
    type Result = ();

    fn receive(&mut self, msg: ServiceNews, _: &mut Context<Self>) {
        self.hear(msg);
    }
}

impl Receive<AskAccount> for AssignmentReader {
    type Result = Account;

    fn receive(&mut self, _: AskAccount, _: &mut Context<Self>) -> Self::Result {
        self.account()
    }
}
