//! The demo's output: a live view, redrawn in place if stdout is a terminal and one line a second
//! otherwise; and the summary.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use super::backends::Backends;
use super::books::{Books, Frames, Totals, Upgrade};
use crate::codec::code::Code;
use crate::run;

/// The live view.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    /// Lines of the last drawing, which the next one replaces.
    lines: usize,
    drawn: Instant,
    answered: u64,
}

impl Screen {
    pub(super) fn new() -> Screen {
        Screen {
            terminal: std::io::stdout().is_terminal(),
            lines: 0,
            drawn: Instant::now(),
            answered: 0,
        }
    }

    /// Says something that stays above the view.
    pub(super) fn say(&mut self, text: &str) {
        self.print(&format!("*** {text}\n"));
        self.lines = 0;
    }

    pub(super) fn draw(
        &mut self,
        elapsed: Duration,
        backends: &Backends,
        books: &Books,
        gateway: run::Totals,
    ) {
        let totals = books.totals();
        let all = sum(&totals);
        let seconds = self.drawn.elapsed().as_secs_f64().max(1e-3);
        let rate = (all.answered - self.answered) as f64 / seconds;
        (self.drawn, self.answered) = (Instant::now(), all.answered);
        let latencies = books.take_latencies();
        let at = |percent: usize| {
            let place = latencies.len().saturating_sub(1) * percent / 100;
            latencies.get(place).copied().unwrap_or_default()
        };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{:5.1} s  {} sessions  {} links  {rate:.0} answers/s  p50 {:.1?}  p99 {:.1?}",
            elapsed.as_secs_f64(),
            gateway.sessions,
            gateway.links,
            at(50),
            at(99),
        );
        // A line that a narrow terminal wraps could not be replaced.
        text.push_str(if self.terminal { "\n         " } else { "  " });
        let Frames {
            sent,
            answered,
            told,
            lost,
            ..
        } = all;
        let _ = writeln!(
            text,
            "sent {sent}  answered {answered}  refused {told}  lost {lost}"
        );
        if self.terminal {
            backend_lines(&mut text, backends);
        }
        self.print(&text);
    }

    /// Replaces the last drawing on a terminal, else appends.
    fn print(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        if self.terminal && self.lines > 0 {
            // Up to where the last drawing began, and everything from there on is erased.
            let _ = write!(out, "\x1b[{}A\x1b[J", self.lines);
        }
        // A closed stdout must not end the demo; its exit code still says how it went.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.lines = text.lines().count();
    }
}

fn backend_lines(text: &mut String, backends: &Backends) {
    for sample in backends.iter() {
        let _ = write!(
            text,
            "  {:<14}{:<18}",
            sample.name,
            sample.address.to_string()
        );
        let _ = match &sample.running {
            Some(backend) => writeln!(
                text,
                "{:>5} sessions {:>3} links {:>9} frames",
                backend.sessions(),
                backend.links(),
                backend.counts().data_in
            ),
            None => writeln!(text, "dead"),
        };
    }
}

fn sum(totals: &Totals) -> Frames {
    let mut all = Frames::default();
    for frames in totals.services.values() {
        all.sent += frames.sent;
        all.answered += frames.answered;
        all.told += frames.told;
        all.lost += frames.lost;
        all.wrong += frames.wrong;
    }
    all
}

/// Formats the final table, with hints for next steps.
pub(super) fn summary(totals: &Totals) -> String {
    let mut text = String::from("\nservice         sent  answered   refused      lost     wrong\n");
    let all = sum(totals);
    let rows = totals
        .services
        .iter()
        .map(|(name, frames)| (*name, *frames));
    for (name, frames) in rows.chain([("all", all)]) {
        let Frames {
            sent,
            answered,
            told,
            lost,
            wrong,
        } = frames;
        let _ = writeln!(
            text,
            "{name:<10}{sent:>10}{answered:>10}{told:>10}{lost:>10}{wrong:>10}"
        );
    }
    let over = totals.answered_over.iter();
    let over: Vec<String> = over
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let _ = writeln!(text, "answered over {}", over.join(", "));
    for (what, by_code) in [
        ("refused with", &totals.refused),
        ("told, no frame under way,", &totals.notices),
    ] {
        for (code, count) in by_code.iter().filter(|(_, count)| **count > 0) {
            let _ = writeln!(text, "{what} {code}: {count} ({})", reason(*code));
        }
    }
    let _ = writeln!(text, "{} sessions ended in order", totals.sessions);
    if let Some(Upgrade {
        moved,
        cut_off,
        took,
    }) = totals.upgrade
    {
        let _ = writeln!(
            text,
            "{moved} sessions went on at another game server with their matches, in {took:.1?}; {cut_off} were cut off"
        );
    }
    for (count, what) in [
        (totals.broken, "connections failed or ended without a word"),
        (totals.left_behind, "players did not finish in time"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{count} {what}");
        }
    }
    text.push_str(if totals.is_clean() {
        "Nothing was lost: every frame was answered, or its player was told.\n"
    } else {
        "FAILED: not every frame is accounted for.\n"
    });
    text.push_str(
        "\nYour own: game-gateway check --config FILE, then game-gateway serve --config FILE;\n\
         under load: game-gateway loadtest --with-backend ADDR --target HOST:PORT\n",
    );
    text
}

/// Returns the meaning of a code for a player of the demo.
fn reason(code: u16) -> &'static str {
    match Code(code) {
        Code::BAD_GATEWAY => "the backend died or could not be reached; the player is told at once",
        Code::NOT_BOUND => "the service wants a player who has logged in",
        Code::NO_ROUTE => "no rule, or no server for that realm",
        Code::UNAVAILABLE => "the gateway drains or is full",
        Code::RATE_LIMITED => "too many frames",
        _ => "see protocol 1.4",
    }
}
