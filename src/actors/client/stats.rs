//! Figures of a client that its worker reads without asking: the client writes them, the worker, on the
//! same thread, reads it when sessions are listed. So a listing of all sessions costs the clients
//! nothing.
//!
//! Hot path: a few stores for each read and delivery.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::story::{Facts, Place, SessionRow, SessionStory};
use super::{SessionFilter, SessionState, TransportName};
use crate::admission::AddressSource;
use crate::codec::link::Transport;
use crate::history::{EndedSession, Happening, ServiceMove, SessionRecord, Story, UsedService};
use crate::session::core::Ended;
use crate::traces::Subject;

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
    pub(super) marks: Cell<u8>,
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
    /// There once something has happened to the session.
    story: Cell<Option<Box<Story>>>,
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
    /// What the socket's buffers have where nothing is under way, in KiB.
    pub idle_kib: Cell<u8>,
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

    /// Tells whether a part of something may have come without its rest.
    pub fn may_lack_rest(&self) -> bool {
        self.in_flight() > self.queue.get()
    }

    /// All but the replay ring, and what an idle socket has.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        let queues = self.queue.get().saturating_add(self.input.get());
        let idle = u32::from(self.idle_kib.get()) * 1024;
        let socket = self.socket.get().saturating_sub(idle);
        queues.saturating_add(socket)
    }
}

/// Services by name, the endpoints that they are bound to, and since when, in seconds as above.
type Services = SmallVec<[UsedService; 1]>;

/// Whole seconds, for 136 years.
pub(super) fn seconds(ms: u64) -> u32 {
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
            marks: Cell::default(),
            realm_id: Cell::default(),
            user_id: Cell::default(),
            frames_in: Cell::default(),
            frames_out: Cell::default(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            queued: Cell::default(),
            held: HeldByClient::default(),
            services: Cell::default(),
            story: Cell::default(),
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

    /// Returns whose events a trace would get.
    pub fn subject(&self, worker: usize) -> Subject {
        Subject {
            worker,
            connection: self.client_number,
            session_id: self.session_id.get(),
            user_id: self.user_id.get(),
            client: self.remote.get(),
        }
    }

    /// The connection goes on with `next`.
    pub(super) fn becomes(&self, next: Transport) {
        self.transport.set(self.transport.get().becomes(next));
    }

    pub(super) fn set_services<'a>(
        &self,
        services: impl Iterator<Item = (&'a Arc<str>, SocketAddr)>,
        now_s: u32,
    ) {
        let before = self.services.take();
        let since = |name: &Arc<str>, endpoint| {
            let same = |used: &&UsedService| *used.0 == **name && used.1 == endpoint;
            before.iter().find(same).map_or(now_s, |used| used.2)
        };
        let owned =
            services.map(|(name, endpoint)| (Arc::clone(name), endpoint, since(name, endpoint)));
        let now: Services = owned.collect();
        for (name, from, _) in &before {
            // A link that is lost leaves nothing; only a move puts another endpoint in its place.
            let what = match now.iter().find(|used| used.0 == *name) {
                Some((_, to, _)) if to == from => continue,
                Some((_, to, _)) => Happening::Moved(Box::new(ServiceMove {
                    service: Arc::clone(name),
                    from: *from,
                    to: *to,
                })),
                None => Happening::Left(Arc::clone(name), *from),
            };
            self.happened(what, 1, now_s);
        }
        self.services.set(now);
    }

    /// Notes something that has happened to the session, if there is one, so many times.
    #[cold]
    pub(super) fn happened(&self, what: Happening, count: u32, now_s: u32) {
        if self.session_id().is_some() {
            self.with_story(|story| story.add(what, count, now_s));
        }
    }

    /// Changes the story of the session.
    pub(super) fn with_story(&self, change: impl FnOnce(&mut Story)) {
        let mut story = self.story.take().unwrap_or_default();
        change(&mut story);
        self.story.set(Some(story));
    }

    /// Looks at the story of the session, if there is one.
    pub(super) fn look_at_story<R>(&self, look: impl FnOnce(Option<&Story>) -> R) -> R {
        let story = self.story.take();
        let seen = look(story.as_deref());
        self.story.set(story);
        seen
    }

    /// Takes the session off the card; returns what is remembered of it.
    pub(super) fn session_ended(&self, ended: &Ended, now_ms: u64) -> EndedSession {
        let session = self.record(self.services.take());
        self.session_id.set(0);
        EndedSession {
            session,
            ended_s: seconds(now_ms),
            why: ended.why,
            code: ended.code,
            resumes: ended.resumes,
            last_words: None,
            story: self.story.take(),
        }
    }

    fn record(&self, services: Services) -> SessionRecord {
        SessionRecord {
            session_id: self.session_id.get(),
            user_id: self.user_id.get(),
            realm_id: self.realm_id.get(),
            is_bound: self.is_bound(),
            is_resumable: self.resumable.get() != Resumable::No,
            transport: self.transport.get(),
            client: self.remote.get(),
            frames_in: self.frames_in.get(),
            frames_out: self.frames_out.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            services,
            started_s: self.started_s.get(),
        }
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

    /// Seconds since the session began, at whichever gateway; `None`: not known.
    pub(super) fn session_age_s(&self, now_s: u32) -> Option<u32> {
        let before_s = self.look_at_story(|story| story.map_or(Some(0), Story::before_s));
        Some(before_s?.saturating_add(now_s.saturating_sub(self.started_s.get())))
    }

    /// The session, which has been taken up, began so many seconds ago.
    pub(super) fn began_elsewhere(&self, age_s: u32, now_s: u32) {
        let here_s = now_s.saturating_sub(self.started_s.get());
        self.with_story(|story| story.set_before_s(age_s.saturating_sub(here_s)));
    }

    /// Seconds since the connection was accepted.
    pub fn uptime_seconds(&self, now_ms: u64) -> u32 {
        seconds(now_ms).saturating_sub(self.accepted_s)
    }

    /// Looks at the services, and at their endpoints.
    fn with_services<R>(&self, look: impl FnOnce(&Services) -> R) -> R {
        let services = self.services.take();
        let seen = look(&services);
        self.services.set(services);
        seen
    }

    fn state(&self) -> SessionState {
        match self.is_suspended() {
            true => SessionState::Suspended,
            false => SessionState::Active,
        }
    }

    /// Tells whether the client has a session that the filter lets pass.
    pub fn passes(&self, filter: &SessionFilter) -> bool {
        let facts = Facts {
            realm_id: self.realm_id.get(),
            user_id: self.user_id.get(),
            bound: self.is_bound(),
            client: self.remote.get(),
            transport: self.transport.get(),
            state: self.state(),
        };
        self.session_id().is_some()
            && filter.passes(&facts)
            && (!filter.looks_at_services()
                || self.with_services(|services| filter.passes_services(services)))
    }

    /// The session, as of now.
    pub fn row(&self) -> SessionRow {
        SessionRow {
            record: self.record(self.with_services(Clone::clone)),
            state: self.state(),
            queued_bytes: self.queued.get(),
        }
    }

    /// The session with its story, as of now.
    pub fn story(&self, place: &Place) -> SessionStory {
        let session = self.row().snapshot(place);
        let since_s = self.started_s.get();
        self.look_at_story(|story| {
            let resumes = story.map_or(0, Story::resumes);
            SessionStory::new(session, since_s, resumes, story, place)
        })
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
