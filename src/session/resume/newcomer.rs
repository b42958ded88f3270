//! A connection that wants a session back: it finds the holder, opens the session on its backends, and
//! takes it over.
//!
//! ```text
//!                Holds                      all answered             handed over
//!   Asking ─────────────────▶ Opening ───────────────────▶ Claiming ─────────────▶ Over: Adopt
//!    │  ▲ │ nobody has it        │   ▲                        │  │
//!    └──┘ └───▶ Opening          │   └──── there are more ────┘  └─ no answer ──▶ Over: Adopt, GAP
//!   Moved      (no holder) ──────┴─ without a holder ─▶ Over: Adopt, GAP
//! ```
//!
//! A newcomer whose own connection breaks goes on: the session is then suspended here.

use smallvec::SmallVec;

use super::{Answer, Holder, MAX_MOVES, Millis, NewcomerAction as Do, Numbering, Place, Timing};
use crate::codec::code::Code;

/// A resume under way.
#[derive(Debug)]
pub struct Newcomer<G> {
    timing: Timing,
    token_epoch: u32,
    epoch: u32,
    stage: Stage<G>,
    places: SmallVec<[Place; 2]>,
    /// How many bindings the token has.
    bindings: usize,
    until: Millis,
}

#[derive(Debug)]
enum Stage<G> {
    Asking {
        whom: G,
        /// Whom to ask when that one does not know.
        then: Option<G>,
        moves: u8,
    },
    Opening {
        holder: Option<G>,
    },
    Claiming {
        holder: G,
    },
    Adopted {
        gap: bool,
    },
    Failed,
}

impl<G: Clone + PartialEq> Newcomer<G> {
    /// A client comes with a token of `token_epoch` that holds so many `bindings`. `here` is asked
    /// first, then the token's own gateway, where that is another one.
    pub fn new(
        now: Millis,
        timing: Timing,
        token_epoch: u32,
        bindings: usize,
        here: G,
        token_gateway: G,
    ) -> (Newcomer<G>, Vec<Do<G>>) {
        let then = (token_gateway != here).then_some(token_gateway);
        let newcomer = Newcomer {
            timing,
            token_epoch,
            epoch: token_epoch.saturating_add(1),
            stage: Stage::Asking {
                whom: here.clone(),
                then,
                moves: 0,
            },
            places: SmallVec::new(),
            bindings,
            until: now + timing.peer(),
        };
        (newcomer, vec![Do::Ask(here)])
    }

    /// The epoch of its OPENs.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How far each service is, by place.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether the session may be on its way here. Until that is known, another gateway that asks for it
    /// is answered [`Answer::Busy`]: a holder that says "moved" may be quicker than its hand-over.
    pub fn is_taking(&self) -> bool {
        matches!(
            self.stage,
            Stage::Opening { .. } | Stage::Claiming { .. } | Stage::Adopted { .. }
        )
    }

    /// When [`on_time`](Self::on_time) is due.
    pub fn deadline(&self) -> Option<Millis> {
        match self.stage {
            Stage::Asking { .. } | Stage::Opening { .. } | Stage::Claiming { .. } => {
                Some(self.until)
            }
            Stage::Adopted { .. } | Stage::Failed => None,
        }
    }

    /// The session's holder from now on; none unless it was adopted. `numbering` is what was handed
    /// over, or the default; `sent` frames had been sent before what is replayed now.
    pub fn into_holder<H>(self, mut numbering: Numbering, sent: u64) -> Option<Holder<H>>
    where
        H: Clone + PartialEq,
    {
        let Stage::Adopted { gap } = self.stage else {
            return None;
        };
        if gap {
            numbering.restart(self.epoch, sent);
        }
        let (epoch, token_epoch) = (self.epoch, self.token_epoch);
        Some(Holder::resumed(self.timing, epoch, token_epoch, numbering))
    }

    /// A gateway answers. `bindings`: how many it names, where it holds the session.
    pub fn answered(
        &mut self,
        now: Millis,
        from: &G,
        answer: Answer<G>,
        bindings: usize,
    ) -> Vec<Do<G>> {
        let Stage::Asking { whom, then, moves } = &mut self.stage else {
            return self.answered_late(from, &answer);
        };
        if whom != from {
            return self.answered_late(from, &answer);
        }
        match answer {
            Answer::Holds { epoch } => {
                self.epoch = epoch;
                let holder = Some(from.clone());
                self.open(now, holder, bindings)
            }
            Answer::Moved(to) if *moves < MAX_MOVES => {
                *whom = to.clone();
                *moves += 1;
                self.until = now + self.timing.peer();
                vec![Do::Ask(to)]
            }
            Answer::Moved(_) => self.open(now, None, self.bindings),
            Answer::Unknown => match then.take() {
                Some(next) => {
                    *whom = next.clone();
                    self.until = now + self.timing.peer();
                    vec![Do::Ask(next)]
                }
                None => self.open(now, None, self.bindings),
            },
            Answer::Busy => self.fail(Code::UNAVAILABLE),
            Answer::NotGood => self.fail(Code::GONE),
        }
    }

    /// It promises what is not wanted from it any more.
    fn answered_late(&self, from: &G, answer: &Answer<G>) -> Vec<Do<G>> {
        let to = from.clone();
        match (&self.stage, answer) {
            (_, Answer::Moved(_) | Answer::Busy | Answer::NotGood | Answer::Unknown) => Vec::new(),
            (Stage::Adopted { .. }, Answer::Holds { .. }) => vec![Do::Supersede(to)],
            (_, Answer::Holds { .. }) => vec![Do::GiveUp { to, stale: false }],
        }
    }

    fn open(&mut self, now: Millis, holder: Option<G>, bindings: usize) -> Vec<Do<G>> {
        let known = self.places.len();
        self.places.resize(bindings.max(known), Place::Waiting);
        self.stage = Stage::Opening { holder };
        self.until = now + self.timing.backend;
        let mut actions: Vec<Do<G>> = (known..bindings).map(Do::Open).collect();
        self.go_on(now, &mut actions);
        actions
    }

    /// Goes on when every OPEN is answered.
    fn go_on(&mut self, now: Millis, actions: &mut Vec<Do<G>>) {
        let Stage::Opening { holder } = &self.stage else {
            return;
        };
        if self.places.contains(&Place::Waiting) {
            return;
        }
        match holder.clone() {
            Some(holder) => {
                actions.push(Do::Claim(holder.clone()));
                self.stage = Stage::Claiming { holder };
                self.until = now + self.timing.peer();
            }
            None => self.adopt_without_holder(actions),
        }
    }

    /// "OPEN by what the token holds, and with the ACCEPTs in hand OPENED with the flag GAP"; "where
    /// the gateway is neither the holder nor took over from one and no binding is left: CLOSE 410".
    fn adopt_without_holder(&mut self, actions: &mut Vec<Do<G>>) {
        if self.places.contains(&Place::Taken) {
            self.stage = Stage::Adopted { gap: true };
            actions.push(Do::Adopt { gap: true });
        } else {
            actions.extend(self.fail(Code::GONE));
        }
    }

    /// ACCEPT came for the service at this place.
    pub fn accepted(&mut self, now: Millis, place: usize) -> Vec<Do<G>> {
        let mut actions = Vec::new();
        if let Some(waiting @ Place::Waiting) = self.places.get_mut(place) {
            *waiting = Place::Taken;
            self.go_on(now, &mut actions);
        }
        actions
    }

    /// The backend of the service at this place sent CLOSE.
    pub fn closed(&mut self, now: Millis, place: usize, code: Code) -> Vec<Do<G>> {
        match (self.places.get(place), code) {
            (None | Some(Place::Dropped), _) => Vec::new(),
            // "A backend that refuses with 410: CLOSE 410."
            (Some(Place::Waiting), Code::GONE) => {
                self.places[place] = Place::Dropped;
                let mut actions = vec![Do::Forget(place)];
                actions.extend(self.fail(Code::GONE));
                actions
            }
            // "One that answers 404 …: its binding is dropped and the client gets ERROR 502 for it".
            (Some(Place::Waiting), Code::NO_ROUTE) => {
                let mut actions = self.drop_place(place, Do::Forget(place));
                self.go_on(now, &mut actions);
                actions
            }
            (Some(Place::Waiting | Place::Taken), code) => {
                self.places[place] = Place::Dropped;
                let mut actions = vec![Do::Forget(place)];
                if let Stage::Opening { holder: Some(to) } | Stage::Claiming { holder: to } =
                    &self.stage
                {
                    actions.push(Do::EndHolder(to.clone(), code));
                }
                actions.extend(self.end(code));
                actions
            }
        }
    }

    /// The link of the service at this place is lost, or cannot be had.
    pub fn link_lost(&mut self, now: Millis, place: usize) -> Vec<Do<G>> {
        let mut actions = Vec::new();
        if let Some(Place::Waiting | Place::Taken) = self.places.get(place) {
            actions = self.drop_place(place, Do::Release(place, Code::BAD_GATEWAY));
            self.go_on(now, &mut actions);
        }
        actions
    }

    fn drop_place(&mut self, place: usize, how: Do<G>) -> Vec<Do<G>> {
        self.places[place] = Place::Dropped;
        vec![how, Do::Error502(place)]
    }

    /// The holder hands the session over.
    pub fn handed_over(&mut self, from: &G, gap: bool) -> Vec<Do<G>> {
        if !self.claims_from(from) {
            return Vec::new();
        }
        self.stage = Stage::Adopted { gap };
        vec![Do::Adopt { gap }]
    }

    /// The holder has bound more services meanwhile; there are `bindings` now, the known ones first.
    pub fn holds_more(&mut self, now: Millis, from: &G, bindings: usize) -> Vec<Do<G>> {
        if !self.claims_from(from) {
            return Vec::new();
        }
        self.open(now, Some(from.clone()), bindings)
    }

    /// The holder has not promised it, or not any more: the client tries again.
    pub fn claim_refused(&mut self, from: &G) -> Vec<Do<G>> {
        if !self.claims_from(from) {
            return Vec::new();
        }
        self.fail(Code::UNAVAILABLE)
    }

    /// The session ended on its holder.
    pub fn claim_ended(&mut self, from: &G, code: Code) -> Vec<Do<G>> {
        if !self.claims_from(from) {
            return Vec::new();
        }
        self.end(code)
    }

    fn claims_from(&self, from: &G) -> bool {
        matches!(&self.stage, Stage::Claiming { holder } if holder == from)
    }

    /// That gateway cannot be reached, or does not answer. Its word is not waited for any longer.
    pub fn peer_lost(&mut self, now: Millis, gateway: &G) -> Vec<Do<G>> {
        let mut actions = Vec::new();
        match &mut self.stage {
            Stage::Asking { whom, .. } if whom == gateway => {
                return self.answered(now, gateway, Answer::Unknown, 0);
            }
            Stage::Opening { holder } if holder.as_ref() == Some(gateway) => *holder = None,
            Stage::Claiming { holder } if holder == gateway => {
                self.adopt_without_holder(&mut actions);
            }
            Stage::Asking { .. } | Stage::Opening { .. } | Stage::Claiming { .. } => {}
            Stage::Adopted { .. } | Stage::Failed => {}
        }
        actions
    }

    /// The clock stands at `now`.
    pub fn on_time(&mut self, now: Millis) -> Vec<Do<G>> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let whom = match &self.stage {
            Stage::Asking { whom, .. } => whom.clone(),
            Stage::Claiming { holder } => holder.clone(),
            // "… or nothing within the connect timeout: its binding is dropped".
            Stage::Opening { .. } => {
                let waiting = |place: &usize| self.places[*place] == Place::Waiting;
                let late: Vec<usize> = (0..self.places.len()).filter(waiting).collect();
                // A resume that fails leaves links whose OPEN may still be taken with 307.
                let taken = self.places.contains(&Place::Taken);
                let fails = matches!(self.stage, Stage::Opening { holder: None }) && !taken;
                let release = |place| match fails {
                    true => Do::Leave(place),
                    false => Do::Release(place, Code::BAD_GATEWAY),
                };
                let mut actions: Vec<Do<G>> = (late.into_iter())
                    .flat_map(|place| self.drop_place(place, release(place)))
                    .collect();
                self.go_on(now, &mut actions);
                return actions;
            }
            Stage::Adopted { .. } | Stage::Failed => return Vec::new(),
        };
        self.peer_lost(now, &whom)
    }

    /// "Links whose OPEN was taken, or may still be, by a resume that then fails are left with 307."
    fn fail(&mut self, code: Code) -> Vec<Do<G>> {
        let mut actions: Vec<Do<G>> = self.open_places().map(Do::Leave).collect();
        if let Stage::Opening { holder: Some(to) } | Stage::Claiming { holder: to } = &self.stage {
            let stale = code == Code::GONE;
            let to = to.clone();
            actions.push(Do::GiveUp { to, stale });
        }
        self.stage = Stage::Failed;
        actions.push(Do::Close(code));
        actions
    }

    /// The session has ended: its backends are told so here, where it is open last.
    fn end(&mut self, code: Code) -> Vec<Do<G>> {
        let mut actions: Vec<Do<G>> = self.open_places().map(|p| Do::Release(p, code)).collect();
        self.stage = Stage::Failed;
        actions.push(Do::Close(code));
        actions
    }

    fn open_places(&self) -> impl Iterator<Item = usize> {
        let open = |(place, how): (usize, &Place)| (*how != Place::Dropped).then_some(place);
        self.places.iter().enumerate().filter_map(open)
    }
}

#[cfg(test)]
#[path = "newcomer_tests.rs"]
mod tests;
