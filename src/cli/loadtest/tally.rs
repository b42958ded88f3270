//! Results of a thread; added up at the end.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::LatencyMicros;
use super::track::Counts;

/// The longest time that is told apart, in nanoseconds: a minute.
const MAX_NANOS: u64 = 60_000_000_000;
/// Significant digits of a recorded time.
const DIGITS: u8 = 3;

/// Times, of any number of frames.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> io::Result<Times> {
        Histogram::new_with_bounds(1, MAX_NANOS, DIGITS)
            .map(Times)
            .map_err(io::Error::other)
    }

    #[inline]
    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_nanos() as u64);
    }

    pub(super) fn add(&mut self, other: &Times) -> io::Result<()> {
        self.0.add(&other.0).map_err(io::Error::other)
    }

    /// Returns the summary; `None` if nothing was recorded.
    pub(super) fn summary(&self) -> Option<LatencyMicros> {
        let micros = |nanos: f64| (nanos / 100.0).round() / 10.0;
        let at = |quantile| micros(self.0.value_at_quantile(quantile) as f64);
        (!self.0.is_empty()).then(|| LatencyMicros {
            mean: micros(self.0.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.0.max() as f64),
        })
    }
}

/// The findings.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) connected: u64,
    /// Connections that have been made one after another, each for one frame.
    pub(super) reconnected: u64,
    /// Sessions that could not connect, by reason.
    pub(super) connect_failed: BTreeMap<String, u64>,
    pub(super) frames: Counts,
    /// Frames that were due and not sent, because their session had ended or took nothing.
    pub(super) not_sent: u64,
    /// Frames of kinds that say nothing about a DATA.
    pub(super) other_frames: u64,
    /// Sessions that ended before the load did: by CLOSE code, or why without one.
    pub(super) closed_early: BTreeMap<String, u64>,
    /// Answers so far, for the view.
    pub(super) answers: u64,
    /// Answers within the measured time.
    pub(super) measured_answers: u64,
    pub(super) latency: Times,
    /// Open loop: how much later than intended frames were sent.
    pub(super) lag: Times,
}

impl Tally {
    pub(super) fn new() -> io::Result<Tally> {
        Ok(Tally {
            connected: 0,
            reconnected: 0,
            connect_failed: BTreeMap::new(),
            frames: Counts::default(),
            not_sent: 0,
            other_frames: 0,
            closed_early: BTreeMap::new(),
            answers: 0,
            measured_answers: 0,
            latency: Times::new()?,
            lag: Times::new()?,
        })
    }

    /// Counts a connection that could not be made.
    pub(super) fn not_connected(&mut self, error: &io::Error) {
        *self.connect_failed.entry(error.to_string()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Tally) -> io::Result<()> {
        self.connected += other.connected;
        self.reconnected += other.reconnected;
        add_all(&mut self.connect_failed, &other.connect_failed);
        self.add_frames(&other.frames);
        self.not_sent += other.not_sent;
        self.other_frames += other.other_frames;
        add_all(&mut self.closed_early, &other.closed_early);
        self.measured_answers += other.measured_answers;
        self.latency.add(&other.latency)?;
        self.lag.add(&other.lag)
    }

    pub(super) fn add_frames(&mut self, other: &Counts) {
        let frames = &mut self.frames;
        frames.sent += other.sent;
        frames.answered += other.answered;
        frames.told += other.told;
        frames.lost += other.lost;
        frames.doubled += other.doubled;
        frames.reordered += other.reordered;
        frames.corrupted += other.corrupted;
        add_all(&mut frames.refused, &other.refused);
    }
}

fn add_all<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() += count;
    }
}
