//! What goes wrong.

use rand::Rng;

use crate::gateway::Gateway;
use crate::words::{Link, ToClient, ToGateway, Token};
use crate::world::{BACKENDS, GATEWAYS, TIMING, WORKERS, World};

impl World {
    /// Any prefix of what is under way still arrives.
    pub(crate) fn cut(&mut self, conn: usize) {
        let conn = &mut self.conns[conn];
        conn.up.truncate(self.rng.random_range(0..=conn.up.len()));
        conn.down
            .truncate(self.rng.random_range(0..=conn.down.len()));
        conn.up.push_back(ToGateway::Gone);
        conn.down.push_back(ToClient::Gone);
    }

    pub(crate) fn lose_link(&mut self, link: Link) {
        self.to_backend.remove(&link);
        self.from_backend.remove(&link);
        self.backends[link.backend].link_lost(link.id);
        let (gateway, worker) = link.id;
        self.gateways[gateway].link_lost(worker, link.backend);
        self.collect(gateway);
    }

    pub(crate) fn restart(&mut self, gateway: usize) {
        let limit = self.gateways[gateway].limit;
        let now = self.now;
        self.gateways[gateway] = Gateway {
            id: gateway,
            limit,
            now,
            ..Gateway::default()
        };
        for at in 0..self.conns.len() {
            if self.conns[at].id.0 == gateway {
                self.cut(at);
                self.conns[at].up.clear();
            }
        }
        for (worker, backend) in (0..WORKERS).flat_map(|w| (0..BACKENDS).map(move |b| (w, b))) {
            self.lose_link(Link {
                id: (gateway, worker),
                backend,
            });
        }
        self.peers
            .retain(|(from, to), _| *from != gateway && *to != gateway);
        for other in (0..GATEWAYS).filter(|other| *other != gateway) {
            self.gateways[other].peer_lost(gateway);
            self.collect(other);
        }
    }

    pub(crate) fn steal(&mut self) {
        let used = |t: &&Token| self.gateways.iter().any(|g| g.used.contains(&t.epoch));
        let Some(token) = self.shown.iter().rfind(used).cloned() else {
            return;
        };
        let conn = self.connect();
        self.conns[conn].up.push_back(ToGateway::Resume {
            token,
            count: 0,
            thief: true,
        });
    }

    pub(crate) fn fault(&mut self) {
        let f = self.faults;
        match self.rng.random_range(0..12) {
            0..6 if f.delays => {
                let by = self.rng.random_range(1..TIMING.backend);
                self.tick(by);
            }
            6 if f.links => {
                let id = (
                    self.rng.random_range(0..GATEWAYS),
                    self.rng.random_range(0..WORKERS),
                );
                let backend = self.rng.random_range(0..BACKENDS);
                self.lose_link(Link { id, backend });
            }
            7 if f.restarts => {
                let gateway = self.rng.random_range(0..GATEWAYS);
                self.restart(gateway);
            }
            8..10 if f.thief => self.steal(),
            _ => {}
        }
    }
}
