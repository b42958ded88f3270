//! Draining over the admin API: it can be undone, and the process stays.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{get, request, send};
use crate::support::wire::{Backend, Gateway, Link, Player, soon};

/// Starts a player; returns it, its session's link on the backend, and the session's id.
async fn playing(gateway: &Gateway, link: &mut Link) -> (Player, u64) {
    let mut player = Player::connect(gateway).await;
    player.data("game", b"hello").await;
    let id = link.opened().await.session_id;
    link.data().await;
    (player, id)
}

/// Starts a gateway with one player, and its backend.
async fn scene() -> (Gateway, Link, (Player, u64), Backend) {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_secs(3600);
    })
    .await;
    let mut player = Player::connect(&gateway).await;
    player.data("game", b"hello").await;
    let mut link = backend.link().await;
    let id = link.opened().await.session_id;
    link.data().await;
    (gateway, link, (player, id), backend)
}

async fn until_state(gateway: &Gateway, state: &str) -> Value {
    soon(async {
        loop {
            let progress = get(gateway.admin, "/api/v1/drain").await.json();
            if progress["state"] == state {
                return progress;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await
}

async fn refused(gateway: &Gateway) {
    let mut new = Player::connect(gateway).await;
    new.data("game", b"may I?").await;
    assert_eq!(new.closed().await.0, 503);
}

#[tokio::test]
async fn players_go_on_and_it_can_be_undone() {
    let (gateway, mut link, (mut player, id), _backend) = scene().await;
    let at = gateway.admin;
    let idle = get(at, "/api/v1/drain").await.json();
    let keys = [
        "by",
        "asked_by",
        "reason",
        "began_seconds",
        "window",
        "remaining_seconds",
        "connections_at_begin",
    ];
    assert!(keys.iter().all(|key| idle[key].is_null()), "{idle}");
    assert_eq!(
        (&idle["state"], &idle["connections"]),
        (&json!("serving"), &json!(1))
    );

    let begun = send(at, "POST /api/v1/drain", r#"{"reason":"upgrade"}"#).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let begun = begun.json();
    assert_eq!(begun["reason"], "upgrade");
    let asked_by = begun["asked_by"].as_str().expect("a name");
    assert!(asked_by.starts_with("127.0.0.1:"), "{asked_by}");
    assert_eq!(
        (&begun["by"], &begun["window"]),
        (&json!("admin"), &json!("1h"))
    );
    assert_eq!(begun["connections_at_begin"], 1);
    until_state(&gateway, "refusing").await;
    let (status, body) = gateway.get("/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("draining"), "{body}");
    assert_eq!(get(at, "/health").await.status, 200);
    refused(&gateway).await;
    // Who is refused has not left.
    gateway.until("game_gateway_connections", |n| n == 1).await;
    assert_eq!(get(at, "/api/v1/drain").await.json()["left"], 0);
    player.data("", b"I stay").await;
    assert_eq!(&link.data().await.payload[..], b"I stay");

    let again = send(at, "POST /api/v1/drain", "{}").await;
    assert_eq!((again.status, &again.json()["window"]), (200, &json!("1h")));
    let longer = send(at, "POST /api/v1/drain", r#"{"window":"2h"}"#).await;
    assert_eq!(
        (longer.status, &longer.json()["window"]),
        (200, &json!("2h"))
    );
    assert_eq!(longer.json()["began_seconds"], begun["began_seconds"]);

    for _ in 0..2 {
        let undone = request(at, "DELETE /api/v1/drain", &[], "").await;
        assert_eq!(
            (undone.status, &undone.json()["state"]),
            (200, &json!("serving"))
        );
    }
    assert_eq!(get(at, "/ready").await.status, 200);
    let (_new, new_id) = playing(&gateway, &mut link).await;
    assert_ne!(new_id, id);
    player.data("", b"still here").await;
    assert_eq!(&link.data().await.payload[..], b"still here");
}

#[tokio::test]
async fn at_the_windows_end_players_are_told_and_the_process_stays() {
    let (gateway, mut link, (mut player, id), _backend) = scene().await;
    let at = gateway.admin;
    let begun = send(at, "POST /api/v1/drain", r#"{"window":"0"}"#).await;
    assert_eq!(begun.status, 202);
    let (code, retry_after) = player.closed().await;
    assert_eq!(code, 503);
    assert!(retry_after > 0);
    assert_eq!(link.closed().await, (id, 503));
    let progress = until_state(&gateway, "drained").await;
    assert_eq!(
        (&progress["cut_off"], &progress["left"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(progress["remaining_seconds"], 0);
    assert_eq!(get(at, "/health").await.status, 200);
    assert_eq!(get(at, "/ready").await.status, 503);
    // Connections are accepted to be told, again and again.
    refused(&gateway).await;
    refused(&gateway).await;

    let undone = request(at, "DELETE /api/v1/drain", &[], "").await;
    assert_eq!(undone.json()["state"], "serving");
    assert_eq!(get(at, "/ready").await.status, 200);
    playing(&gateway, &mut link).await;
}

#[tokio::test]
async fn once_everybody_has_left_it_is_over() {
    let (gateway, mut link, (player, id), _backend) = scene().await;
    send(gateway.admin, "POST /api/v1/drain", "").await;
    drop(player);
    assert_eq!(link.closed().await, (id, 0));
    let progress = until_state(&gateway, "drained").await;
    assert_eq!(
        (&progress["left"], &progress["cut_off"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_signal_takes_over_and_ends_the_process() {
    let (gateway, mut link, (player, id), _backend) = scene().await;
    let at = gateway.admin;
    send(at, "POST /api/v1/drain", "").await;
    until_state(&gateway, "refusing").await;
    gateway.drain();
    let progress = soon(async {
        loop {
            let progress = get(at, "/api/v1/drain").await.json();
            if progress["by"] == "signal" {
                return progress;
            }
            crate::support::wire::look_again().await;
        }
    })
    .await;
    assert_eq!(progress["state"], "refusing");
    // It will exit: nobody undoes that, and nobody gives it another window.
    let undone = request(at, "DELETE /api/v1/drain", &[], "").await;
    assert!(undone.error(409, "conflict").contains("it will exit"));
    let window = send(at, "POST /api/v1/drain", r#"{"window":"2h"}"#).await;
    window.error(409, "conflict");
    let again = send(at, "POST /api/v1/drain", "").await;
    assert_eq!((again.status, &again.json()["by"]), (200, &json!("signal")));
    drop(player);
    assert_eq!(link.closed().await, (id, 0));
    drop(link);
    gateway.ended().await;
}

#[tokio::test]
async fn a_signal_ends_what_is_drained_already() {
    let (gateway, _link, (mut player, _), _backend) = scene().await;
    send(gateway.admin, "POST /api/v1/drain", r#"{"window":"0ms"}"#).await;
    assert_eq!(player.closed().await.0, 503);
    drop(player);
    until_state(&gateway, "drained").await;
    gateway.drain();
    gateway.ended().await;
}
