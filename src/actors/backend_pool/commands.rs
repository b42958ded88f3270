//! Handlers of a pool's commands.

use actix::prelude::*;

use super::{Announce, BackendPool, Bind, BindFailed, Close, Placed, Probe, Retire, SlotState};
use crate::actors::link::{Lease, LinkChange, LinkReport, Quit};
use crate::session::id::spread_retry_ms;
use crate::session::link::{ComesBack, LinkEnd};
use crate::supervision::Receive;

impl Receive<Bind> for BackendPool {
    type Result = ResponseFuture<Result<Lease, BindFailed>>;

    fn receive(&mut self, msg: Bind, ctx: &mut Context<Self>) -> Self::Result {
        // By then it has been tried again.
        let most = self.scope.config.backend.max_backoff.as_millis();
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let retry_after_ms = spread_retry_ms(most / 2, most);
        let unreachable = BindFailed::Unreachable { retry_after_ms };
        let (mut returning, mut behind) = (None, None);
        match self.occupancy.owed_closes.comes_back(msg.session_id) {
            ComesBack::Free => {}
            ComesBack::Owed(owed) => returning = Some(owed),
            ComesBack::Unread(unread) if self.carrier(unread.link_id, &msg).is_some() => {
                behind = Some(unread.link_id);
            }
            ComesBack::Unread(unread) => return self.read_first(unread, msg, unreachable),
        }
        match self.place(msg, behind, ctx) {
            Err(failed) => Box::pin(std::future::ready(Err(failed))),
            Ok(Placed::Here(lease)) => Box::pin(async move {
                let lease = lease.await.map_err(|_| unreachable)?;
                if let Some(returning) = returning {
                    returning.opened();
                }
                Ok(lease)
            }),
            Ok(Placed::With(pool, bind)) => {
                let bound = async move { pool.ask(|| bind.clone()).await };
                Box::pin(async move { bound.await.unwrap_or(Err(unreachable)) })
            }
        }
    }
}

impl Receive<LinkReport> for BackendPool {
    type Result = ();

    fn receive(&mut self, msg: LinkReport, ctx: &mut Context<Self>) {
        match msg.change {
            LinkChange::Ready => self.ready(msg.link_id),
            LinkChange::Suspect => self.suspect(msg.link_id, SlotState::Suspect),
            LinkChange::Heard => self.suspect(msg.link_id, SlotState::Ready),
            LinkChange::Goaway => self.leaving(msg.link_id, ctx),
            LinkChange::Idle => self.idle(msg.link_id),
            LinkChange::Ended { reason, error } => {
                self.ended(msg.link_id, reason, error, ctx);
            }
        }
    }
}

impl Receive<Announce> for BackendPool {
    type Result = ();

    fn receive(&mut self, _: Announce, _: &mut Context<Self>) {
        self.announce();
    }
}

impl Receive<Probe> for BackendPool {
    type Result = ();

    fn receive(&mut self, _: Probe, _: &mut Context<Self>) {
        self.probe();
    }
}

impl Receive<Retire> for BackendPool {
    type Result = ();

    fn receive(&mut self, _: Retire, ctx: &mut Context<Self>) {
        self.state.retired = true;
        self.forget_health();
        self.quit_unused(ctx);
    }
}

impl Receive<Close> for BackendPool {
    type Result = ResponseFuture<()>;

    fn receive(&mut self, _: Close, _: &mut Context<Self>) -> ResponseFuture<()> {
        self.state.retired = true;
        self.forget_health();
        self.state.waiting.clear();
        let links = std::mem::take(&mut self.state.links);
        Box::pin(async move {
            let quits = links.iter().map(|s| {
                s.link.send(Quit {
                    reason: LinkEnd::ShutDown,
                })
            });
            futures_util::future::join_all(quits).await;
        })
    }
}
