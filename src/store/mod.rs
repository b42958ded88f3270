//! Where routing data comes from. No actors: what is here reads once, and others decide when.
//!
//! * [`mod@file`]: the routes file.
//! * [`pod`]: what Kubernetes is told of this gateway's own pod.
//! * [`redis`]: two keys in Redis, and news of them.
//! * [`mod@resolve`]: names to addresses.
//! * [`token_keys`]: the keys of resume tokens.

use std::fmt;

pub mod file;
pub mod pod;
pub mod redis;
pub mod resolve;
pub mod token_keys;

pub use resolve::{Resolved, resolve};

/// Why routing data cannot be used. The text has one line for each mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Whose fault it is.
    pub kind: RefusedKind,
    /// What is wrong: at least one line, each with its place.
    pub lines: Vec<String>,
}

/// Whose fault it is that routing data cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// It is not there, or the source does not let it be read.
    Unreadable,
    /// It is there and has mistakes.
    Mistaken,
}

impl RefusedKind {
    /// The name, as the admin API and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            RefusedKind::Unreadable => "unreadable",
            RefusedKind::Mistaken => "mistaken",
        }
    }
}

impl Refused {
    /// Data that could not even be read, and why.
    pub fn unreadable(why: impl Into<String>) -> Refused {
        Refused {
            kind: RefusedKind::Unreadable,
            lines: vec![why.into()],
        }
    }

    /// The first `most` lines, and how many more there are.
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
