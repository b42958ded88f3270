//! What actors say of themselves when they are asked: plain values, as the admin API shows them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::kind::Kind;

/// Why an actor died last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    /// What the panic said, and where.
    pub message: String,
    /// Seconds since 1970.
    pub at_seconds: u64,
}

/// All actors of one kind, those that are gone included.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KindSnapshot {
    /// Which kind.
    pub kind: Kind,
    /// How many there are now.
    pub live: u64,
    /// How many were ever started, restarts included.
    pub started: u64,
    /// How many took the place of one that had panicked.
    pub restarts: u64,
    /// How many panicked.
    pub panics: u64,
    /// Messages that they have handled.
    pub handled: u64,
    /// Messages that were sent to them and are not handled yet.
    pub waiting: u64,
    /// The most that waited for a single one at a time.
    pub waiting_highest: u64,
    /// The newest panic.
    pub last_error: Option<LastError>,
}

impl KindSnapshot {
    /// Before any was started.
    pub fn none(kind: Kind) -> KindSnapshot {
        KindSnapshot {
            kind,
            live: 0,
            started: 0,
            restarts: 0,
            panics: 0,
            handled: 0,
            waiting: 0,
            waiting_highest: 0,
            last_error: None,
        }
    }
}

/// Where one actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// It takes messages.
    Running,
    /// It has panicked and will be rebuilt shortly.
    Restarting,
}

/// One actor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorSnapshot {
    /// Unique in the process and stable over restarts, for example `router-0` or `link-17`.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// What it works for, for example `game 10.0.0.7:9300`; empty where the id says all.
    pub name: String,
    /// On which worker's thread it lives; `null`: the gateway's own.
    pub worker: Option<usize>,
    /// The id of the actor that supervises it; `null` for the root.
    pub parent: Option<String>,
    /// Where it is in its life.
    pub state: ActorState,
    /// Seconds since it was started the last time.
    pub uptime_seconds: u64,
    /// How often it was started again after a panic.
    pub restarts: u64,
    /// How often it panicked.
    pub panics: u64,
    /// Messages that it has handled, before restarts included.
    pub handled: u64,
    /// Messages that were sent to it and are not handled yet.
    pub waiting: u64,
    /// The most that waited at a time.
    pub waiting_highest: u64,
    /// The newest panic.
    pub last_error: Option<LastError>,
    /// Its own account of itself; `null` where it was not asked or did not answer in time.
    pub detail: Option<serde_json::Value>,
    /// `false`: it was asked for its account and did not answer in time.
    pub responding: bool,
}

/// An actor and those that it supervises.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorNode {
    /// The actor; `detail` is `null` here.
    #[serde(flatten)]
    pub actor: ActorSnapshot,
    /// The clients of a worker, which are too many to be listed here.
    pub clients: Option<u64>,
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

/// Which sessions are wanted; an unset member takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Sessions that use this service.
    pub service: Option<String>,
    /// Sessions of this realm.
    pub realm_id: Option<u32>,
    /// Sessions of this user.
    pub user_id: Option<u64>,
    /// Sessions that are bound to this endpoint.
    pub backend: Option<SocketAddr>,
    /// Sessions over this transport.
    pub transport: Option<TransportName>,
    /// Sessions in this state.
    pub state: Option<SessionState>,
}

/// How a player is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransportName {
    /// Frames directly on TCP.
    Tcp,
    /// Frames in WebSocket messages.
    #[serde(rename = "websocket")]
    WebSocket,
    /// A one-shot HTTP request.
    Http,
    /// As `tcp`, inside TLS.
    // A plus that a URL does not escape means a space.
    #[serde(rename = "tcp+tls", alias = "tcp tls")]
    TcpTls,
    /// As `websocket`, inside TLS.
    #[serde(rename = "websocket+tls", alias = "websocket tls")]
    WebSocketTls,
    /// As `http`, inside TLS.
    #[serde(rename = "http+tls", alias = "http tls")]
    HttpTls,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its client is connected.
    Active,
    /// Its client's connection is lost; it can be resumed.
    Suspended,
}

/// One service of a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionService {
    /// The service_type.
    pub service: String,
    /// The endpoint that it is bound to.
    #[schema(value_type = String, example = "10.0.0.7:9300")]
    pub endpoint: SocketAddr,
}

/// One session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionSnapshot {
    /// The session id, decimal.
    pub session_id: String,
    /// `{gateway_id}:{session_id}`.
    pub global_id: String,
    /// The user, decimal; "0": not known.
    pub user_id: String,
    /// The realm; 0: none.
    pub realm_id: u32,
    /// Where it is in its life.
    pub state: SessionState,
    /// How its player is connected.
    pub transport: TransportName,
    /// The player's address.
    #[schema(value_type = String, example = "10.0.0.7:9300")]
    pub client: SocketAddr,
    /// Which worker it lives on.
    pub worker: usize,
    /// Seconds since it began.
    pub age_seconds: u64,
    /// Whether the client asked to be able to resume.
    pub resumable: bool,
    /// The services that it uses.
    pub services: Vec<SessionService>,
    /// Frames from the client.
    pub frames_in: u64,
    /// Frames to the client.
    pub frames_out: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client, those that wait included.
    pub bytes_out: u64,
    /// Bytes that wait for the client to take them.
    pub queued_bytes: u64,
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

/// Whether an endpoint can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendHealth {
    /// Not tried since the last rules, or the last attempt is too long ago.
    Unknown,
    /// At least one link is ready.
    Up,
    /// It cannot be reached.
    Down,
    /// It has said that it takes no new sessions.
    Leaving,
}

/// Whether new sessions are sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// They are.
    Closed,
    /// An attempt is under way; sessions wait for it.
    HalfOpen,
    /// They are refused at once until the next attempt.
    Open,
}

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Its first PONG has not come.
    Connecting,
    /// It takes sessions.
    Ready,
    /// Its backend takes no new sessions.
    Leaving,
    /// It writes what it holds and ends.
    Quitting,
}

/// One link.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkSnapshot {
    /// The id of its actor.
    pub id: String,
    /// Which worker it lives on.
    pub worker: usize,
    /// Where it is in its life.
    pub state: LinkState,
    /// Sessions that it carries.
    pub sessions: u64,
    /// The time from the last PING to its PONG, in microseconds.
    pub rtt_us: Option<u64>,
    /// Bytes on their way to the backend that its socket has not taken.
    pub queued_bytes: u64,
    /// Frames from the backend.
    pub frames_in: u64,
    /// Frames to the backend.
    pub frames_out: u64,
    /// Bytes from the backend.
    pub bytes_in: u64,
    /// Bytes to the backend.
    pub bytes_out: u64,
}

/// One worker's links to one endpoint of one service: a pool's account of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolSnapshot {
    /// The service_type.
    pub service: String,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Whether it can be reached.
    pub health: BackendHealth,
    /// Whether new sessions are sent to it.
    pub breaker: Breaker,
    /// Why its newest link that has ended in disorder did; none once one is ready.
    pub last_error: Option<String>,
    /// No rule names it any more; it goes when its last session has left.
    pub retired: bool,
    /// Sessions that wait for a link.
    pub waiting_sessions: u64,
    /// Final CLOSEs that wait for a link.
    pub owed_closes: u64,
    /// Its links.
    pub links: Vec<LinkSnapshot>,
}

/// One endpoint of one service, over all workers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackendSnapshot {
    /// The service_type.
    pub service: String,
    /// The endpoint.
    #[schema(value_type = String, example = "10.0.0.7:9300")]
    pub endpoint: SocketAddr,
    /// Whether the rules in force name it.
    pub in_rules: bool,
    /// The best that any worker knows of it.
    pub health: BackendHealth,
    /// The most open that any worker's is.
    pub breaker: Breaker,
    /// Why a link to it could not be had or was lost, a certificate that is not trusted for example;
    /// `null` once a link is ready.
    pub last_error: Option<String>,
    /// Sessions that are bound to it.
    pub sessions: u64,
    /// Sessions that wait for a link to it.
    pub waiting_sessions: u64,
    /// The slowest link's round trip, in microseconds.
    pub rtt_us: Option<u64>,
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
    /// Its links.
    pub links: Vec<LinkSnapshot>,
}
