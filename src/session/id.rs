//! Session ids (protocol 1.5): 64 bits from a CSPRNG, never 0.
//!
//! Every id has a **home**: one worker of this process whose registry shard is the only authority
//! for it. The home is a keyed hash of the id, so it works for ids that a client chose as well, and
//! says nothing to anyone without the key. A gateway-made id is drawn until its home is the worker
//! that draws it, so its registration never crosses threads.

use std::hash::{BuildHasher, RandomState};

use rand::rngs::ThreadRng;
use rand::{Rng, RngCore};

/// Which worker is at home with a session id. Cheap to clone; all workers share one key.
#[derive(Debug, Clone)]
pub struct Homes {
    /// `RandomState` is SipHash-1-3 under a random key: not to be predicted from outside.
    key: RandomState,
    workers: usize,
}

impl Homes {
    /// A fresh key for `workers` workers (at least one).
    pub fn new(workers: usize) -> Homes {
        Homes {
            key: RandomState::new(),
            workers: workers.max(1),
        }
    }

    /// The index of the worker at home with `session_id`.
    pub fn home(&self, session_id: u64) -> usize {
        let hash = self.key.hash_one(session_id);
        // Multiply-shift: maps the hash's full range evenly onto the workers.
        ((u128::from(hash) * self.workers as u128) >> 64) as usize
    }

    /// Draws a new id whose home is `worker`. Takes one try a worker on average.
    pub fn draw(&self, worker: usize) -> u64 {
        // ThreadRng is ChaCha12, seeded and reseeded by the operating system.
        let mut rng: ThreadRng = rand::rng();
        loop {
            let id = rng.next_u64();
            if id != 0 && self.home(id) == worker {
                return id;
            }
        }
    }
}

/// When clients that are refused or cut off may come back, in milliseconds: spread, so that they
/// do not come as a herd.
pub const RETRY_AFTER_MS: (u32, u32) = (500, 5_000);

/// A `retry_after` for a client that is refused or cut off: uniform between the bounds, in
/// milliseconds, so that many who are told at once do not come back as a herd (protocol 1.4).
pub fn spread_retry_ms(least: u32, most: u32) -> u32 {
    rand::rng().random_range(least..=most.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn drawn_ids_are_at_home_and_differ() {
        for workers in [1, 2, 3, 64] {
            let homes = Homes::new(workers);
            let mut seen = HashSet::new();
            for worker in 0..workers {
                for _ in 0..100 {
                    let id = homes.draw(worker);
                    assert_ne!(id, 0);
                    assert_eq!(homes.home(id), worker);
                    assert!(seen.insert(id));
                }
            }
        }
    }

    #[test]
    fn clones_agree_and_chosen_ids_spread() {
        let homes = Homes::new(4);
        let twin = homes.clone();
        let mut count = [0; 4];
        for id in 1..=4000 {
            assert_eq!(homes.home(id), twin.home(id));
            count[homes.home(id)] += 1;
        }
        assert!(count.iter().all(|&n| n > 700), "{count:?}");
    }

    #[test]
    fn retry_stays_within_its_bounds() {
        for _ in 0..1000 {
            assert!((5..=9).contains(&spread_retry_ms(5, 9)));
        }
        assert_eq!(spread_retry_ms(5, 0), 5);
    }
}
