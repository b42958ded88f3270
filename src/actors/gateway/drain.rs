//! State of a drain: initiator, window and progress. The gateway carries the drain out.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;

use super::status::State;
use crate::actors::worker::ClientCounts;
use crate::admission::Gate;
use crate::config::units::show_duration;
use crate::session::trace_id::{SpanId, TraceId};
use crate::telemetry::{self, Span, UnixNanos};

/// Begins to drain.
///
/// A drain begun by a signal ends the process when it is done. One begun by the admin API does not and
/// can be undone; a second request changes its window, if it names one. A signal takes over a drain of
/// the admin API.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Begun, BySignal>")]
pub struct Drain {
    /// Initiator of this request.
    pub by: Initiator,
    /// Time that clients may stay; `None` is `drain.window`.
    pub window: Option<Duration>,
    /// Who asks for it, and why; `None`: a signal.
    pub asked: Option<Asked>,
}

/// The operator behind a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who, as the audit log has it.
    pub by: String,
    /// Why; empty: not said.
    pub reason: String,
}

impl Drain {
    /// Returns the drain that ends the process.
    pub fn by_signal() -> Drain {
        Drain {
            by: Initiator::Signal,
            window: None,
            asked: None,
        }
    }
}

/// Who has asked for a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initiator {
    /// A signal, or the gateway itself after too many panics: the process ends when it is done.
    Signal,
    /// The admin API: the process stays, and it can be undone.
    Admin,
}

/// Asks for the progress of a drain.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "DrainSnapshot")]
pub struct AskDrain;

/// Undoes a drain of the admin API, also one that is over. Has no effect without a drain.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<DrainSnapshot, BySignal>")]
pub struct CancelDrain;

/// Refusal to change a drain that a signal has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway drains because it will exit; nothing else can be done")]
pub struct BySignal;

/// Answer to [`Drain`].
#[derive(Debug, Clone)]
pub struct Begun {
    /// `false` if a drain was under way already.
    pub now: bool,
    /// Progress of the drain.
    pub progress: DrainSnapshot,
}

/// How far a drain is.
#[derive(Debug, Clone, Serialize, ToSchema, MessageResponse)]
pub struct DrainSnapshot {
    /// Where the gateway is in its life; `serving`: it does not drain.
    pub state: State,
    /// What has begun it; `null`: it does not drain. So are the next six.
    pub by: Option<Initiator>,
    /// Who has asked for it last, of the admin API; `null`: a signal.
    #[schema(example = "anna at 127.0.0.1:50614")]
    pub asked_by: Option<String>,
    /// The reason that was given; empty: none.
    #[schema(example = "upgrade")]
    pub reason: Option<String>,
    /// When it began, in seconds since 1970.
    pub began_seconds: Option<u64>,
    /// How long clients may stay, as a duration.
    #[schema(example = "30s")]
    pub window: Option<String>,
    /// What is left of it, in seconds, rounded up.
    pub remaining_seconds: Option<u64>,
    /// Connections when it began.
    pub connections_at_begin: Option<u64>,
    /// Connections now.
    pub connections: u64,
    /// Connections of the drain's beginning, and of its accept grace, that have ended since without being cut off.
    /// Newcomers that are refused do not count.
    pub left: u64,
    /// Connections that were cut off at the window's end.
    pub cut_off: u64,
    /// Sessions that other gateways have taken over.
    pub moved: u64,
    /// Sessions without a connection that wait for their player.
    pub suspended: u64,
    /// Who is still there, as of a second ago at most; `null`: not counted yet.
    pub remaining: Option<ClientCounts>,
}

/// A drain that is under way, or over and not undone.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) by: Initiator,
    asked: Option<Asked>,
    began: Instant,
    began_at: SystemTime,
    window: Duration,
    grace: Duration,
    /// Time at which remaining clients are cut off.
    ends: Instant,
    connections_at_begin: usize,
    entered_at_begin: u64,
    /// The same when the accept grace was over; `None`: it is not.
    entered_at_grace: Option<u64>,
    /// Connections that had left when the others were cut off.
    left: Option<u64>,
    cut_off: usize,
    moved_at_begin: u64,
    pub(super) remaining: Option<ClientCounts>,
    pub(super) counted_at: Instant,
}

impl UnderWay {
    pub(super) fn begin(drain: Drain, window: Duration, grace: Duration, gate: &Gate) -> UnderWay {
        let began = Instant::now();
        UnderWay {
            by: drain.by,
            asked: drain.asked,
            began,
            began_at: SystemTime::now(),
            window,
            grace,
            ends: began + window,
            connections_at_begin: gate.connections(),
            entered_at_begin: gate.entered(),
            entered_at_grace: None,
            left: None,
            cut_off: 0,
            moved_at_begin: gate.handed_over_count(),
            remaining: None,
            counted_at: began,
        }
    }

    /// Notes who has asked again.
    pub(super) fn asked_again(&mut self, asked: Option<Asked>) {
        self.asked = asked;
    }

    /// The accept grace is over: who comes from now on is refused, and does not count.
    pub(super) fn grace_ends(&mut self, gate: &Gate) {
        self.entered_at_grace.get_or_insert(gate.entered());
    }

    /// Sets the window, counted from the beginning of the drain.
    pub(super) fn set_window(&mut self, window: Duration) {
        self.window = window;
        self.ends = self.began + window;
    }

    /// Lets a signal take over. The end comes no later than announced and within the signal's window.
    pub(super) fn take_over(&mut self, window: Duration) {
        (self.by, self.asked) = (Initiator::Signal, None);
        let latest = Instant::now() + window;
        if latest < self.ends {
            self.ends = latest;
            self.window = latest.duration_since(self.began);
        }
    }

    /// Returns whether the accept grace is over. It is at most the window.
    pub(super) fn grace_is_over(&self) -> bool {
        self.began.elapsed() >= self.grace.min(self.window)
    }

    /// Returns the time at which remaining clients are cut off.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Returns the share of resumable sessions that should have been asked to move by now, however few of them have
    /// gone. It grows from 0 at the end of the grace to 1 at two thirds of the window (protocol 3.3).
    pub(super) fn share_asked(&self) -> f64 {
        let asked_by = self.window.mul_f64(2.0 / 3.0);
        let grace = self.grace.min(self.window);
        let spread = asked_by.saturating_sub(grace).as_secs_f64();
        let passed = self.began.elapsed().saturating_sub(grace).as_secs_f64();
        if passed < spread {
            passed / spread
        } else {
            1.0
        }
    }

    /// Returns whether the window is over.
    pub(super) fn window_is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Counts the remaining connections as cut off; once more where a signal finds newcomers.
    pub(super) fn cut_off(&mut self, gate: &Gate) {
        self.left = Some(self.left(gate));
        self.cut_off += gate.connections();
    }

    /// Returns the number of connections cut off.
    pub(super) fn cut_off_count(&self) -> usize {
        self.cut_off
    }

    /// Returns the drain as a span that ends now.
    pub(super) fn span(&self, progress: &DrainSnapshot, is_undone: bool) -> Span {
        let end = telemetry::now();
        let took = UnixNanos::try_from(self.began.elapsed().as_nanos()).unwrap_or(end);
        let (trace, id) = (TraceId::new(rand::random()), SpanId::new(rand::random()));
        let by = match self.by {
            Initiator::Signal => "signal",
            Initiator::Admin => "admin",
        };
        Span::new(trace, id, "drain_gateway", (end.saturating_sub(took), end))
            .with("game_gateway.by", by)
            .with(
                "game_gateway.connections_at_begin",
                self.connections_at_begin as u64,
            )
            .with("game_gateway.left", progress.left)
            .with("game_gateway.moved", progress.moved)
            .with("game_gateway.cut_off", progress.cut_off)
            .with("game_gateway.undone", is_undone)
    }

    fn left(&self, gate: &Gate) -> u64 {
        let entered = self.entered_at_grace.unwrap_or_else(|| gate.entered());
        let came = self.connections_at_begin as u64 + (entered - self.entered_at_begin);
        let all = gate.connections() as u64;
        // Until the grace is over who has no session yet may still begin one.
        let here = match (self.entered_at_grace, &self.remaining) {
            (Some(_), Some(last)) => all.min(last.resumable + last.plain + last.http),
            _ => all,
        };
        self.left.unwrap_or_else(|| came.saturating_sub(here))
    }
}

/// Returns the progress of a drain.
pub(super) fn progress(state: State, drain: Option<&UnderWay>, gate: &Gate) -> DrainSnapshot {
    let since_1970 = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let remaining = |drain: &UnderWay| drain.ends.saturating_duration_since(Instant::now());
    let asked = drain.and_then(|drain| drain.asked.as_ref());
    DrainSnapshot {
        state,
        by: drain.map(|d| d.by),
        asked_by: asked.map(|asked| asked.by.clone()),
        reason: asked.map(|asked| asked.reason.clone()),
        began_seconds: drain.map(|d| since_1970(d.began_at).as_secs()),
        window: drain.map(|d| show_duration(d.window)),
        remaining_seconds: drain.map(|d| remaining(d).as_millis().div_ceil(1000) as u64),
        connections_at_begin: drain.map(|d| d.connections_at_begin as u64),
        connections: gate.connections() as u64,
        left: drain.map_or(0, |d| d.left(gate)),
        cut_off: drain.map_or(0, |d| d.cut_off as u64),
        moved: drain.map_or(0, |d| gate.handed_over_count() - d.moved_at_begin),
        suspended: gate.suspended() as u64,
        remaining: drain.and_then(|d| d.remaining),
    }
}
