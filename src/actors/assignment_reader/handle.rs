//! The way to the actor, and what is counted of it.

use std::sync::Arc;

use super::AssignmentReader;
use crate::metrics::Count;
use crate::supervision::Seat;

/// Mistakes in an assignment, which then counts as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistaken {
    /// It is no `host:port`.
    Malformed,
    /// The service's rule neither names it nor has it in its `assignable` networks.
    NotAllowed,
}

/// Counters of the actor, which alone writes them.
#[derive(Debug, Default)]
pub struct AssignmentCounts {
    known: Count,
    connected: Count,
    notifications: Count,
    malformed: Count,
    not_allowed: Count,
}

impl AssignmentCounts {
    pub(super) fn known(&self, entries: usize) {
        self.known.set(entries as u64);
    }

    pub(super) fn connected(&self, is: bool) {
        self.connected.set(is.into());
    }

    pub(super) fn notified(&self, notifications: u64) {
        self.notifications.add(notifications);
    }

    pub(super) fn mistaken(&self, mistaken: Mistaken) {
        match mistaken {
            Mistaken::Malformed => self.malformed.one(),
            Mistaken::NotAllowed => self.not_allowed.one(),
        }
    }

    /// Entries of the cache.
    pub fn entries(&self) -> u64 {
        self.known.get()
    }

    /// 1 while Redis is connected and subscribed, else 0.
    pub fn is_connected(&self) -> u64 {
        self.connected.get()
    }

    /// Notifications so far.
    pub fn notifications(&self) -> u64 {
        self.notifications.get()
    }

    /// Values that were no `host:port`, so far.
    pub fn malformed(&self) -> u64 {
        self.malformed.get()
    }

    /// Endpoints that their rules do not allow, so far.
    pub fn not_allowed(&self) -> u64 {
        self.not_allowed.get()
    }
}

/// The way to users' assignments in Redis. Without Redis nobody is there, and nobody is assigned.
#[derive(Debug, Clone, Default)]
pub struct Assignments {
    seat: Option<Seat<AssignmentReader>>,
    counts: Arc<AssignmentCounts>,
}

impl Assignments {
    /// The way to an actor that will be started.
    pub fn in_redis() -> Assignments {
        Assignments {
            seat: Some(Seat::default()),
            counts: Arc::default(),
        }
    }

    /// The actor's seat; none without Redis.
    pub fn seat(&self) -> Option<&Seat<AssignmentReader>> {
        self.seat.as_ref()
    }

    /// Returns the counters.
    pub fn counts(&self) -> &Arc<AssignmentCounts> {
        &self.counts
    }
}
