//! Answers that a backend still owes for sessions that are no longer attached.

use super::sessions::{Attached, MAX_LEFT, Sessions, Stage};

/// OPENs of one session whose answers say nothing any more.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    opens: u32,
    /// The ones among them that a CLOSE of any code refuses.
    transferred: u32,
    /// The ones among them that CLOSE 307 is behind: once that is answered, nothing more comes of them.
    left: u32,
}

impl<C> Sessions<C> {
    /// What the backend still answers of a session that is detached: CLOSE 307, and OPENs.
    pub(super) fn leaves_behind(
        &mut self,
        session_id: u64,
        attached: &Attached<C>,
        is_leaving: bool,
    ) {
        if is_leaving && self.left.len() < MAX_LEFT {
            self.left.insert(session_id);
        }
        self.give_up(session_id, attached, attached.unanswered);
    }

    pub(super) fn give_up(&mut self, session_id: u64, attached: &Attached<C>, opens: u16) {
        if opens > 0 && self.given_up.len() < MAX_LEFT {
            let given_up = self.given_up.entry(session_id).or_default();
            given_up.opens += u32::from(opens);
            given_up.transferred += u32::from(attached.stage == Stage::Arriving);
        }
    }

    /// Tells whether an answer is to an OPEN that was given up. `any`: also to a resumed one.
    pub(super) fn answers_given_up(&mut self, session_id: u64, any: bool) -> bool {
        let Some(given_up) = self.given_up.get_mut(&session_id) else {
            return false;
        };
        if !any && given_up.transferred == 0 {
            return false;
        }
        given_up.opens -= 1;
        given_up.left = given_up.left.saturating_sub(1);
        let rest = given_up.opens.min(given_up.transferred);
        given_up.transferred = if any { rest } else { given_up.transferred - 1 };
        if given_up.opens == 0 {
            self.given_up.remove(&session_id);
        }
        true
    }

    /// CLOSE 307 is said behind what was given up.
    pub(super) fn leave_given_up(&mut self, session_id: u64) {
        if let Some(given_up) = self.given_up.get_mut(&session_id) {
            given_up.left = given_up.opens;
        }
    }

    /// It is answered: a backend that has refused one OPEN for all of them says nothing more.
    pub(super) fn forget_given_up(&mut self, session_id: u64) {
        let Some(given_up) = self.given_up.get_mut(&session_id) else {
            return;
        };
        given_up.opens -= std::mem::take(&mut given_up.left);
        given_up.transferred = given_up.transferred.min(given_up.opens);
        if given_up.opens == 0 {
            self.given_up.remove(&session_id);
        }
    }
}
