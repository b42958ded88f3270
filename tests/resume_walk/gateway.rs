//! A gateway around the machines that ship: everything that they do not decide.

use game_gateway::codec::client::{self, Header, Kind};
use game_gateway::codec::code::{Code, Notice};
use game_gateway::session::replay::Replay;
use game_gateway::session::resume::{
    Answer, Holder, HolderAction, Newcomer, NewcomerAction, Numbering, Place, Standing,
};

use crate::world::{FromBackend, Link, Out, Peer, TIMING, ToBackend, ToClient, ToGateway, Token};

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

    pub(crate) fn client_sent(&mut self, conn: usize, worker: usize, message: ToGateway) {
        if let ToGateway::Resume {
            token,
            count,
            thief,
        } = message
        {
            return self.resume(conn, worker, token, count, thief);
        }
        if let Some(arriving) = &mut self.arriving
            && arriving.conn == conn
        {
            arriving.gone |= matches!(message, ToGateway::Gone);
            return;
        }
        let Some(seat) = self.seat.as_mut().filter(|s| s.conn == Some(conn)) else {
            return;
        };
        match message {
            ToGateway::Gone => {
                seat.conn = None;
                let actions = seat.holder.connection_lost(self.now, Code::NORMAL);
                self.hold(actions, self.id);
            }
            _ if !seat.reading => {}
            ToGateway::Data(number, backend) => {
                seat.received += 1;
                self.frame_came();
                self.forward(number, backend);
            }
            ToGateway::Ping => self.frame_came(),
            ToGateway::Close => {
                let actions = seat.holder.ended(self.now, Code::NORMAL);
                self.hold(actions, self.id);
            }
            ToGateway::Resume { .. } => {}
        }
    }

    fn frame_came(&mut self) {
        let seat = self.seat.as_mut().unwrap();
        seat.holder.client_frame();
        self.used.extend(seat.opened_by.take());
    }

    fn forward(&mut self, number: u32, backend: usize) {
        let seat = self.seat.as_mut().unwrap();
        let (worker, epoch) = (seat.worker, seat.holder.epoch());
        let known = seat.services.iter().position(|s| s.backend == backend);
        let open = Service {
            backend,
            worker: Some(worker),
            left: false,
            known: false,
        };
        match known {
            Some(place) if seat.services[place].worker.is_some() => {}
            Some(place) => {
                seat.services[place] = open;
                self.link(
                    worker,
                    backend,
                    ToBackend::Open {
                        resumed: false,
                        epoch,
                    },
                );
            }
            None => {
                seat.services.push(open);
                self.link(
                    worker,
                    backend,
                    ToBackend::Open {
                        resumed: false,
                        epoch,
                    },
                );
                let token = self.token();
                let conn = self.seat.as_ref().unwrap().conn.unwrap();
                let opened = ToClient::Opened {
                    received: 0,
                    gap: false,
                    token,
                    resumed: false,
                };
                self.out.push(Out::Client(conn, opened));
            }
        }
        self.link(worker, backend, ToBackend::Data(number));
    }

    fn resume(&mut self, conn: usize, worker: usize, token: Token, count: u64, thief: bool) {
        if self.arriving.is_some() {
            return self.out.push(Out::Client(conn, ToClient::Close(503)));
        }
        let backends = token.backends.clone();
        let (machine, actions) = Newcomer::new(
            self.now,
            TIMING,
            token.epoch,
            backends.len(),
            self.id,
            token.gateway,
        );
        let (handed, held, gone) = (None, Vec::new(), false);
        self.arriving = Some(Arriving {
            machine,
            conn,
            gone,
            token,
            count,
            worker,
            backends,
            handed,
            held,
            thief,
        });
        self.arrive(actions);
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

    fn is_taking(&self) -> bool {
        let here = |s: &Seat| s.holder.has_session();
        let taking = |a: &Arriving| a.machine.is_taking();
        !self.seat.as_ref().is_some_and(here) && self.arriving.as_ref().is_some_and(taking)
    }

    /// Asks backends for a PONG: behind it their OPEN is taken. Then the message is taken.
    fn ping(&mut self, from: usize, message: Peer) {
        let seat = self.seat.as_mut().unwrap();
        seat.waiting.push((from, message));
        let opening: Vec<(usize, usize)> = (seat.services.iter().filter(|s| s.is_opening()))
            .filter_map(|s| Some((s.worker?, s.backend)))
            .collect();
        opening
            .iter()
            .for_each(|(w, b)| self.link(*w, *b, ToBackend::Ping));
    }

    /// A backend has said something, or its link is lost.
    fn known(&mut self, worker: usize, backend: usize) {
        let Some(seat) = &mut self.seat else { return };
        for service in &mut seat.services {
            service.known |= service.backend == backend && service.worker == Some(worker);
        }
        if !seat.services.iter().any(Service::is_opening) {
            for (from, message) in std::mem::take(&mut seat.waiting) {
                self.peer_sent(from, message);
            }
        }
    }

    fn at_seat(
        &mut self,
        from: usize,
        event: impl FnOnce(&mut Holder<usize>) -> Vec<HolderAction<usize>>,
    ) {
        if let Some(seat) = &mut self.seat {
            let actions = event(&mut seat.holder);
            self.hold(actions, from);
            let seat = self.seat.as_mut().unwrap();
            if seat.holder.has_session() && !seat.holder.is_wanted() {
                for service in seat.services.iter_mut().filter(|s| s.left) {
                    (service.left, service.worker) = (false, None);
                }
            }
        }
    }

    fn at_arriving(
        &mut self,
        event: impl FnOnce(&mut Newcomer<usize>) -> Vec<NewcomerAction<usize>>,
    ) {
        if let Some(arriving) = &mut self.arriving {
            let actions = event(&mut arriving.machine);
            self.arrive(actions);
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

    fn seat_place(&self, worker: usize, backend: usize) -> Option<usize> {
        let seat = self.seat.as_ref().filter(|s| s.holder.has_session())?;
        let its = |s: &Service| s.backend == backend && s.worker == Some(worker);
        seat.services.iter().position(its)
    }

    fn seat_left(&self, worker: usize, backend: usize) -> Option<usize> {
        let seat = self.seat.as_ref()?;
        let its = |s: &Service| s.backend == backend && s.left && s.worker == Some(worker);
        seat.services.iter().position(its)
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

    /// Does what the holder's machine says; `from` is who brought the event.
    fn hold(&mut self, actions: Vec<HolderAction<usize>>, from: usize) {
        for action in actions {
            self.hold_one(action, from);
        }
    }

    fn hold_one(&mut self, action: HolderAction<usize>, from: usize) {
        let seat = self.seat.as_mut().unwrap();
        let backends: Vec<usize> = seat
            .services
            .iter()
            .filter(|s| !s.left)
            .map(|s| s.backend)
            .collect();
        let open: Vec<(usize, usize)> = (seat.services.iter().filter(|s| !s.left))
            .map(|s| (s.worker.unwrap_or(seat.worker), s.backend))
            .collect();
        match action {
            HolderAction::Answer(answer) => {
                self.out
                    .push(Out::Peer(from, Peer::Answer(answer, backends)));
            }
            HolderAction::Suspend(_) => {
                open.iter()
                    .for_each(|(w, b)| self.link(*w, *b, ToBackend::Suspend));
            }
            HolderAction::StopReading => seat.reading = false,
            HolderAction::HoldsMore => self.out.push(Out::Peer(from, Peer::HoldsMore(backends))),
            HolderAction::RefuseClaim => self.out.push(Out::Peer(from, Peer::Refused)),
            HolderAction::ClaimEnded(to, code) => self.out.push(Out::Peer(to, Peer::Ended(code.0))),
            HolderAction::LeaveLink(place) => {
                let service = &mut seat.services[place];
                service.left = true;
                let (worker, backend) = (service.worker.unwrap(), service.backend);
                self.link(worker, backend, ToBackend::Close(307));
            }
            HolderAction::LeaveAll => {
                seat.services.iter_mut().for_each(|s| s.left = true);
                open.iter()
                    .for_each(|(w, b)| self.link(*w, *b, ToBackend::Close(307)));
            }
            HolderAction::Forget(place) => seat.services[place].left = true,
            HolderAction::HandOver { to, gap, has } => {
                let lacking = seat.ring.since(has);
                let numbering = seat.holder.numbering().clone();
                let bytes = [lacking.bytes.0, lacking.bytes.1].concat();
                let (before, received) = (seat.ring.sent() - lacking.frames, seat.received);
                let gap = gap || lacking.gap;
                let message = Peer::HandOver {
                    received,
                    before,
                    bytes,
                    gap,
                    numbering,
                };
                self.out.push(Out::Peer(to, message));
            }
            HolderAction::CloseClient(code) => {
                if let Some(conn) = seat.conn.take() {
                    self.out.push(Out::Client(conn, ToClient::Close(code.0)));
                }
            }
            HolderAction::End(code) => {
                seat.services.iter_mut().for_each(|s| s.left = true);
                open.iter()
                    .for_each(|(w, b)| self.link(*w, *b, ToBackend::Close(code.0)));
            }
        }
    }

    /// Does what the newcomer's machine says.
    fn arrive(&mut self, actions: Vec<NewcomerAction<usize>>) {
        for action in actions {
            let Some(arriving) = &mut self.arriving else {
                return;
            };
            let (worker, conn) = (arriving.worker, arriving.conn);
            let backend = |place: usize| arriving.backends[place];
            match action {
                NewcomerAction::Ask(to) => {
                    let epoch = arriving.token.epoch;
                    self.out.push(Out::Peer(to, Peer::Ask { epoch }));
                }
                NewcomerAction::Open(place) => {
                    let (backend, epoch) = (backend(place), arriving.machine.epoch());
                    self.link(
                        worker,
                        backend,
                        ToBackend::Open {
                            resumed: true,
                            epoch,
                        },
                    );
                }
                NewcomerAction::Claim(to) => {
                    let places = arriving.machine.places().iter().copied();
                    let places = arriving.backends.iter().copied().zip(places).collect();
                    let count = arriving.count;
                    self.out.push(Out::Peer(
                        to,
                        Peer::Claim {
                            count,
                            places,
                            worker,
                        },
                    ));
                }
                NewcomerAction::GiveUp { to, stale } => {
                    self.out.push(Out::Peer(to, Peer::GaveUp { stale }));
                }
                NewcomerAction::Supersede(to) => self.out.push(Out::Peer(to, Peer::Superseded)),
                NewcomerAction::EndHolder(to, code) => {
                    self.out.push(Out::Peer(to, Peer::End(code.0)));
                }
                NewcomerAction::Leave(place) => {
                    let backend = backend(place);
                    self.link(worker, backend, ToBackend::Close(307));
                }
                NewcomerAction::Release(place, code) => {
                    let backend = backend(place);
                    self.link(worker, backend, ToBackend::Close(code.0));
                }
                NewcomerAction::Forget(_) => {}
                NewcomerAction::Error502(place) => {
                    let backend = backend(place);
                    arriving.held.push(error_frame(backend));
                }
                NewcomerAction::Adopt { gap } => self.adopt(gap),
                NewcomerAction::Close(code) => {
                    self.arriving = None;
                    self.out.push(Out::Client(conn, ToClient::Close(code.0)));
                }
            }
        }
    }

    fn adopt(&mut self, gap: bool) {
        let Some(arriving) = self.arriving.take() else {
            return;
        };
        let Arriving {
            machine,
            conn,
            gone,
            token,
            worker,
            backends,
            ..
        } = arriving;
        self.robbed |= arriving.thief;
        // A holder here that did not answer in time is not one any more.
        let now = self.now;
        self.at_seat(self.id, |holder| holder.superseded(now));
        let fresh = (0, Replay::new(self.limit), Numbering::default());
        let (received, ring, numbering) = arriving.handed.unwrap_or(fresh);
        let received = if gap { 0 } else { received };
        let lacking = ring.since(0);
        let bytes = [lacking.bytes.0, lacking.bytes.1].concat();
        let sent = ring.sent() - lacking.frames;
        let places = machine.places().to_vec();
        let taken = |(backend, how): (usize, Place)| {
            let service = Service {
                backend,
                worker: Some(worker),
                left: false,
                known: true,
            };
            (how == Place::Taken).then_some(service)
        };
        let services = backends.into_iter().zip(places).filter_map(taken).collect();
        self.seat = Some(Seat {
            holder: machine.into_holder(numbering, sent).unwrap(),
            ring,
            received,
            conn: Some(conn),
            worker,
            services,
            reading: true,
            waiting: Vec::new(),
            opened_by: Some(token.epoch),
        });
        let token = self.token();
        let opened = ToClient::Opened {
            received,
            gap,
            token,
            resumed: true,
        };
        self.out.push(Out::Client(conn, opened));
        self.out.push(Out::Client(conn, ToClient::Frames(bytes)));
        arriving
            .held
            .into_iter()
            .for_each(|frames| self.tell(frames));
        if gone {
            self.client_sent(conn, worker, ToGateway::Gone);
        }
    }
}
