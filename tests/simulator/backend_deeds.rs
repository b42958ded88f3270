//! What a backend does unasked: sending, binding, closing, leaving, dying.

use std::collections::BTreeSet;

use game_gateway::codec::code::Code;
use game_gateway::sdk::backend::core::BackendCore;

use crate::backend::game;
use crate::deeds::Deed;
use crate::gateway::pool::endpoint;
use crate::wire::{Millis, Payload, Seen, Side};
use crate::world::{BACKENDS, Event, SERVICES, World};

impl World {
    /// A session that a backend has, by chance.
    fn any_session(&mut self, at: usize, pick: u64) -> Option<u64> {
        let sessions = &self.backends[at].core.service().sessions;
        let place = (pick % sessions.len().max(1) as u64) as usize;
        sessions.iter().nth(place).copied()
    }

    /// A backend sends unasked.
    pub(crate) fn backend_sends(&mut self, at: usize, pick: u64, count: u64) {
        let Some(id) = self.any_session(at, pick) else {
            return;
        };
        for _ in 0..count {
            let payload = self.backends[at].core.service().payload(id);
            let service = SERVICES[at % SERVICES.len()];
            let written = self.backends[at]
                .core
                .speak(service, |out| out.send(id, &payload));
            let written = written == Some(true);
            let multicast = false;
            self.backends[at].core.service().deeds.push(Deed::Sent {
                id,
                payload,
                multicast,
                written,
            });
        }
        self.backend_speaks(at);
    }

    pub(crate) fn backend_multicasts(&mut self, at: usize) -> bool {
        let game = self.backends[at].core.service();
        let sessions: Vec<u64> = game.sessions.iter().copied().collect();
        if sessions.is_empty() {
            return false;
        }
        game.multicasts += 1;
        let payload = Payload {
            player: u32::MAX,
            life: game.life,
            service: (at % SERVICES.len()) as u8,
            backend: (at / SERVICES.len()) as u8,
            number: game.multicasts,
        }
        .encode();
        let service = SERVICES[at % SERVICES.len()];
        let mut reached = BTreeSet::new();
        self.backends[at].core.speak(service, |out| {
            // One frame for all; who has a link is found by asking for each alone.
            for id in &sessions {
                if out.multicast(&[*id], &payload) == 1 {
                    reached.insert(*id);
                }
            }
        });
        for id in sessions {
            let (multicast, written) = (true, reached.contains(&id));
            self.backends[at].core.service().deeds.push(Deed::Sent {
                id,
                payload,
                multicast,
                written,
            });
        }
        self.backend_speaks(at);
        true
    }

    pub(crate) fn backend_binds(&mut self, at: usize, pick: u64) -> bool {
        let Some(id) = self.any_session(at, pick) else {
            return false;
        };
        let (user_id, realm_id) = (1000 + (pick >> 8) % 3, ((pick >> 16) % 3) as u32);
        let service = SERVICES[at % SERVICES.len()];
        let said = self.backends[at]
            .core
            .speak(service, |out| out.bind(id, user_id, realm_id));
        if said == Some(true) {
            self.backends[at]
                .core
                .service()
                .deeds
                .push(Deed::Binds(id, user_id, realm_id));
        }
        self.backend_speaks(at);
        said == Some(true)
    }

    pub(crate) fn backend_closes(&mut self, at: usize, pick: u64) -> bool {
        let Some(id) = self.any_session(at, pick) else {
            return false;
        };
        let code = Code([0, 440, 4000][(pick >> 8) as usize % 3]);
        let service = SERVICES[at % SERVICES.len()];
        self.backends[at]
            .core
            .speak(service, |out| out.close(id, code, "enough"));
        let game = self.backends[at].core.service();
        game.sessions.remove(&id);
        game.deeds.push(Deed::Closes(id, code));
        self.backend_speaks(at);
        true
    }

    /// TRANSFER of some session, to where `to` says.
    pub(crate) fn backend_transfers(&mut self, at: usize, pick: u64, to: u64) -> bool {
        let Some(id) = self.any_session(at, pick) else {
            return false;
        };
        let (backend, service) = (at / SERVICES.len(), at % SERVICES.len());
        let fleet = self.plan.fleet > 0 && backend < BACKENDS && (to >> 8).is_multiple_of(2);
        let other = if fleet {
            BACKENDS
        } else {
            (backend + 1) % BACKENDS
        };
        let other = endpoint(other, service).to_string();
        let to = match to % 10 {
            0..=4 => other,
            5..=6 => String::new(),
            7 => endpoint(backend, service).to_string(),
            8 => endpoint(backend, (service + 1) % SERVICES.len()).to_string(),
            _ => "10.66.0.1:7000".to_owned(),
        };
        let core = &mut self.backends[at].core;
        let said = core.speak(SERVICES[service], |out| out.transfer(id, &to));
        self.backend_speaks(at);
        said == Some(true)
    }

    /// ASSIGN of some session's service, to where `to` says.
    pub(crate) fn backend_assigns(&mut self, at: usize, pick: u64, to: u64) -> bool {
        let Some(id) = self.any_session(at, pick) else {
            return false;
        };
        let its = at % SERVICES.len();
        let service = match to % 8 {
            0..=3 => SERVICES[(its + 1) % SERVICES.len()],
            4..=6 => SERVICES[its],
            _ => "lobby",
        };
        let place = SERVICES.iter().position(|name| *name == service);
        let to = match (to >> 8) % 8 {
            7 => "nowhere".to_owned(),
            to => endpoint(to as usize % self.plan.backends(), place.unwrap_or(its)).to_string(),
        };
        let core = &mut self.backends[at].core;
        let said = core.speak(SERVICES[its], |out| out.assign(id, service, &to));
        self.backend_speaks(at);
        said == Some(true)
    }

    /// Its process does nothing for a while.
    pub(crate) fn backend_hangs(&mut self, at: usize, millis: Millis) {
        let (backend, until) = (at / SERVICES.len(), self.now + millis);
        self.see(&Seen::BackendUnreachable { backend, until });
        let b = &mut self.backends[at];
        b.hangs_until = b.hangs_until.max(until);
    }

    /// It takes no new sessions; `moves`: those that it has are to go.
    pub(crate) fn backend_goes_away(&mut self, at: usize, moves: bool) {
        self.backends[at].core.leave(moves);
        self.see(&Seen::BackendGoesAway {
            backend: at / SERVICES.len(),
        });
        self.backend_speaks(at);
    }

    /// Both services of a backend lose their process.
    pub(crate) fn backend_dies(&mut self, backend: usize, down: Millis, within: Millis) {
        let cores = backend * SERVICES.len()..(backend + 1) * SERVICES.len();
        if cores.clone().any(|at| !self.backends[at].alive) {
            return;
        }
        self.see(&Seen::BackendDied { backend });
        for at in cores {
            let b = &mut self.backends[at];
            b.life += 1;
            b.alive = false;
            let links = std::mem::take(&mut b.links);
            b.core = BackendCore::new(game((b.at, b.life), b.seed, b.transfers));
            b.hangs_until = 0;
            for (_, (wire, _)) in links {
                self.wires[wire].far = None;
                self.cut_from(wire, Side::Remote, within);
            }
            self.after(down, Event::BackendBorn(at));
        }
    }

    pub(crate) fn backend_born(&mut self, at: usize) {
        self.backends[at].alive = true;
        if at.is_multiple_of(SERVICES.len()) {
            let backend = at / SERVICES.len();
            self.see(&Seen::BackendBorn { backend });
        }
    }
}
