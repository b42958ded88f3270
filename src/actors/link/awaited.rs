//! How long players wait who have been there for a while: of one frame to the backend at a time it is noted when the
//! next DATA for its player comes.
//!
//! Nobody here knows which frame answers which. A push that comes by chance counts as well, so a backend that sends
//! all the time is never seen to answer late.
//!
//! Hot path: any other frame costs one comparison, and no clock is asked for it.

use std::time::{Duration, Instant};

use super::{Gauge, Link};
use crate::codec::Decoded;
use crate::codec::link;
use crate::metrics::Count;

/// After so long the next DATA is awaited no more, and the frame counts as one that it took this long for: many a
/// frame needs no answer.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// So many frames to a backend without one back are no accident.
const UNANSWERED: u64 = 8;

/// Whose next DATA from the backend is awaited.
#[derive(Debug)]
pub(super) struct AwaitedSession {
    /// 0: nobody's.
    pub(super) id: u64,
    /// The next frame to the backend is to be timed.
    pub(super) is_due: bool,
}

impl Default for AwaitedSession {
    fn default() -> AwaitedSession {
        AwaitedSession {
            id: 0,
            is_due: true,
        }
    }
}

/// The same, for those who ask the link's gauge. The link alone writes it.
#[derive(Debug, Default)]
pub(super) struct AwaitedFrame {
    /// When it was passed on, in microseconds since the link's start; 0: nothing is awaited.
    since_us: Count,
    /// Frames from and to the backend until then, but PONGs and PINGs.
    before_in: Count,
    before_out: Count,
}

impl Gauge {
    fn begin_awaiting(&self) {
        let awaited = &self.carried.awaited;
        awaited.since_us.set(self.age().as_micros().max(1) as u64);
        awaited.before_in.set(self.played_in());
        awaited.before_out.set(self.played_out());
    }

    fn end_awaiting(&self) {
        self.carried.awaited.since_us.set(0);
    }

    /// Returns how long the next DATA has been awaited.
    fn awaited(&self) -> Option<Duration> {
        let since = self.carried.awaited.since_us.get();
        (since > 0).then(|| self.age().saturating_sub(Duration::from_micros(since)))
    }

    /// The same, in microseconds.
    pub(super) fn awaited_us(&self) -> Option<u64> {
        self.awaited().map(|awaited| awaited.as_micros() as u64)
    }

    /// The same, where meanwhile nothing at all but PONGs has come for frames of players.
    pub(super) fn silent_us(&self) -> Option<u64> {
        let awaited = &self.carried.awaited;
        let is_silent = self.played_in() == awaited.before_in.get()
            && self.played_out() >= awaited.before_out.get() + UNANSWERED;
        self.awaited_us().filter(|_| is_silent)
    }

    fn played_in(&self) -> u64 {
        let carried = &self.carried;
        carried.frames_in.get().saturating_sub(carried.pongs.get())
    }

    fn played_out(&self) -> u64 {
        let carried = &self.carried;
        carried.frames_out.get().saturating_sub(carried.pings.get())
    }
}

impl Link {
    /// Times the first of these frames, if it can be: its session may have ended.
    #[cold]
    pub(super) fn await_answer(&mut self, frames: &[u8]) {
        let Ok(Decoded::Frame(frame, _)) = link::decode(frames, u32::MAX) else {
            return;
        };
        let id = frame.session_id;
        if self.sessions.get(id).is_some() {
            self.awaited = AwaitedSession { id, is_due: false };
            self.gauge.begin_awaiting();
        }
    }

    /// DATA has come for the session that it was awaited for.
    #[cold]
    pub(super) fn answered(&mut self) {
        if let Some(took) = self.gauge.awaited() {
            self.count_answer(took);
        }
        self.end_awaiting();
    }

    fn count_answer(&self, took: Duration) {
        let now = Instant::now();
        self.counts.answer.observe(took);
        self.times.answer.observe(took, now);
        self.times.usual_answer.observe(took, now);
    }

    /// The next frame is timed once [`Link::await_next`] says so.
    fn end_awaiting(&mut self) {
        self.awaited.id = 0;
        self.gauge.end_awaiting();
    }

    /// A session has been removed: nothing comes for it any more.
    pub(super) fn await_no_stranger(&mut self) {
        if self.awaited.id != 0 && self.sessions.get(self.awaited.id).is_none() {
            self.end_awaiting();
        }
    }

    /// Has another frame timed, unless one is. A backend from which nothing comes at all is not given up: for how
    /// long is to be seen.
    pub(super) fn await_next(&mut self) {
        self.await_no_stranger();
        let is_late = |took: &Duration| *took >= GIVEN_UP;
        if self.gauge.awaited().filter(is_late).is_some() && self.gauge.silent_us().is_none() {
            self.count_answer(GIVEN_UP);
            self.end_awaiting();
        }
        self.awaited.is_due = self.awaited.id == 0;
    }
}
