//! Answers of a table where endpoints are full, or return.

use std::collections::HashMap as Counts;

use super::tests::{THREE, address, realm, rule, table, user};
use super::*;
use crate::routing::health::{OperatorState, Order, Orders};

#[test]
fn one_that_returns_gets_less_than_its_turns() {
    let table = rule("round_robin", THREE);
    let two = address("10.0.0.2:9");
    for (share, expected) in [(10, 40..=46), (50, 170..=190)] {
        let returning = &BTreeMap::from([(two, share)]);
        let avoid = Avoid {
            returning,
            ..Avoid::NOTHING
        };
        let mut counts: Counts<SocketAddr, usize> = Counts::new();
        for id in 0..900 {
            let route = table.resolve(&user(id), &avoid).unwrap();
            *counts.entry(route.endpoint).or_default() += 1;
        }
        assert!(expected.contains(&counts[&two]), "{share}: {counts:?}");
    }
    // There is nobody else.
    let (dead, returning) = (
        &BTreeSet::from([address("10.0.0.1:9"), address("10.0.0.3:9")]),
        &BTreeMap::from([(two, 10)]),
    );
    let avoid = Avoid {
        dead,
        returning,
        ..Avoid::NOTHING
    };
    for id in 0..100 {
        assert_eq!(table.resolve(&user(id), &avoid).unwrap().endpoint, two);
    }
}

#[test]
fn what_is_full_is_never_the_answer() {
    let [one, two, three] = [1, 2, 3].map(|n| address(&format!("10.0.0.{n}:9")));
    for strategy in ["round_robin", "consistent_hash"] {
        let table = rule(strategy, THREE);
        let ask = |full: &[SocketAddr], dead: &[SocketAddr], tried: &[SocketAddr]| {
            let set = |list: &[SocketAddr]| list.iter().copied().collect::<BTreeSet<_>>();
            let (full, dead) = (&set(full), &set(dead));
            let avoid = Avoid {
                tried,
                full,
                dead,
                ..Avoid::NOTHING
            };
            let answers = (1..100).map(|id| table.resolve(&user(id), &avoid));
            let answers: Result<BTreeSet<_>, _> =
                answers.map(|route| Ok(route?.endpoint)).collect();
            answers.map(Vec::from_iter)
        };
        assert_eq!(ask(&[two], &[], &[]), Ok(vec![one, three]));
        // Rather one that seems down than one that must not have it.
        assert_eq!(ask(&[one, two], &[three], &[]), Ok(vec![three]));
        let nothing = Err(NoRoute::AllFull);
        assert_eq!(ask(&[one, two, three], &[], &[]), nothing);
        assert_eq!(ask(&[one, two], &[three], &[three]), nothing);
        assert_eq!(ask(&[], &[], &[one, two, three]), Err(NoRoute::AllTried));
    }
    let table =
        table(r#"{"rules": {"s": {"strategy": "realm_based"}}, "realms": {"7": "10.0.0.1:9"}}"#);
    let full = &BTreeSet::from([one]);
    let avoid = Avoid {
        full,
        ..Avoid::NOTHING
    };
    let answer = table.resolve(&realm(7), &avoid).map(|route| route.endpoint);
    assert_eq!(answer, Err(NoRoute::AllFull));
}

#[test]
fn what_is_withdrawn_is_never_the_answer_and_others_users_stay() {
    let [one, two, three] = [1, 2, 3].map(|n| address(&format!("10.0.0.{n}:9")));
    let mut orders = Orders::default();
    let mut withdraw = |endpoint: SocketAddr| {
        let order = Order {
            state: OperatorState::Drain,
            moves: false,
            since: 0,
            ends: None,
            by: String::new(),
            reason: String::new(),
        };
        let name = endpoint.to_string().parse().unwrap();
        orders.give(name, order, None).unwrap();
        orders.in_force(None)
    };
    let withdrawn = [two, one, three].map(&mut withdraw);
    let hash = rule("consistent_hash", THREE);
    for id in 1..200 {
        let own = hash.resolve(&user(id), &Avoid::NOTHING).unwrap().endpoint;
        let avoid = Avoid {
            withdrawn: &withdrawn[0],
            ..Avoid::NOTHING
        };
        let route = hash.resolve(&user(id), &avoid).unwrap();
        assert_eq!(route.endpoint == own, own != two, "{id}");
        assert_ne!(route.endpoint, two);
        // One that seems down is still better, and nobody is.
        let avoid = Avoid {
            withdrawn: &withdrawn[1],
            dead: &BTreeSet::from([three]),
            ..avoid
        };
        assert_eq!(hash.resolve(&user(id), &avoid).unwrap().endpoint, three);
        let avoid = Avoid {
            withdrawn: &withdrawn[2],
            ..avoid
        };
        for table in [&hash, &rule("round_robin", THREE)] {
            let error = table.resolve(&user(id), &avoid).unwrap_err();
            assert_eq!(error, NoRoute::AllWithdrawn);
        }
    }
}
