//! Histograms of durations, over the same buckets for all, so that they can be compared and added up.

use std::marker::PhantomData;
use std::time::Duration;

use super::Count;
use crate::labels::Label;

/// The buckets' upper bounds, in microseconds. What is longer has a bucket of its own.
pub const BOUNDS_US: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

const BUCKETS: usize = BOUNDS_US.len() + 1;

/// Histogram with one writing thread.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Count; BUCKETS],
    sum_us: Count,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].one();
        self.sum_us.add(us);
    }

    /// Counts a duration that stands for `n` alike. Their sum is exact to a microsecond.
    pub fn observe_many(&self, took: Duration, n: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].add(n);
        let sum = took.as_nanos().saturating_mul(n.into()) / 1000;
        self.sum_us.add(u64::try_from(sum).unwrap_or(u64::MAX));
    }
}

/// One histogram for each value of a label.
#[derive(Debug)]
pub struct Timed<L> {
    histograms: Box<[Histogram]>,
    label: PhantomData<L>,
}

impl<L: Label> Timed<L> {
    /// Counts one duration for `label`.
    pub fn observe(&self, label: L, took: Duration) {
        self.histograms[label.index()].observe(took);
    }

    /// Returns all labels with their histograms.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        let labels = L::ALL.iter().map(|label| label.label());
        labels.zip(&self.histograms)
    }
}

impl<L: Label> Default for Timed<L> {
    fn default() -> Timed<L> {
        Timed {
            histograms: L::ALL.iter().map(|_| Histogram::default()).collect(),
            label: PhantomData,
        }
    }
}

/// Sum of histograms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl HistogramSnapshot {
    /// Adds what a histogram has counted so far.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += count.get();
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.get());
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        for (sum, count) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += count;
        }
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
    }

    /// Returns what was counted since an earlier snapshot.
    pub fn since(&self, before: &HistogramSnapshot) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: std::array::from_fn(|at| self.buckets[at].saturating_sub(before.buckets[at])),
            sum_us: self.sum_us.wrapping_sub(before.sum_us),
        }
    }

    /// Returns the duration in microseconds that such a share of all does not exceed, as if they were spread evenly
    /// within their buckets; `None` if there is none. One beyond the last bound counts as that.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * share).max(1.0);
        let (mut below, mut lower) = (0.0, 0);
        for (count, upper) in self.buckets.into_iter().zip(BOUNDS_US) {
            let count = count as f64;
            if count > 0.0 && below + count >= wanted {
                let part = (wanted - below) / count;
                return Some(lower + ((upper - lower) as f64 * part).round() as u64);
            }
            (below, lower) = (below + count, upper);
        }
        (self.count() > 0).then_some(lower)
    }

    /// Returns how many durations were counted. It is the sum of the buckets, so it never contradicts them.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of all durations, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_us).as_secs_f64()
    }

    /// Returns each bucket's upper bound in seconds, the last one's infinite, with how many lie within it and no
    /// smaller one.
    pub fn buckets(&self) -> [(f64, u64); BUCKETS] {
        let bound = |at: usize| match BOUNDS_US.get(at) {
            Some(us) => Duration::from_micros(*us).as_secs_f64(),
            None => f64::INFINITY,
        };
        std::array::from_fn(|at| (bound(at), self.buckets[at]))
    }
}

impl<'a> FromIterator<&'a Histogram> for HistogramSnapshot {
    fn from_iter<I: IntoIterator<Item = &'a Histogram>>(histograms: I) -> HistogramSnapshot {
        let mut sum = HistogramSnapshot::default();
        histograms.into_iter().for_each(|one| sum.add(one));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        assert!(BOUNDS_US.is_sorted());
        let (one, other) = (Histogram::default(), Histogram::default());
        one.observe(Duration::ZERO);
        one.observe(Duration::from_nanos(10_999)); // whole microseconds count
        one.observe(Duration::from_micros(11));
        other.observe(Duration::from_millis(700));
        other.observe(Duration::from_secs(3600));
        let sum: HistogramSnapshot = [&one, &other].into_iter().collect();
        let filled: Vec<_> = sum.buckets().into_iter().filter(|(_, n)| *n > 0).collect();
        let expected = [(0.000_01, 2), (0.000_025, 1), (1.0, 1), (f64::INFINITY, 1)];
        assert_eq!(filled, expected);
        assert_eq!(sum.count(), 5);
        assert_eq!(sum.sum_seconds(), 3_600.700_021);
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let histogram = Histogram::default();
        let sum =
            |histogram: &Histogram| -> HistogramSnapshot { [histogram].into_iter().collect() };
        assert_eq!(sum(&histogram).quantile_us(0.99), None);
        histogram.observe(Duration::from_micros(60));
        let before = sum(&histogram);
        assert_eq!(before.quantile_us(0.5), Some(100));
        for _ in 0..99 {
            histogram.observe(Duration::from_micros(200));
        }
        histogram.observe(Duration::from_millis(4));
        let later = sum(&histogram).since(&before);
        assert_eq!((later.count(), later.quantile_us(0.5)), (100, Some(176)));
        assert_eq!(
            (later.quantile_us(0.99), later.quantile_us(1.0)),
            (Some(250), Some(5_000))
        );
        histogram.observe(Duration::from_secs(3600));
        assert_eq!(sum(&histogram).quantile_us(1.0), BOUNDS_US.last().copied());
    }
}
