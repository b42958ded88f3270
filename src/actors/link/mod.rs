//! One multiplexed connection to one endpoint of one service, with the sessions that it carries.
//!
//! Hot path: [`Forward`] in, [`LinkEvent::Deliver`] out; see [`inbound`] for what comes back.
//! The outbox is flushed when the mailbox is empty, which is when actix polls an actor's futures: so
//! what many clients sent in one turn of the event loop goes out in one write.

mod commands;
mod inbound;
mod lease;
mod messages;
mod snapshot;
mod start;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use actix::prelude::*;
use bytes::BytesMut;
use slab::Slab;
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;

use crate::actors::session_registry::Shards;
use crate::codec::code::Code;
use crate::codec::link::{self, Hello, Kind};
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::scope::Scope;
use crate::session::link::LinkEnd;
use crate::session::liveness::{Liveness, Ponged, Ticked};
use crate::supervision::{CountedRecipient, Registration, SeatRecipient};

use lease::Anchor;
pub use lease::{AwaitRoom, Forward, Gauge, Lease, OwedClose, Release, Retag};
pub use messages::{
    Attach, Confirm, Leave, LinkChange, LinkEvent, LinkReport, Quit, Reopen, Report, Suspend,
};
pub use snapshot::{LinkSnapshot, LinkState};
pub use start::{LinkParams, Started};

/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 1024;

/// The actor.
pub struct Link {
    registration: Registration,
    id: u64,
    scope: Arc<Scope>,
    shards: Shards,
    service: Arc<str>,
    endpoint: SocketAddr,
    pool: SeatRecipient<LinkReport>,
    owed_closes: SeatRecipient<OwedClose>,
    gauge: Arc<Gauge>,
    /// Made with the first lease.
    anchor: Option<Arc<Anchor>>,
    socket: Option<Socket>,
    outbox: Outbox,
    inbox: BytesMut,
    /// Bytes of PONG and CLOSE 410 in the outbox. Whatever is written counts off, so they grow only
    /// while the backend does not read.
    answers: usize,
    liveness: Liveness,
    /// When the newest PING was queued.
    pinged_at: Instant,
    sessions: Slab<Attached>,
    places: HashMap<u64, u32, foldhash::fast::RandomState>,
    /// Sessions that left by CLOSE 307 and are not carried any more; until the backend answers, what
    /// it says of them is neither delivered nor answered (protocol 2.3).
    left: HashSet<u64, foldhash::fast::RandomState>,
    /// Places with frames to deliver when the read chunk is done.
    touched: Vec<u32>,
    /// Sessions whose clients wait for room.
    waiting: Vec<u64>,
    /// When the last session left.
    unused_since: Instant,
    idle_reported: bool,
    /// The backend has said GOAWAY.
    leaving: bool,
    quitting: bool,
    fin_sent: bool,
    /// Why the link ends; still empty when the actor panics.
    end: Option<LinkEnd>,
    /// What the socket said of it, if that is why.
    error: Option<Box<str>>,
    /// Resolves for whoever told the link to quit, by being dropped.
    quit_answers: Vec<oneshot::Sender<()>>,
}

struct Attached {
    realm_id: u32,
    client: CountedRecipient<LinkEvent>,
    head: Vec<u8>,
    frames: u32,
    /// CLOSE 307 was sent, and is not answered yet.
    leaving: bool,
    /// The OPEN of a resume is not answered: what comes is of the time before.
    unanswered: bool,
    /// The backend is known to have taken the OPEN.
    known: bool,
}

impl Link {
    fn anchor(&mut self, ctx: &Context<Self>) -> Arc<Anchor> {
        let (link_id, gauge, endpoint) = (self.id, &self.gauge, self.endpoint);
        let owed_closes = &self.owed_closes;
        let anchor = self.anchor.get_or_insert_with(|| {
            Arc::new(Anchor {
                link: self.registration.address(ctx),
                pool: owed_closes.clone(),
                endpoint,
                link_id,
                gauge: Arc::clone(gauge),
            })
        });
        Arc::clone(anchor)
    }

    fn report(&self, what: LinkChange) {
        // A pool that is just being rebuilt asks.
        self.pool.do_send(LinkReport {
            link_id: self.id,
            what,
        });
    }

    fn end(&mut self, reason: LinkEnd, ctx: &mut Context<Self>) {
        self.end.get_or_insert(reason);
        ctx.stop();
    }

    /// Queues a frame of the link's own.
    fn enqueue(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        self.gauge.add(link::HEADER_LEN + payload.len());
        self.outbox
            .append(|out| link::encode(out, kind, session_id, payload));
        self.scope.metrics.link_frames_out.one();
        self.gauge.carried.frames_out.one();
    }

    fn enqueue_close(&mut self, session_id: u64, code: Code) {
        let mut payload = [0; 6];
        payload[..2].copy_from_slice(&code.0.to_be_bytes());
        self.enqueue(Kind::Close, session_id, &payload);
    }

    fn connected(&mut self, socket: io::Result<Socket>, ctx: &mut Context<Self>) {
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(service = %self.service, endpoint = %self.endpoint, %error, "cannot connect");
                self.error = Some(error.to_string().into());
                return self.end(LinkEnd::ConnectFailed, ctx);
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
                return self.end(LinkEnd::ProtocolError, ctx);
            }
        }
        self.ping();
        ctx.spawn(Pump);
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        match self.liveness.tick() {
            Ticked::Ping => self.ping(),
            Ticked::Wait => {}
            Ticked::Lost => return self.end(LinkEnd::PingTimeout, ctx),
        }
        let idle = self.unused_since.elapsed() >= self.scope.config.backend.idle_timeout;
        if self.gauge.sessions() == 0 && idle && !self.idle_reported {
            self.idle_reported = true;
            self.report(LinkChange::Idle);
        }
    }

    fn ping(&mut self) {
        self.pinged_at = Instant::now();
        self.enqueue(Kind::Ping, 0, &[]);
    }

    fn ponged(&mut self) {
        // Never 0, which means that none has come yet.
        let rtt_us = self.pinged_at.elapsed().as_micros().max(1) as u64;
        self.gauge.carried.rtt_us.set(rtt_us);
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
        let result = self.poll_read(ctx, cx).and_then(|()| {
            let held = self.owes_too_much();
            self.poll_write(cx)?;
            if held && !self.owes_too_much() {
                // Nothing else would bring the reading back.
                cx.waker().wake_by_ref();
            }
            Ok(())
        });
        if let Err(reason) = result {
            self.end(reason, ctx);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut TaskContext<'_>) -> Result<(), LinkEnd> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let before = self.outbox.queued();
        let mut result = self.outbox.poll_write(socket, cx);
        let written = before - self.outbox.queued();
        self.gauge.sub(written);
        self.answers = self.answers.saturating_sub(written);
        self.scope.metrics.link_bytes_out.add(written as u64);
        self.gauge.carried.bytes_out.add(written as u64);
        if matches!(result, Poll::Ready(Ok(()))) && socket.is_unflushed() {
            result = Pin::new(&mut *socket).poll_flush(cx);
        }
        let flushed = matches!(result, Poll::Ready(Ok(())));
        if self.quitting && flushed && !self.fin_sent {
            // The end comes when the peer closes too, so that no reset overtakes the last CLOSE.
            result = Pin::new(socket).poll_shutdown(cx);
            self.fin_sent = result.is_ready();
        }
        if let Poll::Ready(Err(error)) = result {
            return Err(self.io_error(&error));
        }
        if !self.waiting.is_empty() && self.gauge.has_room() {
            for session_id in std::mem::take(&mut self.waiting) {
                self.tell(session_id, LinkEvent::Room);
            }
        }
        Ok(())
    }

    fn io_error(&mut self, error: &io::Error) -> LinkEnd {
        self.error.get_or_insert_with(|| error.to_string().into());
        LinkEnd::IoError
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
        let connect = start::dial(Arc::clone(&self.scope), self.endpoint);
        ctx.spawn(
            connect
                .into_actor(self)
                .map(|socket, link, ctx| link.connected(socket, ctx)),
        );
        ctx.run_later(timeout, |link, ctx| {
            if !link.liveness.ready() {
                link.end(LinkEnd::ConnectTimeout, ctx);
            }
        });
        ctx.run_interval(self.scope.config.backend.ping_interval, Link::tick);
    }
}
