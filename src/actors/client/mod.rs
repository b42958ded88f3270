//! One client connection and the session on it.
//!
//! Three parts: the *pump* moves the socket's bytes, the *session core*
//! ([`crate::session::core`]) decides, and the *driver* executes what the core asks for. The actor's own
//! state is the connection's:
//!
//! ```text
//!              first header there               LeaveConnection
//!   Sniffing ─────────────────────▶ Frames ─────────────────────▶ Absent
//!    │  ▲ │                          ▲ │ ▲                          │
//!    ▼  │ │         WebSocket        │ │ └────── TakeConnection ────┘
//!   Entering ────────────────────────┘ │
//!      └──────────┴────────────────────┴─ Close ─▶ Ending: flush, shut down, discard input, stop
//! ```
//!
//! Hot path: [`pump`] and the receiver of [`LinkEvent`](super::link::LinkEvent). A socket read becomes one
//! [`Forward`](super::link::Forward); the outbox is flushed after the mailbox is empty, so what several
//! links delivered goes out in one write. An idle client owns no buffer.

mod access;
mod assigning;
mod driver;
mod ending;
mod entering;
mod entry_view;
mod linking;
mod looking_up;
mod mail;
mod marks;
mod memory;
mod opens;
mod outgoing;
mod pump;
mod registering;
mod sample;
mod snapshot;
mod span_ends;
mod spans;
mod stats;
mod story;
mod traced;
mod users;
mod view;
mod wanting;
mod ways;
mod worker_scope;

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::BytesMut;
use tokio::sync::{Notify, oneshot};

use super::link::Lease;
use crate::admission::{Permit, Suspension};
use crate::codec::code::Code;
use crate::history::Happening;
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::net::timers::TICK_MS;
use crate::session::closing::{Closing, ClosingLabel};
use crate::session::core::{Core, Ended};
use crate::supervision::{Inspectable, Pumped, Registration, mailbox};
use crate::traces::Name;

pub use assigning::Assigned;
use ending::Ending;
pub use memory::{Caps, LEAST_READING, LEAST_WHILE_QUEUES_END, UNCAPPED};
pub use sample::{ClientSample, Traffic};
pub use snapshot::{
    Identity, SessionFilter, SessionService, SessionSnapshot, SessionState, TransportName,
};
pub use stats::{ClientStats, HeldByClient};
pub use story::{LastWordsSnapshot, Place, SessionEnd, SessionRow, SessionStory, StoryEvent};
pub use worker_scope::{ClientEvent, WorkerScope, slot_of, worker_of};

/// What the first events of a session take.
const STORY_BYTES: usize = 512;

/// The worker looks at the clock for this client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckDeadline;

/// The gateway's drain window is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CutOff;

/// The gateway drains: a player whose session can be resumed is asked to go elsewhere.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GoAway;

/// A suspended session ends, for there are too many.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GiveUp;

/// Memory is short, or no longer.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub enum Squeeze {
    /// The replay ring may have so many bytes.
    Ring(u32),
    /// Whoever holds so many bytes still holds more than it may.
    Queue(u32),
    /// Memory is less short than it was; a part of a frame is kept no longer than that of a first header.
    Parts,
    /// There may be room for what the client would read.
    Room,
    /// The client may have again what it may have otherwise.
    Ease,
}

/// An operator ends the session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Kick {
    /// Which; another one of this client is left alone.
    pub session_id: u64,
}

/// An operator says where a service of the session goes, as a backend does by ASSIGN. The answer is dropped where the
/// client has another session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Assign {
    /// Which session.
    pub session_id: u64,
    /// Its service.
    pub service: Box<str>,
    /// Where to, as the operator says.
    pub endpoint: Box<str>,
    /// For the operator; an error is the code of MOVED.
    pub answer: oneshot::Sender<Result<Assigned, Code>>,
}

/// An operator has banned the session's user, or the connection's address.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct GetOut;

/// Something outside the mailbox has changed the client: its pump is to look again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Changed;

/// A connection that was accepted, or the inner end of an HTTP request's session.
pub struct Arrival {
    /// Where frames come from.
    pub socket: Socket,
    /// Counts the connection; the session of an HTTP request counts with its connection.
    pub permit: Option<Permit>,
    /// It is only told why it is not served.
    pub refusal: Option<Closing>,
}

/// The actor.
pub struct Client {
    registration: Registration,
    shared: Rc<WorkerScope>,
    slot: u32,
    stats: Rc<ClientStats>,
    core: Core<Lease>,
    connection: Connection,
    socket: Socket,
    /// The inbox is empty, a read of this very socket is pending, and its event loop wakes the client.
    watched: bool,
    /// The remote end has shut down, and all that it sent was read.
    read_out: bool,
    /// Bytes that were read and not handled yet: the beginning of a frame, or what is held back.
    inbox: BytesMut,
    outbox: Outbox,
    /// The session id that the registry has, or is asked for, in this client's name; 0: none.
    registered_id: u64,
    /// When the connection began to be sniffed, or to end, in the worker's milliseconds, of which these are the
    /// lowest bits.
    since_ms: u32,
    /// When the worker's wheel wakes this client, in ticks of the worker's clock; 0: not at all.
    armed: u32,
    permit: Option<Permit>,
}

/// State of the connection.
enum Connection {
    /// The first header is not complete.
    Sniffing(Sniffing),
    /// It does not begin with a frame; an entry has the socket.
    Entering(Box<Entering>),
    /// Frames come and go.
    Frames,
    /// No connection; the session waits for its player (it counts as suspended) or is on its way. Boxed, for it
    /// would be the largest part of a client.
    Absent(Option<Box<Suspension>>),
    /// The end has begun.
    Ending(Ending),
}

struct Sniffing {
    /// It will be refused with this when it is known how. Boxed, for it would be the largest part of a client.
    refusal: Option<Box<Closing>>,
    /// It is known to be frames, and whose they are.
    entered: bool,
}

struct Entering {
    admitted: Rc<entry_view::Admitted>,
    /// Ends an HTTP connection in order.
    leaving: Rc<Notify>,
}

impl Client {
    /// A client for what has arrived.
    pub fn new(
        registration: Registration,
        shared: Rc<WorkerScope>,
        slot: u32,
        stats: Rc<ClientStats>,
        arrival: Arrival,
    ) -> Client {
        // What another client has let in is frames.
        let entered = matches!(arrival.socket, Socket::Duplex(_));
        let now_ms = shared.now_ms();
        shared.meet_address(&stats, Name::Connected);
        Client {
            registration,
            shared,
            slot,
            stats,
            core: Core::new(now_ms),
            connection: Connection::Sniffing(Sniffing {
                refusal: arrival.refusal.map(Box::new),
                entered,
            }),
            socket: arrival.socket,
            watched: false,
            read_out: false,
            inbox: BytesMut::new(),
            outbox: Outbox::default(),
            registered_id: 0,
            since_ms: now_ms as u32,
            armed: 0,
            permit: arrival.permit,
        }
    }

    /// Arms the worker's wheel for this client after `wait`; an earlier look re-arms.
    fn arm(&mut self, wait: Duration) {
        self.arm_at(self.shared.now_ms() + wait.as_millis() as u64);
    }

    /// The same, at a time in the worker's milliseconds, or up to two ticks later.
    fn arm_at(&mut self, at_ms: u64) {
        let at = u32::try_from(at_ms.div_ceil(TICK_MS) + 1).unwrap_or(u32::MAX);
        if self.armed == 0 || at < self.armed {
            self.armed = at;
            self.shared.wake_at(self.slot, u64::from(at) * TICK_MS);
        }
    }

    /// Returns for how long the connection has been sniffed, or has been ending.
    fn lasted(&self) -> Duration {
        let now_ms = self.shared.now_ms() as u32;
        Duration::from_millis(now_ms.wrapping_sub(self.since_ms).into())
    }

    /// Notes something that has happened to the session, where there is room for the note.
    fn happened(&self, what: Happening) {
        // A session that has just come here is not on the card yet.
        self.trace(|| traced::decision(&what, 1));
        if self.shared.has_room_for_a_note() {
            self.stats.happened(what, 1, self.shared.now_s());
        }
    }

    /// The connection speaks frames from now on.
    fn greet(&mut self) {
        self.connection = Connection::Frames;
        self.core.greets(self.shared.now_ms());
        self.arm(self.shared.scope.config.session.idle_timeout);
    }
}

impl Actor for Client {
    type Context = Pumped<Self>;

    fn started(&mut self, _: &mut Pumped<Self>) {
        self.arm(self.shared.scope.config.listen.sniff_timeout);
    }
}

impl Inspectable for Client {
    type Detail = serde_json::Value;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        // What there is to say is in its stats, where its worker reads it.
        serde_json::Value::Null
    }
}

mailbox!(Client);

/// An orderly end and a panic both pass here: the registry and the worker forget the client, and the
/// leases, dropped with the core, tell the backends.
impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.last_words();
        }
        if self.stats.session_id().is_some() {
            self.session_ended(&Ended {
                why: ClosingLabel::Internal,
                code: Code::INTERNAL,
                resumes: 0,
            });
        }
        self.forget_spans();
        self.unregister();
        self.holds_nothing();
        self.shared
            .tell_worker(ClientEvent::Ended { slot: self.slot });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever needs more finds what can be smaller: there is one of each for every player.
    #[test]
    fn an_idle_session_does_not_grow() {
        let sizes = [
            size_of::<Client>(),
            size_of::<ClientStats>(),
            size_of::<Outbox>(),
        ];
        assert!(
            sizes[0] <= 368 && sizes[1] <= 200 && sizes[2] <= 40,
            "{sizes:?}"
        );
    }
}
