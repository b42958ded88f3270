//! Source files, and which of their lines are code that ships.

use std::fs;
use std::path::Path;

/// A source file: its path from the repository's root, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// The lines that are code and not inside an item that only tests compile, with their numbers.
    pub(crate) fn code(&self) -> Vec<(usize, &str)> {
        let mut lines = Vec::new();
        if self.is_test() {
            return lines;
        }
        let mut all = (1..).zip(self.text.lines());
        while let Some((number, line)) = all.next() {
            let start = line.trim_start();
            if start == "#[cfg(test)]" {
                // rustfmt ends an item with "}" at its own indentation, or with ";".
                let end = format!("{}}}", &line[..line.len() - start.len()]);
                let mut one_line = true;
                all.find(|(_, line)| {
                    one_line &= !line.ends_with('{');
                    *line == end || (one_line && line.ends_with(';'))
                });
            } else if !start.starts_with("//") {
                lines.push((number, line));
            }
        }
        lines
    }

    pub(crate) fn breach(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Every Rust file below a folder, in the order of their paths.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let path = path.strip_prefix(root).expect("below the root");
                found.push(Source::new(&path.to_string_lossy(), &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}
