//! Handlers of messages from a client's links, the registry, peer gateways and its worker.

use actix::prelude::*;

use super::{CheckDeadline, Client, Connection, CutOff, GetOut, GiveUp, GoAway, Kick};
use crate::actors::link::LinkEvent;
use crate::actors::peers::PeerResponse;
use crate::actors::session_registry::ClientMessage;
use crate::codec::peer::ToClaimant;
use crate::codec::sniff::{Sniffed, sniff};
use crate::net::timers::TICK_MS;
use crate::session::closing::Closing;
use crate::supervision::{Pumped, Receive};
use crate::traces::{Decision, Name};

impl Receive<LinkEvent> for Client {
    type Result = ();

    #[inline]
    fn receive(&mut self, msg: LinkEvent, ctx: &mut Pumped<Self>) {
        match msg {
            LinkEvent::Deliver {
                head,
                tail,
                frames,
                held,
            } => {
                self.deliver(head, tail, frames, ctx);
                self.take_over(held);
            }
            LinkEvent::Bound { service, bind, .. } => self.at_core(ctx, |core, step| {
                core.bound(&service, bind, step);
            }),
            LinkEvent::Closed {
                service,
                link_id,
                close,
            } => {
                let code = close.code.0;
                self.trace(|| of_link(Name::BackendClosed, &service).code(code));
                self.at_core(ctx, |core, step| {
                    core.closed_on_link(&service, link_id, close, step);
                });
            }
            LinkEvent::Accepted { service, epoch, .. } => {
                self.trace(|| of_link(Name::Accepted, &service).detail(format!("epoch {epoch}")));
                self.at_core(ctx, |core, step| core.accepted(&service, epoch, step));
            }
            LinkEvent::Lost { service, link_id } => {
                self.trace(|| of_link(Name::LinkLost, &service));
                self.at_core(ctx, |core, step| core.link_lost(&service, link_id, step));
            }
            LinkEvent::EndService { service, link_id } => self.at_core(ctx, |core, step| {
                core.end_service(&service, link_id, step);
            }),
            LinkEvent::Left {
                service,
                link_id,
                state,
                ..
            } => {
                self.trace(|| of_link(Name::ServiceLeft, &service));
                self.at_core(ctx, |core, step| {
                    core.left(&service, link_id, &state, step);
                });
            }
            LinkEvent::Confirmed { service, .. } => {
                self.at_core(ctx, |core, step| core.confirmed(&service, step));
            }
            LinkEvent::MoveAway { service, endpoint } => self.at_core(ctx, |core, step| {
                core.move_away(&service, endpoint, step);
            }),
            LinkEvent::Wish(wish) => self.take_stray(*wish, ctx),
            LinkEvent::Room => self.at_core(ctx, |core, step| core.link_has_room(step)),
            LinkEvent::TimeFrame { read_at } => self.time_frame(read_at),
        }
    }
}

fn of_link(name: Name, service: &str) -> Decision {
    Decision::new(name).service(service)
}

impl Receive<ClientMessage> for Client {
    type Result = ();

    fn receive(&mut self, msg: ClientMessage, ctx: &mut Pumped<Self>) {
        match msg {
            ClientMessage::Stray(stray) => self.take_stray(stray, ctx),
            ClientMessage::Resume(forwarded) => self.resume_here(forwarded, ctx),
            ClientMessage::Peer(request) => self.at_core(ctx, |core, step| {
                core.peer_request(request.caller, request.session_id, request.said, step);
            }),
        }
    }
}

impl Receive<PeerResponse> for Client {
    type Result = ();

    fn receive(&mut self, mut msg: PeerResponse, ctx: &mut Pumped<Self>) {
        if let Some(ToClaimant::Handover(handed)) = &mut msg.said {
            self.bound_handover(handed);
        }
        self.at_core(ctx, |core, step| {
            core.peer_response(msg.call, msg.said, step);
        });
        self.count_replay();
        if let Some(held) = msg.held {
            self.take_over(held);
        }
    }
}

impl Receive<CheckDeadline> for Client {
    type Result = ();

    fn receive(&mut self, _: CheckDeadline, ctx: &mut Pumped<Self>) {
        if self.shared.now_ms() < u64::from(self.armed) * TICK_MS {
            return; // Meant for the slot's previous client, or already answered.
        }
        self.armed = 0;
        let sniff_timeout = self.shared.scope.config.listen.sniff_timeout;
        let (limit, overdue) = match &self.connection {
            Connection::Frames | Connection::Absent(_) => {
                self.stand_by(ctx);
                return self.at_core(ctx, |core, step| core.on_time(step));
            }
            Connection::Sniffing(_) if sniff(&self.inbox) == Sniffed::Frames => {
                (sniff_timeout, Closing::SlowStart)
            }
            Connection::Entering(_) if self.stats.transport().is_http() => {
                return; // Its entry keeps its deadlines.
            }
            Connection::Sniffing(_) | Connection::Entering(_) => {
                (sniff_timeout, Closing::SilentStart)
            }
            Connection::Ending(ending) => (ending.timeout(), Closing::Failed),
        };
        let passed = self.lasted();
        if passed < limit {
            self.arm(limit - passed);
        } else {
            self.close(overdue, ctx);
        }
    }
}

impl Handler<super::Changed> for Client {
    type Result = ();

    fn handle(&mut self, _: super::Changed, _: &mut Pumped<Self>) {
        // From itself; the pump is polled after every message.
    }
}

impl Receive<Kick> for Client {
    type Result = ();

    fn receive(&mut self, msg: Kick, ctx: &mut Pumped<Self>) {
        if self.stats.session_id() == Some(msg.session_id) {
            self.close(Closing::Kicked, ctx);
        }
    }
}

impl Receive<GetOut> for Client {
    type Result = ();

    fn receive(&mut self, _: GetOut, ctx: &mut Pumped<Self>) {
        let closing = match &self.connection {
            Connection::Entering(entering) if self.ends_in_entry(entering) => return,
            Connection::Entering(_) => Closing::BannedUnheard,
            Connection::Sniffing(_) if !self.speaks_frames() => Closing::BannedUnheard,
            Connection::Sniffing(_)
            | Connection::Absent(_)
            | Connection::Frames
            | Connection::Ending(_) => Closing::Banned,
        };
        self.close(closing, ctx);
    }
}

impl Receive<GoAway> for Client {
    type Result = ();

    fn receive(&mut self, _: GoAway, ctx: &mut Pumped<Self>) {
        self.at_core(ctx, |core, step| core.ask_away(step));
    }
}

impl Receive<GiveUp> for Client {
    type Result = ();

    fn receive(&mut self, _: GiveUp, ctx: &mut Pumped<Self>) {
        self.at_core(ctx, |core, step| core.give_up(step));
    }
}

impl Client {
    /// Returns true if a connection that is being sniffed is known to speak frames.
    fn speaks_frames(&self) -> bool {
        matches!(&self.connection, Connection::Sniffing(sniffing) if sniffing.entered)
            || sniff(&self.inbox) == Sniffed::Frames
    }
}

impl Receive<CutOff> for Client {
    type Result = ();

    fn receive(&mut self, _: CutOff, ctx: &mut Pumped<Self>) {
        // In the form of a transport that is known, or not at all.
        let closing = match &self.connection {
            Connection::Entering(entering) if self.stats.transport().is_http() => {
                return entering.leaving.notify_one();
            }
            Connection::Entering(_) => Closing::SilentStart,
            Connection::Sniffing(_) if !self.speaks_frames() => Closing::SilentStart,
            // Its backends keep it for the gateway that takes it over.
            Connection::Absent(_) => return,
            Connection::Sniffing(_) | Connection::Frames | Connection::Ending(_) => {
                Closing::Draining
            }
        };
        self.close(closing, ctx);
    }
}
