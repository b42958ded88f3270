//! Counters that cost nothing to count: one set a worker, written by that worker's thread alone.
//! Whoever wants to know adds them up.
//!
//! Hot path: a count is a relaxed load and store; no locked instruction, no shared cache line.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::codec::code::Code;
use crate::session::closing::Closing;

/// A counter with one writing thread.
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

    /// Adds `n`, whichever thread calls. Never mixed with the others for one counter.
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds 1.
    #[inline]
    pub fn one(&self) {
        self.add(1);
    }

    /// Replaces the count, for figures that go up and down.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter for each of a fixed list of label values.
#[derive(Debug)]
pub struct Labelled<const N: usize> {
    labels: [&'static str; N],
    counts: [Count; N],
}

impl<const N: usize> Labelled<N> {
    fn new(labels: [&'static str; N]) -> Labelled<N> {
        Labelled {
            labels,
            counts: std::array::from_fn(|_| Count::default()),
        }
    }

    /// Adds `n` to the counter of `label`, or to the last one if there is no such label.
    pub fn add(&self, label: &str, n: u64) {
        let index = self.labels.iter().position(|l| *l == label);
        self.counts[index.unwrap_or(N - 1)].add(n);
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(Count::get).sum()
    }

    /// All labels with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.labels
            .iter()
            .copied()
            .zip(self.counts.iter().map(Count::get))
    }
}

/// One counter for each code of protocol 1.4; other codes share one.
#[derive(Debug)]
pub struct ByCode([Count; Code::ALL.len() + 1]);

impl ByCode {
    /// Adds `n` for `code`.
    pub fn add(&self, code: Code, n: u64) {
        let index = Code::ALL.iter().position(|c| *c == code);
        self.0[index.unwrap_or(Code::ALL.len())].add(n);
    }

    /// All codes with their counts; `None` for the others.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Code>, u64)> + '_ {
        let codes = Code::ALL.iter().map(|c| Some(*c)).chain([None]);
        codes.zip(self.0.iter().map(Count::get))
    }
}

/// Why frames or messages were dropped: every place that drops names itself here.
pub const DROPPED: [&str; 9] = [
    "before_accept",
    "client_closing",
    "client_gone",
    "link_gone",
    "link_left",
    "unexpected_close_307",
    "unexpected_accept",
    "unexpected_kind",
    "other",
];

/// How players are connected.
pub const TRANSPORTS: [&str; 6] = [
    "tcp",
    "websocket",
    "http",
    "tcp+tls",
    "websocket+tls",
    "http+tls",
];

/// How sessions are resumed.
pub const RESUMES: [&str; 2] = ["exact", "gap"];

/// The statuses of HTTP responses that are counted one by one.
pub const HTTP_STATUSES: [&str; 18] = [
    "101", "200", "204", "400", "401", "403", "404", "405", "408", "413", "426", "429", "431",
    "440", "502", "503", "504", "other",
];

/// Why a link was lost or given up.
pub const LINK_ENDS: [&str; 9] = [
    "connect_failed",
    "connect_timeout",
    "peer_closed",
    "io_error",
    "protocol_error",
    "ping_timeout",
    "idle",
    "shut_down",
    "panicked",
];

/// What one worker has counted. Directions are the gateway's: `in` is what it read.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is described once, in admin::metrics")]
pub struct WorkerMetrics {
    pub accepted: Count,
    pub accept_errors: Count,
    pub tls_handshakes: Count,
    pub closings: Labelled<32>,
    pub sessions_started: Labelled<6>,
    pub sessions_ended: Count,
    pub sessions_suspended: Count,
    pub sessions_resumed: Labelled<2>,
    pub goaways: Count,
    pub http_responses: Labelled<18>,
    pub client_frames_in: Count,
    pub client_frames_out: Count,
    pub client_bytes_in: Count,
    pub client_bytes_out: Count,
    pub client_reads: Count,
    pub forwards: Count,
    pub delivers: Count,
    pub errors_sent: ByCode,
    pub paused: Count,
    pub link_frames_in: Count,
    pub link_frames_out: Count,
    pub link_bytes_in: Count,
    pub link_bytes_out: Count,
    pub links_started: Count,
    pub links_ready: Count,
    pub links_unready: Count,
    pub links_ended: Labelled<9>,
    pub links_lost_sessions: Count,
    pub refused_on_link: Count,
    pub relayed: Count,
    pub relays_lost: Count,
    pub multicast_recipients: Count,
    pub binds: Count,
    pub bind_failures: Count,
    pub resolved: Count,
    pub unresolved: ByCode,
    pub dropped: Labelled<9>,
}

impl WorkerMetrics {
    /// Sessions now.
    pub fn sessions_now(&self) -> u64 {
        // Read in this order, a session that ends between the two reads counts as there.
        let ended = self.sessions_ended.get();
        self.sessions_started.total().saturating_sub(ended)
    }

    /// Links that take sessions now.
    pub fn links_now(&self) -> u64 {
        // Read in this order, a link that ends between the two reads counts as there.
        let ended = self.links_unready.get();
        self.links_ready.get().saturating_sub(ended)
    }
}

impl Default for WorkerMetrics {
    fn default() -> WorkerMetrics {
        let count = Count::default;
        let by_code = || ByCode(std::array::from_fn(|_| Count::default()));
        WorkerMetrics {
            accepted: count(),
            accept_errors: count(),
            tls_handshakes: count(),
            closings: Labelled::new(Closing::LABELS),
            sessions_started: Labelled::new(TRANSPORTS),
            sessions_ended: count(),
            sessions_suspended: count(),
            sessions_resumed: Labelled::new(RESUMES),
            goaways: count(),
            http_responses: Labelled::new(HTTP_STATUSES),
            client_frames_in: count(),
            client_frames_out: count(),
            client_bytes_in: count(),
            client_bytes_out: count(),
            client_reads: count(),
            forwards: count(),
            delivers: count(),
            errors_sent: by_code(),
            paused: count(),
            link_frames_in: count(),
            link_frames_out: count(),
            link_bytes_in: count(),
            link_bytes_out: count(),
            links_started: count(),
            links_ready: count(),
            links_unready: count(),
            links_ended: Labelled::new(LINK_ENDS),
            links_lost_sessions: count(),
            refused_on_link: count(),
            relayed: count(),
            relays_lost: count(),
            multicast_recipients: count(),
            binds: count(),
            bind_failures: count(),
            resolved: count(),
            unresolved: by_code(),
            dropped: Labelled::new(DROPPED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_codes_find_their_counter() {
        let metrics = WorkerMetrics::default();
        metrics.dropped.add("link_gone", 2);
        metrics.dropped.add("never heard of", 1);
        let counted: Vec<_> = metrics.dropped.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("link_gone", 2), ("other", 1)]);
        metrics.errors_sent.add(Code::NO_ROUTE, 3);
        metrics.errors_sent.add(Code(999), 1);
        let counted: Vec<_> = metrics.errors_sent.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [(Some(Code::NO_ROUTE), 3), (None, 1)]);
    }
}
