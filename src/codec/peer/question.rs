//! A question of another gateway's admin API, and its answer. What is asked, and what comes of it, is HTTP's
//! business; here it is values and bytes.

use super::wire::{Malformed, Rest, put_text};

/// The longest path with its query, in bytes.
pub const MAX_PATH: usize = 4096;
/// The longest body of a question, in bytes: that of a request to the admin API.
pub const MAX_QUESTION_BODY: usize = 16 * 1024;
/// The longest body of an answer, in bytes.
pub const MAX_ANSWER_BODY: usize = 1024 * 1024;

/// Role of whoever asks, on the wire; anything else may only read.
const MAY_CHANGE: u8 = 2;
const MAY_READ: u8 = 1;

/// A request to the admin API of another gateway, for somebody whom the asking gateway has let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who asks the asking gateway, for the log: a token's name and an address, without control characters.
    pub by: String,
    /// Whether they may change something.
    pub may_change: bool,
    /// `GET` and the like.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// The longest body of an answer that is taken, in bytes.
    pub most: u32,
}

impl Question {
    /// Returns true if it may change something.
    pub fn is_change(&self) -> bool {
        !matches!(&*self.method, "GET" | "HEAD")
    }
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// Lists in the body have been cut, to fit.
    pub cut: bool,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

pub(super) fn put_question(out: &mut Vec<u8>, question: &Question) {
    out.reserve_exact(question.path.len() + question.body.len() + 1024);
    put_text(out, &question.by);
    out.push(if question.may_change {
        MAY_CHANGE
    } else {
        MAY_READ
    });
    put_text(out, &question.method);
    out.extend_from_slice(&question.most.to_be_bytes());
    let path = &question.path.as_bytes()[..question.path.len().min(MAX_PATH)];
    out.extend_from_slice(&(path.len() as u16).to_be_bytes());
    out.extend_from_slice(path);
    put_body(out, &question.body);
}

pub(super) fn put_answer(out: &mut Vec<u8>, answer: &Answer) {
    out.reserve_exact(answer.body.len() + 16);
    out.extend_from_slice(&answer.status.to_be_bytes());
    out.push(u8::from(answer.cut));
    put_body(out, &answer.body);
}

fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
}

impl Rest<'_> {
    pub(super) fn question(&mut self) -> Result<Question, Malformed> {
        let by = self.text()?;
        let may_change = self.u8()? == MAY_CHANGE;
        let (method, most) = (self.text()?, self.u32()?);
        let len = self.u16()?;
        let path = self.bytes_within(usize::from(len), MAX_PATH)?.to_vec();
        let path = String::from_utf8(path).map_err(|_| Malformed)?;
        // They end up in log lines.
        let plain = |text: &str| !text.chars().any(char::is_control);
        if !(plain(&by) && plain(&method) && plain(&path)) {
            return Err(Malformed);
        }
        let len = self.u32()?;
        let body = self.bytes_within(len as usize, MAX_QUESTION_BODY)?.to_vec();
        Ok(Question {
            by,
            may_change,
            method,
            path,
            body,
            most,
        })
    }

    pub(super) fn answer(&mut self) -> Result<Answer, Malformed> {
        let (status, cut, len) = (self.u16()?, self.flag()?, self.u32()?);
        let body = self.bytes_within(len as usize, MAX_ANSWER_BODY)?.to_vec();
        Ok(Answer { status, cut, body })
    }
}
