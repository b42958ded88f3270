//! How a session outlives its connection (protocol 2.4, 3.2): two state machines without I/O or clock.
//!
//! A session is on one gateway, its [`Holder`]. A client that comes back, wherever, is met by a
//! [`Newcomer`], which finds the holder, opens the session on its backends in one epoch more, and takes
//! it over. **There is one way only**: a client that comes back to the gateway that has its session is
//! met by a newcomer too, and the holder is merely near. So the three cases of the protocol differ in
//! what the first question is answered:
//!
//! ```text
//! newcomer                    holder                     backend
//!    │ ASK (token's epoch) ────▶│ good? nobody else at it?    │
//!    │◀──────── HOLDS (epoch+1) │ the client may go on        │   nobody holds it (case 3):
//!    │ OPEN (resumed, epoch+1) ────────────────────────────▶│   OPEN by the token, and
//!    │◀───────────────────────────────────────── ACCEPT │   with the ACCEPTs in hand
//!    │ CLAIM ──────────────────▶│ client not read any more    │   the session is taken up
//!    │                          │ CLOSE 307 ──────────────▶│   with GAP
//!    │                          │◀────────────── CLOSE 307 │
//!    │◀── HANDOVER (ring, counts) │ CLOSE 205 to its client     │
//!    │ OPENED, replay, what backends sent meanwhile             │
//! ```
//!
//! **Why nothing is lost, doubled or reordered.** What the old connection brought is on its links before
//! CLOSE 307, and what the new one brings is sent only after the last of these is answered; so a backend
//! has all of the one before any of the other. What a backend sends on an old link comes before its CLOSE
//! 307 and thus into the ring; what it sends on a new link comes after its ACCEPT and waits behind the
//! replay. Counts at both ends say where to go on. Wherever one of these does not hold, there is a GAP.
//!
//! **Why one gateway has it.** A holder promises a session to one newcomer at a time and gives it up in
//! the same step in which it hands it over. A newcomer that goes on without a holder needs the backends,
//! which take each epoch from one gateway only. So the epoch is always the holder's, or the token's, plus
//! one and never more: a gateway that only believes that it is the holder cannot be used to get past an
//! epoch that was used elsewhere.
//!
//! **A promise that is not kept** (the newcomer's gateway is gone, or takes too long) leaves backends that
//! may have opened the session for it already, and sent it frames. Nobody can know. The holder cuts its
//! connection with 503, if there is one, keeps the session, and whoever gets it then is told GAP.
//!
//! **Counts begin again with GAP**, but only for the client: gateways count on, and a [`Numbering`] says
//! where each epoch began. So a token from before can still be answered with what its client lacks: its
//! OPENED may have been lost, or a RESUME that the client had given up may have come late.
//!
//! Errors that a client must learn of (502) are no matter of these machines: whoever sends one to a
//! RESUMABLE session puts it into the replay ring too.
//!
//! A driver calls one method for each event and does what it returns, in order. Services go by their
//! place in the session, gateways by whatever `G` the driver knows them.

mod actions;
mod holder;
mod newcomer;

pub use crate::session::numbering::Numbering;
pub use actions::{HolderAction, NewcomerAction, Place, Standing};
pub use holder::Holder;
pub use newcomer::Newcomer;

/// Milliseconds of the driver's clock.
pub type Millis = u64;

/// How often a session may have moved on while its holder is looked for.
pub const MAX_MOVES: u8 = 4;

/// The durations that these machines keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// `backend.connect_timeout`: what a backend has for ACCEPT, and for CLOSE 307.
    pub backend: Millis,
    /// `session.resume_window`.
    pub window: Millis,
}

impl Timing {
    /// What a peer has for an answer (protocol 3.2, case 3).
    pub fn peer(&self) -> Millis {
        3 * self.backend
    }
}

/// What a gateway says to a newcomer that asks for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<G> {
    /// It has the session and promises it, in this epoch; so many services go with it.
    Holds {
        /// For the newcomer's OPENs.
        epoch: u32,
    },
    /// It handed the session over, to this one.
    Moved(G),
    /// Not now: another newcomer is at it, or it drains and the session's connection stands.
    Busy,
    /// The token was used.
    NotGood,
    /// It does not have the session.
    Unknown,
}
