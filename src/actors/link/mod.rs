//! One multiplexed connection to one endpoint of one service, with the sessions that it carries.
//!
//! [`crate::session::link`] has its states and its sessions, without a socket; this actor connects
//! ([`dial`]), moves bytes ([`pump`], [`inbound`]), does what it is told ([`commands`]) and ends
//! ([`ending`]).
//!
//! Hot path: [`Forward`] in, [`LinkEvent::Deliver`] out.

mod awaited;
mod commands;
mod dial;
mod ending;
mod evacuation;
mod events;
mod fan_out;
mod frames;
mod gauge;
mod inbound;
mod lease;
mod maintenance;
mod memory;
mod messages;
mod moves;
mod occupancy;
mod pump;
mod queueing;
mod snapshot;
mod start;
mod strays;
mod times;
mod wanted;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use bytes::BytesMut;
use tokio::sync::oneshot;

use crate::actors::session_registry::{Shards, UnderWay};
use crate::codec::code::Code;
use crate::codec::link::{self, Kind};
use crate::memory::{Evictable, Held};
use crate::metrics::{Sample, Sampler, ServiceCounts};
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::scope::Scope;
use crate::session::link::{Idle, Lifecycle, LinkEnd, Pong, Round, Sessions, Tick, Waiting};
use crate::supervision::{CountedRecipient, Registration, SeatRecipient};

use awaited::AwaitedSession;
pub use evacuation::{EvacuationSnapshot, StayCounts};
pub use events::{LinkChange, LinkEvent, LinkReport};
use fan_out::FanOut;
pub use gauge::Gauge;
use lease::Anchor;
pub use lease::Lease;
use memory::{GiveWay, Pause};
pub use messages::{
    Attach, AwaitRoom, AwaitTurn, CloseOwed, Confirm, EndSome, Evacuate, Forward, Leave, Move,
    Quit, Release, Reopen, Report, Retag, Suspend, TellBound, TellMoved, TimeFrame,
};
use moves::Leavers;
pub use occupancy::{Occupancy, SessionClaim};
use queueing::Newcomer;
pub use snapshot::{LinkSnapshot, LinkState};
pub use start::{LinkParams, Started};
pub use times::EndpointTimes;
pub use wanted::{Want, Wanted};

/// Messages that other actors' `send` may have waiting here before they wait themselves.
const MAILBOX: usize = 1024;
/// The bytes of a PING behind final CLOSEs. One behind a session's OPEN carries its id.
const CLOSES_MARK: [u8; 1] = [1];

/// The actor.
pub struct Link {
    registration: Registration,
    id: u64,
    scope: Arc<Scope>,
    shards: Shards,
    service: Arc<str>,
    endpoint: SocketAddr,
    pool: SeatRecipient<LinkReport>,
    owed: SeatRecipient<CloseOwed>,
    gauge: Arc<Gauge>,
    /// What the worker's links to the service count.
    counts: Arc<ServiceCounts>,
    /// What the pool's links have taken lately.
    times: Arc<EndpointTimes>,
    /// Which frames of the backend are timed.
    sampler: Sampler,
    /// The one frame to the backend that is being timed.
    sample: Option<Sample>,
    /// Whose next DATA is awaited.
    awaited: AwaitedSession,
    /// Made with the first lease.
    anchor: Option<Arc<Anchor>>,
    lifecycle: Lifecycle,
    sessions: Sessions<CountedRecipient<LinkEvent>>,
    waiting: Waiting<Newcomer>,
    /// Where maintenance goes on to end sessions.
    ending_round: Round,
    idle: Idle,
    /// There from [`Link::connected`] on.
    socket: Option<Socket>,
    outbox: Outbox,
    inbox: BytesMut,
    /// Bytes of PONG and CLOSE 421 in the outbox. Whatever is written counts off, so they grow only
    /// while the backend does not read.
    answers: usize,
    /// What other threads' registries have not passed on yet.
    under_way: Arc<UnderWay>,
    /// Sessions that nobody here has, for which CLOSE 421 is still to be queued.
    refused: VecDeque<u64>,
    /// What waits for the backend, its mailbox aside.
    held_queue: Held,
    /// What would come back if the link ended.
    evictable: Option<Evictable>,
    /// The backend is not read, for memory is short.
    pause: Option<Pause>,
    /// Whole frames are left in the inbox, for want of room for what becomes of them.
    lacks_room: bool,
    /// The MULTICAST at the inbox's front, where it is passed on in parts.
    fan_out: Option<FanOut>,
    /// What has come from the backend and is not a whole frame.
    held_input: Held,
    /// Its sessions on their way to other backends.
    leavers: Leavers,
    /// Error of the socket, where that ended the link.
    error: Option<Box<str>>,
    /// Senders of [`Quit`] wait for these to be dropped.
    quit_answers: Vec<oneshot::Sender<()>>,
}

impl Link {
    fn anchor(&mut self, ctx: &Context<Self>) -> Arc<Anchor> {
        let (link_id, gauge, endpoint) = (self.id, &self.gauge, self.endpoint);
        let owed = &self.owed;
        let anchor = self.anchor.get_or_insert_with(|| {
            Arc::new(Anchor {
                link: self.registration.address(ctx),
                pool: owed.clone(),
                endpoint,
                link_id,
                gauge: Arc::clone(gauge),
            })
        });
        Arc::clone(anchor)
    }

    fn report(&self, change: LinkChange) {
        // A pool that is just being rebuilt asks.
        self.pool.do_send(LinkReport {
            link_id: self.id,
            change,
        });
    }

    /// Queues a frame of the link's own.
    fn enqueue(&mut self, kind: Kind, session_id: u64, payload: &[u8]) {
        self.gauge.add(link::HEADER_LEN + payload.len());
        self.outbox
            .append(|out| link::encode(out, kind, session_id, payload));
        self.counts.frames_out.one();
        self.gauge.carried.frames_out.one();
    }

    /// Sends a PING that asks whether the backend lives. It overtakes all that waits to be written, so that a
    /// full queue does not delay it, and its PONG says nothing of what was sent before.
    fn ping(&mut self) {
        self.gauge.add(link::HEADER_LEN);
        self.outbox
            .append_first(|out| link::encode(out, Kind::Ping, 0, &[]));
        self.counts.frames_out.one();
        self.gauge.carried.frames_out.one();
        self.gauge.carried.pings.one();
        self.gauge.show_ping(self.lifecycle.oldest_ping());
    }

    /// Sends a PING behind all that was sent before: its PONG says that the backend has read that. It carries
    /// something, so that the two kinds of PONG can be told apart.
    fn ping_in_order(&mut self, mark: &[u8]) {
        self.sessions.ping();
        self.enqueue(Kind::Ping, 0, mark);
        self.gauge.carried.pings.one();
    }

    fn enqueue_close(&mut self, session_id: u64, code: Code) {
        let mut payload = [0; 6];
        payload[..2].copy_from_slice(&code.0.to_be_bytes());
        self.enqueue(Kind::Close, session_id, &payload);
    }

    /// A ping interval has passed.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let interval = self.scope.config.backend.ping_interval;
        self.await_next();
        match self.lifecycle.tick(now, interval) {
            Tick::Ping => self.ping(),
            Tick::Suspect => {
                self.ping();
                self.scope.metrics.links_suspect.one();
                self.report(LinkChange::Suspect);
            }
            Tick::Wait => {}
            Tick::Lost => return self.end(LinkEnd::PingTimeout, ctx),
        }
        self.leavers.tried = false;
        self.evacuate(ctx);
        if self.sessions.lacks_ping() {
            self.ping_in_order(&CLOSES_MARK);
        }
        if self.gauge.sessions() == 0 && self.idle.look(now) {
            self.report(LinkChange::Idle);
        }
    }

    fn ponged(&mut self) {
        let Some((pong, rtt)) = self.lifecycle.pong(Instant::now()) else {
            return;
        };
        self.gauge.show_ping(self.lifecycle.oldest_ping());
        // Never 0, which means that none has come yet.
        self.gauge.carried.rtt_us.set(rtt.as_micros().max(1) as u64);
        match pong {
            Pong::Alive => {}
            Pong::Ready => {
                // One that said GOAWAY before has thought better of it, or is another one.
                self.gauge.occupancy().evacuation.said_by_backend(false);
                self.ready();
            }
            Pong::ReadyAndLeaving => {
                self.ready();
                self.report(LinkChange::Goaway);
            }
        }
    }

    fn ready(&self) {
        self.scope.metrics.links_ready.one();
        let took = self.gauge.age();
        self.scope.metrics.connect.observe(took);
        self.times.connect.observe(took, Instant::now());
        self.report(LinkChange::Ready);
    }

    /// A session has been removed; its lease is gone, or the backend has ended it.
    fn detached(&mut self) {
        self.gauge.session_removed();
        self.await_no_stranger();
        if self.sessions.is_empty() {
            self.idle.unused(Instant::now());
        }
    }
}
