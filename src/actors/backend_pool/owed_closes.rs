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

    /// The link on which the session's final CLOSE was said, if that may be unread and the link can have the session.
    pub(super) fn ends_first(&self, bind: &Bind) -> Option<&Slot> {
        let unread = self.occupancy.owed_closes.unread(bind.session_id)?;
        self.carries(&unread, bind)
    }

    fn carries(&self, unread: &UnreadOn, bind: &Bind) -> Option<&Slot> {
        let slot = self.state.links.iter().find(|s| s.id == unread.link_id)?;
        let leaving = slot.state == SlotState::Leaving && bind.goes_on();
        (slot.state.takes_sessions() || leaving).then_some(slot)
    }

    /// Where the session's final CLOSE may be unread on a link that cannot have it, asks again when that has been read;
    /// not for longer than a backend may take to answer.
    pub(super) fn read_first(
        &self,
        bind: &Bind,
        unreachable: BindFailed,
    ) -> Option<ResponseFuture<Result<Lease, BindFailed>>> {
        let unread = self.occupancy.owed_closes.unread(bind.session_id)?;
        if self.carries(&unread, bind).is_some() {
            return None;
        }
        let (seat, bind) = (self.seat.clone(), bind.clone());
        let most = self.scope.config.backend.connect_timeout;
        Some(Box::pin(async move {
            let read = tokio::time::timeout(most, unread.settled()).await;
            read.map_err(|_| unreachable)?;
            let bound = seat.ask(|| bind.clone()).await;
            bound.unwrap_or(Err(unreachable))
        }))
    }
}

impl Receive<CloseOwed> for BackendPool {
    type Result = ();

    fn receive(&mut self, _: CloseOwed, _: &mut Context<Self>) {
        self.say_owed();
    }
}
