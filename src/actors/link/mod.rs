//! One multiplexed connection to one endpoint of one service, with the sessions that it carries.
//!
//! Hot path: [`Forward`] in, [`LinkEvent::Deliver`] out; see [`inbound`] for what comes back.
//! The outbox is flushed when the mailbox is empty, which is when actix polls an actor's futures: so
//! what many clients sent in one turn of the event loop goes out in one write.

mod inbound;
mod lease;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use slab::Slab;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::scope::Scope;
use crate::codec::code::Code;
use crate::codec::link::{self, Bind, Hello, Kind};
use crate::net::outbox::Outbox;
use crate::session::liveness::{Liveness, Ponged, Ticked};

pub use lease::{AwaitRoom, Forward, Gauge, Lease, Release, Retag};

/// How long a link that is told to end may take to write what it still holds.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 1024;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What a link tells a client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum LinkEvent {
    /// Frames for the client, already encoded: `head`, then `tail`, which is the payload of the
    /// last frame where that is large.
    Deliver {
        /// Whole client frames, but that `tail` completes the last one.
        head: Vec<u8>,
        /// A large payload, written from the buffer in which it came.
        tail: Option<Bytes>,
        /// How many frames.
        frames: u32,
    },
    /// The backend says who the session is.
    Bound(Bind),
    /// The backend ends the session; this link has forgotten it already.
    Closed(BackendClose),
    /// The link is lost, and with it perhaps answers.
    Lost {
        /// Whose link it was.
        service: Arc<str>,
        /// Which link.
        link_id: u64,
    },
    /// The link has room again.
    Room,
}

/// How a backend ends a session.
#[derive(Debug, Clone)]
pub struct BackendClose {
    /// The backend's code, or 440.
    pub code: Code,
    /// Milliseconds.
    pub retry_after_ms: u32,
    /// For the player.
    pub text: Box<str>,
}

/// Adds a session: sends OPEN and answers with a [`Lease`]. Dropped unanswered, it means that the
/// link is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// The session.
    pub session_id: u64,
    /// Its realm, for frames to the client.
    pub realm_id: u32,
    /// The payload of OPEN.
    pub open: Vec<u8>,
    /// The client.
    pub client: Recipient<LinkEvent>,
    /// Who waits for the lease.
    pub answer: oneshot::Sender<Lease>,
}

/// Sessions that a backend spoke of and that it must not touch: each gets CLOSE 410.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Refuse {
    /// The sessions, as the backend named them.
    pub session_ids: Vec<u64>,
}

/// The link writes what it holds and ends. The answer comes when it is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Quit {
    /// The label of [`crate::metrics::LINK_ENDS`] under which this end is counted.
    pub reason: &'static str,
}

/// What a link tells its pool.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkReport {
    /// Which link.
    pub link_id: u64,
    /// What happened.
    pub what: LinkChange,
}

/// What happened to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Its first PONG came.
    Ready,
    /// Its backend takes no new sessions.
    Goaway,
    /// It has had no session for `backend.idle_timeout`.
    Idle,
    /// It is gone; the label says why.
    Ended(&'static str),
}

/// The actor.
pub struct Link {
    id: u64,
    scope: Arc<Scope>,
    service: Arc<str>,
    endpoint: SocketAddr,
    pool: Recipient<LinkReport>,
    gauge: Arc<Gauge>,
    socket: Option<TcpStream>,
    outbox: Outbox,
    inbox: BytesMut,
    liveness: Liveness,
    sessions: Slab<Attached>,
    places: HashMap<u64, u32, foldhash::fast::RandomState>,
    /// Places with frames to deliver when the read chunk is done.
    touched: Vec<u32>,
    /// Sessions whose clients wait for room.
    waiting: Vec<u64>,
    /// When the last session left.
    unused_since: Instant,
    idle_reported: bool,
    quitting: bool,
    fin_sent: bool,
    /// Why the link ends; still empty when the actor panics.
    end: Option<&'static str>,
    /// Resolves for whoever told the link to quit, by being dropped.
    quit_answers: Vec<oneshot::Sender<()>>,
}

struct Attached {
    session_id: u64,
    realm_id: u32,
    client: Recipient<LinkEvent>,
    head: Vec<u8>,
    frames: u32,
}

impl Link {
    /// A link that starts to connect as soon as it is started.
    pub fn new(
        scope: Arc<Scope>,
        service: Arc<str>,
        endpoint: SocketAddr,
        pool: Recipient<LinkReport>,
    ) -> Link {
        let gauge = Arc::new(Gauge::new(scope.config.backend.high_watermark));
        Link {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            scope,
            service,
            endpoint,
            pool,
            gauge,
            socket: None,
            outbox: Outbox::default(),
            inbox: BytesMut::new(),
            liveness: Liveness::default(),
            sessions: Slab::new(),
            places: HashMap::default(),
            touched: Vec::new(),
            waiting: Vec::new(),
            unused_since: Instant::now(),
            idle_reported: false,
            quitting: false,
            fin_sent: false,
            end: None,
            quit_answers: Vec::new(),
        }
    }

    /// Unique in the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How full the link is.
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    fn report(&self, what: LinkChange) {
        self.pool.do_send(LinkReport {
            link_id: self.id,
            what,
        });
    }

    fn end(&mut self, reason: &'static str, ctx: &mut Context<Self>) {
        self.end.get_or_insert(reason);
        ctx.stop();
    }

    /// Queues a frame of the link's own.
    fn enqueue(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        self.gauge.add(link::HEADER_LEN + payload.len());
        self.outbox
            .append(|out| link::encode(out, kind, session_id, payload));
        self.scope.metrics.link_frames_out.one();
    }

    fn enqueue_close(&mut self, session_id: u64, code: Code) {
        let mut payload = [0; 6];
        payload[..2].copy_from_slice(&code.0.to_be_bytes());
        self.enqueue(Kind::Close, session_id, &payload);
    }

    fn connected(&mut self, socket: io::Result<TcpStream>, ctx: &mut Context<Self>) {
        let socket = match socket.and_then(|s| s.set_nodelay(true).map(|()| s)) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(service = %self.service, endpoint = %self.endpoint, %error, "cannot connect");
                return self.end("connect_failed", ctx);
            }
        };
        self.socket = Some(socket);
        let config = &self.scope.config;
        let hello = Hello {
            protocol: 1,
            gateway_id: config.gateway.id.clone(),
            service_type: self.service.to_string(),
            resume_window_ms: config.session.resume_window.as_millis() as u64,
            token: config.backend.token.as_ref().map(|t| t.expose().to_owned()),
        };
        match serde_json::to_vec(&hello) {
            Ok(json) => self.enqueue(Kind::Hello, 0, &json),
            Err(error) => {
                tracing::error!(%error, "HELLO cannot be written as JSON");
                return self.end("protocol_error", ctx);
            }
        }
        self.enqueue(Kind::Ping, 0, &[]);
        ctx.spawn(Pump);
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        match self.liveness.tick() {
            Ticked::Ping => self.enqueue(Kind::Ping, 0, &[]),
            Ticked::Wait => {}
            Ticked::Lost => return self.end("ping_timeout", ctx),
        }
        let idle = self.unused_since.elapsed() >= self.scope.config.backend.idle_timeout;
        if self.gauge.sessions() == 0 && idle && !self.idle_reported {
            self.idle_reported = true;
            self.report(LinkChange::Idle);
        }
    }

    fn ponged(&mut self) {
        match self.liveness.pong() {
            Ponged::Ready => {
                self.scope.metrics.links_ready.one();
                self.report(LinkChange::Ready);
            }
            Ponged::Alive => {}
        }
    }

    /// Removes a session; its lease is gone, or the backend has ended it.
    fn detach(&mut self, session_id: u64) -> Option<Attached> {
        let place = self.places.remove(&session_id)?;
        let attached = self.sessions.try_remove(place as usize)?;
        self.gauge.session_removed();
        if self.sessions.is_empty() {
            self.unused_since = Instant::now();
            self.idle_reported = false;
        }
        Some(attached)
    }

    /// Moves bytes both ways as far as the socket allows.
    fn poll_io(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let result = self.poll_read(ctx, cx).and_then(|()| self.poll_write(cx));
        if let Err(reason) = result {
            self.end(reason, ctx);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut TaskContext<'_>) -> Result<(), &'static str> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let before = self.outbox.queued();
        let result = self.outbox.poll_write(socket, cx);
        let written = before - self.outbox.queued();
        self.gauge.sub(written);
        self.scope.metrics.link_bytes_out.add(written as u64);
        if let Poll::Ready(Err(_)) = result {
            return Err("io_error");
        }
        if self.quitting && self.outbox.is_empty() && !self.fin_sent {
            // The end comes when the peer closes too, so that no reset overtakes the last CLOSE.
            self.fin_sent = true;
            if let Poll::Ready(Err(_)) = Pin::new(socket).poll_shutdown(cx) {
                return Err("io_error");
            }
        }
        if !self.waiting.is_empty() && self.gauge.has_room() {
            for session_id in std::mem::take(&mut self.waiting) {
                self.tell(session_id, LinkEvent::Room);
            }
        }
        Ok(())
    }

    fn tell(&self, session_id: u64, event: LinkEvent) {
        if let Some(place) = self.places.get(&session_id) {
            self.sessions[*place as usize].client.do_send(event);
        }
    }
}

/// Polls the link's socket inside the actor, after its mailbox.
struct Pump;

impl ActorFuture<Link> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        link: &mut Link,
        ctx: &mut Context<Link>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        link.poll_io(ctx, cx)
    }
}

impl Actor for Link {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.scope.metrics.links_started.one();
        let timeout = self.scope.config.backend.connect_timeout;
        let endpoint = self.endpoint;
        let connect = async move { TcpStream::connect(endpoint).await };
        ctx.spawn(
            connect
                .into_actor(self)
                .map(|socket, link, ctx| link.connected(socket, ctx)),
        );
        ctx.run_later(timeout, |link, ctx| {
            if !link.liveness.ready() {
                link.end("connect_timeout", ctx);
            }
        });
        ctx.run_interval(self.scope.config.backend.ping_interval, Link::tick);
    }
}

/// The only place where sessions learn that their link is gone: an orderly end and a panic both
/// pass here.
impl Drop for Link {
    fn drop(&mut self) {
        let reason = self.end.unwrap_or("io_error");
        let metrics = &self.scope.metrics;
        metrics.links_ended.add(reason, 1);
        if self.liveness.ready() {
            metrics.links_unready.one();
        }
        metrics.links_lost_sessions.add(self.sessions.len() as u64);
        for (_, attached) in &self.sessions {
            attached.client.do_send(LinkEvent::Lost {
                service: Arc::clone(&self.service),
                link_id: self.id,
            });
        }
        self.report(LinkChange::Ended(reason));
    }
}

impl Handler<Attach> for Link {
    type Result = ();

    fn handle(&mut self, msg: Attach, ctx: &mut Context<Self>) {
        if msg.answer.is_closed() || self.quitting {
            // The client is gone, or will be told by the dropped answer: no OPEN was sent.
            self.gauge.session_removed();
            return;
        }
        let session_id = msg.session_id;
        let place = self.sessions.insert(Attached {
            session_id,
            realm_id: msg.realm_id,
            client: msg.client,
            head: Vec::new(),
            frames: 0,
        });
        self.places.insert(session_id, place as u32);
        self.enqueue(Kind::Open, session_id, &msg.open);
        let gauge = Arc::clone(&self.gauge);
        let lease = Lease::new(ctx.address(), gauge, self.id, self.endpoint, session_id);
        // A client that died meanwhile drops the lease, and that sends the final CLOSE.
        drop(msg.answer.send(lease));
    }
}

impl Handler<Forward> for Link {
    type Result = ();

    #[inline]
    fn handle(&mut self, msg: Forward, _: &mut Context<Self>) {
        self.scope
            .metrics
            .link_frames_out
            .add(u64::from(msg.frames));
        self.outbox.push(msg.bytes);
    }
}

impl Handler<Release> for Link {
    type Result = ();

    fn handle(&mut self, msg: Release, _: &mut Context<Self>) {
        if self.detach(msg.session_id).is_some() {
            self.enqueue_close(msg.session_id, msg.code);
        }
    }
}

impl Handler<Retag> for Link {
    type Result = ();

    fn handle(&mut self, msg: Retag, _: &mut Context<Self>) {
        if let Some(place) = self.places.get(&msg.session_id) {
            self.sessions[*place as usize].realm_id = msg.realm_id;
        }
    }
}

impl Handler<AwaitRoom> for Link {
    type Result = ();

    fn handle(&mut self, msg: AwaitRoom, _: &mut Context<Self>) {
        if self.gauge.has_room() {
            self.tell(msg.session_id, LinkEvent::Room);
        } else {
            self.waiting.push(msg.session_id);
        }
    }
}

impl Handler<Refuse> for Link {
    type Result = ();

    fn handle(&mut self, msg: Refuse, _: &mut Context<Self>) {
        self.scope
            .metrics
            .refused_on_link
            .add(msg.session_ids.len() as u64);
        for session_id in msg.session_ids {
            self.enqueue_close(session_id, Code::GONE);
        }
    }
}

impl Handler<Quit> for Link {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, msg: Quit, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        let (answer, gone) = oneshot::channel();
        self.quit_answers.push(answer);
        self.quitting = true;
        self.end.get_or_insert(msg.reason);
        if self.socket.is_none() {
            ctx.stop();
        }
        ctx.run_later(FLUSH_TIMEOUT, |link, ctx| link.end("shut_down", ctx));
        Box::pin(async move {
            // Resolves when the link, and with it the sender, is dropped.
            let _ = gone.await;
        })
    }
}
