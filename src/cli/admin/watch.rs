//! `--watch`: the same question again and again.

use std::io::IsTerminal;
use std::time::Duration;

use super::super::output::{self, Reader};
use super::gathered::{self, Reply};
use super::paint::cut;

/// Default interval, as text for the command line.
pub(super) const DEFAULT_INTERVAL: &str = "2";
/// Shortest and longest interval, in seconds.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;

/// Parses an interval in seconds.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if INTERVALS.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!(
            "invalid interval `{text}`, expected seconds from 0.1 to 3600, e.g. 2"
        )),
    }
}

/// Asks and shows until nobody reads any more. A gateway that does not answer is asked again.
///
/// # Errors
/// The answers cannot be written.
pub(super) fn run(
    every: Duration,
    json: bool,
    ask: impl Fn() -> Vec<Reply>,
) -> std::io::Result<()> {
    let terminal = std::io::stdout().is_terminal() && !json;
    loop {
        let replies = ask();
        let text = match json {
            // One line for each look, for programs that read lines.
            true => format!("{}\n", gathered::json(&replies)),
            false => gathered::text(&replies, true),
        };
        let text = if terminal { screen(&text, every) } else { text };
        if output::write(&text)? == Reader::Gone {
            return Ok(());
        }
        std::thread::sleep(every);
    }
}

/// Formats a screen that replaces the one before, cut to the terminal's size.
fn screen(text: &str, every: Duration) -> String {
    let (columns, rows) = ratatui::crossterm::terminal::size().unwrap_or((80, 24));
    fit(text, every, usize::from(columns), usize::from(rows))
}

fn fit(text: &str, every: Duration, columns: usize, rows: usize) -> String {
    let mut lines = vec![
        format!("every {} s; Ctrl-C ends it", every.as_secs_f64()),
        String::new(),
    ];
    lines.extend(text.lines().map(str::to_owned));
    if lines.len() > rows.max(1) {
        let hidden = lines.len() - (rows.max(2) - 1);
        lines.truncate(rows.max(2) - 1);
        lines.push(format!("… {hidden} more lines"));
    }
    // Home, then each line with what is left of the old one erased, then all below: nothing flickers.
    let line = |line: &String| cut(line, columns) + "\x1b[K";
    let lines: Vec<String> = lines.iter().map(line).collect();
    format!("\x1b[H{}\x1b[J", lines.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("5s"), Ok(Duration::from_secs(5)));
        for wrong in ["", "0", "-1", "nan", "inf", "3601", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_screen_is_never_larger_than_the_terminal() {
        let text = "1234567890\n".repeat(9);
        let shown = fit(&text, Duration::from_secs(2), 4, 5);
        let lines: Vec<&str> = shown.split("\r\n").collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[2], "1234\x1b[K");
        assert_eq!(lines[4], "… 7 \x1b[K\x1b[J");
        assert!(!fit("a\n", Duration::from_secs(2), 80, 3).contains('…'));
    }
}
