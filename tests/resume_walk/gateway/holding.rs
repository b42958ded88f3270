//! What the machine of a session that is here says is done.

use game_gateway::session::resume::{Holder, HolderAction};

use super::{Gateway, Service};
use crate::words::{Out, Peer, ToBackend, ToClient};

impl Gateway {
    /// Does what the holder's machine says; `from` is who brought the event.
    pub(super) fn hold(&mut self, actions: Vec<HolderAction<usize>>, from: usize) {
        for action in actions {
            self.hold_one(action, from);
        }
    }

    pub(super) fn hold_one(&mut self, action: HolderAction<usize>, from: usize) {
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

    pub(super) fn at_seat(
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

    /// Asks backends for a PONG: behind it their OPEN is taken. Then the message is taken.
    pub(super) fn ping(&mut self, from: usize, message: Peer) {
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
    pub(super) fn known(&mut self, worker: usize, backend: usize) {
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

    pub(super) fn seat_place(&self, worker: usize, backend: usize) -> Option<usize> {
        let seat = self.seat.as_ref().filter(|s| s.holder.has_session())?;
        let its = |s: &Service| s.backend == backend && s.worker == Some(worker);
        seat.services.iter().position(its)
    }

    pub(super) fn seat_left(&self, worker: usize, backend: usize) -> Option<usize> {
        let seat = self.seat.as_ref()?;
        let its = |s: &Service| s.backend == backend && s.left && s.worker == Some(worker);
        seat.services.iter().position(its)
    }
}
