//! Commands to a link.
#![expect(missing_docs, reason = "fields whose names suffice")]

use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{Lease, LinkEvent, Wanted};
use crate::codec::code::Code;
use crate::codec::link::{Bind, OPEN_TRANSFERRED, open_flags};
use crate::memory::Held;
use crate::session::link::LinkEnd;
use crate::supervision::CountedRecipient;

/// Frames of one socket read of one client, already encoded for the link.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Forward {
    /// Whole link frames.
    pub bytes: Vec<u8>,
    pub frames: u32,
    /// The memory that they take: the link counts it as late as it is polled, and many clients may send before that.
    pub held: Held,
}

/// Has the newest frame in the link's queue timed until it is written.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TimeFrame {
    pub read_at: Instant,
}

/// Asks to be told, by [`LinkEvent::Room`], when the link has room.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitRoom {
    pub session_id: u64,
    /// It was told before, and others were quicker: it comes first.
    pub in_turn: bool,
}

/// Asks the same for a session that has just been attached.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitTurn {
    pub answer: oneshot::Sender<()>,
    /// As in [`AwaitRoom`].
    pub in_turn: bool,
}

/// Sends BOUND, or keeps the newest one until there is room.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellBound {
    pub session_id: u64,
    pub bound: Bind,
}

/// Changes the realm that frames to the client name.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Retag {
    pub session_id: u64,
    pub realm_id: u32,
}

/// Takes the session off the link. Sent by a [`Lease`] that is dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Release {
    pub session_id: u64,
    /// Code of the final CLOSE; none where the backend has ended the session itself.
    pub code: Option<Code>,
}

/// The endpoint is owed final CLOSEs. Sent to the pool by a [`Lease`] whose link is gone, and by a link that is lost;
/// and by the pool to a link, which says them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseOwed;

/// Adds a session: sends OPEN and answers with a [`Lease`], which a full link does when there is room. An answer
/// that is dropped means that the link is gone or has too many waiting.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach {
    pub session_id: u64,
    pub realm_id: u32,
    /// Payload of OPEN.
    pub open: Vec<u8>,
    /// The OPEN is that of a resume: what comes before its ACCEPT belongs to the epoch before.
    pub resumes: bool,
    pub client: CountedRecipient<LinkEvent>,
    /// Whether the session still wants it: one that is over brings no OPEN.
    pub wanted: Wanted,
    pub answer: oneshot::Sender<Lease>,
}

impl Attach {
    /// The OPEN is one of a move, and brings the session's state.
    pub fn arrives(&self) -> bool {
        open_flags(&self.open) & OPEN_TRANSFERRED != 0
    }
}

/// Sends OPEN again: the session goes on over this link after a resume.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reopen {
    pub session_id: u64,
    /// Payload of OPEN.
    pub open: Vec<u8>,
}

/// Sends SUSPEND: the session's connection is lost, and it is kept for a resume.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Suspend {
    pub session_id: u64,
    /// Time for which it is kept.
    pub window_ms: u32,
}

/// Asks to be told, by [`LinkEvent::Confirmed`], when the backend is known to have taken the session's
/// OPEN.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Confirm {
    pub session_id: u64,
}

/// Sends CLOSE 307: the session leaves the link in order (protocol 2.4). Frames of the backend are
/// delivered until it answers, which [`LinkEvent::Left`] tells.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave {
    pub session_id: u64,
}

/// Ends some sessions, for the endpoint is in maintenance.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndSome {
    pub most: usize,
}

/// Has the sessions moved to other endpoints, for an operator says so.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Evacuate;

/// Sends CLOSE 307 with which a move begins (protocol 2.5). [`LinkEvent::Left`] brings the session's state; the session
/// stays on the link, and comes back by [`Reopen`] or goes by [`Release`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Move {
    pub session_id: u64,
}

/// Sends MOVED.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellMoved {
    pub session_id: u64,
    pub code: Code,
}

/// Writes what is queued and ends the link. The answer comes when it is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Quit {
    pub reason: LinkEnd,
}

/// Tells the pool again how the link is, for one that has just taken over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Report;
