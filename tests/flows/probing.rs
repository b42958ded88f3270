//! Endpoints that are known before a player needs them, and those that fail again and again.

use std::time::Duration;

use game_gateway::actors::backend_pool::{BackendHealth, Breaker};
use game_gateway::codec::client::Kind;
use game_gateway::codec::link;
use game_gateway::inspection::BackendSnapshot;

use crate::stage::{echo, notice, player};
use crate::support::wire::{Backend, Gateway, soon};

const INTERVAL: Duration = Duration::from_millis(50);

fn rules(backends: &[&Backend]) -> String {
    format!(r#"{{"rules":{{"game":{}}}}}"#, Backend::rule(backends))
}

/// Waits until the row of a backend is as it must become.
async fn until(
    gateway: &Gateway,
    backend: std::net::SocketAddr,
    right: impl Fn(&BackendSnapshot) -> bool,
) -> BackendSnapshot {
    soon(async {
        loop {
            let rows = gateway.inspector().backends().await;
            let row = rows.into_iter().find(|row| row.address == Some(backend));
            if let Some(row) = row.filter(&right) {
                return row;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await
}

#[tokio::test]
async fn an_endpoint_is_known_before_a_player_meets_it_and_stays_so() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let (lives, dead) = (one.address, two.address);
    let routes = rules(&[&one, &two]);
    drop(two);
    let gateway = Gateway::start_with(&routes, |config| {
        config.gateway.workers = 2;
        config.backend.probe_interval = INTERVAL;
        config.backend.ping_interval = INTERVAL;
        config.backend.idle_timeout = INTERVAL;
    })
    .await;
    echo(one);
    until(&gateway, dead, |row| row.health == BackendHealth::Down).await;
    // Far beyond the time for which a link may be idle.
    let row = until(&gateway, lives, |row| row.frames_out > 10).await;
    assert_eq!(
        (row.health, row.links.len(), row.sessions),
        (BackendHealth::Up, 1, 0)
    );
    // On whatever worker they are, players do not meet the dead one.
    for _ in 0..8 {
        let mut player = player(&gateway, "game", b"1").await;
        assert_eq!(&player.answer().await.payload[..], b"1");
    }
    assert_eq!(
        gateway.metric("game_gateway_failed_bindings_total").await,
        0
    );
    // Back again, and known without anybody asking.
    let back = Backend::start_on(&dead.to_string()).await;
    let mut link = back.link().await;
    assert_eq!(link.hello.take().expect("HELLO").service_type, "game");
    until(&gateway, dead, |row| row.health == BackendHealth::Up).await;
}

/// What a probe has found may be over: who comes first to a backend that has just started is not told that it is down.
#[tokio::test]
async fn whoever_asks_is_worth_an_attempt() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut rules = serde_json::Map::new();
    let mut services = Vec::new();
    for name in names {
        let address = Backend::start().await.address;
        let rule = serde_json::json!({"strategy": "round_robin", "endpoints": [address]});
        rules.insert(name.into(), rule);
        services.push((name, address));
    }
    let routes = serde_json::json!({ "rules": rules }).to_string();
    let gateway = Gateway::start_with(&routes, |config| {
        config.backend.probe_interval = INTERVAL;
        config.backend.max_backoff = Duration::from_secs(3600);
    })
    .await;
    for (_, address) in &services {
        until(&gateway, *address, |row| row.health == BackendHealth::Down).await;
    }
    for (name, address) in services {
        echo(Backend::start_on(&address.to_string()).await);
        let mut player = player(&gateway, name, b"1").await;
        assert_eq!(&player.answer().await.payload[..], b"1");
    }
}

#[tokio::test]
async fn one_that_fails_again_and_again_is_left_alone_for_a_while() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let flaps = one.address;
    let gateway = Gateway::start_with(&rules(&[&one, &two]), |config| {
        config.backend.probe_interval = INTERVAL;
    })
    .await;
    echo(two);
    // It greets each link, and hangs up.
    let flapping = tokio::spawn(async move {
        loop {
            drop(one.link().await);
        }
    });
    let row = until(&gateway, flaps, |row| row.breaker == Breaker::Open).await;
    assert!(row.in_rules);
    for _ in 0..8 {
        let mut player = player(&gateway, "game", b"1").await;
        assert_eq!(&player.answer().await.payload[..], b"1");
    }
    flapping.abort();
}

/// Its links stand and it answers PINGs, but it ends each session at once, and says that it is to blame.
#[tokio::test]
async fn one_that_fails_its_sessions_is_left_alone_too() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let fails = one.address;
    let gateway = Gateway::start_with(&rules(&[&one, &two]), |config| {
        config.backend.ping_interval = Duration::from_secs(1);
    })
    .await;
    echo(two);
    tokio::spawn(async move {
        let mut link = one.link().await;
        while let Some(frame) = link.next().await {
            if frame.kind == link::Kind::Open as u8 {
                let session_id = frame.session_id;
                link.send(link::Kind::Close, session_id, &notice(500)).await;
            }
        }
    });
    let is_open =
        |row: &BackendSnapshot| row.address == Some(fails) && row.breaker == Breaker::Open;
    let (mut failed, mut pace) = (0, tokio::time::interval(Duration::from_millis(20)));
    soon(async {
        while !gateway.inspector().backends().await.iter().any(is_open) {
            let mut player = player(&gateway, "game", b"1").await;
            let frame = player.next().await.expect("a frame");
            failed += u64::from(frame.header.kind == Kind::Close as u8);
            pace.tick().await;
        }
    })
    .await;
    assert!(failed >= 10, "{failed}");
    for _ in 0..8 {
        let mut player = player(&gateway, "game", b"1").await;
        assert_eq!(&player.answer().await.payload[..], b"1");
    }
}

#[tokio::test]
async fn a_link_is_kept_only_for_as_long_as_it_is_asked_for() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let addresses = [one.address, two.address];
    let routes = |endpoints: &[std::net::SocketAddr]| {
        let rule = serde_json::json!({
            "strategy": "round_robin", "endpoints": endpoints, "max_connections": addresses.len()
        });
        serde_json::json!({ "rules": { "game": rule } }).to_string()
    };
    let gateway = Gateway::start_with(&routes(&addresses), |config| {
        config.backend.probe_interval = INTERVAL;
        config.backend.ping_interval = INTERVAL;
        config.backend.idle_timeout = INTERVAL;
    })
    .await;
    echo(one);
    echo(two);
    for address in addresses {
        until(&gateway, address, |row| row.frames_out > 10).await;
    }
    // Now there are more endpoints than links.
    let third = ([127, 0, 0, 1], 1).into();
    gateway.set_routes(&routes(&[addresses[0], addresses[1], third]));
    for address in addresses {
        let row = until(&gateway, address, |row| row.links.is_empty()).await;
        assert_eq!(row.health, BackendHealth::Up);
    }
}

/// Each of two endpoints takes two sessions, whatever the strategy, over all workers.
#[tokio::test]
async fn a_full_endpoint_gets_no_more_and_then_there_is_503() {
    for strategy in ["round_robin", "consistent_hash"] {
        let (one, two) = (Backend::start().await, Backend::start().await);
        let endpoints = [one.address, two.address];
        let rule = |most: u32| {
            let rule = serde_json::json!({
                "strategy": strategy, "hash_key": "session_id", "endpoints": endpoints, "max_sessions": most
            });
            serde_json::json!({ "rules": { "game": rule } }).to_string()
        };
        let gateway = Gateway::start_with(&rule(2), |config| config.gateway.workers = 2).await;
        echo(one);
        echo(two);
        let mut players = Vec::new();
        for _ in 0..4 {
            let mut player = player(&gateway, "game", b"1").await;
            assert_eq!(&player.answer().await.payload[..], b"1");
            players.push(player);
        }
        for address in endpoints {
            until(&gateway, address, |row| row.sessions == 2).await;
        }
        let mut more = player(&gateway, "game", b"1").await;
        assert_eq!(more.error().await.0, 503);
        let (status, answer) = gateway
            .get("/api/v1/routes/resolve?service=game&session_id=7")
            .await;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(
            (status, &answer["error_code"]),
            (200, &serde_json::json!(503))
        );
        // Who leaves makes room.
        drop(players.pop());
        soon(async {
            loop {
                more.data("game", b"2").await;
                let frame = more.next().await.expect("a frame");
                if &frame.payload[..] == b"2" {
                    return;
                }
            }
        })
        .await;
    }
}

/// Sessions that fall from one endpoint upon the others, more than the budget has.
#[tokio::test]
async fn retries_have_a_budget() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let dead = two.address;
    let gateway = Gateway::start_with(&rules(&[&one, &two]), |config| {
        config.gateway.workers = 1;
        config.backend.connect_timeout = Duration::from_secs(3600);
    })
    .await;
    echo(one);
    // It accepts, and says nothing.
    let mut players = Vec::new();
    for _ in 0..400 {
        players.push(player(&gateway, "game", b"1").await);
    }
    until(&gateway, dead, |row| row.waiting_sessions == 200).await;
    drop(two);
    const REFUSED: &str = "game_gateway_refused_binding_retries_total";
    gateway.until(REFUSED, |n| n > 0).await;
    let mut failed = 0;
    for player in &mut players {
        let frame = player.next().await.expect("an answer");
        failed += u64::from(frame.header.kind != Kind::Data as u8);
    }
    // 100, and 20% of those that came in the last ten seconds, by a machine that may be slow.
    let retries = gateway.metric("game_gateway_binding_retries_total").await;
    assert!((100..=180).contains(&retries), "{retries}");
    assert_eq!(retries + failed, 200);
}
