//! Sessions that go on at other backends. One seed in five has such a run, by a stream of its own, so that all other
//! seeds keep theirs.

use super::{Plan, What};
use crate::dice::Dice;
use crate::wire::Millis;
use crate::world::{BACKENDS, GATEWAYS, SERVICES};

impl Plan {
    pub(super) fn moves(&mut self) {
        // A stream by which no kept seed of before has such a run.
        let mut dice = Dice::new(self.seed, &[156_590]);
        if !dice.one_in(5) || self.stage.is_some() {
            return;
        }
        self.transfers = !dice.one_in(6);
        if dice.one_in(2) {
            // Nothing else goes wrong, so that nothing else hides it.
            self.items.retain(|(_, what)| what.fault().is_none());
        }
        for _ in 0..dice.between(1, 10) {
            let at = dice.between(300, self.quiet_at);
            // Somebody is to be there.
            let (player, service) = (dice.index(self.players), dice.index(SERVICES.len()));
            let says = dice.between(0, 3);
            for _ in 0..says {
                let (soon, count) = (at.saturating_sub(100) + dice.below(300), 1);
                self.moves_at(soon, says_of(player, service, count));
            }
            self.begin_moves(at, service, &mut dice);
        }
        if dice.one_in(4) {
            let at = dice.between(1_000, self.quiet_at);
            let core = dice.index(BACKENDS * SERVICES.len());
            self.moves_at(at, What::Evacuate { core });
            self.goes_wrong(at, core, &mut dice);
        }
    }

    pub(super) fn moves_at(&mut self, at: Millis, what: What) {
        self.items.push((at.min(self.quiet_at - 1), what));
    }

    /// A backend, or another, says where sessions go; maybe several at a time.
    pub(super) fn begin_moves(&mut self, at: Millis, service: usize, dice: &mut Dice) {
        let backend = dice.index(BACKENDS);
        let (core, pick) = (backend * SERVICES.len() + service, dice.next());
        for _ in 0..[1, 1, 1, 2, 3][dice.index(5)] {
            let soon = at + [0, 0, 1, 30][dice.index(4)];
            // The other backend may have it by now.
            let core = [core, core, dice.index(BACKENDS * SERVICES.len())][dice.index(3)];
            let to = dice.next();
            let wish = match dice.below(3) {
                0 => What::Assign { core, pick, to },
                _ => What::Transfer { core, pick, to },
            };
            self.moves_at(soon, wish);
        }
        self.goes_wrong(at, core, dice);
    }

    /// Something happens while sessions of this backend are being moved.
    fn goes_wrong(&mut self, at: Millis, core: usize, dice: &mut Dice) {
        for _ in 0..[0, 0, 1, 1, 2][dice.index(5)] {
            let within = [3, 30, 300, 3_000][dice.index(4)];
            let soon = at + dice.between(0, within);
            let other = (core + SERVICES.len()) % (BACKENDS * SERVICES.len());
            let its = [core, other][dice.index(2)];
            let (backend, pick) = (its / SERVICES.len(), dice.next());
            let millis = [50, 700, 2_500][dice.index(3)];
            let what = match dice.below(20) {
                0 | 1 => What::BackendDies {
                    backend,
                    down: millis,
                },
                2 => What::BackendRefuses { core: its, millis },
                3 => What::BackendVanishes { core: its, millis },
                4 | 5 => What::BackendHangs { core: its, millis },
                6 => What::BackendCloses { core: its, pick },
                7 => What::Bind { core, pick },
                8 => What::Bind {
                    core: its ^ 1,
                    pick,
                },
                9 => What::Multicast { core: its },
                10 => What::Kick { pick },
                11 | 12 => What::CutClient { pick },
                13 => What::CutLink { pick },
                14 => What::StuffLink { pick, millis },
                15 => What::Drain {
                    gateway: dice.index(GATEWAYS),
                    window: 4_000,
                    exits: dice.one_in(2),
                },
                16 => What::GatewayDies {
                    gateway: dice.index(GATEWAYS),
                    back: millis,
                },
                17 => What::PlayerCloses {
                    player: dice.index(self.players),
                },
                18 => What::ClientPanics { pick, told: false },
                _ => says_of(dice.index(self.players), its % SERVICES.len(), 3),
            };
            self.moves_at(soon, what);
        }
        // Both directions are busy meanwhile.
        for _ in 0..dice.between(0, 4) {
            let soon = at + dice.below(200);
            let (pick, count) = (dice.next(), dice.between(1, 3));
            self.moves_at(soon, What::BackendSends { core, pick, count });
            let player = dice.index(self.players);
            self.moves_at(soon, says_of(player, core % SERVICES.len(), count));
        }
    }
}

pub(super) fn says_of(player: usize, service: usize, count: u64) -> What {
    What::PlayerSays {
        player,
        service,
        count,
    }
}
