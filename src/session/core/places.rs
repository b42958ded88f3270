//! A resume towards the session's backends: each service has its place, from OPEN to ACCEPT.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{BackendClose, Core, Hold, Millis, Note, State, Step};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::session::closing::Closing;

/// A resume under way.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The epoch of its OPENs.
    pub(super) epoch: u32,
    /// The epoch of the token that the client came with.
    pub(super) token_epoch: u32,
    /// DATA frames that the client has taken.
    pub(super) count: u64,
    pub(super) places: SmallVec<[Place; 1]>,
    pub(super) since: Millis,
    pub(super) until: Millis,
    /// The code with which the new connection has ended, if it has.
    pub(super) lost: Option<Code>,
}

/// One service of a session that is being resumed.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) service: Arc<str>,
    pub(super) standing: Standing,
}

/// Progress of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// OPEN is sent, or waits for its link.
    Waiting,
    /// ACCEPT came before the news that the link is there.
    Early,
    /// ACCEPT came.
    Taken,
    /// The session goes on without it.
    Dropped,
}

impl Standing {
    fn is_waiting(self) -> bool {
        match self {
            Standing::Waiting | Standing::Early => true,
            Standing::Taken | Standing::Dropped => false,
        }
    }
}

impl Attempt {
    fn place(&mut self, service: &str) -> Option<&mut Place> {
        self.places.iter_mut().find(|p| *p.service == *service)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.places.iter().any(|p| p.standing.is_waiting())
    }

    pub(super) fn has_taken(&self) -> bool {
        self.places.iter().any(|p| p.standing == Standing::Taken)
    }

    /// Gives up every place and returns its service, but those that were dropped before.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<str>> {
        let open = |place: Place| (place.standing != Standing::Dropped).then_some(place.service);
        std::mem::take(&mut self.places)
            .into_iter()
            .filter_map(open)
    }
}

impl<L: Hold> Core<L> {
    fn attempt(&mut self) -> Option<&mut Attempt> {
        match &mut self.state {
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => Some(attempt),
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Active { .. }
            | State::Suspended { .. }
            | State::Leaving { .. }
            | State::Ended(_) => None,
        }
    }

    /// Returns the progress of a service that has not been given up.
    fn standing(&mut self, service: &str) -> Option<Standing> {
        let standing = self.attempt()?.place(service)?.standing;
        (standing != Standing::Dropped).then_some(standing)
    }

    /// Goes on when every OPEN is answered.
    pub(super) fn go_on(&mut self, step: &mut Step<'_>) {
        if self.attempt().is_none_or(|attempt| attempt.is_waiting()) {
            return;
        }
        if let State::Resuming { .. } = self.state {
            self.resumed_here(step);
        } else {
            self.all_answered(step);
        }
    }

    /// A backend has taken an OPEN of a resume, in this epoch.
    pub fn accepted(&mut self, service: &str, epoch: u32, step: &mut Step<'_>) {
        if let State::Ended(_) = self.state {
            return;
        }
        if self.accepted_in_move(service, epoch, step) {
            return;
        }
        let can_resume = self.resume().is_some() || matches!(self.state, State::Claiming { .. });
        if epoch > self.epoch() || !can_resume {
            return step.note(Note::UnexpectedAccept);
        }
        // One of an attempt before says nothing.
        if epoch < self.epoch() {
            return;
        }
        let is_here = self
            .session()
            .is_some_and(|s| s.open().any(|(name, _)| **name == *service));
        let Some(place) = self.attempt().and_then(|attempt| attempt.place(service)) else {
            return;
        };
        if place.standing == Standing::Waiting {
            place.standing = match is_here {
                true => Standing::Taken,
                false => Standing::Early,
            };
            self.go_on(step);
        }
    }

    /// A backend has got the OPEN of a claim, or cannot be reached.
    pub fn service_reached(&mut self, service: &str, lease: Option<L>, step: &mut Step<'_>) {
        let lease = match self.reached_in_move(service, lease, step) {
            Some(lease) => lease,
            None => return,
        };
        let standing = self.standing(service);
        let Some(standing) = standing.filter(|standing| standing.is_waiting()) else {
            // Given up meanwhile, or the session itself is.
            if let Some(lease) = lease {
                self.reached_late(service, lease);
            }
            return;
        };
        if let Some(lease) = lease
            && self.bind(service, lease, step).is_none()
        {
            if standing == Standing::Early {
                if let Some(place) = self.attempt().and_then(|attempt| attempt.place(service)) {
                    place.standing = Standing::Taken;
                }
                self.go_on(step);
            }
            return;
        }
        self.drop_place(service, Some(Code::BAD_GATEWAY), step);
        self.go_on(step);
    }

    /// A backend has got the OPEN of a claim behind the deadline.
    fn reached_late(&mut self, service: &str, mut lease: L) {
        let code = match &self.state {
            State::Ended(code) => *code,
            _ => Code::BAD_GATEWAY,
        };
        lease.set_final_code(code);
        if let Some((session, ..)) = self.claiming() {
            session.owe(service, lease);
        }
    }

    /// The session goes on without a service: its backend hears `code`, or nothing, and the client gets an
    /// ERROR behind OPENED.
    pub(super) fn drop_place(&mut self, service: &str, code: Option<Code>, step: &mut Step<'_>) {
        if let Some(place) = self.attempt().and_then(|attempt| attempt.place(service)) {
            place.standing = Standing::Dropped;
        }
        match code {
            Some(code) => self.give_up_place(service, code, step),
            None => self.unbind(service, None, step),
        }
        self.tell_unbound(service, step);
    }

    /// Takes a service's binding. While its owner may still keep the session the backend hears nothing: the
    /// final CLOSE of a claim that then fails would end it there (protocol 3.2).
    fn give_up_place(&mut self, service: &str, code: Code, step: &mut Step<'_>) {
        if let State::Claiming { session, claim, .. } = &mut self.state
            && claim.owner().is_some()
            && let Some(mut lease) = session.unbind(service)
        {
            lease.set_final_code(code);
            session.owe(service, lease);
            return step.note(Note::ServicesChanged);
        }
        self.unbind(service, Some(code), step);
    }

    /// "One that answers … nothing within the connect timeout: its binding is dropped."
    pub(super) fn drop_late_places(&mut self, code: Code, step: &mut Step<'_>) {
        let Some(attempt) = self.attempt() else {
            return;
        };
        let late = attempt.places.iter().filter(|p| p.standing.is_waiting());
        let late: Vec<Arc<str>> = late.map(|p| Arc::clone(&p.service)).collect();
        for service in late {
            self.drop_place(&service, Some(code), step);
        }
    }

    /// The link of a service that is being opened again, or is open again, is lost. Returns whether that
    /// was the attempt's matter.
    pub(super) fn lost_in_attempt(&mut self, service: &str, step: &mut Step<'_>) -> bool {
        if self.standing(service).is_none() {
            return false;
        }
        self.drop_place(service, Some(Code::BAD_GATEWAY), step);
        self.confirmed(service, step);
        self.go_on(step);
        true
    }

    /// A backend's CLOSE while a resume is under way. Returns it where it ends the session here.
    pub(super) fn closed_in_attempt(
        &mut self,
        service: &str,
        close: BackendClose,
        step: &mut Step<'_>,
    ) -> Option<BackendClose> {
        let waits = match self.standing(service) {
            None if matches!(self.state, State::Claiming { .. }) => return None,
            None => return Some(close),
            Some(standing) => standing.is_waiting(),
        };
        let claims = matches!(self.state, State::Claiming { .. });
        match close.code {
            // "A backend that refuses with 410: CLOSE 410." It ends nothing there.
            Code::GONE if waits => {
                self.drop_silently(service, step);
                if claims {
                    self.fail_claim(Closing::NotResumable, true, step);
                } else {
                    self.close(Closing::TakenElsewhere, step);
                }
            }
            // "One that answers 404 …: its binding is dropped and the client gets ERROR 502 for it".
            Code::NO_ROUTE if waits => {
                self.drop_place(service, None, step);
                self.go_on(step);
            }
            _ if claims => {
                self.drop_silently(service, step);
                self.ended_while_claimed(close, step);
            }
            _ => return Some(close),
        }
        None
    }

    fn drop_silently(&mut self, service: &str, step: &mut Step<'_>) {
        if let Some(place) = self.attempt().and_then(|attempt| attempt.place(service)) {
            place.standing = Standing::Dropped;
        }
        self.unbind(service, None, step);
    }

    /// Sends OPEN again on every link that the session has.
    pub(super) fn reopen_places(&mut self, step: &mut Step<'_>) {
        let open = self.open_payload(OPEN_RESUMED, step.host.gateway_id(), step);
        if let State::Resuming { session, .. } = &self.state {
            for (_, lease) in session.open() {
                lease.reopen(open.clone());
            }
        }
    }
}
