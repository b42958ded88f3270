//! A service on its way to a link, and the frames that wait for that.

use std::net::SocketAddr;

use super::state::{Session, State};
use crate::codec::link::Bind;

/// Frames that wait while a service is routed and its link is opened.
#[derive(Debug, Default)]
pub struct Opening {
    /// Whole link frames, already encoded.
    pub queue: Vec<u8>,
    /// Number of frames in `queue`.
    pub frames: u32,
    /// A link that was lost before the news came that it had been opened.
    pub lost: Option<u64>,
    /// The ids that its OPEN says are bound.
    pub told: Bind,
    /// Where it goes, whatever the rules say.
    pub assigned: Option<SocketAddr>,
}

impl Opening {
    /// Nothing waits yet; OPEN says that `told` is bound.
    pub(super) fn telling(told: Bind) -> Box<Opening> {
        Box::new(Opening {
            told,
            ..Opening::default()
        })
    }
}

impl<L> Session<L> {
    /// Frames that wait for the service at `place`, where it is being opened.
    pub fn opening(&mut self, place: usize) -> Option<&mut Opening> {
        match &mut self.services.get_mut(place)?.state {
            State::Opening(opening) => Some(opening),
            State::Open(_) | State::Moving(_) | State::Assigned(_) | State::Unbound => None,
        }
    }

    /// Frames that wait for the service at `place`, where it is being opened or moved.
    pub fn queue(&mut self, place: usize) -> Option<&mut Opening> {
        match &mut self.services.get_mut(place)?.state {
            State::Opening(opening) => Some(opening),
            State::Moving(moving) => Some(&mut moving.waiting),
            State::Open(_) | State::Assigned(_) | State::Unbound => None,
        }
    }

    /// The service's link is there: from now on frames go to `lease`. Returns what waited.
    pub fn opened(&mut self, place: usize, lease: L) -> Option<Box<Opening>> {
        let opening = self.leave_opening(place, State::Open(lease))?;
        let service = &mut self.services[place];
        service.opened = true;
        service.by_assign = opening.assigned.is_some();
        Some(opening)
    }

    /// The service cannot be reached. Returns what waited and is now refused.
    pub fn failed(&mut self, place: usize) -> Option<Box<Opening>> {
        self.leave_opening(place, State::Unbound)
    }

    /// The service may not be opened yet. An assignment stays.
    pub fn deferred(&mut self, place: usize) -> Option<Box<Opening>> {
        let assigned = self.opening(place)?.assigned;
        let next = assigned.map_or(State::Unbound, |to| State::Assigned(Box::new(to)));
        self.leave_opening(place, next)
    }

    fn leave_opening(&mut self, place: usize, next: State<L>) -> Option<Box<Opening>> {
        let state = &mut self.services.get_mut(place)?.state;
        match std::mem::replace(state, next) {
            State::Opening(opening) => Some(opening),
            before @ (State::Open(_) | State::Moving(_) | State::Assigned(_) | State::Unbound) => {
                *state = before;
                None
            }
        }
    }
}
