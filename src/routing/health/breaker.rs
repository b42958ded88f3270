//! The breaker of one endpoint: it keeps new sessions away from one that fails again and again, although it can be
//! reached in between. That an endpoint is down needs no breaker: its pools know.
//!
//! ```text
//!            failures in a row, or many in a while,
//!            or too large a share of new sessions             its time is over
//!   Closed ──────────────────────────────────────────▶ Open ────────────────────▶ HalfOpen
//!     ▲                                                  ▲                          │  │
//!     │                                                  └── failed: twice as long ─┘  │
//!     └─────────────────────────────── well for STABLE ────────────────────────────────┘
//! ```
//!
//! A failure is an episode, not an attempt: a working link that is lost, a PONG that is overdue, an endpoint that
//! becomes unreachable. Links are few and live long, so their rate is one of episodes over time; the share is one of
//! [sessions](super::Openings).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Failures in a row, each sooner than [`STABLE`] after the endpoint was well again, that open the breaker.
pub const IN_A_ROW: u32 = 3;
/// Failures within [`WHILE`] that open it, however well the endpoint was between them.
const IN_A_WHILE: usize = 5;
/// Failures that follow each other so soon are one: the links of all workers are lost at a time.
const EPISODE: Duration = Duration::from_secs(1);
/// The time over which failures are counted.
const WHILE: Duration = Duration::from_secs(300);
/// The time for which an endpoint must be well to count as such.
pub const STABLE: Duration = Duration::from_secs(10);
/// The time for which the breaker is open at first; it doubles with each failure up to [`MOST`].
const FIRST: Duration = Duration::from_secs(5);
/// The longest time for which it is open. After as long without a failure it begins at [`FIRST`] again.
const MOST: Duration = Duration::from_secs(300);

/// State of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// New sessions may go there.
    Closed,
    /// They may, and the next failure keeps them away for longer.
    HalfOpen,
    /// They go elsewhere.
    Open,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Breaker {
    stage: Stage,
    /// When the endpoint was last well again; none: it is not, or was never seen.
    well_since: Option<Instant>,
    in_a_row: u32,
    /// The newest failures, oldest first, at most [`IN_A_WHILE`].
    recent: VecDeque<Instant>,
    last_failed: Option<Instant>,
    /// The last failure, or the end of the time for which that opened the breaker.
    calm_since: Option<Instant>,
    /// How often it has opened without a time of [`MOST`] between.
    opened: u32,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Closed,
    /// Open until then, half-open from then on.
    Tripped(Instant),
}

impl Breaker {
    /// The endpoint is well from now on, as far as one sees.
    pub fn well(&mut self, now: Instant) {
        self.settle(now);
        self.well_since.get_or_insert(now);
    }

    /// Somebody does not find the endpoint well any more, which may be no failure of its own.
    pub fn ill(&mut self, now: Instant) {
        self.settle(now);
        self.well_since = None;
    }

    /// Returns whether a failure now is another one than the newest.
    pub fn is_apart(&self, now: Instant) -> bool {
        let apart = |last| now.saturating_duration_since(last) >= EPISODE;
        self.last_failed.is_none_or(apart)
    }

    /// The endpoint has failed. Returns for how long the breaker is open now, where this has opened it.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        if !self.is_apart(now) {
            self.ill(now);
            return None;
        }
        self.settle(now);
        self.last_failed = Some(now);
        self.note_unrest(now);
        let was_stable = self.was_stable(now);
        self.in_a_row = if was_stable { 1 } else { self.in_a_row + 1 };
        self.well_since = None;
        if self.recent.len() == IN_A_WHILE {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let many = self.recent.len() == IN_A_WHILE
            && self
                .recent
                .front()
                .is_some_and(|first| now.saturating_duration_since(*first) < WHILE);
        let opens = match self.state(now) {
            BreakerState::Closed => self.in_a_row >= IN_A_ROW || many,
            BreakerState::HalfOpen => true,
            BreakerState::Open => false,
        };
        opens.then(|| self.open(now))
    }

    /// The endpoint fails sessions, although its links stand. Returns for how long the breaker is open now, where this
    /// has opened it.
    pub fn eject(&mut self, now: Instant) -> Option<Duration> {
        self.settle(now);
        self.note_unrest(now);
        (self.state(now) != BreakerState::Open).then(|| self.open(now))
    }

    /// Begins with the shortest time again, if there was no trouble for long enough.
    fn note_unrest(&mut self, now: Instant) {
        let calm = self.calm_since.replace(now);
        if calm.is_none_or(|since| now.saturating_duration_since(since) >= MOST) {
            self.opened = 0;
        }
    }

    fn open(&mut self, now: Instant) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.opened.min(16)).min(MOST);
        self.opened += 1;
        self.stage = Stage::Tripped(now + wait);
        self.calm_since = Some(now + wait);
        wait
    }

    /// Returns the state at `now`.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.stage {
            Stage::Closed => BreakerState::Closed,
            Stage::Tripped(until) if now < until => BreakerState::Open,
            Stage::Tripped(_) if self.was_stable(now) => BreakerState::Closed,
            Stage::Tripped(_) => BreakerState::HalfOpen,
        }
    }

    fn was_stable(&self, now: Instant) -> bool {
        // The time for which it was open is no proof: nobody came.
        let since = match self.stage {
            Stage::Closed => self.well_since,
            Stage::Tripped(until) => self.well_since.map(|well| well.max(until)),
        };
        since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE)
    }

    /// Closes a half-open breaker whose endpoint has been well for long enough.
    fn settle(&mut self, now: Instant) {
        if let Stage::Tripped(_) = self.stage
            && self.state(now) == BreakerState::Closed
        {
            self.stage = Stage::Closed;
            self.in_a_row = 0;
            self.recent.clear();
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
