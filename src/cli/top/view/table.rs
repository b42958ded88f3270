//! A table: as many of the columns as fit, the selected row always in sight.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::Value;

use super::super::lists::{Column, Kind, View};
use super::super::state::{State, TableState};
use super::super::theme::{Mood, Theme, mood_of};
use super::waiting;

/// The widest cell that is not cut while other columns need room.
const MAX_CELL: usize = 40;
/// The narrowest that a text is cut to.
const MIN_TEXT: usize = 12;
/// Percent of a thread from which on it is busy, and too busy.
const BUSY: f64 = 50.0;
const TOO_BUSY: f64 = 80.0;
/// Columns between two cells.
const GAP: usize = 2;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let view = state.wanted.view;
    let Some(answer) = state.gateway().list(view) else {
        return waiting(frame, area, theme);
    };
    let table = state.table();
    let rows = view.rows(answer, table);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            view.columns()
                .iter()
                .map(|column| column.text(row))
                .collect()
        })
        .collect();
    let shown = fitting(view.columns(), &cells, usize::from(area.width));
    let height = usize::from(area.height).saturating_sub(2);
    let selected = table.selected.min(rows.len().saturating_sub(1));
    let first = selected.saturating_sub(height.saturating_sub(1));
    let mut lines = vec![
        summary(state, answer, rows.len(), theme),
        titles(
            view.columns(),
            &shown,
            table,
            theme,
            usize::from(area.width),
        ),
    ];
    for (place, row) in cells.iter().enumerate().skip(first).take(height) {
        let mut line = body(view.columns(), &shown, row, theme);
        if place == selected {
            line = line.style(theme.bar());
        }
        lines.push(line);
    }
    if rows.is_empty() {
        lines.push(Line::styled(" none", theme.quiet()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Chooses the columns that fit, the most important first; returns their places and widths.
fn fitting(columns: &[Column], cells: &[Vec<String>], room: usize) -> Vec<(usize, usize)> {
    let width = |place: usize| {
        let widest = cells.iter().map(|row| row[place].chars().count()).max();
        let title = columns[place].title.chars().count() + 1;
        widest.unwrap_or(0).min(MAX_CELL).max(title)
    };
    // A column that says nothing of any row takes no room.
    let says = |place: &usize| cells.iter().any(|row| !row[*place].is_empty());
    let mut wanted: Vec<usize> = (0..columns.len())
        .filter(|place| columns[*place].rank == 0 || says(place))
        .collect();
    wanted.sort_by_key(|place| columns[*place].rank);
    let mut shown: Vec<(usize, usize)> = Vec::new();
    let mut left = room.saturating_sub(1);
    for place in wanted {
        let full = match columns[place].least {
            0 => width(place),
            least => width(place).min(least),
        };
        let text = columns[place].kind == Kind::Text;
        let fits = match full <= left || columns[place].rank == 0 {
            true => Some(full),
            false if text && left >= MIN_TEXT => Some(left),
            false => None,
        };
        if let Some(width) = fits {
            left = left.saturating_sub(width + GAP);
            shown.push((place, width));
        }
    }
    // What is left goes to those that were cut.
    for (place, cell) in &mut shown {
        let more = width(*place).saturating_sub(*cell).min(left);
        (*cell, left) = (*cell + more, left - more);
    }
    shown.sort_unstable();
    shown
}

fn titles(
    columns: &[Column],
    shown: &[(usize, usize)],
    table: &TableState,
    theme: Theme,
    room: usize,
) -> Line<'static> {
    let mut text = String::from(" ");
    for (place, width) in shown {
        let column = &columns[*place];
        let mark = match (table.sort == Some(*place), table.reverse) {
            (false, _) => "",
            (true, false) => "▼",
            (true, true) => "▲",
        };
        let title = format!("{}{mark}", column.title);
        text.push_str(&aligned(&title, *width, column.is_right()));
        text.push_str(&" ".repeat(GAP));
    }
    let text: String = format!("{text:<room$}").chars().take(room).collect();
    Line::styled(text, theme.bar().add_modifier(Modifier::BOLD))
}

fn body(
    columns: &[Column],
    shown: &[(usize, usize)],
    row: &[String],
    theme: Theme,
) -> Line<'static> {
    let mut parts = vec![Span::raw(" ")];
    for (place, width) in shown {
        let column = &columns[*place];
        let text = aligned(&row[*place], *width, column.is_right()) + &" ".repeat(GAP);
        parts.push(match column.kind {
            Kind::State => Span::styled(text, theme.mood(mood_of(&row[*place]))),
            Kind::Percent => Span::styled(text, theme.mood(mood_of_share(&row[*place]))),
            _ => Span::raw(text),
        });
    }
    Line::from(parts)
}

/// Returns the mood of a share of a thread.
fn mood_of_share(text: &str) -> Mood {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent >= TOO_BUSY => Mood::Bad,
        Ok(percent) if percent >= BUSY => Mood::Warning,
        _ => Mood::Plain,
    }
}

fn aligned(text: &str, width: usize, right: bool) -> String {
    let length = text.chars().count();
    if length > width {
        let cut: String = text.chars().take(width.saturating_sub(1)).collect();
        return cut + "…";
    }
    match right {
        true => format!("{text:>width$}"),
        false => format!("{text:<width$}"),
    }
}

/// Says what the rows are, how many, and which.
fn summary(state: &State, answer: &Value, rows: usize, theme: Theme) -> Line<'static> {
    let view = state.wanted.view;
    let table = state.table();
    let mut text = match view {
        View::Talkers => format!(" {rows} by {}", state.wanted.by.name()),
        View::Sessions if !answer["next_cursor"].is_null() => {
            format!(" the first {rows} sessions of more")
        }
        view => format!(" {rows} {}", view.name().to_lowercase()),
    };
    if let Some(column) = table.sort.and_then(|sort| view.columns().get(sort)) {
        text.push_str(&format!(", ordered by {}", column.title));
    }
    if !table.filter.is_empty() {
        text.push_str(&format!(", with \"{}\"", table.filter));
    }
    let silent = answer["silent_workers"].as_array().map_or(0, Vec::len);
    let mut line = Line::styled(text, theme.quiet());
    if silent > 0 {
        let text = format!("; {silent} workers have not answered");
        line.push_span(Span::styled(text, theme.mood(super::Mood::Bad)));
    }
    line
}
