//! Small traces by hand: good ones, and for each rule one that breaks it.

mod crossings;
mod good;
mod moves;
mod resumes;
mod single;
mod trace;

use super::rules::{ALL, Rule};
use trace::Trace;

/// A trace that breaks a rule.
type Bad = (&'static Rule, fn(&mut Trace));

#[test]
fn every_rule_can_be_broken() {
    let bad = || single::BAD.iter().chain(resumes::BAD).chain(moves::BAD);
    for (rule, breaks) in bad() {
        let mut trace = Trace::new();
        breaks(&mut trace);
        let found = trace.finish().err().map(|violation| violation.rule);
        assert_eq!(found, Some(rule.name));
    }
    for rule in ALL {
        assert!(
            bad().any(|(broken, _)| broken.name == rule.name),
            "no trace breaks {:?}",
            rule.name
        );
    }
}

#[test]
fn rules_have_names_of_their_own() {
    for (at, rule) in ALL.iter().enumerate() {
        assert!(ALL[at + 1..].iter().all(|other| other.name != rule.name));
    }
}
