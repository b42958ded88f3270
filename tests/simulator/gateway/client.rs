//! A client of a gateway: the core that ships, with a connection and the executor of its effects around
//! it.

use std::net::SocketAddr;

use game_gateway::session::closing::Closing;
use game_gateway::session::core::{Core, ReadLimits, Step};

use super::host::SimHost;
use super::lease::Lease;
use super::mail::{ClientMail, Mailbox};
use super::peers::TICK;
use crate::network::{Item, Purpose};
use crate::wire::Millis;
use crate::world::{Event, World};

/// Payloads are small here.
const MAX_PAYLOAD: u32 = 65_536;
/// A client that has ended still hears what comes too late, for so long.
const LINGERS: Millis = 1500;

pub(crate) struct Client {
    pub(crate) gateway: usize,
    pub(crate) worker: usize,
    pub(crate) core: Core<Lease>,
    pub(crate) wire: Option<usize>,
    pub(crate) inbox: Vec<u8>,
    /// The connection's end was read.
    pub(crate) eof: bool,
    /// The session that the registry was told of.
    pub(crate) registered: Option<u64>,
    /// The connection of a resume request that is being answered.
    pub(crate) incoming: Option<(usize, Vec<u8>, bool)>,
    pub(crate) mail: Mailbox<ClientMail>,
    pub(crate) armed: Millis,
    pub(crate) ended: bool,
}

impl World {
    /// A connection has come to a gateway.
    pub(crate) fn accept(&mut self, wire: usize) {
        let Purpose::Client { gateway, .. } = self.wires[wire].purpose else {
            return;
        };
        if !self.gateways[gateway].alive || self.wires[wire].near.is_some() {
            return;
        }
        let worker = self.gateways[gateway].worker();
        let at = self.clients.len();
        let mut core = Core::new(self.now);
        core.greets(self.now);
        self.wires[wire].near = Some(at);
        self.clients.push(Some(Client {
            gateway,
            worker,
            core,
            wire: Some(wire),
            inbox: Vec::new(),
            eof: false,
            registered: None,
            incoming: None,
            mail: Mailbox::default(),
            armed: Millis::MAX,
            ended: false,
        }));
        if let Some(Some(c)) = self.clients.last_mut() {
            c.inbox = std::mem::take(&mut self.wires[wire].unread);
            c.eof = self.wires[wire].unread_end;
        }
        self.pump(at);
        self.rearm(at);
    }

    /// Calls the core, and executes its effects.
    pub(crate) fn step<R>(
        &mut self,
        client: usize,
        event: impl FnOnce(&mut Core<Lease>, &mut Step<'_>) -> R,
    ) -> Option<R> {
        let mut c = self.clients.get_mut(client)?.take()?;
        let mut effects = std::mem::take(&mut self.effects);
        let gateway = &self.gateways[c.gateway];
        let host = SimHost {
            limits: &self.limits,
            id: &gateway.id,
            address: gateway.peer_address.as_deref(),
            refuses: gateway
                .drain
                .as_ref()
                .is_some_and(|d| d.refuses_from <= self.now),
            drain_left: gateway
                .drain
                .as_ref()
                .map(|d| d.until.saturating_sub(self.now)),
            remote: SocketAddr::from(([10, 9, 0, 1], 4000)),
            keyring: &self.keyring,
            now: self.now,
            calls: &self.calls,
            backends: self.plan.backends(),
            known: &gateway.endpoints,
            banned: &gateway.banned,
            short: gateway.ring_bound(self.now).is_some(),
        };
        let mut step = Step {
            now: self.now,
            host: &host,
            effects: &mut effects,
        };
        let result = event(&mut c.core, &mut step);
        if let Some(ring) = gateway.ring_bound(self.now) {
            c.core.squeeze_replay(ring);
        }
        self.clients[client] = Some(c);
        self.deliver_words();
        for effect in effects.drain(..) {
            self.execute(client, effect);
        }
        self.effects = effects;
        self.rearm(client);
        Some(result)
    }

    /// Sees to the core's deadline.
    fn rearm(&mut self, client: usize) {
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        if let Some(due) = c.core.deadline(&self.limits)
            && due < c.armed
        {
            c.armed = due;
            self.at(due, Event::ClientDeadline(client));
        }
    }

    pub(crate) fn client_deadline(&mut self, client: usize) {
        let now = self.now;
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        if c.armed > now {
            return;
        }
        c.armed = Millis::MAX;
        let due = c.core.deadline(&self.limits);
        if due.is_some_and(|due| due <= now) {
            self.step(client, |core, step| core.on_time(step));
            self.pump(client);
        }
        self.rearm(client);
    }

    /// The actor stops: what it still holds is dropped.
    pub(crate) fn client_stops(&mut self, client: usize) {
        if let Some(c) = self.clients[client].take() {
            self.after(TICK, Event::PeersTick(c.gateway));
        }
    }

    pub(crate) fn client_lingers(&mut self, client: usize) {
        let delay = match self.clients[client].as_ref() {
            Some(c) => self.gateways[c.gateway].dice.between(0, LINGERS),
            None => return,
        };
        self.after(delay, Event::ClientStops(client));
    }

    /// Something has come on a client's connection.
    pub(crate) fn client_reads(&mut self, wire: usize, item: Item) {
        let Some(client) = self.wires[wire].near else {
            // Nobody is there yet, or not any more.
            if let Item::Bytes(bytes) = item {
                self.wires[wire].unread.extend(bytes);
            } else {
                self.wires[wire].unread_end = true;
            }
            return;
        };
        let Some(Some(c)) = self.clients.get_mut(client) else {
            return;
        };
        let mut failed = false;
        match item {
            Item::Bytes(bytes) if c.wire == Some(wire) => c.inbox.extend(bytes),
            Item::End | Item::Lost if c.wire == Some(wire) => {
                c.eof = true;
                // A socket that is written to says at once that it has failed.
                failed = matches!(item, Item::Lost) && self.wires[wire].dice.one_in(3);
            }
            Item::Bytes(bytes) => {
                if let Some((incoming, inbox, _)) = &mut c.incoming
                    && *incoming == wire
                {
                    inbox.extend(bytes);
                }
                return;
            }
            Item::End | Item::Lost => {
                if let Some((incoming, _, eof)) = &mut c.incoming
                    && *incoming == wire
                {
                    *eof = true;
                }
                return;
            }
        }
        if failed {
            self.mail_client(client, ClientMail::Failed);
        }
        self.pump(client);
    }

    /// Shows the core what has come, as far as it reads.
    pub(crate) fn pump(&mut self, client: usize) {
        loop {
            let Some(Some(c)) = self.clients.get_mut(client) else {
                return;
            };
            if c.ended || c.wire.is_none() || !c.core.reads() {
                return;
            }
            if !c.inbox.is_empty() {
                let inbox = std::mem::take(&mut c.inbox);
                let limits = ReadLimits {
                    max_payload: MAX_PAYLOAD,
                    ..ReadLimits::default()
                };
                let taken = self.step(client, |core, step| core.on_bytes(&inbox, &limits, step));
                let taken = taken.map_or(0, |read| read.bytes);
                let Some(Some(c)) = self.clients.get_mut(client) else {
                    return;
                };
                if c.wire.is_some() && !c.ended {
                    // What was taken; the connection may be another one by now.
                    let mut rest = inbox[taken..].to_vec();
                    rest.append(&mut c.inbox);
                    c.inbox = rest;
                }
                if taken > 0 {
                    continue;
                }
                if !c.core.reads() {
                    return;
                }
            }
            let Some(Some(c)) = self.clients.get_mut(client) else {
                return;
            };
            if !c.eof || c.wire.is_none() {
                return;
            }
            self.step(client, |core, step| {
                core.end_of_input(Closing::Disconnected, step)
            });
            // While frames wait for links the end is met again later.
            return;
        }
    }

    pub(crate) fn client_lives(&self, client: usize) -> bool {
        self.clients.get(client).is_some_and(Option::is_some)
    }
}
