//! Counts of one actor's mail. actix does not tell the length of a mailbox, so both ends count.
//!
//! Hot path: one count per message at each end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::kind_counters::KindCounters;
use super::snapshots::rounded;
use crate::metrics::Count;

/// Counts of one actor's mail.
#[derive(Debug)]
pub struct MailCounter {
    /// Written by any thread.
    sent: AtomicU64,
    handled: Count,
    /// Nanoseconds in handlers, estimated where not all messages are timed.
    pub(super) busy_ns: Count,
    /// Small, for each client has one of these.
    highest: AtomicU32,
    /// The actor is gone; messages sent from now on are not counted.
    closed: AtomicBool,
    counters: Arc<KindCounters>,
}

impl MailCounter {
    pub(super) fn new(counters: Arc<KindCounters>) -> Arc<MailCounter> {
        counters.started.fetch_add(1, Relaxed);
        Arc::new(MailCounter {
            sent: AtomicU64::new(0),
            handled: Count::default(),
            busy_ns: Count::default(),
            highest: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            counters,
        })
    }

    /// Counts a message as sent.
    #[inline]
    pub(super) fn sent(&self) {
        if !self.closed.load(Relaxed) {
            self.sent.fetch_add(1, Relaxed);
            self.counters.sent.fetch_add(1, Relaxed);
        }
    }

    /// Counts a message as handled. Called by the actor alone, on its own thread.
    #[inline]
    pub(super) fn handled(&self) {
        let waiting = self.waiting();
        self.handled.one();
        self.counters.handled.one();
        if waiting > u64::from(self.highest.load(Relaxed)) {
            let highest = u32::try_from(waiting).unwrap_or(u32::MAX);
            self.highest.store(highest, Relaxed);
        }
        self.counters.waited(waiting);
    }

    /// Returns the number of messages handled.
    pub fn handled_count(&self) -> u64 {
        self.handled.get()
    }

    /// Returns the number of messages that wait.
    #[inline]
    pub fn waiting(&self) -> u64 {
        let handled = self.handled.get();
        self.sent.load(Relaxed).saturating_sub(handled)
    }

    /// Returns the largest number of messages that waited at once.
    pub fn highest(&self) -> u64 {
        self.highest.load(Relaxed).into()
    }

    /// Returns the seconds in handlers, estimated where not all messages are timed.
    pub fn busy_seconds(&self) -> f64 {
        rounded(Duration::from_nanos(self.busy_ns.get()).as_secs_f64(), 1e6)
    }

    /// Records the end of the actor; waiting messages count as discarded.
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
    fn each_client_has_one_and_it_is_small() {
        assert_eq!(size_of::<MailCounter>(), 40);
    }

    #[test]
    fn what_waits_and_what_is_lost_is_counted() {
        let counters = Arc::new(KindCounters::new(Kind::Link));
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
        assert_eq!(kind.waiting_highest_recent, 3);
        counters.forget_peak();
        counters.forget_peak();
        let mut later = KindSnapshot::none(Kind::Link);
        counters.add_to(&mut later);
        assert_eq!(
            (later.waiting_highest, later.waiting_highest_recent),
            (3, 0)
        );
    }
}
