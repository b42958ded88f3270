//! Record of one player. No I/O; times come from outside.

use std::time::{Duration, Instant};

/// The book of one player.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Book {
    /// Frames sent.
    pub(super) sent: u64,
    /// Frames answered.
    pub(super) answered: u64,
    /// Frames without an answer, of which the player was told that they may be missing.
    pub(super) told: u64,
    /// Frames with neither an answer nor a notice.
    pub(super) lost: u64,
    /// Answers to frames that had one.
    pub(super) doubled: u64,
    /// Answers behind those of later frames.
    pub(super) reordered: u64,
    /// Answers that are not what was sent.
    pub(super) corrupted: u64,
    /// Times that the session went on over another connection.
    pub(super) moves: u64,
    /// Those after which frames may be missing.
    pub(super) gaps: u64,
    /// ERRORs.
    pub(super) errors: u64,
    /// The session has begun.
    pub(super) started: bool,
    /// Numbered frames that the backend has sent unasked: the next one's number.
    pub(super) pushes: u64,
    /// The state that the backend keeps of this player; none until it was compared.
    pub(super) state: Option<State>,
    /// Why the session ended before the load did.
    pub(super) ended: Option<String>,
    /// The longest time that something was outstanding and nothing was heard.
    pub(super) silence: Duration,
    outstanding: Option<Outstanding>,
    /// Frames that were given up after a gap, and may still be answered.
    given_up: Vec<u64>,
}

/// A state of a player, compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To the byte what the player expects.
    Same,
    /// Anything else.
    Different,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outstanding {
    sequence: u64,
    since: Instant,
}

impl Book {
    /// Tells whether the next frame may be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding.is_none()
    }

    /// Records the next frame; returns its number.
    pub(super) fn send(&mut self, now: Instant) -> u64 {
        let sequence = self.sent;
        self.sent += 1;
        let since = now;
        self.outstanding = Some(Outstanding { sequence, since });
        sequence
    }

    /// Records an answer to this frame.
    pub(super) fn answer(&mut self, sequence: u64, now: Instant) {
        let awaited = self.outstanding.filter(|o| o.sequence == sequence);
        if let Some(outstanding) = awaited {
            self.heard(outstanding.since, now);
            self.outstanding = None;
            self.answered += 1;
        } else if let Some(place) = self.given_up.iter().position(|s| *s == sequence) {
            self.given_up.remove(place);
            self.told -= 1;
            self.answered += 1;
        } else if sequence >= self.sent {
            self.corrupted += 1;
        } else if self.outstanding.is_some_and(|o| sequence < o.sequence) {
            self.doubled += 1;
        } else {
            self.reordered += 1;
        }
    }

    fn heard(&mut self, since: Instant, now: Instant) {
        self.silence = self.silence.max(now.saturating_duration_since(since));
    }

    /// Records a numbered frame that was sent unasked.
    pub(super) fn push(&mut self, number: u64) {
        if number < self.pushes {
            self.doubled += 1;
            return;
        }
        let missing = number - self.pushes;
        // What is missing behind a gap was told.
        *(if self.gaps > 0 {
            &mut self.told
        } else {
            &mut self.lost
        }) += missing;
        self.pushes = number + 1;
    }

    /// Tells whether each frame is accounted for by both sides, so that they can compare what they know.
    pub(super) fn is_exact(&self) -> bool {
        self.gaps == 0 && self.errors == 0 && self.ended.is_none()
    }

    /// Records a resume over another connection.
    pub(super) fn resumed(&mut self, gap: bool, now: Instant) {
        self.moves += 1;
        if gap {
            self.gaps += 1;
            self.give_up(now);
        }
    }

    /// Records an ERROR, which may have refused the outstanding frame.
    pub(super) fn error(&mut self, now: Instant) {
        self.errors += 1;
        self.give_up(now);
    }

    fn give_up(&mut self, now: Instant) {
        if let Some(outstanding) = self.outstanding.take() {
            self.heard(outstanding.since, now);
            self.told += 1;
            self.given_up.push(outstanding.sequence);
        }
    }

    /// Records the end of the session before that of the load.
    pub(super) fn ended(&mut self, why: String, now: Instant) {
        self.ended = Some(why);
        self.give_up(now);
    }

    /// Stops waiting for answers.
    pub(super) fn close(&mut self) {
        self.lost += u64::from(self.outstanding.take().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn answers_moves_and_the_longest_wait() {
        let (mut book, start) = (Book::default(), Instant::now());
        assert_eq!(book.send(start), 0);
        book.answer(0, after(start, 5));
        assert_eq!(book.send(after(start, 10)), 1);
        book.resumed(false, after(start, 20));
        assert!(!book.is_idle());
        book.answer(1, after(start, 50));
        book.send(after(start, 60));
        book.close();
        let all = (book.sent, book.answered, book.lost, book.moves, book.gaps);
        assert_eq!(all, (3, 2, 1, 1, 0));
        assert_eq!(book.silence, Duration::from_millis(40));
    }

    #[test]
    fn what_a_gap_tells_of_is_not_lost() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.send(now);
        book.resumed(true, now);
        assert!(book.is_idle());
        assert_eq!((book.told, book.gaps), (1, 1));
        // It still comes, once.
        book.answer(0, now);
        assert_eq!((book.told, book.answered), (0, 1));
        book.answer(0, now);
        assert_eq!(book.reordered, 1);
        book.send(now);
        book.error(now);
        book.send(now);
        book.ended("closed with 410".into(), now);
        book.close();
        assert_eq!((book.told, book.lost, book.errors), (2, 0, 1));
    }

    #[test]
    fn frames_sent_unasked_are_numbered() {
        let mut book = Book::default();
        for number in [0, 1, 1, 4] {
            book.push(number);
        }
        assert_eq!((book.pushes, book.doubled, book.lost), (5, 1, 2));
        assert!(book.is_exact());
        book.resumed(true, Instant::now());
        book.push(6);
        assert_eq!((book.lost, book.told, book.is_exact()), (2, 1, false));
    }

    #[test]
    fn what_comes_again_or_was_never_asked_for_is_counted() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.send(now);
        book.answer(0, now);
        book.send(now);
        book.answer(0, now);
        book.answer(7, now);
        book.answer(1, now);
        assert_eq!((book.doubled, book.corrupted, book.answered), (1, 1, 2));
    }
}
