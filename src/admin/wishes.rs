//! Members of a request's body, read as any values so that what is wrong with one can be said by its name.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::errors::ApiError;
use crate::config::units::parse_duration;

/// The longest reason, in characters.
pub(super) const MAX_REASON: usize = 256;

/// Reads a member that is there: `null` is a value too.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Returns a member's text; none where it is missing.
///
/// # Errors
/// It is something else; the `example` is text that fits.
pub(super) fn text<'a>(
    name: &str,
    value: &'a Option<Value>,
    example: &str,
) -> Result<Option<&'a str>, ApiError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ApiError::bad_request(format!(
            "{name}: `{other}` is not a text, expected for example \"{example}\""
        ))),
    }
}

/// Returns the time in the member `for`; none: without an end, which is that of `what`.
///
/// # Errors
/// It is no time, or too long a one.
pub(super) fn time(value: &Option<Value>, what: &str) -> Result<Option<Duration>, ApiError> {
    let Some(text) = text("for", value, "10m")? else {
        return Ok(None);
    };
    let wrong = |why: String| ApiError::bad_request(format!("for: {why}"));
    match parse_duration(text).map_err(wrong)? {
        Duration::ZERO => Err(wrong(format!(
            "`{text}` is no time; leave it out for {what}"
        ))),
        time => Ok(Some(time)),
    }
}

/// Returns the member `reason`; empty where there is none.
///
/// # Errors
/// It is too long, or more than one line.
pub(super) fn reason(value: &Option<Value>, example: &str) -> Result<String, ApiError> {
    let reason = text("reason", value, example)?.unwrap_or_default();
    let wrong = |why: &str| Err(ApiError::bad_request(format!("reason: {why}")));
    if reason.chars().count() > MAX_REASON {
        return wrong(&format!("longer than {MAX_REASON} characters"));
    }
    if reason.chars().any(char::is_control) {
        return wrong("has a line break or another control character");
    }
    Ok(reason.to_owned())
}
