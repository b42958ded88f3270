//! Gathers what comes while work is under way.

/// Work of which one run at a time is under way.
#[derive(Debug, Default)]
pub(super) struct OneAtATime {
    running: bool,
    again: bool,
}

impl OneAtATime {
    /// Tells whether to begin now; if not, one more run follows the one under way.
    pub(super) fn begin(&mut self) -> bool {
        self.again = self.running;
        !std::mem::replace(&mut self.running, true)
    }

    /// Notes the end of a run, and tells whether to begin again.
    pub(super) fn end(&mut self) -> bool {
        self.running = false;
        std::mem::take(&mut self.again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_news_is_one_more_run() {
        let mut runs = OneAtATime::default();
        assert!(runs.begin());
        assert!((0..1000).all(|_| !runs.begin()));
        assert!(runs.end(), "what came meanwhile");
        assert!(runs.begin());
        assert!(!runs.end());
    }
}
