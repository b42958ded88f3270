//! The share of an endpoint that was out: it grows, so that one that has just started is not met by its whole share of
//! new sessions at once.

use std::time::{Duration, Instant};

/// The time in which the share grows to the whole.
const SLOW_START: Duration = Duration::from_secs(10);
/// The share to begin with, in percent.
pub const LEAST_SHARE: u8 = 10;
/// The whole share.
pub const WHOLE_SHARE: u8 = 100;

/// The start of one endpoint.
#[derive(Debug, Default)]
pub struct SlowStart {
    returned_at: Option<Instant>,
}

impl SlowStart {
    /// The endpoint can be reached again.
    pub fn returned(&mut self, now: Instant) {
        self.returned_at = Some(now);
    }

    /// Returns its share, in percent.
    pub fn share(&self, now: Instant) -> u8 {
        let age = self
            .returned_at
            .map_or(SLOW_START, |at| now.saturating_duration_since(at));
        let percent = age.as_millis().min(SLOW_START.as_millis()) * 100 / SLOW_START.as_millis();
        u8::try_from(percent).map_or(WHOLE_SHARE, |percent| percent.max(LEAST_SHARE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_from_a_tenth_to_the_whole() {
        let (mut start, now) = (SlowStart::default(), Instant::now());
        assert_eq!(start.share(now), WHOLE_SHARE, "it was never out");
        start.returned(now);
        let after = |seconds| start.share(now + Duration::from_secs(seconds));
        assert_eq!(
            [0, 1, 5, 9, 10, 1000].map(after),
            [10, 10, 50, 90, 100, 100]
        );
    }
}
