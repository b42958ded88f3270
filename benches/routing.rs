//! Cost of routing: once per session and service, and once per change of the rules.

#![expect(
    missing_docs,
    reason = "criterion's macro makes a public function without any"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use game_gateway::routing::ring::Ring;
use game_gateway::routing::{
    Avoid, HashKey, Query, RouteTable, RoutingData, Rule, StrategyKind, WeightedEndpoint,
};

const ENDPOINTS: u8 = 100;

fn addresses() -> impl Iterator<Item = SocketAddr> {
    (0..ENDPOINTS).map(|host| SocketAddr::from(([10, 0, 0, host], 9000)))
}

fn rule(strategy: StrategyKind, endpoints: usize) -> Rule {
    let endpoint = |address: SocketAddr| WeightedEndpoint {
        address: address.to_string().parse().expect("an address"),
        weight: 1,
    };
    Rule {
        strategy,
        endpoints: addresses().take(endpoints).map(endpoint).collect(),
        hash_key: HashKey::UserId,
        require_bind: false,
        may_bind: None,
        max_connections: None,
        max_sessions: None,
        assignable: Default::default(),
        assignments: None,
    }
}

/// Returns three services of 100 endpoints, and as many others of 3 endpoints as asked for.
fn data(others: usize, realms: u32) -> Arc<RoutingData> {
    let mut data = RoutingData::default();
    for &(name, strategy) in StrategyKind::NAMED {
        data.rules.insert(name.to_owned(), rule(strategy, 100));
    }
    for other in 0..others {
        let (_, strategy) = StrategyKind::NAMED[other % StrategyKind::NAMED.len()];
        data.rules
            .insert(format!("service-{other}"), rule(strategy, 3));
    }
    let realm = |realm: u32| {
        let name = format!("10.1.{}.{}:9000", realm / 256 % 256, realm % 256);
        (realm, name.parse().expect("an address"))
    };
    data.realms = Arc::new((1..=realms).map(realm).collect());
    Arc::new(data)
}

fn resolve(c: &mut Criterion) {
    let table = RouteTable::build(1, &data(0, 10_000), &BTreeMap::new(), None);
    let half_dead: BTreeSet<SocketAddr> = addresses().step_by(2).collect();
    let all_but_one: BTreeSet<SocketAddr> = addresses().skip(1).collect();
    let none_dead = BTreeSet::new();
    let mut group = c.benchmark_group("resolve among 100 endpoints");
    for (service, _) in StrategyKind::NAMED {
        for (what, dead) in [
            ("all up", &none_dead),
            ("half of them down", &half_dead),
            ("one up", &all_but_one),
        ] {
            let mut id = 0_u64;
            group.bench_function(format!("{service}, {what}"), |b| {
                b.iter(|| {
                    id += 1;
                    let query = Query {
                        service,
                        realm_id: (id % 10_000) as u32 + 1,
                        user_id: id,
                        session_id: id,
                    };
                    black_box(table.resolve(
                        &query,
                        &Avoid {
                            dead,
                            ..Avoid::NOTHING
                        },
                    ))
                    .is_ok()
                });
            });
        }
    }
    group.finish();
}

fn ring(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring of 100 endpoints");
    for weight in [1, 100] {
        let endpoints: Vec<_> = addresses().map(|address| (address, weight)).collect();
        let ring = Ring::new(&endpoints);
        let mut key = 0;
        group.bench_function(format!("look-up, weight {weight}"), |b| {
            b.iter(|| {
                key += 1;
                black_box(ring.owner(key))
            });
        });
        group.sample_size(20);
        group.bench_function(format!("build, weight {weight}"), |b| {
            b.iter(|| Ring::new(black_box(&endpoints)));
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let data = data(1_000, 10_000);
    let before = RouteTable::build(1, &data, &BTreeMap::new(), None);
    let mut group = c.benchmark_group("table of 1,003 services and 10,000 realms");
    group.sample_size(10);
    for (what, previous) in [("anew", None), ("from the one before", Some(&before))] {
        group.bench_function(what, |b| {
            b.iter(|| RouteTable::build(2, black_box(&data), &BTreeMap::new(), previous));
        });
    }
    group.finish();
}

criterion_group!(benches, resolve, ring, build);
criterion_main!(benches);
