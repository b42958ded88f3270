//! Bans of players who can resume: on the gateway that has the session, and on another one.

use game_gateway::codec::link::{Bind, Kind};
use game_gateway::config::Config;

use crate::other_gateway::{other, peered};
use crate::stage::{Scene, begin, opened, resume};
use crate::support::wire::{DEADLINE, Player};

#[tokio::test]
async fn a_suspended_session_ends_with_the_ban_of_its_user() {
    let mut scene = Scene::start().await;
    let id = scene.ticket.session_id;
    scene.cut().await;
    let ban = scene.gateway.ban(r#"{"user_id": "42"}"#).await;
    assert_eq!(ban["ended_sessions"], 1);
    assert_eq!(scene.link.closed().await, (id, 440));
    let mut player = resume(&scene.gateway, &scene.ticket, 0).await;
    assert_eq!(player.closed().await.0, 440);
    assert_eq!(scene.gateway.only_ban().await["refusals"], 1);
    // What is over does not come back with the ban's end.
    scene.gateway.unban("user-42").await;
    let mut player = resume(&scene.gateway, &scene.ticket, 0).await;
    assert_eq!(player.closed().await.0, 410);
    let mut player = Player::connect(&scene.gateway).await;
    begin(&mut player, "game", b"anew").await;
    scene.link.opened().await;
}

#[tokio::test]
async fn a_suspended_session_ends_with_the_ban_of_its_last_address() {
    let mut scene = Scene::start().await;
    let id = scene.ticket.session_id;
    scene.cut().await;
    let ban = scene.gateway.ban(r#"{"address": "127.0.0.1"}"#).await;
    assert_eq!(ban["ended_sessions"], 1);
    assert_eq!(scene.link.closed().await, (id, 440));
    let mut shut_out = Player::connect(&scene.gateway).await;
    assert_eq!(shut_out.next().await, None);
    scene.gateway.unban("127.0.0.1").await;
    let mut player = resume(&scene.gateway, &scene.ticket, 0).await;
    assert_eq!(player.closed().await.0, 410);
}

#[tokio::test]
async fn a_token_of_a_banned_user_opens_nothing_on_another_gateway() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    second.ban(r#"{"user_id": "42"}"#).await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    assert_eq!(player.closed().await.0, 440);
    assert_eq!(second.metric("game_gateway_peer_calls_made_total").await, 0);
    // A ban holds on one gateway: here he plays on.
    scene.player.data("game", b"2").await;
    assert_eq!(&scene.link.data().await.payload[..], b"2");
}

#[tokio::test]
async fn a_banned_user_whom_only_his_owner_knows_stays_with_it() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    let before = scene.ticket.clone();
    // So that his backend is known to have him.
    scene.send("a").await;
    assert_eq!(&scene.player.answer().await.payload[..], b"a");
    let bind = Bind {
        user_id: 4711,
        realm_id: 0,
    };
    scene.link.send(Kind::Bind, id, &bind.encode()).await;
    opened(&mut scene.player, &mut scene.ticket).await;
    second.ban(r#"{"user_id": "4711"}"#).await;
    // A token from before he was bound is good, and does not say who he is.
    let mut player = resume(&second, &before, 0).await;
    assert_eq!(player.closed().await.0, 440);
    assert_eq!(second.only_ban().await["refusals"], 1);
    second.until("game_gateway_sessions", |n| n == 0).await;
    scene.player.data("game", b"2").await;
    assert_eq!(&scene.link.data().await.payload[..], b"2");
    scene.send("on").await;
    assert_eq!(&scene.player.answer().await.payload[..], b"on");
    // Nothing was promised for good: elsewhere he is welcome.
    let third = other(&scene.backend, "gw-c", peered).await;
    let _player = resume(&third, &scene.ticket, 2).await;
    let mut link = scene.backend.link().await;
    assert_eq!(link.opened().await.session_id, id);
}

#[tokio::test]
async fn whoever_is_banned_while_he_is_handed_over_does_not_arrive() {
    // However long the ban takes.
    let patient = |config: &mut Config| {
        peered(config);
        config.backend.connect_timeout = DEADLINE;
    };
    let mut scene = Scene::start_with(patient).await;
    let second = other(&scene.backend, "gw-b", patient).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    assert_eq!(&scene.player.answer().await.payload[..], b"a");
    let mut player = resume(&second, &scene.ticket, 1).await;
    let mut link = scene.backend.link().await;
    link.opened().await;
    second.ban(r#"{"user_id": "42"}"#).await;
    link.send(Kind::Accept, id, &2_u32.to_be_bytes()).await;
    assert_eq!(scene.link.closed().await, (id, 307));
    scene
        .link
        .send(Kind::Close, id, &307_u16.to_be_bytes())
        .await;
    assert_eq!(scene.player.closed().await.0, 205);
    assert_eq!(player.closed().await.0, 440);
    assert_eq!(link.closed().await, (id, 440));
    second.until("game_gateway_sessions", |n| n == 0).await;
}
