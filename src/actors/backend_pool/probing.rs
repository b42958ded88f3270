//! A link that is kept although nobody uses it, so that it is known how the endpoint is.

use std::time::Instant;

use super::health::Health;
use super::{BackendPool, Quit, Slot, SlotState};
use crate::session::link::LinkEnd;

impl BackendPool {
    /// A link has had no session for too long.
    pub(super) fn idle(&mut self, link_id: u64) {
        let Some(place) = self.state.links.iter().position(|s| s.id == link_id) else {
            return;
        };
        if self.keeps(place) {
            self.state.links[place].is_kept = true;
        } else {
            self.quit_idle(place);
        }
    }

    /// Ends a link that nobody uses.
    fn quit_idle(&mut self, place: usize) {
        // Only the pool attaches sessions, so one that it sees without any stays so.
        if self.state.links[place].gauge.sessions() > 0 {
            return;
        }
        let slot = self.state.links.swap_remove(place);
        slot.link.do_send(Quit {
            reason: LinkEnd::Idle,
        });
        if self.state.links.is_empty() && matches!(self.state.health, Health::Leaving(_)) {
            self.set_health(Health::Unknown);
        }
    }

    /// Tells whether this link is the one that shows how the endpoint is. That of a backend that leaves does not:
    /// the next one shows whether it is back.
    pub(super) fn keeps(&self, place: usize) -> bool {
        let is_leaving = self.state.links[place].state == SlotState::Leaving;
        self.is_probed() && self.state.links.len() == 1 && !is_leaving
    }

    /// Tells whether it is still this pool that keeps the endpoint known: it is asked again and again.
    pub(super) fn is_probed(&self) -> bool {
        let twice = 2 * self.scope.config.backend.probe_interval;
        self.state.probed_at.is_some_and(|at| at.elapsed() <= twice)
    }

    /// Opens a link for nobody, unless there is one or a time for the next.
    pub(super) fn probe(&mut self) {
        self.state.probed_at = Some(Instant::now());
        let wants = match self.state.health {
            Health::Unknown | Health::Up | Health::Suspect => self.state.links.is_empty(),
            // They are tried again anyway.
            Health::Down { .. } | Health::Leaving(_) => false,
        };
        if wants && !self.state.retired {
            let _ = self.open_link();
        }
    }

    /// Ends links that were kept, once another pool keeps the endpoint known or nobody does.
    pub(super) fn quit_kept(&mut self) {
        let is_kept = |slot: &Slot| slot.is_kept;
        if let Some(place) = self.state.links.iter().position(is_kept)
            && !self.keeps(place)
        {
            self.quit_idle(place);
        }
    }
}
