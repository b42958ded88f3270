//! A player who comes back: the session is found, opened on its backends in one epoch more, and taken
//! over, from this very client or from another gateway (protocol 3.2).
//!
//! Here the [`Newcomer`] says what is done. Where the session's holder is this client itself, nothing
//! travels: its links stay, and only the connection is another one.

use std::sync::Arc;

use actix::prelude::*;
use smallvec::SmallVec;

use super::resumable::{Claimant, Whereabouts, timing};
use super::{Changed, Client, Closing, Hold};
use crate::actors::backend_pool::Bind as BindTo;
use crate::actors::life::Seat;
use crate::actors::link::{BackendClose, Lease};
use crate::actors::peers::{Call, HangUp, Heard, PeerAt};
use crate::actors::router::{PoolAt, Router};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::codec::peer::{Binding, HandOver, Particulars, ToHolder, ToNewcomer};
use crate::net::buffers;
use crate::session::replay::Replay;
use crate::session::resume::{
    Answer, HolderAction, Millis, Newcomer, NewcomerAction as Do, Numbering, Place, Standing,
};
use crate::session::state::Session;
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
    calls: SmallVec<[(u64, PeerAt); 1]>,
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
        moved: Option<PeerAt>,
        ctx: &mut Context<Self>,
    ) {
        let config = Arc::clone(&self.shared.scope.config);
        let now = self.shared.elapsed_ms();
        let home = self.whereabouts(PeerAt {
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

    /// Where a gateway is, seen from here.
    fn whereabouts(&self, at: PeerAt) -> Whereabouts {
        if at.gateway == self.shared.scope.config.gateway.id {
            Whereabouts::Here
        } else {
            Whereabouts::Peer(at)
        }
    }

    fn ask(&mut self, to: PeerAt, ctx: &mut Context<Self>) {
        let call = self.shared.owner();
        let Some(arriving) = self.arriving() else {
            return;
        };
        arriving.calls.push((call, to.clone()));
        let token_epoch = arriving.token.epoch;
        self.say(Whereabouts::Peer(to), ToHolder::Ask { token_epoch }, ctx);
    }

    fn say(&mut self, to: Whereabouts, say: ToHolder, ctx: &mut Context<Self>) {
        let (Whereabouts::Peer(to), client) = (to, self.vitals.address(ctx).port()) else {
            return;
        };
        let Some(arriving) = self.arriving() else {
            return;
        };
        let its = |(_, at): &&(u64, PeerAt)| *at == to;
        let Some((call, _)) = arriving.calls.iter().rev().find(its) else {
            return;
        };
        let (call, session_id) = (*call, arriving.token.session_id);
        self.shared.scope.peers.call(Call {
            call,
            to,
            session_id,
            say,
            client,
        });
    }

    fn claim(&mut self, to: PeerAt, ctx: &mut Context<Self>) {
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

    /// The session is here: its links stay, and nothing has to be waited for.
    fn claim_here(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.elapsed_ms();
        let (Some(session), Some(resumable)) = (&self.session, &mut self.resumable) else {
            return;
        };
        let (Some(holder), Some(arriving)) = (&mut resumable.holder, &mut resumable.arriving)
        else {
            return;
        };
        let standings = vec![Standing::Here; session.open().count()];
        let claimed = holder.claimed(now, &Claimant::Here, arriving.count, &standings);
        let handed = claimed.into_iter().find_map(|action| match action {
            HolderAction::HandOver { gap, has, .. } => Some((gap, has)),
            _ => None,
        });
        let here = Whereabouts::Here;
        let Some((gap, has)) = handed else {
            return self.at_newcomer(|n| n.claim_refused(&here), ctx);
        };
        arriving.has = has;
        let gap = gap || resumable.replay.since(has).gap;
        self.at_newcomer(|n| n.handed_over(&here, gap), ctx);
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

    /// OPEN, on the link that the session has or on one to the backend that it is bound to.
    fn open_place(&mut self, place: usize, ctx: &mut Context<Self>) {
        if self.is_holder() {
            let open = self.open_payload(OPEN_RESUMED);
            if let Some(service) = self.service_at(place)
                && let Some(session) = &mut self.session
                && let Some(place) = session.find(&service)
                && let Some(lease) = session.lease(place)
            {
                lease.reopen(open);
            }
            return;
        }
        self.form_session();
        let Some(arriving) = self.arriving() else {
            return;
        };
        let (Some(binding), previous) = (arriving.bindings.get(place), &arriving.previous) else {
            return;
        };
        let (service, endpoint): (Arc<str>, _) = (binding.service.as_str().into(), binding.endpoint);
        let previous = previous.clone();
        let open = self.open_payload_from(OPEN_RESUMED, &previous);
        let Some(session) = &mut self.session else {
            return;
        };
        session.opens(Arc::clone(&service));
        let at = PoolAt {
            service: Arc::clone(&service),
            endpoint,
        };
        let bind = BindTo {
            session_id: session.id(),
            realm_id: session.realm_id(),
            open,
            client: self.vitals.address(ctx).port(),
            resumes: true,
        };
        let opening = link_at(self.shared.scope.router.clone(), at, bind);
        ctx.spawn(opening.into_actor(self).map(move |lease, client, ctx| {
            client.opened_again(&service, lease, ctx);
            ctx.notify(Changed);
        }));
    }

    /// What is known of the session by now makes one, so that its backends can be spoken to.
    fn form_session(&mut self) {
        let max_services = usize::from(self.shared.scope.config.session.max_services);
        let Some(arriving) = self.arriving() else {
            return;
        };
        let (id, bound, newest) = {
            let token = &arriving.token;
            (token.session_id, token.bound, token.newest)
        };
        if self.session.is_none() {
            tracing::debug!(session = %format_args!("{}:{id}", self.shared.scope.config.gateway.id), peer = %self.card.peer(), "session is taken up");
            let started = &self.shared.scope.metrics.sessions_started;
            started.add(self.card.transport.get().name(), 1);
            self.session = Some(Session::taken_up(id, max_services));
            self.card.session_id.set(id);
            self.card.resumable.set(true);
            self.card.started_ms.set(self.shared.now_ms());
            self.hold = Hold::Returning;
        }
        if let Some(session) = &mut self.session {
            session.identify(bound, newest);
        }
    }

    /// A backend has got its OPEN, or cannot be reached.
    fn opened_again(&mut self, service: &str, lease: Option<Lease>, ctx: &mut Context<Self>) {
        let now = self.shared.elapsed_ms();
        let place = self.arriving().and_then(|a| a.standing(service));
        let Some((place, Place::Waiting)) = place else {
            // Given up meanwhile, or the session itself is.
            if let Some(lease) = lease {
                lease.release(self.late_code());
            }
            return;
        };
        if let Some(lease) = lease {
            let epoch = self.epoch();
            self.service_opened(service, epoch, lease, ctx);
        }
        let open = |s: &Session<Lease>| s.open().any(|(name, _)| **name == *service);
        if !self.session.as_ref().is_some_and(open) {
            return self.at_newcomer(|n| n.link_lost(now, place), ctx);
        }
        let early = self.arriving().is_some_and(|a| {
            let at = a.early.iter().position(|name| **name == *service);
            at.map(|at| a.early.remove(at)).is_some()
        });
        if early {
            self.at_newcomer(|n| n.accepted(now, place), ctx);
        }
    }

    /// What a backend hears that was opened for nothing.
    fn late_code(&self) -> Code {
        match self.session {
            Some(_) => Code::BAD_GATEWAY,
            None => self.final_code,
        }
    }

    /// A backend has taken the OPEN of a resume.
    pub(super) fn accepted(&mut self, service: &str, epoch: u32, ctx: &mut Context<Self>) {
        if epoch > self.epoch() || self.resumable.is_none() {
            let dropped = &self.shared.scope.metrics.dropped;
            return dropped.add("unexpected_accept", 1);
        }
        // One of an attempt before says nothing.
        if epoch < self.epoch() {
            return;
        }
        let now = self.shared.elapsed_ms();
        let opening = self.session.as_mut().is_some_and(|s| {
            let place = s.find(service);
            place.is_some_and(|place| s.opening(place).is_some())
        });
        let Some(arriving) = self.arriving() else {
            return;
        };
        if opening {
            arriving.early.push(service.into());
        } else if let Some(place) = arriving.place(service) {
            self.at_newcomer(|n| n.accepted(now, place), ctx);
        }
    }

    /// A backend has ended the session, or not taken the OPEN of a resume.
    pub(super) fn closed_on_link(
        &mut self,
        service: &str,
        close: BackendClose,
        ctx: &mut Context<Self>,
    ) {
        let (now, here) = (self.shared.elapsed_ms(), self.is_holder());
        let standing = self.arriving().and_then(|a| a.standing(service));
        match (standing, close.code) {
            (Some((_, Place::Waiting)), Code::GONE) if here => {
                self.close(Closing::TakenElsewhere, ctx);
            }
            (Some((place, Place::Waiting)), Code::NO_ROUTE) => {
                self.at_newcomer(|n| n.closed(now, place, close.code), ctx);
            }
            (Some((place, _)), code) if !here => {
                self.at_newcomer(|n| n.closed(now, place, code), ctx);
            }
            _ => self.closed_by_backend(close, ctx),
        }
        self.confirmed(service, ctx);
    }

    /// The link of a service that is being opened again, or is open again, is lost. Returns whether
    /// that was the resume's matter.
    pub(super) fn lost_again(&mut self, service: &str, ctx: &mut Context<Self>) -> bool {
        let now = self.shared.elapsed_ms();
        let standing = self.arriving().and_then(|a| a.standing(service));
        let Some((place, _)) = standing else {
            return false;
        };
        self.at_newcomer(|n| n.link_lost(now, place), ctx);
        true
    }

    /// Another gateway says something on a call of this client's.
    pub(super) fn heard(&mut self, heard: Heard, ctx: &mut Context<Self>) {
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
                let to = self.whereabouts(PeerAt { gateway, address });
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
    fn learn(&mut self, particulars: Particulars, anew: bool, from: &PeerAt) -> usize {
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

    fn handed_over(&mut self, handed: HandOver, from: &Whereabouts, ctx: &mut Context<Self>) {
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

    /// The session is here, and the connection in use: OPENED, what the player lacks, and on.
    fn adopt(&mut self, gap: bool, ctx: &mut Context<Self>) {
        let limit = self.shared.scope.config.session.outbound_queue;
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let Some(mut arriving) = resumable.arriving.take() else {
            return;
        };
        let handed = arriving.handed.take().map(|handed| *handed).unwrap_or_default();
        let numbering = match &resumable.holder {
            Some(holder) => holder.numbering().clone(),
            None => {
                let numbering = Numbering::from_starts(handed.starts.iter().copied());
                numbering.unwrap_or_default()
            }
        };
        let before = resumable.replay.len();
        let mut replay = buffers::take();
        let (mut frames, sent);
        if resumable.holder.is_some() {
            let lacking = resumable.replay.since(arriving.has);
            replay.extend_from_slice(lacking.bytes.0);
            replay.extend_from_slice(lacking.bytes.1);
            (frames, sent) = (lacking.frames, resumable.replay.sent() - lacking.frames);
        } else {
            // What was handed over, and what backends have sent here since.
            let ring = Replay::adopt(limit, handed.before, &handed.ring);
            let ring = ring.unwrap_or_else(|| Replay::new(limit));
            let since = std::mem::replace(&mut resumable.replay, ring);
            let (ring, since) = (&mut resumable.replay, since.since(0));
            let held = ring.since(0);
            replay.extend_from_slice(held.bytes.0);
            replay.extend_from_slice(held.bytes.1);
            (frames, sent) = (held.frames, ring.sent() - held.frames);
            let news = [since.bytes.0, since.bytes.1].concat();
            replay.extend_from_slice(&news);
            ring.push(&news, &[], since.frames as u32);
            frames += since.frames;
        }
        self.shared.replay_grows(before, resumable.replay.len());
        if resumable.holder.is_none()
            && let Some(session) = &mut self.session
        {
            session.count_on(handed.received);
            if handed != HandOver::default() {
                session.identify(handed.bound, handed.newest);
            }
        }
        if gap && let Some(session) = &mut self.session {
            session.count_anew();
        }
        for (call, _) in &arriving.calls {
            self.shared.scope.peers.hang_up(HangUp { call: *call });
        }
        resumable.holder = arriving.machine.into_holder(numbering, sent);
        resumable.in_use = true;
        self.connection_is_in_use(gap, replay, frames, ctx);
    }

    fn connection_is_in_use(
        &mut self,
        gap: bool,
        replay: Vec<u8>,
        frames: u64,
        ctx: &mut Context<Self>,
    ) {
        let how = if gap { "gap" } else { "exact" };
        self.shared.scope.metrics.sessions_resumed.add(how, 1);
        if let Some(session) = &self.session {
            self.card.realm_id.set(session.realm_id());
            self.card.user_id.set(session.user_id());
        }
        let received = self.received();
        self.tell_opened(received, gap, ctx);
        if !replay.is_empty() {
            self.send(replay, None, frames as u32, ctx);
        }
        self.keep_up_to(self.shared.scope.config.session.replay_bytes);
        self.hold = Hold::None;
        self.alive_ms = self.shared.now_ms();
        self.ask_away(ctx);
        ctx.notify(Changed);
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
        self.hang_up();
        self.close(closing, ctx);
    }

    /// The resume under way, if there is one, is over.
    fn hang_up(&mut self) {
        let arriving = self.resumable.as_mut().and_then(|r| r.arriving.take());
        for (call, _) in arriving.iter().flat_map(|a| &a.calls) {
            self.shared.scope.peers.hang_up(HangUp { call: *call });
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
        self.hang_up();
    }
}

/// A link to the endpoint that a session is bound to; `None` where it cannot be reached.
async fn link_at(router: Seat<Router>, at: PoolAt, bind: BindTo) -> Option<Lease> {
    let pool = router.ask(|| at.clone()).await.ok()??;
    pool.ask(|| bind.clone()).await.ok()?.ok()
}
