//! Counters of a worker: one set each, written by that worker's thread alone and summed up by the
//! admin API.
//!
//! Hot path: a count is a relaxed load and store; no locked instruction, no shared cache line.

mod histogram;
mod reasons;
mod recent;
mod sampling;
mod services;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::codec::code::Code;
use crate::codec::link::Transport;
use crate::labels::Label;
use crate::session::closing::ClosingLabel;
use crate::session::link::LinkEnd;

pub use histogram::{BOUNDS_US, Histogram, HistogramSnapshot, Timed};
pub use reasons::{AcceptError, DropReason, LookedUp, Resumed, Routed};
pub use recent::{Percentiles, Recent, RecentTimes};
pub use sampling::{SAMPLED, Sample, Sampler, Way};
pub use services::{MAX_SERVICES, OTHER_SERVICES, ServiceBook, ServiceCounts, ServiceSums};

/// Counter with one writing thread.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        // Not fetch_add: only one thread writes, so the cheaper pair is exact.
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds `n`, from any thread. Never mixed with the other ways to write for one counter.
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds 1.
    #[inline]
    pub fn one(&self) {
        self.add(1);
    }

    /// Replaces the value of a figure that goes up and down.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Returns the count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter for each value of a label.
#[derive(Debug)]
pub struct Labelled<L> {
    counts: Box<[Count]>,
    label: PhantomData<L>,
}

impl<L: Label> Labelled<L> {
    /// Adds `n` to the counter of `label`.
    pub fn add(&self, label: L, n: u64) {
        self.counts[label.index()].add(n);
    }

    /// Adds `n` to the counter of `label`, from any thread. Never mixed with [`Labelled::add`] for
    /// one label.
    pub fn add_shared(&self, label: L, n: u64) {
        self.counts[label.index()].add_shared(n);
    }

    /// Returns the sum over all labels.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(Count::get).sum()
    }

    /// Returns all labels with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let labels = L::ALL.iter().map(|label| label.label());
        labels.zip(self.counts.iter().map(Count::get))
    }
}

impl<L: Label> Default for Labelled<L> {
    fn default() -> Labelled<L> {
        Labelled {
            counts: L::ALL.iter().map(|_| Count::default()).collect(),
            label: PhantomData,
        }
    }
}

/// One counter for each of a list of numbers; all others share one.
#[derive(Debug)]
pub struct Listed<T: 'static> {
    list: &'static [T],
    counts: Box<[Count]>,
}

impl<T> Listed<T> {
    /// Returns the sum over all labels.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(Count::get).sum()
    }
}

impl<T: Copy + PartialEq> Listed<T> {
    fn new(list: &'static [T]) -> Listed<T> {
        Listed {
            list,
            counts: (0..=list.len()).map(|_| Count::default()).collect(),
        }
    }

    /// Adds `n` to the counter of `number`.
    pub fn add(&self, number: T, n: u64) {
        let index = self.list.iter().position(|listed| *listed == number);
        self.counts[index.unwrap_or(self.list.len())].add(n);
    }

    /// Returns the list with its counts; `None` stands for all others.
    pub fn iter(&self) -> impl Iterator<Item = (Option<T>, u64)> + '_ {
        let numbers = self.list.iter().copied().map(Some).chain([None]);
        numbers.zip(self.counts.iter().map(Count::get))
    }
}

/// How long a worker's latest lags are remembered.
const RECENT_LAG: Duration = Duration::from_secs(60);

/// HTTP statuses that are counted one by one.
const HTTP_STATUSES: [u16; 18] = [
    101, 200, 204, 400, 401, 403, 404, 405, 408, 413, 426, 429, 431, 440, 501, 502, 503, 504,
];

/// Counters of one worker. Directions are the gateway's: `in` is what it read.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is described once, in admin::metrics")]
pub struct WorkerMetrics {
    pub accepted: Count,
    pub accept_errors: Labelled<AcceptError>,
    pub tls_handshakes: Count,
    pub closings: Labelled<ClosingLabel>,
    pub sessions_started: Labelled<Transport>,
    pub sessions_ended: Count,
    pub sessions_suspended: Count,
    pub sessions_resumed: Labelled<Resumed>,
    pub goaways: Count,
    pub http_responses: Listed<u16>,
    pub client_frames_in: Count,
    pub client_frames_out: Count,
    pub client_bytes_in: Count,
    pub client_bytes_out: Count,
    pub client_reads: Count,
    pub forwards: Count,
    pub delivers: Count,
    pub errors_sent: Listed<Code>,
    pub paused: Count,
    pub held_back: Count,
    pub rings_squeezed: Count,
    pub evicted: Count,
    pub given_up: Count,
    pub links_started: Count,
    pub links_ready: Count,
    pub links_unready: Count,
    pub links_suspect: Count,
    pub links_ended: Labelled<LinkEnd>,
    pub links_lost_sessions: Count,
    pub refused_on_link: Count,
    pub relayed: Count,
    pub multicast_recipients: Count,
    pub binds: Count,
    pub bind_failures: Count,
    pub resolved: Count,
    pub retries: Count,
    pub refused_retries: Count,
    pub maintenance_ended: Count,
    pub unresolved: Listed<Code>,
    pub dropped: Labelled<DropReason>,
    pub loop_lag: Histogram,
    pub recent_lag: Recent,
    pub handshake: Histogram,
    pub route: Timed<Routed>,
    pub looked_up: Timed<LookedUp>,
    pub connect: Histogram,
    pub resume: Histogram,
    pub handover: Histogram,
    pub moves_begun: Count,
    pub moves_ended: Listed<Code>,
    pub moved_told: Listed<Code>,
    pub moving: Histogram,
    pub frames: Timed<Way>,
}

impl WorkerMetrics {
    /// Returns how many sessions there are.
    pub fn sessions_now(&self) -> u64 {
        // Read in this order, a session that ends between the two reads counts as there.
        let ended = self.sessions_ended.get();
        self.sessions_started.total().saturating_sub(ended)
    }

    /// Returns how many sessions are on their way to another backend.
    pub fn moves_now(&self) -> u64 {
        // Read in this order, a move that ends between the two reads counts as there.
        let ended = self.moves_ended.total();
        self.moves_begun.get().saturating_sub(ended)
    }

    /// Returns how many links stand: their first PONG has come.
    pub fn links_now(&self) -> u64 {
        // Read in this order, a link that ends between the two reads counts as there.
        let ended = self.links_unready.get();
        self.links_ready.get().saturating_sub(ended)
    }
}

impl Default for WorkerMetrics {
    fn default() -> WorkerMetrics {
        let count = Count::default;
        let by_code = || Listed::new(&Code::ALL);
        WorkerMetrics {
            accepted: count(),
            accept_errors: Labelled::default(),
            tls_handshakes: count(),
            closings: Labelled::default(),
            sessions_started: Labelled::default(),
            sessions_ended: count(),
            sessions_suspended: count(),
            sessions_resumed: Labelled::default(),
            goaways: count(),
            http_responses: Listed::new(&HTTP_STATUSES),
            client_frames_in: count(),
            client_frames_out: count(),
            client_bytes_in: count(),
            client_bytes_out: count(),
            client_reads: count(),
            forwards: count(),
            delivers: count(),
            errors_sent: by_code(),
            paused: count(),
            held_back: count(),
            rings_squeezed: count(),
            evicted: count(),
            given_up: count(),
            links_started: count(),
            links_ready: count(),
            links_unready: count(),
            links_suspect: count(),
            links_ended: Labelled::default(),
            links_lost_sessions: count(),
            refused_on_link: count(),
            relayed: count(),
            multicast_recipients: count(),
            binds: count(),
            bind_failures: count(),
            resolved: count(),
            retries: count(),
            refused_retries: count(),
            maintenance_ended: count(),
            unresolved: by_code(),
            dropped: Labelled::default(),
            loop_lag: Histogram::default(),
            recent_lag: Recent::new(RECENT_LAG),
            handshake: Histogram::default(),
            route: Timed::default(),
            looked_up: Timed::default(),
            connect: Histogram::default(),
            resume: Histogram::default(),
            handover: Histogram::default(),
            moves_begun: count(),
            moves_ended: by_code(),
            moved_told: by_code(),
            moving: Histogram::default(),
            frames: Timed::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_codes_find_their_counter() {
        let metrics = WorkerMetrics::default();
        metrics.dropped.add(DropReason::LinkGone, 2);
        metrics.dropped.add_shared(DropReason::RegistryGone, 1);
        let counted: Vec<_> = metrics.dropped.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("link_gone", 2), ("registry_gone", 1)]);
        metrics.errors_sent.add(Code::NO_ROUTE, 3);
        metrics.errors_sent.add(Code(999), 1);
        let counted: Vec<_> = metrics.errors_sent.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [(Some(Code::NO_ROUTE), 3), (None, 1)]);
    }

    #[test]
    fn every_label_has_a_place_and_a_text_of_its_own() {
        fn check<L: Label>() {
            let mut texts = std::collections::HashSet::new();
            for (position, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), position, "{}", label.label());
                assert!(texts.insert(label.label()), "{}", label.label());
            }
        }
        check::<AcceptError>();
        check::<DropReason>();
        check::<Transport>();
        check::<Resumed>();
        check::<Routed>();
        check::<LookedUp>();
        check::<Way>();
        check::<LinkEnd>();
        check::<ClosingLabel>();
    }
}
