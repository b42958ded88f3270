//! The rules: each from a source file to its breaches, with file and line.

use std::path::Path;

use crate::source::Source;

/// The most lines of a source file.
const MAX_LINES: usize = 400;

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: [&str; 6] = ["manager", "handler", "helper", "util", "common", "context"];

/// Modules without I/O, and the crates and parts of this crate that they may import.
pub(crate) const PURE: [(&str, &[&str]); 5] = [
    (
        "src/codec/",
        // actix_codec's Decoder wants an error that an I/O error can become.
        &["crate::codec", "actix_codec", "std::io::Error"],
    ),
    (
        "src/session/",
        &["crate::session", "crate::codec", "crate::labels"],
    ),
    ("src/routing/", &["crate::routing", "crate::codec"]),
    (
        "src/sdk/client/session/core/",
        &["crate::sdk::client", "crate::codec"],
    ),
    (
        "src/sdk/backend/core/",
        &["crate::sdk::backend", "crate::codec"],
    ),
];

/// What no pure module may import unless [`PURE`] allows it: the runtimes, and the rest of this
/// crate. `std` has I/O too.
const IMPURE: [&str; 10] = [
    "crate",
    "tokio",
    "actix",
    "actix_rt",
    "actix_web",
    "actix_codec",
    "tracing",
    "std::fs",
    "std::thread",
    "std::io",
];

/// What every frame passes through.
pub(crate) const HOT: &[&str] = &[
    "src/session/core/inbound.rs",
    "src/memory/meter.rs",
    "src/actors/client/memory.rs",
    "src/actors/client/stats.rs",
    "src/actors/client/outgoing.rs",
    "src/actors/client/pump.rs",
    "src/supervision/address.rs",
    "src/supervision/mail.rs",
    "src/supervision/mail_counter.rs",
    "src/actors/link/inbound.rs",
    "src/actors/link/pump.rs",
    "src/codec/client.rs",
    "src/codec/link.rs",
    "src/codec/link/payloads.rs",
    "src/metrics/mod.rs",
    "src/metrics/sampling.rs",
    "src/codec/buffers.rs",
    "src/net/outbox.rs",
    "src/net/socket.rs",
    "src/session/core/inbound.rs",
    "src/session/link/sessions.rs",
    "src/session/state.rs",
];
/// How a hot module says so in its own documentation.
const HOT_MARK: &str = "//! Hot path";
/// What has no place on the way of a frame.
const SLOW: [&str; 6] = [
    "Mutex",
    "RwLock",
    "info!(",
    "println!(",
    "async_trait",
    "DashMap",
];

pub(crate) fn short_enough(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    let what = format!("{lines} lines, at most {MAX_LINES}: split the module");
    vec![source.breach(MAX_LINES + 1, &what)]
}

/// Whether a path such as `tokio::net` lies in `parent`, here `tokio`.
fn lies_in(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The paths that a line names from a root: `crate::…` anywhere, others where they begin a path.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    line.split(move |c| !of_path(c))
        .filter(|word| word.contains("::"))
        .map(|word| word.trim_start_matches("::"))
}

pub(crate) fn pure_cores_import_no_io(source: &Source) -> Vec<String> {
    let Some((_, allowed)) = PURE.iter().find(|(core, _)| source.path.starts_with(core)) else {
        return Vec::new();
    };
    let mut breaches = Vec::new();
    for (number, line) in source.code() {
        for path in paths(line) {
            let impure = IMPURE.iter().any(|root| lies_in(path, root));
            let allowed = allowed.iter().any(|root| lies_in(path, root));
            if impure && !allowed {
                breaches.push(source.breach(number, &format!("{path} in a module without I/O")));
            }
        }
    }
    breaches
}

pub(crate) fn hot_modules_are_marked(source: &Source) -> Vec<String> {
    let marked = source.text.lines().any(|line| line.starts_with(HOT_MARK));
    if HOT.contains(&source.path.as_str()) && !marked {
        return vec![source.breach(1, &format!("a hot module without {HOT_MARK:?}"))];
    }
    let mut breaches = Vec::new();
    if marked {
        for (number, line) in source.code() {
            for slow in SLOW.iter().filter(|slow| line.contains(**slow)) {
                breaches.push(source.breach(number, &format!("{slow} in a hot module")));
            }
        }
    }
    breaches
}

pub(crate) fn nothing_unwraps(source: &Source) -> Vec<String> {
    let calls = [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];
    let mut breaches = Vec::new();
    for (number, line) in source.code() {
        for call in calls.iter().filter(|call| line.contains(**call)) {
            breaches.push(source.breach(number, &format!("{call} outside tests")));
        }
    }
    breaches
}

/// The name that a line gives to a module or type, if it does.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().peekable();
    words.next_if(|word| word.starts_with("pub"));
    let kinds = ["mod", "struct", "enum", "trait", "union", "type"];
    words.next_if(|word| kinds.contains(word))?;
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
    Some(&name[..end.unwrap_or(name.len())])
}

/// The words of a name in either case: `LinkLimits` and `link_limits` are `link` and `limits`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words
}

pub(crate) fn names_say_something(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut name = |number, name: &str| {
        for word in words(name) {
            let singular = word.strip_suffix('s').unwrap_or(&word);
            if EMPTY_WORDS.contains(&singular) {
                let what = format!("{name} is named after {word:?}, which says nothing");
                breaches.push(source.breach(number, &what));
            }
        }
    };
    for (number, line) in (1..).zip(source.text.lines()) {
        // actix's own name for an actor's environment, in every `impl Actor`.
        if line.trim_start().starts_with("type Context = ") {
            continue;
        }
        if let Some(declared) = declared(line) {
            name(number, declared);
        }
    }
    for part in Path::new(&source.path) {
        name(1, part.to_string_lossy().trim_end_matches(".rs"));
    }
    breaches
}

pub(crate) type Rule = fn(&Source) -> Vec<String>;
pub(crate) const RULES: [Rule; 5] = [
    short_enough,
    pure_cores_import_no_io,
    hot_modules_are_marked,
    nothing_unwraps,
    names_say_something,
];
