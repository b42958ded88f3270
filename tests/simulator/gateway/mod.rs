//! A gateway: registry, clients around the core, links, the peer channel. Clients, links and connections
//! to peer gateways stand in the world's lists; what is here is the process around them.

pub(crate) mod client;
pub(crate) mod drain;
pub(crate) mod effects;
pub(crate) mod hearing;
pub(crate) mod host;
pub(crate) mod lease;
pub(crate) mod link;
pub(crate) mod link_frames;
pub(crate) mod mail;
pub(crate) mod moves;
pub(crate) mod orders;
pub(crate) mod peer_wires;
pub(crate) mod peers;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod superseding;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use game_gateway::codec::peer::PeerGateway;

use crate::dice::Dice;
use crate::plan::Plan;
use crate::wire::{Millis, Seen, Side};
use crate::world::{Event, World};
use mail::{ClientMail, LinkMail, Mailbox, PeerMail, RegistryMail};
use peers::Calls;
use registry::Shard;

pub(crate) struct Gateway {
    pub(crate) id: String,
    pub(crate) peer_address: Option<String>,
    pub(crate) alive: bool,
    /// How often it has died.
    pub(crate) generation: u32,
    pub(crate) stalled_until: Millis,
    pub(crate) drain: Option<drain::Drain>,
    pub(crate) dice: Dice,
    pub(crate) registry: Shard,
    pub(crate) registry_mail: Mailbox<RegistryMail>,
    /// The registry is slow, or its shard is being rebuilt, until then.
    pub(crate) registry_slow_until: Millis,
    pub(crate) calls: Calls,
    pub(crate) peer_mail: Mailbox<PeerMail>,
    /// Links by worker, service and backend.
    pub(crate) pools: BTreeMap<pool::PoolKey, pool::Pool>,
    /// What is known of endpoints, by service and backend.
    pub(crate) endpoints: BTreeMap<(usize, usize), Rc<lease::Endpoint>>,
    pub(crate) banned: BTreeSet<u64>,
    /// No memory is left until then, and a replay ring may have so many bytes.
    pub(crate) short: (Millis, usize),
    next_worker: usize,
}

impl Gateway {
    pub(crate) fn new(at: usize, plan: &Plan) -> Gateway {
        Gateway {
            id: format!("gw{at}"),
            peer_address: plan.peer_channel.then(|| format!("gw{at}:7100")),
            alive: true,
            generation: 0,
            stalled_until: 0,
            drain: None,
            dice: Dice::new(plan.seed, &[2, at as u64]),
            registry: Shard::default(),
            registry_mail: Mailbox::default(),
            registry_slow_until: 0,
            calls: Calls::default(),
            peer_mail: Mailbox::default(),
            pools: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            banned: BTreeSet::new(),
            short: (0, 0),
            next_worker: 0,
        }
    }

    pub(crate) fn worker(&mut self) -> usize {
        self.next_worker += 1;
        self.next_worker % crate::world::WORKERS
    }

    /// Bytes that a replay ring may have, while memory is short.
    pub(crate) fn ring_bound(&self, now: Millis) -> Option<usize> {
        let (until, ring) = self.short;
        (until > now).then_some(ring)
    }

    /// How long a letter waits in a mailbox.
    fn letter_delay(&mut self) -> Millis {
        match self.dice.below(8) {
            0 => 1,
            1 => self.dice.below(5),
            _ => 0,
        }
    }
}

impl World {
    pub(crate) fn mail_client(&mut self, client: usize, mail: ClientMail) {
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        let delay = self.gateways[c.gateway].letter_delay();
        let at = c.mail.not_before.max(self.now + delay);
        c.mail.not_before = at;
        c.mail.queue.push_back(mail);
        self.at(at, Event::ClientMail(client));
    }

    pub(crate) fn mail_link(&mut self, link: usize, mail: LinkMail) {
        let l = &mut self.links[link];
        let delay = self.gateways[l.gateway].letter_delay();
        let at = l.mail.not_before.max(self.now + delay);
        l.mail.not_before = at;
        l.mail.queue.push_back(mail);
        self.at(at, Event::LinkMail(link));
    }

    pub(crate) fn mail_registry(&mut self, gateway: usize, mail: RegistryMail) {
        let g = &mut self.gateways[gateway];
        let delay = g.letter_delay();
        let soon = (self.now + delay).max(g.registry_slow_until);
        let at = g.registry_mail.not_before.max(soon);
        g.registry_mail.not_before = at;
        g.registry_mail.queue.push_back(mail);
        self.at(at, Event::RegistryMail { gateway });
    }

    pub(crate) fn mail_peers(&mut self, gateway: usize, mail: PeerMail) {
        let g = &mut self.gateways[gateway];
        let delay = g.letter_delay();
        let at = g.peer_mail.not_before.max(self.now + delay);
        g.peer_mail.not_before = at;
        g.peer_mail.queue.push_back(mail);
        self.at(at, Event::PeerMail { gateway });
    }

    pub(crate) fn peer_gateway(&self, gateway: usize) -> PeerGateway {
        let g = &self.gateways[gateway];
        PeerGateway {
            gateway: g.id.clone(),
            address: g.peer_address.clone().unwrap_or_default(),
        }
    }

    /// The process is gone without a word.
    pub(crate) fn gateway_dies(
        &mut self,
        gateway: usize,
        back_after: Millis,
        noticed_within: Millis,
    ) {
        if !self.gateways[gateway].alive {
            return;
        }
        self.see(&Seen::GatewayDied { gateway });
        let g = &mut self.gateways[gateway];
        g.alive = false;
        g.generation += 1;
        g.stalled_until = 0;
        g.drain = None;
        g.registry = Shard::default();
        g.registry_mail = Mailbox::default();
        g.calls = Calls::default();
        g.peer_mail = Mailbox::default();
        g.pools.clear();
        g.endpoints.clear();
        g.banned.clear();
        g.short = (0, 0);
        for client in 0..self.clients.len() {
            if self.clients[client]
                .as_ref()
                .is_some_and(|c| c.gateway == gateway)
            {
                let gone = self.clients[client].take();
                if let Some(wire) = gone.as_ref().and_then(|c| c.wire) {
                    self.cut_from(wire, Side::Gateway, noticed_within);
                }
            }
        }
        for link in 0..self.links.len() {
            if self.links[link].gateway == gateway && !self.links[link].is_dead() {
                self.links[link].kill();
                let wire = self.links[link].wire;
                if self.wires[wire].far.is_some() {
                    self.cut_from(wire, Side::Gateway, noticed_within);
                }
            }
        }
        // Nobody is left who would take what the leases have said.
        self.post.borrow_mut().clear();
        self.peers_of_the_dead(gateway, noticed_within);
        for wire in 0..self.wires.len() {
            if let crate::network::Purpose::Client { gateway: its, .. } = self.wires[wire].purpose
                && its == gateway
            {
                self.cut_from(wire, Side::Gateway, noticed_within);
            }
        }
        self.after(back_after, Event::GatewayBorn(gateway));
    }

    pub(crate) fn gateway_born(&mut self, gateway: usize) {
        let g = &mut self.gateways[gateway];
        if !g.alive {
            g.alive = true;
            self.see(&Seen::GatewayBorn { gateway });
        }
    }

    pub(crate) fn gateway_stalls(&mut self, gateway: usize, millis: Millis) {
        if self.gateways[gateway].alive {
            // A stall within a longer one ends with that: what waits for the longer one keeps its place.
            let until = self.gateways[gateway].stalled_until.max(self.now + millis);
            self.gateways[gateway].stalled_until = until;
            self.see(&Seen::GatewayStalls { gateway, until });
        }
    }
}
