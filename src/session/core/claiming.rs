//! A session that is not here (protocol 3.2, cases 2 and 3): its owner is found, its backends are opened
//! in one epoch more, and it is claimed; without an owner the backends and the token must do.
//!
//! ```text
//!                Holds                    all answered              handed over
//!   Asking ────────────────▶ Opening ──────────────────▶ Claiming ─────────────▶ adopted
//!    │  ▲ │ nobody has it      │  ▲                         │  │
//!    └──┘ └───▶ Opening        │  └────── HoldsMore ────────┘  └─ no answer ──▶ adopted, GAP
//!   Moved      (no owner) ─────┴─ without an owner ─▶ adopted, GAP
//! ```
//!
//! A claim whose own connection breaks goes on once a gateway has promised the session, or its backends are asked:
//! the session is then suspended here. Before that it is withdrawn. Nothing is opened, and a question that is
//! slow to arrive would take the session from a player who has come back elsewhere meanwhile.

use smallvec::SmallVec;

use super::places::{Place, Standing};
use super::requests::ResumeRequest;
use super::resuming::Attempt;
use super::{Core, Effect, Hold, Note, Reach, State, Step};
use crate::codec::code::Code;
use crate::codec::link::{Bind, OPEN_RESUMED};
use crate::codec::peer::{Binding, Handover, Particulars, PeerGateway, ToOwner};
use crate::session::closing::Closing;
use crate::session::replay::Replay;
use crate::session::state::Session;
use crate::session::token::TokenBody;

/// A claim on a session that is not here.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) token: TokenBody,
    /// The gateway that has or had the session.
    pub(super) previous: String,
    pub(super) stage: Stage,
    /// Calls that were made and are not answered for good, by number; the last one is the one that counts.
    pub(super) calls: SmallVec<[(u64, PeerGateway); 1]>,
    /// Frames that backends have sent since they took the OPEN.
    pub(super) replay: Replay,
    /// What backends have bound since they took the OPEN: newer than whatever the owner knows. 0: nothing.
    pub(super) bound: Bind,
    /// It is counted as a session of this gateway.
    pub(super) started: bool,
    /// The owner's part, when it has been handed over.
    pub(super) handed: Option<Box<Handover>>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Asking {
        whom: PeerGateway,
        /// The next one to ask if that one does not know.
        then: Option<PeerGateway>,
        moves: u8,
    },
    Opening {
        owner: Option<PeerGateway>,
    },
    Claiming {
        owner: PeerGateway,
    },
}

impl Claim {
    pub(super) fn owner(&self) -> Option<&PeerGateway> {
        match &self.stage {
            Stage::Asking { .. } => None,
            Stage::Opening { owner } => owner.as_ref(),
            Stage::Claiming { owner } => Some(owner),
        }
    }

    pub(super) fn claims_from(&self, from: &PeerGateway) -> bool {
        matches!(&self.stage, Stage::Claiming { owner } if owner == from)
    }

    /// Tells whether nobody has promised the session yet, so that nothing is opened.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking { .. })
    }

    /// Returns the word by which a promise that comes too late is declined. While nothing is opened it costs
    /// the owner no gap.
    pub(super) fn giving_up(&self) -> ToOwner {
        if self.is_asking() {
            ToOwner::Withdraw
        } else {
            ToOwner::GiveUp { stale: false }
        }
    }

    /// Tells gateways that were asked and did not answer that the session goes on here in this epoch: one that was
    /// stopped or cut off meanwhile would go on with the player's old connection.
    pub(super) fn supersede(&self, epoch: u32, step: &mut Step<'_>) {
        for (at, (_, to)) in self.calls.iter().enumerate() {
            if self.calls[..at].iter().all(|(_, before)| before != to) {
                let call = step.host.next_call();
                self.say_on(call, to, ToOwner::Supersede { epoch }, step);
            }
        }
    }

    /// Takes back what was asked; a promise may be on its way.
    pub(super) fn withdraw(&self, step: &mut Step<'_>) {
        for (call, to) in &self.calls {
            self.say_on(*call, to, ToOwner::Withdraw, step);
        }
    }

    pub(super) fn cancel_calls(&self, step: &mut Step<'_>) {
        for (call, _) in &self.calls {
            step.push(Effect::CancelCall(*call));
        }
    }

    /// Says something on the newest call to this gateway.
    pub(super) fn say(&self, to: &PeerGateway, say: ToOwner, step: &mut Step<'_>) {
        if let Some(call) = self.newest_call(to) {
            self.say_on(call, to, say, step);
        }
    }

    /// The call to this gateway that counts.
    pub(super) fn newest_call(&self, to: &PeerGateway) -> Option<u64> {
        let call = self.calls.iter().rev().find(|(_, at)| at == to);
        call.map(|(call, _)| *call)
    }

    pub(super) fn say_on(&self, call: u64, to: &PeerGateway, say: ToOwner, step: &mut Step<'_>) {
        step.push(Effect::Call {
            call,
            to: to.clone(),
            session_id: self.token.session_id,
            say,
        });
    }

    /// A call that was given up as unanswered has been answered after all: it counts again.
    pub(super) fn renew_call(&mut self, call: u64) {
        if let Some(at) = self.calls.iter().position(|(number, _)| *number == call) {
            let renewed = self.calls.remove(at);
            self.calls.push(renewed);
        }
    }
}

/// Tells whether this gateway is meant. One with its own address was here before a restart: nobody else
/// can be reached there.
pub(super) fn is_here(at: &PeerGateway, step: &Step<'_>) -> bool {
    at.gateway == step.host.gateway_id() || step.host.peer_address() == Some(at.address.as_str())
}

impl<L: Hold> Core<L> {
    /// Begins to look for a session.
    pub(super) fn claim(&mut self, request: ResumeRequest, step: &mut Step<'_>) {
        let ResumeRequest {
            token,
            count,
            moved,
        } = request;
        let limits = step.limits();
        let mut session = Session::taken_up(token.session_id, limits.max_services);
        session.identify(token.bound, token.newest);
        let home = PeerGateway {
            gateway: token.owner.clone(),
            address: token.peer.clone(),
        };
        let attempt = Attempt {
            epoch: token.epoch.saturating_add(1),
            token_epoch: token.epoch,
            count,
            places: SmallVec::new(),
            since: step.now,
            until: step.now + limits.peer_timeout(),
            lost: None,
        };
        let claim = Claim {
            previous: token.owner.clone(),
            stage: Stage::Opening { owner: None },
            calls: SmallVec::new(),
            replay: Replay::new(limits.outbound_queue),
            bound: Bind::default(),
            started: false,
            handed: None,
            token,
        };
        self.state = State::Claiming {
            session,
            attempt: Box::new(attempt),
            claim: Box::new(claim),
        };
        let then = (!is_here(&home, step)).then_some(home);
        match moved.filter(|to| !is_here(to, step)) {
            Some(to) => self.ask(to, then, 1, step),
            None => self.ask_next(then, 0, step),
        }
    }

    pub(super) fn claiming(&mut self) -> Option<(&mut Session<L>, &mut Attempt, &mut Claim)> {
        if let State::Claiming {
            session,
            attempt,
            claim,
        } = &mut self.state
        {
            Some((session, attempt, claim))
        } else {
            None
        }
    }

    /// The gateway that has or had the session that is claimed.
    pub fn claims_of(&self) -> Option<&str> {
        match &self.state {
            State::Claiming { claim, .. } => Some(&claim.previous),
            _ => None,
        }
    }

    /// Nobody has the session: OPEN by what the token holds.
    pub(super) fn open_by_token(&mut self, step: &mut Step<'_>) {
        let Some((_, attempt, claim)) = self.claiming() else {
            return;
        };
        attempt.epoch = attempt.token_epoch.saturating_add(1);
        let particulars = Particulars {
            bound: claim.token.bound,
            newest: claim.token.newest,
            bindings: claim.token.bindings.clone(),
        };
        self.open_places(None, particulars, step);
    }

    /// OPEN for every service that has no place yet.
    pub(super) fn open_places(
        &mut self,
        owner: Option<PeerGateway>,
        particulars: Particulars,
        step: &mut Step<'_>,
    ) {
        let Some((session, attempt, claim)) = self.claiming() else {
            return;
        };
        // Without an owner and bindings there is nothing that could be taken up.
        let begins = owner.is_some() || !particulars.bindings.is_empty();
        if begins && !std::mem::replace(&mut claim.started, true) {
            step.note(Note::SessionStarted {
                session_id: session.id(),
                resumable: true,
                taken_up: true,
            });
        }
        let before = session.bound();
        session.identify(particulars.bound, particulars.newest);
        session.bind(claim.bound);
        if session.bound() != before {
            session
                .open()
                .for_each(|(_, lease)| lease.tell_bound(session.bound()));
        }
        let vouched = owner.is_some();
        claim.stage = Stage::Opening { owner };
        attempt.until = step.now + step.limits().connect_timeout;
        let mut fresh = Vec::new();
        for Binding { service, endpoint } in particulars.bindings {
            if attempt.places.iter().all(|p| *p.service != *service) {
                let service: std::sync::Arc<str> = service.into();
                session.opens(service.clone());
                fresh.push((service.clone(), endpoint));
                attempt.places.push(Place {
                    service,
                    standing: Standing::Waiting,
                });
            }
        }
        let (session_id, realm_id) = (session.id(), session.realm_id());
        let previous = claim.previous.clone();
        for (service, endpoint) in fresh {
            let open = self.open_payload(OPEN_RESUMED, &previous, step);
            step.push(Effect::Reach(Reach {
                service,
                endpoint,
                session_id,
                realm_id,
                open,
                vouched,
                arrives: false,
            }));
        }
        self.go_on(step);
    }

    /// Every OPEN is answered.
    pub(super) fn all_answered(&mut self, step: &mut Step<'_>) {
        let Some((_, attempt, claim)) = self.claiming() else {
            return;
        };
        let Stage::Opening { owner } = &mut claim.stage else {
            return;
        };
        let Some(owner) = owner.take() else {
            return self.adopt_without_owner(step);
        };
        let taken = |p: &Place| (p.service.to_string(), p.standing == Standing::Taken);
        let say = ToOwner::Claim {
            count: attempt.count,
            places: attempt.places.iter().map(taken).collect(),
        };
        claim.say(&owner, say, step);
        claim.stage = Stage::Claiming { owner };
        attempt.until = step.now + step.limits().peer_timeout();
    }

    /// "OPEN by what the token holds, and with the ACCEPTs in hand OPENED with the flag GAP"; "where the
    /// gateway is neither the holder nor took over from one and no binding is left: CLOSE 410".
    pub(super) fn adopt_without_owner(&mut self, step: &mut Step<'_>) {
        let taken = self.claiming().map(|(_, attempt, _)| attempt.has_taken());
        match taken {
            Some(true) => self.adopt(true, step),
            Some(false) => self.fail_claim(Closing::NotResumable, true, step),
            None => {}
        }
    }

    pub(super) fn handed_over(&mut self, handed: Box<Handover>, step: &mut Step<'_>) {
        let limit = step.limits().outbound_queue;
        let Some((_, _, claim)) = self.claiming() else {
            return;
        };
        let ring = Replay::adopt(limit, handed.before, &handed.ring);
        let lacks = ring.is_none_or(|ring| ring.since(handed.before).gap);
        let gap = handed.gap || lacks || claim.replay.since(0).gap;
        claim.handed = Some(handed);
        self.adopt(gap, step);
    }

    /// A deadline of the claim has passed.
    pub(super) fn claim_overdue(&mut self, step: &mut Step<'_>) {
        let Some((_, attempt, claim)) = self.claiming() else {
            return;
        };
        match &claim.stage {
            Stage::Asking { whom, .. } => {
                let whom = whom.clone();
                self.not_there(&whom, step);
            }
            Stage::Claiming { owner } => {
                let owner = owner.clone();
                self.peer_lost(&owner, step);
            }
            Stage::Opening { owner } => {
                // Links whose OPEN may still be taken, by a resume that then fails, are left with 307.
                let fails = owner.is_none() && !attempt.has_taken();
                let code = match fails {
                    true => Code::LEAVES_LINK,
                    false => Code::BAD_GATEWAY,
                };
                self.drop_late_places(code, step);
                self.go_on(step);
            }
        }
    }
}
