//! From the state to a frame. Pure: the same state and time make the same frame.

mod drain;
mod help;
mod overview;
mod table;

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::gateway::{Contact, Gateway};
use super::lists::View;
use super::state::{Mode, State};
use super::theme::{Mood, Theme, mood_of};
use super::units;
use crate::cli::admin::show::cell;

/// Width and height below which nothing useful fits.
const SMALLEST: (u16, u16) = (20, 5);
/// A gateway that answers, but not for so many intervals, hangs.
const LATE_INTERVALS: u32 = 3;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme, now: Instant) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        frame.render_widget(Paragraph::new("too small"), area);
        return;
    }
    let gateways = u16::from(state.gateways.len() > 1);
    let [head, names, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(gateways),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(header(state, theme, now, head.width), head);
    if gateways > 0 {
        frame.render_widget(gateway_names(state, theme), names);
    }
    frame.render_widget(tab_names(state, theme, tabs.width), tabs);
    match (state.mode, state.wanted.view) {
        (Mode::Help, _) => help::draw(frame, body, theme),
        (_, View::Overview) => overview::draw(frame, body, state.gateway(), theme),
        (_, View::Drain) => drain::draw(frame, body, state.gateway(), theme),
        _ => table::draw(frame, body, state, theme),
    }
    frame.render_widget(footer(state, theme, foot.width), foot);
}

/// Returns the height that the body is left with.
pub(super) fn body_height(state: &State, height: u16) -> usize {
    let gateways = u16::from(state.gateways.len() > 1);
    usize::from(height.saturating_sub(3 + gateways))
}

/// The gateway, and how it is.
fn header(state: &State, theme: Theme, now: Instant, width: u16) -> Line<'static> {
    let gateway = state.gateway();
    let (text, mood) = contact(gateway, state, now);
    let mut parts = vec![
        Span::styled(format!(" {} ", gateway.name()), theme.strong()),
        Span::styled(text, theme.mood(mood).add_modifier(Modifier::BOLD)),
    ];
    let version = gateway.info("version").as_str().unwrap_or_default();
    let uptime = gateway.info("uptime_seconds").as_u64();
    let workers = gateway.info("workers").as_u64();
    if let (Some(uptime), Some(workers)) = (uptime, workers) {
        let workers = if workers == 1 {
            "1 worker".to_owned()
        } else {
            format!("{workers} workers")
        };
        let text = format!("  up {}  {workers}  v{version}", units::age(uptime));
        parts.push(Span::raw(text));
    }
    let rest = match state.wanted.paused {
        true => "PAUSED ".to_owned(),
        false => format!("every {} s ", state.wanted.every.as_secs_f64()),
    };
    let used: usize = parts.iter().map(Span::width).sum();
    let gap = usize::from(width).saturating_sub(used + rest.len());
    if gap > 0 {
        parts.push(Span::raw(" ".repeat(gap)));
        let style = if state.wanted.paused {
            theme.mood(Mood::Warning).add_modifier(Modifier::BOLD)
        } else {
            theme.quiet()
        };
        parts.push(Span::styled(rest, style));
    }
    Line::from(parts)
}

/// Says how a gateway is, in a few words.
fn contact(gateway: &Gateway, state: &State, now: Instant) -> (String, Mood) {
    let since = |then: Instant| units::age(now.saturating_duration_since(then).as_secs());
    match &gateway.contact {
        Contact::Connecting => (format!("asked {} ago", since(gateway.heard)), Mood::Warning),
        Contact::Away { since: then, why } => {
            let why = why.strip_prefix(&gateway.url).unwrap_or(why);
            let why: String = why
                .trim_start_matches([':', ' '])
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            (
                format!("AWAY for {}, asked again: {why}", since(*then)),
                Mood::Bad,
            )
        }
        Contact::Answers => {
            let silent = now.saturating_duration_since(gateway.heard);
            if !state.wanted.paused && silent > state.wanted.every * LATE_INTERVALS {
                return (format!("NO ANSWER for {}", since(gateway.heard)), Mood::Bad);
            }
            let word = gateway.info("state").as_str().unwrap_or("?").to_owned();
            let mood = mood_of(&word);
            (word, mood)
        }
    }
}

/// The gateways, the shown one marked.
fn gateway_names(state: &State, theme: Theme) -> Line<'static> {
    let mut parts = vec![Span::styled(" Tab ", theme.quiet())];
    for (place, gateway) in state.gateways.iter().enumerate() {
        let (mark, mood) = match &gateway.contact {
            Contact::Answers => ("● ", mood_of(gateway.info("state").as_str().unwrap_or(""))),
            Contact::Connecting => ("○ ", Mood::Warning),
            Contact::Away { .. } => ("✗ ", Mood::Bad),
        };
        let players = gateway.players.back();
        let players = players.map(|players| format!(" {}", units::count(*players as f64)));
        let text = format!("{}{} ", gateway.name(), players.unwrap_or_default());
        let style = match place == state.shown {
            true => theme.bar(),
            false => ratatui::style::Style::new(),
        };
        parts.push(Span::styled(
            format!(" {mark}"),
            style.patch(theme.mood(mood)),
        ));
        parts.push(Span::styled(text, style));
    }
    Line::from(parts)
}

fn tab_names(state: &State, theme: Theme, width: u16) -> Line<'static> {
    let full: usize = View::ALL.iter().map(|view| view.name().len() + 4).sum();
    let mut parts = Vec::new();
    for (place, view) in View::ALL.into_iter().enumerate() {
        // Where room is short, only the shown one has its name.
        let short = full > usize::from(width) && view != state.wanted.view;
        let name = if short { "" } else { view.name() };
        let text = format!(" {} {name} ", place + 1);
        let style = match view == state.wanted.view {
            true => theme.bar().add_modifier(Modifier::BOLD),
            false => theme.label(),
        };
        parts.push(Span::styled(text, style));
    }
    Line::from(parts)
}

/// The keys, or the filter that is being typed.
fn footer(state: &State, theme: Theme, width: u16) -> Line<'static> {
    if state.mode == Mode::Filtering {
        let text = format!(
            " filter: {}█  Enter keeps it, Esc drops it",
            state.table().filter
        );
        return Line::styled(text, theme.strong());
    }
    let mut keys = vec![("q", "quit"), ("?", "help"), ("Space", "pause")];
    if state.gateways.len() > 1 {
        keys.push(("Tab", "gateway"));
    }
    if state.wanted.view.is_table() {
        keys.extend([
            ("/", "filter"),
            ("s", "sort"),
            ("r", "reverse"),
            ("Esc", "reset"),
        ]);
    }
    if state.wanted.view == View::Talkers {
        keys.push(("b", "by"));
    }
    keys.push(("←→", "view"));
    let mut parts = Vec::new();
    let mut used = 0;
    for (key, does) in keys {
        used += key.chars().count() + does.len() + 3;
        if used > usize::from(width) {
            break;
        }
        parts.push(Span::styled(format!(" {key} "), theme.bar()));
        parts.push(Span::raw(format!("{does} ")));
    }
    Line::from(parts)
}

/// Returns a bar of this width for a share.
fn bar(share: f64, width: usize) -> String {
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let filled = (share * width as f64).round() as usize;
    format!("[{}{}]", "|".repeat(filled), " ".repeat(width - filled))
}

/// Returns lines for the members of an object that are not null, names to the left.
fn members(answer: &serde_json::Value, names: &[(&str, &str)], theme: Theme) -> Vec<Line<'static>> {
    let width = names
        .iter()
        .map(|(_, title)| title.len())
        .max()
        .unwrap_or(0);
    let line = |(name, title): &(&str, &str)| {
        let value = &answer[*name];
        (!value.is_null()).then(|| {
            Line::from(vec![
                Span::styled(format!(" {title:<width$}  "), theme.label()),
                Span::raw(cell(value)),
            ])
        })
    };
    names.iter().filter_map(line).collect()
}

/// Says that nothing has come yet.
fn waiting(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let text = Line::styled(" waiting for the gateway's answer", theme.quiet());
    frame.render_widget(Paragraph::new(text), area);
}
