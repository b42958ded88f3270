//! The document of the command line: read from a file or standard input, and printed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::routing::Mistake;
use crate::store::file::MAX_FILE_BYTES;
use crate::store::redis::{Document, Documents, Keys};

/// The name of standard input.
const STDIN: &str = "-";

/// A routes document that has no mistakes, and the name of its source in messages.
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) document: Document,
}

/// Reads and checks a file, or standard input where it is `-`.
///
/// # Errors
/// It cannot be read, or has mistakes: a line each.
pub(super) fn checked(path: &Path) -> Result<Checked, Vec<String>> {
    let is_stdin = path.as_os_str() == STDIN;
    let name = match is_stdin {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let text = match is_stdin {
        true => text(std::io::stdin().lock()),
        false => std::fs::File::open(path).and_then(text),
    };
    let text = text.map_err(|error| vec![format!("{name}: cannot be read: {error}")])?;
    let place = |mistakes: Vec<_>| -> Vec<String> {
        let line = |mistake: &Mistake| format!("{name}: {mistake}");
        mistakes.iter().map(line).collect()
    };
    let document = Document::parse(&text).map_err(place)?;
    Ok(Checked { name, document })
}

fn text(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    let read = source.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        let message = format!("too large, limit {MAX_FILE_BYTES} bytes");
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            message,
        ));
    }
    Ok(text)
}

/// Formats the contents of Redis as one document, mistakes included; compact on one line, or indented.
///
/// # Errors
/// There are no rules, or they are not JSON.
pub(super) fn show(documents: &Documents, keys: &Keys, compact: bool) -> Result<String, String> {
    let Some(rules) = &documents.rules else {
        return Err(format!("redis key {}: not found", keys.rules));
    };
    let rules: Value = serde_json::from_slice(rules)
        .map_err(|error| format!("redis key {}: invalid JSON: {error}", keys.rules))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let realms = documents.realms.iter();
    let realms: BTreeMap<String, String> = realms.map(|(id, to)| (text(id), text(to))).collect();
    let document = serde_json::json!({"rules": rules, "realms": realms});
    let written = match compact {
        true => serde_json::to_string(&document),
        false => serde_json::to_string_pretty(&document),
    };
    written.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"realms": {"2": "H:1", "10": "h:2"},
        "rules": {"a": {"strategy": "realm_based", "later": [1, 2]}}}"#;

    fn in_file(text: &str) -> Result<Checked, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.json");
        std::fs::write(&path, text).unwrap();
        checked(&path)
    }

    #[test]
    fn what_is_got_can_be_set() {
        let keys = Keys::new("p:");
        let first = in_file(TEXT).unwrap().document;
        assert_eq!(first.parsed.warnings.len(), 1);
        for compact in [false, true] {
            let got = show(&first.documents, &keys, compact).unwrap();
            assert_eq!(got.lines().count() == 1, compact);
            let again = in_file(&got).unwrap().document;
            assert_eq!(again.data(), first.data());
            assert!(again.documents.says_the_same(&first.documents), "{got}");
        }
        let parsed = first.documents.parse(&keys).unwrap();
        assert_eq!(&parsed.data, first.data());
    }

    #[test]
    fn mistakes_name_their_place() {
        let Err(mistakes) = in_file("{\n\"rules\": 7, \"realms\": {\"x\": \"h:1\"}}") else {
            panic!("taken");
        };
        assert_eq!(mistakes.len(), 2);
        assert!(
            mistakes[0].contains("routes.json: line 2: rules: must be"),
            "{mistakes:?}"
        );
        let none = show(&Documents::default(), &Keys::new("p:"), true);
        assert_eq!(none, Err("redis key p:routing:rules: not found".to_owned()));
    }
}
