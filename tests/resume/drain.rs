//! Protocol 3.3: who can go elsewhere is asked to, and nothing ends that can go on.

use std::time::Duration;

use game_gateway::codec::client::{Header, Kind};

use crate::stage::{Scene, Ticket, accept, begin, opened, resume, says, suspended};
use crate::support::wire::{Gateway, Player};

/// Reads the next frame, which must be GOAWAY; returns the remaining time in milliseconds.
async fn asked_away(player: &mut Player) -> u32 {
    let frame = player.next().await.expect("GOAWAY");
    assert_eq!(frame.header.kind, Kind::Goaway as u8, "{frame:?}");
    u32::from_be_bytes(frame.payload[..].try_into().expect("four bytes"))
}

fn close() -> Header {
    Header {
        kind: Kind::Close as u8,
        ..Header::default()
    }
}

/// Starts a scene with this drain window, without a grace.
async fn scene(window: Duration) -> Scene {
    Scene::start_with(|config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = window;
    })
    .await
}

async fn refusing(gateway: &Gateway) {
    gateway.drain();
    loop {
        let (_, body) = gateway.get("/api/v1/drain").await;
        if body.contains("refusing") {
            return;
        }
    }
}

#[tokio::test]
async fn resumable_players_are_asked_to_move_and_backends_keep_their_sessions() {
    let mut scene = scene(Duration::from_secs(3)).await;
    let mut plain = Player::connect(&scene.gateway).await;
    plain.data("game", b"plain").await;
    let plain_id = scene.link.opened().await.session_id;
    scene.link.data().await;
    scene.gateway.drain();
    let left = asked_away(&mut scene.player).await;
    assert!(left <= 3000, "{left}");
    // It stays; so it is told like everybody when the window ends.
    assert_eq!(scene.player.closed().await.0, 503);
    assert_eq!(plain.closed().await.0, 503);
    let id = scene.ticket.session_id;
    let mut ends = Vec::new();
    while let Some(frame) = scene.link.next().await {
        ends.push((frame.kind, frame.session_id));
    }
    ends.sort_unstable();
    let close = game_gateway::codec::link::Kind::Close as u8;
    let suspend = game_gateway::codec::link::Kind::Suspend as u8;
    assert_eq!(ends, [(close, plain_id), (suspend, id)]);
    scene.gateway.ended().await;
}

/// A gateway that drains, with so many moves at once and players who can move.
async fn draining(moves_at_once: usize, players: usize, window: Duration) -> (Scene, Vec<Player>) {
    let scene = Scene::start_with(|config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = window;
        config.drain.moves_at_once = moves_at_once;
    });
    let mut scene = scene.await;
    let mut all = Vec::new();
    for _ in 0..players {
        let mut player = Player::connect(&scene.gateway).await;
        begin(&mut player, "game", b"1").await;
        opened(&mut player, &mut Ticket::default()).await;
        scene.link.opened().await;
        scene.link.data().await;
        all.push(player);
    }
    scene.gateway.drain();
    (scene, all)
}

#[tokio::test]
async fn all_are_asked_at_once_where_there_are_few() {
    let hour = Duration::from_secs(3600);
    let (mut scene, players) = draining(256, 20, hour).await;
    asked_away(&mut scene.player).await;
    for mut player in players {
        asked_away(&mut player).await;
    }
}

#[tokio::test]
async fn the_next_is_asked_when_one_has_gone() {
    let hour = Duration::from_secs(3600);
    let (mut scene, players) = draining(1, 3, hour).await;
    asked_away(&mut scene.player).await;
    // Those who stay do not go on; who has gone makes room for the next.
    let mut gone = scene.player;
    for mut player in players {
        gone.send(close(), "", &[]).await;
        asked_away(&mut player).await;
        gone = player;
    }
}

#[tokio::test]
async fn who_does_not_go_holds_nobody_up() {
    let (mut scene, players) = draining(1, 3, Duration::from_secs(6)).await;
    // Nobody goes: by the even spread.
    asked_away(&mut scene.player).await;
    for mut player in players {
        asked_away(&mut player).await;
    }
}

#[tokio::test]
async fn a_resume_at_the_draining_gateway_leaves_a_connection_that_stands() {
    let mut scene = scene(Duration::from_secs(3600)).await;
    refusing(&scene.gateway).await;
    asked_away(&mut scene.player).await;
    let mut second = resume(&scene.gateway, &scene.ticket, 0).await;
    let (code, retry_after) = second.closed().await;
    assert_eq!(code, 503);
    assert!(retry_after > 0);
    scene.send("untouched").await;
    says(&mut scene.player, "untouched").await;
}

#[tokio::test]
async fn a_suspended_session_resumes_at_the_draining_gateway_and_is_asked_away_again() {
    let mut scene = scene(Duration::from_secs(3600)).await;
    scene.cut().await;
    refusing(&scene.gateway).await;
    let id = scene.ticket.session_id;
    // The connection that the scene has made is one more; another one resumes.
    let mut back = resume(&scene.gateway, &scene.ticket, 0).await;
    accept(&mut scene.link, id).await;
    assert_eq!(opened(&mut back, &mut scene.ticket).await.received, 1);
    let left = asked_away(&mut back).await;
    assert!(left > 3_000_000, "{left}");
    back.data("game", b"on").await;
    scene.link.data().await;
}

#[tokio::test]
async fn progress_says_who_does_not_move() {
    let mut scene = scene(Duration::from_secs(3600)).await;
    let mut plain = Player::connect(&scene.gateway).await;
    plain.data("game", b"plain").await;
    scene.link.opened().await;
    scene.link.data().await;
    let mut other = Player::connect(&scene.gateway).await;
    begin(&mut other, "game", b"1").await;
    opened(&mut other, &mut Ticket::default()).await;
    scene.link.opened().await;
    drop(other);
    scene.link.data().await;
    suspended(&mut scene.link).await;
    scene.gateway.drain();
    loop {
        let (_, body) = scene.gateway.get("/api/v1/drain").await;
        let progress: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        if let Some(remaining) = progress["remaining"].as_object() {
            assert_eq!(remaining["resumable"], 1, "{body}");
            assert_eq!(remaining["plain"], 1, "{body}");
            assert_eq!(remaining["http"], 0, "{body}");
            assert_eq!(progress["suspended"], 1, "{body}");
            return;
        }
    }
}
