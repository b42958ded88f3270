//! Which objects a query or a controller means.

use serde_json::Value;

/// Returns true if the labels match a `matchLabels`.
pub(crate) fn has_labels(object: &Value, wanted: &Value) -> bool {
    let wanted = wanted.as_object();
    let labels = &object["metadata"]["labels"];
    wanted.is_some_and(|wanted| wanted.iter().all(|(label, value)| labels[label] == *value))
}

/// Returns true if an object matches a `labelSelector` and a `fieldSelector`.
pub(crate) fn selects(labels: &str, fields: &str, object: &Value) -> bool {
    let label = |name: &str| object["metadata"]["labels"][name].as_str();
    let field = |name: &str| {
        let found = object.pointer(&format!("/{}", name.replace('.', "/")));
        found.and_then(Value::as_str)
    };
    terms(labels).iter().all(|term| holds(term, label))
        && terms(fields).iter().all(|term| holds(term, field))
}

/// Returns the parts between commas that are not within brackets.
fn terms(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = selector.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

fn holds<'a>(term: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
    let among = |values: &str, value: &str| {
        let values = values.trim().trim_start_matches('(').trim_end_matches(')');
        values.split(',').any(|one| one.trim() == value)
    };
    if let Some((name, values)) = term.split_once(" notin ") {
        return value_of(name.trim()).is_none_or(|value| !among(values, value));
    }
    if let Some((name, values)) = term.split_once(" in ") {
        return value_of(name.trim()).is_some_and(|value| among(values, value));
    }
    if let Some((name, value)) = term.split_once("!=") {
        return value_of(name.trim()) != Some(value.trim());
    }
    if let Some((name, value)) = term.split_once('=') {
        return value_of(name.trim()) == Some(value.trim_start_matches('=').trim());
    }
    match term.strip_prefix('!') {
        Some(name) => value_of(name).is_none(),
        None => value_of(term).is_some(),
    }
}

#[test]
fn selectors_select() {
    let object = serde_json::json!({
        "metadata": { "name": "a", "labels": { "app": "gateway", "tier": "edge" } },
        "status": { "phase": "Running" },
    });
    let cases = [
        ("", "", true),
        ("app=gateway,tier==edge", "", true),
        ("app in (other, gateway),tier", "metadata.name=a", true),
        ("app notin (other),!none", "status.phase!=Failed", true),
        ("app!=gateway", "", false),
        ("app in (other)", "", false),
        ("app notin (gateway)", "", false),
        ("!app", "", false),
        ("none", "", false),
        ("", "metadata.name=b", false),
    ];
    for (labels, fields, selected) in cases {
        assert_eq!(
            selects(labels, fields, &object),
            selected,
            "{labels} {fields}"
        );
    }
}
