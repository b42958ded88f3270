//! What operators do: drains of backends with `move`, assignments, bans; and memory that is short.

use game_gateway::codec::peer::ToClaimant;

use super::lease::Endpoint;
use super::mail::ClientMail;
use super::pool::endpoint;
use crate::faults::choose;
use crate::wire::{Millis, Seen};
use crate::world::{Event, SERVICES, World};

impl World {
    fn known_endpoint(&mut self, gateway: usize, core: usize) -> &Endpoint {
        let (backend, service) = (core / SERVICES.len(), core % SERVICES.len());
        let known = &mut self.gateways[gateway].endpoints;
        known.entry((service, backend)).or_default()
    }

    /// `PUT /api/v1/backends/{address}/state`: drain with `move`, and ready again later.
    pub(crate) fn order_moves(&mut self, gateway: usize, core: usize, millis: Millis) -> bool {
        if !self.gateways[gateway].alive || core >= self.backends.len() {
            return false;
        }
        self.known_endpoint(gateway, core).ordered.set(true);
        self.see_order(gateway, core, true);
        self.evacuate_all(gateway, core / SERVICES.len(), core % SERVICES.len());
        self.after(millis, Event::OrderEnds { gateway, core });
        true
    }

    pub(crate) fn order_ends(&mut self, gateway: usize, core: usize) {
        self.known_endpoint(gateway, core).ordered.set(false);
        self.see_order(gateway, core, false);
    }

    fn see_order(&mut self, gateway: usize, core: usize, on: bool) {
        self.see(&Seen::Ordered {
            gateway,
            backend: core / SERVICES.len(),
            service: core % SERVICES.len(),
            on,
        });
    }

    /// `POST /api/v1/sessions/{id}/assign`.
    pub(crate) fn operator_assigns(&mut self, pick: u64, to: u64) -> bool {
        let clients = self.clients_where(|c| !c.ended && c.core.session_id() != 0);
        let Some(client) = choose(&clients, pick) else {
            return false;
        };
        let service = to as usize % SERVICES.len();
        let endpoint = match (to >> 8) % 8 {
            7 => "10.66.0.1:7000".to_owned(),
            to => endpoint(to as usize % self.plan.backends(), service).to_string(),
        };
        if let Some(c) = &self.clients[client] {
            let (gateway, session_id) = (c.gateway, c.core.session_id());
            self.see(&Seen::Assigned {
                gateway,
                session_id,
            });
            let assign = ClientMail::Assign {
                session_id,
                service,
                endpoint,
            };
            self.mail_client(client, assign);
        }
        true
    }

    /// `POST /api/v1/bans`, of a user.
    pub(crate) fn ban(&mut self, gateway: usize, user_id: u64, millis: Millis) -> bool {
        if !self.gateways[gateway].alive {
            return false;
        }
        self.gateways[gateway].banned.insert(user_id);
        let on = true;
        self.see(&Seen::Banned {
            gateway,
            user_id,
            on,
        });
        for client in self.clients_where(|c| c.gateway == gateway && !c.ended) {
            self.mail_client(client, ClientMail::Ban(user_id));
        }
        self.after(millis, Event::BanEnds { gateway, user_id });
        true
    }

    pub(crate) fn ban_ends(&mut self, gateway: usize, user_id: u64) {
        self.gateways[gateway].banned.remove(&user_id);
        let on = false;
        self.see(&Seen::Banned {
            gateway,
            user_id,
            on,
        });
    }

    /// Nothing more may be held, and replay rings shrink to `ring` bytes.
    pub(crate) fn memory_is_short(&mut self, gateway: usize, millis: Millis, ring: usize) -> bool {
        if !self.gateways[gateway].alive {
            return false;
        }
        let until = self.now + millis;
        self.gateways[gateway].short = (until, ring);
        self.see(&Seen::MemoryShort { gateway, until });
        for client in self.clients_where(|c| c.gateway == gateway) {
            if let Some(c) = &mut self.clients[client] {
                c.core.squeeze_replay(ring);
            }
        }
        self.after(millis, Event::MemoryEases { gateway });
        true
    }

    pub(crate) fn memory_eases(&mut self, gateway: usize) {
        if self.gateways[gateway].ring_bound(self.now).is_some() {
            return;
        }
        let limits = self.limits.clone();
        for client in self.clients_where(|c| c.gateway == gateway) {
            if let Some(c) = &mut self.clients[client] {
                c.core.ease_replay(&limits);
            }
        }
    }

    /// A session is taken over without its ring where there is no room for that, as `actors::client::memory` has it.
    pub(super) fn bound_handover(&self, client: usize, said: &mut Option<ToClaimant>) {
        let gateway = self.clients[client].as_ref().map(|c| c.gateway);
        let short = gateway.and_then(|at| self.gateways[at].ring_bound(self.now));
        if let (Some(_), Some(ToClaimant::Handover(handed))) = (short, said)
            && !handed.ring.is_empty()
        {
            handed.ring = Vec::new();
            handed.gap = true;
        }
    }
}
