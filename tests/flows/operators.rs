//! Backends that operators put in drain or maintenance: who stays, who goes, and where others go.

use std::net::SocketAddr;

use game_gateway::codec::client::Header;
use game_gateway::codec::link::Kind;
use game_gateway::config::Config;
use serde_json::{Value, json};

use crate::scene::{Scene, routes, talk};
use crate::stage::{Hub, echo, player};
use crate::support::wire::{Backend, Gateway, Player, ask, soon};

fn two_workers(config: &mut Config) {
    config.gateway.workers = 2;
}

async fn put(gateway: &Gateway, address: impl ToString, body: Value) -> Value {
    let line = format!("PUT /api/v1/backends/{}/state", address.to_string());
    let (status, answer) = ask(gateway.admin, &line, &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

async fn rows(gateway: &Gateway) -> Vec<Value> {
    let (_, answer) = gateway.get("/api/v1/backends").await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer["backends"].as_array().expect("rows").clone()
}

async fn sessions_at(gateway: &Gateway, address: SocketAddr) -> u64 {
    let rows = rows(gateway).await;
    let its = rows
        .iter()
        .filter(|row| row["endpoint"] == address.to_string());
    its.map(|row| row["sessions"].as_u64().expect("a number"))
        .sum()
}

async fn empty(gateway: &Gateway, address: SocketAddr) {
    soon(async {
        while sessions_at(gateway, address).await > 0 {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}

/// A player of this user who has got an answer from an echo.
async fn playing(gateway: &Gateway, user_id: u64) -> Player {
    let mut player = Player::connect(gateway).await;
    let header = Header {
        user_id,
        ..Header::default()
    };
    player.send(header, "game", b"hello").await;
    player.answer().await;
    player
}

/// Two echoing backends of one service.
async fn two_echoes(
    strategy: &str,
    change: impl FnOnce(&mut Config),
) -> (Gateway, [SocketAddr; 2]) {
    let backends = [Backend::start().await, Backend::start().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let rule = Backend::rule(&[&backends[0], &backends[1]]).replace("round_robin", strategy);
    let gateway = Gateway::start_with(&routes(&[("game", rule)]), change).await;
    for backend in backends {
        echo(backend);
    }
    (gateway, addresses)
}

#[tokio::test]
async fn a_drained_backend_keeps_who_is_there_and_takes_nobody() {
    let (gateway, [one, two]) = two_echoes("round_robin", two_workers).await;
    let mut before = Vec::new();
    for _ in 0..8 {
        before.push(playing(&gateway, 0).await);
    }
    let kept = sessions_at(&gateway, one).await;
    assert_eq!(kept, 4);
    let answer = put(&gateway, one, json!({"state": "drain", "reason": "kernel"})).await;
    assert_eq!(
        (&answer["state"], &answer["before"]),
        (&json!("drain"), &json!("ready"))
    );
    assert_eq!(
        (&answer["sessions"], &answer["order"]["reason"]),
        (&json!(4), &json!("kernel"))
    );
    for _ in 0..8 {
        before.push(playing(&gateway, 0).await);
    }
    assert_eq!(sessions_at(&gateway, one).await, kept);
    assert_eq!(sessions_at(&gateway, two).await, 12);
    for player in &mut before {
        player.data("game", b"still there?").await;
        assert_eq!(&player.answer().await.payload[..], b"still there?");
    }
    let answer = put(&gateway, one, json!({"state": "ready"})).await;
    assert_eq!(
        (&answer["before"], &answer["order"]),
        (&json!("drain"), &json!(null))
    );
    for _ in 0..8 {
        before.push(playing(&gateway, 0).await);
    }
    assert_eq!(sessions_at(&gateway, one).await, kept + 4);
}

#[tokio::test]
async fn by_consistent_hash_only_its_users_move_and_they_come_back() {
    let (gateway, [one, two]) = two_echoes("consistent_hash", two_workers).await;
    let place = async |user: u64| {
        let path = format!("/api/v1/routes/resolve?service=game&user_id={user}");
        let (_, answer) = gateway.get(&path).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        (answer["endpoint"].clone(), answer["why"].to_string())
    };
    let mut own = Vec::new();
    for user in 1..40 {
        own.push(place(user).await.0);
    }
    put(&gateway, one, json!({"state": "drain"})).await;
    for (user, own) in (1..).zip(&own) {
        let (now, why) = place(user).await;
        assert_eq!(now, two.to_string());
        let moved = why.contains("is withdrawn by an operator, next on the ring");
        assert_eq!(moved, *own == one.to_string(), "{why}");
        playing(&gateway, user).await;
    }
    assert_eq!(sessions_at(&gateway, one).await, 0);
    put(&gateway, one, json!({"state": "ready"})).await;
    for (user, own) in (1..).zip(own) {
        assert_eq!(place(user).await.0, own);
    }
}

#[tokio::test]
async fn a_service_without_any_other_backend_is_refused_and_says_why() {
    let backend = Backend::start().await;
    let (address, routes) = (backend.address, backend.routes());
    let gateway = Gateway::start_with(&routes, two_workers).await;
    echo(backend);
    let mut there = playing(&gateway, 0).await;
    put(&gateway, address, json!({"state": "drain"})).await;
    let mut newcomer = player(&gateway, "game", b"hello").await;
    assert_eq!(newcomer.error().await, (503, "game".to_owned()));
    there.data("game", b"still there?").await;
    there.answer().await;
    let (_, refusals) = gateway.get("/api/v1/refusals?code=503").await;
    assert!(refusals.contains("in drain or maintenance"), "{refusals}");
    let (_, answer) = gateway.get("/api/v1/routes/resolve?service=game").await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["error_code"], 503, "{answer}");
    assert_eq!(answer["why"], "an operator has withdrawn every endpoint");
    let candidate = &answer["candidates"][0];
    assert_eq!(
        (&candidate["operator_state"], &candidate["eligible"]),
        (&json!("drain"), &json!(false))
    );
    let refused = r#"game_gateway_refused_frames_total{code="503"}"#;
    assert_eq!(gateway.metric(refused).await, 1);
    put(&gateway, address, json!({"state": "ready"})).await;
    newcomer.data("game", b"again").await;
    newcomer.answer().await;
}

#[tokio::test]
async fn maintenance_ends_what_is_there_and_nothing_else() {
    let mut scene = Scene::start().await;
    let (_, listed) = scene.gateway.get("/api/v1/backends").await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let of_a = &listed["backends"][0];
    assert_eq!(
        (&of_a["service"], &of_a["operator_state"]),
        (&json!("a"), &json!("ready"))
    );
    let a = of_a["endpoint"].as_str().expect("an address").to_owned();
    put(&scene.gateway, &a, json!({"state": "maintenance"})).await;
    assert_eq!(scene.a.closed().await, (scene.id, 502));
    assert_eq!(scene.player.error().await, (502, "a".to_owned()));
    // The session lives, and its other service with it.
    talk(&mut scene.player, "b", &mut scene.b).await;
    scene.player.data("a", b"again").await;
    assert_eq!(scene.player.error().await, (503, "a".to_owned()));
    put(&scene.gateway, &a, json!({"state": "ready"})).await;
    scene.player.data("a", b"back").await;
    assert_eq!(scene.a.opened().await.session_id, scene.id);
    assert_eq!(&scene.a.data().await.payload[..], b"back");
    scene.unharmed().await;
    let ended = "game_gateway_maintenance_ended_sessions_total";
    assert_eq!(scene.gateway.metric(ended).await, 1);
}

#[tokio::test]
async fn many_sessions_end_some_at_a_time_and_go_on_elsewhere() {
    let (gateway, [one, two]) = two_echoes("round_robin", |config| {
        two_workers(config);
        config.drain.moves_at_once = 4;
    })
    .await;
    let mut players = Vec::new();
    for _ in 0..40 {
        players.push(playing(&gateway, 0).await);
    }
    let answer = put(&gateway, one, json!({"state": "maintenance"})).await;
    assert_eq!(answer["sessions"], 20);
    empty(&gateway, one).await;
    let ended = "game_gateway_maintenance_ended_sessions_total";
    assert_eq!(gateway.metric(ended).await, 20);
    let mut told = 0;
    for player in &mut players {
        player.data("game", b"again").await;
        let frame = player.next().await.expect("a frame");
        // ERROR first, where it is due.
        if frame.header.kind != 0 {
            told += 1;
            assert_eq!(&player.answer().await.payload[..], b"again");
        }
    }
    assert_eq!(told, 20);
    assert_eq!(sessions_at(&gateway, two).await, 40);
    assert_eq!(sessions_at(&gateway, one).await, 0);
}

#[tokio::test]
async fn a_request_under_way_is_answered_502() {
    let backend = Backend::start().await;
    let (address, routes) = (backend.address, backend.routes());
    let gateway = Gateway::start(&routes).await;
    let mut hub = Hub::start(backend);
    let asked = tokio::spawn(ask_game(gateway.players));
    let (_, open) = hub.expect(Kind::Open).await;
    hub.expect(Kind::Data).await;
    put(&gateway, address, json!({"state": "maintenance"})).await;
    assert_eq!(soon(asked).await.expect("no panic"), 502);
    let (_, close) = hub.expect(Kind::Close).await;
    assert_eq!(close.session_id, open.session_id);
}

async fn ask_game(players: SocketAddr) -> u16 {
    ask(players, "POST /game", "hello").await.0
}

#[tokio::test]
async fn an_order_outlives_the_rules_and_is_found_by_any_spelling() {
    let backend = Backend::start_on("127.0.0.1:0").await;
    let other = Backend::start().await;
    let port = backend.address.port();
    let rule = Backend::rule(&[&backend, &other]);
    let by_name = rule.replace("127.0.0.1:", "localhost:");
    let gateway = Gateway::start(&routes(&[("game", by_name.clone())])).await;
    let drain = json!({"state": "drain"});
    let answer = put(&gateway, format!("LocalHost:{port}"), drain.clone()).await;
    assert_eq!(answer["address"], format!("localhost:{port}"));
    let addresses = answer["addresses"].as_array().expect("a list").clone();
    assert!(
        addresses.contains(&json!(backend.address.to_string())),
        "{answer}"
    );
    let state = async || {
        let rows = rows(&gateway).await;
        let its = rows
            .into_iter()
            .find(|row| row["endpoint"] == backend.address.to_string());
        its.map(|row| row["operator_state"].clone())
    };
    assert_eq!(state().await, Some(json!("drain")));
    for (rules, right) in [
        // The name is not there any more, so nobody has withdrawn the address.
        (rule.clone(), Some(json!("ready"))),
        (Backend::rule(&[&other]), None),
        (by_name, Some(json!("drain"))),
    ] {
        gateway.set_routes(&routes(&[("game", rules)]));
        soon(async {
            while state().await != right {
                crate::support::wire::look_again().await;
            }
        })
        .await;
    }
    // An address cannot be ready while its name is in drain.
    let line = format!("PUT /api/v1/backends/{}/state", backend.address);
    let (status, answer) = ask(gateway.admin, &line, r#"{"state": "ready"}"#).await;
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer.contains(&format!("localhost:{port}, which")),
        "{answer}"
    );
    put(
        &gateway,
        format!("[::ffff:127.0.0.1]:{port}"),
        json!({"state": "maintenance"}),
    )
    .await;
    assert_eq!(state().await, Some(json!("maintenance")));
    put(
        &gateway,
        format!("localhost:{port}"),
        json!({"state": "ready"}),
    )
    .await;
    assert_eq!(state().await, Some(json!("maintenance")));
    put(
        &gateway,
        format!("127.0.0.1:{port}"),
        json!({"state": "ready"}),
    )
    .await;
    assert_eq!(state().await, Some(json!("ready")));
}

#[tokio::test]
async fn an_order_ends_by_itself() {
    let (gateway, [one, _]) = two_echoes("round_robin", |_| ()).await;
    let answer = put(&gateway, one, json!({"state": "drain", "for": "1ms"})).await;
    assert_eq!(answer["order"]["remaining_seconds"], 0);
    let ready = async || {
        let path = format!("/api/v1/backends/{one}/state");
        let (_, answer) = gateway.get(&path).await;
        answer.contains(r#""state":"ready""#)
    };
    soon(async {
        while !ready().await {
            crate::support::wire::look_again().await;
        }
    })
    .await;
}
