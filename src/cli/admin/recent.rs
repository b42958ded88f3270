//! Answers about the recent past as tables.

use serde_json::{Value, json};

use super::show::{Column, cell, list, listing, members};

pub(super) const REFUSALS: [Column; 8] = [
    ("CODE", "/code"),
    ("REASON", "/reason"),
    ("SERVICE", "/service"),
    ("REALM", "/realm_id"),
    ("COUNT", "/count"),
    ("AGE", "/age_seconds"),
    ("LAST USER", "/last_user_id"),
    ("LAST CLIENT", "/last_client"),
];

pub(super) const TALKERS: [Column; 8] = [
    ("NAME", "/name"),
    ("USER", "/user_id"),
    ("ADDRESS", "/address"),
    ("SESSIONS", "/sessions"),
    ("FRAMES IN/S", "/frames_in_per_second"),
    ("FRAMES OUT/S", "/frames_out_per_second"),
    ("BYTES IN/S", "/bytes_in_per_second"),
    ("BYTES OUT/S", "/bytes_out_per_second"),
];

const SERVICES: [Column; 3] = [
    ("AT", "/since_seconds"),
    ("SERVICE", "/service"),
    ("ENDPOINT", "/endpoint"),
];

const EVENTS: [Column; 5] = [
    ("AT", "/first_seconds"),
    ("UNTIL", "/last_seconds"),
    ("COUNT", "/count"),
    ("EVENT", "/event"),
    ("DETAIL", "/detail"),
];

pub(super) fn talkers(answer: &Value) -> String {
    listing(&TALKERS, list(answer, "talkers"))
}

/// Formats a session with its services, its events and its end, their times in seconds since its beginning.
pub(super) fn story(answer: &Value) -> String {
    let began = answer["since_seconds"].as_u64().unwrap_or(0);
    let mut head = answer.clone();
    let parts = head.as_object_mut().map(|head| {
        let mut take = |name: &str| head.remove(name).unwrap_or_default();
        (take("services"), take("events"), take("end"))
    });
    let (services, events, end) = parts.unwrap_or_default();
    if !end.is_null() {
        head["ended"] = json!(format!("{} s ago", cell(&end["age_seconds"])));
        head["end_reason"] = end["reason"].clone();
        head["end_code"] = end["code"].clone();
        if !end["moved_to"].is_null() {
            head["moved_to"] = end["moved_to"].clone();
        }
        let words = &end["last_words"];
        if !words.is_null() {
            let part = |name: &str| cell(&words[name]);
            let said = format!("{}: {} {}", part("by"), part("code"), part("text"));
            head["last_words"] = json!(said);
        }
    }
    let mut text = members(&head);
    for (columns, rows) in [(&SERVICES[..], services), (&EVENTS[..], events)] {
        let Value::Array(mut rows) = rows else {
            continue;
        };
        for row in &mut rows {
            for time in ["since_seconds", "first_seconds", "last_seconds"] {
                if let Some(at) = row[time].as_u64() {
                    row[time] = json!(at.saturating_sub(began));
                }
            }
        }
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&listing(columns, rows.iter()));
        }
    }
    text
}

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
