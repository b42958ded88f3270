//! The gate: counts connections against the limit, and closes for a drain. Shared by all workers;
//! lock-free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Counts connections and says whether newcomers are let in.
#[derive(Debug)]
pub struct Gate {
    connections: AtomicUsize,
    peak: AtomicUsize,
    entered: AtomicU64,
    suspended: AtomicUsize,
    limit: usize,
    handed_over: AtomicU64,
    since: Instant,
    /// When a drain's window ends, in milliseconds after `since`; 0: no drain.
    drain_ends_ms: AtomicU64,
    refusing: AtomicBool,
}

/// Connections over the limit that are kept for as long as it takes to tell them so; beyond it
/// they are closed at once.
const REFUSALS_AT_ONCE: usize = 1024;

/// Outcome of a new connection.
#[derive(Debug)]
pub enum Admission {
    /// It is served.
    Admitted(Permit),
    /// It is told that the gateway is full.
    Refused(Permit),
    /// Too many are being told already.
    Dropped,
}

impl Gate {
    /// A gate for `limit` connections at a time.
    pub fn new(limit: usize) -> Gate {
        Gate {
            connections: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            entered: AtomicU64::new(0),
            suspended: AtomicUsize::new(0),
            limit,
            handed_over: AtomicU64::new(0),
            since: Instant::now(),
            drain_ends_ms: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
        }
    }

    /// Counts a new connection in.
    pub fn enter(self: &Arc<Gate>) -> Admission {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        self.entered.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(self));
        if before < self.limit {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
            Admission::Admitted(permit)
        } else if before < self.limit + REFUSALS_AT_ONCE {
            Admission::Refused(permit)
        } else {
            Admission::Dropped
        }
    }

    /// Returns the number of connections, including those that are being refused.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the largest number of connections served at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Returns the number of connections since the start, including refused ones.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Returns the limit of connections served at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the number of suspended sessions.
    pub fn suspended(&self) -> usize {
        self.suspended.load(Ordering::Relaxed)
    }

    /// Counts a suspended session until the returned guard is dropped.
    pub fn suspend(self: &Arc<Gate>) -> Suspension {
        self.suspended.fetch_add(1, Ordering::Relaxed);
        Suspension(Arc::clone(self))
    }

    /// Counts a session that another gateway has taken over.
    pub fn handed_over(&self) {
        self.handed_over.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of sessions that other gateways have taken over.
    pub fn handed_over_count(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// Begins a drain: sessions that can move should, and none stays after `ends`.
    pub fn drain_until(&self, ends: Instant) {
        let ends_ms = ends.saturating_duration_since(self.since).as_millis() as u64;
        self.drain_ends_ms.store(ends_ms.max(1), Ordering::Release);
    }

    /// Returns the rest of the drain window; `None` without a drain.
    pub fn drain_left(&self) -> Option<Duration> {
        let ends_ms = self.drain_ends_ms.load(Ordering::Acquire);
        let ends = self.since + Duration::from_millis(ends_ms);
        (ends_ms > 0).then(|| ends.saturating_duration_since(Instant::now()))
    }

    /// Refuses new sessions from now on.
    pub fn refuse_sessions(&self) {
        self.refusing.store(true, Ordering::Release);
    }

    /// Undoes a drain: sessions may start, and stay.
    pub fn allow_sessions(&self) {
        self.drain_ends_ms.store(0, Ordering::Release);
        self.refusing.store(false, Ordering::Release);
    }

    /// Returns whether new sessions are refused.
    pub fn refuses_sessions(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }
}

/// Guard of a counted connection.
#[derive(Debug)]
pub struct Permit(Arc<Gate>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Guard of a counted suspended session.
#[derive(Debug)]
pub struct Suspension(Arc<Gate>);

impl Drop for Suspension {
    fn drop(&mut self) {
        self.0.suspended.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_counts_in_and_out() {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter();
        assert!(matches!(first, Admission::Admitted(_)));
        let told: Vec<_> = (0..REFUSALS_AT_ONCE).map(|_| gate.enter()).collect();
        assert!(told.iter().all(|a| matches!(a, Admission::Refused(_))));
        assert!(matches!(gate.enter(), Admission::Dropped));
        drop(told);
        drop(first);
        assert_eq!((gate.connections(), gate.peak()), (0, 1));
        assert!(matches!(gate.enter(), Admission::Admitted(_)));
    }
}
