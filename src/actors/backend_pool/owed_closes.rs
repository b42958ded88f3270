//! Final CLOSEs of sessions whose link was lost. Any pool to the endpoint that has a link has them said: the one that
//! lost the link may be gone, for no rule names the endpoint any more, or have no link while links are limited.

use actix::prelude::*;

use super::{BackendPool, Slot, SlotState};
use crate::actors::link::CloseOwed;
use crate::supervision::Receive;

impl BackendPool {
    /// Has a link say what the endpoint is owed, if one is there.
    pub(super) fn say_owed(&self) {
        if self.occupancy.owed_closes.count() == 0 {
            return;
        }
        let alive = |s: &&Slot| s.state != SlotState::Connecting && s.link.connected();
        let best = self.best().filter(alive);
        if let Some(slot) = best.or_else(|| self.state.links.iter().find(alive)) {
            slot.link.do_send(CloseOwed);
        }
    }
}

impl Receive<CloseOwed> for BackendPool {
    type Result = ();

    fn receive(&mut self, _: CloseOwed, _: &mut Context<Self>) {
        self.say_owed();
    }
}
