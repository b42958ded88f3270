//! The budget of retries of one service: how many sessions may go on to another endpoint after one that failed them.
//! Without it an endpoint that hangs sends all who wait for it to the next one at a time, and so on around.
//!
//! Within a window of [`WINDOW`] seconds there are at most [`LEAST`] retries and [`PERCENT`] of the sessions that came
//! in it, as Finagle and Envoy have it: a share of the traffic, and a minimum where there is little.

use std::time::Instant;

/// Length of the window, in seconds, and its pieces.
const WINDOW: usize = 10;
/// Retries within a window however few sessions come.
const LEAST: u64 = 100;
/// Retries beyond them, in percent of the sessions that came.
const PERCENT: u64 = 20;

/// The budget.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// By second, modulo the window.
    seconds: [Second; WINDOW],
    /// Origin of time.
    began: Option<Instant>,
    /// The newest second.
    latest: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    /// The second that is counted here, from the origin.
    number: u64,
    sessions: u64,
    retries: u64,
}

impl RetryBudget {
    /// A session has come.
    pub fn came(&mut self, now: Instant) {
        self.second(now).sessions += 1;
    }

    /// A session wants to try another endpoint. Returns whether it may; then it counts.
    pub fn may_retry(&mut self, now: Instant) -> bool {
        let number = self.second(now).number;
        let within = self.seconds.iter();
        let within = within.filter(|second| number - second.number < WINDOW as u64);
        let (sessions, retries) = within.fold((0, 0), |(sessions, retries), second| {
            (sessions + second.sessions, retries + second.retries)
        });
        let may = retries < LEAST + sessions * PERCENT / 100;
        if may {
            self.second(now).retries += 1;
        }
        may
    }

    /// Returns the counts of this second.
    fn second(&mut self, now: Instant) -> &mut Second {
        let began = *self.began.get_or_insert(now);
        // Threads may come a moment out of order.
        let number = now.saturating_duration_since(began).as_secs();
        let number = number.max(self.latest);
        self.latest = number;
        let second = &mut self.seconds[number as usize % WINDOW];
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minimum_and_a_share_of_the_traffic() {
        let (mut budget, start) = (RetryBudget::default(), Instant::now());
        let mut granted = |sessions: u64, second: u64| {
            let now = start + Duration::from_secs(second);
            (0..sessions).for_each(|_| budget.came(now));
            (0..10_000).filter(|_| budget.may_retry(now)).count() as u64
        };
        assert_eq!(granted(0, 0), LEAST);
        assert_eq!(granted(1000, 1), 200);
        assert_eq!(granted(0, 9), 0, "they are still remembered");
        assert_eq!(granted(0, 10), LEAST, "the first ones are not");
        assert_eq!(granted(0, 1000), LEAST);
    }

    proptest! {
        /// Against a list of all that happened.
        #[test]
        fn as_the_model(events in proptest::collection::vec((any::<bool>(), 1_u64..400, 0_u64..4), 1..60)) {
            let (mut budget, start) = (RetryBudget::default(), Instant::now());
            let (mut second, mut came, mut retried) = (0, Vec::new(), Vec::new());
            for (is_retry, times, seconds) in events {
                second += seconds;
                let now = start + Duration::from_secs(second);
                let within = |list: &[(u64, u64)]| {
                    let recent = list.iter().filter(|(at, _)| second - at < 10);
                    recent.map(|(_, count)| count).sum::<u64>()
                };
                if is_retry {
                    let left = (100 + within(&came) / 5).saturating_sub(within(&retried));
                    let granted = (0..times).filter(|_| budget.may_retry(now)).count() as u64;
                    prop_assert_eq!(granted, left.min(times));
                    retried.push((second, granted));
                } else {
                    (0..times).for_each(|_| budget.came(now));
                    came.push((second, times));
                }
            }
        }
    }
}
