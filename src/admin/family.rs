//! Metric families.

use std::fmt::Display;

use prometheus_client::metrics::MetricType;

use super::process_families::OsFigures;
use super::service_families::EndpointFigures;
use crate::actors::gateway::StatusSnapshot;
use crate::memory::MemorySnapshot;
use crate::metrics::{Histogram, HistogramSnapshot, Listed, ServiceSums, WorkerMetrics};
use crate::supervision::KindSnapshot;

/// The source of a family's figures.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A counter, summed over the workers.
    Counter(fn(&WorkerMetrics) -> u64),
    /// A gauge, summed over the workers.
    Gauge(fn(&WorkerMetrics) -> u64),
    /// A counter for each value of one label.
    Labelled(&'static str, fn(&WorkerMetrics) -> Vec<(String, u64)>),
    /// A gauge of the process.
    Status(fn(&StatusSnapshot) -> u64),
    /// A counter of the process.
    StatusCounter(fn(&StatusSnapshot) -> u64),
    /// A counter for each kind of actor.
    KindCounter(fn(&KindSnapshot) -> u64),
    /// A gauge for each kind of actor.
    KindGauge(fn(&KindSnapshot) -> u64),
    /// A histogram for each kind of actor.
    KindTiming(fn(&KindSnapshot) -> &HistogramSnapshot),
    /// Seconds for each kind of actor and type of message.
    MessageSeconds,
    /// A counter of the process, for each value of the label `reason`.
    StatusReasons(fn(&StatusSnapshot) -> Vec<(&'static str, u64)>),
    /// A gauge of the budget of memory.
    Memory(fn(&MemorySnapshot) -> u64),
    /// A gauge for each part of it.
    MemoryParts,
    /// A counter of the process that no actor has.
    Process(fn(&ProcessFigures) -> u64),
    /// A gauge of the process that no actor has.
    ProcessGauge(fn(&ProcessFigures) -> u64),
    /// A counter of the process that the operating system has.
    OsCounter(fn(&OsFigures) -> Option<f64>),
    /// A gauge of the process that the operating system has.
    OsGauge(fn(&OsFigures) -> Option<f64>),
    /// A counter, summed over the services.
    LinkTotal(fn(&ServiceSums) -> u64),
    /// A counter for each service.
    ServiceCounter(fn(&ServiceSums) -> u64),
    /// A histogram for each service.
    ServiceTiming(fn(&ServiceSums) -> &HistogramSnapshot),
    /// Sessions of each service.
    ServiceSessions,
    /// A gauge for each endpoint.
    EndpointGauge(fn(&EndpointFigures) -> Option<f64>),
    /// A gauge for each endpoint and state.
    EndpointStates(fn(&EndpointFigures) -> &[(&'static str, u64)]),
    /// A histogram, summed over the workers.
    Timing(fn(&WorkerMetrics) -> &Histogram),
    /// A histogram for each worker.
    TimingByWorker(fn(&WorkerMetrics) -> &Histogram),
    /// Times of questions to other gateways, by outcome.
    QuestionTimings,
    /// A histogram for each value of one label, summed over the workers.
    Timed(&'static str, fn(&WorkerMetrics) -> TimedBy<'_>),
}

/// Histograms by the value of a label; all workers have the same values in the same order.
type TimedBy<'a> = Vec<(&'static str, &'a Histogram)>;

impl Source {
    pub(super) fn metric_type(&self) -> MetricType {
        match self {
            Source::Counter(_)
            | Source::Labelled(..)
            | Source::StatusCounter(_)
            | Source::StatusReasons(_)
            | Source::KindCounter(_)
            | Source::MessageSeconds
            | Source::Process(_)
            | Source::LinkTotal(_)
            | Source::ServiceCounter(_)
            | Source::OsCounter(_) => MetricType::Counter,
            Source::Gauge(_)
            | Source::Status(_)
            | Source::KindGauge(_)
            | Source::Memory(_)
            | Source::MemoryParts
            | Source::ProcessGauge(_)
            | Source::ServiceSessions
            | Source::EndpointGauge(_)
            | Source::EndpointStates(_)
            | Source::OsGauge(_) => MetricType::Gauge,
            Source::ServiceTiming(_)
            | Source::KindTiming(_)
            | Source::Timing(_)
            | Source::TimingByWorker(_)
            | Source::QuestionTimings
            | Source::Timed(..) => MetricType::Histogram,
        }
    }
}

/// Figures of the process that no actor has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProcessFigures {
    /// Log lines that nobody read.
    pub(super) dropped_log_lines: u64,
    /// Connections of the admin API that had to make room for others.
    pub(super) closed_admin_connections: u64,
    /// Bans in force.
    pub(super) bans: u64,
    pub(super) ban_refusals: u64,
    pub(super) ban_ended_sessions: u64,
    pub(super) event_streams: u64,
    pub(super) refused_event_streams: u64,
    /// Traces under way.
    pub(super) traces: u64,
    pub(super) trace_events: u64,
    pub(super) trace_lost_events: u64,
    /// Entries of the cache of assignments.
    pub(super) assignments: u64,
    pub(super) assignments_connected: u64,
    pub(super) assignment_notifications: u64,
    pub(super) malformed_assignments: u64,
    pub(super) disallowed_assignments: u64,
    pub(super) os: OsFigures,
}

/// One family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Without the prefix `game_gateway_`; counters get `_total` behind it.
    pub name: &'static str,
    /// Its HELP text.
    pub help: &'static str,
    pub(super) source: Source,
}

/// Makes a family, for one line of the table.
pub(super) const fn family(name: &'static str, help: &'static str, source: Source) -> Family {
    Family { name, help, source }
}

/// Turns counts into what a family with labels shows.
pub(super) fn owned<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Vec<(String, u64)> {
    counts.map(|(label, n)| (label.to_owned(), n)).collect()
}

/// Turns counts by value, those of the rest included, into what a family with labels shows.
pub(super) fn listed<T: Copy + PartialEq + Display>(counts: &Listed<T>) -> Vec<(String, u64)> {
    let name = |number: Option<T>| number.map_or_else(|| "other".to_owned(), |n| n.to_string());
    counts.iter().map(|(code, n)| (name(code), n)).collect()
}

/// Joins tables.
pub(super) const fn joined<const N: usize>(tables: &[&[Family]]) -> [Family; N] {
    let mut all = [tables[0][0]; N];
    let (mut index, mut table, mut row) = (0, 0, 0);
    while index < N {
        if row == tables[table].len() {
            (table, row) = (table + 1, 0);
        }
        all[index] = tables[table][row];
        (index, row) = (index + 1, row + 1);
    }
    all
}
