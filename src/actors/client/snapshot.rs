//! Sessions as the admin API shows and selects them.

use std::net::SocketAddr;

use super::story::SessionEnd;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Network;

/// Which sessions are wanted; an unset member takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Sessions that use this service.
    pub service: Option<String>,
    /// Sessions of this realm.
    pub realm_id: Option<u32>,
    /// Sessions of this user.
    pub user_id: Option<u64>,
    /// Sessions whose user a backend has bound, or has not.
    pub bound: Option<bool>,
    /// Sessions whose player's address is in this network.
    pub address: Option<Network>,
    /// Sessions that are bound to this endpoint.
    pub backend: Option<SocketAddr>,
    /// Sessions over this transport.
    pub transport: Option<TransportName>,
    /// Sessions in this state.
    pub state: Option<SessionState>,
}

/// How far a session's user_id is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Only the client says so.
    Claimed,
    /// A backend has bound it.
    Bound,
}

/// A transport by its name in answers.
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
    /// It is over here, for less than an hour.
    Ended,
}

/// One service of a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionService {
    /// The service_type.
    pub service: String,
    /// The endpoint that it is bound to.
    #[schema(value_type = String, example = "10.0.0.7:9300")]
    pub endpoint: SocketAddr,
    /// Since when it is bound there, in seconds since 1970.
    pub since_seconds: u64,
}

/// One session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionSnapshot {
    /// The session id, decimal.
    pub session_id: String,
    /// `{gateway_id}:{session_id}`.
    pub global_id: String,
    /// The W3C trace id that log lines about it have, the same on every gateway.
    #[schema(example = "03459b7d0f0b98209f5152d2e818e4ba")]
    pub trace_id: String,
    /// The user, decimal; "0": not known.
    pub user_id: String,
    /// The realm; 0: none.
    pub realm_id: u32,
    /// `bound` once a backend has bound the user; until then the ids are what the client claims.
    pub identity: Identity,
    /// Where it is in its life.
    pub state: SessionState,
    /// The transport of its connection.
    pub transport: TransportName,
    /// The player's address.
    #[schema(value_type = String, example = "10.0.0.7:9300")]
    pub client: SocketAddr,
    /// Which worker it lives on.
    pub worker: usize,
    /// Seconds since it began, or from its beginning to its end.
    pub age_seconds: u64,
    /// The client asked to be able to resume.
    pub resumable: bool,
    /// The services that it uses, or has used at its end.
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
    /// How it ended; `null`: it has not.
    pub end: Option<SessionEnd>,
}
