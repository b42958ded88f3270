//! What must hold, always and in the end.

use crate::words::{Link, ToGateway};
use crate::world::{BACKENDS, TIMING, World};

impl World {
    /// What holds at every moment.
    pub(crate) fn check(&self) {
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

    pub(crate) fn drain(&mut self) {
        while self.deliver() {
            self.check();
        }
    }
}
