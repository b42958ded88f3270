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
use crate::session::trace_id::{SessionTrace, Threshold};

/// Spans that may wait for the collector, each of about half a kilobyte.
pub const MOST_WAITING: usize = 4096;
/// So many are sent at once.
const BATCH: usize = 512;

/// Spans that wait for the collector, and counts of them.
#[derive(Debug, Default)]
pub struct Spans {
    is_on: bool,
    threshold: Option<Threshold>,
    are_backends_told: bool,
    waiting: Mutex<Vec<Span>>,
    /// There is a batch.
    many: Notify,
    sent: AtomicU64,
    overflowed: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
}

/// Counts of spans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Taken by the collector.
    pub sent: u64,
    /// Dropped, for too many waited.
    pub overflowed: u64,
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
        if waiting.len() >= MOST_WAITING {
            self.overflowed.fetch_add(1, Relaxed);
            return;
        }
        waiting.push(span);
        if waiting.len() == BATCH {
            self.many.notify_one();
        }
    }

    /// Returns the counts.
    pub fn counts(&self) -> SpanCounts {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        SpanCounts {
            sent: self.sent.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waiting: waiting.len() as u64,
            failures: self.failures.load(Relaxed),
        }
    }

    /// Takes the next batch.
    fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(BATCH);
        let batch = waiting.drain(..count).collect();
        if waiting.is_empty() {
            // A burst is over; its room goes back.
            waiting.shrink_to(BATCH);
        }
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
        let room = spans.waiting.lock().unwrap().capacity();
        assert!(room <= BATCH, "{room}");
    }
}
