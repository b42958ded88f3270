//! What of an endpoint's health is worth a line in the log: what stays the same is said once, and again when it
//! changes.
//!
//! ```text
//!             trouble: said                  well: said              well for STABLE
//!   Silent ────────────────▶ InTrouble ────────────────▶ WellAgain ──────────────────▶ Silent
//!                             │     ▲                     │   ▲  │
//!              another: said  └─────┘  another: said      │   │  │ the same: not said,
//!                                   ◀─────────────────────┘   └──┘ but how it ends is
//! ```

use std::time::{Duration, Instant};

use super::STABLE;

/// Different troubles that are told of before the endpoint has been well for [`STABLE`].
const MOST_TOLD: usize = 8;
/// Troubles that follow each other so soon are one: a process that ends closes one link and resets another.
const EVENT: Duration = Duration::from_secs(1);

/// The machine, for one endpoint.
#[derive(Debug, Default)]
pub struct Telling {
    /// Troubles that were said since the endpoint was last well for [`STABLE`], at most [`MOST_TOLD`].
    told: Vec<Box<str>>,
    told_at: Option<Instant>,
    /// When the endpoint was well again; none: it is not.
    well_since: Option<Instant>,
    /// That it is well was said after the newest trouble that was.
    said_well: bool,
    /// There was trouble after that.
    unsaid: bool,
}

impl Telling {
    /// The endpoint is in trouble. Returns whether to say so.
    pub fn trouble(&mut self, trouble: &str, now: Instant) -> bool {
        self.settle(now);
        self.well_since = None;
        let is_known = self.told.iter().any(|told| **told == *trouble);
        let is_recent = |at| now.saturating_duration_since(at) < EVENT;
        if is_known || self.told.len() >= MOST_TOLD || self.told_at.is_some_and(is_recent) {
            self.unsaid = true;
            return false;
        }
        self.told.push(trouble.into());
        (self.told_at, self.said_well, self.unsaid) = (Some(now), false, false);
        true
    }

    /// The endpoint is well, again or still. Returns whether to say that it is again.
    pub fn well(&mut self, now: Instant) -> bool {
        self.well_since.get_or_insert(now);
        if self.settle(now) {
            return true;
        }
        let says = !self.told.is_empty() && !self.said_well;
        if says {
            (self.said_well, self.unsaid) = (true, false);
        }
        says
    }

    /// Forgets everything once the endpoint has been well for long enough. Returns whether that is to be said.
    fn settle(&mut self, now: Instant) -> bool {
        let is_stable = |since| now.saturating_duration_since(since) >= STABLE;
        if self.told.is_empty() || !self.well_since.is_some_and(is_stable) {
            return false;
        }
        let says = self.unsaid || !self.said_well;
        (self.told, self.said_well, self.unsaid) = (Vec::new(), false, false);
        says
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_comes_and_goes_is_told_once_and_at_its_end() {
        let (mut telling, mut now) = (Telling::default(), Instant::now());
        assert!(!telling.well(now));
        assert!(telling.trouble("reset", now));
        assert!(telling.well(now));
        for _ in 0..100 {
            now += S;
            assert!(!telling.trouble("reset", now));
            assert!(!telling.well(now));
        }
        assert!(telling.trouble("refused", now), "this is new");
        assert!(!telling.trouble("reset", now + S));
        now += 2 * S;
        assert!(telling.well(now));
        assert!(!telling.well(now + STABLE), "it was said");
        now += STABLE;
        assert!(telling.trouble("reset", now));
        assert!(telling.well(now));
        assert!(!telling.trouble("reset", now + S));
        assert!(!telling.well(now + S), "it comes and goes");
        now += S + STABLE;
        assert!(telling.well(now), "now it stays");
        assert!(telling.trouble("reset", now));
        assert!(!telling.trouble("closed", now), "the same event");
    }

    proptest! {
        /// No trouble is told twice without a stable time between, and the last line is how the endpoint is.
        #[test]
        fn never_the_same_twice(events in proptest::collection::vec((0_u8..5, 0_u32..4000), 1..200)) {
            let (mut telling, mut now) = (Telling::default(), Instant::now());
            let (mut said, mut well_since) = (Vec::<u8>::new(), None);
            let mut last = None;
            for (event, milliseconds) in events {
                now += Duration::from_millis(milliseconds.into());
                if well_since.is_some_and(|since| now - since >= STABLE) {
                    said.clear();
                }
                if event == 0 {
                    well_since.get_or_insert(now);
                    if telling.well(now) {
                        last = Some(true);
                    }
                    continue;
                }
                well_since = None;
                if telling.trouble(&event.to_string(), now) {
                    prop_assert!(!said.contains(&event));
                    said.push(event);
                    last = Some(false);
                }
            }
            for wait in [Duration::ZERO, STABLE] {
                now += wait;
                if telling.well(now) {
                    last = Some(true);
                }
            }
            prop_assert_ne!(last, Some(false));
        }
    }
}
