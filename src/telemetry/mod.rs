//! Spans of sampled sessions, for an OpenTelemetry collector (OTLP).
//!
//! Whoever has something to tell puts a [`Span`] into [`Spans`], a bounded queue: what does not fit is dropped and
//! counted, and nobody waits. The [`Exporter`] empties it. Where no collector is configured no session is sampled, and
//! nothing is kept.

mod export;
mod span;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

pub use export::Exporter;
pub use span::{Event, Span, SpanKind, UnixNanos, Value, now};

use crate::config::Config;
use crate::memory::{self, Held, Part};
use crate::session::trace_id::{SessionTrace, Threshold};

/// Spans that may wait for the collector: one of a part of a session has half a kilobyte, that of the session one and
/// more, with its story.
pub const MOST_WAITING: usize = 4096;
/// So many are sent at once.
const BATCH: usize = 512;

/// Spans that wait for the collector, and counts of them.
#[derive(Debug, Default)]
pub struct Spans {
    is_on: bool,
    threshold: Option<Threshold>,
    are_backends_told: bool,
    waiting: Mutex<Waiting>,
    /// There is a batch.
    many: Notify,
    sent: AtomicU64,
    overflowed: AtomicU64,
    short_of_memory: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    spans: Vec<Span>,
    /// Bytes beside the list's own.
    beside: usize,
    held: Held,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting {
            spans: Vec::new(),
            beside: 0,
            held: Held::new(Part::Spans, 0),
        }
    }
}

impl Waiting {
    /// Tells whether there is no room in memory for one more.
    fn lacks_room(&self, span: &Span) -> bool {
        // The list would double.
        let doubles = self.spans.len() == self.spans.capacity();
        let list = self.spans.len() * usize::from(doubles) * size_of::<Span>();
        memory::is_scarce() && !memory::admits(list + size_of::<Span>() + span.beside())
    }

    fn count(&mut self) {
        let list = self.spans.capacity() * size_of::<Span>();
        self.held.set(list + self.beside);
    }
}

/// Counts of spans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Taken by the collector.
    pub sent: u64,
    /// Dropped, for too many waited.
    pub overflowed: u64,
    /// Dropped, for memory was short.
    pub short_of_memory: u64,
    /// Dropped, for the collector did not want them.
    pub refused: u64,
    /// They wait for the collector.
    pub waiting: u64,
    /// Requests to the collector that failed.
    pub failures: u64,
}

/// Makes the way to the collector, with its spans, where one is configured.
///
/// # Errors
/// The file of authorities cannot be used.
pub fn start(config: &Config) -> Result<Option<Arc<Exporter>>, String> {
    let otlp = &config.otlp;
    let Some(endpoint) = &otlp.endpoint else {
        return Ok(None);
    };
    let spans = Spans::of_sampled(otlp.sample.ppm()).with_backends_told(otlp.tell_backends);
    let spans = Arc::new(spans);
    let exporter = Exporter::new(config, endpoint, &spans)?;
    Ok(Some(Arc::new(exporter)))
}

impl Spans {
    /// Spans that are sent, of so many sessions in a million. Without this, by `default`, nothing is.
    pub fn of_sampled(ppm: u32) -> Spans {
        Spans {
            is_on: true,
            threshold: Threshold::of_ppm(ppm),
            ..Spans::default()
        }
    }

    /// Tells whether spans are sent at all.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// The same, and backends are told which sessions these are.
    pub fn with_backends_told(self, told: bool) -> Spans {
        Spans {
            are_backends_told: told,
            ..self
        }
    }

    /// Returns what backends are told: the threshold, where they are.
    pub fn told_to_backends(&self) -> Option<String> {
        let told = self.threshold.filter(|_| self.are_backends_told);
        told.map(|threshold| threshold.to_string())
    }

    /// Returns which sessions are sampled, if any are.
    pub fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }

    /// Returns the trace of a session if it is sampled.
    #[inline]
    pub fn sampled(&self, session_id: u64) -> Option<SessionTrace> {
        let threshold = self.threshold?;
        SessionTrace::of(session_id).filter(|trace| threshold.samples(trace.id))
    }

    /// Has a span sent, where there is room.
    pub fn record(&self, span: Span) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.spans.len() >= MOST_WAITING {
            self.overflowed.fetch_add(1, Relaxed);
            return;
        }
        if waiting.lacks_room(&span) {
            self.short_of_memory.fetch_add(1, Relaxed);
            return;
        }
        waiting.beside += span.beside();
        waiting.spans.push(span);
        waiting.count();
        if waiting.spans.len() == BATCH {
            self.many.notify_one();
        }
    }

    /// Returns the counts.
    pub fn counts(&self) -> SpanCounts {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        SpanCounts {
            sent: self.sent.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
            short_of_memory: self.short_of_memory.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waiting: waiting.spans.len() as u64,
            failures: self.failures.load(Relaxed),
        }
    }

    /// Takes the next batch.
    fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.spans.len().min(BATCH);
        let batch: Vec<Span> = waiting.spans.drain(..count).collect();
        waiting.beside -= batch.iter().map(Span::beside).sum::<usize>();
        if waiting.spans.is_empty() {
            // A burst is over; its room goes back.
            waiting.spans.shrink_to(BATCH);
        }
        waiting.count();
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::trace_id::{SpanId, TraceId};

    fn span() -> Span {
        Span::new(TraceId::new(7), SpanId::new(8), "session", (1, 2))
    }

    #[test]
    fn nothing_is_sampled_where_there_is_no_collector() {
        let off = Spans::default();
        assert!(!off.is_on() && (1..100).all(|id| off.sampled(id).is_none()));
        let all = Spans::of_sampled(1_000_000);
        assert!((1..100).all(|id| all.sampled(id).is_some()) && all.sampled(0).is_none());
        let none = Spans::of_sampled(0);
        assert!(none.is_on() && (1..100).all(|id| none.sampled(id).is_none()));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let spans = Spans::of_sampled(1_000_000);
        (0..MOST_WAITING + 3).for_each(|_| spans.record(span()));
        let counts = spans.counts();
        assert_eq!((counts.waiting, counts.overflowed), (4096, 3));
        assert_eq!(spans.take().len(), BATCH);
        spans.record(span());
        assert_eq!(spans.counts().waiting as usize, MOST_WAITING - BATCH + 1);
        while !spans.take().is_empty() {}
        let room = spans.waiting.lock().unwrap().spans.capacity();
        assert!(room <= BATCH, "{room}");
    }

    #[test]
    fn what_waits_is_counted_and_bounded_by_memory() {
        let budget = memory::MemoryBudget::new(1 << 20, 1);
        memory::count_on_this_thread(budget.worker(0));
        let held = || {
            let parts = budget.snapshot().parts;
            let own = parts.into_iter().find(|(part, _)| *part == "spans");
            own.map(|(_, bytes)| bytes as usize)
        };
        let spans = Spans::of_sampled(1_000_000);
        let long = "x".repeat(1000);
        let lasts = |n: usize| span().with("a", "x".repeat(n)).failed(Some(&*long));
        (0..10).for_each(|_| spans.record(lasts(2000)));
        assert!(
            held() >= Some(10 * (size_of::<Span>() + 3000)),
            "{:?}",
            held()
        );
        // As much as the whole budget, a thousand times; the last of them find no room.
        (0..1000).for_each(|_| spans.record(lasts(10_000)));
        let counts = spans.counts();
        assert_eq!(counts.waiting + counts.short_of_memory, 1010);
        assert!(
            counts.short_of_memory > 0 && held() <= Some(1 << 20),
            "{counts:?}"
        );
        while !spans.take().is_empty() {}
        assert!(held() <= Some(BATCH * size_of::<Span>()), "{:?}", held());
    }
}
