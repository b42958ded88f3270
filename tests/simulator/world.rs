//! The world: all that there is, one clock, one queue of events.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use game_gateway::session::core::{Effect, Limits};
use game_gateway::session::token::Keyring;

use crate::backend::Backend;
use crate::counts::Counts;
use crate::dice::Dice;
use crate::gateway::client::Client;
use crate::gateway::lease::Post;
use crate::gateway::link::Link;
use crate::gateway::{Gateway, peers::PeerWire, pool::PoolKey};
use crate::log::Log;
use crate::network::{Item, Purpose, To, Wire};
use crate::plan::Plan;
use crate::player::Player;
use crate::wire::{Millis, Seen, Side, WireEvent};

pub(crate) const GATEWAYS: usize = 3;
pub(crate) const BACKENDS: usize = 2;
pub(crate) const WORKERS: usize = 2;
pub(crate) const SERVICES: [&str; 2] = ["game", "chat"];

/// Whom an event concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Wire { wire: usize, to: To, number: u64 },
    ClientMail(usize),
    ClientDeadline(usize),
    ClientStops(usize),
    RegistryMail { gateway: usize },
    LinkMail(usize),
    LinkConnected { link: usize, good: bool },
    LinkOverdue(usize),
    LinkFlows(usize),
    Evacuate(usize),
    OwedCloses(usize, PoolKey),
    OrderEnds { gateway: usize, core: usize },
    BanEnds { gateway: usize, user_id: u64 },
    MemoryEases { gateway: usize },
    PeerMail { gateway: usize },
    PeerDialled(usize),
    PeerCheck(usize),
    PeersTick(usize),
    Accept { wire: usize },
    PlayerConnected { wire: usize },
    PlayerRefused { player: usize, life: u32, conn: u64 },
    PlayerTimer(usize),
    PlayerBegins(usize),
    BackendTimer(usize),
    BackendBorn(usize),
    BackendOpens(usize),
    GatewayBorn(usize),
    DrainStep { gateway: usize, generation: u32 },
    Plan(usize),
    Quiet,
    Closing,
}

#[derive(Debug, PartialEq, Eq)]
struct Due {
    at: Millis,
    sequence: u64,
    event: Event,
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

pub(crate) struct World {
    pub(crate) now: Millis,
    queue: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    pub(crate) events: u64,
    pub(crate) plan: Plan,
    pub(crate) limits: Limits,
    pub(crate) keyring: Keyring,
    pub(crate) calls: Cell<u64>,
    pub(crate) log: Log,
    pub(crate) counts: Counts,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) players: Vec<Player>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) clients: Vec<Option<Client>>,
    pub(crate) links: Vec<Link>,
    pub(crate) peers: Vec<PeerWire>,
    pub(crate) post: Post,
    pub(crate) effects: Vec<Effect>,
    /// Gateways that do not reach each other, until then.
    pub(crate) parted: [[Millis; GATEWAYS]; GATEWAYS],
    pub(crate) quiet: bool,
    pub(crate) closing: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, log: Log) -> World {
        let limits = plan.limits();
        let mut world = World {
            now: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            events: 0,
            limits,
            keyring: Keyring::new(&[[7u8; 32]]).unwrap(),
            calls: Cell::new(0),
            log,
            counts: Counts::default(),
            gateways: (0..GATEWAYS).map(|at| Gateway::new(at, &plan)).collect(),
            backends: Vec::new(),
            players: Vec::new(),
            wires: Vec::new(),
            clients: Vec::new(),
            links: Vec::new(),
            peers: Vec::new(),
            post: Rc::new(RefCell::new(Vec::new())),
            effects: Vec::new(),
            parted: [[0; GATEWAYS]; GATEWAYS],
            quiet: false,
            closing: false,
            plan,
        };
        world.people();
        world
    }

    /// Everybody who takes part, and all that is planned.
    fn people(&mut self) {
        for at in 0..self.plan.backends() * SERVICES.len() {
            self.backends.push(Backend::new(at, &self.plan));
            self.at(1000, Event::BackendTimer(at));
        }
        for at in 0..self.plan.players {
            self.players.push(Player::new(at, &self.plan));
            let begins = self.players[at].dice.between(0, 200);
            self.at(begins, Event::PlayerBegins(at));
        }
        if self.plan.is_stage_slow() {
            self.see(&Seen::Slow);
        }
        for (index, at) in self.plan.times() {
            self.at(at, Event::Plan(index));
        }
        self.at(self.plan.quiet_at, Event::Quiet);
        self.at(self.plan.closing_at, Event::Closing);
    }

    /// Has an event happen at a moment.
    pub(crate) fn at(&mut self, at: Millis, event: Event) {
        let at = at.max(self.now);
        self.sequence += 1;
        let sequence = self.sequence;
        self.queue.push(Reverse(Due {
            at,
            sequence,
            event,
        }));
    }

    /// Has an event happen after a while.
    pub(crate) fn after(&mut self, delay: Millis, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn dice(&self, name: &[u64]) -> Dice {
        Dice::new(self.plan.seed, name)
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) {
        self.log.see(self.now, seen);
    }

    /// Lives until nothing is left to do, or `end` is reached. Returns whether anything is left.
    pub(crate) fn run(&mut self, end: Millis) -> bool {
        while let Some(Reverse(due)) = self.queue.pop() {
            if due.at > end || self.events > self.plan.max_events {
                self.queue.push(Reverse(due));
                return true;
            }
            self.now = self.now.max(due.at);
            if let Some(gateway) = self.gateway_of(due.event)
                && self.gateways[gateway].stalled_until > self.now
            {
                // It does all of that later, in the same order.
                let at = self.gateways[gateway].stalled_until;
                self.queue.push(Reverse(Due { at, ..due }));
                continue;
            }
            if let Some(core) = self.backend_of(due.event)
                && self.backends[core].hangs_until > self.now
            {
                let at = self.backends[core].hangs_until;
                self.queue.push(Reverse(Due { at, ..due }));
                continue;
            }
            self.events += 1;
            self.happen(due.event);
            self.deliver_words();
        }
        false
    }

    /// Whose process an event happens in, if it is a backend's.
    fn backend_of(&self, event: Event) -> Option<usize> {
        match event {
            Event::Wire { wire, to, .. } => match (self.wires[wire].purpose, to) {
                (
                    Purpose::Link {
                        backend, service, ..
                    },
                    Side::Remote,
                ) => Some(backend * SERVICES.len() + service),
                _ => None,
            },
            Event::BackendTimer(core) => Some(core),
            _ => None,
        }
    }

    /// Whose process an event happens in, if it is a gateway's.
    fn gateway_of(&self, event: Event) -> Option<usize> {
        match event {
            Event::Wire { wire, to, .. } => match (self.wires[wire].purpose, to) {
                (
                    Purpose::Client { gateway, .. } | Purpose::Link { gateway, .. },
                    Side::Gateway,
                ) => Some(gateway),
                (Purpose::Client { .. } | Purpose::Link { .. }, Side::Remote) => None,
                (Purpose::Peer { from, .. }, Side::Gateway) => Some(from),
                (Purpose::Peer { to, .. }, Side::Remote) => Some(to),
            },
            Event::ClientMail(client)
            | Event::ClientDeadline(client)
            | Event::ClientStops(client) => self.clients[client].as_ref().map(|c| c.gateway),
            Event::LinkMail(link)
            | Event::LinkConnected { link, .. }
            | Event::LinkOverdue(link)
            | Event::LinkFlows(link)
            | Event::Evacuate(link) => Some(self.links[link].gateway),
            Event::RegistryMail { gateway }
            | Event::PeerMail { gateway }
            | Event::PeersTick(gateway)
            | Event::OwedCloses(gateway, _)
            | Event::OrderEnds { gateway, .. }
            | Event::BanEnds { gateway, .. }
            | Event::MemoryEases { gateway }
            | Event::DrainStep { gateway, .. } => Some(gateway),
            Event::PeerDialled(peer) | Event::PeerCheck(peer) => Some(self.peers[peer].from),
            Event::Accept { wire } => match self.wires[wire].purpose {
                Purpose::Client { gateway, .. } => Some(gateway),
                Purpose::Link { .. } | Purpose::Peer { .. } => None,
            },
            Event::PlayerConnected { .. }
            | Event::PlayerRefused { .. }
            | Event::PlayerTimer(_)
            | Event::PlayerBegins(_)
            | Event::BackendTimer(_)
            | Event::BackendBorn(_)
            | Event::BackendOpens(_)
            | Event::GatewayBorn(_)
            | Event::Plan(_)
            | Event::Quiet
            | Event::Closing => None,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wire { wire, to, number } => self.arrive(wire, to, number),
            Event::ClientMail(client) => self.client_mail(client),
            Event::ClientDeadline(client) => self.client_deadline(client),
            Event::ClientStops(client) => self.client_stops(client),
            Event::RegistryMail { gateway } => self.registry_mail(gateway),
            Event::LinkMail(link) => self.link_mail(link),
            Event::LinkConnected { link, good } => self.link_connected(link, good),
            Event::LinkOverdue(link) => self.link_overdue(link),
            Event::LinkFlows(link) => self.link_flows(link),
            Event::Evacuate(link) => self.evacuate_later(link),
            Event::OwedCloses(gateway, pool) => self.retry_farewells(gateway, pool),
            Event::OrderEnds { gateway, core } => self.order_ends(gateway, core),
            Event::BanEnds { gateway, user_id } => self.ban_ends(gateway, user_id),
            Event::MemoryEases { gateway } => self.memory_eases(gateway),
            Event::PeerMail { gateway } => self.peer_mail(gateway),
            Event::PeerDialled(peer) => self.peer_dialled(peer),
            Event::PeerCheck(peer) => self.peer_check(peer),
            Event::PeersTick(gateway) => self.peers_tick(gateway),
            Event::Accept { wire } => self.accept(wire),
            Event::PlayerConnected { wire } => self.player_connected(wire),
            Event::PlayerRefused { player, life, conn } => self.player_refused(player, life, conn),
            Event::PlayerTimer(player) => self.player_timer(player),
            Event::PlayerBegins(player) => self.player_begins(player),
            Event::BackendTimer(backend) => self.backend_timer(backend),
            Event::BackendBorn(backend) => self.backend_born(backend),
            Event::BackendOpens(backend) => {
                self.backends[backend].refuses = false;
                self.backends[backend].vanished = false;
            }
            Event::GatewayBorn(gateway) => self.gateway_born(gateway),
            Event::DrainStep {
                gateway,
                generation,
            } => self.drain_step(gateway, generation),
            Event::Plan(index) => self.planned(index),
            Event::Quiet => self.calm(),
            Event::Closing => self.close_down(),
        }
    }

    /// Adds a connection. Its bytes take as long as the plan has it.
    pub(crate) fn wire(&mut self, purpose: Purpose) -> usize {
        let number = self.wires.len();
        let mut dice = self.dice(&[1, number as u64]);
        let planned = self.plan.delay(purpose, &mut dice);
        let delay = if self.quiet { (0, 3) } else { planned };
        self.wires.push(Wire::new(purpose, dice, delay));
        if !self.quiet {
            self.plan.be_late(number, &mut self.wires[number]);
        }
        number
    }

    fn see_wire(&mut self, wire: usize, what: WireEvent<'_>) {
        let seen = match self.wires[wire].purpose {
            Purpose::Client { gateway, player } => Seen::ClientWire {
                conn: wire as u64,
                gateway,
                player,
                what,
            },
            Purpose::Link {
                gateway,
                backend,
                service,
            } => Seen::LinkWire {
                link: wire as u64,
                gateway,
                backend,
                service: SERVICES[service],
                what,
            },
            Purpose::Peer { .. } => return,
        };
        self.log.see(self.now, &seen);
    }

    pub(crate) fn opened(&mut self, wire: usize) {
        self.see_wire(wire, WireEvent::Opened);
    }

    /// Sends bytes. A wire that is cut loses them, which its sender does not know yet: it has said them.
    pub(crate) fn send(&mut self, wire: usize, to: To, bytes: Vec<u8>) {
        if bytes.is_empty() || !self.wires[wire].is_used(to) {
            return;
        }
        let from = other(to);
        self.see_wire(
            wire,
            WireEvent::Sent {
                from,
                bytes: &bytes,
            },
        );
        self.push(wire, to, Item::Bytes(bytes));
    }

    /// Ends a direction, behind all that was sent.
    pub(crate) fn end(&mut self, wire: usize, to: To) {
        if self.wires[wire].takes(to) {
            self.see_wire(wire, WireEvent::Ended { side: other(to) });
            self.push(wire, to, Item::End);
        }
    }

    fn push(&mut self, wire: usize, to: To, item: Item) {
        if let Some((at, number)) = self.wires[wire].push(to, item, self.now) {
            self.at(at, Event::Wire { wire, to, number });
        }
    }

    /// Cuts a connection: both sides learn of it, each for itself.
    pub(crate) fn cut(&mut self, wire: usize, within: Millis) {
        if self.wires[wire].is_cut() {
            return;
        }
        self.see_wire(wire, WireEvent::Cut);
        for to in [Side::Gateway, Side::Remote] {
            if let Some((at, number)) = self.wires[wire].cut(to, self.now, within) {
                self.at(at, Event::Wire { wire, to, number });
            }
        }
    }

    /// One side is gone at once; the other one learns of it later.
    pub(crate) fn cut_from(&mut self, wire: usize, gone: Side, within: Millis) {
        if !self.wires[wire].is_cut() {
            self.see_wire(wire, WireEvent::Cut);
            let to = other(gone);
            if let Some((at, number)) = self.wires[wire].cut(to, self.now, within) {
                self.at(at, Event::Wire { wire, to, number });
            }
        }
        self.see_wire(wire, WireEvent::Lost { side: gone });
        self.wires[wire].is_lost_to(gone);
        self.wires[wire].forget(gone);
    }

    fn arrive(&mut self, wire: usize, to: To, number: u64) {
        let Some(item) = self.wires[wire].pop(to, number) else {
            return;
        };
        match &item {
            Item::Bytes(bytes) => self.see_wire(wire, WireEvent::Delivered { to, bytes }),
            Item::Lost | Item::End => self.see_wire(wire, WireEvent::Lost { side: to }),
        }
        if let Item::Lost = item {
            self.wires[wire].is_lost_to(to);
        }
        match (self.wires[wire].purpose, to) {
            (Purpose::Client { .. }, Side::Gateway) => self.client_reads(wire, item),
            (Purpose::Client { .. }, Side::Remote) => self.player_reads(wire, item),
            (Purpose::Link { .. }, Side::Gateway) => self.link_reads(wire, item),
            (Purpose::Link { .. }, Side::Remote) => self.backend_reads(wire, item),
            (Purpose::Peer { .. }, side) => self.peer_reads(wire, side, item),
        }
    }
}

/// The other end.
pub(crate) fn other(side: Side) -> Side {
    match side {
        Side::Gateway => Side::Remote,
        Side::Remote => Side::Gateway,
    }
}
