//! A backend's CLOSE with another code than 307: the end of a session, or the answer to an OPEN (protocol 2.3).

use super::leaving::Leaving;
use super::sessions::{Attached, MAX_LEFT, Sessions, Stage};
use crate::codec::code::Code;

/// Session that a backend's CLOSE concerns.
#[derive(Debug)]
pub enum Closed<C> {
    /// One of this link, which has forgotten it now.
    Detached(Attached<C>),
    /// The same, but the backend may not have read the newest OPEN when it said that, and take the session then: it is
    /// still owed a CLOSE of this code.
    Crossed(Attached<C>, Code),
    /// One that has left, or an answer that nobody awaits any more.
    Left,
    /// None that this link knows.
    Stranger,
}

impl<C> Attached<C> {
    /// Tells whether CLOSE 410 may answer what was said before the OPENs that ask for an answer: an OPEN that asks for none
    /// and has not shown that it was taken, or CLOSE 307 of a move.
    fn may_be_refused_before(&self) -> bool {
        self.stage == Stage::OpenSent || self.leaving == Leaving::TakenBack
    }
}

impl<C> Sessions<C> {
    /// A CLOSE with another code than 307 came.
    pub fn closed(&mut self, session_id: u64, code: Code) -> Closed<C> {
        // "epoch lower than the one it keeps …: CLOSE 410"; "resumed, and it does not know the session:
        // CLOSE 404"; "transferred …: CLOSE with a code of its own choice".
        let answers = matches!(code, Code::GONE | Code::NO_ROUTE);
        if self.answers_given_up(session_id, answers) {
            if answers {
                // Who refuses a session does not answer CLOSE 307 behind that.
                self.left.remove(&session_id);
            }
            return Closed::Left;
        }
        // It has said its last word on the session, unless it gets that back.
        if self
            .get(session_id)
            .is_some_and(|s| s.stage == Stage::Parted)
        {
            return Closed::Left;
        }
        let Some(attached) = self.detach(session_id) else {
            return match self.left.contains(&session_id) {
                true => Closed::Left,
                false => Closed::Stranger,
            };
        };
        let answers = answers || attached.stage == Stage::Arriving;
        let before = code == Code::GONE && attached.may_be_refused_before();
        let answered = answers && !before;
        let opens = attached.unanswered.saturating_sub(answered.into());
        self.give_up(session_id, &attached, opens);
        // An OPEN behind the one that is refused has a higher epoch, and may be taken: for nobody. Of one that ends no OPEN
        // but a new one takes the session up again.
        if code == Code::GONE && opens > 0 {
            self.leave_given_up(session_id);
            if self.left.len() < MAX_LEFT {
                self.left.insert(session_id);
            }
            return Closed::Crossed(attached, Code::LEAVES_LINK);
        }
        match attached.stage == Stage::OpenSent && self.left.remove(&session_id) {
            true => Closed::Crossed(attached, code),
            false => Closed::Detached(attached),
        }
    }
}
