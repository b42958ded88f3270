//! One document in the format of the routes file, and the two values that Redis has of it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::read::Documents;
use crate::routing::{Mistake, Parsed, RoutingData, parse_file};

/// A routes document without mistakes.
#[derive(Debug)]
pub struct Document {
    /// What it says.
    pub parsed: Parsed,
    /// The same for Redis. The rules are as they were written, members of later versions included.
    pub documents: Documents,
}

impl Document {
    /// Parses a routes file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Document, Vec<Mistake>> {
        let parsed = parse_file(text)?;
        let rules = rules_of(text).map_err(|error| {
            vec![Mistake {
                at: String::new(),
                line: Some(error.line()),
                message: error.to_string(),
            }]
        })?;
        let realms = parsed.data.realms.iter();
        let realms = realms.map(|(id, to)| (id.to_string().into(), to.to_string().into()));
        let mut realms: Vec<(Vec<u8>, Vec<u8>)> = realms.collect();
        realms.sort();
        Ok(Document {
            parsed,
            documents: Documents {
                rules: Some(rules),
                realms,
            },
        })
    }

    /// Returns the routing data.
    pub fn data(&self) -> &RoutingData {
        &self.parsed.data
    }
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

impl Documents {
    /// Returns true if both say the same, members of later versions included.
    pub fn says_the_same(&self, other: &Documents) -> bool {
        let rules = |documents: &Documents| -> Option<Value> {
            serde_json::from_slice(documents.rules.as_deref()?).ok()
        };
        let (its_rules, other_rules) = (rules(self), rules(other));
        its_rules.is_some() && its_rules == other_rules && self.realms == other.realms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"realms": {"2": "H:1", "10": "h:2"},
        "rules": {"a": {"strategy": "realm_based", "later": [1, 2]}}}"#;

    #[test]
    fn members_of_later_versions_make_a_difference() {
        let documents = |text: &str| Document::parse(text).unwrap().documents;
        let first = documents(TEXT);
        let other = documents(&TEXT.replace("[1, 2]", "[1]"));
        assert!(first.says_the_same(&first));
        assert!(!first.says_the_same(&other));
        let spaced = documents(&TEXT.replace("[1, 2]", "[1,  2]"));
        assert!(first.says_the_same(&spaced));
        let empty = Documents::default();
        assert!(
            !empty.says_the_same(&empty),
            "no rules are not the same rules"
        );
    }

    #[test]
    fn the_rules_are_as_they_were_written() {
        let document = Document::parse(TEXT).unwrap();
        let rules = document.documents.rules.unwrap();
        let text = r#"{"a": {"strategy": "realm_based", "later": [1, 2]}}"#;
        assert_eq!(String::from_utf8(rules).unwrap(), text);
        assert_eq!(document.documents.realms[1].1, b"h:1", "in normal form");
        assert!(Document::parse("{\"rules\": 7}").is_err());
    }
}
