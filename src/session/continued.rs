//! A session that goes on over another connection, or on another gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use super::core::Hold;
use super::opening::Opening;
use super::state::{Service, Session, State};
use crate::codec::link::Bind;

impl<L> Session<L> {
    /// The frame that was taken last is not sent; it will be shown again.
    pub fn held_back(&mut self) {
        self.received -= 1;
    }

    /// Counts a DATA frame that is dropped unread. The next frame may leave out the service that it named.
    pub fn on_dropped(&mut self, service: &str) {
        self.received += 1;
        if !service.is_empty() {
            self.last = Some(self.place(service) as u8);
        }
    }

    /// A session that another gateway has had, of which nothing more is known yet.
    pub fn taken_up(id: u64, max_services: u8) -> Session<L> {
        let mut session = Session::new(id, true, max_services);
        // OPENED answers RESUME there, and is not owed for a start.
        session.opened_told();
        session
    }

    /// Takes over the ids that another gateway has learned.
    pub fn identify(&mut self, bound: Bind, newest: Bind) {
        (self.bound, self.newest) = (bound, newest);
    }

    /// A service that the session has used elsewhere is being opened.
    pub fn opens(&mut self, name: Arc<str>) {
        self.services.push(Service {
            name,
            opened: false,
            by_assign: false,
            lost: None,
            state: State::Opening(Opening::telling(self.bound)),
        });
    }

    /// Counting goes on where another gateway was.
    pub fn count_on(&mut self, received: u64) {
        self.received = received;
    }

    /// Resets the count after a gap (protocol 3.2).
    pub fn count_anew(&mut self) {
        self.received = 0;
    }

    /// The service that the session's last DATA named, on whatever gateway that was.
    pub fn name_last(&mut self, service: &str) {
        self.last = (!service.is_empty()).then(|| self.place(service) as u8);
    }

    /// Behind a gap no service is named (protocol 3.1).
    pub fn name_none(&mut self) {
        self.last = None;
    }

    /// The ids that a backend has bound; 0: not bound.
    pub fn bound(&self) -> Bind {
        self.bound
    }

    /// The newest ids that the client has sent.
    pub fn newest(&self) -> Bind {
        self.newest
    }

    /// The services that are open, and their leases.
    pub fn open(&self) -> impl Iterator<Item = (&Arc<str>, &L)> {
        self.services.iter().filter_map(|s| match &s.state {
            State::Open(lease) => Some((&s.name, lease)),
            State::Opening(_) | State::Moving(_) | State::Assigned(_) | State::Unbound => None,
        })
    }

    /// The services that live at a backend, and its address. While one is moved that is the one before.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Arc<str>, SocketAddr)>
    where
        L: Hold,
    {
        self.services.iter().filter_map(|s| match &s.state {
            State::Open(lease) => Some((&s.name, lease.endpoint())),
            State::Moving(moving) => Some((&s.name, moving.from.endpoint())),
            State::Opening(_) | State::Assigned(_) | State::Unbound => None,
        })
    }

    /// Tells whether the session was opened on this service at this endpoint (protocol 2.3): such a backend may answer
    /// on another link too, also after the one that it was opened on is lost. One from which the service has gone
    /// elsewhere may not.
    pub fn uses(&self, service: &str, from: SocketAddr) -> bool
    where
        L: Hold,
    {
        let its = self.services.iter().find(|s| &*s.name == service);
        its.is_some_and(|s| match &s.state {
            State::Open(lease) => lease.endpoint() == from,
            State::Moving(moving) => moving.may_be_with(from),
            // The news which backend it is may be on its way here.
            State::Opening(_) => true,
            State::Assigned(_) | State::Unbound => {
                let lost = s.lost.as_ref().map(Hold::endpoint);
                s.opened && lost.is_none_or(|lost| lost == from)
            }
        })
    }

    /// The services of which ASSIGN has said where they go: those that have not been used yet, and those that are open
    /// there.
    pub fn assigned(&self) -> impl Iterator<Item = (&Arc<str>, SocketAddr)>
    where
        L: Hold,
    {
        self.services.iter().filter_map(|s| match &s.state {
            State::Assigned(to) => Some((&s.name, **to)),
            State::Open(lease) if s.by_assign => Some((&s.name, lease.endpoint())),
            State::Opening(_) | State::Open(_) | State::Moving(_) | State::Unbound => None,
        })
    }

    /// The services of which ASSIGN has said where they go, and that have not been used yet.
    pub fn unused_assignments(&self) -> impl Iterator<Item = (&Arc<str>, SocketAddr)> {
        self.services.iter().filter_map(|s| match &s.state {
            State::Assigned(to) => Some((&s.name, **to)),
            State::Opening(_) | State::Open(_) | State::Moving(_) | State::Unbound => None,
        })
    }

    /// Tells whether ASSIGN has said where the service at `place` is, or was until its link was lost.
    pub fn is_by_assign(&self, place: usize) -> bool {
        self.services.get(place).is_some_and(|s| s.by_assign)
    }

    /// Notes whether ASSIGN has said where a service is.
    pub fn set_by_assign(&mut self, service: &str, by_assign: bool) {
        if let Some(place) = self.find(service) {
            self.services[place].by_assign = by_assign;
        }
    }

    /// Tells whether the service at `place` was open before.
    pub fn was_opened(&self, place: usize) -> bool {
        self.services.get(place).is_some_and(|s| s.opened)
    }

    /// Gives up the services whose links were lost, or whose backends were too late: nobody else knows of them,
    /// so their backends hear the final CLOSE now. One that has been opened elsewhere meanwhile takes none from
    /// here.
    pub fn release_lost(&mut self) {
        for service in &mut self.services {
            drop(service.lost.take());
        }
    }

    /// Keeps the lease of a service that is not bound any more: its backend is owed the final CLOSE.
    pub fn owe(&mut self, service: &str, lease: L) {
        if let Some(place) = self.find(service) {
            self.services[place].lost = Some(lease);
        }
    }

    /// Unbinds the service, so that its next DATA is routed again. Returns the lease that it had.
    pub fn unbind(&mut self, service: &str) -> Option<L> {
        let place = self.find(service)?;
        let state = &mut self.services[place].state;
        match std::mem::replace(state, State::Unbound) {
            State::Open(lease) => Some(lease),
            before @ (State::Opening(_)
            | State::Moving(_)
            | State::Assigned(_)
            | State::Unbound) => {
                *state = before;
                None
            }
        }
    }

    /// Tells whether a service is being opened or moved.
    pub fn is_opening(&self) -> bool {
        let opening = |s: &Service<L>| matches!(s.state, State::Opening(_) | State::Moving(_));
        self.services.iter().any(opening)
    }
}
