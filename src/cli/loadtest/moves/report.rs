//! The report of `--expect-moves`, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::book::{Book, State};
use super::upgrades::Upgrades;
use crate::cli::loadtest::args::LoadtestArgs;
use crate::cli::loadtest::plan::Plan;

/// A figure that every session has one of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerSession {
    /// Half of the sessions have at most this.
    pub p50: f64,
    /// 99%.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

/// Everything that a run with `--expect-moves` found. The names are those of the JSON output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovesReport {
    /// Nothing lost without a word, doubled, reordered or corrupted, every session began and none
    /// ended early, something was answered, and where there are matches every player that was not told of a gap or an
    /// error found its state as it must be.
    pub ok: bool,
    /// `HOST:PORT` as given.
    pub target: String,
    /// Transports of the sessions: one or several, with commas between.
    pub transport: String,
    /// Inside TLS.
    pub tls: bool,
    /// Sessions asked for.
    pub sessions: usize,
    /// Sessions that have begun.
    pub started: usize,
    /// Time of sending, without the time of connecting.
    pub duration_seconds: f64,
    /// Frames sent.
    pub sent: u64,
    /// Frames answered.
    pub answered: u64,
    /// Frames without an answer, of which the player was told that they may be missing.
    pub told: u64,
    /// Frames with neither an answer nor a notice.
    pub lost: u64,
    /// Answers to frames that had one.
    pub doubled: u64,
    /// Answers behind those of later frames.
    pub reordered: u64,
    /// Answers that are not what was sent.
    pub corrupted: u64,
    /// ERRORs.
    pub errors: u64,
    /// Times that a session went on over another connection.
    pub moves: u64,
    /// The same of each session.
    pub moves_per_session: PerSession,
    /// Numbered frames that backends have sent unasked.
    pub pushes: u64,
    /// Players whose backend keeps, to the byte, the state that they expect.
    pub states_same: usize,
    /// Players whose backend keeps another one.
    pub states_different: usize,
    /// Echo backends of this process that were replaced meanwhile.
    pub backend_upgrades: u64,
    /// Times that a session went on at another backend for that.
    pub backend_moves: u64,
    /// Sessions that were not moved in time.
    pub backend_cut_off: u64,
    /// It was ended early, by Ctrl-C or SIGTERM.
    pub interrupted: bool,
    /// Moves after which frames may be missing.
    pub gaps: u64,
    /// Sessions that ended before the load did, by why.
    pub ended_early: BTreeMap<String, usize>,
    /// The longest time that a player had something outstanding and heard nothing, in milliseconds.
    pub longest_silence_ms: PerSession,
}

fn per_session(mut figures: Vec<f64>) -> PerSession {
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (figures.len() as f64 * share).ceil() as usize;
        figures.get(place.saturating_sub(1)).copied()
    };
    PerSession {
        p50: at(0.5).unwrap_or_default(),
        p99: at(0.99).unwrap_or_default(),
        max: at(1.0).unwrap_or_default(),
    }
}

fn states(books: &[Book], state: State) -> usize {
    let found = books.iter().filter(|book| book.state == Some(state));
    found.count()
}

impl MovesReport {
    pub(super) fn new(
        args: &LoadtestArgs,
        plan: &Plan,
        books: Vec<Book>,
        upgrades: Upgrades,
    ) -> MovesReport {
        let sum = |figure: fn(&Book) -> u64| books.iter().map(figure).sum::<u64>();
        let mut ended_early = BTreeMap::new();
        for why in books.iter().filter_map(|book| book.ended.clone()) {
            *ended_early.entry(why).or_default() += 1;
        }
        let milliseconds = |d: Duration| (d.as_secs_f64() * 10_000.0).round() / 10.0;
        let names: Vec<String> = args.transport.iter().map(ToString::to_string).collect();
        let mut report = MovesReport {
            ok: false,
            target: args.target.clone(),
            transport: names.join(","),
            tls: args.tls,
            sessions: plan.sessions,
            started: books.iter().filter(|book| book.started).count(),
            duration_seconds: (plan.warmup + plan.measured()).as_secs_f64(),
            interrupted: plan.progress.interrupted_at().is_some(),
            sent: sum(|b| b.sent),
            answered: sum(|b| b.answered),
            told: sum(|b| b.told),
            lost: sum(|b| b.lost),
            doubled: sum(|b| b.doubled),
            reordered: sum(|b| b.reordered),
            corrupted: sum(|b| b.corrupted),
            errors: sum(|b| b.errors),
            moves: sum(|b| b.moves),
            moves_per_session: per_session(books.iter().map(|b| b.moves as f64).collect()),
            pushes: sum(|b| b.pushes),
            states_same: states(&books, State::Same),
            states_different: states(&books, State::Different),
            backend_upgrades: upgrades.backends,
            backend_moves: upgrades.moves,
            backend_cut_off: upgrades.cut_off,
            gaps: sum(|b| b.gaps),
            ended_early,
            longest_silence_ms: per_session(
                books.iter().map(|b| milliseconds(b.silence)).collect(),
            ),
        };
        let faults = report.lost + report.doubled + report.reordered + report.corrupted;
        let all_played = report.started == report.sessions && report.ended_early.is_empty();
        let comparable = books.iter().filter(|book| book.is_exact()).count();
        let all_same = plan.match_size.is_none() || report.states_same == comparable;
        report.ok = faults == 0 && all_played && report.answered > 0 && all_same;
        report
    }

    /// Formats the report as one JSON object on one line.
    pub fn json(&self) -> String {
        // Maps with plain keys and numbers always serialise; an error would show as text.
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }
}

impl fmt::Display for PerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PerSession { p50, p99, max } = self;
        write!(f, "p50 {p50} p99 {p99} max {max}")
    }
}

impl fmt::Display for MovesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { " in TLS" } else { "" };
        write!(f, "moves over {}{tls} to {}: ", self.transport, self.target)?;
        writeln!(
            f,
            "{} of {} sessions, {:.1} s{}",
            self.started,
            self.sessions,
            self.duration_seconds,
            if self.interrupted {
                ", interrupted"
            } else {
                ""
            },
        )?;
        for (name, count) in [
            ("sent", self.sent),
            ("answered", self.answered),
            ("told missing", self.told),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
            ("errors", self.errors),
            ("moves", self.moves),
            ("gaps", self.gaps),
            ("pushes", self.pushes),
            ("states same", self.states_same as u64),
            ("states other", self.states_different as u64),
            ("backend moves", self.backend_moves),
        ] {
            writeln!(f, "  {name:<15} {count:>12}")?;
        }
        if self.backend_upgrades > 0 {
            let (backends, cut_off) = (self.backend_upgrades, self.backend_cut_off);
            writeln!(
                f,
                "  {backends} backends upgraded, {cut_off} sessions not moved in time"
            )?;
        }
        for (why, count) in &self.ended_early {
            writeln!(f, "  ended early     {count:>12}  {why}")?;
        }
        writeln!(f, "  moves of a session {}", self.moves_per_session)?;
        writeln!(
            f,
            "  longest silence of a player {} ms",
            self.longest_silence_ms
        )?;
        write!(f, "{}", if self.ok { "ok" } else { "FAILED" })
    }
}
