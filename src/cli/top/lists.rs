//! The views, and their rows and columns.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::state::TableState;
use super::units;
use crate::cli::admin::show::cell;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    Backends,
    Sessions,
    Talkers,
    Actors,
    Refusals,
    Drain,
}

impl View {
    pub(super) const ALL: [View; 7] = [
        View::Overview,
        View::Backends,
        View::Sessions,
        View::Talkers,
        View::Actors,
        View::Refusals,
        View::Drain,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Backends => "Backends",
            View::Sessions => "Sessions",
            View::Talkers => "Talkers",
            View::Actors => "Actors",
            View::Refusals => "Refusals",
            View::Drain => "Drain",
        }
    }

    /// Returns the view that is so many further, around the end.
    pub(super) fn step(self, by: usize) -> View {
        View::ALL[(self as usize + by) % View::ALL.len()]
    }

    pub(super) fn is_table(self) -> bool {
        !matches!(self, View::Overview | View::Drain)
    }

    /// Returns the columns of its table, the most important first in `keep`.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            View::Overview | View::Drain => &[],
            View::Backends => BACKENDS,
            View::Sessions => SESSIONS,
            View::Talkers => TALKERS,
            View::Actors => ACTORS,
            View::Refusals => REFUSALS,
        }
    }

    /// Returns the rows of an answer, filtered and ordered.
    pub(super) fn rows(self, answer: &Value, table: &TableState) -> Vec<Value> {
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let mut rows = match self {
            View::Overview | View::Drain => Vec::new(),
            View::Backends => list("backends"),
            View::Sessions => list("sessions"),
            View::Talkers => list("talkers"),
            View::Refusals => list("refusals"),
            View::Actors => {
                let mut rows = Vec::new();
                branch(&answer["tree"], "", "", &mut rows);
                rows
            }
        };
        let columns = self.columns();
        if !table.filter.is_empty() {
            let filter = table.filter.to_lowercase();
            let has =
                |row: &Value, column: &Column| column.text(row).to_lowercase().contains(&filter);
            rows.retain(|row| columns.iter().any(|column| has(row, column)));
        }
        if let Some(column) = table.sort.and_then(|sort| columns.get(sort)) {
            rows.sort_by(|a, b| column.compare(a, b));
        }
        if table.reverse {
            rows.reverse();
        }
        rows
    }
}

/// Adds an actor and those below it, each with the line that leads to it.
fn branch(node: &Value, stem: &str, below: &str, rows: &mut Vec<Value>) {
    let Some(members) = node.as_object() else {
        return;
    };
    let mut row: serde_json::Map<String, Value> = members
        .iter()
        .filter(|(name, _)| *name != "children")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    row.insert(
        "tree".to_owned(),
        json!(format!("{stem}{}", cell(&node["id"]))),
    );
    rows.push(Value::Object(row));
    let mut children = node["children"].as_array().into_iter().flatten().peekable();
    while let Some(child) = children.next() {
        let (here, further) = match children.peek() {
            Some(_) => ("├─ ", "│  "),
            None => ("└─ ", "   "),
        };
        let (stem, below) = (format!("{below}{here}"), format!("{below}{further}"));
        branch(child, &stem, &below, rows);
    }
}

/// What talkers are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Session,
    User,
    Address,
    Service,
}

impl By {
    pub(super) fn next(self) -> By {
        match self {
            By::Session => By::User,
            By::User => By::Address,
            By::Address => By::Service,
            By::Service => By::Session,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            By::Session => "session",
            By::User => "user",
            By::Address => "address",
            By::Service => "service",
        }
    }
}

/// How the cells of a column read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A text that says how something is, by colour too.
    State,
    Count,
    Rate,
    Bytes,
    /// Microseconds.
    Micros,
    /// Seconds.
    Age,
    /// Percent of a thread.
    Percent,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pointer: &'static str,
    pub(super) kind: Kind,
    /// Where room is short, columns with the highest number go first; 0 stays.
    pub(super) rank: u8,
    /// Characters that it is cut to before others go; 0: it is not cut for them.
    pub(super) least: usize,
}

/// A column of sentences or lists: it gives room to others.
const fn prose(title: &'static str, pointer: &'static str, least: usize, rank: u8) -> Column {
    Column {
        least,
        ..column(title, pointer, Kind::Text, rank)
    }
}

const fn column(title: &'static str, pointer: &'static str, kind: Kind, rank: u8) -> Column {
    Column {
        title,
        pointer,
        kind,
        rank,
        least: 0,
    }
}

const BACKENDS: &[Column] = &[
    column("SERVICE", "/service", Kind::Text, 0),
    column("ENDPOINT", "/endpoint", Kind::Text, 0),
    column("HEALTH", "/health", Kind::State, 0),
    column("STATE", "/operator_state", Kind::State, 4),
    column("BREAKER", "/breaker", Kind::State, 7),
    column("LINKS", "/links", Kind::Count, 9),
    column("SESSIONS", "/sessions", Kind::Count, 1),
    column("WAIT", "/waiting_sessions", Kind::Count, 10),
    column("FIRST p50", "/first_answer/p50_us", Kind::Micros, 13),
    column("FIRST p99", "/first_answer/p99_us", Kind::Micros, 3),
    column("ANSWER p50", "/answer/p50_us", Kind::Micros, 2),
    column("ANSWER p99", "/answer/p99_us", Kind::Micros, 11),
    column("AWAITED", "/awaited_us", Kind::Micros, 14),
    column("SLOW", "/slow", Kind::State, 1),
    column("CONNECT", "/connect/p50_us", Kind::Micros, 12),
    column("RTT", "/rtt_us", Kind::Micros, 5),
    column("PING AGE", "/ping_age_us", Kind::Micros, 11),
    column("QUEUED", "/queued_bytes", Kind::Bytes, 8),
    prose("LAST ERROR", "/last_error", 12, 6),
];

const SESSIONS: &[Column] = &[
    column("SESSION", "/session_id", Kind::Text, 0),
    column("USER", "/user_id", Kind::Count, 1),
    column("REALM", "/realm_id", Kind::Count, 6),
    column("IDENTITY", "/identity", Kind::Text, 9),
    column("STATE", "/state", Kind::State, 2),
    column("BY", "/transport", Kind::Text, 7),
    column("CLIENT", "/client", Kind::Text, 5),
    column("WORKER", "/worker", Kind::Count, 11),
    column("AGE", "/age_seconds", Kind::Age, 4),
    column("FRAMES IN", "/frames_in", Kind::Count, 8),
    column("OUT", "/frames_out", Kind::Count, 8),
    column("QUEUED", "/queued_bytes", Kind::Bytes, 10),
    prose("SERVICES", "/services", 20, 3),
];

const TALKERS: &[Column] = &[
    column("NAME", "/name", Kind::Text, 0),
    column("USER", "/user_id", Kind::Count, 2),
    column("ADDRESS", "/address", Kind::Text, 3),
    column("SESSIONS", "/sessions", Kind::Count, 5),
    column("FRAMES IN/s", "/frames_in_per_second", Kind::Rate, 4),
    column("FRAMES OUT/s", "/frames_out_per_second", Kind::Rate, 4),
    column("BYTES IN/s", "/bytes_in_per_second", Kind::Bytes, 1),
    column("OUT/s", "/bytes_out_per_second", Kind::Bytes, 1),
];

const ACTORS: &[Column] = &[
    column("ACTOR", "/tree", Kind::Text, 0),
    column("NAME", "/name", Kind::Text, 4),
    column("STATE", "/state", Kind::State, 1),
    column("UPTIME", "/uptime_seconds", Kind::Age, 6),
    column("RESTARTS", "/restarts", Kind::Count, 2),
    column("BY HAND", "/restarts_by_hand", Kind::Count, 9),
    column("HANDLED", "/handled", Kind::Count, 5),
    column("MSGS/s", "/messages_per_second", Kind::Rate, 1),
    column("BUSY", "/busy_percent", Kind::Percent, 0),
    column("WAITING", "/waiting", Kind::Count, 1),
    column("HIGHEST", "/waiting_highest", Kind::Count, 7),
    column("CLIENTS", "/clients", Kind::Count, 3),
    column(
        "CLIENTS MSGS/s",
        "/clients_load/messages_per_second",
        Kind::Rate,
        10,
    ),
    column(
        "CLIENTS BUSY",
        "/clients_load/busy_percent",
        Kind::Percent,
        3,
    ),
    column("LAST ERROR", "/last_error/message", Kind::Text, 8),
];

const REFUSALS: &[Column] = &[
    column("CODE", "/code", Kind::Count, 0),
    prose("REASON", "/reason", 16, 0),
    column("SERVICE", "/service", Kind::Text, 1),
    column("REALM", "/realm_id", Kind::Count, 2),
    column("COUNT", "/count", Kind::Count, 0),
    column("AGO", "/age_seconds", Kind::Age, 4),
    column("LAST USER", "/last_user_id", Kind::Count, 3),
    column("LAST CLIENT", "/last_client", Kind::Text, 5),
];

impl Column {
    fn value<'a>(&self, row: &'a Value) -> &'a Value {
        static NOTHING: Value = Value::Null;
        row.pointer(self.pointer).unwrap_or(&NOTHING)
    }

    /// Returns what a row is ordered by; ids are numbers in strings, and of lists the length counts.
    fn number(&self, row: &Value) -> Option<f64> {
        match self.value(row) {
            Value::Number(number) => number.as_f64(),
            Value::Array(list) if self.kind == Kind::Count => Some(list.len() as f64),
            Value::String(text) if self.kind != Kind::Text => text.parse().ok(),
            _ => None,
        }
    }

    /// Formats a row's cell.
    pub(super) fn text(&self, row: &Value) -> String {
        let Some(number) = self.number(row) else {
            return match cell(self.value(row)) {
                // An id that does not fit a number as exactly as it stands there.
                text if text == "-" => String::new(),
                text => text,
            };
        };
        match (self.kind, self.value(row)) {
            (_, Value::String(id)) => id.clone(),
            (Kind::Text | Kind::State, value) => cell(value),
            // Codes, realms and workers are small, and users have no thousands.
            (Kind::Count, _) if self.is_id() => format!("{number:.0}"),
            (Kind::Count, _) => units::count(number),
            (Kind::Rate, _) => units::rate(number),
            (Kind::Bytes, _) => units::bytes(number),
            (Kind::Micros, _) => units::latency(number / 1e6),
            (Kind::Age, _) => units::age(number as u64),
            (Kind::Percent, _) => format!("{number:.1}%"),
        }
    }

    fn is_id(&self) -> bool {
        self.pointer.ends_with("_id") || ["/code", "/worker"].contains(&self.pointer)
    }

    pub(super) fn is_right(&self) -> bool {
        !matches!(self.kind, Kind::Text | Kind::State)
    }

    /// Orders rows: numbers from the largest, texts by the alphabet, those without a value last.
    fn compare(&self, a: &Value, b: &Value) -> Ordering {
        match (self.number(a), self.number(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => {
                let (a, b) = (self.text(a), self.text(b));
                a.is_empty().cmp(&b.is_empty()).then(a.cmp(&b))
            }
        }
    }
}
