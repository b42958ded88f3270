//! Sessions that leave a link by CLOSE 307, for good or for a move, and come back (protocol 2.4, 2.5).

use super::sessions::{Attached, MAX_LEFT, Sessions, Stage};
use crate::codec::code::Code;

/// Whether CLOSE 307 is sent and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    Asked,
    /// The answer brings the session's state.
    ToMove,
    /// An OPEN behind it takes the session back, and its answer says nothing any more.
    TakenBack,
}

impl Stage {
    pub(super) fn awaits_accept(self) -> bool {
        matches!(self, Stage::Resuming | Stage::Arriving)
    }
}

impl<C> Attached<C> {
    /// Tells whether ACCEPT may answer an OPEN of this session. Of a move only that of its own epoch does.
    pub(super) fn is_asked(&self, epoch: u32) -> bool {
        let of_another = self.stage == Stage::Arriving && self.mark != epoch;
        self.unanswered > 0 && self.stage != Stage::Parted && !of_another
    }
}

/// Session that a backend's CLOSE 307 concerns.
#[derive(Debug)]
pub enum LeaveAnswered<'a, C> {
    /// One that was leaving and still attached; the link has forgotten it now.
    Detached(Attached<C>),
    /// One that is moved to another backend, and stays attached until that has ended.
    Parted(&'a mut Attached<C>),
    /// One that had left before.
    Forgotten,
    /// None that was asked to leave.
    Unexpected,
}

impl<C> Sessions<C> {
    /// Resumes a session on the link that it has, or takes it back from a move. Returns whether it is attached, so
    /// that OPEN is to be sent.
    pub fn reopen(&mut self, session_id: u64, epoch: u32) -> bool {
        let Some(attached) = self.get(session_id) else {
            return false;
        };
        attached.unanswered = attached.unanswered.saturating_add(1);
        if attached.stage == Stage::Parted {
            (attached.stage, attached.mark) = (Stage::Resuming, epoch);
        }
        let unanswered = attached.leaving == Leaving::ToMove;
        if unanswered {
            attached.leaving = Leaving::TakenBack;
        }
        if unanswered && self.left.len() < MAX_LEFT {
            self.left.insert(session_id);
        }
        true
    }

    /// The session leaves in order. Returns whether it is attached, so that CLOSE 307 is to be sent.
    pub fn leave(&mut self, session_id: u64) -> bool {
        match self.get(session_id) {
            Some(attached) => {
                attached.leaving = Leaving::Asked;
                true
            }
            None => false,
        }
    }

    /// The session leaves in order for another backend. Returns as [`leave`](Self::leave).
    pub fn part(&mut self, session_id: u64) -> bool {
        match self.get(session_id) {
            Some(attached) => {
                attached.leaving = Leaving::ToMove;
                true
            }
            None => false,
        }
    }

    /// MOVED is sent. One that has handed its session over keeps it until it is told: where it may not have read MOVED 0
    /// when the link is lost, it is owed a final CLOSE.
    pub fn moved(&mut self, session_id: u64, code: Code) {
        let gone = |s: &mut Attached<C>| s.stage == Stage::Parted;
        if code == Code::NORMAL && self.get(session_id).is_some_and(gone) {
            self.unread.said(session_id, code);
        }
    }

    /// Tells whether BOUND may be sent to the session: behind CLOSE 307 nothing may.
    pub fn takes_bound(&mut self, session_id: u64) -> bool {
        let speaks = |leaving| matches!(leaving, Leaving::No | Leaving::TakenBack);
        self.get(session_id)
            .is_some_and(|s| speaks(s.leaving) && s.stage != Stage::Parted)
    }

    /// CLOSE 307 came: the backend's last word on the session on this link.
    pub fn leave_answered(&mut self, session_id: u64) -> LeaveAnswered<'_, C> {
        if self.left.remove(&session_id) {
            self.forget_given_up(session_id);
            if let Some(attached) = self.get(session_id)
                && attached.leaving == Leaving::TakenBack
            {
                attached.leaving = Leaving::No;
            }
            return LeaveAnswered::Forgotten;
        }
        let leaving = self.get(session_id).map_or(Leaving::No, |s| s.leaving);
        let answered = match leaving {
            Leaving::No | Leaving::TakenBack => None,
            Leaving::Asked => self.detach(session_id).map(LeaveAnswered::Detached),
            Leaving::ToMove => self.get(session_id).map(|attached| {
                attached.leaving = Leaving::No;
                attached.stage = Stage::Parted;
                LeaveAnswered::Parted(attached)
            }),
        };
        answered.unwrap_or(LeaveAnswered::Unexpected)
    }
}
