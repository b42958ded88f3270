//! The differences between two versions of the routing data: all of them counted, and as many named as a
//! reader can use.

use std::cmp::Ordering;
use std::fmt::{self, Display};
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::rules::{AssignmentSource, RoutingData, Rule, WeightedEndpoint};

/// Names of rules and realms in a summary.
const SUMMARY_NAMES: usize = 5;

/// How a rule or a realm differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ChangeKind)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only the new version has it.
    Added,
    /// Only the old version has it.
    Removed,
    /// Both have it, and not the same.
    Changed,
}

impl Kind {
    fn mark(self) -> char {
        match self {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed => '~',
        }
    }
}

/// A rule or a realm that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Differing {
    /// How it differs.
    pub kind: Kind,
    /// The service, or the realm's id.
    #[schema(example = "game")]
    pub name: String,
    /// What was added or removed, or each member that has changed with its old and new value.
    #[schema(example = "endpoints [10.0.0.1:9300] -> [10.0.0.2:9300]")]
    pub detail: String,
}

/// Rules, or realms, that differ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Changes {
    /// Number of those that are new.
    pub added: usize,
    /// Number of those that are gone.
    pub removed: usize,
    /// Number of those that are others.
    pub changed: usize,
    /// The first of all of these in the order of their names or ids.
    pub first: Vec<Differing>,
}

/// All that differs between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Difference {
    /// Rules by service.
    pub rules: Changes,
    /// Realms by id.
    pub realms: Changes,
}

/// Limits of what is named.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rules, and realms.
    pub named: usize,
    /// Characters of one detail.
    pub chars: usize,
}

impl Limits {
    /// Everything.
    pub const NONE: Limits = Limits {
        named: usize::MAX,
        chars: usize::MAX,
    };
}

impl Difference {
    /// Compares two versions; takes a tenth of a second for a million realms.
    pub fn between(old: &RoutingData, new: &RoutingData, limits: Limits) -> Difference {
        let mut rules = Changes::default();
        rules.compare(
            old.rules.iter(),
            new.rules.iter(),
            limits,
            |old, new| match (old, new) {
                (Some(old), Some(new)) => changed_members(old, new),
                (one, other) => one.or(other).map_or_else(String::new, |rule| show(rule)),
            },
        );
        let mut realms = Changes::default();
        if !Arc::ptr_eq(&old.realms, &new.realms) {
            realms.compare(
                old.realms.iter(),
                new.realms.iter(),
                limits,
                |old, new| match (old, new) {
                    (Some(old), Some(new)) => format!("{old} -> {new}"),
                    (one, other) => one.or(other).map_or_else(String::new, |to| to.to_string()),
                },
            );
        }
        Difference { rules, realms }
    }

    /// Returns true if nothing differs that this version of the program knows.
    pub fn is_empty(&self) -> bool {
        self.rules.total() + self.realms.total() == 0
    }

    /// Returns a line for each difference that is named, rules first, and one for those that are not: `+` added,
    /// `-` removed, `~` changed.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, changes) in [("rule", &self.rules), ("realm", &self.realms)] {
            let line = |it: &Differing| {
                let (mark, name, detail) = (it.kind.mark(), &it.name, &it.detail);
                format!("{mark} {what} {name}: {detail}")
            };
            lines.extend(changes.first.iter().map(line));
            let more = changes.total() - changes.first.len();
            if more > 0 {
                lines.push(format!("… and {more} more {what}s: {}", changes.counts()));
            }
        }
        lines
    }
}

/// A summary in one short line: `rules: 1 changed (game); realms: 2 added, 1 removed (7, 8, 9)`.
impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing that this version knows");
        }
        let mut separator = "";
        for (what, changes) in [("rules", &self.rules), ("realms", &self.realms)] {
            if changes.total() == 0 {
                continue;
            }
            let named = changes.first.iter().take(SUMMARY_NAMES);
            let mut names: Vec<&str> = named.map(|it| it.name.as_str()).collect();
            if names.len() < changes.total() {
                names.push("…");
            }
            write!(
                f,
                "{separator}{what}: {} ({})",
                changes.counts(),
                names.join(", ")
            )?;
            separator = "; ";
        }
        Ok(())
    }
}

impl Changes {
    /// Returns how many differ.
    pub fn total(&self) -> usize {
        self.added + self.removed + self.changed
    }

    /// Returns the numbers that are not zero, as text.
    fn counts(&self) -> String {
        let counts = [
            (self.added, "added"),
            (self.removed, "removed"),
            (self.changed, "changed"),
        ];
        let some = counts.iter().filter(|(count, _)| *count > 0);
        let texts: Vec<String> = some.map(|(count, how)| format!("{count} {how}")).collect();
        texts.join(", ")
    }

    /// Compares what comes in the order of its keys.
    fn compare<K: Ord + Display, V: PartialEq>(
        &mut self,
        old: impl Iterator<Item = (K, V)>,
        new: impl Iterator<Item = (K, V)>,
        limits: Limits,
        detail: impl Fn(Option<&V>, Option<&V>) -> String,
    ) {
        let (mut old, mut new) = (old.peekable(), new.peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            let before = old.next_if(|_| order.is_le());
            let after = new.next_if(|_| order.is_ge());
            let (before_it, after_it) =
                (before.as_ref().map(|b| &b.1), after.as_ref().map(|a| &a.1));
            let kind = match (before_it, after_it) {
                (Some(one), Some(other)) if one == other => continue,
                (None, _) => Kind::Added,
                (_, None) => Kind::Removed,
                _ => Kind::Changed,
            };
            match kind {
                Kind::Added => self.added += 1,
                Kind::Removed => self.removed += 1,
                Kind::Changed => self.changed += 1,
            }
            if self.first.len() < limits.named
                && let Some((name, _)) = before.as_ref().or(after.as_ref())
            {
                self.first.push(Differing {
                    kind,
                    name: name.to_string(),
                    detail: shortened(detail(before_it, after_it), limits.chars),
                });
            }
        }
    }
}

fn shortened(mut text: String, chars: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Returns a rule's members by name, as text.
fn members(rule: &Rule) -> Vec<(&'static str, String)> {
    let endpoint = |e: &WeightedEndpoint| match e.weight {
        1 => e.address.to_string(),
        weight => format!("{}*{weight}", e.address),
    };
    let endpoints: Vec<String> = rule.endpoints.iter().map(endpoint).collect();
    let number = |limit: Option<u32>| limit.map_or("none".to_owned(), |n| n.to_string());
    let assignable: Vec<String> = rule.assignable.iter().map(ToString::to_string).collect();
    let assignments = rule.assignments.map_or("none", AssignmentSource::name);
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
        ("assignable", format!("[{}]", assignable.join(", "))),
        ("assignments", assignments.to_owned()),
    ]
}

fn show(rule: &Rule) -> String {
    let members = members(rule);
    format!("{} {}", members[0].1, members[1].1)
}

fn changed_members(old: &Rule, new: &Rule) -> String {
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

    fn data(text: &str) -> RoutingData {
        parse_file(text).unwrap().data
    }

    fn two() -> (RoutingData, RoutingData) {
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
        (old, new)
    }

    #[test]
    fn what_was_added_removed_and_changed() {
        let (old, new) = two();
        let expected = [
            "- rule a: round_robin [h:1]",
            "~ rule b: endpoints [h:2] -> [h:2*3], hash_key user_id -> realm_id, max_connections none -> 4, \
             max_sessions none -> 5",
            "+ rule c: realm_based []",
            "- realm 2: h:1",
            "+ realm 3: h:3",
            "~ realm 10: h:1 -> h:2",
        ];
        let difference = Difference::between(&old, &new, Limits::NONE);
        assert_eq!(difference.lines(), expected);
        assert_eq!(
            difference.to_string(),
            "rules: 1 added, 1 removed, 1 changed (a, b, c); realms: 1 added, 1 removed, 1 changed (2, 3, 10)"
        );
        assert!(Difference::between(&new, &new, Limits::NONE).is_empty());
    }

    #[test]
    fn what_is_not_named_is_counted() {
        let (old, new) = two();
        let limits = Limits {
            named: 1,
            chars: 11,
        };
        let expected = [
            "- rule a: round_robin…",
            "… and 2 more rules: 1 added, 1 removed, 1 changed",
            "- realm 2: h:1",
            "… and 2 more realms: 1 added, 1 removed, 1 changed",
        ];
        let difference = Difference::between(&old, &new, limits);
        assert_eq!(difference.lines(), expected);
        assert_eq!(
            difference.to_string(),
            "rules: 1 added, 1 removed, 1 changed (a, …); realms: 1 added, 1 removed, 1 changed (2, …)"
        );
        let empty = RoutingData::default();
        let all_gone = Difference::between(&old, &empty, limits);
        assert_eq!((all_gone.rules.removed, all_gone.realms.removed), (3, 3));
        assert_eq!(
            Difference::between(&empty, &empty, limits).to_string(),
            "nothing that this version knows"
        );
    }
}
