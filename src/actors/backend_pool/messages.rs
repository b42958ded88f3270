//! Commands to a pool, and its news for the router.
#![expect(missing_docs, reason = "fields whose names suffice")]

use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;

use super::BackendPool;
use crate::actors::link::{Lease, LinkEvent, Wanted};
use crate::supervision::{CountedRecipient, Seat};

/// Asks for a link for a session. The answer comes when the link is there or cannot be had.
#[derive(Clone, Message)]
#[rtype(result = "Result<Lease, BindFailed>")]
pub struct Bind {
    pub session_id: u64,
    pub realm_id: u32,
    /// Payload of OPEN.
    pub open: Vec<u8>,
    pub client: CountedRecipient<LinkEvent>,
    /// Whether the session still wants it.
    pub wanted: Wanted,
    /// The backend has the session already: it goes on, also where no new ones are taken.
    pub resumes: bool,
    /// It awaits ACCEPT as that one does, but comes from another backend.
    pub arrives: bool,
    /// The rule's limit of sessions at this endpoint. It does not hold for one that resumes.
    pub max_sessions: Option<u32>,
}

impl Bind {
    /// Tells whether the backend has the session already.
    pub(super) fn goes_on(&self) -> bool {
        self.resumes && !self.arrives
    }
}

/// Reason for which a session gets no link here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindFailed {
    /// The backend cannot be reached.
    Unreachable {
        /// When it is worth another try.
        retry_after_ms: u32,
    },
    /// The backend takes no new sessions.
    Leaving,
    /// The endpoint has all the sessions that it may have.
    Full,
    /// The service has all the links that it may have, and none of them leads here.
    NoLinkLeft,
    /// Too many sessions wait already.
    Crowded,
}

/// News for the router: whether new sessions should come to this endpoint.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndpointHealth {
    pub service: Arc<str>,
    pub endpoint: SocketAddr,
    /// Sender; news of a pool that has retired counts no more.
    pub pool: Seat<BackendPool>,
    pub usable: bool,
}

/// Asks for an [`EndpointHealth`], for a router that knows nothing yet.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Announce;

/// Sees to it that there is a link, for nobody yet: so that it is known how the endpoint is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Probe;

/// Ends the pool, each link when its last session has left: no rule names this endpoint any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Retire;

/// Ends all links when they have written what they hold. The answer comes when they are gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;
