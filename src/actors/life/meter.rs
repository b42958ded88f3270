//! How much mail an actor gets. actix does not tell a mailbox's length, so senders and receiver
//! count.
//!
//! Hot path: one count for each message at either end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::tally::Tally;
use crate::metrics::Count;

/// The mail of one actor.
#[derive(Debug)]
pub struct Meter {
    /// Anybody may send.
    sent: AtomicU64,
    handled: Count,
    highest: Count,
    /// The actor is gone; what is sent now arrives nowhere.
    closed: AtomicBool,
    tally: Arc<Tally>,
}

impl Meter {
    pub(super) fn new(tally: Arc<Tally>) -> Arc<Meter> {
        tally.started.fetch_add(1, Relaxed);
        Arc::new(Meter {
            sent: AtomicU64::new(0),
            handled: Count::default(),
            highest: Count::default(),
            closed: AtomicBool::new(false),
            tally,
        })
    }

    /// A message is on its way.
    #[inline]
    pub fn sent(&self) {
        if !self.closed.load(Relaxed) {
            self.sent.fetch_add(1, Relaxed);
            self.tally.sent.fetch_add(1, Relaxed);
        }
    }

    /// A message is being handled; only the actor itself says so.
    #[inline]
    pub fn handled(&self) {
        let waiting = self.waiting();
        self.handled.one();
        self.tally.handled.one();
        if waiting > self.highest.get() {
            self.highest.set(waiting);
            self.tally
                .highest
                .set(waiting.max(self.tally.highest.get()));
        }
    }

    /// Messages that were handled.
    pub fn handled_count(&self) -> u64 {
        self.handled.get()
    }

    /// Messages that were sent and are not handled.
    #[inline]
    pub fn waiting(&self) -> u64 {
        let handled = self.handled.get();
        self.sent.load(Relaxed).saturating_sub(handled)
    }

    /// The most that waited at a time.
    pub fn highest(&self) -> u64 {
        self.highest.get()
    }

    /// The actor is gone, and with it what waited for it.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.tally.discarded.fetch_add(self.waiting(), Relaxed);
        self.tally.ended.fetch_add(1, Relaxed);
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::snapshots::{Kind, KindSnapshot};

    #[test]
    fn what_waits_and_what_is_lost_is_counted() {
        let tally = Arc::<Tally>::default();
        let meter = Meter::new(Arc::clone(&tally));
        (0..3).for_each(|_| meter.sent());
        meter.handled();
        assert_eq!((meter.waiting(), meter.highest()), (2, 3));
        meter.close();
        meter.sent();
        let mut kind = KindSnapshot::none(Kind::Link);
        tally.add_to(&mut kind);
        assert_eq!((kind.live, kind.started, kind.waiting), (0, 1, 0));
        assert_eq!((kind.handled, kind.waiting_highest), (1, 3));
    }
}
