//! Many notifications, much data, and how long a change takes.

use std::collections::HashSet;
use std::time::Instant;

use crate::stage::{
    REALMS, RULES, game_at, named, notify, ready, set_rules, unready, until_at, until_ready,
    until_realm_at, visit, wait_for_subscriber,
};
use crate::support::health::Health;
use crate::support::redis::RedisServer;

const LOADS: &str = "game_gateway_routes_loads_total";

#[tokio::test]
async fn a_thousand_notifications_are_few_reads() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let before = gateway.metric(LOADS).await;
    let channel = format!("{RULES}:notify");
    let mut connection = redis.connection();
    for number in 1..=1000 {
        let rules = if number == 1000 {
            game_at(b)
        } else {
            game_at(a)
        };
        connection.send(&["SET", RULES, &rules]).expect("sent");
        connection.send(&["PUBLISH", &channel, ""]).expect("sent");
    }
    for _ in 0..2000 {
        connection.reply().expect("a reply");
    }
    until_at(&gateway, "b").await;
    let loads = gateway.metric(LOADS).await - before;
    assert!((1..50).contains(&loads), "{loads} reads");
}

#[tokio::test]
async fn ten_thousand_realms_and_a_thousand_services() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    let rules: Vec<String> = (0..1000)
        .map(|n| match n % 3 {
            0 => format!(r#""s{n}":{{"strategy":"realm_based"}}"#),
            1 => format!(r#""s{n}":{{"strategy":"round_robin","endpoints":["{a}"]}}"#),
            _ => format!(r#""s{n}":{{"strategy":"consistent_hash","endpoints":["{b}"]}}"#),
        })
        .collect();
    set_rules(&redis, &format!("{{{}}}", rules.join(",")));
    let realms: Vec<String> = (1..=10_000)
        .flat_map(|n| [n.to_string(), [a, b][n % 2].to_string()])
        .collect();
    let mut command = vec!["HSET", REALMS];
    command.extend(realms.iter().map(String::as_str));
    redis.command(&command);
    let gateway = ready(&redis.url(), &[]).await;
    assert_eq!(gateway.metric("game_gateway_routes_services").await, 1000);
    for (service, realm_id, name) in [
        ("s0", 1, "b"),
        ("s999", 10_000, "a"),
        ("s999", 10_001, "404"),
        ("s1", 0, "a"),
        ("s998", 0, "b"),
        ("s1000", 1, "404"),
    ] {
        assert_eq!(visit(&gateway, service, realm_id).await, name, "{service}");
    }
    wait_for_subscriber(&redis);
    redis.command(&["HSET", REALMS, "10001", &a.to_string()]);
    redis.command(&["PUBLISH", &format!("{REALMS}:notify"), ""]);
    until_realm_at(&gateway, "s0", 10_001, "a").await;
}

/// The largest map, while it is read again every second or two and changed: nobody notices. Prints what it
/// took; docs/operations.md has figures of a release build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_realms_without_a_missed_health() {
    const MOST: u32 = 1 << 20;
    let redis = RedisServer::start();
    set_rules(&redis, r#"{"game":{"strategy":"realm_based"}}"#);
    fill(
        &redis,
        MOST,
        "127.0.0.1:1",
        "game-%d.a-usual-length.internal:9300",
    );
    let gateway = unready(&redis.url(), &[("redis.refresh", "1s")]);
    let health = Health::watch(gateway.admin);
    let begin = Instant::now();
    until_ready(&gateway).await;
    println!("{MOST} realms in force after {:?}", begin.elapsed());
    let last = MOST.to_string();
    for name in ["a", "b"] {
        let address = named(name).await;
        let loads = gateway.metric(LOADS).await;
        redis.command(&["HSET", REALMS, &last, &address.to_string()]);
        let begin = Instant::now();
        redis.command(&["PUBLISH", &format!("{REALMS}:notify"), ""]);
        until_realm_at(&gateway, "game", MOST, name).await;
        println!("one of them changed: in force after {:?}", begin.elapsed());
        // Nor does it take anything when nothing has changed.
        gateway.until(LOADS, |now| now >= loads + 4).await;
    }
    assert_eq!(
        gateway.metric("game_gateway_redis_reconnects_total").await,
        0
    );
    let (answers, longest) = health.end().await;
    assert!(answers > 1, "nobody asked");
    println!("{answers} answers of /health, all 200, the slowest after {longest:?}");
}

/// Maps all realms but the last one to a thousand names, and that one to an address.
fn fill(redis: &RedisServer, realms: u32, last: &str, names: &str) {
    let script = "for id = 1, ARGV[1] - 1 do redis.call('HSET', KEYS[1], id, \
                  string.format(ARGV[2], id % 1000)) end \
                  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])";
    let realms = realms.to_string();
    redis.command(&["EVAL", script, "1", REALMS, &realms, names, last]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_is_written_all_the_time_is_read_all_the_same() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, r#"{"game":{"strategy":"realm_based"}}"#);
    fill(&redis, 20_000, &a.to_string(), "10.0.0.1:9300");
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    // Written between any two of its commands: the realm that matters is always one state.
    let writes = r#"local n = redis.call('HINCRBY', KEYS[2], 'n', 1)
                    redis.call('HSET', KEYS[1], 1, '10.0.0.' .. (n % 250 + 1) .. ':9300')"#;
    let mut writer = redis.connection();
    let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::task::spawn_blocking(move || {
        while ended.try_recv().is_err() {
            writer
                .ask(&["EVAL", writes, "2", REALMS, "count"])
                .expect("an answer");
        }
    });
    redis.command(&["HSET", REALMS, "20000", &b.to_string()]);
    redis.command(&["PUBLISH", &format!("{REALMS}:notify"), ""]);
    until_realm_at(&gateway, "game", 20_000, "b").await;
    end.send(()).expect("it writes");
    writing.await.expect("written");
}

/// From PUBLISH to the answer of the first new session that goes where the change says. Prints the
/// median, the 99th percentile and the longest; docs/operations.md quotes them.
#[tokio::test]
#[ignore = "a measurement, for an idle machine and a release build"]
async fn time_from_notification_to_effect() {
    let (a, b) = (named("a").await, named("b").await);
    let redis = RedisServer::start();
    set_rules(&redis, &game_at(a));
    let gateway = ready(&redis.url(), &[]).await;
    wait_for_subscriber(&redis);
    let mut times = Vec::new();
    for (address, name) in [(b, "b"), (a, "a")].repeat(100) {
        set_rules(&redis, &game_at(address));
        let begin = Instant::now();
        notify(&redis);
        until_at(&gateway, name).await;
        times.push(begin.elapsed());
    }
    times.sort();
    let distinct: HashSet<_> = times.iter().collect();
    assert!(distinct.len() > 1, "no clock");
    println!(
        "{} changes: p50 {:?}, p99 {:?}, longest {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
}
