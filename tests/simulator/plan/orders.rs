//! Sessions that are sent elsewhere by operators, to servers that no rule names, and by several backends that leave at
//! once; what happens in the middle of that: claims, kicks, bans, short memory; players that cannot resume. One seed in
//! five has such a run, by a stream of its own, so that all other seeds keep theirs.

use super::moves::says_of;
use super::{Plan, What};
use crate::dice::Dice;
use crate::wire::Millis;
use crate::world::{BACKENDS, GATEWAYS, SERVICES};

/// Time for two things that cross.
const CROSSING: Millis = 4_000;

impl Plan {
    pub(super) fn orders(&mut self) {
        // A stream by which no kept seed of before has such a run.
        let mut dice = Dice::new(self.seed, &[332_065]);
        if !dice.one_in(5) || self.stage.is_some() {
            return;
        }
        self.transfers = !dice.one_in(8);
        self.fleet = dice.index(2);
        if dice.one_in(3) {
            self.plain = dice.next();
        }
        if !dice.one_in(3) {
            // Nothing else goes wrong, so that nothing else hides it.
            self.items.retain(|(_, what)| what.fault().is_none());
        }
        if dice.one_in(2) {
            return self.crossings(&mut dice);
        }
        if dice.one_in(2) {
            // Who loses a connection is back in the middle of a move.
            (self.cut_noticed, self.first_wait) = (0, 20);
        }
        for _ in 0..dice.between(1, 8) {
            let at = dice.between(300, self.quiet_at);
            self.sends_elsewhere(at, &mut dice);
        }
        for _ in 0..[0, 0, 1, 2][dice.index(4)] {
            let at = dice.between(300, self.quiet_at);
            let short = short_of_memory(&mut dice);
            self.moves_at(at, short);
        }
    }

    /// Nothing is wrong but that two things cross, again and again.
    fn crossings(&mut self, dice: &mut Dice) {
        self.items.retain(|(_, what)| what.fault().is_none());
        (self.peer_channel, self.slow, self.plain) = (true, None, 0);
        (self.cut_noticed, self.first_wait) = (0, 20);
        (self.resume_window, self.give_up_after) = (20_000, 30_000);
        (self.player_timeout, self.transfers) = (12_000, true);
        if dice.one_in(2) {
            (self.delays, self.replay_bytes, self.outbound_queue) = ((20, 400), 65_536, 65_536);
        }
        let what = dice.below(7);
        for time in 0..self.quiet_at / CROSSING {
            self.crosses(time * CROSSING + 500, what, dice);
        }
    }

    fn crosses(&mut self, at: Millis, what: u64, dice: &mut Dice) {
        let (pick, cores) = (dice.next(), self.backends() * SERVICES.len());
        let soon = at + 1_000 + dice.below(600);
        let cut = What::CutClient { pick };
        for service in 0..SERVICES.len() * usize::from(what != 0) {
            self.moves_at(at, says_of(dice.index(self.players), service, 1));
        }
        match what {
            // An assignment of a service that was not used yet, a claim, and its first use.
            0 => {
                let core = dice.index(BACKENDS) * SERVICES.len();
                self.items.retain(|(_, what)| match what {
                    What::PlayerSays { service, .. } => *service == 0,
                    _ => true,
                });
                let to = dice.below(BACKENDS as u64) << 8;
                self.moves_at(at, What::Assign { core, pick, to });
                self.moves_at(at + 300, cut);
                for player in 0..self.players {
                    self.moves_at(soon + 1_500, says_of(player, 1, 1));
                }
            }
            // A claim and a move.
            1 => {
                self.moves_at(soon, cut);
                for core in 0..cores {
                    let (then, to) = (soon + dice.below(900), 0);
                    self.moves_at(then, What::Transfer { core, pick, to });
                }
            }
            // A server that has another service moved, and is moved itself.
            2 => {
                for core in 0..cores {
                    let to = dice.below(3) << 8;
                    self.moves_at(soon, What::Assign { core, pick, to });
                    self.moves_at(soon + dice.below(2), What::Transfer { core, pick, to });
                }
            }
            // A claim, and the loss of its own connection.
            3 => {
                self.moves_at(soon, cut);
                for _ in 0..3 {
                    self.moves_at(soon + dice.below(1_200), cut);
                }
            }
            // A ban, and the news who somebody is.
            4 => {
                let (gateway, user_id, millis) = (dice.index(GATEWAYS), 1_000, CROSSING);
                let ban = What::Ban {
                    gateway,
                    user_id,
                    millis,
                };
                self.moves_at(at, ban);
                for core in 0..cores {
                    self.moves_at(soon, What::Bind { core, pick: 0 });
                }
                self.moves_at(soon + 700, says_of(dice.index(self.players), 0, 2));
            }
            // A resume, and no memory.
            _ => {
                for gateway in 0..GATEWAYS {
                    let (millis, ring) = (dice.between(200, 2_500), [0, 150][dice.index(2)]);
                    let short = What::MemoryShort {
                        gateway,
                        millis,
                        ring,
                    };
                    self.moves_at(soon + dice.below(300), short);
                }
                self.moves_at(soon + dice.below(300), cut);
                for core in 0..cores {
                    let (then, count) = (soon + dice.below(900), 2);
                    self.moves_at(then, What::BackendSends { core, pick, count });
                }
            }
        }
    }

    fn any_core(&self, dice: &mut Dice) -> usize {
        dice.index(self.backends() * SERVICES.len())
    }

    /// Sessions are to go elsewhere, and something happens meanwhile.
    fn sends_elsewhere(&mut self, at: Millis, dice: &mut Dice) {
        let (player, service) = (dice.index(self.players), dice.index(SERVICES.len()));
        for _ in 0..dice.between(0, 3) {
            let soon = at.saturating_sub(100) + dice.below(300);
            self.moves_at(soon, says_of(player, service, 1));
        }
        let core = self.any_core(dice);
        if dice.one_in(2) {
            // The new server is slow to answer, so that the move has a middle.
            let (core, millis) = (self.any_core(dice), [300, 900, 1_900][dice.index(3)]);
            self.moves_at(at, What::BackendHangs { core, millis });
        }
        match dice.below(6) {
            0 | 1 => {
                let (pick, to) = (dice.next(), dice.next());
                self.moves_at(at, What::OperatorAssigns { pick, to });
            }
            2 => self.order_moves(at, core, dice),
            3 => self.several_leave(at, service, dice),
            _ => {
                // A lobby, or the server itself; to the fleet, if there is one.
                let (pick, to) = (dice.next(), dice.next());
                let wish = match dice.below(3) {
                    0 => What::Assign { core, pick, to },
                    _ => What::Transfer { core, pick, to },
                };
                self.moves_at(at, wish);
                self.begin_moves(at, service, dice);
            }
        }
        for _ in 0..[0, 1, 1, 2][dice.index(4)] {
            let within = [3, 30, 300, 2_000][dice.index(4)];
            let soon = at + dice.between(0, within);
            let what = self.in_the_middle(soon, core, dice);
            self.moves_at(soon, what);
        }
    }

    fn order_moves(&mut self, at: Millis, core: usize, dice: &mut Dice) {
        let (gateway, millis) = (dice.index(GATEWAYS), [100, 3_000, 8_000][dice.index(3)]);
        let all = dice.one_in(2);
        for other in 0..GATEWAYS {
            // `?deployment=true`: on all of them.
            if all || other == gateway {
                let soon = at + dice.below(3);
                let order = What::OrderMoves {
                    gateway: other,
                    core,
                    millis,
                };
                self.moves_at(soon, order);
            }
        }
    }

    /// A rollout that does not wait for one before the next.
    fn several_leave(&mut self, at: Millis, service: usize, dice: &mut Dice) {
        let first = dice.index(self.backends());
        for more in 0..dice.between(1, self.backends() as u64) as usize {
            let backend = (first + more) % self.backends();
            let core = backend * SERVICES.len() + service;
            let soon = at + dice.below(50);
            self.moves_at(soon, What::Evacuate { core });
            if dice.one_in(2) {
                // And is replaced.
                let (then, down) = (soon + dice.between(500, 3_000), 50);
                self.moves_at(then, What::BackendDies { backend, down });
            }
        }
    }

    fn in_the_middle(&mut self, at: Millis, core: usize, dice: &mut Dice) -> What {
        let (pick, gateway) = (dice.next(), dice.index(GATEWAYS));
        let player = dice.index(self.players);
        match dice.below(12) {
            0..=3 => What::CutClient { pick },
            4 => What::Kick { pick },
            5 | 6 => {
                // Backends bind sessions to one of three users.
                let (user_id, millis) = (1000 + pick % 3, [200, 5_000, 60_000][dice.index(3)]);
                let binds = dice.index(BACKENDS * SERVICES.len());
                let who = What::Bind {
                    core: binds,
                    pick: pick << 8,
                };
                self.moves_at(at.saturating_sub(dice.below(200)), who);
                self.moves_at(at, says_of(player, core % SERVICES.len(), 2));
                What::Ban {
                    gateway,
                    user_id,
                    millis,
                }
            }
            7 => What::OperatorAssigns {
                pick,
                to: dice.next(),
            },
            8 => What::PlayerCloses { player },
            9 => What::Drain {
                gateway,
                window: 4_000,
                exits: false,
            },
            10 => short_of_memory(dice),
            _ => What::GatewayDies { gateway, back: 700 },
        }
    }

    /// Tells whether the sessions of this player cannot be resumed.
    pub(crate) fn is_plain(&self, player: usize) -> bool {
        (self.plain >> (player % 64)) & 1 == 1
    }
}

fn short_of_memory(dice: &mut Dice) -> What {
    What::MemoryShort {
        gateway: dice.index(GATEWAYS),
        millis: [100, 1_500, 6_000][dice.index(3)],
        ring: [0, 150, 700][dice.index(3)],
    }
}
