//! One client connection and the session on it.
//!
//! ```text
//!              first frame's         first DATA          OpenSession
//!   Sniffing ── header there ──▶ Talking ── held back ──▶ answered ──▶ Talking, with a session
//!    │  ▲ │                        ▲ │                                    │
//!    ▼  │ │        WebSocket       │ │                                    │
//!   Entering ──────────────────────┘ │                                    │
//!      │  │                          │                                    │
//!      └────────────────────────────┴───────── close(Closing) ─────────────┘
//!                                               │
//!                     Closing: flush, shut down, discard input, stop
//! ```
//!
//! Hot path: [`Client::poll_io`], the handler of [`LinkEvent`](super::link::LinkEvent), and
//! [`inbound`]. A socket read becomes one [`Forward`](super::link::Forward); the outbox is flushed
//! after the mailbox is empty, so what several links delivered goes out in one write. An idle client
//! owns no buffer.

mod arriving;
mod closing;
mod confirming;
mod entering;
mod events;
mod holding;
mod inbound;
mod opening;
mod pump;
mod resumable;
mod returning;
mod snapshot;
mod stats;
mod tokens;
mod worker_scope;

use std::rc::Rc;
use std::task::Context as TaskContext;
use std::time::Duration;

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::link::Lease;
use crate::admission::Permit;
use crate::codec::buffers;
use crate::codec::client::{self, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::metrics::DropReason;
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::session::closing::Closing;
use crate::session::state::Session;
use crate::supervision::{Inspectable, Registration, inspectable};

use closing::Ending;
use pump::Pump;
use resumable::Resumable;
pub use snapshot::{SessionFilter, SessionService, SessionSnapshot, SessionState, TransportName};
pub use stats::ClientStats;
pub use worker_scope::{ClientEvent, WorkerScope, worker_of};

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

/// An operator ends the session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Kick {
    /// Which; another one of this client is left alone.
    pub session_id: u64,
}

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
    socket: Socket,
    /// Bytes that were read and not handled yet: the beginning of a frame, or what is held back.
    inbox: BytesMut,
    outbox: Outbox,
    session: Option<Session<Lease>>,
    /// Only where the session can be resumed.
    resumable: Option<Box<Resumable>>,
    stage: Stage,
    hold: Hold,
    /// What a backend is told that is opened when the session is over.
    final_code: Code,
    /// Whether a frame has come; RESUME must be the first.
    talked: bool,
    /// When the deadline in force began, in the worker's milliseconds.
    alive_ms: u64,
    /// When the worker's wheel wakes this client; 0: not at all.
    armed_ms: u64,
    permit: Option<Permit>,
}

/// How far the connection is.
enum Stage {
    /// The first header is not complete.
    Sniffing(Sniffing),
    /// It does not begin with a frame; somebody else has the socket.
    Entering(Box<Entering>),
    /// Frames come and go.
    Talking,
    /// There is no connection; the session waits for its player.
    Suspended,
    /// The end has begun.
    Ending(Ending),
}

struct Sniffing {
    /// It will be refused with this when it is known how.
    refusal: Option<Closing>,
    /// Whether it is known to be frames, and whose they are.
    entered: bool,
}

struct Entering {
    refusal: Option<Closing>,
    /// Has an HTTP connection end in order.
    leaving: Rc<Notify>,
}

/// Why the client is not read for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    None,
    /// The registry is asked about this session id; the frame that starts the session waits.
    Registering(u64),
    /// The session is looked for, and brought together with the connection.
    Returning,
    /// The session is about to go to another gateway.
    Leaving,
    /// Much waits for a link that is being opened.
    Opening,
    /// A link that the client feeds is full.
    LinkFull,
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
        Client {
            alive_ms: shared.now_ms(),
            registration,
            shared,
            slot,
            stats,
            socket: arrival.socket,
            inbox: BytesMut::new(),
            outbox: Outbox::default(),
            session: None,
            resumable: None,
            stage: Stage::Sniffing(Sniffing {
                refusal: arrival.refusal,
                entered,
            }),
            hold: Hold::None,
            final_code: Code::INTERNAL,
            talked: false,
            armed_ms: 0,
            permit: arrival.permit,
        }
    }

    /// Has the worker look at the clock for this client after `wait`. An earlier look re-arms.
    fn arm(&mut self, wait: Duration) {
        let at = self.shared.after(wait);
        if self.armed_ms == 0 || at < self.armed_ms {
            self.armed_ms = at;
            self.shared.wake_at(self.slot, at);
        }
    }

    /// Queues a frame of the gateway's own for the client.
    fn tell(&mut self, kind: Kind, payload: &[u8], ctx: &mut Context<Self>) {
        let header = Header {
            kind: kind as u8,
            session_id: self.session.as_ref().map_or(0, Session::id),
            ..Header::default()
        };
        let mut frame = buffers::take();
        client::encode(&mut frame, &header, "", payload);
        self.send(frame, None, 1, ctx);
    }

    /// Queues an ERROR; the connection goes on.
    fn tell_error(
        &mut self,
        code: Code,
        retry_after_ms: u32,
        text: &str,
        service: &str,
        ctx: &mut Context<Self>,
    ) {
        self.shared.scope.metrics.errors_sent.add(code, 1);
        let session_id = self.session.as_ref().map_or(0, Session::id);
        let notice = Notice {
            code,
            retry_after_ms,
            text,
        };
        let mut frame = buffers::take();
        client::encode_notice(&mut frame, Kind::Error, session_id, service, &notice);
        if self.keep(&frame, &[], 0) {
            self.send(frame, None, 1, ctx);
        }
    }

    /// Takes a backend's DATA: `frames` whole frames for the client.
    #[inline]
    fn deliver(
        &mut self,
        head: Vec<u8>,
        tail: Option<Bytes>,
        frames: u32,
        ctx: &mut Context<Self>,
    ) {
        if self.keep(&head, tail.as_deref().unwrap_or_default(), frames) {
            self.send(head, tail, frames, ctx);
        } else {
            buffers::give(head);
        }
    }

    /// Queues whole frames for the client, within the bound.
    #[inline]
    fn send(&mut self, head: Vec<u8>, tail: Option<Bytes>, frames: u32, ctx: &mut Context<Self>) {
        let metrics = &self.shared.scope.metrics;
        if matches!(self.stage, Stage::Ending(_)) {
            return metrics
                .dropped
                .add(DropReason::ClientClosing, u64::from(frames));
        }
        let bytes = head.len() + tail.as_ref().map_or(0, Bytes::len);
        let limit = self.shared.scope.config.session.outbound_queue;
        // A single frame over the bound still fits an empty queue.
        if !self.outbox.is_empty() && self.outbox.queued() + bytes > limit {
            let mut cx = TaskContext::from_waker(std::task::Waker::noop());
            let _ = self.poll_flush(&mut cx);
            if !self.outbox.is_empty() && self.outbox.queued() + bytes > limit {
                self.shared
                    .scope
                    .metrics
                    .dropped
                    .add(DropReason::ClientClosing, u64::from(frames));
                return self.close(Closing::TooSlow, ctx);
            }
        }
        self.shared
            .scope
            .metrics
            .client_frames_out
            .add(u64::from(frames));
        stats::add(&self.stats.frames_out, u64::from(frames));
        stats::add(&self.stats.bytes_out, bytes as u64);
        self.outbox.push(head);
        if let Some(tail) = tail {
            self.outbox.push_shared(tail);
        }
    }
}

fn retag_if_changed(session: &mut Session<Lease>, before: u32) {
    let realm_id = session.realm_id();
    if realm_id != before {
        session.leases().for_each(|lease| lease.retag(realm_id));
    }
}

impl Actor for Client {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.arm(self.shared.scope.config.listen.sniff_timeout);
        ctx.spawn(Pump);
    }
}

impl Inspectable for Client {
    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        // What there is to say is on its card, where its worker reads it.
        serde_json::Value::Null
    }
}

inspectable!(Client);

/// An orderly end and a panic both pass here: the registry and the worker forget the client, and
/// the leases, dropped with the session, tell the backends.
impl Drop for Client {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Ending(_)) && std::thread::panicking() {
            self.last_words();
        }
        self.leave_registry();
        if let Some(resumable) = self.resumable.take() {
            self.shared.replay_grows(resumable.replay.len(), 0);
        }
        self.shared
            .tell_worker(ClientEvent::Ended { slot: self.slot });
    }
}
