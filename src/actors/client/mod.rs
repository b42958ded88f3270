//! One client connection and the session on it.
//!
//! ```text
//!              first frame's         first DATA          OpenSession
//!   Sniffing ── header there ──▶ Talking ── held back ──▶ answered ──▶ Talking, with a session
//!      │                           │                                      │
//!      └───────────────────────────┴───────── close(Closing) ─────────────┘
//!                                               │
//!                     Closing: flush, shut down, discard input, stop
//! ```
//!
//! Hot path: [`Client::poll_io`], the [`LinkEvent`] handler, and [`inbound`]. A socket read becomes
//! one [`Forward`](super::link::Forward); the outbox is flushed after the mailbox is empty, so what
//! several links delivered goes out in one write. An idle client owns no buffer.

mod closing;
mod inbound;
mod opening;

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use super::link::{Lease, LinkEvent};
use super::scope::Permit;
use super::session_registry::{StrayFrame, Strayed};
use super::worker::{ClientEnded, WorkerScope};
use crate::codec::Decoded;
use crate::codec::client::{self, Header, Kind};
use crate::codec::code::{Code, Notice};
use crate::codec::link::Bind;
use crate::net::buffers::{self, SCRATCH_BYTES};
use crate::net::outbox::{Outbox, VECTORED_BYTES};
use crate::session::closing::Closing;
use crate::session::state::Session;

use closing::Ending;

/// Reads in one turn before others get theirs.
const MAX_READS: usize = 4;

/// The worker looks at the clock for this client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckDeadline;

/// The gateway's drain window is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CutOff;

/// The actor.
pub struct Client {
    shared: Rc<WorkerScope>,
    slot: u32,
    owner: u64,
    peer: SocketAddr,
    socket: TcpStream,
    /// Bytes that were read and not handled yet: the beginning of a frame, or what is held back.
    inbox: BytesMut,
    outbox: Outbox,
    session: Option<Session<Lease>>,
    stage: Stage,
    hold: Hold,
    /// Whether a frame has come; RESUME must be the first.
    talked: bool,
    /// When the deadline in force began, in the worker's milliseconds.
    alive_ms: u64,
    /// When the worker's wheel wakes this client; 0: not at all.
    armed_ms: u64,
    _permit: Permit,
}

/// How far the connection is.
enum Stage {
    /// The first header is not complete. `Some`: it will be refused with this when it is known how.
    Sniffing(Option<Closing>),
    /// Frames come and go.
    Talking,
    /// The end has begun.
    Ending(Ending),
}

/// Why the client is not read for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    None,
    /// The registry is asked about this session id; the frame that starts the session waits.
    Registering(u64),
    /// Much waits for a link that is being opened.
    Opening,
    /// A link that the client feeds is full.
    LinkFull,
}

impl Client {
    /// A client for an accepted connection. `refusal`: it is only told why it is not served.
    pub fn new(
        shared: Rc<WorkerScope>,
        slot: u32,
        owner: u64,
        socket: TcpStream,
        peer: SocketAddr,
        permit: Permit,
        refusal: Option<Closing>,
    ) -> Client {
        Client {
            alive_ms: shared.now_ms(),
            shared,
            slot,
            owner,
            peer,
            socket,
            inbox: BytesMut::new(),
            outbox: Outbox::default(),
            session: None,
            stage: Stage::Sniffing(refusal),
            hold: Hold::None,
            talked: false,
            armed_ms: 0,
            _permit: permit,
        }
    }

    /// Moves bytes both ways as far as the socket and the session allow.
    fn poll_io(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.close(Closing::Failed, ctx);
        }
        let mut reads = 0;
        while self.may_read() {
            if reads == MAX_READS {
                cx.waker().wake_by_ref();
                break;
            }
            reads += 1;
            match self.poll_read(ctx, cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(closing)) => self.close(closing, ctx),
            }
        }
        // What the reads themselves have brought about: PONGs, ERRORs, a CLOSE.
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.close(Closing::Failed, ctx);
        }
        self.poll_ending(ctx, cx)
    }

    fn poll_flush(&mut self, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        let before = self.outbox.queued();
        if before == 0 {
            return Poll::Ready(Ok(()));
        }
        let result = self.outbox.poll_write(&mut self.socket, cx);
        let written = before - self.outbox.queued();
        self.shared
            .scope
            .metrics
            .client_bytes_out
            .add(written as u64);
        result
    }

    fn may_read(&self) -> bool {
        self.hold == Hold::None && !matches!(self.stage, Stage::Ending(_))
    }

    /// One read and everything that follows from it.
    fn poll_read(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closing>> {
        if self.inbox.is_empty() {
            buffers::with_scratch(|scratch| self.poll_read_scratch(scratch, ctx, cx))
        } else {
            self.poll_read_inbox(ctx, cx)
        }
    }

    /// The usual case: nothing is left over, so the thread's buffer serves.
    fn poll_read_scratch(
        &mut self,
        scratch: &mut [u8],
        ctx: &mut Context<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closing>> {
        let mut buf = ReadBuf::new(scratch);
        let result = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf));
        let bytes = buf.filled();
        self.count_read(result.map(|()| bytes.len()))?;
        let taken = self.take_bytes(bytes, ctx)?;
        if taken < bytes.len() {
            self.inbox = BytesMut::from(&bytes[taken..]);
        }
        Poll::Ready(Ok(()))
    }

    /// A frame has begun: it is completed in a buffer of its own.
    fn poll_read_inbox(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Closing>> {
        let have = self.inbox.len();
        let limit = self.shared.scope.config.listen.max_payload;
        if let Ok(Decoded::Need(n)) = client::decode(&self.inbox, limit) {
            // Its length is believed only as far as bytes have come: the buffer doubles.
            self.inbox.reserve((n - have).min(have.max(SCRATCH_BYTES)));
            let socket = Pin::new(&mut self.socket);
            let result = ready!(poll_read_buf(socket, cx, &mut self.inbox));
            self.count_read(result)?;
        }
        let inbox = std::mem::take(&mut self.inbox);
        let taken = self.take_bytes(&inbox, ctx)?;
        if taken == 0 {
            self.inbox = inbox;
        } else if taken < inbox.len() {
            // A buffer of the right size, so that what grew does not stay.
            self.inbox = BytesMut::from(&inbox[taken..]);
        }
        Poll::Ready(Ok(()))
    }

    fn count_read(&self, result: std::io::Result<usize>) -> Result<(), Closing> {
        match result {
            Ok(0) => Err(Closing::Disconnected),
            Ok(read) => {
                self.shared.scope.metrics.client_bytes_in.add(read as u64);
                self.shared.scope.metrics.client_reads.one();
                Ok(())
            }
            Err(_) => Err(Closing::Failed),
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
        self.enqueue(frame, None, 1, ctx);
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
        self.enqueue(frame, None, 1, ctx);
    }

    /// Queues whole frames for the client, within the bound.
    #[inline]
    fn enqueue(
        &mut self,
        head: Vec<u8>,
        tail: Option<Bytes>,
        frames: u32,
        ctx: &mut Context<Self>,
    ) {
        let metrics = &self.shared.scope.metrics;
        if matches!(self.stage, Stage::Ending(_)) {
            return metrics.dropped.add("client_closing", u64::from(frames));
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
                    .add("client_closing", u64::from(frames));
                return self.close(Closing::TooSlow, ctx);
            }
        }
        self.shared
            .scope
            .metrics
            .client_frames_out
            .add(u64::from(frames));
        self.outbox.push(head);
        if let Some(tail) = tail {
            self.outbox.push_shared(tail);
        }
    }

    fn resume_reading(&mut self, hold: Hold) {
        if self.hold == hold {
            // The message that brought this wakes the pump, which goes on where it stopped. What
            // was our doing must not count as the client's silence.
            self.hold = Hold::None;
            self.alive_ms = self.shared.now_ms();
        }
    }

    fn bound(&mut self, bind: Bind) {
        self.shared.scope.metrics.binds.one();
        if let Some(session) = &mut self.session {
            let before = session.realm_id();
            session.bind(bind);
            retag_if_changed(session, before);
        }
    }

    /// A backend's DATA that came by way of the registry.
    fn deliver_stray(&mut self, service: &str, payload: Bytes, ctx: &mut Context<Self>) {
        let Some(session) = &self.session else { return };
        let header = Header {
            session_id: session.id(),
            realm_id: session.realm_id(),
            ..Header::default()
        };
        let mut head = buffers::take();
        client::encode_header(&mut head, &header, service, payload.len() as u32);
        let tail = if payload.len() < VECTORED_BYTES {
            head.extend_from_slice(&payload);
            None
        } else {
            Some(payload)
        };
        self.enqueue(head, tail, 1, ctx);
    }
}

fn retag_if_changed(session: &mut Session<Lease>, before: u32) {
    let realm_id = session.realm_id();
    if realm_id != before {
        session.leases().for_each(|lease| lease.retag(realm_id));
    }
}

/// Polls the client's socket inside the actor, after its mailbox.
struct Pump;

impl ActorFuture<Client> for Pump {
    type Output = ();

    #[inline]
    fn poll(
        self: Pin<&mut Self>,
        client: &mut Client,
        ctx: &mut Context<Client>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        client.poll_io(ctx, cx)
    }
}

impl Actor for Client {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.arm(self.shared.scope.config.listen.sniff_timeout);
        ctx.spawn(Pump);
    }
}

/// An orderly end and a panic both pass here: the registry and the worker forget the client, and
/// the leases, dropped with the session, tell the backends.
impl Drop for Client {
    fn drop(&mut self) {
        self.leave_registry();
        self.shared.worker.do_send(ClientEnded { slot: self.slot });
    }
}

impl Handler<LinkEvent> for Client {
    type Result = ();

    #[inline]
    fn handle(&mut self, msg: LinkEvent, ctx: &mut Context<Self>) {
        match msg {
            LinkEvent::Deliver { head, tail, frames } => self.enqueue(head, tail, frames, ctx),
            LinkEvent::Bound(bind) => self.bound(bind),
            LinkEvent::Closed(close) => self.closed_by_backend(close, ctx),
            LinkEvent::Lost { service, link_id } => self.link_lost(&service, link_id, ctx),
            LinkEvent::Room => self.resume_reading(Hold::LinkFull),
        }
    }
}

impl Handler<Strayed> for Client {
    type Result = ();

    fn handle(&mut self, msg: Strayed, ctx: &mut Context<Self>) {
        let uses = |s: &Session<Lease>| s.id() == msg.stray.session_id && s.uses(&msg.service);
        if !self.session.as_ref().is_some_and(uses) {
            msg.origin.do_send(super::link::Refuse {
                session_ids: vec![msg.stray.session_id],
            });
            return;
        }
        match msg.stray.frame {
            StrayFrame::Data(payload) => self.deliver_stray(&msg.service, payload, ctx),
            StrayFrame::Bind(bind) => self.bound(bind),
            StrayFrame::Close(close) => self.closed_by_backend(close, ctx),
        }
    }
}

impl Handler<CheckDeadline> for Client {
    type Result = ();

    fn handle(&mut self, _: CheckDeadline, ctx: &mut Context<Self>) {
        if self.shared.now_ms() < self.armed_ms {
            return; // Meant for the slot's previous client, or already answered.
        }
        self.armed_ms = 0;
        let config = &self.shared.scope.config;
        let (limit, overdue) = match &self.stage {
            Stage::Sniffing(_) if self.inbox.len() >= 2 => {
                (config.listen.sniff_timeout, Closing::SlowStart)
            }
            Stage::Sniffing(_) => (config.listen.sniff_timeout, Closing::SilentStart),
            Stage::Talking => (config.session.idle_timeout, Closing::Idle),
            Stage::Ending(ending) => (ending.patience(), Closing::Idle),
        };
        if self.hold != Hold::None {
            // Not the client's silence but ours; it is looked at again when that is over.
            self.alive_ms = self.shared.now_ms();
        }
        let silent = Duration::from_millis(self.shared.now_ms().saturating_sub(self.alive_ms));
        if silent < limit {
            self.arm(limit - silent);
        } else if matches!(self.stage, Stage::Ending(_)) {
            ctx.stop();
        } else {
            self.close(overdue, ctx);
        }
    }
}

/// Something outside the mailbox has changed the client: its pump is to look again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Changed;

impl Handler<Changed> for Client {
    type Result = ();

    fn handle(&mut self, _: Changed, _: &mut Context<Self>) {
        // The pump is polled after every message.
    }
}

impl Handler<CutOff> for Client {
    type Result = ();

    fn handle(&mut self, _: CutOff, ctx: &mut Context<Self>) {
        self.close(Closing::Draining, ctx);
    }
}
