//! How a link starts and connects, what it says of itself, and what is said when it is gone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use serde_json::json;
use slab::Slab;
use tokio::net::TcpStream;

use super::{Gauge, Link, LinkChange, LinkEvent, LinkReport, OwedClose};
use crate::actors::link::LinkState;
use crate::actors::session_registry::Shards;
use crate::net::outbox::Outbox;
use crate::net::socket::Socket;
use crate::net::tls;
use crate::scope::Scope;
use crate::session::link::LinkEnd;
use crate::session::liveness::Liveness;
use crate::supervision::{
    ActorId, CountedAddr, Inspectable, Kind, Registration, SeatRecipient, mailbox,
};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What a link is started with.
#[expect(missing_docs, reason = "the names suffice")]
pub struct LinkParams {
    pub scope: Arc<Scope>,
    pub shards: Shards,
    pub service: Arc<str>,
    pub endpoint: SocketAddr,
    /// Its pool, for news of the link.
    pub reports: SeatRecipient<LinkReport>,
    /// Its pool, for final CLOSEs that cannot be said on the link any more.
    pub owed_closes: SeatRecipient<OwedClose>,
    /// Its pool, as the actor registry knows it.
    pub parent: Option<ActorId>,
}

/// A link that has just been started.
pub struct Started {
    /// Unique in the process.
    pub id: u64,
    /// Where it is told things.
    pub address: CountedAddr<Link>,
    /// How full it is.
    pub gauge: Arc<Gauge>,
}

/// Connects to a backend, with TLS where that is configured.
pub(super) async fn dial(scope: Arc<Scope>, endpoint: SocketAddr) -> io::Result<Socket> {
    let socket = TcpStream::connect(endpoint).await?;
    socket.set_nodelay(true)?;
    let Some(config) = scope.tls.client() else {
        return Ok(Socket::Tcp(socket));
    };
    let table = scope.routes.load_full();
    let host = match table.and_then(|table| table.host(endpoint).cloned()) {
        Some(host) => host,
        None => endpoint.ip().to_string().into(),
    };
    let socket = tls::connect(config, &host, socket).await;
    let socket = socket.map_err(|error| io::Error::other(format!("TLS with {host}: {error}")))?;
    Ok(Socket::Tls(Box::new(socket)))
}

impl Link {
    /// Starts a link on this thread; it connects at once.
    pub fn start_new(params: LinkParams) -> Started {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let gauge = Arc::new(Gauge::new(params.scope.config.backend.high_watermark));
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
        Link {
            registration,
            id,
            scope: params.scope,
            shards: params.shards,
            service: params.service,
            endpoint: params.endpoint,
            pool: params.reports,
            owed_closes: params.owed_closes,
            gauge,
            anchor: None,
            socket: None,
            outbox: Outbox::default(),
            inbox: BytesMut::new(),
            answers: 0,
            liveness: Liveness::default(),
            pinged_at: Instant::now(),
            sessions: Slab::new(),
            places: HashMap::default(),
            left: HashSet::default(),
            touched: Vec::new(),
            waiting: Vec::new(),
            unused_since: Instant::now(),
            idle_reported: false,
            leaving: false,
            quitting: false,
            fin_sent: false,
            end: None,
            error: None,
            quit_answers: Vec::new(),
        }
    }
}

impl Inspectable for Link {
    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn detail(&self) -> serde_json::Value {
        let state = match (self.quitting, self.leaving, self.liveness.ready()) {
            (true, _, _) => LinkState::Quitting,
            (_, true, _) => LinkState::Leaving,
            (_, _, true) => LinkState::Ready,
            (_, _, false) => LinkState::Connecting,
        };
        json!(self.gauge.snapshot(self.id, self.scope.worker, state))
    }
}

mailbox!(Link);

/// The only place where sessions learn that their link is gone: an orderly end and a panic both
/// pass here.
impl Drop for Link {
    fn drop(&mut self) {
        let unsaid = if std::thread::panicking() {
            LinkEnd::Panicked
        } else {
            LinkEnd::ShutDown
        };
        let reason = self.end.unwrap_or(unsaid);
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
        let error = self.error.take();
        self.report(LinkChange::Ended { reason, error });
    }
}
