//! The allowed arrows, as ARCHITECTURE.md lists them: a folder may import what its row of the code
//! map names, and an actor those before it in the list of actors.

use std::collections::BTreeMap;

use crate::source::Source;

/// Files that tie all folders together.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

/// Allowed imports.
pub(crate) struct Arrows {
    /// By folder or file of `src/`, without its ending; in the order of the document.
    folders: Vec<(String, Vec<String>)>,
    /// Lowest first.
    actors: Vec<String>,
}

impl Arrows {
    /// Reads the code map and the list of actors.
    pub(crate) fn of(architecture: &str) -> Arrows {
        let section = |title: &str| {
            let (_, rest) = architecture.split_once(title).expect(title);
            rest.split("\n## ").next().unwrap_or_default()
        };
        let folders = section("\n## Code map\n").lines().filter_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let name = cells.get(1)?.strip_prefix("`src/")?;
            let name = name.trim_end_matches(['`', '/']).trim_end_matches(".rs");
            let allowed = cells.get(3)?.split(", ").filter(|name| !name.is_empty());
            Some((name.to_owned(), allowed.map(str::to_owned).collect()))
        });
        let actors = section("\n## Actors\n").lines().filter_map(|line| {
            let (number, rest) = line.split_once(". `")?;
            let (name, _) = rest.split_once('`')?;
            number.parse::<u32>().ok().map(|_| name.to_owned())
        });
        Arrows {
            folders: folders.collect(),
            actors: actors.collect(),
        }
    }

    /// Mistakes of the document itself: arrows upwards, entries that are missing or gone.
    pub(crate) fn mistakes(&self, sources: &[Source]) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut above: Vec<&str> = Vec::new();
        for (folder, allowed) in &self.folders {
            let unknown = allowed
                .iter()
                .filter(|name| !above.contains(&name.as_str()));
            mistakes.extend(unknown.map(|name| {
                format!("ARCHITECTURE.md: {folder} may use {name}, which is no row above it")
            }));
            above.push(folder);
        }
        let mut there: BTreeMap<&str, bool> = BTreeMap::new();
        let listed = |kind: &str, name: &str| match kind {
            "actors" => self.actors.iter().any(|actor| actor == name),
            _ => above.contains(&name),
        };
        for source in sources.iter().filter(|s| !ROOTS.contains(&s.path.as_str())) {
            let module = module(&source.path);
            there.insert(module[0], listed("folders", module[0]));
            if module[0] == "actors"
                && let Some(actor) = module.get(1)
            {
                there.insert(actor, listed("actors", actor));
            }
        }
        let missing = there.iter().filter(|(_, listed)| !**listed);
        mistakes.extend(missing.map(|(name, _)| format!("ARCHITECTURE.md: {name} is not listed")));
        let listed = above
            .iter()
            .copied()
            .chain(self.actors.iter().map(String::as_str));
        let gone = listed.filter(|name| !there.contains_key(name));
        mistakes.extend(gone.map(|name| format!("ARCHITECTURE.md: {name} is gone")));
        mistakes
    }

    /// Imports of one file that are not allowed.
    pub(crate) fn breaches(&self, source: &Source) -> Vec<String> {
        if ROOTS.contains(&source.path.as_str()) {
            return Vec::new();
        }
        let own = module(&source.path);
        let allowed = self.folders.iter().find(|(name, _)| name == own[0]);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| allowed);
        let place = |actor: &str| self.actors.iter().position(|name| name == actor);
        let mut breaches = Vec::new();
        for (line, path) in imports(source) {
            let Some(path) = resolved(&own, &path) else {
                continue;
            };
            let folder = path[0].as_str();
            if folder != own[0] && !allowed.iter().any(|name| name == folder) {
                let what = format!("{} may not import {folder}", own[0]);
                breaches.push(source.breach(line, &what));
            }
            if own[0] == "actors"
                && folder == "actors"
                && let (Some(from), Some(to)) = (own.get(1), path.get(1))
                && from != to
                && place(to) >= place(from)
            {
                let what = format!("{from} may not import {to}: it is not before it in the order");
                breaches.push(source.breach(line, &what));
            }
        }
        breaches
    }
}

/// The module of a file: `src/actors/link/mod.rs` is `actors`, `link`.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.trim_end_matches("/mod").split('/').collect()
}

/// A path from the crate's root, if it is one of this crate.
fn resolved(own: &[&str], path: &str) -> Option<Vec<String>> {
    let mut words = path.split("::").peekable();
    let mut from_root: Vec<String> = Vec::new();
    match words.next()? {
        "crate" => {}
        "super" => {
            let ups = 1 + std::iter::from_fn(|| words.next_if_eq(&"super")).count();
            let kept = own.len().checked_sub(ups)?;
            from_root.extend(own[..kept].iter().map(|&word| word.to_owned()));
        }
        _ => return None,
    }
    from_root.extend(words.map(str::to_owned));
    (!from_root.is_empty()).then_some(from_root)
}

/// The paths that a file names, each with its line: those of `use`, braces expanded, and others.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = source.code();
    let mut lines = code.iter();
    while let Some((number, line)) = lines.next() {
        let start = line.trim_start();
        let is_use =
            start.starts_with("use ") || (start.starts_with("pub") && start.contains(" use "));
        if is_use {
            let mut tree = start
                .split_once("use ")
                .map_or("", |(_, tree)| tree)
                .to_owned();
            while !tree.contains(';') {
                let Some((_, line)) = lines.next() else { break };
                tree.push_str(line.trim());
            }
            expand("", tree.trim_end_matches(';'), &mut |path| {
                found.push((*number, path));
            });
        } else {
            let of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let words = line.split(move |c| !of_path(c));
            let paths = words.filter(|word| word.contains("::"));
            found.extend(paths.map(|path| (*number, path.to_owned())));
        }
    }
    found
}

/// Calls `each` with every path of a `use` tree.
fn expand(prefix: &str, tree: &str, each: &mut impl FnMut(String)) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return each(format!("{prefix}{path}"));
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inner = rest.trim_end().trim_end_matches(';').trim_end();
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut begin) = (0, 0);
    for (place, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, inner[begin..place].trim(), each);
                begin = place + 1;
            }
            _ => {}
        }
    }
    let last = inner[begin..].trim();
    if !last.is_empty() {
        expand(&prefix, last, each);
    }
}
