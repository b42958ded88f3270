//! What a link has sent to other threads' registries and they have not passed on yet. Nothing else would hold a backend
//! back that sends more than those threads can do: it is not read while there is much.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Frames of one link that are under way, by the sessions that they concern.
#[derive(Debug, Default)]
pub struct UnderWay {
    sessions: AtomicUsize,
    is_awaited: AtomicBool,
}

impl UnderWay {
    /// Sessions that frames of one link may be under way to before the link is not read.
    pub const MOST: usize = 4096;

    /// Some more are sent.
    pub fn begin(&self, sessions: usize) {
        self.sessions.fetch_add(sessions, SeqCst);
    }

    /// Tells whether there are so many that the link waits; then the end of half of them wakes it.
    pub fn is_much(&self) -> bool {
        if self.sessions.load(SeqCst) <= UnderWay::MOST {
            return false;
        }
        self.is_awaited.store(true, SeqCst);
        // They may all have ended just now.
        self.sessions.load(SeqCst) > UnderWay::MOST / 2
    }

    /// Some have been passed on. Returns whether the link waits for that.
    pub(super) fn end(&self, sessions: usize) -> bool {
        let left = self.sessions.fetch_sub(sessions, SeqCst) - sessions;
        left <= UnderWay::MOST / 2 && self.is_awaited.swap(false, SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_waits_until_half_of_it_is_passed_on() {
        let under_way = UnderWay::default();
        under_way.begin(UnderWay::MOST);
        assert!(!under_way.is_much());
        under_way.begin(1);
        assert!(under_way.is_much());
        assert!(!under_way.end(1));
        assert!(under_way.end(UnderWay::MOST / 2));
        assert!(!under_way.end(UnderWay::MOST / 2), "once");
        assert!(!under_way.is_much());
    }
}
