//! Colours: the terminal's own, so that they fit a light or dark background, or none.

use ratatui::style::{Color, Modifier, Style};

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Plain,
    Good,
    Warning,
    Bad,
}

/// The styles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    pub(super) colours: bool,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        match self.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    /// Without colours a warning is underlined, and what is bad is bold.
    pub(super) fn mood(self, mood: Mood) -> Style {
        match mood {
            Mood::Plain => Style::new(),
            Mood::Good => self.colour(Color::Green),
            Mood::Warning if self.colours => self.colour(Color::Yellow),
            Mood::Warning => Style::new().add_modifier(Modifier::UNDERLINED),
            Mood::Bad => self.colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    pub(super) fn label(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Returns how good a state of a gateway, backend, breaker, session or actor is.
pub(super) fn mood_of(state: &str) -> Mood {
    match state {
        "up" | "closed" | "running" | "active" | "ready" | "serving" | "none" => Mood::Good,
        "suspect" | "half_open" | "suspended" | "draining" | "refusing" | "drain" | "leaving"
        | "starting" | "restarting" | "maintenance" | "late" => Mood::Warning,
        "down" | "open" | "failed" | "drained" | "closing" | "stopped" | "dead" | "silent" => {
            Mood::Bad
        }
        _ => Mood::Plain,
    }
}
