//! Where a service's sessions find a link: the router and the pools of a worker in one.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use game_gateway::codec::code::Code;
use game_gateway::session::core::RouteFailed;
use game_gateway::session::link::{Sessions, Waiting};

use super::lease::Anchor;
use super::link::{Link, Stage};
use super::mail::{Attach, ClientMail, LinkMail, Mailbox};
use super::moves::Evacuation;
use crate::network::Purpose;
use crate::wire::Millis;
use crate::world::{BACKENDS, Event, SERVICES, World};

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Its newest link.
    link: Option<usize>,
    /// Binds that wait for the link.
    waiting: Vec<Attach>,
    /// Final CLOSEs that are owed.
    farewells: Vec<(u64, Code)>,
    /// A link for them is tried again later.
    retries: bool,
}

impl Pool {
    /// Tells whether it owes a final CLOSE. Of one that has only left a backend is told on the next link there is: without
    /// any it takes the session for suspended.
    fn owes_closes(&self) -> bool {
        let mut owed = self.farewells.iter();
        owed.any(|(_, code)| *code != Code::LEAVES_LINK)
    }
}

/// Worker, service and backend.
pub(crate) type PoolKey = (usize, usize, usize);

/// A pool that owes CLOSEs tries again after this long; the shipped one grows it from 50 ms.
const BACKOFF: Millis = 500;

/// A backend's address for a service.
pub(crate) fn endpoint(backend: usize, service: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, backend as u8, service as u8], 7000))
}

pub(crate) fn backend_at(endpoint: SocketAddr) -> usize {
    match endpoint {
        SocketAddr::V4(v4) => usize::from(v4.ip().octets()[2]),
        SocketAddr::V6(_) => 0,
    }
}

pub(crate) fn service_at(name: &str) -> usize {
    SERVICES
        .iter()
        .position(|service| *service == name)
        .unwrap()
}

impl World {
    /// By the rules: any backend, but not one that was tried, or is known to leave.
    pub(crate) fn route(&mut self, attach: Attach) {
        let Some(Some(c)) = self.clients.get(attach.client) else {
            return;
        };
        let gateway = c.gateway;
        let first = self.gateways[gateway].dice.index(BACKENDS);
        let service = service_at(&attach.service);
        let order = (0..BACKENDS).map(|at| (first + at) % BACKENDS);
        let known = &self.gateways[gateway].endpoints;
        let ordered = |backend: &usize| {
            let known = known.get(&(service, *backend));
            known.is_some_and(|known| known.ordered.get())
        };
        let mut left = order.filter(|backend| !attach.tried.contains(backend));
        // One that is drained takes sessions where no other is left.
        let first = left.clone().find(|backend| !ordered(backend));
        match first.or_else(|| left.next()) {
            Some(backend) if !attach.assigned => self.bind(attach, backend),
            Some(_) | None => {
                let result = Err(RouteFailed {
                    code: Code::BAD_GATEWAY,
                    text: "the backend cannot be reached",
                    retry_after_ms: 0,
                });
                let opened = ClientMail::Opened {
                    service: attach.service,
                    epoch: attach.epoch,
                    result,
                };
                self.mail_client(attach.client, opened);
            }
        }
    }

    /// At the endpoint that is named, whatever the rules say.
    pub(crate) fn reach(&mut self, attach: Attach, endpoint: SocketAddr) {
        self.bind(attach, backend_at(endpoint));
    }

    fn bind(&mut self, mut attach: Attach, backend: usize) {
        let Some(Some(c)) = self.clients.get(attach.client) else {
            return;
        };
        let (gateway, worker) = (c.gateway, c.worker);
        let service = service_at(&attach.service);
        attach.tried.push(backend);
        let key = (worker, service, backend);
        let link = self.gateways[gateway].pools.entry(key).or_default().link;
        match link.map(|link| (link, self.links[link].stage)) {
            Some((link, Stage::Ready)) => self.mail_link(link, LinkMail::Attach(Box::new(attach))),
            Some((link, Stage::Leaving))
                if attach.resumes && !attach.arrives && self.links[link].greeted =>
            {
                self.mail_link(link, LinkMail::Attach(Box::new(attach)));
            }
            Some((_, Stage::Leaving)) if !attach.resumes || attach.arrives => {
                self.bind_failed(attach, "the backend takes no new sessions")
            }
            Some((_, Stage::Connecting | Stage::Greeting | Stage::Leaving)) => {
                self.wait(gateway, key, attach)
            }
            Some((_, Stage::Dead)) | None => {
                self.wait(gateway, key, attach);
                self.open_link(gateway, key);
            }
        }
    }

    fn wait(&mut self, gateway: usize, key: PoolKey, attach: Attach) {
        let pool = self.gateways[gateway].pools.entry(key).or_default();
        pool.waiting.push(attach);
    }

    fn open_link(&mut self, gateway: usize, key: PoolKey) {
        let (worker, service, backend) = key;
        let number = self.links.len();
        let wire = self.wire(Purpose::Link {
            gateway,
            backend,
            service,
        });
        self.wires[wire].near = Some(number);
        let known = &mut self.gateways[gateway].endpoints;
        let known = Rc::clone(known.entry((service, backend)).or_default());
        self.links.push(Link {
            gateway,
            worker,
            service,
            backend,
            wire,
            stage: Stage::Connecting,
            greeted: false,
            anchor: Rc::new(Anchor {
                link: number,
                endpoint: endpoint(backend, service),
                known,
                queued: Cell::new(0),
                waiting: Cell::new(0),
                post: Rc::clone(&self.post),
            }),
            sessions: Sessions::default(),
            waiting: Waiting::default(),
            inbox: Vec::new(),
            outbox: Vec::new(),
            stuffed_until: 0,
            evacuation: Evacuation::default(),
            mail: Mailbox::default(),
        });
        let core = &self.backends[backend * SERVICES.len() + service];
        let delay = self.wires[wire].dice.between(0, 3);
        if !core.vanished {
            let good = core.takes_links();
            self.after(delay, Event::LinkConnected { link: number, good });
        }
        self.after(self.limits.connect_timeout, Event::LinkOverdue(number));
        self.gateways[gateway].pools.entry(key).or_default().link = Some(number);
    }

    pub(crate) fn pool_ready(&mut self, link: usize) {
        let l = &self.links[link];
        let (gateway, key) = (l.gateway, (l.worker, l.service, l.backend));
        let pool = self.gateways[gateway].pools.entry(key).or_default();
        let farewells = std::mem::take(&mut pool.farewells);
        let waiting = std::mem::take(&mut pool.waiting);
        for (id, code) in farewells {
            self.mail_link(link, LinkMail::Farewell(id, code));
        }
        for attach in waiting {
            if attach.resumes || self.links[link].stage == Stage::Ready {
                self.mail_link(link, LinkMail::Attach(Box::new(attach)));
            } else {
                self.bind_failed(attach, "the backend takes no new sessions");
            }
        }
    }

    /// GOAWAY on one link speaks for the backend.
    pub(crate) fn pool_leaves(&mut self, link: usize) {
        let (gateway, backend, service) = {
            let l = &self.links[link];
            (l.gateway, l.backend, l.service)
        };
        for other in 0..self.links.len() {
            let l = &mut self.links[other];
            let same = l.gateway == gateway && l.backend == backend && l.service == service;
            if same && l.stage == Stage::Ready {
                l.stage = Stage::Leaving;
            }
        }
    }

    pub(crate) fn pool_lost(&mut self, link: usize) {
        let l = &self.links[link];
        let (gateway, key) = (l.gateway, (l.worker, l.service, l.backend));
        let Some(pool) = self.gateways[gateway].pools.get_mut(&key) else {
            return;
        };
        if pool.link == Some(link) {
            pool.link = None;
            for attach in std::mem::take(&mut pool.waiting) {
                self.bind_failed(attach, "the backend cannot be reached");
            }
            let pool = self.gateways[gateway].pools.get(&key);
            if pool.is_some_and(Pool::owes_closes) {
                self.open_link_for_farewells(gateway, key);
            }
        }
    }

    fn open_link_for_farewells(&mut self, gateway: usize, key: PoolKey) {
        let core = &self.backends[key.2 * SERVICES.len() + key.1];
        if core.takes_links() && self.gateways[gateway].alive {
            self.open_link(gateway, key);
        } else if let Some(pool) = self.gateways[gateway].pools.get_mut(&key)
            && !std::mem::replace(&mut pool.retries, true)
        {
            self.after(BACKOFF, Event::OwedCloses(gateway, key));
        }
    }

    pub(crate) fn retry_farewells(&mut self, gateway: usize, key: PoolKey) {
        let Some(pool) = self.gateways[gateway].pools.get_mut(&key) else {
            return; // The gateway has died since.
        };
        pool.retries = false;
        let links = pool.link.is_some_and(|link| !self.links[link].is_dead());
        if !links && pool.owes_closes() {
            self.open_link_for_farewells(gateway, key);
        }
    }

    /// A final CLOSE for a session whose link is lost.
    pub(crate) fn farewell(&mut self, link: usize, session_id: u64, code: Code) {
        let l = &self.links[link];
        let (gateway, key) = (l.gateway, (l.worker, l.service, l.backend));
        if !self.gateways[gateway].alive {
            return;
        }
        let pool = self.gateways[gateway].pools.entry(key).or_default();
        match pool.link {
            Some(link) if matches!(self.links[link].stage, Stage::Ready | Stage::Leaving) => {
                self.mail_link(link, LinkMail::Farewell(session_id, code));
            }
            Some(link) if !self.links[link].is_dead() => pool.farewells.push((session_id, code)),
            Some(_) | None => {
                pool.farewells.push((session_id, code));
                if code != Code::LEAVES_LINK {
                    self.open_link_for_farewells(gateway, key);
                }
            }
        }
    }

    /// An endpoint does not take a session: the next one is tried, where there is a choice.
    pub(crate) fn bind_failed(&mut self, attach: Attach, _: &'static str) {
        if attach.resumes {
            let reached = ClientMail::Reached {
                service: attach.service,
                lease: None,
            };
            self.mail_client(attach.client, reached);
        } else {
            self.route(attach);
        }
    }
}
