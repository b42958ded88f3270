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
//! A claim whose own connection breaks goes on: the session is then suspended here.

use smallvec::SmallVec;

use super::places::{Place, Standing};
use super::requests::ResumeRequest;
use super::resuming::Attempt;
use super::{BackendClose, Core, Effect, Hold, Note, Reach, State, Step};
use crate::codec::code::Code;
use crate::codec::link::OPEN_RESUMED;
use crate::codec::peer::{Binding, HandOver, Particulars, PeerGateway, ToHolder, ToNewcomer};
use crate::session::closing::Closing;
use crate::session::replay::Replay;
use crate::session::state::Session;
use crate::session::token::TokenBody;

/// How often a session may have moved on while its owner is looked for.
const MAX_MOVES: u8 = 4;

/// A claim on a session that is not here.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) token: TokenBody,
    /// The gateway that has or had the session.
    pub(super) previous: String,
    pub(super) stage: Stage,
    /// Calls that were made, by number; the last one is the one that counts.
    pub(super) calls: SmallVec<[(u64, PeerGateway); 1]>,
    /// What backends have sent since they took the OPEN.
    pub(super) replay: Replay,
    /// It is counted as a session of this gateway.
    pub(super) started: bool,
    /// The owner's part, when it has been handed over.
    pub(super) handed: Option<Box<HandOver>>,
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
    fn owner(&self) -> Option<&PeerGateway> {
        match &self.stage {
            Stage::Asking { .. } => None,
            Stage::Opening { owner } => owner.as_ref(),
            Stage::Claiming { owner } => Some(owner),
        }
    }

    fn claims_from(&self, from: &PeerGateway) -> bool {
        matches!(&self.stage, Stage::Claiming { owner } if owner == from)
    }

    pub(super) fn cancel_calls(&self, step: &mut Step<'_>) {
        for (call, _) in &self.calls {
            step.push(Effect::CancelCall(*call));
        }
    }

    /// Says something on the newest call to this gateway.
    pub(super) fn say(&self, to: &PeerGateway, say: ToHolder, step: &mut Step<'_>) {
        let call = self.calls.iter().rev().find(|(_, at)| at == to);
        if let Some((call, _)) = call {
            step.push(Effect::Call {
                call: *call,
                to: to.clone(),
                session_id: self.token.session_id,
                say,
            });
        }
    }
}

/// Tells whether this gateway is meant. One with its own address was here before a restart: nobody else
/// can be reached there.
fn is_here(at: &PeerGateway, step: &Step<'_>) -> bool {
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
            gateway: token.holder.clone(),
            address: token.peer.clone(),
        };
        let attempt = Attempt {
            epoch: token.epoch.saturating_add(1),
            token_epoch: token.epoch,
            count,
            places: SmallVec::new(),
            until: step.now + limits.peer_timeout(),
            lost: None,
        };
        let claim = Claim {
            previous: token.holder.clone(),
            stage: Stage::Opening { owner: None },
            calls: SmallVec::new(),
            replay: Replay::new(limits.outbound_queue),
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

    fn claiming(&mut self) -> Option<(&mut Session<L>, &mut Attempt, &mut Claim)> {
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

    fn ask_next(&mut self, then: Option<PeerGateway>, moves: u8, step: &mut Step<'_>) {
        match then {
            Some(to) => self.ask(to, None, moves, step),
            None => self.open_by_token(step),
        }
    }

    fn ask(&mut self, to: PeerGateway, then: Option<PeerGateway>, moves: u8, step: &mut Step<'_>) {
        let Some((_, attempt, claim)) = self.claiming() else {
            return;
        };
        attempt.until = step.now + step.limits().peer_timeout();
        claim.calls.push((step.host.next_call(), to.clone()));
        let token_epoch = attempt.token_epoch;
        claim.say(&to, ToHolder::Ask { token_epoch }, step);
        claim.stage = Stage::Asking {
            whom: to,
            then,
            moves,
        };
    }

    /// A peer gateway answers on a call, or (`None`) cannot be reached.
    pub fn peer_response(&mut self, call: u64, said: Option<ToNewcomer>, step: &mut Step<'_>) {
        let Some((_, _, claim)) = self.claiming() else {
            return;
        };
        let from = claim.calls.iter().find(|(number, _)| *number == call);
        let Some((_, from)) = from.cloned() else {
            return;
        };
        let Some(said) = said else {
            return self.peer_lost(&from, step);
        };
        match said {
            ToNewcomer::Holds { epoch, particulars } => {
                self.held_there(from, epoch, particulars, step);
            }
            ToNewcomer::HoldsMore { particulars } if claim.claims_from(&from) => {
                self.open_places(Some(from), particulars, step);
            }
            ToNewcomer::HandOver(handed) if claim.claims_from(&from) => {
                self.handed_over(handed, step);
            }
            ToNewcomer::Ended { code } if claim.owner() == Some(&from) => {
                let close = BackendClose {
                    code: Code(code),
                    retry_after_ms: 0,
                    text: Box::default(),
                };
                // It has ended there already.
                self.stop_claiming_from(&from);
                self.ended_while_claimed(close, step);
            }
            ToNewcomer::Refused if claim.claims_from(&from) => {
                self.fail_claim(Closing::ResumeElsewhere, false, step);
            }
            ToNewcomer::HoldsMore { .. }
            | ToNewcomer::HandOver(_)
            | ToNewcomer::Ended { .. }
            | ToNewcomer::Refused => {}
            ToNewcomer::Moved { gateway, address } => {
                let to = PeerGateway { gateway, address };
                self.moved_on(&from, to, step);
            }
            ToNewcomer::Unknown => self.not_there(&from, step),
            ToNewcomer::Busy if self.asks(&from) => {
                self.fail_claim(Closing::ResumeElsewhere, false, step);
            }
            ToNewcomer::NotGood if self.asks(&from) => {
                self.fail_claim(Closing::NotResumable, true, step);
            }
            ToNewcomer::Busy | ToNewcomer::NotGood => {}
        }
    }

    fn asks(&mut self, from: &PeerGateway) -> bool {
        let claim = self.claiming().map(|(_, _, claim)| claim);
        claim.is_some_and(|c| matches!(&c.stage, Stage::Asking { whom, .. } if whom == from))
    }

    /// It has the session and promises it.
    fn held_there(
        &mut self,
        from: PeerGateway,
        epoch: u32,
        particulars: Particulars,
        step: &mut Step<'_>,
    ) {
        if !self.asks(&from) {
            // Too late: others were asked meanwhile, and it promises what is not wanted any more.
            if let Some((_, _, claim)) = self.claiming() {
                claim.say(&from, ToHolder::GiveUp { stale: false }, step);
            }
            return;
        }
        if let Some((_, attempt, claim)) = self.claiming() {
            attempt.epoch = epoch;
            claim.previous.clone_from(&from.gateway);
        }
        self.open_places(Some(from), particulars, step);
    }

    fn moved_on(&mut self, from: &PeerGateway, to: PeerGateway, step: &mut Step<'_>) {
        let Some((_, _, claim)) = self.claiming() else {
            return;
        };
        let Stage::Asking { whom, then, moves } = &mut claim.stage else {
            return;
        };
        if whom != from {
            return;
        }
        let (then, moves) = (then.take(), *moves + 1);
        if moves > MAX_MOVES {
            self.open_by_token(step);
        } else if is_here(&to, step) {
            self.ask_next(then, moves, step);
        } else {
            self.ask(to, then, moves, step);
        }
    }

    fn not_there(&mut self, from: &PeerGateway, step: &mut Step<'_>) {
        let Some((_, _, claim)) = self.claiming() else {
            return;
        };
        if let Stage::Asking { whom, then, moves } = &mut claim.stage
            && whom == from
        {
            let (then, moves) = (then.take(), *moves);
            self.ask_next(then, moves, step);
        }
    }

    /// That gateway cannot be reached, or does not answer. Its word is not waited for any longer.
    fn peer_lost(&mut self, from: &PeerGateway, step: &mut Step<'_>) {
        if self.asks(from) {
            return self.not_there(from, step);
        }
        let claims = self.stop_claiming_from(from);
        if claims {
            self.adopt_without_owner(step);
        }
    }

    /// Returns whether the claim had been made.
    fn stop_claiming_from(&mut self, from: &PeerGateway) -> bool {
        let Some((_, _, claim)) = self.claiming() else {
            return false;
        };
        if claim.owner() != Some(from) {
            return false;
        }
        let claimed = matches!(claim.stage, Stage::Claiming { .. });
        claim.stage = Stage::Opening { owner: None };
        claimed
    }

    /// Nobody has the session: OPEN by what the token holds.
    fn open_by_token(&mut self, step: &mut Step<'_>) {
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
    fn open_places(
        &mut self,
        owner: Option<PeerGateway>,
        particulars: Particulars,
        step: &mut Step<'_>,
    ) {
        let Some((session, attempt, claim)) = self.claiming() else {
            return;
        };
        if !std::mem::replace(&mut claim.started, true) {
            step.note(Note::SessionStarted {
                session_id: session.id(),
                resumable: true,
                taken_up: true,
            });
        }
        session.identify(particulars.bound, particulars.newest);
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
        let say = ToHolder::Claim {
            count: attempt.count,
            places: attempt.places.iter().map(taken).collect(),
        };
        claim.say(&owner, say, step);
        claim.stage = Stage::Claiming { owner };
        attempt.until = step.now + step.limits().peer_timeout();
    }

    /// "OPEN by what the token holds, and with the ACCEPTs in hand OPENED with the flag GAP"; "where the
    /// gateway is neither the holder nor took over from one and no binding is left: CLOSE 410".
    fn adopt_without_owner(&mut self, step: &mut Step<'_>) {
        let taken = self.claiming().map(|(_, attempt, _)| attempt.has_taken());
        match taken {
            Some(true) => self.adopt(true, step),
            Some(false) => self.fail_claim(Closing::NotResumable, true, step),
            None => {}
        }
    }

    fn handed_over(&mut self, handed: Box<HandOver>, step: &mut Step<'_>) {
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
