//! The words of a peer gateway wait here until every backend is known to have taken the session's OPEN:
//! the peer's OPEN must not overtake it, for the backend would not know the session yet (404).

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Core, Hold, Step};
use crate::codec::peer::{Caller, ToClaimant, ToOwner};

/// Words of peer gateways that may wait; one at a time is the rule.
const MAX_WAITING: usize = 8;

/// Requests of claimants that wait for confirmations of backends.
#[derive(Debug, Default)]
pub(super) struct Confirming {
    waiting: Vec<(Caller, ToOwner)>,
    /// Services whose backends are not known to have taken their OPEN.
    unconfirmed: SmallVec<[Arc<str>; 1]>,
}

impl<L: Hold> Core<L> {
    /// Asks every backend to show that it has taken its OPEN; then the peer gateway's word is heard.
    pub(super) fn confirm_backends(&mut self, caller: Caller, say: ToOwner, step: &mut Step<'_>) {
        let Some((session, resume)) = self.owned() else {
            return;
        };
        let confirming = resume.confirming.get_or_insert_default();
        if confirming.waiting.len() == MAX_WAITING {
            return self.answer_without_session(caller, Some(&say), step);
        }
        confirming.waiting.push((caller, say));
        for (service, lease) in session.open() {
            if !confirming.unconfirmed.contains(service) {
                confirming.unconfirmed.push(Arc::clone(service));
                lease.confirm();
            }
        }
        self.hear_waiting(step);
    }

    /// A backend has shown that it has taken its OPEN, or will not any more.
    pub fn confirmed(&mut self, service: &str, step: &mut Step<'_>) {
        if let Some((_, resume)) = self.owned()
            && let Some(confirming) = &mut resume.confirming
        {
            confirming.unconfirmed.retain(|name| **name != *service);
            self.hear_waiting(step);
        }
    }

    /// A service has just been opened: its backend too is to show that.
    pub(super) fn confirm_opened(&mut self, service: &str, step: &mut Step<'_>) {
        let Some((session, resume)) = self.owned() else {
            return;
        };
        let Some(confirming) = &mut resume.confirming else {
            return;
        };
        let opened = session.open().find(|(name, _)| ***name == *service);
        if let Some((name, lease)) = opened
            && !confirming.waiting.is_empty()
            && !confirming.unconfirmed.contains(name)
        {
            confirming.unconfirmed.push(Arc::clone(name));
            lease.confirm();
        }
        self.hear_waiting(step);
    }

    /// Hears the words that have waited, when they need to wait no more. A service that the session goes on
    /// without is not waited for: its link has forgotten the session and says nothing.
    pub(super) fn hear_waiting(&mut self, step: &mut Step<'_>) {
        let Some((session, resume)) = self.owned() else {
            return;
        };
        let Some(confirming) = &mut resume.confirming else {
            return;
        };
        let is_open = |name: &Arc<str>| session.open().any(|(open, _)| open == name);
        confirming.unconfirmed.retain(|name| is_open(name));
        if session.is_opening() || !confirming.unconfirmed.is_empty() {
            return;
        }
        let confirming = resume.confirming.take();
        for (caller, say) in confirming.into_iter().flat_map(|c| c.waiting) {
            match say {
                ToOwner::Ask { token_epoch } => self.asked(caller, token_epoch, step),
                ToOwner::Claim { count, places } => self.claimed(caller, count, &places, step),
                ToOwner::GiveUp { .. }
                | ToOwner::Withdraw
                | ToOwner::Supersede { .. }
                | ToOwner::End { .. } => {}
            }
        }
    }

    /// A caller is gone, or has taken back what it asked.
    pub(super) fn forget_waiting(&mut self, caller: &Caller) {
        if let Some((_, resume)) = self.owned()
            && let Some(confirming) = &mut resume.confirming
        {
            confirming.waiting.retain(|(waiting, _)| waiting != caller);
        }
    }
}

impl Confirming {
    /// Answers the waiting claimants when the session ends or leaves, except for a claim, which the promise
    /// answers.
    pub(super) fn dismiss(self, say: &ToClaimant, step: &mut Step<'_>) {
        for (caller, waiting) in self.waiting {
            if let ToOwner::Ask { .. } = waiting {
                step.reply(caller, say.clone());
            }
        }
    }
}
