//! Wishes to have a service elsewhere: ASSIGN, TRANSFER, and a backend that leaves (protocol 2.5).

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Core, Effect, Elsewhere, Hold, Pause, State, Step};
use crate::codec::code::Code;
use crate::session::moving::Stays;

/// What is said to the backend that has sent ASSIGN or TRANSFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveAnswer {
    /// MOVED, at once, on the link that it came on.
    Now(Code),
    /// MOVED when it has ended; the core sends it.
    Later,
}

impl<L: Hold> Core<L> {
    /// The backend at `from` says TRANSFER: the service is to go on at `endpoint`, or by the rules where that is
    /// empty.
    pub fn transfer(
        &mut self,
        service: &str,
        from: SocketAddr,
        endpoint: &str,
        step: &mut Step<'_>,
    ) -> MoveAnswer {
        match self.try_transfer(service, from, Some(endpoint), step) {
            Ok(()) => MoveAnswer::Later,
            Err(code) => MoveAnswer::Now(code),
        }
    }

    /// The backend at `from` leaves, and its sessions go on elsewhere, by the rules. One that cannot stays.
    pub fn move_away(&mut self, service: &str, from: SocketAddr, step: &mut Step<'_>) {
        if let Err(code) = self.try_transfer(service, from, None, step) {
            self.stays(service, from, code, step);
        }
    }

    /// Notes why a session stays with a backend that it was to leave, if it has it.
    fn stays(&mut self, service: &str, from: SocketAddr, code: Code, step: &Step<'_>) {
        let why = match code {
            Code::NOT_IMPLEMENTED => Stays::NotSupported,
            Code::CONFLICT => Stays::Busy,
            // It is tried again, and not ended for want of a place.
            Code::UNAVAILABLE if step.host.short_of_memory() => Stays::Busy,
            _ => Stays::Nowhere,
        };
        let Some(session) = self.session_mut() else {
            return;
        };
        if let Some(place) = session.find(service)
            && let Some(lease) = session.lease(place)
            && lease.endpoint() == from
        {
            lease.stays(why);
        }
    }

    fn try_transfer(
        &mut self,
        service: &str,
        from: SocketAddr,
        endpoint: Option<&str>,
        step: &mut Step<'_>,
    ) -> Result<(), Code> {
        self.may_move()?;
        let Some(session) = self.session_mut() else {
            return Err(Code::NO_ROUTE);
        };
        if let Some(moving) = session.moving(service) {
            return Err(match moving.from.endpoint() == from {
                true => Code::CONFLICT,
                false => Code::NO_ROUTE,
            });
        }
        let open = session.open().find(|(name, _)| ***name == *service);
        let Some((name, lease)) = open.filter(|(_, lease)| lease.endpoint() == from) else {
            return Err(Code::NO_ROUTE);
        };
        if !lease.transfers() {
            return Err(Code::NOT_IMPLEMENTED);
        }
        let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else {
            let elsewhere = Elsewhere {
                service: Arc::clone(name),
                from,
                asked: endpoint.is_some(),
                session_id: session.id(),
                realm_id: session.realm_id(),
                user_id: session.user_id(),
                is_bound: session.is_bound(),
            };
            step.push(Effect::Elsewhere(elsewhere));
            return Ok(());
        };
        let to = step.host.endpoint_allowed(service, endpoint)?;
        // MOVED 0 would have it forget the session that it keeps.
        if to == from {
            return Err(Code::NO_ROUTE);
        }
        if !step.host.takes_sessions(service, to) {
            return Err(Code::UNAVAILABLE);
        }
        self.begin_move(service, to, None, step)
    }

    /// The rules lead a service to another endpoint, or (`Err`) nowhere. `asked`: as in [`Elsewhere`].
    pub fn found_elsewhere(
        &mut self,
        service: &str,
        from: SocketAddr,
        asked: bool,
        found: Result<SocketAddr, Code>,
        step: &mut Step<'_>,
    ) {
        let begun = self.may_move().and(found).and_then(|to| {
            let Some(session) = self.session_mut() else {
                return Err(Code::NO_ROUTE);
            };
            if session.moving(service).is_some() {
                return Err(Code::CONFLICT);
            }
            let its = |(name, at): (&Arc<str>, SocketAddr)| **name == *service && at == from;
            let is_here = session.endpoints().any(its);
            if !is_here {
                return Err(Code::NO_ROUTE);
            }
            self.begin_move(service, to, None, step)?;
            if let Some(session) = self.session_mut() {
                session.set_by_assign(service, false);
            }
            Ok(())
        });
        if let (false, Err(code)) = (asked, begun) {
            self.stays(service, from, code, step);
        }
        if let (true, Err(code), Some(session)) = (asked, begun, self.session()) {
            let its = |(_, endpoint, _): &(&Arc<str>, SocketAddr, &L)| *endpoint == from;
            let open = session
                .open()
                .map(|(name, lease)| (name, lease.endpoint(), lease));
            let moving = session
                .moves()
                .map(|(name, m)| (name, m.from.endpoint(), &m.from));
            let mut had = open.chain(moving).filter(|(name, ..)| ***name == *service);
            if let Some((_, _, lease)) = had.find(its) {
                lease.tell_moved(code);
            }
        }
    }

    /// The backend of `by` says ASSIGN: `service` goes to `endpoint`.
    pub fn assign(
        &mut self,
        by: &str,
        service: &str,
        endpoint: &str,
        step: &mut Step<'_>,
    ) -> MoveAnswer {
        match self.try_assign(by, service, endpoint, step) {
            Ok(answer) => answer,
            Err(code) => MoveAnswer::Now(code),
        }
    }

    fn try_assign(
        &mut self,
        by: &str,
        service: &str,
        endpoint: &str,
        step: &mut Step<'_>,
    ) -> Result<MoveAnswer, Code> {
        self.may_move()?;
        let to = step.host.endpoint_allowed(service, endpoint)?;
        let Some(session) = self.session_mut() else {
            return Err(Code::NO_ROUTE);
        };
        // "Any backend that has the session open": one that was given up meanwhile could not be told how it ends.
        if by != service && !session.endpoints().any(|(name, _)| **name == *by) {
            return Err(Code::NO_ROUTE);
        }
        // MOVED 0 would have one whose own move is under way forget the session, which may yet come back.
        if session.moving(by).is_some() {
            return Err(Code::CONFLICT);
        }
        if session.moving(service).is_some() {
            return Err(Code::CONFLICT);
        }
        let is_there =
            |(name, lease): (&Arc<str>, &L)| **name == *service && lease.endpoint() == to;
        if session.open().any(is_there) {
            session.set_by_assign(service, true);
            return Ok(MoveAnswer::Now(Code::NORMAL));
        }
        if !step.host.takes_sessions(service, to) {
            return Err(Code::UNAVAILABLE);
        }
        let was_assigned = session
            .assigned()
            .any(|(name, at)| **name == *service && at == to);
        if session.assign(service, to)? {
            if !was_assigned {
                self.renew_token(step);
            }
            return Ok(MoveAnswer::Now(Code::NORMAL));
        }
        let open = session.open().find(|(name, _)| ***name == *service);
        let Some((_, lease)) = open else {
            return Err(Code::NO_ROUTE);
        };
        if !lease.transfers() {
            self.replace(service, to, step);
            return Ok(MoveAnswer::Now(Code::NORMAL));
        }
        let asking = |(name, _): &(&Arc<str>, SocketAddr)| ***name == *by && *by != *service;
        let asked_by = session.endpoints().find(asking);
        let asked_by = asked_by.map(|(name, at)| (Arc::clone(name), at));
        self.begin_move(service, to, asked_by, step)?;
        if let Some(session) = self.session_mut() {
            session.set_by_assign(service, true);
        }
        Ok(MoveAnswer::Later)
    }

    /// "Without the feature an ASSIGN elsewhere sends the old backend its final CLOSE 0 and opens at the new one as a
    /// new service": when it is named next.
    fn replace(&mut self, service: &str, to: SocketAddr, step: &mut Step<'_>) {
        self.unbind(service, Some(Code::NORMAL), step);
        if let Some(session) = self.session_mut() {
            // It was open, so that there is a place for it.
            let _ = session.assign(service, to);
        }
        self.unpause(Pause::LinkFull, step);
        self.renew_token(step);
    }

    /// Tells whether a move may begin now.
    fn may_move(&self) -> Result<(), Code> {
        match &self.state {
            State::Active { resume: None, .. } => Ok(()),
            State::Active {
                resume: Some(resume),
                ..
            }
            | State::Suspended { resume, .. } => {
                match resume.promise.is_some() || resume.confirming.is_some() {
                    true => Err(Code::CONFLICT),
                    false => Ok(()),
                }
            }
            State::Resuming { .. } | State::Leaving { .. } | State::Claiming { .. } => {
                Err(Code::CONFLICT)
            }
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => Err(Code::NO_ROUTE),
        }
    }
}
