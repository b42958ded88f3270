//! Counters of all workers once a second, and what happened between two such readings.
//!
//! It asks no actor and takes microseconds, so it goes on while nobody looks: whoever opens the page sees the last
//! minutes.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Desk;
use crate::admin::process_families::cpu_time;
use crate::metrics::{HistogramSnapshot, WorkerMetrics};

/// Points that are kept: five minutes.
const KEPT_POINTS: usize = 300;
/// Readings over which percentiles are taken; fewer would hold too few frames of a quiet gateway.
const PERCENTILE_SPAN: usize = 10;

/// The last readings, and the points that were made of them.
#[derive(Debug, Default)]
pub(super) struct Readings {
    readings: VecDeque<Reading>,
    points: VecDeque<Point>,
}

/// All counters at one time.
#[derive(Debug, Clone)]
struct Reading {
    at: Instant,
    cpu: Duration,
    workers: Vec<WorkerReading>,
    frame_time: HistogramSnapshot,
    first_answer: HistogramSnapshot,
}

#[derive(Debug, Clone, Copy, Default)]
struct WorkerReading {
    sessions: u64,
    links: u64,
    started: u64,
    closed: u64,
    errors: u64,
    frames_in: u64,
    frames_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    lag: HistogramSnapshot,
}

/// What happened in one second. Directions are the gateway's: `in` is what it read from players.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(super) struct Point {
    /// When it ended, in milliseconds since 1970.
    pub(super) at_ms: u64,
    /// Sessions now.
    sessions: u64,
    /// Sessions that began, a second. So are the next six.
    started_per_second: u64,
    /// Connections that ended.
    closed_per_second: u64,
    /// ERROR frames to players.
    errors_per_second: u64,
    frames_in_per_second: u64,
    frames_out_per_second: u64,
    bytes_in_per_second: u64,
    bytes_out_per_second: u64,
    /// Half of the sampled frames took no longer through the gateway, in microseconds, over the last ten seconds;
    /// `null`: none was sampled. So are the next three.
    frame_p50_us: Option<u64>,
    frame_p99_us: Option<u64>,
    /// Backends' first answers to new sessions.
    first_answer_p99_us: Option<u64>,
    /// How late event loops come to a timer, over all workers.
    loop_lag_p99_us: Option<u64>,
    /// Time on processors, in hundredths of one of them.
    cpu_percent: u64,
}

/// One worker in the last second.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct WorkerRow {
    worker: usize,
    sessions: u64,
    /// Links that stand.
    links: u64,
    frames_in_per_second: u64,
    frames_out_per_second: u64,
    /// How late its event loop comes to a timer, in microseconds, over the last ten seconds; `null`: it did not.
    loop_lag_p50_us: Option<u64>,
    loop_lag_p99_us: Option<u64>,
}

impl WorkerReading {
    fn of(metrics: &WorkerMetrics) -> WorkerReading {
        WorkerReading {
            sessions: metrics.sessions_now(),
            links: metrics.links_now(),
            started: metrics.sessions_started.total(),
            closed: metrics.closings.total(),
            errors: metrics.errors_sent.iter().map(|(_, n)| n).sum(),
            frames_in: metrics.client_frames_in.get(),
            frames_out: metrics.client_frames_out.get(),
            bytes_in: metrics.client_bytes_in.get(),
            bytes_out: metrics.client_bytes_out.get(),
            lag: [&metrics.loop_lag].into_iter().collect(),
        }
    }
}

impl Readings {
    /// Reads the counters once more.
    pub(super) fn take(&mut self, desk: &Desk) {
        let sums = desk.services.sums();
        let mut first_answer = HistogramSnapshot::default();
        sums.iter()
            .for_each(|(_, sum)| first_answer.merge(&sum.first_answer));
        let frames = desk.metrics.iter().flat_map(|m| m.frames.iter());
        let reading = Reading {
            at: Instant::now(),
            cpu: cpu_time().unwrap_or_default(),
            workers: desk.metrics.iter().map(|m| WorkerReading::of(m)).collect(),
            frame_time: frames.map(|(_, histogram)| histogram).collect(),
            first_answer,
        };
        self.push(reading, SystemTime::now());
    }

    fn push(&mut self, reading: Reading, now: SystemTime) {
        if let (Some(first), Some(last)) = (self.readings.front(), self.readings.back()) {
            let point = point(first, last, &reading, now);
            if self.points.len() == KEPT_POINTS {
                self.points.pop_front();
            }
            self.points.push_back(point);
        }
        if self.readings.len() == PERCENTILE_SPAN {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
    }

    /// Returns the last minutes, the oldest first.
    pub(super) fn points(&self) -> Vec<Point> {
        self.points.iter().copied().collect()
    }

    /// Returns the last second; none before there were two readings.
    pub(super) fn last(&self) -> Option<Point> {
        self.points.back().copied()
    }

    /// Returns each worker's last second.
    pub(super) fn workers(&self) -> Vec<WorkerRow> {
        let mut newest = self.readings.iter().rev();
        let (Some(now), Some(before), Some(first)) =
            (newest.next(), newest.next(), self.readings.front())
        else {
            return Vec::new();
        };
        let passed = now.at - before.at;
        let row = |(worker, now): (usize, &WorkerReading)| {
            let lag = now.lag.since(&first.workers[worker].lag);
            let before = &before.workers[worker];
            WorkerRow {
                worker,
                sessions: now.sessions,
                links: now.links,
                frames_in_per_second: rate(before.frames_in, now.frames_in, passed),
                frames_out_per_second: rate(before.frames_out, now.frames_out, passed),
                loop_lag_p50_us: lag.quantile_us(0.5),
                loop_lag_p99_us: lag.quantile_us(0.99),
            }
        };
        now.workers.iter().enumerate().map(row).collect()
    }
}

fn point(first: &Reading, before: &Reading, now: &Reading, at: SystemTime) -> Point {
    let passed = now.at.saturating_duration_since(before.at);
    let sum = |reading: &Reading, read: fn(&WorkerReading) -> u64| -> u64 {
        reading.workers.iter().map(read).sum()
    };
    let a_second =
        |read: fn(&WorkerReading) -> u64| rate(sum(before, read), sum(now, read), passed);
    let mut lag = HistogramSnapshot::default();
    for (worker, first) in now.workers.iter().zip(&first.workers) {
        lag.merge(&worker.lag.since(&first.lag));
    }
    let frame_time = now.frame_time.since(&first.frame_time);
    let cpu_us = now.cpu.saturating_sub(before.cpu).as_micros() as u64;
    Point {
        at_ms: at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis() as u64,
        sessions: sum(now, |w| w.sessions),
        started_per_second: a_second(|w| w.started),
        closed_per_second: a_second(|w| w.closed),
        errors_per_second: a_second(|w| w.errors),
        frames_in_per_second: a_second(|w| w.frames_in),
        frames_out_per_second: a_second(|w| w.frames_out),
        bytes_in_per_second: a_second(|w| w.bytes_in),
        bytes_out_per_second: a_second(|w| w.bytes_out),
        frame_p50_us: frame_time.quantile_us(0.5),
        frame_p99_us: frame_time.quantile_us(0.99),
        first_answer_p99_us: now
            .first_answer
            .since(&first.first_answer)
            .quantile_us(0.99),
        loop_lag_p99_us: lag.quantile_us(0.99),
        cpu_percent: rate(0, cpu_us / 10_000, passed),
    }
}

/// Returns how much a counter has grown a second, rounded.
fn rate(before: u64, now: u64, passed: Duration) -> u64 {
    let millis = passed.as_millis().max(1) as u64;
    let grown = now.saturating_sub(before);
    (grown.saturating_mul(1000) + millis / 2) / millis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: Instant, workers: [(u64, u64); 2]) -> Reading {
        let worker = |(sessions, frames_in)| WorkerReading {
            sessions,
            frames_in,
            ..WorkerReading::default()
        };
        Reading {
            at,
            cpu: Duration::ZERO,
            workers: workers.map(worker).to_vec(),
            frame_time: HistogramSnapshot::default(),
            first_answer: HistogramSnapshot::default(),
        }
    }

    #[test]
    fn a_point_is_the_difference_of_two_readings() {
        let (mut readings, begin) = (Readings::default(), Instant::now());
        let later = |millis| begin + Duration::from_millis(millis);
        readings.push(reading(begin, [(1, 100), (2, 50)]), UNIX_EPOCH);
        assert_eq!((readings.last(), readings.workers()), (None, Vec::new()));
        let now = UNIX_EPOCH + Duration::from_millis(2_000);
        readings.push(reading(later(2_000), [(4, 300), (2, 51)]), now);
        let point = readings.last().expect("two readings");
        assert_eq!(
            (point.at_ms, point.sessions, point.frames_in_per_second),
            (2_000, 6, 101)
        );
        assert_eq!((point.frame_p99_us, point.loop_lag_p99_us), (None, None));
        let rows = readings.workers();
        let rates: Vec<u64> = rows.iter().map(|row| row.frames_in_per_second).collect();
        assert_eq!(rates, [100, 1]);
        // A counter that is read a little earlier than another may seem to go back.
        readings.push(reading(later(3_000), [(4, 299), (2, 51)]), now);
        assert_eq!(
            readings.last().map(|point| point.frames_in_per_second),
            Some(0)
        );
    }

    #[test]
    fn the_last_minutes_are_kept_and_no_more() {
        let (mut readings, begin) = (Readings::default(), Instant::now());
        for second in 0..1_000 {
            let at = begin + Duration::from_secs(second);
            readings.push(reading(at, [(second, 0), (0, 0)]), UNIX_EPOCH);
        }
        let sessions: Vec<u64> = readings
            .points()
            .iter()
            .map(|point| point.sessions)
            .collect();
        assert_eq!(sessions, (700..1_000).collect::<Vec<_>>());
        assert_eq!(readings.readings.len(), PERCENTILE_SPAN);
    }
}
