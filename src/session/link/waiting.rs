//! Those who wait for room in a link's queue: first come, first served.
//!
//! A link that is full takes nothing more from clients. Each keeps what it has read, and is asked for it when
//! its turn comes: as many at a time as there is room for, so that the queue does not depend on their number.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::codec::link::Bind;

/// The queue of those who wait. `A` is whatever else the owner keeps in it.
#[derive(Debug)]
pub struct Waiting<A> {
    queue: VecDeque<Place<A>>,
    /// BOUNDs that are owed, the newest of each session: a backend that binds without end fills no queue.
    bounds: HashMap<u64, Bind, RandomState>,
}

#[derive(Debug)]
enum Place<A> {
    Client(u64),
    Bound(u64),
    Other(A),
}

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Waiter<A> {
    /// The client of this session holds something back.
    Client(u64),
    /// This session is owed BOUND with these ids.
    Bound(u64, Bind),
    /// What the owner has put here.
    Other(A),
}

impl<A> Default for Waiting<A> {
    fn default() -> Waiting<A> {
        Waiting {
            queue: VecDeque::new(),
            bounds: HashMap::default(),
        }
    }
}

impl<A> Waiting<A> {
    /// A session's client holds something back. One that has waited, and whose room was taken by another,
    /// comes first.
    pub fn client(&mut self, session_id: u64, in_turn: bool) {
        self.put(Place::Client(session_id), in_turn);
    }

    /// Puts something else here, at the front where it has waited before.
    pub fn other(&mut self, other: A, in_turn: bool) {
        self.put(Place::Other(other), in_turn);
    }

    fn put(&mut self, place: Place<A>, in_turn: bool) {
        if in_turn {
            self.queue.push_front(place);
        } else {
            self.queue.push_back(place);
        }
    }

    /// A session is owed BOUND. Returns false where it has a place already, which then gets the newer ids.
    pub fn bound(&mut self, session_id: u64, bind: Bind) -> bool {
        let is_new = self.bounds.insert(session_id, bind).is_none();
        if is_new {
            self.queue.push_back(Place::Bound(session_id));
        }
        is_new
    }

    /// Drops the BOUND that the session is owed: its OPEN, which is sent now, says the same.
    pub fn forget_bound(&mut self, session_id: u64) {
        self.bounds.remove(&session_id);
    }

    /// Takes the next one out.
    pub fn take_next(&mut self) -> Option<Waiter<A>> {
        loop {
            match self.queue.pop_front()? {
                Place::Client(session_id) => return Some(Waiter::Client(session_id)),
                Place::Bound(session_id) => {
                    // None where it was forgotten.
                    if let Some(bind) = self.bounds.remove(&session_id) {
                        return Some(Waiter::Bound(session_id, bind));
                    }
                }
                Place::Other(other) => return Some(Waiter::Other(other)),
            }
        }
    }

    /// Returns how many wait, those included whose BOUND was forgotten.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns true if nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(user_id: u64) -> Bind {
        let realm_id = 0;
        Bind { user_id, realm_id }
    }

    #[test]
    fn turns_come_in_order_and_one_that_was_missed_comes_first() {
        let mut waiting = Waiting::default();
        waiting.client(1, false);
        waiting.other('a', false);
        waiting.client(2, false);
        assert_eq!(waiting.take_next(), Some(Waiter::Client(1)));
        waiting.client(1, true);
        assert_eq!(waiting.len(), 3);
        assert_eq!(waiting.take_next(), Some(Waiter::Client(1)));
        assert_eq!(waiting.take_next(), Some(Waiter::Other('a')));
        assert_eq!(waiting.take_next(), Some(Waiter::Client(2)));
        assert_eq!(waiting.take_next(), None);
    }

    #[test]
    fn only_the_newest_bound_of_a_session_is_kept_in_its_first_place() {
        let mut waiting: Waiting<()> = Waiting::default();
        assert!(waiting.bound(7, user(1)));
        waiting.client(8, false);
        for user_id in 2..1000 {
            assert!(!waiting.bound(7, user(user_id)));
        }
        assert_eq!(waiting.len(), 2);
        assert_eq!(waiting.take_next(), Some(Waiter::Bound(7, user(999))));
        assert!(waiting.bound(7, user(1000)), "a place of its own again");
        waiting.forget_bound(7);
        assert_eq!(waiting.take_next(), Some(Waiter::Client(8)));
        assert_eq!(waiting.take_next(), None);
        assert!(waiting.is_empty());
    }
}
