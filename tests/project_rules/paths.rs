//! Paths in documents: each leads to a file, a folder or a module of the repository.

use std::fs;
use std::path::Path;

/// Folders that hold nothing of the repository's own.
const FOREIGN: [&str; 3] = ["target", ".git", "node_modules"];

/// Every file and folder of the repository, from its root; folders end with a slash.
pub(crate) fn repository() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of a folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if FOREIGN.contains(&&*name) {
                continue;
            }
            let relative = path.strip_prefix(root).expect("below the root");
            let relative = relative.to_string_lossy();
            if path.is_dir() {
                found.push(format!("{relative}/"));
                folders.push(path);
            } else {
                found.push(relative.into_owned());
            }
        }
    }
    found
}

/// What a document names that is not there, with its line.
pub(crate) fn lost(document: &str, text: &str, repository: &[String]) -> Vec<String> {
    let mut lost = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let quoted = line.split('`').skip(1).step_by(2);
        let linked = line.split("](").skip(1).filter_map(|rest| {
            let target = rest.split([')', '#']).next()?;
            (!target.is_empty() && !target.contains("://")).then_some(target)
        });
        let wrong = quoted
            .filter(|word| !leads(word, repository))
            .chain(linked.filter(|target| !is_there(target, repository)));
        lost.extend(wrong.map(|word| format!("{document}:{number}: {word} is not there")));
    }
    lost
}

/// Whether a quoted word is no path, or one that leads somewhere.
fn leads(word: &str, repository: &[String]) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    if !word.chars().all(plain) || word.starts_with('/') {
        return true;
    }
    if let Some((folder, rest)) = word.split_once("::") {
        let folder = format!("src/{folder}/");
        let module = rest.split("::").next().unwrap_or_default();
        let is_module = module.starts_with(|c: char| c.is_lowercase());
        return !is_module
            || !repository.contains(&folder)
            || repository.contains(&format!("{folder}{module}.rs"))
            || repository.contains(&format!("{folder}{module}/"));
    }
    let is_path = word.ends_with('/') || word.ends_with(".rs") || {
        let top = word.split_once('/').map(|(top, _)| format!("{top}/"));
        top.is_some_and(|top| repository.contains(&top))
    };
    !is_path || word.starts_with("target/") || is_there(word, repository)
}

/// Whether a path exists, from the root or from a folder that the sentence is about.
fn is_there(path: &str, repository: &[String]) -> bool {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let below = format!("/{path}");
    repository.iter().any(|known| {
        let known = known.trim_end_matches('/');
        known == path || known.ends_with(&below)
    })
}
