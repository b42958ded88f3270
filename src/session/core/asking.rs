//! A claim towards peer gateways: who has the session, and what they answer.

use super::claiming::{Stage, is_here};
use super::{BackendClose, Core, Hold, Step};
use crate::codec::code::Code;
use crate::codec::peer::{Particulars, PeerGateway, ToClaimant, ToOwner};
use crate::session::closing::Closing;

/// Maximum number of moves that are followed in the search for an owner.
const MAX_MOVES: u8 = 4;

impl<L: Hold> Core<L> {
    /// Asks the next gateway that may have the session; without one its backends must do.
    pub(super) fn ask_next(&mut self, then: Option<PeerGateway>, moves: u8, step: &mut Step<'_>) {
        match then {
            Some(to) => self.ask(to, None, moves, step),
            None => self.open_by_token(step),
        }
    }

    /// Asks a gateway for the session.
    pub(super) fn ask(
        &mut self,
        to: PeerGateway,
        then: Option<PeerGateway>,
        moves: u8,
        step: &mut Step<'_>,
    ) {
        let Some((_, attempt, claim)) = self.claiming() else {
            return;
        };
        attempt.until = step.now + step.limits().peer_timeout();
        // A gateway that does not answer is not asked a second time.
        let then = then.filter(|next| *next != to);
        claim.calls.push((step.host.next_call(), to.clone()));
        let token_epoch = attempt.token_epoch;
        claim.say(&to, ToOwner::Ask { token_epoch }, step);
        claim.stage = Stage::Asking {
            whom: to,
            then,
            moves,
        };
    }

    /// A peer gateway answers on a call, or (`None`) cannot be reached.
    pub fn peer_response(&mut self, call: u64, said: Option<ToClaimant>, step: &mut Step<'_>) {
        let Some((_, _, claim)) = self.claiming() else {
            return;
        };
        let from = claim.calls.iter().find(|(number, _)| *number == call);
        let Some((_, from)) = from.cloned() else {
            return;
        };
        let is_newest = claim.newest_call(&from) == Some(call);
        if said.as_ref().is_some_and(ToClaimant::ends) {
            claim.calls.retain(|(number, _)| *number != call);
        }
        if !is_newest {
            return self.older_response(call, &from, said, step);
        }
        let Some(said) = said else {
            return self.peer_lost(&from, step);
        };
        match said {
            ToClaimant::Holds { epoch, particulars } => {
                self.held_there(from, epoch, particulars, step);
            }
            ToClaimant::HoldsMore { particulars } if claim.claims_from(&from) => {
                self.open_places(Some(from), particulars, step);
            }
            ToClaimant::Handover(handed) if claim.claims_from(&from) => {
                self.handed_over(handed, step);
            }
            ToClaimant::Ended { code } if claim.owner() == Some(&from) => {
                let close = BackendClose {
                    code: Code(code),
                    retry_after_ms: 0,
                    text: Box::default(),
                };
                // It has ended there already.
                self.stop_claiming_from(&from);
                self.ended_while_claimed(close, step);
            }
            ToClaimant::Refused if claim.claims_from(&from) => {
                self.fail_claim(Closing::ResumeBusy, false, step);
            }
            ToClaimant::HoldsMore { .. }
            | ToClaimant::Handover(_)
            | ToClaimant::Ended { .. }
            | ToClaimant::Refused => {}
            ToClaimant::Moved { gateway, address } => {
                let to = PeerGateway { gateway, address };
                self.moved_on(&from, to, step);
            }
            ToClaimant::Unknown => self.not_there(&from, step),
            ToClaimant::Busy if self.asks(&from) => {
                self.fail_claim(Closing::ResumeBusy, false, step);
            }
            ToClaimant::NotGood if self.asks(&from) => {
                self.fail_claim(Closing::NotResumable, true, step);
            }
            ToClaimant::Busy | ToClaimant::NotGood => {}
        }
    }

    /// Handles a response on an older call to a gateway that was asked again since. A promise counts even
    /// so, and the response to the newer call is then ignored; nothing else on an older call counts.
    fn older_response(
        &mut self,
        call: u64,
        from: &PeerGateway,
        said: Option<ToClaimant>,
        step: &mut Step<'_>,
    ) {
        let Some(ToClaimant::Holds { epoch, particulars }) = said else {
            return;
        };
        let asks = self.asks(from);
        let Some((_, _, claim)) = self.claiming() else {
            return;
        };
        let give_up = claim.giving_up();
        if asks {
            claim.say(from, give_up, step);
            claim.renew_call(call);
            self.held_there(from.clone(), epoch, particulars, step);
        } else {
            claim.say_on(call, from, give_up, step);
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
                claim.say(&from, claim.giving_up(), step);
            }
            return;
        }
        let user_id = particulars.bound.user_id_or(particulars.newest);
        if step.bans_user(user_id, particulars.bound.user_id != 0) {
            // Nothing is opened yet: its owner, which may have no such ban, keeps it.
            return self.close(Closing::Banned, step);
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

    pub(super) fn not_there(&mut self, from: &PeerGateway, step: &mut Step<'_>) {
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
    pub(super) fn peer_lost(&mut self, from: &PeerGateway, step: &mut Step<'_>) {
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
}
