//! Start of a session, and opening of its services.

use std::sync::Arc;

use super::telling::open_payload;
use super::{Core, Effect, Hold, Note, Pause, Resume, Route, State, Step};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::session::closing::Closing;
use crate::session::opening::Opening;
use crate::session::state::Session;

/// Why the registry does not enter a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterFailed {
    /// Another live client has the id.
    InUse,
    /// The registry does not answer.
    Unreachable,
}

/// Why a service could not be opened, as the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteFailed {
    /// The ERROR's code.
    pub code: Code,
    /// The ERROR's text.
    pub text: &'static str,
    /// Milliseconds; 0: no advice.
    pub retry_after_ms: u32,
}

const LINK_LOST: RouteFailed = RouteFailed {
    code: Code::BAD_GATEWAY,
    text: "the backend's link was lost",
    retry_after_ms: 0,
};

impl<L: Hold> Core<L> {
    /// The registry has entered the session under this id, or has not.
    pub fn registered(&mut self, result: Result<u64, RegisterFailed>, step: &mut Step<'_>) {
        let State::Registering { chosen, resumable } = self.state else {
            return self.enlisted(result, step);
        };
        match result {
            Ok(id) => self.begin_session(id, resumable, step),
            Err(RegisterFailed::InUse) if chosen => self.close(Closing::IdInUse, step),
            Err(RegisterFailed::InUse | RegisterFailed::Unreachable) => {
                self.close(Closing::Internal, step);
            }
        }
    }

    fn begin_session(&mut self, session_id: u64, resumable: bool, step: &mut Step<'_>) {
        let limits = step.limits();
        let session = Session::new(session_id, resumable, limits.max_services);
        let resumes = resumable && limits.resume_window > 0;
        let resume = resumes.then(|| Resume::new(limits.replay_bytes));
        step.note(Note::SessionStarted {
            session_id,
            resumable,
            taken_up: false,
        });
        self.state = State::Active {
            session,
            resume,
            pause: Pause::None,
        };
        self.alive = step.now;
    }

    /// Routes a service that the session uses for the first time, or again after a loss.
    pub(super) fn route_service(&mut self, place: usize, step: &mut Step<'_>) {
        let epoch = self.epoch();
        let Some(session) = self.session_mut() else {
            return;
        };
        let assigned = session.opening(place).and_then(|o| o.assigned);
        let again = session.was_opened(place);
        let route = Route {
            service: Arc::clone(session.name(place)),
            session_id: session.id(),
            realm_id: session.realm_id(),
            user_id: session.user_id(),
            is_bound: session.is_bound(),
            epoch,
            assigned,
            again,
            open: open_payload(session, epoch, 0, "", &[], step),
        };
        step.push(Effect::Route(route));
    }

    /// A link is there for a service that was routed; `epoch` is the session's when it was asked for.
    pub fn service_opened(&mut self, service: &str, epoch: u32, mut lease: L, step: &mut Step<'_>) {
        if self.session().is_some() && epoch < self.connected_epoch() {
            // Resumed meanwhile; its ACCEPT is not waited for.
            lease.reopen(self.open_payload(OPEN_RESUMED, step.host.gateway_id(), step));
        }
        if let State::Ended(code) = &self.state {
            // It ended while the link was being opened; this backend has seen OPEN all the same.
            return lease.set_final_code(*code);
        }
        if let Some(why) = self.bind(service, lease, step) {
            return self.service_failed(service, why, step);
        }
        self.suspend_opened(service, step);
        self.unpause(Pause::Opening, step);
        self.renew_token(step);
        self.confirm_opened(service, step);
    }

    /// The epoch in which the session's connection was opened, or is being opened.
    fn connected_epoch(&self) -> u32 {
        match &self.state {
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => attempt.epoch,
            _ => self.resume().map_or(1, |resume| resume.connected),
        }
    }

    /// Tells the backend of a service that was opened late that its client is away, behind what waited.
    pub(super) fn suspend_opened(&mut self, service: &str, step: &Step<'_>) {
        let window = match &self.state {
            State::Suspended { until, .. } => until.saturating_sub(step.now),
            State::Leaving { leaving, .. } if !leaving.connected => step.limits().resume_window,
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Active { .. }
            | State::Resuming { .. }
            | State::Leaving { .. }
            | State::Claiming { .. }
            | State::Ended(_) => return,
        };
        if let Some(session) = self.session_mut()
            && let Some(place) = session.find(service)
            && let Some(lease) = session.lease(place)
        {
            lease.suspend(window as u32);
        }
    }

    /// Gives a service its link and what waited for it. Returns why not, where that link is lost already.
    pub(super) fn bind(
        &mut self,
        service: &str,
        mut lease: L,
        step: &mut Step<'_>,
    ) -> Option<RouteFailed> {
        let session = self.session_mut()?;
        let place = session.find(service)?;
        let lost = session.opening(place).and_then(|opening| opening.lost);
        if lost == Some(lease.link_id()) {
            lease.set_final_code(Code::BAD_GATEWAY);
            return Some(LINK_LOST);
        }
        // Whatever the session has learned of its realm since it asked.
        lease.retag(session.realm_id());
        if let Some(mut before) = session.take_lost(place)
            && before.endpoint() == lease.endpoint()
        {
            before.silence();
        }
        if let Some(opening) = session.opened(place, lease) {
            let Opening {
                queue,
                frames,
                told,
                ..
            } = *opening;
            let bound = session.bound();
            if let Some(lease) = session.lease(place) {
                if told != bound {
                    lease.tell_bound(bound);
                }
                if frames > 0 {
                    lease.forward(queue, frames);
                }
            }
            step.note(Note::ServicesChanged);
        }
        None
    }

    /// A service cannot be opened: every frame that waited is refused with an ERROR of its own.
    pub fn service_failed(&mut self, service: &str, why: RouteFailed, step: &mut Step<'_>) {
        let Some(session) = self.session_mut() else {
            return;
        };
        let place = session.find(service);
        let failed = place.and_then(|place| match why.code {
            Code::NOT_BOUND => session.deferred(place),
            _ => session.failed(place),
        });
        let to = failed.as_ref().and_then(|opening| opening.assigned);
        if let (Some(place), Some(to)) = (place, to)
            && step.host.is_assigned(service, true)
        {
            session.assign_again(place, to);
        }
        self.unpause(Pause::Opening, step);
        step.note(Note::BindFailed);
        for _ in 0..failed.map_or(0, |opening| opening.frames) {
            self.tell_error(why.code, why.retry_after_ms, why.text, service, step);
        }
        self.confirmed(service, step);
    }

    /// Resumes reading from the client if this was the reason of the pause.
    pub(super) fn unpause(&mut self, reason: Pause, step: &Step<'_>) {
        if let State::Active { pause, .. } = &mut self.state
            && *pause == reason
        {
            *pause = match reason {
                Pause::LinkFull => Pause::InTurn,
                Pause::None | Pause::Opening | Pause::InTurn => Pause::None,
            };
            // The silence was not the client's.
            self.alive = step.now;
        }
    }
}
