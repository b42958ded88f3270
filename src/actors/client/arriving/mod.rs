//! A player who comes back: the session is found, opened on its backends in one epoch more, and taken
//! over, from this very client or from another gateway (protocol 3.2).
//!
//! Here the [`Newcomer`] says what is done. Where the session's holder is this client itself, nothing
//! travels: its links stay, and only the connection is another one.

mod adopt;
mod backends;
mod gateways;

use std::sync::Arc;

use actix::prelude::*;
use smallvec::SmallVec;

use super::resumable::{Claimant, Whereabouts, timing};
use super::{Client, Closing};
use crate::actors::link::Lease;
use crate::actors::peers::CancelCall;
use crate::codec::code::Code;
use crate::codec::peer::{Binding, HandOver, Particulars, PeerGateway, ToHolder};
use crate::session::resume::{Answer, HolderAction, Millis, Newcomer, NewcomerAction as Do, Place};
use crate::session::token::TokenBody;

/// A resume under way.
pub(super) struct Arriving {
    machine: Newcomer<Whereabouts>,
    token: TokenBody,
    /// DATA frames that the player has taken.
    pub(super) count: u64,
    /// The session's services, by place.
    bindings: Vec<Binding>,
    /// The gateway that has or had the session.
    previous: String,
    /// Calls to other gateways, by number.
    calls: SmallVec<[(u64, PeerGateway); 1]>,
    /// Services whose backends have answered before the lease on their link was here.
    early: SmallVec<[Arc<str>; 1]>,
    handed: Option<Box<HandOver>>,
    /// The number of the last frame that the player has, where the session is here.
    has: u64,
    /// The holder has said that the session has ended.
    ended: Option<Code>,
}

impl Arriving {
    fn new(machine: Newcomer<Whereabouts>, token: TokenBody, count: u64) -> Arriving {
        Arriving {
            machine,
            count,
            bindings: token.bindings.clone(),
            previous: token.holder.clone(),
            token,
            calls: SmallVec::new(),
            early: SmallVec::new(),
            handed: None,
            has: 0,
            ended: None,
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.machine.epoch()
    }

    pub(super) fn token_epoch(&self) -> u32 {
        self.token.epoch
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.machine.deadline()
    }

    fn place(&self, service: &str) -> Option<usize> {
        self.bindings.iter().position(|b| b.service == *service)
    }

    /// How far a service is that has not been given up.
    fn standing(&self, service: &str) -> Option<(usize, Place)> {
        let place = self.place(service)?;
        let how = *self.machine.places().get(place)?;
        (how != Place::Dropped).then_some((place, how))
    }

    /// What another gateway knows of the session. What was known keeps its place.
    fn learn(&mut self, particulars: Particulars, anew: bool) {
        if anew {
            self.bindings.clear();
        }
        for binding in particulars.bindings {
            if self.place(&binding.service).is_none() {
                self.bindings.push(binding);
            }
        }
        (self.token.bound, self.token.newest) = (particulars.bound, particulars.newest);
    }
}

impl Client {
    /// Begins to look for a session that this client is to have. `moved`: where it went from here.
    pub(super) fn arrive(
        &mut self,
        token: TokenBody,
        count: u64,
        moved: Option<PeerGateway>,
        ctx: &mut Context<Self>,
    ) {
        let config = Arc::clone(&self.shared.scope.config);
        let now = self.shared.elapsed_ms();
        let home = self.whereabouts(PeerGateway {
            gateway: token.holder.clone(),
            address: token.peer.clone(),
        });
        let (bindings, here) = (token.bindings.len(), Whereabouts::Here);
        let (machine, _ask_here) =
            Newcomer::new(now, timing(&config), token.epoch, bindings, here, home);
        let outbound_queue = config.session.outbound_queue;
        let resumable = super::Resumable::new(None, outbound_queue);
        let resumable = self.resumable.insert(Box::new(resumable));
        resumable.arriving = Some(Box::new(Arriving::new(machine, token, count)));
        self.talked = true;
        let answer = match moved {
            Some(to) => Answer::Moved(self.whereabouts(to)),
            None => Answer::Unknown,
        };
        let answered = |n: &mut Newcomer<_>| n.answered(now, &Whereabouts::Here, answer, 0);
        self.at_newcomer(answered, ctx);
    }

    /// The session is this client's own: it goes on over another connection. Returns why not.
    pub(super) fn arrive_here(
        &mut self,
        token: TokenBody,
        count: u64,
    ) -> Result<Vec<Do<Whereabouts>>, Closing> {
        let config = Arc::clone(&self.shared.scope.config);
        let now = self.shared.elapsed_ms();
        let draining = self.shared.scope.gate.is_draining();
        let (Some(session), Some(resumable)) = (&self.session, &mut self.resumable) else {
            return Err(Closing::NotResumable);
        };
        let Some(holder) = &mut resumable.holder else {
            return Err(Closing::ResumeElsewhere);
        };
        let (epoch, here) = (token.epoch, Whereabouts::Here);
        let bindings = session.open().map(|(service, lease)| Binding {
            service: service.to_string(),
            endpoint: lease.endpoint(),
        });
        let bindings: Vec<Binding> = bindings.collect();
        let answer = holder.asked(now, &Claimant::Here, epoch, draining);
        let answer = match answer.as_slice() {
            [HolderAction::Answer(Answer::Holds { epoch })] => Answer::Holds { epoch: *epoch },
            [HolderAction::Answer(Answer::Busy)] => return Err(Closing::ResumeElsewhere),
            _ => return Err(Closing::NotResumable),
        };
        let (places, timing) = (bindings.len(), timing(&config));
        let (mut machine, _ask_here) =
            Newcomer::new(now, timing, epoch, places, here.clone(), here.clone());
        let actions = machine.answered(now, &here, answer, places);
        let mut arriving = Arriving::new(machine, token, count);
        arriving.bindings = bindings;
        arriving.previous = config.gateway.id.clone();
        resumable.arriving = Some(Box::new(arriving));
        resumable.in_use = false;
        Ok(actions)
    }

    /// An event at the machine of a resume under way, and what follows from it.
    pub(super) fn at_newcomer(
        &mut self,
        event: impl FnOnce(&mut Newcomer<Whereabouts>) -> Vec<Do<Whereabouts>>,
        ctx: &mut Context<Self>,
    ) {
        let Some(arriving) = self.arriving() else {
            return;
        };
        let actions = event(&mut arriving.machine);
        self.arrive_by(actions, ctx);
    }

    fn arriving(&mut self) -> Option<&mut Arriving> {
        self.resumable.as_mut()?.arriving.as_deref_mut()
    }

    /// Whether the session is this client's already.
    fn is_holder(&self) -> bool {
        self.resumable.as_ref().is_some_and(|r| r.holder.is_some())
    }

    /// Does what the machine says.
    pub(super) fn arrive_by(&mut self, actions: Vec<Do<Whereabouts>>, ctx: &mut Context<Self>) {
        for action in actions {
            let now = self.shared.elapsed_ms();
            match action {
                Do::Ask(Whereabouts::Peer(to)) => self.ask(to, ctx),
                Do::Ask(here @ Whereabouts::Here) => {
                    let unknown = |n: &mut Newcomer<_>| n.answered(now, &here, Answer::Unknown, 0);
                    self.at_newcomer(unknown, ctx);
                }
                Do::Open(place) => self.open_place(place, ctx),
                Do::Claim(Whereabouts::Peer(to)) => self.claim(to, ctx),
                Do::Claim(Whereabouts::Here) => self.claim_here(ctx),
                Do::GiveUp { to, stale } => self.say(to, ToHolder::GiveUp { stale }, ctx),
                Do::Supersede(to) => self.say(to, ToHolder::Supersede, ctx),
                Do::EndHolder(to, code) => self.say(to, ToHolder::End { code: code.0 }, ctx),
                Do::Leave(place) => self.drop_place(place, Some(Code::LEAVES_LINK)),
                Do::Release(place, code) => self.drop_place(place, Some(code)),
                Do::Forget(place) => self.drop_place(place, None),
                Do::Error502(place) => {
                    if let Some(service) = self.service_at(place) {
                        self.tell_unbound(&service, ctx);
                    }
                }
                Do::Adopt { gap } => self.adopt(gap, ctx),
                Do::Close(code) => self.fail_to_arrive(code, ctx),
            }
        }
        self.watch(ctx);
    }

    fn service_at(&mut self, place: usize) -> Option<Arc<str>> {
        let binding = self.arriving()?.bindings.get(place)?;
        Some(binding.service.as_str().into())
    }

    fn drop_place(&mut self, place: usize, code: Option<Code>) {
        if let Some(service) = self.service_at(place) {
            self.unbind(&service, code);
        }
    }

    /// The session does not come here.
    fn fail_to_arrive(&mut self, code: Code, ctx: &mut Context<Self>) {
        let closing = match code {
            Code::GONE => Closing::NotResumable,
            Code::UNAVAILABLE => Closing::ResumeElsewhere,
            code => Closing::ByBackend {
                code,
                retry_after_ms: 0,
                text: Box::default(),
            },
        };
        self.cancel();
        self.close(closing, ctx);
    }

    /// The resume under way, if there is one, is over.
    fn cancel(&mut self) {
        let arriving = self.resumable.as_mut().and_then(|r| r.arriving.take());
        for (call, _) in arriving.iter().flat_map(|a| &a.calls) {
            self.shared.peers.cancel(CancelCall { call: *call });
        }
    }

    /// The end has begun while a session was on its way here: it is left where it is.
    pub(super) fn stop_arriving(&mut self, ctx: &mut Context<Self>) {
        let holder = self.is_holder();
        let Some(arriving) = self.arriving() else {
            return;
        };
        if !holder {
            let asked = arriving.calls.last().map(|(_, to)| to.clone());
            if let Some(to) = asked {
                let give_up = ToHolder::GiveUp { stale: false };
                self.say(Whereabouts::Peer(to), give_up, ctx);
            }
            if let Some(session) = &mut self.session {
                let leaves = |lease: &mut Lease| lease.set_final_code(Code::LEAVES_LINK);
                session.leases().for_each(leaves);
            }
        }
        self.cancel();
    }
}
