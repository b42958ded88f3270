//! One coarse timer wheel a worker. A client has one deadline at a time and re-arms it lazily, so
//! that a client that talks costs nothing here.

use std::collections::BTreeMap;

/// Granularity of the wheel in milliseconds: deadlines fire at most this much late.
pub const TICK_MS: u64 = 50;

/// Slots to wake, by time.
#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeMap<u64, Vec<u32>>,
}

impl Timers {
    /// Wakes `slot` at `at_ms` or up to a tick later.
    pub fn arm(&mut self, slot: u32, at_ms: u64) {
        let tick = at_ms.div_ceil(TICK_MS);
        self.due.entry(tick).or_default().push(slot);
    }

    /// Takes the slots whose time has come, earliest first. Nothing is ever cancelled: a slot comes up
    /// although its owner is gone or has a later deadline by now, so the owner checks the clock.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<u32> {
        let mut slots = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > now_ms / TICK_MS {
                break;
            }
            slots.append(&mut entry.remove());
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_early_and_at_most_a_tick_late() {
        let mut timers = Timers::default();
        timers.arm(1, 120);
        timers.arm(2, 100);
        timers.arm(3, 1000);
        assert!(timers.take_due(99).is_empty());
        assert_eq!(timers.take_due(100), [2]);
        assert!(timers.take_due(120).is_empty());
        assert_eq!(timers.take_due(120 + TICK_MS), [1]);
        assert_eq!(timers.take_due(5000), [3]);
        assert!(timers.take_due(u64::MAX).is_empty());
    }
}
