//! The report, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::args::LoadtestArgs;
use super::plan::{Mode, Plan};
use super::tally::Tally;

/// Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyMicros {
    /// The average.
    pub mean: f64,
    /// Half of all took at most this.
    pub p50: f64,
    /// 90%.
    pub p90: f64,
    /// 99%.
    pub p99: f64,
    /// 99.9%.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Everything that a run of the load generator found. The names are those of the JSON output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Nothing lost, doubled, reordered or corrupted, at least one session connected, and where
    /// anything was sent, something was answered.
    pub ok: bool,
    /// `HOST:PORT` as given.
    pub target: String,
    /// Transports of the sessions: one or several, with commas between.
    pub transport: String,
    /// Inside TLS.
    pub tls: bool,
    /// `closed_loop`, `open_loop`, `reconnect` or `idle`.
    pub mode: &'static str,
    /// Meaning of `latency_us`.
    pub latency_measures: &'static str,
    /// Sessions asked for.
    pub sessions: usize,
    /// Sessions connected.
    pub connected: u64,
    /// Sessions that could not connect.
    pub connect_failed: u64,
    /// The same by reason.
    pub connect_failed_by_reason: BTreeMap<String, u64>,
    /// Bytes in a frame's payload.
    pub payload_bytes: usize,
    /// Closed loop: frames outstanding in a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<usize>,
    /// With a new connection for each frame: how many were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Open loop: frames a second that were intended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<f64>,
    /// Time of measuring, after the warm-up.
    pub duration_seconds: f64,
    /// It was ended early, by Ctrl-C or SIGTERM.
    pub interrupted: bool,
    /// The warm-up; its frames are counted, not measured.
    pub warmup_seconds: f64,
    /// Answers a second in the measured time.
    pub round_trips_per_second: f64,
    /// Frames sent, warm-up included.
    pub sent: u64,
    /// Frames answered.
    pub answered: u64,
    /// ERROR frames.
    pub refused: u64,
    /// The same by code.
    pub refused_by_code: BTreeMap<u16, u64>,
    /// Frames without an answer that an ERROR or a CLOSE accounts for.
    pub told: u64,
    /// Frames with neither an answer nor a notice.
    pub lost: u64,
    /// Answers to frames that had one.
    pub doubled: u64,
    /// Answers behind those of later frames.
    pub reordered: u64,
    /// Answers that are not what was sent; the frame such an answer stands for is not lost as well.
    pub corrupted: u64,
    /// Open loop: frames due that were not sent, for their session had ended or took nothing.
    pub not_sent: u64,
    /// Frames of other kinds.
    pub other_frames: u64,
    /// Sessions that ended before the load did.
    pub closed_early: u64,
    /// The same by CLOSE code, or `without_close`, or `broken_framing`.
    pub closed_early_by_code: BTreeMap<String, u64>,
    /// Of the frames sent in the measured time.
    pub latency_us: Option<LatencyMicros>,
    /// Open loop: how much later than intended frames were written; part of `latency_us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_lag_us: Option<LatencyMicros>,
}

impl Report {
    pub(super) fn new(args: &LoadtestArgs, plan: &Plan, tally: Tally) -> Report {
        let (mode, latency_measures) = match plan.mode {
            Mode::Closed { .. } => (
                "closed_loop",
                "service time: from sending to answer; a slow answer delays the next frame, so \
                 waiting in a queue that real players would form is not in it",
            ),
            Mode::Open { .. } => (
                "open_loop",
                "response time: from the intended sending to the answer",
            ),
            Mode::Idle => ("idle", "service time of each session's only frame"),
            Mode::Reconnect => ("reconnect", "from connecting to the answer"),
        };
        let frames = tally.frames;
        let faults = frames.lost + frames.doubled + frames.reordered + frames.corrupted;
        Report {
            ok: faults == 0 && tally.connected > 0 && (frames.answered > 0 || frames.sent == 0),
            target: args.target.clone(),
            transport: transports(args),
            tls: args.tls,
            mode,
            latency_measures,
            sessions: plan.sessions,
            connected: tally.connected,
            connect_failed: tally.connect_failed.values().sum(),
            connect_failed_by_reason: tally.connect_failed,
            payload_bytes: plan.payload,
            in_flight: match plan.mode {
                Mode::Closed { in_flight, .. } => Some(in_flight),
                Mode::Open { .. } | Mode::Idle | Mode::Reconnect => None,
            },
            connections: (plan.mode == Mode::Reconnect).then_some(tally.reconnected),
            rate_per_second: args.rate,
            duration_seconds: (plan.measured().as_secs_f64() * 1000.0).round() / 1000.0,
            interrupted: plan.progress.interrupted_at().is_some(),
            warmup_seconds: plan.warmup.as_secs_f64(),
            round_trips_per_second: per_second(tally.measured_answers, plan),
            sent: frames.sent,
            answered: frames.answered,
            refused: frames.refused.values().sum(),
            refused_by_code: frames.refused,
            told: frames.told,
            lost: frames.lost,
            doubled: frames.doubled,
            reordered: frames.reordered,
            corrupted: frames.corrupted,
            not_sent: tally.not_sent,
            other_frames: tally.other_frames,
            closed_early: tally.closed_early.values().sum(),
            closed_early_by_code: tally.closed_early,
            latency_us: tally.latency.summary(),
            schedule_lag_us: tally.lag.summary(),
        }
    }

    /// Formats the report as one JSON object on one line.
    pub fn json(&self) -> String {
        // Maps with plain keys and numbers always serialise; an error would show as text.
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }
}

fn transports(args: &LoadtestArgs) -> String {
    let names: Vec<String> = args.transport.iter().map(ToString::to_string).collect();
    names.join(",")
}

fn per_second(answers: u64, plan: &Plan) -> f64 {
    let seconds = plan.measured().as_secs_f64();
    if seconds > 0.0 {
        (answers as f64 / seconds * 10.0).round() / 10.0
    } else {
        0.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { target, mode, .. } = self;
        let tls = if self.tls { " in TLS" } else { "" };
        write!(f, "{mode} over {}{tls} to {target}: ", self.transport)?;
        write!(f, "{} of {} sessions, ", self.connected, self.sessions)?;
        write!(f, "payload {} B, ", self.payload_bytes)?;
        if let Some(rate) = self.rate_per_second {
            write!(f, "{rate} frames/s intended, ")?;
        }
        if let Some(connections) = self.connections {
            write!(f, "{connections} connections of one frame each, ")?;
        }
        if let Some(in_flight) = self.in_flight {
            write!(f, "{in_flight} in flight each, ")?;
        }
        let early = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        writeln!(f, "{} s measured{early}", self.duration_seconds)?;
        for (reason, count) in &self.connect_failed_by_reason {
            writeln!(f, "  not connected   {count:>12}  {reason}")?;
        }
        let rate = self.round_trips_per_second;
        writeln!(f, "  round trips/s   {rate:>12.1}")?;
        for (name, count) in [
            ("sent", self.sent),
            ("answered", self.answered),
            ("told missing", self.told),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
        ] {
            writeln!(f, "  {name:<15} {count:>12}")?;
        }
        self.write_exceptions(f)?;
        self.write_times(f)?;
        write!(f, "{}", if self.ok { "ok" } else { "FAILED" })
    }
}

impl Report {
    /// Lines for events that are shown only where they happened.
    fn write_exceptions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not_sent > 0 {
            writeln!(f, "  not sent        {:>12}", self.not_sent)?;
        }
        if self.other_frames > 0 {
            writeln!(f, "  other frames    {:>12}", self.other_frames)?;
        }
        for (code, count) in &self.refused_by_code {
            writeln!(f, "  ERROR {code:<9} {count:>12}")?;
        }
        for (code, count) in &self.closed_early_by_code {
            writeln!(f, "  closed early    {count:>12}  {code}")?;
        }
        Ok(())
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, times) in [
            ("latency", self.latency_us),
            ("schedule lag", self.schedule_lag_us),
        ] {
            if let Some(us) = times {
                write!(f, "  {name:<13} mean {} p50 {} ", us.mean, us.p50)?;
                write!(f, "p90 {} p99 {} ", us.p90, us.p99)?;
                writeln!(f, "p99.9 {} max {} µs", us.p999, us.max)?;
            }
        }
        writeln!(f, "  latency is {}", self.latency_measures)
    }
}
