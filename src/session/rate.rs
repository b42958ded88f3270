//! Rates: the generic cell rate algorithm, a token bucket with one second's burst whose whole state is one
//! time.
//!
//! Not the crate governor, which has the same algorithm: there a rate belongs to its limiter, so that a
//! reload forgets what was used, a cost over the burst is an error, every count is an atomic operation
//! although a session belongs to one thread, and what it keeps for each address is only shed by
//! sweeping all of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds of a clock that never goes back.
pub type Nanos = u64;

/// The burst, and the time in which it comes back.
const BURST: Nanos = 1_000_000_000;

/// A bucket. The default is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it is full again.
    full_at: Nanos,
}

impl Bucket {
    /// Returns what taking `cost` makes of the bucket. A cost over the burst is taken from a full bucket, and
    /// paid for afterwards.
    ///
    /// # Errors
    /// The wait until it can be taken.
    pub fn after(self, now: Nanos, cost: u64, per_second: u64) -> Result<Bucket, Nanos> {
        let used = self.full_at.saturating_sub(now);
        let price = u128::from(cost) * u128::from(BURST) / u128::from(per_second.max(1));
        let price = Nanos::try_from(price).unwrap_or(Nanos::MAX);
        let most = BURST.saturating_sub(price);
        if used > most {
            return Err(used - most);
        }
        Ok(Bucket {
            full_at: now.saturating_add(used).saturating_add(price),
        })
    }

    /// Returns true if nothing is known of it that a fresh one does not know.
    pub fn is_full(self, now: Nanos) -> bool {
        self.full_at <= now
    }
}

/// A bucket that threads share.
#[derive(Debug, Default)]
pub struct SharedBucket(AtomicU64);

impl SharedBucket {
    /// Takes one, if there is one; a rate of 0 is no limit.
    pub fn take(&self, now: Nanos, per_second: u64) -> bool {
        if per_second == 0 {
            return true;
        }
        let after = |full_at| {
            let after = Bucket { full_at }.after(now, 1, per_second);
            after.ok().map(|bucket| bucket.full_at)
        };
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, after)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_second_of_burst_and_then_the_rate() {
        for rate in [1, 3, 10, 1000] {
            let shared = SharedBucket::default();
            let taken = (0..rate + 5).filter(|_| shared.take(7, rate)).count();
            assert_eq!(taken as u64, rate, "at once");
            // One more for each part of a second, and none before.
            assert!(!shared.take(7 + BURST / rate - 2, rate), "{rate}");
            assert!(shared.take(7 + BURST / rate, rate), "{rate}");
        }
        assert!(
            (0..10_000).all(|_| SharedBucket::default().take(0, 0)),
            "no limit"
        );
    }

    #[test]
    fn a_large_cost_is_paid_for_afterwards() {
        let full = Bucket::default();
        let after = full.after(5, 4096, 1024).unwrap();
        assert_eq!(
            after.after(5, 1, 1024),
            Err(4 * BURST - BURST + BURST / 1024)
        );
        assert!(after.after(5 + 4 * BURST, 4096, 1024).is_ok());
    }

    /// The same as a bucket of tokens, in billionths of a token.
    struct Model {
        tokens: i128,
        at: Nanos,
    }

    impl Model {
        fn take(&mut self, now: Nanos, cost: u64, rate: u64) -> bool {
            let (burst, rate) = (i128::from(rate) * i128::from(BURST), i128::from(rate));
            let came = i128::from(now - self.at) * rate;
            self.tokens = (self.tokens + came).min(burst);
            self.at = now;
            let cost = i128::from(cost) * i128::from(BURST);
            let takes = self.tokens >= cost || self.tokens == burst;
            if takes {
                self.tokens -= cost;
            }
            takes
        }
    }

    proptest! {
        #[test]
        fn it_is_a_bucket_of_tokens(
            // Rates that divide a second, so that no rounding tells the two apart.
            rate in prop::sample::select(vec![1_u64, 4, 10, 125, 1000, 1_000_000]),
            steps in prop::collection::vec((0_u64..2_000_000_000, 1_u64..3000), 1..100),
        ) {
            let (mut bucket, mut now) = (Bucket::default(), 0);
            let mut model = Model { tokens: i128::from(rate) * i128::from(BURST), at: 0 };
            for (wait, cost) in steps {
                now += wait;
                let after = bucket.after(now, cost, rate);
                prop_assert_eq!(after.is_ok(), model.take(now, cost, rate));
                match after {
                    Ok(next) => bucket = next,
                    // What it says to wait is what it takes.
                    Err(wait) => {
                        prop_assert!(bucket.after(now + wait, cost, rate).is_ok());
                        prop_assert!(bucket.after(now + wait - 1, cost, rate).is_err());
                    }
                }
            }
        }
    }
}
