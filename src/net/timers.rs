//! One coarse timer wheel a worker. A client has one deadline at a time and re-arms it lazily, so
//! that a client that talks costs nothing here.

use std::collections::BTreeMap;

/// How coarse the wheel is, in milliseconds: deadlines fire at most this much late.
pub const TICK_MS: u64 = 50;

/// Slots that want to be woken, by the time at which they do.
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

    /// Takes the slots whose time has come, earliest first. A slot may come up although its owner
    /// is gone or meanwhile has a later deadline; the owner looks at the clock itself.
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
