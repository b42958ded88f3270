//! A backend's process: the helper that ships, with a small game behind it.

use std::collections::{BTreeMap, BTreeSet};

use game_gateway::codec::code::Code;
use game_gateway::codec::link::MAX_STATE_BYTES;
use game_gateway::sdk::backend::core::{BackendCore, LinkId, Replies, Service, SessionInfo};

use crate::deeds::Deed;
use crate::dice::Dice;
use crate::network::Item;
use crate::plan::Plan;
use crate::wire::{BackendLearns, Millis, Payload, Side};
use crate::world::{Event, SERVICES, World};

/// How often a backend looks at its windows.
const TIMER: Millis = 1000;

pub(crate) struct Backend {
    pub(crate) core: BackendCore<Game>,
    /// How often it has died.
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) refuses: bool,
    /// Connections to it are not even refused.
    pub(crate) vanished: bool,
    /// It does nothing until then.
    pub(crate) hangs_until: Millis,
    pub(crate) links: BTreeMap<LinkId, (usize, Vec<u8>)>,
    pub(crate) seed: u64,
    pub(crate) transfers: bool,
    pub(crate) at: usize,
}

/// Answers with some frames, and numbers them.
pub(crate) struct Game {
    dice: Dice,
    at: usize,
    pub(crate) life: u32,
    sent: BTreeMap<u64, u64>,
    pub(crate) multicasts: u64,
    pub(crate) sessions: BTreeSet<u64>,
    /// It speaks first, also to those who come back.
    greets: bool,
    /// It hands sessions over, and takes them.
    transfers: bool,
    /// States that it has given away.
    gifts: u64,
    pub(crate) deeds: Vec<Deed>,
}

impl Game {
    pub(crate) fn payload(&mut self, session_id: u64) -> [u8; Payload::LEN] {
        let number = self.sent.entry(session_id).or_default();
        *number += 1;
        Payload {
            player: u32::MAX - 1,
            life: self.life,
            service: (self.at % SERVICES.len()) as u8,
            backend: (self.at / SERVICES.len()) as u8,
            number: *number,
        }
        .encode()
    }

    fn say(&mut self, id: u64, out: &mut Replies<'_>) {
        let payload = self.payload(id);
        let written = out.send(id, &payload);
        let multicast = false;
        self.deeds.push(Deed::Sent {
            id,
            payload,
            multicast,
            written,
        });
    }
}

impl Service for Game {
    fn data(&mut self, session: &SessionInfo, payload: &[u8], out: &mut Replies<'_>) {
        let id = session.session_id;
        self.deeds.push(Deed::Got(id, payload.to_vec()));
        let answers = [0, 1, 1, 1, 2, 3][self.dice.index(6)];
        for _ in 0..answers {
            self.say(id, out);
        }
    }

    fn opened(&mut self, session: &SessionInfo, out: &mut Replies<'_>) {
        let id = session.session_id;
        let (epoch, resumed) = (session.epoch, !self.sessions.insert(id));
        self.deeds
            .push(Deed::Told(id, BackendLearns::Opened { epoch, resumed }));
        if self.greets {
            self.say(id, out);
        }
    }

    fn transfers(&self) -> bool {
        self.transfers
    }

    fn on_transfer(&mut self, session: &SessionInfo, out: &mut Replies<'_>) -> Vec<u8> {
        let id = session.session_id;
        if self.dice.one_in(2) {
            self.say(id, out);
        }
        // No two are alike.
        self.gifts += 1;
        let mut state = vec![self.at as u8];
        state.extend(self.life.to_be_bytes());
        state.extend(self.gifts.to_be_bytes());
        let size = [13, 13, 20, 300, 300, MAX_STATE_BYTES, MAX_STATE_BYTES + 1];
        state.resize(size[self.dice.index(size.len())], 7);
        self.deeds.push(Deed::Gives(id, state.clone()));
        state
    }

    fn on_arrival(&mut self, session: &SessionInfo, state: &[u8]) -> Result<(), Code> {
        let id = session.session_id;
        let codes = [404, 410, 440, 503, 4000];
        let code = Code(codes[self.dice.index(codes.len())]);
        let refused = self.dice.one_in(5).then_some(code);
        self.deeds.push(Deed::Takes(id, state.to_vec(), refused));
        if refused.is_some() {
            self.sessions.remove(&id);
        }
        refused.map_or(Ok(()), Err)
    }

    fn departed(&mut self, session: &SessionInfo) {
        self.sessions.remove(&session.session_id);
        self.moved(session, Code::NORMAL);
    }

    fn moved(&mut self, session: &SessionInfo, code: Code) {
        let told = BackendLearns::Moved { code };
        self.deeds.push(Deed::Told(session.session_id, told));
    }

    fn suspended(&mut self, session: &SessionInfo) {
        self.deeds
            .push(Deed::Told(session.session_id, BackendLearns::Suspended));
    }

    fn ended(&mut self, session: &SessionInfo, code: Code) {
        self.sessions.remove(&session.session_id);
        self.deeds.push(Deed::Told(
            session.session_id,
            BackendLearns::Ended { code },
        ));
    }
}

impl Backend {
    pub(crate) fn new(at: usize, plan: &Plan) -> Backend {
        Backend {
            core: BackendCore::new(game((at, 0), plan.seed, plan.transfers)),
            life: 0,
            alive: true,
            refuses: false,
            vanished: false,
            hangs_until: 0,
            links: BTreeMap::new(),
            seed: plan.seed,
            transfers: plan.transfers,
            at,
        }
    }

    pub(crate) fn takes_links(&self) -> bool {
        self.alive && !self.refuses && !self.vanished
    }

    pub(crate) fn link_up(&mut self) -> LinkId {
        self.core.link_up()
    }
}

pub(crate) fn game((at, life): (usize, u32), seed: u64, transfers: bool) -> Game {
    let mut dice = Dice::new(seed, &[3, at as u64, u64::from(life)]);
    Game {
        greets: dice.one_in(3),
        transfers,
        gifts: 0,
        dice,
        at,
        life,
        sent: BTreeMap::new(),
        multicasts: 0,
        sessions: BTreeSet::new(),
        deeds: Vec::new(),
    }
}

impl World {
    pub(crate) fn backend_reads(&mut self, wire: usize, item: Item) {
        let crate::network::Purpose::Link {
            backend, service, ..
        } = self.wires[wire].purpose
        else {
            return;
        };
        let at = backend * SERVICES.len() + service;
        let Some((life, link)) = self.wires[wire].far else {
            return;
        };
        let (now, link) = (self.now, link as usize);
        let b = &mut self.backends[at];
        if !b.alive || b.life != life {
            return;
        }
        match item {
            Item::Bytes(bytes) => {
                let (_, rest) = b.links.entry(link).or_insert((wire, Vec::new()));
                rest.extend(bytes);
                let used = b.core.received(now, link, rest);
                match used {
                    Ok(used) => drop(rest.drain(..used)),
                    Err(_) => self.backend_loses(at, link, wire),
                }
            }
            Item::End | Item::Lost => self.backend_loses(at, link, wire),
        }
        self.backend_speaks(at);
    }

    fn backend_loses(&mut self, at: usize, link: usize, wire: usize) {
        let now = self.now;
        self.backends[at].core.link_down(now, link);
        self.backends[at].links.remove(&link);
        self.wires[wire].far = None;
        self.cut_from(wire, Side::Remote, 0);
    }

    pub(crate) fn backend_timer(&mut self, at: usize) {
        let now = self.now;
        if self.backends[at].alive {
            self.backends[at].core.timer(now);
            self.backend_speaks(at);
        }
        // Until nothing can come any more.
        if self.now < self.plan.end - 2 * TIMER {
            self.after(TIMER, Event::BackendTimer(at));
        }
    }

    /// Logs what a backend has done, and writes what it has said.
    pub(crate) fn backend_speaks(&mut self, at: usize) {
        let (backend, service) = (at / SERVICES.len(), SERVICES[at % SERVICES.len()]);
        let deeds = std::mem::take(&mut self.backends[at].core.service().deeds);
        for deed in deeds {
            self.counts.frames_up += u64::from(matches!(deed, Deed::Got(..)));
            self.log.see(self.now, &deed.seen(backend, service));
        }
        while let Some(link) = self.backends[at].core.next_ready() {
            let mut bytes = Vec::new();
            self.backends[at].core.take_output(link, &mut bytes);
            let wire = self.backends[at].links.get(&link).map(|(wire, _)| *wire);
            if let Some(wire) = wire {
                self.send(wire, Side::Gateway, bytes);
            }
        }
    }
}
