//! The bound, and what all threads hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use super::meter::{Meter, UNASKED};
use super::part::Part;
use super::pressure::Pressure;
use crate::labels::Label;

/// State that the meters share.
#[derive(Debug)]
pub(super) struct Shared {
    limit: AtomicI64,
    /// Sum of what the meters have drawn.
    pub(super) sum: AtomicI64,
    /// The largest sum so far.
    most: AtomicI64,
    /// Bytes that connections have while they are idle, as far as workers have told.
    pub(super) idle: AtomicI64,
    /// Number of meters.
    meters: usize,
    scarce: Apart<AtomicBool>,
}

/// A value on a cache line of its own: it is read for every frame, and the sum beside it changes often.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl Shared {
    /// The bound, in bytes.
    pub(super) fn limit(&self) -> i64 {
        self.limit.load(Relaxed)
    }

    /// The even part of each meter, in bytes.
    pub(super) fn even_part(&self) -> usize {
        usize::try_from(self.limit()).unwrap_or(0) / self.meters
    }

    /// Tells whether readers ask before they read.
    #[inline]
    pub(super) fn is_scarce(&self) -> bool {
        self.scarce.0.load(Relaxed)
    }

    /// Decides from what is drawn whether readers ask.
    pub(super) fn learn(&self, sum: i64) {
        if sum > self.most.load(Relaxed) {
            self.most.fetch_max(sum, Relaxed);
        }
        // Each thread may be taking something without a question just now.
        let unasked = UNASKED * self.meters as i64;
        let limit = self.limit();
        let scarce = sum >= Pressure::Reading.left_below(limit) || sum + unasked > limit;
        if self.is_scarce() != scarce {
            self.scarce.0.store(scarce, Relaxed);
        }
    }
}

/// The budget of a process.
#[derive(Debug)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
    workers: Box<[Arc<Meter>]>,
    gateway: Arc<Meter>,
    admin: Arc<Meter>,
    readers: Arc<Meter>,
}

/// What is held at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemorySnapshot {
    /// The bound, in bytes.
    pub limit: u64,
    /// Bytes held by all parts.
    pub held: u64,
    /// The most bytes that were held at a time since the start, with what threads had drawn ahead.
    pub most: u64,
    /// How much of the bound that is.
    pub pressure: Pressure,
    /// Bytes held by each part.
    pub parts: Vec<(&'static str, u64)>,
}

impl MemoryBudget {
    /// A budget of `limit` bytes for so many workers, the gateway's own thread, the admin API's, and that on which
    /// routes and assignments are read.
    pub fn new(limit: usize, workers: usize) -> MemoryBudget {
        let shared = Arc::new(Shared {
            limit: AtomicI64::new(signed(limit)),
            sum: AtomicI64::new(0),
            most: AtomicI64::new(0),
            idle: AtomicI64::new(0),
            // The three others beside them.
            meters: workers + 3,
            scarce: Apart::default(),
        });
        let meter = |_| Arc::new(Meter::new(Arc::clone(&shared)));
        MemoryBudget {
            workers: (0..workers).map(meter).collect(),
            gateway: meter(0),
            admin: meter(0),
            readers: meter(0),
            shared,
        }
    }

    /// Replaces the bound. Workers go by it from their next look on.
    pub fn set_limit(&self, limit: usize) {
        self.shared.limit.store(signed(limit), Relaxed);
    }

    /// The meter of a worker's thread.
    pub fn worker(&self, worker: usize) -> &Arc<Meter> {
        &self.workers[worker]
    }

    /// The meter of the gateway's own thread.
    pub fn gateway(&self) -> &Arc<Meter> {
        &self.gateway
    }

    /// The meter of the admin API's thread.
    pub fn admin(&self) -> &Arc<Meter> {
        &self.admin
    }

    /// The meter of the thread on which routes and assignments are read.
    pub fn readers(&self) -> &Arc<Meter> {
        &self.readers
    }

    /// Returns what is held at the moment.
    pub fn snapshot(&self) -> MemorySnapshot {
        let held = |part: Part| {
            let meters = self.workers.iter();
            let meters = meters.chain([&self.gateway, &self.admin, &self.readers]);
            let sum: i64 = meters.map(|meter| meter.part(part)).sum();
            (part.label(), sum.max(0) as u64)
        };
        let parts: Vec<_> = Part::ALL.iter().map(|part| held(*part)).collect();
        MemorySnapshot {
            limit: self.shared.limit() as u64,
            held: parts.iter().map(|(_, bytes)| bytes).sum(),
            most: self.shared.most.load(Relaxed).max(0) as u64,
            pressure: self.pressure(),
            parts,
        }
    }

    /// What workers do about what is held.
    pub fn pressure(&self) -> Pressure {
        let pressures = self.workers.iter().map(|meter| meter.pressure());
        pressures.max().unwrap_or(Pressure::None)
    }
}

fn signed(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
