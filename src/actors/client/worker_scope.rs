//! State that the clients of one worker share with it, on its thread alone.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::Message;
use tokio::io::DuplexStream;
use tokio::sync::Notify;

use super::memory::Caps;
use super::spans::OpenSpans;
use super::stats;
use super::story::Place;
use super::users::Users;
use crate::actors::assignment_reader::Assignments;
use crate::actors::backend_pool::LinkLimits;
use crate::actors::peers::Peering;
use crate::actors::router::Router;
use crate::actors::session_registry::{Forwarded, ResumeConnection, Shards};
use crate::admission::AddressSource;
use crate::codec::link::Transport;
use crate::config::Config;
use crate::history::{EndedSessions, Refusal, RefusalSums, Refusals};
use crate::metrics::{Sample, Sampler, Way};
use crate::net::timers::{TICK_MS, Timers};
use crate::scope::Scope;
use crate::session::closing::Outcome;
use crate::session::core::{Effect, Limits, Millis, ReadLimits};
use crate::supervision::{Seat, SeatRecipient};

const TICK: Duration = Duration::from_millis(TICK_MS);
/// Most effects for which a worker keeps room from one step to the next.
const KEPT_EFFECTS: usize = 256;

/// Event of a client, for its worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ClientEvent {
    /// The client in this slot is gone.
    Ended {
        /// The slot.
        slot: u32,
    },
    /// An HTTP request came; its one-shot session gets a client of its own.
    RequestCame {
        /// The session's end of the way to the request.
        socket: DuplexStream,
        /// The player's address.
        remote: SocketAddr,
        /// Where that comes from.
        source: AddressSource,
        /// HTTP, inside TLS or not.
        transport: Transport,
    },
    /// Suspended sessions are over the limit.
    TooManySuspended,
    /// Much more memory is held than when the worker last looked.
    ShortOfMemory,
    /// A connection with RESUME, which the client that has the session has stopped too early to take.
    ResumeReturned(Forwarded),
}

/// The view that one worker's clients have of it.
pub struct WorkerScope {
    /// The worker's view of the process.
    pub scope: Arc<Scope>,
    /// Every worker's shard of the sessions.
    pub shards: Shards,
    /// This worker's router.
    pub router: Seat<Router>,
    /// The peer gateways.
    pub peers: Peering,
    /// What is known of backends, over all workers.
    pub backends: Arc<LinkLimits>,
    /// Users' assignments in Redis.
    pub assignments: Assignments,
    /// The bounds that session cores keep.
    pub limits: Limits,
    /// Limits of what is read from a client; replaced when the configuration is reloaded.
    pub reading: Cell<ReadLimits>,
    /// The effects of one core's step; taken for the step, so an event within another one gets a fresh buffer.
    pub effects: Cell<Vec<Effect>>,
    /// Bytes of connections that are left behind and not written yet.
    pub(super) parting: Cell<usize>,
    /// They are to be cut off.
    pub(super) parting_cut: Notify,
    /// Bounds while memory is short.
    pub caps: Caps,
    /// The worker.
    worker: SeatRecipient<ClientEvent>,
    timers: RefCell<Timers>,
    started: Instant,
    /// Milliseconds since the worker started, as of the last tick.
    now_ms: Cell<u64>,
    /// When the next tick is due, since the worker started.
    due: Cell<Duration>,
    /// Which frames of clients are timed.
    pub(super) sampler: Sampler,
    /// The one frame to a client that is being timed, with the client's number.
    pub(super) sample: Cell<Option<(u64, Sample)>>,
    next_number: Cell<u64>,
    /// Clients whose sessions were suspended, the oldest first; some of them have come back since.
    suspended: RefCell<VecDeque<(u32, u64)>>,
    refusals: RefCell<Refusals>,
    /// Those that no line tells of yet.
    untold: RefCell<RefusalSums>,
    ended: RefCell<EndedSessions>,
    users: RefCell<Users>,
    /// Of clients whose sessions are sampled, by slot.
    pub(super) open_spans: RefCell<HashMap<u32, Box<OpenSpans>>>,
}

impl WorkerScope {
    /// The view of a worker that starts now.
    pub fn new(
        scope: Arc<Scope>,
        shards: Shards,
        router: Seat<Router>,
        peers: Peering,
        backends: Arc<LinkLimits>,
        assignments: Assignments,
        worker: SeatRecipient<ClientEvent>,
    ) -> WorkerScope {
        let workers = scope.config.gateway.worker_count();
        WorkerScope {
            limits: limits(&scope.config),
            reading: Cell::new(read_limits(&scope.doors.config())),
            effects: Cell::default(),
            scope,
            shards,
            router,
            peers,
            backends,
            assignments,
            worker,
            timers: RefCell::default(),
            started: Instant::now(),
            now_ms: Cell::new(0),
            // The first tick comes when the worker is there, which is no lag.
            due: Cell::new(Duration::MAX),
            sampler: Sampler::default(),
            sample: Cell::default(),
            next_number: Cell::new(0),
            suspended: RefCell::default(),
            parting: Cell::new(0),
            parting_cut: Notify::new(),
            caps: Caps::default(),
            refusals: RefCell::default(),
            untold: RefCell::default(),
            ended: RefCell::new(EndedSessions::new(workers)),
            users: RefCell::default(),
            open_spans: RefCell::default(),
        }
    }

    /// Tells the worker. One that is just being rebuilt looks for clients that are gone.
    pub fn tell_worker(&self, event: ClientEvent) {
        self.worker.do_send(event);
    }

    /// Sends a connection on its way to the client that has its session; the worker gets it back if nobody takes it.
    pub(super) fn forward(&self, connection: ResumeConnection) -> Forwarded {
        let back = self.worker.wrapping(ClientEvent::ResumeReturned);
        Forwarded::new(connection, back, Arc::clone(&self.scope.metrics))
    }

    /// Keeps an emptied buffer of effects for the next step, unless it has grown large.
    #[inline]
    pub fn keep_effects(&self, effects: Vec<Effect>) {
        if effects.capacity() <= KEPT_EFFECTS {
            self.effects.set(effects);
        }
    }

    /// Takes over the limits that are in force now.
    pub fn reload_limits(&self) {
        self.reading.set(read_limits(&self.scope.doors.config()));
    }

    /// Milliseconds since the worker started, exact to a tick.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// The same in seconds, for 136 years.
    pub fn now_s(&self) -> u32 {
        stats::seconds(self.now_ms())
    }

    /// Milliseconds since the worker started, exact.
    pub fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Arms [`CheckDeadline`](super::CheckDeadline) for the client in `slot` at
    /// `at_ms`, or up to a tick later.
    pub fn wake_at(&self, slot: u32, at_ms: u64) {
        self.timers.borrow_mut().arm(slot, at_ms);
    }

    /// Moves the time on; returns the slots whose time has come.
    pub fn tick(&self) -> Vec<u32> {
        let now = self.started.elapsed();
        let late = now.saturating_sub(self.due.replace(now + TICK));
        self.scope.metrics.loop_lag.observe(late);
        self.scope
            .metrics
            .recent_lag
            .observe(late, self.started + now);
        let now_ms = now.as_millis() as u64;
        self.now_ms.set(now_ms);
        self.scope.refusals.look(&mut self.untold.borrow_mut());
        self.timers.borrow_mut().take_due(now_ms)
    }

    /// A client has written so much; perhaps it is the one with the frame that is timed.
    #[cold]
    pub(super) fn sample_written(&self, client_number: u64, written: usize) {
        let own = |(of, _): &(u64, Sample)| *of == client_number;
        let Some((of, mut sample)) = self.sample.get().filter(own) else {
            return;
        };
        let came = sample.written(written);
        self.sample.set(came.is_none().then_some((of, sample)));
        if let Some(came) = came {
            let frames = &self.scope.metrics.frames;
            frames.observe(Way::ToClient, came.elapsed());
        }
    }

    /// A client's session waits for its player from now on. Where too many do, the oldest ends.
    pub fn suspended(&self, slot: u32, client_number: u64) {
        self.suspended.borrow_mut().push_back((slot, client_number));
        let scope = &self.scope;
        let others = self.suspended.borrow().len() > 1;
        if scope.gate.suspended() > scope.config.max_suspended() && others {
            self.tell_worker(ClientEvent::TooManySuspended);
        }
    }

    /// The client whose session was suspended first, its slot and number. It may have come back since.
    pub fn first_suspended(&self) -> Option<(u32, u64)> {
        self.suspended.borrow().front().copied()
    }

    /// Takes it off the list.
    pub fn take_first_suspended(&self) -> Option<(u32, u64)> {
        self.suspended.borrow_mut().pop_front()
    }

    /// Notes that a player was refused something.
    pub fn refused(&self, refusal: &Refusal<'_>) {
        self.refusals.borrow_mut().add(refusal, self.now_ms());
        self.untold.borrow_mut().add(refusal);
    }

    /// Notes that somebody who has no session was turned away.
    pub fn turned_away(&self, outcome: &Outcome<'_>, remote: SocketAddr) {
        if outcome.label.is_refusal() {
            self.refused(&Refusal::of(outcome, remote));
        }
    }

    /// Looks at what players were refused.
    pub fn with_refusals<R>(&self, look: impl FnOnce(&Refusals) -> R) -> R {
        look(&self.refusals.borrow())
    }

    /// Looks at the sessions that have ended of late, or changes them.
    pub fn with_ended<R>(&self, look: impl FnOnce(&mut EndedSessions) -> R) -> R {
        look(&mut self.ended.borrow_mut())
    }

    /// The client in `slot` has another user from now on; 0: none, or it is gone.
    pub fn user_changes(&self, slot: u32, before: u64, now: u64) {
        self.users.borrow_mut().change(slot, before, now);
    }

    /// Returns at most `limit` slots of the clients that have this user, beginning with `from`.
    pub fn slots_of_user(&self, user_id: u64, from: usize, limit: usize) -> Vec<usize> {
        let Ok(from) = u32::try_from(from) else {
            return Vec::new();
        };
        self.users.borrow().slots(user_id, from, limit)
    }

    /// The worker and its clock, as answers to operators need them.
    pub fn place(&self) -> Place {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let age = Duration::from_millis(self.elapsed_ms());
        Place {
            config: Arc::clone(&self.scope.config),
            worker: self.scope.worker,
            epoch: now.unwrap_or_default().saturating_sub(age),
            now_s: self.now_s(),
        }
    }

    /// A number that no other call of the process has.
    pub fn draw_number(&self) -> u64 {
        let serial = self.next_number.get();
        self.next_number.set(serial + 1);
        numbered(self.scope.worker, 0, serial)
    }

    /// A number for the client in `slot`, which no other that lives has.
    pub fn number_client(&self, slot: usize) -> u64 {
        let serial = self.next_number.get();
        self.next_number.set(serial + 1);
        numbered(self.scope.worker, slot as u64, serial & SERIAL_MASK)
    }
}

fn limits(config: &Config) -> Limits {
    let millis = |duration: Duration| duration.as_millis() as Millis;
    Limits {
        max_services: config.session.max_services,
        trust_client_ids: config.session.trust_client_ids,
        idle_timeout: millis(config.session.idle_timeout),
        resume_window: millis(config.session.resume_window),
        connect_timeout: millis(config.backend.connect_timeout),
        replay_bytes: config.session.replay_bytes,
        outbound_queue: config.session.outbound_queue,
    }
}

fn read_limits(config: &Config) -> ReadLimits {
    let limits = &config.limits;
    ReadLimits {
        max_payload: config.listen.max_payload,
        frames_per_second: limits.frames_per_second as u64,
        bytes_per_second: limits.bytes_per_second as u64,
        patience: limits.patience.as_millis() as u64,
    }
}

/// A number begins with its worker, of at most 1024. A client's goes on with its slot and ends with a serial
/// number, so that its worker finds it without looking at all of them.
const WORKER_SHIFT: u32 = 54;
const SLOT_SHIFT: u32 = 28;
const SLOT_MASK: u64 = (1 << (WORKER_SHIFT - SLOT_SHIFT)) - 1;
const SERIAL_MASK: u64 = (1 << SLOT_SHIFT) - 1;

fn numbered(worker: usize, slot: u64, serial: u64) -> u64 {
    (worker as u64) << WORKER_SHIFT | (slot & SLOT_MASK) << SLOT_SHIFT | serial
}

/// The worker of the client with this number.
pub fn worker_of(client_number: u64) -> usize {
    (client_number >> WORKER_SHIFT) as usize
}

/// The slot of the client with this number.
pub fn slot_of(client_number: u64) -> usize {
    (client_number >> SLOT_SHIFT & SLOT_MASK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_where_its_client_is() {
        for (worker, slot, serial) in [(0, 0, 0), (3, 4711, 9), (1023, SLOT_MASK, SERIAL_MASK)] {
            let number = numbered(worker, slot, serial);
            assert_eq!(worker_of(number), worker);
            assert_eq!(slot_of(number) as u64, slot);
            assert_eq!(number & SERIAL_MASK, serial);
        }
    }
}
