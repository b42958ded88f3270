//! Final CLOSEs of sessions whose link was lost. Any pool to the endpoint that has a link has them said: the one that
//! lost the link may be gone, for no rule names the endpoint any more, or have no link while links are limited.
//!
//! A session that comes back is opened behind what was said of its end: on the link where that was said, or when the
//! backend has read it there.

use actix::prelude::*;

use super::{BackendPool, Bind, BindFailed, Slot, SlotState};
use crate::actors::link::{CloseOwed, Lease};
use crate::session::link::UnreadOn;
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

    /// The link of this number, where it can have the session.
    pub(super) fn carrier(&self, link_id: u64, bind: &Bind) -> Option<&Slot> {
        let slot = self.state.links.iter().find(|s| s.id == link_id)?;
        let leaving = slot.state == SlotState::Leaving && bind.goes_on();
        (slot.state.takes_sessions() || leaving).then_some(slot)
    }

    /// Asks again when the session's final CLOSE has been read on a link that cannot have it; not for longer than a backend
    /// may take to answer.
    pub(super) fn read_first(
        &self,
        unread: UnreadOn,
        bind: Bind,
        unreachable: BindFailed,
    ) -> ResponseFuture<Result<Lease, BindFailed>> {
        let seat = self.seat.clone();
        let most = self.scope.config.backend.connect_timeout;
        Box::pin(async move {
            let read = tokio::time::timeout(most, unread).await;
            read.map_err(|_| unreachable)?;
            let bound = seat.ask(|| bind.clone()).await;
            bound.unwrap_or(Err(unreachable))
        })
    }
}

impl Receive<CloseOwed> for BackendPool {
    type Result = ();

    fn receive(&mut self, _: CloseOwed, _: &mut Context<Self>) {
        self.say_owed();
    }
}
