//! What several gateways have said, each under its name.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::output;
use super::api::Failure;

/// What one gateway has said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Its answers, in JSON.
    pub(super) answers: Vec<Value>,
    /// The same as tables.
    pub(super) text: String,
    /// What is said beside them.
    pub(super) notes: Vec<String>,
}

/// How one gateway was asked, and what it has said.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) gateway: String,
    pub(super) said: Said,
    pub(super) outcome: Result<(), Failure>,
}

impl Reply {
    /// Returns the failure in one line that names the gateway once.
    fn failure(&self) -> Option<String> {
        let failure = self.outcome.as_ref().err()?.to_string();
        Some(match failure.starts_with(&self.gateway) {
            true => failure,
            false => format!("{}: {failure}", self.gateway),
        })
    }
}

/// Formats the replies as one JSON value: of one gateway its answer, of several a list of theirs with their names.
pub(super) fn json(replies: &[Reply]) -> Value {
    let one = |reply: &Reply| {
        let mut answers = reply.said.answers.clone();
        let answer = match answers.len() {
            0 => Value::Null,
            1 => answers.swap_remove(0),
            _ => Value::Array(answers),
        };
        let error = reply.outcome.as_ref().err().map(ToString::to_string);
        (answer, error)
    };
    if let [reply] = replies
        && let (answer, None) = one(reply)
    {
        return answer;
    }
    let labelled = |reply: &Reply| {
        let (answer, error) = one(reply);
        json!({"gateway": reply.gateway, "answer": answer, "error": error, "warnings": reply.said.notes})
    };
    Value::Array(replies.iter().map(labelled).collect())
}

/// Formats the replies as tables. `all`: also what has failed, for somebody who watches.
pub(super) fn text(replies: &[Reply], all: bool) -> String {
    let mut text = String::new();
    for (place, reply) in replies.iter().enumerate() {
        if replies.len() > 1 {
            let gap = if place == 0 { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}== {}", reply.gateway);
        }
        text.push_str(&reply.said.text);
        if all {
            for note in reply.said.notes.iter().chain(&reply.failure()) {
                let _ = writeln!(text, "{note}");
            }
        }
    }
    text
}

/// Prints the replies of several gateways, and on stderr a line for each note and failure. Returns whether all of
/// them have succeeded.
///
/// # Errors
/// They cannot be written.
pub(super) fn print(replies: &[Reply], as_json: bool) -> std::io::Result<bool> {
    let out = match as_json {
        true => format!("{:#}\n", json(replies)),
        false => text(replies, false),
    };
    output::write(&out)?;
    let mut succeeded = true;
    for reply in replies {
        for note in &reply.said.notes {
            output::complain(format_args!("{}: {note}", reply.gateway));
        }
        if let Some(failure) = reply.failure() {
            output::complain(format_args!("game-gateway admin: {failure}"));
            succeeded = false;
        }
    }
    Ok(succeeded)
}
