//! What the clients of one worker share with it, on its thread alone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{EndOldest, Worker};
use crate::net::timers::{TICK_MS, Timers};
use crate::scope::Scope;
use crate::supervision::Seat;

/// The view that one worker's clients have of it.
pub struct WorkerScope {
    /// The worker's view of the process.
    pub scope: Arc<Scope>,
    /// The worker.
    pub worker: Seat<Worker>,
    timers: RefCell<Timers>,
    started: Instant,
    /// Milliseconds since the worker started, as of the last tick.
    now_ms: Cell<u64>,
    next_owner: Cell<u64>,
    /// Clients whose sessions were suspended, the oldest first; some of them have come back since.
    suspended: RefCell<VecDeque<(u32, u64)>>,
    /// Bytes in the replay rings of this worker's sessions.
    replay_bytes: Cell<usize>,
}

impl WorkerScope {
    pub(super) fn new(scope: Arc<Scope>, worker: Seat<Worker>) -> WorkerScope {
        WorkerScope {
            scope,
            worker,
            timers: RefCell::default(),
            started: Instant::now(),
            now_ms: Cell::new(0),
            next_owner: Cell::new(0),
            suspended: RefCell::default(),
            replay_bytes: Cell::new(0),
        }
    }

    /// Milliseconds since the worker started, exact to a tick.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// The same, exact.
    pub fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The time by which the wheel has noticed that `wait` is over; never 0.
    pub fn after(&self, wait: Duration) -> u64 {
        self.now_ms.get() + wait.as_millis() as u64 + TICK_MS
    }

    /// Has [`CheckDeadline`](crate::actors::client::CheckDeadline) sent to the client in `slot` at
    /// `at_ms`, or up to a tick later.
    pub fn wake_at(&self, slot: u32, at_ms: u64) {
        self.timers.borrow_mut().arm(slot, at_ms);
    }

    /// Moves the time on; returns the slots whose time has come.
    pub(super) fn tick(&self) -> Vec<u32> {
        let now_ms = self.started.elapsed().as_millis() as u64;
        self.now_ms.set(now_ms);
        self.timers.borrow_mut().take_due(now_ms)
    }

    /// A session's replay ring has changed its size. Where all of them hold too much, the oldest
    /// suspended session is to end.
    #[inline]
    pub fn replay_grows(&self, before: usize, after: usize) {
        let bytes = self.replay_bytes.get() + after - before;
        self.replay_bytes.set(bytes);
        if after > before && bytes > self.replay_limit() && !self.suspended.borrow().is_empty() {
            self.worker.do_send(EndOldest);
        }
    }

    /// A client's session waits for its player from now on. Where too many do, the oldest ends.
    pub fn suspended(&self, slot: u32, owner: u64) {
        self.suspended.borrow_mut().push_back((slot, owner));
        let scope = &self.scope;
        let others = self.suspended.borrow().len() > 1;
        if scope.gate.suspended() > scope.config.session.max_suspended && others {
            self.worker.do_send(EndOldest);
        }
    }

    /// The client whose session was suspended first, its slot and number. It may have come back since.
    pub(super) fn first_suspended(&self) -> Option<(u32, u64)> {
        self.suspended.borrow().front().copied()
    }

    /// Takes it off the list.
    pub(super) fn take_first_suspended(&self) -> Option<(u32, u64)> {
        self.suspended.borrow_mut().pop_front()
    }

    /// This worker's share of `session.replay_total`.
    fn replay_limit(&self) -> usize {
        self.scope.config.session.replay_total / self.scope.registries.len()
    }

    /// A number that no other client of the process has.
    pub fn owner(&self) -> u64 {
        let serial = self.next_owner.get();
        self.next_owner.set(serial + 1);
        owner(self.scope.worker, serial)
    }
}

/// Bits of an owner's number that count the clients of its worker.
const SERIAL_BITS: u32 = 48;

fn owner(worker: usize, serial: u64) -> u64 {
    (worker as u64) << SERIAL_BITS | serial
}

/// The worker of the client with this number.
pub fn worker_of(owner: u64) -> usize {
    (owner >> SERIAL_BITS) as usize
}
