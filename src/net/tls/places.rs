//! Places of handshakes. Where all are taken, the oldest of those who have most gives way to one who has less: a crowd
//! of half-open connections from a few addresses does not keep others out.
//!
//! The count is the process's. Who gives way is found among those of one thread, over which the kernel spreads
//! connections evenly.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

thread_local! {
    static PLACES: RefCell<Places> = RefCell::default();
}

/// Handshakes of one thread by their source, each source's oldest first; at most `listen.tls.max_handshakes`.
#[derive(Default)]
struct Places {
    by_source: HashMap<u128, VecDeque<Rc<Notify>>>,
}

impl Places {
    fn add(&mut self, source: u128, place: &Rc<Notify>) {
        let places = self.by_source.entry(source).or_default();
        places.push_back(Rc::clone(place));
    }

    fn remove(&mut self, source: u128, place: &Rc<Notify>) {
        let Some(places) = self.by_source.get_mut(&source) else {
            return;
        };
        if let Some(index) = places.iter().position(|other| Rc::ptr_eq(other, place)) {
            places.remove(index);
        }
        if places.is_empty() {
            self.by_source.remove(&source);
        }
    }

    /// Has the oldest of the source with most places give way to `newcomer`, if that has fewer even then.
    fn make_room(&mut self, newcomer: u128) -> bool {
        let has = self.by_source.get(&newcomer).map_or(0, VecDeque::len);
        let most = self
            .by_source
            .values_mut()
            .max_by_key(|places| places.len());
        let Some(most) = most.filter(|places| places.len() > has + 1) else {
            return false;
        };
        let oldest = most.pop_front();
        oldest.inspect(|oldest| oldest.notify_one()).is_some()
    }
}

/// A handshake that is under way; dropping it makes room for another.
#[derive(Debug)]
pub struct Handshake {
    under_way: Arc<AtomicUsize>,
    source: u128,
    gives_way: Rc<Notify>,
}

impl Handshake {
    /// Takes one of `most` places; none where all are taken, and nobody has to give way.
    pub(super) fn begin(
        under_way: &Arc<AtomicUsize>,
        most: usize,
        source: u128,
    ) -> Option<Handshake> {
        let gives_way = Rc::new(Notify::new());
        let is_full = under_way.load(Ordering::Relaxed) >= most;
        PLACES.with_borrow_mut(|places| {
            if is_full && !places.make_room(source) {
                return None;
            }
            places.add(source, &gives_way);
            under_way.fetch_add(1, Ordering::Relaxed);
            Some(Handshake {
                under_way: Arc::clone(under_way),
                source,
                gives_way,
            })
        })
    }

    /// Waits until it has to give way.
    pub async fn must_give_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        PLACES.with_borrow_mut(|places| places.remove(self.source, &self.gives_way));
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn the_oldest_of_those_who_have_most_gives_way() {
        let under_way = Arc::new(AtomicUsize::new(0));
        let begin = |source| Handshake::begin(&under_way, 4, source);
        let must = |handshake: &Handshake| handshake.must_give_way().now_or_never().is_some();
        let crowd: Vec<_> = (0..3).map(|_| begin(1).unwrap()).collect();
        let other = begin(2).unwrap();
        assert!(begin(1).is_none(), "the crowd is the largest");
        let third = begin(3).unwrap();
        assert_eq!(
            crowd.iter().map(must).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert!(begin(2).is_none(), "the others have hardly more");
        assert!(!must(&other) && !must(&third));
        drop((crowd, other, third));
        assert_eq!(under_way.load(Ordering::Relaxed), 0);
        assert!(PLACES.with_borrow(|places| places.by_source.is_empty()));
    }
}
