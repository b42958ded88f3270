//! The rate of lines about ends of sessions: a crowd that leaves must not fill a log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::session::rate::{Nanos, SharedBucket};

/// Says for which ends there is a line. All workers share it.
#[derive(Debug)]
pub struct AccessLog {
    per_second: u64,
    bucket: SharedBucket,
    /// Ends without a line, since the last line.
    passed_over: AtomicU64,
    started: Instant,
}

impl AccessLog {
    /// At most so many lines a second, with a burst of one second's; 0: none.
    pub fn new(per_second: usize) -> AccessLog {
        AccessLog {
            per_second: per_second as u64,
            bucket: SharedBucket::default(),
            passed_over: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Returns how many ends had no line since the last one, if this one has.
    pub fn admit(&self) -> Option<u64> {
        let now = Nanos::try_from(self.started.elapsed().as_nanos()).unwrap_or(Nanos::MAX);
        self.admit_at(now)
    }

    fn admit_at(&self, now: Nanos) -> Option<u64> {
        if self.per_second == 0 {
            return None;
        }
        if self.bucket.take(now, self.per_second) {
            return Some(self.passed_over.swap(0, Relaxed));
        }
        self.passed_over.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_told_in_part_and_the_rest_is_counted() {
        let log = AccessLog::new(10);
        let lines = (0..1_000).filter(|_| log.admit_at(0).is_some()).count();
        assert_eq!(lines, 10);
        assert_eq!(log.admit_at(1_000_000_000), Some(990));
        assert_eq!(log.admit_at(1_000_000_000), Some(0));
    }

    #[test]
    fn none_is_none() {
        let log = AccessLog::new(0);
        assert_eq!(log.admit_at(u64::MAX), None);
    }
}
