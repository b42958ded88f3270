//! Percentiles of one actor's times, in a hundred bytes: there may be many thousands of links, each with a dozen types of
//! messages.

use std::time::{Duration, Instant};

use crate::metrics::Percentiles;

/// Two buckets for each power of two: percentiles are exact to a half.
const BUCKETS: usize = 48;
/// The unit of the buckets' bounds, in nanoseconds: twice that is the first bound.
const UNIT_NS: u64 = 128;
/// What was counted weighs half as much after each of these.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// Times of the last minutes, of which older ones weigh less.
#[derive(Debug)]
pub(super) struct FadingTimes {
    counts: [u16; BUCKETS],
    halved: Instant,
}

impl FadingTimes {
    pub(super) fn new(now: Instant) -> FadingTimes {
        FadingTimes {
            counts: [0; BUCKETS],
            halved: now,
        }
    }

    /// Counts one time.
    pub(super) fn observe(&mut self, took: Duration, now: Instant) {
        self.fade(now);
        let bucket = bucket(took);
        if self.counts[bucket] == u16::MAX {
            self.halve(1);
        }
        self.counts[bucket] += 1;
    }

    /// Returns the percentiles as of `now`; none where nothing is left.
    pub(super) fn percentiles(&mut self, now: Instant) -> Option<Percentiles> {
        self.fade(now);
        let count = self.counts.iter().map(|n| u64::from(*n)).sum();
        let quantile = |share: f64| {
            let wanted = ((count as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let is_there = |n: &u16| {
                below += u64::from(*n);
                below >= wanted
            };
            let bucket = self.counts.iter().position(is_there).unwrap_or(0);
            bound_ns(bucket).div_ceil(1000)
        };
        (count > 0).then(|| Percentiles {
            count,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            max_us: quantile(1.0),
        })
    }

    fn fade(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.halved);
        let times = passed.as_secs() / HALF_LIFE.as_secs();
        if times > 0 {
            self.halve(u32::try_from(times).unwrap_or(u32::MAX));
            self.halved = now;
        }
    }

    fn halve(&mut self, times: u32) {
        for count in &mut self.counts {
            *count = count.checked_shr(times).unwrap_or(0);
        }
    }
}

fn bucket(took: Duration) -> usize {
    let units = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / UNIT_NS;
    if units < 2 {
        return 0;
    }
    let power = units.ilog2();
    let upper_half = (units >> (power - 1)) & 1;
    let bucket = 2 * (power as usize - 1) + upper_half as usize + 1;
    bucket.min(BUCKETS - 1)
}

/// Returns what the times of a bucket are below, in nanoseconds.
fn bound_ns(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        None => 2 * UNIT_NS,
        Some(above) => (3 + above as u64 % 2) * (UNIT_NS << (above / 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_lie_side_by_side_and_none_is_wider_than_half_of_what_it_holds() {
        for at in 1..BUCKETS - 1 {
            let (lower, upper) = (bound_ns(at - 1), bound_ns(at));
            assert!(lower < upper && 2 * (upper - lower) <= lower, "{at}");
            let holds = [lower, upper - 1].map(|ns| bucket(Duration::from_nanos(ns)));
            assert_eq!(holds, [at, at]);
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::from_secs(3600)), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_what_was_counted_and_older_times_weigh_less() {
        let begin = Instant::now();
        let after = |minutes| begin + minutes * HALF_LIFE;
        let mut times = FadingTimes::new(begin);
        assert_eq!(times.percentiles(begin), None);
        for _ in 0..98 {
            times.observe(Duration::from_micros(3), begin);
        }
        for _ in 0..2 {
            times.observe(Duration::from_millis(7), begin);
        }
        let now = times.percentiles(begin).expect("a hundred");
        assert_eq!((now.count, now.p50_us, now.p90_us), (100, 4, 4));
        assert_eq!((now.p99_us, now.max_us), (8389, 8389));
        let later = times.percentiles(after(1)).expect("half of them");
        assert_eq!((later.count, later.max_us), (50, 8389));
        let later = times.percentiles(after(2)).expect("a quarter");
        assert_eq!((later.count, later.max_us), (24, 4), "a single one is gone");
        assert_eq!(times.percentiles(after(9)), None);
        // So many of one kind that their number has no room.
        for _ in 0..=u16::MAX {
            times.observe(Duration::from_micros(3), after(9));
        }
        let full = times.percentiles(after(9)).expect("many");
        assert_eq!((full.count, full.p50_us), (32_768, 4));
    }
}
