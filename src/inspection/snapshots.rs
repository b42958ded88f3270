//! Answers that take more than one actor: the tree of actors, pages, and backends over all workers.

use std::net::SocketAddr;
use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use super::slow::Slow;
use crate::actors::backend_pool::{BackendHealth, Breaker};
use crate::actors::client::SessionSnapshot;
use crate::actors::link::{EvacuationSnapshot, LinkSnapshot};
use crate::admission::unix_seconds;
use crate::metrics::{Percentiles, RecentTimes};
use crate::routing::EndpointName;
use crate::routing::health::{OperatorState, Order};
use crate::supervision::{ActorSnapshot, Load};

/// An actor and those that it supervises.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorNode {
    /// The actor; `detail` is `null` here.
    #[serde(flatten)]
    pub actor: ActorSnapshot,
    /// The clients of a worker, which are too many to be listed here.
    pub clients: Option<u64>,
    /// What these do, over the last seconds.
    pub clients_load: Option<Load>,
    /// Those that it supervises.
    #[schema(no_recursion)]
    pub children: Vec<ActorNode>,
}

/// A page of single actors.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ActorPage {
    /// The actors.
    pub actors: Vec<ActorSnapshot>,
    /// Where the next page begins; `null`: this is the last.
    pub next_cursor: Option<String>,
}

/// A page of sessions.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct SessionPage {
    /// The sessions. A session that lives throughout is on exactly one page.
    pub sessions: Vec<SessionSnapshot>,
    /// Where the next page begins; `null`: this is the last.
    pub next_cursor: Option<String>,
    /// Workers that did not answer in time: their sessions are missing.
    pub silent_workers: Vec<usize>,
}

/// One endpoint of one service, over all workers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackendSnapshot {
    /// The service_type.
    pub service: String,
    /// The endpoint: an address, or a name that does not resolve.
    #[schema(example = "10.0.0.7:9300")]
    pub endpoint: String,
    /// Its address; none where it is a name that does not resolve.
    #[serde(skip)]
    pub address: Option<SocketAddr>,
    /// Whether the rules in force name it.
    pub in_rules: bool,
    /// The best that any worker knows of it.
    pub health: BackendHealth,
    /// The most open that any worker's is.
    pub breaker: Breaker,
    /// Its state by the word of an operator.
    pub operator_state: OperatorState,
    /// The order for that; `null`: there is none, it is ready.
    pub order: Option<OrderSnapshot>,
    /// How far its sessions have been moved to other endpoints; `null`: nobody wants that.
    pub evacuation: Option<EvacuationSnapshot>,
    /// Why a link to it could not be had or was lost, a certificate that is not trusted for example;
    /// `null` once a link is ready.
    pub last_error: Option<String>,
    /// Sessions that are bound to it.
    pub sessions: u64,
    /// Sessions that wait for a link to it.
    pub waiting_sessions: u64,
    /// The slowest link's round trip, in microseconds: that of its newest PING that was answered, or the age of
    /// the oldest that was not, where that is longer.
    pub rtt_us: Option<u64>,
    /// The age of the oldest PING that is unanswered, in microseconds; `null`: all are answered.
    pub ping_age_us: Option<u64>,
    /// Bytes in flight to it: sent by clients and not yet taken by its sockets.
    pub queued_bytes: u64,
    /// Frames from it, over the links that are there now.
    pub frames_in: u64,
    /// Frames to it, over the links that are there now.
    pub frames_out: u64,
    /// Bytes from it, over the links that are there now.
    pub bytes_in: u64,
    /// Bytes to it, over the links that are there now.
    pub bytes_out: u64,
    /// What new links of the last hour or two have taken to connect, to the first PONG; `null`: there was none.
    pub connect: Option<Percentiles>,
    /// What the first answers to new sessions of the last minute or two have taken, from OPEN to the first DATA;
    /// `null`: there was none.
    pub first_answer: Option<Percentiles>,
    /// What took DATA to players behind sampled frames of theirs in the last minute or two; a frame that none follows
    /// within 60 s counts as one of 60 s. `null`: none was sampled.
    pub answer: Option<Percentiles>,
    /// What half of the answers of the last hour or two took no longer than, in microseconds, at the endpoint of the
    /// service where that is the least; `null`: there are too few.
    pub usual_answer_us: Option<u64>,
    /// How long DATA for a player has been awaited behind a sampled frame of theirs, in microseconds, the longest of all
    /// links; `null`: it is not.
    pub awaited_us: Option<u64>,
    /// The same, of a link on which meanwhile nothing at all has come but PONGs, for eight frames of players at least.
    pub silent_us: Option<u64>,
    /// It answers players later than the service does usually, and how; `null`: it does not.
    pub slow: Option<Slow>,
    /// What these are made of.
    #[serde(skip)]
    pub times: Times,
    /// Its links.
    pub links: Vec<LinkSnapshot>,
}

/// An operator's order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrderSnapshot {
    /// The address or name that it was given for.
    #[schema(example = "10.0.0.7:9300")]
    pub address: String,
    /// Whether its sessions are moved to other backends.
    pub r#move: bool,
    /// When it was given, in seconds since 1970.
    pub since_seconds: u64,
    /// Seconds since then.
    pub age_seconds: u64,
    /// Seconds until it ends by itself; `null`: it does not.
    pub remaining_seconds: Option<u64>,
    /// Who gave it, and from where.
    pub by: String,
    /// The reason that was given.
    pub reason: String,
}

impl OrderSnapshot {
    /// Shows an order that was given for `address`.
    pub fn new(address: &EndpointName, order: &Order) -> OrderSnapshot {
        let left = |ends: Instant| ends.saturating_duration_since(Instant::now());
        OrderSnapshot {
            address: address.to_string(),
            r#move: order.moves,
            since_seconds: order.since,
            age_seconds: unix_seconds().saturating_sub(order.since),
            remaining_seconds: order.ends.map(|ends| left(ends).as_secs()),
            by: order.by.clone(),
            reason: order.reason.clone(),
        }
    }
}

/// Times of one endpoint, over all workers.
#[derive(Debug, Clone, Default)]
pub struct Times {
    pub connect: RecentTimes,
    pub first_answer: RecentTimes,
    pub answer: RecentTimes,
    pub usual_answer: RecentTimes,
}
