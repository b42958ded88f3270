//! A connection that does not begin with a frame: the client leaves its socket to an entry
//! ([`crate::net::entry`]) and goes on with what comes back. Off the way of a frame.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::io::DuplexStream;
use tokio::sync::Notify;

use super::ending::retry_after_ms;
use super::{
    Changed, Client, ClientEvent, ClientStats, Closing, Connection, Entering, Sniffing,
    WorkerScope, stats,
};
use crate::admission::{Permit, Verdict};
use crate::codec::code::Code;
use crate::codec::link::Transport;
use crate::memory::Pressure;
use crate::net::entry::{self, Entered, Refused};
use crate::net::entry_host::{EntryHost, EntryParams, Refusal};
use crate::net::websocket::fault_of;
use crate::session::closing::Retry;
use crate::session::rate::{Bucket, Nanos};

/// The status of a response behind which no HTTP follows.
const SWITCHES: u16 = 101;

/// The client's own word that its socket is to be left to an entry, behind the read that brought it
/// about.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Enter;

/// What a connection counts for while it enters, and why it is not served, if it is not. Both may change when
/// its player's address becomes known.
pub(super) struct Admitted {
    pub(super) permit: Cell<Option<Permit>>,
    refusal: RefCell<Option<Box<Closing>>>,
    /// A proxy's connection: each request has an address of its own.
    proxy: Cell<Option<SocketAddr>>,
    /// The rate of its requests, each of which is a session's only frame.
    requests: Cell<Bucket>,
}

impl Admitted {
    fn new(permit: Option<Permit>, refusal: Option<Box<Closing>>) -> Admitted {
        Admitted {
            permit: Cell::new(permit),
            refusal: RefCell::new(refusal),
            proxy: Cell::default(),
            requests: Cell::default(),
        }
    }

    /// From now on the connection is only told why it is not served: the first reason, or that it is banned.
    fn refuse(&self, closing: Closing) {
        let mut refusal = self.refusal.borrow_mut();
        if refusal.is_none() || closing == Closing::Banned {
            *refusal = Some(Box::new(closing));
        }
    }

    fn is_banned(&self) -> bool {
        matches!(self.refusal.borrow().as_deref(), Some(Closing::Banned))
    }
}

/// The gateway as an entry sees it.
struct Host {
    shared: Rc<WorkerScope>,
    stats: Rc<ClientStats>,
    admitted: Rc<Admitted>,
}

impl Host {
    /// Counts the connection for the player's address. Returns false if it is to be closed with nothing sent.
    fn admit(&self, remote: SocketAddr) -> bool {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        self.stats.remote.set(remote);
        let scope = &self.shared.scope;
        let verdict = scope.doors.look_at(remote.ip());
        if let Verdict::Denied = verdict {
            return false;
        }
        let Some(mut permit) = self.admitted.permit.take() else {
            return true; // Its end has begun.
        };
        let closing = match verdict {
            Verdict::Welcome(seat) => {
                permit.count_for(seat);
                self.admitted.permit.set(Some(permit));
                return true;
            }
            Verdict::Banned => Closing::Banned,
            Verdict::TooMany | Verdict::Denied => Closing::TooManyOfAddress,
        };
        let outcome = closing.outcome();
        let label = outcome.label;
        self.admitted.refuse(closing.clone());
        let permit = scope.gate.refuse(permit);
        let is_kept = permit.is_some();
        if !is_kept {
            // Without a permit its end is not counted.
            scope.metrics.closings.add(label, 1);
            self.shared.turned_away(&outcome, remote);
        }
        self.admitted.permit.set(permit);
        is_kept
    }
}

impl EntryHost for Host {
    fn read(&self, bytes: usize) {
        let metrics = &self.shared.scope.metrics;
        metrics.client_bytes_in.add(bytes as u64);
        metrics.client_reads.one();
        stats::add(&self.stats.bytes_in, bytes as u64);
    }

    fn now(&self) -> Nanos {
        self.shared.scope.doors.now()
    }

    fn proxied(&self, remote: SocketAddr) -> bool {
        self.admit(remote) && !self.admitted.is_banned()
    }

    fn is_trusted_proxy(&self, address: Option<IpAddr>) -> bool {
        let proxy = self.admitted.proxy.get();
        let own = || proxy.unwrap_or_else(|| self.stats.remote());
        let address = address.unwrap_or_else(|| own().ip());
        let config = self.shared.scope.doors.config();
        config.listen.http.trusted_proxies.contains(address)
    }

    fn forwarded(&self, client: SocketAddr) -> bool {
        let proxy = &self.admitted.proxy;
        proxy.set(proxy.get().or(Some(self.stats.remote())));
        self.admit(client)
    }

    fn encrypted(&self, took: Duration) {
        let metrics = &self.shared.scope.metrics;
        metrics.tls_handshakes.one();
        metrics.handshake.observe(took);
        let transport = self.stats.transport.get();
        self.stats.transport.set(transport.over_tls());
    }

    fn serving_http(&self) {
        self.stats.becomes(Transport::Http);
    }

    fn refusal(&self) -> Option<Refusal> {
        let draining = self.shared.scope.gate.refuses_sessions();
        let draining = draining.then_some(Closing::Draining);
        let refusal = self.admitted.refusal.borrow();
        if let Some(closing) = refusal.as_deref().cloned().or(draining) {
            return Some(refusal_of(&closing));
        }
        self.short_of_memory()
    }

    fn short_of_memory(&self) -> Option<Refusal> {
        let short = self.shared.scope.meter.pressure() >= Pressure::Sessions;
        short.then(|| refusal_of(&Closing::ShortOfMemory))
    }

    fn refuses_handshakes(&self) -> bool {
        self.shared.scope.meter.pressure() >= Pressure::Queues
    }

    fn not_ready(&self) -> Option<Refusal> {
        let (gate, routes) = (&self.shared.scope.gate, &self.shared.scope.routes);
        if let Some(refusal) = self.refusal() {
            Some(refusal)
        } else if gate.drain_left().is_some() {
            Some(refusal_of(&Closing::Draining))
        } else if gate.is_full() {
            Some(refusal_of(&Closing::Full))
        } else {
            routes.load().is_none().then(|| Refusal {
                code: Code::UNAVAILABLE,
                retry_after_ms: retry_after_ms(Retry::Spread),
                text: "no routes yet".to_owned(),
            })
        }
    }

    fn too_many_requests(&self) -> Option<Refusal> {
        let doors = &self.shared.scope.doors;
        let rate = doors.config().limits.frames_per_second;
        // A proxy's connection has the requests of many.
        if rate == 0 || self.admitted.proxy.get().is_some() {
            return None;
        }
        let requests = &self.admitted.requests;
        match requests.get().after(doors.now(), 1, rate as u64) {
            Ok(after) => {
                requests.set(after);
                None
            }
            Err(wait) => Some(Refusal {
                code: Code::RATE_LIMITED,
                retry_after_ms: u32::try_from(wait / 1_000_000 + 1).unwrap_or(u32::MAX),
                text: "too many requests over this connection".to_owned(),
            }),
        }
    }

    fn begin_session(&self, socket: DuplexStream) {
        self.shared.tell_worker(ClientEvent::RequestCame {
            socket,
            remote: self.stats.remote(),
            transport: self.stats.transport.get(),
        });
    }

    fn refused(&self, status: u16, reason: &str, service: &str, realm_id: u32, user_id: u64) {
        self.shared.refused(&crate::history::Refusal {
            code: Some(Code(status)),
            reason,
            service,
            realm_id,
            user_id,
            client: self.stats.remote(),
        });
    }

    fn answered(&self, status: u16) {
        self.shared.scope.metrics.http_responses.add(status, 1);
        if status != SWITCHES
            && self.admitted.proxy.get().is_some()
            && let Some(mut permit) = self.admitted.permit.take()
        {
            permit.count_for(None);
            self.admitted.permit.set(Some(permit));
        }
    }
}

fn refusal_of(closing: &Closing) -> Refusal {
    let outcome = closing.outcome();
    Refusal {
        code: outcome.backends,
        retry_after_ms: retry_after_ms(outcome.retry),
        text: outcome.text.to_owned(),
    }
}

impl Client {
    /// Tells whether a PROXY header or TLS must come first and has not come.
    pub(super) fn owes_entry(&self) -> bool {
        let entered =
            matches!(&self.connection, Connection::Sniffing(sniffing) if sniffing.entered);
        let config = &self.shared.scope.config;
        !entered && (config.listen.tls.required || entry::owes_proxy(config, self.stats.remote()))
    }

    /// The first bytes are no frame, or not alone: the rest is off this path.
    pub(super) fn leave_socket_to_entry(&mut self, ctx: &mut Context<Self>) {
        if let Connection::Sniffing(sniffing) = &mut self.connection {
            let refusal = sniffing.refusal.take();
            let admitted = Rc::new(Admitted::new(self.permit.take(), refusal));
            let leaving = Rc::new(Notify::new());
            self.connection = Connection::Entering(Box::new(Entering { admitted, leaving }));
            ctx.notify(Enter);
        }
    }

    /// Takes back what the connection counts for, where an entry has it.
    pub(super) fn reclaim_permit(&mut self) {
        if let Connection::Entering(entering) = &self.connection {
            let permit = entering.admitted.permit.take();
            self.permit = permit.or(self.permit.take());
        }
    }

    /// Has a connection whose address is banned end where an entry serves HTTP on it: behind the request under
    /// way, or not at all where it is a proxy's, which others share. Returns false if it is no HTTP.
    pub(super) fn ends_in_entry(&self, entering: &Entering) -> bool {
        let is_http = self.stats.transport().is_http();
        if is_http && entering.admitted.proxy.get().is_none() {
            entering.admitted.refuse(Closing::Banned);
            entering.leaving.notify_one();
        }
        is_http
    }

    fn entered(&mut self, result: Result<Entered, Refused>, ctx: &mut Context<Self>) {
        self.reclaim_permit();
        let Connection::Entering(entering) = &mut self.connection else {
            return; // Its end has begun meanwhile.
        };
        match result {
            Ok(Entered::Frames(socket, read)) => {
                let refusal = entering.admitted.refusal.take();
                self.use_socket(socket, read);
                self.connection = Connection::Sniffing(Sniffing {
                    refusal,
                    entered: true,
                });
            }
            Ok(Entered::WebSocket(socket)) => {
                self.use_socket(socket, Default::default());
                self.stats.becomes(Transport::WebSocket);
                self.greet();
                let remote = self.stats.remote().ip();
                // While its handshake was answered.
                if self.shared.scope.doors.bans_address(remote) {
                    self.close(Closing::Banned, ctx);
                }
            }
            Ok(Entered::Served) => self.close(Closing::Served, ctx),
            Err(Refused::Denied) if entering.admitted.is_banned() => {
                self.close(Closing::BannedUnheard, ctx);
            }
            Err(refused) => self.close(refused.into(), ctx),
        }
        ctx.notify(Changed);
    }
}

impl Handler<Enter> for Client {
    type Result = ();

    fn handle(&mut self, _: Enter, ctx: &mut Context<Self>) {
        // From itself.
        let Connection::Entering(entering) = &self.connection else {
            return; // Its end has begun meanwhile.
        };
        let config = Arc::clone(&self.shared.scope.config);
        let waited = self.shared.now_ms().saturating_sub(self.since_ms);
        let timeout = config.listen.sniff_timeout;
        let host = Host {
            shared: Rc::clone(&self.shared),
            stats: Rc::clone(&self.stats),
            admitted: Rc::clone(&entering.admitted),
        };
        let params = EntryParams {
            timeout: timeout.saturating_sub(Duration::from_millis(waited)),
            remote: self.stats.remote(),
            tls: Arc::clone(&self.shared.scope.tls),
            host: Rc::new(host),
            drain: Rc::clone(&entering.leaving),
            config,
        };
        let entry = entry::enter(self.socket.take(), std::mem::take(&mut self.inbox), params);
        let entry = entry.into_actor(self);
        ctx.spawn(entry.map(|result, client, ctx| client.entered(result, ctx)));
    }
}

impl From<Refused> for Closing {
    fn from(refused: Refused) -> Closing {
        match refused {
            Refused::Unrecognised => Closing::Unrecognised,
            Refused::ProxyUnexpected => Closing::ProxyUnexpected,
            Refused::ProxyMissing => Closing::ProxyMissing,
            Refused::ProxyMalformed => Closing::ProxyMalformed,
            Refused::Denied => Closing::Denied,
            Refused::TlsFailed => Closing::TlsFailed,
            Refused::TlsBusy => Closing::TlsBusy,
            Refused::TlsMissing => Closing::TlsMissing,
            Refused::Disconnected => Closing::Disconnected,
            Refused::Failed => Closing::Failed,
        }
    }
}

/// Why a connection ends whose socket cannot be read any more.
pub(super) fn closing_of(error: &io::Error) -> Closing {
    fault_of(error).map_or(Closing::Failed, Closing::BadMessage)
}
