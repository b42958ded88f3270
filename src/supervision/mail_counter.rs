//! How much mail an actor gets. actix does not tell a mailbox's length, so senders and receiver
//! count.
//!
//! Hot path: one count for each message at either end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::kind_counters::KindCounters;
use crate::metrics::Count;

/// The mail of one actor.
#[derive(Debug)]
pub struct MailCounter {
    /// Anybody may send.
    sent: AtomicU64,
    handled: Count,
    highest: Count,
    /// The actor is gone; what is sent now arrives nowhere.
    closed: AtomicBool,
    counters: Arc<KindCounters>,
}

impl MailCounter {
    pub(super) fn new(counters: Arc<KindCounters>) -> Arc<MailCounter> {
        counters.started.fetch_add(1, Relaxed);
        Arc::new(MailCounter {
            sent: AtomicU64::new(0),
            handled: Count::default(),
            highest: Count::default(),
            closed: AtomicBool::new(false),
            counters,
        })
    }

    /// A message is on its way.
    #[inline]
    pub(super) fn sent(&self) {
        if !self.closed.load(Relaxed) {
            self.sent.fetch_add(1, Relaxed);
            self.counters.sent.fetch_add(1, Relaxed);
        }
    }

    /// A message is being handled; only the actor itself says so.
    #[inline]
    pub(super) fn handled(&self) {
        let waiting = self.waiting();
        self.handled.one();
        self.counters.handled.one();
        if waiting > self.highest.get() {
            self.highest.set(waiting);
            self.counters
                .highest
                .set(waiting.max(self.counters.highest.get()));
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
        self.counters.discarded.fetch_add(self.waiting(), Relaxed);
        self.counters.ended.fetch_add(1, Relaxed);
    }

    pub(super) fn counters(&self) -> &KindCounters {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::{Kind, KindSnapshot};

    #[test]
    fn what_waits_and_what_is_lost_is_counted() {
        let counters = Arc::<KindCounters>::default();
        let mail = MailCounter::new(Arc::clone(&counters));
        (0..3).for_each(|_| mail.sent());
        mail.handled();
        assert_eq!((mail.waiting(), mail.highest()), (2, 3));
        mail.close();
        mail.sent();
        let mut kind = KindSnapshot::none(Kind::Link);
        counters.add_to(&mut kind);
        assert_eq!((kind.live, kind.started, kind.waiting), (0, 1, 0));
        assert_eq!((kind.handled, kind.waiting_highest), (1, 3));
    }
}
