//! The one document that files have, and the two that Redis has: one to the other.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::routing::{Parsed, parse_file};
use crate::store::file::MAX_FILE_BYTES;
use crate::store::redis::{Documents, Keys};

/// The name of standard input.
const STDIN: &str = "-";

/// A routes document that has no mistakes.
pub(super) struct Checked {
    /// Name of its source in messages.
    pub(super) name: String,
    pub(super) parsed: Parsed,
    /// The same for Redis. The rules are as they were written, members of later versions included.
    pub(super) documents: Documents,
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
        let line = |mistake: &crate::routing::Mistake| format!("{name}: {mistake}");
        mistakes.iter().map(line).collect()
    };
    let parsed = parse_file(&text).map_err(place)?;
    let rules = rules_of(&text).map_err(|error| vec![format!("{name}: {error}")])?;
    let realms = parsed.data.realms.iter();
    let realms = realms.map(|(id, to)| (id.to_string().into(), to.to_string().into()));
    let mut realms: Vec<(Vec<u8>, Vec<u8>)> = realms.collect();
    realms.sort();
    let documents = Documents {
        rules: Some(rules),
        realms,
    };
    Ok(Checked {
        name,
        parsed,
        documents,
    })
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

/// Extracts the text of the rules from a document without mistakes.
fn rules_of(text: &str) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Outline<'a> {
        #[serde(borrow)]
        rules: &'a RawValue,
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let outline: Outline<'_> = serde_json::from_str(text)?;
    Ok(outline.rules.get().as_bytes().to_vec())
}

/// Returns true if both are equal, members of later versions included.
pub(super) fn same(one: &Documents, other: &Documents) -> bool {
    let rules = |documents: &Documents| -> Option<Value> {
        serde_json::from_slice(documents.rules.as_deref()?).ok()
    };
    let (rules_of_one, rules_of_other) = (rules(one), rules(other));
    rules_of_one.is_some() && rules_of_one == rules_of_other && one.realms == other.realms
}

/// Formats the contents of Redis as one document, mistakes included; compact on one line, or indented.
///
/// # Errors
/// There are no rules, or they are not JSON.
pub(super) fn document(
    documents: &Documents,
    keys: &Keys,
    compact: bool,
) -> Result<String, String> {
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
        let first = in_file(TEXT).unwrap();
        assert_eq!(first.parsed.warnings.len(), 1);
        for compact in [false, true] {
            let got = document(&first.documents, &keys, compact).unwrap();
            assert_eq!(got.lines().count() == 1, compact);
            let again = in_file(&got).unwrap();
            assert_eq!(again.parsed.data, first.parsed.data);
            assert!(same(&again.documents, &first.documents), "{got}");
        }
        assert_eq!(
            first.documents.parse(&keys).unwrap().data,
            first.parsed.data
        );
    }

    #[test]
    fn members_of_later_versions_make_a_difference() {
        let first = in_file(TEXT).unwrap().documents;
        let other = in_file(&TEXT.replace("[1, 2]", "[1]")).unwrap().documents;
        assert!(same(&first, &first));
        assert!(!same(&first, &other));
        let spaced = in_file(&TEXT.replace("[1, 2]", "[1,  2]"))
            .unwrap()
            .documents;
        assert!(same(&first, &spaced));
        let empty = Documents::default();
        assert!(!same(&empty, &empty), "no rules are not the same rules");
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
        let none = document(&Documents::default(), &Keys::new("p:"), true);
        assert_eq!(none, Err("redis key p:routing:rules: not found".to_owned()));
    }
}
