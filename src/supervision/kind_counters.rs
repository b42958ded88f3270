//! Counters over all actors of one kind on one thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message_times::MessageTimes;
use super::pace::Pace;
use super::snapshots::{Load, rounded};
use super::{Kind, KindSnapshot, LastError};
use crate::metrics::Count;

/// Counters of one kind of actor on one thread, including actors that are gone.
#[derive(Debug)]
pub struct KindCounters {
    pub(super) started: AtomicU64,
    pub(super) ended: AtomicU64,
    restarts: AtomicU64,
    restarts_by_hand: AtomicU64,
    panics: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) handled: Count,
    /// Messages that were waiting when their actor ended.
    pub(super) discarded: AtomicU64,
    /// The most that waited for one actor, since the last look at it, and between the two looks before.
    recent: Count,
    recent_before: Count,
    /// The most before that.
    highest_before: AtomicU64,
    pub(super) times: MessageTimes,
    pace: Mutex<Pace>,
    last_error: Mutex<Option<LastError>>,
}

impl KindCounters {
    pub(super) fn new(kind: Kind) -> KindCounters {
        let none = || AtomicU64::new(0);
        KindCounters {
            started: none(),
            ended: none(),
            restarts: none(),
            restarts_by_hand: none(),
            panics: none(),
            sent: none(),
            handled: Count::default(),
            discarded: none(),
            recent: Count::default(),
            recent_before: Count::default(),
            highest_before: none(),
            times: MessageTimes::new(kind),
            pace: Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    pub(super) fn panicked(&self, error: LastError) {
        self.panics.fetch_add(1, Relaxed);
        *self.last_error() = Some(error);
    }

    pub(super) fn restarted(&self, by_hand: bool) {
        match by_hand {
            true => self.restarts_by_hand.fetch_add(1, Relaxed),
            false => self.restarts.fetch_add(1, Relaxed),
        };
    }

    /// So many messages wait for one actor.
    #[inline]
    pub(super) fn waited(&self, waiting: u64) {
        if waiting > self.recent.get() {
            self.recent.set(waiting);
        }
    }

    /// Begins to look for another peak. One that comes at this very moment may be counted for the time before.
    pub(super) fn forget_peak(&self) {
        let recent = self.recent.get();
        self.highest_before.fetch_max(recent, Relaxed);
        self.recent_before.set(recent);
        self.recent.set(0);
    }

    fn last_error(&self) -> MutexGuard<'_, Option<LastError>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the counters, for the load.
    pub(super) fn look(&self, now: Instant) {
        let busy_ns = self.times.busy_ns.get();
        self.pace().look(now, self.handled.get(), busy_ns);
    }

    /// Returns the load over the last seconds.
    pub fn load(&self) -> Load {
        self.pace().load()
    }

    /// Adds these counters, but not the times by type of message, to a sum over threads.
    pub fn add_to(&self, kind: &mut KindSnapshot) {
        // Read in this order, an actor that starts between the reads is not counted below zero.
        let ended = self.ended.load(Relaxed);
        let started = self.started.load(Relaxed);
        let gone = self.handled.get() + self.discarded.load(Relaxed);
        kind.live += started.saturating_sub(ended);
        kind.started += started;
        kind.restarts += self.restarts.load(Relaxed);
        kind.restarts_by_hand += self.restarts_by_hand.load(Relaxed);
        kind.panics += self.panics.load(Relaxed);
        kind.handled += self.handled.get();
        kind.waiting += self.sent.load(Relaxed).saturating_sub(gone);
        let recent = self.recent.get().max(self.recent_before.get());
        let highest = recent.max(self.highest_before.load(Relaxed));
        kind.waiting_highest_recent = kind.waiting_highest_recent.max(recent);
        kind.waiting_highest = kind.waiting_highest.max(highest);
        kind.load.add(self.load());
        let busy = Duration::from_nanos(self.times.busy_ns.get()).as_secs_f64();
        kind.busy_seconds = rounded(kind.busy_seconds + busy, 1e6);
        if let Some(error) = &*self.last_error()
            && kind
                .last_error
                .as_ref()
                .is_none_or(|known| known.at_seconds <= error.at_seconds)
        {
            kind.last_error = Some(error.clone());
        }
    }
}
