//! What is planned, when its time has come.

use game_gateway::session::closing::Closing;

use crate::gateway::mail::ClientMail;
use crate::network::Purpose;
use crate::plan::What;
use crate::wire::{Millis, Seen, Side};
use crate::world::{Event, SERVICES, World};

pub(crate) fn choose(those: &[usize], pick: u64) -> Option<usize> {
    those
        .get((pick % those.len().max(1) as u64) as usize)
        .copied()
}

impl World {
    pub(crate) fn planned(&mut self, index: usize) {
        let (_, what) = self.plan.items[index];
        if self.log.prints() {
            let item = format!("item {index}: {what:?}");
            self.log.note(self.now, &item);
        }
        let done = self.does(what);
        if let Some(name) = what.fault().filter(|_| done) {
            self.counts.fault(name);
        }
    }

    /// Clients of gateways that live, by choice.
    pub(crate) fn clients_where(
        &self,
        wanted: impl Fn(&crate::gateway::client::Client) -> bool,
    ) -> Vec<usize> {
        let its = |(at, c): (usize, &Option<crate::gateway::client::Client>)| {
            c.as_ref().is_some_and(&wanted).then_some(at)
        };
        self.clients.iter().enumerate().filter_map(its).collect()
    }

    fn wires_where(&self, wanted: impl Fn(&Purpose) -> bool) -> Vec<usize> {
        let its = |at: &usize| {
            let wire = &self.wires[*at];
            !wire.is_cut() && wire.far.is_some() && wanted(&wire.purpose)
        };
        (0..self.wires.len()).filter(its).collect()
    }

    /// Does it; returns whether there was anything to do it to.
    #[expect(clippy::too_many_lines, reason = "one arm a fault")]
    fn does(&mut self, what: What) -> bool {
        match what {
            What::PlayerSays {
                player,
                service,
                count,
            } => self.player_says(player, service, count),
            What::PlayerCloses { player } => {
                return player < self.players.len() && self.player_closes(player);
            }
            What::PlayerVanishes { player } => {
                return player < self.players.len() && self.player_vanishes(player);
            }
            What::BackendSends { core, pick, count } => self.backend_sends(core, pick, count),
            What::Multicast { core } => return self.backend_multicasts(core),
            What::Bind { core, pick } => return self.backend_binds(core, pick),
            What::BackendCloses { core, pick } => return self.backend_closes(core, pick),
            What::BackendDies { backend, down } => {
                self.backend_dies(backend, down, self.plan.cut_noticed);
            }
            What::BackendRefuses { core, millis } => {
                self.unreachable(core, millis);
                self.backends[core].refuses = true;
                self.after(millis, Event::BackendOpens(core));
            }
            What::BackendVanishes { core, millis } => {
                self.unreachable(core, millis);
                self.backends[core].vanished = true;
                self.after(millis, Event::BackendOpens(core));
            }
            What::BackendGoesAway { core } => self.backend_goes_away(core, false),
            What::Evacuate { core } => self.backend_goes_away(core, true),
            What::BackendHangs { core, millis } => self.backend_hangs(core, millis),
            What::Transfer { core, pick, to } => return self.backend_transfers(core, pick, to),
            What::Assign { core, pick, to } => return self.backend_assigns(core, pick, to),
            What::CutClient { pick } => {
                let wires = self.wires_where(|p| matches!(p, Purpose::Client { .. }));
                let Some(wire) = choose(&wires, pick) else {
                    return false;
                };
                self.cut(wire, self.plan.cut_noticed);
            }
            What::CutClientFromGateway { pick } => return self.lose_at_gateway(pick),
            What::CutLink { pick } => {
                let wires = self.wires_where(|p| matches!(p, Purpose::Link { .. }));
                let Some(wire) = choose(&wires, pick) else {
                    return false;
                };
                self.cut(wire, self.plan.cut_noticed);
            }
            What::StuffLink { pick, millis } => return self.stuff(pick, millis),
            What::SlowWire { pick, millis } => {
                let wires = self.wires_where(|p| !matches!(p, Purpose::Peer { .. }));
                let Some(wire) = choose(&wires, pick) else {
                    return false;
                };
                self.see(&Seen::Slow);
                self.wires[wire].delay.1 += millis;
            }
            What::GatewayDies { gateway, back } => {
                self.gateway_dies(gateway, back, self.plan.cut_noticed);
            }
            What::GatewayStalls { gateway, millis } => self.gateway_stalls(gateway, millis),
            What::Drain {
                gateway,
                window,
                exits,
            } => self.gateway_drains(gateway, window, exits),
            What::Kick { pick } => return self.kick(pick),
            What::GiveUp { pick } => {
                let clients = self.clients_where(|c| c.wire.is_none() && !c.ended);
                let Some(client) = choose(&clients, pick) else {
                    return false;
                };
                if let Some(c) = &self.clients[client] {
                    let (gateway, session_id) = (c.gateway, c.core.session_id());
                    self.see(&Seen::GivenUp {
                        gateway,
                        session_id,
                    });
                }
                self.mail_client(client, ClientMail::GiveUp);
            }
            What::ClientPanics { pick, told } => return self.client_panics(pick, told),
            What::RegistryPanics {
                gateway,
                millis,
                gives_up,
            } => {
                if !self.gateways[gateway].alive {
                    return false;
                }
                self.see(&Seen::GatewayPanicked {
                    gateway,
                    session_id: None,
                });
                self.registry_dies(gateway, millis, gives_up);
            }
            What::RegistrySlow { gateway, millis } => {
                self.see(&Seen::Slow);
                self.gateways[gateway].registry_slow_until = self.now + millis;
            }
            What::PeersParted { a, b, millis } => {
                let until = self.now + millis;
                self.see(&Seen::PeersParted {
                    gateways: (a, b),
                    until,
                });
                self.part_peers(a, b, millis, self.plan.cut_noticed);
            }
            What::PeersSlow { pick, millis } => {
                let peers: Vec<usize> = (0..self.peers.len())
                    .map(|at| self.peers[at].wire)
                    .filter(|wire| !self.wires[*wire].is_cut())
                    .collect();
                let Some(wire) = choose(&peers, pick) else {
                    return false;
                };
                self.see(&Seen::Slow);
                self.wires[wire].delay.1 += millis;
            }
            What::Thief { pick, gateway } => return self.steal(pick, gateway),
            What::OrderMoves {
                gateway,
                core,
                millis,
            } => return self.order_moves(gateway, core, millis),
            What::OperatorAssigns { pick, to } => return self.operator_assigns(pick, to),
            What::Ban {
                gateway,
                user_id,
                millis,
            } => return self.ban(gateway, user_id, millis),
            What::MemoryShort {
                gateway,
                millis,
                ring,
            } => return self.memory_is_short(gateway, millis, ring),
        }
        true
    }

    fn unreachable(&mut self, core: usize, millis: Millis) {
        let (backend, until) = (core / SERVICES.len(), self.now + millis);
        self.see(&Seen::BackendUnreachable { backend, until });
    }

    fn lose_at_gateway(&mut self, pick: u64) -> bool {
        let clients = self.clients_where(|c| c.wire.is_some() && !c.ended);
        let Some(client) = choose(&clients, pick) else {
            return false;
        };
        if let Some(wire) = self.clients[client].as_ref().and_then(|c| c.wire) {
            // Keep-alive says so, or a write: whether the core reads or not.
            self.cut_from(wire, Side::Gateway, self.plan.cut_noticed);
            if let Some(c) = &mut self.clients[client] {
                c.eof = true;
            }
            self.mail_client(client, ClientMail::Failed);
        }
        true
    }

    fn stuff(&mut self, pick: u64, millis: Millis) -> bool {
        let links: Vec<usize> = (0..self.links.len())
            .filter(|at| !self.links[*at].is_dead() && !self.links[*at].sessions.is_empty())
            .collect();
        let Some(link) = choose(&links, pick) else {
            return false;
        };
        let wire = self.links[link].wire as u64;
        self.see(&Seen::LinkFull { link: wire });
        self.links[link].stuffed_until = self.now + millis;
        self.after(millis, Event::LinkFlows(link));
        true
    }

    fn kick(&mut self, pick: u64) -> bool {
        let clients = self.clients_where(|c| !c.ended && c.core.session_id() != 0);
        let Some(client) = choose(&clients, pick) else {
            return false;
        };
        if let Some(c) = &self.clients[client] {
            let (gateway, session_id) = (c.gateway, c.core.session_id());
            self.see(&Seen::Kicked {
                gateway,
                session_id,
            });
            self.mail_client(client, ClientMail::Kick(session_id));
        }
        true
    }

    /// The core is dropped in the middle of whatever it did.
    fn client_panics(&mut self, pick: u64, told: bool) -> bool {
        let clients = self.clients_where(|c| !c.ended);
        let Some(client) = choose(&clients, pick) else {
            return false;
        };
        let Some(c) = &self.clients[client] else {
            return false;
        };
        let (gateway, id, wire) = (c.gateway, c.core.session_id(), c.wire);
        let session_id = (id != 0).then_some(id);
        self.see(&Seen::GatewayPanicked {
            gateway,
            session_id,
        });
        if let Some(wire) = wire {
            if told {
                self.part(client, wire, &Closing::Internal);
            } else {
                self.cut_from(wire, Side::Gateway, self.plan.cut_noticed);
            }
        }
        self.client_stops(client);
        true
    }

    /// A stranger shows a token that was used.
    fn steal(&mut self, pick: u64, gateway: usize) -> bool {
        let used: Vec<Vec<u8>> = self
            .players
            .iter()
            .flat_map(|p| p.used.iter().cloned())
            .collect();
        let all: Vec<usize> = (0..used.len()).collect();
        let Some(at) = choose(&all, pick) else {
            return false;
        };
        if !self.gateways[gateway].alive {
            return false;
        }
        let player = self.players.len();
        let wire = self.wire(Purpose::Client { gateway, player });
        self.opened(wire);
        self.after(1, Event::Accept { wire });
        self.send(wire, Side::Gateway, used[at].clone());
        true
    }

    /// The world calms down: what is slow becomes quick.
    pub(crate) fn calm(&mut self) {
        self.quiet = true;
        self.see(&Seen::Quiet);
        for wire in &mut self.wires {
            wire.calm();
        }
        for core in 0..self.backends.len() {
            self.backends[core].refuses = false;
            self.backends[core].vanished = false;
        }
        let _ = SERVICES;
    }
}
