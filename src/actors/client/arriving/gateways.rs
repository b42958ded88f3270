//! A player who comes back, towards the gateway that may have the session.

use actix::prelude::*;

use super::Client;
use crate::actors::client::resumable::Whereabouts;
use crate::actors::peers::{Call, PeerResponse};
use crate::codec::code::Code;
use crate::codec::peer::{HandOver, Particulars, PeerGateway, ToHolder, ToNewcomer};
use crate::session::replay::Replay;
use crate::session::resume::{Answer, Place};

impl Client {
    /// Where a gateway is, seen from here. One with this gateway's own address was here before a
    /// restart: nobody else can be reached there.
    pub(super) fn whereabouts(&self, at: PeerGateway) -> Whereabouts {
        let own = self.shared.peers.own();
        if at.gateway == self.shared.scope.config.gateway.id
            || own.is_some_and(|own| own.address == at.address)
        {
            Whereabouts::Here
        } else {
            Whereabouts::Peer(at)
        }
    }

    pub(super) fn ask(&mut self, to: PeerGateway, ctx: &mut Context<Self>) {
        let call = self.shared.owner();
        let Some(arriving) = self.arriving() else {
            return;
        };
        arriving.calls.push((call, to.clone()));
        let token_epoch = arriving.token.epoch;
        self.say(Whereabouts::Peer(to), ToHolder::Ask { token_epoch }, ctx);
    }

    pub(super) fn say(&mut self, to: Whereabouts, say: ToHolder, ctx: &mut Context<Self>) {
        let (Whereabouts::Peer(to), client) = (to, self.registration.address(ctx).recipient())
        else {
            return;
        };
        let Some(arriving) = self.arriving() else {
            return;
        };
        let its = |(_, at): &&(u64, PeerGateway)| *at == to;
        let Some((call, _)) = arriving.calls.iter().rev().find(its) else {
            return;
        };
        let (call, session_id) = (*call, arriving.token.session_id);
        self.shared.peers.call(Call {
            call,
            to,
            session_id,
            say,
            client,
        });
    }

    pub(super) fn claim(&mut self, to: PeerGateway, ctx: &mut Context<Self>) {
        let Some(arriving) = self.arriving() else {
            return;
        };
        if let Some(code) = arriving.ended.take() {
            let from = Whereabouts::Peer(to);
            return self.at_newcomer(|n| n.claim_ended(&from, code), ctx);
        }
        let places = arriving.bindings.iter().zip(arriving.machine.places());
        let places = places.map(|(b, how)| (b.service.clone(), *how == Place::Taken));
        let say = ToHolder::Claim {
            count: arriving.count,
            places: places.collect(),
        };
        self.say(Whereabouts::Peer(to), say, ctx);
    }

    /// Another gateway says something on a call of this client's.
    pub(in crate::actors::client) fn heard(
        &mut self,
        heard: PeerResponse,
        ctx: &mut Context<Self>,
    ) {
        let now = self.shared.elapsed_ms();
        let Some(arriving) = self.arriving() else {
            return;
        };
        let call = arriving.calls.iter().find(|(call, _)| *call == heard.call);
        let Some((_, at)) = call.cloned() else {
            return;
        };
        let from = self.whereabouts(at.clone());
        let Some(said) = heard.said else {
            return self.at_newcomer(|n| n.peer_lost(now, &from), ctx);
        };
        match said {
            ToNewcomer::Holds { epoch, particulars } => {
                let count = self.learn(particulars, true, &at);
                let holds = Answer::Holds { epoch };
                self.at_newcomer(|n| n.answered(now, &from, holds, count), ctx);
            }
            ToNewcomer::HoldsMore { particulars } => {
                let count = self.learn(particulars, false, &at);
                self.at_newcomer(|n| n.holds_more(now, &from, count), ctx);
            }
            ToNewcomer::HandOver(handed) => self.handed_over(*handed, &from, ctx),
            ToNewcomer::Ended { code } => {
                let code = Code(code);
                if let Some(arriving) = self.arriving() {
                    arriving.ended = Some(code);
                }
                self.at_newcomer(|n| n.claim_ended(&from, code), ctx);
            }
            ToNewcomer::Refused => self.at_newcomer(|n| n.claim_refused(&from), ctx),
            ToNewcomer::Moved { gateway, address } => {
                let to = self.whereabouts(PeerGateway { gateway, address });
                self.at_newcomer(|n| n.answered(now, &from, Answer::Moved(to), 0), ctx);
            }
            ToNewcomer::Busy => self.at_newcomer(|n| n.answered(now, &from, Answer::Busy, 0), ctx),
            ToNewcomer::NotGood => {
                self.at_newcomer(|n| n.answered(now, &from, Answer::NotGood, 0), ctx);
            }
            ToNewcomer::Unknown => {
                self.at_newcomer(|n| n.answered(now, &from, Answer::Unknown, 0), ctx);
            }
        }
    }

    /// Notes what the holder knows; returns how many services there are.
    pub(super) fn learn(
        &mut self,
        particulars: Particulars,
        anew: bool,
        from: &PeerGateway,
    ) -> usize {
        let Some(arriving) = self.arriving() else {
            return 0;
        };
        // One that answers too late is not to be believed: others were opened meanwhile.
        if !anew || arriving.machine.places().is_empty() {
            arriving.learn(particulars, anew);
            arriving.previous.clone_from(&from.gateway);
        }
        arriving.bindings.len()
    }

    pub(super) fn handed_over(
        &mut self,
        handed: HandOver,
        from: &Whereabouts,
        ctx: &mut Context<Self>,
    ) {
        let limit = self.shared.scope.config.session.outbound_queue;
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let Some(arriving) = &mut resumable.arriving else {
            return;
        };
        let ring = Replay::adopt(limit, handed.before, &handed.ring);
        let lacks = ring.is_none_or(|ring| ring.since(handed.before).gap);
        let gap = handed.gap || lacks || resumable.replay.since(0).gap;
        arriving.handed = Some(Box::new(handed));
        let from = from.clone();
        self.at_newcomer(|n| n.handed_over(&from, gap), ctx);
    }
}
