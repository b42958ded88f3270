//! What operators have recorded of some sessions for a time: the headers of their frames and what was decided about
//! them, never payloads.
//!
//! [`Traces`] is shared by all workers. A client that no trace concerns knows so by a mark of its own, and asks
//! nothing here for a frame; one that a trace may concern puts its events into the [`Trace`] that they belong to,
//! which keeps the newest of them.

mod event;
mod target;
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

pub use event::{Decision, Direction, Event, Fate, Frame, Name, Subject, What};
pub use target::TraceTarget;
pub use trace::{EVENTS_PER_SECOND, Lost, MOST_EVENTS, Page, Trace, TraceKey};

use crate::session::rate::Nanos;

/// The most traces, those that are over and kept for their readers included.
pub const MOST: usize = 32;
/// Time for which a trace is kept behind its end.
pub const KEPT: Duration = Duration::from_secs(600);
/// The longest trace.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Why a trace does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeginFailed {
    /// So many are under way.
    #[error("{MOST} traces are under way; delete one, or wait until one is over")]
    TooMany,
    /// There is one with this id.
    #[error("there is a trace {0} already")]
    Known(TraceKey),
}

/// All traces of the process.
#[derive(Debug)]
pub struct Traces {
    /// One of them at least is under way.
    any: AtomicBool,
    /// Those under way.
    running: ArcSwap<Vec<Arc<Trace>>>,
    /// These and those that are over, the oldest first.
    all: Mutex<Vec<Arc<Trace>>>,
    begun: Instant,
    recorded: AtomicU64,
    lost: AtomicU64,
}

impl Default for Traces {
    fn default() -> Traces {
        Traces {
            any: AtomicBool::new(false),
            running: ArcSwap::default(),
            all: Mutex::default(),
            begun: Instant::now(),
            recorded: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }
}

impl Traces {
    /// Returns the time on the clock of all traces.
    pub fn now(&self) -> Nanos {
        Nanos::try_from(self.begun.elapsed().as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// Returns true if a trace is under way.
    #[inline]
    pub fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Begins a trace. One that is over gives way where there are too many.
    ///
    /// # Errors
    /// There are [`MOST`] under way, or one with the same id.
    pub fn begin(&self, trace: Trace) -> Result<Arc<Trace>, BeginFailed> {
        let (now, trace) = (self.now(), Arc::new(trace));
        let mut all = self.lock();
        if all.iter().any(|other| other.key() == trace.key()) {
            return Err(BeginFailed::Known(trace.key()));
        }
        if all.len() >= MOST {
            let over = all.iter().position(|trace| trace.is_over(now));
            all.remove(over.ok_or(BeginFailed::TooMany)?);
        }
        all.push(Arc::clone(&trace));
        self.publish(&all, now);
        Ok(trace)
    }

    /// Forgets a trace; readers of it come to its end.
    pub fn remove(&self, key: TraceKey) -> Option<Arc<Trace>> {
        let now = self.now();
        let mut all = self.lock();
        let place = all.iter().position(|trace| trace.key() == key)?;
        let trace = all.remove(place);
        trace.stop(now);
        self.publish(&all, now);
        Some(trace)
    }

    /// Ends traces whose time is over, and forgets those that were kept long enough. Returns those that have ended.
    pub fn sweep(&self) -> Vec<Arc<Trace>> {
        let now = self.now();
        let mut all = self.lock();
        all.retain(|trace| !trace.is_forgotten(now));
        let running = self.running.load();
        let ended = running.iter().filter(|trace| trace.is_over(now)).cloned();
        let ended: Vec<_> = ended.collect();
        if !ended.is_empty() {
            self.publish(&all, now);
        }
        ended
    }

    /// Returns all traces, the oldest first.
    pub fn list(&self) -> Vec<Arc<Trace>> {
        self.lock().clone()
    }

    /// Returns one trace.
    pub fn find(&self, key: TraceKey) -> Option<Arc<Trace>> {
        self.lock().iter().find(|trace| trace.key() == key).cloned()
    }

    /// Returns true if a trace under way concerns it.
    pub fn concern(&self, subject: &Subject) -> bool {
        let now = self.now();
        let running = self.running.load();
        running
            .iter()
            .any(|trace| !trace.is_over(now) && trace.target().concerns(subject))
    }

    /// Puts an event into the traces that concern it. Returns false if none does. `is_short`: memory is, and the event
    /// is only counted.
    pub fn record(&self, subject: &Subject, is_short: bool, what: impl FnOnce() -> What) -> bool {
        let now = self.now();
        let running = self.running.load();
        let mut concerned = running
            .iter()
            .filter(|trace| !trace.is_over(now) && trace.target().concerns(subject))
            .peekable();
        if concerned.peek().is_none() {
            return false;
        }
        let event = Arc::new(Event::new(*subject, what()));
        for trace in concerned {
            match trace.push(&event, now, is_short) {
                true => self.recorded.fetch_add(1, Relaxed),
                false => self.lost.fetch_add(1, Relaxed),
            };
        }
        true
    }

    /// Returns the number of traces under way.
    pub fn count(&self) -> usize {
        self.running.load().len()
    }

    /// Returns how many events were recorded, and how many were only counted.
    pub fn events(&self) -> (u64, u64) {
        (self.recorded.load(Relaxed), self.lost.load(Relaxed))
    }

    fn publish(&self, all: &[Arc<Trace>], now: Nanos) {
        let running = all.iter().filter(|trace| !trace.is_over(now)).cloned();
        let running: Vec<_> = running.collect();
        let any = !running.is_empty();
        self.running.store(Arc::new(running));
        self.any.store(any, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Trace>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
