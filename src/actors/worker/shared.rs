//! What the clients of one worker share with it, on its thread alone.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Worker;
use crate::actors::life::Seat;
use crate::actors::scope::Scope;
use crate::net::timers::{TICK_MS, Timers};

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
        }
    }

    /// Milliseconds since the worker started, exact to a tick.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
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

    /// A number that no other client of the process has.
    pub(super) fn owner(&self) -> u64 {
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
