//! The answers of a table.

use super::*;
use crate::routing::{Standing, StrategyKind, parse_file};
use std::collections::HashMap as Counts;

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn data(text: &str) -> Arc<RoutingData> {
    Arc::new(parse_file(text).unwrap().data)
}

pub(super) fn table(text: &str) -> RouteTable {
    RouteTable::build(1, &data(text), &BTreeMap::new(), None)
}

/// Returns the table of one rule for the service `s`.
pub(super) fn rule(strategy: &str, endpoints: &str) -> RouteTable {
    table(&format!(
        r#"{{"rules": {{"s": {{"strategy": "{strategy}", "endpoints": [{endpoints}]}}}}}}"#
    ))
}

pub(super) fn user(user_id: u64) -> Query<'static> {
    Query {
        service: "s",
        realm_id: 0,
        user_id,
        session_id: 99,
    }
}

pub(super) fn realm(realm_id: u32) -> Query<'static> {
    Query {
        realm_id,
        ..user(1)
    }
}

pub(super) const THREE: &str = r#""10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9""#;

#[test]
fn a_table_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<RouteTable>();
    shared::<Route>();
}

#[test]
fn what_a_service_is() {
    let table = table(
        r#"{"rules": {"b": {"strategy": "round_robin", "endpoints": ["10.0.0.2:9", "10.0.0.1:9"],
            "require_bind": true, "max_connections": 7}, "a": {"strategy": "realm_based"}}}"#,
    );
    let names: Vec<&str> = table.services().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);
    let service = table.service("b").unwrap();
    assert_eq!(&*service.name, "b");
    assert_eq!(service.strategy(), StrategyKind::RoundRobin);
    assert!(service.require_bind);
    assert_eq!(service.max_connections, Some(7));
    assert_eq!(
        service.endpoints(),
        [address("10.0.0.1:9"), address("10.0.0.2:9")]
    );
    assert_eq!(table.version(), 1);
    assert_eq!(table.data().rules.len(), 2);
}

#[test]
fn what_is_probed_and_in_which_order() {
    let table = table(
        r#"{"rules": {
            "a": {"strategy": "realm_based", "endpoints": ["10.0.0.9:9"]},
            "b": {"strategy": "round_robin", "endpoints": ["10.0.0.2:9", "10.0.0.1:9"], "max_connections": 2},
            "c": {"strategy": "consistent_hash", "endpoints": ["10.0.0.1:9", "10.0.0.2:9"], "max_connections": 1}},
            "realms": {"1": "10.0.0.4:9", "2": "10.0.0.3:9", "3": "10.0.0.4:9"}}"#,
    );
    let probed = table.probed().map(|(service, to)| (&*service.name, to));
    let expected = [("b", 1), ("b", 2), ("a", 3), ("a", 4)];
    assert!(probed.eq(expected.map(|(name, n)| (name, address(&format!("10.0.0.{n}:9"))))));
}

#[test]
fn no_rule_no_realm_no_address() {
    let table = table(
        r#"{"rules": {
            "s": {"strategy": "realm_based"},
            "turns": {"strategy": "round_robin", "endpoints": ["nowhere:9"]},
            "hash": {"strategy": "consistent_hash", "endpoints": ["nowhere:9"]}},
            "realms": {"1": "10.0.0.1:9", "2": "nowhere:9"}}"#,
    );
    let ask = |service, realm_id| {
        let query = Query {
            service,
            ..realm(realm_id)
        };
        table
            .resolve(&query, &Avoid::NOTHING)
            .map(|route| route.endpoint)
    };
    assert_eq!(ask("other", 1), Err(NoRoute::NoRule));
    assert_eq!(ask("s", 0), Err(NoRoute::NoRealm(0)));
    assert_eq!(ask("s", 3), Err(NoRoute::NoRealm(3)));
    assert_eq!(ask("s", 2), Err(NoRoute::Unresolved));
    assert_eq!(ask("turns", 1), Err(NoRoute::Unresolved));
    assert_eq!(ask("hash", 1), Err(NoRoute::Unresolved));
    assert_eq!(ask("s", 1), Ok(address("10.0.0.1:9")));
}

#[test]
fn a_realm_is_at_its_endpoint() {
    let text = r#"{"rules": {"s": {"strategy": "realm_based"}},
        "realms": {"1": "10.0.0.1:9", "2": "two:9"}}"#;
    let two = vec![address("10.0.0.3:9"), address("10.0.0.2:9")];
    let addresses = BTreeMap::from([("two:9".parse().unwrap(), two)]);
    let table = RouteTable::build(1, &data(text), &addresses, None);
    let [one, first, second] = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9"].map(address);
    let none = BTreeSet::new();
    let dead = BTreeSet::from([one, first]);
    let ask = |realm_id, tried: &[SocketAddr], dead: &BTreeSet<SocketAddr>| {
        let route = table.resolve(
            &realm(realm_id),
            &Avoid {
                tried,
                dead,
                ..Avoid::NOTHING
            },
        )?;
        Ok((route.endpoint, route.why.to_string()))
    };
    let answer = |endpoint, why: &str| Ok((endpoint, why.to_owned()));
    assert_eq!(ask(1, &[], &none), answer(one, "realm_based, realm 1"));
    let last = "realm_based, realm 1; down, but nothing else is left";
    assert_eq!(ask(1, &[], &dead), answer(one, last));
    assert_eq!(ask(1, &[one], &none), Err(NoRoute::AllTried));
    assert_eq!(ask(2, &[], &none), answer(first, "realm_based, realm 2"));
    let next = "realm_based, realm 2; address 10.0.0.2:9 is down, next address";
    assert_eq!(ask(2, &[], &dead), answer(second, next));
    assert_eq!(ask(2, &[second, first], &none), Err(NoRoute::AllTried));
}

#[test]
fn turns_are_even_over_all_threads() {
    const THREADS: usize = 4;
    const EACH: usize = 3_000;
    let table = rule(
        "round_robin",
        r#""10.0.0.1:9", {"address": "10.0.0.2:9", "weight": 2}"#,
    );
    let ask = || {
        let ask = |_| table.resolve(&user(1), &Avoid::NOTHING).unwrap().endpoint;
        (0..EACH).map(ask).collect::<Vec<SocketAddr>>()
    };
    let mut counts: Counts<SocketAddr, usize> = Counts::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        for endpoint in threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
        {
            *counts.entry(endpoint).or_default() += 1;
        }
    });
    assert_eq!(counts[&address("10.0.0.1:9")], THREADS * EACH / 3);
    assert_eq!(counts[&address("10.0.0.2:9")], THREADS * EACH * 2 / 3);
}

#[test]
fn turns_go_on_in_the_next_table() {
    let first = rule("round_robin", THREE);
    let ask = |table: &RouteTable| table.resolve(&user(1), &Avoid::NOTHING).unwrap().endpoint;
    assert_eq!(ask(&first), address("10.0.0.1:9"));
    let second = RouteTable::build(2, first.data(), &BTreeMap::new(), Some(&first));
    assert_eq!(second.version(), 2);
    assert_eq!(ask(&second), address("10.0.0.2:9"));
    assert_eq!(ask(&first), address("10.0.0.3:9"));
    assert_eq!(ask(&second), address("10.0.0.1:9"));
}

#[test]
fn what_was_tried_or_is_down_is_avoided() {
    let [one, two, three] = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9"].map(address);
    for strategy in ["round_robin", "consistent_hash"] {
        let table = rule(strategy, THREE);
        let ask = |tried: &[SocketAddr], dead: &[SocketAddr]| {
            let dead = dead.iter().copied().collect();
            let mut seen = BTreeSet::new();
            for id in 1..60 {
                let route = table.resolve(
                    &user(id),
                    &Avoid {
                        tried,
                        dead: &dead,
                        ..Avoid::NOTHING
                    },
                )?;
                let last = route.why.standing == Standing::LastResort;
                seen.insert((route.endpoint, last));
            }
            Ok(Vec::from_iter(seen))
        };
        assert_eq!(
            ask(&[], &[]),
            Ok(vec![(one, false), (two, false), (three, false)])
        );
        assert_eq!(ask(&[two], &[]), Ok(vec![(one, false), (three, false)]));
        assert_eq!(ask(&[], &[two]), Ok(vec![(one, false), (three, false)]));
        assert_eq!(ask(&[one], &[two]), Ok(vec![(three, false)]));
        assert_eq!(
            ask(&[one], &[two, three]),
            Ok(vec![(two, true), (three, true)])
        );
        assert_eq!(ask(&[one, two, three], &[]), Err(NoRoute::AllTried));
    }
}

#[test]
fn only_the_users_of_the_dead_one_move_and_come_back() {
    let table = rule("consistent_hash", THREE);
    let gone = address("10.0.0.2:9");
    let dead = BTreeSet::from([gone]);
    let avoid = Avoid {
        dead: &dead,
        ..Avoid::NOTHING
    };
    let mut moved = 0;
    for id in 1..1_000 {
        let home = table.resolve(&user(id), &Avoid::NOTHING).unwrap();
        let now = table.resolve(&user(id), &avoid).unwrap();
        if home.endpoint == gone {
            moved += 1;
            let why =
                format!("consistent_hash on user_id {id}; owner {gone} is down, next on the ring");
            assert_eq!(now.why.to_string(), why);
            assert_ne!(now.endpoint, gone);
        } else {
            assert_eq!(now.endpoint, home.endpoint);
            assert_eq!(now.why, home.why);
        }
    }
    assert!((200..500).contains(&moved), "{moved}");
}

#[test]
fn a_hash_key_of_zero_falls_back_to_the_session() {
    let ask = |key: &str, query: Query<'_>| {
        let text = format!(
            r#"{{"rules": {{"s": {{"strategy": "consistent_hash", "hash_key": "{key}",
                "endpoints": [{THREE}]}}}}}}"#
        );
        table(&text)
            .resolve(&query, &Avoid::NOTHING)
            .unwrap()
            .why
            .to_string()
    };
    let all = Query {
        service: "s",
        realm_id: 7,
        user_id: 8,
        session_id: 9,
    };
    let only = Query {
        realm_id: 0,
        user_id: 0,
        ..all
    };
    assert_eq!(ask("user_id", all), "consistent_hash on user_id 8");
    assert_eq!(ask("realm_id", all), "consistent_hash on realm_id 7");
    assert_eq!(ask("session_id", all), "consistent_hash on session_id 9");
    assert_eq!(
        ask("user_id", only),
        "consistent_hash on session_id 9 (user_id is 0)"
    );
    assert_eq!(
        ask("realm_id", only),
        "consistent_hash on session_id 9 (realm_id is 0)"
    );
    assert_eq!(ask("session_id", only), "consistent_hash on session_id 9");
}

#[test]
fn a_name_of_several_addresses_is_several_endpoints() {
    let text = r#"{"rules": {"s": {"strategy": "round_robin", "endpoints":
        [{"address": "two:9", "weight": 2}, "10.0.0.3:9", "three:9"]}}}"#;
    let two = vec![address("10.0.0.2:9"), address("10.0.0.1:9")];
    let addresses = BTreeMap::from([
        ("two:9".parse().unwrap(), two),
        ("three:9".parse().unwrap(), vec![address("10.0.0.3:9")]),
    ]);
    let table = RouteTable::build(1, &data(text), &addresses, None);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..10 {
        let route = table.resolve(&user(1), &Avoid::NOTHING).unwrap();
        *counts.entry(route.endpoint.to_string()).or_default() += 1;
    }
    let expected = [("10.0.0.1:9", 4), ("10.0.0.2:9", 4), ("10.0.0.3:9", 2)];
    assert_eq!(
        counts,
        BTreeMap::from(expected.map(|(a, n)| (a.to_owned(), n)))
    );
}

#[test]
fn gateways_agree_whatever_the_order_and_the_history() {
    let backwards = r#""10.0.0.3:9", "10.0.0.2:9", "10.0.0.1:9""#;
    let (one, other) = (
        rule("consistent_hash", THREE),
        rule("consistent_hash", backwards),
    );
    let later = RouteTable::build(2, one.data(), &BTreeMap::new(), Some(&other));
    for id in 1..500 {
        let ask = |table: &RouteTable| table.resolve(&user(id), &Avoid::NOTHING).unwrap().endpoint;
        assert_eq!(ask(&one), ask(&other));
        assert_eq!(ask(&one), ask(&later));
    }
}

#[test]
fn a_ring_is_not_carried_over_to_other_endpoints_or_weights() {
    let old = rule("consistent_hash", r#""10.0.0.1:9", "10.0.0.2:9""#);
    for endpoints in [
        THREE,
        r#""10.0.0.1:9", {"address": "10.0.0.2:9", "weight": 9}"#,
    ] {
        let fresh = rule("consistent_hash", endpoints);
        let after = RouteTable::build(2, fresh.data(), &BTreeMap::new(), Some(&old));
        for id in 1..500 {
            let ask =
                |table: &RouteTable| table.resolve(&user(id), &Avoid::NOTHING).unwrap().endpoint;
            assert_eq!(ask(&after), ask(&fresh));
        }
    }
}

#[test]
fn which_endpoints_are_named() {
    let table = table(
        r#"{"rules": {"s": {"strategy": "realm_based"},
            "t": {"strategy": "round_robin", "endpoints": ["10.0.0.1:9"]}},
            "realms": {"1": "10.0.0.2:9"}}"#,
    );
    let [by_rule, by_realm, by_none] = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9"].map(address);
    assert!(table.names(by_rule) && table.names(by_realm) && !table.names(by_none));
    assert!(table.names_for("t", by_rule) && !table.names_for("t", by_realm));
    assert!(table.names_for("s", by_realm) && !table.names_for("s", by_rule));
    assert!(!table.names_for("other", by_rule));
}

#[test]
fn a_thousand_services_and_ten_thousand_realms() {
    let mut data = RoutingData::default();
    let sample = rule("consistent_hash", THREE).data().rules["s"].clone();
    for service in 0..1_000 {
        data.rules
            .insert(format!("service-{service}"), sample.clone());
    }
    let name = |id| format!("10.1.{}.{}:9", id / 256, id % 256).parse().unwrap();
    data.realms = Arc::new((1..=10_000_u32).map(|id| (id, name(id))).collect());
    let text = serde_json::to_string_pretty(&data).unwrap();
    let parsed = parse_file(&text).unwrap();
    assert_eq!(parsed.data, data);
    let table = RouteTable::build(1, &parsed.data.into(), &BTreeMap::new(), None);
    assert_eq!(table.services().count(), 1_000);
    assert!(table.names(address("10.1.39.16:9")));
}

#[test]
fn names_without_an_address_are_known_by_service() {
    let table = table(
        r#"{"rules": {
            "a": {"strategy": "round_robin", "endpoints": ["one.invalid:1", "10.0.0.1:1"]},
            "b": {"strategy": "realm_based", "endpoints": ["two.invalid:2"]},
            "c": {"strategy": "realm_based"}
        }, "realms": {"1": "two.invalid:2", "2": "10.0.0.1:1", "3": "three.invalid:3", "4": "three.invalid:3"}}"#,
    );
    let names = table
        .unresolved()
        .map(|(service, name)| format!("{} {name}", service.name));
    let expected = [
        "a one.invalid:1",
        "b two.invalid:2",
        "b three.invalid:3",
        "c two.invalid:2",
        "c three.invalid:3",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}
