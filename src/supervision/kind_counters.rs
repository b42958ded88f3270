//! Counters over all actors of one kind on one thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics::Count;
use crate::supervision::{KindSnapshot, LastError};

/// Counters of one kind of actor on one thread, including actors that are gone.
#[derive(Debug, Default)]
pub struct KindCounters {
    pub(super) started: AtomicU64,
    pub(super) ended: AtomicU64,
    restarts: AtomicU64,
    panics: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) handled: Count,
    /// Messages that were waiting when their actor ended.
    pub(super) discarded: AtomicU64,
    pub(super) highest: Count,
    last_error: Mutex<Option<LastError>>,
}

impl KindCounters {
    pub(super) fn panicked(&self, error: LastError) {
        self.panics.fetch_add(1, Relaxed);
        *self.last_error() = Some(error);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    fn last_error(&self) -> MutexGuard<'_, Option<LastError>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds these counters to a sum over threads.
    pub fn add_to(&self, kind: &mut KindSnapshot) {
        // Read in this order, an actor that starts between the reads is not counted below zero.
        let ended = self.ended.load(Relaxed);
        let started = self.started.load(Relaxed);
        let gone = self.handled.get() + self.discarded.load(Relaxed);
        kind.live += started.saturating_sub(ended);
        kind.started += started;
        kind.restarts += self.restarts.load(Relaxed);
        kind.panics += self.panics.load(Relaxed);
        kind.handled += self.handled.get();
        kind.waiting += self.sent.load(Relaxed).saturating_sub(gone);
        kind.waiting_highest = kind.waiting_highest.max(self.highest.get());
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
