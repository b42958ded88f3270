//! Figures of a client that its worker reads without asking: the client writes them, the worker, on the
//! same thread, reads it when sessions are listed. So a listing of all sessions costs the clients
//! nothing.
//!
//! Hot path: a few stores for each read and delivery.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::actors::client::{
    Identity, SessionFilter, SessionService, SessionSnapshot, SessionState, TransportName,
};
use crate::admission::AddressSource;
use crate::codec::link::Transport;
use crate::net::socket::IDLE_BYTES;

/// Whether a session outlives its connection, and has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Resumable {
    #[default]
    No,
    Yes,
    Suspended,
}

/// One client's card.
pub struct ClientStats {
    /// Unique in the process.
    pub client_number: u64,
    /// The player's address: the balancer's until a PROXY header says more.
    remote: Cell<SocketAddr>,
    source: Cell<AddressSource>,
    /// As far as it is known.
    pub(super) transport: Cell<Transport>,
    /// When the connection was accepted, in seconds since its worker started.
    accepted_s: u32,
    /// When the session began, or was taken up, likewise.
    started_s: Cell<u32>,
    /// 0: no session.
    pub(super) session_id: Cell<u64>,
    resumable: Cell<Resumable>,
    /// A backend has bound the user.
    pub(super) bound: Cell<bool>,
    pub(super) realm_id: Cell<u32>,
    pub(super) user_id: Cell<u64>,
    pub(super) frames_in: Cell<u64>,
    pub(super) frames_out: Cell<u64>,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    /// Saturates.
    pub(super) queued: Cell<u32>,
    /// Memory that the client holds.
    pub held: HeldByClient,
    services: Cell<Services>,
}

/// Bytes of memory that a client holds, as they are counted.
#[derive(Debug, Default)]
pub struct HeldByClient {
    /// What waits for the player.
    pub queue: Cell<u32>,
    /// What has come from the player and waits.
    pub input: Cell<u32>,
    /// Buffers of TLS and WebSocket.
    pub socket: Cell<u32>,
    /// The replay ring.
    pub replay: Cell<u32>,
    /// The replay ring's bound is lowered.
    pub squeezed: Cell<bool>,
    /// The player is not read because of what the client holds.
    pub held_back: Cell<bool>,
}

impl HeldByClient {
    /// Tells whether this is what is counted already, the replay ring aside.
    #[inline]
    pub(super) fn is(&self, queue: usize, input: usize, socket: usize) -> bool {
        self.queue.get() as usize == queue
            && self.input.get() as usize == input
            && self.socket.get() as usize == socket
    }

    /// All but the replay ring, and what an idle socket has.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        let queues = self.queue.get().saturating_add(self.input.get());
        let socket = self.socket.get().saturating_sub(IDLE_BYTES as u32);
        queues.saturating_add(socket)
    }
}

/// Services by name, and the endpoints that they are bound to.
type Services = SmallVec<[(Arc<str>, SocketAddr); 1]>;

/// Whole seconds, for 136 years.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

/// Adds to a figure of a card.
#[inline]
pub(super) fn add(figure: &Cell<u64>, n: u64) {
    figure.set(figure.get() + n);
}

impl ClientStats {
    /// The card of a connection that was just accepted, or of a session of an HTTP request.
    pub fn new(
        client_number: u64,
        (remote, source): (SocketAddr, AddressSource),
        transport: Transport,
        now_ms: u64,
    ) -> ClientStats {
        ClientStats {
            client_number,
            remote: Cell::new(remote),
            source: Cell::new(source),
            transport: Cell::new(transport),
            accepted_s: seconds(now_ms),
            started_s: Cell::default(),
            session_id: Cell::default(),
            resumable: Cell::default(),
            bound: Cell::default(),
            realm_id: Cell::default(),
            user_id: Cell::default(),
            frames_in: Cell::default(),
            frames_out: Cell::default(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            queued: Cell::default(),
            held: HeldByClient::default(),
            services: Cell::default(),
        }
    }

    /// The player's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote.get()
    }

    /// Where the player's address comes from.
    pub fn source(&self) -> AddressSource {
        self.source.get()
    }

    /// The player has another address from now on.
    pub fn set_remote(&self, remote: SocketAddr, source: AddressSource) {
        self.remote.set(remote);
        self.source.set(source);
    }

    /// The session of the client, if it has one.
    pub fn session_id(&self) -> Option<u64> {
        Some(self.session_id.get()).filter(|id| *id != 0)
    }

    /// The session's user, bound or claimed; 0: none.
    pub fn user_id(&self) -> u64 {
        self.user_id.get()
    }

    /// The connection goes on with `next`.
    pub(super) fn becomes(&self, next: Transport) {
        self.transport.set(self.transport.get().becomes(next));
    }

    pub(super) fn set_services<'a>(
        &self,
        services: impl Iterator<Item = (&'a Arc<str>, SocketAddr)>,
    ) {
        let owned = services.map(|(name, endpoint)| (Arc::clone(name), endpoint));
        self.services.replace(owned.collect());
    }

    pub(super) fn session_ended(&self) {
        self.session_id.set(0);
        self.services.take();
    }

    /// Tells whether it has a session that can be resumed.
    pub fn is_resumable(&self) -> bool {
        self.resumable.get() != Resumable::No && self.session_id().is_some()
    }

    /// The transport, as far as it is known.
    pub fn transport(&self) -> Transport {
        self.transport.get()
    }

    /// Tells whether its session is suspended.
    pub fn is_suspended(&self) -> bool {
        self.resumable.get() == Resumable::Suspended
    }

    /// Its session, which can be resumed, is suspended, or has its player back.
    pub(super) fn set_suspended(&self, suspended: bool) {
        self.resumable.set(match suspended {
            true => Resumable::Suspended,
            false => Resumable::Yes,
        });
    }

    /// The session begins now.
    pub(super) fn session_starts(&self, resumable: bool, now_ms: u64) {
        self.resumable.set(match resumable {
            true => Resumable::Yes,
            false => Resumable::No,
        });
        self.started_s.set(seconds(now_ms));
    }

    /// Seconds since the session began, or was taken up.
    pub(super) fn age_seconds(&self, now_ms: u64) -> u32 {
        seconds(now_ms).saturating_sub(self.started_s.get())
    }

    /// Seconds since the connection was accepted.
    pub fn uptime_seconds(&self, now_ms: u64) -> u32 {
        seconds(now_ms).saturating_sub(self.accepted_s)
    }

    /// Looks at the services, and at their endpoints.
    pub(super) fn with_services<R>(&self, look: impl FnOnce(&[(Arc<str>, SocketAddr)]) -> R) -> R {
        let services = self.services.take();
        let seen = look(&services);
        self.services.set(services);
        seen
    }

    fn state(&self) -> SessionState {
        if self.is_suspended() {
            SessionState::Suspended
        } else {
            SessionState::Active
        }
    }

    /// Tells whether the client has a session that the filter lets pass.
    pub fn passes(&self, filter: &SessionFilter) -> bool {
        let uses = |wanted: &String| {
            self.with_services(|all| all.iter().any(|(name, _)| **name == **wanted))
        };
        let is_bound =
            |wanted: &SocketAddr| self.with_services(|all| all.iter().any(|(_, e)| e == wanted));
        let SessionFilter {
            service,
            realm_id,
            user_id,
            bound,
            backend,
            transport,
            state,
        } = filter;
        self.session_id().is_some()
            && realm_id.is_none_or(|realm| realm == self.realm_id.get())
            && user_id.is_none_or(|user| user == self.user_id.get())
            && bound.is_none_or(|bound| bound == self.bound.get())
            && transport.is_none_or(|transport| transport == self.transport.get().into())
            && state.is_none_or(|state| state == self.state())
            && service.as_ref().is_none_or(uses)
            && backend.as_ref().is_none_or(is_bound)
    }

    /// The session, as of now.
    pub fn snapshot(&self, gateway_id: &str, worker: usize, now_ms: u64) -> SessionSnapshot {
        let session_id = self.session_id.get();
        let service = |(name, endpoint): &(Arc<str>, SocketAddr)| SessionService {
            service: name.to_string(),
            endpoint: *endpoint,
        };
        SessionSnapshot {
            session_id: session_id.to_string(),
            global_id: format!("{gateway_id}:{session_id}"),
            user_id: self.user_id.get().to_string(),
            realm_id: self.realm_id.get(),
            identity: match self.bound.get() {
                true => Identity::Bound,
                false => Identity::Claimed,
            },
            state: self.state(),
            transport: self.transport.get().into(),
            client: self.remote.get(),
            worker,
            age_seconds: self.age_seconds(now_ms).into(),
            resumable: self.resumable.get() != Resumable::No,
            services: self.with_services(|all| all.iter().map(service).collect()),
            frames_in: self.frames_in.get(),
            frames_out: self.frames_out.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            queued_bytes: self.queued.get().into(),
        }
    }
}

impl From<Transport> for TransportName {
    fn from(transport: Transport) -> TransportName {
        match transport {
            Transport::Tcp => TransportName::Tcp,
            Transport::WebSocket => TransportName::WebSocket,
            Transport::Http => TransportName::Http,
            Transport::TcpTls => TransportName::TcpTls,
            Transport::WebSocketTls => TransportName::WebSocketTls,
            Transport::HttpTls => TransportName::HttpTls,
        }
    }
}
