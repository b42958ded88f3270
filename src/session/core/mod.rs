//! The session core: the whole life of a session as one state machine without I/O or clock.
//!
//! A driver calls one method for each event, passes the time and its gateway in a [`Step`], and then
//! executes the effects that the step has gathered, in order. In the gateway the driver is the client
//! actor; in `tests/simulator` it is a simulated one, and both drive this very code.
//!
//! ```text
//!              DATA                registered
//!   Greeting ───────▶ Registering ────────────▶ Active ◀───────────────────────────────┐
//!      │                                        │ ▲  │ connection lost                │
//!      │ RESUME                          resume │ │  ▼                        adopted │
//!      │                                  here  │ │ Suspended ── window over ─▶ Ended │
//!      ▼             located here               ▼ │  │ ▲                             │
//!   Locating ──────────────────▶ (passed to)  Resuming◀─┘ │ the claimant is gone         │
//!      │                                           │                                │
//!      │ elsewhere, or nowhere    Active, Suspended ─ claimed ─▶ Leaving ─ handed over ─▶ Ended
//!      ▼          registered                                                        │
//!   Enlisting ──────────────▶ Claiming: Asking ─▶ Opening ─▶ Claiming ────────────────┘
//! ```
//!
//! A move of a service to another backend goes on in Active and Suspended (see
//! [`moving`](super::moving)); meanwhile claims wait, and a resume here is told to come again.
//!
//! Every state ends in Ended; a connection that breaks in Resuming, Leaving or Claiming is noted in its
//! state, and the session is suspended when the resume is done.
//!
//! # Why nothing is lost, doubled or reordered (protocol 2.4, 3.2)
//!
//! Frames of the old connection are on its links before CLOSE 307, and those of the new one are sent only
//! when the last of these is answered: a backend has all of the one before any of the other. What a
//! backend sends on an old link comes before its CLOSE 307 and so into the replay ring; what it sends on a
//! new link comes after its ACCEPT and waits behind the replay. Counts at both ends say where to go on.
//! Wherever one of these does not hold there is a GAP.
//!
//! # Why one gateway owns a session
//!
//! An owner promises a session to one claimant at a time and gives it up in the step in which it hands it
//! over. A claimant that goes on without an owner needs the backends, which take each epoch from one
//! gateway only. So the epoch is the owner's, or the token's, plus one and never more: a gateway that only
//! believes that it is the owner cannot be used to get past an epoch that was used elsewhere.
//!
//! A promise that is not kept leaves backends that may have opened the session for the claimant, and sent
//! it frames. Nobody can know: the owner cuts its connection with 503 and keeps the session, `torn`, and
//! the client that resumes it next is told GAP.
//!
//! DATA of a session in Active goes beside the machine: [`Core::on_bytes`] and [`Core::keep`] are the short
//! way, and the state only says whether it is open.

mod adopting;
mod asking;
mod backends;
mod claiming;
mod confirming;
mod effect;
mod ending;
mod inbound;
mod leaving;
mod limits;
mod metering;
mod move_failures;
mod moving;
mod opening;
mod owning;
mod places;
mod requests;
mod resuming;
mod squeezing;
mod telling;
mod timing;
mod wishes;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::codec::code::Code;
use crate::codec::link::Bind;
use crate::session::numbering::Numbering;
use crate::session::replay::Replay;
use crate::session::state::Session;

pub use backends::BackendClose;
use claiming::Claim;
use confirming::Confirming;
pub use effect::{
    Effect, Elsewhere, Ended, Hold, Host, Millis, Note, OpenedFrame, Reach, Route, Step,
};
pub use inbound::Inbound;
use leaving::Leaving;
pub use limits::Limits;
use metering::Meter;
pub use metering::ReadLimits;
pub use opening::{RegisterFailed, RouteFailed};
use owning::Promise;
pub use requests::ResumeRequest;
use resuming::Attempt;
pub use wishes::MoveAnswer;

/// One session, from the first frame of its first connection to its end on this gateway.
#[derive(Debug)]
pub struct Core<L> {
    state: State<L>,
    /// When the client was last heard, or last had a reason to be silent.
    alive: Millis,
    /// There once a frame has come while a rate is limited.
    meter: Option<Box<Meter>>,
}

#[derive(Debug)]
enum State<L> {
    /// No session yet; `talked`: a frame has come, so RESUME comes too late.
    Greeting { talked: bool },
    /// The registry is asked for an id; the DATA that starts the session waits.
    Registering { chosen: bool, resumable: bool },
    /// RESUME has come; the registry is asked who has the session.
    Locating(Box<ResumeRequest>),
    /// Nobody here has it; the registry is asked to enter this client.
    Enlisting(Box<ResumeRequest>),
    /// The session is here, and so is its connection.
    Active {
        session: Session<L>,
        resume: Option<Box<Resume>>,
        pause: Pause,
    },
    /// The session is here and waits for its client.
    Suspended {
        session: Session<L>,
        resume: Box<Resume>,
        until: Millis,
        code: Code,
    },
    /// The session is here, and its client is back on a connection of this gateway.
    Resuming {
        session: Session<L>,
        resume: Box<Resume>,
        attempt: Box<Attempt>,
    },
    /// A peer gateway has claimed the session.
    Leaving {
        session: Session<L>,
        resume: Box<Resume>,
        leaving: Box<Leaving>,
    },
    /// The session is a peer gateway's, or nobody's, and is on its way here.
    Claiming {
        session: Session<L>,
        attempt: Box<Attempt>,
        claim: Box<Claim>,
    },
    /// It is over; a backend whose link comes too late hears this code.
    Ended(Code),
}

/// Why an active client is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    None,
    /// Much waits for links that are being opened.
    Opening,
    /// A link that the client feeds is full, and what it has read for it is held back.
    LinkFull,
    /// None: it has waited for that link, and goes before those that wait now.
    InTurn,
}

impl Pause {
    #[inline]
    fn reads(self) -> bool {
        match self {
            Pause::None | Pause::InTurn => true,
            Pause::Opening | Pause::LinkFull => false,
        }
    }
}

/// The part of a session that only one that can be resumed has.
#[derive(Debug)]
struct Resume {
    /// The epoch in which the session came here; tokens of this one to its newest are this gateway's.
    since: u32,
    /// Tokens of this epoch to the session's newest are good.
    oldest_good: u32,
    /// The epoch in which its connection was opened; later ones are those of moves.
    connected: u32,
    /// Epochs here that moves began.
    moves: u32,
    numbering: Numbering,
    replay: Replay,
    /// A promise was not kept: backends may have sent frames to nowhere.
    torn: bool,
    /// When the newest token was made.
    token_made: Millis,
    promise: Option<Box<Promise>>,
    confirming: Option<Box<Confirming>>,
}

impl Resume {
    /// A session that starts.
    fn new(replay_bytes: usize) -> Box<Resume> {
        Box::new(Resume {
            since: 1,
            oldest_good: 1,
            connected: 1,
            moves: 0,
            numbering: Numbering::default(),
            replay: Replay::new(replay_bytes),
            torn: false,
            token_made: 0,
            promise: None,
            confirming: None,
        })
    }
}

impl<L: Hold> Core<L> {
    /// A connection from which no frame has come.
    pub fn new(now: Millis) -> Core<L> {
        Core {
            state: State::Greeting { talked: false },
            alive: now,
            meter: None,
        }
    }

    /// Starts the idle clock: the connection speaks frames from now on.
    pub fn greets(&mut self, now: Millis) {
        self.alive = now;
    }

    /// The client of an open session shows that it lives, by other means than a frame.
    pub fn lives(&mut self, now: Millis) {
        if let State::Active { .. } = &self.state {
            self.alive = now;
        }
    }

    /// Tells whether the connection may be read.
    #[inline]
    pub fn reads(&self) -> bool {
        match &self.state {
            State::Active { pause, .. } => pause.reads(),
            State::Greeting { .. } => true,
            State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Suspended { .. }
            | State::Resuming { .. }
            | State::Leaving { .. }
            | State::Claiming { .. }
            | State::Ended(_) => false,
        }
    }

    /// Tells whether the core is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// The session that is here or on its way here.
    #[inline]
    fn session(&self) -> Option<&Session<L>> {
        match &self.state {
            State::Active { session, .. }
            | State::Suspended { session, .. }
            | State::Resuming { session, .. }
            | State::Leaving { session, .. }
            | State::Claiming { session, .. } => Some(session),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => None,
        }
    }

    #[inline]
    fn session_mut(&mut self) -> Option<&mut Session<L>> {
        match &mut self.state {
            State::Active { session, .. }
            | State::Suspended { session, .. }
            | State::Resuming { session, .. }
            | State::Leaving { session, .. }
            | State::Claiming { session, .. } => Some(session),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => None,
        }
    }

    /// The part of a session here that can be resumed.
    fn resume(&self) -> Option<&Resume> {
        match &self.state {
            State::Active { resume, .. } => resume.as_deref(),
            State::Suspended { resume, .. }
            | State::Resuming { resume, .. }
            | State::Leaving { resume, .. } => Some(resume),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Claiming { .. }
            | State::Ended(_) => None,
        }
    }

    /// The session here and the part of it that can be resumed.
    fn owned(&mut self) -> Option<(&mut Session<L>, &mut Resume)> {
        match &mut self.state {
            State::Active {
                session,
                resume: Some(resume),
                ..
            }
            | State::Suspended {
                session, resume, ..
            }
            | State::Resuming {
                session, resume, ..
            }
            | State::Leaving {
                session, resume, ..
            } => Some((session, resume)),
            State::Active { resume: None, .. }
            | State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Claiming { .. }
            | State::Ended(_) => None,
        }
    }

    /// Takes the state out for a transition, which puts the next one in before it returns; what is left
    /// meanwhile has no meaning.
    fn take_state(&mut self) -> State<L> {
        std::mem::replace(&mut self.state, State::Greeting { talked: true })
    }

    /// The epoch of the session's next OPEN.
    fn epoch(&self) -> u32 {
        match &self.state {
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => attempt.epoch,
            State::Active { session, .. }
            | State::Suspended { session, .. }
            | State::Leaving { session, .. } => session.epoch(),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => 1,
        }
    }

    /// Returns how often the session was resumed, here and elsewhere.
    pub fn resumes(&self) -> u32 {
        match &self.state {
            State::Active { resume: None, .. } => 0,
            _ => {
                let moves = self.resume().map_or(0, |resume| resume.moves);
                (self.epoch() - 1).saturating_sub(moves)
            }
        }
    }

    /// Returns the session's id; 0 if there is none.
    #[inline]
    pub fn session_id(&self) -> u64 {
        self.session().map_or(0, Session::id)
    }

    /// The realm and user that the session has, bound or claimed.
    #[inline]
    pub fn identity(&self) -> Option<Bind> {
        self.session().map(|session| Bind {
            user_id: session.user_id(),
            realm_id: session.realm_id(),
        })
    }

    /// Tells whether a backend has bound the session to a user.
    #[inline]
    pub fn is_bound(&self) -> bool {
        self.session().is_some_and(Session::is_bound)
    }

    /// The session's open services and their endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Arc<str>, SocketAddr)> {
        self.session().into_iter().flat_map(Session::endpoints)
    }

    /// Tells whether the backend of this service at `from` may speak of the session, on any link.
    pub fn uses(&self, session_id: u64, service: &str, from: SocketAddr) -> bool {
        self.session()
            .is_some_and(|s| s.id() == session_id && s.uses(service, from))
    }
}

#[cfg(test)]
mod tests;
