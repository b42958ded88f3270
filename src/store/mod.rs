//! The sources of routing data. No actors: everything here reads once, and the caller decides when.
//!
//! * [`admin_tokens`]: the tokens of the admin API.
//! * [`assignments`]: what is known of users' assignments in Redis.
//! * [`mod@file`]: the routes file.
//! * [`pod`]: the deletion cost of this gateway's own pod in Kubernetes.
//! * [`redis`]: two keys in Redis, and notifications of changes.
//! * [`names`]: names to addresses, and when each is looked up.
//! * [`token_keys`]: the keys of resume tokens.
//! * [`watch`]: notifications of changed files.

use std::fmt;

pub mod admin_tokens;
pub mod assignments;
pub mod file;
pub mod names;
pub mod pod;
pub mod redis;
pub mod token_keys;
pub mod watch;

/// The reason that routing data is refused. Its text has one line for each mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The side that has to be repaired.
    pub kind: RefusedKind,
    /// Mistakes: at least one line, each with its place.
    pub lines: Vec<String>,
}

/// The side that has to be repaired before routing data can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// The source: data is missing or cannot be read.
    Unreadable,
    /// The data, which has mistakes.
    Mistaken,
}

impl RefusedKind {
    /// Returns the name in the admin API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            RefusedKind::Unreadable => "unreadable",
            RefusedKind::Mistaken => "mistaken",
        }
    }
}

impl Refused {
    /// Makes the refusal of data that could not be read.
    pub fn unreadable(why: impl Into<String>) -> Refused {
        Refused {
            kind: RefusedKind::Unreadable,
            lines: vec![why.into()],
        }
    }

    /// Returns the first `most` lines, and a line with the number of the others.
    pub fn summary(&self, most: usize) -> String {
        let mut text = self.lines[..self.lines.len().min(most)].join("\n");
        if self.lines.len() > most {
            text += &format!("\nand {} more mistakes", self.lines.len() - most);
        }
        text
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Refused {}

impl From<file::ReadError> for Refused {
    fn from(error: file::ReadError) -> Refused {
        let kind = match error {
            file::ReadError::Unreadable(..) => RefusedKind::Unreadable,
            file::ReadError::Mistaken(..) => RefusedKind::Mistaken,
        };
        let lines = error.to_string().lines().map(str::to_owned).collect();
        Refused { kind, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_how_much_it_leaves_out() {
        let lines = ["a", "b", "c"].map(str::to_owned).to_vec();
        let kind = RefusedKind::Mistaken;
        let refused = Refused { kind, lines };
        assert_eq!(refused.summary(3), "a\nb\nc");
        assert_eq!(refused.summary(1), "a\nand 2 more mistakes");
    }
}
