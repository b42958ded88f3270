//! One look: players, memory, traffic, latency, errors.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::super::gateway::{Figures, Gateway};
use super::super::scrape::Scrape;
use super::super::theme::{Mood, Theme, mood_of};
use super::super::units;
use super::{bar, waiting};

/// Shares from which a bar warns, and from which it is bad.
const FULL: (f64, f64) = (0.75, 0.9);
/// Width of the column of titles.
const TITLE: usize = 17;
/// Width of a figure.
const FIGURE: usize = 12;
/// The histograms: title, name, label of the series that count.
const LATENCIES: [(&str, &str, &str); 9] = [
    ("first answer", "service_first_answer_seconds", ""),
    ("answer", "service_answer_seconds", ""),
    ("frame to backend", "frame_seconds", "way=\"to_backend\""),
    ("frame to player", "frame_seconds", "way=\"to_client\""),
    ("route", "route_seconds", ""),
    ("connect backend", "connect_seconds", ""),
    ("TLS handshake", "tls_handshake_seconds", ""),
    ("resume", "resume_seconds", ""),
    ("event loop lag", "event_loop_lag_seconds", ""),
];
/// What is worth a look if it grows: title and counter.
const ERRORS: [(&str, &str); 9] = [
    ("ERROR to players", "refused_frames_total"),
    ("frames dropped", "dropped_frames_total"),
    ("no route", "unresolved_routes_total"),
    ("bindings failed", "failed_bindings_total"),
    ("links ended", "ended_links_total"),
    ("accept errors", "accept_errors_total"),
    ("bans refuse", "ban_refusals_total"),
    ("memory ends", "memory_ended_queues_total"),
    ("actors panicked", "panicked_actors_total"),
];
/// Height of the lines of the past.
const PAST_HEIGHT: u16 = 3;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, gateway: &Gateway, theme: Theme) {
    let Some(figures) = &gateway.figures else {
        return waiting(frame, area, theme);
    };
    let now = &figures.scrape;
    let room = Room::of(area);
    let mut lines = gauges(figures, gateway, theme, usize::from(area.width));
    let gap = |lines: &mut Vec<Line<'static>>| {
        if room.gaps {
            lines.push(Line::default());
        }
    };
    gap(&mut lines);
    lines.extend(traffic(gateway, theme));
    gap(&mut lines);
    let (latency, errors) = (latencies(gateway, room, theme), errors(gateway, now, theme));
    if let Some(left_width) = room.left_width {
        let beside = latency.len().max(errors.len()) as u16;
        let [top, middle, past] = Layout::vertical([
            Constraint::Length(lines.len() as u16),
            Constraint::Length(beside),
            Constraint::Min(0),
        ])
        .areas(area);
        let [left, right] =
            Layout::horizontal([Constraint::Length(left_width), Constraint::Min(20)]).areas(middle);
        frame.render_widget(Paragraph::new(lines), top);
        frame.render_widget(Paragraph::new(latency), left);
        frame.render_widget(Paragraph::new(errors), right);
        return history(frame, past, gateway, theme);
    }
    lines.extend(latency);
    gap(&mut lines);
    lines.extend(errors);
    let height = lines.len() as u16;
    let [top, past] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(lines), top);
    history(frame, past, gateway, theme);
}

/// What there is room for.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// Empty lines between the parts.
    gaps: bool,
    /// All percentiles, and of how many.
    all_percentiles: bool,
    /// Width of the latencies where the errors stand beside them.
    left_width: Option<u16>,
}

impl Room {
    fn of(area: Rect) -> Room {
        Room {
            gaps: area.height >= 23,
            all_percentiles: area.width >= 96 || area.width < 78,
            left_width: match area.width {
                96.. => Some(58),
                78.. => Some(39),
                _ => None,
            },
        }
    }
}

fn title(text: &str, theme: Theme) -> Span<'static> {
    Span::styled(format!(" {text:<TITLE$}"), theme.label())
}

fn gauge(
    name: &str,
    value: String,
    share: f64,
    says: String,
    theme: Theme,
    width: usize,
) -> Line<'static> {
    let mood = match share {
        share if share >= FULL.1 => Mood::Bad,
        share if share >= FULL.0 => Mood::Warning,
        _ => Mood::Good,
    };
    let room = width.saturating_sub(TITLE + FIGURE + 34).clamp(8, 40);
    Line::from(vec![
        title(name, theme),
        Span::styled(format!("{value:>FIGURE$} "), theme.strong()),
        Span::styled(bar(share, room), theme.mood(mood)),
        Span::raw(format!(" {says}")),
    ])
}

/// Players, memory, processor and files, each with its limit.
fn gauges(figures: &Figures, gateway: &Gateway, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let now = &figures.scrape;
    let line = |name: &str, value: String, share: f64, says: String| {
        gauge(name, value, share, says, theme, width)
    };
    let (players, limit) = (now.sum("connections"), now.sum("connections_limit"));
    let peak = units::count(now.sum("connections_peak"));
    let held = figures.memory["held_bytes"].as_f64().unwrap_or(0.0);
    let most = figures.memory["limit_bytes"].as_f64().unwrap_or(0.0);
    let pressure = figures.memory["pressure"]
        .as_str()
        .unwrap_or("?")
        .to_owned();
    let resident = units::bytes(now.sum("process_resident_memory_bytes"));
    let cpu = gateway.last_two().map_or(0.0, |(now, before)| {
        now.rate(before, "process_cpu_seconds_total")
    });
    let workers = gateway.info("workers").as_f64().unwrap_or(1.0).max(1.0);
    let (files, most_files) = (now.sum("process_open_fds"), now.sum("process_max_fds"));
    let mut memory = line(
        "Queues, buffers",
        units::bytes(held),
        held / most,
        format!("of {}, process {resident}", units::bytes(most)),
    );
    if pressure != "none" {
        let text = format!(" pressure: {pressure}");
        // Before what a narrow terminal cuts off.
        let style = theme.mood(Mood::Bad);
        memory.spans.insert(3, Span::styled(text, style));
    }
    vec![
        line(
            "Players",
            units::count(players),
            players / limit,
            format!("of {}, peak {peak}", units::count(limit)),
        ),
        sessions(now, theme),
        memory,
        line(
            "Processor",
            format!("{cpu:.2}"),
            cpu / workers,
            format!(
                "of {workers:.0} {}",
                if workers == 1.0 { "worker" } else { "workers" }
            ),
        ),
        line(
            "Open files",
            units::count(files),
            files / most_files,
            format!("of {}", units::count(most_files)),
        ),
        endpoints(now, theme),
    ]
}

fn sessions(now: &Scrape, theme: Theme) -> Line<'static> {
    let waiting = now.sum("waiting_sessions");
    let mut line = Line::from(vec![
        title("Sessions", theme),
        Span::styled(
            format!("{:>FIGURE$} ", units::count(now.sum("sessions"))),
            theme.strong(),
        ),
        Span::raw(format!("{} wait for their players", units::count(waiting))),
    ]);
    let bans = now.sum("bans");
    if bans > 0.0 {
        line.push_span(Span::raw(format!(", {} bans", units::count(bans))));
    }
    line
}

fn endpoints(now: &Scrape, theme: Theme) -> Line<'static> {
    let mut line = Line::from(title("Backends", theme));
    let up = now.sum_of("endpoint_health", "state=\"up\"");
    line.push_span(Span::styled(format!("{up:>FIGURE$} "), theme.strong()));
    line.push_span(Span::styled("up", theme.mood(mood_of("up"))));
    for (name, word, mood) in [
        ("endpoints_suspect", "suspect", Mood::Warning),
        ("endpoints_down", "down", Mood::Bad),
        ("endpoints_breaker_open", "breakers open", Mood::Bad),
    ] {
        let count = now.sum(name);
        if count > 0.0 {
            let text = format!("  {count:.0} {word}");
            line.push_span(Span::styled(text, theme.mood(mood)));
        }
    }
    let slow = now.values("endpoint_slow", "endpoint_address");
    if let Some(one) = slow.first() {
        let others = match slow.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let text = format!("  slow: {one}{others}");
        line.push_span(Span::styled(text, theme.mood(Mood::Warning)));
    }
    if now.sum("routes_rejected") > 0.0 {
        let text = "  newest routes rejected";
        line.push_span(Span::styled(text, theme.mood(Mood::Bad)));
    }
    line
}

fn row(name: &str, cells: &[String], theme: Theme) -> Line<'static> {
    let width = FIGURE - 3;
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>width$}")).collect();
    Line::from(vec![title(name, theme), Span::raw(cells.join(" "))])
}

fn heading(name: &str, cells: &[&str], theme: Theme) -> Line<'static> {
    let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
    row(name, &cells, theme).style(theme.strong())
}

/// Frames and bytes a second, each way.
fn traffic(gateway: &Gateway, theme: Theme) -> Vec<Line<'static>> {
    let Some((now, before)) = gateway.last_two() else {
        return Vec::new();
    };
    let both = |part: &str| {
        let rate = |what: &str| now.rate(before, &format!("{part}_{what}_total"));
        [
            units::rate(rate("in_frames")),
            units::rate(rate("out_frames")),
            units::bytes(rate("in_bytes")),
            units::bytes(rate("out_bytes")),
        ]
    };
    let begun = units::rate(now.rate(before, "started_sessions_total"));
    let ended = units::rate(now.rate(before, "ended_sessions_total"));
    vec![
        heading(
            "Each second",
            &["frames in", "out", "bytes in", "out"],
            theme,
        ),
        row("players", &both("client"), theme),
        row("backends", &both("link"), theme),
        Line::from(vec![
            title("sessions", theme),
            Span::raw(format!("{begun:>9} begin {ended:>9} end")),
        ]),
    ]
}

/// Percentiles of what was observed of late.
fn latencies(gateway: &Gateway, room: Room, theme: Theme) -> Vec<Line<'static>> {
    let titles = ["p50", "p90", "p99", "n"];
    let chosen: &[usize] = match room.all_percentiles {
        true => &[0, 1, 2, 3],
        false => &[0, 2],
    };
    let names: Vec<&str> = chosen.iter().map(|place| titles[*place]).collect();
    let mut lines = vec![heading("Latency, last 30s", &names, theme)];
    for (name, family, label) in LATENCIES {
        let cells = match gateway.window() {
            None => Default::default(),
            Some((now, before)) => {
                let times = now.histogram(before, family, label);
                let at = |share| match times.quantile(share) {
                    Some(time) => format!("≤{}", units::latency(time)),
                    None => "-".to_owned(),
                };
                [at(0.5), at(0.9), at(0.99), units::count(times.count())]
            }
        };
        let cells: Vec<String> = chosen.iter().map(|place| cells[*place].clone()).collect();
        lines.push(row(name, &cells, theme));
    }
    lines
}

/// What grows and should not.
fn errors(gateway: &Gateway, now: &Scrape, theme: Theme) -> Vec<Line<'static>> {
    let heading = Line::styled(
        format!(" {:<TITLE$} {:>8} {:>10}", "Trouble", "each s", "in all"),
        theme.strong(),
    );
    let mut lines = vec![heading];
    for (name, counter) in ERRORS {
        let rate = gateway
            .last_two()
            .map_or(0.0, |(now, before)| now.rate(before, counter));
        let mood = if rate > 0.0 { Mood::Bad } else { Mood::Plain };
        let (rate, all) = (units::rate(rate), units::count(now.sum(counter)));
        lines.push(Line::from(vec![
            title(name, theme),
            Span::styled(format!(" {rate:>8}"), theme.mood(mood)),
            Span::raw(format!(" {all:>10}")),
        ]));
    }
    lines
}

/// Frames a second, as far back as there is room.
fn history(frame: &mut Frame<'_>, area: Rect, gateway: &Gateway, theme: Theme) {
    if area.height < PAST_HEIGHT + 1 || gateway.traffic.is_empty() {
        return;
    }
    let highest = gateway.traffic.iter().max().copied().unwrap_or(0);
    let text = format!(" Frames/s, highest {}", units::count(highest as f64));
    let [head, line] = Layout::vertical([Constraint::Length(1), Constraint::Length(PAST_HEIGHT)])
        .horizontal_margin(0)
        .areas(Rect { y: area.y, ..area });
    frame.render_widget(Line::styled(text, theme.strong()), head);
    let newest = newest(&gateway.traffic, usize::from(line.width.saturating_sub(2)));
    let inner = Rect {
        x: line.x + 1,
        width: line.width.saturating_sub(2),
        ..line
    };
    frame.render_widget(
        Sparkline::default().data(&newest).style(theme.label()),
        inner,
    );
}

fn newest(past: &VecDeque<u64>, width: usize) -> Vec<u64> {
    let skipped = past.len().saturating_sub(width);
    past.iter().skip(skipped).copied().collect()
}
