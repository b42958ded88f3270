//! Percentiles of what took time lately. A histogram since the start would hide that a backend has become slow.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use utoipa::ToSchema;

/// The longest time that is told from longer ones, in microseconds.
const LONGEST_US: u64 = 60_000_000;
/// Significant digits: times are exact to a sixteenth.
const DIGITS: u8 = 1;

/// Times of the last one to two windows. Nothing is kept before there is one. Control path.
#[derive(Debug)]
pub struct Recent {
    window: Duration,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    began: Option<Instant>,
    now: Option<Histogram<u32>>,
    before: Option<Histogram<u32>>,
}

impl Recent {
    /// Keeps times for `window` at least and twice that at most.
    pub fn new(window: Duration) -> Recent {
        let windows = Mutex::default();
        Recent { window, windows }
    }

    fn at<T>(&self, now: Instant, then: impl FnOnce(&mut Windows) -> T) -> T {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(*windows.began.get_or_insert(now));
        if age >= self.window {
            let last = windows.now.take();
            windows.before = last.filter(|_| age < 2 * self.window);
            windows.began = Some(now);
        }
        then(&mut windows)
    }

    /// Counts one duration that ends `now`.
    pub fn observe(&self, took: Duration, now: Instant) {
        self.observe_many(took, 1, now);
    }

    /// Counts a duration that stands for `n` alike.
    pub fn observe_many(&self, took: Duration, n: u64, now: Instant) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        self.at(now, |windows| {
            if windows.now.is_none() {
                windows.now = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok();
            }
            if let Some(histogram) = &mut windows.now {
                histogram.saturating_record_n(us, u32::try_from(n).unwrap_or(u32::MAX));
            }
        });
    }

    /// Returns the times as of `now`.
    pub fn snapshot(&self, now: Instant) -> RecentTimes {
        self.at(now, |windows| {
            let mut times = RecentTimes(windows.now.clone());
            times.add(RecentTimes(windows.before.clone()));
            times
        })
    }
}

/// Times that can be added up.
#[derive(Debug, Clone, Default)]
pub struct RecentTimes(Option<Histogram<u32>>);

impl RecentTimes {
    /// Adds others.
    pub fn add(&mut self, others: RecentTimes) {
        match (&mut self.0, others.0) {
            // They have the same bounds.
            (Some(sum), Some(others)) => drop(sum.add(others)),
            (None, others) => self.0 = others,
            (Some(_), None) => {}
        }
    }

    /// Returns the percentiles; none where nothing was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let times = self.0.as_ref().filter(|times| !times.is_empty())?;
        Some(Percentiles {
            count: times.len(),
            p50_us: times.value_at_quantile(0.5),
            p90_us: times.value_at_quantile(0.9),
            p99_us: times.value_at_quantile(0.99),
            max_us: times.max(),
        })
    }
}

/// Percentiles of times, in microseconds, exact to a sixteenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct Percentiles {
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn old_times_are_forgotten() {
        let (recent, start) = (Recent::new(MINUTE), Instant::now());
        let count = |at: Duration| recent.snapshot(start + at).percentiles().map(|p| p.count);
        assert_eq!(count(Duration::ZERO), None);
        recent.observe(Duration::from_millis(1), start);
        recent.observe(Duration::from_millis(700), start + MINUTE);
        assert_eq!(count(MINUTE), Some(2));
        assert_eq!(count(2 * MINUTE), Some(1));
        recent.observe(Duration::from_millis(1), start + 2 * MINUTE);
        // Nobody has looked for long.
        assert_eq!(count(5 * MINUTE), None);
    }

    #[test]
    fn percentiles_are_exact_to_a_sixteenth_and_of_all_that_is_added() {
        let (slow, quick, now) = (Recent::new(MINUTE), Recent::new(MINUTE), Instant::now());
        for _ in 0..90 {
            quick.observe(Duration::from_millis(1), now);
        }
        for _ in 0..10 {
            slow.observe(Duration::from_millis(700), now);
        }
        slow.observe(Duration::from_secs(3600), now);
        let mut times = RecentTimes::default();
        times.add(slow.snapshot(now));
        times.add(quick.snapshot(now));
        let percentiles = times.percentiles().unwrap();
        let near = |us: u64, exact: u64| us >= exact && us - exact <= exact / 16;
        assert_eq!(percentiles.count, 101);
        assert!(near(percentiles.p50_us, 1000), "{percentiles:?}");
        assert!(near(percentiles.p99_us, 700_000), "{percentiles:?}");
        assert!(percentiles.max_us >= LONGEST_US, "{percentiles:?}");
    }
}
