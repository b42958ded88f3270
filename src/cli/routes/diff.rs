//! The differences between two versions of the routing data, a line each.

use std::collections::BTreeMap;

use crate::routing::{RoutingData, Rule};

/// Returns the differences, rules first, each in the order of its name: `+` added, `-` removed, `~`
/// changed.
pub(super) fn differences(old: &RoutingData, new: &RoutingData) -> Vec<String> {
    let mut lines = Vec::new();
    compare(
        &old.rules,
        &new.rules,
        &mut lines,
        |mark, name, rules| match rules {
            (Some(old), Some(new)) => format!("{mark} rule {name}: {}", changes(old, new)),
            (Some(rule), None) | (None, Some(rule)) => {
                format!("{mark} rule {name}: {}", show(rule))
            }
            (None, None) => String::new(),
        },
    );
    compare(
        &old.realms.iter().collect(),
        &new.realms.iter().collect(),
        &mut lines,
        |mark, id, places| match places {
            (Some(old), Some(new)) => format!("{mark} realm {id}: {old} -> {new}"),
            (Some(place), None) | (None, Some(place)) => format!("{mark} realm {id}: {place}"),
            (None, None) => String::new(),
        },
    );
    lines
}

fn compare<K: Ord, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    lines: &mut Vec<String>,
    line: impl Fn(char, &K, (Option<&V>, Option<&V>)) -> String,
) {
    let added = new.keys().filter(|key| !old.contains_key(key));
    let mut keys: Vec<&K> = old.keys().chain(added).collect();
    keys.sort();
    for key in keys {
        let values = (old.get(key), new.get(key));
        let mark = match values {
            (old, new) if old == new => continue,
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        lines.push(line(mark, key, values));
    }
}

/// Returns a rule's members by name, as text.
fn members(rule: &Rule) -> Vec<(&'static str, String)> {
    let endpoint = |e: &crate::routing::rules::WeightedEndpoint| match e.weight {
        1 => e.address.to_string(),
        weight => format!("{}*{weight}", e.address),
    };
    let endpoints: Vec<String> = rule.endpoints.iter().map(endpoint).collect();
    let number = |limit: Option<u32>| limit.map_or("none".to_owned(), |n| n.to_string());
    vec![
        ("strategy", rule.strategy.to_string()),
        ("endpoints", format!("[{}]", endpoints.join(", "))),
        ("hash_key", rule.hash_key.to_string()),
        ("require_bind", rule.require_bind.to_string()),
        (
            "may_bind",
            rule.may_bind
                .map_or("none".to_owned(), |may| may.to_string()),
        ),
        ("max_connections", number(rule.max_connections)),
        ("max_sessions", number(rule.max_sessions)),
    ]
}

fn show(rule: &Rule) -> String {
    let members = members(rule);
    format!("{} {}", members[0].1, members[1].1)
}

fn changes(old: &Rule, new: &Rule) -> String {
    let both = members(old).into_iter().zip(members(new));
    let changed = both.filter(|(old, new)| old != new);
    let texts: Vec<String> = changed
        .map(|((name, old), (_, new))| format!("{name} {old} -> {new}"))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::parse_file;

    #[test]
    fn what_was_added_removed_and_changed() {
        let data = |text| parse_file(text).unwrap().data;
        let old = data(
            r#"{"rules":{"a":{"strategy":"round_robin","endpoints":["h:1"]},
                "b":{"strategy":"consistent_hash","endpoints":["h:2"]},
                "same":{"strategy":"realm_based"}},
                "realms":{"1":"h:1","10":"h:1","2":"h:1"}}"#,
        );
        let new = data(
            r#"{"rules":{"b":{"strategy":"consistent_hash","hash_key":"realm_id",
                "endpoints":[{"address":"h:2","weight":3}],"max_connections":4,"max_sessions":5},
                "c":{"strategy":"realm_based"},
                "same":{"strategy":"realm_based"}},
                "realms":{"1":"h:1","10":"h:2","3":"h:3"}}"#,
        );
        let expected = [
            "- rule a: round_robin [h:1]",
            "~ rule b: endpoints [h:2] -> [h:2*3], hash_key user_id -> realm_id, max_connections none -> 4, \
             max_sessions none -> 5",
            "+ rule c: realm_based []",
            "- realm 2: h:1",
            "+ realm 3: h:3",
            "~ realm 10: h:1 -> h:2",
        ];
        assert_eq!(differences(&old, &new), expected);
        assert!(differences(&new, &new).is_empty());
    }
}
