//! News from a link.
#![expect(missing_docs, reason = "fields whose names suffice")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;

use crate::actors::session_registry::Strayed;
use crate::codec::link::Bind;
use crate::memory::Held;
use crate::net::outbox::Slice;
use crate::session::core::BackendClose;
use crate::session::link::LinkEnd;

/// News for a session's client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum LinkEvent {
    /// Frames for the client, already encoded: `head`, then `tail`, which is the payload of the
    /// last frame where that is large.
    Deliver {
        /// Whole client frames, but that `tail` completes the last one.
        head: Vec<u8>,
        /// A large payload, written from the buffer in which it came.
        tail: Option<Slice>,
        frames: u32,
        /// The memory that they take until the client counts it.
        held: Held,
    },
    /// The backend has bound the session to a user or a realm.
    Bound {
        service: Arc<str>,
        bind: Bind,
        held: Held,
    },
    /// The backend ends the session, or does not take its OPEN after a resume; this link has
    /// forgotten it already.
    Closed {
        service: Arc<str>,
        link_id: u64,
        close: BackendClose,
    },
    /// The backend has taken the OPEN after a resume.
    Accepted {
        service: Arc<str>,
        epoch: u32,
        held: Held,
    },
    /// The backend has answered CLOSE 307 (protocol 2.4): nothing more comes over this link.
    Left {
        service: Arc<str>,
        link_id: u64,
        /// The session's state, where that began a move (protocol 2.5).
        state: Box<[u8]>,
        held: Held,
    },
    /// The backend has taken the session's OPEN: it has said something of the session since, or
    /// answered a PING behind it.
    Confirmed {
        service: Arc<str>,
        link_id: u64,
        held: Held,
    },
    /// The backend says ASSIGN or TRANSFER.
    Wish(Box<Strayed>),
    /// The backend leaves, and its sessions are to be moved.
    MoveAway {
        service: Arc<str>,
        endpoint: SocketAddr,
    },
    /// The link is lost, and with it perhaps answers.
    Lost { service: Arc<str>, link_id: u64 },
    /// An operator ends what is open there. Said again until it has ended.
    EndService { service: Arc<str>, link_id: u64 },
    /// The link has room again.
    Room,
    /// The newest frame is to be timed until it is written; it came at this time.
    TimeFrame { read_at: Instant },
}

/// News for the link's pool.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkReport {
    pub link_id: u64,
    pub change: LinkChange,
}

/// Change of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Its first PONG came.
    Ready,
    /// A PONG is overdue and nothing else comes.
    Suspect,
    /// Something has come after all.
    Heard,
    /// Its backend takes no new sessions.
    Goaway,
    /// It has had no session for `backend.idle_timeout`.
    Idle,
    /// It is gone.
    Ended {
        reason: LinkEnd,
        /// Error of the socket or of TLS, where that is the reason.
        error: Option<Box<str>>,
    },
}
