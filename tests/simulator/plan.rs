//! All that is going to happen in a run, decided by its seed before it begins: how the world is, what
//! applications do, and what goes wrong. Each item can be left out, which is how a failing run is shrunk.

mod moves;
mod orders;
mod rare;
mod staged;

use std::collections::BTreeSet;

use game_gateway::session::core::Limits;

use crate::dice::Dice;
use crate::network::Purpose;
use crate::wire::Millis;
use crate::world::{BACKENDS, GATEWAYS, SERVICES};
use staged::Stage;

/// Something that an application does, or that goes wrong. `pick` chooses among what there is by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    PlayerSays {
        player: usize,
        service: usize,
        count: u64,
    },
    PlayerCloses {
        player: usize,
    },
    PlayerVanishes {
        player: usize,
    },
    BackendSends {
        core: usize,
        pick: u64,
        count: u64,
    },
    Multicast {
        core: usize,
    },
    Bind {
        core: usize,
        pick: u64,
    },
    BackendCloses {
        core: usize,
        pick: u64,
    },
    BackendDies {
        backend: usize,
        down: Millis,
    },
    BackendRefuses {
        core: usize,
        millis: Millis,
    },
    BackendVanishes {
        core: usize,
        millis: Millis,
    },
    BackendGoesAway {
        core: usize,
    },
    /// GOAWAY 01.
    Evacuate {
        core: usize,
    },
    BackendHangs {
        core: usize,
        millis: Millis,
    },
    Transfer {
        core: usize,
        pick: u64,
        to: u64,
    },
    Assign {
        core: usize,
        pick: u64,
        to: u64,
    },
    CutClient {
        pick: u64,
    },
    CutClientFromGateway {
        pick: u64,
    },
    CutLink {
        pick: u64,
    },
    StuffLink {
        pick: u64,
        millis: Millis,
    },
    SlowWire {
        pick: u64,
        millis: Millis,
    },
    GatewayDies {
        gateway: usize,
        back: Millis,
    },
    GatewayStalls {
        gateway: usize,
        millis: Millis,
    },
    Drain {
        gateway: usize,
        window: Millis,
        exits: bool,
    },
    Kick {
        pick: u64,
    },
    GiveUp {
        pick: u64,
    },
    ClientPanics {
        pick: u64,
        told: bool,
    },
    RegistryPanics {
        gateway: usize,
        millis: Millis,
        gives_up: bool,
    },
    RegistrySlow {
        gateway: usize,
        millis: Millis,
    },
    PeersParted {
        a: usize,
        b: usize,
        millis: Millis,
    },
    PeersSlow {
        pick: u64,
        millis: Millis,
    },
    Thief {
        pick: u64,
        gateway: usize,
    },
    /// An operator's drain with `move`.
    OrderMoves {
        gateway: usize,
        core: usize,
        millis: Millis,
    },
    /// An operator's ASSIGN.
    OperatorAssigns {
        pick: u64,
        to: u64,
    },
    Ban {
        gateway: usize,
        user_id: u64,
        millis: Millis,
    },
    MemoryShort {
        gateway: usize,
        millis: Millis,
        ring: usize,
    },
}

impl What {
    /// Its name where it is a fault; every one must happen in the runs of a test.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        Some(match self {
            What::PlayerSays { .. } | What::BackendSends { .. } => return None,
            What::PlayerCloses { .. } => "player closes",
            What::PlayerVanishes { .. } => "player vanishes",
            What::Multicast { .. } => "MULTICAST",
            What::Bind { .. } => "BIND",
            What::BackendCloses { .. } => "backend CLOSE",
            What::BackendDies { .. } => "backend restarted",
            What::BackendRefuses { .. } => "backend refuses connections",
            What::BackendVanishes { .. } => "backend unreachable",
            What::BackendGoesAway { .. } => "backend GOAWAY",
            What::Evacuate { .. } => "backend GOAWAY 01",
            What::BackendHangs { .. } => "backend hangs",
            What::Transfer { .. } => "TRANSFER",
            What::Assign { .. } => "ASSIGN",
            What::CutClient { .. } => "client connection cut",
            What::CutClientFromGateway { .. } => "client connection lost at the gateway",
            What::CutLink { .. } => "link lost",
            What::StuffLink { .. } => "link full",
            What::SlowWire { .. } => "connection slow",
            What::GatewayDies { .. } => "gateway died",
            What::GatewayStalls { .. } => "gateway stalled",
            What::Drain { exits: false, .. } => "drain",
            What::Drain { exits: true, .. } => "drain and exit",
            What::Kick { .. } => "kick",
            What::GiveUp { .. } => "suspended session given up",
            What::ClientPanics { .. } => "client actor panicked",
            What::RegistryPanics { .. } => "registry shard panicked",
            What::RegistrySlow { .. } => "registry slow",
            What::PeersParted { .. } => "peer gateways parted",
            What::PeersSlow { .. } => "peer connection slow",
            What::Thief { .. } => "used token shown",
            What::OrderMoves { .. } => "drain of a backend with move",
            What::OperatorAssigns { .. } => "assigned by an operator",
            What::Ban { .. } => "ban",
            What::MemoryShort { .. } => "memory short",
        })
    }

    /// All names.
    pub(crate) const FAULTS: [&'static str; 34] = [
        "player closes",
        "player vanishes",
        "MULTICAST",
        "BIND",
        "backend CLOSE",
        "backend restarted",
        "backend refuses connections",
        "backend unreachable",
        "backend GOAWAY",
        "backend GOAWAY 01",
        "backend hangs",
        "TRANSFER",
        "ASSIGN",
        "client connection cut",
        "client connection lost at the gateway",
        "link lost",
        "link full",
        "connection slow",
        "gateway died",
        "gateway stalled",
        "drain",
        "drain and exit",
        "kick",
        "suspended session given up",
        "client actor panicked",
        "registry shard panicked",
        "registry slow",
        "peer gateways parted",
        "peer connection slow",
        "used token shown",
        "drain of a backend with move",
        "assigned by an operator",
        "ban",
        "memory short",
    ];
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) players: usize,
    pub(crate) peer_channel: bool,
    pub(crate) quiet_at: Millis,
    pub(crate) closing_at: Millis,
    pub(crate) end: Millis,
    pub(crate) max_events: u64,
    /// The other side of a cut connection learns of it within.
    pub(crate) cut_noticed: Millis,
    pub(crate) player_timeout: Millis,
    pub(crate) first_wait: Millis,
    pub(crate) give_up_after: Millis,
    delays: (Millis, Millis),
    /// One connection in so many is slow, and how slow.
    slow: Option<(u64, Millis)>,
    replay_bytes: usize,
    outbound_queue: usize,
    resume_window: Millis,
    connect_timeout: Millis,
    stage: Option<Stage>,
    /// Backends hand sessions over.
    pub(crate) transfers: bool,
    /// Servers of each service that its rule does not name, but allows.
    pub(crate) fleet: usize,
    /// Players whose sessions cannot be resumed: one bit each.
    plain: u64,
    pub(crate) items: Vec<(Millis, What)>,
    /// Items that are left out.
    pub(crate) masked: BTreeSet<usize>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Plan {
        let mut dice = Dice::new(seed, &[0]);
        let quiet_at = dice.between(5_000, 30_000);
        let resume_window = [4_000, 10_000, 20_000][dice.index(3)];
        let give_up_after = [5_000, 30_000][dice.index(2)];
        let closing_at = quiet_at + 45_000;
        let mut plan = Plan {
            seed,
            players: dice.between(1, 3) as usize,
            peer_channel: !dice.one_in(6),
            quiet_at,
            closing_at,
            end: closing_at + 90_000,
            max_events: 200_000,
            cut_noticed: [0, 50, 3_000][dice.index(3)],
            player_timeout: [600, 3_000, 12_000][dice.index(3)],
            first_wait: [20, 500, 2_000][dice.index(3)],
            give_up_after,
            delays: [(0, 1), (0, 10), (1, 80), (20, 400)][dice.index(4)],
            slow: [None, None, Some((4, 1_500)), Some((8, 5_000))][dice.index(4)],
            replay_bytes: [200, 700, 65_536, 65_536][dice.index(4)],
            outbound_queue: [600, 65_536, 65_536][dice.index(3)],
            resume_window,
            connect_timeout: 2_000,
            stage: None,
            transfers: false,
            fleet: 0,
            plain: 0,
            items: Vec::new(),
            masked: BTreeSet::new(),
        };
        plan.applications(&mut dice);
        plan.faults(&mut dice);
        plan.be_staged();
        plan.moves();
        plan.orders();
        plan.rare();
        plan
    }

    fn applications(&mut self, dice: &mut Dice) {
        let says = dice.between(4, 30);
        let services = dice.between(1, SERVICES.len() as u64);
        for player in 0..self.players {
            for _ in 0..says {
                // Some of it in the quiet time: sessions must go on.
                let at = dice.between(100, self.quiet_at + 35_000);
                let service = dice.below(services) as usize;
                let count = dice.between(1, 4);
                self.items.push((
                    at,
                    What::PlayerSays {
                        player,
                        service,
                        count,
                    },
                ));
            }
        }
        for _ in 0..dice.between(0, 20) {
            let at = dice.between(100, self.quiet_at + 20_000);
            let (core, pick) = (dice.index(BACKENDS * SERVICES.len()), dice.next());
            let count = dice.between(1, 5);
            self.items
                .push((at, What::BackendSends { core, pick, count }));
        }
    }

    /// A run has some kinds of faults, none of the others, and each more or less often.
    fn faults(&mut self, dice: &mut Dice) {
        let kinds = dice.between(0, 7);
        let often = dice.between(1, 5);
        for _ in 0..kinds {
            let kind = dice.below(28);
            for _ in 0..dice.between(1, often) {
                let at = dice.between(200, self.quiet_at);
                if let Some(what) = Plan::fault(kind, dice) {
                    self.items.push((at, what));
                }
            }
        }
        // Without these nothing is resumed.
        for _ in 0..dice.between(0, 4) {
            let at = dice.between(200, self.quiet_at);
            let pick = dice.next();
            self.items.push((at, What::CutClient { pick }));
        }
    }

    fn fault(kind: u64, dice: &mut Dice) -> Option<What> {
        let gateway = dice.index(GATEWAYS);
        let backend = dice.index(BACKENDS);
        let core = dice.index(BACKENDS * SERVICES.len());
        let (player, pick) = (dice.index(3), dice.next());
        let millis = [50, 700, 2_500, 7_000][dice.index(4)];
        let coin = dice.one_in(2);
        Some(match kind {
            0 => What::PlayerCloses { player },
            1 => What::PlayerVanishes { player },
            2 => What::Multicast { core },
            3 => What::Bind { core, pick },
            4 => What::BackendCloses { core, pick },
            5 => What::BackendDies {
                backend,
                down: millis,
            },
            6 => What::BackendRefuses { core, millis },
            7 => What::BackendVanishes { core, millis },
            8 => What::BackendGoesAway { core },
            9 | 10 => What::CutClient { pick },
            11 => What::CutClientFromGateway { pick },
            12 => What::CutLink { pick },
            13 => What::StuffLink { pick, millis },
            14 => What::SlowWire { pick, millis },
            15 => What::GatewayDies {
                gateway,
                back: millis,
            },
            16 => What::GatewayStalls { gateway, millis },
            17 | 18 => What::Drain {
                gateway,
                window: dice.between(4_000, 12_000),
                exits: coin,
            },
            19 => What::Kick { pick },
            20 => What::GiveUp { pick },
            21 => What::ClientPanics { pick, told: coin },
            22 => What::RegistryPanics {
                gateway,
                millis: millis / 2,
                gives_up: coin,
            },
            23 => What::RegistrySlow { gateway, millis },
            24 => What::PeersParted {
                a: gateway,
                b: (gateway + 1) % GATEWAYS,
                millis,
            },
            25 => What::PeersSlow { pick, millis },
            26 => What::Thief { pick, gateway },
            _ => return None,
        })
    }

    pub(crate) fn times(&self) -> Vec<(usize, Millis)> {
        let kept = |(index, (at, _)): (usize, &(Millis, What))| {
            (!self.masked.contains(&index)).then_some((index, *at))
        };
        self.items.iter().enumerate().filter_map(kept).collect()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_services: 8,
            trust_client_ids: false,
            idle_timeout: 30_000,
            resume_window: self.resume_window,
            connect_timeout: self.connect_timeout,
            replay_bytes: self.replay_bytes,
            outbound_queue: self.outbound_queue.max(self.replay_bytes),
        }
    }

    /// Backends, those included that no rule names.
    pub(crate) fn backends(&self) -> usize {
        BACKENDS + self.fleet
    }

    /// The range of delays of a new connection.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.is_some()
    }

    pub(crate) fn delay(&self, purpose: Purpose, dice: &mut Dice) -> (Millis, Millis) {
        let (least, most) = self.delays;
        match (purpose, self.slow) {
            (_, Some((one_in, most))) if dice.one_in(one_in) => (least, most),
            (Purpose::Client { .. }, _) => (least, most),
            (Purpose::Link { .. } | Purpose::Peer { .. }, _) => (least / 4, most / 4),
        }
    }
}
