//! What a link is told, and what it tells its clients and its pool.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::lease::Lease;
use crate::codec::link::Bind;
use crate::session::core::BackendClose;
use crate::session::link::LinkEnd;
use crate::supervision::CountedRecipient;

/// What a link tells a client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum LinkEvent {
    /// Frames for the client, already encoded: `head`, then `tail`, which is the payload of the
    /// last frame where that is large.
    Deliver {
        /// Whole client frames, but that `tail` completes the last one.
        head: Vec<u8>,
        /// A large payload, written from the buffer in which it came.
        tail: Option<Bytes>,
        /// How many frames.
        frames: u32,
    },
    /// The backend says who the session is.
    Bound(Bind),
    /// The backend ends the session, or does not take its OPEN after a resume; this link has
    /// forgotten it already.
    Closed {
        /// Whose link it was.
        service: Arc<str>,
        /// How.
        close: BackendClose,
    },
    /// The backend has taken the OPEN after a resume.
    Accepted {
        /// Whose link it is.
        service: Arc<str>,
        /// Which epoch it has taken.
        epoch: u32,
    },
    /// The backend has let go of the session, which left this link (protocol 2.4). Nothing more
    /// comes from there.
    Left {
        /// Whose link it was.
        service: Arc<str>,
        /// Which link.
        link_id: u64,
    },
    /// The backend has taken the session's OPEN: it has said something of the session since, or
    /// answered a PING behind it.
    Confirmed {
        /// Whose link it is.
        service: Arc<str>,
        /// Which link.
        link_id: u64,
    },
    /// The link is lost, and with it perhaps answers.
    Lost {
        /// Whose link it was.
        service: Arc<str>,
        /// Which link.
        link_id: u64,
    },
    /// The link has room again.
    Room,
}

/// Adds a session: sends OPEN and answers with a [`Lease`]. Dropped unanswered, it means that the
/// link is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// The session.
    pub session_id: u64,
    /// Its realm, for frames to the client.
    pub realm_id: u32,
    /// The payload of OPEN.
    pub open: Vec<u8>,
    /// The OPEN is that of a resume: what comes before its ACCEPT is of the time before.
    pub resumes: bool,
    /// The client.
    pub client: CountedRecipient<LinkEvent>,
    /// Who waits for the lease.
    pub answer: oneshot::Sender<Lease>,
}

/// The session goes on over this link after a resume: sends OPEN again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reopen {
    /// The session.
    pub session_id: u64,
    /// The payload of OPEN.
    pub open: Vec<u8>,
}

/// The session's connection is lost, and it is kept for a resume: sends SUSPEND.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Suspend {
    /// The session.
    pub session_id: u64,
    /// How long it is kept, in milliseconds.
    pub window_ms: u32,
}

/// Asks to be told, by [`LinkEvent::Confirmed`], when the backend is known to have taken the session's
/// OPEN.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Confirm {
    /// The session.
    pub session_id: u64,
}

/// The session leaves the link in order (protocol 2.4): sends CLOSE 307. What the backend still
/// says there is delivered until it answers, which is told by [`LinkEvent::Left`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// The session.
    pub session_id: u64,
}

/// The link writes what it holds and ends. The answer comes when it is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Quit {
    /// Why.
    pub reason: LinkEnd,
}

/// Says again to its pool how it is, for one that has just taken over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Report;

/// What a link tells its pool.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkReport {
    /// Which link.
    pub link_id: u64,
    /// What happened.
    pub what: LinkChange,
}

/// What happened to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Its first PONG came.
    Ready,
    /// Its backend takes no new sessions.
    Goaway,
    /// It has had no session for `backend.idle_timeout`.
    Idle,
    /// It is gone.
    Ended {
        /// Why.
        reason: LinkEnd,
        /// What the socket or TLS said, if that is why.
        error: Option<Box<str>>,
    },
}
