//! Which rows of a list are shown, and in which order.

use std::cmp::Ordering;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::show::{Column, cell, row};

/// Entries that are listed without `--limit` and `--all`: as many as the API gives.
const DEFAULT_LIMIT: usize = 100;
/// The entries of one request where all are wanted: the most that the API gives.
pub(super) const WHOLE_PAGE: u16 = 1000;

/// Options of every list.
#[derive(Debug, Default, Args)]
pub(super) struct RowArgs {
    /// Only rows with this text in one of their columns, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Turn the order around.
    #[arg(long, requires = "sort")]
    reverse: bool,
}

impl RowArgs {
    /// Makes those of a list that has no order of its own.
    pub(super) fn filter(filter: Option<String>) -> RowArgs {
        RowArgs {
            filter,
            reverse: false,
        }
    }

    pub(super) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }
}

/// Returns the parser of `--sort` for a table: the names of its columns.
pub(super) fn sort_keys(columns: &[Column]) -> PossibleValuesParser {
    PossibleValuesParser::new(columns.iter().map(|(title, _)| sort_key(title)))
}

fn sort_key(title: &str) -> String {
    title
        .to_ascii_lowercase()
        .replace([' ', '/'], "_")
        .replace("_%", "_percent")
}

/// Filter and order of one list.
pub(super) struct Arrangement<'a> {
    columns: &'a [Column],
    sort: Option<&'a Column>,
    filter: Option<String>,
    reverse: bool,
}

impl<'a> Arrangement<'a> {
    pub(super) fn new(
        columns: &'a [Column],
        sort: Option<&str>,
        rows: &RowArgs,
    ) -> Arrangement<'a> {
        let named = |sort: &str| columns.iter().find(|(title, _)| sort_key(title) == sort);
        Arrangement {
            columns,
            sort: sort.and_then(named),
            filter: rows.filter.as_deref().map(str::to_lowercase),
            reverse: rows.reverse,
        }
    }

    /// Returns whether rows beyond the ones that are shown matter, so that all of them are asked for.
    pub(super) fn needs_all(&self) -> bool {
        self.sort.is_some() || self.filter.is_some()
    }

    /// Returns how many rows are asked for where the gateway has no pages.
    pub(super) fn asked(&self, limit: Option<u16>) -> Option<u16> {
        if self.needs_all() {
            Some(WHOLE_PAGE)
        } else {
            limit
        }
    }

    /// Returns how many rows are shown.
    pub(super) fn limit(limit: Option<u16>, all: bool) -> usize {
        match (all, limit) {
            (true, _) => usize::MAX,
            (false, limit) => limit.map_or(DEFAULT_LIMIT, usize::from),
        }
    }

    /// Drops the rows that are not wanted, and orders the others.
    pub(super) fn apply(&self, rows: &mut Vec<Value>) {
        if let Some(filter) = &self.filter {
            let has = |cell: &String| cell.to_lowercase().contains(filter);
            rows.retain(|entry| row(entry, self.columns).iter().any(has));
        }
        if let Some((_, pointer)) = self.sort {
            let null = Value::Null;
            let at = |entry: &'_ Value| entry.pointer(pointer).unwrap_or(&null).clone();
            rows.sort_by_cached_key(|entry| SortKey {
                value: at(entry),
                reverse: self.reverse,
            });
        }
    }

    /// The same for a list in an answer, of which at most `shown` entries are kept. Returns whether there were more.
    pub(super) fn apply_to(&self, answer: &mut Value, list: &str, shown: usize) -> bool {
        let Some(rows) = answer[list].as_array_mut() else {
            return false;
        };
        self.apply(rows);
        let more = rows.len() > shown;
        rows.truncate(shown);
        more
    }
}

/// What a row is ordered by: numbers and lists from the largest, texts by the alphabet, and those without a value last.
struct SortKey {
    value: Value,
    reverse: bool,
}

impl Ord for SortKey {
    fn cmp(&self, other: &SortKey) -> Ordering {
        let order = match (number(&self.value), number(&other.value)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => cell(&self.value).cmp(&cell(&other.value)),
        };
        let missing = self.value.is_null().cmp(&other.value.is_null());
        let order = if self.reverse { order.reverse() } else { order };
        missing.then(order)
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &SortKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SortKey {
    fn eq(&self, other: &SortKey) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SortKey {}

/// Returns what a value counts as; ids are numbers in strings.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Array(list) => Some(list.len() as f64),
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Value::Null | Value::String(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 2] = [("NAME", "/name"), ("RTT US", "/rtt_us")];

    fn names(sort: Option<&str>, filter: Option<&str>, reverse: bool) -> Vec<String> {
        let rows = RowArgs {
            filter: filter.map(str::to_owned),
            reverse,
        };
        let mut list = vec![
            json!({"name": "b", "rtt_us": 9}),
            json!({"name": "A", "rtt_us": null}),
            json!({"name": "c", "rtt_us": 10}),
        ];
        Arrangement::new(&COLUMNS, sort, &rows).apply(&mut list);
        list.iter().map(|row| cell(&row["name"])).collect()
    }

    #[test]
    fn numbers_from_the_largest_and_nothing_last() {
        assert_eq!(names(None, None, false), ["b", "A", "c"]);
        assert_eq!(names(Some("rtt_us"), None, false), ["c", "b", "A"]);
        assert_eq!(names(Some("rtt_us"), None, true), ["b", "c", "A"]);
        assert_eq!(names(Some("name"), None, false), ["A", "b", "c"]);
        assert_eq!(names(None, Some("a"), false), ["A"]);
        assert_eq!(names(None, Some("10"), false), ["c"]);
    }
}
