//! Start of a link, and its snapshot.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::prelude::*;
use bytes::BytesMut;

use super::awaited::AwaitedSession;
use super::moves::Leavers;
use super::{
    CloseOwed, EndpointTimes, Gauge, GiveWay, Link, LinkReport, LinkSnapshot, LinkState, MAILBOX,
    Occupancy, dial,
};
use crate::actors::session_registry::Shards;
use crate::memory::{Evictable, Held, Part};
use crate::metrics::Sampler;
use crate::net::outbox::Outbox;
use crate::scope::Scope;
use crate::session::link::{Idle, Lifecycle, LinkEnd, Phase, Round, Sessions, Waiting};
use crate::supervision::{
    ActorId, CountedAddr, Inspectable, Kind, Registration, SeatRecipient, mailbox,
};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Parameters of a new link.
#[expect(missing_docs, reason = "the names suffice")]
pub struct LinkParams {
    pub scope: Arc<Scope>,
    pub shards: Shards,
    pub service: Arc<str>,
    pub endpoint: SocketAddr,
    /// The sessions of the endpoint.
    pub occupancy: Arc<Occupancy>,
    /// What the pool's links have taken lately.
    pub times: Arc<EndpointTimes>,
    /// Its pool, for news of the link.
    pub reports: SeatRecipient<LinkReport>,
    /// Its pool, for the news that a final CLOSE cannot be said on the link any more.
    pub owed: SeatRecipient<CloseOwed>,
    /// Its pool, as the actor registry knows it.
    pub parent: Option<ActorId>,
}

/// A link that has just been started.
#[expect(missing_docs, reason = "the names suffice")]
pub struct Started {
    /// Unique in the process.
    pub id: u64,
    pub address: CountedAddr<Link>,
    pub gauge: Arc<Gauge>,
}

impl Link {
    /// Starts a link on this thread; it connects at once.
    pub fn start_new(params: LinkParams) -> Started {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let watermark = params.scope.config.backend.high_watermark;
        let (meter, occupancy) = (&params.scope.meter, &params.occupancy);
        let gauge = Gauge::new(watermark, Arc::clone(meter), Arc::clone(occupancy));
        let gauge = Arc::new(gauge);
        let kind = Kind::Link;
        let entry = params.scope.actors.register(
            ActorId { kind, number: id },
            format!("{} {}", params.service, params.endpoint),
            Some(params.scope.worker),
            params.parent,
        );
        let own_gauge = Arc::clone(&gauge);
        Started {
            id,
            address: entry.start(|registration| Link::new(registration, id, own_gauge, params)),
            gauge,
        }
    }

    fn new(registration: Registration, id: u64, gauge: Arc<Gauge>, params: LinkParams) -> Link {
        let idle_timeout = params.scope.config.backend.idle_timeout;
        let (services, worker) = (&params.scope.services, params.scope.worker);
        let counts = services.of(&params.service, worker);
        let owed_closes = Arc::clone(&params.occupancy.owed_closes);
        Link {
            registration,
            id,
            scope: params.scope,
            shards: params.shards,
            service: params.service,
            endpoint: params.endpoint,
            pool: params.reports,
            owed: params.owed,
            gauge,
            counts,
            times: params.times,
            sampler: Sampler::default(),
            sample: None,
            awaited: AwaitedSession::default(),
            anchor: None,
            socket: None,
            outbox: Outbox::default(),
            inbox: BytesMut::new(),
            answers: 0,
            under_way: Arc::default(),
            refused: VecDeque::new(),
            held_queue: Held::new(Part::LinkQueues, 0),
            evictable: None,
            pause: None,
            lacks_room: false,
            fan_out: None,
            held_input: Held::new(Part::LinkInput, 0),
            lifecycle: Lifecycle::default(),
            sessions: Sessions::of_endpoint(owed_closes, id),
            waiting: Waiting::default(),
            ending_round: Round::default(),
            idle: Idle::new(idle_timeout, Instant::now()),
            leavers: Leavers::default(),
            error: None,
            quit_answers: Vec::new(),
        }
    }
}

impl Actor for Link {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.scope.metrics.links_started.one();
        let own = self.registration.address(ctx);
        self.evictable = Some(Evictable::new(move || own.do_send(GiveWay)));
        let timeout = self.scope.config.backend.connect_timeout;
        let connect = dial::dial(Arc::clone(&self.scope), self.endpoint);
        ctx.spawn(
            connect
                .into_actor(self)
                .map(|socket, link, ctx| link.connected(socket, ctx)),
        );
        ctx.run_later(timeout, |link, ctx| {
            if link.lifecycle.is_starting() {
                link.end(LinkEnd::ConnectTimeout, ctx);
            }
        });
        ctx.run_interval(self.scope.config.backend.ping_interval, Link::tick);
    }
}

impl Inspectable for Link {
    type Detail = LinkSnapshot;

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> LinkSnapshot {
        let state = match self.lifecycle.phase() {
            Phase::Connecting => LinkState::Connecting,
            Phase::Ready if self.lifecycle.is_suspect() => LinkState::Suspect,
            Phase::Ready => LinkState::Ready,
            Phase::Leaving => LinkState::Leaving,
            Phase::Quitting => LinkState::Quitting,
        };
        self.gauge.snapshot(self.id, self.scope.worker, state)
    }
}

mailbox!(Link);
