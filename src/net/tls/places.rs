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

    /// Returns the source with most places, if that has more than `newcomer` even when one of them is gone.
    fn crowd(&mut self, newcomer: u128) -> Option<&mut VecDeque<Rc<Notify>>> {
        let has = self.by_source.get(&newcomer).map_or(0, VecDeque::len);
        let most = self.by_source.values_mut();
        let most = most.max_by_key(|places| places.len());
        most.filter(|places| places.len() > has + 1)
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
    /// Takes one of `most` places; none where all are taken, and nobody has to give way. `may_begin` is asked where there
    /// is one, before anybody gives way.
    pub(super) fn begin(
        under_way: &Arc<AtomicUsize>,
        most: usize,
        source: u128,
        may_begin: impl FnOnce() -> bool,
    ) -> Option<Handshake> {
        let next = |count| (count < most).then_some(count + 1);
        let is_free = under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        PLACES.with_borrow_mut(|places| {
            if is_free.is_ok() {
                if !may_begin() {
                    under_way.fetch_sub(1, Ordering::Relaxed);
                    return None;
                }
            } else {
                let crowd = places.crowd(source)?;
                if !may_begin() {
                    return None;
                }
                crowd.pop_front().inspect(|oldest| oldest.notify_one());
                under_way.fetch_add(1, Ordering::Relaxed);
            }
            let gives_way = Rc::new(Notify::new());
            places.add(source, &gives_way);
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
        let begin = |source| Handshake::begin(&under_way, 4, source, || true);
        let must = |handshake: &Handshake| handshake.must_give_way().now_or_never().is_some();
        let crowd: Vec<_> = (0..3).map(|_| begin(1).unwrap()).collect();
        let other = begin(2).unwrap();
        assert!(begin(1).is_none(), "the crowd is the largest");
        assert!(Handshake::begin(&under_way, 4, 3, || false).is_none());
        assert!(!must(&crowd[0]), "for one who may not begin");
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
