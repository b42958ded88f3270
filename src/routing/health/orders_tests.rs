use std::time::Duration;

use super::*;
use crate::routing::parse_file;

fn name(text: &str) -> EndpointName {
    text.parse().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn order(state: OperatorState) -> Order {
    Order {
        state,
        moves: false,
        since: 7,
        ends: None,
        by: "alice".to_owned(),
        reason: String::new(),
    }
}

fn table() -> RouteTable {
    let text = r#"{"rules": {"game": {"strategy": "round_robin",
        "endpoints": ["blue.example:9", "green.example:9", "nowhere.example:9", "[::1]:9"]}}}"#;
    let data = parse_file(text).unwrap().data.into();
    // One address has two names.
    let addresses = BTreeMap::from([
        (
            name("blue.example:9"),
            vec![address("10.0.0.1:9"), address("10.0.0.2:9")],
        ),
        (
            name("green.example:9"),
            vec![address("10.0.0.2:9"), address("10.0.0.3:9")],
        ),
    ]);
    RouteTable::build(1, &data, &addresses, None)
}

#[test]
fn an_order_for_a_name_is_for_all_its_addresses_and_the_most_severe_counts() {
    let (mut orders, table) = (Orders::default(), table());
    orders
        .give(name("Green.example:9"), order(OperatorState::Drain), None)
        .unwrap();
    orders
        .give(name("[0::1]:9"), order(OperatorState::Drain), None)
        .unwrap();
    orders
        .give(name("10.0.0.2:9"), order(OperatorState::Maintenance), None)
        .unwrap();
    let withdrawn = orders.in_force(Some(&table));
    for (text, state) in [
        ("10.0.0.1:9", OperatorState::Ready),
        ("10.0.0.2:9", OperatorState::Maintenance),
        ("10.0.0.3:9", OperatorState::Drain),
        ("[::1]:9", OperatorState::Drain),
    ] {
        assert_eq!(withdrawn.state(address(text)), state, "{text}");
    }
    // Without the rules an address is as it was, and a name has none.
    let withdrawn = orders.in_force(None);
    let left: Vec<_> = withdrawn.addresses().collect();
    assert_eq!(left, [address("10.0.0.2:9"), address("[::1]:9")]);
    assert!(orders.take_back(&name("green.example:9")).is_some());
    assert_eq!(
        orders.in_force(Some(&table)).state(address("10.0.0.3:9")),
        OperatorState::Ready
    );
}

#[test]
fn what_a_table_knows() {
    let table = table();
    for (text, known) in [
        ("blue.example:9", true),
        ("nowhere.example:9", true),
        ("blue.example:10", false),
        ("10.0.0.3:9", true),
        ("10.0.0.4:9", false),
        ("[::1]:9", true),
    ] {
        assert_eq!(table.knows(&name(text)), known, "{text}");
    }
}

#[test]
fn an_order_ends_at_its_time() {
    let (mut orders, now) = (Orders::default(), Instant::now());
    let ends = Some(now + Duration::from_secs(10));
    let drain = Order {
        ends,
        ..order(OperatorState::Drain)
    };
    orders.give(name("a:1"), drain, None).unwrap();
    orders
        .give(name("b:1"), order(OperatorState::Drain), None)
        .unwrap();
    assert!(orders.sweep(now + Duration::from_secs(9)).is_empty());
    let over = orders.sweep(now + Duration::from_secs(10));
    assert_eq!(
        over.iter()
            .map(|(name, _)| name.to_string())
            .collect::<Vec<_>>(),
        ["a:1"]
    );
    assert!(orders.get(&name("a:1")).is_none() && orders.get(&name("b:1")).is_some());
}

#[test]
fn they_are_bounded_and_those_that_no_rule_needs_give_way() {
    let (mut orders, table) = (Orders::default(), table());
    for number in 0..MAX_ORDERS {
        let vanished = Order {
            since: number as u64,
            ..order(OperatorState::Drain)
        };
        let given = orders.give(name(&format!("gone-{number}:9")), vanished, Some(&table));
        assert_eq!(given, Ok(None));
    }
    orders
        .give(
            name("blue.example:9"),
            order(OperatorState::Drain),
            Some(&table),
        )
        .unwrap();
    assert_eq!(orders.all().count(), MAX_ORDERS);
    assert!(orders.get(&name("gone-0:9")).is_none() && orders.get(&name("gone-1:9")).is_some());
    // The same again needs no room.
    let again = orders.give(
        name("blue.example:9"),
        order(OperatorState::Maintenance),
        None,
    );
    assert!(again.unwrap().is_some());

    let named = (1..=MAX_ORDERS).map(|port| format!("\"10.0.0.1:{port}\""));
    let named: Vec<_> = named.collect();
    let text = format!(
        r#"{{"rules": {{"game": {{"strategy": "round_robin", "endpoints": [{}]}}}}}}"#,
        named.join(", ")
    );
    let data = parse_file(&text).unwrap().data.into();
    let (table, mut orders) = (
        RouteTable::build(1, &data, &BTreeMap::new(), None),
        Orders::default(),
    );
    for port in 1..=MAX_ORDERS {
        let given = orders.give(
            name(&format!("10.0.0.1:{port}")),
            order(OperatorState::Drain),
            Some(&table),
        );
        assert_eq!(given, Ok(None));
    }
    let one_more = orders.give(
        name("10.0.0.2:9"),
        order(OperatorState::Drain),
        Some(&table),
    );
    assert_eq!(one_more, Err(TooManyOrders));
}
