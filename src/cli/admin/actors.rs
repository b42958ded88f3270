//! Actors as tables: the kinds, the workers, the tree, the busiest.

use serde_json::Value;

use super::paint::{Cell, Grid, Tone, terminal};
use super::show::{Column, cell, list, members};

/// Share of a thread, in percent, from which on it is busy, and from which on it is too busy.
const BUSY: (f64, f64) = (50.0, 80.0);
/// Waiting messages from which on an actor is behind.
const BEHIND: f64 = 1000.0;
/// Microseconds of an event loop's lag from which on players notice it.
const LATE_US: f64 = 50_000.0;
/// Characters of the bar that shows how busy somebody is.
const BAR: usize = 5;

/// Formats the kinds with their sums, the workers, and the tree.
pub(super) fn overview(answer: &Value) -> Grids {
    let mut grids = vec![kinds(answer)];
    if list(answer, "workers").next().is_some() {
        grids.push(workers(answer));
    }
    if !answer["tree"].is_null() {
        grids.push(tree(&answer["tree"]));
    }
    Grids(grids)
}

/// Tables below each other.
pub(super) struct Grids(Vec<Grid>);

impl Grids {
    /// Formats them for whoever reads stdout.
    pub(super) fn shown(&self) -> String {
        let (width, colours) = terminal();
        self.text(width, colours)
    }

    fn text(&self, width: Option<usize>, colours: bool) -> String {
        let tables: Vec<String> = self.0.iter().map(|g| g.text(width, colours)).collect();
        tables.join("\n")
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// A figure that is bad from `much` on.
fn warn(value: &Value, much: f64) -> Cell {
    let tone = if number(value) >= much {
        Tone::Warn
    } else {
        Tone::Plain
    };
    Cell::number(cell(value), tone)
}

/// A count that is bad unless it is 0.
fn none_expected(value: &Value, tone: Tone) -> Cell {
    let tone = if number(value) > 0.0 { tone } else { Tone::Dim };
    Cell::number(cell(value), tone)
}

fn plain(value: &Value) -> Cell {
    match value {
        Value::Number(_) | Value::Null => Cell::number(cell(value), Tone::Plain),
        other => Cell::text(cell(other), Tone::Plain),
    }
}

/// Messages a second, without a fraction where there are many.
fn rate(value: &Value) -> Cell {
    let rate = number(value);
    let (text, tone) = match rate {
        0.0 => ("0".to_owned(), Tone::Dim),
        _ if rate < 10.0 => (format!("{rate:.1}"), Tone::Plain),
        _ => (format!("{rate:.0}"), Tone::Plain),
    };
    Cell::number(text, tone)
}

/// A share of a thread, with a bar.
fn busy(value: &Value) -> Cell {
    let percent = number(value);
    let tone = match percent {
        _ if percent >= BUSY.1 => Tone::Bad,
        _ if percent >= BUSY.0 => Tone::Warn,
        _ if percent < 0.05 => Tone::Dim,
        _ => Tone::Good,
    };
    Cell::number(format!("{} {percent:.1}", bar(percent)), tone)
}

/// Draws a share of 100 with eighths of characters.
fn bar(percent: f64) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (percent.clamp(0.0, 100.0) / 100.0 * (BAR * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if eighths < BAR * 8 {
        bar.push(PARTS[eighths % 8]);
    }
    let drawn = bar.chars().count();
    bar + &" ".repeat(BAR.saturating_sub(drawn))
}

/// A time in its two largest units.
fn uptime(value: &Value) -> Cell {
    let Some(seconds) = value.as_u64() else {
        return plain(value);
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let text = match seconds {
        _ if days > 0 => format!("{days}d{:02}h", hours % 24),
        _ if hours > 0 => format!("{hours}h{:02}m", minutes % 60),
        _ if minutes > 0 => format!("{minutes}m{:02}s", seconds % 60),
        _ => format!("{seconds}s"),
    };
    Cell::number(text, Tone::Plain)
}

fn error(value: &Value) -> Cell {
    let Some(said) = value["message"].as_str() else {
        return Cell::text("-".to_owned(), Tone::Dim);
    };
    let place = value["place"].as_str().map(|place| format!(" ({place})"));
    let text = Value::from(format!("{said}{}", place.unwrap_or_default()));
    Cell::text(cell(&text), Tone::Bad)
}

fn state(value: &Value) -> Cell {
    let tone = match value.as_str() {
        Some("running") => Tone::Good,
        _ => Tone::Bad,
    };
    Cell::text(cell(value), tone)
}

fn kinds(answer: &Value) -> Grid {
    let mut grid = Grid::new(&[
        ("KIND", 0),
        ("LIVE", 0),
        ("STARTED", 4),
        ("RESTARTS", 1),
        ("PANICS", 1),
        ("HANDLED", 3),
        ("MSGS/S", 1),
        ("BUSY %", 0),
        ("WAITING", 0),
        ("PEAK", 2),
        ("HIGHEST", 4),
    ]);
    for kind in list(answer, "kinds") {
        grid.push(vec![
            plain(&kind["kind"]),
            plain(&kind["live"]),
            plain(&kind["started"]),
            none_expected(&kind["restarts"], Tone::Warn),
            none_expected(&kind["panics"], Tone::Bad),
            plain(&kind["handled"]),
            rate(&kind["messages_per_second"]),
            busy(&kind["busy_percent"]),
            warn(&kind["waiting"], BEHIND),
            warn(&kind["waiting_highest_recent"], BEHIND),
            plain(&kind["waiting_highest"]),
        ]);
    }
    grid
}

fn workers(answer: &Value) -> Grid {
    let mut grid = Grid::new(&[
        ("WORKER", 0),
        ("CLIENTS", 0),
        ("MSGS/S", 1),
        ("BUSY %", 0),
        ("LAG P50 US", 2),
        ("LAG P99 US", 0),
        ("LAG MAX US", 1),
    ]);
    for worker in list(answer, "workers") {
        let lag = &worker["loop_lag"];
        grid.push(vec![
            plain(&worker["worker"]),
            plain(&worker["clients"]),
            rate(&worker["messages_per_second"]),
            busy(&worker["busy_percent"]),
            plain(&lag["p50_us"]),
            warn(&lag["p99_us"], LATE_US),
            warn(&lag["max_us"], LATE_US),
        ]);
    }
    grid
}

fn tree(root: &Value) -> Grid {
    let mut grid = Grid::new(&[
        ("ACTOR", 0),
        ("NAME", 1),
        ("STATE", 2),
        ("UPTIME", 3),
        ("RESTARTS", 2),
        ("HANDLED", 4),
        ("MSGS/S", 1),
        ("BUSY %", 0),
        ("WAITING", 0),
        ("HIGHEST", 5),
        ("CLIENTS", 1),
    ]);
    branch(root, "", "", &mut grid);
    grid
}

/// Adds the rows of an actor and those below it. `stem` precedes it, `below` its children.
fn branch(node: &Value, stem: &str, below: &str, grid: &mut Grid) {
    let mut restarts = none_expected(&node["restarts"], Tone::Warn);
    if let Some(by_hand) = node["restarts_by_hand"].as_u64().filter(|n| *n > 0) {
        restarts = Cell::number(format!("{}+{by_hand}", cell(&node["restarts"])), Tone::Warn);
    }
    grid.push(vec![
        Cell::text(cell(&node["id"]), Tone::Strong).behind(stem),
        plain(&node["name"]),
        state(&node["state"]),
        uptime(&node["uptime_seconds"]),
        restarts,
        plain(&node["handled"]),
        rate(&node["messages_per_second"]),
        busy(&node["busy_percent"]),
        warn(&node["waiting"], BEHIND),
        plain(&node["waiting_highest"]),
        plain(&node["clients"]),
    ]);
    let mut children = list(node, "children").peekable();
    while let Some(child) = children.next() {
        let (here, further) = match children.peek() {
            Some(_) => ("├─ ", "│  "),
            None => ("└─ ", "   "),
        };
        let (stem, below) = (format!("{below}{here}"), format!("{below}{further}"));
        branch(child, &stem, &below, grid);
    }
}

/// Columns of single actors, with where their values are.
pub(super) const ACTORS: [Column; 13] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("WORKER", "/worker"),
    ("PARENT", "/parent"),
    ("STATE", "/state"),
    ("UPTIME", "/uptime_seconds"),
    ("RESTARTS", "/restarts"),
    ("HANDLED", "/handled"),
    ("MSGS/S", "/messages_per_second"),
    ("BUSY %", "/busy_percent"),
    ("WAITING", "/waiting"),
    ("HIGHEST", "/waiting_highest"),
    ("LAST ERROR", "/last_error/message"),
];
/// Which of them give way first in a narrow terminal; 0: never.
const GIVES_WAY: [u8; ACTORS.len()] = [0, 1, 2, 4, 1, 3, 2, 3, 1, 0, 0, 4, 2];

/// Formats a page of single actors.
pub(super) fn page(page: &Value) -> Grids {
    let titles: Vec<_> = std::iter::zip(ACTORS, GIVES_WAY)
        .map(|((title, _), gives_way)| (title, gives_way))
        .collect();
    let mut grid = Grid::new(&titles);
    for actor in list(page, "actors") {
        grid.push(vec![
            Cell::text(cell(&actor["id"]), Tone::Strong),
            plain(&actor["name"]),
            plain(&actor["worker"]),
            plain(&actor["parent"]),
            state(&actor["state"]),
            uptime(&actor["uptime_seconds"]),
            none_expected(&actor["restarts"], Tone::Warn),
            plain(&actor["handled"]),
            rate(&actor["messages_per_second"]),
            busy(&actor["busy_percent"]),
            warn(&actor["waiting"], BEHIND),
            plain(&actor["waiting_highest"]),
            error(&actor["last_error"]),
        ]);
    }
    Grids(vec![grid])
}

/// Formats the busiest actors.
pub(super) fn busiest(answer: &Value) -> Grids {
    let mut grid = Grid::new(&[
        ("ACTOR", 0),
        ("NAME", 0),
        ("WORKER", 1),
        ("BUSY %", 0),
        ("MSGS/S", 0),
        ("WAITING", 0),
    ]);
    for actor in list(answer, "busiest") {
        let name = match &actor["id"] {
            Value::Null => &actor["kind"],
            id => id,
        };
        grid.push(vec![
            Cell::text(cell(name), Tone::Strong),
            plain(&actor["name"]),
            plain(&actor["worker"]),
            busy(&actor["busy_percent"]),
            rate(&actor["messages_per_second"]),
            warn(&actor["waiting"], BEHIND),
        ]);
    }
    Grids(vec![grid])
}

/// Formats one actor, and its times by type of message.
pub(super) fn one(answer: &Value) -> String {
    let mut head = answer.clone();
    let rows = head
        .as_object_mut()
        .and_then(|members| members.remove("handlers"));
    match rows {
        Some(rows) if rows.is_array() => format!("{}\n{}", members(&head), handlers(&rows).shown()),
        _ => members(&head),
    }
}

fn handlers(rows: &Value) -> Grids {
    let mut grid = Grid::new(&[
        ("MESSAGE", 0),
        ("HANDLED", 0),
        ("TIMED", 2),
        ("SECONDS", 0),
        ("MEAN US", 0),
        ("P50 US", 1),
        ("P99 US", 1),
        ("MAX US", 0),
    ]);
    for row in rows.as_array().into_iter().flatten() {
        let recent = &row["recent"];
        let longest = match &row["max_us"] {
            Value::Null => &recent["max_us"],
            longest => longest,
        };
        grid.push(vec![
            Cell::text(cell(&row["message"]), Tone::Strong),
            plain(&row["handled"]),
            plain(&row["timed"]),
            plain(&row["busy_seconds"]),
            plain(&row["mean_us"]),
            plain(&recent["p50_us"]),
            plain(&recent["p99_us"]),
            warn(longest, LATE_US),
        ]);
    }
    Grids(vec![grid])
}

#[cfg(test)]
#[path = "actors_tests.rs"]
mod tests;
