//! Sessions that are suspended while an operator withdraws their backend.

use crate::other_gateway::{let_go, other, peered};
use crate::stage::{Scene, accept, opened, resume, resume_on, says};
use crate::support::wire::{Gateway, ask};

async fn put(gateway: &Gateway, scene: &Scene, state: &str) {
    let line = format!("PUT /api/v1/backends/{}/state", scene.backend.address);
    let body = format!(r#"{{"state": "{state}"}}"#);
    let (status, answer) = ask(gateway.admin, &line, &body).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn in_drain_a_suspended_session_resumes() {
    let mut scene = Scene::start().await;
    scene.cut().await;
    let gateway = &scene.gateway;
    put(gateway, &scene, "drain").await;
    scene.send("a").await;
    let told = scene.resume(0).await;
    assert_eq!((told.received, told.gap), (1, false));
    says(&mut scene.player, "a").await;
}

#[tokio::test]
async fn in_maintenance_it_loses_that_service_and_resumes() {
    let mut scene = Scene::start().await;
    scene.cut().await;
    put(&scene.gateway, &scene, "maintenance").await;
    assert_eq!(scene.link.closed().await, (scene.ticket.session_id, 502));
    resume_on(&mut scene.player, &scene.ticket, 0).await;
    let told = opened(&mut scene.player, &mut scene.ticket).await;
    assert_eq!((told.received, told.gap), (1, false));
    // The ERROR was owed.
    assert_eq!(scene.player.error().await, (502, "game".to_owned()));
    put(&scene.gateway, &scene, "ready").await;
    scene.player.data("game", b"2").await;
    assert_eq!(
        scene.link.opened().await.session_id,
        scene.ticket.session_id
    );
    assert_eq!(&scene.link.data().await.payload[..], b"2");
}

/// The order is that of the gateway that the player comes to.
#[tokio::test]
async fn another_gateway_takes_a_session_up_in_drain() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    put(&second, &scene, "drain").await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    scene.cut().await;
    let mut player = resume(&second, &scene.ticket, 1).await;
    let id = scene.ticket.session_id;
    let mut link = scene.backend.link().await;
    accept(&mut link, id).await;
    let_go(&mut scene.link, id).await;
    let told = opened(&mut player, &mut scene.ticket).await;
    assert_eq!((told.received, told.gap), (1, false));
}

#[tokio::test]
async fn another_gateway_takes_a_session_up_without_the_service_in_maintenance() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    put(&second, &scene, "maintenance").await;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    scene.cut().await;
    let mut player = resume(&second, &scene.ticket, 1).await;
    opened(&mut player, &mut scene.ticket).await;
    assert_eq!(player.error().await, (502, "game".to_owned()));
}
