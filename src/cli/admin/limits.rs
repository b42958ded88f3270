//! `game-gateway admin limits`: limits in force, and changes at run time.

use clap::Args;
use serde_json::{Map, Value, json};

use super::api::Failure;
use super::args::window;
use super::table::table;
use super::{Terminal, show};

#[derive(Debug, Args)]
pub(super) struct LimitsArgs {
    /// Keys with their values, e.g. limits.connections_per_ip=20; without a value: as configured.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    /// Time after which they are as configured again, e.g. 10m, at most 720h; until they are told so if omitted.
    #[arg(long = "for", value_name = "TIME", value_parser = window, requires = "values")]
    time: Option<String>,
    /// Reason, for operators.
    #[arg(long, requires = "values")]
    reason: Option<String>,
    /// Take all changes back.
    #[arg(long, conflicts_with = "values")]
    reset: bool,
}

impl LimitsArgs {
    pub(super) fn changes(&self) -> bool {
        self.reset || !self.values.is_empty()
    }

    fn body(&self) -> Value {
        let value = |text: &String| match text.is_empty() {
            true => Value::Null,
            false => text.clone().into(),
        };
        let values = self
            .values
            .iter()
            .map(|(key, text)| (key.clone(), value(text)));
        let mut body = json!({"values": values.collect::<Map<_, _>>()});
        for (member, text) in [("for", &self.time), ("reason", &self.reason)] {
            if let Some(text) = text {
                body[member] = text.clone().into();
            }
        }
        body
    }
}

impl Terminal<'_> {
    /// Shows the limits, or changes some first.
    pub(super) fn limits(&self, args: &LimitsArgs) -> Result<(), Failure> {
        let path = &["limits"];
        let answer = match (args.reset, args.values.is_empty()) {
            (true, _) => self.api.delete(path)?,
            (false, true) => self.api.get(path, &[])?,
            (false, false) => self.api.send("PATCH", path, Some(&args.body()))?,
        };
        self.print(&answer, limits)
    }
}

fn limits(answer: &Value) -> String {
    let limits = answer["limits"].as_object().into_iter().flatten();
    let rows = limits.map(|(key, limit)| {
        let change = &limit["change"];
        let cells = [
            &limit["value"],
            &limit["configured"],
            &change["remaining_seconds"],
            &change["by"],
            &change["reason"],
        ];
        std::iter::once(key.clone())
            .chain(cells.map(show::cell))
            .collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    table(
        &["KEY", "VALUE", "CONFIGURED", "LEFT", "BY", "REASON"],
        &rows,
    )
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
