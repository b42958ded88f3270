//! What another gateway says waits here until every backend is known to have taken the session's OPEN:
//! the other one's OPEN must not overtake it.

use std::sync::Arc;

use actix::prelude::*;

use super::Client;
use crate::actors::session_registry::PeerRequest;
use crate::codec::peer::{Caller, ToHolder, ToNewcomer};
use crate::session::state::Session;

/// Words of other gateways that may wait for a session's backends; one at a time is the rule.
const MAX_WAITING: usize = 8;

impl Client {
    /// Asks every backend to show that it has taken its OPEN: another gateway's OPEN must not overtake
    /// it. Then the gateway's word is heard.
    pub(super) fn confirm_backends(&mut self, called: PeerRequest, ctx: &mut Context<Self>) {
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        if resumable.waiting.len() == MAX_WAITING {
            return self.answer_without_session(called);
        }
        resumable.waiting.push(called);
        if let Some(session) = &self.session {
            for (service, lease) in session.open() {
                if !resumable.unconfirmed.contains(service) {
                    resumable.unconfirmed.push(Arc::clone(service));
                    lease.confirm();
                }
            }
        }
        self.hear_waiting(ctx);
    }

    /// A backend has shown that it has taken its OPEN, or will not any more.
    pub(super) fn confirmed(&mut self, service: &str, ctx: &mut Context<Self>) {
        if let Some(resumable) = &mut self.resumable {
            resumable.unconfirmed.retain(|name| **name != *service);
            self.hear_waiting(ctx);
        }
    }

    /// A service has just been opened: its backend too is to show that.
    pub(super) fn confirm_opened(&mut self, service: &str, ctx: &mut Context<Self>) {
        if let Some(resumable) = &mut self.resumable
            && let Some(session) = &mut self.session
            && !resumable.waiting.is_empty()
            && let Some(place) = session.find(service)
        {
            let name = Arc::clone(session.name(place));
            if let Some(lease) = session.lease(place)
                && !resumable.unconfirmed.contains(&name)
            {
                resumable.unconfirmed.push(name);
                lease.confirm();
            }
            self.hear_waiting(ctx);
        }
    }

    /// Hears the words that have waited, when they need to wait no more.
    pub(super) fn hear_waiting(&mut self, ctx: &mut Context<Self>) {
        let opening = self.session.as_ref().is_some_and(Session::is_opening);
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        if opening || !resumable.unconfirmed.is_empty() {
            return;
        }
        for called in std::mem::take(&mut resumable.waiting) {
            self.hear(called, ctx);
        }
    }

    /// A caller is gone, or has taken back what it asked.
    pub(super) fn forget_waiting(&mut self, caller: &Caller) {
        if let Some(resumable) = &mut self.resumable {
            resumable.waiting.retain(|called| called.caller != *caller);
        }
    }

    /// The session ends, or leaves: whoever still waits is answered. A claim is by who promised.
    pub(super) fn dismiss_waiting(&mut self, say: &ToNewcomer) {
        let waiting = self
            .resumable
            .as_mut()
            .map(|r| std::mem::take(&mut r.waiting));
        for called in waiting.into_iter().flatten() {
            if let Some(ToHolder::Ask { .. }) = called.said {
                self.reply(called.caller, say.clone());
            }
        }
    }
}
