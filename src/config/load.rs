//! Loads a [`Config`] from file and environment, or reports all mistakes at once.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Field, GONE, KEYS, Key, unwrapped};
use super::{Config, LogFormat};

/// Prefix of the environment variables that override keys.
const PREFIX: &str = "GATEWAY__";
/// The longest gateway_id, in bytes: OPEN has one byte for its length (protocol 2.2).
pub(super) const MAX_ID: usize = 255;

/// The place of a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1; none if it is not known.
        line: Option<usize>,
        /// The key; none for the file as a whole.
        key: String,
    },
    /// In an environment variable.
    Environment(String),
    /// In several keys that contradict each other, wherever they were set.
    Keys(String),
}

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Its place.
    pub place: Place,
    /// Its description.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line, key } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                if !key.is_empty() {
                    write!(f, ": {key}")?;
                }
            }
            Place::Environment(variable) => write!(f, "environment: {variable}")?,
            Place::Keys(keys) => write!(f, "{keys}")?,
        }
        write!(f, ": {}", self.message)
    }
}

/// Loads the configuration: defaults, then the file, then the environment.
///
/// # Errors
/// All mistakes.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, Vec<Mistake>> {
    let mut loading = Loading::read(file, environment);
    loading.config.file = file.map(Path::to_owned);
    loading.contradictions();
    if loading.mistakes.is_empty() {
        Ok(loading.config)
    } else {
        Err(loading.mistakes)
    }
}

/// Sets keys of a configuration that is in force to other values, and checks it as a whole. A key without a value is one
/// that may not be changed.
///
/// # Errors
/// All mistakes.
pub fn change<'a>(
    in_force: &Config,
    values: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<Config, Vec<Mistake>> {
    let mut loading = Loading {
        config: in_force.clone(),
        ..Loading::default()
    };
    for (name, text) in values {
        let key = KEYS.iter().find(|key| key.name == name);
        let result = match (key, text) {
            (None, _) => Err(unknown(name)),
            (Some(key), Some(text)) if key.is_live => loading.apply(key, text),
            (Some(_), _) => Err("cannot be changed at run time".to_owned()),
        };
        if let Err(message) = result {
            let place = Place::Keys(name.to_owned());
            loading.mistakes.push(Mistake { place, message });
        }
    }
    loading.contradictions();
    match loading.mistakes.is_empty() {
        true => Ok(loading.config),
        false => Err(loading.mistakes),
    }
}

/// Returns the format of log lines, in which the mistakes of a configuration are told too.
pub fn log_format(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> LogFormat {
    Loading::read(file, environment).config.log.format
}

/// Returns the process's environment. Names and values that are not UTF-8 cannot be meant for us; they
/// are read with replacement characters rather than ending the program.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// Returns the host's name, or "gateway" if it is not a valid id.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .filter(|c| is_id_character(*c))
        .take(MAX_ID)
        .collect();
    if name.is_empty() {
        "gateway".to_owned()
    } else {
        name
    }
}

/// Returns true for a valid gateway_id: `{gateway_id}:{session_id}` must be one word with one colon.
pub(super) fn is_id_character(c: char) -> bool {
    c.is_ascii_graphic() && c != ':'
}

#[derive(Default)]
pub(super) struct Loading {
    pub(super) config: Config,
    pub(super) mistakes: Vec<Mistake>,
    /// Keys with a mistake of their own; contradictions with them are not reported.
    pub(super) wrong: HashSet<&'static str>,
}

impl Loading {
    /// Reads file and environment, as far as they can be read.
    fn read(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Loading {
        let mut loading = Loading::default();
        let environment: Vec<(String, String)> = environment.collect();
        let variable = |name: &str| environment.iter().find(|(n, v)| n == name && !v.is_empty());
        let pod = variable("POD_NAME").map(|(_, value)| unwrapped(value).to_owned());
        loading.config.gateway.id = pod.unwrap_or_else(host_name);
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => loading.file(path, text.strip_prefix('\u{feff}').unwrap_or(&text)),
                Err(error) => loading.in_file(path, None, "", format!("cannot be read: {error}")),
            }
        }
        for (name, value) in &environment {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                loading.variable(name, rest, unwrapped(value));
            }
        }
        loading
    }

    fn in_file(&mut self, path: &Path, line: Option<usize>, key: &str, message: String) {
        let place = Place::File {
            path: path.to_owned(),
            line,
            key: key.to_owned(),
        };
        self.mistakes.push(Mistake { place, message });
    }

    fn file(&mut self, path: &Path, text: &str) {
        let line_of = |at: usize| {
            text.as_bytes()[..at.min(text.len())]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map(|span| line_of(span.start));
            self.in_file(path, line, "", error.message().to_owned());
        }
        let mut found = Vec::new();
        flatten("", table.get_ref(), &mut found);
        for (name, at, value) in found {
            let result = match KEYS.iter().find(|key| key.name == name) {
                None => Err(unknown(&name)),
                Some(key) => text_of(key, value.get_ref()).and_then(|text| self.apply(key, &text)),
            };
            if let Err(message) = result {
                self.in_file(path, Some(line_of(at)), &name, message);
            }
        }
    }

    fn variable(&mut self, variable: &str, rest: &str, value: &str) {
        let name = rest.replace("__", ".").to_ascii_lowercase();
        let result = match KEYS.iter().find(|key| key.name == name) {
            None => Err(unknown(&name)),
            Some(key) => self.apply(key, value),
        };
        if let Err(message) = result {
            let place = Place::Environment(variable.to_owned());
            self.mistakes.push(Mistake { place, message });
        }
    }

    fn apply(&mut self, key: &'static Key, text: &str) -> Result<(), String> {
        let result = (key.field)(&mut self.config).set(text);
        if result.is_err() {
            self.wrong.insert(key.name);
        }
        result
    }
}

/// Returns all leaves of a table with their dotted names and places.
fn flatten<'a, 'i>(
    prefix: &str,
    table: &'a DeTable<'i>,
    found: &mut Vec<(String, usize, &'a Spanned<DeValue<'i>>)>,
) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        let has_below = KEYS.iter().any(|k| {
            k.name
                .strip_prefix(&name)
                .is_some_and(|rest| rest.starts_with('.'))
        });
        match value.get_ref() {
            DeValue::Table(below) if has_below => flatten(&name, below, found),
            _ => found.push((name, key.span().start, value)),
        }
    }
}

/// Returns a TOML value as the environment would write it; lists with commas.
fn text_of(key: &Key, value: &DeValue<'_>) -> Result<String, String> {
    let mut defaults = Config::default();
    let field = (key.field)(&mut defaults);
    let (number, is_share) = (field.is_number(), matches!(field, Field::Share(_)));
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(n) if number || n.as_str() == "0" => Ok(n.as_str().replace('_', "")),
        DeValue::Float(n) if is_share => Ok(n.as_str().replace('_', "")),
        DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
            Ok(json_of(value).to_string())
        }
        DeValue::Array(items) => {
            let items: Result<Vec<_>, _> = items
                .iter()
                .map(|item| text_of(key, item.get_ref()))
                .collect();
            Ok(items?.join(","))
        }
        other => Err(format!("unexpected value of type {}", other.type_str())),
    }
}

/// Returns tables as the environment would write them.
fn json_of(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Array(items) => items.iter().map(|item| json_of(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())))
            .collect(),
        // No table has numbers or times; none is refused as what it is not.
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => serde_json::Value::Null,
    }
}

fn unknown(name: &str) -> String {
    if let Some((_, instead)) = GONE.iter().find(|(gone, _)| *gone == name) {
        return format!("no longer exists: {instead}; remove the key");
    }
    let near = KEYS
        .iter()
        .map(|key| (distance(name, key.name), key.name))
        .min();
    match near {
        Some((distance, key)) if distance <= 3 => format!("unknown key; did you mean {key}?"),
        _ => "unknown key".to_owned(),
    }
}

/// Returns the Levenshtein distance of two words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
