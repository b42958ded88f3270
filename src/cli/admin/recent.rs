//! Answers about the recent past as tables.

use serde_json::Value;

use super::show::{Column, list, listing};

const REFUSALS: [Column; 8] = [
    ("CODE", "/code"),
    ("REASON", "/reason"),
    ("SERVICE", "/service"),
    ("REALM", "/realm_id"),
    ("COUNT", "/count"),
    ("AGE", "/age_seconds"),
    ("LAST USER", "/last_user_id"),
    ("LAST CLIENT", "/last_client"),
];

/// Formats groups of refusals, and how many there are beside these.
pub(super) fn refusals(page: &Value) -> String {
    let mut text = listing(&REFUSALS, list(page, "refusals"));
    let shown = list(page, "refusals").count() as u64;
    let more = page["groups"].as_u64().unwrap_or(0).saturating_sub(shown);
    let forgotten = page["forgotten_groups"].as_u64().unwrap_or(0);
    if more + forgotten > 0 {
        text.push_str(&format!(
            "\n{more} more groups; {forgotten} have given way to newer ones\n"
        ));
    }
    text
}
