//! One session's books: which frames were answered, which the gateway gave notice of, which are
//! lost. No I/O, no clock.

use std::collections::{BTreeMap, VecDeque};

use crate::codec::code::Code;

/// Frames that an answer may be missing behind the newest one; beyond that the book
/// on it is closed.
const WINDOW_FRAMES: usize = 1 << 20;

/// Fates of frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    /// Frames with at least one answer.
    pub(super) answered: u64,
    /// Frames without an answer that an ERROR or a CLOSE accounts for.
    pub(super) told: u64,
    /// Frames with neither an answer nor a notice.
    pub(super) lost: u64,
    /// Answers to frames that had one.
    pub(super) doubled: u64,
    /// Answers that came behind a later frame's.
    pub(super) reordered: u64,
    /// Answers that are not what was sent, or were never asked for. A frame that such an answer
    /// may be the answer to is not lost as well.
    pub(super) corrupted: u64,
    /// ERROR frames by code.
    pub(super) refused: BTreeMap<u16, u64>,
}

/// The book of one session.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    counts: Counts,
    /// The oldest frame that is not answered; `answered[0]` is about it.
    base: u64,
    answered: VecDeque<bool>,
    /// One more than the highest sequence number answered.
    next: u64,
    /// Frames before this one may stay without an answer: a lost link was told (502).
    told_before: u64,
    /// Answered frames from `told_before` on.
    answered_since: u64,
    /// Single refusals since then; which frame each concerns is not said.
    excuses: u64,
    /// Corrupted answers since then, each instead of some frame's true one.
    spoiled: u64,
    /// Frames that fell out of the window without an answer or a notice.
    missed: u64,
}

impl Tracker {
    /// Records an answer to frame `sequence`, of `sent` so far.
    #[inline]
    pub(super) fn answer(&mut self, sequence: u64, sent: u64) {
        if sequence >= sent {
            self.counts.corrupted += 1;
            return;
        }
        let Some(at) = sequence.checked_sub(self.base) else {
            self.counts.doubled += 1;
            return;
        };
        let at = at as usize;
        if self.answered.len() <= at {
            self.answered.resize(at + 1, false);
        }
        if std::mem::replace(&mut self.answered[at], true) {
            self.counts.doubled += 1;
            return;
        }
        self.counts.answered += 1;
        self.answered_since += u64::from(sequence >= self.told_before);
        if sequence < self.next {
            self.counts.reordered += 1;
        } else {
            self.next = sequence + 1;
        }
        while self.answered.front() == Some(&true) || self.answered.len() > WINDOW_FRAMES {
            self.shift();
        }
    }

    /// Records an answer that differs from what was sent.
    pub(super) fn corrupted(&mut self) {
        self.counts.corrupted += 1;
        self.spoiled += 1;
    }

    /// Records an intact answer with the id or service of another session.
    pub(super) fn mislabelled(&mut self) {
        self.counts.corrupted += 1;
    }

    /// Records an ERROR after `sent` frames. 502 says that answers may be missing, so it
    /// accounts for every frame that is unanswered now; any other for one.
    pub(super) fn refused(&mut self, code: Code, sent: u64) {
        if code == Code::BAD_GATEWAY {
            *self.counts.refused.entry(code.0).or_default() += 1;
            self.told_before = sent;
            self.answered_since = 0;
            self.excuses = 0;
            self.spoiled = 0;
        } else {
            self.refused_one(code);
        }
    }

    /// Records a refusal that accounts for one frame whatever its code, as an HTTP status does.
    pub(super) fn refused_one(&mut self, code: Code) {
        *self.counts.refused.entry(code.0).or_default() += 1;
        self.excuses += 1;
    }

    /// Counts those of `sent` frames that may still be answered.
    #[inline]
    pub(super) fn outstanding(&self, sent: u64) -> u64 {
        let settled = self.answered_since + self.excuses + self.spoiled;
        sent.saturating_sub(self.told_before + settled)
    }

    /// Closes the book. `told`: the gateway ended the session with a CLOSE, so that the client
    /// knows that nothing more comes.
    pub(super) fn finish(mut self, sent: u64, told: bool) -> Counts {
        self.counts.sent = sent;
        while self.base < sent {
            self.shift();
        }
        let silent = self.missed.saturating_sub(self.spoiled);
        let excused = if told {
            silent
        } else {
            silent.min(self.excuses)
        };
        self.counts.told += excused;
        self.counts.lost = silent - excused;
        self.counts
    }

    /// Closes the book on the oldest frame.
    fn shift(&mut self) {
        if !self.answered.pop_front().unwrap_or(false) {
            if self.base < self.told_before {
                self.counts.told += 1;
            } else {
                self.missed += 1;
            }
        }
        self.base += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: u64 = 6;

    fn after(answers: &[u64]) -> Tracker {
        let mut tracker = Tracker::default();
        for &sequence in answers {
            tracker.answer(sequence, SENT);
        }
        tracker
    }

    /// Counts `answers` to frames 0 to 5 as lost, doubled, reordered, corrupted.
    fn check(answers: &[u64], expected: [u64; 4]) {
        let counts = after(answers).finish(SENT, false);
        let found = [
            counts.lost,
            counts.doubled,
            counts.reordered,
            counts.corrupted,
        ];
        assert_eq!(found, expected, "{answers:?}");
        assert_eq!(counts.answered + counts.lost, SENT, "{answers:?}");
    }

    #[test]
    fn every_fault_is_found() {
        check(&[0, 1, 2, 3, 4, 5], [0, 0, 0, 0]);
        check(&[], [6, 0, 0, 0]);
        check(&[0, 1, 3, 4, 5], [1, 0, 0, 0]);
        check(&[0, 1, 2, 3], [2, 0, 0, 0]);
        check(&[0, 0, 1, 2, 3, 4, 5, 5], [0, 2, 0, 0]);
        check(&[0, 2, 2, 1, 3, 4, 5], [0, 1, 1, 0]);
        check(&[1, 0, 3, 2, 5, 4], [0, 0, 3, 0]);
        check(&[0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 1]);
    }

    #[test]
    fn a_refusal_accounts_for_one_frame() {
        let mut tracker = after(&[0, 1, 2]);
        tracker.refused(Code::NO_ROUTE, SENT);
        assert_eq!(tracker.outstanding(SENT), 2);
        let counts = tracker.finish(SENT, false);
        assert_eq!((counts.told, counts.lost), (1, 2));
        assert_eq!(counts.refused, BTreeMap::from([(404, 1)]));
    }

    #[test]
    fn a_lost_link_accounts_for_all_before_it_and_none_after() {
        let mut tracker = after(&[0, 1]);
        tracker.refused(Code::BAD_GATEWAY, 4);
        assert_eq!(tracker.outstanding(4), 0);
        tracker.answer(3, SENT);
        assert_eq!(tracker.outstanding(SENT), 2);
        tracker.answer(5, SENT);
        let counts = tracker.finish(SENT, false);
        assert_eq!((counts.answered, counts.told, counts.lost), (4, 1, 1));
    }

    #[test]
    fn a_corrupted_answer_is_counted_once() {
        let mut tracker = after(&[0, 1, 2, 3]);
        tracker.corrupted();
        assert_eq!(tracker.outstanding(SENT), 1);
        let counts = tracker.finish(SENT, false);
        assert_eq!((counts.corrupted, counts.lost), (1, 1));
    }

    #[test]
    fn a_close_accounts_for_the_rest() {
        let counts = after(&[0]).finish(SENT, true);
        assert_eq!((counts.told, counts.lost), (5, 0));
    }
}
