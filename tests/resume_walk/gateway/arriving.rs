//! What the machine of a player who comes back says is done.

use game_gateway::session::replay::Replay;
use game_gateway::session::resume::{Newcomer, NewcomerAction, Numbering, Place};

use super::{Arriving, Gateway, Seat, Service, error_frame};
use crate::words::{Out, Peer, ToBackend, ToClient, ToGateway, Token};
use crate::world::TIMING;

impl Gateway {
    pub(super) fn resume(
        &mut self,
        conn: usize,
        worker: usize,
        token: Token,
        count: u64,
        thief: bool,
    ) {
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

    /// Does what the newcomer's machine says.
    pub(super) fn arrive(&mut self, actions: Vec<NewcomerAction<usize>>) {
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

    pub(super) fn adopt(&mut self, gap: bool) {
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

    pub(super) fn at_arriving(
        &mut self,
        event: impl FnOnce(&mut Newcomer<usize>) -> Vec<NewcomerAction<usize>>,
    ) {
        if let Some(arriving) = &mut self.arriving {
            let actions = event(&mut arriving.machine);
            self.arrive(actions);
        }
    }

    pub(super) fn is_taking(&self) -> bool {
        let here = |s: &Seat| s.holder.has_session();
        let taking = |a: &Arriving| a.machine.is_taking();
        !self.seat.as_ref().is_some_and(here) && self.arriving.as_ref().is_some_and(taking)
    }
}
