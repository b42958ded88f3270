//! Redis that dies, hangs or cannot be reached: nobody notices, and what has changed is in force when it is back.

use std::time::Instant;

use serde_json::Value;

use crate::resident::exchange;
use crate::stage::{RULES, Setup, Stage, alone};
use crate::support::health::Health;
use crate::support::namespace::{cut, mend};
use crate::support::redis::RedisServer;
use crate::support::wire::{Player, get, soon};

/// Growth of memory that is no leak, in KiB.
const MEMORY_KIB: u64 = 16 * 1024;
/// Sessions that begin while it is away.
const NEWCOMERS: u64 = 100;

#[derive(Debug, Clone, Copy)]
enum Harm {
    /// SIGKILL.
    Killed,
    /// SIGSTOP.
    Stopped,
    /// Packets are dropped both ways.
    Blackholed,
}

/// Names another service, which goes where `game` goes.
fn add_service(redis: &RedisServer, name: &str) {
    let rules = redis.command(&["GET", RULES]);
    let mut rules: Value = serde_json::from_str(rules.text()).expect("JSON");
    rules[name] = rules["game"].clone();
    redis.command(&["SET", RULES, &rules.to_string()]);
}

/// Tells whether the gateway has a route for a service, without beginning a session.
async fn is_routed(stage: &Stage, service: &str) -> bool {
    let path = format!("/api/v1/routes/resolve?service={service}");
    get(stage.admin, &path).await.0 == 200
}

async fn suffered(stage: &Stage, redis: &mut RedisServer, harm: Harm) {
    let connected = "game_gateway_redis_connected";
    stage.until(connected, |n| n == 1).await;
    match harm {
        Harm::Killed => redis.stop("KILL"),
        Harm::Stopped => redis.pause(),
        Harm::Blackholed => cut(redis.port),
    }
    stage.until(connected, |n| n == 0).await;
    for number in 0..NEWCOMERS {
        let mut player = Player::connect_to(stage.players).await;
        exchange(&mut player, "game", number).await;
    }
    assert_eq!(get(stage.admin, "/ready").await.0, 200);

    let service = format!("{harm:?}").to_lowercase();
    let back = Instant::now();
    match harm {
        Harm::Killed => redis.change_while_down(|redis| add_service(redis, &service)),
        Harm::Stopped => redis.go_on(),
        Harm::Blackholed => mend(),
    }
    match harm {
        Harm::Killed => redis.start_again(),
        Harm::Stopped | Harm::Blackholed => add_service(redis, &service),
    }
    soon(async {
        while !is_routed(stage, &service).await {
            crate::support::wire::look_again().await;
        }
    })
    .await;
    let back = back.elapsed().as_millis();
    println!(
        "Redis {harm:?}: {NEWCOMERS} new sessions meanwhile; a change in force {back} ms after its return"
    );
}

#[test]
fn killed_stopped_and_blackholed() {
    alone("redis::killed_stopped_and_blackholed", || async {
        let mut redis = RedisServer::start();
        let stage = Stage::start_with(Setup {
            config: "redis.timeout = \"500ms\"\nredis.refresh = \"1s\"",
            redis: Some(&redis),
            ..Setup::default()
        })
        .await;
        // For change_while_down, which begins with what was kept.
        redis.save();
        let (before_kib, health) = (stage.memory_kib(), Health::watch(stage.admin));
        for harm in [Harm::Killed, Harm::Stopped, Harm::Blackholed] {
            suffered(&stage, &mut redis, harm).await;
        }
        stage
            .until("game_gateway_redis_connected", |n| n == 1)
            .await;
        let (answers, longest) = health.end().await;
        println!(
            "/health: {answers} times 200, after {} ms at the most",
            longest.as_millis()
        );
        stage.unharmed("Redis", MEMORY_KIB, before_kib).await;
    });
}
