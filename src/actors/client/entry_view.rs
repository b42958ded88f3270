//! The gateway as an entry sees it ([`EntryHost`]), and what a connection counts for while it enters. Off the way of
//! a frame.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::DuplexStream;

use super::ending::retry_after_ms;
use super::{ClientEvent, ClientStats, Closing, WorkerScope, stats};
use crate::admission::{AddressSeat, AddressSource, Permit, Verdict};
use crate::codec::code::Code;
use crate::codec::link::Transport;
use crate::memory::Pressure;
use crate::net::entry_host::{EntryHost, Refusal};
use crate::session::rate::{Bucket, Nanos};
use crate::traces::{Decision, Name};

/// The status of a response behind which no HTTP follows.
const SWITCHES: u16 = 101;

/// What a connection counts for while it enters, and why it is not served, if it is not. Both may change when
/// its player's address becomes known.
pub(super) struct Admitted {
    pub(super) permit: Cell<Option<Permit>>,
    pub(super) refusal: RefCell<Option<Box<Closing>>>,
    /// The connection's own address while a request is answered that a trusted proxy passes on.
    proxy: Cell<Option<(SocketAddr, AddressSource)>>,
    /// Counts that request for its player's address.
    player: Cell<Option<AddressSeat>>,
    /// The rates of its requests, each of which is a session's only frame, and of the bytes of their bodies.
    rates: Cell<(Bucket, Bucket)>,
}

impl Admitted {
    pub(super) fn new(permit: Option<Permit>, refusal: Option<Box<Closing>>) -> Admitted {
        Admitted {
            permit: Cell::new(permit),
            refusal: RefCell::new(refusal),
            proxy: Cell::default(),
            player: Cell::default(),
            rates: Cell::default(),
        }
    }

    /// From now on the connection is only told why it is not served: the first reason, or that it is banned.
    pub(super) fn refuse(&self, closing: Closing) {
        let mut refusal = self.refusal.borrow_mut();
        if refusal.is_none() || closing == Closing::Banned {
            *refusal = Some(Box::new(closing));
        }
    }

    /// Returns true while a request is answered that a trusted proxy passes on.
    pub(super) fn is_passed_on(&self) -> bool {
        self.proxy.get().is_some()
    }

    pub(super) fn is_banned(&self) -> bool {
        matches!(self.refusal.borrow().as_deref(), Some(Closing::Banned))
    }
}

/// The gateway as an entry sees it.
pub(super) struct EntryView {
    pub(super) shared: Rc<WorkerScope>,
    pub(super) stats: Rc<ClientStats>,
    pub(super) admitted: Rc<Admitted>,
}

impl EntryView {
    /// Looks at an address that a proxy names.
    fn look_at(&self, remote: SocketAddr, source: AddressSource) -> Verdict {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        // A proxy that names itself asks for itself, as health checks do.
        let source = match remote.ip() == self.stats.remote().ip() {
            true => self.stats.source(),
            false => source,
        };
        self.stats.set_remote(remote, source);
        self.shared.meet_address(&self.stats, Name::AddressKnown);
        self.shared.scope.doors.look_at(remote.ip(), source)
    }

    /// Takes so many requests and bytes of bodies out of the connection's rates, or, where one of them is over,
    /// nothing. Returns why it is.
    fn take(&self, requests: u64, bytes: u64) -> Option<Refusal> {
        let doors = &self.shared.scope.doors;
        let limits = &doors.config().limits;
        let (now, (frames, body)) = (doors.now(), self.admitted.rates.get());
        // A proxy's connection has the requests of many.
        let is_limited = |cost, rate| cost > 0 && rate > 0 && !self.is_trusted_proxy(None);
        let after = |bucket: Bucket, cost, rate| match is_limited(cost, rate) {
            true => bucket.after(now, cost, rate as u64),
            false => Ok(bucket),
        };
        let frames = after(frames, requests, limits.frames_per_second);
        let body = after(body, bytes, limits.bytes_per_second);
        let (wait, text) = match (frames, body) {
            (Ok(frames), Ok(body)) => {
                self.admitted.rates.set((frames, body));
                return None;
            }
            (Err(wait), _) => (wait, "too many requests over this connection"),
            (_, Err(wait)) => (wait, "too many bytes over this connection"),
        };
        Some(Refusal {
            code: Code::RATE_LIMITED,
            retry_after_ms: u32::try_from(wait / 1_000_000 + 1).unwrap_or(u32::MAX),
            text: text.to_owned(),
        })
    }

    /// Counts the connection for the player's address. Returns false if it is to be closed with nothing sent.
    fn admit(&self, remote: SocketAddr) -> bool {
        let scope = &self.shared.scope;
        let verdict = self.look_at(remote, AddressSource::ProxyHeader);
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
        self.admitted.refuse(closing.clone());
        let permit = scope.gate.refuse(permit);
        let is_kept = permit.is_some();
        if !is_kept {
            // Without a permit its end is not counted.
            scope.metrics.closings.add(outcome.label, 1);
            self.shared.turned_away(&outcome, remote);
        }
        self.admitted.permit.set(permit);
        is_kept
    }
}

impl EntryHost for EntryView {
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
        let own = || proxy.map_or_else(|| self.stats.remote(), |(own, _)| own);
        let address = address.unwrap_or_else(|| own().ip());
        let config = self.shared.scope.doors.config();
        config.listen.http.trusted_proxies.contains(address)
    }

    fn forwarded(&self, client: SocketAddr) -> Option<Refusal> {
        let own = (self.stats.remote(), self.stats.source());
        self.admitted.proxy.set(Some(own));
        match self.look_at(client, AddressSource::HttpHeader) {
            Verdict::Welcome(seat) => {
                self.admitted.player.set(seat);
                None
            }
            // A connection of its own would be closed with nothing sent; this one is the proxy's.
            Verdict::Denied => Some(Refusal {
                code: Code::FORBIDDEN,
                retry_after_ms: 0,
                text: "this address is not served here".to_owned(),
            }),
            Verdict::Banned => Some(refusal_of(&Closing::Banned)),
            Verdict::TooMany => Some(refusal_of(&Closing::TooManyOfAddress)),
        }
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

    fn upgrade_refusal(&self) -> Option<Refusal> {
        match self.is_ending() || self.refuses_handshakes() {
            true => self.refusal(),
            false => None,
        }
    }

    fn is_ending(&self) -> bool {
        self.admitted.refusal.borrow().is_some() || self.shared.scope.gate.refuses_sessions()
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
        // As `/ready` of the admin API: a connection that is one too many of its address asks, too.
        if gate.drain_left().is_some() || gate.refuses_sessions() {
            Some(refusal_of(&Closing::Draining))
        } else if let Some(short) = self.short_of_memory() {
            Some(short)
        } else if gate.is_full() {
            Some(refusal_of(&Closing::Full))
        } else {
            let none = routes.load().is_none();
            none.then(|| refusal_of(&Closing::NoRoutes))
        }
    }

    fn over_rate(&self, bytes: u64) -> Option<Refusal> {
        self.take(1, bytes)
    }

    fn body_over_rate(&self, bytes: u64) -> Option<Refusal> {
        self.take(0, bytes)
    }

    fn begin_session(&self, socket: DuplexStream) {
        self.shared.tell_worker(ClientEvent::RequestCame {
            socket,
            remote: self.stats.remote(),
            source: self.stats.source(),
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
        let refused = || {
            let refused = Decision::new(Name::Refused).code(status);
            refused.service(service).detail(reason)
        };
        self.shared.trace(&self.stats, refused);
    }

    fn answered(&self, status: u16) {
        self.shared.scope.metrics.http_responses.add(status, 1);
        let Some((own, source)) = self.admitted.proxy.take() else {
            return;
        };
        let player = self.admitted.player.take();
        if status != SWITCHES {
            return self.stats.set_remote(own, source);
        }
        // From now on the connection is the player's.
        if let Some(mut permit) = self.admitted.permit.take() {
            permit.count_for(player);
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
