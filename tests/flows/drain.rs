//! Drains.

use std::collections::HashSet;
use std::time::Duration;

use game_gateway::codec::link::Kind;

use crate::stage::player;
use crate::support::wire::{Backend, Gateway, Player};

const REFUSING: Duration = Duration::from_millis(300);

#[tokio::test]
async fn newcomers_are_served_for_a_while_and_the_others_until_they_leave() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.drain.accept_grace = REFUSING;
        config.drain.window = Duration::from_secs(3600);
    })
    .await;
    let mut before = player(&gateway, "game", b"before").await;
    let mut link = backend.link().await;
    let before_id = link.opened().await.session_id;
    link.data().await;

    gateway.drain();
    gateway
        .until("game_gateway_ready", |ready| ready == 0)
        .await;
    let (status, body) = gateway.get("/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("draining"), "{body}");
    assert_eq!(gateway.get("/health").await.0, 200);

    // Some come while the grace lasts; the first that is refused ends the loop.
    let retry_after = loop {
        let mut new = player(&gateway, "game", b"during").await;
        tokio::select! {
            opened = link.opened() => {
                assert_eq!(&link.data().await.payload[..], b"during");
                drop(new);
                assert_eq!(link.closed().await, (opened.session_id, 0));
            }
            (code, retry_after) = new.closed() => {
                assert_eq!(code, 503);
                break retry_after;
            }
        }
    };
    assert!(retry_after > 0);

    before.data("", b"I stay").await;
    assert_eq!(&link.data().await.payload[..], b"I stay");
    link.send(Kind::Data, before_id, b"fine").await;
    assert_eq!(&before.answer().await.payload[..], b"fine");
    // The window lasts an hour; only that nobody is left ends it.
    drop(before);
    assert_eq!(link.closed().await, (before_id, 0));
    assert_eq!(link.next().await, None);
    drop(link);
    gateway.ended().await;
}

#[tokio::test]
async fn newcomers_within_the_grace_are_served() {
    let backend = Backend::start().await;
    let gateway = Gateway::start_with(&backend.routes(), |config| {
        config.drain.accept_grace = Duration::from_secs(3600);
        config.drain.window = Duration::from_secs(3600);
    })
    .await;
    gateway.drain();
    gateway
        .until("game_gateway_ready", |ready| ready == 0)
        .await;
    let mut player = player(&gateway, "game", b"hello").await;
    let mut link = backend.link().await;
    let session_id = link.opened().await.session_id;
    link.data().await;
    link.send(Kind::Data, session_id, b"welcome").await;
    assert_eq!(&player.answer().await.payload[..], b"welcome");
}

#[tokio::test]
async fn at_the_windows_end_everybody_is_told() {
    let (game, chat) = (Backend::start().await, Backend::start().await);
    let routes = format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[&game]),
        Backend::rule(&[&chat])
    );
    let gateway = Gateway::start_with(&routes, |config| {
        config.drain.accept_grace = Duration::ZERO;
        config.drain.window = Duration::from_millis(200);
    })
    .await;
    let mut players = Vec::new();
    let first = player(&gateway, "game", b"g").await;
    players.push(first);
    let mut game = game.link().await;
    let mut ids = HashSet::from([game.opened().await.session_id]);
    game.data().await;
    while players.len() < 20 {
        players.push(player(&gateway, "game", b"g").await);
        ids.insert(game.opened().await.session_id);
        game.data().await;
    }
    players[0].data("chat", b"c").await;
    let mut chat = chat.link().await;
    let talker = chat.opened().await.session_id;
    chat.data().await;
    let mut silent = Player::connect(&gateway).await;
    gateway.until("game_gateway_connections", |n| n == 21).await;

    gateway.drain();
    let mut spread = HashSet::new();
    for player in &mut players {
        let (code, retry_after) = player.closed().await;
        assert_eq!(code, 503);
        assert!(retry_after > 0);
        spread.insert(retry_after);
    }
    assert!(spread.len() > 10, "{spread:?}");
    // Nothing said how this one would like to be told.
    assert_eq!(silent.next().await, None);
    drop((players, silent));

    for _ in 0..20 {
        let (session_id, code) = game.closed().await;
        assert_eq!(code, 503);
        assert!(ids.remove(&session_id));
    }
    assert_eq!(chat.closed().await, (talker, 503));
    assert_eq!(game.next().await, None);
    assert_eq!(chat.next().await, None);
    drop((game, chat));
    gateway.ended().await;
}
