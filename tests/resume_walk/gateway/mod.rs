//! A gateway around the machines that ship: everything that they do not decide.

mod arriving;
mod holding;
mod playing;

use game_gateway::codec::client::{self, Header, Kind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::session::replay::Replay;
use game_gateway::session::resume::{Answer, Holder, Newcomer, Numbering, Place, Standing};

use crate::words::{FromBackend, Link, Out, Peer, ToBackend, ToClient, Token};
use crate::world::TIMING;

/// The session, where it is.
pub(crate) struct Seat {
    pub(crate) holder: Holder<usize>,
    ring: Replay,
    received: u64,
    pub(crate) conn: Option<usize>,
    worker: usize,
    services: Vec<Service>,
    reading: bool,
    /// Asks and claims until every backend is known to have taken its OPEN.
    waiting: Vec<(usize, Peer)>,
    /// The token that brought the session here; used when its client sends a frame.
    opened_by: Option<u32>,
}

#[derive(Clone, Copy)]
struct Service {
    backend: usize,
    /// None: lost, or left.
    worker: Option<usize>,
    left: bool,
    /// Something came from there since its OPEN: the backend has taken it.
    known: bool,
}

impl Service {
    fn is_opening(&self) -> bool {
        self.worker.is_some() && !self.left && !self.known
    }
}

/// A resume under way.
pub(crate) struct Arriving {
    pub(crate) machine: Newcomer<usize>,
    conn: usize,
    gone: bool,
    token: Token,
    count: u64,
    worker: usize,
    backends: Vec<usize>,
    handed: Option<(u64, Replay, Numbering)>,
    /// What goes behind the replay.
    held: Vec<Vec<u8>>,
    thief: bool,
}

#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) id: usize,
    pub(crate) now: u64,
    pub(crate) limit: usize,
    pub(crate) seat: Option<Seat>,
    pub(crate) arriving: Option<Arriving>,
    pub(crate) out: Vec<Out>,
    /// Epochs of tokens whose connection has sent a frame here.
    pub(crate) used: Vec<u32>,
    /// A used token was good for a thief.
    pub(crate) robbed: bool,
}

fn push_frame(backend: usize, number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let service = backend.to_string();
    client::encode(
        &mut out,
        &Header::default(),
        &service,
        &number.to_be_bytes(),
    );
    out
}

fn error_frame(backend: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let notice = Notice {
        code: Code::BAD_GATEWAY,
        retry_after_ms: 0,
        text: "",
    };
    client::encode_notice(&mut out, Kind::Error, 1, &backend.to_string(), &notice);
    out
}

impl Gateway {
    /// The session starts here.
    pub(crate) fn start(&mut self, conn: usize, worker: usize) {
        self.seat = Some(Seat {
            holder: Holder::new(TIMING),
            ring: Replay::new(self.limit),
            received: 0,
            conn: Some(conn),
            worker,
            services: Vec::new(),
            reading: true,
            waiting: Vec::new(),
            opened_by: None,
        });
    }

    fn link(&mut self, worker: usize, backend: usize, frame: ToBackend) {
        let link = Link {
            id: (self.id, worker),
            backend,
        };
        self.out.push(Out::Link(link, frame));
    }

    fn token(&self) -> Token {
        let seat = self.seat.as_ref().unwrap();
        let backends = seat.services.iter().filter(|s| !s.left).map(|s| s.backend);
        Token {
            epoch: seat.holder.epoch(),
            gateway: self.id,
            backends: backends.collect(),
        }
    }

    fn tell(&mut self, frames: Vec<u8>) {
        let seat = self.seat.as_mut().unwrap();
        let data = frames[3] == Kind::Data as u8;
        if data {
            seat.ring.push(&frames, &[], 1);
        } else {
            seat.ring.push_notice(&frames);
        }
        if let Some(conn) = seat.conn {
            self.out.push(Out::Client(conn, ToClient::Frames(frames)));
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm a message")]
    pub(crate) fn peer_sent(&mut self, from: usize, message: Peer) {
        let now = self.now;
        match message {
            Peer::Ask { .. } if from != self.id && self.is_taking() => {
                let busy = Peer::Answer(Answer::Busy, Vec::new());
                self.out.push(Out::Peer(from, busy));
            }
            Peer::Ask { epoch } => {
                let Some(seat) = &mut self.seat else {
                    return self
                        .out
                        .push(Out::Peer(from, Peer::Answer(Answer::Unknown, Vec::new())));
                };
                if seat.services.iter().any(Service::is_opening) {
                    return self.ping(from, message);
                }
                let actions = seat.holder.asked(now, &from, epoch, false);
                self.hold(actions, from);
            }
            Peer::Claim {
                count,
                places,
                worker,
            } => {
                let Some(seat) = &mut self.seat else {
                    return self.out.push(Out::Peer(from, Peer::Refused));
                };
                let near = |w: Option<usize>| from == self.id && w == Some(worker);
                let standing = |s: &Service| match places.iter().find(|p| p.0 == s.backend) {
                    _ if s.worker.is_none() => Standing::Lost,
                    _ if s.is_opening() => Standing::Opening,
                    None => Standing::Unasked,
                    Some(_) if near(s.worker) => Standing::Here,
                    Some((_, Place::Taken)) => Standing::Taken,
                    Some(_) => Standing::Dropped,
                };
                let services: Vec<Standing> = seat.services.iter().map(standing).collect();
                let actions = seat.holder.claimed(now, &from, count, &services);
                if services.contains(&Standing::Opening) {
                    let places = places.clone();
                    let claim = Peer::Claim {
                        count,
                        places,
                        worker,
                    };
                    self.ping(from, claim);
                }
                self.hold(actions, from);
            }
            Peer::GaveUp { stale } => {
                self.at_seat(from, |holder| holder.given_up(now, &from, stale));
            }
            Peer::Superseded => self.at_seat(from, |holder| holder.superseded(now)),
            Peer::End(code) => self.at_seat(from, |holder| holder.ended(now, Code(code))),
            Peer::Answer(answer, backends) => {
                let Some(arriving) = &mut self.arriving else {
                    // Whoever asked is no more.
                    if let Answer::Holds { .. } = answer {
                        self.out
                            .push(Out::Peer(from, Peer::GaveUp { stale: false }));
                    }
                    return;
                };
                if let Answer::Holds { .. } = answer {
                    arriving.backends = backends;
                }
                let n = arriving.backends.len();
                let actions = arriving.machine.answered(now, &from, answer, n);
                self.arrive(actions);
            }
            Peer::HoldsMore(backends) => {
                let Some(arriving) = &mut self.arriving else {
                    return;
                };
                for backend in backends {
                    if !arriving.backends.contains(&backend) {
                        arriving.backends.push(backend);
                    }
                }
                let n = arriving.backends.len();
                let actions = arriving.machine.holds_more(now, &from, n);
                self.arrive(actions);
            }
            Peer::HandOver {
                received,
                before,
                bytes,
                gap,
                numbering,
            } => {
                let Some(arriving) = &mut self.arriving else {
                    return;
                };
                let ring = Replay::adopt(self.limit, before, &bytes).unwrap();
                let gap = gap || ring.since(before).gap;
                arriving.handed = Some((received, ring, numbering));
                let actions = arriving.machine.handed_over(&from, gap);
                self.arrive(actions);
            }
            Peer::Refused => self.at_arriving(|machine| machine.claim_refused(&from)),
            Peer::Ended(code) => self.at_arriving(|machine| machine.claim_ended(&from, Code(code))),
        }
    }

    pub(crate) fn backend_sent(&mut self, worker: usize, backend: usize, frame: FromBackend) {
        let now = self.now;
        self.known(worker, backend);
        let place = self.arriving.as_ref().and_then(|a| {
            let place = a.backends.iter().position(|b| *b == backend)?;
            let how = *a.machine.places().get(place)?;
            (a.worker == worker && how != Place::Dropped).then_some((place, how))
        });
        match (frame, place) {
            (FromBackend::Accept, Some((place, _))) => {
                self.at_arriving(|machine| machine.accepted(now, place));
            }
            (FromBackend::Accept, None) | (FromBackend::Pong, _) => {}
            (FromBackend::Data(number), Some((_, Place::Taken))) => {
                let arriving = self.arriving.as_mut().unwrap();
                arriving.held.push(push_frame(backend, number));
            }
            (FromBackend::Data(number), _) => {
                if self.seat_place(worker, backend).is_some() {
                    self.tell(push_frame(backend, number));
                }
            }
            (FromBackend::Close(code), Some((place, how)))
                if how == Place::Taken && code != 307 || matches!(code, 404 | 410) =>
            {
                self.at_arriving(|machine| machine.closed(now, place, Code(code)));
            }
            (FromBackend::Close(307), _) => {
                if let Some(place) = self.seat_left(worker, backend) {
                    self.at_seat(self.id, |holder| holder.left(now, place));
                }
            }
            (FromBackend::Close(code), _) => {
                if let Some(place) = self.seat_place(worker, backend) {
                    let seat = self.seat.as_mut().unwrap();
                    seat.services[place].left = true;
                    self.at_seat(self.id, |holder| holder.ended(now, Code(code)));
                }
            }
        }
    }

    pub(crate) fn link_lost(&mut self, worker: usize, backend: usize) {
        let now = self.now;
        if let Some(place) = self.seat_place(worker, backend) {
            let seat = self.seat.as_mut().unwrap();
            seat.services[place].worker = None;
            if !seat.services[place].left {
                self.tell(error_frame(backend));
            }
            self.at_seat(self.id, |holder| holder.link_lost(now, place));
        }
        self.known(worker, backend);
        let place = self.arriving.as_ref().and_then(|a| {
            let place = a.backends.iter().position(|b| *b == backend)?;
            (a.worker == worker).then_some(place)
        });
        if let Some(place) = place {
            self.at_arriving(|machine| machine.link_lost(now, place));
        }
    }

    pub(crate) fn peer_lost(&mut self, gateway: usize) {
        let now = self.now;
        self.at_seat(gateway, |holder| holder.given_up(now, &gateway, false));
        self.at_arriving(|machine| machine.peer_lost(now, &gateway));
    }

    pub(crate) fn on_time(&mut self, now: u64) {
        self.now = now;
        self.at_seat(self.id, |holder| holder.on_time(now));
        self.at_arriving(|machine| machine.on_time(now));
        if self.seat.as_ref().is_some_and(|s| s.holder.is_over(now)) {
            self.seat = None;
        }
    }
}
