//! One session: who it is, which services it uses, and what becomes of each DATA frame.
//!
//! Hot path: [`Session::on_data`] runs for every frame; no allocation once a service is bound.
//!
//! Each service that the session has named is in one of these states:
//!
//! ```text
//!   Assigned ─────┐                                   moved, or taken back
//!                 ▼ on_data              opened         ┌─────────────┐
//!   Unbound ───────────▶ Opening(queue) ──────────▶ Open(lease) ──▶ Moving(queue)
//!      ▲                     │ failed                   │ lost           │ both backends lost
//!      └─────────────────────┴──────────────────────────┴────────────────┘
//! ```
//!
//! `L` is the lease on a link; the session knows no more of it than that it has one.

use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::moving::Move;
use super::opening::Opening;
use crate::codec::client::Header;
use crate::codec::code::Code;
use crate::codec::link::Bind;

/// Bytes that may wait for one service's link before the client is no longer read. One socket
/// read may exceed it once.
pub const OPENING_QUEUE_BYTES: usize = 64 * 1024;

/// A session's identity and its services.
#[derive(Debug)]
pub struct Session<L> {
    pub(super) id: u64,
    greeting: Greeting,
    /// 1 at first; a resume and a move raise it.
    epoch: u32,
    pub(super) received: u64,
    pub(super) bound: Bind,
    pub(super) newest: Bind,
    pub(super) max_services: u8,
    pub(super) services: SmallVec<[Service<L>; 1]>,
    /// The service that the previous DATA frame named.
    pub(super) last: Option<u8>,
}

/// Whether the client gets OPENED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// It has not asked for it.
    None,
    /// It has, and has not got one yet.
    Owed,
    Told,
}

#[derive(Debug)]
pub(super) struct Service<L> {
    pub(super) name: Arc<str>,
    /// A backend of it has seen OPEN.
    pub(super) opened: bool,
    /// ASSIGN has said where it is open.
    pub(super) by_assign: bool,
    /// The lease on a link that was lost: its backend may still have the session, and is owed its
    /// final CLOSE until the service is opened again.
    pub(super) lost: Option<L>,
    pub(super) state: State<L>,
}

#[derive(Debug)]
pub(super) enum State<L> {
    Unbound,
    /// A backend has said where it goes when it is named next.
    Assigned(Box<SocketAddr>),
    Opening(Box<Opening>),
    Open(L),
    Moving(Box<Move<L>>),
}

/// Fate of a DATA frame. The number is the service's place in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// To the link that the service is bound to.
    Forward(usize),
    /// Behind the others that wait for the service's link.
    Queue(usize),
    /// The first that waits; the service must be routed now.
    Resolve(usize),
    /// The client gets an ERROR for it.
    Refuse(Refusal),
}

/// Why a frame is refused; the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The ERROR's code.
    pub code: Code,
    /// The ERROR's text.
    pub text: &'static str,
}

const fn refuse(code: Code, text: &'static str) -> Taken {
    Taken::Refuse(Refusal { code, text })
}

impl<L> Session<L> {
    /// A session that starts. It may use `max_services` services at a time.
    pub fn new(id: u64, resumable: bool, max_services: u8) -> Session<L> {
        Session {
            id,
            greeting: if resumable {
                Greeting::Owed
            } else {
                Greeting::None
            },
            epoch: 1,
            received: 0,
            bound: Bind::default(),
            newest: Bind::default(),
            max_services,
            services: SmallVec::new(),
            last: None,
        }
    }

    /// The session id; never 0.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Tells whether the client asked to be able to resume.
    pub fn resumable(&self) -> bool {
        self.greeting != Greeting::None
    }

    /// The epoch of the session's newest OPEN.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The session goes on in a later epoch.
    pub fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// Number of DATA frames that the session has taken from its client, refused ones included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The bound realm, else the newest that the client sent, else 0.
    pub fn realm_id(&self) -> u32 {
        if self.bound.realm_id != 0 {
            self.bound.realm_id
        } else {
            self.newest.realm_id
        }
    }

    /// The bound user, else the newest that the client sent, else 0.
    pub fn user_id(&self) -> u64 {
        self.bound.user_id_or(self.newest)
    }

    /// Returns true if a frame with this user in its header, 0 for none, makes the session another user's.
    #[inline]
    pub fn would_become(&self, user_id: u64) -> bool {
        user_id != 0 && self.bound.user_id == 0 && user_id != self.newest.user_id
    }

    /// Tells whether a backend has bound this session to a user: a claimed id proves nothing.
    pub fn is_bound(&self) -> bool {
        self.bound.user_id != 0
    }

    /// A backend says who this session is; 0 leaves that id as it is (protocol 2.2, BIND). Returns whether
    /// that changes what is bound.
    pub fn bind(&mut self, bind: Bind) -> bool {
        let before = self.bound;
        self.bound.learn(bind);
        self.bound != before
    }

    /// Tells whether the client still waits for its first OPENED.
    #[inline]
    pub fn owes_opened(&self) -> bool {
        self.greeting == Greeting::Owed
    }

    /// OPENED is on its way to the client.
    pub fn opened_told(&mut self) {
        if self.greeting == Greeting::Owed {
            self.greeting = Greeting::Told;
        }
    }

    /// Tells whether a header's session id is this session's, or 0.
    pub fn owns(&self, session_id: u64) -> bool {
        session_id == 0 || session_id == self.id
    }

    /// Takes a DATA frame that names `service`, or none for the one named before.
    #[inline]
    pub fn on_data(&mut self, header: &Header, service: &str) -> Taken {
        self.received += 1;
        // In the frame that starts the session it was a wish, granted or not (protocol 1.5).
        if !self.services.is_empty() && !self.owns(header.session_id) {
            return refuse(Code::MALFORMED, "session_id is not this session's");
        }
        let contradicts = |sent: u64, bound: u64| sent != 0 && bound != 0 && sent != bound;
        let place = if service.is_empty() {
            match self.last {
                Some(place) => usize::from(place),
                None => return refuse(Code::MALFORMED, "no service was named yet"),
            }
        } else {
            self.place(service)
        };
        self.last = Some(place as u8);
        if contradicts(header.user_id, self.bound.user_id) {
            return refuse(Code::FORBIDDEN, "user_id is not the bound one");
        }
        if contradicts(u64::from(header.realm_id), u64::from(self.bound.realm_id)) {
            return refuse(Code::FORBIDDEN, "realm_id is not the bound one");
        }
        if header.user_id != 0 {
            self.newest.user_id = header.user_id;
        }
        if header.realm_id != 0 {
            self.newest.realm_id = header.realm_id;
        }
        match self.services[place].state {
            State::Open(_) => Taken::Forward(place),
            State::Opening(_) | State::Moving(_) => Taken::Queue(place),
            State::Unbound | State::Assigned(_) => self.begin(place),
        }
    }

    /// The lease of the service that the previous DATA frame named, where it is open.
    #[inline]
    pub fn last_lease(&self) -> Option<&L> {
        match &self.services.get(usize::from(self.last?))?.state {
            State::Open(lease) => Some(lease),
            State::Opening(_) | State::Moving(_) | State::Assigned(_) | State::Unbound => None,
        }
    }

    /// Finds the place of a service, or makes one. At most one place more than `max_services`: the
    /// last one then only remembers what was named.
    pub(super) fn place(&mut self, service: &str) -> usize {
        if let Some(place) = self.services.iter().position(|s| &*s.name == service) {
            return place;
        }
        self.new_place(service, None)
    }

    /// Makes a place for a service, but not in place of the one at `keep`.
    pub(super) fn new_place(&mut self, service: &str, keep: Option<u8>) -> usize {
        let fresh = Service {
            name: service.into(),
            opened: false,
            by_assign: false,
            lost: None,
            state: State::Unbound,
        };
        let keep = keep.map(usize::from);
        let free = |(place, s): (usize, &Service<L>)| {
            matches!(s.state, State::Unbound) && keep != Some(place)
        };
        let mut services = self.services.iter().enumerate();
        match services.position(free) {
            Some(place) => {
                self.services[place] = fresh;
                place
            }
            None => {
                self.services.push(fresh);
                self.services.len() - 1
            }
        }
    }

    fn begin(&mut self, place: usize) -> Taken {
        let is_assigned = matches!(self.services[place].state, State::Assigned(_));
        if !is_assigned && self.is_crowded() {
            return refuse(Code::UNAVAILABLE, "too many services in one session");
        }
        let mut opening = Opening::telling(self.bound);
        if let State::Assigned(to) = &self.services[place].state {
            opening.assigned = Some(**to);
        }
        self.services[place].state = State::Opening(opening);
        Taken::Resolve(place)
    }

    /// Tells whether the session has as many services as it may.
    pub(super) fn is_crowded(&self) -> bool {
        let free = |s: &&Service<L>| matches!(s.state, State::Unbound);
        let used = self.services.len() - self.services.iter().filter(free).count();
        used >= usize::from(self.max_services)
    }

    /// The name of the service at `place`.
    pub fn name(&self, place: usize) -> &Arc<str> {
        &self.services[place].name
    }

    /// The name of the service that the previous DATA frame named, or "".
    pub fn last_named(&self) -> &str {
        self.last
            .map_or("", |place| &self.services[usize::from(place)].name)
    }

    /// The lease of the service at `place`, where it is open.
    #[inline]
    pub fn lease(&mut self, place: usize) -> Option<&mut L> {
        match &mut self.services.get_mut(place)?.state {
            State::Open(lease) => Some(lease),
            State::Opening(_) | State::Moving(_) | State::Assigned(_) | State::Unbound => None,
        }
    }

    /// All leases, those on lost links and of moves included.
    pub fn leases(&mut self) -> impl Iterator<Item = &mut L> {
        self.services.iter_mut().flat_map(|s| {
            let (open, new) = match &mut s.state {
                State::Open(lease) => (Some(lease), None),
                State::Moving(moving) => {
                    let Move { from, to, .. } = &mut **moving;
                    (Some(from), to.as_mut())
                }
                State::Opening(_) | State::Assigned(_) | State::Unbound => (None, None),
            };
            open.into_iter().chain(new).chain(&mut s.lost)
        })
    }

    /// Takes the lease on the lost link that the service at `place` was open on before.
    pub fn take_lost(&mut self, place: usize) -> Option<L> {
        self.services.get_mut(place)?.lost.take()
    }

    /// A link is lost. Returns the place of the service that was open on it, which `is_its`
    /// recognises by its lease. A service that is still being opened remembers the loss until it
    /// hears of the link.
    pub fn lost(&mut self, service: &str, link: u64, is_its: impl Fn(&L) -> bool) -> Option<usize> {
        let place = self.services.iter().position(|s| &*s.name == service)?;
        let Service { state, lost, .. } = &mut self.services[place];
        match std::mem::replace(state, State::Unbound) {
            State::Open(lease) if is_its(&lease) => {
                *lost = Some(lease);
                Some(place)
            }
            State::Opening(mut opening) => {
                opening.lost = Some(link);
                *state = State::Opening(opening);
                None
            }
            before @ (State::Open(_) | State::Moving(_) | State::Assigned(_) | State::Unbound) => {
                *state = before;
                None
            }
        }
    }

    /// The service at `place` if it still has that name, for answers that took a while.
    pub fn find(&self, service: &str) -> Option<usize> {
        self.services.iter().position(|s| &*s.name == service)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
