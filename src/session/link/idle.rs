//! The time for which a link has carried no session.

use std::time::{Duration, Instant};

/// Watches for a link that carries no session for longer than a timeout.
#[derive(Debug)]
pub struct Idle {
    timeout: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Since(Instant),
    /// The pool has been told.
    Told(Instant),
}

impl Idle {
    /// Begins to count at `now`.
    pub fn new(timeout: Duration, now: Instant) -> Idle {
        let state = State::Since(now);
        Idle { timeout, state }
    }

    /// The last session has left at `now`.
    pub fn unused(&mut self, now: Instant) {
        self.state = State::Since(now);
    }

    /// The pool may have missed or refused what it was told, so it is to be told again.
    pub fn retell(&mut self) {
        match self.state {
            State::Since(_) => {}
            State::Told(since) => self.state = State::Since(since),
        }
    }

    /// Looks at a link without sessions at `now`. Returns whether to tell the pool.
    pub fn look(&mut self, now: Instant) -> bool {
        match self.state {
            State::Since(since) if now - since >= self.timeout => {
                self.state = State::Told(since);
                true
            }
            State::Since(_) | State::Told(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_told_once_unless_it_missed_it_or_the_link_was_used() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(60));
        let mut idle = Idle::new(timeout, now);
        assert!(!idle.look(now + timeout / 2));
        assert!(idle.look(now + timeout));
        assert!(!idle.look(now + timeout));
        idle.retell();
        assert!(idle.look(now + timeout));
        idle.unused(now + timeout);
        assert!(!idle.look(now + timeout));
        assert!(idle.look(now + 2 * timeout));
    }
}
