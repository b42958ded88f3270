//! What a client says on its connection.

use game_gateway::codec::code::Code;

use super::{Gateway, Service};
use crate::words::{Out, ToBackend, ToClient, ToGateway};

impl Gateway {
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

    pub(super) fn frame_came(&mut self) {
        let seat = self.seat.as_mut().unwrap();
        seat.holder.client_frame();
        self.used.extend(seat.opened_by.take());
    }

    pub(super) fn forward(&mut self, number: u32, backend: usize) {
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
}
