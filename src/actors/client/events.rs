//! What a client hears from its links, the registry and its worker.

use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;

use super::{
    Changed, CheckDeadline, Client, CutOff, GiveUp, GoAway, Hold, Kick, Stage, retag_if_changed,
};
use crate::actors::link::{Lease, LinkEvent};
use crate::actors::peers::PeerResponse;
use crate::actors::session_registry::{ClientMessage, StrayFrame, Strayed, StraysRefused};
use crate::codec::buffers;
use crate::codec::client::{self, Header};
use crate::codec::link::Bind;
use crate::codec::sniff::{Sniffed, sniff};
use crate::net::outbox::VECTORED_BYTES;
use crate::session::closing::Closing;
use crate::session::state::Session;

impl Client {
    pub(super) fn resume_reading(&mut self, hold: Hold) {
        if self.hold == hold {
            // The message that brought this wakes the pump, which goes on where it stopped. What
            // was our doing must not count as the client's silence.
            self.hold = Hold::None;
            self.alive_ms = self.shared.now_ms();
        }
    }

    fn bound(&mut self, bind: Bind, ctx: &mut Context<Self>) {
        self.shared.scope.metrics.binds.one();
        if let Some(session) = &mut self.session {
            let before = session.realm_id();
            session.bind(bind);
            retag_if_changed(session, before);
            self.stats.realm_id.set(session.realm_id());
            self.stats.user_id.set(session.user_id());
        }
        self.renew_token(ctx);
    }

    /// A backend's DATA that came by way of the registry.
    fn deliver_stray(&mut self, service: &str, payload: Bytes, ctx: &mut Context<Self>) {
        let Some(session) = &self.session else { return };
        let header = Header {
            session_id: session.id(),
            realm_id: session.realm_id(),
            ..Header::default()
        };
        let mut head = buffers::take();
        client::encode_header(&mut head, &header, service, payload.len() as u32);
        let tail = if payload.len() < VECTORED_BYTES {
            head.extend_from_slice(&payload);
            None
        } else {
            Some(payload)
        };
        self.deliver(head, tail, 1, ctx);
    }

    fn stray(&mut self, msg: Strayed, ctx: &mut Context<Self>) {
        let uses = |s: &Session<Lease>| s.id() == msg.stray.session_id && s.uses(&msg.service);
        if !self.session.as_ref().is_some_and(uses) {
            msg.origin.do_send(StraysRefused {
                session_ids: vec![msg.stray.session_id],
            });
            return;
        }
        match msg.stray.frame {
            StrayFrame::Data(payload) => self.deliver_stray(&msg.service, payload, ctx),
            StrayFrame::Bind(bind) => self.bound(bind, ctx),
            StrayFrame::Close(close) => {
                if let Some(session) = &mut self.session
                    && let Some(place) = session.find(&msg.service)
                    && let Some(lease) = session.lease(place)
                {
                    lease.silence();
                }
                self.closed_by_backend(close, ctx);
            }
        }
    }
}

impl Handler<LinkEvent> for Client {
    type Result = ();

    #[inline]
    fn handle(&mut self, msg: LinkEvent, ctx: &mut Context<Self>) {
        self.registration.handled();
        match msg {
            LinkEvent::Deliver { head, tail, frames } => self.deliver(head, tail, frames, ctx),
            LinkEvent::Bound(bind) => self.bound(bind, ctx),
            LinkEvent::Closed { service, close } => self.closed_on_link(&service, close, ctx),
            LinkEvent::Accepted { service, epoch } => self.accepted(&service, epoch, ctx),
            LinkEvent::Lost { service, link_id } => self.link_lost(&service, link_id, ctx),
            LinkEvent::Left { service, .. } => self.left(&service, ctx),
            LinkEvent::Confirmed { service, .. } => self.confirmed(&service, ctx),
            LinkEvent::Room => self.resume_reading(Hold::LinkFull),
        }
    }
}

impl Handler<ClientMessage> for Client {
    type Result = ();

    fn handle(&mut self, msg: ClientMessage, ctx: &mut Context<Self>) {
        self.registration.handled();
        match msg {
            ClientMessage::Stray(stray) => self.stray(stray, ctx),
            ClientMessage::ResumeRequest(comeback) => self.come_back(*comeback, ctx),
            ClientMessage::PeerRequest(called) => self.called(*called, ctx),
        }
    }
}

impl Handler<PeerResponse> for Client {
    type Result = ();

    fn handle(&mut self, msg: PeerResponse, ctx: &mut Context<Self>) {
        self.registration.handled();
        self.heard(msg, ctx);
    }
}

impl Handler<CheckDeadline> for Client {
    type Result = ();

    fn handle(&mut self, _: CheckDeadline, ctx: &mut Context<Self>) {
        self.registration.handled();
        if self.shared.now_ms() < self.armed_ms {
            return; // Meant for the slot's previous client, or already answered.
        }
        self.armed_ms = 0;
        let config = &self.shared.scope.config;
        let (limit, overdue) = match &self.stage {
            Stage::Sniffing(_) if sniff(&self.inbox) == Sniffed::Frames => {
                (config.listen.sniff_timeout, Closing::SlowStart)
            }
            Stage::Entering(_) if self.stats.transport.get().is_http() => {
                return; // Its entry keeps its deadlines.
            }
            Stage::Sniffing(_) | Stage::Entering(_) => {
                (config.listen.sniff_timeout, Closing::SilentStart)
            }
            Stage::Talking => (config.session.idle_timeout, Closing::Idle),
            Stage::Suspended => (config.session.resume_window, Closing::Idle),
            Stage::Ending(ending) => (ending.patience(), Closing::Idle),
        };
        let held = self.hold != Hold::None || !self.is_connected();
        if held && matches!(self.stage, Stage::Talking) {
            // Not the client's silence but ours; it is looked at again when that is over.
            self.alive_ms = self.shared.now_ms();
        }
        let silent = Duration::from_millis(self.shared.now_ms().saturating_sub(self.alive_ms));
        if silent < limit {
            self.renew_old_token(ctx);
            return self.arm(limit - silent);
        }
        match self.stage {
            Stage::Ending(_) => ctx.stop(),
            Stage::Suspended => {
                if let Some(rest) = self.tell_time(ctx).filter(|rest| !rest.is_zero()) {
                    self.arm(rest);
                }
            }
            Stage::Sniffing(_) | Stage::Entering(_) | Stage::Talking => self.close(overdue, ctx),
        }
    }
}

impl Handler<Changed> for Client {
    type Result = ();

    fn handle(&mut self, _: Changed, _: &mut Context<Self>) {
        // From itself; the pump is polled after every message.
    }
}

impl Handler<Kick> for Client {
    type Result = ();

    fn handle(&mut self, msg: Kick, ctx: &mut Context<Self>) {
        self.registration.handled();
        if self.stats.session_id() == Some(msg.session_id) {
            self.close(Closing::Kicked, ctx);
        }
    }
}

impl Handler<GoAway> for Client {
    type Result = ();

    fn handle(&mut self, _: GoAway, ctx: &mut Context<Self>) {
        self.registration.handled();
        self.ask_away(ctx);
    }
}

impl Handler<GiveUp> for Client {
    type Result = ();

    fn handle(&mut self, _: GiveUp, ctx: &mut Context<Self>) {
        self.registration.handled();
        if matches!(self.stage, Stage::Suspended) {
            self.give_up(ctx);
        }
    }
}

impl Handler<CutOff> for Client {
    type Result = ();

    fn handle(&mut self, _: CutOff, ctx: &mut Context<Self>) {
        self.registration.handled();
        // In the form of a transport that is known, or not at all.
        let closing = match &self.stage {
            Stage::Entering(entering) if self.stats.transport.get().is_http() => {
                return entering.leaving.notify_one();
            }
            Stage::Entering(_) => Closing::SilentStart,
            Stage::Sniffing(sniffing)
                if !sniffing.entered && sniff(&self.inbox) != Sniffed::Frames =>
            {
                Closing::SilentStart
            }
            // Its backends keep it for whoever takes it over.
            Stage::Suspended => return,
            Stage::Sniffing(_) | Stage::Talking | Stage::Ending(_) => Closing::Draining,
        };
        self.close(closing, ctx);
    }
}
