//! The world around the machines: queues that are first in, first out, each with delays of its own,
//! and whatever goes wrong.

use std::collections::{BTreeMap, VecDeque};

use game_gateway::session::resume::Timing;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::backend::Backend;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::words::{FromBackend, Link, LinkId, Out, Peer, ToBackend, ToClient, ToGateway, Token};

pub(crate) const GATEWAYS: usize = 3;
pub(crate) const BACKENDS: usize = 2;
pub(crate) const TIMING: Timing = Timing {
    backend: 100,
    window: 1000,
};
/// Links of one gateway to one backend.
pub(crate) const WORKERS: usize = 2;

/// What may go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Time passes while messages are under way, so that deadlines do too.
    pub(crate) delays: bool,
    pub(crate) links: bool,
    pub(crate) restarts: bool,
    pub(crate) thief: bool,
    pub(crate) kicks: bool,
    /// The ring holds a few frames only.
    pub(crate) small_ring: bool,
}

pub(crate) struct Conn {
    pub(crate) id: LinkId,
    pub(crate) up: VecDeque<ToGateway>,
    pub(crate) down: VecDeque<ToClient>,
}

/// Which queue is next.
#[derive(Clone, Copy)]
enum Queue {
    Up(usize),
    Down(usize),
    ToBackend(Link),
    FromBackend(Link),
    Peer(usize, usize),
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) now: u64,
    pub(crate) faults: Faults,
    pub(crate) client: Client,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) conns: Vec<Conn>,
    pub(crate) to_backend: BTreeMap<Link, VecDeque<ToBackend>>,
    pub(crate) from_backend: BTreeMap<Link, VecDeque<FromBackend>>,
    pub(crate) peers: BTreeMap<(usize, usize), VecDeque<Peer>>,
    /// Tokens that the client came with.
    pub(crate) shown: Vec<Token>,
    pub(crate) all_sent: Vec<(u32, usize)>,
    pub(crate) resumes: u32,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> World {
        let gateway = |id| Gateway {
            id,
            limit: if faults.small_ring { 200 } else { 1 << 20 },
            ..Gateway::default()
        };
        let mut world = World {
            rng: StdRng::seed_from_u64(seed),
            now: 0,
            faults,
            client: Client::default(),
            gateways: (0..GATEWAYS).map(gateway).collect(),
            backends: (0..BACKENDS).map(|_| Backend::default()).collect(),
            conns: Vec::new(),
            to_backend: BTreeMap::new(),
            from_backend: BTreeMap::new(),
            peers: BTreeMap::new(),
            shown: Vec::new(),
            all_sent: Vec::new(),
            resumes: 0,
        };
        let conn = world.connect();
        let (gateway, worker) = world.conns[conn].id;
        world.gateways[gateway].start(conn, worker);
        world.client.conn = Some(conn);
        world.client.token = Token {
            epoch: 1,
            gateway,
            backends: Vec::new(),
        };
        world
    }

    pub(crate) fn connect(&mut self) -> usize {
        let id = (
            self.rng.random_range(0..GATEWAYS),
            self.rng.random_range(0..WORKERS),
        );
        self.conns.push(Conn {
            id,
            up: VecDeque::new(),
            down: VecDeque::new(),
        });
        self.conns.len() - 1
    }

    fn queues(&self) -> Vec<Queue> {
        let mut queues = Vec::new();
        for (at, conn) in self.conns.iter().enumerate() {
            queues.extend((!conn.up.is_empty()).then_some(Queue::Up(at)));
            queues.extend((!conn.down.is_empty()).then_some(Queue::Down(at)));
        }
        let full =
            |(link, queue): (&Link, &VecDeque<ToBackend>)| (!queue.is_empty()).then_some(*link);
        queues.extend(
            self.to_backend
                .iter()
                .filter_map(full)
                .map(Queue::ToBackend),
        );
        let full =
            |(link, queue): (&Link, &VecDeque<FromBackend>)| (!queue.is_empty()).then_some(*link);
        queues.extend(
            self.from_backend
                .iter()
                .filter_map(full)
                .map(Queue::FromBackend),
        );
        let full =
            |(way, queue): (&(usize, usize), &VecDeque<Peer>)| (!queue.is_empty()).then_some(*way);
        queues.extend(
            self.peers
                .iter()
                .filter_map(full)
                .map(|(a, b)| Queue::Peer(a, b)),
        );
        queues
    }

    /// Delivers the first message of one queue. False where there is none.
    pub(crate) fn deliver(&mut self) -> bool {
        let queues = self.queues();
        if queues.is_empty() {
            return false;
        }
        let queue = queues[self.rng.random_range(0..queues.len())];
        if std::env::var_os("TRACE").is_some() {
            match queue {
                Queue::Up(c) => eprintln!(
                    "{} conn {c}{:?} up {:?}",
                    self.now, self.conns[c].id, self.conns[c].up[0]
                ),
                Queue::Down(c) => eprintln!(
                    "{} conn {c}{:?} down {:?}",
                    self.now, self.conns[c].id, self.conns[c].down[0]
                ),
                Queue::ToBackend(l) => {
                    eprintln!("{} {l:?} down {:?}", self.now, self.to_backend[&l][0])
                }
                Queue::FromBackend(l) => {
                    eprintln!("{} {l:?} up {:?}", self.now, self.from_backend[&l][0])
                }
                Queue::Peer(a, b) => {
                    eprintln!("{} peer {a}->{b} {:?}", self.now, self.peers[&(a, b)][0])
                }
            }
        }
        match queue {
            Queue::Up(at) => {
                let conn = &mut self.conns[at];
                let (gateway, worker) = conn.id;
                let message = conn.up.pop_front().unwrap();
                self.gateways[gateway].client_sent(at, worker, message);
                self.collect(gateway);
            }
            Queue::Down(at) => {
                let message = self.conns[at].down.pop_front().unwrap();
                let sent = self.client.take(at, message);
                self.conns[at].up.extend(sent);
            }
            Queue::ToBackend(link) => {
                let frame = self.to_backend.get_mut(&link).unwrap().pop_front().unwrap();
                let answer = self.backends[link.backend].take(link.id, frame);
                self.from_backend.entry(link).or_default().extend(answer);
            }
            Queue::FromBackend(link) => {
                let frame = self
                    .from_backend
                    .get_mut(&link)
                    .unwrap()
                    .pop_front()
                    .unwrap();
                let (gateway, worker) = link.id;
                self.gateways[gateway].backend_sent(worker, link.backend, frame);
                self.collect(gateway);
            }
            Queue::Peer(from, to) => {
                let message = self
                    .peers
                    .get_mut(&(from, to))
                    .unwrap()
                    .pop_front()
                    .unwrap();
                self.gateways[to].peer_sent(from, message);
                self.collect(to);
            }
        }
        true
    }

    pub(crate) fn collect(&mut self, gateway: usize) {
        for out in std::mem::take(&mut self.gateways[gateway].out) {
            match out {
                Out::Client(conn, message) => self.conns[conn].down.push_back(message),
                Out::Link(link, frame) => self.to_backend.entry(link).or_default().push_back(frame),
                Out::Peer(to, message) => {
                    self.peers
                        .entry((gateway, to))
                        .or_default()
                        .push_back(message);
                }
            }
        }
    }

    pub(crate) fn tick(&mut self, by: u64) {
        self.now += by;
        for gateway in 0..GATEWAYS {
            self.gateways[gateway].on_time(self.now);
            self.collect(gateway);
        }
    }

    pub(crate) fn resume(&mut self) {
        let conn = self.connect();
        let token = self.client.token.clone();
        self.shown.push(token.clone());
        let count = self.client.count;
        self.conns[conn].up.push_back(ToGateway::Resume {
            token,
            count,
            thief: false,
        });
        self.client.resuming = Some(conn);
        self.resumes += 1;
    }

    pub(crate) fn client_acts(&mut self) {
        if self.client.ended.is_some() {
            return;
        }
        match self.rng.random_range(0..10) {
            0 if self.client.resuming.is_none() => self.resume(),
            // It does not wait for an answer for ever.
            1 if self.rng.random_bool(0.2) => {
                if let Some(conn) = self.client.resuming {
                    self.cut(conn);
                }
            }
            2 => {
                if let Some(conn) = self.client.conn {
                    self.cut(conn);
                }
            }
            3 if self.client.may_send() => self.conns[self.client.conn.unwrap()]
                .up
                .push_back(ToGateway::Ping),
            _ if self.client.may_send() => {
                let backend = self.rng.random_range(0..BACKENDS);
                let data = self.client.send(backend);
                self.all_sent.push((self.client.newest, backend));
                self.conns[self.client.conn.unwrap()].up.push_back(data);
            }
            _ if self.client.conn.is_none() && self.client.resuming.is_none() => self.resume(),
            _ => {}
        }
    }

    pub(crate) fn backend_acts(&mut self) {
        let backend = self.rng.random_range(0..BACKENDS);
        let kick = self.faults.kicks && self.rng.random_bool(0.02);
        let one = &mut self.backends[backend];
        let sent = if kick { one.kick() } else { one.push() };
        if let Some((id, frame)) = sent {
            self.from_backend
                .entry(Link { id, backend })
                .or_default()
                .push_back(frame);
        }
    }

    /// So many steps of whatever happens.
    pub(crate) fn walk(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.rng.random_range(0..100) {
                0..70 => {
                    self.deliver();
                }
                70..84 => self.client_acts(),
                84..96 => self.backend_acts(),
                _ => self.fault(),
            }
            self.check();
        }
    }
}
