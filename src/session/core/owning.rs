//! The owner of a session, towards peer gateways whose clients want it: it promises the session to one
//! claimant at a time.

use super::{Core, Effect, Hold, Millis, Note, State, Step};
use crate::codec::code::Code;
use crate::codec::peer::{Binding, Caller, Particulars, ToClaimant, ToOwner};
use crate::session::closing::Closing;
use crate::session::state::Session;

/// A session's promise to a peer gateway; it changes nothing for the client.
#[derive(Debug)]
pub(super) struct Promise {
    pub(super) to: Caller,
    pub(super) token_epoch: u32,
    pub(super) until: Millis,
}

impl<L: Hold> Core<L> {
    /// A peer gateway says something of this session, or (`None`) its connection is lost.
    pub fn peer_request(
        &mut self,
        caller: Caller,
        session_id: u64,
        said: Option<ToOwner>,
        step: &mut Step<'_>,
    ) {
        if said.as_ref().is_none_or(ToOwner::ends) {
            // Nobody waits for what it has asked before.
            self.forget_waiting(&caller);
        }
        let owns = self.resume().is_some() && self.session_id() == session_id;
        if !owns {
            return self.answer_without_session(caller, said.as_ref(), step);
        }
        match said {
            Some(say @ ToOwner::Ask { .. }) => self.confirm_backends(caller, say, step),
            Some(ToOwner::Claim { places, .. }) if self.token_used_since(&caller) => {
                // Who was told of no backend has opened nothing: no frame can have gone there.
                if places.is_empty() {
                    self.withdrawn(&caller, step);
                    return step.reply(caller, ToClaimant::Refused);
                }
                step.reply(caller, ToClaimant::Refused);
                self.promise_broken(step);
            }
            Some(say @ ToOwner::Claim { .. }) if self.is_promised_to(&caller) => {
                // Nothing more is read, so that nothing more is opened.
                self.begin_leaving(step);
                self.confirm_backends(caller, say, step);
            }
            Some(ToOwner::Claim { .. }) => step.reply(caller, ToClaimant::Refused),
            Some(ToOwner::GiveUp { stale }) => self.given_up(&caller, stale, step),
            Some(ToOwner::Withdraw) => self.withdrawn(&caller, step),
            // It may be late, and the session be back.
            Some(ToOwner::Supersede { epoch }) if epoch > self.epoch() => {
                // Whoever comes here with an older token is sent there.
                step.push(Effect::Moved(caller.at));
                self.close(Closing::Replaced, step);
            }
            Some(ToOwner::Supersede { .. }) => {}
            Some(ToOwner::End { code }) => {
                let closing = Closing::ByBackend {
                    code: Code(code),
                    retry_after_ms: 0,
                    text: Box::default(),
                };
                self.close(closing, step);
            }
            None => self.given_up(&caller, false, step),
        }
    }

    /// The session is not here: it is on its way here, or has just ended.
    pub(super) fn answer_without_session(
        &self,
        caller: Caller,
        said: Option<&ToOwner>,
        step: &mut Step<'_>,
    ) {
        // It has just left: whoever asks again is told where it is, by the registry.
        let leaves = matches!(self.state, State::Ended(Code::LEAVES_LINK));
        let comes =
            matches!(self.state, State::Claiming { .. }) || self.resume().is_some() || leaves;
        let say = match said {
            // An owner that says "moved" may be quicker than its hand-over.
            Some(ToOwner::Ask { .. }) if comes => ToClaimant::Busy,
            Some(ToOwner::Ask { .. }) => ToClaimant::Unknown,
            Some(ToOwner::Claim { .. }) => ToClaimant::Refused,
            Some(
                ToOwner::GiveUp { .. }
                | ToOwner::Withdraw
                | ToOwner::Supersede { .. }
                | ToOwner::End { .. },
            )
            | None => return,
        };
        step.reply(caller, say);
    }

    /// Tells whether the session is promised, or on its way to a peer gateway.
    pub(super) fn is_wanted(&self) -> bool {
        let promised = self.resume().is_some_and(|r| r.promise.is_some());
        promised || matches!(self.state, State::Leaving { .. })
    }

    /// Tells whether this caller may claim the session.
    pub(super) fn is_promised_to(&self, caller: &Caller) -> bool {
        match &self.state {
            State::Leaving { leaving, .. } => leaving.may_claim(caller),
            State::Active {
                resume: Some(resume),
                ..
            }
            | State::Suspended { resume, .. } => {
                resume.promise.as_ref().is_some_and(|p| p.to == *caller)
            }
            State::Active { resume: None, .. }
            | State::Greeting { .. }
            | State::Registering { .. }
            | State::Locating(_)
            | State::Enlisting(_)
            | State::Resuming { .. }
            | State::Claiming { .. }
            | State::Ended(_) => false,
        }
    }

    /// Tells whether the token for which the session is promised to this caller has been used since: its
    /// client goes on here with a newer one, so whoever claims the session is somebody else.
    fn token_used_since(&self, caller: &Caller) -> bool {
        self.resume().is_some_and(|resume| {
            let promise = resume.promise.as_ref().filter(|p| p.to == *caller);
            promise.is_some_and(|promise| promise.token_epoch < resume.oldest_good)
        })
    }

    /// Answers a claimant that asks with a token of `token_epoch`, when every backend has shown that it has
    /// taken the session's OPEN: the claimant's must not overtake that.
    pub(super) fn asked(&mut self, caller: Caller, token_epoch: u32, step: &mut Step<'_>) {
        let may_promise = matches!(self.state, State::Active { .. } | State::Suspended { .. });
        let limits = step.limits();
        let (until, outbound_queue) = (step.now + limits.peer_timeout(), limits.outbound_queue);
        let Some((session, resume)) = self.owned() else {
            return self.answer_without_session(caller, Some(&ToOwner::Ask { token_epoch }), step);
        };
        if token_epoch > session.epoch() {
            // The session has gone on elsewhere while this gateway could not be reached.
            step.reply(caller, ToClaimant::Unknown);
            return self.close(Closing::Replaced, step);
        }
        // "A token is used when the connection that it opened has sent a frame."
        let say = if token_epoch < resume.oldest_good {
            ToClaimant::NotGood
        } else if !may_promise || resume.promise.is_some() {
            ToClaimant::Busy
        } else {
            resume.promise = Some(Box::new(Promise {
                to: caller.clone(),
                token_epoch,
                until,
            }));
            // More is kept while somebody wants the session.
            resume.replay.set_limit(outbound_queue);
            ToClaimant::Holds {
                epoch: session.epoch().saturating_add(1),
                particulars: particulars(session),
            }
        };
        step.reply(caller, say);
    }

    /// A claimant, or the way to it, is gone. `stale`: a backend told it that the session has gone on
    /// elsewhere.
    fn given_up(&mut self, caller: &Caller, stale: bool, step: &mut Step<'_>) {
        let its = match &self.state {
            State::Leaving { leaving, .. } => leaving.to == *caller,
            _ => self.is_promised_to(caller),
        };
        match (its, stale) {
            (true, true) => self.close(Closing::Replaced, step),
            (true, false) => self.promise_broken(step),
            (false, _) => {}
        }
    }

    /// The claimant has opened nothing: the promise is taken back as if it had never been made.
    fn withdrawn(&mut self, caller: &Caller, step: &mut Step<'_>) {
        let its = self.is_promised_to(caller);
        let replay_bytes = step.limits().replay_bytes;
        if let Some((_, resume)) = self.owned()
            && its
        {
            resume.promise = None;
            resume.replay.set_limit(replay_bytes);
        }
    }

    /// A promise was not kept: backends may have sent frames to nowhere. The connection, if there is one,
    /// ends, and the next resume is told GAP.
    pub(super) fn promise_broken(&mut self, step: &mut Step<'_>) {
        let limits = step.limits();
        let (replay_bytes, peer_timeout) = (limits.replay_bytes, limits.peer_timeout());
        let Some((_, resume)) = self.owned() else {
            return;
        };
        resume.torn = true;
        let promise = resume.promise.take();
        resume.replay.set_limit(replay_bytes);
        // One that was claimed is told by `stay`.
        if let Some(promise) = promise {
            let took = (step.now + peer_timeout).saturating_sub(promise.until);
            step.note(Note::NotHandedOver { took });
        }
        match self.take_state() {
            State::Active {
                session,
                resume: Some(resume),
                ..
            } => {
                step.push(Effect::LeaveConnection(Closing::ResumeBusy));
                step.note(Note::Suspended);
                self.suspend(session, resume, Code::UNAVAILABLE, true, step);
            }
            State::Leaving {
                session,
                resume,
                leaving,
            } => self.stay(session, resume, *leaving, step),
            other => self.state = other,
        }
    }
}

/// Returns the particulars that a claimant needs to open a session on its backends.
pub(super) fn particulars<L: Hold>(session: &Session<L>) -> Particulars {
    let bindings = session.open().map(|(service, lease)| Binding {
        service: service.to_string(),
        endpoint: lease.endpoint(),
    });
    Particulars {
        bound: session.bound(),
        newest: session.newest(),
        bindings: bindings.collect(),
    }
}
