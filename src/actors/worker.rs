//! One worker: its own thread, its own share of the listener, its clients. Accepts connections,
//! keeps the clients' deadlines, and cuts clients off at the end of a drain.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::WeakAddr;
use actix::prelude::*;
use slab::Slab;
use tokio::net::{TcpListener, TcpStream};

use super::client::{CheckDeadline, Client, CutOff};
use super::router::{self, Router};
use super::scope::{Admission, Scope};
use super::session_registry;
use crate::net::timers::{TICK_MS, Timers};
use crate::session::closing::Closing;

/// Connections accepted in one turn before others get theirs.
const ACCEPTS_PER_TURN: usize = 64;
/// How long accepting pauses when the process is out of open files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the clients of one worker share, on its thread alone.
pub struct WorkerScope {
    /// The worker's view of the process.
    pub scope: Arc<Scope>,
    /// The worker's router.
    pub router: Addr<Router>,
    /// The worker.
    pub worker: Addr<Worker>,
    timers: RefCell<Timers>,
    /// Milliseconds since the worker started, as of the last tick.
    now_ms: Cell<u64>,
    next_owner: Cell<u64>,
}

impl WorkerScope {
    /// Milliseconds since the worker started, exact to a tick.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// The time by which the wheel has noticed that `wait` is over; never 0.
    pub fn after(&self, wait: Duration) -> u64 {
        self.now_ms.get() + wait.as_millis() as u64 + TICK_MS
    }

    /// Has [`CheckDeadline`] sent to the client in `slot` at `at_ms`, or up to a tick later.
    pub fn wake_at(&self, slot: u32, at_ms: u64) {
        self.timers.borrow_mut().arm(slot, at_ms);
    }

    /// A number that no other client of the process has.
    fn owner(&self) -> u64 {
        let serial = self.next_owner.get();
        self.next_owner.set(serial + 1);
        (self.scope.worker as u64) << 48 | serial
    }
}

/// The client in this slot is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ClientEnded {
    /// The slot.
    pub slot: u32,
}

/// Ends all clients with CLOSE 503.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CutOffClients {
    /// Whether connections are still accepted, to be told that no session starts.
    pub go_on_accepting: bool,
}

/// Ends all links in order. The answer comes when they are gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseLinks;

/// Asks whether the worker and its actors answer.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct CheckHealth;

/// The actor.
pub struct Worker {
    scope: Arc<Scope>,
    router: Addr<Router>,
    listener: Option<StdListener>,
    accepting: Option<TcpListener>,
    paused_until: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Weak, because it costs an idle client less; they are told something rarely.
    clients: Slab<WeakAddr<Client>>,
    shared: Option<Rc<WorkerScope>>,
    cutting_off: bool,
}

impl Worker {
    /// A worker that accepts on `listener` as soon as it is started.
    pub fn new(scope: Arc<Scope>, router: Addr<Router>, listener: StdListener) -> Worker {
        Worker {
            scope,
            router,
            listener: Some(listener),
            accepting: None,
            paused_until: None,
            clients: Slab::new(),
            shared: None,
            cutting_off: false,
        }
    }

    fn tick(&mut self, started: Instant) {
        let Some(shared) = &self.shared else { return };
        shared.now_ms.set(started.elapsed().as_millis() as u64);
        let due = shared.timers.borrow_mut().take_due(shared.now_ms.get());
        for slot in due {
            if let Some(client) = self.clients.get(slot as usize).and_then(WeakAddr::upgrade) {
                client.do_send(CheckDeadline);
            }
        }
    }

    fn accepted(&mut self, socket: TcpStream, peer: SocketAddr) {
        let Some(shared) = &self.shared else { return };
        let (permit, refusal) = match self.scope.gate.enter() {
            Admission::Admitted(permit) => (permit, None),
            Admission::Refused(permit) => (permit, Some(Closing::Full)),
            Admission::Dropped => {
                return self.scope.metrics.closings.add("full", 1);
            }
        };
        self.scope.metrics.accepted.one();
        if socket.set_nodelay(true).is_err() {
            return; // It was reset already.
        }
        // A dual-stack listener sees IPv4 clients as IPv6 ones.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let entry = self.clients.vacant_entry();
        let slot = entry.key() as u32;
        let client = Client::new(
            Rc::clone(shared),
            slot,
            shared.owner(),
            socket,
            peer,
            permit,
            refusal,
        );
        entry.insert(client.start().downgrade());
    }

    fn poll_accept(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.paused_until {
            std::task::ready!(pause.as_mut().poll(cx));
            self.paused_until = None;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.accepting else {
                return Poll::Ready(());
            };
            match std::task::ready!(listener.poll_accept(cx)) {
                Ok((socket, peer)) => self.accepted(socket, peer),
                Err(error) => {
                    self.scope.metrics.accept_errors.one();
                    tracing::warn!(%error, "cannot accept; trying again shortly");
                    let mut pause = Box::pin(tokio::time::sleep(ACCEPT_PAUSE));
                    let _ = pause.as_mut().poll(cx);
                    self.paused_until = Some(pause);
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls the listener inside the actor.
struct Accept;

impl ActorFuture<Worker> for Accept {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        worker: &mut Worker,
        _: &mut Context<Worker>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        worker.poll_accept(cx)
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.shared = Some(Rc::new(WorkerScope {
            scope: Arc::clone(&self.scope),
            router: self.router.clone(),
            worker: ctx.address(),
            timers: RefCell::default(),
            now_ms: Cell::new(0),
            next_owner: Cell::new(0),
        }));
        match self.listener.take().map(TcpListener::from_std) {
            Some(Ok(listener)) => self.accepting = Some(listener),
            Some(Err(error)) => tracing::error!(%error, "cannot listen"),
            None => {}
        }
        let started = Instant::now();
        ctx.run_interval(Duration::from_millis(TICK_MS), move |worker, _| {
            worker.tick(started)
        });
        ctx.spawn(Accept);
    }
}

impl Handler<ClientEnded> for Worker {
    type Result = ();

    fn handle(&mut self, msg: ClientEnded, _: &mut Context<Self>) {
        self.clients.try_remove(msg.slot as usize);
    }
}

impl Handler<CutOffClients> for Worker {
    type Result = ();

    fn handle(&mut self, msg: CutOffClients, _: &mut Context<Self>) {
        if !msg.go_on_accepting {
            self.accepting = None;
            self.cutting_off = true;
        }
        for client in self
            .clients
            .iter()
            .filter_map(|(_, client)| client.upgrade())
        {
            client.do_send(CutOff);
        }
    }
}

impl Handler<CloseLinks> for Worker {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CloseLinks, _: &mut Context<Self>) -> ResponseFuture<()> {
        let closing = self.router.send(router::CloseLinks);
        Box::pin(async move {
            // A router that is gone has no links.
            let _ = closing.await;
        })
    }
}

impl Handler<CheckHealth> for Worker {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: CheckHealth, _: &mut Context<Self>) -> ResponseFuture<bool> {
        let router = self.router.send(router::Ping);
        let registry = self.scope.registries[self.scope.worker].send(session_registry::Ping);
        let accepting = self.accepting.is_some() || self.cutting_off;
        Box::pin(async move {
            let (router, registry) = futures_util::future::join(router, registry).await;
            accepting && router.is_ok() && registry.is_ok()
        })
    }
}
