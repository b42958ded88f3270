//! How much of the budget is held, and what follows.
//!
//! ```text
//!   None ── 3/4 ─▶ Rings ── 13/16 ─▶ Reading ── 7/8 ─▶ Sessions ── 15/16 ─▶ Queues
//!        ◀─ 23/32 ─     ◀── 25/32 ──        ◀─ 27/32 ─          ◀── 29/32 ──
//! ```
//!
//! Each state does what those before it do as well. It is left a little below where it is entered, so that a
//! gateway at a threshold does not waver.

use crate::labels::labels;

/// What the gateway does about the memory that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Nothing.
    None,
    /// Replay rings shrink, the largest first.
    Rings,
    /// The players who hold the most are not read.
    Reading,
    /// New sessions are refused.
    Sessions,
    /// The sessions that have been suspended for longest end, then the largest queues.
    Queues,
}

labels!(Pressure {
    None => "none",
    Rings => "rings",
    Reading => "reading",
    Sessions => "sessions",
    Queues => "queues",
});

const ALL: [Pressure; 5] = [
    Pressure::None,
    Pressure::Rings,
    Pressure::Reading,
    Pressure::Sessions,
    Pressure::Queues,
];

impl Pressure {
    /// The pressure of `held` bytes where it was `before`.
    pub fn of(held: i64, limit: i64, before: Pressure) -> Pressure {
        let entered = |state: &&Pressure| held >= state.threshold(limit);
        let entered = ALL.iter().rfind(entered).copied().unwrap_or(Pressure::None);
        let kept = |state: &&Pressure| held >= state.left_below(limit);
        let kept = ALL.iter().rfind(kept).copied().unwrap_or(Pressure::None);
        entered.max(before.min(kept))
    }

    /// Bytes of `limit` at which the state is entered.
    pub fn threshold(self, limit: i64) -> i64 {
        let sixteenths = match self {
            Pressure::None => return i64::MIN / 2,
            Pressure::Rings => 12,
            Pressure::Reading => 13,
            Pressure::Sessions => 14,
            Pressure::Queues => 15,
        };
        limit / 16 * sixteenths
    }

    /// Bytes of `limit` below which the state is left.
    pub fn left_below(self, limit: i64) -> i64 {
        self.threshold(limit) - limit / 32
    }

    pub(super) fn from_byte(byte: u8) -> Pressure {
        ALL.get(usize::from(byte))
            .copied()
            .unwrap_or(Pressure::Queues)
    }
}
