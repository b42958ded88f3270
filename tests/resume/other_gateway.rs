//! Protocol 3.2, case 2: another gateway has the session, and hands it over.

use std::time::Duration;

use game_gateway::codec::client::{self, Header};
use game_gateway::codec::link::{Kind, Open};
use game_gateway::config::{Config, Secret};

use crate::same_gateway::two_with;
use crate::stage::{Answer, Scene, Ticket, begin, opened, resume, says};
use crate::support::wire::{Backend, Gateway, Link, Player, soon};

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

const EXACT: fn(u64) -> Answer = |received| Answer {
    received,
    gap: false,
};
const GAP: Answer = Answer {
    received: 0,
    gap: true,
};

pub(crate) fn peered(config: &mut Config) {
    config.session.token_keys = vec![Secret::new(KEY.to_owned())];
    config.backend.connect_timeout = Duration::from_secs(1);
    config.peer.address = Some(([127, 0, 0, 1], 0).into());
}

/// Starts another gateway of the same deployment.
pub(crate) async fn other(
    backend: &Backend,
    id: &str,
    change: impl FnOnce(&mut Config),
) -> Gateway {
    Gateway::start_with(&backend.routes(), |config| {
        change(config);
        config.gateway.id = id.to_owned();
    })
    .await
}

/// Reads the OPEN of a session that another gateway has taken over.
async fn taken_up(link: &mut Link) -> (u32, String) {
    let frame = link.opened().await;
    let open = Open::decode(&frame.payload).expect("a payload");
    assert_eq!((open.flags, open.user_id, open.realm_id), (1, 42, 7));
    (open.epoch, open.previous_gateway.to_owned())
}

async fn accept(link: &mut Link, id: u64, epoch: u32) {
    link.send(Kind::Accept, id, &epoch.to_be_bytes()).await;
}

/// Ends the player's session.
pub(crate) async fn farewell(player: &mut Player, code: u16) {
    let header = Header {
        kind: client::Kind::Close as u8,
        ..Header::default()
    };
    player.send(header, "", &code.to_be_bytes()).await;
}

/// Answers CLOSE 307 of a session on a link.
pub(crate) async fn let_go(link: &mut Link, id: u64) {
    assert_eq!(link.closed().await, (id, 307));
    link.send(Kind::Close, id, &307_u16.to_be_bytes()).await;
}

#[tokio::test]
async fn an_owner_vouches_for_an_endpoint_that_no_rule_names_here() {
    let elsewhere = Backend::start().await;
    an_owner_vouches(&elsewhere.routes()).await;
}

#[tokio::test]
async fn an_owner_vouches_where_the_rule_of_a_service_is_gone() {
    an_owner_vouches(r#"{"rules":{}}"#).await;
}

async fn an_owner_vouches(routes: &str) {
    let mut scene = Scene::start_with(peered).await;
    let second = Gateway::start_with(routes, |config| {
        peered(config);
        config.gateway.id = "gw-b".to_owned();
        config.backend.ping_interval = Duration::from_millis(100);
    })
    .await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
    accept(&mut link, id, 2).await;
    let_go(&mut scene.link, id).await;
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(1));
    says(&mut player, "a").await;
    player.data("game", b"2").await;
    assert_eq!(&link.data().await.payload[..], b"2");
    // It is not kept when nobody uses it, nor tried again.
    farewell(&mut player, 0).await;
    assert_eq!(link.closed().await, (id, 0));
    assert!(link.next().await.is_none());
    second
        .until("game_gateway_actors{kind=\"backend_pool\"}", |n| n == 0)
        .await;
    assert_eq!(second.metric("game_gateway_started_links_total").await, 1);
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_reordered_between_gateways() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    says(&mut scene.player, "a").await;
    scene.send("b").await;
    let mut player = resume(&second, &scene.ticket, 1).await;
    let mut link = scene.backend.link().await;
    assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
    scene.send("c").await;
    accept(&mut link, id, 2).await;
    link.send(Kind::Data, id, b"e").await;
    assert_eq!(scene.link.closed().await, (id, 307));
    // Its last words there go before those on the new link.
    scene.send("d").await;
    scene
        .link
        .send(Kind::Close, id, &307_u16.to_be_bytes())
        .await;
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(1));
    assert_eq!(ticket.session_id, id);
    for text in ["b", "c", "d", "e"] {
        says(&mut player, text).await;
    }
    for text in ["b", "c", "d"] {
        says(&mut scene.player, text).await;
    }
    assert_eq!(scene.player.closed().await.0, 205);
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    second.until("game_gateway_sessions", |n| n == 1).await;
    player.data("game", b"2").await;
    assert_eq!(&link.data().await.payload[..], b"2");
    // The token is used now, wherever it is tried.
    for gateway in [&scene.gateway, &second] {
        let mut thief = resume(gateway, &scene.ticket, 1).await;
        assert_eq!(thief.closed().await.0, 410);
    }
    // And back, from a connection that is lost.
    drop(player);
    link.next().await.expect("SUSPEND");
    link.send(Kind::Data, id, b"f").await;
    let mut player = resume(&scene.gateway, &ticket, 5).await;
    assert_eq!(taken_up(&mut scene.link).await, (3, "gw-b".to_owned()));
    accept(&mut scene.link, id, 3).await;
    let_go(&mut link, id).await;
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(2));
    says(&mut player, "f").await;
    // The service named last has come along.
    player.data("", b"nameless").await;
    assert_eq!(&scene.link.data().await.payload[..], b"nameless");
    // One end, and one final CLOSE.
    farewell(&mut player, 1007).await;
    assert_eq!(scene.link.closed().await, (id, 1007));
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    second.until("game_gateway_sessions", |n| n == 0).await;
    for gateway in [&scene.gateway, &second] {
        for timed in ["resume", "handover"] {
            let name = format!("game_gateway_{timed}_seconds_count");
            assert_eq!(gateway.metric(&name).await, 1, "{timed}");
        }
    }
}

#[tokio::test]
async fn a_session_that_has_moved_on_is_followed() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let third = other(&scene.backend, "gw-c", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let lost = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    accept(&mut link, id, 2).await;
    let_go(&mut scene.link, id).await;
    second.until("game_gateway_sessions", |n| n == 1).await;
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    // That OPENED was never read: the token that the player has names the first gateway.
    drop(lost);
    link.next().await.expect("SUSPEND");
    let mut player = resume(&third, &scene.ticket, 0).await;
    let mut newest = scene.backend.link().await;
    assert_eq!(taken_up(&mut newest).await, (3, "gw-b".to_owned()));
    accept(&mut newest, id, 3).await;
    let_go(&mut link, id).await;
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(1));
    says(&mut player, "a").await;
}

#[tokio::test]
async fn a_backend_that_does_not_let_go_makes_a_gap() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    accept(&mut link, id, 2).await;
    assert_eq!(scene.link.closed().await, (id, 307));
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, GAP);
    says(&mut player, "a").await;
    // Frames there are too late now, and not answered.
    scene.send("late").await;
    scene
        .link
        .send(Kind::Close, id, &307_u16.to_be_bytes())
        .await;
    link.send(Kind::Data, id, b"b").await;
    says(&mut player, "b").await;
}

#[tokio::test]
async fn a_backend_that_refuses_leaves_the_session_where_it_is() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    // It says that the session is with neither of them.
    link.send(Kind::Close, id, &410_u16.to_be_bytes()).await;
    assert_eq!(player.closed().await.0, 410);
    says(&mut scene.player, "a").await;
    assert_eq!(scene.player.closed().await.0, 205);
    assert_eq!(scene.link.closed().await, (id, 307));
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    second.until("game_gateway_sessions", |n| n == 0).await;
}

#[tokio::test]
async fn a_backend_that_has_forgotten_it_is_told_of_behind_opened() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    link.send(Kind::Close, id, &404_u16.to_be_bytes()).await;
    assert_eq!(scene.link.closed().await, (id, 307));
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(1));
    says(&mut player, "a").await;
    assert_eq!(player.error().await.0, 502);
    // Its next DATA opens it again.
    player.data("game", b"2").await;
    let frame = link.opened().await;
    let open = Open::decode(&frame.payload).expect("a payload");
    assert_eq!((open.flags, open.epoch), (0, 2));
    assert_eq!(&link.data().await.payload[..], b"2");
}

#[tokio::test]
async fn a_session_that_ends_during_the_move_is_ended_everywhere() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    // The old connection says goodbye while the new one waits for its ACCEPT.
    farewell(&mut scene.player, 1009).await;
    assert_eq!(scene.link.closed().await, (id, 1009));
    accept(&mut link, id, 2).await;
    assert_eq!(player.closed().await.0, 1009);
    assert_eq!(link.closed().await, (id, 1009));
    scene
        .gateway
        .until("game_gateway_sessions", |n| n == 0)
        .await;
    second.until("game_gateway_sessions", |n| n == 0).await;
}

#[tokio::test]
async fn a_holder_that_is_gone_is_a_gap() {
    let scene = Scene::start_with(|config| {
        peered(config);
        config.drain.window = Duration::ZERO;
    })
    .await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let Scene {
        gateway,
        ticket,
        backend,
        ..
    } = scene;
    let id = ticket.session_id;
    gateway.drain();
    gateway.ended().await;
    let mut player = resume(&second, &ticket, 0).await;
    let mut link = backend.link().await;
    assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
    accept(&mut link, id, 2).await;
    let mut again = Ticket::default();
    assert_eq!(opened(&mut player, &mut again).await, GAP);
}

/// A second gateway, with a backend for each of the two services.
async fn beside(game: &Backend, chat: &Backend) -> Gateway {
    let rules = format!(
        r#"{{"rules":{{"game":{},"chat":{}}}}}"#,
        Backend::rule(&[game]),
        Backend::rule(&[chat])
    );
    Gateway::start_with(&rules, |config| {
        peered(config);
        config.gateway.id = "gw-b".to_owned();
    })
    .await
}

#[tokio::test]
async fn one_backend_of_two_that_is_gone_is_told_of_and_the_other_is_exact() {
    let (mut scene, mut chat, backend) = two_with(peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    chat.send(Kind::Data, id, b"b").await;
    // The new gateway cannot reach it, while the old one still has its link.
    let second = beside(&scene.backend, &backend).await;
    drop(backend);
    for _ in 0..2 {
        scene.player.answer().await;
    }
    let mut player = resume(&second, &scene.ticket, 2).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    accept(&mut link, id, 2).await;
    let_go(&mut scene.link, id).await;
    // Nobody waits for it there, for it did not take the OPEN.
    assert_eq!(chat.closed().await, (id, 307));
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(2));
    let (code, text) = player.error().await;
    assert_eq!(code, 502, "{text}");
    player.data("game", b"3").await;
    assert_eq!(&link.data().await.payload[..], b"3");
}

/// It may not have read CLOSE 307, and would keep the session for as long as that gateway has a link.
#[tokio::test]
async fn a_backend_of_a_claim_that_failed_hears_of_it_on_another_link() {
    let (mut scene, mut owned, backend) = two_with(peered).await;
    let id = scene.ticket.session_id;
    // Both have taken the session, so that its owner need not ask.
    scene.send("a").await;
    owned.send(Kind::Data, id, b"b").await;
    let second = beside(&scene.backend, &backend).await;
    for _ in 0..2 {
        scene.player.answer().await;
    }
    let mut player = resume(&second, &scene.ticket, 2).await;
    let (mut link, mut chat) = (scene.backend.link().await, backend.link().await);
    taken_up(&mut link).await;
    accept(&mut link, id, 2).await;
    taken_up(&mut chat).await;
    chat.send(Kind::Close, id, &410_u16.to_be_bytes()).await;
    assert_eq!(player.closed().await.0, 410);
    assert_eq!(link.closed().await, (id, 307));
    drop(link);
    second.until("game_gateway_links", |n| n == 1).await;
    let mut newcomer = Player::connect(&second).await;
    begin(&mut newcomer, "game", b"3").await;
    let mut link = scene.backend.link().await;
    // Before the newcomer's frames, between them, or behind.
    let mut frames = Vec::new();
    for _ in 0..3 {
        let frame = soon(link.next()).await.expect("a frame");
        frames.push((frame.kind, frame.session_id == id));
    }
    frames.sort_unstable();
    let expected = [
        (Kind::Data, false),
        (Kind::Open, false),
        (Kind::Close, true),
    ];
    assert_eq!(frames, expected.map(|(kind, its)| (kind as u8, its)));
}

#[tokio::test]
async fn a_binding_stays_whatever_the_rules_say_elsewhere() {
    let mut scene = Scene::start_with(peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    // To this gateway the realm belongs to another backend by now.
    let elsewhere = Backend::start().await;
    let rules = format!(
        r#"{{"rules":{{"game":{{"strategy":"realm_based"}}}},"realms":{{"7":"{}"}}}}"#,
        elsewhere.address
    );
    let second = Gateway::start_with(&rules, |config| {
        peered(config);
        config.gateway.id = "gw-b".to_owned();
    })
    .await;
    let mut player = resume(&second, &scene.ticket, 0).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    accept(&mut link, id, 2).await;
    let_go(&mut scene.link, id).await;
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, EXACT(1));
    says(&mut player, "a").await;
    player.data("game", b"2").await;
    assert_eq!(&link.data().await.payload[..], b"2");
}

#[tokio::test]
async fn one_replica_alone_tells_its_players_and_takes_them_up_again() {
    let scene = Scene::start_with(|config| {
        peered(config);
        config.drain.window = Duration::ZERO;
    })
    .await;
    let Scene {
        gateway,
        mut player,
        mut link,
        ticket,
        backend,
    } = scene;
    gateway.drain();
    let goaway = player.next().await.expect("GOAWAY");
    assert_eq!(goaway.header.kind, client::Kind::Goaway as u8);
    let (code, retry_after_ms) = player.closed().await;
    assert_eq!(code, 503);
    assert!(retry_after_ms > 0);
    assert!(crate::stage::suspended(&mut link).await > 0);
    let peer = gateway.peer();
    gateway.ended().await;
    // Under another name, where the other gateways reach it as before.
    let again = other(&backend, "gw-again", |config| {
        peered(config);
        config.peer.address = Some(peer);
    })
    .await;
    let mut player = resume(&again, &ticket, 0).await;
    let mut link = backend.link().await;
    assert_eq!(taken_up(&mut link).await, (2, "gw-test".to_owned()));
    accept(&mut link, ticket.session_id, 2).await;
    let mut ticket = ticket;
    assert_eq!(opened(&mut player, &mut ticket).await, GAP);
}

#[tokio::test]
async fn a_count_from_the_future_is_a_gap_there_too() {
    let mut scene = Scene::start_with(peered).await;
    let second = other(&scene.backend, "gw-b", peered).await;
    let id = scene.ticket.session_id;
    scene.send("a").await;
    let mut player = resume(&second, &scene.ticket, 9).await;
    let mut link = scene.backend.link().await;
    taken_up(&mut link).await;
    accept(&mut link, id, 2).await;
    let_go(&mut scene.link, id).await;
    let mut ticket = scene.ticket.clone();
    assert_eq!(opened(&mut player, &mut ticket).await, GAP);
}
