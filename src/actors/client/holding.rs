//! The gateway that has a session, towards those who want it: it answers another gateway's questions,
//! leaves its links in order, and hands the session over (protocol 2.4; 3.2, case 2).

use std::sync::Arc;

use actix::prelude::*;

use super::resumable::Claimant;
use super::{Client, Closing, Hold, Stage};
use crate::actors::peers::Reply;
use crate::actors::session_registry::{PeerRequest, SessionMoved};
use crate::codec::code::Code;
use crate::codec::peer::{
    Binding, Caller, HandOver, MAX_RING_BYTES, Particulars, ToHolder, ToNewcomer,
};
use crate::session::resume::{Answer, Holder, HolderAction as Do, Standing};
use crate::session::state::Session;

impl Client {
    /// Another gateway says something of this session, or is gone.
    pub(super) fn called(&mut self, called: PeerRequest, ctx: &mut Context<Self>) {
        let its = |s: &Session<_>| s.id() == called.session_id;
        let here = self.session.as_ref().is_some_and(its)
            && self.resumable.as_ref().is_some_and(|r| r.holder.is_some());
        if !here || matches!(self.stage, Stage::Ending(_)) {
            return self.answer_without_session(called);
        }
        let claimant = Claimant::Peer(called.caller.clone());
        let now = self.shared.elapsed_ms();
        if called.said.as_ref().is_none_or(ToHolder::ends) {
            // Nobody waits for what it has asked before.
            self.forget_waiting(&called.caller);
        }
        match called.said {
            Some(ToHolder::Ask { .. }) => self.confirm_backends(called, ctx),
            Some(ToHolder::Claim { .. }) if self.is_promised_to(&claimant) => {
                // So that nothing more is opened.
                self.hold = Hold::Leaving;
                self.confirm_backends(called, ctx);
            }
            Some(ToHolder::Claim { .. }) => self.reply(called.caller, ToNewcomer::Refused),
            Some(ToHolder::GiveUp { stale }) => {
                self.at_holder(None, |h| h.given_up(now, &claimant, stale), ctx);
            }
            Some(ToHolder::Supersede) => self.at_holder(None, |h| h.superseded(now), ctx),
            Some(ToHolder::End { code }) => {
                self.at_holder(None, |h| h.ended(now, Code(code)), ctx);
            }
            None => self.at_holder(None, |h| h.given_up(now, &claimant, false), ctx),
        }
    }

    /// The session is not here: it is on its way here, or it has just ended.
    pub(super) fn answer_without_session(&self, called: PeerRequest) {
        let say = match called.said {
            Some(ToHolder::Ask { .. }) if self.resumable.is_some() => ToNewcomer::Busy,
            Some(ToHolder::Ask { .. }) => ToNewcomer::Unknown,
            Some(ToHolder::Claim { .. }) => ToNewcomer::Refused,
            Some(ToHolder::GiveUp { .. } | ToHolder::Supersede | ToHolder::End { .. }) | None => {
                return;
            }
        };
        self.reply(called.caller, say);
    }

    pub(super) fn reply(&self, to: Caller, say: ToNewcomer) {
        self.shared.peers.reply(Reply { to, say });
    }

    fn is_promised_to(&self, claimant: &Claimant) -> bool {
        let holder = self.resumable.as_ref().and_then(|r| r.holder.as_ref());
        holder.is_some_and(|h| h.promised_to() == Some(claimant))
    }

    pub(super) fn hear(&mut self, called: PeerRequest, ctx: &mut Context<Self>) {
        let now = self.shared.elapsed_ms();
        let (caller, claimant) = (called.caller.clone(), Claimant::Peer(called.caller));
        match called.said {
            Some(ToHolder::Ask { token_epoch }) => {
                let asked = |h: &mut Holder<_>| h.asked(now, &claimant, token_epoch, false);
                self.at_holder(Some(&caller), asked, ctx);
            }
            Some(ToHolder::Claim { .. }) if !self.is_promised_to(&claimant) => {
                self.reply(caller, ToNewcomer::Refused);
            }
            Some(ToHolder::Claim { count, places }) => {
                let standings = self.standings(&places);
                let claimed = |h: &mut Holder<_>| h.claimed(now, &claimant, count, &standings);
                self.at_holder(Some(&caller), claimed, ctx);
            }
            Some(ToHolder::GiveUp { .. } | ToHolder::Supersede | ToHolder::End { .. }) | None => {}
        }
    }

    /// How each service of the session stands, where a newcomer has got so far; their names are kept
    /// by place.
    fn standings(&mut self, places: &[(String, bool)]) -> Vec<Standing> {
        let (Some(session), Some(resumable)) = (&self.session, &mut self.resumable) else {
            return Vec::new();
        };
        resumable.claimed.clear();
        let mut standings = Vec::new();
        for (service, open) in session.standing() {
            let taken = places.iter().find(|(name, _)| **name == **service);
            standings.push(match (open, taken) {
                (None, _) => Standing::Lost,
                (Some(false), _) => Standing::Opening,
                (Some(true), None) => Standing::Unasked,
                (Some(true), Some((_, true))) => Standing::Taken,
                (Some(true), Some((_, false))) => Standing::Dropped,
            });
            resumable.claimed.push(Arc::clone(service));
        }
        standings
    }

    /// An event at the session's machine, and what follows from it. `from`: the gateway that has just
    /// said something.
    pub(super) fn at_holder(
        &mut self,
        from: Option<&Caller>,
        event: impl FnOnce(&mut Holder<Claimant>) -> Vec<Do<Claimant>>,
        ctx: &mut Context<Self>,
    ) {
        let holder = self.resumable.as_mut().and_then(|r| r.holder.as_mut());
        let Some(holder) = holder else { return };
        let actions = event(holder);
        for action in actions {
            self.hold_action(action, from, ctx);
        }
        self.settle_limits();
        self.watch(ctx);
    }

    /// More is kept while somebody wants the session; links that were left for nothing are lost.
    fn settle_limits(&mut self) {
        let config = Arc::clone(&self.shared.scope.config);
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let Some(holder) = &resumable.holder else {
            return;
        };
        if holder.is_wanted() {
            return self.keep_up_to(config.session.outbound_queue);
        }
        let left = std::mem::take(&mut resumable.left);
        if holder.has_session() && resumable.arriving.is_none() {
            left.iter().for_each(|service| self.unbind(service, None));
            self.keep_up_to(config.session.replay_bytes);
        }
    }

    fn hold_action(
        &mut self,
        action: Do<Claimant>,
        from: Option<&Caller>,
        ctx: &mut Context<Self>,
    ) {
        match action {
            Do::Answer(answer) => {
                let say = self.answer(answer);
                self.tell_caller(from, say);
            }
            Do::HoldsMore => {
                let particulars = self.particulars();
                self.tell_caller(from, ToNewcomer::HoldsMore { particulars });
            }
            Do::RefuseClaim => self.tell_caller(from, ToNewcomer::Refused),
            Do::ClaimEnded(Claimant::Peer(to), code) => {
                self.reply(to, ToNewcomer::Ended { code: code.0 });
            }
            Do::ClaimEnded(Claimant::Here, _) => {}
            Do::StopReading => self.hold = Hold::Leaving,
            Do::LeaveLink(place) => self.leave_link(place),
            Do::Forget(place) => self.forget_link(place),
            Do::HandOver { to, gap, has } => self.hand_over(to, gap, has, ctx),
            // Whose links were left, and whose player is told, goes with its session.
            Do::LeaveAll => self.close(Closing::Replaced, ctx),
            Do::Suspend(_) => {
                let closing = Closing::ResumeElsewhere;
                self.wait_for_player(&closing, true);
            }
            Do::CloseClient(Code::UNAVAILABLE) if matches!(self.stage, Stage::Talking) => {
                self.wait_for_player(&Closing::ResumeElsewhere, false);
            }
            // With the session, by what comes before or behind it.
            Do::CloseClient(_) => {}
            Do::End(code) if matches!(self.stage, Stage::Suspended) => {
                self.end_suspended(code, ctx);
            }
            Do::End(code) => {
                let (retry_after_ms, text) = (0, Box::default());
                let closing = Closing::ByBackend {
                    code,
                    retry_after_ms,
                    text,
                };
                self.close(closing, ctx);
            }
        }
    }

    fn tell_caller(&self, caller: Option<&Caller>, say: ToNewcomer) {
        if let Some(caller) = caller {
            self.reply(caller.clone(), say);
        }
    }

    fn answer(&self, answer: Answer<Claimant>) -> ToNewcomer {
        match answer {
            Answer::Holds { epoch } => ToNewcomer::Holds {
                epoch,
                particulars: self.particulars(),
            },
            // The registry remembers that, and answers itself.
            Answer::Moved(_) | Answer::Unknown => ToNewcomer::Unknown,
            Answer::Busy => ToNewcomer::Busy,
            Answer::NotGood => ToNewcomer::NotGood,
        }
    }

    fn particulars(&self) -> Particulars {
        let Some(session) = &self.session else {
            return Particulars::default();
        };
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

    fn claimed_service(&self, place: usize) -> Option<Arc<str>> {
        let claimed = self.resumable.as_ref().map(|r| &r.claimed);
        claimed.and_then(|c| c.get(place)).cloned()
    }

    fn leave_link(&mut self, place: usize) {
        let Some(service) = self.claimed_service(place) else {
            return;
        };
        if let Some(session) = &mut self.session
            && let Some(place) = session.find(&service)
            && let Some(lease) = session.lease(place)
        {
            lease.leave();
        }
        if let Some(resumable) = &mut self.resumable {
            resumable.left.push(service);
        }
    }

    fn forget_link(&mut self, place: usize) {
        let Some(service) = self.claimed_service(place) else {
            return;
        };
        if let Some(session) = &mut self.session
            && let Some(place) = session.find(&service)
            && let Some(mut lease) = session.take_lost(place)
        {
            lease.silence();
        }
    }

    /// A backend has answered CLOSE 307.
    pub(super) fn left(&mut self, service: &str, ctx: &mut Context<Self>) {
        let now = self.shared.elapsed_ms();
        if let Some(place) = self.claimed_place(service) {
            self.at_holder(None, |holder| holder.left(now, place), ctx);
        }
    }

    /// The place of a service of which another gateway was told.
    pub(super) fn claimed_place(&self, service: &str) -> Option<usize> {
        let claimed = &self.resumable.as_ref()?.claimed;
        claimed.iter().position(|name| **name == *service)
    }

    /// The session goes to another gateway, with all that its player may lack.
    fn hand_over(&mut self, to: Claimant, gap: bool, has: u64, ctx: &mut Context<Self>) {
        self.keep_up_to(MAX_RING_BYTES.min(self.shared.scope.config.session.outbound_queue));
        let (Claimant::Peer(to), Some(session), Some(resumable)) =
            (to, &self.session, &self.resumable)
        else {
            return;
        };
        let Some(holder) = &resumable.holder else {
            return;
        };
        let lacking = resumable.replay.since(has);
        let hand_over = HandOver {
            gap: gap || lacking.gap,
            received: session.received(),
            starts: holder.numbering().starts().to_vec(),
            before: resumable.replay.sent() - lacking.frames,
            ring: [lacking.bytes.0, lacking.bytes.1].concat(),
            bound: session.bound(),
            newest: session.newest(),
        };
        let session_id = session.id();
        tracing::debug!(session = %format_args!("{}:{session_id}", self.shared.scope.config.gateway.id), to = %to.at.gateway, "session is handed over");
        let moved = SessionMoved {
            session_id,
            owner: self.stats.owner,
            to: to.at.clone(),
            keep: self.shared.scope.config.session.resume_window,
        };
        // Before the answer: whoever asks from now on is told where it is.
        self.shared.shards.home(session_id).do_send(moved);
        self.reply(to, ToNewcomer::HandOver(Box::new(hand_over)));
        self.shared.scope.gate.handed_over();
        self.close(Closing::Replaced, ctx);
    }

    /// The session ends with `code`: whoever it was promised to is told.
    pub(super) fn tell_claimant(&mut self, code: Code) {
        self.dismiss_waiting(&ToNewcomer::NotGood);
        let now = self.shared.elapsed_ms();
        let holder = self.resumable.as_mut().and_then(|r| r.holder.as_mut());
        let Some(holder) = holder else { return };
        let promised = holder.promised_to().cloned();
        let ended = holder.ended(now, code);
        let claimed = ended.into_iter().find_map(|action| match action {
            Do::ClaimEnded(to, _) => Some(to),
            _ => None,
        });
        if let Some(Claimant::Peer(to)) = claimed.or(promised) {
            self.reply(to, ToNewcomer::Ended { code: code.0 });
        }
    }
}
