//! An owner lets a session go: it leaves its links in order, and hands over what is left (protocol 2.4;
//! 3.2, case 2).

use std::sync::Arc;

use smallvec::SmallVec;

use super::owning::particulars;
use super::{Core, Effect, Hold, Millis, Note, Resume, State, Step};
use crate::codec::code::Code;
use crate::codec::peer::{Binding, Caller, Handover, MAX_RING_BYTES, ToClaimant};
use crate::session::closing::Closing;
use crate::session::replay::Lacking;
use crate::session::state::Session;

/// Limit of notices to a claimant about services that were bound since it asked. A client that resumes sends
/// nothing on its old connection, so once is the rule; what is bound still later is told as GAP.
const MAX_ROUNDS: u8 = 4;

/// A session on its way to a peer gateway.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) to: Caller,
    since: Millis,
    pub(super) until: Millis,
    /// True while the client's connection is open.
    pub(super) connected: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The claim waits until every backend has shown that it took its OPEN, or the claimant opens services
    /// of which it was told.
    Claimed {
        token_epoch: u32,
        /// Number of notices about further services.
        rounds: u8,
    },
    /// CLOSE 307 is under way.
    Parting {
        /// Services whose CLOSE 307 is not answered yet.
        awaited: SmallVec<[Arc<str>; 1]>,
        /// All services whose links were left.
        left: SmallVec<[Arc<str>; 1]>,
        gap: bool,
        /// The number of the last frame that the client has.
        has: u64,
    },
}

impl Leaving {
    pub(super) fn may_claim(&self, caller: &Caller) -> bool {
        self.to == *caller && matches!(self.stage, Stage::Claimed { .. })
    }
}

impl<L: Hold> Core<L> {
    /// The claimant to whom the session is promised has claimed it: the client is not read any more.
    pub(super) fn begin_leaving(&mut self, step: &Step<'_>) {
        let promise = self.owned().and_then(|(_, resume)| resume.promise.take());
        let Some(promise) = promise else { return };
        let state = self.take_state();
        let connected = matches!(state, State::Active { .. });
        let (session, resume) = match state {
            State::Active {
                session,
                resume: Some(resume),
                ..
            }
            | State::Suspended {
                session, resume, ..
            } => (session, resume),
            other => {
                self.state = other;
                return;
            }
        };
        self.state = State::Leaving {
            session,
            resume,
            leaving: Box::new(Leaving {
                to: promise.to,
                since: step.now,
                until: promise.until,
                connected,
                stage: Stage::Claimed {
                    token_epoch: promise.token_epoch,
                    rounds: 0,
                },
            }),
        };
    }

    /// Every backend has taken its OPEN and the claimant its ACCEPTs: the session may go. `places`: the
    /// services that the claimant knows, and whether their backends took its OPEN.
    pub(super) fn claimed(
        &mut self,
        caller: Caller,
        count: u64,
        places: &[(String, bool)],
        step: &mut Step<'_>,
    ) {
        let limits = step.limits();
        let (peer_timeout, connect_timeout) = (limits.peer_timeout(), limits.connect_timeout);
        let State::Leaving {
            session,
            resume,
            leaving,
        } = &mut self.state
        else {
            return step.reply(caller, ToClaimant::Refused);
        };
        let known = |service: &str| places.iter().find(|(name, _)| *name == *service);
        let unasked = session.open().any(|(name, _)| known(name).is_none());
        match &mut leaving.stage {
            Stage::Claimed {
                token_epoch,
                rounds,
            } if leaving.to == caller => {
                if unasked && *rounds < MAX_ROUNDS {
                    *rounds += 1;
                    leaving.until = step.now + peer_timeout;
                    let particulars = particulars(session);
                    return step.reply(caller, ToClaimant::HoldsMore { particulars });
                }
                let (has, restarted) = resume.numbering.number(*token_epoch, count);
                let (awaited, left) = leave_links(session, places);
                leaving.until = step.now + connect_timeout;
                leaving.stage = Stage::Parting {
                    awaited,
                    left,
                    gap: resume.torn || restarted || unasked,
                    has,
                };
            }
            Stage::Claimed { .. } | Stage::Parting { .. } => {
                return step.reply(caller, ToClaimant::Refused);
            }
        }
        self.hand_over_if_left(step);
    }

    /// CLOSE 307 of a service came back, or (`lost`) will not any more.
    pub(super) fn no_longer_awaited(&mut self, service: &str, lost: bool, step: &mut Step<'_>) {
        if let State::Leaving { leaving, .. } = &mut self.state
            && let Stage::Parting { awaited, gap, .. } = &mut leaving.stage
            && let Some(at) = awaited.iter().position(|name| **name == *service)
        {
            awaited.remove(at);
            *gap |= lost;
            self.hand_over_if_left(step);
        }
    }

    /// "… not answered within `backend.connect_timeout`, the holder hands over all the same, and OPENED has
    /// the flag GAP." A claimant that does not come back for the session does not get it.
    pub(super) fn leaving_overdue(&mut self, step: &mut Step<'_>) {
        if let State::Leaving { leaving, .. } = &mut self.state {
            match &mut leaving.stage {
                Stage::Claimed { .. } => self.promise_broken(step),
                Stage::Parting { awaited, gap, .. } => {
                    awaited.clear();
                    *gap = true;
                    self.hand_over_if_left(step);
                }
            }
        }
    }

    fn hand_over_if_left(&mut self, step: &mut Step<'_>) {
        if let State::Leaving { leaving, .. } = &self.state
            && let Stage::Parting { awaited, .. } = &leaving.stage
            && awaited.is_empty()
        {
            self.hand_over(step);
        }
    }

    /// The session goes to the claimant, with all that its client may lack.
    fn hand_over(&mut self, step: &mut Step<'_>) {
        let closing = Closing::Replaced;
        let told = self.ended(&closing, Code::LEAVES_LINK);
        let ended = State::Ended(closing.outcome().backends);
        let State::Leaving {
            session,
            mut resume,
            leaving,
        } = std::mem::replace(&mut self.state, ended)
        else {
            return;
        };
        let Stage::Parting { gap, has, .. } = leaving.stage else {
            return;
        };
        let limit = MAX_RING_BYTES.min(step.limits().outbound_queue);
        resume.replay.set_limit(limit);
        let mut lacking = resume.replay.since(has);
        // Its copy, and that in the frame which carries it.
        if !lacking.is_empty() && !step.host.has_room(2 * lacking.len()) {
            lacking = Lacking::nothing();
        }
        let assigned = session.assigned().map(|(service, endpoint)| Binding {
            service: service.to_string(),
            endpoint,
        });
        let handed = Handover {
            assigned: assigned.collect(),
            gap: gap || lacking.gap,
            received: session.received(),
            starts: resume.numbering.starts().to_vec(),
            before: resume.replay.sent() - lacking.frames,
            ring: [lacking.bytes.0, lacking.bytes.1].concat(),
            bound: session.bound(),
            newest: session.newest(),
            last_service: session.last_named().to_owned(),
            age_s: step.host.session_age_s(),
        };
        if let Some(confirming) = resume.confirming.take() {
            confirming.dismiss(&ToClaimant::Busy, step);
        }
        // Before the answer: claimants that ask from now on are told where it is.
        step.push(Effect::Moved(leaving.to.at.clone()));
        step.reply(leaving.to, ToClaimant::Handover(Box::new(handed)));
        let took = step.now.saturating_sub(leaving.since);
        step.note(Note::HandedOver { took });
        self.end_session(session, told, step);
        step.push(Effect::Close(closing));
    }

    /// The claimant is gone: the session stays. Links that were left for it are lost, their bindings as the
    /// session's.
    pub(super) fn stay(
        &mut self,
        mut session: Session<L>,
        resume: Box<Resume>,
        leaving: Leaving,
        step: &mut Step<'_>,
    ) {
        let took = step.now.saturating_sub(leaving.since);
        step.note(Note::NotHandedOver { took });
        let mut tell_backends = leaving.connected;
        if let Stage::Parting { left, .. } = &leaving.stage {
            // Backends have it suspended since CLOSE 307.
            tell_backends = false;
            for service in left {
                if let Some(mut lease) = session.unbind(service) {
                    lease.silence();
                }
            }
            step.note(Note::ServicesChanged);
        }
        if leaving.connected {
            step.push(Effect::LeaveConnection(Closing::ResumeBusy));
            step.note(Note::Suspended);
        } else {
            step.note(Note::WaitsAgain);
        }
        self.suspend(session, resume, Code::UNAVAILABLE, tell_backends, step);
    }
}

/// Leaves every link; returns the services whose answers are awaited, and all that were left. A backend
/// that did not take the claimant's OPEN may not answer CLOSE 307 either.
#[expect(clippy::type_complexity, reason = "two lists of the same kind")]
fn leave_links<L: Hold>(
    session: &mut Session<L>,
    places: &[(String, bool)],
) -> (SmallVec<[Arc<str>; 1]>, SmallVec<[Arc<str>; 1]>) {
    let (mut awaited, mut left) = (SmallVec::new(), SmallVec::new());
    let open: SmallVec<[Arc<str>; 2]> = session.open().map(|(name, _)| Arc::clone(name)).collect();
    for service in open {
        let taken = places
            .iter()
            .any(|(name, taken)| **name == *service && *taken);
        let place = session.find(&service);
        if let Some(lease) = place.and_then(|place| session.lease(place)) {
            lease.leave();
        }
        if taken {
            awaited.push(Arc::clone(&service));
        }
        left.push(service);
    }
    session.release_lost();
    (awaited, left)
}
