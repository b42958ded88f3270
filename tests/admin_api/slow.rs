//! Backends that are slow to those who have been there for a while.

use std::time::Duration;

use game_gateway::codec::link::Kind;
use serde_json::Value;

use crate::http::get;
use crate::support::wire::{Backend, Gateway, Link, Player, metric, soon};

/// Returns the only row of `/api/v1/backends` once it is right.
async fn until(gateway: &Gateway, right: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let row = row(gateway).await;
            if right(&row) {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(look).await
}

async fn row(gateway: &Gateway) -> Value {
    get(gateway.admin, "/api/v1/backends").await.json()["backends"][0].take()
}

/// A player whose frame the backend has, and has not answered.
async fn asked(gateway: &Gateway, backend: &Backend) -> (Player, Link, u64) {
    let mut player = Player::connect(gateway).await;
    player.data("game", b"well?").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    (player, link, session_id)
}

/// It answers PINGs and nobody else, until it answers players too.
#[tokio::test]
async fn a_backend_that_answers_pings_alone_is_seen_to_be_silent() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.ping_interval = Duration::from_millis(250);
    })
    .await;
    let (mut player, mut link, session_id) = asked(&gateway, &backend).await;
    let first = until(&gateway, |row| row["awaited_us"].is_u64()).await;
    // One frame may need no answer.
    assert_eq!(
        (&first["silent_us"], &first["answer"]),
        (&Value::Null, &Value::Null)
    );
    for _ in 0..8 {
        player.data("game", b"well?").await;
        link.data().await;
    }
    let ping = loop {
        let frame = link.next_raw().await.expect("a PING");
        if frame.kind == Kind::Ping as u8 {
            break frame;
        }
    };
    link.send(Kind::Pong, 0, &ping.payload).await;
    // The PONGs are all that has come.
    let is_silent = |row: &Value| row["frames_in"].as_u64() >= Some(2) && row["silent_us"].is_u64();
    let silent = until(&gateway, is_silent).await;
    assert!(silent["awaited_us"].as_u64() > first["awaited_us"].as_u64());
    assert_eq!(silent["health"], "up");

    link.send(Kind::Data, session_id, b"at last").await;
    player.answer().await;
    let answered = until(&gateway, |row| row["answer"]["count"] == 1).await;
    assert_eq!(answered["silent_us"], Value::Null, "{answered}");
    assert!(answered["answer"]["max_us"].as_u64() >= silent["silent_us"].as_u64());
    let body = gateway.get("/metrics").await.1;
    assert_eq!(
        metric(&body, "game_gateway_service_answer_seconds_count"),
        1
    );
}

/// Whoever leaves waits for nothing, and others are sampled again and again.
#[tokio::test]
async fn one_frame_at_a_time_is_sampled() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.backend.ping_interval = Duration::from_millis(250);
    })
    .await;
    let (player, mut link, _) = asked(&gateway, &backend).await;
    until(&gateway, |row| row["awaited_us"].is_u64()).await;
    drop(player);
    link.closed().await;
    let left = until(&gateway, |row| row["awaited_us"].is_null()).await;
    assert_eq!(left["answer"], Value::Null, "{left}");
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"well?").await;
    let session_id = link.opened().await.session_id;
    while row(&gateway).await["answer"]["count"].as_u64() < Some(2) {
        link.data().await;
        link.send(Kind::Data, session_id, b"yes").await;
        player.answer().await;
        player.data("game", b"well?").await;
    }
}
