//! A service of a session that goes on at another backend (protocol 2.5).
//!
//! ```text
//!   Open ─ CLOSE 307 ─▶ Parting ─ the state ─▶ Arriving ─ ACCEPT ─▶ Open, at the new backend
//!                          │ no answer            │ refused, no answer, link lost
//!                          └──────────┬───────────┘
//!                                     ▼
//!                                 Returning ─ ACCEPT ─▶ Open, at the old backend
//!                                     │
//!                                     └─ refused, no answer ─▶ Unbound
//! ```
//!
//! Each OPEN raises the session's epoch, so a late ACCEPT is not taken for another one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::core::Hold;
use super::opening::Opening;
use super::state::{Service, Session, State};
use crate::codec::code::Code;

/// A move under way. Times are those of the core's clock, in milliseconds.
#[derive(Debug)]
pub struct Move<L> {
    /// The lease of the old backend, who may get the session back.
    pub from: L,
    /// The lease of the new one, once its OPEN is sent.
    pub to: Option<L>,
    /// The new one.
    pub endpoint: SocketAddr,
    /// The service whose backend has asked, where that is not the old one, and that backend.
    pub asked_by: Option<(Arc<str>, SocketAddr)>,
    /// How another service's move has ended that the old backend has asked for. It is told behind the end of its own:
    /// MOVED 0 would have it forget the session, which may yet come back.
    pub owed: Option<Code>,
    /// Memory was short when the state came: this is tried again.
    pub no_room: bool,
    /// What the client has sent since.
    pub waiting: Opening,
    /// Progress.
    pub stage: Stage,
    /// A link to the new backend is asked for, and there is no answer yet.
    pub reaching: bool,
    /// The old one's link is lost, or it has ended the session itself: it is told nothing.
    pub from_lost: bool,
    /// When it began.
    pub since: u64,
    /// When the backend whose turn it is must have answered.
    pub until: u64,
}

/// Why a session that was to be moved stays with its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// The backend does not hand sessions over.
    NotSupported,
    /// The rules lead nowhere else.
    Nowhere,
    /// The new backend has refused it, or has not answered.
    Refused,
    /// Its state is too large.
    TooLarge,
    /// A resume, a claim or too many other moves are under way, memory is short, or its assignment cannot be looked up.
    Busy,
}

impl Stays {
    /// Number of reasons.
    pub const COUNT: usize = 5;
}

/// Progress of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The old backend has not answered CLOSE 307.
    Parting,
    /// The new one has not answered its OPEN.
    Arriving {
        /// Of that OPEN.
        epoch: u32,
        /// It has, and the news that its link is there is still to come.
        accepted: bool,
    },
    /// The old one has not answered the OPEN by which it gets the session back.
    Returning {
        /// Of that OPEN.
        epoch: u32,
        /// It has, and the link to the new one is still asked for.
        accepted: bool,
        /// Why the new one has not got it.
        why: Code,
    },
}

impl<L: Hold> Move<L> {
    /// Tells whether the backend at `from` may have the session now, as far as is known here. The new one may not before
    /// its OPEN is on its way, nor after it was given up: what it says then is of an OPEN before.
    pub fn may_be_with(&self, from: SocketAddr) -> bool {
        let arrives = match self.stage {
            Stage::Arriving { accepted, .. } => accepted || self.to.is_some(),
            Stage::Parting | Stage::Returning { .. } => false,
        };
        from == self.from.endpoint() || arrives && from == self.endpoint
    }

    /// Tells the old backend what it was not to hear before the end of its own move.
    pub fn tell_owed(&mut self) {
        if let Some(code) = self.owed.take() {
            self.from.tell_moved(code);
        }
    }
}

impl<L: Hold> Session<L> {
    /// Tells the backend at `by` how the move of another service has ended that it has asked for; while its own
    /// service is being moved, later.
    pub fn answer(&mut self, (by, at): &(Arc<str>, SocketAddr), code: Code) {
        let Some(service) = self.services.iter_mut().find(|s| s.name == *by) else {
            return;
        };
        match &mut service.state {
            State::Open(lease) if lease.endpoint() == *at => lease.tell_moved(code),
            State::Moving(moving) if moving.from.endpoint() == *at => match moving.stage {
                Stage::Parting | Stage::Arriving { .. } => moving.owed = Some(code),
                Stage::Returning { .. } => moving.from.tell_moved(code),
            },
            State::Open(_)
            | State::Moving(_)
            | State::Opening(_)
            | State::Assigned(_)
            | State::Unbound => {}
        }
    }
}

impl<L> Session<L> {
    /// Begins to move the service at `place`, which is open, to `endpoint`.
    pub fn begin_move(
        &mut self,
        place: usize,
        endpoint: SocketAddr,
        asked_by: Option<(Arc<str>, SocketAddr)>,
        since: u64,
        until: u64,
    ) {
        let state = &mut self.services[place].state;
        *state = match std::mem::replace(state, State::Unbound) {
            State::Open(from) => State::Moving(Box::new(Move {
                from,
                to: None,
                endpoint,
                asked_by,
                owed: None,
                no_room: false,
                waiting: Opening::default(),
                stage: Stage::Parting,
                reaching: false,
                from_lost: false,
                since,
                until,
            })),
            before => before,
        };
    }

    /// Returns the move of a service, if it is being moved.
    pub fn moving(&mut self, service: &str) -> Option<&mut Move<L>> {
        let service = self.services.iter_mut().find(|s| &*s.name == service)?;
        match &mut service.state {
            State::Moving(moving) => Some(moving),
            State::Open(_) | State::Opening(_) | State::Assigned(_) | State::Unbound => None,
        }
    }

    /// The services that are being moved.
    pub fn moves(&self) -> impl Iterator<Item = (&Arc<str>, &Move<L>)> {
        self.services.iter().filter_map(|s| match &s.state {
            State::Moving(moving) => Some((&s.name, &**moving)),
            State::Open(_) | State::Opening(_) | State::Assigned(_) | State::Unbound => None,
        })
    }

    /// Takes the moves under way out, for the session's end.
    pub fn take_moves(&mut self) -> impl Iterator<Item = Box<Move<L>>> {
        self.services.iter_mut().filter_map(|s| {
            match std::mem::replace(&mut s.state, State::Unbound) {
                State::Moving(moving) => Some(moving),
                before => {
                    s.state = before;
                    None
                }
            }
        })
    }

    /// The move of a service has ended: `settle` says what is left of it. The service is open again, or else is being
    /// opened anew for what has waited.
    pub fn end_move(
        &mut self,
        service: &str,
        settle: impl FnOnce(Move<L>) -> Rest<L>,
    ) -> Option<Settled> {
        let place = self.find(service)?;
        let bound = self.bound;
        let Service { state, lost, .. } = &mut self.services[place];
        let moving = match std::mem::replace(state, State::Unbound) {
            State::Moving(moving) => moving,
            before => {
                *state = before;
                return None;
            }
        };
        let rest = settle(*moving);
        let mut waiting = rest.waiting;
        waiting.lost = None;
        *lost = rest.lost;
        Some(match rest.open {
            Some(lease) => {
                *state = State::Open(lease);
                Settled::Open(place, waiting)
            }
            None if waiting.frames > 0 => {
                waiting.told = bound;
                *state = State::Opening(Box::new(waiting));
                Settled::Reopens(place)
            }
            None => Settled::Unbound,
        })
    }

    /// The service at `place` has lost its link, and goes to the same endpoint when it is named next.
    pub fn assign_again(&mut self, place: usize, endpoint: SocketAddr) {
        let state = &mut self.services[place].state;
        if matches!(state, State::Unbound) {
            *state = State::Assigned(Box::new(endpoint));
        }
    }

    /// Notes where a service goes when it is named next.
    ///
    /// # Errors
    /// 503: the session has as many services as it may. 409: the service is being opened. `Ok(false)`: it is open.
    pub fn assign(&mut self, service: &str, endpoint: SocketAddr) -> Result<bool, Code> {
        let state = self.find(service).map(|place| &self.services[place].state);
        match state {
            Some(State::Open(_) | State::Moving(_)) => return Ok(false),
            Some(State::Opening(_)) => return Err(Code::CONFLICT),
            Some(State::Assigned(_)) => {}
            Some(State::Unbound) | None if self.is_crowded() => return Err(Code::UNAVAILABLE),
            Some(State::Unbound) | None => {}
        }
        let place = match self.find(service) {
            Some(place) => place,
            // The one that was named last may be named by nothing any time.
            None => self.new_place(service, self.last),
        };
        self.services[place].state = State::Assigned(Box::new(endpoint));
        Ok(true)
    }
}

/// What is left of a move that has ended.
#[derive(Debug)]
pub struct Rest<L> {
    /// The lease of the backend that has the session now.
    pub open: Option<L>,
    /// The lease on a link that was lost, whose backend may still have it.
    pub lost: Option<L>,
    /// What the client has sent meanwhile.
    pub waiting: Opening,
}

/// What becomes of a service whose move has ended.
#[derive(Debug)]
pub enum Settled {
    /// It is open, and what has waited is to be sent.
    Open(usize, Opening),
    /// It is to be routed anew.
    Reopens(usize),
    /// Nothing waits for it.
    Unbound,
}
