//! How long an endpoint takes.

use std::time::{Duration, Instant};

use super::Link;
use crate::metrics::Recent;

/// First answers are many, and a backend that becomes slow is to be seen soon.
const ANSWERS: Duration = Duration::from_secs(60);
/// Links last, so new ones are rare.
const CONNECTS: Duration = Duration::from_secs(3600);

/// What a worker's links to an endpoint of a service have taken lately.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct EndpointTimes {
    pub connect: Recent,
    pub first_answer: Recent,
}

impl Default for EndpointTimes {
    fn default() -> EndpointTimes {
        EndpointTimes {
            connect: Recent::new(CONNECTS),
            first_answer: Recent::new(ANSWERS),
        }
    }
}

impl Link {
    /// Returns the time in microseconds since the link was started; a session whose first answer takes longer than
    /// the 71 minutes after which it begins anew counts as a quick one.
    pub(super) fn now_us(&self) -> u32 {
        self.gauge.age().as_micros() as u32
    }

    /// Counts the sessions that the backend has answered for the first time.
    #[inline]
    pub(super) fn count_first_answers(&mut self) {
        if !self.sessions.first_answers.is_empty() {
            self.take_first_answers();
        }
    }

    #[cold]
    fn take_first_answers(&mut self) {
        let (now_us, now) = (self.now_us(), Instant::now());
        for opened_us in std::mem::take(&mut self.sessions.first_answers) {
            let took = Duration::from_micros(now_us.wrapping_sub(opened_us).into());
            self.counts.first_answer.observe(took);
            self.times.first_answer.observe(took, now);
        }
    }
}
