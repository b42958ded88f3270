//! What one thread holds.
//!
//! ```text
//!   0 ──── total ──── drawn          of one thread: what it holds, and what it has taken of the budget
//!   0 ──────── sum ─────────── limit of all: the sum of what they have drawn
//! ```
//!
//! A thread draws ahead in steps, so most changes touch nothing that threads share, and the sum is never less than
//! what is held. Whoever may wait asks first ([`Meter::admits`]): what would not fit is not drawn, whatever other
//! threads do at the same time. What cannot wait, or is small, is drawn without a question.
//!
//! Hot path: a change is two plain loads and stores; only one in [`STEP`] bytes goes further.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering::Relaxed};

use super::budget::Shared;
use super::part::{PARTS, Part};
use super::pressure::Pressure;
use crate::labels::Label;

/// Bytes that a thread draws ahead at most; it gives back what is more than twice that.
pub const STEP: i64 = 64 * 1024;
/// A step is no larger than this share of the budget.
const STEPS: i64 = 512;
/// A question for no more than this is a small one, in bytes.
pub const SMALL: usize = 24 * 1024;
/// Bytes by which a thread may grow between two questions whether the budget is scarce.
pub const UNASKED: i64 = 256 * 1024;

/// Figures of one thread, which alone writes them.
#[derive(Debug)]
pub struct Meter {
    shared: Arc<Shared>,
    parts: [AtomicI64; PARTS],
    total: AtomicI64,
    /// Bytes of the budget that are this thread's: what it holds, and what it may still take.
    drawn: AtomicI64,
    /// As of the last draw.
    pressure: AtomicU8,
    /// Nothing is given back for now.
    exchanges: AtomicBool,
    /// More is held than when somebody last looked, and too much.
    alarm: AtomicBool,
    /// It was taken since. Another look before what the first one brings about would take back the same once more.
    alarmed: AtomicBool,
    /// What all held when somebody last looked.
    looked_at: AtomicI64,
    /// Bytes that this thread's connections have while they are idle, as last told.
    idle: AtomicI64,
}

/// Returns how much of the budget those who ask may have together. The rest is for what cannot wait: the gateway's own
/// frames, such as CLOSE, and sessions that lose their connections.
fn most_asked_for(limit: i64) -> i64 {
    limit - limit / 32
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
            drawn: AtomicI64::new(0),
            pressure: AtomicU8::new(0),
            exchanges: AtomicBool::new(false),
            alarm: AtomicBool::new(false),
            alarmed: AtomicBool::new(false),
            looked_at: AtomicI64::new(0),
            idle: AtomicI64::new(0),
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
        add(&self.total, change);
        self.settle_if_off();
    }

    /// Settles where more is held than was drawn, or much less.
    #[inline]
    fn settle_if_off(&self) {
        let spare = self.drawn.load(Relaxed) - self.total.load(Relaxed);
        if spare as u64 > 2 * STEP as u64 {
            self.settle();
        }
    }

    /// Draws what has been taken without a question, and a step ahead where there is room; gives back what is too
    /// much.
    #[cold]
    fn settle(&self) {
        let (total, limit) = (self.total.load(Relaxed), self.shared.limit());
        let ahead = STEP.min(limit / STEPS);
        let taken = total - self.drawn.load(Relaxed);
        if taken < 0 && self.exchanges.load(Relaxed) {
            return;
        }
        let left = limit - self.shared.sum.load(Relaxed) - taken;
        // One that lacks room keeps nothing from others.
        let ahead = if left > UNASKED { ahead } else { 0 };
        self.draw_to(total + ahead);
    }

    fn draw_to(&self, bytes: i64) {
        let change = bytes - self.drawn.load(Relaxed);
        self.drawn.store(bytes, Relaxed);
        let before = self.shared.sum.fetch_add(change, Relaxed);
        self.learn(before + change);
    }

    /// Learns how much all threads have drawn.
    fn learn(&self, sum: i64) {
        let limit = self.shared.limit();
        let pressure = Pressure::of(sum, limit, self.pressure());
        self.pressure.store(pressure as u8, Relaxed);
        self.shared.learn(sum);
        let grown = sum - self.looked_at.load(Relaxed);
        if pressure > Pressure::None && grown > limit / 64 {
            self.alarm.store(true, Relaxed);
        }
    }

    /// Gives back what has been drawn ahead, and learns how much all threads hold.
    #[cold]
    pub fn publish(&self) {
        self.draw_to(self.total.load(Relaxed));
    }

    /// Tells whether readers ask before they read ([`admits`](Self::admits)).
    #[inline]
    pub fn is_scarce(&self) -> bool {
        self.shared.is_scarce()
    }

    /// Tells whether there is room for so many bytes more, which this thread may take at once from now on. Bytes
    /// that are not counted by [`moves`](Self::moves) soon may be taken twice.
    #[inline]
    pub fn admits(&self, bytes: usize) -> bool {
        let spare = self.drawn.load(Relaxed) - self.total.load(Relaxed);
        let lacking = i64::try_from(bytes).unwrap_or(i64::MAX) - spare;
        lacking <= 0 || self.draw(lacking) || bytes <= SMALL && self.is_stuck()
    }

    /// Performs `work`, in which bytes that one holder gives back become another's: meanwhile no other thread gets
    /// them.
    pub fn exchange<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = self.exchanges.swap(true, Relaxed);
        let result = work();
        self.exchanges.store(before, Relaxed);
        if !before {
            self.settle_if_off();
        }
        result
    }

    /// Says how many bytes this thread's connections have while they are idle: 0 where it is of no interest.
    pub fn set_idle(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let change = bytes - self.idle.swap(bytes, Relaxed);
        self.shared.idle.fetch_add(change, Relaxed);
    }

    /// Returns the bound of all threads, in bytes.
    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.shared.limit()).unwrap_or(0)
    }

    /// Returns the even part of the budget for each thread that counts, in bytes.
    pub fn even_part(&self) -> usize {
        self.shared.even_part()
    }

    /// Tells whether what cannot be taken back is too much by itself. Then small questions are answered yes: sessions
    /// that hold nothing would stand still for as long as there are so many of them, or the bound is so low.
    pub fn is_stuck(&self) -> bool {
        let most = Pressure::Queues.threshold(self.shared.limit());
        self.shared.idle.load(Relaxed) >= most
    }

    /// Draws so many bytes more, or nothing where they do not fit.
    #[cold]
    fn draw(&self, bytes: i64) -> bool {
        let most = most_asked_for(self.shared.limit());
        let fits = |sum: i64| sum.checked_add(bytes).filter(|sum| *sum <= most);
        match self.shared.sum.fetch_update(Relaxed, Relaxed, fits) {
            Ok(before) => {
                add(&self.drawn, bytes);
                self.learn(before + bytes);
                true
            }
            Err(sum) => {
                self.learn(sum);
                false
            }
        }
    }

    /// How much all threads hold, as of this thread's last draw.
    #[inline]
    pub fn pressure(&self) -> Pressure {
        Pressure::from_byte(self.pressure.load(Relaxed))
    }

    /// Tells whether so much more is held than at the last [`look`](Self::look) that something must be done
    /// now. Once between two looks.
    #[inline]
    pub fn take_alarm(&self) -> bool {
        self.alarm.load(Relaxed) && {
            self.alarm.store(false, Relaxed);
            !self.alarmed.swap(true, Relaxed)
        }
    }

    /// Publishes; an alarm is given for what is held beyond this.
    pub fn look(&self) -> Pressure {
        self.publish();
        self.looked_at.store(self.shared.sum.load(Relaxed), Relaxed);
        self.alarm.store(false, Relaxed);
        self.alarmed.store(false, Relaxed);
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
