//! What one thread holds.
//!
//! Hot path: a change is two plain loads and stores; only one in [`STEP`] bytes goes further.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering::Relaxed};

use super::budget::Shared;
use super::part::{PARTS, Part};
use super::pressure::Pressure;
use crate::labels::Label;

/// Bytes by which a thread's figures may have moved before the others know.
pub const STEP: i64 = 64 * 1024;

/// Figures of one thread, which alone writes them.
#[derive(Debug)]
pub struct Meter {
    shared: Arc<Shared>,
    parts: [AtomicI64; PARTS],
    total: AtomicI64,
    published: AtomicI64,
    /// As of the last publication.
    pressure: AtomicU8,
    /// More is held than when somebody last looked, and too much.
    alarm: AtomicBool,
    /// What all held when somebody last looked.
    looked_at: AtomicI64,
}

fn add(figure: &AtomicI64, n: i64) -> i64 {
    // Not fetch_add: only one thread writes, so the cheaper pair is exact.
    let sum = figure.load(Relaxed) + n;
    figure.store(sum, Relaxed);
    sum
}

impl Meter {
    pub(super) fn new(shared: Arc<Shared>) -> Meter {
        Meter {
            shared,
            parts: array::from_fn(|_| AtomicI64::new(0)),
            total: AtomicI64::new(0),
            published: AtomicI64::new(0),
            pressure: AtomicU8::new(0),
            alarm: AtomicBool::new(false),
            looked_at: AtomicI64::new(0),
        }
    }

    /// Counts that `part` holds `after` bytes where it has held `before`.
    #[inline]
    pub fn moves(&self, part: Part, before: usize, after: usize) {
        if before == after {
            return;
        }
        let change = after as i64 - before as i64;
        add(&self.parts[part.index()], change);
        let total = add(&self.total, change);
        if (total - self.published.load(Relaxed)).abs() >= STEP {
            self.publish();
        }
    }

    /// Tells the other threads, and learns how much all of them hold.
    #[cold]
    pub fn publish(&self) {
        let total = self.total.load(Relaxed);
        let change = total - self.published.load(Relaxed);
        self.published.store(total, Relaxed);
        let sum = self.shared.sum.fetch_add(change, Relaxed) + change;
        let pressure = Pressure::of(sum, self.shared.limit(), self.pressure());
        self.pressure.store(pressure as u8, Relaxed);
        let grown = sum - self.looked_at.load(Relaxed);
        if pressure > Pressure::None && grown > self.shared.limit() / 64 {
            self.alarm.store(true, Relaxed);
        }
    }

    /// How much all threads hold, as of this thread's last publication.
    #[inline]
    pub fn pressure(&self) -> Pressure {
        Pressure::from_byte(self.pressure.load(Relaxed))
    }

    /// Tells whether so much more is held than at the last [`look`](Self::look) that something must be done
    /// now. Once.
    #[inline]
    pub fn take_alarm(&self) -> bool {
        self.alarm.load(Relaxed) && {
            self.alarm.store(false, Relaxed);
            true
        }
    }

    /// Publishes; an alarm is given for what is held beyond this.
    pub fn look(&self) -> Pressure {
        self.publish();
        self.looked_at.store(self.shared.sum.load(Relaxed), Relaxed);
        self.alarm.store(false, Relaxed);
        self.pressure()
    }

    /// Returns this thread's share of what all should give back to come under `pressure`.
    pub fn share_over(&self, pressure: Pressure) -> usize {
        self.share_of(pressure.threshold(self.shared.limit()))
    }

    /// The same, for it to be left.
    pub fn share_to_leave(&self, pressure: Pressure) -> usize {
        self.share_of(pressure.left_below(self.shared.limit()) - 1)
    }

    fn share_of(&self, least: i64) -> usize {
        let sum = self.shared.sum.load(Relaxed).max(1);
        let excess = sum - least;
        let own = self.total.load(Relaxed).clamp(0, sum);
        (i128::from(excess.max(0)) * i128::from(own) / i128::from(sum)) as usize
    }

    /// Tells whether something is being taken back for the sake of `pressure` now. The pressure stays for a while
    /// after that.
    pub fn is_over(&self, pressure: Pressure) -> bool {
        self.shared.sum.load(Relaxed) >= pressure.threshold(self.shared.limit())
    }

    /// Publishes, and tells whether memory is at least so short and so many bytes are more than an eighth of the
    /// budget.
    pub(super) fn is_too_much(&self, bytes: usize, least: Pressure) -> bool {
        self.publish();
        self.pressure() >= least && bytes as i64 > self.shared.limit() / 8
    }

    /// What this thread holds of a part.
    pub fn part(&self, part: Part) -> i64 {
        self.parts[part.index()].load(Relaxed)
    }
}
