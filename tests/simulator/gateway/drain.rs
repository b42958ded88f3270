//! A drain: grace, GOAWAYs, the end of the window.

use crate::gateway::mail::ClientMail;
use crate::wire::{Millis, Seen};
use crate::world::{Event, World};

/// `drain.accept_grace`.
const GRACE: Millis = 3000;

#[derive(Debug, Clone)]
pub(crate) struct Drain {
    pub(crate) until: Millis,
    pub(crate) refuses_from: Millis,
    /// The process ends with the drain.
    exits: bool,
    asked: bool,
    over: bool,
}

impl World {
    pub(crate) fn gateway_drains(&mut self, gateway: usize, window: Millis, exits: bool) {
        let g = &mut self.gateways[gateway];
        if !g.alive || g.drain.is_some() {
            return;
        }
        let generation = g.generation;
        g.drain = Some(Drain {
            until: self.now + window,
            refuses_from: self.now + GRACE.min(window),
            exits,
            asked: false,
            over: false,
        });
        self.see(&Seen::GatewayDrains { gateway, window });
        let first = GRACE.min(window);
        self.after(
            first,
            Event::DrainStep {
                gateway,
                generation,
            },
        );
        self.after(
            window,
            Event::DrainStep {
                gateway,
                generation,
            },
        );
        self.after(
            window + 2000,
            Event::DrainStep {
                gateway,
                generation,
            },
        );
    }

    pub(crate) fn drain_step(&mut self, gateway: usize, generation: u32) {
        let now = self.now;
        let g = &mut self.gateways[gateway];
        if g.generation != generation {
            return;
        }
        let Some(drain) = &mut g.drain else { return };
        let mail = if !drain.asked {
            drain.asked = true;
            ClientMail::GoAway
        } else if !drain.over && now >= drain.until {
            drain.over = true;
            ClientMail::CutOff
        } else if drain.over {
            if drain.exits {
                self.drain_exits(gateway);
            } else {
                g.drain = None;
            }
            return;
        } else {
            return;
        };
        if matches!(mail, ClientMail::CutOff) {
            self.see(&Seen::DrainEnds { gateway });
        }
        for client in 0..self.clients.len() {
            let its = self.clients[client]
                .as_ref()
                .is_some_and(|c| c.gateway == gateway && !c.ended);
            if its {
                let letter = match mail {
                    ClientMail::GoAway => ClientMail::GoAway,
                    _ => ClientMail::CutOff,
                };
                self.mail_client(client, letter);
            }
        }
    }

    /// Links are flushed and ended, then the process is gone.
    fn drain_exits(&mut self, gateway: usize) {
        for link in 0..self.links.len() {
            let l = &self.links[link];
            if l.gateway == gateway && !l.is_dead() {
                let wire = l.wire;
                self.end(wire, crate::wire::Side::Remote);
            }
        }
        self.gateway_dies(gateway, 1500, 0);
    }
}
