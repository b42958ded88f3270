//! How fast counters rise: the differences between looks at them, some seconds apart.

use std::time::{Duration, Instant};

use super::snapshots::{Load, rounded};

/// Interval between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Looks that are remembered: a load is one over six seconds, for of few samples it would jump.
const LOOKS: usize = 4;

/// Counters at the last looks.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The newest first.
    looks: [Option<Look>; LOOKS],
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    handled: u64,
    busy_ns: u64,
}

impl Pace {
    /// Looks at the counters.
    pub(super) fn look(&mut self, at: Instant, handled: u64, busy_ns: u64) {
        self.looks.rotate_right(1);
        self.looks[0] = Some(Look {
            at,
            handled,
            busy_ns,
        });
    }

    /// Returns the load between the looks; nothing before there are two.
    pub(super) fn load(&self) -> Load {
        let mut looks = self.looks.iter().flatten();
        let (Some(newest), Some(oldest)) = (looks.next(), looks.next_back()) else {
            return Load::default();
        };
        let passed = newest.at.saturating_duration_since(oldest.at);
        let passed = passed.as_secs_f64().max(1e-3);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / passed;
        let busy = rate(newest.busy_ns, oldest.busy_ns) / 1e7;
        Load {
            messages_per_second: rounded(rate(newest.handled, oldest.handled), 10.0),
            // No thread has more: what is above is the estimate's.
            busy_percent: rounded(busy.min(100.0), 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_that_between_the_last_looks() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let second = Duration::from_secs(1);
        pace.look(start, 1000, 5_000_000);
        assert_eq!(pace.load(), Load::default());
        pace.look(start + 2 * second, 1100, 505_000_000);
        let load = |messages_per_second, busy_percent| Load {
            messages_per_second,
            busy_percent,
        };
        assert_eq!(pace.load(), load(50.0, 25.0));
        pace.look(start + 3 * second, 1100, u64::MAX);
        assert_eq!(pace.load().busy_percent, 100.0);
        for later in 4..4 + LOOKS as u32 {
            pace.look(start + later * second, 1100, u64::MAX);
        }
        assert_eq!(pace.load(), load(0.0, 0.0));
    }
}
