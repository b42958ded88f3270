//! The world around the machines: queues that are first in, first out, each with delays of its own,
//! and whatever goes wrong.

use std::collections::{BTreeMap, VecDeque};

use game_gateway::session::resume::{Answer, Numbering, Place, Timing};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::backend::Backend;
use crate::client::Client;
use crate::gateway::Gateway;

pub(crate) const GATEWAYS: usize = 3;
pub(crate) const BACKENDS: usize = 2;
pub(crate) const TIMING: Timing = Timing {
    backend: 100,
    window: 1000,
};
/// Links of one gateway to one backend.
const WORKERS: usize = 2;

/// A gateway and its worker.
pub(crate) type LinkId = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) backend: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    pub(crate) epoch: u32,
    pub(crate) gateway: usize,
    pub(crate) backends: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) enum ToGateway {
    Resume {
        token: Token,
        count: u64,
        thief: bool,
    },
    Data(u32, usize),
    Ping,
    Close,
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) enum ToClient {
    Opened {
        received: u64,
        gap: bool,
        token: Token,
        resumed: bool,
    },
    Frames(Vec<u8>),
    Close(u16),
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) enum ToBackend {
    Open { resumed: bool, epoch: u32 },
    Data(u32),
    Suspend,
    Ping,
    Close(u16),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum FromBackend {
    Accept,
    Pong,
    Data(u32),
    Close(u16),
}

#[derive(Debug, Clone)]
pub(crate) enum Peer {
    Ask {
        epoch: u32,
    },
    Answer(Answer<usize>, Vec<usize>),
    Claim {
        count: u64,
        places: Vec<(usize, Place)>,
        worker: usize,
    },
    HoldsMore(Vec<usize>),
    HandOver {
        received: u64,
        before: u64,
        bytes: Vec<u8>,
        gap: bool,
        numbering: Numbering,
    },
    Refused,
    Ended(u16),
    GaveUp {
        stale: bool,
    },
    Superseded,
    End(u16),
}

/// What a gateway sends.
pub(crate) enum Out {
    Client(usize, ToClient),
    Link(Link, ToBackend),
    Peer(usize, Peer),
}

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

struct Conn {
    id: LinkId,
    up: VecDeque<ToGateway>,
    down: VecDeque<ToClient>,
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
    rng: StdRng,
    now: u64,
    faults: Faults,
    pub(crate) client: Client,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) backends: Vec<Backend>,
    conns: Vec<Conn>,
    to_backend: BTreeMap<Link, VecDeque<ToBackend>>,
    from_backend: BTreeMap<Link, VecDeque<FromBackend>>,
    peers: BTreeMap<(usize, usize), VecDeque<Peer>>,
    /// Tokens that the client came with.
    shown: Vec<Token>,
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

    fn connect(&mut self) -> usize {
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
    fn deliver(&mut self) -> bool {
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

    fn collect(&mut self, gateway: usize) {
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

    fn tick(&mut self, by: u64) {
        self.now += by;
        for gateway in 0..GATEWAYS {
            self.gateways[gateway].on_time(self.now);
            self.collect(gateway);
        }
    }

    fn resume(&mut self) {
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

    /// Any prefix of what is under way still arrives.
    fn cut(&mut self, conn: usize) {
        let conn = &mut self.conns[conn];
        conn.up.truncate(self.rng.random_range(0..=conn.up.len()));
        conn.down
            .truncate(self.rng.random_range(0..=conn.down.len()));
        conn.up.push_back(ToGateway::Gone);
        conn.down.push_back(ToClient::Gone);
    }

    fn client_acts(&mut self) {
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

    fn backend_acts(&mut self) {
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

    fn lose_link(&mut self, link: Link) {
        self.to_backend.remove(&link);
        self.from_backend.remove(&link);
        self.backends[link.backend].link_lost(link.id);
        let (gateway, worker) = link.id;
        self.gateways[gateway].link_lost(worker, link.backend);
        self.collect(gateway);
    }

    fn restart(&mut self, gateway: usize) {
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

    fn steal(&mut self) {
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

    fn fault(&mut self) {
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

    /// What holds at every moment.
    fn check(&self) {
        assert!(
            !self.gateways.iter().any(|g| g.robbed),
            "a used token was good"
        );
        if !self.faults.delays && !self.faults.restarts {
            let holders = self
                .gateways
                .iter()
                .filter(|g| g.seat.as_ref().is_some_and(|s| s.holder.has_session()));
            assert!(holders.count() <= 1, "two holders");
        }
    }

    fn drain(&mut self) {
        while self.deliver() {
            self.check();
        }
    }

    /// Nothing goes wrong any more: until the client is there again, and all that is under way has come.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            self.drain();
            if self.client.ended.is_some() {
                return;
            }
            if self.client.resuming.is_none() && self.client.conn.is_none() {
                if self.faults.delays {
                    self.tick(TIMING.backend);
                }
                self.resume();
            } else if self.client.resuming.is_some() {
                self.tick(TIMING.backend);
            } else if self.gateways.iter().all(|g| g.arriving.is_none()) {
                return;
            } else {
                self.tick(TIMING.backend);
            }
        }
        panic!("the client does not get through");
    }

    /// One more frame each way; then nothing may be lacking that nobody told of.
    pub(crate) fn compare(&mut self) {
        for backend in 0..BACKENDS {
            if self.client.ended.is_some() {
                return;
            }
            let data = self.client.send(backend);
            self.all_sent.push((self.client.newest, backend));
            self.conns[self.client.conn.unwrap()].up.push_back(data);
            self.drain();
            if let Some((id, frame)) = self.backends[backend].push() {
                self.from_backend
                    .entry(Link { id, backend })
                    .or_default()
                    .push_back(frame);
            }
            self.settle();
        }
        if self.client.ended.is_some() {
            return;
        }
        for (at, backend) in self.backends.iter().enumerate() {
            assert!(
                !self.client.lacks(at, backend.pushed),
                "pushes of {at} are missing, nothing told"
            );
            let lost = self
                .all_sent
                .iter()
                .any(|(n, b)| *b == at && !backend.taken.contains(n));
            assert!(
                !lost || self.client.told_up[at],
                "frames to {at} are missing, nothing told"
            );
        }
    }

    /// The client leaves; then nothing is left over.
    pub(crate) fn leave(&mut self) {
        if let (Some(conn), None) = (self.client.conn, self.client.ended) {
            self.conns[conn].up.push_back(ToGateway::Close);
        }
        self.client.ended = Some(0);
        self.drain();
        for conn in &mut self.conns {
            conn.up.push_back(ToGateway::Gone);
        }
        for _ in 0..20 {
            self.drain();
            self.tick(TIMING.window / 4);
        }
        for gateway in &self.gateways {
            assert!(gateway.seat.is_none(), "a session is left over");
            assert!(gateway.arriving.is_none(), "a newcomer is left over");
        }
        for backend in &self.backends {
            let left = backend.session.as_ref().filter(|s| !s.suspended);
            assert!(left.is_none(), "a backend still has {left:?}");
        }
    }
}
