//! What grows: every collection that a value keeps, and the bound that somebody has thought of.

use std::collections::BTreeMap;

use crate::source::Source;

/// Types that grow without asking.
const GROWING: [&str; 11] = [
    "Vec<",
    "VecDeque<",
    "HashMap<",
    "HashSet<",
    "BTreeMap<",
    "BTreeSet<",
    "BinaryHeap<",
    "Slab<",
    "BytesMut",
    "UnboundedSender<",
    "JoinSet<",
];

/// Folders of the running gateway. Command line and libraries for authors are other processes; what
/// the admin API gathers lives as long as one answer, whose rows are bounded.
const RUNNING: [&str; 22] = [
    "src/actors/",
    "src/admin/deployment.rs",
    "src/admin/event_streams.rs",
    "src/admin/live/",
    "src/admin/silences.rs",
    "src/admin/visitors.rs",
    "src/admission/",
    "src/codec/",
    "src/history/",
    "src/logging/",
    "src/net/",
    "src/scope.rs",
    "src/session/",
    "src/store/assignments.rs",
    "src/store/names/mod.rs",
    "src/store/names/queue.rs",
    "src/store/redis/bounded.rs",
    "src/supervision/",
    // What wire.rs has is one request.
    "src/telemetry/export.rs",
    "src/telemetry/mod.rs",
    "src/telemetry/span.rs",
    "src/traces/",
];

/// The fields of structs and variants that can grow, as `path::field`, with their lines.
pub(crate) fn growing(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if !RUNNING.iter().any(|part| source.path.starts_with(part)) {
        return found;
    }
    let mut end_of_item: Option<String> = None;
    for (number, line) in source.code() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let Some(end) = &end_of_item else {
            if is_type(code) {
                end_of_item = Some(format!("{indent}}}"));
            }
            continue;
        };
        if line == end {
            end_of_item = None;
        } else if let Some(field) = growing_field(code) {
            found.push((number, format!("{}::{field}", source.path)));
        }
    }
    found
}

/// Whether a line begins a struct or an enum with named parts.
fn is_type(code: &str) -> bool {
    let mut words = code.split_whitespace();
    let item = words.find(|word| !word.starts_with("pub"));
    matches!(item, Some("struct" | "enum")) && code.ends_with('{')
}

fn growing_field(code: &str) -> Option<&str> {
    let (field, kind) = code.split_once(": ")?;
    let name = field.rsplit(' ').next()?;
    GROWING
        .iter()
        .any(|part| kind.contains(part))
        .then_some(name)
}

/// Fields that grow and have no bound in the list, and bounds of what is gone.
pub(crate) fn unbounded(sources: &[Source], bounds: &BTreeMap<String, String>) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut seen = Vec::new();
    for source in sources {
        for (line, field) in growing(source) {
            if !bounds.contains_key(&field) {
                breaches.push(source.breach(line, &format!("{field} grows, and has no bound")));
            }
            seen.push(field);
        }
    }
    let gone = bounds.keys().filter(|field| !seen.contains(field));
    breaches.extend(gone.map(|field| format!("bounds.toml: {field} is gone, or does not grow")));
    breaches
}
