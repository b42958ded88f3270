//! The kinds of patches: JSON merge (RFC 7386), strategic merge as Helm 3 and kubectl send it, and
//! server-side apply as Helm 4 does.

use serde_json::{Map, Value};

/// Applies a merge patch (RFC 7386).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    let target = object(target);
    for (field, value) in patch {
        match value {
            Value::Null => drop(target.remove(field)),
            value => merge(target.entry(field.as_str()).or_insert(Value::Null), value),
        }
    }
}

/// Applies a merge patch in which the lists that Kubernetes merges are merged by their keys.
pub(crate) fn strategic(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch").is_some_and(|how| how == "replace") {
        *target = Value::Object(plain(patch));
        return;
    }
    let target = object(target);
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|field, _| kept.iter().any(|one| one == field));
    }
    for (field, value) in plain(patch) {
        let old = target.entry(field.as_str()).or_insert(Value::Null);
        match (&value, merge_key(&field, &value)) {
            (Value::Null, _) => drop(target.remove(&field)),
            (Value::Array(items), Some(key)) => strategic_list(array(old), items, key),
            _ => strategic(old, &value),
        }
    }
    for (directive, values) in patch {
        let values = values.as_array().map_or(&[][..], Vec::as_slice);
        if let Some(field) = directive.strip_prefix("$deleteFromPrimitiveList/") {
            let list = target.get_mut(field).and_then(Value::as_array_mut);
            list.into_iter()
                .for_each(|list| list.retain(|one| !values.contains(one)));
        }
        if let Some(field) = directive.strip_prefix("$setElementOrder/") {
            let list = target.get_mut(field).and_then(Value::as_array_mut);
            list.into_iter()
                .for_each(|list| set_order(list, values, field));
        }
    }
}

fn strategic_list(list: &mut Vec<Value>, items: &[Value], key: &str) {
    for item in items {
        let place = list.iter().position(|old| old[key] == item[key]);
        match (item["$patch"] == "delete", place) {
            (true, Some(place)) => drop(list.remove(place)),
            (true, None) => {}
            (false, Some(place)) => strategic(&mut list[place], item),
            (false, None) => list.push(item.clone()),
        }
    }
}

fn set_order(list: &mut [Value], order: &[Value], field: &str) {
    let key = order
        .first()
        .and_then(|first| merge_key(field, &Value::Array(vec![first.clone()])));
    list.sort_by_key(|item| {
        order.iter().position(|one| match key {
            Some(key) => one[key] == item[key],
            None => one == item,
        })
    });
}

/// Makes `live` what `wanted` says, and takes away what the same field manager wanted `before` and
/// does not any more.
pub(crate) fn apply(live: &mut Value, before: &Value, wanted: &Value) {
    let Some(wanted) = wanted.as_object() else {
        *live = wanted.clone();
        return;
    };
    let live = object(live);
    for field in before.as_object().into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(field) {
            live.remove(field);
        }
    }
    for (field, value) in wanted {
        let old = live.entry(field.as_str()).or_insert(Value::Null);
        match (value, merge_key(field, value)) {
            (Value::Array(items), Some(key)) => apply_list(array(old), &before[field], items, key),
            _ => apply(old, &before[field], value),
        }
    }
}

/// Applies a list. Applied entries come first in their own order, those of other managers after them.
fn apply_list(live: &mut Vec<Value>, before: &Value, items: &[Value], key: &str) {
    let before = before.as_array().map_or(&[][..], Vec::as_slice);
    let mut there = std::mem::take(live);
    for item in items {
        let old = before.iter().find(|old| old[key] == item[key]);
        let place = there.iter().position(|one| one[key] == item[key]);
        let mut one = place.map_or(Value::Null, |place| there.remove(place));
        apply(&mut one, old.unwrap_or(&Value::Null), item);
        live.push(one);
    }
    there.retain(|one| before.iter().all(|old| old[key] != one[key]));
    live.append(&mut there);
}

/// Returns the fields that `wanted` would change although another manager has set them, outside of lists.
pub(crate) fn conflicts(live: &Value, theirs: &Value, wanted: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (field, value) in wanted.as_object().into_iter().flatten() {
        match &theirs[field] {
            Value::Null => {}
            Value::Object(_) => {
                let below = conflicts(&live[field], &theirs[field], value);
                found.extend(below.iter().map(|rest| format!(".{field}{rest}")));
            }
            _ if live[field] != *value => found.push(format!(".{field}")),
            _ => {}
        }
    }
    found
}

/// Returns the merge key of a list field; none if the list is replaced as a whole.
fn merge_key(field: &str, list: &Value) -> Option<&'static str> {
    match field {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "conditions" => Some("type"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "ownerReferences" => Some("uid"),
        "ports" if list[0].get("containerPort").is_some() => Some("containerPort"),
        "ports" if list[0].get("port").is_some() => Some("port"),
        _ => None,
    }
}

/// Returns the patch without directives.
fn plain(patch: &Map<String, Value>) -> Map<String, Value> {
    let fields = patch.iter().filter(|(field, _)| !field.starts_with('$'));
    fields
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made above")
}

fn array(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("made above")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_merge_keeps_what_it_does_not_name() {
        let mut pod = json!({
            "volumes": [{ "name": "a", "secret": { "x": 1 } }, { "name": "b" }],
            "containers": [{ "name": "c", "args": ["1"], "env": [{ "name": "E", "value": "1" }] }],
        });
        let patch = json!({
            "$setElementOrder/volumes": [{ "name": "d" }, { "name": "a" }],
            "volumes": [
                { "name": "b", "$patch": "delete" },
                { "name": "d" },
                { "name": "a", "$retainKeys": ["name", "configMap"], "configMap": {} },
            ],
            "containers": [{ "name": "c", "args": ["2"], "image": "i" }],
        });
        strategic(&mut pod, &patch);
        let expected = json!({
            "volumes": [{ "name": "d" }, { "name": "a", "configMap": {} }],
            "containers": [{
                "name": "c", "args": ["2"], "image": "i", "env": [{ "name": "E", "value": "1" }],
            }],
        });
        assert_eq!(pod, expected);
    }

    #[test]
    fn an_apply_takes_away_only_its_own() {
        let before = json!({ "data": { "a": "1", "b": "1" }, "env": [{ "name": "X" }] });
        let mut live = json!({
            "data": { "a": "1", "b": "1", "theirs": "1" },
            "env": [{ "name": "X" }, { "name": "THEIRS" }, { "name": "Z", "value": "kept" }],
        });
        let wanted = json!({ "data": { "a": "2" }, "env": [{ "name": "Y" }, { "name": "Z" }] });
        apply(&mut live, &before, &wanted);
        let expected = json!({
            "data": { "a": "2", "theirs": "1" },
            "env": [{ "name": "Y" }, { "name": "Z", "value": "kept" }, { "name": "THEIRS" }],
        });
        assert_eq!(live, expected);
    }

    #[test]
    fn who_scales_owns_the_replicas() {
        let live = json!({ "spec": { "replicas": 5, "paused": false } });
        let theirs = json!({ "spec": { "replicas": 5 } });
        let wanted = |replicas| json!({ "spec": { "replicas": replicas, "paused": true } });
        assert_eq!(conflicts(&live, &theirs, &wanted(3)), [".spec.replicas"]);
        assert!(conflicts(&live, &theirs, &wanted(5)).is_empty());
    }
}
