//! How many sessions an endpoint of a service has, over the links of all workers (`max_sessions` of a rule).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::evacuation::{Evacuation, EvacuationSnapshot};
use crate::routing::health::Openings;
use crate::session::link::OwedCloses;

/// Sessions of one endpoint.
#[derive(Debug, Default)]
pub struct Occupancy {
    /// Those that wait for a link included.
    sessions: AtomicUsize,
    /// Of those that are over and that it may still keep.
    pub owed_closes: Arc<OwedCloses>,
    /// Those that were opened anew.
    opened: AtomicU64,
    /// Those of them that it has ended with an error before it said anything else.
    failed: AtomicU64,
    /// It has the feature `transfer`, by its newest FEATURES.
    transfers: AtomicBool,
    /// Its sessions are to be moved to others.
    pub evacuation: Evacuation,
    /// Its sessions that are being moved to other endpoints.
    moves: AtomicUsize,
}

/// Sessions of one endpoint that may be on their way to others at a time. Each holds at most the state that its
/// backend has said (64 KiB).
const MAX_MOVES: usize = 1024;

impl Occupancy {
    /// Counts a session in; none where there are `most` already.
    pub fn claim(self: &Arc<Occupancy>, most: Option<u32>) -> Option<SessionClaim> {
        let most = most.map_or(usize::MAX, |most| most as usize);
        let one_more = |now: usize| (now < most).then(|| now + 1);
        let claimed = self
            .sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        claimed.ok().map(|_| SessionClaim(Some(Arc::clone(self))))
    }

    /// Returns how many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Returns how many it was sent and how many it has failed, so far.
    pub fn openings(&self) -> Openings {
        Openings {
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Tells whether the backend hands sessions over with their state.
    pub fn transfers(&self) -> bool {
        self.transfers.load(Ordering::Relaxed)
    }

    pub(super) fn set_transfers(&self, transfers: bool) {
        self.transfers.store(transfers, Ordering::Relaxed);
    }

    /// Shows how far its sessions have been moved to others; none where they are not to be.
    pub fn evacuation(&self) -> Option<EvacuationSnapshot> {
        let under_way = self.moves();
        let mut shown = self.evacuation.snapshot(under_way)?;
        if !self.transfers() {
            // Nobody is asked.
            let sessions = self.sessions().saturating_sub(under_way);
            shown.stay.not_supported = sessions as u64;
        }
        Some(shown)
    }

    /// Returns how many of its sessions are being moved.
    pub fn moves(&self) -> usize {
        self.moves.load(Ordering::Relaxed)
    }

    /// Counts a session in that begins to move; false where too many do.
    pub(super) fn begin_move(&self) -> bool {
        let one_more = |now: usize| (now < MAX_MOVES).then(|| now + 1);
        let moves = &self.moves;
        moves
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    pub(super) fn end_move(&self) {
        self.moves.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn session_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn session_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, sessions: usize) {
        self.sessions.fetch_sub(sessions, Ordering::Relaxed);
    }
}

/// The count of one session that is not on a link yet; dropping it counts it out.
#[derive(Debug)]
pub struct SessionClaim(Option<Arc<Occupancy>>);

impl SessionClaim {
    /// From now on the link counts the session.
    pub(super) fn on_link(mut self) {
        self.0 = None;
    }
}

impl Drop for SessionClaim {
    fn drop(&mut self) {
        if let Some(occupancy) = self.0.take() {
            occupancy.leave(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::link::Gauge;
    use crate::memory::MemoryBudget;

    #[test]
    fn sessions_count_until_they_or_their_link_go() {
        let occupancy = Arc::<Occupancy>::default();
        let waits = occupancy.claim(Some(2)).expect("a place");
        let budget = MemoryBudget::new(1 << 20, 1);
        let meter = budget.worker(0);
        let gauge = Gauge::new(1, Arc::clone(meter), Arc::clone(&occupancy));
        gauge.session_added(occupancy.claim(Some(2)).expect("a place"));
        assert!(occupancy.claim(Some(2)).is_none());
        assert!(occupancy.claim(None).is_some(), "and it is gone at once");
        drop(waits);
        gauge.session_added(occupancy.claim(Some(2)).expect("a place"));
        gauge.session_removed();
        assert_eq!((occupancy.sessions(), gauge.sessions()), (1, 1));
        drop(gauge);
        assert_eq!(occupancy.sessions(), 0);
    }
}
