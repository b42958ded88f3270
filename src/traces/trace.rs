//! One trace: whom it concerns, for how long, and its newest events.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::event::Event;
use super::target::TraceTarget;
use super::{KEPT, MOST};
use crate::memory::{self, Held, Part};
use crate::session::rate::{Bucket, Nanos};

/// Events that a trace keeps; the oldest gives way.
pub const MOST_EVENTS: usize = 2048;
/// Bytes of such events.
const MOST_BYTES: usize = 512 * 1024;
/// Parts of `limits.memory` of which each trace may hold one: all of them, that there may be, an eighth of it.
pub(super) const PARTS_OF_LIMIT: usize = 8 * MOST;
/// Events that a trace takes in a second, with one second's burst; those beyond are counted.
pub const EVENTS_PER_SECOND: u64 = 1000;

/// Events that a trace has not recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Over [`EVENTS_PER_SECOND`].
    pub over_rate: u64,
    /// Memory was short.
    pub short_of_memory: u64,
}

impl Lost {
    /// Returns the number of all of them.
    pub fn all(self) -> u64 {
        self.over_rate + self.short_of_memory
    }
}

/// The id of a trace, 16 lowercase hexadecimal digits. Not a session's trace id, which log lines have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceKey(pub u64);

impl TraceKey {
    /// Reads an id as it is written; `None` if it is none.
    pub fn parse(text: &str) -> Option<TraceKey> {
        let key = TraceKey(u64::from_str_radix(text, 16).ok()?);
        (key.to_string() == text).then_some(key)
    }
}

impl fmt::Display for TraceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Some events of a trace.
#[derive(Debug, Default)]
pub struct Page {
    /// The events with their numbers, which ascend; numbers that are missing are lost.
    pub events: Vec<(u64, Arc<Event>)>,
    /// Events behind the asked position that are not among these, for they were lost or have given way.
    pub lost: u64,
    /// The position to go on with.
    pub next: u64,
    /// The trace is over, and these are its last events.
    pub is_end: bool,
}

/// One trace.
#[derive(Debug)]
pub struct Trace {
    key: TraceKey,
    target: TraceTarget,
    since: u64,
    by: String,
    length: Duration,
    /// When it ends, on the clock of all traces.
    ends: AtomicU64,
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<(u64, Arc<Event>)>,
    /// The number of the newest event; lost ones have numbers too.
    newest: u64,
    bytes: usize,
    held: Held,
    rate: Bucket,
    lost: Lost,
}

impl Trace {
    /// A trace of `target` from `now` on, for `length`. `since`: now, in seconds since 1970.
    pub fn new(
        key: TraceKey,
        target: TraceTarget,
        (now, since): (Nanos, u64),
        length: Duration,
        by: String,
    ) -> Trace {
        let nanos = Nanos::try_from(length.as_nanos()).unwrap_or(Nanos::MAX);
        Trace {
            key,
            target,
            since,
            by,
            length,
            ends: AtomicU64::new(now.saturating_add(nanos)),
            ring: Mutex::new(Ring {
                events: VecDeque::new(),
                newest: 0,
                bytes: 0,
                held: Held::new(Part::History, size_of::<Trace>()),
                rate: Bucket::default(),
                lost: Lost::default(),
            }),
        }
    }

    /// Returns its id.
    pub fn key(&self) -> TraceKey {
        self.key
    }

    /// Returns whom it concerns.
    pub fn target(&self) -> TraceTarget {
        self.target
    }

    /// Returns when it began, in seconds since 1970.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Returns the time for which it was asked.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Returns who asked for it, and from where.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Returns the time that is left.
    pub fn left(&self, now: Nanos) -> Duration {
        Duration::from_nanos(self.ends.load(Relaxed).saturating_sub(now))
    }

    /// Returns true if its time is over.
    pub fn is_over(&self, now: Nanos) -> bool {
        self.ends.load(Relaxed) <= now
    }

    /// Ends it now, where it has not ended before.
    pub(super) fn stop(&self, now: Nanos) {
        self.ends.fetch_min(now, Relaxed);
    }

    /// Returns true if it has been over for so long that it is not kept any more.
    pub(super) fn is_forgotten(&self, now: Nanos) -> bool {
        let kept = KEPT.as_nanos() as Nanos;
        self.ends.load(Relaxed).saturating_add(kept) <= now
    }

    /// Records an event. Returns false if it is only counted.
    pub(super) fn push(&self, event: &Arc<Event>, now: Nanos, is_short: bool) -> bool {
        let mut ring = self.lock();
        ring.newest += 1;
        if is_short {
            ring.lost.short_of_memory += 1;
            return false;
        }
        match ring.rate.after(now, 1, EVENTS_PER_SECOND) {
            Ok(rate) => ring.rate = rate,
            Err(_) => {
                ring.lost.over_rate += 1;
                return false;
            }
        }
        ring.keep(Arc::clone(event));
        true
    }

    /// Returns at most `limit` events behind the one with the number `after`.
    pub fn read(&self, after: u64, limit: usize, now: Nanos) -> Page {
        // Before the ring is read: what is recorded meanwhile must not be passed over by a reader who is told the end.
        let is_over = self.is_over(now);
        let ring = self.lock();
        let after = after.min(ring.newest);
        let begin = ring.events.partition_point(|(number, _)| *number <= after);
        let behind = ring.events.range(begin..);
        let events: Vec<_> = behind.take(limit).cloned().collect();
        let is_last = begin + events.len() == ring.events.len();
        let next = match events.last() {
            Some((number, _)) if !is_last => *number,
            // What was lost behind the last one is told now.
            _ => ring.newest,
        };
        Page {
            lost: next - after - events.len() as u64,
            next,
            is_end: is_over && is_last,
            events,
        }
    }

    /// Returns the number of events so far, and of those that were not recorded.
    pub fn counts(&self) -> (u64, Lost) {
        let ring = self.lock();
        (ring.newest, ring.lost)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn keep(&mut self, event: Arc<Event>) {
        let most = MOST_BYTES.min(memory::part_of_limit(PARTS_OF_LIMIT));
        self.bytes += event.bytes();
        self.events.push_back((self.newest, event));
        while self.events.len() > MOST_EVENTS || self.bytes > most {
            let Some((_, oldest)) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
        let places = self.events.capacity() * size_of::<(u64, Arc<Event>)>();
        self.held.set(size_of::<Trace>() + self.bytes + places);
    }
}
