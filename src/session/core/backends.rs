//! Events from backends about the session and its links.

use super::inbound::retag;
use super::{Core, Hold, Note, Pause, State, Step};
use crate::codec::code::Code;
use crate::codec::link::Bind;
use crate::session::closing::Closing;

/// Way in which a backend ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendClose {
    /// The backend's code, or 440.
    pub code: Code,
    /// Milliseconds.
    pub retry_after_ms: u32,
    /// For the player.
    pub text: Box<str>,
}

impl From<BackendClose> for Closing {
    fn from(close: BackendClose) -> Closing {
        Closing::ByBackend {
            code: close.code,
            retry_after_ms: close.retry_after_ms,
            text: close.text,
        }
    }
}

impl<L: Hold> Core<L> {
    /// A backend says who the session is. The others that have it open are told.
    pub fn bound(&mut self, service: &str, bind: Bind, step: &mut Step<'_>) {
        step.note(Note::Bound);
        if let State::Claiming { claim, .. } = &mut self.state {
            claim.bound.learn(bind);
        }
        let leaves = matches!(self.state, State::Leaving { .. });
        let Some(session) = self.session_mut() else {
            return;
        };
        let before = (session.realm_id(), session.user_id());
        if !session.bind(bind) {
            return;
        }
        if session.realm_id() != before.0 {
            retag(session);
        }
        let user_id = session.user_id();
        if user_id != before.1 && step.bans_user(user_id, true) {
            return self.close(Closing::Banned, step);
        }
        let Some(session) = self.session_mut() else {
            return;
        };
        // Behind CLOSE 307 nothing is said on a link; the claimant tells.
        if !leaves {
            let others = session.open().filter(|(name, _)| ***name != *service);
            others.for_each(|(_, lease)| lease.tell_bound(session.bound()));
        }
        self.renew_token(step);
    }

    /// A backend has ended the session, or does not take the OPEN of a resume; its link has forgotten the
    /// session.
    pub fn closed_on_link(
        &mut self,
        service: &str,
        link_id: u64,
        close: BackendClose,
        step: &mut Step<'_>,
    ) {
        let Some(close) = self.closed_in_move(service, link_id, close, step) else {
            return;
        };
        match self.closed_in_attempt(service, close, step) {
            // The claimant's OPEN was quicker than this session's own: the backend goes on with that one.
            Some(close) if close.code == Code::GONE && self.is_wanted() => {
                self.unbind(service, None, step);
                self.tell_unbound(service, step);
                self.no_longer_awaited(service, true, step);
            }
            Some(close) => self.close(close.into(), step),
            None => {}
        }
        self.confirmed(service, step);
    }

    /// A backend has ended the session on a link that does not carry it. Its own link says a final CLOSE all the
    /// same: an OPEN there may be on its way, and would begin the session anew.
    pub fn closed_elsewhere(&mut self, close: BackendClose, step: &mut Step<'_>) {
        self.close(close.into(), step);
    }

    /// Handles the loss of a link: the client is told once, and its next DATA is routed again.
    pub fn link_lost(&mut self, service: &str, link_id: u64, step: &mut Step<'_>) {
        let open = |(name, lease): (&std::sync::Arc<str>, &L)| {
            **name == *service && lease.link_id() == link_id
        };
        let is_open = self.session().is_some_and(|s| s.open().any(open));
        if is_open && self.lost_in_attempt(service, step) {
            return;
        }
        if self.lost_in_move(service, link_id, step) {
            return;
        }
        let mut at = None;
        let is_its = |lease: &L| lease.link_id() == link_id;
        if let Some(session) = self.session_mut()
            && let Some(place) = session.lost(service, link_id, is_its)
        {
            for lease in session.leases().filter(|lease| lease.link_id() == link_id) {
                lease.set_final_code(Code::BAD_GATEWAY);
                at = Some(lease.endpoint());
            }
            let by_assign = session.is_by_assign(place);
            if let Some(at) = at.filter(|_| step.host.is_assigned(service, by_assign)) {
                session.assign_again(place, at);
            }
            step.note(Note::ServicesChanged);
            let text = "the backend's link was lost; answers may be missing";
            self.tell_error(Code::BAD_GATEWAY, 0, text, service, step);
            // It will not say that it has room any more.
            self.unpause(Pause::LinkFull, step);
        }
        self.no_longer_awaited(service, true, step);
        self.confirmed(service, step);
    }

    /// An operator ends what is open at a backend, over this link: the client is told, and its next DATA is routed
    /// again. A session that resumes or is wanted elsewhere stays for now: the link says it again.
    pub fn end_service(&mut self, service: &str, link_id: u64, step: &mut Step<'_>) {
        let is_settled = matches!(self.state, State::Active { .. } | State::Suspended { .. });
        let open = |(name, lease): (&std::sync::Arc<str>, &L)| {
            **name == *service && lease.link_id() == link_id && lease.may_be_ended()
        };
        let is_open = self.session().is_some_and(|s| s.open().any(open));
        if !is_settled || !is_open || self.is_wanted() {
            return;
        }
        self.unbind(service, Some(Code::BAD_GATEWAY), step);
        step.note(Note::ServiceEnded);
        let why = "the backend is in maintenance; answers may be missing";
        self.tell_error(Code::BAD_GATEWAY, 0, why, service, step);
        self.confirmed(service, step);
        // The old one would open the service there again.
        self.renew_token(step);
    }

    /// A backend has answered CLOSE 307, with this `state` where that began a move.
    pub fn left(&mut self, service: &str, link_id: u64, state: &[u8], step: &mut Step<'_>) {
        if !self.parted(service, link_id, state, step) {
            self.no_longer_awaited(service, false, step);
        }
    }

    /// A link has room again.
    pub fn link_has_room(&mut self, step: &mut Step<'_>) {
        self.unpause(Pause::LinkFull, step);
    }

    /// Takes a service's binding: its backend hears `code`, or nothing.
    pub(super) fn unbind(&mut self, service: &str, code: Option<Code>, step: &mut Step<'_>) {
        step.note(Note::ServicesChanged);
        let Some(session) = self.session_mut() else {
            return;
        };
        if let Some(place) = session.find(service) {
            // Where it is still being opened, nothing waits for it.
            session.failed(place);
        }
        if let Some(mut lease) = session.unbind(service) {
            match code {
                Some(code) => lease.set_final_code(code),
                None => lease.silence(),
            }
            // Its link will not say that it has room.
            self.unpause(Pause::LinkFull, step);
        }
    }
}
