//! One worker: its own thread, its own share of the listener, its clients. Accepts connections,
//! keeps the clients' deadlines, and cuts clients off at the end of a drain.
//!
//! When it panics, the next one inherits the listener and the clients, which play on meanwhile.

mod accepting;
mod banning;
mod draining;
mod launch;
mod marking;
mod memory;
mod queries;
mod recent;
mod sampling;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;
use slab::Slab;
use tokio::net::{TcpListener, TcpStream};

use super::client::{
    Arrival, CheckDeadline, Client, ClientEvent, ClientStats, GiveUp, WorkerScope,
};
use super::router;
use super::session_registry;
use crate::admission::{AddressSource, Admission, Permit, Verdict};
use crate::codec::link::Transport;
use crate::labels::Label;
use crate::metrics::AcceptError;
use crate::net::socket::Socket;
use crate::net::timers::TICK_MS;
use crate::session::closing::Closing;
use crate::supervision::{Kind, Receive, Registration, Rescued, WeakCountedAddr};
use accepting::{Accept, Failures};

pub use banning::{BannedEnded, EndBanned};
pub use draining::{AskAway, ClientCounts, CountClients, CutOffClients, StopAsking};
pub use launch::{WorkerParams, launch};
pub use marking::{MarkTraced, TracedMarked};
pub use queries::{
    AssignSession, ClientRow, ClientsSnapshot, KickSession, ListClients, ListSessions, ReadClient,
    ReadSession, SessionsSnapshot,
};
pub use recent::{EndedSnapshot, ListEnded, ListRefusals, ReadEnded, RefusalsSnapshot};
pub use sampling::{ClientsSampled, SampleClients};

/// Connections accepted in one turn before others get theirs.
const ACCEPTS_PER_TURN: usize = 64;

/// Ends all links in order. The answer comes when they are gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseLinks;

/// Takes over the limits in force.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct LimitsReloaded;

/// Asks whether the worker and its actors answer.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct CheckHealth;

/// The actor.
pub struct Worker {
    registration: Registration,
    shared: Rc<WorkerScope>,
    state: Rescued<State>,
    paused_until: Option<Pin<Box<tokio::time::Sleep>>>,
    failures: Failures,
    /// While a drain is under way.
    asking: Option<draining::Asking>,
}

/// A client as its worker has it.
struct Seated {
    /// Weak, because it costs an idle client less; they are told something rarely.
    client: WeakCountedAddr<Client>,
    stats: Rc<ClientStats>,
    /// This drain has asked it to go elsewhere.
    asked: bool,
}

type Clients = Slab<Seated>;

/// State of a worker that outlives its panic.
#[derive(Default)]
struct State {
    listener: Option<TcpListener>,
    clients: Clients,
    cutting_off: bool,
}

impl Worker {
    fn tick(&mut self) {
        self.forget_the_returned();
        self.look_at_memory();
        for slot in self.shared.tick() {
            if let Some(seated) = self.state.clients.get(slot as usize) {
                seated.client.do_send(CheckDeadline);
            }
        }
    }

    /// Tells whether a client has not come back since its session was suspended.
    fn still_waits(&self, (slot, client_number): (u32, u64)) -> bool {
        let seated = self.state.clients.get(slot as usize);
        seated.is_some_and(|s| s.stats.client_number == client_number && s.stats.is_suspended())
    }

    /// So that the list of suspended clients holds nobody who came for longer than a resume window.
    fn forget_the_returned(&self) {
        while let Some(first) = self.shared.first_suspended()
            && !self.still_waits(first)
        {
            self.shared.take_first_suspended();
        }
    }

    /// Ends the session that has been suspended for longest; false where there is none.
    fn end_oldest(&mut self) -> bool {
        self.forget_the_returned();
        let oldest = self.shared.take_first_suspended();
        let oldest = oldest.and_then(|(slot, _)| self.state.clients.get(slot as usize));
        if let Some(seated) = oldest {
            seated.client.do_send(GiveUp);
        }
        oldest.is_some()
    }

    /// Decides whether a connection is served, is only told why not, or, `None`, is closed at once.
    fn admit(&self, remote: SocketAddr) -> Option<(Permit, Option<Closing>)> {
        let scope = &self.shared.scope;
        let count = |closing: &Closing| {
            let outcome = closing.outcome();
            scope.metrics.closings.add(outcome.label, 1);
            self.shared.turned_away(&outcome, remote);
        };
        let seat = match scope.doors.look_at(remote.ip(), AddressSource::Socket) {
            Verdict::Denied => {
                count(&Closing::Denied);
                return None;
            }
            Verdict::Banned => {
                count(&Closing::BannedUnheard);
                return None;
            }
            Verdict::TooMany => None,
            Verdict::Welcome(seat) => Some(seat),
        };
        let (permit, closing) = match (scope.gate.enter(), seat) {
            (Admission::Admitted(permit), None) => (permit, Closing::TooManyOfAddress),
            (Admission::Admitted(mut permit), Some(seat)) if scope.doors.admit_connection() => {
                if seat.is_some() {
                    permit.count_for(seat);
                }
                return Some((permit, None));
            }
            (Admission::Admitted(permit), Some(_)) => (permit, Closing::TooManyConnections),
            (Admission::Refused(permit), _) => return Some((permit, Some(Closing::Full))),
            (Admission::Dropped, _) => {
                count(&Closing::Full);
                return None;
            }
        };
        let permit = scope.gate.refuse(permit);
        if permit.is_none() {
            count(&closing);
        }
        permit.map(|permit| (permit, Some(closing)))
    }

    fn accepted(&mut self, socket: TcpStream, remote: SocketAddr) {
        // A dual-stack listener sees IPv4 clients as IPv6 ones.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let scope = &self.shared.scope;
        // Whatever becomes of it: each one accepted is counted among those closed in the end.
        scope.metrics.accepted.one();
        let Some((permit, refusal)) = self.admit(remote) else {
            return;
        };
        let arrival = Arrival {
            socket: Socket::Tcp(socket),
            permit: Some(permit),
            refusal,
        };
        self.seat(arrival, remote, AddressSource::Socket, Transport::Tcp);
    }

    /// Starts the client of what has arrived.
    fn seat(
        &mut self,
        arrival: Arrival,
        remote: SocketAddr,
        source: AddressSource,
        transport: Transport,
    ) {
        let scope = &self.shared.scope;
        let registration =
            Registration::unlisted(scope.actors.counters(Kind::Client, Some(scope.worker)));
        let now_ms = self.shared.now_ms();
        let entry = self.state.clients.vacant_entry();
        let slot = entry.key() as u32;
        let client_number = self.shared.number_client(entry.key());
        let stats = ClientStats::new(client_number, (remote, source), transport, now_ms);
        let stats = Rc::new(stats);
        let shared = Rc::clone(&self.shared);
        let client = Client::new(registration, shared, slot, Rc::clone(&stats), arrival);
        let client = WeakCountedAddr::start(client);
        entry.insert(Seated {
            client,
            stats,
            asked: false,
        });
    }

    fn poll_accept(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.paused_until {
            std::task::ready!(pause.as_mut().poll(cx));
            self.paused_until = None;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.state.listener else {
                return Poll::Ready(());
            };
            let turn = self.shared.scope.spare.turn();
            let accepted = listener.poll_accept(cx);
            drop(turn);
            match std::task::ready!(accepted) {
                Ok((socket, remote)) => {
                    if let Some(error) = self.failures.accepted(Instant::now) {
                        self.shared.scope.spare.set_short(false);
                        tracing::info!(reason = error.label(), "connections are accepted again");
                    }
                    self.accepted(socket, remote);
                }
                Err(error) => {
                    if self.accept_failed(&error, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Pending: accepting pauses.
    fn accept_failed(&mut self, error: &io::Error, cx: &mut TaskContext<'_>) -> Poll<()> {
        let reason = AcceptError::of(error);
        self.shared.scope.metrics.accept_errors.add(reason, 1);
        if reason.is_of_one_connection() {
            return Poll::Ready(());
        }
        if self.failures.failed(reason, Instant::now()) {
            let reason = reason.label();
            tracing::warn!(%error, reason, "cannot accept connections; trying on");
        }
        // Other workers must know it before the spare file is given up.
        if reason.is_of_files() && self.shared.scope.spare.set_short(true) {
            self.shared.scope.spare.lend(|| self.turn_away(cx));
        }
        let mut pause = Box::pin(tokio::time::sleep(accepting::PAUSE));
        let paused = pause.as_mut().poll(cx);
        self.paused_until = Some(pause);
        paused
    }

    /// Accepts connections and closes them, in the place of the spare file.
    fn turn_away(&self, cx: &mut TaskContext<'_>) {
        for _ in 0..ACCEPTS_PER_TURN {
            let accepted = (self.state.listener.as_ref()).map(|l| l.poll_accept(cx));
            let Some(Poll::Ready(Ok(connection))) = accepted else {
                return;
            };
            let (_, remote) = connection;
            let outcome = Closing::Full.outcome();
            let metrics = &self.shared.scope.metrics;
            metrics.accepted.one();
            metrics.closings.add(outcome.label, 1);
            self.shared.turned_away(&outcome, remote);
        }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let shared = &self.shared;
        self.state.clients.retain(|slot, seated| {
            let stays = seated.client.connected();
            if !stays {
                shared.user_changes(slot as u32, seated.stats.user_id(), 0);
            }
            stays
        });
        ctx.run_interval(Duration::from_millis(TICK_MS), |worker, _| {
            let begun = worker.registration.begin_turn();
            worker.tick();
            if let Some(begun) = begun {
                worker.registration.end_turn::<Worker>("tick", begun);
            }
        });
        ctx.spawn(Accept);
    }
}

impl Receive<ClientEvent> for Worker {
    type Result = ();

    fn receive(&mut self, msg: ClientEvent, _: &mut Context<Self>) {
        match msg {
            ClientEvent::Ended { slot } => {
                let gone = self.state.clients.try_remove(slot as usize);
                if let Some(gone) = &gone {
                    self.shared.user_changes(slot, gone.stats.user_id(), 0);
                }
                self.went(gone.is_some_and(|seated| seated.asked));
            }
            ClientEvent::RequestCame {
                socket,
                remote,
                source,
                transport,
            } => {
                // Behind the word of a ban, which has not met this session.
                let banned = self.shared.scope.doors.bans_address(remote.ip(), source);
                let arrival = Arrival {
                    socket: Socket::Duplex(socket),
                    permit: None,
                    refusal: banned.then_some(Closing::Banned),
                };
                self.seat(arrival, remote, source, transport);
            }
            ClientEvent::TooManySuspended => drop(self.end_oldest()),
            ClientEvent::ShortOfMemory => self.look_at_memory(),
            ClientEvent::ResumeReturned(forwarded) => {
                if let Some(connection) = forwarded.take() {
                    let session_id = connection.request.token.session_id;
                    let shared = &self.shared;
                    shared.refuse_connection(connection, &Closing::ResumeMetEnd, session_id);
                }
            }
        }
    }
}

impl Receive<CloseLinks> for Worker {
    type Result = ResponseFuture<()>;

    fn receive(&mut self, _: CloseLinks, _: &mut Context<Self>) -> ResponseFuture<()> {
        self.shared.end_spans();
        let closing = self.shared.router.send(router::CloseLinks);
        Box::pin(async move {
            // A router that is gone has no links.
            let _ = closing.await;
        })
    }
}

impl Receive<LimitsReloaded> for Worker {
    type Result = ();

    fn receive(&mut self, _: LimitsReloaded, _: &mut Context<Self>) {
        self.shared.reload_limits();
    }
}

impl Receive<CheckHealth> for Worker {
    type Result = ResponseFuture<bool>;

    fn receive(&mut self, _: CheckHealth, _: &mut Context<Self>) -> ResponseFuture<bool> {
        let router = self.shared.router.send(router::Ping);
        let scope = &self.shared.scope;
        let registry = self.shared.shards.seats()[scope.worker].send(session_registry::Ping);
        let accepting = self.state.listener.is_some() || self.state.cutting_off;
        Box::pin(async move {
            let (router, registry) = futures_util::future::join(router, registry).await;
            accepting && router.is_ok() && registry.is_ok()
        })
    }
}
