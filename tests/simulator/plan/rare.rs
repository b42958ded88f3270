//! Things that cross on purpose, again and again, because by chance they hardly ever do: answers that come behind their
//! deadlines, claims that end in the middle, a gateway that does not know that its session has gone on elsewhere, one
//! gateway that is short of memory while the others are not. One seed in twelve has such a run, by a stream of its own,
//! so that all other seeds keep theirs.

use super::moves::says_of;
use super::{Plan, What};
use crate::dice::Dice;
use crate::wire::Millis;
use crate::world::{BACKENDS, GATEWAYS, SERVICES};

/// Time for two things that cross.
const CROSSING: Millis = 5_000;
/// Number of kinds.
const KINDS: u64 = 6;

impl Plan {
    pub(super) fn rare(&mut self) {
        // A stream by which no kept seed of before has such a run.
        let mut dice = Dice::new(self.seed, &[138]);
        if !dice.one_in(12) || self.stage.is_some() {
            return;
        }
        self.items.retain(|(_, what)| what.fault().is_none());
        (self.peer_channel, self.slow, self.plain) = (true, None, 0);
        (self.cut_noticed, self.first_wait) = (0, 20);
        (self.resume_window, self.give_up_after) = (20_000, 30_000);
        (self.player_timeout, self.transfers) = (12_000, true);
        (self.replay_bytes, self.outbound_queue) = (65_536, 65_536);
        self.delays = [(0, 10), (20, 400)][dice.index(2)];
        let kind = dice.below(KINDS);
        if kind == 0 {
            self.delays = (0, 10);
        } else if (2..=4).contains(&kind) {
            self.be_alone();
        }
        for time in 0..self.quiet_at / CROSSING {
            let at = time * CROSSING + 1_000 + dice.below(500);
            for service in 0..SERVICES.len() {
                let player = dice.index(self.players);
                self.moves_at(at - 500, says_of(player, service, 1));
            }
            match kind {
                0 => self.late_answers(at, &mut dice),
                1 => self.owner_passed_over(at, &mut dice),
                2 => self.claim_ends(at, &mut dice),
                3 => self.stale_claim(at, &mut dice),
                4 => self.claim_withdrawn(at, &mut dice),
                _ => self.one_is_short(at, &mut dice),
            }
        }
    }

    /// One player, so that what is cut is its connection, and delays in which a claim has a middle.
    fn be_alone(&mut self) {
        (self.players, self.delays) = (1, (20, 400));
        self.items.retain(|(_, what)| match what {
            What::PlayerSays { player, .. } => *player == 0,
            _ => true,
        });
    }

    /// A backend hangs until just behind a deadline of the move, and is asked again meanwhile.
    fn late_answers(&mut self, at: Millis, dice: &mut Dice) {
        let (pick, service) = (dice.next(), dice.index(SERVICES.len()));
        let (old, new) = (service, SERVICES.len() + service);
        let (core, other) = [(old, new), (new, old)][dice.index(2)];
        let slow = [core, other][dice.index(2)];
        // As the deadline passes, when the answer may be on its way inside the gateway; or later.
        let late = [dice.below(14), 6 + dice.below(400)][dice.index(2)];
        let (to, millis) = (dice.below(2) << 8, self.connect_timeout - 6 + late);
        self.moves_at(at, What::Transfer { core, pick, to });
        self.moves_at(at + 1, What::BackendHangs { core: slow, millis });
        let again = at + self.connect_timeout + dice.below(400);
        self.moves_at(again, What::Transfer { core, pick, to });
        for soon in [at + 200, again, again + 200] {
            let player = dice.index(self.players);
            self.moves_at(soon, says_of(player, service, 1));
        }
    }

    /// Without a peer channel the owner does not learn that its session has gone on elsewhere, and moves it.
    fn owner_passed_over(&mut self, at: Millis, dice: &mut Dice) {
        self.peer_channel = false;
        self.moves_at(at, What::CutClient { pick: dice.next() });
        for core in 0..BACKENDS * SERVICES.len() {
            if core / SERVICES.len() != dice.index(BACKENDS) {
                let then = at + 500 + dice.below(1_500);
                for gateway in 0..GATEWAYS {
                    let order = What::OrderMoves {
                        gateway,
                        core,
                        millis: 200,
                    };
                    self.moves_at(then + dice.below(20), order);
                }
            }
        }
    }

    /// A session ends while it is claimed.
    fn claim_ends(&mut self, at: Millis, dice: &mut Dice) {
        let pick = dice.next();
        self.moves_at(at, What::CutClient { pick });
        for _ in 0..3 {
            let (soon, pick) = (at + 100 + dice.below(1_500), dice.next());
            let core = dice.index(BACKENDS * SERVICES.len());
            let end = match dice.below(2) {
                0 => What::Kick { pick },
                _ => What::BackendCloses { core, pick },
            };
            self.moves_at(soon, end);
        }
    }

    /// A player goes on at a gateway that cannot ask the owner, loses that connection before it has its OPENED, and
    /// comes with its old token to a third one, which asks the owner.
    fn stale_claim(&mut self, at: Millis, dice: &mut Dice) {
        for gateway in 0..GATEWAYS {
            if dice.one_in(2) {
                let parted = What::PeersParted {
                    a: gateway,
                    b: (gateway + 1) % GATEWAYS,
                    millis: 300 + dice.below(1_500),
                };
                self.moves_at(at, parted);
            }
        }
        for _ in 0..10 {
            let (soon, pick) = (at + 20 + dice.below(3_000), dice.next());
            self.moves_at(soon, What::CutClient { pick });
        }
    }

    /// A claimant loses its own connection while it asks.
    fn claim_withdrawn(&mut self, at: Millis, dice: &mut Dice) {
        for _ in 0..12 {
            let (soon, pick) = (at + dice.below(3_000), dice.next());
            self.moves_at(soon, What::CutClient { pick });
        }
    }

    /// One gateway is short of memory while a session goes to or from it.
    fn one_is_short(&mut self, at: Millis, dice: &mut Dice) {
        self.moves_at(at, What::CutClient { pick: dice.next() });
        let short = What::MemoryShort {
            gateway: dice.index(GATEWAYS),
            millis: dice.between(200, 900),
            ring: [0, 150, 65_536, 65_536][dice.index(4)],
        };
        self.moves_at(at + 20 + dice.below(700), short);
        for core in 0..BACKENDS * SERVICES.len() {
            for _ in 0..3 {
                let (then, pick, count) = (at + dice.below(1_200), dice.next(), 2);
                self.moves_at(then, What::BackendSends { core, pick, count });
            }
        }
    }
}
