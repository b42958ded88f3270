//! The keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::theme::Theme;

const KEYS: [(&str, &str); 14] = [
    ("1 to 7, ← →", "choose a view"),
    (
        "Tab, Shift-Tab, [ ]",
        "choose a gateway, where there are several",
    ),
    ("↑ ↓ PgUp PgDn Home End", "move; j k g G too"),
    (
        "/",
        "show only rows with a text; Enter keeps it, Esc drops it",
    ),
    (
        "s or >, S or <",
        "order by the next or the last column; behind the last: as they came",
    ),
    ("r", "turn the order around"),
    ("Esc", "forget filter and order"),
    ("b", "talkers by session, user, address or service"),
    ("Space, p", "pause, and go on"),
    ("u", "ask at once"),
    ("+ -", "ask less often, more often"),
    ("? h", "this help; any key leaves it"),
    ("q, Ctrl-C", "quit"),
    (
        "",
        "p50, p90, p99: this share took at most so long; n: of so many",
    ),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let mut lines = vec![Line::default()];
    for (key, does) in KEYS {
        lines.push(Line::from(vec![
            Span::styled(format!("  {key:<24}"), theme.label()),
            Span::raw(does),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), area);
}
