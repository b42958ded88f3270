//! Progress of an endpoint whose sessions are moved to others, over all links and workers. Control path: written when a
//! session begins to move, or stays.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::session::moving::Stays;

/// The backend has said GOAWAY `01`.
const BY_BACKEND: u8 = 1;
/// An operator has said so.
const BY_ORDER: u8 = 2;

/// The evacuation of one endpoint, if there is one.
#[derive(Debug, Default)]
pub struct Evacuation {
    /// By whose word; 0: by nobody's.
    word: AtomicU8,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Number of evacuations so far, so that nobody is counted out of one that he was not counted in.
    number: u16,
    /// Sessions that have gone on elsewhere.
    moved: u64,
    /// Sessions that stay, by [`Stays`].
    stay: [u64; Stays::COUNT],
}

/// A session that is counted among those that stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stayed {
    number: u16,
    why: Stays,
}

impl Evacuation {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether the endpoint's sessions are to be moved.
    pub(super) fn is_on(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }

    /// Tells whether an operator wants them moved.
    pub(super) fn is_ordered(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BY_ORDER != 0
    }

    /// Follows the backend's GOAWAY `01`, or a link that begins anew.
    pub(super) fn said_by_backend(&self, on: bool) {
        self.set(BY_BACKEND, on);
    }

    /// Follows an operator.
    pub fn order(&self, on: bool) {
        self.set(BY_ORDER, on);
    }

    fn set(&self, word: u8, on: bool) {
        let before = match on {
            true => self.word.fetch_or(word, Ordering::Relaxed),
            false => self.word.fetch_and(!word, Ordering::Relaxed),
        };
        if on && before == 0 {
            let mut book = self.book();
            *book = Book {
                number: book.number.wrapping_add(1),
                ..Book::default()
            };
        }
    }

    /// Counts a session that has gone on elsewhere.
    pub(super) fn moved(&self) {
        if self.is_on() {
            self.book().moved += 1;
        }
    }

    /// Counts a session that stays, and no longer for the reason `before`.
    pub(super) fn stays(&self, before: Option<Stayed>, why: Stays) -> Option<Stayed> {
        self.goes(before);
        self.is_on().then(|| {
            let mut book = self.book();
            book.stay[why as usize] += 1;
            let number = book.number;
            Stayed { number, why }
        })
    }

    /// Counts a session out of those that stay.
    pub(super) fn goes(&self, stayed: Option<Stayed>) {
        let Some(Stayed { number, why }) = stayed else {
            return;
        };
        let mut book = self.book();
        if book.number == number {
            book.stay[why as usize] -= 1;
        }
    }

    /// Tells whether it is known that this session cannot be moved now.
    pub(super) fn must_stay(&self, stayed: Option<Stayed>) -> bool {
        let number = self.book().number;
        stayed.is_some_and(|s| s.number == number && s.why != Stays::Busy)
    }

    /// Shows the progress; none where nobody is to be moved.
    pub fn snapshot(&self, under_way: usize) -> Option<EvacuationSnapshot> {
        self.is_on().then(|| {
            let Book { moved, stay, .. } = *self.book();
            let [not_supported, nowhere, refused, too_large, busy] = stay;
            let stay = StayCounts {
                not_supported,
                nowhere,
                refused,
                too_large,
                busy,
            };
            EvacuationSnapshot {
                moved,
                under_way: under_way as u64,
                stay,
            }
        })
    }
}

/// Progress of an endpoint whose sessions are moved to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvacuationSnapshot {
    /// Sessions that have gone on elsewhere since it began.
    pub moved: u64,
    /// Sessions that are being moved.
    pub under_way: u64,
    /// Sessions that were to be moved and stay for now, by the reason. They are tried again at each ping interval.
    pub stay: StayCounts,
}

/// Sessions that cannot be moved, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StayCounts {
    /// The backend does not hand sessions over: it has not said FEATURES `transfer`.
    pub not_supported: u64,
    /// The rules lead to no other endpoint that takes sessions.
    pub nowhere: u64,
    /// The other backend has refused the session, or has not answered.
    pub refused: u64,
    /// Its state is larger than 65,536 bytes.
    pub too_large: u64,
    /// It resumes or is promised to another gateway, or too many are under way.
    pub busy: u64,
}

impl EvacuationSnapshot {
    /// Adds what is known of another service of the same backend.
    pub fn add(&mut self, other: &EvacuationSnapshot) {
        self.moved += other.moved;
        self.under_way += other.under_way;
        let (stay, more) = (&mut self.stay, &other.stay);
        stay.not_supported += more.not_supported;
        stay.nowhere += more.nowhere;
        stay.refused += more.refused;
        stay.too_large += more.too_large;
        stay.busy += more.busy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_is_counted_once_and_in_one_evacuation() {
        let evacuation = Evacuation::default();
        assert!(evacuation.stays(None, Stays::Refused).is_none());
        assert_eq!(evacuation.snapshot(0), None);
        evacuation.order(true);
        evacuation.said_by_backend(true);
        let one = evacuation.stays(None, Stays::Busy);
        assert!(!evacuation.must_stay(one));
        let one = evacuation.stays(one, Stays::Refused);
        assert!(evacuation.must_stay(one));
        evacuation.moved();
        let shown = evacuation.snapshot(2).expect("it is on");
        assert_eq!((shown.moved, shown.under_way), (1, 2));
        assert_eq!((shown.stay.busy, shown.stay.refused), (0, 1));
        evacuation.order(false);
        assert!(evacuation.is_on(), "the backend still says so");
        evacuation.said_by_backend(false);
        evacuation.order(true);
        let again = evacuation.snapshot(0).expect("it is on");
        assert_eq!(again, EvacuationSnapshot::default());
        assert!(!evacuation.must_stay(one));
        evacuation.goes(one);
        assert_eq!(evacuation.snapshot(0), Some(again));
    }
}
