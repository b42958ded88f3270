//! The progress of a drain that somebody waits for: of the gateway or of a backend.

use std::io::{IsTerminal, Write};

use super::super::output;

/// The progress of a drain on stderr: one line that is written over in a terminal, else a line for each change.
pub(super) struct Progress {
    wanted: bool,
    terminal: bool,
    /// The gateway, where there are several.
    label: Option<String>,
    shown: String,
}

impl Progress {
    /// Makes one for a gateway. With a label there are others, which share the terminal.
    pub(super) fn new(wanted: bool, label: Option<String>) -> Progress {
        Progress {
            wanted,
            terminal: label.is_none() && std::io::stderr().is_terminal(),
            label,
            shown: String::new(),
        }
    }

    /// Shows `counts`, and behind them in a terminal `rest`, which is no news by itself.
    pub(super) fn show(&mut self, counts: String, rest: &str) {
        if !self.wanted || (!self.terminal && counts == self.shown) {
            return;
        }
        if self.terminal {
            // Nobody is left who could be told.
            let _ = write!(std::io::stderr(), "\r{counts}{rest}\x1b[K");
        } else if let Some(label) = &self.label {
            output::complain(format_args!("{label}: {counts}"));
        } else {
            output::complain(&counts);
        }
        self.shown = counts;
    }

    pub(super) fn end(&self) {
        if self.terminal && !self.shown.is_empty() {
            output::complain("");
        }
    }
}
