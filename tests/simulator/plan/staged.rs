//! Runs that are made for one thing: by chance it hardly happens, or not without much else that hides it. One
//! seed in sixteen has such a run, by streams of its own, so that all other seeds keep theirs.

use super::{Plan, What};
use crate::dice::Dice;
use crate::network::{Purpose, Wire};
use crate::wire::{Millis, Side};
use crate::world::{BACKENDS, GATEWAYS, SERVICES};

/// Time of a session that loses its connections soon.
const LIFE: Millis = 4_500;

/// What a run is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Some links are slow towards backends, some connections towards gateways, and nothing is wrong: a player
    /// is elsewhere before its backend has the session's first OPEN, or its gateway its newest DATA.
    LateOpens,
    /// Gateways are slow to hear each other: a promise is over when the claim comes, and the claimant, which
    /// was refused, asks again.
    LatePeers,
}

impl Plan {
    pub(super) fn be_staged(&mut self) {
        // A stream by which no kept seed has such a run.
        let mut dice = Dice::new(self.seed, &[40]);
        if !dice.one_in(16) {
            return;
        }
        self.peer_channel = true;
        (self.cut_noticed, self.first_wait) = (0, 20);
        (self.delays, self.slow) = ((0, 10), None);
        (self.replay_bytes, self.outbound_queue) = (65_536, 65_536);
        (self.resume_window, self.give_up_after) = (20_000, 30_000);
        self.player_timeout = 12_000;
        self.players = 1;
        self.items.retain(|(_, what)| match what {
            What::PlayerSays { player, .. } => *player == 0,
            _ => what.fault().is_none(),
        });
        if dice.one_in(2) {
            self.stage = Some(Stage::LateOpens);
            self.late_opens(&mut dice);
        } else {
            self.stage = Some(Stage::LatePeers);
            self.connect_timeout = 500;
            self.late_peers(&mut dice);
        }
    }

    fn stages(&mut self, at: Millis, what: What) {
        self.items.push((at.min(self.quiet_at - 1), what));
    }

    /// Sessions begin, and their connections are lost soon after: behind their beginning, or when the player has
    /// just named another service.
    fn late_opens(&mut self, dice: &mut Dice) {
        self.items.retain(|(at, what)| {
            let says = matches!(what, What::PlayerSays { .. });
            !says || *at >= self.quiet_at
        });
        for life in 0..self.quiet_at / LIFE {
            let (at, player) = (life * LIFE + dice.between(1_000, 1_500), 0);
            self.stages(at, What::PlayerCloses { player });
            if dice.one_in(2) {
                for _ in 0..3 {
                    let (soon, pick) = (at + dice.between(100, 2_500), dice.next());
                    self.stages(soon, What::CutClient { pick });
                }
                continue;
            }
            let (then, count) = (at + dice.between(1_500, 2_500), 1);
            for service in 0..SERVICES.len() {
                let says = What::PlayerSays {
                    player,
                    service,
                    count,
                };
                self.stages(then, says);
            }
            let (soon, pick) = (then + dice.between(1, 40), dice.next());
            self.stages(soon, What::CutClient { pick });
        }
        if dice.one_in(3) {
            let (at, gateway) = (dice.between(1_000, self.quiet_at), dice.index(GATEWAYS));
            let (window, exits) = (4_000, false);
            let drain = What::Drain {
                gateway,
                window,
                exits,
            };
            self.stages(at, drain);
        }
    }

    /// Connections are lost, and backends go on sending.
    fn late_peers(&mut self, dice: &mut Dice) {
        for _ in 0..self.quiet_at / 2_000 {
            let (at, pick) = (dice.between(500, self.quiet_at), dice.next());
            self.stages(at, What::CutClient { pick });
        }
        for _ in 0..self.quiet_at / 200 {
            let at = dice.between(500, self.quiet_at);
            let (core, pick, count) = (dice.index(BACKENDS * SERVICES.len()), dice.next(), 1);
            self.stages(at, What::BackendSends { core, pick, count });
        }
    }

    /// Tells whether so much is late that waiting for it is given up.
    pub(crate) fn is_stage_slow(&self) -> bool {
        self.stage == Some(Stage::LatePeers)
    }

    /// Makes a new connection as slow as the run needs it.
    pub(crate) fn be_late(&self, number: usize, wire: &mut Wire) {
        let mut dice = Dice::new(self.seed, &[6, number as u64]);
        match (self.stage, wire.purpose) {
            (None, _) => {}
            (Some(Stage::LateOpens), Purpose::Link { .. }) if dice.one_in(2) => {
                wire.be_late(Side::Remote, (300, 900));
            }
            (Some(Stage::LateOpens), Purpose::Client { .. }) if dice.one_in(2) => {
                wire.be_late(Side::Gateway, (200, 700));
            }
            (Some(Stage::LatePeers), Purpose::Link { .. }) => {
                wire.be_late(Side::Remote, (50, 240));
            }
            (Some(Stage::LatePeers), Purpose::Peer { .. }) => {
                wire.be_late(Side::Remote, (600, 740));
                wire.be_late(Side::Gateway, (600, 740));
            }
            (Some(_), _) => {}
        }
    }
}
