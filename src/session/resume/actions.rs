//! What the machines say: their drivers' part, in words.

use super::{Answer, Millis};
use crate::codec::code::Code;

/// How a service of the session stands when the session is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The newcomer has it open, on another link.
    Taken,
    /// The newcomer could not open it, and its client will be told.
    Dropped,
    /// The newcomer sent its OPEN on this very link: what is said there is its own matter now.
    Here,
    /// The newcomer does not know of it.
    Unasked,
    /// It is still being opened here, or its backend has not shown yet that it took the OPEN: nothing
    /// came from there for the session, nor a PONG to a PING behind it.
    Opening,
    /// Its link is lost.
    Lost,
}

/// What the holder's driver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderAction<G> {
    /// Answers the newcomer that has just asked.
    Answer(Answer<G>),
    /// SUSPEND to every backend.
    Suspend(Millis),
    /// The client is not read any more, until it is closed.
    StopReading,
    /// Tells the newcomer that has just claimed that there are more services by now: it opens those
    /// and claims again.
    HoldsMore,
    /// Tells the newcomer that has just claimed that nothing is promised to it.
    RefuseClaim,
    /// Tells this newcomer that the session has ended.
    ClaimEnded(G, Code),
    /// CLOSE 307 on the link of the service at this place.
    LeaveLink(usize),
    /// CLOSE 307 on all links; nobody waits for answers.
    LeaveAll,
    /// Gives up the hold on the link of the service at this place and says nothing there.
    Forget(usize),
    /// Sends counts, identity, [`Holder::numbering`](super::Holder::numbering), and what the ring holds beyond the frame of the
    /// number `has`. It is a GAP where the ring says so, or `gap`.
    HandOver {
        /// The newcomer.
        to: G,
        /// See above.
        gap: bool,
        /// See above.
        has: u64,
    },
    /// CLOSE to the client, whose connection stands.
    CloseClient(Code),
    /// The final CLOSE on every link that was not left.
    End(Code),
}

/// How far a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// OPEN is sent, or waits for its link.
    Waiting,
    /// ACCEPT came.
    Taken,
    /// The session goes on without it.
    Dropped,
}

/// What the newcomer's driver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewcomerAction<G> {
    /// Asks a gateway for the session.
    Ask(G),
    /// OPEN (resumed, this epoch) for the service at this place.
    Open(usize),
    /// Claims the session, and says of each service how far it is.
    Claim(G),
    /// Tells the holder that nothing comes of it. `stale`: because a backend said 410.
    GiveUp {
        /// The holder.
        to: G,
        /// See above.
        stale: bool,
    },
    /// Tells a gateway that answered too late that the session is here by now.
    Supersede(G),
    /// Tells the holder that a backend has ended the session.
    EndHolder(G, Code),
    /// CLOSE 307 on the link of the service at this place; nobody waits for the answer.
    Leave(usize),
    /// The final CLOSE for the service at this place.
    Release(usize, Code),
    /// Gives up the hold on the link of the service at this place and says nothing there.
    Forget(usize),
    /// ERROR 502 for the service at this place: behind the replay and what backends have sent so far.
    Error502(usize),
    /// The session is here: OPENED, with GAP where that is true; then the replay, then what backends
    /// sent and errors, in the order in which they came. [`Newcomer::into_holder`](super::Newcomer::into_holder) is its holder.
    Adopt {
        /// See above.
        gap: bool,
    },
    /// CLOSE to the client; there is no session here.
    Close(Code),
}
