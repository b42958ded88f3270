//! The client of a session that is here is back on a connection of this gateway (protocol 3.2, case 1):
//! its links stay, and each backend is told by OPEN that another connection has the session.

use smallvec::SmallVec;

pub(super) use super::places::Attempt;
use super::places::{Place, Standing};
use super::requests::ResumeRequest;
use super::{Core, Effect, Hold, State, Step};
use crate::codec::code::Code;
use crate::session::closing::Closing;

impl<L: Hold> Core<L> {
    /// Tells whether the connection only waits for its session, and is not read meanwhile.
    pub fn awaits_session(&self) -> bool {
        match &self.state {
            State::Locating(_)
            | State::Enlisting(_)
            | State::Resuming { .. }
            | State::Claiming { .. } => true,
            State::Greeting { .. }
            | State::Registering { .. }
            | State::Active { .. }
            | State::Suspended { .. }
            | State::Leaving { .. }
            | State::Ended(_) => false,
        }
    }

    /// Takes the connection of a resume request, or refuses it: the effects `TakeConnection` and
    /// `RefuseConnection` are about that one.
    pub fn resume_here(&mut self, request: &ResumeRequest, step: &mut Step<'_>) {
        match self.admit(request, step) {
            Ok(()) => self.alive = step.now,
            Err(closing) => step.push(Effect::RefuseConnection(closing)),
        }
    }

    fn admit(&mut self, request: &ResumeRequest, step: &mut Step<'_>) -> Result<(), Closing> {
        let epoch = request.token.epoch;
        match &mut self.state {
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => {
                // The client has given up the connection before, while its resume was under way.
                if attempt.token_epoch != epoch {
                    return Err(Closing::ResumeBusy);
                }
                attempt.count = request.count;
                let was_lost = attempt.lost.take().is_some();
                if !was_lost {
                    step.push(Effect::LeaveConnection(Closing::Replaced));
                }
                step.push(Effect::TakeConnection);
                return Ok(());
            }
            State::Active {
                resume: Some(_), ..
            }
            | State::Suspended { .. }
            | State::Leaving { .. } => {}
            // A claim that has failed, or a session that was handed over: it is elsewhere, and the registry
            // has not heard of that yet.
            State::Ended(Code::LEAVES_LINK) => return Err(Closing::ResumeBusy),
            State::Active { resume: None, .. }
            | State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => return Err(Closing::NotResumable),
        }
        let Some((session, resume)) = self.owned() else {
            return Err(Closing::NotResumable);
        };
        let is_moving = session.moves().next().is_some();
        let elsewhere = epoch >= resume.since && request.token.owner != step.host.gateway_id();
        if epoch > session.epoch() || elsewhere {
            // It has gone on elsewhere, and nobody has said so here: the client is to ask again.
            self.close(Closing::Replaced, step);
            return Err(Closing::ResumeBusy);
        }
        // "A token is used when the connection that it opened has sent a frame."
        if epoch < resume.oldest_good {
            return Err(Closing::NotResumable);
        }
        let promised = resume.promise.is_some();
        let leaving = matches!(self.state, State::Leaving { .. });
        // Drain: "if the session's connection stands, CLOSE 503 on the new one".
        let is_active = matches!(self.state, State::Active { .. });
        let drain_left = step.host.drain_left();
        // At the window's end every client is closed; one that came back now would never be asked again.
        let is_drained = drain_left.is_some_and(|left| left.is_zero());
        if is_drained || is_active && drain_left.is_some() {
            return Err(Closing::ResumeElsewhere);
        }
        if promised || leaving || is_moving {
            return Err(Closing::ResumeBusy);
        }
        self.begin_resume(request, step);
        Ok(())
    }

    fn begin_resume(&mut self, request: &ResumeRequest, step: &mut Step<'_>) {
        let state = self.take_state();
        let (session, mut resume) = match state {
            State::Active {
                session,
                resume: Some(resume),
                ..
            } => {
                step.push(Effect::LeaveConnection(Closing::Replaced));
                (session, resume)
            }
            State::Suspended {
                session, resume, ..
            } => (session, resume),
            other => {
                self.state = other;
                return;
            }
        };
        step.push(Effect::TakeConnection);
        resume.replay.set_limit(step.limits().outbound_queue);
        let places: SmallVec<[Place; 1]> = session
            .open()
            .map(|(service, _)| Place {
                service: service.clone(),
                standing: Standing::Waiting,
            })
            .collect();
        let attempt = Attempt {
            epoch: session.epoch().saturating_add(1),
            token_epoch: request.token.epoch,
            count: request.count,
            places,
            since: step.now,
            until: step.now + step.limits().connect_timeout,
            lost: None,
        };
        self.state = State::Resuming {
            session,
            resume,
            attempt: Box::new(attempt),
        };
        self.reopen_places(step);
        self.go_on(step);
    }
}
