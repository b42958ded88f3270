//! What a pool is asked and told, and what it tells the router.

use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;

use super::BackendPool;
use crate::actors::link::{Lease, LinkEvent};
use crate::supervision::{CountedRecipient, Seat};

/// Asks for a link for a session. Answered when the link is there or cannot be had.
#[derive(Clone, Message)]
#[rtype(result = "Result<Lease, BindFailed>")]
pub struct Bind {
    /// The session.
    pub session_id: u64,
    /// Its realm, for frames to the client.
    pub realm_id: u32,
    /// The payload of OPEN.
    pub open: Vec<u8>,
    /// The client.
    pub client: CountedRecipient<LinkEvent>,
    /// The backend has the session already: it goes on, also where no new ones are taken.
    pub resumes: bool,
}

/// Why a session gets no link here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindFailed {
    /// The backend cannot be reached; try again after so many milliseconds.
    Unreachable {
        /// 0: no advice.
        retry_after_ms: u32,
    },
    /// The backend takes no new sessions.
    Leaving,
    /// The service has all the links that it may have, and none of them leads here.
    NoLinkLeft,
    /// Too many sessions wait already.
    Crowded,
}

/// What a pool tells the router: whether new sessions should come here.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndpointHealth {
    /// The service.
    pub service: Arc<str>,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Who says so; what a retired pool says counts no more.
    pub pool: Seat<BackendPool>,
    /// Whether it is worth trying.
    pub usable: bool,
}

/// Asks for an [`EndpointHealth`], for a router that knows nothing yet.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Announce;

/// The rules no longer name this endpoint: links end when their last session has left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Retire;

/// All links write what they hold and end. The answer comes when they are gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;
