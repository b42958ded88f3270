//! How long an endpoint takes.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::{Link, LinkEvent, TimeFrame};
use crate::codec::Decoded;
use crate::codec::link::{self, Kind};
use crate::metrics::{Recent, Sample, Way, WorkerMetrics};
use crate::supervision::Receive;

/// Answers are many, and a backend that becomes slow is to be seen soon.
const ANSWERS: Duration = Duration::from_secs(60);
/// Long enough that an hour of lateness is seen as such.
const USUAL: Duration = Duration::from_secs(3600);
/// Links last, so new ones are rare.
const CONNECTS: Duration = Duration::from_secs(3600);

/// What a worker's links to an endpoint of a service have taken lately.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct EndpointTimes {
    pub connect: Recent,
    pub first_answer: Recent,
    pub answer: Recent,
    /// The same for longer, so that it can be told what is late.
    pub usual_answer: Recent,
}

impl Default for EndpointTimes {
    fn default() -> EndpointTimes {
        EndpointTimes {
            connect: Recent::new(CONNECTS),
            first_answer: Recent::new(ANSWERS),
            answer: Recent::new(ANSWERS),
            usual_answer: Recent::new(USUAL),
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

    /// Has the newest frame of a session timed until its client has written it.
    #[cold]
    pub(super) fn time_frame(&mut self, session_id: u64, read_at: Instant) {
        if let Some(attached) = self.sessions.get(session_id) {
            attached.client.do_send(LinkEvent::TimeFrame { read_at });
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

/// Returns the session of the last DATA in whole frames.
#[cold]
pub(super) fn last_data(chunk: &[u8]) -> Option<u64> {
    let (mut at, mut last) = (0, None);
    while let Ok(Decoded::Frame(frame, used)) = link::decode(&chunk[at..], u32::MAX) {
        at += used;
        if frame.kind == Kind::Data as u8 {
            last = Some(frame.session_id);
        }
    }
    last
}

/// So much of the queue was written, with it perhaps the frame that is timed.
#[cold]
pub(super) fn sample_written(sample: &mut Option<Sample>, written: usize, metrics: &WorkerMetrics) {
    let came = sample.as_mut().and_then(|sample| sample.written(written));
    if let Some(came) = came {
        *sample = None;
        metrics.frames.observe(Way::ToBackend, came.elapsed());
    }
}

impl Receive<TimeFrame> for Link {
    type Result = ();

    fn receive(&mut self, msg: TimeFrame, _: &mut Context<Self>) {
        // Of one that was written meanwhile nothing waits.
        let queued = self.outbox.queued();
        if self.sample.is_none() && queued > 0 {
            self.sample = Some(Sample::new(msg.read_at, queued));
        }
    }
}
