//! End of a connection, and of the session or not. All consequences for backends, the registry and peer
//! gateways are decided here, whatever the reason; the driver has the socket.

use super::claiming::Stage;
use super::move_failures::end_moves;
use super::{Core, Effect, Ended, Hold, Note, Resume, State, Step};
use crate::codec::code::Code;
use crate::codec::peer::{Caller, ToClaimant, ToOwner};
use crate::session::closing::Closing;
use crate::session::core::BackendClose;
use crate::session::state::Session;

impl<L: Hold> Core<L> {
    /// Ends the connection, and the session unless it can be resumed and the reason lets it. The first
    /// reason counts.
    pub fn close(&mut self, closing: Closing, step: &mut Step<'_>) {
        if closing.outcome().only_suspends && self.lose_connection(&closing, step) {
            return;
        }
        let code = closing.outcome().backends;
        let ended = self.ended(&closing, code);
        match std::mem::replace(&mut self.state, State::Ended(code)) {
            State::Ended(before) => {
                self.state = State::Ended(before);
                return;
            }
            State::Greeting { .. } | State::Locating(_) => {}
            State::Registering { .. } | State::Enlisting(_) => step.push(Effect::Unregister),
            State::Active {
                session, resume, ..
            } => {
                if let Some(resume) = resume {
                    dismiss(*resume, None, code, step);
                }
                self.end_session(session, ended, step);
            }
            State::Suspended {
                session, resume, ..
            }
            | State::Resuming {
                session, resume, ..
            } => {
                dismiss(*resume, None, code, step);
                self.end_session(session, ended, step);
            }
            State::Leaving {
                session,
                resume,
                leaving,
            } => {
                dismiss(*resume, Some(leaving.to), code, step);
                self.end_session(session, ended, step);
            }
            claiming @ State::Claiming { .. } => {
                self.state = claiming;
                self.abandon(code, false, step);
                return self.end_claim(closing, code, step);
            }
        }
        step.push(Effect::Close(closing));
    }

    /// The connection is lost, and the session waits for its client, at once or when what is under way is
    /// done. Returns whether it does.
    fn lose_connection(&mut self, closing: &Closing, step: &mut Step<'_>) -> bool {
        let code = closing.outcome().backends;
        match &mut self.state {
            // Without a token nobody could come back.
            State::Active { session, .. } if session.owes_opened() => return false,
            State::Active {
                resume: Some(_), ..
            } => {}
            State::Claiming { claim, .. } if claim.is_asking() => {
                // Nothing is opened yet: the session stays where it is, and its player comes back.
                self.fail_claim(closing.clone(), false, step);
                return true;
            }
            State::Resuming { attempt, .. } | State::Claiming { attempt, .. } => {
                if attempt.lost.is_none() {
                    attempt.lost = Some(code);
                    step.push(Effect::LeaveConnection(closing.clone()));
                }
                return true;
            }
            State::Leaving { leaving, .. } => {
                if std::mem::take(&mut leaving.connected) {
                    step.push(Effect::LeaveConnection(closing.clone()));
                    step.note(Note::Suspended);
                }
                return true;
            }
            State::Suspended { .. } => return true,
            State::Active { resume: None, .. }
            | State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Ended(_) => return false,
        }
        let state = self.take_state();
        if let State::Active {
            session,
            resume: Some(resume),
            ..
        } = state
        {
            step.push(Effect::LeaveConnection(closing.clone()));
            step.note(Note::Suspended);
            self.suspend(session, resume, code, true, step);
        }
        true
    }

    /// There is no room for a suspended session any more, or its window is over.
    pub fn give_up(&mut self, step: &mut Step<'_>) {
        if let State::Suspended { code, .. } = self.state {
            self.close(Closing::Abandoned(code), step);
        }
    }

    /// The end of a claim that has been abandoned; a link that comes too late hears `late`.
    fn end_claim(&mut self, closing: Closing, late: Code, step: &mut Step<'_>) {
        let ended = self.ended(&closing, late);
        let before = std::mem::replace(&mut self.state, State::Ended(late));
        if let State::Claiming { session, claim, .. } = before {
            claim.cancel_calls(step);
            if claim.started {
                self.end_session(session, ended, step);
            } else {
                step.push(Effect::Unregister);
            }
        }
        step.push(Effect::Close(closing));
    }

    /// A resume that cannot succeed: what was opened for it is left in order, the owner keeps the session.
    /// `stale`: because it has gone on elsewhere.
    pub(super) fn fail_claim(&mut self, closing: Closing, stale: bool, step: &mut Step<'_>) {
        self.abandon(Code::LEAVES_LINK, stale, step);
        self.end_claim(closing, Code::LEAVES_LINK, step);
    }

    /// The session has ended while it was being claimed: its backends are told so here, where it is open
    /// last.
    pub(super) fn ended_while_claimed(&mut self, close: BackendClose, step: &mut Step<'_>) {
        let code = close.code;
        self.abandon(code, false, step);
        self.end_claim(close.into(), code, step);
    }

    /// What is told of the session's end, if it ends now.
    pub(super) fn ended(&self, closing: &Closing, code: Code) -> Ended {
        Ended {
            why: closing.outcome().label,
            code,
            resumes: self.resumes(),
        }
    }

    /// The final CLOSE on every link.
    pub(super) fn end_session(&self, mut session: Session<L>, ended: Ended, step: &mut Step<'_>) {
        let waiting = session.waiting();
        if waiting > 0 {
            step.note(Note::FramesDropped(waiting));
        }
        end_moves(&mut session, ended.code, step);
        session
            .leases()
            .for_each(|lease| lease.set_final_code(ended.code));
        step.note(Note::SessionEnded(ended));
        step.push(Effect::Unregister);
    }

    /// A claim that comes to nothing: its services hear `code`, its owner that it may keep the session, or
    /// that it has ended.
    fn abandon(&mut self, code: Code, stale: bool, step: &mut Step<'_>) {
        let State::Claiming {
            session,
            attempt,
            claim,
        } = &mut self.state
        else {
            return;
        };
        let services: Vec<_> = attempt.drain().collect();
        for service in services {
            if let Some(place) = session.find(&service) {
                session.failed(place);
            }
            if let Some(mut lease) = session.unbind(&service) {
                lease.set_final_code(code);
            }
        }
        let is_left = code == Code::LEAVES_LINK;
        let (owner, say) = match &claim.stage {
            // Nothing is opened.
            Stage::Asking { .. } => return claim.withdraw(step),
            Stage::Opening { owner: Some(owner) } | Stage::Claiming { owner } if is_left => {
                (owner, ToOwner::GiveUp { stale })
            }
            Stage::Opening { owner: Some(owner) } | Stage::Claiming { owner } => {
                (owner, ToOwner::End { code: code.0 })
            }
            Stage::Opening { owner: None } => return,
        };
        claim.say(owner, say, step);
    }
}

/// Tells claimants of a session that it ends; with 307 it has only left, and they ask again.
fn dismiss(mut resume: Resume, leaving: Option<Caller>, code: Code, step: &mut Step<'_>) {
    let is_left = code == Code::LEAVES_LINK;
    if let Some(confirming) = resume.confirming.take() {
        let say = if is_left {
            ToClaimant::Busy
        } else {
            ToClaimant::NotGood
        };
        confirming.dismiss(&say, step);
    }
    let promised = leaving.or(resume.promise.take().map(|promise| promise.to));
    if let Some(to) = promised
        && !is_left
    {
        step.reply(to, ToClaimant::Ended { code: code.0 });
    }
}
