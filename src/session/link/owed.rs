//! Final CLOSEs that an endpoint is not known to have read, over the links of all workers (protocol 3.1). The backend
//! may live and keep such a session for as long as any link of this gateway stands.
//!
//! A session that is opened there again is owed nothing any more: a CLOSE of its stay before would end the new one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::codec::code::Code;

/// Most that one endpoint may be owed.
const MOST: usize = 65_536;

/// Those of one endpoint.
#[derive(Debug, Default)]
pub struct OwedCloses {
    unread: Mutex<Unread>,
    /// How many there are, owed and said.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Unread {
    /// To be said on the next link, by session: the link that they were said on is lost.
    owed: HashMap<u64, Code, RandomState>,
    /// Those beyond the most.
    lost: u64,
    /// The number of the newest one that was said of a session.
    said: HashMap<u64, u64, RandomState>,
    /// How many were said.
    numbers: u64,
}

/// What is owed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Sessions, each with the code.
    pub closes: Vec<(u64, Code)>,
    /// Those beyond the most.
    pub lost: u64,
}

impl OwedCloses {
    fn with<R>(&self, work: impl FnOnce(&mut Unread) -> R) -> R {
        let mut unread: MutexGuard<'_, Unread> =
            self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut unread);
        let count = unread.owed.len() + unread.said.len();
        self.count.store(count, Ordering::Relaxed);
        result
    }

    /// Adds one. One too many is only counted: the backend ends that session when it has no link any more.
    pub fn push(&self, session_id: u64, code: Code) {
        self.with(|unread| {
            if unread.owed.len() < MOST || unread.owed.contains_key(&session_id) {
                unread.owed.insert(session_id, code);
            } else {
                unread.lost += 1;
            }
        });
    }

    /// Takes all that are owed, for a link to say them.
    pub fn take(&self) -> Owed {
        self.with(|unread| Owed {
            closes: std::mem::take(&mut unread.owed).into_iter().collect(),
            lost: std::mem::take(&mut unread.lost),
        })
    }

    /// Returns how many are owed.
    pub fn count(&self) -> usize {
        match self.count.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.with(|unread| unread.owed.len()),
        }
    }

    /// A session is opened at the endpoint.
    pub(super) fn opened(&self, session_id: u64) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.with(|unread| {
                unread.owed.remove(&session_id);
                unread.said.remove(&session_id);
            });
        }
    }

    /// A link says one. Returns its number.
    pub(super) fn said(&self, session_id: u64) -> u64 {
        self.with(|unread| {
            unread.numbers += 1;
            unread.said.insert(session_id, unread.numbers);
            unread.numbers
        })
    }

    /// The one of this number is read, or nobody asks any more. Returns whether it was the session's newest one, and
    /// the session has not been opened since.
    pub(super) fn settle(&self, session_id: u64, number: u64) -> bool {
        self.with(|unread| {
            let newest = unread.said.get(&session_id) == Some(&number);
            if newest {
                unread.said.remove(&session_id);
            }
            newest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_once_and_bounded() {
        let owed = OwedCloses::default();
        (0..MOST as u64 + 2).for_each(|id| owed.push(id, Code::NORMAL));
        owed.push(0, Code::NORMAL);
        let taken = owed.take();
        assert_eq!((taken.closes.len(), taken.lost), (MOST, 2));
        assert_eq!(owed.take(), Owed::default());
    }

    #[test]
    fn a_session_that_is_opened_again_is_owed_nothing() {
        let owed = OwedCloses::default();
        owed.push(1, Code::NORMAL);
        let before = owed.said(2);
        owed.opened(1);
        owed.opened(2);
        assert_eq!((owed.count(), owed.settle(2, before)), (0, false));
        // What was said since is its own matter.
        let since = owed.said(2);
        assert!(!owed.settle(2, before));
        assert!(owed.settle(2, since));
        assert_eq!(owed.count.load(Ordering::Relaxed), 0);
    }
}
